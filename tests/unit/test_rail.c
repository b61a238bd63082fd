/* Samples that clip, at full scale or below, and what that makes of those who send.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dsp/rail.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { N = 20480, PER = 128, CELLS = N / PER, SEEDS = 8, FEW = 4, LONG = 600000, UNIT = 400 };

static void clip(float *iq, size_t n, float rail)
{
    for (size_t i = 0; i < 2 * n; i++)
        iq[i] = fminf(fmaxf(iq[i], -rail), rail);
}

/* To the nearest multiple of step. */
static void quantise(float *iq, size_t n, float step)
{
    for (size_t i = 0; i < 2 * n; i++)
        iq[i] = step * nearbyintf(iq[i] / step);
}

/* Whether one epoch clips below full scale; the samples are freed. */
static bool clips(float *iq)
{
    struct at_rail_cell cells[CELLS];
    float rail = 0;
    for (size_t i = 0; i < CELLS; i++)
        at_rail_look(iq + 2 * i * PER, PER, &cells[i]);
    free(iq);
    return at_rail_see(cells, CELLS, PER, &rail);
}

/* A tone, or noise where f is 0, of this level that is cut off at `rail` and comes in steps; 0: it
 * is not. */
static float *made(double f, double dbfs, float rail, float step, uint64_t seed)
{
    float *iq = sig_noise(N, f != 0 ? dbfs - 40 : dbfs, seed);
    if (f != 0)
        sig_add_tone(iq, 0, N, f, dbfs);
    if (rail > 0)
        clip(iq, N, rail);
    if (step > 0)
        quantise(iq, N, step);
    return iq;
}

static void test_values_pile_up_at_a_rail(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t k = 0; k < SEEDS; k++) {
        found += clips(made(0.0371, -20, 0.09f, 0, k));           /* 1 dB */
        found += clips(made(0.0371, -20, 0.02f, 0, k));           /* 14 dB */
        found += clips(made(0, -25, 0.1f, 0, k));                 /* one value in a hundred */
        found += clips(made(0.0371, -20, 0.08f, 0.08f / 127, k)); /* 8 bits */
        found += clips(made(0, -28, 0.0625f, 1 / 32768.0f, k));   /* 12 bits in 16 */
    }
    print_message("clipping: %u of %u\n", found, 5 * SEEDS);
    assert_int_equal(found, 5 * SEEDS);
}

static void test_what_does_not_clip_does_not(void **state)
{
    (void)state;
    unsigned found = 0, all = 0;
    for (uint64_t k = 0; k < SEEDS; k++)
        for (int steps = 4; steps < 128; steps++, all += 5) {
            float step =
                0.1f / ((float)steps + 0.1f * (float)k); /* its top reaches a step, or hardly */
            found += clips(made(0.0371, -20, 0, step, k));
            found += clips(made(-1e-6, -20, 0, step, k)); /* a carrier that hardly turns */
            found += clips(made(0.25, -20, 0, step, k));  /* or by a quarter each time */
            found += clips(made(0, -30, 0, step, k));
            found += clips(sig_noise(N, -30, k));
        }
    print_message("not clipping: %u of %u taken for it\n", found, all);
    assert_int_equal(found, 0);
}

/* A transmitter of constant level (amplitude a) at f cycles a sample, steps of whose phase are
 * rounded over 32 samples. */
static void add_steady(float *iq, double f, double a, uint64_t seed)
{
    double from = 0, to = 0;
    for (size_t i = 0; i < LONG; i++) {
        if (i % 32 == 0) {
            from = to;
            to += M_PI / 2 * (double)(int)(4 * sig_uniform(&seed) - 1.5);
        }
        double p = 2 * M_PI * fmod(f * (double)i, 1) + from +
                   (to - from) * (0.5 - 0.5 * cos(M_PI * (double)(i % 32) / 32));
        iq[2 * i] += (float)(a * cos(p));
        iq[2 * i + 1] += (float)(a * sin(p));
    }
}

/* Scenes of SEEDS, LONG samples at 1 MS/s, a steady transmitter at f or up to `spread` lower and a
 * remote that begins `units` later, cut off at a rail far below full scale, in which there are not
 * just two emissions. */
static unsigned not_two(double f, double spread, size_t units, float rail)
{
    unsigned wrong = 0;
    for (uint64_t k = 0; k < SEEDS; k++) {
        uint64_t seed = k;
        struct band_log l = {0};
        float *iq = sig_noise(LONG, -45, seed + 1);
        double remote = 0.06 + 0.1 * sig_uniform(&seed);
        add_steady(iq, f - spread * sig_uniform(&seed), 0.07, seed);
        for (size_t i = units; i < LONG / UNIT - 100; i++)
            if (sig_uniform(&seed) < 0.5)
                sig_add_tone(iq, i * UNIT, (i + 1) * UNIT, remote, -21);
        clip(iq, LONG, rail);
        quantise(iq, LONG, rail / 127);
        assert_int_equal(log_run(&l, iq, LONG, 1e6), 0);
        wrong += l.n != 2;
        free(l.frames);
        free(iq);
    }
    return wrong;
}

/* What a rail makes of those that send are no emissions; and one that dips while the other sends is
 * not that one's part. */
static void test_products_are_none(void **state)
{
    (void)state;
    unsigned little = not_two(-0.18, 0.1, 250, 0.12f), far = not_two(-0.13, 0.05, 50, 0.08f);
    print_message("two transmitters that clip: not two emissions in %u (none) and %u (two at most) "
                  "of %d scenes\n",
                  little, far, SEEDS);
    assert_int_equal(little, 0);
    assert_true(far <= 2); /* one or two, by how a compiler rounds */
}

/* Scenes, of FEW, in which one of 20 kHz at weak_hz, on until `end`, is found beside a carrier at
 * 120 kHz that is there from `from` on, 20 dB stronger, and clips by 4 dB all along; and nothing
 * else is. */
static unsigned weak_found(double weak_hz, size_t end, size_t from)
{
    unsigned found = 0;
    for (uint64_t seed = 0; seed < FEW; seed++) {
        struct band_log l = {0};
        float *iq = sig_noise(LONG, -45, seed + 1);
        bool there = false;
        sig_add_wide(iq, 0, end, weak_hz / 1e6, 0.02, -34, seed);
        sig_add_tone(iq, from, LONG, 0.12, -14);
        clip(iq, LONG, 0.12f);
        quantise(iq, LONG, 0.12f / 127);
        assert_int_equal(log_run(&l, iq, LONG, 1e6), 0);
        for (unsigned i = 0; i < l.n; i++)
            there |= l.e[i].f_lo_hz < weak_hz && l.e[i].f_hi_hz > weak_hz &&
                     (double)l.e[i].end > 0.95 * (double)end;
        found += there && l.n == 2;
        free(l.frames);
        free(iq);
    }
    return found;
}

/* What lies where no product does is another, though samples clip all along; and so is what was
 * there before. */
static void test_weak_ones_are_not_lost(void **state)
{
    (void)state;
    unsigned beside = weak_found(-230e3, LONG, 0), before = weak_found(-360e3, 180000, 200000);
    print_message("weak ones: found where no product lies in %u, and at -3 f, before it clips, in "
                  "%u of %d scenes (all)\n",
                  beside, before, FEW);
    assert_int_equal(beside, FEW);
    assert_int_equal(before, FEW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_pile_up_at_a_rail),
        cmocka_unit_test(test_what_does_not_clip_does_not),
        cmocka_unit_test(test_products_are_none),
        cmocka_unit_test(test_weak_ones_are_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
