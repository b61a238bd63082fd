/* What the subcommands of attune share: the table entry, options, output.
 *
 * A subcommand is one file tools/<name>.c that defines `const struct at_command at_command_<name>`,
 * and one line in tools/meson.build, which writes the table. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_TOOLS_TOOLS_H
#define AT_TOOLS_TOOLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/base/err.h"

struct at_option;

struct at_command {
    const char *name;     /* "verify" */
    const char *summary;  /* one line for the list of `attune --help` */
    const char *usage;    /* what follows the name: "[OPTION]... FILE..." */
    const char *details;  /* a paragraph, or NULL */
    const char *examples; /* lines "attune verify ...\n" with what each is for, or NULL */
    /* argv[0] is the subcommand's name. Returns an exit code (enum at_exit). */
    int (*run)(int argc, char **argv);
};

enum at_option_kind {
    AT_OPTION_FLAG,     /* bool *: true when given */
    AT_OPTION_TEXT,     /* const char **: borrowed from argv */
    AT_OPTION_NUMBER,   /* double *: 433.92M, 250k, 2_400_000, 2.4e6 */
    AT_OPTION_COUNT,    /* uint32_t *: likewise, an integer */
    AT_OPTION_DURATION, /* double *: seconds, from 500ms, 10s, 2m; a bare number is refused */
};

/* One row; the last has name NULL. Help and parser follow the table. */
struct at_option {
    const char *name; /* "rate", for --rate */
    char letter;      /* 's' for -s; 0: none */
    enum at_option_kind kind;
    void *value;      /* as kind says; keeps what it holds when the option isn't given */
    const char *what; /* "HZ" in the help; NULL for flags */
    const char *doc;  /* one line */
    double min, max;  /* bounds of numbers; both 0: at least 0 */
};

/* Reads --name VALUE, --name=VALUE, -x VALUE, -xVALUE and --help, moves what is no option to
 * argv[1]...argv[n] in order and returns n (n may be 0). "--" ends the options; "-" alone is no
 * option. Where the run is over it returns -1 and sets *ret_exit: 0 after --help, 2 after an error,
 * which names the nearest option and stands on stderr. */
int at_options_parse(const struct at_command *c, const struct at_option *options, int argc,
                     char **argv, int *ret_exit);

/* Prints the subcommand's help. */
void at_command_help(const struct at_command *c, const struct at_option *options, FILE *out);

/* "attune verify: message" and, for a usage error, a hint at --help, on stderr. Returns the exit
 * code. */
int at_fail(const struct at_command *c, int exit_code, const char *format, ...) AT_PRINTF(3, 4);

/* Cuts "a,b,c" at its commas: calls visit for each name (at most 63 characters); stops at the first
 * that doesn't return 0 and returns it; -EINVAL where a name is empty or too long. */
int at_list_each(const char *list, int (*visit)(void *ctx, const char *name), void *ctx);

/* One JSON object on a line of its own, flushed; takes the reference. -1 where it can't be written.
 */
int at_json_line(FILE *out, json_t *object);
/* A JSON number; null where value is NAN or infinite. New reference. */
json_t *at_json_real(double value);

/* Whether f is a terminal that wants colour (NO_COLOR and TERM=dumb say no). */
bool at_colour(FILE *f);
/* The SGR sequence, or "" where f wants no colour: at_sgr(stdout, "1;32"). Valid until the next 8
 * calls. */
const char *at_sgr(FILE *f, const char *code);

/* Written by the build from the list in tools/meson.build. */
extern const struct at_command *const at_commands[]; /* NULL-terminated, sorted by name */

#endif
