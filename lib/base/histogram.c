/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/histogram.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define GROWTH 1.02 /* half of it, 0.995 %, is the error of a bucket's geometric middle */

void at_histogram_add(struct at_histogram *h, double value)
{
    if (isnan(value))
        return;
    double at = value > AT_HISTOGRAM_LOW ? log(value / AT_HISTOGRAM_LOW) / log(GROWTH) : 0;
    size_t i = at < AT_HISTOGRAM_BUCKETS - 1 ? (size_t)at : AT_HISTOGRAM_BUCKETS - 1;
    h->count[i]++;
    h->n++;
}

void at_recent_reset(struct at_recent *r)
{
    memset(r, 0, sizeof *r);
}

void at_recent_add(struct at_recent *r, double value, uint64_t most, int64_t now_ns, int64_t age_ns)
{
    bool old = age_ns > 0 && now_ns - r->began_ns > age_ns;
    if (r->half[r->now].n >= most / 2 || old) {
        if (age_ns > 0 && now_ns - r->began_ns > 2 * age_ns) /* nothing came for long */
            memset(&r->half[r->now], 0, sizeof r->half[r->now]);
        r->now = !r->now;
        memset(&r->half[r->now], 0, sizeof r->half[r->now]);
        r->began_ns = now_ns;
    }
    at_histogram_add(&r->half[r->now], value);
}

double at_recent_quantile(const struct at_recent *r, double q, uint64_t least)
{
    uint64_t n = r->half[0].n + r->half[1].n, seen = 0;
    if (n == 0 || n < least)
        return NAN;
    uint64_t rank = (uint64_t)(q * (double)(n - 1)); /* of the value asked for, from 0 */
    size_t i = 0;
    for (; i < AT_HISTOGRAM_BUCKETS - 1; i++) {
        seen += (uint64_t)r->half[0].count[i] + r->half[1].count[i];
        if (seen > rank)
            break;
    }
    return AT_HISTOGRAM_LOW * pow(GROWTH, (double)i + 0.5);
}
