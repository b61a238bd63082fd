/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/mirror.h"

#include <math.h>

#define BLACKMAN 0.3046 /* its mean square */
#define SOME     64     /* bins on the stack */
#define BETWEEN                                                                                    \
    0.6 /* power beside over that of the highest bin where a line lies a quarter of a bin off it   \
         */

/* Bin k of a block (FFT order), through Blackman: what a carrier spreads over an unwindowed block,
 * and 50 dB over the noise through Hann as well, would hide its sidebands. */
static void windowed(const float *x, unsigned n, int k, float *out)
{
    static const float taps[] = {0.04f, -0.25f, 0.42f, -0.25f, 0.04f};
    out[0] = out[1] = 0;
    for (int i = 0; i < 5; i++) {
        const float *at = x + 2 * ((unsigned)(k + i - 2) & (n - 1));
        out[0] += taps[i] * at[0];
        out[1] += taps[i] * at[1];
    }
}

/* The same for bins k to k + m - 1: (m, 2). */
static void windowed_run(const float *x, unsigned n, int k, unsigned m, float *restrict out)
{
    unsigned first = (unsigned)(k - 2) & (n - 1);
    const float *restrict at = x + 2 * (size_t)first;
    if (first + m + 4 > n) { /* around the end */
        for (unsigned i = 0; i < m; i++)
            windowed(x, n, k + (int)i, out + 2 * (size_t)i);
        return;
    }
    for (size_t i = 0; i < 2 * (size_t)m; i++)
        out[i] = ((((0.0f + 0.04f * at[i]) + -0.25f * at[i + 2]) + 0.42f * at[i + 4]) +
                  -0.25f * at[i + 6]) +
                 0.04f * at[i + 8];
}

/* Twice the frequency, in bins, of the carrier in bin mid: the mirror image of bin k about it is so
 * much less k. What lies half a bin off its mirror image goes with nothing there. */
static int twice_carrier(const struct at_blocks *b, uint64_t first, int mid)
{
    double power[3] = {0};
    for (uint64_t seq = first; seq < b->count; seq++) {
        const float *x = at_blocks_get(b, seq);
        for (int i = 0; x && i < 3; i++) {
            float c[2];
            windowed(x, b->n, mid + i - 1, c);
            power[i] += (double)(c[0] * c[0] + c[1] * c[1]);
        }
    }
    bool up = power[2] > power[0];
    return 2 * mid + (up ? power[2] > BETWEEN * power[1] : -(power[0] > BETWEEN * power[1]));
}

void at_mirror_add(const struct at_blocks *b, uint64_t from, double rate_hz, bool carrier,
                   double f_mid_hz, double f_lo_hz, double f_hi_hz, struct at_mirror *add)
{
    uint64_t first = from / b->advance;
    double scale = 1 / (rate_hz * b->n * BLACKMAN), bin = rate_hz / b->n, re = 0, im = 0, here = 0,
           there = 0;
    int lo = (int)floor(f_lo_hz / bin + 0.5), hi = (int)ceil(f_hi_hz / bin + 0.5),
        mid = (int)lrint(f_mid_hz / bin), twice = carrier ? twice_carrier(b, first, mid) : 2 * mid;
    for (uint64_t seq = first; seq < b->count; seq++) {
        const float *x = at_blocks_get(b, seq);
        float c[2] = {1, 0}, d[2] = {1, 0}, here_bins[2 * SOME], there_bins[2 * SOME];
        if (!x)
            continue;
        if (carrier) {
            windowed(x, b->n, mid, c);
            windowed(x, b->n, twice - mid, d);
        }
        float tr = c[0] * d[0] - c[1] * d[1], ti = -(c[0] * d[1] + c[1] * d[0]),
              size = hypotf(tr, ti);
        if (!(size > 0))
            continue;
        tr /= size;
        ti /= size;
        for (int k = lo, m = 0, i = 0; k < hi; k++, i++, add->cells++) {
            if (i == m) {
                m = hi - k < SOME ? hi - k : SOME;
                i = 0;
                windowed_run(x, b->n, k, (unsigned)m, here_bins);
                windowed_run(x, b->n, twice - k - m + 1, (unsigned)m, there_bins);
            }
            const float *p = here_bins + 2 * i, *q = there_bins + 2 * (m - 1 - i);
            float yr = p[0] * q[0] - p[1] * q[1], yi = p[0] * q[1] + p[1] * q[0];
            re += (double)(yr * tr - yi * ti);
            im += (double)(yr * ti + yi * tr);
            here += (double)(p[0] * p[0] + p[1] * p[1]);
            there += (double)(q[0] * q[0] + q[1] * q[1]);
        }
    }
    add->re += re * scale;
    add->im += im * scale;
    add->here += here * scale;
    add->there += there * scale;
}
