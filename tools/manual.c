/* Manual pages. SPDX-License-Identifier: GPL-3.0-or-later */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "lib/config/table.h"
#include "lib/config/value.h"
#include "tools/print_docs.h"

/* Text as roff shows it: no request at the start of a line, hyphens that can be copied. fold: lines
 * may be broken at blanks, as prose may. */
static void put_text(FILE *out, const char *text, size_t n, bool upper, bool fold)
{
    size_t column = 0;
    for (size_t i = 0; i < n; i++, column++) {
        char c = upper ? (char)toupper((unsigned char)text[i]) : text[i];
        if (fold && c == ' ' && column + strcspn(text + i + 1, " \n") > 68)
            c = '\n';
        if (c == '\\')
            fputs("\\e", out);
        else if (c == '-')
            fputs("\\-", out);
        else if ((c == '.' || c == '\'') && column == 0)
            fprintf(out, "\\&%c", c);
        else
            fputc(c, out);
        if (c == '\n')
            column = (size_t)-1;
    }
}

static void put_n(FILE *out, const char *text, size_t n, bool upper)
{
    put_text(out, text, n, upper, false);
}

static void put(FILE *out, const char *text)
{
    put_text(out, text, strlen(text), false, false);
}

static void put_prose(FILE *out, const char *text)
{
    put_text(out, text, strlen(text), false, true);
}

/* Paragraphs, each of one line of text. */
static void put_paragraphs(FILE *out, const char *text)
{
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        fputs(".PP\n", out);
        put_text(out, text, n, false, true);
        fputc('\n', out);
    }
}

static void put_head(FILE *out, const char *name, const char *section, const char *summary)
{
    fputs(".\\\" Written by the build from the tables in the sources.\n.TH ", out);
    put_n(out, name, strlen(name), true);
    fprintf(out, " %s 2026-11-23 \"attune " AT_VERSION "\" \"attune\"\n.SH NAME\n", section);
    put(out, name);
    fputs(" \\- ", out);
    put(out, summary);
    fputc('\n', out);
}

static void put_options(const struct at_command *c, FILE *out)
{
    char lo[32], hi[32];
    for (const struct at_option *o = c->options; o->name; o++) {
        fputs(".TP\n", out);
        if (o->letter)
            fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
        fputs("\\fB\\-\\-", out);
        put(out, o->name);
        fputs("\\fR", out);
        if (o->what) {
            fputs(" \\fI", out);
            put(out, o->what);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        put_prose(out, o->doc);
        if (o->preset) {
            fputs(" (default: ", out);
            put(out, o->preset);
            fputc(')', out);
        }
        if (o->min != 0 || o->max != 0) {
            at_value_format(o->min, lo);
            at_value_format(o->max, hi);
            fputs("; ", out);
            put(out, lo);
            fputs(" to ", out);
            put(out, hi);
        }
        fputs(".\n", out);
    }
}

static void put_examples(const char *text, FILE *out)
{
    fputs(".nf\n", out);
    put(out, text);
    fputs(".fi\n", out);
}

static void put_codes(FILE *out)
{
    fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 78 bad configuration.\n", out);
}

void at_manual_attune(const struct at_program *p, FILE *out)
{
    static const struct {
        const char *name, *what;
    } environment[] = {
        {"ATTUNE_URL", "where attuned answers, for tail, emissions and top (default: "
                       "http://127.0.0.1:8650)"},
        {"ATTUNE_MODEL", "the model of listen and classify"},
        {"ATTUNE_BACKEND", "the attention backend, over every option: mha, flash, gqa or latent"},
        {"ATTUNE_CPU_MASK", "the only kernel variants to use, such as generic,v3"},
        {"NO_COLOR", "where set, no colour even on a terminal"},
    };
    put_head(out, p->name, "1", p->summary);
    fputs(".SH SYNOPSIS\n.B attune\n.I COMMAND\n[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n", out);
    fputs(".SH DESCRIPTION\nThe command line of attune: radios and recordings without a "
          "configuration,\nwhat a running attuned knows, and measurements of this host.\n"
          "Colour is used on terminals only; lists take \\fB\\-\\-json\\fR,\none object a line, in "
          "the words and units of the API.\n.SH COMMANDS\n",
          out);
    for (size_t i = 0; p->commands[i]; i++) {
        const struct at_command *c = p->commands[i];
        fputs(".SS attune ", out);
        put(out, c->name);
        fputc(' ', out);
        put(out, c->usage);
        fputc('\n', out);
        put_prose(out, c->summary);
        fputs(".\n", out);
        if (c->details)
            put_paragraphs(out, c->details);
        put_options(c, out);
        fputs(".PP\n", out);
        put_examples(c->examples, out);
    }
    fputs(".SH ENVIRONMENT\n", out);
    for (size_t i = 0; i < sizeof environment / sizeof *environment; i++) {
        fprintf(out, ".TP\n.B %s\n", environment[i].name);
        put_prose(out, environment[i].what);
        fputs(".\n", out);
    }
    put_codes(out);
    fputs(".SH SEE ALSO\n.BR attuned (8),\n.BR attuned.yaml (5)\n", out);
}

void at_manual_attuned(const struct at_command *c, FILE *out)
{
    put_head(out, c->name, "8", "live radio classifier");
    fputs(".SH SYNOPSIS\n.B attuned\n", out);
    put(out, c->usage);
    fputs("\n.SH DESCRIPTION\n", out);
    put_prose(out, c->summary);
    fputs(".\n", out);
    put_paragraphs(out, c->details);
    fputs(".SH OPTIONS\n", out);
    put_options(c, out);
    fputs(".SH EXAMPLES\n", out);
    put_examples(c->examples, out);
    put_codes(out);
    fputs(".SH FILES\n.TP\n.I ", out);
    put(out, AT_SYSCONFDIR "/attune/attuned.yaml");
    fputs("\nthe configuration of the service, see\n.BR attuned.yaml (5).\n"
          ".SH SEE ALSO\n.BR attune (1),\n.BR attuned.yaml (5)\n",
          out);
}

static const char *type_of(const struct at_config_key *k)
{
    static const char *const names[] = {
        [AT_CONFIG_TEXT] = "text",
        [AT_CONFIG_NAME] = "name",
        [AT_CONFIG_CHOICE] = "choice",
        [AT_CONFIG_PATH] = "path",
        [AT_CONFIG_DEVICE] = "device",
        [AT_CONFIG_LISTEN] = "address:port",
        [AT_CONFIG_BASE] = "path of a URL",
        [AT_CONFIG_ORIGINS] = "origins",
        [AT_CONFIG_BOOL] = "true or false",
        [AT_CONFIG_SWITCH] = "true or false",
        [AT_CONFIG_COUNT] = "whole number",
        [AT_CONFIG_NUMBER] = "number",
        [AT_CONFIG_HZ] = "Hz",
        [AT_CONFIG_DURATION] = "duration",
        [AT_CONFIG_GAIN] = "gain",
        [AT_CONFIG_PATHS] = "list of paths",
        [AT_CONFIG_HOSTS] = "list of names",
        [AT_CONFIG_RANGES] = "list of ranges",
    };
    size_t n = sizeof names / sizeof *names;
    return (size_t)k->type < n && names[k->type] ? names[k->type] : "value";
}

static void put_key(const struct at_config_key *k, FILE *out)
{
    fputs(".TP\n\\fB", out);
    put(out, k->path);
    fprintf(out, "\\fR (%s)\n", type_of(k));
    put_prose(out, k->doc);
    if (k->choices) {
        fputs("; one of ", out);
        for (const char *c = k->choices; *c; c++)
            fputs(*c == '|' ? ", " : (char[]){*c, 0}, out);
    } else if (isfinite(k->min) && isfinite(k->max)) {
        char lo[32], hi[32];
        at_value_format(k->min, lo);
        at_value_format(k->max, hi);
        fputs(at_config_is_list(k) ? "; items " : "; ", out);
        put(out, lo);
        fputs(" to ", out);
        put(out, hi);
    }
    fputs(".\n", out);
    if (k->preset && *k->preset) {
        fputs("Default: ", out);
        put(out, k->preset);
        fputs(".\n", out);
    }
    if (k->example) {
        fputs("Example: ", out);
        put(out, k->example);
        fputs(".\n", out);
    }
}

void at_manual_config(FILE *out)
{
    put_head(out, "attuned.yaml", "5", "configuration of attuned");
    fputs(".SH DESCRIPTION\nYAML. Numbers: 2400000, 2_400_000, 2.4e6 or 2.4M; durations: 5s, "
          "100ms.\nRelative paths count from the file they stand in.\n"
          "Files \\fIconf.d/*.yaml\\fR beside it are read after it, in the order of\ntheir names:\n"
          "a later value wins, a later list is added.\n"
          "Keys are written here with dots; \\fIradios[].device\\fR is the key\n\\fIdevice\\fR of "
          "an item of the list \\fIradios\\fR.\n"
          ".B attuned \\-\\-check \\-c\n.I FILE\nsays whether all is well.\n.SH KEYS\n",
          out);
    for (size_t i = 0; i < at_config_table_n; i++)
        put_key(&at_config_table[i], out);
    fputs(".SH EXAMPLES\n.nf\n", out);
    put(out, "radios:\n"
             "  - name: roof\n"
             "    device: driver=rtlsdr\n"
             "    bands:\n"
             "      - {name: ism433, center: 433.92M, rate: 1.024M, gain: auto}\n"
             "budget: {latency_ms: 30, kv_mb: 480, cores: 2}\n");
    fputs(".fi\n.SH SEE ALSO\n.BR attune (1),\n.BR attuned (8)\n", out);
}
