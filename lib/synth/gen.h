/* Inside the generator: what the families of signals share. Not for other rooms.
 * Each family draws its parameters, says its natural bandwidth to at_gen_begin(), which sets the
 * scale of time, and renders in natural units (Hz, seconds) at g->fs samples a natural second.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SYNTH_GEN_H
#define AT_SYNTH_GEN_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/synth/synth.h"

#define AT_TAU 6.28318530717958647692

/* How the truth's edges come about: said by the family, or read from a reference spectrum of the
 * clean signal: 99 % of the power, 30 dB below the peak, or 99 % of the max-hold (voice). */
enum at_gen_edges { AT_EDGES_SAID, AT_EDGES_P99, AT_EDGES_DB30, AT_EDGES_HOLD };

struct at_gen {
    struct at_rng rng;
    double rate_hz, want_hz; /* rate rendered at; bandwidth asked (0: natural) */
    double full_hz, len_s;   /* the caller's rate and window */
    int probe;               /* at_gen_begin only says the bandwidth: -ECANCELED */
    int whole;               /* fills whatever rate it is rendered at: said before at_gen_begin */
    double fs;               /* samples per natural second */
    double bw_hz, center_hz; /* natural; center: of the occupied band */
    enum at_gen_edges edges;
    size_t n;
    float *iq;                        /* (n, 2), zeroed, the caller's */
    uint8_t *on;                      /* (n) */
    int marked;                       /* on holds marks; else everything is on */
    int line;                         /* a carrier with sidebands */
    double sidebands[AT_TRUTH_PARTS]; /* power beside it over that while on, part by part */
    int clean;
};

struct at_family {
    int class_id;
    size_t count;
    const struct at_variant *(*at)(size_t i);
    int (*render)(struct at_gen *g, size_t i); /* 0, -EINVAL (does not fit), -ENOMEM */
};
extern const struct at_family at_family_noise, at_family_carrier, at_family_cw, at_family_ook,
    at_family_am, at_family_ssb, at_family_nfm, at_family_wfm, at_family_fsk2, at_family_gfsk,
    at_family_fsk4, at_family_afsk, at_family_psk, at_family_ofdm, at_family_css, at_family_ppm,
    at_family_chirp, at_family_outlier;

/* Sets fs from the natural bandwidth. 0 or -EINVAL; what is negative is handed on. */
int at_gen_begin(struct at_gen *g, double bw_hz);
/* Draws a rate (symbols, carriers, ...) from lo..hi; at natural scale from the part of it whose
 * bandwidth, bw_per times the rate, is 0.02 to 0.9 of the samples', where there is one. */
double at_gen_fit(struct at_gen *g, double lo, double hi, double bw_per);
/* Marks samples [a, b), clipped to the window, as on. */
void at_gen_on(struct at_gen *g, double a, double b);
/* Length of the window in natural seconds. */
static inline double at_gen_seconds(const struct at_gen *g)
{
    return (double)g->n / g->fs;
}
static inline double at_gen_u(struct at_gen *g, double lo, double hi)
{
    return at_rng_uniform(&g->rng, lo, hi);
}
static inline double at_gen_lu(struct at_gen *g, double lo, double hi)
{
    return at_rng_log_uniform(&g->rng, lo, hi);
}
static inline int at_gen_p(struct at_gen *g, double p)
{
    return at_rng_uniform(&g->rng, 0, 1) < p;
}
/* Says line and sidebands of the amplitudes iq[2 i], whose mean is the carrier, while on (n; NULL:
 * always) is 1. */
void at_gen_sidebands(struct at_gen *g, const float *on);
/* Where the first burst of len_s begins, in natural seconds: in the window's first part, now and
 * then cut by its start. */
double at_gen_first(struct at_gen *g, double len_s);

/* --- arithmetic (arith.c) --- */

/* Frequency f_hz (n) at fs samples a second, summed from *phase (turns x 2^32), into iq (n, 2)
 * times amp or 1. */
void at_gen_fm(const float *f_hz, const float *amp, size_t n, double fs, uint32_t *phase,
               float *iq);
/* Multiplies iq (n, 2) by exp(2 pi i (cycles_per_sample k + phase_turns)). */
void at_gen_mix(float *iq, size_t n, double cycles_per_sample, double phase_turns);
/* dst (n, 2) += gain exp(2 pi i (c k + phase)) src (n, 2). */
void at_gen_mix_add(float *dst, const float *src, size_t n, double cycles_per_sample,
                    double phase_turns, double gain);
/* dst (n, 2) += gain exp(2 pi i (c k + phase)). */
void at_gen_tone(float *dst, size_t n, double cycles_per_sample, double phase_turns, double gain);
/* n normal values, mean 0, the given sigma. */
void at_gen_noise(struct at_rng *r, float *out, size_t n, float sigma);
/* Adds them. */
void at_gen_noise_add(struct at_rng *r, float *out, size_t n, float sigma);
/* One-pole low-pass in place, corner hz. */
void at_gen_lowpass(float *x, size_t n, double fs, double corner_hz);

#define AT_FFT_MAX_LOG2 20
/* Forward or inverse complex FFT of a power of two up to 2^AT_FFT_MAX_LOG2, arrays apart. Inverse
 * is unscaled. */
struct at_fft {
    size_t n;
    float *re, *im;       /* (n) input and output, owned */
    float *wre, *wim;     /* (n) scratch */
    const float *cs, *sn; /* (n) twiddles, of small sizes shared by all */
};
int at_fft_init(struct at_fft *f, size_t n);
void at_fft_finish(struct at_fft *f);
void at_fft_run(struct at_fft *f, int inverse);

/* A pulse on a grid of sub-phases: tab (AT_PULSE_OS, span). */
#define AT_PULSE_OS 128
struct at_pulse {
    int span;
    float *tab;
};
enum at_shape { AT_SHAPE_RECT, AT_SHAPE_GAUSS, AT_SHAPE_RC, AT_SHAPE_RRC };
/* shape's parameter: BT of the Gaussian, roll-off; of RECT the rise time in symbols. sps: the pulse
 * is averaged over one sample, so that frequency steps integrate exactly; 0: not averaged. */
int at_pulse_init(struct at_pulse *p, enum at_shape shape, double param, double sps);
void at_pulse_finish(struct at_pulse *p);
/* out[i] = sum_k sym[k] g((i - t0) / sps - k) for i in [0, n); sym (n_sym), outside it 0. */
void at_pulse_run(const struct at_pulse *p, const float *sym, size_t n_sym, double t0, double sps,
                  float *out, size_t n);
/* The same for complex symbols (n_sym, 2) into out (n, 2). */
void at_pulse_run2(const struct at_pulse *p, const float *sym, size_t n_sym, double t0, double sps,
                   float *out, size_t n);

/* out (n, 2) from in (m, 2) at start + step k, windowed sinc of 16; content must stay below 0.42 of
 * in's rate. */
void at_gen_resample(const float *in, size_t m, double start, double step, float *out, size_t n);

/* --- to a higher rate (raise.c) --- */

/* Samples that n at 2^steps times the rate are made of. ret_lead: how many of the high rate's lie
 * before the first that is made. */
size_t at_raise_needs(size_t n, unsigned steps, size_t *ret_lead);
/* Doubles the rate of what at_raise_needs() says `steps` times, by turns from x into other and
 * back: n samples (n or one more, 2). Content up to 0.3 of the low rate stays, its images lie at
 * -93 dB. Returns where the result stands. */
float *at_raise_run(float *x, size_t n, unsigned steps, float *other);

/* As at_signal_render_marked(), rendered at a lower rate where the bandwidth is far below the rate,
 * then raised. iq (n + 1, 2); on (n) or NULL; half (n / 2 + AT_GEN_EXTRA, 2) and marks
 * (n + AT_GEN_EXTRA) are scratch. */
#define AT_GEN_EXTRA 32
int at_gen_render(const struct at_signal_spec *spec, float *iq, uint8_t *on, float *half,
                  uint8_t *marks, struct at_signal_truth *ret);

/* Soft limiter (Rapp, p = 1) of a power amplifier: backoff over the mean power of the on-samples.
 */
void at_gen_amplifier(struct at_gen *g, double backoff_db);

/* --- transmitter's oscillator (osc.c) --- */
struct at_osc {
    double offset_hz, drift_hz_s, settle_hz, settle_s, wander_hz, wander_s, pull_hz, pull_s;
};
/* Drawn for deviation or bandwidth `unit_hz` and burst length len_s; zero when clean. */
void at_osc_draw(struct at_gen *g, double unit_hz, double len_s, struct at_osc *ret);
/* Adds its frequency to f_hz for samples [a, b) of a burst that began at sample `begin` (may be
 * negative). */
void at_osc_add(const struct at_osc *o, double fs, float *f_hz, long a, long b, double begin);

/* --- keyed carriers (keyed.c) --- */
struct at_key {
    float s, level; /* seconds; amplitude 0..1 */
};
struct at_keyer {
    double rise_s, fall_s; /* time constants */
    double leak;           /* amplitude between keys against 1, while the packet lasts */
    double overshoot, overshoot_s;
    double sag;             /* share by which the amplitude falls over a packet (battery) */
    double pull_hz, pull_s; /* frequency at key-down, decaying (chirp) */
    double off_hz;          /* carrier against 0 */
    double on_level;        /* keys at least this high count as on */
    struct at_osc osc;      /* from the packet's start */
};
/* Adds one packet that begins at start_s to amp (n), f_hz (n); marks what is on. Returns its end in
 * seconds. */
double at_keyed_add(struct at_gen *g, const struct at_keyer *k, const struct at_key *keys,
                    size_t n_keys, double start_s, float *amp, float *f_hz);

/* --- programmes (audio.c) --- */
enum at_audio { AT_AUDIO_VOICE, AT_AUDIO_MUSIC, AT_AUDIO_MIXED, AT_AUDIO_SILENCE, AT_AUDIO_TONE };
/* At its own rate: fa samples a second, m of them; content to 0.37 fa. */
void at_audio_make(struct at_gen *g, enum at_audio kind, double fa, int compressed, float *out,
                   size_t m);
/* out (n) at fs natural samples a second, band-limited to corner_hz, rms about 0.25 while active,
 * peaks within 1. */
int at_audio_render(struct at_gen *g, enum at_audio kind, double corner_hz, int compressed,
                    float *out, size_t n);
/* Push-to-talk: amp (n) 1 while somebody speaks, for lo_s to hi_s a time with short ramps, else 0;
 * marks it. */
void at_audio_talk(struct at_gen *g, float *amp, double lo_s, double hi_s);

#endif
