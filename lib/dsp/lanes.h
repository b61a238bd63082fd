/* Sums in TAKE lanes, whose order of additions is the same in every variant of loops.c, which alone
 * includes this. A sum is as many vectors as registers need for it: wider ones compilers keep in
 * memory and take to pieces, which took three to ten times as long. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DSP_LANES_H
#define AT_DSP_LANES_H

#include <stddef.h>
#include <stdint.h>

#define TAKE 16 /* values at once */
#if defined(__AVX512F__)
#define HELD 16 /* floats of a register */
#elif defined(__AVX2__)
#define HELD 8
#else
#define HELD 4
#endif
#define PARTS (TAKE / HELD)
#define WIDE  (TAKE / (HELD / 2)) /* registers of TAKE doubles */
#define LANES 8

typedef float held __attribute__((vector_size(4 * HELD)));
typedef float held_u __attribute__((vector_size(4 * HELD), aligned(4), may_alias));
typedef float narrow __attribute__((vector_size(2 * HELD)));
typedef float narrow_u __attribute__((vector_size(2 * HELD), aligned(4), may_alias));
typedef int32_t choice __attribute__((vector_size(2 * HELD)));
typedef int32_t choice_u __attribute__((vector_size(2 * HELD), aligned(4), may_alias));
typedef double wide __attribute__((vector_size(4 * HELD)));
typedef double wide_u __attribute__((vector_size(4 * HELD), aligned(8), may_alias));
typedef float few_lanes __attribute__((vector_size(4 * LANES)));
typedef float few_lanes_u __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Before loops over parts: they must be gone before parts are given registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

/* The HELD floats of part p, or the HELD / 2 of narrow vector c. */
INLINE held part_of(const float *x, size_t p)
{
    return *(const held_u *)(x + p * HELD);
}

INLINE narrow narrow_of(const float *x, size_t c)
{
    return *(const narrow_u *)(x + c * (HELD / 2));
}

/* A sum (PARTS) to its lanes (TAKE). */
INLINE void to_lanes(const held *sum, float *lane)
{
    UNROLL
    for (size_t p = 0; p < PARTS; p++)
        *(held_u *)(lane + p * HELD) = sum[p];
}

/* The lanes of sum (WIDE), added one after the other. */
INLINE double sum_wide(const wide *sum)
{
    double lane[TAKE], s = 0;
    UNROLL
    for (size_t c = 0; c < WIDE; c++)
        *(wide_u *)(lane + c * (HELD / 2)) = sum[c];
    for (size_t k = 0; k < TAKE; k++)
        s += lane[k];
    return s;
}

#define FEW(x) (*(const few_lanes_u *)(x)) /* LANES floats from x on */

/* The lanes of *from, added in pairs. Both by address: a vector of 32 bytes is returned or taken
 * differently with AVX and without. */
INLINE float sum_lanes(const few_lanes *from)
{
    few_lanes lane = *from;
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

#endif
