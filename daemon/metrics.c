/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/metrics_text.h"
#include "lib/base/clock.h"

#define LABEL_SIZE 96
#define MAX_LABELS 3
#define MAX_HISTS  8

/* Decisions have a budget around 30 ms: the steps are dense there. First decisions wait for 16
 * tokens: slower. */
static const double decision_bounds[] = {0.0005, 0.001, 0.002, 0.004, 0.006, 0.01,
                                         0.015,  0.02,  0.025, 0.03,  0.035, 0.04,
                                         0.05,   0.075, 0.1,   0.25,  1.0};
static const double first_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.2, 0.3,
                                      0.5,  0.75,  1.0,  2.0, 5.0, 10.0};
#define MAX_BOUNDS 20

/* most: series; as many as a configuration can bring, so that none is folded into "other": each
 * band with each label of its model, "weak", "unknown" and "none". Of the others there are fewer
 * than this by far. */
static const struct {
    const char *name, *help;
    const char *labels[MAX_LABELS];
    size_t most;
} counter_table[AT_COUNTERS] = {
    {"attune_emissions_total",
     "Emissions that ended, by band and class",
     {"radio", "band", "class"},
     AT_MAX_RADIOS *AT_MAX_BANDS *(AT_MAX_CLASSES + 3)},
    {"attune_decisions_total", "Decisions made", {"backend"}, 256},
    {"attune_selector_changes_total",
     "Changes of backend, mode or window",
     {"from", "to", "reason"},
     4096},
    {"attune_http_requests_total", "HTTP requests answered", {"route", "code"}, 1024},
    {"attune_sse_dropped_total",
     "Event streams closed because their reader was too slow",
     {NULL},
     1},
};

static const struct {
    const char *name, *help, *label;
    const double *bounds;
    size_t n_bounds;
} hist_table[AT_HISTOGRAMS] = {
    {"attune_inference_duration_seconds", "Time one decision takes to compute", "backend",
     decision_bounds, sizeof decision_bounds / sizeof *decision_bounds},
    {"attune_decision_latency_seconds",
     "From delivery of the newest sample to the published result", NULL, decision_bounds,
     sizeof decision_bounds / sizeof *decision_bounds},
    {"attune_first_decision_seconds", "From an emission's start to its first decision", NULL,
     first_bounds, sizeof first_bounds / sizeof *first_bounds},
};

struct series {
    char values[MAX_LABELS][LABEL_SIZE];
    uint64_t count;
};

struct hist {
    char label[LABEL_SIZE];
    uint64_t buckets[MAX_BOUNDS + 1], count;
    double sum;
};

/* One counter's series; they grow as they come. */
struct family {
    struct series *series; /* (room) */
    uint32_t *hashes;      /* (room) of their labels: what is looked through */
    size_t n, room;
    uint64_t folded; /* counted as "other": past the most, or without memory */
};

struct at_metrics {
    pthread_mutex_t lock;
    struct family families[AT_COUNTERS];
    struct hist hists[AT_HISTOGRAMS][MAX_HISTS];
    size_t n_hists[AT_HISTOGRAMS];
    bool reload_failed;
    int64_t reloaded_utc_ns;
    void (*more)(void *ctx, struct at_buf *out);
    void *more_ctx;
};

static const char *const no_labels[MAX_LABELS] = {"", "", ""};

/* Of as much of each label as is kept (FNV-1a). */
static uint32_t hash_of(const char *const *values)
{
    uint32_t h = 2166136261u;
    for (int k = 0; k < MAX_LABELS; k++) {
        for (size_t i = 0; i < LABEL_SIZE - 1 && values[k][i]; i++)
            h = (h ^ (unsigned char)values[k][i]) * 16777619u;
        h *= 16777619u;
    }
    return h;
}

static bool grow(struct family *f, size_t most)
{
    size_t room = f->room ? 2 * f->room : 16;
    room = room < most ? room : most;
    struct series *series = realloc(f->series, room * sizeof *series);
    if (!series)
        return false;
    f->series = series;
    uint32_t *hashes = realloc(f->hashes, room * sizeof *hashes);
    if (!hashes)
        return false;
    f->hashes = hashes;
    f->room = room;
    return true;
}

/* NULL: there is none, and none is or can be added. */
static struct series *find_series(struct at_metrics *m, enum at_counter which,
                                  const char *const *values, bool add)
{
    struct family *f = &m->families[which];
    uint32_t hash = hash_of(values);
    for (size_t i = 0; i < f->n; i++) {
        bool same = f->hashes[i] == hash;
        for (int k = 0; same && k < MAX_LABELS; k++)
            same = !strncmp(f->series[i].values[k], values[k], LABEL_SIZE - 1);
        if (same)
            return &f->series[i];
    }
    size_t most = counter_table[which].most;
    if (!add || f->n == most || (f->n == f->room && !grow(f, most)))
        return NULL;
    struct series *s = &f->series[f->n];
    f->hashes[f->n++] = hash;
    *s = (struct series){.count = 0};
    for (int k = 0; k < MAX_LABELS; k++)
        snprintf(s->values[k], LABEL_SIZE, "%s", values[k]);
    return s;
}

struct at_metrics *at_metrics_create(void)
{
    struct at_metrics *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    m->reloaded_utc_ns = at_clock_utc_ns();
    /* A histogram without a label is there from the start, at zero; so is a counter without one. */
    for (int i = 0; i < AT_HISTOGRAMS; i++)
        m->n_hists[i] = hist_table[i].label ? 0 : 1;
    for (int i = 0; i < AT_COUNTERS; i++)
        if (!counter_table[i].labels[0] && !find_series(m, (enum at_counter)i, no_labels, true)) {
            at_metrics_destroy(m);
            return NULL;
        }
    return m;
}

void at_metrics_destroy(struct at_metrics *m)
{
    if (!m)
        return;
    for (int i = 0; i < AT_COUNTERS; i++) {
        free(m->families[i].series);
        free(m->families[i].hashes);
    }
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void at_metrics_count(struct at_metrics *m, enum at_counter which, const char *a, const char *b,
                      const char *c)
{
    const char *values[MAX_LABELS] = {a ? a : "", b ? b : "", c ? c : ""};
    pthread_mutex_lock(&m->lock);
    struct series *s = find_series(m, which, values, true);
    if (s)
        s->count++;
    else
        m->families[which].folded++;
    pthread_mutex_unlock(&m->lock);
}

uint64_t at_metrics_get(struct at_metrics *m, enum at_counter which, const char *a, const char *b,
                        const char *c)
{
    const char *values[MAX_LABELS] = {a ? a : "", b ? b : "", c ? c : ""};
    pthread_mutex_lock(&m->lock);
    const struct series *s = find_series(m, which, values, false);
    uint64_t count = s ? s->count : 0;
    pthread_mutex_unlock(&m->lock);
    return count;
}

static bool has_band(const struct at_config *c, const char *radio, const char *band)
{
    for (uint32_t i = 0; i < c->n_radios; i++)
        for (uint32_t k = 0; !strcmp(c->radios[i].name, radio) && k < c->radios[i].n_bands; k++)
            if (!strcmp(c->radios[i].bands[k].name, band))
                return true;
    return false;
}

void at_metrics_forget_bands(struct at_metrics *m, const struct at_config *now)
{
    pthread_mutex_lock(&m->lock);
    struct family *f = &m->families[AT_COUNT_EMISSIONS];
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++)
        if (has_band(now, f->series[i].values[0], f->series[i].values[1])) {
            f->hashes[n] = f->hashes[i];
            f->series[n++] = f->series[i];
        }
    f->n = n;
    pthread_mutex_unlock(&m->lock);
}

void at_metrics_observe(struct at_metrics *m, enum at_hist which, const char *label, double seconds)
{
    if (!isfinite(seconds) || seconds < 0)
        return;
    pthread_mutex_lock(&m->lock);
    struct hist *h = NULL;
    for (size_t i = 0; i < m->n_hists[which]; i++)
        if (!label || !strcmp(m->hists[which][i].label, label))
            h = &m->hists[which][i];
    if (!h && m->n_hists[which] < MAX_HISTS) {
        h = &m->hists[which][m->n_hists[which]++];
        snprintf(h->label, sizeof h->label, "%s", label ? label : "");
    }
    if (h) {
        size_t i = 0;
        while (i < hist_table[which].n_bounds && seconds > hist_table[which].bounds[i])
            i++;
        h->buckets[i]++;
        h->count++;
        h->sum += seconds;
    }
    pthread_mutex_unlock(&m->lock);
}

void at_metrics_set_reload(struct at_metrics *m, bool ok)
{
    pthread_mutex_lock(&m->lock);
    m->reload_failed = !ok;
    if (ok)
        m->reloaded_utc_ns = at_clock_utc_ns();
    pthread_mutex_unlock(&m->lock);
}

static void write_reload(const struct at_metrics *m, struct at_buf *out)
{
    static const char ok[] = "attune_config_last_reload_successful",
                      when[] = "attune_config_last_reload_success_timestamp_seconds";
    at_metrics_head(out, ok, "gauge",
                    "1 where the newest reload was applied, or none was asked for");
    at_metrics_sample(out, ok, NULL, 0, !m->reload_failed);
    at_metrics_head(out, when, "gauge",
                    "When a configuration was applied last, seconds since 1970");
    at_metrics_sample(out, when, NULL, 0, 1e-9 * (double)m->reloaded_utc_ns);
}

static void write_series(enum at_counter which, const struct series *s, struct at_buf *out)
{
    struct at_label labels[MAX_LABELS];
    size_t n = 0;
    for (; n < MAX_LABELS && counter_table[which].labels[n]; n++)
        labels[n] = (struct at_label){counter_table[which].labels[n], s->values[n]};
    at_metrics_sample(out, counter_table[which].name, labels, n, (double)s->count);
}

static void write_counter(const struct at_metrics *m, enum at_counter which, struct at_buf *out)
{
    const struct family *f = &m->families[which];
    at_metrics_head(out, counter_table[which].name, "counter", counter_table[which].help);
    for (size_t i = 0; i < f->n; i++)
        write_series(which, &f->series[i], out);
    if (f->folded)
        write_series(which, &(struct series){{"other", "other", "other"}, f->folded}, out);
}

static void write_histogram(const struct at_metrics *m, enum at_hist which, struct at_buf *out)
{
    const char *name = hist_table[which].name;
    at_metrics_head(out, name, "histogram", hist_table[which].help);
    for (size_t k = 0; k < m->n_hists[which]; k++) {
        const struct hist *h = &m->hists[which][k];
        struct at_label labels[2];
        size_t n = 0;
        if (hist_table[which].label)
            labels[n++] = (struct at_label){hist_table[which].label, h->label};
        char series[96], bound[32];
        uint64_t below = 0;
        for (size_t i = 0; i <= hist_table[which].n_bounds; i++) {
            below += h->buckets[i];
            if (i < hist_table[which].n_bounds)
                snprintf(bound, sizeof bound, "%g", hist_table[which].bounds[i]);
            labels[n] = (struct at_label){"le", i < hist_table[which].n_bounds ? bound : "+Inf"};
            snprintf(series, sizeof series, "%s_bucket", name);
            at_metrics_sample(out, series, labels, n + 1, (double)below);
        }
        snprintf(series, sizeof series, "%s_sum", name);
        at_metrics_sample(out, series, labels, n, h->sum);
        snprintf(series, sizeof series, "%s_count", name);
        at_metrics_sample(out, series, labels, n, (double)h->count);
    }
}

void at_metrics_set_more(struct at_metrics *m, void (*write)(void *ctx, struct at_buf *out),
                         void *ctx)
{
    pthread_mutex_lock(&m->lock);
    m->more = write;
    m->more_ctx = ctx;
    pthread_mutex_unlock(&m->lock);
}

int at_metrics_write(struct at_metrics *m, const struct at_view *v, struct at_buf *out)
{
    at_metrics_write_view(v, out);
    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < AT_COUNTERS; i++)
        write_counter(m, (enum at_counter)i, out);
    for (int i = 0; i < AT_HISTOGRAMS; i++)
        write_histogram(m, (enum at_hist)i, out);
    write_reload(m, out);
    if (m->more)
        m->more(m->more_ctx, out);
    pthread_mutex_unlock(&m->lock);
    at_metrics_write_process(v, out);
    return out->failed;
}
