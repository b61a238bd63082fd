/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/keeper.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define RING_S         0.5
#define RING_SAMPLE    4 /* bytes: CS16, so CF32 gets a quarter of a second and CS8 a whole one */
#define RING_MIN_BYTES (1u << 20)
#define RING_MAX_BYTES (512u << 20)
#define RATE_SAME_HZ   0.5
#define GAIN_MAX_MDB   300000
#define LINES          20
#define LINES_NS       (10 * AT_NS_PER_S)
#define LEAST_NS       INT64_C(500000000)

/* Why the watch over a helper ended. */
enum end { END_STOP, END_GONE, END_SILENT, END_HUNG, END_DAMAGED };

void at_radio_times_default(struct at_radio_times *t, double scale)
{
    static const double retry_s[5] = {1, 2, 5, 10, 30};
    *t = (struct at_radio_times){.stalled_ns = (int64_t)(scale * 1e9),
                                 .reopen_ns = (int64_t)(scale * 5e9),
                                 .open_ns = (int64_t)(scale * 30e9),
                                 .hang_ns = (int64_t)(scale * 1e9),
                                 .busy_ns = (int64_t)(scale * 1e7)};
    for (int i = 0; i < 5; i++)
        t->retry_ns[i] = (int64_t)(scale * retry_s[i] * 1e9);
    if (t->open_ns < 10 * AT_NS_PER_S)
        t->open_ns = 10 * AT_NS_PER_S;
    if (t->hang_ns < LEAST_NS)
        t->hang_ns = LEAST_NS;
}

void at_keeper_wake(struct at_keeper *k)
{
    uint64_t one = 1;
    ssize_t n = write(k->wake, &one, sizeof one);
    (void)n; /* full: it is awake */
    pthread_mutex_lock(&k->lock);
    if (k->readable)
        at_iq_ring_wake(k->life.ring.ring);
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

static void wake_reader(struct at_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    if (k->readable)
        at_iq_ring_wake(k->life.ring.ring);
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
}

/* text NULL: the reason stays what it is; "": none any more. */
static void set_state(struct at_keeper *k, enum at_source_state state, const char *text)
{
    pthread_mutex_lock(&k->lock);
    if (text)
        snprintf(k->error.text, sizeof k->error.text, "%s", text);
    pthread_mutex_unlock(&k->lock);
    if (atomic_exchange(&k->state, (int)state) != (int)state)
        wake_reader(k);
}

/* ---- what the driver prints ---- */

static void pass_line(void *ctx, const char *text)
{
    struct at_keeper *k = ctx;
    int64_t now = at_clock_mono_ns();
    if (!k->options.log)
        return;
    if (now - k->lines_since_ns >= LINES_NS) {
        char more[64];
        snprintf(more, sizeof more, "(%u more lines left out)", k->lines_left_out);
        if (k->lines_left_out)
            k->options.log(k->options.log_ctx, more);
        k->lines_since_ns = now;
        k->lines = k->lines_left_out = 0;
    }
    if (k->lines++ < LINES)
        k->options.log(k->options.log_ctx, text);
    else
        k->lines_left_out++;
}

/* ---- what the helper says ---- */

static bool is_rate_possible(double rate_hz)
{
    return rate_hz > 0 && rate_hz <= AT_RADIO_MAX_HZ;
}

static bool is_opened_possible(const struct at_helper_message *m)
{
    return is_rate_possible(m->rate_hz) && m->format < AT_IQ_FORMATS && m->full_scale > 0 &&
           isfinite(m->full_scale) && isfinite(m->center_hz);
}

/* What the device gives for the rate that is set. Lock held. */
static void take_rate(struct at_keeper *k, double rate_hz)
{
    k->asked_rate_hz = k->set.rate_hz;
    k->info.rate_hz = rate_hz;
    k->info.assumed_floor_dbfs_hz =
        at_iq_format_floor((enum at_iq_format)k->format, k->full_scale, rate_hz);
}

static void on_opened(struct at_keeper *k, const struct at_helper_message *m)
{
    if (atomic_load(&k->life.opened))
        return;
    if (!is_opened_possible(m)) {
        atomic_store(&k->life.damaged, true);
        return;
    }
    pthread_mutex_lock(&k->lock);
    struct at_source_info *i = &k->info;
    bool same = k->asked_rate_hz != k->set.rate_hz || fabs(i->rate_hz - m->rate_hz) <= RATE_SAME_HZ;
    if (!same) {
        at_error_set(&k->error, 0, "%.80s: it has come back at %.1f S/s instead of %.1f", m->label,
                     m->rate_hz, i->rate_hz);
        atomic_store(&k->fatal, -EIO);
    }
    k->format = m->format;
    k->full_scale = m->full_scale;
    take_rate(k, m->rate_hz);
    i->center_hz = m->center_hz;
    snprintf(i->format, sizeof i->format, "%s", at_iq_format_name((enum at_iq_format)m->format));
    snprintf(i->name, sizeof i->name, "%s", m->label);
    snprintf(i->hardware, sizeof i->hardware, "%s", m->hardware);
    snprintf(i->message, sizeof i->message, "%.255s", m->text);
    pthread_mutex_unlock(&k->lock);
    if (k->opened_before)
        atomic_fetch_add(&k->reconnects, 1);
    k->opened_before = true;
    k->moved_ns = k->turned_ns = at_clock_mono_ns();
    atomic_store(&k->life.opened, true);
    wake_reader(k);
}

/* What was asked for last is what the next life begins with. Lock held. */
static void take_tuning(struct at_keeper *k, double rate_hz)
{
    at_tuning_merge(&k->set, &k->tune.wanted);
    take_rate(k, rate_hz);
    k->info.center_hz = k->set.center_hz;
    k->number = k->tune.sent;
}

static void on_tuned(struct at_keeper *k, const struct at_helper_message *m)
{
    if (!is_rate_possible(m->rate_hz)) {
        atomic_store(&k->life.damaged, true);
        return;
    }
    pthread_mutex_lock(&k->lock);
    if (m->number == k->tune.sent) {
        k->tune.answered = m->number;
        k->tune.result = m->code < 0 ? m->code : 0;
        snprintf(k->tune.err.text, sizeof k->tune.err.text, "%.500s", m->text);
        if (m->code == 0)
            take_tuning(k, m->rate_hz);
    }
    pthread_mutex_unlock(&k->lock);
}

static void on_failed(struct at_keeper *k, const struct at_helper_message *m)
{
    k->failed = m->code < 0 ? m->code : -EIO;
    pthread_mutex_lock(&k->lock);
    snprintf(k->error.text, sizeof k->error.text, "%.511s", m->text);
    pthread_mutex_unlock(&k->lock);
}

/* False: its end of the socket is closed. */
static bool hear(struct at_keeper *k)
{
    struct at_helper_message m;
    for (;;) {
        int r = at_process_receive(&k->life.process, &m);
        if (r <= 0)
            return r == 0;
        if (m.word == AT_WORD_OPENED)
            on_opened(k, &m);
        else if (m.word == AT_WORD_TUNED)
            on_tuned(k, &m);
        else if (m.word == AT_WORD_FAILED)
            on_failed(k, &m);
    }
}

/* Sends what was asked for since; while the device is not open it waits. */
static void pass_tune(struct at_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    struct at_helper_message m = {
        .word = AT_WORD_TUNE, .number = k->tune.asked, .tuning = k->tune.wanted};
    bool news = k->tune.asked != k->tune.sent && atomic_load(&k->life.opened);
    pthread_mutex_unlock(&k->lock);
    if (news && at_process_send(&k->life.process, &m) == 0)
        k->tune.sent = m.number;
}

/* The life that was asked has ended without a word: the next one is not asked for what may have
 * been its end, before whoever wants it asks again. */
static void fail_tune(struct at_keeper *k, const char *fate)
{
    pthread_mutex_lock(&k->lock);
    if (k->tune.answered != k->tune.sent) {
        k->tune.answered = k->tune.sent;
        k->tune.result =
            at_error_set(&k->tune.err, -EIO, "the driver %s when it was asked for it", fate);
    }
    pthread_mutex_unlock(&k->lock);
}

/* ---- one life ---- */

static size_t ring_bytes(const struct at_keeper *k)
{
    double want = RING_S * fmax(k->options.rate_hz, k->options.most_rate_hz) * RING_SAMPLE;
    return want > RING_MAX_BYTES   ? RING_MAX_BYTES
           : want < RING_MIN_BYTES ? RING_MIN_BYTES
                                   : (size_t)want;
}

static int put_text(char *out, size_t n, const char *text, bool *ret_has)
{
    *ret_has = text != NULL;
    if (text && strlen(text) >= n)
        return -E2BIG;
    snprintf(out, n, "%s", text ? text : "");
    return 0;
}

static int give_orders(struct at_keeper *k, struct at_radio_orders *o)
{
    const struct at_soapy_options *from = &k->options;
    bool has;
    o->mode = AT_HELPER_RADIO;
    pthread_mutex_lock(&k->lock);
    o->tuning = k->set;
    o->number = k->number;
    pthread_mutex_unlock(&k->lock);
    o->channel = (uint32_t)from->channel;
    o->stalled_ns = k->times.stalled_ns;
    o->busy_ns = k->times.busy_ns;
    o->settle_ns = (int64_t)(from->settle_s * 1e9);
    int r = put_text(o->device, sizeof o->device, from->device, &has);
    r = r ? r : put_text(o->settings, sizeof o->settings, from->settings, &o->has_settings);
    return r ? r : at_process_put_folders(o, from->modules);
}

static int begin_life(struct at_keeper *k, struct at_error *err)
{
    struct at_life *l = &k->life;
    size_t bytes = ring_bytes(k);
    int r = at_process_init(&l->process, bytes, err);
    if (r < 0)
        return r;
    if ((r = give_orders(k, &l->process.page->orders)) < 0)
        at_error_set(err, r, "%.80s: its settings are too long", k->options.device);
    else
        r = at_process_start(&l->process, k->options.name ? k->options.name : "radio", err);
    if (r < 0) {
        at_process_close(&l->process);
        at_process_unmap(&l->process);
        return r;
    }
    atomic_store(&l->opened, false);
    atomic_store(&l->over, false);
    atomic_store(&l->damaged, false);
    at_iq_reader_init(&l->ring, at_process_ring(&l->process), bytes);
    l->next = 0;
    l->begun = false;
    k->reads = k->turns = 0;
    k->failed = 0;
    k->moved_ns = k->turned_ns = at_clock_mono_ns();
    pthread_mutex_lock(&k->lock);
    k->readable = true;
    pthread_cond_broadcast(&k->changed);
    pthread_mutex_unlock(&k->lock);
    return 0;
}

static const char *call_name(const struct at_keeper *k)
{
    static const char *const names[AT_CALLS] = {[AT_CALL_NONE] = "its loop",
                                                [AT_CALL_OPEN] = "opening",
                                                [AT_CALL_READ] = "readStream",
                                                [AT_CALL_TUNE] = "tuning",
                                                [AT_CALL_CLOSE] = "closing"};
    uint32_t call = atomic_load(&k->life.process.page->call);
    return names[call < AT_CALLS ? call : 0];
}

/* The rules: running, stalled, to be ended. True: it is to be ended, *ret_end says how. */
static bool judge(struct at_keeper *k, int64_t now, enum end *ret_end)
{
    struct at_radio_page *page = k->life.process.page;
    uint64_t reads = atomic_load(&page->reads), turns = atomic_load(&page->turns);
    char text[512];
    if (turns != k->turns) {
        k->turns = turns;
        k->turned_ns = now;
    }
    bool opened = atomic_load(&k->life.opened);
    if (opened && reads != k->reads) {
        k->reads = reads;
        k->moved_ns = now;
        if (atomic_load(&k->state) != AT_SOURCE_RUNNING)
            set_state(k, AT_SOURCE_RUNNING, "");
        return false;
    }
    int64_t quiet = now - k->moved_ns;
    bool hangs = now - k->turned_ns >= k->times.stalled_ns;
    if (hangs)
        snprintf(text, sizeof text, "%.80s: the driver hangs in %s since %.1f s", k->options.device,
                 call_name(k), (double)(now - k->turned_ns) * 1e-9);
    else
        snprintf(text, sizeof text, "%.80s: no samples for %.1f s; is it unplugged?",
                 k->options.device, (double)quiet * 1e-9);
    *ret_end = hangs ? END_HUNG : END_SILENT;
    if (quiet >= (opened ? k->times.reopen_ns : k->times.open_ns)) {
        set_state(k, opened ? AT_SOURCE_STALLED : AT_SOURCE_FAILED, text);
        return true;
    }
    if (opened && quiet >= k->times.stalled_ns && atomic_load(&k->state) != AT_SOURCE_STALLED)
        set_state(k, AT_SOURCE_STALLED, text);
    return false;
}

/* Waits for anything to do, at most ns; empties the log and the wake-up counter. */
static void attend(struct at_keeper *k, bool alive, int64_t ns)
{
    struct at_process *p = &k->life.process;
    struct pollfd fds[3] = {{.fd = k->wake, .events = POLLIN},
                            {.fd = alive ? p->socket : -1, .events = POLLIN},
                            {.fd = alive ? p->log : -1, .events = POLLIN}};
    int ms = ns <= 0 ? 0 : (int)((ns + 999999) / 1000000);
    if (poll(fds, 3, ms) <= 0)
        return;
    uint64_t count;
    if (fds[0].revents && read(k->wake, &count, sizeof count) < 0)
        return;
    if (fds[2].revents && !at_process_read_log(p, pass_line, k)) {
        close(p->log);
        p->log = -1;
    }
}

static enum end watch(struct at_keeper *k)
{
    int64_t tick = k->times.stalled_ns / 8;
    enum end end;
    for (;;) {
        attend(k, true, tick < 2000000 ? 2000000 : tick);
        if (!hear(k) || at_process_ended(&k->life.process))
            return END_GONE;
        if (atomic_load(&k->stopping) || atomic_load(&k->fatal))
            return END_STOP;
        if (atomic_load(&k->life.damaged))
            return END_DAMAGED;
        pass_tune(k);
        if (judge(k, at_clock_mono_ns(), &end))
            return end;
    }
}

/* Until it has ended, at most ns. */
static void await_end(struct at_keeper *k, int64_t ns)
{
    int64_t until = at_clock_mono_ns() + ns;
    while (!at_process_ended(&k->life.process) && at_clock_mono_ns() < until) {
        struct pollfd log = {.fd = k->life.process.log, .events = POLLIN};
        poll(&log, 1, 5);
        if (log.revents && !at_process_read_log(&k->life.process, pass_line, k)) {
            close(k->life.process.log);
            k->life.process.log = -1;
        }
        hear(k);
    }
}

static void end_life(struct at_keeper *k, enum end end)
{
    struct at_process *p = &k->life.process;
    char fate[64], text[512];
    int32_t gain_mdb = atomic_load(&p->page->gain_mdb);
    pthread_mutex_lock(&k->lock);
    if (k->set.auto_gain && atomic_load(&k->life.opened) && abs(gain_mdb) < GAIN_MAX_MDB)
        k->set.gain_db = gain_mdb * 1e-3; /* the next life begins where this one was */
    pthread_mutex_unlock(&k->lock);
    atomic_store(&p->page->stop, 1);
    if (end != END_HUNG && end != END_DAMAGED)
        await_end(k, k->times.hang_ns);
    bool by_itself = at_process_ended(p);
    at_process_kill(p);
    hear(k);
    at_process_read_log(p, pass_line, k);
    fail_tune(k, end == END_HUNG     ? "hung"
                 : end == END_SILENT ? "gave nothing more"
                 : by_itself         ? at_process_fate(p, fate, sizeof fate)
                                     : "was ended");
    if (end == END_DAMAGED)
        set_state(k, AT_SOURCE_FAILED,
                  "what the helper wrote makes no sense; its driver is broken");
    else if (end == END_GONE && k->failed)
        set_state(k, AT_SOURCE_FAILED, NULL);
    else if (end == END_GONE) {
        snprintf(text, sizeof text, "%.80s: the driver %s", k->options.device,
                 by_itself ? at_process_fate(p, fate, sizeof fate) : "closed its line and hung");
        set_state(k, AT_SOURCE_FAILED, text);
    }
    at_process_close(p);
    atomic_store(&k->life.over, true);
    wake_reader(k);
}

/* ---- the thread ---- */

static void pause_ns(struct at_keeper *k, int64_t ns)
{
    int64_t until = at_clock_mono_ns() + ns, left;
    while (!atomic_load(&k->stopping) && (left = until - at_clock_mono_ns()) > 0)
        attend(k, false, left);
}

/* Until the reader has taken what the last life left; a reader that does not read needs no new one.
 */
static void await_reader(struct at_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    while (k->readable && !atomic_load(&k->stopping))
        pthread_cond_wait(&k->changed, &k->lock);
    bool free_now = !k->readable;
    pthread_mutex_unlock(&k->lock);
    if (free_now)
        at_process_unmap(&k->life.process);
}

/* True: samples came. */
static bool live_once(struct at_keeper *k)
{
    struct at_error err = {{0}};
    bool first = !k->opened_before;
    if (begin_life(k, &err) < 0) {
        set_state(k, AT_SOURCE_FAILED, err.text);
        return false;
    }
    end_life(k, watch(k));
    if (first && !k->opened_before && k->failed == -EINVAL)
        atomic_store(&k->fatal, -EIO);
    return k->reads > 0;
}

static void *keep(void *arg)
{
    struct at_keeper *k = arg;
    char name[16];
    unsigned tries = 0;
    snprintf(name, sizeof name, "keep %.10s", k->options.name ? k->options.name : "radio");
    pthread_setname_np(pthread_self(), name);
    k->seed = (unsigned)at_clock_mono_ns();
    k->lines_since_ns = at_clock_mono_ns();
    while (!atomic_load(&k->stopping)) {
        if (live_once(k))
            tries = 0;
        if (atomic_load(&k->fatal))
            break;
        int64_t wait = k->times.retry_ns[tries < 4 ? tries : 4];
        tries++;
        pause_ns(k, wait + (int64_t)((double)wait / 4 * rand_r(&k->seed) / RAND_MAX));
        await_reader(k);
    }
    wake_reader(k);
    return NULL;
}

int at_keeper_init(struct at_keeper *k, struct at_error *err)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    at_radio_times_default(&k->times, k->options.time_scale > 0 ? k->options.time_scale : 1);
    k->info =
        (struct at_source_info){.rate_hz = k->options.rate_hz, .center_hz = k->options.center_hz};
    snprintf(k->info.name, sizeof k->info.name, "%s", k->options.device);
    atomic_store(&k->state, AT_SOURCE_STARTING);
    k->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return k->wake < 0 ? at_error_set(err, -errno, "no eventfd: %s", strerror(errno)) : 0;
}

int at_keeper_start(struct at_keeper *k, struct at_error *err)
{
    int r = pthread_create(&k->thread, NULL, keep, k);
    if (r != 0)
        return at_error_set(err, -r, "no thread for the radio: %s", strerror(r));
    k->runs = true;
    return 0;
}

void at_keeper_finish(struct at_keeper *k)
{
    atomic_store(&k->stopping, true);
    if (k->wake >= 0)
        at_keeper_wake(k);
    if (k->runs)
        pthread_join(k->thread, NULL);
    at_process_unmap(&k->life.process);
    if (k->wake >= 0)
        close(k->wake);
    pthread_cond_destroy(&k->changed);
    pthread_mutex_destroy(&k->lock);
}
