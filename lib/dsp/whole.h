/* Whether what looks like an emission of its own is a part of another one's life: a weak syllable
 * within a voice channel, before its stronger ones or after them, a narrow moment of a wide
 * modulation, the next stretch of a sweep.
 * All of it: the tracker's thread, which is the one that pushes the band. RT-safe.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_WHOLE_H
#define AT_DSP_WHOLE_H

#include "lib/dsp/track.h"

/* The emission of which k, not reported yet, is a part: it holds k's band, was there before and is
 * not weaker. slack: samples by which k may have been seen earlier. NULL: k is its own. */
struct at_track *at_whole_find(const struct at_tracker *t, const struct at_track *k,
                               uint64_t slack);
/* k was a part of `whole`, which lived through it, and is as sure as either. */
void at_whole_take(struct at_track *whole, const struct at_track *k);
/* The emission, reported or older, with which k, not reported yet, may be one sweep, of which an
 * epoch shows a part: of one level, their bands meet. *ret_sure: in three bursts of each they were
 * on as long as a sweep takes to cross their bands. NULL: none. */
struct at_track *at_whole_turns(const struct at_tracker *t, const struct at_track *k,
                                bool *ret_sure);
/* k becomes a part of `whole`, spectra and all. */
void at_whole_join(struct at_track *whole, const struct at_track *k);
/* The emission, reported already, that was the beginning of k, which is not: one voice
 * transmitter's sounds come one after another within its channel, a weak one first. since: what
 * began before that sample may have been there for ever. NULL: k begins by itself. */
struct at_track *at_whole_first(const struct at_tracker *t, const struct at_track *k,
                                uint64_t since);
/* k goes on under the id of `first`, which is to be forgotten. */
void at_whole_adopt(struct at_track *k, struct at_track *first);
/* The emission that was on to the end of the last epoch and goes on in this region, beside the
 * place where it was: a sweep. NULL: none. */
struct at_track *at_whole_sweep(const struct at_tracker *t, const struct at_epoch *e,
                                const struct at_region *r);

#endif
