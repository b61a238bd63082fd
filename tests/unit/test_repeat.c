/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/dsp/plan.h"
#include "lib/dsp/repeat.h"
#include "lib/dsp/spectrum.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 2.4e6
enum { N = 8192, EPOCH = 6 * N, SYMBOL = 2048, GUARD = 64 };

/* Adds OFDM of QPSK whose carriers stand in the part [lo, hi) of the rate: symbols of 853 us, 1/32
 * of which is their cyclic prefix. */
static void add_ofdm(float *iq, size_t n, double lo, double hi, double dbfs, uint64_t seed)
{
    const struct at_plan *plan = at_plan_get(SYMBOL, AT_PLAN_INVERSE);
    float *in = at_mem_array(NULL, AT_MEM_OTHER, 2 * SYMBOL, sizeof *in),
          *out = at_mem_array(NULL, AT_MEM_OTHER, 2 * SYMBOL, sizeof *out),
          a = (float)sqrt(pow(10, dbfs / 10) / SYMBOL / 2);
    for (size_t at = 0; at < n; at += SYMBOL + GUARD) {
        for (int k = 0; k < SYMBOL; k++) {
            double f = (k < SYMBOL / 2 ? k : k - SYMBOL) / (double)SYMBOL;
            for (int j = 0; j < 2; j++)
                in[2 * k + j] = f >= lo && f < hi ? sig_uniform(&seed) < 0.5 ? a : -a : 0;
        }
        at_plan_run(plan, in, out);
        for (size_t i = 0; i < SYMBOL + GUARD && at + i < n; i++)
            for (size_t j = 0; j < 2; j++)
                iq[2 * (at + i) + j] += out[2 * ((i + SYMBOL - GUARD) % SYMBOL) + j];
    }
    at_mem_free(NULL, in);
    at_mem_free(NULL, out);
}

/* Epochs until it is found; 0: it never is. */
static int see(const char *what, const float *iq, size_t n)
{
    struct at_repeat r;
    struct at_stft s;
    static float rows[2 * EPOCH / N * N + N];
    int at = 0;
    assert_int_equal(at_repeat_init(&r, NULL, RATE, N), 0);
    assert_int_equal(at_stft_init(&s, NULL, N, 1, RATE, 0), 0);
    float level = 0;
    for (size_t e = 0; (e + 1) * EPOCH <= n; e++) {
        size_t t = at_stft_run(&s, iq + 2 * e * EPOCH, EPOCH, rows, sizeof rows / sizeof *rows / N);
        float now = at_repeat_see(&r, rows, t);
        at = now > 0 && !at ? (int)e + 1 : at;
        level = now > 0 ? now : level;
    }
    print_message("%s: %s at epoch %d, lag %u, %.1f dBFS/Hz\n", what,
                  at ? "repeats itself" : "does not", at, r.lag, 10 * log10((double)level + 1e-30));
    if (at) {
        assert_int_equal(r.lag, SYMBOL);
        assert_true(fabs(10 * log10((double)level * RATE) + 20) < 1.5);
    }
    at_repeat_finish(&r);
    at_stft_finish(&s);
    return at;
}

static void test_ofdm_that_fills_the_band_repeats_itself(void **state)
{
    size_t n = 10 * EPOCH;
    float *iq = sig_noise(n, -40, 1);
    add_ofdm(iq, n, -0.5, 0.5, -20, 2);
    assert_in_range(see("OFDM over all of the band", iq, n), 1, 4);
    free(iq);
    iq = sig_noise(n, -40, 1);
    add_ofdm(iq, n, -0.45, 0.45, -20.5, 2);
    assert_in_range(see("over nine tenths", iq, n), 1, 4);
    free(iq);
}

static void test_noise_and_what_does_not_fill_the_band_do_not(void **state)
{
    size_t n = 40 * EPOCH;
    float *iq = sig_noise(n, -20, 1);
    assert_int_equal(see("noise", iq, n), 0);
    for (int i = 0; i < 20; i++)
        sig_add_tone(iq, 0, n, -0.4 + 0.04 * i + 1e-5 * i * i, -30);
    assert_int_equal(see("with twenty carriers", iq, n), 0);
    free(iq);
    iq = sig_noise(n, -20, 5);
    for (int i = 0; i < 20; i++)
        sig_add_tone(iq, 0, n, -0.4 + 0.04 * i, -30);
    assert_int_equal(see("with a comb of carriers", iq, n), 0);
    free(iq);
    static const size_t periods[] = {240, 1200, 2400, 3900};
    for (size_t k = 0; k < sizeof periods / sizeof *periods; k++) {
        iq = sig_noise(n, -20, 6);
        for (size_t i = 0; i < n; i += periods[k]) /* of about half the noise's power */
            iq[2 * i] += 0.07f * (float)sqrt((double)periods[k]);
        print_message("pulses every %zu samples: ", periods[k]);
        assert_int_equal(see("noise with pulses", iq, n), 0);
        free(iq);
    }
    n = 20 * EPOCH;
    iq = sig_noise(n, -20, 3);
    for (size_t i = n - 1; i >= 40; i--) /* a filter with an echo */
        for (int j = 0; j < 2; j++)
            iq[2 * i + (size_t)j] +=
                0.5f * iq[2 * (i - 3) + (size_t)j] + 0.2f * iq[2 * (i - 40) + (size_t)j];
    assert_int_equal(see("noise with echoes of 1 and 17 us", iq, n), 0);
    add_ofdm(iq, n, -0.1, 0.3, -20, 4);
    assert_int_equal(see("with OFDM over a part of the band", iq, n), 0);
    free(iq);
}

/* Seen from the first sample on: one emission over the band, above a floor that is said to be
 * assumed; when it goes, the noise is measured and no emission. */
static void test_a_band_filled_to_the_brim_is_an_emission(void **state)
{
    size_t on = (size_t)RATE, n = 2 * on;
    struct band_log l = {0};
    struct at_band_stats s;
    float *iq = sig_noise(n, -40, 1);
    add_ofdm(iq, on, -0.5, 0.5, -20, 2);
    struct at_band *b = log_band(&l, NULL, RATE);
    assert_int_equal(at_band_push(b, iq, on / 2, 0), 0);
    at_band_get_stats(b, &s);
    assert_int_equal(s.floor_source, AT_FLOOR_ASSUMED);
    assert_true(s.floor_dbfs_hz < -93 &&
                s.floor_dbfs_hz > -105); /* 10 to 20 dB below what is there */
    assert_int_equal(at_band_push(b, iq + on, n - on / 2, on / 2), 0);
    assert_int_equal(at_band_flush(b), 0);
    at_band_get_stats(b, &s);
    for (unsigned i = 0; i < l.n; i++)
        print_message("%.2f..%.2f MHz, %.0f..%.0f ms, %.1f dB, floor %s\n", l.e[i].f_lo_hz / 1e6,
                      l.e[i].f_hi_hz / 1e6, (double)l.e[i].start / RATE * 1e3,
                      (double)l.e[i].end / RATE * 1e3, (double)l.e[i].snr_db,
                      at_floor_source_name(l.e[i].floor_source));
    print_message("floor %.1f dBFS/Hz (%s), noise %.1f\n", (double)s.floor_dbfs_hz,
                  at_floor_source_name(s.floor_source), -40 - 10 * log10(RATE));
    assert_int_equal(l.n, 1);
    assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz > 0.95 * RATE);
    assert_true(fabs((double)l.e[0].end / RATE - 1) < 0.05);
    assert_int_equal(l.e[0].floor_source, AT_FLOOR_ASSUMED);
    assert_int_equal(s.floor_source, AT_FLOOR_MEASURED);
    assert_true(fabs((double)s.floor_dbfs_hz + 40 + 10 * log10(RATE)) < 1);
    at_band_destroy(b);
    free(l.frames);
    free(iq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ofdm_that_fills_the_band_repeats_itself),
        cmocka_unit_test(test_noise_and_what_does_not_fill_the_band_do_not),
        cmocka_unit_test(test_a_band_filled_to_the_brim_is_an_emission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
