/* Samples that clip below full scale: a converter of 12 bits in 16, or what limits before it.
 * Values pile up at the rail, the same one for I and Q and for both signs. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DSP_RAIL_H
#define AT_DSP_RAIL_H

#include <stdbool.h>
#include <stddef.h>

/* The highest value of some samples, and how many lie at it and close below. */
struct at_rail_cell {
    float most;     /* of |I| and |Q| */
    unsigned at[4]; /* I, Q, -I, -Q: within AT_RAIL_WITHIN of it */
    unsigned below; /* values further below, within AT_RAIL_BELOW */
};

#define AT_RAIL_WITHIN 0.0015f /* two steps of 12 bits: rails of both signs differ by one */
#define AT_RAIL_BELOW  0.012f  /* one step of 8 bits */

/* Of n samples iq (n, 2), n at most 2^16. Any thread. */
void at_rail_look(const float *iq, size_t n, struct at_rail_cell *ret);
/* The cells (n), of `per` samples each, of an epoch. *rail: level of the rail that is known, full
 * scale 1; 0: none; it is learned here, and forgotten when something exceeds it. True: samples clip
 * there. RT-safe. */
bool at_rail_see(const struct at_rail_cell *cells, size_t n, size_t per, float *rail);

#endif
