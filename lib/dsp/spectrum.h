/* One unwindowed forward FFT per block of a stretch without gaps, kept for a while: detector and
 * channels share it. Block b of a stretch covers samples [b V - V / 2, b V + 3 V / 2) of it (zeros
 * before the first), N = 2 V. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_SPECTRUM_H
#define AT_DSP_SPECTRUM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"

struct at_blocks {
    struct at_mem *mem;
    const struct at_plan *plan;
    unsigned n, advance; /* N, V */
    unsigned n_keep;     /* blocks that stay readable */
    uint64_t index;      /* absolute index of the stretch's first sample */
    uint64_t taken;      /* samples of the stretch so far, padding not counted */
    uint64_t count;      /* blocks made of the stretch */
    unsigned fill;
    float *in;   /* (N, 2) */
    float dc[2]; /* the band's DC line, which channels take off; set by the owner */
    float *spec; /* (n_keep, N, 2) FFT order */
};

/* n: power of two, at least 8. 0 or -ENOMEM. */
int at_blocks_init(struct at_blocks *b, struct at_mem *mem, unsigned n, unsigned n_keep);
void at_blocks_finish(struct at_blocks *b);
/* A new stretch begins at this absolute index; old blocks are gone. RT-safe. */
void at_blocks_begin(struct at_blocks *b, uint64_t index);
/* Takes samples up to the next block's end and returns how many; *ret_made is 1 where a block was
 * made. RT-safe. */
size_t at_blocks_push(struct at_blocks *b, const float *iq, size_t n, int *ret_made);
/* Makes one more block from zeros after the stretch's last sample. 0: every sample is already in
 * the output part of a block. RT-safe. */
int at_blocks_pad(struct at_blocks *b);
/* Block seq (N, 2), or NULL: not yet, or no longer there. */
const float *at_blocks_get(const struct at_blocks *b, uint64_t seq);

/* Short-time spectra in time: Hann, hop n / 2, power in rising frequency, scaled so that noise of
 * density d (per Hz) reads d and bins add up: |.|^2 / (rate sum w^2). */
struct at_stft {
    struct at_mem *mem;
    const struct at_plan *plan;
    unsigned n, hop, fill;
    float scale;
    float *window;     /* (n) */
    float *in, *a, *b; /* (n, 2) */
};

int at_stft_init(struct at_stft *s, struct at_mem *mem, unsigned n, double rate_hz);
void at_stft_finish(struct at_stft *s);
void at_stft_reset(struct at_stft *s);
/* Takes samples up to the next row; *ret_row is 1 where out (n) was written. RT-safe. */
size_t at_stft_push(struct at_stft *s, const float *iq, size_t n, float *out, int *ret_row);

#endif
