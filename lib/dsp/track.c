/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/track.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/measure.h"

#define BURST_ROWS 16    /* short rows of silence that part two bursts */
#define WEAKER     300.0 /* 25 dB below a co-timed one: splatter, image, clipping product */
#define WEAKER_FAR 10.0  /* 10 dB, where it stands at the mirror frequency or the converter clips  \
                          */
#define LINKED   0.6     /* correlation of envelopes */
#define FORGET_S 1.0     /* spectra are halved so often: edges follow */

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
    t->tracks = at_mem_array(mem, AT_MEM_IQ, max_tracks, sizeof *t->tracks);
    t->on = at_mem_array(mem, AT_MEM_IQ, max_rows, 1);
    t->energy = at_mem_array(mem, AT_MEM_IQ, max_rows, sizeof(float));
    t->other = at_mem_array(mem, AT_MEM_IQ, max_rows, sizeof(float));
    if (!t->tracks || !t->on || !t->energy || !t->other) {
        at_tracker_finish(t);
        return -ENOMEM;
    }
    return 0;
}

static void free_track(struct at_tracker *t, struct at_track *k)
{
    if (!k)
        return;
    at_mem_free(t->mem, k->sum_fast);
    at_mem_free(t->mem, k->hold_fast);
    at_mem_free(t->mem, k->sum_slow);
    at_mem_free(t->mem, k->hold_slow);
    at_mem_free(t->mem, k);
}

void at_tracker_finish(struct at_tracker *t)
{
    for (unsigned i = 0; i < t->n_tracks; i++)
        free_track(t, t->tracks[i]);
    t->n_tracks = 0;
    at_mem_free(t->mem, t->tracks);
    at_mem_free(t->mem, t->on);
    at_mem_free(t->mem, t->energy);
    at_mem_free(t->mem, t->other);
    t->tracks = NULL;
    t->on = NULL;
    t->energy = t->other = NULL;
}

struct at_track *at_tracker_add(struct at_tracker *t, double f_lo_hz, double f_hi_hz,
                                uint64_t start)
{
    if (t->n_tracks >= t->max_tracks)
        return NULL;
    struct at_track *k = at_mem_alloc(t->mem, AT_MEM_IQ, sizeof *k);
    if (!k)
        return NULL;
    k->n_fast = t->n_fast;
    k->n_slow = t->n_slow;
    k->sum_fast = at_mem_array(t->mem, AT_MEM_IQ, t->n_fast, sizeof(float));
    k->hold_fast = at_mem_array(t->mem, AT_MEM_IQ, t->n_fast, sizeof(float));
    k->sum_slow = at_mem_array(t->mem, AT_MEM_IQ, t->n_slow, sizeof(float));
    k->hold_slow = at_mem_array(t->mem, AT_MEM_IQ, t->n_slow, sizeof(float));
    if (!k->sum_fast || !k->hold_fast || !k->sum_slow || !k->hold_slow) {
        free_track(t, k);
        return NULL;
    }
    k->pending = true;
    k->e =
        (struct at_emission){.f_lo_hz = f_lo_hz, .f_hi_hz = f_hi_hz, .start = start, .end = start};
    k->silent_since = k->decayed = start;
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

/* ---- linking regions of one epoch ---- */

/* Closer in frequency than this they are one for sure. */
static double near_hz(const struct at_tracker *t, const struct at_region *a,
                      const struct at_region *b)
{
    double bin = t->rate_hz / (a->is_long && b->is_long ? t->n_slow : t->n_fast);
    double w = (a->f_hi_hz - a->f_lo_hz) + (b->f_hi_hz - b->f_lo_hz);
    return fmax(2.5 * bin, 0.1 * w);
}

static double gap_hz(double alo, double ahi, double blo, double bhi)
{
    return fmax(alo, blo) - fmin(ahi, bhi);
}

static double power_of(const struct at_tracker *t, const struct at_epoch *e,
                       const struct at_region *r)
{
    const struct at_map *m = r->is_long ? &e->slow : &e->fast;
    return at_measure_power(m, t->rate_hz, r->f_lo_hz, r->f_hi_hz);
}

/* A region that shares its time with a far stronger one is its splatter, image or clipping product.
 */
static bool artefact(struct at_tracker *t, const struct at_epoch *e, const struct at_region *strong,
                     const struct at_region *weak, double ratio, double link)
{
    double mid = (weak->f_lo_hz + weak->f_hi_hz) / 2;
    bool mirror = -mid > strong->f_lo_hz - 0.1 * t->rate_hz / t->n_fast &&
                  -mid < strong->f_hi_hz + 0.1 * t->rate_hz / t->n_fast;
    if (mirror && ratio > WEAKER_FAR &&
        (link > LINKED || (e->mirror && e->mirror(e->ctx, weak->f_lo_hz, weak->f_hi_hz) > 0.5)))
        return true;
    if (link > LINKED && ratio > (e->clipped ? WEAKER_FAR : WEAKER))
        return true;
    return false;
}

static void join(struct at_region *a, const struct at_region *b)
{
    a->f_lo_hz = fmin(a->f_lo_hz, b->f_lo_hz);
    a->f_hi_hz = fmax(a->f_hi_hz, b->f_hi_hz);
    a->peak = fmaxf(a->peak, b->peak);
    a->is_long = a->is_long && b->is_long;
}

static int by_power(const void *a, const void *b)
{
    const struct at_region *x = a, *y = b;
    return (x->peak < y->peak) - (x->peak > y->peak);
}

/* Merges what belongs together and drops artefacts; strongest first. Returns how many are left. */
static size_t link_regions(struct at_tracker *t, const struct at_epoch *e, struct at_region *r,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double p = power_of(t, e, &r[i]);
        r[i].peak = (float)fmax(p, 1e-30);
    }
    qsort(r, n, sizeof *r, by_power);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n;) {
            double gap = gap_hz(r[i].f_lo_hz, r[i].f_hi_hz, r[j].f_lo_hz, r[j].f_hi_hz);
            double w = (r[i].f_hi_hz - r[i].f_lo_hz) + (r[j].f_hi_hz - r[j].f_lo_hz);
            double ratio = r[i].peak / r[j].peak;
            double link = at_measure_link(&e->fast, t->rate_hz, &r[i], &r[j], t->energy, t->other);
            bool one = gap <= near_hz(t, &r[i], &r[j]);
            bool bad = !one && artefact(t, e, &r[i], &r[j], ratio, link);
            one = one || (!bad && ratio < WEAKER && gap < 12 * w && fabs(link) > LINKED);
            if (!bad && !one) {
                j++;
                continue;
            }
            if (one && ratio < 1000)
                join(&r[i], &r[j]);
            t->n_artefacts += bad;
            memmove(r + j, r + j + 1, (n - j - 1) * sizeof *r);
            n--;
            if (one && ratio < 1000)
                j = i + 1; /* it grew: look again */
        }
    }
    return n;
}

/* ---- emissions ---- */

static struct at_track *find_track(struct at_tracker *t, const struct at_region *r)
{
    struct at_track *best = NULL;
    double most = 0;
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        if (k->by_hand || k->dropped)
            continue;
        double both = -gap_hz(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
        double least = fmin(r->f_hi_hz - r->f_lo_hz, k->e.f_hi_hz - k->e.f_lo_hz);
        double bin = t->rate_hz / (r->is_long ? t->n_slow : t->n_fast);
        if (both < 0.25 * least && both < -2.5 * bin)
            continue;
        if (!best || both > most) {
            best = k;
            most = both;
        }
    }
    return best;
}

/* Two tracks that came to cover the same band are one: the older lives on. */
static void absorb(struct at_tracker *t, struct at_track *into)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        if (k == into || k->by_hand || !k->pending || k->dropped)
            continue;
        double both = -gap_hz(into->e.f_lo_hz, into->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
        if (both > 0.7 * (k->e.f_hi_hz - k->e.f_lo_hz)) {
            k->dropped = true;
            into->e.start =
                k->e.start < into->e.start && into->pending ? k->e.start : into->e.start;
        }
    }
}

static void halve(struct at_track *k)
{
    for (unsigned i = 0; i < k->n_fast; i++) {
        k->sum_fast[i] *= 0.5f;
        k->hold_fast[i] *= 0.8f;
    }
    for (unsigned i = 0; i < k->n_slow; i++) {
        k->sum_slow[i] *= 0.5f;
        k->hold_slow[i] *= 0.8f;
    }
    k->rows_fast *= 0.5;
    k->rows_slow *= 0.5;
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
    k->e.level_dbfs = (float)(10 * log10(fmax(power, 1e-30)));
    k->e.snr_db = (float)(10 * log10(fmax(power, 1e-30) / fmax(noise, 1e-30)));
}

static void update(struct at_tracker *t, struct at_track *k, const struct at_epoch *e,
                   const struct at_region *r)
{
    double lo = fmin(k->epochs ? k->e.f_lo_hz : r->f_lo_hz, r->f_lo_hz);
    double hi = fmax(k->epochs ? k->e.f_hi_hz : r->f_hi_hz, r->f_hi_hz);
    struct at_on on = {.rows = t->on, .energy = t->energy};
    at_measure_on(e, t->rate_hz, lo, hi, &on);
    if (on.n_on == 0) {
        k->on = false;
        return;
    }
    at_measure_add(k, e, &on);
    count_bursts(t, k, e, &on);
    double row_s = e->fast.hop / t->rate_hz, on_s = (double)on.n_on * row_s;
    k->on_s += on_s;
    k->power_s += on.power * on_s;
    k->noise_s += on.noise_density * on_s;
    k->on = on.on_at_end;
    k->epochs++;
    k->e.gap = k->e.gap || (e->gap && k->e.start < e->index);
    k->e.floor_source = e->floor_source;
    double life = (double)(k->e.end - k->e.start) / t->rate_hz;
    k->e.duty = life > 0 ? (float)fmin(k->on_s / life, 1) : 1;
    at_measure_edges(k, e, t->rate_hz, lo, hi);
    set_levels(t, k);
    double bin = t->rate_hz / t->n_fast;
    k->e.band_edge = k->e.f_lo_hz < -t->rate_hz / 2 + bin || k->e.f_hi_hz > t->rate_hz / 2 - bin;
    if ((double)(e->end - k->decayed) > FORGET_S * t->rate_hz) {
        halve(k);
        k->decayed = e->end;
    }
}

/* Opened by hand: levels only, edges and times stand. */
static void update_by_hand(struct at_tracker *t, struct at_track *k, const struct at_epoch *e)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    if (e->end <= k->e.start || e->index >= k->hand_end)
        return;
    at_measure_on(e, t->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, &on);
    if (on.n_on == 0)
        return;
    double on_s = (double)on.n_on * e->fast.hop / t->rate_hz;
    k->on_s += on_s;
    k->power_s += on.power * on_s;
    k->noise_s += on.noise_density * on_s;
    set_levels(t, k);
}

int at_tracker_run(struct at_tracker *t, const struct at_epoch *epoch, struct at_region *regions,
                   size_t n)
{
    t->n_artefacts = 0;
    n = link_regions(t, epoch, regions, n);
    for (unsigned i = 0; i < t->n_tracks; i++) {
        t->tracks[i]->on = false;
        if (t->tracks[i]->by_hand)
            update_by_hand(t, t->tracks[i], epoch);
    }
    for (size_t i = 0; i < n; i++) {
        if (ignored(t, regions[i].f_lo_hz, regions[i].f_hi_hz))
            continue;
        struct at_track *k = find_track(t, &regions[i]);
        if (!k) {
            if (t->n_tracks >= t->max_tracks)
                continue;
            k = at_tracker_add(t, regions[i].f_lo_hz, regions[i].f_hi_hz, epoch->index);
            if (!k)
                return -ENOMEM;
        }
        update(t, k, epoch, &regions[i]);
        absorb(t, k);
        if (k->epochs == 0)
            k->dropped = true; /* seen, but never above its own noise */
    }
    return 0;
}
