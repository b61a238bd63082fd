/* How a band of frequencies goes with its mirror image: about 0 Hz an image, about a carrier its
 * other sideband. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_MIRROR_H
#define AT_DSP_MIRROR_H

#include <stdbool.h>

#include "lib/dsp/spectrum.h"
#include "lib/dsp/track.h"

/* Adds the band f_lo .. f_hi (Hz) and its mirror image about f_mid over the blocks from the
 * stretch's sample `from` on. carrier: one stands at f_mid, give or take a bin: its phase is taken
 * off, and its frequency read from the blocks. RT-safe. */
void at_mirror_add(const struct at_blocks *b, uint64_t from, double rate_hz, bool carrier,
                   double f_mid_hz, double f_lo_hz, double f_hi_hz, struct at_mirror *add);

#endif
