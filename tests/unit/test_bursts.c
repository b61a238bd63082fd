/* How wide short bursts are. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

/* The strongest of what is found; the caller's to free: frames. */
static const struct at_emission *strongest(struct band_log *l, float *iq, size_t n, double rate)
{
    assert_int_equal(log_run(l, iq, n, rate), 0);
    assert_true(l->n > 0);
    free(iq);
    free(l->frames);
    const struct at_emission *best = &l->e[0];
    for (unsigned i = 1; i < l->n; i++)
        best = l->e[i].energy > best->energy ? &l->e[i] : best;
    return best;
}

/* Where it goes on and off a tone is spread over many bins, and the rows that show this are half of
 * its rows. */
static void test_a_tone_burst_is_a_line(void **state)
{
    static const struct {
        double rate, seconds;
    } bursts[] = {{1e6, 100e-6}, {1e6, 200e-6}, {1e6, 2e-3}, {10e6, 100e-6}, {250e3, 2e-3}};
    static const double levels[] = {-20, -35};
    for (size_t i = 0; i < sizeof bursts / sizeof *bursts; i++)
        for (unsigned k = 0; k < 8; k++) {
            size_t n = (size_t)(0.15 * bursts[i].rate), from = n / 3 + 37 * k;
            double bin = bursts[i].rate / (bursts[i].rate > 4e6 ? 256 : 64);
            float *iq = sig_noise(n, -50, 3 + k);
            struct band_log l = {0};
            sig_add_tone(iq, from, from + (size_t)(bursts[i].seconds * bursts[i].rate), 0.1234,
                         levels[k % 2]);
            const struct at_emission *e = strongest(&l, iq, n, bursts[i].rate);
            double at = 0.1234 * bursts[i].rate;
            assert_true(e->f_lo_hz < at + bin / 2 && e->f_hi_hz > at - bin / 2);
            assert_true(e->f_hi_hz - e->f_lo_hz <= 3.01 * bin);
        }
}

/* Of one that is keyed every row shows how, and its first and last are no more. */
static void test_a_keyed_burst_is_as_wide_as_its_keying(void **state)
{
    enum { N = 100000, BIT = 50, BITS = 40 };
    for (unsigned k = 0; k < 4; k++) {
        uint64_t seed = k;
        float *iq = sig_noise(N, -50, 3 + k);
        struct band_log l = {0};
        for (size_t i = 0; i < BITS; i++)
            if (i == 0 || i == BITS - 1 || sig_uniform(&seed) < 0.5)
                sig_add_tone(iq, 30000 + i * BIT, 30000 + (i + 1) * BIT, 0.1234, -20);
        const struct at_emission *e = strongest(&l, iq, N, 1e6);
        assert_true(e->f_lo_hz < 80e3 && e->f_hi_hz > 166e3);
    }
}

/* 32 ms of 12.5 kHz at 0 dB: 20 times what noise does over all of it, though each bin of it is weak
 * and one epoch shows most of it. */
static void test_a_weak_one_that_one_epoch_shows(void **state)
{
    enum { SCENES = 12, N = 228000, FROM = 79200, ON = 76800 };
    const double rate = 2.4e6;
    unsigned found = 0;
    for (unsigned k = 0; k < SCENES; k++) {
        float *iq = sig_noise(N, -50, 3 + k);
        struct band_log l = {0};
        double w = 12.5e3 / rate, f = 0.03 * k - 0.2;
        sig_add_wide(iq, FROM + 1000 * k, FROM + 1000 * k + ON, f, w, -50 + 10 * log10(w), 40 + k);
        assert_int_equal(log_run(&l, iq, N, rate), 0);
        for (unsigned i = 0; i < l.n; i++)
            assert_true(fabs((l.e[i].f_lo_hz + l.e[i].f_hi_hz) / 2 - f * rate) < 7e3);
        found += l.n > 0;
        free(iq);
        free(l.frames);
    }
    print_message("0 dB, 32 ms, 12.5 kHz: %u of %d found\n", found, SCENES);
    assert_true(found >= SCENES - 1);
}

/* 3 s of a line 10 dB over the noise of 30 Hz: no epoch shows it for sure, their average does,
 * again and again. It was forgotten each time. */
static void test_a_faint_line_is_found_and_stays_one(void **state)
{
    enum { SCENES = 6, N = 144000 };
    const double rate = 48e3;
    unsigned found = 0, pieces = 0;
    for (unsigned k = 0; k < SCENES; k++) {
        float *iq = sig_noise(N, -50, 3 + k);
        struct band_log l = {0};
        double f = 0.0571 * k - 0.2;
        sig_add_tone(iq, 0, N, f, -50 + 10 + 10 * log10(30 / rate));
        assert_int_equal(log_run(&l, iq, N, rate), 0);
        for (unsigned i = 0; i < l.n; i++)
            assert_true(fabs((l.e[i].f_lo_hz + l.e[i].f_hi_hz) / 2 - f * rate) < 200);
        found += l.n > 0;
        pieces += l.n;
        free(iq);
        free(l.frames);
    }
    print_message("a line 10 dB over the noise of 30 Hz: %u of %d found, %u emissions\n", found,
                  SCENES, pieces);
    assert_true(found >= SCENES - 1 && pieces <= SCENES + 2);
}

/* When it is off the average goes on showing it for a while: that is not its end. */
static void test_a_faint_line_ends_when_it_is_over(void **state)
{
    enum { N = 240000, FROM = 24000, TO = 168000 };
    const double rate = 48e3;
    float *iq = sig_noise(N, -50, 3);
    struct band_log l = {0};
    sig_add_tone(iq, FROM, TO, 0.1, -50 + 11 + 10 * log10(30 / rate));
    const struct at_emission *e = strongest(&l, iq, N, rate);
    print_message("from %.3f to %.3f s; sent 0.500 to 3.500\n", (double)e->start / rate,
                  (double)e->end / rate);
    assert_true((double)e->start > FROM - 0.05 * rate && (double)e->start < FROM + 0.7 * rate);
    assert_true(fabs((double)e->end - TO) < 0.15 * rate);
}

/* I and Q of a remote that is far too strong are square waves: what they make at -3, 5 and -7 times
 * its frequency is none of it. */
static void test_a_clipped_remote_is_a_line(void **state)
{
    enum { N = 125000, UNIT = 125 };
    static const double places[] = {-4.9e3 / 250e3, 7.3e3 / 250e3, 3.1e3 / 250e3};
    for (unsigned k = 0; k < 3; k++) {
        uint64_t seed = k + 1;
        float *iq = sig_noise(N, -45, 3 + k);
        struct band_log l = {0};
        for (size_t i = 40; i < N / UNIT - 40; i++)
            if (sig_uniform(&seed) < 0.5)
                sig_add_tone(iq, i * UNIT, (i + 1) * UNIT, places[k], 12);
        for (size_t i = 0; i < 2 * N; i++)
            iq[i] = fminf(fmaxf(iq[i], -1), 1);
        const struct at_emission *e = strongest(&l, iq, N, 250e3);
        double at = places[k] * 250e3;
        print_message("%.1f kHz: %.1f to %.1f kHz\n", at / 1e3, e->f_lo_hz / 1e3, e->f_hi_hz / 1e3);
        assert_true(e->f_lo_hz < at && e->f_hi_hz > at);
        assert_true(e->f_hi_hz - e->f_lo_hz < 2.5 * fabs(at) + 4e3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tone_burst_is_a_line),
        cmocka_unit_test(test_a_keyed_burst_is_as_wide_as_its_keying),
        cmocka_unit_test(test_a_clipped_remote_is_a_line),
        cmocka_unit_test(test_a_weak_one_that_one_epoch_shows),
        cmocka_unit_test(test_a_faint_line_is_found_and_stays_one),
        cmocka_unit_test(test_a_faint_line_ends_when_it_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
