/* Rotary positions. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#include <math.h>
#include <string.h>

#define VD (VW / 2)
typedef double vd __attribute__((vector_size(8 * VD)));
typedef int64_t vl __attribute__((vector_size(8 * VD)));
typedef double vd_u __attribute__((vector_size(8 * VD), aligned(8), may_alias));
typedef float vh __attribute__((vector_size(4 * VD)));
typedef float vh_u __attribute__((vector_size(4 * VD), aligned(4), may_alias));

/* pi / 2 in three parts of at most 27 bits: products with whole numbers below 2^26 are exact, so
 * that angles up to 1e8 are reduced without a fused multiply-add; larger ones go to the C library.
 */
#define PIO2_1    0x1.921fb54000000p+0
#define PIO2_2    0x1.10b4610000000p-30
#define PIO2_3    0x1.a626330000000p-58
#define MAX_ANGLE 1e8

/* cos and sin of x, |x| <= MAX_ANGLE, within 1e-8: Taylor series on |r| <= pi / 4, then the
 * quadrant. */
INLINE void cos_sin(vd x, float *cos, float *sin)
{
    const vd magic = 0x1.8p52 - (vd){0};
    vd t = x * 0x1.45f306dc9c883p-1 + magic, n = t - magic;
    vl quadrant = (vl)t;
    vd r = ((x - n * PIO2_1) - n * PIO2_2) - n * PIO2_3, z = r * r;
    vd s = ((((z * (-1.0 / 39916800) + 1.0 / 362880) * z - 1.0 / 5040) * z + 1.0 / 120) * z -
            1.0 / 6) *
               z * r +
           r;
    vd c = ((((z * (-1.0 / 3628800) + 1.0 / 40320) * z - 1.0 / 720) * z + 1.0 / 24) * z - 0.5) * z +
           1.0;
    vl swap = -(quadrant & 1);
    vl sin_sign = (quadrant & 2) << 62, cos_sign = ((quadrant + 1) & 2) << 62;
    vl ss = (((vl)c & swap) | ((vl)s & ~swap)) ^ sin_sign,
       cc = (((vl)s & swap) | ((vl)c & ~swap)) ^ cos_sign;
    *(vh_u *)sin = __builtin_convertvector((vd)ss, vh);
    *(vh_u *)cos = __builtin_convertvector((vd)cc, vh);
}

void AT_FN(rope_table)(const double *freq, size_t half, double pos0, size_t n, float *cos_out,
                       float *sin_out)
{
    size_t stride = at_round_up(half, AT_LANE);
    for (size_t t = 0; t < n; t++, cos_out += stride, sin_out += stride) {
        double pos = pos0 + (double)t;
        for (size_t i = 0; i < half; i += VD)
            cos_sin(pos * *(const vd_u *)(freq + i), cos_out + i, sin_out + i);
        for (size_t i = 0; pos > MAX_ANGLE && i < half; i++) { /* no frequency is above 1 */
            cos_out[i] = (float)cos(pos * freq[i]);
            sin_out[i] = (float)sin(pos * freq[i]);
        }
    }
}

/* One row: out = scale * rotated x. */
INLINE void rotate(const float *x, size_t half, const float *cos, const float *sin, float scale,
                   float *out)
{
    size_t i = 0;
    for (; i + VW <= half; i += VW) {
        vf a = vf_load(x + i) * scale, b = vf_load(x + half + i) * scale, c = vf_load(cos + i),
           s = vf_load(sin + i);
        vf_store(out + i, a * c - b * s);
        vf_store(out + half + i, a * s + b * c);
    }
    for (; i < half; i++) {
        float a = x[i] * scale, b = x[half + i] * scale;
        out[i] = a * cos[i] - b * sin[i];
        out[half + i] = a * sin[i] + b * cos[i];
    }
}

#define MAX_DIM 256 /* the largest that a shape may have */

void AT_FN(rope_rows)(const float *x, size_t x_stride, size_t n, size_t dim, const float *cos,
                      const float *sin, float scale, void *out, size_t out_stride, bool bf16)
{
    size_t half = dim / 2, stride = at_round_up(half, AT_LANE);
    float row[MAX_DIM];
    for (size_t t = 0; t < n; t++, x += x_stride) {
        float *to = bf16 ? row : (float *)out + t * out_stride;
        if (cos)
            rotate(x, half, cos + t * stride, sin + t * stride, scale, to);
        for (size_t i = 0; !cos && i < dim; i++)
            to[i] = x[i] * scale;
        if (bf16)
            AT_FN(to_bf16)(row, dim, (uint16_t *)out + t * out_stride);
    }
}

/* count rows (depth cells of 4 bytes; stride) to as many columns of a panel; VW rows by vectors. */
INLINE void to_columns(const char *rows, size_t stride, size_t count, size_t depth, char *out)
{
    size_t i = 0;
#if defined(__AVX2__)
    for (; count == VW && i + VW <= depth; i += VW) {
        vf v[VW];
        for (size_t r = 0; r < VW; r++)
            v[r] = vf_load((const float *)(const void *)(rows + (r * stride + i) * 4));
        vf_transpose(v);
        for (size_t c = 0; c < VW; c++)
            vf_store((float *)(void *)(out + (i + c) * AT_PANEL * 4), v[c]);
    }
#endif
    for (; i < depth; i++)
        for (size_t r = 0; r < count; r++)
            memcpy(out + (i * AT_PANEL + r) * 4, rows + (r * stride + i) * 4, 4);
}

/* Rows that go to a panel at once: up to the next VW slots' border. */
INLINE size_t together(size_t slot, size_t left)
{
    size_t n = VW - slot % VW;
    return n < left ? n : left;
}

void AT_FN(rope_panels)(const float *x, size_t x_stride, size_t n, size_t dim, const float *cos,
                        const float *sin, float *panels, size_t first)
{
    size_t half = dim / 2, stride = at_round_up(half, AT_LANE);
    float rows[VW * MAX_DIM];
    for (size_t t = 0, count; t < n; t += count) {
        size_t slot = first + t;
        count = together(slot, n - t);
        for (size_t r = 0; cos && r < count; r++)
            rotate(x + (t + r) * x_stride, half, cos + (t + r) * stride, sin + (t + r) * stride,
                   1.0f, rows + r * dim);
        to_columns((const char *)(cos ? rows : x + t * x_stride), cos ? dim : x_stride, count, dim,
                   (char *)(panels + slot / AT_PANEL * AT_PANEL * dim + slot % AT_PANEL));
    }
}

void AT_FN(rope_panels_bf16)(const float *x, size_t x_stride, size_t n, size_t dim,
                             const float *cos, const float *sin, uint16_t *panels, size_t first)
{
    size_t half = dim / 2, stride = at_round_up(half, AT_LANE);
    float row[MAX_DIM];
    uint16_t rows[VW * MAX_DIM];
    for (size_t t = 0, count; t < n; t += count) {
        size_t slot = first + t;
        count = together(slot, n - t);
        for (size_t r = 0; r < count; r++) {
            const float *from = x + (t + r) * x_stride;
            if (cos)
                rotate(from, half, cos + (t + r) * stride, sin + (t + r) * stride, 1.0f, row);
            AT_FN(to_bf16)(cos ? row : from, dim, rows + r * dim);
        }
        to_columns((const char *)rows, half, count, half,
                   (char *)(panels + slot / AT_PANEL * AT_PANEL * dim + slot % AT_PANEL * 2));
    }
}
