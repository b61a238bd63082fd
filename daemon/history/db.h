/* The file behind the history: one table of emissions that have ended, one of their decisions. db.c
 * is the only file that knows SQLite; without it (-Dhistory=disabled) db_none.c says so.
 *
 * A handle belongs to one thread at a time; a writing and a reading one may be open at once.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HISTORY_DB_H
#define AT_DAEMON_HISTORY_DB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/store.h"
#include "lib/base/err.h"

struct at_db;

enum at_db_mode { AT_DB_WRITE, AT_DB_READ };

/* Opens path, for writing made where it is not there (its folder is not). max_bytes: the file's
 * ceiling. Errors: -EILSEQ: damaged or not ours, move it aside; -EPROTO: written by a newer attune;
 * -EBUSY: another process writes to it; -ENOENT, -EACCES, -EIO, -ENOMEM, -ENOTSUP (built without).
 * err: what and where. */
int at_db_open(const char *path, enum at_db_mode mode, int64_t max_bytes, struct at_error *err,
               struct at_db **ret_db);
/* Marks a file that was written to as closed in order. NULL is fine. */
void at_db_close(struct at_db *db);
/* Whether the last process to write did not close it, so that it should be checked. */
bool at_db_was_left_open(const struct at_db *db);
/* Reads every page: 0, -EILSEQ, -EIO. Seconds for a large file. */
int at_db_check(struct at_db *db);

struct at_db_emission {
    uint64_t seq; /* order of first sight over all restarts, from 1 */
    const char *id, *radio, *band, *class_name,
        *json; /* borrowed; class_name "" without decision */
    double snr_db;
    int64_t start_utc_ns, end_utc_ns; /* 0: unknown */
    int64_t ended_utc_ns;             /* by this machine's clock: what retention goes by */
};

struct at_db_decision {
    uint64_t seq; /* of its emission */
    int64_t utc_ns;
    char class_name[32], backend[16], mode[8];
    double confidence, latency_ms; /* latency_ms NAN: unknown */
    uint32_t window;
    uint64_t tokens;
};

/* Writing; all of it stands between begin and commit. 0, -ENOSPC, -EILSEQ, -EIO. */
int at_db_begin(struct at_db *db);
int at_db_put_emission(struct at_db *db, const struct at_db_emission *e);
int at_db_put_decision(struct at_db *db, const struct at_db_decision *d);
int at_db_commit(struct at_db *db);
void at_db_rollback(struct at_db *db);

/* Removes what ended before before_utc_ns, then the oldest until the file's used part is below
 * max_bytes; at most some thousand emissions a call: *ret_removed says how many, 0: done. */
int at_db_prune(struct at_db *db, int64_t before_utc_ns, int64_t max_bytes, size_t *ret_removed);
/* Decisions of emissions that never ended (the process was killed). At start, before any is alive.
 */
int at_db_remove_orphans(struct at_db *db);

/* Makes the index that searches go by in a file that an older attune made. Writing; seconds for a
 * large file. */
int at_db_make_index(struct at_db *db);

/* Highest seq in the file, 0: empty. */
int at_db_last_seq(struct at_db *db, uint64_t *ret_seq);
/* Bytes in use. */
int64_t at_db_bytes(struct at_db *db);

/* What a search may cost: work, since on a host that is short of it the wall clock says nothing of
 * the search; and time, for a disk that does not answer. stop: ends it at once where set; NULL:
 * none. */
struct at_db_limit {
    unsigned cpu_ms, wall_ms;
    const _Atomic bool *stop;
};
/* Calls visit for each emission that the query asks for with seq below q->cursor (0: all), newest
 * first, at most max. q->state is not looked at. -ETIME: it came to the limit. */
int at_db_find(struct at_db *db, const struct at_store_query *q, size_t max,
               const struct at_db_limit *limit,
               void (*visit)(void *ctx, uint64_t seq, const char *json), void *ctx);
/* One by id: json is malloc's, caller frees. -ENOENT. */
int at_db_get(struct at_db *db, const char *id, uint64_t *ret_seq, char **ret_json);
/* Decisions of an emission, oldest first, at most max. */
int at_db_decisions(struct at_db *db, uint64_t seq, size_t max,
                    void (*visit)(void *ctx, const struct at_db_decision *d), void *ctx);

#endif
