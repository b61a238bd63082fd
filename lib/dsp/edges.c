/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/lines.h"
#include "lib/dsp/loops.h"
#include "lib/dsp/measure.h"

#define RANGE_DB         30.0 /* edges lie within it of the peak */
#define LINE_CLEAR_DB    6.0  /* over the wide signal that a line stands on */
#define RANGE_CLIPPED_DB 15.0 /* of a clipped one: what lies lower are clipping products */
#define PRODUCT_BELOW    5.0  /* 7 dB: what clipping makes at -3 f lies 9.5 dB below */
#define PRODUCT_REACH_HZ 5e3  /* around it, or most of the way to the line itself */
#define KEPT_CLIPPED     0.6  /* but only where that keeps this share of the power */
#define HUMP             30.0 /* 15 dB over what is raised all over the band: the emission is the hump */
#define CLEAR            4.0  /* times the latter: its bins */
#define HUMP_POWER       0.95 /* and holds nearly all power */
#define FAINT_SIGMA      5.0  /* of the mean: what so much more than noise is no noise */
#define CONTRAST         2.0  /* a bin of a burst stands so much higher while on than while off */
#define CLIMB            6.0  /* times its own peak: there another one begins */
#define LOBE_BINS        1.0  /* Hann's main lobe beyond a line's own bin, at 30 dB */
#define KEYED_DUTY       0.75 /* below: keyed or bursts, and max-hold speaks */

/* What the emission raises everywhere while on (splatter, clipping): ratio to the floor that 3 bins
 * in 10 stay below, looked up by bisection. */
static double pedestal(const struct at_map *m, const float *level, double rows)
{
    const struct at_loops *loops = at_loops_best();
    double lo = 0, hi = 4; /* log10 */
    for (int i = 0; i < 8; i++) {
        double mid = (lo + hi) / 2;
        float limit = (float)(rows * pow(10, mid));
        if (loops->below(level, m->floor, m->n, limit) * 10 < m->n * 3)
            lo = mid;
        else
            hi = mid;
    }
    return pow(10, hi);
}

/* Nearly all power of an emission that seems to fill the band stands above the pedestal, of which
 * it is more than the upper part: it is narrower. */
static bool stands_out(const struct at_map *m, const struct at_spectra *s, double raised)
{
    double all = 0, above = 0, highest = 0;
    for (unsigned k = 0; k < m->n; k++) {
        double mean = s->sum[k] / s->rows, over = fmax(mean - m->floor[k], 0);
        all += over;
        above += mean >= 2 * raised * m->floor[k] ? over : 0;
        highest = fmax(highest, mean / m->floor[k]);
    }
    return highest > HUMP * raised && above > HUMP_POWER * all;
}

/* Level of the bins that may belong to the emission, 0 for the others: at least `least` times the
 * floor, and at least CONTRAST times what stands there while it is off. Returns how many are left.
 */
static unsigned own_bins(const struct at_map *m, const struct at_spectra *s, bool hold,
                         double least, double contrast, float *own)
{
    float per = (float)(1 / s->rows),
          per_off = s->rows_off > 0 ? (float)(contrast / s->rows_off) : 0;
    return at_loops_best()->standing(hold ? s->hold : NULL, s->sum, s->off, m->floor, m->n, per,
                                     per_off, (float)least, own);
}

/* The highest of many rows of noise stands far above the floor, so that a bin's own highest row is
 * seen late; its mean is seen earlier, and the ratio of both is that of the bins just above
 * `least`. Adds the bins whose highest row stands 3 dB over the floor (`raised` times) by this. */
static void add_faint_bins(const struct at_map *m, const struct at_spectra *s, double least,
                           double contrast, double raised, float *own)
{
    float per = (float)(1 / s->rows), up = (float)raised,
          per_off = s->rows_off > 0 ? (float)(contrast / s->rows_off) : 0,
          sure = (float)(1 + FAINT_SIGMA / sqrt(s->rows));
    double highest = 0, mean = 0;
    for (unsigned k = 0; k < m->n; k++)
        if (own[k] > 0 && own[k] < 4 * (float)least * m->floor[k]) {
            highest += own[k] - m->floor[k];
            mean += fmaxf(s->sum[k] * per - m->floor[k], 0);
        }
    float peaky = mean > 0 ? (float)(highest / mean) : 0;
    for (unsigned k = 0; k < m->n; k++) {
        float level = s->sum[k] * per, noise = up * m->floor[k], over = level - noise;
        if (!(own[k] > 0) && level > sure * noise && peaky * over >= noise &&
            level >= s->off[k] * per_off)
            own[k] = peaky * over;
    }
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

/* Rails that clip make square waves of I and of Q: of a line at f they make others at -3 f, 5 f, -7
 * f and so on, 9.5, 14, 17 dB below. Those around 0 Hz would make a wide emission of a narrow one.
 */
static void drop_products(const struct at_map *m, double rate_hz, unsigned lo, unsigned hi,
                          float *own)
{
    unsigned peak = lo;
    for (unsigned k = lo; k < hi; k++)
        peak = own[k] > own[peak] ? k : peak;
    double f = (double)peak - 0.5 * m->n, top = (double)own[peak];
    double reach = fmin(0.8 * fabs(f), PRODUCT_REACH_HZ * m->n / rate_hz);
    for (int h = 3; h < 16; h += 2) {
        double at = 0.5 * m->n + remainder((h % 4 == 3 ? -h : h) * f, m->n);
        for (unsigned k = (unsigned)fmax(ceil(at - reach), 0); k <= at + reach && k < m->n; k++)
            if (own[k] * PRODUCT_BELOW < top && fabs((double)k - peak) > reach)
                own[k] = 0;
    }
}

/* From bin `at` on while it goes on above `least`, over holes, by `step` until `end`; where it
 * rises over `most`, another begins, and the lowest bin before that is the last. */
static unsigned walk_out(const float *own, unsigned n, unsigned at, unsigned step, unsigned end,
                         float least, float most)
{
    unsigned last = at, lowest = at, hole = n > 1024 ? 6 : 2;
    for (unsigned k = at + step, miss = 0; k != end && miss <= hole; k += step) {
        bool there = own[k] > 0 && own[k] >= least;
        if (there && own[k] > most)
            return lowest;
        lowest = own[k] < own[lowest] ? k : lowest;
        miss = there ? 0 : miss + 1;
        last = miss ? last : k;
    }
    return last;
}

/* Outermost bins within range of the peak of [*lo, *hi), and on from there while it goes on.
 * Returns the peak. */
static unsigned edges_in_bins(const float *own, unsigned n, double range_db, double climb,
                              unsigned *lo, unsigned *hi)
{
    unsigned peak = *lo;
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
    a = walk_out(own, n, a, -1u, -1u, least, (float)(climb * own[peak]));
    b = walk_out(own, n, b, 1, n, least, (float)(climb * own[peak]));
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

/* Rows in which a burst goes on or off spread it over frequency: those which it fills say how wide
 * it is, where there are any. sum (n): for theirs. */
static struct at_spectra filled(const struct at_spectra *s, float *sum)
{
    struct at_spectra f = *s;
    if (!s->cut || s->rows - s->rows_cut < 1)
        return f;
    for (unsigned k = 0; k < s->n; k++)
        sum[k] = fmaxf(s->sum[k] - s->cut[k], 0);
    f.sum = sum;
    f.rows -= s->rows_cut;
    return f;
}

void at_measure_edges(struct at_track *k, const struct at_epoch *e, double rate_hz, double f_lo_hz,
                      double f_hi_hz, float *scratch)
{
    bool is_line =
        f_hi_hz - f_lo_hz < rate_hz / e->fast.n; /* the short bins hold its neighbours too */
    bool use_slow = k->slow.rows_full >= 2 || k->slow.rows >= (is_line ? 1 : 8);
    if (use_slow && !e->slow.t)
        return; /* the tail of a stretch: short bins would say less than is known */
    const struct at_map *m = use_slow ? &e->slow : &e->fast;
    if ((use_slow ? k->slow.rows : k->fast.rows) < 0.5)
        return;
    bool clipped = k->clipped_s > 0.2 * k->on_s;
    k->e.keyed = k->e.duty < KEYED_DUTY;
    bool hold =
        k->e.keyed && !clipped && !(k->over > 0); /* what a line stands on has high rows, too */
    const struct at_spectra all = use_slow ? k->slow : k->fast,
                            s_on = use_slow || hold ? all : filled(&all, scratch + m->n),
                            *s = &s_on;
    double least = hold ? 2 * (log(fmax(s->rows, 1)) + 2)
                        : fmax(2, at_floor_gamma_threshold(fmax(s->rows, 1), 1e-3));
    double raised = pedestal(m, s->sum, s->rows);
    bool wide = f_hi_hz - f_lo_hz >= 0.5 * rate_hz, hump = wide && stands_out(m, s, raised);
    if (!wide)
        least *= raised;
    else if (hump)
        least = fmax(least, CLEAR * (hold ? pedestal(m, s->hold, 1) : raised));
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double contrast = CONTRAST;
    if (own_bins(m, s, hold, least, contrast, scratch) == 0 ||
        !(power_between(scratch, lo, hi) > 0))
        own_bins(m, s, hold, least, contrast = 0, scratch);
    if (!(power_between(scratch, lo, hi) > 0))
        return; /* too weak to say more than the detector did */
    if (hold && !hump)
        add_faint_bins(m, s, least, contrast, wide ? 1 : raised, scratch);
    if (clipped || e->has_dc)
        drop_dc(m, scratch);
    if (clipped)
        drop_products(m, rate_hz, lo, hi, scratch);
    stop_at(k, m, rate_hz, scratch);
    at_lines_off(k, m->n, rate_hz, scratch);
    unsigned wide_lo = lo, wide_hi = hi;
    double climb = hold || clipped ? INFINITY : CLIMB;
    double range_db =
        k->over > 0 ? fmin(10 * log10((double)k->over) - LINE_CLEAR_DB, RANGE_DB) : RANGE_DB;
    unsigned peak = edges_in_bins(scratch, m->n, range_db, climb, &wide_lo, &wide_hi);
    if (clipped) {
        peak = edges_in_bins(scratch, m->n, RANGE_CLIPPED_DB, climb, &lo, &hi);
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
