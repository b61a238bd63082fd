/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/measure.h"

#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"

#define HANN_ENBW 1.5
#define ON_P      1e-5  /* chance that noise alone makes a row "on" */
#define ON_SHARE  0.03f /* of the epoch's strong rows: 15 dB of fading, beyond it is off */
#define RANGE_DB  30.0
#define LOBE_BINS 1.0 /* Hann's main lobe beyond a line's own bin, at 30 dB */

static void bins_of(const struct at_map *m, double rate_hz, double lo_hz, double hi_hz,
                    unsigned *ret_lo, unsigned *ret_hi)
{
    double bin = rate_hz / m->n;
    double lo = floor(lo_hz / bin + 0.5 * m->n + 0.5), hi = ceil(hi_hz / bin + 0.5 * m->n + 0.5);
    lo = fmin(fmax(lo, 0), m->n - 1);
    *ret_lo = (unsigned)lo;
    *ret_hi = (unsigned)fmin(fmax(hi, lo + 1), m->n);
}

static double noise_between(const struct at_map *m, unsigned lo, unsigned hi)
{
    double s = 0;
    for (unsigned k = lo; k < hi; k++)
        s += m->floor[k];
    return s;
}

/* Per row: power between lo and hi in full-scale^2. */
static void row_power(const struct at_map *m, double rate_hz, unsigned lo, unsigned hi, float *out)
{
    float bin = (float)(rate_hz / m->n);
    for (size_t t = 0; t < m->t; t++) {
        const float *row = m->rows + t * m->n;
        float s = 0;
        for (unsigned k = lo; k < hi; k++)
            s += row[k];
        out[t] = s * bin;
    }
}

double at_measure_power(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    bins_of(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double s = 0;
    for (size_t t = 0; t < m->t; t++)
        for (unsigned k = lo; k < hi; k++)
            s += m->rows[t * m->n + k];
    s = m->t ? s / (double)m->t - noise_between(m, lo, hi) : 0;
    return fmax(s, 0) * rate_hz / m->n;
}

double at_measure_link(const struct at_map *m, double rate_hz, const struct at_region *x,
                       const struct at_region *y, float *a, float *b)
{
    unsigned xlo, xhi, ylo, yhi;
    bins_of(m, rate_hz, x->f_lo_hz, x->f_hi_hz, &xlo, &xhi);
    bins_of(m, rate_hz, y->f_lo_hz, y->f_hi_hz, &ylo, &yhi);
    if (m->t < 8 || (xlo < yhi + 2 && ylo < xhi + 2))
        return 0;
    row_power(m, rate_hz, xlo, xhi, a);
    row_power(m, rate_hz, ylo, yhi, b);
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0, n = (double)m->t;
    for (size_t t = 0; t < m->t; t++) {
        sa += a[t];
        sb += b[t];
        aa += (double)a[t] * a[t];
        bb += (double)b[t] * b[t];
        ab += (double)a[t] * b[t];
    }
    double va = aa - sa * sa / n, vb = bb - sb * sb / n;
    /* A steady one's envelope says nothing. */
    if (va < 0.05 * sa * sa / n || vb < 0.05 * sb * sb / n || va <= 0 || vb <= 0)
        return 0;
    return (ab - sa * sb / n) / sqrt(va * vb);
}

static float strong_rows(const float *e, size_t t)
{
    /* Mean of what lies above the mean, twice: the level while on, whatever the duty. */
    float level = 0;
    for (int pass = 0; pass < 3; pass++) {
        double s = 0;
        size_t n = 0;
        for (size_t i = 0; i < t; i++)
            if (e[i] >= level) {
                s += e[i];
                n++;
            }
        level = n ? (float)(s / (double)n) : level;
    }
    return level;
}

static void close_holes(uint8_t *on, size_t t, size_t hole)
{
    size_t last = t;
    for (size_t i = 0; i < t; i++) {
        if (!on[i])
            continue;
        if (last < t && i - last <= hole)
            memset(on + last, 1, i - last);
        last = i;
    }
}

void at_measure_on(const struct at_epoch *e, double rate_hz, double f_lo_hz, double f_hi_hz,
                   struct at_on *on)
{
    const struct at_map *m = &e->fast;
    unsigned lo, hi;
    bins_of(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    unsigned wlo = lo > 0 && hi - lo < 4 ? lo - 1 : lo,
             whi = hi < m->n && hi - lo < 4 ? hi + 1 : hi;
    double density = noise_between(m, lo, hi) / (hi - lo),
           noise = noise_between(m, wlo, whi) * rate_hz / m->n;
    double k = (whi - wlo) / HANN_ENBW;
    row_power(m, rate_hz, wlo, whi, on->energy);
    for (size_t t = 0; t < m->t; t++)
        on->energy[t] -= (float)noise;
    float strong = strong_rows(on->energy, m->t);
    float quiet = (float)(noise * (at_floor_gamma_threshold(fmax(k, 1), ON_P) - 1));
    on->noise_density = density;
    on->steady = strong < 2 * quiet;
    float threshold = fmaxf(quiet, ON_SHARE * strong);
    on->n_on = 0;
    double sum = 0;
    for (size_t t = 0; t < m->t; t++)
        on->rows[t] = on->steady || on->energy[t] > threshold;
    close_holes(on->rows, m->t, 2);
    for (size_t t = 0; t < m->t; t++)
        if (on->rows[t]) {
            on->n_on++;
            sum += on->energy[t];
        }
    on->on_at_end = m->t && (on->rows[m->t - 1] || on->rows[m->t > 1 ? m->t - 2 : 0]);
    if (on->n_on == 0)
        return;
    on->steady = on->steady || on->n_on == m->t;
    on->power = on->steady && e->slow.t ? at_measure_power(&e->slow, rate_hz, f_lo_hz, f_hi_hz)
                                        : fmax(sum / (double)on->n_on, 0);
}

static void add_rows(const struct at_map *m, const struct at_map *fast, const uint8_t *on,
                     float need, float *sum, float *hold, double *rows)
{
    for (size_t t = 0; t < m->t; t++) {
        const float *row = m->rows + t * m->n;
        if (m == fast) {
            if (!on[t])
                continue;
        } else {
            uint64_t from = m->first + t * m->hop + m->span / 4, to = from + m->span / 2;
            size_t n = 0, all = 0;
            for (size_t i = 0; i < fast->t; i++) {
                uint64_t mid = fast->first + i * fast->hop + fast->span / 2;
                if (mid < from || mid >= to)
                    continue;
                all++;
                n += on[i];
            }
            if (n == 0 || (float)n < need * (float)all)
                continue;
        }
        *rows += 1;
        for (unsigned k = 0; k < m->n; k++) {
            sum[k] += row[k];
            hold[k] = hold[k] > row[k] ? hold[k] : row[k];
        }
    }
}

void at_measure_add(struct at_track *k, const struct at_epoch *e, const struct at_on *on)
{
    add_rows(&e->fast, &e->fast, on->rows, 0, k->sum_fast, k->hold_fast, &k->rows_fast);
    add_rows(&e->slow, &e->fast, on->rows, 0.5f, k->sum_slow, k->hold_slow, &k->rows_slow);
}

/* Edges in bins [*lo, *hi) around the given ones. level: power per Hz x scale; least: ratio to the
 * floor from which a bin counts. */
static void edges_in_bins(const struct at_map *m, const float *level, double scale, double least,
                          unsigned *lo, unsigned *hi)
{
    unsigned peak = *lo, n = m->n, hole = n > 1024 ? 6 : 2;
    for (unsigned k = *lo; k < *hi; k++)
        peak = level[k] > level[peak] ? k : peak;
    double range = level[peak] * pow(10, -RANGE_DB / 10);
    unsigned a = peak, b = peak;
    for (unsigned k = *lo; k < *hi; k++) { /* outermost within what is known ... */
        if (level[k] < range || level[k] * scale < least * m->floor[k])
            continue;
        a = k < a ? k : a;
        b = k > b ? k : b;
    }
    for (unsigned k = a, miss = 0; k-- > 0 && miss <= hole;) /* ... and on, while it goes on */
        if (level[k] >= range && level[k] * scale >= least * m->floor[k]) {
            a = k;
            miss = 0;
        } else
            miss++;
    for (unsigned k = b + 1, miss = 0; k < n && miss <= hole; k++)
        if (level[k] >= range && level[k] * scale >= least * m->floor[k]) {
            b = k;
            miss = 0;
        } else
            miss++;
    *lo = a;
    *hi = b + 1;
}

static void take_edges(struct at_track *k, const struct at_map *m, double rate_hz, unsigned lo,
                       unsigned hi)
{
    double bin = rate_hz / m->n;
    double f_lo = (lo - 0.5 * m->n - 0.5) * bin, f_hi = (hi - 0.5 * m->n - 0.5) * bin;
    double off = fmin(LOBE_BINS * bin, (f_hi - f_lo - bin) / 2);
    if (off > 0) {
        f_lo += off;
        f_hi -= off;
    }
    k->e.f_lo_hz = fmax(f_lo, -rate_hz / 2);
    k->e.f_hi_hz = fmin(f_hi, rate_hz / 2);
}

void at_measure_edges(struct at_track *k, const struct at_epoch *e, double rate_hz, double f_lo_hz,
                      double f_hi_hz)
{
    bool use_slow = k->rows_slow >= 2;
    const struct at_map *m = use_slow ? &e->slow : &e->fast;
    double rows = use_slow ? k->rows_slow : k->rows_fast;
    k->e.keyed = k->e.duty < 0.9f;
    const float *level = use_slow ? k->sum_slow : k->sum_fast;
    double scale = 1 / rows, least = fmax(2, at_floor_gamma_threshold(fmax(rows, 1), 1e-3));
    if (k->e.keyed) {
        level = use_slow ? k->hold_slow : k->hold_fast;
        scale = 1;
        least = 2 * (log(fmax(rows, 1)) + 2);
    }
    unsigned lo, hi;
    bins_of(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    edges_in_bins(m, level, scale, least, &lo, &hi);
    take_edges(k, m, rate_hz, lo, hi);
}
