/* Options and output that the subcommands share. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/tools.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/config/value.h"

int at_fail(const struct at_command *c, int exit_code, const char *format, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "attune%s%s: ", c ? " " : "", c ? c->name : "");
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (exit_code == AT_EXIT_USAGE)
        fprintf(stderr, "Try `attune%s%s --help`.\n", c ? " " : "", c ? c->name : "");
    return exit_code;
}

static void print_option(const struct at_option *o, FILE *out)
{
    char left[64];
    int n = o->letter ? snprintf(left, sizeof left, "-%c, ", o->letter)
                      : snprintf(left, sizeof left, "    ");
    snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, o->what ? " " : "",
             o->what ? o->what : "");
    fprintf(out, "  %-28s %s\n", left, o->doc);
}

void at_command_help(const struct at_command *c, const struct at_option *options, FILE *out)
{
    fprintf(out, "Usage: attune %s %s\n\n%s.\n", c->name, c->usage, c->summary);
    if (c->details)
        fprintf(out, "\n%s\n", c->details);
    fprintf(out, "\nOptions:\n");
    for (; options->name; options++)
        print_option(options, out);
    fprintf(out, "  %-28s %s\n", "-h, --help", "print this and exit");
    if (c->examples)
        fprintf(out, "\nExamples:\n%s", c->examples);
}

static const struct at_option *find_long(const struct at_option *options, const char *name,
                                         size_t n)
{
    for (; options->name; options++)
        if (strlen(options->name) == n && memcmp(options->name, name, n) == 0)
            return options;
    return NULL;
}

static const struct at_option *find_letter(const struct at_option *options, char letter)
{
    for (; options->name; options++)
        if (options->letter && options->letter == letter)
            return options;
    return NULL;
}

static int unknown_option(const struct at_command *c, const struct at_option *options,
                          const char *arg)
{
    const char *near = NULL;
    char name[64], shown[48];
    size_t n = strcspn(arg, "=");
    at_value_quote(arg, shown);
    if (strncmp(arg, "--", 2) == 0 && n - 2 < sizeof name) {
        snprintf(name, sizeof name, "%.*s", (int)(n - 2), arg + 2);
        unsigned best = (unsigned)strlen(name) / 2 + 1;
        for (; options->name; options++) {
            unsigned d = at_value_distance(name, options->name);
            if (d < best) {
                best = d;
                near = options->name;
            }
        }
    }
    if (near)
        return at_fail(c, AT_EXIT_USAGE, "unknown option %s; nearest is --%s", shown, near);
    return at_fail(c, AT_EXIT_USAGE, "unknown option %s", shown);
}

/* 0 or -EINVAL. */
static int store_number(const struct at_option *o, const char *text)
{
    double v = 0;
    double max = o->min == 0 && o->max == 0 ? HUGE_VAL : o->max;
    if (o->kind == AT_OPTION_COUNT)
        max = fmin(max, UINT32_MAX);
    int r = o->kind == AT_OPTION_DURATION ? at_value_duration(text, &v)
                                          : at_value_number(text, true, &v);
    if (r < 0 || v < o->min || v > max || (o->kind == AT_OPTION_COUNT && v != floor(v)))
        return -EINVAL;
    if (o->kind == AT_OPTION_COUNT)
        *(uint32_t *)o->value = (uint32_t)v;
    else
        *(double *)o->value = v;
    return 0;
}

static int bad_value(const struct at_command *c, const struct at_option *o, const char *text)
{
    char shown[48], lo[32], hi[32];
    at_value_quote(text, shown);
    at_value_format(o->min, lo);
    at_value_format(o->max, hi);
    const char *kind = o->kind == AT_OPTION_COUNT      ? "an integer"
                       : o->kind == AT_OPTION_DURATION ? "a duration such as 500ms, 10s or 2m"
                                                       : "a number such as 433.92M or 250k";
    if (o->min == 0 && o->max == 0)
        return at_fail(c, AT_EXIT_USAGE, "--%s: %s is not %s", o->name, shown, kind);
    return at_fail(c, AT_EXIT_USAGE, "--%s: %s is not %s from %s to %s", o->name, shown, kind, lo,
                   hi);
}

static int store(const struct at_command *c, const struct at_option *o, const char *text)
{
    if (o->kind == AT_OPTION_FLAG) {
        if (text)
            return at_fail(c, AT_EXIT_USAGE, "--%s takes no value", o->name);
        *(bool *)o->value = true;
        return 0;
    }
    if (!text)
        return at_fail(c, AT_EXIT_USAGE, "--%s needs a value (%s)", o->name, o->what);
    if (o->kind == AT_OPTION_TEXT) {
        *(const char **)o->value = text;
        return 0;
    }
    return store_number(o, text) < 0 ? bad_value(c, o, text) : 0;
}

int at_options_parse(const struct at_command *c, const struct at_option *options, int argc,
                     char **argv, int *ret_exit)
{
    int n = 0, options_over = 0;
    for (int i = 1; i < argc; i++) {
        char *arg = argv[i];
        if (options_over || arg[0] != '-' || !arg[1]) {
            argv[++n] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            options_over = 1;
            continue;
        }
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            at_command_help(c, options, stdout);
            *ret_exit = AT_EXIT_OK;
            return -1;
        }
        const struct at_option *o;
        const char *value = NULL;
        if (arg[1] == '-') {
            size_t len = strcspn(arg + 2, "=");
            o = find_long(options, arg + 2, len);
            value = arg[2 + len] ? arg + 3 + len : NULL;
        } else {
            o = find_letter(options, arg[1]);
            value = arg[2] ? arg + 2 : NULL;
        }
        if (!o) {
            *ret_exit = unknown_option(c, options, arg);
            return -1;
        }
        if (!value && o->kind != AT_OPTION_FLAG && i + 1 < argc)
            value = argv[++i];
        *ret_exit = store(c, o, value);
        if (*ret_exit)
            return -1;
    }
    return n;
}

int at_list_each(const char *list, int (*visit)(void *ctx, const char *name), void *ctx)
{
    for (;;) {
        char name[64];
        size_t n = strcspn(list, ",");
        if (n == 0 || n >= sizeof name)
            return -EINVAL;
        memcpy(name, list, n);
        name[n] = 0;
        int r = visit(ctx, name);
        if (r != 0 || !list[n])
            return r;
        list += n + 1;
    }
}

int at_json_line(FILE *out, json_t *object)
{
    int r = object ? json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) : -1;
    json_decref(object);
    if (r < 0 || fputc('\n', out) == EOF || fflush(out) != 0)
        return -1;
    return 0;
}

json_t *at_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

bool at_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no && *no) && term && strcmp(term, "dumb") != 0 && isatty(fileno(f));
}

const char *at_sgr(FILE *f, const char *code)
{
    static char ring[8][16];
    static unsigned at;
    if (!at_colour(f))
        return "";
    char *out = ring[at++ % 8];
    snprintf(out, sizeof ring[0], "\033[%sm", code);
    return out;
}
