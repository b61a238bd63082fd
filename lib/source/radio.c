/* The rules for a radio: what every return of a driver means for the index, the ledger and the
 * state. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/radio.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/base/mem.h"

#define READ_TIMEOUT_MS 100
#define MAX_READ        (1u << 18)
#define OVERLONG_LIMIT  3   /* in a row: the driver is broken, open it anew */
#define LOOK_SAMPLES    256 /* of each read, for the gain control */
#define ABSURD_S        3600
#define TIME_TOLERANCE                                                                             \
    2e-4 /* of the samples between two timestamps: oscillators, host-made stamps */
#define CLOCK_GAP_S                                                                                \
    0.25 /* a driver without timestamps is this far behind the clock: it lost samples */

/* The owner's own state; dies with it. */
struct owner {
    struct at_radio *r;
    struct at_driver *driver;
    struct at_driver_info info;
    unsigned char *buf;
    size_t max;
    uint64_t index;       /* of the next sample */
    int64_t last_data_ns; /* when samples last came, or the device was opened */
    bool streaming;       /* samples have come since the device was opened */
    bool opened_before;
    bool has_time;
    int64_t time_ns; /* newest timestamp, and the samples since */
    uint64_t since_time;
    int pending; /* reason of a loss whose size the next samples tell; -1: none */
    unsigned overlong;
    double center_hz, gain_db;
    bool auto_gain;
    struct at_gain_control gain;
    struct at_anchors anchors;
    unsigned seed;
};

void at_radio_times_default(struct at_radio_times *t, double scale)
{
    static const double retry_s[5] = {1, 2, 5, 10, 30};
    *t = (struct at_radio_times){.stalled_ns = (int64_t)(scale * 1e9),
                                 .reopen_ns = (int64_t)(scale * 5e9),
                                 .hang_ns = (int64_t)(scale * 1.5e9),
                                 .busy_ns = (int64_t)(scale * 1e7)};
    for (int i = 0; i < 5; i++)
        t->retry_ns[i] = (int64_t)(scale * retry_s[i] * 1e9);
}

void at_radio_wake(struct at_radio *r)
{
    pthread_mutex_lock(&r->lock);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    at_iq_ring_wake(r->ring);
}

static bool stopping(const struct owner *o)
{
    return atomic_load(&o->r->stopping);
}

static void set_state(struct owner *o, enum at_source_state state, const struct at_error *why)
{
    pthread_mutex_lock(&o->r->lock);
    if (why)
        o->r->error = *why;
    pthread_mutex_unlock(&o->r->lock);
    if (atomic_exchange(&o->r->state, (int)state) != (int)state)
        at_iq_ring_wake(o->r->ring);
}

static void pause_ns(struct owner *o, int64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t at = until.tv_nsec + ns;
    until.tv_sec += (time_t)(at / AT_NS_PER_S);
    until.tv_nsec = (long)(at % AT_NS_PER_S);
    pthread_mutex_lock(&o->r->lock);
    while (!stopping(o) && pthread_cond_timedwait(&o->r->changed, &o->r->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&o->r->lock);
}

/* ---- the ledger ---- */

static void lose(struct owner *o, enum at_lost_reason reason, uint64_t samples)
{
    o->index += samples;
    atomic_fetch_add(&o->r->lost[reason], samples);
    atomic_fetch_add(&o->r->events[reason], 1);
    atomic_store(&o->r->end_index, o->index);
}

/* Samples that the clock says are missing before n new ones; at least 1, so that the break shows in
 * the index. */
static uint64_t missing_by_clock(const struct owner *o, size_t n, int64_t now_ns)
{
    uint64_t due = at_anchors_due(&o->anchors, now_ns), have = o->index + n;
    return due > have ? due - have : 1;
}

/* Samples between the newest timestamp and this one that never came; INT64_MIN: the clock of the
 * device jumped. */
static int64_t missing_by_time(const struct owner *o, int64_t time_ns)
{
    double span = ((double)time_ns - (double)o->time_ns) * 1e-9 * o->info.rate_hz;
    double missing = span - (double)o->since_time;
    double tolerance = fmax(1.5, (double)o->since_time * TIME_TOLERANCE);
    if (fabs(missing) <= tolerance)
        return 0;
    return missing < 0 || missing > ABSURD_S * o->info.rate_hz ? INT64_MIN : llround(missing);
}

/* Settles what was lost before the read, by timestamp where there is one, else by the clock. */
static void settle_losses(struct owner *o, const struct at_driver_read *got, int64_t now_ns)
{
    int reason = o->pending >= 0 ? o->pending : AT_LOST_GAP;
    if (got->has_time && o->has_time) {
        int64_t missing = missing_by_time(o, got->time_ns);
        if (missing == INT64_MIN)
            lose(o, (enum at_lost_reason)reason, missing_by_clock(o, got->n, now_ns));
        else if (missing > 0)
            lose(o, (enum at_lost_reason)reason, (uint64_t)missing);
    } else if (o->pending >= 0) {
        lose(o, (enum at_lost_reason)reason, missing_by_clock(o, got->n, now_ns));
    } else if (!got->has_time && !o->has_time && o->streaming) {
        uint64_t missing = missing_by_clock(o, got->n, now_ns);
        if ((double)missing > CLOCK_GAP_S * o->info.rate_hz)
            lose(o, AT_LOST_GAP, missing);
    }
    o->pending = -1;
}

/* Behind a device that was opened anew: its clock begins again, so ours says how long it was away.
 */
static void settle_reopened(struct owner *o, size_t n, int64_t now_ns)
{
    if (o->opened_before && o->anchors.have)
        lose(o, AT_LOST_STALL, missing_by_clock(o, n, now_ns));
    at_anchors_reset(&o->anchors, o->info.rate_hz);
}

static void control_gain(struct owner *o, size_t n, int64_t now_ns)
{
    float look[2 * LOOK_SAMPLES];
    size_t k = n < LOOK_SAMPLES ? n : LOOK_SAMPLES;
    at_iq_convert(o->info.format, o->info.full_scale, o->buf, k, look);
    struct at_error err;
    if (at_gain_control_push(&o->gain, look, k, now_ns) &&
        o->r->driver_ops->tune(o->driver, NAN, o->gain.gain_db, &err) == 0)
        o->gain_db = o->gain.gain_db;
}

static void deliver(struct owner *o, size_t n, int64_t now_ns)
{
    struct at_iq_record rec = {
        .index = o->index,
        .delivered_ns = now_ns,
        .center_hz = o->center_hz,
        .gain_db = (float)o->gain_db,
        .full_scale = (float)o->info.full_scale,
        .format = (uint32_t)o->info.format,
        .n = (uint32_t)n,
    };
    at_anchors_update(&o->anchors, o->index + n, now_ns, at_clock_utc_ns());
    rec.utc_ns = at_anchors_utc(&o->anchors, o->index);
    if (at_iq_ring_push(o->r->ring, &rec, o->buf) < 0) {
        lose(o, AT_LOST_RING_FULL, n);
        return;
    }
    o->index += n;
    atomic_fetch_add(&o->r->pushed, n);
    atomic_store(&o->r->end_index, o->index);
}

static void take_samples(struct owner *o, const struct at_driver_read *got)
{
    int64_t now = at_clock_mono_ns();
    if (!o->streaming)
        settle_reopened(o, got->n, now);
    else
        settle_losses(o, got, now);
    if (got->has_time) {
        o->time_ns = got->time_ns;
        o->since_time = 0;
        o->has_time = true;
    }
    o->since_time += got->n;
    o->overlong = 0;
    if (!o->streaming || atomic_load(&o->r->state) != AT_SOURCE_RUNNING)
        set_state(o, AT_SOURCE_RUNNING, &(struct at_error){{0}});
    o->streaming = o->opened_before = true;
    o->last_data_ns = now;
    deliver(o, got->n, now);
    if (o->auto_gain)
        control_gain(o, got->n, now);
}

/* ---- tuning ---- */

static void answer_tune(struct owner *o)
{
    struct at_radio *r = o->r;
    pthread_mutex_lock(&r->lock);
    bool asked = r->tune.asked != r->tune.answered;
    double center_hz = r->tune.center_hz, gain_db = r->tune.gain_db;
    uint64_t number = r->tune.asked;
    pthread_mutex_unlock(&r->lock);
    if (!asked)
        return;
    struct at_error err = {{0}};
    int result = o->driver ? r->driver_ops->tune(o->driver, center_hz, gain_db, &err) : 0;
    if (result == 0) {
        o->center_hz = isnan(center_hz) ? o->center_hz : center_hz;
        o->auto_gain = isnan(gain_db) ? o->auto_gain : false;
        o->gain_db = isnan(gain_db) ? o->gain_db : gain_db;
    }
    pthread_mutex_lock(&r->lock);
    r->tune.answered = number;
    r->tune.result = result;
    r->tune.err = err;
    r->info.center_hz = o->center_hz;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- streaming ---- */

/* What a read without samples means. True: the device is to be opened anew. */
static bool without_samples(struct owner *o, int code, const struct at_driver_read *got,
                            int64_t began_ns)
{
    int64_t now = at_clock_mono_ns(), quiet = now - o->last_data_ns;
    if (code == -EOVERFLOW)
        o->pending = AT_LOST_OVERFLOW;
    else if (code == -EBADMSG || got->overlong)
        o->pending = AT_LOST_CORRUPT;
    if (got->overlong && ++o->overlong >= OVERLONG_LIMIT)
        return true;
    if (quiet >= o->r->times.stalled_ns && atomic_load(&o->r->state) == AT_SOURCE_RUNNING) {
        struct at_error why;
        at_error_set(&why, 0, "%.80s: no samples for %.1f s; is it unplugged?", o->info.label,
                     (double)quiet * 1e-9);
        set_state(o, AT_SOURCE_STALLED, &why);
    }
    if (quiet >= o->r->times.stalled_ns)
        o->pending = AT_LOST_STALL;
    if (now - began_ns < 1000000) /* it does not wait: spare the core */
        pause_ns(o, o->r->times.busy_ns);
    return quiet >= o->r->times.reopen_ns;
}

static void stream(struct owner *o)
{
    o->streaming = o->has_time = false;
    o->pending = -1;
    o->overlong = 0;
    o->last_data_ns = at_clock_mono_ns();
    while (!stopping(o)) {
        answer_tune(o);
        struct at_driver_read got = {0};
        int64_t began = at_clock_mono_ns();
        int code = o->r->driver_ops->read(o->driver, o->buf, o->max, READ_TIMEOUT_MS, &got);
        if (code == 0 && got.n > 0 && !got.overlong)
            take_samples(o, &got);
        else if (without_samples(o, code, &got, began))
            return;
    }
}

/* ---- opening, and opening again ---- */

static void publish_info(struct owner *o)
{
    struct at_radio *r = o->r;
    pthread_mutex_lock(&r->lock);
    r->info.rate_hz = o->info.rate_hz;
    r->info.center_hz = o->center_hz;
    r->info.assumed_floor_dbfs_hz =
        at_iq_format_floor(o->info.format, o->info.full_scale, o->info.rate_hz);
    snprintf(r->info.format, sizeof r->info.format, "%s", at_iq_format_name(o->info.format));
    snprintf(r->info.name, sizeof r->info.name, "%s", o->info.label);
    snprintf(r->info.hardware, sizeof r->info.hardware, "%s", o->info.hardware);
    snprintf(r->info.message, sizeof r->info.message, "%s", o->info.message);
    pthread_mutex_unlock(&r->lock);
}

static int open_device(struct owner *o, struct at_error *err)
{
    struct at_soapy_options options = o->r->options;
    options.center_hz = o->center_hz;
    if (!isnan(o->gain_db))
        options.gain_db = o->gain_db;
    struct at_driver_info info = {0};
    int r = o->r->driver_ops->open(&options, err, &info, &o->driver);
    if (r < 0)
        return r;
    o->info = info;
    o->gain_db = info.gain_db;
    o->gain = (struct at_gain_control){
        .min_db = info.gain_min_db, .max_db = info.gain_max_db, .gain_db = info.gain_db};
    size_t bytes = at_iq_format_size(info.format);
    size_t fits = o->r->ring_bytes / 8 / bytes;
    o->max = info.mtu > 0 && info.mtu < MAX_READ ? info.mtu : MAX_READ;
    o->max = o->max < fits ? o->max : fits;
    at_mem_free(NULL, o->buf);
    o->buf = at_mem_alloc(NULL, AT_MEM_IQ, o->max * bytes);
    if (!o->buf)
        return at_error_set(err, -ENOMEM, "no memory for a read of %zu samples", o->max);
    publish_info(o);
    return 0;
}

static void close_device(struct owner *o)
{
    if (o->driver)
        o->r->driver_ops->close(o->driver);
    o->driver = NULL;
}

/* One life of the device: until it stalls, stops, or did not open. -EINVAL on the first: for good.
 */
static int live_once(struct owner *o)
{
    struct at_error err = {{0}};
    int r = open_device(o, &err);
    if (r < 0) {
        close_device(o);
        set_state(o, AT_SOURCE_FAILED, &err);
        return r;
    }
    if (o->opened_before)
        atomic_fetch_add(&o->r->reconnects, 1);
    stream(o);
    close_device(o);
    if (!stopping(o))
        set_state(o, AT_SOURCE_STALLED, NULL);
    return 0;
}

void at_radio_run(struct at_radio *r)
{
    struct owner o = {.r = r,
                      .center_hz = r->options.center_hz,
                      .gain_db = r->options.gain_db,
                      .auto_gain = isnan(r->options.gain_db) && !r->options.gains,
                      .seed = (unsigned)at_clock_mono_ns()};
    unsigned tries = 0;
    at_cpu_flush_denormals();
    while (!stopping(&o)) {
        int code = live_once(&o);
        if (code == -EINVAL && !o.opened_before) {
            atomic_store(&r->fatal, -EIO);
            break;
        }
        if (o.streaming)
            tries = 0;
        o.streaming = false;
        int64_t wait = r->times.retry_ns[tries < 4 ? tries : 4];
        tries++;
        answer_tune(&o);
        if (!stopping(&o))
            pause_ns(&o, wait + (int64_t)((double)wait / 4 * rand_r(&o.seed) / RAND_MAX));
    }
    at_mem_free(NULL, o.buf);
    at_radio_wake(r);
}
