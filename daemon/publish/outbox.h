/* What waits for the broker: a bounded queue of messages. A newer message with a retained topic
 * takes the place of the one that still waits; past the bound the oldest is dropped and counted.
 * One thread. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_PUBLISH_OUTBOX_H
#define AT_DAEMON_PUBLISH_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct at_message {
    char *topic, *payload; /* owned by the box */
    bool replace;
};

struct at_outbox {
    struct at_message *items; /* (max), a ring */
    size_t max, first, n;
    uint64_t dropped;
};

/* 0 or -ENOMEM. */
int at_outbox_init(struct at_outbox *b, size_t max);
void at_outbox_finish(struct at_outbox *b);
/* Copies both. replace: instead of an equal topic that waits. A message that finds no memory counts
 * as dropped. */
void at_outbox_push(struct at_outbox *b, const char *topic, const char *payload, bool replace);
/* The oldest, or NULL; it stays until dropped with at_outbox_pop(). */
const struct at_message *at_outbox_peek(const struct at_outbox *b);
void at_outbox_pop(struct at_outbox *b);

/* A bucket of rate * 2 tokens, at least 1, filled with rate a second. */
struct at_pace {
    double rate, tokens;
    int64_t last_ns;
};
/* True, and one token less, where one is there. */
bool at_pace_take(struct at_pace *p, int64_t now_ns);

#endif
