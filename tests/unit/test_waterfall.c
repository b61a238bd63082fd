/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/dsp/waterfall.h"

#define RATE    64e3
#define DENSITY 1e-6f /* -60 dBFS/Hz; the upper half of the band: 20 dB more */
enum { BINS = 16, HOP = 32, ROW = 640, MOST = 512 };

struct rows {
    unsigned n;
    struct at_row row[16];
    float low[16], high[16]; /* dBFS of the lowest and the highest bin */
};

static void keep(void *ctx, const struct at_row *row)
{
    struct rows *r = ctx;
    assert_true(r->n < 16);
    r->low[r->n] = row->dbfs[0];
    r->high[r->n] = row->dbfs[row->n - 1];
    r->row[r->n++] = *row;
}

static struct at_map map_of(unsigned n, size_t t, uint64_t first)
{
    float *rows = calloc(n * (t ? t : 1), sizeof *rows), *sum = calloc(n, sizeof *sum),
          *floor = calloc(n, sizeof *floor);
    for (size_t i = 0; i < n * t; i++) {
        rows[i] = i % n < n / 2 ? DENSITY : 100 * DENSITY;
        sum[i % n] += rows[i];
    }
    for (unsigned k = 0; k < n; k++)
        floor[k] = DENSITY;
    return (struct at_map){.n = n,
                           .t = t,
                           .rows = rows,
                           .sum = sum,
                           .floor = floor,
                           .looks = 1,
                           .first = first,
                           .hop = n / 2,
                           .span = n};
}

static void run(struct at_waterfall *w, struct rows *r, struct at_epoch e,
                struct at_band_stats *stats, bool last)
{
    const struct at_band_sink sink = {.ctx = r, .row = keep};
    at_waterfall_run(w, &e, &sink, stats, DENSITY, last);
    const struct at_map *maps[] = {&e.fast, &e.slow};
    for (unsigned i = 0; i < 2; i++) {
        free((void *)maps[i]->rows);
        free((void *)maps[i]->floor);
        free(maps[i]->sum);
    }
}

/* Spectra of half a millisecond as rows of 10 ms: 20 in each, over epochs, at the power of a row's
 * bin. */
static void test_rows_at_their_rate_and_level(void **state)
{
    struct at_waterfall w;
    struct rows r = {0};
    struct at_band_stats stats = {0};
    assert_int_equal(at_waterfall_init(&w, NULL, RATE, BINS, RATE / ROW, MOST), 0);
    for (unsigned i = 0; i < 2; i++)
        run(&w, &r, (struct at_epoch){.fast = map_of(64, 25, i * 25 * HOP)}, &stats, false);
    assert_int_equal(r.n, 2);
    run(&w, &r, (struct at_epoch){.fast = map_of(64, 5, 50 * HOP)}, &stats, true);
    assert_int_equal(r.n, 3); /* the last one is as long as what is left */
    for (unsigned i = 0; i < 3; i++) {
        print_message("row %u at %llu, %.2f ms: %.2f and %.2f dBFS\n", i,
                      (unsigned long long)r.row[i].index, 1e3 * r.row[i].span_s, (double)r.low[i],
                      (double)r.high[i]);
        assert_int_equal(r.row[i].n, BINS);
        assert_int_equal(r.row[i].index,
                         i * ROW + 16); /* the middle half of the first spectrum begins there */
        assert_true(fabs(r.row[i].span_s - (i < 2 ? 20 : 15) * HOP / RATE) < 1e-9);
        assert_true(fabs(r.low[i] - (-60 + 10 * log10(RATE / BINS))) < 0.01 &&
                    fabs(r.high[i] - r.low[i] - 20) < 0.01);
        assert_true(fabs(r.row[i].floor_dbfs_hz + 60) < 0.01 &&
                    fabs(r.row[i].occupancy - 0.5) < 0.01);
    }
    assert_true(fabs(stats.occupancy - 0.5) < 0.01);
    at_waterfall_finish(&w);
}

/* Long spectra where two fit into a row, short ones else; what is begun of one kind is not mixed
 * with the other, and forgotten where a stretch begins. */
static void test_the_finest_spectra_that_are_soon_enough(void **state)
{
    struct at_waterfall w;
    struct rows r = {0};
    struct at_band_stats stats = {0};
    assert_int_equal(at_waterfall_init(&w, NULL, RATE, BINS, RATE / ROW, MOST), 0);
    run(&w, &r, (struct at_epoch){.fast = map_of(64, 5, 0), .slow = map_of(512, 3, 0)}, &stats,
        false);
    assert_int_equal(w.n, 64);
    assert_int_equal(w.n_rows, 5);
    run(&w, &r, (struct at_epoch){.fast = map_of(64, 8, 160), .slow = map_of(256, 2, 160)}, &stats,
        false);
    assert_int_equal(r.n, 1); /* of the five */
    assert_int_equal(w.n, 256);
    assert_int_equal(w.n_rows, 2);
    at_waterfall_begin(&w);
    run(&w, &r, (struct at_epoch){.fast = map_of(64, 1, 9000)}, &stats, true);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.row[1].index, 9016);
    at_waterfall_finish(&w);
}

static void test_every_allocation_may_fail(void **state)
{
    for (long i = 1; i <= 2; i++) {
        struct at_mem mem = {.fail_at = i};
        struct at_waterfall w;
        assert_int_equal(at_waterfall_init(&w, &mem, RATE, BINS, 10, MOST), -ENOMEM);
        assert_int_equal(mem.bytes[AT_MEM_IQ], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_at_their_rate_and_level),
        cmocka_unit_test(test_the_finest_spectra_that_are_soon_enough),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
