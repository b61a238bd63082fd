/* Orthogonal frequency division: symbols at the system's own rate, then resampled to the caller's.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/synth/ofdm.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/mem.h"

#define CP_LTE 0.0714, 0.0714

/* clang-format off */
/* name, bandwidth, burst | system | spacing | carriers | guard | symbols a slot */
static const struct at_ofdm_mode modes[] = {
    {{"lte_1m4", 1.08e6, 1.1e6, 0, 0}, AT_OFDM_LTE, 15e3, 72, 72, CP_LTE, 7},
    {{"lte_3m", 2.7e6, 2.7e6, 0, 0}, AT_OFDM_LTE, 15e3, 180, 180, CP_LTE, 7},
    {{"lte_5m", 4.5e6, 4.5e6, 0, 0}, AT_OFDM_LTE, 15e3, 300, 300, CP_LTE, 7},
    {{"lte_10m", 9e6, 9e6, 0, 0}, AT_OFDM_LTE, 15e3, 600, 600, CP_LTE, 7},
    {{"lte_20m", 18e6, 18e6, 0, 0}, AT_OFDM_LTE, 15e3, 1200, 1200, CP_LTE, 7},
    {{"lte_tdd", 4.5e6, 18e6, 0.001, 0.008}, AT_OFDM_LTE_TDD, 15e3, 300, 1200, CP_LTE, 7},
    {{"lte_tdd_small", 1.08e6, 2.7e6, 0.001, 0.008}, AT_OFDM_LTE_TDD, 15e3, 72, 180, CP_LTE, 7},
    {{"lte_cut", 1.5e6, 1e7, 0, 0}, AT_OFDM_LTE, 15e3, 100, 600, CP_LTE, 7, 1},
    {{"lte_tdd_cut", 1.5e6, 1e7, 0.001, 0.008}, AT_OFDM_LTE_TDD, 15e3, 100, 600, CP_LTE, 7, 1},
    {{"nr_cut", 2e6, 2e7, 0, 0}, AT_OFDM_NR, 30e3, 100, 600, CP_LTE, 14, 1},
    {{"dvbt_cut", 1.5e6, 6e6, 0, 0}, AT_OFDM_DVBT, 4464.29, 300, 1200, 0.03125, 0.25, 0, 1},
    {{"lte_extended_cp", 1.08e6, 9e6, 0, 0}, AT_OFDM_LTE, 15e3, 72, 600, 0.25, 0.25, 6},
    {{"lte_uplink", 1.08e6, 9e6, 0.001, 0.1}, AT_OFDM_LTE_UL, 15e3, 72, 600, CP_LTE, 7},
    {{"lte_sidelink", 1.08e6, 9e6, 0.001, 0.001}, AT_OFDM_SIDELINK, 15e3, 72, 600, CP_LTE, 7},
    {{"nb_iot", 1.8e5, 1.8e5, 0, 0}, AT_OFDM_NBIOT, 15e3, 12, 12, CP_LTE, 7},
    {{"nr_15k", 4.5e6, 1.9e7, 0, 0}, AT_OFDM_NR, 15e3, 300, 1272, CP_LTE, 14},
    {{"nr_30k", 8.6e6, 3.8e7, 0.0005, 0.01}, AT_OFDM_NR, 30e3, 288, 1272, CP_LTE, 14},
    {{"wifi_20m", 1.66e7, 1.66e7, 40e-6, 2e-3}, AT_OFDM_WIFI, 312.5e3, 52, 52, 0.25, 0.25, 0},
    {{"wifi_n20", 1.78e7, 1.78e7, 40e-6, 3e-3}, AT_OFDM_WIFI, 312.5e3, 56, 56, 0.125, 0.25, 0},
    {{"wifi_n40", 3.6e7, 3.6e7, 40e-6, 3e-3}, AT_OFDM_WIFI, 312.5e3, 114, 114, 0.125, 0.25, 0},
    {{"wifi_half", 4.2e6, 8.4e6, 80e-6, 4e-3}, AT_OFDM_WIFI, 78.125e3, 52, 52, 0.25, 0.25, 0},
    {{"dab", 1.536e6, 1.536e6, 0, 0}, AT_OFDM_DAB, 1e3, 1536, 1536, 0.246, 0.246, 0},
    {{"dab_iii", 1.536e6, 1.536e6, 0, 0}, AT_OFDM_DAB, 8e3, 192, 192, 0.246, 0.246, 0},
    {{"dvbt_2k", 7.6e6, 7.6e6, 0, 0}, AT_OFDM_DVBT, 4464.29, 1704, 1704, 0.03125, 0.25, 0},
    {{"dvbt_8k", 7.6e6, 7.6e6, 0, 0}, AT_OFDM_DVBT, 1116.07, 6816, 6816, 0.03125, 0.25, 0},
    {{"drm", 4.5e3, 2e4, 0, 0}, AT_OFDM_DRM, 46.875, 96, 206, 0.25, 0.25, 0},
    {{"hd_radio", 4e5, 4e5, 0, 0}, AT_OFDM_HD, 363.4, 1092, 1092, 0.054, 0.054, 0},
    {{"ofdm_generic", 1e4, 2e7, 0, 0}, AT_OFDM_FULL, 1e3, 48, 1000, 0.03, 0.25, 0},
    {{"ofdm_few", 1e4, 5e6, 0, 0}, AT_OFDM_FULL, 1e4, 12, 48, 0.03, 0.25, 0},
    {{"sun_ofdm", 1.4e5, 1.1e6, 2e-3, 5e-2}, AT_OFDM_WIFI, 10416.7, 14, 104, 0.25, 0.25, 0},
    {{"wifi_ah", 8e5, 1.8e6, 1e-3, 3e-2}, AT_OFDM_WIFI, 31.25e3, 26, 56, 0.125, 0.25, 0},
    {{"ofdm_hf_modem", 2e3, 3e3, 0, 0}, AT_OFDM_FULL, 50, 39, 64, 0.1, 0.3, 0},
};
/* clang-format on */
enum { N_MODES = sizeof modes / sizeof *modes };

static const struct at_variant *ofdm_at(size_t i)
{
    return &modes[i].v;
}

#define MAX_TAPER 64

static bool of_no_system(const struct at_ofdm_mode *m)
{
    return m->v.bw_hi_hz > 2 * m->used_hi * m->spacing_hz;
}

/* One symbol with its guard at in (m, 2), from sample `at`; its first `taper` samples fade from the
 * end of the one before (tail, what would have followed it), which keeps the flanks down. */
static size_t append(const struct at_ofdm *o, const struct at_fft *f, float *in, size_t m,
                     size_t at, int cp, int taper, float *tail)
{
    int n = o->n_fft;
    for (int i = -cp; i < n && at < m; i++, at++) {
        int k = i < 0 ? i + n : i, q = i + cp;
        float re = f->re[k] * o->level, im = f->im[k] * o->level;
        if (q < taper) {
            float w = ((float)q + 0.5f) / (float)taper;
            w = w * w * (3 - 2 * w);
            re = w * re + (1 - w) * tail[2 * q];
            im = w * im + (1 - w) * tail[2 * q + 1];
        }
        in[2 * at] = re;
        in[2 * at + 1] = im;
    }
    for (int q = 0; q < taper; q++) {
        tail[2 * q] = f->re[q] * o->level;
        tail[2 * q + 1] = f->im[q] * o->level;
    }
    return at;
}

/* Silence of one symbol, after the last one has faded out. */
static size_t rest(const struct at_ofdm *o, float *in, size_t m, size_t at, int cp, int taper,
                   float *tail)
{
    size_t len = (size_t)(o->n_fft + cp);
    for (int q = 0; q < taper && at + (size_t)q < m; q++) {
        float w = 1 - ((float)q + 0.5f) / (float)taper;
        in[2 * (at + (size_t)q)] = w * tail[2 * q];
        in[2 * (at + (size_t)q) + 1] = w * tail[2 * q + 1];
    }
    for (int q = 0; q < 2 * taper; q++)
        tail[q] = 0;
    return at + len < m ? at + len : m;
}

/* Fills in (m, 2) at n_fft x spacing samples a second; marks what is on. */
static int send(struct at_gen *g, struct at_ofdm *o, double cp, float *in, size_t m, double lead,
                double step)
{
    struct at_fft f = {0};
    int rc = at_fft_init(&f, (size_t)o->n_fft), guard = (int)(cp * o->n_fft + 0.5), silent = 0;
    /* Systems have masks to keep, so their symbols fade into one another; others' hardly do. */
    double fade = !of_no_system(o->m) ? 1 : at_gen_p(g, 0.4) ? 0 : at_gen_u(g, 0, 1);
    int taper = (int)(fade * (guard / 3 < MAX_TAPER ? guard / 3 : MAX_TAPER));
    float tail[2 * MAX_TAPER] = {0};
    size_t at = 0;
    at_ofdm_start(g, o);
    for (int tries = 0; rc == 0 && at < m; tries++) {
        o->re = f.re;
        o->im = f.im;
        at_ofdm_symbol(g, o);
        if (o->level <= 0) {
            silent = 1;
            at = rest(o, in, m, at, guard, taper, tail);
            continue;
        }
        at_fft_run(&f, 1);
        size_t from = at;
        at = append(o, &f, in, m, at, guard, taper, tail);
        at_gen_on(g, ((double)from - lead) / step, ((double)at - lead) / step);
    }
    at_fft_finish(&f);
    if (!silent)
        g->marked = 0;
    return rc;
}

#define CUT_TAPS 33

/* The receiver's filter (windowed sinc of an odd number of taps) bounds the band to `share` of the
 * rate. */
static int cut(struct at_gen *g, double share, int taps)
{
    float h[CUT_TAPS], *copy = at_mem_array(NULL, AT_MEM_IQ, 2 * (g->n + CUT_TAPS), sizeof *copy);
    if (!copy)
        return -ENOMEM;
    for (int k = 0; k < taps; k++) {
        double x = k - taps / 2, w = 0.54 + 0.46 * cos(AT_TAU * x / (taps + 1));
        h[k] = (float)(w * (x == 0 ? share : sin(M_PI * share * x) / (M_PI * x)));
    }
    memcpy(copy + 2 * (taps / 2), g->iq, 2 * g->n * sizeof *copy);
    for (size_t i = 0; i < g->n; i++) {
        float re = 0, im = 0;
        for (size_t k = 0; k < (size_t)taps; k++) {
            re += h[k] * copy[2 * (i + k)];
            im += h[k] * copy[2 * (i + k) + 1];
        }
        g->iq[2 * i] = re;
        g->iq[2 * i + 1] = im;
    }
    at_mem_free(NULL, copy);
    g->edges = AT_EDGES_SAID;
    g->bw_hz = share * g->fs;
    return 0;
}

/* Steep behind a decimator; a tuner's own filter is round, and often far narrower than the rate. */
static int cut_somehow(struct at_gen *g)
{
    if (at_gen_p(g, 0.5))
        return cut(g, at_gen_u(g, 0.78, 0.94), CUT_TAPS);
    return cut(g, at_gen_u(g, 0.45, 0.9), 2 * at_rng_int(&g->rng, 2, CUT_TAPS / 2) + 1);
}

static int ofdm_render(struct at_gen *g, size_t i)
{
    const struct at_ofdm_mode *m = &modes[i];
    struct at_ofdm o = {.m = m};
    o.used = at_rng_int(&g->rng, m->used_lo, m->used_hi);
    if (m->per_slot)
        o.used = o.used / 12 * 12;
    else
        o.used = o.used / 2 * 2;
    double spacing = m->spacing_hz;
    if (of_no_system(m)) { /* any spacing */
        spacing = at_gen_fit(g, 0.2 * spacing, 20 * spacing, o.used);
        if (at_gen_p(g, 0.4)) /* a receiver made for it: its carriers stand on bins */
            spacing = g->full_hz * exp2(round(log2(spacing / g->full_hz)));
    }
    g->whole = m->cut;
    int rc = at_gen_begin(g, o.used * spacing);
    if (rc < 0)
        return rc;
    if (m->cut && g->want_hz > 0) /* what fills the whole rate, whatever share was asked */
        g->fs = o.used * spacing;
    if (m->cut)
        o.used = (int)(g->fs * 0.97 / spacing) / 12 * 12;
    if (o.used < 12 || o.used > 12 * AT_OFDM_MAX_RB * 3)
        return -EINVAL;
    for (o.n_fft = 32; o.n_fft < 1.25 * o.used; o.n_fft *= 2)
        ;
    double in_rate = o.n_fft * spacing, step = in_rate / g->fs,
           cp = at_gen_p(g, 0.5) ? m->cp_lo : m->cp_hi;
    double lead = 16 + at_gen_u(g, 0, 1) * o.n_fft;
    size_t n_in = (size_t)((double)g->n * step + lead) + 24;
    if (n_in > (size_t)1 << 28)
        return -EINVAL;
    float *in = at_mem_array(NULL, AT_MEM_IQ, 2 * n_in, sizeof *in);
    if (!in)
        return -ENOMEM;
    rc = send(g, &o, cp, in, n_in, lead, step);
    if (rc == 0)
        at_gen_resample(in, n_in, lead, step, g->iq, g->n);
    at_mem_free(NULL, in);
    if (rc == 0 && !g->clean && at_gen_p(g, 0.35))
        at_gen_amplifier(g, at_gen_u(g, 3, 12));
    if (rc == 0 && !g->clean && at_gen_p(g, 0.4))
        at_gen_mix(g->iq, g->n, at_gen_u(g, -0.01, 0.01) * g->bw_hz / g->fs, at_gen_u(g, 0, 1));
    g->edges = AT_EDGES_P99;
    if (rc == 0 && m->cut)
        rc = cut_somehow(g);
    else if (m->system == AT_OFDM_LTE || m->system == AT_OFDM_LTE_TDD || m->system == AT_OFDM_HD)
        g->edges = AT_EDGES_SAID; /* sparse blocks move the quantiles, not the band */
    return rc;
}
const struct at_family at_family_ofdm = {AT_CLASS_OFDM, N_MODES, ofdm_at, ofdm_render};
