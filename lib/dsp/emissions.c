/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/emissions.h"

#include <errno.h>
#include <math.h>

#include "lib/dsp/beside.h"
#include "lib/dsp/feed.h"
#include "lib/dsp/image.h"
#include "lib/dsp/sure.h"
#include "lib/dsp/whole.h"

#define TURN_S 0.1 /* of silence: longer than a sweep takes to come back */
#define FAINT_S                                                                                    \
    0.2 /* so long one that an average shows may be lost from sight before it was sure */
#define UPDATE_S   0.1   /* "updated" comes at most ten times a second */
#define MIN_TOKENS 64    /* a short emission's channel is widened to bring so many */
#define BURSTY     0.7f  /* of its life on at most: it comes and goes */
#define WANDERED   0.125 /* of the rate: a channel of the whole band is turned anew */

/* What an emission has beside its track. */
struct user {
    struct at_feed *feed;
    uint64_t updated, retuned;
    uint64_t stopped; /* block at which its feed has no room */
    bool rests;       /* nobody wants its tokens now */
};

static struct user *user_of(const struct at_track *k)
{
    return k->user;
}

static void drop_track(struct at_emissions *m, struct at_track *k)
{
    struct user *u = user_of(k);
    if (u)
        at_feed_destroy(u->feed);
    at_mem_free(m->mem, u);
    at_tracker_remove(m->tracker, k);
}

static double density_of(const struct at_emissions *m, const struct at_emission *e)
{
    double rate = m->config->rate_hz, bin = rate / m->floor->n, sum = 0;
    int lo = (int)floor(e->f_lo_hz / bin + 0.5 * m->floor->n + 0.5),
        hi = (int)ceil(e->f_hi_hz / bin + 0.5 * m->floor->n + 0.5);
    lo = lo < 0 ? 0 : lo >= (int)m->floor->n ? (int)m->floor->n - 1 : lo;
    hi = hi <= lo ? lo + 1 : hi > (int)m->floor->n ? (int)m->floor->n : hi;
    for (int k = lo; k < hi; k++)
        sum += m->floor->density[k];
    return sum / (hi - lo);
}

static int make_feed(struct at_emissions *m, struct at_track *k, bool over, bool pause)
{
    struct user *u = user_of(k);
    const struct at_emission *e = &k->e;
    struct at_feed_config fc = {.band_rate_hz = m->config->rate_hz,
                                .n_bins = m->config->n_bins,
                                .f_lo_hz = e->f_lo_hz,
                                .f_hi_hz = e->f_hi_hz,
                                .noise_density = density_of(m, e),
                                .snr = pow(10, e->snr_db / 10),
                                .all = k->by_hand,
                                .rest_when_full = m->config->rest_when_full,
                                .until = k->by_hand ? k->hand_end : UINT64_MAX};
    double duration =
        over ? (double)((k->by_hand ? k->hand_end : e->end) - e->start) / m->config->rate_hz : 0;
    at_channel_fit(&fc.shape, m->config->rate_hz, m->blocks->n, e->f_lo_hz, e->f_hi_hz, duration,
                   MIN_TOKENS, m->config->n_bins / 2);
    struct at_feed *feed = NULL;
    int ret = at_feed_create(m->mem, &fc, &feed);
    if (ret < 0)
        return ret;
    at_feed_destroy(u->feed);
    u->feed = feed;
    at_feed_begin(feed, m->blocks, e->start, pause);
    return 0;
}

static int open_track(struct at_emissions *m, struct at_track *k, bool over)
{
    if (!k->user) {
        k->user = at_mem_alloc(m->mem, AT_MEM_IQ, sizeof(struct user));
        if (!k->user)
            return -ENOMEM;
    }
    int ret = make_feed(m, k, over, false);
    if (ret < 0)
        return ret;
    k->pending = false;
    if (!k->e.id)
        k->e.id = m->tracker->next_id++;
    m->stats->emissions++;
    user_of(k)->updated = user_of(k)->retuned = m->now;
    m->sink->opened(m->sink->ctx, &k->e);
    return 0;
}

/* Goes on as `first`, in a channel of its own width from where it came up. */
static int adopt(struct at_emissions *m, struct at_track *k, struct at_track *first, bool over)
{
    k->user = first->user;
    first->user = NULL;
    int ret = make_feed(m, k, over, true);
    if (ret < 0) {
        first->user = k->user;
        k->user = NULL;
        return ret;
    }
    at_whole_adopt(k, first);
    drop_track(m, first);
    user_of(k)->updated = user_of(k)->retuned = m->now;
    m->sink->updated(m->sink->ctx, &k->e);
    return 0;
}

static void close_track(struct at_emissions *m, struct at_track *k)
{
    if (!k->pending) {
        k->e.ended = true;
        m->sink->closed(m->sink->ctx, &k->e);
    }
    drop_track(m, k);
}

static double share_of(const struct at_track *k, const struct at_channel_shape *s)
{
    return (k->e.f_hi_hz - k->e.f_lo_hz) / s->rate_hz;
}

/* The channel no longer holds the emission, or holds far too much beside it. */
static bool outgrown(const struct at_emissions *m, const struct at_track *k,
                     const struct at_channel_shape *s)
{
    if (k->by_hand)
        return false;
    if (s->n_inverse == s->n_block &&
        s->decimation == 1) /* the whole band: there is no wider one */
        return fabs((k->e.f_lo_hz + k->e.f_hi_hz) / 2 - s->center_hz) > WANDERED * s->rate_hz;
    double pass = AT_CHANNEL_PASS * s->rate_hz;
    return share_of(k, s) > 0.7 || k->e.f_hi_hz - s->center_hz > pass ||
           k->e.f_lo_hz - s->center_hz < -pass;
}

static int refresh(struct at_emissions *m, struct at_track *k)
{
    struct user *u = user_of(k);
    double rate = m->config->rate_hz;
    at_feed_set(u->feed, k->e.f_lo_hz, k->e.f_hi_hz, density_of(m, &k->e),
                pow(10, k->e.snr_db / 10));
    if (outgrown(m, k, at_feed_shape(u->feed)) && (double)(m->now - u->retuned) > 0.25 * rate) {
        u->retuned = m->now;
        int ret = make_feed(m, k, false, true);
        if (ret < 0)
            return ret;
    }
    if ((double)(m->now - u->updated) >= UPDATE_S * rate) {
        u->updated = m->now;
        m->sink->updated(m->sink->ctx, &k->e);
    }
    return 0;
}

void at_emissions_hear(struct at_emissions *m, bool drain)
{
    for (int hand = 0; hand < 2; hand++) /* those opened by hand last: where the detector has found
                                            one since, no tokens of it are wanted */
        for (unsigned i = 0; i < m->tracker->n_tracks; i++) {
            struct at_track *k = m->tracker->tracks[i];
            if (!k->pending && k->by_hand == (hand > 0))
                at_feed_run(user_of(k)->feed, m->blocks, m->sink, &k->e, m->stats, drain);
        }
}

/* Tokens of the i-th emission, and behind them the columns of long rows, which nobody waits for. */
static void make_part(void *ctx, size_t i)
{
    struct at_emissions *m = ctx;
    if (i >= m->tracker->n_tracks) {
        at_view_add_columns(m->view, i - m->tracker->n_tracks);
        return;
    }
    struct at_track *k = m->tracker->tracks[i];
    if (!k->pending && !user_of(k)->rests)
        user_of(k)->stopped = at_feed_make(user_of(k)->feed, m->blocks, true, false);
}

void at_emissions_hear_together(struct at_emissions *m, uint64_t first)
{
    for (unsigned i = 0; i < m->tracker->n_tracks; i++) {
        const struct at_track *k = m->tracker->tracks[i];
        struct user *u = user_of(k);
        if (k->pending)
            continue;
        u->rests = at_feed_rests(u->feed, m->blocks, m->sink, &k->e, m->stats);
        u->stopped = UINT64_MAX;
    }
    for (size_t columns = at_view_columns(m->view); first < m->blocks->count; columns = 0) {
        uint64_t end = m->blocks->count;
        at_aside_parts(m->view->aside, make_part, m, m->tracker->n_tracks + columns);
        for (unsigned i = 0; i < m->tracker->n_tracks; i++) {
            const struct at_track *k = m->tracker->tracks[i];
            if (!k->pending && user_of(k)->stopped < end)
                end = user_of(k)->stopped;
        }
        for (; first < end; first++)
            for (unsigned i = 0; i < m->tracker->n_tracks; i++) {
                struct at_track *k = m->tracker->tracks[i];
                if (!k->pending)
                    at_feed_hand(user_of(k)->feed, first + 1, m->sink, &k->e, m->stats);
            }
    }
}

/* Seen once, or a skirt that did not stay; at the end of what there is only one that came up late
 * beside a stronger. */
static bool is_doubtful(const struct at_emissions *m, const struct at_track *k, enum at_goes_on on)
{
    bool late = (k->fringe || k->faint) && k->e.start > m->view->stretch + m->view->epoch;
    return !k->sure && (on != AT_ENDS || late);
}

/* Not one: a stronger one makes it, as its image, lobe or keying. over: it has ended. */
static bool is_made(const struct at_emissions *m, const struct at_track *k, bool over)
{
    const float *floor = m->view->floor_slow;
    uint64_t slack = m->view->epoch, since = m->view->stretch + slack;
    return at_image_was(k) || at_beside_was_lobe(m->tracker, k, floor, since, slack) ||
           ((over || k->e.duty < BURSTY) &&
            at_beside_was_keying(m->tracker, k, floor, since, slack));
}

int at_emissions_settle(struct at_emissions *m, uint64_t now, enum at_goes_on on)
{
    double rate = m->config->rate_hz;
    bool last = on != AT_GOES_ON;
    m->now = now;
    for (unsigned i = 0; i < m->tracker->n_tracks;) {
        struct at_track *k = m->tracker->tracks[i];
        if (k->pending && k->dropped) {
            drop_track(m, k);
            continue;
        }
        double life = (double)(k->e.end - k->e.start) / rate,
               quiet = (double)(m->view->end - k->silent_since) / rate;
        bool over = quiet > fmax(k->faint ? FAINT_S : 0.01, (double)m->view->epoch / rate) || last;
        bool due = k->by_hand ? m->view->end > k->e.start
                              : over || (life >= AT_EMISSIONS_LATEST_S &&
                                         (k->sure || !(k->fringe || k->faint)));
        if (k->pending && due) {
            bool small = over && (life < m->config->min_duration_s || is_doubtful(m, k, on) ||
                                  at_sure_is_speck(m->tracker, k, m->view->looks_fast) ||
                                  at_sure_is_lost(m->tracker, k));
            if (!k->by_hand && (small || is_made(m, k, over))) {
                drop_track(m, k);
                continue;
            }
            struct at_track *whole = at_whole_find(m->tracker, k, m->view->epoch);
            if (whole && over) {
                at_whole_take(whole, k);
                drop_track(m, k);
                continue;
            }
            if (whole && life < m->config->hang_s) { /* it may show yet what it is */
                i++;
                continue;
            }
            bool sure = false;
            struct at_track *other = at_whole_turns(m->tracker, k, &sure);
            if (other && sure) {
                at_whole_join(other, k);
                drop_track(m, k);
                continue;
            }
            if (other && !last && quiet < TURN_S && life < m->config->hang_s) { /* likewise */
                i++;
                continue;
            }
            struct at_track *first =
                at_whole_first(m->tracker, k, m->view->stretch + m->view->epoch);
            int ret = first ? adopt(m, k, first, over) : open_track(m, k, over || k->by_hand);
            if (ret < 0)
                return ret;
            if (first) { /* those behind it have moved */
                i = 0;
                continue;
            }
        } else if (!k->pending) {
            int ret = refresh(m, k);
            if (ret < 0)
                return ret;
        }
        i++;
    }
    at_emissions_hear(m, last);
    for (unsigned i = 0; i < m->tracker->n_tracks;)
        if (at_tracker_over(m->tracker, m->tracker->tracks[i], m->view->end) && !last)
            close_track(m, m->tracker->tracks[i]);
        else
            i++;
    return 0;
}

void at_emissions_begin(struct at_emissions *m, uint64_t index)
{
    for (unsigned i = 0; i < m->tracker->n_tracks; i++) {
        struct at_track *k = m->tracker->tracks[i];
        if (k->pending)
            continue;
        k->e.gap = true;
        at_feed_begin(user_of(k)->feed, m->blocks, index, true);
    }
}

unsigned at_emissions_active(const struct at_emissions *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->tracker->n_tracks; i++)
        n += !m->tracker->tracks[i]->pending;
    return n;
}

void at_emissions_close(struct at_emissions *m)
{
    while (m->tracker->n_tracks)
        close_track(m, m->tracker->tracks[0]);
}

void at_emissions_finish(struct at_emissions *m)
{
    while (m->tracker->tracks && m->tracker->n_tracks)
        drop_track(m, m->tracker->tracks[0]);
}
