/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 48e3
enum { MS = 48, END = 1400, N = END * MS };

/* 2.6 kHz of noise 33 dB over what it lies in, and a line in it, which says where it is highest, from `from` to `to` ms. */
static void add_strong(float *iq, unsigned from, unsigned to)
{
    sig_add_wide(iq, from * MS, to * MS, 5e3 / RATE, 2.6e3 / RATE, -30, 5);
    sig_add_tone(iq, from * MS, to * MS, 5.6e3 / RATE, -30);
}

/* One transmitter's first sound is a weak one, 22 dB under those that follow in the same channel, and is
 * reported before they come: they go on under its id. */
static void test_a_weak_sound_begins_what_follows(void **state)
{
    for (unsigned k = 0; k < 4; k++) {
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 3 + k);
        sig_add_wide(iq, 500 * MS, 620 * MS, (4.2e3 + 100 * k) / RATE, 400 / RATE, -52, 8 + k);
        add_strong(iq, 640 + 50 * k, END);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 1);
        assert_true(l.e[0].id == 1);
        assert_true(l.e[0].start > 480 * MS && l.e[0].start < 530 * MS);
        assert_true(l.e[0].end > (END - 10) * MS);
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz > 2.3e3 && l.e[0].f_hi_hz - l.e[0].f_lo_hz < 3.2e3);
        assert_true(l.tokens[0] * 62.5 > 0.7 * RATE / 4 / 128); /* heard as wide as it is, for most of it */
        free(iq);
        free(l.frames);
    }
}

/* A line that has stood there all along, or for longer than a sound, is another. */
static void test_a_line_that_was_there_is_another(void **state)
{
    static const unsigned from[] = {0, 300};
    for (unsigned k = 0; k < 2; k++) {
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 3 + k);
        sig_add_tone(iq, from[k] * MS, N, 4.2e3 / RATE, -52);
        add_strong(iq, k ? 900 : 240, END);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_true(l.n >= 2);
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz < 600);
        assert_true(l.e[1].f_hi_hz - l.e[1].f_lo_hz > 2.3e3);
        assert_true(l.e[1].start > (k ? 880 : 220) * MS);
        free(iq);
        free(l.frames);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_weak_sound_begins_what_follows),
        cmocka_unit_test(test_a_line_that_was_there_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
