/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/config/config.h"
#include "lib/config/table.h"
#include "lib/config/value.h"

/* The most that 16 radios of 16 bands of 32 ranges and 1 KiB paths can print, with room. */
#define MAX_TEXT (4u << 20)

struct printer {
    struct at_buf *out;
    const struct at_config *config; /* NULL: the shipped file */
    const struct at_config_radio *radio;
    const struct at_config_band *band;
    const char *section;
    int indent;
    bool dash; /* the next line begins a list's item */
};

static void print_indent(struct printer *p)
{
    at_buf_printf(p->out, "%*s", p->indent - (p->dash ? 2 : 0), "");
    if (p->dash)
        at_buf_printf(p->out, "- ");
    p->dash = false;
}

static void print_string(struct at_buf *out, const char *text)
{
    at_buf_add(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            at_buf_add(out, "\\", 1);
        at_buf_add(out, text, 1);
    }
    at_buf_add(out, "\"", 1);
}

static void print_list(struct at_buf *out, const struct at_config_key *key, const char *member)
{
    uint32_t n = *(const uint32_t *)(member + key->size);
    at_buf_printf(out, "[");
    for (uint32_t i = 0; i < n; i++) {
        at_buf_printf(out, "%s", i ? ", " : "");
        if (key->type == AT_CONFIG_PATHS) {
            print_string(out, member + i * AT_CONFIG_PATH_SIZE);
        } else if (key->type == AT_CONFIG_HOSTS) {
            print_string(out, member + i * AT_CONFIG_HOST_SIZE);
        } else {
            const struct at_config_range *range = (const struct at_config_range *)member + i;
            char lo[32], hi[32];
            at_value_format(range->lo_hz, lo);
            at_value_format(range->hi_hz, hi);
            at_buf_printf(out, "%s-%s", lo, hi);
        }
    }
    at_buf_printf(out, "]");
}

static void print_gain(struct at_buf *out, const struct at_config_gain *gain)
{
    char text[32] = "auto";
    if (*gain->gains) {
        print_string(out, gain->gains);
        return;
    }
    if (!isnan(gain->db))
        at_value_format(gain->db, text);
    at_buf_printf(out, "%s", text);
}

static void print_value(struct at_buf *out, const struct at_config_key *key, const void *member)
{
    char text[32];
    switch (key->type) {
    case AT_CONFIG_BOOL:
        at_buf_printf(out, "%s", *(const bool *)member ? "true" : "false");
        break;
    case AT_CONFIG_SWITCH:
        at_buf_printf(out, "%s", *(const int *)member > 0 ? "true" : "false");
        break;
    case AT_CONFIG_COUNT:
        at_buf_printf(out, "%u", *(const uint32_t *)member);
        break;
    case AT_CONFIG_NUMBER:
    case AT_CONFIG_HZ:
    case AT_CONFIG_DURATION:
        at_value_format(*(const double *)member, text);
        at_buf_printf(out, "%s%s", text, key->type == AT_CONFIG_DURATION ? "s" : "");
        break;
    case AT_CONFIG_GAIN:
        print_gain(out, member);
        break;
    case AT_CONFIG_PATHS:
    case AT_CONFIG_HOSTS:
    case AT_CONFIG_RANGES:
        print_list(out, key, member);
        break;
    default:
        print_string(out, member);
    }
}

/* What was not given has no text. */
static bool is_given(const struct at_config_key *key, const void *member)
{
    if (key->type == AT_CONFIG_SWITCH)
        return *(const int *)member != 0;
    if (key->type == AT_CONFIG_NUMBER || key->type == AT_CONFIG_HZ)
        return !isnan(*(const double *)member) &&
               !(key->preset == NULL && *(const double *)member < key->min);
    return true;
}

/* "key: value   # meaning (bounds)"; what has no default stands as a comment with its example. */
static void print_shipped_line(struct printer *p, const struct at_config_key *key, const char *name)
{
    const char *value =
        key->shown || !key->preset || (!*key->preset && key->example) ? key->example : key->preset;
    bool comment = !key->shown && (!key->preset || (!*key->preset && key->example));
    if (!value)
        value = "[]"; /* a list */
    if (value[0] == '[' && !key->example)
        comment = false;
    size_t begin = p->out->len;
    print_indent(p);
    at_buf_printf(p->out, "%s%s: ", comment ? "# " : "", name);
    bool quote = !*value || strpbrk(value, ":#\"=$") != NULL;
    if (quote && value[0] != '[')
        print_string(p->out, value);
    else
        at_buf_printf(p->out, "%s", value);
    size_t width = p->out->len - begin;
    at_buf_printf(p->out, "%*s # %s", width < 52 ? (int)(52 - width) : 0, "", key->doc);
    if (key->choices) {
        at_buf_printf(p->out, "; %s", key->choices);
    } else if (isfinite(key->min) && isfinite(key->max) && !at_config_is_list(key)) {
        char lo[32], hi[32];
        at_value_format(key->min, lo);
        at_value_format(key->max, hi);
        const char *unit = key->type == AT_CONFIG_HZ         ? " Hz"
                           : key->type == AT_CONFIG_DURATION ? "s"
                                                             : "";
        at_buf_printf(p->out, "; %s to %s%s", lo, hi, unit);
    }
    at_buf_printf(p->out, "\n");
}

static void print_leaf(struct printer *p, const struct at_config_key *key, const char *name)
{
    if (!p->config) {
        print_shipped_line(p, key, name);
        return;
    }
    const void *member =
        at_config_member(key, (struct at_config *)p->config, (struct at_config_radio *)p->radio,
                         (struct at_config_band *)p->band);
    if (!is_given(key, member))
        return;
    print_indent(p);
    at_buf_printf(p->out, "%s: ", name);
    print_value(p->out, key, member);
    at_buf_printf(p->out, "\n");
}

static void print_child(void *ctx, const char *name, size_t first);

static void print_section(struct printer p, const char *section)
{
    p.section = section;
    p.indent += 2;
    at_config_table_children(section, print_child, &p);
}

/* radios, or the bands of one. */
static void print_items(struct printer *p, const char *section)
{
    bool bands = strcmp(section, "radios[].bands[]") == 0;
    uint32_t n = !p->config ? 1 : bands ? p->radio->n_bands : p->config->n_radios;
    for (uint32_t i = 0; i < n; i++) {
        struct printer item = *p;
        item.indent += 2;
        item.dash = true;
        if (p->config && bands)
            item.band = &p->radio->bands[i];
        else if (p->config)
            item.radio = &p->config->radios[i];
        print_section(item, section);
    }
}

static void print_child(void *ctx, const char *name, size_t first)
{
    struct printer *p = ctx;
    const struct at_config_key *key = &at_config_table[first];
    char path[128];
    snprintf(path, sizeof path, "%s%s%s", p->section, *p->section ? "." : "", name);
    if (strcmp(key->path, path) == 0) {
        print_leaf(p, key, name);
        return;
    }
    if (!p->config && !*p->section)
        at_buf_printf(p->out, "\n");
    bool list = at_config_table_is_section(path, true);
    bool none = list && p->config && strcmp(path, "radios") == 0 && p->config->n_radios == 0;
    print_indent(p);
    at_buf_printf(p->out, "%s:%s\n", name, none ? " []" : "");
    if (!list) {
        print_section(*p, path);
        return;
    }
    strcat(path, "[]");
    print_items(p, path);
}

static int print_all(const struct at_config *config, const char *head, FILE *out)
{
    struct at_buf buf;
    at_buf_init(&buf, MAX_TEXT);
    at_buf_printf(&buf, "%s", head);
    print_section((struct printer){.out = &buf, .config = config, .indent = -2}, "");
    int r = buf.failed;
    if (r == 0 && (fwrite(buf.data, 1, buf.len, out) != buf.len || fflush(out) != 0))
        r = -EIO;
    at_buf_finish(&buf);
    return r;
}

int at_config_print(const struct at_config *config, FILE *out)
{
    return print_all(config, "", out);
}

int at_config_print_shipped(FILE *out)
{
    return print_all(
        NULL,
        "# attuned's configuration. Numbers: 2400000, 2_400_000, 2.4e6 or 2.4M; durations: 5s, "
        "100ms.\n"
        "# Relative paths count from this file. conf.d/*.yaml beside it is read after it: a later "
        "value\n"
        "# wins, a later list is added. `attuned --check -c FILE` says whether all is well.\n",
        out);
}
