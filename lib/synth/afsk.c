/* Tones that carry data inside FM or AM. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

struct mode {
    struct at_variant v;
    double rate, mark_hz, space_hz; /* Bell 202: 1200, 1200, 2200; ACARS MSK: 2400, 1200, 2400 */
    double dev_lo, dev_hi;          /* of the FM carrier; 0: AM */
    double depth_lo, depth_hi;      /* of AM */
    int len_lo, len_hi;             /* bits of a burst; 0: goes on */
    double gap_lo, gap_hi;
};

/* clang-format off */
static const struct mode modes[] = {
    {{"aprs_1200", 9000, 1.3e4, 0.3, 2}, 1200, 1200, 2200, 2200, 4000, 0, 0, 400, 2400, 0.2, 3},
    {{"aprs_narrow", 7300, 8900, 0.3, 2}, 1200, 1200, 2200, 1500, 2500, 0, 0, 400, 2400, 0.2, 3},
    {{"acars", 5000, 5900, 0.1, 1}, 2400, 1200, 2400, 0, 0, 0.6, 0.95, 300, 2400, 0.2, 3},
    {{"bell202_stream", 9000, 1.3e4, 0, 0}, 1200, 1200, 2200, 2000, 4500, 0, 0, 0, 0, 0, 0},
    {{"bell103_fm", 7600, 1.1e4, 1, 20}, 300, 1070, 1270, 2000, 4000, 0, 0, 300, 4000, 0.3, 3},
    {{"mpt1327_ffsk", 7300, 1.1e4, 0.1, 1.5}, 1200, 1200, 1800, 1800, 3200, 0, 0, 128, 1600, 0.02, 1},
    {{"eas_same", 9400, 1.3e4, 0.5, 4}, 520.83, 2083.3, 1562.5, 2500, 4500, 0, 0, 300, 2000, 0.5, 1.5},
    {{"dsc_vhf", 8500, 1.1e4, 0.4, 0.6}, 1200, 1300, 2100, 2000, 3500, 0, 0, 500, 700, 0.3, 3},
    {{"sonde_afsk", 1.1e4, 1.9e4, 0, 0}, 2400, 2400, 4800, 2500, 5000, 0, 0, 0, 0, 0, 0},
};
/* clang-format on */
enum { N_MODES = sizeof modes / sizeof *modes };

static const struct at_variant *afsk_at(size_t i)
{
    return &modes[i].v;
}

/* Audio tones of one burst into out[a, b): flags, stuffed random bits, NRZI as AX.25 does. */
static void tones(struct at_gen *g, const struct mode *m, double begin, long a, long b,
                  double twist, int flags, float *out)
{
    double sps = g->fs / m->rate, p = at_gen_u(g, 0, 1);
    int mark = 1, k = (double)a > begin ? (int)(((double)a - begin) / sps) : 0, bit;
    double next = begin + k * sps;
    uint32_t flag = 0x7E;
    for (long i = a; i < b; i++) {
        while ((double)i >= next) {
            bit = k < 8 * flags ? (int)(flag >> (k & 7)) & 1 : (int)(at_rng_next(&g->rng) >> 63);
            mark = m->rate == 1200 ? (bit ? mark : !mark) : bit;
            k++;
            next += sps;
        }
        p += (mark ? m->mark_hz : m->space_hz) / g->fs;
        out[i] = (float)(mark ? 1 : twist) * sinf((float)(AT_TAU * (p - floor(p))));
        if (p > 1e6)
            p -= 1e6;
    }
}

static void lay_bursts(struct at_gen *g, const struct mode *m, float *audio, float *amp)
{
    double end = at_gen_seconds(g), twist = at_gen_u(g, 0.6, 1.5);
    if (m->len_hi == 0) {
        tones(g, m, 0, 0, (long)g->n, twist, 0, audio);
        for (size_t i = 0; i < g->n; i++)
            amp[i] = 1;
        return;
    }
    double len = at_rng_int(&g->rng, m->len_lo, m->len_hi) / m->rate, t = at_gen_first(g, len);
    while (t < end) {
        double before =
            g->clean ? 0 : at_gen_lu(g, 0.005, 0.15); /* carrier without tones before and after */
        double a = (t - before) * g->fs, b = (t + len) * g->fs,
               c = (t + len + 0.3 * before) * g->fs;
        long i0 = a < 0 ? 0 : (long)a, i1 = c > (double)g->n ? (long)g->n : c < 0 ? 0 : (long)c;
        for (long i = i0; i < i1; i++)
            amp[i] = 1;
        tones(g, m, t * g->fs, t < 0 ? 0 : (long)(t * g->fs),
              b > (double)g->n ? (long)g->n
              : b < 0          ? 0
                               : (long)b,
              twist, at_rng_int(&g->rng, 8, 45), audio);
        at_gen_on(g, a, c);
        t += len + before + at_gen_lu(g, m->gap_lo, m->gap_hi);
        len = at_rng_int(&g->rng, m->len_lo, m->len_hi) / m->rate;
    }
}

static int afsk_render(struct at_gen *g, size_t i)
{
    const struct mode *m = &modes[i];
    double dev = m->dev_hi > 0 ? at_gen_u(g, m->dev_lo, m->dev_hi) : 0,
           top = fmax(m->mark_hz, m->space_hz);
    int rc = at_gen_begin(g, dev > 0 ? 2 * (dev + top) * 0.9 : 2.2 * top);
    float *audio = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *audio),
          *amp = audio ? audio + g->n : NULL;
    if (rc < 0 || !audio) {
        at_mem_free(NULL, audio);
        return rc < 0 ? rc : -ENOMEM;
    }
    lay_bursts(g, m, audio, amp);
    if (dev > 0) {
        struct at_osc osc;
        at_osc_draw(g, 0.1 * g->bw_hz, 1, &osc);
        osc.drift_hz_s = 0;
        for (size_t k = 0; k < g->n; k++)
            audio[k] *= (float)dev;
        at_osc_add(&osc, g->fs, audio, 0, (long)g->n, 0);
        uint32_t phase = (uint32_t)at_rng_next(&g->rng);
        at_gen_fm(audio, amp, g->n, g->fs, &phase, g->iq);
        g->edges = AT_EDGES_P99;
    } else {
        float depth = (float)at_gen_u(g, m->depth_lo, m->depth_hi);
        for (size_t k = 0; k < g->n; k++)
            g->iq[2 * k] = amp[k] * (1 + depth * 0.7f * audio[k]);
        at_gen_sidebands(g, amp);
        at_gen_mix(g->iq, g->n, g->clean ? 0 : at_gen_u(g, -0.04, 0.04) * g->bw_hz / g->fs,
                   at_gen_u(g, 0, 1));
        g->edges = AT_EDGES_DB30;
    }
    at_mem_free(NULL, audio);
    return 0;
}
const struct at_family at_family_afsk = {AT_CLASS_AFSK, N_MODES, afsk_at, afsk_render};
