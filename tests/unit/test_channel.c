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

enum { N = 1 << 17 };
static float iq[2 * N];

static void tone(double cycles, double amp)
{
    for (int i = 0; i < N; i++) {
        iq[2 * i] = (float)(amp * cos(2 * M_PI * cycles * i / N));
        iq[2 * i + 1] = (float)(amp * sin(2 * M_PI * cycles * i / N));
    }
}

/* Power of one line, dBFS. */
static double line_db(double cycles)
{
    double re = 0, im = 0;
    for (int i = 0; i < N; i++) {
        double p = -2 * M_PI * cycles * i / N, c = cos(p), s = sin(p);
        re += iq[2 * i] * c - iq[2 * i + 1] * s;
        im += iq[2 * i] * s + iq[2 * i + 1] * c;
    }
    return 10 * log10((re * re + im * im) / N / N + 1e-30);
}

static double power_db(void)
{
    double sum = 0;
    for (int i = 0; i < 2 * N; i++)
        sum += (double)iq[i] * iq[i];
    return 10 * log10(sum / N + 1e-30);
}

static void test_noise_density(void **state)
{
    for (double rate = 8e3; rate < 1e8; rate *= 40) {
        struct at_channel_spec spec = {.seed = 3, .noise_dbfs_hz = -120};
        tone(0, 0);
        assert_int_equal(at_channel_apply(&spec, rate, 0, NULL, iq, N), 0);
        double got = power_db() - 10 * log10(rate), kurt = 0, var = 0;
        for (int i = 0; i < 2 * N; i++) {
            double p = (double)iq[i] * iq[i];
            var += p;
            kurt += p * p;
        }
        kurt = kurt / (2 * N) / (var / (2 * N)) / (var / (2 * N));
        printf("rate %.0f: %.2f dBFS/Hz (-120), kurtosis %.3f (3)\n", rate, got, kurt);
        assert_true(fabs(got + 120) < 0.2);
        assert_true(fabs(kurt - 3) < 0.05);
    }
}

static void test_nothing_asked_nothing_done(void **state)
{
    struct at_channel_spec spec = {.seed = 3};
    tone(100, 0.5);
    float keep[64];
    for (int i = 0; i < 64; i++)
        keep[i] = iq[i];
    assert_int_equal(at_channel_apply(&spec, 1e6, 0, NULL, iq, N), 0);
    assert_memory_equal(keep, iq, sizeof keep);
}

/* An imbalance of g dB and p degrees makes an image (g^2 + p^2) / 4 below the tone, g and p as
 * ratio and radians. */
static void test_image_and_dc(void **state)
{
    struct at_channel_spec spec = {.seed = 3, .iq_gain_db = 0.5, .iq_phase_deg = 2, .dc_dbfs = -40};
    tone(1000, 0.5);
    assert_int_equal(at_channel_apply(&spec, 1e6, 0, NULL, iq, N), 0);
    double g = 0.5 / 8.686, p = 2 * M_PI / 180, want = 10 * log10((g * g + p * p) / 4) - 6.02;
    printf("image %.1f dBFS (%.1f), DC %.1f (-40)\n", line_db(-1000), want, line_db(0));
    assert_true(fabs(line_db(-1000) - want) < 0.5);
    assert_true(fabs(line_db(0) + 40) < 0.2);
}

static void test_converter(void **state)
{
    struct at_channel_spec spec = {.seed = 3, .bits = 8};
    tone(777, 0.9);
    assert_int_equal(at_channel_apply(&spec, 1e6, 0, NULL, iq, N), 0);
    for (int i = 0; i < 2 * N; i++) { /* cu8: (k - 127.5) / 127.5 */
        double k = (double)iq[i] * 127.5 + 127.5;
        if (fabs(k - rint(k)) > 1e-3 || k < -0.01 || k > 255.01)
            fail_msg("%.6f is no level of an 8-bit converter (%.4f)", (double)iq[i], k);
    }
    struct at_channel_spec clip = {.seed = 3, .clip = 0.5};
    tone(777, 0.8);
    assert_int_equal(at_channel_apply(&clip, 1e6, 0, NULL, iq, N), 0);
    float peak = 0;
    for (int i = 0; i < 2 * N; i++)
        peak = fabsf(iq[i]) > peak ? fabsf(iq[i]) : peak;
    printf("peak %.4f (0.4), third harmonic %.1f dBFS (above -40)\n", (double)peak,
           line_db(-3 * 777));
    assert_true(fabsf(peak - 0.4f) < 1e-4f);
    assert_true(line_db(-3 * 777) > -40);
}

/* L(f) at 10 kHz: power per Hz there against the carrier. */
static void test_phase_noise(void **state)
{
    double rate = 262144, sum = 0; /* 2 Hz bins */
    struct at_channel_spec spec = {.seed = 3, .phase_noise_dbc_hz = -80};
    tone(0, 1);
    assert_int_equal(at_channel_apply(&spec, rate, 1, NULL, iq, N), 0);
    for (int k = 0; k < 64; k++)
        sum += pow(10, line_db(1e4 / 2 + 4 * (k - 32)) / 10);
    double got = 10 * log10(sum / 64 / 2);
    printf("%.1f dBc/Hz at 10 kHz (-80)\n", got);
    assert_true(fabs(got + 80) < 2);
}

static void test_gated(void **state)
{
    static uint8_t on[N];
    for (int i = 0; i < N; i++)
        on[i] = i >= 1000 && i < 2000;
    struct at_channel_spec spec = {.seed = 3, .noise_dbfs_hz = -100, .gated = 1};
    tone(10, 0.1);
    assert_int_equal(at_channel_apply(&spec, 1e6, 0, on, iq, N), 0);
    assert_true(iq[2 * 999] == 0 && iq[2 * 2000] == 0);
    assert_true(iq[2 * 1500] != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_density), cmocka_unit_test(test_nothing_asked_nothing_done),
        cmocka_unit_test(test_image_and_dc),  cmocka_unit_test(test_converter),
        cmocka_unit_test(test_phase_noise),   cmocka_unit_test(test_gated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
