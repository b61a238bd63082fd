/* Model, encoder, selector and workers: one per process.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/engine/internal.h"

static int start_workers(struct at_classifier *c, struct at_error *err)
{
    for (unsigned i = 0; i < c->n_threads; i++) {
        int ret = at_server_init(c, &c->servers[i], err);
        if (ret == 0 && (ret = at_server_start(&c->servers[i])) < 0)
            at_error_set(err, ret, "cannot start a worker thread: %s", strerror(-ret));
        if (ret < 0)
            return ret;
    }
    return 0;
}

int at_classifier_create(struct at_mem *mem, const struct at_classifier_config *config,
                         struct at_error *err, struct at_classifier **ret_classifier)
{
    struct at_classifier *c = at_mem_alloc(mem, AT_MEM_OTHER, sizeof(*c));
    if (!c)
        return at_error_set(err, -ENOMEM, "no memory for the classifier");
    c->owner = mem;
    c->mem = mem ? mem : &c->own_mem;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->idle, NULL);
    c->n_threads = config->threads < MAX_THREADS ? config->threads : MAX_THREADS;
    c->generation = 1;
    c->state.choice.index = -1;
    c->state.budget_ms = config->budget_ms > 0 ? config->budget_ms : 30;
    c->state.budget_kv_mb = config->budget_kv_mb > 0 ? config->budget_kv_mb : 480;
    c->budget_bytes = c->state.budget_kv_mb * 1e6;
    c->supply = 1;
    c->policies[c->n_policies++] = (struct policy){.budget_ms = c->state.budget_ms, .choice = -1};

    int ret = at_model_read(c->mem, config->model_path, err, &c->model);
    if (ret < 0)
        goto fail;
    c->columns = c->model->config.n_bins + c->model->config.n_aux;
    ret = at_encoder_create(c->mem, c->model, NULL, err, &c->encoder);
    if (ret < 0)
        goto fail;
    ret = at_choose_init(c, config, err);
    if (ret < 0)
        goto fail;
    if (c->n_threads > 0)
        at_calibrate(c, config->cache_dir);
    at_choose_again(c, at_clock_mono_ns());
    ret = at_share_join(config->share, c, err);
    if (ret < 0)
        goto fail;
    ret = start_workers(c, err);
    if (ret < 0)
        goto fail;
    *ret_classifier = c;
    return 0;
fail:
    at_classifier_destroy(c);
    return ret;
}

void at_classifier_destroy(struct at_classifier *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->n_threads; i++)
        at_server_finish(&c->servers[i]);
    at_sessions_finish(c);
    at_share_leave(c);
    at_encoder_destroy(c->encoder);
    at_model_destroy(c->model);
    at_mem_free(c->mem, c->tasks);
    at_mem_free(c->mem, c->task_streams);
    pthread_cond_destroy(&c->idle);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    at_mem_free(c->owner, c);
}

const struct at_model *at_classifier_model(const struct at_classifier *c)
{
    return c->model;
}

void at_classifier_get_state(const struct at_classifier *c, struct at_selector_state *ret)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&c->lock; /* the object is ours and never const */
    pthread_mutex_lock(lock);
    *ret = c->state;
    pthread_mutex_unlock(lock);
}

void at_classifier_set_budget(struct at_classifier *c, double budget_ms, double kv_mb)
{
    pthread_mutex_lock(&c->lock);
    if (budget_ms > 0)
        c->policies[0].budget_ms = c->state.budget_ms = budget_ms;
    if (kv_mb > 0) {
        c->state.budget_kv_mb = kv_mb;
        c->budget_bytes = kv_mb * 1e6;
        c->generation++; /* who found no room may find it now */
        pthread_cond_broadcast(&c->work);
    }
    at_choose_again(c, c->chosen_ns + AT_NS_PER_S);
    pthread_mutex_unlock(&c->lock);
}

void at_classifier_get_stats(const struct at_classifier *c, struct at_classifier_stats *ret)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&c->lock;
    pthread_mutex_lock(lock);
    *ret = c->stats;
    ret->sessions = c->n_sessions;
    for (const struct stream *s = c->streams; s; s = s->next)
        ret->queue_depth += (unsigned)(s->head - s->tail);
    ret->p50_ms = at_recent_quantile(&c->inference, 0.5, 1);
    ret->p95_ms = at_recent_quantile(&c->inference, 0.95, 1);
    ret->latency_p50_ms = at_recent_quantile(&c->latency, 0.5, 1);
    ret->latency_p95_ms = at_recent_quantile(&c->latency, 0.95, 1);
    pthread_mutex_unlock(lock);
    ret->kv_bytes = atomic_load(&c->mem->bytes[AT_MEM_KV]);
    ret->kv_peak_bytes = atomic_load(&c->mem->peak[AT_MEM_KV]);
}
