/* What was on the air, kept over restarts: ended emissions and their decisions. Producers never
 * wait: a bounded queue feeds one writer thread; where the disk is slow or full, what does not fit
 * is dropped and counted. A damaged file is moved aside and a new one begun.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HISTORY_H
#define AT_DAEMON_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/history/db.h"
#include "lib/base/err.h"
#include "lib/engine/result.h"

struct at_history;

struct at_history_config {
    const char *path; /* copied */
    double keep_s;    /* of emissions, after their end */
    double max_mb;    /* 1e6 bytes */
};

/* Opens or makes the file and starts the writer. err: what is wrong and the remedy; the caller may
 * go on without (NULL is a history that holds nothing). -ENOENT: its folder is missing. */
int at_history_open(const struct at_history_config *config, struct at_error *err,
                    struct at_history **ret_history);
/* Writes what waits, closes. NULL is fine, as it is for all below. */
void at_history_close(struct at_history *h);
/* From now on searches end at once with -ETIME: the process ends. Any thread. */
void at_history_interrupt(struct at_history *h);
/* Highest number given to an emission by earlier lives; the store counts on from there. */
uint64_t at_history_last_seq(const struct at_history *h);

/* A decision was made (decided) or the emission ended (r->emission.ended), or both; seq as the
 * store gave it. Of an emission's decisions the first is kept, each that changes class, backend or
 * mode, and one in ten seconds. Any thread, never waits for the disk. */
void at_history_put(struct at_history *h, const struct at_result *r, uint64_t seq, bool decided);

/* As at_db_find, with a limit of a second of work and ten of waiting; q->state AT_STORE_ACTIVE
 * finds nothing. Any thread. */
int at_history_find(struct at_history *h, const struct at_store_query *q, size_t max,
                    void (*visit)(void *ctx, uint64_t seq, const char *json), void *ctx);
/* json: caller frees. -ENOENT. */
int at_history_get(struct at_history *h, const char *id, uint64_t *ret_seq, char **ret_json);
int at_history_decisions(struct at_history *h, uint64_t seq, size_t max,
                         void (*visit)(void *ctx, const struct at_db_decision *d), void *ctx);

struct at_history_stats {
    bool open;
    uint64_t written, lost; /* emissions and decisions since start; lost: dropped, queue full */
    uint64_t removed;       /* emissions, by age or size */
    uint64_t moved_aside;   /* damaged files */
    int64_t bytes;
    size_t waiting;
    char error[256]; /* newest trouble that lasts; empty: none */
};
void at_history_get_stats(struct at_history *h, struct at_history_stats *ret);

#endif
