/* Noise through a receiver's filter is the floor of what stands on it; what fills a channel is a
 * signal. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/synth/synth.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 250e3
enum { N = 125000 }; /* half a second */

/* The widest emission of the log, as a part of the rate, and how long it was there, as a part of
 * the time. */
static double widest(const struct band_log *l, double *ret_life)
{
    unsigned at = 0;
    for (unsigned i = 1; i < l->n; i++)
        at = l->e[i].f_hi_hz - l->e[i].f_lo_hz > l->e[at].f_hi_hz - l->e[at].f_lo_hz ? i : at;
    *ret_life = l->n ? (double)(l->e[at].end - l->e[at].start) / N : 0;
    return l->n ? (l->e[at].f_hi_hz - l->e[at].f_lo_hz) / RATE : 0;
}

static unsigned near(const struct band_log *l, double f_hz, double w_hz, float *ret_snr_db)
{
    unsigned found = 0;
    for (unsigned i = 0; i < l->n; i++) {
        double lo = l->e[i].f_lo_hz, hi = l->e[i].f_hi_hz;
        if (fabs((lo + hi) / 2 - f_hz) < w_hz / 2 && hi - lo < 2 * w_hz) {
            *ret_snr_db = l->e[i].snr_db;
            found++;
        }
    }
    return found;
}

/* Noise of -40 dBFS in all, of which a filter passes `share` of the rate, over a converter's of
 * `below` dB less in each Hz: what lies in it the filter passes too, 20 dB over the noise, here two
 * that stay and a burst. */
static void check_filter(double share, double below, uint64_t seed)
{
    static const double at[] = {-0.31, -0.12, 0.26}, wide[] = {0.03, 0.012, 0.02};
    float *iq = sig_noise(N, -40 - below, seed), snr = 0;
    struct band_log l = {0};
    sig_add_wide(iq, 0, N, 0, share, -40 + 10 * log10(share), seed + 1);
    for (size_t i = 0; i < 3; i++)
        sig_add_wide(iq, i == 2 ? N / 3 : 0, i == 2 ? N / 2 : N, at[i] * share, wide[i],
                     -20 + 10 * log10(wide[i]), seed + 2 + i);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    unsigned n = 0;
    for (unsigned i = 0; i < l.n; i++)
        n += l.e[i].energy > 0; /* what was found before the noise was known has none */
    print_message(
        "a filter that passes %.0f %%, %.0f dB over the rest: %u emissions (3), %u before\n",
        100 * share, below, n, l.n - n);
    assert_int_equal(n, 3);
    assert_in_range(l.n, 3, 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(near(&l, at[i] * share * RATE, wide[i] * RATE, &snr), 1);
        assert_true(fabs((double)snr - 20) < 2);
    }
    free(l.frames);
    free(iq);
}

static void test_noise_through_a_filter(void **state)
{
    (void)state;
    static const double shares[] = {0.4, 0.5, 0.7, 0.8};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        for (double below = 12; below <= 60; below += 24)
            check_filter(shares[i], below, 10 * i + 1);
}

/* A filter of one pole falls by so little that its sides are now far enough below and now not:
 * stations live on. */
static void test_a_shallow_filter(void **state)
{
    (void)state;
    float *iq = sig_noise(N, -40, 21);
    struct band_log l = {0};
    for (size_t i = 0; i < 3; i++)
        sig_add_wide(iq, 0, N, 0.13 * (double)i - 0.15, 0.015, -38, 22 + i);
    for (size_t i = 2; i < (size_t)2 * N;
         i++) /* 20 log10((1 + 0.38) / (1 - 0.38)) = 6.9 dB down at half the rate */
        iq[i] += 0.38f * iq[i - 2];
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    print_message("a shallow filter: %u emissions (3)\n", l.n);
    assert_int_equal(l.n, 3);
    free(l.frames);
    free(iq);
}

/* Until something stands on it, it may as well be a signal, and is reported as one, which is over
 * then. */
static void test_it_shows_when_something_comes(void **state)
{
    (void)state;
    float *iq = sig_noise(N, -90, 1), snr = 0;
    struct band_log l = {0};
    double life;
    sig_add_wide(iq, 0, N, 0, 0.7, -41.5, 2);
    sig_add_wide(iq, N / 2, N, 0.1, 0.04, -34, 3);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    double share = widest(&l, &life);
    print_message("%u emissions (2), the widest %.2f of the rate, for %.2f of the time (0.5)\n",
                  l.n, share, life);
    assert_int_equal(l.n, 2);
    assert_true(fabs(share - 0.7) < 0.05 && fabs(life - 0.5) < 0.1);
    assert_int_equal(near(&l, 0.1 * RATE, 0.04 * RATE, &snr), 1);
    assert_true(l.e[0].energy == 0 &&
                l.e[1].energy > 0); /* the noise of a file is not the most of it */
    free(l.frames);
    free(iq);
}

static void check_stays(const char *what, const float *iq, double least)
{
    struct band_log l = {0};
    double life;
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    double share = widest(&l, &life);
    print_message("%s: %u emissions, the widest %.2f of the rate, for %.2f of the time\n", what,
                  l.n, share, life);
    assert_true(share > least && life > 0.8);
    free(l.frames);
}

/* A line on it is no evidence, nor two on what comes again as OFDM does, nor any on what is on for
 * a third of the time only, or not around 0 Hz. */
static void test_a_signal_stays_one(void **state)
{
    (void)state;
    float *iq = sig_noise(N, -80, 5);
    sig_add_wide(iq, 0, N, 0, 0.7, -31.5, 6);
    sig_add_tone(iq, 0, N, 0.11, -30);
    check_stays("steady, a line", iq, 0.6);
    free(iq);

    iq = sig_noise(N, -80, 5);
    sig_add_wide(iq, 0, N, 0.1, 0.6, -31.5, 6);
    sig_add_wide(iq, 0, N, 0.05, 0.02, -32, 7);
    check_stays("beside 0 Hz", iq, 0.5);
    free(iq);

    iq = sig_noise(N, -80, 5);
    for (size_t at = 0; at + 1000 < N; at += 1000)
        sig_add_wide(iq, at, at + 330, 0, 0.7, -31.5, 7 + at);
    sig_add_tone(iq, 0, N, 0.11, -40);
    sig_add_tone(iq, 0, N, -0.07, -40);
    check_stays("pulses, two lines", iq, 0.6);
    free(iq);

    iq = calloc(N, 8);
    struct at_signal_spec s = {.class_id = AT_CLASS_OFDM,
                               .variant = "dab_iii",
                               .rate_hz = RATE,
                               .bandwidth_hz = 0.7 * RATE,
                               .n = N,
                               .seed = 3,
                               .clean = true};
    struct at_signal_truth t;
    assert_int_equal(at_signal_render(&s, iq, &t), 0);
    for (size_t i = 0; i < (size_t)2 * N; i++)
        iq[i] *= 0.02f;
    sig_add_noise(iq, N, -80, 5);
    sig_add_tone(iq, 0, N, 0.11, -34);
    sig_add_tone(iq, 0, N, -0.07, -34);
    check_stays("OFDM, two lines", iq, 0.6);
    free(iq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_through_a_filter),
        cmocka_unit_test(test_a_shallow_filter),
        cmocka_unit_test(test_it_shows_when_something_comes),
        cmocka_unit_test(test_a_signal_stays_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
