/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An error is one line, whatever came into it out of a file's name or a file. */
static void keep_one_line(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

int at_error_set(struct at_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
        keep_one_line(err->text);
    }
    return code;
}

int at_error_prefix(struct at_error *err, int code, const char *format, ...)
{
    if (err) {
        char old[sizeof err->text];
        memcpy(old, err->text, sizeof old);
        va_list ap;
        va_start(ap, format);
        int n = vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->text)
            snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
        keep_one_line(err->text);
    }
    return code;
}
