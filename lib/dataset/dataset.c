/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dataset/dataset.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cpu.h"
#include "lib/dsp/band.h"
#include "lib/dsp/frames.h"
#include "lib/synth/synth.h"

#define COLUMNS      (AT_FRAME_BINS + AT_AUX_COUNT)
#define MAX_SAMPLES  400000 /* of one example: bounds its cost to some 20 ms */
#define MIN_RATE_HZ  8000.0
#define MAX_RATE_HZ  61.44e6
#define ENOUGH       64 /* tokens of a run that is worth more than the next */
#define MAX_FOLLOWED 12 /* emissions of one example whose tokens are kept */

/* Rates that radios and recordings really have; the generator stays near them most of the time. */
static const double common_rates_hz[] = {
    8e3,   12e3,  48e3,    96e3,    192e3,   240e3,  250e3, 288e3,   1e6,  1.024e6,
    1.4e6, 1.6e6, 1.92e6,  2e6,     2.048e6, 2.4e6,  3.2e6, 3.84e6,  5e6,  7.68e6,
    8e6,   10e6,  11.52e6, 15.36e6, 16e6,    19.2e6, 20e6,  30.72e6, 40e6, 61.44e6,
};

int32_t at_example_columns(void)
{
    return COLUMNS;
}

int32_t at_example_bins(void)
{
    return AT_FRAME_BINS;
}

const char *at_example_label(int32_t class_id)
{
    return class_id >= 0 && class_id < AT_CLASS_COUNT ? at_class_name(class_id) : NULL;
}

/* ---- the scene ---- */

/* What is asked of the band: one wanted emitter, perhaps others, in this rate and time. */
struct draft {
    struct at_scene scene;
    double f_lo_hz, f_hi_hz; /* of the wanted one, baseband; for noise: where to look */
    double snr_db;
    bool wanted; /* emitter 0 is the wanted one; false: class noise */
};

static const struct at_variant *draw_variant(struct at_rng *r, int class_id)
{
    int n = (int)at_variant_count(class_id);
    return n > 0 ? at_variant_at(class_id, (size_t)at_rng_int(r, 0, n - 1)) : NULL;
}

static double near_common_rate(struct at_rng *r, double rate_hz)
{
    double best = rate_hz, distance = 1e9;
    for (size_t i = 0; i < sizeof common_rates_hz / sizeof *common_rates_hz; i++) {
        double d = fabs(log(common_rates_hz[i] / rate_hz));
        if (d < distance) {
            distance = d;
            best = common_rates_hz[i];
        }
    }
    return at_rng_uniform(r, 0, 1) < 0.75 ? best : rate_hz;
}

/* Bandwidth of the wanted signal: the variant's own most of the time (asked 0: it draws it), else
 * stretched in time. */
static double draw_bandwidth(struct at_rng *r, const struct at_variant *v, double *ret_asked_hz)
{
    double bw = at_rng_log_uniform(r, v->bw_lo_hz, v->bw_hi_hz);
    *ret_asked_hz = 0;
    if (at_rng_uniform(r, 0, 1) < 0.35)
        *ret_asked_hz = bw *= at_rng_log_uniform(r, 0.5, 2.0);
    return bw;
}

/* Rate of the band: shares from 0.01 to 0.95, most of them in the middle, as many as the samples
 * allow. */
static double draw_rate(struct at_rng *r, double bw_hz)
{
    double share = at_rng_uniform(r, 0, 1) < 0.6 ? at_rng_log_uniform(r, 0.08, 0.7)
                                                 : at_rng_log_uniform(r, 0.01, 0.95);
    double rate = near_common_rate(r, bw_hz / share);
    if (rate < bw_hz / 0.93)
        rate = bw_hz / 0.93;
    return fmin(fmax(rate, MIN_RATE_HZ), MAX_RATE_HZ);
}

/* The converter and what comes before it. level_dbfs: of the wanted signal while on. */
static void draw_channel(struct at_rng *r, struct at_channel_spec *c, double level_dbfs,
                         double snr_db, double bw_hz)
{
    static const int widths[] = {8, 8, 8, 12, 16, 0};
    c->seed = at_rng_next(r);
    c->noise_dbfs_hz = level_dbfs - snr_db - 10 * log10(bw_hz);
    c->bits = widths[at_rng_int(r, 0, 5)];
    double quiet = c->noise_dbfs_hz;
    if (at_rng_uniform(r, 0, 1) < 0.5)
        c->dc_dbfs = fmin(quiet + 10 * log10(bw_hz) + at_rng_uniform(r, -10, 25), -6);
    if (at_rng_uniform(r, 0, 1) < 0.4) {
        c->iq_gain_db = at_rng_normal(r) * 0.3;
        c->iq_phase_deg = at_rng_normal(r) * 2;
    }
    if (at_rng_uniform(r, 0, 1) < 0.3)
        c->phase_noise_dbc_hz = at_rng_uniform(r, -100, -70);
    if (at_rng_uniform(r, 0, 1) < 0.2) {
        c->n_spurs = at_rng_int(r, 1, 3);
        c->spur_dbfs = fmin(quiet + 10 * log10(bw_hz) + at_rng_uniform(r, -15, 5), -10);
    }
    if (at_rng_uniform(r, 0, 1) < 0.3)
        c->edge_rolloff_db = at_rng_uniform(r, 0, 30);
    if (at_rng_uniform(r, 0, 1) < 0.05 && snr_db > 15)
        c->gated = 1;
}

/* A neighbour on free spectrum, if there is room. */
static void add_neighbour(struct at_rng *r, struct draft *d)
{
    struct at_scene *s = &d->scene;
    int class_id = at_rng_int(r, 1, AT_CLASS_COUNT - 1);
    const struct at_variant *v = draw_variant(r, class_id);
    if (!v)
        return;
    double bw = fmin(v->bw_lo_hz, 0.2 * s->rate_hz), half = 0.46 * s->rate_hz;
    double gap = 0.25 * (d->f_hi_hz - d->f_lo_hz) + 0.02 * s->rate_hz;
    double below = d->f_lo_hz - gap + half, above = half - d->f_hi_hz - gap;
    double room = at_rng_uniform(r, 0, 1) < 0.5 ? below : above;
    if (room < bw)
        return;
    struct at_emitter *e = &s->emitters[s->n_emitters++];
    *e = (struct at_emitter){
        .signal = {.class_id = class_id, .seed = at_rng_next(r), .bandwidth_hz = bw}};
    snprintf(e->signal.variant, sizeof e->signal.variant, "%s", v->name);
    double from_edge = at_rng_uniform(r, bw / 2, room - bw / 2);
    e->offset_hz = room == below ? -half + from_edge : half - from_edge;
    e->snr_db = fmin(d->snr_db, 30) + at_rng_uniform(r, -20, 15);
}

static int draw_wanted(struct at_rng *r, const struct at_example_spec *spec, struct draft *d)
{
    struct at_scene *s = &d->scene;
    const struct at_variant *v = draw_variant(r, spec->class_id);
    if (!v)
        return -EINVAL;
    double asked = 0, bw = fmin(draw_bandwidth(r, v, &asked), 0.93 * MAX_RATE_HZ);
    s->rate_hz = draw_rate(r, bw);
    double channel_rate = fmax(MIN_RATE_HZ, fmin(3 * bw, s->rate_hz));
    double tokens_s = (spec->max_tokens + 4) * (AT_FRAME_BINS / 2) / channel_rate;
    /* a signal wants its time: give up share before time */
    if (tokens_s * s->rate_hz > MAX_SAMPLES && spec->max_tokens >= 64) {
        s->rate_hz = fmax(fmax(MAX_SAMPLES / tokens_s, bw / 0.5), MIN_RATE_HZ);
        s->rate_hz = fmin(s->rate_hz, MAX_RATE_HZ);
    }
    s->duration_s = fmin(tokens_s, MAX_SAMPLES / s->rate_hz);
    double room = fmax(0, 0.98 * s->rate_hz - bw) / 2;
    struct at_emitter *w = &s->emitters[s->n_emitters++];
    *w = (struct at_emitter){
        .signal = {.class_id = spec->class_id, .seed = at_rng_next(r), .bandwidth_hz = asked},
        .offset_hz = at_rng_uniform(r, -room, room),
        .snr_db = d->snr_db};
    snprintf(w->signal.variant, sizeof w->signal.variant, "%s", v->name);
    if (at_rng_uniform(r, 0, 1) < 0.3)
        w->multipath = at_rng_uniform(r, 0.05, 0.8);
    if (at_rng_uniform(r, 0, 1) < 0.3)
        w->drift_hz = at_rng_normal(r) * 0.05 * bw;
    if (at_rng_uniform(r, 0, 1) < 0.5) { /* noise before and after, as a capture has */
        w->start_s = at_rng_uniform(r, 0, 0.3) * s->duration_s;
        if (at_rng_uniform(r, 0, 1) < 0.5)
            w->duration_s = at_rng_uniform(r, 0.3, 1) * (s->duration_s - w->start_s);
    }
    d->f_lo_hz = w->offset_hz - bw / 2;
    d->f_hi_hz = w->offset_hz + bw / 2;
    d->wanted = true;
    return 0;
}

static void draw_noise(struct at_rng *r, const struct at_example_spec *spec, struct draft *d)
{
    struct at_scene *s = &d->scene;
    double bw = at_rng_log_uniform(r, 300, 10e6);
    s->rate_hz = draw_rate(r, bw);
    double channel_rate = fmax(MIN_RATE_HZ, fmin(3 * bw, s->rate_hz));
    s->duration_s =
        fmin((spec->max_tokens + 4) * (AT_FRAME_BINS / 2) / channel_rate, MAX_SAMPLES / s->rate_hz);
    double room = fmax(0, 0.98 * s->rate_hz - bw) / 2, middle = at_rng_uniform(r, -room, room);
    d->f_lo_hz = middle - bw / 2;
    d->f_hi_hz = middle + bw / 2;
}

static int draw(struct at_rng *r, const struct at_example_spec *spec, struct draft *d)
{
    *d = (struct draft){0};
    d->snr_db = at_rng_uniform(r, spec->snr_lo_db, spec->snr_hi_db);
    if (spec->class_id == AT_CLASS_NOISE) {
        draw_noise(r, spec, d);
    } else {
        int e = draw_wanted(r, spec, d);
        if (e < 0)
            return e;
    }
    double level =
        at_rng_uniform(r, 0, 1) < 0.15 ? at_rng_uniform(r, -3, 6) : at_rng_uniform(r, -45, -3);
    draw_channel(r, &d->scene.channel, level, d->snr_db, d->f_hi_hz - d->f_lo_hz);
    if (at_rng_uniform(r, 0, 1) < (d->wanted ? 0.25 : 0.4))
        add_neighbour(r, d);
    return 0;
}

/* ---- the band's answers ---- */

struct follower {
    uint64_t id;
    size_t n;
    bool full;     /* a later run is not wanted */
    float *frames; /* (max_tokens, COLUMNS) */
    struct at_emission emission;
};

struct catcher {
    double f_lo_hz, f_hi_hz;
    size_t max_tokens, n;
    struct follower f[MAX_FOLLOWED];
};

static double overlap(double a_lo, double a_hi, double b_lo, double b_hi)
{
    double both = fmin(a_hi, b_hi) - fmax(a_lo, b_lo);
    return both > 0 ? both / fmax(a_hi - a_lo, b_hi - b_lo) : 0;
}

static struct follower *find(struct catcher *c, uint64_t id)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->f[i].id == id)
            return &c->f[i];
    return NULL;
}

static void on_opened(void *ctx, const struct at_emission *e)
{
    struct catcher *c = ctx;
    double margin = 0.1 * (c->f_hi_hz - c->f_lo_hz);
    if (c->n == MAX_FOLLOWED || e->f_hi_hz < c->f_lo_hz - margin ||
        e->f_lo_hz > c->f_hi_hz + margin)
        return;
    float *frames = calloc(c->max_tokens, COLUMNS * sizeof *frames);
    if (frames)
        c->f[c->n++] = (struct follower){.id = e->id, .frames = frames, .emission = *e};
}

static size_t on_room(void *ctx, uint64_t id)
{
    struct catcher *c = ctx;
    const struct follower *f = find(c, id);
    return f && !f->full ? c->max_tokens - f->n : 0;
}

static void on_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                      unsigned flags, uint64_t index)
{
    struct catcher *c = ctx;
    struct follower *f = find(c, e->id);
    if (!f)
        return;
    if ((flags & AT_TOKENS_NEW_RUN) && f->n < ENOUGH)
        f->n = 0; /* a session begins anew there; a run that was long enough is kept instead */
    else if (flags & AT_TOKENS_NEW_RUN)
        f->full = true;
    if (f->full)
        return;
    if (n > c->max_tokens - f->n)
        n = c->max_tokens - f->n;
    memcpy(f->frames + f->n * COLUMNS, frames, n * COLUMNS * sizeof *frames);
    f->n += n;
    f->emission = *e;
}

static void on_changed(void *ctx, const struct at_emission *e)
{
    struct follower *f = find(ctx, e->id);
    if (f)
        f->emission = *e;
}

static void on_row(void *ctx, const struct at_row *row)
{
}

/* Pushes the scene through a band. forced: also open an emission at these edges by hand; its id
 * comes back. */
static int run_band(const struct draft *d, const float *iq, size_t n, struct catcher *c,
                    const double *forced, uint64_t *ret_id)
{
    const struct at_band_sink sink = {.ctx = c,
                                      .opened = on_opened,
                                      .room = on_room,
                                      .tokens = on_tokens,
                                      .updated = on_changed,
                                      .closed = on_changed,
                                      .row = on_row};
    const struct at_band_config config = {.rate_hz = d->scene.rate_hz,
                                          .assumed_floor_dbfs_hz = d->scene.channel.noise_dbfs_hz,
                                          .lookback_s = fmin(0.1, 1.05 * d->scene.duration_s),
                                          .waterfall_rate = 1};
    struct at_band *band = NULL;
    int r = at_band_create(NULL, &config, &sink, NULL, &band);
    if (r == 0 && forced) {
        r = at_band_open_emission(band, forced[0], forced[1], 0, n, ret_id);
        if (r == -EINVAL) { /* edges that leave the band, or no room for one frame: nothing comes of
                               it */
            at_band_destroy(band);
            return 0;
        }
    }
    if (r == 0)
        r = at_band_push(band, iq, n, 0);
    if (r == 0)
        r = at_band_flush(band);
    at_band_destroy(band);
    return r;
}

/* The follower that is the wanted signal: most of the truth's band, then most tokens. */
static const struct follower *best(const struct catcher *c)
{
    const struct follower *found = NULL;
    double most = 0.15;
    for (size_t i = 0; i < c->n; i++) {
        const struct follower *f = &c->f[i];
        double o = overlap(f->emission.f_lo_hz, f->emission.f_hi_hz, c->f_lo_hz, c->f_hi_hz);
        double score = o * (1 + log2(1 + (double)f->n));
        if (f->n > 0 && o > 0.15 && score > most) {
            most = score;
            found = f;
        }
    }
    return found;
}

static void release(struct catcher *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->f[i].frames);
    c->n = 0;
}

static void copy_out(const struct follower *f, const struct draft *d, float *frames,
                     struct at_example_info *ret)
{
    memcpy(frames, f->frames, f->n * COLUMNS * sizeof *frames);
    ret->n_tokens = (int32_t)f->n;
    ret->measured_snr_db = f->emission.snr_db;
    ret->share = (float)((f->emission.f_hi_hz - f->emission.f_lo_hz) / d->scene.rate_hz);
    ret->bandwidth_hz = (float)(f->emission.f_hi_hz - f->emission.f_lo_hz);
}

/* Edges as the detector would have put them, had it seen the signal: its jitter is some 10 % of the
 * bandwidth. */
static void jittered_edges(struct at_rng *r, const struct draft *d, double edges[2])
{
    double bw = d->f_hi_hz - d->f_lo_hz, half = d->scene.rate_hz / 2;
    double middle = (d->f_lo_hz + d->f_hi_hz) / 2 + at_rng_normal(r) * 0.08 * bw;
    double width = bw * at_rng_log_uniform(r, 0.7, 1.4);
    edges[0] = fmax(middle - width / 2, -half);
    edges[1] = fmin(middle + width / 2, half);
}

static int follow(struct at_rng *r, struct draft *d, const float *iq, size_t n, uint32_t max_tokens,
                  float *frames, struct at_example_info *ret)
{
    struct catcher c = {.f_lo_hz = d->f_lo_hz, .f_hi_hz = d->f_hi_hz, .max_tokens = max_tokens};
    int e = 0;
    bool hopeless = d->snr_db < -2 && at_rng_uniform(r, 0, 1) <
                                          0.7; /* below the threshold: spare the detector's run */
    if (d->wanted && !hopeless) {
        e = run_band(d, iq, n, &c, NULL, NULL);
        const struct follower *f = e == 0 ? best(&c) : NULL;
        if (f) {
            copy_out(f, d, frames, ret);
            ret->detected = 1;
        }
        release(&c);
    }
    if (e == 0 && !ret->detected) {
        double edges[2];
        uint64_t id = 0;
        jittered_edges(r, d, edges);
        e = run_band(d, iq, n, &c, edges, &id);
        const struct follower *f = e == 0 ? find(&c, id) : NULL;
        if (f)
            copy_out(f, d, frames, ret);
        release(&c);
    }
    return e;
}

int32_t at_example_make(const struct at_example_spec *spec, float *frames,
                        struct at_example_info *ret)
{
    if (spec->class_id < 0 || spec->class_id >= AT_CLASS_COUNT || spec->max_tokens == 0)
        return -EINVAL;
    at_cpu_flush_denormals();
    struct at_rng r;
    at_rng_seed(&r, spec->seed);
    struct draft d;
    int e = draw(&r, spec, &d);
    if (e < 0)
        return e;
    size_t n = (size_t)(d.scene.duration_s * d.scene.rate_hz);
    float *iq = n ? malloc(n * 2 * sizeof *iq) : NULL;
    struct at_signal_truth truth[64] = {0};
    e = iq ? at_scene_render(&d.scene, 0, iq, truth) : -ENOMEM;
    *ret = (struct at_example_info){
        .class_id = spec->class_id, .snr_db = (float)d.snr_db, .rate_hz = (float)d.scene.rate_hz};
    if (e == 0) {
        if (d.wanted) { /* the truth's own edges */
            double middle = d.scene.emitters[0].offset_hz + truth[0].center_hz;
            d.f_lo_hz = middle - truth[0].bandwidth_hz / 2;
            d.f_hi_hz = middle + truth[0].bandwidth_hz / 2;
            memcpy(ret->variant, truth[0].variant, sizeof ret->variant);
        }
        e = follow(&r, &d, iq, n, spec->max_tokens, frames, ret);
    } else if (e == -EINVAL) {
        e = 0; /* the variant does not fit the rate: nothing came of it, drawn again */
    }
    free(iq);
    return e;
}
