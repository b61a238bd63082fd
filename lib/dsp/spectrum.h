/* One unwindowed forward FFT per block of a stretch without gaps, kept for a while: detector and
 * channels share it. Block b of a stretch covers samples [b V - V / 2, b V + 3 V / 2) of it (zeros
 * before the first), N = 2 V. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_SPECTRUM_H
#define AT_DSP_SPECTRUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/dsp/aside.h"

struct at_blocks {
    struct at_mem *mem;
    const struct at_plan *plan;
    unsigned n, advance; /* N, V */
    unsigned n_keep;     /* blocks that stay readable */
    unsigned ahead;      /* blocks whose samples are gathered before they are made */
    unsigned made;       /* blocks made behind those that count */
    /* Sees each block where it is made, in whichever thread; i: 0 .. ahead - 1 among those made at
     * once. Set by the owner; NULL: nobody. */
    void (*seen)(void *ctx, size_t i, const float *spec);
    void *seen_ctx;
    uint64_t index; /* absolute index of the stretch's first sample */
    uint64_t taken; /* samples of the stretch so far, padding not counted */
    uint64_t count; /* blocks of the stretch that are there to be read */
    unsigned fill;
    float *in;   /* (N + (ahead - 1) V, 2) */
    float dc[2]; /* the band's DC line, which channels take off; set by the owner */
    float *spec; /* (n_keep + ahead, N, 2) FFT order */
};

/* n: power of two, at least 8; ahead: at least 1. 0 or -ENOMEM. */
int at_blocks_init(struct at_blocks *b, struct at_mem *mem, unsigned n, unsigned n_keep,
                   unsigned ahead);
/* Has the pages of what is kept there before they are first used. Milliseconds. */
void at_blocks_bring(const struct at_blocks *b);
void at_blocks_finish(struct at_blocks *b);
/* A new stretch begins at this absolute index; old blocks are gone. RT-safe. */
void at_blocks_begin(struct at_blocks *b, uint64_t index);
/* Samples up to where blocks must be made. */
static inline size_t at_blocks_room(const struct at_blocks *b)
{
    return b->n + (size_t)(b->ahead - 1) * b->advance - b->fill;
}
/* Where the next samples stand, at_blocks_room() of them. */
static inline float *at_blocks_space(const struct at_blocks *b)
{
    return b->in + 2 * (size_t)b->fill;
}
/* Takes samples as far as there is room and returns how many; iq may be at_blocks_space(). RT-safe.
 */
size_t at_blocks_push(struct at_blocks *b, const float *iq, size_t n);
/* Makes the blocks of which all samples are there. RT-safe. */
void at_blocks_make(struct at_blocks *b);
/* The same in parts: how many there are to be made, b->made from then on; each of them, in any
 * thread and order; and the end, when all are. The samples stand where they were until then.
 * RT-safe. */
size_t at_blocks_begin_making(struct at_blocks *b);
void at_blocks_make_one(const struct at_blocks *b, size_t i);
void at_blocks_end_making(struct at_blocks *b);
/* Sample `at` of the stretch, and those behind it as far as there are; at least N / 2 before the
 * newest stay. */
static inline const float *at_blocks_sample(const struct at_blocks *b, uint64_t at)
{
    return b->in + 2 * (size_t)(at + b->advance / 2 - b->count * b->advance);
}
/* The next of those that were made counts from now on; false: there is none. RT-safe. */
bool at_blocks_next(struct at_blocks *b);
/* Makes one more block from zeros after the stretch's last sample, those before it made. 0: every
 * sample is already in the output part of a block. RT-safe. */
int at_blocks_pad(struct at_blocks *b);
/* Block seq (N, 2), or NULL: not yet, or no longer there. */
const float *at_blocks_get(const struct at_blocks *b, uint64_t seq);

/* Short-time spectra in time: Hann, hop n / 2, power in rising frequency, scaled so that noise of
 * density d (per Hz) reads d and bins add up: |.|^2 / (rate sum w^2). A row is the mean of `looks`
 * spectra that follow each other. */
struct at_stft {
    struct at_mem *mem;
    const struct at_plan *plan;
    const struct at_loops *loops;
    unsigned n, hop, fill;
    unsigned looks, part; /* spectra of a row, and of the row that is being made */
    unsigned batch; /* transforms one after the other: what was just stored is not read at once */
    float scale;
    float *window; /* (n, 2) each twice, for I and Q */
    float *in;    /* (2 n, 2) fill samples that the next spectra begin with; room for the first that
                     follow */
    float *a, *b; /* (batch, n, 2) */
    float *sum;   /* (n) of the row that is being made; looks above 1 */
    float *middle; /* (max_middles, 3, 2) bins -1, 0, 1 of the spectra since the last
                      at_stft_without() */
    size_t max_middles, n_middles;
};

/* n: power of two, at least 8. looks: at least 1. max_rows: between calls of at_stft_without(); 0
 * where it is never called. 0 or -ENOMEM. */
int at_stft_init(struct at_stft *s, struct at_mem *mem, unsigned n, unsigned looks, double rate_hz,
                 size_t max_rows);
void at_stft_finish(struct at_stft *s);
void at_stft_reset(struct at_stft *s);
/* Takes n samples iq (n, 2); writes the rows that they complete, up to max of them, and returns how
 * many. RT-safe. */
size_t at_stft_run(struct at_stft *s, const float *iq, size_t n, float *rows, size_t max);
/* The same for one row alone, from where its first spectrum begins; middle: (looks, 3, 2) of
 * s->middle, whose n_middles the caller sets. RT-safe, any thread. */
void at_stft_row(const struct at_stft *s, const float *iq, float *row, float *middle);
/* Takes the constant dc (2) off the rows (t, n) made since the last call, as if it had not been in
 * the samples: seen through Hann it stands in three bins. RT-safe. */
void at_stft_without(struct at_stft *s, const float *dc, float *rows, size_t t);

#endif
