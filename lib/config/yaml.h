/* YAML as a stream of keys and values with their places, and with limits: 1 MiB, depth 32, 4096
 * nodes; one document; no aliases, anchors, tags, duplicate or composite keys, NUL, UTF-16. No tree
 * is built. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CONFIG_YAML_H
#define AT_CONFIG_YAML_H

#include <stdbool.h>

#include "lib/base/err.h"

#define AT_YAML_MAX_BYTES (1024 * 1024)
#define AT_YAML_MAX_DEPTH 32
#define AT_YAML_MAX_NODES 4096

struct at_yaml_pos {
    int line, column; /* from 1; columns count characters */
};

/* Called in the order of the file; strings are borrowed. A negative return ends the reading; the
 * message that the function left in err gets "FILE:LINE:COL: " of this event in front. All
 * required. */
struct at_yaml_sink {
    void *ctx;
    int (*open)(void *ctx, bool mapping, struct at_yaml_pos pos,
                struct at_error *err); /* a mapping or a list */
    int (*close)(void *ctx, struct at_error *err);
    int (*key)(void *ctx, const char *key, struct at_yaml_pos pos, struct at_error *err);
    /* null: written as nothing at all (`key:`). */
    int (*scalar)(void *ctx, const char *text, bool null, struct at_yaml_pos pos,
                  struct at_error *err);
};

/* Reads a regular file whose root is a mapping (or that is empty). 0; -ENOENT, -EACCES, -EINVAL,
 * -E2BIG, -ENOMEM with err filled; or what the sink returned. Any thread. */
int at_yaml_read(const char *path, const struct at_yaml_sink *sink, struct at_error *err);

/* For checks after the reading: "PATH:LINE:COL: " before what err says. Returns code. */
int at_yaml_error_at(struct at_error *err, int code, const char *path, struct at_yaml_pos pos);

#endif
