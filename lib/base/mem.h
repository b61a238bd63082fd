/* Counted memory: every cache, workspace and ring asks here, so that the budget and the metrics
 * read what was really taken, and so that a test can make each allocation fail in turn.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_MEM_H
#define AT_BASE_MEM_H

#include <stdatomic.h>
#include <stddef.h>

/* What the memory is for; each tag is counted by itself. */
enum at_mem_tag {
    AT_MEM_OTHER,
    AT_MEM_KV,        /* KV caches of sessions */
    AT_MEM_POOL,      /* pooled block sums of sessions */
    AT_MEM_FRAMES,    /* frames kept for sessions */
    AT_MEM_WORKSPACE, /* scratch of backends and encoder */
    AT_MEM_WEIGHTS,
    AT_MEM_IQ, /* rings, look-back */
    AT_MEM_TAGS,
};

/* Bytes now and at most, per tag and in all; and a ceiling (0: none). Zero-initialised is ready. */
struct at_mem {
    _Atomic size_t bytes[AT_MEM_TAGS];
    _Atomic size_t peak[AT_MEM_TAGS];
    size_t limit[AT_MEM_TAGS];
    _Atomic long fail_at; /* test hook: 1 = the next allocation fails, n = the n-th; 0 = none */
};

/* size bytes, zeroed, aligned to 64. NULL when size is 0, the tag's limit would be passed, or
 * memory is out. Ownership to the caller, who returns it with at_mem_free() and the same mem.
 * mem may be NULL (uncounted). Any thread; not RT-safe. */
void *at_mem_alloc(struct at_mem *mem, enum at_mem_tag tag, size_t size);
/* n items of item_size, with the product checked. */
void *at_mem_array(struct at_mem *mem, enum at_mem_tag tag, size_t n, size_t item_size);
/* The same with any content: for large arrays that are written before they are read. */
void *at_mem_array_raw(struct at_mem *mem, enum at_mem_tag tag, size_t n, size_t item_size);
/* Returns memory of at_mem_alloc(); NULL is fine. */
void at_mem_free(struct at_mem *mem, void *p);

#endif
