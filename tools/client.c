/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "tools/receive.h"

#define MAX_BODY  (32u << 20)
#define MAX_LINE  (64u << 10) /* of an event stream */
#define CONNECT_S 5L
#define ANSWER_S  20L
#define SILENT_S  60L /* a stream without a keep-alive for so long is dead */

struct at_client {
    CURL *curl;
    struct curl_slist *headers; /* every request's */
    char url[512], error[CURL_ERROR_SIZE];
    char *ca_file; /* NULL: the system's authorities */
    char last_id[32];
    /* the event being read */
    struct at_buf line, data;
    char type[32];
    at_client_event_fn *event;
    void *ctx;
    bool stopped;
};

static int read_token(struct at_client *c, const char *path, struct at_error *err)
{
    char token[256], header[300];
    FILE *f = fopen(path, "re");
    if (!f)
        return at_error_set(err, -errno, "%s: %s", path, strerror(errno));
    bool got = fgets(token, sizeof token, f) != NULL;
    fclose(f);
    if (got)
        token[strcspn(token, "\r\n")] = 0;
    if (!got || !token[0])
        return at_error_set(err, -EINVAL, "%s: no token in its first line", path);
    snprintf(header, sizeof header, "Authorization: Bearer %s", token);
    c->headers = curl_slist_append(NULL, header);
    return c->headers ? 0 : at_error_set(err, -ENOMEM, "no memory");
}

/* Non-zero ends the transfer: Ctrl-C. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    return at_interrupted;
}

int at_client_create(const struct at_client_options *o, struct at_error *err,
                     struct at_client **ret_client)
{
    struct at_client *c = calloc(1, sizeof *c);
    const char *url = o->url ? o->url : getenv("ATTUNE_URL");
    if (!c)
        return at_error_set(err, -ENOMEM, "no memory");
    at_buf_init(&c->line, MAX_LINE);
    at_buf_init(&c->data, MAX_LINE);
    int n = snprintf(c->url, sizeof c->url, "%s", url && *url ? url : AT_CLIENT_URL), r = 0;
    if (n >= (int)sizeof c->url ||
        (strncmp(c->url, "http://", 7) != 0 && strncmp(c->url, "https://", 8) != 0))
        r = at_error_set(err, -EINVAL, "\"%.60s\" is no URL; write for example " AT_CLIENT_URL,
                         url);
    while (r == 0 && n > 0 && c->url[n - 1] == '/')
        c->url[--n] = 0;
    if (r == 0 && o->token_file)
        r = read_token(c, o->token_file, err);
    if (r == 0 && o->ca_file) {
        if (access(o->ca_file, R_OK) < 0)
            r = at_error_set(err, -errno, "%s: %s", o->ca_file, strerror(errno));
        else if (!(c->ca_file = strdup(o->ca_file)))
            r = at_error_set(err, -ENOMEM, "no memory");
    }
    if (r == 0 && (curl_global_init(CURL_GLOBAL_DEFAULT) || !(c->curl = curl_easy_init())))
        r = at_error_set(err, -ENOMEM, "no memory");
    if (r < 0) {
        at_client_destroy(c);
        return r;
    }
    *ret_client = c;
    return 0;
}

void at_client_destroy(struct at_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    free(c->ca_file);
    at_buf_finish(&c->line);
    at_buf_finish(&c->data);
    free(c);
}

const char *at_client_url(const struct at_client *c)
{
    return c->url;
}

static void prepare(struct at_client *c, const char *path, struct curl_slist *headers,
                    curl_write_callback write, void *to)
{
    char url[2048];
    snprintf(url, sizeof url, "%s%s", c->url, path);
    curl_easy_reset(c->curl);
    c->error[0] = 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, to);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "attune/" AT_VERSION);
    curl_easy_setopt(c->curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (c->ca_file)
        curl_easy_setopt(c->curl, CURLOPT_CAINFO, c->ca_file);
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct at_buf *body = ctx;
    at_buf_add(body, data, size * n);
    return body->failed ? 0 : size * n;
}

/* What the transfer came to, as at_client_get() says it. body: for the daemon's own words. */
static int judge(struct at_client *c, CURLcode code, const char *path, const char *body,
                 struct at_error *err)
{
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (at_interrupted)
        return at_error_set(err, -EINTR, "interrupted");
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        return at_error_set(err, -ECONNREFUSED,
                            "%s does not answer (%s); is attuned running? --url or ATTUNE_URL says "
                            "where",
                            c->url, c->error[0] ? c->error : curl_easy_strerror(code));
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        return at_error_set(err, -EPROTO, "%s: %s; --ca-file names a certificate to trust", c->url,
                            c->error[0] ? c->error : curl_easy_strerror(code));
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && c->stopped))
        return at_error_set(err, -ECONNREFUSED, "%s%s: %s", c->url, path,
                            c->error[0] ? c->error : curl_easy_strerror(code));
    if (status == 401)
        return at_error_set(err, -EACCES, "%s wants a token (401); give --token-file", c->url);
    if (status == 200)
        return 0;
    json_t *o = body ? json_loads(body, 0, NULL) : NULL;
    const char *said = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    int r = at_error_set(err, status == 403 ? -EACCES : -EPROTO, "%s%s: %ld%s%s", c->url, path,
                         status, said ? ": " : "", said ? said : "");
    json_decref(o);
    return r;
}

int at_client_get(struct at_client *c, const char *path, struct at_error *err, json_t **ret)
{
    struct at_buf body;
    at_buf_init(&body, MAX_BODY);
    prepare(c, path, c->headers, on_body, &body);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, ANSWER_S);
    CURLcode code = curl_easy_perform(c->curl);
    at_buf_add(&body, "", 1);
    int r = body.failed ? at_error_set(err, -EPROTO, "%s%s: the answer is too long", c->url, path)
                        : judge(c, code, path, body.data, err);
    json_t *o = r == 0 ? json_loads(body.data, 0, NULL) : NULL;
    if (r == 0 && !o)
        r = at_error_set(err, -EPROTO, "%s%s: the answer is no JSON; is this attuned?", c->url,
                         path);
    at_buf_finish(&body);
    if (r == 0)
        *ret = o;
    return r;
}

/* One line of the stream; an empty one ends the event. */
static int on_line(struct at_client *c)
{
    char *line = c->line.data;
    if (!*line) {
        int r = 0;
        at_buf_add(&c->data, "", 1);
        if (c->data.len > 1 && !c->data.failed)
            r = c->event(c->ctx, c->type[0] ? c->type : "message", c->last_id, c->data.data);
        c->type[0] = 0;
        at_buf_reset(&c->data);
        return r;
    }
    char *colon = strchr(line, ':');
    if (!colon || colon == line) /* a keep-alive is a comment */
        return 0;
    *colon++ = 0;
    colon += *colon == ' ';
    if (strcmp(line, "event") == 0)
        snprintf(c->type, sizeof c->type, "%s", colon);
    else if (strcmp(line, "id") == 0)
        snprintf(c->last_id, sizeof c->last_id, "%s", colon);
    else if (strcmp(line, "data") == 0)
        at_buf_add(&c->data, colon, strlen(colon));
    return 0;
}

static size_t on_stream(char *data, size_t size, size_t n, void *ctx)
{
    struct at_client *c = ctx;
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) /* why not, for judge() */
        at_buf_add(&c->data, data, size * n);
    for (size_t i = 0; status == 200 && i < size * n; i++) {
        if (data[i] == '\r')
            continue;
        if (data[i] != '\n') {
            at_buf_add(&c->line, &data[i], 1);
            continue;
        }
        at_buf_add(&c->line, "", 1);
        c->stopped = !c->line.failed && on_line(c) != 0;
        at_buf_reset(&c->line);
        if (c->stopped)
            return 0;
    }
    return size * n;
}

int at_client_follow(struct at_client *c, const char *path, double limit_s,
                     at_client_event_fn *event, void *ctx, struct at_error *err)
{
    char header[64];
    struct curl_slist *headers = NULL;
    for (const struct curl_slist *h = c->headers; h; h = h->next)
        headers = curl_slist_append(headers, h->data);
    headers = curl_slist_append(headers, "Accept: text/event-stream");
    if (c->last_id[0]) {
        snprintf(header, sizeof header, "Last-Event-ID: %s", c->last_id);
        headers = curl_slist_append(headers, header);
    }
    c->event = event;
    c->ctx = ctx;
    c->stopped = false;
    c->type[0] = 0;
    at_buf_reset(&c->line);
    at_buf_reset(&c->data);
    prepare(c, path, headers, on_stream, c);
    /* libcurl counts whole milliseconds of its own and may end some early: the caller's clock
     * decides. */
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, limit_s > 0 ? (long)(limit_s * 1e3) + 20 : 0L);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, SILENT_S);
    CURLcode code = curl_easy_perform(c->curl);
    at_buf_add(&c->data, "", 1);
    int r = judge(c, code, path, c->data.failed ? NULL : c->data.data, err);
    curl_slist_free_all(headers);
    return r;
}

int at_client_query(char *path, size_t size, const char *name, const char *value)
{
    if (!value)
        return 0;
    size_t n = strlen(path);
    char *escaped = curl_easy_escape(NULL, value, 0);
    int m = escaped ? snprintf(path + n, size - n, "%c%s=%s", strchr(path, '?') ? '&' : '?', name,
                               escaped)
                    : -1;
    curl_free(escaped);
    return m > 0 && (size_t)m < size - n ? 0 : -ENAMETOOLONG;
}
