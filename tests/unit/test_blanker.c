/* Pulses are taken out, and nothing else. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/dsp/blanker.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { N = 200000 };
static const double rate = 48e3;

struct out {
    float iq[2 * N];
    size_t n;
    uint64_t samples, pulses;
};

static int take(void *ctx, const struct at_input *input, size_t from, size_t n)
{
    struct out *o = ctx;
    assert_true(n > 0 && o->n + n <= N);
    input->write(input->ctx, from, n, o->iq + 2 * o->n);
    o->n += n;
    return 0;
}

static void write_floats(const void *ctx, size_t from, size_t n, float *iq)
{
    memcpy(iq, (const float *)ctx + 2 * from, n * 2 * sizeof *iq);
}

/* Pieces of up to `most` samples. */
static void pass(const float *iq, double threshold_db, size_t most, struct out *o)
{
    struct at_mem mem = {0};
    struct at_blanker b = {.take = take, .ctx = o};
    uint64_t seed = most;
    assert_int_equal(at_blanker_init(&b, &mem, rate, threshold_db), 0);
    o->n = 0;
    for (size_t at = 0, n; at < N; at += n) {
        n = 1 + (size_t)(sig_uniform(&seed) * (double)most);
        n = n < N - at ? n : N - at;
        struct at_input input = {write_floats, iq + 2 * at};
        assert_int_equal(at_blanker_push(&b, &input, n), 0);
        assert_int_equal(o->n + at_blanker_held(&b), at + n);
    }
    assert_int_equal(at_blanker_flush(&b), 0);
    assert_int_equal(o->n, N);
    o->samples = b.n_samples;
    o->pulses = b.n_pulses;
    at_blanker_finish(&b);
}

/* Noise of -60 dBFS and two lines 25 dB over it. */
static float *band(void)
{
    float *iq = sig_noise(N, -60, 7);
    sig_add_tone(iq, 0, N, 0.11, -35);
    sig_add_tone(iq, 0, N, -0.31, -35);
    return iq;
}

/* Of samples [i, i + n) every `period`, noise of this power; returns how many times. */
static size_t add_pulses(float *iq, size_t first, size_t period, size_t n, double dbfs)
{
    size_t count = 0;
    for (size_t i = first; i + n < N; i += period, count++)
        sig_add_noise(iq + 2 * i, n, dbfs, i);
    return count;
}

/* Power of a - b, dBFS. */
static double difference_db(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < 2 * N; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return 10 * log10(sum / N + 1e-30);
}

/* 100 pulses a second of 0.1 ms, 50 dB over the noise: what they leave is weaker than the noise by
 * 10 dB, though the lines are 25 dB stronger than it: these go on under the pulses. Left as holes,
 * 5 samples in 480 would leave -52 dBFS. */
static void test_pulses_are_taken_out_and_lines_go_on(void **state)
{
    static struct out o, cut;
    float *clean = band(), *iq = band();
    size_t count = add_pulses(iq, 1000, 480, 5, -10);
    double before = difference_db(iq, clean);
    pass(iq, 12, N, &o);
    double after = difference_db(o.iq, clean);
    print_message("%zu pulses, %llu taken out, %llu samples; %.1f dBFS before, %.1f after\n", count,
                  (unsigned long long)o.pulses, (unsigned long long)o.samples, before, after);
    assert_int_equal(o.pulses, count);
    assert_in_range(o.samples, 5 * count, 9 * count);
    assert_true(before > -31);
    assert_true(after < -70);
    for (size_t most = 1; most < N; most *= 30) {
        pass(iq, 12, most, &cut);
        assert_memory_equal(cut.iq, o.iq, sizeof o.iq);
        assert_int_equal(cut.samples, o.samples);
    }
    free(clean);
    free(iq);
}

/* Nothing but noise and lines comes out as it went in: noise reaches 12 dB over its median once in
 * 58,000 samples. */
static void test_noise_and_steady_signals_stay(void **state)
{
    static struct out o;
    float *iq = band();
    pass(iq, 12, 5000, &o);
    assert_int_equal(o.samples, 0);
    assert_memory_equal(o.iq, iq, sizeof o.iq);
    free(iq);
    iq = sig_noise(N, -60, 11);
    pass(iq, 12, 5000, &o);
    print_message("of noise %llu samples in %d\n", (unsigned long long)o.samples, N);
    assert_true(o.samples < N / 2000);
    free(iq);
}

/* What lasts for longer than half a millisecond (and 48 samples) is no pulse: it stays, to the bit.
 */
static void test_bursts_stay(void **state)
{
    static struct out o;
    float *iq = band();
    add_pulses(iq, 1000, 4000, 200, -10);
    pass(iq, 12, 5000, &o);
    assert_int_equal(o.samples, 0);
    assert_memory_equal(o.iq, iq, sizeof o.iq);
    free(iq);
}

/* Short bursts that take up a third of the time are no impulse noise: no more than a tenth is taken
 * out. */
static void test_what_is_on_often_stays(void **state)
{
    static struct out o;
    float *iq = band();
    add_pulses(iq, 1000, 60, 20, -10);
    pass(iq, 12, 5000, &o);
    print_message("%llu of %d samples taken out\n", (unsigned long long)o.samples, N);
    assert_true(o.samples < N * 0.13);
    free(iq);
}

static void test_what_is_not_finite_counts_as_zero(void **state)
{
    static struct out o;
    float *iq = band();
    iq[2 * 5000] = NAN;
    iq[2 * 7000 + 1] = INFINITY;
    pass(iq, 12, 5000, &o);
    for (size_t i = 0; i < 2 * N; i++)
        assert_true(isfinite(o.iq[i]));
    free(iq);
}

/* How many of the lines at f (4, cycles a sample) an emission of at most 2 kHz holds; l: what a
 * band with this blanker makes of iq, in pieces, with a gap of lost samples and a pause. */
static unsigned lines_found(const float *iq, double blanker_db, const double *f, struct band_log *l,
                            struct at_band_stats *stats)
{
    enum { PART = 3331 };
    const double band_rate = 250e3;
    struct at_band_config c = {.rate_hz = band_rate, .blanker_db = blanker_db};
    struct at_band_sink sink = {l,           log_opened, log_room, log_tokens,
                                log_updated, log_closed, log_row};
    struct at_band *b = NULL;
    assert_int_equal(at_band_create(NULL, &c, &sink, NULL, &b), 0);
    for (size_t at = 0, gap = 0; at < N; at += PART) {
        size_t n = N - at < PART ? N - at : PART;
        gap += at > N / 2 && gap == 0 ? 5000 : 0;
        if (at / PART == 45)
            assert_int_equal(at_band_pause(b), 0);
        assert_int_equal(at_band_push(b, iq + 2 * at, n, at + gap), 0);
    }
    assert_int_equal(at_band_flush(b), 0);
    at_band_get_stats(b, stats);
    at_band_destroy(b);
    assert_int_equal(stats->samples, N);
    assert_int_equal(l->n_closed, l->n);
    assert_int_equal(l->n_bad, 0);
    log_print(l, band_rate);
    unsigned found = 0;
    for (unsigned k = 0; k < 4; k++)
        for (unsigned i = 0; i < l->n; i++)
            if (l->e[i].f_lo_hz - 200 < f[k] * band_rate &&
                l->e[i].f_hi_hz + 200 > f[k] * band_rate &&
                l->e[i].f_hi_hz - l->e[i].f_lo_hz < 2e3) {
                found++;
                break;
            }
    free(l->frames);
    return found;
}

/* 100 pulses a second of 0.1 ms, 30 dB over the noise of the band, over four lines 5 dB below that
 * noise. */
static void test_a_band_hears_what_is_under_pulses(void **state)
{
    static const double f[] = {-0.37, -0.12, 0.04, 0.29};
    float *iq = sig_noise(N, -60, 7);
    for (unsigned k = 0; k < 4; k++)
        sig_add_tone(iq, 0, N, f[k], -65);
    size_t count = add_pulses(iq, 1000, 2500, 25, -30);
    static struct band_log without, with;
    struct at_band_stats off, on;
    unsigned before = lines_found(iq, 0, f, &without, &off),
             after = lines_found(iq, 12, f, &with, &on);
    print_message(
        "%u of 4 lines without the blanker, %u with it; %llu of %zu pulses, %llu samples\n", before,
        after, (unsigned long long)on.pulses_blanked, count,
        (unsigned long long)on.samples_blanked);
    assert_true(before < 4);
    assert_int_equal(after, 4);
    assert_int_equal(with.n, 4);
    assert_true(off.samples_blanked == 0 && off.pulses_blanked == 0);
    assert_in_range(on.pulses_blanked, count - 2, count + 2);
    assert_in_range(on.samples_blanked, 25 * count, 35 * count);
    free(iq);
}

static void test_a_threshold_that_noise_reaches_is_refused(void **state)
{
    static const double bad[] = {-3, 6, 41, NAN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct band_log l = {0};
        struct at_band_config c = {.rate_hz = rate, .blanker_db = bad[i]};
        struct at_band_sink sink = {&l,          log_opened, log_room, log_tokens,
                                    log_updated, log_closed, log_row};
        struct at_band *b = NULL;
        struct at_error err = {""};
        assert_int_equal(at_band_create(NULL, &c, &sink, &err, &b), -EINVAL);
        assert_non_null(strstr(err.text, "must lie between 9 and 40"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pulses_are_taken_out_and_lines_go_on),
        cmocka_unit_test(test_noise_and_steady_signals_stay),
        cmocka_unit_test(test_bursts_stay),
        cmocka_unit_test(test_what_is_on_often_stays),
        cmocka_unit_test(test_what_is_not_finite_counts_as_zero),
        cmocka_unit_test(test_a_band_hears_what_is_under_pulses),
        cmocka_unit_test(test_a_threshold_that_noise_reaches_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
