/* Where clipping puts what it makes of those that drive it, and what is none of that.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_PRODUCT_H
#define AT_DSP_PRODUCT_H

#include "lib/dsp/track.h"

/* r: the epoch's regions, strongest first, levels measured; i lies 10 dB or more below j, while
 * samples clip. Clipping makes i of it: where j is keyed, i is gone while that is off; else i lies
 * where rails of I and of Q put odd products of j, and of j with one that is stronger than i. The
 * tracker's thread, whose scratch rows it writes over. RT-safe. */
bool at_product_of(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                   size_t i, size_t j);

#endif
