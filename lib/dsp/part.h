/* Whether what is taken for one emission is two that lie beside each other.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_PART_H
#define AT_DSP_PART_H

#include "lib/dsp/track.h"

/* True: the track's spectrum so far has a valley 13 dB below what lies to either side of it, and
 * the epoch's envelopes of both sides have nothing to do with each other; or an empty stretch of
 * 15 % of its band with something behind it, however narrow. *ret_hz: the valley's lowest place, or
 * the stretch's middle; baseband. smooth (bins of the long spectra), a, b (rows of an epoch):
 * scratch. The tracker's thread; RT-safe. */
bool at_part_find(const struct at_track *k, const struct at_epoch *e, float *smooth, float *a,
                  float *b, double *ret_hz);
/* Notes on which side of the track's joint a region of this epoch stands (borrowed until
 * at_part_joint()). The tracker's thread; RT-safe. */
void at_part_see(struct at_track *k, const struct at_region *r);
/* Envelopes may agree by chance. Counts whether they did in this epoch, once after at_part_see() of
 * all its regions; true: they did not three times, and not more often than they did; *ret_hz is the
 * joint's middle. a, b (rows of an epoch): scratch. The tracker's thread; RT-safe. */
bool at_part_joint(struct at_track *k, const struct at_epoch *e, float *a, float *b,
                   double *ret_hz);
/* Mean power of the track so far between two frequencies, noise taken off (full-scale^2).
 * m: long spectra, of which the floor is taken. The tracker's thread; RT-safe. */
double at_part_power(const struct at_track *k, const struct at_map *m, double rate_hz,
                     double f_lo_hz, double f_hi_hz);

#endif
