/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_PAGES_H
#define AT_BASE_PAGES_H

#include <stddef.h>

#define AT_PAGES_LARGE ((size_t)2 << 20) /* bytes of a large page (x86-64, AArch64) */

/* Has the kernel bring the pages of memory [p, p + size) now, large ones where it can, and keeps
 * what stands in them: a page that comes with its first use takes up to 12 us in a virtual machine,
 * and a stream of 61.44 MS/s would need a hundred thousand in its first second. What the kernel
 * can't do (Linux before 5.14) is left out, and costs time later. Borrowed. Any thread; not
 * RT-safe. */
void at_pages_bring(void *p, size_t size);
/* Maps size bytes of fd, shared, for reading and writing, where large pages fit. NULL: errno says
 * why. munmap() ends it. */
void *at_pages_map(int fd, size_t size);

#endif
