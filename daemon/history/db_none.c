/* Built without SQLite: there is no history beyond what memory holds. Nothing but open is reached.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/history/db.h"

int at_db_open(const char *path, enum at_db_mode mode, int64_t max_bytes, struct at_error *err,
               struct at_db **ret_db)
{
    return at_error_set(err, -ENOTSUP, "built without SQLite (meson option history)");
}

void at_db_close(struct at_db *db)
{
}

bool at_db_was_left_open(const struct at_db *db)
{
    return false;
}

int at_db_check(struct at_db *db)
{
    return -ENOTSUP;
}

int at_db_begin(struct at_db *db)
{
    return -ENOTSUP;
}

int at_db_put_emission(struct at_db *db, const struct at_db_emission *e)
{
    return -ENOTSUP;
}

int at_db_put_decision(struct at_db *db, const struct at_db_decision *d)
{
    return -ENOTSUP;
}

int at_db_commit(struct at_db *db)
{
    return -ENOTSUP;
}

void at_db_rollback(struct at_db *db)
{
}

int at_db_prune(struct at_db *db, int64_t before_utc_ns, int64_t max_bytes, size_t *ret_removed)
{
    return -ENOTSUP;
}

int at_db_remove_orphans(struct at_db *db)
{
    return -ENOTSUP;
}

int at_db_make_index(struct at_db *db)
{
    return -ENOTSUP;
}

int at_db_last_seq(struct at_db *db, uint64_t *ret_seq)
{
    return -ENOTSUP;
}

int64_t at_db_bytes(struct at_db *db)
{
    return 0;
}

int at_db_find(struct at_db *db, const struct at_store_query *q, size_t max,
               const struct at_db_limit *limit,
               void (*visit)(void *ctx, uint64_t seq, const char *json), void *ctx)
{
    return -ENOTSUP;
}

int at_db_get(struct at_db *db, const char *id, uint64_t *ret_seq, char **ret_json)
{
    return -ENOTSUP;
}

int at_db_decisions(struct at_db *db, uint64_t seq, size_t max,
                    void (*visit)(void *ctx, const struct at_db_decision *d), void *ctx)
{
    return -ENOTSUP;
}
