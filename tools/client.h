/* The HTTP client of tail, emissions and top. libcurl stands behind it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_CLIENT_H
#define AT_TOOLS_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

struct at_client_options {
    const char *url, *token_file; /* NULL: $ATTUNE_URL else AT_CLIENT_URL; none */
    const char *ca_file;          /* NULL: the system's authorities */
};

#define AT_CLIENT_URL "http://127.0.0.1:8650"

/* Rows of an option table for the at_client_options that is `member` of the values `type`. */
#define AT_CLIENT_OPTIONS(type, member)                                                            \
    {"url",          'u',                                                                          \
     AT_OPTION_TEXT, offsetof(type, member.url),                                                   \
     "URL",          "where attuned answers; else $ATTUNE_URL, else " AT_CLIENT_URL},              \
        {"token-file",   0,                                                                        \
         AT_OPTION_TEXT, offsetof(type, member.token_file),                                        \
         "FILE",         "file with the bearer token that attuned asks for"},                      \
    {                                                                                              \
        "ca-file", 0, AT_OPTION_TEXT, offsetof(type, member.ca_file), "FILE",                      \
            "https: trust this certificate (PEM), not the system's"                                \
    }

struct at_client;

/* 0; -EINVAL, -ENOENT, -ENOMEM with err. One client is used by one thread. */
int at_client_create(const struct at_client_options *o, struct at_error *err,
                     struct at_client **ret_client);
void at_client_destroy(struct at_client *c); /* NULL is fine */
const char *at_client_url(const struct at_client *c);

/* GET of path ("/api/v1/status?x=y", values escaped by at_client_escape) as JSON. 0 with a new
 * reference; -ECONNREFUSED: nobody answers; -EPROTO: an answer that is an error or no JSON;
 * -EINTR: at_interrupted was set. err names the URL and what the daemon said. */
int at_client_get(struct at_client *c, const char *path, struct at_error *err, json_t **ret);

/* Follows server-sent events at path until it ends, limit_s seconds are over (0: no limit; counts
 * as a failure) or event returns non-zero: calls event with the type, the id ("" where it has none;
 * kept for the next call's Last-Event-ID) and the data. Returns what at_client_get does; 0: the
 * server closed it. */
typedef int at_client_event_fn(void *ctx, const char *type, const char *id, const char *data);
int at_client_follow(struct at_client *c, const char *path, double limit_s,
                     at_client_event_fn *event, void *ctx, struct at_error *err);

/* Appends &name=value (?name=value where path has no query yet), value escaped. value NULL:
 * nothing. 0 or -ENAMETOOLONG. */
int at_client_query(char *path, size_t size, const char *name, const char *value);

#endif
