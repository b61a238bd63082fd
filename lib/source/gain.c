/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/gain.h"

#include <math.h>

#define LOOK_NS  INT64_C(500000000)
#define QUIET_NS INT64_C(3000000000)
#define CLIPPED  0.98f
#define LOW_PEAK 0.25f
#define DOWN_DB  6.0
#define UP_DB    3.0

static void look(struct at_gain_control *g, const float *iq, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float a = fmaxf(fabsf(iq[2 * i]), fabsf(iq[2 * i + 1]));
        g->peak = fmaxf(g->peak, a);
        g->clipped += a >= CLIPPED;
    }
    g->samples += n;
}

bool at_gain_control_push(struct at_gain_control *g, const float *iq, size_t n, int64_t now_ns)
{
    if (!(g->max_db > g->min_db))
        return false;
    if (g->since_ns == 0)
        g->since_ns = now_ns;
    look(g, iq, n);
    if (now_ns - g->since_ns < LOOK_NS)
        return false;
    double before = g->gain_db;
    g->quiet_ns = g->peak < LOW_PEAK ? g->quiet_ns + (now_ns - g->since_ns) : 0;
    if (g->clipped * 1000 > g->samples) {
        g->gain_db = fmax(g->min_db, g->gain_db - DOWN_DB);
    } else if (g->quiet_ns >= QUIET_NS) {
        g->gain_db = fmin(g->max_db, g->gain_db + UP_DB);
        g->quiet_ns = 0;
    }
    g->since_ns = now_ns;
    g->samples = g->clipped = 0;
    g->peak = 0;
    return g->gain_db != before;
}
