/* Emissions. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"
#include "lib/base/clock.h"

/* 0, or -EINVAL with the answer made. */
static int read_time(const struct at_request *q, const char *key, int64_t *ret_utc_ns,
                     struct at_reply *r)
{
    const char *text = at_request_param(q, key);
    if (!text || !at_clock_parse_utc(text, ret_utc_ns))
        return 0;
    at_reply_error(r, 400, "bad_parameter", "%s: give a time like 2026-11-23T19:05:11Z", key);
    return -EINVAL;
}

static int read_query(const struct at_request *q, struct at_store_query *query, uint64_t *ret_limit,
                      struct at_reply *r)
{
    *query = (struct at_store_query){
        .min_snr_db = -INFINITY,
        .band = at_request_param(q, "band"),
        .radio = at_request_param(q, "radio"),
        .class_name = at_request_param(q, "class"),
    };
    const char *state = at_request_param(q, "state");
    if (state && strcmp(state, "active") && strcmp(state, "ended")) {
        at_reply_error(r, 400, "bad_parameter", "state: give active or ended");
        return -EINVAL;
    }
    if (state)
        query->state = *state == 'a' ? AT_STORE_ACTIVE : AT_STORE_ENDED;
    if (read_time(q, "since", &query->since_utc_ns, r) ||
        read_time(q, "until", &query->until_utc_ns, r) ||
        at_request_number(q, "min_snr", -1000, 1000, &query->min_snr_db, r) ||
        at_request_count(q, "limit", 1, AT_API_MAX_ITEMS, ret_limit, r) ||
        at_request_count(q, "cursor", 1, AT_API_MAX_SEQ, &query->cursor, r))
        return -EINVAL;
    if (query->since_utc_ns && query->until_utc_ns && query->since_utc_ns > query->until_utc_ns) {
        at_reply_error(r, 400, "bad_parameter", "since: lies after until; nothing can be between");
        return -EINVAL;
    }
    return 0;
}

/* A page out of memory and history: both are ordered by the same number, newest first. */
struct page {
    json_t *items;
    struct at_store_found *live; /* (n_live) */
    size_t n_live, at, limit, n_past;
    uint64_t newest_left, last; /* the first that did not fit; the newest that did */
};

static void append(struct page *p, uint64_t seq, json_t *item)
{
    if (json_array_size(p->items) < p->limit) {
        json_array_append_new(p->items, item);
        p->last = seq;
        return;
    }
    json_decref(item);
    p->newest_left = seq;
}

/* What memory holds and is newer than seq. */
static void append_live(struct page *p, uint64_t seq)
{
    for (; p->at < p->n_live && p->live[p->at].seq > seq; p->at++)
        append(p, p->live[p->at].seq, at_result_to_json(&p->live[p->at].result));
}

static void append_past(void *ctx, uint64_t seq, const char *json)
{
    struct page *p = ctx;
    p->n_past++;
    append_live(p, seq);
    bool twice = p->at < p->n_live && p->live[p->at].seq == seq;
    json_t *item = twice || !json ? NULL : json_loads(json, 0, NULL);
    if (item)
        append(p, seq, item);
}

static bool has_label(const struct at_model *m, const char *name)
{
    for (uint32_t k = 0; k < m->config.n_classes; k++)
        if (!strcmp(m->labels[k], name))
            return true;
    return false;
}

/* Whether a model that runs has the class, or none runs yet; false: r lists those of the first. */
static bool has_class(const struct at_view *v, const char *name, struct at_reply *r)
{
    size_t n = at_view_models(v);
    bool known = !n || !strcmp(name, "unknown") || !strcmp(name, "weak");
    for (size_t m = 0; m < n && !known; m++)
        known = has_label(at_view_model(v, m), name);
    if (known)
        return true;
    struct at_api_names list = {""};
    const struct at_model *m = at_view_model(v, 0);
    for (uint32_t k = 0; k < m->config.n_classes; k++)
        at_api_names_add(&list, m->labels[k]);
    at_reply_error(r, 400, "bad_parameter", "class: '%.32s' is none of %s, unknown, weak", name,
                   list.text);
    return false;
}

/* Nothing was found. Where there is no radio, band or class of the name that was asked for, it is
 * an error that lists those that there are, and r is the answer; emissions of a configuration or a
 * model before this one are found all the same. */
static bool are_names(const struct at_api *api, const struct at_store_query *q, struct at_reply *r)
{
    if (!q->radio && !q->band && !q->class_name)
        return true;
    struct at_view *v = at_api_view(api, r);
    bool known = v && at_api_has(v, q->radio, q->band, r) &&
                 (!q->class_name || has_class(v, q->class_name, r));
    free(v);
    return known;
}

void at_api_emissions(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_store_query query;
    uint64_t limit = 100;
    if (read_query(q, &query, &limit, r))
        return;
    struct page p = {.limit = limit, .items = json_array()};
    p.live = calloc(p.limit, sizeof *p.live);
    if (!p.live || !p.items) {
        free(p.live);
        json_decref(p.items);
        at_reply_json(r, 500, NULL);
        return;
    }
    uint64_t cursor;
    p.n_live = at_store_find(api->store, &query, p.live, p.limit, &cursor);
    int rc = at_history_find(api->history, &query, p.limit + 1, append_past, &p);
    append_live(&p, 0);
    bool more = cursor || p.newest_left || p.n_past > p.limit;
    free(p.live);
    if (rc == -ETIME) {
        json_decref(p.items);
        at_reply_error(
            r, 503, "too_slow",
            "the history is too long for this search; narrow it with since, until or band");
        return;
    }
    if (!json_array_size(p.items) && !are_names(api, &query, r)) {
        json_decref(p.items);
        return;
    }
    /* A history that cannot be read is in the log and in status; what memory holds is answered. */
    at_reply_list(r, p.items, more ? p.last : 0);
}

static void append_decision(void *ctx, const struct at_db_decision *d)
{
    json_t *o = json_object();
    at_json_set_utc(o, "time", d->utc_ns);
    at_json_set_text(o, "class", d->class_name);
    at_json_set_real(o, "confidence", d->confidence);
    at_json_set_text(o, "backend", d->backend);
    at_json_set_text(o, "mode", d->mode);
    json_object_set_new(o, "window", json_integer(d->window));
    json_object_set_new(o, "tokens", json_integer((json_int_t)d->tokens));
    at_json_set_real(o, "latency_ms", d->latency_ms);
    json_array_append_new(ctx, o);
}

/* The emission from memory, else from history; NULL: neither. */
static json_t *find_emission(const struct at_api *api, const char *id, uint64_t *ret_seq)
{
    json_t *o = NULL;
    char *text = NULL;
    struct at_result *found = calloc(1, sizeof *found);
    if (found && !at_store_get(api->store, id, found, ret_seq))
        o = at_result_to_json(found);
    else if (!at_history_get(api->history, id, ret_seq, &text))
        o = json_loads(text, 0, NULL);
    free(text);
    free(found);
    return o;
}

void at_api_emission(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    uint64_t seq;
    json_t *o = find_emission(api, q->id, &seq);
    if (!o) {
        at_reply_error(r, 404, "not_found", "no emission with this id is alive or remembered");
        return;
    }
    if (api->history) {
        json_t *decisions = json_array();
        at_history_decisions(api->history, seq, AT_API_MAX_ITEMS, append_decision, decisions);
        json_object_set_new(o, "decisions", decisions);
    }
    at_reply_json(r, 200, o);
}
