/* The rules for a radio: what every return of a driver means for the index and the ledger.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/radio.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/base/mem.h"
#include "lib/source/anchors.h"
#include "lib/source/gain.h"
#include "lib/source/recording.h"

#define READ_TIMEOUT_MS 100
#define MAX_READ        (1u << 18)
#define OVERLONG_LIMIT  3   /* in a row: the driver is broken, open it anew */
#define LOOK_SAMPLES    256 /* of each read, for the gain control */
#define ABSURD_S        3600
#define TIME_TOLERANCE                                                                             \
    2e-4 /* of the samples between two timestamps: oscillators, host-made stamps */
#define EXACT_STAMPS  8
#define EXACT_WITHIN  0.1 /* of a sample */
#define SETTLE_MOST_S 1   /* what a driver may hold back of the old frequency, at most */
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
    bool streaming;       /* samples have come */
    bool has_time;
    int64_t time_ns; /* newest timestamp, and the samples since */
    uint64_t since_time;
    unsigned exact; /* timestamps in a row that were right to the sample */
    int pending;    /* reason of a loss whose size the next samples tell; -1: none */
    unsigned overlong;
    struct at_tuning set; /* what the device is set to */
    uint64_t number;      /* of it */
    uint64_t settled;     /* index of the first sample that is sure to be of it */
    bool settling;        /* samples have been lost since it was to be set */
    struct at_gain_control gain;
    struct at_anchors anchors;
    uint64_t lost[AT_LOST_REASONS]; /* not yet told of: they travel with the next samples */
    uint32_t events[AT_LOST_REASONS];
};

static bool stopping(const struct owner *o)
{
    return atomic_load(&o->r->page->stop) != 0;
}

static void enter(const struct owner *o, enum at_radio_call call)
{
    atomic_store(&o->r->page->call, (uint32_t)call);
}

static void say(const struct owner *o, struct at_helper_message *m)
{
    m->center_hz = o->set.center_hz;
    m->rate_hz = o->info.rate_hz;
    m->gain_db = o->info.gain_db;
    if (o->r->socket >= 0)
        send(o->r->socket, m, sizeof *m, MSG_NOSIGNAL);
}

static void say_failed(const struct owner *o, int code, const char *text)
{
    struct at_helper_message m = {.word = AT_WORD_FAILED, .code = code};
    at_recording_copy_text(m.text, sizeof m.text, text);
    say(o, &m);
}

static void pause_ns(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / AT_NS_PER_S, .tv_nsec = ns % AT_NS_PER_S};
    nanosleep(&t, NULL);
}

/* ---- the ledger ---- */

static void lose(struct owner *o, enum at_lost_reason reason, uint64_t samples)
{
    o->index += samples;
    o->lost[reason] += samples;
    /* One change of band costs samples in more than one place, and is one event. */
    o->events[reason] += reason != AT_LOST_RETUNE || !o->settling;
    o->settling = o->settling || reason == AT_LOST_RETUNE;
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
static int64_t missing_by_time(struct owner *o, int64_t time_ns)
{
    double span = ((double)time_ns - (double)o->time_ns) * 1e-9 * o->info.rate_hz;
    double missing = span - (double)o->since_time;
    double tolerance = fmax(1.5, (double)o->since_time * TIME_TOLERANCE);
    if (o->exact >= EXACT_STAMPS) /* it counts samples: so do we, to the last one */
        tolerance = 0.5;
    if (fabs(missing) < EXACT_WITHIN)
        o->exact++;
    else if (fabs(missing - nearbyint(missing)) >= EXACT_WITHIN)
        o->exact = 0;
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
    } else if (!got->has_time && !o->has_time) {
        uint64_t missing = missing_by_clock(o, got->n, now_ns);
        if ((double)missing > CLOCK_GAP_S * o->info.rate_hz)
            lose(o, AT_LOST_GAP, missing);
    }
}

static void control_gain(struct owner *o, const void *samples, size_t n, int64_t now_ns)
{
    struct at_tuning t = {.center_hz = NAN, .ppm = NAN};
    float look[2 * LOOK_SAMPLES];
    size_t k = n < LOOK_SAMPLES ? n : LOOK_SAMPLES;
    at_iq_convert(o->info.format, o->info.full_scale, samples, k, look);
    struct at_error err;
    if (!at_gain_control_push(&o->gain, look, k, now_ns))
        return;
    enter(o, AT_CALL_TUNE);
    t.gain_db = o->gain.gain_db;
    o->r->driver_ops->tune(o->driver, &t, &o->info, &err);
}

static void deliver(struct owner *o, const void *samples, size_t n, int64_t now_ns)
{
    atomic_store(&o->r->page->gain_mdb, (int32_t)lrint(o->info.gain_db * 1e3));
    struct at_iq_record rec = {
        .index = o->index,
        .delivered_ns = now_ns,
        .center_hz = o->set.center_hz,
        .rate_hz = o->info.rate_hz,
        .tuning = o->number,
        .gain_db = (float)o->info.gain_db,
        .full_scale = (float)o->info.full_scale,
        .format = (uint32_t)o->info.format,
        .n = (uint32_t)n,
    };
    memcpy(rec.lost, o->lost, sizeof rec.lost);
    memcpy(rec.events, o->events, sizeof rec.events);
    at_anchors_update(&o->anchors, o->index + n, now_ns, 0);
    if (at_iq_ring_push(&o->r->ring, &rec, samples) < 0) {
        lose(o, AT_LOST_RING_FULL, n);
        return;
    }
    o->index += n;
    memset(o->lost, 0, sizeof o->lost);
    memset(o->events, 0, sizeof o->events);
}

/* How many of n new samples came before the tuner had settled; they are lost. */
static size_t drop_unsettled(struct owner *o, size_t n, int64_t now_ns)
{
    if (o->index >= o->settled)
        return 0;
    uint64_t left = o->settled - o->index;
    size_t drop = left < n ? (size_t)left : n;
    lose(o, AT_LOST_RETUNE, drop);
    at_anchors_update(&o->anchors, o->index + (n - drop), now_ns, 0);
    return drop;
}

static void take_samples(struct owner *o, const struct at_driver_read *got)
{
    int64_t now = at_clock_mono_ns();
    if (o->streaming)
        settle_losses(o, got, now);
    o->pending = -1;
    if (got->has_time) {
        o->time_ns = got->time_ns;
        o->since_time = 0;
        o->has_time = true;
    }
    o->since_time += got->n;
    o->overlong = 0;
    o->streaming = true;
    o->last_data_ns = now;
    atomic_fetch_add(&o->r->page->reads, 1);
    size_t drop = drop_unsettled(o, got->n, now), n = got->n - drop;
    const unsigned char *samples = o->buf + drop * at_iq_format_size(o->info.format);
    if (n == 0)
        return;
    deliver(o, samples, n, now);
    if (o->set.auto_gain)
        control_gain(o, samples, n, now);
}

/* ---- tuning ---- */

/* From here on all is dropped until the tuner is sure to have settled: what was taken before now
 * may still be on its way, and our clock says how much that is at least. */
static void settle(struct owner *o)
{
    uint64_t due = at_anchors_due(&o->anchors, at_clock_mono_ns());
    uint64_t most = o->index + (uint64_t)(SETTLE_MOST_S * o->info.rate_hz);
    due = due < o->index ? o->index : due > most ? most : due;
    o->settled = due + (uint64_t)((double)o->r->settle_ns * 1e-9 * o->info.rate_hz);
}

/* The stream is about to stand still: what the driver holds back of it goes. */
static void leave_rate(struct owner *o, int64_t now_ns)
{
    uint64_t due = at_anchors_due(&o->anchors, now_ns);
    uint64_t most = o->index + (uint64_t)(SETTLE_MOST_S * o->info.rate_hz);
    due = due > most ? most : due;
    if (o->streaming && due > o->index)
        lose(o, AT_LOST_RETUNE, due - o->index);
}

/* It runs again, from then on at another rate and with another clock: what passed meanwhile is lost
 * in its samples, as the first of them will tell. */
static void begin_rate(struct owner *o, int64_t left_ns)
{
    at_anchors_reset(&o->anchors, o->info.rate_hz);
    at_anchors_update(&o->anchors, o->index, left_ns, 0);
    o->has_time = false;
    o->exact = 0;
    o->pending = AT_LOST_RETUNE;
    o->last_data_ns = at_clock_mono_ns();
}

/* Sets what differs; where a part is refused, all that stood before is set again. -EIO: the stream
 * is gone. */
static int retune(struct owner *o, const struct at_tuning *wanted, struct at_error *err)
{
    struct at_tuning before = o->set, t = *wanted;
    struct at_error ignored;
    int64_t now = at_clock_mono_ns();
    if (t.auto_gain && isnan(t.gain_db))
        t.gain_db =
            o->info.gain_min_db + AT_START_GAIN_SHARE * (o->info.gain_max_db - o->info.gain_min_db);
    before.gain_db = before.gains[0] ? before.gain_db : o->info.gain_db;
    struct at_tuning all = t;
    at_tuning_difference(&before, &t);
    bool restarts = t.rate_hz > 0;
    o->settling = false;
    if (restarts)
        leave_rate(o, now);
    else
        before.rate_hz = 0;
    int code = o->r->driver_ops->tune(o->driver, &t, &o->info, err), back = 0;
    if (code == 0)
        at_tuning_merge(&o->set, &all);
    else if (code != -EIO)
        back = o->r->driver_ops->tune(o->driver, &before, &o->info, &ignored);
    if (at_tuning_sets_gain(&all) && code == 0)
        o->gain = (struct at_gain_control){.min_db = o->info.gain_min_db,
                                           .max_db = o->info.gain_max_db,
                                           .gain_db = o->info.gain_db};
    if (restarts)
        begin_rate(o, now);
    settle(o);
    return back == -EIO ? at_error_set(err, -EIO, "%.400s", ignored.text) : code;
}

/* 0, or -EIO: the stream is gone. */
static int answer_tune(struct owner *o)
{
    struct at_helper_message m;
    int code = 0;
    if (o->r->socket < 0 || !atomic_exchange(&o->r->page->mail, 0))
        return 0;
    while (code != -EIO && recv(o->r->socket, &m, sizeof m, MSG_DONTWAIT) == sizeof m) {
        if (m.word != AT_WORD_TUNE)
            continue;
        struct at_helper_message answer = {.word = AT_WORD_TUNED, .number = m.number};
        struct at_error err = {{0}};
        enter(o, AT_CALL_TUNE);
        answer.code = code = retune(o, &m.tuning, &err);
        if (code == 0)
            o->number = m.number;
        at_recording_copy_text(answer.text, sizeof answer.text, err.text);
        say(o, &answer);
        if (code == -EIO)
            say_failed(o, code, err.text);
    }
    return code == -EIO ? code : 0;
}

/* ---- streaming ---- */

/* What a read without samples means. True: the driver is broken, the device is to be opened anew.
 */
static bool without_samples(struct owner *o, int code, const struct at_driver_read *got,
                            int64_t began_ns)
{
    int64_t now = at_clock_mono_ns();
    if (code == -EOVERFLOW)
        o->pending = AT_LOST_OVERFLOW;
    else if (code == -EBADMSG || got->overlong)
        o->pending = AT_LOST_CORRUPT;
    if (got->overlong && ++o->overlong >= OVERLONG_LIMIT)
        return true;
    if (now - o->last_data_ns >= o->r->stalled_ns)
        o->pending = AT_LOST_STALL;
    if (now - began_ns < 1000000) /* it does not wait: spare the core */
        pause_ns(o->r->busy_ns);
    return false;
}

static int stream(struct owner *o)
{
    o->pending = -1;
    o->last_data_ns = at_clock_mono_ns();
    while (!stopping(o)) {
        atomic_fetch_add(&o->r->page->turns, 1);
        if (answer_tune(o) < 0)
            return -EIO;
        struct at_driver_read got = {0};
        int64_t began = at_clock_mono_ns();
        enter(o, AT_CALL_READ);
        int code = o->r->driver_ops->read(o->driver, o->buf, o->max, READ_TIMEOUT_MS, &got);
        enter(o, AT_CALL_NONE);
        if (code == 0 && got.n > 0 && !got.overlong) {
            take_samples(o, &got);
        } else if (without_samples(o, code, &got, began)) {
            say_failed(o, -EIO, "the driver returns more samples than there is room for");
            return -EIO;
        }
    }
    return 0;
}

/* ---- opening ---- */

static void say_opened(struct owner *o)
{
    struct at_helper_message m = {.word = AT_WORD_OPENED,
                                  .format = (uint32_t)o->info.format,
                                  .full_scale = o->info.full_scale};
    memcpy(m.label, o->info.label, sizeof m.label);
    memcpy(m.hardware, o->info.hardware, sizeof m.hardware);
    at_recording_copy_text(m.text, sizeof m.text, o->info.message);
    say(o, &m);
}

static int open_device(struct owner *o, struct at_error *err)
{
    struct at_driver_info info = {0};
    enter(o, AT_CALL_OPEN);
    int r = o->r->driver_ops->open(&o->r->options, err, &info, &o->driver);
    enter(o, AT_CALL_NONE);
    if (r < 0)
        return r;
    o->info = info;
    o->gain = (struct at_gain_control){
        .min_db = info.gain_min_db, .max_db = info.gain_max_db, .gain_db = info.gain_db};
    at_anchors_reset(&o->anchors, info.rate_hz);
    size_t bytes = at_iq_format_size(info.format);
    size_t fits = o->r->ring_bytes / 8 / bytes;
    o->max = info.mtu > 0 && info.mtu < MAX_READ ? info.mtu : MAX_READ;
    o->max = o->max < fits ? o->max : fits;
    o->buf = at_mem_alloc(NULL, AT_MEM_IQ, o->max * bytes);
    if (!o->buf)
        return at_error_set(err, -ENOMEM, "no memory for a read of %zu samples", o->max);
    return 0;
}

int at_radio_run(struct at_radio *r)
{
    struct owner o = {
        .r = r, .set = r->tuning, .number = r->number, .info.gain_db = r->options.gain_db};
    struct at_error err = {{0}};
    at_cpu_flush_denormals();
    int code = open_device(&o, &err);
    if (code == 0) {
        say_opened(&o);
        code = stream(&o);
    } else {
        say_failed(&o, code, err.text);
    }
    enter(&o, AT_CALL_CLOSE);
    if (o.driver)
        r->driver_ops->close(o.driver);
    enter(&o, AT_CALL_NONE);
    at_mem_free(NULL, o.buf);
    return code;
}
