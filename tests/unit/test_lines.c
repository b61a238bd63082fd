/* Lines that stand on a wide signal. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 1e6
enum { N = 500000 };

static const double width = 0.2, middle = 0.05, wide_db = -25;

/* dB over what the wide signal has in a bin of the long spectra. */
static double line_db(double over)
{
    return wide_db + 10 * log10(1 / (4096 * width)) + over;
}

static const struct at_emission *find(const struct band_log *l, bool wide)
{
    for (unsigned i = 0; i < l->n; i++)
        if ((l->e[i].f_hi_hz - l->e[i].f_lo_hz > 50e3) == wide)
            return &l->e[i];
    return NULL;
}

static float *wide_signal(uint64_t seed)
{
    float *iq = sig_noise(N, -50, seed);
    sig_add_wide(iq, 0, N, middle, width, wide_db, 10 + seed);
    return iq;
}

static void assert_is_wide(const struct at_emission *e)
{
    assert_non_null(e);
    assert_true(fabs(e->f_lo_hz - (middle - width / 2) * RATE) < 8e3);
    assert_true(fabs(e->f_hi_hz - (middle + width / 2) * RATE) < 8e3);
    assert_true(fabs((double)e->level_dbfs - wide_db) < 1.5);
    assert_true(e->start < 2000 && e->end > N - 2000);
}

/* One of 20 dB was taken for a part, one of 35 dB hid what it stands on. */
static void test_a_line_on_a_wide_one_is_another(void **state)
{
    static const double over[] = {20, 28, 35, 42};
    for (unsigned i = 0; i < 4; i++) {
        struct band_log l = {0};
        float *iq = wide_signal(1 + i);
        sig_add_tone(iq, 0, N, 0.08001, line_db(over[i]));
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 2);
        assert_is_wide(find(&l, true));
        const struct at_emission *line = find(&l, false);
        assert_non_null(line);
        assert_true(line->f_lo_hz < 80010 && line->f_hi_hz > 80010 &&
                    line->f_hi_hz - line->f_lo_hz < 1000);
        assert_true(fabs((double)line->level_dbfs - line_db(over[i])) < 1.5);
        assert_true(line->start < 2000 && line->end > N - 2000);
        free(iq);
        free(l.frames);
    }
}

/* What stands in its middle is its carrier, or what a transmitter leaks there; many are its pilots;
 * and those that come and go with it are its own. */
static void test_what_belongs_to_the_wide_one_is_no_line(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct band_log l = {0};
        float *iq = i < 2 ? wide_signal(5 + i) : sig_noise(N, -50, 5 + i);
        if (i == 0)
            sig_add_tone(iq, 0, N, middle + 0.0005, line_db(22));
        for (unsigned k = 0; i == 1 && k < 8; k++)
            sig_add_tone(iq, 0, N, middle - width / 2 + 0.0211 * (k + 1), line_db(22));
        for (unsigned k = 0; i == 2 && k < 10; k++) {
            sig_add_wide(iq, 50000 * k, 50000 * k + 20000, middle, width, wide_db, 40 + k);
            sig_add_tone(iq, 50000 * k, 50000 * k + 20000, 0.08001, line_db(22));
        }
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 1);
        free(iq);
        free(l.frames);
    }
}

/* Noise of both sidebands about a carrier, and a neighbour that fills one side on: not in the
 * middle of what seems one wide signal, the carrier has sidebands that are mirror images, and so is
 * no line. Of noise with no such images it is one. */
static void test_a_carrier_with_its_sidebands_is_no_line(void **state)
{
    for (unsigned mirrored = 0; mirrored < 2; mirrored++) {
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 21), *side = calloc(N, 8);
        assert_non_null(side);
        sig_add_wide(side, 0, N, 0, 0.12, mirrored ? -24 : -27, 22);
        for (size_t i = 0; i < N; i++) {
            double p = 2 * M_PI * fmod(0.08001 * (double)i, 1), re = (double)side[2 * i],
                   im = mirrored ? 0 : (double)side[2 * i + 1];
            iq[2 * i] += (float)(re * cos(p) - im * sin(p));
            iq[2 * i + 1] += (float)(re * sin(p) + im * cos(p));
        }
        sig_add_wide(iq, 0, N, 0.19001, 0.1, -27.8, 23);
        sig_add_tone(iq, 0, N, 0.08001, line_db(22));
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        unsigned lines = 0;
        for (unsigned i = 0; i < l.n; i++)
            lines += l.e[i].f_hi_hz - l.e[i].f_lo_hz < 2e3;
        assert_int_equal(lines, !mirrored);
        free(side);
        free(iq);
        free(l.frames);
    }
}

/* A line that comes and goes leaves the wide one as it is, and one that outlasts it keeps its id.
 */
static void test_either_may_end_first(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 9);
        size_t from = i ? 0 : 150000, to = i ? N : 350000, end = i ? 350000 : N;
        sig_add_wide(iq, 0, end, middle, width, wide_db, 19);
        sig_add_tone(iq, from, to, 0.08001, line_db(25));
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 2);
        const struct at_emission *line = find(&l, false), *wide = find(&l, true);
        assert_non_null(line);
        assert_non_null(wide);
        assert_true(fabs((double)line->start - (double)from) < 8000 &&
                    fabs((double)line->end - (double)to) < 8000);
        assert_true(fabs((double)wide->start) < 2000 &&
                    fabs((double)wide->end - (double)end) < 20480);
        free(iq);
        free(l.frames);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_on_a_wide_one_is_another),
        cmocka_unit_test(test_what_belongs_to_the_wide_one_is_no_line),
        cmocka_unit_test(test_a_carrier_with_its_sidebands_is_no_line),
        cmocka_unit_test(test_either_may_end_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
