/* Lines that stand on a wide signal and are none of it: an interferer or a beacon within a
 * broadcast multiplex. All of it: the tracker's thread, which is the one that pushes the band.
 * RT-safe. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_LINES_H
#define AT_DSP_LINES_H

#include "lib/dsp/track.h"

#define AT_LINES_MAX 8 /* looked at in one epoch */

/* Finds lines of an epoch in mean (n), the rows' mean over the floor, and takes them off level (n),
 * which becomes what the wide signal has beside them. Writes up to AT_LINES_MAX regions (with
 * `over`) to out; returns how many. */
size_t at_lines_lift(const struct at_map *map, double rate_hz, const float *mean, float *level,
                     struct at_region *out);
/* One of both bands (Hz wide) is so much wider, that a line in it is another. */
bool at_lines_differ(const struct at_tracker *t, double a_hz, double b_hz);
/* What lies on one side of the line goes with its mirror image on the other: the line's own
 * modulation. */
bool at_lines_modulated(const struct at_epoch *e, const struct at_region *line);
/* Writes down which of the tracker's lines stand on k. Returns their power in this epoch. */
double at_lines_on(const struct at_tracker *t, const struct at_epoch *e, struct at_track *k);
/* What the line k stood on is over: its spectra, which were the other's too, begin anew. */
void at_lines_alone(struct at_track *k);
/* Takes k's lines off its spectrum own (n), of whatever length. */
void at_lines_off(const struct at_track *k, unsigned n, double rate_hz, float *own);

#endif
