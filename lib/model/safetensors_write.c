/* Writing safetensors: the header is made by jansson, the file appears complete or not at all.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/newfile.h"
#include "lib/model/weights.h"

static size_t stored_bytes(const struct at_tensor *t)
{
    return t->n * (t->bf16 ? 2 : 4);
}

static json_t *entry_of(const struct at_tensor *t, size_t at)
{
    json_t *shape = json_array();
    for (unsigned i = 0; shape && i < t->n_dims; i++)
        json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->bf16 ? "BF16" : "F32", "shape", shape,
                     "data_offsets", (json_int_t)at, (json_int_t)(at + stored_bytes(t)));
}

/* Caller frees the text with free(). NULL: no memory, or text that is not UTF-8. */
static char *make_header(const struct at_tensor *tensors, size_t n, const struct at_meta *meta,
                         size_t n_meta)
{
    json_t *root = json_object(), *strings = json_object();
    int failed = !root || !strings;
    for (size_t i = 0; !failed && i < n_meta; i++)
        failed = json_object_set_new(strings, meta[i].key, json_string(meta[i].value)) < 0;
    failed = json_object_set_new(root, "__metadata__", strings) < 0 ||
             failed; /* takes strings in any case */
    size_t at = 0;
    for (size_t i = 0; !failed && i < n; i++) {
        failed = json_object_set_new(root, tensors[i].name, entry_of(&tensors[i], at)) < 0;
        at += stored_bytes(&tensors[i]);
    }
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return text;
}

/* Round to nearest even, as every bf16 unit does. */
static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static int write_tensor(FILE *f, const struct at_tensor *t)
{
    if (!t->bf16)
        return fwrite(t->data, 4, t->n, f) == t->n ? 0 : -1;
    for (size_t i = 0; i < t->n; i++) {
        uint16_t b = to_bf16(t->data[i]);
        if (fwrite(&b, 2, 1, f) != 1)
            return -1;
    }
    return 0;
}

static int write_all(FILE *f, const char *header, const struct at_tensor *tensors, size_t n)
{
    size_t len = strlen(header), pad = (8 - len % 8) % 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char)((uint64_t)(len + pad) >> 8 * i);
    if (fwrite(prefix, 8, 1, f) != 1 || fwrite(header, len, 1, f) != 1 ||
        fwrite("        ", 1, pad, f) != pad)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (write_tensor(f, &tensors[i]) < 0)
            return -1;
    return 0;
}

int at_safetensors_write(const char *path, const struct at_tensor *tensors, size_t n,
                         const struct at_meta *meta, size_t n_meta, struct at_error *err)
{
    char *header = make_header(tensors, n, meta, n_meta);
    if (!header)
        return at_error_set(
            err, -EINVAL, "%s: the header cannot be made (no memory, or metadata not UTF-8)", path);
    struct at_newfile file;
    int r = at_newfile_open(&file, path);
    if (r == 0)
        r = at_newfile_close(&file, write_all(file.f, header, tensors, n) < 0 ? -errno : 0);
    free(header);
    return r < 0 ? at_error_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}
