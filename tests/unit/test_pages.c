/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/pages.h"

#define SIZE ((size_t)12 << 20)

static long faults(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt;
}

static int make_file(void)
{
    int fd = memfd_create("test-pages", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
    return fd;
}

/* How many pages came with their first use. */
static long faults_of_writing(unsigned char *p, size_t size)
{
    long before = faults();
    memset(p, 3, size);
    return faults() - before;
}

static void pages_are_there_before_their_first_use(void **state)
{
    (void)state;
    int fd = make_file();
    unsigned char *own =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *shared = at_pages_map(fd, SIZE), *other = at_pages_map(fd, SIZE);
    assert_true(own != MAP_FAILED && shared && other);
    if (madvise(own, 4096, 23 /* MADV_POPULATE_WRITE */) != 0) {
        printf("this kernel does not bring pages: nothing to test\n");
        skip();
    }
    at_pages_bring(own, SIZE);
    at_pages_bring(shared, SIZE);
    at_pages_bring(other, SIZE);
    long n[3] = {faults_of_writing(own, SIZE), faults_of_writing(shared, SIZE),
                 faults_of_writing(other, SIZE)};
    printf("faults while %zu pages are written: %ld of one's own, %ld and %ld of shared ones\n",
           SIZE / 4096, n[0], n[1], n[2]);
    for (int i = 0; i < 3; i++)
        assert_true(n[i] < (long)(SIZE / 4096 / 50));
    munmap(own, SIZE);
    munmap(shared, SIZE);
    munmap(other, SIZE);
    close(fd);
}

static void what_stands_in_them_is_kept(void **state)
{
    (void)state;
    int fd = make_file();
    unsigned char *a = at_pages_map(fd, SIZE), *b = at_pages_map(fd, SIZE);
    assert_true(a && b);
    a[0] = 1;
    a[SIZE / 2 + 5] = 2;
    a[SIZE - 1] = 3;
    at_pages_bring(b + 100, SIZE - 200); /* begins and ends within a page */
    at_pages_bring(b, 1);
    assert_int_equal(b[0], 1);
    assert_int_equal(b[SIZE / 2 + 5], 2);
    assert_int_equal(b[SIZE - 1], 3);
    b[4096] = 4;
    assert_int_equal(a[4096], 4);
    munmap(a, SIZE);
    munmap(b, SIZE);
    close(fd);
}

static void a_mapping_begins_where_a_large_page_fits(void **state)
{
    (void)state;
    int fd = make_file();
    unsigned char *p = at_pages_map(fd, SIZE - 5000);
    assert_non_null(p);
    printf("at %p\n", (void *)p);
    assert_int_equal((uintptr_t)p % AT_PAGES_LARGE, 0);
    munmap(p, SIZE - 5000);
    assert_null(at_pages_map(-1, SIZE));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_there_before_their_first_use),
        cmocka_unit_test(what_stands_in_them_is_kept),
        cmocka_unit_test(a_mapping_begins_where_a_large_page_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
