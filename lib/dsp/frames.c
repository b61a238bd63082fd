/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/frames.h"

#include <math.h>
#include <string.h>

#include "lib/dsp/plan.h"
#include "lib/dsp/window.h"

#define MIN_BINS 32
#define MAX_BINS 512
/* Below this a bin is in the filter's stop band: what is there came from neighbours, and must not
 * be blown up. */
#define RESPONSE_FLOOR 1e-3f
/* Share of the squared window's peak under which a sample is not asked for its envelope. */
#define WINDOW_FLOOR 0.02f

struct at_framer {
    struct at_mem *mem;
    unsigned n, hop, fill;
    double rate_hz;
    const struct at_plan *forward, *inverse;
    float *window;   /* (n) */
    float *inv_w2;   /* (n) 1 / w^2, 0 where the window is too small */
    float *response; /* (n) rising frequency, through the window */
    float *scale;    /* (n) rising frequency: power -> ratio to the mean noise */
    float *x;        /* (n, 2) newest samples, oldest first */
    float *a, *b;    /* (n, 2) scratch */
    float *power;    /* (n) rising frequency; then envelope squared */
    float *phase;    /* (n) cycles a sample */
    float *weight;   /* (n) */
    double w2_sum;
    unsigned lo, hi;     /* occupied bins [lo, hi), rising frequency */
    float f_lo, f_width; /* cycles a sample */
    float bin_khz, share;
    float ratio; /* of the newest frame */
};

static const char *const aux_names[AT_AUX_COUNT] = {
    "bin_khz", "share", "skipped", "kurtosis", "freq_std", "env0",  "env1",
    "env2",    "env3",  "env4",    "env5",     "env6",     "env7",  "freq0",
    "freq1",   "freq2", "freq3",   "freq4",    "freq5",    "freq6", "freq7",
};

const char *at_aux_name(unsigned column)
{
    return column < AT_AUX_COUNT ? aux_names[column] : NULL;
}

/* log10 by exponent and a polynomial of the mantissa (error under 6e-6); plain code that the
 * compiler vectorises. */
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

/* atan2 / (2 pi) by a polynomial (error under 2e-6 cycles), branch-free. */
static inline float cycles_fast(float im, float re)
{
    float ax = fabsf(re), ay = fabsf(im);
    float hi = ax > ay ? ax : ay, lo = ax > ay ? ay : ax;
    float t = lo / (hi + 1e-37f), s = t * t;
    float r =
        0.99987874f + s * (-0.33040552f + s * (0.18041246f + s * (-0.08540795f + s * 0.02093163f)));
    r *= t * 0.15915494f;
    r = ay > ax ? 0.25f - r : r;
    r = re < 0 ? 0.5f - r : r;
    return im < 0 ? -r : r;
}

static void set_scale(struct at_framer *f, double noise_density)
{
    double noise = noise_density * f->rate_hz * f->w2_sum;
    for (unsigned k = 0; k < f->n; k++) {
        double d = noise * f->response[k];
        f->scale[k] = d > 1e-36 ? (float)(1 / d) : 1e36f;
    }
}

void at_framer_set(struct at_framer *f, double f_lo_hz, double f_hi_hz, double noise_density)
{
    double lo = f_lo_hz / f->rate_hz, hi = f_hi_hz / f->rate_hz, bin = 1.0 / f->n;
    lo = fmin(fmax(lo, -0.5), 0.5 - bin);
    hi = fmin(fmax(hi, lo + bin), 0.5);
    f->f_lo = (float)lo;
    f->f_width = (float)(hi - lo);
    double first = floor((lo + 0.5) * f->n), last = ceil((hi + 0.5) * f->n);
    f->lo = first > 0 ? (unsigned)first : 0;
    f->hi = last < f->n ? (unsigned)last + 1 : f->n;
    f->share = (float)(hi - lo);
    set_scale(f, noise_density);
}

/* What the mean noise power of each bin is through the window: the response seen through its main
 * lobe. */
static void set_response(struct at_framer *f, const float *response)
{
    unsigned n = f->n;
    for (unsigned k = 0; k < n; k++) {
        float r = 1;
        if (response)
            r = (response[(k + n - 1) % n] + 4 * response[k] + response[(k + 1) % n]) / 6;
        f->response[k] = r > RESPONSE_FLOOR ? r : RESPONSE_FLOOR;
    }
}

static int take(struct at_framer *f)
{
    struct {
        float **p;
        unsigned n;
    } list[] = {
        {&f->window, 1}, {&f->inv_w2, 1}, {&f->response, 1}, {&f->scale, 1}, {&f->x, 2},
        {&f->a, 2},      {&f->b, 2},      {&f->power, 1},    {&f->phase, 1}, {&f->weight, 1},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        *list[i].p = at_mem_array(f->mem, AT_MEM_FRAMES, (size_t)list[i].n * f->n, sizeof(float));
        if (!*list[i].p)
            return -ENOMEM;
    }
    f->forward = at_plan_get(f->n, AT_PLAN_FORWARD);
    f->inverse = at_plan_get(f->n, AT_PLAN_INVERSE);
    return f->forward && f->inverse ? 0 : -ENOMEM;
}

int at_framer_create(struct at_mem *mem, const struct at_framer_config *config,
                     struct at_error *err, struct at_framer **ret_framer)
{
    unsigned n = config->n_bins;
    if (n < MIN_BINS || n > MAX_BINS || (n & (n - 1)))
        return at_error_set(err, -EINVAL, "n_bins %u: must be a power of two, %d to %d", n,
                            MIN_BINS, MAX_BINS);
    if (!(config->rate_hz > 0) || !(config->noise_density >= 0) ||
        !(config->f_hi_hz >= config->f_lo_hz))
        return at_error_set(err, -EINVAL, "framer: rate, edges or noise density unfit");
    struct at_framer *f = at_mem_alloc(mem, AT_MEM_FRAMES, sizeof *f);
    if (!f)
        return at_error_set(err, -ENOMEM, "no memory for a framer");
    f->mem = mem;
    f->n = n;
    f->hop = n / 2;
    f->rate_hz = config->rate_hz;
    if (take(f) < 0) {
        at_framer_destroy(f);
        return at_error_set(err, -ENOMEM, "no memory for a framer");
    }
    at_window_fill(AT_WINDOW_HANN, f->window, n);
    f->w2_sum = at_window_power(f->window, n);
    for (unsigned i = 0; i < n; i++) {
        float w2 = f->window[i] * f->window[i];
        f->inv_w2[i] = w2 > WINDOW_FLOOR ? 1 / w2 : 0;
    }
    set_response(f, config->response);
    f->bin_khz = (float)log2(config->rate_hz / n / 1e3);
    at_framer_set(f, config->f_lo_hz, config->f_hi_hz, config->noise_density);
    *ret_framer = f;
    return 0;
}

void at_framer_destroy(struct at_framer *f)
{
    if (!f)
        return;
    float *list[] = {f->window, f->inv_w2, f->response, f->scale, f->x,
                     f->a,      f->b,      f->power,    f->phase, f->weight};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        at_mem_free(f->mem, list[i]);
    at_mem_free(f->mem, f);
}

void at_framer_reset(struct at_framer *f)
{
    f->fill = 0;
}

static void spectrum(struct at_framer *f, float *out)
{
    unsigned n = f->n, half = n / 2;
    for (unsigned i = 0; i < n; i++) {
        f->a[2 * i] = f->x[2 * i] * f->window[i];
        f->a[2 * i + 1] = f->x[2 * i + 1] * f->window[i];
    }
    at_plan_run(f->forward, f->a, f->b);
    for (unsigned i = 0; i < half; i++) {
        const float *neg = f->b + 2 * (i + half), *pos = f->b + 2 * i;
        f->power[i] = neg[0] * neg[0] + neg[1] * neg[1];
        f->power[i + half] = pos[0] * pos[0] + pos[1] * pos[1];
    }
    for (unsigned k = 0; k < n; k++) {
        float v = f->power[k] * f->scale[k];
        v = v > 1e-5f ? v : 1e-5f; /* also takes a NaN out */
        v = v < 1e9f ? v : 1e9f;
        v = log10_fast(v);
        v = v > -4 ? v : -4;
        out[k] = v < 8 ? v : 8;
    }
}

static void occupied(struct at_framer *f)
{
    float s = 0;
    for (unsigned k = f->lo; k < f->hi; k++)
        s += f->power[k] * f->scale[k];
    f->ratio = s / (float)(f->hi - f->lo);
}

float at_framer_ratio(const struct at_framer *f)
{
    return f->ratio;
}

/* b: the frame's windowed FFT. Leaves in a the windowed IQ between the edges. */
static void band_pass(struct at_framer *f)
{
    unsigned n = f->n, half = n / 2;
    for (unsigned k = 0; k < f->lo; k++)
        f->b[2 * (k ^ half)] = f->b[2 * (k ^ half) + 1] = 0;
    for (unsigned k = f->hi; k < n; k++)
        f->b[2 * (k ^ half)] = f->b[2 * (k ^ half) + 1] = 0;
    at_plan_run(f->inverse, f->b, f->a);
}

/* The window's weight is in the samples already: |a|^2 = w^2 |x|^2. */
static void envelope(struct at_framer *f, float *aux)
{
    unsigned n = f->n;
    float s0 = 0, s2 = 0, s4 = 0;
    for (unsigned i = 0; i < n; i++) {
        float p = f->a[2 * i] * f->a[2 * i] + f->a[2 * i + 1] * f->a[2 * i + 1];
        float in = f->inv_w2[i] > 0 ? 1.0f : 0.0f;
        f->weight[i] = in * f->window[i] * f->window[i];
        f->power[i] = p * f->inv_w2[i];
        s0 += f->weight[i];
        s2 += in * p;
        s4 += p * f->power[i];
    }
    if (!(s2 > 1e-30f) || !(s2 < 1e30f))
        return;
    float rms2 = s2 / s0, kurtosis = s4 / s0 / (rms2 * rms2);
    aux[AT_AUX_KURTOSIS] = fminf(fmaxf(log2f(kurtosis), -1), 5);
    float scale = 16 / rms2, share = 1 / s0, top = AT_AUX_HIST - 1;
    for (unsigned i = 0; i < n; i++) {
        float e = sqrtf(f->power[i] * scale);
        f->power[i] = e < top ? e : top;
    }
    for (unsigned i = 0; i < n; i++)
        aux[AT_AUX_ENV + (unsigned)f->power[i]] += f->weight[i] * share;
}

static void frequency(struct at_framer *f, float *aux)
{
    unsigned n = f->n;
    float mid = f->f_lo + f->f_width / 2, inv = 1 / f->f_width, s0 = 0, s1 = 0, s2 = 0;
    for (unsigned i = 1; i < n; i++) {
        const float *p = f->a + 2 * i - 2, *q = f->a + 2 * i;
        float re = q[0] * p[0] + q[1] * p[1], im = q[1] * p[0] - q[0] * p[1];
        float cycles = cycles_fast(im, re) - mid;
        cycles -= cycles > 0.5f ? 1.0f : 0.0f; /* nearest turn to the emission's middle */
        cycles += cycles < -0.5f ? 1.0f : 0.0f;
        float w = sqrtf(re * re + im * im), v = cycles * inv;
        v = v > -1 ? v : -1;
        v = v < 1 ? v : 1;
        f->phase[i] = v;
        f->weight[i] = w;
        s0 += w;
        s1 += w * v;
        s2 += w * v * v;
    }
    if (!(s0 > 1e-30f) || !(s0 < 1e30f))
        return;
    float share = 1 / s0, mean = s1 * share;
    aux[AT_AUX_FREQ_STD] = sqrtf(fmaxf(s2 * share - mean * mean, 0));
    for (unsigned i = 1; i < n; i++) {
        float h = (f->phase[i] + 0.5f) * AT_AUX_HIST;
        h = h > 0 ? h : 0;
        h = h < AT_AUX_HIST - 1 ? h : AT_AUX_HIST - 1;
        aux[AT_AUX_FREQ + (unsigned)h] += f->weight[i] * share;
    }
}

static void make_frame(struct at_framer *f, float *frame)
{
    float *aux = frame + f->n;
    memset(aux, 0, AT_AUX_COUNT * sizeof *aux);
    aux[AT_AUX_BIN_KHZ] = f->bin_khz;
    aux[AT_AUX_SHARE] = f->share;
    spectrum(f, frame);
    occupied(f);
    band_pass(f);
    envelope(f, aux);
    frequency(f, aux);
}

size_t at_framer_push(struct at_framer *f, const float *iq, size_t n, float *frames,
                      size_t max_frames, size_t *ret_used)
{
    size_t used = 0, made = 0;
    while (made < max_frames && used < n) {
        size_t want = f->n - f->fill, got = n - used < want ? n - used : want;
        memcpy(f->x + 2 * f->fill, iq + 2 * used, got * 2 * sizeof(float));
        f->fill += (unsigned)got;
        used += got;
        if (f->fill < f->n)
            break;
        make_frame(f, frames + made * (f->n + AT_AUX_COUNT));
        made++;
        memmove(f->x, f->x + 2 * f->hop, (size_t)(f->n - f->hop) * 2 * sizeof(float));
        f->fill = f->n - f->hop;
    }
    if (ret_used)
        *ret_used = used;
    return made;
}
