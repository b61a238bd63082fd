/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/rows.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"

struct at_rows {
    pthread_mutex_t lock;
    size_t n_radios, n;
    uint64_t seq;
    size_t *next;               /* (n_radios) */
    struct at_stored_row *rows; /* (n_radios, n) */
};

struct at_rows *at_rows_create(size_t n_radios, size_t n)
{
    struct at_rows *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->n_radios = n_radios;
    s->n = n;
    s->next = calloc(n_radios ? n_radios : 1, sizeof *s->next);
    s->rows = calloc(n_radios ? n_radios * n : 1, sizeof *s->rows);
    if (!s->next || !s->rows) {
        at_rows_destroy(s);
        return NULL;
    }
    return s;
}

void at_rows_destroy(struct at_rows *s)
{
    if (!s)
        return;
    free(s->next);
    free(s->rows);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void at_rows_put(struct at_rows *s, size_t radio, const struct at_stored_row *meta,
                 const struct at_row *row)
{
    if (radio >= s->n_radios)
        return;
    pthread_mutex_lock(&s->lock);
    struct at_stored_row *slot = &s->rows[radio * s->n + s->next[radio]];
    s->next[radio] = (s->next[radio] + 1) % s->n;
    memcpy(slot, meta, offsetof(struct at_stored_row, centi_db));
    slot->seq = ++s->seq;
    slot->n = row->n < AT_ROW_BINS ? row->n : AT_ROW_BINS;
    for (unsigned i = 0; i < slot->n; i++) {
        float db = row->dbfs[i];
        slot->centi_db[i] =
            (int16_t)lrintf(100.0f * (db > -320.0f ? (db < 100.0f ? db : 100.0f) : -320.0f));
    }
    pthread_mutex_unlock(&s->lock);
}

void at_rows_clear(struct at_rows *s, size_t radio)
{
    if (radio >= s->n_radios)
        return;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++)
        s->rows[radio * s->n + i].seq = 0;
    pthread_mutex_unlock(&s->lock);
}

size_t at_rows_get(struct at_rows *s, size_t radio, uint64_t since, struct at_stored_row *ret,
                   size_t max)
{
    size_t taken = 0;
    if (radio >= s->n_radios)
        return 0;
    pthread_mutex_lock(&s->lock);
    size_t fresh = 0;
    const struct at_stored_row *ring = &s->rows[radio * s->n];
    for (size_t i = 0; i < s->n; i++)
        fresh += ring[i].seq > since;
    size_t skip = fresh > max ? fresh - max : 0;
    for (size_t i = 0; i < s->n && taken < max; i++) {
        const struct at_stored_row *row = &ring[(s->next[radio] + i) % s->n];
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
