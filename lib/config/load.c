/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/config/config.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/path.h"
#include "lib/config/table.h"
#include "lib/config/value.h"
#include "lib/config/yaml.h"

#define MAX_FILES 64

/* Where a radio or band began, for checks that need the whole. */
struct place {
    const char *path; /* borrowed from the list of files */
    struct at_yaml_pos pos;
};

/* One open mapping or list. */
struct level {
    size_t path_len; /* of loader.path, up to and with this level */
    bool mapping;
    const struct at_config_key *list; /* a list of scalars */
};

struct loader {
    struct at_config *config;
    const char *file, *dir; /* of the file in hand */
    char path[256];         /* the key in hand, as the table writes it */
    struct level levels[AT_YAML_MAX_DEPTH + 1];
    int depth;
    struct place radios[AT_CONFIG_MAX_RADIOS];
    struct place bands[AT_CONFIG_MAX_RADIOS][AT_CONFIG_MAX_BANDS];
};

static struct at_config_radio *last_radio(struct at_config *c)
{
    return c->n_radios ? &c->radios[c->n_radios - 1] : NULL;
}

static struct at_config_band *last_band(struct at_config *c)
{
    struct at_config_radio *r = last_radio(c);
    return r && r->n_bands ? &r->bands[r->n_bands - 1] : NULL;
}

/* A preset, or where it lies in one of the service's folders and systemd names another one for this
 * instance ($STATE_DIRECTORY, $CACHE_DIRECTORY; systemd.exec(5)), that one. out: n bytes. */
static const char *preset_of(const struct at_config_key *key, char *out, size_t n)
{
    static const struct {
        const char *folder, *variable;
    } folders[] = {{AT_STATEDIR "/lib/attune", "STATE_DIRECTORY"},
                   {AT_STATEDIR "/cache/attune", "CACHE_DIRECTORY"}};
    for (size_t i = 0; key->type == AT_CONFIG_PATH && i < 2; i++) {
        size_t len = strlen(folders[i].folder);
        const char *own = getenv(folders[i].variable);
        bool inside = key->preset && !strncmp(key->preset, folders[i].folder, len) &&
                      strchr("/", key->preset[len]);
        if (inside && own && own[0] == '/' && !strchr(own, ':')) {
            snprintf(out, n, "%s%s", own, key->preset + len);
            return out;
        }
    }
    return key->preset;
}

/* Presets of the keys of one level, into the newest struct of it. */
static void set_presets(struct at_config *c, int level)
{
    for (size_t i = 0; i < at_config_table_n; i++) {
        const struct at_config_key *key = &at_config_table[i];
        if (key->level != level)
            continue;
        void *member = at_config_member(key, c, last_radio(c), last_band(c));
        char own[AT_CONFIG_PATH_SIZE];
        const char *preset = preset_of(key, own, sizeof own);
        if (preset)
            at_config_set(key, member, preset, "/", NULL);
        else if (key->type == AT_CONFIG_NUMBER || key->type == AT_CONFIG_HZ)
            *(double *)member = NAN;
    }
}

static int fail_key(struct loader *l, int code, struct at_error *err)
{
    return at_error_prefix(err, code, "%s", l->path);
}

static int add_radio(struct loader *l, struct at_yaml_pos pos, struct at_error *err)
{
    struct at_config *c = l->config;
    if (c->n_radios == AT_CONFIG_MAX_RADIOS)
        return at_error_set(err, -EINVAL, "radios: more than %d; remove some",
                            AT_CONFIG_MAX_RADIOS);
    l->radios[c->n_radios++] = (struct place){l->file, pos};
    set_presets(c, 1);
    return 0;
}

static int add_band(struct loader *l, struct at_yaml_pos pos, struct at_error *err)
{
    struct at_config_radio *r = last_radio(l->config);
    if (r->n_bands == AT_CONFIG_MAX_BANDS)
        return at_error_set(err, -EINVAL, "radios[].bands: more than %d; remove some",
                            AT_CONFIG_MAX_BANDS);
    l->bands[l->config->n_radios - 1][r->n_bands++] = (struct place){l->file, pos};
    set_presets(l->config, 2);
    return 0;
}

static int open_item(struct loader *l, bool mapping, struct at_yaml_pos pos, struct at_error *err)
{
    if (!mapping || l->levels[l->depth].list)
        return fail_key(
            l, at_error_set(err, -EINVAL, "takes no list or mapping here; write plain values"),
            err);
    int r = strcmp(l->path, "radios[]") == 0 ? add_radio(l, pos, err) : add_band(l, pos, err);
    if (r < 0)
        return r;
    l->levels[++l->depth] = (struct level){.path_len = strlen(l->path), .mapping = true};
    return 0;
}

static int on_open(void *ctx, bool mapping, struct at_yaml_pos pos, struct at_error *err)
{
    struct loader *l = ctx;
    l->path[l->depth ? strlen(l->path) : 0] = 0;
    if (l->depth && !l->levels[l->depth].mapping)
        return open_item(l, mapping, pos, err);
    const struct at_config_key *key = at_config_table_find(l->path);
    bool scalars = key && at_config_is_list(key);
    if (mapping ? !at_config_table_is_section(l->path, false)
                : !scalars && !at_config_table_is_section(l->path, true))
        return fail_key(l,
                        at_error_set(err, -EINVAL, "takes no %s; write %s",
                                     mapping ? "mapping" : "list",
                                     key && !scalars      ? "one value"
                                     : scalars || mapping ? "a list: [a, b]"
                                                          : "`key: value` lines below it"),
                        err);
    if (!mapping && !scalars)
        strcat(l->path, "[]"); /* paths of the table are far shorter than the buffer */
    l->levels[++l->depth] = (struct level){
        .path_len = strlen(l->path), .mapping = mapping, .list = mapping ? NULL : key};
    return 0;
}

static int on_close(void *ctx, struct at_error *err)
{
    struct loader *l = ctx;
    l->depth--;
    if (l->depth)
        l->path[l->levels[l->depth].path_len] = 0;
    return 0;
}

struct known {
    char text[300];
};

static void visit_known(void *ctx, const char *name, size_t first)
{
    struct known *k = ctx;
    size_t n = strlen(k->text);
    snprintf(k->text + n, sizeof k->text - n, "%s%s", n ? ", " : "", name);
}

static int unknown_key(struct loader *l, const char *key, struct at_error *err)
{
    char near[64], shown[48];
    at_value_quote(key, shown);
    const char *dot = *l->path ? "." : "";
    if (at_config_table_nearest(l->path, key, near))
        return at_error_set(err, -EINVAL, "%s%s%s: unknown key; nearest is `%s`", l->path, dot,
                            shown, near);
    struct known k = {""};
    at_config_table_children(l->path, visit_known, &k);
    return at_error_set(err, -EINVAL, "%s%s%s: unknown key; known here: %s", l->path, dot, shown,
                        k.text);
}

static int on_key(void *ctx, const char *key, struct at_yaml_pos pos, struct at_error *err)
{
    struct loader *l = ctx;
    size_t n = l->levels[l->depth].path_len;
    l->path[n] = 0;
    if (n + strlen(key) + 4 > sizeof l->path || strpbrk(key, ".[]") || !*key)
        return unknown_key(l, key, err);
    snprintf(l->path + n, sizeof l->path - n, "%s%s", n ? "." : "", key);
    if (at_config_table_find(l->path) || at_config_table_is_section(l->path, false) ||
        at_config_table_is_section(l->path, true))
        return 0;
    l->path[n] = 0;
    return unknown_key(l, key, err);
}

static int on_scalar(void *ctx, const char *text, bool null, struct at_yaml_pos pos,
                     struct at_error *err)
{
    struct loader *l = ctx;
    const struct level *level = &l->levels[l->depth];
    const struct at_config_key *key = level->mapping ? at_config_table_find(l->path) : level->list;
    if (!key) { /* a section; one with nothing in it is an empty one */
        if (null && level->mapping)
            return 0;
        return fail_key(
            l, at_error_set(err, -EINVAL, "takes `key: value` lines below it, not a value"), err);
    }
    bool list = at_config_is_list(key);
    if (list && level->mapping)
        return null ? 0
                    : fail_key(l, at_error_set(err, -EINVAL, "takes a list; write [a, b]"), err);
    void *member = at_config_member(key, l->config, last_radio(l->config), last_band(l->config));
    int r = at_config_set(key, member, text, l->dir, err);
    return r < 0 ? fail_key(l, r, err) : 0;
}

static int read_one(struct loader *l, const char *path, struct at_error *err)
{
    char *whole = realpath(path, NULL); /* also the proof that it is there */
    char *slash = whole ? strrchr(whole, '/') : NULL;
    if (slash)
        *slash = 0; /* "/x.yaml": the empty string, and paths are counted as "/y" */
    l->file = path;
    l->dir = whole ? whole : "";
    l->depth = 0;
    l->path[0] = 0;
    const struct at_yaml_sink sink = {
        .ctx = l, .open = on_open, .close = on_close, .key = on_key, .scalar = on_scalar};
    int r = at_yaml_read(path, &sink, err);
    free(whole);
    return r;
}

static int fail_at(struct place at, struct at_error *err, int code)
{
    return at_yaml_error_at(err, code, at.path, at.pos);
}

static int finish_band(struct loader *l, struct at_config_radio *r, uint32_t i, struct place at,
                       struct at_error *err)
{
    struct at_config_band *b = &r->bands[i];
    if (isnan(b->rate_hz))
        b->rate_hz = 0;
    if (!*b->name)
        snprintf(b->name, sizeof b->name, "band%u", i + 1);
    if (!*r->file && (isnan(b->center_hz) || b->rate_hz == 0))
        return fail_at(at, err,
                       at_error_set(err, -EINVAL,
                                    "radios[].bands[].%s: missing; write for example %s",
                                    isnan(b->center_hz) ? "center" : "rate",
                                    isnan(b->center_hz) ? "center: 433.92M" : "rate: 1.024M"));
    if (at_value_lacks_unit(b->center_hz))
        return fail_at(
            at, err,
            at_error_set(err, -EINVAL,
                         "radios[].bands[].center: %.10g Hz is no centre; with its unit it "
                         "is %.10gM",
                         b->center_hz, b->center_hz));
    if (b->rate_hz > 0 && fabs(b->lo_offset_hz) > b->rate_hz / 2)
        return fail_at(
            at, err,
            at_error_set(
                err, -EINVAL,
                "radios[].bands[].lo_offset: more than half the rate; choose a smaller one"));
    if (b->blanker_db > 0 && b->blanker_db < AT_BLANKER_MIN_DB)
        return fail_at(at, err,
                       at_error_set(err, -EINVAL,
                                    "radios[].bands[].blanker: %g dB would take noise itself for "
                                    "pulses; choose 9 to 40, or 0 for none",
                                    b->blanker_db));
    return 0;
}

/* What the bands of one radio must have in common. */
static int check_bands(const struct loader *l, uint32_t i, struct at_error *err)
{
    const struct at_config_radio *r = &l->config->radios[i];
    bool any_antenna = false;
    for (uint32_t j = 0; j < r->n_bands; j++)
        any_antenna |= r->bands[j].antenna[0] != 0;
    for (uint32_t j = 0; j < r->n_bands; j++) {
        const struct at_config_band *b = &r->bands[j];
        struct place at = l->bands[i][j];
        if (j > 0 && *r->file)
            return fail_at(
                at, err,
                at_error_set(err, -EINVAL,
                             "radios[].bands: a recording has one band; remove this one"));
        if (any_antenna && !*b->antenna && !*r->antenna)
            return fail_at(
                at, err,
                at_error_set(err, -EINVAL,
                             "radios[].bands[].antenna: missing in `%s`, another band of "
                             "this radio names one; write it here or at the radio",
                             b->name));
        for (uint32_t k = 0; k < j; k++)
            if (!strcmp(r->bands[k].name, b->name))
                return fail_at(at, err,
                               at_error_set(err, -EINVAL,
                                            "radios[].bands[].name: `%s` is taken; choose another",
                                            b->name));
    }
    return 0;
}

static int finish_radio(struct loader *l, uint32_t i, struct at_error *err)
{
    struct at_config *c = l->config;
    struct at_config_radio *r = &c->radios[i];
    struct place at = l->radios[i];
    if (!*r->device)
        return fail_at(
            at, err,
            at_error_set(err, -EINVAL,
                         "radios[].device: missing; write for example device: driver=rtlsdr"));
    if (!*r->name)
        snprintf(r->name, sizeof r->name, "radio%u", i + 1);
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(c->radios[j].name, r->name) == 0)
            return fail_at(at, err,
                           at_error_set(err, -EINVAL,
                                        "radios[].name: `%s` is taken; choose another", r->name));
    if (strncmp(r->device, "file=", 5) == 0)
        memcpy(r->file, r->device + 5, sizeof r->file);
    if (r->n_bands == 0 && !*r->file)
        return fail_at(
            at, err,
            at_error_set(
                err, -EINVAL,
                "radios[].bands: missing; write for example [{center: 433.92M, rate: 1.024M}]"));
    if (r->n_bands == 0) {
        r->n_bands = 1;
        uint32_t n = c->n_radios;
        c->n_radios = i + 1; /* presets go to the newest */
        set_presets(c, 2);
        c->n_radios = n;
    }
    for (uint32_t j = 0; j < r->n_bands; j++) {
        int code = finish_band(l, r, j, l->bands[i][j], err);
        if (code < 0)
            return code;
    }
    return check_bands(l, i, err);
}

static bool is_among(const char *const *paths, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(paths[i], path))
            return true;
    return false;
}

/* Of the first n_radios; one more than fit are counted, no more. */
static size_t list_models(const struct at_config *c, uint32_t n_radios,
                          const char *paths[AT_CONFIG_MAX_MODELS + 1])
{
    size_t n = 0;
    paths[n++] = c->model.path;
    for (uint32_t i = 0; i < n_radios; i++)
        for (uint32_t k = 0; k < c->radios[i].n_bands; k++) {
            const char *path = c->radios[i].bands[k].model;
            if (path[0] && n <= AT_CONFIG_MAX_MODELS && !is_among(paths, n, path))
                paths[n++] = path;
        }
    return n;
}

size_t at_config_models(const struct at_config *config, const char *ret_paths[AT_CONFIG_MAX_MODELS])
{
    const char *paths[AT_CONFIG_MAX_MODELS + 1];
    size_t n = list_models(config, config->n_radios, paths);
    memcpy(ret_paths, paths, AT_CONFIG_MAX_MODELS * sizeof *paths);
    return n < AT_CONFIG_MAX_MODELS ? n : AT_CONFIG_MAX_MODELS;
}

static int finish(struct loader *l, struct at_error *err)
{
    const char *paths[AT_CONFIG_MAX_MODELS + 1] = {NULL};
    struct at_config *c = l->config;
    unsigned port = 0;
    at_value_listen(c->http.listen, c->http.host, sizeof c->http.host,
                    &port); /* was checked when it was set */
    c->http.port = (uint16_t)port;
    port = 0;
    if (c->http.metrics_listen[0])
        at_value_listen(c->http.metrics_listen, c->http.metrics_host, sizeof c->http.metrics_host,
                        &port);
    c->http.metrics_port = (uint16_t)port;
    for (uint32_t i = 0; i < c->n_radios; i++) {
        int r = finish_radio(l, i, err);
        if (r < 0)
            return r;
        if (list_models(c, i + 1, paths) > AT_CONFIG_MAX_MODELS)
            return fail_at(l->radios[i], err,
                           at_error_set(err, -EINVAL,
                                        "radios[].bands[].model.path: more than %d models in all; "
                                        "use fewer",
                                        AT_CONFIG_MAX_MODELS));
    }
    return 0;
}

/* A folder that is not there is none; one that can't be read may hold what counts. */
static int is_trouble(const char *path, int code)
{
    return code != ENOENT && code != ENOTDIR;
}

/* The files of conf.d beside path, in the order of their names. */
static int find_more(const char *path, glob_t *found, struct at_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    static const char tail[] = "conf.d/*.yaml";
    char *pattern = malloc(2 * n + sizeof tail);
    if (!pattern)
        return at_error_set(err, -ENOMEM, "out of memory");
    at_path_quote(path, n, pattern);
    strcat(pattern, tail);
    int r = glob(pattern, 0, is_trouble, found), code = errno;
    free(pattern);
    if (r == GLOB_NOSPACE)
        return at_error_set(err, -ENOMEM, "out of memory");
    if (r == GLOB_ABORTED)
        return at_error_set(err, -code, "%.*sconf.d: %s; let attuned read it, or remove it", (int)n,
                            path, strerror(code));
    if (r == 0 && found->gl_pathc > MAX_FILES)
        return at_error_set(err, -E2BIG,
                            "%.255s: more than %d files in conf.d beside it; remove some", path,
                            MAX_FILES);
    return 0;
}

int at_config_load(const char *path, struct at_error *err, struct at_config **ret_config)
{
    glob_t found = {0};
    struct loader *l = calloc(1, sizeof *l);
    struct at_config *c = calloc(1, sizeof *c);
    int r = -ENOMEM;
    if (!l || !c) {
        at_error_set(err, r, "out of memory");
        goto fail;
    }
    l->config = c;
    set_presets(c, 0);
    r = read_one(l, path, err);
    if (r == 0)
        r = find_more(path, &found, err);
    for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
        r = read_one(l, found.gl_pathv[i], err);
    if (r == 0)
        r = finish(l, err);
    if (r < 0)
        goto fail;
    globfree(&found);
    free(l);
    *ret_config = c;
    return 0;
fail:
    globfree(&found);
    free(l);
    free(c);
    return r;
}

void at_config_destroy(struct at_config *config)
{
    free(config);
}
