/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/source/gain.h"

/* A receiver behind the control: a tone of level_dbfs at 0 dB of gain, read each 10 ms for so many
 * seconds. */
static int settle(struct at_gain_control *g, double level_dbfs, double seconds)
{
    int steps = 0;
    for (int64_t t = 10000000; t < (int64_t)(seconds * 1e9); t += 10000000) {
        float iq[128];
        double a = fmin(1, pow(10, (level_dbfs + g->gain_db) / 20));
        for (int i = 0; i < 64; i++) {
            iq[2 * i] = (float)(a * cos(i * 0.7));
            iq[2 * i + 1] = (float)(a * sin(i * 0.7));
        }
        steps += at_gain_control_push(g, iq, 64, t);
    }
    return steps;
}

static void overload_is_left_and_silence_is_raised(void **state)
{
    static const double levels[] = {10, -20, -60};
    for (int i = 0; i < 3; i++) {
        struct at_gain_control g = {.min_db = 0, .max_db = 50, .gain_db = 30};
        int steps = settle(&g, levels[i], 60);
        double peak = fmin(0, levels[i] + g.gain_db);
        print_message("%.0f dBFS: gain %.0f dB after %d steps, peak %.1f dBFS\n", levels[i],
                      g.gain_db, steps, peak);
        if (levels[i] > 0)
            assert_true(g.gain_db == 0);
        else if (levels[i] > -30)
            assert_true(peak < 0 && peak >= -12.1);
        else
            assert_true(g.gain_db >= 47); /* at most -12 dBFS, so to the top */
    }
}

static void a_good_level_is_left_alone(void **state)
{
    struct at_gain_control g = {.min_db = 0, .max_db = 50, .gain_db = 30};
    assert_int_equal(settle(&g, -36, 60), 0);
    struct at_gain_control none = {.gain_db = 0};
    assert_int_equal(settle(&none, 20, 10), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overload_is_left_and_silence_is_raised),
        cmocka_unit_test(a_good_level_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
