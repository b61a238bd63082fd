/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/agree.h"

#include <math.h>
#include <string.h>

#define ROWS  67 /* four tiles of 16 and some */
#define DEPTH 128
#define WIDE  104 /* three panels and some */
#define SLOTS 640 /* keys of more than one block of 512 */
#define DIM   64

/* Uniform in -1..1, the same everywhere. */
static float draw(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) * 0x1p-23f - 1;
}

static void fill(uint16_t *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = at_bf16(draw(&seed));
}

static bool is_near(const float *a, const float *b, size_t n, float within)
{
    float top = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        float d = fabsf(a[i] - b[i]);
        if (!isfinite(d))
            return false;
        top = fmaxf(top, fabsf(b[i]));
        off = fmaxf(off, d);
    }
    return off <= within * top;
}

enum product { PLAIN, ADD, GELU };

/* m rows by n columns of depth k: as they are, added onto what stands there, or their gelu. */
static bool products_agree(const struct at_kernels *a, const struct at_kernels *b, size_t m,
                           size_t n, size_t k, enum product what, float within)
{
    static const size_t wide = WIDE + 24; /* whole panels */
    uint16_t x[ROWS * DEPTH], w[(WIDE + 24) * DEPTH];
    float bias[WIDE], y[2][ROWS * WIDE];
    uint16_t gelu[ROWS * WIDE];
    uint32_t seed = 3;
    fill(x, m * k, 1);
    memset(w, 0, sizeof w);
    fill(w, at_round_up(n, AT_PANEL) < wide ? at_round_up(n, AT_PANEL) * k : wide * k, 2);
    for (size_t i = 0; i < n; i++)
        bias[i] = draw(&seed);
    for (size_t i = 0; i < m * n; i++)
        y[0][i] = y[1][i] = draw(&seed);
    for (int v = 0; v < 2; v++) {
        (v ? b : a)->linear_bf16(&(struct at_linear){.x = x,
                                                     .w = w,
                                                     .bias = bias,
                                                     .y = y[v],
                                                     .m = m,
                                                     .n = n,
                                                     .k = k,
                                                     .x_stride = k,
                                                     .y_stride = n,
                                                     .add = what == ADD,
                                                     .gelu = what == GELU ? gelu : NULL});
        for (size_t i = 0; what == GELU && i < m * n; i++)
            y[v][i] = at_from_bf16(gelu[i]);
    }
    return is_near(y[0], y[1], m * n, within);
}

/* The same in fp32, by pieces where a variant takes them. */
static bool pieces_agree(const struct at_kernels *a, const struct at_kernels *b, size_t m, size_t n,
                         size_t k, enum product what)
{
    float x[ROWS * DEPTH], w[WIDE * DEPTH], panels[(WIDE + 24) * DEPTH], bias[WIDE],
        y[2][ROWS * WIDE];
    uint16_t pieces[3 * (WIDE + 24) * DEPTH];
    uint32_t seed = 7;
    for (size_t i = 0; i < m * k; i++)
        x[i] = draw(&seed);
    for (size_t i = 0; i < n * k; i++)
        w[i] = draw(&seed);
    for (size_t i = 0; i < n; i++)
        bias[i] = draw(&seed);
    for (size_t i = 0; i < m * n; i++)
        y[0][i] = y[1][i] = draw(&seed);
    at_kernels_pack(w, n, k, panels);
    at_kernels_pack_split(w, n, k, pieces);
    for (int v = 0; v < 2; v++)
        (v ? b : a)->linear(&(struct at_linear){.x = x,
                                                .w = panels,
                                                .split = pieces,
                                                .bias = bias,
                                                .y = y[v],
                                                .m = m,
                                                .n = n,
                                                .k = k,
                                                .x_stride = k,
                                                .y_stride = n,
                                                .add = what == ADD,
                                                .gelu = what == GELU ? y[v] : NULL});
    return is_near(y[0], y[1], m * n, 2e-6f);
}

/* n queries; query i sees slots begin+i..end-1-(n-1-i), or none where every fifth is left out.
 * Where begin is odd, what lies beside may be read too. */
static bool attention_agrees(const struct at_kernels *a, const struct at_kernels *b, size_t n,
                             size_t dim, int32_t begin, int32_t end, float within)
{
    uint16_t q[ROWS * DIM], k[SLOTS * DIM], v[SLOTS * DIM];
    int32_t lo[ROWS], hi[ROWS];
    float max[ROWS], sum[ROWS], acc[ROWS * DIM], out[2][ROWS * DIM];
    size_t v_stride = at_round_up(dim, AT_LANE);
    fill(q, n * dim, 4);
    fill(k, SLOTS * dim, 5);
    fill(v, SLOTS * v_stride, 6);
    for (size_t i = 0; i < n; i++) {
        lo[i] = begin + (int32_t)i;
        hi[i] = i % 5 == 4 ? lo[i] : end - (int32_t)(n - 1 - i);
    }
    for (int which = 0; which < 2; which++) {
        const struct at_kernels *kernels = which ? b : a;
        struct at_attend job = {.q = q,
                                .k = k,
                                .v = v,
                                .lo = lo,
                                .hi = hi,
                                .n = n,
                                .dim = dim,
                                .v_stride = v_stride,
                                .slots = begin % 2 ? SLOTS : 0,
                                .bias = 0.5f,
                                .max = max,
                                .sum = sum,
                                .acc = acc};
        kernels->attend_begin(&job);
        kernels->attend_bf16(&job);
        job.bias = 0; /* a second set, as a ring in two pieces has */
        kernels->attend_bf16(&job);
        kernels->attend_end(&job, out[which], dim);
    }
    return is_near(out[0], out[1], n * dim, within);
}

/* The same in fp32: tiles take n from 128 on. */
static bool attention_of_pieces_agrees(const struct at_kernels *a, const struct at_kernels *b,
                                       int32_t end)
{
    enum { N = 130, D = 32 };
    float q[N * D], k[SLOTS * D], v[SLOTS * D], max[N], sum[N], acc[N * D], out[2][N * D];
    int32_t lo[N], hi[N];
    uint32_t seed = 8;
    for (size_t i = 0; i < N * D; i++)
        q[i] = draw(&seed);
    for (size_t i = 0; i < SLOTS * D; i++) {
        k[i] = draw(&seed);
        v[i] = draw(&seed);
    }
    for (int32_t i = 0; i < N; i++) {
        lo[i] = i < 40 ? 3 : i;
        hi[i] = i % 50 == 49 ? lo[i] : end - (N - 1 - i);
    }
    for (int which = 0; which < 2; which++) {
        const struct at_kernels *kernels = which ? b : a;
        struct at_attend job = {.q = q,
                                .k = k,
                                .v = v,
                                .lo = lo,
                                .hi = hi,
                                .n = N,
                                .dim = D,
                                .v_stride = D,
                                .bias = 0.5f,
                                .max = max,
                                .sum = sum,
                                .acc = acc};
        kernels->attend_begin(&job);
        kernels->attend(&job);
        kernels->attend_end(&job, out[which], D);
    }
    return is_near(out[0], out[1], N * D, 2e-5f);
}

bool at_kernels_agree(const struct at_kernels *a, const struct at_kernels *b, float within)
{
    const float rounded = 0x1p-7f + within; /* a result may fall on the other side of a border */
    return products_agree(a, b, 64, 96, 128, PLAIN, within) &&
           products_agree(a, b, 32, 32, 64, ADD, within) &&
           products_agree(a, b, ROWS, WIDE, DEPTH, ADD, within) &&
           products_agree(a, b, ROWS, WIDE, DEPTH, PLAIN, within) &&
           products_agree(a, b, 17, 33, 96, PLAIN, within) &&
           products_agree(a, b, 15, 32, 32, PLAIN, within) &&
           products_agree(a, b, 33, 40, 30, ADD, within) &&
           products_agree(a, b, 50, 72, 64, GELU, rounded) &&
           pieces_agree(a, b, 64, 96, 128, PLAIN) && pieces_agree(a, b, 32, 32, 64, ADD) &&
           pieces_agree(a, b, ROWS, WIDE, DEPTH, PLAIN) && pieces_agree(a, b, 50, 72, 45, GELU) &&
           pieces_agree(a, b, 33, 40, 30, ADD) &&
           attention_agrees(a, b, 64, 32, 0, SLOTS, within) &&
           attention_agrees(a, b, ROWS, 32, 3, 600, within) &&
           attention_agrees(a, b, ROWS, 64, 37, 571, within) &&
           attention_agrees(a, b, 16, 32, 31, 96, within) &&
           attention_agrees(a, b, 48, 48, 1, 130, within) &&
           attention_agrees(a, b, 20, 16, 5, 77, within) && attention_of_pieces_agrees(a, b, 640) &&
           attention_of_pieces_agrees(a, b, 180);
}
