/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/gate.h"

#include <string.h>

#define STEP (AT_GATE_RUN / 2) /* two samples so far apart lie in every run that is long enough */
#define LOOK 64                /* samples looked at at once */
#define FEW  16                /* samples before a run say nothing */

static bool equal(const float *a, const float *b)
{
    return a[0] == b[0] && a[1] == b[1];
}

static void get(const struct at_input *in, size_t from, size_t n, float *iq)
{
    in->write(in->ctx, from, n, iq);
}

/* How many samples from `from` on, below `end`, are value. */
static size_t leading(const struct at_input *in, size_t from, size_t end, const float *value)
{
    float iq[2 * LOOK];
    size_t at = from;
    while (at < end) {
        size_t some = end - at < LOOK ? end - at : LOOK, i = 0;
        get(in, at, some, iq);
        while (i < some && equal(iq + 2 * i, value))
            i++;
        at += i;
        if (i < some)
            break;
    }
    return at - from;
}

/* How many samples before `end`, from `from` on, are value. */
static size_t trailing(const struct at_input *in, size_t from, size_t end, const float *value)
{
    float iq[2 * LOOK];
    size_t at = end;
    while (at > from) {
        size_t some = at - from < LOOK ? at - from : LOOK, i = some;
        get(in, at - some, some, iq);
        while (i > 0 && equal(iq + 2 * (i - 1), value))
            i--;
        at -= some - i;
        if (i > 0)
            break;
    }
    return end - at;
}

static bool is_zero(const float *a)
{
    return a[0] == 0 && a[1] == 0;
}

/* Among [from, end), not empty, the first run of AT_GATE_RUN samples or more, or else the one at
 * the end, that is not of zeros. Returns its length, *ret_from where it begins, value (2) what it
 * is; 0: none, and end. */
static size_t find_run(const struct at_input *in, size_t from, size_t end, size_t *ret_from,
                       float *value)
{
    float last[2], now[2];
    get(in, from, 1, last);
    for (size_t i = from + STEP; i < end; i += STEP) {
        get(in, i, 1, now);
        bool still = equal(now, last) && !is_zero(now);
        memcpy(last, now, sizeof last);
        if (!still)
            continue;
        size_t back = trailing(in, from, i + 1, now), len = back + leading(in, i + 1, end, now);
        *ret_from = i + 1 - back;
        memcpy(value, now, sizeof now);
        if (len >= AT_GATE_RUN)
            return len;
    }
    get(in, end - 1, 1, value);
    size_t len = is_zero(value) ? 0 : trailing(in, from, end, value);
    *ret_from = end - len;
    return len;
}

static int hand(struct at_gate *g, const struct at_input *in, size_t from, size_t n)
{
    size_t some = n < AT_GATE_BEFORE ? n : AT_GATE_BEFORE, keep = AT_GATE_BEFORE - some;
    if (n == 0)
        return 0;
    keep = keep < g->n_before ? keep : g->n_before;
    memmove(g->before, g->before + 2 * (g->n_before - keep), keep * 2 * sizeof *g->before);
    get(in, from + n - some, some, g->before + 2 * keep);
    g->n_before = keep + some;
    return g->take(g->ctx, in, from, n);
}

static void write_value(const void *ctx, size_t from, size_t n, float *iq)
{
    for (size_t i = 0; i < n; i++)
        memcpy(iq + 2 * i, ctx, 2 * sizeof *iq);
}

/* Hands on what is held, as it is or as zeros. */
static int hand_held(struct at_gate *g, bool as_zeros)
{
    static const float zero[2];
    struct at_input in = {write_value, as_zeros ? zero : g->value};
    size_t n = g->held;
    g->held = 0;
    return hand(g, &in, 0, n);
}

/* Noise of less than a code, or a converter that is driven to its end, also stands still for a
 * while: but there I or Q was the same before, too, most of the time. */
static bool is_gate(const struct at_gate *g)
{
    size_t same[2] = {0}, n = g->n_before > FEW ? g->n_before : FEW;
    for (size_t i = 0; i < g->n_before; i++)
        for (size_t k = 0; k < 2; k++)
            same[k] += g->before[2 * i + k] == g->value[k];
    return 4 * same[0] < 3 * n && 4 * same[1] < 3 * n;
}

/* n more samples of the run. */
static int go_on(struct at_gate *g, size_t n)
{
    g->held += n;
    if (!g->shut && g->held < AT_GATE_RUN)
        return 0;
    g->shut = g->shut || is_gate(g);
    return hand_held(g, g->shut);
}

void at_gate_begin(struct at_gate *g)
{
    g->held = g->n_before = 0;
    g->shut = false;
}

int at_gate_flush(struct at_gate *g)
{
    int ret = hand_held(g, g->shut);
    at_gate_begin(g);
    return ret;
}

int at_gate_push(struct at_gate *g, const struct at_input *in, size_t n)
{
    size_t from = g->shut || g->held ? leading(in, 0, n, g->value) : 0, begin;
    int ret = go_on(g, from);
    while (from < n && ret == 0) {
        float value[2];
        ret = hand_held(g, false); /* that run is over, and was too short */
        g->shut = false;
        size_t len = find_run(in, from, n, &begin, value);
        if (ret == 0)
            ret = hand(g, in, from, begin - from);
        memcpy(g->value, value, sizeof value);
        if (ret == 0)
            ret = go_on(g, len);
        from = begin + len;
    }
    return ret;
}
