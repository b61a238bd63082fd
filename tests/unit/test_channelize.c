/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/dsp/channelize.h"
#include "lib/dsp/spectrum.h"
#include "tests/support/signals.h"

#define RATE 1e6
enum { N = 2048, SAMPLES = 1 << 18 };

/* Runs iq through a channel; returns its samples (owned by the caller), the lag taken off. */
static float *cut(const float *iq, const struct at_channel_shape *shape, size_t *ret_n,
                  double (*ret_response)[2])
{
    struct at_blocks b;
    struct at_channel *c = NULL;
    assert_int_equal(at_blocks_init(&b, NULL, N, 2, 1), 0);
    assert_int_equal(at_channel_create(NULL, shape, RATE, &c), 0);
    unsigned per = at_channel_block_samples(c), lag = at_channel_lag(c);
    float *out = at_mem_alloc(NULL, 0, ((size_t)SAMPLES / (N / 2) + 1) * per * 8);
    size_t n = 0, at = 0;
    at_blocks_begin(&b, 0);
    while (at < SAMPLES) {
        at += at_blocks_push(&b, iq + 2 * at, SAMPLES - at);
        at_blocks_make(&b);
        while (at_blocks_next(&b)) {
            at_channel_run(c, at_blocks_get(&b, b.count - 1), b.count - 1, NULL, out + 2 * n);
            n += per;
        }
    }
    if (ret_response)
        for (int i = 0; i < 2; i++)
            at_channel_responses(c, &(*ret_response)[i], 1, &(*ret_response)[i]);
    memmove(out, out + 2 * (size_t)lag, (n - lag) * 8);
    *ret_n = n - lag;
    at_channel_destroy(c);
    at_blocks_finish(&b);
    return out;
}

/* Level of the tone at f cycles a sample, and of all else, over the middle. */
static void measure(const float *x, size_t n, double f, double *ret_tone, double *ret_rest)
{
    double re = 0, im = 0, all = 0;
    size_t from = n / 8, count = 0;
    for (size_t i = from; i < n - from; i++, count++) {
        double p = -2 * M_PI * f * (double)i, c = cos(p), s = sin(p);
        re += x[2 * i] * c - x[2 * i + 1] * s;
        im += x[2 * i] * s + x[2 * i + 1] * c;
        all += x[2 * i] * x[2 * i] + x[2 * i + 1] * x[2 * i + 1];
    }
    double tone = (re * re + im * im) / ((double)count * (double)count);
    *ret_tone = 10 * log10(tone + 1e-30);
    *ret_rest = 10 * log10(fabs(all / (double)count - tone) + 1e-30);
}

static const struct {
    double lo, hi;
} cases[] = {{-310e3, -290e3}, {101e3, 163e3}, {-500e3, -480e3}, {7.7e3, 9.1e3},
             {-1000, 1234},    {480e3, 500e3}, {-430e3, 190e3}};

static void test_pass_band_is_flat_and_at_its_place(void **state)
{
    float *iq = at_mem_alloc(NULL, 0, SAMPLES * 8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_channel_shape s;
        at_channel_fit(&s, RATE, N, cases[i].lo, cases[i].hi, 0, 64, 64);
        for (double at = -0.4; at <= 0.4; at += 0.2) {
            double f = s.center_hz + at * s.rate_hz, tone, rest, response[2] = {at * s.rate_hz, 0};
            size_t n;
            memset(iq, 0, SAMPLES * 8);
            sig_add_tone(iq, 0, SAMPLES, f / RATE, -10);
            float *x = cut(iq, &s, &n, &response);
            measure(x, n, at, &tone, &rest);
            print_message("%.1f kHz of %.3f kS/s (n %u, second %u): tone %.3f dB, response %.3f "
                          "dB, rest %.1f dB\n",
                          f / 1e3, s.rate_hz / 1e3, s.n_inverse, s.decimation, tone + 10,
                          10 * log10(response[0]), rest + 10);
            assert_true(fabs(tone + 10 - 10 * log10(response[0])) < 0.05);
            assert_true(fabs(10 * log10(response[0])) < 0.5);
            assert_true(rest + 10 < -60);
            at_mem_free(NULL, x);
        }
    }
    at_mem_free(NULL, iq);
}

/* A tone outside the channel is gone by 60 dB wherever it stands: the filter's images, the block's,
 * the phase's. */
static void test_images_and_aliases_are_60_db_down(void **state)
{
    float *iq = at_mem_alloc(NULL, 0, SAMPLES * 8);
    double worst = -200;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_channel_shape s;
        at_channel_fit(&s, RATE, N, cases[i].lo, cases[i].hi, 0, 64, 64);
        for (double f = -0.4987; f < 0.5; f += 0.0831) {
            double away = f * RATE - s.center_hz;
            away -= RATE * floor(away / RATE + 0.5);
            if (fabs(away) < 0.5 * s.rate_hz)
                continue;
            size_t n;
            double tone, rest;
            memset(iq, 0, SAMPLES * 8);
            sig_add_tone(iq, 0, SAMPLES, f, 0);
            float *x = cut(iq, &s, &n, NULL);
            measure(x, n, 0, &tone, &rest);
            worst = fmax(worst, fmax(tone, rest));
            at_mem_free(NULL, x);
        }
    }
    print_message("worst image or alias %.1f dB\n", worst);
    assert_true(worst < -60);
    at_mem_free(NULL, iq);
}

static void test_an_impulse_keeps_its_time(void **state)
{
    float *iq = at_mem_alloc(NULL, 0, SAMPLES * 8);
    enum { AT = 100000 };
    iq[2 * AT] = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_channel_shape s;
        size_t n, peak = 0;
        at_channel_fit(&s, RATE, N, cases[i].lo, cases[i].hi, 0, 64, 64);
        float *x = cut(iq, &s, &n, NULL);
        for (size_t k = 1; k < n; k++)
            if (hypot(x[2 * k], x[2 * k + 1]) > hypot(x[2 * peak], x[2 * peak + 1]))
                peak = k;
        double step = RATE / s.rate_hz;
        print_message("impulse at %d seen at %.0f, step %.0f\n", AT, (double)peak * step, step);
        assert_true(fabs((double)peak * step - AT) <= step / 2 + 1);
        at_mem_free(NULL, x);
    }
    at_mem_free(NULL, iq);
}

static void test_the_fit_keeps_its_shares(void **state)
{
    static const struct {
        double rate, lo, hi, duration, want;
    } t[] = {
        {2.4e6, 100e3, 300e3, 0, 600e3},   {2.4e6, 100e3, 110e3, 0, 37500},
        {2.4e6, 0, 2e6, 0, 2.4e6},         {2.4e6, 0, 10, 0, 9375},
        {250e3, 0, 4e3, 0.050, 62500},     {250e3, 0, 4e3, 10, 15625},
        {12001, -5, 5, 0, 12001},          {10e6, -5e5, 8e5, 3e-4, 10e6},
        {61.44e6, 1e6, 1.003e6, 0, 15000},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct at_channel_shape s;
        at_channel_fit(&s, t[i].rate, 4096, t[i].lo, t[i].hi, t[i].duration, 64, 64);
        double share = (t[i].hi - t[i].lo) / s.rate_hz, mid = (t[i].lo + t[i].hi) / 2;
        print_message("%.0f..%.0f Hz of %.0f: rate %.1f (wanted %.1f), share %.3f, off %.4f\n",
                      t[i].lo, t[i].hi, t[i].rate, s.rate_hz, t[i].want, share,
                      (mid - s.center_hz) / s.rate_hz);
        assert_true(fabs(s.rate_hz - t[i].want) < 1e-6);
        assert_true(fabs(mid - s.center_hz) <= s.rate_hz / 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass_band_is_flat_and_at_its_place),
        cmocka_unit_test(test_images_and_aliases_are_60_db_down),
        cmocka_unit_test(test_an_impulse_keeps_its_time),
        cmocka_unit_test(test_the_fit_keeps_its_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
