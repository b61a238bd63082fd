/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/detect.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/lines.h"
#include "lib/dsp/loops.h"

#define HANN_SHARED       1.95 /* 1 + 2 (4/9 + 1/36): how many bins share their power through Hann */
#define MARGIN            10.0 /* of the false-alarm rate: boxes of many sizes are not one test */
#define MIN_EXCESS        1.6f /* a wide box stands 2 dB above the floor at least: noise is not flat */
#define MIN_EXCESS_NARROW 1.4f
#define RANGE             1e-3f /* edges lie within 30 dB of the peak */
#define SKIRT             4     /* of a run's width lies its skirt on either side */
#define BRIDGE            1.25  /* 1 dB over the floor stands at least what joins two ... */
#define BRIDGE_P          1e-3  /* ... and no noise, with this probability */
#define STEADY            2.0   /* 3 dB over the floor in any few rows: it is there all along */
#define FEW_ROWS          4     /* in so many rows: it may be a burst */
#define RISE              6.0f /* beyond them a new peak must rise by this much to be another region */
#define SPACING           0.15  /* of a region's width: how far apart the lobes of its skirts are */
#define LOBES             0.3   /* or of the way from its edge */
#define EVEN              10.0f /* 10 dB: and on both sides as high */

/* Boxes are tried narrow ones first; what they found is left out of the wider ones of a later pass.
 */
static const struct {
    unsigned least, most; /* widths, in powers of two */
} passes[] = {{1, 1}, {2, 4}, {8, 16}, {32, 256}};
enum { PASSES = sizeof passes / sizeof *passes };

int at_detector_init(struct at_detector *d, struct at_mem *mem, double rate_hz,
                     double false_per_hour, unsigned max_bins)
{
    /* Cells an hour, both maps half-overlapped, times the box sizes that are not contained in one
     * another. */
    double boxes = rate_hz * 3600 * 2 * 2 * 3;
    *d = (struct at_detector){.mem = mem,
                              .rate_hz = rate_hz,
                              .p = false_per_hour / boxes / MARGIN,
                              .max_bins = max_bins,
                              .loops = at_loops_best()};
    d->tail = at_floor_tail(d->p);
    d->cells = at_mem_array_raw(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->last = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)max_bins * AT_DETECT_LEVELS, sizeof(float));
    d->box = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)max_bins * AT_DETECT_LEVELS, sizeof(float));
    d->best = at_mem_array_raw(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->mask = at_mem_array_raw(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->weight = at_mem_array_raw(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->mean = at_mem_array_raw(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->sums = at_mem_array_raw(mem, AT_MEM_IQ, max_bins, sizeof(float));
    d->room = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)max_bins * 2, sizeof(float));
    d->hit = at_mem_array(mem, AT_MEM_IQ, max_bins, sizeof(uint8_t));
    d->flags = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)max_bins * 2, sizeof(uint8_t));
    d->narrow = at_mem_array(mem, AT_MEM_IQ, max_bins, sizeof(uint8_t));
    d->slowly = at_mem_array(mem, AT_MEM_IQ, max_bins, sizeof(uint8_t));
    if (!d->cells || !d->last || !d->box || !d->best || !d->mask || !d->weight || !d->mean ||
        !d->sums || !d->room || !d->hit || !d->flags || !d->narrow || !d->slowly) {
        at_detector_finish(d);
        return -ENOMEM;
    }
    return 0;
}

void at_detector_finish(struct at_detector *d)
{
    float **list[] = {&d->cells,  &d->last, &d->box,  &d->best, &d->mask,
                      &d->weight, &d->mean, &d->sums, &d->room};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        at_mem_free(d->mem, *list[i]);
    at_mem_free(d->mem, d->hit);
    at_mem_free(d->mem, d->flags);
    at_mem_free(d->mem, d->narrow);
    at_mem_free(d->mem, d->slowly);
    memset(d, 0, sizeof *d);
}

static float box_threshold(const struct at_detector *d, double rows, unsigned width)
{
    double k = rows * (width > 1 ? width / HANN_SHARED : 1);
    float t = (float)at_floor_gamma_above(k, d->tail);
    float least = width > 4 ? MIN_EXCESS : MIN_EXCESS_NARROW;
    return (t > least ? t : least) * (1 + d->doubt);
}

/* Widest box over n bins. */
static unsigned widest(unsigned n, unsigned most)
{
    return most < n / 2 ? most : n / 2;
}

/* Bins of a pass's cells: half its narrowest box. */
static unsigned cell_of(unsigned pass)
{
    return passes[pass].least > 1 ? passes[pass].least / 2 : 1;
}

/* What is free for boxes: mask (n), over the floor weight (n); and per width the bins of each box
 * that no narrower one hit; boxes of width w stand w / 2 apart. Infinite where fewer than half are
 * free. */
static void begin_pass(struct at_detector *d, const struct at_map *map, unsigned pass)
{
    unsigned n = map->n, per = cell_of(pass);
    for (unsigned k = 0; k < n && pass == 0; k++) {
        d->mask[k] = 1;
        d->weight[k] = 1 / map->floor[k];
    }
    if (pass == 0)
        return;
    d->loops->leave(d->hit, n, d->mask, d->weight);
    d->loops->gather(d->mask, d->mask, n, per, d->sums);
    float *room = d->room, *least = d->least;
    for (unsigned h = per; 2 * h <= widest(n, passes[pass].most); room += n / h, h *= 2)
        *least++ = d->loops->rooms(d->sums, n / h, (float)h, room);
}

/* Where no cell is above this, no box stands out, though it holds nothing but such cells in as
 * little room as there is. Cells of one bin are free or 0, so that as many count as there is room.
 */
static float bar_of(const struct at_detector *d, unsigned n, unsigned pass, const float *limits)
{
    unsigned per = cell_of(pass), i = 0;
    float bar = pass == 0 ? limits[0] : INFINITY;
    for (unsigned w = 2 * per; w <= widest(n, passes[pass].most); w *= 2, i++)
        bar = fminf(bar, per == 1 ? limits[i] : limits[i] * d->least[i] / (float)(w / per));
    return bar;
}

static struct at_loops_boxes boxes_of(const struct at_detector *d, unsigned n, unsigned pass)
{
    return (struct at_loops_boxes){.n = n,
                                   .per = cell_of(pass),
                                   .most = widest(n, passes[pass].most),
                                   .room = d->room,
                                   .sums = d->sums,
                                   .flags = d->flags,
                                   .hit = d->hit};
}

/* All boxes of this pass over a row (n), times weight (n); limits: threshold per width. */
static void mark_row(struct at_detector *d, const float *row, const float *weight, unsigned n,
                     unsigned pass, const float *limits)
{
    float top = d->loops->gather(row, weight, n, cell_of(pass), d->cells);
    const struct at_loops_boxes boxes = boxes_of(d, n, pass);
    if (top <= bar_of(d, n, pass, limits))
        return;
    if (pass == 0)
        d->loops->above(d->cells, n, limits[0], d->hit);
    else
        d->loops->boxes(&boxes, d->cells, limits);
}

/* The same over the average of earlier epochs: what it alone shows. */
static void mark_slow(struct at_detector *d, const float *slow, unsigned n, unsigned pass,
                      const float *limits)
{
    const uint8_t *hit = d->hit;
    uint8_t *restrict slowly = d->slowly; /* meanwhile 2: not hit before */
    for (unsigned k = 0; k < n; k++)
        slowly[k] |= (uint8_t)((hit[k] ^ 1) << 1);
    mark_row(d, slow, d->weight, n, pass, limits);
    for (unsigned k = 0; k < n; k++)
        slowly[k] = (uint8_t)((slowly[k] & 1) | (slowly[k] >> 1 & hit[k]));
}

static void make_limits(const struct at_detector *d, unsigned pass, double rows, float *limits)
{
    unsigned i = 0;
    for (unsigned w = passes[pass].least; w <= passes[pass].most; w *= 2)
        limits[i++] = box_threshold(d, rows, w);
}

/* Rows one by one and in pairs, fours, and so on, each pair half-overlapping the next. Boxes are
 * sums: those over wide cells need the cells alone of each mean. */
static void mark_map(struct at_detector *d, const struct at_map *map, unsigned pass)
{
    float limits[AT_DETECT_LEVELS + 1][AT_DETECT_WIDTHS], bars[AT_DETECT_LEVELS + 1];
    for (unsigned i = 0; i <= AT_DETECT_LEVELS; i++) {
        make_limits(d, pass, (double)map->looks * (1u << i), limits[i]);
        bars[i] = bar_of(d, map->n, pass, limits[i]);
    }
    const struct at_loops_pass p = {.boxes = boxes_of(d, map->n, pass),
                                    .weight = d->weight,
                                    .limits = limits[0],
                                    .bars = bars,
                                    .n_widths = AT_DETECT_WIDTHS,
                                    .n_levels = AT_DETECT_LEVELS,
                                    .stride = d->max_bins,
                                    .cells = d->cells,
                                    .last = d->last,
                                    .box = d->box,
                                    .best = pass == 0 ? d->best : NULL};
    d->loops->durations(&p, map->rows, map->t);
}

/* End of the bins from k on that stand alike in flags (n). */
static unsigned run_end(const uint8_t *flags, unsigned n, unsigned k)
{
    bool is = flags[k];
    while (k < n && (flags[k] != 0) == is)
        k++;
    return k;
}

/* Highest and lowest mean over the floor of a few rows in bins lo to hi. */
static double highest_rows(const struct at_map *map, unsigned lo, unsigned hi, double *ret_lowest)
{
    double highest = 0, sum = 0;
    *ret_lowest = INFINITY;
    for (size_t t = 0; t < map->t; t++) {
        const float *row = map->rows + t * map->n;
        for (unsigned k = lo; k < hi; k++)
            sum += (double)(row[k] / map->floor[k]);
        if (t % FEW_ROWS + 1 < FEW_ROWS && t + 1 < map->t)
            continue;
        sum /= (double)((t % FEW_ROWS + 1) * (hi - lo));
        highest = fmax(highest, sum);
        *ret_lowest = fmin(*ret_lowest, sum);
        sum = 0;
    }
    return highest;
}

static bool is_steady(const struct at_map *map, unsigned lo, unsigned hi)
{
    double lowest;
    highest_rows(map, lo, hi, &lowest);
    return lowest > STEADY;
}

/* What narrow boxes left of strong ones, a few bins at either side in a row or two, carries a wide
 * box over all that lies between two. Where both are there all along (those that come and go may be
 * one burst), that is one with them only if it stands over the floor itself, without these skirts.
 * d->narrow: hits of the narrower boxes. */
static void without_bridges(struct at_detector *d, const struct at_map *map)
{
    const uint8_t *narrow = d->narrow;
    unsigned n = map->n, from = narrow[0] ? 0 : run_end(narrow, n, 0);
    while (from < n) {
        unsigned end = run_end(narrow, n, from), lo = end,
                 hi = end < n ? run_end(narrow, n, end) : n;
        if (hi == n)
            return;
        unsigned below = end - from, above = run_end(narrow, n, hi) - hi;
        unsigned a = lo + below / SKIRT, b = hi > above / SKIRT ? hi - above / SKIRT : 0;
        if (a < b && memchr(d->hit + a, 1, b - a)) {
            double lowest, cells = map->looks * (double)FEW_ROWS * (b - a) / HANN_SHARED;
            double least = fmax(BRIDGE, at_floor_gamma_threshold(cells, BRIDGE_P));
            if (highest_rows(map, a, b, &lowest) < least * (1 + (double)d->doubt) &&
                (is_steady(map, from, end) && is_steady(map, hi, hi + above)))
                memset(d->hit + a, 0, b - a);
        }
        from = hi;
    }
}

static void mean_ratio(const struct at_map *map, float *out)
{
    for (unsigned k = 0; k < map->n; k++)
        out[k] = map->sum[k] / (map->floor[k] * (float)map->t);
}

static bool is_long(const struct at_map *map)
{
    return map->hop / map->looks > 256;
}

/* A run of hits that is cut into regions: [a, b) are the bins around its highest. */
struct run {
    const struct at_detector *d;
    const struct at_map *map;
    const float *level;
    unsigned a, b;
    struct at_region *out;
    size_t n, max;
};

/* A peak of the skirts of [a, b) rather than another emission's: close to `valley`, where the last
 * one ended, and its mirror image about the middle is about as high. What a transmitter makes
 * beside its band is as even as what it sends; neighbours have valleys of their own width before
 * them. */
static bool is_lobe(const struct run *r, unsigned valley, unsigned peak)
{
    int a = (int)r->a, b = (int)r->b, at = (int)peak, image = a + b - 1 - at;
    int away = at < a ? a - at : at - b + 1;
    int near = (int)fmax(fmax(SPACING * (b - a), LOBES * away), 3);
    if (abs(at - (int)valley) > near)
        return false;
    for (int k = image - near / 2; k <= image + near / 2; k++)
        if (k >= 0 && k < (int)r->map->n && r->level[k] * EVEN > r->level[peak])
            return true;
    return false;
}

static bool rises(const struct run *r, unsigned lo, unsigned hi, unsigned valley)
{
    for (unsigned k = lo; k < hi; k++)
        if (r->level[k] > RISE * r->level[valley])
            return true;
    return false;
}

/* One region around the highest of [lo, hi), edges within 30 dB of it, appended; then what is left
 * on both sides, where it rises anew. valley: what parts it from the run's highest. */
static void split(struct run *r, unsigned lo, unsigned hi, unsigned valley, int depth)
{
    const struct at_detector *d = r->d;
    const float *level = r->level;
    unsigned peak = lo;
    for (unsigned k = lo; k < hi; k++)
        peak = level[k] > level[peak] ? k : peak;
    if (lo >= hi || r->n >= r->max || depth > 8)
        return;
    unsigned a = lo, b = hi;
    while (a < peak && level[a] < level[peak] * RANGE)
        a++;
    while (b > peak + 1 && level[b - 1] < level[peak] * RANGE)
        b--;
    bool faint = true;
    for (unsigned k = a; k < b && faint; k++)
        faint = !d->hit[k] || d->slowly[k];
    if (depth == 0) {
        r->a = a;
        r->b = b;
    }
    double bin = d->rate_hz / r->map->n, mid = 0.5 * r->map->n;
    r->out[r->n++] = (struct at_region){.f_lo_hz = (a - mid - 0.5) * bin,
                                        .f_hi_hz = (b - mid - 0.5) * bin,
                                        .peak_hz = (peak - mid) * bin,
                                        .peak = level[peak],
                                        .faint = faint,
                                        .is_lobe = depth > 0 && is_lobe(r, valley, peak),
                                        .is_long = is_long(r->map)};
    /* Skirts fall away from the edges; what rises again is another one, or their lobes. */
    unsigned low = a, high = b;
    for (unsigned k = a; k-- > lo;)
        if (level[k] < level[low])
            low = k;
        else if (level[k] > RISE * level[low])
            break;
    for (unsigned k = b; k < hi; k++)
        if (level[k] < level[high < hi ? high : b - 1])
            high = k;
    if (low > lo && rises(r, lo, low, low))
        split(r, lo, low, low, depth + 1);
    if (high + 1 < hi && rises(r, high + 1, hi, high))
        split(r, high + 1, hi, high, depth + 1);
}

/* Runs of hits, holes up to `hole` bins closed, grown while the level stands above `grow`. */
static size_t collect(const struct at_detector *d, const struct at_map *map, const float *level,
                      float grow, unsigned hole, struct at_region *out, size_t max)
{
    struct run run = {.d = d, .map = map, .level = level, .out = out, .max = max};
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
        split(&run, lo, hi, lo, 0);
        end = k = hi;
    }
    return run.n;
}

size_t at_detector_run(struct at_detector *d, const struct at_map *map, const float *slow,
                       double slow_rows, struct at_region *out, size_t max)
{
    unsigned n = map->n;
    if (map->t == 0)
        return 0;
    memset(d->hit, 0, n);
    memset(d->slowly, 0, n);
    memset(d->best, 0, n * sizeof(float));
    float limits[AT_DETECT_WIDTHS], *mean = d->mean;
    double looks = map->looks;
    mean_ratio(map, mean);
    for (unsigned pass = 0; pass < PASSES; pass++) {
        if (pass + 1 == PASSES)
            memcpy(d->narrow, d->hit, n);
        begin_pass(d, map, pass);
        mark_map(d, map, pass);
        make_limits(d, pass, looks * (double)map->t, limits);
        mark_row(d, mean, d->mask, n, pass, limits);
        if (!slow)
            continue;
        make_limits(d, pass, looks * slow_rows, limits);
        mark_slow(d, slow, n, pass, limits);
    }
    without_bridges(d, map);
    /* Bursts by the highest mean of four rows, steady ones by the mean of all: whatever stands
     * higher above its own noise. */
    float noise4 = (float)at_floor_gamma_threshold(4 * looks, 1e-3 / (double)(map->t / 4 + 1));
    float noise_all = fmaxf(2, (float)at_floor_gamma_threshold(looks * (double)map->t, 1e-3));
    for (unsigned k = 0; k < n; k++) {
        float a = map->t >= 4 ? d->best[k] / noise4 : 0, b = mean[k] / noise_all;
        d->best[k] = a > b ? a : b;
    }
    struct at_region lines[AT_LINES_MAX];
    size_t n_lines =
        is_long(map) && !d->clipped ? at_lines_lift(map, d->rate_hz, mean, d->best, lines) : 0;
    size_t n_out = collect(d, map, d->best, 1, n > 1024 ? 3 : 2, out, max);
    for (size_t i = 0; i < n_lines && n_out < max; i++)
        out[n_out++] = lines[i];
    return n_out;
}
