/* How fast the way from samples to tokens is, on one core:
 *
 *     build/tests/bench/dsp [RATE[,RATE..] [SECONDS [SCENE | FILE.cs16 [PLANS]]]]
 *
 * "spectrum": CS16 in, windowed, FFT, rows of 128 bins in dB out, hop 64, beside FFTW alone on the
 * same transforms, turn about. Then a band of each rate on a rendered loop of CS16, as the daemon
 * feeds it: tokens supplied as to a live radio; wide bands also with a thread
 * aside, whose part is told apart. Times are the thread's CPU time, so that a loaded machine spoils
 * them little. Fails where a band has no emission.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/dsp/band.h"
#include "lib/dsp/loops.h"
#include "lib/dsp/plan.h"
#include "lib/dsp/spectrum.h"
#include "lib/engine/scheduler.h"
#include "lib/source/convert.h"
#include "lib/synth/synth.h"

#define FULL_SCALE 32768.0
#define MAX_IDS    4096

static double cpu_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_s(void)
{
    return cpu_of(CLOCK_THREAD_CPUTIME_ID);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* ---- the spectrum path alone ---- */

enum { BINS = 128, ROUND = 1 << 16, ROUNDS = 101, PIECE = 2048, ROWS = PIECE / (BINS / 2) + 2 };

static void noise(int16_t *iq, size_t n)
{
    struct at_rng rng;
    at_rng_seed(&rng, 1);
    for (size_t i = 0; i < 2 * n; i++)
        iq[i] = (int16_t)lrint(1000 * at_rng_normal(&rng));
}

static int spectrum(void)
{
    struct at_stft stft;
    int16_t *raw = malloc(ROUND * 2 * sizeof *raw);
    float *iq = at_mem_array(NULL, AT_MEM_OTHER, ROUND * 2, sizeof *iq),
          *rows = at_mem_array(NULL, AT_MEM_OTHER, ROWS * BINS, sizeof *rows),
          *db = at_mem_array(NULL, AT_MEM_OTHER, ROWS * BINS, sizeof *db);
    const struct at_plan *plan = at_plan_get(BINS, AT_PLAN_FORWARD);
    double ours[ROUNDS], alone[ROUNDS], sum = 0;
    int rc = at_stft_init(&stft, NULL, BINS, 1, 2.4e6, 0);
    if (rc < 0 || !raw || !iq || !rows || !db || !plan) {
        free(raw);
        return 1;
    }
    noise(raw, ROUND);
    for (int r = 0; r < ROUNDS; r++) {
        double t0 = cpu_s();
        size_t t = 0;
        for (size_t at = 0; at < ROUND; at += PIECE) {
            at_iq_convert(AT_IQ_CS16, FULL_SCALE, raw + 2 * at, PIECE, iq);
            t = at_stft_run(&stft, iq, PIECE, rows, ROWS);
            at_loops_best()->decibels(rows, t * BINS, db);
        }
        double t1 = cpu_s();
        for (size_t i = 0; i < ROUND / (BINS / 2); i++)
            at_plan_run(plan, iq + 2 * BINS * (i % 8), iq + 2 * BINS * (8 + i % 8));
        double t2 = cpu_s();
        ours[r] = t1 - t0;
        alone[r] = t2 - t1;
        for (size_t i = 0; i < t * BINS; i++)
            sum += db[i];
        sum /= (double)t * BINS + 1;
    }
    qsort(ours, ROUNDS, sizeof *ours, by_value);
    qsort(alone, ROUNDS, sizeof *alone, by_value);
    double a = ours[ROUNDS / 2], b = alone[ROUNDS / 2];
    printf("{\"spectrum\": {\"ms_per_s\": %.1f, \"fftw_ms_per_s\": %.1f, \"share_of_fftw\": %.3f, "
           "\"mean_db\": %.2f}}\n",
           1e-6 * ROUND / a, 1e-6 * ROUND / b, b / a, sum);
    at_stft_finish(&stft);
    at_mem_free(NULL, iq);
    at_mem_free(NULL, rows);
    at_mem_free(NULL, db);
    free(raw);
    return 0;
}

/* ---- a band ---- */

struct listener {
    double rate_hz;
    uint64_t now;
    struct at_supply supply[MAX_IDS];
    uint64_t opened, closed, tokens;
};

static void on_opened(void *ctx, const struct at_emission *e)
{
    struct listener *l = ctx;
    l->supply[e->id % MAX_IDS] = (struct at_supply){.tokens = 4096, .index = l->now};
    l->opened++;
}

static size_t on_room(void *ctx, uint64_t id)
{
    struct listener *l = ctx;
    return at_supply_room(&l->supply[id % MAX_IDS], l->now, 4096 / l->rate_hz, 4096, 768, 1024);
}

static void on_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                      unsigned flags, uint64_t index)
{
    struct listener *l = ctx;
    at_supply_take(&l->supply[e->id % MAX_IDS], n);
    l->tokens += n;
}

static void on_updated(void *ctx, const struct at_emission *e)
{
}

static void on_closed(void *ctx, const struct at_emission *e)
{
    struct listener *l = ctx;
    l->closed++;
}

static void on_row(void *ctx, const struct at_row *row)
{
}

static int16_t *load(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    int16_t *raw = size > 0 ? malloc((size_t)size) : NULL;
    if (raw) {
        rewind(f);
        *ret_n = fread(raw, 4, (size_t)size / 4, f);
    }
    if (f)
        fclose(f);
    return raw;
}

static int16_t *render(const char *name, double rate_hz, size_t *ret_n)
{
    static struct at_scene scene; /* large */
    if (strstr(name, ".cs16"))
        return load(name, ret_n);
    if (at_scene_named(name, rate_hz, 1, &scene) < 0)
        return NULL;
    scene.duration_s = rate_hz > 2e7 ? 0.3 : 1;
    size_t n = (size_t)(rate_hz * scene.duration_s);
    float *iq = malloc(n * 2 * sizeof *iq);
    int16_t *raw = malloc(n * 2 * sizeof *raw);
    if (!iq || !raw || at_scene_render(&scene, 1, iq, NULL) < 0) {
        free(iq);
        free(raw);
        return NULL;
    }
    for (size_t i = 0; i < 2 * n; i++)
        raw[i] = (int16_t)fmin(fmax(rint(iq[i] * FULL_SCALE), -32768), 32767);
    free(iq);
    *ret_n = n;
    return raw;
}

static int band(double rate_hz, double seconds, const char *scene, bool aside)
{
    size_t n = 0, block = (size_t)(rate_hz * 0.01);
    int16_t *raw = render(scene, rate_hz, &n);
    static struct listener l;
    l = (struct listener){.rate_hz = rate_hz};
    struct at_band_config config = {.rate_hz = rate_hz, .aside = aside};
    struct at_band_sink sink = {&l, on_opened, on_room, on_tokens, on_updated, on_closed, on_row};
    struct at_band *b = NULL;
    at_band_plan(rate_hz);
    if (!raw || at_band_create(NULL, &config, &sink, NULL, &b) < 0) {
        fprintf(stderr, "dsp: no scene %s at %g Hz\n", scene, rate_hz);
        free(raw);
        return 1;
    }
    double push = 0, worst = 0, all = cpu_of(CLOCK_PROCESS_CPUTIME_ID), own = cpu_s();
    uint64_t total = (uint64_t)(rate_hz * seconds), warm = (uint64_t)(rate_hz * 0.2), counted = 0;
    for (size_t at = 0; l.now < total + warm; at = at + 2 * block <= n ? at + block : 0) {
        struct at_raw piece = {raw + 2 * at, AT_IQ_CS16, FULL_SCALE};
        struct at_input input = {at_raw_write, &piece};
        double t0 = cpu_s();
        at_band_take(b, &input, block, l.now);
        double t1 = cpu_s();
        if (l.now >= warm) {
            push += t1 - t0;
            counted += block;
            worst = fmax(worst, t1 - t0);
        }
        l.now += block;
    }
    struct at_band_stats stats;
    at_band_get_stats(b, &stats);
    all = cpu_of(CLOCK_PROCESS_CPUTIME_ID) - all;
    own = cpu_s() - own;
    printf("{\"rate_ms\": %.2f, \"aside_ns\": %.2f, \"ns_per_sample\": %.2f, \"core\": %.3f, "
           "\"takes_ms_per_s\": %.1f, \"worst_push_ms\": %.1f, \"alive\": %u, \"seen\": %lu, "
           "\"tokens_per_s\": %.0f, \"skipped_per_s\": %.0f}\n",
           1e-6 * rate_hz, 1e9 * (all - own) / (double)l.now, 1e9 * push / (double)counted,
           push / (double)counted * rate_hz, 1e-6 * (double)counted / push, 1e3 * worst,
           stats.active, (unsigned long)l.opened, (double)stats.tokens / (double)l.now * rate_hz,
           (double)stats.tokens_skipped / (double)l.now * rate_hz);
    at_band_destroy(b);
    free(raw);
    return stats.active == 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: dsp [RATE[,RATE..] [SECONDS [SCENE | FILE.cs16 [PLANS]]]]\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *rates = argc > 1 ? argv[1] : "2.4e6,10e6,61.44e6",
               *scene = argc > 3 ? argv[3] : "demo";
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    if (argc > 5 || !(seconds > 0) || *rates == '-')
        return usage();
    if (argc > 4) /* wisdom that attuned left in its cache_dir */
        at_dsp_wisdom_load(argv[4]);
    int rc = spectrum();
    while (rc == 0 && *rates) {
        char *end;
        double rate = strtod(rates, &end);
        if (end == rates || !(rate >= 8e3))
            return usage();
        rc = band(rate, seconds, scene, false);
        if (rc == 0 && rate >= AT_BAND_WIDE_HZ)
            rc = band(rate, seconds, scene, true);
        rates = *end == ',' ? end + 1 : end;
    }
    return rc;
}
