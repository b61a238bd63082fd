/* The AttentionModelAdapter: one call attn(q, k, v, mask, rope) over every backend.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ATTN_ATTN_H
#define AT_ATTN_ATTN_H

#include <stdbool.h>

#include "lib/attn/attn_backend.h"
#include "lib/base/err.h"

/* NULL where there is none; err then lists the names there are. Any thread. */
const struct at_attn_backend *at_attn_find(const char *name, struct at_error *err);

/* What an instance is, for the one line the daemon logs and for /api/v1/backends. */
struct at_attn_report {
    const char *backend, *kernel; /* kernel: ISA variant that runs */
    enum at_mode mode;
    size_t workspace_bytes, cache_bytes;
    uint32_t caps;
};

/* One layer of one session under one backend: checks the shape against the backend's flags, then
 * creates. */
struct at_attn;
int at_attn_create(const struct at_attn_host *host, const struct at_attn_backend *backend,
                   const struct at_attn_shape *shape, struct at_error *err,
                   struct at_attn **ret_attn);
void at_attn_destroy(struct at_attn *a);
/* attn(q, k, v) with the mask and rope of its shape; see at_attn_backend.run. RT-safe. */
void at_attn_run(struct at_attn *a, void *work, const float *q, const float *k, const float *v,
                 size_t n, float *out);
/* True where a cache of shape a under backend `from` can become one of shape b under `to`: the same
 * window, causal, nothing known that `from` has left out, no finer mode. */
bool at_attn_can_convert(const struct at_attn_backend *from, const struct at_attn_shape *a,
                         const struct at_attn_backend *to, const struct at_attn_shape *b);
/* Fills `to`, just created, with what `from` keeps of its newest tokens; the next token of `to`
 * follows the last of `from`. k, v: scratch (rows, H, D) each; work: workspace of either. 0 or
 * -ENOTSUP. RT-safe. */
int at_attn_convert(const struct at_attn *from, struct at_attn *to, void *work, float *k, float *v,
                    size_t rows);
void at_attn_reset(struct at_attn *a, int64_t start);
void at_attn_seed(struct at_attn *a, uint64_t seed);
void at_attn_get_report(const struct at_attn *a, struct at_attn_report *ret);
const char *at_mode_name(enum at_mode mode); /* "fp32", "bf16" */

#endif
