/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/constant.h"

#include <math.h>

#define KEPT 50  /* half epochs: half a second */
#define HANN 1.5 /* noise of a mean through Hann, over that of all samples alike */
#define STRONG                                                                                     \
    2e3            /* over its noise: keying and sidebands would show, and view.c looks at those   \
                    */
#define CLEAR  4.0 /* the mean over its own noise */
#define STEADY 0.1 /* of its power: so much may move */
#define FLOOR  1.5 /* so much may the floor be below the noise */

static void add(struct at_constant *c, double re, double im)
{
    double a = 1.0 / ++c->n, d_re = re - c->re, d_im = im - c->im;
    a = fmax(a, 1.0 / KEPT);
    c->re += a * d_re;
    c->im += a * d_im;
    c->around = (1 - a) * (c->around + a * (d_re * d_re + d_im * d_im));
}

/* The mean through Hann, so that neighbours have no part in it. */
static void add_half(struct at_constant *c, const float (*sums)[3], size_t n, size_t per)
{
    double re = 0, im = 0;
    for (size_t i = 0; i < n; i++) {
        double w = 1 - cos(2 * M_PI * ((double)i + 0.5) / (double)n);
        re += w * (double)sums[i][0];
        im += w * (double)sums[i][1];
    }
    add(c, re / (double)(n * per), im / (double)(n * per));
}

bool at_constant_see(struct at_constant *c, const float (*sums)[3], size_t n_cells, size_t per,
                     double rate_hz, double density)
{
    size_t half = n_cells / 2;
    if (half < 4)
        return false;
    add_half(c, sums, half, per);
    add_half(c, sums + half, half, per);
    double size = c->re * c->re + c->im * c->im,
           noise = density * rate_hz * HANN / (double)(half * per), own = noise / fmin(c->n, KEPT);
    return noise > 0 && size > CLEAR * own && size < STRONG * noise &&
           c->around < STEADY * size + FLOOR * noise && c->around - noise < size;
}
