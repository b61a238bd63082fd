/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/image.h"

#include <math.h>

#include "lib/dsp/measure.h"

#define LEAST_CELLS 16
#define STRONGER    10.0 /* what an image is of stands 10 dB over it */
#define EXPLAINED   0.5  /* of what stands over the noise */
#define SIDEBAND    0.5  /* coherence of what stands over the noise */
#define CHANCE                                                                                     \
    8.0 /* exp(-8): that cells of two that have nothing to do with each other go together so */

/* Share of the band's power that its mirror image accounts for. */
static double coherent_share(const struct at_mirror *m)
{
    double both = m->here * m->there;
    return m->cells >= LEAST_CELLS && both > 0 ? (m->re * m->re + m->im * m->im) / both : 0;
}

double at_image_coherence(const struct at_mirror *m)
{
    return sqrt(coherent_share(m));
}

/* noise: power per Hz. */
static bool is_image(const struct at_mirror *m, double noise)
{
    double share = coherent_share(m), excess = m->here - noise * (double)m->cells;
    return m->there > STRONGER * m->here && share * (double)m->cells > CHANCE &&
           share * m->here > EXPLAINED * excess;
}

static bool stronger_there(const struct at_epoch *e, double lo, double hi)
{
    return at_measure_power(&e->slow, e->rate_hz, -hi, -lo) >
           STRONGER * at_measure_power(&e->slow, e->rate_hz, lo, hi);
}

static double noise_in(const struct at_epoch *e, double lo_hz, double hi_hz)
{
    unsigned lo, hi;
    double sum = 0;
    at_measure_bins(&e->slow, e->rate_hz, lo_hz, hi_hz, &lo, &hi);
    for (unsigned k = lo; k < hi; k++)
        sum += (double)e->slow.floor[k];
    return sum / (hi - lo);
}

bool at_image_sideband(const struct at_epoch *e, double carrier_hz, double f_lo_hz, double f_hi_hz)
{
    struct at_mirror m = {0};
    if (!e->mirror || !e->slow.t)
        return false;
    e->mirror(e->ctx, true, carrier_hz, f_lo_hz, f_hi_hz, &m);
    double share = coherent_share(&m), cells = (double)m.cells,
           here = fmax(m.here - noise_in(e, f_lo_hz, f_hi_hz) * cells, 0),
           there = fmax(m.there -
                            noise_in(e, 2 * carrier_hz - f_hi_hz, 2 * carrier_hz - f_lo_hz) * cells,
                        0);
    return share * cells > CHANCE && share * m.here * m.there > SIDEBAND * SIDEBAND * here * there;
}

bool at_image_in(const struct at_epoch *e, double f_lo_hz, double f_hi_hz)
{
    struct at_mirror m = {0};
    if (!e->mirror || !e->slow.t || !stronger_there(e, f_lo_hz, f_hi_hz))
        return false;
    e->mirror(e->ctx, false, 0, f_lo_hz, f_hi_hz, &m);
    return is_image(&m, noise_in(e, f_lo_hz, f_hi_hz));
}

void at_image_see(struct at_track *k, const struct at_epoch *e)
{
    double lo = k->e.f_lo_hz, hi = k->e.f_hi_hz;
    if (!e->mirror || !e->slow.t || !stronger_there(e, lo, hi))
        return;
    uint64_t before = k->mirror.cells;
    e->mirror(e->ctx, false, 0, lo, hi, &k->mirror);
    k->mirror_noise += noise_in(e, lo, hi) * (double)(k->mirror.cells - before);
    k->mirrored++;
}

bool at_image_was(const struct at_track *k)
{
    return 2 * k->mirrored >= k->epochs && k->mirror.cells &&
           is_image(&k->mirror, k->mirror_noise / (double)k->mirror.cells);
}
