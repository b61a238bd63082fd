/* A radio as a source: what the helper wrote into the ring, checked, converted and accounted for.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/source/anchors.h"
#include "lib/source/keeper.h"

#define MODULES_MAX 64
#define LOST_MAX    (UINT64_C(1) << 56)

struct radio_source {
    struct at_source base;
    struct at_keeper keeper;
    bool started;
    char *strings[3];
    char *modules[MODULES_MAX + 1];
    /* the reader's */
    uint64_t base_index; /* absolute index of this life's first sample */
    uint64_t end_index;
    int64_t delivered_ns;
    size_t taken; /* samples of the oldest record that were read or lent */
    struct at_anchors anchors;
    /* reader -> any */
    _Atomic uint64_t delivered, masked, masked_events;
    _Atomic uint64_t lost[AT_LOST_REASONS], events[AT_LOST_REASONS];
};

static const struct at_source_ops radio_ops;

static struct radio_source *self(struct at_source *s)
{
    return (struct radio_source *)s;
}

/* ---- life ---- */

static void destroy(struct at_source *base)
{
    struct radio_source *s = self(base);
    if (!s)
        return;
    at_keeper_finish(&s->keeper);
    for (size_t i = 0; i < sizeof s->strings / sizeof *s->strings; i++)
        free(s->strings[i]);
    for (size_t i = 0; i < MODULES_MAX; i++)
        free(s->modules[i]);
    at_mem_free(NULL, s);
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

static int copy_options(struct radio_source *s, const struct at_soapy_options *o)
{
    struct at_soapy_options *mine = &s->keeper.options;
    *mine = *o;
    int r = copy_string(s, 0, o->device, &mine->device);
    r = r ? r : copy_string(s, 1, o->settings, &mine->settings);
    r = r ? r : copy_string(s, 2, o->name, &mine->name);
    mine->gains = mine->antenna = NULL; /* they stand in keeper.set */
    mine->modules = o->modules ? (const char *const *)s->modules : NULL;
    for (size_t i = 0; r == 0 && o->modules && o->modules[i] && i < MODULES_MAX; i++) {
        s->modules[i] = strdup(o->modules[i]);
        r = s->modules[i] ? 0 : -ENOMEM;
    }
    struct at_tuning *set = &s->keeper.set;
    *set = (struct at_tuning){.center_hz = o->center_hz,
                              .rate_hz = o->rate_hz,
                              .bias_tee = o->bias_tee,
                              .ppm = o->ppm,
                              .gain_db = o->gain_db,
                              .auto_gain = isnan(o->gain_db) && !o->gains};
    snprintf(set->gains, sizeof set->gains, "%s", o->gains ? o->gains : "");
    snprintf(set->antenna, sizeof set->antenna, "%s", o->antenna ? o->antenna : "");
    return r;
}

static int check_options(const struct at_soapy_options *o, struct at_error *err)
{
    const char *driver = o->device ? strstr(o->device, "driver=") : NULL;
    if (!driver || (driver != o->device && driver[-1] != ',' && driver[-1] != ' ') || !driver[7] ||
        driver[7] == ',')
        return at_error_set(err, -EINVAL,
                            "device \"%.80s\" must name its driver: driver=rtlsdr,serial=00000001",
                            o->device ? o->device : "");
    if (!(o->rate_hz > 0) || o->rate_hz > AT_RADIO_MAX_HZ || o->most_rate_hz > AT_RADIO_MAX_HZ)
        return at_error_set(err, -EINVAL, "%.80s: a rate of %g S/s can't be; say --rate 2.4M",
                            o->device, o->rate_hz);
    if (!isfinite(o->center_hz) || o->center_hz < 0)
        return at_error_set(err, -EINVAL,
                            "%.80s: a frequency of %g Hz can't be; say --freq 433.92M", o->device,
                            o->center_hz);
    struct at_tuning *t = NULL;
    if ((o->gains && strlen(o->gains) >= sizeof t->gains) ||
        (o->antenna && strlen(o->antenna) >= sizeof t->antenna))
        return at_error_set(err, -EINVAL, "%.80s: gains or antenna are too long", o->device);
    if (!(o->settle_s >= 0) || o->settle_s > 10)
        return at_error_set(err, -EINVAL, "%.80s: a tuner does not take %g s to settle", o->device,
                            o->settle_s);
    if (isinf(o->gain_db) || !isfinite(o->ppm) || fabs(o->ppm) > 1000)
        return at_error_set(err, -EINVAL, "%.80s: gain and ppm must be numbers a receiver can have",
                            o->device);
    return 0;
}

int at_source_open_soapy(const struct at_soapy_options *options, struct at_error *err,
                         struct at_source **ret_source)
{
    if (!at_soapy_driver())
        return at_error_set(err, -ENOTSUP,
                            "built without SoapySDR: radios need a build with -Dsoapy=enabled");
    int r = check_options(options, err);
    if (r < 0)
        return r;
    struct radio_source *s = at_mem_alloc(NULL, AT_MEM_OTHER, sizeof *s);
    if (!s)
        return at_error_set(err, -ENOMEM, "no memory");
    s->base.ops = &radio_ops;
    if (copy_options(s, options) < 0) {
        r = at_error_set(err, -ENOMEM, "%.80s: no memory", options->device);
        s->keeper.options.time_scale = 0;
    }
    int kept = at_keeper_init(&s->keeper, r ? NULL : err);
    if (r < 0 || kept < 0) {
        destroy(&s->base);
        return r ? r : kept;
    }
    *ret_source = &s->base;
    return 0;
}

static int start(struct at_source *base, struct at_error *err)
{
    struct radio_source *s = self(base);
    if (s->started)
        return 0;
    int r = at_keeper_start(&s->keeper, err);
    s->started = r == 0;
    return r;
}

static void stop(struct at_source *base)
{
    atomic_store(&self(base)->keeper.stopping, true);
    at_keeper_wake(&self(base)->keeper);
}

/* ---- the ledger ---- */

static void lose(struct radio_source *s, enum at_lost_reason reason, uint64_t samples,
                 uint64_t events)
{
    s->end_index += samples;
    atomic_fetch_add(&s->lost[reason], samples);
    atomic_fetch_add(&s->events[reason], events);
}

/* The first samples of another life: the device's clock began again, so ours says how long it was
 * away; at least one sample, so that the break shows in the index. */
static void begin_life(struct radio_source *s, const struct at_iq_record *rec)
{
    struct at_life *l = &s->keeper.life;
    if (s->anchors.have) {
        uint64_t due = at_anchors_due(&s->anchors, s->delivered_ns);
        uint64_t have = s->end_index + rec->n;
        lose(s, AT_LOST_STALL, due > have ? due - have : 1, 1);
    }
    at_anchors_reset(&s->anchors, rec->rate_hz);
    s->base_index = s->end_index;
    l->begun = true;
    l->next = 0;
}

/* Takes a new record into the account. False: it can't be. */
static bool account(struct radio_source *s, const struct at_iq_record *rec)
{
    struct at_life *l = &s->keeper.life;
    uint64_t lost = 0;
    for (int i = 0; i < AT_LOST_REASONS; i++) {
        if (rec->lost[i] > LOST_MAX)
            return false;
        lost += rec->lost[i];
    }
    if (rec->index != l->next + lost)
        return false;
    int64_t now = at_clock_mono_ns();
    int64_t at = rec->delivered_ns > now ? now : rec->delivered_ns;
    s->delivered_ns = at > s->delivered_ns ? at : s->delivered_ns;
    if (!l->begun)
        begin_life(s, rec);
    for (int i = 0; i < AT_LOST_REASONS; i++)
        if (rec->lost[i] || rec->events[i])
            lose(s, (enum at_lost_reason)i, rec->lost[i], rec->events[i]);
    if (rec->rate_hz != s->anchors.rate_hz)
        at_anchors_reset(&s->anchors, rec->rate_hz);
    at_anchors_update(&s->anchors, s->end_index + rec->n, s->delivered_ns,
                      at_clock_utc_ns() - (now - s->delivered_ns));
    s->end_index += rec->n;
    l->next = rec->index + rec->n;
    return true;
}

/* ---- reading ---- */

/* A record that was read to its end goes, once nobody looks at it any more. */
static void give_back(struct radio_source *s)
{
    struct at_iq_reader *ring = &s->keeper.life.ring;
    if (!s->taken || s->taken < ring->record.n)
        return;
    at_iq_ring_pop(ring);
    s->taken = 0;
}

/* iq NULL: lends them. */
static int take(struct radio_source *s, const struct at_iq_record *rec, const void *samples,
                float *iq, size_t max, struct at_read *ret)
{
    enum at_iq_format format = (enum at_iq_format)rec->format;
    if (!iq && format == AT_IQ_CF32)
        return -ENOTSUP; /* whether they are finite is seen where they are converted */
    size_t left = rec->n - s->taken, n = left < max ? left : max, masked = 0;
    const char *from = (const char *)samples + s->taken * at_iq_format_size(format);
    if (iq)
        masked = at_iq_convert(format, (double)rec->full_scale, from, n, iq);
    uint64_t index = s->end_index - left;
    *ret = (struct at_read){
        .n = n,
        .index = index,
        .delivered_ns = s->delivered_ns,
        .utc_ns = at_anchors_utc(&s->anchors, index),
        .center_hz = rec->center_hz,
        .tuning = rec->tuning,
        .rate_hz = rec->rate_hz,
        .gain_db = (double)rec->gain_db,
        .masked = masked,
        .lent = {.samples = iq ? NULL : from,
                 .format = format,
                 .full_scale = (double)rec->full_scale},
    };
    atomic_fetch_add(&s->delivered, n - masked);
    if (masked) {
        atomic_fetch_add(&s->masked, masked);
        atomic_fetch_add(&s->masked_events, 1);
    }
    s->taken += n;
    if (iq)
        give_back(s);
    return 0;
}

/* Nothing in the ring: why. */
static int nothing(struct radio_source *s, struct at_error *err)
{
    struct at_keeper *k = &s->keeper;
    int fatal = atomic_load(&k->fatal), state = atomic_load(&k->state);
    if (fatal == 0 && (state == AT_SOURCE_RUNNING || state == AT_SOURCE_STARTING))
        return 0;
    pthread_mutex_lock(&k->lock);
    if (err)
        *err = k->error;
    pthread_mutex_unlock(&k->lock);
    return fatal ? fatal : -EAGAIN;
}

static bool is_readable(struct at_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool readable = k->readable;
    pthread_mutex_unlock(&k->lock);
    return readable;
}

/* Lets the keeper have the ring: the life is over, and all it gave has been read. */
static void let_go(struct radio_source *s)
{
    pthread_mutex_lock(&s->keeper.lock);
    s->keeper.readable = false;
    s->taken = 0;
    pthread_cond_broadcast(&s->keeper.changed);
    pthread_mutex_unlock(&s->keeper.lock);
}

/* The oldest record, accounted for; NULL: none now. */
static const struct at_iq_record *next_record(struct radio_source *s, const void **ret_samples)
{
    struct at_life *l = &s->keeper.life;
    bool over = atomic_load(&l->over), fresh = !l->ring.held;
    int bad = atomic_load(&l->damaged);
    const struct at_iq_record *rec = NULL;
    if (!bad && atomic_load(&l->opened))
        rec = at_iq_ring_peek(&l->ring, ret_samples, &bad);
    if (rec && fresh)
        bad = !account(s, rec);
    if (bad) {
        rec = NULL;
        if (!atomic_exchange(&l->damaged, true))
            at_keeper_wake(&s->keeper);
    }
    if (!rec && over)
        let_go(s);
    return rec;
}

static void wait_for_life(struct at_keeper *k, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t at = until.tv_nsec + (int64_t)ms * 1000000;
    until.tv_sec += (time_t)(at / AT_NS_PER_S);
    until.tv_nsec = (long)(at % AT_NS_PER_S);
    pthread_mutex_lock(&k->lock);
    if (!k->readable && !atomic_load(&k->stopping) && !atomic_load(&k->fatal))
        pthread_cond_timedwait(&k->changed, &k->lock, &until);
    pthread_mutex_unlock(&k->lock);
}

static int read_or_lend(struct radio_source *s, float *iq, size_t max, int timeout_ms,
                        struct at_read *ret, struct at_error *err)
{
    struct at_keeper *k = &s->keeper;
    give_back(s);
    int64_t deadline = at_clock_mono_ns() + (int64_t)timeout_ms * 1000000;
    for (;;) {
        if (atomic_load(&k->stopping))
            return -ENODATA;
        bool readable = is_readable(k);
        const void *samples = NULL;
        const struct at_iq_record *rec = readable ? next_record(s, &samples) : NULL;
        if (rec)
            return take(s, rec, samples, iq, max, ret);
        int64_t left_ms = (deadline - at_clock_mono_ns() + 999999) / 1000000;
        if (left_ms <= 0 || atomic_load(&k->fatal)) {
            *ret = (struct at_read){.index = s->end_index, .delivered_ns = at_clock_mono_ns()};
            return nothing(s, err);
        }
        if (readable && is_readable(k))
            at_iq_ring_wait(&k->life.ring, (int)left_ms);
        else
            wait_for_life(k, (int)left_ms);
    }
}

static int read_samples(struct at_source *base, float *iq, size_t max, int timeout_ms,
                        struct at_read *ret, struct at_error *err)
{
    return read_or_lend(self(base), iq, max, timeout_ms, ret, err);
}

static int lend(struct at_source *base, size_t max, int timeout_ms, struct at_read *ret,
                struct at_error *err)
{
    return read_or_lend(self(base), NULL, max, timeout_ms, ret, err);
}

static int tune(struct at_source *base, const struct at_tuning *t, uint64_t *ret_number,
                struct at_error *err)
{
    struct at_keeper *k = &self(base)->keeper;
    if (isinf(t->center_hz) || t->center_hz < 0 || isinf(t->gain_db) || isinf(t->ppm) ||
        !(t->rate_hz >= 0 && t->rate_hz <= AT_RADIO_MAX_HZ))
        return at_error_set(err, -EINVAL,
                            "a frequency of %g Hz, a rate of %g S/s or a gain of %g dB can't be",
                            t->center_hz, t->rate_hz, t->gain_db);
    pthread_mutex_lock(&k->lock);
    *ret_number = ++k->tune.asked;
    k->tune.wanted = *t;
    pthread_mutex_unlock(&k->lock);
    at_keeper_wake(k);
    return 0;
}

static int get_tuned(struct at_source *base, uint64_t number, struct at_error *err)
{
    struct at_keeper *k = &self(base)->keeper;
    pthread_mutex_lock(&k->lock);
    int result = k->tune.answered < number ? -EAGAIN : k->tune.result;
    if (result < 0 && err)
        *err = k->tune.err;
    pthread_mutex_unlock(&k->lock);
    return result;
}

/* ---- looking ---- */

static void get_info(const struct at_source *base, struct at_source_info *ret)
{
    struct at_keeper *k = &((struct radio_source *)base)->keeper;
    pthread_mutex_lock(&k->lock);
    *ret = k->info;
    if (k->error.text[0])
        snprintf(ret->message, sizeof ret->message, "%.250s", k->error.text);
    pthread_mutex_unlock(&k->lock);
}

static void get_ledger(const struct at_source *base, struct at_ledger *ret)
{
    const struct radio_source *s = (const struct radio_source *)base;
    *ret = (struct at_ledger){.delivered = atomic_load(&s->delivered),
                              .reconnects = atomic_load(&s->keeper.reconnects)};
    for (int i = 0; i < AT_LOST_REASONS; i++) {
        ret->lost[i] = atomic_load(&s->lost[i]);
        ret->events[i] = atomic_load(&s->events[i]);
    }
    ret->lost[AT_LOST_CORRUPT] += atomic_load(&s->masked);
    ret->requested = ret->delivered;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        ret->requested += ret->lost[i];
    ret->events[AT_LOST_CORRUPT] += atomic_load(&s->masked_events);
}

static enum at_source_state get_state(const struct at_source *base)
{
    const struct at_keeper *k = &((const struct radio_source *)base)->keeper;
    return atomic_load(&k->stopping) ? AT_SOURCE_ENDED
                                     : (enum at_source_state)atomic_load(&k->state);
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
    .get_tuned = get_tuned,
    .lend = lend,
};
