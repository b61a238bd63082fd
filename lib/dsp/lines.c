/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/lines.h"

#include <math.h>
#include <string.h>

#include "lib/dsp/image.h"
#include "lib/dsp/measure.h"

#define OVER      31.6f  /* 15 dB over the wide signal's own spectrum */
#define UNIQUE    4.0f   /* 6 dB over anything else beside it */
#define LEAST     4.0f   /* the wide one stands 6 dB over the floor */
#define WINDOW    64     /* bins to either side that tell its level */
#define REACH     12     /* bins from a line's peak to them */
#define ROUGH     5.0f   /* times their mean: a carrier of its own structure */
#define MAY_BE    10     /* one in so many is */
#define EVEN      2.0f   /* both sides are as strong */
#define FALLS     8.0f   /* 9 dB: there the wide signal ends */
#define STEP      16     /* bins, by which its ends are looked for */
#define WIDE      160    /* bins, at least */
#define MIDDLE    0.03   /* of its width: a carrier, or what a transmitter leaks there */
#define EDGE      0.1    /* and so near its ends: a vestigial carrier */
#define MOST      3      /* more are a comb: pilots */
#define STEADY    4.0f   /* no row of a line stands so much over their mean */
#define ROW       2.5    /* 4 dB: nor one of the wide signal more or less */
#define STRONG    300.0f /* 25 dB: it would hide the wide one while it is looked at */
#define COHERENT  0.5
#define LOBE      4 /* bins to either side of a line that its main lobe and first side lobes fill */
#define LINE_BINS 12 /* as narrow as a line may be taken for */
#define WIDER     4.0

/* A line's place in bins [lo, hi), and the wide signal's [a, b) and level. */
struct place {
    unsigned peak, lo, hi, a, b;
    float level;
};

/* Level of bins [from, to). False: no signal, or not flat. */
static bool plateau(const float *mean, unsigned from, unsigned to, float *ret_level,
                    float *ret_most)
{
    float sum = 0, most = 0;
    unsigned rough = 0;
    for (unsigned k = from; k < to; k++) {
        sum += mean[k];
        most = mean[k] > most ? mean[k] : most;
    }
    *ret_level = sum / (float)(to - from);
    *ret_most = most > *ret_most ? most : *ret_most;
    for (unsigned k = from; k < to; k++)
        rough += mean[k] > ROUGH * *ret_level;
    return *ret_level > LEAST && rough * MAY_BE < to - from;
}

/* No row of what lies on both sides of a line has far less or more than the others: it neither
 * comes nor goes. */
static bool stays(const struct at_map *m, unsigned peak)
{
    double all = 0, least = INFINITY, most = 0;
    for (size_t t = 0; t < m->t; t++) {
        const float *row = m->rows + t * m->n;
        double sum = 0;
        for (unsigned k = REACH + 1; k <= REACH + WINDOW; k++)
            sum += (double)row[peak - k] + (double)row[peak + k];
        all += sum;
        least = fmin(least, sum);
        most = fmax(most, sum);
    }
    double mean = all / (double)m->t;
    return least * ROW > mean && most < ROW * mean;
}

/* Half of the bins from `from` on stand as high as the wide signal. */
static bool goes_on(const float *mean, unsigned from, float level)
{
    unsigned n = 0;
    for (unsigned k = from; k < from + STEP; k++)
        n += mean[k] > level / FALLS && mean[k] < level * FALLS;
    return 2 * n > STEP;
}

static bool find_ends(const float *mean, unsigned n, struct place *p)
{
    p->a = p->peak - REACH;
    p->b = p->peak + REACH;
    while (p->a >= STEP && goes_on(mean, p->a - STEP, p->level))
        p->a -= STEP;
    while (p->b + STEP <= n && goes_on(mean, p->b, p->level))
        p->b += STEP;
    double width = p->b - p->a, at = p->peak - p->a;
    return width >= WIDE && fabs(at - width / 2) > fmax(MIDDLE * width, STEP) &&
           at > EDGE * width && at < (1 - EDGE) * width;
}

static bool find_line(const struct at_map *m, const float *mean, unsigned peak, struct place *p)
{
    float below, above, most = 0;
    if (!plateau(mean, peak - REACH - WINDOW, peak - REACH, &below, &most) ||
        !plateau(mean, peak + REACH + 1, peak + REACH + 1 + WINDOW, &above, &most))
        return false;
    *p = (struct place){.peak = peak, .lo = peak, .hi = peak + 1, .level = (below + above) / 2};
    if (below > EVEN * above || above > EVEN * below || mean[peak] < OVER * p->level ||
        mean[peak] < UNIQUE * most || m->top[peak] * (float)m->t > STEADY * m->sum[peak])
        return false;
    while (p->lo > peak - REACH && mean[p->lo - 1] > ROUGH * p->level)
        p->lo--;
    while (p->hi < peak + REACH && mean[p->hi] > ROUGH * p->level)
        p->hi++;
    return p->lo > peak - REACH && p->hi < peak + REACH && stays(m, peak) &&
           find_ends(mean, m->n, p);
}

/* All lines on the same wide signal, and few enough. */
static bool is_comb(const struct place *p, size_t n, size_t i)
{
    size_t beside = 0;
    for (size_t j = 0; j < n; j++)
        beside += p[j].peak >= p[i].a && p[j].peak < p[i].b;
    return beside > MOST;
}

static void fill(float *level, unsigned n, unsigned lo, unsigned hi, unsigned beside)
{
    unsigned from = lo > beside ? lo - beside : 0, to = hi + beside < n ? hi + beside : n;
    float sum = 0;
    for (unsigned k = from; k < to; k++)
        sum += k >= lo && k < hi ? 0 : level[k];
    unsigned count = (to - from) - (hi - lo);
    for (unsigned k = lo; k < hi && count; k++)
        level[k] = fminf(level[k], sum / (float)count);
}

size_t at_lines_lift(const struct at_map *m, double rate_hz, const float *mean, float *level,
                     struct at_region *out)
{
    struct place p[AT_LINES_MAX];
    size_t n = 0, left = 0;
    double bin = rate_hz / m->n;
    for (unsigned k = REACH + WINDOW; k + REACH + WINDOW < m->n && n < AT_LINES_MAX; k++)
        if (mean[k] > OVER * LEAST && mean[k] >= mean[k - 1] && mean[k] > mean[k + 1] &&
            mean[k] > UNIQUE * fmaxf(mean[k - REACH], mean[k + REACH]) &&
            find_line(m, mean, k, &p[n]))
            n++;
    for (size_t i = 0; i < n; i++) {
        if (is_comb(p, n, i))
            continue;
        out[left++] = (struct at_region){.f_lo_hz = (p[i].lo - 0.5 * m->n - 0.5) * bin,
                                         .f_hi_hz = (p[i].hi - 0.5 * m->n - 0.5) * bin,
                                         .peak_hz = ((double)p[i].peak - 0.5 * m->n) * bin,
                                         .peak = level[p[i].peak],
                                         .over = mean[p[i].peak] / p[i].level,
                                         .is_long = true};
        fill(level, m->n, p[i].lo, p[i].hi, REACH);
    }
    return left;
}

bool at_lines_differ(const struct at_tracker *t, double a_hz, double b_hz)
{
    return fmax(a_hz, b_hz) > WIDER * fmax(fmin(a_hz, b_hz), LINE_BINS * t->rate_hz / t->n_slow);
}

bool at_lines_modulated(const struct at_epoch *e, const struct at_region *line)
{
    struct at_mirror m = {0};
    double lo = line->peak_hz + REACH * e->rate_hz / e->slow.n;
    if (!e->mirror || !e->slow.t)
        return false;
    e->mirror(e->ctx, true, line->peak_hz, lo, lo + WINDOW * e->rate_hz / e->slow.n, &m);
    return at_image_coherence(&m) > COHERENT;
}

/* Power of a line in this epoch, main lobe and all, over what it stands on. */
static double line_power(const struct at_epoch *e, const struct at_track *line)
{
    double bin = e->rate_hz / e->slow.n, lo = line->e.f_lo_hz - LOBE * bin,
           hi = line->e.f_hi_hz + LOBE * bin, width = hi - lo + bin;
    double all = at_measure_power(&e->slow, e->rate_hz, lo, hi),
           beside = at_measure_power(&e->slow, e->rate_hz, lo - width, lo - bin) +
                    at_measure_power(&e->slow, e->rate_hz, hi + bin, hi + width);
    return fmax(all - beside / 2, 0);
}

double at_lines_on(const struct at_tracker *t, const struct at_epoch *e, struct at_track *k)
{
    double power = 0;
    k->n_lines = 0;
    for (unsigned i = 0; i < t->n_tracks && k->n_lines < AT_TRACK_LINES; i++) {
        const struct at_track *j = t->tracks[i];
        double lo = j->e.f_lo_hz, hi = j->e.f_hi_hz;
        if (j == k || !(j->over > 0) || !(j->sure || j->over > STRONG) || j->dropped ||
            lo < k->e.f_lo_hz || hi > k->e.f_hi_hz ||
            !at_lines_differ(t, hi - lo, k->e.f_hi_hz - k->e.f_lo_hz))
            continue;
        k->lines[k->n_lines][0] = lo;
        k->lines[k->n_lines++][1] = hi;
        power += e->slow.t ? line_power(e, j) : j->power_s / fmax(j->on_s, 1e-12);
    }
    return power;
}

void at_lines_off(const struct at_track *k, unsigned n, double rate_hz, float *own)
{
    for (unsigned i = 0; i < k->n_lines; i++) {
        double mid = (k->lines[i][0] + k->lines[i][1]) / 2 * n / rate_hz + 0.5 * n + 0.5,
               half = (k->lines[i][1] - k->lines[i][0]) / 2 * n / rate_hz + LOBE;
        unsigned lo = (unsigned)fmax(mid - half, 0), hi = (unsigned)fmin(fmax(mid + half, 0), n);
        if (lo < hi)
            fill(own, n, lo, hi, REACH);
    }
}

static void forget(struct at_spectra *s)
{
    memset(s->sum, 0, s->n * sizeof(float));
    memset(s->off, 0, s->n * sizeof(float));
    memset(s->hold, 0, s->n * sizeof(float));
    if (s->cut)
        memset(s->cut, 0, s->n * sizeof(float));
    s->rows = s->rows_off = s->rows_full = s->rows_cut = 0;
}

void at_lines_alone(struct at_track *k)
{
    forget(&k->fast);
    forget(&k->slow);
    k->over = 0;
}
