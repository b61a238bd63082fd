/* waves.h says what they do. Plain code that a compiler makes vectors of. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include "lib/synth/waves.h"

#include <math.h>

#include "lib/base/cpu.h"

#define CAT_(a, b) at_##a##_##b
#define CAT(a, b)  CAT_(a, b)
#define TEXT_(x)   #x
#define TEXT(x)    TEXT_(x)
#define PIECE      256 /* complex values at once, on the stack */
#define LANES      16

/* sin(pi x), |x| <= 1/2: Taylor to x^9, error 4e-6 of full scale. */
static inline float sin_half(float x)
{
    float y = x * x;
    return x * (3.14159265f +
                y * (-5.16771278f + y * (2.55016404f + y * (-0.599264529f + y * 0.0796f))));
}

static inline void sincos_turns(uint32_t phase, float *c, float *s)
{
    float f = (float)(int32_t)phase * 0x1p-31f; /* half turns, -1..1 */
    float a = f < 0 ? -f : f, m = a < 1 - a ? a : 1 - a, v = sin_half(m);
    *s = f < 0 ? -v : v;
    *c = sin_half(0.5f - a);
}

/* Parts of complex values, apart: of interleaved ones gcc 12 makes contracted products (vfmaddsub)
 * whatever it was told. */
struct parts {
    float re[PIECE], im[PIECE];
};

static void take_apart(const float *restrict iq, size_t n, struct parts *restrict p)
{
    for (size_t i = 0; i < n; i++) {
        p->re[i] = iq[2 * i];
        p->im[i] = iq[2 * i + 1];
    }
}

static void put_together(const struct parts *restrict p, size_t n, float *restrict iq)
{
    for (size_t i = 0; i < n; i++) {
        iq[2 * i] = p->re[i];
        iq[2 * i + 1] = p->im[i];
    }
}

static void multiply(struct parts *restrict a, const struct parts *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float re = a->re[i], im = a->im[i];
        a->re[i] = re * b->re[i] - im * b->im[i];
        a->im[i] = re * b->im[i] + im * b->re[i];
    }
}

static void oscillate(const uint32_t *restrict phase, size_t n, struct parts *restrict out)
{
    for (size_t i = 0; i < n; i++)
        sincos_turns(phase[i], &out->re[i], &out->im[i]);
}

static void sincos_some(const uint32_t *restrict phase, const float *restrict amp, size_t n,
                        float *restrict iq)
{
    struct parts p;
    for (size_t k = 0; k < n; k += PIECE) {
        size_t m = n - k < PIECE ? n - k : PIECE;
        oscillate(phase + k, m, &p);
        for (size_t i = 0; amp && i < m; i++) {
            p.re[i] *= amp[k + i];
            p.im[i] *= amp[k + i];
        }
        put_together(&p, m, iq + 2 * k);
    }
}

static void steps(const float *restrict f_hz, size_t n, double unit, uint32_t *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint32_t)(int64_t)((double)f_hz[i] * unit);
}

static void oscillate_evenly(uint64_t p, uint64_t step, size_t n, struct parts *out)
{
    uint32_t phase[PIECE];
    for (size_t i = 0; i < n; i++)
        phase[i] = (uint32_t)((p + i * step) >> 32);
    oscillate(phase, n, out);
}

static void turn(float *iq, const float *by, size_t n)
{
    struct parts a, b;
    for (size_t k = 0; k < n; k += PIECE) {
        size_t m = n - k < PIECE ? n - k : PIECE;
        take_apart(iq + 2 * k, m, &a);
        take_apart(by + 2 * k, m, &b);
        multiply(&a, &b, m);
        put_together(&a, m, iq + 2 * k);
    }
}

typedef float eight __attribute__((vector_size(32)));
typedef float eight_u __attribute__((vector_size(32), aligned(4), may_alias));
#define AT(x) (*(eight_u *)(x))

/* out = or, where add, += iq (n, 2) times an oscillator's first values, turned by c + i s. */
static inline __attribute__((always_inline)) void turn_on(const struct parts *restrict first,
                                                          float c, float s, size_t n,
                                                          const float *iq, const int add,
                                                          float *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        eight fr = *(const eight_u *)(first->re + i), fi = *(const eight_u *)(first->im + i);
        eight lr = fr * c - fi * s, li = fr * s + fi * c;
        eight x = *(const eight_u *)(iq + 2 * i), y = *(const eight_u *)(iq + 2 * i + 8);
        /* the halves of 16 bytes as they lie, which takes fewer instructions; so do the
         * oscillator's then */
        eight re = __builtin_shufflevector(x, y, 0, 2, 8, 10, 4, 6, 12, 14),
              im = __builtin_shufflevector(x, y, 1, 3, 9, 11, 5, 7, 13, 15);
        lr = __builtin_shufflevector(lr, lr, 0, 1, 4, 5, 2, 3, 6, 7);
        li = __builtin_shufflevector(li, li, 0, 1, 4, 5, 2, 3, 6, 7);
        eight zr = re * lr - im * li, zi = re * li + im * lr;
        x = __builtin_shufflevector(zr, zi, 0, 8, 1, 9, 4, 12, 5, 13);
        y = __builtin_shufflevector(zr, zi, 2, 10, 3, 11, 6, 14, 7, 15);
        if (add) {
            x += AT(out + 2 * i);
            y += AT(out + 2 * i + 8);
        }
        AT(out + 2 * i) = x;
        AT(out + 2 * i + 8) = y;
    }
    for (; i < n; i++) {
        float fr = first->re[i], fi = first->im[i], lr = fr * c - fi * s, li = fr * s + fi * c;
        float re = iq[2 * i], im = iq[2 * i + 1], zr = re * lr - im * li, zi = re * li + im * lr;
        out[2 * i] = add ? out[2 * i] + zr : zr;
        out[2 * i + 1] = add ? out[2 * i + 1] + zi : zi;
    }
}

static void mix(float *iq, size_t n, uint64_t p, uint64_t step)
{
    struct parts first;
    oscillate_evenly(0, step, n < PIECE ? n : PIECE, &first);
    for (size_t k = 0; k < n; k += PIECE) {
        float c, s;
        sincos_turns((uint32_t)((p + k * step) >> 32), &c, &s);
        turn_on(&first, c, s, n - k < PIECE ? n - k : PIECE, iq + 2 * k, 0, iq + 2 * k);
    }
}

static void mix_add(float *restrict dst, const float *restrict src, size_t n, uint64_t p,
                    uint64_t step, float gain)
{
    struct parts first;
    oscillate_evenly(0, step, n < PIECE ? n : PIECE, &first);
    for (size_t k = 0; k < n; k += PIECE) {
        float c, s;
        sincos_turns((uint32_t)((p + k * step) >> 32), &c, &s);
        turn_on(&first, c * gain, s * gain, n - k < PIECE ? n - k : PIECE, src + 2 * k, 1,
                dst + 2 * k);
    }
}

/* ln of u in (0, 1): exponent and atanh series of the mantissa, error below 1e-5. */
static inline float fast_log(float u)
{
    union {
        float f;
        int32_t i;
    } v = {.f = u};
    int32_t e = (v.i - 0x3f3504f3) >> 23; /* mantissa into 0.707..1.414 */
    v.i -= e * 8388608;
    float t = (v.f - 1) / (v.f + 1), y = t * t;
    return (float)e * 0.69314718f + 2 * t * (1 + y * (0.33333333f + y * (0.2f + y * 0.142857143f)));
}

/* Box and Muller. */
static void normals(const uint64_t *restrict draws, size_t n, float *restrict out)
{
    uint32_t ph[PIECE];
    int32_t mag[PIECE];
    float amp[PIECE];
    for (size_t k = 0; k < n; k += PIECE) {
        size_t m = n - k < PIECE ? n - k : PIECE;
        for (size_t i = 0; i < m; i++) {
            ph[i] = (uint32_t)draws[k + i];
            mag[i] = (int32_t)(draws[k + i] >> 33); /* 31 bits, so that a signed conversion does */
        }
        for (size_t i = 0; i < m; i++)
            amp[i] = sqrtf(-2 * fast_log(((float)mag[i] + 0.5f) * 0x1p-31f * 0.99999988f));
        sincos_some(ph, amp, m, out + 2 * k);
    }
}

static void scale(const float *restrict x, size_t n, float by, int add, float *restrict out)
{
    if (add)
        for (size_t i = 0; i < n; i++)
            out[i] += x[i] * by;
    else
        for (size_t i = 0; i < n; i++)
            out[i] = x[i] * by;
}

static void symmetric(const float *restrict x, size_t n, const float *restrict tap, unsigned m,
                      float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = tap[0] * x[i];
    for (unsigned k = 1; k <= m; k++) {
        const float *restrict a = x - 2 * (size_t)k, *restrict b = x + 2 * (size_t)k;
        for (size_t i = 0; i < n; i++)
            out[i] += tap[k] * (a[i] + b[i]);
    }
}

/* The value before u, and the row of a table of `rows` sub-phases. */
static inline long place(double u, double rows, size_t *ret_row)
{
    double whole = floor(u);
    *ret_row = (size_t)((u - whole) * rows);
    return (long)whole;
}

static inline float pulse_at(const float *restrict sym, long n_sym, long k, const float *restrict g,
                             int span)
{
    float v = 0;
    long lo = k < 0 ? -k : 0, hi = n_sym - k < span ? n_sym - k : span;
    for (long j = lo; j < hi; j++)
        v += sym[k + j] * g[j];
    return v;
}

typedef float two __attribute__((vector_size(8)));
typedef float two_u __attribute__((vector_size(8), aligned(4), may_alias));

/* I and Q side by side: neither sum waits for the other's values. */
static inline void pulse2_at(const float *restrict sym, long n_sym, long k, const float *restrict g,
                             int span, float *restrict out)
{
    two v = {0, 0};
    long lo = k < 0 ? -k : 0, hi = n_sym - k < span ? n_sym - k : span;
    for (long j = lo; j < hi; j++)
        v += *(const two_u *)(sym + 2 * (k + j)) * g[j];
    *(two_u *)out = v;
}

/* Two at once, all of whose taps have values: neither sum waits for the other. */
static inline void pulse2_both(const float *restrict x, const float *restrict g,
                               const float *restrict y, const float *restrict h, int span,
                               float *restrict out)
{
    two v = {0, 0}, w = {0, 0};
    for (long j = 0; j < span; j++) {
        v += *(const two_u *)(x + 2 * j) * g[j];
        w += *(const two_u *)(y + 2 * j) * h[j];
    }
    *(two_u *)out = v;
    *(two_u *)(out + 2) = w;
}

static inline void pulse_both(const float *restrict x, const float *restrict g,
                              const float *restrict y, const float *restrict h, int span,
                              float *restrict out)
{
    float v = 0, w = 0;
    for (long j = 0; j < span; j++) {
        v += x[j] * g[j];
        w += y[j] * h[j];
    }
    out[0] = v;
    out[1] = w;
}

/* Whether all taps from value k on have values. */
static inline int is_whole(long k, long n, int span)
{
    return k >= 0 && k + span <= n;
}

static void pulse(const struct at_taps *t, const float *restrict sym, size_t n_sym, double t0,
                  double step, float *restrict out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t row, next;
        long k = place(((double)i + 0.5 - t0) * step, t->rows, &row) - t->before;
        const float *g = t->tab + row * (size_t)t->span;
        long l = place(((double)(i + 1) + 0.5 - t0) * step, t->rows, &next) - t->before;
        if (i + 1 < n && is_whole(k, (long)n_sym, t->span) && is_whole(l, (long)n_sym, t->span)) {
            pulse_both(sym + k, g, sym + l, t->tab + next * (size_t)t->span, t->span, out + i);
            i++;
        } else {
            out[i] = pulse_at(sym, (long)n_sym, k, g, t->span);
        }
    }
}

static void pulse2(const struct at_taps *t, const float *restrict sym, size_t n_sym, double t0,
                   double step, float *restrict out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t row;
        long k = place(((double)i + 0.5 - t0) * step, t->rows, &row) - t->before;
        pulse2_at(sym, (long)n_sym, k, t->tab + row * (size_t)t->span, t->span, out + 2 * i);
    }
}

static void resample(const struct at_taps *t, const float *restrict in, size_t m, double start,
                     double step, float *restrict out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t row, next;
        long k = place(start + (double)i * step, t->rows, &row) - t->before;
        const float *g = t->tab + row * (size_t)t->span;
        long l = place(start + (double)(i + 1) * step, t->rows, &next) - t->before;
        if (i + 1 < n && is_whole(k, (long)m, t->span) && is_whole(l, (long)m, t->span)) {
            pulse2_both(in + 2 * k, g, in + 2 * l, t->tab + next * (size_t)t->span, t->span,
                        out + 2 * i);
            i++;
        } else {
            pulse2_at(in, (long)m, k, g, t->span, out + 2 * i);
        }
    }
}

/* k is known where it is compiled: sums stay in registers, in the order of the taps. */
static inline __attribute__((always_inline)) void between(const float *restrict a, size_t m,
                                                          const float *restrict tap,
                                                          const unsigned k, float *restrict mid)
{
    for (size_t i = 0; i < m; i++) {
        const float *restrict x = a + i;
        float v = tap[0] * (x[0] + x[2]);
        for (unsigned j = 1; j < k; j++)
            v += tap[j] * (x[-2 * (long)j] + x[2 + 2 * j]);
        mid[i] = v;
    }
}

static void twice(const float *restrict x, size_t n, const float *restrict tap, unsigned k,
                  float *restrict out)
{
    float mid[2 * PIECE];
    for (size_t done = 0; done < n; done += PIECE) {
        size_t m = 2 * (n - done < PIECE ? n - done : PIECE);
        const float *a = x + 2 * (done + k - 1);
        if (k == 4)
            between(a, m, tap, 4, mid);
        else if (k == 5)
            between(a, m, tap, 5, mid);
        else if (k == 9)
            between(a, m, tap, 9, mid);
        else
            between(a, m, tap, k, mid);
        float *restrict to = out + 4 * done;
        for (size_t i = 0; i < m; i += 2) {
            to[2 * i] = a[i];
            to[2 * i + 1] = a[i + 1];
            to[2 * i + 2] = mid[i];
            to[2 * i + 3] = mid[i + 1];
        }
    }
}

static void unbalance(float *iq, size_t n, float gi, float gq, float c, float s)
{
    struct parts p;
    for (size_t k = 0; k < n; k += PIECE) {
        size_t m = n - k < PIECE ? n - k : PIECE;
        take_apart(iq + 2 * k, m, &p);
        for (size_t i = 0; i < m; i++) {
            p.im[i] = gq * (c * p.im[i] + s * p.re[i]);
            p.re[i] *= gi;
        }
        put_together(&p, m, iq + 2 * k);
    }
}

static float peak(const float *restrict x, size_t n)
{
    float lane[LANES] = {0}, top = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            float v = fabsf(x[i + k]);
            lane[k] = v > lane[k] ? v : lane[k];
        }
    for (; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    for (size_t k = 0; k < LANES; k++)
        top = lane[k] > top ? lane[k] : top;
    return top;
}

static double energy(const float *restrict x, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

static inline float limit(float x, float full)
{
    x = x > full ? full : x;
    return x < -full ? -full : x;
}

static void convert(float *restrict x, size_t n, float full, float levels, int half)
{
    if (levels <= 0)
        for (size_t i = 0; i < n; i++)
            x[i] = limit(x[i], full);
    else if (half)
        for (size_t i = 0; i < n; i++)
            x[i] = limit((floorf(limit(x[i], full) / full * levels) + 0.5f) / levels * full, full);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = limit(rintf(limit(x[i], full) / full * levels) / levels * full, full);
}

/* One Stockham pass: m butterflies of stride s, twiddle index step s. */
static void pass_on(const float *restrict xr, const float *restrict xi, float *restrict yr,
                    float *restrict yi, size_t n, size_t s, const float *cs, const float *sn)
{
    size_t half = n / 2, m = half / s;
    for (size_t p = 0; p < m; p++) {
        float c = cs[p * s], d = sn[p * s];
        const float *ar = xr + p * s, *ai = xi + p * s, *br = ar + half, *bi = ai + half;
        float *ur = yr + 2 * p * s, *ui = yi + 2 * p * s, *vr = ur + s, *vi = ui + s;
        for (size_t q = 0; q < s; q++) {
            float er = ar[q] - br[q], ei = ai[q] - bi[q];
            ur[q] = ar[q] + br[q];
            ui[q] = ai[q] + bi[q];
            vr[q] = er * c - ei * d;
            vi[q] = er * d + ei * c;
        }
    }
}

/* The first pass, stride 1: twiddles run along. */
static void pass_first(const float *restrict xr, const float *restrict xi, float *restrict yr,
                       float *restrict yi, size_t n, const float *cs, const float *sn)
{
    size_t half = n / 2;
    for (size_t p = 0; p < half; p++) {
        float er = xr[p] - xr[p + half], ei = xi[p] - xi[p + half];
        yr[2 * p] = xr[p] + xr[p + half];
        yi[2 * p] = xi[p] + xi[p + half];
        yr[2 * p + 1] = er * cs[p] - ei * sn[p];
        yi[2 * p + 1] = er * sn[p] + ei * cs[p];
    }
}

static void pass(const float *xr, const float *xi, float *yr, float *yi, size_t n, size_t s,
                 const float *cs, const float *sn)
{
    if (s == 1)
        pass_first(xr, xi, yr, yi, n, cs, sn);
    else
        pass_on(xr, xi, yr, yi, n, s, cs, sn);
}

extern const struct at_waves CAT(waves, AT_ISA);
const struct at_waves CAT(waves, AT_ISA) = {
    .level = AT_ISA_LEVEL,
    .name = TEXT(AT_ISA),
    .sincos = sincos_some,
    .steps = steps,
    .turn = turn,
    .mix = mix,
    .mix_add = mix_add,
    .normals = normals,
    .scale = scale,
    .symmetric = symmetric,
    .pulse = pulse,
    .pulse2 = pulse2,
    .resample = resample,
    .twice = twice,
    .unbalance = unbalance,
    .peak = peak,
    .energy = energy,
    .convert = convert,
    .pass = pass,
};
