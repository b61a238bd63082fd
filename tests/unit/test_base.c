/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/newfile.h"
#include "lib/base/path.h"

static void test_mem_counts_to_the_byte(void **state)
{
    struct at_mem mem = {0};
    void *a = at_mem_alloc(&mem, AT_MEM_KV, 1000);
    void *b = at_mem_array(&mem, AT_MEM_KV, 3, 7);
    assert_non_null(a);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal(mem.bytes[AT_MEM_KV], 1021);
    at_mem_free(&mem, a);
    at_mem_free(&mem, b);
    assert_int_equal(mem.bytes[AT_MEM_KV], 0);
    assert_int_equal(mem.peak[AT_MEM_KV], 1021);
}

static void test_mem_keeps_its_limit(void **state)
{
    struct at_mem mem = {.limit = {[AT_MEM_KV] = 100}};
    void *a = at_mem_alloc(&mem, AT_MEM_KV, 60);
    assert_null(at_mem_alloc(&mem, AT_MEM_KV, 41));
    assert_int_equal(mem.bytes[AT_MEM_KV], 60);
    assert_null(at_mem_array(&mem, AT_MEM_OTHER, SIZE_MAX / 2, 3));
    mem.fail_at = 2;
    void *b = at_mem_alloc(&mem, AT_MEM_OTHER, 1);
    assert_non_null(b);
    assert_null(at_mem_alloc(&mem, AT_MEM_OTHER, 1));
    at_mem_free(&mem, a);
    at_mem_free(&mem, b);
}

static void test_buf_never_passes_its_ceiling(void **state)
{
    struct at_buf b;
    at_buf_init(&b, 10);
    assert_int_equal(at_buf_printf(&b, "%s", "12345"), 0);
    assert_int_equal(at_buf_add(&b, "678901", 6), -E2BIG);
    assert_int_equal(at_buf_add(&b, "6", 1), -E2BIG); /* sticky: no hole in the text */
    assert_string_equal(b.data, "12345");
    at_buf_finish(&b);
}

static void test_errors_are_one_line(void **state)
{
    struct at_error err;
    assert_int_equal(at_error_set(&err, -EINVAL, "%s: no", "a\nb\x1b[1m\x7f\xc3\xa9"), -EINVAL);
    assert_string_equal(err.text, "a?b?[1m?\xc3\xa9: no");
    assert_int_equal(at_error_prefix(&err, -EIO, "x%cy", '\r'), -EIO);
    assert_string_equal(err.text, "x?y: a?b?[1m?\xc3\xa9: no");
}

static void test_a_quoted_path_is_no_pattern(void **state)
{
    char out[2 * 8 + 1];
    at_path_quote("a*?[b]\\c", 8, out);
    assert_string_equal(out, "a\\*\\?\\[b]\\\\c");
    at_path_quote("ab/c", 3, out);
    assert_string_equal(out, "ab/");
    at_path_quote("a", 0, out);
    assert_string_equal(out, "");
}

static char read_first(const char *path)
{
    FILE *f = fopen(path, "rb");
    int c = f ? fgetc(f) : '-';
    if (f)
        fclose(f);
    return (char)c;
}

static void test_a_new_file_is_there_whole_or_not_at_all(void **state)
{
    char folder[] = "/tmp/test_base.XXXXXX", path[64], too_long[5000];
    struct at_newfile a, b;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x", folder);
    assert_int_equal(at_newfile_write(path, "old", 3), 0);
    assert_int_equal(at_newfile_open(&a, path), 0);
    assert_int_equal(at_newfile_open(&b, path), 0); /* two at once do not meet */
    fputs("a", a.f);
    fputs("b", b.f);
    assert_int_equal(read_first(path), 'o');
    assert_int_equal(at_newfile_close(&a, 0), 0);
    assert_int_equal(read_first(path), 'a');
    assert_int_equal(at_newfile_close(&b, -ENOSPC), -ENOSPC); /* given up */
    assert_int_equal(read_first(path), 'a');
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(at_newfile_write(path, "c", 1), -EISDIR);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
    assert_int_equal(at_newfile_write(path, "c", 1), -ENOENT);
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    assert_int_equal(at_newfile_open(&a, too_long), -ENAMETOOLONG);
}

static void test_utc_goes_out_and_back(void **state)
{
    char text[AT_RFC3339_SIZE];
    at_clock_format_utc(INT64_C(1795460711123456000), text);
    assert_string_equal(text, "2026-11-23T19:05:11.123456Z");
    int64_t ns = 0;
    assert_int_equal(at_clock_parse_utc(text, &ns), 0);
    assert_int_equal(ns, INT64_C(1795460711123456000));
    assert_int_equal(at_clock_parse_utc("2026-11-23T20:05:11.123456+01:00", &ns), 0);
    assert_int_equal(ns, INT64_C(1795460711123456000));
    assert_int_equal(at_clock_parse_utc("yesterday", &ns), -EINVAL);
    static const char *const never[] = {"2026-02-30T00:00:00Z", "2026-02-29T12:00:00Z",
                                        "2026-04-31T23:59:59Z"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_int_equal(at_clock_parse_utc(never[i], &ns), -EINVAL);
    assert_int_equal(at_clock_parse_utc("2024-02-29T00:00:00Z", &ns), 0);
    assert_int_equal(at_clock_parse_utc("2016-12-31T23:59:60Z", &ns), 0);
    assert_true(ns == INT64_C(1483228800000000000));
}

static void test_cpu_mask_takes_levels_away(void **state)
{
    uint32_t all = at_cpu_levels();
    assert_true(all & AT_CPU_GENERIC);
    at_cpu_set_mask(AT_CPU_GENERIC);
    assert_int_equal(at_cpu_levels(), AT_CPU_GENERIC);
    at_cpu_set_mask(0);
    assert_int_equal(at_cpu_levels(), all);
}

/* What sched_getattr(2) says of this thread; 48 bytes of it. */
static uint64_t turn_ns(void)
{
    uint64_t attr[6] = {0};
    assert_int_equal(syscall(SYS_sched_getattr, 0, attr, sizeof attr, 0), 0);
    return attr[3];
}

static void *take_short_turns(void *ctx)
{
    id_t me = (id_t)syscall(SYS_gettid);
    assert_int_equal(setpriority(PRIO_PROCESS, me, getpriority(PRIO_PROCESS, me) + 3), 0);
    int nice = getpriority(PRIO_PROCESS, me);
    uint64_t before = turn_ns();
    assert_int_equal(at_cpu_short_turns(), 0);
    print_message("a turn lasts %.1f ms, %.1f before\n", 1e-6 * (double)turn_ns(),
                  1e-6 * (double)before);
    assert_int_equal(getpriority(PRIO_PROCESS, me), nice);
    assert_true(before == 0 /* Linux before 6.12 */ || turn_ns() == 100000);
    return NULL;
}

static void test_cpu_turns_are_the_threads_own(void **state)
{
    pthread_t thread;
    uint64_t before = turn_ns();
    assert_int_equal(pthread_create(&thread, NULL, take_short_turns, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(turn_ns() == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem_counts_to_the_byte),
        cmocka_unit_test(test_mem_keeps_its_limit),
        cmocka_unit_test(test_buf_never_passes_its_ceiling),
        cmocka_unit_test(test_errors_are_one_line),
        cmocka_unit_test(test_a_quoted_path_is_no_pattern),
        cmocka_unit_test(test_a_new_file_is_there_whole_or_not_at_all),
        cmocka_unit_test(test_utc_goes_out_and_back),
        cmocka_unit_test(test_cpu_mask_takes_levels_away),
        cmocka_unit_test(test_cpu_turns_are_the_threads_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
