/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/band.h"

#include <math.h>
#include <string.h>

#include "lib/base/cpu.h"
#include "lib/base/limits.h"
#include "lib/dsp/blanker.h"
#include "lib/dsp/detect.h"
#include "lib/dsp/emissions.h"
#include "lib/dsp/floor.h"
#include "lib/dsp/frames.h"
#include "lib/dsp/intake.h"
#include "lib/dsp/gate.h"
#include "lib/dsp/mirror.h"
#include "lib/dsp/plan.h"
#include "lib/dsp/repeat.h"
#include "lib/dsp/spectrum.h"
#include "lib/dsp/track.h"
#include "lib/dsp/view.h"
#include "lib/dsp/waterfall.h"

#define KEEP_BYTES (4u << 20) /* the look-back is made longer where it costs no more than this */

#define TOGETHER 8 /* blocks that two threads make */

struct at_band {
    struct at_mem *mem;
    struct at_band_config config;
    struct at_band_sink sink;
    struct at_band_stats stats;
    struct at_blanker blanker;
    uint64_t pulses; /* taken out before this epoch */
    struct at_gate gate;
    struct at_blocks blocks;
    struct at_view view;
    struct at_floor floor;
    struct at_repeat repeat;
    struct at_detector over_long, over_short; /* rows */
    struct at_tracker tracker;
    struct at_emissions emissions;
    struct at_waterfall waterfall;
    struct at_intake intake;
    uint64_t next;   /* index that goes on without a gap, less what gate and blanker hold */
    bool begun, gap; /* something was pushed; this stretch begins after a gap */
    bool paused;     /* the last stretch has been ended, the radio is elsewhere */
};

static int take_samples(void *ctx, const struct at_input *input, size_t from, size_t n);
static int take_blanked(void *ctx, const struct at_input *input, size_t from, size_t n);

static int bad_config(const struct at_band_config *c, struct at_error *err)
{
    if (!(c->rate_hz >= AT_RATE_MIN_HZ && c->rate_hz <= AT_RATE_MAX_HZ))
        return at_error_set(err, -EINVAL, "rate %g Hz: must lie between 8 kHz and 61.44 MHz",
                            c->rate_hz);
    if (c->blanker_db != 0 &&
        !(c->blanker_db >= AT_BLANKER_MIN_DB && c->blanker_db <= AT_BLANKER_MAX_DB))
        return at_error_set(err, -EINVAL, "blanker %g dB: must lie between 9 and 40, or be 0",
                            c->blanker_db);
    if (c->n_bins < 32 || c->n_bins > 512 || (c->n_bins & (c->n_bins - 1)))
        return at_error_set(err, -EINVAL, "n_bins %u: must be a power of two, 32 to 512",
                            c->n_bins);
    if (!(c->lookback_s >= 0 && c->lookback_s <= 60) || !(c->hang_s >= 0) ||
        !(c->false_per_hour >= 0) || !(c->min_duration_s >= 0) || !(c->waterfall_rate >= 0) ||
        c->max_emissions > 1u << 16)
        return at_error_set(err, -EINVAL,
                            "band: look-back, hang time, false-alarm rate or limits unfit");
    return 0;
}

double at_band_short_bin_hz(double rate_hz)
{
    struct at_view v = {.rate_hz = rate_hz};
    at_view_sizes(&v);
    return rate_hz / v.n_fast;
}

void at_band_plan(double rate_hz)
{
    struct at_view v = {.rate_hz = rate_hz};
    if (!(rate_hz >= AT_BAND_WIDE_HZ))
        return;
    at_view_sizes(&v);
    at_plan_get_patient(v.n_block, AT_PLAN_FORWARD);
    at_plan_get_patient(v.n_fast, AT_PLAN_FORWARD);
}

static void set_defaults(struct at_band_config *c)
{
    c->n_bins = c->n_bins ? c->n_bins : AT_FRAME_BINS;
    c->max_emissions = c->max_emissions ? c->max_emissions : 256;
    c->lookback_s = c->lookback_s > 0 ? c->lookback_s : 0.1;
    c->false_per_hour = c->false_per_hour > 0 ? c->false_per_hour : 1;
    c->hang_s = c->hang_s > 0 ? c->hang_s : 0.5;
    c->waterfall_bins = c->waterfall_bins ? c->waterfall_bins : 512;
    c->waterfall_rate = c->waterfall_rate > 0 ? c->waterfall_rate : 10;
    c->ignore = NULL;
}

static unsigned blocks_kept(const struct at_band *b)
{
    double rate = b->config.rate_hz, wanted = b->config.lookback_s;
    double room =
        KEEP_BYTES / (2 * sizeof(float) * 2 * rate); /* each sample stands in two blocks */
    double decide = AT_EMISSIONS_LATEST_S +
                    2.0 * b->view.epoch / rate; /* what the detector takes to make up its mind */
    wanted = fmax(fmax(wanted, fmin(room, 2)), decide) + b->view.epoch / rate;
    return (unsigned)(wanted * rate / (b->view.n_block / 2)) + 4;
}

static int take_ignore(struct at_band *b, const struct at_band_config *config)
{
    if (config->n_ignore == 0)
        return 0;
    b->tracker.ignore =
        at_mem_array(b->mem, AT_MEM_IQ, config->n_ignore, sizeof *b->tracker.ignore);
    if (!b->tracker.ignore)
        return -ENOMEM;
    memcpy(b->tracker.ignore, config->ignore, config->n_ignore * sizeof *b->tracker.ignore);
    b->tracker.n_ignore = config->n_ignore;
    return 0;
}

static void tell_floor(struct at_band *b)
{
    b->stats.floor_dbfs_hz = (float)(10 * log10(b->floor.median));
    b->stats.floor_source = b->floor.source;
}

void at_band_set_assumed_floor(struct at_band *b, double dbfs_hz)
{
    at_floor_assume(&b->floor, dbfs_hz < 0 ? pow(10, dbfs_hz / 10) : 0);
    tell_floor(b);
}

void at_band_set_gain(struct at_band *b, double gain_db)
{
    at_floor_set_gain(&b->floor, gain_db);
}

static int take_parts(struct at_band *b, const struct at_band_config *config)
{
    const struct at_band_config *c = &b->config;
    int ret = at_view_init(&b->view, b->mem, c, TOGETHER);
    if (ret == 0)
        ret = at_blocks_init(&b->blocks, b->mem, b->view.n_block, blocks_kept(b), b->view.ahead);
    if (ret == 0 && c->blanker_db > 0)
        ret = at_blanker_init(&b->blanker, b->mem, c->rate_hz, c->blanker_db);
    if (ret == 0 && !c->passing)
        at_blocks_bring(&b->blocks);
    b->blocks.seen = at_view_see;
    b->blocks.seen_ctx = &b->view;
    if (ret == 0)
        ret = at_floor_init(&b->floor, b->mem, b->view.n_fast, b->view.max_fast, 0);
    if (ret == 0)
        ret = at_repeat_init(&b->repeat, b->mem, c->rate_hz, b->view.n_slow);
    if (ret == 0)
        ret = at_waterfall_init(&b->waterfall, b->mem, c->rate_hz, c->waterfall_bins,
                                c->waterfall_rate, b->view.n_slow);
    if (ret == 0)
        at_band_set_assumed_floor(b, c->assumed_floor_dbfs_hz);
    if (ret == 0)
        ret =
            at_detector_init(&b->over_long, b->mem, c->rate_hz, c->false_per_hour, b->view.n_slow);
    if (ret == 0)
        ret =
            at_detector_init(&b->over_short, b->mem, c->rate_hz, c->false_per_hour, b->view.n_fast);
    if (ret == 0)
        ret = at_tracker_init(&b->tracker, b->mem, c->rate_hz, b->view.n_fast, b->view.n_slow,
                              b->view.max_fast, c->max_emissions);
    b->tracker.hang_s = c->hang_s;
    b->tracker.min_duration_s = c->min_duration_s;
    return ret == 0 ? take_ignore(b, config) : ret;
}

int at_band_create(struct at_mem *mem, const struct at_band_config *config,
                   const struct at_band_sink *sink, struct at_error *err, struct at_band **ret_band)
{
    struct at_band_config c = *config;
    set_defaults(&c);
    int ret = bad_config(&c, err);
    if (ret < 0)
        return ret;
    struct at_band *b = at_mem_alloc(mem, AT_MEM_IQ, sizeof *b);
    if (!b)
        return at_error_set(err, -ENOMEM, "no memory for a band");
    b->mem = mem;
    b->config = c;
    b->sink = *sink;
    b->gate.take = take_samples;
    b->gate.ctx = b;
    b->blanker.take = take_blanked;
    b->blanker.ctx = b;
    b->emissions = (struct at_emissions){.mem = mem,
                                         .config = &b->config,
                                         .sink = &b->sink,
                                         .stats = &b->stats,
                                         .tracker = &b->tracker,
                                         .blocks = &b->blocks,
                                         .view = &b->view,
                                         .floor = &b->floor};
    ret = take_parts(b, config);
    if (ret < 0) {
        at_band_destroy(b);
        return at_error_set(err, ret, "no memory for a band of %g Hz", c.rate_hz);
    }
    b->stats.floor_dbfs_hz = -240;
    *ret_band = b;
    return 0;
}

void at_band_destroy(struct at_band *b)
{
    if (!b)
        return;
    at_emissions_finish(&b->emissions);
    at_mem_free(b->mem, b->tracker.ignore);
    at_tracker_finish(&b->tracker);
    at_detector_finish(&b->over_long);
    at_detector_finish(&b->over_short);
    at_waterfall_finish(&b->waterfall);
    at_repeat_finish(&b->repeat);
    at_floor_finish(&b->floor);
    at_view_finish(&b->view);
    at_blocks_finish(&b->blocks);
    at_blanker_finish(&b->blanker);
    at_mem_free(b->mem, b);
}

static void share(void *ctx, void (*part)(void *ctx, size_t i), void *part_ctx, size_t n)
{
    struct at_band *b = ctx;
    at_aside_parts(b->view.aside, part, part_ctx, n);
}

static void mirror(void *ctx, bool carrier, double f_mid_hz, double f_lo_hz, double f_hi_hz,
                   struct at_mirror *add)
{
    struct at_band *b = ctx;
    at_mirror_add(&b->blocks, b->view.index - b->view.stretch, b->config.rate_hz, carrier, f_mid_hz,
                  f_lo_hz, f_hi_hz, add);
}

struct search {
    struct at_band *b;
    const struct at_epoch *e;
    struct at_region *regions[2]; /* (AT_TRACK_MAX_REGIONS) long, short */
    size_t n[2];
};

static void search_one(void *ctx, size_t i)
{
    struct search *s = ctx;
    struct at_view *v = &s->b->view;
    struct at_detector *d = i == 0 ? &s->b->over_long : &s->b->over_short;
    bool average = i == 0 && v->n_average;
    s->n[i] = at_detector_run(d, i == 0 ? &s->e->slow : &s->e->fast, average ? v->average : NULL,
                              average ? v->average_rows : 0, s->regions[i], AT_TRACK_MAX_REGIONS);
    if (i == 0)
        at_view_average(v, &s->e->slow, d);
}

/* Regions of the long rows, then of the short ones that they do not explain: (2
 * AT_TRACK_MAX_REGIONS). Returns how many. */
static size_t search(struct at_band *b, struct at_epoch *e, struct at_region *regions)
{
    struct at_view *v = &b->view;
    struct at_region brief[AT_TRACK_MAX_REGIONS];
    struct search s = {b, e, {regions, brief}, {0}};
    b->over_long.doubt = b->over_short.doubt = at_floor_doubt(&b->floor);
    b->over_long.clipped = e->clipped;
    at_aside_parts(v->aside, search_one, &s, 2);
    memcpy(regions + s.n[0], brief, s.n[1] * sizeof *regions);
    return at_view_choose(v, e, regions, s.n[0], s.n[1]);
}

static int end_epoch(struct at_band *b, bool last)
{
    struct at_view *v = &b->view;
    struct at_region regions[2 * AT_TRACK_MAX_REGIONS];
    at_view_spectra(v, &b->blocks, &b->floor);
    memcpy(b->blocks.dc, v->dc, sizeof v->dc);
    const float *rows;
    size_t t = at_view_long(v, &rows);
    at_floor_see_ends(&b->floor, rows, t, v->n_slow);
    const struct at_passband *seen = &b->floor.passband;
    at_repeat_within(&b->repeat, (double)seen->from / v->n_fast, (double)seen->to / v->n_fast);
    at_floor_set_repeats(&b->floor, at_repeat_see(&b->repeat, rows, t));
    at_floor_update(&b->floor, v->fast, v->t_fast, v->looks_fast, v->gated, v->clipped);
    if (b->floor.other)
        at_tracker_drop(&b->tracker);
    struct at_epoch e = {.rate_hz = b->config.rate_hz,
                         .mirror = mirror,
                         .share = share,
                         .ctx = b,
                         .floor_source = b->floor.source,
                         .gap = b->gap};
    at_view_epoch(v, &b->floor, &e);
    int ret = at_tracker_run(&b->tracker, &e, regions, search(b, &e, regions));
    b->stats.n_artefacts = b->tracker.n_artefacts + v->has_dc + (b->blanker.n_pulses > b->pulses);
    b->pulses = b->stats.pulses_blanked = b->blanker.n_pulses;
    b->stats.samples_blanked = b->blanker.n_samples;
    tell_floor(b);
    at_waterfall_run(&b->waterfall, &e, &b->sink, &b->stats, b->floor.median, last);
    at_view_next(v);
    if (ret == 0)
        ret = at_emissions_settle(&b->emissions, b->next,
                                  !last       ? AT_GOES_ON
                                  : b->paused ? AT_PAUSES
                                              : AT_ENDS);
    b->stats.active = at_emissions_active(&b->emissions);
    return ret;
}

/* The stretch ends here: its tail is made and decided upon. last: and every emission closed. */
static int end_stretch(struct at_band *b, bool last)
{
    int held = b->blanker.ratio > 0 ? at_blanker_flush(&b->blanker) : 0;
    int shut = at_gate_flush(&b->gate);
    held = held < 0 ? held : shut;
    while (at_blocks_pad(&b->blocks))
        ;
    int ret = end_epoch(b, true);
    ret = held < 0 ? held : ret;
    if (last)
        at_emissions_close(&b->emissions);
    return ret;
}

static void begin_stretch(struct at_band *b, uint64_t index)
{
    at_blocks_begin(&b->blocks, index);
    at_view_begin(&b->view, index);
    at_waterfall_begin(&b->waterfall);
    at_gate_begin(&b->gate);
    at_blanker_begin(&b->blanker);
    b->next = index;
    at_emissions_begin(&b->emissions, index);
}

/* What is to be made and looked at now. */
struct making {
    struct at_band *b;
    size_t pairs, looks; /* parts of either: blocks in pairs, and what is to be looked at */
};

static void make_pair(struct at_band *b, size_t i)
{
    const struct at_blocks *s = &b->blocks;
    size_t from, to;
    at_view_pair(&b->view, i, &from, &to);
    for (; from < to; from++) {
        uint64_t end = (s->count + from) * s->advance + s->n - s->advance / 2;
        at_intake_need(&b->intake, end < s->n ? 0 : end - s->n, end);
        at_blocks_make_one(s, from);
    }
}

static void look(struct at_band *b, size_t i)
{
    uint64_t from, to;
    at_view_look_span(&b->view, i, &from, &to);
    at_intake_need(&b->intake, from, to);
    at_view_look(&b->view, i);
}

/* A pair, then what is to be looked at of about the same samples, then the next: they are written
 * for the first of these and stand in the cache for the others. */
static void make_part(void *ctx, size_t i)
{
    const struct making *m = ctx;
    size_t n = m->pairs > 0 ? m->pairs : 1, k = i * n / (m->pairs + m->looks + 1);
    while (k + 1 < n && k + 1 + (k + 1) * m->looks / n <= i)
        k++;
    i -= k + k * m->looks / n;
    if (m->pairs > 0 && i == 0)
        make_pair(m->b, k);
    else
        look(m->b, k * m->looks / n + i - (m->pairs > 0));
}

static void add_columns(struct at_band *b)
{
    for (size_t i = 0; i < at_view_columns(&b->view); i++)
        at_view_add_columns(&b->view, i);
}

/* The samples that have come: looked at, and the blocks that are there now, one after the other. */
static void take_blocks(struct at_band *b)
{
    uint64_t first = b->blocks.count;
    struct making m = {.b = b};
    m.pairs = at_view_begin_blocks(&b->view, at_blocks_begin_making(&b->blocks));
    m.looks = at_view_begin_look(&b->view, &b->blocks);
    at_aside_parts(b->view.aside, make_part, &m, m.pairs + m.looks);
    at_intake_end(&b->intake, &b->view);
    at_view_end_look(&b->view);
    at_blocks_end_making(&b->blocks);
    if (!b->view.aside)
        add_columns(b);
    while (at_blocks_next(&b->blocks))
        if (!b->view.aside)
            at_emissions_hear(&b->emissions, false);
    if (b->view.aside)
        at_emissions_hear_together(&b->emissions, first);
    at_view_end_blocks(&b->view);
}

static int take_samples(void *ctx, const struct at_input *input, size_t from, size_t n)
{
    struct at_band *b = ctx;
    while (n > 0) {
        size_t part = at_view_room(&b->view) < n ? at_view_room(&b->view) : n;
        part = part < at_blocks_room(&b->blocks) ? part : at_blocks_room(&b->blocks);
        part = part < AT_INTAKE_MOST ? part : AT_INTAKE_MOST;
        at_intake_begin(&b->intake, &b->view, &b->blocks, input, from, part);
        from += part;
        n -= part;
        b->next += part;
        b->stats.samples += part;
        take_blocks(b);
        if (at_view_room(&b->view) > 0)
            continue;
        int ret = end_epoch(b, false);
        b->gap = false;
        if (ret < 0)
            return ret;
    }
    return 0;
}

struct part {
    const struct at_input *input;
    size_t from;
};

static void write_part(const void *ctx, size_t from, size_t n, float *iq)
{
    const struct part *p = ctx;
    p->input->write(p->input->ctx, p->from + from, n, iq);
}

/* What the blanker hands on. */
static int take_blanked(void *ctx, const struct at_input *input, size_t from, size_t n)
{
    struct at_band *b = ctx;
    struct part p = {input, from};
    struct at_input part = {write_part, &p};
    return at_gate_push(&b->gate, &part, n);
}

int at_band_take(struct at_band *b, const struct at_input *input, size_t n, uint64_t index)
{
    at_cpu_flush_denormals();
    if (!b->begun || b->paused || index != b->next + b->gate.held + at_blanker_held(&b->blanker)) {
        int ret = b->begun && !b->paused ? end_stretch(b, false) : 0;
        if (b->paused && index > b->next)
            at_tracker_absent(&b->tracker, index - b->next);
        b->paused = false;
        b->gap = b->begun;
        b->begun = true;
        begin_stretch(b, index);
        if (ret < 0)
            return ret;
    }
    return b->blanker.ratio > 0 ? at_blanker_push(&b->blanker, input, n)
                                : at_gate_push(&b->gate, input, n);
}

static void write_floats(const void *ctx, size_t from, size_t n, float *iq)
{
    memcpy(iq, (const float *)ctx + 2 * from, 2 * n * sizeof *iq);
}

int at_band_push(struct at_band *b, const float *iq, size_t n, uint64_t index)
{
    struct at_input input = {write_floats, iq};
    return at_band_take(b, &input, n, index);
}

int at_band_pause(struct at_band *b)
{
    if (!b->begun || b->paused)
        return 0;
    at_cpu_flush_denormals();
    b->paused = true;
    return end_stretch(b, false);
}

int at_band_flush(struct at_band *b)
{
    if (!b->begun)
        return 0;
    at_cpu_flush_denormals();
    b->begun = false;
    if (b->paused) {
        b->paused = false;
        at_emissions_close(&b->emissions);
        return 0;
    }
    return end_stretch(b, true);
}

int at_band_open_emission(struct at_band *b, double f_lo_hz, double f_hi_hz, uint64_t start,
                          uint64_t end, uint64_t *ret_id)
{
    double half = b->config.rate_hz / 2;
    if (!(f_lo_hz >= -half && f_hi_hz <= half && f_lo_hz < f_hi_hz) || end <= start)
        return -EINVAL;
    struct at_track *k = at_tracker_add(&b->tracker, f_lo_hz, f_hi_hz, start);
    if (!k)
        return -ENOMEM;
    k->by_hand = true;
    k->hand_end = end;
    k->e.end = end;
    k->e.bursts = 1;
    k->e.duty = 1;
    k->e.id = b->tracker.next_id++;
    if (ret_id)
        *ret_id = k->e.id;
    return 0;
}

void at_band_get_stats(const struct at_band *b, struct at_band_stats *ret)
{
    *ret = b->stats;
}
