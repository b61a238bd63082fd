/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "tools/bench.h"

#define MAX_RUNS 20000
#define MIN_RUNS 5 /* even when they take longer than asked for, up to PATIENCE times as long */
#define PATIENCE 5

/* One thread's share: its sessions, its worker, its times. */
struct lane {
    const struct bench_job *job;
    const float *frames; /* (window + new_tokens, stride), shared */
    size_t stride;
    struct at_worker *worker;
    struct at_team *team;         /* one session over several threads, else NULL */
    struct at_session **sessions; /* (n) */
    const float **from;           /* (n) */
    size_t *counts;               /* (n) */
    size_t n;
    double *ms; /* (MAX_RUNS) */
    unsigned runs;
    double seconds; /* that the runs took */
    atomic_bool *go;
    pthread_t id;
};

/* One decision of each session: new tokens in, logits out. */
static void decide(struct lane *l)
{
    const struct bench_job *j = l->job;
    float logits[AT_MAX_CLASSES];
    if (j->what == BENCH_WINDOW)
        at_session_reset(l->sessions[0]);
    if (l->team)
        at_team_push(l->team, l->sessions[0], l->frames, j->new_tokens, l->stride);
    else if (l->n == 1)
        at_session_push(l->sessions[0], l->worker, l->frames, j->new_tokens, l->stride);
    else
        at_session_push_batch(l->sessions, l->worker, l->from, l->counts, l->n, l->stride);
    for (size_t i = 0; i < l->n; i++)
        at_session_logits(l->sessions[i], logits);
}

static void *run_lane(void *arg)
{
    struct lane *l = arg;
    at_cpu_flush_denormals();
    if (l->job->what != BENCH_WINDOW) /* caches must be full */
        for (size_t i = 0; i < l->n; i++)
            at_session_push(l->sessions[i], l->worker, l->frames, l->job->window, l->stride);
    decide(l); /* warm up */
    while (!atomic_load(l->go))
        sched_yield();
    int64_t start = at_clock_mono_ns(), now = start, span = (int64_t)(l->job->seconds * 1e9);
    while (l->runs < MAX_RUNS && (now - start < span || l->runs == 0 ||
                                  (l->runs < MIN_RUNS && now - start < PATIENCE * span))) {
        decide(l);
        int64_t after = at_clock_mono_ns();
        l->ms[l->runs++] = (double)(after - now) / 1e6;
        now = after;
    }
    l->seconds = (double)(now - start) / 1e9;
    return NULL;
}

static int open_lane(struct lane *l, struct at_error *err)
{
    const struct bench_job *j = l->job;
    l->ms = calloc(MAX_RUNS, sizeof *l->ms);
    l->sessions = calloc(l->n, sizeof *l->sessions);
    l->from = calloc(l->n, sizeof *l->from);
    l->counts = calloc(l->n, sizeof *l->counts);
    if (!l->ms || !l->sessions || !l->from || !l->counts)
        return at_error_set(err, -ENOMEM, "no memory");
    int r = at_worker_create(j->encoder, &j->shape, 1, err, &l->worker);
    if (r == 0 && j->what == BENCH_WINDOW && j->threads > 1)
        r = at_team_create(j->encoder, &j->shape, 1, j->threads, err, &l->team);
    for (size_t i = 0; r == 0 && i < l->n; i++) {
        r = at_session_create(j->encoder, &j->shape, err, &l->sessions[i]);
        l->from[i] = l->frames + i % 8 * l->stride;
        l->counts[i] = j->new_tokens;
    }
    return r;
}

static void close_lane(struct lane *l)
{
    for (size_t i = 0; l->sessions && i < l->n; i++)
        at_session_destroy(l->sessions[i]);
    at_team_destroy(l->team);
    at_worker_destroy(l->worker);
    free(l->sessions);
    free(l->from);
    free(l->counts);
    free(l->ms);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Percentiles over the runs of all lanes, and the rates of the lanes added up. */
static int summarise(struct lane *lanes, unsigned n, struct at_error *err, struct bench_result *ret)
{
    size_t total = 0, at = 0;
    for (unsigned i = 0; i < n; i++)
        total += lanes[i].runs;
    double *all = calloc(total ? total : 1, sizeof *all);
    if (!all)
        return at_error_set(err, -ENOMEM, "no memory");
    for (unsigned i = 0; i < n; i++) {
        memcpy(all + at, lanes[i].ms, lanes[i].runs * sizeof *all);
        at += lanes[i].runs;
        ret->decisions_per_s += lanes[i].runs * (double)lanes[i].n / lanes[i].seconds;
    }
    qsort(all, total, sizeof *all, compare);
    ret->p50_ms = all[total / 2];
    ret->p95_ms = all[(size_t)((double)(total - 1) * 0.95 + 0.5)];
    ret->runs = (unsigned)total;
    free(all);
    return 0;
}

/* Values as frames have them: noise around 0 dB, some bins well above. Seeded. */
static float *make_frames(const struct bench_job *j, size_t *ret_stride)
{
    const struct at_model_config *c = &at_encoder_model(j->encoder)->config;
    size_t stride = c->n_bins + c->n_aux, n = ((size_t)j->window + j->new_tokens + 8) * stride;
    float *frames = at_mem_array(NULL, AT_MEM_FRAMES, n, sizeof *frames);
    uint64_t x = 1;
    for (size_t i = 0; frames && i < n; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u; /* Knuth's MMIX */
        frames[i] = (float)(x >> 40) * 0x1p-24f * 2 - 1 + (i % stride / 8 % 5 == 0 ? 2.0f : 0);
    }
    *ret_stride = stride;
    return frames;
}

static int run_lanes(struct lane *lanes, unsigned n, struct at_error *err)
{
    atomic_bool go = false;
    unsigned made = 1;
    for (unsigned i = 0; i < n; i++)
        lanes[i].go = &go;
    while (made < n && pthread_create(&lanes[made].id, NULL, run_lane, &lanes[made]) == 0)
        made++;
    atomic_store(&go, true);
    run_lane(&lanes[0]);
    for (unsigned i = 1; i < made; i++)
        pthread_join(lanes[i].id, NULL);
    return made == n ? 0
                     : at_error_set(err, -EAGAIN, "only %u of %u threads could be made", made, n);
}

int bench_run(const struct bench_job *job, struct at_error *err, struct bench_result *ret)
{
    struct lane lanes[BENCH_MAX_THREADS] = {0};
    struct bench_result result = {0};
    size_t stride = 0;
    unsigned n = job->threads < job->sessions ? job->threads : job->sessions;
    int r = at_session_probe(job->encoder, &job->shape, err, &result.cost);
    if (r < 0)
        return r;
    float *frames = make_frames(job, &stride);
    if (!frames)
        return at_error_set(err, -ENOMEM, "no memory for frames");
    for (unsigned i = 0; i < n && r == 0; i++) {
        lanes[i] = (struct lane){.job = job, .frames = frames, .stride = stride};
        lanes[i].n = job->sessions / n + (i < job->sessions % n);
        r = open_lane(&lanes[i], err);
    }
    if (r == 0)
        r = run_lanes(lanes, n, err);
    if (r == 0)
        r = summarise(lanes, n, err, &result);
    if (r == 0)
        at_session_get_report(lanes[0].sessions[0], &result.report);
    for (unsigned i = 0; i < n; i++)
        close_lane(&lanes[i]);
    at_mem_free(NULL, frames);
    if (r == 0)
        *ret = result;
    return r;
}
