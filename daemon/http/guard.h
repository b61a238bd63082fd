/* What libmicrohttpd lets through and should not: ambiguous framing, foreign hosts. Pure functions,
 * fed header by header. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_GUARD_H
#define AT_DAEMON_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised is ready. */
struct at_guard {
    unsigned n_length, n_coding, n_host, n_auth, n_headers;
    bool bad_length, bad_coding, bad_name, bad_value, body;
    bool coded; /* the body is compressed */
    char host[256];
    /* Headers that are read, empty where not sent or longer than this. */
    char auth[300], origin[256], content_type[96], none_match[128], encoding[128], last_id[24];
};

/* One header as the client sent it; name and value with their lengths, so that a NUL within is
 * seen. */
void at_guard_header(struct at_guard *g, const char *name, size_t name_n, const char *value,
                     size_t value_n);

/* NULL: the framing is plain. Else what is wrong with it, for the answer (400, then the connection
 * is closed: no byte behind such a request may be taken for another one). version: "HTTP/1.1". */
const char *at_guard_framing(const struct at_guard *g, const char *version);

/* Whether the Host header names this machine by loopback, or one of allowed (n, NULL-terminated,
 * may be NULL; "*" allows all): a web page elsewhere must not reach us through a name that resolves
 * to 127.0.0.1. */
bool at_guard_host_allowed(const char *host, const char *const *allowed);

/* Decodes %XX in place and returns the length. What must not be in a path or a value (NUL,
 * controls, broken escapes) becomes 0x01, which at_guard_has_control() finds: paths are C strings
 * further on.
 */
size_t at_guard_unescape(char *s);
bool at_guard_has_control(const char *s);

/* The password of a header's value "Basic ..." (RFC 7617: base64 of name:password) into out (n).
 * Length, 0 where it is none: another scheme, broken base64, no colon, a NUL, or longer than n - 1.
 */
size_t at_guard_password(const char *auth, char *out, size_t n);

/* Compares without giving away by its time where they differ; their lengths are no secret. */
bool at_guard_equal(const char *a, size_t a_n, const char *b, size_t b_n);

#endif
