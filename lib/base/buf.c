/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void at_buf_init(struct at_buf *b, size_t max)
{
    *b = (struct at_buf){.max = max};
}

void at_buf_finish(struct at_buf *b)
{
    free(b->data);
    *b = (struct at_buf){.max = b->max};
}

void at_buf_reset(struct at_buf *b)
{
    b->len = 0;
    b->failed = 0;
    if (b->data)
        b->data[0] = 0;
}

static int reserve(struct at_buf *b, size_t n)
{
    if (b->failed)
        return b->failed;
    if (n > b->max || b->len > b->max - n)
        return b->failed = -E2BIG;
    if (b->len + n + 1 <= b->cap)
        return 0;
    size_t cap = b->cap ? b->cap : 256;
    while (cap < b->len + n + 1)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data)
        return b->failed = -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

int at_buf_add(struct at_buf *b, const void *data, size_t n)
{
    int r = reserve(b, n);
    if (r < 0)
        return r;
    memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = 0;
    return 0;
}

int at_buf_printf(struct at_buf *b, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    int r = n < 0 ? -EINVAL : reserve(b, (size_t)n);
    if (r == 0) {
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return r;
}
