/* Prints what the detector makes of a recording, or of noise:
 *   band_dump FILE [FORMAT RATE]        emissions by energy, the strongest first
 *   band_dump --noise RATE SECONDS      false emissions and the cost in white noise
 * ATTUNE_TOP says how many emissions (3). For docs/detection.md and for people.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/source/source.h"
#include "tests/support/band_log.h"
#include "tests/support/signals.h"

enum { PART = 1 << 16 };

static int by_energy(const void *a, const void *b)
{
    const struct at_emission *x = *(const struct at_emission *const *)a,
                             *y = *(const struct at_emission *const *)b;
    return (x->energy < y->energy) - (x->energy > y->energy);
}

static void print_top(const struct band_log *l, double rate_hz)
{
    const char *text = getenv("ATTUNE_TOP");
    unsigned top = text ? (unsigned)atoi(text) : 3;
    const struct at_emission *e[LOG_EMISSIONS];
    for (unsigned i = 0; i < l->n; i++)
        e[i] = &l->e[i];
    qsort(e, l->n, sizeof *e, by_energy);
    for (unsigned i = 0; i < l->n && i < top; i++)
        printf("  #%u %.2f..%.2f kHz, %.2f..%.2f ms, snr %.1f dB, level %.1f dBFS, bursts %u, duty "
               "%.2f%s%s, "
               "energy %.1f dB, %zu tokens\n",
               (unsigned)e[i]->id, e[i]->f_lo_hz / 1e3, e[i]->f_hi_hz / 1e3,
               (double)e[i]->start / rate_hz * 1e3, (double)e[i]->end / rate_hz * 1e3,
               (double)e[i]->snr_db, (double)e[i]->level_dbfs, e[i]->bursts, (double)e[i]->duty,
               e[i]->keyed ? ", keyed" : "", e[i]->band_edge ? ", at the band's edge" : "",
               10 * log10(e[i]->energy + 1e-30), l->tokens[log_find(l, e[i]->id)]);
}

static void print_end(struct at_band *b, const struct band_log *l, double rate_hz, double seconds,
                      double cpu_s)
{
    struct at_band_stats s;
    at_band_get_stats(b, &s);
    printf("%.4f s at %.0f S/s: %u emissions, floor %.1f dBFS/Hz (%s), %u artefacts, %.1f %% of a "
           "core\n",
           seconds, rate_hz, (unsigned)s.emissions, (double)s.floor_dbfs_hz,
           at_floor_source_name(s.floor_source), s.n_artefacts, 100 * cpu_s / seconds);
    print_top(l, rate_hz);
}

/* Noise played from random places of a long stretch, turned by a random phase. */
static int run_noise(double rate_hz, double seconds)
{
    enum { LONG = 1 << 22 };
    struct band_log l = {0};
    struct at_band *b = log_band(&l, NULL, rate_hz);
    float *noise = calloc(LONG + PART, 8), *iq = calloc(PART, 8);
    uint64_t at = 0, seed = 1;
    int64_t cpu = 0;
    if (!b || !noise || !iq)
        return 1;
    sig_add_noise(noise, LONG + PART, -50, 99);
    while ((double)at < rate_hz * seconds) {
        const float *from = noise + 2 * (size_t)(sig_uniform(&seed) * LONG);
        double turn = 2 * M_PI * sig_uniform(&seed);
        float c = (float)cos(turn), s = (float)sin(turn);
        for (size_t i = 0; i < PART; i++) {
            iq[2 * i] = from[2 * i] * c - from[2 * i + 1] * s;
            iq[2 * i + 1] = from[2 * i] * s + from[2 * i + 1] * c;
        }
        int64_t t = at_clock_thread_cpu_ns();
        at_band_push(b, iq, PART, at);
        cpu += at_clock_thread_cpu_ns() - t;
        at += PART;
    }
    at_band_flush(b);
    print_end(b, &l, rate_hz, (double)at / rate_hz, (double)cpu / AT_NS_PER_S);
    at_band_destroy(b);
    free(l.frames);
    free(noise);
    free(iq);
    return 0;
}

static int run_file(const char *path, const char *format, double rate_hz)
{
    struct at_file_options options = {.format = format, .rate_hz = rate_hz, .center_hz = NAN};
    struct at_source *s = NULL;
    struct at_source_info info;
    struct at_error err = {""};
    struct band_log l = {0};
    if (at_source_open_file(path, &options, &err, &s) < 0 || s->ops->start(s, &err) < 0) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        if (s)
            s->ops->destroy(s);
        return 1;
    }
    s->ops->get_info(s, &info);
    struct at_band *b = log_band(&l, NULL, info.rate_hz);
    float *iq = calloc(PART, 8);
    struct at_read r = {0};
    int64_t t = at_clock_thread_cpu_ns();
    while (b && iq && s->ops->read(s, iq, PART, 1000, &r, &err) == 0)
        at_band_push(b, iq, r.n, r.index);
    if (b) {
        at_band_flush(b);
        print_end(b, &l, info.rate_hz, (double)(r.index + r.n) / info.rate_hz,
                  (double)(at_clock_thread_cpu_ns() - t) / AT_NS_PER_S);
    }
    at_band_destroy(b);
    s->ops->destroy(s);
    free(l.frames);
    free(iq);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--noise") == 0)
        return run_noise(atof(argv[2]), atof(argv[3]));
    if (argc == 2 || argc == 4)
        return run_file(argv[1], argc == 4 && strcmp(argv[2], "wav") ? argv[2] : NULL,
                        argc == 4 && strcmp(argv[2], "wav") ? atof(argv[3]) : 0);
    fprintf(stderr, "band_dump FILE [FORMAT RATE] | --noise RATE SECONDS\n");
    return 2;
}
