/* A sink that remembers what a band said, and a way to push samples into it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_BAND_LOG_H
#define AT_TESTS_BAND_LOG_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/band.h"
#include "lib/dsp/frames.h"

enum { LOG_EMISSIONS = 256, LOG_COLUMNS = AT_FRAME_BINS + AT_AUX_COUNT };

struct band_log {
    unsigned n, n_closed, n_rows, new_runs, n_bad;
    struct at_emission e[LOG_EMISSIONS]; /* newest state, by order of opening */
    size_t tokens[LOG_EMISSIONS];
    size_t limit; /* room told to the band; 0: no limit */
    size_t n_frames;
    float *frames;  /* (n_frames, LOG_COLUMNS) of all emissions */
    uint64_t index; /* newest */
    double rate_hz; /* channel rate of the newest tokens */
    float skipped;  /* highest value of the skipped column */
};

static inline unsigned log_find(const struct band_log *l, uint64_t id)
{
    for (unsigned i = 0; i < l->n; i++)
        if (l->e[i].id == id)
            return i;
    return LOG_EMISSIONS;
}

static inline void log_opened(void *ctx, const struct at_emission *e)
{
    struct band_log *l = ctx;
    if (l->n < LOG_EMISSIONS)
        l->e[l->n++] = *e;
}

static inline size_t log_room(void *ctx, uint64_t id)
{
    struct band_log *l = ctx;
    return l->limit ? l->limit - 1 : SIZE_MAX;
}

static inline void log_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                              unsigned flags, uint64_t index)
{
    struct band_log *l = ctx;
    unsigned i = log_find(l, e->id);
    if (i < LOG_EMISSIONS)
        l->tokens[i] += n;
    l->new_runs += flags & AT_TOKENS_NEW_RUN;
    l->frames = realloc(l->frames, (l->n_frames + n) * LOG_COLUMNS * sizeof(float));
    memcpy(l->frames + l->n_frames * LOG_COLUMNS, frames, n * LOG_COLUMNS * sizeof(float));
    l->n_frames += n;
    l->index = index;
    l->rate_hz = pow(2, frames[AT_FRAME_BINS + AT_AUX_BIN_KHZ]) * 1e3 * AT_FRAME_BINS;
    for (size_t k = 0; k < n * LOG_COLUMNS; k++)
        l->n_bad += !(frames[k] > -1e6f && frames[k] < 1e6f);
    for (size_t k = 0; k < n; k++)
        if (frames[k * LOG_COLUMNS + AT_FRAME_BINS + AT_AUX_SKIPPED] > l->skipped)
            l->skipped = frames[k * LOG_COLUMNS + AT_FRAME_BINS + AT_AUX_SKIPPED];
}

static inline void log_updated(void *ctx, const struct at_emission *e)
{
    struct band_log *l = ctx;
    unsigned i = log_find(l, e->id);
    if (i < LOG_EMISSIONS)
        l->e[i] = *e;
}

static inline void log_closed(void *ctx, const struct at_emission *e)
{
    log_updated(ctx, e);
    ((struct band_log *)ctx)->n_closed++;
}

static inline void log_row(void *ctx, const struct at_row *row)
{
    struct band_log *l = ctx;
    l->n_rows++;
    for (unsigned k = 0; k < row->n; k++)
        l->n_bad += !(row->dbfs[k] > -1e6f && row->dbfs[k] < 1e6f);
}

static inline struct at_band *log_band(struct band_log *l, struct at_mem *mem, double rate_hz)
{
    struct at_band_config c = {.rate_hz = rate_hz};
    struct at_band_sink sink = {l,           log_opened, log_room, log_tokens,
                                log_updated, log_closed, log_row};
    struct at_error err = {""};
    struct at_band *b = NULL;
    if (at_band_create(mem, &c, &sink, &err, &b) < 0)
        fprintf(stderr, "%s\n", err.text);
    return b;
}

static inline void log_print(const struct band_log *l, double rate_hz)
{
    for (unsigned i = 0; i < l->n; i++)
        printf("  #%u %.2f..%.2f kHz, %.2f..%.2f ms, snr %.1f dB, level %.1f dBFS, bursts %u, duty "
               "%.2f, %zu tokens\n",
               (unsigned)l->e[i].id, l->e[i].f_lo_hz / 1e3, l->e[i].f_hi_hz / 1e3,
               (double)l->e[i].start / rate_hz * 1e3, (double)l->e[i].end / rate_hz * 1e3,
               (double)l->e[i].snr_db, (double)l->e[i].level_dbfs, l->e[i].bursts,
               (double)l->e[i].duty, l->tokens[i]);
}

/* All of iq (n, 2) through a band of its own. -1: it failed, left an emission open or made a token
 * that is no number. */
static inline int log_run(struct band_log *l, const float *iq, size_t n, double rate_hz)
{
    struct at_band *b = log_band(l, NULL, rate_hz);
    int ret = b ? at_band_push(b, iq, n, 0) : -1;
    if (ret == 0)
        ret = at_band_flush(b);
    at_band_destroy(b);
    log_print(l, rate_hz);
    return ret == 0 && l->n_closed == l->n && l->n_bad == 0 ? 0 : -1;
}

#endif
