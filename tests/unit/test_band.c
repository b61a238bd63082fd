/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dsp/feed.h"
#include "lib/base/clock.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

#define RATE 1e6

static void test_noise_gives_no_emission(void **state)
{
    enum { PART = 1 << 18 };
    struct band_log l = {0};
    struct at_band *b = log_band(&l, NULL, RATE);
    struct at_band_stats stats;
    int64_t cpu = 0;
    for (uint64_t at = 0; at < 10e6; at += PART) {
        float *iq = sig_noise(PART, -50, at);
        int64_t t = at_clock_thread_cpu_ns();
        assert_int_equal(at_band_push(b, iq, PART, at), 0);
        cpu += at_clock_thread_cpu_ns() - t;
        free(iq);
    }
    at_band_flush(b);
    at_band_get_stats(b, &stats);
    log_print(&l, RATE);
    print_message("10 s of noise at %.0f MS/s: %u emissions, floor %.2f dBFS/Hz (-110 wanted), "
                  "%.1f %% of a core\n",
                  RATE / 1e6, l.n, (double)stats.floor_dbfs_hz, (double)cpu / 1e8);
    assert_int_equal(l.n, 0);
    assert_true(fabs(stats.floor_dbfs_hz + 110) < 0.5);
    assert_int_equal(stats.floor_source, AT_FLOOR_MEASURED);
    at_band_destroy(b);
    free(l.frames);
}

static void test_a_burst_is_one_emission_at_its_place(void **state)
{
    enum { N = 100000, FROM = 50300, TO = 52300 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    sig_add_wide(iq, FROM, TO, 0.2, 0.1, -40,
                 2); /* 100 kHz at 200 kHz: 20 dB over the noise in it */
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    assert_int_equal(l.n, 1);
    assert_true(fabs(l.e[0].f_lo_hz - 150e3) < 16e3 && fabs(l.e[0].f_hi_hz - 250e3) < 16e3);
    assert_true(fabs((double)l.e[0].start - FROM) < 200 && fabs((double)l.e[0].end - TO) < 200);
    assert_true(fabs(l.e[0].snr_db - 20) < 2);
    assert_true(fabs(l.e[0].level_dbfs + 40) < 1);
    assert_int_equal(l.e[0].bursts, 1);
    double tokens = (TO - FROM) / 64.0 * l.rate_hz / RATE;
    print_message("%zu tokens, wanted %.0f of the burst and 16 around it\n", l.tokens[0], tokens);
    assert_true(l.tokens[0] >= tokens + 10 && l.tokens[0] <= tokens + 20);
    /* The newest token is the eighth after the burst, however much silence was looked at since. */
    double hop = 64 * RATE / l.rate_hz, newest = TO + 8 * hop;
    print_message("newest token ends at %.0f, wanted %.0f\n", (double)l.index, newest);
    assert_true(fabs((double)l.index - newest) < 3 * hop);
    free(iq);
    free(l.frames);
}

/* How many of 40 tones of 40 us come out as emissions; dbfs in noise of -50 dBFS. */
static unsigned found_specks(double dbfs)
{
    enum { N = 40000, FROM = 20300, TO = FROM + 40 };
    unsigned found = 0;
    for (unsigned i = 0; i < 40; i++) {
        float *iq = sig_noise(N, -50, 500 + i);
        struct band_log l = {0};
        sig_add_tone(iq, FROM + 7 * i, TO + 7 * i, -0.3 + 0.013 * i, dbfs);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        found += l.n;
        free(iq);
        free(l.frames);
    }
    return found;
}

/* Noise gets over the threshold of a cell or two by itself: what holds no more energy than that is
 * hardly reported, what holds five times as much is. */
static void test_a_speck_is_no_emission(void **state)
{
    unsigned weak = found_specks(-50), strong = found_specks(-43);
    print_message("of 40: %u of energy 40, %u of 200\n", weak, strong);
    assert_true(weak <= 6); /* its energy is measured in noise; 17 without that bound */
    assert_true(strong >= 38);
}

/* Single short rows show the highest moments of such a burst only: it is measured over as many as
 * it takes, wherever in an epoch it stands. */
static void test_a_weak_burst_has_its_length(void **state)
{
    enum { N = 60000, FROM = 20000, LONG = 1600, COUNT = 40 };
    unsigned found = 0, whole = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        float *iq = sig_noise(N, -50, 900 + i);
        struct band_log l = {0};
        unsigned from = FROM + 640 * i, to = from + LONG;
        sig_add_wide(iq, from, to, -0.3 + 0.013 * i, 0.0125, -59, 70 + i); /* 10 dB in 12.5 kHz */
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        found += l.n > 0;
        double both = l.n ? fmin((double)l.e[0].end, to) - fmax((double)l.e[0].start, from) : 0;
        whole += both > LONG / 2.0 && (double)(l.e[0].end - l.e[0].start) < 2 * LONG;
        free(iq);
        free(l.frames);
    }
    print_message("of %u: %u found, %u of them with about their length\n", COUNT, found, whole);
    assert_true(found >= COUNT - 1);
    assert_true(whole >= COUNT * 3 / 4);
}

static void test_two_neighbours_are_two(void **state)
{
    enum { N = 200000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    sig_add_wide(iq, 0, N, 0.1, 0.05, -40, 2);
    sig_add_wide(iq, 0, N, 0.2, 0.05, -35, 3);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    assert_int_equal(l.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        double mid = (l.e[i].f_lo_hz + l.e[i].f_hi_hz) / 2, want = mid < 150e3 ? 100e3 : 200e3;
        assert_true(fabs(mid - want) < 5e3);
        assert_true(fabs(l.e[i].f_hi_hz - l.e[i].f_lo_hz - 50e3) < 10e3);
    }
    free(iq);
    free(l.frames);
}

static void test_a_carrier_is_one_emission_of_its_level(void **state)
{
    enum { N = 500000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    sig_add_tone(iq, 0, N, 0.1234567, -55);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    assert_int_equal(l.n, 1);
    assert_true(l.e[0].f_lo_hz <= 123457 + 200 && l.e[0].f_hi_hz >= 123457 - 200);
    assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz < 1500);
    print_message("tone at -55 dBFS reads %.2f\n", (double)l.e[0].level_dbfs);
    assert_true(fabs(l.e[0].level_dbfs + 55) < 0.5);
    assert_true(l.e[0].duty > 0.98);
    free(iq);
    free(l.frames);
}

/* Hann spreads a line over three bins, and the edges of one on a bin hold only the middle one: two
 * thirds of it. */
static void test_a_carrier_on_a_bin_reads_its_level(void **state)
{
    enum { N = 500000 };
    static const double levels[] = {-30, -55, -70};
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++) {
        float *iq = sig_noise(N, -50, 1);
        struct band_log l = {0};
        sig_add_tone(iq, 0, N, 0.125, levels[i]);
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        assert_int_equal(l.n, 1);
        print_message("tone on a bin at %.0f dBFS reads %.2f, %.0f Hz wide\n", levels[i],
                      (double)l.e[0].level_dbfs, l.e[0].f_hi_hz - l.e[0].f_lo_hz);
        assert_true(fabs(l.e[0].level_dbfs - levels[i]) < 0.5);
        free(iq);
        free(l.frames);
    }
}

static void test_packets_are_bursts_of_one(void **state)
{
    enum { N = 300000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    for (unsigned i = 0; i < 4; i++)
        sig_add_wide(iq, 20000 + i * 60000, 30000 + i * 60000, -0.2, 0.05, -35, i);
    assert_int_equal(log_run(&l, iq, N, RATE), 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.e[0].bursts, 4);
    print_message("duty %.3f, wanted %.3f; skipped column %.2f\n", (double)l.e[0].duty, 40. / 190,
                  (double)l.skipped);
    assert_true(fabs(l.e[0].duty - 40. / 190) < 0.03);
    /* 10 ms are to give 64 tokens: 500 kS/s; 50 ms of silence are then 390 hops, 16 of them kept */
    assert_true(fabs(exp2((double)l.skipped) - 1 - 374) < 8);
    free(iq);
    free(l.frames);
}

static void test_any_chunks_give_the_same_tokens(void **state)
{
    enum { N = 200000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l[2] = {{0}, {0}};
    sig_add_wide(iq, 30000, 90000, 0.1, 0.05, -40, 2);
    sig_add_tone(iq, 50000, N, -0.2, -50);
    assert_int_equal(log_run(&l[0], iq, N, RATE), 0);
    struct at_band *b = log_band(&l[1], NULL, RATE);
    for (size_t at = 0, step = 1; at < N; at += step, step = 1 + step * 7919 % 5003) {
        step = N - at < step ? N - at : step;
        assert_int_equal(at_band_push(b, iq + 2 * at, step, at), 0);
    }
    at_band_flush(b);
    at_band_destroy(b);
    print_message("%zu and %zu tokens\n", l[0].n_frames, l[1].n_frames);
    assert_true(l[0].n_frames > 100);
    assert_int_equal(l[0].n_frames, l[1].n_frames);
    assert_memory_equal(l[0].frames, l[1].frames, l[0].n_frames * LOG_COLUMNS * 4);
    free(l[0].frames);
    free(l[1].frames);
    free(iq);
}

/* Where rows are means of several spectra a burst of 120 us stands where it is still, and chunks
 * make no difference. */
static void test_a_wide_band_finds_a_short_burst(void **state)
{
    enum { N = 1500000, FROM = 700000, TO = FROM + 2400 };
    const double wide = 20e6;
    float *iq = sig_noise(N, -50, 1);
    struct band_log l[2] = {{0}, {0}};
    sig_add_wide(iq, FROM, TO, 0.1, 0.05, -48, 2); /* 15 dB in its own width */
    assert_int_equal(log_run(&l[0], iq, N, wide), 0);
    struct at_band *b = log_band(&l[1], NULL, wide);
    for (size_t at = 0, step = 1; at < N; at += step, step = 1 + step * 7919 % 50021) {
        step = N - at < step ? N - at : step;
        assert_int_equal(at_band_push(b, iq + 2 * at, step, at), 0);
    }
    at_band_flush(b);
    at_band_destroy(b);
    assert_int_equal(l[0].n, 1);
    double start = ((double)l[0].e[0].start - FROM) / wide,
           end = ((double)l[0].e[0].end - TO) / wide;
    print_message("start %.1f us, end %.1f us off; %zu and %zu tokens\n", 1e6 * start, 1e6 * end,
                  l[0].n_frames, l[1].n_frames);
    assert_true(fabs(start) < 52e-6 && fabs(end) < 52e-6); /* two hops of the rows */
    assert_true(l[0].n_frames > 10);
    assert_int_equal(l[0].n_frames, l[1].n_frames);
    assert_memory_equal(l[0].frames, l[1].frames, l[0].n_frames * LOG_COLUMNS * 4);
    free(l[0].frames);
    free(l[1].frames);
    free(iq);
}

static void test_a_gap_ends_the_run(void **state)
{
    enum { N = 200000, GAP = 1000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0}, whole = {0};
    sig_add_tone(iq, 0, N, 0.1, -40);
    assert_int_equal(log_run(&whole, iq, N, RATE), 0);
    struct at_band *b = log_band(&l, NULL, RATE);
    at_band_push(b, iq, N / 2, 0);
    at_band_push(b, iq + N, N / 2, N / 2 + GAP);
    at_band_flush(b);
    at_band_destroy(b);
    log_print(&l, RATE);
    assert_int_equal(whole.new_runs, 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.new_runs, 1);
    assert_true(l.e[0].gap);
    assert_true(!whole.e[0].gap);
    assert_true(l.n_frames < whole.n_frames);
    assert_true(l.n_frames + 16 > whole.n_frames);
    free(l.frames);
    free(whole.frames);
    free(iq);
}

/* A radio that visits: a carrier that is there at each visit is one emission, on all the while; one
 * that has gone meanwhile ends where it was last seen; the floor is known from the first block. */
static void test_emissions_live_across_visits(void **state)
{
    enum { VISIT = 400000, AWAY = 5000000, VISITS = 5 };
    struct band_log l = {0};
    struct at_band *b = log_band(&l, NULL, RATE);
    struct at_band_stats stats;
    uint64_t index = 0, gone = 0;
    for (int i = 0; i < VISITS; i++) {
        float *iq = sig_noise(VISIT, -50, (uint64_t)i + 1);
        sig_add_tone(iq, 0, VISIT, 0.1, -40);
        if (i < 2) {
            sig_add_wide(iq, 0, VISIT, -0.2, 0.05, -35, 3);
            gone = index + VISIT;
        }
        unsigned rows = l.n_rows;
        assert_int_equal(at_band_push(b, iq, VISIT, index), 0);
        at_band_get_stats(b, &stats);
        assert_true(fabs(stats.floor_dbfs_hz + 110) < 0.5);
        assert_true(l.n_rows > rows);
        assert_int_equal(at_band_pause(b), 0);
        assert_int_equal(at_band_pause(b), 0); /* once is enough */
        free(iq);
        index += VISIT + AWAY;
    }
    log_print(&l, RATE);
    assert_int_equal(l.n, 2);
    assert_int_equal(
        l.new_runs, VISITS); /* of the carrier at each visit but the first, and of the other once */
    assert_int_equal(l.n_closed, 1);
    unsigned carrier = l.e[0].ended ? 1 : 0;
    const struct at_emission *stays = &l.e[carrier], *went = &l.e[1 - carrier];
    assert_true(stays->gap && !stays->ended && went->ended);
    assert_int_equal(stays->bursts, 1);
    print_message("duty %.3f, %lld samples beyond the last that it sent\n", (double)stays->duty,
                  (long long)(went->end - gone));
    assert_true(stays->duty > 0.97f);
    assert_true(llabs((long long)(went->end - gone)) < 20000);
    assert_int_equal(at_band_flush(b), 0);
    assert_int_equal(l.n_closed, 2);
    at_band_destroy(b);
    free(l.frames);
}

static void test_zeros_and_bad_samples_make_no_nan(void **state)
{
    enum { N = 150000 };
    float *iq = calloc(N, 8);
    struct band_log zero = {0}, bad = {0};
    assert_int_equal(log_run(&zero, iq, N, RATE), 0);
    assert_int_equal(zero.n, 0);
    sig_add_noise(iq, N, -50, 1);
    iq[2 * 20000] = NAN;
    iq[2 * 60001 + 1] = INFINITY;
    assert_int_equal(log_run(&bad, iq, N, RATE), 0);
    assert_int_equal(bad.n, 0);
    free(iq);
    free(zero.frames);
    free(bad.frames);
}

/* A carrier with sidebands of a tone of 2.5 kHz, 22 and 25 dB down, that begin when the carrier is
 * known; both or the upper one alone (another carrier). */
static unsigned found_beside_carrier(bool lower)
{
    enum { N = 96000 };
    const double rate = 96e3, f = 0.11;
    unsigned all = 0;
    for (unsigned i = 0; i < 8; i++) {
        double tone = (2300 + 90.0 * i) / rate;
        float *iq = sig_noise(N, -40, 40 + i);
        struct band_log l = {0};
        sig_add_tone(iq, 0, N, f, -30);
        sig_add_tone(iq, N / 2, N, f + tone, -52);
        if (lower)
            sig_add_tone(iq, N / 2, N, f - tone, -55);
        assert_int_equal(log_run(&l, iq, N, rate), 0);
        all += l.n;
        free(iq);
        free(l.frames);
    }
    return all;
}

static void test_sidebands_belong_to_their_carrier(void **state)
{
    unsigned both = found_beside_carrier(true), one = found_beside_carrier(false);
    print_message("of 8 carriers: %u emissions with two sidebands, %u with another carrier\n", both,
                  one);
    assert_int_equal(both, 8);
    assert_true(one >= 14); /* 8 where the carrier's leak counts as theirs */
}

/* Speech has sounds far weaker and narrower than others: in a pause of the strong ones they are no
 * emission of their own. */
static void test_a_weak_sound_is_part_of_its_channel(void **state)
{
    enum { N = 96000 };
    const double rate = 48e3;
    unsigned all = 0;
    for (unsigned i = 0; i < 4; i++) {
        float *iq = sig_noise(N, -70, 60 + i);
        struct band_log l = {0};
        sig_add_wide(iq, 10000, 38000, 0.1, 0.05, -40, i);
        sig_add_wide(iq, 45000, 55000, 0.1, 0.01 + 0.003 * i, -63, 30 + i);
        sig_add_wide(iq, 67000, 90000, 0.1, 0.05, -40, i + 7);
        assert_int_equal(log_run(&l, iq, N, rate), 0);
        all += l.n;
        free(iq);
        free(l.frames);
    }
    print_message("4 channels: %u emissions\n", all);
    assert_int_equal(all, 4);
}

/* 120 kHz up in 1 / 3 s and on again from the bottom: each epoch shows a piece of its own. */
static void test_a_slow_sweep_is_one_emission(void **state)
{
    enum { N = 700000, PERIOD = 333333 };
    unsigned all = 0;
    for (unsigned i = 0; i < 3; i++) {
        float *iq = sig_noise(N, -50, 80 + i);
        struct band_log l = {0};
        double p = 0, a = pow(10, -42 / 20.0);
        for (size_t k = 0; k < N; k++) {
            p += 0.1 + 0.05 * i + 0.12 * (double)(k % PERIOD) / PERIOD;
            iq[2 * k] += (float)(a * cos(2 * M_PI * (p - floor(p))));
            iq[2 * k + 1] += (float)(a * sin(2 * M_PI * (p - floor(p))));
        }
        assert_int_equal(log_run(&l, iq, N, RATE), 0);
        all += l.n;
        assert_true(l.e[0].f_hi_hz - l.e[0].f_lo_hz > 0.8 * 120e3);
        free(iq);
        free(l.frames);
    }
    print_message("3 sweeps: %u emissions\n", all);
    assert_int_equal(all, 3);
}

/* What is full makes nothing, and counts it; when there is room again it goes on from there. */
static void check_rest(bool aside)
{
    enum { N = 400000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {.limit = 1};
    struct at_band_stats stats;
    struct at_band_config config = {
        .rate_hz = RATE, .lookback_s = 1, .rest_when_full = true, .aside = aside};
    struct at_band_sink sink = {&l,          log_opened, log_room, log_tokens,
                                log_updated, log_closed, log_row};
    sig_add_tone(iq, 0, N, 0.1, -40);
    struct at_band *b = NULL;
    assert_int_equal(at_band_create(NULL, &config, &sink, NULL, &b), 0);
    at_band_push(b, iq, N / 2, 0);
    at_band_get_stats(b, &stats);
    assert_int_equal(stats.frames, 0);
    l.limit = 0;
    at_band_push(b, iq + N, N / 2, N / 2);
    at_band_flush(b);
    at_band_get_stats(b, &stats);
    double wanted = N / 2 / 64.0 * l.rate_hz / RATE;
    print_message("%llu tokens and %llu skipped, wanted %.0f of either, %u new runs\n",
                  (unsigned long long)stats.tokens, (unsigned long long)stats.tokens_skipped,
                  wanted, l.new_runs);
    assert_int_equal(l.new_runs, 1);
    assert_true(fabs((double)stats.tokens_skipped - wanted) < 10);
    assert_true(fabs((double)l.n_frames - wanted) < 20);
    at_band_destroy(b);
    free(iq);
    free(l.frames);
}

static void test_the_full_rest(void **state)
{
    check_rest(false);
    check_rest(true);
}

static void test_a_full_session_pauses_the_run(void **state)
{
    enum { N = 400000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {.limit = 1};
    struct at_band_stats stats;
    sig_add_tone(iq, 0, N, 0.1, -40);
    struct at_band *b = log_band(&l, NULL, RATE);
    at_band_push(b, iq, N / 2, 0);
    at_band_get_stats(b, &stats);
    assert_int_equal(l.n_frames, 0);
    assert_true(stats.tokens_skipped > 0);
    l.limit = 0;
    at_band_push(b, iq + N, N / 2, N / 2);
    at_band_flush(b);
    at_band_get_stats(b, &stats);
    print_message("%llu tokens, %llu skipped, %u new runs\n", (unsigned long long)stats.tokens,
                  (unsigned long long)stats.tokens_skipped, l.new_runs);
    assert_int_equal(l.new_runs, 1);
    assert_int_equal(stats.tokens, l.n_frames);
    at_band_destroy(b);
    free(iq);
    free(l.frames);
}

static void test_one_opened_by_hand_below_the_threshold(void **state)
{
    enum { N = 200000, FROM = 60000, TO = 150000 };
    float *iq = sig_noise(N, -50, 1);
    struct band_log l = {0};
    uint64_t id = 0;
    struct at_band *b = log_band(&l, NULL, RATE);
    assert_int_equal(at_band_open_emission(b, 100e3, 120e3, FROM, TO, &id), 0);
    assert_int_equal(at_band_open_emission(b, 100e3, 90e3, FROM, TO, &id), -EINVAL);
    at_band_push(b, iq, N, 0);
    at_band_flush(b);
    at_band_destroy(b);
    log_print(&l, RATE);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.e[0].id, id);
    assert_true(l.e[0].start == FROM && l.e[0].end == TO);
    double mean = 0; /* its tokens are noise at 0 dB */
    for (size_t i = 0; i < l.n_frames; i++)
        for (unsigned k = 32; k < 96; k++)
            mean += pow(10, l.frames[i * LOG_COLUMNS + k]) / 64;
    mean = 10 * log10(mean / (double)l.n_frames);
    print_message("%zu tokens, noise at %.2f dB\n", l.n_frames, mean);
    assert_true(fabs(mean) < 0.5);
    size_t want = (size_t)((TO - FROM) / (RATE / 62500) / 64) + 2 * AT_FEED_AROUND;
    assert_true(l.n_frames >= want && l.n_frames <= want + 3);
    free(iq);
    free(l.frames);
}

/* A burst far shorter than a token lies in the tokens of what is opened for it, wherever the hops
 * fall. */
static void test_a_short_burst_opened_by_hand_is_heard(void **state)
{
    enum { N = 200000, LONG = 300 };
    for (size_t from = 100000; from < 101000; from += 250) {
        float *iq = sig_noise(N, -50, 1);
        struct band_log l = {0};
        sig_add_tone(iq, from, from + LONG, 0.11, -48);
        struct at_band_config c = {.rate_hz = RATE, .min_duration_s = 1}; /* finds nothing itself */
        struct at_band_sink sink = {&l,          log_opened, log_room, log_tokens,
                                    log_updated, log_closed, log_row};
        struct at_band *b = NULL;
        assert_int_equal(at_band_create(NULL, &c, &sink, NULL, &b), 0);
        at_band_push(b, iq, N, 0);
        assert_int_equal(at_band_open_emission(b, 109e3, 111e3, from, from + LONG, NULL), 0);
        at_band_flush(b);
        at_band_destroy(b);
        double most = 0;
        for (size_t i = 0; i < l.n_frames; i++) {
            double mean = 0;
            for (unsigned k = 44; k < 84; k++) /* the burst is 3.3 kHz wide, a bin 0.5 */
                mean += pow(10, l.frames[i * LOG_COLUMNS + k]) / 40;
            most = fmax(most, mean);
        }
        print_message("from %zu: %zu tokens, one of %.1f dB\n", from, l.n_frames, 10 * log10(most));
        assert_int_equal(l.n, 1);
        assert_true(most > 5);
        free(iq);
        free(l.frames);
    }
}

static void test_every_allocation_may_fail(void **state)
{
    enum { N = 60000 };
    float *iq = sig_noise(N, -50, 1);
    sig_add_tone(iq, 10000, 40000, 0.1, -40);
    for (long i = 1;; i++) {
        struct at_mem mem = {.fail_at = i};
        struct band_log l = {0};
        struct at_band_config c = {.rate_hz = RATE, .blanker_db = 12};
        struct at_band_sink sink = {&l,          log_opened, log_room, log_tokens,
                                    log_updated, log_closed, log_row};
        struct at_band *b = NULL;
        int ret = at_band_create(&mem, &c, &sink, NULL, &b);
        if (ret == 0)
            ret = at_band_push(b, iq, N, 0);
        if (b) {
            int flush = at_band_flush(b);
            ret = ret ? ret : flush;
        }
        at_band_destroy(b);
        for (unsigned k = 0; k < AT_MEM_TAGS; k++)
            assert_int_equal(mem.bytes[k], 0);
        free(l.frames);
        assert_true(ret == 0 || ret == -ENOMEM);
        if (mem.fail_at > 0)
            break;
    }
    free(iq);
}

static void push_wide(struct band_log *l, bool aside, const float *iq, size_t n)
{
    struct at_band_config c = {.rate_hz = 30.72e6, .aside = aside};
    struct at_band_sink sink = {l,           log_opened, log_room, log_tokens,
                                log_updated, log_closed, log_row};
    struct at_band *b = NULL;
    assert_int_equal(at_band_create(NULL, &c, &sink, NULL, &b), 0);
    size_t at = 0;
    for (size_t part = 1000; at < n; at += part, part = (part * 17 + 5) % 400000) {
        part = part < n - at ? part : n - at;
        assert_int_equal(at_band_push(b, iq + 2 * at, part, at < n / 2 ? at : at + 7777), 0);
    }
    assert_int_equal(at_band_flush(b), 0);
    at_band_destroy(b);
}

/* A thread of its own for the short spectra changes nothing of what comes of them: with a constant,
 * a burst, a carrier and a gap, pushed in pieces of any size. */
static void test_a_thread_aside_changes_nothing(void **state)
{
    enum { N = 3000000 };
    static struct band_log alone, two;
    float *iq = sig_noise(N, -50, 1);
    sig_add_wide(iq, 0, N, 0.1, 0.05, -40, 2);
    sig_add_wide(iq, 900300, 960300, -0.3, 0.1, -35, 3);
    sig_add_tone(iq, 0, N, 0.31, -50);
    for (size_t i = 0; i < 2 * N; i++)
        iq[i] += 0.01f;
    push_wide(&alone, false, iq, N);
    push_wide(&two, true, iq, N);
    print_message("%u emissions, %zu tokens, %u rows\n", alone.n, alone.n_frames, alone.n_rows);
    assert_true(alone.n >= 3 && alone.n_frames > 1000);
    assert_int_equal(alone.n, two.n);
    assert_int_equal(alone.n_rows, two.n_rows);
    assert_int_equal(alone.n_frames, two.n_frames);
    assert_memory_equal(alone.e, two.e, sizeof alone.e);
    assert_memory_equal(alone.frames, two.frames, alone.n_frames * LOG_COLUMNS * sizeof(float));
    free(iq);
    free(alone.frames);
    free(two.frames);
}

/* 3 of 10 samples left out, zeros or a code in their place: the same comes of both, in one thread
 * and in two. */
static void check_filled(bool aside, const float *iq, const float *code,
                         const struct band_log *zeros)
{
    enum { N = 3000000 };
    static struct band_log l;
    float *filled = malloc(N * 8);
    memcpy(filled, iq, N * 8);
    for (size_t i = 0; i < N; i++)
        if (i % 100000 < 30000)
            memcpy(filled + 2 * i, code, 8);
    memset(&l, 0, sizeof l);
    push_wide(&l, aside, filled, N);
    print_message("%g %g: %u and %u emissions, %zu and %zu tokens\n", (double)code[0],
                  (double)code[1], l.n, zeros->n, l.n_frames, zeros->n_frames);
    assert_int_equal(l.n, zeros->n);
    assert_int_equal(l.n_rows, zeros->n_rows);
    assert_int_equal(l.n_frames, zeros->n_frames);
    assert_memory_equal(l.e, zeros->e, sizeof l.e);
    assert_memory_equal(l.frames, zeros->frames, l.n_frames * LOG_COLUMNS * sizeof(float));
    free(l.frames);
    free(filled);
}

static void test_a_gate_of_any_code_is_one_of_zeros(void **state)
{
    enum { N = 3000000 };
    static const float codes[][2] = {
        {-0.99609375f, -0.99609375f}, {0.00390625f, -0.00390625f}, {1, 1}};
    static struct band_log zeros;
    float *iq = sig_noise(N, -50, 1);
    sig_add_wide(iq, 950300, 998300, -0.3, 0.1, -35, 3);
    for (size_t i = 0; i < N; i++)
        if (i % 100000 < 30000)
            memset(iq + 2 * i, 0, 8);
    push_wide(&zeros, false, iq, N);
    assert_true(zeros.n == 1 && zeros.n_frames > 100);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        check_filled(i % 2, iq, codes[i], &zeros);
    free(iq);
    free(zeros.frames);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_gives_no_emission),
        cmocka_unit_test(test_a_burst_is_one_emission_at_its_place),
        cmocka_unit_test(test_a_speck_is_no_emission),
        cmocka_unit_test(test_a_weak_burst_has_its_length),
        cmocka_unit_test(test_two_neighbours_are_two),
        cmocka_unit_test(test_a_carrier_is_one_emission_of_its_level),
        cmocka_unit_test(test_a_carrier_on_a_bin_reads_its_level),
        cmocka_unit_test(test_packets_are_bursts_of_one),
        cmocka_unit_test(test_any_chunks_give_the_same_tokens),
        cmocka_unit_test(test_a_wide_band_finds_a_short_burst),
        cmocka_unit_test(test_a_gap_ends_the_run),
        cmocka_unit_test(test_emissions_live_across_visits),
        cmocka_unit_test(test_zeros_and_bad_samples_make_no_nan),
        cmocka_unit_test(test_sidebands_belong_to_their_carrier),
        cmocka_unit_test(test_a_weak_sound_is_part_of_its_channel),
        cmocka_unit_test(test_a_slow_sweep_is_one_emission),
        cmocka_unit_test(test_a_full_session_pauses_the_run),
        cmocka_unit_test(test_the_full_rest),
        cmocka_unit_test(test_one_opened_by_hand_below_the_threshold),
        cmocka_unit_test(test_a_short_burst_opened_by_hand_is_heard),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_a_thread_aside_changes_nothing),
        cmocka_unit_test(test_a_gate_of_any_code_is_one_of_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
