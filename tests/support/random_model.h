/* A model file of seeded random weights, for tests of everything behind it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_RANDOM_MODEL_H
#define AT_TESTS_RANDOM_MODEL_H

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/frames.h"
#include "lib/model/weights.h"

/* Small and quick: 32 wide, 2 layers; n_aux aux columns, taken from the framer's last ones
 * backwards, so that a mistaken order shows. */
static inline struct at_model_config random_model_shape(uint32_t n_aux)
{
    return (struct at_model_config){.n_bins = AT_FRAME_BINS,
                                    .n_aux = n_aux,
                                    .d_model = 32,
                                    .n_layers = 2,
                                    .n_heads = 2,
                                    .d_ff = 64,
                                    .n_classes = 4,
                                    .window = 256,
                                    .kv_groups = 1,
                                    .segment = 32,
                                    .pool_block = 32,
                                    .mask = AT_MASK_CAUSAL,
                                    .norm = AT_NORM_RMS,
                                    .rope_base = 1e4};
}

static inline void random_model_add(struct at_tensor *t, size_t *n, const float *data, size_t rows,
                                    size_t cols, const char *format, ...)
{
    struct at_tensor *x = &t[(*n)++];
    va_list ap;
    va_start(ap, format);
    vsnprintf(x->name, sizeof x->name, format, ap);
    va_end(ap);
    x->data = data;
    x->n_dims = cols ? 2 : 1;
    x->shape[0] = rows;
    x->shape[1] = cols;
    x->n = rows * (cols ? cols : 1);
}

static inline size_t random_model_tensors(const struct at_model *m, struct at_tensor *t)
{
    const struct at_model_config *c = &m->config;
    size_t n = 0, d = c->d_model;
    random_model_add(t, &n, m->embed_w, d, c->n_bins + c->n_aux, "embed.weight");
    random_model_add(t, &n, m->embed_b, d, 0, "embed.bias");
    for (unsigned i = 0; i < c->n_layers; i++) {
        const struct at_layer_weights *l = &m->layers[i];
        random_model_add(t, &n, l->norm1_w, d, 0, "layers.%u.norm1.weight", i);
        random_model_add(t, &n, l->q, d, d, "layers.%u.attn.q.weight", i);
        random_model_add(t, &n, l->k, d, d, "layers.%u.attn.k.weight", i);
        random_model_add(t, &n, l->v, d, d, "layers.%u.attn.v.weight", i);
        random_model_add(t, &n, l->o, d, d, "layers.%u.attn.o.weight", i);
        random_model_add(t, &n, l->norm2_w, d, 0, "layers.%u.norm2.weight", i);
        random_model_add(t, &n, l->up, c->d_ff, d, "layers.%u.mlp.up.weight", i);
        random_model_add(t, &n, l->down, d, c->d_ff, "layers.%u.mlp.down.weight", i);
    }
    random_model_add(t, &n, m->norm_w, d, 0, "norm.weight");
    random_model_add(t, &n, m->head_w, c->n_classes, d, "head.weight");
    random_model_add(t, &n, m->head_b, c->n_classes, 0, "head.bias");
    return n;
}

/* Writes it to path. labels: "gfsk,ook,..."; n_classes of them. 0 or negative errno. */
static inline int random_model_write(const char *path, const struct at_model_config *c,
                                     uint64_t seed, const char *labels, struct at_error *err)
{
    struct at_model *m = NULL;
    int r = at_model_random(NULL, c, seed, err, &m);
    if (r < 0)
        return r;
    struct at_tensor *t = calloc(8 + 8 * (size_t)c->n_layers, sizeof *t);
    size_t n = random_model_tensors(m, t);
    json_t *config =
        json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:s,s:f}", "n_bins", c->n_bins,
                  "n_aux", c->n_aux, "d_model", c->d_model, "n_layers", c->n_layers, "n_heads",
                  c->n_heads, "d_ff", c->d_ff, "n_classes", c->n_classes, "window", c->window,
                  "kv_groups", c->kv_groups, "segment", c->segment, "pool_block", c->pool_block,
                  "mask", "causal", "norm", "rmsnorm", "rope_base", c->rope_base);
    json_t *aux = json_array(), *list = json_array();
    for (unsigned i = 0; i < c->n_aux; i++)
        json_array_append_new(aux, json_string(at_aux_name(AT_AUX_COUNT - 1 - i)));
    json_object_set_new(config, "aux", aux);
    char *copy = strdup(labels), *rest = copy, *word;
    while ((word = strsep(&rest, ",")))
        json_array_append_new(list, json_string(word));
    char *config_text = json_dumps(config, 0), *list_text = json_dumps(list, 0);
    struct at_meta meta[] = {
        {"format", "attune-1"}, {"config", config_text}, {"labels", list_text}};
    r = at_safetensors_write(path, t, n, meta, 3, err);
    free(config_text);
    free(list_text);
    free(copy);
    free(t);
    json_decref(config);
    json_decref(list);
    at_model_destroy(m);
    return r;
}

#endif
