/* How surely the detector finds what is there, and what it finds where nothing is.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/dsp/floor.h"
#include "lib/synth/gen.h"
#include "tests/scenes/scenes.h"
#include "tests/support/signals.h"

#define RATE 2.4e6

static struct at_scene empty(double rate_hz, double seconds, uint64_t seed)
{
    return (struct at_scene){.rate_hz = rate_hz,
                             .duration_s = seconds,
                             .channel = {.seed = seed * 77 + 5, .noise_dbfs_hz = -110}};
}

/* Share of one-burst scenes in which the burst is found. */
static double share_found(double width_hz, double product, double snr_db, unsigned n, uint64_t base)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++) {
        static struct outcome o;
        uint64_t r = base + i;
        double on_s = product / width_hz, seconds = 0.06 + on_s;
        struct at_scene s = empty(RATE, seconds, base + i);
        double room = 0.45 * RATE - width_hz / 2;
        struct at_emitter *e = scene_add(&s, AT_CLASS_PSK_QAM, "qpsk",
                                         (2 * sig_uniform(&r) - 1) * room, width_hz, snr_db, r);
        e->signal.clean = 1;
        e->start_s = 0.02 + 0.02 * sig_uniform(&r);
        e->duration_s = on_s;
        if (scene_play(&s, NULL, &o) == 0)
            found += o.t[0].pieces > 0;
    }
    return (double)found / n;
}

/* SNR at which an energy detector that knows place, width and time finds 9 in 10, at the false
 * alarms of one box: P(gamma(k) (1 + snr) > t) = 0.9. */
static double ideal_db(double product)
{
    double boxes = RATE * 3600 * 2 * 2 * 3;
    double t = at_floor_gamma_threshold(product, 1 / boxes);
    return 10 * log10(t / at_floor_gamma_quantile(product, 0.1) - 1);
}

static double crossing_db(double width_hz, double product, unsigned n, uint64_t base)
{
    double last = 0, from = ideal_db(product) - 2;
    for (double snr = from; snr < from + 14; snr += 1) {
        double p = share_found(width_hz, product, snr, n, base);
        if (p >= 0.9)
            return p > last && snr > from ? snr - (p - 0.9) / (p - last) : snr;
        last = p;
    }
    return NAN;
}

void group_probability(struct report *r)
{
    static const double widths[] = {12.5e3, 50e3, 200e3, 800e3},
                        products[] = {10, 20, 40, 100, 400};
    unsigned n = r->seeds ? r->seeds : r->quick ? 10 : 100;
    double p5 = 0, p10 = 0;
    for (unsigned w = 0; w < 4; w++) {
        char name[64];
        double a = share_found(widths[w], 40, 5, n, 1000 * w),
               b = share_found(widths[w], 20, 10, n, 1000 * w + 500);
        snprintf(name, sizeof name, "pd_5db_product40_%gk", widths[w] / 1e3);
        report_figure(r, name, a, NAN, NAN);
        snprintf(name, sizeof name, "pd_10db_product20_%gk", widths[w] / 1e3);
        report_figure(r, name, b, NAN, NAN);
        p5 += a / 4;
        p10 += b / 4;
    }
    report_figure(r, "pd_5db_product40", p5, r->quick ? 0.9 : 0.95, NAN);
    report_figure(r, "pd_10db_product20", p10, r->quick ? 0.975 : 0.99, NAN);
    double beside = -INFINITY;
    for (unsigned w = 0; w < 4 && !r->quick; w++)
        for (unsigned k = 0; k < 5; k++) {
            char name[64];
            double at = crossing_db(widths[w], products[k], n / 4 + 1, 9000 + w * 50 + k);
            beside = isnan(at) ? INFINITY : fmax(beside, at - ideal_db(products[k]));
            snprintf(name, sizeof name, "snr90_db_product%g_%gk", products[k], widths[w] / 1e3);
            report_figure(r, name, at, NAN, NAN);
            snprintf(name, sizeof name, "snr90_db_product%g_%gk_ideal", products[k],
                     widths[w] / 1e3);
            report_figure(r, name, ideal_db(products[k]), NAN, NAN);
        }
    if (!r->quick)
        report_figure(r, "snr90_db_over_ideal_most", beside, NAN, 3);
}

/* Bursts of 120 us at 15 dB: linear modulation from 84 kHz on, and Mode S at 2 MS/s. */
void group_bursts(struct report *r)
{
    static const double widths[] = {84e3, 250e3, 1e6};
    unsigned n = r->seeds ? r->seeds : r->quick ? 16 : 100, found = 0, all = 0;
    for (unsigned w = 0; w < 3; w++) {
        char name[64];
        double p = share_found(widths[w], 120e-6 * widths[w], 15, n, 4000 + w * 1000);
        snprintf(name, sizeof name, "pd_120us_15db_%gk", widths[w] / 1e3);
        report_figure(r, name, p, 0.95, NAN);
    }
    for (unsigned i = 0; i < n; i++) {
        static struct outcome o;
        struct at_scene s = empty(2e6, 0.08, 8000 + i);
        struct at_emitter *e = scene_add(&s, AT_CLASS_PPM, "mode_s_long", 0, 0, 15, 8000 + i);
        e->start_s = 0.03;
        e->duration_s = 0.03;
        if (scene_play(&s, NULL, &o) != 0)
            continue;
        found += o.t[0].pieces > 0;
        all++;
    }
    report_figure(r, "pd_mode_s_15db", (double)found / all, 0.95, NAN);
}

/* Captures of nothing but noise, each from its beginning: the floor is young. */
void group_cold(struct report *r)
{
    static const double rates[] = {12e3, 48e3, 250e3, 2.4e6}, seconds[] = {1, 0.5, 0.3, 0.1};
    unsigned n = r->seeds ? r->seeds : r->quick ? 40 : 400;
    for (unsigned i = 0; i < 4; i++) {
        static struct outcome o;
        unsigned false_ones = 0;
        char name[64];
        for (unsigned k = 0; k < n; k++) {
            struct at_scene s = empty(rates[i], seconds[i], 1000 * i + k);
            if (scene_play(&s, NULL, &o) == 0)
                false_ones += o.n_false;
        }
        snprintf(name, sizeof name, "cold_%gk_false_per_capture", rates[i] / 1e3);
        report_figure(r, name, (double)false_ones / n, NAN, 0.03);
    }
}

/* Each sample anew: in noise that comes again, turned or not, the mean of seconds scatters more
 * than noise does, and faint lines are judged by such means. */
void group_noise(struct report *r, double rate_hz, double seconds)
{
    enum { PART = 1 << 16 };
    static struct outcome o;
    float *iq = calloc(PART, 8), sigma = (float)sqrt(0.5 * pow(10, -50 / 10.0));
    uint64_t at = 0;
    struct at_rng rng;
    int64_t cpu = 0;
    struct at_band *b = scene_band(rate_hz, 0, &o);
    struct at_band_stats st;
    if (!b || !iq)
        exit(1);
    at_rng_seed(&rng, 1 + (uint64_t)seconds);
    while ((double)at < rate_hz * seconds) {
        at_gen_noise(&rng, iq, 2 * PART, sigma);
        int64_t t = at_clock_thread_cpu_ns();
        at_band_push(b, iq, PART, at);
        cpu += at_clock_thread_cpu_ns() - t;
        at += PART;
        for (unsigned j = 0; j < o.n_found; j++)
            fprintf(stderr, "false: %.1f..%.1f kHz, %.2f..%.2f ms, %.1f dB, %u bursts, duty %.2f\n",
                    o.found[j].f_lo_hz / 1e3, o.found[j].f_hi_hz / 1e3,
                    (double)o.found[j].start / rate_hz * 1e3,
                    (double)o.found[j].end / rate_hz * 1e3, (double)o.found[j].snr_db,
                    o.found[j].bursts, (double)o.found[j].duty);
        o.n_found = 0;
        at_band_get_stats(b, &st);
    }
    at_band_flush(b);
    at_band_get_stats(b, &st);
    at_band_destroy(b);
    free(iq);
    double hours = (double)at / rate_hz / 3600, k = (double)st.emissions;
    /* Poisson bound at 95 %: 3 for none; else by Wilson and Hilferty on the gamma of k + 1. */
    double most = k == 0 ? 3 : (k + 1) * at_floor_gamma_quantile(k + 1, 0.95);
    char name[64];
    snprintf(name, sizeof name, "noise_%gk_hours", rate_hz / 1e3);
    report_figure(r, name, hours, NAN, NAN);
    snprintf(name, sizeof name, "noise_%gk_false", rate_hz / 1e3);
    report_figure(r, name, k, NAN, fmax(1, hours));
    snprintf(name, sizeof name, "noise_%gk_false_per_hour_95", rate_hz / 1e3);
    report_figure(r, name, most / hours, NAN, NAN);
    snprintf(name, sizeof name, "noise_%gk_core", rate_hz / 1e3);
    report_figure(r, name, (double)cpu / AT_NS_PER_S / hours / 3600, NAN, NAN);
}
