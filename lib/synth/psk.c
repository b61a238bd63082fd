/* Linear modulation on one carrier, and direct-sequence spreading. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

enum points {
    BPSK,
    QPSK,
    OQPSK,
    PI4_DQPSK,
    PSK8,
    D8PSK,
    APSK16,
    QAM16,
    QAM32,
    QAM64,
    QAM256,
    BARKER,
    CCK,
    WCDMA,
    VSB8,
    SPLIT_PM
};

struct mode {
    struct at_variant v;
    enum points points;
    double rate_lo, rate_hi; /* symbols (chips) a second */
    double alpha_lo, alpha_hi;
    int pre_lo, pre_hi; /* symbols of preamble */
    int len_lo, len_hi; /* symbols of a burst; 0: continuous */
    double gap_lo, gap_hi;
    double period_s;
    int pilot_every; /* symbols between known sync words, 0: none */
};

/* clang-format off */
static const struct mode modes[] = {
    {{"bpsk", 1e3, 5e6, 0, 0}, BPSK, 1200, 2e6, 0.2, 0.5},
    {{"qpsk", 1e3, 1e7, 0, 0}, QPSK, 1200, 5e6, 0.2, 0.5},
    {{"oqpsk_rrc", 1e3, 5e6, 0, 0}, OQPSK, 1200, 1e6, 0.3, 0.6},
    {{"psk8", 1e3, 1e7, 0, 0}, PSK8, 1200, 5e6, 0.2, 0.5},
    {{"qam16", 1e3, 1e7, 0, 0}, QAM16, 1200, 5e6, 0.1, 0.35},
    {{"qam64", 1e3, 1e7, 0, 0}, QAM64, 1200, 7e6, 0.1, 0.35},
    {{"qam256", 1e4, 1e7, 0, 0}, QAM256, 1200, 7e6, 0.1, 0.25},
    {{"qam32_link", 1e4, 4e7, 0, 0}, QAM32, 1e4, 2e7, 0.1, 0.35, 0, 0, 0, 0, 0, 0, 0, 128},
    {{"psk_burst", 2e3, 2e6, 0.002, 0.5}, QPSK, 2400, 1e6, 0.2, 0.5, 16, 100, 100, 4000, 0.002, 0.5, 0},
    {{"bpsk_burst", 2e3, 2e6, 0.002, 0.5}, BPSK, 1200, 1e6, 0.2, 0.5, 16, 100, 100, 4000, 0.002, 0.5, 0},
    {{"tetra", 2e4, 2.5e4, 0, 0}, PI4_DQPSK, 18000, 18000, 0.35, 0.35, 0, 0, 0, 0, 0, 0, 0, 255},
    {{"tetra_burst", 2e4, 2.5e4, 0.014, 0.0142}, PI4_DQPSK, 18000, 18000, 0.35, 0.35, 0, 0, 231, 255, 0, 0, 0.05667},
    {{"vdl2", 1.4e4, 1.7e4, 0.01, 0.3}, D8PSK, 10500, 10500, 0.6, 0.6, 16, 16, 100, 3000, 0.03, 1, 0},
    {{"lrpt_qpsk", 8e4, 1.2e5, 0, 0}, QPSK, 72000, 80000, 0.5, 0.6},
    {{"lrpt_oqpsk", 8e4, 1.2e5, 0, 0}, OQPSK, 72000, 80000, 0.5, 0.6},
    {{"dvbs", 1e6, 4e7, 0, 0}, QPSK, 1e6, 30e6, 0.35, 0.35},
    {{"dvbs2", 1e6, 4e7, 0, 0}, PSK8, 1e6, 30e6, 0.2, 0.25, 0, 0, 0, 0, 0, 0, 0, 1440},
    {{"dvbs2_apsk", 1e6, 4e7, 0, 0}, APSK16, 1e6, 30e6, 0.2, 0.25, 0, 0, 0, 0, 0, 0, 0, 1440},
    {{"dvbc", 6e6, 8e6, 0, 0}, QAM256, 5e6, 6.95e6, 0.12, 0.15},
    {{"inmarsat_bpsk", 600, 2e3, 0, 0}, BPSK, 600, 1200, 0.4, 1.0},
    {{"iridium_burst", 3e4, 4e4, 0.007, 0.02}, QPSK, 25000, 25000, 0.4, 0.4, 64, 64, 150, 444, 0.02, 0.1, 0},
    {{"psk31", 40, 80, 0, 0}, BPSK, 31.25, 31.25, 1, 1},
    {{"wifi_11b_1m", 1.4e7, 2e7, 0.0003, 0.01}, BARKER, 11e6, 11e6, 0.3, 0.7, 0, 0, 2000, 60000, 0.0001, 0.005, 0},
    {{"wifi_11b_cck", 1.4e7, 2e7, 0.0003, 0.003}, CCK, 11e6, 11e6, 0.3, 0.7, 0, 0, 2000, 20000, 0.0001, 0.005, 0},
    {{"wcdma", 4.0e6, 4.7e6, 0, 0}, WCDMA, 3.84e6, 3.84e6, 0.22, 0.22},
    {{"cdma2000", 1.1e6, 1.4e6, 0, 0}, WCDMA, 1.2288e6, 1.2288e6, 0.1, 0.15},
    {{"gps_like", 1e6, 2e6, 0, 0}, BPSK, 1.023e6, 1.023e6, 0.5, 1},
    {{"p25_cqpsk", 5e3, 6.5e3, 0, 0}, PI4_DQPSK, 4800, 4800, 0.2, 0.2, 0, 0, 0, 0, 0, 0, 0, 144},
    {{"phs_dqpsk", 2.2e5, 3e5, 0.0005, 0.0006}, PI4_DQPSK, 192000, 192000, 0.5, 0.5, 2, 6, 110, 112, 0, 0, 0.005},
    /* ATSC A/53 part 2: 10.762 million levels a second in one vestigial sideband are as many half as fast in each of
     * two branches half a symbol apart; the pilot stands at the lower edge */
    {{"atsc_8vsb", 5.2e6, 5.9e6, 0, 0}, VSB8, 5.381e6, 5.381e6, 0.1152, 0.1152},
    /* a carrier that stays, turned by less than a quarter: COSPAS-SARSAT C/S T.001 (after 160 ms of carrier; edges of 50
     * to 250 us), HRPT (665 kbit/s), CCSDS 401.0-B */
    {{"beacon_406", 1.5e3, 8e3, 0.44, 0.52}, SPLIT_PM, 400, 400, 0, 0, 64, 64, 112, 144, 0.6, 3, 0},
    {{"split_phase_pm", 4e3, 1.5e6, 0, 0}, SPLIT_PM, 1000, 1e6, 0, 0},
};
/* clang-format on */
enum { N_MODES = sizeof modes / sizeof *modes };
#define PILOT 0.27 /* of the data's amplitude */

static const struct at_variant *psk_at(size_t i)
{
    return &modes[i].v;
}

struct state {
    int phase; /* in 1/8 turns, differential */
    int k;     /* symbol count */
    float q;   /* half-symbol of OQPSK */
    uint32_t data;
    float power[8]; /* of the code channels */
};

/* Square grid of side m, with power 1. */
static void grid(struct at_gen *g, int m, float *s)
{
    float unit = sqrtf(1.5f / (float)(m * m - 1));
    s[0] = (float)(2 * at_rng_int(&g->rng, 0, m - 1) - (m - 1)) * unit;
    s[1] = (float)(2 * at_rng_int(&g->rng, 0, m - 1) - (m - 1)) * unit;
}

static void turn(int eighths, float *s)
{
    static const float c[8] = {1, 0.70710678f, 0, -0.70710678f, -1, -0.70710678f, 0, 0.70710678f};
    s[0] = c[eighths & 7];
    s[1] = c[(eighths + 6) & 7];
}

/* IEEE 802.11-2020, 15 and 16: Barker 11 chips a symbol; CCK 8 chips. */
static void dsss(struct at_gen *g, enum points p, struct state *st, float *s)
{
    static const int barker[11] = {1, -1, 1, 1, -1, 1, 1, 1, -1, -1, -1};
    if (p == BARKER) {
        if (st->k % 11 == 0)
            st->phase += 2 * at_rng_int(&g->rng, 0, 1) * (at_gen_p(g, 0.5) ? 2 : 1);
        turn(st->phase + (barker[st->k % 11] > 0 ? 0 : 4), s);
        return;
    }
    if (st->k % 8 == 0)
        st->data = (uint32_t)at_rng_next(&g->rng);
    uint32_t d = st->data;
    int p1 = d & 3, p2 = d >> 2 & 3, p3 = d >> 4 & 3, p4 = d >> 6 & 3;
    int ph[8] = {p1 + p2 + p3 + p4, p1 + p3 + p4, p1 + p2 + p4, p1 + p4 + 2,
                 p1 + p2 + p3,      p1 + p3,      p1 + p2 + 2,  p1};
    turn(2 * ph[st->k % 8], s);
}

/* 3GPP TS 25.213: many code channels, scrambled: nearly Gaussian chips. */
static void wcdma(struct at_gen *g, struct state *st, float *s)
{
    uint64_t b = at_rng_next(&g->rng);
    s[0] = s[1] = 0;
    for (int c = 0; c < 8; c++) {
        s[0] += b >> (2 * c) & 1 ? st->power[c] : -st->power[c];
        s[1] += b >> (2 * c + 1) & 1 ? st->power[c] : -st->power[c];
    }
}

static void symbol(struct at_gen *g, enum points p, struct state *st, float *s)
{
    switch (p) {
    case BPSK:
        s[0] = at_rng_next(&g->rng) >> 63 ? 1.0f : -1.0f;
        s[1] = 0;
        break;
    case QPSK:
    case OQPSK:
        turn(2 * at_rng_int(&g->rng, 0, 3) + 1, s);
        break;
    case PI4_DQPSK:
        turn(st->phase += 2 * at_rng_int(&g->rng, 0, 3) + 1, s);
        break;
    case PSK8:
        turn(at_rng_int(&g->rng, 0, 7), s);
        break;
    case D8PSK:
        turn(st->phase += at_rng_int(&g->rng, 0, 7), s);
        break;
    case APSK16: { /* DVB-S2: 4 + 12, radii 1 : 2.85 */
        int i = at_rng_int(&g->rng, 0, 15);
        double a = i < 4 ? (i + 0.5) / 4 : (i - 4 + 0.5) / 12, r = i < 4 ? 0.398 : 1.134;
        s[0] = (float)(r * cos(AT_TAU * a));
        s[1] = (float)(r * sin(AT_TAU * a));
        break;
    }
    case QAM16:
        grid(g, 4, s);
        break;
    case QAM32: /* cross: 6 x 6 without its corners */
        do
            grid(g, 6, s);
        while (fabsf(s[0]) + fabsf(s[1]) > 1.9f);
        break;
    case QAM64:
    case VSB8:
        grid(g, 8, s);
        break;
    case QAM256:
        grid(g, 16, s);
        break;
    case BARKER:
    case CCK:
        dsss(g, p, st, s);
        break;
    case WCDMA:
        wcdma(g, st, s);
        break;
    case SPLIT_PM: /* of its own: render_pm() */
        break;
    }
    st->k++;
}

static void fill(struct at_gen *g, const struct mode *m, struct state *st, size_t pre, float *sym,
                 size_t n)
{
    uint64_t sync = at_rng_next(&g->rng);
    for (size_t i = 0; i < n; i++) {
        size_t in_frame = m->pilot_every ? i % (size_t)m->pilot_every : 99;
        if (i < pre) {
            sym[2 * i] = i & 1 ? -1 : 1;
            sym[2 * i + 1] = 0;
        } else if (in_frame < 26) {
            sym[2 * i] = sym[2 * i + 1] = sync >> (in_frame & 31) & 1 ? 0.7071f : -0.7071f;
        } else {
            symbol(g, m->points, st, sym + 2 * i);
        }
    }
}

static bool is_staggered(const struct mode *m)
{
    return m->points == OQPSK || m->points == VSB8;
}

/* A late Q branch makes OQPSK: half a symbol of delay. */
static void lay(struct at_gen *g, const struct mode *m, const struct at_pulse *pulse,
                const float *sym, size_t n_sym, double begin, double sps, float *tmp)
{
    double tail = m->len_hi ? 2 * sps : 0, first = begin - tail,
           end = begin + (double)n_sym * sps + tail;
    long a = first < 0 ? 0 : (long)first, b = end > (double)g->n ? (long)g->n : (long)end;
    if (b <= a)
        return;
    float *out = g->iq + 2 * a;
    at_pulse_run2(pulse, sym, n_sym, begin - (double)a, sps, out, (size_t)(b - a));
    if (is_staggered(m)) {
        at_pulse_run2(pulse, sym, n_sym, begin - (double)a + sps / 2, sps, tmp, (size_t)(b - a));
        for (long i = 0; i < b - a; i++)
            out[2 * i + 1] = tmp[2 * i + 1];
    }
    at_gen_on(g, begin, end - tail);
}

static void play(struct at_gen *g, const struct mode *m, const struct at_pulse *pulse, double rate,
                 float *sym, size_t max, float *tmp)
{
    struct state st = {0};
    double sps = g->fs / rate, end = at_gen_seconds(g);
    int loaded = at_rng_int(&g->rng, 3, 8);
    for (int c = 0; c < loaded; c++)
        st.power[c] = (float)at_gen_u(g, 0.2, 1);
    if (m->len_hi == 0) {
        fill(g, m, &st, 0, sym, max);
        lay(g, m, pulse, sym, max, -16.3 * sps, sps, tmp);
        g->marked = 0;
        return;
    }
    size_t pre = (size_t)at_rng_int(&g->rng, m->pre_lo, m->pre_hi);
    size_t len = pre + (size_t)at_rng_int(&g->rng, m->len_lo, m->len_hi);
    double t = at_gen_first(g, (double)len / rate), duty = at_gen_u(g, 0.3, 1);
    int same = at_gen_p(g, 0.4);
    while (t < end) {
        if (t + (double)len / rate > 0) {
            fill(g, m, &st, pre, sym, len < max ? len : max);
            lay(g, m, pulse, sym, len < max ? len : max, t * g->fs, sps, tmp);
        }
        if (m->period_s > 0) {
            do
                t += m->period_s;
            while (!at_gen_p(g, duty));
        } else {
            t += (double)len / rate + at_gen_lu(g, m->gap_lo, m->gap_hi);
        }
        if (!same)
            len = pre + (size_t)at_rng_int(&g->rng, m->len_lo, m->len_hi);
    }
}

static void flaws(struct at_gen *g, int continuous)
{
    if (g->clean)
        return;
    if (at_gen_p(g, 0.35))
        at_gen_amplifier(g, at_gen_u(g, 0, 9));
    if (at_gen_p(g, 0.4)) { /* Doppler or a slow drift, a few percent of the bandwidth */
        double f0 = at_gen_u(g, -0.02, 0.02) * g->bw_hz / g->fs,
               df = at_gen_u(g, -0.02, 0.02) * g->bw_hz / g->fs / (double)g->n;
        for (size_t k = 0; k < g->n; k += 256)
            at_gen_mix(g->iq + 2 * k, g->n - k < 256 ? g->n - k : 256, f0 + df * (double)k,
                       fmod(f0 * (double)k + df * (double)k * (double)k / 2, 1));
    }
}

/* The carrier's phase over a burst that begins at sample `begin`: pre bits of nothing, then each
 * bit as a half and its contrary. */
static void lay_phase(struct at_gen *g, double begin, double sps, size_t pre, size_t n, float index,
                      float *ph)
{
    double end = begin + (double)(pre + n) * sps;
    long a = begin < 0 ? 0 : (long)begin, b = end > (double)g->n ? (long)g->n : (long)end;
    size_t bit = SIZE_MAX;
    float level = index;
    for (long i = a; i < b; i++) {
        double u = fmax((double)i - begin, 0) / sps;
        if ((size_t)u != bit)
            level = at_gen_p(g, 0.5) ? index : -index;
        bit = (size_t)u;
        ph[i] = bit < pre ? 0 : u - (double)bit < 0.5 ? level : -level;
        g->iq[2 * i] = 1;
    }
    at_gen_on(g, begin, end);
}

static int render_pm(struct at_gen *g, const struct mode *m)
{
    bool once = m->len_hi == 0;
    double rate = at_gen_fit(g, m->rate_lo, m->rate_hi, 6), edge = at_gen_u(g, 2, 6),
           index = once ? at_gen_u(g, 0.6, 1.25) : at_gen_u(g, 1, 1.2);
    int rc = at_gen_begin(g, 6 * rate);
    float *ph = rc < 0 ? NULL : at_mem_array(NULL, AT_MEM_OTHER, g->n, sizeof *ph);
    if (!ph)
        return rc < 0 ? rc : -ENOMEM;
    double sps = g->fs / rate, end = at_gen_seconds(g);
    size_t pre = (size_t)m->pre_hi, len = once ? (size_t)(end * rate) + 3
                                               : (size_t)at_rng_int(&g->rng, m->len_lo, m->len_hi);
    double one = (double)(pre + len) / rate, t = once ? -1.5 / rate : at_gen_first(g, one);
    for (; t < end; t += once ? end + one : one + at_gen_lu(g, m->gap_lo, m->gap_hi))
        lay_phase(g, t * g->fs, sps, pre, len, (float)index, ph);
    at_gen_lowpass(ph, g->n, g->fs, edge * rate);
    for (size_t i = 0; i < g->n; i++) {
        float on = g->iq[2 * i];
        g->iq[2 * i] = on * cosf(ph[i]);
        g->iq[2 * i + 1] = on * sinf(ph[i]);
    }
    at_mem_free(NULL, ph);
    g->edges = AT_EDGES_P99;
    return 0;
}

static int psk_render(struct at_gen *g, size_t i)
{
    const struct mode *m = &modes[i];
    if (m->points == SPLIT_PM)
        return render_pm(g, m);
    double alpha = at_gen_u(g, m->alpha_lo, m->alpha_hi);
    double rate = at_gen_fit(g, m->rate_lo, m->rate_hi, 1.1 * (1 + 0.6 * alpha));
    int rc = at_gen_begin(g, rate * (1 + 0.6 * alpha) * (m->points == BARKER ? 1.1 : 1));
    if (rc < 0)
        return rc;
    size_t max = (size_t)((double)g->n / g->fs * rate) + 40,
           burst = (size_t)(m->pre_hi + m->len_hi);
    max = m->len_hi > 0 && max > burst ? burst : m->len_hi > 0 ? burst : max;
    if (max > (size_t)1 << 24)
        return -EINVAL;
    struct at_pulse pulse = {0};
    float *sym = at_mem_array(NULL, AT_MEM_OTHER, 2 * max, sizeof *sym), *tmp = NULL;
    if (is_staggered(m))
        tmp = at_mem_array(NULL, AT_MEM_OTHER, 2 * g->n, sizeof *tmp);
    if (!sym || (is_staggered(m) && !tmp) || at_pulse_init(&pulse, AT_SHAPE_RRC, alpha, 0) < 0) {
        rc = -ENOMEM;
    } else {
        play(g, m, &pulse, rate, sym, max, tmp);
        if (m->points == VSB8) /* 11.3 dB below the data */
            at_gen_tone(g->iq, g->n, -rate / 2 / g->fs, 0, PILOT);
        flaws(g, m->len_hi == 0);
        g->edges = AT_EDGES_P99;
    }
    at_pulse_finish(&pulse);
    at_mem_free(NULL, sym);
    at_mem_free(NULL, tmp);
    return rc;
}
const struct at_family at_family_psk = {AT_CLASS_PSK_QAM, N_MODES, psk_at, psk_render};
