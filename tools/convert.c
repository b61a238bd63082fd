/* attune convert: a LayerNorm model becomes an RMSNorm one with the same logits.
 *
 * Where the residual stream has zero mean, LayerNorm is RMSNorm. So everything that writes to the
 * stream is centred over its outputs; the norms keep their biases (reference.to_rmsnorm).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "lib/model/weights.h"
#include "tools/tools.h"

#define MAX_META 256

extern const struct at_command at_command_convert;
#define SELF (&at_command_convert)

/* Does tensor write to the residual stream? */
static bool writes_stream(const char *name)
{
    static const char *const ends[] = {".attn.o.weight", ".mlp.down.weight"};
    size_t n = strlen(name);
    if (strcmp(name, "embed.weight") == 0 || strcmp(name, "embed.bias") == 0)
        return true;
    if (strncmp(name, "layers.", 7) != 0)
        return false;
    for (size_t i = 0; i < 2; i++)
        if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

/* t (d, ...) -> out: the mean over the d outputs taken off, in double. */
static void centre(const struct at_tensor *t, float *out)
{
    size_t rows = t->shape[0], cols = t->n / rows;
    for (size_t c = 0; c < cols; c++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++)
            sum += t->data[r * cols + c];
        for (size_t r = 0; r < rows; r++)
            out[r * cols + c] = (float)(t->data[r * cols + c] - sum / (double)rows);
    }
}

/* Tensors of f with the writing ones centred, stored as F32: rounding a centred one to bf16 would
 * move its mean. ret_data: what the centred ones point into; both are freed by the caller. */
static int centre_all(const struct at_safetensors *f, struct at_tensor **ret_tensors, size_t *ret_n,
                      float **ret_data)
{
    size_t n = 0, total = 0;
    const struct at_tensor *t;
    for (; (t = at_safetensors_at(f, n)); n++)
        total += t->n;
    struct at_tensor *tensors = calloc(n, sizeof *tensors);
    float *data = calloc(total, sizeof *data), *at = data;
    if (!tensors || !data) {
        free(tensors);
        free(data);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        tensors[i] = *at_safetensors_at(f, i);
        if (!writes_stream(tensors[i].name))
            continue;
        centre(&tensors[i], at);
        tensors[i].data = at;
        tensors[i].bf16 = false;
        at += tensors[i].n;
    }
    *ret_tensors = tensors;
    *ret_n = n;
    *ret_data = data;
    return 0;
}

/* The config with "norm": "rmsnorm"; free() it. NULL: err says why. */
static char *convert_config(const struct at_safetensors *f, struct at_error *err)
{
    const char *text = at_safetensors_meta(f, "config");
    json_t *config = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *norm = json_string_value(json_object_get(config, "norm"));
    char *out = NULL;
    if (!norm)
        at_error_set(err, -EINVAL, "no model: metadata \"config\" with a \"norm\" expected");
    else if (strcmp(norm, "layernorm") != 0)
        at_error_set(err, -EINVAL, "norm is %.20s already; only layernorm can be converted", norm);
    else if (json_object_set_new(config, "norm", json_string("rmsnorm")) < 0 ||
             !(out = json_dumps(config, 0)))
        at_error_set(err, -ENOMEM, "no memory");
    json_decref(config);
    return out;
}

static int write_converted(const struct at_safetensors *f, const char *config, const char *out,
                           struct at_error *err)
{
    struct at_meta meta[MAX_META];
    struct at_tensor *tensors = NULL;
    float *data = NULL;
    size_t n_meta = 0, n = 0;
    const char *value;
    for (const char *key; n_meta < MAX_META && (key = at_safetensors_meta_at(f, n_meta, &value));
         n_meta++)
        meta[n_meta] = (struct at_meta){key, strcmp(key, "config") == 0 ? config : value};
    if (n_meta == MAX_META)
        return at_error_set(err, -E2BIG, "more than %d metadata entries", MAX_META - 1);
    int r = centre_all(f, &tensors, &n, &data);
    if (r < 0)
        return at_error_set(err, r, "no memory");
    r = at_safetensors_write(out, tensors, n, meta, n_meta, err);
    free(tensors);
    free(data);
    return r;
}

static const struct at_option options[] = {{0}};

static int run(int argc, char **argv)
{
    int code = 0;
    int n = at_options_parse(SELF, NULL, argc, argv, &code);
    if (n < 0)
        return code;
    if (n != 2)
        return at_fail(SELF, AT_EXIT_USAGE, "two arguments expected: IN and OUT");
    struct at_error err = {""};
    struct at_safetensors *f = NULL;
    if (at_safetensors_read(NULL, argv[1], &err, &f) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    char *config = convert_config(f, &err);
    int r = config ? write_converted(f, config, argv[2], &err)
                   : at_error_prefix(&err, -EINVAL, "%s", argv[1]);
    free(config);
    at_safetensors_destroy(f);
    return r < 0 ? at_fail(SELF, AT_EXIT_FAILED, "%s", err.text) : AT_EXIT_OK;
}

const struct at_command at_command_convert = {
    .name = "convert",
    .summary = "Turn a LayerNorm model into an RMSNorm one with the same logits",
    .usage = "IN.safetensors OUT.safetensors",
    .details = "Centres every weight that writes to the residual stream; what was centred is "
               "stored as F32. "
               "OUT appears complete or not at all; IN and OUT may be the same file.",
    .examples = "attune convert layernorm.safetensors rmsnorm.safetensors\n",
    .options = options,
    .files = true,
    .run = run,
};
