/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dsp/image.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 1e6

enum { N = 400000, SCENES = 12 };

/* y = x + c x*: images 27 dB down. */
static void unbalance(float *iq, size_t n)
{
    const float re = 0.035f, im = 0.026f;
    for (size_t i = 0; i < n; i++) {
        float a = iq[2 * i], b = iq[2 * i + 1];
        iq[2 * i] = a + re * a + im * b;
        iq[2 * i + 1] = b + im * a - re * b;
    }
}

/* A carrier at f (of the rate), keyed without any shaping: it clicks over the whole band. */
static void add_keyed(float *iq, double f, double dbfs, uint64_t seed)
{
    for (size_t at = 60000 + (size_t)(20000 * sig_uniform(&seed)); at + 4000 < N;) {
        size_t on = sig_uniform(&seed) < 0.5 ? 400 : 1200;
        sig_add_tone(iq, at, at + on, f, dbfs);
        at += on + (sig_uniform(&seed) < 0.1 ? 9000 : 1600 - on);
    }
}

/* Neither the image of one that is on all along nor the skirts of one that is keyed are emissions.
 */
static void test_images_and_skirts_are_none(void **state)
{
    unsigned all = 0;
    for (unsigned i = 0; i < SCENES; i++) {
        float *iq = sig_noise(N, -45, i + 1);
        struct band_log l = {0};
        uint64_t seed = 70 + i;
        sig_add_wide(iq, 0, N, -0.18 - 0.1 * sig_uniform(&seed), 0.04, -24, 9 + i);
        add_keyed(iq, 0.06 + 0.1 * sig_uniform(&seed), -20, 100 + i);
        unbalance(iq, N);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        all += l.n;
        free(iq);
        free(l.frames);
    }
    print_message("%u scenes of two: %u emissions\n", SCENES, all);
    assert_true(all >= 2 * SCENES && all <= 2 * SCENES + 1);
}

/* But what only happens to stand at the mirror frequencies of a stronger one is one. */
static void test_what_is_no_image_stays(void **state)
{
    for (unsigned i = 0; i < SCENES; i++) {
        float *iq = sig_noise(N, -45, i + 1);
        struct band_log l = {0};
        sig_add_wide(iq, 0, N, -0.2, 0.04, -24, 9 + i);
        sig_add_wide(iq, 100000, 120000 + 20000 * i, 0.2, 0.04, -44, 30 + i);
        unbalance(iq, N);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 2);
        free(iq);
        free(l.frames);
    }
}

/* Cells that go with those at the mirror frequencies, noise beside them. */
static void test_what_is_over_the_noise_decides(void **state)
{
    struct at_track k = {.epochs = 2, .mirrored = 1, .mirror_noise = 100};
    k.mirror = (struct at_mirror){.re = 14.14, .here = 200, .there = 2e4, .cells = 100};
    assert_false(at_image_was(&k)); /* two cells' worth of 200: chance */
    k.mirror.re = 1414;             /* half of what is there, all of it over the noise */
    assert_true(at_image_was(&k));
    k.mirror.re = 850; /* 36 of 100 over the noise */
    assert_false(at_image_was(&k));
    k.mirror.re = 1414;
    k.epochs = 3; /* mostly there without it */
    assert_false(at_image_was(&k));
    k.epochs = 2;
    k.mirror.there = 1900; /* less than 10 dB over it, though coherent */
    k.mirror.re = 600;
    assert_false(at_image_was(&k));
    assert_true(at_image_coherence(&k.mirror) > 0.9);
    k.mirror.cells = 15;
    assert_true(at_image_coherence(&k.mirror) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images_and_skirts_are_none),
        cmocka_unit_test(test_what_is_no_image_stays),
        cmocka_unit_test(test_what_is_over_the_noise_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
