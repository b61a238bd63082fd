/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/cli/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool at_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no && *no) && term && strcmp(term, "dumb") != 0 && isatty(fileno(f));
}

const char *at_sgr(FILE *f, const char *code)
{
    static char ring[8][16];
    static unsigned at;
    if (!at_colour(f))
        return "";
    char *out = ring[at++ % 8];
    snprintf(out, sizeof ring[0], "\033[%sm", code);
    return out;
}

static unsigned from_environment(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    unsigned long v = text ? strtoul(text, NULL, 10) : 0;
    return v > 0 && v < 10000 ? (unsigned)v : otherwise;
}

unsigned at_text_width(FILE *f, unsigned *ret_rows)
{
    struct winsize size = {0};
    bool known = isatty(fileno(f)) && ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    unsigned columns = known ? size.ws_col : from_environment("COLUMNS", 80);
    if (ret_rows)
        *ret_rows = known && size.ws_row ? size.ws_row : from_environment("LINES", 24);
    return columns < 40 ? 40 : columns > 240 ? 240 : columns;
}

void at_text_clean(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        bool c1 = *c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
        if (*c < ' ' || *c == 127 || c1)
            *c = '?';
        if (c1)
            *++c = '?';
    }
}

void at_text_wrap(FILE *out, const char *text, unsigned column, unsigned indent, unsigned width)
{
    bool begun = false;
    while (*text) {
        if (*text == '\n') {
            fprintf(out, "\n");
            column = 0;
            begun = false;
            text++;
            continue;
        }
        size_t n = strcspn(text, " \n");
        if (begun && column + 1 + n > width) {
            fputc('\n', out);
            column = 0;
            begun = false;
        }
        if (begun)
            column += (unsigned)fprintf(out, " ");
        else if (column < indent)
            column += (unsigned)fprintf(out, "%*s", (int)(indent - column), "");
        fwrite(text, 1, n, out);
        column += (unsigned)n;
        begun = true;
        text += n;
        text += *text == ' ';
    }
    fputc('\n', out);
}
