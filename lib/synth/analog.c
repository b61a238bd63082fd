/* Signals people hear: AM, SSB, narrow and broadcast FM. SPDX-License-Identifier: GPL-3.0-or-later
 */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

/* Not zeroed. */
static float *scratch(size_t n)
{
    return at_mem_array_raw(NULL, AT_MEM_OTHER, n, sizeof(float));
}

/* Push-to-talk: on for talk_s, off for pause_s, drawn. Fills amp (n) with 0 or 1 with short ramps
 * and marks it. */
static void push_to_talk(struct at_gen *g, float *amp, double talk_lo, double talk_hi)
{
    double t = at_gen_first(g, at_gen_lu(g, talk_lo, talk_hi)), end = at_gen_seconds(g);
    double ramp = g->fs * at_gen_lu(g, 0.0005, 0.01);
    memset(amp, 0, g->n * sizeof *amp);
    while (t < end) {
        double a = t * g->fs, b = a + at_gen_lu(g, talk_lo, talk_hi) * g->fs;
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
    float *m = scratch(2 * g->n);
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
        push_to_talk(g, amp, 1, 6);
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
    double w = tan(M_PI * corner);
    for (int s = 0; s < 6; s++) {
        double q = 2 * cos(M_PI * (2 * s + 1) / 24), d = 1 + q * w + w * w;
        float b0 = (float)(w * w / d), a1 = (float)(2 * (w * w - 1) / d),
              a2 = (float)((1 - q * w + w * w) / d);
        float z[4] = {0};
        for (size_t i = 0; i < m; i++) {
            for (int c = 0; c < 2; c++) {
                float x = iq[2 * i + c], y = b0 * x + z[c];
                z[c] = 2 * b0 * x - a1 * y + z[2 + c];
                z[2 + c] = b0 * x - a2 * y;
                iq[2 * i + c] = y;
            }
        }
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
    float *a = scratch(3 * m), *b = a ? a + m : NULL;
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

/* --- narrow FM --- */
static const struct at_variant nfm_list[] = {
    {"nfm_5k", 7200, 1e4, 0, 0},     {"nfm_2k5", 4500, 6600, 0, 0},
    {"nfm_ctcss", 4800, 9100, 0, 0}, {"nfm_ptt", 4800, 9500, 1, 6},
    {"nfm_tone", 3200, 7900, 0, 0},  {"nfm_marine", 7400, 1e4, 1, 8},
    {"nfm_mic", 2.6e4, 5.7e4, 0, 0}, {"nfm_sstv", 1000, 2400, 0, 0},
    {"nfm_apt", 3.5e4, 4.2e4, 0, 0},
};
enum { NFM_SSTV = 7, NFM_APT = 8 };

static const struct at_variant *nfm_at(size_t i)
{
    return &nfm_list[i];
}

/* Brightness of a picture, 0 to 1, line by line: flat parts, edges, some detail. */
struct picture {
    double line_s, sync_s, t; /* length of a line and of its sync pulse, where we are in it */
    double change_hz;         /* how often the brightness is another */
    float level, detail;
};

static struct picture draw_picture(struct at_gen *g, double line_s, double sync_s)
{
    return (struct picture){.line_s = line_s,
                            .sync_s = sync_s,
                            .t = at_gen_u(g, 0, line_s),
                            .change_hz = at_gen_lu(g, 10, 300) / line_s,
                            .level = (float)at_gen_u(g, 0, 1),
                            .detail = (float)at_gen_lu(g, 0.02, 0.4)};
}

/* The next value; negative while the line is synchronised. */
static float next_brightness(struct at_gen *g, struct picture *p)
{
    p->t += 1 / g->fs;
    if (p->t >= p->line_s)
        p->t -= p->line_s;
    if (at_gen_p(g, fmin(p->change_hz / g->fs, 1))) {
        p->level += p->detail * (float)at_rng_normal(&g->rng);
        if (p->level < 0 || p->level > 1)
            p->level = (float)at_gen_u(g, 0, 1);
    }
    return p->t < p->sync_s ? -1 : p->level;
}

/* A picture by frequency: slow-scan television through a single-sideband transmitter (lines of 0.1
 * to 0.5 s, sync at 1200 Hz for 5 to 20 ms, black 1500, white 2300: Robot, Martin, Scottie), and
 * weather satellites' APT (FM, 17 kHz, of an amplitude-modulated 2400 Hz; NOAA KLM User's Guide,
 * 4.2: two lines a second). */
static int nfm_picture(struct at_gen *g, int apt)
{
    double dev = apt ? at_gen_u(g, 15000, 17500) : 0;
    int rc = at_gen_begin(g, apt ? 2 * (dev + 2400) : 1400);
    float *f = rc < 0 ? NULL : scratch(g->n);
    if (!f)
        return rc < 0 ? rc : -ENOMEM;
    struct picture p = apt ? draw_picture(g, 0.5, 0)
                           : draw_picture(g, at_gen_lu(g, 0.1, 0.5), at_gen_u(g, 0.005, 0.02));
    double q = at_gen_u(g, 0, 1);
    for (size_t i = 0; i < g->n; i++, q += 2400 / g->fs) {
        float v = next_brightness(g, &p);
        f[i] = apt ? (float)dev * (0.1f + 0.9f * v) * sinf((float)(AT_TAU * (q - floor(q))))
                   : (v < 0 ? -550 : -250 + 800 * v);
    }
    if (!apt)
        at_gen_lowpass(f, g->n, g->fs, 1500);
    struct at_osc osc;
    at_osc_draw(g, 0.1 * g->bw_hz, 1, &osc);
    osc.drift_hz_s = 0;
    at_osc_add(&osc, g->fs, f, 0, (long)g->n, 0);
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(f, NULL, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, f);
    g->edges = AT_EDGES_HOLD;
    return 0;
}

static int nfm_render(struct at_gen *g, size_t k)
{
    if (k >= NFM_SSTV)
        return nfm_picture(g, k == NFM_APT);
    double dev = k == 1               ? 2500
                 : k == 6             ? at_gen_u(g, 15000, 40000)
                 : (k == 0 || k == 5) ? 5000
                 : at_gen_p(g, 0.5)   ? 2500
                                      : 4500;
    double corner = k == 6 ? 12000 : 3000, tone_hz = at_gen_u(g, 67, 254),
           tone = k == 2 || at_gen_p(g, 0.3) ? at_gen_u(g, 0.1, 0.17) : 0;
    dev *= g->clean ? 1 : at_gen_u(g, 0.75, 1.1);
    int rc = at_gen_begin(g, 2 * (0.7 * dev + 0.7 * corner));
    float *f = scratch(2 * g->n), *amp = f ? f + g->n : NULL;
    if (rc < 0 || !f) {
        at_mem_free(NULL, f);
        return rc < 0 ? rc : -ENOMEM;
    }
    rc = at_audio_render(g,
                         k == 4   ? AT_AUDIO_TONE
                         : k == 6 ? AT_AUDIO_MIXED
                                  : AT_AUDIO_VOICE,
                         corner, at_gen_p(g, 0.6), f, g->n);
    float prev = 0, pre = (float)(g->fs / (AT_TAU * 2000)),
          gain = (float)(k == 4 ? 1.2 : at_gen_u(g, 2, 5));
    double p = at_gen_u(g, 0, 1);
    for (size_t i = 0; i < g->n;
         i++) { /* 6 dB an octave of pre-emphasis, limiter, sub-audible tone */
        float x = gain * (0.5f * f[i] + 0.5f * pre * (f[i] - prev)), v = x / (1 + fabsf(x)) * 1.3f;
        prev = f[i];
        f[i] = (float)(dev * ((1 - tone) * v));
        if (tone > 0) {
            p += tone_hz / g->fs;
            f[i] += (float)(dev * tone) * sinf((float)(AT_TAU * (p - floor(p))));
        }
        amp[i] = 1;
    }
    at_gen_lowpass(f, g->n, g->fs, 2.5 * corner);
    if (k == 3 || k == 5)
        push_to_talk(g, amp, 1, 6);
    struct at_osc osc;
    at_osc_draw(g, 0.15 * g->bw_hz, 1, &osc);
    osc.drift_hz_s = 0;
    at_osc_add(&osc, g->fs, f, 0, (long)g->n, 0);
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(f, amp, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, f);
    g->edges = AT_EDGES_HOLD;
    return rc;
}
const struct at_family at_family_nfm = {AT_CLASS_NFM, sizeof nfm_list / sizeof *nfm_list, nfm_at,
                                        nfm_render};

/* --- broadcast FM: ITU-R BS.450; pilot 8 to 10 %, RDS 57 kHz 2 to 4 % (IEC 62106) --- */
static const struct at_variant wfm_list[] = {
    {"wfm_stereo", 1e5, 1.6e5, 0, 0},   {"wfm_mono", 8.7e4, 1.3e5, 0, 0},
    {"wfm_speech", 8.8e4, 1.3e5, 0, 0}, {"wfm_silence", 3.9e4, 4e4, 0, 0},
    {"wfm_rds", 1e5, 1.6e5, 0, 0},      {"wfm_quiet", 3e4, 7e4, 0, 0},
    {"fm_video", 5.2e6, 1.2e7, 0, 0},
};

static const struct at_variant *wfm_at(size_t i)
{
    return &wfm_list[i];
}

/* Analogue video on FM (5.8 GHz links): lines of 64 us, sync, blanking, picture. */
static int fm_video(struct at_gen *g)
{
    double dev = at_gen_u(g, 3e6, 8e6);
    int rc = at_gen_begin(g, 2.2 * dev);
    float *f = scratch(g->n);
    if (rc < 0 || !f) {
        at_mem_free(NULL, f);
        return rc < 0 ? rc : -ENOMEM;
    }
    double t = at_gen_u(g, 0, 64e-6);
    float picture = 0.5f, detail = (float)at_gen_u(g, 0.02, 0.3);
    long line = 0;
    for (size_t i = 0; i < g->n; i++) {
        t += 1 / g->fs;
        if (t >= 64e-6) {
            t -= 64e-6;
            line++;
        }
        if (t >= 10.4e-6 && at_gen_p(g, 2e6 / g->fs)) {
            picture += detail * (float)at_rng_normal(&g->rng);
            picture = picture < 0.1f ? 0.1f : picture > 1 ? 0.9f : picture;
        }
        float v = t < 4.7e-6 ? -0.4f : t < 10.4e-6 ? 0 : picture;
        f[i] = (float)(dev * (double)(v - 0.3f));
    }
    at_gen_lowpass(f, g->n, g->fs, 5e6);
    if (at_gen_p(g, 0.6)) { /* sound on a subcarrier */
        double p = 0;
        for (size_t i = 0; i < g->n; i++, p += 6e6 / g->fs)
            f[i] += (float)(0.15 * dev * sin(AT_TAU * (p - floor(p))));
    }
    uint32_t phase = 0;
    at_gen_fm(f, NULL, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, f);
    return 0;
}

/* Adds pilot, stereo difference and RDS to the sum m; side (n) is the difference or NULL. Values
 * are shares of 75 kHz. */
static void multiplex(struct at_gen *g, float *m, const float *side, float pilot, float rds)
{
    double p = at_gen_u(g, 0, 1), q = 0;
    float bit = 1, last = 1;
    for (size_t i = 0; i < g->n; i++) {
        p += 19e3 / g->fs;
        q += 1187.5 / g->fs; /* RDS: biphase, differentially coded, raised cosine of 1 / 2375 s */
        if (q >= 1) {
            q -= 1;
            last = bit;
            bit = at_rng_next(&g->rng) & 1 ? bit : -bit;
        }
        double a = AT_TAU * (p - floor(p));
        float s1 = sinf((float)a), c1 = cosf((float)a), s2 = 2 * s1 * c1,
              s3 = s1 * (3 - 4 * s1 * s1);
        m[i] += pilot * s1;
        if (side)
            m[i] += side[i] * s2;
        if (rds > 0)
            m[i] += rds * s3 * bit * sinf((float)(AT_TAU * q)) *
                    (last == bit || q > 0.25 ? 1.0f : 0.9f);
    }
}

static int wfm_render(struct at_gen *g, size_t k)
{
    g->edges = AT_EDGES_P99;
    if (k == 6)
        return fm_video(g);
    int stereo = k == 0 || k == 4 || k == 3 || (k == 2 && at_gen_p(g, 0.6));
    double bw = k == 3 ? (stereo ? 60e3 : 40e3) : k == 5 ? 50e3 : 170e3;
    int rc = at_gen_begin(g, bw);
    float *m = scratch(2 * g->n), *side = m ? m + g->n : NULL;
    if (rc < 0 || !m) {
        at_mem_free(NULL, m);
        return rc < 0 ? rc : -ENOMEM;
    }
    enum at_audio kind = k == 3   ? AT_AUDIO_SILENCE
                         : k == 2 ? AT_AUDIO_VOICE
                         : k == 1 ? AT_AUDIO_MIXED
                                  : AT_AUDIO_MUSIC;
    rc = at_audio_render(g, kind, 15000, k != 5, m, g->n);
    if (rc == 0 && stereo)
        rc = at_audio_render(g, kind, 15000, k != 5, side, g->n);
    float width = (float)at_gen_u(g, 0.1, 0.7), gain = (float)(k == 3   ? 1
                                                               : k == 5 ? at_gen_u(g, 0.3, 0.8)
                                                                        : at_gen_u(g, 1.3, 2.6));
    float prev = 0, pre = (float)(g->fs * 50e-6);
    for (size_t i = 0; i < g->n; i++) { /* 50 us of pre-emphasis, limited as stations do */
        float x = gain * (m[i] + 0.5f * pre * (m[i] - prev));
        prev = m[i];
        x = x / (1 + 0.6f * fabsf(x));
        m[i] = stereo ? 0.9f * x : x;
    }
    for (size_t i = 0; stereo && i < g->n; i++)
        side[i] *= 0.9f * width * gain;
    if (stereo || k == 4)
        multiplex(g, m, stereo ? side : NULL, (float)at_gen_u(g, 0.08, 0.1),
                  k == 4 || at_gen_p(g, 0.6) ? (float)at_gen_u(g, 0.02, 0.05) : 0);
    for (size_t i = 0; i < g->n; i++)
        m[i] *= 75e3f;
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(m, NULL, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, m);
    return rc;
}
const struct at_family at_family_wfm = {AT_CLASS_WFM, sizeof wfm_list / sizeof *wfm_list, wfm_at,
                                        wfm_render};
