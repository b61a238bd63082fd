/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/access.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "daemon/log.h"
#include "lib/base/clock.h"

enum role { ROLE_NONE, ROLE_READ, ROLE_FULL };

struct token {
    const char *path; /* NULL: none */
    const char *key;  /* of the configuration, for messages */
    char text[AT_TOKEN_SIZE];
    struct timespec changed;
    ino_t inode;
    bool gone; /* and that was said: it is looked for each second */
};

struct at_access {
    struct at_access_config config;
    pthread_mutex_t lock; /* what stands below */
    struct token full, read;
    int64_t looked_ns;
};

int at_access_read_token(const char *key, const char *path, char *out, size_t n,
                         struct at_error *err)
{
    struct stat st;
    *out = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return at_error_set(err, -errno, "%s: cannot read %s: %s", key, path, strerror(errno));
    if (!fstat(fileno(f), &st) && (st.st_mode & S_IROTH))
        at_log(AT_LOG_WARN, NULL, "%s: every user can read %s; chmod 600 it", key, path);
    bool ok = fgets(out, (int)n, f) != NULL;
    bool whole = ok && (strchr(out, '\n') || strlen(out) < n - 1);
    fclose(f);
    out[strcspn(out, "\r\n")] = 0;
    if (!ok || !whole || strlen(out) < 16) {
        *out = 0;
        return at_error_set(err, -EINVAL,
                            "%s: %s should hold one line of 16 to %zu characters "
                            "(openssl rand -hex 32)",
                            key, path, n - 2);
    }
    return 0;
}

/* 1: read anew; 0: it is as it was; negative errno, once for each trouble. */
static int refresh(struct token *t, struct at_error *err)
{
    struct stat st;
    char text[AT_TOKEN_SIZE];
    if (!t->path)
        return 0;
    if (stat(t->path, &st)) {
        if (t->gone)
            return 0;
        t->gone = true;
    } else {
        t->gone = false;
        if (t->text[0] && st.st_ino == t->inode && st.st_mtim.tv_sec == t->changed.tv_sec &&
            st.st_mtim.tv_nsec == t->changed.tv_nsec)
            return 0;
        t->inode = st.st_ino;
        t->changed = st.st_mtim;
    }
    int rc = at_access_read_token(t->key, t->path, text, sizeof text, err);
    if (rc)
        return rc;
    memcpy(t->text, text, sizeof text);
    return 1;
}

static void refresh_both(struct at_access *a)
{
    int64_t now = at_clock_mono_ns();
    if (a->config.fixed || now - a->looked_ns < AT_NS_PER_S)
        return;
    a->looked_ns = now;
    struct token *const both[] = {&a->full, &a->read};
    for (int i = 0; i < 2; i++) {
        struct at_error err;
        int rc = refresh(both[i], &err);
        if (rc > 0)
            at_log(AT_LOG_INFO, NULL, "%s: %s was read anew", both[i]->key, both[i]->path);
        else if (rc < 0)
            at_log(AT_LOG_WARN, NULL, "%s; the old token stays", err.text);
    }
}

int at_access_create(const struct at_access_config *config, struct at_error *err,
                     struct at_access **ret_access)
{
    struct at_access *a = calloc(1, sizeof *a);
    if (!a)
        return at_error_set(err, -ENOMEM, "http: out of memory");
    a->config = *config;
    pthread_mutex_init(&a->lock, NULL);
    a->full.key = "http.token_file";
    a->read.key = "http.read_token_file";
    if (config->token_file && config->token_file[0])
        a->full.path = config->token_file;
    if (config->read_token_file && config->read_token_file[0])
        a->read.path = config->read_token_file;
    int rc = refresh(&a->full, err);
    if (rc >= 0)
        rc = refresh(&a->read, err);
    if (rc >= 0 && !config->local && !a->full.text[0] && !a->read.text[0])
        rc =
            at_error_set(err, -EACCES,
                         "http.listen: %s is reachable from other machines; set http.token_file to "
                         "a file with a token of at least 16 characters, or listen on 127.0.0.1",
                         config->name);
    if (rc < 0) {
        at_access_destroy(a);
        return rc;
    }
    *ret_access = a;
    return 0;
}

void at_access_destroy(struct at_access *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

bool at_access_is_cors(const struct at_access *a, const char *origin)
{
    const char *list = a->config.cors ? a->config.cors : "";
    for (size_t n; *origin && *list; list += n + (list[n] != 0)) {
        list += strspn(list, " ");
        n = strcspn(list, ", ");
        if (n == strlen(origin) && !strncasecmp(list, origin, n))
            return true;
    }
    return false;
}

/* A page's own origin is the scheme and what stands in Host. */
static bool is_own_origin(const struct at_guard *g)
{
    const char *at = strstr(g->origin, "://");
    return at &&
           (!strncasecmp(g->origin, "http://", 7) || !strncasecmp(g->origin, "https://", 8)) &&
           !strcasecmp(at + 3, g->host);
}

/* Both are compared always: time says nothing about which one it was. A browser sends a password
 * along with whatever any page asks of us, so that a password only reads. */
static enum role role_of(struct at_access *a, const struct at_guard *g)
{
    char password[sizeof g->auth];
    size_t n = at_guard_password(g->auth, password, sizeof password);
    bool browser = n > 0;
    const char *given = browser ? password : strncasecmp(g->auth, "Bearer ", 7) ? "" : g->auth + 7;
    n = strlen(given);
    pthread_mutex_lock(&a->lock);
    refresh_both(a);
    bool full = at_guard_equal(given, n, a->full.text, strlen(a->full.text));
    bool reads = at_guard_equal(given, n, a->read.text, strlen(a->read.text));
    pthread_mutex_unlock(&a->lock);
    return full && !browser ? ROLE_FULL : full || reads ? ROLE_READ : ROLE_NONE;
}

bool at_access_check(struct at_access *a, const struct at_guard *g, bool changes, bool strict,
                     struct at_reply *r)
{
    if (a->config.local && !at_guard_host_allowed(g->host, a->config.allowed_hosts)) {
        at_reply_error(r, 403, "host_not_allowed",
                       "Host is neither a loopback address nor one of http.allowed_hosts");
        return false;
    }
    if ((changes || strict) && g->origin[0] && !is_own_origin(g) &&
        !at_access_is_cors(a, g->origin)) {
        at_reply_error(r, 403, "origin_not_allowed",
                       "a page of another origin may not do this; see http.cors");
        return false;
    }
    enum role role = role_of(a, g);
    if (role == ROLE_FULL || (!changes && (role == ROLE_READ || a->config.local)))
        return true;
    if (role == ROLE_READ) {
        at_reply_error(
            r, 403, "read_only",
            "this token may only read, as each password may that a browser sends; use that of "
            "http.token_file as Authorization: Bearer ...");
        return false;
    }
    if (changes && !a->full.path) {
        at_reply_error(r, 403, "no_token_set",
                       "changes need a token, and http.token_file names none");
        return false;
    }
    at_reply_error(
        r, 401, "unauthorized",
        "send the token of http.token_file as Authorization: Bearer ..., or give it to the "
        "browser as password");
    return false;
}
