/* Regions of one epoch: which are one, which are two, and which are made by a stronger one.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_LINK_H
#define AT_DSP_LINK_H

#include "lib/dsp/track.h"

#define AT_LINK_WEAKER 300.0 /* 25 dB below a co-timed one: splatter, image, clipping product */
#define AT_LINK_WEAKER_FAR                                                                         \
    10.0                        /* 10 dB, where it stands at the mirror frequency or samples clip  \
                                 */
#define AT_LINK_FADING   30.0   /* 15 dB: levels that one emission may have at different times */
#define AT_LINK_NO_LEVEL 1e-30f /* no row of the epoch shows it on */
#define AT_LINK_MARGIN   0.15   /* of its width: what lies so close belongs to it */

/* Hz from the end of the lower band to the beginning of the upper one; negative: they overlap. */
double at_link_gap_hz(double alo, double ahi, double blo, double bhi);
/* Overlap of two bands over their union. */
double at_link_likeness(double alo, double ahi, double blo, double bhi);
/* a becomes the whole of both. */
void at_link_join(struct at_region *a, const struct at_region *b);
/* A place where emissions were parted lies between the middles of two bands. */
bool at_link_parted(const struct at_tracker *t, double alo, double ahi, double blo, double bhi);
/* Such places next to f_hz; infinite: none. */
void at_link_stops(const struct at_tracker *t, double f_hz, double *ret_lo, double *ret_hi);
/* Skirts of one that was reported and of another may meet for an epoch: the region is cut between
 * them. Returns how many regions there are now, at most max. */
size_t at_link_cut(struct at_tracker *t, const struct at_epoch *e, struct at_region *r, size_t n,
                   size_t max);
/* Merges what belongs together and drops artefacts; strongest first. Returns how many are left. */
size_t at_link_regions(struct at_tracker *t, const struct at_epoch *e, struct at_region *r,
                       size_t n);
/* While the stronger one, that comes and goes, is off, the weaker one is not there: it may be the
 * stronger one's skirt. */
bool at_link_bound(struct at_tracker *t, const struct at_epoch *e, const struct at_region *strong,
                   const struct at_region *weak);
/* Beyond stop_hz the emission is modulation of the carrier that it has on the other side: about as
 * strong as its mirror image about that, and coherent with it. */
bool at_link_modulates(const struct at_epoch *e, const struct at_track *k, double stop_hz);
/* The region may be this emission, as the tracker (track.c) sees it. */
bool at_track_matches(const struct at_tracker *t, const struct at_region *r,
                      const struct at_track *k);

#endif
