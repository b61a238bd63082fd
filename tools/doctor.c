/* attune doctor: what this host and radio can do, what limits them, and a configuration that fits.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/limits.h"
#include "tools/bench.h"
#include "tools/doctor.h"
#include "tools/receive.h"

extern const struct at_command at_command_doctor;
#define SELF (&at_command_doctor)

#define WINDOW     1024u
#define NEW_TOKENS 64u
#define RADIO_MOST 0.7  /* of a core that a radio's samples may take */
#define DELIVERED  0.98 /* of the samples asked for; less is said */
#define KV_MB      480.0
#define CORES_MOST 16u /* workers of a classifier */

int doctor_say(const struct doctor *d, json_t *o, const char *text)
{
    if (!d->json) {
        json_decref(o);
        if (printf("%s\n", text) >= 0 && fflush(stdout) == 0)
            return 0;
    } else if (at_json_line(stdout, o) == 0) {
        return 0;
    }
    at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written");
    return -1;
}

/* Each backend and mode at a stream of 64 new tokens. */
static int measure_backends(struct doctor *d)
{
    struct at_model_config config = at_model_reference_point(WINDOW);
    struct at_model *m = NULL;
    struct at_encoder *e = NULL;
    struct at_error err;
    int r = at_model_random(NULL, &config, 1, &err, &m), written = 0;
    r = r < 0 ? r : at_encoder_create(NULL, m, NULL, &err, &e);
    for (size_t i = 0; r == 0 && written == 0 && at_attn_registry[i]; i++)
        for (int mode = 0; mode < 2 && r == 0 && written == 0; mode++) {
            struct bench_job job = {.what = BENCH_STREAM, .encoder = e, .window = WINDOW};
            struct bench_result got;
            char text[160];
            job.new_tokens = NEW_TOKENS;
            job.sessions = job.threads = 1;
            job.seconds = d->bench_s;
            job.shape = (struct at_session_shape){
                .backend = at_attn_registry[i], .mode = (enum at_mode)mode, .window = WINDOW};
            job.shape.max_new = NEW_TOKENS;
            int rc = bench_run(&job, &err, &got);
            if (rc == -ENOTSUP)
                continue;
            if ((r = rc) < 0)
                break;
            const char *name = at_attn_registry[i]->name, *m_name = at_mode_name(job.shape.mode);
            snprintf(text, sizeof text, "backend: %-7s %s  p50 %7.2f ms  p95 %7.2f ms  %s", name,
                     m_name, got.p50_ms, got.p95_ms,
                     got.p95_ms <= d->budget_ms ? "fits" : "over the budget");
            d->best_p95_ms = fmin(d->best_p95_ms, got.p95_ms);
            written = doctor_say(d,
                                 json_pack("{s:s, s:s, s:s, s:f, s:f}", "what", "backend",
                                           "backend", name, "mode", m_name, "p50_ms", got.p50_ms,
                                           "p95_ms", got.p95_ms),
                                 text);
        }
    at_encoder_destroy(e);
    at_model_destroy(m);
    if (r < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    return written < 0 ? AT_EXIT_FAILED : AT_EXIT_OK;
}

/* What the selector takes for the model under the budget, measured as attuned does at its start. */
static int tell_choice(struct doctor *d)
{
    char path[2048], text[400];
    struct at_error err = {""};
    struct at_classifier *c = NULL;
    struct at_selector_state *s = calloc(1, sizeof *s);
    int r = s ? at_model_path(d->model, path, sizeof path, &err) : -ENOMEM, written = 0;
    if (r == 0) {
        struct at_classifier_config config = {
            .model_path = path, .budget_ms = d->budget_ms, .threads = 1};
        r = at_classifier_create(NULL, &config, &err, &c);
    }
    if (r == 0) {
        at_classifier_get_state(c, s);
        const struct at_candidate *k = &s->candidates[s->choice.index];
        d->choice_p95_ms = k->calibrated_ms;
        char cost[40] = "not measured in time";
        if (isfinite(k->calibrated_ms))
            snprintf(cost, sizeof cost, "p95 %.2f ms", k->calibrated_ms);
        snprintf(text, sizeof text, "choice: %s %s, window %u, %s: %s", k->backend,
                 at_mode_name(k->mode), k->window, cost, s->choice.reason);
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:b}", "what", "choice", "model",
                              path, "backend", k->backend, "mode", at_mode_name(k->mode), "window",
                              (int)k->window, "reason", s->choice.reason, "over_budget",
                              s->choice.over_budget);
        if (o && isfinite(k->calibrated_ms))
            json_object_set_new(o, "p95_ms", json_real(k->calibrated_ms));
        written = doctor_say(d, o, text);
    } else if (!d->model) { /* the host is measured without one */
        snprintf(text, sizeof text, "choice: %.380s", err.text);
        written = doctor_say(d, json_pack("{s:s, s:s}", "what", "choice", "error", err.text), text);
        r = 0;
    }
    at_classifier_destroy(c);
    free(s);
    if (r < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    return written < 0 ? AT_EXIT_FAILED : AT_EXIT_OK;
}

/* ---- the configuration ---- */

struct advice {
    double budget_ms, kv_mb, rate_hz; /* rate: 0 without a radio */
    unsigned cores;
    json_t *reasons;
};

static void because(struct advice *a, const char *format, ...) AT_PRINTF(2, 3);
static void because(struct advice *a, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(a->reasons, json_string(text));
}

/* The highest of a few usual rates that is at most this. */
static double usual_rate(double most_hz)
{
    static const double rates[] = {61.44e6, 40e6,  30.72e6, 20e6,  15.36e6, 10e6,    8e6,
                                   6e6,     5e6,   4e6,     3.2e6, 2.4e6,   2.048e6, 1.92e6,
                                   1.024e6, 960e3, 500e3,   250e3, 125e3,   48e3};
    size_t i = 0;
    while (i + 1 < sizeof rates / sizeof *rates && rates[i] > most_hz)
        i++;
    return rates[i];
}

static void advise_latency(const struct doctor *d, struct advice *a)
{
    bool model = isfinite(d->choice_p95_ms);
    double p95 = model ? d->choice_p95_ms : d->best_p95_ms;
    const char *what = model ? "what the selector takes" : "the fastest backend";
    a->budget_ms = d->budget_ms;
    if (p95 <= d->budget_ms) {
        because(a, "latency_ms %g: %s needs %.2f ms (p95)", a->budget_ms, what, p95);
        return;
    }
    a->budget_ms = ceil(p95 / 0.6);
    because(a, "latency_ms %g, not %g: %s needs %.2f ms (p95), and some room", a->budget_ms,
            d->budget_ms, what, p95);
}

static void advise_memory(const struct doctor *d, struct advice *a)
{
    a->kv_mb = d->free_mb / 4 < KV_MB ? fmax(floor(d->free_mb / 4), 1) : KV_MB;
    if (a->kv_mb < KV_MB)
        because(a, "kv_mb %g: a quarter of the %.0f MB that are free", a->kv_mb, d->free_mb);
    else
        because(a, "kv_mb %g: the usual one; %.0f MB are free", a->kv_mb, d->free_mb);
}

static void advise_rate(const struct doctor *d, struct advice *a)
{
    double most = RADIO_MOST * d->band_rate_hz;
    a->rate_hz = d->radio.rate_hz;
    if (a->rate_hz > most) {
        a->rate_hz = usual_rate(most);
        because(a,
                "rate %.10g, not %.10g: one thread takes %.1f MS/s, and a radio should leave a "
                "third of it",
                a->rate_hz, d->radio.rate_hz, d->band_rate_hz / 1e6);
        return;
    }
    char what[128] = "";
    if (d->lost)
        snprintf(what, sizeof what, "%llu samples were lost (%s)", (unsigned long long)d->lost,
                 d->lost_by);
    else if (d->delivered_hz < DELIVERED * a->rate_hz)
        snprintf(what, sizeof what, "the radio gave %.4g MS/s of the %.4g asked",
                 d->delivered_hz / 1e6, a->rate_hz / 1e6);
    if (!what[0]) {
        because(a, "rate %.10g: nothing was lost, and its samples take %.2f of a core", a->rate_hz,
                a->rate_hz / d->band_rate_hz);
    } else if (d->waited > WAITED_BAD) {
        because(a, "rate %.10g: %s, but other work held the processor; look again when it is calm",
                a->rate_hz, what);
    } else {
        a->rate_hz = usual_rate(0.75 * a->rate_hz);
        because(a, "rate %.10g, not %.10g: %s", a->rate_hz, d->radio.rate_hz, what);
    }
}

/* Decisions get what the radio's samples leave. */
static void advise_cores(const struct doctor *d, struct advice *a)
{
    double samples = a->rate_hz / d->band_rate_hz, left = floor(d->cores - samples + 0.3);
    a->cores = left < 1 ? 1 : left > CORES_MOST ? CORES_MOST : (unsigned)left;
    if (a->rate_hz > 0)
        because(a, "cores %u: of %u, the samples take %.2f", a->cores, d->cores, samples);
    else
        because(a, "cores %u: of %u; a radio's samples take one for each %.3g MS/s", a->cores,
                d->cores, d->band_rate_hz / 1e6);
}

static int write_advice(const struct doctor *d, const struct advice *a)
{
    char text[4096];
    json_t *device = json_string(d->radio.device ? d->radio.device : ""), *item;
    char *quoted = json_dumps(device, JSON_ENCODE_ANY);
    json_t *o = json_pack("{s:s, s:{s:f, s:f, s:i}}", "what", "config", "budget", "latency_ms",
                          a->budget_ms, "kv_mb", a->kv_mb, "cores", (int)a->cores);
    size_t i, at = (size_t)snprintf(text, sizeof text, "config: (for attuned.yaml)\n");
    json_array_foreach(a->reasons, i, item) at +=
        at < sizeof text
            ? (size_t)snprintf(text + at, sizeof text - at, "    # %s\n", json_string_value(item))
            : 0;
    if (at < sizeof text)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "    budget: {latency_ms: %g, kv_mb: %g, cores: %u}", a->budget_ms,
                               a->kv_mb, a->cores);
    if (a->rate_hz > 0) {
        json_object_set_new(o, "radios",
                            json_pack("[{s:s, s:[{s:f, s:f}]}]", "device", d->radio.device, "bands",
                                      "center", d->center_hz, "rate", a->rate_hz));
        if (at < sizeof text)
            snprintf(
                text + at, sizeof text - at,
                "\n    radios:\n      - device: %s\n        bands: [{center: %.12g, rate: %.12g}]",
                quoted ? quoted : "\"\"", d->center_hz, a->rate_hz);
    }
    json_object_set(o, "reasons", a->reasons);
    free(quoted);
    json_decref(device);
    return doctor_say(d, o, text);
}

static int tell_config(const struct doctor *d)
{
    struct advice a = {.reasons = json_array()};
    if (d->delivered_hz > 0)
        advise_rate(d, &a);
    advise_latency(d, &a);
    advise_memory(d, &a);
    advise_cores(d, &a);
    int r = write_advice(d, &a);
    json_decref(a.reasons);
    return r < 0 ? AT_EXIT_FAILED : AT_EXIT_OK;
}

#define OF(m) offsetof(struct doctor, m)
static const struct at_option options[] = {
    {"device", 'd', AT_OPTION_TEXT, OF(radio.device), "ARGS", "SoapySDR device to measure too"},
    {"freq", 'f', AT_OPTION_NUMBER, OF(center_hz), "HZ", "its centre frequency", 0,
     AT_CENTER_MAX_HZ, "433.92M"},
    {"rate", 's', AT_OPTION_NUMBER, OF(radio.rate_hz), "HZ", "its samples a second", AT_RATE_MIN_HZ,
     AT_RATE_MAX_HZ, "1.024M"},
    {"modules", 0, AT_OPTION_TEXT, OF(modules), "DIR", "extra folder of SoapySDR modules"},
    {"time", 'T', AT_OPTION_DURATION, OF(seconds), "TIME", "to read from it", 0.1, 600, "5s"},
    {"model", 'm', AT_OPTION_TEXT, OF(model), "FILE",
     "model to choose a backend for; else $ATTUNE_MODEL, else the one shipped"},
    {"bench-time", 0, AT_OPTION_DURATION, OF(bench_s), "TIME", "to measure each backend", 0.01, 60,
     "500ms"},
    {"budget", 0, AT_OPTION_NUMBER, OF(budget_ms), "MS", "what a decision may take (p95)", 0.1,
     60000, "30"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object per finding"},
    {0},
};

static int run(int argc, char **argv)
{
    struct doctor d = {.best_p95_ms = INFINITY, .choice_p95_ms = NAN};
    struct doctor_clock clock;
    int code, n = at_options_parse(SELF, &d, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no argument expected, got %.40s", argv[1]);
    if ((code = at_refuse_bare(SELF, d.center_hz)))
        return code;
    d.radio.center_hz = d.center_hz;
    d.radio.gain_db = NAN;
    d.radio.modules = d.modules[0] ? d.modules : NULL;
    at_catch_signals();
    doctor_clock_start(&clock);
    code = doctor_host(&d) < 0 ? AT_EXIT_FAILED : doctor_dsp(&d);
    if (!code)
        code = measure_backends(&d);
    if (!code)
        code = tell_choice(&d);
    if (code)
        return code;
    if (d.radio.device)
        code = doctor_radio(&d); /* the host's part is told without it too */
    if (doctor_limits(&d, &clock) < 0 || tell_config(&d) != 0)
        code = AT_EXIT_FAILED;
    return code;
}

const struct at_command at_command_doctor = {
    .name = "doctor",
    .summary = "Measure what this host and a radio can do, and print a configuration that fits",
    .usage = "[OPTION]...",
    .details =
        "FFTs and a band of noise are stated in processor time; each backend is measured on "
        "64 new tokens at window 1024, with random weights. Of a radio: what is delivered and "
        "lost, its DC, level, noise floor, and the time to tune and to change rate. A limit that "
        "is not attune's "
        "own (cpufreq, other work, steal time) is said. The configuration comes with its "
        "reasons. At most a quarter of a minute, and --time for the radio.",
    .examples = "attune doctor\n"
                "attune doctor -d driver=rtlsdr -f 433.92M -s 1.024M --json\n",
    .options = options,
    .run = run,
};
