/* Training examples are of the signal they are labelled with. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/dataset/dataset.h"
#include "lib/synth/synth.h"

#define TOKENS 256

static float *make(uint64_t seed, int class_id, float snr_db, struct at_example_info *ret)
{
    float *frames = calloc(TOKENS, (size_t)at_example_columns() * sizeof *frames);
    assert_non_null(frames);
    const struct at_example_spec spec = {.seed = seed,
                                         .class_id = class_id,
                                         .max_tokens = TOKENS,
                                         .snr_lo_db = snr_db,
                                         .snr_hi_db = snr_db};
    assert_int_equal(at_example_make(&spec, frames, ret), 0);
    return frames;
}

/* At 25 dB nearly every signal goes through the detector, at edges that meet the truth's: if scene
 * and dataset disagree about where a signal stands, this falls to a few per cent. */
static void test_strong_signals_are_detected(void **state)
{
    static const int classes[] = {AT_CLASS_GFSK, AT_CLASS_PSK_QAM, AT_CLASS_OFDM,
                                  AT_CLASS_CSS,  AT_CLASS_OOK,     AT_CLASS_SSB};
    int n = 0, found = 0;
    for (size_t c = 0; c < sizeof classes / sizeof *classes; c++) {
        for (uint64_t seed = 1; seed <= 6; seed++, n++) {
            struct at_example_info info;
            free(make(seed * 1000 + c, classes[c], 25, &info));
            found += info.detected;
        }
    }
    print_message("detected %d of %d\n", found, n);
    assert_true(found >= n * 8 / 10);
}

static void test_same_seed_same_example(void **state)
{
    struct at_example_info a, b;
    float *x = make(7, AT_CLASS_FSK2, 15, &a), *y = make(7, AT_CLASS_FSK2, 15, &b);
    assert_true(a.n_tokens > 0);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_equal(x, y, TOKENS * (size_t)at_example_columns() * sizeof *x);
    free(x);
    free(y);
}

static void test_frames_are_finite(void **state)
{
    for (int c = 0; c < AT_CLASS_COUNT; c++) {
        struct at_example_info info;
        float *x = make(100 + (uint64_t)c, c, 5, &info);
        for (size_t i = 0; i < TOKENS * (size_t)at_example_columns(); i++) {
            if (!isfinite(x[i]))
                fail_msg("class %s: column %zu of token %zu is %g", at_example_label(c),
                         i % (size_t)at_example_columns(), i / (size_t)at_example_columns(),
                         (double)x[i]);
        }
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strong_signals_are_detected),
        cmocka_unit_test(test_same_seed_same_example),
        cmocka_unit_test(test_frames_are_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
