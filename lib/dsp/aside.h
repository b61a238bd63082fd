/* One thread beside the one that pushes a band, for one job at a time. What both touch is handed
 * over by start and wait; nothing else is shared. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_ASIDE_H
#define AT_DSP_ASIDE_H

#include "lib/base/mem.h"

struct at_aside;

/* 0, -ENOMEM or the error of the thread's creation. */
int at_aside_create(struct at_mem *mem, struct at_aside **ret);
/* Lets the job end. NULL: nothing. */
void at_aside_destroy(struct at_aside *a);
/* Runs job(ctx) (borrowed until the next wait) in the thread, after the one before it. Locks, for
 * as long as that takes. The owner's thread. */
void at_aside_start(struct at_aside *a, void (*job)(void *ctx), void *ctx);
/* Until what was started is done. The owner's thread. */
void at_aside_wait(struct at_aside *a);
/* Whether it is. */
int at_aside_idle(struct at_aside *a);

#endif
