/* The history: what is kept, what is found, what a bad file or disk does to it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "tests/daemon/history_file.h"
#include "tests/daemon/log_file.h"

static struct at_result make(uint64_t i)
{
    struct at_result r = {0};
    snprintf(r.id, sizeof r.id, "b-roof-%llu", (unsigned long long)i);
    snprintf(r.radio, sizeof r.radio, "roof");
    snprintf(r.band, sizeof r.band, i % 2 ? "odd" : "even");
    r.emission.ended = true;
    r.emission.snr_db = (float)(i % 40);
    r.start_utc_ns = INT64_C(1700000000000000000) + (int64_t)i * AT_NS_PER_S;
    r.end_utc_ns = r.start_utc_ns + AT_NS_PER_S / 2;
    r.has_answer = 1;
    snprintf(r.answer.label, sizeof r.answer.label, i % 3 ? "am" : "ook");
    snprintf(r.backend, sizeof r.backend, "flash");
    snprintf(r.mode, sizeof r.mode, "fp32");
    return r;
}

static void put(struct at_history *h, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        struct at_result r = make(i);
        at_history_put(h, &r, i, true);
    }
}

static struct at_history_stats wait_written(struct at_history *h)
{
    struct at_history_stats s;
    for (int i = 0; i < 6000; i++) {
        at_history_get_stats(h, &s);
        if (!s.waiting)
            return s;
        usleep(10000);
    }
    fail_msg("nothing was written in 60 s: %zu wait, %s", s.waiting, s.error);
    return s;
}

struct seen {
    size_t n;
    uint64_t first, last;
};

static void see(void *ctx, uint64_t seq, const char *json)
{
    struct seen *s = ctx;
    if (!s->n++)
        s->first = seq;
    else
        assert_true(seq < s->last);
    s->last = seq;
    assert_non_null(strstr(json, "\"id\":\"b-roof-"));
}

static size_t count(struct at_history *h, struct at_store_query q, size_t max)
{
    struct seen s = {0};
    assert_int_equal(at_history_find(h, &q, max, see, &s), 0);
    return s.n;
}

static void kept_and_found(void **state)
{
    struct at_history *h = open_it(1e9, 100);
    put(h, 1, 60);
    wait_written(h);
    at_history_close(h);
    h = open_it(1e9, 100);
    assert_int_equal(at_history_last_seq(h), 60);
    struct at_store_query q = all();
    assert_int_equal(count(h, q, 500), 60);
    assert_int_equal(count(h, q, 7), 7);
    q.cursor = 11;
    assert_int_equal(count(h, q, 500), 10);
    q = all();
    q.band = "odd";
    q.class_name = "ook";
    assert_int_equal(count(h, q, 500), 10); /* 3, 9, ... 57 */
    q = all();
    q.min_snr_db = 30;
    assert_int_equal(count(h, q, 500), 10); /* 30 .. 39 */
    q = all();
    q.since_utc_ns = INT64_C(1700000000000000000) + 51 * AT_NS_PER_S;
    assert_int_equal(count(h, q, 500), 10); /* 51 .. 60 */
    q.until_utc_ns = q.since_utc_ns + 4 * AT_NS_PER_S;
    assert_int_equal(count(h, q, 500), 4);
    q = all();
    q.state = AT_STORE_ACTIVE;
    assert_int_equal(count(h, q, 500), 0);
    uint64_t seq;
    char *json = NULL;
    assert_int_equal(at_history_get(h, "b-roof-17", &seq, &json), 0);
    assert_int_equal(seq, 17);
    free(json);
    assert_int_equal(at_history_get(h, "b-roof-17'--", &seq, &json), -ENOENT);
    at_history_close(h);
}

static void count_decision(void *ctx, const struct at_db_decision *d)
{
    assert_string_equal(d->backend, "flash");
    ++*(size_t *)ctx;
}

/* A carrier that is decided on four times a second for ever must not fill the disk. */
static void decisions_thinned(void **state)
{
    struct at_history *h = open_it(1e9, 100);
    struct at_result r = make(5);
    for (int i = 0; i < 100; i++) {
        r.emission.ended = i == 99;
        snprintf(r.answer.label, sizeof r.answer.label, i < 50 ? "am" : "nfm");
        at_history_put(h, &r, 5, true);
    }
    wait_written(h);
    size_t n = 0;
    assert_int_equal(at_history_decisions(h, 5, 500, count_decision, &n), 0);
    assert_in_range(n, 2, 4); /* the first, the change, and one in ten seconds */
    at_history_close(h);
}

static void retention(void **state)
{
    /* By size: 1 MB holds some 2,000 of these. */
    struct at_history *h = open_it(1e9, 1);
    for (uint64_t i = 1; i <= 12000; i += 1000) {
        put(h, i, i + 999);
        wait_written(h);
    }
    at_history_close(h);
    h = open_it(1e9, 1); /* pruned at start */
    struct at_history_stats s;
    for (int i = 0; i < 3000; i++) {
        at_history_get_stats(h, &s);
        if (s.removed)
            break;
        usleep(10000);
    }
    put(h, 12001, 12001);
    s = wait_written(h);
    assert_true(s.bytes < 1300000);
    struct at_store_query q = all();
    q.cursor = 12002;
    struct seen seen = {0};
    assert_int_equal(at_history_find(h, &q, 20000, see, &seen), 0);
    assert_int_equal(seen.first, 12001);
    assert_in_range(seen.n, 200, 11000);
    at_history_close(h);
    /* By age: all are older than nothing at all. */
    h = open_it(0, 100);
    for (int i = 0; i < 3000 && count(h, all(), 1); i++)
        usleep(10000);
    assert_int_equal(count(h, all(), 1), 0);
    at_history_close(h);
}

static void killed(void **state)
{
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    uint64_t last = 0;
    for (int life = 0; life < 10; life++) {
        pid_t child = fork();
        if (!child) {
            struct at_history *h = open_it(1e9, 100);
            for (uint64_t i = at_history_last_seq(h) + 1;; i++) {
                put(h, i, i);
                wait_written(h);
                if (write(pipe_fd[1], &i, sizeof i) < 0)
                    _exit(1);
            }
        }
        for (int k = 0; k < 3; k++) /* it has told of what it wrote */
            assert_int_equal(read(pipe_fd[0], &last, sizeof last), sizeof last);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        int flags = fcntl(pipe_fd[0], F_GETFL);
        fcntl(pipe_fd[0], F_SETFL, flags | O_NONBLOCK);
        while (read(pipe_fd[0], &last, sizeof last) == sizeof last)
            ;
        fcntl(pipe_fd[0], F_SETFL, flags);
        struct at_history *h = open_it(1e9, 100);
        assert_true(at_history_last_seq(h) >= last);
        assert_true(count(h, all(), 100000) >= last);
        at_history_close(h);
    }
    close(pipe_fd[0]);
    close(pipe_fd[1]);
}

static void spoil(const char *what)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    if (!strcmp(what, "empty")) {
        assert_int_equal(ftruncate(fileno(f), 0), 0);
    } else if (!strcmp(what, "short")) {
        assert_int_equal(ftruncate(fileno(f), 5000), 0);
    } else if (!strcmp(what, "text")) {
        assert_int_equal(ftruncate(fileno(f), 0), 0);
        for (int i = 0; i < 1000; i++)
            fputs("this is no database ", f);
    } else {
        srand(7);
        for (int i = 0; i < 3000; i++) {
            fseek(f, 100 + rand() % 60000, SEEK_SET);
            fputc(rand() & 0xff, f);
        }
    }
    fclose(f);
}

static void damaged(void **state)
{
    static const char *const kinds[] = {"empty", "short", "text", "bits"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct at_history *h = open_it(1e9, 100);
        put(h, 1, 300);
        wait_written(h);
        at_history_close(h);
        spoil(kinds[i]);
        h = open_it(1e9, 100);
        /* Whatever it found, it goes on: what comes now is kept. */
        for (uint64_t k = 1000; k < 1400; k++)
            put(h, k, k);
        wait_written(h);
        put(h, 2000, 2000);
        wait_written(h);
        struct at_store_query q = all();
        q.cursor = 2001;
        struct seen seen = {0};
        at_history_find(h, &q, 1, see, &seen);
        assert_int_equal(seen.first, 2000);
        at_history_close(h);
        assert_int_equal(remove_folder(NULL), 0);
        make_folder(NULL);
    }
}

/* A limit on the size of files stands for a full disk: writes fail until it is lifted. */
static void disk_full(void **state)
{
    struct at_history *h = open_it(1e9, 100);
    put(h, 1, 10);
    wait_written(h);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    put(h, 11, 6000);
    struct at_history_stats s = {0};
    for (int i = 0; i < 3000 && !s.error[0]; i++) {
        usleep(10000);
        at_history_get_stats(h, &s);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(s.error[0]);
    assert_true(s.lost > 0); /* more than the queue holds */
    assert_true(s.waiting > 0);
    s = wait_written(h);
    put(h, 7000, 7000);
    s = wait_written(h);
    for (int i = 0; i < 3000 && s.error[0]; i++) {
        usleep(10000);
        at_history_get_stats(h, &s);
    }
    assert_string_equal(s.error, "");
    uint64_t seq;
    char *json = NULL;
    assert_int_equal(at_history_get(h, "b-roof-7000", &seq, &json), 0);
    free(json);
    at_history_close(h);
}

static void assert_has(struct at_history *h, const char *id, int want)
{
    uint64_t seq;
    char *json = NULL;
    assert_int_equal(at_history_get(h, id, &seq, &json), want);
    free(json);
}

/* While another program holds the file, nothing can be written: what does not fit into the queue is
 * lost, and so is what waits at the end. Both are counted and logged. */
static void losses_are_told(void **state)
{
    sqlite3 *sql = NULL;
    struct at_history_stats s;
    log_open("warning");
    struct at_history *h = open_it(1e9, 100);
    put(h, 1, 1);
    wait_written(h);
    assert_int_equal(sqlite3_open(path, &sql), SQLITE_OK);
    sqlite3_busy_timeout(sql, 10000); /* the writer may still be at its checkpoint */
    assert_int_equal(sqlite3_exec(sql, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    put(h, 2, 6000); /* 12,000 things */
    at_history_get_stats(h, &s);
    assert_true(s.lost > 5000);
    assert_true(log_comes_to_say(" emissions and decisions are lost ("));
    at_history_close(h);
    assert_true(log_says("(11998 in all)"));
    sqlite3_close(sql);
    log_close();
    h = open_it(1e9, 100);
    assert_has(h, "b-roof-1", 0);
    assert_has(h, "b-roof-2", -ENOENT);
    at_history_close(h);
}

/* What somebody else does to the file. */
static void with_sql(const char *text)
{
    sqlite3 *sql = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open_v2(path, &sql, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(sql, 10000);
    if (sqlite3_exec(sql, text, NULL, NULL, &why))
        fail_msg("%s: %s", text, why);
    sqlite3_close(sql);
}

/* Files moved aside, and the bytes of the largest. */
static size_t count_aside(int64_t *ret_bytes)
{
    char pattern[128];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s.corrupt-*", path);
    size_t n = glob(pattern, 0, NULL, &found) ? 0 : found.gl_pathc;
    *ret_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        if (!stat(found.gl_pathv[i], &st) && st.st_size > *ret_bytes)
            *ret_bytes = st.st_size;
    }
    globfree(&found);
    return n;
}

static void damaged_while_it_runs(void **state)
{
    struct at_history_stats s;
    int64_t bytes;
    for (uint64_t life = 1; life <= 2; life++) {
        struct at_history *h = open_it(1e9, 100);
        put(h, 1000 * life, 1000 * life + 300);
        wait_written(h);
        with_sql("DROP TABLE emissions");
        put(h, 1000 * life + 500, 1000 * life + 500);
        s = wait_written(h);
        assert_string_equal(s.error, "");
        assert_int_equal(s.moved_aside, 1);
        char id[32];
        snprintf(id, sizeof id, "b-roof-%d", (int)(1000 * life + 500));
        assert_has(h, id, 0);
        snprintf(id, sizeof id, "b-roof-%d", (int)(1000 * life));
        assert_has(h, id, -ENOENT);
        at_history_close(h);
        assert_in_range(count_aside(&bytes), 1, 3); /* of the first life's nothing is left */
    }
    /* The new one is whole. */
    struct at_history *h = open_it(1e9, 100);
    assert_int_equal(at_history_last_seq(h), 2500);
    at_history_get_stats(h, &s);
    assert_int_equal(s.moved_aside, 0);
    at_history_close(h);
}

/* A folder's name is no pattern: what another attuned has moved aside beside it stays. */
static void damaged_in_a_folder_with_brackets(void **state)
{
    char other[96], file[160];
    int64_t bytes;
    for (int i = 0; i < 2; i++) {
        snprintf(other, sizeof other, "%s/%s", folder, i ? "[x]" : "x");
        assert_int_equal(mkdir(other, 0700), 0);
    }
    snprintf(file, sizeof file, "%s/x/h.db.corrupt-1", folder);
    assert_int_equal(close(open(file, O_CREAT | O_WRONLY, 0600)), 0);
    snprintf(path, sizeof path, "%s/[x]/h.db", folder);
    struct at_history *h = open_it(1e9, 100);
    put(h, 1, 300);
    wait_written(h);
    with_sql("DROP TABLE emissions");
    put(h, 301, 301);
    assert_int_equal(wait_written(h).moved_aside, 1);
    at_history_close(h);
    assert_return_code(access(file, F_OK), errno);
    snprintf(path, sizeof path, "%s/x/h.db", folder);
    assert_int_equal(count_aside(&bytes), 1);
}

/* Folders stand where the damaged file would go, for the next minute: it stays where it is, nothing
 * that was kept of an earlier one is removed, and that is what is said. */
static void damaged_and_cannot_be_moved(void **state)
{
    char name[160];
    struct at_history_stats s = {0};
    struct at_history *h = open_it(1e9, 100);
    put(h, 1, 300);
    wait_written(h);
    with_sql("DROP TABLE emissions");
    long long now_s = at_clock_utc_ns() / AT_NS_PER_S;
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "%s.corrupt-%lld", path, now_s + i);
        assert_int_equal(mkdir(name, 0700), 0);
    }
    snprintf(name, sizeof name, "%s.corrupt-1", path);
    assert_int_equal(close(open(name, O_CREAT | O_WRONLY, 0600)), 0);
    log_open("info");
    put(h, 301, 301);
    for (int i = 0; i < 3000 && !s.error[0]; i++) {
        usleep(10000);
        at_history_get_stats(h, &s);
    }
    assert_int_equal(s.moved_aside, 0);
    assert_true(log_says("is damaged (a write failed) and cannot be moved aside: Is a directory"));
    assert_false(log_says("a new one begins"));
    log_close();
    assert_return_code(access(name, F_OK), errno);
    at_history_close(h);
}

/* No room for a new one either: what was moved aside is all there is, and it stays. */
static void damaged_on_a_full_disk(void **state)
{
    struct rlimit old, none;
    struct at_history_stats s = {0};
    int64_t before, after;
    struct at_history *h = open_it(1e9, 100);
    put(h, 1, 300);
    wait_written(h);
    with_sql("DROP TABLE decisions; PRAGMA wal_checkpoint(TRUNCATE)");
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
    put(h, 301, 301);
    for (int i = 0; i < 6000 && !s.error[0]; i++) {
        usleep(10000);
        at_history_get_stats(h, &s);
    }
    size_t n = count_aside(&before);
    char lock[128];
    snprintf(lock, sizeof lock, "%s.lock", path);
    for (int tries = 0; tries < 2; tries++) { /* each begins with the lock */
        unlink(lock);
        for (int i = 0; i < 6000 && access(lock, F_OK); i++)
            usleep(10000);
        assert_return_code(access(lock, F_OK), errno);
    }
    size_t later = count_aside(&after);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_true(s.error[0] && !s.open);
    assert_true(n > 0 && before > 4096);
    assert_int_equal(later, n);
    assert_int_equal(after, before);
    wait_written(h);
    assert_has(h, "b-roof-301", 0);
    assert_has(h, "b-roof-1", -ENOENT);
    at_history_get_stats(h, &s);
    assert_int_equal(s.moved_aside, 1);
    assert_true(s.open);
    at_history_close(h);
}

/* Left open, and a row that its table forbids: only the check sees it. */
static void checked_after_a_crash(void **state)
{
    int64_t bytes;
    for (int broken = 0; broken < 2; broken++) {
        struct at_history *h = open_it(1e9, 100);
        put(h, 1, 100);
        wait_written(h);
        at_history_close(h);
        with_sql(
            "UPDATE meta SET clean = 0; INSERT INTO decisions VALUES(999, 1, 'am', 1, 'flash', "
            "'fp32', 1, 1, 1)");
        if (broken) {
            with_sql("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, "
                     "'band TEXT NOT NULL', 'band TEXT')");
            with_sql("UPDATE emissions SET band = NULL WHERE seq = 5");
            with_sql("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, "
                     "'band TEXT', 'band TEXT NOT NULL')");
        }
        h = open_it(1e9, 100);
        put(h, 200, 200);
        struct at_history_stats s = wait_written(h);
        assert_int_equal(s.moved_aside, broken);
        assert_int_equal(count_aside(&bytes) > 0, broken);
        assert_has(h, "b-roof-50", broken ? -ENOENT : 0);
        assert_has(h, "b-roof-200", 0);
        size_t n = 0;
        assert_int_equal(at_history_decisions(h, 999, 500, count_decision, &n), 0);
        assert_int_equal(n, 0); /* of no emission */
        at_history_close(h);
    }
}

static void of_another_version(void **state)
{
    struct at_history *h = open_it(1e9, 100), *newer = NULL;
    struct at_history_config c = {.path = path, .keep_s = 1e9, .max_mb = 100};
    struct at_error err;
    int64_t bytes;
    put(h, 1, 10);
    wait_written(h);
    at_history_close(h);
    with_sql("PRAGMA user_version = 2");
    assert_int_equal(at_history_open(&c, &err, &newer), -EPROTO);
    assert_non_null(strstr(err.text, "written by a newer attune (version 2, this one knows 1)"));
    assert_int_equal(count_aside(&bytes), 0); /* not ours to move */
    with_sql("PRAGMA user_version = 1");
    h = open_it(1e9, 100);
    assert_int_equal(at_history_last_seq(h), 10);
    at_history_close(h);
    with_sql("PRAGMA application_id = 7"); /* our tables, and not our mark */
    h = open_it(1e9, 100);
    assert_int_equal(at_history_last_seq(h), 0);
    at_history_close(h);
    assert_true(count_aside(&bytes) > 0);
}

static size_t read_whole(char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(out, 1, size, f) : 0;
    if (f)
        fclose(f);
    return n;
}

/* history.path names what another program keeps there: it is left as it is, to the byte. */
static void of_another_program(void **state)
{
    struct at_history_config c = {.path = path, .keep_s = 1e9, .max_mb = 100};
    struct at_history *h = NULL;
    struct at_error err;
    int64_t bytes;
    static char before[65536], after[65536];
    FILE *f = fopen(path, "w");
    fclose(f);
    with_sql("CREATE TABLE photos(name TEXT); INSERT INTO photos VALUES('a'), ('b')");
    size_t n = read_whole(before, sizeof before);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(at_history_open(&c, &err, &h), -EPROTO);
        assert_non_null(
            strstr(err.text, "the database of another program; set another history.path"));
    }
    assert_int_equal(count_aside(&bytes), 0);
    assert_int_equal(read_whole(after, sizeof after), n);
    assert_memory_equal(before, after, n);
    with_sql("INSERT INTO photos SELECT name FROM photos WHERE name = 'b'");
}

static void refused(void **state)
{
    struct at_history *h = open_it(1e9, 100), *other = NULL;
    struct at_error err;
    struct at_history_config c = {.path = path, .keep_s = 1e9, .max_mb = 100};
    assert_int_equal(at_history_open(&c, &err, &other), -EBUSY);
    assert_non_null(strstr(err.text, "another attuned"));
    at_history_close(h);
    c.path = "/nowhere/at/all/h.db";
    assert_true(at_history_open(&c, &err, &other) < 0);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    char *longest = malloc(5000);
    memset(longest, 'x', 4999);
    longest[4999] = 0;
    c.path = longest;
    assert_int_equal(at_history_open(&c, &err, &other), -ENAMETOOLONG);
    assert_string_equal(err.text, "history.path: path too long");
    free(longest);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        CASE(kept_and_found),
        CASE(decisions_thinned),
        CASE(retention),
        CASE(killed),
        CASE(damaged),
        CASE(disk_full),
        CASE(losses_are_told),
        CASE(refused),
        CASE(damaged_while_it_runs),
        CASE(damaged_on_a_full_disk),
        CASE(damaged_in_a_folder_with_brackets),
        CASE(damaged_and_cannot_be_moved),
        CASE(checked_after_a_crash),
        CASE(of_another_version),
        CASE(of_another_program),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
