/* Every variant of the loops gives the same bits; the plainest is held to what it should be by the
 * tests of those who use it. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dsp/loops.h"
#include "tests/support/signals.h"

enum { N = 512, PARTS = 27, TAPS = 65, D = 4 };

/* What one variant makes of x (4 N): all outputs one after the other. */
struct outputs {
    float part[PARTS][2 * N];
    int32_t bucket[2][N];
    uint8_t hit[2][N];
    int16_t raw[2 * N];
    double moments[3];
    float top[3];
    size_t above;
    unsigned below, standing[2];
    size_t from;
    double sums[6];
    int bad;
};

static void run_spectra(const struct at_loops *l, const float *x, struct outputs *o)
{
    o->above = l->survey(x, 2 * N - 3, 1, &o->bad);
    l->to_int16(x, 2 * N, o->raw);
    l->from_int16((const char *)o->raw + 1, 2 * N - 1, 0.1f, o->part[22]);
    l->moments(x, N - 3, &o->moments[0], &o->moments[1], &o->moments[2]);
    l->window(x, x + 2 * N, N, o->part[0]);
    l->power(x, N, 0.3f, 0, o->part[1]);
    l->power(x + N, N, 0.7f, 1, o->part[1]);
    l->hann_power(x, N, 0.3f, 0, o->part[2]);
    l->hann_power(x + N, N, 0.7f, 1, o->part[2]);
    l->decibels(o->part[1], N, o->part[3]);
    l->sum_rows(o->part[1], 1, N - 5, o->part[4]);
    l->add(o->part[2], N - 5, o->part[4]);
    o->part[5][0] = l->total(o->part[1], N - 5);
}

static void run_detector(const struct at_loops *l, const float *x, struct outputs *o)
{
    float room[2 * N], sums[N], free[N], limits[8] = {3, 2.8f, 2.5f, 2.2f, 2, 1.8f, 1.6f, 1.5f};
    for (int k = 0; k < N; k++)
        o->part[7][k] = o->part[8][k] = fabsf(x[k]);
    unsigned at = 0;
    for (unsigned h = 1; 2 * h <= 256; at += N / h, h *= 2)
        for (unsigned j = 0; j < N / h; j++)
            room[at + j] = (float)(2 * h);
    o->top[0] = l->gather(o->part[1], o->part[2], N, 8, o->part[6]);
    o->top[1] = l->gather(o->part[1], o->part[2], N - 1, 1, o->part[6]);
    for (int k = 0; k < N; k++) {
        free[k] = (float)(k % 7 > 1);
        o->part[9][k] = o->part[6][k] * 0.7f;
    }
    o->top[2] = l->rooms(free, N, 1, o->part[23]);
    l->highest(o->part[9], N - 1, o->part[8]);
    l->above(o->part[6], N - 1, 4, o->hit[0]);
    uint8_t flags[2 * N];
    const struct at_loops_boxes b = {N, 1, 256, room, sums, flags, o->hit[1]};
    l->boxes(&b, o->part[6], limits);
    l->leave(o->hit[1], N - 1, o->part[6] + N, o->part[9] + N);
    o->sums[0] = l->sum_from(o->part[6], N - 3, 0.7f, &o->from);
    l->pairs(o->part[6], o->part[9], N - 3, o->sums + 1);
    o->below = l->below(o->part[6], o->part[9], N - 3, 0.9f);
    for (int i = 0; i < 2; i++)
        o->standing[i] = l->standing(i ? o->part[9] : NULL, o->part[6], o->part[7], o->part[8],
                                     N - 3, 0.7f, 0.4f, 0.6f, o->part[24 + i]);
}

static void run_tokens(const struct at_loops *l, const float *x, struct outputs *o)
{
    float line[2 * (TAPS - 1) * D + 2 * D * 31], pairs[2 * (TAPS - 1) * D + 2];
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        line[i] = x[i % (4 * N)];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        pairs[i] = x[i / 2];
    l->turn_bins(x, x + 2 * N, N - 3, 0.6f, -0.8f, o->part[10]);
    l->turn(x, x + 2 * N, x + N, N - 3, o->part[26]);
    l->decimate(line, pairs, (TAPS - 1) * D + 1, D, 31, o->part[11]);
    l->frame(x, o->part[1], N, o->part[12], o->part[13]);
    l->powers(x, o->part[1], N, o->part[14], o->part[15]);
    l->buckets(o->part[14], N, 20, 7, o->bucket[0]);
    l->histogram(o->bucket[0], o->part[15], N, 8, o->part[20] + 8);
    l->turns(x, N, o->part[16], o->part[17]);
    l->frequency(o->part[16], o->part[17], N, 0.1f, 5, o->part[18], o->part[19], o->bucket[1]);
    l->histogram(o->bucket[1], o->part[19], N, AT_LOOPS_FREQ_STEPS, o->part[20] + 16);
    l->sums2(o->part[14], o->part[15], o->part[1], N, o->part[20]);
    l->sums3(o->part[19], o->part[18], N, o->part[21]);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void run_all(const struct at_loops *l, const float *x, struct outputs *o)
{
    memset(o, 0, sizeof *o);
    run_spectra(l, x, o);
    run_detector(l, x, o);
    run_tokens(l, x, o);
}

static void test_variants_agree_to_the_bit(void **state)
{
    static struct outputs plain, other;
    static float x[4 * N];
    size_t n = 0, hits = 0;
    sig_add_noise(x, 2 * N, 0, 7);
    while (at_loops_at(n + 1))
        n++;
    run_all(at_loops_at(n), x, &plain);
    assert_string_equal(at_loops_at(n)->name, "generic");
    for (size_t k = 0; k < N; k++)
        hits += plain.hit[0][k] + plain.hit[1][k];
    print_message("%zu above, %zu hits, power %.3f, %zu variants beside generic\n", plain.above,
                  hits, plain.moments[2], n);
    assert_true(plain.above > 0 && hits > 0 && hits < 2 * N && plain.moments[2] > 0);
    for (size_t i = 0; i < n; i++) {
        const struct at_loops *l = at_loops_at(i);
        run_all(l, x, &other);
        for (int p = 0; p < PARTS; p++)
            for (int k = 0; k < 2 * N; k++)
                if (bits_of(plain.part[p][k]) != bits_of(other.part[p][k]))
                    fail_msg("%s: output %d, value %d: %.9g, generic %.9g", l->name, p, k,
                             (double)other.part[p][k], (double)plain.part[p][k]);
        assert_memory_equal(&plain, &other, sizeof plain);
    }
}

/* Boxes as they are defined, one by one. */
static void boxes_cover_what_they_hit(unsigned per)
{
    static float row[N], mask[N], cells[N], room[2 * N], sums[N];
    static uint8_t flags[2 * N], hit[N], want[N];
    const float limits[] = {2.5f, 2, 1.7f, 1.5f, 1.4f};
    sig_add_noise(row, N / 2, 0, 3);
    for (int k = 0; k < N; k++) {
        row[k] = row[k] * row[k] * (k / 100 == 2 ? 3 : 1);
        mask[k] = k % 19 != 0;
    }
    size_t hits = 0, i = 0;
    memset(want, 0, sizeof want);
    float *to = room;
    for (unsigned h = per; 2 * h <= 64; to += N / h, h *= 2)
        for (unsigned j = 0; j + 1 < N / h; j++) {
            float sum = 0, free = 0;
            for (unsigned k = j * h; k < (j + 2) * h; k++) {
                sum += row[k] * mask[k];
                free += mask[k];
            }
            to[j] = free < (float)h ? INFINITY : free;
            i = (size_t)__builtin_ctz(h / per);
            if (sum > limits[i] * to[j])
                memset(want + (size_t)j * h, 1, (size_t)2 * h);
        }
    for (size_t v = 0; at_loops_at(v); v++) {
        const struct at_loops_boxes b = {N, per, 64, room, sums, flags, hit};
        memset(hit, 0, sizeof hit);
        at_loops_at(v)->gather(row, mask, N, per, cells);
        at_loops_at(v)->boxes(&b, cells, limits);
        assert_memory_equal(hit, want, sizeof hit);
    }
    for (int k = 0; k < N; k++)
        hits += hit[k];
    print_message("cells of %u: %zu of %d bins\n", per, hits, N);
    assert_true(hits > 10 && hits < N);
}

static void test_boxes_cover_what_they_hit(void **state)
{
    boxes_cover_what_they_hit(2);
    boxes_cover_what_they_hit(8);
}

enum { ROWS = 21, BINS = 128, LEVELS = 3, WIDTHS = 3 };

/* The boxes of 4, 8 and 16 bins of a row that stand above limits. */
static void mark_boxes(const float *row, const float *limits, uint8_t *want)
{
    for (unsigned w = 4, i = 0; i < WIDTHS; w *= 2, i++)
        for (unsigned k = 0; k + w <= BINS; k += w / 2) {
            float sum[16];
            memcpy(sum, row + k, w * sizeof *sum);
            for (unsigned m = w / 2; m > 0; m /= 2)
                for (unsigned j = 0; j < m; j++)
                    sum[j] = sum[2 * j] + sum[2 * j + 1];
            if (sum[0] > limits[i] * (float)w)
                memset(want + k, 1, w);
        }
}

/* The same over rows, which it spoils, and over means of two, four and eight of them. */
static void mark_means(float rows[ROWS][BINS], float limits[LEVELS + 1][WIDTHS], uint8_t *want)
{
    unsigned count = ROWS;
    for (unsigned i = 0; i < ROWS; i++)
        mark_boxes(rows[i], limits[0], want);
    for (unsigned level = 1; level <= LEVELS; level++, count /= 2)
        for (unsigned i = 1; i < count; i++) {
            float mean[BINS];
            for (unsigned k = 0; k < BINS; k++)
                mean[k] = 0.5f * (rows[i - 1][k] + rows[i][k]);
            mark_boxes(mean, limits[level], want);
            if (i % 2)
                memcpy(rows[i / 2], mean, sizeof mean);
        }
}

/* Rows and means of them; a row without a cell above its bar is not looked at, and has nothing to
 * show. */
static void test_means_of_rows_are_marked_where_they_stand_out(void **state)
{
    static float rows[ROWS][BINS], spoilt[ROWS][BINS], weight[BINS], room[2 * BINS],
        scratch[4][LEVELS * BINS];
    static uint8_t flags[2 * BINS], hit[BINS], want[BINS], none[BINS];
    static float limits[LEVELS + 1][WIDTHS] = {
        {7, 5, 4}, {5, 4, 3.2f}, {4, 3, 2.5f}, {3, 2.2f, 1.9f}};
    float bars[2][LEVELS + 1];
    size_t hits = 0;
    sig_add_noise(rows[0], ROWS * BINS / 2, 0, 11);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < BINS; k++)
            rows[i][k] *= 2 * rows[i][k] * (i > 7 && i < 16 && k / 6 == 9 ? 4 : 1);
    for (int k = 0; k < BINS; k++)
        weight[k] = 1;
    for (unsigned h = 2, at = 0; 2 * h <= 16; at += BINS / h, h *= 2)
        for (unsigned j = 0; j < BINS / h; j++)
            room[at + j] = (float)(2 * h);
    memcpy(spoilt, rows, sizeof rows);
    mark_means(spoilt, limits, want);
    for (int k = 0; k < BINS; k++)
        hits += want[k];
    for (int k = 0; k <= LEVELS; k++) {
        bars[0][k] = 2 * limits[k][WIDTHS - 1]; /* cells of two bins */
        bars[1][k] = INFINITY;
    }
    print_message("%zu of %d bins\n", hits, BINS);
    assert_true(hits > 4 && hits < BINS / 2);
    for (size_t v = 0; at_loops_at(v); v++)
        for (int high = 0; high < 2; high++) {
            const struct at_loops_pass p = {.boxes = {BINS, 2, 16, room, scratch[3], flags, hit},
                                            .weight = weight,
                                            .limits = limits[0],
                                            .bars = bars[high],
                                            .n_widths = WIDTHS,
                                            .n_levels = LEVELS,
                                            .stride = BINS,
                                            .cells = scratch[2],
                                            .last = scratch[0],
                                            .box = scratch[1]};
            memset(hit, 0, sizeof hit);
            at_loops_at(v)->durations(&p, rows[0], ROWS);
            assert_memory_equal(hit, high ? none : want, sizeof hit);
        }
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_the_smallest_is_that_of_a_sorted_column(void **state)
{
    enum { TALL = 37, COLUMNS = 77 };
    static float rows[TALL * COLUMNS], column[TALL], out[COLUMNS];
    static int32_t used[COLUMNS], rank[COLUMNS];
    static int16_t bits[2 * TALL * AT_LOOPS_COLUMNS];
    for (size_t v = 0; at_loops_at(v); v++) {
        const struct at_loops *l = at_loops_at(v);
        memset(rows, 0, sizeof rows);
        sig_add_noise(rows, TALL * COLUMNS / 2, -10, 5);
        rows[3] = NAN;
        rows[COLUMNS + 3] = INFINITY;
        l->sift(rows, TALL, COLUMNS, used);
        for (int k = 0; k < COLUMNS; k++)
            rank[k] = used[k] ? k % used[k] : 0;
        l->smallest(rows, TALL, COLUMNS, rank, bits, out);
        for (int k = 0; k < COLUMNS; k++) {
            int32_t good = 0;
            for (int i = 0; i < TALL; i++) {
                column[i] = rows[i * COLUMNS + k];
                good += column[i] < INFINITY;
                assert_true(column[i] > 0);
            }
            qsort(column, TALL, sizeof *column, rising);
            assert_int_equal(used[k], good);
            if (out[k] != column[rank[k]])
                print_message("%s, column %d: %g, sorted %g\n", l->name, k, (double)out[k],
                              (double)column[rank[k]]);
            assert_true(out[k] == column[rank[k]]);
        }
    }
}

static void test_a_value_that_is_not_finite_is_found(void **state)
{
    for (size_t i = 0; at_loops_at(i); i++)
        for (int k = 0; k < 35; k++) {
            float x[35] = {0};
            int bad;
            assert_int_equal(at_loops_at(i)->survey(x, 35, 0.5f, &bad), 0);
            assert_false(bad);
            x[k] = k % 2 ? NAN : -INFINITY;
            at_loops_at(i)->survey(x, 35, 0.5f, &bad);
            assert_true(bad);
        }
}

static void test_decibels_are_as_close_as_said(void **state)
{
    enum { MANY = 4096 };
    static float x[MANY], got[MANY];
    double worst = 0;
    for (int k = 0; k < MANY; k++) /* all magnitudes, mantissas of all kinds */
        x[k] = (float)pow(10, -24 + 60.0 * k / MANY);
    x[0] = 0;
    at_loops_best()->decibels(x, MANY, got);
    for (int k = 0; k < MANY; k++)
        worst = fmax(worst, fabs((double)got[k] - 10 * log10(fmax((double)x[k], 1e-24))));
    print_message("at worst %.2e dB\n", worst);
    assert_true(worst < 4e-4);
}

static void test_sixteen_bits_to_nearest_and_clipped(void **state)
{
    static const float x[] = {0, 1.5f / 32768, -1.5f / 32768, 1.4f / 32768, 0.99999f, 2, -2, -1};
    static const int16_t want[] = {0, 2, -2, 1, 32767, 32767, -32768, -32768};
    for (size_t i = 0; at_loops_at(i); i++) {
        int16_t got[8];
        at_loops_at(i)->to_int16(x, 8, got);
        for (int k = 0; k < 8; k++) {
            if (got[k] != want[k])
                print_message("%g: %d, wanted %d\n", (double)x[k], got[k], want[k]);
            assert_int_equal(got[k], want[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants_agree_to_the_bit),
        cmocka_unit_test(test_boxes_cover_what_they_hit),
        cmocka_unit_test(test_means_of_rows_are_marked_where_they_stand_out),
        cmocka_unit_test(test_the_smallest_is_that_of_a_sorted_column),
        cmocka_unit_test(test_decibels_are_as_close_as_said),
        cmocka_unit_test(test_sixteen_bits_to_nearest_and_clipped),
        cmocka_unit_test(test_a_value_that_is_not_finite_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
