/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/config/yaml.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/config/value.h"

/* A key seen in a mapping that is still open, to find the second of its kind. */
struct seen {
    char *key;
    int depth;
};

struct reader {
    const struct at_yaml_sink *sink;
    struct at_error *err;
    struct at_yaml_pos pos; /* of the event in hand */
    int depth, n_nodes, n_documents;
    bool mapping[AT_YAML_MAX_DEPTH + 1]; /* by depth: mapping or list */
    bool has_key[AT_YAML_MAX_DEPTH + 1]; /* a key waits for its value */
    struct seen seen[AT_YAML_MAX_NODES];
    size_t n_seen;
};

int at_yaml_error_at(struct at_error *err, int code, const char *path, struct at_yaml_pos pos)
{
    return at_error_prefix(err, code, "%.255s:%d:%d", path, pos.line, pos.column);
}

static int read_all(int fd, size_t max, char **ret_text, size_t *ret_n)
{
    char *text = malloc(max + 1);
    if (!text)
        return -ENOMEM;
    size_t n = 0;
    while (n <= max) {
        ssize_t got = read(fd, text + n, max + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int r = -errno;
            free(text);
            return r;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    if (n > max) {
        free(text);
        return -E2BIG;
    }
    *ret_text = text;
    *ret_n = n;
    return 0;
}

/* Opened without waiting, so that a FIFO cannot hold the start; and only a regular file is read. */
static int read_file(const char *path, struct at_error *err, char **ret_text, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int r = -errno;
        return at_error_set(err, r, "%.255s: %s; %s", path, strerror(-r),
                            r == -ENOENT   ? "name an existing file"
                            : r == -EACCES ? "let this user read it"
                                           : "name a readable file");
    }
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (r < 0) {
        close(fd);
        return at_error_set(err, r, "%.255s: not a regular file; name a YAML file", path);
    }
    r = read_all(fd, AT_YAML_MAX_BYTES, ret_text, ret_n);
    close(fd);
    if (r == -E2BIG)
        return at_error_set(err, r, "%.255s: larger than 1 MiB; this is no configuration", path);
    if (r < 0)
        return at_error_set(err, r, "%.255s: %s; check the disk", path, strerror(-r));
    return 0;
}

static int check_bytes(const char *path, const char *text, size_t n, struct at_error *err)
{
    const unsigned char *b = (const unsigned char *)text;
    if (n >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff)))
        return at_error_set(err, -EINVAL, "%.255s:1:1: UTF-16; save the file as UTF-8", path);
    const char *nul = memchr(text, 0, n);
    if (!nul)
        return 0;
    struct at_yaml_pos pos = {1, 1};
    for (const char *c = text; c < nul; c++, pos.column++)
        if (*c == '\n')
            pos = (struct at_yaml_pos){pos.line + 1, 0};
    at_error_set(err, -EINVAL, "NUL byte; save the file as UTF-8 text");
    return at_yaml_error_at(err, -EINVAL, path, pos);
}

static int count_node(struct reader *r)
{
    if (++r->n_nodes > AT_YAML_MAX_NODES)
        return at_error_set(r->err, -E2BIG, "more than %d values; this is no configuration",
                            AT_YAML_MAX_NODES);
    return 0;
}

static int on_key(struct reader *r, const char *key)
{
    for (size_t i = r->n_seen; i-- > 0 && r->seen[i].depth == r->depth;) {
        if (strcmp(r->seen[i].key, key) == 0) {
            char shown[48];
            at_value_quote(key, shown);
            return at_error_set(r->err, -EINVAL, "%s: given twice; remove one", shown);
        }
    }
    char *copy = strdup(key);
    if (!copy)
        return at_error_set(r->err, -ENOMEM, "out of memory");
    r->seen[r->n_seen++] = (struct seen){copy, r->depth}; /* n_nodes bounds n_seen */
    r->has_key[r->depth] = true;
    return r->sink->key(r->sink->ctx, key, r->pos, r->err);
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    if (e->data.scalar.anchor || e->data.scalar.tag)
        return at_error_set(r->err, -EINVAL,
                            "anchors and tags are not taken; write the value plainly");
    int code = count_node(r);
    if (code < 0)
        return code;
    if (strlen(text) != e->data.scalar.length)
        return at_error_set(r->err, -EINVAL, "NUL in a value; remove it");
    if (r->depth == 0)
        return at_error_set(r->err, -EINVAL, "a lone value; write `key: value` lines");
    if (r->mapping[r->depth] && !r->has_key[r->depth])
        return on_key(r, text);
    r->has_key[r->depth] = false;
    bool null = !*text && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return r->sink->scalar(r->sink->ctx, text, null, r->pos, r->err);
}

static int on_open(struct reader *r, bool mapping, bool marked)
{
    if (marked)
        return at_error_set(r->err, -EINVAL,
                            "anchors and tags are not taken; write the value plainly");
    int code = count_node(r);
    if (code < 0)
        return code;
    if (r->depth == AT_YAML_MAX_DEPTH)
        return at_error_set(r->err, -E2BIG, "nested more than %d deep; this is no configuration",
                            AT_YAML_MAX_DEPTH);
    if (r->depth == 0 && !mapping)
        return at_error_set(r->err, -EINVAL, "a list; write `key: value` lines");
    if (r->depth && r->mapping[r->depth] && !r->has_key[r->depth])
        return at_error_set(r->err, -EINVAL, "a key must be a plain word");
    r->has_key[r->depth] = false;
    r->depth++;
    r->mapping[r->depth] = mapping;
    r->has_key[r->depth] = false;
    return r->sink->open(r->sink->ctx, mapping, r->pos, r->err);
}

static int on_close(struct reader *r)
{
    while (r->n_seen && r->seen[r->n_seen - 1].depth == r->depth)
        free(r->seen[--r->n_seen].key);
    r->depth--;
    return r->sink->close(r->sink->ctx, r->err);
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++r->n_documents > 1)
            return at_error_set(r->err, -EINVAL, "a second document; keep one per file");
        return 0;
    case YAML_ALIAS_EVENT:
        return at_error_set(r->err, -EINVAL, "aliases are not taken; write the value out");
    case YAML_SCALAR_EVENT:
        /* a file of comments alone is an empty one */
        if (r->depth == 0 && e->data.scalar.length == 0 && !e->data.scalar.tag &&
            !e->data.scalar.anchor)
            return 0;
        return on_scalar(r, e);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, true, e->data.mapping_start.anchor || e->data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, false, e->data.sequence_start.anchor || e->data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_close(r);
    default:
        return 0;
    }
}

/* libyaml's own complaint, with its place. */
static int syntax_error(struct reader *r, const yaml_parser_t *p)
{
    if (p->error == YAML_MEMORY_ERROR)
        return at_error_set(r->err, -ENOMEM, "out of memory");
    r->pos = (struct at_yaml_pos){(int)p->problem_mark.line + 1, (int)p->problem_mark.column + 1};
    if (p->error == YAML_READER_ERROR)
        r->pos = (struct at_yaml_pos){(int)p->mark.line + 1, (int)p->mark.column + 1};
    return at_error_set(r->err, -EINVAL, "not YAML: %s; check indentation, colons and quotes",
                        p->problem ? p->problem : "unreadable");
}

static int run_events(struct reader *r, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return syntax_error(r, p);
        r->pos = (struct at_yaml_pos){(int)e.start_mark.line + 1, (int)e.start_mark.column + 1};
        bool last = e.type == YAML_STREAM_END_EVENT;
        int code = on_event(r, &e);
        yaml_event_delete(&e);
        if (code < 0 || last)
            return code;
    }
}

int at_yaml_read(const char *path, const struct at_yaml_sink *sink, struct at_error *err)
{
    char *text = NULL;
    size_t n = 0;
    int code = read_file(path, err, &text, &n);
    if (code < 0)
        return code;
    struct reader *r = NULL;
    yaml_parser_t parser;
    bool has_parser = false;
    code = check_bytes(path, text, n, err);
    if (code < 0)
        goto done;
    r = calloc(1, sizeof *r);
    has_parser = r && yaml_parser_initialize(&parser);
    if (!has_parser) {
        code = at_error_set(err, -ENOMEM, "%.255s: out of memory", path);
        goto done;
    }
    r->sink = sink;
    r->err = err;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    code = run_events(r, &parser);
    if (code < 0)
        at_yaml_error_at(err, code, path, r->pos);
done:
    while (r && r->n_seen)
        free(r->seen[--r->n_seen].key);
    free(r);
    if (has_parser)
        yaml_parser_delete(&parser);
    free(text);
    return code;
}
