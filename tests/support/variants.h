/* What a test of kernels goes through. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_VARIANTS_H
#define AT_TESTS_VARIANTS_H

#include "lib/kernels/kernels.h"

extern const struct at_kernels at_kernels_emulated;

/* at_kernels_at, and after the last one of them tiles in C, which run everywhere. NULL past the
 * end. */
static inline const struct at_kernels *variant_at(size_t i)
{
    size_t n = 0;
    while (at_kernels_at(n))
        n++;
    return i < n ? at_kernels_at(i) : i == n ? &at_kernels_emulated : NULL;
}

#endif
