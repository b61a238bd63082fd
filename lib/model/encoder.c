/* The layers: packed weights, and one pass of tokens through them. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include "lib/model/encoder_impl.h"

#include <sched.h>
#include <stdlib.h>

#include "lib/base/cpu.h"

/* Where the next matrix goes. */
struct room {
    float *fp32;
    uint16_t *split; /* NULL where the kernels want none */
};

/* w (rows, depth) in panels of fp32, and its pieces. */
static struct at_packed pack(struct room *at, const float *w, size_t rows, size_t depth)
{
    struct at_packed p = {.fp32 = at->fp32, .split = at->split, .n = rows, .k = depth};
    at_kernels_pack(w, rows, depth, at->fp32);
    at->fp32 += at_round_up(at_kernels_panel_floats(rows, depth), AT_LANE);
    if (at->split) {
        at_kernels_pack_split(w, rows, depth, at->split);
        at->split += at_kernels_split_values(rows, depth);
    }
    return p;
}

/* The same in both modes; both blocks are laid out alike, in values. */
static struct at_packed pack_both(const struct at_encoder *e, struct room *at, const float *w,
                                  size_t rows, size_t depth)
{
    uint16_t *bf16 = e->packed_bf16 + (at->fp32 - e->packed);
    at_kernels_pack_bf16(w, rows, depth, bf16);
    struct at_packed p = pack(at, w, rows, depth);
    p.bf16 = bf16;
    return p;
}

/* Of the layers; both modes take as many values. */
static size_t layer_values(const struct at_model_config *c)
{
    size_t d = c->d_model;
    size_t square = at_round_up(at_kernels_panel_floats(d, d), AT_LANE);
    size_t up = at_round_up(at_kernels_panel_floats(c->d_ff, d), AT_LANE);
    size_t down = at_round_up(at_kernels_panel_floats(d, c->d_ff), AT_LANE);
    return c->n_layers * (4 * square + up + down);
}

static size_t packed_floats(const struct at_model_config *c)
{
    size_t d = c->d_model, n_in = (size_t)c->n_bins + c->n_aux;
    return layer_values(c) + at_round_up(at_kernels_panel_floats(d, n_in), AT_LANE) +
           at_round_up(d, AT_LANE);
}

/* Pieces of the same; 0 where the kernels want none. */
static size_t split_values(const struct at_encoder *e)
{
    const struct at_model_config *c = &e->model->config;
    size_t d = c->d_model;
    if (!e->kernels->splits)
        return 0;
    return c->n_layers * (4 * at_kernels_split_values(d, d) + at_kernels_split_values(c->d_ff, d) +
                          at_kernels_split_values(d, c->d_ff)) +
           at_kernels_split_values(d, (size_t)c->n_bins + c->n_aux);
}

/* W [spectrum; (aux - shift) scale] + b = W' [spectrum; aux] + b'. w: scratch (d_model, n_bins +
 * n_aux). */
static void fold_aux(const struct at_model *m, float *w, float *bias)
{
    const struct at_model_config *c = &m->config;
    size_t n_in = (size_t)c->n_bins + c->n_aux;
    for (size_t r = 0; r < c->d_model; r++) {
        double b = m->embed_b[r];
        for (size_t i = 0; i < n_in; i++) {
            bool aux = i >= c->n_bins;
            double scale = aux && m->aux_scale ? m->aux_scale[i - c->n_bins] : 1;
            double shift = aux && m->aux_shift ? m->aux_shift[i - c->n_bins] : 0;
            w[r * n_in + i] = (float)(m->embed_w[r * n_in + i] * scale);
            b -= m->embed_w[r * n_in + i] * scale * shift;
        }
        bias[r] = (float)b;
    }
}

static int pack_all(struct at_encoder *e, struct at_error *err)
{
    const struct at_model_config *c = &e->model->config;
    size_t d = c->d_model, n_in = (size_t)c->n_bins + c->n_aux, pieces = split_values(e);
    e->layers = at_mem_array(e->mem, AT_MEM_WEIGHTS, c->n_layers, sizeof *e->layers);
    e->packed = at_mem_array(e->mem, AT_MEM_WEIGHTS, packed_floats(c), sizeof *e->packed);
    e->packed_bf16 = at_mem_array(e->mem, AT_MEM_WEIGHTS, layer_values(c), sizeof *e->packed_bf16);
    if (pieces)
        e->split = at_mem_array(e->mem, AT_MEM_WEIGHTS, pieces, sizeof *e->split);
    float *folded = at_mem_array(e->mem, AT_MEM_WEIGHTS, d * n_in, sizeof *folded);
    if (!e->layers || !e->packed || !e->packed_bf16 || (pieces && !e->split) || !folded) {
        at_mem_free(e->mem, folded);
        return at_error_set(err, -ENOMEM, "no memory for %zu bytes of packed weights",
                            packed_floats(c) * sizeof *e->packed + pieces * sizeof *e->split);
    }
    struct room at = {e->packed, e->split};
    for (size_t i = 0; i < c->n_layers; i++) {
        const struct at_layer_weights *w = &e->model->layers[i];
        e->layers[i] = (struct at_packed_layer){
            .q = pack_both(e, &at, w->q, d, d),
            .k = pack_both(e, &at, w->k, d, d),
            .v = pack_both(e, &at, w->v, d, d),
            .o = pack_both(e, &at, w->o, d, d),
            .up = pack_both(e, &at, w->up, c->d_ff, d),
            .down = pack_both(e, &at, w->down, d, c->d_ff),
        };
    }
    e->embed_b = at.fp32;
    fold_aux(e->model, folded, at.fp32);
    at.fp32 += at_round_up(d, AT_LANE);
    e->embed = pack(&at, folded, d, n_in);
    at_mem_free(e->mem, folded);
    return 0;
}

static int refuse_mask(struct at_error *err)
{
    char built[96], here[96];
    at_kernels_list(built, sizeof built);
    at_cpu_names(at_cpu_found(), here, sizeof here);
    return at_error_set(err, -ENOTSUP,
                        "no kernel variant is left by the CPU mask (ATTUNE_CPU_MASK); this build "
                        "has %s; this processor has %s",
                        built, here);
}

int at_encoder_create(struct at_mem *mem, const struct at_model *model,
                      const struct at_kernels *kernels, struct at_error *err,
                      struct at_encoder **ret_encoder)
{
    const struct at_model_config *c = &model->config;
    kernels = kernels ? kernels : at_kernels_best();
    if (!kernels)
        return refuse_mask(err);
    if (!c->n_heads || c->d_model % c->n_heads || !c->n_layers || !c->pool_block)
        return at_error_set(err, -EINVAL,
                            "the model has %u heads in width %u, %u layers, pool block %u",
                            c->n_heads, c->d_model, c->n_layers, c->pool_block);
    struct at_encoder *e = at_mem_alloc(mem, AT_MEM_OTHER, sizeof *e);
    if (!e)
        return at_error_set(err, -ENOMEM, "no memory for an encoder");
    e->mem = mem;
    e->model = model;
    e->kernels = kernels;
    int code = pack_all(e, err);
    if (code < 0) {
        at_encoder_destroy(e);
        return code;
    }
    *ret_encoder = e;
    return 0;
}

void at_encoder_destroy(struct at_encoder *e)
{
    if (!e)
        return;
    at_mem_free(e->mem, e->layers);
    at_mem_free(e->mem, e->packed);
    at_mem_free(e->mem, e->packed_bf16);
    at_mem_free(e->mem, e->split);
    at_mem_free(e->mem, e);
}

const struct at_model *at_encoder_model(const struct at_encoder *e)
{
    return e->model;
}

/* y (m, n) = x (m, k) w^T, or added to y, or its gelu. x and gelu are values of the mode. */
static void linear(const struct at_encoder *e, enum at_mode mode, const void *x,
                   const struct at_packed *p, size_t m, struct at_linear to)
{
    bool bf16 = mode == AT_MODE_BF16;
    to.x = x;
    to.w = bf16 ? (const void *)p->bf16 : p->fp32;
    to.split = p->split;
    to.m = m;
    to.n = p->n;
    to.k = p->k;
    to.x_stride = p->k;
    to.y_stride = p->n;
    (bf16 ? e->kernels->linear_bf16 : e->kernels->linear)(&to);
}

/* y: floats, or bf16 in that mode. */
static void norm(const struct at_encoder *e, enum at_mode mode, const float *x, const float *weight,
                 const float *bias, size_t n, void *y)
{
    const struct at_model_config *c = &e->model->config;
    (c->norm == AT_NORM_LAYER ? e->kernels->layernorm : e->kernels->rmsnorm)(
        x, weight, bias, n, c->d_model, y, mode == AT_MODE_BF16);
}

static void embed(const struct at_encoder *e, struct at_worker *w, const struct at_span *s,
                  size_t stride)
{
    const struct at_model_config *c = &e->model->config;
    e->kernels->linear(&(struct at_linear){
        .x = s->frames,
        .w = e->embed.fp32,
        .split = e->embed.split,
        .bias = e->embed_b,
        .y = w->x + s->row * c->d_model,
        .m = s->n,
        .n = e->embed.n,
        .k = e->embed.k,
        .x_stride = stride,
        .y_stride = c->d_model,
    });
}

/* The wait is short where each thread has a core, and gives way where it has none. */
void at_turn_wait(const struct at_worker *w, size_t i)
{
    if (!w->turns)
        return;
    for (unsigned spins = 0; atomic_load_explicit(&w->turns[i], memory_order_acquire) != w->turn;
         spins++) {
        if (spins < 1000)
            at_cpu_relax();
        else
            sched_yield();
    }
}

void at_turn_pass(const struct at_worker *w, size_t i)
{
    if (w->turns)
        atomic_store_explicit(&w->turns[i], w->turn + 1, memory_order_release);
}

static void layer(const struct at_encoder *e, struct at_worker *w, enum at_mode mode, size_t i,
                  size_t n_spans, size_t n)
{
    const struct at_model_config *c = &e->model->config;
    const struct at_layer_weights *norms = &e->model->layers[i];
    const struct at_packed_layer *p = &e->layers[i];
    bool bf16 = mode == AT_MODE_BF16;
    void *in = bf16 ? (void *)w->rounded : w->y, *attended = bf16 ? (void *)w->rounded : w->a;
    norm(e, mode, w->x, norms->norm1_w, norms->norm1_b, n, in);
    linear(e, mode, in, &p->q, n, (struct at_linear){.y = w->q});
    linear(e, mode, in, &p->k, n, (struct at_linear){.y = w->k});
    linear(e, mode, in, &p->v, n, (struct at_linear){.y = w->v});
    at_turn_wait(w, i);
    for (const struct at_span *s = w->spans; s < w->spans + n_spans; s++) {
        size_t at = s->row * c->d_model;
        at_attn_run(s->session->layers[i], w->work, w->q + at, w->k + at, w->v + at, s->n,
                    w->a + at);
    }
    at_turn_pass(w, i);
    if (bf16)
        e->kernels->to_bf16(w->a, n * c->d_model, w->rounded);
    linear(e, mode, attended, &p->o, n, (struct at_linear){.y = w->x, .add = true});
    norm(e, mode, w->x, norms->norm2_w, norms->norm2_b, n, in);
    linear(e, mode, in, &p->up, n, (struct at_linear){.gelu = w->ff});
    linear(e, mode, w->ff, &p->down, n, (struct at_linear){.y = w->x, .add = true});
}

void at_encoder_pass(const struct at_encoder *e, struct at_worker *w, enum at_mode mode,
                     size_t n_spans, size_t n, size_t stride)
{
    for (size_t i = 0; i < n_spans; i++)
        embed(e, w, &w->spans[i], stride);
    for (size_t i = 0; i < e->model->config.n_layers; i++)
        layer(e, w, mode, i, n_spans, n);
    norm(e, AT_MODE_FP32, w->x, e->model->norm_w, e->model->norm_b, n, w->y);
}
