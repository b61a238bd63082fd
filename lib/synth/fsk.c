/* Frequency-shift keying: symbols, bursts, deviation. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/synth/fsk.h"

#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"

#define MAX_SYMBOLS ((size_t)1 << 24)
#define WORDS                                                                                      \
    0.1 /* share of the transmitters whose data are a word again and again, for a time             \
         */
#define FAVOURED 0.3 /* share of those with four levels whose data favour inner or outer ones */

struct tx { /* one transmitter */
    const struct at_fsk_mode *m;
    struct at_pulse pulse;
    double rate, dev, sps, ramp;
    float *sym;
    size_t max_sym;
    float *f, *amp;
    uint32_t sync;          /* its sync word */
    float ones;             /* share of ones in its data, */
    double outer;           /* of the outer levels, where there are four */
    size_t word;            /* symbols after which its data repeat themselves; 0: they do not */
    size_t lead;            /* symbols of bare carrier before a burst's preamble */
    float lead_level, tilt; /* which tone it is; share by which the tones differ in amplitude */
    double ring_hz, ring_damping; /* of the modulator's loop; 0: none */
    double runs;                  /* how often a run of equal bits begins; whitened data: never */
};

static size_t put_bits(float *s, size_t n, size_t max, uint32_t word, int bits)
{
    for (int i = bits - 1; i >= 0 && n < max; i--)
        s[n++] = (word >> i) & 1 ? 1.0f : -1.0f;
    return n;
}

static float draw_symbol(struct at_gen *g, const struct tx *x)
{
    if (x->m->levels == 4)
        return (at_gen_p(g, x->outer) ? 1.0f : 1.0f / 3) * (at_gen_p(g, 0.5) ? 1.0f : -1.0f);
    return at_gen_p(g, (double)x->ones) ? 1 : -1;
}

/* Idle frames, filling, wake-up patterns: the first word of [from, end) again, up to somewhere. */
static void repeat_word(struct at_gen *g, struct tx *x, size_t from, size_t end)
{
    if (x->word == 0 || end - from <= x->word)
        return;
    size_t stop = from + (size_t)((double)(end - from) * fmin(at_gen_u(g, 0.2, 1.4), 1));
    for (size_t i = from + x->word; i < stop; i++)
        x->sym[i] = x->sym[i - x->word];
}

static size_t put_data(struct at_gen *g, struct tx *x, size_t n, size_t len)
{
    size_t end = n + len < x->max_sym ? n + len : x->max_sym, from = n;
    while (n < end) {
        int run = at_gen_p(g, x->runs) ? at_rng_int(&g->rng, 4, 30)
                                       : 1; /* runs of an unscrambled payload */
        float v = draw_symbol(g, x);
        while (run-- > 0 && n < end)
            x->sym[n++] = v;
    }
    if (n > from)
        repeat_word(g, x, from, n);
    return n;
}

static size_t put_manchester(struct at_gen *g, struct tx *x, size_t n, size_t len)
{
    size_t end = n + len < x->max_sym ? n + len : x->max_sym, from = n;
    while (n + 1 < end) {
        float v = draw_symbol(g, x);
        x->sym[n++] = v;
        x->sym[n++] = -v;
    }
    if (n > from)
        repeat_word(g, x, from, n);
    return n;
}

/* Letters; half a symbol cannot be sent here, so RTTY's 1.5 stop bits come as 1 or 2. */
static size_t put_async(struct at_gen *g, struct tx *x, size_t n, size_t len, int bits)
{
    size_t end = n + len < x->max_sym ? n + len : x->max_sym;
    while (n < end) {
        if (at_gen_p(g, 0.03)) { /* the typist thinks: mark */
            for (int k = at_rng_int(&g->rng, 5, 60); k > 0 && n < end; k--)
                x->sym[n++] = 1;
        }
        uint32_t c = (uint32_t)at_rng_next(&g->rng) & ((1u << bits) - 1);
        n = put_bits(x->sym, n, end, c, bits + 1); /* start bit is 0 */
        n = put_bits(x->sym, n, end, 3, bits == 5 ? at_rng_int(&g->rng, 1, 2) : 1);
    }
    return n;
}

/* ITU-R M.584: sync 7CD215D8, idle 7A89C197. */
static size_t put_pocsag(struct at_gen *g, struct tx *x, size_t n, size_t len)
{
    size_t end = n + len < x->max_sym ? n + len : x->max_sym;
    while (n < end) {
        n = put_bits(x->sym, n, end, 0x7CD215D8u, 32);
        for (int k = 0; k < 16; k++)
            n = put_bits(x->sym, n, end,
                         at_gen_p(g, 0.4) ? 0x7A89C197u : (uint32_t)at_rng_next(&g->rng), 32);
    }
    return n;
}

/* IEEE 802.15.4-2020, 12.2.4: 16 sequences of 32 chips, rotations of one by 4 and its conjugates;
 * half-sine O-QPSK as MSK: the frequency's sign is the product of neighbouring chips, turned at odd
 * ones. */
static size_t put_chips(struct at_gen *g, struct tx *x, size_t n, size_t len)
{
    static const uint32_t pn0 = 0xD9C3522Eu;
    size_t end = n + len < x->max_sym ? n + len : x->max_sym, k = 0;
    int last = 0;
    while (n < end) {
        uint32_t symbol = k++ < 8 ? 0 : (uint32_t)at_rng_next(&g->rng) & 15, r = 4 * (symbol & 7);
        uint32_t w = r ? pn0 >> r | pn0 << (32 - r) : pn0;
        if (symbol & 8)
            w ^= 0x55555555u;
        for (int i = 31; i >= 0 && n < end; i--) {
            int c = (int)(w >> i) & 1;
            x->sym[n] = ((c ^ last) ^ (int)(n & 1)) ? 1.0f : -1.0f;
            last = c;
            n++;
        }
    }
    return n;
}

/* Land-mobile frames: 24 symbols of outer levels each 132 (DMR), 192 (NXDN) or so. */
static size_t put_frames(struct at_gen *g, struct tx *x, size_t n, size_t len)
{
    size_t end = n + len < x->max_sym ? n + len : x->max_sym, frame = 132 + (x->sync & 63);
    while (n < end) {
        size_t stop = n + frame < end ? n + frame : end;
        n = put_bits(x->sym, n, stop, x->sync, 24);
        n = put_data(g, x, n, stop - n);
    }
    return n;
}

/* 3GPP TS 45.002: 3 tail, 58, 26 training, 58, 3 tail (148 of 156.25). */
static size_t put_gsm(struct at_gen *g, struct tx *x, size_t n, size_t len)
{
    size_t end = n + len < x->max_sym ? n + len : x->max_sym;
    while (n < end) {
        size_t stop = n + 156 < end ? n + 156 : end;
        int quiet = at_gen_p(g, 0.04);
        n = put_bits(x->sym, n, stop, quiet ? 7 : 0, 3);
        if (quiet) { /* frequency correction burst: a tone */
            while (n < stop)
                x->sym[n++] = 1;
            continue;
        }
        for (int half = 0; half < 2; half++) {
            n = put_data(g, x, n, n + 58 < stop ? 58 : stop - n);
            if (half == 0)
                n = put_bits(x->sym, n, stop, 0x0970897u, 26);
        }
        while (n < stop)
            x->sym[n++] = -1;
    }
    return n;
}

static size_t fill(struct at_gen *g, struct tx *x, size_t pre, size_t len)
{
    size_t n = 0;
    for (; n < x->lead && n < x->max_sym; n++)
        x->sym[n] = x->lead_level;
    pre += n;
    while (n < pre && n < x->max_sym) {
        x->sym[n] = n & 1 ? -1.0f : 1.0f;
        n++;
    }
    switch (x->m->content) {
    case AT_FSK_DATA:
        if (pre > x->lead)
            n = put_bits(x->sym, n, x->max_sym, x->sync, 16);
        return put_data(g, x, n, len);
    case AT_FSK_MANCHESTER:
        return put_manchester(g, x, n, len);
    case AT_FSK_ASYNC5:
        return put_async(g, x, n, len, 5);
    case AT_FSK_ASYNC8:
        return put_async(g, x, n, len, 8);
    case AT_FSK_POCSAG:
        return put_pocsag(g, x, n, len);
    case AT_FSK_CHIPS:
        return put_chips(g, x, n, len);
    case AT_FSK_FRAMES:
        return put_frames(g, x, n, len);
    case AT_FSK_DUMMY:
        return put_gsm(g, x, n, len);
    }
    return n;
}

/* A synthesizer's loop of second order answers steps with overshoot. */
static void ring(const struct tx *x, double fs, float *f, size_t n)
{
    float w = (float)(AT_TAU * x->ring_hz / fs), d = (float)(2 * x->ring_damping) * w, k = w * w;
    float y = n ? f[0] : 0, v = 0;
    for (size_t i = 0; i < n; i++) {
        v += k * (f[i] - y) - d * v;
        y += v;
        f[i] = y;
    }
}

/* Frequency and amplitude of n_sym symbols that begin at sample `begin`. */
static void lay(struct at_gen *g, struct tx *x, size_t n_sym, double begin,
                const struct at_osc *osc, int continuous)
{
    double end = begin + (double)n_sym * x->sps;
    long a = begin < 0 ? 0 : (long)begin, b = end > (double)g->n ? (long)g->n : (long)end;
    if (b <= a)
        return;
    at_pulse_run(&x->pulse, x->sym, n_sym, begin - (double)a, x->sps, x->f + a, (size_t)(b - a));
    float dev = (float)x->dev;
    if (x->ring_hz > 0)
        ring(x, g->fs, x->f + a, (size_t)(b - a));
    for (long i = a; i < b; i++)
        x->f[i] *= dev;
    at_osc_add(osc, g->fs, x->f, a, b, begin);
    for (long i = a; i < b; i++) {
        double up = ((double)i - begin) / x->ramp, down = (end - (double)i) / x->ramp,
               v = up < down ? up : down;
        x->amp[i] = v >= 1 || continuous ? 1 : v <= 0 ? 0 : (float)(v * v * (3 - 2 * v));
        if (x->tilt != 0)
            x->amp[i] *= 1 + x->tilt * x->f[i] / dev;
    }
    at_gen_on(g, begin, end);
}

static void play(struct at_gen *g, struct tx *x)
{
    const struct at_fsk_mode *m = x->m;
    double end = at_gen_seconds(g);
    struct at_osc osc;
    if (m->len_hi == 0) { /* goes on and on */
        size_t len = (size_t)(end * x->rate) + 40;
        at_osc_draw(g, 0.25 * g->bw_hz, 0, &osc);
        fill(g, x, 0, len);
        lay(g, x, len < x->max_sym ? len : x->max_sym, -at_gen_u(g, 4, 16) * x->sps, &osc, 1);
        g->marked = 0;
        return;
    }
    size_t pre = (size_t)at_rng_int(&g->rng, m->pre_lo, m->pre_hi),
           len = (size_t)at_rng_int(&g->rng, m->len_lo, m->len_hi);
    int same = at_gen_p(g, 0.5);
    double t = at_gen_first(g, (double)(pre + len) / x->rate), duty = at_gen_u(g, 0.3, 1);
    at_osc_draw(g, 0.25 * g->bw_hz, (double)(pre + len) / x->rate, &osc);
    double first = t;
    while (t < end) {
        int reps = m->rep_hi > 0 ? at_rng_int(&g->rng, m->rep_lo, m->rep_hi) : 1;
        if (!same)
            len = (size_t)at_rng_int(&g->rng, m->len_lo, m->len_hi);
        size_t n = fill(g, x, pre, len);
        double one = (double)n / x->rate;
        for (int r = 0; r < reps && t < end; r++, t += one + m->rep_gap_s)
            lay(g, x, n, t * g->fs, &osc, 0);
        t -= one + m->rep_gap_s;
        if (m->period_s > 0) {
            do
                t += m->period_s;
            while (!at_gen_p(g, duty));
        } else {
            t += one + at_gen_lu(g, m->gap_lo, m->gap_hi);
        }
        if (t < first)
            break;
    }
}

/* Simple transmitters: bare carrier first, tones of unequal strength, a ringing loop. */
static void flaws(struct at_gen *g, struct tx *x)
{
    if (x->m->len_hi > 0 && at_gen_p(g, 0.3)) {
        x->lead = (size_t)at_gen_lu(g, 2, 4 + 0.15 * x->m->len_hi);
        x->lead_level = (float)at_rng_int(&g->rng, -1, 1);
    }
    if (at_gen_p(g, 0.35))
        x->tilt = (float)at_gen_u(g, -0.35, 0.35);
    double ring_hz = x->rate * at_gen_lu(g, 1.5, 8);
    if (at_gen_p(g, 0.3) && ring_hz < 0.1 * g->fs) {
        x->ring_hz = ring_hz;
        x->ring_damping = at_gen_u(g, 0.25, 0.8);
    }
}

int at_fsk_render(struct at_gen *g, const struct at_fsk_mode *m)
{
    struct tx x = {.m = m};
    double param = at_gen_u(g, m->param_lo, m->param_hi);
    double h = m->h_hi > 0 ? at_gen_lu(g, m->h_lo, m->h_hi * 1.0000001) * (m->levels - 1) : 0;
    x.rate = at_gen_fit(g, m->rate_lo, m->rate_hi, h + 0.8);
    x.dev = h > 0 ? h * x.rate / 2 : at_gen_lu(g, m->dev_lo, m->dev_hi * 1.0000001);
    if (!g->clean)
        x.dev *= at_gen_u(g, 0.96, 1.04);
    int rc = at_gen_begin(g, 2 * x.dev + x.rate * (m->shape == AT_SHAPE_RECT ? 1.1 : 0.65));
    if (rc < 0)
        return rc;
    x.sps = g->fs / x.rate;
    x.ramp = 1 + x.sps * (g->clean ? 0.5 : at_gen_lu(g, 0.1, 3));
    x.sync = (uint32_t)at_rng_next(&g->rng);
    x.runs = at_gen_p(g, m->shape == AT_SHAPE_RECT ? 0.6 : 0.25) ? at_gen_lu(g, 0.001, 0.02) : 0;
    x.ones = at_gen_p(g, 0.25) ? (float)at_gen_u(g, 0.2, 0.8) : 0.5f;
    x.outer = m->levels == 4 && at_gen_p(g, FAVOURED) ? at_gen_u(g, 0.2, 0.8) : 0.5;
    if (m->content != AT_FSK_DUMMY && at_gen_p(g, WORDS))
        x.word = 2 * (size_t)at_rng_int(&g->rng, 2, 32);
    if (!g->clean && m->shape == AT_SHAPE_RECT && m->content != AT_FSK_CHIPS)
        flaws(g, &x);
    x.max_sym = (size_t)((double)g->n / x.sps) + 64;
    size_t burst = x.lead + (size_t)(m->pre_hi + m->len_hi + 64);
    if (m->len_hi > 0 && x.max_sym < burst)
        x.max_sym = burst;
    if (x.max_sym > MAX_SYMBOLS)
        return -EINVAL;
    x.sym = at_mem_array(NULL, AT_MEM_OTHER, x.max_sym, sizeof *x.sym);
    x.f = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *x.f);
    if (!x.sym || !x.f || at_pulse_init(&x.pulse, m->shape, param, x.sps) < 0) {
        rc = -ENOMEM;
        goto done;
    }
    x.amp = x.f + g->n;
    play(g, &x);
    uint32_t phase = (uint32_t)at_rng_next(&g->rng);
    at_gen_fm(x.f, x.amp, g->n, g->fs, &phase, g->iq);
    g->edges = AT_EDGES_P99;
done:
    at_pulse_finish(&x.pulse);
    at_mem_free(NULL, x.sym);
    at_mem_free(NULL, x.f);
    return rc;
}
