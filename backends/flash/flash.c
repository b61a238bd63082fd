/* The numbers of mha, tiled with a running softmax; blocks that the mask empties are skipped.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "backends/shared/parts.h"
#include "backends/shared/tiled.h"

static int flash_probe(const struct at_attn_shape *shape, struct at_attn_cost *ret_cost)
{
    return at_tiled_probe(shape, shape->n_heads, ret_cost);
}

static int flash_create(const struct at_attn_host *host, const struct at_attn_shape *shape,
                        struct at_attn_state **ret_state)
{
    return at_tiled_create(host, shape, shape->n_heads, ret_state);
}

extern const struct at_attn_backend at_backend_flash;
const struct at_attn_backend at_backend_flash = {
    .version = AT_ATTN_BACKEND_VERSION,
    .name = "flash",
    .summary = "the same numbers as mha, tiled: no score matrix, masked blocks skipped",
    .caps = AT_TILED_CAPS,
    .max_nmse_fp32 = 1e-10,
    .max_nmse_bf16 = 1e-4,
    .probe = flash_probe,
    .create = flash_create,
    .run = at_tiled_run,
    .reset = at_tiled_reset,
    .seed = at_tiled_seed,
    .loss = 0,
    .read = at_tiled_read,
    .destroy = at_tiled_destroy,
};
