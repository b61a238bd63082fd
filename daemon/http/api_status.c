/* Health, metrics, status, radios and bands. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"
#include "daemon/metrics_text.h"

void at_api_healthz(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return;
    json_t *root = json_pack("{s:b, s:f}", "alive", v->stuck[0] ? 0 : 1, "uptime_s", v->uptime_s);
    if (root)
        at_json_set_text(root, "stuck", v->stuck);
    at_reply_json(r, v->stuck[0] ? 503 : 200, root);
    free(v);
}

void at_api_readyz(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    char text[1024];
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return;
    const char *why = at_view_not_ready(v, text, sizeof text);
    json_t *root = json_pack("{s:b}", "ready", why ? 0 : 1);
    if (root)
        at_json_set_text(root, "reason", why);
    at_reply_json(r, why ? 503 : 200, root);
    free(v);
}

#define PAGE_NS                                                                                    \
    (100 * 1000 * 1000) /* many scrapers see one page: writing it costs a millisecond              \
                         */

static int write_metrics(void *ctx, struct at_buf *out)
{
    const struct at_api *api = ctx;
    struct at_view *v = calloc(1, sizeof *v);
    struct at_history_stats history;
    if (!v)
        return -ENOMEM;
    api->get_view(api->ctx, v);
    at_history_get_stats(api->history, &history);
    at_metrics_write_history(&history, out);
    int rc = at_metrics_write(api->metrics, v, out);
    free(v);
    return rc;
}

void at_api_metrics(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    r->headers.type = "text/plain; version=0.0.4; charset=utf-8";
    if (at_page_cache_get(api->pages, PAGE_NS, &r->body, write_metrics, (void *)(uintptr_t)api))
        at_reply_json(r, 500, NULL);
}

json_t *at_api_budget_json(const struct at_view *v)
{
    return json_pack("{s:f, s:f, s:i}", "latency_ms", v->budget_latency_ms, "kv_mb",
                     v->budget_kv_mb, "cores", (int)v->budget_cores);
}

static json_t *radio_counts(const struct at_view *v)
{
    json_t *o = json_object();
    for (int s = AT_SOURCE_STARTING; s <= AT_SOURCE_FAILED; s++) {
        int n = 0;
        for (size_t i = 0; i < v->n_radios; i++)
            n += v->radios[i].state == (enum at_source_state)s;
        json_object_set_new(o, at_source_state_name((enum at_source_state)s), json_integer(n));
    }
    return o;
}

static json_t *history_json(const struct at_api *api)
{
    struct at_history_stats s;
    at_history_get_stats(api->history, &s);
    json_t *o = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "open", (int)s.open, "written",
                          (json_int_t)s.written, "lost", (json_int_t)s.lost, "removed",
                          (json_int_t)s.removed, "moved_aside", (json_int_t)s.moved_aside, "bytes",
                          (json_int_t)s.bytes, "waiting", (json_int_t)s.waiting);
    at_json_set_text(o, "error", s.error);
    return o;
}

void at_api_status(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    char text[1024];
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return;
    struct at_store_stats store;
    at_store_get_stats(api->store, &store);
    json_t *root = json_object();
    at_json_set_text(root, "version", v->version);
    at_json_set_text(root, "boot", v->boot);
    at_json_set_text(root, "site", v->site);
    at_json_set_real(root, "latitude", v->latitude);
    at_json_set_real(root, "longitude", v->longitude);
    at_json_set_utc(root, "started", v->started_utc_ns);
    at_json_set_real(root, "uptime_s", v->uptime_s);
    const char *why = at_view_not_ready(v, text, sizeof text);
    json_object_set_new(root, "ready", json_boolean(!why));
    at_json_set_text(root, "not_ready_reason", why);
    at_view_summary(v, text, sizeof text);
    at_json_set_text(root, "summary", text);
    json_object_set_new(root, "radios", radio_counts(v));
    json_object_set_new(root, "budget", at_api_budget_json(v));
    at_json_set_text(root, "backend", at_view_backend(v));
    if (v->model)
        at_json_set_text(root, "model", v->model->name);
    json_object_set_new(root, "emissions",
                        json_pack("{s:I, s:I, s:I, s:I}", "active", (json_int_t)store.active,
                                  "seen", (json_int_t)store.seen, "ended", (json_int_t)store.ended,
                                  "forgotten", (json_int_t)store.forgotten));
    const struct at_classifier_stats *c = &v->stats;
    json_t *d = json_pack("{s:I, s:I, s:I, s:I, s:i, s:i}", "count", (json_int_t)c->decisions,
                          "budget_exceeded", (json_int_t)c->budget_exceeded, "tokens",
                          (json_int_t)c->tokens, "tokens_skipped", (json_int_t)c->tokens_skipped,
                          "sessions", (int)c->sessions, "queue_depth", (int)c->queue_depth);
    if (d) {
        at_json_set_real(d, "inference_p50_ms", c->p50_ms);
        at_json_set_real(d, "inference_p95_ms", c->p95_ms);
        at_json_set_real(d, "latency_p50_ms", c->latency_p50_ms);
        at_json_set_real(d, "latency_p95_ms", c->latency_p95_ms);
    }
    json_object_set_new(root, "decisions", d);
    json_object_set_new(root, "kv_bytes", json_integer((json_int_t)c->kv_bytes));
    json_object_set_new(root, "kv_peak_bytes", json_integer((json_int_t)c->kv_peak_bytes));
    json_object_set_new(root, "event_readers",
                        json_integer((json_int_t)at_events_readers(api->events)));
    json_object_set_new(root, "history", history_json(api));
    at_reply_json(r, 200, root);
    free(v);
}

static json_t *samples_json(const struct at_radio_view *v)
{
    json_t *lost = json_object();
    for (int k = 0; k < AT_LOST_REASONS; k++)
        json_object_set_new(lost, at_lost_reason_name((enum at_lost_reason)k),
                            json_integer((json_int_t)v->ledger.lost[k]));
    return json_pack("{s:I, s:I, s:I, s:o}", "requested", (json_int_t)v->ledger.requested,
                     "delivered", (json_int_t)v->ledger.delivered, "processed",
                     (json_int_t)v->processed, "lost", lost);
}

static json_t *radio_json(const struct at_radio_view *v)
{
    json_t *o = json_object();
    at_json_set_text(o, "name", v->name);
    at_json_set_text(o, "band", v->band);
    at_json_set_text(o, "device", v->device);
    at_json_set_text(o, "state", at_source_state_name(v->state));
    json_object_set_new(o, "live", json_boolean(v->live));
    at_json_set_text(o, "error", v->error);
    at_json_set_text(o, "label", v->info.name);
    at_json_set_text(o, "hardware", v->info.hardware);
    at_json_set_text(o, "format", v->info.format);
    json_object_set_new(o, "rate_hz", json_integer((json_int_t)llround(v->info.rate_hz)));
    json_object_set_new(o, "center_hz", json_integer((json_int_t)llround(v->info.center_hz)));
    json_object_set_new(o, "samples", samples_json(v));
    json_object_set_new(o, "reconnects",
                        json_integer((json_int_t)(v->ledger.reconnects + v->retries)));
    at_json_set_real(o, "sample_age_s", v->sample_age_s);
    at_json_set_real(o, "busy_ratio", v->busy_ratio);
    for (size_t i = 0; i < v->n_bands; i++)
        if (!v->bands[i].waiting && v->bands[i].has_stats)
            json_object_set_new(o, "artefacts", json_integer(v->bands[i].stats.n_artefacts));
    return o;
}

char *at_api_radio_event(const struct at_radio_view *v)
{
    json_t *o = radio_json(v);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

void at_api_radios(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return;
    json_t *items = json_array();
    for (size_t i = 0; i < v->n_radios; i++)
        json_array_append_new(items, radio_json(&v->radios[i]));
    at_reply_list(r, items, 0);
    free(v);
}

static json_t *band_json(const struct at_radio_view *v, const struct at_band_view *b)
{
    const struct at_band_stats *s = &b->stats;
    json_t *o = json_object();
    at_json_set_text(o, "radio", v->name);
    at_json_set_text(o, "name", b->name);
    json_object_set_new(o, "center_hz", json_integer((json_int_t)llround(b->center_hz)));
    json_object_set_new(o, "rate_hz", json_integer((json_int_t)llround(b->rate_hz)));
    json_object_set_new(o, "running", json_boolean(b->has_stats));
    if (b->model)
        at_json_set_text(o, "model", b->model->name);
    at_json_set_text(o, "state", b->waiting ? "waiting" : "visited");
    json_object_set_new(o, "visits", json_integer((json_int_t)b->visits));
    if (b->dwell_s > 0)
        at_json_set_real(o, "dwell_s", b->dwell_s);
    at_json_set_real(o, "since_s", b->since_s);
    at_json_set_text(o, "error", b->error);
    if (!b->has_stats)
        return o;
    at_json_set_real(o, "noise_floor_dbfs_per_hz", s->floor_dbfs_hz);
    at_json_set_text(o, "floor_source", at_floor_source_name(s->floor_source));
    at_json_set_real(o, "occupancy_ratio", s->occupancy);
    json_object_set_new(o, "emissions_active", json_integer(s->active));
    json_object_set_new(o, "emissions_seen", json_integer((json_int_t)s->emissions));
    json_object_set_new(o, "frames", json_integer((json_int_t)s->frames));
    json_object_set_new(o, "tokens", json_integer((json_int_t)s->tokens));
    json_object_set_new(o, "tokens_skipped", json_integer((json_int_t)s->tokens_skipped));
    json_object_set_new(o, "samples_blanked", json_integer((json_int_t)s->samples_blanked));
    json_object_set_new(o, "pulses_blanked", json_integer((json_int_t)s->pulses_blanked));
    return o;
}

void at_api_bands(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return;
    json_t *items = json_array();
    for (size_t i = 0; i < v->n_radios; i++)
        for (size_t k = 0; k < v->radios[i].n_bands; k++)
            json_array_append_new(items, band_json(&v->radios[i], &v->radios[i].bands[k]));
    at_reply_list(r, items, 0);
    free(v);
}
