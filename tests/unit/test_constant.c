/* A receiver's constant is no emission, however weak; what is keyed or off 0 Hz is one.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { SEEDS = 4 };

/* Emissions in SEEDS scenes of 1 s of noise, -40 dBFS, and a line at f_hz that stands line_db over
 * the noise of 100 Hz and is on for on_s of each period_s. */
static unsigned emissions(double rate_hz, double f_hz, double line_db, double on_s, double period_s)
{
    unsigned found = 0;
    size_t n = (size_t)rate_hz;
    double dbfs = line_db - 40 + 10 * log10(100 / rate_hz);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        float *iq = sig_noise(n, -40, 7 + seed);
        struct band_log l = {0};
        for (double at = 0; at < 1; at += period_s) {
            double end = (at + on_s) * rate_hz;
            sig_add_tone(iq, (size_t)(at * rate_hz), end < (double)n ? (size_t)end : n,
                         f_hz / rate_hz, dbfs);
        }
        assert_int_equal(log_run(&l, iq, n, rate_hz), 0);
        found += l.n;
        free(l.frames);
        free(iq);
    }
    return found;
}

static void test_constant_is_no_emission(void **state)
{
    (void)state;
    static const double rates[] = {12e3, 48e3, 250e3, 1.024e6};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        for (double db = 6; db <= 24; db += 6) {
            unsigned n = emissions(rates[i], 0, db, 1, 1);
            print_message(
                "%g S/s, a constant %g dB over 100 Hz: %u emissions in %d scenes (none)\n",
                rates[i], db, n, SEEDS);
            assert_int_equal(n, 0);
        }
}

static void test_keyed_at_zero_is_one(void **state)
{
    (void)state;
    unsigned n = emissions(48e3, 0, 20, 0.1, 0.25);
    print_message("keyed at 0 Hz, 20 dB: %u emissions in %d scenes (one each)\n", n, SEEDS);
    assert_in_range(n, SEEDS, SEEDS + 1);
}

static void test_line_beside_zero_is_one(void **state)
{
    (void)state;
    for (double db = 14; db <= 26; db += 6) {
        unsigned n = emissions(48e3, 25, db, 1, 1);
        print_message("a line 25 Hz off, %g dB: %u emissions in %d scenes (one each)\n", db, n,
                      SEEDS);
        assert_int_equal(n, SEEDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_is_no_emission),
        cmocka_unit_test(test_keyed_at_zero_is_one),
        cmocka_unit_test(test_line_beside_zero_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
