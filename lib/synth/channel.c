/* The air's noise and the receiver's faults. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"
#include "lib/synth/waves.h"

static double from_db(double db)
{
    return pow(10, db / 20);
}

/* Random walk of the local oscillator: L(f) falls 20 dB a decade and is as given at 10 kHz. The
 * walk's step has the variance (2 pi 1e4)^2 L / rate. */
static int phase_noise(const struct at_channel_spec *spec, struct at_rng *r, double rate_hz,
                       int loop, float *iq, size_t n)
{
    double turns = sqrt(pow(10, spec->phase_noise_dbc_hz / 10) / rate_hz) * 1e4, p = 0, total = 0;
    float *step = at_mem_array_raw(NULL, AT_MEM_OTHER, n, sizeof *step), rot[512];
    uint32_t ph[256];
    const struct at_waves *w = at_waves_best();
    if (!step)
        return -ENOMEM;
    at_gen_noise(r, step, n, (float)turns);
    for (size_t i = 0; i < n; i++)
        total += (double)step[i];
    double back = loop ? total / (double)n : 0; /* a bridge: ends where it began */
    for (size_t k = 0; k < n; k += 256) {
        size_t m = n - k < 256 ? n - k : 256;
        for (size_t i = 0; i < m; i++) {
            ph[i] = (uint32_t)(int64_t)(p * 4294967296.0);
            p += (double)step[k + i] - back;
        }
        w->sincos(ph, NULL, m, rot);
        w->turn(iq + 2 * k, rot, m);
    }
    at_mem_free(NULL, step);
    return 0;
}

/* Tones within the band, whole cycles over n where it loops. */
static void spurs(const struct at_channel_spec *spec, struct at_rng *r, int loop, float *iq,
                  size_t n)
{
    for (int s = 0; s < spec->n_spurs; s++) {
        double f = at_rng_uniform(r, -0.5, 0.5),
               a = from_db(spec->spur_dbfs + at_rng_uniform(r, -10, 0)),
               p = at_rng_uniform(r, 0, 1);
        if (loop)
            f = floor(f * (double)n) / (double)n;
        at_gen_tone(iq, n, f, p, a);
    }
}

#define MOST_TAPS 64 /* on one side of the middle */

/* A filter of 2 m + 1 even taps, of which tap holds the middle and those behind it. */
static void filter(const float *tap, unsigned m, int loop, float *iq, size_t n)
{
    enum { BLOCK = 1024 };
    float in[2 * (BLOCK + 2 * MOST_TAPS)], first[2 * MOST_TAPS];
    if (n < 2 * m)
        return;
    memset(in, 0, sizeof in);
    if (loop)
        memcpy(in, iq + 2 * (n - m), 2 * m * sizeof *in);
    memcpy(first, iq, 2 * m * sizeof *first);
    memcpy(in + 2 * m, iq, 2 * m * sizeof *in); /* the first m samples stand ready */
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t k = n - at < BLOCK ? n - at : BLOCK;
        for (size_t i = 0; i < k; i++) { /* sample at + m + i */
            size_t from = at + m + i;
            float *to = in + 2 * (2 * m + i);
            for (size_t q = 0; q < 2; q++)
                to[q] = from < n ? iq[2 * from + q] : loop ? first[2 * (from - n) + q] : 0;
        }
        at_waves_best()->symmetric(in + 2 * m, 2 * k, tap, m, iq + 2 * at);
        memmove(in, in + 2 * k, 4 * m * sizeof *in);
    }
}

/* The receiver's decimation filter: flat in the middle, by the given dB less at +-rate/2. Its
 * response is 1 - (1 - h) sin^2m(pi f / rate), whose 2 m + 1 taps are binomials: with m = 8, 1 dB
 * down at a third of the rate. */
#define ROLLOFF_M 8
static void rolloff(double db, int loop, float *iq, size_t n)
{
    enum { M = ROLLOFF_M };
    float tap[M + 1];
    double c = (1 - from_db(-db)) / ldexp(1, 2 * M); /* times C(2 m, m + k), sign (-1)^k */
    for (int k = 0; k < M; k++)
        c *= (double)(M + 1 + k) / (k + 1);
    for (int k = 0; k <= M; k++) {
        tap[k] = (float)(k % 2 ? c : -c);
        c *= (double)(M - k) / (M + 1 + k);
    }
    tap[0] += 1;
    filter(tap, M, loop, iq, n);
}

static double bessel_i0(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-9 * sum; k++)
        sum += term *= x * x / (4.0 * k * k);
    return sum;
}

/* A channel filter before the converter: a sinc under Kaiser's window (Oppenheim and Schafer,
 * section 7.6), 6 dB down at the passband's ends. */
static void channel_filter(const struct at_channel_spec *spec, int loop, float *iq, size_t n)
{
    float tap[MOST_TAPS + 1];
    double a = fmax(spec->stopband_db, 50), beta = 0.1102 * (a - 8.7);
    for (int k = 0; k <= MOST_TAPS; k++) {
        double x = (double)k / (MOST_TAPS + 1), w = bessel_i0(beta * sqrt(1 - x * x));
        double s = k ? sin(AT_TAU / 2 * spec->passband * k) / (AT_TAU / 2 * k) : spec->passband;
        tap[k] = (float)(s * w / bessel_i0(beta));
    }
    double leak =
        a > spec->stopband_db ? from_db(-spec->stopband_db) : 0; /* less deep: some goes by */
    for (int k = 0; k <= MOST_TAPS; k++)
        tap[k] *= (float)(1 - leak);
    tap[0] += (float)leak;
    filter(tap, MOST_TAPS, loop, iq, n);
}

/* The receiver's gain changes signal and noise alike; before the first step and after the last it
 * is as asked. A single step would change nothing: two at least. */
static void gain_steps(const struct at_channel_spec *spec, struct at_rng *r, float *iq, size_t n)
{
    size_t at = 0;
    int steps = spec->n_gain_steps > 1 ? spec->n_gain_steps : 2;
    for (int k = 1; k <= steps; k++) {
        size_t to = (size_t)(((double)k + at_rng_uniform(r, -0.4, 0.4)) * (double)n / (steps + 1));
        float g = (float)from_db(at_rng_uniform(r, -spec->gain_step_db, 0));
        for (size_t i = 2 * at; k > 1 && i < 2 * to; i++)
            iq[i] *= g;
        at = to;
    }
}

static void convert(const struct at_channel_spec *spec, float *iq, size_t n)
{
    const struct at_waves *w = at_waves_best();
    float highest = spec->clip > 0 ? w->peak(iq, 2 * n) : 0;
    float full = highest > 0 ? (float)spec->clip * highest : 1;
    float levels = spec->bits > 0 ? (float)((1 << (spec->bits - 1)) - 0.5) : 0;
    /* cu8 has no zero: levels lie at half steps */
    w->convert(iq, 2 * n, full, levels, spec->bits == 8);
}

int at_channel_apply(const struct at_channel_spec *spec, double rate_hz, int loop,
                     const uint8_t *on, float *iq, size_t n)
{
    struct at_rng r;
    if (n == 0 || !(rate_hz > 0))
        return -EINVAL;
    at_rng_seed(&r, spec->seed);
    if (spec->phase_noise_dbc_hz < 0) {
        int rc = phase_noise(spec, &r, rate_hz, loop, iq, n);
        if (rc < 0)
            return rc;
    }
    if (spec->noise_dbfs_hz < 0) /* half of the power in each of I and Q */
        at_gen_noise_add(&r, iq, 2 * n,
                         (float)sqrt(pow(10, spec->noise_dbfs_hz / 10) * rate_hz / 2));
    if (spec->n_spurs > 0)
        spurs(spec, &r, loop, iq, n);
    if (spec->edge_rolloff_db > 0)
        rolloff(spec->edge_rolloff_db, loop, iq, n);
    if (spec->passband > 0 && spec->passband < 1)
        channel_filter(spec, loop, iq, n);
    if (spec->iq_gain_db != 0 || spec->iq_phase_deg != 0) {
        float gi = (float)from_db(spec->iq_gain_db / 2), gq = 1 / gi;
        float s = (float)sin(spec->iq_phase_deg * AT_TAU / 360),
              c = (float)cos(spec->iq_phase_deg * AT_TAU / 360);
        at_waves_best()->unbalance(iq, n, gi, gq, c, s);
    }
    if (spec->dc_dbfs < 0) {
        double a = from_db(spec->dc_dbfs), p = at_rng_uniform(&r, 0, AT_TAU);
        float re = (float)(a * cos(p)), im = (float)(a * sin(p));
        for (size_t i = 0; i < n; i++) {
            iq[2 * i] += re;
            iq[2 * i + 1] += im;
        }
    }
    for (size_t i = 0; spec->gated && on && i < n; i++) {
        if (!on[i])
            iq[2 * i] = iq[2 * i + 1] = 0;
    }
    if (spec->n_gain_steps > 0)
        gain_steps(spec, &r, iq, n);
    if (spec->clip > 0 || spec->bits > 0)
        convert(spec, iq, n);
    return 0;
}
