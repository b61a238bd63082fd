/* Watchdog, readiness, metrics, log. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/http/api.h"
#include "daemon/log.h"
#include "daemon/metrics.h"
#include "daemon/metrics_text.h"
#include "daemon/watch.h"

#define S AT_NS_PER_S

static void watchdog(void **state)
{
    struct at_watch w = {.limit_ns = 10 * S};
    /* A radio without samples has no work: it stays for a day and nothing is stuck. */
    for (int64_t t = 0; t < 86400; t += 60)
        at_watch_mark(&w, "radio a", false, 7, t * S);
    assert_null(at_watch_stuck(&w, 86350 * S));
    /* One that works and moves is fine; one that works and stands still is stuck after ten seconds,
     * not before. */
    struct at_watch v = {.limit_ns = 10 * S};
    for (int64_t t = 0; t <= 30; t++) {
        at_watch_mark(&v, "radio a", true, (uint64_t)t, t * S);
        at_watch_mark(&v, "radio b", true, t < 12 ? (uint64_t)t : 12, t * S);
        const char *stuck = at_watch_stuck(&v, t * S);
        if (!!stuck != (t > 22))
            fail_msg("at %d s: stuck is %s", (int)t, stuck ? stuck : "none");
    }
    assert_string_equal(at_watch_stuck(&v, 30 * S), "radio b");
    at_watch_mark(&v, "radio b", false, 12, 31 * S);
    at_watch_mark(&v, "radio a", true, 31, 31 * S);
    assert_null(at_watch_stuck(&v, 31 * S));
}

static void readiness(void **state)
{
    struct at_view *v = calloc(1, sizeof *v);
    struct at_model model = {0};
    char text[256];
    assert_string_equal(at_view_not_ready(v, text, sizeof text), "model not loaded yet");
    v->model = &model;
    assert_string_equal(at_view_not_ready(v, text, sizeof text), "no radio is configured");
    v->n_radios = 2;
    snprintf(v->radios[0].name, sizeof v->radios[0].name, "a");
    snprintf(v->radios[1].name, sizeof v->radios[1].name, "b");
    v->radios[0].state = AT_SOURCE_FAILED;
    snprintf(v->radios[0].error, sizeof v->radios[0].error, "no such device");
    v->radios[1].state = AT_SOURCE_RUNNING;
    v->radios[1].sample_age_s = NAN;
    assert_string_equal(at_view_not_ready(v, text, sizeof text),
                        "no samples: a failed: no such device; b running");
    v->radios[1].sample_age_s = 0.3;
    assert_null(at_view_not_ready(v, text, sizeof text));
    v->radios[1].sample_age_s = 9;
    assert_non_null(at_view_not_ready(v, text, 10)); /* short buffer: cut, not overrun */
    assert_true(strlen(text) < 10);
    v->radios[1].state = AT_SOURCE_ENDED;
    assert_null(at_view_not_ready(v, text, sizeof text));
    free(v);
}

/* One line for people: what is not known yet is no number in it. */
static void summary(void **state)
{
    struct at_view *v = calloc(1, sizeof *v);
    char text[256];
    v->n_radios = 1;
    v->budget_latency_ms = 30;
    v->stats.latency_p95_ms = NAN;
    at_view_summary(v, text, sizeof text);
    assert_string_equal(
        text, "0 of 1 radios running, 0 emissions, backend none, no decision yet, budget 30 ms");
    v->stats.latency_p95_ms = 12.34;
    v->radios[0].state = AT_SOURCE_RUNNING;
    at_view_summary(v, text, sizeof text);
    assert_string_equal(text,
                        "1 of 1 radios running, 0 emissions, backend none, p95 12.3 of 30 ms");
    for (size_t n = 1; n < sizeof text; n++) { /* short buffer: cut, not overrun */
        at_view_summary(v, text, n);
        assert_true(strlen(text) < n);
    }
    free(v);
}

static void work(void **state)
{
    struct at_view *v = calloc(1, sizeof *v);
    static struct at_model models[2];
    v->model = &models[0];
    v->more[v->n_more++].model = &models[1];
    v->n_radios = 1;
    v->radios[0].n_bands = 3; /* those of a band that waits count too */
    for (size_t i = 0; i < 3; i++)
        v->radios[0].bands[i].model = &models[i == 2];
    v->radios[0].bands[2].has_stats = true; /* of another model: its emissions excuse nothing */
    v->radios[0].bands[2].stats.active = 9;
    v->radios[0].bands[0].has_stats = v->radios[0].bands[1].has_stats = true;
    v->radios[0].bands[0].stats.active = 1;
    v->radios[0].bands[1].stats.active = 2;
    v->radios[0].bands[1].waiting = true;
    v->each[0].queue_depth = 3 * 64; /* a radio stalled amid three emissions: nothing is due */
    assert_false(at_view_has_work(v, 0));
    v->each[0].queue_depth = 3 * 64 + 1;
    assert_true(at_view_has_work(v, 0));
    v->each[1].queue_depth = 9 * 64;
    assert_false(at_view_has_work(v, 1));
    v->radios[0].n_bands = 0; /* ended ones wait for their last decision */
    v->each[0].queue_depth = 1;
    assert_true(at_view_has_work(v, 0));
    free(v);
}

/* Workers of one model that stand still are seen though those of the others move, also where models
 * have the same name. */
static void each_models_workers(void **state)
{
    struct at_view *v = calloc(1, sizeof *v);
    struct at_model models[3] = {{.name = "base"}, {.name = "wide"}, {.name = "wide"}};
    struct at_watch w = {.limit_ns = 10 * S};
    at_watch_mark_models(&w, v, 0);
    assert_int_equal(w.n, 0); /* nothing is loaded */
    v->model = &models[0];
    for (int i = 1; i < 3; i++)
        v->more[v->n_more++].model = &models[i];
    for (int64_t t = 0; t <= 30; t++) {
        for (size_t m = 0; m < 3; m++)
            v->each[m].queue_depth = 100;
        v->each[0].tokens++;
        v->each[1].decisions += t < 5;
        v->each[2].decisions++;
        at_watch_mark_models(&w, v, t * S);
        const char *stuck = at_watch_stuck(&w, t * S);
        if (!!stuck != (t > 14))
            fail_msg("at %d s: stuck is %s", (int)t, stuck ? stuck : "none");
    }
    assert_string_equal(at_watch_stuck(&w, 30 * S), "classifier 2 (wide)");
    v->each[1].decisions++;
    at_watch_mark_models(&w, v, 31 * S);
    assert_null(at_watch_stuck(&w, 31 * S));
    assert_int_equal(w.n, 3);
    free(v);
}

/* Each radio, each model and HTTP has its place. */
static void every_stage_has_room(void **state)
{
    struct at_watch w = {.limit_ns = 10 * S};
    char name[48];
    for (int i = 0; i < 1 + AT_MAX_RADIOS + AT_MAX_MODELS; i++) {
        snprintf(name, sizeof name, "stage %d", i);
        at_watch_mark(&w, name, true, 0, 0);
        at_watch_mark(&w, name, true, i == AT_MAX_RADIOS + AT_MAX_MODELS ? 0 : 1, 20 * S);
    }
    assert_non_null(at_watch_stuck(&w, 20 * S));
    assert_string_equal(at_watch_stuck(&w, 20 * S), name);
}

static double sample(const char *page, const char *line)
{
    /* At a line's beginning: HELP lines hold the names too. */
    for (const char *at = page; (at = strstr(at, line)); at++)
        if (at == page || at[-1] == '\n')
            return atof(at + strlen(line));
    return NAN;
}

static void metrics(void **state)
{
    struct at_metrics *m = at_metrics_create();
    struct at_view *v = calloc(1, sizeof *v);
    struct at_buf out;
    at_buf_init(&out, 1 << 20);
    v->version = "1";
    v->n_radios = 1;
    snprintf(v->radios[0].name, sizeof v->radios[0].name, "roof");
    v->radios[0].ledger = (struct at_ledger){.requested = 1000, .delivered = 990, .lost = {10}};
    v->radios[0].processed = 990;
    at_metrics_observe(m, AT_HIST_LATENCY, NULL, 0.012);
    at_metrics_observe(m, AT_HIST_LATENCY, NULL, 0.029);
    at_metrics_observe(m, AT_HIST_LATENCY, NULL, 7);
    at_metrics_observe(m, AT_HIST_LATENCY, NULL, NAN);
    at_metrics_observe(m, AT_HIST_INFERENCE, "flash", 0.002);
    for (int i = 0; i < 2000; i++) {
        char path[32];
        snprintf(path, sizeof path, "/%d", i);
        at_metrics_count(m, AT_COUNT_HTTP, path, "404", NULL);
    }
    assert_int_equal(at_metrics_write(m, v, &out), 0);
    const char *p = out.data;
    const struct {
        const char *line;
        double want;
    } wants[] = {
        {"attune_samples_total{radio=\"roof\"} ", 1000},
        {"attune_samples_processed_total{radio=\"roof\"} ", 990},
        {"attune_samples_lost_total{radio=\"roof\",reason=\"overflow\"} ", 10},
        {"attune_decision_latency_seconds_bucket{le=\"0.03\"} ", 2},
        {"attune_decision_latency_seconds_bucket{le=\"+Inf\"} ", 3},
        {"attune_decision_latency_seconds_sum ", 7.041},
        {"attune_decision_latency_seconds_count ", 3},
        {"attune_inference_duration_seconds_bucket{backend=\"flash\",le=\"0.002\"} ", 1},
        {"attune_sse_dropped_total ", 0},
        {"attune_http_requests_total{route=\"/0\",code=\"404\"} ", 1},
        {"attune_http_requests_total{route=\"other\",code=\"other\"} ",
         976}, /* 1024 series and no more */
    };
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++) {
        double got = sample(p, wants[i].line);
        if (!(fabs(got - wants[i].want) < 1e-9))
            fail_msg("%s: %g, want %g", wants[i].line, got, wants[i].want);
    }
    assert_true(sample(p, "process_resident_memory_bytes ") > 1e5);
    at_buf_reset(&out);
    at_metrics_sample(&out, "x", &(struct at_label){"l", "a\"b\\c\nd"}, 1, -INFINITY);
    assert_string_equal(out.data, "x{l=\"a\\\"b\\\\c\\nd\"} -Inf\n");
    at_buf_finish(&out);
    at_metrics_destroy(m);
    free(v);
}

/* The largest configuration, each band with each class: nothing is folded, the page holds it, and
 * what a reload leaves out goes. */
static void emissions_of_every_band(void **state)
{
    enum { LABELS = AT_MAX_CLASSES + 3 };
    struct at_metrics *m = at_metrics_create();
    struct at_view *v = calloc(1, sizeof *v);
    struct at_config *c = calloc(1, sizeof *c);
    struct at_buf out;
    char class_name[32];
    at_buf_init(&out, AT_API_MAX_BODY);
    v->version = "1";
    c->n_radios = AT_MAX_RADIOS;
    for (int i = 0; i < AT_MAX_RADIOS; i++) {
        struct at_config_radio *r = &c->radios[i];
        snprintf(r->name, sizeof r->name, "a-radio-with-quite-a-name-%d", i);
        r->n_bands = AT_MAX_BANDS;
        for (int k = 0; k < AT_MAX_BANDS; k++) {
            snprintf(r->bands[k].name, sizeof r->bands[k].name, "its-band-that-is-number-%d", k);
            for (int n = 0; n < LABELS; n++) {
                snprintf(class_name, sizeof class_name, "class-of-emissions-%d", n);
                at_metrics_count(m, AT_COUNT_EMISSIONS, r->name, r->bands[k].name, class_name);
            }
        }
    }
    assert_int_equal(at_metrics_write(m, v, &out), 0);
    print_message("%zu bytes\n", strlen(out.data));
    assert_null(strstr(out.data, "\"other\""));
    assert_int_equal(sample(out.data,
                            "attune_emissions_total{radio=\"a-radio-with-quite-a-name-15\""
                            ",band=\"its-band-that-is-number-15\","
                            "class=\"class-of-emissions-66\"} "),
                     1);
    at_metrics_count(m, AT_COUNT_EMISSIONS, "x", "y", "z");
    assert_int_equal(at_metrics_get(m, AT_COUNT_EMISSIONS, "x", "y", "z"), 0);
    c->radios[3].n_bands = 2; /* a reload later */
    c->n_radios = 4;
    at_metrics_forget_bands(m, c);
    at_metrics_count(m, AT_COUNT_EMISSIONS, "x", "y", "z");
    assert_int_equal(at_metrics_get(m, AT_COUNT_EMISSIONS, "x", "y", "z"), 1);
    for (int i = 0; i < AT_MAX_RADIOS; i++)
        for (int k = 0; k < AT_MAX_BANDS; k++)
            assert_int_equal(at_metrics_get(m, AT_COUNT_EMISSIONS, c->radios[i].name,
                                            c->radios[i].bands[k].name, class_name),
                             i < 3 || (i == 3 && k < 2));
    at_buf_finish(&out);
    at_metrics_destroy(m);
    free(c);
    free(v);
}

static void log_lines(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    at_log_init("info", 1, f);
    at_log(AT_LOG_DEBUG, NULL, "not shown");
    at_log(AT_LOG_WARN, AT_FIELDS({"radio", "a\"b\n"}, {"none", NULL}), "radio %s: \x1b[31mred",
           "a");
    assert_non_null(strstr(text, "\"level\":\"warning\",\"message\":\"radio a: "
                                 "\\u001b[31mred\",\"radio\":\"a\\\"b\\u000a\"}\n"));
    assert_null(strstr(text, "not shown"));
    assert_null(strstr(text, "none"));
    at_log_init("warning", 0, f);
    at_log(AT_LOG_INFO, NULL, "hidden");
    at_log(AT_LOG_ERROR, NULL, "two\nlines");
    fflush(f);
    assert_non_null(strstr(text, "error   two\\x0alines\n"));
    assert_null(strstr(text, "hidden"));
    /* A flood of one kind is cut; another kind still passes. */
    size_t before = n;
    for (int i = 0; i < 1000; i++)
        at_log(AT_LOG_ERROR, NULL, "flood %d", i);
    at_log(AT_LOG_ERROR, NULL, "another kind of line");
    int lines = 0;
    for (size_t i = before; i < n; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, AT_LOG_BURST + 1);
    /* What was left out is told though nothing like it comes any more, once. */
    before = n;
    at_log_settle(false);
    assert_int_equal(n, before); /* not yet: another one may come */
    at_log_settle(true);
    assert_non_null(strstr(text + before, "error   flood 999 (979 like it left out)\n"));
    before = n;
    at_log_settle(true);
    assert_int_equal(n, before);
    at_log_init("info", 0, NULL);
    fclose(f);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchdog),
        cmocka_unit_test(readiness),
        cmocka_unit_test(summary),
        cmocka_unit_test(work),
        cmocka_unit_test(each_models_workers),
        cmocka_unit_test(every_stage_has_room),
        cmocka_unit_test(metrics),
        cmocka_unit_test(emissions_of_every_band),
        cmocka_unit_test(log_lines),
    };
    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
