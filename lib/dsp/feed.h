/* One emission's tokens: its channel, its framer and the token rule (from 8 before a burst to 8
 * after, at most 16 silent ones between bursts). SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_FEED_H
#define AT_DSP_FEED_H

#include "lib/dsp/band.h"
#include "lib/dsp/channelize.h"
#include "lib/dsp/spectrum.h"

#define AT_FEED_AROUND 8 /* silent tokens kept on either side of a burst */

struct at_feed_config {
    double band_rate_hz;
    struct at_channel_shape shape;
    unsigned n_bins;
    double f_lo_hz, f_hi_hz; /* baseband */
    double noise_density;
    double snr;          /* linear, while on */
    bool all;            /* every token counts as on: opened by hand */
    bool rest_when_full; /* nothing is made while the sink has no room: what passes counts as
                            skipped, by the duty */
    uint64_t until;      /* absolute sample index where it ends, which tokens are made beyond as
                            before its start; UINT64_MAX: open */
};

struct at_feed;

/* 0 or -ENOMEM. */
int at_feed_create(struct at_mem *mem, const struct at_feed_config *config,
                   struct at_feed **ret_feed);
void at_feed_destroy(struct at_feed *f);
const struct at_channel_shape *at_feed_shape(const struct at_feed *f);
/* Follows the emission. snr: linear, while on. RT-safe. */
void at_feed_set(struct at_feed *f, double f_lo_hz, double f_hi_hz, double noise_density,
                 double snr);
/* Begins at this absolute sample of the stretch (or the oldest that is kept). pause: what came
 * before was not part of this run. RT-safe. */
void at_feed_begin(struct at_feed *f, const struct at_blocks *blocks, uint64_t start, bool pause);
/* Whether nothing is to be made now, the sink being full; where it no longer is, the feed goes on
 * at the newest block. RT-safe but for what the sink does. */
bool at_feed_rests(struct at_feed *f, const struct at_blocks *blocks,
                   const struct at_band_sink *sink, const struct at_emission *e,
                   struct at_band_stats *stats);
/* Makes tokens of the blocks that are there, as far as there is room for them; each: those of one
 * block are handed over apart from those of the next. Returns the block at which it stopped for
 * want of room; UINT64_MAX: none is left. RT-safe; different feeds in different threads. */
uint64_t at_feed_make(struct at_feed *f, const struct at_blocks *blocks, bool each, bool drain);
/* Hands over what blocks before `end` brought. RT-safe but for what the sink does. */
void at_feed_hand(struct at_feed *f, uint64_t end, const struct at_band_sink *sink,
                  const struct at_emission *e, struct at_band_stats *stats);
/* Both, for all blocks that are there; drain: the stretch has ended, what the filters hold comes
 * too. RT-safe but for what the sink does. */
void at_feed_run(struct at_feed *f, const struct at_blocks *blocks, const struct at_band_sink *sink,
                 const struct at_emission *e, struct at_band_stats *stats, bool drain);

#endif
