/* Sums in lanes, whose order of additions is the same in every variant of loops.c, which alone
 * includes this. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_LANES_H
#define AT_DSP_LANES_H

#define TAKE 16 /* floats at once */
typedef float lanes __attribute__((vector_size(4 * TAKE)));
typedef float lanes_u __attribute__((vector_size(4 * TAKE), aligned(4), may_alias));
typedef double wide_lanes __attribute__((vector_size(8 * TAKE)));
/* As many of them as one register holds, for sums of several: compilers keep wider vectors in
 * memory, which made decimate() several times slower. */
#if defined(__AVX512F__)
#define HELD 16
#elif defined(__AVX2__)
#define HELD 8
#else
#define HELD 4
#endif
#define PARTS (TAKE / HELD)
typedef float held __attribute__((vector_size(4 * HELD)));
typedef float held_u __attribute__((vector_size(4 * HELD), aligned(4), may_alias));
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define LANES 8
typedef float few_lanes __attribute__((vector_size(4 * LANES)));
typedef float few_lanes_u __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#endif
