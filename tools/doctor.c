/* attune doctor: what this host and radio can do, what limits them, and a configuration that fits.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "tools/bench.h"
#include "tools/receive.h"
#include "tools/tools.h"

extern const struct at_command at_command_doctor;
#define SELF (&at_command_doctor)

#define WINDOW       1024u
#define NEW_TOKENS   64u
#define READ_SAMPLES 65536
#define READ_MS      100

struct values {
    struct at_soapy_options radio;
    const char *modules[2]; /* NULL-terminated */
    double center_hz, seconds, bench_s, budget_ms;
    bool json;
};

/* Percent of the newest 10 s in which something waited for the processor; NAN: not told. */
static double read_pressure(void)
{
    double v = NAN;
    FILE *f = fopen("/proc/pressure/cpu", "re");
    if (f && fscanf(f, "some avg10=%lf", &v) != 1)
        v = NAN;
    if (f)
        fclose(f);
    return v;
}

/* Share of all processor time since boot that the hypervisor took. */
static double read_steal(void)
{
    unsigned long long t[8] = {0}, sum = 0;
    FILE *f = fopen("/proc/stat", "re");
    int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                       &t[4], &t[5], &t[6], &t[7])
              : 0;
    if (f)
        fclose(f);
    for (int i = 0; i < 8; i++)
        sum += t[i];
    return n == 8 && sum ? (double)t[7] / (double)sum : NAN;
}

static void read_governor(char out[32])
{
    out[0] = 0;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "re");
    if (f && !fgets(out, 32, f))
        out[0] = 0;
    if (f)
        fclose(f);
    out[strcspn(out, "\n")] = 0;
}

static int say(const struct values *v, json_t *o, const char *text)
{
    if (v->json)
        return at_json_line(stdout, o);
    json_decref(o);
    return printf("%s\n", text) < 0 ? -1 : 0;
}

static int tell_host(const struct values *v, long cores)
{
    char cpu[96], governor[32], text[640];
    double pressure = read_pressure(), steal = read_steal();
    at_cpu_model(cpu, sizeof cpu);
    read_governor(governor);
    snprintf(text, sizeof text, "host: %s, %ld cores%s%s%s%s%s", cpu, cores,
             *governor && strcmp(governor, "performance") != 0 ? "\n  limit: cpufreq governor is "
                                                               : "",
             *governor && strcmp(governor, "performance") != 0 ? governor : "",
             *governor && strcmp(governor, "performance") != 0 ? "; performance is steadier" : "",
             pressure > 10 ? "\n  limit: other work waits for the processor (PSI)" : "",
             steal > 0.02 ? "\n  limit: the hypervisor takes processor time (steal)" : "");
    json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:o, s:o}", "what", "host", "cpu", cpu, "cores",
                          (int)cores, "governor", governor, "pressure_percent",
                          at_json_real(pressure), "steal_ratio", at_json_real(steal));
    return say(v, o, text);
}

/* Each backend and mode at a stream of 64 new tokens. *ret_best_ms: the lowest p95. */
static int measure_backends(const struct values *v, double *ret_best_ms)
{
    struct at_model_config config = at_model_reference_point(WINDOW);
    struct at_model *m = NULL;
    struct at_encoder *e = NULL;
    struct at_error err;
    int r = at_model_random(NULL, &config, 1, &err, &m);
    r = r < 0 ? r : at_encoder_create(NULL, m, NULL, &err, &e);
    for (size_t i = 0; r == 0 && at_attn_registry[i]; i++)
        for (int mode = 0; mode < 2 && r == 0; mode++) {
            struct bench_job job = {.what = BENCH_STREAM, .encoder = e, .window = WINDOW};
            struct bench_result got;
            char text[160];
            job.new_tokens = NEW_TOKENS;
            job.sessions = job.threads = 1;
            job.seconds = v->bench_s;
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
                     got.p95_ms <= v->budget_ms ? "fits" : "over the budget");
            *ret_best_ms = fmin(*ret_best_ms, got.p95_ms);
            r = say(v,
                    json_pack("{s:s, s:s, s:s, s:f, s:f}", "what", "backend", "backend", name,
                              "mode", m_name, "p50_ms", got.p50_ms, "p95_ms", got.p95_ms),
                    text);
        }
    at_encoder_destroy(e);
    at_model_destroy(m);
    return r < 0 ? at_fail(SELF, AT_EXIT_FAILED, "%s", err.text) : 0;
}

/* Reads for a while: rate, losses, mean (DC) and power. */
static int read_radio(const struct values *v, struct at_source *s, float *iq, struct at_error *err)
{
    double sum[2] = {0}, power = 0, n = 0, first_s = 0, now_s = 0;
    uint64_t lost = 0;
    int64_t begin = at_clock_mono_ns();
    while (!at_interrupted &&
           (now_s = (double)(at_clock_mono_ns() - begin) / 1e9) < v->seconds + first_s &&
           now_s < v->seconds + 10) {
        struct at_read got = {0};
        int r = s->ops->read(s, iq, READ_SAMPLES, READ_MS, &got, err);
        if (r < 0 && r != -EAGAIN)
            return r;
        if (r < 0 || !got.n) {
            first_s = n > 0 ? first_s : now_s;
            continue;
        }
        for (size_t i = 0; i < got.n; i++) {
            sum[0] += iq[2 * i];
            sum[1] += iq[2 * i + 1];
            power += (double)iq[2 * i] * iq[2 * i] + (double)iq[2 * i + 1] * iq[2 * i + 1];
        }
        n += (double)got.n;
    }
    if (!(n > 0))
        return at_error_set(err, -EIO, "%s gives no samples", v->radio.device);
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    for (int i = 0; i < AT_LOST_REASONS; i++)
        lost += l.lost[i];
    double rate = n / (now_s - first_s), dc = hypot(sum[0] / n, sum[1] / n);
    double dc_dbfs = 20 * log10(fmax(dc, 1e-9)), level = 10 * log10(fmax(power / n, 1e-18));
    char text[256];
    snprintf(
        text, sizeof text,
        "radio: %.0f samples a second of %.0f asked, %llu lost, DC %.1f dBFS, level %.1f dBFS%s",
        rate, v->radio.rate_hz, (unsigned long long)lost, dc_dbfs, level,
        lost ? "\n  limit: samples are lost; take a lower rate" : "");
    return say(v,
               json_pack("{s:s, s:f, s:I, s:f, s:f}", "what", "radio", "rate_hz", rate, "lost",
                         (json_int_t)lost, "dc_dbfs", dc_dbfs, "level_dbfs", level),
               text);
}

static int measure_radio(const struct values *v)
{
    struct at_error err = {""};
    struct at_source *s = NULL;
    float *iq = malloc(READ_SAMPLES * 2 * sizeof *iq);
    int r =
        iq ? at_source_open_soapy(&v->radio, &err, &s) : at_error_set(&err, -ENOMEM, "no memory");
    r = r < 0 ? r : s->ops->start(s, &err);
    if (r == 0) {
        r = read_radio(v, s, iq, &err);
        s->ops->stop(s);
    }
    if (s)
        s->ops->destroy(s);
    free(iq);
    return r < 0 ? at_fail(SELF, AT_EXIT_FAILED, "%s", err.text) : 0;
}

static int print_config(const struct values *v, long cores, double best_ms)
{
    long use = cores > 2 ? cores / 2 : 1;
    double budget = best_ms <= v->budget_ms ? v->budget_ms : ceil(best_ms * 1.5);
    char text[256];
    snprintf(
        text, sizeof text,
        "config: budget: {latency_ms: %.0f, cores: %ld}\n"
        "  because: the fastest backend takes %.2f ms (p95); %ld of %ld cores are left to radios",
        budget, use, best_ms, cores > use ? cores - use : 0, cores);
    return say(v,
               json_pack("{s:s, s:{s:f, s:i}}", "what", "config", "budget", "latency_ms", budget,
                         "cores", (int)use),
               text);
}

#define OF(m) offsetof(struct values, m)
static const struct at_option options[] = {
    {"device", 'd', AT_OPTION_TEXT, OF(radio.device), "ARGS", "SoapySDR device to measure too"},
    {"freq", 'f', AT_OPTION_NUMBER, OF(center_hz), "HZ", "its centre frequency", 0, 1e12,
     "433.92M"},
    {"rate", 's', AT_OPTION_NUMBER, OF(radio.rate_hz), "HZ", "its samples a second", 8e3, 61.44e6,
     "1.024M"},
    {"modules", 0, AT_OPTION_TEXT, OF(modules), "DIR", "extra folder of SoapySDR modules"},
    {"time", 'T', AT_OPTION_DURATION, OF(seconds), "TIME", "to read from it", 0.1, 600, "5s"},
    {"bench-time", 0, AT_OPTION_DURATION, OF(bench_s), "TIME", "to measure each backend", 0.01, 60,
     "500ms"},
    {"budget", 0, AT_OPTION_NUMBER, OF(budget_ms), "MS", "what a decision may take (p95)", 0.1,
     60000, "30"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object per finding"},
    {0},
};

static int run(int argc, char **argv)
{
    struct values v = {0};
    double best_ms = INFINITY;
    int code, n = at_options_parse(SELF, &v, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no argument expected, got %.40s", argv[1]);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    v.radio.center_hz = v.center_hz;
    v.radio.gain_db = NAN;
    v.radio.modules = v.modules[0] ? v.modules : NULL;
    at_catch_signals();
    if (tell_host(&v, cores) < 0)
        return AT_EXIT_FAILED;
    code = measure_backends(&v, &best_ms);
    if (!code && v.radio.device)
        code = measure_radio(&v);
    if (!code)
        code = print_config(&v, cores, best_ms) < 0 ? AT_EXIT_FAILED : AT_EXIT_OK;
    return code;
}

const struct at_command at_command_doctor = {
    .name = "doctor",
    .summary = "Measure what this host and a radio can do, and name a budget that fits",
    .usage = "[OPTION]...",
    .details = "Each backend is measured on 64 new tokens at window 1024, with random weights. A "
               "limit that is "
               "not attune's own (cpufreq governor, pressure of other work, steal time) is said.",
    .examples = "attune doctor\n"
                "attune doctor -d driver=rtlsdr -f 433.92M -s 1.024M --json\n",
    .options = options,
    .run = run,
};
