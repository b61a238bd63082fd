/* One push over several threads. Piece c of the tokens goes through all layers on thread c mod n;
 * attention at a layer takes the pieces in their order, because the cache does, so that piece c is
 * at layer i + 1 while piece c + 1 is at layer i. The arithmetic is that of one thread.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <pthread.h>
#include <string.h>

#include "lib/base/cpu.h"
#include "lib/model/encoder_impl.h"

/* A push is cut into about this many pieces per thread, of PIECE_MIN to 256 tokens: more leave less
 * idle at both ends, longer ones use the weights in the cache oftener. */
#define PIECES    4
#define PIECE_MIN 64
#define MAX_TEAM  64

struct member {
    struct at_team *team;
    struct at_worker *worker;
    pthread_t thread;
    unsigned index;
    bool started;
};

struct at_team {
    struct at_mem *mem;
    const struct at_encoder *encoder;
    unsigned n;
    struct member members[MAX_TEAM];
    _Atomic size_t *turns; /* (n_layers + 1): pieces that are through attention, and pooled */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t job; /* rises with each push */
    unsigned busy;
    bool stop;
    /* the push */
    struct at_session *session;
    const float *frames;
    size_t tokens, stride, piece;
};

/* The pieces of one member. */
static void run_pieces(struct member *m)
{
    const struct at_team *t = m->team;
    struct at_worker *w = m->worker;
    size_t layers = t->encoder->model->config.n_layers;
    for (size_t c = m->index; c * t->piece < t->tokens; c += t->n) {
        size_t at = c * t->piece, left = t->tokens - at;
        w->turn = c;
        w->spans[0] = (struct at_span){.session = t->session,
                                       .frames = t->frames + at * t->stride,
                                       .n = left < t->piece ? left : t->piece};
        at_encoder_pass(t->encoder, w, t->session->shape.mode, 1, w->spans[0].n, t->stride);
        at_turn_wait(w, layers);
        at_session_pool(t->session, w->y, w->spans[0].n);
        at_turn_pass(w, layers);
    }
}

static void *work(void *arg)
{
    struct member *m = arg;
    struct at_team *t = m->team;
    uint64_t seen = 0;
    at_cpu_flush_denormals();
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->stop && t->job == seen)
            pthread_cond_wait(&t->changed, &t->lock);
        if (t->stop)
            break;
        seen = t->job;
        pthread_mutex_unlock(&t->lock);
        run_pieces(m);
        pthread_mutex_lock(&t->lock);
        if (--t->busy == 0)
            pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static int start(struct at_team *t, const struct at_session_shape *shapes, size_t n_shapes,
                 struct at_error *err)
{
    for (unsigned i = 0; i < t->n; i++) {
        struct member *m = &t->members[i];
        *m = (struct member){.team = t, .index = i};
        int code = at_worker_create(t->encoder, shapes, n_shapes, err, &m->worker);
        if (code < 0)
            return code;
        m->worker->turns = t->turns;
        code = i ? -pthread_create(&m->thread, NULL, work, m) : 0;
        if (code < 0)
            return at_error_set(err, code, "cannot start thread %u of %u: %s", i + 1, t->n,
                                strerror(-code));
        m->started = i > 0;
    }
    return 0;
}

int at_team_create(const struct at_encoder *e, const struct at_session_shape *shapes,
                   size_t n_shapes, unsigned n_threads, struct at_error *err,
                   struct at_team **ret_team)
{
    if (n_threads < 1 || n_threads > MAX_TEAM)
        return at_error_set(err, -EINVAL, "%u threads for one session; 1 to %d can be had",
                            n_threads, MAX_TEAM);
    struct at_team *t = at_mem_alloc(e->mem, AT_MEM_OTHER, sizeof *t);
    if (!t)
        return at_error_set(err, -ENOMEM, "no memory for a team of %u threads", n_threads);
    t->mem = e->mem;
    t->encoder = e;
    t->n = n_threads;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    t->turns = at_mem_array(e->mem, AT_MEM_OTHER, e->model->config.n_layers + 1, sizeof *t->turns);
    int code = t->turns ? start(t, shapes, n_shapes, err)
                        : at_error_set(err, -ENOMEM, "no memory for a team of threads");
    if (code < 0) {
        at_team_destroy(t);
        return code;
    }
    *ret_team = t;
    return 0;
}

void at_team_destroy(struct at_team *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->n; i++) {
        if (t->members[i].started)
            pthread_join(t->members[i].thread, NULL);
        at_worker_destroy(t->members[i].worker);
    }
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    at_mem_free(t->mem, (void *)t->turns);
    at_mem_free(t->mem, t);
}

void at_team_push(struct at_team *t, struct at_session *s, const float *frames, size_t n,
                  size_t stride)
{
    size_t piece = (n + PIECES * t->n - 1) / (PIECES * t->n);
    piece = at_round_up(piece > PIECE_MIN ? piece : PIECE_MIN, AT_PANEL);
    piece = piece < s->chunk ? piece : s->chunk;
    if (t->n == 1 || n <= piece || t->encoder->model->config.mask == AT_MASK_NONE) {
        t->members[0].worker->turns = NULL;
        at_session_push(s, t->members[0].worker, frames, n, stride);
        t->members[0].worker->turns = t->turns;
        return;
    }
    for (size_t i = 0; i <= t->encoder->model->config.n_layers; i++)
        atomic_store_explicit(&t->turns[i], 0, memory_order_relaxed);
    pthread_mutex_lock(&t->lock);
    t->session = s;
    t->frames = frames;
    t->tokens = n;
    t->stride = stride;
    t->piece = piece;
    t->busy = t->n - 1;
    t->job++;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    run_pieces(&t->members[0]);
    pthread_mutex_lock(&t->lock);
    while (t->busy)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}
