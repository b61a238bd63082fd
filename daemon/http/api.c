/* Helpers of the handlers. SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/api.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"

void at_reply_init(struct at_reply *r)
{
    *r = (struct at_reply){.status = 200, .headers = {.type = "application/json"}};
    at_buf_init(&r->body, AT_API_MAX_BODY);
}

void at_reply_finish(struct at_reply *r)
{
    at_buf_finish(&r->body);
}

const char *at_request_param(const struct at_request *q, const char *key)
{
    for (size_t i = 0; i < q->n_params; i++)
        if (!strcmp(q->params[i].key, key))
            return q->params[i].value;
    return NULL;
}

void at_reply_error(struct at_reply *r, int status, const char *code, const char *format, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    json_t *error = json_object(), *root = json_pack("{s:o}", "error", error);
    if (root) {
        at_json_set_text(error, "code", code);
        at_json_set_text(error, "message", message);
    }
    at_reply_json(r, status, root);
}

static int add_chunk(const char *data, size_t n, void *ctx)
{
    return at_buf_add(ctx, data, n) ? -1 : 0;
}

void at_reply_json(struct at_reply *r, int status, json_t *root)
{
    static const char no_memory[] =
        "{\"error\":{\"code\":\"no_memory\",\"message\":\"out of memory; try again\"}}";
    r->status = status;
    r->headers.type = "application/json";
    at_buf_reset(&r->body);
    if (!root ||
        json_dump_callback(root, add_chunk, &r->body, JSON_COMPACT | JSON_REAL_PRECISION(9))) {
        r->status = 500;
        r->asset = no_memory;
        r->asset_n = sizeof no_memory - 1;
    }
    json_decref(root);
}

void at_reply_list(struct at_reply *r, json_t *items, uint64_t cursor)
{
    json_t *root = json_object();
    if (!root || !items || json_object_set_new(root, "items", items)) {
        json_decref(root);
        at_reply_json(r, 500, NULL);
        return;
    }
    json_object_set_new(root, "next", cursor ? json_integer((json_int_t)cursor) : json_null());
    at_reply_json(r, 200, root);
}

int at_request_number(const struct at_request *q, const char *key, double min, double max,
                      double *ret, struct at_reply *r)
{
    const char *text = at_request_param(q, key);
    if (!text)
        return 0;
    char *end;
    double value = strtod(text, &end);
    /* Decimal, as JSON has it: strtod() also reads 0x10, inf and what follows blanks. */
    if (!*text || *end || text[strspn(text, "0123456789+-.eE")] ||
        !(value >= min && value <= max)) {
        at_reply_error(r, 400, "bad_parameter", "%s: give a number from %.15g to %.15g", key, min,
                       max);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

int at_request_count(const struct at_request *q, const char *key, uint64_t min, uint64_t max,
                     uint64_t *ret, struct at_reply *r)
{
    const char *text = at_request_param(q, key);
    if (!text)
        return 0;
    size_t n = strspn(text, "0123456789");
    uint64_t value = n && n < 19 && !text[n] ? strtoull(text, NULL, 10) : UINT64_MAX;
    if (value < min || value > max) {
        at_reply_error(r, 400, "bad_parameter", "%s: give a whole number from %llu to %llu", key,
                       (unsigned long long)min, (unsigned long long)max);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

void at_json_set_real(json_t *object, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(object, key, json_real(value));
}

void at_json_set_text(json_t *object, const char *key, const char *text)
{
    if (!text || !*text)
        return;
    json_t *value = json_string(text);
    /* Text from a driver need not be UTF-8: then it is shown byte by byte. */
    if (!value) {
        char safe[512];
        size_t n = 0;
        for (; n < sizeof safe - 1 && text[n]; n++)
            safe[n] = (text[n] & 0x80) || (unsigned char)text[n] < 0x20 ? '?' : text[n];
        safe[n] = 0;
        value = json_string(safe);
    }
    json_object_set_new(object, key, value);
}

void at_json_set_utc(json_t *object, const char *key, int64_t utc_ns)
{
    if (!utc_ns)
        return;
    char text[AT_RFC3339_SIZE];
    at_clock_format_utc(utc_ns, text);
    json_object_set_new(object, key, json_string(text));
}

struct at_view *at_api_view(const struct at_api *api, struct at_reply *r)
{
    struct at_view *v = calloc(1, sizeof *v);
    if (!v) {
        at_reply_json(r, 500, NULL);
        return NULL;
    }
    api->get_view(api->ctx, v);
    return v;
}

static bool lists(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at; at = strstr(at, ", ") ? strstr(at, ", ") + 2 : NULL)
        if (!strncmp(at, name, n) && (!at[n] || !strncmp(at + n, ", ", 2)))
            return true;
    return false;
}

void at_api_names_add(struct at_api_names *l, const char *name)
{
    size_t at = strlen(l->text);
    if (at + strlen(name) + 3 <= sizeof l->text && !lists(l->text, name))
        snprintf(l->text + at, sizeof l->text - at, "%s%s", at ? ", " : "", name);
}

bool at_api_has(const struct at_view *v, const char *radio, const char *band, struct at_reply *r)
{
    struct at_api_names radios = {""}, bands = {""};
    bool has_radio = !radio || !v->n_radios, has_band = !band || !v->n_radios;
    for (size_t i = 0; i < v->n_radios; i++) {
        const struct at_radio_view *w = &v->radios[i];
        at_api_names_add(&radios, w->name);
        if (radio && strcmp(w->name, radio) != 0)
            continue;
        has_radio = true;
        for (size_t k = 0; k < w->n_bands; k++) {
            at_api_names_add(&bands, w->bands[k].name);
            has_band = has_band || !strcmp(w->bands[k].name, band);
        }
    }
    if (!has_radio)
        at_reply_error(r, 400, "bad_parameter", "radio: '%.32s' is none of %s", radio, radios.text);
    else if (!has_band)
        at_reply_error(r, 400, "bad_parameter", "band: '%.32s' is none of %s", band, bands.text);
    return has_radio && has_band;
}
