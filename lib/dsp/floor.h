/* Noise floor per bin: mean noise power per Hz, from low quantiles over time and frequency with
 * bias correction. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_FLOOR_H
#define AT_DSP_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/dsp/emission.h"
#include "lib/dsp/passband.h"

/* Value that the mean of k independent exponentials of mean 1 stays below with probability prob
 * (Wilson and Hilferty 1931; within 1 dB for k 1, better above). RT-safe. */
double at_floor_gamma_quantile(double k, double prob);
/* The same for a probability p of exceeding, down to 1e-30. */
double at_floor_gamma_threshold(double k, double p);
/* The same in two steps, where many have one p: tail is what the first makes of p. */
double at_floor_tail(double p);
double at_floor_gamma_above(double k, double tail);

#define AT_FLOOR_HISTORY 64  /* epochs */
#define AT_FLOOR_GAINS   8   /* of which the floor is remembered */
#define AT_FLOOR_CELLS   512 /* of the band, as fine as its ends are looked at ... */
#define AT_FLOOR_ENDS    64  /* ... and so many at either */

/* Measured: from epochs that show noise. Learned: from earlier ones, at this gain, while a signal
 * fills the band. Assumed: the converter's, where no noise has been seen yet; within 10 to 20 dB of
 * what fills the band, where that is known to be a signal. */

struct at_floor {
    struct at_mem *mem;
    unsigned n;         /* bins of the short spectra, rising frequency over the band */
    unsigned n_history; /* epochs in it */
    unsigned clipped;   /* epochs that clipped in a row, up to the newest */
    unsigned next;
    double groups;  /* of four spectra, seen so far */
    float *history; /* (AT_FLOOR_HISTORY, n) one low quantile over each epoch */
    float *
        ends; /* (AT_FLOOR_HISTORY, 2, AT_FLOOR_ENDS) mean over each epoch, from the ends inwards */
    float *end;     /* (2, AT_FLOOR_ENDS) of these, as local is of history */
    float *end_now; /* (2, AT_FLOOR_ENDS) of the newest epoch */
    bool has_end;   /* it is there */
    float *column;  /* scratch */
    float *sums;    /* (column_size, n) means of groups, scratch */
    int16_t *bits;  /* (2, column_size, AT_LOOPS_COLUMNS), scratch */
    int32_t *rank;  /* (n), scratch */
    float *upper;   /* (n), scratch */
    const struct at_loops *loops;
    size_t column_size;
    float *local;   /* (n) */
    float *density; /* (n) the floor, full-scale^2 / Hz */
    double assumed; /* full-scale^2 / Hz; 0: unknown */
    float *learned; /* (n) floor while noise was to be seen; at a new gain no more than it can be */
    float *gains;   /* (AT_FLOOR_GAINS, n) learned, by gain */
    float *ratio;   /* (n) scratch */
    float *around;  /* (n) scratch: the noise around each bin */
    struct at_passband passband;
    bool other; /* with the newest epoch the passband's noise came to be the floor, or ceased to,
                   far from what it was */
    double gain_db[AT_FLOOR_GAINS]; /* of these; NAN: free */
    double gain;                    /* now; NAN: not said */
    unsigned next_gain;
    bool has_learned, settling; /* the newest epoch holds samples of both gains */
    float repeats; /* density of what fills the band and repeats itself; 0: nothing does */
    unsigned held; /* epochs in a row that a signal has filled */
    enum at_floor_source source;
    float median; /* of density */
};

/* max_rows: the most rows of one update. 0 or -ENOMEM. */
int at_floor_init(struct at_floor *f, struct at_mem *mem, unsigned n, size_t max_rows,
                  double assumed);
void at_floor_finish(struct at_floor *f);
/* The converter's noise, full-scale^2 / Hz (0: unknown), as soon as it is known. RT-safe. */
void at_floor_assume(struct at_floor *f, double assumed);
/* The gain of what follows. Another one than before: what was learned at the old one is kept, what
 * was learned at the new one comes back; where nothing was, the old figure and the step say how
 * high noise can be. NAN: not known. RT-safe. */
void at_floor_set_gain(struct at_floor *f, double gain_db);
/* Long spectra rows (t, n) of the epoch that the next update is about, power per Hz, n a power of
 * two: they show noise beside a signal where the short ones are too coarse. Fewer than two bins a
 * cell: not looked at. RT-safe. */
void at_floor_see_ends(struct at_floor *f, const float *rows, size_t t, unsigned n);
/* What fills the band repeats itself, which noise does not (repeat.h): a signal of this density. 0:
 * nothing does. Holds until the next call. RT-safe. */
void at_floor_set_repeats(struct at_floor *f, float density);
/* An epoch of short spectra rows (t, n), power per Hz, each the mean of `looks` spectra; rows of
 * exact zeros are no noise and left out. gated (t): 1 where a gate (exact zeros, or what a
 * converter makes of them) cuts the row, which is left out too; NULL: nowhere. clipped: samples
 * stood at full scale, which hides noise: the floor does not sink by it, unless it goes on.
 * An epoch that a signal fills leaves the floor as it was learned, but not for ever: what has the
 * shape of the noise for 5 s, or any other for 5 minutes, counts as the floor. RT-safe. */
void at_floor_update(struct at_floor *f, const float *rows, size_t t, unsigned looks,
                     const uint8_t *gated, bool clipped);
/* k-th smallest of a (n), from 0; a is reordered. */
float at_floor_smallest(float *a, size_t n, size_t k);
/* Relative error of a bin's figure: large while it is young. */
float at_floor_doubt(const struct at_floor *f);
/* Interpolated to m bins over the same band: out (m). RT-safe. */
void at_floor_spread(const struct at_floor *f, float *out, unsigned m);

#endif
