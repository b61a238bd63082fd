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

#include "lib/synth/synth.h"

static struct at_scene one(int class_id, const char *variant, double snr_db)
{
    struct at_scene s = {.rate_hz = 1e6, .duration_s = 0.1, .n_emitters = 1};
    s.channel = (struct at_channel_spec){.seed = 9, .noise_dbfs_hz = -110};
    s.emitters[0] = (struct at_emitter){.offset_hz = 2e5, .snr_db = snr_db};
    s.emitters[0].signal =
        (struct at_signal_spec){.class_id = class_id, .seed = 4, .bandwidth_hz = 1e5, .clean = 1};
    snprintf(s.emitters[0].signal.variant, 24, "%s", variant);
    return s;
}

/* Power in all, less the noise, is the SNR over the noise in the occupied bandwidth. */
static void test_snr(void **state)
{
    struct at_scene s = one(AT_CLASS_PSK_QAM, "qpsk", 20);
    size_t n = 100000;
    float *iq = malloc(2 * n * sizeof *iq);
    struct at_signal_truth t;
    assert_int_equal(at_scene_render(&s, 0, iq, &t), 0);
    double p = 0;
    for (size_t i = 0; i < 2 * n; i++)
        p += (double)iq[i] * iq[i];
    double noise = 1e-11 * 1e6,
           got = 10 * log10((p / (double)n - noise) / (1e-11 * t.bandwidth_hz));
    printf("SNR %.2f dB (20), bandwidth %.0f\n", got, t.bandwidth_hz);
    assert_true(fabs(got - 20) < 0.3);
    assert_true(fabs(t.center_hz) < 1);
    free(iq);
}

/* Where it would reach over the end of the band it is moved, if that is wanted, and the truth says
 * how far; elsewhere it stays. */
static void test_emitter_fits_the_band(void **state)
{
    struct at_scene s = one(AT_CLASS_PSK_QAM, "qpsk", 20);
    float *iq = malloc(2 * 100000 * sizeof *iq);
    struct at_signal_truth t;
    s.emitters[0].fits = true;
    assert_int_equal(at_scene_render(&s, 0, iq, &t), 0);
    assert_true(t.center_hz == 0);
    for (int side = -1; side <= 1; side += 2) {
        s.emitters[0].offset_hz = side * 0.48 * s.rate_hz;
        assert_int_equal(at_scene_render(&s, 0, iq, &t), 0);
        double end = fabs(s.emitters[0].offset_hz + t.center_hz) + t.bandwidth_hz / 2;
        print_message("moved by %.0f Hz, ends at %.0f\n", t.center_hz, end);
        assert_true(fabs(end - s.rate_hz / 2) < 1 && side * t.center_hz < 0);
    }
    free(iq);
}

/* Keys of Morse, part by part, and the longest burst of a carrier whose bursts lie apart. */
static void test_truth_says_when_it_is_on(void **state)
{
    enum { N = 120000 };
    struct at_scene s = one(AT_CLASS_CW, "cw_keyer", 20);
    s.rate_hz = 12e3;
    s.duration_s = (double)N / s.rate_hz;
    s.emitters[0].offset_hz = s.emitters[0].signal.bandwidth_hz = 0;
    float *iq = malloc(2 * N * sizeof *iq);
    struct at_signal_truth t;
    assert_int_equal(at_scene_render(&s, 0, iq, &t), 0);
    unsigned keys = 0;
    for (int i = 0; i < AT_TRUTH_PARTS; i++)
        keys += t.keys_in[i];
    print_message("%u keys\n", keys);
    assert_int_equal(keys, t.keys);
    assert_true(keys > 10);
    snprintf(s.emitters[0].signal.variant, 24, "carrier_burst");
    s.emitters[0].signal.class_id = AT_CLASS_CARRIER;
    int apart = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        s.emitters[0].signal.seed = seed;
        assert_int_equal(at_scene_render(&s, 0, iq, &t), 0);
        assert_true(t.burst_first >= t.first && t.burst_last <= t.last);
        assert_true(t.burst_last > t.burst_first);
        double gap = (double)(t.last - t.first - (t.burst_last - t.burst_first)) / s.rate_hz;
        apart += t.keys > 1;
        assert_true(t.keys > 1 ? gap > AT_BURST_GAP_S : gap == 0);
    }
    assert_true(apart > 0);
    free(iq);
}

static void test_emitter_keeps_to_its_time(void **state)
{
    struct at_scene s = one(AT_CLASS_PSK_QAM, "qpsk", 20);
    s.channel.noise_dbfs_hz = 0;
    s.emitters[0].start_s = 0.03;
    s.emitters[0].duration_s = 0.02;
    float *iq = malloc(2 * 100000 * sizeof *iq);
    struct at_signal_truth t;
    assert_int_equal(at_scene_render(&s, 0, iq, &t), 0);
    for (size_t i = 0; i < 100000; i++) {
        if ((i < 30000 || i >= 50000) && (iq[2 * i] != 0 || iq[2 * i + 1] != 0))
            fail_msg("sample %zu is on", i);
    }
    assert_int_equal(t.first, 30000);
    assert_int_equal(t.last, 50000);
    free(iq);
}

/* Across the seam samples differ no more than elsewhere. */
static void test_loop_has_no_seam(void **state)
{
    static const struct {
        int c;
        const char *v;
    } list[] = {{AT_CLASS_CARRIER, "carrier_steady"},
                {AT_CLASS_WFM, "wfm_stereo"},
                {AT_CLASS_FSK4, "dmr"},
                {AT_CLASS_PSK_QAM, "qpsk"}};
    size_t n = 100000;
    float *iq = malloc(2 * n * sizeof *iq);
    for (size_t k = 0; k < 4; k++) {
        struct at_scene s = one(list[k].c, list[k].v, 40);
        s.channel.noise_dbfs_hz = 0;
        s.channel.phase_noise_dbc_hz = -100;
        s.emitters[0].offset_hz = 1234.5;
        s.emitters[0].signal.bandwidth_hz = 2e4;
        assert_int_equal(at_scene_render(&s, 1, iq, NULL), 0);
        double worst = 0, low = 1e9, mean = 0;
        for (size_t i = 1; i < n; i++) {
            double d = hypot(iq[2 * i] - iq[2 * i - 2], iq[2 * i + 1] - iq[2 * i - 1]),
                   a = hypot(iq[2 * i], iq[2 * i + 1]);
            worst = d > worst ? d : worst;
            mean += a / (double)n;
            low = a < low ? a : low;
        }
        double seam = hypot(iq[0] - iq[2 * n - 2], iq[1] - iq[2 * n - 1]);
        printf("%s: step at the seam %.3g, elsewhere at most %.3g, least amplitude %.2f of mean\n",
               list[k].v, seam, worst, low / mean);
        assert_true(seam <= 1.2 * worst);
        if (k == 0)
            assert_true(low > 0.98 * mean);
    }
    free(iq);
}

static void test_named_scenes(void **state)
{
    struct at_scene s;
    assert_int_equal(at_scene_named("nonsense", 0, 1, &s), -ENOENT);
    assert_int_equal(at_scene_named("quiet", 0, 1, &s), 0);
    assert_int_equal(s.n_emitters, 0);
    assert_int_equal(at_scene_named("dense", 0, 1, &s), 0);
    assert_true(s.n_emitters >= 40);
    assert_int_equal(at_scene_named("fm30", 0, 1, &s), 0);
    assert_int_equal(s.n_emitters, 30);
    assert_int_equal(at_scene_named("demo", 0, 1, &s), 0);
    assert_true(s.rate_hz == 2.4e6 && s.n_emitters >= 9);
}

/* Every emitter of every scene exists and fits. */
static void test_named_scenes_render(void **state)
{
    static const char *const names[] = {"demo", "dense", "fm30", "quiet"};
    for (size_t i = 0; i < 4; i++) {
        struct at_scene s;
        assert_int_equal(at_scene_named(names[i], 0, 7, &s), 0);
        s.duration_s = 0.02;
        size_t n = (size_t)(s.rate_hz * s.duration_s);
        float *iq = malloc(2 * n * sizeof *iq);
        int rc = at_scene_render(&s, 1, iq, NULL);
        double p = 0;
        for (size_t k = 0; k < 2 * n; k++)
            p += (double)iq[k] * iq[k] / (double)n;
        printf("%s: %zu emitters, %.1f dBFS\n", names[i], s.n_emitters, 10 * log10(p));
        free(iq);
        assert_int_equal(rc, 0);
        assert_true(p > 0 && p < 0.5);
    }
}

/* The demo: neighbours do not touch, all stay within +-1.1 MHz and are on the air. */
static void test_demo_is_well_spaced(void **state)
{
    struct at_scene s;
    struct at_signal_truth t[64];
    unsigned classes = 0;
    assert_int_equal(at_scene_named("demo", 0, 1, &s), 0);
    s.duration_s = 1;
    size_t n = (size_t)(s.rate_hz * s.duration_s);
    float *iq = malloc(2 * n * sizeof *iq);
    assert_int_equal(at_scene_render(&s, 1, iq, t), 0);
    for (size_t i = 0; i < s.n_emitters; i++) {
        double lo = s.emitters[i].offset_hz - t[i].bandwidth_hz / 2,
               hi = s.emitters[i].offset_hz + t[i].bandwidth_hz / 2;
        printf("%-8s %-15s %8.1f..%8.1f kHz on %.2f\n", at_class_name(t[i].class_id), t[i].variant,
               lo / 1e3, hi / 1e3, t[i].on_share);
        assert_true(lo > -1.1e6 && hi < 1.1e6);
        classes |= 1u << t[i].class_id;
        for (size_t k = 0; k < i; k++)
            assert_true(fabs(s.emitters[k].offset_hz - s.emitters[i].offset_hz) >
                        (t[k].bandwidth_hz + t[i].bandwidth_hz) / 2);
    }
    assert_true(__builtin_popcount(classes) >= 9);
    free(iq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snr),
        cmocka_unit_test(test_emitter_fits_the_band),
        cmocka_unit_test(test_truth_says_when_it_is_on),
        cmocka_unit_test(test_emitter_keeps_to_its_time),
        cmocka_unit_test(test_loop_has_no_seam),
        cmocka_unit_test(test_named_scenes),
        cmocka_unit_test(test_named_scenes_render),
        cmocka_unit_test(test_demo_is_well_spaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
