/* What a receiver adds of its own: a constant, images, clipping, spurs, tilt, gates, and bands
 * without noise to see. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenes/scenes.h"
#include "tests/support/signals.h"

struct fault {
    const char *name;
    struct at_channel_spec channel;
    double snr_db;
    bool bursts; /* OOK beside a steady one */
    bool ghosts; /* the constant and images are counted: a handful of scenes must show none */
};

#define MOST_GHOSTS 0.001

static const struct fault faults[] = {
    {"dc", {.dc_dbfs = -40}, 25, false, true},
    {"image", {.iq_gain_db = 0.6, .iq_phase_deg = 3}, 40, false, true},
    {"image_bursts", {.iq_gain_db = 0.6, .iq_phase_deg = 3}, 40, true, true},
    {"clipping", {.clip = 0.5, .bits = 8}, 40, true, false},
    {"eight_bits", {.bits = 8}, 30, true, false},
    {"rolloff", {.edge_rolloff_db = 25}, 20, false, false},
    {"gated", {.gated = 1, .bits = 8}, 30, true, false},
    {"phase_noise", {.phase_noise_dbc_hz = -80}, 40, false, false},
};

/* The receiver's own constant, or the image of what was sent, given out as an emission. */
static bool is_ghost(const struct outcome *o, const struct at_emission *e)
{
    bool ghost = e->f_lo_hz < 2e3 && e->f_hi_hz > -2e3;
    for (unsigned i = 0; i < o->n; i++)
        ghost = ghost || (e->f_lo_hz < -o->t[i].f_lo_hz && e->f_hi_hz > -o->t[i].f_hi_hz);
    return ghost;
}

/* Writes a scene as complex floats into the folder that SCENE_KEEP names, for a look at it. */
static void keep(const struct at_scene *s, const char *name, unsigned k)
{
    const char *folder = getenv("SCENE_KEEP");
    size_t n = (size_t)(s->duration_s * s->rate_hz);
    float *iq = folder ? calloc(2 * n, sizeof *iq) : NULL;
    char path[512];
    FILE *f = NULL;
    if (iq && at_scene_render(s, 0, iq, NULL) == 0) {
        snprintf(path, sizeof path, "%s/%s-%u.cf32", folder, name, k);
        f = fopen(path, "w");
    }
    if (folder && (!f || fwrite(iq, 2 * sizeof *iq, n, f) != n))
        fprintf(stderr, "scene %u of %s is not kept\n", k, name);
    if (f)
        fclose(f);
    free(iq);
}

static void fault_scenes(struct report *r, const struct fault *f, unsigned n)
{
    static struct outcome o;
    unsigned missed = 0, split = 0, extra = 0, truths = 0, ghosts = 0, scenes = 0;
    for (unsigned k = 0; k < n; k++) {
        uint64_t seed = 300 + k;
        static struct at_scene s;
        s = (struct at_scene){.rate_hz = 1.024e6, .duration_s = 0.6, .channel = f->channel};
        s.channel.seed = seed;
        s.channel.noise_dbfs_hz = -105;
        struct at_emitter *e =
            scene_add(&s, AT_CLASS_PSK_QAM, "qpsk", -180e3 - 1e5 * sig_uniform(&seed), 40e3,
                      f->snr_db - 10 * sig_uniform(&seed), seed);
        e->signal.clean = 1;
        if (f->bursts)
            *e = (struct at_emitter){
                .signal = e->signal, .offset_hz = e->offset_hz, .snr_db = e->snr_db};
        e = scene_add(&s, f->bursts ? AT_CLASS_OOK : AT_CLASS_NFM, f->bursts ? "pt2262" : "nfm_5k",
                      60e3 + 1e5 * sig_uniform(&seed), 0, f->snr_db, seed + 9);
        e->signal.clean = 1;
        if (f->channel.gated) { /* only the bursts are there */
            s.emitters[0] = s.emitters[1];
            s.n_emitters = 1;
        }
        if (scene_play(&s, NULL, &o) != 0)
            continue;
        for (unsigned i = 0; i < o.n; i++) {
            missed += o.t[i].pieces == 0;
            split += is_split(&o.t[i]);
        }
        for (unsigned j = 0; j < o.n_found && !r->quick; j++)
            if (o.is_false[j])
                printf("  %s: false: %.1f..%.1f kHz, %.1f dB, %.0f..%.0f ms\n", f->name,
                       o.found[j].f_lo_hz / 1e3, o.found[j].f_hi_hz / 1e3,
                       (double)o.found[j].snr_db, (double)o.found[j].start / s.rate_hz * 1e3,
                       (double)o.found[j].end / s.rate_hz * 1e3);
        unsigned here = 0;
        for (unsigned j = 0; j < o.n_found; j++)
            here += o.is_false[j] && is_ghost(&o, &o.found[j]);
        if (f->ghosts ? here : o.n_false)
            keep(&s, f->name, k);
        ghosts += here;
        scenes++;
        truths += o.n;
        extra += o.n_false;
    }
    char name[64];
    snprintf(name, sizeof name, "%s_missed", f->name);
    report_figure(r, name, (double)missed / truths, NAN, NAN);
    snprintf(name, sizeof name, "%s_split", f->name);
    report_figure(r, name, (double)split / truths, NAN, NAN);
    snprintf(name, sizeof name, "%s_false_per_scene", f->name);
    report_figure(r, name, (double)extra / n, NAN, NAN);
    if (!f->ghosts)
        return;
    printf("%s: %u of %u scenes with the constant or an image as an emission\n", f->name, ghosts,
           scenes);
    snprintf(name, sizeof name, "%s_ghosts_per_scene", f->name);
    report_figure(r, name, (double)ghosts / fmax(scenes, 1), NAN, MOST_GHOSTS);
}

struct full {
    const char *variant;
    double rate_hz, bandwidth_hz; /* 0: the variant's own */
    double alone_s;               /* noise before it: the floor is learned */
    double least;                 /* share of scenes that are right */
};

/* What has noise beside it or before it can be told, and of what fills every bin from the start
 * OFDM, by its prefix. */
static const struct full fulls[] = {
    {"lte_5m", 5.2e6, 0, 0, 0.6},         {"lte_5m", 7.68e6, 0, 0, 0.8},
    {"dvbt_8k", 9.142857e6, 0, 0, 0.8},   {"dvbt_8k", 8.4e6, 0, 0, 0.8},
    {"dvbt_cut", 2.4e6, 2e6, 0, 0.9},     {"nr_cut", 3.84e6, 3.3e6, 0, 0.8},
    {"dvbt_cut", 2.4e6, 2.2e6, 0.3, 0.8}, {"nr_cut", 3.84e6, 3.6e6, 0.3, 0.8},
};

/* A band that a signal fills: one emission as wide as the band, and a floor that says what it is.
 */
static void full_band(struct report *r, const struct full *f, unsigned n)
{
    static struct outcome o;
    unsigned right = 0, learned = 0;
    for (unsigned k = 0; k < n; k++) {
        static struct at_scene s;
        s = (struct at_scene){.rate_hz = f->rate_hz,
                              .duration_s = f->alone_s > 0 ? 2 : 0.1,
                              .channel = {.seed = k + 1, .noise_dbfs_hz = -110}};
        scene_add(&s, AT_CLASS_OFDM, f->variant, 0, f->bandwidth_hz, 25, 60 + k)->start_s =
            f->alone_s;
        int rc = scene_play(&s, NULL, &o);
        if (rc != 0) {
            printf("  %s: not rendered: %s\n", f->variant, strerror(-rc));
            continue;
        }
        double width =
            o.t[0].pieces ? o.found[o.t[0].best].f_hi_hz - o.found[o.t[0].best].f_lo_hz : 0;
        right += o.n_found == 1 && width > 0.8 * (o.t[0].f_hi_hz - o.t[0].f_lo_hz) &&
                 fabs((double)o.stats.floor_dbfs_hz + 110) < 12;
        learned += o.stats.floor_source == AT_FLOOR_LEARNED;
        if (!r->quick)
            printf("  %s: %u emissions, %.2f of %.2f MHz, floor %.1f (%s)\n", f->variant, o.n_found,
                   width / 1e6, (o.t[0].f_hi_hz - o.t[0].f_lo_hz) / 1e6,
                   (double)o.stats.floor_dbfs_hz, at_floor_source_name(o.stats.floor_source));
    }
    char name[64];
    snprintf(name, sizeof name, "full_%s_%.3gM%s_one", f->variant, f->rate_hz / 1e6,
             f->alone_s > 0 ? "_after_noise" : "");
    report_figure(r, name, (double)right / n, r->quick ? NAN : f->least, NAN);
    if (f->alone_s > 0) {
        snprintf(name, sizeof name, "full_%s_%.3gM_learned", f->variant, f->rate_hz / 1e6);
        report_figure(r, name, (double)learned / n, NAN, NAN);
    }
}

void group_receiver(struct report *r)
{
    unsigned n = r->seeds ? r->seeds : r->quick ? 3 : 12;
    const char *only = getenv("SCENE_ONLY");
    for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!only || strcmp(only, faults[i].name) == 0)
            fault_scenes(r, &faults[i], n);
    for (unsigned i = 0; !only && i < sizeof fulls / sizeof *fulls; i++)
        full_band(r, &fulls[i], n / 3 + 1);
}
