/* Who may ask for what: Host, Origin, token (bearer, or a browser's password) and its role. Plain
 * data in, plain data out. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_ACCESS_H
#define AT_DAEMON_HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/http/api.h"
#include "daemon/http/guard.h"
#include "lib/base/err.h"

#define AT_TOKEN_SIZE 256

struct at_access_config {
    const char *name;                 /* of the listener, for errors */
    bool local;                       /* only this machine reaches the listener */
    const char *token_file;           /* full role; NULL or empty: none */
    const char *read_token_file;      /* read-only role; likewise */
    bool fixed;                       /* a systemd credential: read once */
    const char *const *allowed_hosts; /* beside the loopback names, NULL-terminated, or NULL */
    const char *cors;                 /* origins, separated by commas; NULL or empty: none */
};

struct at_access;

/* Reads the tokens. Off this machine without one: -EACCES. Strings of config are borrowed. */
int at_access_create(const struct at_access_config *config, struct at_error *err,
                     struct at_access **ret_access);
void at_access_destroy(struct at_access *a);

/* Whether the request may go on; changes: it alters state and needs the full role, wherever it
 * comes from, and a bearer token. strict: a request from a page of another origin is refused
 * (state, uploads). Else r holds 401 or 403. Looks whether a token file has changed, at most once a
 * second. */
bool at_access_check(struct at_access *a, const struct at_guard *g, bool changes, bool strict,
                     struct at_reply *r);
/* Whether pages of this origin may read answers (CORS). */
bool at_access_is_cors(const struct at_access *a, const char *origin);

/* One line of 16 to n - 2 characters. key: of the configuration, for messages. Warns where every
 * user can read the file. */
int at_access_read_token(const char *key, const char *path, char *out, size_t n,
                         struct at_error *err);

#endif
