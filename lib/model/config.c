/* Metadata `config`: the shape of the model. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <string.h>

#include "lib/dsp/frames.h"
#include "lib/model/model_impl.h"

/* Integers of the config with their bounds. */
static const struct {
    const char *key;
    size_t offset;
    uint32_t min, max;
} integers[] = {
#define INTEGER(key, min, max)                                                                     \
    {                                                                                              \
#key, offsetof(struct at_model_config, key), min, max                                      \
    }
    INTEGER(n_bins, 32, 512),
    INTEGER(n_aux, 0, AT_MAX_AUX),
    INTEGER(d_model, 2, 4096),
    INTEGER(n_layers, 1, 64),
    INTEGER(n_heads, 1, 64),
    INTEGER(d_ff, 1, 16384),
    INTEGER(n_classes, 1, AT_MAX_CLASSES),
    INTEGER(window, 0, 1 << 20),
    INTEGER(kv_groups, 1, 64),
    INTEGER(segment, 1, 4096),
    INTEGER(pool_block, 1, 4096),
#undef INTEGER
};
#define N_INTEGERS (sizeof integers / sizeof *integers)

static uint32_t value_of(const struct at_model_config *c, size_t offset)
{
    return *(const uint32_t *)((const char *)c + offset);
}

static int check_attention(const struct at_model_config *c, struct at_error *err)
{
    uint32_t head_dim = c->d_model / c->n_heads;
    if (c->d_model % c->n_heads || head_dim % 2 || head_dim < 2 || head_dim > 256)
        return at_error_set(
            err, -EINVAL,
            "config: d_model %u over n_heads %u must give an even head width from 2 to 256",
            c->d_model, c->n_heads);
    if (c->n_heads % c->kv_groups)
        return at_error_set(err, -EINVAL, "config: kv_groups %u does not divide n_heads %u",
                            c->kv_groups, c->n_heads);
    if (c->window % c->segment || c->window % c->pool_block)
        return at_error_set(err, -EINVAL,
                            "config: window %u is no multiple of segment %u and pool_block %u",
                            c->window, c->segment, c->pool_block);
    if (c->mask == AT_MASK_NONE && c->window)
        return at_error_set(err, -EINVAL, "config: mask none has no window (0 expected, got %u)",
                            c->window);
    if (!isfinite(c->rope_base) || c->rope_base < 0 || (c->rope_base > 0 && c->rope_base <= 1))
        return at_error_set(err, -EINVAL, "config: rope_base %g must be 0 or above 1",
                            c->rope_base);
    return 0;
}

int at_model_check_config(const struct at_model_config *c, struct at_error *err)
{
    for (size_t i = 0; i < N_INTEGERS; i++) {
        uint32_t v = value_of(c, integers[i].offset);
        if (v < integers[i].min || v > integers[i].max)
            return at_error_set(err, -EINVAL, "config: %s is %u, %u to %u expected",
                                integers[i].key, v, integers[i].min, integers[i].max);
    }
    if (c->n_bins & (c->n_bins - 1))
        return at_error_set(err, -EINVAL, "config: n_bins %u is no power of two", c->n_bins);
    return check_attention(c, err);
}

/* One of two words; -1 where it is neither. */
static int choose(const json_t *config, const char *key, const char *first, const char *second)
{
    const char *text = json_string_value(json_object_get(config, key));
    return !text ? -1 : strcmp(text, first) == 0 ? 0 : strcmp(text, second) == 0 ? 1 : -1;
}

static int read_fields(struct at_model_config *c, const json_t *config, struct at_error *err)
{
    for (size_t i = 0; i < N_INTEGERS; i++) {
        const json_t *item = json_object_get(config, integers[i].key);
        json_int_t v = json_integer_value(item);
        if (!json_is_integer(item) || v < integers[i].min || v > integers[i].max)
            return at_error_set(err, -EINVAL, "config: %s must be an integer from %u to %u",
                                integers[i].key, integers[i].min, integers[i].max);
        *(uint32_t *)((char *)c + integers[i].offset) = (uint32_t)v;
    }
    int norm = choose(config, "norm", "rmsnorm", "layernorm");
    int mask = choose(config, "mask", "causal", "none");
    if (norm < 0)
        return at_error_set(err, -EINVAL, "config: norm must be rmsnorm or layernorm");
    if (mask < 0)
        return at_error_set(err, -EINVAL, "config: mask must be causal or none");
    const json_t *base = json_object_get(config, "rope_base");
    if (!json_is_number(base))
        return at_error_set(err, -EINVAL, "config: rope_base must be a number");
    c->norm = norm == 0 ? AT_NORM_RMS : AT_NORM_LAYER;
    c->mask = mask == 0 ? AT_MASK_CAUSAL : AT_MASK_NONE;
    c->rope_base = json_number_value(base);
    return at_model_check_config(c, err);
}

static int find_column(const char *name)
{
    for (unsigned i = 0; name && i < AT_AUX_COUNT; i++)
        if (strcmp(at_aux_name(i), name) == 0)
            return (int)i;
    return -1;
}

/* Without a list the aux inputs are the framer's first n_aux columns. */
static int read_aux(struct at_model *m, const json_t *aux, struct at_error *err)
{
    uint32_t n = m->config.n_aux;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < n; i++)
        m->aux_columns[i] = (int)i;
    if (!aux)
        return 0;
    if (!json_is_array(aux) || json_array_size(aux) != n)
        return at_error_set(err, -EINVAL, "config: aux must list n_aux (%u) names", n);
    for (uint32_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(aux, i));
        int column = find_column(name);
        if (column < 0)
            return at_error_set(err, -EINVAL,
                                "config: aux %u is %.24s, which this program does not compute", i,
                                name ? name : "no name");
        if (seen >> column & 1)
            return at_error_set(err, -EINVAL, "config: aux names %s twice", name);
        seen |= UINT64_C(1) << column;
        m->aux_columns[i] = column;
    }
    return 0;
}

static int read_segments(struct at_model *m, const json_t *list, struct at_error *err)
{
    m->segments[0] = m->config.segment;
    m->n_segments = 1;
    if (!list)
        return 0;
    size_t n = json_array_size(list);
    if (n == 0 || n > sizeof m->segments / sizeof *m->segments)
        return at_error_set(err, -EINVAL, "config: segments must list 1 to %zu lengths",
                            sizeof m->segments / sizeof *m->segments);
    for (size_t i = 0; i < n; i++) {
        json_int_t v = json_integer_value(json_array_get(list, i));
        if (v < 1 || v > 4096)
            return at_error_set(err, -EINVAL,
                                "config: segments %zu must be an integer from 1 to 4096", i);
        m->segments[i] = (uint32_t)v;
    }
    m->n_segments = n;
    return 0;
}

int at_model_read_config(struct at_model *m, const struct at_safetensors *f, struct at_error *err)
{
    const char *text = at_safetensors_meta(f, "config"), *format = at_safetensors_meta(f, "format");
    json_t *config = NULL;
    if (format && strcmp(format, "attune-1") != 0)
        return at_error_set(err, -EINVAL, "format is %.32s, attune-1 expected", format);
    if (!text)
        return at_error_set(err, -EINVAL, "no metadata \"config\": not a model of attune");
    int r = at_model_json(text, strlen(text), 3, err, &config);
    if (r < 0)
        return at_error_prefix(err, r, "config");
    if (!json_is_object(config))
        r = at_error_set(err, -EINVAL, "config is not a JSON object");
    if (r == 0)
        r = read_fields(&m->config, config, err);
    if (r == 0)
        r = read_aux(m, json_object_get(config, "aux"), err);
    if (r == 0)
        r = read_segments(m, json_object_get(config, "segments"), err);
    json_decref(config);
    return r;
}

bool at_model_aux_in_order(const struct at_model *m)
{
    for (uint32_t i = 0; i < m->config.n_aux; i++)
        if (m->aux_columns[i] != (int)i)
            return false;
    return true;
}
