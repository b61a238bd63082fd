/* One thread beside the one that pushes a band: for one job at a time, and for parts of what the pushing
 * thread itself is at. What both touch is handed over by start, wait and parts; nothing else is shared. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_ASIDE_H
#define AT_DSP_ASIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/mem.h"

struct at_aside;

/* 0, -ENOMEM or the error of the thread's creation. */
int at_aside_create(struct at_mem *mem, struct at_aside **ret);
/* Lets the job end. NULL: nothing. */
void at_aside_destroy(struct at_aside *a);
/* Runs job(ctx) (borrowed until the next wait) in the thread, after the one before it, again and again
 * while it returns true: the shorter such a step, the sooner the thread helps with what is shared.
 * Locks, for as long as the one before takes. The owner's thread. */
void at_aside_start(struct at_aside *a, bool (*job)(void *ctx), void *ctx);
/* Runs part(ctx, i) for i in 0 .. n - 1, each once and in any order, in both threads (a NULL: in this
 * one); returns when all are done. The owner's thread. */
void at_aside_parts(struct at_aside *a, void (*part)(void *ctx, size_t i), void *ctx, size_t n);
/* Until what was started is done. The owner's thread. */
void at_aside_wait(struct at_aside *a);

#endif
