/* Samples on their way from the thread (later: the process) that owns a radio to the one that reads: single producer,
 * single consumer, in memory that the caller gives and that holds no pointers, so that it may be a shared mapping.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_RING_H
#define AT_SOURCE_RING_H

#include <stddef.h>
#include <stdint.h>

/* One delivery of the driver: n contiguous samples in their native format. */
struct at_iq_record {
    uint64_t index; /* of the first sample */
    int64_t delivered_ns, utc_ns;
    double center_hz;
    float gain_db, full_scale;
    uint32_t format; /* enum at_iq_format */
    uint32_t n;
    uint64_t position; /* set by push: where its bytes begin, counted from the ring's start of life */
};

struct at_iq_ring;

/* Bytes of memory for a ring of at least data_bytes of samples. */
size_t at_iq_ring_size(size_t data_bytes);
/* Makes memory (zeroed, 64-byte aligned, at_iq_ring_size(data_bytes)) an empty ring. */
struct at_iq_ring *at_iq_ring_init(void *memory, size_t data_bytes);

/* Copies the record and its samples in and wakes the consumer. 0, or -ENOSPC: full. Producer only; RT-safe but for
 * the wake-up call where the consumer sleeps. */
int at_iq_ring_push(struct at_iq_ring *ring, const struct at_iq_record *record, const void *samples);
/* Wakes the consumer without a record (state has changed, stop). Any thread. */
void at_iq_ring_wake(struct at_iq_ring *ring);

/* The oldest record and its samples, borrowed until pop; NULL: empty. What stands in shared memory is checked before
 * it is believed: *ret_bad is set, and NULL returned, where the record is impossible. Consumer only. */
const struct at_iq_record *at_iq_ring_peek(struct at_iq_ring *ring, const void **ret_samples, int *ret_bad);
void at_iq_ring_pop(struct at_iq_ring *ring);
/* Sleeps until something was pushed or woken since the last peek, at most timeout_ms. Consumer only. */
void at_iq_ring_wait(struct at_iq_ring *ring, int timeout_ms);
/* Bytes of samples in it. Any thread. */
size_t at_iq_ring_used(const struct at_iq_ring *ring);

#endif
