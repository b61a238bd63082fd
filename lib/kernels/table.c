/* The table of one variant. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#include "lib/base/cpu.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

extern const struct at_kernels AT_FN(kernels);
const struct at_kernels AT_FN(kernels) = {
    .version = AT_KERNELS_VERSION,
    .level = AT_ISA_LEVEL,
    .name = STRING(AT_ISA),
    .dot = AT_FN(dot),
    .axpy = AT_FN(axpy),
    .softmax = AT_FN(softmax),
    .gelu_tanh = AT_FN(gelu_tanh),
    .rmsnorm = AT_FN(rmsnorm),
    .layernorm = AT_FN(layernorm),
    .linear = AT_FN(linear),
    .rope_table = AT_FN(rope_table),
    .rope_rows = AT_FN(rope_rows),
    .rope_panels = AT_FN(rope_panels),
    .attend_begin = AT_FN(attend_begin),
    .attend = AT_FN(attend),
    .attend_end = AT_FN(attend_end),
    .linear_bf16 = AT_FN(linear_bf16),
    .to_bf16 = AT_FN(to_bf16),
    .rope_panels_bf16 = AT_FN(rope_panels_bf16),
    .pair_rows = AT_FN(pair_rows),
    .attend_bf16 = AT_FN(attend_bf16),
};
