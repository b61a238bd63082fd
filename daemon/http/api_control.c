/* What is asked to do something: POST classify, PATCH budget.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"
#include "daemon/reload.h"
#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "lib/config/value.h"
#include "lib/source/convert.h"

#define BLOCK 65536

struct upload {
    enum at_iq_format format;
    double rate_hz, center_hz;
    const char *data;
    size_t n; /* samples */
    const _Atomic bool *cancelled;
};

/* What came out: the newest AT_API_MAX_ITEMS emissions at most. */
struct found {
    json_t *items;
    struct at_summary summary;
};

static void on_result(void *ctx, const struct at_result *result)
{
    struct found *f = ctx;
    if (!result->emission.ended)
        return;
    at_summary_add(&f->summary, result);
    if (json_array_size(f->items) < AT_API_MAX_ITEMS)
        json_array_append_new(f->items, at_result_to_json(result));
}

static int read_upload(const struct at_request *q, struct upload *u, struct at_reply *r)
{
    const char *name = at_request_param(q, "datatype");
    int format = at_iq_format_from_sigmf(name);
    if (format < 0)
        format = at_iq_format_from_name(name);
    if (format < 0) {
        at_reply_error(r, 400, "bad_parameter",
                       "datatype: give " AT_IQ_SIGMF_NAMES "; or " AT_IQ_FORMAT_NAMES);
        return -EINVAL;
    }
    *u = (struct upload){
        .format = (enum at_iq_format)format, .data = q->body, .cancelled = q->cancelled};
    if (at_request_number(q, "rate_hz", AT_RATE_MIN_HZ, AT_RATE_MAX_HZ, &u->rate_hz, r) ||
        at_request_number(q, "center_hz", 0, AT_CENTER_MAX_HZ, &u->center_hz, r))
        return -EINVAL;
    if (u->rate_hz <= 0) {
        at_reply_error(r, 400, "bad_parameter", "rate_hz: say how many samples a second");
        return -EINVAL;
    }
    if (at_value_lacks_unit(u->center_hz)) {
        at_reply_error(r, 400, "bad_parameter",
                       "center_hz: %.10g Hz is no centre; in Hz it is %.15g", u->center_hz,
                       1e6 * u->center_hz);
        return -EINVAL;
    }
    size_t size = at_iq_format_size(u->format);
    u->n = q->body_n / size;
    if (!u->n || q->body_n % size) {
        at_reply_error(r, 400, "bad_body", "the body is no whole number of %s samples, one or more",
                       name);
        return -EINVAL;
    }
    return 0;
}

static int push_all(const struct upload *u, struct at_receiver *receiver, float *iq,
                    uint64_t *corrupt)
{
    size_t size = at_iq_format_size(u->format);
    double scale = at_iq_format_full_scale(u->format);
    int rc = 0;
    for (size_t at = 0; !rc && at < u->n; at += BLOCK) {
        size_t n = u->n - at < BLOCK ? u->n - at : BLOCK;
        if (u->cancelled && atomic_load(u->cancelled))
            return -ECANCELED;
        *corrupt += at_iq_convert(u->format, scale, u->data + at * size, n, iq);
        rc = at_receiver_push(receiver, iq, n, at, at_clock_mono_ns(), 0);
    }
    return rc ? rc : at_receiver_flush(receiver);
}

static int classify(struct at_classifier *c, const struct upload *u, struct found *f,
                    struct at_error *err)
{
    double scale = at_iq_format_full_scale(u->format);
    struct at_receiver_config config = {
        .radio = "upload",
        .band = "upload",
        .boot = "post",
        .center_hz = u->center_hz,
        .file = 1,
        .band_config = {.rate_hz = u->rate_hz,
                        .assumed_floor_dbfs_hz = at_iq_format_floor(u->format, scale, u->rate_hz)},
    };
    struct at_receiver_sink sink = {.ctx = f, .result = on_result};
    struct at_receiver *receiver = NULL;
    float *iq = malloc(2 * BLOCK * sizeof *iq);
    int rc = iq ? at_receiver_create(c, &config, &sink, err, &receiver)
                : at_error_set(err, -ENOMEM, "out of memory");
    if (!rc) {
        rc = push_all(u, receiver, iq, &f->summary.corrupt);
        if (rc)
            at_error_set(err, rc, "%s", strerror(-rc));
    }
    at_receiver_destroy(receiver);
    free(iq);
    return rc;
}

void at_api_classify(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    static atomic_flag busy = ATOMIC_FLAG_INIT; /* one at a time in the process */
    struct at_classifier *c = api->get_classifier ? api->get_classifier(api->ctx) : NULL;
    struct at_error err = {{0}};
    struct found f = {0};
    struct upload u;
    if (read_upload(q, &u, r))
        return;
    if (!c) {
        at_reply_error(r, 503, "not_ready", "the model is not loaded yet");
        return;
    }
    if (atomic_flag_test_and_set(&busy)) {
        at_reply_error(r, 503, "busy", "another classification runs; try again");
        return;
    }
    int64_t began = at_clock_mono_ns();
    f.items = json_array();
    int rc = classify(c, &u, &f, &err);
    atomic_flag_clear(&busy);
    if (rc) {
        json_decref(f.items);
        at_reply_error(r, 503, "failed", "%s", err.text);
        return;
    }
    double wall_s = 1e-9 * (double)(at_clock_mono_ns() - began);
    at_reply_json(r, 200,
                  json_pack("{s:o, s:n, s:o}", "items", f.items, "next", "summary",
                            at_summary_to_json(&f.summary, (double)u.n / u.rate_hz, wall_s)));
}

/* A number of the body within bounds; *ret untouched where it is not there. */
static int body_number(const json_t *body, const char *key, double min, double max, double *ret,
                       struct at_reply *r)
{
    const json_t *v = json_object_get(body, key);
    if (!v)
        return 0;
    double value = json_number_value(v);
    if (!json_is_number(v) || !(value >= min && value <= max)) {
        at_reply_error(r, 400, "bad_body", "%s: give a number from %.15g to %.15g", key, min, max);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

void at_api_budget(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_error err = {{0}};
    json_error_t where;
    double latency_ms = 0, kv_mb = 0;
    json_t *body = json_loadb(q->body, q->body_n, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(body)) {
        at_reply_error(r, 400, "bad_body", "send an object like {\"latency_ms\": 30}");
        json_decref(body);
        return;
    }
    const char *key;
    json_t *value;
    int rc = json_object_size(body) ? 0 : -EINVAL;
    json_object_foreach(body, key, value) if (strcmp(key, "latency_ms") && strcmp(key, "kv_mb"))
        rc = -EINVAL;
    if (rc)
        at_reply_error(r, 400, "bad_body", "give latency_ms, kv_mb or both, and nothing else");
    if (!rc)
        rc = body_number(body, "latency_ms", 0.1, 60000, &latency_ms, r);
    if (!rc)
        rc = body_number(body, "kv_mb", 1, 1e6, &kv_mb, r);
    json_decref(body);
    if (rc)
        return;
    rc = api->set_budget ? api->set_budget(api->ctx, latency_ms, kv_mb, &err)
                         : at_error_set(&err, -EAGAIN, "the model is not loaded yet");
    if (rc) {
        at_reply_error(r, 503, "not_ready", "%s", err.text);
        return;
    }
    struct at_view *v = at_api_view(api, r);
    if (v)
        at_reply_json(r, 200, at_api_budget_json(v));
    free(v);
}

void at_api_reload(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_error err = {{0}};
    struct at_reload_plan plan;
    int rc = api->reload ? api->reload(api->reload_ctx, &err, &plan) : -ENOTSUP;
    if (rc)
        at_reply_error(r, rc == -EAGAIN ? 503 : 409, rc == -EAGAIN ? "not_ready" : "not_applied",
                       "%s", err.text);
    else
        at_reply_json(r, 200,
                      json_pack("{s:i, s:i, s:i}", "kept", (int)plan.n_kept, "stopped",
                                (int)plan.n_stopped, "started", (int)plan.n_started));
}
