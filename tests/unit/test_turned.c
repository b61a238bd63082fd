/* A band so narrow that a channel is all of it: what the tokens show is turned round the emission.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 12e3

/* Bins that the strongest one of each token is off the middle, at most. */
static int farthest(const struct band_log *l)
{
    int far = 0;
    for (size_t t = 0; t < l->n_frames; t++) {
        const float *x = l->frames + t * LOG_COLUMNS;
        int at = 0;
        for (int k = 1; k < AT_FRAME_BINS; k++)
            if (x[k] > x[at])
                at = k;
        int off = abs(at - AT_FRAME_BINS / 2);
        far = off > far ? off : far;
    }
    return far;
}

static void test_a_line_stands_in_the_middle_wherever_it_is(void **state)
{
    enum { N = 60000 };
    for (double f = -0.44; f < 0.45; f += 0.14) {
        float *iq = sig_noise(N, -50, 3);
        struct band_log l = {0};
        sig_add_tone(iq, 0, N, f, -30);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 1);
        assert_true(l.rate_hz > 0.99 * RATE && l.tokens[0] > 800);
        print_message("line at %.0f Hz: strongest bin at most %d off the middle\n", f * RATE,
                      farthest(&l));
        assert_true(farthest(&l) <= 1);
        free(iq);
        free(l.frames);
    }
}

/* From one end of the band to the other: turned anew each time that it has gone an eighth of it. */
static void test_a_line_that_drifts_is_followed(void **state)
{
    enum { N = 480000 };
    float *iq = sig_noise(N, -50, 4);
    struct band_log l = {0};
    double p = 0, a = pow(10, -30 / 20.0);
    for (size_t k = 0; k < N; k++) {
        p += -0.4 + 0.8 * (double)k / N;
        iq[2 * k] += (float)(a * cos(2 * M_PI * (p - floor(p))));
        iq[2 * k + 1] += (float)(a * sin(2 * M_PI * (p - floor(p))));
    }
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    print_message("%u emissions, %u runs, strongest bin at most %d off the middle\n", l.n,
                  l.new_runs, farthest(&l));
    assert_int_equal(l.n, 1);
    assert_true(farthest(&l) <=
                AT_FRAME_BINS / 4); /* its edges, as wide as it drifted, lag behind */
    assert_true(l.new_runs >= 3 && l.new_runs <= 12);
    free(iq);
    free(l.frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_stands_in_the_middle_wherever_it_is),
        cmocka_unit_test(test_a_line_that_drifts_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
