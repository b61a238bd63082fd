/* What the subcommands of attune share beside lib/cli: output as JSON, and the list of them.
 *
 * A subcommand is one file tools/<name>.c that defines `const struct at_command at_command_<name>`,
 * and one line in tools/meson.build, which writes the list. Help, completions and manual follow.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_TOOLS_H
#define AT_TOOLS_TOOLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/cli/options.h"
#include "lib/cli/text.h"

/* One JSON object on a line of its own, flushed; takes the reference. -1 where it can't be written.
 */
int at_json_line(FILE *out, json_t *object);
/* A JSON number; null where value is NAN or infinite. New reference. */
json_t *at_json_real(double value);

/* Written by the build from the list in tools/meson.build. */
extern const struct at_command *const at_commands[]; /* NULL-terminated, sorted by name */

#endif
