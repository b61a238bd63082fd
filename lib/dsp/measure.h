/* What one epoch says of one emission: when it is on, how strong, how wide.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_MEASURE_H
#define AT_DSP_MEASURE_H

#include "lib/dsp/track.h"

struct at_on {
    uint8_t *rows; /* (fast.t) 1 where on */
    float *energy; /* (fast.t) power between the edges, noise taken off */
    float *smooth; /* (fast.t) scratch for means of rows; NULL: single rows tell all */
    size_t n_on;
    bool on_at_end;
    bool steady;   /* too weak for the short spectra, or never off */
    double power;  /* mean while on, noise taken off */
    double beside; /* more of it: a line's in the bins beside its own, where the edges hold that one
                      alone */
    double noise_density; /* mean between the edges */
};

/* Mean power between the edges over a map, noise taken off. */
double at_measure_power(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz);
/* Correlation -1..1 of two regions' envelopes over the short rows; 0 where they stand still, share
 * their bins, or touch and may be alike by what leaks over. -1: they go against each other, bit by
 * bit, while on. a, b: scratch (fast.t). */
double at_measure_link(const struct at_epoch *e, double rate_hz, const struct at_region *x,
                       const struct at_region *y, float *a, float *b);
/* The same where they hardly move, and for regions that touch. */
double at_measure_alike(const struct at_map *m, double rate_hz, const struct at_region *x,
                        const struct at_region *y, float *a, float *b);
/* Share of the energy between the edges, noise taken off, in the short rows in which another
 * emission neither is on nor goes on or off. on (fast.t): that one's; a: scratch (fast.t). */
double at_measure_beside(const struct at_epoch *e, double rate_hz, const uint8_t *on,
                         double f_lo_hz, double f_hi_hz, float *a);
/* expected: mean power while on as known so far; 0: unknown. */
void at_measure_on(const struct at_epoch *e, double rate_hz, double f_lo_hz, double f_hi_hz,
                   double expected, struct at_on *on);
/* Share of the rows that lie 10 dB or more below the strong ones, between the edges. */
double at_measure_quiet(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz);
/* Highest row's mean ratio to the floor between the edges, less 1. */
double at_measure_excess(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz);
/* Adds the epoch's spectra while on to the track's. */
void at_measure_add(struct at_track *k, const struct at_epoch *e, const struct at_on *on);
/* Edges from the track's spectra, looked for around f_lo .. f_hi. scratch (twice the bins of the
 * short map, or those of the long one). */
void at_measure_edges(struct at_track *k, const struct at_epoch *e, double rate_hz, double f_lo_hz,
                      double f_hi_hz, float *scratch);
/* Bins [*ret_lo, *ret_hi) of a map that hold f_lo .. f_hi (baseband Hz). */
void at_measure_bins(const struct at_map *m, double rate_hz, double lo_hz, double hi_hz,
                     unsigned *ret_lo, unsigned *ret_hi);

#endif
