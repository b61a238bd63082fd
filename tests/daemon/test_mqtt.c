/* What the configuration may say of a broker. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/publish/mqtt.h"
#include "tests/daemon/log_file.h"

static struct at_config *make(const char *broker)
{
    struct at_config *c = calloc(1, sizeof *c);
    assert_non_null(c);
    snprintf(c->publish.mqtt.broker, sizeof c->publish.mqtt.broker, "%s", broker);
    snprintf(c->publish.mqtt.topic, sizeof c->publish.mqtt.topic, "attune");
    return c;
}

static void check(const struct at_config *c, int want, const char *word)
{
    struct at_error err = {""};
    int got = at_mqtt_check(c, &err);
    if (got != want || !strstr(err.text, word))
        fail_msg("%s: %d \"%s\" instead of %d \"%s\"", c->publish.mqtt.broker, got, err.text, want,
                 word);
}

static void brokers(void **state)
{
    const struct {
        const char *url, *word; /* word: of the refusal; NULL: taken */
    } cases[] = {
        {"", NULL},
        {"mqtt://host", NULL},
        {"mqtts://host/", NULL},
        {"mqtt://host:1", NULL},
        {"mqtt://host:65535", NULL},
        {"mqtt://192.0.2.1:1883", NULL},
        {"mqtt://[2001:db8::1]", NULL},
        {"mqtt://[2001:db8::1]:8883/", NULL},
        {"mqtt://2001:db8::1", NULL},
        {"host", "write mqtt://"},
        {"tcp://host", "write mqtt://"},
        {"mqtt://user@host", "no user in it"},
        {"mqtt://", "no host"},
        {"mqtt:///", "no host"},
        {"mqtt://:1883", "no host"},
        {"mqtt://[]:1883", "no host"},
        {"mqtt://[::1", "no host"},
        {"mqtt://::1]", "no host"},
        {"mqtt://[::1]x", "no host"},
        {"mqtt://host/path", "no host"},
        {"mqtt://host:", "port 1 to 65535"},
        {"mqtt://host:0", "port 1 to 65535"},
        {"mqtt://host:65536", "port 1 to 65535"},
        {"mqtt://host:4294968179", "port 1 to 65535"},
        {"mqtt://host:+1", "port 1 to 65535"},
        {"mqtt://host: 1", "port 1 to 65535"},
        {"mqtt://host:1x", "port 1 to 65535"},
        {"mqtt://[::1]:x", "port 1 to 65535"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_config *c = make(cases[i].url);
        check(c, cases[i].word ? -EINVAL : 0, cases[i].word ? cases[i].word : "");
        free(c);
    }
}

static void topics(void **state)
{
    static const char *const bad[] = {"", "a/#", "+", "a/+/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct at_config *c = make("mqtt://host");
        snprintf(c->publish.mqtt.topic, sizeof c->publish.mqtt.topic, "%s", bad[i]);
        check(c, -EINVAL, "publish.mqtt.topic: a name without");
        free(c);
    }
}

static void files(void **state)
{
    char path[] = "/tmp/attune-mqtt-XXXXXX";
    char text[600];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    memset(text, 'p', sizeof text);
    const struct {
        size_t n;
        const char *begins;
        int want;
    } cases[] = {{0, "", -EINVAL},   {1, "\n", -EINVAL}, {3, "\r\nx", -EINVAL},
                 {7, "secret\n", 0}, {6, "secret", 0},   {255, "", 0},
                 {256, "", -E2BIG},  {600, "", -E2BIG},  {600, "secret\r\n", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_config *c = make("mqtt://host");
        memset(text, 'p', sizeof text);
        memcpy(text, cases[i].begins, strlen(cases[i].begins));
        assert_return_code(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, text, cases[i].n, 0), cases[i].n);
        snprintf(c->publish.mqtt.password_file, sizeof c->publish.mqtt.password_file, "%s", path);
        check(c, cases[i].want, cases[i].want ? "publish.mqtt.password_file: /tmp/" : "");
        free(c);
    }
    close(fd);
    unlink(path);
    struct at_config *c = make("mqtts://host");
    snprintf(c->publish.mqtt.password_file, sizeof c->publish.mqtt.password_file, "%s", path);
    check(c, -ENOENT, "publish.mqtt.password_file: /tmp/");
    snprintf(c->publish.mqtt.ca_file, sizeof c->publish.mqtt.ca_file, "%s", path);
    check(c, -ENOENT, "publish.mqtt.ca_file: /tmp/");
    free(c);
}

static void get_view(void *ctx, struct at_view *ret)
{
    memset(ret, 0, sizeof *ret);
}

/* What a queue without a broker drops is logged, not only counted. */
static void drops_are_told(void **state)
{
    struct at_config *c = make("mqtt://127.0.0.1:1");
    struct at_events *events = at_events_create(256, 4);
    struct at_error err;
    struct at_mqtt *m = NULL;
    char json[160];
    c->publish.mqtt.queue = 16;
    c->publish.mqtt.rate = 1;
    log_open("warning");
    if (at_mqtt_start(c, events, get_view, NULL, &err, &m))
        fail_msg("%s", err.text);
    for (int i = 0; i < 40; i++) { /* each to a topic of its own */
        snprintf(json, sizeof json,
                 "{\"state\":\"ended\",\"radio\":\"r\",\"band\":\"b%d\",\"class\":\"am\"}", i);
        at_events_publish(events, AT_EVENT_EMISSION, json);
    }
    assert_true(log_comes_to_say(" messages dropped ("));
    assert_true(log_says("the broker is away"));
    at_mqtt_stop(m);
    log_close();
    at_events_destroy(events);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brokers),
        cmocka_unit_test(topics),
        cmocka_unit_test(files),
        cmocka_unit_test(drops_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
