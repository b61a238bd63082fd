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
    float *in_w2;    /* (n) w^2, 0 likewise */
    float *response; /* (n) rising frequency, through the window */
    float *scale;    /* (n) rising frequency: power -> ratio to the mean noise */
    float *x;        /* (n, 2) newest samples, oldest first */
    float *a, *b;    /* (n, 2) scratch */
    float *power;    /* (n) rising frequency; then envelope squared */
    float *phase;    /* (n) cycles a sample */
    float *weight;   /* (n) */
    int32_t *bucket; /* (n) column of a histogram */
    float in_sum;    /* of in_w2 */
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
        {&f->window, 1}, {&f->inv_w2, 1}, {&f->in_w2, 1},  {&f->response, 1},
        {&f->scale, 1},  {&f->x, 2},      {&f->a, 2},      {&f->b, 2},
        {&f->power, 1},  {&f->phase, 1},  {&f->weight, 1},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        *list[i].p = at_mem_array(f->mem, AT_MEM_FRAMES, (size_t)list[i].n * f->n, sizeof(float));
        if (!*list[i].p)
            return -ENOMEM;
    }
    f->bucket = at_mem_array(f->mem, AT_MEM_FRAMES, f->n, sizeof *f->bucket);
    if (!f->bucket)
        return -ENOMEM;
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
        f->in_w2[i] = w2 > WINDOW_FLOOR ? w2 : 0;
        f->in_sum += f->in_w2[i];
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
    float *list[] = {f->window, f->inv_w2, f->in_w2, f->response, f->scale, f->x,
                     f->a,      f->b,      f->power, f->phase,    f->weight};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        at_mem_free(f->mem, list[i]);
    at_mem_free(f->mem, f->bucket);
    at_mem_free(f->mem, f);
}

void at_framer_reset(struct at_framer *f)
{
    f->fill = 0;
}

static void spectrum(struct at_framer *f, float *out)
{
    unsigned n = f->n, half = n / 2;
    const float *restrict x = f->x, *restrict w = f->window, *restrict scale = f->scale;
    float *restrict a = f->a, *restrict power = f->power;
    for (unsigned i = 0; i < n; i++) {
        a[2 * i] = x[2 * i] * w[i];
        a[2 * i + 1] = x[2 * i + 1] * w[i];
    }
    at_plan_run(f->forward, f->a, f->b);
    const float *restrict b = f->b;
    for (unsigned i = 0; i < half; i++)
        power[i + half] = b[2 * i] * b[2 * i] + b[2 * i + 1] * b[2 * i + 1];
    b += n;
    for (unsigned i = 0; i < half; i++)
        power[i] = b[2 * i] * b[2 * i] + b[2 * i + 1] * b[2 * i + 1];
    for (unsigned k = 0; k < n; k++) {
        float v = power[k] * scale[k];
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

/* Sums in lanes: the order of additions is fixed, and a compiler makes vectors of it. */
#define LANES 8

static float sum_lanes(const float lane[LANES])
{
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

#define FREQ_STEPS (2 * AT_AUX_HIST + 1) /* from one bandwidth below the middle to one above */

/* Sums of weights by bucket into out (n_out), times share; bucket numbers count from `first`, those
 * outside go to the ends. Four sums, so that neighbours in one bucket need not wait for one
 * another. n: a multiple of 4. */
static void histogram(const int32_t *restrict bucket, const float *restrict weight, unsigned n,
                      unsigned first, float share, float *restrict out)
{
    float h[4][FREQ_STEPS] = {0};
    for (unsigned i = 0; i < n; i += 4)
        for (unsigned k = 0; k < 4; k++)
            h[k][bucket[i + k]] += weight[i + k];
    for (unsigned k = 0; k < FREQ_STEPS; k++) {
        unsigned to = k < first ? 0 : k - first < AT_AUX_HIST ? k - first : AT_AUX_HIST - 1;
        out[to] += ((h[0][k] + h[1][k]) + (h[2][k] + h[3][k])) * share;
    }
}

/* a (n, 2), the windowed samples: |a|^2 = w^2 |x|^2; p: |x|^2 where the window is not too small. */
static void powers(const float *restrict a, const float *restrict inv_w2, unsigned n,
                   float *restrict windowed, float *restrict p)
{
    for (unsigned i = 0; i < n; i++) {
        windowed[i] = a[2 * i] * a[2 * i] + a[2 * i + 1] * a[2 * i + 1];
        p[i] = windowed[i] * inv_w2[i];
    }
}

static void to_buckets(const float *restrict p, unsigned n, float scale, int32_t *restrict bucket)
{
    for (unsigned i = 0; i < n; i++) {
        float e = sqrtf(p[i] * scale);
        bucket[i] = (int32_t)(e < AT_AUX_HIST - 1 ? e : AT_AUX_HIST - 1);
    }
}

static void envelope(struct at_framer *f, float *aux)
{
    unsigned n = f->n;
    float l2[LANES] = {0}, l4[LANES] = {0};
    powers(f->a, f->inv_w2, n, f->weight, f->power);
    for (unsigned i = 0; i < n; i += LANES)
        for (unsigned k = 0; k < LANES; k++) {
            l2[k] += f->power[i + k] * f->in_w2[i + k];
            l4[k] += f->weight[i + k] * f->power[i + k];
        }
    float s2 = sum_lanes(l2), s4 = sum_lanes(l4), s0 = f->in_sum;
    if (!(s2 > 1e-30f) || !(s2 < 1e30f))
        return;
    float rms2 = s2 / s0, kurtosis = s4 / s0 / (rms2 * rms2), share = 1 / s0;
    aux[AT_AUX_KURTOSIS] = fminf(fmaxf(log2f(kurtosis), -1), 5);
    to_buckets(f->power, n, 16 / rms2, f->bucket);
    histogram(f->bucket, f->in_w2, n, 0, share, aux + AT_AUX_ENV);
}

/* x (n, 2) -> each sample times the conjugate of the one before it, apart; the first is 0. */
static void turns(const float *restrict x, unsigned n, float *restrict re, float *restrict im)
{
    re[0] = im[0] = 0;
    for (unsigned i = 1; i < n; i++) {
        const float *p = x + 2 * i - 2, *q = x + 2 * i;
        re[i] = q[0] * p[0] + q[1] * p[1];
        im[i] = q[1] * p[0] - q[0] * p[1];
    }
}

/* Frequency against mid in units of 1 / inv, within +-1, its weight, and which of FREQ_STEPS it
 * falls into. Loops apart, since the compiler threads jumps through limits that follow each other.
 */
static void to_frequency(const float *restrict re, const float *restrict im, unsigned n, float mid,
                         float inv, float *restrict v, float *restrict weight,
                         int32_t *restrict bucket)
{
    for (unsigned i = 0; i < n; i++) {
        float cycles = cycles_fast(im[i], re[i]) - mid;
        cycles -= rintf_fast(cycles); /* nearest turn to the emission's middle */
        v[i] = cycles * inv;
        weight[i] = sqrtf(re[i] * re[i] + im[i] * im[i]);
    }
    for (unsigned i = 0; i < n; i++)
        v[i] = v[i] > -1 ? v[i] : -1;
    for (unsigned i = 0; i < n; i++) {
        v[i] = v[i] < 1 ? v[i] : 1;
        bucket[i] = (int32_t)((v[i] + 1) * AT_AUX_HIST);
    }
}

static void frequency(struct at_framer *f, float *aux)
{
    unsigned n = f->n;
    float l0[LANES] = {0}, l1[LANES] = {0}, l2[LANES] = {0};
    float *re = f->power, *im = f->b, *v = f->phase, *weight = f->weight;
    turns(f->a, n, re, im);
    to_frequency(re, im, n, f->f_lo + f->f_width / 2, 1 / f->f_width, v, weight, f->bucket);
    for (unsigned i = 0; i < n; i += LANES)
        for (unsigned k = 0; k < LANES; k++) {
            l0[k] += weight[i + k];
            l1[k] += weight[i + k] * v[i + k];
            l2[k] += weight[i + k] * v[i + k] * v[i + k];
        }
    float s0 = sum_lanes(l0);
    if (!(s0 > 1e-30f) || !(s0 < 1e30f))
        return;
    float share = 1 / s0, mean = sum_lanes(l1) * share;
    aux[AT_AUX_FREQ_STD] = sqrtf(fmaxf(sum_lanes(l2) * share - mean * mean, 0));
    histogram(f->bucket, weight, n, AT_AUX_HIST / 2, share, aux + AT_AUX_FREQ);
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
