/* One thread beside the one that pushes a band, for parts of what that thread is at. What both
 * touch is handed over by at_aside_parts(); nothing else is shared. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DSP_ASIDE_H
#define AT_DSP_ASIDE_H

#include <stddef.h>

#include "lib/base/mem.h"

struct at_aside;

/* 0, -ENOMEM or the error of the thread's creation. */
int at_aside_create(struct at_mem *mem, struct at_aside **ret);
/* NULL: nothing. */
void at_aside_destroy(struct at_aside *a);
/* Runs part(ctx, i) for i in 0 .. n - 1, each once, in both threads (a NULL: in this one); returns
 * when all are done. This thread takes them from the front, the other one from the back, each the
 * next that is left: parts that lie beside each other are mostly one thread's, call for call, and
 * stand in its processor's cache. n below 2^32. The owner's thread, and not from within a part. */
void at_aside_parts(struct at_aside *a, void (*part)(void *ctx, size_t i), void *ctx, size_t n);

#endif
