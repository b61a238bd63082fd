/* The host: what it is, what its FFTs do, and what else takes its time.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/base/mem.h"
#include "lib/dsp/plan.h"
#include "lib/kernels/kernels.h"
#include "tools/doctor.h"

#define FFT_S      0.15  /* to measure each length */
#define BAND_S     0.4   /* processor time given to a band of noise */
#define CHUNK      16384 /* samples of one push into it */
#define STEAL_BAD  0.02  /* shares above which a limit is said */
#define SLOW_CLOCK 0.8

/* The first number after `word` in the file; NAN where there is none. */
static double read_number(const char *path, const char *word)
{
    char text[2048];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *at = strstr(text, word);
    char *end;
    if (!at)
        return NAN;
    double value = strtod(at + strlen(word), &end);
    return end == at + strlen(word) ? NAN : value;
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

/* Processors that this process may use, by affinity and by the control group's quota. */
static unsigned count_cores(void)
{
    cpu_set_t set;
    double n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                           : sysconf(_SC_NPROCESSORS_ONLN);
    double quota, period;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re"); /* "max 100000": no quota */
    if (f && fscanf(f, "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0)
        n = fmin(n, ceil(quota / period));
    if (f)
        fclose(f);
    return n > 1 ? (unsigned)n : 1;
}

void doctor_clock_start(struct doctor_clock *c)
{
    double ran_ns = NAN, waited_ns = NAN;
    unsigned long long t[8] = {0};
    FILE *f = fopen("/proc/self/schedstat", "re");
    if (f && fscanf(f, "%lf %lf", &ran_ns, &waited_ns) != 2)
        waited_ns = NAN;
    if (f)
        fclose(f);
    f = fopen("/proc/stat", "re");
    int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
                       &t[4], &t[5], &t[6], &t[7])
              : 0;
    if (f)
        fclose(f);
    double sum = 0;
    for (int i = 0; i < 8; i++)
        sum += (double)t[i];
    *c = (struct doctor_clock){.wall_s = (double)at_clock_mono_ns() / 1e9,
                               .waited_s = waited_ns / 1e9,
                               .pressure_s = read_number("/proc/pressure/cpu", "total=") / 1e6,
                               .total_s = n == 8 ? sum : NAN,
                               .steal_s = n == 8 ? (double)t[7] : NAN};
}

int doctor_host(struct doctor *d)
{
    char cpu[96], governor[32], text[320];
    const struct at_kernels *k = at_kernels_best();
    at_cpu_model(cpu, sizeof cpu);
    read_governor(governor);
    d->cores = count_cores();
    d->free_mb = read_number("/proc/meminfo", "MemAvailable:") * 1024 / 1e6;
    snprintf(text, sizeof text, "host: %s, %u core%s, kernel variant %s, %.0f MB free", cpu,
             d->cores, d->cores == 1 ? "" : "s", k ? k->name : "none", d->free_mb);
    return doctor_say(d,
                      json_pack("{s:s, s:s, s:i, s:s, s:s, s:o}", "what", "host", "cpu", cpu,
                                "cores", (int)d->cores, "kernel", k ? k->name : "none", "governor",
                                governor, "free_mb", at_json_real(d->free_mb)),
                      text);
}

static double thread_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Complex Gaussian-like noise at -40 dBFS; a fixed sequence. */
static void fill_noise(float *iq, size_t n)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < 2 * n; i++) {
        double sum = 0;
        for (int k = 0; k < 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            sum += (double)(x >> 11) * 0x1p-53 - 0.5;
        }
        iq[i] = (float)(sum * 0.012);
    }
}

static int measure_fft(const struct doctor *d, unsigned n, const float *in, float *out)
{
    const struct at_plan *plan = at_plan_get(n, AT_PLAN_FORWARD);
    double runs = 0, begin = thread_s(), s = 0;
    if (!plan)
        return -1;
    for (; (s = thread_s() - begin) < FFT_S; runs += 16)
        for (int i = 0; i < 16; i++)
            at_plan_run(plan, in, out);
    double rate = runs * n / s, gflops = runs * 5 * n * log2(n) / s / 1e9;
    char text[128];
    snprintf(text, sizeof text, "fft: %6u points  %7.1f MS/s a core  %5.1f GFLOP/s", n, rate / 1e6,
             gflops);
    return doctor_say(d,
                      json_pack("{s:s, s:i, s:f, s:f}", "what", "fft", "points", (int)n, "rate_hz",
                                rate, "gflops", gflops),
                      text);
}

static void no_emission(void *ctx, const struct at_emission *e)
{
}

static size_t no_room(void *ctx, uint64_t id)
{
    return 0;
}

static void no_tokens(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                      unsigned flags, uint64_t index)
{
}

static void no_row(void *ctx, const struct at_row *row)
{
}

const struct at_band_sink doctor_no_sink = {NULL,        no_emission, no_room, no_tokens,
                                            no_emission, no_emission, no_row};

/* Noise through a whole band: what each sample costs before an emission is there. */
static int measure_band(struct doctor *d, const float *iq)
{
    struct at_band *band = NULL;
    struct at_error err;
    struct at_band_config config = {.rate_hz = d->radio.rate_hz};
    int r = at_band_create(NULL, &config, &doctor_no_sink, &err, &band);
    uint64_t n = 0;
    for (; r == 0 && n < 16 * CHUNK; n += CHUNK) /* plans are made, the floor begins */
        r = at_band_push(band, iq, CHUNK, n);
    double begin = thread_s(), s = 0;
    uint64_t first = n;
    for (; r == 0 && (s = thread_s() - begin) < BAND_S; n += CHUNK)
        r = at_band_push(band, iq, CHUNK, n);
    at_band_destroy(band);
    if (r < 0)
        return fprintf(stderr, "attune doctor: a band of %.0f S/s: %s\n", d->radio.rate_hz,
                       strerror(-r)),
               -1;
    d->band_rate_hz = (double)(n - first) / s;
    char text[160];
    snprintf(text, sizeof text,
             "band: spectra, floor and detector take %.1f MS/s a core (at %.4g MS/s: %.2f of one)",
             d->band_rate_hz / 1e6, d->radio.rate_hz / 1e6, d->radio.rate_hz / d->band_rate_hz);
    return doctor_say(d,
                      json_pack("{s:s, s:f, s:f}", "what", "band", "rate_hz", d->band_rate_hz,
                                "cores", d->radio.rate_hz / d->band_rate_hz),
                      text);
}

int doctor_dsp(struct doctor *d)
{
    enum { MOST = 65536 };
    float *in = at_mem_alloc(NULL, AT_MEM_OTHER, MOST * 2 * sizeof *in);
    float *out = at_mem_alloc(NULL, AT_MEM_OTHER, MOST * 2 * sizeof *out);
    int r = in && out ? 0 : fprintf(stderr, "attune doctor: no memory\n"), ok = in && out;
    if (ok) {
        fill_noise(in, MOST);
        r = measure_fft(d, 256, in, out) < 0 || measure_fft(d, 4096, in, out) < 0 ||
            measure_fft(d, MOST, in, out) < 0 || measure_band(d, in) < 0;
    }
    at_mem_free(NULL, in);
    at_mem_free(NULL, out);
    return r ? AT_EXIT_FAILED : AT_EXIT_OK;
}

/* A limit that is not attune's own: told with what to do. */
static void add(json_t *limits, const char *format, double value)
{
    char text[160];
    snprintf(text, sizeof text, format, value);
    json_array_append_new(limits, json_string(text));
}

int doctor_limits(struct doctor *d, const struct doctor_clock *start)
{
    struct doctor_clock now;
    char governor[32], text[1024] = "limits: nothing but attune's own work was seen";
    json_t *limits = json_array();
    doctor_clock_start(&now);
    read_governor(governor);
    double wall = now.wall_s - start->wall_s;
    double waited = (now.waited_s - start->waited_s) / wall,
           pressure = (now.pressure_s - start->pressure_s) / wall;
    double steal = (now.steal_s - start->steal_s) / (now.total_s - start->total_s);
    double top = read_number("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "");
    double cap = read_number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", "");
    d->waited = waited;
    if (waited > WAITED_BAD)
        add(limits,
            "other work holds the processor: attune stood ready and waited %.0f %% of the time; "
            "figures are that much too low",
            100 * waited);
    else if (pressure > 0.25)
        add(limits, "something waited for a processor %.0f %% of the time (PSI)", 100 * pressure);
    if (steal > STEAL_BAD)
        add(limits,
            "the hypervisor took %.0f %% of the processor's time (steal): the host of this machine "
            "is shared",
            100 * steal);
    if (*governor && strcmp(governor, "performance") != 0 && strcmp(governor, "schedutil") != 0)
        json_array_append_new(
            limits, json_sprintf("the cpufreq governor is %s; performance is steadier", governor));
    if (cap < SLOW_CLOCK * top)
        add(limits, "the processor's clock is held to %.0f %% of its most (scaling_max_freq)",
            100 * cap / top);
    size_t i, at = 0;
    json_t *item;
    json_array_foreach(limits, i, item) at +=
        at < sizeof text ? (size_t)snprintf(text + at, sizeof text - at, "%slimit: %s",
                                            i ? "\n" : "", json_string_value(item))
                         : 0;
    return doctor_say(d,
                      json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "what", "limits", "waited_ratio",
                                at_json_real(waited), "pressure_ratio", at_json_real(pressure),
                                "steal_ratio", at_json_real(steal), "governor", governor, "limits",
                                limits),
                      text);
}
