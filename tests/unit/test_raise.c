/* Signals rendered at a low rate and raised are what they would be at the high one.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/synth/gen.h"

enum { N = 5003, WIDE = 1 << 17 };

/* A tone below 0.3 of the low rate comes out as that tone, in its place to the sample: what
 * differs, images among it, stands at -90 dB at most. */
static void test_tones_are_raised(void **state)
{
    static float x[2 * (2 * N)], other[2 * (2 * N)];
    for (unsigned steps = 0; steps <= 6; steps++) {
        double worst = 0;
        for (int k = -6; k <= 6; k++) {
            size_t lead, n = at_raise_needs(N, steps, &lead);
            double f = 0.05 * k, high = ldexp(f, -(int)steps);
            for (size_t i = 0; i < n; i++) {
                x[2 * i] = (float)cos(AT_TAU * f * (double)i);
                x[2 * i + 1] = (float)sin(AT_TAU * f * (double)i);
            }
            const float *y = at_raise_run(x, N, steps, other);
            assert_ptr_equal(y, steps % 2 ? other : x);
            for (size_t i = 0; i < N; i++) {
                double w = AT_TAU * high * (double)(i + lead);
                worst =
                    fmax(worst, hypot((double)y[2 * i] - cos(w), (double)y[2 * i + 1] - sin(w)));
            }
        }
        print_message("rate times %d: off by %.1f dB at most\n", 1 << steps, 20 * log10(worst));
        assert_true(worst < 3.2e-5);
    }
}

struct both {
    float *iq, *half;
    uint8_t *on, *marks;
};

static double power_on(const float *iq, const uint8_t *on)
{
    double sum = 0, m = 0;
    for (size_t i = 0; i < WIDE; i++) {
        assert_true(isfinite(iq[2 * i]) && isfinite(iq[2 * i + 1]));
        double p = (double)iq[2 * i] * iq[2 * i] + (double)iq[2 * i + 1] * iq[2 * i + 1];
        sum += on[i] ? p : 0;
        m += on[i];
    }
    return m > 0 ? sum / m : 0;
}

/* Every variant, a fortieth of the rate wide: its own power while on, and its own edges and times
 * as far as one window of random data tells. */
static void test_narrow_ones_stay_what_they_are(void **state)
{
    struct both b = {malloc(2 * (WIDE + 1) * sizeof(float)),
                     malloc((WIDE + 2 * AT_GEN_EXTRA) * sizeof(float)), malloc(WIDE),
                     malloc(WIDE + AT_GEN_EXTRA)};
    double sum = 0, worst = 0, n = 0;
    for (int c = AT_CLASS_CARRIER; c < AT_CLASS_COUNT; c++) {
        for (size_t v = 0; v < at_variant_count(c); v++) {
            const char *name = at_variant_at(c, v)->name;
            struct at_signal_spec s = {.class_id = c,
                                       .seed = 11,
                                       .rate_hz = 1e6,
                                       .bandwidth_hz = 25e3,
                                       .n = WIDE,
                                       .clean = 1};
            struct at_signal_truth full, low;
            if (strstr(name, "_cut"))
                continue;
            snprintf(s.variant, sizeof s.variant, "%s", name);
            assert_int_equal(at_signal_render_marked(&s, b.iq, b.on, &full), 0);
            assert_int_equal(at_gen_render(&s, b.iq, b.on, b.half, b.marks, &low), 0);
            double p = 10 * log10(power_on(b.iq, b.on)),
                   off = log2(low.bandwidth_hz / full.bandwidth_hz);
            sum += off;
            n++;
            worst = fmax(worst, fabs(off));
            if (fabs(p) > 0.5 || fabs(off) > 0.75 || low.last > WIDE || low.first >= low.last ||
                fabs(low.on_share - full.on_share) > 0.25)
                fail_msg("%s %s: %.2f dB, %.0f Hz (%.0f), on %zu to %zu (%zu to %zu), %.2f (%.2f)",
                         at_class_name(c), name, p, low.bandwidth_hz, full.bandwidth_hz, low.first,
                         low.last, full.first, full.last, low.on_share, full.on_share);
        }
    }
    print_message("%.0f variants: width off by %.3f octaves in the mean, %.2f at most\n", n,
                  sum / n, worst);
    assert_true(fabs(sum / n) < 0.02);
    free(b.iq);
    free(b.half);
    free(b.on);
    free(b.marks);
}

/* What fills any rate is rendered at the full one: to the bit what it is by itself. */
static void test_what_fills_the_rate_stays(void **state)
{
    enum { FEW = 1 << 14 };
    static float a[2 * (FEW + 1)], b[2 * (FEW + 1)], half[FEW + 2 * AT_GEN_EXTRA];
    static uint8_t on[FEW], marks[FEW + AT_GEN_EXTRA];
    struct at_signal_truth t;
    struct at_signal_spec s = {.class_id = AT_CLASS_OFDM,
                               .variant = "lte_cut",
                               .seed = 3,
                               .rate_hz = 1e6,
                               .bandwidth_hz = 1e4,
                               .n = FEW};
    assert_int_equal(at_signal_render_marked(&s, a, on, &t), 0);
    assert_int_equal(at_gen_render(&s, b, on, half, marks, &t), 0);
    assert_memory_equal(a, b, 2 * FEW * sizeof *a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tones_are_raised),
        cmocka_unit_test(test_narrow_ones_stay_what_they_are),
        cmocka_unit_test(test_what_fills_the_rate_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
