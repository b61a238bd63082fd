/* SigMF metadata (sigmf.org, version 1): what the file source needs of it, and nothing trusted.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/source/archive.h"
#include "lib/source/recording.h"

#define META_MAX (16u << 20)

struct parser {
    const char *meta;
    const struct at_file_options *flags;
    struct at_error *err;
    struct at_recording *r;
    uint64_t offset, size; /* of the data in its file, bytes */
};

/* The size bytes from offset on of fd, which meta names. */
static int parse_json(const char *meta, int fd, uint64_t offset, uint64_t size,
                      struct at_error *err, json_t **ret)
{
    if (size == 0)
        return at_error_set(err, -EINVAL, "%s: empty or no regular file", meta);
    if (size > META_MAX)
        return at_error_set(err, -E2BIG, "%s: metadata above 16 MiB; take out annotations", meta);
    char *text = at_mem_alloc(NULL, AT_MEM_OTHER, (size_t)size);
    int r = text ? at_recording_pread(fd, text, (size_t)size, offset) : -ENOMEM;
    if (r < 0) {
        at_error_set(err, r, "%s: %s", meta, strerror(-r));
        goto done;
    }
    json_error_t je;
    *ret = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &je);
    if (!*ret)
        r = at_error_set(err, -EINVAL, "%s:%d:%d: no valid JSON: %s", meta, je.line, je.column,
                         je.text);
done:
    at_mem_free(NULL, text);
    return r;
}

static int load_json(const char *meta, struct at_error *err, json_t **ret)
{
    struct at_recording owner = {.fd = -1};
    uint64_t size;
    bool stream;
    int r = at_recording_open_fd(meta, err, &owner.fd, &size, &stream);
    if (r == 0)
        r = parse_json(meta, owner.fd, 0, stream ? 0 : size, err, ret);
    at_recording_finish(&owner);
    return r;
}

static int parse_datatype(const struct parser *p, const json_t *global)
{
    if (p->flags->format)
        return 0;
    const char *type = json_string_value(json_object_get(global, "core:datatype"));
    int format = at_iq_format_from_sigmf(type);
    if (format < 0)
        return at_error_set(p->err, -EINVAL,
                            "%s: core:datatype \"%.40s\" is not read; write " AT_IQ_SIGMF_NAMES,
                            p->meta, type ? type : "missing");
    p->r->format = (enum at_iq_format)format;
    return 0;
}

/* A number within (lo, hi], or *ret unchanged where the key is missing. */
static int get_number(const struct parser *p, const json_t *object, const char *key, double lo,
                      double hi, double *ret)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return 0;
    double x = json_number_value(value);
    if (!json_is_number(value) || !isfinite(x) || !(x > lo) || x > hi)
        return at_error_set(p->err, -EINVAL, "%s: %s must be a number above %g and at most %g",
                            p->meta, key, lo, hi);
    *ret = x;
    return 0;
}

/* A count from 0, or fallback where the key is missing. */
static int get_count(const struct parser *p, const json_t *object, const char *key,
                     uint64_t fallback, uint64_t *ret)
{
    const json_t *value = json_object_get(object, key);
    if (value && (!json_is_integer(value) || json_integer_value(value) < 0))
        return at_error_set(p->err, -EINVAL, "%s: %s must be a whole number from 0", p->meta, key);
    *ret = value ? (uint64_t)json_integer_value(value) : fallback;
    return 0;
}

static int parse_global(const struct parser *p, const json_t *global)
{
    if (!json_is_object(global))
        return at_error_set(p->err, -EINVAL, "%s: no \"global\" object", p->meta);
    uint64_t channels = 0;
    int r = parse_datatype(p, global);
    if (r == 0)
        r = get_count(p, global, "core:num_channels", 1, &channels);
    if (r < 0)
        return r;
    if (channels != 1)
        return at_error_set(p->err, -EINVAL, "%s: %llu channels; write one channel to a file",
                            p->meta, (unsigned long long)channels);
    if (json_is_true(json_object_get(global, "core:metadata_only")))
        return at_error_set(p->err, -EINVAL,
                            "%s: it says core:metadata_only, so there are no samples", p->meta);
    if (!(p->flags->rate_hz > 0)) {
        r = get_number(p, global, "core:sample_rate", 0, AT_RATE_MAX_HZ, &p->r->rate_hz);
        if (r < 0)
            return r;
        if (p->r->rate_hz == 0)
            return at_error_set(p->err, -EINVAL, "%s: no core:sample_rate; say --rate 250k",
                                p->meta);
    }
    const char *hw = json_string_value(json_object_get(global, "core:hw"));
    if (hw)
        at_recording_copy_text(p->r->hardware, sizeof p->r->hardware, hw);
    return 0;
}

/* The data beside the metadata: STEM.sigmf-data, or core:dataset, which is a bare name in the same
 * folder. */
static int open_data(struct parser *p, const json_t *global)
{
    const json_t *dataset = json_object_get(global, "core:dataset");
    const char *name = json_string_value(dataset);
    const char *slash = strrchr(p->meta, '/');
    int folder = slash ? (int)(slash + 1 - p->meta) : 0, n;
    char path[4096];
    if (dataset) {
        if (!name || !*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
            strcmp(name, "..") == 0)
            return at_error_set(p->err, -EINVAL,
                                "%s: core:dataset must name a file in the same folder", p->meta);
        n = snprintf(path, sizeof path, "%.*s%s", folder, p->meta, name);
    } else {
        n = snprintf(path, sizeof path, "%.*s.sigmf-data",
                     (int)(strlen(p->meta) - strlen(".sigmf-meta")), p->meta);
    }
    if (n < 0 || (size_t)n >= sizeof path)
        return at_error_set(p->err, -ENAMETOOLONG, "%s: the path of its data is too long", p->meta);
    bool stream;
    int r = at_recording_open_fd(path, p->err, &p->r->fd, &p->size, &stream);
    if (r < 0)
        return r;
    return stream ? at_error_set(p->err, -EINVAL, "%s: no regular file", path) : 0;
}

struct capture {
    uint64_t sample_start, global_index, header_bytes;
    bool has_index;
    double center_hz;
    int64_t utc_ns;
};

static int parse_capture(const struct parser *p, const json_t *object, struct capture *ret)
{
    if (!json_is_object(object))
        return at_error_set(p->err, -EINVAL, "%s: captures must be objects", p->meta);
    *ret = (struct capture){.has_index = json_object_get(object, "core:global_index") != NULL};
    int r = get_count(p, object, "core:sample_start", 0, &ret->sample_start);
    if (r == 0)
        r = get_count(p, object, "core:global_index", 0, &ret->global_index);
    if (r == 0)
        r = get_count(p, object, "core:header_bytes", 0, &ret->header_bytes);
    if (r == 0)
        r = get_number(p, object, "core:frequency", -AT_CENTER_MAX_HZ, AT_CENTER_MAX_HZ,
                       &ret->center_hz);
    if (r < 0)
        return r;
    const json_t *when = json_object_get(object, "core:datetime");
    if (when &&
        (!json_is_string(when) || at_clock_parse_utc(json_string_value(when), &ret->utc_ns) < 0))
        return at_error_set(p->err, -EINVAL, "%s: core:datetime is no RFC 3339 time", p->meta);
    return 0;
}

/* Where the capture's samples begin in the stream that was recorded, and that nothing runs
 * backwards. */
static int place_capture(const struct parser *p, size_t i, const struct capture *c, uint64_t *base,
                         struct at_segment *segment)
{
    const struct at_segment *before =
        p->r->n_segments ? &p->r->segments[p->r->n_segments - 1] : NULL;
    uint64_t end = before ? before->index + before->n : 0;
    segment->index = end;
    if (c->has_index && !before)
        *base = c->global_index;
    if (c->has_index && before) {
        if (c->global_index < *base || c->global_index - *base < end)
            return at_error_set(p->err, -EINVAL, "%s: captures[%zu] runs back in core:global_index",
                                p->meta, i);
        segment->index = c->global_index - *base;
    }
    return 0;
}

static int parse_captures(const struct parser *p, const json_t *captures, uint64_t trailing_bytes)
{
    size_t n = json_array_size(captures), size = at_iq_format_size(p->r->format);
    uint64_t header = 0, base = 0;
    if (trailing_bytes > p->size)
        return at_error_set(p->err, -EINVAL, "%s: core:trailing_bytes exceeds the data", p->meta);
    struct capture c = {0}, next;
    int r = n ? parse_capture(p, json_array_get(captures, 0), &c) : 0;
    for (size_t i = 0; r == 0 && i < (n ? n : 1); i++, c = next) {
        if (c.header_bytes > p->size - header)
            return at_error_set(p->err, -EINVAL,
                                "%s: captures[%zu]: core:header_bytes exceeds the data", p->meta,
                                i);
        header += c.header_bytes;
        uint64_t total =
            (p->size - header - (trailing_bytes < p->size - header ? trailing_bytes : 0)) / size;
        next = (struct capture){.sample_start = total};
        if (i + 1 < n && (r = parse_capture(p, json_array_get(captures, i + 1), &next)) < 0)
            return r;
        if (c.sample_start > total || next.sample_start > total)
            return at_error_set(
                p->err, -EINVAL,
                "%s: captures[%zu] lies beyond the %llu samples of the data; cut short?", p->meta,
                c.sample_start > total ? i : i + 1, (unsigned long long)total);
        if (next.sample_start < c.sample_start)
            return at_error_set(p->err, -EINVAL, "%s: captures[%zu] and the next are out of order",
                                p->meta, i);
        struct at_segment s = {.offset = p->offset + header + c.sample_start * size,
                               .n = next.sample_start - c.sample_start,
                               .center_hz = c.center_hz,
                               .utc_ns = c.utc_ns};
        r = place_capture(p, i, &c, &base, &s);
        if (r == 0 && s.n > 0 && (r = at_recording_add(p->r, &s)) < 0)
            return at_error_set(p->err, r, "%s: more than %u captures", p->meta,
                                AT_RECORDING_MAX_SEGMENTS);
    }
    if (r == 0 && p->r->n_segments == 0)
        return at_error_set(p->err, -EINVAL, "%s: its data holds no samples", p->meta);
    return r;
}

/* The samples are where p->offset and p->size say, or beside the metadata where p->r has no file
 * yet. */
static int parse_root(struct parser *p, const json_t *root)
{
    const json_t *global = json_object_get(root, "global"),
                 *captures = json_object_get(root, "captures");
    uint64_t trailing = 0;
    int r = parse_global(p, global);
    if (r == 0 && captures && !json_is_array(captures))
        r = at_error_set(p->err, -EINVAL, "%s: \"captures\" must be a list", p->meta);
    if (r == 0)
        r = get_count(p, global, "core:trailing_bytes", 0, &trailing);
    if (r == 0 && p->r->fd < 0)
        r = open_data(p, global);
    if (r == 0)
        r = parse_captures(p, captures, trailing);
    if (r == 0) {
        p->r->center_hz = p->r->segments[0].center_hz;
        p->r->start_utc_ns = p->r->segments[0].utc_ns;
    }
    return r;
}

int at_sigmf_open(const char *meta, const struct at_file_options *flags, struct at_error *err,
                  struct at_recording *ret)
{
    json_t *root = NULL;
    struct parser p = {.meta = meta, .flags = flags, .err = err, .r = ret};
    int r = load_json(meta, err, &root);
    if (r == 0)
        r = parse_root(&p, root);
    json_decref(root);
    return r;
}

int at_sigmf_open_archive(const char *path, uint64_t size, const struct at_file_options *flags,
                          struct at_error *err, struct at_recording *ret)
{
    json_t *root = NULL;
    struct at_archive a;
    int r = at_archive_find(path, ret->fd, size, err, &a);
    if (r < 0)
        return r;
    struct parser p = {.meta = path,
                       .flags = flags,
                       .err = err,
                       .r = ret,
                       .offset = a.data.offset,
                       .size = a.data.size};
    r = parse_json(path, ret->fd, a.meta.offset, a.meta.size, err, &root);
    if (r == 0)
        r = parse_root(&p, root);
    if (r == 0 && a.missing)
        snprintf(ret->message, sizeof ret->message,
                 "the archive promises %llu bytes of samples, it holds %llu: cut short",
                 (unsigned long long)(a.data.size + a.missing), (unsigned long long)a.data.size);
    json_decref(root);
    return r;
}
