/* Modes of frequency-shift keying and how they are rendered. Inside the generator only.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SYNTH_FSK_H
#define AT_SYNTH_FSK_H

#include "lib/synth/gen.h"

enum at_fsk_content {
    AT_FSK_DATA,       /* preamble of reversals, sync, random bits with runs */
    AT_FSK_MANCHESTER, /* the same, each bit two half-bits */
    AT_FSK_ASYNC5,     /* start, 5 bits, 1.5 stop; idles on mark */
    AT_FSK_ASYNC8,     /* start, 8 bits, 1 stop */
    AT_FSK_POCSAG,     /* 576 reversals, batches of sync and 16 codewords, idle words among them */
    AT_FSK_CHIPS,      /* IEEE 802.15.4 O-QPSK chip sequences as MSK */
    AT_FSK_FRAMES,     /* sync of outer levels each frame_symbols, random between */
    AT_FSK_DUMMY,      /* GSM: training sequence in the middle of each burst, tails */
};

struct at_fsk_mode {
    struct at_variant v;
    int levels;
    double rate_lo, rate_hi; /* symbols (half-bits, chips) a second */
    double h_lo, h_hi;       /* index: distance of neighbouring levels over the rate; 0: dev */
    double dev_lo, dev_hi;   /* outer deviation in Hz */
    enum at_shape shape;
    double param_lo, param_hi;
    enum at_fsk_content content;
    int pre_lo, pre_hi;    /* reversals before a burst */
    int len_lo, len_hi;    /* symbols of a burst after them; 0: goes on and on */
    double gap_lo, gap_hi; /* seconds between bursts */
    double period_s;       /* of a TDMA frame, 0: none */
    int rep_lo, rep_hi;    /* identical bursts one after the other; 0: 1 */
    double rep_gap_s;
};

int at_fsk_render(struct at_gen *g, const struct at_fsk_mode *m);

#endif
