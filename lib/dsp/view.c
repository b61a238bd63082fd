/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/view.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/loops.h"
#include "lib/dsp/measure.h"
#include "lib/dsp/window.h"

#define EPOCH_S     0.02
#define BLOCK_S     0.005 /* at most */
#define FAST_S      60e-6
#define SLOW_S      0.01  /* of the long spectra at low rates */
#define SHARED_RATE 1e6   /* from here on the blocks are fine enough */
#define FAST_HOP_S  27e-6 /* where spectra come faster, rows are means of several */
#define SLOW_HOP_S  1.75e-3
#define AVERAGE_S   0.5
#define CHUNKS      AT_VIEW_CHUNKS
#define QUIET       24 /* of them, the quietest */
#define DC_HELD     50 /* epochs */
#define FULL_SCALE  0.985f
#define RAILS_EACH  4
#define COLUMNS     2048 /* of rows that are added at once: their sum stays in the fastest cache */
#define STEP        8192 /* samples that are looked at at once: they stay in the cache meanwhile */
#define MOSTLY_OFF  0.4
#define BRIEF       3.0 /* so much higher in the short rows than in the long ones */
#define STILL       8   /* a gate of twice as many samples is found */

static unsigned pow2_below(double x, unsigned lo, unsigned hi)
{
    unsigned n = lo;
    while (n * 2 <= x && n < hi)
        n *= 2;
    return n;
}

void at_view_sizes(struct at_view *v)
{
    double rate = v->rate_hz;
    v->n_block = pow2_below(rate * BLOCK_S, 64, 16384);
    v->n_fast = pow2_below(rate * FAST_S, 64, 256);
    v->shared = rate >= SHARED_RATE;
    v->n_slow = v->shared ? v->n_block : pow2_below(rate * SLOW_S, 256, 8192);
    if (v->n_slow < v->n_block)
        v->n_slow = v->n_block;
    size_t epoch = (size_t)ceil(rate * EPOCH_S / v->n_slow);
    v->epoch = (epoch < 4 ? 4 : epoch) * v->n_slow;
    v->looks_fast = pow2_below(FAST_HOP_S * rate / (v->n_fast / 2), 1, 64);
    v->looks_slow = v->shared ? pow2_below(SLOW_HOP_S * rate / (v->n_slow / 2), 1, 64) : 1;
    v->max_fast = v->epoch / (v->n_fast / 2) / v->looks_fast + 2;
    v->max_slow = v->epoch / (v->n_slow / 2) / v->looks_slow + 4;
}

int at_view_init(struct at_view *v, struct at_mem *mem, const struct at_band_config *config,
                 unsigned ahead)
{
    *v = (struct at_view){.mem = mem, .rate_hz = config->rate_hz, .loops = at_loops_best()};
    at_view_sizes(v);
    if (!v->shared)
        v->iq = at_mem_array_raw(mem, AT_MEM_IQ, v->epoch * 2, sizeof(float));
    v->sums = at_mem_array(mem, AT_MEM_IQ, v->epoch / (v->n_fast / 2), sizeof *v->sums);
    v->rails = at_mem_array(mem, AT_MEM_IQ, v->epoch / (v->n_fast / 2), sizeof *v->rails);
    v->cells_before = v->looks_fast + 1;
    v->cells = at_mem_array(mem, AT_MEM_IQ, v->cells_before + v->epoch / (v->n_fast / 2), 1);
    v->gated = at_mem_array(mem, AT_MEM_IQ, v->max_fast, 1);
    v->fast = at_mem_array_raw(mem, AT_MEM_IQ, v->max_fast * v->n_fast, sizeof(float));
    v->slow = at_mem_array_raw(mem, AT_MEM_IQ, v->max_slow * v->n_slow, sizeof(float));
    v->sum_fast = at_mem_array(mem, AT_MEM_IQ, v->n_fast, sizeof(float));
    v->sum_slow = at_mem_array(mem, AT_MEM_IQ, v->n_slow, sizeof(float));
    v->top_fast = at_mem_array(mem, AT_MEM_IQ, v->n_fast, sizeof(float));
    v->top_slow = at_mem_array(mem, AT_MEM_IQ, v->n_slow, sizeof(float));
    v->half = at_mem_array(mem, AT_MEM_IQ, (size_t)2 * v->n_slow, sizeof(float));
    v->partial = at_mem_array(mem, AT_MEM_IQ, v->n_slow, sizeof(float));
    v->floor_slow = at_mem_array(mem, AT_MEM_IQ, v->n_slow, sizeof(float));
    v->average = at_mem_array(mem, AT_MEM_IQ, v->n_slow, sizeof(float));
    int ret = at_stft_init(&v->stft_fast, mem, v->n_fast, v->looks_fast, v->rate_hz, v->max_fast);
    if (ret == 0 && !v->shared)
        ret = at_stft_init(&v->stft_slow, mem, v->n_slow, 1, v->rate_hz, v->max_slow);
    if (ret == 0 && config->aside && at_aside_create(mem, &v->aside) == -ENOMEM)
        ret = -ENOMEM; /* without a thread the one there is does it */
    v->ahead = v->aside ? ahead : 1;
    v->hann = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)v->ahead * v->n_slow, sizeof(float));
    if (ret < 0 || (!v->iq && !v->shared) || !v->sums || !v->rails || !v->hann || !v->cells ||
        !v->gated || !v->fast || !v->slow || !v->sum_fast || !v->sum_slow || !v->top_fast ||
        !v->top_slow || !v->partial || !v->half || !v->floor_slow || !v->average) {
        at_view_finish(v);
        return -ENOMEM;
    }
    return 0;
}

void at_view_finish(struct at_view *v)
{
    at_aside_destroy(v->aside);
    v->aside = NULL;
    float **list[] = {&v->iq,       &v->fast,     &v->slow,       &v->sum_fast,
                      &v->sum_slow, &v->top_fast, &v->top_slow,   &v->partial,
                      &v->hann,     &v->half,     &v->floor_slow, &v->average};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(v->mem, *list[i]);
        *list[i] = NULL;
    }
    at_mem_free(v->mem, v->sums);
    at_mem_free(v->mem, v->rails);
    at_mem_free(v->mem, v->cells);
    at_mem_free(v->mem, v->gated);
    v->sums = NULL;
    v->rails = NULL;
    v->cells = v->gated = NULL;
    at_stft_finish(&v->stft_fast);
    at_stft_finish(&v->stft_slow);
}

void at_view_begin(struct at_view *v, uint64_t index)
{
    v->stretch = v->index = v->end = index;
    v->fill = v->n_sums = v->t_fast = v->t_slow = 0;
    v->rows_fast = 0;
    v->rows_slow = 0;
    v->blocks = v->making = 0;
    v->next_look = v->looks_slow - 1; /* the first begins with zeros: its row is left out */
    v->n_clipped = 0;
    v->clipped = false;
    v->rail = 0;
    v->constant = (struct at_constant){0};
    memset(v->cells, 0, v->cells_before + v->epoch / (v->n_fast / 2));
    at_stft_reset(&v->stft_fast);
    at_stft_reset(&v->stft_slow);
}

size_t at_view_room(const struct at_view *v)
{
    return v->epoch - v->fill;
}

size_t at_view_survey(const struct at_view *v, const float *iq, size_t n, int *ret_bad)
{
    return v->loops->survey(iq, 2 * n, FULL_SCALE, ret_bad);
}

float *at_view_space(const struct at_view *v)
{
    return v->iq ? v->iq + 2 * v->fill : NULL;
}

/* ---- the DC line: constant over the whole epoch, which no signal is ---- */

static int by_power(const void *a, const void *b)
{
    const struct at_chunk *x = a, *y = b;
    return (x->power > y->power) - (x->power < y->power);
}

static int by_re(const void *a, const void *b)
{
    const struct at_chunk *x = a, *y = b;
    return (x->re > y->re) - (x->re < y->re);
}

static int by_im(const void *a, const void *b)
{
    const struct at_chunk *x = a, *y = b;
    return (x->im > y->im) - (x->im < y->im);
}

static int by_away(const void *a, const void *b)
{
    const struct at_chunk *x = a, *y = b;
    return (x->away > y->away) - (x->away < y->away);
}

/* Means over CHUNKS parts of the epoch, each of `per` cells. False: some are exact zeros, where no
 * receiver's constant would be missing. */
static bool take_chunks(const struct at_view *v, struct at_chunk *c, size_t per)
{
    for (size_t k = 0; k < CHUNKS; k++) {
        double sum[3] = {0}, n = (double)(per * (v->n_fast / 2));
        for (size_t i = k * per; i < (k + 1) * per; i++)
            for (int j = 0; j < 3; j++)
                sum[j] += (double)v->sums[i][j];
        c[k] = (struct at_chunk){
            .re = (float)(sum[0] / n), .im = (float)(sum[1] / n), .power = (float)sum[2]};
        if (!(c[k].power > 0) || !isfinite(c[k].power))
            return false;
    }
    return true;
}

/* The quietest parts tell: a burst may drive the receiver elsewhere, and a signal's own mean is not
 * constant. */
static void find_dc(struct at_view *v, const struct at_floor *floor)
{
    struct at_chunk c[CHUNKS];
    size_t cells = v->n_sums / CHUNKS, per = cells * (v->n_fast / 2);
    v->has_dc = (v->dc[0] != 0 || v->dc[1] != 0) && v->dc_age++ < DC_HELD;
    if (!v->has_dc)
        v->dc[0] = v->dc[1] = 0;
    if (cells == 0 || !take_chunks(v, c, cells))
        return;
    qsort(c, CHUNKS, sizeof *c, by_power);
    qsort(c, QUIET, sizeof *c, by_re);
    float re = c[QUIET / 2].re;
    qsort(c, QUIET, sizeof *c, by_im);
    float im = c[QUIET / 2].im, size = re * re + im * im;
    for (size_t k = 0; k < QUIET; k++)
        c[k].away = (c[k].re - re) * (c[k].re - re) + (c[k].im - im) * (c[k].im - im);
    qsort(c, QUIET, sizeof *c, by_away);
    double density = floor->source != AT_FLOOR_ASSUMED ? floor->density[floor->n / 2] : 0;
    double noise = v->rate_hz / (double)per * density;
    if (c[QUIET * 8 / 10].away > 0.02 * size + 4 * noise || !(size > noise))
        return;
    /* A first estimate is as noisy as one epoch lets it be; later ones sharpen it, a jump begins
     * anew. */
    float jump = (re - v->dc[0]) * (re - v->dc[0]) + (im - v->dc[1]) * (im - v->dc[1]);
    float gain = v->has_dc && jump < 0.02f * size + (float)noise ? 0.2f : 1;
    v->has_dc = true;
    v->dc_age = 0;
    v->dc[0] += gain * (re - v->dc[0]);
    v->dc[1] += gain * (im - v->dc[1]);
}

/* ---- gates: where samples were left out, the converter's zero stands ---- */

/* More than STILL of n samples in a row are the very same. */
static bool holds_gate(const float *iq, size_t n)
{
    for (size_t i = STILL; i < n; i += STILL) {
        const float *a = iq + 2 * (i - STILL), *b = iq + 2 * i;
        if (a[0] != b[0] || a[1] != b[1])
            continue;
        bool all = true;
        for (const float *x = a + 2; all && x < b; x += 2)
            all = x[0] == a[0] && x[1] == a[1];
        if (all)
            return true;
    }
    return false;
}

/* Marks the short rows that a gate cuts, by the cells of half a spectrum. */
static void find_gates(struct at_view *v)
{
    size_t hop = v->n_fast / 2, looks = v->looks_fast, before = v->cells_before;
    size_t first = v->rows_fast * looks + before - (size_t)((v->index - v->stretch) / hop);
    for (size_t t = 0; t < v->t_fast; t++) {
        v->gated[t] = 0;
        for (size_t i = 0; i <= looks; i++)
            v->gated[t] |= v->cells[first + t * looks + i];
    }
}

/* ---- spectra ---- */

static bool is_second(const struct at_view *v, size_t i)
{
    return (v->next_look + i) % v->looks_slow % 2;
}

/* Where the i-th of those made now goes; *ret_add: to what is there. */
static float *place_of(const struct at_view *v, size_t i, int *ret_add)
{
    bool single = v->looks_slow == 1;
    *ret_add = !single && is_second(v, i) && v->blocks + i > 0;
    if (!single && is_second(v, i))
        return i > 0 ? v->hann + (i - 1) * v->n_slow : v->half + v->at_half * v->n_slow;
    return single || i + 1 < v->making ? v->hann + i * v->n_slow
                                       : v->half + (v->at_half ^ 1) * v->n_slow;
}

void at_view_see(void *view, size_t i, const float *block)
{
    const struct at_view *v = view;
    float scale = (float)(1 / (v->rate_hz * v->n_slow * 0.375)); /* sum of Hann squared is 3/8 n */
    int add;
    if (!v->shared)
        return;
    float *to = place_of(v, i, &add);
    v->loops->hann_power(block, v->n_slow, scale / (float)v->looks_slow, add, to);
}

size_t at_view_begin_blocks(struct at_view *v, size_t n)
{
    v->making = n;
    return v->looks_slow == 1 ? n : (n + is_second(v, 0) + 1) / 2;
}

void at_view_pair(const struct at_view *v, size_t i, size_t *ret_from, size_t *ret_to)
{
    bool single = v->looks_slow == 1, odd = !single && is_second(v, 0);
    size_t to = single ? i + 1 : 2 * i + 2 - odd;
    *ret_from = single ? i : i > 0 ? 2 * i - odd : 0;
    *ret_to = to < v->making ? to : v->making;
}

size_t at_view_columns(const struct at_view *v)
{
    return v->shared && v->making > 0 ? (v->n_slow + COLUMNS - 1) / COLUMNS : 0;
}

void at_view_add_columns(const struct at_view *v, size_t k)
{
    unsigned n = v->n_slow, from = (unsigned)k * COLUMNS,
             m = n - from < COLUMNS ? n - from : COLUMNS;
    float *sum = v->partial + from;
    size_t t = v->t_slow;
    for (size_t i = v->blocks == 0 && v->looks_slow > 1; i < v->making && t < v->max_slow; i++) {
        unsigned look = (unsigned)((v->next_look + i) % v->looks_slow);
        int add;
        if (v->looks_slow > 1 && look % 2 == 0)
            continue; /* the second brings both */
        const float *row = place_of(v, i, &add) + from;
        if (look <= 1)
            memcpy(sum, row, m * sizeof *row);
        else
            v->loops->add(row, m, sum);
        if (look + 1 == v->looks_slow)
            memcpy(v->slow + t++ * n + from, sum, m * sizeof *sum);
    }
}

void at_view_end_blocks(struct at_view *v)
{
    size_t ended = (v->next_look + v->making) / v->looks_slow,
           skipped = v->blocks == 0 && v->looks_slow > 1;
    if (!v->shared || v->making == 0)
        return;
    v->t_slow += ended - skipped;
    v->t_slow = v->t_slow < v->max_slow ? v->t_slow : v->max_slow;
    v->at_half ^= v->looks_slow > 1 && !is_second(v, v->making - 1);
    v->next_look = (unsigned)((v->next_look + v->making) % v->looks_slow);
    v->blocks += v->making;
    v->making = 0;
}

/* At high rates a part of the cells tells of a rail. */
static size_t rails_each(const struct at_view *v)
{
    return v->shared ? RAILS_EACH : 1;
}

/* Cells [from, to) of the epoch, iq: the first one's samples. */
static void look_at_cells(struct at_view *v, const float *iq, size_t from, size_t to)
{
    size_t hop = v->n_fast / 2;
    for (size_t i = from; i < to; i++, iq += 2 * hop) {
        double re, im, power;
        v->cells[v->cells_before + i] = holds_gate(iq, hop);
        if (i % rails_each(v) == 0)
            at_rail_look(iq, hop, &v->rails[i / rails_each(v)]);
        v->loops->moments(iq, hop, &re, &im, &power);
        v->sums[i][0] = (float)re;
        v->sums[i][1] = (float)im;
        v->sums[i][2] = (float)power;
    }
}

/* Short rows and cells of a part. */
static void part_sizes(const struct at_view *v, size_t *ret_rows, size_t *ret_cells)
{
    size_t hop = v->n_fast / 2;
    *ret_cells = STEP / hop;
    *ret_rows = STEP / hop / v->looks_fast > 1 ? STEP / hop / v->looks_fast : 1;
}

size_t at_view_begin_look(struct at_view *v, const struct at_blocks *b)
{
    size_t hop = v->n_fast / 2, came = (size_t)(v->end - v->stretch), rows, cells;
    if (!v->shared)
        return 0;
    part_sizes(v, &rows, &cells);
    uint64_t spectra = came < v->n_fast ? 0 : (came - v->n_fast) / hop + 1;
    v->next_fast = (size_t)(spectra / v->looks_fast - v->rows_fast);
    v->next_fast = v->next_fast < v->max_fast ? v->next_fast : v->max_fast;
    v->next_sums = v->fill / hop;
    v->looked = b;
    rows = (v->next_fast - v->t_fast + rows - 1) / rows;
    cells = (v->next_sums - v->n_sums + cells - 1) / cells;
    return rows > cells ? rows : cells;
}

/* Of the i-th part: short rows [t[0], t[1]) and cells [c[0], c[1]) of the epoch. */
static void part_of(const struct at_view *v, size_t i, size_t *t, size_t *c)
{
    size_t rows, cells;
    part_sizes(v, &rows, &cells);
    t[0] = v->t_fast + i * rows;
    t[1] = v->next_fast < t[0] + rows ? v->next_fast : t[0] + rows;
    c[0] = v->n_sums + i * cells;
    c[1] = v->next_sums < c[0] + cells ? v->next_sums : c[0] + cells;
}

void at_view_look_span(const struct at_view *v, size_t i, uint64_t *ret_from, uint64_t *ret_to)
{
    size_t t[2], c[2], hop = v->n_fast / 2, row = v->looks_fast * hop;
    part_of(v, i, t, c);
    uint64_t first = v->index - v->stretch, from = first + c[0] * hop,
             to = c[0] < c[1] ? first + c[1] * hop : from;
    if (t[0] < t[1]) {
        uint64_t a = (v->rows_fast + t[0]) * row, b = (v->rows_fast + t[1]) * row + hop;
        from = c[0] < c[1] && from < a ? from : a;
        to = c[0] < c[1] && to > b ? to : b;
    }
    *ret_from = from;
    *ret_to = to;
}

void at_view_look(struct at_view *v, size_t i)
{
    size_t t[2], c[2], hop = v->n_fast / 2, looks = v->looks_fast;
    part_of(v, i, t, c);
    for (; t[0] < t[1]; t[0]++)
        at_stft_row(&v->stft_fast, at_blocks_sample(v->looked, (v->rows_fast + t[0]) * looks * hop),
                    v->fast + t[0] * v->n_fast, v->stft_fast.middle + 6 * t[0] * looks);
    if (c[0] < c[1])
        look_at_cells(v, at_blocks_sample(v->looked, v->index - v->stretch + c[0] * hop), c[0],
                      c[1]);
}

void at_view_end_look(struct at_view *v)
{
    if (!v->shared)
        return;
    v->t_fast = v->next_fast;
    v->n_sums = v->next_sums;
    v->stft_fast.n_middles = v->t_fast * v->looks_fast;
}

void at_view_push(struct at_view *v, size_t n)
{
    v->fill += n;
    v->end += n;
}

void at_view_clipped(struct at_view *v, size_t n)
{
    v->n_clipped += n;
}

/* The first block of long row t of this epoch. */
static uint64_t first_block(const struct at_view *v, size_t t)
{
    return (v->rows_slow + t) * v->looks_slow + (v->looks_slow > 1);
}

/* Takes the DC line out of the long rows: it stands in bin 0 of an unwindowed block; seen through
 * Hann it is in three. */
static void without_dc(struct at_view *v, const struct at_blocks *b)
{
    unsigned n = v->n_slow, looks = v->looks_slow;
    float scale = (float)(1 / (v->rate_hz * n * 0.375)) / (float)looks;
    for (size_t t = 0; t < v->t_slow; t++) {
        float sum[3] = {0};
        for (unsigned l = 0; l < looks; l++) {
            const float *x = at_blocks_get(b, first_block(v, t) + l);
            float y[10], near[5];
            if (!x)
                return;
            for (unsigned i = 0; i < 5; i++)
                memcpy(y + 2 * i, x + 2 * ((i + n - 2) & (n - 1)), 2 * sizeof(float));
            y[4] -= v->dc[0] * (float)n;
            y[5] -= v->dc[1] * (float)n;
            at_window_hann_bins(y, near, 5);
            for (unsigned i = 0; i < 3; i++)
                sum[i] += near[i + 1] * scale;
        }
        memcpy(v->slow + t * n + n / 2 - 1, sum, sizeof sum);
    }
}

void at_view_spectra(struct at_view *v, const struct at_blocks *blocks,
                     const struct at_floor *floor)
{
    static const float none[2];
    if (!v->shared) {
        v->t_fast = at_stft_run(&v->stft_fast, v->iq, v->fill, v->fast, v->max_fast);
        v->n_sums = v->fill / (v->n_fast / 2);
        look_at_cells(v, v->iq, 0, v->n_sums);
    }
    find_dc(v, floor);
    v->clipped = v->n_clipped > 16 && v->n_clipped > v->fill / 5000;
    v->clipped |= at_rail_see(v->rails, (v->n_sums + rails_each(v) - 1) / rails_each(v),
                              v->n_fast / 2, &v->rail);
    v->n_clipped = 0;
    const float *dc = v->has_dc ? v->dc : none;
    at_stft_without(&v->stft_fast, dc, v->fast, v->t_fast);
    if (v->shared) {
        if (v->has_dc)
            without_dc(v, blocks);
    } else {
        v->t_slow = at_stft_run(&v->stft_slow, v->iq, v->fill, v->slow, v->max_slow);
        at_stft_without(&v->stft_slow, dc, v->slow, v->t_slow);
    }
    find_gates(v);
    unsigned hop = v->n_fast / 2;
    v->first_fast = v->stretch + v->rows_fast * v->looks_fast * hop;
    hop = v->n_slow / 2;
    v->first_slow = v->stretch + first_block(v, 0) * hop - (v->shared ? hop / 2 : 0);
}

/* Rows of means, so that the middle half of `span` from `first` on is what a row tells of. */
static struct at_map make_map(unsigned n, unsigned looks, size_t t, const float *rows,
                              const float *floor, float *sum, float *top, uint64_t first)
{
    unsigned hop = n / 2 * looks;
    return (struct at_map){.n = n,
                           .t = t,
                           .rows = rows,
                           .floor = floor,
                           .sum = sum,
                           .top = top,
                           .looks = looks,
                           .first = first + n / 4 - hop / 2,
                           .hop = hop,
                           .span = 2 * hop};
}

struct summing {
    const struct at_loops *loops;
    const struct at_map *fast, *slow;
};

/* Sums and highest of the rows: of the short ones, then of the long ones' columns by parts. */
static void sum_part(void *ctx, size_t i)
{
    const struct summing *s = ctx;
    const struct at_map *m = i == 0 ? s->fast : s->slow;
    unsigned from = i == 0 ? 0 : (unsigned)(i - 1) * COLUMNS,
             n = i == 0 || m->n - from < COLUMNS ? m->n - from : COLUMNS;
    memset(m->sum + from, 0, n * sizeof *m->sum);
    memset(m->top + from, 0, n * sizeof *m->top);
    for (size_t t = 0; t < m->t; t++) {
        s->loops->add(m->rows + t * m->n + from, n, m->sum + from);
        s->loops->highest(m->rows + t * m->n + from, n, m->top + from);
    }
}

/* The first block begins with zeros. */
static unsigned skipped(const struct at_view *v)
{
    return v->shared && v->looks_slow == 1 && v->rows_slow == 0 && v->t_slow > 1;
}

size_t at_view_long(const struct at_view *v, const float **ret_rows)
{
    *ret_rows = v->slow + skipped(v) * v->n_slow;
    return v->t_slow - skipped(v);
}

void at_view_epoch(struct at_view *v, const struct at_floor *floor, struct at_epoch *e)
{
    at_floor_spread(floor, v->floor_slow, v->n_slow);
    e->index = v->index;
    e->end = v->end;
    e->clipped = v->clipped;
    e->gated = memchr(v->gated, 1, v->t_fast) != NULL;
    e->has_dc = v->has_dc;
    e->constant = at_constant_see(&v->constant, v->sums, v->n_sums, v->n_fast / 2, v->rate_hz,
                                  floor->density[floor->n / 2]);
    e->fast = make_map(v->n_fast, v->looks_fast, v->t_fast, v->fast, floor->density, v->sum_fast,
                       v->top_fast, v->first_fast);
    unsigned skip = skipped(v);
    e->slow =
        make_map(v->n_slow, v->looks_slow, v->t_slow - skip, v->slow + skip * v->n_slow,
                 v->floor_slow, v->sum_slow, v->top_slow, v->first_slow + skip * (v->n_slow / 2));
    struct summing s = {v->loops, &e->fast, &e->slow};
    at_aside_parts(v->aside, sum_part, &s, 1 + (v->n_slow + COLUMNS - 1) / COLUMNS);
}

void at_view_average(struct at_view *v, const struct at_map *slow, const struct at_detector *d)
{
    if (slow->t == 0)
        return;
    double cap = AVERAGE_S * v->rate_hz / slow->hop, rows = v->average_rows + (double)slow->t;
    float a = (float)((double)slow->t / fmin(rows, cap + (double)slow->t)),
          per = 1 / (float)slow->t;
    for (unsigned k = 0; k < slow->n; k++) {
        float s = slow->sum[k] * per;
        bool known = d->hit[k] && !d->slowly[k];
        if (known)
            s = slow->floor[k];
        v->average[k] = v->n_average ? v->average[k] + a * (s - v->average[k]) : s;
        if (known && v->n_average)
            v->average[k] = fminf(v->average[k], s);
    }
    v->average_rows = fmin(rows, cap);
    v->n_average++;
}

/* A burst shorter than a long row: the short rows show it higher, the long ones in shreds. */
static bool is_brief(const struct at_view *v, const struct at_epoch *e, const struct at_region *r)
{
    return at_measure_quiet(&e->fast, v->rate_hz, r->f_lo_hz, r->f_hi_hz) > MOSTLY_OFF &&
           at_measure_excess(&e->fast, v->rate_hz, r->f_lo_hz, r->f_hi_hz) >
               BRIEF * at_measure_excess(&e->slow, v->rate_hz, r->f_lo_hz, r->f_hi_hz);
}

static size_t drop_inside(struct at_region *r, size_t n, double f_lo_hz, double f_hi_hz)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        double in = fmin(r[i].f_hi_hz, f_hi_hz) - fmax(r[i].f_lo_hz, f_lo_hz);
        if (in < 0.7 * (r[i].f_hi_hz - r[i].f_lo_hz))
            r[kept++] = r[i];
    }
    return kept;
}

size_t at_view_choose(const struct at_view *v, const struct at_epoch *e, struct at_region *r,
                      size_t n, size_t m)
{
    struct at_region *s = r + n;
    double bin = v->rate_hz / v->n_fast;
    size_t left = n, kept = 0;
    for (size_t i = 0; i < m; i++) {
        double explained = 0,
               all = at_measure_power(&e->fast, v->rate_hz, s[i].f_lo_hz, s[i].f_hi_hz);
        for (size_t j = 0; j < left; j++)
            if (r[j].f_lo_hz < s[i].f_hi_hz + bin && r[j].f_hi_hz > s[i].f_lo_hz - bin)
                explained += at_measure_power(&e->slow, v->rate_hz, r[j].f_lo_hz, r[j].f_hi_hz);
        bool wide = s[i].f_hi_hz - s[i].f_lo_hz > 4.5 * bin;
        if (wide && e->slow.t && is_brief(v, e, &s[i]))
            left = drop_inside(r, left, s[i].f_lo_hz - bin, s[i].f_hi_hz + bin);
        else if (explained >= 0.5 * all && left > 0)
            continue;
        s[kept++] = s[i];
    }
    memmove(r + left, s, kept * sizeof *r);
    return left + kept;
}

void at_view_next(struct at_view *v)
{
    memmove(v->cells, v->cells + v->fill / (v->n_fast / 2), v->cells_before);
    v->rows_fast += v->t_fast;
    v->rows_slow += v->t_slow;
    v->index = v->end;
    v->fill = v->n_sums = v->t_fast = v->t_slow = 0;
}
