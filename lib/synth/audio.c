/* Programmes: speech by a source and formants (Klatt, "Software for a cascade/parallel formant
 * synthesizer", 1980, much reduced), music by decaying partials and drums. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

struct resonator {
    float b, c, y1, y2, gain;
};

static void resonator_set(struct resonator *r, double f_hz, double width_hz, double fa, double gain)
{
    double q = exp(-M_PI * width_hz / fa);
    r->b = (float)(2 * q * cos(AT_TAU * f_hz / fa));
    r->c = (float)(-q * q);
    r->gain = (float)(gain * (1 - q));
}

/* One person's voice, and the room and microphone that it is heard by. */
struct speech {
    struct resonator formant[3];
    double f0_hz, phase;
    double widths; /* of the formants, times Klatt's: a wide room, a cold */
    float breath;  /* noise in what is voiced */
    float soft;    /* one pole on the glottis' pulses: 1 is none */
    float tilt;    /* of the microphone: share of the difference that is added */
    float glottis, last;
    float voiced, noise, level, target;
    long left;    /* samples of this phoneme */
    int phonemes; /* left in this word */
    int words;    /* left in this sentence */
};

static void next_phoneme(struct at_gen *g, struct speech *s, double fa)
{
    if (s->phonemes-- <= 0) { /* between words, now and then between sentences */
        s->phonemes = at_rng_int(&g->rng, 2, 7);
        int stop = s->words-- <= 0;
        if (stop)
            s->words = at_rng_int(&g->rng, 3, 9);
        s->left = (long)(fa * (stop ? at_gen_u(g, 0.25, 1.0) : at_gen_u(g, 0.01, 0.12)));
        s->target = 0;
        return;
    }
    int voiced = at_gen_p(g, 0.75);
    s->left = (long)(fa * at_gen_u(g, 0.05, 0.2));
    s->voiced = voiced ? 1 : 0;
    s->noise = voiced ? s->breath : 0.6f;
    s->target = (float)(voiced ? at_gen_u(g, 0.4, 1) : at_gen_u(g, 0.08, 0.3));
    s->f0_hz *= at_gen_u(g, 0.88, 1.13);
    s->f0_hz = s->f0_hz < 75 ? 95 : s->f0_hz > 280 ? 220 : s->f0_hz;
    double top = 0.42 * fa;
    double f[3] = {voiced ? at_gen_u(g, 270, 850) : at_gen_u(g, 1500, 2500), at_gen_u(g, 850, 2300),
                   at_gen_u(g, 2300, 3300)};
    for (int i = 0; i < 3; i++)
        resonator_set(&s->formant[i], f[i] < top ? f[i] : top, s->widths * (60 + 60 * i), fa,
                      i == 0 ? 1 : 0.7);
}

/* Adds one wall's echoes (a comb with feedback). */
static void echo(float *x, size_t m, size_t delay, float gain)
{
    for (size_t i = delay; i < m; i++)
        x[i] += gain * x[i - delay];
}

static void make_speech(struct at_gen *g, double fa, float *out, size_t m)
{
    struct speech s = {.f0_hz = at_gen_lu(g, 85, 230),
                       .phonemes = 4,
                       .words = 5,
                       .widths = at_gen_lu(g, 0.7, 2.5),
                       .breath = (float)at_gen_lu(g, 0.01, 0.3),
                       .soft = (float)at_gen_u(g, 0.3, 1),
                       .tilt = (float)at_gen_u(g, -0.4, 1.5)};
    double wall_s = at_gen_u(g, 0.004, 0.05), back = at_gen_p(g, 0.3) ? at_gen_u(g, 0.1, 0.6) : 0;
    float hiss = at_gen_p(g, 0.3) ? (float)at_gen_lu(g, 0.003, 0.05) : 0; /* a fan, a motor */
    float slope = (float)(1 - exp(-1 / (0.012 * fa))), white = 0;
    uint64_t bits = 1;
    for (size_t i = 0; i < m; i++) {
        if (s.left-- <= 0)
            next_phoneme(g, &s, fa);
        s.level += slope * (s.target - s.level);
        s.phase += s.f0_hz / fa;
        float pulse = 0;
        if (s.phase >= 1) {
            s.phase -= 1;
            pulse = (float)(8 * sqrt(fa / 8000));
        }
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        white = (float)(int32_t)(bits >> 32) * 0x1p-31f;
        s.glottis += s.soft * (pulse - s.glottis);
        float x = s.voiced * s.glottis + s.noise * white, y = 0;
        for (int k = 0; k < 3; k++) {
            struct resonator *r = &s.formant[k];
            float v = x + r->b * r->y1 + r->c * r->y2;
            r->y2 = r->y1;
            r->y1 = v;
            y += v * r->gain;
        }
        out[i] = (y + s.tilt * (y - s.last)) * s.level + hiss * white;
        s.last = y;
    }
    if (back > 0)
        echo(out, m, (size_t)(wall_s * fa) + 1, (float)back);
}

#define PARTIALS 15
struct note {
    float c, s, wc, ws, amp, decay;
};

static void strike(struct at_gen *g, struct note *p, int n, double fa, double root_hz,
                   double beat_s)
{
    static const int scale[8] = {0, 2, 4, 5, 7, 9, 11, 12};
    double f = root_hz *
               pow(2, (scale[at_rng_int(&g->rng, 0, 7)] + 12 * at_rng_int(&g->rng, 0, 2)) / 12.0);
    double amp = at_gen_u(g, 0.3, 1), life = beat_s * at_gen_lu(g, 0.4, 6),
           bright = at_gen_u(g, 0.8, 1.8);
    for (int k = 0; k < n; k++) {
        double w = f * (k + 1) < 0.36 * fa ? AT_TAU * f * (k + 1) / fa : 0;
        p[k].wc = (float)cos(w);
        p[k].ws = (float)sin(w);
        p[k].c = w > 0 ? 1 : 0;
        p[k].s = 0;
        p[k].amp = (float)(w > 0 ? amp / pow(k + 1, bright) : 0);
        p[k].decay = (float)exp(-(1 + 0.5 * k) / (life * fa));
    }
}

static void make_music(struct at_gen *g, double fa, float *out, size_t m)
{
    struct note p[PARTIALS] = {0};
    double beat_s = 60 / at_gen_u(g, 70, 180) / at_rng_int(&g->rng, 1, 2),
           root = at_gen_lu(g, 80, 300);
    float drum = 0, fall = 0, tone = 0, cut = (float)at_gen_u(g, 0.05, 0.9),
          hit = (float)at_gen_u(g, 0, 1.2);
    long left = 0;
    uint64_t bits = at_rng_next(&g->rng) | 1;
    for (int k = 0; k < PARTIALS / 5; k++) /* it has been playing */
        strike(g, p + 5 * k, 5, fa, root, beat_s);
    for (size_t i = 0; i < m; i++) {
        if (left-- <= 0) {
            left = (long)(beat_s * fa);
            strike(g, p + 5 * at_rng_int(&g->rng, 0, PARTIALS / 5 - 1), 5, fa, root, beat_s);
            if (at_gen_p(g, 0.6)) {
                drum = hit;
                fall = (float)exp(-1 / (at_gen_u(g, 0.02, 0.12) * fa));
            }
        }
        float y = 0;
        for (int k = 0; k < PARTIALS; k++) {
            struct note *q = &p[k];
            float c = q->c * q->wc - q->s * q->ws;
            q->s = q->c * q->ws + q->s * q->wc;
            q->c = c;
            y += q->s * q->amp;
            q->amp *= q->decay;
        }
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        tone += cut * ((float)(int32_t)(bits >> 32) * 0x1p-31f - tone);
        out[i] = y + drum * tone;
        drum *= fall;
    }
}

/* Brings the rms of what is not silence to 0.25; compressed: a broadcast processor, dense and flat.
 */
static void level(float *x, size_t m, double fa, int compressed)
{
    double sum = 0, n = 1e-9;
    for (size_t i = 0; i < m; i++)
        sum += (double)x[i] * x[i];
    double mean = sum / (double)m;
    sum = 0;
    for (size_t i = 0; i < m; i++) {
        double p = (double)x[i] * x[i];
        if (p > 0.05 * mean) {
            sum += p;
            n++;
        }
    }
    float k = (float)(0.25 / sqrt(sum / n + 1e-20)), env = 0.25f, fast = (float)(30 / fa),
          slow = (float)(2 / fa);
    for (size_t i = 0; i < m; i++) {
        float y = x[i] * k, a = fabsf(y);
        if (compressed) {
            env += (a > env ? fast : slow) * (a - env);
            y *= 0.35f / (env + 0.05f);
        }
        a = fabsf(y);
        x[i] = a < 0.6f ? y : copysignf(0.6f + 0.4f * (a - 0.6f) / (a - 0.2f), y);
    }
}

void at_audio_make(struct at_gen *g, enum at_audio kind, double fa, int compressed, float *out,
                   size_t m)
{
    if (kind == AT_AUDIO_MIXED)
        kind = at_gen_p(g, 0.5) ? AT_AUDIO_VOICE : AT_AUDIO_MUSIC;
    if (kind == AT_AUDIO_SILENCE) {
        at_gen_noise(&g->rng, out, m, 0.003f);
        return;
    }
    if (kind == AT_AUDIO_TONE) {
        double f = at_gen_u(g, 300, 0.3 * fa < 2500 ? 0.3 * fa : 2500) / fa, p = 0;
        for (size_t i = 0; i < m; i++, p += f)
            out[i] = 0.5f * sinf((float)(AT_TAU * (p - floor(p))));
        return;
    }
    if (kind == AT_AUDIO_VOICE)
        make_speech(g, fa, out, m);
    else
        make_music(g, fa, out, m);
    level(out, m, fa, compressed);
}

int at_audio_render(struct at_gen *g, enum at_audio kind, double corner_hz, int compressed,
                    float *out, size_t n)
{
    double fa = 2.7 * corner_hz, step = fa / g->fs;
    size_t m = (size_t)((double)n * step) + 4;
    float *a = at_mem_array_raw(NULL, AT_MEM_OTHER, m, sizeof *a);
    if (!a) {
        memset(out, 0, n * sizeof *out);
        return -ENOMEM;
    }
    at_audio_make(g, kind, fa, compressed, a, m);
    for (size_t i = 0; i < n; i++) { /* Catmull-Rom */
        double u = 1 + (double)i * step;
        size_t k = (size_t)u;
        if (k + 2 >= m)
            k = m - 3;
        float t = (float)(u - (double)k), p = a[k - 1], q = a[k], r = a[k + 1], s = a[k + 2];
        out[i] =
            q + 0.5f * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)));
    }
    at_mem_free(NULL, a);
    return 0;
}

void at_audio_talk(struct at_gen *g, float *amp, double lo_s, double hi_s)
{
    double t = at_gen_first(g, at_gen_lu(g, lo_s, hi_s)), end = at_gen_seconds(g);
    double ramp = g->fs * at_gen_lu(g, 0.0005, 0.01);
    memset(amp, 0, g->n * sizeof *amp);
    while (t < end) {
        double a = t * g->fs, b = a + at_gen_lu(g, lo_s, hi_s) * g->fs;
        long i0 = a < 0 ? 0 : (long)a, i1 = b > (double)g->n ? (long)g->n : (long)b;
        for (long i = i0; i < i1; i++) {
            double up = ((double)i - a) / ramp, down = (b - (double)i) / ramp,
                   v = up < down ? up : down;
            amp[i] = v > 1 ? 1 : v < 0 ? 0 : (float)v;
        }
        at_gen_on(g, a, b);
        t = b / g->fs + at_gen_lu(g, 0.3, 4);
    }
}
