/* The queue to the broker is bounded, replaces what is retained, and is paced.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/publish/home.h"
#include "tests/daemon/log_file.h"

static void test_the_oldest_goes_and_is_counted(void **state)
{
    struct at_outbox b;
    char text[16];
    assert_int_equal(at_outbox_init(&b, 4), 0);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "%d", i);
        at_outbox_push(&b, "t", text, false);
    }
    assert_int_equal(b.n, 4);
    assert_int_equal(b.dropped, 6);
    for (int i = 6; i < 10; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_string_equal(at_outbox_peek(&b)->payload, text);
        at_outbox_pop(&b);
    }
    assert_null(at_outbox_peek(&b));
    at_outbox_finish(&b);
}

static void test_a_newer_state_takes_the_older_one_s_place(void **state)
{
    struct at_outbox b;
    assert_int_equal(at_outbox_init(&b, 4), 0);
    at_outbox_push(&b, "radio", "stalled", true);
    at_outbox_push(&b, "emission", "1", false);
    at_outbox_push(&b, "radio", "running", true);
    at_outbox_push(&b, "emission", "2", false);
    assert_int_equal(b.n, 3);
    assert_int_equal(b.dropped, 0);
    assert_string_equal(at_outbox_peek(&b)->payload, "running");
    at_outbox_finish(&b);
}

static void test_the_pace_holds_over_time(void **state)
{
    struct at_pace p = {.rate = 20};
    int n = 0;
    for (int64_t t = 1; t < INT64_C(10000000000); t += 1000000)
        n += at_pace_take(&p, t);
    printf("%d in 10 s at 20 a second, 40 at once (239 to 241)\n", n);
    assert_in_range(n, 239, 241);
}

static void test_only_what_ended_is_told_and_announced_once(void **state)
{
    struct at_outbox b;
    static char known[AT_HOME_MAX_KNOWN][AT_HOME_OBJECT];
    struct at_home h = {.topic = "attune",
                        .prefix = "homeassistant",
                        .node = "n",
                        .site = "",
                        .out = &b,
                        .known = known};
    assert_int_equal(at_outbox_init(&b, 64), 0);
    at_home_emission(
        &h, "{\"state\":\"active\",\"radio\":\"roof\",\"band\":\"ism\",\"class\":\"ook\"}");
    at_home_emission(&h, "not json");
    assert_int_equal(b.n, 0);
    for (int i = 0; i < 3; i++)
        at_home_emission(
            &h, "{\"state\":\"ended\",\"radio\":\"roof\",\"band\":\"ism/+#\",\"class\":\"ook\"}");
    assert_int_equal(b.n, 4);
    assert_string_equal(at_outbox_peek(&b)->topic, "homeassistant/sensor/n/roof_ism____ook/config");
    assert_non_null(
        strstr(at_outbox_peek(&b)->payload, "\"availability_topic\":\"attune/status\""));
    at_outbox_pop(&b);
    assert_string_equal(at_outbox_peek(&b)->topic, "attune/emission/roof/ism___/ook");
    at_home_emission(
        &h, "{\"state\":\"ended\",\"radio\":\"mast\",\"band\":\"ism/+#\",\"class\":\"ook\"}");
    assert_int_equal(b.n, 5); /* the like-named band of another radio is another one */
    at_home_radio(&h, "{\"name\":\"roof\",\"state\":\"running\"}");
    at_home_radio(&h, "{\"name\":\"roof\",\"state\":\"stalled\"}");
    assert_int_equal(b.n, 7);
    at_outbox_finish(&b);
}

static void test_what_is_no_result_tells_nothing_and_nothing_is_announced_for_ever(void **state)
{
    struct at_outbox b;
    static char known[AT_HOME_MAX_KNOWN][AT_HOME_OBJECT];
    struct at_home h = {.topic = "attune", .node = "n", .site = "roof", .out = &b, .known = known};
    assert_int_equal(at_outbox_init(&b, 4 * AT_HOME_MAX_KNOWN), 0);
    static const char *const odd[] = {
        "{}",
        "[]",
        "{\"state\":\"ended\"}",
        "{\"state\":\"ended\",\"radio\":\"roof\"}",
        "{\"state\":5,\"radio\":\"roof\",\"band\":\"ism\"}",
        "{\"name\":7}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        at_home_emission(&h, odd[i]);
        at_home_radio(&h, odd[i]);
    }
    assert_int_equal(b.n, 0);
    /* Discovery is off: the state alone. An emission that nobody named has a place too. */
    at_home_emission(&h, "{\"state\":\"ended\",\"radio\":\"a b\\\\\\u0001$\",\"band\":\"ism\"}");
    assert_int_equal(b.n, 1);
    assert_string_equal(at_outbox_peek(&b)->topic, "attune/emission/a_b___/ism/none");
    at_outbox_pop(&b);
    h.prefix = "ha";
    log_open("warning");
    for (int i = 0; i < 2 * AT_HOME_MAX_KNOWN; i++) { /* each has a topic of its own, and it ends */
        char text[64];
        snprintf(text, sizeof text, "{\"name\":\"radio%d\",\"state\":\"running\"}", i);
        at_home_radio(&h, text);
    }
    assert_int_equal(b.n, 3 * AT_HOME_MAX_KNOWN);
    assert_true(log_says("1024 entities are announced; what comes beyond, as radio_radio1024"));
    assert_false(log_says("as radio_radio1025"));
    log_close();
    at_home_forget(&h); /* another broker: all is announced again */
    size_t before = b.n;
    at_home_radio(&h, "{\"name\":\"radio0\",\"state\":\"running\"}");
    at_home_radio(&h, "{\"name\":\"anew\",\"state\":\"running\"}");
    assert_in_range(b.n, before + 2, before + 4);
    at_outbox_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_goes_and_is_counted),
        cmocka_unit_test(test_a_newer_state_takes_the_older_one_s_place),
        cmocka_unit_test(test_the_pace_holds_over_time),
        cmocka_unit_test(test_only_what_ended_is_told_and_announced_once),
        cmocka_unit_test(test_what_is_no_result_tells_nothing_and_nothing_is_announced_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
