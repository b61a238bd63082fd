/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/spectrum.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/dsp/loops.h"
#include "lib/dsp/plan.h"
#include "lib/dsp/window.h"

#define BATCH 1024 /* points */

int at_blocks_init(struct at_blocks *b, struct at_mem *mem, unsigned n, unsigned n_keep)
{
    *b = (struct at_blocks){.mem = mem, .n = n, .advance = n / 2, .n_keep = n_keep};
    b->plan = at_plan_get(n, AT_PLAN_FORWARD);
    b->in = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    b->spec = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)n_keep * n * 2, sizeof(float));
    if (!b->plan || !b->in || !b->spec) {
        at_blocks_finish(b);
        return -ENOMEM;
    }
    at_blocks_begin(b, 0);
    return 0;
}

void at_blocks_finish(struct at_blocks *b)
{
    at_mem_free(b->mem, b->in);
    at_mem_free(b->mem, b->spec);
    b->in = b->spec = NULL;
}

void at_blocks_begin(struct at_blocks *b, uint64_t index)
{
    b->index = index;
    b->taken = b->count = 0;
    b->fill = b->advance / 2;
    memset(b->in, 0, (size_t)b->fill * 2 * sizeof(float));
}

static void make(struct at_blocks *b)
{
    at_plan_run(b->plan, b->in, b->spec + (size_t)(b->count % b->n_keep) * b->n * 2);
    b->count++;
    b->fill = b->n - b->advance;
    memmove(b->in, b->in + 2 * (size_t)b->advance, (size_t)b->fill * 2 * sizeof(float));
}

size_t at_blocks_push(struct at_blocks *b, const float *iq, size_t n, int *ret_made)
{
    size_t want = b->n - b->fill, got = n < want ? n : want;
    memcpy(b->in + 2 * (size_t)b->fill, iq, got * 2 * sizeof(float));
    b->fill += (unsigned)got;
    b->taken += got;
    *ret_made = b->fill == b->n;
    if (*ret_made)
        make(b);
    return got;
}

int at_blocks_pad(struct at_blocks *b)
{
    if (b->count * b->advance >= b->taken)
        return 0;
    memset(b->in + 2 * (size_t)b->fill, 0, (size_t)(b->n - b->fill) * 2 * sizeof(float));
    make(b);
    return 1;
}

const float *at_blocks_get(const struct at_blocks *b, uint64_t seq)
{
    if (seq >= b->count || seq + b->n_keep < b->count)
        return NULL;
    return b->spec + (size_t)(seq % b->n_keep) * b->n * 2;
}

int at_stft_init(struct at_stft *s, struct at_mem *mem, unsigned n, unsigned looks, double rate_hz)
{
    *s = (struct at_stft){.mem = mem,
                          .n = n,
                          .hop = n / 2,
                          .looks = looks,
                          .plan = at_plan_get(n, AT_PLAN_FORWARD),
                          .loops = at_loops_best()};
    s->window = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    s->in = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 4, sizeof(float));
    s->batch = BATCH / n > 1 ? BATCH / n : 1;
    s->a = at_mem_array(mem, AT_MEM_IQ, (size_t)s->batch * n * 2, sizeof(float));
    s->b = at_mem_array(mem, AT_MEM_IQ, (size_t)s->batch * n * 2, sizeof(float));
    s->sum = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    if (!s->plan || !s->window || !s->in || !s->a || !s->b || !s->sum) {
        at_stft_finish(s);
        return -ENOMEM;
    }
    at_window_fill(AT_WINDOW_HANN, s->a, n);
    s->scale = (float)(1 / (rate_hz * at_window_power(s->a, n)));
    for (unsigned i = 0; i < 2 * n; i++)
        s->window[i] = s->a[i / 2];
    return 0;
}

void at_stft_finish(struct at_stft *s)
{
    float **list[] = {&s->window, &s->in, &s->a, &s->b, &s->sum};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(s->mem, *list[i]);
        *list[i] = NULL;
    }
}

void at_stft_reset(struct at_stft *s)
{
    s->fill = s->part = 0;
}

/* One spectrum (n, 2) into the row being made; true: out was written. */
static bool take(struct at_stft *s, const float *spec, float *out)
{
    if (s->looks == 1) {
        s->loops->power(spec, s->n, s->scale, 0, out);
        return true;
    }
    s->loops->power(spec, s->n, s->scale / (float)s->looks, s->part > 0, s->sum);
    s->part = s->part + 1 == s->looks ? 0 : s->part + 1;
    if (s->part == 0)
        memcpy(out, s->sum, s->n * sizeof *out);
    return s->part == 0;
}

/* `count` spectra of x, a hop apart; rows as in at_stft_run(), of which *made are there. */
static void run(struct at_stft *s, const float *x, size_t count, const float *dc, float *rows,
                size_t max, size_t *made)
{
    size_t size = 2 * (size_t)s->n;
    while (count > 0) {
        size_t some = count < s->batch ? count : s->batch;
        for (size_t i = 0; i < some; i++)
            s->loops->window(x + 2 * i * s->hop, dc, s->window, s->n, s->a + i * size);
        for (size_t i = 0; i < some; i++)
            at_plan_run(s->plan, s->a + i * size, s->b + i * size);
        for (size_t i = 0; i < some; i++) {
            bool room = *made < max;
            *made += take(s, s->b + i * size, room ? rows + *made * s->n : s->a) && room;
        }
        x += 2 * some * s->hop;
        count -= some;
    }
}

size_t at_stft_run(struct at_stft *s, const float *iq, size_t n, const float *dc, float *rows,
                   size_t max)
{
    static const float none[2];
    size_t made = 0, borrowed = n < s->n ? n : s->n, have = s->fill + borrowed;
    /* Those that begin before these samples, from a copy, which has no DC any more. */
    float *more = s->in + 2 * (size_t)s->fill;
    for (size_t i = 0; i < borrowed; i++) {
        more[2 * i] = iq[2 * i] - dc[0];
        more[2 * i + 1] = iq[2 * i + 1] - dc[1];
    }
    size_t count = (s->fill + s->hop - 1) / s->hop,
           fit = have < s->n ? 0 : (have - s->n) / s->hop + 1;
    count = count < fit ? count : fit;
    run(s, s->in, count, none, rows, max, &made);
    size_t at = count * s->hop;
    if (at < s->fill) { /* these samples were too few for the next */
        s->fill = (unsigned)(have - at);
        memmove(s->in, s->in + 2 * at, (size_t)s->fill * 2 * sizeof(float));
        return made;
    }
    at -= s->fill;
    count = n < at + s->n ? 0 : (n - at - s->n) / s->hop + 1;
    run(s, iq + 2 * at, count, dc, rows, max, &made);
    at += count * s->hop;
    s->fill = (unsigned)(n - at);
    for (unsigned i = 0; i < s->fill; i++) {
        s->in[2 * i] = iq[2 * (at + i)] - dc[0];
        s->in[2 * i + 1] = iq[2 * (at + i) + 1] - dc[1];
    }
    return made;
}
