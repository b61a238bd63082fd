/* The operations of one variant; kernels.h says what they do. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_KERNELS_OPS_H
#define AT_KERNELS_OPS_H

#include "lib/kernels/kernels.h"
#include "lib/kernels/simd.h"

/* One case per height of a register tile. */
#define AT_EACH_WIDE_MR(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if MR == 14
#define AT_EACH_MR(CASE)                                                                           \
    CASE(1)                                                                                        \
    CASE(2)                                                                                        \
    CASE(3)                                                                                        \
    CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#else
#define AT_EACH_MR(CASE) AT_EACH_WIDE_MR(CASE)
#endif

float AT_FN(dot)(const float *a, const float *b, size_t n);
void AT_FN(axpy)(float a, const float *x, size_t n, float *y);
void AT_FN(softmax)(float *x, size_t n);
void AT_FN(rmsnorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                    void *y, bool bf16);
void AT_FN(layernorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                      void *y, bool bf16);
void AT_FN(linear)(const struct at_linear *j);
void AT_FN(rope_table)(const double *freq, size_t half, double pos0, size_t n, float *cos,
                       float *sin);
void AT_FN(rope_rows)(const float *x, size_t x_stride, size_t n, size_t dim, const float *cos,
                      const float *sin, float scale, void *out, size_t out_stride, bool bf16);
void AT_FN(rope_panels)(const float *x, size_t x_stride, size_t n, size_t dim, const float *cos,
                        const float *sin, float *panels, size_t first);
void AT_FN(linear_bf16)(const struct at_linear *j);
void AT_FN(attend_bf16)(const struct at_attend *j);
void AT_FN(to_bf16)(const float *x, size_t n, uint16_t *y);
void AT_FN(rope_panels_bf16)(const float *x, size_t x_stride, size_t n, size_t dim,
                             const float *cos, const float *sin, uint16_t *panels, size_t first);
void AT_FN(pair_rows)(const float *x, size_t x_stride, size_t n, size_t dim, uint16_t *out,
                      size_t first);
void AT_FN(attend_begin)(const struct at_attend *j);
void AT_FN(attend)(const struct at_attend *j);
void AT_FN(attend_end)(const struct at_attend *j, float *out, size_t out_stride);

#endif
