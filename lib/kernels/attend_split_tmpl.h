/* Attention in fp32 over tiles: products of bf16 pieces, see tiles_run_split. Keys and values get
 * theirs once for a block of slots that all queries share. Included by attend_tmpl.h.
 * SPDX-License-Identifier: GPL-3.0-or-later */

#define SPLIT_SPAN  (2 * TILE_ROWS) /* queries that go together */
#define SPLIT_BLOCK 512             /* slots whose pieces stay near: 192 KiB of the stack */
#if defined(AT_EMULATE_TILES)
#define SPLIT_LEAST 1 /* so that tests of any size come through here */
#else
#define SPLIT_LEAST 128 /* queries; fewer gain less than the pieces of keys and values cost */
#endif

struct split_block {
    size_t first, end; /* slots, the first one of a panel */
    /* Of each panel the right factors of the scores and of the values. */
    uint16_t k[SPLIT_BLOCK / AT_PANEL * SPLIT_STEP] __attribute__((aligned(64)));
    uint16_t v[SPLIT_BLOCK / AT_PANEL * SPLIT_STEP] __attribute__((aligned(64)));
};

/* Pieces of the slots from first to end; of values, where only [lo, hi) may be read, zeros beside
 * them. */
static void split_keys(const struct at_attend *j, struct split_block *b, size_t lo, size_t hi)
{
    static const float zeros[TILE_DEPTH];
    const float *k = (const float *)j->k + b->first * TILE_DEPTH, *v = (const float *)j->v;
    for (size_t slot = b->first; slot < b->end; slot += 2, k += 2 * AT_PANEL) {
        const float *even = slot >= lo && slot < hi ? v + slot * TILE_DEPTH : zeros,
                    *odd = slot + 1 >= lo && slot + 1 < hi ? v + (slot + 1) * TILE_DEPTH : zeros;
        const size_t i = slot - b->first, panel = i / AT_PANEL * SPLIT_STEP,
                     row = panel + i % AT_PANEL / 2 * TILE_DEPTH;
        for (size_t h = 0; h < 2; h++) { /* row i of a panel of keys is one of its depth */
            vf_store_split(b->k + row + h * SPLIT_PIECE / 2, SPLIT_PIECE, k + h * 16,
                           k + AT_PANEL + h * 16, true);
            vf_store_split(b->v + row + h * SPLIT_PIECE / 2, SPLIT_PIECE, even + h * 16,
                           odd + h * 16, true);
        }
    }
}

/* What goes through the panels of a block for up to 32 queries: while tiles make the scores of one
 * and add up the values of the one before the last, vectors make weights of what is between. */
struct split_run {
    const struct at_attend *j;
    const struct span *p;
    const struct split_block *b;
    size_t rows;
    int32_t lo, hi;                           /* slots that all of them see */
    int32_t from[SPLIT_SPAN], to[SPLIT_SPAN]; /* and each; none beyond the last one */
    float less[SPLIT_SPAN], max[SPLIT_SPAN];
    vf sums[SPLIT_SPAN];
    uint16_t q[SPLIT_STEP] __attribute__((aligned(64)));
    float s[2][SPLIT_SPAN * AT_PANEL] __attribute__((aligned(64))); /* scores of panels by turns */
    uint16_t w[2][SPLIT_STEP] __attribute__((aligned(64)));         /* their weights */
    float out[SPLIT_SPAN * AT_PANEL] __attribute__((aligned(64)));  /* sums */
};

/* Weights of rows [from, end) of panel i. */
INLINE void split_weights(struct split_run *r, size_t i, size_t from, size_t end, const bool edge)
{
    const int32_t slot = (int32_t)(r->p->first + i * AT_PANEL);
    for (size_t row = from; row < end; row++) {
        const float *s = r->s[i % 2] + row * AT_PANEL;
        float e[AT_PANEL] __attribute__((aligned(64)));
        vf sum = r->sums[row];
        UNROLL
        for (int c = 0; c < AT_PANEL; c += VW) {
            vf x = vf_load(s + c) + r->less[row];
            if (edge)
                x = seen_of(x, slot + c, r->from[row], r->to[row]);
            x = vf_exp2(x);
            vf_store(e + c, x);
            sum += x;
        }
        r->sums[row] = sum;
        vf_store_split(r->w[i % 2] + row * TILE_DEPTH, SPLIT_PIECE, e, e + 16, false);
    }
}

static __attribute__((noinline)) void split_edge(struct split_run *r, size_t i, size_t rows)
{
    split_weights(r, i, 0, rows, true);
}

/* One step: scores of panel i, weights of i - 1, values of i - 2, as far as there are such of n. */
INLINE void split_step(struct split_run *r, size_t i, size_t n, const bool two)
{
    const size_t shares = 2 * SPLIT_TURNS, rows = two ? SPLIT_SPAN : TILE_ROWS,
                 at = (r->p->first - r->b->first) / AT_PANEL + i;
    const int32_t slot = (int32_t)(r->p->first + i * AT_PANEL); /* behind what gets weights */
    bool weighs = i >= 1 && i <= n;
    if (weighs && (slot - AT_PANEL < r->lo || slot > r->hi)) {
        split_edge(r, i - 1, rows);
        weighs = false;
    }
    if (i < n)
        tiles_zero(two);
    UNROLL
    for (size_t t = 0; t < SPLIT_TURNS; t++) {
        if (i < n)
            tiles_split_turn(r->q, r->b->k + at * SPLIT_STEP, t, two);
        if (weighs)
            split_weights(r, i - 1, t * rows / shares, (t + 1) * rows / shares, false);
    }
    if (i < n)
        tiles_store(r->s[i % 2], AT_PANEL, two);
    if (i >= 2)
        tiles_load(r->out, AT_PANEL, two);
    UNROLL
    for (size_t t = 0; t < SPLIT_TURNS; t++) {
        if (i >= 2)
            tiles_split_turn(r->w[i % 2], r->b->v + (at - 2) * SPLIT_STEP, t, two);
        if (weighs)
            split_weights(r, i - 1, (t + SPLIT_TURNS) * rows / shares,
                          (t + SPLIT_TURNS + 1) * rows / shares, false);
    }
    if (i >= 2)
        tiles_store(r->out, AT_PANEL, two);
}

/* As `quick`. */
INLINE bool split_begin(struct split_run *r, const bool two)
{
    const struct at_attend *j = r->j;
    const size_t upper = two ? TILE_ROWS : r->rows;
    bool empty = false;
    common_of(j, (int)r->rows, r->p, &r->lo, &r->hi);
    memset(r->max, 0, sizeof r->max);
    memcpy(r->max, j->max + r->p->row, r->rows * sizeof *r->max);
    for (size_t i = 0; i < r->rows; i++)
        empty |= r->max[i] <= EMPTY;
    if (empty && r->lo >= r->hi)
        return false;
    if (empty) {
        struct span lower = *r->p;
        lower.row += upper;
        seed(j, (int)upper, r->p, (size_t)r->lo, r->max);
        if (two)
            seed(j, (int)(r->rows - upper), &lower, (size_t)r->lo, r->max + upper);
    }
    memset(r->from, 0, sizeof r->from);
    memset(r->to, 0, sizeof r->to);
    memcpy(r->to, j->hi + r->p->row, r->rows * sizeof *r->to);
    memcpy(r->from, j->lo + r->p->row, r->rows * sizeof *r->from);
    for (size_t i = 0; i < SPLIT_SPAN; i++) {
        r->less[i] = j->bias - r->max[i];
        r->sums[i] = (vf){0};
    }
    memset(r->out, 0, sizeof r->out);
    split_rows((const float *)j->q + r->p->row * TILE_DEPTH, TILE_DEPTH, r->rows, TILE_DEPTH, r->q);
    return true;
}

/* False where weights pass the range: nothing has changed then. */
INLINE bool split_end(const struct split_run *r)
{
    const struct at_attend *j = r->j;
    float sum[SPLIT_SPAN];
    bool sound = true;
    for (size_t i = 0; i < SPLIT_SPAN; i += VW)
        vf_store(sum + i, vf_sums(r->sums + i));
    for (size_t i = 0; i < r->rows; i++)
        sound &= sum[i] < LIMIT;
    if (!sound)
        return false;
    memcpy(j->max + r->p->row, r->max, r->rows * sizeof *r->max);
    for (size_t i = 0; i < r->rows; i++)
        j->sum[r->p->row + i] += sum[i];
    float *acc = j->acc + r->p->row * TILE_DEPTH;
    for (size_t i = 0; i < r->rows * TILE_DEPTH; i += VW)
        vf_store(acc + i, vf_load(acc + i) + vf_load(r->out + i));
    return true;
}

INLINE bool split_span(const struct at_attend *j, const struct span *p, size_t rows,
                       const struct split_block *b, const bool two)
{
    const size_t n = (p->hi - p->first + AT_PANEL - 1) / AT_PANEL;
    struct split_run r;
    r.j = j;
    r.p = p;
    r.b = b;
    r.rows = rows;
    if (!split_begin(&r, two))
        return false;
    for (size_t i = 0; i < n + 2; i++)
        split_step(&r, i, n, two);
    return split_end(&r);
}

/* What queries row..end-1 see of the block; false where they see nothing. */
static bool part_of(const struct at_attend *j, size_t row, size_t end, const struct split_block *b,
                    struct span *ret)
{
    int32_t lo, hi;
    union_of(j, row, end, &lo, &hi);
    lo = lo > (int32_t)b->first ? lo : (int32_t)b->first;
    hi = hi < (int32_t)b->end ? hi : (int32_t)b->end;
    *ret = (struct span){.row = row,
                         .first = (size_t)(lo / AT_PANEL * AT_PANEL),
                         .lo = (size_t)lo,
                         .hi = (size_t)hi};
    return lo < hi;
}

/* Queries row..row+rows-1, 32 at most; by vectors where they have no common reference. */
static void span_by_pieces(const struct at_attend *j, size_t row, size_t rows,
                           const struct split_block *b)
{
    struct span p;
    if (!part_of(j, row, row + rows, b, &p))
        return;
    if (rows > TILE_ROWS ? split_span(j, &p, rows, b, true) : split_span(j, &p, rows, b, false))
        return;
    for (size_t end, from = row; from < row + rows; from = end) {
        end = from + SPAN_ROWS < row + rows ? from + SPAN_ROWS : row + rows;
        if (part_of(j, from, end, b, &p))
            any_tile(j, (int)(end - from), &p);
    }
}

/* Slots first..last-1, which the queries see in all; false where that is not for tiles, or vectors
 * are faster. A head as deep as one tile is the rule. */
static bool by_pieces(const struct at_attend *j, size_t first, size_t last)
{
    struct split_block b;
    if (j->n < SPLIT_LEAST || j->dim != TILE_DEPTH)
        return false;
    tiles_begin();
    for (b.first = first / AT_PANEL * AT_PANEL; b.first < last; b.first = b.end) {
        b.end = b.first + SPLIT_BLOCK < last ? b.first + SPLIT_BLOCK : at_round_up(last, AT_PANEL);
        split_keys(j, &b, first, last);
        for (size_t row = 0; row < j->n; row += SPLIT_SPAN)
            span_by_pieces(j, row, j->n - row < SPLIT_SPAN ? j->n - row : SPLIT_SPAN, &b);
    }
    tiles_end();
    return true;
}
