/* Normalisation of rows. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#include <math.h>

#define EPS 1e-5f

/* y = (x - mean) * scale * weight + bias */
INLINE void apply(const float *x, const float *weight, const float *bias, size_t n, float mean,
                  float scale, float *y)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW) {
        vf t = (vf_load(x + i) - mean) * scale * vf_load(weight + i);
        vf_store(y + i, bias ? t + vf_load(bias + i) : t);
    }
    for (; i < n; i++)
        y[i] = (x[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0);
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
                    float *y)
{
    for (size_t r = 0; r < m; r++, x += n, y += n)
        apply(x, weight, bias, n, 0.0f, 1.0f / sqrtf(squares(x, n, 0.0f) / (float)n + EPS), y);
}

void AT_FN(layernorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                      float *y)
{
    for (size_t r = 0; r < m; r++, x += n, y += n) {
        float mean = total(x, n) / (float)n;
        apply(x, weight, bias, n, mean, 1.0f / sqrtf(squares(x, n, mean) / (float)n + EPS), y);
    }
}
