/* Fixed-width vectors for the kernels: GCC's vector extensions, and the few operations that they do
 * not have. Included only by sources of this folder, which are compiled once per ISA with AT_ISA
 * naming the variant. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_KERNELS_SIMD_H
#define AT_KERNELS_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define AT_CAT_(a, b) at_##a##_##b
#define AT_CAT(a, b)  AT_CAT_(a, b)
#define AT_FN(name)   AT_CAT(name, AT_ISA) /* at_<name>_<isa> */

/* VW lanes a vector; a register tile is MR rows of NV vectors. MR x NV accumulators, NV columns and
 * one broadcast must fit in the registers (32 with AVX-512 and NEON, else 16). */
#if defined(__AVX512F__)
#define VW 16
#define NV 2
#define MR 14
#elif defined(__AVX2__)
#define VW 8
#define NV 2
#define MR 6
#elif defined(__aarch64__)
#define VW 4
#define NV 4
#define MR 6
#else
#define VW 4
#define NV 2
#define MR 6
#endif
#define TILE_COLUMNS (NV * VW)

/* A tile of fewer rows and more vectors, over two panels, where there are registers for it: 10
 * loads beside 24 multiply-adds, which another thread on the core leaves time for; of MR x NV 16
 * beside 28, or more operations. */
#if defined(__AVX512F__)
#define WIDE_NV 4
#define WIDE_MR 6
#else
#define WIDE_NV NV
#define WIDE_MR MR
#endif
#define WIDE_COLUMNS (WIDE_NV * VW)
#define INLINE       static inline __attribute__((always_inline))

#define AT_PRAGMA(x) _Pragma(#x)

/* Before a loop of constant length over accumulators: it must be gone before they are given
 * registers. */
#if defined(__clang__)
#define UNROLL       _Pragma("clang loop unroll(full)")
#define UNROLL_BY(n) AT_PRAGMA(clang loop unroll_count(n))
#else
#define UNROLL       _Pragma("GCC unroll 16")
#define UNROLL_BY(n) AT_PRAGMA(GCC unroll n)
#endif

/* Before the loop over a product's depth: with 16 registers a step is 12 multiply-adds among 24
 * instructions, of which the loop's own four, and where in memory it begins, can be felt. */
#if defined(__AVX2__) && !defined(__AVX512F__)
#define UNROLL_STEPS UNROLL_BY(4)
#else
#define UNROLL_STEPS
#endif

typedef float vf __attribute__((vector_size(4 * VW)));
typedef int32_t vi __attribute__((vector_size(4 * VW)));
typedef uint32_t vu __attribute__((vector_size(4 * VW)));
typedef int32_t vi_u __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef uint16_t vs __attribute__((vector_size(2 * VW)));
typedef uint16_t vs_u __attribute__((vector_size(2 * VW), aligned(2), may_alias));
typedef int32_t i32_u __attribute__((aligned(2), may_alias));
typedef float vf_u __attribute__((vector_size(4 * VW), aligned(4), may_alias));

INLINE vf vf_load(const float *p)
{
    return *(const vf_u *)p;
}

INLINE void vf_store(float *p, vf x)
{
    *(vf_u *)p = x;
}

INLINE void vf_store_pair(float *p, vf a, vf b)
{
    vf_store(p, a);
    vf_store(p + VW, b);
}

INLINE vf vf_set(float x)
{
    return x - (vf){0}; /* x - 0 is x for every x: folds to a broadcast */
}

/* b where a is NaN, as vmaxps has it. */
INLINE vf vf_max(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__aarch64__)
    return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    vi m = a > b;
    return (vf)((m & (vi)a) | (~m & (vi)b));
#endif
}

/* b where a is NaN, as vminps has it. */
INLINE vf vf_min(vf a, vf b)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && !defined(__AVX512F__)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return -vf_max(-a, -b);
#endif
}

INLINE float vf_sum(vf x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)x);
#else
    float s[VW];
    vf_store(s, x);
    for (int half = VW / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] += s[i + half];
    return s[0];
#endif
}

INLINE float vf_top(vf x)
{
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)x);
#else
    float s[VW];
    vf_store(s, x);
    for (int half = VW / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            s[i] = s[i] > s[i + half] ? s[i] : s[i + half];
    return s[0];
#endif
}

#if defined(__AVX512F__)
/* Four lanes of 128 bits of a and four of b to four, two to each operand, and within lanes
 * likewise: halves of what is to be reduced meet. */
#define VF_HALVES(op, a, b, shuffle, low, high)                                                    \
    op((vf)shuffle((__m512)(a), (__m512)(b), low), (vf)shuffle((__m512)(a), (__m512)(b), high))

#define VF_OF_ROWS(op, v)                                                                          \
    vf quarter[4];                                                                                 \
    UNROLL                                                                                         \
    for (int i = 0; i < 4; i++) {                                                                  \
        vf a = VF_HALVES(op, v[i], v[4 + i], _mm512_shuffle_f32x4, 0x44, 0xee),                    \
           b = VF_HALVES(op, v[8 + i], v[12 + i], _mm512_shuffle_f32x4, 0x44, 0xee);               \
        quarter[i] = VF_HALVES(op, a, b, _mm512_shuffle_f32x4, 0x88, 0xdd);                        \
    }                                                                                              \
    vf a = VF_HALVES(op, quarter[0], quarter[1], _mm512_shuffle_ps, 0x44, 0xee),                   \
       b = VF_HALVES(op, quarter[2], quarter[3], _mm512_shuffle_ps, 0x44, 0xee);                   \
    return VF_HALVES(op, a, b, _mm512_shuffle_ps, 0x88, 0xdd)
#else
#define VF_OF_ROWS(op, v)                                                                          \
    vf all;                                                                                        \
    for (int i = 0; i < VW; i++)                                                                   \
        all[i] = op(v[i]);                                                                         \
    return all
#endif

#if defined(__AVX512F__)
/* Column c of rows v (16) -> v[c]. */
INLINE void vf_transpose(vf *v)
{
    __m512d q[16]; /* [4 g + c]: of rows 4 g..4 g + 3 columns c, 4 + c, 8 + c and 12 + c */
    UNROLL
    for (int g = 0; g < 16; g += 4) {
        __m512 a = (__m512)v[g], b = (__m512)v[g + 1], c = (__m512)v[g + 2], d = (__m512)v[g + 3];
        __m512d ab = (__m512d)_mm512_unpacklo_ps(a, b), cd = (__m512d)_mm512_unpacklo_ps(c, d);
        q[g] = _mm512_unpacklo_pd(ab, cd);
        q[g + 1] = _mm512_unpackhi_pd(ab, cd);
        ab = (__m512d)_mm512_unpackhi_ps(a, b), cd = (__m512d)_mm512_unpackhi_ps(c, d);
        q[g + 2] = _mm512_unpacklo_pd(ab, cd);
        q[g + 3] = _mm512_unpackhi_pd(ab, cd);
    }
    UNROLL
    for (int c = 0; c < 4; c++) {
        __m512 a = (__m512)q[c], b = (__m512)q[4 + c], d = (__m512)q[8 + c], e = (__m512)q[12 + c];
        __m512 even = _mm512_shuffle_f32x4(a, b, 0x88), odd = _mm512_shuffle_f32x4(a, b, 0xdd),
               even2 = _mm512_shuffle_f32x4(d, e, 0x88), odd2 = _mm512_shuffle_f32x4(d, e, 0xdd);
        v[c] = (vf)_mm512_shuffle_f32x4(even, even2, 0x88);
        v[4 + c] = (vf)_mm512_shuffle_f32x4(odd, odd2, 0x88);
        v[8 + c] = (vf)_mm512_shuffle_f32x4(even, even2, 0xdd);
        v[12 + c] = (vf)_mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}
#elif defined(__AVX2__)
/* Column c of rows v (8) -> v[c]. */
INLINE void vf_transpose(vf *v)
{
    __m256d q[8]; /* [4 g + c]: of rows 4 g..4 g + 3 columns c and 4 + c */
    UNROLL
    for (int g = 0; g < 8; g += 4) {
        __m256 a = (__m256)v[g], b = (__m256)v[g + 1], c = (__m256)v[g + 2], d = (__m256)v[g + 3];
        __m256d ab = (__m256d)_mm256_unpacklo_ps(a, b), cd = (__m256d)_mm256_unpacklo_ps(c, d);
        q[g] = _mm256_unpacklo_pd(ab, cd);
        q[g + 1] = _mm256_unpackhi_pd(ab, cd);
        ab = (__m256d)_mm256_unpackhi_ps(a, b), cd = (__m256d)_mm256_unpackhi_ps(c, d);
        q[g + 2] = _mm256_unpacklo_pd(ab, cd);
        q[g + 3] = _mm256_unpackhi_pd(ab, cd);
    }
    UNROLL
    for (int c = 0; c < 4; c++) {
        __m256 a = (__m256)q[c], b = (__m256)q[4 + c];
        v[c] = (vf)_mm256_permute2f128_ps(a, b, 0x20);
        v[4 + c] = (vf)_mm256_permute2f128_ps(a, b, 0x31);
    }
}
#endif

/* Lane i: the greatest lane of v[i], VW vectors. */
INLINE vf vf_tops(const vf *v)
{
#if defined(__AVX512F__)
    VF_OF_ROWS(vf_max, v);
#else
    VF_OF_ROWS(vf_top, v);
#endif
}

INLINE vf vf_add(vf a, vf b)
{
    return a + b;
}

/* Lane i: the sum of the lanes of v[i]. */
INLINE vf vf_sums(const vf *v)
{
#if defined(__AVX512F__)
    VF_OF_ROWS(vf_add, v);
#else
    VF_OF_ROWS(vf_sum, v);
#endif
}

/* 2^x, x = n + f, |f| <= 1/2, 2^f by a polynomial (minimax in relative error) of degree 5, or 3
 * where `coarse`. */
INLINE vf vf_exp2_by(vf x, const bool coarse)
{
#if defined(__AVX512F__)
    vf n = (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const vf magic =
        vf_set(0x1.8p23f); /* adding it rounds to an integer, which is then in the low bits */
    x = vf_max(x, vf_set(-126.0f));
    x = vf_min(x, vf_set(126.0f));
    vf t = x + magic, n = t - magic;
#endif
    vf f = x - n, p;
    if (coarse) {
        p = f * 0x1.c3f760p-5f + 0x1.f0de1cp-3f;
        p = p * f + 0x1.62f31ap-1f;
        p = p * f + 0x1.fff692p-1f;
    } else {
        p = f * 0x1.5c08e6p-10f + 0x1.3d0c52p-7f;
        p = p * f + 0x1.c6b6e4p-5f;
        p = p * f + 0x1.ebf918p-3f;
        p = p * f + 0x1.62e428p-1f;
        p = p * f + 0x1.000002p+0f;
    }
#if defined(__AVX512F__)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return (vf)((vi)p + ((vi)t << 23));
#endif
}

/* 2^x within 3e-7 relative. Below -126 it is 0 or 2^-126, above 127 at least 2^126: callers need no
 * more. */
INLINE vf vf_exp2(vf x)
{
#if defined(__AVX512F__) /* 0 <= f < 1, because the scaling takes the whole part itself */
    vf f = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vf p = f * 0x1.ebaf42p-10f + 0x1.26bbd2p-7f;
    p = p * f + 0x1.c949b8p-5f;
    p = p * f + 0x1.ebd6c2p-3f;
    p = p * f + 0x1.62e4eap-1f;
    p = p * f + 0x1.fffffep-1f;
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
    return vf_exp2_by(x, false);
#endif
}

/* The same within 8e-5, for what is then rounded to bf16. Where there are tiles, the exponents are
 * what takes longest: there 0 <= f < 1, because the scaling takes the whole part itself (of
 * processors with tiles it is known that VREDUCEPS takes no longer than VRNDSCALEPS). */
INLINE vf vf_exp2_coarse(vf x)
{
#if defined(__AMX_BF16__)
    vf f = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vf p = f * 0x1.3f9662p-4f + 0x1.cefc5ap-3f;
    p = p * f + 0x1.64444ep-1f;
    p = p * f + 0x1.fff632p-1f;
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
    return vf_exp2_by(x, true);
#endif
}

/* acc (nv) += *a c. `from_memory`, with 32 registers of 16 lanes: the multiply-adds read *a
 * themselves, which leaves more of the vector units and one load more. Of every second row that is
 * 23 loads beside 28 multiply-adds; of every row it would be 30, which is slower. Where rows are
 * `far`, not a constant apart, the address is formed before: as a sum of two registers in the
 * multiply-add it is slower than a broadcast where two threads share the core. */
INLINE void vf_row(vf *acc, const int nv, const float *a, const vf *c, const bool from_memory,
                   const bool far)
{
#if defined(__AVX512F__)
    if (from_memory) {
        if (far)
            __asm__("" : "+r"(a));
        UNROLL
        for (int v = 0; v < nv; v++)
            __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(acc[v]) : "v"(c[v]), "m"(*a));
        return;
    }
#endif
    (void)from_memory;
    vf x = vf_set(*a);
    UNROLL
    for (int v = 0; v < nv; v++)
        acc[v] += x * c[v];
}

/* Steps that values are asked for in advance: longer than the second-level cache takes. */
#define AHEAD 16
#define LINE  64 /* bytes */

/* acc (mr, nv) += a (mr, k; stride lda) b (k, nv vectors; stride ldb; vectors of a second panel
 * begin `next` behind the first one's): the register tile that all products share. mr and nv are
 * constants at every call, so that acc lives in registers. ahead: steps that b is asked for in
 * advance, a constant, or 0. asks (a constant): in each step for one more line from `soon` on, into
 * the second-level cache. */
INLINE void vf_tile(vf acc[][WIDE_NV], const int mr, const int nv, const float *a, size_t lda,
                    const float *b, size_t ldb, size_t k, size_t next, const int ahead,
                    const bool asks, const char *soon)
{
    const bool far = !__builtin_constant_p(lda);
    UNROLL_STEPS
    for (size_t i = 0; i < k; i++, b += ldb) {
        vf c[WIDE_NV];
        if (asks)
            __builtin_prefetch(soon + i * LINE, 0, 2);
        UNROLL
        for (int v = 0; v < nv; v++) {
            const size_t column = (size_t)v * VW;
            const float *from = b + column + (column < AT_PANEL ? 0 : next - AT_PANEL);
            c[v] = vf_load(from);
#if defined(__AVX512F__) /* a vector is a line */
            if (ahead)
                __builtin_prefetch(from + (size_t)ahead * ldb);
#endif
        }
        UNROLL
        for (int r = 0; r < mr; r++)
            vf_row(acc[r], nv, a + (size_t)r * lda + i, c, nv == NV && (far ? r % 2 : r % 4 == 1),
                   far);
    }
}

/* bf16 of each lane, to nearest even, in the low half of the lane; NaN stays NaN. */
INLINE vu vf_bf16(vf x)
{
    vu u = (vu)x, nan = (vu)(x != x);
    vu r = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    return (r & ~nan) | (0x7fc0 & nan);
}

INLINE void vf_store_bf16(uint16_t *p, vf x)
{
#if defined(__AVX512BF16__)
    __m256bh h = _mm512_cvtneps_pbh((__m512)x);
    *(vs_u *)p = (vs)h;
#else
    *(vs_u *)p = __builtin_convertvector(vf_bf16(x), vs);
#endif
}

#define LOG2_E 1.44269504088896341f

/* x (1 + tanh u) / 2 = x / (1 + exp(-2 u)) with u = sqrt(2/pi) (x + 0.044715 x^3); within 3e-4 of
 * itself where `coarse`, for what is then rounded to bf16. */
INLINE vf vf_gelu_tanh(vf x, const bool coarse)
{
    const float a = -2.0f * 0.797884560802865356f * LOG2_E, b = a * 0.044715f;
    vf u = x * (x * x * b + a);
#if defined(__AVX512F__) /* a division takes as long as all the rest: 1 / d within 2^-14, a Newton \
                            step */
    u = (vf)_mm512_min_ps((__m512)u, (__m512)vf_set(126.0f));
    vf d = (coarse ? vf_exp2_coarse(u) : vf_exp2(u)) + 1.0f, r = (vf)_mm512_rcp14_ps((__m512)d);
    return x * (coarse ? r : r * (2.0f - d * r));
#else
    return x / (vf_exp2_by(u, coarse) + 1.0f);
#endif
}

/* Two vectors beside each other. */
INLINE void vf_store_bf16_pair(uint16_t *p, vf a, vf b)
{
#if defined(__AVX512BF16__)
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a));
#else
    vf_store_bf16(p, a);
    vf_store_bf16(p + VW, b);
#endif
}

/* acc += a.low b.low + a.high b.high, lanes being pairs of bf16. */
INLINE vf vf_dot_pairs(vf acc, vi a, vi b)
{
#if defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
#else
    const vi high = (vi)((vu){0} + 0xffff0000u);
    acc += (vf)(a << 16) * (vf)(b << 16);
    return acc + (vf)(a & high) * (vf)(b & high);
#endif
}

/* A pair of bf16 in each lane. */
INLINE vi vf_pair(const uint16_t *p)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    return (vi)_mm256_broadcast_ss((const float *)(const void *)p);
#else
    return *(const i32_u *)p - (vi){0};
#endif
}

/* vf_tile in bf16: k pairs; b (k, nv vectors of pairs). Strides in bf16 values. */
INLINE void vf_tile_pairs(vf acc[][WIDE_NV], const int mr, const int nv, const uint16_t *a,
                          size_t lda, const uint16_t *b, size_t ldb, size_t k)
{
    for (size_t i = 0; i < k; i++, b += ldb) {
        vi c[NV];
        UNROLL
        for (int v = 0; v < nv; v++)
            c[v] = *(const vi_u *)(b + 2 * v * VW);
        UNROLL
        for (int r = 0; r < mr; r++) {
            vi x = vf_pair(a + (size_t)r * lda + 2 * i);
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[r][v] = vf_dot_pairs(acc[r][v], x, c[v]);
        }
    }
}

/* Three bf16 pieces, `next` values apart, of 16 floats of a and 16 of b, whose sum they are: each
 * is what is left without its low 16 bits (at_kernels_pack_split). First all of a, or pairs of
 * both. */
INLINE void vf_store_split(uint16_t *p, size_t next, const float *a, const float *b,
                           const bool pairs)
{
#if defined(__AVX512BW__)
    typedef uint16_t words __attribute__((vector_size(64)));
    words order;
    for (int i = 0; i < 32; i++)
        order[i] = (uint16_t)(pairs ? i / 2 * 2 + 1 + i % 2 * 32 : 2 * i + 1);
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    __m512 x = _mm512_loadu_ps(a), y = _mm512_loadu_ps(b);
    UNROLL
    for (size_t i = 0; i < 3; i++, p += next) {
        _mm512_storeu_si512(p, _mm512_permutex2var_epi16((__m512i)x, (__m512i)order, (__m512i)y));
        x -= (__m512)((__m512i)x & high);
        y -= (__m512)((__m512i)y & high);
    }
#else
    for (size_t i = 0; i < 32; i++) {
        const size_t from = pairs ? i / 2 : i % 16;
        float left = (pairs ? i % 2 : i / 16) ? b[from] : a[from];
        for (size_t k = 0; k < 3; k++) {
            p[k * next + i] = at_bf16_low(left);
            left -= at_from_bf16(p[k * next + i]);
        }
    }
#endif
}

#endif
