/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/passband.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/loops.h"

#define MOST_OF  0.4 /* of the band it fills, around 0 Hz, where its level is read ... */
#define LEAST_OF 0.2 /* ... or this much, if that is not it ... */
#define QUIET    0.3 /* ... at this quantile: the rest may be occupied */
#define QUIETEST 0.1
#define END      0.5f  /* it reaches down to 3 dB below that */
#define DIPS     2     /* bins of it that may lie lower: a notch at 0 Hz */
#define BELOW    0.25f /* the sides lie 6 dB lower at least, and once it is known ... */
#define STILL    0.5f  /* ... 3 dB */
#define SIDE     32    /* of the band's bins (a part of them) show a side */
#define EVEN     32    /* a filter's middle is 0 Hz, to a part of the band's bins */
#define FLAT     1.4f  /* between these quantiles */
#define NOISE_LIKE                                                                                 \
    1.25            /* mean over low quantile: speech, packets and symbols of pilots leave more */
#define ENOUGH 7.0  /* groups of rows that tell */
#define STANDS 3.0f /* 5 dB over its noise, and its mirror image, stands an emission of its own */
#define RARE   1e-7 /* ... and higher than noise does with this probability */
#define MARGIN 10   /* a part of its bins at either end, which a vestigial carrier may stand on */
#define WIDE   32   /* a part of its bins: no line */
#define MOST   0.7  /* of its bins */
#define THROUGH                                                                                    \
    0.03f       /* 15 dB below it the filter lets nothing through: a receiver's own is there */
#define SMEAR 2 /* bins that Hann's main lobe reaches */

int at_passband_init(struct at_passband *p, struct at_mem *mem, unsigned n)
{
    *p = (struct at_passband){.mem = mem, .n = n, .loops = at_loops_best()};
    p->mean = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    p->low = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    p->now = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    p->sorted = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    if (p->mean && p->low && p->now && p->sorted)
        return 0;
    at_passband_finish(p);
    return -ENOMEM;
}

void at_passband_finish(struct at_passband *p)
{
    float **list[] = {&p->mean, &p->low, &p->now, &p->sorted};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(p->mem, *list[i]);
        *list[i] = NULL;
    }
}

static float quantile(struct at_passband *p, const float *x, unsigned from, unsigned to, double q)
{
    unsigned n = to - from;
    memcpy(p->sorted, x + from, n * sizeof *x);
    return at_floor_smallest(p->sorted, n, (size_t)(q * (n - 1) + 0.5));
}

/* Bins from 0 Hz in the direction `step` that stand at least at `least`. */
static unsigned reach(const struct at_passband *p, const float *local, int step, float least)
{
    unsigned last = 0;
    for (unsigned i = 0; i < p->n / 2 && i <= last + DIPS; i++)
        if (local[(int)(p->n / 2) + step * (int)i] >= least)
            last = i;
    return last;
}

/* Its level by the bins from..to; false: there are no far lower sides, or (not flat) none of its
 * noise is to be seen. */
static bool measure(struct at_passband *p, const float *local, float flat)
{
    unsigned n = p->n, side = n / SIDE > 2 ? n / SIDE : 2, edge = (p->to - p->from) / MARGIN;
    if (p->from < side + SMEAR || n - p->to < side + SMEAR)
        return false;
    float quiet = quantile(p, local, p->from + edge, p->to - edge, QUIET);
    float most = flat * quantile(p, local, p->from + edge, p->to - edge, QUIETEST);
    p->level = fminf(quiet, most);
    float low = quantile(p, local, 0, side, 0.5), high = quantile(p, local, n - side, n, 0.5);
    return fmaxf(low, high) < (p->known ? STILL : BELOW) * p->level && (p->known || quiet < most);
}

/* Is there what a filter leaves: flat, around 0 Hz, between two far lower sides? Its level is that
 * of the bins up to `inner` from 0 Hz. */
static bool find(struct at_passband *p, const float *local, float flat, unsigned inner)
{
    unsigned n = p->n, half = n / 2, slack = n / EVEN > 2 ? n / EVEN : 2;
    float level = quantile(p, local, half - inner, half + inner, QUIET);
    unsigned below = reach(p, local, -1, END * level), above = reach(p, local, 1, END * level);
    p->from = half - below;
    p->to = half + above + 1;
    return (below > above ? below - above : above - below) <= slack &&
           p->to - p->from >= 2 * inner && measure(p, local, flat);
}

/* As it is known, or found by more or less of the band's middle. */
static bool is_there(struct at_passband *p, const struct at_passband_epoch *e)
{
    float flat = FLAT * (1 + 2 * e->doubt);
    if (p->known)
        return measure(p, e->local, FLAT);
    return find(p, e->local, flat, (unsigned)(MOST_OF / 2 * p->n)) ||
           find(p, e->local, flat, (unsigned)(LEAST_OF / 2 * p->n));
}

/* The same power in any few rows, where nothing else is on. */
static bool is_noise_like(struct at_passband *p)
{
    for (unsigned k = p->from; k < p->to; k++)
        p->now[k] = p->mean[k] / fmaxf(p->low[k], 1e-30f);
    return (double)quantile(p, p->now, p->from, p->to, QUIET) < NOISE_LIKE;
}

/* Highest about the mirror image of bin k. */
static float mirrored(const struct at_passband *p, const float *mean, unsigned k)
{
    unsigned at = p->from + p->to - 1 - k;
    float high = 0;
    for (unsigned i = at > p->from ? at - 1 : at; i < p->to && i <= at + 1; i++)
        high = fmaxf(high, mean[i]);
    return high;
}

/* What stands on it in this epoch and is not as even as the parts of one signal are: a burst (the
 * same bins showed the noise at other times), something wider than a line, or more than one. */
static bool something_stands(const struct at_passband *p, const struct at_passband_epoch *e,
                             const float *mean)
{
    unsigned edge = (p->to - p->from) / MARGIN, wide = (p->to - p->from) / WIDE + 2 * SMEAR + 1;
    unsigned places = 0, all = 0, widest = 0, run = 0, gap = p->n;
    bool burst = false;
    float least = p->level * fmaxf(STANDS, (float)at_floor_gamma_threshold((double)e->t / 2, RARE));
    for (unsigned k = p->from + edge; k < p->to - edge; k++) {
        bool high = mean[k] > least && mean[k] > STANDS * mirrored(p, mean, k);
        if (!high) {
            run = 0;
            gap++;
            continue;
        }
        places += run == 0 && gap >= SMEAR;
        run++;
        gap = 0;
        all++;
        widest = run > widest ? run : widest;
        burst = burst || e->local[k] < 2 * p->level;
    }
    return all > 0 && all < MOST * (p->to - p->from) && (burst || places > 1 || widest >= wide);
}

static void forget(struct at_passband *p)
{
    p->known = false;
    p->from = p->to = 0;
    p->groups = 0;
}

bool at_passband_see(struct at_passband *p, const struct at_passband_epoch *e)
{
    unsigned n = p->n;
    if (e->repeats || !is_there(p, e)) {
        forget(p);
        return false;
    }
    if (p->known || e->t == 0)
        return p->known;
    if (p->groups == 0) {
        memset(p->mean, 0, n * sizeof *p->mean);
        memset(p->low, 0, n * sizeof *p->low);
    }
    p->loops->sum_rows(e->rows, e->t, n, p->sorted);
    for (unsigned k = 0; k < n; k++) {
        p->now[k] = p->sorted[k] / (float)e->t;
        p->mean[k] += p->now[k];
        p->low[k] += e->newest[k];
    }
    p->groups += e->groups;
    p->known = p->groups >= ENOUGH && something_stands(p, e, p->now) && is_noise_like(p);
    return p->known;
}

float at_passband_here(const struct at_passband *p, const float *local, unsigned k)
{
    int step = k < p->from + 2 * SMEAR ? 1 : k + 2 * SMEAR >= p->to ? -1 : 0;
    const float *in = local + k;
    return step ? fmaxf(in[0], fmaxf(in[step], in[SMEAR * step])) : in[0];
}

/* Outwards from its end: falling down to where next to nothing comes through, there whatever it is.
 */
static float outwards(const struct at_passband *p, float here, float *least)
{
    *least = fminf(*least, here);
    return here < THROUGH * p->level ? here : *least;
}

void at_passband_around(const struct at_passband *p, const float *local, float *out)
{
    float least = p->level;
    for (unsigned k = p->from; k < p->to; k++)
        out[k] = p->level;
    for (unsigned k = p->from; k-- > 0;)
        out[k] = outwards(p, at_passband_here(p, local, k), &least);
    least = p->level;
    for (unsigned k = p->to; k < p->n; k++)
        out[k] = outwards(p, at_passband_here(p, local, k), &least);
}
