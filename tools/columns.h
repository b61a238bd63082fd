/* Tables as wide as the terminal: the least important columns give way first.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_COLUMNS_H
#define AT_TOOLS_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AT_COLUMNS_MAX 16
#define AT_COLUMNS_ALL 500 /* as wide as a line may be: not a terminal */

/* The last column of a table takes what is left; its width is the least that is worth showing. */
struct at_column {
    const char *title;
    unsigned width;
    bool left;     /* text; numbers stand at the right */
    unsigned rank; /* 0 always stands; of the others the highest leaves first */
};

/* Columns of standard output where it is a terminal, else AT_COLUMNS_ALL. */
unsigned at_columns_wanted(void);
/* Bit i: column i stands in width. n at most AT_COLUMNS_MAX. */
uint32_t at_columns_fit(const struct at_column *columns, size_t n, unsigned width);
/* One row (cells NULL: the titles) of those that stand, at most width characters, without blanks at
 * its end and without a newline. out is size bytes; what has no place is cut, control characters
 * become '?'. Returns the bytes. */
size_t at_columns_row(const struct at_column *columns, size_t n, unsigned width,
                      const char *const *cells, char *out, size_t size);
/* Bytes of text's first width characters (UTF-8). */
size_t at_columns_cut(const char *text, unsigned width);

#endif
