/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/publish/home.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

void at_home_forget(struct at_home *h)
{
    h->n_known = 0;
}

/* A part of a topic: no wildcards, levels or blanks. */
static void clean(const char *text, char *out, size_t n)
{
    size_t i = 0;
    for (; text[i] && i + 1 < n; i++)
        out[i] = strchr("+#/ \"\\$", text[i]) || (unsigned char)text[i] < 32 ? '_' : text[i];
    out[i] = 0;
}

/* True the first time. Past the bound nothing more is announced. */
static bool is_new(struct at_home *h, const char *object)
{
    for (size_t i = 0; i < h->n_known; i++)
        if (strcmp(h->known[i], object) == 0)
            return false;
    if (h->n_known == AT_HOME_MAX_KNOWN) {
        if (!h->full)
            at_log(
                AT_LOG_WARN, NULL,
                "MQTT: %d entities are announced; what comes beyond, as %s, is published and not "
                "announced",
                AT_HOME_MAX_KNOWN, object);
        h->full = true;
        return false;
    }
    snprintf(h->known[h->n_known++], sizeof h->known[0], "%s", object);
    return true;
}

/* Announces an entity; takes config, the part of its description that is its own. */
static void announce(struct at_home *h, const char *component, const char *object, const char *name,
                     const char *state_topic, json_t *config)
{
    char topic[512], id[192], status[256];
    if (!config || !h->prefix || !is_new(h, object)) {
        json_decref(config);
        return;
    }
    snprintf(topic, sizeof topic, "%s/%s/%s/%s/config", h->prefix, component, h->node, object);
    snprintf(id, sizeof id, "%s_%s", h->node, object);
    snprintf(status, sizeof status, "%s/status", h->topic);
    json_t *rest = json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:[s]}, s:{s:s, s:s}}", "name", name,
        "unique_id", id, "state_topic", state_topic, "availability_topic", status, "device", "name",
        *h->site ? h->site : h->node, "manufacturer", "attune", "model", "attuned", "sw_version",
        AT_VERSION, "identifiers", h->node, "origin", "name", "attune", "sw", AT_VERSION);
    if (rest && json_object_update(config, rest) == 0) {
        char *text = json_dumps(config, JSON_COMPACT);
        if (text)
            at_outbox_push(h->out, topic, text, true);
        free(text);
    }
    json_decref(rest);
    json_decref(config);
}

void at_home_emission(struct at_home *h, const char *json)
{
    json_t *o = json_loads(json, 0, NULL);
    const char *state = json_string_value(json_object_get(o, "state")),
               *radio = json_string_value(json_object_get(o, "radio")),
               *band = json_string_value(json_object_get(o, "band")),
               *class = json_string_value(json_object_get(o, "class"));
    char topic[512], owner[40], part[40], label[48], object[AT_HOME_OBJECT], name[160];
    if (state && radio && band && strcmp(state, "ended") == 0) {
        clean(radio, owner, sizeof owner);
        clean(band, part, sizeof part);
        clean(class ? class : "none", label, sizeof label);
        snprintf(topic, sizeof topic, "%s/emission/%s/%s/%s", h->topic, owner, part, label);
        snprintf(object, sizeof object, "%s_%s_%s", owner, part, label);
        snprintf(name, sizeof name, "%s %s: last %s", owner, part, label);
        announce(h, "sensor", object, name, topic,
                 json_pack("{s:s, s:s, s:s, s:s}", "device_class", "timestamp", "value_template",
                           "{{ value_json.end | default(none) }}", "json_attributes_topic", topic,
                           "icon", "mdi:radio-tower"));
        at_outbox_push(h->out, topic, json, false);
    }
    json_decref(o);
}

void at_home_radio(struct at_home *h, const char *json)
{
    json_t *o = json_loads(json, 0, NULL);
    const char *radio = json_string_value(json_object_get(o, "name"));
    char topic[512], part[40], object[AT_HOME_OBJECT], name[96];
    if (radio) {
        clean(radio, part, sizeof part);
        snprintf(topic, sizeof topic, "%s/radio/%s", h->topic, part);
        snprintf(object, sizeof object, "radio_%s", part);
        snprintf(name, sizeof name, "radio %s", part);
        announce(h, "binary_sensor", object, name, topic,
                 json_pack("{s:s, s:s, s:s}", "device_class", "connectivity", "value_template",
                           "{{ 'ON' if value_json.state == 'running' else 'OFF' }}",
                           "json_attributes_topic", topic));
        at_outbox_push(h->out, topic, json, true);
    }
    json_decref(o);
}

void at_home_band(struct at_home *h, const struct at_radio_view *r, const struct at_band_view *b)
{
    char topic[512], owner[40], part[40], object[AT_HOME_OBJECT], name[160];
    const struct at_band_stats *s = &b->stats;
    clean(r->name, owner, sizeof owner);
    clean(b->name, part, sizeof part);
    snprintf(topic, sizeof topic, "%s/band/%s/%s", h->topic, owner, part);
    snprintf(object, sizeof object, "%s_%s_occupied", owner, part);
    snprintf(name, sizeof name, "%s %s: occupied", owner, part);
    announce(h, "binary_sensor", object, name, topic,
             json_pack("{s:s, s:s, s:s}", "device_class", "occupancy", "value_template",
                       "{{ 'ON' if value_json.occupied else 'OFF' }}", "json_attributes_topic",
                       topic));
    snprintf(object, sizeof object, "%s_%s_occupancy", owner, part);
    snprintf(name, sizeof name, "%s %s: occupancy", owner, part);
    announce(h, "sensor", object, name, topic,
             json_pack("{s:s, s:s, s:s, s:s}", "unit_of_measurement", "%", "value_template",
                       "{{ (value_json.occupancy_ratio * 100) | round(1) }}", "state_class",
                       "measurement", "icon", "mdi:chart-bell-curve"));
    json_t *o = json_pack("{s:s, s:s, s:b, s:i}", "radio", r->name, "band", b->name, "occupied",
                          s->active > 0, "emissions_active", (int)s->active);
    if (o && isfinite(s->occupancy))
        json_object_set_new(o, "occupancy_ratio", json_real(round(s->occupancy * 1e4) / 1e4));
    if (o && isfinite(s->floor_dbfs_hz))
        json_object_set_new(o, "noise_floor_dbfs_per_hz",
                            json_real(round(s->floor_dbfs_hz * 10) / 10));
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        at_outbox_push(h->out, topic, text, true);
    free(text);
    json_decref(o);
}
