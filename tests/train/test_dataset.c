/* Training examples are of the signal they are labelled with. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/dataset/dataset.h"
#include "lib/dsp/band.h"
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

/* The best mean of `width` neighbouring bins of a frame: 1 is 10 dB over the noise. */
static float strongest(const float *frame, int width)
{
    float most = -4;
    for (int k = 0; k + width <= at_example_bins(); k++) {
        float sum = 0;
        for (int i = 0; i < width; i++)
            sum += frame[k + i];
        most = fmaxf(most, sum / (float)width);
    }
    return most;
}

/* The tokens show what they are labelled with: edges of the signal's own width, and in two tokens
 * at least its power over some of it. What stood in the band before it (a line of the receiver), or
 * the whole band as one emission, would not. */
static void test_tokens_show_the_signal(void **state)
{
    static const int classes[] = {AT_CLASS_GFSK, AT_CLASS_FSK4, AT_CLASS_PSK_QAM,
                                  AT_CLASS_OFDM, AT_CLASS_WFM,  AT_CLASS_OOK};
    int n = 0, wide = 0, dark = 0;
    for (size_t c = 0; c < sizeof classes / sizeof *classes; c++) {
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct at_example_info info;
            float *x = make(seed * 7000 + c, classes[c], 25, &info);
            double bin_hz = 1e3 * exp2((double)x[at_example_bins()]);
            int width = (int)fmax(1, fmin(8, 0.4 * (double)info.bandwidth_hz / bin_hz)), lit = 0;
            for (int t = 0; t < info.n_tokens; t++)
                lit += strongest(x + (size_t)t * (size_t)at_example_columns(), width) > 1;
            n += info.n_tokens > 0;
            double cell = at_band_short_bin_hz((double)info.rate_hz),
                   truth = (double)info.truth_bandwidth_hz;
            wide +=
                (double)info.bandwidth_hz > fmax(2.5 * truth, truth + fmax(5 * bin_hz, 2.5 * cell));
            dark += info.n_tokens > 0 && lit < 2;
            free(x);
        }
    }
    print_message("of %d: %d wider than sent, %d without power\n", n, wide, dark);
    assert_true(n > 60);
    assert_int_equal(wide, 0);
    assert_true(dark <= 2); /* one that fills its band may have its own level for a floor */
}

/* A burst that is over before it is reported comes as the detector tells it, out of the look-back;
 * one of tone in a wide band then as wide as a bin of the short spectra, not as it was sent. */
static void test_short_bursts_are_as_told(void **state)
{
    int found = 0, told = 0, wide = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct at_example_info info;
        free(make(seed * 900, AT_CLASS_CARRIER, 30, &info));
        double cell = at_band_short_bin_hz((double)info.rate_hz);
        bool burst =
            !strcmp(info.variant, "carrier_tokens") && cell > 10 * (double)info.truth_bandwidth_hz;
        found += burst;
        told += burst && info.detected;
        wide += burst && info.detected && (double)info.bandwidth_hz > 0.8 * cell;
    }
    print_message("of %d short tones %d detected, %d a bin wide\n", found, told, wide);
    assert_true(found > 4 && told >= found / 2 && wide > 0);
}

/* No line of the receiver stands in what is shown as noise. */
static void test_noise_holds_no_line(void **state)
{
    size_t columns = (size_t)at_example_columns(), bins = (size_t)at_example_bins();
    int lines = 0, n = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct at_example_info info;
        float *x = make(seed, AT_CLASS_NOISE, 0, &info);
        if (info.n_tokens >= 128) {
            float mean[512] = {0};
            for (size_t i = 0; i < (size_t)info.n_tokens * bins; i++)
                mean[i % bins] += x[i / bins * columns + i % bins] / (float)info.n_tokens;
            for (size_t k = 8; k < bins - 8; k++)
                lines += mean[k] > fmaxf(mean[k - 5], mean[k + 5]) + 0.6f;
            n++;
        }
        free(x);
    }
    print_message("lines in %d examples of noise: %d\n", n, lines);
    assert_true(n > 15);
    assert_int_equal(lines, 0);
}

/* A time signal's carrier stood 87 dB over the floor of its file: such lines are found by the
 * detector, and stay finite, whatever the converter makes of the floor. */
static void test_lines_far_over_the_floor(void **state)
{
    size_t columns = (size_t)at_example_columns();
    int found = 0, n = 0;
    for (uint64_t seed = 1; seed <= 16; seed++, n++) {
        struct at_example_info info;
        float *x = make(seed * 300, AT_CLASS_CARRIER, 87, &info);
        for (size_t i = 0; i < (size_t)info.n_tokens * columns; i++)
            assert_true(isfinite(x[i]));
        found += info.n_tokens > 0 && info.detected && info.measured_snr_db > 30;
        free(x);
    }
    print_message("lines at 87 dB found: %d of %d\n", found, n);
    assert_true(found >= n / 2);
}

/* Where the SNR is drawn, one in five of the carriers asked for (a tenth of all: others are filled
 * in) and one in 25 of am are steady lines of 20 to 75 dB through a plain receiver: those over the
 * caller's range are known by it. */
static void test_strong_clean_lines(void **state)
{
    enum { N = 400 };
    static const int classes[] = {AT_CLASS_CARRIER, AT_CLASS_AM};
    int over[2] = {0}, loud = 0, unlike = 0;
    float *frames = calloc(TOKENS, (size_t)at_example_columns() * sizeof *frames);
    assert_non_null(frames);
    for (int c = 0; c < 2; c++)
        for (uint64_t seed = 1; seed <= N; seed++) {
            struct at_example_info info;
            const struct at_example_spec spec = {.seed = seed * 31,
                                                 .class_id = classes[c],
                                                 .max_tokens = 32,
                                                 .snr_lo_db = -10,
                                                 .snr_hi_db = 40};
            assert_int_equal(at_example_make(&spec, frames, &info), 0);
            if (info.n_tokens == 0 || info.snr_db <= 40)
                continue;
            over[c]++;
            loud += info.snr_db > 60;
            unlike += info.snr_db > 75 || (strcmp(info.variant, "carrier_steady") != 0 &&
                                           strcmp(info.variant, "am_voice") != 0 &&
                                           strcmp(info.variant, "am_tone") != 0);
        }
    free(frames);
    print_message("over 40 dB: %d of %d carriers, %d of %d am; %d over 60 dB\n", over[0], N,
                  over[1], N, loud);
    assert_int_equal(unlike, 0);
    assert_in_range(over[0], N / 14, N / 5);
    assert_in_range(over[1], N / 100, N / 14);
    assert_true(loud * 5 > over[0] + over[1]);
}

static bool is_am(const struct at_example_info *i)
{
    return i->n_tokens > 0 && i->class_id == AT_CLASS_AM;
}

/* Of what is asked for as `am` hardly any is shown where its sidebands lie in the noise or at a
 * level that no floor is known to, nearly all where they stand 20 dB and more over it. In a scene
 * such a one is a carrier, and says what was sent. */
static void test_am_only_where_it_can_be_seen(void **state)
{
    enum { N = 24, SCENE = 6 };
    int weak = 0, level = 0, strong = 0, unseen = 0;
    struct at_example_info info, several[SCENE];
    for (uint64_t seed = 1; seed <= N; seed++) {
        free(make(seed, AT_CLASS_AM, -8, &info));
        weak += is_am(&info);
        free(make(seed, AT_CLASS_AM, 0, &info));
        level += is_am(&info);
        free(make(seed, AT_CLASS_AM, 35, &info));
        strong += is_am(&info);
    }
    print_message("of %d am: %d shown at -8 dB, %d at 0 dB, %d at 35 dB\n", N, weak, level, strong);
    assert_true(weak <= N / 6);
    assert_true(level <= N / 5);
    assert_true(strong >= N * 3 / 4);
    float *frames = calloc((size_t)SCENE * TOKENS, (size_t)at_example_columns() * sizeof *frames);
    assert_non_null(frames);
    for (uint64_t seed = 1; seed <= N; seed++) {
        const struct at_example_spec spec = {.seed = seed,
                                             .class_id = AT_CLASS_AM,
                                             .max_tokens = TOKENS,
                                             .snr_lo_db = -8,
                                             .snr_hi_db = -8};
        int n = at_examples_make(&spec, SCENE, frames, several);
        for (int i = 0; i < n; i++)
            if (strstr(several[i].variant, "_unseen")) {
                unseen++;
                assert_int_equal(several[i].class_id, AT_CLASS_CARRIER);
            }
    }
    free(frames);
    print_message("%d carriers that were sent as am or cw\n", unseen);
    assert_true(unseen > 0);
}

/* A carrier is most of its signal's power within narrower edges: where the detector found it, its
 * SNR is at least what was sent. A run at the edges of one sideband, or of what stood there before,
 * shows less, and is not the signal. */
static void test_am_is_shown_by_its_carrier(void **state)
{
    enum { FIRST = 100, LAST = 640, LONG = 512 };
    int n = 0, dim = 0;
    float *frames = calloc(LONG, (size_t)at_example_columns() * sizeof *frames);
    assert_non_null(frames);
    for (uint64_t seed = FIRST; seed <= LAST; seed++) {
        struct at_example_info info;
        const struct at_example_spec spec = {.seed = seed * 17,
                                             .class_id = AT_CLASS_AM,
                                             .max_tokens = LONG,
                                             .snr_lo_db = 20,
                                             .snr_hi_db = 20};
        assert_int_equal(at_example_make(&spec, frames, &info), 0);
        n += is_am(&info) && info.detected;
        dim += is_am(&info) && info.detected && info.measured_snr_db < 8;
    }
    free(frames);
    print_message("of %d am at 20 dB that were detected %d show less than 8 dB\n", n, dim);
    assert_true(n > 400);
    assert_true(dim * 45 <= n); /* one in 33 where any run within the sidebands counts */
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

/* Many examples of one scene: the first is what was asked for, each is of a class or outlier,
 * writes nothing past its tokens, and a scene gives more than one on average. */
static void test_scenes_give_several(void **state)
{
    enum { MAX = 8, TOKENS_MANY = 64 };
    size_t columns = (size_t)at_example_columns(), each = TOKENS_MANY * columns;
    float *frames = malloc(MAX * each * sizeof *frames);
    assert_non_null(frames);
    int scenes = 0, examples = 0, first = 0;
    for (int32_t class_id = AT_EXAMPLE_OUTLIER; class_id < AT_CLASS_COUNT; class_id++, scenes++) {
        struct at_example_info info[MAX];
        const struct at_example_spec spec = {.seed = 5000 + (uint64_t)(class_id + 1),
                                             .class_id = class_id,
                                             .max_tokens = TOKENS_MANY,
                                             .snr_lo_db = -10,
                                             .snr_hi_db = 40};
        memset(frames, 0xff, MAX * each * sizeof *frames); /* not a number */
        int32_t n = at_examples_make(&spec, MAX, frames, info);
        assert_in_range(n, 0, MAX);
        first += n > 0 && info[0].class_id == class_id;
        examples += n;
        for (int32_t k = 0; k < n; k++) {
            const float *x = frames + (size_t)k * each;
            assert_true(info[k].class_id >= AT_EXAMPLE_OUTLIER &&
                        info[k].class_id < AT_CLASS_COUNT);
            assert_in_range(info[k].n_tokens, 1, TOKENS_MANY);
            for (size_t i = 0; i < each; i++)
                assert_int_equal(isfinite(x[i]) != 0, i < (size_t)info[k].n_tokens * columns);
        }
    }
    print_message("%d scenes, %d examples, first as asked %d\n", scenes, examples, first);
    assert_true(examples > 2 * scenes);
    assert_true(first >= scenes - 2);
    free(frames);
}

/* A session longer than the window: a signal that goes on brings nearly every token asked for. */
static void test_long_examples(void **state)
{
    enum { LONG = 16384 };
    float *frames = malloc(LONG * (size_t)at_example_columns() * sizeof *frames);
    assert_non_null(frames);
    int most = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct at_example_info info;
        const struct at_example_spec spec = {.seed = 9000 + seed,
                                             .class_id = AT_CLASS_NFM,
                                             .max_tokens = LONG,
                                             .snr_lo_db = 20,
                                             .snr_hi_db = 20};
        assert_int_equal(at_example_make(&spec, frames, &info), 0);
        most = info.n_tokens > most ? info.n_tokens : most;
    }
    print_message("longest of 4: %d tokens\n", most);
    assert_true(most > LONG / 2);
    free(frames);
}

static void test_bad_specs_are_refused(void **state)
{
    struct at_example_info info;
    float frame[1];
    const struct at_example_spec bad[] = {
        {.class_id = -2, .max_tokens = 8}, {.class_id = AT_CLASS_COUNT, .max_tokens = 8}, {0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(at_examples_make(&bad[i], 1, frame, &info), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strong_signals_are_detected),
        cmocka_unit_test(test_tokens_show_the_signal),
        cmocka_unit_test(test_short_bursts_are_as_told),
        cmocka_unit_test(test_noise_holds_no_line),
        cmocka_unit_test(test_lines_far_over_the_floor),
        cmocka_unit_test(test_strong_clean_lines),
        cmocka_unit_test(test_am_only_where_it_can_be_seen),
        cmocka_unit_test(test_am_is_shown_by_its_carrier),
        cmocka_unit_test(test_same_seed_same_example),
        cmocka_unit_test(test_frames_are_finite),
        cmocka_unit_test(test_scenes_give_several),
        cmocka_unit_test(test_long_examples),
        cmocka_unit_test(test_bad_specs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
