/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/channelize.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/dsp/loops.h"
#include "lib/dsp/plan.h"
#include "lib/dsp/window.h"

#define TAPS        65   /* at the channel rate */
#define CUTOFF      0.46 /* -6 dB point in channel rates */
#define ATTENUATION 72.0
#define LINE        32  /* blocks after which the delay line, far longer than one, is moved */
#define SOME        32  /* values on the stack */
#define MIN_INVERSE 128 /* so that TAPS fit into half of it */

struct at_channel {
    struct at_mem *mem;
    struct at_channel_shape shape;
    double band_rate_hz;
    const struct at_plan *inverse;
    const struct at_loops *loops;
    unsigned n, half;   /* inverse FFT points, samples kept of each */
    float proto[TAPS];  /* the filter over bins as taps */
    float *filter;      /* (n) real response in FFT order over 1 / N; flat for the whole band */
    float *bins, *time; /* (n, 2) */
    unsigned n_taps;    /* of the second stage */
    float *taps;        /* (n_taps) */
    float *pairs;       /* (n_taps, 2) each twice, for I and Q */
    float *fine;        /* (2, half, 2) the fine shift over one block, and i times it */
    float *line;        /* (n_taps - 1 + LINE half, 2) delay line, then the newest of some blocks */
    unsigned at;        /* of them in it: the delay line begins as many halves later */
};

static double band_share(double f_lo, double f_hi, double rate)
{
    return (f_hi - f_lo) / rate;
}

static void set_shift(struct at_channel_shape *s, double band_rate_hz, double want_hz)
{
    double bin_hz = band_rate_hz / s->n_block;
    s->bin = (int)lround(want_hz / bin_hz);
    s->fine_hz = s->decimation > 1 ? want_hz - s->bin * bin_hz : 0;
    s->center_hz = s->bin * bin_hz + s->fine_hz;
}

void at_channel_fit(struct at_channel_shape *ret, double band_rate_hz, unsigned n_block,
                    double f_lo_hz, double f_hi_hz, double duration_s, unsigned min_tokens,
                    unsigned hop)
{
    unsigned total = 1, max = 1u << 20;
    while (total < max && band_rate_hz / (2 * total) >= AT_CHANNEL_MIN_RATE &&
           band_share(f_lo_hz, f_hi_hz, band_rate_hz / (2 * total)) <= 0.5)
        total *= 2;
    while (duration_s > 0 && total > 1 &&
           duration_s * band_rate_hz / total < (double)min_tokens * hop &&
           band_share(f_lo_hz, f_hi_hz, band_rate_hz / total * 2) >= 1.0 / 16)
        total /= 2;
    unsigned n = n_block / total, least = n_block < MIN_INVERSE ? n_block : MIN_INVERSE;
    if (n < least)
        n = least;
    *ret = (struct at_channel_shape){.n_block = n_block,
                                     .n_inverse = n,
                                     .decimation = total / (n_block / n),
                                     .rate_hz = band_rate_hz / total};
    set_shift(ret, band_rate_hz, (f_lo_hz + f_hi_hz) / 2);
}

/* Turns a sample of the inverse's rate. */
static double fine_step(const struct at_channel *c)
{
    return -c->shape.fine_hz / (c->band_rate_hz * c->n / c->shape.n_block);
}

static void make_fine(struct at_channel *c)
{
    float *across = c->fine + 2 * (size_t)c->half;
    for (unsigned i = 0; i < c->half; i++) {
        double turn = 2 * M_PI * fine_step(c) * i;
        c->fine[2 * i] = across[2 * i + 1] = (float)cos(turn);
        c->fine[2 * i + 1] = (float)sin(turn);
        across[2 * i] = -c->fine[2 * i + 1];
    }
}

/* The low-pass sampled at the inverse's bins, zero phase: real. */
static void make_filter(struct at_channel *c)
{
    double gain = 1.0 / c->shape.n_block;
    at_window_lowpass(c->proto, TAPS, CUTOFF, ATTENUATION);
    bool whole = c->n == c->shape.n_block;
    for (unsigned at = 0; at <= c->n / 2; at += SOME) { /* symmetric */
        double f[SOME], r[SOME];
        for (unsigned i = 0; i < SOME; i++) {
            f[i] = (double)(at + i) / c->n;
            r[i] = 1;
        }
        if (!whole)
            at_window_zero_phases(c->proto, TAPS, f, SOME, r);
        for (unsigned i = 0, k = at; i < SOME && k <= c->n / 2; i++, k++)
            c->filter[k] = c->filter[(c->n - k) % c->n] = (float)(gain * r[i]);
    }
}

int at_channel_create(struct at_mem *mem, const struct at_channel_shape *shape, double band_rate_hz,
                      struct at_channel **ret_channel)
{
    struct at_channel *c = at_mem_alloc(mem, AT_MEM_IQ, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->mem = mem;
    c->shape = *shape;
    c->loops = at_loops_best();
    c->band_rate_hz = band_rate_hz;
    c->n = shape->n_inverse;
    c->half = c->n / 2;
    c->inverse = at_plan_get(c->n, AT_PLAN_INVERSE);
    c->filter = at_mem_array(mem, AT_MEM_IQ, c->n, sizeof(float));
    c->bins = at_mem_array(mem, AT_MEM_IQ, (size_t)c->n * 2, sizeof(float));
    c->time = at_mem_array(mem, AT_MEM_IQ, (size_t)c->n * 2, sizeof(float));
    if (!c->inverse || !c->filter || !c->bins || !c->time)
        goto fail;
    make_filter(c);
    if (shape->decimation > 1) {
        c->n_taps = (TAPS - 1) * shape->decimation + 1;
        c->taps = at_mem_array(mem, AT_MEM_IQ, c->n_taps, sizeof(float));
        c->line = at_mem_array(mem, AT_MEM_IQ, (size_t)(c->n_taps - 1 + LINE * c->half) * 2,
                               sizeof(float));
        c->pairs = at_mem_array(mem, AT_MEM_IQ, (size_t)c->n_taps * 2, sizeof(float));
        c->fine = at_mem_array(mem, AT_MEM_IQ, (size_t)c->half * 4, sizeof(float));
        if (!c->taps || !c->line || !c->pairs || !c->fine)
            goto fail;
        make_fine(c);
        at_window_lowpass(c->taps, c->n_taps, CUTOFF / shape->decimation, ATTENUATION);
        for (unsigned i = 0; i < 2 * c->n_taps; i++)
            c->pairs[i] = c->taps[i / 2];
    }
    *ret_channel = c;
    return 0;
fail:
    at_channel_destroy(c);
    return -ENOMEM;
}

void at_channel_destroy(struct at_channel *c)
{
    if (!c)
        return;
    at_mem_free(c->mem, c->filter);
    at_mem_free(c->mem, c->bins);
    at_mem_free(c->mem, c->time);
    at_mem_free(c->mem, c->taps);
    at_mem_free(c->mem, c->pairs);
    at_mem_free(c->mem, c->fine);
    at_mem_free(c->mem, c->line);
    at_mem_free(c->mem, c);
}

void at_channel_reset(struct at_channel *c)
{
    if (c->line)
        memset(c->line, 0, (size_t)(c->n_taps - 1) * 2 * sizeof(float));
    c->at = 0;
}

unsigned at_channel_block_samples(const struct at_channel *c)
{
    return c->half / c->shape.decimation;
}

unsigned at_channel_lag(const struct at_channel *c)
{
    return c->shape.decimation > 1 ? (TAPS - 1) / 2 : 0;
}

/* The channel's bins times the filter. A shift by k bins turns by exp(-2 pi i k t / N) with t the
 * block's first sample; taken exactly by integers. The fine shift by that of the first sample kept.
 */
static void cut_bins(struct at_channel *c, const float *spec, uint64_t seq, const float *dc)
{
    unsigned n_block = c->shape.n_block, mask = n_block - 1, n = c->n;
    uint64_t first = seq * (n_block / 2) - n_block / 4;
    unsigned k0 = (unsigned)c->shape.bin & mask;
    unsigned turn = (unsigned)((k0 * (first & mask)) & mask);
    double fine = fine_step(c) * (double)(seq * c->half);
    double phase = 2 * M_PI * (fine - floor(fine)) - 2 * M_PI * turn / n_block;
    float cs = (float)cos(phase), sn = (float)sin(phase);
    for (unsigned k = 0; k < n;) { /* runs without a wrap: bins from k0 up, then those below it */
        unsigned from = (k0 + k + (k < n / 2 ? 0 : n_block - n)) & mask;
        unsigned end = k < n / 2 ? n / 2 : n,
                 m = n_block - from < end - k ? n_block - from : end - k;
        c->loops->turn_bins(spec + 2 * (size_t)from, c->filter + k, m, cs, sn,
                            c->bins + 2 * (size_t)k);
        if (from == 0 && dc) { /* a constant stands in bin 0 alone */
            float g = (float)n_block * c->filter[k];
            c->bins[2 * k] -= g * (dc[0] * cs - dc[1] * sn);
            c->bins[2 * k + 1] -= g * (dc[0] * sn + dc[1] * cs);
        }
        k += m;
    }
}

void at_channel_run(struct at_channel *c, const float *spec, uint64_t seq, const float *dc,
                    float *out)
{
    const float *x = c->time + c->n / 2; /* a quarter of the samples, 2 floats each */
    if (spec) {
        cut_bins(c, spec, seq, dc);
        at_plan_run(c->inverse, c->bins, c->time);
    } else {
        memset(c->time, 0, (size_t)c->n * 2 * sizeof(float));
    }
    if (c->shape.decimation > 1) {
        float *line = c->line + 2 * (size_t)c->at * c->half, *next = line + 2 * (size_t)c->half;
        /* cut_bins() turned it to where the block begins */
        c->loops->turn(x, c->fine, c->fine + 2 * (size_t)c->half, c->half,
                       line + 2 * (size_t)(c->n_taps - 1));
        c->loops->decimate(line, c->pairs, c->n_taps, c->shape.decimation,
                           c->half / c->shape.decimation, out);
        if (++c->at == LINE) {
            memmove(c->line, next, (size_t)(c->n_taps - 1) * 2 * sizeof(float));
            c->at = 0;
        }
    } else {
        memcpy(out, x, (size_t)c->half * 2 * sizeof(float));
    }
}

void at_channel_responses(const struct at_channel *c, const double *f_hz, unsigned n, double *ret)
{
    bool two = c->shape.decimation > 1, whole = c->n == c->shape.n_block;
    for (unsigned at = 0; at < n; at += SOME) {
        unsigned m = n - at < SOME ? n - at : SOME;
        double f[SOME], r[SOME];
        for (unsigned i = 0; i < m; i++) {
            f[i] = f_hz[at + i] / c->shape.rate_hz / (two ? c->shape.decimation : 1);
            r[i] = 1;
        }
        if (two || !whole)
            at_window_zero_phases(two ? c->taps : c->proto, two ? c->n_taps : TAPS, f, m, r);
        for (unsigned i = 0; i < m; i++)
            ret[at + i] = r[i] * r[i];
    }
}
