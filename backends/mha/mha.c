/* The baseline: rotate, the whole score matrix, softmax, times V. Plain and readable for ever,
 * because every other backend is compared with it; alone it also offers dropout on the weights
 * (Monte-Carlo uncertainty). SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/attn/attn_backend.h"
#include "lib/kernels/kernels.h"

struct at_attn_state {
    struct at_mem *mem;
    const struct at_kernels *kernels;
    struct at_attn_shape shape;
    size_t reach;     /* tokens that a query looks back, its own included */
    int64_t start, n; /* position of the first token; tokens so far */
    uint64_t random;
    /* (reach, H, D) of floats or bf16, keys rotated; token t is in row t % reach. NULL: mask none
     * keeps nothing */
    void *keys, *values;
};

static size_t reach_of(const struct at_attn_shape *s)
{
    return s->window ? s->window : s->capacity;
}

/* Tokens that are kept for later runs. */
static size_t most_old(const struct at_attn_shape *s)
{
    return s->mask == AT_MASK_NONE ? 0 : reach_of(s);
}

static int mha_probe(const struct at_attn_shape *s, struct at_attn_cost *ret_cost);

static int mha_create(const struct at_attn_host *host, const struct at_attn_shape *shape,
                      struct at_attn_state **ret_state)
{
    struct at_attn_cost cost;
    int code = mha_probe(shape, &cost);
    if (code < 0)
        return code;
    struct at_attn_state *a = at_mem_alloc(host->mem, AT_MEM_OTHER, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->mem = host->mem;
    a->kernels = host->kernels;
    a->shape = *shape;
    a->reach = reach_of(shape);
    a->random = 1;
    if (cost.cache_bytes) {
        a->keys = at_mem_alloc(host->mem, AT_MEM_KV, cost.cache_bytes);
        if (!a->keys) {
            at_mem_free(host->mem, a);
            return -ENOMEM;
        }
        a->values = (char *)a->keys + cost.cache_bytes / 2;
    }
    *ret_state = a;
    return 0;
}

static void mha_destroy(struct at_attn_state *a)
{
    if (!a)
        return;
    at_mem_free(a->mem, a->keys);
    at_mem_free(a->mem, a);
}

static void mha_reset(struct at_attn_state *a, int64_t start)
{
    a->start = start;
    a->n = 0;
}

static void mha_seed(struct at_attn_state *a, uint64_t seed)
{
    a->random = seed | 1;
}

/* x (H, D) of position pos, rotated by halves, times scale -> out. */
static void rotate(const struct at_attn_shape *s, const float *x, double pos, float scale,
                   float *out)
{
    size_t half = s->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        double angle = s->rope_base > 0 ? pos * pow(s->rope_base, -(double)i / (double)half) : 0;
        float c = (float)cos(angle), n = (float)sin(angle);
        for (size_t h = 0; h < s->n_heads; h++) {
            float a = x[h * s->head_dim + i], b = x[h * s->head_dim + half + i];
            out[h * s->head_dim + i] = (a * c - b * n) * scale;
            out[h * s->head_dim + half + i] = (a * n + b * c) * scale;
        }
    }
}

/* Uniform in [0, 1) (xorshift64*, Vigna 2016). */
static float uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (float)(*state * UINT64_C(2685821657736338717) >> 40) * 0x1p-24f;
}

static void drop(struct at_attn_state *a, float *weights, size_t n)
{
    for (size_t j = 0; j < n; j++)
        weights[j] =
            uniform(&a->random) < a->shape.dropout ? 0 : weights[j] / (1 - a->shape.dropout);
}

/* The keys and values of a run: n_old from the cache (row first of `slots`, going round), then the
 * new ones. */
struct rows {
    const struct at_attn_state *a;
    const float *old_keys, *old_values, *keys, *values; /* (.., H, D) */
    size_t n_old, first, slots;
};

static const float *row(const struct rows *r, const float *old, const float *fresh, size_t j)
{
    size_t width = (size_t)r->a->shape.n_heads * r->a->shape.head_dim;
    if (j >= r->n_old)
        return fresh + (j - r->n_old) * width;
    return old + (r->first + j) % r->slots * width;
}

static void round_all(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = at_from_bf16(at_bf16(x[i]));
}

/* The n_old newest tokens of a bf16 cache as floats. */
static void widen(const struct at_attn_state *a, size_t n_old, float *keys, float *values)
{
    const uint16_t *k = a->keys, *v = a->values;
    size_t width = (size_t)a->shape.n_heads * a->shape.head_dim;
    for (size_t j = 0; j < n_old; j++) {
        size_t at = ((size_t)a->n - n_old + j) % a->reach * width;
        for (size_t i = 0; i < width; i++) {
            keys[j * width + i] = at_from_bf16(k[at + i]);
            values[j * width + i] = at_from_bf16(v[at + i]);
        }
    }
}

/* New rows (n, H, D) into a cache. */
static void keep(const struct at_attn_state *a, void *cache, const float *x, size_t n)
{
    size_t width = (size_t)a->shape.n_heads * a->shape.head_dim;
    for (size_t i = 0; i < n; i++) {
        size_t at = ((size_t)a->n + i) % a->reach * width;
        if (a->shape.mode == AT_MODE_BF16)
            a->kernels->to_bf16(x + i * width, width, (uint16_t *)cache + at);
        else
            memcpy((float *)cache + at, x + i * width, width * sizeof *x);
    }
}

/* Query i of the run sees keys first..end-1 of its rows. */
static void visible(const struct at_attn_state *a, const struct rows *r, size_t i, size_t n,
                    size_t *first, size_t *end)
{
    size_t own = r->n_old + i;
    *end = a->shape.mask == AT_MASK_NONE ? r->n_old + n : own + 1;
    *first = own + 1 > a->reach && (a->shape.window || a->shape.mask == AT_MASK_CAUSAL)
                 ? own + 1 - a->reach
                 : 0;
}

/* One head: scores (n, n_old + n), softmax, times V. q (n, H, D) rotated and scaled. */
static void head(struct at_attn_state *a, const struct rows *r, size_t h, const float *q, size_t n,
                 float *scores, float *out)
{
    size_t d = a->shape.head_dim, width = a->shape.n_heads * d, n_keys = r->n_old + n, first, end;
    for (size_t i = 0; i < n; i++) {
        visible(a, r, i, n, &first, &end);
        for (size_t j = first; j < end; j++)
            scores[i * n_keys + j] =
                a->kernels->dot(q + i * width + h * d, row(r, r->old_keys, r->keys, j) + h * d, d);
    }
    for (size_t i = 0; i < n; i++) {
        visible(a, r, i, n, &first, &end);
        a->kernels->softmax(scores + i * n_keys + first, end - first);
        if (a->shape.dropout > 0)
            drop(a, scores + i * n_keys + first, end - first);
    }
    for (size_t i = 0; i < n; i++) {
        float *y = out + i * width + h * d;
        memset(y, 0, d * sizeof *y);
        visible(a, r, i, n, &first, &end);
        for (size_t j = first; j < end; j++)
            a->kernels->axpy(scores[i * n_keys + j], row(r, r->old_values, r->values, j) + h * d, d,
                             y);
    }
}

static void mha_run(struct at_attn_state *a, void *work, const float *q, const float *k,
                    const float *v, size_t n, float *out)
{
    size_t width = (size_t)a->shape.n_heads * a->shape.head_dim, size = n * width,
           old = (size_t)a->n;
    old = old < most_old(&a->shape) ? old : most_old(&a->shape);
    float *rotated_q = work, *rotated_k = rotated_q + size, *new_v = rotated_k + size,
          *scores = new_v + size;
    float scale = 1 / sqrtf((float)a->shape.head_dim);
    memcpy(new_v, v, size * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        double pos = (double)(a->start + a->n + (int64_t)i);
        rotate(&a->shape, (q ? q : k) + i * width, pos, scale, rotated_q + i * width);
        rotate(&a->shape, k + i * width, pos, 1, rotated_k + i * width);
    }
    struct rows r = {
        a, a->keys, a->values, rotated_k, new_v, old, ((size_t)a->n - old) % a->reach, a->reach};
    if (a->shape.mode == AT_MODE_BF16) { /* rotated in fp32, then rounded; sums stay fp32 */
        round_all(rotated_q, 3 * size);
        float *old_keys = scores + n * (n + old), *old_values = old_keys + old * width;
        widen(a, old, old_keys, old_values);
        r.old_keys = old_keys;
        r.old_values = old_values;
        r.first = 0;
    }
    for (size_t h = 0; q && h < a->shape.n_heads; h++)
        head(a, &r, h, rotated_q, n, scores, out);
    if (!a->keys)
        return;
    keep(a, a->keys, rotated_k, n);
    keep(a, a->values, new_v, n);
    a->n += (int64_t)n;
}

static int mha_read(const struct at_attn_state *a, void *work, int64_t first, size_t n, float *k,
                    float *v)
{
    size_t width = (size_t)a->shape.n_heads * a->shape.head_dim;
    if (!a->keys)
        return -ENOTSUP;
    for (size_t t = 0; t < n; t++, k += width, v += width) {
        size_t at = ((size_t)first + t) % a->reach * width;
        float *rotated = work;
        for (size_t i = 0; i < width; i++) {
            bool bf16 = a->shape.mode == AT_MODE_BF16;
            const uint16_t *keys = a->keys, *values = a->values;
            rotated[i] = bf16 ? at_from_bf16(keys[at + i]) : ((const float *)a->keys)[at + i];
            v[i] = bf16 ? at_from_bf16(values[at + i]) : ((const float *)a->values)[at + i];
        }
        rotate(&a->shape, rotated, -(double)(a->start + first + (int64_t)t), 1, k);
    }
    return 0;
}

#define CAPS                                                                                       \
    (AT_CAP_ROPE | AT_CAP_CAUSAL | AT_CAP_WINDOW | AT_CAP_BIDIRECTIONAL | AT_CAP_DROPOUT |         \
     AT_CAP_STREAMING | AT_CAP_BF16)

static int mha_probe(const struct at_attn_shape *s, struct at_attn_cost *ret_cost)
{
    int code = at_attn_shape_check(s, CAPS);
    if (code < 0)
        return code;
    size_t width = (size_t)s->n_heads * s->head_dim, n = s->max_new, old = most_old(s);
    size_t keys = s->mask == AT_MASK_NONE ? n : reach_of(s);
    bool bf16 = s->mode == AT_MODE_BF16;
    *ret_cost = (struct at_attn_cost){
        .flops = 4.0 * (double)width * (double)n * (double)keys,
        .workspace_bytes =
            (3 * n * width + n * (n + old) + (bf16 ? 2 * old * width : 0)) * sizeof(float),
        .cache_bytes = 2 * old * width * (bf16 ? sizeof(uint16_t) : sizeof(float)),
    };
    return 0;
}

extern const struct at_attn_backend at_backend_mha;
const struct at_attn_backend at_backend_mha = {
    .version = AT_ATTN_BACKEND_VERSION,
    .name = "mha",
    .summary = "the whole score matrix: the baseline, with dropout",
    .caps = CAPS,
    .max_nmse_fp32 = 1e-10,
    .max_nmse_bf16 = 1e-4,
    .probe = mha_probe,
    .create = mha_create,
    .run = mha_run,
    .reset = mha_reset,
    .seed = mha_seed,
    .loss = 0,
    .read = mha_read,
    .destroy = mha_destroy,
};
