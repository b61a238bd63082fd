/* Secondary radar replies: Mode S (ICAO Annex 10 vol. IV, RTCA DO-260B) and Mode A/C; other
 * microsecond PPM. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

static const struct at_variant list[] = {
    {"mode_s", 1.5e6, 2.2e6, 64e-6, 120e-6},        {"mode_s_long", 1.5e6, 2.2e6, 120e-6, 120e-6},
    {"mode_s_short", 1.5e6, 2.2e6, 64e-6, 64e-6},   {"mode_ac", 1.5e6, 2.8e6, 21e-6, 25e-6},
    {"mode_s_busy", 1.5e6, 2.2e6, 64e-6, 120e-6},   {"mode_s_mixed", 1.5e6, 2.4e6, 21e-6, 120e-6},
    {"mode_s_single", 1.5e6, 2.2e6, 64e-6, 120e-6}, {"ppm_1m", 1.5e6, 2.5e6, 50e-6, 500e-6},
};

static const struct at_variant *ppm_at(size_t i)
{
    return &list[i];
}

struct air {
    float *amp; /* (n) of the reply being drawn */
    double rise_s;
};

/* One pulse with straight edges, averaged over the sample. */
static void pulse(struct at_gen *g, struct air *x, double start_s, double len_s, float level)
{
    double a = start_s * g->fs, b = a + len_s * g->fs, e = 1 + x->rise_s * g->fs;
    long i0 = (long)floor(a - e), i1 = (long)ceil(b + e);
    for (long i = i0 < 0 ? 0 : i0; i < i1 && i < (long)g->n; i++) {
        double c = (double)i + 0.5, up = 0.5 + (c - a) / e, down = 0.5 + (b - c) / e,
               v = up < down ? up : down;
        if (v > 0)
            x->amp[i] += level * (float)(v > 1 ? 1 : v);
    }
    at_gen_on(g, a, b);
}

/* Pulses at 0, 1, 3.5, 4.5 us, then 56 or 112 bits of 1 us. Returns its length in seconds. */
static double mode_s(struct at_gen *g, struct air *x, double t, int bits, float level)
{
    static const double head[4] = {0, 1e-6, 3.5e-6, 4.5e-6};
    for (int i = 0; i < 4; i++)
        pulse(g, x, t + head[i], 0.5e-6, level);
    for (int i = 0; i < bits; i++) {
        int bit = (int)(at_rng_next(&g->rng) >> 63);
        double at = t + 8e-6 + i * 1e-6 + (bit ? 0 : 0.5e-6);
        pulse(g, x, at, 0.5e-6, level);
    }
    return 8e-6 + bits * 1e-6;
}

/* Framing pulses 20.3 us apart, 12 code pulses each 1.45 us, 0.45 us long; now and then the ident
 * pulse. */
static double mode_ac(struct at_gen *g, struct air *x, double t, uint32_t code, float level)
{
    pulse(g, x, t, 0.45e-6, level);
    for (int i = 1; i < 14; i++) {
        if (i != 7 && (code >> i & 1))
            pulse(g, x, t + i * 1.45e-6, 0.45e-6, level);
    }
    pulse(g, x, t + 20.3e-6, 0.45e-6, level);
    if (code & 1)
        pulse(g, x, t + 24.65e-6, 0.45e-6, level);
    return 25e-6;
}

static double ppm_frame(struct at_gen *g, struct air *x, double t, float level)
{
    int n = at_rng_int(&g->rng, 40, 400), slots = 1 << at_rng_int(&g->rng, 1, 2);
    for (int i = 0; i < n; i++)
        pulse(g, x, t + (i * slots + at_rng_int(&g->rng, 0, slots - 1)) * 0.5e-6, 0.5e-6, level);
    return n * slots * 0.5e-6;
}

/* Puts one reply's pulses on its own carrier (transponders are within 1 MHz of 1090) and adds them.
 */
static void transmit(struct at_gen *g, struct air *x, double a_s, double b_s, double f_hz)
{
    long a = (long)floor((a_s - 3e-6) * g->fs), b = (long)ceil((b_s + 3e-6) * g->fs);
    a = a < 0 ? 0 : a;
    b = b > (long)g->n ? (long)g->n : b;
    double turn = at_gen_u(g, 0, 1), step = f_hz / g->fs;
    for (long i = a; i < b; i++) {
        if (x->amp[i] > 0) {
            double p = AT_TAU * (turn + step * (double)(i - a));
            g->iq[2 * i] += x->amp[i] * (float)cos(p);
            g->iq[2 * i + 1] += x->amp[i] * (float)sin(p);
            x->amp[i] = 0;
        }
    }
}

static int ppm_render(struct at_gen *g, size_t v)
{
    /* occupied at -30 dB is far wider than the pulse rate; a receiver at 2 MS/s sees what fits */
    int rc = at_gen_begin(g, 1.8e6);
    struct air x = {.amp = at_mem_array(NULL, AT_MEM_OTHER, g->n, sizeof(float))};
    if (rc < 0 || !x.amp) {
        at_mem_free(NULL, x.amp);
        return rc < 0 ? rc : -ENOMEM;
    }
    struct {
        double f_hz;
        float level;
        uint32_t code;
    } plane[12];
    int n = v == 6 ? 1 : at_rng_int(&g->rng, 1, 12);
    for (int i = 0; i < n; i++) {
        plane[i].f_hz = g->clean ? 0 : at_rng_normal(&g->rng) * (at_gen_p(g, 0.3) ? 300e3 : 60e3);
        plane[i].f_hz = fmax(-0.2e6, fmin(0.2e6, plane[i].f_hz));
        plane[i].level = (float)pow(10, (i ? at_gen_u(g, -25, 0) : 0) / 20);
        plane[i].code = (uint32_t)at_rng_next(&g->rng);
    }
    x.rise_s = at_gen_u(g, 0.05e-6, 0.15e-6);
    double rate = v == 4   ? at_gen_lu(g, 600, 4000)
                  : v == 6 ? at_gen_lu(g, 2, 60)
                           : at_gen_lu(g, 30, 1500),
           t = at_gen_first(g, 120e-6), end = at_gen_seconds(g);
    int first = 1;
    while (t < end) {
        int i = first ? 0 : at_rng_int(&g->rng, 0, n - 1),
            ac = v == 3 || (v == 5 && at_gen_p(g, 0.5));
        int is_long = v == 1 || (v != 2 && at_gen_p(g, 0.5));
        double len = v == 7 ? ppm_frame(g, &x, t, plane[i].level)
                     : ac   ? mode_ac(g, &x, t, plane[i].code, plane[i].level)
                            : mode_s(g, &x, t, is_long ? 112 : 56, plane[i].level);
        transmit(g, &x, t, t + len, plane[i].f_hz);
        t += -log(at_gen_u(g, 1e-9, 1)) / rate + (at_gen_p(g, 0.9) ? len : 0.4 * len);
        first = 0;
    }
    at_mem_free(NULL, x.amp);
    g->edges = AT_EDGES_SAID;
    return 0;
}
const struct at_family at_family_ppm = {AT_CLASS_PPM, sizeof list / sizeof *list, ppm_at,
                                        ppm_render};
