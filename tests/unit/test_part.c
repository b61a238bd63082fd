/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 1e6

/* Something weaker fills the gap between two: one region, in which nothing moves together. */
static void test_two_whose_skirts_meet_are_two(void **state)
{
    enum { N = 200000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    sig_add_wide(iq, 0, N, 0.1, 0.06, -25, 2);
    sig_add_wide(iq, 0, N, 0.22, 0.06, -27, 3);
    sig_add_wide(iq, 0, N, 0.16, 0.18, -46, 4);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    log_print(&l, RATE);
    assert_int_equal(l.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        double mid = (l.e[i].f_lo_hz + l.e[i].f_hi_hz) / 2, want = mid < 160e3 ? 100e3 : 220e3;
        assert_true(fabs(mid - want) < 30e3); /* the gap is within 30 dB of the peaks */
        assert_true(l.e[i].start < 2000 && l.e[i].end > N - 2000);
    }
    free(iq);
    free(l.frames);
}

/* A narrow one in the shoulder of a wide one, that goes on to it and beyond: where they are parted
 * it is not the wide one's skirt, however much narrower, as it rises from there. */
static void test_a_narrow_one_in_a_shoulder_stays(void **state)
{
    enum { N = 600000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    sig_add_wide(iq, 0, N, 0.05, 0.36, -20, 2);
    sig_add_wide(iq, 0, N, 0.31, 0.006, -28, 3);
    sig_add_wide(iq, 0, N, 0.27, 0.12, -45, 4);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    unsigned narrow = 0;
    for (unsigned i = 0; i < l.n; i++) {
        bool there = l.e[i].f_lo_hz < 310e3 && l.e[i].f_hi_hz > 310e3;
        narrow += there;
        assert_true(!there || ((double)l.e[i].duty > 0.95 &&
                               l.e[i].f_hi_hz - l.e[i].f_lo_hz < 12e3 && l.e[i].end > N - 2000));
    }
    assert_int_equal(narrow, 1);
    free(iq);
    free(l.frames);
}

/* What filled the gap at first was a skirt of the moment: a narrow one (or a line) far beside a
 * wide one is another as soon as the gap stays empty. */
static void test_a_narrow_one_far_beside_a_wide_one_is_another(void **state)
{
    enum { N = 400000, FIRST = 22000 };
    static const struct {
        bool line;
        double at;
    } cases[] = {{false, 0.24},
                 {true, 0.24},
                 {true, 0.18}}; /* at last three bins of the short spectra away */
    for (unsigned i = 0; i < 3; i++) {
        bool line = cases[i].line;
        double at = cases[i].at;
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 1);
        sig_add_wide(iq, 0, N, 0.1, 0.06, -25, 2);
        sig_add_wide(iq, 0, line ? 0 : N, at, 0.004, -35, 3);
        sig_add_tone(iq, 0, line ? N : 0, at, -38);
        sig_add_wide(iq, 0, FIRST, (0.13 + at) / 2, at - 0.09, -38, 4);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 2);
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz < 120e3 && l.e[0].end > N - 2000);
        free(iq);
        free(l.frames);
    }
}

/* FM: an even envelope, some 20 kHz wide. */
static void add_even(float *iq, size_t n, double f, double dbfs)
{
    double a = pow(10, dbfs / 20);
    for (size_t i = 0; i < n; i++) {
        double p = 2 * M_PI * f * (double)i + 4 * sin(2 * M_PI * (double)i / 400);
        iq[2 * i] += (float)(a * cos(p));
        iq[2 * i + 1] += (float)(a * sin(p));
    }
}

/* Bursts of two that happen to come and go together once, and never again; or always. */
static unsigned found_of_two_in_bursts(bool always)
{
    enum { N = 400000, BURST = 7000, EVERY = 37000 };
    unsigned all = 0;
    for (unsigned i = 0; i < 4; i++) {
        float *iq = sig_noise(N, -50, 60 + i);
        struct band_log l = {0};
        size_t late = 0;
        for (size_t at = 45000 + 1000 * i, n = 0; at + 2 * EVERY < N; at += EVERY, n++) {
            late = always || n == 0 ? 0 : 5000 + 4000 * (n % 3);
            add_even(iq + 2 * at, BURST, 0.1, -44);
            add_even(iq + 2 * (at + late), BURST, 0.22, -46);
        }
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        all += l.n;
        free(iq);
        free(l.frames);
    }
    return all;
}

static void test_envelopes_that_agree_once_join_nothing(void **state)
{
    assert_int_equal(found_of_two_in_bursts(false), 8);
    assert_int_equal(found_of_two_in_bursts(true), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_whose_skirts_meet_are_two),
        cmocka_unit_test(test_a_narrow_one_in_a_shoulder_stays),
        cmocka_unit_test(test_a_narrow_one_far_beside_a_wide_one_is_another),
        cmocka_unit_test(test_envelopes_that_agree_once_join_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
