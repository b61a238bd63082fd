/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/history/history.h"

#include <errno.h>
#include <glob.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "lib/base/clock.h"
#include "lib/base/path.h"

#define QUEUE        4096
#define BATCH        512
#define LAST         4096 /* emissions whose newest kept decision is remembered */
#define SAME_NS      (10 * AT_NS_PER_S)
#define PRUNE_NS     (60 * AT_NS_PER_S)
#define RETRY_NS     (2 * AT_NS_PER_S)
#define TELL_NS      (10 * AT_NS_PER_S)
#define REST_NS      (50 * 1000 * 1000) /* between batches: one commit carries many */
#define READ_CPU_MS  1000
#define READ_WALL_MS 10000

/* An emission where json is set, else a decision. */
struct item {
    char *json;
    char id[48], radio[32], band[32], class_name[32];
    double snr_db;
    int64_t start_utc_ns, end_utc_ns;
    struct at_db_decision decision; /* seq and utc_ns are valid for both */
};

struct last {
    uint64_t seq;
    int64_t utc_ns;
    char class_name[32], backend[16], mode[8];
};

struct at_history {
    char path[4096];
    double keep_s;
    int64_t max_bytes;
    uint64_t last_seq;
    pthread_t writer;
    bool writer_runs;
    pthread_mutex_t lock; /* queue, last, stats, stopping */
    pthread_cond_t wake;
    bool stopping;
    struct item *queue; /* (QUEUE), a ring; the writer reads [head, tail) without the lock */
    size_t head, tail;  /* counts */
    struct last *last;  /* (LAST) by seq % LAST */
    struct at_history_stats stats;
    struct at_db *out; /* the writer's, as are these: what was said of losses */
    uint64_t told_lost;
    int64_t told_ns;
    _Atomic bool interrupted; /* searches end: nobody waits for them any more */
    pthread_mutex_t reading;
    struct at_db *in; /* NULL: none */
};

/* ---- the file ---- */

/* Of earlier damaged files none is kept beside to: they would add up. */
static void remove_older(const struct at_history *h, const char *to)
{
    char pattern[2 * sizeof h->path + 16];
    glob_t old = {0};
    at_path_quote(h->path, strlen(h->path), pattern);
    strcat(pattern, ".corrupt-*");
    if (!glob(pattern, 0, NULL, &old))
        for (size_t i = 0; i < old.gl_pathc; i++)
            if (strncmp(old.gl_pathv[i], to, strlen(to)))
                unlink(old.gl_pathv[i]);
    globfree(&old);
}

/* Out of the way with a damaged file, its log and its index. 0, or negative errno with err: it is
 * where it was. */
static int move_aside(struct at_history *h, const char *why, struct at_error *err)
{
    static const char *const tails[] = {"-wal", "-shm"};
    char from[sizeof h->path + 8], to[sizeof h->path + 64], tail[sizeof to + 8];
    snprintf(to, sizeof to, "%s.corrupt-%lld", h->path,
             (long long)(at_clock_utc_ns() / AT_NS_PER_S));
    if (rename(h->path, to) < 0)
        return at_error_set(err, -errno,
                            "%.200s is damaged (%s) and cannot be moved aside: %s; move it away",
                            h->path, why, strerror(errno));
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s%s", h->path, tails[i]);
        snprintf(tail, sizeof tail, "%s%s", to, tails[i]);
        rename(from, tail); /* not there after a checkpoint */
    }
    remove_older(h, to);
    at_log(AT_LOG_ERROR, AT_FIELDS({"file", h->path}),
           "history: %s is damaged (%s); moved to %s, a new one begins", h->path, why, to);
    pthread_mutex_lock(&h->lock);
    h->stats.moved_aside++;
    pthread_mutex_unlock(&h->lock);
    return 0;
}

static int open_files(struct at_history *h, struct at_error *err)
{
    uint64_t last = 0;
    for (int attempt = 0;; attempt++) {
        int rc = at_db_open(h->path, AT_DB_WRITE, h->max_bytes, err, &h->out);
        if (!rc)
            rc = at_db_last_seq(h->out, &last);
        if (!rc)
            rc = at_db_open(h->path, AT_DB_READ, h->max_bytes, err, &h->in);
        if (!rc)
            break;
        at_db_close(h->out);
        h->out = NULL;
        if (rc != -EILSEQ || attempt)
            return rc;
        rc = move_aside(h, "it does not open", err);
        if (rc)
            return rc;
    }
    if (last > h->last_seq)
        h->last_seq = last;
    return 0;
}

static void close_files(struct at_history *h)
{
    pthread_mutex_lock(&h->reading);
    at_db_close(h->in);
    h->in = NULL;
    pthread_mutex_unlock(&h->reading);
    at_db_close(h->out);
    h->out = NULL;
}

static int open_again(struct at_history *h)
{
    struct at_error err;
    pthread_mutex_lock(&h->reading);
    int rc = open_files(h, &err);
    pthread_mutex_unlock(&h->reading);
    if (rc && !h->stats.error[0]) /* once, as note() says its part */
        at_log(AT_LOG_ERROR, NULL, "history: %s", err.text);
    return rc;
}

/* While it runs: damage that only shows now. */
static int begin_anew(struct at_history *h, const char *why)
{
    struct at_error err;
    close_files(h);
    int rc = move_aside(h, why, &err);
    if (!rc)
        return open_again(h);
    at_log(AT_LOG_ERROR, AT_FIELDS({"file", h->path}), "history: %s", err.text);
    return rc;
}

/* ---- the writer ---- */

static int write_item(struct at_db *db, const struct item *i)
{
    if (!i->json)
        return at_db_put_decision(db, &i->decision);
    struct at_db_emission e = {.seq = i->decision.seq,
                               .id = i->id,
                               .radio = i->radio,
                               .band = i->band,
                               .class_name = i->class_name,
                               .json = i->json,
                               .snr_db = i->snr_db,
                               .start_utc_ns = i->start_utc_ns,
                               .end_utc_ns = i->end_utc_ns,
                               .ended_utc_ns = i->decision.utc_ns};
    return at_db_put_emission(db, &e);
}

static int write_batch(struct at_history *h, size_t head, size_t n)
{
    int rc = at_db_begin(h->out);
    for (size_t i = 0; !rc && i < n; i++)
        rc = write_item(h->out, &h->queue[(head + i) % QUEUE]);
    if (!rc)
        rc = at_db_commit(h->out);
    if (rc)
        at_db_rollback(h->out);
    return rc;
}

static int prune(struct at_history *h)
{
    size_t removed = 1;
    int rc = 0;
    int64_t before = at_clock_utc_ns() - (int64_t)(h->keep_s * 1e9);
    for (int i = 0; !rc && removed && i < 50; i++) {
        removed = 0;
        rc = at_db_prune(h->out, before, h->max_bytes, &removed);
        pthread_mutex_lock(&h->lock);
        h->stats.removed += removed;
        pthread_mutex_unlock(&h->lock);
    }
    return rc;
}

/* Notes trouble once and its end once. */
static void note(struct at_history *h, int rc)
{
    char text[sizeof h->stats.error] = "";
    if (rc == -ENOSPC)
        snprintf(text, sizeof text, "no room on the disk of %.150s; make some", h->path);
    else if (rc)
        snprintf(text, sizeof text, "%.150s cannot be written: %s", h->path, strerror(-rc));
    pthread_mutex_lock(&h->lock);
    bool changed = strcmp(text, h->stats.error);
    memcpy(h->stats.error, text, sizeof text);
    h->stats.open = h->out != NULL;
    pthread_mutex_unlock(&h->lock);
    if (changed && rc)
        at_log(AT_LOG_ERROR, AT_FIELDS({"file", h->path}), "history: %s", text);
    else if (changed)
        at_log(AT_LOG_INFO, AT_FIELDS({"file", h->path}), "history: %s is written again", h->path);
}

static int write_some(struct at_history *h, size_t head, size_t n)
{
    /* No new one could begin: what was moved aside stays, and nothing is moved again. */
    int rc = h->out ? 0 : open_again(h);
    if (rc)
        return rc;
    rc = write_batch(h, head, n);
    if (rc == -ENOSPC && !prune(h)) /* the ceiling rather than the disk? */
        rc = write_batch(h, head, n);
    if (rc == -EILSEQ) {
        rc = begin_anew(h, "a write failed");
        if (!rc)
            rc = write_batch(h, head, n);
    }
    return rc;
}

static void check_file(struct at_history *h)
{
    bool left_open = at_db_was_left_open(h->out);
    int rc = left_open ? at_db_check(h->out) : 0;
    if (!rc && (rc = at_db_make_index(h->out)) && rc != -EILSEQ)
        at_log(AT_LOG_WARN, AT_FIELDS({"file", h->path}),
               "history: %s: searches are slow, their index cannot be made: %s", h->path,
               strerror(-rc));
    if (rc == -EILSEQ)
        note(h, begin_anew(h, "the check at start failed"));
    else if (left_open)
        at_db_remove_orphans(h->out);
}

/* Waits for work; false: stopping and nothing left. */
static bool wait_for_work(struct at_history *h, int64_t pause_ns, size_t *ret_head, size_t *ret_n)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = (int64_t)until.tv_sec * AT_NS_PER_S + until.tv_nsec + pause_ns;
    until = (struct timespec){.tv_sec = ns / AT_NS_PER_S, .tv_nsec = ns % AT_NS_PER_S};
    pthread_mutex_lock(&h->lock);
    while (!h->stopping && !pthread_cond_timedwait(&h->wake, &h->lock, &until))
        ;
    *ret_head = h->head;
    *ret_n = h->tail - h->head < BATCH ? h->tail - h->head : BATCH;
    bool on = !h->stopping || *ret_n;
    pthread_mutex_unlock(&h->lock);
    return on;
}

static void take_off(struct at_history *h, size_t n)
{
    int64_t bytes = h->out ? at_db_bytes(h->out) : 0;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < n; i++)
        free(h->queue[(h->head + i) % QUEUE].json);
    h->head += n;
    h->stats.written += n;
    h->stats.bytes = bytes;
    pthread_mutex_unlock(&h->lock);
}

/* What did not fit into the queue since the last time. */
static void tell_lost(struct at_history *h, bool at_once)
{
    int64_t now = at_clock_mono_ns();
    pthread_mutex_lock(&h->lock);
    uint64_t lost = h->stats.lost;
    pthread_mutex_unlock(&h->lock);
    if (lost == h->told_lost || (!at_once && h->told_ns && now - h->told_ns < TELL_NS))
        return;
    at_log(AT_LOG_WARN, AT_FIELDS({"file", h->path}),
           "history: %llu emissions and decisions are lost (%llu in all): the disk is slow or full",
           (unsigned long long)(lost - h->told_lost), (unsigned long long)lost);
    h->told_lost = lost;
    h->told_ns = now;
}

static void *run_writer(void *ctx)
{
    struct at_history *h = ctx;
    size_t head, n;
    int64_t pruned_ns = 0, pause_ns = REST_NS;
    check_file(h);
    while (wait_for_work(h, pause_ns, &head, &n)) {
        int rc = n ? write_some(h, head, n) : 0;
        pthread_mutex_lock(&h->lock);
        bool stopping = h->stopping;
        pthread_mutex_unlock(&h->lock);
        if (n)
            note(h, rc);
        if (n && !rc)
            take_off(h, n);
        if (rc && stopping) { /* what waits is lost with the disk */
            pthread_mutex_lock(&h->lock);
            h->stats.lost += h->tail - h->head;
            pthread_mutex_unlock(&h->lock);
            break;
        }
        tell_lost(h, false);
        pause_ns = rc ? RETRY_NS : REST_NS;
        int64_t now = at_clock_mono_ns();
        if (!rc && h->out && (!pruned_ns || now - pruned_ns > PRUNE_NS)) {
            pruned_ns = now;
            prune(h);
        }
    }
    tell_lost(h, true);
    return NULL;
}

/* ---- life ---- */

int at_history_open(const struct at_history_config *config, struct at_error *err,
                    struct at_history **ret_history)
{
    struct at_history *h = calloc(1, sizeof *h);
    if (!h)
        return at_error_set(err, -ENOMEM, "history: out of memory");
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->reading, NULL);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    h->keep_s = config->keep_s;
    h->max_bytes = (int64_t)(config->max_mb * 1e6);
    h->queue = calloc(QUEUE, sizeof *h->queue);
    h->last = calloc(LAST, sizeof *h->last);
    int rc = -ENOMEM;
    if (!h->queue || !h->last)
        at_error_set(err, rc, "out of memory");
    else if ((size_t)snprintf(h->path, sizeof h->path - 32, "%s", config->path) >=
             sizeof h->path - 32)
        rc = at_error_set(err, -ENAMETOOLONG, "path too long");
    else
        rc = open_files(h, err);
    if (rc)
        goto fail;
    h->stats.open = true;
    h->stats.bytes = at_db_bytes(h->out);
    rc = -pthread_create(&h->writer, NULL, run_writer, h);
    if (rc) {
        at_error_set(err, rc, "no thread: %s", strerror(-rc));
        goto fail;
    }
    h->writer_runs = true;
    *ret_history = h;
    return 0;
fail:
    at_error_prefix(err, rc, "%s", "history.path");
    at_history_close(h);
    return rc;
}

void at_history_close(struct at_history *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->wake);
    pthread_mutex_unlock(&h->lock);
    if (h->writer_runs)
        pthread_join(h->writer, NULL);
    close_files(h);
    for (; h->queue && h->head < h->tail; h->head++)
        free(h->queue[h->head % QUEUE].json);
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->reading);
    pthread_cond_destroy(&h->wake);
    free(h->queue);
    free(h->last);
    free(h);
}

void at_history_interrupt(struct at_history *h)
{
    if (h)
        atomic_store(&h->interrupted, true);
}

uint64_t at_history_last_seq(const struct at_history *h)
{
    return h ? h->last_seq : 0;
}

/* ---- what comes in ---- */

/* Whether this decision says something that the newest kept one of its emission does not. Under the
 * lock. */
static bool is_news(struct at_history *h, const struct at_db_decision *d)
{
    struct last *l = &h->last[d->seq % LAST];
    if (l->seq == d->seq && d->utc_ns - l->utc_ns < SAME_NS &&
        !strcmp(l->class_name, d->class_name) && !strcmp(l->backend, d->backend) &&
        !strcmp(l->mode, d->mode))
        return false;
    l->seq = d->seq;
    l->utc_ns = d->utc_ns;
    memcpy(l->class_name, d->class_name, sizeof l->class_name);
    memcpy(l->backend, d->backend, sizeof l->backend);
    memcpy(l->mode, d->mode, sizeof l->mode);
    return true;
}

/* Under the lock. */
static void push(struct at_history *h, const struct item *i)
{
    if (h->tail - h->head == QUEUE) {
        h->stats.lost++;
        free(i->json);
        return;
    }
    h->queue[h->tail++ % QUEUE] = *i;
}

void at_history_put(struct at_history *h, const struct at_result *r, uint64_t seq, bool decided)
{
    if (!h || (!decided && !r->emission.ended))
        return;
    struct item i = {.snr_db = (double)r->emission.snr_db,
                     .start_utc_ns = r->start_utc_ns,
                     .end_utc_ns = r->end_utc_ns,
                     .decision = {.seq = seq,
                                  .utc_ns = at_clock_utc_ns(),
                                  .confidence = (double)r->answer.confidence,
                                  .latency_ms = (double)r->latency_ms,
                                  .window = r->window,
                                  .tokens = r->tokens}};
    snprintf(i.id, sizeof i.id, "%s", r->id);
    snprintf(i.radio, sizeof i.radio, "%s", r->radio);
    snprintf(i.band, sizeof i.band, "%s", r->band);
    if (r->has_answer)
        snprintf(i.class_name, sizeof i.class_name, "%s", r->answer.label);
    memcpy(i.decision.class_name, i.class_name, sizeof i.class_name);
    snprintf(i.decision.backend, sizeof i.decision.backend, "%s", r->backend);
    snprintf(i.decision.mode, sizeof i.decision.mode, "%s", r->mode);
    char *json = NULL;
    if (r->emission.ended) {
        json_t *o = at_result_to_json(r);
        json = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
        json_decref(o);
    }
    pthread_mutex_lock(&h->lock);
    if (decided && is_news(h, &i.decision))
        push(h, &i);
    i.json = json;
    if (json)
        push(h, &i);
    else if (r->emission.ended)
        h->stats.lost++;
    pthread_mutex_unlock(&h->lock);
}

/* ---- what goes out ---- */

int at_history_find(struct at_history *h, const struct at_store_query *q, size_t max,
                    void (*visit)(void *ctx, uint64_t seq, const char *json), void *ctx)
{
    if (!h || q->state == AT_STORE_ACTIVE)
        return 0;
    const struct at_db_limit limit = {READ_CPU_MS, READ_WALL_MS, &h->interrupted};
    pthread_mutex_lock(&h->reading);
    int rc = h->in ? at_db_find(h->in, q, max, &limit, visit, ctx) : 0;
    pthread_mutex_unlock(&h->reading);
    return rc;
}

int at_history_get(struct at_history *h, const char *id, uint64_t *ret_seq, char **ret_json)
{
    if (!h)
        return -ENOENT;
    pthread_mutex_lock(&h->reading);
    int rc = h->in ? at_db_get(h->in, id, ret_seq, ret_json) : -ENOENT;
    pthread_mutex_unlock(&h->reading);
    return rc;
}

int at_history_decisions(struct at_history *h, uint64_t seq, size_t max,
                         void (*visit)(void *ctx, const struct at_db_decision *d), void *ctx)
{
    if (!h)
        return 0;
    pthread_mutex_lock(&h->reading);
    int rc = h->in ? at_db_decisions(h->in, seq, max, visit, ctx) : 0;
    pthread_mutex_unlock(&h->reading);
    return rc;
}

void at_history_get_stats(struct at_history *h, struct at_history_stats *ret)
{
    *ret = (struct at_history_stats){0};
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    *ret = h->stats;
    ret->waiting = h->tail - h->head;
    pthread_mutex_unlock(&h->lock);
}
