/* Samples on their way into a band: written, looked over, put where blocks and spectra are made from.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_INTAKE_H
#define AT_DSP_INTAKE_H

#include "lib/dsp/spectrum.h"
#include "lib/dsp/view.h"

#define AT_INTAKE_MOST 131072 /* samples at once; more than a slice of the receiver has */

/* Takes samples [from, from + n) of input, for which both have room, into blocks and view, in the view's threads. A
 * value that is not finite counts as zero. n: at most AT_INTAKE_MOST. The band's thread; RT-safe but for what aside does. */
void at_intake_run(struct at_view *view, struct at_blocks *blocks, const struct at_input *input, size_t from, size_t n);

#endif
