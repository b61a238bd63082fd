/* Time. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_CLOCK_H
#define AT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define AT_NS_PER_S INT64_C(1000000000)

/* CLOCK_MONOTONIC in ns. RT-safe. */
int64_t at_clock_mono_ns(void);
/* UTC in ns since 1970. RT-safe. */
int64_t at_clock_utc_ns(void);
/* This thread's CPU time in ns. RT-safe. */
int64_t at_clock_thread_cpu_ns(void);

#define AT_RFC3339_SIZE 32
/* Writes "2026-11-23T19:05:11.123456Z" (microseconds, RFC 3339). out: AT_RFC3339_SIZE bytes. */
void at_clock_format_utc(int64_t utc_ns, char out[AT_RFC3339_SIZE]);
/* Reads RFC 3339 with Z or a numeric offset. 0 or -EINVAL. */
int at_clock_parse_utc(const char *text, int64_t *ret_utc_ns);

#endif
