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
    assert_int_equal(at_stft_init(&s, NULL, N, RATE), 0);
    float *iq = calloc(SAMPLES, 8), row[N];
    sig_add_noise(iq, SAMPLES, -60, 1);
    sig_add_tone(iq, 0, SAMPLES, 0.2003, -30);
    double noise = 0, tone = 0;
    int rows = 0, made;
    for (size_t at = 0; at < SAMPLES;) {
        at += at_stft_push(&s, iq + 2 * at, SAMPLES - at, row, &made);
        for (unsigned k = 0; made && k < N; k++)
            *(fabs(k - (0.5 + 0.2003) * N) < 4 ? &tone : &noise) += row[k] * RATE / N;
        rows += made;
    }
    noise = 10 * log10(noise / rows * N / (N - 8));
    tone = 10 * log10(tone / rows);
    print_message("%d rows: noise %.2f dBFS (-60), tone %.2f dBFS (-30)\n", rows, noise, tone);
    assert_int_equal(rows, SAMPLES / (N / 2) - 1);
    assert_true(fabs(noise + 60) < 0.5);
    assert_true(fabs(tone + 30) < 0.2);
    at_stft_finish(&s);
    free(iq);
}

static void test_blocks_stand_where_they_say(void **state)
{
    struct at_blocks b;
    assert_int_equal(at_blocks_init(&b, NULL, N, 3), 0);
    float *iq = calloc(SAMPLES, 8);
    iq[2 * 1000] = 1; /* V = 128: sample 1000 is sample 1000 - (7 * 128 - 64) = 168 of block 7 */
    int made;
    at_blocks_begin(&b, 77);
    for (size_t at = 0; at < 1200;)
        at += at_blocks_push(&b, iq + 2 * at, 1200 - at, &made);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_read_densities_and_levels),
        cmocka_unit_test(test_blocks_stand_where_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
