/* The newest IQ of a radio, bounded: what emissions/{id}/iq is cut from.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_IQRING_H
#define AT_DAEMON_IQRING_H

#include <stddef.h>
#include <stdint.h>

#include "lib/source/convert.h"

struct at_iqring;

/* Room for n samples of 16 bits each way. NULL: no memory. */
struct at_iqring *at_iqring_create(size_t n);
void at_iqring_destroy(struct at_iqring *r);
/* Another life of the source: what was kept goes. prefix: of the ids of its emissions, copied. */
void at_iqring_begin(struct at_iqring *r, const char *prefix, double rate_hz, double center_hz);
/* n samples at absolute index; of 16 bits at full scale 32768 they are kept as they are. A gap
 * forgets what stood before it: what is kept has none. One thread. */
void at_iqring_push(struct at_iqring *r, const struct at_raw *raw, size_t n, uint64_t index);

struct at_iq_piece {
    int16_t *iq; /* (n, 2), full scale 32768; malloc's, the caller's */
    size_t n;
    uint64_t index; /* of iq[0] */
    double rate_hz, center_hz;
};
/* What is still there of [from, to) of the life that emission id belongs to. 0, -ENOENT: nothing,
 * -ENOMEM. Any thread. */
int at_iqring_get(struct at_iqring *r, const char *id, uint64_t from, uint64_t to,
                  struct at_iq_piece *ret);

#endif
