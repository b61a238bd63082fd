/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/floor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/loops.h"

#define GROUP    4    /* rows averaged before the quantile over time */
#define LOW      0.2  /* quantile over an epoch's groups, and over a section's bins */
#define HALF     0.45 /* quantile over epochs */
#define SECTIONS 8    /* of the band, over which the floor may tilt */
#define TILT     1.58 /* at most 2 dB from one section to the next */
#define LOCAL    1.41 /* a bin's own figure counts up to 1.5 dB above its surroundings */
#define FILLED                                                                                     \
    4.0 /* outer sections 6 dB below the rest: noise at last, not the filter's roll-off */
#define SIDES                                                                                      \
    0.35 /* quantile over the outer sections then: part of them is signal, part roll-off */
#define LOW_Z   0.84 /* of the normal distribution at LOW */
#define KNOWN   32.0 /* groups after which a bin's own figure counts half */
#define LASTING 4    /* epochs: what stood there through fewer may have been a burst */
#define ASIDE   3    /* bins beside a narrow one which it does not reach */
#define TINY    1e-24f

#define LEARN       4     /* epochs that show noise before the floor counts as learned */
#define RISEN       2.0f  /* a signal fills the band: 3 dB over what was learned ... */
#define FREE        0.25  /* ... in all but a quarter of the bins */
#define FLAT        1.35f /* the rise is the same all over: a signal, or as well more noise */
#define HELD_FLAT   250   /* epochs (20 ms) after which what fills the band counts as noise */
#define HELD        15000
#define UNDER_MOST  0.1f /* of a signal that fills the band: the noise that is assumed */
#define UNDER_LEAST 0.01f
#define ENDED       0.5f  /* of its density */
#define STANDING    0.85f /* of its density is there all the time: pulses in noise come and go */
#define GAIN_ERROR  1.26f /* 1 dB, of what a driver says of a step */
#define SAME_GAIN   0.05  /* dB */
#define SHELF       6.0f  /* a signal's guard bands: 8 dB below it ... */
#define SHELF_FLAT                                                                                 \
    1.8f              /* ... flat to the end of the band, where a filter's roll-off is not ...     \
                       */
#define SHELF_STEEP 5 /* ... and so many bins wide at most is the step */
#define SHELF_LEAST 2 /* times the converter's noise, which is all that a steep filter leaves */
#define END_CELLS   3 /* of the long spectra's: 0.6 % of the band, as flat, beside a corner ... */
#define END_CORNER  6.0f /* ... of 8 dB within so many cells: a filter as steep had 500 taps */
#define END_STEEP   3
#define ANOTHER     2.0f /* 3 dB: what was found over such a floor was not */
#define ENDS        ((size_t)2 * AT_FLOOR_ENDS)

/* Inverse of the normal distribution's upper tail, to 5e-4 (Abramowitz and Stegun 26.2.23). */
double at_floor_tail(double p)
{
    double t = sqrt(-2 * log(p < 0.5 ? p : 1 - p));
    double z = t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                       (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    return p < 0.5 ? z : -z;
}

double at_floor_gamma_above(double k, double tail)
{
    double a = 1 / (9 * k), r = 1 - a + tail * sqrt(a);
    return r > 0 ? r * r * r : 0;
}

double at_floor_gamma_threshold(double k, double p)
{
    return at_floor_gamma_above(k, at_floor_tail(p));
}

double at_floor_gamma_quantile(double k, double prob)
{
    return at_floor_gamma_threshold(k, 1 - prob);
}

static void show_assumed(struct at_floor *f)
{
    for (unsigned k = 0; k < f->n; k++)
        f->density[k] = f->assumed > (double)TINY ? (float)f->assumed : TINY;
    f->median = f->density[0];
    f->source = AT_FLOOR_ASSUMED;
}

int at_floor_init(struct at_floor *f, struct at_mem *mem, unsigned n, size_t max_rows,
                  double assumed)
{
    *f = (struct at_floor){.mem = mem,
                           .n = n,
                           .assumed = assumed,
                           .source = AT_FLOOR_ASSUMED,
                           .loops = at_loops_best()};
    f->column_size = max_rows / GROUP + 1;
    if (f->column_size < n)
        f->column_size = n;
    if (f->column_size < AT_FLOOR_HISTORY)
        f->column_size = AT_FLOOR_HISTORY;
    f->history = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)AT_FLOOR_HISTORY * n, sizeof(float));
    f->ends = at_mem_array(mem, AT_MEM_IQ, AT_FLOOR_HISTORY * ENDS, sizeof(float));
    f->end = at_mem_array(mem, AT_MEM_IQ, ENDS, sizeof(float));
    f->end_now = at_mem_array(mem, AT_MEM_IQ, ENDS, sizeof(float));
    f->column = at_mem_array(mem, AT_MEM_IQ, f->column_size, sizeof(float));
    f->sums = at_mem_array_raw(mem, AT_MEM_IQ, f->column_size * n, sizeof(float));
    f->local = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    f->density = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    f->bits =
        at_mem_array_raw(mem, AT_MEM_IQ, 2 * f->column_size * AT_LOOPS_COLUMNS, sizeof(int16_t));
    f->rank = at_mem_array(mem, AT_MEM_IQ, n > ENDS ? n : ENDS, sizeof(int32_t));
    f->upper = at_mem_array(mem, AT_MEM_IQ, n > ENDS ? n : ENDS, sizeof(float));
    f->learned = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    f->gains = at_mem_array(mem, AT_MEM_IQ, (size_t)AT_FLOOR_GAINS * n, sizeof(float));
    f->ratio = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    f->around = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    f->gain = NAN;
    for (unsigned i = 0; i < AT_FLOOR_GAINS; i++)
        f->gain_db[i] = NAN;
    if (!f->history || !f->ends || !f->end || !f->end_now || !f->column || !f->sums || !f->local ||
        !f->density || !f->bits || !f->rank || !f->upper || !f->learned || !f->gains || !f->ratio ||
        !f->around || at_passband_init(&f->passband, mem, n) < 0) {
        at_floor_finish(f);
        return -ENOMEM;
    }
    show_assumed(f);
    return 0;
}

void at_floor_finish(struct at_floor *f)
{
    void *list[] = {f->history, f->column, f->sums,  f->local,   f->density,
                    f->bits,    f->rank,   f->upper, f->learned, f->gains,
                    f->ratio,   f->ends,   f->end,   f->end_now, f->around};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        at_mem_free(f->mem, list[i]);
    f->history = f->column = f->sums = f->local = f->density = f->upper = NULL;
    f->learned = f->gains = f->ratio = f->ends = f->end = f->end_now = f->around = NULL;
    at_passband_finish(&f->passband);
    f->bits = NULL;
    f->rank = NULL;
}

/* Hoare's find, after Wirth. */
float at_floor_smallest(float *a, size_t n, size_t k)
{
    ptrdiff_t lo = 0, hi = (ptrdiff_t)n - 1, want = (ptrdiff_t)k;
    while (lo < hi) {
        float pivot = a[want];
        ptrdiff_t i = lo, j = hi;
        do {
            while (a[i] < pivot)
                i++;
            while (pivot < a[j])
                j--;
            if (i <= j) {
                float t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        } while (i <= j);
        if (j < want)
            lo = i;
        if (want < i)
            hi = j;
    }
    return a[k];
}

static float quantile(float *a, size_t n, double q)
{
    return at_floor_smallest(a, n, (size_t)(q * (double)(n - 1) + 0.5));
}

static int silent(const struct at_floor *f, const float *row)
{
    float s = f->loops->total(row, f->n);
    return !(s > 0) || !(s < 1e30f);
}

/* Sums of `per` rows that follow each other, none of which is silent or to be skipped. Returns how
 * many. */
static size_t make_groups(struct at_floor *f, const float *rows, size_t t, unsigned per,
                          const uint8_t *skip)
{
    size_t n_groups = 0;
    for (size_t i = 0, run = 0; i < t && n_groups < f->column_size; i++) {
        run = skip && skip[i] ? 0 : run + 1;
        if (run < per)
            continue;
        run = 0;
        f->loops->sum_rows(rows + (i + 1 - per) * f->n, per, f->n, f->sums + n_groups * f->n);
        n_groups++;
    }
    return n_groups;
}

/* One row of history: the low quantile over groups of rows, put right to the mean. 0: nothing but
 * silence. */
static int add_history(struct at_floor *f, const float *rows, size_t t, unsigned looks,
                       const uint8_t *skip)
{
    unsigned per = GROUP;
    size_t n_groups = make_groups(f, rows, t, per, skip);
    if (n_groups < 8) { /* very few: row by row */
        per = 1;
        n_groups = make_groups(f, rows, t, per, skip);
    }
    float *to = f->history + (size_t)f->next * f->n;
    float bias = (float)at_floor_gamma_quantile((double)per * looks, LOW);
    f->loops->sift(f->sums, n_groups, f->n, f->rank);
    int32_t used = 0;
    for (unsigned k = 0; k < f->n; k++) {
        used |= f->rank[k];
        f->rank[k] = f->rank[k] ? (int32_t)(LOW * (double)(f->rank[k] - 1) + 0.5) : 0;
    }
    f->loops->smallest(f->sums, n_groups, f->n, f->rank, f->bits, to);
    for (unsigned k = 0; k < f->n; k++)
        to[k] = to[k] < INFINITY ? to[k] / (float)per / bias : 0;
    return used > 0;
}

void at_floor_see_ends(struct at_floor *f, const float *rows, size_t t, unsigned n)
{
    unsigned per = n / AT_FLOOR_CELLS;
    if (per < 2 || t == 0)
        return;
    for (unsigned i = 0; i < AT_FLOOR_ENDS; i++) {
        double low = 0, high = 0;
        for (size_t k = 0; k < t; k++) {
            low += f->loops->total(rows + k * n + (size_t)i * per, per);
            high += f->loops->total(rows + (k + 1) * n - (size_t)(i + 1) * per, per);
        }
        f->end_now[i] = (float)(low / (double)(per * t));
        f->end_now[AT_FLOOR_ENDS + i] = (float)(high / (double)(per * t));
    }
    f->has_end = true;
}

/* Columns (n) of the last epochs (.., n): a quantile of each, between two values where there are
 * few, since two epochs must not read as the lower one. */
static void over_epochs(struct at_floor *f, const float *history, unsigned n, float *out)
{
    double at = HALF * (double)(f->n_history - 1);
    bool few = f->n_history > 1 && f->n_history < 16;
    int32_t rank = (int32_t)(few ? at : at + 0.5);
    for (unsigned k = 0; k < n; k++)
        f->rank[k] = rank;
    f->loops->smallest(history, f->n_history, n, f->rank, f->bits, out);
    if (!few)
        return;
    for (unsigned k = 0; k < n; k++)
        f->rank[k] = rank + 1;
    f->loops->smallest(history, f->n_history, n, f->rank, f->bits, f->upper);
    for (unsigned k = 0; k < n; k++)
        out[k] += (float)(at - rank) * (f->upper[k] - out[k]);
}

static float doubt_of(double groups)
{
    return (float)fmin(1.3 / sqrt(GROUP * groups), 0.5);
}

float at_floor_doubt(const struct at_floor *f)
{
    return f->groups > 0 ? doubt_of(f->groups) : 0;
}

struct shelf {
    unsigned n, least,
        steep;    /* cells in all, of the flat part, and of the step up to `corner` times it */
    float corner; /* 0: up to half of what lies beyond */
};

/* Cells from one end of the band inwards, level: of what lies beyond. Density of the shelf, 0 where
 * there is none. */
static float shelf(const float *cells, const struct shelf *s, float level, double assumed)
{
    unsigned least = s->least;
    float sum = 0, low = INFINITY, high = 0;
    for (unsigned i = 0; i < least; i++) {
        sum += cells[i] / (float)least;
        low = fminf(low, cells[i]);
        high = fmaxf(high, cells[i]);
    }
    if (!(sum > 0) || high > SHELF_FLAT * low || sum * SHELF > level ||
        (double)sum < SHELF_LEAST * assumed)
        return 0;
    unsigned foot = 0;
    float top = s->corner > 0 ? s->corner * sum : level / 2;
    for (unsigned i = least; i < s->n; i++) {
        if (cells[i] > sum * 2 && foot == 0)
            foot = i;
        if (cells[i] > top)
            return i - foot < s->steep ? sum : 0;
    }
    return 0;
}

/* What both ends show of the noise beside a signal that fills the rest: by the short spectra, where
 * they are too coarse by the long ones. 0: nothing. */
static float shelves(struct at_floor *f, float level)
{
    static const struct shelf fine = {AT_FLOOR_ENDS, END_CELLS, END_STEEP, END_CORNER};
    struct shelf coarse = {f->n / SECTIONS + SHELF_STEEP, f->n / 64 < 3 ? 3 : f->n / 64,
                           SHELF_STEEP, 0};
    for (unsigned i = 0; i < coarse.n; i++)
        f->column[i] = f->local[f->n - 1 - i];
    float a = shelf(f->local, &coarse, level, f->assumed),
          b = shelf(f->column, &coarse, level, f->assumed);
    if (a > 0 && b > 0)
        return fmaxf(a, b);
    a = shelf(f->end, &fine, level, f->assumed);
    b = shelf(f->end + AT_FLOOR_ENDS, &fine, level, f->assumed);
    return a > 0 && b > 0 ? fmaxf(a, b) : 0;
}

/* No section tilts by more than TILT from the next. What stands well over that is a signal that
 * fills its section: there the floor runs on from one side to the other. */
static void tie_sections(float *level)
{
    float raw[SECTIONS], tied[SECTIONS];
    memcpy(raw, level, sizeof raw);
    for (unsigned i = 1; i < SECTIONS; i++)
        level[i] = fminf(level[i], level[i - 1] * (float)TILT);
    for (unsigned i = SECTIONS - 1; i > 0; i--)
        level[i - 1] = fminf(level[i - 1], level[i] * (float)TILT);
    memcpy(tied, level, sizeof tied);
    for (unsigned i = 0; i < SECTIONS; i++) {
        unsigned a = i, b = i;
        while (a > 0 && tied[a] < raw[a])
            a--;
        while (b < SECTIONS - 1 && tied[b] < raw[b])
            b++;
        float left = tied[a] < raw[a] ? tied[b] : tied[a],
              right = tied[b] < raw[b] ? tied[a] : tied[b],
              x = b > a ? (float)(i - a) / (float)(b - a) : 0, on = left + x * (right - left);
        if (raw[i] > on * (float)FILLED && on < level[i])
            level[i] = on;
    }
}

/* True: a signal fills the middle, the sides alone show the noise. */
static bool levels_of_sections(struct at_floor *f, float *level)
{
    bool by_sides = false;
    /* A bin's own figure is as uncertain as the few groups behind it, and the lower part of several
     * lies below their mean by that much. */
    double spread = (double)at_floor_doubt(f);
    unsigned per = f->n / SECTIONS;
    for (unsigned i = 0; i < SECTIONS; i++) {
        /* The filter rolls off in the outer sections: there the upper part speaks for the section.
         */
        double q = i == 0 || i == SECTIONS - 1 ? 0.5 : LOW;
        memcpy(f->column, f->local + i * per, per * sizeof(float));
        level[i] = quantile(f->column, per, q) / (q < 0.5 ? (float)(1 - LOW_Z * spread) : 1);
    }
    float least = level[1];
    for (unsigned i = 2; i < SECTIONS - 1; i++)
        least = level[i] < least ? level[i] : least;
    float outer = fmaxf(level[0], level[SECTIONS - 1]);
    if (outer * FILLED < least) { /* a signal fills the middle; the noise is that of the sides */
        memcpy(f->column, f->local, per * sizeof(float));
        outer = quantile(f->column, per, SIDES);
        memcpy(f->column, f->local + (SECTIONS - 1) * per, per * sizeof(float));
        outer = fmaxf(outer, quantile(f->column, per, SIDES));
        for (unsigned i = 0; i < SECTIONS; i++)
            level[i] = outer;
        by_sides = true;
    } else {
        float beside = shelves(f, least);
        for (unsigned i = 0; i < SECTIONS && beside > 0; i++)
            level[i] = beside;
        by_sides = beside > 0;
    }
    for (unsigned i = 0; i < SECTIONS; i += SECTIONS - 1)
        if (level[i] * FILLED > least && level[i] < least)
            level[i] = least;
    tie_sections(level);
    return by_sides;
}

/* The noise around each bin, by what was seen of the passband or by sections. True: by the sides
 * alone. */
static bool look_around(struct at_floor *f, const struct at_passband_epoch *e)
{
    if (at_passband_see(&f->passband, e)) {
        at_passband_around(&f->passband, f->local, f->around);
        return false;
    }
    float level[SECTIONS];
    bool by_sides = levels_of_sections(f, level);
    unsigned per = f->n / SECTIONS;
    for (unsigned k = 0; k < f->n; k++) {
        float x = ((float)k + 0.5f) / (float)per - 0.5f;
        x = fminf(fmaxf(x, 0), SECTIONS - 1);
        unsigned i = x >= SECTIONS - 1 ? SECTIONS - 2 : (unsigned)x;
        f->around[k] = level[i] + (level[i + 1] - level[i]) * (x - (float)i);
    }
    return by_sides;
}

/* A bin's figure, while all that was seen is so short that a weak narrow burst may have been there
 * all along: no more than what stands beside it, as a skirt or a ripple does. */
static float without_burst(const struct at_floor *f, unsigned k)
{
    float below = k >= ASIDE ? f->local[k - ASIDE] : 0,
          above = k + ASIDE < f->n ? f->local[k + ASIDE] : 0;
    return fminf(f->local[k], fmaxf(below, above));
}

/* ---- what was learned ---- */

static void show_learned(struct at_floor *f)
{
    memcpy(f->density, f->learned, f->n * sizeof(float));
    memcpy(f->column, f->density, f->n * sizeof(float));
    f->median = quantile(f->column, f->n, 0.5);
    f->source = AT_FLOOR_LEARNED;
}

void at_floor_set_repeats(struct at_floor *f, float density)
{
    f->repeats = density;
}

void at_floor_assume(struct at_floor *f, double assumed)
{
    f->assumed = assumed;
    if (f->source == AT_FLOOR_ASSUMED)
        show_assumed(f);
}

static unsigned find_gain(const struct at_floor *f, double gain_db)
{
    unsigned i = 0;
    while (i < AT_FLOOR_GAINS && !(fabs(f->gain_db[i] - gain_db) < SAME_GAIN))
        i++;
    return i;
}

void at_floor_set_gain(struct at_floor *f, double gain_db)
{
    double before = f->gain;
    if (!isfinite(gain_db) || fabs(gain_db - before) < SAME_GAIN)
        return;
    f->gain = gain_db;
    if (isnan(before))
        return;
    unsigned from = find_gain(f, before), to = find_gain(f, gain_db);
    if (f->has_learned && f->n_history >= LEARN) { /* else it is only a bound */
        if (from == AT_FLOOR_GAINS) {
            from = f->next_gain;
            f->next_gain = (f->next_gain + 1) % AT_FLOOR_GAINS;
        }
        if (from == to)
            to = AT_FLOOR_GAINS;
        f->gain_db[from] = before;
        memcpy(f->gains + (size_t)from * f->n, f->learned, f->n * sizeof(float));
    }
    if (to < AT_FLOOR_GAINS) {
        memcpy(f->learned, f->gains + (size_t)to * f->n, f->n * sizeof(float));
        f->has_learned = true;
    }
    /* Noise rises by no more than the gain, and the converter's part of it does not sink. */
    float most = GAIN_ERROR * (float)pow(10, fmax(gain_db - before, 0) / 10);
    for (unsigned k = 0; k < f->n && to == AT_FLOOR_GAINS; k++)
        f->learned[k] *= most;
    f->n_history = f->next = f->clipped = f->held = 0;
    f->groups = 0;
    f->settling = true;
    if (f->has_learned)
        show_learned(f);
    else
        show_assumed(f);
}

/* Does a signal fill the band in this epoch (n), whose bins are in error by doubt? *ret_most: for
 * how many epochs that is believed. */
static bool is_filled(struct at_floor *f, const float *newest, float doubt, unsigned *ret_most)
{
    float *r = f->ratio;
    unsigned n = f->n;
    *ret_most = HELD;
    if (!f->has_learned)
        return false;
    for (unsigned k = 0; k < n; k++)
        r[k] = newest[k] / f->learned[k];
    float low = quantile(r, n, FREE);
    if (!(low > RISEN))
        return false;
    float flat = FLAT * (1 + 3 * doubt); /* a young figure's scatter is no shape */
    if (quantile(r, n, 0.9) < flat * quantile(r, n, 0.1))
        *ret_most = HELD_FLAT;
    return true;
}

/* What fills the band has done so for too long: it is the floor. */
static void give_in(struct at_floor *f)
{
    memmove(f->history, f->history + (size_t)f->next * f->n, f->n * sizeof(float));
    memmove(f->ends, f->ends + f->next * ENDS, ENDS * sizeof(float));
    f->n_history = f->next = f->held = 0;
    f->groups = 0;
    f->has_learned = false;
    f->source = AT_FLOOR_MEASURED;
    unsigned i = find_gain(f, f->gain);
    if (i < AT_FLOOR_GAINS)
        f->gain_db[i] = NAN;
}

/* True: this epoch shows no noise, the floor stands as it was learned or assumed. */
static bool hold(struct at_floor *f, float doubt)
{
    unsigned most = HELD;
    if (f->settling && f->has_learned) {
        f->settling = false;
        return true;
    }
    f->settling = false;
    if (!is_filled(f, f->history + (size_t)f->next * f->n, doubt, &most)) {
        f->held = 0;
        return false;
    }
    f->held = f->repeats > 0 ? 0 : f->held + 1;
    if (f->held > most) {
        give_in(f);
        return false;
    }
    show_learned(f);
    return true;
}

/* The floor was measured where the signal is that fills the band, and that is there all the time.
 * below: so it was in the last epoch; it may end in this. */
static bool stands_on_signal(const struct at_floor *f, const float *newest, bool below)
{
    float sum = f->loops->total(newest + f->n / 4, f->n / 2),
          floor = f->loops->total(f->density + f->n / 4, f->n / 2);
    return f->repeats > 0 && 2 * floor > sum &&
           sum > (below ? ENDED : STANDING) * f->repeats * (float)(f->n / 2);
}

/* What was measured is the signal that fills the band, and so is what was learned of it. */
static void assume_below(struct at_floor *f)
{
    float noise =
        fminf(fmaxf((float)f->assumed, UNDER_LEAST * f->repeats), UNDER_MOST * f->repeats);
    for (unsigned k = 0; k < f->n; k++)
        f->density[k] = noise;
    f->median = noise;
    f->source = AT_FLOOR_ASSUMED;
    f->has_learned = false;
    f->n_history = f->next = 0;
    f->groups = 0;
}

/* Of the middle of the band. */
static float middle(const struct at_floor *f)
{
    return f->loops->total(f->density + f->n / 4, f->n / 2);
}

void at_floor_update(struct at_floor *f, const float *rows, size_t t, unsigned looks,
                     const uint8_t *gated, bool clipped)
{
    f->other = false;
    size_t loud = 0, whole = 0;
    for (size_t i = 0; i < t; i++) {
        bool is_loud = !silent(f, rows + i * f->n);
        loud += is_loud;
        whole += is_loud && !(gated && gated[i]);
    }
    if (whole == 0) { /* rows cut by a gate tell too little: only where there is nothing better */
        if (f->n_history || f->assumed > (double)TINY)
            return;
        gated = NULL;
        whole = loud;
    }
    if (loud == 0 || !add_history(f, rows, t, looks, gated))
        return;
    memcpy(f->ends + f->next * ENDS, f->has_end ? f->end_now : f->end, ENDS * sizeof(float));
    f->has_end = false;
    if (hold(f, doubt_of((double)whole * looks / GROUP)))
        return;
    float *newest = f->history + (size_t)f->next * f->n;
    f->clipped = clipped ? f->clipped + 1 : 0;
    bool keep = clipped && f->n_history && f->clipped < AT_FLOOR_HISTORY;
    for (unsigned k = 0; k < f->n && keep; k++)
        newest[k] = fmaxf(newest[k], f->local[k]);
    f->groups = fmin(f->groups + (double)whole * looks / GROUP, 1e6);
    f->next = (f->next + 1) % AT_FLOOR_HISTORY;
    if (f->n_history < AT_FLOOR_HISTORY)
        f->n_history++;
    over_epochs(f, f->history, f->n, f->local);
    over_epochs(f, f->ends, ENDS, f->end);
    bool below = f->source == AT_FLOOR_ASSUMED;
    const struct at_passband_epoch seen = {.rows = rows,
                                           .t = whole == t ? t : 0,
                                           .groups = (double)whole * looks / GROUP,
                                           .newest = newest,
                                           .local = f->local,
                                           .doubt = at_floor_doubt(f),
                                           .repeats = f->repeats > 0};
    bool known = f->passband.known, by_sides = look_around(f, &seen);
    float before = middle(f);
    float trust = (float)(f->groups / (f->groups + KNOWN));
    for (unsigned k = 0; k < f->n; k++) {
        float around = f->around[k], here = f->passband.known
                                                ? at_passband_here(&f->passband, f->local, k)
                                            : f->n_history < LASTING ? without_burst(f, k)
                                                                     : f->local[k];
        float own = around + trust * (here - around);
        float d = here <= around * (float)LOCAL ? own : around;
        f->density[k] = d > TINY ? d : TINY;
    }
    float over = middle(f) / before;
    f->other = f->passband.known != known && (over > ANOTHER || over * ANOTHER < 1);
    memcpy(f->column, f->density, f->n * sizeof(float));
    f->median = quantile(f->column, f->n, 0.5);
    f->source = AT_FLOOR_MEASURED;
    if (stands_on_signal(f, newest, below)) {
        assume_below(f);
        return;
    }
    if (f->n_history < LEARN || by_sides ||
        (f->passband.from < f->passband.to && !f->passband.known))
        return;
    memcpy(f->learned, f->density, f->n * sizeof(float));
    f->has_learned = true;
}

void at_floor_spread(const struct at_floor *f, float *out, unsigned m)
{
    for (unsigned j = 0; j < m; j++) {
        float x = ((float)j) * (float)f->n / (float)m;
        unsigned k = (unsigned)x, next = k + 1 < f->n ? k + 1 : k;
        out[j] = f->density[k] + (f->density[next] - f->density[k]) * (x - (float)k);
    }
}
