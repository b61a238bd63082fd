/* Edges, times, and how many emissions one transmitter makes. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenes/scenes.h"
#include "tests/support/signals.h"

struct kind {
    int class_id;
    const char *variant;
    double rate_hz, width_hz; /* width 0: its own */
    double seconds;           /* of the scene; it is sent from a tenth on */
    double sent_s;            /* 0: to the end */
};

/* One transmitter each, at a rate where a receiver would meet it. */
static const struct kind kinds[] = {
    {AT_CLASS_CARRIER, "carrier_steady", 250e3, 0, 0.6, 0},
    {AT_CLASS_CARRIER, "carrier_tokens", 250e3, 0, 0.6, 0},
    {AT_CLASS_CW, "cw_keyer", 48e3, 0, 2, 0},
    {AT_CLASS_OOK, "pt2262", 250e3, 0, 1, 0},
    {AT_CLASS_OOK, "nexus_ppm", 250e3, 0, 1, 0},
    {AT_CLASS_OOK, "oregon_v2", 250e3, 0, 0.8, 0},
    {AT_CLASS_OOK, "tpms_ook", 1e6, 0, 0.4, 0},
    {AT_CLASS_OOK, "car_fob", 1.024e6, 0, 0.6, 0},
    {AT_CLASS_AM, "am_voice", 96e3, 0, 2, 0},
    {AT_CLASS_SSB, "usb_voice", 48e3, 0, 3, 0},
    {AT_CLASS_NFM, "nfm_5k", 250e3, 0, 1.5, 0},
    {AT_CLASS_WFM, "wfm_stereo", 1e6, 0, 0.6, 0},
    {AT_CLASS_WFM, "wfm_speech", 2.4e6, 0, 0.6, 0},
    {AT_CLASS_WFM, "wfm_quiet", 1e6, 0, 0.6, 0},
    {AT_CLASS_FSK2, "pocsag1200", 250e3, 0, 1.2, 0.6},
    {AT_CLASS_FSK2, "rtty50", 12e3, 0, 3, 0},
    {AT_CLASS_FSK2, "sensor_mid", 1e6, 0, 0.4, 0},
    {AT_CLASS_FSK2, "wide_index", 1e6, 0, 0.4, 0},
    {AT_CLASS_FSK2, "tpms_fsk", 1e6, 0, 0.3, 0},
    {AT_CLASS_GFSK, "ais", 288e3, 0, 0.5, 0},
    {AT_CLASS_GFSK, "ble_1m", 8e6, 0, 0.05, 0},
    {AT_CLASS_GFSK, "gmsk_stream", 250e3, 12e3, 0.6, 0},
    {AT_CLASS_FSK4, "dmr", 250e3, 0, 0.8, 0},
    {AT_CLASS_FSK4, "dmr_tdma", 250e3, 0, 0.8, 0},
    {AT_CLASS_AFSK, "aprs_1200", 250e3, 0, 1, 0.5},
    {AT_CLASS_PSK_QAM, "qpsk", 1e6, 100e3, 0.3, 0.1},
    {AT_CLASS_PSK_QAM, "tetra", 250e3, 0, 0.6, 0.3},
    {AT_CLASS_PSK_QAM, "psk_burst", 1e6, 50e3, 0.4, 0},
    {AT_CLASS_OFDM, "lte_5m", 15.36e6, 0, 0.06, 0},
    {AT_CLASS_OFDM, "lte_1m4", 1.92e6, 0, 0.3, 0},
    {AT_CLASS_OFDM, "dab", 2.4e6, 0, 0.4, 0},
    {AT_CLASS_OFDM, "wifi_20m", 40e6, 0, 0.02, 0},
    {AT_CLASS_CSS, "lora_sf8_9", 1e6, 125e3, 0.6, 0},
    {AT_CLASS_CSS, "lora_sf10_12", 1e6, 125e3, 1, 0},
    {AT_CLASS_PPM, "mode_s_busy", 4e6, 0, 0.1, 0},
    {AT_CLASS_CHIRP, "fmcw_saw", 2.4e6, 500e3, 0.3, 0},
    {AT_CLASS_CHIRP, "fmcw_triangle", 2.4e6, 120e3, 0.4, 0},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* The widest that this variant gets. */
static double widest_hz(int class_id, const char *variant)
{
    for (size_t i = 0; i < at_variant_count(class_id); i++) {
        const struct at_variant *v = at_variant_at(class_id, i);
        if (strcmp(v->name, variant) == 0)
            return v->bw_hi_hz;
    }
    return 0;
}

static int play_kind(const struct kind *k, double snr_db, uint64_t seed, struct outcome *o)
{
    uint64_t r = seed;
    static struct at_scene s;
    s = (struct at_scene){.rate_hz = k->rate_hz,
                          .duration_s = k->seconds,
                          .channel = {.seed = seed, .noise_dbfs_hz = -110}};
    /* What reached over the band's end would come in again at the other. */
    double most = 0.45 * k->rate_hz - widest_hz(k->class_id, k->variant) / 2,
           room = fmin(0.25 * k->rate_hz, fmax(most, 0)) * (2 * sig_uniform(&r) - 1);
    struct at_emitter *e =
        scene_add(&s, k->class_id, k->variant, k->rate_hz > 12e6 ? room / 4 : room, k->width_hz,
                  snr_db, seed);
    e->start_s = 0.1 * k->seconds;
    e->duration_s = k->sent_s;
    e->signal.clean = 1;
    const struct play exact = {.exact = true};
    return scene_play(&s, &exact, o);
}

struct sums {
    double edge[512], time[512];
    size_t n, n_times;
    unsigned scenes, pieces, missed, split, false_ones;
};

static void print_false(const struct outcome *o, double rate_hz)
{
    for (unsigned j = 0; j < o->n_found; j++)
        if (o->is_false[j])
            printf("  false: %.1f..%.1f kHz, %.1f dB, %.0f..%.0f ms\n", o->found[j].f_lo_hz / 1e3,
                   o->found[j].f_hi_hz / 1e3, (double)o->found[j].snr_db,
                   (double)o->found[j].start / rate_hz * 1e3,
                   (double)o->found[j].end / rate_hz * 1e3);
}

/* Errors over what is allowed: 1 is the bar. */
static void take(const struct kind *k, const struct outcome *o, struct sums *s)
{
    const struct truth *t = &o->t[0];
    s->scenes++;
    s->pieces += t->pieces;
    s->missed += t->pieces == 0;
    s->split += is_split(t);
    s->false_ones += o->n_false;
    print_false(o, k->rate_hz);
    if (t->pieces == 0 || s->n + 2 > 512)
        return;
    const struct at_emission *e = &o->found[t->best];
    double width = t->f_hi_hz - t->f_lo_hz, may = fmax(t->bin_hz, 0.05 * width);
    s->edge[s->n++] = fabs(e->f_lo_hz - t->f_lo_hz) / may;
    s->edge[s->n++] = fabs(e->f_hi_hz - t->f_hi_hz) / may;
    double hop_s = 64 / k->rate_hz, on = (t->end - t->start) / k->rate_hz;
    may = fmax(fmin(0.005, 0.1 * on), 2 * hop_s) * k->rate_hz;
    s->time[s->n_times++] = fabs((double)e->start - t->start) / may;
    s->time[s->n_times++] = fabs((double)e->end - t->end) / may;
}

/* A transmitter next door, one in town, one far away. */
static const double levels_db[] = {45, 25, 10};
#define LEVELS (sizeof levels_db / sizeof *levels_db)

void group_edges(struct report *r)
{
    static struct outcome o;
    static struct sums all, one;
    unsigned n = r->seeds ? r->seeds : r->quick ? 2 : 12;
    all = (struct sums){0};
    unsigned within = 0;
    double medians[KINDS * LEVELS], times[KINDS * LEVELS];
    size_t m = 0;
    for (unsigned level = 0; level < LEVELS; level++)
        for (unsigned i = 0; i < KINDS; i++) {
            const char *only = getenv("SCENE_ONLY");
            if (only && strcmp(only, kinds[i].variant) != 0)
                continue;
            double snr_db = levels_db[level];
            one = (struct sums){0};
            for (unsigned k = 0; k < n; k++)
                if (play_kind(&kinds[i], snr_db, 100 * i + k + 1, &o) == 0)
                    take(&kinds[i], &o, &one);
            double edge = scene_median(one.edge, one.n), time = scene_median(one.time, one.n_times);
            printf(
                "%-16s %2.0f dB: edges %6.2f times %6.2f of what is allowed; %u scenes, %u missed, "
                "%u split (%u pieces), %u false; e.g. %.1f..%.1f kHz for %.1f..%.1f\n",
                kinds[i].variant, snr_db, edge, time, one.scenes, one.missed, one.split, one.pieces,
                one.false_ones, o.t[0].pieces ? o.found[o.t[0].best].f_lo_hz / 1e3 : 0,
                o.t[0].pieces ? o.found[o.t[0].best].f_hi_hz / 1e3 : 0, o.t[0].f_lo_hz / 1e3,
                o.t[0].f_hi_hz / 1e3);
            within += edge <= 1;
            times[m] = time;
            medians[m++] = edge;
            all.scenes += one.scenes;
            all.missed += one.missed;
            all.split += one.split;
            all.false_ones += one.false_ones;
        }
    report_figure(r, "edge_error_median", scene_median(medians, m), NAN, 1);
    report_figure(r, "edge_kinds_within", (double)within / (double)m, NAN, NAN);
    report_figure(r, "time_error_median", scene_median(times, m), NAN, 1);
    report_figure(r, "single_missed", (double)all.missed / all.scenes, NAN, 0.02);
    report_figure(r, "single_split", (double)all.split / all.scenes, NAN, 0.15);
    report_figure(r, "single_false", (double)all.false_ones / all.scenes, NAN, 0.2);
}

/* ---- bands of several ---- */

struct tally {
    unsigned scenes, truths, found_once, split, missed, merged, false_ones;
};

static void count(const struct outcome *o, struct tally *t)
{
    t->scenes++;
    t->truths += o->n;
    for (unsigned i = 0; i < o->n; i++) {
        t->missed += o->t[i].pieces == 0;
        t->found_once += is_right(&o->t[i]);
        t->split += is_split(&o->t[i]);
    }
    t->merged += o->n_merged;
    t->false_ones += o->n_false;
}

static void show(struct report *r, const char *name, const struct tally *t, double least,
                 double most_wrong)
{
    char full[64];
    printf(
        "%s: %u scenes, %u transmitters: %u once, %u split, %u missed; %u emissions hold several, "
        "%u false\n",
        name, t->scenes, t->truths, t->found_once, t->split, t->missed, t->merged, t->false_ones);
    snprintf(full, sizeof full, "%s_once", name);
    report_figure(r, full, (double)t->found_once / t->truths, least, NAN);
    snprintf(full, sizeof full, "%s_false_per_scene", name);
    report_figure(r, full, (double)t->false_ones / t->scenes, NAN, most_wrong);
    snprintf(full, sizeof full, "%s_merged", name);
    report_figure(r, full, (double)t->merged / t->scenes, NAN, most_wrong);
}

static void named(struct report *r, const char *scene, double seconds, unsigned n, double least,
                  double most_wrong)
{
    static struct outcome o;
    static struct at_scene s;
    struct tally t = {0};
    for (unsigned k = 0; k < n; k++) {
        if (at_scene_named(scene, 0, 40 + k, &s) < 0)
            continue;
        s.duration_s = fmin(s.duration_s, seconds);
        if (scene_play(&s, NULL, &o) != 0)
            continue;
        count(&o, &t);
        print_false(&o, s.rate_hz);
        for (unsigned i = 0; i < o.n; i++)
            if (!is_right(&o.t[i]))
                printf("  %s: %u pieces of %u to %u\n", s.emitters[i].signal.variant, o.t[i].pieces,
                       o.t[i].sent_least, o.t[i].sent_most);
    }
    show(r, scene, &t, least, most_wrong);
}

/* Two of the same width, a guard of this share of it between them. */
static void neighbours(struct report *r, double guard, unsigned n)
{
    static struct outcome o;
    struct tally t = {0};
    char name[64];
    for (unsigned k = 0; k < n; k++) {
        uint64_t seed = 700 + k;
        double width = 10e3 * pow(10, 1.3 * sig_uniform(&seed)), apart = width * (1 + guard) / 2;
        static struct at_scene s;
        s = (struct at_scene){
            .rate_hz = 1e6, .duration_s = 0.3, .channel = {.seed = seed, .noise_dbfs_hz = -110}};
        for (int side = -1; side < 2; side += 2) {
            struct at_emitter *e =
                scene_add(&s, AT_CLASS_PSK_QAM, "qpsk", 50e3 + side * apart, width,
                          12 + 12 * sig_uniform(&seed), seed + (uint64_t)side);
            e->signal.clean = 1;
        }
        if (scene_play(&s, NULL, &o) == 0)
            count(&o, &t);
    }
    snprintf(name, sizeof name, "neighbours_guard%g", guard);
    show(r, name, &t, guard >= 1 ? 0.95 : 0.8, NAN);
}

/* A channel of NFM beside the other, all there from the first sample on: the gaps are narrower than
 * a bin of the short spectra. */
static void raster(struct report *r, unsigned n)
{
    static struct outcome o;
    struct tally t = {0};
    for (unsigned k = 0; k < n; k++) {
        static struct at_scene s;
        s = (struct at_scene){.rate_hz = 2.4e6,
                              .duration_s = 0.5,
                              .channel = {.seed = 800 + k, .noise_dbfs_hz = -110}};
        for (unsigned i = 0; i < 60; i++)
            scene_add(&s, AT_CLASS_NFM, "nfm_5k", 22e3 * (i - 29.5), 9e3, 25, 1000 * (k + 1) + i);
        if (scene_play(&s, NULL, &o) == 0)
            count(&o, &t);
    }
    show(r, "nfm60_22k", &t, 0.95, 3);
}

void group_count(struct report *r)
{
    unsigned n = r->seeds ? r->seeds : r->quick ? 1 : 5;
    const char *only = getenv("SCENE_ONLY");
    if (only) {
        named(r, only, 5, n, NAN, NAN);
        return;
    }
    named(r, "fm30", 0.5, r->quick ? 3 : n, 0.95, 0.5);
    named(r, "demo", r->quick ? 2 : 5, n, 0.9, 0.5);
    named(r, "dense", 1, n, 0.95, 0.5);
    raster(r, n);
    neighbours(r, 0.25, 10 * n);
    neighbours(r, 1, 10 * n);
}
