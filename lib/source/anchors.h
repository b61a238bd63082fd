/* Which UTC a sample has, and when it was due: anchors of (index, time), renewed each minute.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_ANCHORS_H
#define AT_SOURCE_ANCHORS_H

#include <stdbool.h>
#include <stdint.h>

#define AT_ANCHOR_RENEW_NS INT64_C(60000000000)

/* Buffers only ever deliver late, so the least late delivery of a minute is the best witness of
 * when a sample was taken; a minute bounds what a wrong oscillator (100 ppm: 6 ms) and a corrected
 * system clock can do. */
struct at_anchor {
    uint64_t index;
    int64_t mono_ns, utc_ns; /* when the sample before index was delivered */
};

struct at_anchors {
    double rate_hz;
    bool have;
    struct at_anchor now;  /* in use */
    struct at_anchor next; /* best of this minute */
    int64_t renewed_ns;
};

/* Forgets everything: begin, a re-opened device, another rate. Any thread, RT-safe, as are all
 * here. */
void at_anchors_reset(struct at_anchors *a, double rate_hz);
/* Samples up to (not with) end_index were delivered at mono_ns, which is utc_ns. */
void at_anchors_update(struct at_anchors *a, uint64_t end_index, int64_t mono_ns, int64_t utc_ns);
/* UTC of the sample; 0 before the first update. */
int64_t at_anchors_utc(const struct at_anchors *a, uint64_t index);
/* The index that was due by mono_ns, by rate and clock alone; 0 before the first update. */
uint64_t at_anchors_due(const struct at_anchors *a, int64_t mono_ns);

#endif
