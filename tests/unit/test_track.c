/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/dsp/link.h"
#include "lib/dsp/track.h"
#include "lib/dsp/whole.h"
#include "tests/support/signals.h"

/* Maps of one epoch as a view makes them: noise of density 1 and two bands over it. */
enum { FAST = 128, SLOW = 2048, ROWS_FAST = 312, ROWS_SLOW = 18, EPOCH = 20000, FIRST = 5000 };

static const double rate = 1e6;
static const double a_lo = -350e3, a_hi = -150e3, b_lo = 50e3, b_hi = 150e3;

struct maps {
    float fast[ROWS_FAST * FAST], slow[ROWS_SLOW * SLOW], floor[SLOW];
    float sums[2][SLOW], tops[2][SLOW];
    uint64_t seed;
};

static void fill(struct maps *m, struct at_map *map, float *rows, bool a, bool b)
{
    memset(map->sum, 0, map->n * sizeof(float));
    memset(map->top, 0, map->n * sizeof(float));
    for (size_t t = 0; t < map->t; t++)
        for (unsigned k = 0; k < map->n; k++) {
            double f = ((double)k + 0.5 - 0.5 * map->n) * rate / map->n;
            double mean = 1;
            mean += a && f > a_lo && f < a_hi ? 300 : 0;
            mean += b && f > b_lo && f < b_hi ? 200 : 0;
            float x = (float)(-mean * log(sig_uniform(&m->seed)));
            rows[t * map->n + k] = x;
            map->sum[k] += x;
            map->top[k] = fmaxf(map->top[k], x);
        }
}

/* One epoch: the regions that a detector and linker would give for it. rows_slow: ROWS_SLOW, or 0
 * for one too short for any. */
static void run_epoch(struct at_tracker *t, struct maps *m, unsigned i, bool b, bool joined,
                      size_t rows_slow)
{
    uint64_t at = FIRST + (uint64_t)i * EPOCH;
    struct at_epoch e = {.index = at,
                         .end = at + EPOCH,
                         .rate_hz = rate,
                         .fast = {.n = FAST,
                                  .t = ROWS_FAST,
                                  .rows = m->fast,
                                  .floor = m->floor,
                                  .sum = m->sums[0],
                                  .top = m->tops[0],
                                  .looks = 1,
                                  .first = at,
                                  .hop = 64,
                                  .span = 128},
                         .slow = {.n = SLOW,
                                  .t = rows_slow,
                                  .rows = m->slow,
                                  .floor = m->floor,
                                  .sum = m->sums[1],
                                  .top = m->tops[1],
                                  .looks = 1,
                                  .first = at,
                                  .hop = 1024,
                                  .span = 2048},
                         .floor_source = AT_FLOOR_MEASURED};
    struct at_region r[2 * AT_TRACK_MAX_REGIONS] = {{.f_lo_hz = a_lo,
                                                     .f_hi_hz = joined ? b_hi : a_hi,
                                                     .peak_hz = -200e3,
                                                     .peak = 300,
                                                     .steady = true,
                                                     .is_long = true}};
    fill(m, &e.fast, m->fast, true, b);
    fill(m, &e.slow, m->slow, true, b);
    assert_int_equal(at_tracker_run(t, &e, r, 1), 0);
}

static struct at_track *track_at(const struct at_tracker *t, double hz)
{
    for (unsigned i = 0; i < t->n_tracks; i++)
        if (!t->tracks[i]->dropped && t->tracks[i]->e.f_lo_hz < hz && t->tracks[i]->e.f_hi_hz > hz)
            return t->tracks[i];
    return NULL;
}

/* Epochs of one band, then `both` of both in one region, then one again. */
static void run_two(struct at_tracker *t, struct at_mem *mem, unsigned alone, unsigned both,
                    unsigned after)
{
    static struct maps m;
    m.seed = 7;
    for (unsigned i = 0; i < SLOW; i++)
        m.floor[i] = 1;
    assert_int_equal(at_tracker_init(t, mem, rate, FAST, SLOW, ROWS_FAST, 16), 0);
    t->hang_s = 0.5;
    unsigned i = 0;
    for (; i < alone; i++)
        run_epoch(t, &m, i, false, false, ROWS_SLOW);
    for (; i < alone + both; i++)
        run_epoch(t, &m, i, true, true, ROWS_SLOW);
    for (; i < alone + both + after; i++)
        run_epoch(t, &m, i, false, false, ROWS_SLOW);
}

static double db(double ratio)
{
    return 10 * log10(ratio);
}

/* What was taken for a part of another and is not began when it came, not when the other did. */
static void test_a_part_that_leaves_began_when_it_came(void **state)
{
    enum { ALONE = 40, BOTH = 5 };
    struct at_mem mem = {0};
    struct at_tracker t;
    run_two(&t, &mem, ALONE, BOTH, 0);
    struct at_track *a = track_at(&t, -200e3), *b = track_at(&t, 100e3);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    print_message("a from %llu, %.1f dB; b from %llu, %.1f dB, %.3f s\n",
                  (unsigned long long)a->e.start, (double)a->e.snr_db,
                  (unsigned long long)b->e.start, (double)b->e.snr_db, b->on_s);
    assert_true(a->e.start < FIRST + EPOCH);
    int64_t late = (int64_t)b->e.start - (FIRST + ALONE * EPOCH);
    assert_true(late > -EPOCH && late < EPOCH);
    assert_true(fabs((double)a->e.snr_db - db(300)) < 1.5);
    assert_true(fabs((double)b->e.snr_db - db(200)) < 1.5);
    at_tracker_finish(&t);
}

/* And what has gone meanwhile is no emission. */
static void test_a_part_that_is_gone_leaves_none(void **state)
{
    struct at_mem mem = {0};
    struct at_tracker t;
    run_two(&t, &mem, 40, 2, 6);
    struct at_track *a = track_at(&t, -200e3);
    assert_non_null(a);
    assert_null(track_at(&t, 100e3));
    print_message("%u tracks, a %.0f to %.0f kHz, %.1f dB\n", t.n_tracks, a->e.f_lo_hz / 1e3,
                  a->e.f_hi_hz / 1e3, (double)a->e.snr_db);
    assert_true(fabs(a->e.f_hi_hz - a_hi) < 5e3);
    assert_true(fabs((double)a->e.snr_db - db(300)) < 1.5);
    at_tracker_finish(&t);
}

/* Two that were there from the first, and taken for one, both began then. */
static void test_parts_that_were_there_all_along(void **state)
{
    struct at_mem mem = {0};
    struct at_tracker t;
    run_two(&t, &mem, 0, 10, 0);
    struct at_track *a = track_at(&t, -200e3), *b = track_at(&t, 100e3);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_true(a->e.start < FIRST + EPOCH && b->e.start < FIRST + EPOCH);
    assert_true(fabs((double)a->e.snr_db - db(300)) < 1.5);
    assert_true(fabs((double)b->e.snr_db - db(200)) < 1.5);
    at_tracker_finish(&t);
}

/* Where it was once joined to another over a gap that it does not reach any more, nothing is
 * parted. */
static void test_a_joint_beyond_the_edges_parts_nothing(void **state)
{
    struct at_mem mem = {0};
    struct at_tracker t;
    run_two(&t, &mem, 20, 0, 0);
    struct at_track *a = track_at(&t, -200e3);
    assert_non_null(a);
    static struct maps m = {.seed = 11};
    for (unsigned i = 0; i < SLOW; i++)
        m.floor[i] = 1;
    for (unsigned i = 0; i < 16; i++) {
        double at = -100e3 + 20e3 * i;
        a->joint = (struct at_joint){.lo_hz = at, .hi_hz = at + 10e3, .together = true};
        a->agreed = 1;
        a->disagreed = 10;
        run_epoch(&t, &m, 20 + i, false, false, ROWS_SLOW);
        assert_int_equal(t.n_tracks, 1);
        assert_ptr_equal(a, track_at(&t, -200e3));
        assert_true(fabs(a->e.f_hi_hz - a_hi) < 5e3);
    }
    at_tracker_finish(&t);
}

/* The next burst begins with the last row of an epoch, which shows where it is but not how strong:
 * its place tells whose it is. What is far weaker there is none of it. */
static void test_the_first_row_of_a_burst_is_its_own(void **state)
{
    struct at_track k = {.on_s = 0.02,
                         .power_s = 0.02 * 5e-6,
                         .peak_hz = 42.75e3,
                         .e = {.f_lo_hz = 28.6e3, .f_hi_hz = 64.9e3}};
    struct at_tracker t = {.rate_hz = 1.024e6, .n_fast = 64, .n_slow = 4096};
    struct at_region r = {
        .f_lo_hz = 24e3, .f_hi_hz = 72e3, .peak_hz = 31e3, .level = AT_LINK_NO_LEVEL};
    assert_true(at_track_matches(&t, &r, &k));
    r.level = 1e-9f;
    assert_false(at_track_matches(&t, &r, &k));
    r.level = AT_LINK_NO_LEVEL;
    r.f_lo_hz = 96e3;
    r.f_hi_hz = 128e3;
    r.peak_hz = 112e3;
    assert_false(at_track_matches(&t, &r, &k));
}

/* A strong burst's skirt, wider and found after it, holds the burst's band and takes it in: what is
 * left is sure, and not dropped with the skirts that do not stay. */
static void test_a_skirt_that_takes_in_what_is_sure_is_none(void **state)
{
    struct at_track
        burst = {.pending = true,
                 .sure = true,
                 .on_s = 0.02,
                 .power_s = 0.02,
                 .silent_since = 160000,
                 .e = {.start = 153000, .end = 160000, .f_lo_hz = 25e3, .f_hi_hz = 55e3}},
        skirt = {.pending = true,
                 .fringe = true,
                 .on_s = 0.03,
                 .power_s = 0.02,
                 .silent_since = 172000,
                 .e = {.start = 156000, .end = 172000, .f_lo_hz = 25e3, .f_hi_hz = 59e3}};
    struct at_track *alive[] = {&burst, &skirt};
    struct at_tracker t = {.rate_hz = 250e3, .n_slow = 2048, .n_tracks = 2, .tracks = alive};
    assert_ptr_equal(at_whole_find(&t, &burst, 8192), &skirt);
    at_whole_take(&skirt, &burst);
    assert_true(skirt.sure);
    assert_int_equal(skirt.e.start, 153000);
    skirt.sure = burst.sure = false; /* one of two that are not sure: neither is all of it */
    at_whole_take(&skirt, &burst);
    assert_false(skirt.sure);
}

/* A stretch that ends with less than a long spectrum: the edges stay what the long ones made them.
 */
static void test_a_short_tail_does_not_widen_the_edges(void **state)
{
    struct at_mem mem = {0};
    struct at_tracker t;
    run_two(&t, &mem, 20, 0, 0);
    struct at_track *a = track_at(&t, -200e3);
    assert_non_null(a);
    double lo = a->e.f_lo_hz, hi = a->e.f_hi_hz;
    static struct maps m = {.seed = 9};
    for (unsigned i = 0; i < SLOW; i++)
        m.floor[i] = 1;
    run_epoch(&t, &m, 20, false, false, 0);
    print_message("%.1f to %.1f kHz, then %.1f to %.1f kHz\n", lo / 1e3, hi / 1e3,
                  a->e.f_lo_hz / 1e3, a->e.f_hi_hz / 1e3);
    assert_true(a->e.end > FIRST + 20 * EPOCH); /* it was heard to the end */
    assert_true(a->e.f_lo_hz == lo && a->e.f_hi_hz == hi);
    at_tracker_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_that_leaves_began_when_it_came),
        cmocka_unit_test(test_a_part_that_is_gone_leaves_none),
        cmocka_unit_test(test_parts_that_were_there_all_along),
        cmocka_unit_test(test_a_joint_beyond_the_edges_parts_nothing),
        cmocka_unit_test(test_the_first_row_of_a_burst_is_its_own),
        cmocka_unit_test(test_a_skirt_that_takes_in_what_is_sure_is_none),
        cmocka_unit_test(test_a_short_tail_does_not_widen_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
