/* The newest waterfall rows of each band, bounded.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_ROWS_H
#define AT_DAEMON_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/view.h"
#include "lib/base/buf.h"
#include "lib/dsp/band.h"

#define AT_ROW_BINS 1024 /* most bins of a row */

struct at_stored_row {
    uint64_t seq; /* from 1, rising over all radios */
    char radio[AT_VIEW_NAME_SIZE], band[AT_VIEW_NAME_SIZE];
    int64_t utc_ns; /* of its first sample; of its arrival where that is unknown */
    double center_hz, rate_hz, span_s;
    float floor_dbfs_hz, occupancy;
    unsigned n;
    int16_t centi_db[AT_ROW_BINS]; /* (n) hundredths of dBFS per bin */
};

struct at_rows;
/* Keeps n rows in all for each of n_slots bands; their memory is taken with the first one. NULL: no
 * memory. */
struct at_rows *at_rows_create(size_t n_slots, size_t n);
void at_rows_destroy(struct at_rows *s);
/* slot: below n_slots. row's head comes from meta (its numbers), bins from row; without memory it
 * is dropped. Any thread. */
void at_rows_put(struct at_rows *s, size_t slot, const struct at_stored_row *meta,
                 const struct at_row *row);
/* Forgets the rows of this slot: another band takes its place. Any thread. */
void at_rows_clear(struct at_rows *s, size_t slot);
/* Copies rows of the slot with seq > since, oldest first, at most max of the newest; returns how
 * many. */
size_t at_rows_get(struct at_rows *s, size_t slot, uint64_t since, struct at_stored_row *ret,
                   size_t max);
/* One row as the events and the API show it; caller owns the string. NULL: no memory. */
char *at_rows_to_json(const struct at_stored_row *row);

#define AT_ROW_HEAD 64 /* bytes before the bins of a binary row */
/* One row as bytes, little endian: "ATWF", u16 version 1, u16 AT_ROW_HEAD, u64 seq, i64 UTC ns, f64
 * center_hz, rate_hz, span_s, f32 floor_dbfs_hz, occupancy, u32 n, u32 0; then i16 hundredths of
 * dBFS (n), lowest frequency first. */
void at_rows_to_bytes(const struct at_stored_row *row, struct at_buf *out);

#endif
