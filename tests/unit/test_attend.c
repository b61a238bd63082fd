/* The attention kernel of every variant against float64, where its softmax has to look twice.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/kernels/kernels.h"
#include "tests/support/variants.h"

#define N       139 /* queries: spans of 32 over tiles, and some */
#define SLOTS   1100
#define MAX_DIM 48
#define BIAS    1.5f

/* Queries and keys by rows, and what the kernel gets. Scores are in log2 units. */
struct data {
    float q[N * MAX_DIM], k[SLOTS * MAX_DIM], v[SLOTS * MAX_DIM];
    float panels[(SLOTS + 31) * MAX_DIM];
    int32_t lo[N], hi[N];
    size_t dim;
};

static uint64_t seed;

static void fill(float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        x[i] = scale * ((float)(seed >> 40) * 0x1p-23f - 1);
    }
}

static double score(const struct data *d, size_t i, size_t slot)
{
    double s = 0;
    for (size_t c = 0; c < d->dim; c++)
        s += (double)d->q[i * d->dim + c] * d->k[slot * d->dim + c];
    return s;
}

/* Attention of all queries in two pieces, the second one with BIAS, against float64. */
static void check(const struct at_kernels *k, const char *what, const struct data *d, int32_t cut)
{
    static float acc[N * MAX_DIM], out[N * MAX_DIM];
    float max[N], sum[N];
    int32_t lo[N], hi[N];
    struct at_attend j = {.q = d->q,
                          .k = d->panels,
                          .v = d->v,
                          .lo = lo,
                          .hi = hi,
                          .n = N,
                          .dim = d->dim,
                          .v_stride = at_round_up(d->dim, AT_LANE),
                          .max = max,
                          .sum = sum,
                          .acc = acc};
    k->attend_begin(&j);
    for (int piece = 0; piece < 2; piece++) {
        for (size_t i = 0; i < N; i++) {
            lo[i] = piece && d->lo[i] < cut ? cut : d->lo[i];
            hi[i] = !piece && d->hi[i] > cut ? cut : d->hi[i];
        }
        j.bias = piece ? BIAS : 0;
        k->attend(&j);
    }
    k->attend_end(&j, out, d->dim);
    for (size_t i = 0; i < N; i++) {
        double top = -INFINITY, total = 0, want[MAX_DIM] = {0};
        for (int32_t t = d->lo[i]; t < d->hi[i]; t++)
            top = fmax(top, score(d, i, (size_t)t) + (t < cut ? 0 : (double)BIAS));
        for (int32_t t = d->lo[i]; t < d->hi[i]; t++) {
            double w = exp2(score(d, i, (size_t)t) + (t < cut ? 0 : (double)BIAS) - top);
            total += w;
            for (size_t c = 0; c < d->dim; c++)
                want[c] += w * d->v[(size_t)t * j.v_stride + c];
        }
        for (size_t c = 0; c < d->dim; c++) {
            double w = total > 0 ? want[c] / total : 0, got = out[i * d->dim + c];
            /* scores of some hundreds are themselves rounded to 3e-5 */
            if (!(fabs(got - w) <= 1e-4))
                fail_msg("%s, %s, query %zu, column %zu: got %.9g, want %.9g", what, k->name, i, c,
                         got, w);
        }
    }
}

/* Noise. */
static void make(struct data *d, size_t dim)
{
    seed = 1;
    d->dim = dim;
    fill(d->q, N * dim, 1);
    fill(d->k, SLOTS * dim, 1);
    fill(d->v, sizeof d->v / sizeof *d->v, 1);
}

/* Keys to panels; before the first slot that is seen and behind the last one all is NaN. */
static void seal(struct data *d)
{
    size_t stride = at_round_up(d->dim, AT_LANE);
    int32_t first = SLOTS, last = 0;
    for (size_t i = 0; i < N; i++) {
        bool sees = d->lo[i] < d->hi[i];
        first = sees && d->lo[i] < first ? d->lo[i] : first;
        last = sees && d->hi[i] > last ? d->hi[i] : last;
    }
    at_kernels_pack(d->k, SLOTS, d->dim, d->panels);
    for (size_t t = 0; t < SLOTS; t++) {
        bool hidden = (int32_t)t < first || (int32_t)t >= last;
        for (size_t c = 0; c < stride && hidden; c++)
            d->v[t * stride + c] = NAN;
        for (size_t c = 0; c < d->dim && hidden; c++)
            d->panels[t / 32 * 32 * d->dim + c * 32 + t % 32] = NAN;
    }
}

/* Adds to slot's key what makes its score with every query differ by about `by`: all queries have
 * the same first number. */
static void shift(struct data *d, size_t slot, float by)
{
    d->k[slot * d->dim] += by / 2;
}

static void see(struct data *d, int32_t lo, int32_t lo_step, int32_t hi, int32_t hi_step)
{
    for (int32_t i = 0; i < N; i++) {
        d->q[(size_t)i * d->dim] = 2;
        d->lo[i] = lo + i * lo_step;
        d->hi[i] = hi + i * hi_step;
    }
}

static void check_all(const struct at_kernels *k, size_t dim)
{
    static struct data d;
    make(&d, dim);
    see(&d, 0, 0, 1, 7);
    seal(&d);
    check(k, "causal", &d, 0);
    check(k, "causal, in two pieces", &d, 333);
    make(&d, dim);
    see(&d, 5, 1, 940, 1);
    seal(&d);
    check(k, "a window that slides", &d, 545);
    make(&d, dim);
    see(&d, 3, 7, 13, 7);
    seal(&d);
    check(k, "queries that have no slot in common", &d, 500);
    make(&d, dim);
    see(&d, 7, 1, 900, -6);
    d.hi[4] = d.lo[4], d.hi[N - 1] = 0;
    seal(&d);
    check(k, "queries that see nothing", &d, 10);
    for (int high = 0; high < 2; high++) { /* the first slot is what others are measured by */
        make(&d, dim);
        see(&d, 0, 0, 900, 1);
        shift(&d, 0, high ? 300 : -300);
        shift(&d, 40, 250);
        shift(&d, 700, 450);
        seal(&d);
        check(k, high ? "a first slot far above" : "a first slot far below", &d, 0);
        check(k, high ? "the same in two pieces" : "likewise in two pieces", &d, 600);
    }
}

static void test_every_variant(void **state)
{
    const struct at_kernels *k;
    for (size_t v = 0; (k = variant_at(v)); v++) {
        check_all(k, 32);
        check_all(k, 6);
        check_all(k, 48);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_variant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
