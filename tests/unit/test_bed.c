/* A line on top of what is wide. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dsp/bed.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

/* Edges within 30 dB of the line would hold it alone; what is wide was shattered or hidden. */
static void test_what_is_wide_is_one_under_a_line(void **state)
{
    enum { N = 400000 };
    static const struct {
        double rate, snr, over, line; /* line: kHz from the middle of 200; over: its power to that of all of this */
    } scenes[] = {{1e6, 20, 10, 10}, {1e6, 20, 30, 10}, {1e6, 10, 20, 50}, {1e6, 35, 20, -70}, {2.4e6, 20, 20, 50}};
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        double w = 200e3 / scenes[i].rate, level = -80 + 10 * log10(w) + scenes[i].snr;
        float *iq = sig_noise(N, -80, 3 + i);
        struct band_log l = {0};
        sig_add_wide(iq, 0, N, 0.1, w, level, 5 + i);
        sig_add_tone(iq, 0, N, 0.1 + scenes[i].line * 1e3 / scenes[i].rate, level + scenes[i].over);
        assert_int_equal(log_run(&l, iq, N, scenes[i].rate), 0);
        assert_int_equal(l.n, 1);
        assert_true(fabs(l.e[0].f_lo_hz - (0.1 * scenes[i].rate - 100e3)) < 8e3);
        assert_true(fabs(l.e[0].f_hi_hz - (0.1 * scenes[i].rate + 100e3)) < 8e3);
        free(iq);
        free(l.frames);
    }
}

/* A line's own phase noise falls away from it: it is no wide signal. */
static void test_phase_noise_is_no_bed(void **state)
{
    enum { N = 400000 };
    float *iq = sig_noise(N, -80, 3);
    struct band_log l = {0};
    uint64_t seed = 7;
    double phase = 0;
    for (size_t i = 0; i < N; i++) {
        phase += 2 * M_PI * 0.1 + 0.004 * (sig_uniform(&seed) - 0.5);
        iq[2 * i] += (float)(0.1 * cos(phase));
        iq[2 * i + 1] += (float)(0.1 * sin(phase));
    }
    assert_int_equal(log_run(&l, iq, N, 1e6), 0);
    assert_true(l.n > 0 && l.e[0].f_hi_hz - l.e[0].f_lo_hz < 2e3);
    free(iq);
    free(l.frames);
}

static void test_a_bed_is_even_and_on_both_sides(void **state)
{
    enum { N = 256, AT = 128 };
    float level[N], top;
    for (unsigned k = 0; k < N; k++)
        level[k] = k == AT ? 1e6f : 10;
    assert_true(at_bed_find(level, 0, N, AT, AT + 1, &top));
    assert_true(fabsf(top - 10) < 0.1f);
    for (unsigned k = 0; k < AT; k++)
        level[k] = 0.005f; /* 33 dB below: not of it */
    assert_false(at_bed_find(level, 0, N, AT, AT + 1, &top));
    for (unsigned k = 0; k < N; k++)
        level[k] = k == AT ? 1e6f : 1e4f / (float)((k - AT) * (k - AT));
    assert_false(at_bed_find(level, 0, N, AT, AT + 1, &top));
    assert_false(at_bed_find(level, AT, AT + 1, AT, AT + 1, &top));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wide_is_one_under_a_line),
        cmocka_unit_test(test_phase_noise_is_no_bed),
        cmocka_unit_test(test_a_bed_is_even_and_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
