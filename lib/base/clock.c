/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 64 bits of nanoseconds end in the year 2262. */
#define LAST_S (INT64_MAX / AT_NS_PER_S - 1)

static int64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * AT_NS_PER_S + t.tv_nsec;
}

int64_t at_clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t at_clock_utc_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

int64_t at_clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void at_clock_format_utc(int64_t utc_ns, char out[AT_RFC3339_SIZE])
{
    time_t s = (time_t)(utc_ns / AT_NS_PER_S);
    int64_t rest = utc_ns % AT_NS_PER_S;
    if (rest < 0) {
        rest += AT_NS_PER_S;
        s--;
    }
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, AT_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, AT_RFC3339_SIZE - n, ".%06dZ", (int)(rest / 1000));
}

int at_clock_parse_utc(const char *text, int64_t *ret_utc_ns)
{
    struct tm tm = {0};
    const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!p)
        return -EINVAL;
    int64_t ns = 0, unit = AT_NS_PER_S / 10;
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            ns += (*p - '0') * unit;
    }
    int offset_s = 0;
    if (*p == '+' || *p == '-') {
        int h, m;
        if (sscanf(p + 1, "%2d:%2d", &h, &m) != 2 || h > 23 || m > 59)
            return -EINVAL;
        offset_s = (*p == '+' ? 1 : -1) * (h * 3600 + m * 60);
    } else if (strcmp(p, "Z") != 0 && strcmp(p, "z") != 0) {
        return -EINVAL;
    }
    /* timegm() makes the 2nd of March of the 30th of February. A leap second is the next one. */
    struct tm same = tm;
    time_t whole = timegm(&same);
    if (same.tm_mday != tm.tm_mday && tm.tm_sec < 60)
        return -EINVAL;
    int64_t seconds = (int64_t)whole - offset_s;
    if (seconds > LAST_S || seconds < -LAST_S)
        return -EINVAL;
    *ret_utc_ns = seconds * AT_NS_PER_S + ns;
    return 0;
}
