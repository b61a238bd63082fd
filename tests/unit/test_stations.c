/* Stations side by side, each with a carrier: neighbours are no sidebands, and those whose
 * envelopes agree for a moment are not one. A carrier's own subcarriers are.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { TONES = 6 };

/* Adds a broadcast station: tones up to 4 kHz on a carrier, each of which swells and fades. */
static void add_station(float *iq, size_t n, double rate_hz, double f_hz, double dbfs,
                        uint64_t seed)
{
    double tone[TONES], swell[TONES], a = pow(10, dbfs / 20), start = sig_uniform(&seed);
    for (int k = 0; k < TONES; k++) {
        tone[k] = 2 * M_PI * (200 + 3800 * sig_uniform(&seed)) / rate_hz;
        swell[k] = 2 * M_PI * (2 + 6 * sig_uniform(&seed)) / rate_hz;
    }
    for (size_t i = 0; i < n; i++) {
        double m = 1, t = (double)i, p = 2 * M_PI * (f_hz * t / rate_hz + start);
        for (int k = 0; k < TONES; k++)
            m += 0.2 * sin(tone[k] * t) * sin(swell[k] * t + k);
        iq[2 * i] += (float)(a * m * cos(p));
        iq[2 * i + 1] += (float)(a * m * sin(p));
    }
}

/* Of n_stations, raster_hz apart and 15 to 35 dB over the noise of 9 kHz, how many are an emission
 * of their own. */
static unsigned alone(double rate_hz, double raster_hz, unsigned n_stations)
{
    size_t n = (size_t)(0.7 * rate_hz);
    float *iq = sig_noise(n, -60 + 10 * log10(rate_hz / 9e3), 5);
    double first = 3100 - raster_hz * (n_stations / 2);
    uint64_t seed = 17;
    for (unsigned k = 0; k < n_stations; k++) {
        double f = first + raster_hz * k + 8 * (sig_uniform(&seed) - 0.5);
        add_station(iq, n, rate_hz, f, -45 + 20 * sig_uniform(&seed), 100 + k);
    }
    struct band_log l = {0};
    assert_int_equal(log_run(&l, iq, n, rate_hz), 0);
    unsigned found = 0;
    for (unsigned k = 0; k < n_stations; k++) {
        unsigned own = 0;
        for (unsigned i = 0; i < l.n; i++)
            own +=
                l.e[i].f_hi_hz - l.e[i].f_lo_hz < 1.5 * raster_hz &&
                fabs((l.e[i].f_hi_hz + l.e[i].f_lo_hz) / 2 - first - raster_hz * k) < raster_hz / 4;
        found += own == 1;
    }
    free(l.frames);
    free(iq);
    return found;
}

static void test_neighbours_are_no_sidebands(void **state)
{
    (void)state;
    unsigned at_9 = alone(250e3, 9e3, 20), at_10 = alone(250e3, 10e3, 20);
    print_message("of 20 stations at 250 kS/s, 9 and 10 kHz apart: %u and %u alone (16)\n", at_9,
                  at_10);
    assert_true(at_9 >= 16 && at_10 >= 16);
}

static void test_a_band_full_of_stations(void **state)
{
    (void)state;
    unsigned found = alone(1.024e6, 18e3, 40);
    print_message("of 40 stations at 1.024 MS/s: %u alone (36)\n", found);
    assert_true(found >= 36);
}

/* A VOR: 30 Hz on the carrier and on a subcarrier of 9,960 Hz, which it moves by 480. */
static void test_a_vor_is_one(void **state)
{
    (void)state;
    static const double rates[] = {96e3, 250e3};
    for (int k = 0; k < 2; k++) {
        double rate = rates[k];
        size_t n = (size_t)rate;
        float *iq = sig_noise(n, 10 * log10(rate / 21e3) - 41, 3);
        struct band_log l = {0};
        for (size_t i = 0; i < n; i++) {
            double t = (double)i / rate, p = 2 * M_PI * 12e3 * t,
                   a = 0.1 * (1 + 0.3 * cos(2 * M_PI * 30 * t) +
                              0.3 * cos(2 * M_PI * 9960 * t + 16 * sin(2 * M_PI * 30 * t)));
            iq[2 * i] += (float)(a * cos(p));
            iq[2 * i + 1] += (float)(a * sin(p));
        }
        assert_int_equal(log_run(&l, iq, n, rate), 0);
        print_message("VOR at %g S/s: %u emissions (1), %.1f to %.1f kHz (1.6 to 22.4)\n", rate,
                      l.n, l.e[0].f_lo_hz / 1e3, l.e[0].f_hi_hz / 1e3);
        assert_int_equal(l.n, 1);
        assert_true(fabs(l.e[0].f_lo_hz - 1.6e3) < 400 && fabs(l.e[0].f_hi_hz - 22.4e3) < 400);
        free(l.frames);
        free(iq);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neighbours_are_no_sidebands),
        cmocka_unit_test(test_a_band_full_of_stations),
        cmocka_unit_test(test_a_vor_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
