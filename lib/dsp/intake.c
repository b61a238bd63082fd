/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/intake.h"

#include <math.h>
#include <string.h>

#define PIECE  4096 /* samples copied and looked over at once */
#define PIECES (AT_INTAKE_MOST / PIECE)
#define STEP   1024 /* of a piece: they stay in the fastest cache meanwhile */

/* Samples on their way to where they are looked at. */
struct copy {
    const struct at_view *view;
    const struct at_input *input;
    size_t from, n;
    float *to[2]; /* (n, 2) each; the second NULL: the first is all */
    size_t clipped[PIECES];
};

/* Samples [from, from + n) of them; returns the values at full scale. One that is not finite would spoil every bin
 * it touches: it counts as zero. */
static size_t copy_some(const struct copy *c, size_t from, size_t n)
{
    float *x = c->to[0] + 2 * from;
    int bad;
    c->input->write(c->input->ctx, c->from + from, n, x);
    size_t clipped = at_view_survey(c->view, x, n, &bad);
    for (size_t k = 0; bad && k < 2 * n; k++)
        x[k] = isfinite(x[k]) ? x[k] : 0;
    if (c->to[1])
        memcpy(c->to[1] + 2 * from, x, 2 * n * sizeof(float));
    return clipped;
}

static void copy_piece(void *ctx, size_t i)
{
    struct copy *c = ctx;
    size_t from = i * PIECE, end = c->n - from < PIECE ? c->n : from + PIECE;
    c->clipped[i] = 0;
    for (; from < end; from += STEP)
        c->clipped[i] += copy_some(c, from, end - from < STEP ? end - from : STEP);
}

void at_intake_run(struct at_view *view, struct at_blocks *blocks, const struct at_input *input,
                   size_t from, size_t n)
{
    struct copy c = {.view = view,
                     .input = input,
                     .from = from,
                     .n = n,
                     .to = {at_blocks_space(blocks), at_view_space(view)}};
    size_t pieces = (n + PIECE - 1) / PIECE, clipped = 0;
    at_aside_parts(view->aside, copy_piece, &c, pieces);
    for (size_t i = 0; i < pieces; i++)
        clipped += c.clipped[i];
    at_blocks_push(blocks, c.to[0], n);
    at_view_push(view, n, clipped);
}
