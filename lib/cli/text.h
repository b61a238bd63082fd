/* Text for people: colour where it is wanted, lines no wider than the terminal.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CLI_TEXT_H
#define AT_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Whether f is a terminal that wants colour (NO_COLOR and TERM=dumb say no). */
bool at_colour(FILE *f);
/* The SGR sequence, or "" where f wants no colour: at_sgr(stdout, "1;32"). Valid until the next 8
 * calls. */
const char *at_sgr(FILE *f, const char *code);

/* Columns of the terminal f is, else $COLUMNS, else 80; 40 to 240. ret_rows (may be NULL):
 * likewise, 24 where unknown. */
unsigned at_text_width(FILE *f, unsigned *ret_rows);

/* Writes text broken at blanks to at most width columns; lines after the first (and after a \n)
 * begin at indent. column: where the cursor stands now. Ends with a newline. */
void at_text_wrap(FILE *out, const char *text, unsigned column, unsigned indent, unsigned width);

/* Replaces what a terminal would obey (C0, DEL, C1 in UTF-8) by question marks: text that came from
 * a file, a driver or another host. In place. Thread: any. */
void at_text_clean(char *text);

#endif
