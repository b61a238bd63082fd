/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/spectrum.h"
#include "tests/support/signals.h"

#define RATE 1e6
enum { N = 64, ROWS = 600, SAMPLES = (ROWS + 1) * N / 2 };

static double db(double x)
{
    return 10 * log10(x + 1e-30);
}

/* Short spectra of iq, then the floor of them. */
static void measure(const float *iq, struct at_floor *f, int epochs)
{
    struct at_stft s;
    assert_int_equal(at_stft_init(&s, NULL, N, 1, RATE, 0), 0);
    assert_int_equal(at_floor_init(f, NULL, N, ROWS + 1, 0), 0);
    float *rows = calloc((ROWS + 1) * N, sizeof *rows);
    size_t part = SAMPLES / (size_t)epochs;
    for (int e = 0; e < epochs; e++) {
        size_t t = at_stft_run(&s, iq + 2 * (size_t)e * part, part, rows, ROWS + 1);
        at_floor_update(f, rows, t, 1, NULL, false);
    }
    free(rows);
    at_stft_finish(&s);
}

static void check(const char *what, const float *iq, double want_db, double within_db)
{
    struct at_floor f;
    measure(iq, &f, 1);
    double worst = 0, sum = 0;
    for (unsigned k = 0; k < N; k++) {
        double off = db(f.density[k]) - want_db;
        sum += off / N;
        worst = fabs(off) > fabs(worst) ? off : worst;
    }
    print_message("%s: floor off by %.2f dB in the mean, %.2f in the worst bin\n", what, sum,
                  worst);
    assert_true(fabs(sum) < within_db);
    assert_true(fabs(worst) < within_db + 1.5);
    assert_int_equal(f.source, AT_FLOOR_MEASURED);
    at_floor_finish(&f);
}

static void test_noise_and_what_stands_in_it(void **state)
{
    float *iq = calloc(SAMPLES, 8);
    sig_add_noise(iq, SAMPLES, -50, 1);
    check("noise", iq, -110, 0.5);
    sig_add_tone(iq, 0, SAMPLES, 0.1, -20);
    check("a carrier 30 dB over all of it", iq, -110, 0.5);
    sig_add_wide(iq, SAMPLES / 4, SAMPLES / 2, 0, 0.8, -20, 3);
    check("and a burst over most of the band", iq, -110, 0.9);
    memset(iq, 0, SAMPLES * 8);
    sig_add_noise(iq, SAMPLES, -50, 1);
    sig_add_wide(iq, 0, SAMPLES, -0.2, 0.3, -20, 4);
    check("a steady signal over a third of the band", iq, -110, 0.5);
    sig_add_wide(iq, 0, SAMPLES, 0, 0.6, -20, 5);
    check("another over the middle six tenths", iq, -110, 0.5);
    free(iq);
}

/* What stands 1.3 dB over its surroundings in two of the first three epochs may be over by the
 * next. */
static void test_a_young_floor_does_not_take_in_a_weak_burst(void **state)
{
    float *iq = calloc(SAMPLES, 8);
    struct at_floor f;
    double most = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        memset(iq, 0, SAMPLES * 8);
        sig_add_noise(iq, SAMPLES, -50, seed);
        sig_add_wide(iq, SAMPLES / 3, SAMPLES, 0.25, 3.0 / N, -50 + 10 * log10(0.35 * 3 / N),
                     seed + 20);
        measure(iq, &f, 3);
        most += (db(f.density[N / 2 + N / 4]) + 110) / 8;
        at_floor_finish(&f);
    }
    print_message("a weak burst over three bins: floor off by %.2f dB there\n", most);
    assert_true(fabs(most) < 0.6);
    free(iq);
}

static void test_exact_zeros_are_no_noise(void **state)
{
    float *iq = calloc(SAMPLES, 8);
    sig_add_noise(iq, SAMPLES / 3, -50, 1);
    check("two thirds gated", iq, -110, 0.7);
    struct at_floor f;
    memset(iq, 0, SAMPLES * 8);
    measure(iq, &f, 1);
    assert_int_equal(f.source, AT_FLOOR_ASSUMED);
    at_floor_finish(&f);
    free(iq);
}

static void test_a_signal_that_fills_the_middle_is_not_noise(void **state)
{
    float *iq = calloc(SAMPLES, 8);
    struct at_floor f;
    sig_add_noise(iq, SAMPLES, -60, 1);
    sig_add_wide(iq, 0, SAMPLES, 0, 0.8, -30, 4);
    measure(iq, &f, 1);
    print_message("steady over 80 %% of the band: floor at 0 Hz %.2f dBFS/Hz, noise -120\n",
                  db(f.density[N / 2]));
    assert_true(fabs(db(f.density[N / 2]) + 120) < 2.5);
    at_floor_finish(&f);
    free(iq);
}

/* The floor of one epoch whose long spectra are seen too. */
static double floor_at_0_hz(const float *iq)
{
    enum { LONG = 2048 };
    struct at_floor f;
    struct at_stft s, l;
    assert_int_equal(at_stft_init(&s, NULL, N, 1, RATE, 0), 0);
    assert_int_equal(at_stft_init(&l, NULL, LONG, 1, RATE, 0), 0);
    assert_int_equal(at_floor_init(&f, NULL, N, ROWS + 1, 0), 0);
    float *rows = calloc((ROWS + 1) * N, sizeof *rows), *slow = calloc(SAMPLES * 2, sizeof *slow);
    size_t t = at_stft_run(&s, iq, SAMPLES, rows, ROWS + 1);
    at_floor_see_ends(&f, slow, at_stft_run(&l, iq, SAMPLES, slow, 2 * SAMPLES / LONG), LONG);
    at_floor_update(&f, rows, t, 1, NULL, false);
    double level = db(f.density[N / 2]);
    free(rows);
    free(slow);
    at_floor_finish(&f);
    at_stft_finish(&s);
    at_stft_finish(&l);
    return level;
}

/* Noise through a filter of 33 taps (Hamming), as a receiver has one, that passes `share` of the
 * rate. */
static void add_filtered(float *iq, double share, double dbfs, uint64_t seed)
{
    enum { TAPS = 33 };
    float *x = sig_noise(SAMPLES + TAPS, dbfs, seed);
    for (size_t i = 0; i < SAMPLES; i++)
        for (int k = 0; k < TAPS; k++) {
            double t = k - TAPS / 2, c = t == 0 ? share : sin(M_PI * share * t) / (M_PI * t);
            double h = c * (0.54 + 0.46 * cos(2 * M_PI * t / (TAPS + 1)));
            iq[2 * i] += (float)(h * (double)x[2 * (i + (size_t)k)]);
            iq[2 * i + 1] += (float)(h * (double)x[2 * (i + (size_t)k) + 1]);
        }
    free(x);
}

/* Two bins of the short spectra are not enough to show noise on either side; the long ones show it,
 * and the corner between, which a receiver's own filter has not. */
static void test_noise_beside_a_signal_that_fills_nearly_all(void **state)
{
    static const double shares[] = {0.92, 0.95, 0.97};
    float *iq = calloc(SAMPLES, 8);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        memset(iq, 0, SAMPLES * 8);
        sig_add_noise(iq, SAMPLES, -60, i + 1);
        sig_add_wide(iq, 0, SAMPLES, 0, shares[i], -35, i + 4);
        double level = floor_at_0_hz(iq);
        print_message("a signal over %.0f %% of the band: floor %.2f dBFS/Hz, noise -120\n",
                      100 * shares[i], level);
        assert_true(fabs(level + 120) < 2);
    }
    for (double share = 0.8; share < 0.97; share += 0.02) {
        memset(iq, 0, SAMPLES * 8);
        sig_add_noise(iq, SAMPLES, -60, 9);
        add_filtered(iq, share, -35, 10);
        double level = floor_at_0_hz(iq);
        print_message("noise through a filter that passes %.0f %%: floor %.2f dBFS/Hz, noise -95\n",
                      100 * share, level);
        assert_true(share < 0.86 || fabs(level + 95) < 1.5);
    }
    free(iq);
}

/* A clipping converter shows 10 dB less noise for a moment: the floor stands; where it goes on for
 * longer than the floor's memory it sinks. */
static void test_clipping_does_not_sink_it(void **state)
{
    enum { T = 64 };
    struct at_floor f;
    struct at_stft s;
    float *iq = calloc(SAMPLES, 8), *loud = calloc((T + 1) * N, sizeof *loud),
          *low = calloc((T + 1) * N, sizeof *low);
    sig_add_noise(iq, SAMPLES, -60, 11);
    assert_int_equal(at_stft_init(&s, NULL, N, 1, RATE, 0), 0);
    assert_int_equal(at_floor_init(&f, NULL, N, T + 1, 0), 0);
    size_t t = at_stft_run(&s, iq, (T + 1) * N / 2, loud, T + 1);
    for (size_t i = 0; i < t * N; i++)
        low[i] = loud[i] * 0.1f;
    for (int i = 0; i < 4; i++)
        at_floor_update(&f, loud, t, 1, NULL, false);
    double before = db(f.median);
    for (int i = 0; i < AT_FLOOR_HISTORY - 1; i++)
        at_floor_update(&f, low, t, 1, NULL, true);
    double hidden = db(f.median);
    for (int i = 0; i < AT_FLOOR_HISTORY; i++)
        at_floor_update(&f, low, t, 1, NULL, true);
    double at_last = db(f.median);
    print_message("clipping: %.2f, %.2f, at last %.2f dBFS/Hz\n", before, hidden, at_last);
    assert_true(fabs(hidden - before) < 0.2);
    assert_true(fabs(at_last - (before - 10)) < 0.5);
    at_floor_finish(&f);
    at_stft_finish(&s);
    free(iq);
    free(loud);
    free(low);
}

/* Epochs of white noise at `times` the first level. */
struct levels {
    struct at_floor f;
    float *rows, *out;
    size_t t;
};

static void levels_begin(struct levels *l)
{
    enum { T = 64 };
    struct at_stft s;
    float *iq = calloc(SAMPLES, 8);
    sig_add_noise(iq, SAMPLES, -60, 21);
    l->rows = calloc((T + 1) * N, sizeof *l->rows);
    l->out = calloc((T + 1) * N, sizeof *l->out);
    assert_int_equal(at_stft_init(&s, NULL, N, 1, RATE, 0), 0);
    l->t = at_stft_run(&s, iq, (T + 1) * N / 2, l->rows, T + 1);
    assert_int_equal(at_floor_init(&l->f, NULL, N, T + 1, 0), 0);
    at_stft_finish(&s);
    free(iq);
}

static void levels_show(struct levels *l, float times, int epochs)
{
    for (size_t i = 0; i < l->t * N; i++)
        l->out[i] = l->rows[i] * times;
    for (int i = 0; i < epochs; i++)
        at_floor_update(&l->f, l->out, l->t, 1, NULL, false);
}

static void levels_check(struct levels *l, enum at_floor_source source, double want_db)
{
    print_message("floor %.2f dBFS/Hz, %.1f wanted, source %d\n", db(l->f.median), want_db,
                  l->f.source);
    assert_int_equal(l->f.source, source);
    assert_true(fabs(db(l->f.median) - want_db) < 0.7);
}

static void levels_end(struct levels *l)
{
    at_floor_finish(&l->f);
    free(l->rows);
    free(l->out);
}

static void test_learned_while_the_band_is_full_but_not_for_ever(void **state)
{
    struct levels l;
    levels_begin(&l);
    levels_show(&l, 1, 10);
    levels_check(&l, AT_FLOOR_MEASURED, -120);
    levels_show(&l, 100, 200);
    levels_check(&l, AT_FLOOR_LEARNED, -120);
    levels_show(&l, 1, 1);
    levels_check(&l, AT_FLOOR_MEASURED, -120);
    levels_show(&l, 100, 300); /* it may as well be more noise: an antenna */
    levels_check(&l, AT_FLOOR_MEASURED, -100);
    levels_show(&l, 1, AT_FLOOR_HISTORY);
    levels_check(&l, AT_FLOOR_MEASURED, -120);
    levels_end(&l);
}

static void test_a_gain_step_is_no_signal(void **state)
{
    struct levels l;
    levels_begin(&l);
    at_floor_set_gain(&l.f, 10);
    levels_show(&l, 1, 10);
    at_floor_set_gain(&l.f, 20);
    assert_int_equal(l.f.source, AT_FLOOR_LEARNED);
    levels_show(&l, 10, 10);
    levels_check(&l, AT_FLOOR_MEASURED, -110);
    levels_show(&l, 1000, 10); /* a signal begins, and the gain goes back to where it was */
    levels_check(&l, AT_FLOOR_LEARNED, -110);
    at_floor_set_gain(&l.f, 10);
    levels_show(&l, 100, 10);
    levels_check(&l, AT_FLOOR_LEARNED, -120);
    at_floor_set_gain(&l.f, 0); /* never been there: no higher than at 10 dB */
    levels_show(&l, 10, 10);
    levels_check(&l, AT_FLOOR_LEARNED, -119);
    levels_show(&l, 0.1f, 10);
    levels_check(&l, AT_FLOOR_MEASURED, -130);
    levels_end(&l);
}

static void test_assumed_where_no_noise_was_seen(void **state)
{
    struct levels l;
    levels_begin(&l);
    at_floor_assume(&l.f, 1e-12); /* as soon as the device is open */
    levels_show(&l, 0, 10);
    levels_check(&l, AT_FLOOR_ASSUMED, -120);
    levels_show(&l, 1, 10);
    levels_check(&l, AT_FLOOR_MEASURED, -120);
    levels_show(&l, 100, 10);
    levels_check(&l, AT_FLOOR_LEARNED, -120);
    levels_end(&l);
}

static void test_gamma_quantiles(void **state)
{
    /* P(x > t) of an exponential is exp(-t); means of many are normal. */
    double one = at_floor_gamma_threshold(1, 1e-3), many = at_floor_gamma_threshold(1e4, 1e-3);
    print_message("1 in 1000: %.3f (6.908), of 10,000: %.4f (1.0309)\n", one, many);
    assert_true(fabs(one - 6.908) < 0.3);
    assert_true(fabs(many - 1.0311) < 0.001);
    assert_true(at_floor_gamma_threshold(1, 1e-11) > 25.3);
    assert_true(fabs(at_floor_gamma_quantile(4, 0.2) - 0.5742) < 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_and_what_stands_in_it),
        cmocka_unit_test(test_a_young_floor_does_not_take_in_a_weak_burst),
        cmocka_unit_test(test_exact_zeros_are_no_noise),
        cmocka_unit_test(test_a_signal_that_fills_the_middle_is_not_noise),
        cmocka_unit_test(test_noise_beside_a_signal_that_fills_nearly_all),
        cmocka_unit_test(test_clipping_does_not_sink_it),
        cmocka_unit_test(test_learned_while_the_band_is_full_but_not_for_ever),
        cmocka_unit_test(test_a_gain_step_is_no_signal),
        cmocka_unit_test(test_assumed_where_no_noise_was_seen),
        cmocka_unit_test(test_gamma_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
