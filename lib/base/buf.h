/* A growing text buffer with a ceiling, after curl's dynbuf: nothing grows without a bound.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_BUF_H
#define AT_BASE_BUF_H

#include <stddef.h>

#include "lib/base/err.h"

struct at_buf {
    char *data; /* NUL-terminated when not NULL; owned */
    size_t len, cap, max;
    int failed; /* sticky: -ENOMEM or -E2BIG of the first call that could not grow */
};

/* max: the most bytes it may ever hold, the NUL not counted. */
void at_buf_init(struct at_buf *b, size_t max);
void at_buf_finish(struct at_buf *b);
void at_buf_reset(struct at_buf *b);
/* 0 or negative errno; after a failure all further calls return it and change nothing. */
int at_buf_add(struct at_buf *b, const void *data, size_t n);
int at_buf_printf(struct at_buf *b, const char *format, ...) AT_PRINTF(2, 3);

#endif
