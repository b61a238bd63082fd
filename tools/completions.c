/* Completions of bash, zsh and fish. SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "tools/print_docs.h"

/* What an option's argument completes to. */
enum argument { ARGUMENT_NONE, ARGUMENT_ANY, ARGUMENT_FILE, ARGUMENT_DIR, ARGUMENT_CHOICE };

static enum argument argument_of(const struct at_option *o)
{
    if (!o->what)
        return ARGUMENT_NONE;
    if (o->choices)
        return ARGUMENT_CHOICE;
    if (strncmp(o->what, "FILE", 4) == 0)
        return ARGUMENT_FILE;
    return strncmp(o->what, "DIR", 3) == 0 ? ARGUMENT_DIR : ARGUMENT_ANY;
}

/* text with every character of `special` behind a backslash; a single quote as '\''. */
static void put(FILE *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fprintf(out, "%s%c", strchr(special, *text) ? "\\" : "", *text);
    }
}

/* "a,b,c" with another separator. */
static void put_choices(FILE *out, const char *choices, char separator)
{
    for (; *choices; choices++)
        fputc(*choices == ',' ? separator : *choices, out);
}

static const struct at_option help = {"help", 'h', AT_OPTION_FLAG, 0, NULL, "print help and exit"};

/* Calls visit for each option, --help last. */
static void each_option(const struct at_program *p, const struct at_command *c,
                        void (*visit)(const struct at_program *p, const struct at_command *c,
                                      const struct at_option *o, FILE *out),
                        FILE *out)
{
    for (const struct at_option *o = c->options; o->name; o++)
        visit(p, c, o, out);
    visit(p, c, &help, out);
}

/* ---- bash ---- */

static void bash_name(const struct at_program *p, const struct at_command *c,
                      const struct at_option *o, FILE *out)
{
    if (o->letter)
        fprintf(out, "-%c ", o->letter);
    fprintf(out, "--%s ", o->name);
}

/* A case of the word before the cursor. */
static void bash_value(const struct at_program *p, const struct at_command *c,
                       const struct at_option *o, FILE *out)
{
    enum argument a = argument_of(o);
    if (a == ARGUMENT_NONE)
        return;
    fprintf(out, "    %s:--%s", c->name, o->name);
    if (o->letter)
        fprintf(out, " | %s:-%c", c->name, o->letter);
    fprintf(out, ") ");
    if (a == ARGUMENT_FILE || a == ARGUMENT_DIR) {
        fprintf(out, "compopt -o filenames; COMPREPLY=($(compgen -%c -- \"$cur\"))",
                a == ARGUMENT_FILE ? 'f' : 'd');
    } else if (a == ARGUMENT_CHOICE) { /* the last of a list */
        fprintf(out, "_%s_list \"$cur\" '", p->name);
        put_choices(out, o->choices, ' ');
        fprintf(out, "'");
    }
    fprintf(out, "%sreturn ;;\n", a == ARGUMENT_ANY ? "" : "; ");
}

void at_complete_bash(const struct at_program *p, FILE *out)
{
    bool whole = p->commands[0]->program;
    fprintf(out, "# bash completion for %s, written by the build from its table of options\n",
            p->name);
    fprintf(out,
            "_%s_list() {\n"
            "    local head=\n"
            "    [[ $1 != *,* ]] || head=${1%%,*},\n"
            "    COMPREPLY=($(compgen -P \"$head\" -W \"$2\" -- \"${1##*,}\"))\n"
            "}\n"
            "_%s() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} "
            "command=%s\n"
            "    COMPREPLY=()\n",
            p->name, p->name, whole ? p->name : "${COMP_WORDS[1]-}");
    if (!whole) {
        fprintf(out, "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W '");
        for (size_t i = 0; p->commands[i]; i++)
            fprintf(out, "%s ", p->commands[i]->name);
        fprintf(out, "help --help --version' -- \"$cur\"))\n        return\n    fi\n");
    }
    fprintf(out, "    case \"$command:$prev\" in\n");
    for (size_t i = 0; p->commands[i]; i++)
        each_option(p, p->commands[i], bash_value, out);
    fprintf(out, "    esac\n    case \"$command\" in\n");
    for (size_t i = 0; p->commands[i]; i++) {
        const struct at_command *c = p->commands[i];
        fprintf(out,
                "    %s)\n        if [[ $cur == -* ]]; then\n            COMPREPLY=($(compgen -W '",
                c->name);
        each_option(p, c, bash_name, out);
        fprintf(out, "' -- \"$cur\"))\n");
        if (c->files)
            fprintf(out, "        else\n            compopt -o filenames; COMPREPLY=($(compgen -f "
                         "-- \"$cur\"))\n");
        fprintf(out, "        fi ;;\n");
    }
    fprintf(out, "    esac\n}\ncomplete -F _%s %s\n", p->name, p->name);
}

/* ---- zsh ---- */

static void zsh_option(const struct at_program *p, const struct at_command *c,
                       const struct at_option *o, FILE *out)
{
    enum argument a = argument_of(o);
    const char *special = ":[]\\";
    for (int form = o->letter ? 0 : 1; form < 2; form++) {
        fprintf(out, "        '%s", o->letter ? "(" : "");
        if (o->letter)
            fprintf(out, "-%c --%s)", o->letter, o->name);
        if (form == 0)
            fprintf(out, "-%c", o->letter);
        else
            fprintf(out, "--%s", o->name);
        fprintf(out, "%s[", a == ARGUMENT_NONE ? "" : form == 0 ? "+" : "=");
        put(out, o->doc, special);
        fprintf(out, "]");
        if (a != ARGUMENT_NONE) {
            fprintf(out, ":");
            put(out, o->what, special);
            fprintf(out, ":");
        }
        if (a == ARGUMENT_FILE)
            fprintf(out, "_files");
        else if (a == ARGUMENT_DIR)
            fprintf(out, "_files -/");
        else if (a == ARGUMENT_CHOICE) {
            bool list = strcmp(o->what, "LIST") == 0;
            fprintf(out, list ? "_values -s , value " : "(");
            put_choices(out, o->choices, ' ');
            fprintf(out, list ? "" : ")");
        }
        fprintf(out, "' \\\n");
    }
}

static void zsh_arguments(const struct at_program *p, const struct at_command *c, FILE *out)
{
    fprintf(out, "    _arguments -s -S \\\n");
    each_option(p, c, zsh_option, out);
    fprintf(out, c->files ? "        '*:file:_files'\n" : "        && return 0\n");
}

void at_complete_zsh(const struct at_program *p, FILE *out)
{
    fprintf(out, "#compdef %s\n# written by the build from its table of options\n", p->name);
    if (p->commands[0]->program) {
        fprintf(out, "_%s() {\n", p->name);
        zsh_arguments(p, p->commands[0], out);
        fprintf(out, "}\n_%s \"$@\"\n", p->name);
        return;
    }
    for (size_t i = 0; p->commands[i]; i++) {
        fprintf(out, "_%s_%s() {\n", p->name, p->commands[i]->name);
        zsh_arguments(p, p->commands[i], out);
        fprintf(out, "}\n");
    }
    fprintf(out, "_%s() {\n    local -a commands=(\n", p->name);
    for (size_t i = 0; p->commands[i]; i++) {
        fprintf(out, "        '%s:", p->commands[i]->name);
        put(out, p->commands[i]->summary, ":\\");
        fprintf(out, "'\n");
    }
    fprintf(out,
            "    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n"
            "        return\n    fi\n    local command=$words[2]\n"
            "    shift words\n    ((CURRENT--))\n"
            "    (($+functions[_%s_$command])) && _%s_$command\n}\n_%s \"$@\"\n",
            p->name, p->name, p->name);
}

/* ---- fish ---- */

static void fish_option(const struct at_program *p, const struct at_command *c,
                        const struct at_option *o, FILE *out)
{
    enum argument a = argument_of(o);
    fprintf(out, "complete -c %s", p->name);
    if (!c->program)
        fprintf(out, " -n '__fish_seen_subcommand_from %s'", c->name);
    if (o->letter)
        fprintf(out, " -s %c", o->letter);
    fprintf(out, " -l %s -d '", o->name);
    for (const char *t = o->doc; *t; t++)
        fprintf(out, "%s%c", *t == '\'' || *t == '\\' ? "\\" : "", *t);
    fprintf(out, "'");
    if (a == ARGUMENT_FILE)
        fprintf(out, " -r -F");
    else if (a == ARGUMENT_DIR)
        fprintf(out, " -x -a '(__fish_complete_directories)'");
    else if (a == ARGUMENT_CHOICE) {
        bool list = strcmp(o->what, "LIST") == 0;
        fprintf(out, list ? " -x -a '(__fish_append , " : " -x -a '");
        put_choices(out, o->choices, ' ');
        fprintf(out, list ? ")'" : "'");
    } else if (a == ARGUMENT_ANY)
        fprintf(out, " -x");
    fprintf(out, "\n");
}

void at_complete_fish(const struct at_program *p, FILE *out)
{
    bool whole = p->commands[0]->program;
    fprintf(out, "# fish completion for %s, written by the build from its table of options\n",
            p->name);
    fprintf(out, "complete -c %s -f\n", p->name);
    for (size_t i = 0; !whole && p->commands[i]; i++) {
        const struct at_command *c = p->commands[i];
        fprintf(out, "complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n", p->name, c->name,
                c->summary);
        if (c->files)
            fprintf(out, "complete -c %s -n '__fish_seen_subcommand_from %s' -F\n", p->name,
                    c->name);
    }
    for (size_t i = 0; p->commands[i]; i++)
        each_option(p, p->commands[i], fish_option, out);
}
