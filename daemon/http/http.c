/* One epoll thread of libmicrohttpd serves everything; a pump thread wakes the event streams and
 * ends requests that take too long (the library's own timeout counts inactivity only: a client that
 * sends a byte now and then lives for ever). Limits and their measurements: docs/http.md.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/http/guard.h"
#include "daemon/http/listen.h"
#include "daemon/log.h"
#include "lib/base/clock.h"

#define MEMORY_LIMIT  (32u << 10) /* of a connection: request line, headers */
#define KEEP_ALIVE_NS (15 * AT_NS_PER_S)
#define PUMP_NS       (20 * 1000 * 1000)
#define STUCK_NS      (10 * AT_NS_PER_S) /* a handler that takes longer stops the watchdog's count */

/* A connection; the list is what the deadline is checked on. */
struct peer {
    struct peer *prev, *next;
    int fd;
    int64_t since_ns; /* accepted, or its newest request answered */
    bool streaming, ended;
};

/* A reader of /api/v1/events. */
struct stream {
    struct stream *prev, *next;
    struct at_http *http;
    struct MHD_Connection *connection;
    bool suspended;
    struct at_event_cursor cursor;
    struct at_buf pending; /* text on its way */
    size_t sent;           /* of pending */
    int64_t wrote_ns;
};

struct at_http {
    struct MHD_Daemon *daemon;
    const struct at_api *api;
    char url[96], token[256];
    size_t token_n;
    bool need_token;
    const char *const *allowed_hosts;
    unsigned max_streams;
    int64_t deadline_ns;
    pthread_mutex_t lock; /* peers, streams, stopping */
    struct peer *peers;
    struct stream *streams;
    unsigned n_streams;
    bool stopping, pump_runs;
    pthread_t pump;
    uint64_t seen_version;
    _Atomic int64_t busy_since_ns; /* the handler that runs; 0: none */
    _Atomic uint64_t turns;
};

/* ---- connections and their deadline ---- */

static void on_connection(void *ctx, struct MHD_Connection *c, void **socket_ctx,
                          enum MHD_ConnectionNotificationCode what)
{
    struct at_http *h = ctx;
    pthread_mutex_lock(&h->lock);
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct peer *p = info ? calloc(1, sizeof *p) : NULL;
        if (p) {
            *p = (struct peer){
                .next = h->peers, .fd = info->connect_fd, .since_ns = at_clock_mono_ns()};
            if (h->peers)
                h->peers->prev = p;
            h->peers = p;
        }
        *socket_ctx = p;
    } else if (*socket_ctx) {
        struct peer *p = *socket_ctx;
        *(p->prev ? &p->prev->next : &h->peers) = p->next;
        if (p->next)
            p->next->prev = p->prev;
        free(p);
        *socket_ctx = NULL;
    }
    pthread_mutex_unlock(&h->lock);
}

static struct peer *peer_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **request_ctx,
                         enum MHD_RequestTerminationCode why)
{
    struct at_http *h = ctx;
    struct peer *p = peer_of(c);
    pthread_mutex_lock(&h->lock);
    if (p) {
        /* A reader that took nothing for the whole timeout was dropped. */
        if (p->streaming && why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
            at_metrics_count(h->api->metrics, AT_COUNT_SSE_DROPPED, NULL, NULL, NULL);
        p->streaming = false;
        p->since_ns = at_clock_mono_ns();
    }
    pthread_mutex_unlock(&h->lock);
}

/* Shuts sockets of requests that have taken too long; the library then sees them closed. Under the
 * lock. */
static void end_late_peers(struct at_http *h, int64_t now)
{
    for (struct peer *p = h->peers; p; p = p->next)
        if (!p->streaming && !p->ended && now - p->since_ns > h->deadline_ns) {
            p->ended = true;
            shutdown(p->fd, SHUT_RDWR);
        }
}

/* ---- event streams ---- */

static ssize_t take_pending(struct stream *s, char *out, size_t max)
{
    size_t left = s->pending.len - s->sent, n = left < max ? left : max;
    memcpy(out, s->pending.data + s->sent, n);
    s->sent += n;
    s->wrote_ns = at_clock_mono_ns();
    if (s->sent == s->pending.len) {
        at_buf_reset(&s->pending);
        s->sent = 0;
    }
    return (ssize_t)n;
}

static ssize_t read_stream(void *ctx, uint64_t at, char *out, size_t max)
{
    struct stream *s = ctx;
    struct at_http *h = s->http;
    ssize_t n = 0;
    pthread_mutex_lock(&h->lock);
    int rc = s->pending.len ? 1 : at_events_next(h->api->events, &s->cursor, &s->pending);
    if (!rc && at_clock_mono_ns() - s->wrote_ns > KEEP_ALIVE_NS) {
        at_buf_printf(&s->pending, ": here\n\n");
        rc = 1;
    }
    if (h->stopping || rc < 0) {
        if (rc == -EPIPE)
            at_metrics_count(h->api->metrics, AT_COUNT_SSE_DROPPED, NULL, NULL, NULL);
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (rc) {
        n = take_pending(s, out, max);
    } else {
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    pthread_mutex_unlock(&h->lock);
    return n;
}

static void free_stream(void *ctx)
{
    struct stream *s = ctx;
    struct at_http *h = s->http;
    pthread_mutex_lock(&h->lock);
    *(s->prev ? &s->prev->next : &h->streams) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    h->n_streams--;
    pthread_mutex_unlock(&h->lock);
    at_events_unsubscribe(h->api->events, &s->cursor);
    at_buf_finish(&s->pending);
    free(s);
}

/* NULL: too many, or no memory. */
static struct stream *create_stream(struct at_http *h, struct MHD_Connection *c,
                                    const struct at_request *q)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct stream){.http = h, .connection = c, .wrote_ns = at_clock_mono_ns()};
    at_buf_init(&s->pending, AT_EVENT_MAX_BYTES + 256);
    at_buf_printf(&s->pending, "retry: 2000\n\n");
    struct peer *p = peer_of(c);
    pthread_mutex_lock(&h->lock);
    bool room = h->n_streams < h->max_streams && !h->stopping && !s->pending.failed;
    if (room) {
        h->n_streams++;
        s->next = h->streams;
        if (h->streams)
            h->streams->prev = s;
        h->streams = s;
        if (p)
            p->streaming = true;
    }
    pthread_mutex_unlock(&h->lock);
    if (!room) {
        at_buf_finish(&s->pending);
        free(s);
        return NULL;
    }
    at_events_subscribe(h->api->events, at_event_mask(at_request_param(q, "types")),
                        q->last_event_id, &s->cursor);
    return s;
}

static void resume_streams(struct at_http *h, int64_t now)
{
    uint64_t version = at_events_version(h->api->events);
    bool news = version != h->seen_version || h->stopping;
    h->seen_version = version;
    for (struct stream *s = h->streams; s; s = s->next)
        if (s->suspended && (news || now - s->wrote_ns > KEEP_ALIVE_NS)) {
            s->suspended = false;
            MHD_resume_connection(s->connection);
        }
}

static void *run_pump(void *ctx)
{
    struct at_http *h = ctx;
    for (;;) {
        int64_t now = at_clock_mono_ns(), busy = atomic_load(&h->busy_since_ns);
        pthread_mutex_lock(&h->lock);
        bool stopping = h->stopping;
        resume_streams(h, now);
        end_late_peers(h, now);
        pthread_mutex_unlock(&h->lock);
        if (stopping)
            return NULL;
        if (!busy || now - busy < STUCK_NS)
            atomic_fetch_add(&h->turns, 1);
        nanosleep(&(struct timespec){.tv_nsec = PUMP_NS}, NULL);
    }
}

/* ---- requests ---- */

static void add_headers(struct MHD_Response *m, const struct at_reply *r, bool close)
{
    static const char policy[] =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    MHD_add_response_header(m, "Content-Type", r->headers.type);
    MHD_add_response_header(m, "Cache-Control",
                            r->headers.cache_control ? r->headers.cache_control : "no-store");
    MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(m, "Content-Security-Policy", policy);
    MHD_add_response_header(m, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(m, "Cross-Origin-Resource-Policy", "same-origin");
    if (r->headers.allow)
        MHD_add_response_header(m, "Allow", r->headers.allow);
    if (r->status == 401)
        MHD_add_response_header(m, "WWW-Authenticate", "Bearer");
    if (close)
        MHD_add_response_header(m, "Connection", "close");
}

/* Sends r; its body's memory goes to the library. */
static enum MHD_Result send_reply(struct MHD_Connection *c, struct at_reply *r, bool close)
{
    struct MHD_Response *m;
    if (r->asset) {
        m = MHD_create_response_from_buffer(r->asset_n, (void *)(uintptr_t)r->asset,
                                            MHD_RESPMEM_PERSISTENT);
    } else {
        m = MHD_create_response_from_buffer(r->body.len, r->body.data, MHD_RESPMEM_MUST_FREE);
        if (m)
            r->body = (struct at_buf){0};
    }
    if (!m)
        return MHD_NO;
    add_headers(m, r, close);
    enum MHD_Result rc = MHD_queue_response(c, (unsigned)r->status, m);
    MHD_destroy_response(m);
    return rc;
}

static enum MHD_Result send_stream(struct at_http *h, struct MHD_Connection *c,
                                   const struct at_request *q, struct at_reply *r)
{
    struct stream *s = create_stream(h, c, q);
    if (!s) {
        at_reply_error(r, 503, "too_many_streams",
                       "too many event streams; close one or raise http.max_connections");
        return send_reply(c, r, true);
    }
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, s, free_stream);
    if (!m) {
        free_stream(s);
        return MHD_NO;
    }
    r->headers.type = "text/event-stream";
    add_headers(m, r, false);
    MHD_add_response_header(m, "X-Accel-Buffering", "no"); /* nginx must not hold events back */
    enum MHD_Result rc = MHD_queue_response(c, 200, m);
    MHD_destroy_response(m);
    return rc;
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

/* Decodes %XX in place. What must not be in a path or a value (NUL, controls, broken escapes)
 * becomes 0x01, which has_control() finds: the library hands the path on as a C string. */
static size_t unescape(void *ctx, struct MHD_Connection *c, char *s)
{
    char *out = s, *begin = s;
    for (; *s; s++) {
        char byte = *s;
        if (byte == '%') {
            unsigned value;
            char digits[3] = {s[1], s[1] ? s[2] : 0, 0};
            if (strspn(digits, "0123456789abcdefABCDEF") == 2 &&
                sscanf(digits, "%x", &value) == 1) {
                byte = value < 0x20 || value == 0x7f ? 1 : (char)value;
                s += 2;
            } else {
                byte = 1;
            }
        }
        *out++ = byte;
    }
    *out = 0;
    return (size_t)(out - begin);
}

struct query_scan {
    struct at_request *q;
    bool bad;
};

static enum MHD_Result take_param(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_n,
                                  const char *value, size_t value_n)
{
    struct query_scan *scan = ctx;
    struct at_request *q = scan->q;
    const char *text = value ? value : "";
    if (!key || q->n_params == AT_API_MAX_PARAMS || strlen(key) != key_n ||
        strlen(text) != value_n || has_control(key) || has_control(text)) {
        scan->bad = true;
        return MHD_NO;
    }
    q->params[q->n_params++] = (struct at_param){key, text};
    return MHD_YES;
}

static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                   size_t name_n, const char *value, size_t value_n)
{
    at_guard_header(ctx, name ? name : "", name ? name_n : 0, value ? value : "",
                    value ? value_n : 0);
    return MHD_YES;
}

static bool authorized(const struct at_http *h, struct MHD_Connection *c)
{
    if (!h->need_token)
        return true;
    const char *value = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    if (!value || strncasecmp(value, "Bearer ", 7))
        return false;
    return at_guard_equal(value + 7, strlen(value + 7), h->token, h->token_n);
}

/* The request's framing: whether it may be answered now, before anything behind its headers is
 * read, and then the connection closed. r is filled where it is refused. */
static bool must_close(struct MHD_Connection *c, const struct at_request *q, const char *version,
                       struct at_guard *guard, struct at_reply *r)
{
    MHD_get_connection_values_n(c, MHD_HEADER_KIND, take_header, guard);
    const char *why = at_guard_framing(guard, version);
    if (why)
        at_reply_error(r, 400, "bad_request", "%s", why);
    else if (guard->body && (!strcmp(q->method, "GET") || !strcmp(q->method, "HEAD")))
        at_reply_error(r, 400, "body_not_accepted", "%s takes no body", q->method);
    return why || guard->body;
}

/* Everything before the route: host, token, escapes. True: go on. */
static bool admit(const struct at_http *h, struct MHD_Connection *c, struct at_request *q,
                  const char *host, struct at_reply *r)
{
    struct query_scan scan = {.q = q};
    if (!h->need_token && !at_guard_host_allowed(host, h->allowed_hosts)) {
        at_reply_error(r, 403, "host_not_allowed",
                       "Host is none of localhost, 127.0.0.1 and [::1]");
        return false;
    }
    if (!authorized(h, c)) {
        at_reply_error(r, 401, "unauthorized",
                       "send the token of http.token_file as Authorization: Bearer ...");
        return false;
    }
    MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, take_param, &scan);
    if (scan.bad || has_control(q->path)) {
        at_reply_error(r, 400, "bad_request",
                       "a broken escape, a control character, or more than %d parameters",
                       AT_API_MAX_PARAMS);
        return false;
    }
    const char *last = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Last-Event-ID");
    if (last && *last && strlen(last) < 19 && strspn(last, "0123456789") == strlen(last))
        q->last_event_id = strtoull(last, NULL, 10);
    return true;
}

static enum MHD_Result answer(struct at_http *h, struct MHD_Connection *c, struct at_request *q,
                              struct at_reply *r, const char *host, bool close)
{
    const struct at_route *route = NULL;
    enum MHD_Result rc;
    if (r->status == 200 && admit(h, c, q, host, r)) {
        route = at_route_find(q, r);
        if (route)
            at_route_run(route, h->api, q, r);
    }
    bool stream =
        route && route->kind == AT_ROUTE_EVENTS && r->status == 200 && !strcmp(q->method, "GET");
    rc = stream ? send_stream(h, c, q, r) : send_reply(c, r, close);
    char code[8];
    snprintf(code, sizeof code, "%d", r->status);
    at_metrics_count(h->api->metrics, AT_COUNT_HTTP, route ? route->path : "none", code, NULL);
    at_log(AT_LOG_DEBUG, AT_FIELDS({"path", q->path}, {"code", code}), "http: %s %s: %s", q->method,
           q->path, code);
    return rc;
}

/* The library calls this once with the headers and, for a request that goes on, once more to
 * answer. Answering at the first call makes it close the connection, which is what a request with a
 * body, or a doubtful one, gets. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_n, void **request_ctx)
{
    static int seen;
    struct at_http *h = ctx;
    struct at_request q = {.method = method, .path = path};
    struct at_guard guard = {0};
    struct at_reply r;
    bool first = !*request_ctx;
    enum MHD_Result rc = MHD_YES;
    *request_ctx = &seen;
    if (*body_n) { /* of a request that was answered already */
        *body_n = 0;
        return MHD_YES;
    }
    atomic_store(&h->busy_since_ns, at_clock_mono_ns());
    at_reply_init(&r);
    bool close = must_close(c, &q, version, &guard, &r);
    if (close == first)
        rc = answer(h, c, &q, &r, guard.host, close);
    at_reply_finish(&r);
    atomic_store(&h->busy_since_ns, 0);
    return rc;
}

/* ---- start and stop ---- */

static void on_library_log(void *ctx, const char *format, va_list ap)
{
    char text[256];
    vsnprintf(text, sizeof text, format, ap);
    text[strcspn(text, "\n")] = 0;
    at_log(AT_LOG_DEBUG, NULL, "http library: %s", text);
}

static int start_daemon(struct at_http *h, const struct at_http_config *config, int fd)
{
    unsigned timeout = (unsigned)(config->timeout_s > 1 ? config->timeout_s : 10);
    h->deadline_ns = (int64_t)timeout * 2 * AT_NS_PER_S;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, h},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, h},
        {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)unescape, h},
        {MHD_OPTION_CONNECTION_LIMIT, config->max_connections ? config->max_connections : 256,
         NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, config->max_per_address ? config->max_per_address : 64,
         NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, timeout, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY_LIMIT, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                                     MHD_USE_ERROR_LOG,
                                 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER,
                                 on_library_log, NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    return h->daemon ? 0 : -EIO;
}

static int check_token(const struct at_http_config *config, struct at_http *h, struct at_error *err)
{
    h->need_token = config->listener ? !at_listen_is_local(config->listener)
                                     : !at_listen_is_loopback(config->host);
    if (config->token)
        h->token_n = (size_t)snprintf(h->token, sizeof h->token, "%s", config->token);
    if (h->token_n >= sizeof h->token)
        return at_error_set(err, -EINVAL, "http.token_file: the token is longer than %zu bytes",
                            sizeof h->token - 1);
    if (h->need_token && h->token_n < 16)
        return at_error_set(err, -EACCES,
                            "http.listen: %s is reachable from other machines; set http.token_file "
                            "to a file with a "
                            "token of at least 16 characters, or listen on 127.0.0.1",
                            config->listener ? "attuned.socket" : config->host);
    return 0;
}

int at_http_start(const struct at_http_config *config, const struct at_api *api,
                  struct at_error *err, struct at_http **ret_http)
{
    struct at_http *h = calloc(1, sizeof *h);
    if (!h)
        return at_error_set(err, -ENOMEM, "http: out of memory");
    h->api = api;
    h->allowed_hosts = config->allowed_hosts;
    h->max_streams = (config->max_connections ? config->max_connections : 256) / 2;
    pthread_mutex_init(&h->lock, NULL);
    int rc = check_token(config, h, err), fd = -1;
    if (!rc)
        rc = fd = config->listener
                      ? at_listen_adopt(config->listener, h->url, sizeof h->url, err)
                      : at_listen_open(config->host, config->port, h->url, sizeof h->url, err);
    if (rc < 0)
        goto fail;
    rc = start_daemon(h, config, fd);
    if (rc) {
        close(fd);
        at_error_set(err, rc,
                     "http: the server does not start; raise the limit of open files (ulimit -n)");
        goto fail;
    }
    rc = -pthread_create(&h->pump, NULL, run_pump, h);
    if (rc) {
        at_error_set(err, rc, "http: no thread: %s", strerror(-rc));
        goto fail;
    }
    h->pump_runs = true;
    *ret_http = h;
    return 0;
fail:
    at_http_stop(h);
    return rc;
}

void at_http_stop(struct at_http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    /* The pump's last turn resumes every stream: a suspended connection would hold the library up.
     */
    if (h->pump_runs)
        pthread_join(h->pump, NULL);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

const char *at_http_url(const struct at_http *h)
{
    return h->url;
}

uint64_t at_http_turns(const struct at_http *h)
{
    return atomic_load(&h->turns);
}
