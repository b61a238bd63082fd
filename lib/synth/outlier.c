/* Signals of none of the classes: for outlier exposure in training and for tests of `unknown`.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

struct mode {
    struct at_variant v;
    int tones_lo, tones_hi;        /* of an alphabet, or at once */
    double rate_lo, rate_hi;       /* symbols (hops, pulses) a second */
    double spacing_lo, spacing_hi; /* over the rate */
    double duty_lo, duty_hi;       /* of a symbol or pulse period */
    double shape_bt;               /* Gaussian over symbols; 0: rectangular */
};

enum { MFSK, HOPS, PULSES, TONES, ISB, HASH, FLAT, CUT, BUMP };

/* clang-format off */
/* FT8/FT4: Franke, Somerville, Taylor, QEX 2020; Olivia, MFSK16, Thor: ARRL digital modes; RF hopping and
 * pulses: Skolnik; ISB: ITU-R SM.328; what dimmers, arcs and motors send twice a period of the
 * mains: ITU-R SM.1753, Skomal (Man-made radio noise). */
static const struct mode modes[] = {
    {{"ft8_like", 45, 55, 12, 15}, 8, 8, 6.25, 6.25, 1, 1, 1, 1, 2},
    {{"ft4_like", 80, 92, 4, 7}, 4, 8, 20.833, 20.833, 1, 1, 1, 1, 1},
    {{"mfsk16", 240, 320, 0, 0}, 16, 18, 15.625, 15.625, 1, 1, 1, 1, 0},
    {{"olivia", 240, 2000, 0, 0}, 8, 64, 15.6, 62.5, 1, 2, 1, 1, 0},
    {{"mfsk_fast", 2e3, 2e5, 0, 0}, 8, 32, 100, 4000, 1, 3, 1, 1, 0},
    {{"hop_slow", 2e4, 4e6, 0, 0}, 10, 80, 20, 2000, 5, 60, 0.6, 1, 0},
    {{"hop_pulsed", 2e4, 8e6, 0, 0}, 16, 100, 50, 5000, 5, 60, 0.1, 0.6, 0},
    {{"pulse_radar", 1e5, 6e6, 0, 0}, 1, 1, 200, 5000, 0, 0, 0.0005, 0.02, 0},
    {{"pulse_stagger", 1e5, 6e6, 0, 0}, 1, 3, 300, 3000, 0, 0, 0.0005, 0.02, 0},
    {{"tones_few", 200, 2e5, 0, 0}, 3, 8, 10, 10, 0, 0, 1, 1, 0},
    {{"tones_comb", 1e3, 5e6, 0, 0}, 8, 40, 10, 10, 0, 0, 1, 1, 0},
    {{"isb", 5000, 6000, 0, 0}, 2, 2, 1, 1, 0, 0, 1, 1, 0},
    {{"mains_hash", 1e4, 2e6, 0, 0}, 1, 2, 50, 120, 0, 0, 0.02, 0.45, 0},
    {{"mains_flat", 2e4, 5e6, 0, 0}, 1, 2, 100, 240, 0, 0, 0.05, 0.6, 0},
    {{"mains_flat_cut", 1e5, 1e7, 0, 0}, 1, 2, 100, 240, 0, 0, 0.05, 0.6, 0},
    /* last: noise of its own, not an outlier but what lib/dataset shows as class noise */
    {{AT_NOISE_BUMP, 1e3, 3e7, 0, 0}, 0, 0, 1, 1, 0, 0, 1, 1, 0},
};
/* clang-format on */
enum { N_MODES = sizeof modes / sizeof *modes };
static const int kinds[N_MODES] = {MFSK,   MFSK,  MFSK,  MFSK, MFSK, HOPS, HOPS, PULSES,
                                   PULSES, TONES, TONES, ISB,  HASH, FLAT, CUT,  BUMP};

static const struct at_variant *outlier_at(size_t i)
{
    return &modes[i].v;
}

/* One of several tones a symbol, constant envelope; hops leave pauses. */
static int keyed_tones(struct at_gen *g, const struct mode *m)
{
    int tones = at_rng_int(&g->rng, m->tones_lo, m->tones_hi);
    double rate = at_gen_lu(g, m->rate_lo, m->rate_hi * 1.0001),
           spacing = rate * at_gen_u(g, m->spacing_lo, m->spacing_hi),
           duty = at_gen_u(g, m->duty_lo, m->duty_hi);
    int rc = at_gen_begin(g, spacing * (tones - 1) + 2 * rate / duty);
    float *f = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *f), *amp = f ? f + g->n : NULL;
    if (rc < 0 || !f) {
        at_mem_free(NULL, f);
        return rc < 0 ? rc : -ENOMEM;
    }
    double sps = g->fs / rate, next = at_gen_u(g, -1, 0) * sps;
    for (size_t i = 0; i < g->n;) {
        float hz = (float)(spacing * (at_rng_int(&g->rng, 0, tones - 1) - 0.5 * (tones - 1)));
        double on = next + duty * sps;
        next += sps;
        size_t from = i;
        for (; i < g->n && (double)i < next; i++) {
            f[i] = hz;
            amp[i] = (double)i < on ? 1 : 0;
        }
        if (duty < 1)
            at_gen_on(g, (double)from, on < (double)i ? on : (double)i);
    }
    if (m->shape_bt > 0)
        at_gen_lowpass(f, g->n, g->fs, m->shape_bt * rate);
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(f, amp, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, f);
    g->edges = AT_EDGES_P99;
    return 0;
}

/* Unmodulated pulses, their period staggered or not. */
static int pulses(struct at_gen *g, const struct mode *m)
{
    double rate = at_gen_lu(g, m->rate_lo, m->rate_hi), duty = at_gen_lu(g, m->duty_lo, m->duty_hi);
    double width = duty / rate, scan = at_gen_u(g, 0.5, 4);
    int rc = at_gen_begin(g, 3 / width), stagger = at_rng_int(&g->rng, m->tones_lo, m->tones_hi);
    if (rc < 0)
        return rc;
    double t = at_gen_u(g, 0, 1) / rate, end = at_gen_seconds(g), ramp = 0.1 * width * g->fs;
    int k = 0;
    for (; t < end; t += (1 + 0.15 * (k++ % stagger)) / rate) {
        long a = (long)(t * g->fs), b = (long)((t + width) * g->fs) + 1;
        double level = 0.3 + 0.7 * fabs(sin(AT_TAU * scan * t / end));
        for (long i = a; i < b && i < (long)g->n; i++) {
            double up = fmin(1, ((double)(i - a) + 0.5) / fmax(ramp, 1)),
                   down = fmin(1, ((double)(b - i) - 0.5) / fmax(ramp, 1));
            g->iq[2 * i] = (float)(level * fmin(up, down));
        }
        at_gen_on(g, (double)a, (double)b);
    }
    at_gen_mix(g->iq, g->n, 0, at_gen_u(g, 0, 1));
    return 0;
}

/* Several carriers at once, at even or uneven distances. */
static int tones(struct at_gen *g, const struct mode *m)
{
    int n = at_rng_int(&g->rng, m->tones_lo, m->tones_hi), even = at_gen_p(g, 0.5);
    double bw = at_gen_lu(g, m->v.bw_lo_hz, m->v.bw_hi_hz);
    int rc = at_gen_begin(g, bw);
    float *one = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *one);
    if (rc < 0 || !one) {
        at_mem_free(NULL, one);
        return rc < 0 ? rc : -ENOMEM;
    }
    for (size_t i = 0; i < g->n; i++)
        one[2 * i] = 1;
    for (int k = 0; k < n; k++) {
        double x = even ? (double)k / (n - 1) : k == 0 ? 0 : k == 1 ? 1 : at_gen_u(g, 0, 1);
        at_gen_mix_add(g->iq, one, g->n, (x - 0.5) * 0.97 * bw / g->fs, at_gen_u(g, 0, 1),
                       pow(10, at_gen_u(g, -8, 0) / 20));
    }
    at_mem_free(NULL, one);
    return 0;
}

/* A different programme on each sideband. */
static int two_sidebands(struct at_gen *g)
{
    int rc = at_gen_begin(g, 5500);
    double fa = 8000, step = fa / g->fs;
    size_t m = (size_t)((double)g->n * step) + 40;
    float *a = at_mem_array(NULL, AT_MEM_OTHER, 3 * m + 2 * g->n, sizeof *a);
    if (rc < 0 || !a) {
        at_mem_free(NULL, a);
        return rc < 0 ? rc : -ENOMEM;
    }
    float *z = a + m, *side = z + 2 * m;
    for (int lower = 0; rc == 0 && lower < 2; lower++) {
        at_audio_make(g, AT_AUDIO_VOICE, fa, 1, a, m);
        /* analytic by a shift down of a quarter of the rate and a low-pass there */
        for (size_t i = 0; i < m; i++) {
            z[2 * i] = a[i];
            z[2 * i + 1] = 0;
        }
        at_gen_mix(z, m, -1600 / fa, 0);
        for (int pass = 0; pass < 4; pass++)
            for (int q = 0; q < 2; q++) {
                float y = 0, c = (float)(1 - exp(-AT_TAU * 1800 / fa));
                for (size_t i = 0; i < m; i++)
                    z[2 * i + (size_t)q] = y += c * (z[2 * i + (size_t)q] - y);
            }
        at_gen_resample(z, m, 12, step, side, g->n);
        for (size_t i = 0; lower && i < g->n; i++)
            side[2 * i + 1] = -side[2 * i + 1];
        at_gen_mix_add(g->iq, side, g->n, (lower ? -1650 : 1650) / g->fs, 0, 1);
    }
    at_mem_free(NULL, a);
    g->edges = AT_EDGES_HOLD;
    return rc;
}

/* Noise through so many poles, at most four. */
static void noise_of_width(struct at_gen *g, double bw_hz, int poles)
{
    float a = (float)(1 - exp(-AT_TAU * 0.35 * bw_hz / g->fs)), y[4][2] = {{0}};
    at_gen_noise(&g->rng, g->iq, 2 * g->n, 1);
    for (size_t i = 0; i < 2 * g->n; i++)
        for (int p = 0; p < poles; p++)
            g->iq[i] = y[p][i & 1] += a * (g->iq[i] - y[p][i & 1]);
}

/* Noise through a wide, round filter: a noisy supply, a preamplifier, a mast's own band. */
static int bump(struct at_gen *g, const struct mode *m)
{
    double bw = at_gen_fit(g, m->v.bw_lo_hz, m->v.bw_hi_hz, 1);
    g->whole = 1; /* its skirts have no end */
    int rc = at_gen_begin(g, bw);
    if (rc < 0)
        return rc;
    noise_of_width(g, bw, at_rng_int(&g->rng, 1, 2));
    g->edges = AT_EDGES_P99;
    return 0;
}

/* Noise as flat as a receiver's own up to steep edges. */
static int flat_noise(struct at_gen *g, double bw_hz)
{
    double step = bw_hz / g->fs;
    size_t m = (size_t)((double)g->n * step) + 40;
    float *x = at_mem_array_raw(NULL, AT_MEM_OTHER, 2 * m, sizeof *x);
    if (!x)
        return -ENOMEM;
    at_gen_noise(&g->rng, x, 2 * m, 1);
    at_gen_resample(x, m, 16, step, g->iq, g->n);
    at_mem_free(NULL, x);
    return 0;
}

/* How a burst goes over its length (0..1). */
struct burst {
    int dies;          /* exponentially */
    double round;      /* a sine's half wave to this power; 0: flat between */
    double rise, fall; /* of this share of it */
};

static void draw_burst(struct at_gen *g, int flat, struct burst *b)
{
    *b = (struct burst){.dies = at_gen_p(g, 0.3)};
    if (flat) {
        b->rise = at_gen_lu(g, 0.001, 0.4);
        b->fall = at_gen_lu(g, 0.001, 0.4);
    } else {
        b->round = at_gen_lu(g, 0.3, 2);
    }
}

static double burst_level(const struct burst *b, double x)
{
    if (b->round > 0)
        return b->dies ? exp(-5 * x) : pow(sin(AT_TAU / 2 * x), b->round);
    return fmin(1, x / b->rise) * (b->dies ? exp(-5 * x) : fmin(1, (1 - x) / b->fall));
}

/* One or two bursts in each half wave of the mains, or in every second one; the second weaker and
 * not half way. The mains do not run faster where a band is wider. */
static void mains_gate(struct at_gen *g, const struct mode *m, int flat, float *gate)
{
    double mains = at_gen_p(g, 0.7) ? 50 : 60, window = at_gen_seconds(g),
           each = (flat ? 2 : 1) * at_rng_int(&g->rng, m->tones_lo, m->tones_hi);
    double period = 1 / (mains * each), len = at_gen_lu(g, m->duty_lo, m->duty_hi) * period,
           jitter = at_gen_p(g, 0.5) ? at_gen_lu(g, 0.001, 0.05) * period : 0,
           second = at_gen_u(g, 0.2, 1), late = flat ? at_gen_u(g, -0.3, 0.3) * period : 0;
    struct burst b;
    draw_burst(g, flat, &b);
    /* a window shorter than the period sees one of them */
    double t =
        window < period ? at_gen_u(g, -0.6 * len, 0.7 * window) : at_gen_u(g, -1, 0) * period;
    for (int k = 0; t < window; t += period, k++) {
        double from = (t + (k % 2 ? late : 0) + at_rng_normal(&g->rng) * jitter) * g->fs,
               n = len * g->fs, level = (k % 2 ? second : 1) * at_gen_u(g, 0.7, 1);
        for (long i = (long)fmax(from, 0); i < (long)fmin(from + n, (double)g->n); i++)
            gate[i] = (float)(level * burst_level(&b, fmax((double)i - from, 0) / n));
        at_gen_on(g, from, from + n);
    }
}

/* Bursts of noise at the mains frequency, its double or twice that: round in frequency, flat, or
 * over all that the receiver shows. */
static int hash(struct at_gen *g, const struct mode *m, int kind)
{
    double bw = kind == CUT      ? at_gen_u(g, 0.78, 0.94) * g->full_hz
                : g->want_hz > 0 ? g->want_hz
                                 : at_gen_fit(g, m->v.bw_lo_hz, m->v.bw_hi_hz, 1);
    g->whole = kind == CUT;
    int rc = at_gen_begin(g, bw);
    if (rc < 0)
        return rc;
    g->fs = g->rate_hz; /* whatever share of it was asked for */
    float *gate = at_mem_array(NULL, AT_MEM_OTHER, g->n, sizeof *gate);
    if (!gate)
        return -ENOMEM;
    if (kind != HASH)
        rc = flat_noise(g, bw);
    else
        noise_of_width(g, bw, at_rng_int(&g->rng, 2, 4));
    mains_gate(g, m, kind != HASH, gate);
    for (size_t i = 0; i < 2 * g->n; i++)
        g->iq[i] *= gate[i / 2];
    at_mem_free(NULL, gate);
    g->edges = AT_EDGES_P99;
    return rc;
}

static int outlier_render(struct at_gen *g, size_t i)
{
    const struct mode *m = &modes[i];
    switch (kinds[i]) {
    case PULSES:
        return pulses(g, m);
    case TONES:
        return tones(g, m);
    case ISB:
        return two_sidebands(g);
    case HASH:
    case FLAT:
    case CUT:
        return hash(g, m, kinds[i]);
    case BUMP:
        return bump(g, m);
    default:
        return keyed_tones(g, m);
    }
}
const struct at_family at_family_outlier = {AT_CLASS_OUTLIER, N_MODES, outlier_at, outlier_render};
