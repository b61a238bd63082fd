/* Gates: while a receiver or a recorder leaves samples out, one constant stands in their place:
 * zeros, or the code that memory happened to hold. A run of AT_GATE_RUN equal samples or more
 * becomes exact zeros, which no part of the band takes for a signal or for noise. All of it: the
 * thread that pushes the band. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_GATE_H
#define AT_DSP_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/dsp/band.h"

#define AT_GATE_RUN    1000
#define AT_GATE_BEFORE 64 /* samples before a run that tell whether it is a gate */

struct at_gate {
    /* Takes samples [from, from + n) of input, borrowed. 0 or a negative errno, which ends the
     * push. */
    int (*take)(void *ctx, const struct at_input *input, size_t from, size_t n);
    void *ctx;
    float value[2]; /* of the newest samples */
    size_t held;    /* so many of them are kept back: it is not known yet what they are */
    bool shut;      /* they are a gate's */
    float before[2 * AT_GATE_BEFORE]; /* (n_before, 2) newest of those handed on */
    size_t n_before;
};

/* A stretch begins: nothing lies before it. RT-safe. */
void at_gate_begin(struct at_gate *g);
/* Hands on what n more samples make known: all but the equal ones at the end, fewer than
 * AT_GATE_RUN. What is handed on depends on the samples alone, not on how they are cut. 0 or what
 * take returned. RT-safe but for what take does. */
int at_gate_push(struct at_gate *g, const struct at_input *input, size_t n);
/* The stretch ends: hands on what was kept back. */
int at_gate_flush(struct at_gate *g);

#endif
