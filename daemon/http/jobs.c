/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define MAX_THREADS 8

struct at_jobs {
    void (*before)(void *ctx, void *item);
    void (*run)(void *ctx, void *item);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    void **items; /* (max), a ring */
    unsigned max, head, n;
    bool stopping;
    pthread_t threads[MAX_THREADS];
    unsigned n_threads;
};

static void *run_thread(void *ctx)
{
    struct at_jobs *j = ctx;
    pthread_mutex_lock(&j->lock);
    for (;;) {
        while (!j->n && !j->stopping)
            pthread_cond_wait(&j->wake, &j->lock);
        if (!j->n)
            break;
        void *item = j->items[j->head];
        j->head = (j->head + 1) % j->max;
        j->n--;
        pthread_mutex_unlock(&j->lock);
        j->run(j->ctx, item);
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

int at_jobs_create(unsigned n_threads, unsigned max, void (*before)(void *ctx, void *item),
                   void (*run)(void *ctx, void *item), void *ctx, struct at_jobs **ret_jobs)
{
    struct at_jobs *j = calloc(1, sizeof *j);
    if (!j)
        return -ENOMEM;
    *j = (struct at_jobs){.before = before, .run = run, .ctx = ctx, .max = max};
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL);
    j->items = calloc(max, sizeof *j->items);
    int rc = j->items ? 0 : -ENOMEM;
    while (!rc && j->n_threads < n_threads && j->n_threads < MAX_THREADS) {
        rc = -pthread_create(&j->threads[j->n_threads], NULL, run_thread, j);
        j->n_threads += rc == 0;
    }
    if (rc) {
        at_jobs_destroy(j);
        return rc;
    }
    *ret_jobs = j;
    return 0;
}

int at_jobs_push(struct at_jobs *j, void *item)
{
    pthread_mutex_lock(&j->lock);
    bool room = j->n < j->max && !j->stopping;
    if (room) {
        j->before(j->ctx, item);
        j->items[(j->head + j->n++) % j->max] = item;
        pthread_cond_signal(&j->wake);
    }
    pthread_mutex_unlock(&j->lock);
    return room ? 0 : -EAGAIN;
}

void at_jobs_destroy(struct at_jobs *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_broadcast(&j->wake);
    pthread_mutex_unlock(&j->lock);
    for (unsigned i = 0; i < j->n_threads; i++)
        pthread_join(j->threads[i], NULL);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->wake);
    free(j->items);
    free(j);
}
