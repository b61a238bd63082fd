/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/sure.h"

#include <math.h>

#include "lib/dsp/link.h"

#define SURE          2.0 /* times the level from which a bin counts: enough to believe it at once */
#define PLAIN         10.0 /* the same where it may be a stronger one's splatter */
#define CLEAR_BINS    2    /* of the short spectra */
#define CLEAR_SNR     0.5  /* -3 dB */
#define CLEAR_SIGMA   10.0 /* of the noise's scatter over its time and band */
#define FRINGE_EPOCHS 6
#define FAINT_EPOCHS  12
#define BESIDE        2    /* of its own widths */
#define STRONGER      20.0 /* 13 dB */
#define STRONGER_FAR  1e3  /* 30 dB */
#define LEFT          0.3  /* of the mean power of a weak one: what has less of it is over */
#define LOST          4.0  /* two standard deviations of noise */
#define SPECK_ROWS    4    /* of the short spectra */
#define SPECK_ENERGY  50.0 /* over the noise's density: 1 is a cell at 0 dB */

/* Each bin shows it weakly, but all of its band and time together stand far above what noise may do
 * there. Not so what is wide, as a floor's error is, or weaker than that; nor what a strong one
 * leaks into its short rows: no bin was so high. */
static bool is_clear(const struct at_tracker *t, const struct at_track *k,
                     const struct at_region *r)
{
    double width = fmax(k->e.f_hi_hz - k->e.f_lo_hz, t->rate_hz / t->n_slow);
    double snr = fmin(pow(10, (double)k->e.snr_db / 10), SURE * (double)r->peak);
    return r->alone && width < CLEAR_BINS * t->rate_hz / t->n_fast && snr > CLEAR_SNR &&
           snr * sqrt(k->on_s * width) > CLEAR_SIGMA;
}

/* One that is far stronger is there, beside it, or keyed and so strong that it matters not where:
 * its skirt or splatter, of which the average keeps some. What is real stays when that one is over.
 */
static bool overshadowed(const struct at_tracker *t, const struct at_track *k)
{
    for (unsigned i = 0; i < t->n_tracks; i++) {
        const struct at_track *j = t->tracks[i];
        double gap = at_link_gap_hz(j->e.f_lo_hz, j->e.f_hi_hz, k->e.f_lo_hz, k->e.f_hi_hz);
        double ratio = j->power_s * k->on_s / fmax(k->power_s * j->on_s, 1e-30);
        bool near = gap < BESIDE * (j->e.f_hi_hz - j->e.f_lo_hz);
        if (j != k && !j->dropped && !j->by_hand && (near || j->e.keyed) &&
            ratio > (near ? STRONGER : STRONGER_FAR))
            return true;
    }
    return false;
}

void at_sure_see(const struct at_tracker *t, struct at_track *k, const struct at_epoch *e,
                 const struct at_region *r, bool all_on)
{
    k->faint = k->faint && (r->faint || r->peak <= (r->alone ? SURE : PLAIN));
    bool enough = k->epochs > 1 || !all_on || r->peak > SURE || is_clear(t, k, r);
    if (k->fringe || k->faint) {
        double age = (double)(e->end - k->e.start - k->absent) / (double)(e->end - e->index);
        enough = (double)k->epochs >= fmax(k->faint ? FAINT_EPOCHS : FRINGE_EPOCHS, 0.6 * age) &&
                 !(k->faint && overshadowed(t, k));
    }
    k->sure = k->sure || enough;
}

bool at_sure_gone(const struct at_track *k, const struct at_region *r, const struct at_on *on)
{
    return k->epochs > 1 && r->faint && on->steady && on->power < LEFT * k->power_s / k->on_s;
}

bool at_sure_is_speck(const struct at_tracker *t, const struct at_track *k, unsigned looks)
{
    double life = (double)(k->e.end - k->e.start), width = k->e.f_hi_hz - k->e.f_lo_hz,
           energy = pow(10, (double)k->e.snr_db / 10) * life / t->rate_hz * width;
    return life <= SPECK_ROWS * t->n_fast / 2.0 * looks && energy < SPECK_ENERGY;
}

bool at_sure_is_lost(const struct at_tracker *t, const struct at_track *k)
{
    double width = fmax(k->e.f_hi_hz - k->e.f_lo_hz, t->rate_hz / t->n_slow),
           snr = pow(10, (double)k->e.snr_db / 10);
    return snr * snr * k->on_s * width < LOST;
}
