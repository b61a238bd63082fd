/* A receiver: one band of one radio, its streams, and what it tells its sink.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/config/bandplan.h"
#include "lib/engine/internal.h"

#define SLICE_S 1e-3

/* ---- the table of streams; lock held ---- */

static struct stream **slot(struct at_receiver *r, uint64_t id)
{
    struct stream **p = &r->bucket[id % BUCKETS];
    while (*p && (*p)->emission.id != id)
        p = &(*p)->next_bucket;
    return p;
}

void at_receiver_forget(struct at_receiver *r, struct stream *s)
{
    struct stream **p = slot(r, s->emission.id);
    if (*p)
        *p = s->next_bucket;
    r->n_streams--;
}

static int grow_tasks(struct at_classifier *c)
{
    if (c->n_streams < c->max_tasks)
        return 0;
    size_t n = c->max_tasks ? 2 * c->max_tasks : 64;
    struct at_task *tasks = at_mem_array(c->mem, AT_MEM_OTHER, n, sizeof(*tasks));
    struct stream **streams = at_mem_array(c->mem, AT_MEM_OTHER, n, sizeof(struct stream *));
    if (!tasks || !streams) {
        at_mem_free(c->mem, tasks);
        at_mem_free(c->mem, streams);
        return -ENOMEM;
    }
    at_mem_free(c->mem, c->tasks);
    at_mem_free(c->mem, c->task_streams);
    c->tasks = tasks;
    c->task_streams = streams;
    c->max_tasks = n;
    return 0;
}

static int insert(struct at_receiver *r, struct stream *s)
{
    struct at_classifier *c = r->c;
    if (grow_tasks(c) < 0)
        return -ENOMEM;
    s->next_bucket = r->bucket[s->emission.id % BUCKETS];
    r->bucket[s->emission.id % BUCKETS] = s;
    r->n_streams++;
    s->next = c->streams;
    s->link = &c->streams;
    if (c->streams)
        c->streams->link = &s->next;
    c->streams = s;
    c->n_streams++;
    return 0;
}

/* ---- what goes out ---- */

void at_receiver_publish(struct at_receiver *r, struct at_result *result)
{
    const struct at_emission *e = &result->emission;
    const char *service = NULL;
    if (r->bandplan && result->has_answer)
        service =
            at_bandplan_find(r->bandplan, result->answer.label,
                             r->center_hz > 0 ? r->center_hz + (e->f_lo_hz + e->f_hi_hz) / 2 : 0,
                             e->f_hi_hz - e->f_lo_hz);
    if (service)
        snprintf(result->service, sizeof(result->service), "%s", service);
    pthread_mutex_lock(&r->publish);
    r->sink.result(r->sink.ctx, result);
    pthread_mutex_unlock(&r->publish);
}

static void tell_opened(struct at_receiver *r, const struct stream *s)
{
    struct at_result result;
    if (!r->sink.opened)
        return;
    pthread_mutex_lock(&r->c->lock);
    at_stream_result(s, &result);
    pthread_mutex_unlock(&r->c->lock);
    pthread_mutex_lock(&r->publish);
    r->sink.opened(r->sink.ctx, &result);
    pthread_mutex_unlock(&r->publish);
}

/* ---- what the band calls ---- */

static bool is_watched(const struct at_receiver *r, const struct at_emission *e)
{
    for (size_t i = 0; i < r->n_watch; i++)
        if (e->f_lo_hz < r->watch[i][1] && e->f_hi_hz > r->watch[i][0])
            return true;
    return false;
}

/* Without memory for it the emission is not told; on_updated() tries again while it lives. */
static void on_opened(void *ctx, const struct at_emission *e)
{
    struct at_receiver *r = ctx;
    struct at_classifier *c = r->c;
    pthread_mutex_lock(&c->lock);
    struct stream *s = at_stream_create(r, e);
    if (s) {
        s->serial = ++c->serial;
        s->watched = is_watched(r, e);
        if (insert(r, s) < 0) {
            at_stream_destroy(s);
            s = NULL;
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (s) /* nobody serves it before its first tokens, which this thread brings */
        tell_opened(r, s);
    else
        r->failed = -ENOMEM;
}

static size_t on_room(void *ctx, uint64_t id)
{
    struct at_receiver *r = ctx;
    pthread_mutex_lock(&r->c->lock);
    struct stream *s = *slot(r, id);
    size_t room = s ? at_stream_room(s) : 0;
    at_share_settle(r->c);
    pthread_mutex_unlock(&r->c->lock);
    return room;
}

static struct stream *update(struct at_receiver *r, const struct at_emission *e)
{
    pthread_mutex_lock(&r->c->lock);
    struct stream *s = *slot(r, e->id);
    if (s) {
        s->emission = *e;
        s->watched = is_watched(r, e);
    }
    pthread_mutex_unlock(&r->c->lock);
    return s;
}

static void on_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                      unsigned flags, uint64_t index)
{
    struct stream *s = update(ctx, e);
    if (s && n > 0)
        at_stream_put(s, frames, n, flags & AT_TOKENS_NEW_RUN, index);
}

static void on_updated(void *ctx, const struct at_emission *e)
{
    if (!update(ctx, e))
        on_opened(ctx, e);
}

static void on_closed(void *ctx, const struct at_emission *e)
{
    struct at_receiver *r = ctx;
    pthread_mutex_lock(&r->c->lock);
    struct stream *s = *slot(r, e->id);
    if (s) {
        at_stream_end(s, e);
        if (r->inline_)
            while (at_stream_serve(s, &r->server))
                ;
        else
            pthread_cond_signal(&r->c->work);
    }
    at_share_settle(r->c);
    pthread_mutex_unlock(&r->c->lock);
}

static void on_row(void *ctx, const struct at_row *row)
{
    struct at_receiver *r = ctx;
    if (r->sink.row)
        r->sink.row(r->sink.ctx, row);
}

/* What a callback of the band met since the last time. */
static int take_failure(struct at_receiver *r)
{
    int ret = r->failed;
    r->failed = 0;
    return ret;
}

/* ---- life ---- */

static uint64_t slice_of(double rate_hz)
{
    uint64_t n = 64;
    while ((double)n < rate_hz * SLICE_S)
        n *= 2;
    return n;
}

static int open_band(struct at_receiver *r, const struct at_band_config *wanted,
                     struct at_error *err)
{
    struct at_band_config config = *wanted;
    struct at_band_sink sink = {r, on_opened, on_room, on_tokens, on_updated, on_closed, on_row};
    if (config.n_bins == 0)
        config.n_bins = r->n_bins;
    if (config.n_bins != r->n_bins)
        return at_error_set(err, -EINVAL, "the model wants frames of %u bins, not %u", r->n_bins,
                            config.n_bins);
    config.rest_when_full =
        r->live; /* a file is classified by the same tokens whatever became of those before */
    config.aside = config.aside || config.rate_hz >= AT_BAND_WIDE_HZ;
    return at_band_create(r->c->mem, &config, &sink, err, &r->band);
}

static int take_watch(struct at_receiver *r, const struct at_receiver_config *config)
{
    if (config->n_watch == 0)
        return 0;
    r->watch = at_mem_array(r->c->mem, AT_MEM_OTHER, config->n_watch, sizeof(*r->watch));
    if (!r->watch)
        return -ENOMEM;
    memcpy(r->watch, config->watch, config->n_watch * sizeof(*r->watch));
    r->n_watch = config->n_watch;
    return 0;
}

int at_receiver_create(struct at_classifier *c, const struct at_receiver_config *config,
                       const struct at_receiver_sink *sink, struct at_error *err,
                       struct at_receiver **ret_receiver)
{
    struct at_receiver *r = at_mem_alloc(c->mem, AT_MEM_OTHER, sizeof(*r));
    int ret = -ENOMEM;
    if (!r)
        return at_error_set(err, ret, "no memory for a receiver");
    r->c = c;
    r->sink = *sink;
    r->bandplan = config->bandplan;
    r->center_hz = config->center_hz;
    r->rate_hz = config->band_config.rate_hz;
    r->live = config->live;
    r->file = config->file || !config->live;
    r->inline_ = c->n_threads == 0 || !r->live;
    r->n_bins = c->model->config.n_bins;
    r->slice = slice_of(r->rate_hz);
    snprintf(r->radio, sizeof(r->radio), "%s", config->radio ? config->radio : "");
    snprintf(r->band_name, sizeof(r->band_name), "%s", config->band ? config->band : "");
    snprintf(r->boot, sizeof(r->boot), "%s", config->boot ? config->boot : "0");
    pthread_mutex_init(&r->publish, NULL);
    if (config->budget_ms > 0)
        ret = at_choose_add_budget(c, config->budget_ms, err, &r->policy);
    else
        ret = 0;
    if (ret < 0)
        goto fail;
    ret = take_watch(r, config);
    if (ret < 0) {
        at_error_set(err, ret, "no memory for a receiver");
        goto fail;
    }
    ret = open_band(r, &config->band_config, err);
    if (ret < 0)
        goto fail;
    if (r->inline_)
        ret = at_server_init(c, &r->server, err);
    if (ret < 0)
        goto fail;
    *ret_receiver = r;
    return 0;
fail:
    at_receiver_destroy(r);
    return ret;
}

/* Streams that were never closed go without a last word. */
static void drop_streams(struct at_receiver *r)
{
    struct at_classifier *c = r->c;
    pthread_mutex_lock(&c->lock);
    r->closing = true;
    for (struct stream *s = c->streams; s;) {
        struct stream *next = s->next;
        if (s->r != r) {
            s = next;
            continue;
        }
        if (s->busy) { /* its server may take it away: look again from the start */
            pthread_cond_wait(&c->idle, &c->lock);
            s = c->streams;
            continue;
        }
        at_stream_drop(s);
        s = next;
    }
    at_share_settle(c);
    pthread_mutex_unlock(&c->lock);
}

void at_receiver_destroy(struct at_receiver *r)
{
    if (!r)
        return;
    struct at_classifier *c = r->c;
    drop_streams(r);
    at_band_destroy(r->band);
    at_server_finish(&r->server);
    at_choose_drop_budget(c, r->policy);
    at_mem_free(c->mem, r->watch);
    pthread_mutex_destroy(&r->publish);
    at_mem_free(c->mem, r);
}

/* ---- samples ---- */

static void note_skipped(struct at_receiver *r)
{
    struct at_band_stats stats;
    at_band_get_stats(r->band, &stats);
    pthread_mutex_lock(&r->c->lock);
    r->c->stats.tokens_skipped += stats.tokens_skipped - r->skipped;
    r->skipped = stats.tokens_skipped;
    pthread_mutex_unlock(&r->c->lock);
}

int at_receiver_pause(struct at_receiver *r)
{
    struct at_classifier *c = r->c;
    int ret = at_band_pause(r->band);
    note_skipped(r);
    pthread_mutex_lock(&c->lock);
    r->away = true;
    for (struct stream *s = c->streams; s; s = s->next) {
        if (s->r != r)
            continue;
        s->throttled = false; /* what passes meanwhile was not there to be taken */
        s->closed_ns = r->n_pushes ? r->pushes[(r->n_pushes - 1) % PUSH_MARKS].delivered_ns : 0;
        if (!s->busy)
            at_stream_rest(s);
    }
    for (struct stream *s = r->inline_ ? c->streams : NULL; s;) /* others may go meanwhile */
        s = s->r == r && at_stream_serve(s, &r->server) ? c->streams : s->next;
    pthread_cond_broadcast(&c->work);
    at_share_settle(c);
    pthread_mutex_unlock(&c->lock);
    return ret < 0 ? ret : take_failure(r);
}

static void note_push(struct at_receiver *r, uint64_t index, size_t n, int64_t delivered_ns,
                      int64_t utc_ns)
{
    pthread_mutex_lock(&r->c->lock);
    r->away = false;
    if (r->n_pushes && r->pushes[(r->n_pushes - 1) % PUSH_MARKS].delivered_ns == delivered_ns)
        r->n_pushes--; /* more of the same delivery */
    r->pushes[r->n_pushes % PUSH_MARKS].end = index + n;
    r->pushes[r->n_pushes++ % PUSH_MARKS].delivered_ns = delivered_ns;
    if (utc_ns != 0) {
        r->utc_index = index;
        r->utc_ns = utc_ns;
    }
    pthread_mutex_unlock(&r->c->lock);
}

/* An input from sample `from` on. */
struct rest {
    const struct at_input *input;
    size_t from;
};

static void write_rest(const void *ctx, size_t from, size_t n, float *iq)
{
    const struct rest *r = ctx;
    r->input->write(r->input->ctx, r->from + from, n, iq);
}

/* Slices end at multiples of a fixed length, so that supply, which counts in them, is the same
 * however the samples come. */
int at_receiver_take(struct at_receiver *r, const struct at_input *input, size_t n, uint64_t index,
                     int64_t delivered_ns, int64_t utc_ns)
{
    struct rest rest = {input, 0};
    struct at_input slice = {write_rest, &rest};
    note_push(r, index, n, delivered_ns, utc_ns);
    while (n > 0) {
        size_t part = (size_t)(r->slice - index % r->slice);
        if (part > n)
            part = n;
        r->now = index - index % r->slice;
        int ret = at_band_take(r->band, &slice, part, index);
        if (ret < 0)
            return ret;
        rest.from += part;
        index += part;
        n -= part;
    }
    note_skipped(r);
    return take_failure(r);
}

static void write_floats(const void *ctx, size_t from, size_t n, float *iq)
{
    memcpy(iq, (const float *)ctx + 2 * from, 2 * n * sizeof *iq);
}

int at_receiver_push(struct at_receiver *r, const float *iq, size_t n, uint64_t index,
                     int64_t delivered_ns, int64_t utc_ns)
{
    struct at_input input = {write_floats, iq};
    return at_receiver_take(r, &input, n, index, delivered_ns, utc_ns);
}

void at_receiver_set_assumed_floor(struct at_receiver *r, double dbfs_hz)
{
    at_band_set_assumed_floor(r->band, dbfs_hz);
}

void at_receiver_set_gain(struct at_receiver *r, double gain_db)
{
    at_band_set_gain(r->band, gain_db);
}

int at_receiver_flush(struct at_receiver *r)
{
    int ret = at_band_flush(r->band);
    note_skipped(r);
    pthread_mutex_lock(&r->c->lock);
    while (r->n_streams > 0 && !r->inline_)
        pthread_cond_wait(&r->c->idle, &r->c->lock);
    pthread_mutex_unlock(&r->c->lock);
    return ret < 0 ? ret : take_failure(r);
}

void at_receiver_get_stats(const struct at_receiver *r, struct at_band_stats *ret)
{
    at_band_get_stats(r->band, ret);
}
