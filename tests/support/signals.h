/* Signals for tests: noise, tones, bursts. Deterministic.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_SIGNALS_H
#define AT_TESTS_SIGNALS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline double sig_uniform(uint64_t *s)
{
    *s += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *s;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}

/* Adds complex white noise of this power (dBFS, all of the band). iq (n, 2). */
static inline void sig_add_noise(float *iq, size_t n, double dbfs, uint64_t seed)
{
    double sigma = sqrt(pow(10, dbfs / 10));
    for (size_t i = 0; i < n; i++) {
        double r = sigma * sqrt(-log(sig_uniform(&seed))), a = 2 * M_PI * sig_uniform(&seed);
        iq[2 * i] += (float)(r * cos(a));
        iq[2 * i + 1] += (float)(r * sin(a));
    }
}

/* (n, 2) of such noise; the caller's to free. */
static inline float *sig_noise(size_t n, double dbfs, uint64_t seed)
{
    float *iq = calloc(n, 8);
    if (iq)
        sig_add_noise(iq, n, dbfs, seed);
    return iq;
}

/* Adds a tone of this level at f cycles a sample over samples [from, to). */
static inline void sig_add_tone(float *iq, size_t from, size_t to, double f, double dbfs)
{
    double a = pow(10, dbfs / 20);
    for (size_t i = from; i < to; i++) {
        double p = 2 * M_PI * (f * (double)i - floor(f * (double)i));
        iq[2 * i] += (float)(a * cos(p));
        iq[2 * i + 1] += (float)(a * sin(p));
    }
}

/* Adds QPSK-like noise of flat spectrum, width w around f (cycles a sample), this power, over
 * [from, to). */
static inline void sig_add_wide(float *iq, size_t from, size_t to, double f, double w, double dbfs,
                                uint64_t seed)
{
    enum { TAPS = 513 };
    double h[TAPS], e = 0;
    for (int k = 0; k < TAPS; k++) {
        double t = k - TAPS / 2, c = t == 0 ? w : sin(M_PI * w * t) / (M_PI * t);
        h[k] = c * (0.54 + 0.46 * cos(2 * M_PI * t / TAPS));
        e += h[k] * h[k];
    }
    size_t n = to - from + TAPS;
    float *x = calloc(2 * n, sizeof *x);
    sig_add_noise(x, n, dbfs - 10 * log10(e), seed);
    for (size_t i = from; i < to; i++) {
        double re = 0, im = 0;
        for (int k = 0; k < TAPS; k++) {
            re += h[k] * x[2 * (i - from + (size_t)k)];
            im += h[k] * x[2 * (i - from + (size_t)k) + 1];
        }
        double p = 2 * M_PI * (f * (double)i - floor(f * (double)i)), c = cos(p), s = sin(p);
        iq[2 * i] += (float)(re * c - im * s);
        iq[2 * i + 1] += (float)(re * s + im * c);
    }
    free(x);
}

#endif
