/* The command line: one static table per command says its options, from which the parser, --help,
 * the man pages and the completions of shells are made.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CLI_OPTIONS_H
#define AT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

enum at_option_kind {
    AT_OPTION_FLAG,     /* bool: true when given */
    AT_OPTION_TEXT,     /* const char *: borrowed from argv */
    AT_OPTION_CHOICE,   /* const char *: one of choices */
    AT_OPTION_NUMBER,   /* double: 433.92M, 250k, 2_400_000, 2.4e6 */
    AT_OPTION_COUNT,    /* uint32_t: likewise, an integer */
    AT_OPTION_DURATION, /* double: seconds, at most 1e9, from 500ms, 10s, 2m; a bare number is
                           refused */
};

/* One row; the last has name NULL. */
struct at_option {
    const char *name; /* "rate", for --rate */
    char letter;      /* 's' for -s; 0: none */
    enum at_option_kind kind;
    size_t offset;      /* of the member in the command's struct of values */
    const char *what;   /* argument and unit: "HZ"; "FILE" and "DIR" complete paths, "LIST" takes
                           several choices with commas; NULL for flags */
    const char *doc;    /* one line, no full stop */
    double min, max;    /* bounds of numbers; both 0: at least 0 */
    const char *preset; /* the default, read by the same parser; NULL: the member keeps its value,
                           and doc says what that means */
    const char
        *choices; /* "fp32,bf16": the only ones (CHOICE), or what completion offers; or NULL */
};

struct at_command {
    const char *name;     /* "verify" */
    bool program;         /* name is a program, not a subcommand of attune */
    bool files;           /* arguments are paths */
    const char *summary;  /* one line, imperative, no full stop */
    const char *usage;    /* what follows the name: "[OPTION]... FILE..." */
    const char *details;  /* paragraphs, each ended by \n but the last; or NULL */
    const char *examples; /* lines "attune verify x   # what for\n" */
    const struct at_option *options;
    /* argv[0] is the command's name. Returns an exit code (enum at_exit). */
    int (*run)(int argc, char **argv);
};

/* Writes the presets, then reads --name VALUE, --name=VALUE, -x VALUE, -xVALUE and --help, moves
 * what is no option to argv[1]...argv[n] in order and returns n (n may be 0). "--" ends the
 * options; "-" alone is no option. Where the run is over it returns -1 and sets *ret_exit: 0 after
 * --help, 2 after an error, which names the nearest option and stands on stderr. values: the struct
 * that the table's offsets count from. Main thread. */
int at_options_parse(const struct at_command *c, void *values, int argc, char **argv,
                     int *ret_exit);

/* Prints the command's help, as wide as the terminal allows. */
void at_command_help(const struct at_command *c, FILE *out);

/* "attune verify: message" and, for a usage error, a hint at --help, on stderr. c may be NULL.
 * Returns the exit code. Silent where nobody reads standard output any more: `| head` is no
 * fault. */
int at_fail(const struct at_command *c, int exit_code, const char *format, ...) AT_PRINTF(3, 4);

/* Cuts "a,b,c" at its commas: calls visit for each name (at most 63 characters); stops at the first
 * that doesn't return 0 and returns it; -EINVAL where a name is empty or too long. */
int at_list_each(const char *list, int (*visit)(void *ctx, const char *name), void *ctx);

#endif
