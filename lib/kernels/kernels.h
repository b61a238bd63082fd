/* The numeric kernels: one table per ISA variant, the best that runs here first. Shapes are
 * row-major floats.
 *
 * Every function is RT-safe and borrows all it is given. Pointers need no alignment, but 64 bytes
 * is faster. Two layouts are shared by all variants, so that caches and packed weights outlive a
 * change of variant: panels (rows, depth): ceil(rows / 32) panels of (depth, 32); row r is column r
 * % 32 of panel r / 32. Packed weights (rows are outputs) and cached keys (rows are tokens) lie
 * like this. padded rows:          rows of floats whose stride is a multiple of 16 (cached values,
 * tables of angles). SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_KERNELS_KERNELS_H
#define AT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AT_PANEL 32 /* rows of a panel */
#define AT_LANE  16 /* padded strides are multiples of this */

/* n rounded up to a multiple of `to`. */
static inline size_t at_round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* y (m, n) = x (m, k) w^T + bias, or y += x w^T; or, in y's place, x (1 + tanh(sqrt(2/pi) (x +
 * 0.044715 x^3))) / 2 of it, in the product's kind of values. Strides of x_stride, y_stride values.
 */
struct at_linear {
    const void *x;     /* floats; bf16 for linear_bf16, where k is even */
    const void *w;     /* panels (n, k), see at_kernels_pack */
    const float *bias; /* (n) or NULL */
    float *y;
    size_t m, n, k, x_stride, y_stride;
    bool add;   /* y += instead of y =; bias is then ignored */
    void *gelu; /* NULL, or (m, n; y_stride) in y's place, floats or for linear_bf16 bf16; not with
                   add */
    const uint16_t *split; /* linear: pieces of w from at_kernels_pack_split, or NULL */
};

/* n queries of one head against a set of keys. Called once per set; the running softmax lives in
 * max, sum and acc, so that caches in several pieces need no copy. Query i sees slots lo[i] <= j <
 * hi[i] (none where hi <= lo). */
struct at_attend {
    const void *q;           /* (n, dim): rotated, times log2(e) / sqrt(dim) */
    const void *k;           /* panels (slots, dim), rotated */
    const void *v;           /* (slots, v_stride) */
    const int32_t *lo, *hi;  /* (n) */
    size_t n, dim, v_stride; /* v_stride: dim rounded up to AT_LANE */
    size_t slots;            /* bf16: all of v's slots below may be read and are finite; 0: only
                                pairs of which one is seen */
    float bias;              /* log2 units, added to each score */
    float *max, *sum;        /* (n) */
    float *acc;              /* (n, v_stride) */
};

struct at_kernels {
    uint32_t version;
    uint32_t level;   /* enum at_cpu_level this table was compiled for */
    const char *name; /* "generic", "v3", "v4", ... */
    bool splits;      /* linear is faster where it gets at_linear.split; see below */

    float (*dot)(const float *a, const float *b, size_t n);
    void (*axpy)(float a, const float *x, size_t n, float *y); /* y += a x */
    void (*softmax)(float *x, size_t n); /* in place; natural units; exp within 2e-7 */
    /* y (m, n) = norm of each row of x, eps 1e-5; bias (n) or NULL. y: floats, or bf16 where
     * `bf16`; floats may replace x. */
    void (*rmsnorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                    void *y, bool bf16);
    void (*layernorm)(const float *x, const float *weight, const float *bias, size_t m, size_t n,
                      void *y, bool bf16);
    /* Where `splits`, linear and attend may go over bf16 tiles: each float is three pieces, and six
     * of their products make one, as exact as fp32 (docs/performance.md; Henry, Tang, Heinecke
     * 2019). What is below 2^-126 is then 0, an infinite factor of linear gives NaN, and some 200
     * KiB of stack are taken. */
    void (*linear)(const struct at_linear *job);

    /* cos and sin of (pos0 + t) * freq[i] for t < n: (n, half padded). freq: (half padded), zeros
     * beyond half. Angles are formed and reduced in float64, each by itself (no recurrence), at any
     * position below 2^53. */
    void (*rope_table)(const double *freq, size_t half, double pos0, size_t n, float *cos,
                       float *sin);
    /* out row t (dim) = scale * x row t rotated by row t of the table, floats, or bf16 where
     * `bf16`. cos NULL: no rotation. Floats may replace x. */
    void (*rope_rows)(const float *x, size_t x_stride, size_t n, size_t dim, const float *cos,
                      const float *sin, float scale, void *out, size_t out_stride, bool bf16);
    /* The same, unscaled, into slots first..first+n-1 of panels (slots, dim). */
    void (*rope_panels)(const float *x, size_t x_stride, size_t n, size_t dim, const float *cos,
                        const float *sin, float *panels, size_t first);

    void (*attend_begin)(const struct at_attend *job); /* empties max, sum, acc */
    void (*attend)(const struct at_attend *job);
    /* out row i (dim, stride out_stride) = acc / sum; 0 where a query saw nothing. */
    void (*attend_end)(const struct at_attend *job, float *out, size_t out_stride);

    /* bf16: operands rounded to nearest even, sums in fp32. Two layouts of pairs:
     *   panels (rows, depth): panels of (depth / 2, 32) pairs of neighbours in depth, depth even;
     *   paired rows:          slots 2 i and 2 i + 1 interleaved: (slots / 2, padded, 2). */
    void (*linear_bf16)(
        const struct at_linear *job); /* x bf16, w panels from at_kernels_pack_bf16, k even */
    void (*to_bf16)(const float *x, size_t n, uint16_t *y);
    /* As rope_panels, into bf16 panels. */
    void (*rope_panels_bf16)(const float *x, size_t x_stride, size_t n, size_t dim,
                             const float *cos, const float *sin, uint16_t *panels, size_t first);
    /* x (n, dim) into slots first..first+n-1 of paired rows; the other half of a pair is left as it
     * is. */
    void (*pair_rows)(const float *x, size_t x_stride, size_t n, size_t dim, uint16_t *out,
                      size_t first);
    /* q (n, dim) bf16, k bf16 panels, v paired rows. What lies in the same pair as a seen slot must
     * be finite. */
    void (*attend_bf16)(const struct at_attend *job);
};
#define AT_KERNELS_VERSION 1

/* Best first among those the CPU (and the mask) allows; NULL past the end. Any thread. */
const struct at_kernels *at_kernels_at(size_t i);
/* at_kernels_at(0), or NULL where the mask leaves none. */
const struct at_kernels *at_kernels_best(void);

/* The names of all variants that this build has, "amx, bf16, v4, ...", whatever runs here. Any
 * thread. */
void at_kernels_list(char *out, size_t n);

/* Floats that panels (rows, depth) take. */
size_t at_kernels_panel_floats(size_t rows, size_t depth);
/* w (rows, depth) -> panels, the last one padded with zeros. Any thread. */
void at_kernels_pack(const float *w, size_t rows, size_t depth, float *panels);

/* The same in bf16: rows rounded up to 32 times depth values, depth even. */
void at_kernels_pack_bf16(const float *w, size_t rows, size_t depth, uint16_t *panels);

/* Values that pieces of w (rows, depth) take. */
size_t at_kernels_split_values(size_t rows, size_t depth);
/* w (rows, depth) = the sum of three bf16 pieces, each what is left of it without its low bits: for
 * every 32 rows (outputs) and every 32 of the depth a piece after the other, high first, of each
 * two tiles of 16 rows; of a tile 16 pairs of neighbours in depth by 16 rows. Zeros beyond. Exact
 * but for what is below 2^-133. Any thread. */
void at_kernels_pack_split(const float *w, size_t rows, size_t depth, uint16_t *pieces);

/* x rounded to bf16, to nearest even; NaN stays NaN. */
static inline uint16_t at_bf16(float x)
{
    union {
        float f;
        uint32_t u;
    } v = {x};
    return x == x ? (uint16_t)((v.u + 0x7fff + (v.u >> 16 & 1)) >> 16) : 0x7fc0;
}

/* x without its low 16 bits: never beyond x, unlike what is rounded. */
static inline uint16_t at_bf16_low(float x)
{
    union {
        float f;
        uint32_t u;
    } v = {x};
    return (uint16_t)(v.u >> 16);
}

static inline float at_from_bf16(uint16_t x)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)x << 16};
    return v.f;
}

#endif
