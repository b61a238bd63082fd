/* Radios, models and workers at work while others look: what an answer says at once must agree.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/pipeline.h"
#include "lib/base/clock.h"
#include "lib/engine/internal.h"
#include "tests/support/random_model.h"
#include "tests/support/signals.h"

#define N       100000 /* two seconds at the rate of the files' names */
#define BAD     10     /* each tenth sample of nan_50k.cf32 is no number */
#define LABELS  "gfsk,ook,carrier,nfm"
#define LOOKS   20000
#define LIMIT_S 200

static char dir[] = "/tmp/attune-pipeline-XXXXXX";

static void put_file(const char *name, const void *data, size_t n)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void put_model(const char *name, uint64_t seed)
{
    struct at_error err = {{0}};
    struct at_model_config shape = random_model_shape(3);
    char path[96];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (random_model_write(path, &shape, seed, LABELS, &err))
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    unsetenv("ATTUNE_BACKEND");
    float *iq = calloc(2 * N, sizeof *iq);
    if (!iq || !mkdtemp(dir))
        return -1;
    sig_add_noise(iq, N, -70, 1);
    sig_add_tone(iq, 0, N, 0.1, -30);
    put_file("tone_50k.cf32", iq, 2 * N * sizeof *iq);
    for (size_t i = 0; i < N; i += BAD)
        iq[2 * i] = NAN;
    put_file("nan_50k.cf32", iq, 2 * N * sizeof *iq);
    put_model("a.safetensors", 1);
    put_model("b.safetensors", 2);
    free(iq);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* A pipeline that runs, with what it writes to. */
struct stand {
    struct at_config *config;
    struct at_outlets outlets;
    struct at_pipeline *pipeline;
};

static struct stand *begin(const char *radios)
{
    struct stand *s = calloc(1, sizeof *s);
    struct at_error err = {{0}};
    char text[2048], path[96];
    snprintf(text, sizeof text,
             "model: {path: a.safetensors}\nhistory: {path: \"\"}\ncache_dir: \"\"\n"
             "bandplan: \"\"\nlookback: {keep: 0s}\nradios:\n%s",
             radios);
    put_file("attuned.yaml", text, strlen(text));
    snprintf(path, sizeof path, "%s/attuned.yaml", dir);
    s->outlets = (struct at_outlets){.store = at_store_create(64, 64),
                                     .events = at_events_create(64, 4),
                                     .metrics = at_metrics_create(),
                                     .rows = at_rows_create(AT_MAX_RADIOS * AT_MAX_BANDS, 4)};
    if (at_config_load(path, &err, &s->config) ||
        at_pipeline_create(s->config, &s->outlets, 0, &err, &s->pipeline) ||
        at_pipeline_start(s->pipeline, &err))
        fail_msg("%s", err.text);
    while (at_pipeline_get_phase(s->pipeline, &err) == AT_PIPELINE_LOADING)
        usleep(1000);
    if (at_pipeline_get_phase(s->pipeline, &err) == AT_PIPELINE_FAILED)
        fail_msg("%s", err.text);
    return s;
}

static void end(struct stand *s)
{
    at_pipeline_destroy(s->pipeline);
    at_store_destroy(s->outlets.store);
    at_events_destroy(s->outlets.events);
    at_metrics_destroy(s->outlets.metrics);
    at_rows_destroy(s->outlets.rows);
    at_config_destroy(s->config);
    free(s);
}

/* A radio's thread counts as fast as it can, samples that are no numbers among them; each look must
 * find requested = delivered + lost, processed <= delivered, and nothing counted back. */
static void ledgers_agree_in_each_answer(void **state)
{
    struct stand *s =
        begin("  - {name: roof, device: file=nan_50k.cf32, pace: fast, loop: true}\n");
    struct at_view *v = calloc(1, sizeof *v);
    uint64_t requested = 0, delivered = 0, processed = 0;
    for (int i = 0; i < LOOKS || processed < 2 * N; i++) {
        at_pipeline_get_view(s->pipeline, v);
        const struct at_radio_view *r = &v->radios[0];
        uint64_t lost = 0;
        for (int k = 0; k < AT_LOST_REASONS; k++)
            lost += r->ledger.lost[k];
        if (r->processed > r->ledger.delivered ||
            r->ledger.requested != r->ledger.delivered + lost || r->ledger.requested < requested ||
            r->ledger.delivered < delivered || r->processed < processed)
            fail_msg("look %d: requested %llu, delivered %llu, lost %llu, processed %llu", i,
                     (unsigned long long)r->ledger.requested,
                     (unsigned long long)r->ledger.delivered, (unsigned long long)lost,
                     (unsigned long long)r->processed);
        requested = r->ledger.requested;
        delivered = r->ledger.delivered;
        processed = r->processed;
    }
    print_message("%llu of %llu delivered samples processed\n", (unsigned long long)processed,
                  (unsigned long long)delivered);
    free(v);
    end(s);
}

/* When the stage moved last; -1: there is none of this name. */
static int64_t moved(const struct at_watch *w, const char *name)
{
    for (size_t i = 0; i < w->n; i++)
        if (!strcmp(w->stages[i].name, name))
            return w->stages[i].moved_ns;
    return -1;
}

/* A receiver of the classifier; NULL: none has an emission. */
static struct at_receiver *receiver_of(struct at_classifier *c)
{
    pthread_mutex_lock(&c->lock);
    struct at_receiver *r = c->streams ? c->streams->r : NULL;
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* Looks as the supervisor does, until good(). */
static void watch_until(struct stand *s, struct at_watch *w, const char *what,
                        bool (*good)(const struct at_watch *w, const struct at_view *v))
{
    struct at_view *v = calloc(1, sizeof *v);
    int64_t give_up = at_clock_mono_ns() + LIMIT_S * AT_NS_PER_S;
    bool got = false;
    while (!got && at_clock_mono_ns() < give_up) {
        usleep(20000);
        at_pipeline_poll(s->pipeline, w);
        at_pipeline_get_view(s->pipeline, v);
        got = good(w, v);
    }
    free(v);
    if (!got)
        fail_msg("not within %d s: %s", LIMIT_S, what);
}

static bool both_decide(const struct at_watch *w, const struct at_view *v)
{
    return v->n_more == 1 && v->each[0].decisions && v->each[1].decisions &&
           v->stats.decisions >= v->each[0].decisions + v->each[1].decisions;
}

static uint64_t decisions_before;

/* The one stands still while the other has gone on. */
static bool one_is_stuck(const struct at_watch *w, const struct at_view *v)
{
    int64_t now = at_clock_mono_ns();
    return now - moved(w, "classifier") > w->limit_ns && v->stuck[0] &&
           v->each[1].decisions > decisions_before + 4;
}

static bool none_is_stuck(const struct at_watch *w, const struct at_view *v)
{
    return !v->stuck[0] && !at_watch_stuck(w, at_clock_mono_ns());
}

/* The workers of one model hang in the middle of a decision while those of the other go on: the
 * watchdog is to be starved by them. */
static void one_models_workers_hang(void **state)
{
    struct stand *s =
        begin("  - {name: one, device: file=tone_50k.cf32, pace: real, loop: true}\n"
              "  - name: two\n    device: file=tone_50k.cf32\n    pace: real\n    loop: true\n"
              "    bands:\n      - {name: b, model: {path: b.safetensors}}\n");
    struct at_watch w = {.limit_ns = 2 * AT_NS_PER_S};
    struct at_receiver *hung = NULL;
    watch_until(s, &w, "both models decide", both_decide);
    assert_true(moved(&w, "classifier") >= 0);
    assert_true(moved(&w, "classifier 2 (b.safetensors)") >= 0 ||
                moved(&w, "classifier 2 (b)") >= 0);
    while (!(hung = receiver_of(at_pipeline_get_classifier(s->pipeline))))
        usleep(1000);
    pthread_mutex_lock(&hung->publish); /* its next decision can't be told */
    struct at_view *v = calloc(1, sizeof *v);
    at_pipeline_get_view(s->pipeline, v);
    decisions_before = v->each[1].decisions;
    free(v);
    watch_until(s, &w, "the hung workers are seen", one_is_stuck);
    pthread_mutex_unlock(&hung->publish);
    watch_until(s, &w, "they move again", none_is_stuck);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ledgers_agree_in_each_answer),
        cmocka_unit_test(one_models_workers_hang),
    };
    return cmocka_run_group_tests_name("pipeline", tests, set_up, tear_down);
}
