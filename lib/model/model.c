/* The tensors of a model: every one there, shaped as the config says, none left over.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model/model_impl.h"

/* Takes tensors out of a file by name and remembers which were taken. */
struct taker {
    const struct at_safetensors *f;
    unsigned char *taken; /* (tensors of f) */
    struct at_error *err;
    int failed;
};

/* rows x cols; cols 0: a vector. NULL where it is absent or misshapen; the first failure sticks. */
static const float *take(struct taker *t, int optional, size_t rows, size_t cols, const char *name)
{
    const struct at_tensor *x = t->failed ? NULL : at_safetensors_find(t->f, name);
    char want[48], got[96] = "()";
    snprintf(want, sizeof want, cols ? "(%zu, %zu)" : "(%zu)", rows, cols);
    if (!x) {
        if (!optional && !t->failed)
            t->failed =
                at_error_set(t->err, -EINVAL, "tensor %s of shape %s is missing", name, want);
        return NULL;
    }
    for (unsigned i = 0, at = 0; i < x->n_dims; i++)
        at += (unsigned)snprintf(got + at, sizeof got - at, "%s%zu%s", i ? ", " : "(", x->shape[i],
                                 i + 1 < x->n_dims ? "" : ")");
    if (strcmp(got, want) != 0) {
        t->failed =
            at_error_set(t->err, -EINVAL, "tensor %s has shape %s, %s expected", name, got, want);
        return NULL;
    }
    t->taken[x - at_safetensors_at(t->f, 0)] = 1;
    return x->data;
}

static const float *take_of_layer(struct taker *t, int optional, size_t rows, size_t cols,
                                  uint32_t layer, const char *part)
{
    char name[96];
    snprintf(name, sizeof name, "layers.%u.%s", layer, part);
    return take(t, optional, rows, cols, name);
}

static void take_all(struct taker *t, struct at_model *m)
{
    const struct at_model_config *c = &m->config;
    size_t d = c->d_model;
    m->embed_w = take(t, 0, d, c->n_bins + c->n_aux, "embed.weight");
    m->embed_b = take(t, 0, d, 0, "embed.bias");
    for (uint32_t i = 0; i < c->n_layers && !t->failed; i++) {
        m->layers[i] = (struct at_layer_weights){
            .norm1_w = take_of_layer(t, 0, d, 0, i, "norm1.weight"),
            .norm1_b = take_of_layer(t, 1, d, 0, i, "norm1.bias"),
            .q = take_of_layer(t, 0, d, d, i, "attn.q.weight"),
            .k = take_of_layer(t, 0, d, d, i, "attn.k.weight"),
            .v = take_of_layer(t, 0, d, d, i, "attn.v.weight"),
            .o = take_of_layer(t, 0, d, d, i, "attn.o.weight"),
            .norm2_w = take_of_layer(t, 0, d, 0, i, "norm2.weight"),
            .norm2_b = take_of_layer(t, 1, d, 0, i, "norm2.bias"),
            .up = take_of_layer(t, 0, c->d_ff, d, i, "mlp.up.weight"),
            .down = take_of_layer(t, 0, d, c->d_ff, i, "mlp.down.weight"),
        };
    }
    m->norm_w = take(t, 0, d, 0, "norm.weight");
    m->norm_b = take(t, 1, d, 0, "norm.bias");
    m->head_w = take(t, 0, c->n_classes, d, "head.weight");
    m->head_b = take(t, 0, c->n_classes, 0, "head.bias");
    if (c->n_aux) {
        m->aux_scale = take(t, 1, c->n_aux, 0, "aux.scale");
        m->aux_shift = take(t, 1, c->n_aux, 0, "aux.shift");
    }
}

/* A tensor that looks like a weight and was not asked for: config and weights don't belong
 * together. */
static int refuse_leftovers(const struct taker *t)
{
    static const char *const prefixes[] = {"embed.", "layers.", "norm.", "head.", "aux."};
    const struct at_tensor *x;
    for (size_t i = 0; (x = at_safetensors_at(t->f, i)); i++)
        for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++)
            if (!t->taken[i] && strncmp(x->name, prefixes[p], strlen(prefixes[p])) == 0)
                return at_error_set(t->err, -EINVAL,
                                    "tensor %s has no place in the model that config describes",
                                    x->name);
    return 0;
}

static int take_tensors(struct at_model *m, const struct at_safetensors *f, struct at_error *err)
{
    struct taker t = {.f = f, .err = err};
    size_t n = 0;
    while (at_safetensors_at(f, n))
        n++;
    m->layers = at_mem_array(m->mem, AT_MEM_WEIGHTS, m->config.n_layers, sizeof *m->layers);
    t.taken = at_mem_array(m->mem, AT_MEM_OTHER, n, 1);
    if (!m->layers || !t.taken)
        t.failed = at_error_set(err, -ENOMEM, "no memory");
    else
        take_all(&t, m);
    if (!t.failed)
        t.failed = refuse_leftovers(&t);
    at_mem_free(m->mem, t.taken);
    return t.failed;
}

/* "/x/attune-base.safetensors" -> "attune-base" */
static void name_after(struct at_model *m, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base), tail = strlen(".safetensors");
    if (n > tail && strcmp(base + n - tail, ".safetensors") == 0)
        n -= tail;
    snprintf(m->path, sizeof m->path, "%s", path);
    snprintf(m->name, sizeof m->name, "%.*s", (int)(n > 63 ? 63 : n), base);
}

int at_model_from_file(struct at_mem *mem, struct at_safetensors *file, struct at_error *err,
                       struct at_model **ret_model)
{
    struct at_model *m = at_mem_alloc(mem, AT_MEM_WEIGHTS, sizeof *m);
    if (!m)
        return at_error_set(err, -ENOMEM, "no memory");
    m->mem = mem;
    int r = at_model_read_config(m, file, err);
    if (r == 0)
        r = at_model_read_card(m, file, err);
    if (r == 0)
        r = take_tensors(m, file, err);
    if (r < 0) {
        at_model_destroy(m); /* the file stays the caller's */
        return r;
    }
    m->file = file;
    name_after(m, at_safetensors_path(file));
    snprintf(m->digest, sizeof m->digest, "%s", at_safetensors_digest(file));
    *ret_model = m;
    return 0;
}

int at_model_read(struct at_mem *mem, const char *path, struct at_error *err,
                  struct at_model **ret_model)
{
    struct at_safetensors *f = NULL;
    int r = at_safetensors_read(mem, path, err, &f);
    if (r < 0)
        return r;
    r = at_model_from_file(mem, f, err, ret_model);
    if (r < 0) {
        at_safetensors_destroy(f);
        return at_error_prefix(err, r, "%s", path);
    }
    return 0;
}

void at_model_destroy(struct at_model *m)
{
    if (!m)
        return;
    at_safetensors_destroy(m->file);
    at_mem_free(m->mem, m->layers);
    at_mem_free(m->mem, m->random);
    at_mem_free(m->mem, m);
}

int at_model_label_index(const struct at_model *m, const char *label)
{
    for (uint32_t i = 0; i < m->config.n_classes; i++)
        if (strcmp(m->labels[i], label) == 0)
            return (int)i;
    return -1;
}
