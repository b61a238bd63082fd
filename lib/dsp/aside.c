/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/base/cpu.h"

#define SPINS 64

struct at_aside {
    struct at_mem *mem;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool (*job)(void *ctx); /* NULL: idle */
    void *ctx;
    void (*part)(void *ctx, size_t i); /* of what is shared */
    void *part_ctx;
    size_t next, n;   /* parts taken, and of how many */
    unsigned running; /* parts that this thread is at */
    bool stepping; /* the thread is at the job */
    bool stop;
};

/* Takes a part and does it; lock held, let go of meanwhile. False: none is left. */
static bool do_part(struct at_aside *a)
{
    if (a->next >= a->n)
        return false;
    size_t i = a->next++;
    pthread_mutex_unlock(&a->lock);
    a->part(a->part_ctx, i);
    pthread_mutex_lock(&a->lock);
    return true;
}

static void *run(void *arg)
{
    struct at_aside *a = arg;
    at_cpu_flush_denormals();
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->job && a->next >= a->n && !a->stop)
            pthread_cond_wait(&a->changed, &a->lock);
        if (a->next < a->n) { /* somebody waits for these */
            a->running++;
            do_part(a);
            a->running--;
            pthread_cond_broadcast(&a->changed);
            continue;
        }
        if (!a->job)
            break;
        a->stepping = true;
        bool (*job)(void *ctx) = a->job;
        pthread_mutex_unlock(&a->lock);
        bool more = job(a->ctx); /* the owner leaves that alone until it is NULL and not stepping */
        pthread_mutex_lock(&a->lock);
        a->stepping = false;
        if (more && a->job)
            continue;
        a->job = NULL;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

int at_aside_create(struct at_mem *mem, struct at_aside **ret)
{
    struct at_aside *a = at_mem_alloc(mem, AT_MEM_OTHER, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->mem = mem;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    int e = pthread_create(&a->thread, NULL, run, a);
    if (e != 0) {
        pthread_cond_destroy(&a->changed);
        pthread_mutex_destroy(&a->lock);
        at_mem_free(mem, a);
        return -e;
    }
    pthread_setname_np(a->thread, "dsp aside");
    *ret = a;
    return 0;
}

void at_aside_destroy(struct at_aside *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    at_mem_free(a->mem, a);
}

static void wait_idle(struct at_aside *a)
{
    while (a->job || a->stepping)
        pthread_cond_wait(&a->changed, &a->lock);
}

void at_aside_start(struct at_aside *a, bool (*job)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&a->lock);
    wait_idle(a);
    a->job = job;
    a->ctx = ctx;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

void at_aside_wait(struct at_aside *a)
{
    pthread_mutex_lock(&a->lock);
    wait_idle(a);
    pthread_mutex_unlock(&a->lock);
}

void at_aside_parts(struct at_aside *a, void (*part)(void *ctx, size_t i), void *ctx, size_t n)
{
    for (size_t i = 0; i < n && (!a || n == 1); i++)
        part(ctx, i);
    if (!a || n <= 1)
        return;
    pthread_mutex_lock(&a->lock);
    a->part = part;
    a->part_ctx = ctx;
    a->next = 0;
    a->n = n;
    pthread_cond_broadcast(&a->changed);
    while (do_part(a))
        ;
    for (unsigned i = 0; i < SPINS && a->running; i++) { /* its last part is nearly done */
        pthread_mutex_unlock(&a->lock);
        for (unsigned k = 0; k < 32; k++)
            at_cpu_relax();
        pthread_mutex_lock(&a->lock);
    }
    while (a->running)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}
