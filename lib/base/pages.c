/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

void at_pages_bring(void *p, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *from = (unsigned char *)p + (page - (uintptr_t)p % page) % page,
                  *end = (unsigned char *)p + size;
    if (size < 2 * page)
        return;
    size_t n = (size_t)(end - from) / page * page;
    madvise(from, n, MADV_HUGEPAGE);
    if (madvise(from, n, MADV_POPULATE_WRITE))
        return;
    madvise(from, n,
            MADV_COLLAPSE); /* shared memory is not given large pages where it is first used */
    for (size_t i = 0; i < n; i += page) /* where the host has its own tables of pages */
        (void)*(volatile unsigned char *)(from + i);
}

void *at_pages_map(int fd, size_t size)
{
    if (size > SIZE_MAX - AT_PAGES_LARGE)
        return NULL;
    unsigned char *room = mmap(NULL, size + AT_PAGES_LARGE, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *at = room + (AT_PAGES_LARGE - (uintptr_t)room % AT_PAGES_LARGE) % AT_PAGES_LARGE;
    unsigned char *end = at + (size + page - 1) / page * page;
    void *memory = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (memory == MAP_FAILED) {
        munmap(room, size + AT_PAGES_LARGE);
        return NULL;
    }
    if (at > room)
        munmap(room, (size_t)(at - room));
    if (end < room + size + AT_PAGES_LARGE)
        munmap(end, (size_t)(room + size + AT_PAGES_LARGE - end));
    return memory;
}
