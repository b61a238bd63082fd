/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/synth/synth.h"

/* xoshiro256** by its definition, from the state of the seed. */
static uint64_t reference(uint64_t *s)
{
    uint64_t x = s[1] * 5, result = ((x << 7) | (x >> 57)) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

static void test_is_xoshiro_seeded_by_splitmix(void **state)
{
    struct at_rng r;
    at_rng_seed(&r, 0);
    assert_true(r.s[0] == UINT64_C(0xe220a8397b1dcdaf)); /* splitmix64's first output for seed 0 */
    uint64_t s[4] = {r.s[0], r.s[1], r.s[2], r.s[3]};
    for (int i = 0; i < 1000; i++)
        assert_true(at_rng_next(&r) == reference(s));
}

static void test_moments(void **state)
{
    struct at_rng r;
    at_rng_seed(&r, 7);
    double sum = 0, sum2 = 0, sum4 = 0, uni = 0;
    int n = 400000, low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        double z = at_rng_normal(&r);
        sum += z;
        sum2 += z * z;
        sum4 += z * z * z * z;
        uni += at_rng_uniform(&r, -1, 3);
        int k = at_rng_int(&r, -2, 3);
        assert_in_range(k + 2, 0, 5);
        low += k == -2;
        high += k == 3;
        double l = at_rng_log_uniform(&r, 10, 1000);
        assert_true(l >= 10 && l <= 1000);
    }
    printf("mean %.4f (0), variance %.4f (1), fourth %.3f (3), uniform %.4f (1), ends %d %d (%d)\n",
           sum / n, sum2 / n, sum4 / n, uni / n, low, high, n / 6);
    assert_true(fabs(sum / n) < 0.01);
    assert_true(fabs(sum2 / n - 1) < 0.01);
    assert_true(fabs(sum4 / n - 3) < 0.08);
    assert_true(fabs(uni / n - 1) < 0.01);
    assert_true(abs(low - n / 6) < 1500 && abs(high - n / 6) < 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_xoshiro_seeded_by_splitmix),
        cmocka_unit_test(test_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
