/* One strong transmitter is one emission: its skirts, lobes, clicks and sidebands are no others.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dsp/beside.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 250e3

enum { N = 500000, SEEDS = 4 };

/* Emissions in all scenes of noise 45 dB below it (in 5 kHz) and what `add` sends. */
static unsigned emissions(void (*add)(float *iq, uint64_t seed))
{
    unsigned found = 0;
    for (uint64_t k = 0; k < SEEDS; k++) {
        float *iq = sig_noise(N, -45, 3 + k);
        struct band_log l = {0};
        add(iq, 100 + k);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        found += l.n;
        free(l.frames);
        free(iq);
    }
    return found;
}

/* Rectangular frequency steps from `from` to `to`: the spectrum falls off as slowly as it can. */
static void add_fsk(float *iq, size_t from, size_t to, double baud, double deviation_hz,
                    uint64_t *seed)
{
    double phase = 0, next = (double)from, step = 0;
    for (size_t i = from; i < to; i++) {
        if ((double)i >= next) {
            next += RATE / baud;
            step = 2 * M_PI * (32.5e3 + (sig_uniform(seed) < 0.5 ? -deviation_hz : deviation_hz)) /
                   RATE;
        }
        phase += step;
        iq[2 * i] += (float)(0.2 * cos(phase));
        iq[2 * i + 1] += (float)(0.2 * sin(phase));
    }
}

static void add_paging(float *iq, uint64_t seed)
{
    add_fsk(iq, 1000, N - 1000, 512, 4500, &seed);
}

/* Half of each 60 ms, cut off hard: 0.5 s and more of key clicks. */
static void add_slots(float *iq, uint64_t seed)
{
    for (size_t at = 12500; at + 7500 < N; at += 15000)
        add_fsk(iq, at, at + 7500, 4800, 1944, &seed);
}

/* A carrier, and a sound of 3 to 5 kHz 40 dB down that comes and goes. */
static void add_am(float *iq, uint64_t seed)
{
    for (size_t i = 1000; i < N - 1000; i++) {
        double t = (double)i / RATE, on = fmod(t, 0.4) < 0.1 ? 1 : 0,
               a = 0.2 *
                   (1 + on * 0.02 *
                            (sin(2 * M_PI * 3100 * t) + sin(2 * M_PI * 4700 * t + (double)seed)));
        iq[2 * i] += (float)(a * cos(2 * M_PI * 32.5e3 * t));
        iq[2 * i + 1] += (float)(a * sin(2 * M_PI * 32.5e3 * t));
    }
}

/* Carriers in the middle of a bin of the blocks (244 Hz) and between two, at 0 Hz too, and sounds
 * of nine tones 48 dB down for a tenth of a second each: what is seen of their sidebands is weak,
 * but even. */
static void add_speech(float *iq, uint64_t seed)
{
    double carrier = 244.140625 * (seed % 2 ? 133.5 : seed % 4 ? 0.4 : 57.2);
    for (size_t i = 1000; i < N - 1000; i++) {
        double t = (double)i / RATE, on = fmod(t, 0.4) < 0.1 ? 1 : 0, a = 0;
        for (int k = 0; on > 0 && k < 9; k++)
            a += sin(2 * M_PI * (1700 + 213 * k) * t + 2.4 * k * k);
        a = 0.2 * (1 + 0.0027 * a);
        iq[2 * i] += (float)(a * cos(2 * M_PI * carrier * t));
        iq[2 * i + 1] += (float)(a * sin(2 * M_PI * carrier * t));
    }
}

/* A carrier, and on either side of it, at its mirror image, a keyer of its own 30 dB down. */
static void add_keyers(float *iq, uint64_t seed)
{
    static const double offset_hz[] = {3000, -3010}, dot_s[] = {0.06, 0.085};
    for (size_t i = 1000; i < N - 1000; i++) {
        double t = (double)i / RATE, a = 0.2;
        iq[2 * i] += (float)(a * cos(2 * M_PI * 32.6e3 * t));
        iq[2 * i + 1] += (float)(a * sin(2 * M_PI * 32.6e3 * t));
        for (int k = 0; k < 2; k++) {
            double up = fmod(t - 0.3, 2 * dot_s[k]), ramp = fmin(up, dot_s[k] - up) / 0.005;
            a = t > 0.3 && t < 1.7 ? 0.0063 * fmin(fmax(ramp, 0), 1) : 0;
            iq[2 * i] += (float)(a * cos(2 * M_PI * (32.6e3 + offset_hz[k]) * t + (double)seed));
            iq[2 * i + 1] +=
                (float)(a * sin(2 * M_PI * (32.6e3 + offset_hz[k]) * t + (double)seed));
        }
    }
}

/* Manchester code in rectangular frequency steps, as a radiosonde sends it: lobes every 9.6 kHz
 * over all of the band. */
static void add_sonde(float *iq, uint64_t seed)
{
    double phase = 0, bit = 1;
    for (size_t i = 1000, last = 1; i < N - 1000; i++) {
        size_t half = (size_t)((double)(i - 1000) * 19200 / RATE);
        if (half != last && half % 2 == 0)
            bit = sig_uniform(&seed) < 0.5 ? -1 : 1;
        last = half;
        phase += 2 * M_PI * (2.3e3 + 3200 * (half % 2 ? -bit : bit)) / RATE;
        iq[2 * i] += (float)(0.2 * cos(phase));
        iq[2 * i + 1] += (float)(0.2 * sin(phase));
    }
}

static double remote; /* its amplitude */

static void add_carrier(float *iq, size_t from, size_t to, double f_hz, double amplitude)
{
    for (size_t k = from; k < to; k++) {
        iq[2 * k] += (float)(amplitude * cos(2 * M_PI * f_hz * (double)k / RATE));
        iq[2 * k + 1] += (float)(amplitude * sin(2 * M_PI * f_hz * (double)k / RATE));
    }
}

/* Eight bursts of a remote: a preamble of 100 dots, which makes lines, then bits of a dot or a
 * dash; rests of 25 ms. */
static void add_remote(float *iq, uint64_t seed)
{
    double dot_s = 70e-6 + 10e-6 * (double)(seed % 4);
    for (size_t burst = 0, i = 40000; burst < 8; burst++, i += 6250)
        for (unsigned bit = 0; bit < 160; bit++) {
            double on = bit < 100 || sig_uniform(&seed) < 0.5 ? 1 : 2, all = bit < 100 ? 2 : 3;
            add_carrier(iq, i, i + (size_t)lrint(on * dot_s * RATE), 31.4e3, remote);
            i += (size_t)lrint(all * dot_s * RATE);
        }
}

/* Another one's tone for 50 ms, in the midst of its bursts, 11.3 kHz above it: it has no mirror
 * image. */
static void add_remote_and_tone(float *iq, uint64_t seed)
{
    add_remote(iq, seed);
    add_carrier(iq, 80000, 92500, 42.7e3, 0.5 * remote);
}

static bool is_at(const struct band_log *l, double f_hz)
{
    bool found = false;
    for (unsigned i = 0; i < l->n; i++)
        found = found ||
                (fabs(l->e[i].f_lo_hz + l->e[i].f_hi_hz - 2 * f_hz) < 4e3 && l->e[i].snr_db > 5);
    return found;
}

static void test_strong_fsk_is_one(void **state)
{
    assert_int_equal(emissions(add_paging), SEEDS);
}

static void test_strong_slots_are_one(void **state)
{
    assert_int_equal(emissions(add_slots), SEEDS);
}

static void test_strong_am_is_one(void **state)
{
    assert_int_equal(emissions(add_am), SEEDS);
}

static void test_weak_sounds_are_the_carriers(void **state)
{
    assert_int_equal(emissions(add_speech), SEEDS);
}

/* What is left are lines that only the average of many epochs shows. */
static void test_far_lobes_are_the_senders(void **state)
{
    unsigned found = emissions(add_sonde);
    print_message("far lobes: %u emissions in %d scenes (3 each at most)\n", found, SEEDS);
    assert_true(found <= 3 * SEEDS); /* 95 by their heights alone */
}

/* Two stations among the lobes, at the same distance on both sides, one of them 6 dB weaker. */
static void test_stations_among_lobes_are_others(void **state)
{
    for (uint64_t k = 0; k < SEEDS; k++) {
        float *iq = sig_noise(N, -45, 3 + k);
        struct band_log l = {0};
        add_sonde(iq, 100 + k);
        sig_add_wide(iq, 1000, N - 1000, 62.3e3 / RATE, 4e3 / RATE, -46, 100 + k);
        sig_add_wide(iq, 1000, N - 1000, -57.7e3 / RATE, 4e3 / RATE, -52, 101 + k);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_true(is_at(&l, 62.3e3) && is_at(&l, -57.7e3));
        free(l.frames);
        free(iq);
    }
}

/* Of lobes that reach from 30 kHz down to -100 kHz, of one at 60 kHz, only those above -5 kHz have
 * their mirror image in a band of 250 kHz. extra: power over the noise from extra_hz on, over 10
 * kHz, beside them. */
static bool is_lobe(double extra_hz, float extra)
{
    enum { BINS = 1024, ROWS = 48 };
    float sum[BINS], floor[BINS];
    for (unsigned i = 0; i < BINS; i++) {
        double f = (i - 0.5 * BINS) * RATE / BINS, away = fabs(f - 60e3) / 10e3;
        floor[i] = 1;
        sum[i] = (float)ROWS * (1 + (float)(1e4 * (away < 1 ? 1 : 1e-3 / (away * away))));
        sum[i] += f >= extra_hz && f < extra_hz + 10e3 ? (float)ROWS * extra : 0;
    }
    struct at_track strong = {.on_s = 1,
                              .power_s = 1,
                              .peak_hz = 60e3,
                              .e = {.f_lo_hz = 50e3, .f_hi_hz = 70e3}},
                    lobe = {.on_s = 1,
                            .power_s = 0.001,
                            .peak_hz = 29e3,
                            .pending = true,
                            .e = {.f_lo_hz = -100e3, .f_hi_hz = 30e3}};
    lobe.slow = (struct at_spectra){.n = BINS, .rows = ROWS, .sum = sum};
    struct at_track *alive[] = {&strong, &lobe};
    struct at_tracker t = {.rate_hz = RATE, .n_slow = BINS, .n_tracks = 2, .tracks = alive};
    return at_beside_was_lobe(&t, &lobe, floor, 0, 0);
}

/* An AM station between two of the same raster, 20 dB weaker and alike but for what they say: each
 * is its own. */
static void test_stations_of_a_raster_are_no_lobes(void **state)
{
    enum { BINS = 1024, ROWS = 48 };
    float sum[BINS], floor[BINS];
    for (unsigned i = 0; i < BINS; i++) {
        floor[i] = 1;
        sum[i] = ROWS;
        for (int k = -1; k <= 1; k++) {
            double f = fabs((i - 0.5 * BINS) * RATE / BINS - k * 9e3);
            sum[i] += (float)ROWS * (k ? 1 : 100) * (f < 200 ? 1000 : f < 4e3 ? 3 : 0);
        }
    }
    struct at_track strong = {.on_s = 1,
                              .power_s = 1,
                              .e = {.f_lo_hz = -4e3, .f_hi_hz = 4e3, .end = 50000, .duty = 1}},
                    next = {.on_s = 1,
                            .power_s = 0.01,
                            .peak_hz = 9e3,
                            .pending = true,
                            .e = {.f_lo_hz = 5e3, .f_hi_hz = 13e3, .end = 50000, .duty = 1}};
    next.slow = (struct at_spectra){.n = BINS, .rows = ROWS, .sum = sum};
    struct at_track *alive[] = {&strong, &next};
    struct at_tracker t = {.rate_hz = RATE, .n_slow = BINS, .n_tracks = 2, .tracks = alive};
    assert_false(at_beside_was_lobe(&t, &next, floor, 4000, 1000));
}

/* PSK of 20 kbaud at 0 Hz, whose steps nothing rounds, of 20 dB: is what lies from lo to hi its
 * own? other: power over the noise there, beside the lobe. heard: it came within what is looked at.
 */
static bool is_near_lobe(double lo_hz, double hi_hz, float other, bool heard)
{
    enum { BINS = 1024, ROWS = 48 };
    float sum[BINS], floor[BINS];
    for (unsigned i = 0; i < BINS; i++) {
        double f = (i - 0.5 * BINS) * RATE / BINS, x = M_PI * f / 20e3,
               level = x != 0 ? pow(sin(x) / x, 2) : 1;
        floor[i] = 1;
        sum[i] = (float)ROWS * (1 + 100 * (float)level + (f >= lo_hz && f < hi_hz ? other : 0));
    }
    struct at_track
        strong = {.on_s = 1,
                  .power_s = 1,
                  .e = {.f_lo_hz = -17e3,
                        .f_hi_hz = 17e3,
                        .start = heard ? 5000 : 0,
                        .end = 50000,
                        .duty = 1}},
        lobe = {.on_s = 1,
                .power_s = 0.05,
                .peak_hz = (lo_hz + hi_hz) / 2,
                .pending = true,
                .e = {.f_lo_hz = lo_hz, .f_hi_hz = hi_hz, .start = 9000, .end = 40000, .duty = 1}};
    lobe.slow = (struct at_spectra){.n = BINS, .rows = ROWS, .sum = sum};
    struct at_track *alive[] = {&strong, &lobe};
    struct at_tracker t = {.rate_hz = RATE, .n_slow = BINS, .n_tracks = 2, .tracks = alive};
    return at_beside_was_lobe(&t, &lobe, floor, 4000, 1000);
}

static void test_near_lobes_are_the_senders(void **state)
{
    assert_true(is_near_lobe(24e3, 35e3, 0, false));
    assert_true(is_near_lobe(-35e3, -24e3, 0, false));
    assert_true(is_near_lobe(45e3, 55e3, 0, true));
    assert_false(
        is_near_lobe(45e3, 55e3, 0, false)); /* farther away it may have been there before */
    assert_false(is_near_lobe(24e3, 55e3, 0, false)); /* as wide as it: two on the next channels */
    assert_false(is_near_lobe(24e3, 55e3, 0, true));
    assert_false(is_near_lobe(24e3, 35e3, 6, true));  /* another on one side */
    assert_false(is_near_lobe(24e3, 35e3, 60, true)); /* higher than lobes are */
}

/* Two tones of 80 kHz apart stand on the FSK that they are; a lone line is another's. */
static bool is_tone(bool both)
{
    enum { BINS = 1024, ROWS = 48 };
    float sum[BINS], floor[BINS];
    for (unsigned i = 0; i < BINS; i++) {
        double f = (i - 0.5 * BINS) * RATE / BINS;
        floor[i] = 1;
        sum[i] = (float)ROWS * (fabs(f) < 70e3 ? 30 : 1);
        sum[i] += fabs(f - 40e3) < 300 || (both && fabs(f + 40e3) < 300) ? (float)ROWS * 3000 : 0;
    }
    struct at_track wide = {.on_s = 1, .power_s = 1, .e = {.f_lo_hz = -70e3, .f_hi_hz = 70e3}},
                    line = {.on_s = 1,
                            .power_s = 1,
                            .peak_hz = 40e3,
                            .over = 100,
                            .pending = true,
                            .e = {.f_lo_hz = 39.5e3, .f_hi_hz = 40.5e3}};
    line.slow = (struct at_spectra){.n = BINS, .rows = ROWS, .sum = sum};
    struct at_track *alive[] = {&wide, &line};
    struct at_tracker t = {.rate_hz = RATE, .n_slow = BINS, .n_tracks = 2, .tracks = alive};
    return at_beside_was_lobe(&t, &line, floor, 0, 0);
}

static void test_both_tones_of_an_fsk_are_it(void **state)
{
    assert_true(is_tone(true));
    assert_false(is_tone(false));
}

static void test_lobes_beyond_the_mirror_are_the_senders(void **state)
{
    assert_true(is_lobe(0, 0));
    assert_false(is_lobe(
        -80e3, 10)); /* another, where no mirror image is seen: higher than what lies nearer */
    assert_false(is_lobe(5e3, 10)); /* and where one is: on that side only */
}

static void test_keyers_beside_a_carrier_are_others(void **state)
{
    assert_int_equal(emissions(add_keyers), 3 * SEEDS);
}

static void test_weak_remotes_lines_are_its_own(void **state)
{
    static const double amplitudes[] = {0.006, 0.004, 0.003};
    unsigned found = 0;
    for (int k = 0; k < 3; k++) {
        remote = amplitudes[k];
        found += emissions(add_remote);
    }
    print_message("weak remotes: %u emissions of %d\n", found, 3 * SEEDS);
    assert_int_equal(found, 3 * SEEDS); /* 21 where lines are emissions of their own */
}

static void test_tone_beside_a_remote_is_another(void **state)
{
    remote = 0.004;
    assert_int_equal(emissions(add_remote_and_tone), 2 * SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strong_fsk_is_one),
        cmocka_unit_test(test_strong_slots_are_one),
        cmocka_unit_test(test_strong_am_is_one),
        cmocka_unit_test(test_weak_sounds_are_the_carriers),
        cmocka_unit_test(test_far_lobes_are_the_senders),
        cmocka_unit_test(test_stations_among_lobes_are_others),
        cmocka_unit_test(test_lobes_beyond_the_mirror_are_the_senders),
        cmocka_unit_test(test_near_lobes_are_the_senders),
        cmocka_unit_test(test_stations_of_a_raster_are_no_lobes),
        cmocka_unit_test(test_both_tones_of_an_fsk_are_it),
        cmocka_unit_test(test_keyers_beside_a_carrier_are_others),
        cmocka_unit_test(test_weak_remotes_lines_are_its_own),
        cmocka_unit_test(test_tone_beside_a_remote_is_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
