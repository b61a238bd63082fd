/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 48e3
enum { MS = 48, END = 1400, N = END * MS };

/* 2.6 kHz of noise 33 dB over what it lies in, and a line in it, which says where it is highest,
 * from `from` to `to` ms. */
static void add_strong(float *iq, unsigned from, unsigned to)
{
    sig_add_wide(iq, from * MS, to * MS, 5e3 / RATE, 2.6e3 / RATE, -30, 5);
    sig_add_tone(iq, from * MS, to * MS, 5.6e3 / RATE, -30);
}

/* One transmitter's first sound is a weak one, 22 dB under those that follow in the same channel,
 * and is reported before they come: they go on under its id. */
static void test_a_weak_sound_begins_what_follows(void **state)
{
    for (unsigned k = 0; k < 4; k++) {
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 3 + k);
        sig_add_wide(iq, 500 * MS, 620 * MS, (4.2e3 + 100 * k) / RATE, 400 / RATE, -52, 8 + k);
        add_strong(iq, 640 + 50 * k, END);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 1);
        assert_true(l.e[0].id == 1);
        assert_true(l.e[0].start > 480 * MS && l.e[0].start < 530 * MS);
        assert_true(l.e[0].end > (END - 10) * MS);
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz > 2.3e3 &&
                    l.e[0].f_hi_hz - l.e[0].f_lo_hz < 3.2e3);
        assert_true(l.tokens[0] * 62.5 >
                    0.7 * RATE / 4 / 128); /* heard as wide as it is, for most of it */
        free(iq);
        free(l.frames);
    }
}

/* Each allocation of that fails in turn: the weak sound stays as it was, and they go on once there
 * is memory. */
static void test_what_follows_may_find_no_memory(void **state)
{
    enum { HEARD = 630 * MS };
    float *iq = sig_noise(N, -50, 3);
    long failed = 0, left = 0, gone_on = 0;
    sig_add_wide(iq, 500 * MS, 620 * MS, 4.2e3 / RATE, 400 / RATE, -52, 8);
    add_strong(iq, 640, END);
    for (; left == 0; failed++) {
        struct at_mem mem = {0};
        struct band_log l = {0};
        struct at_band *b = log_band(&l, &mem, RATE);
        assert_int_equal(at_band_push(b, iq, HEARD, 0), 0);
        assert_int_equal(l.n, 1);
        mem.fail_at = failed + 1;
        int ret = at_band_push(b, iq + 2 * HEARD, N - HEARD, HEARD);
        left = mem.fail_at;
        mem.fail_at = 0;
        double width = l.e[0].f_hi_hz - l.e[0].f_lo_hz;
        assert_int_equal(ret, left ? 0 : -ENOMEM);
        assert_true(left ? width > 2.3e3 : width < 600);
        assert_int_equal(at_band_flush(b), 0);
        assert_true(l.n == 1 && l.n_closed == 1);
        gone_on += l.e[0].f_hi_hz - l.e[0].f_lo_hz > 2.3e3;
        at_band_destroy(b);
        for (unsigned k = 0; k < AT_MEM_TAGS; k++)
            assert_int_equal(mem.bytes[k], 0);
        free(l.frames);
    }
    print_message("%ld allocations failed, gone on after %ld\n", failed - 1, gone_on - 1);
    assert_true(gone_on > 20); /* the first few are those of what follows itself */
    free(iq);
}

/* A line that has stood there all along, or for longer than a sound, is another. */
static void test_a_line_that_was_there_is_another(void **state)
{
    static const unsigned from[] = {0, 300};
    for (unsigned k = 0; k < 2; k++) {
        struct band_log l = {0};
        float *iq = sig_noise(N, -50, 3 + k);
        sig_add_tone(iq, from[k] * MS, N, 4.2e3 / RATE, -52);
        add_strong(iq, k ? 900 : 240, END);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_true(l.n >= 2);
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz < 600);
        assert_true(l.e[1].f_hi_hz - l.e[1].f_lo_hz > 2.3e3);
        assert_true(l.e[1].start > (k ? 880 : 220) * MS);
        free(iq);
        free(l.frames);
    }
}

/* Chirps over 140 kHz at 1 MS/s, 33 ms each, eight upward ones, then such that begin anywhere and
 * come round, 25 dB over the noise there. Returns how many emissions they are. */
static unsigned slow_chirps(uint64_t seed)
{
    enum { LONG = 1000000, FROM = 100000 };
    struct band_log l = {0};
    float *iq = sig_noise(LONG, -45, seed);
    size_t period = 32768, at = 0;
    double mid = 0.3 * sig_uniform(&seed) - 0.15, place = 0, p = 0;
    for (size_t i = FROM; i < LONG - 20000; i++, at++) {
        if (at % period == 0)
            place = at / period < 8 ? 0 : sig_uniform(&seed);
        p += 2 * M_PI *
             (mid + 0.14 * (fmod(place + (double)(at % period) / (double)period, 1) - 0.5));
        iq[2 * i] += (float)(0.0375 * cos(p));
        iq[2 * i + 1] += (float)(0.0375 * sin(p));
    }
    assert_int_equal(log_run(&l, iq, LONG, 1e6), 0);
    free(iq);
    free(l.frames);
    return l.n;
}

/* An epoch shows half of a slow chirp, and two may begin that take turns until they are seen to be
 * one. */
static void test_slow_chirps_are_one(void **state)
{
    unsigned more = 0;
    for (uint64_t seed = 1; seed < 60; seed += 2)
        more += slow_chirps(seed) - 1;
    print_message("slow chirps: %u emissions too many in 30 scenes (3 at most)\n", more);
    assert_true(more <= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_weak_sound_begins_what_follows),
        cmocka_unit_test(test_what_follows_may_find_no_memory),
        cmocka_unit_test(test_a_line_that_was_there_is_another),
        cmocka_unit_test(test_slow_chirps_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
