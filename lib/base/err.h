/* Errors: 0 or a negative errno says what kind, struct at_error says it to a person.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_ERR_H
#define AT_BASE_ERR_H

#include <errno.h>
#include <stddef.h>

#define AT_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Exit codes of the programs (sysexits: 78 is EX_CONFIG). */
enum at_exit { AT_EXIT_OK = 0, AT_EXIT_FAILED = 1, AT_EXIT_USAGE = 2, AT_EXIT_CONFIG = 78 };

/* One line for a person: what, where, and the remedy. The library fills it and never logs. Control
 * characters that come with a name or a file's text are shown as '?'. */
struct at_error {
    char text[512];
};

/* Formats the message into err (may be NULL; cut at the buffer's end) and returns code, so that
 * a caller can write: return at_error_set(err, -EINVAL, "..."). Any thread. */
int at_error_set(struct at_error *err, int code, const char *format, ...) AT_PRINTF(3, 4);

/* Puts "<prefix>: " before the message that is there. Returns code. */
int at_error_prefix(struct at_error *err, int code, const char *format, ...) AT_PRINTF(3, 4);

#endif
