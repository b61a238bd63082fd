/* Searches of the history: what they read, what they may cost.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/daemon/history_file.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define ROWS 20000

static void put_rows(void)
{
    struct at_error err;
    struct at_db *db = NULL;
    assert_int_equal(at_db_open(path, AT_DB_WRITE, 1 << 28, &err, &db), 0);
    assert_int_equal(at_db_begin(db), 0);
    for (uint64_t i = 1; i <= ROWS; i++) {
        char id[32];
        snprintf(id, sizeof id, "b-roof-%d", (int)i);
        struct at_db_emission e = {.seq = i,
                                   .id = id,
                                   .radio = "roof",
                                   .band = i % 2 ? "odd" : "even",
                                   .class_name = "ook",
                                   .json = "{\"id\":\"b-roof-1\"}",
                                   .snr_db = (double)(i % 40),
                                   .start_utc_ns = 1000 * (int64_t)i,
                                   .end_utc_ns = 1000 * (int64_t)i + 500,
                                   .ended_utc_ns = at_clock_utc_ns()};
        assert_int_equal(at_db_put_emission(db, &e), 0);
    }
    assert_int_equal(at_db_commit(db), 0);
    at_db_close(db);
}

static void dawdle(void *ctx, uint64_t seq, const char *json)
{
    if (!(*(size_t *)ctx)++)
        usleep(1500000);
}

/* A host that gives us nothing for a while makes a search late, not too dear; what costs too much,
 * waits too long or is not wanted any more ends. */
static void a_search_is_bounded_by_its_work(void **state)
{
    struct at_error err;
    struct at_db *db = NULL;
    struct at_store_query q = all(), none = {.min_snr_db = 1000};
    _Atomic bool stop = false;
    size_t n = 0;
    put_rows();
    assert_int_equal(at_db_open(path, AT_DB_READ, 0, &err, &db), 0);
    const struct at_db_limit good = {1000, 100000, &stop}, no_work = {0, 100000, &stop},
                             no_time = {100000, 0, &stop};
    assert_int_equal(at_db_find(db, &q, 5000, &good, dawdle, &n), 0);
    assert_int_equal(n, 5000);
    assert_int_equal(at_db_find(db, &none, 100, &good, dawdle, &n), 0);
    assert_int_equal(at_db_find(db, &none, 100, &no_work, dawdle, &n), -ETIME);
    assert_int_equal(at_db_find(db, &none, 100, &no_time, dawdle, &n), -ETIME);
    stop = true;
    assert_int_equal(at_db_find(db, &none, 100, &good, dawdle, &n), -ETIME);
    assert_int_equal(n, 5000);
    at_db_close(db);
    struct at_history *h = open_it(1e9, 1000);
    assert_int_equal(at_history_find(h, &none, 100, dawdle, &n), 0);
    at_history_interrupt(h);
    assert_int_equal(at_history_find(h, &none, 100, dawdle, &n), -ETIME);
    at_history_close(h);
}

static char searched[1024]; /* the newest search that SQLite was asked for */

static int keep_text(unsigned what, void *ctx, void *statement, void *text)
{
    char *all_of_it = sqlite3_expanded_sql(statement);
    if (all_of_it && strstr(all_of_it, "json"))
        snprintf(searched, sizeof searched, "%s", all_of_it);
    sqlite3_free(all_of_it);
    return 0;
}

static int trace(sqlite3 *sql, const char **error, const struct sqlite3_api_routines *api)
{
    return sqlite3_trace_v2(sql, SQLITE_TRACE_STMT, keep_text, NULL);
}

/* How SQLite goes about the newest search, in one line. */
static void explain(sqlite3 *sql, char *out, size_t n)
{
    char text[sizeof searched + 32];
    sqlite3_stmt *s = NULL;
    snprintf(text, sizeof text, "EXPLAIN QUERY PLAN %s", searched);
    assert_int_equal(sqlite3_prepare_v2(sql, text, -1, &s, NULL), SQLITE_OK);
    out[0] = 0;
    while (sqlite3_step(s) == SQLITE_ROW)
        snprintf(out + strlen(out), n - strlen(out), "%s; ",
                 (const char *)sqlite3_column_text(s, 3));
    sqlite3_finalize(s);
}

/* Whatever is asked for, rows are only looked up: they hold the JSON, and are all of the file. */
static void a_search_reads_the_index_alone(void **state)
{
    struct at_error err;
    struct at_db *db = NULL;
    sqlite3 *sql = NULL;
    char plan[512];
    const struct at_db_limit limit = {10000, 100000, NULL};
    put_rows();
    assert_int_equal(sqlite3_auto_extension((void (*)(void))trace), SQLITE_OK);
    assert_int_equal(at_db_open(path, AT_DB_READ, 0, &err, &db), 0);
    sqlite3_cancel_auto_extension((void (*)(void))trace);
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    for (unsigned i = 0; i < 64; i++) {
        size_t n = 1;
        struct at_store_query q = {.min_snr_db = i & 1 ? 39 : -INFINITY,
                                   .band = i & 2 ? "odd" : NULL,
                                   .class_name = i & 4 ? "ook" : NULL,
                                   .radio = i & 8 ? "roof" : NULL,
                                   .since_utc_ns = i & 16 ? 1000 : 0,
                                   .until_utc_ns = i & 32 ? 1000 * ROWS : 0};
        assert_int_equal(at_db_find(db, &q, 100, &limit, dawdle, &n), 0);
        assert_int_equal(n, 101);
        explain(sql, plan, sizeof plan);
        if (!strstr(plan, "COVERING INDEX emissions_search (seq<?)") || strstr(plan, "SCAN") ||
            strstr(plan, "TEMP"))
            fail_msg("%s: %s", searched, plan);
    }
    sqlite3_close(sql);
    at_db_close(db);
}

static bool has_index(sqlite3 *sql, const char *name)
{
    sqlite3_stmt *s = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(sql, "SELECT 1 FROM sqlite_master WHERE name = ?1", -1, &s, NULL),
        SQLITE_OK);
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    bool has = sqlite3_step(s) == SQLITE_ROW;
    sqlite3_finalize(s);
    return has;
}

static void see(void *ctx, uint64_t seq, const char *json)
{
    ++*(size_t *)ctx;
}

static void an_older_file_gets_its_index(void **state)
{
    sqlite3 *sql = NULL;
    put_rows();
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    assert_true(has_index(sql, "emissions_search"));
    assert_int_equal(sqlite3_exec(sql,
                                  "DROP INDEX emissions_search;"
                                  "CREATE INDEX emissions_band ON emissions(band);",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    struct at_history *h = open_it(1e9, 1000);
    struct at_store_query q = all();
    size_t n = 0;
    assert_int_equal(at_history_find(h, &q, 50, see, &n), 0); /* while it is made, too */
    assert_int_equal(n, 50);
    for (int i = 0; i < 60000 && !has_index(sql, "emissions_search"); i++)
        usleep(1000);
    assert_true(has_index(sql, "emissions_search"));
    assert_false(has_index(sql, "emissions_band"));
    sqlite3_close(sql);
    at_history_close(h);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        CASE(a_search_is_bounded_by_its_work),
        CASE(a_search_reads_the_index_alone),
        CASE(an_older_file_gets_its_index),
    };
    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
