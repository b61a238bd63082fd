/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/engine/result.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"

/* Sticky: an object that could not take a key is thrown away whole rather than shown with a hole.
 */
struct object {
    json_t *json;
    int failed;
};

static void put(struct object *o, const char *key, json_t *value)
{
    if (!value || json_object_set_new(o->json, key, value) < 0)
        o->failed = 1;
}

/* Rounded to what is known, so that lines stay short. NAN and Inf are unknown: left out. */
static void put_real(struct object *o, const char *key, double value, double decimals)
{
    if (!isfinite(value))
        return;
    double scale = pow(10, decimals);
    put(o, key, json_real(round(value * scale) / scale));
}

static void put_text(struct object *o, const char *key, const char *value)
{
    if (value[0])
        put(o, key, json_string(value));
}

static void put_hz(struct object *o, const char *key, double value)
{
    put(o, key, json_integer(llround(value)));
}

static void put_utc(struct object *o, const char *key, int64_t utc_ns)
{
    char text[AT_RFC3339_SIZE];
    if (utc_ns == 0)
        return;
    at_clock_format_utc(utc_ns, text);
    put(o, key, json_string(text));
}

static void put_answer(struct object *o, const struct at_result *r)
{
    put_text(o, "class", r->answer.label);
    put_text(o, "group", r->answer.group);
    put_real(o, "confidence", r->answer.confidence, 4);
    if (!r->model)
        return;
    struct object probs = {.json = json_object()};
    if (!probs.json) {
        o->failed = 1;
        return;
    }
    for (uint32_t i = 0; i < r->model->config.n_classes && i < AT_MAX_CLASSES; i++)
        put_real(&probs, r->model->labels[i], r->answer.probs[i], 4);
    o->failed |= probs.failed;
    put(o, "probs", probs.json);
}

json_t *at_result_to_json(const struct at_result *r)
{
    const struct at_emission *e = &r->emission;
    struct object o = {.json = json_object()};
    if (!o.json)
        return NULL;
    put_text(&o, "id", r->id);
    put_text(&o, "radio", r->radio);
    put_text(&o, "band", r->band);
    put(&o, "state", json_string(e->ended ? "ended" : "active"));
    put_utc(&o, "start", r->start_utc_ns);
    put_utc(&o, "end", r->end_utc_ns);
    put_real(&o, "start_s", r->start_s, 6);
    put_real(&o, "end_s", r->end_s, 6);
    put_hz(&o, "f_lo_hz", r->center_rf_hz + e->f_lo_hz);
    put_hz(&o, "f_hi_hz", r->center_rf_hz + e->f_hi_hz);
    put_hz(&o, "center_hz", r->center_rf_hz + (e->f_lo_hz + e->f_hi_hz) / 2);
    put_hz(&o, "bandwidth_hz", e->f_hi_hz - e->f_lo_hz);
    put_real(&o, "snr_db", e->snr_db, 1);
    put_real(&o, "level_dbfs", e->level_dbfs, 1);
    put(&o, "bursts", json_integer(e->bursts));
    put_real(&o, "duty", e->duty, 3);
    put_text(&o, "floor_source", at_floor_source_name(e->floor_source));
    put(&o, "gap", json_boolean(e->gap));
    put(&o, "band_edge", json_boolean(e->band_edge));
    if (r->has_answer) {
        put_answer(&o, r);
        put_text(&o, "backend", r->backend);
        put_text(&o, "mode", r->mode);
        put(&o, "window", json_integer(r->window));
        put(&o, "tokens", json_integer((json_int_t)r->tokens));
        put_real(&o, "share_seen", r->share_seen, 3);
        put_real(&o, "latency_ms", r->latency_ms, 2);
    }
    put_text(&o, "service", r->service);
    if (o.failed) {
        json_decref(o.json);
        return NULL;
    }
    return o.json;
}

/* "433.9200 MHz", "77.500 kHz": four decimals of MHz tell channels of 100 Hz apart. */
static void format_center(char *out, size_t n, double hz)
{
    if (fabs(hz) >= 1e6)
        snprintf(out, n, "%.4f MHz", hz / 1e6);
    else
        snprintf(out, n, "%.2f kHz", hz / 1e3);
}

static void format_bandwidth(char *out, size_t n, double hz)
{
    if (hz >= 1e6)
        snprintf(out, n, "%.2f MHz", hz / 1e6);
    else if (hz >= 1e3)
        snprintf(out, n, "%.1f kHz", hz / 1e3);
    else
        snprintf(out, n, "%.0f Hz", hz);
}

int at_result_format_line(const struct at_result *r, char *out, size_t n)
{
    const struct at_emission *e = &r->emission;
    char center[32], width[32], cost[48] = "";
    format_center(center, sizeof(center), r->center_rf_hz + (e->f_lo_hz + e->f_hi_hz) / 2);
    format_bandwidth(width, sizeof(width), e->f_hi_hz - e->f_lo_hz);
    if (!r->has_answer)
        return snprintf(out, n, "%14s  %10s  %5.1f dB  %-8s", center, width, (double)e->snr_db,
                        "...");
    if (isfinite(r->latency_ms))
        snprintf(cost, sizeof(cost), "%6.1f ms", (double)r->latency_ms);
    else if (isfinite(r->inference_ms))
        snprintf(cost, sizeof(cost), "%6.1f ms", (double)r->inference_ms);
    return snprintf(out, n, "%14s  %10s  %5.1f dB  %-8s %3.0f %%  %-6s %9s%s%s%s%s", center, width,
                    (double)e->snr_db, r->answer.label, 100 * (double)r->answer.confidence,
                    r->backend, cost, r->answer.group[0] ? "  " : "", r->answer.group,
                    r->service[0] ? "  " : "", r->service);
}

void at_summary_add(struct at_summary *s, const struct at_result *r)
{
    if (!r->emission.ended)
        return;
    s->emissions++;
    if (r->has_answer && r->emission.energy >= s->best_energy) {
        s->best_energy = r->emission.energy;
        s->best = r->answer;
    }
}

const char *at_summary_class(const struct at_summary *s)
{
    return s->emissions == 0 ? "none" : s->best.label[0] ? s->best.label : "weak";
}

json_t *at_summary_to_json(const struct at_summary *s, double seconds, double wall_s)
{
    struct object o = {.json = json_object()};
    if (!o.json)
        return NULL;
    put_text(&o, "class", at_summary_class(s));
    if (s->best.label[0])
        put_real(&o, "confidence", s->best.confidence, 4);
    put(&o, "emissions", json_integer(s->emissions));
    put_real(&o, "seconds", seconds, 6);
    put_real(&o, "wall_s", wall_s, 4);
    if (s->corrupt)
        put(&o, "corrupt", json_integer((json_int_t)s->corrupt));
    if (o.failed) {
        json_decref(o.json);
        return NULL;
    }
    return o.json;
}
