/* The HTTP server: carries api.h over libmicrohttpd, with the limits that keep one client from
 * harming the rest. http.c is the only file that knows libmicrohttpd. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_HTTP_H
#define AT_DAEMON_HTTP_HTTP_H

#include <stdint.h>

#include "daemon/http/api.h"
#include "lib/base/err.h"

struct at_http_config {
    const char *host; /* numeric address or "localhost" */
    uint16_t port;    /* 0: any free one */
    int listener; /* a listening socket that is there already, taken; 0: none, host and port count
                   */
    /* Off loopback one of them is needed; files of one line, borrowed. NULL: none. */
    const char *token_file, *read_token_file;
    bool token_fixed;      /* a systemd credential: read once, not again on change */
    const char *cors;      /* origins that may read answers, separated by commas; NULL: none */
    const char *base_path; /* "/sdr": what a proxy puts before our paths; NULL: nothing */
    const char *tls_cert, *tls_key;   /* PEM text; NULL: no TLS */
    bool metrics_only;                /* serve /metrics and health only */
    unsigned max_streams;             /* 0: half of the connections */
    const char *const *allowed_hosts; /* beside the loopback names, NULL-terminated, or NULL */
    unsigned max_connections, max_per_address; /* 0: 256, 64 */
    double timeout_s; /* of an idle connection; 0: 10. A request has twice that in all */
};

struct at_http;

/* Whether a server would start with these (PEM text). 0, or -EINVAL with err. */
int at_http_check_tls(const char *cert, const char *key, struct at_error *err);

/* Listens and serves at once. err: one line with the remedy (port taken, address not ours). api:
 * borrowed. */
int at_http_start(const struct at_http_config *config, const struct at_api *api,
                  struct at_error *err, struct at_http **ret_http);
/* Ends every stream and connection. NULL is fine. */
void at_http_stop(struct at_http *h);
/* "http://127.0.0.1:8650", with the port that it got. */
const char *at_http_url(const struct at_http *h);
/* Rises while the server's own thread turns; for the watchdog. */
uint64_t at_http_turns(const struct at_http *h);

#endif
