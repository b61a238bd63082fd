/* Whether what was seen of an emission is enough to believe it, before it is reported; and whether
 * it is there still. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_SURE_H
#define AT_DSP_SURE_H

#include "lib/dsp/measure.h"
#include "lib/dsp/track.h"

/* One more epoch in which r was seen for k, whose levels and edges hold it already; all_on: it
 * never went off and single short rows do not show it. Sets k->sure, for good. RT-safe. */
void at_sure_see(const struct at_tracker *t, struct at_track *k, const struct at_epoch *e,
                 const struct at_region *r, bool all_on);
/* Only the average of earlier epochs shows it: this one, of which `on` tells, has less of it than
 * any of them. RT-safe. */
bool at_sure_gone(const struct at_track *k, const struct at_region *r, const struct at_on *on);
/* What fills a cell or two of the short spectra (each of so many looks) and is no stronger than
 * noise gets there by itself: rows that overlap by half make the tail of a box heavier than the
 * gamma's of the threshold. */
bool at_sure_is_speck(const struct at_tracker *t, const struct at_track *k, unsigned looks);
/* Weaker than the noise's own scatter over its time and band: what was found was not there when it
 * was measured. */
bool at_sure_is_lost(const struct at_tracker *t, const struct at_track *k);

#endif
