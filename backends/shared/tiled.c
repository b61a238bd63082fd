/* The cache of a group is a ring of panels (rotated keys) and of padded rows (values). A run first
 * attends to the ring, which still holds every token that its first query sees, then to its own
 * keys, and only then moves them in; until the ring is full they go there at once.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "backends/shared/tiled.h"

#include <errno.h>
#include <string.h>

#include "backends/shared/parts.h"

struct at_attn_state {
    struct at_mem *mem;
    const struct at_kernels *kernels;
    struct at_attn_shape shape;
    size_t groups, reach, slots; /* slots: of the ring, a multiple of AT_PANEL; 0 with mask none */
    int64_t start, n;            /* position of the first token; tokens so far */
    size_t cache_bytes, key_bytes, value_bytes; /* in all; of one group's ring */
    char *keys, *values; /* (groups) of panels (slots, D), (groups) of rows (slots, D padded) */
    double freq[];       /* (D / 2, padded) */
};

struct work {
    float *cos, *sin, *mean; /* (n, D / 2 padded) twice; means (2, n, D) */
    char *k, *v;             /* one group's new panels and rows */
    struct at_parts_queries queries;
};

/* Where a run's keys and values go: from slot `first` on, after `before` older ones in the same
 * slots. */
struct place {
    char *k, *v;
    size_t first, before;
};

/* The ring of group g while it has room, so that nothing that a query sees is overwritten; else the
 * workspace, its panels in line with the ring's. */
static struct place place_of(const struct at_attn_state *a, const struct work *w, size_t g,
                             size_t n)
{
    size_t tokens = (size_t)a->n;
    if (tokens + n <= a->slots)
        return (struct place){a->keys + g * a->key_bytes, a->values + g * a->value_bytes, tokens,
                              tokens};
    return (struct place){w->k, w->v, a->slots ? tokens % AT_PANEL : 0, 0};
}

static size_t slots_of(const struct at_attn_shape *s)
{
    return s->mask == AT_MASK_NONE ? 0 : at_round_up(at_parts_reach(s), AT_PANEL);
}

/* The parts of a workspace at base (NULL: none, only counted); returns its bytes. */
static size_t lay_out(void *base, const struct at_attn_shape *s, size_t groups, struct work *ret)
{
    size_t at = 0, n = s->max_new, slots = at_round_up(n, AT_PANEL) + AT_PANEL;
    size_t means = groups < s->n_heads ? 2 * n * s->head_dim : 0;
    ret->cos = at_parts_take(base, &at, n * at_parts_frequencies(s) * sizeof *ret->cos);
    ret->sin = at_parts_take(base, &at, n * at_parts_frequencies(s) * sizeof *ret->sin);
    ret->mean = at_parts_take(base, &at, means * sizeof *ret->mean);
    ret->k = at_parts_take(base, &at, at_parts_key_bytes(s, slots));
    ret->v = at_parts_take(base, &at, at_parts_value_bytes(s, slots));
    at_parts_queries_take(base, &at, s, n, &ret->queries);
    return at;
}

int at_tiled_probe(const struct at_attn_shape *s, size_t groups, struct at_attn_cost *ret_cost)
{
    int code = at_attn_shape_check(s, AT_TILED_CAPS);
    if (code < 0)
        return code;
    struct work w;
    size_t width = (size_t)s->n_heads * s->head_dim, slots = slots_of(s);
    size_t keys = s->mask == AT_MASK_NONE ? s->max_new : at_parts_reach(s);
    *ret_cost = (struct at_attn_cost){
        .flops = 4.0 * (double)width * (double)s->max_new * (double)keys,
        .workspace_bytes = lay_out(NULL, s, groups, &w),
        .cache_bytes = groups * (at_parts_key_bytes(s, slots) + at_parts_value_bytes(s, slots)),
    };
    return 0;
}

int at_tiled_create(const struct at_attn_host *host, const struct at_attn_shape *shape,
                    size_t groups, struct at_attn_state **ret_state)
{
    struct at_attn_cost cost;
    int code = at_tiled_probe(shape, groups, &cost);
    if (code < 0)
        return code;
    struct at_attn_state *a = at_mem_alloc(
        host->mem, AT_MEM_OTHER, sizeof *a + at_parts_frequencies(shape) * sizeof *a->freq);
    if (!a)
        return -ENOMEM;
    a->mem = host->mem;
    a->kernels = host->kernels;
    a->shape = *shape;
    a->groups = groups;
    a->reach = at_parts_reach(shape);
    a->slots = slots_of(shape);
    a->cache_bytes = cost.cache_bytes;
    a->key_bytes = at_parts_key_bytes(shape, a->slots);
    a->value_bytes = at_parts_value_bytes(shape, a->slots);
    at_parts_frequencies_fill(shape, a->freq);
    if (cost.cache_bytes) {
        a->keys = at_mem_alloc(host->mem, AT_MEM_KV, cost.cache_bytes);
        if (!a->keys) {
            at_mem_free(host->mem, a);
            return -ENOMEM;
        }
        a->values = a->keys + groups * a->key_bytes;
    }
    *ret_state = a;
    return 0;
}

void at_tiled_destroy(struct at_attn_state *a)
{
    if (!a)
        return;
    at_mem_free(a->mem, a->keys);
    at_mem_free(a->mem, a);
}

void at_tiled_reset(struct at_attn_state *a, int64_t start)
{
    a->start = start;
    a->n = 0;
    if (a->cache_bytes &&
        at_parts_bf16(&a->shape)) /* pairs reach beside what is seen: no old NaN there */
        memset(a->keys, 0, a->cache_bytes);
}

void at_tiled_seed(struct at_attn_state *a, uint64_t seed)
{
    (void)a;
    (void)seed;
}

/* Mean over the heads of group g of x (n, H, D) -> mean (n, D). */
static void group_mean(const struct at_attn_state *a, const float *x, size_t g, size_t n,
                       float *mean)
{
    size_t d = a->shape.head_dim, heads = a->shape.n_heads / a->groups,
           width = a->shape.n_heads * d;
    for (size_t t = 0; t < n; t++, mean += d) {
        const float *from = x + t * width + g * heads * d;
        memset(mean, 0, d * sizeof *mean);
        for (size_t h = 0; h < heads; h++)
            a->kernels->axpy(1.0f / (float)heads, from + h * d, d, mean);
    }
}

/* New keys and values of group g to their place. */
static void pack(const struct at_attn_state *a, const struct work *w, const float *k,
                 const float *v, size_t g, size_t n, const struct place *to)
{
    size_t d = a->shape.head_dim, stride = a->shape.n_heads * d;
    k += g * d;
    v += g * d;
    if (a->groups < a->shape.n_heads) {
        group_mean(a, k - g * d, g, n, w->mean);
        group_mean(a, v - g * d, g, n, w->mean + n * d);
        k = w->mean;
        v = w->mean + n * d;
        stride = d;
    }
    const float *cos = a->shape.rope_base > 0 ? w->cos : NULL;
    at_parts_store_keys(a->kernels, &a->shape, k, stride, n, cos, w->sin, to->k, to->first);
    if (at_parts_bf16(&a->shape) && to->v == w->v) { /* what is read beside them must be finite */
        size_t panel = at_parts_value_bytes(&a->shape, AT_PANEL);
        memset(to->v, 0, panel);
        memset(to->v + (to->first + n - 1) / AT_PANEL * panel, 0, panel);
    }
    at_parts_store_values(a->kernels, &a->shape, v, stride, n, to->v, to->first);
}

/* count tokens at column.. of one panel (depth cells of 4 bytes: a float, or a pair of bf16) into
 * another. */
static void copy_columns(char *to, const char *from, size_t depth, size_t column, size_t count)
{
    const size_t cell = 4;
    if (count == AT_PANEL) {
        memcpy(to, from, depth * AT_PANEL * cell);
        return;
    }
    for (size_t i = 0; i < depth; i++)
        memcpy(to + (i * AT_PANEL + column) * cell, from + (i * AT_PANEL + column) * cell,
               count * cell);
}

/* Rows of values from slot `from` to slot `to` (both odd or both even where they are paired). */
static void copy_values(const struct at_attn_state *a, char *values, size_t to, const char *source,
                        size_t from, size_t count)
{
    size_t padded = at_round_up(a->shape.head_dim, AT_LANE);
    if (!at_parts_bf16(&a->shape)) {
        memcpy(values + to * padded * sizeof(float), source + from * padded * sizeof(float),
               count * padded * sizeof(float));
        return;
    }
    size_t pair = 2 * padded * sizeof(uint16_t);
    if (to % 2) { /* the first half of this pair is an older token's */
        uint16_t *x = (uint16_t *)(void *)(values + to / 2 * pair);
        const uint16_t *y = (const uint16_t *)(const void *)(source + from / 2 * pair);
        for (size_t i = 0; i < padded; i++)
            x[2 * i + 1] = y[2 * i + 1];
        to++;
        from++;
        count--;
    }
    memcpy(values + to / 2 * pair, source + from / 2 * pair, (count + 1) / 2 * pair);
}

/* The newest of n tokens at slot first of the workspace into the ring. */
static void commit(const struct at_attn_state *a, const struct work *w, size_t g, size_t n,
                   size_t first)
{
    size_t depth = at_parts_bf16(&a->shape) ? a->shape.head_dim / 2 : a->shape.head_dim, run;
    size_t panel = at_parts_key_bytes(&a->shape, AT_PANEL);
    char *keys = a->keys + g * a->key_bytes, *values = a->values + g * a->value_bytes;
    for (size_t t = n > a->slots ? n - a->slots : 0; t < n; t += run) {
        size_t from = first + t, to = ((size_t)a->n + t) % a->slots, column = from % AT_PANEL;
        run = AT_PANEL - column < n - t ? AT_PANEL - column : n - t;
        copy_columns(keys + to / AT_PANEL * panel, w->k + from / AT_PANEL * panel, depth, column,
                     run);
        copy_values(a, values, to, w->v, from, run);
    }
}

/* One head of group g: the ring, then the new tokens; both at once where they are in one place. */
static void attend(struct at_attn_state *a, const struct work *w, size_t g, size_t n,
                   const struct place *at)
{
    size_t reach = a->reach, begin = at->first - at->before;
    struct at_attend job = at_parts_job(&a->shape, &w->queries, n);
    a->kernels->attend_begin(&job);
    int64_t oldest = a->n - (int64_t)reach + 1, from = oldest > 0 ? oldest : 0;
    if (a->slots && at->v == w->v && from < a->n) {
        job.k = a->keys + g * a->key_bytes;
        job.v = a->values + g * a->value_bytes;
        job.slots = a->slots;
        at_parts_attend_ring(a->kernels, &a->shape, &w->queries, &job, a->slots, from,
                             (size_t)(a->n - from), oldest, 1);
    }
    bool bounded = a->shape.mask == AT_MASK_CAUSAL || a->shape.window;
    for (size_t i = 0; i < n; i++) {
        size_t t = at->before + i;
        w->queries.lo[i] = (int32_t)(begin + (bounded && t >= reach ? t + 1 - reach : 0));
        w->queries.hi[i] = (int32_t)(at->first + (a->shape.mask == AT_MASK_CAUSAL ? i + 1 : n));
    }
    job.k = at->k;
    job.v = at->v;
    job.slots = at->v == w->v ? at_round_up(at->first + n, AT_PANEL) : a->slots;
    at_parts_attend(a->kernels, &a->shape, &job);
}

void at_tiled_run(struct at_attn_state *a, void *work, const float *q, const float *k,
                  const float *v, size_t n, float *out)
{
    size_t d = a->shape.head_dim, width = a->shape.n_heads * d,
           heads = a->shape.n_heads / a->groups;
    const struct at_kernels *kernels = a->kernels;
    struct work w;
    lay_out(work, &a->shape, a->groups, &w);
    const float *cos = a->shape.rope_base > 0 ? w.cos : NULL;
    if (cos)
        kernels->rope_table(a->freq, d / 2, (double)(a->start + a->n), n, w.cos, w.sin);
    for (size_t g = 0; g < a->groups; g++) {
        struct place at = place_of(a, &w, g, n);
        pack(a, &w, k, v, g, n, &at);
        for (size_t h = g * heads; q && h < (g + 1) * heads; h++) {
            at_parts_queries_fill(kernels, &a->shape, q + h * d, width, n, cos, w.sin, &w.queries);
            attend(a, &w, g, n, &at);
            struct at_attend job = at_parts_job(&a->shape, &w.queries, n);
            kernels->attend_end(&job, out + h * d, width);
        }
        if (a->slots && at.v == w.v)
            commit(a, &w, g, n, at.first);
    }
    a->n += a->slots ? (int64_t)n : 0;
}

/* Token in `slot` of one group's ring: key, still rotated, and value -> (D) each. */
static void read_slot(const struct at_attn_state *a, size_t g, size_t slot, float *key,
                      float *value)
{
    size_t d = a->shape.head_dim, padded = at_round_up(d, AT_LANE), column = slot % AT_PANEL;
    const char *panel =
        a->keys + g * a->key_bytes + slot / AT_PANEL * at_parts_key_bytes(&a->shape, AT_PANEL);
    const char *values = a->values + g * a->value_bytes;
    for (size_t i = 0; i < d && !at_parts_bf16(&a->shape); i++) {
        key[i] = ((const float *)(const void *)panel)[i * AT_PANEL + column];
        value[i] = ((const float *)(const void *)values)[slot * padded + i];
    }
    for (size_t i = 0; i < d && at_parts_bf16(&a->shape); i++) {
        const uint16_t *pairs = (const uint16_t *)(const void *)panel;
        const uint16_t *rows = (const uint16_t *)(const void *)values;
        key[i] = at_from_bf16(pairs[(i / 2 * AT_PANEL + column) * 2 + i % 2]);
        value[i] = at_from_bf16(rows[slot / 2 * 2 * padded + 2 * i + slot % 2]);
    }
}

int at_tiled_read(const struct at_attn_state *a, void *work, int64_t first, size_t n, float *k,
                  float *v)
{
    size_t d = a->shape.head_dim, width = a->shape.n_heads * d,
           heads = a->shape.n_heads / a->groups;
    struct work w;
    if (!a->slots)
        return -ENOTSUP;
    lay_out(work, &a->shape, a->groups, &w);
    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < a->shape.n_heads; h++)
            read_slot(a, h / heads, ((size_t)first + t) % a->slots, k + t * width + h * d,
                      v + t * width + h * d);
    if (!(a->shape.rope_base > 0))
        return 0;
    size_t row = at_parts_frequencies(&a->shape);
    a->kernels->rope_table(a->freq, d / 2, (double)(a->start + first), n, w.cos, w.sin);
    for (size_t i = 0; i < n * row; i++)
        w.sin[i] = -w.sin[i]; /* back by the same angles */
    for (size_t h = 0; h < a->shape.n_heads; h++)
        a->kernels->rope_rows(k + h * d, width, n, d, w.cos, w.sin, 1, k + h * d, width, false);
    return 0;
}
