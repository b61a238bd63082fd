/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/product.h"

#include <math.h>
#include <stdlib.h>

#include "lib/dsp/measure.h"

#define ORDER    31   /* at most */
#define SQUARE   1.25 /* 1 dB: over a square wave's, whose k-th harmonic has 1 / k^2 of the power */
#define ITS_OWN  0.5  /* of its energy: so much while the other is off; then it is not blocked */
#define PARTNERS 24   /* stronger ones that are looked at */

static double middle(const struct at_region *r)
{
    return (r->f_lo_hz + r->f_hi_hz) / 2;
}

/* Rails of I and of Q, the same for both signs, turn a cycle by a quarter wherever they turn the
 * sum by it: of k of one and l of another only those come with k + l = 1, 5, -3, -7 and so on. */
static bool is_made(int k, int l)
{
    return ((k + l) & 3) == 1;
}

/* k times the strong one's frequency and l times the other's, as wide as that makes them, the rate
 * taken off. */
static bool lies_there(const struct at_epoch *e, const struct at_region *r,
                       const struct at_region *strong, int k, const struct at_region *other, int l)
{
    double bin = e->rate_hz / (r->is_long ? e->slow.n : e->fast.n), at = k * middle(strong),
           half = abs(k) * (strong->f_hi_hz - strong->f_lo_hz) / 2;
    if (l != 0) {
        at += l * middle(other);
        half += abs(l) * (other->f_hi_hz - other->f_lo_hz) / 2;
    }
    return fabs(remainder(r->peak_hz - at, e->rate_hz)) < half + 1.5 * bin ||
           fabs(remainder(middle(r) - at, e->rate_hz)) < half + 1.5 * bin;
}

/* The highest order that may have so much of its power left in a region. */
static int order(const struct at_region *of, const struct at_region *r)
{
    return (int)fmin(sqrt(SQUARE * of->level / r->level), ORDER);
}

static bool is_product(const struct at_epoch *e, const struct at_region *r, size_t i, size_t j)
{
    int most = order(&r[j], &r[i]);
    for (int k = -most; k <= most; k++)
        if (k != 1 && is_made(k, 0) && lies_there(e, &r[i], &r[j], k, NULL, 0))
            return true;
    for (size_t p = 0; p < i && p < PARTNERS; p++) {
        most = order(&r[p], &r[i]) > 2
                   ? order(&r[p], &r[i])
                   : 2; /* two of it and one weak one make nearly as much as that has */
        for (int l = -2; p != j && l <= 2; l++)
            for (int k = -most; l != 0 && k <= most; k++)
                if (k != 0 && is_made(k, l) && lies_there(e, &r[i], &r[j], k, &r[p], l))
                    return true;
    }
    return false;
}

bool at_product_of(struct at_tracker *t, const struct at_epoch *e, const struct at_region *r,
                   size_t i, size_t j)
{
    struct at_on on = {.rows = t->on, .energy = t->energy};
    at_measure_on(e, t->rate_hz, r[j].f_lo_hz, r[j].f_hi_hz, 0, &on);
    if (on.steady || on.n_on == e->fast.t)
        return is_product(e, r, i, j);
    return at_measure_beside(e, t->rate_hz, on.rows, r[i].f_lo_hz, r[i].f_hi_hz, t->other) <
           ITS_OWN;
}
