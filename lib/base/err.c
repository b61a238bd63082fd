/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int at_error_set(struct at_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
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
    }
    return code;
}
