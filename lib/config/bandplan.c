/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/config/bandplan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/value.h"
#include "lib/config/yaml.h"

#define MAX_LINES 480 /* of four keys each: what the limits of a YAML file allow */

struct line {
    char classes[64]; /* "gfsk|fsk4" */
    double f_lo_hz, f_hi_hz;
    double bw_lo_hz, bw_hi_hz;
    char service[48];
};

struct at_bandplan {
    struct line lines[MAX_LINES];
    size_t n;
};

enum key { KEY_NONE, KEY_CLASS, KEY_F, KEY_BANDWIDTH, KEY_SERVICE };
static const char *const key_names[] = {"", "class", "f", "bandwidth", "service"};

struct loader {
    struct at_bandplan *plan;
    int depth; /* 1: the file, 2: the list, 3: a line of it */
    enum key key;
};

static int on_open(void *ctx, bool mapping, struct at_yaml_pos pos, struct at_error *err)
{
    struct loader *l = ctx;
    static const bool want_mapping[] = {true, false, true};
    if (l->depth == 3 || mapping != want_mapping[l->depth])
        return at_error_set(err, -EINVAL,
                            "services: not a list of lines; write - {class: gfsk, f: 1M-2M, "
                            "bandwidth: 1k-2k, service: NAME}");
    if (++l->depth < 3)
        return 0;
    if (l->plan->n == MAX_LINES)
        return at_error_set(err, -E2BIG, "services: more than %d lines; remove some", MAX_LINES);
    l->plan->lines[l->plan->n++] = (struct line){.bw_lo_hz = 0, .bw_hi_hz = INFINITY};
    return 0;
}

static int on_close(void *ctx, struct at_error *err)
{
    struct loader *l = ctx;
    if (l->depth-- < 3)
        return 0;
    const struct line *line = &l->plan->lines[l->plan->n - 1];
    const char *missing = !*line->classes        ? "class"
                          : !(line->f_hi_hz > 0) ? "f"
                          : !*line->service      ? "service"
                                                 : NULL;
    if (missing)
        return at_error_set(err, -EINVAL, "services[].%s: missing; add it", missing);
    return 0;
}

static int on_key(void *ctx, const char *key, struct at_yaml_pos pos, struct at_error *err)
{
    struct loader *l = ctx;
    char shown[48];
    at_value_quote(key, shown);
    if (l->depth == 1)
        return strcmp(key, "services") == 0
                   ? 0
                   : at_error_set(err, -EINVAL, "%s: unknown key; nearest is `services`", shown);
    for (int k = KEY_CLASS; k <= KEY_SERVICE; k++) {
        if (strcmp(key, key_names[k]) == 0) {
            l->key = (enum key)k;
            return 0;
        }
    }
    return at_error_set(err, -EINVAL,
                        "services[].%s: unknown key; known here: class, f, bandwidth, service",
                        shown);
}

static int set_word(char *out, size_t size, const char *text, struct at_error *err)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            return at_error_set(err, -EINVAL, "holds a control character; remove it");
    if (!*text || strlen(text) >= size)
        return at_error_set(err, -EINVAL, "empty or longer than %zu bytes; change it", size - 1);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int on_scalar(void *ctx, const char *text, bool null, struct at_yaml_pos pos,
                     struct at_error *err)
{
    struct loader *l = ctx;
    if (l->depth < 3)
        return null && l->depth == 1
                   ? 0
                   : at_error_set(err, -EINVAL, "services: takes a list of lines, not a value");
    struct line *line = &l->plan->lines[l->plan->n - 1];
    int r = 0;
    switch (l->key) {
    case KEY_CLASS:
        r = set_word(line->classes, sizeof line->classes, text, err);
        break;
    case KEY_SERVICE:
        r = set_word(line->service, sizeof line->service, text, err);
        break;
    case KEY_F:
        r = at_value_range(text, &line->f_lo_hz, &line->f_hi_hz);
        break;
    default:
        r = at_value_range(text, &line->bw_lo_hz, &line->bw_hi_hz);
    }
    if (r < 0 && (l->key == KEY_F || l->key == KEY_BANDWIDTH))
        at_error_set(err, r, "no range of frequencies; write for example 161.95M-162.05M");
    return r < 0 ? at_error_prefix(err, r, "services[].%s", key_names[l->key]) : 0;
}

int at_bandplan_load(const char *path, struct at_error *err, struct at_bandplan **ret_plan)
{
    struct loader l = {.plan = calloc(1, sizeof *l.plan)};
    if (!l.plan)
        return at_error_set(err, -ENOMEM, "%.255s: out of memory", path);
    const struct at_yaml_sink sink = {
        .ctx = &l, .open = on_open, .close = on_close, .key = on_key, .scalar = on_scalar};
    int r = at_yaml_read(path, &sink, err);
    if (r < 0) {
        free(l.plan);
        return r;
    }
    *ret_plan = l.plan;
    return 0;
}

void at_bandplan_destroy(struct at_bandplan *plan)
{
    free(plan);
}

size_t at_bandplan_count(const struct at_bandplan *plan)
{
    return plan ? plan->n : 0;
}

/* True where name is one of "a|b|c". */
static bool has_word(const char *words, const char *name)
{
    size_t n = strlen(name);
    for (const char *w = words; n && *w; w += strcspn(w, "|"), w += *w == '|')
        if (strcspn(w, "|") == n && memcmp(w, name, n) == 0)
            return true;
    return false;
}

const char *at_bandplan_find(const struct at_bandplan *plan, const char *class_name,
                             double center_hz, double bandwidth_hz)
{
    if (!plan || !(center_hz > 0))
        return NULL;
    for (size_t i = 0; i < plan->n; i++) {
        const struct line *line = &plan->lines[i];
        if (center_hz >= line->f_lo_hz && center_hz <= line->f_hi_hz &&
            bandwidth_hz >= line->bw_lo_hz && bandwidth_hz <= line->bw_hi_hz &&
            has_word(line->classes, class_name))
            return line->service;
    }
    return NULL;
}
