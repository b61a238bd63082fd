/* What turns up beside a stronger one: an emission, or its skirt, click or product?
 * r: the epoch's regions, strongest first, levels measured; i: the one asked about. All of it: the
 * tracker's thread, whose scratch rows (t->on, t->energy, t->other) are written over. RT-safe.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_BESIDE_H
#define AT_DSP_BESIDE_H

#include "lib/dsp/track.h"

/* Nothing 10 dB stronger stands within ten of its own widths, no gate opens, nothing clips: what
 * comes and goes here is not another's splatter. */
bool at_beside_none(const struct at_epoch *e, const struct at_region *r, size_t i);
/* Beside one that is far stronger, or that has far more energy and comes and goes with it: its
 * skirt for the moment, unless it stays. */
bool at_beside_fringe(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                      size_t i);
/* While something far stronger comes and goes, or clips, what turns up beside it for the first time
 * is most likely its splatter or a product of it: a key click lasts for the moment in which it goes
 * on or off, in this epoch or at the end of the last. What is real will still be there afterwards.
 */
bool at_beside_doubtful(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                        size_t n, size_t i);
/* One of the far lobes of one 25 dB stronger: lower than those of hard steps of phase may be there,
 * and as high as its mirror image about the middle. roughly: it may be one. n: of all regions. */
bool at_beside_lobe(const struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                    size_t n, size_t i, bool roughly);
/* The same of an emission before it is reported, by all of its life, one epoch of which shows
 * little of a weak lobe; also of the lobes next to a strong one, 10 dB weaker, and of a line on a
 * wide one opposite which another stands, no weaker: tones of an FSK. floor: of the long spectra;
 * since, slack: as below. */
bool at_beside_was_lobe(const struct at_tracker *t, const struct at_track *k, const float *floor,
                        uint64_t since, uint64_t slack);
/* The same of what is over, or comes and goes: a line or another piece of a stronger one's keying.
 * It was on only while that was, and at its mirror image about that one's carrier is as much.
 * since: what began before that sample may have been there for ever; slack: samples by which their
 * ends may differ. */
bool at_beside_was_keying(const struct at_tracker *t, const struct at_track *k, const float *floor,
                          uint64_t since, uint64_t slack);
/* While samples clip, what is far weaker than the strongest region is most likely made by it. */
bool at_beside_product(const struct at_epoch *e, const struct at_region *r, size_t i);

#endif
