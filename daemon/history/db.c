/* SQLite in WAL mode. synchronous NORMAL: a killed process loses nothing that was committed, a
 * power cut at most the newest commits; never a broken file. The guards against planted files are
 * those of https://sqlite.org/security.html. SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/history/db.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define SCHEMA     1
#define APP_ID     0x61747431 /* "att1" */
#define MAX_SEQ    (UINT64_C(1) << 52)
#define PRUNE_STEP 2000
#define STEP_OPS   4000 /* virtual machine steps between looks at the clock */

enum statement { BEGIN, COMMIT, ROLLBACK, PUT, DECIDE, N_STATEMENTS };

struct at_db {
    sqlite3 *sql;
    int lock_fd;
    bool writes, left_open;
    sqlite3_stmt *statements[N_STATEMENTS];
    /* Of the search that runs; limit NULL: none does. */
    const struct at_db_limit *limit;
    int64_t began_ns, began_cpu_ns;
};

static const char *const texts[N_STATEMENTS] = {
    "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK",
    "INSERT OR REPLACE INTO emissions(seq, id, radio, band, class, snr_db, start_ns, end_ns, "
    "ended_ns, json) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    "INSERT OR REPLACE INTO decisions(seq, utc_ns, class, confidence, backend, mode, window, "
    "tokens, latency_ms) "
    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"};

/* What searches look through: every column that they ask for, a tenth of the file where the rows
 * themselves, with their JSON, are all of it. */
#define SEARCH_INDEX                                                                               \
    "CREATE INDEX IF NOT EXISTS emissions_search"                                                  \
    " ON emissions(seq, snr_db, start_ns, end_ns, radio, band, class);"

static const char schema[] =
    "BEGIN;"
    "CREATE TABLE emissions(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, radio TEXT NOT NULL,"
    " band TEXT NOT NULL, class TEXT NOT NULL, snr_db REAL, start_ns INTEGER NOT NULL,"
    " end_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX emissions_ended ON emissions(ended_ns);" SEARCH_INDEX
    "CREATE TABLE decisions(seq INTEGER NOT NULL, utc_ns INTEGER NOT NULL, class TEXT NOT NULL,"
    " confidence REAL, backend TEXT NOT NULL, mode TEXT NOT NULL, window INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL, latency_ms REAL, PRIMARY KEY(seq, utc_ns)) WITHOUT ROWID;"
    "CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), clean INTEGER NOT NULL);"
    "INSERT INTO meta VALUES(1, 1);"
    "PRAGMA application_id = 1635021873;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

static int to_errno(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR: /* a table that is not ours, or is missing */
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return -EILSEQ;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_INTERRUPT:
        return -ETIME;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    default:
        return -EIO;
    }
}

static int run(struct at_db *db, const char *text)
{
    return to_errno(sqlite3_exec(db->sql, text, NULL, NULL, NULL));
}

/* The only number that a statement gives. */
static int read_number(struct at_db *db, const char *text, int64_t *ret)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->sql, text, -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
        *ret = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return to_errno(rc);
}

static int on_progress(void *ctx)
{
    const struct at_db *db = ctx;
    const struct at_db_limit *l = db->limit;
    return l && ((l->stop && atomic_load(l->stop)) ||
                 at_clock_thread_cpu_ns() - db->began_cpu_ns > (int64_t)l->cpu_ms * 1000000 ||
                 at_clock_mono_ns() - db->began_ns > (int64_t)l->wall_ms * 1000000);
}

/* ---- open and close ---- */

/* Two writers would number emissions alike. The lock is a file of its own: SQLite's would shut
 * readers out too. */
static int take_lock(struct at_db *db, const char *path, struct at_error *err)
{
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s.lock", path) >= sizeof name)
        return at_error_set(err, -ENAMETOOLONG, "%.200s...: path too long", path);
    db->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (db->lock_fd < 0)
        return at_error_set(err, -errno, "%s: %s", name, strerror(errno));
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB))
        return at_error_set(err, -EBUSY, "%s: another attuned writes to it; give each its own",
                            path);
    return 0;
}

static int harden(struct at_db *db)
{
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_extended_result_codes(db->sql, 1);
    sqlite3_busy_timeout(db->sql, 1000);
    return run(db, "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;");
}

/* Whether the file is ours, of a version that we know, or empty. Only reads. */
static int check_schema(struct at_db *db, const char *path, bool *ret_empty, struct at_error *err)
{
    int64_t version = 0, id = 0, tables = 0, ours = 0;
    int rc = read_number(db, "PRAGMA user_version", &version);
    if (!rc)
        rc = read_number(db, "PRAGMA application_id", &id);
    if (!rc)
        rc = read_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    *ret_empty = !rc && !tables && !version;
    if (*ret_empty)
        return db->writes ? 0 : -EILSEQ;
    if (!rc && id == APP_ID && version > SCHEMA)
        return at_error_set(err, -EPROTO,
                            "%s: written by a newer attune (version %lld, this one knows %d); set "
                            "another history.path",
                            path, (long long)version, SCHEMA);
    if (!rc)
        rc = read_number(
            db, "SELECT count(*) FROM sqlite_master WHERE name IN ('emissions', 'decisions')",
            &ours);
    if (!rc && id != APP_ID && !ours) /* whole, and somebody's: not ours to move */
        return at_error_set(err, -EPROTO,
                            "%s: the database of another program; set another history.path", path);
    if (!rc && (id != APP_ID || version != SCHEMA))
        rc = -EILSEQ;
    return rc;
}

static int prepare_writer(struct at_db *db, int64_t max_bytes)
{
    char text[96];
    int64_t page = 4096, clean = 1;
    int rc = read_number(db, "PRAGMA page_size", &page);
    if (!rc)
        rc = read_number(db, "SELECT clean FROM meta", &clean);
    db->left_open = !clean;
    /* A little above the ceiling that pruning keeps, so that a burst between two prunings fits. */
    snprintf(text, sizeof text, "PRAGMA max_page_count = %lld",
             (long long)(max_bytes + max_bytes / 8) / (long long)page + 64);
    if (!rc)
        rc = run(db, text);
    if (!rc)
        rc = run(db, "UPDATE meta SET clean = 0");
    for (int i = 0; !rc && i < N_STATEMENTS; i++)
        rc = to_errno(sqlite3_prepare_v3(db->sql, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                         &db->statements[i], NULL));
    return rc;
}

int at_db_open(const char *path, enum at_db_mode mode, int64_t max_bytes, struct at_error *err,
               struct at_db **ret_db)
{
    struct at_db *db = calloc(1, sizeof *db);
    if (!db)
        return at_error_set(err, -ENOMEM, "out of memory");
    db->writes = mode == AT_DB_WRITE;
    db->lock_fd = -1;
    err->text[0] = 0;
    int rc = db->writes ? take_lock(db, path, err) : 0;
    int flags = db->writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    if (!rc)
        rc = to_errno(sqlite3_open_v2(path, &db->sql, flags | SQLITE_OPEN_NOMUTEX, NULL));
    if (!rc)
        rc = harden(db);
    bool empty = false;
    if (!rc)
        rc = check_schema(db, path, &empty, err);
    if (!rc && db->writes)
        rc = run(db, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                     "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304;");
    if (!rc && empty)
        rc = run(db, schema);
    if (!rc && db->writes)
        rc = prepare_writer(db, max_bytes);
    if (rc) {
        if (!err->text[0])
            at_error_set(err, rc, "%s: %s", path,
                         rc == -EILSEQ ? "damaged, or no history of attune"
                         : db->sql     ? sqlite3_errmsg(db->sql)
                                       : strerror(-rc));
        db->writes = false;
        at_db_close(db);
        return rc;
    }
    sqlite3_progress_handler(db->sql, STEP_OPS, on_progress, db);
    *ret_db = db;
    return 0;
}

void at_db_close(struct at_db *db)
{
    if (!db)
        return;
    if (db->writes)
        run(db, "UPDATE meta SET clean = 1");
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close_v2(db->sql);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    free(db);
}

bool at_db_was_left_open(const struct at_db *db)
{
    return db->left_open;
}

int at_db_check(struct at_db *db)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->sql, "PRAGMA quick_check(1)", -1, &s, NULL);
    bool good = false;
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        good = text && !strcmp(text, "ok");
    }
    sqlite3_finalize(s);
    rc = to_errno(rc);
    return rc ? rc : good ? 0 : -EILSEQ;
}

/* ---- writing ---- */

static int finish(sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return to_errno(rc);
}

int at_db_begin(struct at_db *db)
{
    return finish(db->statements[BEGIN]);
}

int at_db_commit(struct at_db *db)
{
    return finish(db->statements[COMMIT]);
}

void at_db_rollback(struct at_db *db)
{
    if (!sqlite3_get_autocommit(db->sql))
        finish(db->statements[ROLLBACK]);
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static void bind_real(sqlite3_stmt *s, int at, double value)
{
    if (isfinite(value))
        sqlite3_bind_double(s, at, value);
}

int at_db_put_emission(struct at_db *db, const struct at_db_emission *e)
{
    sqlite3_stmt *s = db->statements[PUT];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)e->seq);
    bind_text(s, 2, e->id);
    bind_text(s, 3, e->radio);
    bind_text(s, 4, e->band);
    bind_text(s, 5, e->class_name);
    bind_real(s, 6, e->snr_db);
    sqlite3_bind_int64(s, 7, e->start_utc_ns);
    sqlite3_bind_int64(s, 8, e->end_utc_ns);
    sqlite3_bind_int64(s, 9, e->ended_utc_ns);
    bind_text(s, 10, e->json);
    return finish(s);
}

int at_db_put_decision(struct at_db *db, const struct at_db_decision *d)
{
    sqlite3_stmt *s = db->statements[DECIDE];
    sqlite3_bind_int64(s, 1, (sqlite3_int64)d->seq);
    sqlite3_bind_int64(s, 2, d->utc_ns);
    bind_text(s, 3, d->class_name);
    bind_real(s, 4, d->confidence);
    bind_text(s, 5, d->backend);
    bind_text(s, 6, d->mode);
    sqlite3_bind_int64(s, 7, d->window);
    sqlite3_bind_int64(s, 8, (sqlite3_int64)d->tokens);
    bind_real(s, 9, d->latency_ms);
    return finish(s);
}

/* Removes the emissions that `which` (with ?1) selects, and their decisions. */
static int remove_some(struct at_db *db, const char *which, int64_t value, int64_t most,
                       size_t *ret_removed)
{
    static const char *const from[] = {"decisions", "emissions"};
    int rc = 0, changed = 0;
    for (int i = 0; !rc && i < 2; i++) {
        char text[256];
        sqlite3_stmt *s = NULL;
        snprintf(text, sizeof text,
                 "DELETE FROM %s WHERE seq IN (SELECT seq FROM emissions %s LIMIT %d)", from[i],
                 which, (int)most);
        rc = to_errno(sqlite3_prepare_v2(db->sql, text, -1, &s, NULL));
        if (!rc) {
            sqlite3_bind_int64(s, 1, value);
            rc = to_errno(sqlite3_step(s));
            changed = sqlite3_changes(db->sql);
        }
        sqlite3_finalize(s);
    }
    *ret_removed += rc ? 0 : (size_t)changed;
    return rc;
}

/* A twentieth of what there is, so that making room does not empty a small file. */
static int64_t size_step(struct at_db *db)
{
    int64_t range = 0;
    read_number(
        db,
        "SELECT coalesce((SELECT max(seq) FROM emissions) - (SELECT min(seq) FROM emissions), 0)",
        &range);
    int64_t step = range / 20 + 1;
    return step < PRUNE_STEP ? step : PRUNE_STEP;
}

int at_db_prune(struct at_db *db, int64_t before_utc_ns, int64_t max_bytes, size_t *ret_removed)
{
    size_t removed = 0;
    int rc = at_db_begin(db);
    if (!rc)
        rc = remove_some(db, "WHERE ended_ns < ?1 ORDER BY ended_ns", before_utc_ns, PRUNE_STEP,
                         &removed);
    if (!rc && at_db_bytes(db) > max_bytes)
        rc = remove_some(db, "WHERE ?1 ORDER BY seq", 1, size_step(db), &removed);
    if (!rc)
        rc = at_db_commit(db);
    if (rc)
        at_db_rollback(db);
    else if (removed)
        run(db, "PRAGMA incremental_vacuum(4000)");
    if (!rc)
        *ret_removed = removed;
    return rc;
}

int at_db_make_index(struct at_db *db)
{
    int rc = run(db, "BEGIN IMMEDIATE;" SEARCH_INDEX "DROP INDEX IF EXISTS emissions_band;"
                     "DROP INDEX IF EXISTS emissions_class;"
                     "DROP INDEX IF EXISTS emissions_end; COMMIT;");
    if (rc)
        at_db_rollback(db);
    return rc;
}

int at_db_remove_orphans(struct at_db *db)
{
    return run(db, "DELETE FROM decisions WHERE seq NOT IN (SELECT seq FROM emissions)");
}

/* ---- reading ---- */

int at_db_last_seq(struct at_db *db, uint64_t *ret_seq)
{
    int64_t a = 0, b = 0;
    int rc = read_number(db, "SELECT coalesce(max(seq), 0) FROM emissions", &a);
    if (!rc)
        rc = read_number(db, "SELECT coalesce(max(seq), 0) FROM decisions", &b);
    if (!rc && (a < 0 || b < 0 || a > (int64_t)MAX_SEQ || b > (int64_t)MAX_SEQ))
        rc = -EILSEQ;
    if (!rc)
        *ret_seq = (uint64_t)(a > b ? a : b);
    return rc;
}

int64_t at_db_bytes(struct at_db *db)
{
    int64_t pages = 0, unused = 0, page = 0;
    read_number(db, "PRAGMA page_count", &pages);
    read_number(db, "PRAGMA freelist_count", &unused);
    read_number(db, "PRAGMA page_size", &page);
    return (pages - unused) * page;
}

/* The conditions as text; values are bound in the same order. The inner search goes over the index
 * alone, and what it finds is looked up: `+` keeps SQLite from another index. */
static sqlite3_stmt *prepare_find(struct at_db *db, const struct at_store_query *q, size_t max,
                                  int *ret_rc)
{
    char text[512] = "SELECT seq, json FROM emissions WHERE seq IN (SELECT seq FROM emissions"
                     " WHERE seq < ?1";
    const char *const names[] = {q->band, q->class_name, q->radio};
    static const char *const conditions[] = {" AND +band = ?2", " AND +class = ?3",
                                             " AND +radio = ?4"};
    for (int i = 0; i < 3; i++)
        if (names[i])
            strcat(text, conditions[i]);
    if (isfinite(q->min_snr_db))
        strcat(text, " AND snr_db >= ?5");
    if (q->since_utc_ns)
        strcat(text, " AND start_ns != 0 AND end_ns >= ?6");
    if (q->until_utc_ns)
        strcat(text, " AND start_ns != 0 AND start_ns < ?7");
    strcat(text, " ORDER BY seq DESC LIMIT ?8) ORDER BY seq DESC");
    sqlite3_stmt *s = NULL;
    *ret_rc = sqlite3_prepare_v2(db->sql, text, -1, &s, NULL);
    if (*ret_rc)
        return NULL;
    sqlite3_bind_int64(s, 1,
                       q->cursor && q->cursor < MAX_SEQ ? (sqlite3_int64)q->cursor
                                                        : (sqlite3_int64)MAX_SEQ + 1);
    for (int i = 0; i < 3; i++)
        if (names[i])
            bind_text(s, 2 + i, names[i]);
    bind_real(s, 5, q->min_snr_db);
    sqlite3_bind_int64(s, 6, q->since_utc_ns);
    sqlite3_bind_int64(s, 7, q->until_utc_ns);
    sqlite3_bind_int64(s, 8, (sqlite3_int64)max);
    return s;
}

int at_db_find(struct at_db *db, const struct at_store_query *q, size_t max,
               const struct at_db_limit *limit,
               void (*visit)(void *ctx, uint64_t seq, const char *json), void *ctx)
{
    int rc;
    sqlite3_stmt *s = prepare_find(db, q, max, &rc);
    db->began_ns = at_clock_mono_ns();
    db->began_cpu_ns = at_clock_thread_cpu_ns();
    db->limit = limit;
    while (s && (rc = sqlite3_step(s)) == SQLITE_ROW)
        visit(ctx, (uint64_t)sqlite3_column_int64(s, 0), (const char *)sqlite3_column_text(s, 1));
    db->limit = NULL;
    sqlite3_finalize(s);
    return to_errno(rc);
}

int at_db_get(struct at_db *db, const char *id, uint64_t *ret_seq, char **ret_json)
{
    sqlite3_stmt *s = NULL;
    int rc =
        sqlite3_prepare_v2(db->sql, "SELECT seq, json FROM emissions WHERE id = ?1", -1, &s, NULL);
    int found = -ENOENT;
    if (!rc) {
        bind_text(s, 1, id);
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(s, 1); /* NULL: not our file */
            char *json = text ? strdup(text) : NULL;
            found = json ? 0 : text ? -ENOMEM : -EILSEQ;
            if (json) {
                *ret_json = json;
                *ret_seq = (uint64_t)sqlite3_column_int64(s, 0);
            }
        }
    }
    sqlite3_finalize(s);
    rc = to_errno(rc);
    return rc ? rc : found;
}

static void copy_text(char *out, size_t n, sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    snprintf(out, n, "%s", text ? text : "");
}

int at_db_decisions(struct at_db *db, uint64_t seq, size_t max,
                    void (*visit)(void *ctx, const struct at_db_decision *d), void *ctx)
{
    static const char text[] =
        "SELECT utc_ns, class, confidence, backend, mode, window, tokens, latency_ms "
        "FROM decisions WHERE seq = ?1 ORDER BY utc_ns LIMIT ?2";
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->sql, text, -1, &s, NULL);
    if (!rc) {
        sqlite3_bind_int64(s, 1, (sqlite3_int64)seq);
        sqlite3_bind_int64(s, 2, (sqlite3_int64)max);
    }
    while (s && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct at_db_decision d = {.seq = seq,
                                   .utc_ns = sqlite3_column_int64(s, 0),
                                   .confidence = sqlite3_column_double(s, 2),
                                   .window = (uint32_t)sqlite3_column_int(s, 5),
                                   .tokens = (uint64_t)sqlite3_column_int64(s, 6),
                                   .latency_ms = sqlite3_column_type(s, 7) == SQLITE_NULL
                                                     ? NAN
                                                     : sqlite3_column_double(s, 7)};
        copy_text(d.class_name, sizeof d.class_name, s, 1);
        copy_text(d.backend, sizeof d.backend, s, 3);
        copy_text(d.mode, sizeof d.mode, s, 4);
        visit(ctx, &d);
    }
    sqlite3_finalize(s);
    return to_errno(rc);
}
