/* The HTTP interface without HTTP: a request is plain data, a handler fills an answer. http.c
 * carries them over the wire, tests call them directly. SPDX-License-Identifier: GPL-3.0-or-later
 */
#ifndef AT_DAEMON_HTTP_API_H
#define AT_DAEMON_HTTP_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/events.h"
#include "daemon/http/guard.h"
#include "daemon/history/history.h"
#include "daemon/iqring.h"
#include "daemon/metrics.h"
#include "daemon/rows.h"
#include "daemon/store.h"
#include "daemon/view.h"
#include "lib/base/buf.h"

#define AT_API_MAX_PARAMS  16
#define AT_API_MAX_BODY    (8u << 20)
#define AT_API_MAX_ITEMS   500
#define AT_API_MAX_CONTROL 65536 /* bytes of a body that changes something */

struct at_param {
    const char *key, *value; /* decoded, NUL-free; value "" where there was none */
};

struct at_request {
    const char *method; /* "GET" */
    const char *path;   /* decoded, without the query */
    struct at_param params[AT_API_MAX_PARAMS];
    size_t n_params;
    char id[96]; /* of the route's {id} */
    uint64_t last_event_id;
    const char *body; /* (body_n) and a NUL */
    size_t body_n;
    const _Atomic bool *cancelled; /* NULL: never; a long one should come to its end */
};

struct at_answer_headers {
    const char *type;          /* Content-Type */
    const char *allow;         /* NULL: none */
    const char *cache_control; /* NULL: no-store */
    const char *allow_origin;  /* CORS; NULL: none */
    const char *disposition;   /* Content-Disposition; NULL: none */
    char etag[24];             /* empty: none */
    bool gzip;                 /* the body is */
    bool vary;                 /* another client may get another encoding */
};

struct at_reply {
    int status;
    struct at_answer_headers headers;
    struct at_buf body;
    const void *asset; /* static bytes instead of the body, or NULL */
    size_t asset_n;
};
void at_reply_init(struct at_reply *r);
void at_reply_finish(struct at_reply *r);

#define AT_REPLY_MAX_HEADERS 20
struct at_header {
    const char *name, *value;
};
/* All headers of an answer but length and connection, those for browsers' safety too; the only
 * place that names them. Returns how many. */
size_t at_reply_headers(const struct at_reply *r, struct at_header out[AT_REPLY_MAX_HEADERS]);

struct at_route;
/* ETag and 304 for routes that change slowly, gzip where the client takes it and it pays. */
void at_reply_encode(struct at_reply *r, const struct at_guard *g, const struct at_route *route);

struct at_reload_plan;

/* What handlers read. Owner: the daemon; all of it is safe from any thread. */
struct at_api {
    void (*get_view)(void *ctx, struct at_view *ret);
    void *ctx;
    struct at_store *store;
    struct at_events *events;
    struct at_metrics *metrics;
    struct at_rows *rows;
    struct at_history *history; /* NULL: none */
    size_t max_body;            /* of POST classify, bytes; 0: the route refuses */
    /* NULL while the model loads. */
    struct at_classifier *(*get_classifier)(void *ctx);
    /* 0, or negative errno with err as text for the client. */
    int (*set_budget)(void *ctx, double latency_ms, double kv_mb, struct at_error *err);
    /* Reads the configuration again; 0, or negative errno with err, all as it was. */
    int (*reload)(void *ctx, struct at_error *err, struct at_reload_plan *ret_plan);
    void *reload_ctx;
    /* What is left of an emission's samples and margin_s around it: 0, -ENOENT, -ENOMEM. */
    int (*get_iq)(void *ctx, const struct at_result *e, double margin_s, struct at_iq_piece *ret);
    struct at_page_cache *pages; /* of /metrics; NULL: none */
};

/* Pages that many ask for at once are written once in a while only (answer.c). */
struct at_page_cache;
struct at_page_cache *at_page_cache_create(void);
void at_page_cache_destroy(struct at_page_cache *c);
/* Appends the page that write makes to out, or the one that it made in the last max_age_ns. */
int at_page_cache_get(struct at_page_cache *c, int64_t max_age_ns, struct at_buf *out,
                      int (*write)(void *ctx, struct at_buf *out), void *ctx);

/* ---- the route table (routes.c) ---- */
/* SLOW: runs in a thread of its own, the server goes on meanwhile. */
enum at_route_kind { AT_ROUTE_PLAIN, AT_ROUTE_EVENTS, AT_ROUTE_SLOW };

struct at_param_doc {
    const char *name, *schema, *doc; /* schema: JSON schema of the value */
    bool required;
};

struct at_route {
    const char *path; /* with {id} as a last part, at most once */
    enum at_route_kind kind;
    void (*handle)(const struct at_api *api, const struct at_request *q, struct at_reply *r);
    const char *type;   /* of a good answer */
    const char *schema; /* name in the description's components, or NULL */
    const char *summary;
    const char *statuses;           /* other than 200, 401 and 403: "404,503" */
    struct at_param_doc params[10]; /* ends with a NULL name */
    const char *method;             /* NULL: GET and HEAD; else the only one */
    const char *body_type;          /* Content-Type that a body must have; NULL: no body */
    bool changes;                   /* needs the token of the full role */
    bool big_body;                  /* up to at_api.max_body instead of AT_API_MAX_CONTROL */
    bool slow_change;               /* has an ETag */
    bool health;                    /* also on http.metrics_listen */
    const char *other_type;         /* that an answer has by a parameter; NULL: none */
};
extern const struct at_route at_routes[];
extern const size_t at_routes_n;

/* Finds the route of q->path below base ("" or "/sdr") and fills q->id. NULL: r holds 404. health:
 * only /metrics, /healthz and /readyz are there. */
const struct at_route *at_route_find(struct at_request *q, const char *base, bool health,
                                     struct at_reply *r);
/* Method, parameters, type of the body; false: r holds the answer. */
bool at_route_check(const struct at_route *route, const struct at_request *q,
                    const struct at_guard *g, struct at_reply *r);
/* The handler; of an at_route_check()ed request. */
void at_route_run(const struct at_route *route, const struct at_api *api,
                  const struct at_request *q, struct at_reply *r);

/* ---- helpers of the handlers ---- */
/* NULL where it was not given. */
const char *at_request_param(const struct at_request *q, const char *key);
/* An error answer; the message says what to do. */
void at_reply_error(struct at_reply *r, int status, const char *code, const char *format, ...)
    AT_PRINTF(4, 5);
/* Takes root (NULL: no memory, 500). */
void at_reply_json(struct at_reply *r, int status, json_t *root);
/* {"items": items, "next": cursor}; takes items. cursor 0: null. */
void at_reply_list(struct at_reply *r, json_t *items, uint64_t cursor);
/* A number of the query within bounds. 0 (ret untouched where it was not given) or -EINVAL with the
 * answer made. */
int at_request_number(const struct at_request *q, const char *key, double min, double max,
                      double *ret, struct at_reply *r);
/* The same with digits alone; max: at most AT_API_MAX_SEQ. */
#define AT_API_MAX_SEQ 999999999999999999u
int at_request_count(const struct at_request *q, const char *key, uint64_t min, uint64_t max,
                     uint64_t *ret, struct at_reply *r);
/* JSON has no NAN: unknown numbers are left out. */
void at_json_set_real(json_t *object, const char *key, double value);
void at_json_set_text(json_t *object, const char *key, const char *text);
void at_json_set_utc(json_t *object, const char *key, int64_t utc_ns);
json_t *at_api_budget_json(const struct at_view *v);
/* A copy of the view on the heap, or NULL with 500. Caller frees. */
struct at_view *at_api_view(const struct at_api *api, struct at_reply *r);
/* What an error lists: "rtl, sim"; names that do not fit are left out, a name is listed once. */
struct at_api_names {
    char text[384];
};
void at_api_names_add(struct at_api_names *l, const char *name);
/* Whether there is a radio of this name, and on it (on any where radio is NULL) a band of this one;
 * NULL: any. false: r is 400 and lists those that there are. True before the radios start. */
bool at_api_has(const struct at_view *v, const char *radio, const char *band, struct at_reply *r);

/* ---- handlers ---- */
#define AT_HANDLER(name)                                                                           \
    void name(const struct at_api *api, const struct at_request *q, struct at_reply *r)
AT_HANDLER(at_api_healthz);
AT_HANDLER(at_api_readyz);
AT_HANDLER(at_api_metrics);
AT_HANDLER(at_api_status);
AT_HANDLER(at_api_radios);
AT_HANDLER(at_api_bands);
AT_HANDLER(at_api_model);
AT_HANDLER(at_api_backends);
AT_HANDLER(at_api_selector);
AT_HANDLER(at_api_emissions);
AT_HANDLER(at_api_emission);
AT_HANDLER(at_api_emission_iq);
AT_HANDLER(at_api_spectrum);
AT_HANDLER(at_api_waterfall);
AT_HANDLER(at_api_openapi);
AT_HANDLER(at_api_asset);
AT_HANDLER(at_api_classify);
AT_HANDLER(at_api_budget);
AT_HANDLER(at_api_reload);

/* JSON of events; caller owns the string (free()). NULL: no memory. */
char *at_api_radio_event(const struct at_radio_view *r);
char *at_api_selector_event(const struct at_selector_change *c);

#endif
