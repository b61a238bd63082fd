/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/base/cpu.h"
#include "lib/dsp/aside.h"

enum { MOST = 40, ROUNDS = 3000 };

struct job {
    pthread_t owner;
    size_t n;
    atomic_uint done[MOST];
    bool own[MOST]; /* the owner's */
    bool both;      /* each thread waits in its first part until the other has one */
    atomic_uint own_parts, other_parts;
};

static void part(void *ctx, size_t i)
{
    struct job *j = ctx;
    assert_true(i < j->n);
    j->own[i] = pthread_equal(pthread_self(), j->owner);
    atomic_fetch_add(j->own[i] ? &j->own_parts : &j->other_parts, 1);
    while (j->both && (atomic_load(&j->own_parts) == 0 || atomic_load(&j->other_parts) == 0))
        at_cpu_relax();
    atomic_fetch_add(&j->done[i], 1);
}

static void run(struct at_aside *a, struct job *j, size_t n, bool both)
{
    *j = (struct job){.owner = pthread_self(), .n = n, .both = both};
    at_aside_parts(a, part, j, n);
    for (size_t i = 0; i < MOST; i++)
        assert_int_equal(atomic_load(&j->done[i]), i < n);
}

static void test_each_part_is_done_once(void **state)
{
    static struct job j;
    struct at_aside *a = NULL;
    assert_int_equal(at_aside_create(NULL, &a), 0);
    for (size_t r = 0; r < ROUNDS; r++)
        run(a, &j, r % (MOST + 1), false);
    at_aside_destroy(a);
    run(NULL, &j, MOST, false);
    assert_int_equal(j.own_parts, MOST);
}

/* The owner has those from the front on, the other thread those at the back. */
static void test_either_thread_has_one_end(void **state)
{
    static struct job j;
    struct at_aside *a = NULL;
    size_t own = 0;
    assert_int_equal(at_aside_create(NULL, &a), 0);
    for (size_t r = 0; r < 200; r++) {
        run(a, &j, 2 + r % (MOST - 1), true);
        for (size_t i = 0; i < j.n; i++)
            assert_int_equal(j.own[i], i < j.own_parts);
        assert_int_equal(j.own_parts + j.other_parts, j.n);
        own += j.own_parts;
    }
    at_aside_destroy(a);
    print_message("%zu parts were the owner's\n", own);
}

static void test_it_ends_without_work(void **state)
{
    struct at_aside *a = NULL;
    assert_int_equal(at_aside_create(NULL, &a), 0);
    at_aside_destroy(a); /* asleep or about to be */
    at_aside_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_part_is_done_once),
        cmocka_unit_test(test_either_thread_has_one_end),
        cmocka_unit_test(test_it_ends_without_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
