/* Does what fills the band repeat itself? A receiver's noise does not, however its filters shape
 * it: what comes again after longer than any of them lasts is a signal (the cyclic prefix of OFDM,
 * lines of a picture). SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_REPEAT_H
#define AT_DSP_REPEAT_H

#include <stddef.h>

#include "lib/base/mem.h"

struct at_repeat {
    struct at_mem *mem;
    double rate_hz;
    unsigned n; /* bins of the long spectra; 0: they are too few to tell */
    const struct at_plan *plan;
    const struct at_loops *loops;
    float *mean;       /* (n) power per Hz over the last half second */
    float *white;      /* (n, 2) it, less its shape */
    float *lags;       /* (n, 2) autocorrelation */
    double rows;       /* in mean */
    unsigned epochs;   /* seen */
    unsigned next;     /* epoch of the next look */
    unsigned from, to; /* bins in which it is looked for; to 0: all */
    unsigned lag;      /* samples after which it repeats itself; 0: it does not */
};

/* n: bins of the long spectra, a power of two. 0 or -ENOMEM. Main thread. */
int at_repeat_init(struct at_repeat *r, struct at_mem *mem, double rate_hz, unsigned n);
void at_repeat_finish(struct at_repeat *r);
/* From now on it is looked for in this part of the band alone, 0 to 1 from its lower end; alike: in
 * all of it. RT-safe. */
void at_repeat_within(struct at_repeat *r, double from, double to);
/* An epoch of long rows (t, n), rising frequency, power per Hz. Mean power per Hz of the middle of
 * the band where all but the outer eighths of the band repeats itself (as last looked at: every
 * eighth epoch), 0 where it does not. What falls by 1.5 dB is over. RT-safe. */
float at_repeat_see(struct at_repeat *r, const float *rows, size_t t);

#endif
