/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/source/anchors.h"

#define RATE 2.4e6
#define UTC0 INT64_C(1700000000000000000)

/* Deliveries of 10 ms that come 0 to 8 ms late, from an oscillator 50 ppm fast, for an hour: what
 * UTC says of a sample is never more than 3 ms off plus what a minute of 50 ppm makes, and due()
 * agrees. */
static void utc_holds_with_late_buffers_and_a_wrong_oscillator(void **state)
{
    struct at_anchors a;
    at_anchors_reset(&a, RATE);
    assert_int_equal(at_anchors_utc(&a, 0), 0);
    uint32_t rng = 1;
    double worst = 0, true_rate = RATE * (1 + 50e-6);
    uint64_t index = 0;
    while ((double)index / true_rate < 3600) {
        index += 24000;
        double t = (double)index / true_rate;
        rng = rng * 1664525 + 1013904223;
        double late = (double)(rng >> 8) / (1 << 24) * 0.008;
        int64_t now = (int64_t)((t + late) * 1e9);
        at_anchors_update(&a, index, now, UTC0 + now);
        if (t > 1)
            worst = fmax(worst, fabs((double)(at_anchors_utc(&a, index) - UTC0) * 1e-9 - t));
    }
    print_message("worst error of UTC: %.3f ms, allowed 6.1\n", worst * 1e3);
    assert_true(worst < 6.1e-3);
    int64_t later = (int64_t)((double)index / true_rate * 1e9) + 500000000;
    double due = (double)at_anchors_due(&a, later) - (double)index;
    print_message("due after half a second: %.0f samples, expected %.0f\n", due, RATE / 2);
    assert_true(fabs(due - RATE / 2) < 0.007 * RATE);
}

static void the_system_clocks_correction_is_taken_over(void **state)
{
    struct at_anchors a;
    at_anchors_reset(&a, 1000);
    int64_t offset = 0;
    for (uint64_t i = 1; i <= 200; i++) {
        int64_t now = (int64_t)i * AT_NS_PER_S;
        offset = i > 30 ? 3600 * AT_NS_PER_S : 0; /* set forward by an hour */
        at_anchors_update(&a, i * 1000, now, UTC0 + now + offset);
    }
    double error = (double)(at_anchors_utc(&a, 200000) - UTC0 - 200 * AT_NS_PER_S - offset) * 1e-9;
    print_message("UTC is off by %.6f s two minutes after the step\n", error);
    assert_true(fabs(error) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utc_holds_with_late_buffers_and_a_wrong_oscillator),
        cmocka_unit_test(the_system_clocks_correction_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
