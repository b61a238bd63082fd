/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/engine/result.h"

static struct at_result make(void)
{
    static struct at_model model = {.config = {.n_classes = 2}, .labels = {"gfsk", "ook"}};
    struct at_result r = {.emission = {.id = 7,
                                       .start = 1000,
                                       .end = 51000,
                                       .f_lo_hz = -8000.4,
                                       .f_hi_hz = 8000.4,
                                       .snr_db = 21.26f,
                                       .level_dbfs = -33.04f,
                                       .bursts = 2,
                                       .duty = 0.5f,
                                       .ended = true},
                          .id = "b00t-roof-7",
                          .radio = "roof",
                          .band = "ais",
                          .center_rf_hz = 161975000,
                          .rate_hz = 250000,
                          .start_utc_ns = INT64_C(1795460711123456000),
                          .end_utc_ns = INT64_C(1795460711323456000),
                          .start_s = 0.004,
                          .end_s = 0.204,
                          .has_answer = 1,
                          .answer = {.label = "gfsk",
                                     .group = "fsk",
                                     .confidence = 0.98761f,
                                     .probs = {0.98761f, 0.01239f}},
                          .service = "AIS",
                          .model = &model,
                          .backend = "flash",
                          .mode = "fp32",
                          .window = 1024,
                          .tokens = 300,
                          .share_seen = 1,
                          .decisions = 4,
                          .latency_ms = 12.345f,
                          .inference_ms = 3,
                          .first_decision_s = 0.02f};
    return r;
}

static void check_keys(const json_t *j, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!json_object_get(j, keys[i]))
            fail_msg("missing: %s", keys[i]);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)j, key, value)
    {
        size_t i = 0;
        while (i < n && strcmp(keys[i], key) != 0)
            i++;
        if (i == n || json_is_null(value))
            fail_msg("unexpected or null: %s", key);
    }
}

static void test_all_keys_and_no_others(void **state)
{
    static const char *const keys[] = {
        "id",           "radio",      "band",    "state",      "start",      "end",
        "start_s",      "end_s",      "f_lo_hz", "f_hi_hz",    "center_hz",  "bandwidth_hz",
        "snr_db",       "level_dbfs", "bursts",  "duty",       "gap",        "band_edge",
        "floor_source", "class",      "group",   "confidence", "probs",      "service",
        "backend",      "mode",       "window",  "tokens",     "share_seen", "latency_ms"};
    struct at_result r = make();
    json_t *j = at_result_to_json(&r);
    assert_non_null(j);
    check_keys(j, keys, sizeof(keys) / sizeof(keys[0]));
    assert_true(json_is_integer(json_object_get(j, "f_lo_hz")));
    assert_int_equal(json_integer_value(json_object_get(j, "f_lo_hz")), 161967000);
    assert_int_equal(json_integer_value(json_object_get(j, "center_hz")), 161975000);
    assert_int_equal(json_integer_value(json_object_get(j, "bandwidth_hz")), 16001);
    assert_float_equal(json_number_value(json_object_get(j, "snr_db")), 21.3, 1e-9);
    assert_string_equal(json_string_value(json_object_get(j, "state")), "ended");
    assert_string_equal(json_string_value(json_object_get(j, "start")),
                        "2026-11-23T19:05:11.123456Z");
    assert_int_equal(json_object_size(json_object_get(j, "probs")), 2);
    json_decref(j);
}

static void test_unknown_is_left_out(void **state)
{
    static const char *const keys[] = {
        "id",         "radio",  "state", "f_lo_hz", "f_hi_hz",   "center_hz",   "bandwidth_hz",
        "level_dbfs", "bursts", "duty",  "gap",     "band_edge", "floor_source"};
    struct at_result r = make();
    r.has_answer = 0;
    r.start_utc_ns = r.end_utc_ns = 0;
    r.start_s = r.end_s = NAN;
    r.band[0] = r.service[0] = '\0';
    r.emission.snr_db = INFINITY;
    r.emission.ended = false;
    r.center_rf_hz = 0;
    json_t *j = at_result_to_json(&r);
    check_keys(j, keys, sizeof(keys) / sizeof(keys[0]));
    assert_int_equal(json_integer_value(json_object_get(j, "f_lo_hz")), -8000);
    assert_string_equal(json_string_value(json_object_get(j, "state")), "active");
    json_decref(j);

    r = make();
    r.latency_ms = NAN;
    r.answer.group[0] = '\0';
    j = at_result_to_json(&r);
    assert_null(json_object_get(j, "latency_ms"));
    assert_null(json_object_get(j, "group"));
    json_decref(j);
}

static void test_line_for_people(void **state)
{
    char line[256];
    struct at_result r = make();
    int n = at_result_format_line(&r, line, sizeof(line));
    print_message("%s\n", line);
    assert_int_equal(n, strlen(line));
    assert_non_null(strstr(line, "161.9750 MHz"));
    assert_non_null(strstr(line, "16.0 kHz"));
    assert_non_null(strstr(line, "21.3 dB"));
    assert_non_null(strstr(line, "gfsk"));
    assert_non_null(strstr(line, "99 %"));
    assert_non_null(strstr(line, "12.3 ms"));
    char cut[10];
    assert_int_equal(at_result_format_line(&r, cut, sizeof(cut)),
                     n); /* as snprintf: what it would take */
    assert_int_equal(strlen(cut), 9);
}

static void expect_summary(const struct at_summary *s, const char *class_name, const char *want)
{
    assert_string_equal(at_summary_class(s), class_name);
    json_t *j = at_summary_to_json(s, 2.5, 0.125), *expected = json_loads(want, 0, NULL);
    char *text = json_dumps(j, JSON_SORT_KEYS);
    if (!expected || !json_equal(j, expected))
        fail_msg("%s, expected %s", text, want);
    free(text);
    json_decref(j);
    json_decref(expected);
}

static void test_a_recording_is_what_its_strongest_emission_is(void **state)
{
    struct at_summary s = {0};
    struct at_result r = make();
    r.emission.ended = false;
    at_summary_add(&s, &r);
    expect_summary(&s, "none",
                   "{\"class\": \"none\", \"emissions\": 0, \"seconds\": 2.5, \"wall_s\": 0.125}");
    r.emission.ended = true;
    r.has_answer = 0;
    r.emission.energy = 100;
    at_summary_add(&s, &r);
    expect_summary(&s, "weak",
                   "{\"class\": \"weak\", \"emissions\": 1, \"seconds\": 2.5, \"wall_s\": 0.125}");
    r.has_answer = 1;
    r.emission.energy = 5;
    at_summary_add(&s, &r);
    strcpy(r.answer.label, "ook");
    r.emission.energy = 4;
    at_summary_add(&s, &r);
    s.corrupt = 7;
    expect_summary(
        &s, "gfsk",
        "{\"class\": \"gfsk\", \"confidence\": 0.9876, \"emissions\": 3, \"seconds\": 2.5, "
        "\"wall_s\": 0.125, \"corrupt\": 7}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keys_and_no_others),
        cmocka_unit_test(test_unknown_is_left_out),
        cmocka_unit_test(test_line_for_people),
        cmocka_unit_test(test_a_recording_is_what_its_strongest_emission_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
