/* What gates are, however samples are cut, and that a band takes none for noise.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/dsp/gate.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 1e6

enum { N = 100000, LENGTH = 200000 };

struct out {
    float iq[2 * N];
    size_t n;
};

static int take(void *ctx, const struct at_input *input, size_t from, size_t n)
{
    struct out *o = ctx;
    assert_true(n > 0 && o->n + n <= N);
    input->write(input->ctx, from, n, o->iq + 2 * o->n);
    o->n += n;
    return 0;
}

static void write_floats(const void *ctx, size_t from, size_t n, float *iq)
{
    memcpy(iq, (const float *)ctx + 2 * from, n * 2 * sizeof *iq);
}

static int push(struct at_gate *g, const float *iq, size_t n)
{
    struct at_input input = {write_floats, iq};
    return at_gate_push(g, &input, n);
}

/* Pieces of up to `most` samples. */
static void pass(const float *iq, size_t most, uint64_t seed, struct out *o)
{
    static struct at_gate g;
    g.take = take;
    g.ctx = o;
    o->n = 0;
    at_gate_begin(&g);
    for (size_t at = 0, n; at < N; at += n) {
        n = 1 + (size_t)(sig_uniform(&seed) * (double)most);
        n = n < N - at ? n : N - at;
        assert_int_equal(push(&g, iq + 2 * at, n), 0);
        assert_int_equal(o->n + g.held, at + n);
        assert_true(g.held < AT_GATE_RUN);
    }
    assert_int_equal(at_gate_flush(&g), 0);
    assert_int_equal(o->n, N);
}

static float *noise(double codes, double re, double im)
{
    float *iq = calloc(N, 2 * sizeof *iq);
    sig_add_noise(iq, N, 20 * log10(codes / 128), 5);
    for (size_t i = 0; i < 2 * N; i++) /* of a converter of 8 bits */
        iq[i] = (float)(rint(iq[i] * 128 + (i % 2 ? im : re)) / 128) + 0.0f; /* no -0 */
    return iq;
}

static size_t longest_run(const float *iq)
{
    size_t most = 0, len = 1;
    for (size_t i = 1; i < N; i++) {
        len = memcmp(iq + 2 * i, iq + 2 * i - 2, 2 * sizeof *iq) == 0 ? len + 1 : 1;
        most = len > most ? len : most;
    }
    return most;
}

static void stand_still(float *iq, size_t from, size_t to, const float *value)
{
    for (size_t i = from; i < to; i++)
        memcpy(iq + 2 * i, value, 2 * sizeof *iq);
}

/* Runs of all lengths about the shortest gate's, and at both ends of the stretch, of the codes that
 * converters fill them with. */
static void test_long_runs_become_zeros_however_they_are_cut(void **state)
{
    static const float values[][2] = {
        {-0.99609375f, -0.99609375f}, {0.00390625f, 0.00390625f}, {-1, -1}, {0.25f, -0.5f}};
    static const size_t lengths[] = {900, 999, 1000, 1001, 1499, 1500, 7000};
    static const float zero[2];
    static struct out o;
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        float *iq = noise(20, 0, 0), *wanted = malloc(2 * N * sizeof *iq);
        stand_still(iq, 0, 1000 + 13 * v, values[v]);
        size_t at = 5000;
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++, at += 9000)
            stand_still(iq, at, at + lengths[i], values[v]);
        stand_still(iq, N - 1200, N, values[v]);
        memcpy(wanted, iq, 2 * N * sizeof *iq);
        stand_still(wanted, 0, 1000 + 13 * v, zero);
        for (size_t i = 2; i < sizeof lengths / sizeof *lengths; i++)
            stand_still(wanted, 5000 + 9000 * i, 5000 + 9000 * i + lengths[i], zero);
        stand_still(wanted, N - 1200, N, zero);
        for (size_t most = 1; most <= N; most *= 7) {
            pass(iq, most, most, &o);
            assert_memory_equal(o.iq, wanted, 2 * N * sizeof *iq);
        }
        free(iq);
        free(wanted);
    }
}

/* Noise of less than a code beside a constant of one: samples stand still for longer than a gate
 * lasts, and the constant must not come and go. */
static void test_noise_under_one_code_is_no_gate(void **state)
{
    static struct out o;
    float *iq = noise(0.23, 1, -2);
    size_t run = longest_run(iq);
    print_message("longest run %zu\n", run);
    assert_true(run > AT_GATE_RUN);
    size_t start = 0; /* what stands still from the first sample on may be anything */
    while (iq[2 * start] == iq[0] && iq[2 * start + 1] == iq[1])
        start++;
    assert_true(start < AT_GATE_RUN);
    for (size_t most = 1; most <= N; most *= 100) {
        pass(iq, most, most, &o);
        assert_memory_equal(o.iq, iq, 2 * N * sizeof *iq);
    }
    free(iq);
}

/* A strong line close to 0 Hz drives both channels of the converter to their ends. */
static void test_saturation_is_no_gate(void **state)
{
    static struct out o;
    float *iq = calloc(N, 2 * sizeof *iq);
    sig_add_tone(iq, 0, N, 5e-5, 40);
    for (size_t i = 0; i < 2 * N; i++)
        iq[i] = fminf(fmaxf(iq[i], -1), 1);
    assert_true(longest_run(iq) > 2 * AT_GATE_RUN);
    pass(iq, 5000, 1, &o);
    assert_memory_equal(o.iq, iq, 2 * N * sizeof *iq);
    free(iq);
}

static int refuse(void *ctx, const struct at_input *input, size_t from, size_t n)
{
    return -ENOMEM;
}

static void test_an_error_comes_back(void **state)
{
    static struct at_gate g = {.take = refuse};
    float *iq = noise(20, 0, 0);
    at_gate_begin(&g);
    assert_int_equal(push(&g, iq, 1), 0); /* kept back */
    assert_int_equal(push(&g, iq + 2, 1000), -ENOMEM);
    at_gate_begin(&g);
    assert_int_equal(push(&g, iq, 1), 0);
    assert_int_equal(at_gate_flush(&g), -ENOMEM);
    free(iq);
}

/* 0.1 s, open for 4 ms of every 10, where a burst stands in the noise; closed, samples are `shut`.
 */
static void check_gated(float shut)
{
    float *iq = sig_noise(LENGTH, -50, 1);
    struct band_log l = {0};
    struct at_band_stats st;
    for (unsigned i = 0; i < 20; i++) {
        size_t open = 3000 + i * 10000;
        sig_add_wide(iq, open + 200, open + 3800, 0.2, 0.05, -30, i);
        for (size_t k = 2 * (open + 4000); k < 2 * (open + 10000) && k < 2 * LENGTH; k++)
            iq[k] = shut;
    }
    for (size_t k = 0; k < 6000; k++)
        iq[k] = shut;
    struct at_band *b = log_band(&l, NULL, RATE);
    at_band_push(b, iq, LENGTH, 0);
    at_band_flush(b);
    at_band_get_stats(b, &st);
    at_band_destroy(b);
    print_message("gated at %g: floor %.1f dBFS/Hz, %u emissions, %.1f..%.1f kHz\n", (double)shut,
                  (double)st.floor_dbfs_hz, l.n, l.e[0].f_lo_hz / 1e3, l.e[0].f_hi_hz / 1e3);
    assert_true(fabs((double)st.floor_dbfs_hz + 110) < 1);
    assert_int_equal(l.n, 1);
    assert_true(fabs(l.e[0].f_lo_hz - 175e3) < 16e3 && fabs(l.e[0].f_hi_hz - 225e3) < 16e3);
    free(iq);
    free(l.frames);
}

/* Noise through a gate that cuts half of the short spectra. */
static void check_cut_rows(float shut)
{
    float *iq = sig_noise(LENGTH, -50, 1);
    struct band_log l = {0};
    struct at_band_stats st;
    for (size_t k = 0; k < 2 * LENGTH; k++)
        iq[k] = k % 640 < 400 ? iq[k] : shut;
    struct at_band *b = log_band(&l, NULL, RATE);
    at_band_push(b, iq, LENGTH, 0);
    at_band_flush(b);
    at_band_get_stats(b, &st);
    at_band_destroy(b);
    print_message("cut to %g: floor %.1f dBFS/Hz, %u emissions\n", (double)shut,
                  (double)st.floor_dbfs_hz, l.n);
    assert_true(fabs((double)st.floor_dbfs_hz + 110) < 1);
    free(iq);
    free(l.frames);
}

static void test_a_gate_is_no_noise(void **state)
{
    check_cut_rows(0);
    check_cut_rows(0.5f / 128); /* what a converter of 8 bits without a code for zero makes of it */
    check_gated(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_runs_become_zeros_however_they_are_cut),
        cmocka_unit_test(test_noise_under_one_code_is_no_gate),
        cmocka_unit_test(test_saturation_is_no_gate),
        cmocka_unit_test(test_an_error_comes_back),
        cmocka_unit_test(test_a_gate_is_no_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
