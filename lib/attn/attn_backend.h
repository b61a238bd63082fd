/* The contract of an attention backend: all that a backend sees of the rest.
 *
 * A backend computes attention for one layer of one session, from the same q, k, v as every other
 * backend. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ATTN_BACKEND_H
#define AT_ATTN_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"

struct at_kernels;

enum at_attn_caps {
    AT_CAP_ROPE = 1u << 0,
    AT_CAP_CAUSAL = 1u << 1,
    AT_CAP_WINDOW = 1u << 2,
    AT_CAP_BIDIRECTIONAL = 1u << 3, /* mask none, one-shot only */
    AT_CAP_DROPOUT = 1u << 4,       /* Monte-Carlo dropout at inference */
    AT_CAP_STREAMING = 1u << 5,
    AT_CAP_BF16 = 1u << 6,
    AT_CAP_SEGMENTS = 1u << 7, /* reset's start must be a multiple of S */
};

enum at_mode { AT_MODE_FP32, AT_MODE_BF16 };
enum at_mask { AT_MASK_CAUSAL, AT_MASK_NONE };

/* One layer's shape. Tokens L, heads H, head width D, groups G, segment S, window W. */
struct at_attn_shape {
    uint32_t n_heads;   /* H, 1..64 */
    uint32_t head_dim;  /* D, even, 2..256 */
    uint32_t kv_groups; /* G, divides H */
    uint32_t segment;   /* S, divides W */
    uint32_t window;    /* W tokens looked back, the query's own included; 0: all of capacity */
    uint32_t
        capacity;     /* most tokens ever visible at once: W, or the one-shot length where W is 0 */
    uint32_t max_new; /* most tokens a run appends */
    enum at_mask mask; /* NONE: one run is one whole sequence */
    enum at_mode mode;
    double rope_base; /* 0: no rotation, else at least 1 */
    float dropout;    /* 0..1, on the attention weights; needs AT_CAP_DROPOUT */
};

/* What it would take; exact in bytes. */
struct at_attn_cost {
    double flops;           /* of one run of max_new tokens with a full cache */
    size_t workspace_bytes; /* scratch of a run, shared by the layers and sessions of a worker */
    size_t cache_bytes;     /* kept by one layer of one session */
};

/* All that a backend gets from outside. Borrowed; outlives the state. */
struct at_attn_host {
    struct at_mem *mem;
    const struct at_kernels *kernels;
};

struct at_attn_state; /* the cache of one layer of one session; each backend's own */

struct at_attn_backend {
    uint32_t version; /* AT_ATTN_BACKEND_VERSION; the struct grows at its end */
    const char *name, *summary;
    uint32_t caps;
    double max_nmse_fp32, max_nmse_bf16; /* promised against the reference */
    /* Pure: fills cost, or -ENOTSUP / -EINVAL where it cannot. Any thread. */
    int (*probe)(const struct at_attn_shape *shape, struct at_attn_cost *ret_cost);
    /* Takes all memory the cache will ever need. Not RT-safe. */
    int (*create)(const struct at_attn_host *host, const struct at_attn_shape *shape,
                  struct at_attn_state **ret_state);
    /* Appends n <= max_new tokens (q, k, v: (n, H, D), unrotated, borrowed) at the session's next
     * positions and writes out (n, H, D); with q NULL it only appends. work: workspace_bytes,
     * 64-aligned, contents undefined before and after. RT-safe. */
    void (*run)(struct at_attn_state *state, void *work, const float *q, const float *k,
                const float *v, size_t n, float *out);
    /* Empties the cache; the next token has position start (a multiple of S). RT-safe. */
    void (*reset)(struct at_attn_state *state, int64_t start);
    /* Seeds the dropout; backends without it do nothing. */
    void (*seed)(struct at_attn_state *state, uint64_t seed);
    void (*destroy)(struct at_attn_state *state); /* NULL is fine */
    /* What its cache leaves out: 0 nothing. A cache can become one of a backend that leaves out as
     * much or more. */
    unsigned loss;
    /* The cached keys and values of n <= max_new tokens, unrotated, from the first-th since start
     * on, all within the newest W -> k, v (n, H, D). -ENOTSUP where single tokens are no longer
     * known. RT-safe. */
    int (*read)(const struct at_attn_state *state, void *work, int64_t first, size_t n, float *k,
                float *v);
};
#define AT_ATTN_BACKEND_VERSION 2

/* The bounds above, and what the mask, mode, rotation and dropout of a shape ask of caps: 0,
 * -EINVAL or -ENOTSUP. Each probe begins with it. Any thread. */
int at_attn_shape_check(const struct at_attn_shape *shape, uint32_t caps);

/* The list that the build writes from the enabled backends, best known first; NULL-terminated. */
extern const struct at_attn_backend *const at_attn_registry[];

#endif
