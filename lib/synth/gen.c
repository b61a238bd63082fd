/* One transmitter's signal: picks the member, lets its family render it, brings it to unit power
 * and says the truth. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/synth/gen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/waves.h"

static const char *const names[AT_CLASS_COUNT] = {
    "noise", "carrier", "cw",   "ook",     "am",   "ssb", "nfm", "wfm",  "fsk2",
    "gfsk",  "fsk4",    "afsk", "psk_qam", "ofdm", "css", "ppm", "chirp"};

static const struct at_family *const families[AT_CLASS_COUNT] = {
    &at_family_noise, &at_family_carrier, &at_family_cw,  &at_family_ook,  &at_family_am,
    &at_family_ssb,   &at_family_nfm,     &at_family_wfm, &at_family_fsk2, &at_family_gfsk,
    &at_family_fsk4,  &at_family_afsk,    &at_family_psk, &at_family_ofdm, &at_family_css,
    &at_family_ppm,   &at_family_chirp};

static const struct at_family *family_of(int class_id)
{
    if (class_id == AT_CLASS_OUTLIER)
        return &at_family_outlier;
    return class_id >= 0 && class_id < AT_CLASS_COUNT ? families[class_id] : NULL;
}

const char *at_class_name(int class_id)
{
    return class_id >= 0 && class_id < AT_CLASS_COUNT ? names[class_id] : NULL;
}

int at_class_from_name(const char *name)
{
    for (int i = 0; name && i < AT_CLASS_COUNT; i++) {
        if (!strcmp(name, names[i]))
            return i;
    }
    return -1;
}

size_t at_variant_count(int class_id)
{
    const struct at_family *f = family_of(class_id);
    return f ? f->count : 0;
}

const struct at_variant *at_variant_at(int class_id, size_t i)
{
    return i < at_variant_count(class_id) ? family_of(class_id)->at(i) : NULL;
}

static const struct at_variant *noise_at(size_t i)
{
    static const struct at_variant v = {"noise", 1, 1e8, 0, 0};
    return &v;
}

static int noise_render(struct at_gen *g, size_t i)
{
    int rc = at_gen_begin(g, 1000);
    g->marked = 1;
    return rc;
}

const struct at_family at_family_noise = {AT_CLASS_NOISE, 1, noise_at, noise_render};

int at_gen_begin(struct at_gen *g, double bw_hz)
{
    if (!(bw_hz > 0))
        return -EINVAL;
    g->fs = g->want_hz > 0 ? g->rate_hz * bw_hz / g->want_hz : g->rate_hz;
    g->bw_hz = bw_hz;
    return bw_hz > 0.95 * g->fs ? -EINVAL : g->probe ? -ECANCELED : 0;
}

double at_gen_fit(struct at_gen *g, double lo, double hi, double bw_per)
{
    double a = fmax(lo, 0.02 * g->full_hz / bw_per), b = fmin(hi, 0.9 * g->full_hz / bw_per);
    if (g->want_hz > 0 || a >= b)
        return at_gen_lu(g, lo, hi * 1.0000001);
    return at_gen_lu(g, a, b);
}

void at_gen_on(struct at_gen *g, double a, double b)
{
    double n = (double)g->n;
    g->marked = 1;
    a = a < 0 ? 0 : a > n ? n : a;
    b = b < 0 ? 0 : b > n ? n : b;
    size_t i = (size_t)a, k = (size_t)(b + 0.5);
    if (k > g->n)
        k = g->n;
    if (k > i)
        memset(g->on + i, 1, k - i);
}

double at_gen_first(struct at_gen *g, double len_s)
{
    double w = at_gen_seconds(g);
    if (len_s >= w)
        return at_gen_p(g, 0.5) ? at_gen_u(g, 0, 0.3) * w : at_gen_u(g, -(len_s - 0.6 * w), 0);
    return at_gen_p(g, 0.8) ? at_gen_u(g, 0, 0.35) * (w - len_s) : at_gen_u(g, -0.6, 0) * len_s;
}

void at_gen_sidebands(struct at_gen *g, const float *on)
{
    double sum = 0, square = 0, m = 0;
    g->line = 1;
    for (size_t i = 0; i < g->n; i++) {
        if (on && on[i] < 1)
            continue;
        double a = (double)g->iq[2 * i];
        sum += a;
        square += a * a;
        m++;
    }
    for (size_t part = 0; part < AT_TRUTH_PARTS; part++) {
        size_t first = part * g->n / AT_TRUTH_PARTS, end = (part + 1) * g->n / AT_TRUTH_PARTS;
        double beside = 0;
        for (size_t i = first; i < end; i++) {
            double d = on && on[i] < 1 ? 0 : (double)g->iq[2 * i] - sum / m;
            beside += d * d;
        }
        g->sidebands[part] =
            square > 0 && end > first ? beside / (double)(end - first) * m / square : 0;
    }
}

/* The next run of on-samples from `at`: [*a, *b), or 0 where there is none. */
static int next_on(const struct at_gen *g, size_t at, size_t *a, size_t *b)
{
    const uint8_t *first = at < g->n ? memchr(g->on + at, 1, g->n - at) : NULL;
    if (!first)
        return 0;
    *a = (size_t)(first - g->on);
    const uint8_t *end = memchr(first, 0, g->n - *a);
    *b = end ? (size_t)(end - g->on) : g->n;
    return 1;
}

/* Adds |FFT|^2 of a Hann frame centred on sample `middle` to psd, or keeps the greater. */
static void add_frame(const struct at_gen *g, struct at_fft *f, size_t middle, double *psd)
{
    size_t n = f->n;
    long a = (long)middle - (long)n / 2;
    a = a < 0 ? 0 : a + (long)n > (long)g->n ? (long)(g->n - n) : a;
    for (size_t k = 0; k < n; k++) { /* Hann from the twiddles */
        float w = 0.5f - 0.5f * f->cs[k];
        f->re[k] = g->iq[2 * ((size_t)a + k)] * w;
        f->im[k] = g->iq[2 * ((size_t)a + k) + 1] * w;
    }
    at_fft_run(f, 0);
    for (size_t k = 0; k < n; k++) {
        double p = (double)f->re[k] * f->re[k] + (double)f->im[k] * f->im[k];
        double *q = &psd[k < n / 2 ? k + n / 2 : k - n / 2];
        *q = g->edges == AT_EDGES_HOLD ? fmax(*q, p) : *q + p;
    }
}

/* Averages |FFT|^2 of Hann frames centred on evenly chosen on-samples into psd (n), low frequencies
 * first. */
static int reference_psd(const struct at_gen *g, size_t n_on, size_t n, double *psd)
{
    struct at_fft f = {0};
    if (at_fft_init(&f, n) < 0)
        return -ENOMEM;
    size_t most = (size_t)(40960 * g->rate_hz / g->full_hz), frames = most / n < 6 ? 6 : most / n,
           seen = 0, next = 0, step = n_on / frames + 1;
    for (size_t a, b = 0; next_on(g, b, &a, &b); seen += b - a)
        for (; next < seen + b - a; next += step)
            add_frame(g, &f, a + next - seen, psd);
    at_fft_finish(&f);
    return 0;
}

/* Bin position below which `share` of the power lies, between bins by straight line. */
static double quantile(const double *psd, size_t n, double share)
{
    double sum = 0, acc = 0;
    for (size_t k = 0; k < n; k++)
        sum += psd[k];
    for (size_t k = 0; k < n; k++) {
        if (acc + psd[k] >= share * sum)
            return (double)k + (psd[k] > 0 ? (share * sum - acc) / psd[k] : 0);
        acc += psd[k];
    }
    return (double)n;
}

/* Edges in Hz of the caller's rate. */
static int measure_edges(const struct at_gen *g, size_t n_on, double scale, double *ret_lo,
                         double *ret_hi)
{
    size_t n = 128;
    while (n < 32768 && (double)n < 64 * g->fs / g->bw_hz && 4 * n <= g->n)
        n *= 2;
    if (n > g->n || n_on == 0)
        return 1; /* too short to measure: what the family said stands */
    double *psd = at_mem_array(NULL, AT_MEM_OTHER, n, sizeof *psd), lo, hi;
    if (!psd)
        return -ENOMEM;
    int rc = reference_psd(g, n_on, n, psd);
    if (g->edges != AT_EDGES_DB30) {
        lo = quantile(psd, n, 0.005);
        hi = quantile(psd, n, 0.995);
    } else {
        double peak = 0;
        size_t a = 0, b = n - 1;
        for (size_t k = 0; k < n; k++)
            peak = psd[k] > peak ? psd[k] : peak;
        while (a < b && psd[a] < 1e-3 * peak)
            a++;
        while (b > a && psd[b] < 1e-3 * peak)
            b--;
        lo = (double)a + 1.5; /* Hann's main lobe is 1.9 bins to a side at -30 dB */
        hi = (double)b - 0.5;
        if (hi < lo + 0.5) {
            lo = ((double)(a + b) + 0.5) / 2;
            hi = lo + 0.5;
        }
    }
    at_mem_free(NULL, psd);
    double bin = scale * g->fs / (double)n;
    *ret_lo = (lo - (double)(n / 2) - 0.5) * bin;
    *ret_hi = (hi - (double)(n / 2) - 0.5) * bin;
    return rc;
}

static size_t count_on(struct at_gen *g, struct at_signal_truth *t)
{
    size_t n_on = 0, burst = 0;
    if (!g->marked)
        memset(g->on, 1, g->n);
    for (size_t a, b = 0; next_on(g, b, &a, &b); n_on += b - a) {
        if (!t->keys || (double)(a - t->last) > AT_BURST_GAP_S * g->rate_hz)
            burst = a;
        if (b - burst > t->burst_last - t->burst_first) {
            t->burst_first = burst;
            t->burst_last = b;
        }
        uint16_t *part = &t->keys_in[a * AT_TRUTH_PARTS / g->n];
        *part += *part < UINT16_MAX;
        if (!t->keys++)
            t->first = a;
        t->last = b;
    }
    t->on_share = (double)n_on / (double)g->n;
    return n_on;
}

static void to_unit_power(struct at_gen *g, size_t n_on)
{
    double sum = 0;
    for (size_t a, b = 0; next_on(g, b, &a, &b);)
        sum += at_waves_best()->energy(g->iq + 2 * a, 2 * (b - a));
    if (n_on == 0 || sum <= 0)
        return;
    float k = (float)sqrt((double)n_on / sum);
    for (size_t i = 0; i < 2 * g->n; i++)
        g->iq[i] *= k;
}

static int finish(struct at_gen *g, struct at_signal_truth *t)
{
    size_t n_on = count_on(g, t);
    double scale = g->rate_hz / g->fs, lo, hi;
    to_unit_power(g, n_on);
    t->bandwidth_hz = g->bw_hz * scale;
    t->line = g->line;
    memcpy(t->sidebands, g->sidebands, sizeof t->sidebands);
    t->center_hz = g->center_hz * scale;
    if (g->edges == AT_EDGES_SAID)
        return 0;
    int rc = measure_edges(g, n_on, scale, &lo, &hi);
    if (rc == 0) {
        t->bandwidth_hz = hi - lo;
        t->center_hz = (hi + lo) / 2;
    }
    return rc < 0 ? rc : 0;
}

static int find_variant(const struct at_family *f, const struct at_signal_spec *spec,
                        struct at_rng *rng, size_t *ret)
{
    if (!spec->variant[0]) {
        *ret = (size_t)at_rng_int(rng, 0, (int)f->count - 1);
        return 0;
    }
    for (size_t i = 0; i < f->count; i++) {
        if (!strncmp(f->at(i)->name, spec->variant, sizeof spec->variant)) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Whether nothing of it is on in [from, to). */
static int is_silent(const struct at_gen *g, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if ((!g->marked || g->on[i]) && (g->iq[2 * i] != 0 || g->iq[2 * i + 1] != 0))
            return 0;
    }
    return 1;
}

/* Rate over bandwidth that a class is rendered at, at least: what is keyed hard has skirts. */
static double spare_of(int class_id)
{
    static const double spare[AT_CLASS_COUNT] = {
        [AT_CLASS_CARRIER] = 32, [AT_CLASS_CW] = 32,  [AT_CLASS_OOK] = 16, [AT_CLASS_AM] = 5,
        [AT_CLASS_SSB] = 4,      [AT_CLASS_NFM] = 4,  [AT_CLASS_WFM] = 5,  [AT_CLASS_FSK2] = 16,
        [AT_CLASS_GFSK] = 5,     [AT_CLASS_FSK4] = 5, [AT_CLASS_AFSK] = 5, [AT_CLASS_PSK_QAM] = 4,
        [AT_CLASS_OFDM] = 4,     [AT_CLASS_CSS] = 6,  [AT_CLASS_PPM] = 12, [AT_CLASS_CHIRP] = 10};
    return class_id < AT_CLASS_COUNT ? spare[class_id] : 16;
}

#define LEAST_SAMPLES 2048 /* rendered at a lower rate */
#define MOST_STEPS    8

/* How often the rate is halved. */
static unsigned steps_of(const struct at_gen *g, int class_id)
{
    double spare = spare_of(class_id), bw = g->bw_hz * g->full_hz / g->fs;
    unsigned steps = 0;
    while (spare > 0 && !g->whole && steps < MOST_STEPS && g->n >> (steps + 1) >= LEAST_SAMPLES &&
           ldexp(g->full_hz, -(int)steps - 1) >= spare * bw)
        steps++;
    return steps;
}

/* Where a signal is rendered, and how. */
struct canvas {
    float *iq, *half; /* as in at_gen_render(); half NULL: always at the full rate */
    uint8_t *marks;
    unsigned steps;
    size_t lead; /* samples of the full rate before the window */
};

/* One attempt, from *rng on: asks what its bandwidth is, then renders at the rate that this needs.
 */
static int attempt(struct at_gen *g, const struct at_family *f, size_t pick,
                   const struct at_signal_spec *spec, struct canvas *c)
{
    struct at_rng before = g->rng;
    g->rate_hz = g->full_hz = spec->rate_hz;
    g->len_s = (double)spec->n / spec->rate_hz;
    g->n = spec->n;
    g->iq = c->iq;
    g->on = c->marks;
    g->marked = g->line = g->whole = 0;
    g->center_hz = 0;
    c->steps = 0;
    c->lead = 0;
    if (c->half) {
        g->probe = 1;
        g->n = 1;
        int rc = f->render(g, pick);
        g->probe = 0;
        g->n = spec->n;
        if (rc != -ECANCELED)
            return rc;
        g->rng = before;
        c->steps = steps_of(g, spec->class_id);
        g->n = at_raise_needs(spec->n, c->steps, &c->lead);
        g->rate_hz = ldexp(spec->rate_hz, -(int)c->steps);
        g->iq = c->steps % 2 ? c->half : c->iq;
    }
    memset(g->iq, 0, 2 * g->n * sizeof *g->iq);
    memset(g->on, 0, g->n);
    return f->render(g, pick);
}

static int render(const struct at_signal_spec *spec, struct canvas *c, struct at_gen *g,
                  struct at_signal_truth *t)
{
    size_t pick;
    const struct at_family *f = family_of(spec->class_id);
    if (!f || !(spec->rate_hz > 0) || spec->n == 0 || !(spec->bandwidth_hz >= 0))
        return -EINVAL;
    *g = (struct at_gen){.want_hz = spec->bandwidth_hz, .clean = spec->clean};
    at_rng_seed(&g->rng, spec->seed);
    if (find_variant(f, spec, &g->rng, &pick) < 0)
        return -EINVAL;
    *t = (struct at_signal_truth){.class_id = spec->class_id};
    snprintf(t->variant, sizeof t->variant, "%s", f->at(pick)->name);
    int rc = 0;
    for (int tries = 0; tries < 32; tries++) { /* until something falls into the window */
        rc = attempt(g, f, pick, spec, c);
        size_t from = (c->lead >> c->steps) + 1, to = from + (spec->n >> c->steps) - 1;
        int again = rc == 0 ? spec->class_id != AT_CLASS_NOISE &&
                                  is_silent(g, c->steps ? from : 0, c->steps ? to : g->n)
                            : rc == -EINVAL && spec->bandwidth_hz <= 0 && tries < 12;
        if (!again)
            break;
    }
    return rc == 0 ? finish(g, t) : rc;
}

int at_signal_render_marked(const struct at_signal_spec *spec, float *iq, uint8_t *on,
                            struct at_signal_truth *ret)
{
    struct canvas c = {.iq = iq, .marks = on};
    struct at_gen g;
    struct at_signal_truth t;
    int rc = render(spec, &c, &g, &t);
    if (rc == 0 && ret)
        *ret = t;
    return rc;
}

/* A sample of the low rate, in those of the window. */
static size_t raised(const struct canvas *c, size_t at, size_t n)
{
    at <<= c->steps;
    at = at > c->lead ? at - c->lead : 0;
    return at < n ? at : n;
}

int at_gen_render(const struct at_signal_spec *spec, float *iq, uint8_t *on, float *half,
                  uint8_t *marks, struct at_signal_truth *ret)
{
    struct canvas c = {.iq = iq, .half = half, .marks = marks};
    struct at_gen g;
    struct at_signal_truth t;
    int rc = render(spec, &c, &g, &t);
    if (rc < 0)
        return rc;
    at_raise_run(g.iq, spec->n, c.steps, g.iq == iq ? half : iq);
    for (size_t i = 0; on && i < spec->n; i++)
        on[i] = marks[(i + c.lead) >> c.steps];
    t.first = raised(&c, t.first, spec->n);
    t.last = raised(&c, t.last, spec->n);
    t.burst_first = raised(&c, t.burst_first, spec->n);
    t.burst_last = raised(&c, t.burst_last, spec->n);
    *ret = t;
    return 0;
}

int at_signal_render(const struct at_signal_spec *spec, float *iq, struct at_signal_truth *ret)
{
    if (spec->n == 0)
        return -EINVAL;
    uint8_t *on = at_mem_alloc(NULL, AT_MEM_OTHER, spec->n);
    if (!on)
        return -ENOMEM;
    int rc = at_signal_render_marked(spec, iq, on, ret);
    at_mem_free(NULL, on);
    return rc;
}
