/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dataset/dataset.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cpu.h"
#include "lib/base/limits.h"
#include "lib/dataset/draft.h"
#include "lib/dsp/band.h"
#include "lib/dsp/frames.h"

#define COLUMNS      (AT_FRAME_BINS + AT_AUX_COUNT)
#define MAX_FOLLOWED 48   /* runs of one scene whose tokens are kept */
#define FEW_TOKENS   4    /* of a run that is forgotten where another follows */
#define SEEN         4.0  /* standard deviations by which sidebands must stand over the noise */
#define WALL         0.13 /* and how far over it, times its level: see sidebands_seen() */
#define HIDDEN       0.5  /* times as far at most and they are hidden, */
#define PLAIN        2.0  /* as far at least and they are plain: in between nobody can be sure */
#define ONE_KEY      1.5  /* of Morse: fewer are a burst of a carrier, */
#define MORSE_KEYS   3.5  /* more are plain: in between likewise */
#define DOUBTFUL     (-2) /* no class that these tokens could be held to */
#define MIN_FALSE    4    /* tokens of a false alarm that is worth an example */
#define FIRST_ROOM   64   /* tokens allocated at first for each */
#define BRIEF_S      0.03 /* on for less: the edges come from the short spectra, if those show it */

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

/* ---- the band's answers ---- */

/* One run of an emission's tokens. Where the edges move far or a gap comes, the next run is one of
 * its own: what was heard before a burst, in the channel of a line beside it, is not the burst. */
struct follower {
    uint64_t id;
    size_t n, room;
    bool taken;        /* an example came of it */
    int place;         /* opened by hand for it; -1: by the detector */
    uint64_t from, to; /* samples that its tokens cover */
    double channel_hz; /* middle of the channel, which stays where the run began */
    float *frames;     /* (room, COLUMNS) */
    struct at_emission emission;
};

struct catcher {
    double rate_hz, short_bin_hz;
    size_t max_tokens, n;
    const struct at_place *places;
    bool failed; /* no memory */
    uint64_t by_hand[AT_DRAFT_MAX];
    bool only_by_hand[AT_DRAFT_MAX]; /* whatever the detector says */
    struct follower f[MAX_FOLLOWED];
};

static double overlap(double a_lo, double a_hi, double b_lo, double b_hi)
{
    double both = fmin(a_hi, b_hi) - fmax(a_lo, b_lo);
    return both > 0 ? both / fmax(a_hi - a_lo, b_hi - b_lo) : 0;
}

/* The newest run of an emission. */
static struct follower *find(struct catcher *c, uint64_t id)
{
    for (size_t i = c->n; i-- > 0;)
        if (c->f[i].id == id)
            return &c->f[i];
    return NULL;
}

static struct follower new_run(const struct at_emission *e, int place)
{
    return (struct follower){
        .id = e->id, .place = place, .channel_hz = (e->f_lo_hz + e->f_hi_hz) / 2, .emission = *e};
}

static void on_opened(void *ctx, const struct at_emission *e)
{
    struct catcher *c = ctx;
    int place = -1;
    for (int i = 0; i < AT_DRAFT_MAX; i++)
        place = c->by_hand[i] == e->id ? i : place;
    if (c->n < MAX_FOLLOWED)
        c->f[c->n++] = new_run(e, place);
}

static bool make_room(struct catcher *c, struct follower *f, size_t n)
{
    size_t room = n > FIRST_ROOM ? c->max_tokens : FIRST_ROOM;
    float *more = room > f->room ? realloc(f->frames, room * COLUMNS * sizeof *more) : f->frames;
    c->failed = c->failed || !more;
    if (!more)
        return false;
    f->frames = more;
    f->room = room;
    return true;
}

/* The run that follows f: another follower, or f again where there is no place for one. */
static struct follower *next_run(struct catcher *c, struct follower *f, const struct at_emission *e)
{
    if (f->n >= FEW_TOKENS && c->n < MAX_FOLLOWED) {
        c->f[c->n] = new_run(e, f->place);
        return &c->f[c->n++];
    }
    f->n = 0;
    f->channel_hz = (e->f_lo_hz + e->f_hi_hz) / 2;
    return f;
}

static double bin_hz(const struct follower *f)
{
    return 1e3 * exp2((double)f->frames[AT_FRAME_BINS + AT_AUX_BIN_KHZ]);
}

static void on_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                      unsigned flags, uint64_t index)
{
    struct catcher *c = ctx;
    struct follower *f = find(c, e->id);
    if (!f)
        return;
    if ((flags & AT_TOKENS_NEW_RUN) && f->n > 0)
        f = next_run(c, f, e);
    if (n > c->max_tokens - f->n)
        n = c->max_tokens - f->n;
    if (n == 0 || !make_room(c, f, f->n + n))
        return;
    memcpy(f->frames + f->n * COLUMNS, frames, n * COLUMNS * sizeof *frames);
    if (f->n == 0) {
        double hops = (double)n; /* of half a frame, and those of silence that were left out */
        for (size_t i = 1; i < n; i++)
            hops += exp2((double)frames[i * COLUMNS + AT_FRAME_BINS + AT_AUX_SKIPPED]) - 1;
        double span = hops * c->rate_hz / (2 * bin_hz(f));
        f->from = (double)index > span ? index - (uint64_t)span : 0;
    }
    f->to = index;
    f->n += n;
    f->emission = *e;
}

static void on_changed(void *ctx, const struct at_emission *e)
{
    struct catcher *c = ctx;
    struct follower *f = find(c, e->id);
    if (!f)
        return;
    const struct at_emission *was = &f->emission;
    if (f->n == c->max_tokens && overlap(was->f_lo_hz, was->f_hi_hz, e->f_lo_hz, e->f_hi_hz) < 0.5)
        f = next_run(c, f, e); /* full of what it was before */
    f->emission = *e;
}

static void on_row(void *ctx, const struct at_row *row)
{
}

/* Whether edges lo..hi hold the place's carrier: those of a sideband alone, or of a line of the
 * receiver beside it, do not. 0.03 of the band: as far as lib/synth puts it off the middle. */
static bool holds_line(const struct at_place *p, double lo, double hi, double bin)
{
    double slack = 0.03 * (p->f_hi_hz - p->f_lo_hz) + 1.5 * bin;
    return !p->line || (lo - slack <= p->line_hi_hz && hi + slack >= p->line_lo_hz);
}

/* Whether these tokens show this place's signal: its band in the channel, centred on it, with edges
 * that are its own rather than those of a wider thing that holds it, and while it was on. A burst
 * that only the short spectra show is a bin of theirs wide at least, and its middle that bin's. */
static bool shows(const struct catcher *c, const struct follower *f, const struct at_place *p)
{
    double lo = f->emission.f_lo_hz, hi = f->emission.f_hi_hz, truth = p->f_hi_hz - p->f_lo_hz;
    double bin = bin_hz(f), middle = (lo + hi) / 2, reach = 0.45 * AT_FRAME_BINS * bin;
    double seen = fmin(p->f_hi_hz, f->channel_hz + reach) - fmax(p->f_lo_hz, f->channel_hz - reach);
    bool brief = (double)(f->emission.end - f->emission.start) < BRIEF_S * c->rate_hz;
    double cell = brief ? c->short_bin_hz : 0, slack = 0.1 * truth + fmax(2 * bin, cell);
    double most = fmax(2.5 * truth, truth + fmax(4 * bin, 2 * cell));
    if (hi - lo > most || seen < 0.6 * truth || fmin(middle, f->channel_hz) < p->f_lo_hz - slack ||
        fmax(middle, f->channel_hz) > p->f_hi_hz + slack || !holds_line(p, lo, hi, bin))
        return false;
    double on = (double)(p->last - p->first), heard = (double)(f->to - f->from);
    double both = fmin((double)p->last, (double)f->to) - fmax((double)p->first, (double)f->from);
    return both >= 0.5 * fmin(on, heard);
}

/* The run that is this place's signal: most of the truth's band, then most tokens. */
static struct follower *best(struct catcher *c, const struct at_place *p)
{
    struct follower *found = NULL;
    double most = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct follower *f = &c->f[i];
        if (f->place >= 0 || f->taken || f->n == 0 || !shows(c, f, p))
            continue;
        double o = overlap(f->emission.f_lo_hz, f->emission.f_hi_hz, p->f_lo_hz, p->f_hi_hz);
        double score = (0.1 + o) * (1 + log2(1 + (double)f->n));
        if (score > most) {
            most = score;
            found = f;
        }
    }
    return found;
}

/* What was opened by hand is not wanted where the detector has made up its mind since, which it
 * does at a scene's end: its tokens come first. */
static size_t on_room(void *ctx, uint64_t id)
{
    struct catcher *c = ctx;
    const struct follower *f = find(c, id);
    if (f && f->place >= 0 && !c->only_by_hand[f->place] && best(c, &c->places[f->place]))
        return 0;
    return f ? c->max_tokens - f->n : 0;
}

/* Edges as the detector would have put them, had it seen the signal: its jitter is some 10 % of the
 * bandwidth. */
static void jittered_edges(struct at_rng *r, const struct at_place *p, double rate_hz,
                           double edges[2])
{
    double bw = p->f_hi_hz - p->f_lo_hz, half = rate_hz / 2;
    double middle = (p->f_lo_hz + p->f_hi_hz) / 2 + at_rng_normal(r) * 0.08 * bw;
    double width = bw * at_rng_log_uniform(r, 0.7, 1.4);
    edges[0] = fmax(middle - width / 2, -half);
    edges[1] = fmin(middle + width / 2, half);
}

/* What the detector has not found by now is opened at its true place: the look-back holds the whole
 * scene. */
static int open_by_hand(struct at_rng *r, const struct at_draft *d, struct at_band *band,
                        struct catcher *c)
{
    for (size_t i = 0; i < d->n_places; i++) {
        const struct at_place *p = &d->places[i];
        double edges[2];
        c->only_by_hand[i] = p->by_hand || (p->snr_db < -2 && at_rng_uniform(r, 0, 1) < 0.7);
        jittered_edges(r, p, d->scene.rate_hz, edges);
        if ((best(c, p) && !c->only_by_hand[i]) || p->hand_last <= p->hand_first)
            continue;
        int e = at_band_open_emission(band, edges[0], edges[1], p->hand_first, p->hand_last,
                                      &c->by_hand[i]);
        if (e < 0 && e != -EINVAL) /* edges that leave the band: nothing comes of it */
            return e;
    }
    return 0;
}

/* Pushes the scene through a band. */
static int run_band(struct at_rng *r, const struct at_draft *d, const float *iq, size_t n,
                    struct catcher *c)
{
    const struct at_band_sink sink = {.ctx = c,
                                      .opened = on_opened,
                                      .room = on_room,
                                      .tokens = on_tokens,
                                      .updated = on_changed,
                                      .closed = on_changed,
                                      .row = on_row};
    const struct at_band_config config = {.rate_hz = d->scene.rate_hz,
                                          .false_per_hour = d->false_per_hour,
                                          .assumed_floor_dbfs_hz = d->scene.channel.noise_dbfs_hz,
                                          .lookback_s = fmin(1.05 * d->scene.duration_s, 60),
                                          .waterfall_rate = 1,
                                          .passing = true,
                                          .rest_when_full = true};
    struct at_band *band = NULL;
    int e = at_band_create(NULL, &config, &sink, NULL, &band);
    if (e == 0)
        e = at_band_push(band, iq, n, 0);
    if (e == 0)
        e = open_by_hand(r, d, band, c);
    if (e == 0)
        e = at_band_flush(band);
    at_band_destroy(band);
    return e < 0 ? e : c->failed ? -ENOMEM : 0;
}

/* ---- examples of it ---- */

struct harvest {
    const struct at_draft *d;
    size_t max_tokens;
    int32_t n, max;
    float *frames; /* (max, max_tokens, COLUMNS) */
    struct at_example_info *info;
};

/* What stands above the floor within the edges, as the tracker measures what it found itself; -10
 * dB at least. */
static float snr_of_frames(const struct follower *f)
{
    double half = (f->emission.f_hi_hz - f->emission.f_lo_hz) / (2 * bin_hz(f)), sum = 0;
    int first = (int)fmax(AT_FRAME_BINS / 2 - half + 0.5, 0), n = (int)fmax(2 * half, 1);
    if (n > AT_FRAME_BINS - first)
        n = AT_FRAME_BINS - first;
    for (size_t i = 0; i < f->n; i++)
        for (int k = first; k < first + n; k++)
            sum += exp(log(10) * (double)f->frames[i * COLUMNS + (size_t)k]);
    return (float)(10 * log10(fmax(sum / ((double)f->n * n) - 1, 0.1)));
}

static void take(struct harvest *h, struct follower *f, const struct at_place *p)
{
    if (h->n == h->max || f->n == 0)
        return;
    f->taken = true;
    double bw = f->emission.f_hi_hz - f->emission.f_lo_hz, rate = h->d->scene.rate_hz;
    struct at_example_info *i = &h->info[h->n];
    *i = (struct at_example_info){
        .class_id = p->class_id == AT_CLASS_OUTLIER ? AT_EXAMPLE_OUTLIER : p->class_id,
        .n_tokens = (int32_t)f->n,
        .detected = f->place < 0,
        .snr_db = (float)p->snr_db,
        .measured_snr_db = f->place < 0 ? f->emission.snr_db : snr_of_frames(f),
        .share = (float)(bw / rate),
        .rate_hz = (float)rate,
        .bandwidth_hz = (float)bw,
        .truth_bandwidth_hz = (float)(p->f_hi_hz - p->f_lo_hz),
        .overlap =
            (float)overlap(f->emission.f_lo_hz, f->emission.f_hi_hz, p->f_lo_hz, p->f_hi_hz)};
    memcpy(i->variant, p->variant, sizeof i->variant);
    float *to = h->frames + (size_t)h->n * h->max_tokens * COLUMNS;
    memcpy(to, f->frames, f->n * COLUMNS * sizeof *to);
    h->n++;
}

/* How much of part i of the emitter's samples the run has heard, 0 to 1. */
static double heard_of_part(const struct follower *f, const struct at_place *p, int i)
{
    double part = (p->sent_to - p->sent_from) / AT_TRUTH_PARTS;
    double lo = fmax(p->sent_from + part * i, (double)f->from),
           hi = fmin(p->sent_from + part * (i + 1), (double)f->to);
    return part > 0 ? fmax(hi - lo, 0) / part : 0;
}

/* Power beside the line while the run was heard, over that of the whole signal while on. */
static double sidebands_of(const struct follower *f, const struct at_place *p)
{
    double sum = 0, weight = 0;
    for (int i = 0; i < AT_TRUTH_PARTS; i++) {
        double heard = heard_of_part(f, p, i);
        sum += heard * p->sidebands[i];
        weight += heard;
    }
    return weight > 0 ? sum / weight : 0;
}

static double keys_of(const struct follower *f, const struct at_place *p)
{
    double keys = 0;
    for (int i = 0; i < AT_TRUTH_PARTS; i++)
        keys += heard_of_part(f, p, i) * p->keys_in[i];
    return keys;
}

/* How far the sidebands of a carrier stand out, 1 where they can just be seen: what they are over
 * the noise, and that times the root of the independent cells of time and frequency that show them
 * (the radiometer's equation). Frames overlap by half; signals narrower than a bin have one.
 * However long one looks, no floor is known better than to half a decibel (Tandra and Sahai 2008,
 * "SNR walls for signal detection"). */
static double sidebands_seen(const struct follower *f, const struct at_place *p)
{
    double bins = fmax((p->f_hi_hz - p->f_lo_hz) / bin_hz(f), 1), width = bins * bin_hz(f);
    double snr = sidebands_of(f, p) * pow(10, p->snr_db / 10) * (p->f_hi_hz - p->f_lo_hz) / width;
    return fmin(snr / WALL, snr * sqrt(fmax((double)f->n / 2, 1) * bins) / SEEN);
}

/* The class that these tokens can show. A line whose sidebands lie in the noise, or are silent, is
 * a carrier to everyone who looks, and so is one key of Morse: taught as `am` and `cw` they would
 * teach that a carrier is either. Where some would see more and some would not, they teach nothing,
 * and nothing can be measured by them. */
static int class_shown(const struct follower *f, const struct at_place *p)
{
    double seen = p->line ? sidebands_seen(f, p) : PLAIN;
    double keys = p->class_id == AT_CLASS_CW ? keys_of(f, p) : MORSE_KEYS;
    if (seen < HIDDEN || keys < ONE_KEY)
        return AT_CLASS_CARRIER;
    return seen < PLAIN || keys < MORSE_KEYS ? DOUBTFUL : p->class_id;
}

static void take_place(struct harvest *h, struct catcher *c, size_t i)
{
    const struct at_place *p = &h->d->places[i];
    struct follower *f = i < h->d->n_emitters && !c->only_by_hand[i] ? best(c, p) : NULL;
    for (size_t k = 0; !(f && f->place < 0) && k < c->n; k++) /* the longest run of those by hand */
        f = c->f[k].place == (int)i && (!f || c->f[k].n > f->n) ? &c->f[k] : f;
    if (!f)
        return;
    struct at_place as = *p;
    as.class_id = f->n ? class_shown(f, p) : p->class_id;
    if (as.class_id != p->class_id) {
        if (as.class_id == DOUBTFUL || h->max == 1) /* what was asked for is drawn again */
            return;
        snprintf(as.variant, sizeof as.variant, "%s_unseen", at_class_name(p->class_id));
    }
    take(h, f, &as);
}

/* Nothing is sent there, nor at its mirror image, and it is no line of the receiver. */
static bool is_false_alarm(const struct at_draft *d, const struct follower *f)
{
    const struct at_emission *e = &f->emission;
    double bw = e->f_hi_hz - e->f_lo_hz;
    if (f->place >= 0 || f->taken || f->n < MIN_FALSE || d->clips || d->scene.channel.n_spurs > 0 ||
        (d->scene.channel.dc_dbfs < 0 && e->f_lo_hz - bw < 0 && e->f_hi_hz + bw > 0))
        return false;
    for (size_t i = 0; i < d->n_emitters; i++) {
        const struct at_place *p = &d->places[i];
        double margin = bw + 1.5 * (p->f_hi_hz - p->f_lo_hz);
        bool beside = e->f_hi_hz < p->f_lo_hz - margin || e->f_lo_hz > p->f_hi_hz + margin;
        bool image = -e->f_lo_hz > p->f_lo_hz - margin && -e->f_hi_hz < p->f_hi_hz + margin;
        if (!beside || image)
            return false;
    }
    return e->snr_db < 12;
}

static void take_false_alarms(struct harvest *h, struct catcher *c)
{
    static const struct at_place nothing = {.snr_db = -20, .variant = "false_alarm"};
    for (size_t k = 0; k < c->n && h->n < h->max; k++)
        if (is_false_alarm(h->d, &c->f[k]))
            take(h, &c->f[k], &nothing);
}

static void take_all(struct harvest *h, struct catcher *c, int class_id)
{
    bool empty = class_id == AT_CLASS_NOISE && h->d->n_emitters < h->d->n_places;
    size_t wanted = empty ? h->d->n_places - 1 : 0;
    if (class_id == AT_CLASS_NOISE) /* what the detector saw in noise is worth more than a place */
        take_false_alarms(h, c);
    take_place(h, c, wanted);
    for (size_t i = 0; i < h->d->n_places; i++)
        if (i != wanted)
            take_place(h, c, i);
    take_false_alarms(h, c);
}

/* Scenes of megabytes come and go: the heap keeps their pages. */
static void keep_heap(void)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

int32_t at_examples_make(const struct at_example_spec *spec, int32_t max_examples, float *frames,
                         struct at_example_info *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct at_draft_spec ds = {
        .class_id = spec->class_id == AT_EXAMPLE_OUTLIER ? AT_CLASS_OUTLIER : spec->class_id,
        .max_tokens = spec->max_tokens,
        .snr_lo_db = (double)spec->snr_lo_db,
        .snr_hi_db = (double)spec->snr_hi_db,
        .max_examples = (unsigned)max_examples};
    struct at_rng r;
    struct at_draft d;
    if (spec->class_id < AT_EXAMPLE_OUTLIER || spec->class_id >= AT_CLASS_COUNT ||
        spec->max_tokens == 0 || max_examples < 1)
        return -EINVAL;
    pthread_once(&once, keep_heap);
    at_cpu_flush_denormals();
    at_rng_seed(&r, spec->seed);
    int e = at_draft_draw(&r, &ds, &d);
    if (e < 0)
        return e;
    size_t n = (size_t)(d.scene.duration_s * d.scene.rate_hz);
    float *iq = n ? malloc(n * 2 * sizeof *iq) : NULL;
    struct at_signal_truth truth[64] = {0};
    struct catcher c = {.rate_hz = d.scene.rate_hz,
                        .short_bin_hz = at_band_short_bin_hz(d.scene.rate_hz),
                        .max_tokens = spec->max_tokens,
                        .places = d.places};
    struct harvest h = {&d, spec->max_tokens, 0, max_examples, frames, ret};
    e = iq ? at_scene_render(&d.scene, 0, iq, truth) : -ENOMEM;
    if (e == 0) {
        at_draft_settle(&d, truth);
        e = run_band(&r, &d, iq, n, &c);
        if (e == 0)
            take_all(&h, &c, ds.class_id);
    } else if (e == -EINVAL) {
        e = 0; /* a variant does not fit the rate: nothing came of it, drawn again */
    }
    for (size_t i = 0; i < c.n; i++)
        free(c.f[i].frames);
    free(iq);
    return e < 0 ? e : h.n;
}

int32_t at_example_make(const struct at_example_spec *spec, float *frames,
                        struct at_example_info *ret)
{
    struct at_example_info info = {.class_id = spec->class_id};
    int32_t n = at_examples_make(spec, 1, frames, &info);
    if (n < 0)
        return n;
    *ret = info;
    return 0;
}

int32_t at_example_cut(const struct at_cut_spec *cut, const float *iq, float *frames,
                       struct at_example_info *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    double rate = cut->rate_hz;
    if (!(rate >= AT_RATE_MIN_HZ && rate <= AT_RATE_MAX_HZ) || !(cut->f_lo_hz < cut->f_hi_hz) ||
        cut->f_lo_hz < -rate / 2 || cut->f_hi_hz > rate / 2 || cut->first >= cut->last ||
        cut->last > cut->n || cut->max_tokens == 0)
        return -EINVAL;
    pthread_once(&once, keep_heap);
    at_cpu_flush_denormals();
    struct at_rng r;
    at_rng_seed(&r, cut->seed);
    struct at_draft d = {.scene = {.rate_hz = rate, .duration_s = (double)cut->n / rate},
                         .places[0] = {.f_lo_hz = cut->f_lo_hz,
                                       .f_hi_hz = cut->f_hi_hz,
                                       .first = cut->first,
                                       .last = cut->last,
                                       .hand_first = cut->first,
                                       .hand_last = cut->last,
                                       .by_hand = cut->by_hand != 0},
                         .n_places = 1,
                         .n_emitters = 1};
    struct catcher c = {.rate_hz = rate,
                        .short_bin_hz = at_band_short_bin_hz(rate),
                        .max_tokens = cut->max_tokens,
                        .places = d.places};
    struct harvest h = {&d, cut->max_tokens, 0, 1, frames, ret};
    ret->n_tokens = 0;
    int e = run_band(&r, &d, iq, cut->n, &c);
    if (e == 0)
        take_place(&h, &c, 0);
    ret->snr_db = ret->measured_snr_db;
    for (size_t i = 0; i < c.n; i++)
        free(c.f[i].frames);
    return e;
}
