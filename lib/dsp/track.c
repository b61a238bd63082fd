/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/beside.h"
#include "lib/dsp/floor.h"
#include "lib/dsp/image.h"
#include "lib/dsp/lines.h"
#include "lib/dsp/link.h"
#include "lib/dsp/measure.h"
#include "lib/dsp/part.h"
#include "lib/dsp/sure.h"
#include "lib/dsp/whole.h"

#define BURST_ROWS  16  /* short rows of silence that part two bursts */
#define GROWTH      2.5 /* 4 dB: what a steady one may gain by growing wider */
#define FADING_SAME 1000.0
#define OCCUPIED    0.5 /* overlap over the union */
#define APART       3   /* epochs in which it must look like two */
#define CHANGED     4.0 /* 6 dB: a side that differs so from its mean was not there all along */
#define FORGET_S    1.0 /* spectra are halved so often: edges follow */

const char *at_floor_source_name(enum at_floor_source source)
{
    static const char *const names[] = {"measured", "learned", "assumed"};
    return (unsigned)source < 3 ? names[source] : "?";
}

int at_tracker_init(struct at_tracker *t, struct at_mem *mem, double rate_hz, unsigned n_fast,
                    unsigned n_slow, size_t max_rows, unsigned max_tracks)
{
    *t = (struct at_tracker){.mem = mem,
                             .rate_hz = rate_hz,
                             .n_fast = n_fast,
                             .n_slow = n_slow,
                             .max_tracks = max_tracks,
                             .max_rows = max_rows,
                             .next_id = 1};
    unsigned most = 2 * n_fast > n_slow ? 2 * n_fast : n_slow;
    t->tracks = at_mem_array(mem, AT_MEM_IQ, max_tracks, sizeof *t->tracks);
    t->on = at_mem_array(mem, AT_MEM_IQ, max_rows, 1);
    t->energy = at_mem_array(mem, AT_MEM_IQ, max_rows, sizeof(float));
    t->other = at_mem_array(mem, AT_MEM_IQ, max_rows, sizeof(float));
    t->scratch = at_mem_array(mem, AT_MEM_IQ, most, sizeof(float));
    t->before_fast = at_mem_array(mem, AT_MEM_IQ, n_fast, sizeof(float));
    t->before_slow = at_mem_array(mem, AT_MEM_IQ, n_slow, sizeof(float));
    if (!t->tracks || !t->on || !t->energy || !t->other || !t->scratch || !t->before_fast ||
        !t->before_slow) {
        at_tracker_finish(t);
        return -ENOMEM;
    }
    return 0;
}

static void free_spectra(struct at_mem *mem, struct at_spectra *s)
{
    at_mem_free(mem, s->sum);
    at_mem_free(mem, s->hold);
    at_mem_free(mem, s->cut);
    at_mem_free(mem, s->off);
}

static int take_spectra(struct at_mem *mem, struct at_spectra *s, unsigned n, bool cut)
{
    s->n = n;
    s->sum = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    s->hold = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    s->off = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    s->cut = cut ? at_mem_array(mem, AT_MEM_IQ, n, sizeof(float)) : NULL;
    return s->sum && s->hold && s->off && (s->cut || !cut) ? 0 : -ENOMEM;
}

static void free_track(struct at_tracker *t, struct at_track *k)
{
    free_spectra(t->mem, &k->fast);
    free_spectra(t->mem, &k->slow);
    at_mem_free(t->mem, k);
}

void at_tracker_finish(struct at_tracker *t)
{
    for (unsigned i = 0; i < t->n_tracks; i++)
        free_track(t, t->tracks[i]);
    t->n_tracks = 0;
    at_mem_free(t->mem, t->tracks);
    at_mem_free(t->mem, t->on);
    float **list[] = {&t->energy, &t->other, &t->scratch, &t->before_fast, &t->before_slow};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(t->mem, *list[i]);
        *list[i] = NULL;
    }
    t->tracks = NULL;
    t->on = NULL;
}

struct at_track *at_tracker_add(struct at_tracker *t, double f_lo_hz, double f_hi_hz,
                                uint64_t start)
{
    if (t->n_tracks >= t->max_tracks)
        return NULL;
    struct at_track *k = at_mem_alloc(t->mem, AT_MEM_IQ, sizeof *k);
    if (!k)
        return NULL;
    if (take_spectra(t->mem, &k->fast, t->n_fast, true) < 0 ||
        take_spectra(t->mem, &k->slow, t->n_slow, false) < 0) {
        free_track(t, k);
        return NULL;
    }
    k->pending = true;
    k->e =
        (struct at_emission){.f_lo_hz = f_lo_hz, .f_hi_hz = f_hi_hz, .start = start, .end = start};
    k->silent_since = k->decayed = start;
    k->stop_lo_hz = -INFINITY;
    k->stop_hi_hz = INFINITY;
    t->tracks[t->n_tracks++] = k;
    return k;
}

void at_tracker_remove(struct at_tracker *t, struct at_track *k)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        if (t->tracks[i] != k)
            continue;
        memmove(t->tracks + i, t->tracks + i + 1, (t->n_tracks - i - 1) * sizeof *t->tracks);
        t->n_tracks--;
        free_track(t, k);
        return;
    }
}

void at_tracker_absent(struct at_tracker *t, uint64_t n)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        k->silent_since += n;
        k->decayed += n;
        k->absent += n;
    }
}

void at_tracker_drop(struct at_tracker *t)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        k->dropped = !k->by_hand;
        k->e.energy = k->by_hand ? k->e.energy : 0;
    }
    t->has_before = false; /* what begins now was there before */
}

bool at_tracker_over(const struct at_tracker *t, const struct at_track *k, uint64_t now)
{
    if (k->by_hand)
        return now >= k->hand_end;
    return k->dropped || (double)(now - k->silent_since) > t->hang_s * t->rate_hz;
}

static bool ignored(const struct at_tracker *t, double lo, double hi)
{
    for (size_t i = 0; i < t->n_ignore; i++)
        if (lo >= t->ignore[i][0] && hi <= t->ignore[i][1])
            return true;
    return false;
}

/* ---- emissions ---- */

/* A line on a wide signal and what is far wider are two. */
static bool line_and_wide(const struct at_tracker *t, float over, double width_hz,
                          const struct at_track *k)
{
    return (over > 0 || k->over > 0) && at_lines_differ(t, width_hz, k->e.f_hi_hz - k->e.f_lo_hz);
}

/* A burst over a spur is not the spur, and what is left of a burst's band when it is off is not the
 * burst: beside the place the level must agree, unless the place is the very same. */
bool at_track_matches(const struct at_tracker *t, const struct at_region *r,
                      const struct at_track *k)
{
    double bin = t->rate_hz / (r->is_long ? t->n_slow : t->n_fast);
    double gap = at_link_gap_hz(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
    if (gap > 2.5 * bin || line_and_wide(t, r->over, r->f_hi_hz - r->f_lo_hz, k))
        return false;
    double like = at_link_likeness(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
    double ratio = r->level / fmax(k->power_s / fmax(k->on_s, 1e-12), 1e-30);
    bool same_peak = fabs(r->peak_hz - k->peak_hz) <= 1.5 * bin;
    if (like > 0.5 ||
        same_peak) /* of a burst that an epoch shows the first row of no level is known */
        return ratio > 1 / FADING_SAME || r->level <= AT_LINK_NO_LEVEL;
    if (ratio < 1 / AT_LINK_FADING || ratio > AT_LINK_FADING)
        return false;
    if (-gap > 0.5 * (r->f_hi_hz - r->f_lo_hz) - 2.5 * bin &&
        r->f_hi_hz - r->f_lo_hz < k->e.f_hi_hz - k->e.f_lo_hz)
        return true; /* part of it */
    /* It grew: around its own peak, or to something of its own strength beside it. */
    bool around = k->peak_hz > r->f_lo_hz - bin && k->peak_hz < r->f_hi_hz + bin &&
                  r->peak_hz > k->e.f_lo_hz - 2.5 * bin && r->peak_hz < k->e.f_hi_hz + 2.5 * bin;
    return -gap > 0.5 * (k->e.f_hi_hz - k->e.f_lo_hz) - 2.5 * bin && (around || ratio < GROWTH);
}

static double level_of(const struct at_track *k)
{
    double level = k->on_s > 0 ? k->power_s / k->on_s : 0;
    return k->is_seen ? fmax(level, k->seen.level) : level;
}

/* Most of it lies in the band of one that is there in this epoch, and it is no stronger: part of
 * it, whatever it looks like for the moment. */
static bool within(const struct at_tracker *t, const struct at_region *r, const struct at_track *k)
{
    if (!k->is_seen || r->level > GROWTH * level_of(k) ||
        line_and_wide(t, r->over, r->f_hi_hz - r->f_lo_hz, k))
        return false;
    double lo = fmin(k->e.f_lo_hz, k->seen.f_lo_hz), hi = fmax(k->e.f_hi_hz, k->seen.f_hi_hz);
    double bin = t->rate_hz / (r->is_long ? t->n_slow : t->n_fast);
    double margin = fmax(1.5 * bin, AT_LINK_MARGIN * (hi - lo)), width = r->f_hi_hz - r->f_lo_hz;
    return -at_link_gap_hz(r->f_lo_hz, r->f_hi_hz, lo - margin, hi + margin) > 0.7 * width;
}

typedef bool (*fits)(const struct at_tracker *t, const struct at_region *r,
                     const struct at_track *k);

static struct at_track *find_track(struct at_tracker *t, const struct at_region *r, fits fit)
{
    struct at_track *best = NULL;
    double most = 0;
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        if (k->by_hand || k->dropped || !fit(t, r, k))
            continue;
        double like = at_link_likeness(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
        if (!best || like > most) {
            best = k;
            most = like;
        }
    }
    return best;
}

/* The one with more energy lives on; of parted ones that which was reported; never what may be a
 * skirt instead of what makes it. */
static bool gives_way(const struct at_track *k, const struct at_track *into)
{
    if (k->fringe != into->fringe)
        return k->fringe;
    if ((k->parted || into->parted) && k->pending != into->pending)
        return k->pending;
    return k->power_s <= into->power_s;
}

/* Two tracks that came to cover the same band at the same time are one, and what turned up later
 * within a stronger one's band is part of it: the one with more energy lives on. */
static void absorb(struct at_tracker *t, const struct at_epoch *e, struct at_track *into)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        if (k == into || k->by_hand || k->dropped || !gives_way(k, into))
            continue;
        if (line_and_wide(t, k->over, k->e.f_hi_hz - k->e.f_lo_hz, into))
            continue;
        if (at_link_parted(t, into->e.f_lo_hz, into->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz))
            continue;
        double width = fmax(k->e.f_hi_hz - k->e.f_lo_hz, t->rate_hz / t->n_slow);
        double margin = level_of(k) * 3 < level_of(into)
                            ? AT_LINK_MARGIN * (into->e.f_hi_hz - into->e.f_lo_hz)
                            : 0;
        bool inside = -at_link_gap_hz(into->e.f_lo_hz - margin, into->e.f_hi_hz + margin,
                                      k->e.f_lo_hz, k->e.f_hi_hz) > 0.7 * width;
        bool younger = k->e.start + (e->end - e->index) >= into->e.start;
        bool same =
            at_link_likeness(into->e.f_lo_hz, into->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) >= 0.6;
        bool placed = k->parted && !k->pending; /* it was parted from what lies around it */
        if (!same && (placed || !(inside && younger)))
            continue;
        k->dropped = true;
        if (same && into->pending && k->e.start < into->e.start)
            into->e.start = k->e.start;
    }
}

static void copy_spectra(struct at_spectra *to, const struct at_spectra *from)
{
    to->rows = from->rows;
    to->rows_off = from->rows_off;
    to->rows_full = from->rows_full;
    memcpy(to->sum, from->sum, to->n * sizeof(float));
    memcpy(to->hold, from->hold, to->n * sizeof(float));
    memcpy(to->off, from->off, to->n * sizeof(float));
    to->rows_cut = from->rows_cut;
    if (to->cut)
        memcpy(to->cut, from->cut, to->n * sizeof(float));
}

static void halve(struct at_spectra *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        s->sum[i] *= 0.5f;
        s->off[i] *= 0.5f;
        s->hold[i] *= 0.8f;
    }
    for (unsigned i = 0; s->cut && i < s->n; i++)
        s->cut[i] *= 0.5f;
    s->rows *= 0.5;
    s->rows_cut *= 0.5;
    s->rows_off *= 0.5;
}

/* What stood there before a burst is not part of it. */
static void take_before(const struct at_tracker *t, struct at_track *k)
{
    memcpy(k->fast.off, t->before_fast, t->n_fast * sizeof(float));
    memcpy(k->slow.off, t->before_slow, t->n_slow * sizeof(float));
    k->fast.rows_off = k->slow.rows_off = 1;
}

static void mean_rows(const struct at_map *m, float *out)
{
    float per = m->t ? 1 / (float)m->t : 0;
    for (unsigned k = 0; k < m->n; k++)
        out[k] = m->sum[k] * per;
}

static void count_bursts(struct at_tracker *t, struct at_track *k, const struct at_epoch *e,
                         const struct at_on *on)
{
    const struct at_map *m = &e->fast;
    uint64_t gap = (uint64_t)BURST_ROWS * m->hop;
    for (size_t i = 0; i < m->t; i++) {
        if (!on->rows[i])
            continue;
        uint64_t from = m->first + i * m->hop + m->span / 4, to = from + m->span / 2;
        if (from < k->e.start && k->epochs)
            from = k->e.start;
        if (k->e.bursts == 0 || from > k->silent_since + gap) {
            k->e.bursts++;
            if (k->e.bursts == 1)
                k->e.start = from;
        }
        if (to > k->silent_since)
            k->silent_since = to;
    }
    k->e.end = k->silent_since;
}

static void set_levels(const struct at_tracker *t, struct at_track *k)
{
    double power = k->power_s / k->on_s,
           width = fmax(k->e.f_hi_hz - k->e.f_lo_hz, t->rate_hz / t->n_slow);
    double noise = k->noise_s / k->on_s * width;
    k->e.energy = k->power_s;
    k->e.level_dbfs = (float)(10 * log10(fmax(power + k->beside_s / k->on_s, 1e-30)));
    k->e.snr_db = (float)(10 * log10(fmax(power, 1e-30) / fmax(noise, 1e-30)));
}

static void update(struct at_tracker *t, struct at_track *k, const struct at_epoch *e,
                   const struct at_region *r)
{
    double lo = fmin(k->epochs ? k->e.f_lo_hz : r->f_lo_hz, r->f_lo_hz);
    double hi = fmax(k->epochs ? k->e.f_hi_hz : r->f_hi_hz, r->f_hi_hz);
    struct at_on on = {.rows = t->on, .energy = t->energy, .smooth = r->alone ? t->other : NULL};
    double width = k->e.f_hi_hz - k->e.f_lo_hz;
    if (k->epochs >= 3 && k->e.duty > 0.9f && hi - lo > 3 * width &&
        r->level < GROWTH * k->power_s / k->on_s) {
        lo = k->e.f_lo_hz - width; /* a steady one that seems wider, but no stronger, is not */
        hi = k->e.f_hi_hz + width;
    }
    bool known = k->epochs > 1 &&
                 !k->moved; /* then on and off are its own band's, whatever stands beside it */
    at_measure_on(e, t->rate_hz, known ? k->e.f_lo_hz : lo, known ? k->e.f_hi_hz : hi,
                  known ? k->power_s / k->on_s : 0, &on);
    k->moved = false;
    if (k->over > 0 && !(r->over > 0))
        at_lines_alone(k);
    on.power -= fmin(at_lines_on(t, e, k), 0.99 * on.power);
    if (on.n_on == 0 || !(on.power > 0) || at_sure_gone(k, r, &on)) {
        k->on = false;
        return;
    }
    if (k->epochs == 0 && t->has_before && !on.steady)
        take_before(t, k);
    at_measure_add(k, e, &on);
    count_bursts(t, k, e, &on);
    double row_s = e->fast.hop / t->rate_hz, on_s = (double)on.n_on * row_s;
    k->on_s += on_s;
    k->power_s += on.power * on_s;
    k->beside_s += on.beside * on_s;
    k->noise_s += on.noise_density * on_s;
    k->on = on.on_at_end;
    k->clipped_s += e->clipped ? on_s : 0;
    k->epochs++;
    k->e.gap = k->e.gap || (e->gap && k->e.start < e->index);
    k->e.floor_source = e->floor_source;
    double life = (double)(k->e.end - k->e.start - k->absent) / t->rate_hz;
    k->e.duty = life > 0 ? (float)fmin(k->on_s / life, 1) : 1;
    at_link_stops(t, (r->f_lo_hz + r->f_hi_hz) / 2, &k->stop_lo_hz, &k->stop_hi_hz);
    at_measure_edges(k, e, t->rate_hz, fmax(lo, k->stop_lo_hz), fmin(hi, k->stop_hi_hz),
                     t->scratch);
    set_levels(t, k);
    at_sure_see(t, k, e, r, on.steady && on.n_on == e->fast.t);
    if (k->pending)
        at_image_see(k, e);
    double bin = t->rate_hz / t->n_fast;
    k->e.band_edge = k->e.f_lo_hz < -t->rate_hz / 2 + bin || k->e.f_hi_hz > t->rate_hz / 2 - bin;
    if ((double)(e->end - k->decayed) > FORGET_S * t->rate_hz) {
        halve(&k->fast);
        halve(&k->slow);
        k->decayed = e->end;
    }
}

/* Another emission that was reported has its place between lo and hi. */
static bool occupied(const struct at_tracker *t, const struct at_track *k, double lo, double hi)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *j = t->tracks[i];
        if (j != k && !j->by_hand && !j->dropped && !j->pending &&
            at_link_likeness(lo, hi, j->e.f_lo_hz, j->e.f_hi_hz) > OCCUPIED)
            return true;
    }
    return false;
}

/* Of what k was until now one side remains. */
static void keep_side(struct at_tracker *t, struct at_track *k, const struct at_epoch *e,
                      double at_hz, bool above, double share)
{
    *(above ? &k->stop_lo_hz : &k->stop_hi_hz) = at_hz;
    *(above ? &k->e.f_lo_hz : &k->e.f_hi_hz) = at_hz;
    k->parted = k->sure = true;
    k->power_s *= share;
    k->beside_s *= share;
    at_measure_edges(k, e, t->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, t->scratch);
    set_levels(t, k);
}

/* A track of its own for the other side of k, of which it was a part for `since` of its life. */
static int leave(struct at_tracker *t, const struct at_track *k, const struct at_epoch *e,
                 double at_hz, bool above, double share, double since)
{
    struct at_track *other = at_tracker_add(t, k->e.f_lo_hz, k->e.f_hi_hz, k->e.start);
    if (!other)
        return -ENOMEM;
    struct at_track made = *k;
    made.fast = other->fast;
    made.slow = other->slow;
    copy_spectra(&made.fast, &k->fast);
    copy_spectra(&made.slow, &k->slow);
    made.e.id = 0;
    made.pending = true;
    made.user = NULL;
    made.mirror = (struct at_mirror){0};
    made.mirror_noise = 0;
    made.mirrored = 0;
    made.is_seen = false;
    if (since < 1) {
        double on = since * k->on_s * t->rate_hz;
        made.e.start = e->end - (uint64_t)fmin(on, (double)(e->end - k->e.start));
        made.absent = 0;
        made.on_s *= since;
        made.noise_s *= since;
        made.clipped_s *= since;
    }
    *other = made;
    keep_side(t, other, e, at_hz, above, share);
    return 0;
}

/* k keeps the side of at_hz that was the stronger one, or that which is no other's. A new track
 * gets the other side, from when it came; what is gone gets none. 0 or -ENOMEM. */
static int part(struct at_tracker *t, struct at_track *k, const struct at_epoch *e, double at_hz)
{
    double lo = k->e.f_lo_hz, hi = k->e.f_hi_hz, bin = t->rate_hz / t->n_slow;
    if (t->n_tracks >= t->max_tracks || at_hz < lo + bin || at_hz > hi - bin)
        return 0; /* its edges have left a joint that it was to be parted at */
    double below = at_part_power(k, &e->slow, t->rate_hz, lo, at_hz),
           above = at_part_power(k, &e->slow, t->rate_hz, at_hz, hi), all = below + above;
    if (!(below > 0) || !(above > 0))
        return 0;
    bool taken_below = occupied(t, k, lo, at_hz), taken_above = occupied(t, k, at_hz, hi);
    bool up = taken_below != taken_above ? taken_below : above > below; /* k moves up */
    double life = up ? below : above;
    double now = at_measure_power(&e->slow, t->rate_hz, up ? lo : at_hz, up ? at_hz : hi);
    int ret = 0;
    if (now * CHANGED > life && !at_image_in(e, up ? lo : at_hz, up ? at_hz : hi))
        ret = leave(t, k, e, at_hz, !up, life / all, now > CHANGED * life ? life / now : 1);
    if (ret == 0)
        keep_side(t, k, e, at_hz, up, 1 - life / all);
    return ret;
}

/* What was one until now may be several whose skirts meet. */
static int part_all(struct at_tracker *t, struct at_track *k, const struct at_epoch *e)
{
    double at;
    if (!k->by_hand && !k->dropped && at_part_joint(k, e, t->energy, t->other, &at)) {
        int ret = part(t, k, e, at);
        if (ret < 0)
            return ret;
    }
    while (!k->by_hand && !k->dropped) {
        if (!at_part_find(k, e, t->scratch, t->energy, t->other, &at) ||
            at_link_modulates(e, k, at)) {
            k->apart = 0;
            return 0;
        }
        if (++k->apart < APART)
            return 0;
        k->apart = APART - 1;
        unsigned n = t->n_tracks;
        int ret = part(t, k, e, at);
        if (ret < 0 || t->n_tracks == n)
            return ret;
        t->tracks[n]->apart = APART - 1;
        ret = part_all(t, t->tracks[n], e);
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Opened by hand: levels only, edges and times stand. */
static void update_by_hand(struct at_tracker *t, struct at_track *k, const struct at_epoch *e)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    if (e->end <= k->e.start || e->index >= k->hand_end)
        return;
    at_measure_on(e, t->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, 0, &on);
    if (on.n_on == 0)
        return;
    double on_s = (double)on.n_on * e->fast.hop / t->rate_hz;
    k->on_s += on_s;
    k->power_s += on.power * on_s;
    k->beside_s += on.beside * on_s;
    k->noise_s += on.noise_density * on_s;
    set_levels(t, k);
}

/* It says nothing of an emission that was there before: neither grew it there, nor rose to that. */
static bool grows(const struct at_tracker *t, const struct at_region *r, const struct at_track *k)
{
    double bin = t->rate_hz / (r->is_long ? t->n_slow : t->n_fast);
    double margin = fmax(2.5 * bin, AT_LINK_MARGIN * (k->e.f_hi_hz - k->e.f_lo_hz));
    return r->f_lo_hz < k->e.f_lo_hz - margin || r->f_hi_hz > k->e.f_hi_hz + margin ||
           r->level > AT_LINK_FADING * level_of(k);
}

/* What a clipping one hides is not over: it is looked for again when that one is off. */
static void keep_hidden(struct at_tracker *t, const struct at_epoch *e, float strongest)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        if (!k->is_seen && !k->by_hand && !k->pending &&
            strongest > AT_LINK_WEAKER_FAR * level_of(k) && k->silent_since < e->end)
            k->silent_since = e->end;
    }
}

static void see(struct at_track *k, const struct at_region *r)
{
    at_part_see(k, r);
    if (k->is_seen)
        at_link_join(&k->seen, r);
    else
        k->seen = *r;
    k->is_seen = true;
    k->over = k->seen.over > 0 ? k->seen.over : k->over;
}

int at_tracker_run(struct at_tracker *t, const struct at_epoch *epoch, struct at_region *regions,
                   size_t n)
{
    t->n_artefacts = 0;
    n = at_link_cut(t, epoch, regions, n, 2 * AT_TRACK_MAX_REGIONS);
    n = at_link_regions(t, epoch, regions, n);
    for (size_t i = 0; i < n; i++)
        regions[i].alone = at_beside_none(epoch, regions, i);
    for (unsigned i = 0; i < t->n_tracks; i++) {
        t->tracks[i]->was_on = t->tracks[i]->on;
        t->tracks[i]->on = t->tracks[i]->over_joint = false;
        t->tracks[i]->sides[0] = t->tracks[i]->sides[1] = NULL;
        if (t->tracks[i]->by_hand)
            update_by_hand(t, t->tracks[i], epoch);
    }
    /* First those that are a track's own, then what lies within one of these, then the new. */
    for (size_t i = 0; i < n; i++) {
        struct at_track *k = find_track(t, &regions[i], at_track_matches);
        regions[i].taken = k != NULL;
        bool product =
            k && at_beside_product(epoch, regions, i) && !k->is_seen && grows(t, &regions[i], k);
        if (product ||
            (k && k->pending && k->fringe && at_beside_lobe(t, epoch, regions, n, i, false)))
            t->n_artefacts++;
        else if (k)
            see(k, &regions[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (regions[i].taken || ignored(t, regions[i].f_lo_hz, regions[i].f_hi_hz))
            continue;
        struct at_track *k = find_track(t, &regions[i], within);
        if (!k && (k = at_whole_sweep(t, epoch, &regions[i])))
            k->moved = true;
        if (!k && (at_beside_doubtful(t, epoch, regions, n, i) ||
                   (regions[i].over > 0 && at_lines_modulated(epoch, &regions[i])))) {
            t->n_artefacts++;
            continue;
        }
        if (!k && t->n_tracks >= t->max_tracks)
            continue;
        bool is_new = !k;
        if (!k)
            k = at_tracker_add(t, regions[i].f_lo_hz, regions[i].f_hi_hz, epoch->index);
        if (!k)
            return -ENOMEM;
        k->fringe = is_new ? regions[i].over > 0 || at_beside_product(epoch, regions, i) ||
                                 at_beside_fringe(t, epoch, regions, i) ||
                                 at_beside_lobe(t, epoch, regions, n, i, true)
                           : k->fringe;
        k->faint = is_new ? regions[i].faint : k->faint;
        see(k, &regions[i]);
    }
    if (epoch->clipped && n > 0)
        keep_hidden(t, epoch, regions[0].level);
    unsigned n_before = t->n_tracks;
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        if (!k->is_seen)
            continue;
        k->is_seen = false;
        k->last = k->seen;
        update(t, k, epoch, &k->seen);
        absorb(t, epoch, k);
        if (k->epochs == 0)
            k->dropped = true; /* seen, but never above its own noise */
        int ret = part_all(t, k, epoch);
        if (ret < 0)
            return ret;
    }
    for (unsigned i = 0; t->n_tracks > n_before && i < t->n_tracks; i++)
        if (!t->tracks[i]->by_hand && !t->tracks[i]->dropped)
            absorb(t, epoch, t->tracks[i]); /* what was parted may have been there already */
    mean_rows(&epoch->fast, t->before_fast);
    mean_rows(&epoch->slow, t->before_slow);
    t->has_before = epoch->slow.t > 0;
    return 0;
}
