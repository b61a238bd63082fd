/* Latent set: exact near tokens, one latent per older segment of S tokens (mean unrotated key,
 * rotated at the segment's centre, mean value, log S added to the score). A query of segment s sees
 * tokens of segments s-1 and s exactly and latents m with s - W/S < m <= s - 2.
 *
 * Streaming: the exact tokens lie in a ring of 2 S, the latents in one of W / S. A run is cut at
 * segment borders; a piece goes into the ring before its queries attend, because what it overwrites
 * (segment s-2) is out of their sight, and a segment that closes overwrites the latent that falls
 * out of the window. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "backends/shared/parts.h"

struct at_attn_state {
    struct at_mem *mem;
    const struct at_kernels *kernels;
    struct at_attn_shape shape;
    size_t segment, latents;           /* S, and latents kept (W / S) */
    int64_t start, n;                  /* position of the first token; tokens so far */
    void *cache;                       /* NULL with mask none */
    char *keys, *values;               /* (H) of 2 S slots: exact tokens, token t in slot t % 2 S */
    char *latent_keys, *latent_values; /* (H) of `latents` slots: segment m in slot m % latents */
    float *key_sum, *value_sum;        /* (H, D): the open segment, unrotated */
    double freq[];
};

/* Segments of a whole sequence or window. */
static size_t latents_of(const struct at_attn_shape *s)
{
    size_t reach = s->mask == AT_MASK_NONE ? s->max_new : at_parts_reach(s);
    return (reach + s->segment - 1) / s->segment;
}

/* Exact tokens that a head keeps: 2 S, or with mask none the whole sequence. */
static size_t exact_of(const struct at_attn_shape *s)
{
    return s->mask == AT_MASK_NONE ? s->max_new : 2 * (size_t)s->segment;
}

/* The cache (mask causal) or that part of the workspace which stands for it (mask none) at base;
 * returns its bytes. */
static size_t lay_out_cache(void *base, const struct at_attn_shape *s, struct at_attn_state *a)
{
    size_t at = 0, h = s->n_heads, sums = h * s->head_dim * sizeof(float);
    struct at_attn_state none;
    a = a ? a : &none;
    a->keys = at_parts_take(base, &at, h * at_parts_key_bytes(s, exact_of(s)));
    a->values = at_parts_take(base, &at, h * at_parts_value_bytes(s, exact_of(s)));
    a->latent_keys = at_parts_take(base, &at, h * at_parts_key_bytes(s, latents_of(s)));
    a->latent_values = at_parts_take(base, &at, h * at_parts_value_bytes(s, latents_of(s)));
    a->key_sum = at_parts_take(base, &at, sums);
    a->value_sum = at_parts_take(base, &at, sums);
    return at;
}

struct work {
    float *cos, *sin, *mean;      /* (n, D / 2 padded) twice; (D) */
    float centre[2][AT_LANE * 8]; /* angles of one segment's centre */
    struct at_parts_queries queries;
    void *cache; /* mask none */
};

static size_t lay_out(void *base, const struct at_attn_shape *s, struct work *ret)
{
    size_t at = 0, n = s->max_new;
    ret->cos = at_parts_take(base, &at, n * at_parts_frequencies(s) * sizeof *ret->cos);
    ret->sin = at_parts_take(base, &at, n * at_parts_frequencies(s) * sizeof *ret->sin);
    ret->mean = at_parts_take(base, &at, s->head_dim * sizeof *ret->mean);
    at_parts_queries_take(base, &at, s, n < s->segment ? n : s->segment, &ret->queries);
    ret->cache = base ? (char *)base + at : NULL;
    return at + (s->mask == AT_MASK_NONE ? lay_out_cache(NULL, s, NULL) : 0);
}

static int latent_probe(const struct at_attn_shape *s, struct at_attn_cost *ret_cost)
{
    int code = at_attn_shape_check(s, AT_TILED_CAPS);
    if (code < 0)
        return code;
    struct work w;
    double keys = 1.5 * s->segment + (double)latents_of(s);
    *ret_cost = (struct at_attn_cost){
        .flops = 4.0 * s->n_heads * s->head_dim * (double)s->max_new * keys,
        .workspace_bytes = lay_out(NULL, s, &w),
        .cache_bytes = s->mask == AT_MASK_NONE ? 0 : lay_out_cache(NULL, s, NULL),
    };
    return 0;
}

static int latent_create(const struct at_attn_host *host, const struct at_attn_shape *shape,
                         struct at_attn_state **ret_state)
{
    struct at_attn_cost cost;
    int code = latent_probe(shape, &cost);
    if (code < 0)
        return code;
    struct at_attn_state *a = at_mem_alloc(
        host->mem, AT_MEM_OTHER, sizeof *a + at_parts_frequencies(shape) * sizeof(double));
    if (!a)
        return -ENOMEM;
    a->mem = host->mem;
    a->kernels = host->kernels;
    a->shape = *shape;
    a->segment = shape->segment;
    a->latents = latents_of(shape);
    at_parts_frequencies_fill(shape, a->freq);
    if (cost.cache_bytes) {
        a->cache = at_mem_alloc(host->mem, AT_MEM_KV, cost.cache_bytes);
        if (!a->cache) {
            at_mem_free(host->mem, a);
            return -ENOMEM;
        }
        lay_out_cache(a->cache, shape, a);
    }
    *ret_state = a;
    return 0;
}

static void latent_destroy(struct at_attn_state *a)
{
    if (!a)
        return;
    at_mem_free(a->mem, a->cache);
    at_mem_free(a->mem, a);
}

static void clear_sums(struct at_attn_state *a)
{
    size_t bytes = (size_t)a->shape.n_heads * a->shape.head_dim * sizeof(float);
    memset(a->key_sum, 0, bytes);
    memset(a->value_sum, 0, bytes);
}

static void latent_reset(struct at_attn_state *a, int64_t start)
{
    a->start = start;
    a->n = 0;
    if (a->cache &&
        at_parts_bf16(&a->shape)) /* pairs reach beside what is seen: no old NaN there */
        memset(a->cache, 0, lay_out_cache(NULL, &a->shape, NULL));
    if (a->cache)
        clear_sums(a);
}

static void latent_seed(struct at_attn_state *a, uint64_t seed)
{
    (void)a;
    (void)seed;
}

/* Head h's keys and values, exact or latent. */
static void choose_exact(const struct at_attn_state *a, size_t h, struct at_attend *job)
{
    job->k = a->keys + h * at_parts_key_bytes(&a->shape, exact_of(&a->shape));
    job->v = a->values + h * at_parts_value_bytes(&a->shape, exact_of(&a->shape));
    job->slots = exact_of(&a->shape);
    job->bias = 0;
}

static void choose_latents(const struct at_attn_state *a, size_t h, size_t count,
                           struct at_attend *job)
{
    job->k = a->latent_keys + h * at_parts_key_bytes(&a->shape, a->latents);
    job->v = a->latent_values + h * at_parts_value_bytes(&a->shape, a->latents);
    job->slots = a->latents;
    job->bias = (float)log2((double)count);
}

/* n tokens of one segment (k, v: (n, H, D)) into the exact slots from slot on; cos, sin: their
 * angles. */
static void store(struct at_attn_state *a, const float *k, const float *v, size_t n, size_t slot,
                  const float *cos, const float *sin)
{
    size_t d = a->shape.head_dim, width = a->shape.n_heads * d, exact = exact_of(&a->shape);
    for (size_t h = 0; h < a->shape.n_heads; h++) {
        char *keys = a->keys + h * at_parts_key_bytes(&a->shape, exact);
        char *values = a->values + h * at_parts_value_bytes(&a->shape, exact);
        at_parts_store_keys(a->kernels, &a->shape, k + h * d, width, n, cos, sin, keys, slot);
        at_parts_store_values(a->kernels, &a->shape, v + h * d, width, n, values, slot);
    }
    for (size_t t = 0; t < n; t++) {
        a->kernels->axpy(1, k + t * width, width, a->key_sum);
        a->kernels->axpy(1, v + t * width, width, a->value_sum);
    }
}

/* Segment m, of count tokens, becomes a latent: its sums' means; the sums are emptied. */
static void close_segment(struct at_attn_state *a, struct work *w, int64_t m, size_t count)
{
    size_t d = a->shape.head_dim, slot = (size_t)m % a->latents;
    double centre = (double)(a->start + m * (int64_t)a->segment) + ((double)a->segment - 1) / 2;
    const float *cos = a->shape.rope_base > 0 ? w->centre[0] : NULL;
    if (cos)
        a->kernels->rope_table(a->freq, d / 2, centre, 1, w->centre[0], w->centre[1]);
    for (size_t h = 0; h < a->shape.n_heads; h++) {
        char *keys = a->latent_keys + h * at_parts_key_bytes(&a->shape, a->latents);
        char *values = a->latent_values + h * at_parts_value_bytes(&a->shape, a->latents);
        for (size_t i = 0; i < d; i++)
            w->mean[i] = a->key_sum[h * d + i] / (float)count;
        at_parts_store_keys(a->kernels, &a->shape, w->mean, d, 1, cos, w->centre[1], keys, slot);
        for (size_t i = 0; i < d; i++)
            w->mean[i] = a->value_sum[h * d + i] / (float)count;
        at_parts_store_values(a->kernels, &a->shape, w->mean, d, 1, values, slot);
    }
    clear_sums(a);
}

/* The oldest segment that a query of segment s sees. */
static int64_t oldest_segment(const struct at_attn_state *a, int64_t s)
{
    int64_t kept = (int64_t)(a->shape.window ? a->shape.window / a->segment : a->latents);
    return s - kept + 1 > 0 ? s - kept + 1 : 0;
}

/* Slots from..from+count-1, seen by every query of the job. */
static void attend_all(const struct at_attn_state *a, struct at_attend *job, const struct work *w,
                       size_t from, size_t count)
{
    for (size_t i = 0; i < job->n; i++) {
        w->queries.lo[i] = (int32_t)from;
        w->queries.hi[i] = (int32_t)(from + count);
    }
    if (count)
        at_parts_attend(a->kernels, &a->shape, job);
}

/* Mask causal: queries of one head at offset.. in segment s; their own tokens are in the ring. */
static void attend_causal(const struct at_attn_state *a, const struct work *w, size_t h, size_t n,
                          int64_t s, size_t offset)
{
    struct at_attend job = at_parts_job(&a->shape, &w->queries, n);
    size_t own = (size_t)(s % 2) * a->segment, other = a->segment - own;
    int64_t oldest = oldest_segment(a, s);
    bool before = s >= 1 && oldest <= s - 1;
    a->kernels->attend_begin(&job);
    choose_exact(a, h, &job);
    if (before && own == 0)
        attend_all(a, &job, w, other, a->segment);
    for (size_t i = 0; i < n; i++) { /* where segment s-1 lies just before, one call serves both */
        w->queries.lo[i] = (int32_t)(before && own ? other : own);
        w->queries.hi[i] = (int32_t)(own + offset + i + 1);
    }
    at_parts_attend(a->kernels, &a->shape, &job);
    if (oldest > s - 2)
        return;
    choose_latents(a, h, a->segment, &job);
    at_parts_attend_ring(a->kernels, &a->shape, &w->queries, &job, a->latents, oldest,
                         (size_t)(s - 1 - oldest), oldest, 0);
}

/* Mask none: queries of one head in segment s of a whole sequence of n_all tokens. */
static void attend_none(const struct at_attn_state *a, const struct work *w, size_t h, size_t n,
                        int64_t s, size_t n_all)
{
    struct at_attend job = at_parts_job(&a->shape, &w->queries, n);
    size_t size = a->segment, partial = n_all % size, whole = n_all / size, next = (size_t)s + 2;
    size_t oldest = (size_t)oldest_segment(a, s), before = s >= 1 ? (size_t)s - 1 : 0;
    size_t from = (before > oldest ? before : oldest) * size,
           end = next * size < n_all ? next * size : n_all;
    a->kernels->attend_begin(&job);
    choose_exact(a, h, &job);
    attend_all(a, &job, w, from, end - from);
    choose_latents(a, h, size, &job);
    attend_all(a, &job, w, oldest, before > oldest ? before - oldest : 0);
    attend_all(a, &job, w, next, whole > next ? whole - next : 0);
    if (partial && whole >= next) {
        choose_latents(a, h, partial, &job);
        attend_all(a, &job, w, whole, 1);
    }
}

/* Queries of segment s, n of them from offset on in it (q, out: (n, H, D)); cos, sin: their angles.
 * n_all: 0 with mask causal, else the tokens in all. */
static void answer(const struct at_attn_state *a, const struct work *w, const float *q, size_t n,
                   int64_t s, size_t offset, size_t n_all, const float *cos, const float *sin,
                   float *out)
{
    size_t d = a->shape.head_dim, width = a->shape.n_heads * d;
    for (size_t h = 0; h < a->shape.n_heads; h++) {
        at_parts_queries_fill(a->kernels, &a->shape, q + h * d, width, n, cos, sin, &w->queries);
        if (n_all)
            attend_none(a, w, h, n, s, n_all);
        else
            attend_causal(a, w, h, n, s, offset);
        struct at_attend job = at_parts_job(&a->shape, &w->queries, n);
        a->kernels->attend_end(&job, out + h * d, width);
    }
}

/* A whole sequence at once: all segments are stored and closed first, in the workspace. */
static void run_none(struct at_attn_state *a, struct work *w, const float *q, const float *k,
                     const float *v, size_t n, float *out)
{
    size_t width = (size_t)a->shape.n_heads * a->shape.head_dim,
           row = at_parts_frequencies(&a->shape);
    bool rope = a->shape.rope_base > 0;
    size_t bytes = lay_out_cache(w->cache, &a->shape, a);
    memset(w->cache, 0, bytes); /* sums begin at 0, and bf16 pairs must be finite */
    for (size_t at = 0, count; at < n; at += count) {
        count = n - at < a->segment ? n - at : a->segment;
        store(a, k + at * width, v + at * width, count, at, rope ? w->cos + at * row : NULL,
              w->sin + at * row);
        close_segment(a, w, (int64_t)(at / a->segment), count);
    }
    for (size_t at = 0, count; at < n; at += count) {
        count = n - at < a->segment ? n - at : a->segment;
        answer(a, w, q + at * width, count, (int64_t)(at / a->segment), 0, n,
               rope ? w->cos + at * row : NULL, w->sin + at * row, out + at * width);
    }
}

static void latent_run(struct at_attn_state *a, void *work, const float *q, const float *k,
                       const float *v, size_t n, float *out)
{
    size_t width = (size_t)a->shape.n_heads * a->shape.head_dim,
           row = at_parts_frequencies(&a->shape);
    struct work w;
    lay_out(work, &a->shape, &w);
    bool rope = a->shape.rope_base > 0;
    if (rope)
        a->kernels->rope_table(a->freq, a->shape.head_dim / 2, (double)(a->start + a->n), n, w.cos,
                               w.sin);
    if (!a->cache) {
        run_none(a, &w, q, k, v, n, out);
        return;
    }
    for (size_t at = 0, count; at < n; at += count) {
        int64_t s = a->n / (int64_t)a->segment;
        size_t offset = (size_t)(a->n % (int64_t)a->segment), left = a->segment - offset;
        const float *cos = rope ? w.cos + at * row : NULL, *sin = w.sin + at * row;
        count = n - at < left ? n - at : left;
        store(a, k + at * width, v + at * width, count, (size_t)(s % 2) * a->segment + offset, cos,
              sin);
        if (q)
            answer(a, &w, q + at * width, count, s, offset, 0, cos, sin, out + at * width);
        a->n += (int64_t)count;
        if (count == left)
            close_segment(a, &w, s, a->segment);
    }
}

/* A segment that has closed keeps its means alone. */
static int latent_read(const struct at_attn_state *a, void *work, int64_t first, size_t n, float *k,
                       float *v)
{
    return -ENOTSUP;
}

extern const struct at_attn_backend at_backend_latent;
const struct at_attn_backend at_backend_latent = {
    .version = AT_ATTN_BACKEND_VERSION,
    .name = "latent",
    .summary = "exact near tokens, one latent per older segment: the cache grows as W / S",
    .caps = AT_TILED_CAPS | AT_CAP_SEGMENTS,
    .max_nmse_fp32 = 1e-10,
    .max_nmse_bf16 = 1e-4,
    .probe = latent_probe,
    .create = latent_create,
    .run = latent_run,
    .reset = latent_reset,
    .seed = latent_seed,
    .loss = 2,
    .read = latent_read,
    .destroy = latent_destroy,
};
