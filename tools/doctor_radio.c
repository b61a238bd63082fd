/* A radio: what it delivers, loses and adds, and how long it takes to tune.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "tools/doctor.h"
#include "tools/receive.h"

#define READ_SAMPLES 65536
#define READ_MS      100
#define FIRST_S      15.0 /* a device may take so long to start */
#define RETUNES      6
#define RETUNE_S     3.0
#define CLIP         0.995f

struct radio {
    struct at_source *s;
    struct at_band *band;
    float *iq; /* (READ_SAMPLES, 2) */
    double sum[2], power, n, clipped;
};

/* One read into iq; 0 or negative errno, -EAGAIN's text being kept in err. */
static int read_some(struct radio *r, struct at_read *got, struct at_error *err)
{
    *got = (struct at_read){0};
    int rc = r->s->ops->read(r->s, r->iq, READ_SAMPLES, READ_MS, got, err);
    if (rc == -EAGAIN)
        got->n = 0;
    return rc == -EAGAIN ? 0 : rc;
}

static void take(struct radio *r, const struct at_read *got)
{
    for (size_t i = 0; i < got->n; i++) {
        float re = r->iq[2 * i], im = r->iq[2 * i + 1];
        r->sum[0] += (double)re;
        r->sum[1] += (double)im;
        r->power += (double)re * (double)re + (double)im * (double)im;
        r->clipped += fabsf(re) >= CLIP || fabsf(im) >= CLIP;
    }
    r->n += (double)got->n;
}

/* Until the first samples are here. */
static int wait_for_first(struct radio *r, struct at_error *err)
{
    int64_t end = at_clock_mono_ns() + (int64_t)(FIRST_S * 1e9);
    struct at_read got;
    struct at_error why = {""};
    while (!at_interrupted && at_clock_mono_ns() < end) {
        int rc = read_some(r, &got, &why);
        if (rc < 0) {
            *err = why;
            return rc;
        }
        if (got.n)
            return 0;
    }
    struct at_source_info info = {0};
    r->s->ops->get_info(r->s, &info);
    const char *said = why.text[0] ? why.text : info.message;
    return at_error_set(err, -EIO, "the radio gives no samples within %.0f s%s%s", FIRST_S,
                        said[0] ? ": " : "", said);
}

static json_t *losses(struct doctor *d, const struct at_ledger *before,
                      const struct at_ledger *after)
{
    json_t *by = json_object();
    uint64_t most = 0;
    d->lost = 0;
    for (int i = 0; i < AT_LOST_REASONS; i++) {
        uint64_t n = after->lost[i] - before->lost[i];
        const char *name = at_lost_reason_name((enum at_lost_reason)i);
        json_object_set_new(by, name, json_integer((json_int_t)n));
        d->lost += n;
        if (n > most)
            snprintf(d->lost_by, sizeof d->lost_by, "%s", name);
        most = n > most ? n : most;
    }
    return by;
}

static int tell_stream(struct doctor *d, const struct radio *r, double s, json_t *lost)
{
    struct at_band_stats band;
    at_band_get_stats(r->band, &band);
    double dc = 20 * log10(fmax(hypot(r->sum[0], r->sum[1]) / r->n, 1e-9)),
           level = 10 * log10(fmax(r->power / r->n, 1e-18));
    const char *source = band.floor_source == AT_FLOOR_MEASURED  ? "measured"
                         : band.floor_source == AT_FLOOR_LEARNED ? "learned"
                                                                 : "assumed";
    char text[400];
    d->delivered_hz = r->n / s;
    snprintf(text, sizeof text,
             "radio: %.0f samples a second of %.0f asked, %llu lost%s%s\n"
             "radio: DC %.1f dBFS, level %.1f dBFS, noise floor %.1f dBFS/Hz (%s), clipped %.2g "
             "%%, %u emissions",
             d->delivered_hz, d->radio.rate_hz, (unsigned long long)d->lost,
             d->lost ? ", most by " : "", d->lost_by, dc, level, (double)band.floor_dbfs_hz, source,
             100 * r->clipped / r->n, (unsigned)band.emissions);
    return doctor_say(d,
                      json_pack("{s:s, s:f, s:f, s:I, s:o, s:f, s:f, s:f, s:s, s:f, s:I}", "what",
                                "radio", "rate_hz", d->delivered_hz, "asked_hz", d->radio.rate_hz,
                                "lost", (json_int_t)d->lost, "lost_by", lost, "dc_dbfs", dc,
                                "level_dbfs", level, "floor_dbfs_hz", (double)band.floor_dbfs_hz,
                                "floor_source", source, "clipped_ratio", r->clipped / r->n,
                                "emissions", (json_int_t)band.emissions),
                      text);
}

/* Reads for a while: rate, losses, mean (DC), power and what the band's floor makes of it. */
static int measure_stream(struct doctor *d, struct radio *r, struct at_error *err)
{
    struct at_ledger before, after;
    struct at_read got;
    r->s->ops->get_ledger(r->s, &before);
    int64_t begin = at_clock_mono_ns();
    double s = 0;
    while (!at_interrupted && (s = (double)(at_clock_mono_ns() - begin) / 1e9) < d->seconds) {
        int rc = read_some(r, &got, err);
        if (rc == 0 && got.n)
            rc = at_band_push(r->band, r->iq, got.n, got.index);
        if (rc < 0)
            return rc;
        take(r, &got);
    }
    r->s->ops->get_ledger(r->s, &after);
    if (!(r->n > 0))
        return at_error_set(err, -EIO, "the radio stopped giving samples");
    return tell_stream(d, r, s, losses(d, &before, &after)) < 0
               ? at_error_set(err, -EIO, "cannot write")
               : 0;
}

/* From the call to the first samples under the new tuning, in ms; NAN: none within RETUNE_S. */
static double retune(struct radio *r, const struct at_tuning *t, struct at_error *err)
{
    int64_t begin = at_clock_mono_ns(), now = begin;
    uint64_t number;
    if (r->s->ops->tune(r->s, t, &number, err) < 0)
        return NAN;
    while (!at_interrupted && now - begin < (int64_t)(RETUNE_S * 1e9)) {
        struct at_read got;
        int rc = r->s->ops->get_tuned(r->s, number, err);
        if ((rc < 0 && rc != -EAGAIN) || read_some(r, &got, err) < 0)
            return NAN;
        now = at_clock_mono_ns();
        if (got.n && got.tuning == number)
            return (double)(now - begin) / 1e6;
    }
    at_error_set(err, -ETIMEDOUT, "no samples under the new tuning within %.0f s", RETUNE_S);
    return NAN;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* There and back again. what: in JSON; said: to people. */
static int measure_changes(const struct doctor *d, struct radio *r, const char *what,
                           const char *said, const struct at_tuning *there,
                           const struct at_tuning *back)
{
    double ms[RETUNES];
    struct at_error err = {""};
    int n = 0;
    for (int i = 0; i < RETUNES && !at_interrupted; i++) {
        double took = retune(r, i % 2 ? back : there, &err);
        if (isnan(took))
            break;
        ms[n++] = took;
    }
    char text[256];
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    if (n == 0)
        snprintf(text, sizeof text, "%s: %.200s", said, err.text[0] ? err.text : "interrupted");
    else
        snprintf(text, sizeof text,
                 "%s: %.1f ms to the first samples (median of %d, at most %.1f ms)", said,
                 ms[n / 2], n, ms[n - 1]);
    return doctor_say(d,
                      json_pack("{s:s, s:i, s:o, s:o, s:s}", "what", what, "runs", n, "p50_ms",
                                at_json_real(n ? ms[n / 2] : (double)NAN), "most_ms",
                                at_json_real(n ? ms[n - 1] : (double)NAN), "error",
                                n < RETUNES ? err.text : ""),
                      text);
}

/* What a band of another frequency, and one of another rate, costs a radio that walks its bands. By
 * half the rate, so that no radio leaves its range of frequencies. */
static int measure_retuning(const struct doctor *d, struct radio *r)
{
    struct at_tuning here = {.center_hz = d->center_hz, .ppm = NAN, .gain_db = NAN};
    struct at_tuning beside = here, slow = here, fast = here;
    beside.center_hz += d->radio.rate_hz / 2;
    fast.rate_hz = d->radio.rate_hz;
    slow.rate_hz = d->radio.rate_hz / 2;
    int rc = measure_changes(d, r, "retune", "retune", &beside, &here);
    return rc < 0 ? rc
                  : measure_changes(d, r, "change_of_rate", "change of rate (to half and back)",
                                    &slow, &fast);
}

/* What the driver prints, which may tell why it gives nothing. */
static void on_driver_line(void *ctx, const char *line)
{
    fprintf(stderr, "attune doctor: driver: %s\n", line);
}

static int open_radio(struct doctor *d, struct radio *r, struct at_error *err)
{
    r->iq = malloc(READ_SAMPLES * 2 * sizeof *r->iq);
    if (!r->iq)
        return at_error_set(err, -ENOMEM, "no memory");
    d->radio.log = on_driver_line;
    d->radio.settle_s = AT_SETTLE_S;
    int rc = at_source_open_soapy(&d->radio, err, &r->s);
    rc = rc < 0 ? rc : r->s->ops->start(r->s, err);
    rc = rc < 0 ? rc : wait_for_first(r, err);
    if (rc < 0)
        return rc;
    struct at_source_info info;
    r->s->ops->get_info(r->s, &info);
    struct at_band_config config = {.rate_hz = info.rate_hz,
                                    .assumed_floor_dbfs_hz = info.assumed_floor_dbfs_hz};
    return at_band_create(NULL, &config, &doctor_no_sink, err, &r->band);
}

int doctor_radio(struct doctor *d)
{
    struct at_error err = {""};
    struct radio r = {0};
    int rc = open_radio(d, &r, &err);
    rc = rc < 0 ? rc : measure_stream(d, &r, &err);
    bool written = rc < 0 || measure_retuning(d, &r) == 0;
    if (r.s) {
        r.s->ops->stop(r.s);
        r.s->ops->destroy(r.s);
    }
    at_band_destroy(r.band);
    free(r.iq);
    if (rc < 0)
        fprintf(stderr, "attune doctor: %s: %s\n", d->radio.device,
                err.text[0] ? err.text : strerror(-rc));
    return rc < 0 || !written ? AT_EXIT_FAILED : AT_EXIT_OK;
}
