/* Impulse noise: pulses that stand over the band's own level and are over within half a millisecond
 * (mains, electric fences, ignition) are taken out before anything looks at the samples, and what
 * went on under them is carried on from both sides. A noise blanker, off unless a band asks for it:
 * short bursts that are signals look the same. All of it: the thread that pushes the band.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_BLANKER_H
#define AT_DSP_BLANKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/dsp/band.h"

#define AT_BLANKER_ORDER   32   /* of the linear prediction */
#define AT_BLANKER_CONTEXT 512  /* samples before a pulse from which it is learned */
#define AT_BLANKER_LONGEST 5e-4 /* s; what lasts longer is no pulse */
#define AT_BLANKER_SHARE                                                                           \
    0.1 /* of the samples at most are taken out; beyond, they stay as they are */

struct at_blanker {
    struct at_mem *mem;
    /* Takes samples [from, from + n) of input, borrowed. 0 or a negative errno, which ends the
     * push. */
    int (*take)(void *ctx, const struct at_input *input, size_t from, size_t n);
    void *ctx;
    double ratio;               /* power of a pulse's samples over the median, at least; 0: off */
    double median;              /* of the power, as it runs */
    double slowest;             /* relative step of it, once it has settled */
    uint64_t age;               /* samples of this stretch */
    size_t longest;             /* samples of a pulse */
    double credit, most_credit; /* samples that may be taken out */
    float *iq; /* (size, 2) those handed on that are still of use, then those held */
    size_t size, handed, seen, n;
    size_t first, last; /* the pulse's samples, where one is open */
    bool open;          /* a pulse has begun, and what comes behind it is not all there */
    bool too_long;      /* until it is quiet: what has begun is no pulse */
    double a[AT_BLANKER_ORDER][2]; /* x[k] is about the sum of a[i] x[k - 1 - i] */
    uint64_t learned;              /* age when it was; 0: never */
    double serves;                 /* samples */
    float *work;                   /* (2, AT_BLANKER_CONTEXT, 2) scratch */
    float *fill;                   /* (longest, 2) scratch */
    uint64_t n_samples, n_pulses;  /* taken out, of all stretches */
};

/* threshold_db: over the running median of the power, 9 .. 40; rate_hz as the band's. take and ctx
 * are the caller's to set. 0 or -ENOMEM. */
int at_blanker_init(struct at_blanker *b, struct at_mem *mem, double rate_hz, double threshold_db);
void at_blanker_finish(struct at_blanker *b);
/* A stretch begins: nothing lies before it. RT-safe. */
void at_blanker_begin(struct at_blanker *b);
/* Samples kept back: it is not known yet what they are. */
size_t at_blanker_held(const struct at_blanker *b);
/* Hands on what n more samples make known. What is handed on depends on the samples alone, not on
 * how they are cut. One that is not finite counts as zero. 0 or what take returned. RT-safe but for
 * what take does. */
int at_blanker_push(struct at_blanker *b, const struct at_input *input, size_t n);
/* The stretch ends: hands on what was kept back. */
int at_blanker_flush(struct at_blanker *b);

#endif
