/* The tile registers of AMX: eight of 16 rows of 64 bytes, and the product of bf16 pairs (Intel SDM
 * vol. 1, chapter 18; vol. 2, TDPBF16PS). Tile numbers are literals. With AT_EMULATE_TILES the same
 * operations in C, so that what is built on them can be tested where the processor has none.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_KERNELS_TILES_H
#define AT_KERNELS_TILES_H

#include <string.h>

#include "lib/kernels/simd.h"

#define TILE_ROWS  16 /* of any tile */
#define TILE_DEPTH 32 /* bf16 values of a row of the left factor; 16 rows of pairs of the right */

#if defined(AT_EMULATE_TILES)
#include "lib/kernels/kernels.h"

#define AT_HAS_TILES 1

static _Thread_local union {
    uint16_t pairs[TILE_ROWS][TILE_DEPTH];
    float sums[TILE_ROWS][16];
} emulated[8];

static inline void emulated_dot(int c, int a, int b)
{
    float right[TILE_DEPTH][16];
    for (int i = 0; i < TILE_DEPTH; i++)
        for (int n = 0; n < 16; n++)
            right[i][n] = at_from_bf16(emulated[b].pairs[i / 2][2 * n + i % 2]);
    for (int r = 0; r < TILE_ROWS; r++)
        for (int i = 0; i < TILE_DEPTH; i++) {
            const float left = at_from_bf16(emulated[a].pairs[r][i]);
            for (int n = 0; n < 16; n++)
                emulated[c].sums[r][n] += left * right[i][n];
        }
}

static inline void emulated_load(int t, const void *from, size_t stride)
{
    for (size_t r = 0; r < TILE_ROWS; r++)
        memcpy(emulated[t].pairs[r], (const char *)from + r * stride, 64);
}

static inline void emulated_store(int t, void *to, size_t stride)
{
    for (size_t r = 0; r < TILE_ROWS; r++)
        memcpy((char *)to + r * stride, emulated[t].sums[r], 64);
}

#define TILE_ZERO(t)          memset(&emulated[t], 0, sizeof emulated[t])
#define TILE_LOAD(t, from, s) emulated_load(t, from, s)
#define TILE_STORE(t, to, s)  emulated_store(t, to, s)
#define TILE_DOT(c, a, b)     emulated_dot(c, a, b)

INLINE void tiles_begin(void)
{
    memset(emulated, 0xff, sizeof emulated); /* NaN: what is not set shows */
}

INLINE void tiles_end(void)
{
}

#elif defined(__AMX_BF16__)
#define AT_HAS_TILES 1

#define TILE_ZERO(t) _tile_zero(t)
/* The fence: the intrinsic does not say that it reads memory (gcc 12). */
#define TILE_LOAD(t, from, s)                                                                      \
    do {                                                                                           \
        __asm__ volatile("" : : : "memory");                                                       \
        _tile_loadd(t, from, s);                                                                   \
    } while (0)
#define TILE_STORE(t, to, s) _tile_stored(t, to, s)
#define TILE_DOT(c, a, b)    _tile_dpbf16ps(c, a, b)

/* All eight tiles whole. */
INLINE void tiles_begin(void)
{
    static const struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } __attribute__((aligned(64))) config = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS,
                 TILE_ROWS},
    };
    _tile_loadconfig(&config);
}

/* Tiles that are in use cost each change of thread 8 KiB. */
INLINE void tiles_end(void)
{
    _tile_release();
}

#else
#define AT_HAS_TILES 0
#endif

#if AT_HAS_TILES
/* Tiles 0 and 1 (and 2, 3: `two`, the next 16 rows): sums of 32 columns, rows `stride` floats
 * apart.
 */
INLINE void tiles_load(const float *from, size_t stride, const bool two)
{
    TILE_LOAD(0, from, 4 * stride);
    TILE_LOAD(1, from + 16, 4 * stride);
    if (two) {
        TILE_LOAD(2, from + TILE_ROWS * stride, 4 * stride);
        TILE_LOAD(3, from + TILE_ROWS * stride + 16, 4 * stride);
    }
}

INLINE void tiles_store(float *to, size_t stride, const bool two)
{
    TILE_STORE(0, to, 4 * stride);
    TILE_STORE(1, to + 16, 4 * stride);
    if (two) {
        TILE_STORE(2, to + TILE_ROWS * stride, 4 * stride);
        TILE_STORE(3, to + TILE_ROWS * stride + 16, 4 * stride);
    }
}

INLINE void tiles_zero(const bool two)
{
    TILE_ZERO(0);
    TILE_ZERO(1);
    if (two) {
        TILE_ZERO(2);
        TILE_ZERO(3);
    }
}

/* Of pieces (at_kernels_pack_split): values of one piece of 32 rows or columns, and of all three.
 */
#define SPLIT_PIECE ((size_t)2 * TILE_ROWS * TILE_DEPTH)
#define SPLIT_STEP  (3 * SPLIT_PIECE)

#define SPLIT_LEFT(a, piece, two)                                                                  \
    do {                                                                                           \
        TILE_LOAD(4, (a) + (piece)*SPLIT_PIECE, 2 * TILE_DEPTH);                                   \
        if (two)                                                                                   \
            TILE_LOAD(5, (a) + (piece)*SPLIT_PIECE + SPLIT_PIECE / 2, 2 * TILE_DEPTH);             \
    } while (0)
#define SPLIT_RIGHT(b, piece)                                                                      \
    do {                                                                                           \
        TILE_LOAD(6, (b) + (piece)*SPLIT_PIECE, 2 * TILE_DEPTH);                                   \
        TILE_LOAD(7, (b) + (piece)*SPLIT_PIECE + SPLIT_PIECE / 2, 2 * TILE_DEPTH);                 \
    } while (0)
/* Tiles 0, 1 (and 2, 3: `two`, the next 16 rows) += a (16 or 32 rows, depth; stride lda) b (depth /
 * 2 rows of pairs, 16 columns a tile; stride ldb), depth a multiple of TILE_DEPTH; strides in bf16
 * values. `wide`: 32 columns, else 16 in tiles 0 and 2 alone. */
INLINE void tiles_run(const uint16_t *a, size_t lda, const uint16_t *b, size_t ldb, size_t depth,
                      const bool wide, const bool two)
{
    for (size_t i = 0; i < depth; i += TILE_DEPTH, a += TILE_DEPTH, b += TILE_DEPTH / 2 * ldb) {
        TILE_LOAD(6, b, 2 * ldb);
        TILE_LOAD(4, a, 2 * lda);
        TILE_DOT(0, 4, 6);
        if (wide) {
            TILE_LOAD(7, b + 32, 2 * ldb);
            TILE_DOT(1, 4, 7);
        }
        if (two) {
            TILE_LOAD(5, a + TILE_ROWS * lda, 2 * lda);
            TILE_DOT(2, 5, 6);
            if (wide)
                TILE_DOT(3, 5, 7);
        }
    }
}

/* One of the six products of tiles_run_split, of which each leaves one factor where the one before
 * it has it: low x high, middle x high, middle x middle, high x middle, high x high, high x low. */
INLINE void tiles_split_turn(const uint16_t *a, const uint16_t *b, const size_t turn,
                             const bool two)
{
    if (turn == 0)
        SPLIT_LEFT(a, 2, two);
    if (turn == 1)
        SPLIT_LEFT(a, 1, two);
    if (turn == 3)
        SPLIT_LEFT(a, 0, two);
    if (turn == 0 || turn == 4)
        SPLIT_RIGHT(b, 0);
    if (turn == 2)
        SPLIT_RIGHT(b, 1);
    if (turn == 5)
        SPLIT_RIGHT(b, 2);
    TILE_DOT(0, 4, 6);
    TILE_DOT(1, 4, 7);
    if (two) {
        TILE_DOT(2, 5, 6);
        TILE_DOT(3, 5, 7);
    }
}
#define SPLIT_TURNS 6

/* The same over pieces of both factors, whole tiles of them one behind the other: `steps` times
 * TILE_DEPTH, each of a the three pieces of 32 rows, of b those of 32 columns. */
INLINE void tiles_run_split(const uint16_t *a, const uint16_t *b, size_t steps, const bool two)
{
    for (size_t i = 0; i < steps; i++, a += SPLIT_STEP, b += SPLIT_STEP) {
        UNROLL
        for (size_t turn = 0; turn < SPLIT_TURNS; turn++)
            tiles_split_turn(a, b, turn, two);
    }
}

/* x (rows, k; stride), 32 rows at most, to pieces of a left factor, zeros beyond. */
static inline void split_rows(const float *x, size_t stride, size_t rows, size_t k,
                              uint16_t *pieces)
{
    for (size_t i = 0; i < k; i += TILE_DEPTH, pieces += SPLIT_STEP) {
        const size_t n = k - i < TILE_DEPTH ? k - i : TILE_DEPTH;
        float some[TILE_DEPTH] = {0};
        for (size_t r = 0; r < at_round_up(rows, TILE_ROWS); r++) {
            const float *from = r < rows ? x + r * stride + i : some;
            if (r == rows)
                memset(some, 0, sizeof some);
            else if (r < rows && n < TILE_DEPTH)
                from = memcpy(some, from, n * sizeof *some);
            vf_store_split(pieces + r * TILE_DEPTH, SPLIT_PIECE, from, from + 16, false);
        }
    }
}
#endif

#endif
