/* Spectrum and waterfall rows. SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"

/* Slot of the band that the query names; without a name that which its radio (the first one by
 * default) visits now. -1 with the answer made. */
static int find_band(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return -1;
    const char *radio = at_request_param(q, "radio"), *band = at_request_param(q, "band");
    int found = -1;
    bool named = at_api_has(v, radio, band, r);
    for (size_t i = 0; named && i < v->n_radios && found < 0; i++) {
        const struct at_radio_view *w = &v->radios[i];
        if (radio && strcmp(w->name, radio) != 0)
            continue;
        for (size_t k = 0; k < w->n_bands && found < 0; k++)
            if (band ? !strcmp(w->bands[k].name, band) : !w->bands[k].waiting)
                found = (int)w->bands[k].slot;
    }
    if (named && found < 0)
        at_reply_error(r, 404, "no_spectrum", "no radio is there that visits a band");
    free(v);
    return found;
}

/* {"items": [rows], "next": newest seq}, or the row alone. Rows are written as text: thousands of
 * numbers each. */
static void write_rows(struct at_reply *r, const struct at_stored_row *rows, size_t n, bool list)
{
    if (list)
        at_buf_printf(&r->body, "{\"items\":[");
    for (size_t i = 0; i < n; i++) {
        char *text = at_rows_to_json(&rows[i]);
        if (!text) {
            at_reply_json(r, 500, NULL);
            return;
        }
        if (i)
            at_buf_add(&r->body, ",", 1);
        at_buf_add(&r->body, text, strlen(text));
        free(text);
    }
    if (list && n)
        at_buf_printf(&r->body, "],\"next\":%llu}", (unsigned long long)rows[n - 1].seq);
    else if (list)
        at_buf_printf(&r->body, "],\"next\":null}");
    if (r->body.failed)
        at_reply_json(r, 500, NULL);
}

/* 1: the query wants bytes, 0: JSON, -1: the answer is made. */
static int wants_binary(const struct at_request *q, struct at_reply *r)
{
    const char *format = at_request_param(q, "format");
    if (!format || !strcmp(format, "json"))
        return 0;
    if (!strcmp(format, "binary"))
        return 1;
    at_reply_error(r, 400, "bad_parameter", "format: json or binary");
    return -1;
}

static void write_bytes(struct at_reply *r, const struct at_stored_row *rows, size_t n)
{
    r->headers.type = "application/octet-stream";
    for (size_t i = 0; i < n; i++)
        at_rows_to_bytes(&rows[i], &r->body);
    if (r->body.failed)
        at_reply_json(r, 500, NULL);
}

void at_api_spectrum(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    int binary = wants_binary(q, r);
    int slot = binary < 0 ? -1 : find_band(api, q, r);
    if (slot < 0)
        return;
    struct at_stored_row *row = malloc(sizeof *row);
    if (!row)
        at_reply_json(r, 500, NULL);
    else if (!at_rows_get(api->rows, (size_t)slot, 0, row, 1))
        at_reply_error(r, 404, "no_spectrum", "this band has not delivered a spectrum yet");
    else if (binary)
        write_bytes(r, row, 1);
    else
        write_rows(r, row, 1, false);
    free(row);
}

void at_api_waterfall(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    uint64_t limit = 100, since = 0;
    if (at_request_count(q, "limit", 1, AT_API_MAX_ITEMS, &limit, r) ||
        at_request_count(q, "since", 0, AT_API_MAX_SEQ, &since, r))
        return;
    int binary = wants_binary(q, r);
    int slot = binary < 0 ? -1 : find_band(api, q, r);
    if (slot < 0)
        return;
    struct at_stored_row *rows = calloc(limit, sizeof *rows);
    size_t n = 0;
    if (rows)
        n = at_rows_get(api->rows, (size_t)slot, since, rows, limit);
    if (!rows)
        at_reply_json(r, 500, NULL);
    else if (binary)
        write_bytes(r, rows, n);
    else
        write_rows(r, rows, n, true);
    free(rows);
}
