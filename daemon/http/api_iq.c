/* The IQ of an emission as a SigMF archive: a tar of its meta and data files (SigMF 1.0, "Archive
 * format"). SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"
#include "lib/base/clock.h"

#define BLOCK    512
#define MARGIN_S 0.05 /* before and after the emission */

/* A ustar header (POSIX pax, "ustar Interchange Format") and the data, filled up to whole blocks.
 */
static void add_file(struct at_buf *tar, const char *name, const void *data, size_t n)
{
    static const char zeros[BLOCK];
    char h[BLOCK] = {0};
    unsigned sum = 0;
    snprintf(h, 100, "%s", name);
    snprintf(h + 100, 8, "%07o", 0644u);
    snprintf(h + 108, 8, "%07o", 0u);
    snprintf(h + 116, 8, "%07o", 0u);
    snprintf(h + 124, 12, "%011zo", n);
    snprintf(h + 136, 12, "%011llo", (unsigned long long)(at_clock_utc_ns() / AT_NS_PER_S));
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    at_buf_add(tar, h, BLOCK);
    at_buf_add(tar, data, n);
    at_buf_add(tar, zeros, (BLOCK - n % BLOCK) % BLOCK);
}

static json_t *annotation_json(const struct at_result *e, const struct at_iq_piece *p)
{
    json_t *o = json_object(), *self = at_result_to_json(e);
    uint64_t from = e->emission.start > p->index ? e->emission.start - p->index : 0;
    uint64_t to = e->emission.end > p->index ? e->emission.end - p->index : 0;
    from = from < p->n ? from : p->n;
    to = to < p->n ? to : p->n;
    json_object_set_new(o, "core:sample_start", json_integer((json_int_t)from));
    json_object_set_new(o, "core:sample_count",
                        json_integer((json_int_t)(to > from ? to - from : 0)));
    at_json_set_real(o, "core:freq_lower_edge", p->center_hz + e->emission.f_lo_hz);
    at_json_set_real(o, "core:freq_upper_edge", p->center_hz + e->emission.f_hi_hz);
    if (e->has_answer)
        at_json_set_text(o, "core:label", e->answer.label);
    json_object_set_new(o, "attune:emission", self);
    if (e->model)
        at_json_set_text(o, "attune:model_digest", e->model->digest);
    return o;
}

static json_t *meta_json(const struct at_result *e, const struct at_iq_piece *p)
{
    json_t *capture = json_object(), *notes = json_array();
    json_object_set_new(capture, "core:sample_start", json_integer(0));
    json_object_set_new(capture, "core:global_index", json_integer((json_int_t)p->index));
    if (p->center_hz > 0)
        at_json_set_real(capture, "core:frequency", p->center_hz);
    if (e->start_utc_ns)
        at_json_set_utc(
            capture, "core:datetime",
            e->start_utc_ns +
                (int64_t)(1e9 * ((double)p->index - (double)e->emission.start) / p->rate_hz));
    json_array_append_new(notes, annotation_json(e, p));
    return json_pack("{s:{s:s, s:f, s:s, s:s, s:[{s:s, s:s, s:b}]}, s:[o], s:o}", "global",
                     "core:datatype", "ci16_le", "core:sample_rate", p->rate_hz, "core:version",
                     "1.0.0", "core:recorder", "attuned " AT_VERSION, "core:extensions", "name",
                     "attune", "version", "1.0.0", "optional", 1, "captures", capture,
                     "annotations", notes);
}

static void write_archive(struct at_reply *r, const struct at_result *e,
                          const struct at_iq_piece *p)
{
    static const char end[2 * BLOCK];
    char name[100];
    json_t *meta = meta_json(e, p);
    char *text = meta ? json_dumps(meta, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(meta);
    size_t n = p->n * 2 * sizeof *p->iq;
    if (!text) {
        at_reply_json(r, 500, NULL);
        return;
    }
    r->body.max = n + strlen(text) + 8 * BLOCK;
    snprintf(name, sizeof name, "attune-%s.sigmf-meta", e->id);
    add_file(&r->body, name, text, strlen(text));
    snprintf(name, sizeof name, "attune-%s.sigmf-data", e->id);
    add_file(&r->body, name, p->iq, n);
    at_buf_add(&r->body, end, sizeof end);
    free(text);
    r->headers.disposition = "attachment; filename=\"emission.sigmf\"";
    if (r->body.failed)
        at_reply_json(r, 500, NULL);
}

void at_api_emission_iq(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_result *e = calloc(1, sizeof *e);
    struct at_iq_piece piece = {0};
    uint64_t seq;
    int rc = !e ? -ENOMEM : at_store_get(api->store, q->id, e, &seq);
    if (rc == -ENOENT) {
        at_reply_error(r, 404, "not_found", "no emission with this id is alive or in memory");
    } else if (!rc) {
        rc = api->get_iq ? api->get_iq(api->ctx, e, MARGIN_S, &piece) : -ENOENT;
        if (rc == -ENOENT)
            at_reply_error(r, 410, "gone",
                           "its samples have left the look-back ring; see lookback.keep");
    }
    if (rc && rc != -ENOENT)
        at_reply_json(r, 500, NULL);
    else if (!rc)
        write_archive(r, e, &piece);
    free(piece.iq);
    free(e);
}
