/* Metadata beside `config`: labels, groups, accuracy, calibration and thresholds.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/model/model_impl.h"

#define DEFAULT_WEAK_SNR_DB (-10.0f)
#define DEFAULT_WEAK_TOKENS 4

/* The parsed metadata entry: 1 and a new reference, 0 where there is none, negative where it is no
 * JSON. */
static int load(const struct at_safetensors *f, const char *key, struct at_error *err, json_t **ret)
{
    const char *text = at_safetensors_meta(f, key);
    if (!text)
        return 0;
    int r = at_model_json(text, strlen(text), 4, err, ret);
    return r < 0 ? at_error_prefix(err, r, "%s", key) : 1;
}

/* Words end up on terminals, in URLs and in metrics: letters, digits, '_' and '-' only. */
static int copy_word(const json_t *item, char *out, size_t size)
{
    const char *text = json_string_value(item);
    size_t n = text ? strlen(text) : 0;
    if (n == 0 || n >= size ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != n)
        return -EINVAL;
    memcpy(out, text, n + 1);
    return 0;
}

static int read_labels(struct at_model *m, json_t *labels, struct at_error *err)
{
    uint32_t n = m->config.n_classes;
    if (json_array_size(labels) != n)
        return at_error_set(err, -EINVAL, "labels: %zu names for %u classes",
                            json_array_size(labels), n);
    for (uint32_t i = 0; i < n; i++) {
        char *label = m->labels[i];
        if (copy_word(json_array_get(labels, i), label, AT_LABEL_SIZE) < 0)
            return at_error_set(err, -EINVAL,
                                "labels: name %u must be 1 to %d letters, digits, _ or -", i,
                                AT_LABEL_SIZE - 1);
        if (at_model_label_index(m, label) != (int)i || strcmp(label, "unknown") == 0 ||
            strcmp(label, "weak") == 0)
            return at_error_set(err, -EINVAL, "labels: %s stands twice or is a reserved word",
                                label);
    }
    return 0;
}

static int read_groups(struct at_model *m, json_t *groups, struct at_error *err)
{
    const char *name;
    json_t *list;
    if (!json_is_object(groups) || json_object_size(groups) > AT_MAX_GROUPS)
        return at_error_set(err, -EINVAL, "groups: an object of at most %d lists expected",
                            AT_MAX_GROUPS);
    json_object_foreach(groups, name, list)
    {
        struct at_group *g = &m->groups[m->n_groups];
        json_t *word = json_string(name);
        int r = copy_word(word, g->name, sizeof g->name);
        json_decref(word);
        if (r < 0 || !json_is_array(list))
            return at_error_set(err, -EINVAL, "groups: %.24s must be a word naming a list", name);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *label = json_string_value(json_array_get(list, i));
            int c = label ? at_model_label_index(m, label) : -1;
            if (c < 0)
                return at_error_set(err, -EINVAL, "groups: %s names %.24s, which is no label",
                                    g->name, label ? label : "something");
            g->members |= UINT64_C(1) << c;
        }
        m->n_groups++;
    }
    return 0;
}

/* {"backend", "window", "overall", ...}: the rest is for people. */
static int read_accuracy(struct at_model *m, json_t *list, struct at_error *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > sizeof m->accuracy / sizeof *m->accuracy)
        return at_error_set(err, -EINVAL, "accuracy: a list of at most %zu objects expected",
                            sizeof m->accuracy / sizeof *m->accuracy);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *overall = json_object_get(item, "overall");
        json_int_t window = json_integer_value(json_object_get(item, "window"));
        double v = json_is_number(overall) ? json_number_value(overall) : -1;
        if (copy_word(json_object_get(item, "backend"), m->accuracy[i].backend,
                      sizeof m->accuracy[i].backend) < 0 ||
            window < 0 || window > 1 << 20 || !(v >= 0 && v <= 1))
            return at_error_set(err, -EINVAL,
                                "accuracy: entry %zu needs backend, window and overall from 0 to 1",
                                i);
        m->accuracy[i].window = (uint32_t)window;
        m->accuracy[i].overall = (float)v;
    }
    m->n_accuracy = n;
    return 0;
}

/* Missing members are 0; what is there must be a finite number. */
static int number_in(const json_t *object, const char *key, double fallback, float *ret)
{
    const json_t *item = json_object_get(object, key);
    double v = item ? json_number_value(item) : fallback;
    if ((item && !json_is_number(item)) || !isfinite(v) || fabs(v) > 1e6)
        return -EINVAL;
    *ret = (float)v;
    return 0;
}

static int read_calibration(struct at_model *m, json_t *map, struct at_error *err)
{
    const char *name;
    json_t *item;
    if (!json_is_object(map) ||
        json_object_size(map) > sizeof m->calibration / sizeof *m->calibration)
        return at_error_set(err, -EINVAL, "calibration: an object by backend expected");
    json_object_foreach(map, name, item)
    {
        size_t i = m->n_calibration;
        json_t *word = json_string(name);
        int r = copy_word(word, m->calibration[i].backend, sizeof m->calibration[i].backend);
        json_decref(word);
        if (r < 0 || !json_is_object(item) || number_in(item, "a", 1, &m->calibration[i].a) < 0 ||
            number_in(item, "b", 0, &m->calibration[i].b) < 0 ||
            number_in(item, "c", 0, &m->calibration[i].c) < 0 ||
            number_in(item, "d", 0, &m->calibration[i].d) < 0 ||
            number_in(item, "min", 0.05, &m->calibration[i].min) < 0 ||
            number_in(item, "max", 20, &m->calibration[i].max) < 0 ||
            !(m->calibration[i].min > 0) || m->calibration[i].max < m->calibration[i].min)
            return at_error_set(err, -EINVAL,
                                "calibration: %.16s needs numbers a, b, c, d and 0 < min <= max",
                                name);
        m->n_calibration++;
    }
    return 0;
}

static int read_unknown(struct at_model *m, json_t *map, struct at_error *err)
{
    const char *name;
    json_t *item;
    if (!json_is_object(map) || json_object_size(map) > sizeof m->unknown / sizeof *m->unknown)
        return at_error_set(err, -EINVAL, "unknown: an object by backend expected");
    json_object_foreach(map, name, item)
    {
        size_t i = m->n_unknown;
        json_t *word = json_string(name);
        int r = copy_word(word, m->unknown[i].backend, sizeof m->unknown[i].backend);
        json_decref(word);
        if (r < 0 || !json_is_number(item) || !isfinite(json_number_value(item)))
            return at_error_set(err, -EINVAL, "unknown: %.16s must be a finite energy", name);
        m->unknown[i].energy = (float)json_number_value(item);
        m->n_unknown++;
    }
    return 0;
}

/* All seven must be there: evidence of which a weight is missing would judge at random. */
static int read_evidence(struct at_model *m, json_t *map, struct at_error *err)
{
    const char *name;
    json_t *item;
    if (!json_is_object(map) || json_object_size(map) > sizeof m->evidence / sizeof *m->evidence)
        return at_error_set(err, -EINVAL, "weak: evidence must be an object by backend");
    json_object_foreach(map, name, item)
    {
        struct at_evidence *e = &m->evidence[m->n_evidence];
        const struct {
            const char *key;
            float *to;
        } weights[] = {{"top", &e->top},
                       {"noise", &e->noise},
                       {"margin_db", &e->margin_db},
                       {"snr_db", &e->snr_db},
                       {"log2_tokens", &e->log2_tokens},
                       {"share", &e->share},
                       {"least", &e->least}};
        json_t *word = json_string(name);
        int r = copy_word(word, e->backend, sizeof e->backend);
        json_decref(word);
        if (r < 0 || !json_is_object(item))
            return at_error_set(err, -EINVAL, "weak: evidence of %.16s must be an object", name);
        for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
            if (number_in(item, weights[i].key, NAN, weights[i].to) < 0)
                return at_error_set(err, -EINVAL,
                                    "weak: evidence of %.16s needs a finite number %s", name,
                                    weights[i].key);
        m->n_evidence++;
    }
    return 0;
}

static int read_weak(struct at_model *m, json_t *weak, struct at_error *err)
{
    float tokens;
    if (!json_is_object(weak) ||
        number_in(weak, "snr_db", DEFAULT_WEAK_SNR_DB, &m->weak_snr_db) < 0 ||
        number_in(weak, "tokens", DEFAULT_WEAK_TOKENS, &tokens) < 0 || tokens < 0 ||
        (json_object_get(weak, "sure_snr_db") &&
         number_in(weak, "sure_snr_db", 0, &m->sure_snr_db) < 0))
        return at_error_set(err, -EINVAL,
                            "weak: numbers snr_db, tokens (0 or more) and sure_snr_db expected");
    m->weak_tokens = (uint32_t)tokens;
    json_t *evidence = json_object_get(weak, "evidence");
    return evidence ? read_evidence(m, evidence, err) : 0;
}

static void set_defaults(struct at_model *m)
{
    m->weak_snr_db = DEFAULT_WEAK_SNR_DB;
    m->weak_tokens = DEFAULT_WEAK_TOKENS;
    m->sure_snr_db = INFINITY;
    for (uint32_t i = 0; i < m->config.n_classes; i++)
        snprintf(m->labels[i], AT_LABEL_SIZE, "class%u", i);
}

static int read_part(struct at_model *m, const struct at_safetensors *f, const char *key,
                     int (*read)(struct at_model *, json_t *, struct at_error *),
                     struct at_error *err)
{
    json_t *value = NULL;
    int r = load(f, key, err, &value);
    if (r > 0)
        r = read(m, value, err);
    json_decref(value);
    return r < 0 ? r : 0;
}

int at_model_read_card(struct at_model *m, const struct at_safetensors *f, struct at_error *err)
{
    static const struct {
        const char *key;
        int (*read)(struct at_model *, json_t *, struct at_error *);
    } parts[] = {{"labels", read_labels},     {"groups", read_groups},
                 {"accuracy", read_accuracy}, {"calibration", read_calibration},
                 {"unknown", read_unknown},   {"weak", read_weak}};
    set_defaults(m);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int r = read_part(m, f, parts[i].key, parts[i].read, err);
        if (r < 0)
            return r;
    }
    return 0;
}
