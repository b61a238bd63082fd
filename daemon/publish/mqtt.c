/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/publish/mqtt.h"

#include <mosquitto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/metrics_text.h"
#include "daemon/publish/home.h"
#include "lib/base/clock.h"
#include "lib/config/value.h"

#define LOOP_MS         100
#define KEEP_ALIVE_S    30
#define MAX_IN_FLIGHT   20
#define BACK_OFF_MAX_NS (30 * AT_NS_PER_S)
#define LOOK_NS         AT_NS_PER_S
#define REFRESH_NS      (30 * AT_NS_PER_S) /* a band's figures, where only those change */
#define TELL_NS         (60 * AT_NS_PER_S)
#define FAREWELL_NS     (AT_NS_PER_S / 2)
#define TOLD_NO_ANSWER  1u
#define TOLD_REFUSED    2u

struct at_mqtt {
    struct mosquitto *mosq;
    struct at_events *events;
    void (*get_view)(void *ctx, struct at_view *ret);
    void *ctx;
    char host[256], node[80], will[192], topic[64], prefix[64], site[64];
    int port;
    struct at_outbox out;
    struct at_home home;
    struct at_pace pace;
    struct at_event_cursor cursor;
    struct at_view *view;
    struct {
        bool known;
        struct {
            bool occupied;
            int64_t said_ns;
        } bands[AT_MAX_BANDS];
    } radios[AT_MAX_RADIOS];
    bool trying;   /* a connection was begun */
    unsigned told; /* TOLD_ bits: what the log has said since the last connection */
    int64_t next_try_ns, back_off_ns, look_ns;
    uint64_t told_dropped; /* of messages, and times that it fell behind, as last logged */
    int64_t told_dropped_ns;
    pthread_t thread;
    _Atomic bool stop, connected;
    _Atomic uint64_t published, acknowledged, late, connects, dropped, waiting;
};

/* ---- what the configuration says ---- */

struct broker {
    char host[256];
    int port;
    bool tls;
};

static int read_broker(const char *url, struct broker *ret, struct at_error *err)
{
    struct broker b = {.tls = strncmp(url, "mqtts://", 8) == 0};
    if (!b.tls && strncmp(url, "mqtt://", 7) != 0)
        return at_error_set(
            err, -EINVAL, "publish.mqtt.broker: \"%.60s\"; write mqtt://HOST[:PORT] or mqtts://...",
            url);
    const char *host = strstr(url, "://") + 3;
    size_t n = strcspn(host, "/");
    if (memchr(host, '@', n))
        return at_error_set(err, -EINVAL,
                            "publish.mqtt.broker: no user in it; write username and password_file");
    if (!n || n >= sizeof b.host || host[n + (host[n] == '/')])
        return at_error_set(err, -EINVAL, "publish.mqtt.broker: no host in \"%.60s\"", url);
    memcpy(b.host, host, n);
    b.port = b.tls ? 8883 : 1883;
    char *colon = strrchr(b.host, ':'), *bracket = strchr(b.host, ']');
    if (colon && (bracket ? colon > bracket : strchr(b.host, ':') == colon)) {
        size_t digits = strspn(colon + 1, "0123456789");
        long port = digits <= 5 && !colon[1 + digits] ? strtol(colon + 1, NULL, 10) : 0;
        *colon = 0;
        if (port < 1 || port > 65535)
            return at_error_set(err, -EINVAL, "publish.mqtt.broker: port 1 to 65535 expected");
        b.port = (int)port;
    }
    bool address = b.host[0] == '['; /* IPv6 */
    if (address != (bracket != NULL) || (address && bracket[1]) || !b.host[address] ||
        b.host[address] == ']')
        return at_error_set(err, -EINVAL, "publish.mqtt.broker: no host in \"%.60s\"", url);
    if (address) {
        *bracket = 0;
        memmove(b.host, b.host + 1, strlen(b.host));
    }
    *ret = b;
    return 0;
}

static int read_password(const char *path, char out[256], struct at_error *err)
{
    out[0] = 0;
    if (!*path)
        return 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return at_error_set(err, -errno, "publish.mqtt.password_file: %s: %s", path,
                            strerror(errno));
    if (!fgets(out, 256, f))
        out[0] = 0;
    bool cut = strlen(out) == 255 && out[254] != '\n' && fgetc(f) != EOF;
    fclose(f);
    out[strcspn(out, "\r\n")] = 0;
    if (cut)
        return at_error_set(err, -E2BIG,
                            "publish.mqtt.password_file: %s: a line longer than 255 bytes", path);
    return out[0] ? 0 : at_error_set(err, -EINVAL, "publish.mqtt.password_file: %s: empty", path);
}

/* libmosquitto tells a file that is not there from a broker that is not, but not before it is
 * asked. */
static int check_ca(const char *path, struct at_error *err)
{
    if (!*path || access(path, R_OK) == 0)
        return 0;
    return at_error_set(err, -errno, "publish.mqtt.ca_file: %s: %s", path, strerror(errno));
}

int at_mqtt_check(const struct at_config *c, struct at_error *err)
{
    struct broker b;
    char password[256];
    if (!c->publish.mqtt.broker[0])
        return 0;
    if (strpbrk(c->publish.mqtt.topic, "+#") || !c->publish.mqtt.topic[0])
        return at_error_set(err, -EINVAL, "publish.mqtt.topic: a name without + and # expected");
    int r = read_broker(c->publish.mqtt.broker, &b, err);
    r = r ? r : check_ca(c->publish.mqtt.ca_file, err);
    r = r ? r : read_password(c->publish.mqtt.password_file, password, err);
    explicit_bzero(password, sizeof password);
    return r;
}

/* ---- the connection: everything below runs in the thread ---- */

static void on_connect(struct mosquitto *mosq, void *ctx, int code)
{
    struct at_mqtt *m = ctx;
    if (code) {
        if (!(m->told & TOLD_REFUSED))
            at_log(AT_LOG_WARN, NULL, "MQTT broker %s refuses: %s", m->host,
                   mosquitto_connack_string(code));
        m->told |= TOLD_REFUSED;
        m->trying = false; /* an answer, though no good one: its end is not told as silence */
        return;
    }
    m->connected = true;
    m->connects++;
    m->told = 0;
    m->back_off_ns = 0;
    at_log(AT_LOG_INFO, NULL, "MQTT broker %s:%d connected", m->host, m->port);
    if (mosquitto_publish(mosq, NULL, m->will, 6, "online", 1, true) == MOSQ_ERR_SUCCESS)
        m->published++;
    at_home_forget(&m->home);
    memset(m->radios, 0, sizeof m->radios); /* all is said again */
    m->look_ns = 0;
}

static void say_no_answer(struct at_mqtt *m, const char *why)
{
    if (!(m->told & TOLD_NO_ANSWER))
        at_log(AT_LOG_WARN, NULL, "MQTT broker %s:%d does not answer: %s; trying again", m->host,
               m->port, why);
    m->told |= TOLD_NO_ANSWER;
}

/* A connection, or an attempt at one, is over: said once, whoever sees it first. code is one of
 * MOSQ_ERR_. */
static void give_up(struct at_mqtt *m, int code)
{
    const char *why = code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code);
    if (m->connected && !m->stop)
        at_log(AT_LOG_WARN, NULL, "MQTT broker %s:%d lost: %s", m->host, m->port, why);
    else if (m->trying && code && !m->stop)
        say_no_answer(m, why);
    m->trying = false;
    m->connected = false;
}

static void on_disconnect(struct mosquitto *mosq, void *ctx, int code)
{
    give_up(ctx, code);
}

static void on_publish(struct mosquitto *mosq, void *ctx, int id)
{
    struct at_mqtt *m = ctx;
    m->acknowledged++;
}

static void try_connect(struct at_mqtt *m, int64_t now)
{
    if (m->trying || now < m->next_try_ns)
        return;
    m->back_off_ns = m->back_off_ns ? m->back_off_ns * 2 : AT_NS_PER_S;
    if (m->back_off_ns > BACK_OFF_MAX_NS)
        m->back_off_ns = BACK_OFF_MAX_NS;
    m->next_try_ns = now + m->back_off_ns;
    m->trying = true;
    int r = mosquitto_connect_async(m->mosq, m->host, m->port, KEEP_ALIVE_S);
    if (r != MOSQ_ERR_SUCCESS)
        give_up(m, r);
}

/* Events since the last look become messages. */
static void drain(struct at_mqtt *m)
{
    struct at_buf text;
    int r = 1;
    at_buf_init(&text, AT_EVENT_MAX_BYTES + 256);
    for (int i = 0; i < 1000 && r == 1; i++) {
        at_buf_reset(&text);
        r = at_events_next(m->events, &m->cursor, &text);
        char *data = r == 1 ? strstr(text.data, "\ndata: ") : NULL;
        if (!data)
            continue;
        data += 7;
        data[strcspn(data, "\n")] = 0;
        if (strstr(text.data, "event: radio\n"))
            at_home_radio(&m->home, data);
        else
            at_home_emission(&m->home, data);
    }
    at_buf_finish(&text);
    if (r == -EPIPE) { /* it fell behind: what the ring has dropped is lost here */
        unsigned mask = m->cursor.mask;
        m->late++;
        at_events_unsubscribe(m->events, &m->cursor);
        at_events_subscribe(m->events, mask, 0, &m->cursor);
    }
}

static void look_at_band(struct at_mqtt *m, size_t i, size_t k, int64_t now)
{
    const struct at_radio_view *r = &m->view->radios[i];
    const struct at_band_view *b = &r->bands[k];
    bool occupied = b->has_stats && b->stats.active > 0;
    int64_t said_ns = m->radios[i].bands[k].said_ns;
    if (!b->has_stats ||
        (said_ns && occupied == m->radios[i].bands[k].occupied && now - said_ns < REFRESH_NS))
        return;
    m->radios[i].bands[k].occupied = occupied;
    m->radios[i].bands[k].said_ns = now;
    at_home_band(&m->home, r, b);
}

static void look_at_bands(struct at_mqtt *m, int64_t now)
{
    if (!m->connected || now - m->look_ns < LOOK_NS)
        return;
    m->look_ns = now;
    m->get_view(m->ctx, m->view);
    for (size_t i = 0; i < m->view->n_radios && i < AT_MAX_RADIOS; i++) {
        const struct at_radio_view *r = &m->view->radios[i];
        if (!m->radios[i].known) { /* the state that no event told of */
            char text[128];
            snprintf(text, sizeof text, "{\"name\":\"%s\",\"band\":\"%s\",\"state\":\"%s\"}",
                     r->name, r->band, at_source_state_name(r->state));
            at_home_radio(&m->home, text);
            m->radios[i].known = true;
        }
        for (size_t k = 0; k < r->n_bands; k++)
            look_at_band(m, i, k, now);
    }
}

/* As many as the pace and the broker's acknowledgements allow. */
static void send_waiting(struct at_mqtt *m, int64_t now)
{
    const struct at_message *next;
    while (m->connected && m->published < m->acknowledged + MAX_IN_FLIGHT &&
           (next = at_outbox_peek(&m->out)) && at_pace_take(&m->pace, now)) {
        int r = mosquitto_publish(m->mosq, NULL, next->topic, (int)strlen(next->payload),
                                  next->payload, 1, true);
        if (r == MOSQ_ERR_NO_CONN)
            return;
        if (r == MOSQ_ERR_SUCCESS)
            m->published++;
        else
            m->out.dropped++;
        at_outbox_pop(&m->out);
    }
}

/* Messages that nobody will get: the first at once, then once a minute. */
static void tell_dropped(struct at_mqtt *m, int64_t now)
{
    uint64_t dropped = m->out.dropped + m->late;
    if (dropped == m->told_dropped || (m->told_dropped && now - m->told_dropped_ns < TELL_NS))
        return;
    at_log(AT_LOG_WARN, NULL, "MQTT: %llu messages dropped (%llu in all): %s",
           (unsigned long long)(dropped - m->told_dropped), (unsigned long long)dropped,
           m->connected ? "more come than publish.mqtt.rate lets out" : "the broker is away");
    m->told_dropped = dropped;
    m->told_dropped_ns = now;
}

static void say_farewell(struct at_mqtt *m)
{
    int64_t end = at_clock_mono_ns() + FAREWELL_NS;
    if (m->connected) {
        mosquitto_publish(m->mosq, NULL, m->will, 7, "offline", 1, true);
        uint64_t seen = m->acknowledged;
        while (m->connected && m->acknowledged == seen && at_clock_mono_ns() < end)
            mosquitto_loop(m->mosq, LOOP_MS, 1);
    }
    mosquitto_disconnect(m->mosq);
}

static void *run(void *arg)
{
    struct at_mqtt *m = arg;
    while (!m->stop) {
        int64_t now = at_clock_mono_ns();
        try_connect(m, now);
        drain(m);
        look_at_bands(m, now);
        send_waiting(m, now);
        m->dropped = m->out.dropped;
        m->waiting = m->out.n;
        tell_dropped(m, now);
        int r = m->trying ? mosquitto_loop(m->mosq, LOOP_MS, 10) : MOSQ_ERR_NO_CONN;
        if (r != MOSQ_ERR_SUCCESS) {
            give_up(m, r); /* a TLS handshake that fails in the loop reaches no callback */
            usleep(LOOP_MS * 1000);
        }
    }
    say_farewell(m);
    return NULL;
}

/* ---- start and stop ---- */

static int set_up(struct at_mqtt *m, const struct at_config *c, struct at_error *err)
{
    struct broker b;
    char password[256], host[64] = "attuned";
    const char *user = c->publish.mqtt.username;
    int r = read_broker(c->publish.mqtt.broker, &b, err);
    if (r || (r = read_password(c->publish.mqtt.password_file, password, err)))
        return r;
    gethostname(host, sizeof host - 1);
    snprintf(m->host, sizeof m->host, "%s", b.host);
    m->port = b.port;
    snprintf(m->node, sizeof m->node, "%s%s", c->publish.mqtt.client_id[0] ? "" : "attune-",
             c->publish.mqtt.client_id[0] ? c->publish.mqtt.client_id : host);
    for (char *p = m->node; *p; p++) /* Home Assistant takes letters, digits, _ and - */
        if (!strchr("_-", *p) && !(*p >= '0' && *p <= '9') && !(*p >= 'A' && *p <= 'Z') &&
            !(*p >= 'a' && *p <= 'z'))
            *p = '_';
    snprintf(m->will, sizeof m->will, "%s/status", c->publish.mqtt.topic);
    mosquitto_lib_init();
    m->mosq = mosquitto_new(m->node, true, m);
    if (!m->mosq || mosquitto_will_set(m->mosq, m->will, 7, "offline", 1, true) ||
        (*user && mosquitto_username_pw_set(m->mosq, user, *password ? password : NULL)))
        r = at_error_set(err, -ENOMEM, "no memory for MQTT");
    explicit_bzero(password, sizeof password);
    if (r)
        return r;
    const char *ca = c->publish.mqtt.ca_file;
    if (b.tls && mosquitto_tls_set(m->mosq, *ca ? ca : NULL, *ca ? NULL : "/etc/ssl/certs", NULL,
                                   NULL, NULL))
        return at_error_set(err, -EINVAL, "publish.mqtt.ca_file: %s cannot be used", ca);
    mosquitto_connect_callback_set(m->mosq, on_connect);
    mosquitto_disconnect_callback_set(m->mosq, on_disconnect);
    mosquitto_publish_callback_set(m->mosq, on_publish);
    mosquitto_threaded_set(m->mosq, true);
    return 0;
}

int at_mqtt_start(const struct at_config *c, struct at_events *events,
                  void (*get_view)(void *ctx, struct at_view *ret), void *ctx, struct at_error *err,
                  struct at_mqtt **ret_mqtt)
{
    if (!c->publish.mqtt.broker[0]) {
        *ret_mqtt = NULL;
        return 0;
    }
    struct at_mqtt *m = calloc(1, sizeof *m);
    if (!m)
        return at_error_set(err, -ENOMEM, "no memory");
    int r = set_up(m, c, err);
    m->events = events;
    m->get_view = get_view;
    m->ctx = ctx;
    m->pace.rate = c->publish.mqtt.rate;
    m->view = calloc(1, sizeof *m->view);
    /* Copies: a reload may replace the configuration. */
    snprintf(m->topic, sizeof m->topic, "%s", c->publish.mqtt.topic);
    snprintf(m->prefix, sizeof m->prefix, "%s", c->publish.mqtt.discovery_prefix);
    snprintf(m->site, sizeof m->site, "%s", c->site.name);
    m->home = (struct at_home){.topic = m->topic,
                               .node = m->node,
                               .site = m->site,
                               .out = &m->out,
                               .prefix = c->publish.mqtt.discovery ? m->prefix : NULL,
                               .known = calloc(AT_HOME_MAX_KNOWN, sizeof *m->home.known)};
    if (r == 0 &&
        (!m->view || !m->home.known || at_outbox_init(&m->out, c->publish.mqtt.queue) < 0))
        r = at_error_set(err, -ENOMEM, "no memory");
    if (r == 0) {
        at_events_subscribe(events, 1u << AT_EVENT_EMISSION | 1u << AT_EVENT_RADIO, 0, &m->cursor);
        if (pthread_create(&m->thread, NULL, run, m)) {
            at_events_unsubscribe(events, &m->cursor);
            r = at_error_set(err, -EAGAIN, "no thread for MQTT");
        }
    }
    if (r < 0) {
        m->thread = 0;
        m->events = NULL;
        at_mqtt_stop(m);
        return r;
    }
    *ret_mqtt = m;
    return 0;
}

void at_mqtt_stop(struct at_mqtt *m)
{
    if (!m)
        return;
    m->stop = true;
    if (m->events) { /* it runs */
        pthread_join(m->thread, NULL);
        at_events_unsubscribe(m->events, &m->cursor);
    }
    if (m->mosq)
        mosquitto_destroy(m->mosq);
    mosquitto_lib_cleanup();
    at_outbox_finish(&m->out);
    free(m->home.known);
    free(m->view);
    free(m);
}

void at_mqtt_write_metrics(void *ctx, struct at_buf *out)
{
    struct at_mqtt *m = ctx;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"attune_mqtt_connected", "gauge", "Whether the MQTT broker is connected.", m->connected},
        {"attune_mqtt_connects_total", "counter", "Connections to the MQTT broker.",
         (double)m->connects},
        {"attune_mqtt_published_total", "counter", "Messages handed to the MQTT broker.",
         (double)m->published},
        {"attune_mqtt_acknowledged_total", "counter",
         "Messages that the MQTT broker has acknowledged.", (double)m->acknowledged},
        {"attune_mqtt_queue_depth", "gauge", "Messages that wait for the MQTT broker.",
         (double)m->waiting},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        at_metrics_head(out, rows[i].name, rows[i].type, rows[i].help);
        at_metrics_sample(out, rows[i].name, NULL, 0, rows[i].value);
    }
    at_metrics_head(out, "attune_mqtt_dropped_total", "counter",
                    "Messages dropped from a full queue, and times that events were overtaken.");
    at_metrics_sample(out, "attune_mqtt_dropped_total", &(struct at_label){"reason", "queue"}, 1,
                      (double)m->dropped);
    at_metrics_sample(out, "attune_mqtt_dropped_total", &(struct at_label){"reason", "late"}, 1,
                      (double)m->late);
}
