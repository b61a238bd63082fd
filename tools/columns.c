/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/columns.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/cli/text.h"

unsigned at_columns_wanted(void)
{
    return isatty(STDOUT_FILENO) ? at_text_width(stdout, NULL) : AT_COLUMNS_ALL;
}

/* Blanks between two columns: text that stands close behind a number would be read as its unit. */
static unsigned gap(const struct at_column *before, const struct at_column *column)
{
    return !before ? 0 : !before->left && column->left ? 2 : 1;
}

static unsigned width_of(const struct at_column *columns, size_t n, uint32_t shown)
{
    const struct at_column *before = NULL;
    unsigned width = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(shown & 1u << i))
            continue;
        width += gap(before, &columns[i]) + columns[i].width;
        before = &columns[i];
    }
    return width;
}

uint32_t at_columns_fit(const struct at_column *columns, size_t n, unsigned width)
{
    uint32_t shown = (1u << n) - 1;
    while (width_of(columns, n, shown) > width) {
        size_t least = n;
        for (size_t i = 0; i < n; i++)
            if ((shown & 1u << i) && columns[i].rank &&
                (least == n || columns[i].rank > columns[least].rank))
                least = i;
        if (least == n)
            break;
        shown &= ~(1u << least);
    }
    return shown;
}

static bool begins_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

size_t at_columns_cut(const char *text, unsigned width)
{
    size_t at = 0;
    for (unsigned seen = 0; text[at]; at++)
        if (begins_character(text[at]) && seen++ == width)
            break;
    return at;
}

static unsigned characters(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += begins_character(*text);
    return n;
}

size_t at_columns_row(const struct at_column *columns, size_t n, unsigned width,
                      const char *const *cells, char *out, size_t size)
{
    uint32_t shown = at_columns_fit(columns, n, width);
    const struct at_column *before = NULL;
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < n; i++) {
        const struct at_column *c = &columns[i];
        const char *text = cells ? cells[i] : c->title;
        if (!(shown & 1u << i) || at + 1 >= size)
            continue;
        bool last = i + 1 == n;
        /* Names are cut to their column; a number that needs more room takes it. */
        size_t bytes = c->left && !last ? at_columns_cut(text, c->width) : strlen(text);
        unsigned used = bytes < strlen(text) ? c->width : characters(text),
                 fill = used < c->width && !last ? c->width - used : 0;
        int k =
            snprintf(out + at, size - at, "%*s%*s%.*s%*s", (int)gap(before, c), "",
                     c->left ? 0 : (int)fill, "", (int)bytes, text, c->left ? (int)fill : 0, "");
        at = k < 0 ? at : (size_t)k < size - at ? at + (size_t)k : size - 1;
        before = c;
    }
    at = at_columns_cut(out, width);
    while (at > 0 && out[at - 1] == ' ')
        at--;
    out[at] = 0;
    at_text_clean(out);
    return at;
}
