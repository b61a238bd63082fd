/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/spectrum.h"

#include <errno.h>
#include <string.h>

#include "lib/base/pages.h"
#include "lib/dsp/loops.h"
#include "lib/dsp/plan.h"
#include "lib/dsp/window.h"

#define BATCH 1024 /* points */

int at_blocks_init(struct at_blocks *b, struct at_mem *mem, unsigned n, unsigned n_keep,
                   unsigned ahead)
{
    *b = (struct at_blocks){.mem = mem, .n = n, .advance = n / 2, .n_keep = n_keep, .ahead = ahead};
    b->plan = at_plan_get(n, AT_PLAN_FORWARD);
    b->in = at_mem_array(mem, AT_MEM_IQ, (n + (size_t)(ahead - 1) * b->advance) * 2, sizeof(float));
    b->spec = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)(n_keep + ahead) * n * 2, sizeof(float));
    if (!b->plan || !b->in || !b->spec) {
        at_blocks_finish(b);
        return -ENOMEM;
    }
    at_blocks_begin(b, 0);
    return 0;
}

void at_blocks_bring(const struct at_blocks *b)
{
    at_pages_bring(b->spec, (size_t)(b->n_keep + b->ahead) * b->n * 2 * sizeof(float));
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
    b->made = 0;
    b->fill = b->advance / 2;
    memset(b->in, 0, (size_t)b->fill * 2 * sizeof(float));
}

static float *place(const struct at_blocks *b, uint64_t seq)
{
    return b->spec + (size_t)(seq % (b->n_keep + b->ahead)) * b->n * 2;
}

size_t at_blocks_begin_making(struct at_blocks *b)
{
    b->made = b->fill < b->n ? 0 : (b->fill - b->n) / b->advance + 1;
    return b->made;
}

void at_blocks_make_one(const struct at_blocks *b, size_t i)
{
    at_plan_run(b->plan, b->in + 2 * i * b->advance, place(b, b->count + i));
    if (b->seen)
        b->seen(b->seen_ctx, i, place(b, b->count + i));
}

void at_blocks_end_making(struct at_blocks *b)
{
    b->fill -= b->made * b->advance;
    memmove(b->in, b->in + 2 * (size_t)b->made * b->advance, (size_t)b->fill * 2 * sizeof(float));
}

void at_blocks_make(struct at_blocks *b)
{
    size_t n = at_blocks_begin_making(b);
    for (size_t i = 0; i < n; i++)
        at_blocks_make_one(b, i);
    at_blocks_end_making(b);
}

bool at_blocks_next(struct at_blocks *b)
{
    if (b->made == 0)
        return false;
    b->made--;
    b->count++;
    return true;
}

size_t at_blocks_push(struct at_blocks *b, const float *iq, size_t n)
{
    size_t want = at_blocks_room(b), got = n < want ? n : want;
    if (iq != at_blocks_space(b))
        memcpy(at_blocks_space(b), iq, got * 2 * sizeof(float));
    b->fill += (unsigned)got;
    b->taken += got;
    return got;
}

int at_blocks_pad(struct at_blocks *b)
{
    if (b->count * b->advance >= b->taken)
        return 0;
    memset(b->in + 2 * (size_t)b->fill, 0, (size_t)(b->n - b->fill) * 2 * sizeof(float));
    b->fill = b->n;
    at_blocks_make(b);
    return at_blocks_next(b);
}

const float *at_blocks_get(const struct at_blocks *b, uint64_t seq)
{
    if (seq >= b->count || seq + b->n_keep < b->count)
        return NULL;
    return place(b, seq);
}

int at_stft_init(struct at_stft *s, struct at_mem *mem, unsigned n, unsigned looks, double rate_hz,
                 size_t max_rows)
{
    *s = (struct at_stft){.mem = mem,
                          .n = n,
                          .hop = n / 2,
                          .looks = looks,
                          .max_middles = max_rows ? (max_rows + 1) * looks : 0,
                          .plan = at_plan_get(n, AT_PLAN_FORWARD),
                          .loops = at_loops_best()};
    s->window = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    s->in = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 4, sizeof(float));
    s->batch = BATCH / n > 1 ? BATCH / n : 1;
    s->a = at_mem_array(mem, AT_MEM_IQ, (size_t)s->batch * n * 2, sizeof(float));
    s->b = at_mem_array(mem, AT_MEM_IQ, (size_t)s->batch * n * 2, sizeof(float));
    s->sum = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    if (max_rows)
        s->middle = at_mem_array_raw(mem, AT_MEM_IQ, s->max_middles * 6, sizeof(float));
    if (!s->plan || !s->window || !s->in || !s->a || !s->b || !s->sum || (max_rows && !s->middle)) {
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
    float **list[] = {&s->window, &s->in, &s->a, &s->b, &s->sum, &s->middle};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(s->mem, *list[i]);
        *list[i] = NULL;
    }
}

void at_stft_reset(struct at_stft *s)
{
    s->fill = s->part = 0;
    s->n_middles = 0;
}

static void keep_middle(const float *spec, unsigned n, float *middle)
{
    memcpy(middle, spec + 2 * (size_t)n - 2, 2 * sizeof *middle);
    memcpy(middle + 2, spec, 4 * sizeof *middle);
}

/* One spectrum (n, 2) into the row being made; true: out was written. */
static bool take(struct at_stft *s, const float *spec, float *out)
{
    if (s->n_middles < s->max_middles)
        keep_middle(spec, s->n, s->middle + 6 * s->n_middles++);
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
static void run(struct at_stft *s, const float *x, size_t count, float *rows, size_t max,
                size_t *made)
{
    size_t size = 2 * (size_t)s->n;
    while (count > 0) {
        size_t some = count < s->batch ? count : s->batch;
        for (size_t i = 0; i < some; i++)
            s->loops->window(x + 2 * i * s->hop, s->window, s->n, s->a + i * size);
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

void at_stft_row(const struct at_stft *s, const float *iq, float *row, float *middle)
{
    _Alignas(64) float a[2 * BATCH], b[2 * BATCH];
    size_t size = 2 * (size_t)s->n;
    for (size_t done = 0, some; done < s->looks; done += some) {
        some = s->looks - done < s->batch ? s->looks - done : s->batch;
        for (size_t i = 0; i < some; i++)
            s->loops->window(iq + 2 * (done + i) * s->hop, s->window, s->n, a + i * size);
        for (size_t i = 0; i < some; i++)
            at_plan_run(s->plan, a + i * size, b + i * size);
        for (size_t i = 0; i < some; i++, middle += 6) {
            keep_middle(b + i * size, s->n, middle);
            s->loops->power(b + i * size, s->n, s->scale / (float)s->looks, done + i > 0, row);
        }
    }
}

size_t at_stft_run(struct at_stft *s, const float *iq, size_t n, float *rows, size_t max)
{
    size_t made = 0, borrowed = n < s->n ? n : s->n, have = s->fill + borrowed;
    /* Those that begin before these samples, from a copy. */
    memcpy(s->in + 2 * (size_t)s->fill, iq, borrowed * 2 * sizeof(float));
    size_t count = (s->fill + s->hop - 1) / s->hop,
           fit = have < s->n ? 0 : (have - s->n) / s->hop + 1;
    count = count < fit ? count : fit;
    run(s, s->in, count, rows, max, &made);
    size_t at = count * s->hop;
    if (at < s->fill) { /* these samples were too few for the next */
        s->fill = (unsigned)(have - at);
        memmove(s->in, s->in + 2 * at, (size_t)s->fill * 2 * sizeof(float));
        return made;
    }
    at -= s->fill;
    count = n < at + s->n ? 0 : (n - at - s->n) / s->hop + 1;
    run(s, iq + 2 * at, count, rows, max, &made);
    at += count * s->hop;
    s->fill = (unsigned)(n - at);
    memcpy(s->in, iq + 2 * at, (size_t)s->fill * 2 * sizeof(float));
    return made;
}

/* Power in three bins of one spectrum without a constant, added to sum (3). */
static void add_middle(const float *middle, const float *dc, float n, float scale, float *sum)
{
    for (size_t i = 0; i < 3; i++) {
        float w = i == 1 ? n / 2 : -n / 4; /* Hann's own spectrum */
        float re = middle[2 * i] - w * dc[0], im = middle[2 * i + 1] - w * dc[1];
        sum[i] += (re * re + im * im) * scale;
    }
}

void at_stft_without(struct at_stft *s, const float *dc, float *rows, size_t t)
{
    bool any = dc[0] != 0 || dc[1] != 0;
    size_t done = s->n_middles - s->n_middles % s->looks;
    for (size_t r = 0; any && r < t && (r + 1) * s->looks <= done; r++) {
        float sum[3] = {0};
        for (size_t l = 0; l < s->looks; l++)
            add_middle(s->middle + 6 * (r * s->looks + l), dc, (float)s->n,
                       s->scale / (float)s->looks, sum);
        memcpy(rows + r * s->n + s->n / 2 - 1, sum, sizeof sum);
    }
    s->n_middles -= done;
    memmove(s->middle, s->middle + 6 * done, s->n_middles * 6 * sizeof(float));
}
