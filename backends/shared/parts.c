/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "backends/shared/parts.h"

#include <math.h>
#include <string.h>

static size_t value_size(const struct at_attn_shape *s)
{
    return at_parts_bf16(s) ? sizeof(uint16_t) : sizeof(float);
}

size_t at_parts_key_bytes(const struct at_attn_shape *s, size_t slots)
{
    return at_round_up(slots, AT_PANEL) * s->head_dim * value_size(s);
}

size_t at_parts_value_bytes(const struct at_attn_shape *s, size_t slots)
{
    slots = at_parts_bf16(s) ? at_round_up(slots, 2) : slots;
    return slots * at_round_up(s->head_dim, AT_LANE) * value_size(s);
}

void *at_parts_take(void *base, size_t *at, size_t bytes)
{
    void *p = base ? (char *)base + *at : NULL;
    *at += at_round_up(bytes, 64);
    return p;
}

size_t at_parts_frequencies(const struct at_attn_shape *s)
{
    return at_round_up(s->head_dim / 2, AT_LANE);
}

void at_parts_frequencies_fill(const struct at_attn_shape *s, double *freq)
{
    size_t half = s->head_dim / 2;
    for (size_t i = 0; i < half; i++)
        freq[i] = s->rope_base > 0 ? pow(s->rope_base, -(double)i / (double)half) : 0;
}

void at_parts_store_keys(const struct at_kernels *k, const struct at_attn_shape *s, const float *x,
                         size_t stride, size_t n, const float *cos, const float *sin, void *panels,
                         size_t first)
{
    if (at_parts_bf16(s))
        k->rope_panels_bf16(x, stride, n, s->head_dim, cos, sin, panels, first);
    else
        k->rope_panels(x, stride, n, s->head_dim, cos, sin, panels, first);
}

void at_parts_store_values(const struct at_kernels *k, const struct at_attn_shape *s,
                           const float *x, size_t stride, size_t n, void *rows, size_t first)
{
    size_t dim = s->head_dim, padded = at_round_up(dim, AT_LANE);
    if (at_parts_bf16(s)) {
        k->pair_rows(x, stride, n, dim, rows, first);
        return;
    }
    float *out = (float *)rows + first * padded;
    k->rope_rows(x, stride, n, dim, NULL, NULL, 1.0f, out, padded, false); /* a copy */
    for (size_t t = 0; padded > dim && t < n; t++)
        memset(out + t * padded + dim, 0, (padded - dim) * sizeof *out);
}

void at_parts_queries_take(void *base, size_t *at, const struct at_attn_shape *s, size_t n,
                           struct at_parts_queries *ret)
{
    ret->q = at_parts_take(base, at, n * s->head_dim * value_size(s));
    ret->acc = at_parts_take(base, at, n * at_round_up(s->head_dim, AT_LANE) * sizeof *ret->acc);
    ret->max = at_parts_take(base, at, n * sizeof *ret->max);
    ret->sum = at_parts_take(base, at, n * sizeof *ret->sum);
    ret->lo = at_parts_take(base, at, n * sizeof *ret->lo);
    ret->hi = at_parts_take(base, at, n * sizeof *ret->hi);
}

void at_parts_queries_fill(const struct at_kernels *k, const struct at_attn_shape *s,
                           const float *x, size_t stride, size_t n, const float *cos,
                           const float *sin, const struct at_parts_queries *p)
{
    float scale =
        (float)(1.44269504088896340736 / sqrt((double)s->head_dim)); /* log2(e) / sqrt(D) */
    k->rope_rows(x, stride, n, s->head_dim, cos, sin, scale, p->q, s->head_dim, at_parts_bf16(s));
}

struct at_attend at_parts_job(const struct at_attn_shape *s, const struct at_parts_queries *p,
                              size_t n)
{
    return (struct at_attend){
        .q = p->q,
        .lo = p->lo,
        .hi = p->hi,
        .n = n,
        .dim = s->head_dim,
        .v_stride = at_round_up(s->head_dim, AT_LANE),
        .max = p->max,
        .sum = p->sum,
        .acc = p->acc,
    };
}

void at_parts_attend(const struct at_kernels *k, const struct at_attn_shape *s,
                     const struct at_attend *job)
{
    if (at_parts_bf16(s))
        k->attend_bf16(job);
    else
        k->attend(job);
}

void at_parts_attend_ring(const struct at_kernels *k, const struct at_attn_shape *s,
                          const struct at_parts_queries *p, const struct at_attend *job,
                          size_t slots, int64_t first, size_t count, int64_t oldest, int slide)
{
    while (count) {
        size_t from = (size_t)first % slots, piece = count < slots - from ? count : slots - from;
        for (size_t i = 0; i < job->n; i++) {
            int64_t hidden = oldest + (int64_t)i * slide - first;
            hidden = hidden > 0 ? hidden : 0;
            hidden = hidden < (int64_t)piece ? hidden : (int64_t)piece;
            p->lo[i] = (int32_t)((int64_t)from + hidden);
            p->hi[i] = (int32_t)(from + piece);
        }
        at_parts_attend(k, s, job);
        first += (int64_t)piece;
        count -= piece;
    }
}
