/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fftw3.h>

#include "lib/synth/synth.h"

static struct at_signal_spec make_spec(int class_id, const char *variant, double rate, double bw,
                                       size_t n, uint64_t seed)
{
    struct at_signal_spec s = {
        .class_id = class_id, .seed = seed, .rate_hz = rate, .bandwidth_hz = bw, .n = n};
    snprintf(s.variant, sizeof s.variant, "%s", variant);
    return s;
}

static void test_names(void **state)
{
    for (int c = 0; c < AT_CLASS_COUNT; c++) {
        assert_int_equal(at_class_from_name(at_class_name(c)), c);
        assert_true(at_variant_count(c) >= 1);
        for (size_t i = 0; i < at_variant_count(c); i++) {
            const struct at_variant *v = at_variant_at(c, i);
            if (strlen(v->name) > 23 || v->bw_lo_hz <= 0 || v->bw_hi_hz < v->bw_lo_hz ||
                v->burst_hi_s < v->burst_lo_s)
                fail_msg("%s %s: table is wrong", at_class_name(c), v->name);
        }
        assert_null(at_variant_at(c, at_variant_count(c)));
    }
    assert_int_equal(at_class_from_name("nonsense"), -1);
    assert_null(at_class_name(AT_CLASS_COUNT));
}

static double power_on(const float *iq, const uint8_t *on, size_t n)
{
    double sum = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(iq[2 * i]) && isfinite(iq[2 * i + 1]));
        if (on[i]) {
            sum += (double)iq[2 * i] * iq[2 * i] + (double)iq[2 * i + 1] * iq[2 * i + 1];
            m++;
        }
    }
    return m ? sum / (double)m : 0;
}

/* Power beside the line: over all parts what the samples show; the same in each part of a tone,
 * near nothing where a voice is silent; a carrier has none. */
static void test_sidebands(void **state)
{
    enum { N = 1 << 17 };
    float *iq = malloc(2 * N * sizeof *iq);
    struct at_signal_truth t;
    assert_non_null(iq);
    for (int voice = 0; voice < 2; voice++) {
        struct at_signal_spec s =
            make_spec(AT_CLASS_AM, voice ? "am_voice" : "am_tone", voice ? 16e3 : 8e3, 0, N, 5);
        s.clean = 1; /* stands at 0 Hz */
        assert_int_equal(at_signal_render(&s, iq, &t), 0);
        double sum = 0, square = 0, parts = 0, least = 1, most = 0;
        for (size_t i = 0; i < N; i++) {
            sum += (double)iq[2 * i];
            square += (double)iq[2 * i] * iq[2 * i];
        }
        for (int i = 0; i < AT_TRUTH_PARTS; i++) {
            parts += t.sidebands[i] / AT_TRUTH_PARTS;
            least = fmin(least, t.sidebands[i]);
            most = fmax(most, t.sidebands[i]);
        }
        print_message("%s: %.4f beside the line, parts %.4f to %.4f\n", s.variant, parts, least,
                      most);
        assert_true(t.line);
        assert_float_equal(parts, 1 - sum * sum / (N * square), 1e-3);
        assert_true(voice ? least < 0.1 * most : least > 0.8 * most);
    }
    struct at_signal_spec s = make_spec(AT_CLASS_CARRIER, "carrier_steady", 8e3, 0, N, 5);
    assert_int_equal(at_signal_render(&s, iq, &t), 0);
    assert_false(t.line);
    free(iq);
}

/* Every member at several shares: finite, on somewhere, power 1 while on, truth within the band. */
static void test_every_variant_renders(void **state)
{
    static const double shares[] = {0.02, 0.3, 0.9};
    size_t n = 8192;
    float *iq = malloc(2 * n * sizeof *iq);
    uint8_t *on = malloc(n);
    int bad = 0, made = 0;
    for (int c = 1; c < AT_CLASS_COUNT; c++) {
        for (size_t i = 0; i < at_variant_count(c); i++) {
            for (int s = 0; s < 3; s++) {
                const char *name = at_variant_at(c, i)->name;
                struct at_signal_spec spec =
                    make_spec(c, name, 1e6, shares[s] * 1e6, n, 11 * i + (uint64_t)s);
                struct at_signal_truth t;
                int rc = at_signal_render_marked(&spec, iq, on, &t);
                double p = rc ? 0 : power_on(iq, on, n), db = 10 * log10(p + 1e-30);
                int ok = rc == 0 && fabs(db) < 0.2 && t.last > t.first && t.last <= n &&
                         t.on_share > 0 && t.bandwidth_hz > 0 &&
                         fabs(t.center_hz) + t.bandwidth_hz / 2 <= 0.51e6 + 1000 &&
                         t.class_id == c && !strcmp(t.variant, name);
                made++;
                if (!ok) {
                    bad++;
                    printf("%s %s share %.2f: rc %d, %.2f dB, on %.3f, bw %.0f center %.0f\n",
                           at_class_name(c), name, shares[s], rc, db, rc ? 0 : t.on_share,
                           rc ? 0 : t.bandwidth_hz, rc ? 0 : t.center_hz);
                }
            }
        }
    }
    printf("%d rendered, %d bad (0)\n", made, bad);
    free(iq);
    free(on);
    assert_int_equal(bad, 0);
}

/* At natural scale each member must fit some rate that a radio has. */
static void test_natural_scale(void **state)
{
    static const double rates[] = {8e3, 48e3, 250e3, 2.4e6, 2e7, 6e7};
    size_t n = 8192;
    float *iq = malloc(2 * n * sizeof *iq);
    int bad = 0;
    for (int c = 1; c < AT_CLASS_COUNT; c++) {
        for (size_t i = 0; i < at_variant_count(c); i++) {
            const struct at_variant *v = at_variant_at(c, i);
            int fits = 0;
            for (int r = 0; r < 6; r++) {
                struct at_signal_spec spec = make_spec(c, v->name, rates[r], 0, n, 5);
                struct at_signal_truth t;
                int rc = at_signal_render(&spec, iq, &t);
                assert_true(rc == 0 || rc == -EINVAL);
                fits += rc == 0;
            }
            if (!fits) {
                printf("%s %s fits no rate\n", at_class_name(c), v->name);
                bad++;
            }
        }
    }
    free(iq);
    assert_int_equal(bad, 0);
}

/* What the table says of a member is what it renders: else callers choose rates that it does not
 * fit. */
static void test_natural_bandwidth_is_as_told(void **state)
{
    size_t n = 32768;
    float *iq = malloc(2 * n * sizeof *iq);
    int bad = 0, all = 0;
    for (int c = 1; c < AT_CLASS_COUNT; c++) {
        for (size_t i = 0; i < at_variant_count(c); i++) {
            const struct at_variant *v = at_variant_at(c, i);
            for (uint64_t seed = 0; seed < 4; seed++) {
                struct at_signal_spec spec = make_spec(c, v->name, 3 * v->bw_hi_hz, 0, n, seed);
                struct at_signal_truth t;
                int rc = at_signal_render(&spec, iq, &t);
                all++;
                if (rc || t.bandwidth_hz < v->bw_lo_hz / 3 || t.bandwidth_hz > 3 * v->bw_hi_hz) {
                    printf("%s %s: rc %d, %.0f Hz, told %.0f to %.0f\n", at_class_name(c), v->name,
                           rc, rc ? 0 : t.bandwidth_hz, v->bw_lo_hz, v->bw_hi_hz);
                    bad++;
                }
            }
        }
    }
    printf("%d of %d far from the table (at most %d)\n", bad, all, all / 20);
    free(iq);
    assert_true(bad <= all / 20);
}

static void test_same_seed_same_samples(void **state)
{
    size_t n = 4096;
    float *a = malloc(2 * n * sizeof *a), *b = malloc(2 * n * sizeof *b),
          *d = malloc(2 * n * sizeof *d);
    for (int c = 1; c < AT_CLASS_COUNT; c++) {
        struct at_signal_spec s = make_spec(c, "", 1e6, 2e5, n, 42), other = s;
        other.seed = 43;
        struct at_signal_truth ta, tb;
        assert_int_equal(at_signal_render(&s, a, &ta), 0);
        assert_int_equal(at_signal_render(&s, b, &tb), 0);
        assert_int_equal(at_signal_render(&other, d, NULL), 0);
        assert_memory_equal(a, b, 2 * n * sizeof *a);
        assert_string_equal(ta.variant, tb.variant);
        assert_true(memcmp(a, d, 2 * n * sizeof *a) != 0);
    }
    free(a);
    free(b);
    free(d);
}

/* 99 % edges by FFTW over the whole length, frames of 4096, Hann. */
static void edges99(const float *iq, size_t n, double rate, double *lo, double *hi)
{
    enum { N = 4096 };
    fftwf_complex *x = fftwf_alloc_complex(N);
    fftwf_plan plan = fftwf_plan_dft_1d(N, x, x, FFTW_FORWARD, FFTW_ESTIMATE);
    static double psd[N];
    double sum = 0, acc = 0;
    memset(psd, 0, sizeof psd);
    for (size_t a = 0; a + N <= n; a += N / 2) {
        for (size_t k = 0; k < N; k++) {
            float w = (float)(0.5 - 0.5 * cos(2 * M_PI * (double)k / N));
            x[k][0] = iq[2 * (a + k)] * w;
            x[k][1] = iq[2 * (a + k) + 1] * w;
        }
        fftwf_execute(plan);
        for (size_t k = 0; k < N; k++)
            psd[(k + N / 2) % N] += (double)x[k][0] * x[k][0] + (double)x[k][1] * x[k][1];
    }
    for (size_t k = 0; k < N; k++)
        sum += psd[k];
    *lo = *hi = NAN;
    for (size_t k = 0; k < N; k++) {
        acc += psd[k];
        if (isnan(*lo) && acc > 0.005 * sum)
            *lo = ((double)k - N / 2) * rate / N;
        if (isnan(*hi) && acc > 0.995 * sum)
            *hi = ((double)k - N / 2) * rate / N;
    }
    fftwf_destroy_plan(plan);
    fftwf_free(x);
}

/* Steady members: the truth's bandwidth is the measured one. */
static void test_bandwidth_truth(void **state)
{
    static const struct {
        int c;
        const char *v;
    } list[] = {
        {AT_CLASS_PSK_QAM, "qpsk"},      {AT_CLASS_PSK_QAM, "qam64"},
        {AT_CLASS_PSK_QAM, "wcdma"},     {AT_CLASS_OFDM, "dab_iii"},
        {AT_CLASS_OFDM, "ofdm_generic"}, {AT_CLASS_OFDM, "dvbt_2k"},
        {AT_CLASS_GFSK, "gmsk_stream"},  {AT_CLASS_FSK4, "dmr"},
        {AT_CLASS_FSK2, "fsk_stream"},   {AT_CLASS_CSS, "lora_sf7"},
        {AT_CLASS_CHIRP, "fmcw_saw"},    {AT_CLASS_WFM, "wfm_stereo"},
    };
    size_t n = 131072;
    float *iq = malloc(2 * n * sizeof *iq);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct at_signal_spec spec = make_spec(list[i].c, list[i].v, 1e6, 3e5, n, 100 + i);
        struct at_signal_truth t;
        spec.clean = 1;
        assert_int_equal(at_signal_render(&spec, iq, &t), 0);
        double lo, hi;
        edges99(iq, n, 1e6, &lo, &hi);
        printf("%-8s %-14s asked 300.0 kHz, truth %.1f at %.1f, measured %.1f at %.1f\n",
               at_class_name(list[i].c), list[i].v, t.bandwidth_hz / 1e3, t.center_hz / 1e3,
               (hi - lo) / 1e3, (hi + lo) / 2e3);
        assert_true(fabs(t.bandwidth_hz / (hi - lo) - 1) < 0.1);
        assert_true(fabs(t.center_hz - (hi + lo) / 2) < 0.05 * 3e5);
    }
    free(iq);
}

/* Power of iq (n, 2) around `middle` of the rate (-1/2..1/2), over a fortieth of it. */
static double power_at(const float *iq, size_t n, double middle)
{
    enum { N = 1024 };
    double sum = 0;
    for (size_t a = 0; a + N <= n; a += N) {
        for (int k = -12; k <= 12; k++) {
            double f = middle + k / 1024.0, re = 0, im = 0;
            for (size_t i = 0; i < N; i++) {
                double w = 0.5 - 0.5 * cos(2 * M_PI * (double)i / N), x = 2 * M_PI * f * (double)i;
                re += w * (iq[2 * (a + i)] * cos(x) + iq[2 * (a + i) + 1] * sin(x));
                im += w * (iq[2 * (a + i) + 1] * cos(x) - iq[2 * (a + i)] * sin(x));
            }
            sum += re * re + im * im;
        }
    }
    return sum;
}

/* Part of a wide carrier comes through a steep filter that holds four fifths of the rate, or
 * through a round one that bends it far within. */
static void test_filters_before_parts(void **state)
{
    enum { N = 1 << 14, SEEDS = 24 };
    int steep = 0, round = 0;
    float *iq = malloc(2 * N * sizeof *iq);
    assert_non_null(iq);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct at_signal_spec s = make_spec(AT_CLASS_OFDM, "dvbt_cut", 6e6, 0, N, seed);
        struct at_signal_truth t;
        assert_int_equal(at_signal_render(&s, iq, &t), 0);
        double middle = power_at(iq, N, 0),
               bend = 10 * log10(middle / fmin(power_at(iq, N, 0.36), power_at(iq, N, -0.36)));
        steep += bend < 3 && t.bandwidth_hz > 0.78 * 6e6;
        round += bend > 6 && t.bandwidth_hz < 0.78 * 6e6;
    }
    print_message("of %d filters %d are steep, %d bend their ends by 6 dB\n", SEEDS, steep, round);
    assert_in_range(steep, SEEDS / 4, SEEDS);
    assert_in_range(round, SEEDS / 8, SEEDS);
    free(iq);
}

/* What a supply keys is flat up to edges that fall within an eighth of its width, or over the whole
 * rate, and comes at 100 to 240 Hz for 5 to 60 % of the time, however wide it is asked for. */
static void test_mains_noise(void **state)
{
    enum { N = 1 << 17 };
    float *iq = malloc(2 * N * sizeof *iq);
    assert_non_null(iq);
    for (uint64_t seed = 1; seed <= 12; seed++) {
        int cut = seed % 2 == 0;
        struct at_signal_spec s = make_spec(AT_CLASS_OUTLIER, cut ? "mains_flat_cut" : "mains_flat",
                                            1e6, cut ? 0 : 4e5, N, seed);
        struct at_signal_truth t;
        assert_int_equal(at_signal_render(&s, iq, &t), 0);
        double end = cut ? 0.37 : 0.18, middle = power_at(iq, N, 0), out = power_at(iq, N, 0.25);
        double ripple = fmax(fabs(10 * log10(power_at(iq, N, end) / middle)),
                             fabs(10 * log10(power_at(iq, N, -end) / middle)));
        print_message("%s: %.1f dB from middle to edge, outside %.0f dB; on %.2f, %u times\n",
                      s.variant, ripple, 10 * log10(out / middle), t.on_share, t.keys);
        assert_true(ripple < 4);
        assert_true(cut ? out > 0.5 * middle : out < 5e-3 * middle);
        assert_true(t.on_share > 0.03 && t.on_share < 0.7);
        assert_in_range(t.keys, 6, 34); /* of 0.131 s; those that touch are one */
    }
    free(iq);
}

/* What is left of a tone at f of the rate, dB. */
static double passed_db(const struct at_channel_spec *spec, double f)
{
    enum { N = 1 << 15, EDGE = 128 };
    static float iq[2 * N];
    double power = 0;
    for (size_t i = 0; i < N; i++) {
        iq[2 * i] = (float)cos(2 * M_PI * f * (double)i);
        iq[2 * i + 1] = (float)sin(2 * M_PI * f * (double)i);
    }
    assert_int_equal(at_channel_apply(spec, 1e6, 0, NULL, iq, N), 0);
    for (size_t i = 2 * EDGE; i < 2 * (N - EDGE); i++)
        power += (double)iq[i] * (double)iq[i] / (N - 2 * EDGE);
    double db = 10 * log10(power);
    print_message("%g of the rate: %.2f dB\n", f, db);
    return db;
}

/* The receiver's filter: flat within 0.3 dB to a quarter of the rate, 20 dB down at its edges. */
static void test_rolloff(void **state)
{
    static const struct {
        double f, down, within;
    } points[] = {{0, 0, 0.1}, {0.25, 0, 0.3}, {0.5, 20, 0.1}, {-0.4, 4.3, 1.5}};
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        struct at_channel_spec spec = {.edge_rolloff_db = 20};
        assert_true(fabs(passed_db(&spec, points[p].f) + points[p].down) < points[p].within);
    }
}

/* A channel filter of 0.4 of the rate: all of it within, 60 dB less beyond its steep sides or
 * better; 20 dB where it is asked to stop no more. */
static void test_channel_filter(void **state)
{
    static const struct {
        double stop, f, most, least;
    } points[] = {{60, 0.17, 0.1, -0.1},
                  {60, -0.24, -56, -200},
                  {60, 0.45, -56, -200},
                  {20, 0.3, -19.5, -20.5},
                  {80, 0.3, -74, -200}};
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        struct at_channel_spec spec = {.passband = 0.4, .stopband_db = points[p].stop};
        double db = passed_db(&spec, points[p].f);
        assert_true(db < points[p].most && db > points[p].least);
    }
}

/* A sawtooth of LoRa's slopes begins anew at least three times in a window that holds four sweeps
 * of the fastest: one sweep alone, or two, is as well a LoRa symbol. Those that go up and down in
 * turn (15 %) have no jump. */
static void test_saws_repeat(void **state)
{
    enum { N = 5000, SEEDS = 60 };
    const double rate = 125e3, bw = 50e3;
    float *iq = malloc(2 * N * sizeof *iq);
    assert_non_null(iq);
    int few = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct at_signal_spec s = make_spec(AT_CLASS_CHIRP, "saw_lora_slope", rate, bw, N, seed);
        int jumps = 0;
        double last = 0;
        assert_int_equal(at_signal_render(&s, iq, NULL), 0);
        for (size_t i = 1; i < N; i++) {
            const float *a = iq + 2 * (i - 1), *b = iq + 2 * i;
            double re = (double)b[0] * a[0] + (double)b[1] * a[1],
                   im = (double)b[1] * a[0] - (double)b[0] * a[1], f = atan2(im, re);
            jumps += i > 1 && fabs(f - last) > M_PI * bw / rate; /* half the band at once */
            last = f;
        }
        few += jumps < 3;
    }
    free(iq);
    print_message("of %d saws %d jump less than three times\n", SEEDS, few);
    assert_true(few <= SEEDS / 4);
}

static void test_refuses(void **state)
{
    float iq[256];
    struct at_signal_truth t;
    struct at_signal_spec wide = make_spec(AT_CLASS_PSK_QAM, "qpsk", 1e6, 0.96e6, 128, 1);
    struct at_signal_spec unknown = make_spec(AT_CLASS_PSK_QAM, "nonsense", 1e6, 1e5, 128, 1);
    struct at_signal_spec empty = make_spec(AT_CLASS_PSK_QAM, "qpsk", 1e6, 1e5, 0, 1);
    struct at_signal_spec no_class = make_spec(99, "", 1e6, 1e5, 128, 1);
    struct at_signal_spec no_rate = make_spec(AT_CLASS_OOK, "", 0, 1e5, 128, 1);
    assert_int_equal(at_signal_render(&wide, iq, &t), -EINVAL);
    assert_int_equal(at_signal_render(&unknown, iq, &t), -EINVAL);
    assert_int_equal(at_signal_render(&empty, iq, &t), -EINVAL);
    assert_int_equal(at_signal_render(&no_class, iq, &t), -EINVAL);
    assert_int_equal(at_signal_render(&no_rate, iq, &t), -EINVAL);
}

/* Tiny windows do not trip any member. */
static void test_short_windows(void **state)
{
    float iq[2 * 200];
    for (int c = 0; c < AT_CLASS_COUNT; c++) {
        for (size_t i = 0; i < at_variant_count(c); i++) {
            for (size_t n = 1; n <= 200; n += 66) {
                struct at_signal_spec spec =
                    make_spec(c, at_variant_at(c, i)->name, 1e6, 1.5e5, n, i);
                assert_int_equal(at_signal_render(&spec, iq, NULL), 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_variant_renders),
        cmocka_unit_test(test_natural_scale),
        cmocka_unit_test(test_natural_bandwidth_is_as_told),
        cmocka_unit_test(test_same_seed_same_samples),
        cmocka_unit_test(test_bandwidth_truth),
        cmocka_unit_test(test_filters_before_parts),
        cmocka_unit_test(test_mains_noise),
        cmocka_unit_test(test_rolloff),
        cmocka_unit_test(test_channel_filter),
        cmocka_unit_test(test_sidebands),
        cmocka_unit_test(test_saws_repeat),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_short_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
