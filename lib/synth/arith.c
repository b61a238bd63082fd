/* Arithmetic of the generator: oscillators, noise, filters, FFT. Loops are written so that a
 * compiler makes vectors of them on a baseline processor. SPDX-License-Identifier: GPL-3.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

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

void at_gen_sincos(const uint32_t *phase, const float *amp, size_t n, float *iq)
{
    float c[256], s[256];
    for (size_t k = 0; k < n; k += 256) {
        size_t m = n - k < 256 ? n - k : 256;
        for (size_t i = 0; i < m; i++)
            sincos_turns(phase[k + i], &c[i], &s[i]);
        for (size_t i = 0; i < m; i++) {
            float a = amp ? amp[k + i] : 1;
            iq[2 * (k + i)] = c[i] * a;
            iq[2 * (k + i) + 1] = s[i] * a;
        }
    }
}

void at_gen_fm(const float *f_hz, const float *amp, size_t n, double fs, uint32_t *phase, float *iq)
{
    uint32_t p = *phase, ph[256];
    double unit = 4294967296.0 / fs;
    for (size_t k = 0; k < n; k += 256) {
        size_t m = n - k < 256 ? n - k : 256;
        for (size_t i = 0; i < m; i++) {
            ph[i] = p;
            p += (uint32_t)(int64_t)((double)f_hz[k + i] * unit);
        }
        at_gen_sincos(ph, amp ? amp + k : NULL, m, iq + 2 * k);
    }
    *phase = p;
}

/* Phase as 64-bit fraction of a turn: no drift over any length. */
static uint64_t turns64(double turns)
{
    return (uint64_t)((turns - floor(turns)) * 0x1p63) * 2;
}

static void ramp(uint64_t *p, uint64_t step, size_t m, uint32_t *ph)
{
    for (size_t i = 0; i < m; i++) {
        ph[i] = (uint32_t)(*p >> 32);
        *p += step;
    }
}

void at_gen_mix_add(float *dst, const float *src, size_t n, double cycles_per_sample,
                    double phase_turns, double gain)
{
    uint64_t p = turns64(phase_turns), step = turns64(cycles_per_sample);
    uint32_t ph[256];
    float lo[512], g = (float)gain;
    for (size_t k = 0; k < n; k += 256) {
        size_t m = n - k < 256 ? n - k : 256;
        ramp(&p, step, m, ph);
        at_gen_sincos(ph, NULL, m, lo);
        const float *s = src + 2 * k;
        float *d = dst + 2 * k;
        for (size_t i = 0; i < m; i++) {
            float re = s[2 * i] * g, im = s[2 * i + 1] * g;
            d[2 * i] += re * lo[2 * i] - im * lo[2 * i + 1];
            d[2 * i + 1] += re * lo[2 * i + 1] + im * lo[2 * i];
        }
    }
}

void at_gen_mix(float *iq, size_t n, double cycles_per_sample, double phase_turns)
{
    uint64_t p = turns64(phase_turns), step = turns64(cycles_per_sample);
    uint32_t ph[256];
    float lo[512];
    for (size_t k = 0; k < n; k += 256) {
        size_t m = n - k < 256 ? n - k : 256;
        ramp(&p, step, m, ph);
        at_gen_sincos(ph, NULL, m, lo);
        float *d = iq + 2 * k;
        for (size_t i = 0; i < m; i++) {
            float re = d[2 * i], im = d[2 * i + 1];
            d[2 * i] = re * lo[2 * i] - im * lo[2 * i + 1];
            d[2 * i + 1] = re * lo[2 * i + 1] + im * lo[2 * i];
        }
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

/* Box and Muller; one 64-bit draw makes two values. */
static void normals(struct at_rng *r, size_t m, float *out)
{
    uint32_t ph[256], mag[256];
    float amp[256];
    for (size_t i = 0; i < m; i++) {
        uint64_t x = at_rng_next(r);
        ph[i] = (uint32_t)x;
        mag[i] = (uint32_t)(x >> 33); /* 31 bits, so that a signed conversion does */
    }
    for (size_t i = 0; i < m; i++)
        amp[i] = sqrtf(-2 * fast_log(((float)(int32_t)mag[i] + 0.5f) * 0x1p-31f * 0.99999988f));
    at_gen_sincos(ph, amp, m, out);
}

void at_gen_noise(struct at_rng *r, float *out, size_t n, float sigma)
{
    float z[512];
    for (size_t k = 0; k < n; k += 512) {
        size_t m = n - k < 512 ? n - k : 512;
        normals(r, (m + 1) / 2, z);
        for (size_t i = 0; i < m; i++)
            out[k + i] = z[i] * sigma;
    }
}

void at_gen_noise_add(struct at_rng *r, float *out, size_t n, float sigma)
{
    float z[512];
    for (size_t k = 0; k < n; k += 512) {
        size_t m = n - k < 512 ? n - k : 512;
        normals(r, (m + 1) / 2, z);
        for (size_t i = 0; i < m; i++)
            out[k + i] += z[i] * sigma;
    }
}

void at_gen_lowpass(float *x, size_t n, double fs, double corner_hz)
{
    float a = (float)(1 - exp(-AT_TAU * corner_hz / fs)), y = 0;
    for (size_t i = 0; i < n; i++)
        x[i] = y += a * (x[i] - y);
}

int at_fft_init(struct at_fft *f, size_t n)
{
    float *m = at_mem_array(NULL, AT_MEM_OTHER, 6 * n, sizeof *m);
    if (!m)
        return -ENOMEM;
    *f = (struct at_fft){n, m, m + n, m + 2 * n, m + 3 * n, m + 4 * n, m + 5 * n};
    for (size_t k = 0; k < n; k++) {
        f->cs[k] = (float)cos(AT_TAU * (double)k / (double)n);
        f->sn[k] = (float)-sin(AT_TAU * (double)k / (double)n);
    }
    return 0;
}

void at_fft_finish(struct at_fft *f)
{
    /* re and wre may have been swapped by a run; the block begins at the lower */
    if (f->re)
        at_mem_free(NULL, f->re < f->wre ? f->re : f->wre);
    *f = (struct at_fft){0};
}

/* One Stockham pass: m butterflies of stride s, twiddle index step s. */
static void pass(const float *restrict xr, const float *restrict xi, float *restrict yr,
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
static void pass1(const float *restrict xr, const float *restrict xi, float *restrict yr,
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

void at_fft_run(struct at_fft *f, int inverse)
{
    /* the inverse is the forward with real and imaginary parts exchanged */
    float *xr = inverse ? f->im : f->re, *xi = inverse ? f->re : f->im;
    float *yr = inverse ? f->wim : f->wre, *yi = inverse ? f->wre : f->wim;
    for (size_t s = 1; s < f->n; s *= 2) {
        if (s == 1)
            pass1(xr, xi, yr, yi, f->n, f->cs, f->sn);
        else
            pass(xr, xi, yr, yi, f->n, s, f->cs, f->sn);
        float *t = xr;
        xr = yr;
        yr = t;
        t = xi;
        xi = yi;
        yi = t;
    }
    f->re = inverse ? xi : xr;
    f->im = inverse ? xr : xi;
    f->wre = inverse ? yi : yr;
    f->wim = inverse ? yr : yi;
}
