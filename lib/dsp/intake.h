/* Samples on their way into a band: written, looked over, put where blocks and spectra are made
 * from, each where it is first wanted. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_INTAKE_H
#define AT_DSP_INTAKE_H

#include <stdatomic.h>

#include "lib/dsp/spectrum.h"
#include "lib/dsp/view.h"

#define AT_INTAKE_MOST  131072 /* samples at once; more than a slice of the receiver has */
#define AT_INTAKE_PIECE 4096   /* written and looked over together */

struct at_intake {
    const struct at_view *view;
    const struct at_input *input;
    size_t from, n;
    uint64_t at;  /* of the stretch: the first one's number */
    float *to[2]; /* (n, 2) each; the second NULL: the first is all */
    struct at_intake_piece {
        atomic_int state;
        size_t clipped;
    } pieces[AT_INTAKE_MOST / AT_INTAKE_PIECE];
};

/* Samples [from, from + n) of input, for which both have room, are to go into blocks and view, and
 * count as pushed; input borrowed until the end. A value that is not finite counts as zero. n: at
 * most AT_INTAKE_MOST. The band's thread; RT-safe. */
void at_intake_begin(struct at_intake *in, struct at_view *view, struct at_blocks *blocks,
                     const struct at_input *input, size_t from, size_t n);
/* Samples [from, to) of the stretch are there from now on, as far as they are among these. Any
 * thread, several at once; RT-safe, but waits for another thread that is at one of them. */
void at_intake_need(struct at_intake *in, uint64_t from, uint64_t to);
/* All of them are. The band's thread, when no other is at them; RT-safe. */
void at_intake_end(struct at_intake *in, struct at_view *view);

#endif
