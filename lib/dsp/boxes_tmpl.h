/* The detector's part of loops.c, which alone includes this. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DSP_BOXES_TMPL_H
#define AT_DSP_BOXES_TMPL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/dsp/loops.h"

#define PIECE 256 /* values at once, on the stack */

/* Of values that are not negative, whose bits rise as they do; a NaN is above all. */
static inline int32_t highest_bits(const float *restrict x, size_t n, int32_t top)
{
    for (size_t k = 0; k < n; k++) {
        int32_t bits;
        memcpy(&bits, x + k, sizeof bits);
        top = bits > top ? bits : top;
    }
    return top;
}

static inline float of_bits(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* box = mean of last and block, which becomes last. Returns the highest. */
static inline int32_t pair(float *restrict last, const float *restrict block, unsigned n,
                           float *restrict box)
{
    int32_t top = 0;
    for (size_t k = 0; k < n; k++) {
        float mean = 0.5f * (last[k] + block[k]);
        int32_t bits;
        memcpy(&bits, &mean, sizeof bits);
        top = bits > top ? bits : top;
        box[k] = mean;
        last[k] = block[k];
    }
    return top;
}

static void highest(const float *restrict x, unsigned n, float *restrict best)
{
    for (size_t k = 0; k < n; k++)
        best[k] = best[k] > x[k] ? best[k] : x[k];
}

/* Most rows show nothing: bytes are touched only where one does. */
static void above(const float *restrict x, unsigned n, float limit, uint8_t *restrict hit)
{
    for (unsigned at = 0; at < n; at += PIECE) {
        unsigned m = n - at < PIECE ? n - at : PIECE;
        const float *restrict y = x + at;
        int32_t any = 0;
        for (size_t k = 0; k < m; k++)
            any |= y[k] > limit;
        for (size_t k = 0; any && k < m; k++)
            hit[at + k] |= y[k] > limit;
    }
}

static void leave(const uint8_t *restrict hit, unsigned n, float *restrict mask,
                  float *restrict weight)
{
    for (size_t k = 0; k < n; k++) {
        mask[k] = hit[k] ? 0 : mask[k];
        weight[k] = hit[k] ? 0 : weight[k];
    }
}

static float rooms(float *restrict sums, unsigned n, float least, float *restrict room)
{
    int32_t low = INT32_MAX;
    for (size_t j = 0; j + 1 < n; j++) {
        float left = sums[j] + sums[j + 1];
        room[j] = left < least ? INFINITY : left;
    }
    for (size_t j = 0; j + 1 < n; j++) {
        int32_t bits;
        memcpy(&bits, room + j, sizeof bits);
        low = bits < low ? bits : low;
    }
    for (size_t j = 0; j < n / 2; j++)
        sums[j] = sums[2 * j] + sums[2 * j + 1];
    return n > 1 ? of_bits(low) : INFINITY;
}

/* Whether any of count - 1 boxes, each of two neighbours of s, stands out; flag (count): in which
 * neighbour, j belongs to the boxes j - 1 and j. */
static int32_t flag_boxes(const float *restrict s, const float *restrict room, unsigned count,
                          float threshold, uint8_t *restrict flag)
{
    int32_t any = 0;
    for (size_t j = 0; j + 1 < count; j++)
        any |= s[j] + s[j + 1] > threshold * room[j];
    if (!any)
        return 0;
    flag[0] = s[0] + s[1] > threshold * room[0];
    for (size_t j = 1; j + 1 < count; j++)
        flag[j] =
            (s[j - 1] + s[j] > threshold * room[j - 1]) | (s[j] + s[j + 1] > threshold * room[j]);
    flag[count - 1] = s[count - 2] + s[count - 1] > threshold * room[count - 2];
    return 1;
}

static void spread(const uint8_t *restrict from, unsigned n, uint8_t *restrict to)
{
    for (size_t j = 0; j < n; j++) {
        to[2 * j] |= from[j];
        to[2 * j + 1] |= from[j];
    }
}

static void widen(const uint8_t *restrict from, unsigned n, uint8_t *restrict to)
{
    for (size_t j = 0; j < n; j++)
        to[2 * j] = to[2 * j + 1] = from[j];
}

/* Marks the bins of cells (n / per) with a flag; scratch (n). */
static void mark_bins(const uint8_t *flag, unsigned n, unsigned per, uint8_t *scratch,
                      uint8_t *restrict hit)
{
    for (unsigned h = per; h > 2; h /= 2) {
        unsigned count = n / h;
        widen(flag, count, scratch);
        flag = scratch;
        scratch += 2 * (size_t)count;
    }
    if (per > 1)
        spread(flag, n / 2, hit);
    for (size_t k = 0; per == 1 && k < n; k++)
        hit[k] |= flag[k];
}

static void join(const float *restrict from, unsigned n, float *restrict to)
{
    for (size_t j = 0; j < n; j++)
        to[j] = from[2 * j] + from[2 * j + 1];
}

/* A few at a time: what they become stays in the fastest cache. */
static inline int32_t gather_some(const float *restrict x, const float *restrict y, unsigned m,
                                  unsigned per, float *restrict out)
{
    float some[PIECE], sums[PIECE / 2], *from = some, *to = sums;
    float *restrict product = per == 1 ? out : some;
    for (size_t k = 0; k < m; k++)
        product[k] = x[k] * y[k];
    for (unsigned h = 2; h < per; h *= 2) {
        float *next = from;
        join(from, m / h, to);
        from = to;
        to = next;
    }
    if (per > 1)
        join(from, m / per, out);
    return highest_bits(out, m / per, 0);
}

static float gather(const float *restrict x, const float *restrict y, unsigned n, unsigned per,
                    float *restrict out)
{
    int32_t top = 0;
    for (unsigned at = 0; at < n; at += PIECE) {
        int32_t some =
            gather_some(x + at, y + at, n - at < PIECE ? n - at : PIECE, per, out + at / per);
        top = some > top ? some : top;
    }
    return of_bits(top);
}

static void boxes(const struct at_loops_boxes *b, const float *cells, const float *limits)
{
    const float *now = cells, *room = b->room;
    float *next = b->sums;
    uint8_t *flag[32]; /* per width: n / half of them; clearing all would take a fifth of all */
    flag[0] = b->flags;
    unsigned width = 0;
    uint32_t hits = 0; /* a bit per width */
    for (unsigned h = b->per; 2 * h <= b->most; h *= 2, width++) {
        unsigned count = b->n / h;
        flag[width + 1] = flag[width] + count;
        if (flag_boxes(now, room, count, limits[width], flag[width]))
            hits |= 1u << width;
        room += count;
        if (4 * h > b->most)
            break;
        join(now, count / 2, next);
        now = next;
        next += count / 2;
    }
    if (!hits)
        return;
    for (width = 31 - (unsigned)__builtin_clz(hits); width > 0; width--) {
        unsigned count = b->n / b->per >> width;
        if (!(hits >> (width - 1) & 1))
            memset(flag[width - 1], 0, 2 * (size_t)count);
        spread(flag[width], count, flag[width - 1]);
    }
    mark_bins(flag[0], b->n, b->per, b->flags + 2 * (size_t)(b->n / b->per), b->hit);
}

static void mark(const struct at_loops_pass *p, const float *cells, float top, size_t level)
{
    const float *limits = p->limits + level * p->n_widths;
    if (top <= p->bars[level])
        return;
    if (p->boxes.most < 2)
        above(cells, p->boxes.n, *limits, p->boxes.hit);
    else
        boxes(&p->boxes, cells, limits);
}

/* In one go: short rows are so many that calls took longer than the sums. */
static void durations(const struct at_loops_pass *p, const float *rows, size_t t)
{
    unsigned n = p->boxes.n, count = n / p->boxes.per;
    for (size_t i = 0; i < t; i++) {
        const float *block = p->cells;
        mark(p, p->cells, gather(rows + i * n, p->weight, n, p->boxes.per, p->cells), 0);
        for (unsigned k = 0; k < p->n_levels; k++) {
            float *box = p->box + (size_t)k * p->stride, *last = p->last + (size_t)k * p->stride;
            if (i >> k == 0) {
                memcpy(last, block, count * sizeof *last);
                break;
            }
            int32_t top = pair(last, block, count, box);
            mark(p, box, of_bits(top), k + 1);
            if (k == 1 && p->best)
                highest(box, n, p->best);
            if ((i >> k) % 2 == 0)
                break;
            block = box;
        }
    }
}

#endif
