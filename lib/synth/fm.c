/* Frequency modulation: voice, pictures, broadcast, video. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <errno.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

/* Not zeroed. */
static float *scratch(size_t n)
{
    return at_mem_array_raw(NULL, AT_MEM_OTHER, n, sizeof(float));
}

/* --- narrow FM --- */

/* Frequency f (n), which is freed, on a carrier off by a share of the bandwidth, in amp (n) or all
 * the time. */
static void send(struct at_gen *g, double share, float *f, const float *amp)
{
    struct at_osc osc;
    at_osc_draw(g, share * g->bw_hz, 1, &osc);
    osc.drift_hz_s = 0;
    at_osc_add(&osc, g->fs, f, 0, (long)g->n, 0);
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(f, amp, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, f);
    g->edges = AT_EDGES_HOLD;
}

static const struct at_variant nfm_list[] = {
    {"nfm_5k", 7200, 1e4, 0, 0},   {"nfm_2k5", 4500, 6600, 0, 0},  {"nfm_ctcss", 4800, 9100, 0, 0},
    {"nfm_ptt", 4800, 9500, 1, 6}, {"nfm_tone", 3200, 7900, 0, 0}, {"nfm_marine", 7400, 1e4, 1, 8},
    {"nfm_mic", 1e4, 2e4, 0, 0},   {"nfm_sstv", 1000, 2400, 0, 0}, {"nfm_apt", 3.5e4, 4.2e4, 0, 0},
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
    send(g, 0.1, f, NULL);
    return 0;
}

static int nfm_render(struct at_gen *g, size_t k)
{
    if (k >= NFM_SSTV)
        return nfm_picture(g, k == NFM_APT);
    double dev = k == 1               ? 2500
                 : k == 6             ? at_gen_u(g, 5000, 10000)
                 : (k == 0 || k == 5) ? 5000
                 : at_gen_p(g, 0.5)   ? 2500
                                      : 4500;
    double corner = k == 6 ? 8000 : 3000, tone_hz = at_gen_u(g, 67, 254),
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
        at_audio_talk(g, amp, 1, 6);
    send(g, 0.15, f, amp);
    return rc;
}
const struct at_family at_family_nfm = {AT_CLASS_NFM, sizeof nfm_list / sizeof *nfm_list, nfm_at,
                                        nfm_render};

/* --- broadcast FM: ITU-R BS.450; pilot 8 to 10 %, RDS 57 kHz 2 to 4 % (IEC 62106). Microphones:
 * EN 300 422-1, channels of 200 kHz, deviation to 50 kHz --- */
static const struct at_variant wfm_list[] = {
    {"wfm_stereo", 1e5, 1.6e5, 0, 0},   {"wfm_mono", 8.7e4, 1.3e5, 0, 0},
    {"wfm_speech", 8.8e4, 1.3e5, 0, 0}, {"wfm_silence", 3.9e4, 4e4, 0, 0},
    {"wfm_rds", 1e5, 1.6e5, 0, 0},      {"wfm_quiet", 3e4, 7e4, 0, 0},
    {"fm_video", 5.2e6, 1.2e7, 0, 0},   {"wfm_mic", 5e4, 1e5, 0, 0},
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
    int stereo = k == 0 || k == 4 || k == 3 || (k == 2 && at_gen_p(g, 0.6)), mic = k == 7;
    double dev = mic ? at_gen_u(g, 30e3, 50e3) : 75e3;
    double bw = k == 3 ? 60e3 : k == 5 ? 50e3 : mic ? 1.4 * (dev + 15e3) : 170e3;
    int rc = at_gen_begin(g, bw);
    float *m = scratch(2 * g->n), *side = m ? m + g->n : NULL;
    if (rc < 0 || !m) {
        at_mem_free(NULL, m);
        return rc < 0 ? rc : -ENOMEM;
    }
    enum at_audio kind = k == 3          ? AT_AUDIO_SILENCE
                         : k == 2        ? AT_AUDIO_VOICE
                         : k == 1 || mic ? AT_AUDIO_MIXED
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
        m[i] *= (float)dev;
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(m, NULL, g->n, g->fs, &phase, g->iq);
    at_mem_free(NULL, m);
    return rc;
}
const struct at_family at_family_wfm = {AT_CLASS_WFM, sizeof wfm_list / sizeof *wfm_list, wfm_at,
                                        wfm_render};
