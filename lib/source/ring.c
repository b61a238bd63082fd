/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/ring.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
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
    uint32_t n_records; /* power of two */
    uint64_t data_bytes;
    _Alignas(LINE) _Atomic uint64_t head_record; /* producer */
    _Atomic uint64_t head_position;
    _Alignas(LINE) _Atomic uint64_t tail_record; /* consumer */
    _Atomic uint64_t tail_position;
    uint32_t seen;
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

static struct at_iq_record *records(struct at_iq_ring *ring)
{
    return (struct at_iq_record *)((char *)ring + round_up(sizeof *ring));
}

static char *data(struct at_iq_ring *ring)
{
    return (char *)records(ring) + round_up(ring->n_records * sizeof(struct at_iq_record));
}

size_t at_iq_ring_size(size_t data_bytes)
{
    return round_up(sizeof(struct at_iq_ring)) +
           round_up(records_for(data_bytes) * sizeof(struct at_iq_record)) + round_up(data_bytes);
}

struct at_iq_ring *at_iq_ring_init(void *memory, size_t data_bytes)
{
    struct at_iq_ring *ring = memory;
    ring->n_records = records_for(data_bytes);
    ring->data_bytes = round_up(data_bytes);
    return ring;
}

void at_iq_ring_wake(struct at_iq_ring *ring)
{
    atomic_fetch_add(&ring->signal, 1);
    if (atomic_load(&ring->sleeping))
        syscall(SYS_futex, &ring->signal, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int at_iq_ring_push(struct at_iq_ring *ring, const struct at_iq_record *record, const void *samples)
{
    uint64_t head = atomic_load_explicit(&ring->head_record, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail_record, memory_order_acquire);
    uint64_t tail_position = atomic_load_explicit(&ring->tail_position, memory_order_acquire);
    uint64_t bytes = (uint64_t)record->n * at_iq_format_size((enum at_iq_format)record->format);
    uint64_t position = atomic_load_explicit(&ring->head_position, memory_order_relaxed),
             at = position % ring->data_bytes;
    if (at + bytes > ring->data_bytes)
        position += ring->data_bytes - at; /* a record's samples are never cut in two */
    if (head - tail >= ring->n_records || bytes > ring->data_bytes ||
        position + bytes - tail_position > ring->data_bytes)
        return -ENOSPC;
    memcpy(data(ring) + position % ring->data_bytes, samples, bytes);
    struct at_iq_record *r = &records(ring)[head & (ring->n_records - 1)];
    *r = *record;
    r->position = position;
    atomic_store_explicit(&ring->head_position, position + bytes, memory_order_relaxed);
    atomic_store_explicit(&ring->head_record, head + 1, memory_order_release);
    at_iq_ring_wake(ring);
    return 0;
}

const struct at_iq_record *at_iq_ring_peek(struct at_iq_ring *ring, const void **ret_samples,
                                           int *ret_bad)
{
    ring->seen = atomic_load(&ring->signal);
    uint64_t tail = atomic_load_explicit(&ring->tail_record, memory_order_relaxed);
    if (atomic_load_explicit(&ring->head_record, memory_order_acquire) == tail)
        return NULL;
    const struct at_iq_record *r = &records(ring)[tail & (ring->n_records - 1)];
    uint64_t at = r->position % ring->data_bytes;
    if (r->format >= AT_IQ_FORMATS || r->n == 0 ||
        r->n > (ring->data_bytes - at) / at_iq_format_size((enum at_iq_format)r->format)) {
        *ret_bad = 1;
        return NULL;
    }
    *ret_samples = data(ring) + at;
    return r;
}

void at_iq_ring_pop(struct at_iq_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail_record, memory_order_relaxed);
    const struct at_iq_record *r = &records(ring)[tail & (ring->n_records - 1)];
    uint64_t bytes = (uint64_t)r->n * at_iq_format_size((enum at_iq_format)r->format);
    atomic_store_explicit(&ring->tail_position, r->position + bytes, memory_order_release);
    atomic_store_explicit(&ring->tail_record, tail + 1, memory_order_release);
}

void at_iq_ring_wait(struct at_iq_ring *ring, int timeout_ms)
{
    struct timespec t = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
    atomic_store(&ring->sleeping, 1);
    if (timeout_ms > 0 && atomic_load(&ring->signal) == ring->seen)
        syscall(SYS_futex, &ring->signal, FUTEX_WAIT, ring->seen, &t, NULL, 0);
    atomic_store(&ring->sleeping, 0);
}

size_t at_iq_ring_used(const struct at_iq_ring *ring)
{
    uint64_t tail = atomic_load(&ring->tail_position), head = atomic_load(&ring->head_position);
    return head > tail ? (size_t)(head - tail) : 0;
}
