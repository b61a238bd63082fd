/* Products with packed weights: register tiles of MR rows. Included by linear.c and linear_bf16.c,
 * which define BF16. SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "lib/kernels/ops.h"
#include "lib/kernels/tiles.h"

#if BF16
typedef uint16_t value;
#define LINEAR      AT_FN(linear_bf16)
#define store_value vf_store_bf16
#else
typedef float value;
#define LINEAR      AT_FN(linear)
#define store_value vf_store
#endif

/* The job's gelu at row, column.. = gelu_tanh of y (rows, columns), whose rows are TILE_COLUMNS or
 * more apart and whole vectors long. */
static void activate(const struct at_linear *j, size_t row, size_t rows, size_t column,
                     size_t columns, const float *y, size_t stride)
{
    for (size_t r = 0; r < rows; r++) {
        value *out = (value *)j->gelu + (row + r) * j->y_stride + column, last[VW];
        const float *from = y + r * stride;
        size_t c = 0;
        for (; c + VW <= columns; c += VW)
            store_value(out + c, vf_gelu_tanh(vf_load(from + c), BF16));
        if (c == columns)
            continue;
        store_value(last, vf_gelu_tanh(vf_load(from + c), BF16));
        memcpy(out + c, last, (columns - c) * sizeof *out);
    }
}

/* One tile: mr rows from row, nv vectors of columns from column on, which is where w begins. */
INLINE void tile(const struct at_linear *j, const int mr, const int nv, size_t row, size_t column,
                 const value *w)
{
    const size_t width = (size_t)nv * VW;
    vf acc[MR][WIDE_NV];
    const value *x = (const value *)j->x + row * j->x_stride;
    float *y = j->y ? j->y + row * j->y_stride + column : NULL;
    const bool whole = column + width <= j->n && !j->gelu;
    float edge[MR]
              [WIDE_COLUMNS]; /* stands in for y where the tile passes its last column, or is on */
    float bias[WIDE_COLUMNS] = {0};
    size_t columns = column + width <= j->n ? width : j->n - column,
           stride = whole ? j->y_stride : WIDE_COLUMNS;
    for (size_t c = 0; j->bias && !j->add && c < columns; c++)
        bias[c] = j->bias[column + c];
    for (int r = 0; !whole && j->add && r < mr; r++)
        for (size_t c = 0; c < columns; c++)
            edge[r][c] = y[(size_t)r * j->y_stride + c];
    float *out = whole ? y : edge[0];
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] =
                j->add ? vf_load(out + (size_t)r * stride + v * VW) : vf_load(bias + v * VW);
    }
#if BF16
    vf_tile_pairs(acc, mr, nv, x, j->x_stride, w, 2 * AT_PANEL, j->k / 2);
#else
    vf_tile(acc, mr, nv, x, j->x_stride, w, AT_PANEL, j->k, AT_PANEL * j->k, 0, false, NULL);
#endif
#if !BF16
    if ((nv > NV || WIDE_NV == NV) && j->gelu && columns == width) {
        float *g = (float *)j->gelu + row * j->y_stride + column;
        UNROLL
        for (int r = 0; r < mr; r++) {
            UNROLL
            for (int v = 0; v < nv; v++)
                vf_store(g + (size_t)r * j->y_stride + v * VW, vf_gelu_tanh(acc[r][v], false));
        }
        return;
    }
#endif
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            vf_store(out + (size_t)r * stride + v * VW, acc[r][v]);
    }
    if (j->gelu) {
        activate(j, row, (size_t)mr, column, columns, edge[0], WIDE_COLUMNS);
        return;
    }
    for (int r = 0; !whole && r < mr; r++)
        for (size_t c = 0; c < columns; c++)
            y[(size_t)r * j->y_stride + c] = edge[r][c];
}

#define CASE(mr)                                                                                   \
    case mr:                                                                                       \
        tile(j, mr, NV, row, column, w);                                                           \
        break;

static void any_tile(const struct at_linear *j, int mr, size_t row, size_t column, const value *w)
{
    switch (mr) {
        AT_EACH_MR(CASE)
    }
}

#if !BF16
#define WIDE_CASE(mr)                                                                              \
    case mr:                                                                                       \
        tile(j, mr, WIDE_NV, row, column, w);                                                      \
        break;

static void any_wide_tile(const struct at_linear *j, int mr, size_t row, size_t column,
                          const value *w)
{
    switch (mr) {
        AT_EACH_WIDE_MR(WIDE_CASE)
    }
}
#endif

/* Panels outermost: one (k, 32), or two, stays in the first-level cache while the rows of x stream
 * by. */
static void by_vectors(const struct at_linear *j)
{
    size_t column = 0, tiles = (j->m + MR - 1) / MR;
#if !BF16
    for (; WIDE_NV > NV && column + AT_PANEL < j->n; column += WIDE_COLUMNS) {
        const value *w = (const value *)j->w + column * j->k;
        size_t wide = (j->m + WIDE_MR - 1) / WIDE_MR;
        for (size_t t = 0; t < wide; t++) {
            size_t row = t * j->m / wide;
            any_wide_tile(j, (int)((t + 1) * j->m / wide - row), row, column, w);
        }
    }
#endif
    for (; column < j->n; column += TILE_COLUMNS) {
        const value *w = (const value *)j->w + column / AT_PANEL * AT_PANEL * j->k +
                         column % AT_PANEL * (1 + BF16);
        for (size_t t = 0; t < tiles; t++) {
            size_t row = t * j->m / tiles; /* even tiles: 13 13 13 13 12, not 14 14 14 14 8 */
            any_tile(j, (int)((t + 1) * j->m / tiles - row), row, column, w);
        }
    }
}

#if BF16 && AT_HAS_TILES
/* 16 or, with `two`, 32 rows from row of the panel's 32 columns. */
INLINE void block(const struct at_linear *j, size_t row, size_t column, const bool two)
{
    static const float zeros[AT_PANEL];
    const float *bias = j->bias ? j->bias + column : zeros;
    float own[2 * TILE_ROWS * AT_PANEL] __attribute__((aligned(64))); /* to be activated */
    size_t step = j->gelu ? AT_PANEL : j->y_stride;
    float *y = j->gelu ? own : j->y + row * j->y_stride + column;
    tiles_load(j->add ? y : bias, j->add ? step : 0, two); /* 0: one row for all */
    tiles_run((const value *)j->x + row * j->x_stride, j->x_stride,
              (const value *)j->w + column * j->k, 2 * AT_PANEL, j->k, true, two);
    tiles_store(y, step, two);
    if (j->gelu)
        activate(j, row, two ? 2 * TILE_ROWS : TILE_ROWS, column, AT_PANEL, own, AT_PANEL);
}

/* Whole tiles by tiles, the rows below and the columns beside them by vectors. */
void LINEAR(const struct at_linear *j)
{
    size_t rows = j->k % TILE_DEPTH ? 0 : j->m / TILE_ROWS * TILE_ROWS,
           columns = rows ? j->n / AT_PANEL * AT_PANEL : 0;
    struct at_linear below = *j, beside = *j;
    if (columns) {
        tiles_begin();
        for (size_t column = 0; column < columns; column += AT_PANEL) {
            size_t row = 0;
            for (; row + 2 * TILE_ROWS <= rows; row += 2 * TILE_ROWS)
                block(j, row, column, true);
            if (row < rows)
                block(j, row, column, false);
        }
        tiles_end();
        below.x = (const value *)j->x + rows * j->x_stride;
        below.y = j->y ? j->y + rows * j->y_stride : NULL;
        below.gelu = j->gelu ? (value *)j->gelu + rows * j->y_stride : NULL;
        below.m -= rows;
        below.n = columns;
    }
    if (columns && below.m)
        by_vectors(&below);
    beside.w = (const value *)j->w + columns * j->k;
    beside.bias = j->bias ? j->bias + columns : NULL;
    beside.y = j->y ? j->y + columns : NULL;
    beside.gelu = j->gelu ? (value *)j->gelu + columns : NULL;
    beside.n -= columns;
    if (beside.n)
        by_vectors(&beside);
}
#elif AT_HAS_TILES
#define SPLIT_ROWS 10   /* fewer are faster by vectors */
#define SPLIT_MOST 1024 /* of the depth: pieces of 32 rows then take 192 KiB of the stack */

/* Sums (rows, 32) of rows from `row` on and the panel's columns to where they belong. */
static void put(const struct at_linear *j, size_t row, size_t rows, size_t column, float *sums)
{
    const size_t columns = j->n - column < AT_PANEL ? j->n - column : AT_PANEL;
    const float *bias = j->bias && !j->add ? j->bias + column : NULL;
    for (size_t r = 0; r < rows && (bias || !j->gelu); r++) {
        float *from = sums + r * AT_PANEL,
              *y = j->gelu ? from : j->y + (row + r) * j->y_stride + column;
        for (size_t c = 0; c < columns; c++)
            y[c] = from[c] + (j->add ? y[c] : bias ? bias[c] : 0);
    }
    if (j->gelu)
        activate(j, row, rows, column, columns, sums, AT_PANEL);
}

/* The products of pieces of `rows` rows, more than 16 with `two`, and of the panel's 32 columns. */
INLINE void split_block(const struct at_linear *j, const uint16_t *pieces, size_t row, size_t rows,
                        size_t column, const bool two)
{
    const size_t steps = (j->k + TILE_DEPTH - 1) / TILE_DEPTH;
    const bool whole =
        rows % TILE_ROWS == 0 && column + AT_PANEL <= j->n && !j->gelu && (j->add || !j->bias);
    float own[2 * TILE_ROWS * AT_PANEL] __attribute__((aligned(64)));
    float *y = whole ? j->y + row * j->y_stride + column : own;
    const size_t step = whole ? j->y_stride : AT_PANEL;
    if (whole && j->add)
        tiles_load(y, step, two);
    else
        tiles_zero(two);
    tiles_run_split(pieces, j->split + column / AT_PANEL * steps * SPLIT_STEP, steps, two);
    tiles_store(y, step, two);
    if (!whole)
        put(j, row, rows, column, own);
}

/* Six products of bf16 pieces over tiles are faster than one of fp32. */
static void by_pieces(const struct at_linear *j)
{
    uint16_t pieces[SPLIT_MOST / TILE_DEPTH * SPLIT_STEP] __attribute__((aligned(64)));
    tiles_begin();
    for (size_t row = 0; row < j->m; row += 2 * TILE_ROWS) {
        const size_t rows = j->m - row < 2 * TILE_ROWS ? j->m - row : 2 * TILE_ROWS;
        split_rows((const float *)j->x + row * j->x_stride, j->x_stride, rows, j->k, pieces);
        for (size_t column = 0; column < j->n; column += AT_PANEL) {
            if (rows > TILE_ROWS)
                split_block(j, pieces, row, rows, column, true);
            else
                split_block(j, pieces, row, rows, column, false);
        }
    }
    tiles_end();
}

void LINEAR(const struct at_linear *j)
{
    if (j->split && j->m >= SPLIT_ROWS && j->k <= SPLIT_MOST)
        by_pieces(j);
    else
        by_vectors(j);
}
#else
void LINEAR(const struct at_linear *j)
{
    by_vectors(j);
}
#endif
