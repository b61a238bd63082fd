/* What a receiver whose I and Q are not alike puts at the mirror frequencies of what it receives,
 * and what modulation puts at those about its carrier. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_IMAGE_H
#define AT_DSP_IMAGE_H

#include "lib/dsp/track.h"

/* Coherence 0..1 of a band with its mirror image; 0 where there are too few cells to tell. Any
 * thread. */
double at_image_coherence(const struct at_mirror *m);
/* The band lo .. hi (Hz) is mostly the image of what stands at its mirror frequencies, in this
 * epoch. */
bool at_image_in(const struct at_epoch *e, double f_lo_hz, double f_hi_hz);
/* Looks at the emission in this epoch. */
void at_image_see(struct at_track *k, const struct at_epoch *e);
/* What was seen of the emission is an image. */
bool at_image_was(const struct at_track *k);

/* What the epoch shows there is one sideband of the carrier: it goes with its mirror image about
 * it, as far as noise lets it. */
bool at_image_sideband(const struct at_epoch *e, double carrier_hz, double f_lo_hz, double f_hi_hz);

#endif
