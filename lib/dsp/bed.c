/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/bed.h"

#include <math.h>
#include <stddef.h>

#define LOBES   8      /* bins beside a line that its window's side lobes may fill */
#define BLOCK   16     /* bins: a second line does not raise their mean by much */
#define MIN     64     /* bins: a bed is as wide at least */
#define LINE    8      /* times the line's width */
#define SIDE    16     /* a part of its width at least lies to either side of the line */
#define RANGE   1e-3f  /* 30 dB: its edges */
#define EVEN    1.6    /* 7 dB: so even are inner and outer parts; a line's skirt falls away by 12 */
#define MISSING 10     /* one bin in so many at most is not of it */

/* Mean of the logarithms; bins that are 0 are counted instead. */
static double mean_log(const float *level, unsigned from, unsigned to, unsigned *n_zero)
{
    double sum = 0;
    unsigned n = 0;
    for (unsigned k = from; k < to; k++)
        if (level[k] > 0) {
            sum += log((double)level[k]);
            n++;
        }
    *n_zero += to - from - n;
    return n ? sum / n : -INFINITY;
}

static double highest_block(const float *level, unsigned from, unsigned to)
{
    double most = -INFINITY;
    for (unsigned k = from; k + BLOCK <= to; k += BLOCK) {
        unsigned zero = 0;
        double mean = mean_log(level, k, k + BLOCK, &zero);
        most = MISSING * zero <= BLOCK ? fmax(most, mean) : most;
    }
    return most;
}

bool at_bed_find(const float *level, unsigned lo, unsigned hi, unsigned a, unsigned b, float *ret_top)
{
    if (hi - lo < MIN || LINE * (b - a) > hi - lo || a < lo + LOBES + BLOCK || b + LOBES + BLOCK > hi)
        return false;
    a -= LOBES;
    b += LOBES;
    double top = fmax(highest_block(level, lo, a), highest_block(level, b, hi));
    float least = (float)exp(top) * RANGE;
    while (lo < a && !(level[lo] >= least))
        lo++;
    while (hi > b && !(level[hi - 1] >= least))
        hi--;
    unsigned n = hi - lo, zero = 0, below = (lo + a) / 2, above = (b + hi) / 2;
    if (n < MIN || SIDE * (a - lo) < n || SIDE * (hi - b) < n)
        return false;
    const double parts[] = {mean_log(level, lo, below, &zero), mean_log(level, below, a, &zero),
                            mean_log(level, b, above, &zero), mean_log(level, above, hi, &zero)};
    double most = parts[0], low = parts[0];
    for (size_t i = 1; i < sizeof parts / sizeof *parts; i++) {
        most = fmax(most, parts[i]);
        low = fmin(low, parts[i]);
    }
    *ret_top = (float)exp(top);
    return MISSING * zero <= n && most - low <= EVEN;
}
