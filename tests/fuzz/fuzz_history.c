/* A history file that somebody else wrote. The first byte says how the rest becomes one: 'f': it is
 * the file; 'p': patches to a good file (offset in two bytes, length, bytes); else: SQL that ran on
 * a good file before, which is how values of the wrong type, missing tables and triggers come in.
 * What must hold: a history, or one line that says why not. The file lives in SQLite's own memory.
 * Where SQL or patches left the good file as it was, as most of them do, it is not opened again;
 * SQL that would not write is not even run.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/history/db.h"
#include "tests/fuzz/fuzz.h"

#define GOOD_MAX 65536
#define SQL_OPS  20000
#define CEILING  (1 << 20)

static char folder[] = "/tmp/attune-fuzz-XXXXXX", path[64], lock[80];
static unsigned char good[GOOD_MAX];
static size_t good_n;
static sqlite3 *reader;    /* sees the good file, a copy of its own, and never runs anything */
static sqlite3_file *file; /* holds the memory file while nobody has it open */

static void remove_files(void)
{
    unlink(lock);
    rmdir(folder);
}

static void put_file(const void *data, size_t n)
{
    if (file->pMethods->xTruncate(file, 0) || (n && file->pMethods->xWrite(file, data, (int)n, 0)))
        abort();
}

static void put_rows(struct at_db *db, uint64_t from)
{
    for (uint64_t i = from; i < from + 8; i++) {
        char id[32];
        snprintf(id, sizeof id, "b-roof-%d", (int)i);
        struct at_db_emission e = {.seq = i,
                                   .id = id,
                                   .radio = "roof",
                                   .band = i % 2 ? "odd" : "even",
                                   .class_name = "ook",
                                   .json = "{\"id\":1}",
                                   .snr_db = (double)i,
                                   .start_utc_ns = (int64_t)i * 1000,
                                   .end_utc_ns = (int64_t)i * 1000 + 500,
                                   .ended_utc_ns = (int64_t)i * 1000 + 500};
        struct at_db_decision d = {.seq = i,
                                   .utc_ns = 1000,
                                   .class_name = "ook",
                                   .backend = "flash",
                                   .mode = "fp32",
                                   .confidence = 0.5,
                                   .latency_ms = NAN};
        if (at_db_put_decision(db, &d) || at_db_put_emission(db, &e))
            break;
    }
}

static int stop(void *ctx)
{
    return 1;
}

/* No file but this one. */
static int authorize(void *ctx, int what, const char *a, const char *b, const char *c,
                     const char *d)
{
    return what == SQLITE_ATTACH || what == SQLITE_DETACH || what == SQLITE_PRAGMA ||
                   what == SQLITE_FUNCTION
               ? SQLITE_DENY
               : SQLITE_OK;
}

static void restrain(sqlite3 *sql)
{
    sqlite3_progress_handler(sql, SQL_OPS, stop, NULL);
    sqlite3_set_authorizer(sql, authorize, NULL);
    sqlite3_limit(sql, SQLITE_LIMIT_LENGTH, 65536);
    /* So that a column may become what its type forbids: allowed to whoever writes the file. */
    sqlite3_db_config(sql, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
}

static void set_up(void)
{
    sqlite3_vfs *vfs;
    struct at_error err;
    struct at_db *db = NULL;
    sqlite3_int64 n = 0;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;
    /* One thread, and nobody asks what memory SQLite holds: both cost a lock at each of its
     * allocations. */
    if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) || sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) ||
        sqlite3_initialize())
        abort();
    vfs = sqlite3_vfs_find("memdb");
    if (!vfs || sqlite3_vfs_register(vfs, 1) || !mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "%s/h.db", folder);
    snprintf(lock, sizeof lock, "%s.lock", path);
    atexit(remove_files);
    file = calloc(1, (size_t)vfs->szOsFile);
    if (!file || vfs->xOpen(vfs, path, file, flags, NULL) ||
        at_db_open(path, AT_DB_WRITE, CEILING, &err, &db) || at_db_begin(db))
        abort();
    put_rows(db, 1);
    if (at_db_commit(db))
        abort();
    at_db_close(db);
    if (file->pMethods->xFileSize(file, &n) || n > GOOD_MAX ||
        file->pMethods->xRead(file, good, (int)n, 0))
        abort();
    good_n = (size_t)n;
    if (sqlite3_open_v2(":memory:", &reader, SQLITE_OPEN_READWRITE, NULL) ||
        sqlite3_deserialize(reader, "main", good, n, n, SQLITE_DESERIALIZE_READONLY))
        abort();
    restrain(reader);
}

static void patch(const uint8_t *data, size_t n)
{
    unsigned char *copy = malloc(good_n);
    if (!copy)
        abort();
    memcpy(copy, good, good_n);
    while (n > 3) {
        size_t at = ((size_t)data[0] << 8 | data[1]) % good_n, k = data[2];
        data += 3;
        n -= 3;
        k = k < n ? k : n;
        for (size_t i = 0; i < k && at + i < good_n; i++)
            copy[at + i] = data[i];
        data += k;
        n -= k;
    }
    put_file(copy, good_n);
    free(copy);
}

static bool is_good(void)
{
    static unsigned char now[GOOD_MAX];
    sqlite3_int64 n = 0;
    return !file->pMethods->xFileSize(file, &n) && (size_t)n == good_n &&
           !file->pMethods->xRead(file, now, (int)n, 0) && !memcmp(now, good, good_n);
}

/* Whether a statement that could write comes before the first that SQLite refuses: opening the file
 * for that costs many times as much as asking. */
static bool could_write(const char *text)
{
    for (const char *rest = text; *rest;) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(reader, rest, -1, &s, &rest);
        bool writes = s && !sqlite3_stmt_readonly(s);
        sqlite3_finalize(s);
        if (rc || writes)
            return writes;
    }
    return false;
}

static void run_sql(const uint8_t *data, size_t n)
{
    sqlite3 *sql = NULL;
    char *text = malloc(n + 1);
    if (!text)
        abort();
    memcpy(text, data, n);
    text[n] = 0;
    put_file(good, good_n);
    if (!could_write(text)) {
        free(text);
        return;
    }
    if (sqlite3_open_v2(path, &sql, SQLITE_OPEN_READWRITE, NULL))
        abort();
    restrain(sql);
    sqlite3_exec(sql, text, NULL, NULL, NULL);
    sqlite3_close(sql);
    free(text);
}

/* ---- what attuned does with a file ---- */

static void see(void *ctx, uint64_t seq, const char *json)
{
    ++*(size_t *)ctx;
}

static void see_decision(void *ctx, const struct at_db_decision *d)
{
    ++*(size_t *)ctx;
    if (strlen(d->class_name) >= sizeof d->class_name || strlen(d->mode) >= sizeof d->mode)
        abort();
}

static void read_all(struct at_db *db)
{
    static const struct at_db_limit limit = {.cpu_ms = 100, .wall_ms = 10000};
    struct at_store_query q = {.min_snr_db = -INFINITY};
    size_t n = 0;
    uint64_t seq;
    char *json = NULL;
    at_db_find(db, &q, 20, &limit, see, &n);
    if (n > 20)
        abort();
    q.band = "odd";
    q.class_name = "ook";
    q.since_utc_ns = 1;
    q.min_snr_db = 1;
    at_db_find(db, &q, 20, &limit, see, &n);
    if (!at_db_get(db, "b-roof-3", &seq, &json) && !json)
        abort();
    free(json);
    n = 0;
    at_db_decisions(db, 3, 20, see_decision, &n);
    if (n > 20)
        abort();
}

static void write_some(struct at_db *db)
{
    uint64_t last = 0;
    size_t removed = 0;
    if (at_db_last_seq(db, &last))
        return;
    if (last > UINT64_C(1) << 52)
        abort();
    if (at_db_was_left_open(db) && !at_db_check(db))
        at_db_remove_orphans(db);
    at_db_make_index(db);
    if (!at_db_begin(db))
        put_rows(db, last + 1);
    if (at_db_commit(db))
        at_db_rollback(db);
    at_db_prune(db, 3000, CEILING, &removed);
}

static void use(void)
{
    static const enum at_db_mode modes[] = {AT_DB_WRITE, AT_DB_READ};
    struct at_db *db[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        struct at_error err = {{0}};
        int rc = at_db_open(path, modes[i], CEILING, &err, &db[i]);
        if (rc && (db[i] || !err.text[0] || strpbrk(err.text, "\n\r")))
            abort();
    }
    if (db[0])
        write_some(db[0]);
    if (db[1])
        read_all(db[1]);
    at_db_close(db[1]);
    at_db_close(db[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool used_good;
    if (!file)
        set_up();
    if (n && data[0] == 'f')
        put_file(data + 1, n - 1);
    else if (n && data[0] == 'p')
        patch(data + 1, n - 1);
    else
        run_sql(data, n);
    bool good_again = is_good();
    if (!good_again || !used_good)
        use();
    used_good |= good_again;
    return 0;
}
