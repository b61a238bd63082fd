/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/attn/attn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/kernels/kernels.h"

struct at_attn {
    struct at_mem *mem;
    const struct at_attn_backend *backend;
    struct at_attn_state *state;
    struct at_attn_shape shape;
    int64_t start, n; /* position of the first token, tokens since */
    struct at_attn_report report;
};

const struct at_attn_backend *at_attn_find(const char *name, struct at_error *err)
{
    char names[256] = "";
    for (size_t i = 0; at_attn_registry[i]; i++) {
        if (strcmp(at_attn_registry[i]->name, name) == 0)
            return at_attn_registry[i];
        strncat(names, i ? ", " : "", sizeof names - strlen(names) - 1);
        strncat(names, at_attn_registry[i]->name, sizeof names - strlen(names) - 1);
    }
    at_error_set(err, -ENOENT, "no attention backend '%.32s'; there are: %s", name, names);
    return NULL;
}

const char *at_mode_name(enum at_mode mode)
{
    return mode == AT_MODE_BF16 ? "bf16" : "fp32";
}

int at_attn_shape_check(const struct at_attn_shape *s, uint32_t caps)
{
    const uint32_t most = 1u << 20; /* tokens; keeps every product of sizes far from overflow */
    if (s->n_heads < 1 || s->n_heads > 64 || s->head_dim < 2 || s->head_dim > 256 ||
        s->head_dim % 2)
        return -EINVAL;
    if (s->kv_groups < 1 || s->n_heads % s->kv_groups || s->segment < 1 || s->segment > most ||
        s->window % s->segment)
        return -EINVAL;
    if (s->capacity < 1 || s->capacity > most || s->window > most || s->max_new < 1 ||
        s->max_new > most)
        return -EINVAL;
    if (!(s->rope_base == 0 || (s->rope_base >= 1 && s->rope_base <= 1e12)) ||
        !(s->dropout >= 0 && s->dropout < 1))
        return -EINVAL;
    if (s->mask == AT_MASK_NONE && s->max_new < s->capacity)
        return -EINVAL; /* one run is the whole sequence */
    uint32_t needs = s->mask == AT_MASK_NONE ? AT_CAP_BIDIRECTIONAL : AT_CAP_CAUSAL;
    needs |= s->window ? AT_CAP_WINDOW : 0;
    needs |= s->rope_base > 0 ? AT_CAP_ROPE : 0;
    needs |= s->dropout > 0 ? AT_CAP_DROPOUT : 0;
    needs |= s->mode == AT_MODE_BF16 ? AT_CAP_BF16 : 0;
    return needs & ~caps ? -ENOTSUP : 0;
}

/* The names of those that can do this shape. */
static void list_able(const struct at_attn_shape *s, char *out, size_t n)
{
    out[0] = 0;
    for (size_t i = 0, at = 0; at_attn_registry[i] && at < n; i++)
        if (at_attn_shape_check(s, at_attn_registry[i]->caps) == 0)
            at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "",
                                   at_attn_registry[i]->name);
}

/* What a person should know about a shape that a backend refused. */
static int refuse(const struct at_attn_backend *b, const struct at_attn_shape *s, int code,
                  struct at_error *err)
{
    if (code == -ENOTSUP) {
        char able[128];
        list_able(s, able, sizeof able);
        return at_error_set(err, code,
                            "backend %s cannot do mask %s, mode %s, dropout %g together; %s can",
                            b->name, s->mask == AT_MASK_NONE ? "none" : "causal",
                            at_mode_name(s->mode), (double)s->dropout, able[0] ? able : "none");
    }
    return at_error_set(err, code,
                        "backend %s: bad shape (heads %u, head width %u, groups %u, segment %u, "
                        "window %u, capacity %u, "
                        "max_new %u): the head width must be even, the groups divide the heads, "
                        "the segment the window",
                        b->name, s->n_heads, s->head_dim, s->kv_groups, s->segment, s->window,
                        s->capacity, s->max_new);
}

int at_attn_create(const struct at_attn_host *host, const struct at_attn_backend *backend,
                   const struct at_attn_shape *shape, struct at_error *err,
                   struct at_attn **ret_attn)
{
    struct at_attn_cost cost;
    int code = backend->probe(shape, &cost);
    if (code < 0)
        return refuse(backend, shape, code, err);
    struct at_attn *a = at_mem_alloc(host->mem, AT_MEM_OTHER, sizeof *a);
    if (!a)
        return at_error_set(err, -ENOMEM, "no memory for an attention layer");
    a->mem = host->mem;
    a->backend = backend;
    a->shape = *shape;
    a->report = (struct at_attn_report){
        .backend = backend->name,
        .kernel = host->kernels->name,
        .mode = shape->mode,
        .workspace_bytes = cost.workspace_bytes,
        .cache_bytes = cost.cache_bytes,
        .caps = backend->caps,
    };
    code = backend->create(host, shape, &a->state);
    if (code < 0) {
        at_attn_destroy(a);
        return at_error_set(err, code, "backend %s: no memory for a cache of %zu bytes",
                            backend->name, cost.cache_bytes);
    }
    *ret_attn = a;
    return 0;
}

void at_attn_destroy(struct at_attn *a)
{
    if (!a)
        return;
    a->backend->destroy(a->state);
    at_mem_free(a->mem, a);
}

void at_attn_run(struct at_attn *a, void *work, const float *q, const float *k, const float *v,
                 size_t n, float *out)
{
    a->backend->run(a->state, work, q, k, v, n, out);
    a->n += (int64_t)n;
}

void at_attn_reset(struct at_attn *a, int64_t start)
{
    a->backend->reset(a->state, start);
    a->start = start;
    a->n = 0;
}

bool at_attn_can_convert(const struct at_attn_backend *from, const struct at_attn_shape *a,
                         const struct at_attn_backend *to, const struct at_attn_shape *b)
{
    return from->loss <= to->loss && !(from->caps & AT_CAP_SEGMENTS) && a->mode <= b->mode &&
           a->window == b->window && a->window && a->mask == AT_MASK_CAUSAL &&
           b->mask == AT_MASK_CAUSAL;
}

int at_attn_convert(const struct at_attn *from, struct at_attn *to, void *work, float *k, float *v,
                    size_t rows)
{
    if (!at_attn_can_convert(from->backend, &from->shape, to->backend, &to->shape))
        return -ENOTSUP;
    int64_t first = from->n > from->shape.window ? from->n - from->shape.window : 0;
    int64_t align = to->backend->caps & AT_CAP_SEGMENTS ? to->shape.segment : 1;
    /* A segment that is not whole any more is out of the window by then. */
    first = (from->start + first + align - 1) / align * align - from->start;
    first = first < from->n ? first : from->n / align * align;
    rows = rows < from->shape.max_new ? rows : from->shape.max_new;
    rows = rows < to->shape.max_new ? rows : to->shape.max_new;
    at_attn_reset(to, from->start + first);
    while (first < from->n) {
        size_t n = (uint64_t)(from->n - first) < rows ? (size_t)(from->n - first) : rows;
        int code = from->backend->read(from->state, work, first, n, k, v);
        if (code < 0)
            return code;
        at_attn_run(to, work, NULL, k, v, n, NULL);
        first += (int64_t)n;
    }
    return 0;
}

void at_attn_seed(struct at_attn *a, uint64_t seed)
{
    a->backend->seed(a->state, seed);
}

void at_attn_get_report(const struct at_attn *a, struct at_attn_report *ret)
{
    *ret = a->report;
}
