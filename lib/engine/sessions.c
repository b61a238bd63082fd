/* Sessions of streams, within the KV budget: spare ones are used again, and when the budget is
 * spent one emission's session is given to another (scheduler.h says whose).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdatomic.h>

#include "lib/engine/internal.h"

static size_t counted(const struct at_mem *mem)
{
    return atomic_load(&mem->bytes[AT_MEM_KV]) + atomic_load(&mem->bytes[AT_MEM_POOL]) +
           atomic_load(&mem->bytes[AT_MEM_FRAMES]);
}

bool at_sessions_affords(const struct at_classifier *c, double bytes)
{
    return (double)counted(c->mem) + bytes <= c->budget_bytes;
}

static struct at_session *take_spare(struct at_classifier *c, int candidate)
{
    for (unsigned i = 0; i < c->n_spare; i++) {
        if (c->spare[i].candidate != candidate)
            continue;
        struct at_session *session = c->spare[i].session;
        c->spare[i] = c->spare[--c->n_spare];
        return session;
    }
    return NULL;
}

void at_sessions_drop_spares(struct at_classifier *c)
{
    c->freed |= c->n_spare > 0;
    while (c->n_spare > 0)
        at_session_destroy(c->spare[--c->n_spare].session);
}

/* Another stream's session of the same kind; NULL where none may be cut. */
static struct at_session *take_victim(struct at_classifier *c, int candidate, bool for_watched)
{
    size_t n = 0;
    for (struct stream *t = c->streams; t && n < c->max_tasks; t = t->next) {
        if (t->candidate != candidate || !t->session || t->heir)
            continue;
        c->task_streams[n] = t;
        c->tasks[n++] = (struct at_task){.has_session = true,
                                         .busy = t->busy,
                                         .fresh = t->pace.decisions == 0,
                                         .watched = t->watched,
                                         .served = t->served_ns,
                                         .run_tokens = t->pace.run_tokens,
                                         .queued = (size_t)(t->head - t->tail)};
    }
    size_t i = at_sched_victim(c->tasks, n, for_watched);
    if (i == AT_NO_TASK)
        return NULL;
    struct stream *t = c->task_streams[i];
    struct at_session *session = t->session;
    t->session = NULL;
    t->pace.run_tokens = 0;
    t->pace.new_tokens = 0;
    c->n_sessions--;
    return session;
}

/* A new one; lets go of the lock while it allocates. */
static int create(struct at_classifier *c, int candidate, struct at_session **ret_session)
{
    c->n_sessions++; /* so that two threads do not both find the first place free */
    pthread_mutex_unlock(&c->lock);
    int ret = at_session_create(c->encoder, &c->shapes[candidate], NULL, ret_session);
    pthread_mutex_lock(&c->lock);
    c->n_sessions--;
    return ret;
}

int at_sessions_acquire(struct at_classifier *c, struct stream *s)
{
    int candidate = at_choose_of(s->r);
    struct at_session *session = take_spare(c, candidate);
    double need = c->state.candidates[candidate].kv_bytes;
    if (!session && !at_sessions_affords(c, need))
        at_sessions_drop_spares(c);
    if (!session && c->n_sessions > 0 && !at_sessions_affords(c, need)) {
        c->lacks = true;
        session = take_victim(c, candidate, s->watched);
        if (!session)
            return -EAGAIN;
    }
    int ret = session ? 0 : create(c, candidate, &session);
    if (ret < 0)
        return ret;
    at_session_reset(session);
    c->n_sessions++;
    s->session = session;
    s->candidate = candidate;
    s->pace.run_tokens = 0;
    return 0;
}

/* Spare for another stream, where one may want it. */
static void put_back(struct at_classifier *c, struct at_session *session, int candidate)
{
    bool wanted = candidate == c->file_choice || at_choose_wants(c, candidate);
    if (c->n_spare < SPARE_MAX && wanted) {
        c->spare[c->n_spare].session = session;
        c->spare[c->n_spare++].candidate = candidate;
    } else {
        at_session_destroy(session);
    }
    c->n_sessions--;
    c->generation++;
    c->freed = true;
}

void at_sessions_drop_heir(struct at_classifier *c, struct stream *s)
{
    if (s->heir)
        put_back(c, s->heir, s->heir_candidate);
    s->heir = NULL;
}

void at_sessions_release(struct at_classifier *c, struct stream *s)
{
    at_sessions_drop_heir(c, s);
    if (s->session)
        put_back(c, s->session, s->candidate);
    s->session = NULL;
}

void at_sessions_add_heir(struct at_classifier *c, struct stream *s, int candidate)
{
    struct at_session *session = take_spare(c, candidate);
    if (!session && (!at_sessions_affords(c, c->state.candidates[candidate].kv_bytes) ||
                     create(c, candidate, &session) < 0))
        return; /* the run goes on as it is */
    at_session_reset(session);
    c->n_sessions++;
    s->heir = session;
    s->heir_candidate = candidate;
}

void at_sessions_switch(struct at_classifier *c, struct stream *s)
{
    put_back(c, s->session, s->candidate);
    s->session = s->heir;
    s->candidate = s->heir_candidate;
    s->heir = NULL;
}

void at_sessions_finish(struct at_classifier *c)
{
    at_sessions_drop_spares(c);
}
