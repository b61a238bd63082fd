/* Quantiles against sorted values. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/histogram.h"

static uint64_t seed = 1;

static double uniform(double lo, double hi)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return lo + (hi - lo) * (double)(seed >> 11) * 0x1p-53;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Every quantile of values over nine decades is within 1 % of the value of that rank. */
static void test_quantiles_are_within_one_percent(void **state)
{
    static struct at_recent r;
    static double values[20000];
    double worst = 0;
    for (int round = 0; round < 20; round++) {
        size_t n = 1 + (size_t)uniform(0, 20000);
        double lo = uniform(-6.9, 10), hi = uniform(lo, 13.8);
        at_recent_reset(&r);
        for (size_t i = 0; i < n; i++) {
            values[i] = exp(uniform(lo, hi));
            at_recent_add(&r, values[i], 1 << 20, 0, 0);
        }
        qsort(values, n, sizeof *values, by_value);
        for (double q = 0; q <= 1; q += 0.05) {
            double want = values[(size_t)(q * (double)(n - 1))], got = at_recent_quantile(&r, q, 1);
            double error = fabs(got / want - 1);
            worst = error > worst ? error : worst;
            if (!(error <= 0.01))
                fail_msg("%zu values: quantile %.2f is %g, want %g", n, q, got, want);
        }
    }
    print_message("worst relative error %.4f\n", worst);
}

static void test_ends(void **state)
{
    static struct at_recent r;
    assert_true(isnan(at_recent_quantile(&r, 0.5, 0)));
    at_recent_add(&r, NAN, 100, 0, 0);
    assert_true(isnan(at_recent_quantile(&r, 0.5, 0)));
    at_recent_add(&r, -1, 100, 0, 0);
    at_recent_add(&r, 0, 100, 0, 0);
    assert_true(at_recent_quantile(&r, 1, 1) < 1.1e-3);
    assert_true(isnan(at_recent_quantile(&r, 1, 3)));
    at_recent_add(&r, 1e30, 100, 0, 0);
    at_recent_add(&r, INFINITY, 100, 0, 0);
    assert_true(at_recent_quantile(&r, 1, 1) > 0.99e6);
}

/* Between half and all of the newest count, by number and by age. */
static void test_old_values_go(void **state)
{
    static struct at_recent r;
    for (int i = 0; i < 1000; i++)
        at_recent_add(&r, i < 900 ? 50 : 1, 100, 0, 0);
    assert_true(at_recent_quantile(&r, 1, 50) < 1.02);
    assert_true(isnan(at_recent_quantile(&r, 1, 101)));
    at_recent_reset(&r);
    for (int s = 0; s < 20; s++)
        at_recent_add(&r, s < 10 ? 50 : 1, 1000, s * 1000, 4000);
    assert_true(at_recent_quantile(&r, 1, 1) < 1.02);
    at_recent_add(&r, 7, 1000, 900000, 4000); /* after a long pause nothing of before is left */
    assert_true(fabs(at_recent_quantile(&r, 0, 1) / 7 - 1) < 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles_are_within_one_percent),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_old_values_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
