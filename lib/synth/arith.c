/* Arithmetic of the generator: oscillators, noise, filters, FFT; their inner loops are in waves.c.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"
#include "lib/synth/waves.h"

#define PIECE 256 /* values at once, on the stack */

void at_gen_fm(const float *f_hz, const float *amp, size_t n, double fs, uint32_t *phase, float *iq)
{
    const struct at_waves *w = at_waves_best();
    uint32_t p = *phase, ph[PIECE];
    for (size_t k = 0; k < n; k += PIECE) {
        size_t m = n - k < PIECE ? n - k : PIECE;
        w->steps(f_hz + k, m, 4294967296.0 / fs, ph);
        for (size_t i = 0; i < m; i++) {
            uint32_t step = ph[i];
            ph[i] = p;
            p += step;
        }
        w->sincos(ph, amp ? amp + k : NULL, m, iq + 2 * k);
    }
    *phase = p;
}

/* Phase as 64-bit fraction of a turn: no drift over any length. */
static uint64_t turns64(double turns)
{
    return (uint64_t)((turns - floor(turns)) * 0x1p63) * 2;
}

void at_gen_mix_add(float *dst, const float *src, size_t n, double cycles_per_sample,
                    double phase_turns, double gain)
{
    at_waves_best()->mix_add(dst, src, n, turns64(phase_turns), turns64(cycles_per_sample),
                             (float)gain);
}

void at_gen_tone(float *dst, size_t n, double cycles_per_sample, double phase_turns, double gain)
{
    float one[2 * PIECE] = {0};
    for (size_t i = 0; i < PIECE; i++)
        one[2 * i] = 1;
    for (size_t k = 0; k < n; k += PIECE)
        at_gen_mix_add(dst + 2 * k, one, n - k < PIECE ? n - k : PIECE, cycles_per_sample,
                       phase_turns + cycles_per_sample * (double)k, gain);
}

void at_gen_mix(float *iq, size_t n, double cycles_per_sample, double phase_turns)
{
    at_waves_best()->mix(iq, n, turns64(phase_turns), turns64(cycles_per_sample));
}

static void noise(struct at_rng *r, float *out, size_t n, float sigma, int add)
{
    const struct at_waves *w = at_waves_best();
    uint64_t draws[PIECE];
    float z[2 * PIECE];
    for (size_t k = 0; k < n; k += 2 * PIECE) {
        size_t m = n - k < 2 * PIECE ? n - k : 2 * PIECE;
        at_rng_some(r, draws, (m + 1) / 2);
        w->normals(draws, (m + 1) / 2, z);
        w->scale(z, m, sigma, add, out + k);
    }
}

void at_gen_noise(struct at_rng *r, float *out, size_t n, float sigma)
{
    noise(r, out, n, sigma, 0);
}

void at_gen_noise_add(struct at_rng *r, float *out, size_t n, float sigma)
{
    noise(r, out, n, sigma, 1);
}

void at_gen_lowpass(float *x, size_t n, double fs, double corner_hz)
{
    float a = (float)(1 - exp(-AT_TAU * corner_hz / fs)), y = 0;
    for (size_t i = 0; i < n; i++)
        x[i] = y += a * (x[i] - y);
}

#define KEPT_LOG2 13 /* sizes whose twiddles are kept */

static void make_twiddles(size_t n, float *w)
{
    for (size_t k = 0; k < n; k++) {
        w[k] = (float)cos(AT_TAU * (double)k / (double)n);
        w[n + k] = (float)-sin(AT_TAU * (double)k / (double)n);
    }
}

/* Twiddles (2, n) of one size up to 2^KEPT_LOG2, made once: they cost more than most transforms.
 * That of size n begins at 2 n. Any thread. */
static const float *kept_twiddles(size_t n)
{
    static float table[4 << KEPT_LOG2];
    static _Atomic bool made[KEPT_LOG2 + 1];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    _Atomic bool *done = &made[__builtin_ctzl(n)];
    if (!atomic_load(done)) {
        pthread_mutex_lock(&lock);
        if (!atomic_load(done))
            make_twiddles(n, table + 2 * n);
        atomic_store(done, true);
        pthread_mutex_unlock(&lock);
    }
    return table + 2 * n;
}

int at_fft_init(struct at_fft *f, size_t n)
{
    if (n == 0 || n > (size_t)1 << AT_FFT_MAX_LOG2)
        return -ENOMEM;
    bool kept = n <= (size_t)1 << KEPT_LOG2;
    float *m = at_mem_array(NULL, AT_MEM_OTHER, (kept ? 4 : 6) * n, sizeof *m);
    if (!m)
        return -ENOMEM;
    if (!kept)
        make_twiddles(n, m + 4 * n);
    const float *w = kept ? kept_twiddles(n) : m + 4 * n;
    *f = (struct at_fft){n, m, m + n, m + 2 * n, m + 3 * n, w, w + n};
    return 0;
}

void at_fft_finish(struct at_fft *f)
{
    /* re and wre may have been swapped by a run; the block begins at the lower */
    if (f->re)
        at_mem_free(NULL, f->re < f->wre ? f->re : f->wre);
    *f = (struct at_fft){0};
}

void at_fft_run(struct at_fft *f, int inverse)
{
    /* the inverse is the forward with real and imaginary parts exchanged */
    float *xr = inverse ? f->im : f->re, *xi = inverse ? f->re : f->im;
    const struct at_waves *w = at_waves_best();
    float *yr = inverse ? f->wim : f->wre, *yi = inverse ? f->wre : f->wim;
    for (size_t s = 1; s < f->n; s *= 2) {
        w->pass(xr, xi, yr, yi, f->n, s, f->cs, f->sn);
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
