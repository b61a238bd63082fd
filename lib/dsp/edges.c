/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/measure.h"

#define RANGE_DB         30.0 /* edges lie within it of the peak */
#define RANGE_CLIPPED_DB 15.0 /* of a clipped one: what lies lower are clipping products */
#define KEPT_CLIPPED     0.6  /* but only where that keeps this share of the power */
#define CONTRAST         2.0  /* a bin of a burst stands so much higher while on than while off */
#define LOBE_BINS        1.0  /* Hann's main lobe beyond a line's own bin, at 30 dB */
#define KEYED_DUTY       0.75 /* below: keyed or bursts, and max-hold speaks */

/* What the emission raises everywhere while on (splatter, clipping): ratio to the floor that 3 bins
 * in 10 stay below, looked up by bisection. */
static double pedestal(const struct at_map *m, const struct at_spectra *s)
{
    double lo = 0, hi = 4; /* log10 */
    for (int i = 0; i < 8; i++) {
        double mid = (lo + hi) / 2;
        float limit = (float)(s->rows * pow(10, mid));
        unsigned n = 0;
        for (unsigned k = 0; k < m->n; k++)
            n += s->sum[k] < limit * m->floor[k];
        if (n * 10 < m->n * 3)
            lo = mid;
        else
            hi = mid;
    }
    return pow(10, hi);
}

/* Level of the bins that may belong to the emission, 0 for the others: at least `least` times the
 * floor, and at least CONTRAST times what stands there while it is off. Returns how many are left.
 */
static unsigned own_bins(const struct at_map *m, const struct at_spectra *s, bool hold,
                         double least, double contrast, float *own)
{
    float per = (float)(1 / s->rows),
          per_off = s->rows_off > 0 ? (float)(contrast / s->rows_off) : 0;
    unsigned n = 0;
    for (unsigned k = 0; k < m->n; k++) {
        float mean = s->sum[k] * per, level = hold ? s->hold[k] : mean;
        bool mine = level >= (float)least * m->floor[k] && mean >= s->off[k] * per_off;
        own[k] = mine ? level : 0;
        n += mine;
    }
    return n;
}

/* A receiver driven into saturation leaves a constant while the burst lasts: not part of it, unless
 * all of it. */
static void drop_dc(const struct at_map *m, float *own)
{
    unsigned mid = m->n / 2;
    float dc = 0, other = 0;
    for (unsigned k = 0; k < m->n; k++) {
        bool near = k + 2 >= mid && k <= mid + 2;
        if (near && own[k] > dc)
            dc = own[k];
        if (!near && own[k] > other)
            other = own[k];
    }
    if (other * 10 > dc)
        memset(own + mid - 2, 0, 5 * sizeof *own);
}

/* Outermost bins within range of the peak of [*lo, *hi), and on from there while it goes on.
 * Returns the peak. */
static unsigned edges_in_bins(const float *own, unsigned n, double range_db, unsigned *lo,
                              unsigned *hi)
{
    unsigned peak = *lo, hole = n > 1024 ? 6 : 2;
    for (unsigned k = *lo; k < *hi; k++)
        peak = own[k] > own[peak] ? k : peak;
    float least = (float)(own[peak] * pow(10, -range_db / 10));
    unsigned a = peak, b = peak;
    for (unsigned k = *lo; k < *hi; k++) {
        if (!(own[k] >= least) || !(own[k] > 0))
            continue;
        a = k < a ? k : a;
        b = k > b ? k : b;
    }
    for (unsigned k = a, miss = 0; k-- > 0 && miss <= hole;) {
        miss = own[k] > 0 && own[k] >= least ? 0 : miss + 1;
        a = miss ? a : k;
    }
    for (unsigned k = b + 1, miss = 0; k < n && miss <= hole; k++) {
        miss = own[k] > 0 && own[k] >= least ? 0 : miss + 1;
        b = miss ? b : k;
    }
    *lo = a;
    *hi = b + 1;
    return peak;
}

static double power_between(const float *own, unsigned lo, unsigned hi)
{
    double s = 0;
    for (unsigned k = lo; k < hi; k++)
        s += own[k];
    return s;
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

/* Nothing beyond the places where the emission was parted from others is its own. */
static void stop_at(const struct at_track *k, const struct at_map *m, double rate_hz, float *own)
{
    double per_hz = m->n / rate_hz, mid = 0.5 * m->n + 0.5;
    for (unsigned i = 0; i < m->n && i < k->stop_lo_hz * per_hz + mid; i++)
        own[i] = 0;
    for (unsigned i = m->n; i > 0 && i > k->stop_hi_hz * per_hz + mid; i--)
        own[i - 1] = 0;
}

void at_measure_edges(struct at_track *k, const struct at_epoch *e, double rate_hz, double f_lo_hz,
                      double f_hi_hz, float *scratch)
{
    bool use_slow = (k->slow.rows_full >= 2 || k->slow.rows >= 8) && e->slow.t;
    const struct at_map *m = use_slow ? &e->slow : &e->fast;
    const struct at_spectra *s = use_slow ? &k->slow : &k->fast;
    if (s->rows < 0.5)
        return;
    bool clipped = k->clipped_s > 0.2 * k->on_s;
    k->e.keyed = k->e.duty < KEYED_DUTY;
    bool hold = k->e.keyed && !clipped;
    double least = hold ? 2 * (log(fmax(s->rows, 1)) + 2)
                        : fmax(2, at_floor_gamma_threshold(fmax(s->rows, 1), 1e-3));
    if (f_hi_hz - f_lo_hz < 0.5 * rate_hz)
        least *= pedestal(m, s);
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    if (own_bins(m, s, hold, least, CONTRAST, scratch) == 0 ||
        !(power_between(scratch, lo, hi) > 0))
        own_bins(m, s, hold, least, 0, scratch);
    if (!(power_between(scratch, lo, hi) > 0))
        return; /* too weak to say more than the detector did */
    if (clipped || e->has_dc)
        drop_dc(m, scratch);
    stop_at(k, m, rate_hz, scratch);
    unsigned wide_lo = lo, wide_hi = hi;
    unsigned peak = edges_in_bins(scratch, m->n, RANGE_DB, &wide_lo, &wide_hi);
    if (clipped) {
        peak = edges_in_bins(scratch, m->n, RANGE_CLIPPED_DB, &lo, &hi);
        bool fills = 4 * (wide_hi - wide_lo) > 3 * m->n; /* then it takes a line to mean less */
        if ((!fills || 2 * (hi - lo) < wide_hi - wide_lo) &&
            power_between(scratch, lo, hi) >
                KEPT_CLIPPED * power_between(scratch, wide_lo, wide_hi)) {
            wide_lo = lo;
            wide_hi = hi;
        }
    }
    k->peak_hz = ((double)peak - 0.5 * m->n) * rate_hz / m->n;
    take_edges(k, m, rate_hz, wide_lo, wide_hi);
}
