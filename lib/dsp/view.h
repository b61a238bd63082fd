/* The band's IQ of the newest epoch as spectra of two resolutions, its DC line taken off.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_VIEW_H
#define AT_DSP_VIEW_H

#include "lib/dsp/aside.h"
#include "lib/dsp/band.h"
#include "lib/dsp/constant.h"
#include "lib/dsp/floor.h"
#include "lib/dsp/rail.h"
#include "lib/dsp/spectrum.h"
#include "lib/dsp/track.h"

#define AT_VIEW_CHUNKS 64 /* of an epoch, to tell a DC line from a signal */

/* Means over a part of the epoch. */
struct at_chunk {
    float re, im, power, away;
};

struct at_view {
    struct at_mem *mem;
    double rate_hz;
    unsigned n_block;        /* of the block FFT, at most 5 ms */
    unsigned n_fast, n_slow; /* bins of the short and the long spectra */
    bool shared;             /* the long ones are the blocks, the window applied over bins */
    unsigned looks_fast, looks_slow; /* spectra of which a row is the mean, at high rates */
    size_t epoch, fill;              /* samples of an epoch, and of them now here */
    uint64_t index, end; /* absolute index of the epoch's first sample; one past the newest */
    float *iq;           /* (epoch, 2); NULL where shared: the blocks' samples are looked at then */
    uint8_t *cells;      /* (cells_before + epoch / half a short spectrum) 1: a gate cuts it */
    uint8_t *gated;      /* (max_fast) 1 where a gate cuts a short row */
    size_t cells_before; /* of the epochs before */
    struct at_stft stft_fast, stft_slow;
    struct at_aside *aside; /* does half of what is done in parts; NULL: one thread does all */
    float (*sums)[3];       /* (epoch / half a short spectrum) re, im, |.|^2 of each cell */
    struct at_rail_cell
        *rails;    /* (epoch / half a short spectrum), every cell, or every fourth from 1 MS/s on */
    size_t n_sums; /* cells of the epoch that have been looked at */
    size_t next_fast, next_sums;    /* short rows and cells when what is looked at now has been */
    const struct at_blocks *looked; /* whose samples are */
    unsigned ahead;                 /* blocks made at once, at most */
    float *hann;                    /* (ahead, n_slow) power of each or of two, seen through Hann */
    float *half;      /* (2, n_slow) the same of the first of two that are not made at once: */
    unsigned at_half; /* of those made before, and of those made now */
    size_t making;    /* blocks made now */
    size_t max_fast, max_slow, t_fast, t_slow;
    float *fast, *slow;              /* (max, n) */
    float *sum_fast, *sum_slow;      /* (n) over the epoch's rows */
    float *top_fast, *top_slow;      /* (n) highest of them */
    float *partial;                  /* (n_slow) of the long row that is being made */
    unsigned next_look;              /* of the next block within its long row, from 0 */
    uint64_t blocks;                 /* of the stretch, looked at */
    uint64_t first_fast, first_slow; /* absolute index of the first row's first sample */
    uint64_t rows_fast, rows_slow;   /* of the stretch, before this epoch */
    uint64_t stretch;                /* absolute index of its first sample */
    float *floor_slow;               /* (n_slow) */
    float *
        average; /* (n_slow) of earlier epochs: power per Hz, bins found before left at the floor */
    double average_rows;
    unsigned n_average;
    float dc[2];
    unsigned dc_age; /* epochs since it was last seen; it is held for a while: signals hide it */
    bool has_dc, clipped;
    struct at_constant constant;
    size_t n_clipped; /* values of this epoch at full scale */
    float rail;       /* below full scale, at which samples clip; 0: none known */
    const struct at_loops *loops;
};

/* Sizes, from rate_hz. */
void at_view_sizes(struct at_view *v);
/* ahead: blocks that are made at once, at most, where there is a thread aside. */
int at_view_init(struct at_view *v, struct at_mem *mem, const struct at_band_config *config,
                 unsigned ahead);
void at_view_finish(struct at_view *v);
void at_view_begin(struct at_view *v, uint64_t index);
/* Samples that still fit into this epoch. */
size_t at_view_room(const struct at_view *v);
/* Where they are to be put; NULL: nowhere. */
float *at_view_space(const struct at_view *v);
/* n samples have come, or are about to; n of their values are at full scale. */
void at_view_push(struct at_view *v, size_t n);
void at_view_clipped(struct at_view *v, size_t n);
/* Values at full scale of n samples. *ret_bad: one is not finite. Any thread. */
size_t at_view_survey(const struct at_view *v, const float *iq, size_t n, int *ret_bad);
/* Looks at those that came since the last time, which stand in b: short rows, gates, means. In
 * parts: how many there are; which samples of the stretch one is of; each of them, in any thread
 * and order; and the end, when all are. b stays as it is until then. */
size_t at_view_begin_look(struct at_view *v, const struct at_blocks *b);
void at_view_look_span(const struct at_view *v, size_t i, uint64_t *ret_from, uint64_t *ret_to);
void at_view_look(struct at_view *v, size_t i);
void at_view_end_look(struct at_view *v);
/* at_blocks.seen of a view. */
void at_view_see(void *view, size_t i, const float *block);
/* n blocks are being made, of whose samples none is padding: in parts of one or two, which go
 * together into their long row. How many parts; which blocks are one's. When all were seen they are
 * added to their rows, in parts of columns: how many; each of them, in any thread and order; and
 * the end, when all are. */
size_t at_view_begin_blocks(struct at_view *v, size_t n);
void at_view_pair(const struct at_view *v, size_t i, size_t *ret_from, size_t *ret_to);
size_t at_view_columns(const struct at_view *v);
void at_view_add_columns(const struct at_view *v, size_t i);
void at_view_end_blocks(struct at_view *v);
/* Makes the epoch's spectra. */
void at_view_spectra(struct at_view *v, const struct at_blocks *blocks,
                     const struct at_floor *floor);
/* The epoch's long rows (t, n_slow) of samples alone: *ret_rows, borrowed until the next epoch.
 * Returns t. */
size_t at_view_long(const struct at_view *v, const float **ret_rows);
/* Fills maps, indices and flags of e. */
void at_view_epoch(struct at_view *v, const struct at_floor *floor, struct at_epoch *e);
/* Takes the epoch's long spectra into the average. d: with the hits of its newest run over them. */
void at_view_average(struct at_view *v, const struct at_map *slow, const struct at_detector *d);
/* Of n long regions and m short ones behind them, drops the short ones that the long ones explain.
 * Returns how many are left. */
size_t at_view_choose(const struct at_view *v, const struct at_epoch *e, struct at_region *r,
                      size_t n, size_t m);
/* On to the next epoch. */
void at_view_next(struct at_view *v);

#endif
