/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "backends/shared/parts.h"

#include <math.h>
#include <string.h>

float *at_parts_take(void *base, size_t *at, size_t n)
{
    float *p = base ? (float *)((char *)base + *at) : NULL;
    *at += at_round_up(n * sizeof(float), 64);
    return p;
}

size_t at_parts_frequency_floats(const struct at_attn_shape *s)
{
    return at_round_up(s->head_dim / 2, AT_LANE);
}

void at_parts_frequencies(const struct at_attn_shape *s, double *freq)
{
    size_t half = s->head_dim / 2;
    for (size_t i = 0; i < half; i++)
        freq[i] = s->rope_base > 0 ? pow(s->rope_base, -(double)i / (double)half) : 0;
}

float at_parts_query_scale(const struct at_attn_shape *s)
{
    return (float)(1.44269504088896340736 / sqrt((double)s->head_dim));
}

void at_parts_queries_take(void *base, size_t *at, const struct at_attn_shape *s, size_t n,
                           struct at_parts_queries *ret)
{
    ret->q = at_parts_take(base, at, n * s->head_dim);
    ret->acc = at_parts_take(base, at, n * at_round_up(s->head_dim, AT_LANE));
    ret->max = at_parts_take(base, at, n);
    ret->sum = at_parts_take(base, at, n);
    ret->lo = (int32_t *)(void *)at_parts_take(base, at, n);
    ret->hi = (int32_t *)(void *)at_parts_take(base, at, n);
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

/* The piece of the ring that lies at slots from..from+count-1 and begins with token first. */
static void attend_piece(const struct at_kernels *k, struct at_attend *job, int32_t *lo,
                         int32_t *hi, size_t from, int64_t first, size_t count, int64_t oldest,
                         int slide)
{
    for (size_t i = 0; i < job->n; i++) {
        int64_t hidden = oldest + (int64_t)i * slide - first;
        hidden = hidden > 0 ? hidden : 0;
        hidden = hidden < (int64_t)count ? hidden : (int64_t)count;
        lo[i] = (int32_t)((int64_t)from + hidden);
        hi[i] = (int32_t)(from + count);
    }
    k->attend(job);
}

void at_parts_attend_ring(const struct at_kernels *k, struct at_attend *job, int32_t *lo,
                          int32_t *hi, size_t slots, int64_t first, size_t count, int64_t oldest,
                          int slide)
{
    size_t from = (size_t)first % slots, till_wrap = slots - from;
    size_t head = count < till_wrap ? count : till_wrap;
    if (head)
        attend_piece(k, job, lo, hi, from, first, head, oldest, slide);
    if (count > head)
        attend_piece(k, job, lo, hi, 0, first + (int64_t)head, count - head, oldest, slide);
}

void at_parts_pad_rows(const float *x, size_t x_stride, size_t n, size_t dim, float *out)
{
    size_t stride = at_round_up(dim, AT_LANE);
    for (size_t t = 0; t < n; t++, x += x_stride, out += stride) {
        memcpy(out, x, dim * sizeof *out);
        memset(out + dim, 0, (stride - dim) * sizeof *out);
    }
}
