/* A histogram of fixed size whose buckets grow by 2 %: any quantile within 1 % of the value that
 * stands there. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_HISTOGRAM_H
#define AT_BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define AT_HISTOGRAM_LOW 1e-3 /* smallest value told apart; whatever unit, ms here: 1 us */
#define AT_HISTOGRAM_BUCKETS                                                                       \
    1048 /* up to 1e6, ms: 1000 s; beyond either end counts at that end                            \
          */

/* Zero-initialised is empty. */
struct at_histogram {
    uint32_t count[AT_HISTOGRAM_BUCKETS];
    uint64_t n;
};

/* RT-safe. NAN is passed over. */
void at_histogram_add(struct at_histogram *h, double value);

/* The newest values only: two halves, the older of which is dropped when the younger is full or
 * old. Zero-initialised is empty; the caller serialises. */
struct at_recent {
    struct at_histogram half[2];
    unsigned now;
    int64_t began_ns; /* of half[now] */
};

/* Keeps the newest most / 2 to most values, none older than 2 age_ns (0: however old). RT-safe. */
void at_recent_add(struct at_recent *r, double value, uint64_t most, int64_t now_ns,
                   int64_t age_ns);
/* Quantile q (0..1) of what is kept; NAN where that is fewer than least values, or none. RT-safe.
 */
double at_recent_quantile(const struct at_recent *r, double q, uint64_t least);
void at_recent_reset(struct at_recent *r);

#endif
