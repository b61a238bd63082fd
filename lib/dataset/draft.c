/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dataset/draft.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/dsp/frames.h"

#define FEW_SAMPLES  130e3 /* of one scene, drawn in between: bounds its cost */
#define MOST_SAMPLES 400e3
#define BRIEFEST     4e3 /* and of one with a line alone */
#define HOP          (AT_FRAME_BINS / 2)
#define CLEAN        0.12 /* share of the scenes that no fault of air or receiver touches, */
#define CLEAN_LINES  0.24 /* and of those with a carrier */
#define PLAIN        0.8  /* share of the carriers in these that are steady lines of any strength */
#define PLAIN_ON_BIN 0.4  /* of them on a bin of the long spectra */
#define FILTERED     0.1  /* share of the scenes of which only a channel's width is let through */
#define CLIPS_DBFS   (-3.0) /* a level from which on samples may be clipped */
#define WORTH        24     /* tokens that a filled-in emitter should bring at least */

/* Rates that radios and recordings really have; the generator stays near them most of the time. */
static const double common_rates_hz[] = {
    8e3,   12e3,  48e3,    96e3,    192e3,   240e3,  250e3, 288e3,   1e6,  1.024e6,
    1.4e6, 1.6e6, 1.92e6,  2e6,     2.048e6, 2.4e6,  3.2e6, 3.84e6,  5e6,  7.68e6,
    8e6,   10e6,  11.52e6, 15.36e6, 16e6,    19.2e6, 20e6,  30.72e6, 40e6, 61.44e6,
};

static const struct at_variant *draw_variant(struct at_rng *r, int class_id)
{
    int n = (int)at_variant_count(class_id) - (class_id == AT_CLASS_OUTLIER); /* less the bump */
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
 * stretched in time; but not where width alone tells classes apart: broadcast FM of half its width
 * is what nobody sends. */
static double draw_bandwidth(struct at_rng *r, const struct at_variant *v, int class_id,
                             double *ret_asked_hz)
{
    double bw = at_rng_log_uniform(r, v->bw_lo_hz, v->bw_hi_hz);
    bool by_width = class_id == AT_CLASS_NFM || class_id == AT_CLASS_WFM;
    *ret_asked_hz = 0;
    if (at_rng_uniform(r, 0, 1) < 0.35 && !by_width)
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
    return fmin(fmax(rate, AT_RATE_MIN_HZ), AT_RATE_MAX_HZ);
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
    if (at_rng_uniform(r, 0, 1) < 0.08) {
        c->n_gain_steps = at_rng_int(r, 2, 5);
        c->gain_step_db = at_rng_uniform(r, 2, 15);
    }
}

/* Narrow ones fit in nearly everywhere: fewer are asked for, so that classes come about evenly. */
static int draw_class(struct at_rng *r)
{
    int c = at_rng_int(r, 1, AT_CLASS_COUNT - 1);
    bool narrow = c == AT_CLASS_CARRIER || c == AT_CLASS_CW;
    return narrow && at_rng_uniform(r, 0, 1) < 0.7 ? at_rng_int(r, AT_CLASS_OOK, AT_CLASS_COUNT - 1)
                                                   : c;
}

static void add_place(struct at_draft *d, const struct at_emitter *e, double middle_hz,
                      double bw_hz)
{
    if (d->n_places == AT_DRAFT_MAX)
        return;
    struct at_place *p = &d->places[d->n_places++];
    *p = (struct at_place){.f_lo_hz = middle_hz - bw_hz / 2, .f_hi_hz = middle_hz + bw_hz / 2};
    if (!e)
        return;
    p->snr_db = e->snr_db;
    p->class_id = e->signal.class_id;
    d->scene.emitters[d->scene.n_emitters] = *e;
    d->scene.emitters[d->scene.n_emitters++].fits = true;
    d->n_emitters++;
}

/* Cut by the receiver's filter: it fills whatever rate it is seen in. */
static bool fills_band(const struct at_variant *v)
{
    return strstr(v->name, "_cut") != NULL;
}

/* A middle frequency with a guard on both sides, free of other places. */
static bool find_room(struct at_rng *r, const struct at_draft *d, double bw_hz, double *ret_hz)
{
    double half = 0.485 * d->scene.rate_hz - bw_hz / 2;
    for (int tries = 0; half > 0 && tries < 8; tries++) {
        double f = at_rng_uniform(r, -half, half);
        bool free = true;
        for (size_t i = 0; i < d->n_places && free; i++) {
            const struct at_place *p = &d->places[i];
            double guard = 0.3 * (bw_hz + p->f_hi_hz - p->f_lo_hz) + 0.01 * d->scene.rate_hz;
            free = f - bw_hz / 2 > p->f_hi_hz + guard || f + bw_hz / 2 < p->f_lo_hz - guard;
        }
        if (free) {
            *ret_hz = f;
            return true;
        }
    }
    return false;
}

static void draw_times(struct at_rng *r, const struct at_scene *s, struct at_emitter *e)
{
    if (at_rng_uniform(r, 0, 1) < 0.5)
        return;
    e->start_s = at_rng_uniform(r, 0, 0.3) * s->duration_s; /* noise before and after */
    if (at_rng_uniform(r, 0, 1) < 0.5)
        e->duration_s = at_rng_uniform(r, 0.3, 1) * (s->duration_s - e->start_s);
}

static void draw_air(struct at_rng *r, double bw_hz, struct at_emitter *e)
{
    if (at_rng_uniform(r, 0, 1) < 0.3)
        e->multipath = at_rng_uniform(r, 0.05, 0.8);
    if (at_rng_uniform(r, 0, 1) < 0.3)
        e->drift_hz = at_rng_normal(r) * 0.05 * bw_hz;
}

/* Another emitter on free spectrum, if one that fits the rate and time is drawn. */
static void add_neighbour(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *d,
                          double least_tokens)
{
    int class_id = draw_class(r);
    const struct at_variant *v = draw_variant(r, class_id);
    double bw = v ? at_rng_log_uniform(r, v->bw_lo_hz, v->bw_hi_hz) : 0, middle;
    double channel = fmin(fmax(3 * bw, AT_RATE_MIN_HZ), d->scene.rate_hz);
    if (!v || fills_band(v) || d->scene.duration_s * channel < least_tokens * HOP ||
        bw > 0.4 * d->scene.rate_hz || !find_room(r, d, bw, &middle))
        return;
    struct at_emitter e = {
        .signal = {.class_id = class_id, .seed = at_rng_next(r), .bandwidth_hz = bw},
        .offset_hz = middle,
        .snr_db = at_rng_uniform(r, spec->snr_lo_db, spec->snr_hi_db)};
    /* far weaker ones are lost beside the strongest's splatter: mostly of like level */
    double first = d->n_emitters ? d->places[0].snr_db : e.snr_db;
    if (at_rng_uniform(r, 0, 1) < 0.7)
        e.snr_db = fmin(fmax(e.snr_db, first - 15), first + 15);
    snprintf(e.signal.variant, sizeof e.signal.variant, "%s", v->name);
    draw_times(r, &d->scene, &e);
    draw_air(r, bw, &e);
    add_place(d, &e, middle, bw);
}

/* Rate and length of the scene for a signal of this bandwidth. */
static void draw_window(struct at_rng *r, const struct at_draft_spec *spec, double bw_hz,
                        struct at_scene *s)
{
    if (spec->class_id == AT_CLASS_CARRIER && at_rng_uniform(r, 0, 1) < 0.4) {
        /* a line stands in bands of any width, as long as that lasts: captures of a millisecond
         * too, in which the long spectra see nothing */
        s->rate_hz = near_common_rate(r, at_rng_log_uniform(r, 50e3, 20e6));
        s->duration_s = at_rng_log_uniform(r, BRIEFEST, MOST_SAMPLES) / s->rate_hz;
        return;
    }
    s->rate_hz = draw_rate(r, bw_hz);
    double channel_rate = fmax(AT_RATE_MIN_HZ, fmin(3 * bw_hz, s->rate_hz));
    double tokens_s = (spec->max_tokens + 4) * HOP / channel_rate;
    double most =
        fmax(at_rng_log_uniform(r, FEW_SAMPLES, MOST_SAMPLES), 2.0 * HOP * spec->max_tokens);
    /* a signal wants its time: give up share before time */
    if (tokens_s * s->rate_hz > most && spec->max_tokens >= 64) {
        s->rate_hz = fmax(fmax(most / tokens_s, bw_hz / 0.5), AT_RATE_MIN_HZ);
        s->rate_hz = fmin(s->rate_hz, AT_RATE_MAX_HZ);
    }
    s->duration_s = fmin(tokens_s, most / s->rate_hz);
}

static int draw_wanted(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *d)
{
    struct at_scene *s = &d->scene;
    const struct at_variant *v = draw_variant(r, spec->class_id);
    if (!v)
        return -EINVAL;
    double asked = 0,
           bw = fmin(draw_bandwidth(r, v, spec->class_id, &asked), 0.93 * AT_RATE_MAX_HZ);
    draw_window(r, spec, bw, s);
    if (fills_band(v))
        bw = 0.9 * s->rate_hz;
    double room = fills_band(v) ? 0 : fmax(0, 0.98 * s->rate_hz - bw) / 2;
    struct at_emitter w = {
        .signal = {.class_id = spec->class_id, .seed = at_rng_next(r), .bandwidth_hz = asked},
        .offset_hz = at_rng_uniform(r, -room, room),
        .snr_db = at_rng_uniform(r, spec->snr_lo_db, spec->snr_hi_db)};
    snprintf(w.signal.variant, sizeof w.signal.variant, "%s", v->name);
    draw_air(r, bw, &w);
    draw_times(r, s, &w);
    add_place(d, &w, w.offset_hz, bw);
    return 0;
}

/* Nothing is sent here; the detector may think otherwise, the more often the lower it is set. */
static void draw_noise(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *d)
{
    double bw = at_rng_log_uniform(r, 300, 10e6);
    draw_window(r, spec, bw, &d->scene);
    double kind = at_rng_uniform(r, 0, 1);
    bool bump = kind < 0.1; /* the noise itself is not flat */
    if (bump) {
        bw = d->scene.rate_hz * at_rng_uniform(r, 0.25, 0.9);
    } else if (kind < 0.25) { /* all that the receiver's filter lets through */
        bw = d->scene.rate_hz * at_rng_uniform(r, 0.6, 0.97);
        d->scene.channel.edge_rolloff_db = at_rng_uniform(r, 10, 40);
    }
    double room = fmax(0, 0.98 * d->scene.rate_hz - bw) / 2;
    double middle = at_rng_uniform(r, -room, room);
    if (bump) {
        struct at_emitter e = {.signal = {.class_id = AT_CLASS_OUTLIER,
                                          .variant = AT_NOISE_BUMP,
                                          .seed = at_rng_next(r),
                                          .bandwidth_hz = bw},
                               .offset_hz = middle,
                               .snr_db = at_rng_uniform(r, -10, 0)};
        add_place(d, &e, middle, bw);
        d->places[0].class_id = AT_CLASS_NOISE;
        return;
    }
    add_place(d, NULL, middle, bw);
    if (at_rng_uniform(r, 0, 1) < 0.5)
        d->false_per_hour = at_rng_log_uniform(r, 1e4, 1e8);
}

/* Whether emitter i is a line that nothing but noise and converter touches: most carriers, and am
 * of a depth that makes it no carrier. */
static bool is_plain(struct at_rng *r, const struct at_emitter *e)
{
    if (e->signal.class_id == AT_CLASS_CARRIER)
        return at_rng_uniform(r, 0, 1) < PLAIN;
    return e->signal.class_id == AT_CLASS_AM &&
           (!strcmp(e->signal.variant, "am_voice") || !strcmp(e->signal.variant, "am_tone"));
}

/* Lines as they are of a signal generator or a station near by: steady, and far over the noise,
 * where SNRs of 40 dB are asked for up to 75 dB, as nothing is too strong for a training. What the
 * leakage of windows and a converter's steps make of them is no modulation, and nothing else says
 * so: drawn at random they would be one carrier in a thousand. */
static void draw_plain(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *d)
{
    double least = fmax(20, spec->snr_lo_db), most = spec->snr_hi_db < 40 ? spec->snr_hi_db : 75;
    for (size_t i = 0; i < d->n_emitters; i++) {
        struct at_emitter *e = &d->scene.emitters[i];
        struct at_place *p = &d->places[i];
        p->plain = most > least && is_plain(r, e);
        if (!p->plain)
            continue;
        p->snr_db = e->snr_db = at_rng_uniform(r, least, most);
        if (e->signal.class_id == AT_CLASS_CARRIER) {
            const struct at_variant *steady = at_variant_at(AT_CLASS_CARRIER, 0);
            snprintf(e->signal.variant, sizeof e->signal.variant, "%s", steady->name);
            e->signal.bandwidth_hz = 0;
            p->f_lo_hz = e->offset_hz - steady->bw_hi_hz / 2;
            p->f_hi_hz = e->offset_hz + steady->bw_hi_hz / 2;
        }
    }
}

/* A good receiver at a cable or near by: the signals and even noise, transmitters as they should be
 * as often as not, and their lines then often on a bin of the long spectra, as a receiver's own. */
static void spare_faults(struct at_rng *r, struct at_draft *d, double noise_dbfs_hz)
{
    double bin = d->scene.rate_hz / 4096;
    /* 8 bits where the noise is half a step of theirs and more, as a gain control sets it */
    bool dithered = noise_dbfs_hz + 10 * log10(d->scene.rate_hz) > -45;
    int bits = dithered && at_rng_uniform(r, 0, 1) < 0.5 ? 8 : at_rng_int(r, 0, 1) * 16;
    d->scene.channel =
        (struct at_channel_spec){.seed = at_rng_next(r),
                                 .noise_dbfs_hz = noise_dbfs_hz,
                                 .bits = bits,
                                 .edge_rolloff_db = d->scene.channel.edge_rolloff_db};
    for (size_t i = 0; i < d->n_emitters; i++) {
        struct at_emitter *e = &d->scene.emitters[i];
        e->multipath = e->drift_hz = 0;
        bool plain = d->places[i].plain;
        e->signal.clean = plain || at_rng_uniform(r, 0, 1) < 0.5;
        if (e->signal.clean && at_rng_uniform(r, 0, 1) < (plain ? PLAIN_ON_BIN : 0.5))
            e->offset_hz = bin * round(e->offset_hz / bin);
    }
}

/* A recording of one channel, at more samples a second than its filter lets through: all that is
 * sent lies in the passband, and so does the receiver's noise. (That noise alone is no example of
 * noise: flat, with steep sides, over a floor that is not its own, it is what OFDM looks like.) */
static void filter_channel(struct at_rng *r, struct at_draft *d)
{
    double reach = 0;
    for (size_t i = 0; i < d->n_places; i++)
        reach = fmax(reach, fmax(-d->places[i].f_lo_hz, d->places[i].f_hi_hz));
    double passband = 2 * reach / d->scene.rate_hz * at_rng_log_uniform(r, 1.1, 2.5);
    if (passband > 0.9)
        return;
    d->scene.channel.passband = passband;
    d->scene.channel.stopband_db = at_rng_uniform(r, 15, 80);
}

/* Of the strongest emitter, dBFS. What is held in the hand is often recorded a metre away, by a
 * tuner whose gain was set for the far end of the garden: clipped by far. A base station's peaks
 * stand 10 dB over its mean, and its tower is often in sight. */
static double draw_level(struct at_rng *r, int class_id)
{
    bool hand_held =
        class_id == AT_CLASS_OOK || class_id == AT_CLASS_FSK2 || class_id == AT_CLASS_GFSK;
    bool tower = class_id == AT_CLASS_OFDM;
    if (at_rng_uniform(r, 0, 1) < (hand_held ? 0.35 : tower ? 0.25 : 0.15))
        return at_rng_uniform(r, CLIPS_DBFS, hand_held ? 18 : tower ? 9 : 6);
    return at_rng_uniform(r, -45, CLIPS_DBFS);
}

/* The converter's level is that of the strongest emitter; SNRs are met by the noise. */
static void draw_receiver(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *d)
{
    bool carrier = false;
    for (size_t i = 0; i < d->n_emitters; i++)
        carrier = carrier || d->places[i].class_id == AT_CLASS_CARRIER;
    bool clean = at_rng_uniform(r, 0, 1) < (carrier ? CLEAN_LINES : CLEAN);
    if (clean && spec->snr_lo_db < spec->snr_hi_db) /* else what was asked for stands */
        draw_plain(r, spec, d);
    const struct at_place *p = &d->places[0];
    double level = clean ? at_rng_uniform(r, -60, -10) : draw_level(r, p->class_id);
    d->clips = level > CLIPS_DBFS;
    double bw = p->f_hi_hz - p->f_lo_hz, over = d->n_emitters ? -1e9 : 10 * log10(bw);
    for (size_t i = 0; i < d->n_emitters; i++) {
        double width = d->places[i].f_hi_hz - d->places[i].f_lo_hz;
        over = fmax(over, d->places[i].snr_db + 10 * log10(width));
    }
    over -= 10 * log10(bw);
    if (clean)
        spare_faults(r, d, level - over - 10 * log10(bw));
    else
        draw_channel(r, &d->scene.channel, level, over, bw);
    if (at_rng_uniform(r, 0, 1) < FILTERED && spec->class_id != AT_CLASS_NOISE &&
        d->n_emitters == d->n_places)
        filter_channel(r, d);
    for (size_t i = 0; i < d->n_places; i++) /* a receiver's line is no noise */
        if (d->places[i].class_id == AT_CLASS_NOISE)
            d->scene.channel.dc_dbfs = d->scene.channel.n_spurs = 0;
}

int at_draft_draw(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *ret)
{
    struct at_draft d = {0};
    int e = 0;
    if (spec->class_id == AT_CLASS_NOISE)
        draw_noise(r, spec, &d);
    else
        e = draw_wanted(r, spec, &d);
    if (e < 0)
        return e;
    if (spec->max_examples > 1) {
        unsigned more =
            spec->max_examples - 1 < AT_DRAFT_MAX - 2 ? spec->max_examples - 1 : AT_DRAFT_MAX - 2;
        if (at_rng_uniform(r, 0, 1) < 0.85)
            for (unsigned i = 0; i < 4 * more && d.n_emitters < 1 + more; i++)
                add_neighbour(r, spec, &d, WORTH);
        double width = d.scene.rate_hz * at_rng_log_uniform(r, 0.02, 0.3), middle;
        if (at_rng_uniform(r, 0, 1) < 0.2 && find_room(r, &d, width, &middle))
            add_place(&d, NULL, middle, width);
    } else if (at_rng_uniform(r, 0, 1) < 0.3) {
        add_neighbour(r, spec, &d, 0);
    }
    if (spec->class_id == AT_CLASS_NOISE && d.n_emitters < d.n_places) { /* emitters first */
        struct at_place empty = d.places[0];
        memmove(d.places, d.places + 1, (d.n_places - 1) * sizeof *d.places);
        d.places[d.n_places - 1] = empty;
    }
    draw_receiver(r, spec, &d);
    *ret = d;
    return 0;
}

void at_draft_settle(struct at_draft *d, const struct at_signal_truth *truth)
{
    for (size_t i = 0; i < d->n_places; i++) {
        struct at_place *p = &d->places[i];
        p->first = 0;
        p->last = (size_t)(d->scene.duration_s * d->scene.rate_hz);
        p->hand_first = p->first;
        p->hand_last = p->last;
        if (i >= d->n_emitters)
            continue;
        const struct at_emitter *e = &d->scene.emitters[i];
        double middle = e->offset_hz + truth[i].center_hz, end = (double)p->last;
        p->f_lo_hz = middle - truth[i].bandwidth_hz / 2;
        p->f_hi_hz = middle + truth[i].bandwidth_hz / 2;
        p->first = truth[i].first;
        p->last = truth[i].last;
        p->hand_first = truth[i].burst_first;
        p->hand_last = truth[i].burst_last;
        p->sent_from = e->start_s * d->scene.rate_hz;
        p->sent_to =
            e->duration_s > 0 ? fmin(p->sent_from + e->duration_s * d->scene.rate_hz, end) : end;
        p->line = truth[i].line;
        p->line_lo_hz = middle + fmin(e->drift_hz, 0);
        p->line_hi_hz = middle + fmax(e->drift_hz, 0);
        memcpy(p->sidebands, truth[i].sidebands, sizeof p->sidebands);
        memcpy(p->keys_in, truth[i].keys_in, sizeof p->keys_in);
        memcpy(p->variant, truth[i].variant, sizeof p->variant);
    }
}
