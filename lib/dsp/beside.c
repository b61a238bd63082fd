/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/beside.h"

#include <math.h>

#include "lib/dsp/link.h"
#include "lib/dsp/measure.h"
#include "lib/dsp/product.h"

#define DRIVERS      8
#define FAR_STRONGER 20.0 /* 13 dB */
#define NEXT         1.0 /* widths to either side in which a far stronger one makes a new one doubtful */
#define REACH        30.0 /* widths of what comes and goes, over which it splatters */
#define CLICK_ROWS   16   /* of the short spectra */
#define STRONGEST    16   /* whose far lobes are looked for */
#define EDGE         1e-3 /* 30 dB: so far below its peak lie the edges of a strong one */
#define FALLING                                                                                    \
    4.0 /* 6 dB: lobes are no higher than that over the slowest that they fall off, as 1 / f^2 */
#define BEYOND 1.5 /* times as far */
#define HARD                                                                                       \
    0.15 /* 1 / pi^2 and a margin: of its peak, at its edge: lobes of hard steps of phase are no   \
            higher, falling as 1 / f^2 */
#define NULL_GAP    0.35 /* of its width: what parts its first lobes from it */
#define LOBE_WIDTHS 0.8  /* as wide is one at most; another one on the next channel is as wide */
#define SMOOTH      5.0  /* times their mean: no carrier stands in them */
#define TONE        0.01 /* of its width: so exactly two of its tones lie opposite */
#define EVEN        1.4  /* 1.5 dB: both sides of a skirt */
#define ROUGHLY     4.0  /* 6 dB */
#define CELL_BINS   6    /* of the long spectra: in such cells they are compared */
#define CELLS       12   /* at most */
#define CELL_EVEN   2.0  /* 3 dB */
#define LIFE_ROWS   8    /* of the long spectra */
#define SIGMAS      3.0  /* of the scatter of both */
#define KEYING      2.0 /* 3 dB: what keying makes beside a carrier is so much weaker than all of it */
#define ITS_SHARE   0.5  /* of its carrier's level: it is on */
#define STEADY      0.9f /* of its life on: it hardly ever is off */
#define SEEN_SIGMAS 2.5  /* of noise: what has so much is there */

bool at_beside_fringe(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                      size_t i)
{
    double power = at_measure_power(&e->slow, t->rate_hz, r[i].f_lo_hz, r[i].f_hi_hz);
    for (size_t j = 0; j < i; j++) {
        double gap = at_link_gap_hz(r[j].f_lo_hz, r[j].f_hi_hz, r[i].f_lo_hz, r[i].f_hi_hz);
        if (gap > NEXT * (r[j].f_hi_hz - r[j].f_lo_hz))
            continue;
        if (r[j].level > FAR_STRONGER * r[i].level)
            return true;
        if (at_measure_power(&e->slow, t->rate_hz, r[j].f_lo_hz, r[j].f_hi_hz) >
                FAR_STRONGER * power &&
            at_link_bound(t, e, &r[j], &r[i]))
            return true;
    }
    return false;
}

bool at_beside_none(const struct at_epoch *e, const struct at_region *r, size_t i)
{
    if (e->gated || e->clipped)
        return false;
    for (size_t j = 0; j < i; j++) {
        double gap = at_link_gap_hz(r[j].f_lo_hz, r[j].f_hi_hz, r[i].f_lo_hz, r[i].f_hi_hz);
        if (r[j].level > 10 * r[i].level && gap < 10 * (r[j].f_hi_hz - r[j].f_lo_hz))
            return false;
    }
    return true;
}

/* Rows of the epoch in which a region is on: [*ret_first, *ret_end). */
static void rows_on(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                    size_t *ret_first, size_t *ret_end)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    at_measure_on(e, t->rate_hz, r->f_lo_hz, r->f_hi_hz, 0, &on);
    *ret_first = e->fast.t;
    *ret_end = 0;
    for (size_t i = 0; i < e->fast.t; i++)
        if (on.rows[i]) {
            *ret_first = i < *ret_first ? i : *ret_first;
            *ret_end = i + 1;
        }
}

/* What is on in these rows only is so for a moment, at which a stronger one goes on or off: a key
 * click. t->on: rows of that one. */
static bool is_click(struct at_tracker *t, const struct at_epoch *e, const struct at_region *strong,
                     size_t first, size_t end)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    if (strong->steady || end > first + CLICK_ROWS)
        return false;
    at_measure_on(e, t->rate_hz, strong->f_lo_hz, strong->f_hi_hz, 0, &on);
    for (size_t i = first > 1 ? first - 1 : 1; i < e->fast.t && i <= end + 1; i++)
        if (on.rows[i] != on.rows[i - 1])
            return true;
    return false;
}

/* One far stronger that was on until now is off in this epoch: what is on no longer than its last
 * rows last, which the epoch before shares, is the end of its click. */
static bool has_ended(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                      size_t end)
{
    size_t last = e->slow.t ? e->slow.span : CLICK_ROWS * e->fast.hop;
    if (end * e->fast.hop > last)
        return false;
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *k = t->tracks[i];
        double width = k->e.f_hi_hz - k->e.f_lo_hz, power = k->power_s / fmax(k->on_s, 1e-12);
        if (k->silent_since + last < e->index || k->by_hand || k->dropped ||
            power < FAR_STRONGER * r->level ||
            at_link_gap_hz(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) > REACH * width)
            continue;
        struct at_on on = {.rows = t->on, .energy = t->energy};
        at_measure_on(e, t->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, power, &on);
        if (on.n_on < CLICK_ROWS && !on.on_at_end)
            return true;
    }
    return false;
}

/* Power between two frequencies over that of the noise there, noise and all. */
static double ratio_in(const struct at_epoch *e, double lo_hz, double hi_hz, double *ret_cells)
{
    unsigned lo, hi;
    double sum = 0, noise = 0;
    at_measure_bins(&e->slow, e->rate_hz, lo_hz, hi_hz, &lo, &hi);
    for (unsigned k = lo; k < hi; k++) {
        sum += (double)e->slow.sum[k];
        noise += (double)e->slow.floor[k];
    }
    *ret_cells = (double)(hi - lo) * (double)e->slow.t /
                 2; /* rows overlap by half, bins share through Hann */
    return sum / fmax(noise * (double)e->slow.t, 1e-30);
}

/* As much at lo .. hi as at its mirror image about mid. */
static bool is_even(const struct at_epoch *e, double mid_hz, double lo_hz, double hi_hz,
                    double even)
{
    double n, here = ratio_in(e, lo_hz, hi_hz, &n),
              there = ratio_in(e, 2 * mid_hz - hi_hz, 2 * mid_hz - lo_hz, &n),
              most = even * (1 + SIGMAS / sqrt(n));
    return here < most * there && there < most * here;
}

static double middle(const struct at_region *r)
{
    return (r->f_lo_hz + r->f_hi_hz) / 2;
}

/* Its mirror image about the middle of the strong one lies in the band. */
static bool mirror_is_seen(const struct at_epoch *e, const struct at_region *strong,
                           const struct at_region *r)
{
    double away = fmax(fabs(r->f_lo_hz - middle(strong)), fabs(r->f_hi_hz - middle(strong)));
    bool below = middle(r) < middle(strong);
    return (below ? middle(strong) + away : away - middle(strong)) < e->rate_hz / 2;
}

/* A region's band, or a cell around its peak, so that noise can be told from it. */
static void around(const struct at_epoch *e, const struct at_region *r, double *ret_lo,
                   double *ret_hi)
{
    double half = CELL_BINS / 2.0 * e->rate_hz / e->slow.n;
    *ret_lo = fmin(r->f_lo_hz, r->peak_hz - half);
    *ret_hi = fmax(r->f_hi_hz, r->peak_hz + half);
}

/* The same cell by cell: the shapes of two emissions on either side are not alike. */
static bool is_mirrored(const struct at_epoch *e, double mid_hz, double lo_hz, double hi_hz)
{
    double n, here = ratio_in(e, lo_hz, hi_hz, &n) - 1,
              there = ratio_in(e, 2 * mid_hz - hi_hz, 2 * mid_hz - lo_hz, &n) - 1;
    if (there < 0.5 * here || !is_even(e, mid_hz, lo_hz, hi_hz, EVEN))
        return false;
    double bin = e->rate_hz / e->slow.n;
    unsigned cells = (unsigned)fmin(fmax((hi_hz - lo_hz) / (CELL_BINS * bin), 1), CELLS), even = 0;
    double step = (hi_hz - lo_hz) / cells;
    for (unsigned c = 0; c < cells; c++)
        even += is_even(e, mid_hz, lo_hz + c * step, lo_hz + (c + 1) * step, CELL_EVEN);
    return 4 * even >= 3 * cells;
}

/* Steps of frequency or phase that nothing rounds make lobes far beside a transmitter's band, as
 * high on one side as on the other, cell by cell, and lower the farther they are from it. Another
 * emission is there on one side only. roughly: one epoch, of few steps, may show less than that. */
static bool is_far_lobe(const struct at_epoch *e, const struct at_region *strong,
                        const struct at_region *r, bool roughly)
{
    double width = strong->f_hi_hz - strong->f_lo_hz, mid = middle(strong),
           away = 2 * fabs(r->peak_hz - mid) / width, n, lo, hi;
    if (away < 1 || r->peak * away * away > EDGE * FALLING * strong->peak ||
        !mirror_is_seen(e, strong, r))
        return false;
    around(e, r, &lo, &hi);
    double here = ratio_in(e, lo, hi, &n) - 1,
           there = ratio_in(e, 2 * mid - hi, 2 * mid - lo, &n) - 1;
    return roughly ? here < ROUGHLY * there && there < ROUGHLY * here : is_mirrored(e, mid, lo, hi);
}

/* The lobes next to one whose steps nothing rounds: a null parts them from it, they are higher than
 * those farther out, and smooth. meanwhile: it was there only while the strong one was, which was
 * heard to be off as well; else it must stand next to it. */
static bool is_near_lobe(const struct at_epoch *e, const struct at_region *strong,
                         const struct at_region *r, bool meanwhile)
{
    double width = strong->f_hi_hz - strong->f_lo_hz, mid = middle(strong),
           away = 2 * fabs(middle(r) - mid) / width, n, lo, hi,
           gap = at_link_gap_hz(strong->f_lo_hz, strong->f_hi_hz, r->f_lo_hz, r->f_hi_hz);
    if (away < 1 || (!meanwhile && gap > NULL_GAP * width) ||
        r->f_hi_hz - r->f_lo_hz > LOBE_WIDTHS * width || !mirror_is_seen(e, strong, r))
        return false;
    around(e, r, &lo, &hi);
    double here = ratio_in(e, lo, hi, &n);
    return (here - 1) * away * away < HARD * strong->peak && r->peak < SMOOTH * here &&
           is_mirrored(e, mid, lo, hi);
}

/* Highest ratio to the floor between two frequencies; ret_hz: where, or NULL. */
static float highest(const struct at_epoch *e, double lo_hz, double hi_hz, double *ret_hz)
{
    unsigned lo, hi, at;
    float most = 0;
    at_measure_bins(&e->slow, e->rate_hz, lo_hz, hi_hz, &lo, &hi);
    at = lo;
    for (unsigned k = lo; k < hi; k++) {
        float ratio = e->slow.sum[k] / (e->slow.floor[k] * (float)e->slow.t);
        at = ratio > most ? k : at;
        most = fmaxf(most, ratio);
    }
    if (ret_hz)
        *ret_hz = (at - 0.5 * e->slow.n) * e->rate_hz / e->slow.n;
    return most;
}

/* The same, or, where the mirror image lies off the band, beyond one that is: no higher, and half
 * as far again at most. */
static bool is_outer_lobe(const struct at_epoch *e, const struct at_region *strong,
                          const struct at_region *r, size_t n, size_t i, bool roughly)
{
    double mid = middle(strong), away = fabs(r[i].peak_hz - mid);
    if (mirror_is_seen(e, strong, &r[i]))
        return is_far_lobe(e, strong, &r[i], roughly);
    for (size_t k = 0; k < n; k++) {
        double nearer = fabs(r[k].peak_hz - mid);
        if ((r[k].peak_hz < mid) == (r[i].peak_hz < mid) && nearer < away &&
            away < BEYOND * nearer && r[i].peak < EVEN * r[k].peak &&
            is_far_lobe(e, strong, &r[k], roughly))
            return true;
    }
    return false;
}

/* The band of a strong one as known so far: one epoch may show more of one side. Its peak with the
 * lines on it. */
static struct at_region known_band(const struct at_tracker *t, const struct at_region *r, size_t n,
                                   size_t j)
{
    struct at_region strong = r[j];
    double most = 0;
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *k = t->tracks[i];
        double like = at_link_likeness(r[j].f_lo_hz, r[j].f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
        if (k->by_hand || k->dropped || k->epochs < 2 || like <= most)
            continue;
        most = like;
        strong.f_lo_hz = k->e.f_lo_hz;
        strong.f_hi_hz = k->e.f_hi_hz;
    }
    for (size_t i = 0; i < n; i++)
        if (r[i].peak_hz > strong.f_lo_hz && r[i].peak_hz < strong.f_hi_hz)
            strong.peak = fmaxf(strong.peak, r[i].peak);
    return strong;
}

bool at_beside_lobe(const struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                    size_t n, size_t i, bool roughly)
{
    for (size_t j = 0; j < i && j < STRONGEST && e->slow.t; j++) {
        if (r[j].level <= AT_LINK_WEAKER_FAR * r[i].level || r[j].over > 0)
            continue;
        struct at_region strong = known_band(t, r, n, j);
        if (is_outer_lobe(e, &strong, r, n, i, roughly))
            return true;
    }
    return false;
}

/* What samples clip by. */
static bool drives(const struct at_region *r, size_t j)
{
    return j < DRIVERS && r[j].level * AT_LINK_WEAKER_FAR > r[0].level;
}

bool at_beside_doubtful(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                        size_t n, size_t i)
{
    size_t first, end;
    if (r[i].is_lobe || at_beside_lobe(t, e, r, n, i, false))
        return true;
    rows_on(t, e, &r[i], &first, &end);
    for (size_t j = 0; j < i; j++) {
        double ratio = r[j].level / r[i].level, width = r[j].f_hi_hz - r[j].f_lo_hz;
        double gap = at_link_gap_hz(r[j].f_lo_hz, r[j].f_hi_hz, r[i].f_lo_hz, r[i].f_hi_hz);
        /* What is next to a strong one shares short bins with it: there it looks stronger than it
         * is. */
        bool next = gap < fmax(NEXT * width, 2.5 * t->rate_hz / t->n_fast) &&
                    r[j].peak > FAR_STRONGER * r[i].peak;
        if ((e->clipped && (next || (ratio > AT_LINK_WEAKER_FAR && drives(r, j) &&
                                     at_product_of(t, e, r, i, j)))) ||
            (!r[j].steady && ratio > AT_LINK_WEAKER && gap < REACH * width) ||
            (ratio > FAR_STRONGER && gap < REACH * width && is_click(t, e, &r[j], first, end)))
            return true;
    }
    return has_ended(t, e, &r[i], end);
}

bool at_beside_product(const struct at_epoch *e, const struct at_region *r, size_t i)
{
    return e->clipped && i > 0 && r[0].level > AT_LINK_WEAKER_FAR * r[i].level;
}

/* Cut to what of it lies outside the strong one's band, on one side, and has its mirror image in
 * the receiver's band. False: that is nothing, or what lies farther is higher. */
static bool cut_to_seen(const struct at_epoch *e, const struct at_region *strong,
                        struct at_region *r)
{
    double mid = middle(strong), half = (strong->f_hi_hz - strong->f_lo_hz) / 2,
           bin = e->rate_hz / e->slow.n;
    bool below = middle(r) < mid;
    double nearest = fmax(below ? mid - r->f_hi_hz : r->f_lo_hz - mid, half),
           farthest = below ? mid - r->f_lo_hz : r->f_hi_hz - mid,
           other = below ? r->f_hi_hz - mid : mid - r->f_lo_hz,
           seen = fmin(farthest, e->rate_hz / 2 - fabs(mid) - bin);
    if (seen - nearest < CELL_BINS * bin || other > half + bin)
        return false;
    double sign = below ? -1 : 1, a = mid + sign * nearest, b = mid + sign * seen,
           c = mid + sign * farthest;
    r->f_lo_hz = fmin(a, b);
    r->f_hi_hz = fmax(a, b);
    r->peak = highest(e, r->f_lo_hz, r->f_hi_hz, &r->peak_hz);
    return farthest - seen < bin || highest(e, fmin(b, c), fmax(b, c), NULL) < EVEN * r->peak;
}

/* Centre of the power between two frequencies, noise taken off. */
static double middle_of_power(const struct at_epoch *e, double lo_hz, double hi_hz)
{
    unsigned lo, hi;
    double sum = 0, at = 0;
    at_measure_bins(&e->slow, e->rate_hz, lo_hz, hi_hz, &lo, &hi);
    for (unsigned k = lo; k < hi; k++) {
        double power =
            fmax((double)e->slow.sum[k] - (double)e->slow.floor[k] * (double)e->slow.t, 0);
        sum += power;
        at += power * k;
    }
    return sum > 0 ? (at / sum - 0.5 * e->slow.n) * e->rate_hz / e->slow.n : (lo_hz + hi_hz) / 2;
}

/* The strong one's band: as its edges say; or as far to either side of its peak; or, where the lobe
 * of one side was taken for a part of it, of the middle of its power. */
enum { BY_EDGES, BY_PEAK, BY_POWER, BANDS };
static struct at_region band_of(const struct at_epoch *e, const struct at_track *j, unsigned by)
{
    struct at_region r = {.f_lo_hz = j->e.f_lo_hz, .f_hi_hz = j->e.f_hi_hz, .peak_hz = j->peak_hz};
    r.peak = highest(e, r.f_lo_hz, r.f_hi_hz, NULL);
    if (by == BY_EDGES)
        return r;
    double mid = by == BY_PEAK ? r.peak_hz : middle_of_power(e, r.f_lo_hz, r.f_hi_hz),
           above = r.f_hi_hz - mid, below = mid - r.f_lo_hz,
           half = by == BY_PEAK ? fmax(above, below) : fmin(above, below);
    r.f_lo_hz = mid - half;
    r.f_hi_hz = mid + half;
    return r;
}

/* k was on only while j was. */
static bool is_within(const struct at_track *k, const struct at_track *j, uint64_t slack)
{
    return j->e.start <= k->e.start + slack && k->e.end <= j->e.end + slack;
}

/* And that says something: j was off as well, or was heard to come, and k with it. */
static bool is_meanwhile(const struct at_track *k, const struct at_track *j, uint64_t since,
                         uint64_t slack)
{
    bool came = j->e.start >= since && k->e.start <= j->e.start + slack;
    return is_within(k, j, slack) && (j->e.duty < STEADY || came);
}

/* A line on a wide signal, at whose mirror image another stands, no weaker: two of its tones, whose
 * steps are whole turns of phase. */
static bool is_tone(const struct at_epoch *e, const struct at_region *wide,
                    const struct at_track *k)
{
    double mid = middle(wide), width = wide->f_hi_hz - wide->f_lo_hz,
           apart = fmax(k->e.f_hi_hz - k->e.f_lo_hz, TONE * width), mirror = 2 * mid - k->peak_hz;
    float here = highest(e, k->e.f_lo_hz, k->e.f_hi_hz, NULL),
          there = highest(e, mirror - apart, mirror + apart, NULL);
    return fabs(k->peak_hz - mid) > 2 * apart && here < CELL_EVEN * there;
}

bool at_beside_was_lobe(const struct at_tracker *t, const struct at_track *k, const float *floor,
                        uint64_t since, uint64_t slack)
{
    const struct at_spectra *s = &k->slow;
    struct at_epoch e = {
        .rate_hz = t->rate_hz,
        .slow = {.n = s->n, .t = (size_t)s->rows, .sum = s->sum, .floor = floor, .looks = 1}};
    if (s->rows < LIFE_ROWS)
        return false;
    for (unsigned i = 0; i < BANDS * t->n_tracks; i++) {
        const struct at_track *j = t->tracks[i / BANDS];
        if (j == k || j->pending || j->by_hand || j->dropped || j->over > 0)
            continue;
        struct at_region strong = band_of(&e, j, i % BANDS);
        if (k->over > 0) {
            if (k->e.f_lo_hz > j->e.f_lo_hz && k->e.f_hi_hz < j->e.f_hi_hz &&
                is_tone(&e, &strong, k))
                return true;
            continue;
        }
        bool heard = j->e.duty < STEADY || j->e.start >= since; /* to be off as well */
        if (j->power_s * k->on_s <= AT_LINK_WEAKER_FAR * k->power_s * j->on_s)
            continue;
        struct at_region r = {
            .f_lo_hz = k->e.f_lo_hz, .f_hi_hz = k->e.f_hi_hz, .peak_hz = k->peak_hz};
        r.peak = highest(&e, r.f_lo_hz, r.f_hi_hz, NULL);
        if (is_far_lobe(&e, &strong, &r, false) ||
            is_near_lobe(&e, &strong, &r, heard && is_within(k, j, slack)) ||
            (cut_to_seen(&e, &strong, &r) && is_far_lobe(&e, &strong, &r, false)))
            return true;
    }
    return false;
}

/* Where its carrier stands, between the bins around its peak. */
static double carrier_of(const struct at_track *k, double bin)
{
    const struct at_spectra *s = &k->slow;
    double sum = 0, at = 0;
    int peak = (int)lrint(k->peak_hz / bin + 0.5 * s->n);
    for (int i = peak > 0 ? peak - 1 : 0; i <= peak + 1 && i < (int)s->n; i++) {
        sum += (double)s->sum[i];
        at += (double)s->sum[i] * (i - peak);
    }
    return k->peak_hz + (sum > 0 ? at / sum * bin : 0);
}

/* Mean power in one bin over the rows of a life. */
static double power_at(const struct at_spectra *s, double bin, double f_hz)
{
    long i = lrint(f_hz / bin + 0.5 * s->n);
    return i >= 0 && i < (long)s->n && s->rows > 0 ? (double)s->sum[i] / s->rows : 0;
}

/* What stands over the noise is there at its mirror image as well, and as much, as far as noise
 * lets one tell. */
static bool is_balanced(const struct at_epoch *e, double mid_hz, double lo_hz, double hi_hz)
{
    double n, here = ratio_in(e, lo_hz, hi_hz, &n) - 1,
              there = ratio_in(e, 2 * mid_hz - hi_hz, 2 * mid_hz - lo_hz, &n) - 1,
              scatter = sqrt(2 * (1 + fmax(here, 0) + fmax(there, 0)) / n);
    return there * sqrt(n) > SEEN_SIGMAS &&
           fabs(here - there) < (EVEN - 1) * fmin(here, there) + SIGMAS * scatter;
}

bool at_beside_was_keying(const struct at_tracker *t, const struct at_track *k, const float *floor,
                          uint64_t since, uint64_t slack)
{
    const struct at_spectra *s = &k->slow;
    double bin = t->rate_hz / s->n, lo = k->e.f_lo_hz - bin, hi = k->e.f_hi_hz + bin;
    struct at_epoch e = {
        .rate_hz = t->rate_hz,
        .slow = {.n = s->n, .t = (size_t)s->rows, .sum = s->sum, .floor = floor, .looks = 1}};
    for (unsigned i = 0; i < t->n_tracks && e.slow.t && !(k->over > 0); i++) {
        const struct at_track *j = t->tracks[i];
        if (j == k || !is_meanwhile(k, j, since, slack) || (j->pending && !j->sure) || j->by_hand ||
            j->dropped || j->over > 0 || j->power_s * k->on_s < KEYING * k->power_s * j->on_s)
            continue;
        double mid = carrier_of(j, bin);
        struct at_region carrier = {.f_lo_hz = mid, .f_hi_hz = mid},
                         r = {.f_lo_hz = lo, .f_hi_hz = hi};
        bool beside = lo > mid || hi<mid, was_on = power_at(s, bin, mid)> ITS_SHARE *
                                      power_at(&j->slow, bin, mid);
        if (beside && was_on && mirror_is_seen(&e, &carrier, &r) && is_balanced(&e, mid, lo, hi))
            return true;
    }
    return false;
}
