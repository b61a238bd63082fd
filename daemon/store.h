/* Results in memory: what is alive and the newest that ended, both bounded. daemon/history keeps
 * what ended for longer, and numbers emissions by the same sequence. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DAEMON_STORE_H
#define AT_DAEMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/engine/result.h"

struct at_store;

/* Rooms for n_active emissions alive at once and n_ended past ones; all memory is taken here. NULL:
 * none. */
struct at_store *at_store_create(size_t n_active, size_t n_ended);
/* Emissions are numbered from last + 1 on. Before the first put. */
void at_store_set_last(struct at_store *s, uint64_t last);
void at_store_destroy(struct at_store *s);

/* Takes a copy of the newest state of an emission; r->emission.ended moves it to the past. Where
 * more are alive than there is room, the stalest is forgotten (and counted). Returns how many
 * decisions were known of it before, so that the caller sees whether this is a new one. ret_seq:
 * its number in the order of first sight. Any thread. */
uint32_t at_store_put(struct at_store *s, const struct at_result *r, uint64_t *ret_seq);
/* 0, or -ENOENT. */
int at_store_get(struct at_store *s, const char *id, struct at_result *ret, uint64_t *ret_seq);

enum at_store_state { AT_STORE_ANY, AT_STORE_ACTIVE, AT_STORE_ENDED };

/* Zero-initialised but for min_snr_db (-INFINITY: all) asks for everything. Strings borrowed. */
struct at_store_query {
    int64_t since_utc_ns, until_utc_ns; /* emissions alive within; 0: open. Those without UTC pass
                                           only where both are 0 */
    const char *band, *class_name, *radio; /* NULL: any */
    enum at_store_state state;
    double min_snr_db;
    uint64_t cursor; /* 0: from the newest; else what ret_cursor said */
};

struct at_store_found {
    uint64_t seq;
    struct at_result result;
};

/* Newest first, up to max results (max); returns how many. *ret_cursor: where the next page begins,
 * 0: no more. */
size_t at_store_find(struct at_store *s, const struct at_store_query *q, struct at_store_found *ret,
                     size_t max, uint64_t *ret_cursor);

struct at_store_stats {
    uint64_t seen, ended, forgotten;
    size_t active;
};
void at_store_get_stats(struct at_store *s, struct at_store_stats *ret);

#endif
