/* Renders a scene, pushes it through a band and compares. SPDX-License-Identifier: GPL-3.0-or-later
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/dsp/plan.h"
#include "tests/scenes/scenes.h"

#define HANG_S      0.5  /* the band's own */
#define SLACK_S     0.05 /* a silence about as long as the hang time may part or not */
#define MOSTLY_ON   0.95
#define CLEAN_FLOOR 1e-12 /* per Hz: lib/synth's level where a scene has no noise */

double scene_median(double *x, size_t n)
{
    for (size_t i = 1; i < n; i++) /* few of them */
        for (size_t j = i; j > 0 && x[j] < x[j - 1]; j--) {
            double t = x[j];
            x[j] = x[j - 1];
            x[j - 1] = t;
        }
    return n ? x[n / 2] : NAN;
}

struct at_emitter *scene_add(struct at_scene *s, int class_id, const char *variant,
                             double offset_hz, double bandwidth_hz, double snr_db, uint64_t seed)
{
    struct at_emitter *e = &s->emitters[s->n_emitters++];
    *e = (struct at_emitter){.offset_hz = offset_hz, .snr_db = snr_db};
    e->signal =
        (struct at_signal_spec){.class_id = class_id, .seed = seed, .bandwidth_hz = bandwidth_hz};
    snprintf(e->signal.variant, sizeof e->signal.variant, "%s", variant);
    return e;
}

/* ---- the truth's edges ---- */

static bool keyed(int class_id)
{
    switch (class_id) {
    case AT_CLASS_CW:
    case AT_CLASS_OOK:
    case AT_CLASS_SSB:
    case AT_CLASS_NFM:
    case AT_CLASS_FSK2:
    case AT_CLASS_GFSK:
    case AT_CLASS_FSK4:
    case AT_CLASS_AFSK:
    case AT_CLASS_PPM:
    case AT_CLASS_CHIRP:
    case AT_CLASS_CSS:
        return true;
    default:
        return false;
    }
}

/* Spectrum (n), rising, power per Hz over the noise's: mean or highest of the rows that are on. */
static double clean_spectrum(const float *iq, size_t from, size_t to, unsigned n, double rate_hz,
                             bool hold, float *out)
{
    const struct at_plan *plan = at_plan_get(n, AT_PLAN_FORWARD);
    float *in = at_mem_array(NULL, AT_MEM_OTHER, n * 2, sizeof *in),
          *sp = at_mem_array(NULL, AT_MEM_OTHER, n * 2, sizeof *sp);
    double scale = 1 / (rate_hz * n * 0.375) / CLEAN_FLOOR, rows = 0, strongest = 0;
    memset(out, 0, n * sizeof *out);
    for (int pass = 0; pass < 2; pass++)
        for (size_t at = from; at + n <= to; at += n / 4) {
            double p = 0;
            for (unsigned i = 0; i < n; i++) {
                float w = (float)(0.5 - 0.5 * cos(2 * M_PI * (i + 0.5) / n));
                in[2 * i] = iq[2 * (at + i)] * w;
                in[2 * i + 1] = iq[2 * (at + i) + 1] * w;
                p += (double)in[2 * i] * in[2 * i] + (double)in[2 * i + 1] * in[2 * i + 1];
            }
            if (pass == 0) {
                strongest = fmax(strongest, p);
                continue;
            }
            if (p < 0.1 * strongest)
                continue;
            at_plan_run(plan, in, sp);
            rows++;
            for (unsigned k = 0; k < n; k++) {
                const float *c = sp + 2 * ((k + n / 2) & (n - 1));
                float v = (float)(scale * (c[0] * c[0] + c[1] * c[1]));
                out[k] = !hold ? out[k] + v : v > out[k] ? v : out[k];
            }
        }
    for (unsigned k = 0; k < n && !hold && rows > 0; k++)
        out[k] = (float)(out[k] / rows);
    at_mem_free(NULL, in);
    at_mem_free(NULL, sp);
    return rows;
}

/* Edges as DESIGN.md section 1 has them, of one emitter alone. */
static int exact_edges(const struct at_scene *s, unsigned i, float *iq, struct truth *t)
{
    static struct at_scene alone; /* large */
    alone = *s;
    alone.channel = (struct at_channel_spec){0};
    alone.emitters[0] = s->emitters[i];
    alone.n_emitters = 1;
    int rc = at_scene_render(&alone, 0, iq, NULL);
    if (rc < 0)
        return rc;
    double rate = s->rate_hz, room = (t->end - t->start) / 4;
    unsigned n = 64, most = rate >= 1e6 ? (unsigned)(rate * 0.005) : (unsigned)(rate * 0.01);
    most = most < 256 ? 256 : most;
    while (n * 2 <= room && n * 2 <= most)
        n *= 2;
    float *spec = at_mem_array(NULL, AT_MEM_OTHER, n, sizeof *spec);
    if (!spec)
        return -ENOMEM;
    clean_spectrum(iq, (size_t)t->start, (size_t)t->end, n, rate,
                   keyed(s->emitters[i].signal.class_id), spec);
    float peak = 0;
    for (unsigned k = 0; k < n; k++)
        peak = fmaxf(peak, spec[k]);
    float least = fmaxf(1, peak * 1e-3f);
    unsigned lo = n, hi = 0;
    for (unsigned k = 0; k < n; k++)
        if (spec[k] >= least) {
            lo = k < lo ? k : lo;
            hi = k;
        }
    at_mem_free(NULL, spec);
    t->bin_hz = rate / n;
    if (lo > hi)
        return 0;
    double off = fmin(t->bin_hz, (hi - lo) * t->bin_hz / 2);
    t->f_lo_hz = ((double)lo - 0.5 * n - 0.5) * t->bin_hz + off;
    t->f_hi_hz = ((double)hi - 0.5 * n + 0.5) * t->bin_hz - off;
    return 0;
}

/* How often one emitter was on: silences longer than `pause` samples part. 0 or -ENOMEM. */
static int transmissions(const struct at_scene *s, unsigned i, double pause, float *iq,
                         unsigned *ret)
{
    const struct at_emitter *e = &s->emitters[i];
    size_t n = (size_t)(s->rate_hz * s->duration_s), first = (size_t)(e->start_s * s->rate_hz),
           len = e->duration_s > 0 ? (size_t)(e->duration_s * s->rate_hz) : n, silent = 0;
    struct at_signal_spec spec = e->signal;
    struct at_signal_truth t;
    spec.rate_hz = s->rate_hz;
    spec.n = len > n - first ? n - first : len;
    uint8_t *on = at_mem_alloc(NULL, AT_MEM_OTHER, spec.n);
    int rc = on ? at_signal_render_marked(&spec, iq, on, &t) : -ENOMEM;
    *ret = 0;
    for (size_t k = 0; rc == 0 && k < spec.n; k++) {
        *ret += on[k] && (*ret == 0 || (double)silent > pause);
        silent = on[k] ? 0 : silent + 1;
    }
    at_mem_free(NULL, on);
    return rc;
}

/* ---- the band's answers ---- */

static void on_opened(void *ctx, const struct at_emission *e)
{
}

static size_t on_room(void *ctx, uint64_t id)
{
    return SIZE_MAX;
}

static void on_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                      unsigned flags, uint64_t index)
{
}

static void on_closed(void *ctx, const struct at_emission *e)
{
    struct outcome *o = ctx;
    if (o->n_found < FOUND_MAX)
        o->found[o->n_found++] = *e;
}

static void on_row(void *ctx, const struct at_row *row)
{
}

struct at_band *scene_band(double rate_hz, double hang_s, struct outcome *o)
{
    const struct at_band_sink sink = {o,         on_opened, on_room, on_tokens,
                                      on_opened, on_closed, on_row};
    const struct at_band_config config = {.rate_hz = rate_hz, .hang_s = hang_s};
    struct at_band *b = NULL;
    return at_band_create(NULL, &config, &sink, NULL, &b) == 0 ? b : NULL;
}

static int run_band(const struct at_scene *s, const struct play *p, const float *iq, size_t n,
                    struct outcome *o)
{
    struct at_band *b = scene_band(s->rate_hz, p->hang_s, o);
    int rc = b ? 0 : -ENOMEM;
    size_t from = (size_t)(p->cut_s * s->rate_hz);
    int64_t began = at_clock_thread_cpu_ns();
    if (rc == 0)
        rc = at_band_push(b, iq + 2 * from, n - from, from);
    if (rc == 0)
        rc = at_band_flush(b);
    o->cpu_s = (double)(at_clock_thread_cpu_ns() - began) / AT_NS_PER_S;
    o->seconds = (double)(n - from) / s->rate_hz;
    if (b)
        at_band_get_stats(b, &o->stats);
    at_band_destroy(b);
    return rc;
}

static double both(double alo, double ahi, double blo, double bhi)
{
    return fmax(fmin(ahi, bhi) - fmax(alo, blo), 0);
}

/* Which truths an emission holds: at least half of one's band at the same time; or it is a piece
 * of one: its own centre lies within. */
static void judge(const struct at_scene *s, struct outcome *o)
{
    double best[SCENE_MAX] = {0}, slack_s = 0.002 * s->rate_hz;
    for (unsigned j = 0; j < o->n_found; j++) {
        const struct at_emission *e = &o->found[j];
        unsigned held = 0, parts = 0;
        double width = e->f_hi_hz - e->f_lo_hz, mid = (e->f_lo_hz + e->f_hi_hz) / 2;
        for (unsigned i = 0; i < o->n; i++) {
            struct truth *t = &o->t[i];
            double w = t->f_hi_hz - t->f_lo_hz, slack = fmax(0.1 * w, 2 * t->bin_hz);
            if (both((double)e->start, (double)e->end, t->start - slack_s, t->end + slack_s) <= 0)
                continue;
            double in = both(e->f_lo_hz, e->f_hi_hz, t->f_lo_hz - slack, t->f_hi_hz + slack);
            bool holds = in >= 0.5 * (w + 2 * slack);
            bool part = mid > t->f_lo_hz - slack && mid < t->f_hi_hz + slack;
            if (!holds && !part)
                continue;
            double like = in / fmax(width, w) + 1e-9;
            held += holds;
            parts++;
            t->pieces++;
            if (like > best[i]) {
                best[i] = like;
                t->best = j;
            }
        }
        o->n_merged += held > 1;
        o->is_false[j] = parts == 0;
        o->n_false += parts == 0;
    }
}

static void print(const struct at_scene *s, const struct outcome *o)
{
    double ms = 1e3 / s->rate_hz;
    for (unsigned i = 0; i < o->n; i++)
        printf("  sent  %-14s %9.2f..%9.2f kHz %8.2f..%8.2f ms, %u sent, %u found\n",
               s->emitters[i].signal.variant, o->t[i].f_lo_hz / 1e3, o->t[i].f_hi_hz / 1e3,
               o->t[i].start * ms, o->t[i].end * ms, o->t[i].sent_most, o->t[i].pieces);
    for (unsigned j = 0; j < o->n_found; j++) {
        const struct at_emission *e = &o->found[j];
        printf("  found %-14s %9.2f..%9.2f kHz %8.2f..%8.2f ms, %.1f dB, %u bursts, duty %.2f\n",
               o->is_false[j] ? "(false)" : "", e->f_lo_hz / 1e3, e->f_hi_hz / 1e3,
               (double)e->start * ms, (double)e->end * ms, (double)e->snr_db, e->bursts,
               (double)e->duty);
    }
}

int scene_play(const struct at_scene *s, const struct play *p, struct outcome *o)
{
    static const struct play plain;
    size_t n = (size_t)(s->rate_hz * s->duration_s);
    float *iq = at_mem_array(NULL, AT_MEM_OTHER, n * 2, sizeof *iq);
    struct at_signal_truth raw[SCENE_MAX] = {0};
    p = p ? p : &plain;
    double hang_s = p->hang_s > 0 ? p->hang_s : HANG_S;
    *o = (struct outcome){.n = (unsigned)s->n_emitters};
    int rc = iq ? at_scene_render(s, 0, iq, raw) : -ENOMEM;
    if (rc == 0)
        rc = run_band(s, p, iq, n, o);
    for (unsigned i = 0; rc == 0 && i < o->n; i++) {
        o->t[i] = (struct truth){.f_lo_hz = s->emitters[i].offset_hz - raw[i].bandwidth_hz / 2,
                                 .f_hi_hz = s->emitters[i].offset_hz + raw[i].bandwidth_hz / 2,
                                 .start = (double)raw[i].first,
                                 .end = (double)raw[i].last,
                                 .bin_hz = s->rate_hz / 4096};
        o->t[i].sent_least = o->t[i].sent_most = 1;
        if (raw[i].on_share < MOSTLY_ON) {
            rc = transmissions(s, i, (hang_s + SLACK_S) * s->rate_hz, iq, &o->t[i].sent_least);
            rc = rc ? rc
                    : transmissions(s, i, (hang_s - SLACK_S) * s->rate_hz, iq, &o->t[i].sent_most);
        }
        if (rc == 0 && p->exact)
            rc = exact_edges(s, i, iq, &o->t[i]);
    }
    at_mem_free(NULL, iq);
    if (rc == 0)
        judge(s, o);
    if (rc == 0 && getenv("SCENE_VERBOSE"))
        print(s, o);
    return rc;
}
