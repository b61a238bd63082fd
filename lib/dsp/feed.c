/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/feed.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/frames.h"

#define BATCH    64 /* tokens after which they are handed over */
#define MAX_CUTS 64

/* Tokens that are handed over together. */
struct cut {
    unsigned n;
    uint64_t index; /* one past the last sample of their newest */
    uint64_t block; /* that brought it */
};

struct at_feed {
    struct at_mem *mem;
    struct at_feed_config config;
    struct at_channel *channel;
    struct at_framer *framer;
    unsigned columns, hop;
    unsigned step; /* band samples to one of the channel */
    uint64_t next_block;
    uint64_t from;   /* the first that is wanted */
    uint64_t done;   /* one past the newest that went into the framer */
    uint64_t newest; /* one past the last one of the newest token that was kept */
    float *iq;       /* (block samples, 2) */
    float *batch;    /* (room + 1, columns) waiting for the sink, then the one being made */
    unsigned n_batch, room;
    unsigned worst;         /* that one block may bring */
    unsigned n_cut, n_cuts; /* tokens in cuts; cuts */
    struct cut cuts[MAX_CUTS];
    uint64_t frames; /* made since stats were told */
    float *held;     /* (AT_FEED_AROUND, columns) newest silent tokens, a ring */
    unsigned n_held, next_held;
    uint64_t skipped; /* silent ones let go since the newest that was kept */
    unsigned after;   /* silent ones still due after the burst */
    float threshold;  /* ratio from which a token is on */
    bool new_run;
    bool asleep;   /* full, and to make nothing then */
    double missed; /* tokens not made meanwhile, and not counted yet */
};

static int make_framer(struct at_feed *f)
{
    const struct at_feed_config *c = &f->config;
    unsigned half = c->n_bins / 2;
    float *response = at_mem_array(f->mem, AT_MEM_FRAMES, c->n_bins, sizeof(float));
    double *r = at_mem_array(f->mem, AT_MEM_FRAMES, half + 1, sizeof *r);
    if (!response || !r) {
        at_mem_free(f->mem, response);
        at_mem_free(f->mem, r);
        return -ENOMEM;
    }
    for (unsigned k = 0; k <= half; k++) /* symmetric */
        r[k] = ((double)k / c->n_bins - 0.5) * c->shape.rate_hz;
    at_channel_responses(f->channel, r, half + 1, r);
    for (unsigned k = 0; k <= half; k++)
        response[k] = response[(c->n_bins - k) % c->n_bins] = (float)r[k];
    at_mem_free(f->mem, r);
    struct at_framer_config fc = {.n_bins = c->n_bins,
                                  .rate_hz = c->shape.rate_hz,
                                  .f_lo_hz = c->f_lo_hz - c->shape.center_hz,
                                  .f_hi_hz = c->f_hi_hz - c->shape.center_hz,
                                  .noise_density = c->noise_density,
                                  .response = response};
    int ret = at_framer_create(f->mem, &fc, NULL, &f->framer);
    at_mem_free(f->mem, response);
    return ret;
}

int at_feed_create(struct at_mem *mem, const struct at_feed_config *config,
                   struct at_feed **ret_feed)
{
    struct at_feed *f = at_mem_alloc(mem, AT_MEM_FRAMES, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->mem = mem;
    f->config = *config;
    f->columns = config->n_bins + AT_AUX_COUNT;
    f->hop = config->n_bins / 2;
    f->step = config->shape.n_block / config->shape.n_inverse * config->shape.decimation;
    int ret = at_channel_create(mem, &config->shape, config->band_rate_hz, &f->channel);
    if (ret == 0)
        ret = make_framer(f);
    if (ret == 0) {
        f->iq = at_mem_array(mem, AT_MEM_FRAMES, (size_t)at_channel_block_samples(f->channel) * 2,
                             sizeof(float));
        f->worst = at_channel_block_samples(f->channel) / f->hop + 1 + AT_FEED_AROUND;
        f->room = BATCH + 2 * f->worst;
        f->batch =
            at_mem_array(mem, AT_MEM_FRAMES, (size_t)(f->room + 1) * f->columns, sizeof(float));
        f->held =
            at_mem_array(mem, AT_MEM_FRAMES, (size_t)AT_FEED_AROUND * f->columns, sizeof(float));
        if (!f->iq || !f->batch || !f->held)
            ret = -ENOMEM;
    }
    if (ret < 0) {
        at_feed_destroy(f);
        return ret;
    }
    at_feed_set(f, config->f_lo_hz, config->f_hi_hz, config->noise_density, config->snr);
    *ret_feed = f;
    return 0;
}

void at_feed_destroy(struct at_feed *f)
{
    if (!f)
        return;
    at_channel_destroy(f->channel);
    at_framer_destroy(f->framer);
    at_mem_free(f->mem, f->iq);
    at_mem_free(f->mem, f->batch);
    at_mem_free(f->mem, f->held);
    at_mem_free(f->mem, f);
}

const struct at_channel_shape *at_feed_shape(const struct at_feed *f)
{
    return &f->config.shape;
}

void at_feed_set(struct at_feed *f, double f_lo_hz, double f_hi_hz, double noise_density,
                 double snr)
{
    const struct at_channel_shape *s = &f->config.shape;
    at_framer_set(f->framer, f_lo_hz - s->center_hz, f_hi_hz - s->center_hz, noise_density);
    /* From what noise exceeds once in 100,000 tokens; an emission that hardly passes that itself is
     * always on. */
    double bins = (f_hi_hz - f_lo_hz) / s->rate_hz * f->config.n_bins + 2;
    double noise = at_floor_gamma_threshold(fmax(bins / 1.5, 1), 1e-5);
    f->threshold = f->config.all || 1 + snr < 2 * noise ? -1 : (float)noise;
}

void at_feed_begin(struct at_feed *f, const struct at_blocks *blocks, uint64_t start, bool pause)
{
    uint64_t lead = (uint64_t)AT_FEED_AROUND * f->hop * f->step,
             rel = start > blocks->index ? start - blocks->index : 0;
    rel = rel > lead ? rel - lead : 0;
    uint64_t warm = 2 * (uint64_t)at_channel_lag(f->channel) * f->step,
             per = at_channel_block_samples(f->channel);
    uint64_t oldest = blocks->count > blocks->n_keep ? blocks->count - blocks->n_keep : 0;
    f->next_block = (rel > warm ? rel - warm : 0) / blocks->advance;
    f->next_block = f->next_block < oldest ? oldest : f->next_block;
    uint64_t first = f->next_block ? f->next_block * per + at_channel_lag(f->channel)
                                   : 0; /* the filter's rise over */
    f->from = rel / f->step;
    f->from = f->from < first ? first : f->from;
    f->done = f->from;
    f->n_held = f->next_held = f->after = 0;
    f->skipped = 0;
    f->new_run = f->new_run || pause;
    at_channel_reset(f->channel);
    at_framer_reset(f->framer);
}

/* What is not in a cut yet becomes one. */
static void cut(struct at_feed *f, const struct at_blocks *blocks)
{
    if (f->n_batch > f->n_cut)
        f->cuts[f->n_cuts++] = (struct cut){.n = f->n_batch - f->n_cut,
                                            .index = blocks->index + f->newest * f->step,
                                            .block = f->next_block};
    f->n_cut = f->n_batch;
}

static void hand_cut(struct at_feed *f, const struct cut *cut, const float *frames,
                     const struct at_band_sink *sink, const struct at_emission *e,
                     struct at_band_stats *stats)
{
    size_t room = sink->room(sink->ctx, e->id), n = room < cut->n ? room : cut->n;
    if (n > 0) {
        /* The index is that of the newest frame handed over; those left out lie behind it. */
        uint64_t newest = cut->index - (uint64_t)(cut->n - n) * f->hop * f->step;
        sink->tokens(sink->ctx, e, frames, n, f->new_run ? AT_TOKENS_NEW_RUN : 0, newest);
        f->new_run = false;
        stats->tokens += n;
    }
    if (n < cut->n)
        f->new_run = true;
    stats->tokens_skipped += cut->n - n;
}

void at_feed_hand(struct at_feed *f, uint64_t end, const struct at_band_sink *sink,
                  const struct at_emission *e, struct at_band_stats *stats)
{
    unsigned done = 0, tokens = 0;
    for (; done < f->n_cuts && f->cuts[done].block < end; done++) {
        hand_cut(f, &f->cuts[done], f->batch + (size_t)tokens * f->columns, sink, e, stats);
        tokens += f->cuts[done].n;
    }
    stats->frames += f->frames;
    f->frames = 0;
    f->n_cuts -= done;
    f->n_cut -= tokens;
    f->n_batch -= tokens;
    memmove(f->cuts, f->cuts + done, f->n_cuts * sizeof *f->cuts);
    memmove(f->batch, f->batch + (size_t)tokens * f->columns,
            (size_t)f->n_batch * f->columns * sizeof *f->batch);
}

static float *push_batch(struct at_feed *f, const float *frame)
{
    float *to = f->batch + (size_t)f->n_batch++ * f->columns;
    f->newest = f->done;
    memcpy(to, frame, f->columns * sizeof *to);
    if (f->skipped) {
        to[f->config.n_bins + AT_AUX_SKIPPED] = log2f(1 + (float)f->skipped);
        f->skipped = 0;
    }
    return to;
}

/* The token rule, for the frame that stands behind the batch. */
static void keep(struct at_feed *f)
{
    const float *frame = f->batch + (size_t)f->room * f->columns;
    if (at_framer_ratio(f->framer) > f->threshold) {
        unsigned oldest = (f->next_held + AT_FEED_AROUND - f->n_held) % AT_FEED_AROUND;
        for (unsigned i = 0; i < f->n_held; i++)
            push_batch(f, f->held + (size_t)((oldest + i) % AT_FEED_AROUND) * f->columns);
        f->n_held = 0;
        push_batch(f, frame);
        f->after = AT_FEED_AROUND;
    } else if (f->after > 0) {
        push_batch(f, frame);
        f->after--;
    } else {
        memcpy(f->held + (size_t)f->next_held * f->columns, frame, f->columns * sizeof *frame);
        f->next_held = (f->next_held + 1) % AT_FEED_AROUND;
        if (f->n_held < AT_FEED_AROUND)
            f->n_held++;
        else
            f->skipped++;
    }
}

/* n channel samples, the first of which is number first of the stretch, as far as they are wanted
 * and lie before end. */
static void take(struct at_feed *f, const struct at_blocks *blocks, int64_t first, size_t n,
                 int64_t end)
{
    float *slot = f->batch + (size_t)f->room * f->columns;
    int64_t at = first < (int64_t)f->from ? (int64_t)f->from : first, stop = first + (int64_t)n;
    stop = stop < end ? stop : end;
    while (at < stop) {
        size_t used, got = at_framer_push(f->framer, f->iq + 2 * (at - first), (size_t)(stop - at),
                                          slot, 1, &used);
        at += (int64_t)used;
        f->done = (uint64_t)at;
        f->frames += got;
        if (got)
            keep(f);
        if (f->n_batch - f->n_cut >= BATCH)
            cut(f, blocks);
    }
}

static bool has_room(const struct at_feed *f)
{
    return f->n_batch + f->worst <= f->room && f->n_cuts + f->worst / BATCH + 2 <= MAX_CUTS;
}

/* Where it ends, of the band's samples from the stretch's first on: the tokens that touch its last
 * sample, and as many silent ones as the token rule would keep. */
static uint64_t end_of(const struct at_feed *f, const struct at_blocks *blocks)
{
    uint64_t until = f->config.until, around = (uint64_t)(AT_FEED_AROUND + 2) * f->hop * f->step;
    if (until > UINT64_MAX - around)
        return UINT64_MAX;
    return until + around > blocks->index ? until + around - blocks->index : 0;
}

uint64_t at_feed_make(struct at_feed *f, const struct at_blocks *blocks, bool each, bool drain)
{
    unsigned per = at_channel_block_samples(f->channel), lag = at_channel_lag(f->channel);
    uint64_t oldest = blocks->count > blocks->n_keep ? blocks->count - blocks->n_keep : 0;
    uint64_t until = end_of(f, blocks);
    int64_t end = (int64_t)((until < blocks->taken ? until : blocks->taken) / f->step);
    uint64_t stop = blocks->count + (drain && lag ? lag / per + 1 : 0);
    if (f->next_block < oldest) /* the look-back did not reach: begin where it does */
        at_feed_begin(f, blocks, blocks->index + oldest * blocks->advance, true);
    for (; f->next_block < stop && has_room(f); f->next_block++) {
        if (until <= blocks->taken && (int64_t)(f->next_block * per) - lag >= end) {
            cut(f, blocks); /* what follows lies behind its end */
            f->next_block = stop;
            break;
        }
        at_channel_run(f->channel, at_blocks_get(blocks, f->next_block), f->next_block, blocks->dc,
                       f->iq);
        take(f, blocks, (int64_t)(f->next_block * per) - lag, per, end);
        if (each || f->next_block + 1 == stop)
            cut(f, blocks);
    }
    return f->next_block < stop ? f->next_block : UINT64_MAX;
}

/* What passed since it fell asleep, or was last counted. */
static void count_missed(struct at_feed *f, const struct at_blocks *blocks,
                         const struct at_emission *e, struct at_band_stats *stats)
{
    uint64_t now = blocks->count * at_channel_block_samples(f->channel);
    if (now <= f->done)
        return;
    f->missed += (double)(now - f->done) / f->hop * (e->bursts > 1 ? (double)e->duty : 1.0);
    f->done = now;
    stats->tokens_skipped += (uint64_t)f->missed;
    f->missed -= floor(f->missed);
}

bool at_feed_rests(struct at_feed *f, const struct at_blocks *blocks,
                   const struct at_band_sink *sink, const struct at_emission *e,
                   struct at_band_stats *stats)
{
    bool full = f->config.rest_when_full && sink->room(sink->ctx, e->id) == 0;
    if (f->asleep)
        count_missed(f, blocks, e, stats);
    if (f->asleep && !full)
        at_feed_begin(f, blocks, blocks->index + blocks->count * blocks->advance, true);
    f->asleep = full;
    return full;
}

void at_feed_run(struct at_feed *f, const struct at_blocks *blocks, const struct at_band_sink *sink,
                 const struct at_emission *e, struct at_band_stats *stats, bool drain)
{
    for (bool more = true; more;) {
        if (at_feed_rests(f, blocks, sink, e, stats))
            return;
        more = at_feed_make(f, blocks, false, drain) != UINT64_MAX;
        at_feed_hand(f, UINT64_MAX, sink, e, stats);
    }
}
