/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/reload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "lib/config/table.h"

/* Keys that may change while it runs, beside those of radios. */
static bool is_live(const char *path)
{
    static const char *const live[] = {"log.level",      "site.name",         "site.latitude",
                                       "site.longitude", "budget.latency_ms", "budget.kv_mb"};
    if (!strncmp(path, "radios[].", 9))
        return true;
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (!strcmp(path, live[i]))
            return true;
    return false;
}

/* Values are compared as bytes: the loader zeroes what it does not set. */
static bool differs(const struct at_config_key *key, const struct at_config *now,
                    const struct at_config *next)
{
    size_t n = key->size + (at_config_is_list(key) ? sizeof(uint32_t) : 0);
    const void *a = at_config_member(key, (struct at_config *)(uintptr_t)now, NULL, NULL);
    const void *b = at_config_member(key, (struct at_config *)(uintptr_t)next, NULL, NULL);
    return memcmp(a, b, n) != 0;
}

int at_reload_plan(const struct at_config *now, const struct at_config *next, struct at_error *err,
                   struct at_reload_plan *ret_plan)
{
    for (size_t i = 0; i < at_config_table_n; i++) {
        const struct at_config_key *key = &at_config_table[i];
        if (!is_live(key->path) && differs(key, now, next))
            return at_error_set(err, -EBUSY,
                                "%s differs, and only a restart changes it; nothing was applied",
                                key->path);
    }
    struct at_reload_plan plan = {.n_started = next->n_radios, .n_stopped = now->n_radios};
    for (uint32_t k = 0; k < next->n_radios; k++)
        plan.start[k] = true;
    for (uint32_t i = 0; i < now->n_radios; i++)
        for (uint32_t k = 0; k < next->n_radios; k++)
            /* Both are zeroed before they are filled; a difference in unused bytes would cost a
             * restart, no more. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
            if (!memcmp(&now->radios[i], &next->radios[k], sizeof now->radios[i])) {
                plan.keep[i] = true;
                plan.start[k] = false;
                plan.n_kept++;
                plan.n_started--;
                plan.n_stopped--;
            }
    *ret_plan = plan;
    return 0;
}

struct at_reloader {
    const char *path;
    const struct at_config *first; /* borrowed */
    struct at_config *now;         /* NULL: the first one still */
    struct at_pipeline *pipeline;
    struct at_metrics *metrics;
    pthread_mutex_t lock;
};

struct at_reloader *at_reloader_create(const char *path, const struct at_config *now,
                                       struct at_pipeline *p, struct at_metrics *m)
{
    struct at_reloader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct at_reloader){.path = path, .first = now, .pipeline = p, .metrics = m};
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void at_reloader_destroy(struct at_reloader *r)
{
    if (!r)
        return;
    at_config_destroy(r->now);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

int at_reloader_run(void *ctx, struct at_error *err, struct at_reload_plan *ret_plan)
{
    struct at_reloader *r = ctx;
    struct at_config *next = NULL;
    struct at_reload_plan plan;
    pthread_mutex_lock(&r->lock);
    int rc = at_config_load(r->path, err, &next);
    if (!rc)
        rc = at_reload_plan(r->now ? r->now : r->first, next, err, &plan);
    if (!rc)
        rc = at_pipeline_apply(r->pipeline, r->now ? r->now : r->first, next, plan.keep, plan.start,
                               err);
    at_metrics_set_reload(r->metrics, !rc);
    if (rc) {
        at_config_destroy(next);
        at_log(AT_LOG_ERROR, NULL, "reload: %s (the old configuration stays)", err->text);
    } else {
        at_config_destroy(r->now);
        r->now = next;
        at_log_set_level(next->log.level);
        at_metrics_forget_bands(r->metrics, next);
        *ret_plan = plan;
        at_log(AT_LOG_INFO, NULL, "reload: %u radios kept, %u stopped, %u started", plan.n_kept,
               plan.n_stopped, plan.n_started);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}
