/* Emissions. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
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

static int read_query(const struct at_request *q, struct at_store_query *query, double *ret_limit,
                      struct at_reply *r)
{
    double cursor = 0;
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
        at_request_number(q, "limit", 1, AT_API_MAX_ITEMS, ret_limit, r) ||
        at_request_number(q, "cursor", 1, 9e15, &cursor, r))
        return -EINVAL;
    query->cursor = (uint64_t)cursor;
    return 0;
}

void at_api_emissions(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_store_query query;
    double limit = 100;
    if (read_query(q, &query, &limit, r))
        return;
    struct at_result *found = calloc((size_t)limit, sizeof *found);
    if (!found) {
        at_reply_json(r, 500, NULL);
        return;
    }
    uint64_t cursor;
    size_t n = at_store_find(api->store, &query, found, (size_t)limit, &cursor);
    json_t *items = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(items, at_result_to_json(&found[i]));
    at_reply_list(r, items, cursor);
    free(found);
}

void at_api_emission(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_result *found = calloc(1, sizeof *found);
    if (!found)
        at_reply_json(r, 500, NULL);
    else if (at_store_get(api->store, q->id, found))
        at_reply_error(r, 404, "not_found", "no emission with this id is alive or remembered");
    else
        at_reply_json(r, 200, at_result_to_json(found));
    free(found);
}
