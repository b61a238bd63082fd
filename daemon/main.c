/* attuned: the daemon. This file starts the parts, supervises them and ends them.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <poll.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "daemon/http/api.h"
#include "daemon/check.h"
#include "daemon/command.h"
#include "daemon/http/http.h"
#include "daemon/log.h"
#include "daemon/pipeline.h"
#include "daemon/publish/mqtt.h"
#include "daemon/reload.h"
#include "daemon/systemd.h"
#include "daemon/watch.h"
#include "lib/base/clock.h"
#include "lib/config/config.h"
#include "lib/source/helper.h"

#define POLL_MS       200
#define STATUS_NS     (5 * AT_NS_PER_S)
#define STUCK_NS      (10 * AT_NS_PER_S)
#define N_ACTIVE      2048 /* emissions alive at once, over all radios */
#define N_ENDED       4096 /* remembered after their end */
#define N_EVENTS      4096
#define N_SPECTRA     64
#define N_ROWS        600 /* of each band: a minute at ten a second */
#define STOP_LIMIT_US 1800000
#define LARGE_BLOCK   (256 * 1024) /* bytes */
#define N_ARENAS      2

struct daemon {
    const char *path;
    struct at_config *config;
    struct at_outlets outlets;
    struct at_pipeline *pipeline;
    struct at_api api;
    struct at_http *http;
    struct at_http *metrics_http;                       /* of http.metrics_listen; NULL: none */
    char *tls_cert, *tls_key;                           /* PEM; NULL: no TLS */
    struct at_mqtt *mqtt;                               /* NULL: no broker is configured */
    const char *allowed_hosts[AT_CONFIG_MAX_HOSTS + 1]; /* NULL-terminated, into config */
    struct at_reloader *reloader;
    pthread_t reload_thread;
    bool reload_runs, reload_again; /* SIGHUP came; came again meanwhile */
    _Atomic bool reload_done;
    struct at_watch watch;
    bool stuck; /* a stage was, at the last look */
    bool exit_when_done;
    int signals; /* signalfd */
};

static volatile sig_atomic_t exit_code;

/* A driver that hangs must not hold up the end: after STOP_LIMIT_US the process leaves without it.
 */
static void on_alarm(int signal_number)
{
    static const char text[] = "attuned: a radio's driver did not let go; leaving without it\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(n < 0 ? AT_EXIT_FAILED : exit_code);
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    /* Blocked before any thread starts, so that all inherit it. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, on_alarm);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int create_outlets(struct daemon *d, struct at_error *err)
{
    d->outlets = (struct at_outlets){
        .store = at_store_create(N_ACTIVE, N_ENDED),
        .events = at_events_create(N_EVENTS, N_SPECTRA),
        .metrics = at_metrics_create(),
        .rows = at_rows_create(AT_MAX_RADIOS * AT_MAX_BANDS, N_ROWS),
    };
    if (!d->outlets.store || !d->outlets.events || !d->outlets.metrics || !d->outlets.rows)
        return at_error_set(err, -ENOMEM, "out of memory");
    return 0;
}

/* Without a history attuned still does its work: the reason is logged and shown in status. Not so
 * beside another attuned on the same file: two would number emissions alike. */
static int open_history(struct daemon *d, struct at_error *ret_err)
{
    const struct at_history_config config = {.path = d->config->history.path,
                                             .keep_s = d->config->history.keep_s,
                                             .max_mb = d->config->history.max_mb};
    struct at_error err = {{0}};
    if (!config.path[0])
        return 0;
    int rc = at_history_open(&config, &err, &d->outlets.history);
    if (rc == -EBUSY)
        return at_error_set(ret_err, rc, "%s", err.text);
    if (rc)
        at_log(AT_LOG_WARN, NULL, "%s; emissions are kept in memory only", err.text);
    at_store_set_last(d->outlets.store, at_history_last_seq(d->outlets.history));
    return 0;
}

static int read_tls(struct daemon *d, struct at_error *err)
{
    const struct at_config *c = d->config;
    int rc = at_check_tls_pair(c, err);
    if (rc || !c->http.tls_cert[0])
        return rc;
    rc = at_check_read_file("http.tls.cert", c->http.tls_cert, &d->tls_cert, err);
    return rc ? rc : at_check_read_file("http.tls.key", c->http.tls_key, &d->tls_key, err);
}

static int start_http(struct daemon *d, struct at_error *err)
{
    const struct at_config *c = d->config;
    for (uint32_t i = 0; i < c->http.n_allowed_hosts; i++)
        d->allowed_hosts[i] = c->http.allowed_hosts[i];
    int listener = at_systemd_take_listener(err);
    if (listener < 0)
        return listener;
    int rc = read_tls(d, err);
    if (rc)
        return rc;
    struct at_http_config http = {
        .allowed_hosts = d->allowed_hosts,
        .host = c->http.host,
        .port = c->http.port,
        .listener = listener,
        .read_token_file = c->http.read_token_file,
        .cors = c->http.cors,
        .base_path = c->http.base_path,
        .tls_cert = d->tls_cert,
        .tls_key = d->tls_key,
        .max_connections = c->http.max_connections,
        .max_per_address = c->http.max_connections < 128 ? c->http.max_connections / 2 : 64,
        .timeout_s = c->http.timeout_s,
    };
    http.token_file = at_check_token_file(c, &http.token_fixed);
    rc = at_http_start(&http, &d->api, err, &d->http);
    if (rc || !c->http.metrics_listen[0])
        return rc;
    http.listener = 0;
    http.host = c->http.metrics_host;
    http.port = c->http.metrics_port;
    http.metrics_only = true;
    http.base_path = NULL;
    http.max_connections = http.max_per_address = 64;
    rc = at_http_start(&http, &d->api, err, &d->metrics_http);
    return rc ? at_error_prefix(err, rc, "http.metrics_listen") : 0;
}

static int start(struct daemon *d, struct at_error *err)
{
    const struct at_config *c = d->config;
    int rc = create_outlets(d, err);
    if (!rc)
        rc = open_history(d, err);
    if (!rc)
        rc = at_pipeline_create(c, &d->outlets, d->exit_when_done, err, &d->pipeline);
    if (rc)
        return rc;
    d->api = (struct at_api){.get_view = at_pipeline_get_view,
                             .ctx = d->pipeline,
                             .store = d->outlets.store,
                             .events = d->outlets.events,
                             .metrics = d->outlets.metrics,
                             .rows = d->outlets.rows,
                             .history = d->outlets.history,
                             .max_body = (size_t)(c->http.max_body_mb * 1e6),
                             .get_classifier = at_pipeline_get_classifier,
                             .get_iq = at_pipeline_get_iq,
                             .set_budget = at_pipeline_set_budget,
                             .pages = at_page_cache_create()};
    d->reloader = at_reloader_create(d->path, c, d->pipeline, d->outlets.metrics);
    if (!d->reloader)
        return at_error_set(err, -ENOMEM, "out of memory");
    d->api.reload = at_reloader_run;
    d->api.reload_ctx = d->reloader;
    rc = start_http(d, err);
    if (!rc)
        rc = at_mqtt_start(c, d->outlets.events, at_pipeline_get_view, d->pipeline, err, &d->mqtt);
    if (d->mqtt)
        at_metrics_set_more(d->outlets.metrics, at_mqtt_write_metrics, d->mqtt);
    return rc ? rc : at_pipeline_start(d->pipeline, err);
}

static void *run_reload(void *ctx)
{
    struct daemon *d = ctx;
    struct at_error err;
    struct at_reload_plan plan;
    at_reloader_run(d->reloader, &err, &plan);
    atomic_store(&d->reload_done, true);
    return NULL;
}

static void join_reload(struct daemon *d)
{
    if (!d->reload_runs)
        return;
    pthread_join(d->reload_thread, NULL);
    d->reload_runs = false;
}

/* A reload waits for radios to stop: not in the supervisor's thread. */
static void look_at_reload(struct daemon *d)
{
    if (d->reload_runs && atomic_load(&d->reload_done)) {
        join_reload(d);
        at_systemd_ready();
    }
    if (!d->reload_again || d->reload_runs)
        return;
    d->reload_again = false;
    at_systemd_reloading();
    atomic_store(&d->reload_done, false);
    int rc = pthread_create(&d->reload_thread, NULL, run_reload, d);
    d->reload_runs = !rc;
    if (rc) {
        at_metrics_set_reload(d->outlets.metrics, false);
        at_log(AT_LOG_ERROR, NULL, "reload: no thread: %s (the old configuration stays)",
               strerror(rc));
        at_systemd_ready();
    }
}

static void stop(struct daemon *d)
{
    at_systemd_stopping();
    setitimer(ITIMER_REAL,
              &(struct itimerval){.it_value = {STOP_LIMIT_US / 1000000, STOP_LIMIT_US % 1000000}},
              NULL);
    at_history_interrupt(d->outlets.history);
    at_http_stop(d->metrics_http);
    at_http_stop(d->http);
    join_reload(d);
    at_reloader_destroy(d->reloader);
    at_page_cache_destroy(d->api.pages);
    free(d->tls_cert);
    free(d->tls_key);
    at_mqtt_stop(d->mqtt);
    at_pipeline_destroy(d->pipeline);
    at_history_close(d->outlets.history);
    at_store_destroy(d->outlets.store);
    at_events_destroy(d->outlets.events);
    at_metrics_destroy(d->outlets.metrics);
    at_rows_destroy(d->outlets.rows);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

/* One look at everything: changes, watchdog, status line. */
static void supervise(struct daemon *d, int64_t *status_ns)
{
    int64_t now = at_clock_mono_ns(), interval = at_systemd_watchdog_ns();
    at_log_settle(false);
    at_watch_mark(&d->watch, "http", true, at_http_turns(d->http), now);
    at_pipeline_poll(d->pipeline, &d->watch);
    const char *stuck = at_watch_stuck(&d->watch, now);
    if (stuck && !d->stuck)
        at_log(AT_LOG_ERROR, AT_FIELDS({"stage", stuck}), "stage %s has work and does not move",
               stuck);
    if (!stuck && interval && now - d->watch.fed_ns >= interval / 2) {
        at_systemd_feed();
        d->watch.fed_ns = now;
    }
    d->stuck = stuck != NULL;
    if (now - *status_ns > STATUS_NS) {
        struct at_view *v = calloc(1, sizeof *v);
        char text[256];
        if (v) {
            at_pipeline_get_view(d->pipeline, v);
            at_view_summary(v, text, sizeof text);
            at_systemd_status(text);
        }
        free(v);
        *status_ns = now;
    }
}

/* Until a signal, the model's failure, or the end of all files. Returns the exit code. */
static int run(struct daemon *d)
{
    int64_t status_ns = 0;
    bool loaded = false;
    for (;;) {
        struct pollfd p = {.fd = d->signals, .events = POLLIN};
        struct signalfd_siginfo info;
        struct at_error err;
        poll(&p, 1, POLL_MS);
        if (read(d->signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo != SIGHUP) {
                at_log(AT_LOG_INFO, NULL, "%s: ending",
                       info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
                return AT_EXIT_OK;
            }
            if (info.ssi_signo == SIGHUP)
                d->reload_again = true;
        }
        look_at_reload(d);
        enum at_pipeline_phase phase = at_pipeline_get_phase(d->pipeline, &err);
        if (phase == AT_PIPELINE_FAILED) {
            at_log(AT_LOG_ERROR, NULL, "%s", err.text);
            return AT_EXIT_FAILED;
        }
        /* Asked before the look, so that the last change is still seen by it. */
        int done = d->exit_when_done ? at_pipeline_done(d->pipeline) : 0;
        supervise(d, &status_ns);
        if (phase == AT_PIPELINE_RUNNING && !loaded) {
            loaded = true;
            status_ns = 0;
            at_log(AT_LOG_INFO, NULL, "model loaded: %s", d->config->model.path);
        }
        if (done)
            return done == 1 ? AT_EXIT_OK : AT_EXIT_FAILED;
    }
}

/* Caches, rings and bands, blocks of megabytes that come and go for years, are mapped by
 * themselves, so that the system has them back at once: left alone, glibc raises this limit to 32
 * MB with the first one that is freed. And threads share few arenas, so that the holes one leaves
 * serve the next. */
static void hold_little(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    mallopt(M_ARENA_MAX, N_ARENAS);
#endif
}

static int serve(const char *path, struct at_config *config, bool exit_when_done)
{
    struct at_error err = {{0}};
    struct daemon *d = calloc(1, sizeof *d);
    int rc = AT_EXIT_FAILED;
    if (!d) {
        fprintf(stderr, "attuned: out of memory\n");
        return rc;
    }
    d->config = config;
    d->path = path;
    d->exit_when_done = exit_when_done;
    d->watch.limit_ns = STUCK_NS;
    hold_little();
    at_log_init(config->log.level, !strcmp(config->log.format, "json"), NULL);
    d->signals = open_signals();
    if (d->signals < 0 || start(d, &err)) {
        at_log(AT_LOG_ERROR, NULL, "%s", err.text[0] ? err.text : "cannot listen for signals");
    } else {
        at_log(AT_LOG_INFO,
               AT_FIELDS({"url", at_http_url(d->http)},
                         {"metrics_url", d->metrics_http ? at_http_url(d->metrics_http) : NULL}),
               "attuned %s: listening on %s, %u radio%s", AT_VERSION, at_http_url(d->http),
               config->n_radios, config->n_radios == 1 ? "" : "s");
        at_systemd_ready();
        rc = run(d);
    }
    exit_code = rc;
    stop(d);
    at_log_settle(true);
    if (d->signals >= 0)
        close(d->signals);
    free(d);
    return rc;
}

/* code, or a failure where what was printed did not get out. */
static int written(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return at_fail(&at_daemon_command, AT_EXIT_FAILED, "standard output can't be written");
}

int main(int argc, char **argv)
{
    int helped = at_helper_main(argc, argv);
    if (helped >= 0)
        return helped;
    struct at_daemon_options o = {0};
    int code = 0, n = at_options_parse(&at_daemon_command, &o, argc, argv, &code);
    if (n < 0)
        return code;
    if (o.version) {
        puts("attuned " AT_VERSION);
        return written(AT_EXIT_OK);
    }
    if (!o.config || n > 0)
        return at_fail(&at_daemon_command, AT_EXIT_USAGE,
                       "say which configuration: attuned -c FILE");
    struct at_error err = {{0}};
    struct at_config *config = NULL;
    if (at_config_load(o.config, &err, &config))
        return at_fail(&at_daemon_command, AT_EXIT_CONFIG, "%s", err.text);
    int rc = AT_EXIT_OK;
    if (o.print_config)
        rc = at_config_print(config, stdout) ? AT_EXIT_FAILED : AT_EXIT_OK;
    else
        rc = o.check ? at_check_run(config) : serve(o.config, config, o.exit_when_done);
    if (o.check && !o.print_config && !rc)
        printf("ok  %s\n", o.config);
    at_config_destroy(config);
    return written(rc);
}
