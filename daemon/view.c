/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/view.h"

#include <math.h>
#include <stdio.h>

#define MOVING_S    2.0 /* samples younger than this count as moving */
#define TOKENS_LEFT 64  /* fewer new ones of an emission wait for more (lib/engine/scheduler.h) */

const char *at_view_backend(const struct at_view *v)
{
    int i = v->selector.choice.index;
    if (!v->model || i < 0 || (size_t)i >= v->selector.n_candidates)
        return "none";
    return v->selector.candidates[i].backend;
}

const char *at_view_not_ready(const struct at_view *v, char *out, size_t n)
{
    if (!v->model) {
        snprintf(out, n, "model not loaded yet");
        return out;
    }
    size_t at = 0;
    for (size_t i = 0; i < v->n_radios; i++) {
        const struct at_radio_view *r = &v->radios[i];
        /* A file that was read to its end did what it should. */
        if (r->state == AT_SOURCE_ENDED ||
            (r->state == AT_SOURCE_RUNNING && r->sample_age_s < MOVING_S))
            return NULL;
        int k = snprintf(out + at, n - at, "%s%s %s%s%s", at ? "; " : "no samples: ", r->name,
                         at_source_state_name(r->state), r->error[0] ? ": " : "", r->error);
        if (k > 0)
            at = at + (size_t)k < n ? at + (size_t)k : n - 1;
    }
    if (!v->n_radios)
        snprintf(out, n, "no radio is configured");
    return out;
}

size_t at_view_models(const struct at_view *v)
{
    return v->model ? 1 + v->n_more : 0;
}

const struct at_model *at_view_model(const struct at_view *v, size_t m)
{
    return m ? v->more[m - 1].model : v->model;
}

unsigned at_radio_view_active(const struct at_radio_view *r)
{
    unsigned active = 0;
    for (size_t i = 0; i < r->n_bands; i++)
        active += r->bands[i].has_stats ? r->bands[i].stats.active : 0;
    return active;
}

bool at_view_has_work(const struct at_view *v, size_t m)
{
    const struct at_model *model = at_view_model(v, m);
    unsigned active = 0;
    for (size_t i = 0; i < v->n_radios; i++)
        for (size_t k = 0; k < v->radios[i].n_bands; k++) {
            const struct at_band_view *b = &v->radios[i].bands[k];
            active += b->has_stats && b->model == model ? b->stats.active : 0;
        }
    return v->each[m].queue_depth > TOKENS_LEFT * active;
}

void at_view_summary(const struct at_view *v, char *out, size_t n)
{
    unsigned running = 0, ended = 0, active = 0;
    for (size_t i = 0; i < v->n_radios; i++) {
        running += v->radios[i].state == AT_SOURCE_RUNNING;
        ended += v->radios[i].state == AT_SOURCE_ENDED;
        active += at_radio_view_active(&v->radios[i]);
    }
    int k = snprintf(out, n, "%u of %zu radios running", running, v->n_radios);
    if (ended && k > 0 && (size_t)k < n)
        k += snprintf(out + k, n - (size_t)k, " (%u ended)", ended);
    if (k > 0 && (size_t)k < n)
        k += snprintf(out + k, n - (size_t)k, ", %u emissions, backend %s, ", active,
                      at_view_backend(v));
    if (k <= 0 || (size_t)k >= n)
        return;
    if (isfinite(v->stats.latency_p95_ms))
        snprintf(out + k, n - (size_t)k, "p95 %.1f of %g ms", v->stats.latency_p95_ms,
                 v->budget_latency_ms);
    else
        snprintf(out + k, n - (size_t)k, "no decision yet, budget %g ms", v->budget_latency_ms);
}
