/* The numeric kernels: one table per ISA variant, the best that runs here first. Shapes are row-major floats.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_KERNELS_KERNELS_H
#define AT_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct at_kernels {
    uint32_t version;
    uint32_t level;   /* enum at_cpu_level this table was compiled for */
    const char *name; /* "generic", "v3", "v4", ... */
};

/* Best first among those the CPU (and the mask) allows; NULL past the end. Any thread. */
const struct at_kernels *at_kernels_at(size_t i);
/* at_kernels_at(0), or NULL where the mask leaves none. */
const struct at_kernels *at_kernels_best(void);

#endif
