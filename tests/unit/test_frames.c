/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/dsp/frames.h"
#include "lib/dsp/window.h"
#include "tests/support/signals.h"

enum { N = 128, COLS = N + AT_AUX_COUNT, FRAMES = 400, SAMPLES = N / 2 * (FRAMES + 1) };
#define RATE 256e3

static struct at_framer *make(struct at_mem *mem, double lo, double hi, double density)
{
    struct at_framer_config c = {
        .n_bins = N, .rate_hz = RATE, .f_lo_hz = lo, .f_hi_hz = hi, .noise_density = density};
    struct at_error err = {""};
    struct at_framer *f = NULL;
    if (at_framer_create(mem, &c, &err, &f) < 0)
        fail_msg("%s", err.text);
    return f;
}

static double column(const float *frames, size_t n, unsigned c)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += frames[i * COLS + c];
    return s / (double)n;
}

static void test_noise_reads_zero_db(void **state)
{
    float *iq = calloc(SAMPLES, 8), *out = calloc(FRAMES * COLS, 4);
    sig_add_noise(iq, SAMPLES, -63, 7);
    struct at_framer *f = make(NULL, -40e3, 40e3, pow(10, -6.3) / RATE);
    size_t used, n = at_framer_push(f, iq, SAMPLES, out, FRAMES, &used);
    assert_int_equal(n, FRAMES);
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < N; k++)
            mean += pow(10, out[i * COLS + (size_t)k]);
    mean = 10 * log10(mean / (double)n / N);
    print_message("mean noise power reads %.3f dB, wanted 0\n", mean);
    assert_true(fabs(mean) < 0.3);
    double kurtosis = column(out, n, N + AT_AUX_KURTOSIS);
    print_message("kurtosis of noise 2^%.2f, wanted about 2^0.9\n", kurtosis);
    assert_true(kurtosis > 0.6 && kurtosis < 1.05);
    double share = column(out, n, N + AT_AUX_SHARE), khz = column(out, n, N + AT_AUX_BIN_KHZ);
    assert_true(fabs(share - 80. / 256) < 1e-6);
    assert_true(fabs(khz - 1) < 1e-6);
    double env = 0, freq = 0;
    for (unsigned k = 0; k < AT_AUX_HIST; k++) {
        env += column(out, n, N + AT_AUX_ENV + k);
        freq += column(out, n, N + AT_AUX_FREQ + k);
    }
    print_message("histograms sum to %.6f and %.6f\n", env, freq);
    assert_true(fabs(env - 1) < 1e-4 && fabs(freq - 1) < 1e-4);
    at_framer_destroy(f);
    free(iq);
    free(out);
}

static void test_tone_has_constant_envelope_and_its_frequency(void **state)
{
    float *iq = calloc(SAMPLES, 8), *out = calloc(FRAMES * COLS, 4);
    sig_add_tone(iq, 0, SAMPLES, 32e3 / RATE, -20);
    struct at_framer *f = make(NULL, 0, 40e3, 1e-12);
    size_t n = at_framer_push(f, iq, SAMPLES, out, FRAMES, NULL);
    double kurtosis = column(out, n, N + AT_AUX_KURTOSIS),
           std = column(out, n, N + AT_AUX_FREQ_STD);
    double want = column(out, n, N + AT_AUX_FREQ + 6), one = column(out, n, N + AT_AUX_ENV + 3);
    one += column(out, n, N + AT_AUX_ENV + 4);
    print_message("kurtosis 2^%.4f, frequency std %.4f, in its bin %.3f, at rms %.3f\n", kurtosis,
                  std, want, one);
    assert_true(fabs(kurtosis) < 0.02);
    assert_true(std < 0.02);
    assert_true(want > 0.97);
    assert_true(one > 0.97);
    /* main-lobe sum over ENBW: -20 dBFS over 1e-12 per Hz */
    double sum = 0;
    for (unsigned k = N / 2 + 13; k <= N / 2 + 19; k++)
        sum += pow(10, out[k]);
    double dbfs = 10 * log10(sum * 1e-12 * RATE / N);
    print_message("tone at -20 dBFS reads %.3f\n", dbfs);
    assert_true(fabs(dbfs + 20) < 0.2);
    at_framer_destroy(f);
    free(iq);
    free(out);
}

/* Least share that the fullest column of the frequencies has in any frame, and in how many frames
 * it is another than in the frame before. */
static double fullest(const float *frames, size_t n, unsigned *ret_changes)
{
    double least = 1;
    unsigned before = 0;
    *ret_changes = 0;
    for (size_t i = 0; i < n; i++) {
        const float *h = frames + i * COLS + N + AT_AUX_FREQ;
        unsigned most = 0;
        for (unsigned k = 1; k < AT_AUX_HIST; k++)
            most = h[k] > h[most] ? k : most;
        *ret_changes += i > 0 && most != before;
        before = most;
        least = fmin(least, (double)h[most]);
    }
    return least;
}

/* Whatever its place between the edges, most of all amid them, a line has one frequency. */
static void test_a_line_between_two_columns_stays_in_one(void **state)
{
    float *iq = malloc(SAMPLES * 8), *out = malloc(FRAMES * COLS * 4);
    const double off[] = {0, 1, -1, 0.03e3, 1e3, 2e3, -2e3, 3e3, 0.5e3, 1.5e3};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        unsigned changes;
        memset(iq, 0, SAMPLES * 8);
        sig_add_noise(iq, SAMPLES, -50, 21 + i);
        sig_add_tone(iq, 0, SAMPLES, (10e3 + off[i]) / RATE, -25);
        struct at_framer *f = make(NULL, 6e3, 14e3, pow(10, -5) / RATE);
        size_t used, n = at_framer_push(f, iq, SAMPLES, out, FRAMES, &used);
        double share = fullest(out, n, &changes);
        print_message("%.0f Hz off the middle: at least %.2f in one column, %u changes\n", off[i],
                      share, changes);
        assert_true(share > 0.7);
        assert_int_equal(changes, 0);
        at_framer_destroy(f);
    }
    /* What moves is followed: a slow sweep through six of the columns. */
    memset(iq, 0, SAMPLES * 8);
    for (size_t i = 0; i < SAMPLES; i++) {
        double x = (double)i / SAMPLES, p = 2 * M_PI * (7e3 * x + 3e3 * x * x) / RATE * SAMPLES;
        iq[2 * i] = (float)cos(p);
        iq[2 * i + 1] = (float)sin(p);
    }
    unsigned changes;
    struct at_framer *f = make(NULL, 6e3, 14e3, pow(10, -5) / RATE);
    size_t used, n = at_framer_push(f, iq, SAMPLES, out, FRAMES, &used);
    fullest(out, n, &changes);
    print_message("a sweep through six columns: %u changes\n", changes);
    assert_int_equal(changes, 5);
    at_framer_destroy(f);
    free(iq);
    free(out);
}

static void test_chunks_do_not_matter(void **state)
{
    float *iq = calloc(SAMPLES, 8), *a = calloc(FRAMES * COLS, 4), *b = calloc(FRAMES * COLS, 4);
    sig_add_noise(iq, SAMPLES, -63, 9);
    struct at_framer *f = make(NULL, -40e3, 40e3, 1e-9);
    size_t n = at_framer_push(f, iq, SAMPLES, a, FRAMES, NULL), got = 0, at = 0, used = 0;
    at_framer_reset(f);
    for (size_t step = 1; at < SAMPLES; at += used, step = step * 7 % 301) {
        size_t left = SAMPLES - at < step ? SAMPLES - at : step;
        got += at_framer_push(f, iq + 2 * at, left, b + got * COLS,
                              FRAMES - got < 2 ? FRAMES - got : 2, &used);
        if (got == FRAMES)
            break;
    }
    assert_int_equal(n, FRAMES);
    assert_int_equal(got, FRAMES);
    assert_memory_equal(a, b, FRAMES * COLS * 4);
    at_framer_destroy(f);
    free(iq);
    free(a);
    free(b);
}

static void test_bad_samples_make_no_nan(void **state)
{
    float *iq = calloc(SAMPLES, 8), *out = calloc(FRAMES * COLS, 4);
    iq[2 * 1000] = NAN;
    iq[2 * 5000] = INFINITY;
    iq[2 * 9000] = 1e38f;
    struct at_framer *f = make(NULL, -40e3, 40e3, 0);
    size_t n = at_framer_push(f, iq, SAMPLES, out, FRAMES, NULL);
    for (size_t i = 0; i < n * COLS; i++)
        if (!isfinite(out[i]))
            fail_msg("frame %zu column %zu is %g", i / COLS, i % COLS, (double)out[i]);
    at_framer_destroy(f);
    free(iq);
    free(out);
}

static void test_flat_response_is_restored(void **state)
{
    /* White noise through a filter, given its response, reads 0 dB in every bin down to the
     * response's floor. */
    float h[65], response[N];
    at_window_lowpass(h, 65, 0.3, 70);
    float *x = calloc(SAMPLES + 65, 8), *iq = calloc(SAMPLES, 8), *out = calloc(FRAMES * COLS, 4);
    sig_add_noise(x, SAMPLES + 65, -50, 3);
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t k = 0; k < 65; k++) {
            iq[2 * i] += h[k] * x[2 * (i + k)];
            iq[2 * i + 1] += h[k] * x[2 * (i + k) + 1];
        }
    for (int k = 0; k < N; k++)
        response[k] = (float)at_window_response(h, 65, (k - N / 2) / (double)N);
    struct at_framer_config c = {.n_bins = N,
                                 .rate_hz = RATE,
                                 .f_lo_hz = -1e4,
                                 .f_hi_hz = 1e4,
                                 .noise_density = 1e-5 / RATE,
                                 .response = response};
    struct at_framer *f = NULL;
    assert_int_equal(at_framer_create(NULL, &c, NULL, &f), 0);
    size_t n = at_framer_push(f, iq, SAMPLES, out, FRAMES, NULL);
    double worst = 0;
    for (unsigned k = 0; k < N; k++) {
        double s = 0;
        for (size_t i = 0; i < n; i++)
            s += pow(10, out[i * COLS + k]);
        if (response[k] > 0.01)
            worst = fmax(worst, fabs(10 * log10(s / (double)n)));
    }
    print_message("worst bin %.2f dB from 0 over %zu frames\n", worst, n);
    assert_true(worst < 1.2); /* three sigma of 400 half-overlapping frames is 0.9 dB */
    at_framer_destroy(f);
    free(x);
    free(iq);
    free(out);
}

static void test_speed_is_told(void **state)
{
    float *iq = calloc(SAMPLES, 8), *out = calloc(FRAMES * COLS, 4);
    sig_add_noise(iq, SAMPLES, -63, 7);
    struct at_framer *f = make(NULL, -40e3, 40e3, 1e-12);
    int64_t t = at_clock_thread_cpu_ns();
    for (int i = 0; i < 20; i++)
        at_framer_push(f, iq, SAMPLES, out, FRAMES, NULL);
    print_message("%.2f us a frame\n",
                  (double)(at_clock_thread_cpu_ns() - t) / 1e3 / (20 * FRAMES));
    at_framer_destroy(f);
    free(iq);
    free(out);
}

static void test_every_allocation_may_fail(void **state)
{
    for (long i = 1;; i++) {
        struct at_mem mem = {.fail_at = i};
        struct at_framer_config c = {
            .n_bins = N, .rate_hz = RATE, .f_hi_hz = 1e3, .noise_density = 1e-9};
        struct at_framer *f = NULL;
        struct at_error err = {""};
        int code = at_framer_create(&mem, &c, &err, &f);
        at_framer_destroy(f);
        assert_int_equal(mem.bytes[AT_MEM_FRAMES], 0);
        if (code == 0)
            break;
        assert_int_equal(code, -ENOMEM);
        assert_true(err.text[0]);
    }
    struct at_framer_config bad = {.n_bins = 100, .rate_hz = RATE};
    struct at_framer *f = NULL;
    assert_int_equal(at_framer_create(NULL, &bad, NULL, &f), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_reads_zero_db),
        cmocka_unit_test(test_tone_has_constant_envelope_and_its_frequency),
        cmocka_unit_test(test_a_line_between_two_columns_stays_in_one),
        cmocka_unit_test(test_chunks_do_not_matter),
        cmocka_unit_test(test_bad_samples_make_no_nan),
        cmocka_unit_test(test_flat_response_is_restored),
        cmocka_unit_test(test_speed_is_told),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
