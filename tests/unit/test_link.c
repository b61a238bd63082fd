/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 1e6

/* An FM of 60 kHz with a line 76 kHz above its carrier and one below_hz below it. Emissions of eight such. */
static unsigned found_with_lines(double below_hz)
{
    enum { N = 300000 };
    unsigned all = 0;
    for (unsigned i = 0; i < 8; i++) {
        float *iq = sig_noise(N, -45, 20 + i);
        struct band_log l = {0};
        double f = 0.1 + 0.000037 * i;
        sig_add_tone(iq, 0, N, f, -31);
        sig_add_wide(iq, 0, N, 0.1, 0.06, -31, 50 + i);
        sig_add_tone(iq, 60000, 180000, f + 76e3 / RATE, -60);
        sig_add_tone(iq, 60000, 180000, f - below_hz / RATE, -60);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        all += l.n;
        free(iq);
        free(l.frames);
    }
    return all;
}

/* In a pause of its sound the lines of its subcarriers stand beside a broadcast station's band. */
static void test_lines_of_a_wide_fm_are_part_of_it(void **state)
{
    unsigned both = found_with_lines(76e3), others = found_with_lines(75.93e3), far = found_with_lines(60e3);
    print_message("of 8 stations: %u emissions with lines of theirs, %u with others' 70 Hz off, %u 16 kHz off\n",
                  both, others, far);
    assert_int_equal(both, 8);
    assert_true(others >= 20);
    assert_true(far >= 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_a_wide_fm_are_part_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
