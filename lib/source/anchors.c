/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/anchors.h"

static int64_t span_ns(const struct at_anchors *a, uint64_t from, uint64_t to)
{
    return (int64_t)((double)(int64_t)(to - from) * 1e9 / a->rate_hz);
}

void at_anchors_reset(struct at_anchors *a, double rate_hz)
{
    *a = (struct at_anchors){.rate_hz = rate_hz};
}

/* How much later than by the anchor the delivery came; negative: earlier. */
static int64_t lateness_ns(const struct at_anchors *a, const struct at_anchor *by, uint64_t index,
                           int64_t mono_ns)
{
    return mono_ns - by->mono_ns - span_ns(a, by->index, index);
}

void at_anchors_update(struct at_anchors *a, uint64_t end_index, int64_t mono_ns, int64_t utc_ns)
{
    struct at_anchor here = {.index = end_index, .mono_ns = mono_ns, .utc_ns = utc_ns};
    if (!a->have) {
        a->have = true;
        a->now = a->next = here;
        a->renewed_ns = mono_ns;
        return;
    }
    if (lateness_ns(a, &a->now, end_index, mono_ns) < 0)
        a->now = here;
    if (lateness_ns(a, &a->next, end_index, mono_ns) < 0)
        a->next = here;
    if (mono_ns - a->renewed_ns >= AT_ANCHOR_RENEW_NS) {
        a->now = a->next;
        a->next = here;
        a->renewed_ns = mono_ns;
    }
}

int64_t at_anchors_utc(const struct at_anchors *a, uint64_t index)
{
    return a->have ? a->now.utc_ns + span_ns(a, a->now.index, index) : 0;
}

uint64_t at_anchors_due(const struct at_anchors *a, int64_t mono_ns)
{
    if (!a->have)
        return 0;
    double samples = (double)(mono_ns - a->now.mono_ns) * 1e-9 * a->rate_hz;
    int64_t due = (int64_t)a->now.index + (int64_t)samples;
    return due > 0 ? (uint64_t)due : 0;
}
