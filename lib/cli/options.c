/* Options that the programs share. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/cli/options.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "lib/cli/text.h"
#include "lib/config/value.h"

#define MAX_WIDTH 100 /* longer lines read badly, however wide the terminal */
#define COLUMN    30
#define MAX_S     1e9 /* of a duration: its nanoseconds fit 64 bits, added to any clock */

/* "attune verify", "attuned" or "attune". */
static void title(const struct at_command *c, char out[64])
{
    snprintf(out, 64, "%s%s%s", c && c->program ? "" : "attune", c && !c->program ? " " : "",
             c ? c->name : "");
}

/* Standard output is a pipe that nobody reads any more, and a write to it has failed. */
static bool reader_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO};
    return ferror(stdout) && poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

int at_fail(const struct at_command *c, int exit_code, const char *format, ...)
{
    va_list ap;
    char name[64], text[2 * 4096 + 256]; /* two paths */
    title(c, name);
    fflush(stdout);
    if (reader_gone())
        return exit_code;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    at_text_clean(text); /* names of files, words of servers */
    fprintf(stderr, "%s: %s\n", name, text);
    if (exit_code == AT_EXIT_USAGE)
        fprintf(stderr, "Try `%s --help`.\n", name);
    return exit_code;
}

static void print_option(const struct at_option *o, unsigned width, FILE *out)
{
    char doc[512];
    int n = o->letter ? fprintf(out, "  -%c, ", o->letter) : fprintf(out, "      ");
    n += fprintf(out, "--%s%s%s", o->name, o->what ? " " : "", o->what ? o->what : "");
    if (n > COLUMN - 2)
        n = (fputc('\n', out), 0);
    snprintf(doc, sizeof doc, "%s%s%s%s", o->doc, o->preset ? " (default: " : "",
             o->preset ? o->preset : "", o->preset ? ")" : "");
    at_text_wrap(out, doc, (unsigned)n, COLUMN, width);
}

/* Each line of text, indented; the last may end without \n. */
static void print_lines(const char *text, FILE *out)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        fputs("  ", out);
        fwrite(text, 1, n, out);
        fputc('\n', out);
        text += text[n] ? n + 1 : n;
    }
}

void at_command_help(const struct at_command *c, FILE *out)
{
    static const struct at_option help = {"help", 'h',  AT_OPTION_FLAG,
                                          0,      NULL, "print this and exit"};
    unsigned width = at_text_width(out, NULL);
    char name[64], text[256];
    if (width > MAX_WIDTH)
        width = MAX_WIDTH;
    title(c, name);
    snprintf(text, sizeof text, "%s %s", name, c->usage);
    at_text_wrap(out, text, (unsigned)fprintf(out, "Usage: "), 7, width);
    fputc('\n', out);
    snprintf(text, sizeof text, "%s.", c->summary);
    at_text_wrap(out, text, 0, 0, width);
    if (c->details) {
        fputc('\n', out);
        at_text_wrap(out, c->details, 0, 0, width);
    }
    fprintf(out, "\n%sOptions:%s\n", at_sgr(out, "1"), at_sgr(out, "0"));
    for (const struct at_option *o = c->options; o->name; o++)
        print_option(o, width, out);
    print_option(&help, width, out);
    fprintf(out, "\n%sExamples:%s\n", at_sgr(out, "1"), at_sgr(out, "0"));
    print_lines(c->examples, out);
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

static int unknown_option(const struct at_command *c, const char *arg)
{
    const struct at_option *options = c->options;
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
static int store_number(const struct at_option *o, void *member, const char *text)
{
    double v = 0;
    double max = o->min == 0 && o->max == 0 ? HUGE_VAL : o->max;
    if (o->kind == AT_OPTION_COUNT)
        max = fmin(max, UINT32_MAX);
    if (o->kind == AT_OPTION_DURATION)
        max = fmin(max, MAX_S);
    int r = o->kind == AT_OPTION_DURATION ? at_value_duration(text, &v)
                                          : at_value_number(text, true, &v);
    if (r < 0 || v < o->min || v > max || (o->kind == AT_OPTION_COUNT && v != floor(v)))
        return -EINVAL;
    if (o->kind == AT_OPTION_COUNT)
        *(uint32_t *)member = (uint32_t)v;
    else
        *(double *)member = v;
    return 0;
}

/* Whether text is one of "a,b,c". */
static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *p = choices; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && memcmp(p, text, n) == 0)
            return true;
    return false;
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

static int store(const struct at_command *c, const struct at_option *o, void *values,
                 const char *text)
{
    void *member = (char *)values + o->offset;
    if (o->kind == AT_OPTION_FLAG) {
        if (text)
            return at_fail(c, AT_EXIT_USAGE, "--%s takes no value", o->name);
        *(bool *)member = true;
        return 0;
    }
    if (!text || (!*text && o->kind != AT_OPTION_TEXT))
        return at_fail(c, AT_EXIT_USAGE, "--%s needs a value (%s)", o->name, o->what);
    if (o->kind == AT_OPTION_CHOICE && !is_choice(o->choices, text)) {
        char shown[48];
        at_value_quote(text, shown);
        return at_fail(c, AT_EXIT_USAGE, "--%s: %s is none of %s", o->name, shown, o->choices);
    }
    if (o->kind == AT_OPTION_TEXT || o->kind == AT_OPTION_CHOICE) {
        *(const char **)member = text;
        return 0;
    }
    return store_number(o, member, text) < 0 ? bad_value(c, o, text) : 0;
}

/* The option that arg names, and where its value stands in arg, if it does. NULL: none. */
static const struct at_option *find(const struct at_option *options, const char *arg,
                                    const char **ret_value)
{
    if (arg[1] != '-') {
        *ret_value = arg[2] ? arg + 2 : NULL;
        return find_letter(options, arg[1]);
    }
    size_t n = strcspn(arg + 2, "=");
    *ret_value = arg[2 + n] ? arg + 3 + n : NULL;
    return find_long(options, arg + 2, n);
}

int at_options_parse(const struct at_command *c, void *values, int argc, char **argv, int *ret_exit)
{
    int n = 0, options_over = 0;
    for (const struct at_option *o = c->options; o->name; o++)
        if (o->preset && (*ret_exit = store(c, o, values, o->preset)))
            return -1;
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
            at_command_help(c, stdout);
            *ret_exit = AT_EXIT_OK;
            return -1;
        }
        const char *value = NULL;
        const struct at_option *o = find(c->options, arg, &value);
        if (!o) {
            *ret_exit = unknown_option(c, arg);
            return -1;
        }
        if (!value && o->kind != AT_OPTION_FLAG && i + 1 < argc)
            value = argv[++i];
        *ret_exit = store(c, o, values, value);
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
