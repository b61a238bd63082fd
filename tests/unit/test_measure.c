/* Which regions of an epoch move together, from rows made by hand. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/dsp/measure.h"
#include "lib/synth/synth.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { BINS = 64, ROWS = 640 };
#define RATE 64e3 /* a bin is 1 kHz */

static float rows[ROWS * BINS];
static uint64_t seed;

/* Noise of mean 1 in every bin: exponential, as the power of one spectrum is. */
static void begin(void)
{
    seed = 5;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        rows[i] = (float)-log(1 - sig_uniform(&seed));
}

/* A line at bin `at` in row t, as Hann spreads it. */
static void add_line(size_t t, unsigned at, float level)
{
    rows[t * BINS + at] += level;
    rows[t * BINS + at - 1] += level / 4;
    rows[t * BINS + at + 1] += level / 4;
}

/* Bins [10, 12) and [b, b + 2), whose frequencies the detector gave to a quarter of a bin. */
static double link(int b, bool gated)
{
    static float x[ROWS], y[ROWS];
    struct at_epoch e = {.fast = {.n = BINS, .t = ROWS, .rows = rows, .looks = 1}, .gated = gated};
    struct at_region one = {.f_lo_hz = (10 - 32 - 0.4) * 1e3, .f_hi_hz = (11 - 32 + 0.4) * 1e3},
                     other = {.f_lo_hz = (b - 32 - 0.4) * 1e3, .f_hi_hz = (b + 1 - 32 + 0.4) * 1e3};
    return at_measure_link(&e, RATE, &one, &other, x, y);
}

/* Two bursts of an epoch; bits of `bit` rows, one line or the other. */
static void add_fsk(int b, size_t bit, float level)
{
    begin();
    for (size_t t = 100; t < 400; t += bit) {
        bool mark = sig_uniform(&seed) < 0.5;
        for (size_t k = t; k < t + bit; k++)
            if (k % 200 >= 100)
                add_line(k, mark ? 10 : (unsigned)b + 1, level);
    }
}

static void test_lines_of_fsk_go_against_each_other_in_bursts(void **state)
{
    for (int b = 11; b <= 20; b += 3) { /* sharing a bin, touching, apart */
        add_fsk(b, 5, 40);
        double fast = link(b, false);
        add_fsk(b, 20, 12); /* weak, and slow */
        double slow = link(b, false);
        print_message("%d bins apart: %.2f and %.2f\n", b - 10, fast, slow);
        assert_true(fast == -1 && slow == -1);
    }
}

static void test_two_that_are_keyed_do_not(void **state)
{
    double worst = 0;
    for (unsigned duty = 2; duty <= 8; duty++)
        for (size_t bit = 4; bit <= 30; bit += 13)
            for (uint64_t round = 1; round <= 10; round++) {
                begin();
                seed = 77 * round + duty;
                for (size_t t = 20; t + bit < 620; t += bit) {
                    bool one = sig_uniform(&seed) * 10 < duty,
                         other = sig_uniform(&seed) * 10 < duty;
                    for (size_t k = t; k < t + bit; k++) {
                        if (one)
                            add_line(k, 10, 40);
                        if (other)
                            add_line(k, 15, 40);
                    }
                }
                worst = fmin(worst, link(14, false));
            }
    print_message("most against each other: %.2f\n", worst);
    assert_true(worst > -0.6);
}

/* Bits faster than rows: both halves of a burst's band come and go together. What leaks from a
 * burst beside it does so too, and is no part of it; nor is anything that a gate lets through. */
static void test_what_touches_and_comes_and_goes_together(void **state)
{
    for (int weak = 0; weak < 2; weak++) {
        begin();
        for (size_t t = 200; t < 300; t++) {
            add_line(t, 10, 100);
            if (!weak)
                add_line(t, 13, 80);
        }
        print_message("%s: %.2f, gated %.2f\n", weak ? "leak" : "burst", link(12, false),
                      link(12, true));
        assert_true(weak ? link(12, false) == 0 : link(12, false) > 0.9);
        assert_true(link(12, true) == 0);
    }
}

/* Weak bursts, after which the mean over half a second still shows a rest of what is over: it is
 * not reported. */
static void test_what_is_below_noise_when_measured_is_nothing(void **state)
{
    enum { N = 300000, SCENES = 12 };
    const double rate = 1e6;
    unsigned all = 0;
    for (uint64_t which = 1801; which < 1801 + SCENES; which++) {
        uint64_t r = which;
        struct band_log l = {0};
        struct at_scene s = {.rate_hz = rate,
                             .duration_s = 0.3,
                             .channel = {.seed = which, .noise_dbfs_hz = -110},
                             .n_emitters = 1};
        s.emitters[0] = (struct at_emitter){
            .offset_hz = 250e3 * (2 * sig_uniform(&r) - 1), .snr_db = 10, .start_s = 0.03};
        s.emitters[0].signal = (struct at_signal_spec){
            .class_id = AT_CLASS_FSK2, .variant = "tpms_fsk", .seed = which, .clean = 1};
        struct at_signal_truth truth[1];
        float *iq = calloc(N, 8);
        assert_int_equal(at_scene_render(&s, 0, iq, truth), 0);
        struct at_band *b = log_band(&l, NULL, rate);
        assert_int_equal(at_band_push(b, iq, N, 0), 0);
        assert_int_equal(at_band_flush(b), 0);
        at_band_destroy(b);
        for (unsigned i = 0; i < l.n; i++)
            all += l.e[i].snr_db < -10;
        free(iq);
        free(l.frames);
    }
    print_message("%u emissions far below noise\n", all);
    assert_int_equal(all, 0);
}

/* Of what is there while another one, on for 6 rows of 20, is off: clicks leave nothing, one of its
 * own most. */
static void test_a_skirt_has_no_time_of_its_own(void **state)
{
    static float floor[BINS], x[ROWS];
    static uint8_t on[ROWS];
    double share[2];
    for (int own = 0; own < 2; own++) {
        begin();
        for (size_t t = 0; t < ROWS; t++) {
            on[t] = t % 20 >= 5 && t % 20 < 11;
            if (own ? t >= 200 && t < 500 : (t + 1) % 20 == 5 || t % 20 == 12)
                add_line(t, 40, 100);
        }
        for (unsigned k = 0; k < BINS; k++)
            floor[k] = 1;
        struct at_epoch e = {
            .fast = {.n = BINS, .t = ROWS, .rows = rows, .floor = floor, .looks = 1}};
        share[own] = at_measure_beside(&e, RATE, on, (38 - 32) * 1e3, (42 - 32) * 1e3, x);
    }
    print_message("clicks %.3f, its own %.3f\n", share[0], share[1]);
    assert_true(fabs(share[0]) < 0.1);
    assert_true(fabs(share[1] - 0.5) < 0.1); /* 10 of 20 rows are neither on nor beside an edge */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_fsk_go_against_each_other_in_bursts),
        cmocka_unit_test(test_two_that_are_keyed_do_not),
        cmocka_unit_test(test_what_touches_and_comes_and_goes_together),
        cmocka_unit_test(test_a_skirt_has_no_time_of_its_own),
        cmocka_unit_test(test_what_is_below_noise_when_measured_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
