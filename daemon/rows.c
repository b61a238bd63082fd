/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/rows.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"

struct slot {
    size_t next;
    struct at_stored_row *rows; /* (n); NULL: none yet */
};

struct at_rows {
    pthread_mutex_t lock;
    size_t n_slots, n;
    uint64_t seq;
    struct slot *slots; /* (n_slots) */
};

struct at_rows *at_rows_create(size_t n_slots, size_t n)
{
    struct at_rows *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->n_slots = n_slots;
    s->n = n;
    s->slots = calloc(n_slots ? n_slots : 1, sizeof *s->slots);
    if (!s->slots) {
        at_rows_destroy(s);
        return NULL;
    }
    return s;
}

void at_rows_destroy(struct at_rows *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->slots && i < s->n_slots; i++)
        free(s->slots[i].rows);
    free(s->slots);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void at_rows_put(struct at_rows *s, size_t slot, const struct at_stored_row *meta,
                 const struct at_row *row)
{
    if (slot >= s->n_slots)
        return;
    pthread_mutex_lock(&s->lock);
    struct slot *ring = &s->slots[slot];
    if (!ring->rows)
        ring->rows = calloc(s->n, sizeof *ring->rows);
    if (!ring->rows) {
        pthread_mutex_unlock(&s->lock);
        return;
    }
    struct at_stored_row *to = &ring->rows[ring->next];
    ring->next = (ring->next + 1) % s->n;
    memcpy(to, meta, offsetof(struct at_stored_row, centi_db));
    to->seq = ++s->seq;
    to->n = row->n < AT_ROW_BINS ? row->n : AT_ROW_BINS;
    for (unsigned i = 0; i < to->n; i++) {
        float db = row->dbfs[i];
        to->centi_db[i] =
            (int16_t)lrintf(100.0f * (db > -320.0f ? (db < 100.0f ? db : 100.0f) : -320.0f));
    }
    pthread_mutex_unlock(&s->lock);
}

void at_rows_clear(struct at_rows *s, size_t slot)
{
    if (slot >= s->n_slots)
        return;
    pthread_mutex_lock(&s->lock);
    free(s->slots[slot].rows);
    s->slots[slot] = (struct slot){0};
    pthread_mutex_unlock(&s->lock);
}

size_t at_rows_get(struct at_rows *s, size_t slot, uint64_t since, struct at_stored_row *ret,
                   size_t max)
{
    size_t taken = 0, fresh = 0;
    if (slot >= s->n_slots)
        return 0;
    pthread_mutex_lock(&s->lock);
    const struct slot *ring = &s->slots[slot];
    size_t n = ring->rows ? s->n : 0;
    for (size_t i = 0; i < n; i++)
        fresh += ring->rows[i].seq > since;
    size_t skip = fresh > max ? fresh - max : 0;
    for (size_t i = 0; i < n && taken < max; i++) {
        const struct at_stored_row *row = &ring->rows[(ring->next + i) % n];
        if (row->seq <= since)
            continue;
        if (skip)
            skip--;
        else
            ret[taken++] = *row;
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

char *at_rows_to_json(const struct at_stored_row *row)
{
    struct at_buf b;
    char time[AT_RFC3339_SIZE];
    at_buf_init(&b, 16384);
    at_clock_format_utc(row->utc_ns, time);
    /* Names hold letters, digits, `_`, `-`, `.` only (lib/config). */
    at_buf_printf(&b,
                  "{\"seq\":%llu,\"radio\":\"%s\",\"band\":\"%s\",\"time\":\"%s\",\"span_s\":%.6f,"
                  "\"center_hz\":%.0f,"
                  "\"rate_hz\":%.0f,",
                  (unsigned long long)row->seq, row->radio, row->band, time, row->span_s,
                  row->center_hz, row->rate_hz);
    if (isfinite(row->floor_dbfs_hz))
        at_buf_printf(&b, "\"floor_dbfs_hz\":%.1f,", (double)row->floor_dbfs_hz);
    if (isfinite(row->occupancy))
        at_buf_printf(&b, "\"occupancy_ratio\":%.4f,", (double)row->occupancy);
    at_buf_printf(&b, "\"dbfs\":[");
    for (unsigned i = 0; i < row->n; i++)
        at_buf_printf(&b, "%s%.1f", i ? "," : "", row->centi_db[i] / 100.0);
    at_buf_printf(&b, "]}");
    if (b.failed) {
        at_buf_finish(&b);
        return NULL;
    }
    return b.data; /* the buffer's memory is malloc's: the caller frees it */
}

static void put(struct at_buf *out, uint64_t value, size_t bytes)
{
    unsigned char b[8];
    for (size_t i = 0; i < bytes; i++)
        b[i] = (unsigned char)(value >> 8 * i);
    at_buf_add(out, b, bytes);
}

static void put_double(struct at_buf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(out, bits, 8);
}

static void put_float(struct at_buf *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(out, bits, 4);
}

void at_rows_to_bytes(const struct at_stored_row *row, struct at_buf *out)
{
    at_buf_add(out, "ATWF", 4);
    put(out, 1, 2);
    put(out, AT_ROW_HEAD, 2);
    put(out, row->seq, 8);
    put(out, (uint64_t)row->utc_ns, 8);
    put_double(out, row->center_hz);
    put_double(out, row->rate_hz);
    put_double(out, row->span_s);
    put_float(out, row->floor_dbfs_hz);
    put_float(out, row->occupancy);
    put(out, row->n, 4);
    put(out, 0, 4);
    for (unsigned i = 0; i < row->n; i++)
        put(out, (uint16_t)row->centi_db[i], 2);
}
