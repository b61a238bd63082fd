/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/repeat.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/loops.h"
#include "lib/dsp/plan.h"

#define MEAN_S     0.5
#define LEAST_BINS 1024
#define SHAPES                                                                                     \
    32 /* parts of the band over which a filter's shape is even: it lasts as many samples */
#define LEAST_LAG_S 30e-6 /* no receiver's filter lasts so long; NR's symbol of 30 kHz is 33 us */
#define LEAST_LAG   (2 * SHAPES)
#define CUT         1.5f  /* times its surroundings ... */
#define PASSES      4     /* ... so that what stands out is no part of them */
#define LINE        3.0f  /* a carrier: it repeats itself at every lag */
#define BESIDE      3     /* bins */
#define MOST_LINES  0.1   /* of the band */
#define LAGS        256   /* of which the median is the noise's */
#define MEDIAN      0.693 /* ln 2: of an exponential, over its mean */
#define SURE        60.0  /* times the mean of the noise: exp(-60), and 4 sigma in a section */
#define STILL       20.0  /* at the lag that is known */
#define SECTIONS    8
#define AGAIN                                                                                      \
    0.25 /* of a pulse train's or a comb's power after twice the lag: they come again and again */
#define SHARP 0.05 /* the noise's part of it: so much is shown */
#define EVEN  0.4  /* of its part: in each section but the outer ones */
#define EVERY 8    /* epochs */
#define ENDED 0.7f /* of the power */

static void reset(struct at_repeat *r)
{
    r->rows = 0;
    r->epochs = 0;
    r->next = 1;
    r->lag = 0;
}

int at_repeat_init(struct at_repeat *r, struct at_mem *mem, double rate_hz, unsigned n)
{
    *r = (struct at_repeat){.mem = mem, .rate_hz = rate_hz, .loops = at_loops_best()};
    if (n < LEAST_BINS)
        return 0;
    r->n = n;
    r->plan = at_plan_get(n, AT_PLAN_INVERSE);
    r->mean = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    r->white = at_mem_array(mem, AT_MEM_IQ, (size_t)2 * n, sizeof(float));
    r->lags = at_mem_array(mem, AT_MEM_IQ, (size_t)2 * n, sizeof(float));
    if (!r->plan || !r->mean || !r->white || !r->lags) {
        at_repeat_finish(r);
        return -ENOMEM;
    }
    reset(r);
    return 0;
}

void at_repeat_finish(struct at_repeat *r)
{
    float **list[] = {&r->mean, &r->white, &r->lags};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(r->mem, *list[i]);
        *list[i] = NULL;
    }
}

static float level(const struct at_repeat *r, const float *density)
{
    return r->loops->total(density + r->n / 4, r->n / 2) / (float)(r->n / 2);
}

/* Into the mean; what was there before goes where it is over. */
static void take(struct at_repeat *r, const float *rows, size_t t)
{
    float *now = r->white;
    memset(now, 0, r->n * sizeof *now);
    for (size_t i = 0; i < t; i++)
        r->loops->add(rows + i * r->n, r->n, now);
    if (r->rows > 0 && level(r, now) < ENDED * (float)t * level(r, r->mean))
        reset(r);
    r->rows = fmin(r->rows, MEAN_S * r->rate_hz / (r->n / 2.0)) + (double)t;
    float part = (float)(1 / r->rows), keep = 1 - (float)t * part;
    for (unsigned k = 0; k < r->n; k++)
        r->mean[k] = keep * r->mean[k] + part * now[k];
}

/* out (n): mean of x (n) over a part of the band around each bin. */
static void smooth(const float *x, unsigned n, float *out)
{
    unsigned half = n / SHAPES / 2;
    double sum = 0;
    for (unsigned k = 0; k < half; k++)
        sum += (double)x[k];
    for (unsigned k = 0; k < n; k++) {
        unsigned lo = k > half ? k - half : 0, hi = k + half < n ? k + half : n - 1;
        sum += k + half < n ? (double)x[k + half] : 0;
        sum -= k > half ? (double)x[k - half - 1] : 0;
        out[k] = (float)(sum / (hi - lo + 1));
    }
}

/* The mean over its surroundings, less 1, into white; 0 at lines, which are no part of those and of
 * nothing else. False: there is little else. */
static bool whiten(struct at_repeat *r)
{
    unsigned n = r->n, lines = 0;
    float *even = r->lags, *around = r->lags + n;
    memcpy(even, r->mean, n * sizeof *even);
    for (int pass = 0; pass < PASSES; pass++) {
        smooth(even, n, around);
        for (unsigned k = 0; k < n; k++)
            even[k] = even[k] < CUT * around[k] ? even[k] : CUT * around[k];
    }
    for (unsigned k = 0; k < n; k++)
        even[k] = r->mean[k] <= LINE * around[k] ? 0 : 1;
    for (unsigned k = 0; k < n; k++) {
        float over = 0; /* of its neighbours */
        if (k >= BESIDE && k + BESIDE < n)
            for (unsigned i = 0; i <= 2 * BESIDE; i++)
                over += even[k - BESIDE + i];
        else
            for (unsigned i = k > BESIDE ? k - BESIDE : 0; i <= k + BESIDE && i < n; i++)
                over += even[i];
        lines += over > 0;
        r->white[2 * k] = over > 0 ? 0 : r->mean[k] / around[k] - 1;
        r->white[2 * k + 1] = 0;
    }
    if (r->to) { /* the step at its ends is no part of it */
        memset(r->white, 0, (size_t)2 * r->from * sizeof *r->white);
        memset(r->white + (size_t)2 * r->to, 0, (size_t)2 * (n - r->to) * sizeof *r->white);
    }
    return lines < MOST_LINES * n;
}

static float power(const float *z)
{
    return z[0] * z[0] + z[1] * z[1];
}

/* Mean of what noise gives at lags around this one. */
static double noise_at(const struct at_repeat *r, unsigned lag)
{
    float x[LAGS];
    unsigned from = lag > LEAST_LAG + LAGS / 2 ? lag - LAGS / 2 : LEAST_LAG;
    from = from + LAGS <= r->n / 2 ? from : r->n / 2 - LAGS;
    for (unsigned i = 0; i < LAGS; i++)
        x[i] = power(r->lags + 2 * (from + i));
    return (double)at_floor_smallest(x, LAGS, LAGS / 2) / MEDIAN;
}

/* The lag that stands out most, and *ret_over: how far. */
static unsigned strongest(const struct at_repeat *r, double *ret_over)
{
    unsigned least = (unsigned)fmax(LEAST_LAG, LEAST_LAG_S * r->rate_hz), best = 0;
    *ret_over = 0;
    for (unsigned from = least; from < r->n / 2; from += LAGS / 2) {
        double noise = noise_at(r, from + LAGS / 4);
        for (unsigned i = from; i < from + LAGS / 2 && i < r->n / 2; i++) {
            double over = (double)power(r->lags + 2 * i) / fmax(noise, 1e-30);
            if (over > *ret_over) {
                *ret_over = over;
                best = i;
            }
        }
    }
    return best;
}

/* Power left of an autocorrelation at a lag of x blocks, as the Hann window shows it. */
static double taper(double x)
{
    double w = (1 - x) * (2 + cos(2 * M_PI * x)) / 3 + sin(2 * M_PI * x) / (2 * M_PI);
    return w * w;
}

/* A prefix comes again once, after one lag and not after two. Pulse trains and combs of carriers,
 * which leave noise to be seen, go on and on. */
static bool comes_once(const struct at_repeat *r, unsigned lag)
{
    double x = (double)lag / r->n,
           most = (double)power(r->lags + 2 * lag) * taper(2 * x) / taper(x);
    double noise = noise_at(r, 2 * lag < r->n / 2 ? 2 * lag : r->n / 2);
    return noise < SHARP * most && (double)power(r->lags + 2 * ((2 * lag) % r->n)) < AGAIN * most;
}

/* Each section of the middle of the band, or of what it is looked for in, has its part in it: none
 * of them is noise. */
static bool is_everywhere(const struct at_repeat *r, unsigned lag)
{
    enum { INNER = SECTIONS - 2 };
    unsigned from = r->to ? r->from : r->n / SECTIONS, to = r->to ? r->to : r->n - r->n / SECTIONS,
             per = (to - from) / INNER;
    double sum[INNER][2] = {{0}}, all[2] = {0};
    for (unsigned k = from; k < from + INNER * per; k++) {
        double turn = 2 * M_PI * (double)((uint64_t)k * lag % r->n) / r->n;
        sum[(k - from) / per][0] += (double)r->white[2 * k] * cos(turn);
        sum[(k - from) / per][1] += (double)r->white[2 * k] * sin(turn);
    }
    for (unsigned i = 0; i < INNER; i++)
        for (int j = 0; j < 2; j++)
            all[j] += sum[i][j] / INNER;
    double part = all[0] * all[0] + all[1] * all[1];
    for (unsigned i = 0; i < INNER; i++)
        if (sum[i][0] * all[0] + sum[i][1] * all[1] < EVEN * part)
            return false;
    return true;
}

static void look(struct at_repeat *r)
{
    double over;
    bool even = whiten(r);
    at_plan_run(r->plan, r->white, r->lags);
    unsigned lag = strongest(r, &over);
    if (r->lag && (double)power(r->lags + 2 * r->lag) > STILL * noise_at(r, r->lag))
        lag = r->lag;
    else if (over < SURE)
        lag = 0;
    r->lag = even && lag && comes_once(r, lag) && is_everywhere(r, lag) ? lag : 0;
}

void at_repeat_within(struct at_repeat *r, double from, double to)
{
    unsigned lo = (unsigned)(from * r->n) + r->n / SHAPES / 2,
             hi = (unsigned)(to * r->n) - r->n / SHAPES / 2;
    bool part = from < to && lo + LAGS < hi;
    r->from = part ? lo : 0;
    r->to = part ? hi : 0;
}

float at_repeat_see(struct at_repeat *r, const float *rows, size_t t)
{
    if (r->n == 0 || t == 0)
        return 0;
    take(r, rows, t);
    if (++r->epochs >= r->next) { /* the first are looked at soon: a capture may be short */
        r->next = r->epochs + (r->epochs < EVERY ? r->epochs : EVERY);
        look(r);
    }
    return r->lag ? level(r, r->mean) : 0;
}
