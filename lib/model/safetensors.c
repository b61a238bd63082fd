/* safetensors: u64 header length, JSON header, data. Every number of the header is checked before
 * it is used. SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/sha256.h"
#include "lib/model/model_impl.h"

#define MAX_DEPTH 4 /* {tensor: {shape: [..]}} is 3 */

struct at_safetensors {
    struct at_mem *mem;
    struct at_tensor *tensors; /* sorted by name */
    size_t n_tensors;
    float *data;  /* all tensors, each at a multiple of 16 floats */
    json_t *meta; /* object of strings, or NULL */
    char digest[AT_SHA256_HEX_SIZE];
    char path[512];
};

/* Where one tensor stands in the file's data part. */
struct extent {
    size_t begin, end;
    struct at_tensor *tensor;
};

static int by_name(const void *a, const void *b)
{
    const struct at_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int by_begin(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int parse_header(const unsigned char *bytes, size_t n, struct at_error *err,
                        json_t **ret_root, size_t *ret_data_at)
{
    if (n < 8)
        return at_error_set(err, -EINVAL, "%zu bytes are no safetensors file (at least 8)", n);
    uint64_t header_len = 0;
    for (int i = 7; i >= 0; i--)
        header_len = header_len << 8 | bytes[i];
    if (header_len > AT_SAFETENSORS_MAX_HEADER)
        return at_error_set(
            err, -EINVAL, "header length %llu is above %zu: no safetensors file, or a damaged one",
            (unsigned long long)header_len, AT_SAFETENSORS_MAX_HEADER);
    if (header_len < 2 || header_len > n - 8)
        return at_error_set(err, -EINVAL,
                            "header length %llu does not fit a file of %zu bytes: truncated?",
                            (unsigned long long)header_len, n);
    const char *text = (const char *)bytes + 8;
    json_t *root = NULL;
    int r = at_model_json(text, header_len, MAX_DEPTH, err, &root);
    if (r < 0)
        return at_error_prefix(err, r, "header");
    if (!json_is_object(root)) {
        json_decref(root);
        return at_error_set(err, -EINVAL, "header is not a JSON object");
    }
    *ret_root = root;
    *ret_data_at = 8 + (size_t)header_len;
    return 0;
}

/* __metadata__: a flat map of strings; taken out of root. */
static int take_meta(json_t *root, struct at_error *err, json_t **ret_meta)
{
    json_t *meta = json_object_get(root, "__metadata__"), *value;
    const char *key;
    if (!meta)
        return 0;
    if (!json_is_object(meta))
        return at_error_set(err, -EINVAL, "__metadata__ is not an object");
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return at_error_set(err, -EINVAL, "__metadata__ \"%.64s\" is not a string", key);
    }
    *ret_meta = json_incref(meta);
    json_object_del(root, "__metadata__");
    return 0;
}

static int read_shape(const json_t *shape, const char *name, struct at_tensor *t,
                      struct at_error *err)
{
    if (!json_is_array(shape) || json_array_size(shape) > 4)
        return at_error_set(err, -EINVAL, "tensor %s: shape must be a list of at most 4 numbers",
                            name);
    t->n_dims = (unsigned)json_array_size(shape);
    t->n = 1;
    for (unsigned i = 0; i < t->n_dims; i++) {
        const json_t *dim = json_array_get(shape, i);
        json_int_t d = json_integer_value(dim); /* 0 where it is no integer */
        if (d <= 0)
            return at_error_set(err, -EINVAL, "tensor %s: dimension %u is not a positive integer",
                                name, i);
        if ((uint64_t)d > AT_SAFETENSORS_MAX_BYTES || t->n > AT_SAFETENSORS_MAX_BYTES / (size_t)d)
            return at_error_set(err, -EINVAL, "tensor %s: shape holds more than %zu values", name,
                                AT_SAFETENSORS_MAX_BYTES);
        t->shape[i] = (size_t)d;
        t->n *= (size_t)d;
    }
    return 0;
}

static int read_name(const char *name, struct at_tensor *t, struct at_error *err)
{
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof t->name)
        return at_error_set(err, -EINVAL, "tensor name of %zu bytes (1 to %zu are allowed)", n,
                            sizeof t->name - 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x21 || (unsigned char)name[i] > 0x7e)
            return at_error_set(err, -EINVAL, "tensor name with a byte 0x%02x",
                                (unsigned char)name[i]);
    memcpy(t->name, name, n + 1);
    return 0;
}

static int read_tensor(const char *name, const json_t *entry, size_t data_len, struct at_tensor *t,
                       struct extent *ext, struct at_error *err)
{
    int r = read_name(name, t, err);
    if (r < 0)
        return r;
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!json_is_object(entry) || !dtype)
        return at_error_set(err, -EINVAL, "tensor %s: no dtype", name);
    t->bf16 = strcmp(dtype, "BF16") == 0;
    if (!t->bf16 && strcmp(dtype, "F32") != 0)
        return at_error_set(err, -EINVAL, "tensor %s: dtype %.16s (F32 or BF16 expected)", name,
                            dtype);
    r = read_shape(json_object_get(entry, "shape"), name, t, err);
    if (r < 0)
        return r;
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(e))
        return at_error_set(err, -EINVAL, "tensor %s: data_offsets must be two integers", name);
    json_int_t begin = json_integer_value(b), end = json_integer_value(e);
    if (begin < 0 || end < begin || (uint64_t)end > data_len)
        return at_error_set(err, -EINVAL,
                            "tensor %s: data_offsets %lld..%lld outside the %zu bytes of data",
                            name, (long long)begin, (long long)end, data_len);
    size_t want = t->n * (t->bf16 ? 2 : 4);
    if ((size_t)(end - begin) != want)
        return at_error_set(err, -EINVAL,
                            "tensor %s: %lld bytes of data, but shape and dtype need %zu", name,
                            (long long)(end - begin), want);
    *ext = (struct extent){.begin = (size_t)begin, .end = (size_t)end, .tensor = t};
    return 0;
}

/* The extents must tile the data: no overlap, no hole, nothing behind. */
static int check_tiling(struct extent *ext, size_t n, size_t data_len, struct at_error *err)
{
    size_t at = 0;
    qsort(ext, n, sizeof *ext, by_begin);
    for (size_t i = 0; i < n; i++) {
        if (ext[i].begin != at)
            return at_error_set(err, -EINVAL, "tensor %s: %s before byte %zu of the data",
                                ext[i].tensor->name,
                                ext[i].begin < at ? "overlaps the one" : "leaves a hole", at);
        at = ext[i].end;
    }
    if (at != data_len)
        return at_error_set(err, -EINVAL, "%zu bytes of data belong to no tensor", data_len - at);
    return 0;
}

static size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* Copies and widens; data ((n)) floats. Refuses what is not finite. */
static int load_tensor(struct at_tensor *t, const unsigned char *bytes, float *data,
                       struct at_error *err)
{
    if (t->bf16) {
        for (size_t i = 0; i < t->n; i++) {
            uint32_t bits = (uint32_t)bytes[2 * i] << 16 | (uint32_t)bytes[2 * i + 1] << 24;
            memcpy(data + i, &bits, 4);
        }
    } else {
        memcpy(data, bytes, t->n * 4);
    }
    for (size_t i = 0; i < t->n; i++)
        if (!isfinite(data[i]))
            return at_error_set(err, -EINVAL, "tensor %s: value %zu is %s", t->name, i,
                                isnan(data[i]) ? "NaN" : "infinite");
    t->data = data;
    return 0;
}

/* Fills f->tensors and f->data from the header's entries. ext: scratch (n_tensors). */
static int load_all(struct at_safetensors *f, const json_t *root, struct extent *ext,
                    const unsigned char *data, size_t data_len, struct at_error *err)
{
    const char *name;
    json_t *entry;
    size_t i = 0, total = 0;
    json_object_foreach((json_t *)root, name, entry)
    {
        int r = read_tensor(name, entry, data_len, &f->tensors[i], &ext[i], err);
        if (r < 0)
            return r;
        total += padded(f->tensors[i++].n); /* at most the file's size in all: each was checked */
        if (total > AT_SAFETENSORS_MAX_BYTES)
            return at_error_set(err, -EFBIG, "more than %zu values", AT_SAFETENSORS_MAX_BYTES);
    }
    int r = check_tiling(ext, f->n_tensors, data_len, err);
    if (r < 0)
        return r;
    f->data = at_mem_array(f->mem, AT_MEM_WEIGHTS, total, sizeof *f->data);
    if (!f->data)
        return at_error_set(err, -ENOMEM, "no memory for %zu values", total);
    float *at = f->data;
    for (i = 0; i < f->n_tensors; i++) {
        r = load_tensor(ext[i].tensor, data + ext[i].begin, at, err);
        if (r < 0)
            return r;
        at += padded(ext[i].tensor->n);
    }
    qsort(f->tensors, f->n_tensors, sizeof *f->tensors, by_name);
    return 0;
}

static void digest(const void *bytes, size_t n, char out[AT_SHA256_HEX_SIZE])
{
    struct at_sha256 s;
    at_sha256_init(&s);
    at_sha256_push(&s, bytes, n);
    at_sha256_finish_hex(&s, out);
}

int at_safetensors_parse(struct at_mem *mem, const void *bytes, size_t n, struct at_error *err,
                         struct at_safetensors **ret_file)
{
    json_t *root = NULL;
    size_t data_at = 0;
    struct extent *ext = NULL;
    struct at_safetensors *f = NULL;
    if (n > AT_SAFETENSORS_MAX_BYTES)
        return at_error_set(err, -EFBIG, "%zu bytes are above the ceiling of %zu", n,
                            AT_SAFETENSORS_MAX_BYTES);
    int r = parse_header(bytes, n, err, &root, &data_at);
    if (r < 0)
        return r;
    r = at_error_set(err, -ENOMEM, "no memory");
    f = at_mem_alloc(mem, AT_MEM_WEIGHTS, sizeof *f);
    if (!f)
        goto fail;
    f->mem = mem;
    r = take_meta(root, err, &f->meta);
    if (r < 0)
        goto fail;
    r = -EINVAL;
    f->n_tensors = json_object_size(root);
    if (f->n_tensors == 0 || f->n_tensors > AT_SAFETENSORS_MAX_TENSORS) {
        at_error_set(err, r, "%zu tensors (1 to %d are allowed)", f->n_tensors,
                     AT_SAFETENSORS_MAX_TENSORS);
        goto fail;
    }
    r = at_error_set(err, -ENOMEM, "no memory");
    f->tensors = at_mem_array(mem, AT_MEM_WEIGHTS, f->n_tensors, sizeof *f->tensors);
    ext = at_mem_array(mem, AT_MEM_OTHER, f->n_tensors, sizeof *ext);
    if (!f->tensors || !ext)
        goto fail;
    r = load_all(f, root, ext, (const unsigned char *)bytes + data_at, n - data_at, err);
    if (r < 0)
        goto fail;
    digest(bytes, n, f->digest);
    at_mem_free(mem, ext);
    json_decref(root);
    *ret_file = f;
    return 0;
fail:
    at_mem_free(mem, ext);
    json_decref(root);
    at_safetensors_destroy(f);
    return r;
}

static int read_exactly(int fd, unsigned char *bytes, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = read(fd, bytes + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (r == 0)
            return -EIO; /* it shrank under us */
        got += (size_t)r;
    }
    return 0;
}

/* O_NONBLOCK: a FIFO must not hold us before fstat has told it apart. */
static int open_file(const char *path, struct at_error *err, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return at_error_set(err, -errno, "%s: %s", path, strerror(errno));
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r < 0)
        at_error_set(err, r, "%s: %s", path, strerror(-r));
    else if (!S_ISREG(st.st_mode))
        r = at_error_set(err, -EINVAL, "%s: not a regular file", path);
    else if ((uint64_t)st.st_size > AT_SAFETENSORS_MAX_BYTES)
        r = at_error_set(err, -EFBIG, "%s: %lld bytes are above the ceiling of %zu", path,
                         (long long)st.st_size, AT_SAFETENSORS_MAX_BYTES);
    else if (st.st_size < 8)
        r = at_error_set(err, -EINVAL, "%s: %lld bytes are no safetensors file (at least 8)", path,
                         (long long)st.st_size);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_size = (size_t)st.st_size;
    return fd;
}

int at_safetensors_read(struct at_mem *mem, const char *path, struct at_error *err,
                        struct at_safetensors **ret_file)
{
    size_t n = 0;
    struct at_safetensors *f = NULL;
    int fd = open_file(path, err, &n);
    if (fd < 0)
        return fd;
    unsigned char *bytes = at_mem_alloc(mem, AT_MEM_OTHER, n);
    int r = bytes ? read_exactly(fd, bytes, n) : -ENOMEM;
    close(fd);
    if (r < 0)
        at_error_set(err, r, "%s: %s", path,
                     r == -EIO ? "cannot be read to its end" : strerror(-r));
    else if ((r = at_safetensors_parse(mem, bytes, n, err, &f)) < 0)
        at_error_prefix(err, r, "%s", path);
    at_mem_free(mem, bytes);
    if (r < 0)
        return r;
    snprintf(f->path, sizeof f->path, "%s", path);
    *ret_file = f;
    return 0;
}

void at_safetensors_destroy(struct at_safetensors *f)
{
    if (!f)
        return;
    json_decref(f->meta);
    at_mem_free(f->mem, f->tensors);
    at_mem_free(f->mem, f->data);
    at_mem_free(f->mem, f);
}

const struct at_tensor *at_safetensors_find(const struct at_safetensors *f, const char *name)
{
    struct at_tensor key;
    if (strlen(name) >= sizeof key.name)
        return NULL;
    strcpy(key.name, name);
    return bsearch(&key, f->tensors, f->n_tensors, sizeof key, by_name);
}

const struct at_tensor *at_safetensors_at(const struct at_safetensors *f, size_t i)
{
    return i < f->n_tensors ? &f->tensors[i] : NULL;
}

const char *at_safetensors_meta(const struct at_safetensors *f, const char *key)
{
    return json_string_value(json_object_get(f->meta, key));
}

const char *at_safetensors_meta_at(const struct at_safetensors *f, size_t i, const char **ret_value)
{
    const char *key;
    json_t *value;
    json_object_foreach(f->meta, key, value)
    {
        if (i-- == 0) {
            *ret_value = json_string_value(value);
            return key;
        }
    }
    return NULL;
}

const char *at_safetensors_digest(const struct at_safetensors *f)
{
    return f->digest;
}

const char *at_safetensors_path(const struct at_safetensors *f)
{
    return f->path;
}
