/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/beside.h"

#include <math.h>

#include "lib/dsp/link.h"
#include "lib/dsp/measure.h"

#define FAR_STRONGER 20.0 /* 13 dB */
#define NEXT         1.0  /* widths to either side in which a far stronger one makes a new one doubtful */
#define REACH        30.0 /* widths of what comes and goes, over which it splatters */
#define CLICK_ROWS   16   /* of the short spectra */

bool at_beside_fringe(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                      size_t i)
{
    double power = at_measure_power(&e->slow, t->rate_hz, r[i].f_lo_hz, r[i].f_hi_hz);
    for (size_t j = 0; j < i; j++) {
        double gap = at_link_gap_hz(r[j].f_lo_hz, r[j].f_hi_hz, r[i].f_lo_hz, r[i].f_hi_hz);
        if (gap > NEXT * (r[j].f_hi_hz - r[j].f_lo_hz))
            continue;
        if (r[j].level > FAR_STRONGER * r[i].level)
            return true;
        if (at_measure_power(&e->slow, t->rate_hz, r[j].f_lo_hz, r[j].f_hi_hz) > FAR_STRONGER * power &&
            at_link_bound(t, e, &r[j], &r[i]))
            return true;
    }
    return false;
}

bool at_beside_none(const struct at_epoch *e, const struct at_region *r, size_t i)
{
    if (e->gated || e->clipped)
        return false;
    for (size_t j = 0; j < i; j++) {
        double gap = at_link_gap_hz(r[j].f_lo_hz, r[j].f_hi_hz, r[i].f_lo_hz, r[i].f_hi_hz);
        if (r[j].level > 10 * r[i].level && gap < 10 * (r[j].f_hi_hz - r[j].f_lo_hz))
            return false;
    }
    return true;
}

/* Rows of the epoch in which a region is on: [*ret_first, *ret_end). */
static void rows_on(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                    size_t *ret_first, size_t *ret_end)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    at_measure_on(e, t->rate_hz, r->f_lo_hz, r->f_hi_hz, 0, &on);
    *ret_first = e->fast.t;
    *ret_end = 0;
    for (size_t i = 0; i < e->fast.t; i++)
        if (on.rows[i]) {
            *ret_first = i < *ret_first ? i : *ret_first;
            *ret_end = i + 1;
        }
}

/* What is on in these rows only is so for a moment, at which a stronger one goes on or off: a key
 * click. t->on: rows of that one. */
static bool is_click(struct at_tracker *t, const struct at_epoch *e, const struct at_region *strong,
                     size_t first, size_t end)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    if (strong->steady || end > first + CLICK_ROWS)
        return false;
    at_measure_on(e, t->rate_hz, strong->f_lo_hz, strong->f_hi_hz, 0, &on);
    for (size_t i = first > 1 ? first - 1 : 1; i < e->fast.t && i <= end + 1; i++)
        if (on.rows[i] != on.rows[i - 1])
            return true;
    return false;
}

/* One far stronger that was on until now is off in this epoch: what is on no longer than its last
 * rows last, which the epoch before shares, is the end of its click. */
static bool has_ended(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                      size_t end)
{
    size_t last = e->slow.t ? e->slow.span : CLICK_ROWS * e->fast.hop;
    if (end * e->fast.hop > last)
        return false;
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *k = t->tracks[i];
        double width = k->e.f_hi_hz - k->e.f_lo_hz, power = k->power_s / fmax(k->on_s, 1e-12);
        if (k->silent_since + last < e->index || k->by_hand || k->dropped ||
            power < FAR_STRONGER * r->level ||
            at_link_gap_hz(r->f_lo_hz, r->f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz) > REACH * width)
            continue;
        struct at_on on = {.rows = t->on, .energy = t->energy};
        at_measure_on(e, t->rate_hz, k->e.f_lo_hz, k->e.f_hi_hz, power, &on);
        if (on.n_on < CLICK_ROWS && !on.on_at_end)
            return true;
    }
    return false;
}

bool at_beside_doubtful(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                        size_t i)
{
    size_t first, end;
    if (r[i].is_lobe)
        return true;
    rows_on(t, e, &r[i], &first, &end);
    for (size_t j = 0; j < i; j++) {
        double ratio = r[j].level / r[i].level, width = r[j].f_hi_hz - r[j].f_lo_hz;
        double gap = at_link_gap_hz(r[j].f_lo_hz, r[j].f_hi_hz, r[i].f_lo_hz, r[i].f_hi_hz);
        if ((e->clipped && ratio > AT_LINK_WEAKER_FAR) ||
            (!r[j].steady && ratio > AT_LINK_WEAKER && gap < REACH * width) ||
            (ratio > FAR_STRONGER && gap < REACH * width && is_click(t, e, &r[j], first, end)))
            return true;
    }
    return has_ended(t, e, &r[i], end);
}

bool at_beside_product(const struct at_epoch *e, const struct at_region *r, size_t i)
{
    return e->clipped && i > 0 && r[0].level > AT_LINK_WEAKER_FAR * r[i].level;
}
