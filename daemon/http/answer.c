/* What every answer carries: headers, ETag, compression; and pages that are written once for many.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"
#include "daemon/http/gzip.h"
#include "lib/base/clock.h"
#include "lib/base/sha256.h"

#define GZIP_LEAST 1400 /* below one packet there is nothing to win */

size_t at_reply_headers(const struct at_reply *r, struct at_header out[AT_REPLY_MAX_HEADERS])
{
    static const char policy[] =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    const struct at_answer_headers *h = &r->headers;
    const struct at_header all[] = {
        {"Content-Type", h->type},
        {"Cache-Control", h->cache_control ? h->cache_control
                          : h->etag[0]     ? "no-cache"
                                           : "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"Content-Security-Policy", policy},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", h->allow_origin ? "cross-origin" : "same-origin"},
        {"Allow", h->allow},
        {"WWW-Authenticate", r->status == 401 ? "Bearer" : NULL},
        {"WWW-Authenticate", r->status == 401 ? "Basic realm=\"attune\", charset=\"UTF-8\"" : NULL},
        {"ETag", h->etag[0] ? h->etag : NULL},
        {"Content-Encoding", h->gzip ? "gzip" : NULL},
        {"Content-Disposition", h->disposition},
        {"Access-Control-Allow-Origin", h->allow_origin},
        {"Access-Control-Allow-Methods", r->status == 204 ? "GET, HEAD, POST, PATCH" : NULL},
        {"Access-Control-Allow-Headers", r->status == 204 ? "Authorization, Content-Type" : NULL},
        {"Vary", h->vary && h->allow_origin ? "Accept-Encoding, Origin"
                 : h->allow_origin          ? "Origin"
                 : h->vary                  ? "Accept-Encoding"
                                            : NULL},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value)
            out[n++] = all[i];
    return n;
}

/* Weak, since the same answer goes out compressed and plain. */
static void make_etag(struct at_reply *r, const void *data, size_t n)
{
    struct at_sha256 s;
    char hex[AT_SHA256_HEX_SIZE];
    at_sha256_init(&s);
    at_sha256_push(&s, data, n);
    at_sha256_finish_hex(&s, hex);
    snprintf(r->headers.etag, sizeof r->headers.etag, "W/\"%.16s\"", hex);
}

static bool is_text(const char *type)
{
    return !strncmp(type, "text/", 5) || !strcmp(type, "application/json") ||
           !strcmp(type, "image/svg+xml");
}

void at_reply_encode(struct at_reply *r, const struct at_guard *g, const struct at_route *route)
{
    const void *data = r->asset ? r->asset : r->body.data;
    size_t n = r->asset ? r->asset_n : r->body.len;
    if (r->status != 200 || !data)
        return;
    if (route && route->slow_change) {
        make_etag(r, data, n);
        if (strstr(g->none_match, r->headers.etag) || !strcmp(g->none_match, "*")) {
            r->status = 304;
            r->asset = NULL;
            at_buf_reset(&r->body);
            return;
        }
    }
    if (n < GZIP_LEAST || !is_text(r->headers.type))
        return;
    void *packed;
    size_t packed_n;
    r->headers.vary = true;
    if (!at_gzip_accepted(g->encoding) || at_gzip(data, n, &packed, &packed_n))
        return;
    at_buf_finish(&r->body);
    at_buf_init(&r->body, packed_n);
    r->body.data = packed;
    r->body.len = r->body.cap = packed_n;
    r->asset = NULL;
    r->headers.gzip = true;
}

/* ---- pages ---- */

struct at_page_cache {
    pthread_mutex_t lock;
    struct at_buf page;
    int64_t written_ns; /* 0: never */
};

struct at_page_cache *at_page_cache_create(void)
{
    struct at_page_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    at_buf_init(&c->page, AT_API_MAX_BODY);
    return c;
}

void at_page_cache_destroy(struct at_page_cache *c)
{
    if (!c)
        return;
    at_buf_finish(&c->page);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int at_page_cache_get(struct at_page_cache *c, int64_t max_age_ns, struct at_buf *out,
                      int (*write)(void *ctx, struct at_buf *out), void *ctx)
{
    if (!c)
        return write(ctx, out);
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    int64_t now = at_clock_mono_ns();
    if (!c->written_ns || now - c->written_ns > max_age_ns) {
        at_buf_reset(&c->page);
        rc = write(ctx, &c->page);
        c->written_ns = rc ? 0 : now;
    }
    if (!rc)
        rc = at_buf_add(out, c->page.data, c->page.len);
    pthread_mutex_unlock(&c->lock);
    return rc;
}
