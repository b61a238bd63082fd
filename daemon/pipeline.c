/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/pipeline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/check.h"
#include "daemon/http/api.h"
#include "daemon/log.h"
#include "daemon/puller.h"
#include "lib/base/clock.h"
#include "lib/dsp/plan.h"

#define MAX_PLAN      32768
#define LOST_EVERY_NS (5 * AT_NS_PER_S)
#define WARN_EVERY_NS (60 * AT_NS_PER_S)

/* What the supervisor saw last of a radio. */
struct seen {
    bool any;
    unsigned generation; /* of which radio in this slot */
    enum at_source_state state;
    uint64_t lost[AT_LOST_REASONS]; /* as logged last */
    int64_t lost_ns;                /* when that was */
};

/* A radio with what its thread reads: it owns its part of the configuration, so that a reload may
 * replace the whole. */
struct radio {
    struct at_puller puller;
    struct at_config_radio conf;
    char boot[32];
    unsigned generation; /* the reload that made it; 0: there from the start */
};

/* What was last said of the choice under one budget. */
struct told {
    double budget_ms;
    char running[32];
    bool over_budget;
    int64_t warned_ns; /* 0: never */
};

struct at_pipeline {
    const struct at_config *config;
    struct at_outlets outlets;
    char boot[24];
    int64_t started_utc_ns, started_ns;
    struct at_mem mem;
    struct at_share *share;
    /* That of model.path first, then those that bands name; NULL while loading. All count their
     * memory together, and share the cores. */
    struct at_classifier *classifiers[AT_MAX_MODELS];
    const char *models[AT_MAX_MODELS]; /* their paths */
    size_t n_models;
    struct at_bandplan *bandplan;        /* NULL: no service hints */
    pthread_mutex_t radios_lock;         /* which radios there are; taken before `lock` */
    struct radio *radios[AT_MAX_RADIOS]; /* by slot; NULL: free */
    unsigned generation;                 /* of radios: rises with each reload */
    pthread_t loader;
    bool loader_runs;
    pthread_mutex_t lock; /* what stands below */
    enum at_pipeline_phase phase;
    bool stopping;
    struct at_error failure;
    struct at_config_budget budget; /* in force */
    struct at_selector_change changes[AT_MAX_CHANGES];
    size_t n_changes;
    struct {
        char backend[16];
        size_t bytes;
    } kv_peak[8];
    size_t n_kv_peak;
    char stuck[48];
    char site[64];
    double latitude, longitude;
    int once;
    /* Supervisor's own. */
    struct at_view *view; /* of its own: without memory it would look as if nothing moved */
    struct seen seen[AT_MAX_RADIOS];
    struct told told[AT_MAX_MODELS][AT_MAX_POLICIES];
};

struct at_classifier_config at_pipeline_classifier_config(const struct at_config *config,
                                                          unsigned threads)
{
    return (struct at_classifier_config){
        .model_path = config->model.path,
        .backend = config->model.backend[0] ? config->model.backend : NULL,
        .mode = config->model.mode,
        .window = config->model.window,
        .budget_ms = config->budget.latency_ms,
        .budget_kv_mb = config->budget.kv_mb,
        .threads = threads,
        .cache_dir = config->cache_dir[0] ? config->cache_dir : NULL,
    };
}

static bool is_live(const struct at_config_radio *c)
{
    return !c->file[0] || strcmp(c->pace, "fast");
}

static struct radio *create_radio(struct at_pipeline *p, const struct at_config_radio *conf)
{
    struct radio *radio = calloc(1, sizeof *radio);
    if (!radio)
        return NULL;
    radio->conf = *conf;
    radio->generation = p->generation;
    /* Each life counts its emissions from 1: the id says which. */
    snprintf(radio->boot, sizeof radio->boot, p->generation ? "%s.r%u" : "%s", p->boot,
             p->generation);
    struct at_puller *r = &radio->puller;
    r->config = p->config;
    r->conf = &radio->conf;
    r->outlets = &p->outlets;
    r->bandplan = p->bandplan;
    r->boot = radio->boot;
    r->once = p->once;
    r->live = is_live(r->conf);
    at_puller_init(r);
    return radio;
}

static void destroy_radio(struct radio *radio)
{
    at_puller_finish(&radio->puller);
    free(radio);
}

/* There is always a slot: the configuration allows no more radios. */
static void insert_radio(struct at_pipeline *p, struct radio *radio)
{
    size_t slot = 0;
    while (p->radios[slot])
        slot++;
    radio->puller.index = slot;
    for (size_t i = 0; i < AT_MAX_BANDS; i++)
        at_rows_clear(p->outlets.rows, slot * AT_MAX_BANDS + i);
    p->radios[slot] = radio;
}

/* Once, for all bands and lives of radios: a file that goes away later is not missed. */
static int load_bandplan(struct at_pipeline *p, struct at_error *err)
{
    bool missing = false;
    int rc = at_check_load_bandplan(p->config, err, &p->bandplan, &missing);
    if (missing)
        at_log(AT_LOG_WARN, NULL,
               "bandplan: %s is not there: no service hints (\"\" says that none are wanted)",
               p->config->bandplan);
    return rc;
}

int at_pipeline_create(const struct at_config *config, const struct at_outlets *outlets, int once,
                       struct at_error *err, struct at_pipeline **ret_pipeline)
{
    struct at_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return at_error_set(err, -ENOMEM, "out of memory");
    p->config = config;
    p->n_models = at_config_models(config, p->models);
    p->budget = config->budget;
    p->outlets = *outlets;
    p->started_utc_ns = at_clock_utc_ns();
    p->started_ns = at_clock_mono_ns();
    snprintf(p->boot, sizeof p->boot, "%llx", (unsigned long long)(p->started_utc_ns / 1000000));
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->radios_lock, NULL);
    p->once = once;
    snprintf(p->site, sizeof p->site, "%s", config->site.name);
    p->latitude = config->site.latitude;
    p->longitude = config->site.longitude;
    p->view = calloc(1, sizeof *p->view);
    int rc = p->view ? load_bandplan(p, err) : at_error_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = at_share_create(err, &p->share);
    if (rc < 0) {
        at_pipeline_destroy(p);
        return rc;
    }
    for (uint32_t i = 0; i < config->n_radios; i++) {
        struct radio *r = create_radio(p, &config->radios[i]);
        if (!r) {
            at_pipeline_destroy(p);
            return at_error_set(err, -ENOMEM, "out of memory");
        }
        insert_radio(p, r);
    }
    *ret_pipeline = p;
    return 0;
}

/* ---- loading, in its own thread: calibration takes seconds, HTTP answers meanwhile ---- */

static bool is_stopping(struct at_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    bool stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return stopping;
}

/* Planning an FFT takes up to a second, which a live radio does not have when an emission opens:
 * all sizes are planned now, and what FFTW learned is kept for the next start. */
static void plan_transforms(struct at_pipeline *p)
{
    const struct at_config *config = p->config;
    char path[AT_CONFIG_PATH_SIZE + 16];
    bool keep = config->cache_dir[0];
    if (keep) {
        mkdir(config->cache_dir, 0750);
        snprintf(path, sizeof path, "%s/fftw-wisdom", config->cache_dir);
        at_dsp_wisdom_load(path);
    }
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        for (size_t k = 0; p->radios[i] && k < p->radios[i]->puller.n_bands && !is_stopping(p); k++)
            at_band_plan(p->radios[i]->puller.bands[k].conf->rate_hz);
    for (unsigned n = 8; n <= MAX_PLAN && !is_stopping(p); n *= 2) {
        at_plan_get(n, AT_PLAN_FORWARD);
        at_plan_get(n, AT_PLAN_INVERSE);
    }
    int rc = keep ? at_dsp_wisdom_save(path) : 0;
    if (rc)
        at_log(AT_LOG_WARN, NULL, "cache_dir: cannot write %s: %s (the next start measures again)",
               path, strerror(-rc));
}

static int load(struct at_pipeline *p, struct at_error *err)
{
    unsigned cores = p->config->cores / (unsigned)p->n_models;
    struct at_classifier_config config =
        at_pipeline_classifier_config(p->config, cores ? cores : 1);
    for (size_t i = 0; i < p->n_models; i++) {
        struct at_classifier *c;
        config.model_path = p->models[i];
        config.share = p->n_models > 1 ? p->share : NULL;
        int rc = at_classifier_create(&p->mem, &config, err, &c);
        if (rc)
            return i ? at_error_prefix(err, rc, "radios[].bands[].model.path") : rc;
        pthread_mutex_lock(&p->lock);
        p->classifiers[i] = c;
        pthread_mutex_unlock(&p->lock);
    }
    bool any_live = false;
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        any_live |= p->radios[i] && p->radios[i]->puller.live;
    if (any_live)
        plan_transforms(p);
    return 0;
}

/* The classifier of a band; NULL: its model was not there at the start. */
static struct at_classifier *find_classifier(const struct at_pipeline *p,
                                             const struct at_config_band *b)
{
    for (size_t i = 0; b->model[0] && i < p->n_models; i++)
        if (!strcmp(p->models[i], b->model))
            return p->classifiers[i];
    return b->model[0] ? NULL : p->classifiers[0];
}

static int start_radio(struct at_pipeline *p, struct radio *radio, struct at_error *err)
{
    struct at_puller *r = &radio->puller;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n_bands; i++)
        r->bands[i].classifier = find_classifier(p, r->bands[i].conf);
    pthread_mutex_unlock(&r->lock);
    int rc = at_puller_start(r);
    return rc ? at_error_set(err, rc, "no thread for radio %s: %s", radio->conf.name, strerror(-rc))
              : 0;
}

static void *run_loader(void *ctx)
{
    struct at_pipeline *p = ctx;
    struct at_error err = {{0}};
    int rc = load(p, &err);
    for (size_t i = 0; !rc && !is_stopping(p) && i < AT_MAX_RADIOS; i++)
        if (p->radios[i])
            rc = start_radio(p, p->radios[i], &err);
    pthread_mutex_lock(&p->lock);
    p->phase = rc ? AT_PIPELINE_FAILED : AT_PIPELINE_RUNNING;
    p->failure = err;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int at_pipeline_start(struct at_pipeline *p, struct at_error *err)
{
    int rc = -pthread_create(&p->loader, NULL, run_loader, p);
    p->loader_runs = !rc;
    return rc ? at_error_set(err, rc, "no thread: %s", strerror(-rc)) : 0;
}

void at_pipeline_destroy(struct at_pipeline *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_mutex_unlock(&p->lock);
    if (p->loader_runs)
        pthread_join(p->loader, NULL);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        if (p->radios[i])
            at_puller_stop(&p->radios[i]->puller, false);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        if (p->radios[i])
            destroy_radio(p->radios[i]);
    for (size_t i = 0; i < p->n_models; i++)
        at_classifier_destroy(p->classifiers[i]);
    at_share_destroy(p->share);
    at_bandplan_destroy(p->bandplan);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->radios_lock);
    free(p->view);
    free(p);
}

enum at_pipeline_phase at_pipeline_get_phase(struct at_pipeline *p, struct at_error *err)
{
    pthread_mutex_lock(&p->lock);
    enum at_pipeline_phase phase = p->phase;
    if (err)
        *err = p->failure;
    pthread_mutex_unlock(&p->lock);
    return phase;
}

int at_pipeline_done(struct at_pipeline *p)
{
    bool any = false, all = true, failed = false;
    if (at_pipeline_get_phase(p, NULL) != AT_PIPELINE_RUNNING)
        return 0;
    pthread_mutex_lock(&p->radios_lock);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++) {
        struct at_puller *r = p->radios[i] ? &p->radios[i]->puller : NULL;
        if (!r)
            continue;
        pthread_mutex_lock(&r->lock);
        any = true;
        all &= r->done;
        failed |= r->failed;
        pthread_mutex_unlock(&r->lock);
    }
    pthread_mutex_unlock(&p->radios_lock);
    return !any || !all ? 0 : failed ? 2 : 1;
}

/* ---- another configuration ---- */

int at_pipeline_apply(struct at_pipeline *p, const struct at_config *now,
                      const struct at_config *next, const bool *keep, const bool *start,
                      struct at_error *err)
{
    struct radio *fresh[AT_MAX_RADIOS] = {0}, *gone[AT_MAX_RADIOS] = {0};
    if (!at_pipeline_get_classifier(p))
        return at_error_set(err, -EAGAIN, "the model is not loaded yet; try again");
    for (uint32_t k = 0; k < next->n_radios; k++)
        for (uint32_t i = 0; i < next->radios[k].n_bands; i++)
            if (!find_classifier(p, &next->radios[k].bands[i]))
                return at_error_set(err, -EBUSY,
                                    "radios[].bands[].model.path: %.300s is not loaded, and only a "
                                    "restart loads another model; nothing was applied",
                                    next->radios[k].bands[i].model);
    p->generation++;
    for (uint32_t k = 0; k < next->n_radios; k++)
        if (start[k] && !(fresh[k] = create_radio(p, &next->radios[k]))) {
            while (k--)
                if (fresh[k])
                    destroy_radio(fresh[k]);
            return at_error_set(err, -ENOMEM, "out of memory");
        }
    /* Nothing fails from here on. The radios that go are waited for outside the lock: a driver may
     * take its time, the view may not. */
    pthread_mutex_lock(&p->radios_lock);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        for (uint32_t k = 0; p->radios[i] && k < now->n_radios; k++)
            if (!keep[k] && !strcmp(p->radios[i]->conf.name, now->radios[k].name)) {
                gone[i] = p->radios[i];
                p->radios[i] = NULL;
            }
    pthread_mutex_unlock(&p->radios_lock);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        if (gone[i])
            at_puller_stop(&gone[i]->puller, true);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        if (gone[i])
            destroy_radio(gone[i]);
    pthread_mutex_lock(&p->radios_lock);
    for (uint32_t k = 0; k < next->n_radios; k++) {
        struct at_error why;
        if (!fresh[k])
            continue;
        insert_radio(p, fresh[k]);
        if (start_radio(p, fresh[k], &why)) /* the view shows it as not delivering */
            at_log(AT_LOG_ERROR, NULL, "%s", why.text);
    }
    pthread_mutex_unlock(&p->radios_lock);
    pthread_mutex_lock(&p->lock);
    snprintf(p->site, sizeof p->site, "%s", next->site.name);
    p->latitude = next->site.latitude;
    p->longitude = next->site.longitude;
    pthread_mutex_unlock(&p->lock);
    return at_pipeline_set_budget(p, next->budget.latency_ms, next->budget.kv_mb, err);
}

struct at_classifier *at_pipeline_get_classifier(void *ctx)
{
    struct at_pipeline *p = ctx;
    pthread_mutex_lock(&p->lock);
    struct at_classifier *c = p->phase == AT_PIPELINE_RUNNING ? p->classifiers[0] : NULL;
    pthread_mutex_unlock(&p->lock);
    return c;
}

int at_pipeline_get_iq(void *ctx, const struct at_result *e, double margin_s,
                       struct at_iq_piece *ret)
{
    struct at_pipeline *p = ctx;
    int rc = -ENOENT;
    pthread_mutex_lock(&p->radios_lock);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        if (p->radios[i] && !strcmp(p->radios[i]->conf.name, e->radio))
            rc = at_puller_get_iq(&p->radios[i]->puller, e, margin_s, ret);
    pthread_mutex_unlock(&p->radios_lock);
    return rc;
}

int at_pipeline_set_budget(void *ctx, double latency_ms, double kv_mb, struct at_error *err)
{
    struct at_pipeline *p = ctx;
    if (!at_pipeline_get_classifier(p))
        return at_error_set(err, -EAGAIN, "the model is not loaded yet");
    for (size_t i = 0; i < p->n_models; i++)
        at_classifier_set_budget(p->classifiers[i], latency_ms, kv_mb);
    pthread_mutex_lock(&p->lock);
    if (latency_ms > 0)
        p->budget.latency_ms = latency_ms;
    if (kv_mb > 0)
        p->budget.kv_mb = kv_mb;
    latency_ms = p->budget.latency_ms;
    kv_mb = p->budget.kv_mb;
    pthread_mutex_unlock(&p->lock);
    at_log(AT_LOG_INFO, NULL, "budget: %g ms, %g MB", latency_ms, kv_mb);
    return 0;
}

/* ---- the view ---- */

static void add_stats(struct at_classifier_stats *sum, const struct at_classifier_stats *s)
{
    sum->decisions += s->decisions;
    sum->budget_exceeded += s->budget_exceeded;
    sum->tokens += s->tokens;
    sum->tokens_skipped += s->tokens_skipped;
    sum->sessions += s->sessions;
    sum->queue_depth += s->queue_depth;
    sum->kv_bytes = s->kv_bytes; /* counted together */
    sum->kv_peak_bytes = s->kv_peak_bytes;
    sum->p50_ms = fmax(sum->p50_ms, s->p50_ms);
    sum->p95_ms = fmax(sum->p95_ms, s->p95_ms);
    sum->latency_p50_ms = fmax(sum->latency_p50_ms, s->latency_p50_ms);
    sum->latency_p95_ms = fmax(sum->latency_p95_ms, s->latency_p95_ms);
}

/* Lock held; the models are loaded. */
static void view_classifiers(const struct at_pipeline *p, struct at_view *v)
{
    v->model = at_classifier_model(p->classifiers[0]);
    at_classifier_get_state(p->classifiers[0], &v->selector);
    at_classifier_get_stats(p->classifiers[0], &v->each[0]);
    v->stats = v->each[0];
    for (size_t i = 1; i < p->n_models; i++) {
        at_classifier_get_stats(p->classifiers[i], &v->each[i]);
        add_stats(&v->stats, &v->each[i]);
        v->more[v->n_more].model = at_classifier_model(p->classifiers[i]);
        at_classifier_get_state(p->classifiers[i], &v->more[v->n_more++].selector);
    }
}

void at_pipeline_get_view(void *ctx, struct at_view *v)
{
    struct at_pipeline *p = ctx;
    *v = (struct at_view){.version = AT_VERSION,
                          .started_utc_ns = p->started_utc_ns,
                          .uptime_s = 1e-9 * (double)(at_clock_mono_ns() - p->started_ns),
                          .budget_cores = p->config->cores};
    snprintf(v->boot, sizeof v->boot, "%s", p->boot);
    pthread_mutex_lock(&p->radios_lock);
    for (size_t i = 0; i < AT_MAX_RADIOS; i++)
        if (p->radios[i]) {
            struct at_radio_view *r = &v->radios[v->n_radios++];
            at_puller_get_view(&p->radios[i]->puller, r);
            r->slot = i;
            r->generation = p->radios[i]->generation;
        }
    pthread_mutex_unlock(&p->radios_lock);
    pthread_mutex_lock(&p->lock);
    if (p->phase == AT_PIPELINE_RUNNING)
        view_classifiers(p, v);
    snprintf(v->site, sizeof v->site, "%s", p->site);
    v->latitude = p->latitude;
    v->longitude = p->longitude;
    v->budget_latency_ms = p->budget.latency_ms;
    v->budget_kv_mb = p->budget.kv_mb;
    memcpy(v->changes, p->changes, sizeof v->changes);
    v->n_changes = p->n_changes;
    memcpy(v->kv_peak, p->kv_peak, sizeof v->kv_peak);
    v->n_kv_peak = p->n_kv_peak;
    memcpy(v->stuck, p->stuck, sizeof v->stuck);
    pthread_mutex_unlock(&p->lock);
}

/* ---- the supervisor's look ---- */

/* What was lost since the last such line, and for which reasons. */
static void log_lost(struct seen *seen, const struct at_radio_view *v, int64_t now)
{
    uint64_t all = 0, fresh = 0;
    char reasons[96] = "";
    for (int k = 0; k < AT_LOST_REASONS; k++) {
        uint64_t lost = v->ledger.lost[k];
        if (k == AT_LOST_RETUNE) /* each change of band costs some */
            continue;
        all += lost;
        if (lost <= seen->lost[k])
            continue;
        fresh += lost - seen->lost[k];
        size_t at = strlen(reasons);
        snprintf(reasons + at, sizeof reasons - at, "%s%s", at ? "," : "", at_lost_reason_name(k));
    }
    if (!fresh || now - seen->lost_ns <= LOST_EVERY_NS)
        return;
    at_log(AT_LOG_WARN, AT_FIELDS({"radio", v->name}, {"band", v->band}, {"reason", reasons}),
           "radio %s: %llu samples lost (%llu in all): %s", v->name, (unsigned long long)fresh,
           (unsigned long long)all, reasons);
    memcpy(seen->lost, v->ledger.lost, sizeof seen->lost);
    seen->lost_ns = now;
}

static void poll_radio(struct at_pipeline *p, size_t i, const struct at_radio_view *v, int64_t now)
{
    struct seen *seen = &p->seen[i];
    if (seen->generation != v->generation)
        *seen = (struct seen){.generation = v->generation};
    log_lost(seen, v, now);
    if (seen->any && seen->state == v->state)
        return;
    seen->any = true;
    seen->state = v->state;
    const char *state = at_source_state_name(v->state);
    bool bad = v->state == AT_SOURCE_STALLED || v->state == AT_SOURCE_FAILED;
    at_log(bad ? AT_LOG_WARN : AT_LOG_INFO,
           AT_FIELDS({"radio", v->name}, {"band", v->band}, {"state", state}), "radio %s: %s%s%s",
           v->name, state, v->error[0] ? ": " : "", v->error);
    char *text = at_api_radio_event(v);
    at_events_publish(p->outlets.events, AT_EVENT_RADIO, text);
    free(text);
}

/* The first of the reason's parts: figures in a label would make a series of each. */
static void count_change(struct at_pipeline *p, const struct at_selector_change *change)
{
    char reason[sizeof change->reason];
    snprintf(reason, sizeof reason, "%s", change->reason);
    reason[strcspn(reason, ";")] = 0;
    at_metrics_count(p->outlets.metrics, AT_COUNT_SELECTOR, change->from, change->to, reason);
}

/* One of the models that run: the selector's state for it, what was said of it, and its name where
 * it is not model.path's. */
struct running {
    const struct at_selector_state *selector;
    struct told *told; /* (AT_MAX_POLICIES) */
    const char *model;
};

static void record_change(struct at_pipeline *p, const struct running *m, size_t policy,
                          const char *to)
{
    const struct at_policy_state *now = &m->selector->policies[policy];
    struct told *told = &m->told[policy];
    struct at_selector_change change = {.utc_ns = at_clock_utc_ns(), .budget_ms = now->budget_ms};
    char budget[24];
    snprintf(budget, sizeof budget, "%g", now->budget_ms);
    snprintf(change.model, sizeof change.model, "%s", m->model);
    snprintf(change.from, sizeof change.from, "%s", told->running);
    snprintf(change.to, sizeof change.to, "%s", to);
    snprintf(change.reason, sizeof change.reason, "%s", now->reason);
    pthread_mutex_lock(&p->lock);
    if (p->n_changes == AT_MAX_CHANGES)
        memmove(p->changes, p->changes + 1, --p->n_changes * sizeof *p->changes);
    p->changes[p->n_changes++] = change;
    pthread_mutex_unlock(&p->lock);
    at_log(now->over_budget ? AT_LOG_WARN : AT_LOG_INFO,
           AT_FIELDS({"from", change.from}, {"backend", to}, {"kernel", m->selector->kernel},
                     {"reason", change.reason}, {"budget_ms", budget}, {"model", change.model}),
           "backend %s (kernel %s, budget %s ms%s%s): %s", to, m->selector->kernel, budget,
           change.model[0] ? ", model " : "", change.model, change.reason);
    if (change.from[0])
        count_change(p, &change);
    char *text = at_api_selector_event(&change);
    at_events_publish(p->outlets.events, AT_EVENT_SELECTOR, text);
    free(text);
    snprintf(told->running, sizeof told->running, "%s", to);
    told->over_budget = now->over_budget;
}

/* A budget that what runs can no longer keep, and nothing else can: at most once a minute. */
static void record_budget(const struct at_policy_state *now, struct told *told, int64_t now_ns)
{
    if (now->over_budget == told->over_budget ||
        (now->over_budget && told->warned_ns && now_ns - told->warned_ns < WARN_EVERY_NS))
        return;
    if (now->over_budget) {
        told->warned_ns = now_ns;
        at_log(AT_LOG_WARN, AT_FIELDS({"backend", told->running}, {"reason", now->reason}),
               "budget of %g ms is not kept by %s: %s", now->budget_ms, told->running, now->reason);
    } else {
        at_log(AT_LOG_INFO, AT_FIELDS({"backend", told->running}),
               "budget of %g ms is kept again by %s", now->budget_ms, told->running);
    }
    told->over_budget = now->over_budget;
}

static void poll_policy(struct at_pipeline *p, const struct running *m, size_t i, int64_t now_ns)
{
    const struct at_policy_state *now = &m->selector->policies[i];
    struct told *told = &m->told[i];
    char name[sizeof told->running];
    if (now->choice < 0 || (i > 0 && now->receivers == 0))
        return;
    if (i > 0 && told->budget_ms != now->budget_ms) /* another band's since */
        *told = (struct told){0};
    told->budget_ms = now->budget_ms;
    const struct at_candidate *c = &m->selector->candidates[now->choice];
    snprintf(name, sizeof name, "%.12s/%s/%u", c->backend, at_mode_name(c->mode), c->window);
    if (strcmp(name, told->running))
        record_change(p, m, i, name);
    else
        record_budget(now, told, now_ns);
}

static void poll_selector(struct at_pipeline *p, const struct at_view *v, int64_t now_ns)
{
    int i = v->selector.choice.index;
    if (!v->model || i < 0)
        return;
    const struct at_candidate *c = &v->selector.candidates[i];
    for (size_t m = 0; m <= v->n_more; m++) {
        struct running one = {&v->selector, p->told[m], ""};
        if (m > 0)
            one =
                (struct running){&v->more[m - 1].selector, p->told[m], v->more[m - 1].model->name};
        for (size_t k = 0; k < one.selector->n_policies; k++)
            poll_policy(p, &one, k, now_ns);
    }
    pthread_mutex_lock(&p->lock);
    size_t k = 0;
    while (k < p->n_kv_peak && strcmp(p->kv_peak[k].backend, c->backend))
        k++;
    if (k == p->n_kv_peak && k < sizeof p->kv_peak / sizeof *p->kv_peak)
        snprintf(p->kv_peak[p->n_kv_peak++].backend, sizeof p->kv_peak->backend, "%s", c->backend);
    /* The counter knows one peak; while a single backend has run it is that backend's. */
    size_t bytes = p->n_kv_peak == 1 ? v->stats.kv_peak_bytes : v->stats.kv_bytes;
    if (k < p->n_kv_peak && bytes > p->kv_peak[k].bytes)
        p->kv_peak[k].bytes = bytes;
    pthread_mutex_unlock(&p->lock);
}

void at_pipeline_poll(struct at_pipeline *p, struct at_watch *w)
{
    struct at_view *v = p->view;
    int64_t now = at_clock_mono_ns();
    at_pipeline_get_view(p, v);
    for (size_t i = 0; i < v->n_radios; i++) {
        char stage[48];
        int64_t since = v->radios[i].pushing_since_ns;
        poll_radio(p, v->radios[i].slot, &v->radios[i], now);
        snprintf(stage, sizeof stage, "radio %s", v->radios[i].name);
        at_watch_mark(w, stage, since != 0, (uint64_t)since, now);
    }
    at_watch_drop(w, "radio ", now);
    poll_selector(p, v, now);
    at_watch_mark_models(w, v, now);
    const char *stuck = at_watch_stuck(w, now);
    pthread_mutex_lock(&p->lock);
    snprintf(p->stuck, sizeof p->stuck, "%s", stuck ? stuck : "");
    pthread_mutex_unlock(&p->lock);
}
