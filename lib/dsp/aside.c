/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/aside.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cpu.h"

#define REST  400  /* some 10 us: more comes at once */
#define AWAIT 2000 /* what the owner waits for is nearly done */

struct at_aside {
    struct at_mem *mem;
    pthread_t thread;
    pthread_mutex_t lock; /* for sleeping alone */
    pthread_cond_t more, done;
    void (*part)(void *ctx, size_t i);
    void *ctx;
    _Alignas(
        64) _Atomic uint64_t left;     /* parts not taken: the first, and one past the last << 32 */
    _Alignas(64) atomic_size_t helped; /* parts that the thread has done */
    atomic_bool asleep, waiting;       /* the thread; the owner */
    atomic_bool stop;
};

static bool any_left(uint64_t left)
{
    return (uint32_t)left < left >> 32;
}

static bool take_first(struct at_aside *a, size_t *ret)
{
    uint64_t left = atomic_load(&a->left);
    while (any_left(left))
        if (atomic_compare_exchange_weak(&a->left, &left, left + 1)) {
            *ret = (uint32_t)left;
            return true;
        }
    return false;
}

static bool take_last(struct at_aside *a, size_t *ret)
{
    uint64_t left = atomic_load(&a->left);
    while (any_left(left))
        if (atomic_compare_exchange_weak(&a->left, &left, left - ((uint64_t)1 << 32))) {
            *ret = (size_t)(left >> 32) - 1;
            return true;
        }
    return false;
}

static bool has_work(struct at_aside *a)
{
    return any_left(atomic_load(&a->left)) || atomic_load(&a->stop);
}

/* Until there is something to do. */
static void rest(struct at_aside *a)
{
    for (unsigned i = 0; i < REST && !has_work(a); i++)
        at_cpu_relax();
    if (has_work(a))
        return;
    pthread_mutex_lock(&a->lock);
    atomic_store(&a->asleep, true); /* then a look: the owner does it the other way round */
    while (!has_work(a))
        pthread_cond_wait(&a->more, &a->lock);
    atomic_store(&a->asleep, false);
    pthread_mutex_unlock(&a->lock);
}

static void wake(struct at_aside *a, atomic_bool *sleeps, pthread_cond_t *cond)
{
    if (!atomic_load(sleeps))
        return;
    pthread_mutex_lock(&a->lock);
    pthread_cond_signal(cond);
    pthread_mutex_unlock(&a->lock);
}

static void *run(void *arg)
{
    struct at_aside *a = arg;
    at_cpu_flush_denormals();
    at_cpu_short_turns();
    while (!atomic_load(&a->stop)) {
        size_t i;
        rest(a);
        while (take_last(a, &i)) {
            a->part(a->ctx, i);
            atomic_fetch_add(&a->helped, 1); /* the owner may go on from here */
            wake(a, &a->waiting, &a->done);
        }
    }
    return NULL;
}

static void finish(struct at_aside *a)
{
    pthread_cond_destroy(&a->done);
    pthread_cond_destroy(&a->more);
    pthread_mutex_destroy(&a->lock);
    at_mem_free(a->mem, a);
}

int at_aside_create(struct at_mem *mem, struct at_aside **ret)
{
    struct at_aside *a = at_mem_alloc(mem, AT_MEM_OTHER, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->mem = mem;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, NULL);
    pthread_cond_init(&a->done, NULL);
    int e = pthread_create(&a->thread, NULL, run, a);
    if (e != 0) {
        finish(a);
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
    atomic_store(&a->stop, true);
    wake(a, &a->asleep, &a->more);
    pthread_join(a->thread, NULL);
    finish(a);
}

/* Until the thread has done so many. */
static void await(struct at_aside *a, size_t wanted)
{
    for (unsigned i = 0; i < AWAIT && atomic_load(&a->helped) < wanted; i++)
        at_cpu_relax();
    if (atomic_load(&a->helped) >= wanted)
        return;
    pthread_mutex_lock(&a->lock);
    atomic_store(&a->waiting, true);
    while (atomic_load(&a->helped) < wanted)
        pthread_cond_wait(&a->done, &a->lock);
    atomic_store(&a->waiting, false);
    pthread_mutex_unlock(&a->lock);
}

void at_aside_parts(struct at_aside *a, void (*part)(void *ctx, size_t i), void *ctx, size_t n)
{
    size_t own = 0, next;
    for (size_t i = 0; i < n && (!a || n == 1); i++)
        part(ctx, i);
    if (!a || n <= 1)
        return;
    a->part = part;
    a->ctx = ctx;
    atomic_store(&a->helped, 0);
    atomic_store(&a->left, (uint64_t)n << 32);
    wake(a, &a->asleep, &a->more);
    for (; take_first(a, &next); own++)
        part(ctx, next);
    await(a, n - own);
}
