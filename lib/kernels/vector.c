/* Whole-vector operations. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

float AT_FN(dot)(const float *a, const float *b, size_t n)
{
    vf s0 = {0}, s1 = {0};
    size_t i = 0;
    for (; i + 2 * VW <= n; i += 2 * VW) {
        s0 += vf_load(a + i) * vf_load(b + i);
        s1 += vf_load(a + i + VW) * vf_load(b + i + VW);
    }
    for (; i + VW <= n; i += VW)
        s0 += vf_load(a + i) * vf_load(b + i);
    float s = vf_sum(s0 + s1);
    for (; i < n; i++)
        s += a[i] * b[i];
    return s;
}

void AT_FN(axpy)(float a, const float *x, size_t n, float *y)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        vf_store(y + i, vf_load(y + i) + a * vf_load(x + i));
    for (; i < n; i++)
        y[i] += a * x[i];
}

/* The last n % VW elements, padded with `fill`. */
INLINE vf load_tail(const float *x, size_t n, float fill)
{
    float t[VW];
    for (size_t i = 0; i < VW; i++)
        t[i] = i < n ? x[i] : fill;
    return vf_load(t);
}

INLINE void store_tail(float *x, size_t n, vf v)
{
    float t[VW];
    vf_store(t, v);
    for (size_t i = 0; i < n; i++)
        x[i] = t[i];
}

#define MASKED -3e38f

void AT_FN(softmax)(float *x, size_t n)
{
    vf top = vf_set(MASKED), sum = {0};
    size_t whole = n / VW * VW, rest = n - whole;
    for (size_t i = 0; i < whole; i += VW)
        top = vf_max(top, vf_load(x + i));
    if (rest)
        top = vf_max(top, load_tail(x + whole, rest, MASKED));
    vf shift = vf_set(vf_top(top));
    for (size_t i = 0; i < whole; i += VW) {
        vf e = vf_exp2((vf_load(x + i) - shift) * LOG2_E);
        vf_store(x + i, e);
        sum += e;
    }
    if (rest) {
        vf e = vf_exp2((load_tail(x + whole, rest, MASKED) - shift) * LOG2_E);
        store_tail(x + whole, rest, e);
        for (size_t i = 0; i < VW; i++)
            sum[0] += i < rest ? x[whole + i] : 0;
    }
    vf scale = vf_set(1.0f / vf_sum(sum));
    for (size_t i = 0; i < whole; i += VW)
        vf_store(x + i, vf_load(x + i) * scale);
    for (size_t i = whole; i < n; i++)
        x[i] *= scale[0];
}
