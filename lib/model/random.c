/* A model of seeded random weights, for measuring speed without a file. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>

#include "lib/base/sha256.h"
#include "lib/model/model_impl.h"

struct at_model_config at_model_reference_point(uint32_t window)
{
    return (struct at_model_config){
        .n_bins = 128,
        .d_model = 128,
        .n_layers = 4,
        .n_heads = 4,
        .d_ff = 256,
        .n_classes = 17,
        .window = window,
        .kv_groups = 2,
        .segment = window > 4096 ? 64 : 32,
        .pool_block = 32,
        .mask = AT_MASK_CAUSAL,
        .norm = AT_NORM_RMS,
        .rope_base = 1e4,
    };
}

/* Hands out pieces of one block; base NULL only counts. */
struct filler {
    float *base;
    size_t at;
    uint64_t state;
};

/* splitmix64 (Steele, Lea, Flood 2014), upper 53 bits. */
static double uniform(struct filler *f)
{
    uint64_t z = f->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* n values of mean and standard deviation (uniform, which is all that speed asks for). */
static const float *fill(struct filler *f, size_t n, double mean, double deviation)
{
    size_t at = f->at;
    f->at += (n + 15) / 16 * 16;
    if (!f->base)
        return NULL;
    for (size_t i = 0; i < n; i++)
        f->base[at + i] = (float)(mean + deviation * sqrt(12) * (uniform(f) - 0.5));
    return f->base + at;
}

/* Weights keep the variance of what they act on: deviation 1 / sqrt(inputs). */
static const float *fill_matrix(struct filler *f, size_t rows, size_t cols)
{
    return fill(f, rows * cols, 0, 1 / sqrt((double)cols));
}

static void fill_all(struct filler *f, struct at_model *m)
{
    const struct at_model_config *c = &m->config;
    size_t d = c->d_model;
    m->embed_w = fill_matrix(f, d, c->n_bins + c->n_aux);
    m->embed_b = fill(f, d, 0, 0.1);
    for (uint32_t i = 0; i < c->n_layers; i++)
        m->layers[i] = (struct at_layer_weights){
            .norm1_w = fill(f, d, 1, 0.1),
            .q = fill_matrix(f, d, d),
            .k = fill_matrix(f, d, d),
            .v = fill_matrix(f, d, d),
            .o = fill_matrix(f, d, d),
            .norm2_w = fill(f, d, 1, 0.1),
            .up = fill_matrix(f, c->d_ff, d),
            .down = fill_matrix(f, d, c->d_ff),
        };
    m->norm_w = fill(f, d, 1, 0.1);
    m->head_w = fill_matrix(f, c->n_classes, d);
    m->head_b = fill(f, c->n_classes, 0, 0.1);
}

static void describe(struct at_model *m, uint64_t seed, size_t n)
{
    struct at_sha256 s;
    char shape[96]; /* what the weights themselves don't show */
    int len = snprintf(shape, sizeof shape, "%u %u %u %u %u %u %g", m->config.window,
                       m->config.kv_groups, m->config.segment, m->config.pool_block,
                       (unsigned)m->config.mask, (unsigned)m->config.norm, m->config.rope_base);
    at_sha256_init(&s);
    at_sha256_push(&s, shape, (size_t)len);
    at_sha256_push(&s, m->random, n * sizeof *m->random);
    at_sha256_finish_hex(&s, m->digest);
    snprintf(m->name, sizeof m->name, "random-%llu", (unsigned long long)seed);
    for (uint32_t i = 0; i < m->config.n_classes; i++)
        snprintf(m->labels[i], AT_LABEL_SIZE, "class%u", i);
    for (uint32_t i = 0; i < m->config.n_aux; i++)
        m->aux_columns[i] = (int)i;
    m->segments[0] = m->config.segment;
    m->n_segments = 1;
}

int at_model_random(struct at_mem *mem, const struct at_model_config *c, uint64_t seed,
                    struct at_error *err, struct at_model **ret_model)
{
    struct at_model_config config = c ? *c : at_model_reference_point(1024);
    int r = at_model_check_config(&config, err);
    if (r < 0)
        return r;
    struct at_model *m = at_mem_alloc(mem, AT_MEM_WEIGHTS, sizeof *m);
    if (!m)
        return at_error_set(err, -ENOMEM, "no memory");
    m->mem = mem;
    m->config = config;
    struct filler count = {0}, f = {.state = seed};
    m->layers = at_mem_array(mem, AT_MEM_WEIGHTS, config.n_layers, sizeof *m->layers);
    if (m->layers) {
        fill_all(&count, m);
        m->random = f.base = at_mem_array(mem, AT_MEM_WEIGHTS, count.at, sizeof *f.base);
    }
    if (!m->random) {
        at_model_destroy(m);
        return at_error_set(err, -ENOMEM, "no memory for %zu weights", count.at);
    }
    fill_all(&f, m);
    describe(m, seed, count.at);
    *ret_model = m;
    return 0;
}
