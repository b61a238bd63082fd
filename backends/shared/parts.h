/* What the tiled backends (flash, gqa, latent) share: layouts of caches and workspaces in both
 * modes. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BACKENDS_PARTS_H
#define AT_BACKENDS_PARTS_H

#include "lib/attn/attn_backend.h"
#include "lib/kernels/kernels.h"

#define AT_TILED_CAPS                                                                              \
    (AT_CAP_ROPE | AT_CAP_CAUSAL | AT_CAP_WINDOW | AT_CAP_BIDIRECTIONAL | AT_CAP_STREAMING |       \
     AT_CAP_BF16)

/* Tokens that a query looks back at most, its own included. */
static inline size_t at_parts_reach(const struct at_attn_shape *s)
{
    return s->window ? s->window : s->capacity;
}

static inline bool at_parts_bf16(const struct at_attn_shape *s)
{
    return s->mode == AT_MODE_BF16;
}

/* Bytes of one head's keys (panels) and values (padded or paired rows). */
size_t at_parts_key_bytes(const struct at_attn_shape *s, size_t slots);
size_t at_parts_value_bytes(const struct at_attn_shape *s, size_t slots);

/* Hands out bytes, 64-aligned, of a block that begins at base (NULL: only counts). *at: bytes so
 * far. */
void *at_parts_take(void *base, size_t *at, size_t bytes);

/* Entries of one row of a table of angles: D / 2, padded. */
size_t at_parts_frequencies(const struct at_attn_shape *s);
/* freq: base^(-i / (D / 2)). */
void at_parts_frequencies_fill(const struct at_attn_shape *s, double *freq);

/* Rotates keys (n, D; stride) and rounds them to the mode, into slots first.. of panels. cos NULL:
 * no rotation. */
void at_parts_store_keys(const struct at_kernels *k, const struct at_attn_shape *s, const float *x,
                         size_t stride, size_t n, const float *cos, const float *sin, void *panels,
                         size_t first);
/* Values (n, D; stride) into slots first.. of rows. */
void at_parts_store_values(const struct at_kernels *k, const struct at_attn_shape *s,
                           const float *x, size_t stride, size_t n, void *rows, size_t first);

/* Workspace of one head's queries. */
struct at_parts_queries {
    void *q;                /* (n, D), in the mode's values */
    float *acc, *max, *sum; /* (n, D padded) (n) (n) */
    int32_t *lo, *hi;       /* (n) */
};
void at_parts_queries_take(void *base, size_t *at, const struct at_attn_shape *s, size_t n,
                           struct at_parts_queries *ret);
/* Rotates and scales queries (n, D; stride). */
void at_parts_queries_fill(const struct at_kernels *k, const struct at_attn_shape *s,
                           const float *x, size_t stride, size_t n, const float *cos,
                           const float *sin, const struct at_parts_queries *p);
/* A job over them; k, v and bias are the caller's. */
struct at_attend at_parts_job(const struct at_attn_shape *s, const struct at_parts_queries *p,
                              size_t n);
/* kernels->attend of the mode. */
void at_parts_attend(const struct at_kernels *k, const struct at_attn_shape *s,
                     const struct at_attend *job);

/* Tokens first..first+count-1 of a ring of `slots` (first and count in tokens since the start,
 * count <= slots), attended piece by piece: query i sees those from oldest + i slide on. lo and hi
 * of p are written. */
void at_parts_attend_ring(const struct at_kernels *k, const struct at_attn_shape *s,
                          const struct at_parts_queries *p, const struct at_attend *job,
                          size_t slots, int64_t first, size_t count, int64_t oldest, int slide);

#endif
