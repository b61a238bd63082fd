/* attune listen: a radio without a config, results as lines.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "lib/config/value.h"
#include "tools/receive.h"
#include "tools/tools.h"

extern const struct at_command at_command_listen;
#define SELF (&at_command_listen)

#define READ_SAMPLES 65536
#define READ_MS      100
#define FIRST_S      10 /* a radio that has given nothing by then won't without help */
#define KEPT         512

enum form { FORM_TEXT, FORM_JSON, FORM_CSV };

struct job {
    struct at_soapy_options radio;
    struct at_reception reception;
    const char *gain, *modules[2]; /* modules: NULL-terminated */
    double center_hz;
    double seconds; /* 0: until stopped */
    bool json, csv, bias_tee;
    enum form form;
    struct at_source *source;
    struct at_source_info info;
    float *iq;
    uint64_t lines;
    bool broken_output;
    /* what was last said of each emission, so that a line comes when something is new */
    struct {
        char id[48], label[AT_LABEL_SIZE];
    } said[KEPT];
};

static unsigned slot_of(const char *id)
{
    unsigned h = 5381;
    for (; *id; id++)
        h = h * 33 + (unsigned char)*id;
    return h % KEPT;
}

static bool is_news(struct job *j, const struct at_result *r)
{
    unsigned k = slot_of(r->id);
    bool same = strcmp(j->said[k].id, r->id) == 0 && strcmp(j->said[k].label, r->answer.label) == 0;
    memcpy(j->said[k].id, r->id, sizeof(j->said[k].id));
    memcpy(j->said[k].label, r->answer.label, sizeof(j->said[k].label));
    return !same || r->emission.ended;
}

/* ---- lines ---- */

static void print_csv(struct job *j, const struct at_result *r)
{
    const struct at_emission *e = &r->emission;
    char start[AT_RFC3339_SIZE] = "", end[AT_RFC3339_SIZE] = "", latency[24] = "",
         service[2 * sizeof(r->service)];
    size_t n = 0;
    for (const char *c = r->service; *c && n + 2 < sizeof(service); c++) {
        service[n++] = *c;
        if (*c == '"') /* RFC 4180 */
            service[n++] = '"';
    }
    service[n] = '\0';
    if (j->lines == 0)
        printf("id,state,start,end,f_lo_hz,f_hi_hz,snr_db,level_dbfs,class,group,confidence,"
               "service,backend,"
               "tokens,latency_ms\n");
    if (r->start_utc_ns)
        at_clock_format_utc(r->start_utc_ns, start);
    if (r->end_utc_ns)
        at_clock_format_utc(r->end_utc_ns, end);
    if (isfinite(r->latency_ms))
        snprintf(latency, sizeof(latency), "%.2f", (double)r->latency_ms);
    printf("%s,%s,%s,%s,%.0f,%.0f,%.1f,%.1f,%s,%s,%.4f,\"%s\",%s,%" PRIu64 ",%s\n", r->id,
           e->ended ? "ended" : "active", start, end, r->center_rf_hz + e->f_lo_hz,
           r->center_rf_hz + e->f_hi_hz, (double)e->snr_db, (double)e->level_dbfs, r->answer.label,
           r->answer.group, (double)r->answer.confidence, service, r->backend, r->tokens, latency);
}

static void print_text(struct job *j, const struct at_result *r)
{
    char line[320], utc[AT_RFC3339_SIZE];
    int64_t ns = r->emission.ended && r->end_utc_ns ? r->end_utc_ns : at_clock_utc_ns();
    at_clock_format_utc(ns, utc);
    utc[22] = '\0'; /* hundredths of a second will do */
    at_result_format_line(r, line, sizeof(line));
    printf("%s  %s%s\n", utc + 11, r->emission.ended ? "- " : "+ ", line);
}

static void on_result(void *ctx, const struct at_result *r)
{
    struct job *j = ctx;
    if (!r->has_answer || !is_news(j, r))
        return;
    if (j->form == FORM_CSV)
        print_csv(j, r);
    else if (j->form == FORM_TEXT)
        print_text(j, r);
    else if (at_json_line(stdout, at_result_to_json(r)) < 0)
        j->broken_output = true;
    j->lines++;
    if (fflush(stdout) != 0)
        j->broken_output = true;
}

/* ---- the radio ---- */

static int start_receiver(struct job *j, struct at_error *err)
{
    char boot[16];
    uint32_t random = 0;
    struct at_receiver_sink sink = {.ctx = j, .result = on_result};
    if (getrandom(&random, sizeof(random), 0) < 0)
        random = (uint32_t)at_clock_utc_ns();
    snprintf(boot, sizeof(boot), "%08" PRIx32, random);
    j->source->ops->get_info(j->source, &j->info);
    if (!(j->info.rate_hz > 0))
        j->info.rate_hz = j->radio.rate_hz;
    return at_reception_start(&j->reception, &j->info, boot, "radio", &sink, err);
}

/* What the driver prints, which may tell why it gives nothing. */
static void on_driver_line(void *ctx, const char *line)
{
    fprintf(stderr, "attune listen: driver: %s\n", line);
}

static void tell(const char *text, char *said, size_t n)
{
    if (!text[0] || strcmp(text, said) == 0)
        return;
    snprintf(said, n, "%s", text);
    fprintf(stderr, "attune listen: %s\n", text);
}

static int pull(struct job *j, struct at_error *err)
{
    char said[512] = "";
    int64_t start_ns = at_clock_mono_ns();
    while (!at_interrupted && !j->broken_output) {
        struct at_read got = {0};
        struct at_error why = {0};
        double elapsed_s = (double)(at_clock_mono_ns() - start_ns) / 1e9;
        if (j->reception.receiver && j->seconds > 0 && elapsed_s >= j->seconds)
            break;
        int ret = j->source->ops->read(j->source, j->iq, READ_SAMPLES, READ_MS, &got, &why);
        if (ret == -ENODATA)
            break;
        if (ret < 0 && ret != -EAGAIN)
            return at_error_set(err, ret, "%s", why.text);
        if (ret < 0 || got.n == 0) {
            tell(why.text, said, sizeof(said));
            if (!j->reception.receiver && elapsed_s > FIRST_S)
                return at_error_set(err, -EIO,
                                    "%s gives no samples; `attune devices` shows what there is",
                                    j->radio.device);
            if (ret < 0)
                usleep(READ_MS * 1000);
            continue;
        }
        if (!j->reception.receiver) {
            if ((ret = start_receiver(j, err)) < 0)
                return ret;
            start_ns = at_clock_mono_ns(); /* --time counts from the first sample */
        }
        ret = at_receiver_push(j->reception.receiver, j->iq, got.n, got.index, got.delivered_ns,
                               got.utc_ns);
        if (ret < 0)
            return at_error_set(err, ret, "%s", strerror(-ret));
    }
    return j->broken_output ? at_error_set(err, -EPIPE, "standard output: %s", strerror(EPIPE)) : 0;
}

static void print_ledger(const struct job *j)
{
    struct at_ledger l;
    uint64_t lost = 0;
    j->source->ops->get_ledger(j->source, &l);
    for (int i = 0; i < AT_LOST_REASONS; i++)
        lost += l.lost[i];
    fprintf(stderr, "attune listen: %" PRIu64 " samples, %" PRIu64 " lost\n", l.delivered, lost);
}

static int work(struct job *j)
{
    struct at_error err = {0};
    int ret = at_reception_open(&j->reception, &err);
    if (ret == 0)
        ret = at_source_open_soapy(&j->radio, &err, &j->source);
    if (ret == 0) {
        j->iq = malloc(READ_SAMPLES * 2 * sizeof(*j->iq));
        ret = j->iq ? j->source->ops->start(j->source, &err)
                    : at_error_set(&err, -ENOMEM, "no memory");
    }
    if (ret == 0) {
        at_catch_signals();
        ret = pull(j, &err);
        j->source->ops->stop(j->source);
        if (j->reception.receiver)
            at_receiver_flush(j->reception.receiver);
        print_ledger(j);
    }
    int code = ret == 0 ? AT_EXIT_OK : at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    at_reception_close(&j->reception);
    free(j->iq);
    if (j->source)
        j->source->ops->destroy(j->source);
    return code;
}

/* "auto", decibels, or "LNA=20,VGA=12". */
static int read_gain(struct job *j)
{
    j->radio.gain_db = NAN;
    if (!j->gain || strcmp(j->gain, "auto") == 0)
        return 0;
    if (strchr(j->gain, '=')) {
        j->radio.gains = j->gain;
        return 0;
    }
    const char *digits = j->gain[0] == '-' ? j->gain + 1 : j->gain;
    if (at_value_number(digits, false, &j->radio.gain_db) < 0)
        return -EINVAL;
    if (digits != j->gain)
        j->radio.gain_db = -j->radio.gain_db;
    return 0;
}

#define OF(m) offsetof(struct job, m)
static const struct at_option options[] = {
    {"device", 'd', AT_OPTION_TEXT, OF(radio.device), "ARGS",
     "SoapySDR device, such as driver=rtlsdr"},
    {"freq", 'f', AT_OPTION_NUMBER, OF(center_hz), "HZ", "centre frequency, such as 433.92M", 0,
     AT_CENTER_MAX_HZ},
    {"rate", 's', AT_OPTION_NUMBER, OF(radio.rate_hz), "HZ", "samples a second, such as 1.024M",
     AT_RATE_MIN_HZ, AT_RATE_MAX_HZ},
    {"gain", 'g', AT_OPTION_TEXT, OF(gain), "DB", "auto, decibels, or LNA=20,VGA=12", 0, 0, "auto"},
    {"antenna", 'a', AT_OPTION_TEXT, OF(radio.antenna), "NAME",
     "antenna; else the device's own choice"},
    {"ppm", 'p', AT_OPTION_NUMBER, OF(radio.ppm), "PPM", "frequency correction", -1000, 1000},
    {"bias-tee", 0, AT_OPTION_FLAG, OF(bias_tee), NULL,
     "power an amplifier through the antenna socket"},
    {"settings", 0, AT_OPTION_TEXT, OF(radio.settings), "K=V,..", "device settings"},
    {"modules", 0, AT_OPTION_TEXT, OF(modules), "DIR", "extra folder of SoapySDR modules"},
    {"time", 'T', AT_OPTION_DURATION, OF(seconds), "TIME", "stop after this long, such as 10s"},
    AT_RECEPTION_OPTIONS(struct job, reception),
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "lines of JSON"},
    {"csv", 'c', AT_OPTION_FLAG, OF(csv), NULL, "lines of CSV"},
    {0},
};

static int run(int argc, char **argv)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return at_fail(SELF, AT_EXIT_FAILED, "no memory");
    j->reception.live = true;
    j->center_hz = NAN;
    int code = AT_EXIT_OK, n = at_options_parse(SELF, j, argc, argv, &code);
    if (n > 0)
        code = at_fail(SELF, AT_EXIT_USAGE, "\"%.40s\" is no option", argv[1]);
    else if (n == 0 && !j->radio.device)
        code = at_fail(SELF, AT_EXIT_USAGE,
                       "which device? say -d driver=rtlsdr; `attune devices` lists them");
    else if (n == 0 && (!isfinite(j->center_hz) || !(j->radio.rate_hz > 0)))
        code = at_fail(SELF, AT_EXIT_USAGE, "say -f and -s, such as -f 433.92M -s 1.024M");
    else if (n == 0 && at_value_lacks_unit(j->center_hz))
        code = at_refuse_bare(SELF, j->center_hz);
    else if (n == 0 && j->json && j->csv)
        code = at_fail(SELF, AT_EXIT_USAGE, "--json or --csv, not both");
    else if (n == 0 && read_gain(j) < 0)
        code = at_fail(SELF, AT_EXIT_USAGE,
                       "--gain: \"%.40s\" is neither auto, decibels nor LNA=20,VGA=12", j->gain);
    else if (n == 0) {
        j->radio.center_hz = j->center_hz;
        j->radio.log = on_driver_line;
        j->radio.bias_tee = j->bias_tee;
        j->radio.modules = j->modules[0] ? j->modules : NULL;
        j->form = j->json ? FORM_JSON : j->csv ? FORM_CSV : FORM_TEXT;
        code = work(j);
    }
    free(j);
    return code;
}

const struct at_command at_command_listen = {
    .name = "listen",
    .summary = "Name what a radio receives, without a config",
    .usage = "-d DEVICE -f HZ -s HZ [OPTION]...",
    .details = "A line (+) comes when an emission is first named or its class changes, another (-) "
               "when it ends. Ctrl-C ends it.",
    .examples = "attune listen -d driver=rtlsdr -f 433.92M -s 1.024M -g auto\n"
                "attune listen -d driver=hackrf -f 868.3M -s 2M -g LNA=24,VGA=20 --json -T 60s\n",
    .options = options,
    .run = run,
};
