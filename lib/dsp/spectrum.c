/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/spectrum.h"

#include <errno.h>
#include <string.h>

#include "lib/dsp/plan.h"
#include "lib/dsp/window.h"

int at_blocks_init(struct at_blocks *b, struct at_mem *mem, unsigned n, unsigned n_keep)
{
    *b = (struct at_blocks){.mem = mem, .n = n, .advance = n / 2, .n_keep = n_keep};
    b->plan = at_plan_get(n, AT_PLAN_FORWARD);
    b->in = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    b->spec = at_mem_array(mem, AT_MEM_IQ, (size_t)n_keep * n * 2, sizeof(float));
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

int at_stft_init(struct at_stft *s, struct at_mem *mem, unsigned n, double rate_hz)
{
    *s =
        (struct at_stft){.mem = mem, .n = n, .hop = n / 2, .plan = at_plan_get(n, AT_PLAN_FORWARD)};
    s->window = at_mem_array(mem, AT_MEM_IQ, n, sizeof(float));
    s->in = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    s->a = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    s->b = at_mem_array(mem, AT_MEM_IQ, (size_t)n * 2, sizeof(float));
    if (!s->plan || !s->window || !s->in || !s->a || !s->b) {
        at_stft_finish(s);
        return -ENOMEM;
    }
    at_window_fill(AT_WINDOW_HANN, s->window, n);
    s->scale = (float)(1 / (rate_hz * at_window_power(s->window, n)));
    return 0;
}

void at_stft_finish(struct at_stft *s)
{
    at_mem_free(s->mem, s->window);
    at_mem_free(s->mem, s->in);
    at_mem_free(s->mem, s->a);
    at_mem_free(s->mem, s->b);
    s->window = s->in = s->a = s->b = NULL;
}

void at_stft_reset(struct at_stft *s)
{
    s->fill = 0;
}

static void row(struct at_stft *s, float *out)
{
    unsigned n = s->n, half = n / 2;
    for (unsigned i = 0; i < n; i++) {
        s->a[2 * i] = s->in[2 * i] * s->window[i];
        s->a[2 * i + 1] = s->in[2 * i + 1] * s->window[i];
    }
    at_plan_run(s->plan, s->a, s->b);
    for (unsigned i = 0; i < half; i++) {
        const float *neg = s->b + 2 * (i + half), *pos = s->b + 2 * i;
        out[i] = (neg[0] * neg[0] + neg[1] * neg[1]) * s->scale;
        out[i + half] = (pos[0] * pos[0] + pos[1] * pos[1]) * s->scale;
    }
}

size_t at_stft_push(struct at_stft *s, const float *iq, size_t n, float *out, int *ret_row)
{
    size_t want = s->n - s->fill, got = n < want ? n : want;
    memcpy(s->in + 2 * (size_t)s->fill, iq, got * 2 * sizeof(float));
    s->fill += (unsigned)got;
    *ret_row = s->fill == s->n;
    if (*ret_row) {
        row(s, out);
        s->fill = s->n - s->hop;
        memmove(s->in, s->in + 2 * (size_t)s->hop, (size_t)s->fill * 2 * sizeof(float));
    }
    return got;
}
