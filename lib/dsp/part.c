/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/part.h"

#include <math.h>

#include "lib/dsp/measure.h"

#define VALLEY    20.0f  /* 13 dB under the lower of both sides */
#define AS_LOW    2.0f   /* 3 dB: the bottom of a valley is so even */
#define OTHER     300.0f /* 25 dB: what is so much weaker may be a sideband */
#define SPAN      0.1f   /* a side's width is that of what stands within 10 dB of its peak */
#define MIN_CELLS 3      /* and no line */
#define CELLS     48     /* of the emission's band, over which its spectrum is smoothed */
#define CELL_BINS 6      /* at least */
#define FAST_BINS 3      /* of the short spectra, for either side */
#define FINE      192    /* cells in which what stands far apart is looked for */
#define EMPTY     0.15   /* of the band that is empty between the two */
#define WIDTHS    2      /* times the narrower one's own width is empty between them */
#define UNRELATED 0.4    /* correlation of envelopes: FSK's lines go against each other */
#define STEADY    0.9f
#define FAST_GAP  2   /* bins of the short spectra between two: neither leaks into the other */
#define MIN_ROWS  8   /* of short spectra: fewer tell nothing */
#define APART     3   /* epochs in which envelopes did not agree, and more than did */
#define PRESENT   0.1 /* of its mean power: it is there */

/* Mean density over cells of `bins` bins, noise taken off, at least a tenth of it. */
static unsigned make_cells(const struct at_track *k, const struct at_map *m, unsigned lo,
                           unsigned hi, unsigned bins, float *cells)
{
    unsigned n = (hi - lo) / bins;
    float per = (float)(1 / k->slow.rows);
    for (unsigned c = 0; c < n; c++) {
        float s = 0, noise = 0;
        for (unsigned i = lo + c * bins; i < lo + (c + 1) * bins; i++) {
            s += k->slow.sum[i] * per;
            noise += m->floor[i];
        }
        cells[c] = (fmaxf(s - noise, 0.1f * noise)) / (float)bins;
    }
    return n;
}

static float highest(const float *cells, unsigned lo, unsigned hi)
{
    float most = 0;
    for (unsigned c = lo; c < hi; c++)
        most = fmaxf(most, cells[c]);
    return most;
}

static unsigned span(const float *cells, unsigned lo, unsigned hi, float peak)
{
    unsigned first = hi, last = lo;
    for (unsigned c = lo; c < hi; c++)
        if (cells[c] >= SPAN * peak) {
            first = c < first ? c : first;
            last = c;
        }
    return first < hi ? last - first + 1 : 0;
}

/* The deepest valley, and what is about as low around it: cells [*ret_from, *ret_to). False: there
 * is none. */
static bool valley(const float *cells, unsigned n, unsigned *ret_from, unsigned *ret_to)
{
    unsigned at = 0;
    float deepest = VALLEY;
    for (unsigned c = 1; c + 1 < n; c++) {
        float below = highest(cells, 0, c), above = highest(cells, c + 1, n);
        float depth = fminf(below, above) / cells[c];
        if (depth < deepest || below > OTHER * above || above > OTHER * below)
            continue;
        if (span(cells, 0, c, below) < MIN_CELLS || span(cells, c + 1, n, above) < MIN_CELLS)
            continue;
        deepest = depth;
        at = c;
    }
    if (at == 0)
        return false;
    *ret_from = at;
    *ret_to = at + 1;
    while (*ret_from > 1 && cells[*ret_from - 1] < AS_LOW * cells[at])
        --*ret_from;
    while (*ret_to + 1 < n && cells[*ret_to] < AS_LOW * cells[at])
        ++*ret_to;
    return true;
}

/* The longest empty stretch that has something on both sides, however narrow: below both by VALLEY,
 * and far wider than the narrower of the two; cells [*ret_from, *ret_to). after (n): scratch.
 * False: there is none. */
static bool stretch(const float *cells, unsigned n, float *after, unsigned *ret_from,
                    unsigned *ret_to)
{
    unsigned longest = (unsigned)(EMPTY * n);
    bool found = false;
    float below = 0, most = 0;
    for (unsigned c = n; c-- > 0;)
        after[c] = most = fmaxf(most, cells[c]);
    for (unsigned c = 0; c + 1 < n; c++) {
        below = fmaxf(below, cells[c]);
        float above = after[c + 1], low = fminf(below, above) / VALLEY;
        unsigned end = c + 1;
        while (end < n && cells[end] < low)
            end++;
        if (end == n || end - c - 1 <= longest || below > OTHER * after[end] ||
            after[end] > OTHER * below || low * VALLEY > after[end])
            continue;
        unsigned narrow = span(cells, 0, c + 1, below), other = span(cells, end, n, after[end]);
        narrow = other < narrow ? other : narrow;
        if (end - c - 1 < WIDTHS * narrow)
            continue;
        longest = end - c - 1;
        *ret_from = c + 1;
        *ret_to = end;
        found = true;
    }
    return found;
}

double at_part_power(const struct at_track *k, const struct at_map *m, double rate_hz,
                     double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    double all = 0;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    for (unsigned b = lo; b < hi && k->slow.rows > 0; b++)
        all += (double)k->slow.sum[b] / k->slow.rows - (double)m->floor[b];
    return fmax(all, 0) * rate_hz / m->n;
}

/* It is there in this epoch; what is not tells nothing of how it goes with another. */
static bool present(const struct at_track *k, const struct at_epoch *e, double lo_hz, double hi_hz)
{
    return at_measure_power(&e->slow, e->rate_hz, lo_hz, hi_hz) >=
           PRESENT * at_part_power(k, &e->slow, e->rate_hz, lo_hz, hi_hz);
}

/* Wide enough for the short spectra to show each alone. */
static bool both_wide(const struct at_epoch *e, double below_hz, double above_hz)
{
    double least = FAST_BINS * e->rate_hz / e->fast.n;
    return below_hz >= least && above_hz >= least;
}

/* So far apart that neither leaks into what the short spectra show of the other. */
static bool far_apart(const struct at_epoch *e, const struct at_region *x,
                      const struct at_region *y)
{
    unsigned xlo, xhi, ylo, yhi;
    at_measure_bins(&e->fast, e->rate_hz, x->f_lo_hz, x->f_hi_hz, &xlo, &xhi);
    at_measure_bins(&e->fast, e->rate_hz, y->f_lo_hz, y->f_hi_hz, &ylo, &yhi);
    return e->fast.t >= MIN_ROWS && ylo >= xhi + FAST_GAP;
}

bool at_part_find(const struct at_track *k, const struct at_epoch *e, float *smooth, float *a,
                  float *b, double *ret_hz)
{
    const struct at_map *m = &e->slow;
    if (!m->t || k->slow.rows < 1 || k->n_lines > 1 /* what lies between two is no valley */ ||
        k->e.duty < STEADY || e->clipped)
        return false;
    unsigned lo, hi;
    at_measure_bins(m, e->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, &lo, &hi);
    unsigned bins = (hi - lo) / CELLS > CELL_BINS ? (hi - lo) / CELLS : CELL_BINS;
    unsigned n = make_cells(k, m, lo, hi, bins, smooth), from = 0, to = 0;
    bool found = valley(smooth, n, &from, &to);
    if (!found) { /* narrower than a few of these cells, but far away? */
        bins = (hi - lo) / FINE > CELL_BINS ? (hi - lo) / FINE : CELL_BINS;
        n = make_cells(k, m, lo, hi, bins, smooth);
        found = 2 * n <= m->n && stretch(smooth, n, smooth + n, &from, &to);
    }
    if (!found)
        return false;
    double bin = e->rate_hz / m->n, first = (lo - 0.5 * m->n - 0.5) * bin;
    *ret_hz = first + (from + to) / 2.0 * bins * bin;
    struct at_region x = {.f_lo_hz = k->e.f_lo_hz, .f_hi_hz = first + from * bins * bin},
                     y = {.f_lo_hz = first + to * bins * bin, .f_hi_hz = k->e.f_hi_hz};
    if (!both_wide(e, *ret_hz - k->e.f_lo_hz, k->e.f_hi_hz - *ret_hz) &&
        !(far_apart(e, &x, &y) && present(k, e, x.f_lo_hz, x.f_hi_hz) &&
          present(k, e, y.f_lo_hz, y.f_hi_hz)))
        return false;
    return fabs(at_measure_alike(&e->fast, e->rate_hz, &x, &y, a, b)) < UNRELATED;
}

void at_part_see(struct at_track *k, const struct at_region *r)
{
    double mid = (k->joint.lo_hz + k->joint.hi_hz) / 2;
    if (k->joint.hi_hz <= k->joint.lo_hz)
        return;
    if (r->f_lo_hz < mid && r->f_hi_hz > mid)
        k->over_joint = true;
    else
        k->sides[r->f_lo_hz >= mid] = r;
}

/* Both stand there and do not move alike, or what came and went with the other does not come. */
static bool disagree(const struct at_track *k, const struct at_epoch *e, float *a, float *b)
{
    const struct at_region *x = k->sides[0], *y = k->sides[1];
    if (x && y) {
        double alike = at_measure_alike(&e->fast, e->rate_hz, x, y, a, b);
        return far_apart(e, x, y) && (k->joint.together ? alike : -alike) < UNRELATED;
    }
    return k->joint.together && (x || y) &&
           !(y ? present(k, e, k->e.f_lo_hz, k->joint.lo_hz)
               : present(k, e, k->joint.hi_hz, k->e.f_hi_hz));
}

bool at_part_joint(struct at_track *k, const struct at_epoch *e, float *a, float *b, double *ret_hz)
{
    bool over = k->over_joint, had = k->joint.hi_hz > k->joint.lo_hz;
    if (had && over && !(k->seen.joint.hi_hz > k->seen.joint.lo_hz))
        k->joint = (struct at_joint){0}; /* something stands in the gap */
    else if (had && over)
        k->agreed++;
    else if (had && e->slow.t && k->slow.rows >= 1)
        k->disagreed += disagree(k, e, a, b);
    if (!had && k->seen.joint.hi_hz > k->seen.joint.lo_hz) {
        k->joint = k->seen.joint;
        k->agreed = 1;
        k->disagreed = 0;
    }
    if (k->disagreed < APART || k->disagreed <= k->agreed || e->clipped)
        return false;
    *ret_hz = (k->joint.lo_hz + k->joint.hi_hz) / 2;
    k->joint = (struct at_joint){0};
    k->disagreed = 0;
    return true;
}
