/* What happens, as a bounded ring that any number of readers follow at their own pace (server-sent
 * events).
 *
 * Publishers never wait and never know their readers; a reader that falls off the ring is told so.
 * Spectrum rows have a short ring of their own, so that they do not push decisions out of the
 * replay. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_EVENTS_H
#define AT_DAEMON_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum at_event_type {
    AT_EVENT_EMISSION,
    AT_EVENT_DECISION,
    AT_EVENT_SELECTOR,
    AT_EVENT_RADIO,
    AT_EVENT_SPECTRUM,
    AT_EVENT_TYPES
};
/* Mask from "emission,decision"; 0: a name that is none. NULL: all. */
unsigned at_event_mask(const char *names);

#define AT_EVENT_MAX_BYTES 16384

struct at_events;

/* n, n_rows: entries of the main ring and of the spectrum ring. NULL: no memory. */
struct at_events *at_events_create(size_t n, size_t n_rows);
void at_events_destroy(struct at_events *e);

/* json: copied; longer than AT_EVENT_MAX_BYTES or out of memory: counted as lost, nothing else. Any
 * thread. */
void at_events_publish(struct at_events *e, enum at_event_type type, const char *json);
/* Whether anyone follows, so that rows need not be written for nobody. Any thread, no lock. */
bool at_events_wanted(const struct at_events *e, enum at_event_type type);

struct at_event_cursor {
    uint64_t next, next_row; /* sequence numbers of what comes next */
    unsigned mask;
};

/* Begins after the event last_id (its `id:`), or with what comes now where last_id is 0 or unknown
 * to the ring. */
void at_events_subscribe(struct at_events *e, unsigned mask, uint64_t last_id,
                         struct at_event_cursor *ret);
void at_events_unsubscribe(struct at_events *e, const struct at_event_cursor *c);
/* Appends the next event as SSE text to out. 1: one was written; 0: nothing new; -EPIPE: the reader
 * was too slow, events it wanted are gone; -ENOMEM. Any thread. */
int at_events_next(struct at_events *e, struct at_event_cursor *c, struct at_buf *out);
/* Changes with every publish; a waiter compares it. */
uint64_t at_events_version(const struct at_events *e);
unsigned at_events_readers(const struct at_events *e);

#endif
