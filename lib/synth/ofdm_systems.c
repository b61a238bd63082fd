/* What each OFDM system sends: pilots, synchronisation, control and loaded resource blocks; sources
 * in docs/signals.md. SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "lib/synth/ofdm.h"

/* Carrier c of -used/2..-1, 1..used/2 to its FFT bin. */
static inline int bin(const struct at_ofdm *o, int c)
{
    return c < 0 ? c + o->n_fft : c;
}

static inline void put(struct at_gen *g, struct at_ofdm *o, int c, float amp)
{
    uint64_t b = at_rng_next(&g->rng);
    float re, im;
    if (o->order <= 4) {
        re = b & 1 ? 0.70710678f : -0.70710678f;
        im = b & 2 ? 0.70710678f : -0.70710678f;
    } else {
        int m = o->order == 16 ? 4 : 8;
        float unit = m == 4 ? 0.31622777f : 0.15430335f;
        re = (float)(2 * (int)(b & (uint64_t)(m - 1)) - (m - 1)) * unit;
        im = (float)(2 * (int)(b >> 8 & (uint64_t)(m - 1)) - (m - 1)) * unit;
    }
    o->re[bin(o, c)] = re * amp;
    o->im[bin(o, c)] = im * amp;
}

/* index 0..used-1 to a carrier, leaving out 0 */
static inline int carrier(const struct at_ofdm *o, int i)
{
    int c = i - o->used / 2;
    return c >= 0 ? c + 1 : c;
}

static void fill_all(struct at_gen *g, struct at_ofdm *o)
{
    for (int i = 0; i < o->used; i++)
        put(g, o, carrier(o, i), 1);
}

static void draw_blocks(struct at_gen *g, struct at_ofdm *o, double load)
{
    int n = o->used / 12 < AT_OFDM_MAX_RB ? o->used / 12 : AT_OFDM_MAX_RB, i = 0;
    while (i < n) { /* allocations are runs */
        int run = at_rng_int(&g->rng, 1, 1 + n / 6), on = at_gen_p(g, load);
        while (run-- > 0 && i < n)
            o->rb[i++] = (uint8_t)on;
    }
}

/* 3GPP TS 36.211: CRS each 3rd or 6th carrier in symbols 0 and 4, control region, PSS and SSS,
 * PBCH. */
static void lte_downlink(struct at_gen *g, struct at_ofdm *o, long in_slot, long subframe,
                         int special)
{
    int half = (int)(o->k / o->m->per_slot & 1),
        control = half == 0 && in_slot < 1 + (o->shift & 1);
    int crs = in_slot == 0 || in_slot == o->m->per_slot - 3;
    if (subframe != o->rb_time) {
        o->rb_time = subframe;
        draw_blocks(g, o, o->load);
    }
    for (int i = 0; i < o->used; i++) {
        int c = carrier(o, i),
            pilot = crs && (i + o->shift + (in_slot ? o->step / 2 : 0)) % o->step == 0;
        if (pilot)
            put(g, o, c, o->boost);
        else if (control ? at_gen_p(g, 0.3 + 0.6 * o->load)
                         : o->rb[(i / 12) % AT_OFDM_MAX_RB] && !special)
            put(g, o, c, 1);
    }
    long f = subframe % 10;
    int sync = (f == 0 || f == 5) && half == 0 &&
               (in_slot == o->m->per_slot - 1 || in_slot == o->m->per_slot - 2);
    int pbch = f == 0 && half == 1 && in_slot < 4;
    for (int i = 0; (sync || pbch) && i < 72 && i < o->used; i++) {
        int c = i - 36 >= 0 ? i - 35 : i - 36, gap = sync && (i < 5 || i > 66);
        o->re[bin(o, c)] = o->im[bin(o, c)] = 0;
        if (!gap)
            put(g, o, c, 1);
    }
}

/* SC-FDMA: the DFT of constellation points over a run of carriers; written out, allocations are
 * small. */
static void spread(struct at_gen *g, struct at_ofdm *o, int first, int n, float amp)
{
    double q = at_rng_int(&g->rng, 1, n > 2 ? n - 1 : 1), a = AT_TAU * q / n,
           p = at_gen_u(g, 0, AT_TAU);
    for (int i = 0; i < n && first + i < o->used;
         i++) { /* pilots: Zadoff-Chu; data: nearly Gaussian, clipped */
        double x, y;
        if (o->k % o->m->per_slot == 3) {
            double z = p + a * i * (i + 1) / 2;
            x = cos(z);
            y = sin(z);
        } else {
            x = 0.707 * at_rng_normal(&g->rng);
            y = 0.707 * at_rng_normal(&g->rng);
        }
        int b = bin(o, carrier(o, first + i));
        o->re[b] = (float)x * amp;
        o->im[b] = (float)y * amp;
    }
}

static void lte_uplink(struct at_gen *g, struct at_ofdm *o, long subframe)
{
    if (subframe != o->rb_time) {
        o->rb_time = subframe;
        int n = o->used / 12, size = at_rng_int(&g->rng, 1, 1 + (int)(o->load * (n - 1)));
        o->shift = at_rng_int(&g->rng, 0, n - size);
        o->step = size;
        o->pause = !at_gen_p(g, 0.3 + 0.7 * o->load);
    }
    o->level = o->pause ? 0 : 1;
    spread(g, o, 12 * o->shift, 12 * o->step, 1);
    if (o->level > 0 && at_gen_p(g, 0.2)) /* control at the band's edge */
        spread(g, o, 0, 12, 0.7f);
}

static void lte_tdd(struct at_gen *g, struct at_ofdm *o, long in_slot, long subframe)
{
    static const char *const pattern[7] = {"DSUUUDSUUU", "DSUUDDSUUD", "DSUDDDSUDD", "DSUUUDDDDD",
                                           "DSUUDDDDDD", "DSUDDDDDDD", "DSUUUDSUUD"};
    char c = pattern[o->tdd][subframe % 10];
    long in_subframe = in_slot + (o->k / o->m->per_slot & 1) * o->m->per_slot;
    if (c == 'D' || (c == 'S' && in_subframe < o->s_up)) {
        lte_downlink(g, o, in_slot, subframe, c == 'S' && in_subframe > 2);
    } else if (c == 'U' && at_gen_p(g, 0.02) == 0 && o->load > 0.3) { /* a handset, weaker */
        int size = o->used / 12 / 4;
        spread(g, o, 12 * (o->shift % 3), 12 * (size > 0 ? size : 1), 0.05f);
        o->level = 0.999f;
    } else {
        o->level = 0;
    }
}

/* Sidelink (36.211, 9): subframes now and then, a few blocks, last symbol empty. */
static void sidelink(struct at_gen *g, struct at_ofdm *o, long in_slot, long subframe)
{
    if (subframe != o->rb_time) {
        o->rb_time = subframe;
        int n = o->used / 12, size = at_rng_int(&g->rng, 2, n < 20 ? n : 20);
        o->shift = at_rng_int(&g->rng, 0, n - size);
        o->step = size;
        o->pause = !at_gen_p(g, 0.1 + 0.5 * o->load);
    }
    int last = (o->k / o->m->per_slot & 1) && in_slot == o->m->per_slot - 1;
    o->level = o->pause || last ? 0 : 1;
    spread(g, o, 12 * o->shift, 12 * o->step, 1);
}

/* NB-IoT (36.211, 10.2): 12 carriers; NPSS in subframe 5, NSSS in 9, the first 3 symbols empty
 * in-band. */
static void nbiot(struct at_gen *g, struct at_ofdm *o, long in_slot, long subframe)
{
    int first = (o->k / o->m->per_slot & 1) == 0 && in_slot < 3,
        sync = subframe % 10 == 5 || (subframe % 20 == 9) || subframe % 10 == 0;
    if (subframe != o->rb_time) {
        o->rb_time = subframe;
        o->pause = !at_gen_p(g, o->load);
    }
    for (int i = 0; i < o->used; i++) {
        int pilot = in_slot >= 5 && (i + o->shift) % 3 == 0;
        if ((sync && !first) || (!o->pause && !(first && (o->shift & 1))) || pilot)
            put(g, o, carrier(o, i), pilot ? o->boost : 1);
    }
    if (first && o->pause)
        o->level = 0.999f;
}

/* NR (38.211): SSB of 240 carriers over 4 symbols each 20 ms, control, slots loaded or silent: no
 * CRS. */
static void nr(struct at_gen *g, struct at_ofdm *o, long in_slot)
{
    long slot = o->k / o->m->per_slot, per_frame = (long)(20e-3 * o->m->spacing_hz / 15e3 / 1e-3);
    if (slot != o->rb_time) {
        o->rb_time = slot;
        o->pause = !at_gen_p(g, o->load);
        draw_blocks(g, o, o->load);
    }
    int ssb = slot % per_frame < 2 && in_slot >= 2 && in_slot < 6, any = 0;
    for (int i = 0; i < o->used; i++) {
        int in_ssb = ssb && abs(i - o->used / 2) < 120;
        if (in_ssb || (!o->pause && (in_slot == 0 ? (i / 72 + o->shift) % 3 != 0
                                                  : o->rb[(i / 12) % AT_OFDM_MAX_RB] != 0))) {
            put(g, o, carrier(o, i), 1);
            any = 1;
        }
    }
    o->level = any ? 1 : 0;
}

/* IEEE 802.11-2020, 17: short training on each 4th carrier for 8 us, long training, signal, data;
 * then silence. */
static void wifi(struct at_gen *g, struct at_ofdm *o)
{
    if (o->left <= 0 && o->pause <= 0) {
        o->left =
            at_rng_int(&g->rng, 0, 3) ? at_rng_int(&g->rng, 8, 60) : at_rng_int(&g->rng, 60, 400);
        if (at_gen_p(g, 0.3))
            o->left = at_rng_int(&g->rng, 6, 9); /* ACK */
        o->pause = (long)at_gen_lu(g, 4, at_gen_p(g, 0.5) ? 12 : 2000);
        o->s_up = 0;
        o->order = 4 << (2 * at_rng_int(&g->rng, 0, 2));
        o->boost = (float)pow(10, at_gen_u(g, -12, 0) / 20); /* stations at other distances */
        if (at_gen_p(g, 0.6))
            o->boost = 1;
    }
    if (o->left <= 0) {
        o->pause--;
        o->level = 0;
        return;
    }
    int k = o->s_up++, order = o->order;
    o->left--;
    if (k < 4)
        o->order = 4;
    for (int i = 0; i < o->used; i++) {
        int c = carrier(o, i);
        if (k >= 2 || c % 4 == 0)
            put(g, o, c, k < 2 ? 1.47f * sqrtf(1.4f) : 1);
    }
    o->order = order;
    o->level = o->boost;
}

/* EN 300 401: null symbol, phase reference, 75 symbols (mode I). */
static void dab(struct at_gen *g, struct at_ofdm *o)
{
    long k = o->k % 77;
    if (k == 0) {
        o->level = 0;
        if (o->shift & 1) { /* transmitter identification */
            for (int i = 0; i < o->used; i += 48)
                put(g, o, carrier(o, i), 1);
            o->level = 0.5f;
        }
    } else {
        fill_all(g, o);
    }
}

/* EN 300 744: scattered pilots each 12th, 3 further each symbol, 4/3 of amplitude; continual ones.
 */
static void dvbt(struct at_gen *g, struct at_ofdm *o)
{
    for (int i = 0; i < o->used; i++) {
        int pilot = i % 12 == 3 * (int)(o->k % 4) || i % 141 == 0;
        put(g, o, carrier(o, i), pilot ? 1.3333f : 1);
    }
}

/* ES 201 980: gain references are stronger; three tones at 750, 2250 and 3000 Hz. */
static void drm(struct at_gen *g, struct at_ofdm *o)
{
    for (int i = 0; i < o->used; i++)
        put(g, o, carrier(o, i), (i + 2 * o->k) % 6 == 0 ? 1.414f : 1);
    for (int t = 0; t < 3; t++) {
        int i = (int)((double)o->used * (0.1 + 0.2 * t + 0.01 * (o->shift & 3)));
        o->re[bin(o, carrier(o, i))] = 1.414f;
        o->im[bin(o, carrier(o, i))] = 0;
    }
}

/* NRSC-5: sidebands 129 to 198 kHz from the middle, nothing (or the FM host, not here) between. */
static void hd_radio(struct at_gen *g, struct at_ofdm *o)
{
    int inner = o->used / 2 * 129 / 198;
    for (int i = 0; i < o->used; i++) {
        int c = carrier(o, i);
        if (c > inner || c < -inner)
            put(g, o, c, 1);
    }
}

void at_ofdm_start(struct at_gen *g, struct at_ofdm *o)
{
    o->shift = at_rng_int(&g->rng, 0, 5);
    o->step = at_gen_p(g, 0.6) ? 3 : 6;
    o->load = at_gen_p(g, 0.3) ? at_gen_u(g, 0, 0.15) : at_gen_u(g, 0.05, 1);
    o->tdd = at_rng_int(&g->rng, 0, 6);
    o->s_up = at_rng_int(&g->rng, 3, 12);
    o->boost = (float)pow(10, at_gen_u(g, 0, 4) / 20);
    o->order = 4 << (2 * at_rng_int(&g->rng, 0, 2));
    o->k = at_rng_int(&g->rng, 0, 1 << 20);
    o->rb_time = -1;
    if (o->m->system == AT_OFDM_WIFI) {
        o->left = 0;
        o->pause = at_rng_int(&g->rng, 0, 30);
    }
}

void at_ofdm_symbol(struct at_gen *g, struct at_ofdm *o)
{
    long slot = o->m->per_slot ? o->k / o->m->per_slot : 0,
         in_slot = o->m->per_slot ? o->k % o->m->per_slot : 0;
    memset(o->re, 0, (size_t)o->n_fft * sizeof *o->re);
    memset(o->im, 0, (size_t)o->n_fft * sizeof *o->im);
    o->level = 1;
    switch (o->m->system) {
    case AT_OFDM_FULL:
        fill_all(g, o);
        break;
    case AT_OFDM_LTE:
        lte_downlink(g, o, in_slot, slot / 2, 0);
        break;
    case AT_OFDM_LTE_TDD:
        lte_tdd(g, o, in_slot, slot / 2);
        break;
    case AT_OFDM_LTE_UL:
        lte_uplink(g, o, slot / 2);
        break;
    case AT_OFDM_SIDELINK:
        sidelink(g, o, in_slot, slot / 2);
        break;
    case AT_OFDM_NBIOT:
        nbiot(g, o, in_slot, slot / 2);
        break;
    case AT_OFDM_NR:
        nr(g, o, in_slot);
        break;
    case AT_OFDM_WIFI:
        wifi(g, o);
        break;
    case AT_OFDM_DAB:
        dab(g, o);
        break;
    case AT_OFDM_DVBT:
        dvbt(g, o);
        break;
    case AT_OFDM_DRM:
        drm(g, o);
        break;
    case AT_OFDM_HD:
        hd_radio(g, o);
        break;
    }
    o->k++;
}
