/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Stands before each block; 64 bytes keep the block itself aligned. */
struct head {
    size_t size;
    enum at_mem_tag tag;
};
#define HEAD_SIZE 64

static int should_fail(struct at_mem *mem)
{
    long n = atomic_load_explicit(&mem->fail_at, memory_order_relaxed);
    return n > 0 && atomic_fetch_sub(&mem->fail_at, 1) == 1;
}

static int count_up(struct at_mem *mem, enum at_mem_tag tag, size_t size)
{
    size_t now = atomic_fetch_add(&mem->bytes[tag], size) + size;
    if (mem->limit[tag] && now > mem->limit[tag]) {
        atomic_fetch_sub(&mem->bytes[tag], size);
        return -1;
    }
    size_t peak = atomic_load(&mem->peak[tag]);
    while (now > peak && !atomic_compare_exchange_weak(&mem->peak[tag], &peak, now))
        ;
    return 0;
}

static void *take(struct at_mem *mem, enum at_mem_tag tag, size_t size, int zeroed)
{
    if (size == 0 || size > SIZE_MAX - 2 * HEAD_SIZE)
        return NULL;
    if (mem && (should_fail(mem) || count_up(mem, tag, size) < 0))
        return NULL;
    size_t total = (size + HEAD_SIZE + 63) / 64 * 64;
    unsigned char *p = aligned_alloc(64, total);
    if (!p) {
        if (mem)
            atomic_fetch_sub(&mem->bytes[tag], size);
        return NULL;
    }
    memset(p, 0, zeroed ? total : HEAD_SIZE);
    *(struct head *)p = (struct head){.size = size, .tag = tag};
    return p + HEAD_SIZE;
}

void *at_mem_alloc(struct at_mem *mem, enum at_mem_tag tag, size_t size)
{
    return take(mem, tag, size, 1);
}

void *at_mem_array_raw(struct at_mem *mem, enum at_mem_tag tag, size_t n, size_t item_size)
{
    if (item_size && n > SIZE_MAX / item_size)
        return NULL;
    return take(mem, tag, n * item_size, 0);
}

void *at_mem_array(struct at_mem *mem, enum at_mem_tag tag, size_t n, size_t item_size)
{
    if (item_size && n > SIZE_MAX / item_size)
        return NULL;
    return at_mem_alloc(mem, tag, n * item_size);
}

void at_mem_free(struct at_mem *mem, void *p)
{
    if (!p)
        return;
    struct head *h = (struct head *)((unsigned char *)p - HEAD_SIZE);
    if (mem)
        atomic_fetch_sub(&mem->bytes[h->tag], h->size);
    free(h);
}
