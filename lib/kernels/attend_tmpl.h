/* Attention with a running softmax: tiles of MR queries against blocks of keys that stay near.
 * Included by attend.c and attend_bf16.c, which define BF16. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include "lib/kernels/ops.h"
#include "lib/kernels/tiles.h"

#include <string.h>

#if BF16
typedef uint16_t value;
#define ATTEND AT_FN(attend_bf16)
/* Weights are then rounded to 8 bits: within 8e-5 is enough. */
#define vf_exp2_value vf_exp2_coarse
#define store_value   vf_store_bf16
#define store_pair    vf_store_bf16_pair
#else
typedef float value;
#define ATTEND        AT_FN(attend)
#define vf_exp2_value vf_exp2
#define store_value   vf_store
#define store_pair    vf_store_pair
#endif

/* Keys of a block, and the stride of its scores: 14 rows take 30 KiB (12 of fp32 26), and longer
 * blocks spread the cost of a row's maximum and sum further (measured: 128 keys 175 GFLOP/s, 256
 * 183, 512 189). The same with tiles, because other blocks round other weights; 16 rows, because
 * the scores of 32 pass the first-level cache (half as many keys instead, or 32 rows, were slower).
 */
#define BLOCK  512
#define STRIDE (BLOCK + 32)
#define EMPTY  -1e30f /* maximum of nothing; above MASKED, so that an empty row's weights vanish */
#define MASKED -3e38f

#define ROWS 16 /* most rows of a span, and whole vectors */
/* Rows of a span: scores of fp32 are made by the wide tile, values by the other one. */
#define SPAN_ROWS (!BF16 && WIDE_NV > NV ? 2 * WIDE_MR : MR)
#if BF16 && AT_HAS_TILES
#define SCORE_COLUMNS AT_PANEL /* scores are made in whole panels, as tiles read them */
#else
#define SCORE_COLUMNS TILE_COLUMNS
#endif

/* Queries row..row+mr-1 and the slots [lo, hi) that any of them sees in this block; first: the
 * panel lo is in. They are tile `tile` of those that go through the block, and `more` blocks follow
 * or not. */
struct span {
    size_t row, first, lo, hi, tile;
    bool more;
};

/* s (mr, STRIDE) = q k^T, without the bias, for the panels from first up to hi. */
INLINE void scores(const struct at_attend *j, const int mr, const struct span *p, float *s)
{
    const value *q = (const value *)j->q + p->row * j->dim;
    for (size_t slot = p->first; slot < p->hi; slot += TILE_COLUMNS) {
        vf acc[MR][WIDE_NV];
        UNROLL
        for (int r = 0; r < mr; r++) {
            UNROLL
            for (int v = 0; v < NV; v++)
                acc[r][v] = (vf){0};
        }
        const value *k = (const value *)j->k + slot / AT_PANEL * AT_PANEL * j->dim +
                         slot % AT_PANEL * (1 + BF16);
#if BF16
        vf_tile_pairs(acc, mr, NV, q, j->dim, k, 2 * AT_PANEL, j->dim / 2);
#else
        vf_tile(acc, mr, NV, q, j->dim, k, AT_PANEL, j->dim, 0, 0, false, NULL);
#endif
        UNROLL
        for (int r = 0; r < mr; r++) {
            UNROLL
            for (int v = 0; v < NV; v++)
                vf_store(s + (size_t)r * STRIDE + (slot - p->first) + v * VW, acc[r][v]);
        }
    }
}

/* One vector of scores: lanes outside [lo, hi) become MASKED. */
INLINE void mask(float *s, int32_t lo, int32_t hi)
{
    vi at;
    for (int i = 0; i < VW; i++)
        at[i] = i;
    vi seen = (vi)(at >= lo) & (vi)(at < hi);
    vf_store(s, (vf)(((vi)vf_load(s) & seen) | ((vi)vf_set(MASKED) & ~seen)));
}

/* Lane by lane the greatest of n vectors; four chains, because one would wait for each of its
 * links. */
INLINE vf top_of(const float *s, size_t n)
{
    vf top[4];
    size_t i = 0;
    UNROLL
    for (int c = 0; c < 4; c++)
        top[c] = vf_set(MASKED);
    for (; i + 4 <= n; i += 4) {
        UNROLL
        for (int c = 0; c < 4; c++)
            top[c] = vf_max(top[c], vf_load(s + (i + (size_t)c) * VW));
    }
    for (; i < n; i++)
        top[0] = vf_max(top[0], vf_load(s + i * VW));
    return vf_max(vf_max(top[0], top[1]), vf_max(top[2], top[3]));
}

/* Weights of n vectors of scores, `to` being where the row's weights begin: in bf16 they lie denser
 * than the scores, behind what is still to be read. Returns their sums, lane by lane. */
INLINE vf exponents(const float *s, size_t n, float max, value *to)
{
    vf total[2] = {{0}, {0}};
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        vf a = vf_exp2_value(vf_load(s + i * VW) - max),
           b = vf_exp2_value(vf_load(s + (i + 1) * VW) - max);
        store_pair(to + i * VW, a, b);
        total[0] += a;
        total[1] += b;
    }
    for (; i < n; i++) {
        vf e = vf_exp2_value(vf_load(s + i * VW) - max);
        store_value(to + i * VW, e);
        total[0] += e;
    }
    return total[0] + total[1];
}

/* Of a row's vectors of scores, those with a slot that its query sees, once the others' slots in
 * them are MASKED; none where it sees nothing. */
struct seen {
    size_t from, end;
};

INLINE struct seen mask_edges(const struct at_attend *j, const struct span *p, size_t i, size_t n,
                              float *s)
{
    int32_t lo = j->lo[i] - (int32_t)p->first, hi = j->hi[i] - (int32_t)p->first;
    lo = lo > 0 ? lo : 0;
    hi = hi < (int32_t)(n * VW) ? hi : (int32_t)(n * VW);
    if (hi <= lo)
        return (struct seen){0, 0};
    struct seen v = {(size_t)lo / VW, ((size_t)hi + VW - 1) / VW};
    if (lo % VW)
        mask(s + v.from * VW, lo % VW, VW);
    if (hi % VW)
        mask(s + (v.end - 1) * VW, 0, hi % VW);
    return v;
}

/* Scores of the span's rows, and the bias, to weights (bf16: in the first half of each row), 0
 * where nothing is seen; scale (ROWS): what the rows' former weights are to be multiplied with,
 * 2^(old - new maximum), exactly 1 where it stays. Row after row in each step; what is one number a
 * row is made for VW rows at once. */
INLINE void weights(const struct at_attend *j, const int mr, const struct span *p, float *s,
                    float *scale)
{
    size_t n = at_round_up(p->hi - p->first, SCORE_COLUMNS) / VW;
    struct seen seen[ROWS];
    vf lanes[ROWS]; /* of each row: maxima, then sums */
    float max[ROWS] = {0}, sum[ROWS] = {0};
    memcpy(max, j->max + p->row, (size_t)mr * sizeof *max);
    memcpy(sum, j->sum + p->row, (size_t)mr * sizeof *sum);
    for (int r = 0; r < ROWS; r++)
        lanes[r] = vf_set(MASKED);
    for (int r = 0; r < mr; r++) {
        float *row = s + r * STRIDE;
        seen[r] = mask_edges(j, p, p->row + (size_t)r, n, row);
        lanes[r] = top_of(row + seen[r].from * VW, seen[r].end - seen[r].from);
    }
    for (int r = 0; r < mr; r += VW) {
        vf old = vf_load(max + r), now = vf_max(vf_tops(lanes + r) + j->bias, old),
           one = vf_set(1.0f);
        vi same = (vi)(old == now);
        vf_store(max + r, now);
        vf_store(scale + r, (vf)(((vi)one & same) | ((vi)vf_exp2(old - now) & ~same)));
    }
    for (int r = 0; r < mr; r++) {
        const struct seen *v = &seen[r];
        float *row = s + r * STRIDE;
        value *w = (value *)row;
        lanes[r] =
            exponents(row + v->from * VW, v->end - v->from, max[r] - j->bias, w + v->from * VW);
        if (v->from)
            memset(w, 0, v->from * VW * sizeof *w);
        if (v->end < n)
            memset(w + v->end * VW, 0, (n - v->end) * VW * sizeof *w);
    }
    for (int r = 0; r < mr; r += VW)
        vf_store(sum + r, vf_load(sum + r) * vf_load(scale + r) + vf_sums(lanes + r));
    memcpy(j->max + p->row, max, (size_t)mr * sizeof *max);
    memcpy(j->sum + p->row, sum, (size_t)mr * sizeof *sum);
}

#if !BF16
#define LIMIT 0x1p60f /* of a sum of weights: beyond, their reference is too small */

/* Slots [lo, hi) of the span that all of its rows see. */
INLINE void common_of(const struct at_attend *j, const int mr, const struct span *p,
                      int32_t *ret_lo, int32_t *ret_hi)
{
    int32_t lo = (int32_t)p->lo, hi = (int32_t)p->hi;
    for (size_t i = p->row; i < p->row + (size_t)mr; i++) {
        lo = j->lo[i] > lo ? j->lo[i] : lo;
        hi = j->hi[i] < hi ? j->hi[i] : hi;
    }
    *ret_lo = lo;
    *ret_hi = hi;
}

/* max (ROWS) of those rows that have none = their scores of one slot. */
INLINE void seed(const struct at_attend *j, const int mr, const struct span *p, size_t slot,
                 float *max)
{
    const float *k = (const float *)j->k + slot / AT_PANEL * AT_PANEL * j->dim + slot % AT_PANEL,
                *q = (const float *)j->q + p->row * j->dim;
    vf lanes[ROWS];
    float some[VW], score[ROWS];
    for (int r = 0; r < ROWS; r++)
        lanes[r] = (vf){0};
    for (size_t i = 0; i < j->dim; i += VW) {
        size_t n = j->dim - i < VW ? j->dim - i : VW;
        for (size_t c = 0; c < VW; c++)
            some[c] = c < n ? k[(i + c) * AT_PANEL] : 0;
        vf key = vf_load(some);
        for (int r = 0; r < mr; r++) {
            const float *from = q + (size_t)r * j->dim + i;
            if (n < VW) {
                memcpy(some, from, n * sizeof *some);
                from = some;
            }
            lanes[r] += vf_load(from) * key;
        }
    }
    for (int r = 0; r < mr; r += VW)
        vf_store(score + r, vf_sums(lanes + r) + j->bias);
    for (int r = 0; r < mr; r++)
        max[r] = max[r] > EMPTY ? max[r] : score[r];
}

/* x where lane + slot is in [lo, hi), else MASKED. */
INLINE vf seen_of(vf x, int32_t slot, int32_t lo, int32_t hi)
{
    vi at;
    for (int i = 0; i < VW; i++)
        at[i] = i;
    at += slot;
    vi seen = (vi)(at >= lo) & (vi)(at < hi);
    return (vf)(((vi)x & seen) | ((vi)vf_set(MASKED) & ~seen));
}

/* Weights 2^(q k + less) of rows row..row+mr-1 of the span and nv vectors of slots, made where the
 * scores are; sums: what they add up to, lane by lane. edge: some row does not see some slot.
 * ahead, asks, soon: as of vf_tile. */
INLINE void fused(const struct at_attend *j, const struct span *p, const int mr, const int nv,
                  size_t row, size_t slot, bool edge, const float *less, float *s, vf *sums,
                  const int ahead, const bool asks, const char *soon)
{
    vf acc[MR][WIDE_NV];
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] = vf_set(less[row + (size_t)r]);
    }
    vf_tile(acc, mr, nv, (const float *)j->q + (p->row + row) * j->dim, j->dim,
            (const float *)j->k + slot / AT_PANEL * AT_PANEL * j->dim + slot % AT_PANEL, AT_PANEL,
            j->dim, AT_PANEL * j->dim, ahead, asks, soon);
    if (edge) {
        const int32_t *lo = j->lo + p->row + row, *hi = j->hi + p->row + row;
        UNROLL
        for (int r = 0; r < mr; r++) {
            UNROLL
            for (int v = 0; v < nv; v++)
                acc[r][v] = seen_of(acc[r][v], (int32_t)slot + v * VW, lo[r], hi[r]);
        }
    }
    s += row * STRIDE + (slot - p->first);
    UNROLL
    for (int r = 0; r < mr; r++) {
        vf sum = sums[row + (size_t)r];
        UNROLL
        for (int v = 0; v < nv; v++) {
            vf e = vf_exp2(acc[r][v]);
            vf_store(s + (size_t)r * STRIDE + v * VW, e);
            sum += e;
        }
        sums[row + (size_t)r] = sum;
    }
}

/* The next dim lines of the block that follows, in turn over all tiles and their wide pieces: its
 * keys, then its values. NULL: all have been asked for, or none follows. A line in each step of a
 * product hides what all at once, before it, made worse: 8192 keys, 64 queries, 0.91 of the time.
 */
INLINE const char *soon_of(const struct at_attend *j, const struct span *p, size_t slot)
{
    const size_t block = BLOCK * sizeof(float) / LINE * j->dim, pieces = BLOCK / WIDE_COLUMNS;
    size_t line = (p->tile * pieces + (slot - p->first) / WIDE_COLUMNS) * j->dim,
           at = p->first + BLOCK;
    if (!p->more || line >= 2 * block)
        return NULL;
    return line < block
               ? (const char *)((const float *)j->k + at * j->dim) + line * LINE
               : (const char *)((const float *)j->v + at * j->v_stride) + (line - block) * LINE;
}

/* What scores and weights do, in one go, each row's reference being a former maximum or any score
 * of its own: a softmax is the same with any, as long as nothing leaves the range of floats. False
 * where it does, or where a row has no reference: then only s has changed. */
INLINE bool quick(const struct at_attend *j, const int mr, const struct span *p, float *s)
{
    int32_t lo, hi;
    vf sums[ROWS];
    float max[ROWS] = {0}, less[ROWS], sum[ROWS];
    bool empty = false, sound = true;
    common_of(j, mr, p, &lo, &hi);
    memcpy(max, j->max + p->row, (size_t)mr * sizeof *max);
    for (int r = 0; r < mr; r++)
        empty |= max[r] <= EMPTY;
    if (empty && lo >= hi)
        return false;
    if (empty)
        seed(j, mr, p, (size_t)lo, max);
    for (int r = 0; r < ROWS; r++) {
        less[r] = j->bias - max[r];
        sums[r] = (vf){0};
    }
    size_t slot = p->first;
    for (; WIDE_NV > NV && slot + WIDE_COLUMNS <= at_round_up(p->hi, AT_PANEL);
         slot += WIDE_COLUMNS) {
        const int upper = mr > WIDE_MR ? (mr + 1) / 2 : mr, lower = mr - upper;
        const bool edge = (int32_t)slot < lo || (int32_t)slot + WIDE_COLUMNS > hi;
        const char *soon = lower ? soon_of(j, p, slot) : NULL;
        fused(j, p, upper, WIDE_NV, 0, slot, edge, less, s, sums, WIDE_COLUMNS, false, NULL);
        if (lower && soon)
            fused(j, p, lower, WIDE_NV, (size_t)upper, slot, edge, less, s, sums, 0, true, soon);
        else if (lower)
            fused(j, p, lower, WIDE_NV, (size_t)upper, slot, edge, less, s, sums, 0, false, NULL);
    }
    for (; slot < p->hi; slot += TILE_COLUMNS) {
        const bool edge = (int32_t)slot < lo || (int32_t)slot + TILE_COLUMNS > hi;
        fused(j, p, mr, NV, 0, slot, edge, less, s, sums, 0, false, NULL);
    }
    for (int r = 0; r < mr; r += VW)
        vf_store(sum + r, vf_sums(sums + r));
    for (int r = 0; r < mr; r++)
        sound &= sum[r] < LIMIT;
    if (!sound)
        return false;
    for (int r = 0; r < mr; r++)
        j->sum[p->row + (size_t)r] += sum[r];
    memcpy(j->max + p->row, max, (size_t)mr * sizeof *max);
    return true;
}

/* Weights with each row's maximum, where `quick` made none. */
static __attribute__((noinline)) void slow(const struct at_attend *j, int mr, const struct span *p,
                                           float *s, float *scale)
{
    struct span one = *p;
    for (int r = 0; r < mr; r++, one.row++)
        scores(j, 1, &one, s + r * STRIDE);
    weights(j, mr, p, s, scale);
}
#endif

/* nv vectors of columns of acc (mr, v_stride) = acc * scale + s v over the slots [lo, hi). */
INLINE void values_at(const struct at_attend *j, const int mr, const int nv, size_t column,
                      const struct span *p, const float *s, const float *scale)
{
    float *out = j->acc + p->row * j->v_stride + column;
    vf acc[MR][WIDE_NV];
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int c = 0; c < nv; c++)
            acc[r][c] = vf_load(out + (size_t)r * j->v_stride + c * VW) * scale[r];
    }
#if BF16 /* whole pairs: weights of slots outside [lo, hi) are 0 */
    size_t lo = p->lo / 2 * 2, pairs = (p->hi + 1 - lo) / 2;
    const value *v = (const value *)j->v + lo * j->v_stride + 2 * column;
    vf_tile_pairs(acc, mr, nv, (const value *)s + (lo - p->first), 2 * STRIDE, v, 2 * j->v_stride,
                  pairs);
#else
    const value *v = (const value *)j->v + p->lo * j->v_stride + column;
    vf_tile(acc, mr, nv, s + (p->lo - p->first), STRIDE, v, j->v_stride, p->hi - p->lo, 0, AHEAD,
            false, NULL);
#endif
    UNROLL
    for (int r = 0; r < mr; r++) {
        UNROLL
        for (int c = 0; c < nv; c++)
            vf_store(out + (size_t)r * j->v_stride + c * VW, acc[r][c]);
    }
}

INLINE void values(const struct at_attend *j, const int mr, const struct span *p, const float *s,
                   const float *scale)
{
    size_t column = 0;
    for (; column + TILE_COLUMNS <= j->v_stride; column += TILE_COLUMNS)
        values_at(j, mr, NV, column, p, s, scale);
    for (; column < j->v_stride; column += VW)
        values_at(j, mr, 1, column, p, s, scale);
}

INLINE void tile(const struct at_attend *j, const int mr, const struct span *p)
{
    float s[SPAN_ROWS * STRIDE] __attribute__((aligned(64))), scale[ROWS];
#if BF16
    scores(j, mr, p, s);
    weights(j, mr, p, s, scale);
#else
    for (int r = 0; r < ROWS; r++)
        scale[r] = 1;
    if (!quick(j, mr, p, s))
        slow(j, mr, p, s, scale);
#endif
    values(j, mr, p, s, scale);
}

#define CASE(mr)                                                                                   \
    case mr:                                                                                       \
        if (mr <= SPAN_ROWS)                                                                       \
            tile(j, mr, p);                                                                        \
        break;

static void any_tile(const struct at_attend *j, int mr, const struct span *p)
{
    switch (mr) {
        AT_EACH_MR(CASE)
    }
}

/* The slots that queries row..end-1 see in all. */
static void union_of(const struct at_attend *j, size_t row, size_t end, int32_t *ret_lo,
                     int32_t *ret_hi)
{
    int32_t lo = INT32_MAX, hi = 0;
    for (size_t i = row; i < end; i++) {
        bool none = j->hi[i] <= j->lo[i];
        int32_t from = none ? INT32_MAX : j->lo[i], to = none ? 0 : j->hi[i];
        lo = from < lo ? from : lo;
        hi = to > hi ? to : hi;
    }
    *ret_lo = lo;
    *ret_hi = hi;
}

#if BF16 && AT_HAS_TILES
/* 32 slots of 16 columns (or 32) of values from `slot` on. Where only [lo, hi) may be read, what
 * lies beside becomes 0 in `edge`; tiles wait for that copy longer than it takes. */
INLINE const value *values_of(const struct at_attend *j, const struct span *p, size_t slot,
                              size_t *ret_stride, value *edge, size_t column, size_t columns)
{
    const value *v = (const value *)j->v + slot * j->v_stride + 2 * column;
    *ret_stride = 2 * j->v_stride;
    if (slot + TILE_DEPTH <= j->slots || (slot >= p->lo && slot + TILE_DEPTH <= p->hi))
        return v;
    *ret_stride = 2 * AT_PANEL;
    for (size_t i = 0; i < TILE_DEPTH / 2; i++, v += 2 * j->v_stride) {
        size_t at = slot + 2 * i; /* a pair is readable where one of its slots is */
        bool seen = at + 1 >= p->lo && at < p->hi;
        for (size_t c = 0; c < 2 * columns; c++)
            edge[i * 2 * AT_PANEL + c] = seen ? v[c] : 0;
    }
    return edge;
}

/* 16 columns, or 32 with `wide`, of the sums of 16 queries: acc = acc * scale + s v. The tiles
 * begin at 0, because one that is loaded where vectors have just stored waits for all of them. */
INLINE void tile_values(const struct at_attend *j, const struct span *p, const float *s,
                        const float *scale, size_t column, const bool wide)
{
    value edge[TILE_DEPTH / 2 * 2 * AT_PANEL] __attribute__((aligned(64)));
    float sums[TILE_ROWS * AT_PANEL] __attribute__((aligned(64)));
    float *acc = j->acc + p->row * j->v_stride + column;
    TILE_ZERO(0);
    TILE_ZERO(1);
    for (size_t slot = p->first; slot < p->hi; slot += TILE_DEPTH) {
        size_t v_stride;
        const value *v = values_of(j, p, slot, &v_stride, edge, column, wide ? 32 : 16);
        tiles_run((const value *)s + (slot - p->first), 2 * STRIDE, v, v_stride, TILE_DEPTH, wide,
                  false);
    }
    TILE_STORE(0, sums, 4 * AT_PANEL);
    if (wide)
        TILE_STORE(1, sums + 16, 4 * AT_PANEL);
    for (size_t r = 0; r < TILE_ROWS; r++, acc += j->v_stride)
        for (size_t c = 0; c < (wide ? 32 : 16); c += VW)
            vf_store(acc + c, vf_load(acc + c) * scale[r] + vf_load(sums + r * AT_PANEL + c));
}

/* s (16, STRIDE) = q k^T. A head as deep as one tile is the rule: its queries are loaded once. */
INLINE void tile_scores(const struct at_attend *j, const struct span *p, float *s)
{
    const value *q = (const value *)j->q + p->row * j->dim;
    const bool once = j->dim == TILE_DEPTH;
    if (once)
        TILE_LOAD(4, q, 2 * TILE_DEPTH);
    for (size_t slot = p->first; slot < p->hi; slot += AT_PANEL) {
        const value *k = (const value *)j->k + slot * j->dim;
        float *to = s + (slot - p->first);
        TILE_ZERO(0);
        TILE_ZERO(1);
        if (once) {
            TILE_LOAD(6, k, 4 * AT_PANEL);
            TILE_DOT(0, 4, 6);
            TILE_LOAD(7, k + 32, 4 * AT_PANEL);
            TILE_DOT(1, 4, 7);
        } else {
            tiles_run(q, j->dim, k, 2 * AT_PANEL, j->dim, true, false);
        }
        TILE_STORE(0, to, 4 * STRIDE);
        TILE_STORE(1, to + 16, 4 * STRIDE);
    }
}

/* 16 queries by tiles; dim is a multiple of TILE_DEPTH. */
static void tile_span(const struct at_attend *j, const struct span *p)
{
    float s[TILE_ROWS * STRIDE] __attribute__((aligned(64))), scale[ROWS];
    tile_scores(j, p, s);
    weights(j, TILE_ROWS, p, s, scale);
    size_t column = 0;
    for (; column + AT_PANEL <= j->v_stride; column += AT_PANEL)
        tile_values(j, p, s, scale, column, true);
    if (column < j->v_stride)
        tile_values(j, p, s, scale, column, false);
}
#endif

#if !BF16 && AT_HAS_TILES
#include "lib/kernels/attend_split_tmpl.h"
#endif

/* Queries row..end-1 and what they see of the block of keys. */
static void span_of_block(const struct at_attend *j, size_t row, size_t end, int32_t block,
                          size_t tile, bool more)
{
    int32_t lo, hi;
    union_of(j, row, end, &lo, &hi);
    lo = lo > block ? lo : block;
    hi = hi < block + BLOCK ? hi : block + BLOCK;
    struct span p = {row, (size_t)(lo / AT_PANEL * AT_PANEL), (size_t)lo, (size_t)hi, tile, more};
    if (lo >= hi)
        return;
#if BF16 && AT_HAS_TILES
    if (end - row == TILE_ROWS) {
        tile_span(j, &p);
        return;
    }
#endif
    any_tile(j, (int)(end - row), &p);
}

void ATTEND(const struct at_attend *j)
{
    int32_t first, last;
    size_t whole = 0; /* queries that go by tiles */
    union_of(j, 0, j->n, &first, &last);
#if !BF16 && AT_HAS_TILES
    if (first < last && by_pieces(j, (size_t)first, (size_t)last))
        return;
#endif
#if BF16 && AT_HAS_TILES
    whole = j->dim % TILE_DEPTH ? 0 : j->n / TILE_ROWS * TILE_ROWS;
    if (whole)
        tiles_begin();
#endif
    size_t rest = j->n - whole, tiles = (rest + SPAN_ROWS - 1) / SPAN_ROWS;
    for (int32_t block = first / AT_PANEL * AT_PANEL; block < last; block += BLOCK) {
        for (size_t row = 0; row < whole; row += TILE_ROWS)
            span_of_block(j, row, row + TILE_ROWS, block, 0, false);
        for (size_t t = 0; t < tiles; t++)
            span_of_block(j, whole + t * rest / tiles, whole + (t + 1) * rest / tiles, block, t,
                          block + BLOCK < last);
    }
#if BF16 && AT_HAS_TILES
    if (whole)
        tiles_end();
#endif
}

#if !BF16
void AT_FN(attend_begin)(const struct at_attend *j)
{
    for (size_t i = 0; i < j->n; i++) {
        j->max[i] = EMPTY;
        j->sum[i] = 0;
    }
    for (size_t i = 0; i < j->n * j->v_stride; i++)
        j->acc[i] = 0;
}

void AT_FN(attend_end)(const struct at_attend *j, float *out, size_t out_stride)
{
    for (size_t i = 0; i < j->n; i++) {
        float scale = j->sum[i] > 0 ? 1.0f / j->sum[i] : 0;
        for (size_t d = 0; d < j->dim; d++)
            out[i * out_stride + d] = j->acc[i * j->v_stride + d] * scale;
    }
}
#endif
