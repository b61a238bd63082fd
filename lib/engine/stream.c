/* One emission on its way through the model: queue, runs, decisions, results.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/dsp/frames.h"
#include "lib/engine/internal.h"

/* Tokens a second of stream time that one emission is given, beyond SUPPLY_BURST at its start: four
 * whole windows for the four decisions of a second. What is fed beyond them has left the window
 * before a decision asks, and a wide emission makes 312,000. A file is not paced by the clock:
 * SUPPLY_FILE_ALL, shared by the emissions alive, keeps it from taking minutes. */
#define SUPPLY_BURST    4096.0
#define SUPPLY          4096.0
#define SUPPLY_FILE_ALL 32768.0

static size_t queue_bytes(const struct at_classifier *c)
{
    return QUEUE_TOKENS * c->columns * sizeof(float);
}

static void take_queue(struct at_classifier *c, struct stream *s)
{
    if (!s->frames && (c->n_streams <= 1 || at_sessions_affords(c, (double)queue_bytes(c))))
        s->frames =
            at_mem_array_raw(c->mem, AT_MEM_FRAMES, QUEUE_TOKENS, c->columns * sizeof(float));
    c->lacks |= !s->frames;
}

struct stream *at_stream_create(struct at_receiver *r, const struct at_emission *e)
{
    struct at_classifier *c = r->c;
    struct stream *s = at_mem_alloc(c->mem, AT_MEM_OTHER, sizeof(*s));
    if (!s)
        return NULL;
    s->r = r;
    s->emission = *e;
    s->supply = (struct at_supply){.tokens = SUPPLY_BURST, .index = r->now};
    s->pace.interval = (uint64_t)(AT_PACE_INTERVAL_S * r->rate_hz);
    s->latency_ms = s->inference_ms = s->first_decision_s = NAN;
    s->opened_push = r->n_pushes;
    take_queue(c, s);
    return s;
}

void at_stream_destroy(struct stream *s)
{
    if (!s)
        return;
    s->r->c->freed |= s->frames != NULL;
    at_mem_free(s->r->c->mem, s->frames);
    at_mem_free(s->r->c->mem, s);
}

/* Pushing thread, lock held. */
size_t at_stream_room(struct stream *s)
{
    const struct at_receiver *r = s->r;
    take_queue(r->c, s);
    size_t room = 0;
    if (s->frames) {
        double rate = SUPPLY * r->c->supply;
        size_t window = r->c->shapes[at_choose_of(r)].window;
        size_t resume = 3 * QUEUE_TOKENS / 4, space = QUEUE_TOKENS - (size_t)(s->head - s->tail);
        if (r->inline_) { /* the queue is emptied as it is filled; whole windows serve a decision
                             best */
            rate = fmin(SUPPLY, SUPPLY_FILE_ALL / (double)(r->n_streams ? r->n_streams : 1));
            resume = QUEUE_TOKENS;
            space = SIZE_MAX;
        }
        resume = resume < window ? resume : window;
        resume = resume > AT_RUN_MIN ? resume : AT_RUN_MIN;
        room = at_supply_room(&s->supply, r->now, rate / r->rate_hz, SUPPLY_BURST, resume, space);
    }
    if (room == 0)
        s->throttled = true;
    return room;
}

static int64_t newest_push(const struct at_receiver *r)
{
    return r->n_pushes ? r->pushes[(r->n_pushes - 1) % PUSH_MARKS].delivered_ns : 0;
}

/* When the samples up to index came. The tokens of the look-back wait for nobody before the
 * emission is seen: theirs is the push that showed it; what detection takes stands in
 * first_decision_s. */
static int64_t delivered_at(const struct at_receiver *r, uint64_t index)
{
    uint64_t n = r->n_pushes < PUSH_MARKS ? r->n_pushes : PUSH_MARKS;
    int64_t ns = 0;
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t k = (r->n_pushes - i) % PUSH_MARKS;
        if (ns != 0 && r->pushes[k].end < index)
            break;
        ns = r->pushes[k].delivered_ns;
    }
    return ns;
}

/* A burst's silence is not there to be seen, so what was missed of a keyed emission counts by its
 * duty. Lock held. */
static void count_missed(struct stream *s, double tokens)
{
    if (tokens > 0)
        s->missed += tokens * (s->emission.bursts > 1 ? (double)s->emission.duty : 1.0);
}

float at_stream_share(const struct stream *s)
{
    return (float)((s->emission.f_hi_hz - s->emission.f_lo_hz) / s->r->rate_hz);
}

/* The index of each token follows from the newest's: frames stand one hop apart, but for skipped
 * silence. Returns the tokens that are missing between the newest before and the first of these. */
static double put_marks(struct stream *s, const float *frames, size_t n, size_t stride,
                        bool new_run, uint64_t index)
{
    const struct at_receiver *r = s->r;
    double at = (double)index, gap = 0;
    int64_t delivered_ns = 0, queued_ns = r->inline_ ? 0 : at_clock_mono_ns();
    for (size_t i = n; i-- > 0;) {
        const float *aux = frames + i * stride + r->n_bins;
        double silent = exp2((double)aux[AT_AUX_SKIPPED]) - 1;
        struct at_mark *m = &s->marks[(s->head + i) % QUEUE_TOKENS];
        m->index = at > 0 ? (uint64_t)(at + 0.5) : 0;
        if (i == n - 1 || r->live)
            delivered_ns =
                s->opened_push == r->n_pushes ? newest_push(r) : delivered_at(r, m->index);
        m->delivered_ns = delivered_ns;
        m->queued_ns = queued_ns;
        m->snr_db = s->emission.snr_db;
        m->share = at_stream_share(s);
        m->new_run = new_run && i == 0;
        at -= s->hop * (1 + (i > 0 ? silent : 0));
        if (i == 0 && s->newest_index > 0)
            gap = ((double)m->index - (double)s->newest_index) / s->hop - 1 - silent;
    }
    s->newest_index = index;
    return gap;
}

/* The model's columns of a frame. */
static void gather(const struct at_classifier *c, const float *row, float *out)
{
    const struct at_model *m = c->model;
    memcpy(out, row, m->config.n_bins * sizeof(*out));
    for (uint32_t i = 0; i < m->config.n_aux; i++)
        out[m->config.n_bins + i] = row[m->config.n_bins + (uint32_t)m->aux_columns[i]];
}

/* Pushing thread, no lock: the part of the ring before head + n is this thread's alone. */
static void put_part(struct stream *s, const float *frames, size_t n, bool new_run, uint64_t index)
{
    struct at_classifier *c = s->r->c;
    size_t stride = s->r->n_bins + AT_AUX_COUNT;
    s->hop = s->r->rate_hz / (2e3 * exp2((double)frames[s->r->n_bins + AT_AUX_BIN_KHZ]));
    double gap = put_marks(s, frames, n, stride, new_run, index);
    for (size_t i = 0; i < n; i++)
        gather(c, frames + i * stride, s->frames + (s->head + i) % QUEUE_TOKENS * c->columns);
    pthread_mutex_lock(&c->lock);
    if (s->throttled)
        count_missed(s, gap);
    s->throttled = false;
    if (s->cut)
        s->marks[s->head % QUEUE_TOKENS].new_run = true;
    s->cut = false;
    s->head += n;
    if (s->r->inline_) {
        while (at_stream_serve(s, &s->r->server))
            ;
    } else if (s->head - s->tail >= AT_PACE_FIRST) {
        pthread_cond_signal(&c->work);
    }
    at_share_settle(c);
    pthread_mutex_unlock(&c->lock);
}

void at_stream_put(struct stream *s, const float *frames, size_t n, bool new_run, uint64_t index)
{
    size_t stride = s->r->n_bins + AT_AUX_COUNT;
    double hop = s->r->rate_hz / (2e3 * exp2((double)frames[s->r->n_bins + AT_AUX_BIN_KHZ]));
    at_supply_take(&s->supply, n);
    while (n > 0 && s->frames) {
        pthread_mutex_lock(&s->r->c->lock);
        size_t part = QUEUE_TOKENS - (size_t)(s->head - s->tail);
        pthread_mutex_unlock(&s->r->c->lock);
        if (part == 0)
            break; /* no session to be had: the rest is skipped */
        if (part > n)
            part = n;
        double rest = 0;
        for (size_t i = part; i < n; i++)
            rest += hop * exp2((double)frames[i * stride + s->r->n_bins + AT_AUX_SKIPPED]);
        put_part(s, frames, part, new_run, index > (uint64_t)rest ? index - (uint64_t)rest : 0);
        frames += part * stride;
        n -= part;
        new_run = false;
    }
    if (n > 0) {
        pthread_mutex_lock(&s->r->c->lock);
        s->missed += (double)n;
        s->r->c->stats.tokens_skipped += n;
        pthread_mutex_unlock(&s->r->c->lock);
    }
}

void at_stream_end(struct stream *s, const struct at_emission *e)
{
    if (s->throttled && s->newest_index > 0 && s->hop > 0)
        count_missed(s, ((double)e->end - (double)s->newest_index) / s->hop - 1);
    s->emission = *e;
    s->ended = true;
    s->closed_ns = newest_push(s->r);
}

/* Delivery, or wait in the queue, before which a token is late: half of the budget is left to the
 * decision itself. */
static int64_t late_before(const struct stream *s, int64_t now_ns)
{
    double budget_ms = s->r->c->policies[s->r->policy].budget_ms;
    if (s->r->inline_ || !(budget_ms > 0))
        return AT_NEVER_LATE;
    return now_ns - (int64_t)(budget_ms / 2 * 1e6);
}

struct at_chunk at_stream_plan(const struct stream *s, int64_t now_ns)
{
    struct at_chunk chunk =
        at_pace_plan(&s->pace, s->marks, QUEUE_TOKENS, s->tail, (size_t)(s->head - s->tail),
                     s->ended || s->r->away, late_before(s, now_ns));
    chunk.done = chunk.done && s->ended;
    return chunk;
}

void at_stream_shed(struct stream *s, int64_t now_ns)
{
    size_t n = (size_t)(s->head - s->tail);
    if (s->pace.decisions == 0 || s->ended) /* it has a last word to say, and no more will come */
        return;
    size_t drop = at_pace_stale(s->marks, QUEUE_TOKENS, s->tail, n, late_before(s, now_ns));
    if (drop == 0)
        return;
    s->tail += drop;
    s->cut = drop == n;
    s->missed += (double)drop;
    s->r->c->stats.tokens_skipped += drop;
}

static int64_t utc_of(const struct at_receiver *r, uint64_t index)
{
    if (r->utc_ns == 0)
        return 0;
    double ns = ((double)index - (double)r->utc_index) / r->rate_hz * 1e9;
    return r->utc_ns + (int64_t)ns;
}

void at_stream_result(const struct stream *s, struct at_result *ret)
{
    const struct at_receiver *r = s->r;
    const struct at_emission *e = &s->emission;
    *ret = (struct at_result){
        .emission = *e,
        .center_rf_hz = r->center_hz,
        .rate_hz = r->rate_hz,
        .start_utc_ns = utc_of(r, e->start),
        .end_utc_ns = utc_of(r, e->end),
        .start_s = r->file ? (double)e->start / r->rate_hz : (double)NAN,
        .end_s = r->file ? (double)e->end / r->rate_hz : (double)NAN,
        .has_answer = s->pace.decisions > 0,
        .answer = s->answer,
        .model = r->c->model,
        .window = s->window,
        .tokens = s->seen,
        .share_seen = s->seen ? (float)((double)s->seen / ((double)s->seen + s->missed)) : 0,
        .decisions = (uint32_t)s->pace.decisions,
        .latency_ms = s->latency_ms,
        .inference_ms = s->inference_ms,
        .first_decision_s = s->first_decision_s};
    snprintf(ret->id, sizeof(ret->id), "%.12s-%.16s-%llu", r->boot, r->radio,
             (unsigned long long)s->serial);
    memcpy(ret->radio, r->radio, sizeof(ret->radio));
    memcpy(ret->band, r->band_name, sizeof(ret->band));
    memcpy(ret->backend, s->backend, sizeof(ret->backend));
    memcpy(ret->mode, s->mode, sizeof(ret->mode));
}
