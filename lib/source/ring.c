/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/source/convert.h"

#define LINE           64
#define MIN_RECORDS    64u
#define MAX_RECORDS    65536u
#define BYTES_A_RECORD 512 /* small packets (SoapyRemote: 357 samples) still fill the ring */

struct at_iq_ring {
    _Alignas(LINE) _Atomic uint64_t head_record; /* producer's */
    _Alignas(LINE) _Atomic uint64_t tail_record; /* consumer's */
    _Atomic uint64_t tail_position;
    _Alignas(LINE) _Atomic uint32_t signal; /* futex word: counts pushes and wakes */
    _Atomic uint32_t sleeping;
};

static size_t round_up(size_t n)
{
    return (n + LINE - 1) / LINE * LINE;
}

static uint32_t records_for(size_t data_bytes)
{
    uint32_t n = MIN_RECORDS;
    while (n < MAX_RECORDS && n < data_bytes / BYTES_A_RECORD)
        n *= 2;
    return n;
}

static struct at_iq_record *record_at(struct at_iq_ring *ring, uint32_t n_records, uint64_t number)
{
    return (struct at_iq_record *)((char *)ring + round_up(sizeof *ring)) +
           (number & (n_records - 1));
}

static char *data(struct at_iq_ring *ring, uint32_t n_records)
{
    return (char *)ring + round_up(sizeof *ring) +
           round_up(n_records * sizeof(struct at_iq_record));
}

size_t at_iq_ring_size(size_t data_bytes)
{
    return round_up(sizeof(struct at_iq_ring)) +
           round_up(records_for(data_bytes) * sizeof(struct at_iq_record)) + round_up(data_bytes);
}

void at_iq_writer_init(struct at_iq_writer *w, void *memory, size_t data_bytes)
{
    *w = (struct at_iq_writer){
        .ring = memory, .n_records = records_for(data_bytes), .data_bytes = round_up(data_bytes)};
}

void at_iq_reader_init(struct at_iq_reader *r, void *memory, size_t data_bytes)
{
    *r = (struct at_iq_reader){
        .ring = memory, .n_records = records_for(data_bytes), .data_bytes = round_up(data_bytes)};
}

void at_iq_ring_wake(struct at_iq_ring *ring)
{
    atomic_fetch_add(&ring->signal, 1);
    if (atomic_load(&ring->sleeping)) /* not FUTEX_PRIVATE: the sleeper is another process */
        syscall(SYS_futex, &ring->signal, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- the producer ---- */

int at_iq_ring_push(struct at_iq_writer *w, const struct at_iq_record *record, const void *samples)
{
    struct at_iq_ring *ring = w->ring;
    uint64_t tail = atomic_load_explicit(&ring->tail_record, memory_order_acquire);
    uint64_t tail_position = atomic_load_explicit(&ring->tail_position, memory_order_acquire);
    uint64_t bytes = (uint64_t)record->n * at_iq_format_size((enum at_iq_format)record->format);
    uint64_t position = w->head_position, at = position % w->data_bytes;
    if (at + bytes > w->data_bytes)
        position += w->data_bytes - at; /* a record's samples are never cut in two */
    if (w->head_record - tail >= w->n_records || bytes > w->data_bytes ||
        position + bytes - tail_position > w->data_bytes)
        return -ENOSPC;
    memcpy(data(ring, w->n_records) + position % w->data_bytes, samples, bytes);
    struct at_iq_record *r = record_at(ring, w->n_records, w->head_record);
    *r = *record;
    r->position = position;
    w->head_position = position + bytes;
    w->head_record++;
    atomic_store_explicit(&ring->head_record, w->head_record, memory_order_release);
    at_iq_ring_wake(ring);
    return 0;
}

/* ---- the consumer ---- */

static bool is_possible(const struct at_iq_reader *r, const struct at_iq_record *rec)
{
    uint64_t at = rec->position % r->data_bytes;
    if (rec->format >= AT_IQ_FORMATS || rec->n == 0 || rec->position < r->tail_position ||
        rec->position - r->tail_position > r->data_bytes ||
        rec->n > (r->data_bytes - at) / at_iq_format_size((enum at_iq_format)rec->format))
        return false;
    return isfinite(rec->full_scale) && rec->full_scale > 0 && isfinite(rec->center_hz) &&
           isfinite(rec->gain_db) && rec->rate_hz > 0 && rec->rate_hz <= AT_RADIO_MAX_HZ;
}

const struct at_iq_record *at_iq_ring_peek(struct at_iq_reader *r, const void **ret_samples,
                                           int *ret_bad)
{
    if (!r->held) {
        r->seen = atomic_load(&r->ring->signal);
        uint64_t head = atomic_load_explicit(&r->ring->head_record, memory_order_acquire);
        if (head == r->tail_record)
            return NULL;
        r->record = *record_at(r->ring, r->n_records, r->tail_record);
        if (head - r->tail_record > r->n_records || !is_possible(r, &r->record)) {
            *ret_bad = 1;
            return NULL;
        }
        r->held = true;
    }
    *ret_samples = data(r->ring, r->n_records) + r->record.position % r->data_bytes;
    return &r->record;
}

void at_iq_ring_pop(struct at_iq_reader *r)
{
    uint64_t size = at_iq_format_size((enum at_iq_format)r->record.format);
    r->tail_position = r->record.position + r->record.n * size;
    r->tail_record++;
    r->held = false;
    atomic_store_explicit(&r->ring->tail_position, r->tail_position, memory_order_release);
    atomic_store_explicit(&r->ring->tail_record, r->tail_record, memory_order_release);
}

void at_iq_ring_wait(struct at_iq_reader *r, int timeout_ms)
{
    struct timespec t = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
    atomic_store(&r->ring->sleeping, 1);
    if (timeout_ms > 0 && atomic_load(&r->ring->signal) == r->seen)
        syscall(SYS_futex, &r->ring->signal, FUTEX_WAIT, r->seen, &t, NULL, 0);
    atomic_store(&r->ring->sleeping, 0);
}
