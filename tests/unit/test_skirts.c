/* A strong line, its phase noise, and what stands in that. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { N = 400000 };

/* A line of -20 dBFS at 0.02 of the rate whose phase wanders, in noise. At 1 MS/s its skirt stands over the noise 60 kHz
 * away. */
static float *line(double wander)
{
    float *iq = sig_noise(N, -80, 3);
    uint64_t seed = 7;
    double phase = 0;
    for (size_t i = 0; i < N; i++) {
        phase += 2 * M_PI * 0.02 + wander * (sig_uniform(&seed) - 0.5);
        iq[2 * i] += (float)(0.1 * cos(phase));
        iq[2 * i + 1] += (float)(0.1 * sin(phase));
    }
    return iq;
}

/* Emissions of this level at least, first of the log; weaker ones are scraps of where the skirt ends. */
static unsigned stronger(struct band_log *l, double dbfs)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->n; i++)
        if ((double)l->e[i].level_dbfs > dbfs)
            l->e[n++] = l->e[i];
    return n;
}

/* Bins of a skirt scatter: that is no rise, and nothing beside the line that grows over it. */
static void test_a_line_with_phase_noise_is_one(void **state)
{
    static const struct {
        double rate, wander;
    } lines[] = {{1e6, 0.001}, {1e6, 0.002}, {2.4e6, 0.001}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct band_log l = {0};
        float *iq = line(lines[i].wander);
        assert_int_equal(log_run(&l, iq, N, lines[i].rate), 0);
        assert_int_equal(stronger(&l, -70), 1);
        assert_true(l.e[0].duty > 0.95);
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz < 2e3);
        free(iq);
        free(l.frames);
    }
}

/* What stands in it on either side is another, and ends in the valley before the line. */
static void test_a_neighbour_in_the_skirt_is_another(void **state)
{
    for (int side = -1; side < 2; side += 2) {
        struct band_log l = {0};
        double at = 20e3 + side * 40e3;
        float *iq = line(0.002);
        sig_add_wide(iq, 0, N, at / 1e6, 0.01, -60, 9);
        assert_int_equal(log_run(&l, iq, N, 1e6), 0);
        assert_int_equal(stronger(&l, -70), 2);
        for (unsigned i = 0; i < 2; i++) {
            double want = l.e[i].f_hi_hz - l.e[i].f_lo_hz < 2e3 ? 20e3 : at;
            assert_true(fabs((l.e[i].f_lo_hz + l.e[i].f_hi_hz) / 2 - want) < 2e3);
            assert_true(l.e[i].f_hi_hz - l.e[i].f_lo_hz < 20e3);
            assert_true(l.e[i].duty > 0.95);
        }
        free(iq);
        free(l.frames);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_with_phase_noise_is_one),
        cmocka_unit_test(test_a_neighbour_in_the_skirt_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
