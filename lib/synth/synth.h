/* Synthetic signals of the 17 classes and the channel they come through. Seeded: the same seed
 * gives the same samples on every machine. Used by the simulated radio, the tests and the training.
 * C++ may include this header. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SYNTH_SYNTH_H
#define AT_SYNTH_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Order of DESIGN.md section 3; the model file's labels say what a model knows. */
enum at_class {
    AT_CLASS_NOISE,
    AT_CLASS_CARRIER,
    AT_CLASS_CW,
    AT_CLASS_OOK,
    AT_CLASS_AM,
    AT_CLASS_SSB,
    AT_CLASS_NFM,
    AT_CLASS_WFM,
    AT_CLASS_FSK2,
    AT_CLASS_GFSK,
    AT_CLASS_FSK4,
    AT_CLASS_AFSK,
    AT_CLASS_PSK_QAM,
    AT_CLASS_OFDM,
    AT_CLASS_CSS,
    AT_CLASS_PPM,
    AT_CLASS_CHIRP,
    AT_CLASS_COUNT,
    AT_CLASS_OUTLIER =
        100, /* no class: signals that must be `unknown`; renders like one, has no name */
};
#define AT_NOISE_BUMP                                                                              \
    "noise_bump" /* last member of AT_CLASS_OUTLIER: coloured noise, for class noise */
const char *at_class_name(int class_id);
int at_class_from_name(const char *name); /* -1: none */

/* xoshiro256** seeded by splitmix64. */
struct at_rng {
    uint64_t s[4];
    double spare;
    int has_spare;
};
void at_rng_seed(struct at_rng *r, uint64_t seed);
uint64_t at_rng_next(struct at_rng *r);
void at_rng_some(struct at_rng *r, uint64_t *ret, size_t n); /* the next n */
double at_rng_uniform(struct at_rng *r, double lo, double hi);
double at_rng_log_uniform(struct at_rng *r, double lo, double hi);
double at_rng_normal(struct at_rng *r);
int at_rng_int(struct at_rng *r, int lo, int hi); /* both included */

/* One transmitter's signal as it is sent: complex baseband around 0 Hz, unit power while on. */
struct at_signal_spec {
    int class_id;
    char variant[24]; /* member of the class ("ais", "lora_sf7", "lte_5m"); empty: drawn */
    uint64_t seed;
    double rate_hz;      /* samples a second to render at */
    double bandwidth_hz; /* occupied; 0: the variant's own at this rate */
    size_t n;            /* samples */
    int clean; /* 1: a transmitter without drift, settling, leakage, clipping (for tests) */
};

/* A member of a class: what to expect of it at its own scale. */
struct at_variant {
    const char *name;
    double bw_lo_hz, bw_hi_hz;     /* natural occupied bandwidth */
    double burst_lo_s, burst_hi_s; /* typical burst, natural time; 0, 0: goes on and on */
};
/* Members of a class; any thread. NULL past the end. */
size_t at_variant_count(int class_id);
const struct at_variant *at_variant_at(int class_id, size_t i);

#define AT_BURST_GAP_S 0.5 /* silence that ends an emission for the tracker */
#define AT_TRUTH_PARTS 32  /* of a signal's samples, alike in length */

/* What was really made. */
struct at_signal_truth {
    int class_id;
    char variant[24];
    double bandwidth_hz; /* occupied (edges as in DESIGN.md section 1), around center_hz */
    double center_hz;    /* of the occupied band against 0 (asymmetric FSK); in a scene against
                            offset_hz: 0, or how far it was moved */
    double on_share;     /* share of samples that are on, 0..1 */
    size_t first, last;  /* first on-sample, one past the last on-sample */
    size_t burst_first, burst_last;   /* the same of its longest burst: what is on again within
                                         AT_BURST_GAP_S is one */
    unsigned keys;                    /* times that it went on within the samples, */
    uint16_t keys_in[AT_TRUTH_PARTS]; /* and in each part of them, 65535 at most */
    int line;                         /* 1: a carrier with sidebands (am, and afsk on it) */
    double sidebands[AT_TRUTH_PARTS]; /* of a line: power beside it in each part of the samples,
                                         over that while on */
};

/* Renders into iq (n, 2). 0; -EINVAL where the variant does not fit the rate (its bandwidth over
 * 0.95 of it) or is not known; -ENOMEM. bandwidth_hz other than 0 stretches or squeezes time: every
 * rate and deviation grows by bandwidth_hz / own bandwidth and every duration shrinks by it; the
 * truth says what came of it (OOK and voice differ by some 20 % from what was asked). Where a burst
 * signal is asked for, at least one burst touches the n samples. Class noise renders zeros: nothing
 * is sent. Allocates scratch, frees it. Any thread. */
int at_signal_render(const struct at_signal_spec *spec, float *iq, struct at_signal_truth *ret);
/* The same, with on (n): 1 where the signal is on. */
int at_signal_render_marked(const struct at_signal_spec *spec, float *iq, uint8_t *on,
                            struct at_signal_truth *ret);

/* What the air and the receiver do to the sum of signals. Zero-initialised: nothing. */
struct at_channel_spec {
    uint64_t seed;
    double noise_dbfs_hz; /* density; 0: no noise at all (not even the converter's) */
    double dc_dbfs, iq_gain_db, iq_phase_deg, ppm, phase_noise_dbc_hz, spur_dbfs;
    int n_spurs;
    double clip;            /* full scale over the strongest peak; below 1 clips; 0: none */
    int bits;               /* 0: float; 8: cu8-like; 12, 16 */
    double edge_rolloff_db; /* tilt of the receiver's filter at the band's edges */
    double passband;    /* share of the rate, 0..1, that a channel filter lets through; 0: all */
    double stopband_db; /* what it takes from the rest; the converter's noise comes after */
    int gated;          /* exact zeros between bursts */
    int n_gain_steps; /* of a gain control, at drawn times; between them up to gain_step_db less */
    double gain_step_db;
};

/* Applies it to iq (n, 2) in place. on (n) marks samples at which anything is sent (borrowed, only
 * for gated; NULL: never gated). loop: what walks (phase noise) comes back to where it began. With
 * clip the converter's full scale is clip x peak instead of 1: levels stay as asked. 0 or -ENOMEM.
 * Any thread. */
int at_channel_apply(const struct at_channel_spec *spec, double rate_hz, int loop,
                     const uint8_t *on, float *iq, size_t n);

/* A transmitter in a scene. */
struct at_emitter {
    struct at_signal_spec signal; /* rate_hz and n are set by the scene */
    double offset_hz;             /* of its centre against the band's */
    double snr_db;                /* in its occupied bandwidth, while on */
    double start_s, duration_s;   /* duration 0: to the end */
    double multipath;             /* 0..1: strength of one echo; drift_hz: over the scene */
    double drift_hz;
    bool fits; /* moved until what it turns out to be lies within the band: samples of it alias */
};

struct at_scene {
    double rate_hz, center_hz, duration_s;
    struct at_channel_spec channel;
    struct at_emitter emitters[64];
    size_t n_emitters;
};

/* Renders the whole scene into iq (n, 2), n = rate * duration, and the truth of each emitter
 * (n_emitters; may be NULL). loop: the end joins the beginning without a seam. 0 or negative errno.
 */
int at_scene_render(const struct at_scene *scene, int loop, float *iq,
                    struct at_signal_truth *ret_truth);

/* Scenes by name: "demo" (at least 8 emissions of different classes at 2.4 MS/s), others as the
 * tests need. -ENOENT where there is none. rate_hz 0: the scene's own. */
int at_scene_named(const char *name, double rate_hz, uint64_t seed, struct at_scene *ret);

#ifdef __cplusplus
}
#endif
#endif
