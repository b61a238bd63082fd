/* What stands above the noise floor in one epoch (some tens of milliseconds): regions of frequency.
 *
 * Two resolutions: short spectra find bursts and wide signals, long ones narrow and weak ones;
 * boxes of several widths and durations are averaged and compared with what noise would exceed with
 * probability p. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_DETECT_H
#define AT_DSP_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"

/* Rows of power per Hz, rising frequency over the band, and the floor beside them. */
struct at_map {
    unsigned n;         /* bins */
    size_t t;           /* rows */
    const float *rows;  /* (t, n) */
    const float *floor; /* (n) */
    float *sum, *top;   /* (n) sum of the rows, highest of them */
    unsigned looks;     /* spectra of which a row is the mean */
    uint64_t first;     /* absolute sample index of the first row's first sample */
    unsigned hop, span; /* samples from row to row; of one row: the middle half tells */
};

/* A gap over which two were joined by their envelopes alone; lo 0, hi 0: none. */
struct at_joint {
    double lo_hz, hi_hz;
    bool together; /* they came and went together, else by turns */
};

struct at_region {
    double f_lo_hz, f_hi_hz; /* baseband */
    double peak_hz;          /* where it is highest */
    float peak;              /* highest ratio to the floor in it */
    bool steady;             /* not seen to come and go; likewise */
    float level;             /* power while on; the tracker fills it */
    bool is_long;            /* from the long spectra */
    bool is_lobe;            /* one of the skirts of a far stronger one: no emission of its own */
    bool faint;              /* this epoch shows nothing of it, the average of earlier ones does */
    float over;              /* a line: so many times what the wide signal has there; 0: none */
    bool alone;              /* nothing far stronger beside it; the tracker fills it */
    bool taken;              /* the tracker found its emission */
    struct at_joint joint;   /* the widest */
    unsigned cut;            /* those with the same number were one and are not; 0: whole */
};

#define AT_DETECT_LEVELS 7 /* boxes of 1, 2, 4 .. 128 rows */
#define AT_DETECT_WIDTHS 6 /* of one pass */

struct at_detector {
    struct at_mem *mem;
    double rate_hz;
    double p;    /* false-alarm probability of one box */
    double tail; /* of it: at_floor_tail() */
    float doubt; /* relative error of a young floor: thresholds are so much higher; set by the owner
                  */
    bool clipped; /* samples are: what stands around a strong one is its own; set by the owner */
    unsigned max_bins;
    /* Scratch (max_bins), those of durations (AT_DETECT_LEVELS, max_bins), room (2, max_bins). */
    float *cells, *last, *box, *best, *mask, *weight, *mean, *sums, *room;
    float least[AT_DETECT_WIDTHS]; /* of room, per width of this pass */
    const struct at_loops *loops;
    uint8_t *hit, *flags; /* (max_bins), (2, max_bins) scratch */
    uint8_t *narrow;      /* (max_bins) hits before the widest boxes */
    uint8_t
        *slowly; /* (max_bins) 1: of those hit, what the average of earlier epochs alone shows */
};

/* 0 or -ENOMEM. */
int at_detector_init(struct at_detector *d, struct at_mem *mem, double rate_hz,
                     double false_per_hour, unsigned max_bins);
void at_detector_finish(struct at_detector *d);
/* Regions of one map: up to max into out, rising frequency; returns how many. slow (n): average of
 * earlier epochs and this one, slow_rows the map's rows in it (NULL, 0: none). RT-safe. */
size_t at_detector_run(struct at_detector *d, const struct at_map *map, const float *slow,
                       double slow_rows, struct at_region *out, size_t max);

#endif
