/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/puller.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/bands.h"
#include "daemon/log.h"
#include "lib/base/clock.h"
#include "lib/base/cpu.h"

#define READ_MS  100
#define STATS_NS (AT_NS_PER_S / 10)

/* ---- what the receiver calls ---- */

static void publish_result(struct at_puller *r, enum at_event_type type,
                           const struct at_result *result)
{
    json_t *o = at_result_to_json(result);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    at_events_publish(r->outlets->events, type, text);
    free(text);
    json_decref(o);
}

static void on_opened(void *ctx, const struct at_result *result)
{
    const struct at_puller_band *b = ctx;
    struct at_puller *r = b->radio;
    uint64_t seq;
    at_store_put(r->outlets->store, result, &seq);
    publish_result(r, AT_EVENT_EMISSION, result);
}

static void on_result(void *ctx, const struct at_result *result)
{
    const struct at_puller_band *b = ctx;
    struct at_puller *r = b->radio;
    struct at_metrics *m = r->outlets->metrics;
    uint64_t seq;
    uint32_t known = at_store_put(r->outlets->store, result, &seq);
    at_history_put(r->outlets->history, result, seq, result->decisions > known);
    if (result->decisions > known) {
        at_metrics_count(m, AT_COUNT_DECISIONS, result->backend, NULL, NULL);
        at_metrics_observe(m, AT_HIST_INFERENCE, result->backend,
                           1e-3 * (double)result->inference_ms);
        at_metrics_observe(m, AT_HIST_LATENCY, NULL, 1e-3 * (double)result->latency_ms);
        if (!known)
            at_metrics_observe(m, AT_HIST_FIRST, NULL, (double)result->first_decision_s);
        publish_result(r, AT_EVENT_DECISION, result);
    }
    if (!result->emission.ended)
        return;
    const char *class_name = result->has_answer ? result->answer.label : "none";
    at_metrics_count(m, AT_COUNT_EMISSIONS, r->conf->name, result->band, class_name);
    publish_result(r, AT_EVENT_EMISSION, result);
    if (result->center_rf_hz > 0)
        at_log(AT_LOG_DEBUG,
               AT_FIELDS({"radio", result->radio}, {"emission", result->id}, {"class", class_name}),
               "emission ended: %.3f MHz %s %.1f dB",
               1e-6 * (result->center_rf_hz +
                       0.5 * (result->emission.f_lo_hz + result->emission.f_hi_hz)),
               class_name, (double)result->emission.snr_db);
}

static void on_row(void *ctx, const struct at_row *row)
{
    const struct at_puller_band *b = ctx;
    struct at_puller *r = b->radio;
    size_t slot = r->index * AT_MAX_BANDS + b->slot;
    struct at_stored_row meta = {.center_hz = at_bands_center(r, b->slot),
                                 .rate_hz = b->rate_hz,
                                 .span_s = row->span_s,
                                 .floor_dbfs_hz = row->floor_dbfs_hz,
                                 .occupancy = row->occupancy};
    snprintf(meta.radio, sizeof meta.radio, "%s", r->conf->name);
    snprintf(meta.band, sizeof meta.band, "%s", b->conf->name);
    meta.utc_ns = at_clock_utc_ns();
    if (b->anchor_utc_ns)
        meta.utc_ns = b->anchor_utc_ns +
                      (int64_t)(1e9 * ((double)row->index - (double)b->anchor_index) / b->rate_hz);
    at_rows_put(r->outlets->rows, slot, &meta, row);
    if (!at_events_wanted(r->outlets->events, AT_EVENT_SPECTRUM))
        return;
    struct at_stored_row *newest = malloc(sizeof *newest);
    if (newest && at_rows_get(r->outlets->rows, slot, 0, newest, 1)) {
        char *text = at_rows_to_json(newest);
        at_events_publish(r->outlets->events, AT_EVENT_SPECTRUM, text);
        free(text);
    }
    free(newest);
}

/* ---- opening ---- */

/* What a driver prints; limited by the source. */
static void on_driver_line(void *ctx, const char *line)
{
    const struct at_puller *r = ctx;
    at_log(AT_LOG_INFO, AT_FIELDS({"radio", r->conf->name}), "radio %s: driver: %s", r->conf->name,
           line);
}

static int open_source(struct at_puller *r, struct at_error *err, struct at_source **ret_source)
{
    const struct at_config_radio *c = r->conf;
    const struct at_config_band *b = &c->bands[0];
    if (c->file[0]) {
        struct at_file_options o = {
            .format = c->format[0] && strcmp(c->format, "auto") ? c->format : NULL,
            .rate_hz = b->rate_hz,
            .center_hz = b->center_hz,
            .paced = r->live,
            .loop = c->loop,
        };
        return at_source_open_file(c->file, &o, err, ret_source);
    }
    const char *modules[AT_CONFIG_MAX_MODULES + 1] = {NULL};
    for (uint32_t i = 0; i < r->config->soapy.n_modules; i++)
        modules[i] = r->config->soapy.modules[i];
    struct at_tuning t; /* of the first band */
    at_bands_tuning(r, 0, &t);
    double most_hz = 0;
    for (uint32_t i = 0; i < c->n_bands; i++)
        most_hz = fmax(most_hz, c->bands[i].rate_hz);
    struct at_soapy_options o = {
        .device = c->device,
        .rate_hz = b->rate_hz,
        .most_rate_hz = most_hz,
        .center_hz = t.center_hz,
        .gain_db = b->gain.db,
        .gains = t.gains[0] ? t.gains : NULL,
        .antenna = t.antenna[0] ? t.antenna : NULL,
        .ppm = t.ppm,
        .bias_tee = t.bias_tee,
        .settings = t.settings[0] ? t.settings : NULL,
        .modules = modules,
        .channel = c->channel,
        .settle_s = c->settle_s,
        .name = c->name,
        .log = on_driver_line,
        .log_ctx = r,
    };
    return at_source_open_soapy(&o, err, ret_source);
}

static const struct at_receiver_sink sink = {
    .result = on_result, .opened = on_opened, .row = on_row};

/* ---- the thread ---- */

static bool is_stopping(struct at_puller *r)
{
    pthread_mutex_lock(&r->lock);
    bool stopping = r->stopping;
    pthread_mutex_unlock(&r->lock);
    return stopping;
}

/* Waits, unless told to stop. */
static void pause_for(struct at_puller *r, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)(1e9 * (seconds - floor(seconds)));
    if (until.tv_nsec >= AT_NS_PER_S) {
        until.tv_nsec -= AT_NS_PER_S;
        until.tv_sec++;
    }
    pthread_mutex_lock(&r->lock);
    int rc = 0;
    while (!r->stopping && !rc)
        rc = pthread_cond_timedwait(&r->wake, &r->lock, &until);
    pthread_mutex_unlock(&r->lock);
}

static void set_error(struct at_puller *r, const char *text)
{
    pthread_mutex_lock(&r->lock);
    snprintf(r->error, sizeof r->error, "%s", text);
    pthread_mutex_unlock(&r->lock);
}

/* Takes the source away from the view, keeping what it counted. */
static void close_source(struct at_puller *r, enum at_source_state state)
{
    pthread_mutex_lock(&r->lock);
    struct at_source *s = r->source;
    pthread_mutex_unlock(&r->lock);
    if (s)
        s->ops->stop(s);
    pthread_mutex_lock(&r->lock);
    if (s) {
        struct at_ledger l;
        s->ops->get_ledger(s, &l);
        r->past.requested += l.requested;
        r->past.delivered += l.delivered;
        r->past.reconnects += l.reconnects;
        for (int k = 0; k < AT_LOST_REASONS; k++) {
            r->past.lost[k] += l.lost[k];
            r->past.events[k] += l.events[k];
        }
    }
    r->source = NULL;
    r->state = state;
    pthread_mutex_unlock(&r->lock);
    if (s)
        s->ops->destroy(s);
}

/* Share of a core, about once a second; and the receiver's counts, ten times. */
struct meter {
    int64_t wall_ns, cpu_ns, stats_ns;
};

static void measure(struct at_puller *r, struct meter *m, int64_t now)
{
    if (now - m->stats_ns < STATS_NS)
        return;
    m->stats_ns = now;
    at_bands_count(r, r->band);
    int64_t cpu = at_clock_thread_cpu_ns();
    pthread_mutex_lock(&r->lock);
    if (now - m->wall_ns > AT_NS_PER_S) {
        r->busy_ratio = (double)(cpu - m->cpu_ns) / (double)(now - m->wall_ns);
        m->wall_ns = now;
        m->cpu_ns = cpu;
    }
    pthread_mutex_unlock(&r->lock);
}

static int push(struct at_puller *r, const float *iq, const struct at_read *read,
                struct at_error *err)
{
    int64_t now = at_clock_mono_ns();
    int rc = at_bands_push(r, iq, read, err);
    pthread_mutex_lock(&r->lock);
    r->samples_ns = now;
    r->processed += read->n - read->masked;
    r->error[0] = 0;
    pthread_mutex_unlock(&r->lock);
    if (!rc || rc == -ENOMEM)
        at_bands_walk(r, read->index + read->n);
    return rc;
}

/* With the first samples a radio has said what it really is. */
static void take_info(struct at_puller *r)
{
    pthread_mutex_lock(&r->lock);
    r->source->ops->get_info(r->source, &r->info);
    pthread_mutex_unlock(&r->lock);
    at_bands_settle(r);
}

/* Reads until the source ends (-ENODATA), fails or is stopped (0). */
static int pull(struct at_puller *r, float *iq, size_t max, struct at_error *err)
{
    struct meter meter = {.wall_ns = at_clock_mono_ns(), .cpu_ns = at_clock_thread_cpu_ns()};
    struct at_source *s = r->source;
    bool settled = false;
    while (!is_stopping(r)) {
        struct at_read read = {0};
        size_t block = at_bands_block(r);
        int64_t before = at_clock_mono_ns();
        block = block < max ? block : max;
        int rc = s->ops->lend(s, block, READ_MS, &read, err);
        if (rc == -ENOTSUP)
            rc = s->ops->read(s, iq, block, READ_MS, &read, err);
        if (!rc && read.n && !settled) {
            settled = true;
            take_info(r);
        }
        if (!rc && read.n)
            rc = push(r, iq, &read, err);
        else if (!rc)
            rc = at_bands_idle(r);
        if (rc == -EAGAIN) {
            set_error(r, err->text);
            if (at_clock_mono_ns() - before < AT_NS_PER_S / 200)
                pause_for(r, 0.05);
        } else if (rc == -ENOMEM) {
            at_log(AT_LOG_WARN, AT_FIELDS({"radio", r->conf->name}),
                   "radio %s: out of memory, samples or an emission left out", r->conf->name);
        } else if (rc) {
            return rc;
        }
        measure(r, &meter, at_clock_mono_ns());
    }
    return 0;
}

/* One life of the source. 0: stopped; -ENODATA: the file has ended, all delivered; else trouble,
 * err says what. */
static int run_once(struct at_puller *r, struct at_error *err)
{
    struct at_source *s = NULL;
    float *iq = NULL;
    at_bands_restart(r);
    int rc = open_source(r, err, &s);
    if (rc)
        goto out;
    pthread_mutex_lock(&r->lock);
    r->source = s;
    s->ops->get_info(s, &r->info);
    pthread_mutex_unlock(&r->lock);
    /* Before the samples come: planning takes longer than a ring lasts. */
    rc = at_bands_create(r, err);
    size_t max = at_bands_most(r);
    iq = rc ? NULL : malloc(2 * max * sizeof *iq);
    if (!rc)
        rc = iq ? s->ops->start(s, err) : at_error_set(err, -ENOMEM, "out of memory");
    if (rc)
        goto out;
    rc = pull(r, iq, max, err);
    if (rc || r->last_words)
        at_bands_flush(r);
    for (size_t i = 0; i < r->n_bands; i++)
        at_bands_count(r, i);
    pthread_mutex_lock(&r->lock);
    r->busy_ratio = 0;
    pthread_mutex_unlock(&r->lock);
out:
    close_source(r, rc == -ENODATA ? AT_SOURCE_ENDED : AT_SOURCE_FAILED);
    at_bands_destroy(r);
    free(iq);
    return rc;
}

static double back_off(unsigned attempt, uint64_t *jitter)
{
    static const double steps[] = {1, 2, 5, 10, 30};
    double s = steps[attempt < 5 ? attempt : 4];
    *jitter = *jitter * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return s * (0.8 + 0.4 * (double)(*jitter >> 11) * 0x1p-53);
}

static void *run(void *ctx)
{
    struct at_puller *r = ctx;
    char name[16];
    uint64_t jitter = (uint64_t)at_clock_mono_ns();
    snprintf(name, sizeof name, "dsp %.11s", r->conf->name);
    pthread_setname_np(pthread_self(), name);
    at_cpu_flush_denormals();
    at_cpu_short_turns(); /* what it waits for comes every few hundred us: a worker's turn may last
                             ms */
    for (unsigned attempt = 0; !is_stopping(r); attempt++) {
        struct at_error err = {{0}};
        int64_t began = at_clock_mono_ns();
        int rc = run_once(r, &err);
        bool given_up = rc && rc != -ENODATA && r->once && r->conf->file[0];
        pthread_mutex_lock(&r->lock);
        r->done = rc == -ENODATA || given_up;
        r->failed = given_up;
        if (rc && rc != -ENODATA) {
            snprintf(r->error, sizeof r->error, "%s", err.text);
            r->retries++;
        }
        bool leave = r->done || r->stopping;
        pthread_mutex_unlock(&r->lock);
        if (leave)
            break;
        /* One that ran for a while begins at the shortest pause again. */
        if (at_clock_mono_ns() - began > 60 * AT_NS_PER_S)
            attempt = 0;
        double wait_s = back_off(attempt, &jitter);
        at_log(AT_LOG_WARN, AT_FIELDS({"radio", r->conf->name}, {"error", err.text}),
               "radio %s: %s (trying again in %.0f s)", r->conf->name, err.text, wait_s);
        pause_for(r, wait_s);
    }
    return NULL;
}

/* ---- from other threads ---- */

void at_puller_init(struct at_puller *r)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, &attr);
    pthread_condattr_destroy(&attr);
    r->state = AT_SOURCE_STARTING;
    const struct at_config_band *first = &r->conf->bands[0];
    r->info.center_hz = isfinite(first->center_hz) ? first->center_hz : 0;
    r->info.rate_hz = first->rate_hz;
    r->sink = &sink;
    at_bands_init(r);
}

int at_puller_start(struct at_puller *r)
{
    int rc = -pthread_create(&r->thread, NULL, run, r);
    r->thread_runs = !rc;
    return rc;
}

void at_puller_stop(struct at_puller *r, bool last_words)
{
    pthread_mutex_lock(&r->lock);
    r->last_words = last_words;
    r->stopping = true;
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

void at_puller_finish(struct at_puller *r)
{
    if (r->thread_runs)
        pthread_join(r->thread, NULL);
    at_bands_finish(r);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->wake);
}

/* Why the source does not run, before a read has said so. */
static void source_says(struct at_puller *r, enum at_source_state state)
{
    struct at_source_info info;
    if (r->error[0] || (state != AT_SOURCE_STALLED && state != AT_SOURCE_FAILED))
        return;
    r->source->ops->get_info(r->source, &info);
    snprintf(r->error, sizeof r->error, "%s", info.message);
}

int at_puller_get_iq(struct at_puller *r, const struct at_result *e, double margin_s,
                     struct at_iq_piece *ret)
{
    uint64_t margin = (uint64_t)(margin_s * e->rate_hz), from = e->emission.start;
    int rc = -ENOENT;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_bands; i++)
        if (r->bands[i].look_back && !strcmp(r->bands[i].conf->name, e->band))
            rc = at_iqring_get(r->bands[i].look_back, e->id, from > margin ? from - margin : 0,
                               e->emission.end + margin, ret);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void at_puller_get_view(struct at_puller *r, struct at_radio_view *v)
{
    *v = (struct at_radio_view){.live = r->live, .sample_age_s = NAN};
    v->pushing_since_ns = atomic_load(&r->pushing_since_ns);
    snprintf(v->name, sizeof v->name, "%s", r->conf->name);
    snprintf(v->device, sizeof v->device, "%.255s", r->conf->device);
    pthread_mutex_lock(&r->lock);
    v->state = r->state;
    v->info = r->info;
    v->ledger = r->past;
    if (r->source) {
        struct at_ledger l;
        r->source->ops->get_ledger(r->source, &l);
        v->state = r->source->ops->get_state(r->source);
        if (v->state == AT_SOURCE_ENDED) /* its last emissions are still decided on */
            v->state = AT_SOURCE_RUNNING;
        source_says(r, v->state);
        v->ledger.requested += l.requested;
        v->ledger.delivered += l.delivered;
        v->ledger.reconnects += l.reconnects;
        for (int k = 0; k < AT_LOST_REASONS; k++) {
            v->ledger.lost[k] += l.lost[k];
            v->ledger.events[k] += l.events[k];
        }
    }
    v->processed = r->processed;
    v->retries = r->retries;
    v->busy_ratio = r->busy_ratio;
    at_bands_get_view(r, v);
    snprintf(v->error, sizeof v->error, "%s", r->error);
    if (r->samples_ns)
        v->sample_age_s = 1e-9 * (double)(at_clock_mono_ns() - r->samples_ns);
    pthread_mutex_unlock(&r->lock);
}
