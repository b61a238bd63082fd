/* Which of two variants that run here is faster: some do on one processor twice what they do on
 * another. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_KERNELS_TIMED_H
#define AT_KERNELS_TIMED_H

#include "lib/kernels/kernels.h"

/* Whether a is slower than b by more than a twentieth at products of bf16: the fastest of some,
 * taken by turns, after half a millisecond for wide registers to reach their clock. Some 1.3 ms.
 * Any thread. */
bool at_kernels_slower_bf16(const struct at_kernels *a, const struct at_kernels *b);

/* The same at what a window of fp32 is made of, a linear layer (128 rows, 128 to 128) and attention
 * (128 queries, 512 keys, a head of 32) together. Some 3 ms; false without memory (half a
 * megabyte). Any thread. */
bool at_kernels_slower_fp32(const struct at_kernels *a, const struct at_kernels *b);

#endif
