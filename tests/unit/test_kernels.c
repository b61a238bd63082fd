/* Every kernel variant against float64, at odd lengths; and the mask that chooses among them.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/cpu.h"
#include "lib/kernels/kernels.h"
#include "lib/kernels/timed.h"
#include "tests/support/variants.h"

static uint64_t seed;

/* Uniform in -1..1, the same everywhere. */
static void fill(float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        x[i] = scale * ((float)(seed >> 40) * 0x1p-23f - 1);
    }
}

/* |got - want| <= bound, said with both values. */
static void near(const char *what, const struct at_kernels *k, size_t i, double got, double want,
                 double bound)
{
    if (!(fabs(got - want) <= bound))
        fail_msg("%s of %s at %zu: got %.9g, want %.9g within %.2g", what, k->name, i, got, want,
                 bound);
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static void check_vector(const struct at_kernels *k, size_t n)
{
    float a[200] = {0}, b[200] = {0}, y[200], x[200];
    fill(a, n, 1);
    fill(b, n, 1);
    double dot = 0, top = -1e9, sum = 0;
    for (size_t i = 0; i < n; i++)
        dot += (double)a[i] * b[i];
    near("dot", k, n, k->dot(a, b, n), dot, 1e-5);
    memcpy(y, b, n * sizeof *y);
    k->axpy(0.7f, a, n, y);
    for (size_t i = 0; i < n; i++)
        near("axpy", k, i, y[i], (double)0.7f * a[i] + b[i], 2e-7);
    fill(x, n, 40);
    memcpy(y, x, n * sizeof *y);
    for (size_t i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - top);
    k->softmax(y, n);
    for (size_t i = 0; i < n; i++)
        /* the score itself is rounded: 6e-8 of it */
        near("softmax", k, i, y[i], exp(x[i] - top) / sum,
             (1e-6 + 2e-7 * (top - x[i])) * exp(x[i] - top) / sum + 1e-37);
}

/* gelu_tanh of x itself: products of one column with a weight of 1, m rows; and n columns of it. */
static void check_gelu(const struct at_kernels *k, size_t m, size_t n)
{
    float x[200], w[200], panels[256], y[200 * 45];
    uint16_t x16[400], panels16[512], y16[200 * 45], pieces[3 * 64 * 32], canary = 0x1234;
    fill(x, m, 40);
    x[0] = 300, x[m - 1] = -300, x[m / 2] *= 0.02f;
    float w16[400] = {0};
    for (size_t i = 0; i < n; i++)
        w16[2 * i] = w[i] = 1;
    at_kernels_pack(w, n, 1, panels);
    at_kernels_pack_bf16(w16, n, 2, panels16);
    for (size_t i = 0; i < m; i++) {
        x16[2 * i] = at_bf16(x[i]);
        x16[2 * i + 1] = 0;
    }
    for (size_t i = 0; i < 200 * 45; i++)
        y[i] = 7, y16[i] = canary;
    at_kernels_pack_split(w, n, 1, pieces);
    k->linear(&(struct at_linear){.x = x,
                                  .w = panels,
                                  .split = pieces,
                                  .gelu = y,
                                  .m = m,
                                  .n = n,
                                  .k = 1,
                                  .x_stride = 1,
                                  .y_stride = 45});
    k->linear_bf16(&(struct at_linear){.x = x16,
                                       .w = panels16,
                                       .gelu = y16,
                                       .m = m,
                                       .n = n,
                                       .k = 2,
                                       .x_stride = 2,
                                       .y_stride = 45});
    for (size_t i = 0; i < m * 45; i++) {
        size_t r = i / 45;
        if (i % 45 >= n) {
            near("gelu, behind the row", k, i, y[i], 7, 0);
            near("gelu in bf16, behind the row", k, i, y16[i], canary, 0);
            continue;
        }
        double want = gelu(x[r]), rounded = gelu(at_from_bf16(x16[2 * r]));
        near("gelu", k, i, y[i], want, 1e-6 * fabs(want) + 1e-7);
        near("gelu in bf16", k, i, at_from_bf16(y16[i]), rounded, 0.0043 * fabs(rounded) + 1e-7);
    }
}

static void check_norms(const struct at_kernels *k, size_t n)
{
    float x[3 * 200], w[200], b[200], rms[3 * 200], layer[3 * 200];
    uint16_t rms16[3 * 200], layer16[3 * 200];
    fill(x, 3 * n, 2);
    fill(w, n, 1);
    fill(b, n, 1);
    k->rmsnorm(x, w, NULL, 3, n, rms, false);
    k->layernorm(x, w, b, 3, n, layer, false);
    k->rmsnorm(x, w, b, 3, n, rms16, true);
    k->layernorm(x, w, b, 3, n, layer16, true);
    for (size_t r = 0; r < 3; r++) {
        double mean = 0, power = 0, variance = 0;
        for (size_t i = 0; i < n; i++) {
            mean += x[r * n + i] / (double)n;
            power += (double)x[r * n + i] * x[r * n + i] / (double)n;
        }
        for (size_t i = 0; i < n; i++)
            variance += (x[r * n + i] - mean) * (x[r * n + i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++) {
            near("rmsnorm", k, i, rms[r * n + i], x[r * n + i] / sqrt(power + 1e-5) * w[i], 3e-6);
            near("layernorm", k, i, layer[r * n + i],
                 (x[r * n + i] - mean) / sqrt(variance + 1e-5) * w[i] + b[i], 1e-5);
            double rounded = rms[r * n + i] + (double)b[i]; /* 2^-8 of it, and its own 3e-6 */
            near("rmsnorm in bf16", k, i, at_from_bf16(rms16[r * n + i]), rounded,
                 fabs(rounded) * 0x1.1p-8 + 1e-5);
            near("layernorm in bf16", k, i, at_from_bf16(layer16[r * n + i]), layer[r * n + i],
                 fabsf(layer[r * n + i]) * 0x1.1p-8f + 1e-6);
        }
    }
}

static void check_linear(const struct at_kernels *k, size_t m, size_t n, size_t depth, bool add)
{
    size_t x_stride = depth + 3, y_stride = n + 5;
    float *x = malloc(m * x_stride * sizeof *x), *w = malloc(n * depth * sizeof *w),
          *bias = malloc(n * sizeof *bias);
    float *y = malloc(m * y_stride * sizeof *y), *before = malloc(m * y_stride * sizeof *y);
    float *panels = malloc(at_kernels_panel_floats(n, depth) * sizeof *panels);
    fill(x, m * x_stride, 1);
    fill(w, n * depth, 1);
    fill(bias, n, 1);
    fill(before, m * y_stride, 1);
    memcpy(y, before, m * y_stride * sizeof *y);
    uint16_t *pieces = malloc(at_kernels_split_values(n, depth) * sizeof *pieces);
    at_kernels_pack(w, n, depth, panels);
    at_kernels_pack_split(w, n, depth, pieces);
    k->linear(&(struct at_linear){.x = x,
                                  .w = panels,
                                  .split = pieces,
                                  .bias = bias,
                                  .y = y,
                                  .m = m,
                                  .n = n,
                                  .k = depth,
                                  .x_stride = x_stride,
                                  .y_stride = y_stride,
                                  .add = add});
    for (size_t i = 0; i < m * y_stride; i++) {
        size_t r = i / y_stride, c = i % y_stride;
        double want = c >= n || add ? before[i] : bias[c];
        for (size_t e = 0; c < n && e < depth; e++)
            want += (double)x[r * x_stride + e] * w[c * depth + e];
        near(c < n ? "linear" : "linear, behind the row", k, i, y[i], want,
             c < n ? 2e-6 * sqrt((double)depth) : 0);
    }
    free(x);
    free(w);
    free(bias);
    free(y);
    free(before);
    free(panels);
    free(pieces);
}

/* Pieces are exact at both ends of the range, where rounding would pass it. */
static void test_pieces(void **state)
{
    const float x[] = {1.0f / 3,    -FLT_MAX, FLT_MAX, 0x1.fffffep0f,   -0x1.010101p-60f,
                       0x1.8p-100f, FLT_MIN,  0,       0x1.fffffep-100f};
    uint16_t pieces[3 * 32 * 32];
    assert_int_equal(at_kernels_split_values(3, 3), 3 * 32 * 32);
    at_kernels_pack_split(x, 3, 3, pieces);
    for (size_t r = 0; r < 32; r++)
        for (size_t i = 0; i < 32; i++) {
            double sum = 0;
            for (size_t p = 0; p < 3; p++)
                sum += at_from_bf16(
                    pieces[p * 1024 + r / 16 * 512 + (i / 2 * 16 + r % 16) * 2 + i % 2]);
            assert_true(sum == (r < 3 && i < 3 ? x[r * 3 + i] : 0));
        }
}

/* Products of what is as large as it gets, and of what is so small that pieces of it vanish: 12
 * rows, (x, 1) (1/2, 1/4). */
static void check_range(const struct at_kernels *k, float x, float w, double within)
{
    float in[24], panels[64], y[12];
    uint16_t pieces[3 * 32 * 32];
    const float weights[] = {w, w / 2};
    at_kernels_pack(weights, 1, 2, panels);
    at_kernels_pack_split(weights, 1, 2, pieces);
    for (size_t r = 0; r < 12; r++)
        in[2 * r] = r % 2 ? -x : x, in[2 * r + 1] = r % 2 ? -x : x;
    k->linear(&(struct at_linear){.x = in,
                                  .w = panels,
                                  .split = pieces,
                                  .y = y,
                                  .m = 12,
                                  .n = 1,
                                  .k = 2,
                                  .x_stride = 2,
                                  .y_stride = 1});
    for (size_t r = 0; r < 12; r++)
        near("range of linear", k, r, y[r], (r % 2 ? -1.5 : 1.5) * x * w, within);
}

#define TURNED 37 /* rows: some that fill vectors of slots, and some beside them */

/* Angles keep their precision far from the start: fp32 ones would be wrong altogether at 1e8. */
static void check_rope(const struct at_kernels *k, double position, size_t half)
{
    double freq[64] = {0};
    static float c[TURNED * 64], s[TURNED * 64];
    for (size_t i = 0; i < half; i++)
        freq[i] = pow(10000, -(double)i / (double)half);
    k->rope_table(freq, half, position, TURNED, c, s);
    size_t stride = at_round_up(half, AT_LANE);
    for (size_t t = 0; t < TURNED; t++)
        for (size_t i = 0; i < half; i++) {
            near("cos", k, i, c[t * stride + i], cos((position + (double)t) * freq[i]), 1e-7);
            near("sin", k, i, s[t * stride + i], sin((position + (double)t) * freq[i]), 1e-7);
        }
    /* rows and panels hold the same rotation */
    size_t dim = 2 * half;
    static float x[TURNED * 128], rows[TURNED * 128], panels[3 * 32 * 128];
    static uint16_t rows16[TURNED * 128], panels16[3 * 32 * 128];
    fill(x, TURNED * dim, 1);
    k->rope_rows(x, dim, TURNED, dim, c, s, 1, rows, dim, false);
    k->rope_rows(x, dim, TURNED, dim, c, s, 1, rows16, dim, true);
    k->rope_panels(x, dim, TURNED, dim, c, s, panels, 30); /* across the borders of panels */
    k->rope_panels_bf16(x, dim, TURNED, dim, c, s, panels16, 30);
    for (size_t t = 0; t < TURNED; t++)
        for (size_t i = 0; i < dim; i++) {
            size_t slot = 30 + t, h = i % half;
            double a = x[t * dim + h], b = x[t * dim + half + h];
            double want = i < half ? a * c[t * stride + h] - b * s[t * stride + h]
                                   : a * s[t * stride + h] + b * c[t * stride + h];
            near("rope_rows", k, i, rows[t * dim + i], want, 2e-7);
            near("rope_rows in bf16", k, i, at_from_bf16(rows16[t * dim + i]),
                 at_from_bf16(at_bf16(rows[t * dim + i])), 0);
            near("rope_panels", k, i, panels[slot / 32 * 32 * dim + i * 32 + slot % 32],
                 rows[t * dim + i], 2e-7);
            near(
                "rope_panels_bf16", k, i,
                at_from_bf16(panels16[slot / 32 * 32 * dim + (i / 2 * 32 + slot % 32) * 2 + i % 2]),
                at_from_bf16(rows16[t * dim + i]), 0);
        }
}

static void test_variants(void **state)
{
    static const size_t lengths[] = {1, 3, 8, 15, 16, 17, 32, 33, 64, 100, 128, 199};
    const struct at_kernels *k;
    for (size_t v = 0; (k = variant_at(v)); v++) {
        seed = 1;
        assert_int_equal(k->version, AT_KERNELS_VERSION);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            check_vector(k, lengths[i]);
            check_norms(k, lengths[i]);
            check_linear(k, 1 + i, lengths[i], lengths[11 - i], i % 2);
            check_linear(k, 5 * i + 13, 130 - i, 34 + i, false);
            check_gelu(k, lengths[i], 1 + 4 * i);
        }
        check_range(k, FLT_MAX, 0.6f, 1e-6 * FLT_MAX);
        check_range(k, 0x1.fffffep-100f, 0x1.fffffep-20f, 12 * (double)FLT_MIN);
        check_range(k, 0x1.8p-130f, 0.7f, 12 * (double)FLT_MIN);
        static const double positions[] = {0, 1000, 1e6, 1e8, 3e11, 1e15};
        for (size_t i = 0; i < 6; i++) {
            check_rope(k, positions[i], 16);
            check_rope(k, positions[i], 1);
            check_rope(k, positions[i], 25);
            check_rope(k, positions[i], 64);
        }
    }
}

static void test_mask(void **state)
{
    size_t n = 0;
    uint32_t all = at_cpu_levels();
    while (at_kernels_at(n))
        n++;
    assert_true(n >= 1);
    assert_ptr_equal(at_kernels_best(), at_kernels_at(0));
    assert_null(at_kernels_at(n));
    for (size_t i = 0; i < n; i++) {
        const struct at_kernels *k = at_kernels_at(i);
        assert_true(k->level & all);
        const char *level = at_cpu_level_name((enum at_cpu_level)k->level);
        assert_memory_equal(k->name, level, strlen(level)); /* "amx" or "amx+v4" */
        at_cpu_set_mask(k->level);
        assert_ptr_equal(at_kernels_best(), k);
        assert_null(at_kernels_at(1));
        at_cpu_set_mask(0);
    }
    at_cpu_set_mask(1u << 30); /* a level that no table has */
    assert_null(at_kernels_best());
    at_cpu_set_mask(0);
}

/* Which of the two comes first is measured once (kernels.c): it is one of them, and stays. */
static void test_bf16_and_v4_keep_their_places(void **state)
{
    at_cpu_set_mask(AT_CPU_X86_BF16 | AT_CPU_X86_V4);
    const struct at_kernels *k[2] = {at_kernels_at(0), at_kernels_at(1)};
    if (k[0] && k[1]) {
        assert_int_equal(k[0]->level | k[1]->level, AT_CPU_X86_BF16 | AT_CPU_X86_V4);
        assert_null(at_kernels_at(2));
        for (int i = 0; i < 100; i++)
            for (size_t v = 0; v < 2; v++)
                assert_ptr_equal(at_kernels_at(v), k[v]);
    }
    at_cpu_set_mask(0);
    if (!k[0] || !k[1])
        skip();
}

static const struct at_kernels *slow_base;

static void attend_ten_times(const struct at_attend *job)
{
    for (int i = 0; i < 10; i++)
        slow_base->attend(job);
}

static void linear_bf16_ten_times(const struct at_linear *job)
{
    for (int i = 0; i < 10; i++)
        slow_base->linear_bf16(job);
}

/* What takes ten times as long is slower, and what it is made of is not slower than it. */
static void test_the_slower_of_two(void **state)
{
    slow_base = at_kernels_best();
    struct at_kernels slow = *slow_base;
    slow.attend = attend_ten_times;
    slow.linear_bf16 = linear_bf16_ten_times;
    assert_true(at_kernels_slower_fp32(&slow, slow_base));
    assert_false(at_kernels_slower_fp32(slow_base, &slow));
    assert_true(at_kernels_slower_bf16(&slow, slow_base));
    assert_false(at_kernels_slower_bf16(slow_base, &slow));
}

/* Whether fp32 goes over tiles is measured once too, and is the same for all that ask. */
static void test_fp32_keeps_its_way(void **state)
{
    at_cpu_set_mask(AT_CPU_X86_AMX);
    const struct at_kernels *k = at_kernels_best();
    for (int i = 0; k && i < 100; i++)
        assert_ptr_equal(at_kernels_best(), k);
    at_cpu_set_mask(0);
    if (!k)
        skip();
    assert_int_equal(k->splits, !strchr(k->name, '+'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_slower_of_two),
                                       cmocka_unit_test(test_fp32_keeps_its_way),
                                       cmocka_unit_test(test_variants),
                                       cmocka_unit_test(test_pieces),
                                       cmocka_unit_test(test_mask),
                                       cmocka_unit_test(test_bf16_and_v4_keep_their_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
