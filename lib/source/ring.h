/* Samples on their way from the process that owns a radio to the one that reads: single producer,
 * single consumer, in memory that both map. It holds no pointers and no geometry: each side knows
 * its own, and what the other wrote is copied, then checked, then believed.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_RING_H
#define AT_SOURCE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/source/source.h"

#define AT_RADIO_MAX_HZ 1e9

/* One delivery of the driver: n contiguous samples in their native format, and what was lost before
 * them. */
struct at_iq_record {
    uint64_t index;                   /* of the first sample, from 0 when the device was opened */
    uint64_t lost[AT_LOST_REASONS];   /* between the record before and this one */
    uint32_t events[AT_LOST_REASONS]; /* how often */
    uint32_t format;                  /* enum at_iq_format */
    uint32_t n;
    int64_t delivered_ns;
    double center_hz, rate_hz;
    uint64_t tuning; /* at_read.tuning */
    float gain_db, full_scale;
    uint64_t
        position; /* set by push: where its bytes begin, counted from the ring's start of life */
};

struct at_iq_ring; /* the shared part */

/* One side of it each; private memory. */
struct at_iq_writer {
    struct at_iq_ring *ring;
    uint32_t n_records;
    uint64_t data_bytes, head_record, head_position;
};
struct at_iq_reader {
    struct at_iq_ring *ring;
    uint32_t n_records, seen;
    uint64_t data_bytes, tail_record, tail_position;
    bool held; /* record is the oldest one, not yet popped */
    struct at_iq_record record;
};

/* Bytes of memory for a ring of at least data_bytes of samples. */
size_t at_iq_ring_size(size_t data_bytes);
/* memory: zeroed, 64-byte aligned, at_iq_ring_size(data_bytes); borrowed. One writer and one reader
 * for its life. */
void at_iq_writer_init(struct at_iq_writer *w, void *memory, size_t data_bytes);
void at_iq_reader_init(struct at_iq_reader *r, void *memory, size_t data_bytes);

/* Copies the record and its samples in and wakes the consumer. 0, or -ENOSPC: full. RT-safe but for
 * the wake-up call where the consumer sleeps. */
int at_iq_ring_push(struct at_iq_writer *w, const struct at_iq_record *record, const void *samples);

/* The oldest record (the reader's own copy) and its samples, borrowed until pop; NULL: empty.
 * *ret_bad is set, and NULL returned, where what stands there is impossible. */
const struct at_iq_record *at_iq_ring_peek(struct at_iq_reader *r, const void **ret_samples,
                                           int *ret_bad);
void at_iq_ring_pop(struct at_iq_reader *r);
/* Sleeps until something was pushed or woken since the last peek, at most timeout_ms. */
void at_iq_ring_wait(struct at_iq_reader *r, int timeout_ms);

/* Wakes the consumer without a record (state has changed, stop). Any thread of either process. */
void at_iq_ring_wake(struct at_iq_ring *ring);

#endif
