/* Scenes by name. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/synth/gen.h"

static void add(struct at_scene *s, int class_id, const char *variant, uint64_t seed,
                double offset_hz, double bandwidth_hz, double snr_db)
{
    if (s->n_emitters >= sizeof s->emitters / sizeof *s->emitters)
        return;
    struct at_emitter *e = &s->emitters[s->n_emitters++];
    *e = (struct at_emitter){.offset_hz = offset_hz, .snr_db = snr_db};
    e->signal =
        (struct at_signal_spec){.class_id = class_id, .seed = seed, .bandwidth_hz = bandwidth_hz};
    snprintf(e->signal.variant, sizeof e->signal.variant, "%s", variant);
}

/* 2.4 MS/s, 5 s, a dozen services side by side within +-1.1 MHz. */
static void demo(uint64_t seed, struct at_scene *s)
{
    s->duration_s = 5;
    add(s, AT_CLASS_WFM, "wfm_stereo", seed + 1, -980e3, 0, 30);
    add(s, AT_CLASS_NFM, "nfm_ctcss", seed + 2, -780e3, 0, 26);
    add(s, AT_CLASS_OOK, "pt2262", seed + 3, -680e3, 0, 28);
    add(s, AT_CLASS_CSS, "lora_sf8_9", seed + 4, -500e3, 125e3, 22);
    add(s, AT_CLASS_GFSK, "ais", seed + 5, -330e3, 0, 25);
    add(s, AT_CLASS_FSK4, "dmr", seed + 6, -230e3, 0, 26);
    add(s, AT_CLASS_AFSK, "aprs_1200", seed + 7, -130e3, 0, 26);
    add(s, AT_CLASS_CARRIER, "carrier_steady", seed + 8, -50e3, 0, 35);
    add(s, AT_CLASS_PSK_QAM, "qpsk", seed + 9, 120e3, 100e3, 25);
    add(s, AT_CLASS_AM, "am_voice", seed + 10, 260e3, 0, 30);
    add(s, AT_CLASS_OFDM, "dab_iii", seed + 11, 510e3, 300e3, 25);
    add(s, AT_CLASS_CHIRP, "fmcw_triangle", seed + 12, 800e3, 120e3, 22);
    add(s, AT_CLASS_FSK2, "telemetry_1to3", seed + 13, 980e3, 40e3, 26);
    s->emitters[2].signal.clean = 0;
    s->emitters[s->n_emitters - 1].multipath = 0.2;
}

/* 45 narrow emissions 50 kHz apart. */
static void dense(uint64_t seed, struct at_scene *s)
{
    static const int classes[] = {AT_CLASS_NFM,     AT_CLASS_FSK4, AT_CLASS_GFSK,
                                  AT_CLASS_AM,      AT_CLASS_FSK2, AT_CLASS_PSK_QAM,
                                  AT_CLASS_CARRIER, AT_CLASS_AFSK, AT_CLASS_CW};
    static const char *const names[] = {"nfm_5k",     "dmr",   "gmsk_stream",    "am_voice",
                                        "fsk_stream", "tetra", "carrier_steady", "bell202_stream",
                                        "cw_keyer"};
    static const double bw[] = {0, 0, 12e3, 0, 18e3, 0, 0, 0, 0};
    s->duration_s = 2;
    for (int i = 0; i < 45; i++)
        add(s, classes[i % 9], names[i % 9], seed + (uint64_t)i, -1.1e6 + 50e3 * i, bw[i % 9],
            18 + (i * 7) % 15);
}

/* A broadcast band: 30 stations 200 kHz apart. */
static void stations(uint64_t seed, struct at_scene *s)
{
    static const char *const names[] = {"wfm_stereo", "wfm_rds", "wfm_speech", "wfm_mono"};
    s->duration_s = 1;
    s->center_hz = 98e6;
    for (int i = 0; i < 30; i++)
        add(s, AT_CLASS_WFM, names[i % 4], seed + (uint64_t)i, 240e3 * (i - 14.5), 0,
            20 + (i * 11) % 25);
}

int at_scene_named(const char *name, double rate_hz, uint64_t seed, struct at_scene *ret)
{
    struct at_scene s = {.rate_hz = 2.4e6, .center_hz = 433.92e6, .duration_s = 1};
    s.channel = (struct at_channel_spec){.seed = seed ^ UINT64_C(0x9e3779b97f4a7c15),
                                         .noise_dbfs_hz = -115};
    if (!name)
        return -ENOENT;
    if (!strcmp(name, "demo")) {
        demo(seed, &s);
        s.channel.dc_dbfs = -55;
    } else if (!strcmp(name, "dense")) {
        dense(seed, &s);
    } else if (!strcmp(name, "fm30")) {
        s.rate_hz = 8e6;
        stations(seed, &s);
        s.channel.noise_dbfs_hz = -125;
    } else if (strcmp(name, "quiet") != 0) {
        return -ENOENT;
    }
    if (rate_hz > 0)
        s.rate_hz = rate_hz;
    *ret = s;
    return 0;
}
