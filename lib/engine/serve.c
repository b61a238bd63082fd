/* What a thread does with a stream: one push, perhaps a decision, its result; and the worker
 * threads. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/engine/internal.h"

#define BELOW 10 /* steps of niceness between the threads that take samples and workers */

/* One stream's part of what a server does at once. */
struct part {
    struct stream *s;
    struct at_chunk chunk;
    bool decided;
    int64_t due_ns;
    int candidate; /* of the session; what it is after a conversion */
    int convert;   /* the candidate that the session becomes first; -1: stays */
};

/* Contiguous rows of the chunk: in place, or copied to `wrapped` where it wraps around the ring. */
static const float *rows_of(const struct stream *s, size_t columns, size_t n, float *wrapped)
{
    size_t at = (size_t)(s->tail % QUEUE_TOKENS);
    if (at + n <= QUEUE_TOKENS)
        return s->frames + at * columns;
    size_t first = QUEUE_TOKENS - at;
    memcpy(wrapped, s->frames + at * columns, first * columns * sizeof(float));
    memcpy(wrapped + first * columns, s->frames, (n - first) * columns * sizeof(float));
    return wrapped;
}

/* `noise` is never told as a class with confidence: the detector saw something, the model did not.
 */
static void soften_noise(struct at_answer *a)
{
    if (strcmp(a->label, "noise") == 0) {
        snprintf(a->label, sizeof(a->label), "weak");
        a->group[0] = '\0';
    }
}

static void answer(struct stream *s, const struct at_classifier *c, float snr_db, float share)
{
    at_verdict_answer(&s->verdict, c->model, s->backend, snr_db, (double)share, &s->answer);
    soften_noise(&s->answer);
}

static void decide(struct stream *s, const struct at_classifier *c, int candidate)
{
    const struct at_candidate *k = &c->state.candidates[candidate];
    float logits[AT_MAX_CLASSES];
    at_session_logits(s->session, logits);
    at_verdict_add(&s->verdict, c->model, k->backend, logits, s->snr_db,
                   (double)at_session_tokens(s->session), (double)s->pace.new_tokens);
    memcpy(s->backend, k->backend, sizeof(s->backend));
    answer(s, c, s->snr_db, s->share);
    snprintf(s->mode, sizeof(s->mode), "%s", at_mode_name(k->mode));
    s->window = k->window;
}

/* Tokens that a new session must have heard before it answers. */
static uint64_t switch_tokens(const struct at_classifier *c, int candidate)
{
    uint32_t window = c->shapes[candidate].window;
    return window && window < SWITCH_TOKENS ? window : SWITCH_TOKENS;
}

/* What the session is to be turned into before the next chunk; -1: nothing. Lock held. */
static int convert_to(const struct at_classifier *c, const struct stream *s)
{
    int wanted = at_choose_of(s->r);
    return s->session && wanted != s->candidate &&
                   at_session_can_convert(c->encoder, &c->shapes[s->candidate], &c->shapes[wanted])
               ? wanted
               : -1;
}

/* A session fit for the chunk. A run that begins anew takes what the selector wants now. One that
 * goes on is converted where its cache knows enough; else a new session hears the tokens beside it.
 * Lock held. */
static int ready_session(struct at_classifier *c, struct stream *s, bool reset)
{
    int wanted = at_choose_of(s->r);
    if (s->heir && (reset || wanted != s->heir_candidate))
        at_sessions_drop_heir(c, s);
    if (s->session && reset && s->candidate != wanted)
        at_sessions_release(c, s);
    if (!s->session)
        return at_sessions_acquire(c, s);
    if (!reset && !s->heir && s->candidate != wanted && convert_to(c, s) < 0)
        at_sessions_add_heir(c, s, wanted);
    return 0;
}

/* When the samples came that made this decision due: the newest token's; where the emission's end
 * or a new run asks for it, those that showed that, half a second of silence later. Lock held. */
static int64_t due_at(const struct stream *s, const struct at_chunk *chunk)
{
    int64_t due_ns = s->delivered_ns;
    if (chunk->n == 0 && s->head > s->tail)
        due_ns = s->marks[s->tail % QUEUE_TOKENS].delivered_ns;
    else if (s->ended || s->r->away)
        due_ns = s->closed_ns;
    return due_ns > s->delivered_ns ? due_ns : s->delivered_ns;
}

/* Figures of a decision that was due at due_ns, one of n that were made together; lock held. What
 * it cost is the whole time for who waits for it, and its share for the selector, whose calibration
 * knows decisions that are made alone. */
static void count_decision(struct at_classifier *c, struct stream *s, size_t n, int64_t due_ns,
                           int64_t start_ns, int64_t now_ns)
{
    const struct at_receiver *r = s->r;
    double took_ms = (double)(now_ns - start_ns) / 1e6;
    s->inference_ms = (float)took_ms;
    c->stats.decisions++;
    double budget_ms = c->policies[r->policy].budget_ms;
    if (budget_ms > 0 && took_ms > budget_ms)
        c->stats.budget_exceeded++;
    at_recent_add(&c->inference, took_ms, FIGURES, now_ns, 0);
    if (r->live)
        at_recent_add(&c->live[s->candidate], took_ms / (double)n, LIVE_NEWEST, now_ns,
                      LIVE_AGE_NS);
    double stream_s = ((double)s->pace.last_index - (double)s->emission.start) / r->rate_hz;
    if (r->live && s->delivered_ns > 0) {
        s->latency_ms = (float)((double)(now_ns - due_ns) / 1e6);
        at_recent_add(&c->latency, (double)s->latency_ms, FIGURES, now_ns, 0);
        stream_s += (double)(now_ns - s->delivered_ns) / 1e9;
    }
    if (s->pace.decisions == 1)
        s->first_decision_s = (float)fmax(stream_s, 0);
    s->served_ns = now_ns;
}

/* The chunks themselves, as one product where they are several: sessions, verdicts and paces are
 * this thread's while the streams are busy. No lock held. */
static void run_chunks(struct server *server, struct part *parts, size_t n)
{
    const struct at_classifier *c = server->c;
    struct at_session *sessions[2 * SERVE_MAX] = {NULL};
    const float *frames[2 * SERVE_MAX] = {NULL};
    size_t counts[2 * SERVE_MAX] = {0}, pushed = 0;
    for (struct part *p = parts; p < parts + n; p++) {
        struct stream *s = p->s;
        if (p->convert >= 0 &&
            at_session_convert(s->session, server->worker, &c->shapes[p->convert], NULL) == 0)
            p->candidate = p->convert;
        if (p->chunk.reset) {
            at_session_reset(s->session);
            s->pace.run_tokens = 0;
        }
        if (p->chunk.n == 0)
            continue;
        const float *rows = rows_of(s, c->columns, p->chunk.n,
                                    server->frames + (p - parts) * AT_PACE_NEXT * c->columns);
        struct at_session *both[2] = {s->session, s->heir};
        for (int i = 0; i < 2 && both[i]; i++) {
            sessions[pushed] = both[i];
            frames[pushed] = rows;
            counts[pushed++] = p->chunk.n;
        }
        s->pace.run_tokens += p->chunk.n;
        s->pace.new_tokens += p->chunk.n;
        s->seen += p->chunk.n;
    }
    at_session_push_batch(sessions, server->worker, frames, counts, pushed, c->columns);
    for (struct part *p = parts; p < parts + n; p++)
        if (p->decided) {
            decide(p->s, c, p->candidate);
            p->s->pace.decisions++;
        }
}

static bool starve(struct at_classifier *c, struct stream *s, int error)
{
    /* In one thread nobody else would free a session meanwhile, and memory that is out stays out:
     * what waits is skipped. */
    if (s->r->inline_ || error != -EAGAIN) {
        s->missed += (double)(s->head - s->tail);
        c->stats.tokens_skipped += s->head - s->tail;
        s->tail = s->head;
        s->throttled = true;
        return s->ended; /* not `starved`: the next tokens ask again, whether or not another ends */
    }
    s->starved = c->generation;
    return false;
}

void at_stream_rest(struct stream *s)
{
    if (!s->r->away || !s->session || s->ended || s->head != s->tail || s->pace.new_tokens > 0)
        return;
    at_sessions_release(s->r->c, s);
    s->pace.run_tokens = 0;
}

void at_stream_drop(struct stream *s)
{
    struct at_receiver *r = s->r;
    struct at_classifier *c = r->c;
    at_sessions_release(c, s);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    c->n_streams--;
    at_receiver_forget(r, s);
    at_stream_destroy(s);
    pthread_cond_broadcast(&c->idle);
}

/* Takes the stream's next chunk, which makes it busy. Lock held. 1: taken, 0: nothing was to be
 * done now, -1: likewise, and what waited is gone: ask again. */
static int begin(struct stream *s, struct server *server, struct part *ret)
{
    struct at_classifier *c = server->c;
    int64_t now_ns = s->r->inline_ ? 0 : at_clock_mono_ns();
    at_stream_shed(s, now_ns);
    struct at_chunk chunk = at_stream_plan(s, now_ns);
    if (chunk.n == 0 && !chunk.decide && !chunk.done)
        return 0;
    s->busy = true;
    int error = chunk.n > 0 ? ready_session(c, s, chunk.reset) : 0;
    if (error < 0) {
        s->busy = false;
        return starve(c, s, error) ? -1 : 0;
    }
    s->starved = 0;
    if (chunk.n > 0) {
        const struct at_mark *newest = &s->marks[(s->tail + chunk.n - 1) % QUEUE_TOKENS];
        s->snr_db = newest->snr_db;
        s->share = newest->share;
        s->delivered_ns = newest->delivered_ns;
        s->seen_index = newest->index;
    }
    if (chunk.decide)
        s->pace.last_index = s->seen_index;
    *ret = (struct part){.s = s,
                         .chunk = chunk,
                         .decided = chunk.decide && s->session,
                         .due_ns = due_at(s, &chunk),
                         .candidate = s->candidate,
                         .convert = chunk.n > 0 && !chunk.reset ? convert_to(c, s) : -1};
    return 1;
}

/* Lock held; let go of while the result is told. False: the stream is gone. */
static bool finish(const struct part *p, size_t n, int64_t start_ns, int64_t now_ns)
{
    struct stream *s = p->s;
    struct at_classifier *c = s->r->c;
    s->tail += p->chunk.n;
    s->candidate = p->candidate;
    if (s->heir && at_session_tokens(s->heir) >= switch_tokens(c, s->heir_candidate))
        at_sessions_switch(c, s);
    c->stats.tokens += p->chunk.n;
    c->generation++;
    if (p->chunk.decide) {
        s->pace.new_tokens = 0;
        if (p->decided)
            count_decision(c, s, n, p->due_ns, start_ns, now_ns);
    }
    bool done = s->ended && s->head == s->tail && s->pace.new_tokens == 0;
    if (p->decided || done) {
        struct at_result result;
        if (done && s->pace.decisions > 0) /* the tracker's last word on the SNR */
            answer(s, c, s->emission.snr_db, at_stream_share(s));
        at_stream_result(s, &result);
        result.emission.ended = done;
        pthread_mutex_unlock(&c->lock);
        at_receiver_publish(s->r, &result);
        pthread_mutex_lock(&c->lock);
    }
    if (done) {
        at_stream_drop(s);
        return false;
    }
    at_stream_rest(s);
    s->busy = false;
    if (s->r->closing)
        pthread_cond_broadcast(&c->idle);
    return true;
}

/* Lock held; let go of meanwhile. False: a stream is gone, of one the only. */
static bool serve(struct server *server, struct part *parts, size_t n)
{
    struct at_classifier *c = server->c;
    bool all = true;
    pthread_mutex_unlock(&c->lock);
    int64_t start_ns = at_clock_mono_ns();
    run_chunks(server, parts, n);
    int64_t now_ns = at_clock_mono_ns();
    pthread_mutex_lock(&c->lock);
    c->busy_ns += now_ns - start_ns;
    for (size_t i = 0; i < n; i++)
        all &= finish(&parts[i], n, start_ns, now_ns);
    return all;
}

bool at_stream_serve(struct stream *s, struct server *server)
{
    struct part part;
    int got = begin(s, server, &part);
    return got > 0 ? serve(server, &part, 1) : got < 0;
}

/* ---- threads ---- */

/* Lock held. The next stream to serve; NULL: wait. ret_waiting: streams that could be served. */
static struct stream *pick(struct at_classifier *c, size_t *ret_waiting)
{
    size_t n = 0, waiting = 0;
    int64_t now_ns = at_clock_mono_ns();
    for (struct stream *s = c->streams; s && n < c->max_tasks; s = s->next) {
        bool idle = s->head == s->tail && !s->ended && !(s->r->away && s->pace.new_tokens > 0);
        if (s->r->inline_ || s->r->closing || s->busy || idle || s->starved == c->generation)
            continue;
        struct at_chunk chunk = at_stream_plan(s, now_ns);
        c->task_streams[n] = s;
        c->tasks[n++] = (struct at_task){.runnable = chunk.n > 0 || chunk.decide || chunk.done,
                                         .fresh = s->pace.decisions == 0,
                                         .watched = s->watched,
                                         .serial = s->serial,
                                         .served = s->served_ns};
        waiting += c->tasks[n - 1].runnable;
    }
    size_t i = at_sched_pick(c->tasks, n);
    *ret_waiting = waiting;
    return i == AT_NO_TASK ? NULL : c->task_streams[i];
}

/* Takes chunks of several streams, so that the linear layers run over all of them at once; lock
 * held. */
static size_t gather(struct server *server, struct part *parts)
{
    struct at_classifier *c = server->c;
    size_t n = 0, most = 1, waiting;
    for (struct stream *s; n < most && (s = pick(c, &waiting));) {
        if (n == 0) {
            int now = c->state.choice.index;
            double ms = now < 0 ? (double)NAN : at_candidate_ms(&c->state.candidates[now]);
            most = at_sched_together(waiting, c->n_threads, ms, c->state.budget_ms);
            most = most < SERVE_MAX ? most : SERVE_MAX;
        }
        if (begin(s, server, &parts[n]) > 0)
            n++;
    }
    return n;
}

static void *work(void *arg)
{
    struct server *server = arg;
    struct at_classifier *c = server->c;
    at_cpu_flush_denormals();
    /* Far below the threads that take samples: a late decision is made on newer tokens, a lost
     * sample is lost, and where those threads fall behind, every decision is late. */
    id_t me = (id_t)syscall(SYS_gettid);
    setpriority(PRIO_PROCESS, me, getpriority(PRIO_PROCESS, me) + BELOW);
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        struct part parts[SERVE_MAX];
        size_t n = gather(server, parts);
        if (n == 0) {
            if (!at_share_settle(c))
                pthread_cond_wait(&c->work, &c->lock);
            continue;
        }
        serve(server, parts, n);
        at_choose_again(c, at_clock_mono_ns());
        at_share_settle(c);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int at_server_init(struct at_classifier *c, struct server *s, struct at_error *err)
{
    *s = (struct server){.c = c};
    s->frames = at_mem_array(c->mem, AT_MEM_WORKSPACE, SERVE_MAX * AT_PACE_NEXT * c->columns,
                             sizeof(float));
    if (!s->frames)
        return at_error_set(err, -ENOMEM, "no memory for a worker");
    struct at_session_shape shapes[AT_MAX_CANDIDATES];
    size_t n = 0;
    for (size_t i = 0; i < c->state.n_candidates; i++)
        if (c->state.candidates[i].probe_error == 0)
            shapes[n++] = c->shapes[i];
    return at_worker_create(c->encoder, shapes, n, err, &s->worker);
}

int at_server_start(struct server *s)
{
    int ret = pthread_create(&s->thread, NULL, work, s);
    if (ret != 0)
        return -ret;
    s->started = true;
    return 0;
}

void at_server_finish(struct server *s)
{
    if (s->started)
        pthread_join(s->thread, NULL);
    s->started = false;
    at_worker_destroy(s->worker);
    if (s->c)
        at_mem_free(s->c->mem, s->frames);
    s->worker = NULL;
    s->frames = NULL;
}
