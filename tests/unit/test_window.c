/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/dsp/plan.h"
#include "lib/dsp/window.h"
#include "tests/support/signals.h"

enum { N = 256 };

static void power(const float *x, const float *w, const struct at_plan *plan, float *a, float *b,
                  float *p)
{
    for (int i = 0; i < N; i++) {
        a[2 * i] = x[2 * i] * w[i];
        a[2 * i + 1] = x[2 * i + 1] * w[i];
    }
    at_plan_run(plan, a, b);
    for (int k = 0; k < N; k++)
        p[k] = b[2 * k] * b[2 * k] + b[2 * k + 1] * b[2 * k + 1];
}

static void test_enbw_is_the_textbooks(void **state)
{
    const double want[] = {1, 1.5, 1.3628, 2.0044};
    float w[N];
    for (int i = 0; i < AT_WINDOW_COUNT; i++) {
        at_window_fill(i, w, N);
        print_message("%s: ENBW %.4f bins, Harris %.4f\n", at_window_name(i), at_window_enbw(w, N),
                      want[i]);
        assert_true(fabs(at_window_enbw(w, N) - want[i]) < 2e-3);
    }
}

/* Noise at -80 dBFS reads -80 +- 0.5 dB, a tone at -37 dBFS reads -37 +- 0.2 dB at any place in its
 * bin. */
static void test_levels_through_every_window(void **state)
{
    const struct at_plan *plan = at_plan_get(N, AT_PLAN_FORWARD);
    assert_non_null(plan);
    float *x = at_mem_alloc(NULL, 0, 8 * N), *a = at_mem_alloc(NULL, 0, 8 * N),
          *b = at_mem_alloc(NULL, 0, 8 * N);
    float w[N], p[N];
    for (int i = 0; i < AT_WINDOW_COUNT; i++) {
        at_window_fill(i, w, N);
        double noise = 0, w2 = at_window_power(w, N);
        for (int k = 0; k < 64; k++) {
            memset(x, 0, 8 * N);
            sig_add_noise(x, N, -80, (uint64_t)k);
            power(x, w, plan, a, b, p);
            for (int j = 0; j < N; j++)
                noise += p[j];
        }
        double noise_db = 10 * log10(noise / (64.0 * N) / w2);
        print_message("%s: noise at -80 dBFS reads %.2f\n", at_window_name(i), noise_db);
        assert_true(fabs(noise_db + 80) < 0.5);
        for (double off = 0; off < 1 && i != AT_WINDOW_RECT; off += 0.25) {
            memset(x, 0, 8 * N);
            sig_add_tone(x, 0, N, (40 + off) / N, -37);
            power(x, w, plan, a, b, p);
            double sum = 0;
            int lobe = (int)at_window_main_lobe(i);
            for (int j = 40 - lobe; j <= 41 + lobe; j++)
                sum += p[j];
            double db = 10 * log10(sum / w2 / N);
            print_message("%s: tone at -37 dBFS, bin 40 + %.2f, reads %.3f\n", at_window_name(i),
                          off, db);
            assert_true(fabs(db + 37) < 0.2);
        }
    }
    at_mem_free(NULL, x);
    at_mem_free(NULL, a);
    at_mem_free(NULL, b);
}

static void test_hann_over_bins_is_hann_over_time(void **state)
{
    const struct at_plan *plan = at_plan_get(N, AT_PLAN_FORWARD);
    float *x = at_mem_alloc(NULL, 0, 8 * N), *a = at_mem_alloc(NULL, 0, 8 * N),
          *b = at_mem_alloc(NULL, 0, 8 * N);
    float w[N], p[N], q[N];
    double worst = 0;
    sig_add_noise(x, N, 0, 5);
    at_window_fill(AT_WINDOW_HANN, w, N);
    power(x, w, plan, a, b, p);
    at_plan_run(plan, x, b);
    at_window_hann_bins(b, q, N);
    for (int k = 0; k < N; k++)
        worst = fmax(worst, fabs(p[k] - q[k]));
    print_message("worst difference %.2e of mean power %.1f\n", worst, at_window_power(w, N));
    assert_true(worst < 1e-3);
    at_mem_free(NULL, x);
    at_mem_free(NULL, a);
    at_mem_free(NULL, b);
}

static void test_lowpass_keeps_its_attenuation(void **state)
{
    float h[65];
    at_window_lowpass(h, 65, 0.23, 70);
    double pass = 0, stop = 0;
    for (double f = 0; f <= 0.5; f += 0.001) {
        double db = 10 * log10(at_window_response(h, 65, f) + 1e-30);
        if (f < 0.19)
            pass = fmax(pass, fabs(db));
        if (f > 0.27)
            stop = fmin(stop, -db) == 0 ? -db : fmin(stop, -db);
    }
    print_message("ripple %.3f dB, stop band %.1f dB\n", pass, stop);
    assert_true(pass < 0.1);
    assert_true(stop > 66);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enbw_is_the_textbooks),
        cmocka_unit_test(test_levels_through_every_window),
        cmocka_unit_test(test_hann_over_bins_is_hann_over_time),
        cmocka_unit_test(test_lowpass_keeps_its_attenuation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
