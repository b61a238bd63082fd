/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/intake.h"

#include <math.h>
#include <sched.h>
#include <string.h>

#include "lib/base/cpu.h"

#define PIECE AT_INTAKE_PIECE
#define STEP  1024 /* of a piece: they stay in the fastest cache meanwhile */
#define SPINS 256  /* a piece takes a few us */

enum { WANTED, TAKEN, THERE };

/* Samples [from, from + n) of them; returns the values at full scale. One that is not finite would
 * spoil every bin it touches: it counts as zero. */
static size_t copy_some(const struct at_intake *in, size_t from, size_t n)
{
    float *x = in->to[0] + 2 * from;
    int bad;
    in->input->write(in->input->ctx, in->from + from, n, x);
    size_t clipped = at_view_survey(in->view, x, n, &bad);
    for (size_t k = 0; bad && k < 2 * n; k++)
        x[k] = isfinite(x[k]) ? x[k] : 0;
    if (in->to[1])
        memcpy(in->to[1] + 2 * from, x, 2 * n * sizeof(float));
    return clipped;
}

static void copy_piece(struct at_intake *in, size_t i)
{
    size_t from = i * PIECE, end = in->n - from < PIECE ? in->n : from + PIECE, clipped = 0;
    for (; from < end; from += STEP)
        clipped += copy_some(in, from, end - from < STEP ? end - from : STEP);
    in->pieces[i].clipped = clipped;
}

static void need_piece(struct at_intake *in, size_t i)
{
    atomic_int *state = &in->pieces[i].state;
    int is = WANTED;
    if (atomic_load_explicit(state, memory_order_acquire) == THERE)
        return;
    if (atomic_compare_exchange_strong(state, &is, TAKEN)) {
        copy_piece(in, i);
        atomic_store_explicit(state, THERE, memory_order_release);
        return;
    }
    for (unsigned k = 0; atomic_load_explicit(state, memory_order_acquire) != THERE; k++)
        if (k < SPINS)
            at_cpu_relax();
        else
            sched_yield(); /* it lost its processor meanwhile */
}

void at_intake_begin(struct at_intake *in, struct at_view *view, struct at_blocks *blocks,
                     const struct at_input *input, size_t from, size_t n)
{
    in->view = view;
    in->input = input;
    in->from = from;
    in->n = n;
    in->at = blocks->taken;
    in->to[0] = at_blocks_space(blocks);
    in->to[1] = at_view_space(view);
    for (size_t i = 0; i * PIECE < n; i++)
        atomic_store_explicit(&in->pieces[i].state, WANTED, memory_order_relaxed);
    at_blocks_push(blocks, in->to[0], n);
    at_view_push(view, n);
}

void at_intake_need(struct at_intake *in, uint64_t from, uint64_t to)
{
    size_t first = from > in->at ? (size_t)(from - in->at) : 0,
           end = to > in->at ? (size_t)(to - in->at) : 0;
    end = end < in->n ? end : in->n;
    for (size_t i = first / PIECE; i * PIECE < end; i++)
        need_piece(in, i);
}

void at_intake_end(struct at_intake *in, struct at_view *view)
{
    size_t clipped = 0;
    at_intake_need(in, in->at, in->at + in->n);
    for (size_t i = 0; i * PIECE < in->n; i++)
        clipped += in->pieces[i].clipped;
    at_view_clipped(view, clipped);
}
