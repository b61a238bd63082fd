/* A request as text, parsed as plainly as can be and then judged and answered by the code that
 * stands behind libmicrohttpd: headers, paths, queries, cursors, Last-Event-ID, bodies. What must
 * hold: no answer without the right token, none that splits, JSON that is JSON.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http/exchange.h"
#include "daemon/log.h"
#include "lib/base/clock.h"
#include "tests/fuzz/fuzz.h"

#define FULL      "full-token-of-the-fuzzer"
#define READS     "read-token-of-the-fuzzer"
#define MAX_BODY  512 /* of an upload: reached by inputs of a few kilobytes */
#define N_EVENTS  64
#define LINES_MAX 64

static struct at_api api;
static struct at_exchange_rules rules[2]; /* loopback without tokens; a public one below /sdr */
static bool budget_set;

static void get_view(void *ctx, struct at_view *v)
{
    *v = (struct at_view){.version = AT_VERSION,
                          .started_utc_ns = INT64_C(1700000000000000000),
                          .budget_latency_ms = 30,
                          .budget_kv_mb = 480,
                          .budget_cores = 2,
                          .n_radios = 1};
    snprintf(v->radios[0].name, sizeof v->radios[0].name, "roof");
    snprintf(v->radios[0].band, sizeof v->radios[0].band, "ism433");
    v->radios[0].n_bands = 1;
    snprintf(v->radios[0].bands[0].name, sizeof v->radios[0].bands[0].name, "ism433");
    v->radios[0].state = AT_SOURCE_RUNNING;
    v->radios[0].sample_age_s = 0.1;
}

static int set_budget(void *ctx, double latency_ms, double kv_mb, struct at_error *err)
{
    if (!(latency_ms >= 0 && latency_ms <= 60000 && kv_mb >= 0 && kv_mb <= 1e6))
        abort();
    budget_set = true;
    return 0;
}

static int get_iq(void *ctx, const struct at_result *e, double margin_s, struct at_iq_piece *ret)
{
    if (strcmp(e->id, "b-roof-3"))
        return -ENOENT;
    *ret = (struct at_iq_piece){
        .iq = calloc(200, sizeof(int16_t)), .n = 100, .rate_hz = 1e6, .center_hz = 433e6};
    return ret->iq ? 0 : -ENOMEM;
}

static void fill(void)
{
    float dbfs[64];
    uint64_t seq;
    for (int i = 0; i < 64; i++)
        dbfs[i] = -100.0f + 0.1f * (float)i;
    struct at_stored_row meta = {
        .radio = "roof", .band = "ism433", .utc_ns = 1, .rate_hz = 1e6, .span_s = 0.1};
    struct at_row row = {.n = 64, .dbfs = dbfs};
    for (int i = 0; i < 20; i++)
        at_rows_put(api.rows, 0, &meta, &row);
    for (int i = 0; i < 12; i++) {
        struct at_result r = {.start_utc_ns = INT64_C(1700000000000000000) + i * AT_NS_PER_S,
                              .end_utc_ns = INT64_C(1700000001000000000) + i * AT_NS_PER_S,
                              .rate_hz = 1e6};
        snprintf(r.id, sizeof r.id, "b-roof-%d", i);
        snprintf(r.radio, sizeof r.radio, "roof");
        snprintf(r.band, sizeof r.band, i % 2 ? "odd" : "even");
        r.emission.ended = i < 9;
        r.emission.snr_db = (float)i;
        r.has_answer = i % 3 > 0;
        snprintf(r.answer.label, sizeof r.answer.label, "ook");
        at_store_put(api.store, &r, &seq);
    }
    for (int i = 0; i < 2 * N_EVENTS; i++) /* the older half has fallen off */
        at_events_publish(api.events, (enum at_event_type)(i % AT_EVENT_TYPES), "{\"i\":1}");
}

static const char *token_path(const char *text, char *path, size_t n)
{
    int fd = memfd_create("token", MFD_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, text, strlen(text)) < 0)
        abort();
    snprintf(path, n, "/proc/self/fd/%d", fd);
    return path;
}

static void set_up(void)
{
    static char full[64], reads[64];
    struct at_access_config local = {.name = "loopback", .local = true, .fixed = true};
    struct at_access_config public = {.name = "public",
                                      .fixed = true,
                                      .token_file = token_path(FULL "\n", full, sizeof full),
                                      .read_token_file =
                                          token_path(READS "\n", reads, sizeof reads),
                                      .cors = "https://a.example, https://b.example"};
    struct at_error err;
    at_log_init("error", 0, NULL);
    api = (struct at_api){.get_view = get_view,
                          .store = at_store_create(16, 16),
                          .events = at_events_create(N_EVENTS, 16),
                          .metrics = at_metrics_create(),
                          .rows = at_rows_create(1, 64),
                          .max_body = MAX_BODY,
                          .set_budget = set_budget,
                          .get_iq = get_iq};
    if (!api.store || !api.events || !api.metrics || !api.rows)
        abort();
    fill();
    for (int i = 0; i < 2; i++)
        rules[i].max_body = MAX_BODY;
    rules[0].base_path = "";
    rules[1].base_path = "/sdr";
    if (at_access_create(&local, &err, &rules[0].access) ||
        at_access_create(&public, &err, &rules[1].access))
        abort();
}

/* ---- what must hold ---- */

static void check_token(const struct at_exchange *x, bool public)
{
    const char *auth = x->guard.auth;
    bool bearer = !strncasecmp(auth, "Bearer ", 7);
    bool full = bearer && !strcmp(auth + 7, FULL), reads = bearer && !strcmp(auth + 7, READS);
    if (budget_set && (!public || !full || strcmp(x->request.method, "PATCH")))
        abort();
    if (public && x->route && !full && !reads)
        abort();
    if (public && x->route && x->route->changes && !full)
        abort();
}

static void check_reply(struct at_exchange *x)
{
    static const int statuses[] = {200, 204, 304, 400, 401, 403, 404, 405, 409, 410, 413, 415, 503};
    const struct at_reply *r = &x->reply;
    size_t i = 0, n_statuses = sizeof statuses / sizeof *statuses;
    while (i < n_statuses && r->status != statuses[i])
        i++;
    if (i == n_statuses || r->body.failed)
        abort();
    struct at_header headers[AT_REPLY_MAX_HEADERS];
    size_t n = at_reply_headers(r, headers);
    for (i = 0; i < n; i++)
        if (at_guard_has_control(headers[i].name) || at_guard_has_control(headers[i].value))
            abort();
    if (r->status == 304 || r->status == 204 || r->headers.gzip || r->asset ||
        strcmp(r->headers.type, "application/json"))
        return;
    json_t *o = json_loadb(r->body.data, r->body.len, 0, NULL);
    if (!json_is_object(o) ||
        (r->status >= 400 && r->status != 503 && !json_object_get(o, "error")))
        abort();
    json_decref(o);
}

static void follow_events(const struct at_request *q)
{
    struct at_event_cursor cursor;
    struct at_buf out;
    unsigned mask = at_event_mask(at_request_param(q, "types")), n = 0;
    if (!mask)
        abort(); /* at_route_check() lets none through */
    at_buf_init(&out, 1 << 20);
    at_events_subscribe(api.events, mask, q->last_event_id, &cursor);
    while (at_events_next(api.events, &cursor, &out) > 0)
        if (++n > N_EVENTS)
            abort();
    at_events_unsubscribe(api.events, &cursor);
    at_buf_finish(&out);
}

/* ---- a request out of bytes ---- */

struct text {
    char *at;
    size_t n;
};

/* Cuts off what stands before the first `mark`; all of it where there is none. */
static struct text cut(struct text *rest, int mark)
{
    char *end = memchr(rest->at, mark, rest->n);
    struct text head = {rest->at, end ? (size_t)(end - rest->at) : rest->n};
    size_t used = end ? head.n + 1 : head.n;
    rest->at += used;
    rest->n -= used;
    return head;
}

/* As libmicrohttpd hands it on: '+' is a space, escapes are decoded, a NUL ends it. */
static char *decode(struct text t)
{
    char *s = malloc(t.n + 1);
    if (!s)
        abort();
    for (size_t i = 0; i < t.n; i++)
        s[i] = (char)(t.at[i] == '+' ? ' ' : t.at[i]);
    s[t.n] = 0;
    at_guard_unescape(s);
    return s;
}

static size_t take_query(struct at_exchange *x, struct text query, char **kept)
{
    size_t n = 0;
    while (query.n && n + 2 <= 2 * LINES_MAX) {
        struct text value = cut(&query, '&'), key = cut(&value, '=');
        bool has_value = key.at + key.n < value.at;
        char *k = kept[n++] = decode(key), *v = kept[n++] = decode(value);
        if (!at_exchange_param(x, k, strlen(k), has_value ? v : NULL, has_value ? strlen(v) : 0))
            break;
    }
    return n;
}

static void take_headers(struct at_exchange *x, struct text *rest)
{
    for (int i = 0; i < LINES_MAX && rest->n; i++) {
        struct text value = cut(rest, '\n');
        if (!value.n)
            return;
        struct text name = cut(&value, ':');
        while (value.n && *value.at == ' ')
            value.at++, value.n--;
        at_guard_header(&x->guard, name.at, name.n, value.at, value.n);
    }
}

/* A string of it; the input ends without a NUL. */
static char *copy(struct text t)
{
    char *s = malloc(t.n + 1);
    if (s) {
        if (t.n)
            memcpy(s, t.at, t.n);
        s[t.n] = 0;
    }
    return s;
}

static void answer(struct text all, bool public)
{
    struct at_exchange x;
    char *kept[2 * LINES_MAX];
    struct text version = cut(&all, '\n'), method = cut(&version, ' ');
    struct text query = cut(&version, ' '), path = cut(&query, '?');
    char *m = copy(method), *v = copy(version), *p = decode(path);
    at_exchange_init(&x, m, p);
    size_t n_kept = take_query(&x, query, kept);
    take_headers(&x, &all);
    at_exchange_judge(&x, &rules[public], v);
    if (x.takes_body)
        at_buf_add(&x.body, all.at, all.n);
    budget_set = false;
    if (x.route && at_exchange_ready(&x)) {
        at_route_run(x.route, &api, &x.request, &x.reply);
        if (x.route->kind == AT_ROUTE_EVENTS && x.reply.status == 200)
            follow_events(&x.request);
    }
    check_token(&x, public);
    bool stream = x.route && x.route->kind == AT_ROUTE_EVENTS;
    if (!stream) {
        at_reply_encode(&x.reply, &x.guard, x.route);
        check_reply(&x);
    }
    at_exchange_finish(&x);
    for (size_t i = 0; i < n_kept; i++)
        free(kept[i]);
    free(m);
    free(v);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!api.store)
        set_up();
    for (int public = 0; public < 2; public ++) {
        char *copy = malloc(n + 1);
        if (!copy)
            abort();
        memcpy(copy, data, n);
        answer((struct text){copy, n}, public);
        free(copy);
    }
    return 0;
}
