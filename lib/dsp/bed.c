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
#define EVEN    1.6    /* 7 dB: so even are its parts; a line's skirt falls away by 10 and more */
#define BELL    384    /* bins: where it is so wide, those next to the line are enough */
#define LEAST   3e-7   /* 65 dB below the line: what is weaker may be its phase noise */
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

/* What lies on both sides of the line, from the line outwards in quarters: nearest, next, and the outer two; mean
 * logarithms. False: too much of it is missing. */
static bool quarters(const float *level, unsigned lo, unsigned hi, unsigned a, unsigned b, double (*q)[3])
{
    unsigned zero = 0, n = (a - lo) / 4, m = (hi - b) / 4;
    q[0][0] = mean_log(level, a - n, a, &zero);
    q[0][1] = mean_log(level, a - 2 * n, a - n, &zero);
    q[0][2] = mean_log(level, lo, a - 2 * n, &zero);
    q[1][0] = mean_log(level, b, b + m, &zero);
    q[1][1] = mean_log(level, b + m, b + 2 * m, &zero);
    q[1][2] = mean_log(level, b + 2 * m, hi, &zero);
    return MISSING * zero <= hi - lo;
}

bool at_bed_find(const float *level, unsigned lo, unsigned hi, unsigned a, unsigned b, float *ret_top)
{
    if (hi - lo < MIN || LINE * (b - a) > hi - lo || a < lo + LOBES + BLOCK || b + LOBES + BLOCK > hi)
        return false;
    float line = 0;
    for (unsigned k = a; k < b; k++)
        line = fmaxf(line, level[k]);
    a -= LOBES;
    b += LOBES;
    double top = fmax(highest_block(level, lo, a), highest_block(level, b, hi)), q[2][3];
    float least = (float)exp(top) * RANGE;
    while (lo < a && !(level[lo] >= least))
        lo++;
    while (hi > b && !(level[hi - 1] >= least))
        hi--;
    unsigned n = hi - lo;
    if (n < MIN || SIDE * (a - lo) < n || SIDE * (hi - b) < n || a - lo < 4 || hi - b < 4 ||
        exp(top) < (double)line * LEAST || !quarters(level, lo, hi, a, b, q))
        return false;
    *ret_top = (float)exp(top);
    double most = -INFINITY, low = INFINITY;
    for (int i = 0; i < 6; i++) {
        most = fmax(most, q[i / 3][i % 3]);
        low = fmin(low, q[i / 3][i % 3]);
    }
    bool falls = q[0][0] - q[0][1] > EVEN || q[1][0] - q[1][1] > EVEN || fabs(q[0][0] - q[1][0]) > EVEN;
    return most - low <= EVEN || (n >= BELL && !falls);
}
