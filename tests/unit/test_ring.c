/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/source/convert.h"
#include "lib/source/ring.h"

#define DATA  (64 * 1024)
#define TOTAL 2000000u

static void *make_ring(struct at_iq_writer *w, struct at_iq_reader *r)
{
    void *memory = at_mem_alloc(NULL, AT_MEM_IQ, at_iq_ring_size(DATA));
    assert_non_null(memory);
    at_iq_writer_init(w, memory, DATA);
    at_iq_reader_init(r, memory, DATA);
    return memory;
}

/* Records of every length up to 3000 samples, each sample holding its number; a full ring is waited
 * for. */
static void *produce(void *arg)
{
    struct at_iq_writer *ring = arg;
    static uint32_t samples[3000];
    uint32_t next = 0, length = 1;
    while (next < TOTAL) {
        struct at_iq_record r = {
            .index = next, .format = AT_IQ_CS16, .rate_hz = 1e6, .full_scale = 1, .n = length};
        for (uint32_t i = 0; i < length; i++)
            samples[i] = next + i;
        while (at_iq_ring_push(ring, &r, samples) < 0)
            ;
        next += length;
        length = length * 7 % 2999 + 1;
    }
    return NULL;
}

static void samples_pass_between_threads_in_order(void **state)
{
    struct at_iq_writer w;
    struct at_iq_reader in, *ring = &in;
    void *memory = make_ring(&w, &in);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &w), 0);
    uint32_t next = 0, wrong = 0;
    while (next < TOTAL) {
        const void *samples;
        int bad = 0;
        const struct at_iq_record *r = at_iq_ring_peek(ring, &samples, &bad);
        assert_int_equal(bad, 0);
        if (!r) {
            at_iq_ring_wait(ring, 1000);
            continue;
        }
        const uint32_t *x = samples;
        wrong += r->index != next;
        for (uint32_t i = 0; i < r->n; i++)
            wrong += x[i] != next + i;
        next += r->n;
        at_iq_ring_pop(ring);
    }
    pthread_join(thread, NULL);
    print_message("%u samples, %u wrong\n", next, wrong);
    assert_int_equal(wrong, 0);
    at_mem_free(NULL, memory);
}

static void a_full_ring_refuses_and_keeps_what_it_has(void **state)
{
    struct at_iq_writer w;
    struct at_iq_reader in, *ring = &in;
    void *memory = make_ring(&w, &in);
    static uint32_t samples[DATA / 4 + 1];
    struct at_iq_record r = {
        .format = AT_IQ_CS16, .rate_hz = 1e6, .full_scale = 1, .n = DATA / 4 + 1};
    assert_int_equal(at_iq_ring_push(&w, &r, samples), -ENOSPC);
    r.n = 1000;
    int pushed = 0;
    while (at_iq_ring_push(&w, &r, samples) == 0)
        r.index = (uint64_t)++pushed;
    assert_int_equal(pushed, DATA / 4000);
    const void *p;
    int bad = 0, popped = 0;
    for (const struct at_iq_record *got; (got = at_iq_ring_peek(ring, &p, &bad)); popped++) {
        assert_int_equal(got->index, popped);
        at_iq_ring_pop(ring);
    }
    assert_int_equal(popped, pushed);
    at_mem_free(NULL, memory);
}

/* The other side is another process, and may be broken: whatever stands in the memory, nothing is
 * read outside of the ring, and what was peeked stays as it was. */
static void an_impossible_record_is_not_believed(void **state)
{
    struct at_iq_writer w;
    struct at_iq_reader in;
    void *memory = make_ring(&w, &in);
    uint32_t samples[4] = {0};
    struct at_iq_record r = {
        .index = 5, .format = AT_IQ_CS16, .rate_hz = 1e6, .n = 4, .full_scale = 1};
    assert_int_equal(at_iq_ring_push(&w, &r, samples), 0);
    const void *p;
    int bad = 0;
    assert_non_null(at_iq_ring_peek(&in, &p, &bad));
    memset(memory, 0xff, at_iq_ring_size(DATA));
    const struct at_iq_record *held = at_iq_ring_peek(&in, &p, &bad);
    assert_non_null(held);
    assert_int_equal(held->index, 5);
    at_iq_ring_pop(&in);
    assert_null(at_iq_ring_peek(&in, &p, &bad));
    assert_int_equal(bad, 1);
    at_mem_free(NULL, memory);
}

static void garbage_is_never_read_beyond_the_ring(void **state)
{
    uint64_t x = 88172645463325252u;
    unsigned good = 0, refused = 0;
    struct at_iq_writer w;
    struct at_iq_reader in;
    void *memory = make_ring(&w, &in);
    size_t size = at_iq_ring_size(DATA);
    const char *begin = memory, *end = begin + size;
    for (int round = 0; round < 3000; round++) {
        memset(memory, 0, size);
        at_iq_writer_init(&w, memory, DATA);
        at_iq_reader_init(&in, memory, DATA);
        uint32_t samples[64] = {0};
        struct at_iq_record r = {.format = AT_IQ_CS16, .rate_hz = 1e6, .n = 64, .full_scale = 1};
        for (int i = 0; i < 20; i++)
            at_iq_ring_push(&w, &r, samples);
        for (int i = 0; i < 40; i++) { /* headers and the first records lie here */
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            ((uint8_t *)memory)[x % 2600] = (uint8_t)(x >> 32);
        }
        int bad = 0;
        const void *p;
        for (const struct at_iq_record *got; (got = at_iq_ring_peek(&in, &p, &bad)); good++) {
            size_t bytes = got->n * at_iq_format_size((enum at_iq_format)got->format);
            assert_true((const char *)p >= begin && (const char *)p + bytes <= end);
            at_iq_ring_pop(&in);
        }
        refused += (unsigned)bad;
    }
    print_message("%u records taken, %u rounds refused\n", good, refused);
    assert_true(good > 0 && refused > 0);
    at_mem_free(NULL, memory);
}

static void waiting_ends_with_the_timeout_or_a_wake(void **state)
{
    const void *p;
    int bad = 0;
    struct at_iq_writer w;
    struct at_iq_reader in, *ring = &in;
    void *memory = make_ring(&w, &in);
    assert_null(at_iq_ring_peek(ring, &p, &bad));
    int64_t begin = at_clock_mono_ns();
    at_iq_ring_wait(ring, 50);
    double waited = (double)(at_clock_mono_ns() - begin) * 1e-9;
    print_message("waited %.3f s of 0.050\n", waited);
    assert_true(waited > 0.045 && waited < 30);
    at_iq_ring_wake(w.ring); /* after the peek: the wait must not sleep */
    begin = at_clock_mono_ns();
    at_iq_ring_wait(ring, 100000);
    assert_true(at_clock_mono_ns() - begin < INT64_C(50000000000));
    at_mem_free(NULL, memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_pass_between_threads_in_order),
        cmocka_unit_test(a_full_ring_refuses_and_keeps_what_it_has),
        cmocka_unit_test(an_impossible_record_is_not_believed),
        cmocka_unit_test(garbage_is_never_read_beyond_the_ring),
        cmocka_unit_test(waiting_ends_with_the_timeout_or_a_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
