/* Amplitude modulation and single sideband. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

/* --- AM --- */
static const struct at_variant am_list[] = {
    {"am_voice", 4600, 7400, 0, 0},        {"am_music", 7100, 9900, 0, 0},
    {"am_airband", 4500, 6600, 1, 8},      {"am_shallow", 3800, 7300, 0, 0},
    {"am_keyed_second", 22, 55, 0.1, 0.9}, {"am_tone", 890, 3900, 0, 0},
    {"am_ident", 1700, 1700, 0.1, 0.3},    {"am_vor", 20800, 20900, 0, 0},
    {"am_ils", 290, 2100, 0, 0},
};
enum { AM_SECONDS = 4, AM_VOR = 7, AM_ILS = 8 };

static const struct at_variant *am_at(size_t i)
{
    return &am_list[i];
}

/* DCF77-like: each second the carrier falls for 100 or 200 ms (to 15 %), none in second 59; MSF and
 * WWVB vary. */
static int am_seconds(struct at_gen *g)
{
    int rc = at_gen_begin(g, at_gen_lu(g, 20, 60));
    if (rc < 0)
        return rc;
    double low = at_gen_p(g, 0.7) ? at_gen_u(g, 0.1, 0.2) : at_gen_u(g, 0.15, 0.45),
           t0 = at_gen_u(g, 0, 1);
    double corner = at_gen_u(g, 10, 40), f = at_gen_u(g, -0.05, 0.05) * g->bw_hz;
    int second = at_rng_int(&g->rng, 0, 59), wwvb = at_gen_p(g, 0.2);
    double width = 0.1;
    float y = 1, a = (float)(1 - exp(-AT_TAU * corner / g->fs));
    double at = t0;
    for (size_t i = 0; i < g->n; i++) {
        at += 1 / g->fs;
        if (at >= 1) {
            at -= 1;
            second = (second + 1) % 60;
            width = second == 59 ? 0
                    : wwvb       ? 0.2 + 0.3 * at_rng_int(&g->rng, 0, 2)
                                 : 0.1 * at_rng_int(&g->rng, 1, 2);
        }
        y += a * ((at < width ? (float)low : 1.0f) - y);
        g->iq[2 * i] = y;
    }
    at_gen_sidebands(g, NULL);
    at_gen_mix(g->iq, g->n, f / g->fs, at_gen_u(g, 0, 1));
    g->center_hz = f;
    return 0;
}

/* Letters of Morse, more or less, on 1020 Hz. */
static void add_ident(struct at_gen *g, float depth, float *m)
{
    double p = at_gen_u(g, 0, 1), dot = at_gen_u(g, 0.1, 0.16) * g->fs;
    for (size_t i = 0; i < g->n; i++, p += 1020 / g->fs)
        if (((uint64_t)((double)i / dot) * UINT64_C(2654435761) >> 7) % 3)
            m[i] += depth * sinf((float)(AT_TAU * (p - floor(p))));
}

/* Radio navigation, ICAO Annex 10 vol. I: VOR (3.3: 30 Hz, and 9960 Hz that 30 Hz deviate by 480,
 * 30 % each), ILS localizer (3.1.3: 90 and 150 Hz, 20 % each) and glide path (3.1.5: 40 % each). */
static int am_navigation(struct at_gen *g, int vor)
{
    int glide = !vor && at_gen_p(g, 0.4), named = vor ? at_gen_p(g, 0.7) : !glide;
    int rc = at_gen_begin(g, vor ? 2 * 10440 : named ? 2 * 1020 : 300);
    float *m = rc < 0 ? NULL : at_mem_array(NULL, AT_MEM_OTHER, g->n, sizeof *m);
    if (!m)
        return rc < 0 ? rc : -ENOMEM;
    double p = at_gen_u(g, 0, 1), q = at_gen_u(g, 0, 1),
           depth = vor ? 0.3 : (glide ? 0.4 : 0.2) * at_gen_u(g, 0.9, 1.1);
    double aside = vor ? 0 : at_gen_u(g, -0.5, 0.5) * depth; /* off the course */
    for (size_t i = 0; i < g->n; i++, p += (vor ? 30 : 90) / g->fs) {
        double slow = sin(AT_TAU * (p - floor(p))), fast = sin(AT_TAU * (q - floor(q)));
        m[i] = (float)((depth + aside) * slow + (depth - aside) * fast);
        q += (vor ? 9960 + 480 * slow : 150) / g->fs;
    }
    if (named)
        add_ident(g, (float)at_gen_u(g, 0.05, 0.12), m);
    for (size_t i = 0; i < g->n; i++)
        g->iq[2 * i] = 1 + m[i];
    at_mem_free(NULL, m);
    at_gen_sidebands(g, NULL);
    if (!g->clean)
        at_gen_mix(g->iq, g->n, at_gen_u(g, -0.03, 0.03) * g->bw_hz / g->fs, at_gen_u(g, 0, 1));
    return 0;
}

static int am_render(struct at_gen *g, size_t k)
{
    static const double corner_lo[] = {2500, 4000, 2500, 2000, 0, 300, 1020},
                        corner_hi[] = {4500, 6000, 4000, 4500, 0, 2500, 1020};
    g->edges = AT_EDGES_SAID;
    if (k == AM_SECONDS)
        return am_seconds(g);
    if (k >= AM_VOR)
        return am_navigation(g, k == AM_VOR);
    double corner = at_gen_u(g, corner_lo[k], corner_hi[k] + 1);
    int rc = at_gen_begin(g, 1.7 * corner);
    float *m = at_mem_array_raw(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *m);
    if (rc < 0 || !m) {
        at_mem_free(NULL, m);
        return rc < 0 ? rc : -ENOMEM;
    }
    float *amp = m + g->n;
    double depth = k == 3   ? at_gen_u(g, 0.1, 0.3)
                   : k == 2 ? at_gen_u(g, 0.6, 1)
                            : at_gen_u(g, 0.3, 1);
    if (k >= 5) { /* test tones; beacon: 1020 Hz keyed with the station's letters */
        double p = at_gen_u(g, 0, 1), dot = at_gen_u(g, 0.1, 0.16) * g->fs;
        for (size_t i = 0; i < g->n; i++, p += corner / g->fs)
            m[i] = (k == 5 || ((uint64_t)((double)i / dot) * UINT64_C(2654435761) >> 7) % 3)
                       ? (float)sin(AT_TAU * (p - floor(p)))
                       : 0;
        depth *= 0.9;
    } else {
        rc = at_audio_render(g,
                             k == 1   ? AT_AUDIO_MUSIC
                             : k == 3 ? AT_AUDIO_MIXED
                                      : AT_AUDIO_VOICE,
                             corner, at_gen_p(g, 0.5), m, g->n);
        depth *= 1.6;
    }
    for (size_t i = 0; i < g->n; i++)
        amp[i] = 1;
    if (k == 2)
        at_audio_talk(g, amp, 1, 6);
    for (size_t i = 0; i < g->n; i++) {
        float v = 1 + (float)depth * m[i];
        g->iq[2 * i] = amp[i] * (v > 0 ? v : 0);
    }
    at_gen_sidebands(g, amp);
    if (!g->clean)
        at_gen_mix(g->iq, g->n, at_gen_u(g, -0.03, 0.03) * g->bw_hz / g->fs, at_gen_u(g, 0, 1));
    at_mem_free(NULL, m);
    return rc;
}
const struct at_family at_family_am = {AT_CLASS_AM, sizeof am_list / sizeof *am_list, am_at,
                                       am_render};

/* --- SSB --- */
static const struct at_variant ssb_list[] = {
    {"usb_voice", 2300, 2900, 0, 0},        {"lsb_voice", 2300, 2900, 0, 0},
    {"usb_compressed", 2300, 3000, 0, 0},   {"lsb_compressed", 2300, 3000, 0, 0},
    {"usb_carrier_rest", 2300, 2900, 0, 0},
};

static const struct at_variant *ssb_at(size_t i)
{
    return &ssb_list[i];
}

/* Butterworth low-pass of order 12 on complex samples, as six biquads (bilinear transform). */
static void butterworth(float *iq, size_t m, double corner)
{
    enum { SECTIONS = 6 };
    double w = tan(M_PI * corner);
    float b0[SECTIONS], a1[SECTIONS], a2[SECTIONS], z[SECTIONS][4] = {{0}};
    for (int s = 0; s < SECTIONS; s++) {
        double q = 2 * cos(M_PI * (2 * s + 1) / 24), d = 1 + q * w + w * w;
        b0[s] = (float)(w * w / d);
        a1[s] = (float)(2 * (w * w - 1) / d);
        a2[s] = (float)((1 - q * w + w * w) / d);
    }
    for (size_t i = 0; i < m; i++) /* sections one after the other: each waits for itself alone */
        for (int s = 0; s < SECTIONS; s++)
            for (int c = 0; c < 2; c++) {
                float x = iq[2 * i + c], y = b0[s] * x + z[s][c];
                z[s][c] = 2 * b0[s] * x - a1[s] * y + z[s][2 + c];
                z[s][2 + c] = b0[s] * x - a2[s] * y;
                iq[2 * i + c] = y;
            }
}

/* Weaver: shift speech down by its middle, keep the low side, mirror it for the lower sideband. */
static int ssb_render(struct at_gen *g, size_t k)
{
    int lower = k == 1 || k == 3, compressed = k == 2 || k == 3;
    double lo = at_gen_u(g, 100, 350), hi = at_gen_u(g, 2400, 3000), mid = (lo + hi) / 2,
           half = (hi - lo) / 2;
    int rc = at_gen_begin(g, hi - lo);
    if (rc < 0)
        return rc;
    double fa = 8000, step = fa / g->fs;
    size_t m = (size_t)((double)g->n * step) + 40;
    float *a = at_mem_array_raw(NULL, AT_MEM_OTHER, 3 * m, sizeof *a), *b = a ? a + m : NULL;
    if (!a)
        return -ENOMEM;
    at_audio_make(g, at_gen_p(g, 0.1) ? AT_AUDIO_MUSIC : AT_AUDIO_VOICE, fa, compressed, a, m);
    for (size_t i = 0; i < m; i++) {
        b[2 * i] = a[i];
        b[2 * i + 1] = 0;
    }
    at_gen_mix(b, m, -mid / fa, 0);
    butterworth(b, m, half / fa);
    at_gen_resample(b, m, 12, step, g->iq, g->n);
    for (size_t i = 0; lower && i < g->n; i++)
        g->iq[2 * i + 1] = -g->iq[2 * i + 1];
    if (k == 4) { /* a carrier that is not quite suppressed */
        at_gen_tone(g->iq, g->n, -mid / g->fs, 0, pow(10, at_gen_u(g, -50, -32) / 20));
    }
    at_mem_free(NULL, a);
    g->edges = AT_EDGES_SAID;
    return rc;
}
const struct at_family at_family_ssb = {AT_CLASS_SSB, sizeof ssb_list / sizeof *ssb_list, ssb_at,
                                        ssb_render};
