/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/link.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/image.h"
#include "lib/dsp/lines.h"
#include "lib/dsp/measure.h"

#define WIDEST_GAP_HZ                                                                              \
    300e3             /* of one transmitter with nothing between: an FSK of wide shift, no wider */
#define LINKED    0.6 /* correlation of envelopes */
#define UNRELATED 0.4
#define AUDIO_HZ                                                                                   \
    10.6e3 /* of a carrier's sidebands; the widest are a VOR's: 9,960 Hz, 480 to either side */
#define RASTER_HZ                                                                                  \
    4.9e3 /* a line so far away is the carrier of another station: they are 5, 9 or 10 kHz apart   \
           */
#define LINE        0.8 /* of the power within LINE_BINS of the peak */
#define LINE_BINS   6
#define COHERENT    0.5
#define LOBES       16.0 /* times a side lobe: so much may noise add */
#define EVEN        10.0 /* sidebands differ by no more than 10 dB */
#define KNOWN_LIKE  0.5  /* overlap of a region and a reported emission whose place it has */
#define COVERED     0.7  /* of a reported emission's band: the region holds it */
#define VALLEY      10.0 /* 10 dB: so much less lies between two that are apart */
#define ITS_OWN     0.1  /* of its energy: what is no skirt has so much while the other is off */
#define SELDOM_OFF  0.25 /* share of the rows */
#define WINDOW_BINS 6    /* over which a valley is looked for */
#define WINDOWS     24   /* of what lies beyond an emission */

/* A place at which an emission was parted from its neighbour lies between lo and hi: *ret_hz. */
static bool stop_between(const struct at_tracker *t, double lo, double hi, double *ret_hz)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *k = t->tracks[i];
        if (!k->parted || k->dropped)
            continue;
        for (int up = 0; up < 2; up++) {
            double at = up ? k->stop_hi_hz : k->stop_lo_hz;
            if (at > lo && at < hi) {
                *ret_hz = at;
                return true;
            }
        }
    }
    return false;
}

bool at_link_parted(const struct at_tracker *t, double alo, double ahi, double blo, double bhi)
{
    double x = (alo + ahi) / 2, y = (blo + bhi) / 2, at;
    return stop_between(t, fmin(x, y), fmax(x, y), &at);
}

void at_link_stops(const struct at_tracker *t, double f_hz, double *ret_lo, double *ret_hi)
{
    double at, lo = -INFINITY, hi = INFINITY;
    while (stop_between(t, lo, f_hz, &at))
        lo = at;
    while (stop_between(t, f_hz, hi, &at))
        hi = at;
    *ret_lo = lo;
    *ret_hi = hi;
}

double at_link_gap_hz(double alo, double ahi, double blo, double bhi)
{
    return fmax(alo, blo) - fmin(ahi, bhi);
}

double at_link_likeness(double alo, double ahi, double blo, double bhi)
{
    return -at_link_gap_hz(alo, ahi, blo, bhi) / (fmax(ahi, bhi) - fmin(alo, blo));
}

static double width_of(const struct at_joint *j)
{
    return j->hi_hz - j->lo_hz;
}

/* What stands in a gap makes one of both sides, whatever their envelopes do. */
static bool fills(const struct at_region *r, const struct at_joint *j)
{
    double mid = (j->lo_hz + j->hi_hz) / 2;
    return r->f_lo_hz < mid && r->f_hi_hz > mid && !(r->joint.lo_hz < mid && r->joint.hi_hz > mid);
}

void at_link_join(struct at_region *a, const struct at_region *b)
{
    const struct at_joint none = {0}, mine = fills(b, &a->joint) ? none : a->joint,
                          other = fills(a, &b->joint) ? none : b->joint;
    a->joint = width_of(&other) > width_of(&mine) ? other : mine;
    if (b->level > a->level)
        a->peak_hz = b->peak_hz;
    a->f_lo_hz = fmin(a->f_lo_hz, b->f_lo_hz);
    a->f_hi_hz = fmax(a->f_hi_hz, b->f_hi_hz);
    a->over = a->over > 0 && b->over > 0 ? fmaxf(a->over, b->over) : 0;
    a->peak = fmaxf(a->peak, b->peak);
    a->level = fmaxf(a->level, b->level);
    a->is_long = a->is_long && b->is_long;
    a->alone = a->alone && b->alone;
    a->faint = a->faint && b->faint;
    a->is_lobe = a->is_lobe && b->is_lobe;
}

/* Closer in frequency than this they are one for sure. */
static double near_hz(const struct at_tracker *t, const struct at_region *a,
                      const struct at_region *b)
{
    double bin = t->rate_hz / (a->is_long && b->is_long ? t->n_slow : t->n_fast);
    double w = (a->f_hi_hz - a->f_lo_hz) + (b->f_hi_hz - b->f_lo_hz);
    return fmax(2.5 * bin, 0.03 * w);
}

/* Coherence of a band with its mirror image about 0 Hz, in this epoch. */
static double coherence(const struct at_epoch *e, double lo_hz, double hi_hz)
{
    struct at_mirror m = {0};
    if (e->mirror)
        e->mirror(e->ctx, false, 0, lo_hz, hi_hz, &m);
    return at_image_coherence(&m);
}

/* A region that shares its time with a far stronger one is its splatter, image or clipping product.
 */
static bool artefact(struct at_tracker *t, const struct at_epoch *e, const struct at_region *strong,
                     const struct at_region *weak, double ratio, double link)
{
    double mid = (weak->f_lo_hz + weak->f_hi_hz) / 2, slack = 0.1 * t->rate_hz / t->n_fast,
           lo = strong->f_lo_hz - slack, hi = strong->f_hi_hz + slack;
    bool there = -mid > lo && -mid<hi, peak_there = -weak->peak_hz> lo && -weak->peak_hz < hi;
    if (ratio > AT_LINK_WEAKER_FAR &&
        ((there && link > LINKED) ||
         ((there || peak_there) && coherence(e, weak->f_lo_hz, weak->f_hi_hz) > COHERENT)))
        return true;
    if (link > LINKED && ratio > (e->clipped ? AT_LINK_WEAKER_FAR : AT_LINK_WEAKER))
        return true;
    return false;
}

/* What lies between lo and hi is about as strong as its mirror image about mid_hz, and goes with
 * it. */
static bool mirrored(const struct at_epoch *e, double mid_hz, double lo_hz, double hi_hz)
{
    double here = at_measure_power(&e->slow, e->rate_hz, lo_hz, hi_hz),
           there = at_measure_power(&e->slow, e->rate_hz, 2 * mid_hz - hi_hz, 2 * mid_hz - lo_hz);
    return there * EVEN > here && at_image_sideband(e, mid_hz, lo_hz, hi_hz);
}

bool at_link_modulates(const struct at_epoch *e, const struct at_track *k, double stop_hz)
{
    bool above = stop_hz > k->peak_hz;
    double lo = above ? stop_hz : fmax(k->e.f_lo_hz, k->peak_hz - AUDIO_HZ),
           hi = above ? fmin(k->e.f_hi_hz, k->peak_hz + AUDIO_HZ) : stop_hz;
    return e->slow.t && lo < hi && mirrored(e, k->peak_hz, lo, hi);
}

/* Nearly all of what stands around the peak is in the three bins that a line fills; a gate's lines
 * are its own. */
static bool is_line(const struct at_epoch *e, const struct at_region *r)
{
    double bin = e->rate_hz / e->slow.n;
    return at_measure_power(&e->slow, e->rate_hz, r->peak_hz - 1.5 * bin, r->peak_hz + 1.5 * bin) >
           LINE * at_measure_power(&e->slow, e->rate_hz, r->peak_hz - LINE_BINS * bin,
                                   r->peak_hz + LINE_BINS * bin);
}

/* Beside a carrier, what moves as its mirror image on the other side does, and is about as strong,
 * is modulation: a neighbour would not. */
static bool sideband(const struct at_epoch *e, const struct at_region *carrier,
                     const struct at_region *r)
{
    double mid = carrier->peak_hz, lo = fmax(r->f_lo_hz, mid - AUDIO_HZ),
           hi = fmin(r->f_hi_hz, mid + AUDIO_HZ);
    if (!e->slow.t || fabs(r->peak_hz - mid) > AUDIO_HZ || carrier->level <= r->level ||
        (fabs(r->peak_hz - mid) > RASTER_HZ && !e->gated && is_line(e, r)))
        return false;
    return mirrored(e, mid, lo, hi);
}

static int by_level(const void *a, const void *b)
{
    const struct at_region *x = a, *y = b;
    return (x->level < y->level) - (x->level > y->level);
}

/* An emission's carrier in a pause is constant as well. */
static bool is_reported_at_zero(const struct at_tracker *t)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *k = t->tracks[i];
        if (!k->pending && k->e.f_lo_hz <= 0 && k->e.f_hi_hz >= 0)
            return true;
    }
    return false;
}

/* A DC line or what is left of it, and what a saturated receiver puts at 0 Hz while something else
 * is there. */
static bool only_dc(const struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                    size_t n)
{
    double bin = t->rate_hz / t->n_slow;
    bool artefact = e->has_dc || (e->clipped && n > 1) || (e->constant && !is_reported_at_zero(t));
    return artefact && fabs(r->peak_hz) < 1.5 * bin &&
           r->f_hi_hz - r->f_lo_hz < (e->clipped ? 64 : 8) * bin;
}

bool at_link_bound(struct at_tracker *t, const struct at_epoch *e, const struct at_region *strong,
                   const struct at_region *weak)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    if (strong->steady || !e->slow.t)
        return false;
    at_measure_on(e, t->rate_hz, strong->f_lo_hz, strong->f_hi_hz, 0, &on);
    return !on.steady && at_measure_beside(e, t->rate_hz, on.rows, weak->f_lo_hz, weak->f_hi_hz,
                                           t->other) < ITS_OWN;
}

static bool has_place(const struct at_track *k)
{
    return (!k->pending || k->parted) && !k->by_hand && !k->dropped;
}

/* The reported emission that this region is most of; its place is known. NULL: none. */
static const struct at_track *known_place(const struct at_tracker *t, const struct at_region *r)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *k = t->tracks[i];
        if (has_place(k) && at_track_matches(t, r, k) &&
            at_link_likeness(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) > KNOWN_LIKE)
            return k;
    }
    return NULL;
}

/* Envelopes may agree by chance for an epoch: what was reported does not grow to far places by that
 * alone, nor do two that were reported become one. What is far weaker may be a sideband. */
static bool known_apart(const struct at_tracker *t, const struct at_region *a,
                        const struct at_region *b)
{
    const struct at_region *r[2] = {a, b};
    const struct at_track *place[2] = {known_place(t, a), known_place(t, b)};
    bool both = place[0] && place[1] && place[0] != place[1];
    if (!both && a->level > AT_LINK_WEAKER_FAR * b->level)
        return false;
    for (int i = 0; i < 2; i++) {
        const struct at_track *k = place[i];
        if (k && at_link_gap_hz(r[!i]->f_lo_hz, r[!i]->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) >
                     near_hz(t, a, b))
            return true;
    }
    return false;
}

/* Between two that are on all the time and whose envelopes agree stand others that move with
 * neither: in a band full of stations some pair agrees by chance in any epoch. One that is weaker
 * than both may be a spur. */
static bool others_between(const struct at_tracker *t, const struct at_epoch *e,
                           const struct at_region *r, size_t n, const struct at_region *a,
                           const struct at_region *b)
{
    double lo = fmin(a->f_hi_hz, b->f_hi_hz), hi = fmax(a->f_lo_hz, b->f_lo_hz);
    float weaker = fminf(a->level, b->level);
    unsigned others = 0;
    for (size_t k = 0; k < n && others < 2 && a->steady && b->steady; k++) {
        const struct at_region *c = &r[k];
        if (!c->steady || c->f_lo_hz < lo || c->f_hi_hz > hi ||
            c->level * AT_LINK_WEAKER_FAR < weaker ||
            fabs(at_measure_link(e, t->rate_hz, a, c, t->energy, t->other)) > UNRELATED ||
            fabs(at_measure_link(e, t->rate_hz, b, c, t->energy, t->other)) > UNRELATED)
            continue;
        others += c->level > weaker ? 2 : 1;
    }
    return others >= 2;
}

/* link: of envelopes, where nothing else speaks for it; 0: something does. */
static void join_over(struct at_region *a, const struct at_region *b, double link)
{
    struct at_joint gap = {.lo_hz = fmin(a->f_hi_hz, b->f_hi_hz),
                           .hi_hz = fmax(a->f_lo_hz, b->f_lo_hz),
                           .together = link > 0};
    at_link_join(a, b);
    if (link != 0 && width_of(&gap) > width_of(&a->joint))
        a->joint = gap;
}

/* While samples clip, one blocks the other, which dips with it but is not off: no sign that they
 * are one. */
static bool is_blocked(const struct at_epoch *e, const struct at_region *r)
{
    return e->clipped &&
           at_measure_quiet(&e->fast, e->rate_hz, r->f_lo_hz, r->f_hi_hz) < SELDOM_OFF;
}

/* One pass over pairs, the strongest first; *ret_joined: two became one. Returns how many are left.
 */
static size_t link_pairs(struct at_tracker *t, const struct at_epoch *e, struct at_region *r,
                         size_t n, bool *ret_joined)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n;) {
            double gap = at_link_gap_hz(r[i].f_lo_hz, r[i].f_hi_hz, r[j].f_lo_hz, r[j].f_hi_hz);
            double w = (r[i].f_hi_hz - r[i].f_lo_hz) + (r[j].f_hi_hz - r[j].f_lo_hz);
            double ratio = r[i].level / r[j].level;
            double steps = r[i].peak / r[j].peak;
            bool alike = gap <= 0 || (steps < AT_LINK_FADING && steps > 1 / AT_LINK_FADING);
            bool cut = (r[i].cut && r[i].cut == r[j].cut) ||
                       at_link_parted(t, r[i].f_lo_hz, r[i].f_hi_hz, r[j].f_lo_hz, r[j].f_hi_hz);
            cut = cut ||
                  ((r[i].over > 0) != (r[j].over > 0) &&
                   at_lines_differ(t, r[i].f_hi_hz - r[i].f_lo_hz, r[j].f_hi_hz - r[j].f_lo_hz));
            bool one = alike && !cut && gap <= near_hz(t, &r[i], &r[j]);
            /* While samples clip, what is far weaker and lies around one is its skirt, and does
             * not, blocked by it, go with it. */
            bool made = e->clipped && ratio > AT_LINK_WEAKER_FAR;
            /* Envelopes are compared where something hangs on them. */
            bool apart = !one && ratio > (e->clipped ? AT_LINK_WEAKER_FAR : AT_LINK_WEAKER);
            bool joins =
                !cut && !made && ratio < AT_LINK_WEAKER && gap < fmin(12 * w, WIDEST_GAP_HZ);
            double link = apart || joins
                              ? at_measure_link(e, t->rate_hz, &r[i], &r[j], t->energy, t->other)
                              : 0;
            bool bad = !one && artefact(t, e, &r[i], &r[j], ratio, link);
            bool around = r[j].f_lo_hz <= r[i].f_lo_hz && r[j].f_hi_hz >= r[i].f_hi_hz;
            bad = bad || (one && made && around);
            one = one && !bad;
            bool alike_only = !one && !bad && joins && fabs(link) > LINKED &&
                              !is_blocked(e, &r[i]) && !is_blocked(e, &r[j]) &&
                              !known_apart(t, &r[i], &r[j]) &&
                              !others_between(t, e, r, n, &r[i], &r[j]);
            one = one || alike_only;
            one = one || (!bad && !cut && !made && sideband(e, &r[i], &r[j]));
            if (!bad && !one) {
                j++;
                continue;
            }
            if (one && ratio < 1000)
                join_over(&r[i], &r[j], alike_only ? link : 0);
            t->n_artefacts += bad;
            memmove(r + j, r + j + 1, (n - j - 1) * sizeof *r);
            n--;
            if (one && ratio < 1000) {
                j = i + 1; /* it grew: look again */
                *ret_joined = true;
            }
        }
    }
    return n;
}

/* The spectra go round: a line near one end of the band leaks over it to the other, as far and as
 * strong as the Hann window lets it (its side lobes d bins away: 1 / (pi d (d^2 - 1)) of the
 * amplitude). */
static bool leaks_round(const struct at_tracker *t, const struct at_region *line,
                        const struct at_region *r)
{
    double bin = t->rate_hz / (r->is_long ? t->n_slow : t->n_fast), peak = line->peak_hz;
    double away = peak > r->f_hi_hz ? r->f_lo_hz - peak : peak - r->f_hi_hz,
           d = (t->rate_hz + away) / bin;
    double lobe = d > 1.5 ? 1 / (M_PI * d * (d * d - 1)) : 0.5;
    return away < 0 && line->level * LOBES * lobe * lobe > r->level;
}

/* At the very end of the band the leak may look stronger than the line: the long spectra tell which
 * it is. */
static size_t drop_round_the_ends(struct at_tracker *t, struct at_region *r, size_t n)
{
    for (size_t i = 0; i < n;) {
        bool leak = false;
        for (size_t j = 0; j < n && !leak; j++)
            leak = j != i && (r[j].level > r[i].level || (r[j].is_long && !r[i].is_long)) &&
                   leaks_round(t, &r[j], &r[i]);
        t->n_artefacts += leak;
        if (leak)
            r[i] = r[--n];
        else
            i++;
    }
    return n;
}

static bool stands_on(const struct at_tracker *t, const struct at_region *line,
                      const struct at_region *wide)
{
    return line->over > 0 && !(wide->over > 0) && line->f_lo_hz > wide->f_lo_hz &&
           line->f_hi_hz < wide->f_hi_hz &&
           at_lines_differ(t, line->f_hi_hz - line->f_lo_hz, wide->f_hi_hz - wide->f_lo_hz);
}

size_t at_link_regions(struct at_tracker *t, const struct at_epoch *e, struct at_region *r,
                       size_t n)
{
    for (size_t i = 0; i < n;) {
        if (!only_dc(t, e, &r[i], n)) {
            i++;
            continue;
        }
        t->n_artefacts++;
        r[i] = r[--n];
    }
    for (size_t i = 0; i < n; i++) {
        struct at_on on = {.rows = t->on, .energy = t->energy};
        at_measure_on(e, t->rate_hz, r[i].f_lo_hz, r[i].f_hi_hz, 0, &on);
        r[i].steady = on.steady;
        r[i].level = on.n_on ? fmaxf((float)on.power, AT_LINK_NO_LEVEL) : AT_LINK_NO_LEVEL;
    }
    for (size_t i = 0; i < n; i++) /* what stands on a wide one is none of its power */
        for (size_t j = 0; j < n; j++)
            if (stands_on(t, &r[j], &r[i]))
                r[i].level -= fminf(r[j].level, 0.99f * r[i].level);
    n = drop_round_the_ends(t, r, n);
    qsort(r, n, sizeof *r, by_level);
    bool joined = true;
    for (int pass = 0; joined && pass < 4; pass++) {
        joined = false;
        n = link_pairs(t, e, r, n, &joined);
    }
    return n;
}

/* ---- regions that hold several emissions whose places are known ---- */

static bool covers(const struct at_region *r, const struct at_track *k)
{
    double width = k->e.f_hi_hz - k->e.f_lo_hz;
    return -at_link_gap_hz(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) >= COVERED * width;
}

/* Power per Hz of the epoch, noise taken off. */
static double density(const struct at_epoch *e, double rate_hz, double lo, double hi)
{
    const struct at_map *m = e->slow.t ? &e->slow : &e->fast;
    return at_measure_power(m, rate_hz, lo, hi) / fmax(hi - lo, rate_hz / m->n);
}

/* Looks from the emission's edge outwards to the region's end for a valley and a peak behind it.
 * up: towards higher frequencies. True: *ret_at is the middle of the valley's lowest window,
 * *ret_peak that of the peak's, and what lies there does not go with the emission's envelope. */
static bool parted(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                   const struct at_track *k, bool up, double *ret_at, double *ret_peak)
{
    double bin = t->rate_hz / (e->slow.t ? t->n_slow : t->n_fast), sign = up ? 1 : -1;
    double edge = up ? k->e.f_hi_hz : k->e.f_lo_hz, width = k->e.f_hi_hz - k->e.f_lo_hz;
    double beyond = up ? r->f_hi_hz - edge : edge - r->f_lo_hz;
    double window = fmax(WINDOW_BINS * bin, beyond / WINDOWS), lowest = INFINITY, highest = 0;
    if (beyond < 4 * window || beyond < 2 * AT_LINK_MARGIN * width)
        return false;
    double valley = edge;
    for (double d = bin; d + window <= beyond; d += window) {
        double lo = up ? edge + d : edge - d - window;
        double now = density(e, t->rate_hz, lo, lo + window);
        if (now < lowest) {
            lowest = now;
            highest = 0; /* peaks count behind the valley only */
            valley = lo + window / 2;
        } else if (now > highest) {
            highest = now;
            *ret_peak = lo + window / 2;
        }
    }
    *ret_at = valley;
    double known = density(e, t->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz);
    if (lowest * VALLEY > highest || lowest * VALLEY > known ||
        highest * AT_LINK_WEAKER_FAR < known)
        return false;
    double far = sign * (*ret_peak - valley);
    struct at_region own = {.f_lo_hz = k->e.f_lo_hz, .f_hi_hz = k->e.f_hi_hz},
                     other = {.f_lo_hz = *ret_peak - far / 2, .f_hi_hz = *ret_peak + far / 2};
    return fabs(at_measure_link(e, t->rate_hz, &own, &other, t->energy, t->other)) < LINKED;
}

static double peak_between(const struct at_epoch *e, double rate_hz, double lo, double hi)
{
    const struct at_map *m = e->slow.t ? &e->slow : &e->fast;
    unsigned a, b;
    at_measure_bins(m, rate_hz, lo, hi, &a, &b);
    unsigned peak = a;
    for (unsigned k = a; k < b; k++)
        peak = m->sum[k] > m->sum[peak] ? k : peak;
    return ((double)peak - 0.5 * m->n) * rate_hz / m->n;
}

/* Between lo and hi it rises from what it is at `at`, where a skirt would fall away. */
static bool rises(const struct at_tracker *t, const struct at_epoch *e, double lo, double hi,
                  double at)
{
    double bin = t->rate_hz / (e->slow.t ? t->n_slow : t->n_fast), half = WINDOW_BINS / 2.0 * bin,
           peak = peak_between(e, t->rate_hz, lo, hi);
    return fabs(peak - at) > half && density(e, t->rate_hz, peak - bin, peak + bin) >
                                         VALLEY * density(e, t->rate_hz, at - half, at + half);
}

/* Regions that reach over a place where emissions were parted are cut there; what hardly reaches
 * over it, and falls away from there, is a skirt. */
static size_t cut_at_stops(const struct at_tracker *t, const struct at_epoch *e,
                           struct at_region *r, size_t n, size_t max, unsigned *cuts)
{
    double bin = t->rate_hz / (e->slow.t ? t->n_slow : t->n_fast), at;
    for (size_t i = 0; i < n; i++) {
        while (n < max && stop_between(t, r[i].f_lo_hz + bin, r[i].f_hi_hz - bin, &at)) {
            double below = at - r[i].f_lo_hz, above = r[i].f_hi_hz - at, least = AT_LINK_MARGIN;
            r[i].cut = r[i].cut ? r[i].cut : ++*cuts;
            struct at_region other = r[i];
            r[i].f_hi_hz = other.f_lo_hz = at;
            if (below < least * above && !rises(t, e, r[i].f_lo_hz, at, at))
                r[i] = other;
            else if (above >= least * below || rises(t, e, at, other.f_hi_hz, at))
                r[n++] = other;
            r[i].peak_hz = peak_between(e, t->rate_hz, r[i].f_lo_hz, r[i].f_hi_hz);
            r[n - 1].peak_hz = peak_between(e, t->rate_hz, r[n - 1].f_lo_hz, r[n - 1].f_hi_hz);
        }
    }
    return n;
}

size_t at_link_cut(struct at_tracker *t, const struct at_epoch *e, struct at_region *r, size_t n,
                   size_t max)
{
    unsigned cuts = 0;
    if (e->clipped)
        return n;
    n = cut_at_stops(t, e, r, n, max, &cuts);
    for (size_t i = 0; i < n; i++) {
        for (unsigned j = 0; j < 2 * t->n_tracks && n < max; j++) {
            const struct at_track *k = t->tracks[j / 2];
            double at = 0, peak = 0;
            bool up = j % 2;
            if (!has_place(k) || !covers(&r[i], k) || !parted(t, e, &r[i], k, up, &at, &peak))
                continue;
            r[i].cut = r[i].cut ? r[i].cut : ++cuts;
            struct at_region other = r[i];
            *(up ? &r[i].f_hi_hz : &r[i].f_lo_hz) = at;
            *(up ? &other.f_lo_hz : &other.f_hi_hz) = at;
            bool peak_here = r[i].peak_hz >= r[i].f_lo_hz && r[i].peak_hz <= r[i].f_hi_hz;
            *(peak_here ? &other.peak_hz : &r[i].peak_hz) = peak_here ? peak : k->peak_hz;
            r[n++] = other; /* looked at in its turn: there may be more */
        }
    }
    return n;
}
