/* The table of one variant. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#include "lib/base/cpu.h"
#include "lib/kernels/tiles.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

/* A variant that only adds instructions for some operations takes the others from the one below it.
 */
#ifndef AT_ISA_BASE
#define AT_ISA_BASE AT_ISA
#endif
#define AT_BASE(name) AT_CAT(name, AT_ISA_BASE)

#define DECLARE(name) extern __typeof__(*(((struct at_kernels *)0)->name)) AT_BASE(name);
DECLARE(dot)
DECLARE(axpy)
DECLARE(softmax)
DECLARE(rmsnorm)
DECLARE(layernorm)
DECLARE(rope_table)
DECLARE(rope_rows)
DECLARE(rope_panels)
DECLARE(attend_begin)
DECLARE(attend_end)
DECLARE(to_bf16)
DECLARE(rope_panels_bf16)
DECLARE(pair_rows)

/* fp32 by `linear_` and `attend_`. */
#define TABLE(name_, splits_, linear_, attend_)                                                    \
    {                                                                                              \
        .version = AT_KERNELS_VERSION, .level = AT_ISA_LEVEL, .name = name_, .splits = splits_,    \
        .dot = AT_BASE(dot), .axpy = AT_BASE(axpy), .softmax = AT_BASE(softmax),                   \
        .rmsnorm = AT_BASE(rmsnorm), .layernorm = AT_BASE(layernorm), .linear = linear_,           \
        .rope_table = AT_BASE(rope_table), .rope_rows = AT_BASE(rope_rows),                        \
        .rope_panels = AT_BASE(rope_panels), .attend_begin = AT_BASE(attend_begin),                \
        .attend = attend_, .attend_end = AT_BASE(attend_end), .linear_bf16 = AT_FN(linear_bf16),   \
        .to_bf16 = AT_BASE(to_bf16), .rope_panels_bf16 = AT_BASE(rope_panels_bf16),                \
        .pair_rows = AT_BASE(pair_rows), .attend_bf16 = AT_FN(attend_bf16),                        \
    }

extern const struct at_kernels AT_FN(kernels);
const struct at_kernels AT_FN(kernels) = TABLE(STRING(AT_ISA), AT_HAS_TILES, AT_FN(linear),
                                               AT_FN(attend));

#ifdef AT_FP32_BY_BASE
DECLARE(linear)
DECLARE(attend)
extern const struct at_kernels AT_FN(kernels_fma);
const struct at_kernels AT_FN(kernels_fma) = TABLE(STRING(AT_ISA) "+v4", false, AT_BASE(linear),
                                                   AT_BASE(attend));
#endif
