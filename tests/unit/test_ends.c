/* Lines near the ends of the band: the spectra go round there. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

/* What leaks over an end to the other is no emission; what it takes from the line is counted. */
static void test_a_line_near_an_end_is_one_emission_of_its_level(void **state)
{
    static const struct {
        double rate, dbfs;
        size_t n;
    } bands[] = {
        {12e3, -30, 60000}, {250e3, -40, 500000}, {1e6, -35, 600000}, {2.4e6, -35, 600000}};
    static const double places[] = {-0.498, -0.49, -0.48, -0.47, 0.47, 0.48, 0.49};
    for (size_t i = 0; i < sizeof bands / sizeof *bands; i++) {
        for (size_t j = 0; j < sizeof places / sizeof *places; j++) {
            float *iq = sig_noise(bands[i].n, -50, 3 + j);
            struct band_log l = {0};
            sig_add_tone(iq, 0, bands[i].n, places[j], bands[i].dbfs);
            assert_int_equal(log_run(&l, iq, bands[i].n, bands[i].rate), 0);
            assert_int_equal(l.n, 1);
            double mid = (l.e[0].f_lo_hz + l.e[0].f_hi_hz) / 2,
                   off = l.e[0].level_dbfs - bands[i].dbfs;
            assert_true(fabs(mid / bands[i].rate - places[j]) < 0.005);
            assert_true(fabs(off) < 1.5);
            free(iq);
            free(l.frames);
        }
    }
}

/* A weaker one near the other end that no leak explains is there. */
static void test_one_near_the_other_end_is_another(void **state)
{
    enum { N = 400000 };
    float *iq = sig_noise(N, -60, 5);
    struct band_log l = {0};
    sig_add_tone(iq, 0, N, -0.49, -20);
    sig_add_wide(iq, 0, N, 0.45, 0.04, -45, 6);
    assert_int_equal(log_run(&l, iq, N, 1e6), 0);
    assert_int_equal(l.n, 2);
    free(iq);
    free(l.frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_near_an_end_is_one_emission_of_its_level),
        cmocka_unit_test(test_one_near_the_other_end_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
