/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/measure.h"

#include <math.h>
#include <string.h>

#include "lib/dsp/floor.h"
#include "lib/dsp/loops.h"

#define HANN_SHARED 1.95  /* bins that move together through Hann */
#define ON_P        1e-5  /* chance that noise alone makes a row "on" */
#define ON_SHARE    0.03f /* of the epoch's strong rows: 15 dB of fading, beyond it is off */
#define NOISE_ONLY  0.7   /* of quiet: as high as the upper rows of noise alone get */
#define FEW         25    /* a brief burst: one row in so many at most */
#define LONG_ON_P   1e-3
#define CLEAR       4.0  /* times what noise may do: a short row shows it for sure */
#define SEEN        1.5f /* times what noise may do in a mean of rows: that mean shows it */
#define HALF        0.4f /* of the level: where half of a mean's rows are on */
#define BESIDE      0.5  /* of what a line's own bin holds stands in the two beside it (Hann) */
#define LEAK        4.0 /* times what the long spectra have there: the rest leaks in from neighbours */
#define RUN_LEVEL   0.5f /* of the level of two while on */
#define RUN_ROWS    12   /* for which both together are on at least */
#define ROWS        8    /* summed together */
#define SOME        256  /* values on the stack */
#define LEAD        0.4f /* of their sum, by which one stands above the other */
#define TURNS       4
#define BOTH_ON     0.45f /* of the level: no row in which FSK changes over shows that of both */
#define SELDOM      10    /* one row in so many at most */
#define SLOWER      4     /* rows of which means are looked at, too */
#define STILL       0.05  /* variance over the squared mean of what is steady */
#define LEAKS       4.0   /* variances of what is more than another's leak differ by less */
#define ALIKE       0.9   /* correlation of what comes and goes together */
#define AGAINST     0.6
#define COLUMNS     2048 /* of spectra that are added at once */
#define ADDED       64   /* rows that are */
#define EDGE_ROWS   2    /* to either side of where something goes on or off: they show it */
#define HARDLY      0.2f /* of a row: on for less it is neither on nor off */
#define LOOKS_A_ROW 0.9  /* rows overlap by half: what each tells anew */

void at_measure_bins(const struct at_map *m, double rate_hz, double lo_hz, double hi_hz,
                     unsigned *ret_lo, unsigned *ret_hi)
{
    double bin = rate_hz / m->n;
    double lo = floor(lo_hz / bin + 0.5 * m->n + 0.5), hi = ceil(hi_hz / bin + 0.5 * m->n + 0.5);
    lo = fmin(fmax(lo, 0), m->n - 1);
    *ret_lo = (unsigned)lo;
    *ret_hi = (unsigned)fmin(fmax(hi, lo + 1), m->n);
}

static double noise_between(const struct at_map *m, unsigned lo, unsigned hi)
{
    double s = 0;
    for (unsigned k = lo; k < hi; k++)
        s += m->floor[k];
    return s;
}

/* Sums of bins lo to hi of rows t on, up to ROWS of them: as each sum waits for itself. Returns how
 * many. */
static size_t row_sums(const struct at_map *m, unsigned lo, unsigned hi, size_t t, float *s)
{
    const float *row = m->rows + t * m->n;
    size_t some = m->t - t < ROWS ? m->t - t : ROWS;
    memset(s, 0, ROWS * sizeof *s);
    if (some == ROWS)
        for (unsigned k = lo; k < hi; k++)
            for (size_t i = 0; i < ROWS; i++)
                s[i] += row[i * m->n + k];
    else
        for (size_t i = 0; i < some; i++)
            for (unsigned k = lo; k < hi; k++)
                s[i] += row[i * m->n + k];
    return some;
}

/* Per row: power between lo and hi in full-scale^2. */
static void row_power(const struct at_map *m, double rate_hz, unsigned lo, unsigned hi, float *out)
{
    float bin = (float)(rate_hz / m->n), s[ROWS];
    for (size_t t = 0, some; t < m->t; t += some) {
        some = row_sums(m, lo, hi, t, s);
        for (size_t i = 0; i < some; i++)
            out[t + i] = s[i] * bin;
    }
}

/* One more bin of each row; returns its noise. */
static double add_bin(const struct at_map *m, double rate_hz, unsigned k, float *out)
{
    float bin = (float)(rate_hz / m->n);
    for (size_t t = 0; t < m->t; t++)
        out[t] += m->rows[t * m->n + k] * bin;
    return m->floor[k] * rate_hz / m->n;
}

double at_measure_power(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double s = 0;
    for (unsigned k = lo; k < hi; k++)
        s += m->sum[k];
    s = m->t ? s / (double)m->t - noise_between(m, lo, hi) : 0;
    return fmax(s, 0) * rate_hz / m->n;
}

/* Variances of two envelopes over their squared means, their correlation, and the ratio of the
 * variances themselves. */
struct moves {
    double a, b, together, ratio;
};

static struct moves envelopes(const float *a, const float *b, size_t t)
{
    double sums[5], n = (double)t;
    at_loops_best()->pairs(a, b, t, sums);
    double sa = sums[0], sb = sums[1], va = sums[2] - sa * sa / n, vb = sums[3] - sb * sb / n;
    struct moves m = {.a = sa > 0 ? va * n / (sa * sa) : 0, .b = sb > 0 ? vb * n / (sb * sb) : 0};
    m.ratio = vb > 0 ? va / vb : 0;
    m.together = va > 0 && vb > 0 ? (sums[4] - sa * sb / n) / sqrt(va * vb) : 0;
    return m;
}

double at_measure_alike(const struct at_map *m, double rate_hz, const struct at_region *x,
                        const struct at_region *y, float *a, float *b)
{
    unsigned xlo, xhi, ylo, yhi;
    at_measure_bins(m, rate_hz, x->f_lo_hz, x->f_hi_hz, &xlo, &xhi);
    at_measure_bins(m, rate_hz, y->f_lo_hz, y->f_hi_hz, &ylo, &yhi);
    if (m->t < 8)
        return 0;
    row_power(m, rate_hz, xlo, xhi, a);
    row_power(m, rate_hz, ylo, yhi, b);
    return envelopes(a, b, m->t).together;
}

/* Level of a + b while on: mean of what is above the mean. */
static float level_of_both(const float *a, const float *b, size_t t)
{
    const struct at_loops *l = at_loops_best();
    float level = 0;
    for (int pass = 0; pass < 2; pass++) {
        double s = 0;
        size_t n = 0;
        for (size_t i = 0; i < t; i += SOME) {
            size_t m = t - i < SOME ? t - i : SOME, above;
            float both[SOME];
            for (size_t k = 0; k < m; k++)
                both[k] = a[i + k] + b[i + k];
            s += l->sum_from(both, m, level, &above);
            n += above;
        }
        level = n ? (float)(s / (double)n) : level;
    }
    return level;
}

/* While two together are on. */
struct turns {
    size_t all;     /* times that another one leads */
    size_t on;      /* rows */
    size_t turning; /* of them, in runs in which the lead changes more than once */
    size_t both;    /* of these, with both on */
    struct moves m; /* within these runs: sums of squares and products about their means */
};

/* One run of rows, n of them. */
static void add_run(const float *a, const float *b, size_t n, float level, struct turns *r)
{
    size_t turns = 0, both = 0;
    float before = 0;
    r->on += n;
    if (n < RUN_ROWS)
        return;
    for (size_t k = 0; k < n; k++) {
        float lead = (a[k] - b[k]) / (a[k] + b[k]);
        both += (a[k] < b[k] ? a[k] : b[k]) > BOTH_ON * level;
        if (fabsf(lead) < LEAD)
            continue;
        turns += lead * before < 0;
        before = lead;
    }
    if (turns < 2)
        return;
    double s[5];
    at_loops_best()->pairs(a, b, n, s);
    r->m.a += s[2] - s[0] * s[0] / (double)n;
    r->m.b += s[3] - s[1] * s[1] / (double)n;
    r->m.together += s[4] - s[0] * s[1] / (double)n;
    r->turning += n;
    r->both += both;
    r->all += turns;
}

/* Do they, nearly whenever they are on, take turns, go against each other and hardly ever stand
 * together? So do the two lines of FSK in a burst, which come and go together. */
static bool change_hands(const float *a, const float *b, size_t t)
{
    float level = level_of_both(a, b, t);
    struct turns r = {0};
    for (size_t i = 0, from = 0; i <= t; i++) {
        if (i < t && a[i] + b[i] > RUN_LEVEL * level)
            continue;
        add_run(a + from, b + from, i - from, level, &r);
        from = i + 1;
    }
    return r.all >= TURNS && 4 * r.turning >= 3 * r.on && r.both * SELDOM < r.turning &&
           r.m.together < 0 && r.m.together * r.m.together > AGAINST * AGAINST * r.m.a * r.m.b;
}

/* Leaves the bins that two share to neither. False: nothing is left of one. */
static bool apart(unsigned *xlo, unsigned *xhi, unsigned *ylo, unsigned *yhi)
{
    bool below = *xlo + *xhi < *ylo + *yhi; /* x lies below */
    unsigned *top = below ? xhi : yhi, *bottom = below ? ylo : xlo;
    if (*top > *bottom) {
        unsigned end = *bottom;
        *bottom = *top;
        *top = end;
    }
    return *xlo < *xhi && *ylo < *yhi;
}

/* Means of `rows` rows each, in place; returns how many. */
static size_t coarsen(float *a, size_t t, size_t rows)
{
    for (size_t i = 0; i < t / rows; i++) {
        float s = 0;
        for (size_t k = 0; k < rows; k++)
            s += a[i * rows + k];
        a[i] = s / (float)rows;
    }
    return t / rows;
}

double at_measure_link(const struct at_epoch *e, double rate_hz, const struct at_region *x,
                       const struct at_region *y, float *a, float *b)
{
    const struct at_map *m = &e->fast;
    unsigned xlo, xhi, ylo, yhi;
    at_measure_bins(m, rate_hz, x->f_lo_hz, x->f_hi_hz, &xlo, &xhi);
    at_measure_bins(m, rate_hz, y->f_lo_hz, y->f_hi_hz, &ylo, &yhi);
    if (m->t < 8 || !apart(&xlo, &xhi, &ylo, &yhi))
        return 0;
    row_power(m, rate_hz, xlo, xhi, a);
    row_power(m, rate_hz, ylo, yhi, b);
    struct moves both = envelopes(a, b, m->t);
    /* A steady one's envelope says nothing. */
    if (both.a < STILL || both.b < STILL)
        return 0;
    if (change_hands(a, b, m->t))
        return -1;
    coarsen(b, m->t, SLOWER);
    if (change_hands(a, b, coarsen(a, m->t, SLOWER)))
        return -1; /* weak and slow: noise hides it in single rows */
    if (xlo >= yhi + 2 || ylo >= xhi + 2)
        return both.together;
    /* What leaks over makes those that touch alike, but is a quarter of the power at most. */
    bool as_strong = both.ratio > 1 / LEAKS && both.ratio < LEAKS;
    return !e->gated && both.together > ALIKE && as_strong ? both.together : 0;
}

/* Row t shows that on goes on or off. */
static bool near_edge(const uint8_t *on, size_t n, size_t t)
{
    size_t i = t > EDGE_ROWS ? t - EDGE_ROWS : 0;
    while (i + 1 < n && i < t + EDGE_ROWS && on[i] == on[i + 1])
        i++;
    return i + 1 < n && i < t + EDGE_ROWS;
}

double at_measure_beside(const struct at_epoch *e, double rate_hz, const uint8_t *on,
                         double f_lo_hz, double f_hi_hz, float *a)
{
    const struct at_map *m = &e->fast;
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    row_power(m, rate_hz, lo, hi, a);
    double noise = noise_between(m, lo, hi) * rate_hz / m->n, all = 0, beside = 0;
    for (size_t t = 0; t < m->t; t++) {
        all += (double)a[t] - noise;
        beside += on[t] || near_edge(on, m->t, t) ? 0 : (double)a[t] - noise;
    }
    return all > 0 ? beside / all : 0;
}

/* Level while on. quiet: what noise does at most. */
static float strong_rows(const float *e, size_t t, float quiet)
{
    /* Mean of what lies above the mean, twice: the level while on, whatever the duty. */
    float level = 0;
    for (int pass = 0; pass < 3; pass++) {
        size_t n;
        double s = at_loops_best()->sum_from(e, t, level, &n);
        level = n ? (float)(s / (double)n) : level;
    }
    if (level > NOISE_ONLY * quiet)
        return level;
    /* A burst of a few rows among many of noise. */
    double s = 0;
    size_t n = 0;
    for (size_t i = 0; i < t; i++)
        if (e[i] > 1.25f * quiet) {
            s += e[i];
            n++;
        }
    return n > 0 && n * FEW <= t ? fmaxf((float)(s / (double)n), 2 * quiet) : level;
}

static void close_holes(uint8_t *on, size_t t, size_t hole)
{
    size_t last = t;
    for (size_t i = 0; i < t; i++) {
        if (!on[i])
            continue;
        if (last < t && i - last <= hole)
            memset(on + last, 1, i - last);
        last = i;
    }
}

double at_measure_excess(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double noise = noise_between(m, lo, hi);
    float most = 0;
    for (size_t t = 0; t < m->t; t++) {
        float s = 0;
        for (unsigned k = lo; k < hi; k++)
            s += m->rows[t * m->n + k];
        most = s > most ? s : most;
    }
    return noise > 0 ? most / noise - 1 : 0;
}

double at_measure_quiet(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double noise = noise_between(m, lo, hi), level = 0;
    float s[ROWS];
    size_t n_quiet = 0;
    for (int pass = 0; pass < 3; pass++) {
        double sum = 0;
        size_t n = 0;
        for (size_t t = 0; t < m->t; t++) {
            if (t % ROWS == 0)
                row_sums(m, lo, hi, t, s);
            double over = (double)s[t % ROWS] - noise;
            if (pass == 2) {
                n_quiet += over < 0.1 * level;
            } else if (over >= level) {
                sum += over;
                n++;
            }
        }
        level = n ? sum / (double)n : level;
    }
    return m->t ? (double)n_quiet / (double)m->t : 0;
}

/* Share of the power of a few short bins that really stands between the edges: the long spectra
 * tell what else is in them. */
static double own_share(const struct at_epoch *e, double rate_hz, double f_lo_hz, double f_hi_hz,
                        unsigned wlo, unsigned whi)
{
    double bin = rate_hz / e->fast.n, mid = 0.5 * e->fast.n + 0.5;
    double all = at_measure_power(&e->slow, rate_hz, (wlo - mid) * bin, (whi - mid) * bin);
    double own = at_measure_power(&e->slow, rate_hz, f_lo_hz, f_hi_hz);
    return all > own && own > 0 ? own / all : 1;
}

/* Mean power between the edges that a map may hide, as uncertain as its noise makes it. */
static double most_power(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double looks = (double)m->t * m->looks * fmax((hi - lo) / HANN_SHARED, 1);
    return LEAK * at_measure_power(m, rate_hz, f_lo_hz, f_hi_hz) +
           3 * noise_between(m, lo, hi) * rate_hz / m->n / sqrt(looks);
}

static bool is_one_bin(const struct at_map *m, double rate_hz, double f_lo_hz, double f_hi_hz)
{
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    return hi - lo == 1;
}

/* Too weak for the short rows: on where the long ones show it. */
static void on_by_long_rows(const struct at_epoch *e, double rate_hz, double f_lo_hz,
                            double f_hi_hz, struct at_on *on)
{
    const struct at_map *m = &e->slow, *f = &e->fast;
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    double noise = noise_between(m, lo, hi) * rate_hz / m->n;
    float energy[64],
        strong = 0,
        quiet = (float)(noise * (at_floor_gamma_threshold(
                                     m->looks * fmax((hi - lo) / HANN_SHARED, 1), LONG_ON_P) -
                                 1));
    size_t n = m->t < 64 ? m->t : 64;
    struct at_map part = *m;
    part.t = n;
    memset(on->rows, 1, f->t);
    if (n < 2)
        return;
    row_power(&part, rate_hz, lo, hi, energy);
    for (size_t t = 0; t < n; t++) {
        energy[t] -= (float)noise;
        strong = fmaxf(strong, energy[t]);
    }
    if (strong < 1.5f * quiet)
        return;
    float threshold = fmaxf(quiet, 0.25f * strong);
    size_t t = 0;
    for (size_t i = 0; i < f->t; i++) {
        uint64_t mid = f->first + i * f->hop + f->span / 2;
        while (t + 1 < n && m->first + (t + 1) * m->hop + m->span / 4 <= mid)
            t++;
        on->rows[i] = energy[t] > threshold;
    }
    close_holes(on->rows, f->t, 4 * (size_t)m->hop / f->hop);
}

/* Means of `rows` rows around each, at the ends those that lie within. */
static void smooth_rows(const float *energy, size_t t, size_t rows, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += energy[i];
    size_t from = 0;
    for (size_t i = 0; i < t; i++) {
        while (from + rows < t && from + rows / 2 < i) {
            sum += (double)energy[from + rows] - (double)energy[from];
            from++;
        }
        out[i] = (float)(sum / (double)rows);
    }
}

/* On and off of what single rows show in scraps: by means of 4, 16 or 64, whichever stands highest
 * above what noise may do. noise: power; looks: of a row. False: none shows it; on->rows is as it
 * was. */
static bool on_by_means(const struct at_map *m, double noise, double looks, float single,
                        struct at_on *on)
{
    size_t best = 0;
    float clearest = fmaxf(single, SEEN), best_quiet = 0;
    for (size_t rows = 4; rows <= 64 && 2 * rows <= m->t; rows *= 4) {
        float peak = 0;
        float quiet =
            (float)(noise *
                    (at_floor_gamma_threshold(looks * LOOKS_A_ROW * (double)rows, ON_P) - 1));
        smooth_rows(on->energy, m->t, rows, on->smooth);
        for (size_t t = 0; t < m->t; t++)
            peak = fmaxf(peak, on->smooth[t]);
        if (peak > clearest * quiet) {
            clearest = peak / quiet;
            best = rows;
            best_quiet = quiet;
        }
    }
    if (best == 0)
        return false;
    smooth_rows(on->energy, m->t, best, on->smooth);
    float threshold = fmaxf(best_quiet, HALF * strong_rows(on->smooth, m->t, best_quiet));
    for (size_t t = 0; t < m->t; t++)
        on->rows[t] = on->smooth[t] > threshold;
    close_holes(on->rows, m->t, best / 2);
    return true;
}

void at_measure_on(const struct at_epoch *e, double rate_hz, double f_lo_hz, double f_hi_hz,
                   double expected, struct at_on *on)
{
    const struct at_map *m = &e->fast;
    unsigned lo, hi;
    at_measure_bins(m, rate_hz, f_lo_hz, f_hi_hz, &lo, &hi);
    bool few = hi - lo < 4; /* then what the window spreads to the next bins belongs to it */
    unsigned wlo = lo > 0 && few ? lo - 1 : lo, whi = hi < m->n && few ? hi + 1 : hi;
    double density = noise_between(m, lo, hi) / (hi - lo),
           noise = noise_between(m, wlo, whi) * rate_hz / m->n;
    double looks = m->looks * fmax((whi - wlo) / HANN_SHARED, 1);
    row_power(m, rate_hz, wlo, whi, on->energy);
    if (few && (wlo == lo || whi == hi)) /* the spectra go round */
        noise += add_bin(m, rate_hz, wlo == lo ? m->n - 1 : 0, on->energy);
    for (size_t t = 0; t < m->t; t++)
        on->energy[t] -= (float)noise;
    float quiet = (float)(noise * (at_floor_gamma_threshold(looks, ON_P) - 1));
    float strong = strong_rows(on->energy, m->t, quiet);
    on->noise_density = density;
    on->steady = strong < 2 * quiet && expected < CLEAR * (double)quiet;
    float threshold = fmaxf(quiet, ON_SHARE * strong);
    on->n_on = 0;
    double sum = 0;
    if (on->smooth && strong < (float)CLEAR * quiet &&
        on_by_means(m, noise, looks, strong / quiet, on)) {
        on->steady = false;
    } else if (on->steady) {
        on_by_long_rows(e, rate_hz, f_lo_hz, f_hi_hz, on);
    } else {
        for (size_t t = 0; t < m->t; t++)
            on->rows[t] = on->energy[t] > threshold;
        close_holes(on->rows, m->t, 2);
    }
    for (size_t t = 0; t < m->t; t++)
        if (on->rows[t]) {
            on->n_on++;
            sum += on->energy[t];
        }
    on->on_at_end = m->t && (on->rows[m->t - 1] || on->rows[m->t > 1 ? m->t - 2 : 0]);
    if (on->n_on == 0)
        return;
    double mean = fmax(sum / (double)on->n_on, 0), short_rows = mean;
    if (on->steady && e->slow.t)
        mean =
            at_measure_power(&e->slow, rate_hz, f_lo_hz, f_hi_hz) * (double)m->t / (double)on->n_on;
    else if (e->slow.t && hi - lo <= 4)
        mean =
            fmin(mean * own_share(e, rate_hz, f_lo_hz, f_hi_hz, wlo, whi),
                 most_power(&e->slow, rate_hz, f_lo_hz, f_hi_hz) * (double)m->t / (double)on->n_on);
    on->power = mean;
    if (e->slow.t && is_one_bin(&e->slow, rate_hz, f_lo_hz, f_hi_hz))
        on->beside = on->steady ? BESIDE * mean : fmin(BESIDE * mean, short_rows - mean);
    on->steady = on->steady || on->n_on == m->t;
}

/* The first row whose middle is not before this sample. */
static size_t row_at(const struct at_map *m, uint64_t at)
{
    uint64_t mid = m->first + m->span / 2, i = at > mid ? (at - mid + m->hop - 1) / m->hop : 0;
    return i < m->t ? (size_t)i : m->t;
}

/* Share of the middle half of a long row that was on. */
static float share_on(const struct at_map *m, size_t t, const struct at_map *fast,
                      const uint8_t *on)
{
    uint64_t from = m->first + t * m->hop + m->span / 4, to = from + m->span / 2;
    size_t n = 0, first = row_at(fast, from), end = row_at(fast, to);
    for (size_t i = first; i < end; i++)
        n += on[i];
    return end > first ? (float)n / (float)(end - first) : 0.25f;
}

/* Rows of a map that are added to an emission's spectra. */
struct adding {
    struct at_spectra *s;
    const struct at_map *m;
    bool all; /* each is on */
    size_t first, n;
    float share[ADDED]; /* of each row: how much of it was on */
};

/* The i-th part of their columns: the sums stay in the cache. */
static void add_columns(void *ctx, size_t i)
{
    const struct adding *a = ctx;
    const struct at_loops *loops = at_loops_best();
    struct at_spectra *s = a->s;
    unsigned k = (unsigned)i * COLUMNS, some = s->n - k < COLUMNS ? s->n - k : COLUMNS;
    if (a->all) {
        loops->add(a->m->sum + k, some, s->sum + k);
        loops->highest(a->m->top + k, some, s->hold + k);
        return;
    }
    for (size_t t = 0; t < a->n; t++) {
        const float *row = a->m->rows + (a->first + t) * a->m->n + k;
        if (a->share[t] == 0) {
            loops->add(row, some, s->off + k);
        } else if (a->share[t] >= HARDLY) { /* else neither on nor off */
            loops->add(row, some, s->sum + k);
            loops->highest(row, some, s->hold + k);
        }
    }
}

static void count_row(struct at_spectra *s, float share)
{
    s->rows_off += share == 0;
    s->rows += share >= HARDLY;
    s->rows_full += share >= 0.5f;
}

/* on: per short row; slow: the map is of long ones. */
static void add_map(struct at_spectra *s, const struct at_epoch *e, const struct at_map *m,
                    bool slow, const uint8_t *on)
{
    struct adding a = {.s = s, .m = m, .all = true};
    size_t parts = (s->n + COLUMNS - 1) / COLUMNS;
    for (size_t t = 0; t < m->t && a.all; t++)
        a.all = (slow ? share_on(m, t, &e->fast, on) : on[t]) >= HARDLY;
    for (; a.first < m->t; a.first += a.n) {
        a.n = m->t - a.first < ADDED ? m->t - a.first : ADDED;
        for (size_t i = 0; i < a.n; i++) {
            a.share[i] = slow ? share_on(m, a.first + i, &e->fast, on) : on[a.first + i];
            count_row(s, a.share[i]);
        }
        if (a.all && a.first)
            continue;
        if (e->share && parts > 1)
            e->share(e->ctx, add_columns, &a, parts);
        else
            for (size_t i = 0; i < parts; i++)
                add_columns(&a, i);
    }
}

static void add_cut(struct at_spectra *s, const struct at_map *m, const uint8_t *on, size_t t)
{
    if (!on[t])
        return;
    at_loops_best()->add(m->rows + t * m->n, m->n, s->cut);
    s->rows_cut++;
}

/* The rows in which the emission goes on or off, which spreads it over frequency: the first and the
 * last, and where less than half of that one is on, that beside it too, as rows overlap by half.
 * What is keyed within is its own. was_on: at the end of the epoch before. */
static void add_ends(struct at_spectra *s, const struct at_map *m, const struct at_on *on,
                     bool was_on)
{
    double sum = 0;
    size_t from = m->t, to = 0;
    for (size_t t = 0; t < m->t; t++)
        if (on->rows[t]) {
            from = t < from ? t : from;
            to = t + 1;
            sum += (double)on->energy[t];
        }
    double half = 0.5 * sum / (double)on->n_on;
    size_t n = to - from, first = 1 + ((double)on->energy[from] < half),
           last = 1 + ((double)on->energy[to - 1] < half);
    first = from == 0 && was_on ? 0 : first < n ? first : n;
    last = to == m->t ? 0 : last < n - first ? last : n - first;
    for (size_t i = 0; i < first; i++)
        add_cut(s, m, on->rows, from + i);
    for (size_t i = 0; i < last; i++)
        add_cut(s, m, on->rows, to - 1 - i);
}

void at_measure_add(struct at_track *k, const struct at_epoch *e, const struct at_on *on)
{
    add_ends(&k->fast, &e->fast, on, k->was_on);
    add_map(&k->fast, e, &e->fast, false, on->rows);
    add_map(&k->slow, e, &e->slow, true, on->rows);
}
