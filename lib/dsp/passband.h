/* Is what fills the middle of the band the receiver's own noise, through a filter narrower than the
 * rate (Airspy, SDRplay, HackRF, KiwiSDR and most of what others record), or a signal? Both stand
 * over the sides and are steady. It is noise where other emissions stand on it: what fills a
 * channel leaves no room for them. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_PASSBAND_H
#define AT_DSP_PASSBAND_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/mem.h"

struct at_loops;

struct at_passband {
    struct at_mem *mem;
    unsigned n; /* bins of the short spectra, rising frequency over the band */
    const struct at_loops *loops;
    float *mean, *low; /* (n) over the epochs since it is there: sums of means, of low quantiles */
    float *now, *sorted; /* (n) scratch */
    double groups;       /* of rows in them */
    unsigned from, to;   /* the bins that it fills; alike: there is none */
    float level;         /* of its noise, power per Hz */
    bool known;          /* something stood on it */
};

/* An epoch of short spectra for at_passband_see(). */
struct at_passband_epoch {
    const float *rows; /* (t, n) power per Hz, none of them cut by a gate */
    size_t t;
    double groups;       /* independent groups of rows behind a figure of newest */
    const float *newest; /* (n) noise by this epoch's low quantile */
    const float *local;  /* (n) noise by those of the last epochs */
    float doubt;         /* relative error of a bin of local */
    bool repeats;        /* what fills the band is known to be a signal (repeat.h) */
};

/* n: bins of the short spectra. 0 or -ENOMEM. Main thread. */
int at_passband_init(struct at_passband *p, struct at_mem *mem, unsigned n);
void at_passband_finish(struct at_passband *p);
/* One more epoch. True: the noise is that of the passband and, beside it, of the sides. RT-safe. */
bool at_passband_see(struct at_passband *p, const struct at_passband_epoch *e);
/* After true: a bin's own figure, local (n) at k, at a filter's end as late as Hann smears it: what
 * the long spectra show right before the end is no more than that. RT-safe. */
float at_passband_here(const struct at_passband *p, const float *local, unsigned k);
/* After true: the noise around each bin, out (n), power per Hz, as the filter lets it through: flat
 * within, falling outwards. RT-safe. */
void at_passband_around(const struct at_passband *p, const float *local, float *out);

#endif
