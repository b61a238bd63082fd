/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/window.h"

#include <math.h>
#include <string.h>

#include "lib/base/bessel.h"

#define AT_ONCE 8 /* sums that need not wait for one another */

static const struct {
    const char *name;
    unsigned main_lobe, n;
    double a[4]; /* cosine series, alternating signs */
} windows[AT_WINDOW_COUNT] = {
    [AT_WINDOW_RECT] = {"rect", 1, 1, {1}},
    [AT_WINDOW_HANN] = {"hann", 2, 2, {0.5, 0.5}},
    [AT_WINDOW_HAMMING] = {"hamming", 2, 2, {0.54, 0.46}},
    [AT_WINDOW_BLACKMAN_HARRIS] = {"blackman-harris", 4, 4, {0.35875, 0.48829, 0.14128, 0.01168}},
};

const char *at_window_name(enum at_window w)
{
    return windows[w].name;
}

unsigned at_window_main_lobe(enum at_window window)
{
    return windows[window].main_lobe;
}

void at_window_fill(enum at_window window, float *w, unsigned n)
{
    for (unsigned i = 0; i <= n / 2; i++) { /* w[i] = w[n - i] */
        double v = windows[window].a[0], sign = -1;
        for (unsigned k = 1; k < windows[window].n; k++, sign = -sign)
            v += sign * windows[window].a[k] * cos(2 * M_PI * k * i / n);
        w[i] = (float)v;
        if (i > 0)
            w[n - i] = (float)v;
    }
}

double at_window_power(const float *w, unsigned n)
{
    double s = 0;
    for (unsigned i = 0; i < n; i++)
        s += (double)w[i] * w[i];
    return s;
}

double at_window_enbw(const float *w, unsigned n)
{
    double s = 0;
    for (unsigned i = 0; i < n; i++)
        s += w[i];
    return n * at_window_power(w, n) / (s * s);
}

static inline float hann3(const float *a, const float *b, const float *c)
{
    float re = 0.5f * b[0] - 0.25f * (a[0] + c[0]), im = 0.5f * b[1] - 0.25f * (a[1] + c[1]);
    return re * re + im * im;
}

void at_window_hann_bins(const float *x, float *p, unsigned n)
{
    p[0] = hann3(x + 2 * (n - 1), x, x + 2);
    for (unsigned k = 1; k + 1 < n; k++)
        p[k] = hann3(x + 2 * k - 2, x + 2 * k, x + 2 * k + 2);
    p[n - 1] = hann3(x + 2 * n - 4, x + 2 * n - 2, x);
}

void at_window_lowpass(float *h, unsigned n_taps, double cutoff, double attenuation_db)
{
    double a = attenuation_db;
    double beta = a > 50   ? 0.1102 * (a - 8.7)
                  : a > 21 ? 0.5842 * pow(a - 21, 0.4) + 0.07886 * (a - 21)
                           : 0;
    double half = (n_taps - 1) / 2.0, sum = 0, top = at_bessel_i0(beta);
    for (unsigned i = 0; i <= n_taps / 2; i++) { /* symmetric */
        double t = i - half, r = half > 0 ? t / half : 0;
        double sinc = t == 0 ? 2 * cutoff : sin(2 * M_PI * cutoff * t) / (M_PI * t);
        double v = sinc * at_bessel_i0(beta * sqrt(1 - r * r)) / top;
        h[i] = h[n_taps - 1 - i] = (float)v;
        sum += 2 * i + 1 == n_taps ? v : 2 * v;
    }
    for (unsigned i = 0; i < n_taps; i++)
        h[i] = (float)(h[i] / sum);
}

void at_window_zero_phases(const float *h, unsigned n_taps, const double *f, unsigned n,
                           double *ret)
{
    const float *mid = h + n_taps / 2;
    double c1[AT_ONCE], before[AT_ONCE], now[AT_ONCE], r[AT_ONCE];
    for (unsigned at = 0; at < n; at += AT_ONCE) {
        unsigned m = n - at < AT_ONCE ? n - at : AT_ONCE;
        for (unsigned k = 0; k < AT_ONCE; k++) {
            /* cos of multiples by Chebyshev's recurrence: one cosine a frequency */
            c1[k] = now[k] = k < m ? cos(2 * M_PI * f[at + k]) : 0;
            before[k] = 1;
            r[k] = (double)mid[0];
        }
        for (unsigned i = 1; i <= n_taps / 2; i++)
            for (unsigned k = 0; k < AT_ONCE; k++) {
                r[k] += (double)(2 * mid[i]) * now[k];
                double next = 2 * c1[k] * now[k] - before[k];
                before[k] = now[k];
                now[k] = next;
            }
        memcpy(ret + at, r, m * sizeof *ret);
    }
}

double at_window_zero_phase(const float *h, unsigned n_taps, double f)
{
    double r;
    at_window_zero_phases(h, n_taps, &f, 1, &r);
    return r;
}

double at_window_response(const float *h, unsigned n_taps, double f)
{
    double r = at_window_zero_phase(h, n_taps, f);
    return r * r;
}
