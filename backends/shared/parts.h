/* What the tiled backends (flash, gqa, latent) share. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BACKENDS_PARTS_H
#define AT_BACKENDS_PARTS_H

#include "lib/attn/attn_backend.h"
#include "lib/kernels/kernels.h"

#define AT_TILED_CAPS                                                                              \
    (AT_CAP_ROPE | AT_CAP_CAUSAL | AT_CAP_WINDOW | AT_CAP_BIDIRECTIONAL | AT_CAP_STREAMING)

/* Tokens that a query looks back at most, its own included. */
static inline size_t at_parts_reach(const struct at_attn_shape *s)
{
    return s->window ? s->window : s->capacity;
}

/* Hands out n floats, 64-aligned, of a block that begins at base (NULL: only counts). *at: bytes so
 * far. */
float *at_parts_take(void *base, size_t *at, size_t n);

/* freq (D / 2, padded): base^(-i / (D / 2)); all 0 where base is 0, which rotates nothing. */
void at_parts_frequencies(const struct at_attn_shape *s, double *freq);
size_t
at_parts_frequency_floats(const struct at_attn_shape *s); /* of one row of a table of angles */
/* Scale that kernels->attend wants on queries. */
float at_parts_query_scale(const struct at_attn_shape *s);

/* Workspace of one head's queries. */
struct at_parts_queries {
    float *q, *acc, *max, *sum; /* (n, D) (n, D padded) (n) (n) */
    int32_t *lo, *hi;           /* (n) */
};
void at_parts_queries_take(void *base, size_t *at, const struct at_attn_shape *s, size_t n,
                           struct at_parts_queries *ret);
/* A job over them; k, v and bias are the caller's. */
struct at_attend at_parts_job(const struct at_attn_shape *s, const struct at_parts_queries *p,
                              size_t n);

/* Tokens first..first+count-1 of a ring of `slots` (first and count in tokens since the start,
 * count <= slots), attended piece by piece: query i sees those from oldest + i slide on. lo, hi:
 * job's, to be written. */
void at_parts_attend_ring(const struct at_kernels *k, struct at_attend *job, int32_t *lo,
                          int32_t *hi, size_t slots, int64_t first, size_t count, int64_t oldest,
                          int slide);

/* rows (n, D; stride x_stride) -> out (n, D padded), zeros behind D. */
void at_parts_pad_rows(const float *x, size_t x_stride, size_t n, size_t dim, float *out);

#endif
