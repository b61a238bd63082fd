/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/dsp/spectrum.h"
#include "tests/support/signals.h"

#define RATE 1e6
enum { N = 256, SAMPLES = 10000 };

/* Noise of -60 dBFS reads -60 dBFS over the band; a tone of -30 dBFS reads that, summed over its
 * main lobe. */
static void test_rows_read_densities_and_levels(void **state)
{
    struct at_stft s;
    assert_int_equal(at_stft_init(&s, NULL, N, 1, RATE, 0), 0);
    float *iq = calloc(SAMPLES, 8), *all = calloc(SAMPLES / (N / 2) * N, sizeof *all);
    sig_add_noise(iq, SAMPLES, -60, 1);
    sig_add_tone(iq, 0, SAMPLES, 0.2003, -30);
    double noise = 0, tone = 0;
    int rows = (int)at_stft_run(&s, iq, SAMPLES, all, SAMPLES / (N / 2));
    for (unsigned k = 0; k < N * (unsigned)rows; k++)
        *(fabs(k % N - (0.5 + 0.2003) * N) < 4 ? &tone : &noise) += all[k] * RATE / N;
    noise = 10 * log10(noise / rows * N / (N - 8));
    tone = 10 * log10(tone / rows);
    print_message("%d rows: noise %.2f dBFS (-60), tone %.2f dBFS (-30)\n", rows, noise, tone);
    assert_int_equal(rows, SAMPLES / (N / 2) - 1);
    assert_true(fabs(noise + 60) < 0.5);
    assert_true(fabs(tone + 30) < 0.2);
    at_stft_finish(&s);
    free(iq);
    free(all);
}

/* Pushed in pieces of any size the rows are the same; a mean of four is that of four; a constant
 * that is told is gone. */
static void test_rows_do_not_depend_on_pieces(void **state)
{
    static const float dc[2] = {0.25f, -0.125f};
    enum { ROWS = SAMPLES / (N / 2) };
    struct at_stft one, pieces, four, alone;
    assert_int_equal(at_stft_init(&one, NULL, N, 1, RATE, ROWS), 0);
    assert_int_equal(at_stft_init(&pieces, NULL, N, 1, RATE, ROWS), 0);
    assert_int_equal(at_stft_init(&four, NULL, N, 4, RATE, ROWS), 0);
    assert_int_equal(at_stft_init(&alone, NULL, N, 4, RATE, ROWS), 0);
    float *iq = calloc(SAMPLES, 8), *a = calloc(4 * ROWS * N, sizeof *a), *b = a + ROWS * N,
          *c = b + ROWS * N, *d = c + ROWS * N;
    sig_add_noise(iq, SAMPLES, -60, 1);
    for (size_t i = 0; i < 2 * SAMPLES; i++)
        iq[i] += dc[i % 2];
    size_t rows = at_stft_run(&one, iq, SAMPLES, a, ROWS), made = 0, fours = 0, at = 0, since = 0;
    at_stft_without(&one, dc, a, rows);
    for (size_t piece = 1; at < SAMPLES; at += piece, piece = piece * 7 % 601) {
        piece = piece < SAMPLES - at ? piece : SAMPLES - at;
        made += at_stft_run(&pieces, iq + 2 * at, piece, b + made * N, ROWS - made);
        fours += at_stft_run(&four, iq + 2 * at, piece, c + fours * N, ROWS - fours);
        if (piece % 3 == 0) { /* now and then, in the middle of a row */
            at_stft_without(&four, dc, c + since * N, fours - since);
            since = fours;
        }
    }
    at_stft_without(&pieces, dc, b, made);
    at_stft_without(&four, dc, c + since * N, fours - since);
    for (size_t t = fours; t-- > 0;) /* each by itself, in whatever order */
        at_stft_row(&alone, iq + 2 * t * 4 * (N / 2), d + t * N, alone.middle + 6 * 4 * t);
    alone.n_middles = 4 * fours;
    at_stft_without(&alone, dc, d, fours);
    double worst = 0, power = 0;
    for (size_t i = 0; i < fours * N; i++) {
        const float *x = a + i / N * 4 * N + i % N;
        double mean = ((double)x[0] + (double)x[N] + (double)x[2 * N] + (double)x[3 * N]) / 4;
        worst = fmax(worst, fabs(c[i] / mean - 1));
        power += mean * RATE / N;
    }
    power = 10 * log10(power / (double)fours);
    print_message("%zu rows, in pieces %zu; %zu means of four, worst %.1e off; %.2f dBFS (-60)\n",
                  rows, made, fours, worst, power);
    assert_int_equal(rows, made);
    assert_memory_equal(a, b, rows * N * sizeof *a);
    assert_int_equal(fours, rows / 4);
    assert_memory_equal(c, d, fours * N * sizeof *c);
    assert_true(worst < 1e-5);
    assert_true(fabs(power + 60) < 0.5);
    at_stft_finish(&one);
    at_stft_finish(&pieces);
    at_stft_finish(&four);
    at_stft_finish(&alone);
    free(iq);
    free(a);
}

static void push_blocks(struct at_blocks *b, const float *iq, size_t n)
{
    for (size_t at = 0; at < n;) {
        at += at_blocks_push(b, iq + 2 * at, n - at);
        at_blocks_make(b);
        while (at_blocks_next(b))
            ;
    }
}

static void test_blocks_stand_where_they_say(void **state)
{
    struct at_blocks b;
    assert_int_equal(at_blocks_init(&b, NULL, N, 3, 1), 0);
    float *iq = calloc(SAMPLES, 8);
    iq[2 * 1000] = 1; /* V = 128: sample 1000 is sample 1000 - (7 * 128 - 64) = 168 of block 7 */
    at_blocks_begin(&b, 77);
    push_blocks(&b, iq, 1200);
    assert_int_equal(b.index, 77);
    const float *x = at_blocks_get(&b, 7);
    assert_non_null(x);
    double phase = atan2(x[3], x[2]) / (2 * M_PI) * N;
    double place = fmod(2 * N - phase, N);
    print_message("impulse at %.2f of its block, wanted 168; %u blocks\n", place,
                  (unsigned)b.count);
    assert_true(fabs(place - 168) < 0.1);
    assert_null(at_blocks_get(&b, b.count));
    assert_null(at_blocks_get(&b, b.count - 4));
    while (at_blocks_pad(&b))
        ;
    assert_true(b.count * b.advance >= 1200);
    at_blocks_finish(&b);
    free(iq);
}

static void make_one(void *blocks, size_t i)
{
    at_blocks_make_one(blocks, i);
}

/* Several made at once, in two threads, are the same, and none of those that stay readable is
 * written over. */
static void test_blocks_made_together_are_the_same(void **state)
{
    enum { KEEP = 5, AHEAD = 4 };
    struct at_blocks one, four;
    struct at_aside *aside = NULL;
    assert_int_equal(at_blocks_init(&one, NULL, N, SAMPLES, 1), 0);
    assert_int_equal(at_blocks_init(&four, NULL, N, KEEP, AHEAD), 0);
    assert_int_equal(at_aside_create(NULL, &aside), 0);
    float *iq = calloc(SAMPLES, 8);
    sig_add_noise(iq, SAMPLES, 0, 3);
    at_blocks_begin(&one, 0);
    at_blocks_begin(&four, 0);
    push_blocks(&one, iq, SAMPLES);
    unsigned most = 0, compared = 0;
    for (size_t at = 0; at < SAMPLES;) {
        size_t n = 100 + at % 700;
        at += at_blocks_push(&four, iq + 2 * at, n < SAMPLES - at ? n : SAMPLES - at);
        at_aside_parts(aside, make_one, &four, at_blocks_begin_making(&four));
        if (four.taken > N) /* the newest samples stand where they are said to */
            assert_memory_equal(at_blocks_sample(&four, four.taken - N / 2),
                                iq + 2 * (four.taken - N / 2), N / 2 * 8);
        at_blocks_end_making(&four);
        most = four.made > most ? four.made : most;
        while (at_blocks_next(&four))
            for (uint64_t seq = four.count > KEEP ? four.count - KEEP : 0; seq < four.count;
                 seq++) {
                assert_memory_equal(at_blocks_get(&four, seq), at_blocks_get(&one, seq), N * 8);
                compared++;
            }
    }
    print_message("%u blocks, up to %u at once, compared %u times\n", (unsigned)four.count, most,
                  compared);
    assert_int_equal(most, AHEAD);
    assert_int_equal(four.count, one.count);
    while (at_blocks_pad(&one))
        assert_int_equal(at_blocks_pad(&four), 1);
    assert_memory_equal(at_blocks_get(&four, four.count - 1), at_blocks_get(&one, one.count - 1),
                        N * 8);
    at_aside_destroy(aside);
    at_blocks_finish(&one);
    at_blocks_finish(&four);
    free(iq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_read_densities_and_levels),
        cmocka_unit_test(test_rows_do_not_depend_on_pieces),
        cmocka_unit_test(test_blocks_stand_where_they_say),
        cmocka_unit_test(test_blocks_made_together_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
