/* Products with packed weights: register tiles of MR rows. Included by linear.c and linear_bf16.c,
 * which define BF16. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/ops.h"

#if BF16
typedef uint16_t value;
#define LINEAR AT_FN(linear_bf16)
#else
typedef float value;
#define LINEAR AT_FN(linear)
#endif

/* One tile: mr rows from row, columns column..column+TILE_COLUMNS-1 of the panel w. */
INLINE void tile(const struct at_linear *j, const int mr, size_t row, size_t column, const value *w)
{
    vf acc[MR][NV];
    const value *x = (const value *)j->x + row * j->x_stride;
    float *y = j->y + row * j->y_stride + column;
    const bool whole = column + TILE_COLUMNS <= j->n;
    float edge[MR][TILE_COLUMNS]; /* stands in for y where the tile passes its last column */
    float bias[TILE_COLUMNS] = {0};
    size_t columns = whole ? TILE_COLUMNS : j->n - column,
           stride = whole ? j->y_stride : TILE_COLUMNS;
    for (size_t c = 0; j->bias && !j->add && c < columns; c++)
        bias[c] = j->bias[column + c];
    for (int r = 0; !whole && r < mr; r++)
        for (size_t c = 0; c < columns; c++)
            edge[r][c] = j->add ? y[(size_t)r * j->y_stride + c] : 0;
    float *out = whole ? y : edge[0];
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int v = 0; v < NV; v++)
            acc[r][v] =
                j->add ? vf_load(out + (size_t)r * stride + v * VW) : vf_load(bias + v * VW);
    }
#if BF16
    vf_tile_pairs(acc, mr, NV, x, j->x_stride, w, 2 * AT_PANEL, j->k / 2);
#else
    vf_tile(acc, mr, NV, x, j->x_stride, w, AT_PANEL, j->k);
#endif
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int v = 0; v < NV; v++)
            vf_store(out + (size_t)r * stride + v * VW, acc[r][v]);
    }
    for (int r = 0; !whole && r < mr; r++)
        for (size_t c = 0; c < columns; c++)
            y[(size_t)r * j->y_stride + c] = edge[r][c];
}

#define CASE(mr)                                                                                   \
    case mr:                                                                                       \
        tile(j, mr, row, column, w);                                                               \
        break;

static void any_tile(const struct at_linear *j, int mr, size_t row, size_t column, const value *w)
{
    switch (mr) {
        AT_EACH_MR(CASE)
    }
}

/* Panels outermost: one (k, 32) stays in the first-level cache while the rows of x stream by. */
void LINEAR(const struct at_linear *j)
{
    size_t tiles = (j->m + MR - 1) / MR;
    for (size_t column = 0; column < j->n; column += TILE_COLUMNS) {
        const value *w = (const value *)j->w + column / AT_PANEL * AT_PANEL * j->k +
                         column % AT_PANEL * (1 + BF16);
        for (size_t t = 0; t < tiles; t++) {
            size_t row = t * j->m / tiles; /* even tiles: 13 13 13 13 12, not 14 14 14 14 8 */
            any_tile(j, (int)((t + 1) * j->m / tiles - row), row, column, w);
        }
    }
}
