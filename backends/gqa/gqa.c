/* Grouped queries from the same q, k, v: heads with the same h / (H / G) share the mean of their K
 * and of their V. SPDX-License-Identifier: GPL-3.0-or-later */
#include "backends/shared/parts.h"
#include "backends/shared/tiled.h"

static int gqa_probe(const struct at_attn_shape *shape, struct at_attn_cost *ret_cost)
{
    return at_tiled_probe(shape, shape->kv_groups, ret_cost);
}

static int gqa_create(const struct at_attn_host *host, const struct at_attn_shape *shape,
                      struct at_attn_state **ret_state)
{
    return at_tiled_create(host, shape, shape->kv_groups, ret_state);
}

extern const struct at_attn_backend at_backend_gqa;
const struct at_attn_backend at_backend_gqa = {
    .version = AT_ATTN_BACKEND_VERSION,
    .name = "gqa",
    .summary = "heads of a group share the mean of their keys and values",
    .caps = AT_TILED_CAPS,
    .max_nmse_fp32 = 1e-10,
    .max_nmse_bf16 = 1e-4,
    .probe = gqa_probe,
    .create = gqa_create,
    .run = at_tiled_run,
    .reset = at_tiled_reset,
    .seed = at_tiled_seed,
    .loss = 1,
    .read = at_tiled_read,
    .destroy = at_tiled_destroy,
};
