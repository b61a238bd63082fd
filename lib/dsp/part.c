/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/part.h"

#include <math.h>

#include "lib/dsp/measure.h"

#define VALLEY    20.0f  /* 13 dB under the lower of both sides */
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

/* The cell of the deepest valley; 0: there is none. */
static unsigned valley(const float *cells, unsigned n)
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
    return at;
}

/* The middle of the longest empty stretch that has something on both sides, however narrow: below
 * both by VALLEY, and far wider than the narrower of the two. after (n): scratch. 0: there is none.
 */
static unsigned stretch(const float *cells, unsigned n, float *after)
{
    unsigned best = 0, longest = (unsigned)(EMPTY * n);
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
        best = (c + 1 + end) / 2;
    }
    return best;
}

bool at_part_find(const struct at_track *k, const struct at_epoch *e, float *smooth, float *a,
                  float *b, double *ret_hz)
{
    const struct at_map *m = &e->slow;
    if (!m->t || k->slow.rows < 1 || k->e.duty < STEADY || e->clipped)
        return false;
    unsigned lo, hi;
    at_measure_bins(m, e->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, &lo, &hi);
    unsigned bins = (hi - lo) / CELLS > CELL_BINS ? (hi - lo) / CELLS : CELL_BINS;
    unsigned n = make_cells(k, m, lo, hi, bins, smooth), at = valley(smooth, n);
    if (at == 0) { /* narrower than a few of these cells, but far away? */
        bins = (hi - lo) / FINE > CELL_BINS ? (hi - lo) / FINE : CELL_BINS;
        n = make_cells(k, m, lo, hi, bins, smooth);
        at = 2 * n <= m->n ? stretch(smooth, n, smooth + n) : 0;
    }
    if (at == 0)
        return false;
    *ret_hz = (lo + (at + 0.5) * bins - 0.5 * m->n - 0.5) * e->rate_hz / m->n;
    struct at_region x = {.f_lo_hz = k->e.f_lo_hz, .f_hi_hz = *ret_hz},
                     y = {.f_lo_hz = *ret_hz, .f_hi_hz = k->e.f_hi_hz};
    double least =
        FAST_BINS * e->rate_hz / e->fast.n; /* else their envelopes cannot be told apart */
    if (*ret_hz - k->e.f_lo_hz < least || k->e.f_hi_hz - *ret_hz < least)
        return false;
    return fabs(at_measure_alike(&e->fast, e->rate_hz, &x, &y, a, b)) < UNRELATED;
}
