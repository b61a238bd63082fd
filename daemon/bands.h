/* The bands of a radio and the walk from one to the next; the puller's own (puller.h holds them).
 * All functions but at_bands_get_view(): its thread. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_BANDS_H
#define AT_DAEMON_BANDS_H

#include "daemon/puller.h"

/* Before the thread; conf is set. */
void at_bands_init(struct at_puller *r);
/* Another source begins, at the first band. */
void at_bands_restart(struct at_puller *r);
/* RF at baseband 0 of band i. */
double at_bands_center(const struct at_puller *r, size_t i);
/* What the radio is set to for band i. */
void at_bands_tuning(const struct at_puller *r, size_t i, struct at_tuning *ret);

/* A receiver for each band, at the rate of r->info where there is one band only; functions as in
 * r->sink, whose ctx is the band. What was created is the caller's to destroy, on failure too. */
int at_bands_create(struct at_puller *r, struct at_error *err);
/* r->info is what the open device says: receivers were made before, and learn the converter's noise
 * here. */
void at_bands_settle(struct at_puller *r);
void at_bands_destroy(struct at_puller *r);
/* Every emission ends and says its last word. */
void at_bands_flush(struct at_puller *r);

/* One read (iq, where its samples are not lent), to the band whose tuning it was taken under; that
 * of before is paused. A band whose radio gives another rate than its receiver is made for gets
 * another receiver. 0; -ENOMEM; -EIO: no receiver could be made, with err. */
int at_bands_push(struct at_puller *r, const float *iq, const struct at_read *read,
                  struct at_error *err);
/* The most samples of a read, so that decisions need not wait for it: of the visited band, of any.
 */
size_t at_bands_block(const struct at_puller *r);
size_t at_bands_most(const struct at_puller *r);
/* Asks for the next band where the dwell of this one is over; index: one past the newest sample.
 * Waits for nothing: what comes until the driver has done it still belongs to this band. A band
 * that the radio refuses, or that its driver hangs or crashes at, is left out, said once, and asked
 * for again at the next turn. */
void at_bands_walk(struct at_puller *r, uint64_t index);
/* No samples came: where another band has been asked for, what was heard of this one is decided
 * now, however long the driver takes. 0 or -ENOMEM. */
int at_bands_idle(struct at_puller *r);
/* Puts the counts of band i where the view sees them. */
void at_bands_count(struct at_puller *r, size_t i);

/* r->lock held; any thread. */
void at_bands_get_view(const struct at_puller *r, struct at_radio_view *v);
void at_bands_finish(struct at_puller *r);

#endif
