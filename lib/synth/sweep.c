/* Swept carriers: chirp spread spectrum (LoRa) and linear-FM radar, sounders and jammers.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

/* Amplitude and frequency over the window, from one allocation. */
struct track {
    float *amp, *f_hz; /* (n) */
};

static int track_init(struct track *t, const struct at_gen *g)
{
    t->amp = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *t->amp);
    t->f_hz = t->amp ? t->amp + g->n : NULL;
    return t->amp ? 0 : -ENOMEM;
}

static void track_finish(struct track *t, struct at_gen *g)
{
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(t->f_hz, t->amp, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, t->amp);
}

/* Samples [*a, *b) of the window that [t0, t1) seconds cover. */
static void span(const struct at_gen *g, double t0, double t1, long *a, long *b)
{
    *a = t0 <= 0 ? 0 : (long)ceil(t0 * g->fs);
    *b = t1 * g->fs > (double)g->n ? (long)g->n : (long)ceil(t1 * g->fs);
}

/* clang-format off */
/* --- LoRa: Semtech AN1200.22, SX1276 datasheet; Meshtastic and LoRaWAN regional parameters for the
 * pairs --- */
static const struct css_mode {
    struct at_variant v;
    double bw_lo, bw_hi;
    int sf_lo, sf_hi, pre_lo, pre_hi, len_lo, len_hi;
    int beacon; /* implicit header, upside-down chirps */
} css_modes[] = {
    {{"lora_sf7", 125e3, 500e3, 0.03, 0.2}, 125e3, 500e3, 7, 7, 8, 8, 10, 80, 0},
    {{"lora_sf8_9", 125e3, 500e3, 0.05, 0.5}, 125e3, 500e3, 8, 9, 8, 8, 10, 60, 0},
    {{"lora_sf10_12", 125e3, 500e3, 0.2, 2}, 125e3, 500e3, 10, 12, 8, 8, 8, 40, 0},
    {{"lora_sf5_6", 125e3, 812e3, 0.005, 0.05}, 125e3, 812e3, 5, 6, 8, 12, 20, 150, 0},
    {{"lora_narrow", 7.8e3, 62.5e3, 0.3, 5}, 7.8e3, 62.5e3, 6, 11, 8, 12, 8, 40, 0},
    {{"meshtastic", 62.5e3, 250e3, 0.1, 3}, 62.5e3, 250e3, 7, 11, 16, 16, 15, 80, 0},
    {{"lora_downlink", 125e3, 500e3, 0.05, 1}, 125e3, 500e3, 7, 12, 8, 10, 8, 50, 1},
    {{"lora_stream", 62.5e3, 500e3, 0, 0}, 62.5e3, 500e3, 6, 11, 8, 8, 0, 0, 0},
    {{"lora_24g", 203e3, 1.6e6, 0.002, 0.1}, 203e3, 1.625e6, 5, 10, 12, 12, 10, 100, 0},
};
/* clang-format on */

static const struct at_variant *css_at(size_t i)
{
    return &css_modes[i].v;
}

/* One chirp of ts seconds from t: starts at share s of the band, up or down, for `part` of its
 * length. */
static void lay_chirp(struct at_gen *g, struct track *tr, double t, double ts, double s,
                      double part, double bw, int down, double off)
{
    long a, b;
    span(g, t, t + part * ts, &a, &b);
    for (long i = a; i < b; i++) {
        double x = s + ((double)i / g->fs - t) / ts;
        x -= floor(x);
        tr->f_hz[i] += (float)(off + (down ? 0.5 - x : x - 0.5) * bw);
        tr->amp[i] = 1;
    }
    at_gen_on(g, t * g->fs, (t + part * ts) * g->fs);
}

/* A packet at t: preamble, two sync symbols, 2.25 of the other slope, payload. Returns its end. */
static double lay_packet(struct at_gen *g, struct track *tr, const struct css_mode *m, int sf,
                         double bw, double t, int payload)
{
    double ts = ldexp(1, sf) / bw, off = g->clean ? 0 : at_gen_u(g, -0.05, 0.05) * bw, begin = t;
    int pre = at_rng_int(&g->rng, m->pre_lo, m->pre_hi), sync = at_gen_p(g, 0.5) ? 24 : 8,
        n = 1 << sf;
    struct at_osc osc;
    at_osc_draw(g, 0.05 * bw, (pre + 4 + payload) * ts, &osc);
    for (int k = 0; k < pre; k++, t += ts)
        lay_chirp(g, tr, t, ts, 0, 1, bw, m->beacon, off);
    for (int k = 1; k <= 2; k++, t += ts)
        lay_chirp(g, tr, t, ts, (double)(sync * k % n) / n, 1, bw, m->beacon, off);
    for (int k = 0; k < 3; k++, t += ts)
        lay_chirp(g, tr, t, ts, 0, k < 2 ? 1 : 0.25, bw, !m->beacon, off);
    t -= 0.75 * ts;
    double end = at_gen_seconds(g);
    int k = 0;
    for (; k < payload && t < end; k++, t += ts)
        lay_chirp(g, tr, t, ts, (double)at_rng_int(&g->rng, 0, n - 1) / n, 1, bw, m->beacon, off);
    t += (payload - k) * ts;
    long a, b;
    span(g, begin, t, &a, &b);
    at_osc_add(&osc, g->fs, tr->f_hz, a, b, begin * g->fs);
    return t;
}

static int css_render(struct at_gen *g, size_t v)
{
    const struct css_mode *m = &css_modes[v];
    double bw = at_gen_lu(g, m->bw_lo, m->bw_hi);
    if (bw > 100e3 && m->bw_hi == 500e3) /* the three bandwidths of LoRaWAN */
        bw = bw < 177e3 ? 125e3 : bw < 354e3 ? 250e3 : 500e3;
    struct track tr = {0};
    int rc = at_gen_begin(g, bw), sf = at_rng_int(&g->rng, m->sf_lo, m->sf_hi);
    if (rc == 0)
        rc = track_init(&tr, g);
    if (rc < 0)
        return rc;
    double end = at_gen_seconds(g);
    /* data is what makes it CSS: the window holds a preamble and some symbols where it can, else
     * the slowest that fits begins within its data */
    while (sf > m->sf_lo && ldexp(m->pre_lo + 12, sf) / bw > end)
        sf--;
    double ts = ldexp(1, sf) / bw;
    int payload = m->len_lo > 0 ? at_rng_int(&g->rng, m->len_lo, m->len_hi) : (int)(end / ts) + 8;
    double len = (m->pre_lo + 4.25 + payload) * ts, gap = len * at_gen_lu(g, 0.1, 3);
    double t = m->len_lo > 0 ? at_gen_first(g, len) : -at_gen_u(g, 0, 8) * ts;
    if ((m->pre_lo + 8) * ts > end - t)
        t = -(m->pre_lo + 4.25 + at_gen_u(g, 0, 1) * (payload / 2)) * ts;
    while (t < end)
        t = lay_packet(g, &tr, m, sf, bw, t, payload) + gap * at_gen_u(g, 0.7, 1.4);
    track_finish(&tr, g);
    return 0;
}

const struct at_family at_family_css = {AT_CLASS_CSS, sizeof css_modes / sizeof *css_modes, css_at,
                                        css_render};

/* clang-format off */
/* --- linear FM --- */
enum slope { UP, DOWN, TRIANGLE, EITHER };
static const struct chirp_mode {
    struct at_variant v;
    double bw_lo, bw_hi;
    double tb_lo, tb_hi; /* time-bandwidth product of one sweep */
    double duty_lo,
        duty_hi; /* share of the period that is swept; the rest is silent (or rests, fmcw) */
    enum slope slope;
    int rests; /* 1: the carrier rests at its edge between sweeps instead of being off */
    double gate_lo_s, gate_hi_s; /* period of a gate within the sweep, half of it on; 0: none */
} chirp_modes[] = {
    {{"fmcw_saw", 1e5, 5e7, 0, 0}, 1e5, 5e7, 300, 3e4, 1, 1, EITHER, 0},
    {{"fmcw_triangle", 1e5, 5e7, 0, 0}, 1e5, 5e7, 300, 3e4, 1, 1, TRIANGLE, 0},
    {{"fmcw_rest", 1e5, 5e7, 0, 0}, 1e5, 5e7, 300, 2e4, 0.5, 0.95, EITHER, 1},
    {{"radar_pulse", 5e5, 2e7, 1e-5, 1e-3}, 5e5, 2e7, 20, 1000, 0.02, 0.3, EITHER, 0},
    {{"radar_long_pulse", 1e5, 5e6, 1e-4, 1e-2}, 1e5, 5e6, 100, 5000, 0.1, 0.6, EITHER, 0},
    {{"sounder", 1e4, 1e6, 0, 0}, 1e4, 1e6, 1e3, 1e5, 1, 1, UP, 0},
    {{"jammer_sweep", 1e6, 2e7, 0, 0}, 1e6, 2e7, 50, 1000, 1, 1, EITHER, 0},
    /* coastal radars listen between pieces of the sweep: Barrick 1973, "FM/CW radar signals" */
    {{"hf_radar_gated", 2.5e4, 1.5e5, 0, 0}, 2.5e4, 1.5e5, 2e3, 7e4, 1, 1, EITHER, 0, 2e-4, 3e-3},
    {{"hf_radar", 1e4, 1.5e5, 0, 0}, 1e4, 1.5e5, 300, 1e4, 0.5, 1, EITHER, 0},
    /* the slopes of LoRa, without its data: what tells the two apart */
    {{"saw_lora_slope", 8e3, 1.6e6, 0, 0}, 8e3, 1.6e6, 64, 4096, 1, 1, EITHER, 0},
    /* faster than its channel's frames, a triangle is FM by a tone */
    {{"triangle_slow", 8e3, 1.6e6, 0, 0}, 8e3, 1.6e6, 256, 4096, 1, 1, TRIANGLE, 0},
    {{"single_sweep", 1e4, 1e7, 0.001, 1}, 1e4, 1e7, 200, 2e4, 0.05, 0.5, EITHER, 0},
};
/* clang-format on */

#define SAW_LORA_SLOPE 9 /* its place in the table */
#define SAW_SWEEPS     4 /* in a window, where it holds so many */

static const struct at_variant *chirp_at(size_t i)
{
    return &chirp_modes[i].v;
}

static double slope_at(enum slope s, double x)
{
    return s == UP ? x - 0.5 : s == DOWN ? 0.5 - x : 0.5 - fabs(2 * x - 1);
}

static int chirp_render(struct at_gen *g, size_t v)
{
    const struct chirp_mode *m = &chirp_modes[v];
    double bw = at_gen_lu(g, m->bw_lo, m->bw_hi), tb = at_gen_lu(g, m->tb_lo, m->tb_hi),
           duty = at_gen_u(g, m->duty_lo, m->duty_hi);
    struct track tr = {0};
    int rc = at_gen_begin(g, bw);
    if (rc == 0)
        rc = track_init(&tr, g);
    if (rc < 0)
        return rc;
    /* fewer than three sweeps of LoRa's slope are what fewer than three of its symbols are */
    if (v == SAW_LORA_SLOPE)
        tb = fmin(tb, fmax(bw * at_gen_seconds(g) / SAW_SWEEPS, m->tb_lo));
    double sweep = tb / bw, period = sweep / duty, end = at_gen_seconds(g),
           bend = g->clean ? 0 : at_gen_u(g, -0.1, 0.1);
    enum slope s = m->slope == EITHER ? (at_gen_p(g, 0.5) ? UP : DOWN) : m->slope;
    int alternates = m->slope == EITHER && at_gen_p(g, 0.15);
    double t = duty < 1 ? at_gen_first(g, sweep) : -at_gen_u(g, 0, 1) * period;
    for (long k = 0; t < end; k++, t += period) {
        enum slope now = alternates && k % 2 ? (s == UP ? DOWN : UP) : s;
        long a, b;
        span(g, t, t + (m->rests ? period : sweep), &a, &b);
        for (long i = a; i < b; i++) {
            double x = ((double)i / g->fs - t) / sweep;
            x = x > 1 ? 1 : x;
            tr.f_hz[i] = (float)(bw * (slope_at(now, x) + bend * x * (1 - x)));
            tr.amp[i] = 1;
        }
        at_gen_on(g, t * g->fs, (t + (m->rests ? period : sweep)) * g->fs);
    }
    if (m->gate_hi_s > 0) {
        double gate = at_gen_lu(g, m->gate_lo_s, m->gate_hi_s) * g->fs, on = at_gen_u(g, 0.35, 0.6);
        for (size_t i = 0; i < g->n; i++)
            tr.amp[i] *= fmod((double)i / gate, 1) < on;
    }
    if (!g->clean && at_gen_p(g, 0.3)) { /* level over frequency: the antenna's and amplifier's */
        float tilt = (float)(at_gen_u(g, -0.4, 0.4) / bw);
        for (size_t i = 0; i < g->n; i++)
            tr.amp[i] *= 1 + tilt * tr.f_hz[i];
    }
    track_finish(&tr, g);
    return 0;
}

const struct at_family at_family_chirp = {AT_CLASS_CHIRP, sizeof chirp_modes / sizeof *chirp_modes,
                                          chirp_at, chirp_render};
