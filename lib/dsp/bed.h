/* A line that stands so far above a wide signal around it that edges within 30 dB of the peak would hold it alone.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_BED_H
#define AT_DSP_BED_H

#include <stdbool.h>

/* level (bins of a spectrum; 0: not of it): of [lo, hi) only [a, b) lies within 30 dB of the peak. True: [a, b) is a line,
 * and to both sides of it goes on what is wide, about as high everywhere: *ret_top, its top. Any thread. */
bool at_bed_find(const float *level, unsigned lo, unsigned hi, unsigned a, unsigned b, float *ret_top);

#endif
