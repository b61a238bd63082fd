/* Conversions to bf16. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#include <string.h>

void AT_FN(to_bf16)(const float *x, size_t n, uint16_t *y)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        vf_store_bf16(y + i, vf_load(x + i));
    for (; i < n; i++)
        y[i] = at_bf16(x[i]);
}

/* Two rows into one row of pairs. */
static void pair(const float *low, const float *high, size_t dim, uint16_t *out)
{
    size_t i = 0;
    for (; i + VW <= dim; i += VW)
        *(vi_u *)(out + 2 * i) = (vi)(vf_bf16(vf_load(low + i)) | vf_bf16(vf_load(high + i)) << 16);
    for (; i < dim; i++) {
        out[2 * i] = at_bf16(low[i]);
        out[2 * i + 1] = at_bf16(high[i]);
    }
    memset(out + 2 * dim, 0, 2 * (at_round_up(dim, AT_LANE) - dim) * sizeof *out);
}

void AT_FN(pair_rows)(const float *x, size_t x_stride, size_t n, size_t dim, uint16_t *out,
                      size_t first)
{
    size_t row = 2 * at_round_up(dim, AT_LANE);
    for (size_t t = 0; t < n; t++) {
        size_t slot = first + t;
        uint16_t *to = out + slot / 2 * row;
        if (slot % 2 == 0 && t + 1 < n) {
            pair(x + t * x_stride, x + (t + 1) * x_stride, dim, to);
            t++;
            continue;
        }
        for (size_t i = 0; i < dim; i++)
            to[2 * i + slot % 2] = at_bf16(x[t * x_stride + i]);
    }
}
