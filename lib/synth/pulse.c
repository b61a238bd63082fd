/* Pulses and streams of symbols at any rate, resampling. SPDX-License-Identifier: GPL-3.0-or-later
 */
#include <errno.h>
#include <pthread.h>

#include "lib/base/bessel.h"
#include "lib/base/mem.h"
#include "lib/synth/gen.h"
#include "lib/synth/waves.h"

static double raised_cosine(double x, double alpha)
{
    double d = 2 * alpha * x, s = fabs(x) < 1e-9 ? 1 : sin(M_PI * x) / (M_PI * x);
    if (fabs(fabs(d) - 1) < 1e-6)
        return M_PI / 4 * sin(M_PI / (2 * alpha)) / (M_PI / (2 * alpha));
    return s * cos(M_PI * alpha * x) / (1 - d * d);
}

/* Proakis, Digital Communications: root raised cosine, T = 1. */
static double root_raised_cosine(double x, double alpha)
{
    if (fabs(x) < 1e-9)
        return 1 - alpha + 4 * alpha / M_PI;
    double d = 4 * alpha * x;
    if (fabs(fabs(d) - 1) < 1e-6) {
        double q = M_PI / (4 * alpha);
        return alpha / M_SQRT2 * ((1 + 2 / M_PI) * sin(q) + (1 - 2 / M_PI) * cos(q));
    }
    return (sin(M_PI * x * (1 - alpha)) + d * cos(M_PI * x * (1 + alpha))) /
           (M_PI * x * (1 - d * d));
}

/* Rectangle of one symbol smoothed by a straight edge of `rise` symbols. */
static double rectangle(double x, double rise)
{
    double d = 0.5 - fabs(x);
    if (rise < 1e-6)
        return d >= 0;
    double v = 0.5 + d / rise;
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static double shape_at(enum at_shape shape, double param, double x)
{
    double k;
    switch (shape) {
    case AT_SHAPE_RECT:
        return rectangle(x, param);
    case AT_SHAPE_GAUSS:            /* 3GPP TS 45.004: rectangle through a Gaussian of BT */
        k = M_PI * param * 1.69864; /* sqrt(2 / ln 2) */
        return 0.5 * (erf(k * (x + 0.5)) - erf(k * (x - 0.5)));
    case AT_SHAPE_RC:
        return raised_cosine(x, param);
    case AT_SHAPE_RRC:
        return root_raised_cosine(x, param);
    }
    return 0;
}

static int shape_span(enum at_shape shape, double param, double sps)
{
    switch (shape) {
    case AT_SHAPE_RECT:
        return param < 1e-6 && sps <= 0 ? 1 : 3;
    case AT_SHAPE_GAUSS:
        return param >= 0.45 ? 3 : param >= 0.28 ? 5 : 7;
    default:
        return param >= 0.3 ? 9 : 13;
    }
}

int at_pulse_init(struct at_pulse *p, enum at_shape shape, double param, double sps)
{
    int span = shape_span(shape, param, sps), half = span / 2, box = sps > 0 ? 9 : 1;
    float *tab = at_mem_array(NULL, AT_MEM_OTHER, (size_t)span * AT_PULSE_OS, sizeof *tab);
    if (!tab)
        return -ENOMEM;
    double width = sps > 0 ? 1 / sps : 0;
    if (shape == AT_SHAPE_RECT) { /* the box and the edge are one trapezoid */
        param = sqrt(param * param + width * width);
        box = 1;
    } else if (width < 0.1) {
        box = 1;
    }
    for (int r = 0; r < AT_PULSE_OS; r++) {
        for (int j = 0; j < span; j++) {
            double x = (r + 0.5) / AT_PULSE_OS - 0.5 - (j - half), v = 0;
            for (int b = 0; b < box; b++)
                v += shape_at(shape, param, x + width * ((b + 0.5) / box - 0.5));
            tab[r * span + j] = (float)(v / box);
        }
    }
    *p = (struct at_pulse){span, tab};
    return 0;
}

void at_pulse_finish(struct at_pulse *p)
{
    at_mem_free(NULL, p->tab);
    p->tab = NULL;
}

static struct at_taps taps_of(const struct at_pulse *p)
{
    return (struct at_taps){
        .tab = p->tab, .rows = AT_PULSE_OS, .span = p->span, .before = p->span / 2};
}

void at_pulse_run(const struct at_pulse *p, const float *sym, size_t n_sym, double t0, double sps,
                  float *out, size_t n)
{
    const struct at_taps t = taps_of(p);
    at_waves_best()->pulse(&t, sym, n_sym, t0, 1 / sps, out, n);
}

void at_pulse_run2(const struct at_pulse *p, const float *sym, size_t n_sym, double t0, double sps,
                   float *out, size_t n)
{
    const struct at_taps t = taps_of(p);
    at_waves_best()->pulse2(&t, sym, n_sym, t0, 1 / sps, out, n);
}

#define TAPS   16
#define PHASES 128

/* Kaiser window, beta 7: images 70 dB down above 0.58 of the input's rate. */
static double kaiser(double x)
{
    const double beta = 7;
    return x * x < 1 ? at_bessel_i0(beta * sqrt(1 - x * x)) / at_bessel_i0(beta) : 0;
}

static float window_taps[PHASES * TAPS];

static void make_window_taps(void)
{
    for (int r = 0; r < PHASES; r++) {
        for (int j = 0; j < TAPS; j++) {
            double x = j - (TAPS / 2 - 1) - (r + 0.5) / PHASES,
                   s = fabs(x) < 1e-9 ? 1 : sin(M_PI * x) / (M_PI * x);
            window_taps[r * TAPS + j] = (float)(s * kaiser(x / (TAPS / 2)));
        }
    }
}

void at_gen_resample(const float *in, size_t m, double start, double step, float *out, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct at_taps t = {
        .tab = window_taps, .rows = PHASES, .span = TAPS, .before = TAPS / 2 - 1};
    pthread_once(&once, make_window_taps);
    at_waves_best()->resample(&t, in, m, start, step, out, n);
}
