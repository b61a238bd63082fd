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

/* Contiguous rows of the chunk: in place, or copied where it wraps around the ring. */
static const float *rows_of(const struct stream *s, const struct server *server, size_t n)
{
    size_t columns = server->c->columns, at = (size_t)(s->tail % QUEUE_TOKENS);
    if (at + n <= QUEUE_TOKENS)
        return s->frames + at * columns;
    size_t first = QUEUE_TOKENS - at;
    memcpy(server->frames, s->frames + at * columns, first * columns * sizeof(float));
    memcpy(server->frames + first * columns, s->frames, (n - first) * columns * sizeof(float));
    return server->frames;
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

static void answer(struct stream *s, const struct at_classifier *c, float snr_db)
{
    at_verdict_answer(&s->verdict, c->model, s->backend, snr_db, &s->answer);
    soften_noise(&s->answer);
}

static void decide(struct stream *s, const struct at_classifier *c)
{
    const struct at_candidate *k = &c->state.candidates[s->candidate];
    float logits[AT_MAX_CLASSES];
    at_session_logits(s->session, logits);
    at_verdict_add(&s->verdict, c->model, k->backend, logits, s->snr_db,
                   (double)at_session_tokens(s->session), (double)s->pace.new_tokens);
    memcpy(s->backend, k->backend, sizeof(s->backend));
    answer(s, c, s->snr_db);
    snprintf(s->mode, sizeof(s->mode), "%s", at_mode_name(k->mode));
    s->window = k->window;
}

/* A session fit for the chunk. A run that begins anew takes what the selector wants now. Lock held.
 */
static int ready_session(struct at_classifier *c, struct stream *s, bool reset)
{
    int wanted = s->r->inline_ ? c->file_choice : c->state.choice.index;
    if (s->session && reset && s->candidate != wanted)
        at_sessions_release(c, s);
    if (s->session)
        return 0;
    return at_sessions_acquire(c, s);
}

/* When the samples came that made this decision due: the newest token's; where the emission's end
 * or a new run asks for it, those that showed that, half a second of silence later. Lock held. */
static int64_t due_at(const struct stream *s, const struct at_chunk *chunk)
{
    int64_t due_ns = s->delivered_ns;
    if (chunk->n == 0 && s->head > s->tail)
        due_ns = s->marks[s->tail % QUEUE_TOKENS].delivered_ns;
    else if (s->ended)
        due_ns = s->closed_ns;
    return due_ns > s->delivered_ns ? due_ns : s->delivered_ns;
}

/* Figures of a decision that was due at due_ns, lock held. */
static void count_decision(struct at_classifier *c, struct stream *s, int64_t due_ns,
                           int64_t start_ns, int64_t now_ns)
{
    const struct at_receiver *r = s->r;
    double took_ms = (double)(now_ns - start_ns) / 1e6;
    s->inference_ms = (float)took_ms;
    c->stats.decisions++;
    if (c->state.budget_ms > 0 && took_ms > c->state.budget_ms)
        c->stats.budget_exceeded++;
    at_figures_add(&c->inference, took_ms);
    if (r->live && s->candidate == c->state.choice.index)
        at_figures_add(&c->current, took_ms);
    double stream_s = ((double)s->pace.last_index - (double)s->emission.start) / r->rate_hz;
    if (r->live && s->delivered_ns > 0) {
        s->latency_ms = (float)((double)(now_ns - due_ns) / 1e6);
        at_figures_add(&c->latency, (double)s->latency_ms);
        stream_s += (double)(now_ns - s->delivered_ns) / 1e9;
    }
    if (s->pace.decisions == 1)
        s->first_decision_s = (float)fmax(stream_s, 0);
    s->served_ns = now_ns;
}

/* The chunk itself: session, verdict and pace are this thread's while the stream is busy. No lock
 * held. */
static void run_chunk(struct stream *s, struct server *server, const struct at_chunk *chunk)
{
    const struct at_classifier *c = server->c;
    if (chunk->reset) {
        at_session_reset(s->session);
        s->pace.run_tokens = 0;
    }
    if (chunk->n > 0) {
        at_session_push(s->session, server->worker, rows_of(s, server, chunk->n), chunk->n,
                        c->columns);
        s->pace.run_tokens += chunk->n;
        s->pace.new_tokens += chunk->n;
        s->seen += chunk->n;
    }
    if (chunk->decide && s->session) {
        decide(s, c);
        s->pace.decisions++;
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
        s->starved = c->generation;
        return s->ended;
    }
    s->starved = c->generation;
    return false;
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

bool at_stream_serve(struct stream *s, struct server *server)
{
    struct at_classifier *c = server->c;
    struct at_chunk chunk = at_stream_plan(s);
    if (chunk.n == 0 && !chunk.decide && !chunk.done)
        return false;
    s->busy = true;
    int error = chunk.n > 0 ? ready_session(c, s, chunk.reset) : 0;
    if (error < 0) {
        s->busy = false;
        return starve(c, s, error);
    }
    s->starved = 0;
    if (chunk.n > 0) {
        const struct at_mark *newest = &s->marks[(s->tail + chunk.n - 1) % QUEUE_TOKENS];
        s->snr_db = newest->snr_db;
        s->delivered_ns = newest->delivered_ns;
        s->seen_index = newest->index;
    }
    if (chunk.decide)
        s->pace.last_index = s->seen_index;
    bool decided = chunk.decide && s->session;
    int64_t due_ns = due_at(s, &chunk);
    pthread_mutex_unlock(&c->lock);

    int64_t start_ns = at_clock_mono_ns();
    run_chunk(s, server, &chunk);
    int64_t now_ns = at_clock_mono_ns();

    pthread_mutex_lock(&c->lock);
    s->tail += chunk.n;
    c->stats.tokens += chunk.n;
    c->busy_ns += now_ns - start_ns;
    c->generation++;
    if (chunk.decide) {
        s->pace.new_tokens = 0;
        if (decided)
            count_decision(c, s, due_ns, start_ns, now_ns);
    }
    bool done = s->ended && s->head == s->tail && s->pace.new_tokens == 0;
    if (decided || done) {
        struct at_result result;
        if (done && s->pace.decisions > 0) /* the tracker's last word on the SNR */
            answer(s, c, s->emission.snr_db);
        at_stream_result(s, &result);
        result.emission.ended = done;
        pthread_mutex_unlock(&c->lock);
        at_receiver_publish(s->r, &result);
        pthread_mutex_lock(&c->lock);
    }
    if (done)
        at_stream_drop(s);
    else
        s->busy = false;
    if (!done && s->r->closing)
        pthread_cond_broadcast(&c->idle);
    return !done;
}

/* ---- threads ---- */

/* Lock held. The next stream to serve; NULL: wait. */
static struct stream *pick(struct at_classifier *c)
{
    size_t n = 0;
    for (struct stream *s = c->streams; s && n < c->max_tasks; s = s->next) {
        if (s->r->inline_ || s->r->closing || s->busy || (s->head == s->tail && !s->ended) ||
            s->starved == c->generation)
            continue;
        struct at_chunk chunk = at_stream_plan(s);
        c->task_streams[n] = s;
        c->tasks[n++] = (struct at_task){.runnable = chunk.n > 0 || chunk.decide || chunk.done,
                                         .fresh = s->pace.decisions == 0,
                                         .serial = s->serial,
                                         .served = s->served_ns};
    }
    size_t i = at_sched_pick(c->tasks, n);
    return i == AT_NO_TASK ? NULL : c->task_streams[i];
}

static void *work(void *arg)
{
    struct server *server = arg;
    struct at_classifier *c = server->c;
    at_cpu_flush_denormals();
    /* Below the threads that take samples: a late decision can be made up, a lost sample cannot. */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 5);
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        struct stream *s = pick(c);
        if (!s) {
            pthread_cond_wait(&c->work, &c->lock);
            continue;
        }
        at_stream_serve(s, server);
        at_choose_again(c, at_clock_mono_ns());
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int at_server_init(struct at_classifier *c, struct server *s, struct at_error *err)
{
    *s = (struct server){.c = c};
    s->frames = at_mem_array(c->mem, AT_MEM_WORKSPACE, AT_PACE_NEXT * c->columns, sizeof(float));
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
