/* loops.h says what they do. Plain code that a compiler makes vectors of. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include "lib/dsp/loops.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/cpu.h"
#include "lib/dsp/boxes_tmpl.h"
#include "lib/dsp/lanes.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

#define CAT_(a, b) at_##a##_##b
#define CAT(a, b)  CAT_(a, b)
#define TEXT_(x)   #x
#define TEXT(x)    TEXT_(x)

static void from_int16(const void *x, size_t n, float scale, float *restrict out)
{
    const unsigned char *restrict in = x;
    for (size_t i = 0; i < n; i++) {
        int16_t v;
        memcpy(&v, in + 2 * i, sizeof v);
        out[i] = (float)v * scale;
    }
}

static void to_int16(const float *restrict x, size_t n, int16_t *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * 32768.0f;
        v += copysignf(0.5f, v);
        v = v < 32767.0f ? v : 32767.0f;
        v = v > -32768.0f ? v : -32768.0f;
        out[i] = (int16_t)(int32_t)v;
    }
}

static size_t survey(const float *restrict x, size_t n, float limit, int *ret_bad)
{
    int32_t above = 0, bad = 0;
    for (size_t i = 0; i < n; i++) {
        float size = fabsf(x[i]);
        above += size > limit;
        bad += !(size <= 3.4028235e38f);
    }
    *ret_bad = bad != 0;
    return (size_t)above;
}

static void moments(const float *restrict iq, size_t n, double *ret_re, double *ret_im,
                    double *ret_power)
{
    double x[TAKE] = {0}, p[TAKE] = {0}, re = 0, im = 0, power = 0;
    size_t i = 0;
    for (; i + 128 <= n; i += 128) { /* few at a time in single precision */
        held some[PARTS] = {{0}}, squares[PARTS] = {{0}};
        float lane[2][TAKE];
        for (size_t j = 0; j < 256; j += TAKE) {
            UNROLL
            for (size_t k = 0; k < PARTS; k++) {
                held a = part_of(iq + 2 * i + j, k);
                some[k] += a;
                squares[k] += a * a;
            }
        }
        to_lanes(some, lane[0]);
        to_lanes(squares, lane[1]);
        for (size_t k = 0; k < TAKE; k++) {
            x[k] += (double)lane[0][k];
            p[k] += (double)lane[1][k];
        }
    }
    for (size_t k = 0; k < 16; k += 2) {
        re += x[k];
        im += x[k + 1];
        power += p[k] + p[k + 1];
    }
    for (; i < n; i++) {
        float a = iq[2 * i], b = iq[2 * i + 1];
        re += (double)a;
        im += (double)b;
        power += (double)(a * a + b * b);
    }
    *ret_re = re;
    *ret_im = im;
    *ret_power = power;
}

static void window(const float *restrict iq, const float *restrict w, unsigned n,
                   float *restrict out)
{
    for (size_t i = 0; i < 2 * n; i += 16) /* n: a multiple of 8 */
        for (size_t k = 0; k < 16; k++)
            out[i + k] = iq[i + k] * w[i + k];
}

/* As many floats as a register holds: powers of so many complex values come of two registers, with
 * fewer shuffles than a compiler finds. */
#ifdef __AVX512F__
#define FLOATS 16
typedef float lane_set __attribute__((vector_size(64)));
typedef float lane_set_u __attribute__((vector_size(64), aligned(4), may_alias));

static inline __attribute__((always_inline)) lane_set squares(lane_set p, lane_set q)
{
    p *= p;
    q *= q;
    return __builtin_shufflevector(p, q, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                   30) +
           __builtin_shufflevector(p, q, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
#else
#define FLOATS 8
typedef float lane_set __attribute__((vector_size(32)));
typedef float lane_set_u __attribute__((vector_size(32), aligned(4), may_alias));

static inline __attribute__((always_inline)) lane_set squares(lane_set p, lane_set q)
{
    p *= p;
    q *= q;
    lane_set s = __builtin_shufflevector(p, q, 0, 2, 8, 10, 4, 6, 12, 14) +
                 __builtin_shufflevector(p, q, 1, 3, 9, 11, 5, 7, 13, 15);
    return __builtin_shufflevector(s, s, 0, 1, 4, 5, 2, 3, 6, 7);
}
#endif

static inline __attribute__((always_inline)) lane_set load(const float *x)
{
    return *(const lane_set_u *)x;
}

static inline __attribute__((always_inline)) void put(lane_set p, float scale, int add, float *out)
{
    p *= scale;
    if (add)
        p += load(out);
    *(lane_set_u *)out = p;
}

static inline void put_one(float re, float im, float scale, int add, float *out)
{
    float p = (re * re + im * im) * scale;
    *out = add ? *out + p : p;
}

static void half_power(const float *restrict x, unsigned n, float scale, int add,
                       float *restrict out)
{
    size_t i = 0;
    for (; i + FLOATS <= n; i += FLOATS)
        put(squares(load(x + 2 * i), load(x + 2 * i + FLOATS)), scale, add, out + i);
    for (; i < n; i++)
        put_one(x[2 * i], x[2 * i + 1], scale, add, out + i);
}

static void power(const float *restrict x, unsigned n, float scale, int add, float *restrict out)
{
    unsigned half = n / 2;
    half_power(x, half, scale, add, out + half);
    half_power(x + n, half, scale, add, out);
}

static void hann_one(const float *a, const float *b, const float *c, float scale, int add,
                     float *out)
{
    put_one(0.5f * b[0] - 0.25f * (a[0] + c[0]), 0.5f * b[1] - 0.25f * (a[1] + c[1]), scale, add,
            out);
}

static inline __attribute__((always_inline)) lane_set through_hann(const float *x)
{
    return 0.5f * load(x + 2) - 0.25f * (load(x) + load(x + 4));
}

/* n bins from x + 2 on, those before and after it are there. */
static void hann_run(const float *restrict x, unsigned n, float scale, int add, float *restrict out)
{
    size_t i = 0;
    for (; i + FLOATS <= n; i += FLOATS)
        put(squares(through_hann(x + 2 * i), through_hann(x + 2 * i + FLOATS)), scale, add,
            out + i);
    for (; i < n; i++)
        hann_one(x + 2 * i, x + 2 * i + 2, x + 2 * i + 4, scale, add, out + i);
}

static void hann_power(const float *restrict x, unsigned n, float scale, int add,
                       float *restrict out)
{
    unsigned half = n / 2;
    hann_one(x + 2 * n - 2, x, x + 2, scale, add, out + half);
    hann_run(x, half - 1, scale, add, out + half + 1);
    hann_run(x + 2 * (half - 1), half - 1, scale, add, out);
    hann_one(x + 2 * n - 4, x + 2 * n - 2, x, scale, add, out + half - 1);
}

/* log10 by exponent and a polynomial of the mantissa (error under 6e-6). */
static inline float log10_fast(float x)
{
    union {
        float f;
        int32_t i;
    } u = {.f = x};
    float e = (float)((u.i >> 23) - 127);
    u.i = (u.i & 0x007fffff) | 0x3f800000;
    float m = u.f - 1.0f;
    /* log2(1 + m) = m (c0 + m (c1 + ...)), least squares on [0, 1), exact at both ends. */
    float p = m * (1.44183587f +
                   m * (-0.70837215f + m * (0.41355505f + m * (-0.19126251f + m * 0.04424374f))));
    return (e + p) * 0.30102999566f;
}

/* The bits of a float as a number are 2^23 (e + 127 + t - 1), e its exponent and t its mantissa: of
 * log2, only log2(t) - t is left to the polynomial (Remez on [1, 2), 2.7e-4 dB). All in dB. */
static inline float decibels_fast(float x)
{
    union {
        float f;
        int32_t i;
    } u = {.f = x > 1e-24f ? x : 1e-24f}, t = {.i = (u.i & 0x007fffff) | 0x3f800000};
    float p =
        -386.862241f +
        t.f * (9.24189418f + t.f * (-6.38386826f + t.f * (1.94207203f + t.f * -0.245688065f)));
    return (float)u.i * 3.58855719e-7f + p;
}

static void decibels(const float *restrict x, size_t n, float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = decibels_fast(x[i]);
}

static void add(const float *restrict x, unsigned n, float *restrict out)
{
    for (size_t k = 0; k < n; k++)
        out[k] += x[k];
}

static float total(const float *restrict x, unsigned n)
{
    held sum[PARTS] = {{0}};
    float lane[TAKE], s = 0;
    unsigned i = 0;
    for (; i + TAKE <= n; i += TAKE) {
        UNROLL
        for (size_t p = 0; p < PARTS; p++)
            sum[p] += part_of(x + i, p);
    }
    to_lanes(sum, lane);
    for (; i < n; i++)
        s += x[i];
    for (size_t k = 0; k < 16; k++)
        s += lane[k];
    return s;
}

static void sum_rows(const float *restrict rows, size_t t, unsigned n, float *restrict out)
{
    memset(out, 0, n * sizeof *out);
    for (size_t i = 0; i < t; i++)
        add(rows + i * n, n, out);
}

/* ---- floor ---- */

static void sift(float *restrict rows, size_t t, unsigned n, int32_t *restrict used)
{
    memset(used, 0, n * sizeof *used);
    for (size_t i = 0; i < t; i++)
        for (size_t k = 0; k < n; k++) {
            float v = rows[i * n + k];
            int32_t good = (v > 0) & (v < 1e30f);
            used[k] += good;
            rows[i * n + k] = good ? v : INFINITY;
        }
}

/* Bit by bit from bit `top` on: a value that as many as `rank` stand below is not above the one
 * looked for. Codes are `found` with `flip`. */
static inline void find_half(const int16_t *restrict half, size_t t, int top, int flip,
                             const int16_t *restrict rank, uint16_t *restrict found)
{
    for (int bit = 1 << top; bit; bit >>= 1) {
        int16_t below[AT_LOOPS_COLUMNS] = {0}, tried[AT_LOOPS_COLUMNS];
        for (size_t k = 0; k < AT_LOOPS_COLUMNS; k++)
            tried[k] = (int16_t)((found[k] | bit) ^ flip);
        for (size_t i = 0; i < t; i++)
            for (size_t k = 0; k < AT_LOOPS_COLUMNS; k++)
                below[k] = (int16_t)(below[k] + (half[i * AT_LOOPS_COLUMNS + k] < tried[k]));
        for (size_t k = 0; k < AT_LOOPS_COLUMNS; k++)
            found[k] = below[k] <= rank[k] ? (uint16_t)(found[k] | bit) : found[k];
    }
}

/* The bits of floats that are not negative rise as they do. By halves of 16 bits, of which a
 * register holds twice as many: lower ones count where the upper is the one found, else as less or
 * more than any. They are taken less 2^15, since numbers with a sign are compared faster. */
static void smallest_of_some(const float *rows, size_t t, unsigned n, unsigned some,
                             const int32_t *rank, int16_t *restrict scratch, float *out)
{
    enum { MANY = AT_LOOPS_COLUMNS, LEAST = INT16_MIN, MOST = INT16_MAX };
    uint16_t upper[MANY] = {0}, lower[MANY] = {0};
    int16_t wanted[MANY] = {0}, *restrict low = scratch + t * MANY;
    int32_t bits[MANY] = {0};
    for (size_t k = 0; k < some; k++)
        wanted[k] = (int16_t)rank[k];
    for (size_t i = 0; i < t; i++) {
        memcpy(bits, rows + i * n, some * sizeof *rows);
        for (size_t k = 0; k < MANY; k++) {
            scratch[i * MANY + k] = (int16_t)(bits[k] >> 16);
            low[i * MANY + k] = (int16_t)(bits[k] ^ 0x8000);
        }
    }
    find_half(scratch, t, 14, 0, wanted, upper);
    for (size_t i = 0; i < t; i++)
        for (size_t k = 0; k < MANY; k++) {
            int16_t high = scratch[i * MANY + k], found = (int16_t)upper[k],
                    there = low[i * MANY + k];
            there = high < found ? LEAST : there;
            low[i * MANY + k] = high > found ? MOST : there;
        }
    find_half(low, t, 15, 0x8000, wanted, lower);
    for (size_t k = 0; k < MANY; k++)
        bits[k] = (int32_t)upper[k] << 16 | lower[k];
    memcpy(out, bits, some * sizeof *out);
}

static void smallest(const float *rows, size_t t, unsigned n, const int32_t *rank, int16_t *scratch,
                     float *out)
{
    for (unsigned k = 0; k < n; k += AT_LOOPS_COLUMNS)
        smallest_of_some(rows + k, t, n, n - k < AT_LOOPS_COLUMNS ? n - k : AT_LOOPS_COLUMNS,
                         rank + k, scratch, out + k);
}

static double sum_from(const float *x, size_t n, float least, size_t *ret_count)
{
    wide sum[WIDE] = {{0}};
    choice count[WIDE] = {{0}};
    int32_t each[TAKE];
    size_t i = 0, counted = 0;
    for (; i + TAKE <= n; i += TAKE) {
        UNROLL
        for (size_t c = 0; c < WIDE; c++) {
            narrow a = narrow_of(x + i, c);
            choice taken = (choice)(a >= least);
            sum[c] += __builtin_convertvector((narrow)((choice)a & taken), wide);
            count[c] -= taken;
        }
    }
    double s = sum_wide(sum);
    UNROLL
    for (size_t c = 0; c < WIDE; c++)
        *(choice_u *)(each + c * (HELD / 2)) = count[c];
    for (size_t k = 0; k < TAKE; k++)
        counted += (size_t)each[k];
    for (; i < n; i++)
        if (x[i] >= least) {
            s += (double)x[i];
            counted++;
        }
    *ret_count = counted;
    return s;
}

static void pairs(const float *a, const float *b, size_t n, double ret[5])
{
    wide sum[5][WIDE] = {{{0}}};
    size_t i = 0;
    for (; i + TAKE <= n; i += TAKE) {
        UNROLL
        for (size_t c = 0; c < WIDE; c++) {
            wide x = __builtin_convertvector(narrow_of(a + i, c), wide),
                 y = __builtin_convertvector(narrow_of(b + i, c), wide);
            sum[0][c] += x;
            sum[1][c] += y;
            sum[2][c] += x * x;
            sum[3][c] += y * y;
            sum[4][c] += x * y;
        }
    }
    UNROLL
    for (size_t k = 0; k < 5; k++)
        ret[k] = sum_wide(sum[k]);
    for (; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        ret[0] += x;
        ret[1] += y;
        ret[2] += x * x;
        ret[3] += y * y;
        ret[4] += x * y;
    }
}

static unsigned below(const float *restrict x, const float *restrict y, unsigned n, float limit)
{
    int32_t count = 0;
    for (size_t k = 0; k < n; k++)
        count += x[k] < limit * y[k];
    return (unsigned)count;
}

static unsigned standing(const float *level, const float *restrict sum, const float *restrict off,
                         const float *restrict floor, unsigned n, float per, float per_off,
                         float least, float *restrict out)
{
    int32_t count = 0;
    for (size_t k = 0; k < n; k++) {
        float mean = sum[k] * per, now = level ? level[k] : mean;
        int32_t good = (now >= least * floor[k]) & (mean >= off[k] * per_off);
        out[k] = good ? now : 0;
        count += good;
    }
    return (unsigned)count;
}

/* ---- channelizer ---- */

static void turn_bins(const float *restrict x, const float *restrict filter, unsigned m, float cs,
                      float sn, float *restrict out)
{
    for (size_t k = 0; k < m; k++) {
        float re = x[2 * k] * filter[k], im = x[2 * k + 1] * filter[k];
        out[2 * k] = re * cs - im * sn;
        out[2 * k + 1] = re * sn + im * cs;
    }
}

/* Sums alone: of a difference beside a sum gcc 12 makes a contraction, asked or not. */
static void turn(const float *restrict x, const float *restrict by, const float *restrict across,
                 unsigned n, float *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        float re = x[2 * i], im = x[2 * i + 1];
        out[2 * i] = re * by[2 * i] + im * across[2 * i];
        out[2 * i + 1] = re * by[2 * i + 1] + im * across[2 * i + 1];
    }
}

static inline __attribute__((always_inline)) void decimate_some(const float *x, const float *h,
                                                                unsigned n, unsigned step,
                                                                const unsigned some, float *out)
{
    held acc[4][PARTS] = {{{0}}};
    for (size_t i = 0; i < n; i += TAKE) { /* n is a multiple of 16 */
        UNROLL
        for (size_t p = 0; p < PARTS; p++) {
            held tap = part_of(h + i, p);
            UNROLL
            for (size_t j = 0; j < some; j++)
                acc[j][p] += part_of(x + (size_t)j * step + i, p) * tap;
        }
    }
    UNROLL
    for (size_t j = 0; j < some; j++) {
        float lane[TAKE], s[4];
        to_lanes(acc[j], lane);
        for (size_t k = 0; k < 4; k++)
            s[k] = (lane[k] + lane[k + 4]) + (lane[k + 8] + lane[k + 12]);
        out[2 * j] = s[0] + s[2] + x[(size_t)j * step + n] * h[n];
        out[2 * j + 1] = s[1] + s[3] + x[(size_t)j * step + n + 1] * h[n + 1];
    }
}

static void decimate(const float *line, const float *pairs, unsigned n_taps, unsigned d,
                     unsigned n_out, float *out)
{
    unsigned n = 2 * (n_taps - 1), j = 0; /* n_taps is odd, the last is apart */
    for (; j + 4 <= n_out; j += 4)
        decimate_some(line + 2 * (size_t)j * d, pairs, n, 2 * d, 4, out + 2 * (size_t)j);
    for (; j < n_out; j++)
        decimate_some(line + 2 * (size_t)j * d, pairs, n, 2 * d, 1, out + 2 * (size_t)j);
}

/* ---- framer ---- */

static void frame(const float *restrict b, const float *restrict scale, unsigned n,
                  float *restrict powers, float *restrict out)
{
    power(b, n, 1, 0, powers);
    for (size_t k = 0; k < n; k++) {
        float v = powers[k] * scale[k];
        v = v > 1e-5f ? v : 1e-5f; /* also takes a NaN out */
        v = v < 1e9f ? v : 1e9f;
        v = log10_fast(v);
        v = v > -4 ? v : -4;
        out[k] = v < 8 ? v : 8;
    }
}

static void powers(const float *restrict a, const float *restrict inv_w2, unsigned n,
                   float *restrict windowed, float *restrict p)
{
    for (size_t i = 0; i < n; i++) {
        windowed[i] = a[2 * i] * a[2 * i] + a[2 * i + 1] * a[2 * i + 1];
        p[i] = windowed[i] * inv_w2[i];
    }
}

static void buckets(const float *restrict p, unsigned n, float scale, int top,
                    int32_t *restrict bucket)
{
    const float most = (float)top;
    for (size_t i = 0; i < n; i++) {
        float e = sqrtf(p[i] * scale);
        bucket[i] = (int32_t)(e < most ? e : most);
    }
}

static void turns(const float *restrict x, unsigned n, float *restrict re, float *restrict im)
{
    re[0] = im[0] = 0;
    for (size_t i = 1; i < n; i++) {
        const float *p = x + 2 * i - 2, *q = x + 2 * i;
        re[i] = q[0] * p[0] + q[1] * p[1];
        im[i] = q[1] * p[0] - q[0] * p[1];
    }
}

/* atan2 / (2 pi) by a polynomial (error under 2e-6 cycles); choices are factors of 0 or 1, so that
 * the compiler vectorises it. */
static inline float cycles_fast(float im, float re)
{
    float ax = fabsf(re), ay = fabsf(im);
    float hi = ax > ay ? ax : ay, lo = ax > ay ? ay : ax;
    float t = lo / (hi + 1e-37f), s = t * t;
    float r =
        0.99987874f + s * (-0.33040552f + s * (0.18041246f + s * (-0.08540795f + s * 0.02093163f)));
    r *= t * 0.15915494f;
    r += (float)(ay > ax) * (0.25f - 2 * r);
    r += (float)(re < 0) * (0.5f - 2 * r);
    return copysignf(r, im);
}

/* To the nearest integer, |x| below 2^22. */
static inline float rintf_fast(float x)
{
    const float big = 12582912.0f; /* 1.5 x 2^23: its last bit is worth 1 */
    return (x + big) - big;
}

/* Loops apart, since the compiler threads jumps through limits that follow each other. */
static void frequency(const float *restrict re, const float *restrict im, unsigned n, float mid,
                      float inv, float *restrict v, float *restrict weight,
                      int32_t *restrict bucket)
{
    for (size_t i = 0; i < n; i++) {
        float cycles = cycles_fast(im[i], re[i]) - mid;
        cycles -= rintf_fast(cycles); /* nearest turn to the emission's middle */
        v[i] = cycles * inv;
        weight[i] = sqrtf(re[i] * re[i] + im[i] * im[i]);
    }
    for (size_t i = 0; i < n; i++)
        v[i] = v[i] > -1 ? v[i] : -1;
    for (size_t i = 0; i < n; i++) {
        v[i] = v[i] < 1 ? v[i] : 1;
        bucket[i] = (int32_t)((v[i] + 1) * (AT_LOOPS_FREQ_STEPS / 2));
    }
}

/* Four sums of each, one for every fourth value, so that neighbours in one bucket need not wait for
 * one another. */
static void scatter(const int32_t *restrict bucket, const float *restrict weight, unsigned n,
                    unsigned n_buckets, float *restrict sums)
{
    float h[4][AT_LOOPS_FREQ_STEPS] = {0};
    for (unsigned i = 0; i < n; i += 4)
        for (unsigned k = 0; k < 4; k++)
            h[k][bucket[i + k]] += weight[i + k];
    for (unsigned k = 0; k < n_buckets; k++)
        sums[k] = (h[0][k] + h[1][k]) + (h[2][k] + h[3][k]);
}

#ifdef __AVX2__
#define EACH (HELD / 4) /* buckets of a register, four sums each */
#define SOME                                                                                       \
    8 /* buckets: each looks at all values, which is faster than to wait for one sum after the     \
         other */
typedef int32_t held_bits __attribute__((vector_size(4 * HELD)));

/* Four values to each bucket of a register: of a shuffle gcc 12 makes a store and a wider load,
 * which waits. */
INLINE held_bits four(const void *x)
{
#if HELD == 16
    return (held_bits)_mm512_broadcast_i32x4(_mm_loadu_si128(x));
#else
    return (held_bits)_mm256_broadcastsi128_si256(_mm_loadu_si128(x));
#endif
}

static void few(const int32_t *restrict bucket, const float *restrict weight, unsigned n,
                float *restrict lane)
{
    held sum[SOME / EACH] = {{0}};
    held_bits which[SOME / EACH];
    UNROLL
    for (size_t s = 0; s < SOME / EACH; s++)
        for (size_t k = 0; k < HELD; k++)
            which[s][k] = (int32_t)(s * EACH + k / 4);
    for (size_t i = 0; i < n; i += 4) {
        held_bits at = four(bucket + i), w = four(weight + i);
        UNROLL
        for (size_t s = 0; s < SOME / EACH; s++)
            sum[s] += (held)((held_bits)(at == which[s]) & w);
    }
    UNROLL
    for (size_t s = 0; s < SOME / EACH; s++)
        *(held_u *)(lane + s * HELD) = sum[s];
}
#else
#define SOME 0
static void few(const int32_t *bucket, const float *weight, unsigned n, float *lane)
{
}
#endif

static void histogram(const int32_t *bucket, const float *weight, unsigned n, unsigned n_buckets,
                      float *sums)
{
    float lane[4 * SOME + 4] = {0};
    if (n_buckets > SOME) {
        scatter(bucket, weight, n, n_buckets, sums);
        return;
    }
    few(bucket, weight, n, lane);
    for (unsigned k = 0; k < n_buckets; k++)
        sums[k] = (lane[4 * k] + lane[4 * k + 1]) + (lane[4 * k + 2] + lane[4 * k + 3]);
}

static void sums2(const float *restrict p, const float *restrict q, const float *restrict w,
                  unsigned n, float ret[2])
{
    few_lanes l0 = {0}, l1 = {0};
    for (size_t i = 0; i < n; i += LANES) {
        l0 += FEW(p + i) * FEW(q + i);
        l1 += FEW(w + i) * FEW(p + i);
    }
    ret[0] = sum_lanes(&l0);
    ret[1] = sum_lanes(&l1);
}

static void sums3(const float *restrict w, const float *restrict v, unsigned n, float ret[3])
{
    few_lanes l0 = {0}, l1 = {0}, l2 = {0};
    for (size_t i = 0; i < n; i += LANES) {
        few_lanes a = FEW(w + i), b = FEW(v + i);
        l0 += a;
        l1 += a * b;
        l2 += a * b * b;
    }
    ret[0] = sum_lanes(&l0);
    ret[1] = sum_lanes(&l1);
    ret[2] = sum_lanes(&l2);
}

extern const struct at_loops CAT(loops, AT_ISA);
const struct at_loops CAT(loops, AT_ISA) = {
    .level = AT_ISA_LEVEL,
    .name = TEXT(AT_ISA),
    .from_int16 = from_int16,
    .to_int16 = to_int16,
    .survey = survey,
    .moments = moments,
    .window = window,
    .power = power,
    .hann_power = hann_power,
    .decibels = decibels,
    .add = add,
    .total = total,
    .sum_rows = sum_rows,
    .sift = sift,
    .smallest = smallest,
    .gather = gather,
    .highest = highest,
    .above = above,
    .leave = leave,
    .rooms = rooms,
    .boxes = boxes,
    .durations = durations,
    .sum_from = sum_from,
    .pairs = pairs,
    .below = below,
    .standing = standing,
    .turn_bins = turn_bins,
    .turn = turn,
    .decimate = decimate,
    .frame = frame,
    .powers = powers,
    .buckets = buckets,
    .turns = turns,
    .frequency = frequency,
    .histogram = histogram,
    .sums2 = sums2,
    .sums3 = sums3,
};
