/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/exchange.h"

#include <stdlib.h>
#include <string.h>

void at_exchange_init(struct at_exchange *x, const char *method, const char *path)
{
    *x = (struct at_exchange){.request = {.method = method, .path = path}};
    at_reply_init(&x->reply);
}

void at_exchange_finish(struct at_exchange *x)
{
    at_reply_finish(&x->reply);
    at_buf_finish(&x->body);
}

bool at_exchange_param(struct at_exchange *x, const char *key, size_t key_n, const char *value,
                       size_t value_n)
{
    struct at_request *q = &x->request;
    const char *text = value ? value : "";
    if (!key || q->n_params == AT_API_MAX_PARAMS || strlen(key) != key_n ||
        strlen(text) != value_n || at_guard_has_control(key) || at_guard_has_control(text)) {
        x->bad_query = true;
        return false;
    }
    q->params[q->n_params++] = (struct at_param){key, text};
    return true;
}

/* Everything behind sound framing: path, token, escapes, method. x->route is set where the handler
 * may run. */
static void admit(struct at_exchange *x, const struct at_exchange_rules *rules)
{
    struct at_request *q = &x->request;
    struct at_reply *r = &x->reply;
    const struct at_route *route = at_route_find(q, rules->base_path, rules->metrics_only, r);
    /* A GET of what only PATCH may do changes nothing: it is told of its method. */
    bool reads = !strcmp(q->method, "GET") || !strcmp(q->method, "HEAD");
    bool changes = route && route->changes && !reads, strict = route && route->method && !reads;
    if (at_access_is_cors(rules->access, x->guard.origin))
        r->headers.allow_origin = x->guard.origin;
    if (r->headers.allow_origin && !strcmp(q->method, "OPTIONS") && route) {
        r->status = 204;
        return;
    }
    if (!at_access_check(rules->access, &x->guard, changes, strict, r))
        return;
    if (x->bad_query || at_guard_has_control(q->path)) {
        at_reply_error(r, 400, "bad_request",
                       "a broken escape, a control character, or more than %d parameters",
                       AT_API_MAX_PARAMS);
        return;
    }
    if (!route)
        return;
    x->known = route;
    if (at_route_check(route, q, &x->guard, r))
        x->route = route;
}

/* A request that has a body, or is doubtful, gets its answer before anything behind the headers is
 * read, and then the connection closed. */
void at_exchange_judge(struct at_exchange *x, const struct at_exchange_rules *rules,
                       const char *version)
{
    const char *why = at_guard_framing(&x->guard, version), *method = x->request.method;
    const char *last = x->guard.last_id;
    if (*last && strlen(last) < 19 && strspn(last, "0123456789") == strlen(last))
        x->request.last_event_id = strtoull(last, NULL, 10);
    x->close = why || x->guard.body;
    if (why)
        at_reply_error(&x->reply, 400, "bad_request", "%s", why);
    else if (x->guard.body && (!strcmp(method, "GET") || !strcmp(method, "HEAD")))
        at_reply_error(&x->reply, 400, "body_not_accepted", "%s takes no body", method);
    else
        admit(x, rules);
    x->takes_body = x->guard.body && x->route && x->route->method;
    if (x->guard.body && x->route && !x->takes_body) {
        x->route = NULL;
        at_reply_error(&x->reply, 400, "body_not_accepted", "no body is taken here");
    }
    at_buf_init(&x->body, x->route && x->route->big_body ? rules->max_body : AT_API_MAX_CONTROL);
}

bool at_exchange_ready(struct at_exchange *x)
{
    x->request.body = x->body.data ? x->body.data : "";
    x->request.body_n = x->body.len;
    if (!x->body.failed)
        return true;
    at_reply_error(&x->reply, 413, "too_large", "the body is larger than %zu bytes", x->body.max);
    return false;
}
