/* Whether two variants compute the same.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_KERNELS_AGREE_H
#define AT_KERNELS_AGREE_H

#include <stdbool.h>

#include "lib/kernels/kernels.h"

/* Runs products and attention in both modes, in fp32 by pieces, of both variants on fixed numbers,
 * at shapes with and without edges: true where no result differs by more than `within` of the
 * largest one, in fp32 2e-6, of attention 2e-5. Takes some 400 KiB of stack and under 10 ms. Any
 * thread. */
bool at_kernels_agree(const struct at_kernels *a, const struct at_kernels *b, float within);

#endif
