/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/whole.h"

#include <math.h>

#include "lib/dsp/link.h"
#include "lib/dsp/measure.h"

#define INSIDE   0.7  /* of its band lies within the whole's */
#define STRONGER 2.5f /* 4 dB: a part is no stronger than that */
#define VOICE_HZ                                                                                   \
    25e3 /* channels that hold speech: its weak sounds lie 30 dB below its strong ones */
#define STEADY     0.9f  /* of its life on: no sound of speech, if it lasts */
#define SOUND_S    0.3   /* a vowel is over by then */
#define SAME       2.0   /* 3 dB: a sweep keeps its level */
#define MEET       0.2   /* of the narrower one's band is the other's, too */
#define STEADY_TWO 0.95f /* of their lives on: they take no turns */
#define TURNS      3     /* bursts of each */
#define CROSSING   0.2   /* of the time: so much may it differ */
#define ROWS_ON    4     /* of the short spectra, the first of an epoch, in which a sweep goes on */

static double level_of(const struct at_track *k)
{
    return k->on_s > 0 ? k->power_s / k->on_s : 0;
}

struct at_track *at_whole_find(const struct at_tracker *t, const struct at_track *k, uint64_t slack)
{
    double width = fmax(k->e.f_hi_hz - k->e.f_lo_hz, t->rate_hz / t->n_slow);
    struct at_track *best = NULL;
    if (k->over > 0 || k->by_hand)
        return NULL; /* it stands on another, or is what somebody says */
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *j = t->tracks[i];
        double wide = j->e.f_hi_hz - j->e.f_lo_hz;
        if (j == k || j->by_hand || j->dropped || wide < width || (wide <= width && j->pending))
            continue;
        bool inside = -at_link_gap_hz(j->e.f_lo_hz, j->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) >
                      INSIDE * width;
        bool before = k->e.start + slack >= j->e.start;
        /* What comes up in a wide one's pauses may be another, in a voice channel's it is not. */
        bool meanwhile = j->silent_since > k->e.start || wide < VOICE_HZ;
        if (!inside || !before || !meanwhile || level_of(k) > STRONGER * level_of(j))
            continue;
        if (!best || best->pending > j->pending || best->power_s < j->power_s)
            best = j;
    }
    return best;
}

void at_whole_take(struct at_track *whole, const struct at_track *k)
{
    if (k->silent_since > whole->silent_since)
        whole->silent_since = k->silent_since;
    if (k->e.end > whole->e.end)
        whole->e.end = k->e.end;
    if (k->e.start < whole->e.start && whole->pending)
        whole->e.start = k->e.start;
    whole->sure =
        whole->sure || k->sure; /* what began as a skirt and holds what is sure is no skirt */
}

/* On for as large a share of the time as a sweep over all of both takes to cross it. */
static bool is_crossed(const struct at_track *k, double all_hz)
{
    return fabs((double)k->e.duty - (k->e.f_hi_hz - k->e.f_lo_hz) / all_hz) < CROSSING;
}

struct at_track *at_whole_turns(const struct at_tracker *t, const struct at_track *k,
                                bool *ret_sure)
{
    for (unsigned i = 0; i < t->n_tracks && !k->by_hand && !(k->over > 0); i++) {
        struct at_track *j = t->tracks[i];
        double ratio = level_of(k) / fmax(level_of(j), 1e-30),
               all = fmax(k->e.f_hi_hz, j->e.f_hi_hz) - fmin(k->e.f_lo_hz, j->e.f_lo_hz),
               narrower = fmin(k->e.f_hi_hz - k->e.f_lo_hz, j->e.f_hi_hz - j->e.f_lo_hz);
        bool meet = -at_link_gap_hz(j->e.f_lo_hz, j->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) >
                    MEET * narrower,
             apart = k->silent_since < j->e.start ||
                     j->silent_since<k->e.start, steady = k->e.duty> STEADY_TWO &&
                         j->e.duty > STEADY_TWO;
        if (j == k || j->by_hand || j->dropped || (j->pending && j->e.start >= k->e.start) ||
            j->over > 0 || !meet || apart || steady || ratio > SAME || ratio * SAME < 1)
            continue;
        *ret_sure = !j->pending && k->e.bursts >= TURNS && j->e.bursts >= TURNS &&
                    is_crossed(k, all) && is_crossed(j, all);
        return j;
    }
    return NULL;
}

static void join_spectra(struct at_spectra *to, const struct at_spectra *from)
{
    for (unsigned i = 0; i < to->n; i++) {
        float off =
            from->rows_off > 0 ? (float)(from->off[i] * to->rows_off / from->rows_off) : to->off[i];
        to->sum[i] += from->sum[i];
        to->hold[i] = fmaxf(to->hold[i], from->hold[i]);
        to->off[i] = fminf(to->off[i], off); /* each was on while the other was off */
        if (to->cut)
            to->cut[i] += from->cut[i];
    }
    to->rows += from->rows;
    to->rows_full += from->rows_full;
    to->rows_cut += from->rows_cut;
}

void at_whole_join(struct at_track *whole, const struct at_track *k)
{
    at_whole_take(whole, k);
    join_spectra(&whole->fast, &k->fast);
    join_spectra(&whole->slow, &k->slow);
    whole->e.f_lo_hz = fmin(whole->e.f_lo_hz, k->e.f_lo_hz);
    whole->e.f_hi_hz = fmax(whole->e.f_hi_hz, k->e.f_hi_hz);
    whole->on_s += k->on_s;
    whole->power_s += k->power_s;
    whole->noise_s += k->noise_s;
    whole->beside_s += k->beside_s;
    whole->clipped_s += k->clipped_s;
    whole->on = whole->on || k->on;
}

/* A line that was there before k, for longer than a sound of speech or since nobody knows when: k
 * comes up over it. */
static bool lasts(const struct at_tracker *t, const struct at_track *j, const struct at_track *k,
                  uint64_t since)
{
    bool long_since = (double)(k->e.start - j->e.start) > SOUND_S * t->rate_hz;
    return j->e.duty > STEADY && (long_since || j->e.start < since);
}

struct at_track *at_whole_first(const struct at_tracker *t, const struct at_track *k,
                                uint64_t since)
{
    double width = k->e.f_hi_hz - k->e.f_lo_hz;
    struct at_track *first = NULL;
    for (unsigned i = 0; i < t->n_tracks && width < VOICE_HZ && !k->by_hand; i++) {
        struct at_track *j = t->tracks[i];
        double narrow = fmax(j->e.f_hi_hz - j->e.f_lo_hz, t->rate_hz / t->n_slow);
        if (j == k || j->by_hand || j->dropped || j->pending || j->over > 0 || narrow > width ||
            j->e.start > k->e.start)
            continue;
        bool inside = -at_link_gap_hz(j->e.f_lo_hz, j->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) >
                      INSIDE * narrow;
        if (!inside || level_of(j) > STRONGER * level_of(k) || lasts(t, j, k, since))
            continue;
        if (!first || j->e.start < first->e.start)
            first = j;
    }
    return first;
}

void at_whole_adopt(struct at_track *k, struct at_track *first)
{
    double before = (double)(k->e.start - first->e.start),
           life = (double)(first->e.end - first->e.start),
           share = life > before ? before / life : 1; /* of its life, k not there yet */
    k->e.id = first->e.id;
    k->e.start = first->e.start;
    k->e.bursts += first->e.bursts;
    k->e.gap = k->e.gap || first->e.gap;
    k->absent += first->absent;
    k->on_s += share * first->on_s;
    k->power_s += share * first->power_s;
    k->noise_s += share * first->noise_s;
    k->beside_s += share * first->beside_s;
    k->clipped_s += share * first->clipped_s;
    k->pending = false;
    k->sure = true;
}

struct at_track *at_whole_sweep(const struct at_tracker *t, const struct at_epoch *e,
                                const struct at_region *r)
{
    double bin = t->rate_hz / (r->is_long ? t->n_slow : t->n_fast);
    for (unsigned i = 0; i < t->n_tracks; i++) {
        struct at_track *k = t->tracks[i];
        double ratio = r->level / fmax(level_of(k), 1e-30);
        if (k->by_hand || k->dropped || k->is_seen || !k->was_on || ratio > SAME ||
            ratio * SAME < 1 ||
            at_link_gap_hz(r->f_lo_hz, r->f_hi_hz, k->last.f_lo_hz, k->last.f_hi_hz) > 2.5 * bin)
            continue;
        struct at_on on = {.rows = t->on, .energy = t->energy};
        at_measure_on(e, t->rate_hz, r->f_lo_hz, r->f_hi_hz, 0, &on);
        for (size_t row = 0; row < ROWS_ON && row < e->fast.t; row++)
            if (on.rows[row])
                return k;
    }
    return NULL;
}
