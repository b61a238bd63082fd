/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "lib/base/cpu.h"

struct at_aside {
    struct at_mem *mem;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*job)(void *ctx); /* NULL: idle */
    void *ctx;
    bool stop;
};

static void *run(void *arg)
{
    struct at_aside *a = arg;
    at_cpu_flush_denormals();
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->job && !a->stop)
            pthread_cond_wait(&a->changed, &a->lock);
        if (!a->job)
            break;
        pthread_mutex_unlock(&a->lock);
        a->job(a->ctx); /* the owner leaves both alone until it is NULL */
        pthread_mutex_lock(&a->lock);
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
    while (a->job)
        pthread_cond_wait(&a->changed, &a->lock);
}

void at_aside_start(struct at_aside *a, void (*job)(void *ctx), void *ctx)
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

int at_aside_idle(struct at_aside *a)
{
    pthread_mutex_lock(&a->lock);
    int idle = !a->job;
    pthread_mutex_unlock(&a->lock);
    return idle;
}
