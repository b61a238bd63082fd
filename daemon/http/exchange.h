/* A request between its headers and its handler: framing, Host, token, path, parameters, method,
 * type and size of the body. Plain data in, plain data out: http.c feeds it from the wire, the fuzz
 * target from bytes. One thread at a time. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_EXCHANGE_H
#define AT_DAEMON_HTTP_EXCHANGE_H

#include "daemon/http/access.h"
#include "daemon/http/api.h"

struct at_exchange {
    void *connection; /* http.c's */
    struct at_request request;
    struct at_reply reply;
    struct at_guard guard;
    struct at_buf body;
    const struct at_route *route; /* NULL: reply holds the answer already */
    const struct at_route *known; /* as route, but refused ones too: for the count */
    bool bad_query, close, takes_body;
    bool done; /* http.c's: a job has made the answer */
};

struct at_exchange_rules {
    struct at_access *access;
    const char *base_path; /* "" or "/sdr" */
    bool metrics_only;
    size_t max_body; /* of routes with big_body */
};

/* method, path: borrowed, decoded, NUL-terminated. */
void at_exchange_init(struct at_exchange *x, const char *method, const char *path);
void at_exchange_finish(struct at_exchange *x);
/* One parameter of the query as the client sent it, decoded; borrowed. value may be NULL. False:
 * no more are taken. */
bool at_exchange_param(struct at_exchange *x, const char *key, size_t key_n, const char *value,
                       size_t value_n);
/* Once all headers (at_guard_header) and parameters are known. Sets route, or reply; takes_body;
 * close: the connection ends with the answer, no byte behind it is another request. version:
 * "HTTP/1.1". */
void at_exchange_judge(struct at_exchange *x, const struct at_exchange_rules *rules,
                       const char *version);
/* Whether the handler may run: the body, taken piece by piece into x->body, was not too large. Else
 * reply holds the answer. Where route is set. */
bool at_exchange_ready(struct at_exchange *x);

#endif
