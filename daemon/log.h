/* The daemon's log: one line per event on stderr, as text or JSON. Where stderr is the journal,
 * each line becomes an entry with its fields beside it (RADIO=, BAND=, EMISSION_ID=, ...).
 *
 * A line never holds a control character that came from outside. Lines of one kind (one format
 * string) are limited to AT_LOG_BURST in AT_LOG_INTERVAL_NS; the next one that passes, or the
 * newest of them when nothing like it comes any more, says how many were left out.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_LOG_H
#define AT_DAEMON_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

enum at_log_level { AT_LOG_DEBUG, AT_LOG_INFO, AT_LOG_WARN, AT_LOG_ERROR };

#define AT_LOG_BURST       20
#define AT_LOG_INTERVAL_NS (10 * AT_NS_PER_S)

struct at_log_field {
    const char *key, *value; /* key NULL ends the list; value NULL: left out */
};
/* Fields stand beside the message: AT_FIELDS({"radio", name}, {"state", "stalled"}). */
#define AT_FIELDS(...) ((const struct at_log_field[]){__VA_ARGS__, {NULL, NULL}})

/* level: debug, info, warning, error; NULL or unknown: info. json: one object a line. out: where
 * lines go, NULL: stderr. Main thread, before the others start. */
void at_log_init(const char *level, int json, FILE *out);

/* Any thread. */
void at_log_set_level(const char *level);

/* fields may be NULL; the message says it all to a person, fields say it to a program. Any thread.
 */
void at_log(enum at_log_level level, const struct at_log_field *fields, const char *format, ...)
    AT_PRINTF(3, 4);
/* Tells of lines that were left out and have waited long enough for another of their kind; all: of
 * each. Any thread, now and then. */
void at_log_settle(bool all);

#endif
