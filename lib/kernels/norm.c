/* Normalisation of rows. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#include <math.h>

#define EPS 1e-5f

/* y = (x - mean) * scale * weight + bias, in floats or bf16 */
INLINE void apply(const float *x, const float *weight, const float *bias, size_t n, float mean,
                  float scale, void *y, bool bf16)
{
    float *out = y;
    uint16_t *rounded = y;
    size_t i = 0;
    for (; i + VW <= n; i += VW) {
        vf t = (vf_load(x + i) - mean) * scale * vf_load(weight + i);
        t = bias ? t + vf_load(bias + i) : t;
        if (bf16)
            vf_store_bf16(rounded + i, t);
        else
            vf_store(out + i, t);
    }
    for (; i < n; i++) {
        float t = (x[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0);
        if (bf16)
            rounded[i] = at_bf16(t);
        else
            out[i] = t;
    }
}

/* Row r of y. */
INLINE void *row_of(void *y, size_t r, size_t n, bool bf16)
{
    return (char *)y + r * n * (bf16 ? sizeof(uint16_t) : sizeof(float));
}

INLINE float total(const float *x, size_t n)
{
    vf s = {0};
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        s += vf_load(x + i);
    float sum = vf_sum(s);
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

INLINE float squares(const float *x, size_t n, float mean)
{
    vf s = {0};
    size_t i = 0;
    for (; i + VW <= n; i += VW) {
        vf c = vf_load(x + i) - mean;
        s += c * c;
    }
    float sum = vf_sum(s);
    for (; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

void AT_FN(rmsnorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                    void *y, bool bf16)
{
    for (size_t r = 0; r < m; r++, x += n)
        apply(x, weight, bias, n, 0.0f, 1.0f / sqrtf(squares(x, n, 0.0f) / (float)n + EPS),
              row_of(y, r, n, bf16), bf16);
}

void AT_FN(layernorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                      void *y, bool bf16)
{
    for (size_t r = 0; r < m; r++, x += n) {
        float mean = total(x, n) / (float)n;
        apply(x, weight, bias, n, mean, 1.0f / sqrtf(squares(x, n, mean) / (float)n + EPS),
              row_of(y, r, n, bf16), bf16);
    }
}
