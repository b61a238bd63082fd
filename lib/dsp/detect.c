/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/detect.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"

#define HANN_SHARED       1.95 /* 1 + 2 (4/9 + 1/36): how many bins share their power through Hann */
#define MARGIN            10.0 /* of the false-alarm rate: boxes of many sizes are not one test */
#define MIN_EXCESS        1.6f /* a wide box stands 2 dB above the floor at least: noise is not flat */
#define MIN_EXCESS_NARROW 1.4f
#define RANGE             1e-3f /* edges lie within 30 dB of the peak */
#define RISE              6.0f /* beyond them a new peak must rise by this much to be another region */

static const unsigned widths[] = {1, 4, 16, 64, 256};
static const unsigned durations[] = {1, 4, 16};

int at_detector_init(struct at_detector *d, struct at_mem *mem, double rate_hz,
                     double false_per_hour, unsigned max_bins)
{
    /* Cells an hour, both maps half-overlapped, times the box sizes that are not contained in one
     * another. */
    double boxes = rate_hz * 3600 * 2 * 2 * 3;
    *d = (struct at_detector){
        .mem = mem, .rate_hz = rate_hz, .p = false_per_hour / boxes / MARGIN, .max_bins = max_bins};
    d->ratio = at_mem_array(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->group = at_mem_array(mem, AT_MEM_IQ, (size_t)max_bins * 3, sizeof(float));
    d->best = at_mem_array(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->prefix = at_mem_array(mem, AT_MEM_IQ, max_bins + 1, sizeof(float));
    d->hit = at_mem_array(mem, AT_MEM_IQ, max_bins, sizeof(uint8_t));
    d->free_bins = at_mem_array(mem, AT_MEM_IQ, max_bins + 1, sizeof(uint32_t));
    if (!d->ratio || !d->group || !d->best || !d->prefix || !d->hit || !d->free_bins) {
        at_detector_finish(d);
        return -ENOMEM;
    }
    return 0;
}

void at_detector_finish(struct at_detector *d)
{
    at_mem_free(d->mem, d->ratio);
    at_mem_free(d->mem, d->group);
    at_mem_free(d->mem, d->best);
    at_mem_free(d->mem, d->prefix);
    at_mem_free(d->mem, d->hit);
    at_mem_free(d->mem, d->free_bins);
    memset(d, 0, sizeof *d);
}

static float box_threshold(const struct at_detector *d, double rows, unsigned width)
{
    double k = rows * (width > 1 ? width / HANN_SHARED : 1);
    float t = (float)at_floor_gamma_threshold(k, d->p);
    float least = width > 4 ? MIN_EXCESS : MIN_EXCESS_NARROW;
    return (t > least ? t : least) * (1 + d->doubt);
}

/* Boxes of this width over one averaged row; bins hit before by narrower boxes are left out of
 * them. */
static void mark_wide(struct at_detector *d, const float *row, unsigned n, double rows,
                      unsigned width)
{
    float threshold = box_threshold(d, rows, width);
    double sum = 0;
    d->prefix[0] = 0;
    for (unsigned k = 0; k < n; k++) {
        sum += d->hit[k] & 1 ? 0 : row[k];
        d->prefix[k + 1] = (float)sum;
    }
    for (unsigned k = 0; k + width <= n; k += width / 2) {
        unsigned left = d->free_bins[k + width] - d->free_bins[k];
        if (2 * left < width || d->prefix[k + width] - d->prefix[k] < threshold * (float)left)
            continue;
        for (unsigned i = k; i < k + width; i++)
            d->hit[i] |= 2;
    }
}

static void mark_row(struct at_detector *d, const float *row, unsigned n, double rows,
                     unsigned width, float narrow)
{
    if (width > 1) {
        mark_wide(d, row, n, rows, width);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        d->hit[k] |= row[k] > narrow ? 2 : 0;
}

/* One pass over all rows with boxes of one width and each duration. Leaves in best the highest mean
 * of 4 rows (of all, where there are fewer). */
static void mark_map(struct at_detector *d, const struct at_map *map, unsigned width)
{
    unsigned n = map->n;
    float narrow[3], *sum[3];
    for (unsigned i = 0; i < 3; i++) {
        narrow[i] = box_threshold(d, durations[i], 1);
        sum[i] = d->group + (size_t)i * d->max_bins;
        memset(sum[i], 0, n * sizeof(float));
    }
    for (size_t t = 0; t < map->t; t++) {
        const float *row = map->rows + t * n;
        for (unsigned k = 0; k < n; k++)
            d->ratio[k] = row[k] / map->floor[k];
        mark_row(d, d->ratio, n, 1, width, narrow[0]);
        for (unsigned k = 0; k < n; k++)
            sum[1][k] += d->ratio[k] * 0.25f;
        if (t % 4 != 3)
            continue;
        mark_row(d, sum[1], n, 4, width, narrow[1]);
        for (unsigned k = 0; k < n; k++) {
            d->best[k] = d->best[k] > sum[1][k] ? d->best[k] : sum[1][k];
            sum[2][k] += sum[1][k] * 0.25f;
            sum[1][k] = 0;
        }
        if (t % 16 == 15) {
            mark_row(d, sum[2], n, 16, width, narrow[2]);
            memset(sum[2], 0, n * sizeof(float));
        }
    }
}

static void mean_ratio(const struct at_map *map, float *out)
{
    memset(out, 0, map->n * sizeof *out);
    for (size_t t = 0; t < map->t; t++)
        for (unsigned k = 0; k < map->n; k++)
            out[k] += map->rows[t * map->n + k];
    for (unsigned k = 0; k < map->n; k++)
        out[k] /= map->floor[k] * (float)map->t;
}

static void count_free(struct at_detector *d, unsigned n)
{
    d->free_bins[0] = 0;
    for (unsigned k = 0; k < n; k++) {
        d->hit[k] |= d->hit[k] & 2 ? 1 : 0;
        d->free_bins[k + 1] = d->free_bins[k] + !(d->hit[k] & 1);
    }
}

/* One region around the highest of [lo, hi), edges within 30 dB of it, appended; then what is left
 * on both sides, where it rises anew. */
static size_t split(const struct at_detector *d, const struct at_map *map, const float *level,
                    unsigned lo, unsigned hi, struct at_region *out, size_t n_out, size_t max,
                    int depth)
{
    unsigned peak = lo;
    for (unsigned k = lo; k < hi; k++)
        peak = level[k] > level[peak] ? k : peak;
    if (lo >= hi || n_out >= max || depth > 8)
        return n_out;
    unsigned a = lo, b = hi;
    while (a < peak && level[a] < level[peak] * RANGE)
        a++;
    while (b > peak + 1 && level[b - 1] < level[peak] * RANGE)
        b--;
    double bin = d->rate_hz / map->n;
    out[n_out++] = (struct at_region){.f_lo_hz = (a - 0.5 * map->n - 0.5) * bin,
                                      .f_hi_hz = (b - 0.5 * map->n - 0.5) * bin,
                                      .peak_hz = ((double)peak - 0.5 * map->n) * bin,
                                      .peak = level[peak],
                                      .is_long = map->hop > 256};
    /* Skirts fall away from the edges; what rises again is another one. */
    unsigned low = a, high = b;
    for (unsigned k = a; k-- > lo;)
        if (level[k] < level[low])
            low = k;
        else if (level[k] > RISE * level[low])
            break;
    for (unsigned k = b; k < hi; k++)
        if (level[k] < level[high < hi ? high : b - 1])
            high = k;
    float m = 0;
    for (unsigned k = lo; k < low; k++)
        m = level[k] > m ? level[k] : m;
    if (low > lo && m > RISE * level[low])
        n_out = split(d, map, level, lo, low, out, n_out, max, depth + 1);
    m = 0;
    for (unsigned k = high + 1; k < hi; k++)
        m = level[k] > m ? level[k] : m;
    if (high + 1 < hi && m > RISE * level[high])
        n_out = split(d, map, level, high + 1, hi, out, n_out, max, depth + 1);
    return n_out;
}

/* Runs of hits, holes up to `hole` bins closed, grown while the level stands above `grow`. */
static size_t collect(const struct at_detector *d, const struct at_map *map, const float *level,
                      float grow, unsigned hole, struct at_region *out, size_t max)
{
    size_t n_out = 0;
    unsigned n = map->n, end = 0;
    for (unsigned k = 0; k < n;) {
        if (!d->hit[k]) {
            k++;
            continue;
        }
        unsigned lo = k, hi = k + 1;
        for (unsigned i = hi; i < n && i <= hi + hole; i++)
            if (d->hit[i] || level[i] > grow)
                hi = i + 1;
        while (lo > end && level[lo - 1] > grow)
            lo--;
        n_out = split(d, map, level, lo, hi, out, n_out, max, 0);
        end = k = hi;
    }
    return n_out;
}

size_t at_detector_run(struct at_detector *d, const struct at_map *map, const float *slow,
                       double slow_rows, struct at_region *out, size_t max)
{
    unsigned n = map->n;
    if (map->t == 0)
        return 0;
    memset(d->hit, 0, n);
    memset(d->best, 0, n * sizeof(float));
    float *mean = d->group + 2 * (size_t)d->max_bins; /* free again after each mark_map */
    for (unsigned i = 0; i < sizeof widths / sizeof *widths && widths[i] <= n / 4; i++) {
        count_free(d, n);
        mark_map(d, map, widths[i]);
        mean_ratio(map, mean);
        mark_row(d, mean, n, (double)map->t, widths[i], box_threshold(d, (double)map->t, 1));
        if (!slow)
            continue;
        for (unsigned k = 0; k < n; k++)
            d->ratio[k] = slow[k] / map->floor[k];
        mark_row(d, d->ratio, n, slow_rows, widths[i], box_threshold(d, slow_rows, 1));
    }
    /* Bursts by the highest mean of four rows, steady ones by the mean of all: whatever stands
     * higher above its own noise. */
    float noise4 = (float)at_floor_gamma_threshold(4, 1e-3 / (double)(map->t / 4 + 1));
    float noise_all = fmaxf(2, (float)at_floor_gamma_threshold((double)map->t, 1e-3));
    for (unsigned k = 0; k < n; k++) {
        float a = map->t >= 4 ? d->best[k] / noise4 : 0, b = mean[k] / noise_all;
        d->best[k] = a > b ? a : b;
    }
    return collect(d, map, d->best, 1, n > 1024 ? 3 : 2, out, max);
}
