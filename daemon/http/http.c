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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/http/access.h"
#include "daemon/http/exchange.h"
#include "daemon/http/jobs.h"
#include "daemon/http/listen.h"
#include "daemon/log.h"
#include "lib/base/clock.h"

#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define MEMORY_LIMIT   (32u << 10) /* of a connection: request line, headers */
#define KEEP_ALIVE_NS  (15 * AT_NS_PER_S)
#define PUMP_NS        (20 * 1000 * 1000)
#define DRAIN_NS       (300 * 1000 * 1000)
#define STUCK_NS       (10 * AT_NS_PER_S) /* a handler that takes longer stops the watchdog's count */

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
    struct at_access *access;
    struct at_jobs *jobs;
    char url[96], base_path[128]; /* base_path: "" or "/sdr" */
    bool metrics_only;
    _Atomic bool cancelled; /* jobs should come to their end */
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

/* A reader of events that is too slow for them. */
static void count_dropped(struct at_http *h)
{
    at_metrics_count(h->api->metrics, AT_COUNT_SSE_DROPPED, NULL, NULL, NULL);
    at_log(AT_LOG_INFO, NULL, "an event stream is closed: its reader is too slow");
}

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
    struct at_exchange *x = *request_ctx;
    if (x) {
        at_exchange_finish(x);
        free(x);
        *request_ctx = NULL;
    }
    pthread_mutex_lock(&h->lock);
    if (p) {
        /* A reader that took nothing for the whole timeout was dropped. */
        if (p->streaming && why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
            count_dropped(h);
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
            count_dropped(h);
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
    pthread_setname_np(pthread_self(), "http-pump");
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

/* ---- answers ---- */

static void add_headers(struct MHD_Response *m, const struct at_reply *r, bool close)
{
    struct at_header list[AT_REPLY_MAX_HEADERS];
    size_t n = at_reply_headers(r, list);
    for (size_t i = 0; i < n; i++)
        MHD_add_response_header(m, list[i].name, list[i].value);
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

static enum MHD_Result finish_answer(struct at_http *h, struct MHD_Connection *c,
                                     struct at_exchange *x)
{
    const struct at_route *route = x->route;
    bool stream = route && route->kind == AT_ROUTE_EVENTS && x->reply.status == 200 &&
                  !strcmp(x->request.method, "GET");
    if (!stream)
        at_reply_encode(&x->reply, &x->guard, route);
    enum MHD_Result rc =
        stream ? send_stream(h, c, &x->request, &x->reply) : send_reply(c, &x->reply, x->close);
    char code[8];
    snprintf(code, sizeof code, "%d", x->reply.status);
    at_metrics_count(h->api->metrics, AT_COUNT_HTTP, x->known ? x->known->path : "none", code,
                     NULL);
    at_log(AT_LOG_DEBUG, AT_FIELDS({"path", x->request.path}, {"code", code}), "http: %s %s: %s",
           x->request.method, x->request.path, code);
    return rc;
}

/* ---- requests ---- */

static size_t unescape(void *ctx, struct MHD_Connection *c, char *s)
{
    return at_guard_unescape(s);
}

static enum MHD_Result take_param(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_n,
                                  const char *value, size_t value_n)
{
    return at_exchange_param(ctx, key, key_n, value, value_n) ? MHD_YES : MHD_NO;
}

static enum MHD_Result take_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                   size_t name_n, const char *value, size_t value_n)
{
    at_guard_header(ctx, name ? name : "", name ? name_n : 0, value ? value : "",
                    value ? value_n : 0);
    return MHD_YES;
}

static struct at_exchange *begin(struct at_http *h, struct MHD_Connection *c, const char *path,
                                 const char *method, const char *version)
{
    struct at_exchange_rules rules = {.access = h->access,
                                      .base_path = h->base_path,
                                      .metrics_only = h->metrics_only,
                                      .max_body = h->api->max_body};
    struct at_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    at_exchange_init(x, method, path);
    x->connection = c;
    x->request.cancelled = &h->cancelled;
    MHD_get_connection_values_n(c, MHD_HEADER_KIND, take_header, &x->guard);
    MHD_get_connection_values_n(c, MHD_GET_ARGUMENT_KIND, take_param, x);
    at_exchange_judge(x, &rules, version);
    return x;
}

/* A part of the body; past its ceiling the rest is thrown away and the answer is 413. */
static void take_body(struct at_http *h, struct at_exchange *x, const char *data, size_t n)
{
    if (!x->takes_body)
        return;
    at_buf_add(&x->body, data, n);
    struct peer *p = peer_of(x->connection);
    pthread_mutex_lock(&h->lock);
    if (p) /* a body may take its time, at 64 KiB a second or more */
        p->since_ns += (int64_t)n * AT_NS_PER_S / 65536;
    pthread_mutex_unlock(&h->lock);
}

static enum MHD_Result respond(struct at_http *h, struct MHD_Connection *c, struct at_exchange *x)
{
    if (!x->route || x->done)
        return finish_answer(h, c, x);
    if (!at_exchange_ready(x))
        return finish_answer(h, c, x);
    if (x->route->kind == AT_ROUTE_SLOW) {
        if (at_jobs_push(h->jobs, x)) {
            at_reply_error(&x->reply, 503, "busy", "too many requests at once; try again");
            return finish_answer(h, c, x);
        }
        return MHD_YES; /* suspended: the job's end resumes it */
    }
    at_route_run(x->route, h->api, &x->request, &x->reply);
    return finish_answer(h, c, x);
}

/* In a thread of the jobs. */
static void run_job(void *ctx, void *item)
{
    struct at_http *h = ctx;
    struct at_exchange *x = item;
    at_route_run(x->route, h->api, &x->request, &x->reply);
    pthread_mutex_lock(&h->lock);
    x->done = true;
    struct peer *p = peer_of(x->connection);
    if (p) {
        p->streaming = false;
        p->since_ns = at_clock_mono_ns();
    }
    MHD_resume_connection(x->connection);
    pthread_mutex_unlock(&h->lock);
}

/* Before the job can run: suspended, and without a deadline while it does. */
static void before_job(void *ctx, void *item)
{
    struct at_http *h = ctx;
    struct at_exchange *x = item;
    pthread_mutex_lock(&h->lock);
    struct peer *p = peer_of(x->connection);
    if (p)
        p->streaming = true;
    MHD_suspend_connection(x->connection);
    pthread_mutex_unlock(&h->lock);
}

/* The library calls this once with the headers, once for each part of a body, and once more to
 * answer. Answering at the first call makes it close the connection, which is what a request with a
 * body that is not taken, or a doubtful one, gets. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_n, void **request_ctx)
{
    struct at_http *h = ctx;
    struct at_exchange *x = *request_ctx;
    enum MHD_Result rc = MHD_YES;
    atomic_store(&h->busy_since_ns, at_clock_mono_ns());
    if (!x) {
        *request_ctx = x = begin(h, c, path, method, version);
        if (!x)
            rc = MHD_NO;
        else if (x->close && !x->takes_body)
            rc = finish_answer(h, c, x);
    } else if (*body_n) {
        take_body(h, x, body, *body_n);
        *body_n = 0;
    } else {
        rc = respond(h, c, x);
    }
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

/* The library says no more than that it does not start: one that serves nobody tells what is TLS's.
 */
int at_http_check_tls(const char *cert, const char *key, struct at_error *err)
{
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_TLS | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, NULL,
        MHD_OPTION_EXTERNAL_LOGGER, on_library_log, NULL, MHD_OPTION_HTTPS_MEM_CERT, cert,
        MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES, MHD_OPTION_END);
    if (!d)
        return at_error_set(
            err, -EINVAL,
            "http.tls: cert and key are no pair; `openssl x509 -noout -in CERT` and "
            "`openssl pkey -noout -in KEY` show whether each is PEM");
    MHD_stop_daemon(d);
    return 0;
}

static int start_daemon(struct at_http *h, const struct at_http_config *config, int fd)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)config->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    if (config->tls_cert) {
        flags |= MHD_USE_TLS;
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0,
                                         (void *)(uintptr_t)config->tls_cert};
    }
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
    h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER,
                                 on_library_log, NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_ARRAY,
                                 tls, MHD_OPTION_END);
    return h->daemon ? 0 : -EIO;
}

static int start_all(struct at_http *h, const struct at_http_config *config, struct at_error *err)
{
    struct at_access_config access = {.name =
                                          config->listener > 0 ? "attuned.socket" : config->host,
                                      .token_file = config->token_file,
                                      .read_token_file = config->read_token_file,
                                      .fixed = config->token_fixed,
                                      .allowed_hosts = config->allowed_hosts,
                                      .cors = config->cors};
    access.local = config->listener > 0 ? at_listen_is_local(config->listener)
                                        : at_listen_is_loopback(config->host);
    int rc = at_access_create(&access, err, &h->access);
    if (!rc && config->tls_cert)
        rc = at_http_check_tls(config->tls_cert, config->tls_key, err);
    if (rc)
        return rc;
    rc = at_jobs_create(2, 16, before_job, run_job, h, &h->jobs);
    if (rc)
        return at_error_set(err, rc, "http: no thread: %s", strerror(-rc));
    int fd = config->listener > 0
                 ? at_listen_adopt(config->listener, h->url, sizeof h->url, err)
                 : at_listen_open(config->host, config->port, h->url, sizeof h->url, err);
    if (fd < 0)
        return fd;
    if (config->tls_cert && !strncmp(h->url, "http:", 5)) {
        memmove(h->url + 5, h->url + 4, strnlen(h->url, sizeof h->url - 6) - 3);
        h->url[4] = 's';
    }
    rc = start_daemon(h, config, fd);
    if (rc) {
        close(fd);
        return at_error_set(
            err, rc, "http: the server does not start; raise the limit of open files (ulimit -n)");
    }
    rc = -pthread_create(&h->pump, NULL, run_pump, h);
    if (rc)
        return at_error_set(err, rc, "http: no thread: %s", strerror(-rc));
    h->pump_runs = true;
    return 0;
}

int at_http_start(const struct at_http_config *config, const struct at_api *api,
                  struct at_error *err, struct at_http **ret_http)
{
    struct at_http *h = calloc(1, sizeof *h);
    if (!h)
        return at_error_set(err, -ENOMEM, "http: out of memory");
    h->api = api;
    h->metrics_only = config->metrics_only;
    h->max_streams = config->max_streams       ? config->max_streams
                     : config->max_connections ? config->max_connections / 2
                                               : 128;
    const char *base = config->base_path ? config->base_path : "";
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    snprintf(h->base_path, sizeof h->base_path, "%.*s", (int)n, base);
    pthread_mutex_init(&h->lock, NULL);
    int rc = start_all(h, config, err);
    if (rc) {
        at_http_stop(h);
        return rc;
    }
    *ret_http = h;
    return 0;
}

/* Those that are connected get their answer, as long as that takes no longer than DRAIN_NS. */
static void drain(struct at_http *h)
{
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
    int64_t end_ns = at_clock_mono_ns() + DRAIN_NS;
    bool any = true;
    while (any && at_clock_mono_ns() < end_ns) {
        pthread_mutex_lock(&h->lock);
        any = h->peers != NULL;
        pthread_mutex_unlock(&h->lock);
        if (any)
            nanosleep(&pause, NULL);
    }
}

void at_http_stop(struct at_http *h)
{
    if (!h)
        return;
    /* From here on connections wait in the listener, which behind a socket unit is the next
     * process's. */
    MHD_socket listener = h->daemon ? MHD_quiesce_daemon(h->daemon) : MHD_INVALID_SOCKET;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    /* The pump's last turn resumes every stream: a suspended connection would hold the library up.
     */
    if (h->pump_runs)
        pthread_join(h->pump, NULL);
    drain(h);
    atomic_store(&h->cancelled, true);
    at_jobs_destroy(h->jobs); /* each has resumed its connection */
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    if (listener != MHD_INVALID_SOCKET)
        close(listener);
    at_access_destroy(h->access);
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
