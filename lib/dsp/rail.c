/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/rail.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LEAST 16   /* values at the rail */
#define SHARE 1e-4 /* of all values, likewise */
#define PILE                                                                                       \
    5.0 /* times as many at it as below: of a carrier that just reaches a step of 8 bits 2.4 */
#define EACH                                                                                       \
    0.1 /* of those at it: a quarter is on each side of I and of Q, where no phase stands still */

/* Of the bits of floats, which are in order, so that it is done several at a time. */
static float highest(const float *x, size_t n)
{
    int32_t most = 0;
    float out;
    for (size_t i = 0; i < n; i++) {
        int32_t size;
        memcpy(&size, x + i, sizeof size);
        size &= INT32_MAX;
        most = size > most ? size : most;
    }
    memcpy(&out, &most, sizeof out);
    return out;
}

void at_rail_look(const float *iq, size_t n, struct at_rail_cell *ret)
{
    float most = highest(iq, 2 * n), least = most * (1 - AT_RAIL_WITHIN),
          near = most * (1 - AT_RAIL_BELOW);
    int32_t at[4] = {0}, all = 0;
    for (size_t i = 0; i < n; i++) {
        float re = iq[2 * i], im = iq[2 * i + 1];
        at[0] += re >= least;
        at[1] += im >= least;
        at[2] += re <= -least;
        at[3] += im <= -least;
        all += (fabsf(re) >= near) + (fabsf(im) >= near);
    }
    *ret = (struct at_rail_cell){.most = most};
    ret->below = (unsigned)all;
    for (int k = 0; k < 4; k++) {
        ret->at[k] = (unsigned)at[k];
        ret->below -= (unsigned)at[k];
    }
}

/* Values at the highest of all cells: sides (4) of them; and below. */
static size_t count(const struct at_rail_cell *cells, size_t n, float most, size_t *sides,
                    size_t *ret_below)
{
    size_t all = 0, below = 0;
    for (size_t i = 0; i < n; i++) {
        const struct at_rail_cell *c = &cells[i];
        size_t at = (size_t)c->at[0] + c->at[1] + c->at[2] + c->at[3];
        bool there = c->most >= most * (1 - AT_RAIL_WITHIN);
        if (c->most < most * (1 - AT_RAIL_BELOW))
            continue;
        below += c->below + (there ? 0 : at);
        all += there ? at : 0;
        for (int k = 0; k < 4 && there; k++)
            sides[k] += c->at[k];
    }
    *ret_below = below;
    return all;
}

bool at_rail_see(const struct at_rail_cell *cells, size_t n, size_t per, float *rail)
{
    size_t sides[4] = {0}, below;
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, cells[i].most);
    size_t at = most > 0 ? count(cells, n, most, sides, &below) : 0;
    if (most * (1 - AT_RAIL_WITHIN) > *rail)
        *rail = 0;
    if (at <= LEAST || (double)at <= SHARE * 2 * (double)(n * per))
        return false;
    if (*rail > 0)
        return most >= *rail * (1 - AT_RAIL_WITHIN);
    bool piled = below > 0 && (double)at > PILE * (double)below;
    for (int k = 0; k < 4; k++)
        piled = piled && (double)sides[k] > EACH * (double)at;
    *rail = piled ? most : 0;
    return piled;
}
