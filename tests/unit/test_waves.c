/* Every variant of the generator's loops gives the same bits; test_synth holds them to what they
 * should be. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/synth/gen.h"
#include "lib/synth/waves.h"

enum { N = 1027, PARTS = 18, TAPS = 8, FFT = 256 };

struct outputs {
    float part[PARTS][2 * N];
    uint32_t steps[N];
};

struct inputs {
    float x[2 * N], y[2 * N], amp[N];
    uint32_t phase[N];
    uint64_t draws[N];
};

static void make(struct inputs *in)
{
    struct at_rng r;
    at_rng_seed(&r, 11);
    for (int i = 0; i < N; i++) {
        in->draws[i] = at_rng_next(&r);
        in->phase[i] = (uint32_t)at_rng_next(&r);
        in->amp[i] = (float)at_rng_uniform(&r, 0, 2);
    }
    for (int i = 0; i < 2 * N; i++) {
        in->x[i] = (float)at_rng_normal(&r);
        in->y[i] = (float)at_rng_normal(&r);
    }
}

static void run_all(const struct at_waves *w, const struct inputs *in, struct outputs *o)
{
    static const float tap[TAPS + 1] = {0.9f, 0.3f, -0.2f, 0.1f, -0.05f, 0.02f, -0.01f, 0.4f, 1};
    const uint64_t p = UINT64_C(0x123456789abcdef0), step = UINT64_C(0xfedcba9876543);
    memset(o, 0, sizeof *o);
    for (int i = 4; i < 10; i++)
        memcpy(o->part[i], in->x, sizeof in->x);
    w->sincos(in->phase, in->amp, N, o->part[0]);
    w->sincos(in->phase, NULL, N, o->part[1]);
    w->normals(in->draws, N, o->part[2]);
    w->symmetric(in->x + 2 * TAPS, 2 * (N - 2 * TAPS), tap, TAPS, o->part[3]);
    w->turn(o->part[4], in->y, N);
    w->mix(o->part[5], N, p, step);
    w->mix_add(o->part[6], in->y, N, p, step, 0.7f);
    w->convert(o->part[7], 2 * N, 1.5f, 0, 0);
    w->convert(o->part[8], 2 * N, 1.5f, 127.5f, 1);
    w->convert(o->part[9], 2 * N, 1.5f, 2047.5f, 0);
    w->unbalance(o->part[4], N, 1.01f, 0.99f, 0.999f, 0.03f);
    w->scale(in->y, 2 * N, 0.3f, 1, o->part[5]);
    w->scale(in->y, 2 * N, 0.3f, 0, o->part[10]);
    w->pass(in->x, in->y, o->part[11], o->part[11] + FFT, FFT, 1, in->amp, in->x + N);
    w->pass(in->x, in->y, o->part[12], o->part[12] + FFT, FFT, 4, in->amp, in->x + N);
    o->part[12][2 * N - 1] = w->peak(in->x, 2 * N);
    const struct at_taps pulse = {.tab = in->y, .rows = 128, .span = 9, .before = 4},
                         sinc = {.tab = in->y, .rows = 64, .span = 16, .before = 7};
    w->pulse(&pulse, in->x, 100, -11.3, 0.093, o->part[13], N);
    w->pulse2(&pulse, in->x, 100, 40.7, 0.11, o->part[14], N);
    w->resample(&sinc, in->x, N, -3.2, 0.973, o->part[15], N);
    w->twice(in->x, N / 2 - 2 * TAPS, tap, TAPS, o->part[17]);
    double e = w->energy(in->x, 2 * N - 3);
    memcpy(o->part[16], &e, sizeof e);
    w->steps(in->x, N, 4294967296.0 / 3, o->steps);
}

static void test_variants_agree_to_the_bit(void **state)
{
    static struct inputs in;
    static struct outputs plain, other;
    size_t n = 0;
    make(&in);
    while (at_waves_at(n + 1))
        n++;
    run_all(at_waves_at(n), &in, &plain);
    assert_string_equal(at_waves_at(n)->name, "generic");
    print_message("%zu variants beside generic\n", n);
    for (size_t i = 0; i < n; i++) {
        const struct at_waves *w = at_waves_at(i);
        run_all(w, &in, &other);
        for (int p = 0; p < PARTS; p++)
            for (int k = 0; k < 2 * N; k++)
                if (memcmp(&plain.part[p][k], &other.part[p][k], sizeof(float)) != 0)
                    fail_msg("%s: output %d, value %d: %.9g, generic %.9g", w->name, p, k,
                             (double)other.part[p][k], (double)plain.part[p][k]);
        assert_memory_equal(&plain, &other, sizeof plain);
    }
}

/* The noise is normal: its moments, and the share beyond one, two and three sigma. */
static void test_noise_is_normal(void **state)
{
    enum { MANY = 1 << 20 };
    static float x[MANY];
    static const double beyond[] = {0.317311, 0.0455003, 0.0026998};
    struct at_rng r;
    double mean = 0, square = 0, fourth = 0, share[3] = {0};
    at_rng_seed(&r, 3);
    at_gen_noise(&r, x, MANY, 2);
    for (int i = 0; i < MANY; i++) {
        double z = (double)x[i] / 2;
        mean += z / MANY;
        square += z * z / MANY;
        fourth += z * z * z * z / MANY;
        for (int k = 0; k < 3; k++)
            share[k] += (fabs(z) > k + 1) / (double)MANY;
    }
    print_message("mean %.4f, square %.4f, fourth %.4f, beyond 1, 2, 3 sigma %.5f %.5f %.6f\n",
                  mean, square, fourth, share[0], share[1], share[2]);
    assert_true(fabs(mean) < 0.005 && fabs(square - 1) < 0.007 && fabs(fourth - 3) < 0.05);
    for (int k = 0; k < 3; k++) /* five standard deviations of the count */
        assert_true(fabs(share[k] - beyond[k]) < 5 * sqrt(beyond[k] / MANY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants_agree_to_the_bit),
        cmocka_unit_test(test_noise_is_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
