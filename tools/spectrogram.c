/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/spectrogram.h"

#include <errno.h>
#include <fftw3.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct at_spectrogram {
    double rate_hz;
    size_t n_bins;
    uint64_t step;     /* samples between FFTs */
    uint64_t row_step; /* samples of a row, a multiple of step */
    float *window;     /* (n_bins), sum of squares 1 / rate: densities come out per Hz */
    float *held;       /* (n_bins, 2) newest samples, not yet whole */
    size_t n_held;
    uint64_t next; /* index of the sample after them */
    float *sum;    /* (AT_SPECTROGRAM_ROWS, n_bins) */
    uint32_t *count;
    size_t n_rows;
    fftwf_complex *buffer;
    fftwf_plan plan;
};

static size_t pick_bins(uint64_t n_samples)
{
    size_t n = 64;
    uint64_t guess = n_samples ? n_samples : 1 << 20;
    while (n < 1024 && (double)n < sqrt((double)guess))
        n *= 2;
    return n;
}

int at_spectrogram_create(double rate_hz, uint64_t n_samples, struct at_spectrogram **ret)
{
    struct at_spectrogram *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->rate_hz = rate_hz;
    size_t n = s->n_bins = pick_bins(n_samples);
    uint64_t row = n_samples / AT_SPECTROGRAM_ROWS + 1;
    s->step = row < n / 16 ? n / 16 : row > n / 2 ? n / 2 : row;
    s->row_step = (row + s->step - 1) / s->step * s->step;
    s->window = calloc(n, sizeof(*s->window));
    s->held = calloc(2 * n, sizeof(*s->held));
    s->sum = calloc(AT_SPECTROGRAM_ROWS * n, sizeof(*s->sum));
    s->count = calloc(AT_SPECTROGRAM_ROWS, sizeof(*s->count));
    s->buffer = fftwf_alloc_complex(n);
    if (s->buffer)
        s->plan = fftwf_plan_dft_1d((int)n, s->buffer, s->buffer, FFTW_FORWARD, FFTW_ESTIMATE);
    if (!s->window || !s->held || !s->sum || !s->count || !s->plan) {
        at_spectrogram_destroy(s);
        return -ENOMEM;
    }
    double power = 0;
    for (size_t i = 0; i < n; i++) {
        double w = 0.5 - 0.5 * cos(2 * M_PI * ((double)i + 0.5) / (double)n);
        s->window[i] = (float)w;
        power += w * w;
    }
    for (size_t i = 0; i < n; i++)
        s->window[i] *= (float)(1 / sqrt(power * rate_hz));
    *ret = s;
    return 0;
}

void at_spectrogram_destroy(struct at_spectrogram *s)
{
    if (!s)
        return;
    if (s->plan)
        fftwf_destroy_plan(s->plan);
    fftwf_free(s->buffer);
    free(s->window);
    free(s->held);
    free(s->sum);
    free(s->count);
    free(s);
}

static void merge_pairs(struct at_spectrogram *s)
{
    for (size_t i = 0; i < AT_SPECTROGRAM_ROWS; i++) {
        float *to = s->sum + i / 2 * s->n_bins, *from = s->sum + i * s->n_bins;
        for (size_t k = 0; k < s->n_bins; k++)
            to[k] = i % 2 ? to[k] + from[k] : from[k];
        s->count[i / 2] = i % 2 ? s->count[i / 2] + s->count[i] : s->count[i];
    }
    size_t half = AT_SPECTROGRAM_ROWS / 2;
    memset(s->sum + half * s->n_bins, 0, half * s->n_bins * sizeof(*s->sum));
    memset(s->count + half, 0, half * sizeof(*s->count));
    s->n_rows = (s->n_rows + 1) / 2;
    s->row_step *= 2;
}

/* One FFT over the held samples, added to the row its middle lies in. */
static void add_fft(struct at_spectrogram *s)
{
    size_t n = s->n_bins;
    uint64_t middle = s->next - n / 2;
    while (middle / s->row_step >= AT_SPECTROGRAM_ROWS)
        merge_pairs(s);
    size_t row = (size_t)(middle / s->row_step);
    for (size_t i = 0; i < n; i++) {
        s->buffer[i][0] = s->held[2 * i] * s->window[i];
        s->buffer[i][1] = s->held[2 * i + 1] * s->window[i];
    }
    fftwf_execute(s->plan);
    float *sum = s->sum + row * n;
    for (size_t i = 0; i < n; i++) {
        const float *x = s->buffer[(i + n / 2) % n];
        sum[i] += x[0] * x[0] + x[1] * x[1];
    }
    s->count[row]++;
    if (row >= s->n_rows)
        s->n_rows = row + 1;
}

void at_spectrogram_push(struct at_spectrogram *s, const float *iq, size_t n, uint64_t index)
{
    if (index != s->next)
        s->n_held = 0;
    s->next = index;
    while (n > 0) {
        size_t part = s->n_bins - s->n_held;
        if (part > n)
            part = n;
        memcpy(s->held + 2 * s->n_held, iq, 2 * part * sizeof(*iq));
        s->n_held += part;
        s->next += part;
        iq += 2 * part;
        n -= part;
        if (s->n_held < s->n_bins)
            return;
        add_fft(s);
        s->n_held = s->n_bins - (size_t)s->step;
        memmove(s->held, s->held + 2 * s->step, 2 * s->n_held * sizeof(*s->held));
    }
}

int at_spectrogram_get(const struct at_spectrogram *s, float **ret_dbfs_hz, size_t *ret_rows,
                       size_t *ret_bins, double *ret_row_s)
{
    if (s->n_rows == 0)
        return -ENODATA;
    float *out = calloc(s->n_rows * s->n_bins, sizeof(*out));
    if (!out)
        return -ENOMEM;
    for (size_t r = 0; r < s->n_rows; r++)
        for (size_t i = 0; i < s->n_bins; i++) {
            float sum = s->sum[r * s->n_bins + i];
            out[r * s->n_bins + i] =
                s->count[r] ? 10 * log10f(sum / (float)s->count[r] + 1e-24f) : NAN;
        }
    *ret_dbfs_hz = out;
    *ret_rows = s->n_rows;
    *ret_bins = s->n_bins;
    *ret_row_s = (double)s->row_step / s->rate_hz;
    return 0;
}
