/* Sessions: KV caches and pooled block sums of one emission; workers: the scratch of one thread.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/model/encoder_impl.h"

#include <string.h>

/* Tokens of one pass: enough to feed the linear layers, few enough to stay in the second-level
 * cache. */
#define PASS_ROWS 256

/* Fills what the caller left to the model, and the attention shape that follows; -EINVAL with the
 * reason. */
static int resolve(const struct at_encoder *e, struct at_session_shape *s, struct at_error *err,
                   struct at_attn_shape *ret)
{
    const struct at_model_config *c = &e->model->config;
    s->window = s->window ? s->window : c->window;
    s->segment = s->segment ? s->segment : c->segment;
    s->max_new = s->max_new ? s->max_new : 64;
    if (s->window)
        s->capacity = s->window;
    if (!s->capacity)
        return at_error_set(err, -EINVAL, "a session without a window needs a capacity");
    if (s->window % c->pool_block || !s->segment || s->window % s->segment)
        return at_error_set(
            err, -EINVAL, "window %u must be a multiple of the pool block %u and of the segment %u",
            s->window, c->pool_block, s->segment);
    if (s->mode == AT_MODE_BF16 && c->d_ff % 2)
        return at_error_set(err, -ENOTSUP, "bf16 needs an even d_ff, the model has %u", c->d_ff);
    uint32_t chunk = s->max_new < PASS_ROWS ? s->max_new : PASS_ROWS;
    *ret = (struct at_attn_shape){
        .n_heads = c->n_heads,
        .head_dim = c->d_model / c->n_heads,
        .kv_groups = c->kv_groups,
        .segment = s->segment,
        .window = s->window,
        .capacity = s->capacity,
        .max_new = c->mask == AT_MASK_NONE ? s->capacity : chunk,
        .mask = c->mask,
        .mode = s->mode,
        .rope_base = c->rope_base,
        .dropout = s->dropout,
    };
    return 0;
}

/* Blocks that the head pools over: W / P, or all of capacity. */
static size_t pool_blocks(const struct at_encoder *e, const struct at_session_shape *s)
{
    size_t block = e->model->config.pool_block;
    return (s->capacity + block - 1) / block;
}

static size_t pool_bytes(const struct at_encoder *e, const struct at_session_shape *s)
{
    return pool_blocks(e, s) * e->model->config.d_model * sizeof(float);
}

/* Rows of a worker's buffers for this shape; a batch of short pushes fills PASS_ROWS too. */
static size_t pass_rows(const struct at_attn_shape *a)
{
    return a->max_new > PASS_ROWS ? a->max_new : PASS_ROWS;
}

static size_t row_bytes(const struct at_encoder *e)
{
    const struct at_model_config *c = &e->model->config;
    return (6 * (size_t)c->d_model + c->d_ff) * sizeof(float) + c->d_model * sizeof(uint16_t) +
           sizeof(struct at_span);
}

static int probe(const struct at_encoder *e, struct at_session_shape *s, struct at_error *err,
                 struct at_attn_shape *a, struct at_attn_cost *ret_cost)
{
    int code = resolve(e, s, err, a);
    if (code < 0)
        return code;
    code = s->backend->probe(a, ret_cost);
    if (code < 0)
        return at_error_set(
            err, code, "backend %s cannot run window %u, segment %u, mask %s, mode %s, dropout %g",
            s->backend->name, s->window, s->segment, a->mask == AT_MASK_NONE ? "none" : "causal",
            at_mode_name(s->mode), (double)s->dropout);
    return 0;
}

int at_session_probe(const struct at_encoder *e, const struct at_session_shape *shape,
                     struct at_error *err, struct at_session_cost *ret_cost)
{
    const struct at_model_config *c = &e->model->config;
    struct at_session_shape s = *shape;
    struct at_attn_shape a;
    struct at_attn_cost attn;
    int code = probe(e, &s, err, &a, &attn);
    if (code < 0)
        return code;
    double d = c->d_model, n = c->mask == AT_MASK_NONE ? s.capacity : s.max_new;
    double per_token = 2 * d * (c->n_bins + c->n_aux) + c->n_layers * (8 * d * d + 4 * d * c->d_ff);
    *ret_cost = (struct at_session_cost){
        .flops = n * per_token + c->n_layers * attn.flops * n / a.max_new,
        .kv_bytes = c->n_layers * attn.cache_bytes,
        .pool_bytes = pool_bytes(e, &s),
        .workspace_bytes = attn.workspace_bytes + pass_rows(&a) * row_bytes(e),
    };
    return 0;
}

int at_worker_create(const struct at_encoder *e, const struct at_session_shape *shapes,
                     size_t n_shapes, struct at_error *err, struct at_worker **ret_worker)
{
    size_t rows = PASS_ROWS, work = 64, d = e->model->config.d_model;
    for (size_t i = 0; i < n_shapes; i++) {
        struct at_session_shape s = shapes[i];
        struct at_attn_shape a;
        struct at_attn_cost cost;
        int code = probe(e, &s, err, &a, &cost);
        if (code < 0)
            return code;
        rows = pass_rows(&a) > rows ? pass_rows(&a) : rows;
        work = cost.workspace_bytes > work ? cost.workspace_bytes : work;
    }
    struct at_worker *w = at_mem_alloc(e->mem, AT_MEM_OTHER, sizeof *w);
    if (!w)
        return at_error_set(err, -ENOMEM, "no memory for a worker");
    w->mem = e->mem;
    w->encoder = e;
    w->rows = rows;
    w->spans = at_mem_array(e->mem, AT_MEM_WORKSPACE, rows, sizeof *w->spans);
    w->x = at_mem_array(e->mem, AT_MEM_WORKSPACE, rows,
                        (6 * d + e->model->config.d_ff) * sizeof *w->x);
    w->rounded = at_mem_array(e->mem, AT_MEM_WORKSPACE, rows, d * sizeof *w->rounded);
    w->work = at_mem_alloc(e->mem, AT_MEM_WORKSPACE, work);
    if (!w->spans || !w->x || !w->rounded || !w->work) {
        at_worker_destroy(w);
        return at_error_set(err, -ENOMEM,
                            "no memory for a worker of %zu tokens and %zu bytes of workspace", rows,
                            work);
    }
    w->y = w->x + rows * d;
    w->q = w->y + rows * d;
    w->k = w->q + rows * d;
    w->v = w->k + rows * d;
    w->a = w->v + rows * d;
    w->ff = w->a + rows * d;
    *ret_worker = w;
    return 0;
}

void at_worker_destroy(struct at_worker *w)
{
    if (!w)
        return;
    at_mem_free(w->mem, w->spans);
    at_mem_free(w->mem, w->x);
    at_mem_free(w->mem, w->rounded);
    at_mem_free(w->mem, w->work);
    at_mem_free(w->mem, w);
}

int at_session_create(const struct at_encoder *e, const struct at_session_shape *shape,
                      struct at_error *err, struct at_session **ret_session)
{
    struct at_session_shape resolved = *shape;
    struct at_attn_shape a;
    struct at_attn_cost cost;
    int code = probe(e, &resolved, err, &a, &cost);
    if (code < 0)
        return code;
    struct at_session *s = at_mem_alloc(e->mem, AT_MEM_OTHER, sizeof *s);
    if (!s)
        return at_error_set(err, -ENOMEM, "no memory for a session");
    s->mem = e->mem;
    s->encoder = e;
    s->shape = resolved;
    s->chunk = a.max_new;
    s->blocks = pool_blocks(e, &resolved);
    s->layers = at_mem_array(e->mem, AT_MEM_OTHER, e->model->config.n_layers, sizeof *s->layers);
    s->mean = at_mem_array(e->mem, AT_MEM_OTHER, e->model->config.d_model, sizeof *s->mean);
    s->pool = at_mem_alloc(e->mem, AT_MEM_POOL, pool_bytes(e, &resolved));
    code = s->layers && s->mean && s->pool
               ? 0
               : at_error_set(err, -ENOMEM, "no memory for a session's pool");
    const struct at_attn_host host = {.mem = e->mem, .kernels = e->kernels};
    for (size_t i = 0; code == 0 && i < e->model->config.n_layers; i++)
        code = at_attn_create(&host, resolved.backend, &a, err, &s->layers[i]);
    if (code < 0) {
        at_session_destroy(s);
        return code;
    }
    *ret_session = s;
    return 0;
}

static void destroy_layers(struct at_mem *mem, struct at_attn **layers, size_t n)
{
    for (size_t i = 0; layers && i < n; i++)
        at_attn_destroy(layers[i]);
    at_mem_free(mem, layers);
}

void at_session_destroy(struct at_session *s)
{
    if (!s)
        return;
    destroy_layers(s->mem, s->layers, s->encoder->model->config.n_layers);
    at_mem_free(s->mem, s->mean);
    at_mem_free(s->mem, s->pool);
    at_mem_free(s->mem, s);
}

bool at_session_can_convert(const struct at_encoder *e, const struct at_session_shape *from,
                            const struct at_session_shape *to)
{
    struct at_session_shape a = *from, b = *to;
    struct at_attn_shape x, y;
    return resolve(e, &a, NULL, &x) == 0 && resolve(e, &b, NULL, &y) == 0 &&
           at_attn_can_convert(from->backend, &x, to->backend, &y);
}

int at_session_convert(struct at_session *s, struct at_worker *w, const struct at_session_shape *to,
                       struct at_error *err)
{
    const struct at_encoder *e = s->encoder;
    size_t n = e->model->config.n_layers;
    struct at_session_shape resolved = *to;
    struct at_attn_shape a;
    struct at_attn_cost cost;
    int code = probe(e, &resolved, err, &a, &cost);
    if (code < 0)
        return code;
    if (!at_session_can_convert(e, &s->shape, &resolved))
        return at_error_set(err, -ENOTSUP, "a cache of %s cannot become one of %s",
                            s->shape.backend->name, resolved.backend->name);
    struct at_attn **layers = at_mem_array(s->mem, AT_MEM_OTHER, n, sizeof(struct at_attn *));
    if (!layers)
        return at_error_set(err, -ENOMEM, "no memory for a session's layers");
    const struct at_attn_host host = {.mem = s->mem, .kernels = e->kernels};
    for (size_t i = 0; code == 0 && i < n; i++)
        code = at_attn_create(&host, resolved.backend, &a, err, &layers[i]);
    for (size_t i = 0; code == 0 && i < n; i++)
        code = at_attn_convert(s->layers[i], layers[i], w->work, w->k, w->v, w->rows);
    if (code < 0) {
        destroy_layers(s->mem, layers, n);
        return code;
    }
    destroy_layers(s->mem, s->layers, n);
    s->layers = layers;
    s->shape = resolved;
    s->chunk = a.max_new;
    return 0;
}

void at_session_pool(struct at_session *s, const float *y, size_t n)
{
    size_t d = s->encoder->model->config.d_model, size = s->encoder->model->config.pool_block;
    for (size_t t = 0; t < n; t++, s->tokens++) {
        float *sum = s->pool + s->tokens / size % s->blocks * d;
        if (s->tokens % size == 0)
            memset(sum, 0, d * sizeof *sum);
        s->encoder->kernels->axpy(1, y + t * d, d, sum);
    }
}

/* Runs the spans gathered so far; n rows in all. */
static void flush(struct at_worker *w, size_t n_spans, size_t n, size_t stride)
{
    const struct at_encoder *e = w->encoder;
    if (!n)
        return;
    at_encoder_pass(e, w, w->spans->session->shape.mode, n_spans, n, stride);
    for (const struct at_span *s = w->spans; s < w->spans + n_spans; s++)
        at_session_pool(s->session, w->y + s->row * e->model->config.d_model, s->n);
}

void at_session_push_batch(struct at_session *const *s, struct at_worker *w,
                           const float *const *frames, const size_t *n, size_t n_sessions,
                           size_t stride)
{
    size_t rows = 0, spans = 0;
    for (size_t i = 0; i < n_sessions; i++) {
        size_t left = n[i];
        if (s[i]->encoder->model->config.mask == AT_MASK_NONE) { /* each push is a whole sequence */
            at_session_reset(s[i]);
            left = left < s[i]->chunk ? left : s[i]->chunk;
            left = left < w->rows ? left : w->rows;
        }
        for (const float *at = frames[i]; left;) {
            size_t count = left < s[i]->chunk ? left : s[i]->chunk;
            if (s[i]->encoder->model->config.mask == AT_MASK_CAUSAL && rows < w->rows)
                count = count < w->rows - rows ? count : w->rows - rows;
            bool other = spans && w->spans->session->shape.mode != s[i]->shape.mode;
            if (rows + count > w->rows || other) {
                flush(w, spans, rows, stride);
                rows = spans = 0;
                continue;
            }
            w->spans[spans++] = (struct at_span){s[i], at, rows, count};
            rows += count;
            at += count * stride;
            left -= count;
        }
    }
    flush(w, spans, rows, stride);
}

void at_session_push(struct at_session *s, struct at_worker *w, const float *frames, size_t n,
                     size_t stride)
{
    at_session_push_batch(&s, w, &frames, &n, 1, stride);
}

void at_session_logits(const struct at_session *s, float *logits)
{
    const struct at_model *m = s->encoder->model;
    size_t d = m->config.d_model, size = m->config.pool_block;
    if (!s->tokens) {
        memset(logits, 0, m->config.n_classes * sizeof *logits);
        return;
    }
    uint64_t blocks = (s->tokens - 1) / size + 1, kept = blocks < s->blocks ? blocks : s->blocks;
    float share = (float)(1 / (double)(s->tokens - (blocks - kept) * size));
    memset(s->mean, 0, d * sizeof *s->mean);
    for (uint64_t b = 0; b < kept;
         b++) /* row after row: a column lies on as many lines of memory */
        s->encoder->kernels->axpy(share, s->pool + b * d, d, s->mean);
    for (size_t c = 0; c < m->config.n_classes; c++)
        logits[c] = s->encoder->kernels->dot(m->head_w + c * d, s->mean, d) + m->head_b[c];
}

void at_session_reset(struct at_session *s)
{
    s->tokens = 0;
    for (size_t i = 0; i < s->encoder->model->config.n_layers; i++)
        at_attn_reset(s->layers[i], 0);
}

uint64_t at_session_tokens(const struct at_session *s)
{
    return s->tokens;
}

void at_session_get_report(const struct at_session *s, struct at_attn_report *ret)
{
    at_attn_get_report(s->layers[0], ret);
    ret->cache_bytes *= s->encoder->model->config.n_layers;
}
