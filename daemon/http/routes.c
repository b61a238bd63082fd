/* The one route table: dispatch, methods, parameters and the description all come from it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include <strings.h>

#include "daemon/http/api.h"

#define TEXT   "{\"type\":\"string\"}"
#define TIME   "{\"type\":\"string\",\"format\":\"date-time\"}"
#define COUNT  "{\"type\":\"integer\",\"minimum\":1,\"maximum\":500}"
#define CURSOR "{\"type\":\"integer\",\"minimum\":1}"
#define SEQ    "{\"type\":\"integer\",\"minimum\":0}"
#define NUMBER "{\"type\":\"number\"}"
#define STATE  "{\"type\":\"string\",\"enum\":[\"active\",\"ended\"]}"
#define JSON   "application/json"
#define BINARY "application/octet-stream"
#define DATATYPE                                                                                   \
    "{\"type\":\"string\",\"enum\":[\"cu8\",\"ci8\",\"ci16_le\",\"ci32_le\",\"cf32_le\",\"cs8\","  \
    "\"cs16\",\"cs24\",\"cs32\",\"cf32\"]}"

#define FORMAT_PARAM                                                                               \
    {                                                                                              \
        "format", "{\"type\":\"string\",\"enum\":[\"json\",\"binary\"]}",                          \
            "binary: 64 bytes of head and 16-bit bins a row (docs/http.md); json where not given"  \
    }
#define BAND_PARAM                                                                                 \
    {                                                                                              \
        "band", TEXT, "Name of the band; that which the radio visits now where not given"          \
    }
#define RADIO_PARAM                                                                                \
    {                                                                                              \
        "radio", TEXT, "Name of the radio; the first one where not given"                          \
    }

const struct at_route at_routes[] = {
    {"/",
     AT_ROUTE_PLAIN,
     at_api_asset,
     "text/html",
     NULL,
     "Dashboard",
     "",
     {{0}},
     .slow_change = true},
    {"/app.css",
     AT_ROUTE_PLAIN,
     at_api_asset,
     "text/css",
     NULL,
     "The dashboard's style",
     "",
     {{0}},
     .slow_change = true},
    {"/web/{id}",
     AT_ROUTE_PLAIN,
     at_api_asset,
     "text/javascript",
     NULL,
     "The dashboard's program, by the name of a module",
     "404",
     {{0}},
     .slow_change = true},
    {"/favicon.svg",
     AT_ROUTE_PLAIN,
     at_api_asset,
     "image/svg+xml",
     NULL,
     "The dashboard's icon",
     "",
     {{0}},
     .slow_change = true},
    {"/healthz",
     AT_ROUTE_PLAIN,
     at_api_healthz,
     JSON,
     "Health",
     "Whether the process is alive and every stage with work moves",
     "503",
     {{0}},
     .health = true},
    {"/readyz",
     AT_ROUTE_PLAIN,
     at_api_readyz,
     JSON,
     "Health",
     "Whether the model is loaded and samples move",
     "503",
     {{0}},
     .health = true},
    {"/metrics",
     AT_ROUTE_PLAIN,
     at_api_metrics,
     "text/plain",
     NULL,
     "Prometheus text 0.0.4",
     "",
     {{0}},
     .health = true},
    {"/api/v1/status",
     AT_ROUTE_PLAIN,
     at_api_status,
     JSON,
     "Status",
     "The daemon in one object",
     "",
     {{0}}},
    {"/api/v1/radios",
     AT_ROUTE_PLAIN,
     at_api_radios,
     JSON,
     "RadioList",
     "Radios, their state and their samples",
     "",
     {{0}}},
    {"/api/v1/bands",
     AT_ROUTE_PLAIN,
     at_api_bands,
     JSON,
     "BandList",
     "Bands, noise floor and occupancy",
     "",
     {{0}}},
    {"/api/v1/model",
     AT_ROUTE_PLAIN,
     at_api_model,
     JSON,
     "Model",
     "The model, its classes and stated accuracy",
     "503",
     {{0}},
     .slow_change = true},
    {"/api/v1/backends",
     AT_ROUTE_PLAIN,
     at_api_backends,
     JSON,
     "BackendList",
     "Attention backends, what they can and what they cost here",
     "",
     {{0}}},
    {"/api/v1/selector",
     AT_ROUTE_PLAIN,
     at_api_selector,
     JSON,
     "Selector",
     "What runs, why, and why not the others",
     "503",
     {{0}}},
    {"/api/v1/emissions",
     AT_ROUTE_SLOW,
     at_api_emissions,
     JSON,
     "EmissionList",
     "Emissions, newest first, alive and remembered",
     "400,503",
     {{"since", TIME, "Alive at or after this time"},
      {"until", TIME, "Started before this time"},
      {"band", TEXT, "Name of a band that is there or remembered"},
      {"radio", TEXT, "Name of a radio that is there or remembered"},
      {"class", TEXT, "Class of a model that is there or remembered, unknown or weak"},
      {"state", STATE, "Alive, or ended"},
      {"min_snr", NUMBER, "Least SNR in dB"},
      {"limit", COUNT, "Most items of a page, 100 where not given"},
      {"cursor", CURSOR, "`next` of the page before"}}},
    {"/api/v1/emissions/{id}",
     AT_ROUTE_SLOW,
     at_api_emission,
     JSON,
     "Emission",
     "One emission, with its decisions where a history is kept",
     "404",
     {{0}}},
    {"/api/v1/emissions/{id}/iq",
     AT_ROUTE_SLOW,
     at_api_emission_iq,
     "application/x-tar",
     NULL,
     "Its samples as a SigMF archive, as long as the look-back ring holds them",
     "404,410",
     {{0}}},
    {"/api/v1/spectrum",
     AT_ROUTE_PLAIN,
     at_api_spectrum,
     JSON,
     "Row",
     "The newest spectrum",
     "400,404",
     {RADIO_PARAM, BAND_PARAM, FORMAT_PARAM},
     .other_type = BINARY},
    {"/api/v1/waterfall",
     AT_ROUTE_PLAIN,
     at_api_waterfall,
     JSON,
     "RowList",
     "The newest rows, oldest first",
     "400,404",
     {RADIO_PARAM,
      BAND_PARAM,
      {"since", SEQ, "Rows after this `seq`; 0: all that are kept"},
      {"limit", COUNT, "Most rows, 100 where not given"},
      FORMAT_PARAM},
     .other_type = BINARY},
    {"/api/v1/events",
     AT_ROUTE_EVENTS,
     NULL,
     "text/event-stream",
     NULL,
     "Server-sent events; Last-Event-ID goes on where a stream broke off",
     "400,503",
     {{"types", TEXT,
       "emission, decision, selector, radio, spectrum, separated by commas; all where not given"}}},
    {"/api/v1/classify",
     AT_ROUTE_SLOW,
     at_api_classify,
     JSON,
     "Classified",
     "The emissions in the IQ of the body, with decisions; one request at a time",
     "400,413,415,503",
     {{"datatype", DATATYPE, "Format of the samples, as SigMF or attune classify names it", true},
      {"rate_hz", NUMBER, "Samples a second", true},
      {"center_hz", NUMBER, "Centre frequency; 0, the default: unknown"}},
     .method = "POST",
     .body_type = "application/octet-stream",
     .big_body = true},
    {"/api/v1/budget",
     AT_ROUTE_PLAIN,
     at_api_budget,
     JSON,
     "Budget",
     "Changes latency_ms, kv_mb or both, until the next start or reload",
     "400,413,415,503",
     {{0}},
     .method = "PATCH",
     .body_type = "application/json",
     .changes = true},
    {"/api/v1/reload",
     AT_ROUTE_SLOW,
     at_api_reload,
     JSON,
     "Reloaded",
     "Reads the configuration again: applied whole, or not at all",
     "400,409,503",
     {{0}},
     .method = "POST",
     .changes = true},
    {"/api/v1/openapi.json",
     AT_ROUTE_PLAIN,
     at_api_openapi,
     JSON,
     NULL,
     "This description",
     "",
     {{0}},
     .slow_change = true},
};
const size_t at_routes_n = sizeof at_routes / sizeof *at_routes;

/* Whether path is the route's; the part at {id} goes into id. */
static bool matches(const char *route, const char *path, char *id, size_t id_n)
{
    const char *brace = strchr(route, '{');
    if (!brace)
        return !strcmp(route, path);
    size_t n = (size_t)(brace - route);
    const char *rest = brace + 4; /* behind "{id}" */
    if (strncmp(route, path, n))
        return false;
    size_t id_len = strcspn(path + n, "/");
    if (!id_len || id_len >= id_n || strcmp(path + n + id_len, rest))
        return false;
    memcpy(id, path + n, id_len);
    id[id_len] = 0;
    return true;
}

const struct at_route *at_route_find(struct at_request *q, const char *base, bool health,
                                     struct at_reply *r)
{
    size_t n = strlen(base);
    bool below = !strncmp(q->path, base, n) && q->path[n] == '/';
    const char *path = q->path + (below ? n : 0);
    if (below || !n || health)
        for (size_t i = 0; i < at_routes_n; i++)
            if ((!health || at_routes[i].health) &&
                matches(at_routes[i].path, path, q->id, sizeof q->id)) {
                q->path = path;
                return &at_routes[i];
            }
    at_reply_error(r, 404, "not_found", "no such path; %s/api/v1/openapi.json lists what there is",
                   base);
    return NULL;
}

static const struct at_param_doc *find_param(const struct at_route *route, const char *name)
{
    for (const struct at_param_doc *p = route->params; p->name; p++)
        if (!strcmp(p->name, name))
            return p;
    return NULL;
}

static bool params_known(const struct at_route *route, const struct at_request *q,
                         struct at_reply *r)
{
    for (size_t i = 0; i < q->n_params; i++) {
        const char *key = q->params[i].key;
        if (!find_param(route, key)) {
            at_reply_error(r, 400, "unknown_parameter", "parameter '%.64s' is not known here%s",
                           key,
                           route->params[0].name ? "; /api/v1/openapi.json lists those that are"
                                                 : "; there is none");
            return false;
        }
        for (size_t k = 0; k < i; k++)
            if (!strcmp(q->params[k].key, key)) {
                at_reply_error(r, 400, "repeated_parameter", "parameter '%.64s' is given twice",
                               key);
                return false;
            }
    }
    return true;
}

static bool method_fits(const struct at_route *route, const char *method)
{
    if (route->method)
        return !strcmp(method, route->method);
    return !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

bool at_route_check(const struct at_route *route, const struct at_request *q,
                    const struct at_guard *g, struct at_reply *r)
{
    if (!method_fits(route, q->method)) {
        at_reply_error(r, 405, "method_not_allowed", "only %s here",
                       route->method ? route->method : "GET and HEAD");
        r->headers.allow = route->method ? route->method : "GET, HEAD";
        return false;
    }
    /* Assets may carry a version in the query, health checks what they like: it means nothing
     * there. */
    if (!strncmp(route->path, "/api/", 5) && !params_known(route, q, r))
        return false;
    if (route->kind == AT_ROUTE_EVENTS && !at_event_mask(at_request_param(q, "types"))) {
        at_reply_error(r, 400, "bad_parameter",
                       "types: give names out of emission, decision, selector, radio, spectrum");
        return false;
    }
    size_t n = route->body_type ? strlen(route->body_type) : 0;
    if (n && (strncasecmp(g->content_type, route->body_type, n) ||
              (g->content_type[n] && !strchr("; ", g->content_type[n])))) {
        at_reply_error(r, 415, "unsupported_type", "send the body as Content-Type: %s",
                       route->body_type);
        return false;
    }
    if (n && g->coded) {
        at_reply_error(r, 415, "unsupported_encoding",
                       "send the body as it is, without Content-Encoding");
        return false;
    }
    return true;
}

void at_route_run(const struct at_route *route, const struct at_api *api,
                  const struct at_request *q, struct at_reply *r)
{
    r->headers.type = route->type;
    if (route->kind == AT_ROUTE_EVENTS)
        return;
    route->handle(api, q, r);
}
