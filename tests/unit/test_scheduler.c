/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/engine/scheduler.h"

#define RATE 1000000 /* band samples a second */
#define RING 512

static struct at_mark ring[RING];

/* Plays tokens, hop samples apart, through the plan; returns how many decisions, their token counts
 * in at. */
static size_t play(uint64_t n_tokens, uint64_t hop, uint64_t gap_at, uint64_t *at, size_t max)
{
    struct at_pace p = {.interval = (uint64_t)(AT_PACE_INTERVAL_S * RATE)};
    uint64_t head = 0, tail = 0, seen = 0;
    size_t n = 0;
    for (;;) {
        while (head < n_tokens && head - tail < RING) {
            ring[head % RING] =
                (struct at_mark){.index = (head + 1) * hop, .new_run = head > 0 && head == gap_at};
            head++;
        }
        struct at_chunk c = at_pace_plan(&p, ring, RING, tail, (size_t)(head - tail),
                                         head == n_tokens, AT_NEVER_LATE);
        if (c.done)
            return n;
        assert_true(c.n > 0 || c.decide);
        assert_true(c.n <= AT_PACE_NEXT);
        if (c.reset)
            p.run_tokens = 0;
        tail += c.n;
        seen += c.n;
        p.run_tokens += c.n;
        p.new_tokens += c.n;
        if (!c.decide)
            continue;
        if (n < max)
            at[n] = seen;
        n++;
        p.decisions++;
        p.new_tokens = 0;
        p.last_index = seen * hop;
    }
}

static void test_decisions_stand_where_the_design_says(void **state)
{
    static const struct {
        const char *what;
        uint64_t tokens, hop, gap_at;
        size_t n;
        uint64_t at[6];
    } rows[] = {
        {"short: at its end", 5, 1000, 0, 1, {5}},
        {"exactly the first", 16, 1000, 0, 1, {16}},
        {"first and end", 17, 1000, 0, 2, {16, 17}},
        {"slow tokens: each 64", 150, 10000, 0, 4, {16, 80, 144, 150}},
        {"fast tokens: each 250 ms", 1100, 500, 0, 4, {16, 516, 1016, 1100}},
        {"a gap ends a run with a decision", 60, 10000, 40, 3, {16, 40, 60}},
        {"a gap soon after a decision does not", 60, 10000, 20, 2, {16, 60}},
        {"nothing came: nothing is decided", 0, 1000, 0, 0, {0}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t at[6] = {0};
        size_t n = play(rows[i].tokens, rows[i].hop, rows[i].gap_at, at, 6);
        print_message("%s: %zu decisions, wanted %zu\n", rows[i].what, n, rows[i].n);
        assert_int_equal(n, rows[i].n);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(at[k], rows[i].at[k]);
    }
}

static void test_a_push_never_crosses_a_gap(void **state)
{
    struct at_pace p = {.decisions = 1, .run_tokens = 100, .interval = UINT64_MAX};
    for (size_t i = 0; i < 64; i++)
        ring[i] = (struct at_mark){.index = i, .new_run = i == 40};
    struct at_chunk c = at_pace_plan(&p, ring, RING, 0, 64, false, AT_NEVER_LATE);
    assert_int_equal(c.n, 40);
    assert_false(c.reset);
    p.run_tokens += 40;
    p.new_tokens = 0;
    c = at_pace_plan(&p, ring, RING, 40, 24, false, AT_NEVER_LATE);
    assert_int_equal(c.n, 0); /* 24 of 64: wait */
    c = at_pace_plan(&p, ring, RING, 40, 24, true, AT_NEVER_LATE);
    assert_int_equal(c.n, 24);
    assert_true(c.reset && c.decide);
}

/* A decision whose token came too long ago is made on the newest token instead, push by push; one
 * in time stays where it is. */
static void test_a_late_decision_moves_to_the_newest_token(void **state)
{
    static const struct {
        const char *what;
        size_t waiting, gap_at;
        int64_t late_ns;
        size_t n;
        bool decide;
    } rows[] = {
        {"in time", 40, 0, 15, 16, true},
        {"late: all that waits", 40, 0, 16, 40, true},
        {"late, and exactly one push", 64, 0, 16, 64, true},
        {"late, more than one push: no decision yet", 65, 0, 16, 64, false},
        {"late, a run ends: there", 65, 30, 16, 30, true},
        {"late, nothing newer", 16, 0, 16, 16, true},
        {"never late", 65, 0, AT_NEVER_LATE, 16, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct at_pace p = {.interval = 1000};
        for (size_t k = 0; k < rows[i].waiting; k++)
            ring[k] = (struct at_mark){.index = k + 1,
                                       .delivered_ns = (int64_t)k,
                                       .new_run = k > 0 && k == rows[i].gap_at};
        print_message("%s\n", rows[i].what);
        struct at_chunk c =
            at_pace_plan(&p, ring, RING, 0, rows[i].waiting, false, rows[i].late_ns);
        assert_int_equal(c.n, rows[i].n);
        assert_int_equal(c.decide, rows[i].decide);
    }
}

static void test_stale_runs_are_dropped_whole(void **state)
{
    static const struct {
        const char *what;
        size_t waiting, gap_at[2];
        int64_t late_ns;
        size_t n;
        int64_t lag_ns; /* of the thread that brought them */
    } rows[] = {
        {"late when they came, and no worker's fault", 300, {0}, 63, 0, 1000},
        {"late when they came, and not served either", 300, {0}, 64, 300, 1000},
        {"fewer than a run", 255, {0}, INT64_MAX, 0},
        {"the next push in time", 300, {0}, 63, 0},
        {"one run, its first push late: all", 300, {0}, 64, 300},
        {"the runs before the newest", 400, {100, 200}, 64, 200},
        {"never late", 400, {100, 200}, AT_NEVER_LATE, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < rows[i].waiting; k++)
            ring[k] = (struct at_mark){
                .delivered_ns = (int64_t)k - rows[i].lag_ns,
                .queued_ns = (int64_t)k,
                .new_run = k > 0 && (k == rows[i].gap_at[0] || k == rows[i].gap_at[1])};
        print_message("%s\n", rows[i].what);
        assert_int_equal(at_pace_stale(ring, RING, 0, rows[i].waiting, rows[i].late_ns), rows[i].n);
    }
}

static void test_supply_gives_whole_runs(void **state)
{
    /* 10 tokens arrive each ms of 1000 samples, 4 may be taken: in the long run 40 %, in runs of at
     * least 256. */
    struct at_supply s = {.tokens = 1000};
    uint64_t taken = 0, run = 0, shortest = UINT64_MAX, runs = 0;
    const uint64_t n_ms = 20000;
    for (uint64_t ms = 1; ms <= n_ms; ms++) {
        size_t room = at_supply_room(&s, ms * 1000, 0.004, 1000, AT_RUN_MIN, SIZE_MAX);
        size_t n = room < 10 ? room : 10;
        if (n > 0)
            at_supply_take(&s, n);
        taken += n;
        run += n;
        if (n == 0 && run > 0) {
            shortest = run < shortest ? run : shortest;
            runs++;
            run = 0;
        }
    }
    double share = (double)taken / (double)(n_ms * 10);
    print_message("share %.3f, wanted 0.4; %d runs, shortest %d tokens\n", share, (int)runs,
                  (int)shortest);
    assert_true(share > 0.39 && share < 0.42);
    assert_true(shortest >= AT_RUN_MIN);
    assert_true(runs > 20);
}

static void test_supply_needs_space_for_a_run(void **state)
{
    struct at_supply s = {.tokens = 4096};
    assert_int_equal(at_supply_room(&s, 0, 1, 4096, AT_RUN_MIN, 255), 0);
    assert_int_equal(at_supply_room(&s, 0, 1, 4096, AT_RUN_MIN, 300), 300);
    at_supply_take(&s, 299);
    assert_int_equal(at_supply_room(&s, 0, 1, 4096, AT_RUN_MIN, 7),
                     7); /* amid a run any space will do */
    at_supply_take(&s, 6);
    assert_int_equal(at_supply_room(&s, 0, 1, 4096, AT_RUN_MIN, 0), 0);
    assert_int_equal(at_supply_room(&s, 0, 1, 4096, AT_RUN_MIN, 100), 0); /* the run has ended */
}

static void test_new_ones_first_then_the_stalest(void **state)
{
    const struct at_task tasks[] = {
        {.runnable = true, .serial = 1, .served = 500},
        {.runnable = true, .serial = 2, .served = 100},
        {.runnable = true, .serial = 5, .fresh = true},
        {.runnable = true, .serial = 4, .fresh = true},
        {.runnable = false, .serial = 3, .fresh = true},
    };
    assert_int_equal(at_sched_pick(tasks, 5), 3);
    assert_int_equal(at_sched_pick(tasks, 3), 2);
    assert_int_equal(at_sched_pick(tasks, 2), 1);
    assert_int_equal(at_sched_pick(tasks + 4, 1), AT_NO_TASK);
    assert_int_equal(at_sched_pick(tasks, 0), AT_NO_TASK);
}

/* More work than one server can do: every emission is still served, none waits longer than the
 * others. */
static void test_nobody_starves(void **state)
{
    struct at_task tasks[40];
    int served[40] = {0};
    for (size_t i = 0; i < 40; i++)
        tasks[i] = (struct at_task){.runnable = true, .fresh = true, .serial = i};
    for (int64_t t = 1; t <= 400; t++) {
        size_t i = at_sched_pick(tasks, 40);
        served[i]++;
        tasks[i].fresh = false;
        tasks[i].served = t;
    }
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(served[i], 10);
}

static void test_who_gives_up_its_session(void **state)
{
    const struct at_task tasks[] = {
        {.has_session = true, .served = 90, .run_tokens = 1000, .busy = true},
        {.has_session = true, .served = 80, .run_tokens = 255, .queued = 1},
        {.has_session = true, .served = 70, .run_tokens = 255},
        {.has_session = true, .served = 60, .run_tokens = 256, .queued = 9},
        {.has_session = true, .served = 95, .run_tokens = 999, .fresh = true},
        {.has_session = false, .served = 99},
    };
    assert_int_equal(at_sched_victim(tasks, 6, false), 2);
    assert_int_equal(at_sched_victim(tasks + 3, 3, false), 0);
    assert_int_equal(at_sched_victim(tasks + 4, 2, false), AT_NO_TASK);
}

/* Watched ones come before all others, in their own order, and are cut for each other only. */
static void test_watched_ones_come_first_and_stay(void **state)
{
    const struct at_task waiting[] = {
        {.runnable = true, .serial = 1, .fresh = true},
        {.runnable = true, .serial = 2, .served = 10},
        {.runnable = true, .serial = 3, .served = 90, .watched = true},
        {.runnable = true, .serial = 4, .served = 80, .watched = true},
        {.runnable = true, .serial = 5, .fresh = true, .watched = true},
        {.runnable = false, .serial = 0, .fresh = true, .watched = true},
    };
    assert_int_equal(at_sched_pick(waiting, 6), 4);
    assert_int_equal(at_sched_pick(waiting, 4), 3);
    assert_int_equal(at_sched_pick(waiting, 3), 2);
    assert_int_equal(at_sched_pick(waiting, 2), 0);
    const struct at_task holders[] = {
        {.has_session = true, .served = 90, .run_tokens = 1000, .watched = true},
        {.has_session = true, .served = 95, .run_tokens = 1000, .watched = true},
        {.has_session = true, .served = 20, .run_tokens = 1000},
        {.has_session = true, .served = 10, .run_tokens = 1000},
    };
    assert_int_equal(at_sched_victim(holders, 4, false), 2);
    assert_int_equal(at_sched_victim(holders, 4, true), 2);
    assert_int_equal(at_sched_victim(holders, 2, true), 1);
    assert_int_equal(at_sched_victim(holders, 2, false), AT_NO_TASK);
}

/* With 45 emissions, a budget of 30 ms and 0.7 ms each, four together took 15 to 40 ms beside a
 * program that wanted the same core. */
static void test_few_are_made_together(void **state)
{
    static const struct {
        const char *what;
        size_t waiting;
        unsigned threads;
        double each_ms, budget_ms;
        size_t n;
    } rows[] = {
        {"one waits", 1, 2, 0.1, 30, 1},
        {"each thread its share", 8, 2, 0.1, 30, 4},
        {"rounded up", 7, 2, 0.1, 30, 4},
        {"at most a twentieth of the budget", 45, 2, 0.7, 30, 2},
        {"a slower one alone", 45, 2, 2, 30, 1},
        {"one that takes longer than the budget", 45, 2, 100, 30, 1},
        {"cost not known", 8, 2, NAN, 30, 4},
        {"no budget", 8, 2, 5, 0, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n =
            at_sched_together(rows[i].waiting, rows[i].threads, rows[i].each_ms, rows[i].budget_ms);
        print_message("%s: %zu, wanted %zu\n", rows[i].what, n, rows[i].n);
        assert_true(n == rows[i].n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions_stand_where_the_design_says),
        cmocka_unit_test(test_a_push_never_crosses_a_gap),
        cmocka_unit_test(test_a_late_decision_moves_to_the_newest_token),
        cmocka_unit_test(test_stale_runs_are_dropped_whole),
        cmocka_unit_test(test_supply_gives_whole_runs),
        cmocka_unit_test(test_supply_needs_space_for_a_run),
        cmocka_unit_test(test_new_ones_first_then_the_stalest),
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_who_gives_up_its_session),
        cmocka_unit_test(test_watched_ones_come_first_and_stay),
        cmocka_unit_test(test_few_are_made_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
