/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernels/kernels.h"
#include "lib/model/encoder.h"
#include "tools/verify.h"

#define MAX_NMSE_FP32   1e-10
#define MAX_NMSE_BF16   1e-4
#define MAX_NMSE_STREAM 1e-8

struct model_case {
    const char *name;
    const struct at_model *model;
    const struct at_tensor *frames; /* (L, n_bins + n_aux) */
    bool golden;                    /* a model's own golden.*, which has no streams */
    size_t chunk;                   /* of stream.<backend>; 0: none */
    const struct verify_sink *sink;
};

struct expectation {
    const struct at_tensor *logits, *stream; /* (n_classes), (n_chunks, n_classes) or NULL */
};

static int expect(const struct model_case *c, const char *backend, struct expectation *ret,
                  struct at_error *err)
{
    const struct at_safetensors *f = c->model->file;
    uint32_t n = c->model->config.n_classes;
    ret->logits = verify_expected(f, c->golden ? "golden.logits." : "logits.", backend);
    ret->stream = c->chunk ? verify_expected(f, "stream.", backend) : NULL;
    if (ret->logits && ret->logits->n != n)
        return at_error_set(err, -EINVAL, "tensor %s must have %u values", ret->logits->name, n);
    if (ret->stream && ret->stream->n != c->frames->shape[0] / c->chunk * n)
        return at_error_set(err, -EINVAL, "tensor %s must have %zu rows of %u", ret->stream->name,
                            c->frames->shape[0] / c->chunk, n);
    return 0;
}

/* Pushes all frames, chunk at a time (0: at once), adding what differs from the streams and the
 * final logits. */
static int push_all(const struct model_case *c, const struct at_encoder *e,
                    const struct at_session_shape *shape, size_t chunk,
                    const struct expectation *want, struct verify_sum *ret_end,
                    struct verify_sum *ret_stream, struct at_error *err)
{
    struct at_session *s = NULL;
    struct at_worker *w = NULL;
    float logits[AT_MAX_CLASSES];
    size_t n = c->frames->shape[0], width = c->frames->shape[1],
           n_classes = c->model->config.n_classes;
    int r = at_worker_create(e, shape, 1, err, &w);
    if (r == 0)
        r = at_session_create(e, shape, err, &s);
    for (size_t at = 0; r == 0 && at < n;) {
        size_t some = chunk && n - at > chunk ? chunk : n - at;
        at_session_push(s, w, c->frames->data + at * width, some, width);
        at += some;
        at_session_logits(s, logits);
        if (want->stream && at % c->chunk == 0)
            verify_add(ret_stream, logits, want->stream->data + (at / c->chunk - 1) * n_classes,
                       n_classes);
        if (at == n)
            verify_add(ret_end, logits, want->logits->data, n_classes);
    }
    at_session_destroy(s);
    at_worker_destroy(w);
    return r;
}

static int run_one(const struct model_case *c, const struct at_encoder *e,
                   const struct at_attn_backend *b, const char *kernel, enum at_mode mode,
                   size_t chunk, struct at_error *err)
{
    struct expectation want;
    size_t n = c->frames->shape[0];
    int r = expect(c, b->name, &want, err);
    if (r < 0 || !want.logits)
        return r;
    struct at_session_shape shape = {.backend = b,
                                     .mode = mode,
                                     .max_new = (uint32_t)(chunk ? chunk : n),
                                     .capacity = (uint32_t)n};
    struct verify_sum end = {0}, stream = {0};
    r = push_all(c, e, &shape, chunk, &want, &end, &stream, err);
    if (r < 0)
        return r;
    double end_nmse = verify_nmse(&end), stream_nmse = verify_nmse(&stream);
    struct verify_line line = {
        .name = c->name, .backend = b->name, .kernel = kernel, .mode = mode, .chunk = chunk};
    line.nmse = stream_nmse > end_nmse ? stream_nmse : end_nmse;
    line.ok = mode == AT_MODE_BF16 ? line.nmse <= MAX_NMSE_BF16
                                   : end_nmse <= MAX_NMSE_FP32 && stream_nmse <= MAX_NMSE_STREAM;
    c->sink->line(c->sink->ctx, &line);
    return 0;
}

static int run_kernel(const struct model_case *c, const struct at_kernels *k, struct at_error *err)
{
    const size_t chunks[] = {0, c->chunk, 1, 7, 32, 64};
    struct at_encoder *e = NULL;
    int r = at_encoder_create(NULL, c->model, k, err, &e);
    for (size_t b = 0; r == 0 && at_attn_registry[b]; b++)
        for (int mode = AT_MODE_FP32; mode <= AT_MODE_BF16; mode++) {
            if (mode == AT_MODE_BF16 && !(at_attn_registry[b]->caps & AT_CAP_BF16))
                continue;
            for (size_t i = 0; i < 6 && r == 0; i++) {
                bool again = i > 1 && chunks[i] == c->chunk,
                     whole = chunks[i] >= c->frames->shape[0];
                bool streams =
                    c->model->config.mask == AT_MASK_CAUSAL && chunks[i] > 0 && !again && !whole;
                if (i == 0 || streams)
                    r = run_one(c, e, at_attn_registry[b], k->name, (enum at_mode)mode, chunks[i],
                                err);
            }
        }
    at_encoder_destroy(e);
    return r;
}

static int load_case(struct model_case *c, struct at_error *err)
{
    const struct at_safetensors *f = c->model->file;
    const struct at_model_config *config = &c->model->config;
    const char *chunk = at_safetensors_meta(f, "chunk");
    c->frames = at_safetensors_find(f, "frames");
    if (!c->frames) {
        c->frames = at_safetensors_find(f, "golden.frames");
        c->golden = true;
    }
    if (!c->frames)
        return at_error_set(err, -EINVAL, "no golden.frames to verify with");
    if (c->frames->n_dims != 2 || c->frames->shape[1] != config->n_bins + config->n_aux ||
        c->frames->shape[0] > 1u << 20)
        return at_error_set(err, -EINVAL, "tensor %s must be (tokens, %u)", c->frames->name,
                            config->n_bins + config->n_aux);
    c->chunk = chunk && config->mask == AT_MASK_CAUSAL && atol(chunk) > 0 ? (size_t)atol(chunk) : 0;
    return 0;
}

int verify_model(struct at_safetensors *f, const char *name, const struct verify_sink *sink,
                 struct at_error *err)
{
    struct at_model *m = NULL;
    int r = at_model_from_file(NULL, f, err, &m);
    if (r < 0) {
        at_safetensors_destroy(f);
        return r;
    }
    struct model_case c = {.name = name, .model = m, .sink = sink};
    r = load_case(&c, err);
    const struct at_kernels *k;
    for (size_t i = 0; r == 0 && (k = at_kernels_at(i)); i++)
        r = run_kernel(&c, k, err);
    at_model_destroy(m);
    return r;
}
