/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/frames.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/dsp/loops.h"
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
    const struct at_loops *loops;
    float *window;   /* (n, 2) each twice, for I and Q */
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
    float home; /* middle of the column in which a line counts, of the width from the middle */
    bool has_home;
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
        {&f->window, 2}, {&f->inv_w2, 1}, {&f->in_w2, 1},  {&f->response, 1},
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
    f->loops = at_loops_best();
    if (take(f) < 0) {
        at_framer_destroy(f);
        return at_error_set(err, -ENOMEM, "no memory for a framer");
    }
    at_window_fill(AT_WINDOW_HANN, f->a, n);
    f->w2_sum = at_window_power(f->a, n);
    for (unsigned i = 0; i < n; i++) {
        float w2 = f->a[i] * f->a[i];
        f->window[2 * i] = f->window[2 * i + 1] = f->a[i];
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
    f->has_home = false;
}

static void spectrum(struct at_framer *f, float *out)
{
    f->loops->window(f->x, f->window, f->n, f->a);
    at_plan_run(f->forward, f->a, f->b);
    f->loops->frame(f->b, f->scale, f->n, f->power, out);
}

static void occupied(struct at_framer *f)
{
    float s[4] = {0}; /* each waits for itself */
    unsigned k = f->lo;
    for (; k + 4 <= f->hi; k += 4)
        for (unsigned i = 0; i < 4; i++)
            s[i] += f->power[k + i] * f->scale[k + i];
    for (; k < f->hi; k++)
        s[0] += f->power[k] * f->scale[k];
    f->ratio = ((s[0] + s[1]) + (s[2] + s[3])) / (float)(f->hi - f->lo);
}

float at_framer_ratio(const struct at_framer *f)
{
    return f->ratio;
}

/* Bins [from, to), rising frequency, of b (2 half, 2), which is in FFT order, to 0. */
static void clear(float *b, unsigned half, unsigned from, unsigned to)
{
    unsigned low = to < half ? to : half, high = from > half ? from : half;
    if (from < low)
        memset(b + 2 * (from + half), 0, (size_t)(low - from) * 2 * sizeof *b);
    if (high < to)
        memset(b + 2 * (high - half), 0, (size_t)(to - high) * 2 * sizeof *b);
}

/* b: the frame's windowed FFT. Leaves in a the windowed IQ between the edges. */
static void band_pass(struct at_framer *f)
{
    unsigned n = f->n, half = n / 2;
    clear(f->b, half, 0, f->lo);
    clear(f->b, half, f->hi, n);
    at_plan_run(f->inverse, f->b, f->a);
}

#define FREQ_STEPS AT_LOOPS_FREQ_STEPS
_Static_assert(FREQ_STEPS == 2 * AT_AUX_HIST + 1, "a column is an eighth of the bandwidth");

/* Sums of weights by bucket into out (n_out), times share; bucket numbers count from `first`, those
 * outside go to the ends. */
static void histogram(const struct at_framer *f, const float *weight, unsigned n_buckets,
                      unsigned first, float share, float *out)
{
    float sums[FREQ_STEPS];
    f->loops->histogram(f->bucket, weight, f->n, n_buckets, sums);
    for (unsigned k = 0; k < n_buckets; k++) {
        unsigned to = k < first ? 0 : k - first < AT_AUX_HIST ? k - first : AT_AUX_HIST - 1;
        out[to] += sums[k] * share;
    }
}

static void envelope(struct at_framer *f, float *aux)
{
    unsigned n = f->n;
    float s[2];
    f->loops->powers(f->a, f->inv_w2, n, f->weight, f->power);
    f->loops->sums2(f->power, f->in_w2, f->weight, n, s);
    float s2 = s[0], s4 = s[1], s0 = f->in_sum;
    if (!(s2 > 1e-30f) || !(s2 < 1e30f))
        return;
    float rms2 = s2 / s0, kurtosis = s4 / s0 / (rms2 * rms2), share = 1 / s0;
    aux[AT_AUX_KURTOSIS] = fminf(fmaxf(log2f(kurtosis), -1), 5);
    f->loops->buckets(f->power, n, 16 / rms2, AT_AUX_HIST - 1, f->bucket);
    histogram(f, f->in_w2, AT_AUX_HIST, 0, share, aux + AT_AUX_ENV);
}

/* A line near the border of two columns, such as a carrier amid its own edges, would fall into one
 * or the other by the noise of each frame, as if it were keyed between two frequencies. It counts
 * in its home, the column where it began, until it has gone a column from the middle of that. */
static void keep_home(struct at_framer *f, float mean, float std)
{
    const float column = 1.0f / AT_AUX_HIST, inner = column / 4;
    if (std > column / 2)
        return;
    if (!f->has_home || fabsf(mean - f->home) > column)
        f->home = (floorf(mean / column) + 0.5f) * column;
    f->has_home = true;
    float off = mean - f->home;
    if (fabsf(off) <= inner)
        return;
    float shift = (off < 0 ? -inner : inner) - off + 1;
    for (unsigned i = 0; i < f->n; i++) {
        float v = (f->phase[i] + shift) * AT_AUX_HIST;
        v = v > 0 ? v : 0;
        f->bucket[i] = (int32_t)(v < FREQ_STEPS - 1 ? v : FREQ_STEPS - 1);
    }
}

static void frequency(struct at_framer *f, float *aux)
{
    unsigned n = f->n;
    float *re = f->power, *im = f->b, *v = f->phase, *weight = f->weight, s[3];
    f->loops->turns(f->a, n, re, im);
    f->loops->frequency(re, im, n, f->f_lo + f->f_width / 2, 1 / f->f_width, v, weight, f->bucket);
    f->loops->sums3(weight, v, n, s);
    if (!(s[0] > 1e-30f) || !(s[0] < 1e30f))
        return;
    float share = 1 / s[0], mean = s[1] * share;
    float std = sqrtf(fmaxf(s[2] * share - mean * mean, 0));
    aux[AT_AUX_FREQ_STD] = std;
    keep_home(f, mean, std);
    histogram(f, weight, FREQ_STEPS, AT_AUX_HIST / 2, share, aux + AT_AUX_FREQ);
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
