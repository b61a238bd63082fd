/* The bands of a radio: each with a receiver, a look-back and counts of its own, of which one at a
 * time is fed; and the walk from one to the next. The puller's thread only, but for the view.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/bands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "lib/base/clock.h"

#define NO_TUNING    UINT64_MAX
#define SAMPLE_BYTES 4.0
#define BLOCK_S      0.01 /* of a live radio: short, decisions wait for it */
#define FILE_BLOCK   65536
#define MAX_BLOCK                                                                                  \
    (1u << 16) /* half a megabyte once converted: it stays in the cache until it has been looked   \
                  at */
#define SAME_RATE_HZ 0.5

void at_bands_init(struct at_puller *r)
{
    r->n_bands = r->conf->n_bands;
    for (size_t i = 0; i < r->n_bands; i++) {
        struct at_puller_band *b = &r->bands[i];
        b->radio = r;
        b->conf = &r->conf->bands[i];
        b->slot = i;
        b->gain_db = NAN;
        b->rate_hz = b->conf->rate_hz;
        b->tuning = i ? NO_TUNING : 0;
    }
}

double at_bands_center(const struct at_puller *r, size_t i)
{
    const struct at_config_band *c = r->bands[i].conf;
    /* What a file or an only band is at, the source says. */
    return r->n_bands > 1 ? c->center_hz + c->lo_offset_hz : r->info.center_hz;
}

static void join_settings(char *out, size_t n, const char *a, const char *b)
{
    snprintf(out, n, "%s%s%s", a, *a && *b ? "," : "", b);
}

/* A radio whose bands say nothing of it leaves one that is not asked for alone. */
static int bias_tee(const struct at_config_radio *radio, const struct at_config_band *band)
{
    bool any = false;
    for (uint32_t i = 0; i < radio->n_bands; i++)
        any |= radio->bands[i].bias_tee != 0;
    if (band->bias_tee)
        return band->bias_tee;
    return radio->bias_tee ? 1 : any ? -1 : 0;
}

void at_bands_tuning(const struct at_puller *r, size_t i, struct at_tuning *ret)
{
    const struct at_config_band *c = r->bands[i].conf;
    struct at_tuning t = {.center_hz = c->center_hz + c->lo_offset_hz,
                          .rate_hz = c->rate_hz,
                          .ppm = isnan(c->ppm) ? r->conf->ppm : c->ppm,
                          .gain_db = c->gain.db};
    snprintf(t.gains, sizeof t.gains, "%s", c->gain.gains);
    t.auto_gain = !t.gains[0] && isnan(t.gain_db);
    if (t.auto_gain)
        t.gain_db = r->bands[i].gain_db; /* where its control left it */
    snprintf(t.antenna, sizeof t.antenna, "%s", c->antenna[0] ? c->antenna : r->conf->antenna);
    join_settings(t.settings, sizeof t.settings, r->conf->settings, c->settings);
    t.bias_tee = bias_tee(r->conf, c);
    *ret = t;
}

/* ---- receivers ---- */

/* The ring for this life of the source; without memory there is none, and the rest goes on. */
static void begin_look_back(struct at_puller *r, struct at_puller_band *b, const char *boot,
                            double center_hz)
{
    char prefix[96];
    double n = r->config->lookback.keep_s * b->rate_hz,
           most = r->config->lookback.max_mb * 1e6 / SAMPLE_BYTES / (double)r->n_bands;
    struct at_iqring *ring = n >= 1 ? at_iqring_create((size_t)(n < most ? n : most)) : NULL;
    pthread_mutex_lock(&r->lock);
    struct at_iqring *old = b->look_back;
    b->look_back = ring;
    pthread_mutex_unlock(&r->lock);
    at_iqring_destroy(old);
    if (!ring && n >= 1)
        at_log(AT_LOG_WARN, AT_FIELDS({"radio", r->conf->name}, {"band", b->conf->name}),
               "radio %s: band %s has no look-back: no memory for it", r->conf->name,
               b->conf->name);
    if (!ring)
        return;
    snprintf(prefix, sizeof prefix, "%s-%s-", boot, r->conf->name);
    at_iqring_begin(ring, prefix, b->rate_hz, center_hz);
}

static void to_baseband(const struct at_config_range *ranges, uint32_t n, double center_hz,
                        double *out)
{
    for (uint32_t i = 0; i < n; i++) {
        out[2 * i] = ranges[i].lo_hz - center_hz;
        out[2 * i + 1] = ranges[i].hi_hz - center_hz;
    }
}

/* The converter's noise at the band's rate; 0: not known before the device is open. */
static double assumed_floor(const struct at_puller *r, const struct at_puller_band *b)
{
    double at_info = r->info.assumed_floor_dbfs_hz;
    return at_info < 0 ? at_info + 10 * log10(r->info.rate_hz / b->rate_hz) : 0;
}

/* Each life counts its emissions from 1: the id says which life. */
static int create_receiver(struct at_puller *r, size_t i, struct at_error *err)
{
    struct at_puller_band *b = &r->bands[i];
    double ignore[2 * AT_CONFIG_MAX_IGNORE], watch[2 * AT_CONFIG_MAX_WATCH];
    double center_hz = at_bands_center(r, i);
    char boot[40];
    snprintf(boot, sizeof boot, r->lives ? "%s.%u" : "%s", r->boot, r->lives);
    to_baseband(b->conf->ignore, b->conf->n_ignore, center_hz, ignore);
    to_baseband(b->conf->watch, b->conf->n_watch, center_hz, watch);
    begin_look_back(r, b, boot, center_hz);
    struct at_receiver_config config = {
        .radio = r->conf->name,
        .band = b->conf->name,
        .boot = boot,
        .center_hz = center_hz,
        .budget_ms = b->conf->latency_ms,
        .live = r->live,
        .file = r->conf->file[0] != 0,
        .watch = watch,
        .n_watch = b->conf->n_watch,
        .band_config = {.rate_hz = b->rate_hz,
                        .blanker_db = b->conf->blanker_db,
                        .assumed_floor_dbfs_hz = assumed_floor(r, b),
                        .ignore = ignore,
                        .n_ignore = b->conf->n_ignore},
        .bandplan = r->bandplan,
    };
    struct at_receiver_sink sink = *r->sink;
    sink.ctx = b;
    return at_receiver_create(b->classifier, &config, &sink, err, &b->receiver);
}

void at_bands_settle(struct at_puller *r)
{
    for (size_t i = 0; i < r->n_bands; i++)
        if (r->bands[i].receiver)
            at_receiver_set_assumed_floor(r->bands[i].receiver, assumed_floor(r, &r->bands[i]));
}

static void set_rate(struct at_puller *r, struct at_puller_band *b, double rate_hz)
{
    pthread_mutex_lock(&r->lock);
    b->rate_hz = rate_hz;
    pthread_mutex_unlock(&r->lock);
}

int at_bands_create(struct at_puller *r, struct at_error *err)
{
    int rc = 0;
    if (r->n_bands == 1)
        set_rate(r, &r->bands[0], r->info.rate_hz);
    for (size_t i = 0; !rc && i < r->n_bands; i++)
        rc = create_receiver(r, i, err);
    r->lives++;
    return rc;
}

/* The rate that a radio really gives, where another than the one asked for, needs another receiver.
 * What the old one had ends. */
static int follow_rate(struct at_puller *r, struct at_puller_band *b, double rate_hz,
                       struct at_error *err)
{
    at_receiver_flush(b->receiver);
    at_receiver_destroy(b->receiver);
    b->receiver = NULL;
    set_rate(r, b, rate_hz);
    int rc = create_receiver(r, b->slot, err);
    r->lives++;
    return rc ? -EIO : 0; /* without a receiver the source has to begin again */
}

void at_bands_restart(struct at_puller *r)
{
    pthread_mutex_lock(&r->lock);
    r->band = 0;
    pthread_mutex_unlock(&r->lock);
    r->asked = r->rested = false;
    r->next = r->retuned = 0;
    for (size_t i = 0; i < r->n_bands; i++) {
        r->bands[i].tuning = i ? NO_TUNING : 0;
        r->bands[i].begin = 0;
        r->bands[i].shift = r->bands[i].anchor_utc_ns = 0;
        r->bands[i].ahead = 0;
    }
}

void at_bands_destroy(struct at_puller *r)
{
    for (size_t i = 0; i < r->n_bands; i++) {
        at_receiver_destroy(r->bands[i].receiver);
        r->bands[i].receiver = NULL;
    }
}

void at_bands_flush(struct at_puller *r)
{
    for (size_t i = 0; i < r->n_bands; i++) {
        atomic_store(&r->pushing_since_ns, at_clock_mono_ns());
        if (r->bands[i].receiver)
            at_receiver_flush(r->bands[i].receiver);
        atomic_store(&r->pushing_since_ns, 0);
    }
}

void at_bands_count(struct at_puller *r, size_t i)
{
    struct at_puller_band *b = &r->bands[i];
    struct at_band_stats stats;
    if (!b->receiver)
        return;
    at_receiver_get_stats(b->receiver, &stats);
    pthread_mutex_lock(&r->lock);
    b->stats = stats;
    b->has_stats = b->has_stats || b->visits > 0;
    pthread_mutex_unlock(&r->lock);
}

void at_bands_finish(struct at_puller *r)
{
    for (size_t i = 0; i < r->n_bands; i++)
        at_iqring_destroy(r->bands[i].look_back);
}

/* ---- the walk ---- */

static void come_to(struct at_puller *r, size_t i, uint64_t index)
{
    struct at_puller_band *b = &r->bands[i];
    int64_t now = at_clock_mono_ns(), more = llround(b->ahead);
    b->begin = index;
    b->shift += more;
    b->ahead -= (double)more;
    pthread_mutex_lock(&r->lock);
    r->bands[r->band].changed_ns = now;
    r->band = i;
    b->changed_ns = now;
    b->visits++;
    b->error[0] = 0;
    pthread_mutex_unlock(&r->lock);
}

/* What was heard of the visited band is decided: the radio is elsewhere. */
static int rest(struct at_puller *r)
{
    atomic_store(&r->pushing_since_ns, at_clock_mono_ns());
    int rc = at_receiver_pause(r->bands[r->band].receiver);
    atomic_store(&r->pushing_since_ns, 0);
    at_bands_count(r, r->band);
    return rc;
}

/* The samples of this read are of another tuning than those before: of which band. */
static int follow(struct at_puller *r, const struct at_read *read)
{
    size_t i = 0;
    while (i < r->n_bands && r->bands[i].tuning != read->tuning)
        i++;
    if (i == r->n_bands) /* of one that nobody asked for any more */
        return -ENOENT;
    int rc = i != r->band ? rest(r) : 0;
    come_to(r, i, read->index);
    r->asked = r->rested = false;
    return rc;
}

/* Samples are missing before this read because the radio was tuned to a band that it refused, and
 * back. */
static bool was_away(struct at_puller *r, const struct at_read *read)
{
    if (read->index == r->next)
        return false;
    struct at_ledger l;
    r->source->ops->get_ledger(r->source, &l);
    bool away = l.lost[AT_LOST_RETUNE] != r->retuned;
    r->retuned = l.lost[AT_LOST_RETUNE];
    return away;
}

/* n samples at rate_hz have passed, at whatever band: in each, as many of its own. */
static void pass_time(struct at_puller *r, uint64_t n, double rate_hz)
{
    for (size_t i = 0; i < r->n_bands; i++)
        r->bands[i].ahead += (double)n * (r->bands[i].rate_hz / rate_hz - 1);
}

static int take(struct at_puller *r, struct at_puller_band *b, const float *iq,
                const struct at_read *read)
{
    struct at_raw raw = {.samples = iq, .format = AT_IQ_CF32, .full_scale = 1};
    if (read->lent.samples)
        raw = read->lent;
    struct at_input input = {at_raw_write, &raw};
    uint64_t index = read->index + (uint64_t)b->shift;
    if (isnan(b->conf->gain.db) && !b->conf->gain.gains[0])
        b->gain_db = read->gain_db;
    if (!r->conf->file[0])
        at_receiver_set_gain(b->receiver, read->gain_db);
    if (read->utc_ns) {
        b->anchor_utc_ns = read->utc_ns;
        b->anchor_index = index;
    }
    atomic_store(&r->pushing_since_ns, at_clock_mono_ns());
    if (b->look_back)
        at_iqring_push(b->look_back, &raw, read->n, index);
    int rc =
        at_receiver_take(b->receiver, &input, read->n, index, read->delivered_ns, read->utc_ns);
    atomic_store(&r->pushing_since_ns, 0);
    return rc;
}

int at_bands_push(struct at_puller *r, const float *iq, const struct at_read *read,
                  struct at_error *err)
{
    int left = 0;
    bool away = was_away(r, read);
    uint64_t passed = read->index + read->n - r->next;
    r->next = read->index + read->n;
    if (r->bands[r->band].visits == 0 || r->bands[r->band].tuning != read->tuning)
        left = follow(r, read);
    else if (away)
        left = rest(r);
    struct at_puller_band *b = &r->bands[r->band];
    int rc = 0;
    if (left != -ENOENT && fabs(read->rate_hz - b->rate_hz) > SAME_RATE_HZ)
        rc = follow_rate(r, b, read->rate_hz, err);
    pass_time(r, passed, read->rate_hz);
    if (left == -ENOENT || rc)
        return rc;
    rc = take(r, b, iq, read);
    return rc ? rc : left;
}

static size_t block_of(const struct at_puller *r, double rate_hz)
{
    double block = r->live ? BLOCK_S * rate_hz : FILE_BLOCK;
    return block > MAX_BLOCK ? MAX_BLOCK : block < 256 ? 256 : (size_t)block;
}

size_t at_bands_block(const struct at_puller *r)
{
    size_t n = block_of(r, r->bands[r->band].rate_hz);
    return n < MAX_BLOCK ? n : n - (size_t)(r->next % n); /* as the receiver cuts them */
}

size_t at_bands_most(const struct at_puller *r)
{
    size_t most = 0;
    for (size_t i = 0; i < r->n_bands; i++) {
        size_t n = block_of(r, fmax(r->bands[i].rate_hz, r->bands[i].conf->rate_hz));
        most = n > most ? n : most;
    }
    return most;
}

static void leave_out(struct at_puller *r, struct at_puller_band *b, const char *why)
{
    pthread_mutex_lock(&r->lock);
    bool news = !b->error[0];
    snprintf(b->error, sizeof b->error, "%.159s", why);
    pthread_mutex_unlock(&r->lock);
    if (news)
        at_log(AT_LOG_ERROR, AT_FIELDS({"radio", r->conf->name}, {"band", b->conf->name}),
               "radio %s: band %s is left out: %s", r->conf->name, b->conf->name, why);
}

static struct at_puller_band *asked_band(struct at_puller *r)
{
    return &r->bands[(r->band + r->turn) % r->n_bands];
}

/* Asks for the next band, and the one behind it where it can't be asked for. */
static void ask_for_next(struct at_puller *r, uint64_t index)
{
    struct at_error err = {{0}};
    struct at_tuning t;
    r->asked = false;
    while (!r->asked && ++r->turn < r->n_bands) {
        struct at_puller_band *b = asked_band(r);
        at_bands_tuning(r, b->slot, &t);
        if (r->source->ops->tune(r->source, &t, &b->tuning, &err))
            leave_out(r, b, err.text);
        else
            r->asked = true;
    }
    if (!r->asked) /* there is no other one: it stays, and asks again after another dwell */
        r->bands[r->band].begin = index;
}

void at_bands_walk(struct at_puller *r, uint64_t index)
{
    const struct at_puller_band *b = &r->bands[r->band];
    struct at_error err = {{0}};
    if (r->n_bands < 2 || b->visits == 0)
        return;
    if (r->asked) {
        int rc = r->source->ops->get_tuned(r->source, asked_band(r)->tuning, &err);
        if (rc == 0 || rc == -EAGAIN)
            return;
        leave_out(r, asked_band(r), err.text);
        ask_for_next(r, index);
    } else if ((double)(index - b->begin) >= b->conf->dwell_s * b->rate_hz) {
        r->turn = 0;
        ask_for_next(r, index);
    }
}

int at_bands_idle(struct at_puller *r)
{
    if (!r->asked || r->rested)
        return 0;
    r->rested = true;
    return rest(r);
}

/* ---- from other threads ---- */

void at_bands_get_view(const struct at_puller *r, struct at_radio_view *v)
{
    int64_t now = at_clock_mono_ns();
    v->n_bands = r->n_bands < AT_MAX_BANDS ? r->n_bands : AT_MAX_BANDS;
    snprintf(v->band, sizeof v->band, "%s", r->bands[r->band].conf->name);
    v->info.center_hz = at_bands_center(r, r->band);
    v->info.rate_hz = r->bands[r->band].rate_hz;
    for (size_t i = 0; i < v->n_bands; i++) {
        const struct at_puller_band *b = &r->bands[i];
        v->bands[i] = (struct at_band_view){
            .slot = r->index * AT_MAX_BANDS + b->slot,
            .center_hz = at_bands_center(r, i),
            .rate_hz = b->rate_hz,
            .waiting = i != r->band,
            .dwell_s = r->n_bands > 1 ? b->conf->dwell_s : 0,
            .visits = b->visits,
            .since_s = b->changed_ns ? 1e-9 * (double)(now - b->changed_ns) : (double)NAN,
            .model = b->classifier ? at_classifier_model(b->classifier) : NULL,
            .stats = b->stats,
            .has_stats = b->has_stats,
        };
        snprintf(v->bands[i].name, sizeof v->bands[i].name, "%s", b->conf->name);
        snprintf(v->bands[i].error, sizeof v->bands[i].error, "%s", b->error);
    }
}
