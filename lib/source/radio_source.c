/* A radio as a source: the owner's thread on one side of the ring, read() on the other.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/source/radio.h"

#define RING_S          0.5
#define RING_SAMPLE     4 /* bytes: CS16, so CF32 gets a quarter of a second and CS8 a whole one */
#define RING_MIN_BYTES  (1u << 20)
#define RING_MAX_BYTES  (512u << 20)
#define TUNE_TIMEOUT_NS INT64_C(2000000000)
#define MODULES_MAX     64
#define RATE_MAX_HZ     1e9

struct radio_source {
    struct at_source base;
    struct at_radio radio;
    pthread_t thread;
    bool started, ended; /* ended: under radio.lock */
    /* The reader and the owner thread each hold one; a thread that hangs inside a driver keeps what
     * it uses alive. */
    _Atomic int references;
    size_t taken; /* samples of the ring's oldest record that were read */
    char *strings[4];
    char *modules[MODULES_MAX + 1];
    void *ring_memory;
    size_t ring_memory_size;
};

static const struct at_source_ops radio_ops;

static struct radio_source *self(struct at_source *s)
{
    return (struct radio_source *)s;
}

/* ---- life ---- */

static void release(struct radio_source *s)
{
    if (atomic_fetch_sub(&s->references, 1) != 1)
        return;
    for (size_t i = 0; i < sizeof s->strings / sizeof *s->strings; i++)
        free(s->strings[i]);
    for (size_t i = 0; i < MODULES_MAX; i++)
        free(s->modules[i]);
    if (s->ring_memory)
        munmap(s->ring_memory, s->ring_memory_size);
    pthread_cond_destroy(&s->radio.changed);
    pthread_mutex_destroy(&s->radio.lock);
    at_mem_free(NULL, s);
}

static void *own(void *arg)
{
    struct radio_source *s = arg;
    at_radio_run(&s->radio);
    pthread_mutex_lock(&s->radio.lock);
    s->ended = true;
    pthread_cond_broadcast(&s->radio.changed);
    pthread_mutex_unlock(&s->radio.lock);
    release(s);
    return NULL;
}

static int copy_string(struct radio_source *s, size_t slot, const char *text, const char **ret)
{
    *ret = NULL;
    if (!text)
        return 0;
    s->strings[slot] = strdup(text);
    *ret = s->strings[slot];
    return *ret ? 0 : -ENOMEM;
}

/* The caller's strings may be gone while a hung driver still looks at its options. */
static int copy_options(struct radio_source *s, const struct at_soapy_options *o)
{
    struct at_soapy_options *mine = &s->radio.options;
    *mine = *o;
    int r = copy_string(s, 0, o->device, &mine->device);
    if (r == 0)
        r = copy_string(s, 1, o->gains, &mine->gains);
    if (r == 0)
        r = copy_string(s, 2, o->antenna, &mine->antenna);
    if (r == 0)
        r = copy_string(s, 3, o->settings, &mine->settings);
    mine->modules = o->modules ? (const char *const *)s->modules : NULL;
    for (size_t i = 0; r == 0 && o->modules && o->modules[i] && i < MODULES_MAX; i++) {
        s->modules[i] = strdup(o->modules[i]);
        r = s->modules[i] ? 0 : -ENOMEM;
    }
    return r;
}

static int make_ring(struct radio_source *s)
{
    double want = RING_S * s->radio.options.rate_hz * RING_SAMPLE;
    size_t bytes = want > RING_MAX_BYTES   ? RING_MAX_BYTES
                   : want < RING_MIN_BYTES ? RING_MIN_BYTES
                                           : (size_t)want;
    s->ring_memory_size = at_iq_ring_size(bytes);
    void *memory =
        mmap(NULL, s->ring_memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    s->ring_memory = memory;
    s->radio.ring = at_iq_ring_init(memory, bytes);
    s->radio.ring_bytes = bytes;
    return 0;
}

static int check_options(const struct at_soapy_options *o, struct at_error *err)
{
    const char *driver = o->device ? strstr(o->device, "driver=") : NULL;
    if (!driver || (driver != o->device && driver[-1] != ',' && driver[-1] != ' ') || !driver[7] ||
        driver[7] == ',')
        return at_error_set(err, -EINVAL,
                            "device \"%.80s\" must name its driver: driver=rtlsdr,serial=00000001",
                            o->device ? o->device : "");
    if (!(o->rate_hz > 0) || o->rate_hz > RATE_MAX_HZ)
        return at_error_set(err, -EINVAL, "%.80s: a rate of %g S/s can't be; say --rate 2.4M",
                            o->device, o->rate_hz);
    if (!isfinite(o->center_hz) || o->center_hz < 0)
        return at_error_set(err, -EINVAL,
                            "%.80s: a frequency of %g Hz can't be; say --freq 433.92M", o->device,
                            o->center_hz);
    if (isinf(o->gain_db) || !isfinite(o->ppm) || fabs(o->ppm) > 1000)
        return at_error_set(err, -EINVAL, "%.80s: gain and ppm must be numbers a receiver can have",
                            o->device);
    return 0;
}

int at_radio_source_open(const struct at_driver_ops *ops, const struct at_soapy_options *options,
                         struct at_error *err, struct at_source **ret_source)
{
    int r = check_options(options, err);
    if (r < 0)
        return r;
    struct radio_source *s = at_mem_alloc(NULL, AT_MEM_OTHER, sizeof *s);
    if (!s)
        return at_error_set(err, -ENOMEM, "no memory");
    s->base.ops = &radio_ops;
    s->radio.driver_ops = ops;
    atomic_store(&s->references, 1);
    pthread_mutex_init(&s->radio.lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->radio.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    r = copy_options(s, options);
    if (r == 0)
        r = make_ring(s);
    if (r < 0) {
        release(s);
        return at_error_set(err, r, "%.80s: no memory", options->device);
    }
    at_radio_times_default(&s->radio.times, options->time_scale > 0 ? options->time_scale : 1);
    s->radio.info =
        (struct at_source_info){.rate_hz = options->rate_hz, .center_hz = options->center_hz};
    snprintf(s->radio.info.name, sizeof s->radio.info.name, "%s", options->device);
    atomic_store(&s->radio.state, AT_SOURCE_STARTING);
    *ret_source = &s->base;
    return 0;
}

int at_source_open_soapy(const struct at_soapy_options *options, struct at_error *err,
                         struct at_source **ret_source)
{
    if (!at_soapy_driver())
        return at_error_set(err, -ENOTSUP,
                            "built without SoapySDR: radios need a build with -Dsoapy=enabled");
    return at_radio_source_open(at_soapy_driver(), options, err, ret_source);
}

static int start(struct at_source *base, struct at_error *err)
{
    struct radio_source *s = self(base);
    if (s->started)
        return 0;
    atomic_fetch_add(&s->references, 1);
    int r = pthread_create(&s->thread, NULL, own, s);
    if (r != 0) {
        atomic_fetch_sub(&s->references, 1);
        return at_error_set(err, -r, "no thread for the radio: %s", strerror(r));
    }
    s->started = true;
    return 0;
}

static void stop(struct at_source *base)
{
    struct radio_source *s = self(base);
    atomic_store(&s->radio.stopping, true);
    at_radio_wake(&s->radio);
}

/* A driver that hangs keeps its thread and its memory: no other way to be rid of it within a
 * process. */
static void join(struct radio_source *s)
{
    if (!s->started)
        return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t at = until.tv_nsec + s->radio.times.hang_ns;
    until.tv_sec += (time_t)(at / AT_NS_PER_S);
    until.tv_nsec = (long)(at % AT_NS_PER_S);
    int wait = 0;
    pthread_mutex_lock(&s->radio.lock);
    while (!s->ended && wait == 0)
        wait = pthread_cond_timedwait(&s->radio.changed, &s->radio.lock, &until);
    bool ended = s->ended;
    pthread_mutex_unlock(&s->radio.lock);
    if (ended)
        pthread_join(s->thread, NULL);
    else
        pthread_detach(s->thread);
    s->started = false;
}

static void destroy(struct at_source *base)
{
    if (!base)
        return;
    stop(base);
    join(self(base));
    release(self(base));
}

/* ---- reading ---- */

static void take(struct radio_source *s, const struct at_iq_record *rec, const void *samples,
                 float *iq, size_t max, struct at_read *ret)
{
    size_t left = rec->n - s->taken, n = left < max ? left : max;
    size_t bytes = at_iq_format_size((enum at_iq_format)rec->format);
    double rate_hz = s->radio.options.rate_hz;
    size_t masked = at_iq_convert((enum at_iq_format)rec->format, (double)rec->full_scale,
                                  (const char *)samples + s->taken * bytes, n, iq);
    *ret = (struct at_read){
        .n = n,
        .index = rec->index + s->taken,
        .delivered_ns = rec->delivered_ns,
        .utc_ns = rec->utc_ns ? rec->utc_ns + (int64_t)((double)s->taken * 1e9 / rate_hz) : 0,
        .center_hz = rec->center_hz,
        .gain_db = rec->gain_db,
    };
    atomic_fetch_add(&s->radio.popped, n);
    if (masked) {
        atomic_fetch_add(&s->radio.masked, masked);
        atomic_fetch_add(&s->radio.masked_events, 1);
    }
    s->taken += n;
    if (s->taken == rec->n) {
        at_iq_ring_pop(s->radio.ring);
        s->taken = 0;
    }
}

/* Nothing in the ring: why. */
static int nothing(struct radio_source *s, struct at_error *err)
{
    struct at_radio *r = &s->radio;
    int fatal = atomic_load(&r->fatal), state = atomic_load(&r->state);
    if (fatal == 0 && (state == AT_SOURCE_RUNNING || state == AT_SOURCE_STARTING))
        return 0;
    pthread_mutex_lock(&r->lock);
    if (err)
        *err = r->error;
    pthread_mutex_unlock(&r->lock);
    return fatal ? fatal : -EAGAIN;
}

static int read_samples(struct at_source *base, float *iq, size_t max, int timeout_ms,
                        struct at_read *ret, struct at_error *err)
{
    struct radio_source *s = self(base);
    int64_t deadline = at_clock_mono_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        if (atomic_load(&s->radio.stopping))
            return -ENODATA;
        const void *samples;
        int bad = 0;
        const struct at_iq_record *rec = at_iq_ring_peek(s->radio.ring, &samples, &bad);
        if (bad || (rec && s->taken > rec->n))
            return at_error_set(err, -EIO, "the radio's ring is damaged");
        if (rec) {
            take(s, rec, samples, iq, max, ret);
            return 0;
        }
        int64_t left_ms = (deadline - at_clock_mono_ns() + 999999) / 1000000;
        if (left_ms <= 0 || atomic_load(&s->radio.fatal)) {
            *ret = (struct at_read){.index = atomic_load(&s->radio.end_index),
                                    .delivered_ns = at_clock_mono_ns()};
            return nothing(s, err);
        }
        at_iq_ring_wait(s->radio.ring, (int)left_ms);
    }
}

static int tune(struct at_source *base, double center_hz, double gain_db, struct at_error *err)
{
    struct at_radio *r = &self(base)->radio;
    if (isinf(center_hz) || center_hz < 0 || isinf(gain_db))
        return at_error_set(err, -EINVAL, "a frequency of %g Hz or a gain of %g dB can't be",
                            center_hz, gain_db);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TUNE_TIMEOUT_NS / AT_NS_PER_S;
    pthread_mutex_lock(&r->lock);
    uint64_t number = ++r->tune.asked;
    r->tune.center_hz = center_hz;
    r->tune.gain_db = gain_db;
    int wait = 0;
    while (r->tune.answered < number && wait == 0 && !atomic_load(&r->stopping))
        wait = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool answered = r->tune.answered >= number;
    int result = answered ? r->tune.result : -ETIMEDOUT;
    if (answered && result < 0 && err)
        *err = r->tune.err;
    pthread_mutex_unlock(&r->lock);
    if (!answered)
        at_error_set(err, result, "the radio does not answer; it will be tuned when it comes back");
    return result;
}

/* ---- looking ---- */

static void get_info(const struct at_source *base, struct at_source_info *ret)
{
    struct at_radio *r = &((struct radio_source *)base)->radio;
    pthread_mutex_lock(&r->lock);
    *ret = r->info;
    if (r->error.text[0])
        snprintf(ret->message, sizeof ret->message, "%.250s", r->error.text);
    pthread_mutex_unlock(&r->lock);
}

/* What lies in the ring counts as not yet requested, so that the sum is right once the radio has
 * stopped. */
static void get_ledger(const struct at_source *base, struct at_ledger *ret)
{
    const struct at_radio *r = &((const struct radio_source *)base)->radio;
    uint64_t popped = atomic_load(&r->popped), masked = atomic_load(&r->masked);
    uint64_t waiting = atomic_load(&r->pushed) - popped;
    *ret = (struct at_ledger){.requested = atomic_load(&r->end_index) - waiting,
                              .delivered = popped - masked,
                              .reconnects = atomic_load(&r->reconnects)};
    for (int i = 0; i < AT_LOST_REASONS; i++) {
        ret->lost[i] = atomic_load(&r->lost[i]);
        ret->events[i] = atomic_load(&r->events[i]);
    }
    ret->lost[AT_LOST_CORRUPT] += masked;
    ret->events[AT_LOST_CORRUPT] += atomic_load(&r->masked_events);
}

static enum at_source_state get_state(const struct at_source *base)
{
    const struct at_radio *r = &((const struct radio_source *)base)->radio;
    return atomic_load(&r->stopping) ? AT_SOURCE_ENDED
                                     : (enum at_source_state)atomic_load(&r->state);
}

static const struct at_source_ops radio_ops = {
    .version = AT_SOURCE_VERSION,
    .name = "soapy",
    .start = start,
    .read = read_samples,
    .stop = stop,
    .tune = tune,
    .get_info = get_info,
    .get_ledger = get_ledger,
    .get_state = get_state,
    .destroy = destroy,
};
