/* Keyed carriers: the common part of OOK, Morse and bursts of carrier; and the carrier and cw
 * families. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

/* Mean of the target over each sample, so that edges fall between samples. */
static void lay_targets(struct at_gen *g, const struct at_keyer *k, const struct at_key *keys,
                        size_t n_keys, double start_s, float *amp)
{
    double t = start_s * g->fs, end = (double)g->n;
    for (size_t i = 0; i < n_keys && t < end; i++) {
        double u = t + (double)keys[i].s * g->fs;
        float v = (float)(keys[i].level > k->leak ? keys[i].level : k->leak);
        if (keys[i].level >= k->on_level)
            at_gen_on(g, t, u);
        if (u > 0) {
            double a = t < 0 ? 0 : t, b = u > end ? end : u;
            long ia = (long)a, ib = (long)b;
            if (ia == ib) {
                amp[ia] += v * (float)(b - a);
            } else {
                amp[ia] += v * (float)((double)(ia + 1) - a);
                for (long q = ia + 1; q < ib; q++)
                    amp[q] = v;
                if (ib < (long)g->n)
                    amp[ib] += v * (float)(b - (double)ib);
            }
        }
        t = u;
    }
}

/* Rise, fall, overshoot and sag; frequency pulled at each key-down. */
static void shape_keys(const struct at_gen *g, const struct at_keyer *k, double start, long a,
                       long b, float *amp, float *f_hz)
{
    float up = (float)(k->rise_s > 0 ? 1 - exp(-1 / (k->rise_s * g->fs)) : 1);
    float down = (float)(k->fall_s > 0 ? 1 - exp(-1 / (k->fall_s * g->fs)) : 1);
    float y = a > 0 || start >= 0 ? 0 : amp[a], over = 0, pull = 0, was = y;
    float q_over = (float)(k->overshoot_s > 0 ? exp(-1 / (k->overshoot_s * g->fs)) : 0);
    float q_pull = (float)(k->pull_s > 0 ? exp(-1 / (k->pull_s * g->fs)) : 0);
    float fall = (float)(k->sag / (double)(b - a + 1)), droop = 1;
    for (long i = a; i < b; i++) {
        float t = amp[i];
        if (t > 0.5f && was <= 0.5f) {
            over = (float)k->overshoot;
            pull = (float)k->pull_hz;
        }
        was = t;
        y += (t > y ? up : down) * (t - y);
        amp[i] = y * (1 + over) * droop;
        f_hz[i] += pull;
        over *= q_over;
        pull *= q_pull;
        droop -= fall;
    }
}

double at_keyed_add(struct at_gen *g, const struct at_keyer *k, const struct at_key *keys,
                    size_t n_keys, double start_s, float *amp, float *f_hz)
{
    double len = 0, start = start_s * g->fs;
    for (size_t i = 0; i < n_keys; i++)
        len += (double)keys[i].s;
    double end = start + (len + 6 * k->fall_s) * g->fs;
    long a = start < 0 ? 0 : (long)start, b = end > (double)g->n ? (long)g->n : (long)end;
    if (b > a) {
        lay_targets(g, k, keys, n_keys, start_s, amp);
        shape_keys(g, k, start, a, b, amp, f_hz);
        at_osc_add(&k->osc, g->fs, f_hz, a, b, start);
        for (long i = a; i < b; i++)
            f_hz[i] += (float)k->off_hz;
    }
    return start_s + len;
}

/* --- Morse: ITU-R M.1677-1 --- */
static const struct at_variant cw_list[] = {
    {"cw_keyer", 110, 280, 0, 0},   {"cw_hand", 110, 280, 0, 0},   {"cw_chirpy", 190, 500, 0, 0},
    {"cw_clicks", 390, 1900, 0, 0}, {"cw_fading", 110, 280, 0, 0}, {"cw_beacon", 110, 280, 2, 20},
    {"cw_slow", 20, 34, 0, 0},
};

static const struct at_variant *cw_at(size_t i)
{
    return &cw_list[i];
}

static const char *const morse[36] = {
    "-----", ".----", "..---", "...--", "....-", ".....", "-....", "--...", "---..",
    "----.", ".-",    "-...",  "-.-.",  "-..",   ".",     "..-.",  "--.",   "....",
    "..",    ".---",  "-.-",   ".-..",  "--",    "-.",    "---",   ".--.",  "--.-",
    ".-.",   "...",   "-",     "..-",   "...-",  ".--",   "-..-",  "-.--",  "--.."};
/* letters by their frequency in amateur traffic */
static const char pool[] =
    "EEEEEETTTTTAAAAOOOOIIINNNSSSRRRHHDDLLUUCCCMMFYWGPBVKKQQQXJZDEDECQCQ5599559973KN1234567890";

/* One character with its pause; returns the number of keys. */
static size_t morse_key(struct at_gen *g, double dot_s, double jitter, struct at_key *keys)
{
    char c = pool[at_rng_int(&g->rng, 0, (int)sizeof pool - 2)];
    const char *code = morse[c <= '9' ? c - '0' : c - 'A' + 10];
    size_t n = 0;
    for (; *code; code++) {
        double j = 1 + jitter * at_rng_normal(&g->rng), k = 1 + jitter * at_rng_normal(&g->rng);
        keys[n++] =
            (struct at_key){(float)(dot_s * (*code == '-' ? 3 : 1) * (j > 0.5 ? j : 0.5)), 1};
        keys[n++] = (struct at_key){(float)(dot_s * (k > 0.5 ? k : 0.5)), 0};
    }
    double pause = at_gen_p(g, 0.2) ? 6 : 2;
    if (at_gen_p(g, 0.02))
        pause = at_gen_u(g, 10, 40);
    keys[n - 1].s += (float)(dot_s * pause * (1 + fabs(jitter * at_rng_normal(&g->rng))));
    return n;
}

/* What an offset may be drawn from without leaving the rate: the bandwidth, less near the full
 * share. */
static double room(const struct at_gen *g)
{
    return fmin(g->bw_hz, g->fs - g->bw_hz);
}

static int cw_render(struct at_gen *g, size_t v)
{
    /* slower than 7.2 words a minute the pause between letters is longer than the tracker's hang of
     * half a second: each letter is an emission of its own, and E and T are carriers in bursts */
    double wpm = v == 6   ? at_gen_lu(g, 7.2, 10)
                 : v == 5 ? at_gen_u(g, 7.2, 18)
                          : at_gen_lu(g, 7.2, 40),
           dot = 1.2 / wpm;
    /* a window holds ten dots at least: fewer keys show nothing but a carrier in bursts */
    dot = fmin(dot, g->len_s / 10);
    double rise = v == 3 ? at_gen_lu(g, 0.0002, 0.002) : at_gen_lu(g, 0.0015, 0.006);
    if (rise > 0.1 * dot)
        rise = 0.1 * dot;
    if (v == 6)
        rise = 0.05 * dot;
    double bw = 0.5 / rise < 4 / dot ? 4 / dot : 0.5 / rise;
    bw *= v == 2 ? 1.8 : 1;
    int rc = at_gen_begin(g, bw);
    float *amp = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *amp),
          *f = amp ? amp + g->n : NULL;
    if (rc < 0 || !amp) {
        at_mem_free(NULL, amp);
        return rc < 0 ? rc : -ENOMEM;
    }
    struct at_keyer k = {.rise_s = rise, .fall_s = rise * at_gen_u(g, 0.7, 1.5), .on_level = 0.5};
    k.leak = g->clean ? 0 : pow(10, at_gen_u(g, -70, -35) / 20);
    if (v == 2) {
        k.pull_hz = at_gen_u(g, 0.15, 0.5) * bw * (at_gen_p(g, 0.5) ? 1 : -1);
        k.pull_s = at_gen_u(g, 0.1, 1) * dot;
    }
    double t = -at_gen_u(g, 0, 5) * dot, end = at_gen_seconds(g),
           jitter = v == 1 ? at_gen_u(g, 0.05, 0.18) : 0.005;
    double rest = v == 5 ? at_gen_u(g, 3, 12) * dot * 10 : 0, next_rest = rest;
    if (!g->clean) {
        at_osc_draw(g, 0.3 * bw, end, &k.osc);
        k.off_hz = at_gen_u(g, -0.1, 0.1) * room(g);
    }
    struct at_osc whole = k.osc;
    k.osc = (struct at_osc){0};
    while (t < end) {
        struct at_key keys[16];
        t = at_keyed_add(g, &k, keys, morse_key(g, dot, jitter, keys), t, amp, f);
        if (rest > 0 && t > next_rest) { /* beacon: steady carrier between idents */
            struct at_key tone[2] = {{(float)at_gen_u(g, 1, 6), 1}, {(float)(5 * dot), 0}};
            t = at_keyed_add(g, &k, tone, 2, t, amp, f);
            next_rest = t + rest;
        }
    }
    at_osc_add(&whole, g->fs, f, 0, (long)g->n, 0);
    if (v == 4 || (!g->clean && at_gen_p(g, 0.3))) { /* slow fading */
        double per = at_gen_lu(g, 0.3, 2) * end, p = at_gen_u(g, 0, 1),
               depth = at_gen_u(g, 0.2, 0.85);
        for (size_t i = 0; i < g->n; i++)
            amp[i] *=
                (float)(1 - depth * (0.5 + 0.5 * sin(AT_TAU * (p + (double)i / g->fs / per))));
    }
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(f, amp, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, amp);
    g->center_hz = k.off_hz;
    return 0;
}
const struct at_family at_family_cw = {AT_CLASS_CW, sizeof cw_list / sizeof *cw_list, cw_at,
                                       cw_render};

/* --- carrier --- */
static const struct at_variant carrier_list[] = {
    {"carrier_steady", 62, 63, 0, 0},         {"carrier_drift", 92, 780, 0, 0},
    {"carrier_burst", 65, 190, 0.02, 2},      {"carrier_tokens", 360, 1.3e4, 0.0002, 0.02},
    {"carrier_settling", 230, 1700, 0.01, 5}, {"carrier_wander", 89, 300, 0, 0},
    {"carrier_hum", 162, 303, 0, 0},
};

static const struct at_variant *carrier_at(size_t i)
{
    return &carrier_list[i];
}

/* What a supply leaves on a carrier: lines at the mains frequency and its double, in level and in
 * frequency. */
static void add_hum(struct at_gen *g, double mains_hz, float *amp, float *f_hz)
{
    for (int k = 1; k <= 2; k++) {
        double m = pow(10, at_gen_u(g, -50, -24) / 20), dev = m * k * mains_hz * at_gen_u(g, 0, 1),
               p = at_gen_u(g, 0, 1), step = k * mains_hz / g->fs;
        for (size_t i = 0; i < g->n; i++, p += step) {
            float s = sinf((float)(AT_TAU * (p - floor(p))));
            amp[i] += (float)m * s;
            f_hz[i] += (float)dev * s;
        }
    }
}

static int carrier_render(struct at_gen *g, size_t v)
{
    /* 62.5 Hz: a bin of the narrowest channel; bursts are as wide as their length makes them */
    double len = v == 2   ? at_gen_lu(g, 0.02, 2)
                 : v == 3 ? at_gen_lu(g, 0.0002, 0.02)
                 : v == 4 ? at_gen_lu(g, 0.05, 3)
                          : 0;
    double bw = 62.5, span = v == 1   ? at_gen_lu(g, 20, 1000)
                             : v == 5 ? at_gen_lu(g, 20, 300)
                             : v == 4 ? at_gen_lu(g, 100, 3000)
                             : v == 6 ? (at_gen_p(g, 0.7) ? 100 : 120) * at_rng_int(&g->rng, 1, 2)
                                      : 0;
    double mains = span > 0 && fmod(span, 100) < 1 ? 50 : 60;
    bw += span + (len > 0 ? 4 / len : 0);
    int rc = at_gen_begin(g, bw);
    float *amp = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *amp),
          *f = amp ? amp + g->n : NULL;
    if (rc < 0 || !amp) {
        at_mem_free(NULL, amp);
        return rc < 0 ? rc : -ENOMEM;
    }
    double end = at_gen_seconds(g), off = g->clean ? 0 : at_gen_u(g, -0.2, 0.2) * room(g);
    struct at_osc osc = {.offset_hz = off};
    if (v == 1) {
        osc.drift_hz_s = span / end * (at_gen_p(g, 0.5) ? 1 : -1);
        osc.offset_hz = off - osc.drift_hz_s * end / 2;
    } else if (v == 5) {
        osc.wander_hz = span / 2;
        osc.wander_s = at_gen_lu(g, 0.2, 3) * end;
    } else if (v == 4) {
        osc.settle_hz = at_gen_p(g, 0.5) ? span : -span;
        osc.settle_s = at_gen_u(g, 0.05, 0.4) * len;
    }
    if (len > 0) {
        struct at_keyer k = {
            .rise_s = 0.01 * len, .fall_s = 0.01 * len, .on_level = 0.5, .osc = osc};
        if (!g->clean && at_gen_p(g, 0.3)) {
            k.pull_hz = at_gen_u(g, -0.5, 0.5) * bw;
            k.pull_s = 0.1 * len;
        }
        /* further apart than the tracker waits, so that each is an emission: keyed faster it is OOK
         * or Morse */
        double gap = fmax(0.6, len * at_gen_lu(g, v == 4 ? 0.4 : 3, 12)), same = at_gen_p(g, 0.8),
               t = at_gen_first(g, len);
        while (t < end) {
            struct at_key key[1] = {{(float)(len * (same ? 1 : at_gen_u(g, 0.5, 1.5))), 1}};
            t = at_keyed_add(g, &k, key, 1, t, amp, f) + (same ? gap : gap * at_gen_u(g, 0.5, 2));
        }
    } else {
        for (size_t i = 0; i < g->n; i++)
            amp[i] = 1;
        at_osc_add(&osc, g->fs, f, 0, (long)g->n, 0);
        if (v == 6)
            add_hum(g, mains, amp, f);
    }
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(f, amp, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, amp);
    g->center_hz = off;
    return 0;
}
const struct at_family at_family_carrier = {
    AT_CLASS_CARRIER, sizeof carrier_list / sizeof *carrier_list, carrier_at, carrier_render};
