/* What becomes of a band's tracks: one that is due is opened as an emission, or goes on under the
 * id of a weaker sound before it; a feed of its own makes its tokens, in a channel that follows it;
 * the sink is told while it changes, and when it is over. All of it: the thread that pushes the
 * band; memory only where an emission opens or its channel is made anew. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DSP_EMISSIONS_H
#define AT_DSP_EMISSIONS_H

#include "lib/dsp/band.h"
#include "lib/dsp/channelize.h"
#include "lib/dsp/floor.h"
#include "lib/dsp/track.h"
#include "lib/dsp/view.h"

#define AT_EMISSIONS_LATEST_S                                                                      \
    0.06 /* an emission that is still on is reported after so long at the latest */

/* The band's, borrowed while it lives. */
struct at_emissions {
    struct at_mem *mem;
    const struct at_band_config *config;
    const struct at_band_sink *sink;
    struct at_band_stats *stats;
    struct at_tracker *tracker; /* what a track's `user` points to is owned here */
    const struct at_blocks *blocks;
    const struct at_view *view;
    const struct at_floor *floor;
    uint64_t now; /* at_emissions_settle's */
};

enum at_goes_on {
    AT_GOES_ON,
    AT_PAUSES, /* the radio goes elsewhere: what is sure is decided */
    AT_ENDS,   /* the stretch does: everything is */
};

/* Opens what is due, follows what is open, hears it and closes what is over, after the tracker's
 * run over an epoch. now: index one past the newest sample. 0 or -ENOMEM: the rest is done the next
 * time. */
int at_emissions_settle(struct at_emissions *m, uint64_t now, enum at_goes_on on);
/* Tokens of the blocks that are there, to the sink. drain: the stretch has ended, what the filters
 * hold comes too. */
void at_emissions_hear(struct at_emissions *m, bool drain);
/* The same of the blocks from `first` on: made in both threads, which add the view's columns
 * meanwhile, and handed over in the order of one, block by block. */
void at_emissions_hear_together(struct at_emissions *m, uint64_t first);
/* A stretch begins at this index, after a gap: those that are open go on in a new run. */
void at_emissions_begin(struct at_emissions *m, uint64_t index);
unsigned at_emissions_active(const struct at_emissions *m);
/* Closes all; what is not open yet is dropped. */
void at_emissions_close(struct at_emissions *m);
/* Drops all without a word, also of a band that is half built. */
void at_emissions_finish(struct at_emissions *m);

#endif
