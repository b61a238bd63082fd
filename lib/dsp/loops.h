/* The inner loops of this room, compiled once per ISA (lib/kernels has the same scheme). No
 * operation is contracted or reordered, so that all variants give the same bits.
 *
 * All are RT-safe; complex arrays are (n, 2). Arrays do not overlap unless said.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_LOOPS_H
#define AT_DSP_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#define AT_LOOPS_FREQ_STEPS 17 /* from one bandwidth below the middle to one above */
#define AT_LOOPS_COLUMNS    32 /* columns of a matrix that are looked at together */

/* Boxes of widths 2 per, 4 per, ... over one row of cells, sums of `per` bins each. */
struct at_loops_boxes {
    unsigned n, per, most; /* bins; of a cell: half the narrowest box; widest box */
    const float *room;     /* per width, n / half of it values: what a box's sum is compared with */
    float *sums;           /* (n / per) scratch */
    uint8_t *flags;        /* (2, n) scratch */
    uint8_t *hit;          /* (n) set to 1 where a box stands out */
};

/* The same over rows times weight (n), and over the means of 2, 4, .. 2^n_levels of them, each
 * half-overlapping the next. most 1: bins alone. */
struct at_loops_pass {
    struct at_loops_boxes boxes;
    const float *weight;
    const float *limits; /* (n_levels + 1, n_widths) thresholds */
    const float *bars;   /* (n_levels + 1) where no cell is above it, no box stands out */
    unsigned n_widths, n_levels, stride;
    float *cells;      /* (n / per) scratch */
    float *last, *box; /* (n_levels, stride) scratch */
    float *best;       /* (n) raised to the highest mean of four; NULL: not wanted */
};

struct at_loops {
    uint32_t level;
    const char *name;
    /* x (n) of 16 bits, any alignment, times scale. */
    void (*from_int16)(const void *x, size_t n, float scale, float *out);
    /* The reverse, full scale 32768, to nearest, halves away from 0, clipped. */
    void (*to_int16)(const float *x, size_t n, int16_t *out);
    /* Values of x (n) above limit in size; *ret_bad: one is not finite. */
    size_t (*survey)(const float *x, size_t n, float limit, int *ret_bad);
    /* Sums over iq (n, 2): re, im, |.|^2. */
    void (*moments)(const float *iq, size_t n, double *ret_re, double *ret_im, double *ret_power);
    /* out (n, 2) = iq (n, 2) w (n, 2 alike); n: a multiple of 8. */
    void (*window)(const float *iq, const float *w, unsigned n, float *out);
    /* Power of x (n, 2) in FFT order times scale, rising frequency: out = or, where add, +=. */
    void (*power)(const float *x, unsigned n, float scale, int add, float *out);
    /* The same seen through a Hann window laid over bins. */
    void (*hann_power)(const float *x, unsigned n, float scale, int add, float *out);
    /* out (n) = 10 log10 of max(x (n), 1e-24), within 4e-4 dB. */
    void (*decibels)(const float *x, size_t n, float *out);
    /* out (n) += x (n); out (n) = sum of rows (t, n). */
    void (*add)(const float *x, unsigned n, float *out);
    float (*total)(const float *x, unsigned n); /* sum of x (n), in lanes */
    void (*sum_rows)(const float *rows, size_t t, unsigned n, float *out);
    /* floor: values of rows (t, n) outside (0, 1e30) become infinite, used (n) is how many are not;
     * out (n): the rank-th (n, from 0) smallest of each column, none of which is negative;
     * scratch (2, t, AT_LOOPS_COLUMNS), t below 32768. */
    void (*sift)(float *rows, size_t t, unsigned n, int32_t *used);
    void (*smallest)(const float *rows, size_t t, unsigned n, const int32_t *rank, int16_t *scratch,
                     float *out);
    /* detector, of values that are not negative: out (n / per) = sums of `per` bins (a power of
     * two, up to 16) of x (n) times y (n), of which it returns the highest; best (n) = highest; hit
     * (n) where x (n) > limit; mask and weight (n) 0 where there is a hit (n); room (n - 1) = sums
     * (n) of two neighbours, infinite below least, of which it returns the lowest, then sums (n /
     * 2) of pairs; boxes over cells (n / per); boxes over rows (t, n) and over means of 2, 4, .. of
     * them. */
    float (*gather)(const float *x, const float *y, unsigned n, unsigned per, float *out);
    void (*highest)(const float *x, unsigned n, float *best);
    void (*above)(const float *x, unsigned n, float limit, uint8_t *hit);
    void (*leave)(const uint8_t *hit, unsigned n, float *mask, float *weight);
    float (*rooms)(float *sums, unsigned n, float least, float *room);
    void (*boxes)(const struct at_loops_boxes *b, const float *cells, const float *limits);
    void (*durations)(const struct at_loops_pass *p, const float *rows, size_t t);
    /* Sum of those of x (n) that are not below least, and how many they are; sums of a, b, a a, b
     * b, a b over (n). */
    double (*sum_from)(const float *x, size_t n, float least, size_t *ret_count);
    void (*pairs)(const float *a, const float *b, size_t n, double ret[5]);
    /* edges: how many of x (n) are below limit times y (n). */
    unsigned (*below)(const float *x, const float *y, unsigned n, float limit);
    /* out (n) = level (n), or where that is NULL sum (n) times per, if at least `least` times floor
     * (n), and that product at least off (n) times per_off; else 0. Returns how many are left. */
    unsigned (*standing)(const float *level, const float *sum, const float *off, const float *floor,
                         unsigned n, float per, float per_off, float least, float *out);
    /* channelizer: out (m, 2) = x (m, 2) filter (m) (cs + i sn); out (n, 2) = x (n, 2) by (n, 2),
     * of which across is i times by; decimation by d of line with taps pairs (n_taps, 2 alike),
     * n_taps - 1 a multiple of 8, n_out samples out. */
    void (*turn_bins)(const float *x, const float *filter, unsigned m, float cs, float sn,
                      float *out);
    void (*turn)(const float *x, const float *by, const float *across, unsigned n, float *out);
    void (*decimate)(const float *line, const float *pairs, unsigned n_taps, unsigned d,
                     unsigned n_out, float *out);
    /* framer: b (n, 2) FFT -> power (n) and frame (n) of clipped log10 ratios, rising frequency. */
    void (*frame)(const float *b, const float *scale, unsigned n, float *power, float *frame);
    /* a (n, 2): |a|^2 and the same times inv_w2. */
    void (*powers)(const float *a, const float *inv_w2, unsigned n, float *windowed, float *p);
    /* Each 0 .. top by the root of p scale. */
    void (*buckets)(const float *p, unsigned n, float scale, int top, int32_t *bucket);
    /* x (n, 2): each sample times the conjugate of the one before it; the first is 0. */
    void (*turns)(const float *x, unsigned n, float *re, float *im);
    /* Frequency against mid in units of 1 / inv, within +-1, its weight, and which of
     * AT_LOOPS_FREQ_STEPS it falls into. */
    void (*frequency)(const float *re, const float *im, unsigned n, float mid, float inv, float *v,
                      float *weight, int32_t *bucket);
    /* sums (n_buckets): of weight (n, a multiple of 4) by bucket (n), each below n_buckets. */
    void (*histogram)(const int32_t *bucket, const float *weight, unsigned n, unsigned n_buckets,
                      float *sums);
    /* Sums over n (a multiple of 8) in lanes of eight: p q, w p; and w, w v, w v v. */
    void (*sums2)(const float *p, const float *q, const float *w, unsigned n, float ret[2]);
    void (*sums3)(const float *w, const float *v, unsigned n, float ret[3]);
};

/* The i-th that runs here, best first; NULL past the end. Any thread. */
const struct at_loops *at_loops_at(size_t i);
/* The best. */
const struct at_loops *at_loops_best(void);

#endif
