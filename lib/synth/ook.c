/* On/off and amplitude-shift keyed data: remotes, sensors, key fobs, tyre sensors. Timings are
 * those that the chips' data sheets and published protocol descriptions give (docs/signals.md).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

enum code { PAIRS, TRIBIT, TWIN, MANCHESTER, BIPHASE, NRZ };

/* Pulses and gaps in units of te. PAIRS: bit b is pulse p[b], gap g[b]; TRIBIT: 0, 1, F as two bits
 * of PAIRS; TWIN: each bit twice, second inverted; the others key te-long half-bits or bits. */
struct mode {
    struct at_variant v;
    enum code code;
    float te_lo_us, te_hi_us;
    float p[2], g[2];
    int pre_lo, pre_hi; /* leading pulses of pre_p, pre_g */
    float pre_p, pre_g;
    float sync_p, sync_g; /* between preamble and bits, or after the bits where tail is set */
    int tail;
    int bits_lo, bits_hi;
    int rep_lo, rep_hi;
    float gap_lo, gap_hi; /* between repeats */
};

/* clang-format off */
#define V(name, bw_lo, bw_hi, len_lo, len_hi)                                                      \
    {                                                                                              \
        name, bw_lo, bw_hi, len_lo, len_hi                                                         \
    }
static const struct mode modes[] = {
    /* encoder chips */
    {V("pt2262", 1.5e4, 5.8e4, 0.1, 1.5), TRIBIT, 80, 500, {1, 3}, {3, 1}, 0, 0, 0, 0, 1, 31, 1, 12, 12, 3, 20, 0, 0},
    {V("ev1527", 7900, 3.3e4, 0.1, 1.5), PAIRS, 150, 500, {1, 3}, {3, 1}, 0, 0, 0, 0, 1, 31, 0, 24, 24, 3, 20, 0, 0},
    {V("ht12e", 1.2e4, 2.8e4, 0.1, 1.5), PAIRS, 200, 500, {2, 1}, {1, 2}, 1, 1, 0, 36, 1, 0, 0, 12, 12, 3, 12, 0, 0},
    {V("hcs301", 1.2e4, 9e4, 0.03, 1), PAIRS, 65, 660, {2, 1}, {1, 2}, 12, 12, 1, 1, 0, 10, 0, 66, 66, 1, 6, 39, 60},
    {V("sc2260", 1.2e4, 2.6e4, 0.1, 1.5), PAIRS, 180, 450, {1, 3}, {3, 1}, 0, 0, 0, 0, 1, 31, 1, 25, 25, 3, 15, 0, 0},
    {V("doorbell", 9800, 3.9e4, 0.2, 4), PAIRS, 150, 700, {1, 2}, {2, 1}, 0, 1, 4, 4, 0, 8, 0, 8, 17, 8, 60, 4, 14},
    {V("socket_twin", 1.8e4, 6e4, 0.2, 1.2), TWIN, 220, 290, {1, 1}, {1, 5}, 0, 0, 0, 0, 1, 10, 0, 32, 36, 4, 10, 38, 42},
    {V("fan_remote", 1.2e4, 2.9e4, 0.1, 1.5), PAIRS, 250, 450, {1, 2}, {2, 1}, 0, 0, 0, 0, 0, 0, 0, 12, 24, 4, 30, 20, 35},
    {V("gate_dip", 6400, 2.6e4, 0.1, 2), PAIRS, 300, 1000, {1, 2}, {2, 1}, 0, 0, 0, 0, 1, 36, 0, 9, 12, 4, 30, 0, 0},
    {V("megacode", 5000, 1.4e4, 0.1, 1), PAIRS, 900, 1100, {1, 1}, {2, 5}, 0, 0, 0, 0, 1, 3, 0, 24, 24, 1, 6, 10, 20},
    {V("shutter_rts", 6200, 1.2e4, 0.1, 1), MANCHESTER, 580, 660, {0}, {0}, 2, 7, 4, 4, 7.5f, 1, 0, 56, 56, 1, 6, 45, 50},
    {V("garage_fast", 1.1e4, 5.5e4, 0.05, 1), PAIRS, 120, 350, {1, 3}, {3, 1}, 4, 30, 1, 1, 3, 3, 0, 24, 48, 2, 10, 20, 80},
    {V("rolling_manch", 1.5e4, 6e4, 0.05, 0.5), MANCHESTER, 120, 500, {0}, {0}, 10, 300, 1, 1, 0, 4, 0, 48, 128, 1, 4, 20, 80},
    /* weather and other sensors */
    {V("nexus_ppm", 1e4, 3e4, 0.3, 1.5), PAIRS, 450, 550, {1, 1}, {2, 4}, 0, 0, 0, 0, 1, 8, 1, 36, 36, 6, 12, 0, 0},
    {V("prologue_ppm", 9800, 3.2e4, 0.3, 1.5), PAIRS, 450, 550, {1, 1}, {4, 8}, 0, 0, 0, 0, 1, 18, 1, 32, 42, 4, 8, 0, 0},
    {V("thermo_ppm", 1.2e4, 3.8e4, 0.2, 1.5), PAIRS, 200, 600, {1, 1}, {3, 8}, 0, 8, 2, 2, 1, 16, 1, 36, 48, 3, 12, 0, 0},
    {V("lacrosse_tx", 8500, 1.6e4, 0.1, 0.6), PAIRS, 480, 560, {2.6f, 1}, {1.9f, 1.9f}, 0, 0, 0, 0, 0, 0, 0, 44, 44, 1, 3, 55, 60},
    {V("lacrosse_pwm", 1.5e4, 4.1e4, 0.1, 0.6), PAIRS, 180, 280, {1, 2}, {2, 1}, 4, 4, 4, 4, 0, 0, 0, 40, 72, 1, 4, 5, 120},
    {V("acurite_pwm", 2.3e4, 4.3e4, 0.1, 0.4), PAIRS, 190, 215, {1, 2}, {2, 1}, 4, 4, 3, 3, 0, 0, 0, 56, 64, 1, 3, 3, 20},
    {V("acurite_ppm", 1.1e4, 3.2e4, 0.1, 0.8), PAIRS, 420, 560, {1, 1}, {2.3f, 4.5f}, 0, 0, 0, 0, 1, 18, 1, 32, 40, 2, 7, 0, 0},
    {V("fineoffset_pwm", 7000, 1.2e4, 0.05, 0.3), PAIRS, 470, 530, {3, 1}, {2, 2}, 8, 8, 1, 2, 0, 0, 0, 40, 80, 1, 6, 6, 70},
    {V("oregon_v1", 2800, 7400, 0.1, 0.5), MANCHESTER, 1430, 1500, {0}, {0}, 12, 12, 1, 1, 3.9f, 3.5f, 0, 32, 32, 1, 2, 5, 10},
    {V("oregon_v2", 1e4, 2.2e4, 0.1, 0.6), MANCHESTER, 440, 520, {0}, {0}, 16, 32, 1, 1, 0, 0, 0, 140, 200, 1, 2, 10, 24},
    {V("oregon_v3", 8600, 2.3e4, 0.05, 0.3), MANCHESTER, 440, 520, {0}, {0}, 24, 24, 1, 1, 0, 0, 0, 70, 110, 1, 2, 10, 24},
    {V("ambient_manch", 1e4, 2.3e4, 0.1, 0.5), MANCHESTER, 450, 510, {0}, {0}, 8, 14, 1, 1, 0, 0, 0, 64, 80, 1, 3, 10, 60},
    {V("energy_nrz", 1.1e4, 8e4, 0.01, 0.2), NRZ, 60, 500, {0}, {0}, 4, 24, 1, 1, 4, 4, 0, 64, 128, 1, 3, 40, 300},
    {V("energy_pwm", 3.9e4, 1.1e5, 0.02, 0.2), PAIRS, 60, 140, {1, 2}, {2, 1}, 0, 0, 0, 0, 5, 2, 0, 64, 80, 1, 3, 50, 200},
    {V("bbq_manch", 2.1e4, 3.9e4, 0.1, 0.5), MANCHESTER, 230, 260, {0}, {0}, 8, 8, 1, 20, 0, 0, 0, 104, 104, 1, 3, 30, 60},
    {V("wt450_biphase", 5000, 1.1e4, 0.05, 0.3), BIPHASE, 950, 1010, {0}, {0}, 2, 4, 1, 1, 0, 0, 0, 36, 36, 1, 3, 10, 20},
    {V("smoke_alarm", 6700, 1.9e4, 0.1, 3), PAIRS, 380, 850, {1, 1}, {2, 4}, 0, 1, 10, 1, 1, 1, 0, 24, 24, 3, 40, 10, 40},
    {V("tpms_ook", 5.3e4, 1.7e5, 0.005, 0.03), MANCHESTER, 45, 125, {0}, {0}, 6, 30, 1, 1, 0, 0, 0, 50, 90, 1, 4, 100, 600},
    {V("security_345", 3.5e4, 7.7e4, 0.02, 0.1), MANCHESTER, 125, 145, {0}, {0}, 14, 18, 1, 1, 0, 0, 0, 48, 64, 1, 6, 100, 500},
    {V("security_pwm", 2.4e4, 4.8e4, 0.02, 0.2), PAIRS, 110, 280, {1, 2}, {2, 1}, 4, 12, 1, 1, 3, 3, 0, 36, 64, 2, 8, 20, 80},
    {V("rain_gauge", 8200, 1.9e4, 0.05, 0.5), PAIRS, 300, 600, {1, 3}, {3, 1}, 2, 10, 1, 1, 0, 8, 0, 24, 64, 1, 4, 20, 60},
    {V("tv_led_remote", 1.9e4, 7.3e4, 0.05, 1), PAIRS, 100, 300, {1, 1}, {1, 3}, 0, 1, 16, 8, 0, 0, 0, 24, 32, 2, 12, 30, 90},
    {V("switch_ask", 3.8e5, 7.3e5, 0.0008, 0.002), NRZ, 7.9f, 8.1f, {0}, {0}, 4, 4, 1, 1, 0, 0, 0, 90, 200, 3, 3, 600, 3000},
    {V("telemetry_ook", 2.2e4, 2.3e5, 0.005, 0.1), NRZ, 20, 300, {0}, {0}, 8, 64, 1, 1, 0, 0, 0, 60, 600, 1, 4, 10, 300},
    {V("car_fob", 1.2e4, 6e4, 0.03, 0.6), PAIRS, 100, 500, {1, 2}, {2, 1}, 10, 60, 1, 1, 2, 10, 0, 60, 90, 1, 5, 30, 250},
    {V("shallow_ask", 3900, 7.3e4, 0.01, 0.3), NRZ, 20, 600, {0}, {0}, 8, 32, 1, 1, 0, 0, 0, 50, 300, 1, 3, 20, 200},
    {V("rfid_reader", 2e5, 8e5, 0, 0), MANCHESTER, 2.3f, 4.8f, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 16, 160, 1, 1, 20, 300},
    /* little on-time: pulses far apart for their length, which must not pass for ppm */
    {V("sparse_ppm", 1.1e4, 5e4, 0.3, 1.5), PAIRS, 200, 550, {1, 1}, {5, 10}, 0, 1, 1, 5, 1, 18, 1, 36, 40, 4, 12, 0, 0},
    {V("short_ppm", 3.6e4, 1.4e5, 0.05, 0.6), PAIRS, 70, 170, {1, 1}, {6, 14}, 0, 8, 1, 6, 1, 30, 1, 24, 48, 3, 12, 0, 0},
    /* HCS360, HCS362, HCS410 in their Manchester mode: the preamble's 16 pulses, start and stop bit */
    {V("keeloq_manch", 6e3, 9e4, 0.02, 1), MANCHESTER, 65, 1240, {0}, {0}, 16, 16, 1, 1, 0, 4, 0, 69, 71, 1, 6, 9, 80},
    /* fobs that wake a sleeping receiver with one word over and over, then say who they are */
    {V("fob_wake", 1.5e4, 7e4, 0.05, 0.5), MANCHESTER, 100, 500, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 200, 1000, 1, 3, 20, 80},
};
/* clang-format on */
enum { SWITCH_ASK = 35, SHALLOW = 38, RFID = 39, FOB_WAKE = 43, MAX_KEYS = 4096 };
#define WORDS 0.12 /* share of the packets whose bits are a word again and again, or begin so */

static const struct at_variant *ook_at(size_t i)
{
    return &modes[i].v;
}

struct packet {
    struct at_key *keys;
    size_t n;
    double te;
};

/* Appends; equal levels join, so that edges are real edges. */
static void put(struct packet *p, double units, float level)
{
    if (units <= 0)
        return;
    float s = (float)(units * p->te);
    if (p->n > 0 && p->keys[p->n - 1].level == level)
        p->keys[p->n - 1].s += s;
    else if (p->n < MAX_KEYS)
        p->keys[p->n++] = (struct at_key){s, level};
}

static void put_pair(struct packet *p, double pulse, double gap)
{
    put(p, pulse, 1);
    put(p, gap, 0);
}

static void put_bit(struct packet *p, const struct mode *m, int bit, float *level)
{
    switch (m->code) {
    case PAIRS:
        put_pair(p, m->p[bit], m->g[bit]);
        break;
    case TRIBIT:
        put_pair(p, m->p[bit], m->g[bit]);
        put_pair(p, m->p[bit], m->g[bit]);
        break;
    case TWIN:
        put_pair(p, m->p[bit], m->g[bit]);
        put_pair(p, m->p[!bit], m->g[!bit]);
        break;
    case MANCHESTER:
        put(p, 1, bit ? 1 : 0);
        put(p, 1, bit ? 0 : 1);
        break;
    case BIPHASE: /* change at each bit, and within a one */
        *level = 1 - *level;
        put(p, 1, *level);
        if (bit)
            *level = 1 - *level;
        put(p, 1, *level);
        break;
    case NRZ:
        put(p, 1, bit ? 1 : 0);
        break;
    }
}

/* One repeat: the same bits each time, as remotes do, unless a counter moved. */
static void build(struct at_gen *g, const struct mode *m, const uint8_t *bits, int n_bits,
                  int n_pre, struct packet *p)
{
    float level = 0;
    p->n = 0;
    for (int i = 0; i < n_pre; i++)
        put_pair(p, m->pre_p, m->pre_g);
    if (!m->tail)
        put_pair(p, m->sync_p, m->sync_g);
    for (int i = 0; i < n_bits; i++) {
        if (m->code == TRIBIT && bits[i] == 2) { /* floating */
            put_pair(p, m->p[0], m->g[0]);
            put_pair(p, m->p[1], m->g[1]);
        } else {
            put_bit(p, m, bits[i] & 1, &level);
        }
    }
    if (m->tail)
        put_pair(p, m->sync_p, m->sync_g);
    else if (m->code == PAIRS && m->gap_lo > 0)
        put(p, m->p[0], 1); /* closes the last gap */
}

/* The first bits say themselves again: a wake-up pattern, a field that is filled up. */
static void repeat_word(struct at_gen *g, uint8_t *bits, int n)
{
    int word = at_rng_int(&g->rng, 4, 16), end = at_gen_p(g, 0.3) ? n : at_rng_int(&g->rng, 0, n);
    for (int i = word; i < end; i++)
        bits[i] = bits[i - word];
}

/* Real data has runs: ids, flags that are zero, counters. */
static void draw_bits(struct at_gen *g, const struct mode *m, uint8_t *bits, int n)
{
    double ones = at_gen_p(g, 0.3) ? at_gen_u(g, 0.1, 0.9) : 0.5;
    for (int i = 0; i < n; i++) {
        bits[i] = (uint8_t)at_gen_p(g, ones);
        if (m->code == TRIBIT && at_gen_p(g, 0.3))
            bits[i] = 2;
        if (i > 3 && at_gen_p(g, 0.15))
            bits[i] = bits[i - 1];
    }
    if (m == &modes[FOB_WAKE] || at_gen_p(g, WORDS))
        repeat_word(g, bits, n);
}

/* The transmitter: SAW resonator (slow to start, pulled by keying), or PLL chip (clean, fast). */
static void draw_keyer(struct at_gen *g, const struct mode *m, size_t i, double te, double len_s,
                       struct at_keyer *k)
{
    double bw = g->bw_hz;
    *k = (struct at_keyer){.on_level = 0.5};
    int saw = !g->clean && at_gen_p(g, 0.6);
    k->rise_s = te * (saw ? at_gen_lu(g, 0.02, 0.2) : at_gen_lu(g, 0.003, 0.08));
    k->fall_s = k->rise_s * (saw ? at_gen_u(g, 0.3, 2) : at_gen_u(g, 0.7, 1.4));
    if (g->clean)
        return;
    k->leak = pow(10, at_gen_u(g, -70, -25) / 20);
    if (i == SHALLOW)
        k->leak = at_gen_u(g, 0.3, 0.8);
    if (i == RFID)
        k->leak = at_gen_p(g, 0.5) ? at_gen_u(g, 0, 0.05) : at_gen_u(g, 0.6, 0.92);
    if (k->leak > 0.25)
        k->on_level = 0;
    if (saw) {
        if (at_gen_p(g, 0.6)) {
            k->pull_hz = at_gen_u(g, -0.5, 0.5) * bw;
            k->pull_s = te * at_gen_lu(g, 0.05, 1);
        }
        if (at_gen_p(g, 0.3)) {
            k->overshoot = at_gen_u(g, 0.05, 0.4);
            k->overshoot_s = te * at_gen_lu(g, 0.05, 0.5);
        }
        if (at_gen_p(g, 0.3))
            k->sag = at_gen_u(g, 0.02, 0.3);
        at_osc_draw(g, 0.6 * bw, len_s, &k->osc);
    } else {
        at_osc_draw(g, 0.1 * bw, len_s, &k->osc);
    }
}

static double packet_seconds(const struct packet *p)
{
    double s = 0;
    for (size_t i = 0; i < p->n; i++)
        s += (double)p->keys[i].s;
    return s;
}

static int play(struct at_gen *g, const struct mode *m, size_t i, double te, struct packet *p,
                float *amp, float *f)
{
    uint8_t bits[1024];
    struct at_keyer k;
    double t = 0, end = at_gen_seconds(g);
    int n_bits = at_rng_int(&g->rng, m->bits_lo, m->bits_hi),
        n_pre = at_rng_int(&g->rng, m->pre_lo, m->pre_hi), first = 1;
    while (t < end) {
        int reps = at_rng_int(&g->rng, m->rep_lo, m->rep_hi);
        double gap = te * at_gen_u(g, m->gap_lo, m->gap_hi + 1e-9);
        draw_bits(g, m, bits, n_bits);
        build(g, m, bits, n_bits, n_pre, p);
        double one = packet_seconds(p), all = reps * (one + gap);
        if (first || (!g->clean && at_gen_p(g, 0.1))) /* now and then another one of its kind */
            draw_keyer(g, m, i, te, all, &k);
        if (first)
            t = at_gen_first(g, all);
        double begin = t;
        for (int r = 0; r < reps && t < end; r++) {
            struct at_keyer kr = k;
            if (r > 0) { /* one power-up for all repeats: frequency goes on where it was */
                double age = t - begin;
                kr.osc.offset_hz += kr.osc.drift_hz_s * age;
                kr.osc.settle_hz *= kr.osc.settle_s > 0 ? exp(-age / kr.osc.settle_s) : 0;
            }
            if (t + one > 0)
                at_keyed_add(g, &kr, p->keys, p->n, t, amp, f);
            t += one + gap;
        }
        t += i == RFID ? te * at_gen_lu(g, 10, 200) : all * at_gen_lu(g, 0.3, 6);
        first = 0;
        if (!at_gen_p(g, 0.5))
            n_bits = at_rng_int(&g->rng, m->bits_lo, m->bits_hi);
    }
    return 0;
}

static int ook_render(struct at_gen *g, size_t i)
{
    const struct mode *m = &modes[i];
    double te = at_gen_lu(g, m->te_lo_us, m->te_hi_us * 1.0001) * 1e-6 *
                (g->clean ? 1 : at_gen_u(g, 0.97, 1.03));
    int rc = at_gen_begin(g, (i == RFID ? 2.5 : 6) / te);
    struct at_key *keys = at_mem_array(NULL, AT_MEM_OTHER, MAX_KEYS, sizeof *keys);
    float *amp = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *amp),
          *f = amp ? amp + g->n : NULL;
    if (rc == 0 && (!keys || !amp))
        rc = -ENOMEM;
    if (rc == 0) {
        struct packet p = {keys, 0, te};
        rc = play(g, m, i, te, &p, amp, f);
        if (i == RFID) { /* the reader's field never stops */
            for (size_t q = 0; q < g->n; q++)
                amp[q] = amp[q] > 0 ? amp[q] : 1;
            memset(g->on, 1, g->n);
        }
        uint32_t phase = (uint32_t)at_rng_next(&g->rng);
        at_gen_fm(f, amp, g->n, g->fs, &phase, g->iq);
        g->edges = AT_EDGES_DB30;
    }
    at_mem_free(NULL, keys);
    at_mem_free(NULL, amp);
    return rc;
}
const struct at_family at_family_ook = {AT_CLASS_OOK, sizeof modes / sizeof *modes, ook_at,
                                        ook_render};
