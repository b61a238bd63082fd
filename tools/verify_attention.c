/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernels/kernels.h"
#include "tools/verify.h"

struct attention_case {
    const char *name;
    const struct at_safetensors *f;
    const struct at_tensor *q, *k, *v; /* (L, H, D) */
    struct at_attn_shape shape;        /* one run over all L tokens, fp32 */
    int64_t start;
    float *out; /* (L, H, D) */
    const struct verify_sink *sink;
};

/* Metadata is strings: "64", "10000.0", "causal". */
static int number(const struct at_safetensors *f, const char *key, double max, double *ret,
                  struct at_error *err)
{
    const char *text = at_safetensors_meta(f, key);
    char *end = NULL;
    double v = text ? strtod(text, &end) : NAN;
    if (!text || !*text || *end || !(v >= 0 && v <= max))
        return at_error_set(err, -EINVAL, "metadata %s must be a number from 0 to %g", key, max);
    *ret = v;
    return 0;
}

static int load_shape(struct attention_case *a, struct at_error *err)
{
    const char *mask = at_safetensors_meta(a->f, "mask");
    double window = 0, base = 0, start = 0, groups = 1, segment = 1;
    int r;
    if (a->q->n_dims != 3 || memcmp(a->q->shape, a->k->shape, sizeof a->q->shape) != 0 ||
        memcmp(a->q->shape, a->v->shape, sizeof a->q->shape) != 0)
        return at_error_set(err, -EINVAL, "q, k, v must have one shape (tokens, heads, width)");
    if (a->q->shape[0] > 1u << 20 || a->q->shape[1] > 64 || a->q->shape[2] > 256)
        return at_error_set(err, -EINVAL, "more than 2^20 tokens, 64 heads or a width of 256");
    if (!mask || (strcmp(mask, "causal") != 0 && strcmp(mask, "none") != 0))
        return at_error_set(err, -EINVAL, "metadata mask must be causal or none");
    if ((r = number(a->f, "window", 1 << 20, &window, err)) < 0 ||
        (r = number(a->f, "rope_base", 1e12, &base, err)) < 0 ||
        (r = number(a->f, "start", 9e15, &start, err)) < 0 ||
        (r = number(a->f, "kv_groups", 64, &groups, err)) < 0 ||
        (r = number(a->f, "segment", 1 << 20, &segment, err)) < 0)
        return r;
    a->start = (int64_t)start;
    a->shape = (struct at_attn_shape){
        .n_heads = (uint32_t)a->q->shape[1],
        .head_dim = (uint32_t)a->q->shape[2],
        .kv_groups = (uint32_t)groups,
        .segment = (uint32_t)segment,
        .window = (uint32_t)window,
        .capacity = window > 0 ? (uint32_t)window : (uint32_t)a->q->shape[0],
        .max_new = (uint32_t)a->q->shape[0],
        .mask = strcmp(mask, "none") == 0 ? AT_MASK_NONE : AT_MASK_CAUSAL,
        .rope_base = base,
    };
    return 0;
}

/* chunk 0: all in one run. */
static int run_one(const struct attention_case *a, const struct at_attn_backend *b,
                   const struct at_kernels *k, enum at_mode mode, size_t chunk,
                   struct at_error *err)
{
    const struct at_tensor *want = verify_expected(a->f, "out.", b->name);
    if (!want)
        return 0; /* the file knows nothing of this backend */
    if (want->n != a->q->n)
        return at_error_set(err, -EINVAL, "tensor %s has another size than q", want->name);
    struct at_attn_shape shape = a->shape;
    const struct at_attn_host host = {.kernels = k};
    struct at_attn *attn = NULL;
    struct at_attn_report report;
    size_t n = a->q->shape[0], width = a->q->shape[1] * a->q->shape[2];
    shape.mode = mode;
    shape.max_new = (uint32_t)(chunk ? chunk : n);
    int r = at_attn_create(&host, b, &shape, err, &attn);
    if (r < 0)
        return r;
    at_attn_get_report(attn, &report);
    void *work = at_mem_alloc(NULL, AT_MEM_WORKSPACE, report.workspace_bytes + 64);
    if (!work) {
        at_attn_destroy(attn);
        return at_error_set(err, -ENOMEM, "no memory");
    }
    at_attn_reset(attn, a->start);
    for (size_t at = 0; at < n; at += shape.max_new) {
        size_t some = n - at < shape.max_new ? n - at : shape.max_new;
        at_attn_run(attn, work, a->q->data + at * width, a->k->data + at * width,
                    a->v->data + at * width, some, a->out + at * width);
    }
    struct verify_sum sum = {0};
    verify_add(&sum, a->out, want->data, want->n);
    struct verify_line line = {
        .name = a->name, .backend = b->name, .kernel = k->name, .mode = mode, .chunk = chunk};
    line.nmse = verify_nmse(&sum);
    line.ok = line.nmse <= (mode == AT_MODE_BF16 ? b->max_nmse_bf16 : b->max_nmse_fp32);
    a->sink->line(a->sink->ctx, &line);
    at_mem_free(NULL, work);
    at_attn_destroy(attn);
    return 0;
}

static int run_backend(const struct attention_case *a, const struct at_attn_backend *b,
                       const struct at_kernels *k, struct at_error *err)
{
    static const size_t chunks[] = {0, 1, 7, 32, 64};
    int r = 0;
    for (int mode = AT_MODE_FP32; mode <= AT_MODE_BF16; mode++) {
        if (mode == AT_MODE_BF16 && !(b->caps & AT_CAP_BF16))
            continue;
        for (size_t i = 0; i < 5 && r == 0; i++)
            if (i == 0 || (a->shape.mask == AT_MASK_CAUSAL && chunks[i] < a->q->shape[0]))
                r = run_one(a, b, k, (enum at_mode)mode, chunks[i], err);
    }
    return r;
}

int verify_attention(const struct at_safetensors *f, const char *name,
                     const struct verify_sink *sink, struct at_error *err)
{
    struct attention_case a = {.name = name, .f = f, .sink = sink};
    a.q = at_safetensors_find(f, "q");
    a.k = at_safetensors_find(f, "k");
    a.v = at_safetensors_find(f, "v");
    if (!a.q || !a.k || !a.v)
        return at_error_set(err, -EINVAL, "no tensors q, k and v");
    int r = load_shape(&a, err);
    if (r < 0)
        return r;
    a.out = at_mem_array(NULL, AT_MEM_OTHER, a.q->n, sizeof *a.out);
    if (!a.out)
        return at_error_set(err, -ENOMEM, "no memory");
    const struct at_kernels *k;
    for (size_t i = 0; r == 0 && (k = at_kernels_at(i)); i++)
        for (size_t b = 0; r == 0 && at_attn_registry[b]; b++)
            r = run_backend(&a, at_attn_registry[b], k, err);
    at_mem_free(NULL, a.out);
    return r;
}
