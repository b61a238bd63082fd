/* Manual pages and completions, written by the build from the tables of options and keys.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_PRINT_DOCS_H
#define AT_TOOLS_PRINT_DOCS_H

#include <stdio.h>

#include "lib/cli/options.h"

/* A program as its documents see it: commands NULL-terminated; with program set there is one. */
struct at_program {
    const char *name, *summary;
    const struct at_command *const *commands;
};

/* Roff of man(7). */
void at_manual_attune(const struct at_program *p, FILE *out);
void at_manual_attuned(const struct at_command *daemon, FILE *out);
void at_manual_config(FILE *out);

void at_complete_bash(const struct at_program *p, FILE *out);
void at_complete_zsh(const struct at_program *p, FILE *out);
void at_complete_fish(const struct at_program *p, FILE *out);

#endif
