/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/backends/parity.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

double parity_nmse(const float *a, const double *b, size_t n)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]))
            return NAN;
        error += (a[i] - b[i]) * (a[i] - b[i]);
        power += b[i] * b[i];
    }
    return error / power;
}

uint64_t parity_random(uint64_t *seed, uint64_t below)
{
    uint64_t z = *seed += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (z ^ z >> 31) % below;
}

void parity_noise(uint64_t *seed, float sigma, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        double u = ((double)parity_random(seed, 1u << 30) + 1) / (1u << 30);
        double v = (double)parity_random(seed, 1u << 30) / (1u << 30);
        out[i] = (float)(sigma * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
    }
}

void parity_fill(struct parity_case *c, uint64_t seed)
{
    size_t size = c->n * c->shape.n_heads * c->shape.head_dim;
    c->q = malloc(size * sizeof *c->q);
    c->k = malloc(size * sizeof *c->k);
    c->v = malloc(size * sizeof *c->v);
    parity_noise(&seed, 1.5f, size, c->q);
    parity_noise(&seed, 1.5f, size, c->k);
    parity_noise(&seed, 1.0f, size, c->v);
}

void parity_free(struct parity_case *c)
{
    free(c->q);
    free(c->k);
    free(c->v);
}

/* x (dim) at pos, rotated by halves -> out. */
static void rotate(const struct at_attn_shape *s, const double *x, double pos, double *out)
{
    size_t half = s->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        double angle = s->rope_base > 0 ? pos * pow(s->rope_base, -(double)i / (double)half) : 0;
        out[i] = x[i] * cos(angle) - x[half + i] * sin(angle);
        out[half + i] = x[i] * sin(angle) + x[half + i] * cos(angle);
    }
}

/* One head in float64. rows of k and v: what queries may see, tokens first, then latents. */
struct head {
    const struct parity_case *c;
    size_t n, segment, n_segments;
    double *q, *k, *v;           /* (n, dim), q and k rotated */
    double *latent_k, *latent_v; /* (n_segments, dim) */
};

static void load(struct head *a, const char *backend, size_t h)
{
    const struct at_attn_shape *s = &a->c->shape;
    size_t d = s->head_dim, heads = strcmp(backend, "gqa") == 0 ? s->n_heads / s->kv_groups : 1,
           first = h / heads * heads;
    double key[256], value[256];
    memset(a->latent_k, 0, a->n_segments * d * sizeof *a->latent_k);
    memset(a->latent_v, 0, a->n_segments * d * sizeof *a->latent_v);
    for (size_t t = 0; t < a->n; t++) {
        double query[256];
        size_t m = t / a->segment;
        size_t members = a->n - m * a->segment < a->segment ? a->n - m * a->segment : a->segment;
        for (size_t i = 0; i < d; i++) {
            query[i] = a->c->q[(t * s->n_heads + h) * d + i];
            key[i] = value[i] = 0;
            for (size_t g = first; g < first + heads; g++) {
                key[i] += a->c->k[(t * s->n_heads + g) * d + i] / (double)heads;
                value[i] += a->c->v[(t * s->n_heads + g) * d + i] / (double)heads;
            }
            a->latent_k[m * d + i] += key[i] / (double)members;
            a->latent_v[m * d + i] += value[i] / (double)members;
        }
        rotate(s, query, (double)(a->c->start + (int64_t)t), a->q + t * d);
        rotate(s, key, (double)(a->c->start + (int64_t)t), a->k + t * d);
        memcpy(a->v + t * d, value, d * sizeof *value);
    }
    for (size_t m = 0; m < a->n_segments; m++) {
        memcpy(key, a->latent_k + m * d, d * sizeof *key);
        rotate(s, key,
               (double)a->c->start + (double)(m * a->segment) + ((double)a->segment - 1) / 2,
               a->latent_k + m * d);
    }
}

/* Weight exp(score + bias) of key k for query i; added into sum and out (dim) with value v. */
static void add(const struct head *a, size_t i, const double *k, const double *v, double bias,
                double *sum, double *out)
{
    size_t d = a->c->shape.head_dim;
    double score = bias;
    for (size_t e = 0; e < d; e++)
        score += a->q[i * d + e] * k[e] / sqrt((double)d);
    double w = exp(score);
    *sum += w;
    for (size_t e = 0; e < d; e++)
        out[e] += w * v[e];
}

static void exact(const struct head *a, size_t i, double *sum, double *out)
{
    const struct at_attn_shape *s = &a->c->shape;
    for (size_t j = 0; j < a->n; j++) {
        bool seen = s->mask == AT_MASK_NONE || j <= i;
        if (seen && (!s->window || j + s->window > i))
            add(a, i, a->k + j * s->head_dim, a->v + j * s->head_dim, 0, sum, out);
    }
}

static void latent(const struct head *a, size_t i, double *sum, double *out)
{
    const struct at_attn_shape *s = &a->c->shape;
    size_t d = s->head_dim, own = i / a->segment, kept = s->window / a->segment;
    for (size_t m = 0; m < a->n_segments; m++) {
        if ((s->window && m + kept <= own) || (s->mask == AT_MASK_CAUSAL && m > own))
            continue;
        size_t members = a->n - m * a->segment < a->segment ? a->n - m * a->segment : a->segment;
        if (m + 1 < own || m > own + 1) {
            add(a, i, a->latent_k + m * d, a->latent_v + m * d, log((double)members), sum, out);
            continue;
        }
        for (size_t j = m * a->segment; j < m * a->segment + members; j++)
            if (s->mask == AT_MASK_NONE || j <= i)
                add(a, i, a->k + j * d, a->v + j * d, 0, sum, out);
    }
}

void parity_group_means(const struct parity_case *c, size_t until, float *k, float *v)
{
    size_t h = c->shape.n_heads, d = c->shape.head_dim, heads = h / c->shape.kv_groups;
    memcpy(k, c->k, c->n * h * d * sizeof *k);
    memcpy(v, c->v, c->n * h * d * sizeof *v);
    for (size_t i = 0; i < until * h * d; i++) {
        size_t first = i / d / heads * heads * d + i % d; /* rows of H heads hold whole groups */
        double key = 0, value = 0;
        for (size_t g = 0; g < heads; g++) {
            key += c->k[first + g * d];
            value += c->v[first + g * d];
        }
        k[i] = (float)(key / (double)heads);
        v[i] = (float)(value / (double)heads);
    }
}

void parity_reference(const struct parity_case *c, const char *backend, double *out)
{
    size_t d = c->shape.head_dim, width = c->shape.n_heads * d, s = c->shape.segment;
    struct head a = {.c = c, .n = c->n, .segment = s, .n_segments = (c->n + s - 1) / s};
    a.q = calloc((3 * a.n + 2 * a.n_segments) * d, sizeof *a.q);
    a.k = a.q + a.n * d;
    a.v = a.k + a.n * d;
    a.latent_k = a.v + a.n * d;
    a.latent_v = a.latent_k + a.n_segments * d;
    for (size_t h = 0; h < c->shape.n_heads; h++) {
        load(&a, backend, h);
        for (size_t i = 0; i < c->n; i++) {
            double sum = 0, y[256] = {0};
            if (strcmp(backend, "latent") == 0)
                latent(&a, i, &sum, y);
            else
                exact(&a, i, &sum, y);
            for (size_t e = 0; e < d; e++)
                out[i * width + h * d + e] = y[e] / sum;
        }
    }
    free(a.q);
}

void parity_run(const struct parity_case *c, const struct at_attn_backend *b,
                const struct at_kernels *kernels, size_t chunk, float *out)
{
    struct at_mem mem = {0};
    const struct at_attn_host host = {.mem = &mem, .kernels = kernels};
    struct at_attn_shape s = c->shape;
    struct at_attn_cost cost;
    struct at_attn *a = NULL;
    struct at_error err = {""};
    size_t width = s.n_heads * s.head_dim;
    s.max_new = (uint32_t)chunk;
    assert_int_equal(b->probe(&s, &cost), 0);
    if (at_attn_create(&host, b, &s, &err, &a) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(atomic_load(&mem.bytes[AT_MEM_KV]), cost.cache_bytes);
    unsigned char *block = aligned_alloc(64, cost.workspace_bytes / 64 * 64 + 128);
    memset(block, 0xff,
           cost.workspace_bytes / 64 * 64 + 128); /* NaN: contents are undefined before a run */
    at_attn_reset(a, c->start);
    for (size_t at = 0, n; at < c->n; at += n) {
        n = c->n - at < chunk ? c->n - at : chunk;
        at_attn_run(a, block, c->q + at * width, c->k + at * width, c->v + at * width, n,
                    out + at * width);
    }
    for (size_t i = cost.workspace_bytes; i < cost.workspace_bytes / 64 * 64 + 128; i++)
        assert_int_equal(block[i], 0xff); /* nothing behind the workspace was written */
    free(block);
    at_attn_destroy(a);
    for (int t = 0; t < AT_MEM_TAGS; t++)
        assert_int_equal(atomic_load(&mem.bytes[t]), 0);
}
