/* The waterfall: an epoch's spectra put together to rows of a set number of bins, at a set rate.
 * All of it: the thread that pushes the band. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_WATERFALL_H
#define AT_DSP_WATERFALL_H

#include "lib/dsp/band.h"
#include "lib/dsp/loops.h"
#include "lib/dsp/track.h"

struct at_waterfall {
    struct at_mem *mem;
    double rate_hz, row_s; /* of the band; how long a row is */
    unsigned bins;         /* of a row */
    unsigned n, n_rows;    /* bins of the spectra in the row that is begun, and how many they are */
    uint64_t index;        /* of its first sample */
    float *sum;            /* (n) of them */
    float *dbfs;           /* (bins) */
    const struct at_loops *loops;
};

/* rows_s: rows a second; n: bins of a spectrum, at most. 0 or -ENOMEM. */
int at_waterfall_init(struct at_waterfall *w, struct at_mem *mem, double rate_hz, unsigned bins,
                      double rows_s, unsigned n);
void at_waterfall_finish(struct at_waterfall *w);
/* A stretch begins: the row that was begun is forgotten. */
void at_waterfall_begin(struct at_waterfall *w);
/* Takes an epoch and hands the rows that are full (last: or begun) to the sink, with the share of
 * bins that it finds occupied, which stats gets too. floor_density: full-scale^2 / Hz. RT-safe but
 * for what the sink does. */
void at_waterfall_run(struct at_waterfall *w, const struct at_epoch *e,
                      const struct at_band_sink *sink, struct at_band_stats *stats,
                      float floor_density, bool last);

#endif
