/* Tiled attention with a running softmax over G groups of heads: flash has G = H, gqa fewer.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BACKENDS_TILED_H
#define AT_BACKENDS_TILED_H

#include "lib/attn/attn_backend.h"

/* As the functions of struct at_attn_backend; groups instead of shape->kv_groups. */
int at_tiled_probe(const struct at_attn_shape *shape, size_t groups, struct at_attn_cost *ret_cost);
int at_tiled_create(const struct at_attn_host *host, const struct at_attn_shape *shape,
                    size_t groups, struct at_attn_state **ret_state);
void at_tiled_run(struct at_attn_state *state, void *work, const float *q, const float *k,
                  const float *v, size_t n, float *out);
int at_tiled_read(const struct at_attn_state *state, void *work, int64_t first, size_t n, float *k,
                  float *v);
void at_tiled_reset(struct at_attn_state *state, int64_t start);
void at_tiled_seed(struct at_attn_state *state, uint64_t seed);
void at_tiled_destroy(struct at_attn_state *state);

#endif
