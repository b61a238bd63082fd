/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/engine/scheduler.h"

static bool due(const struct at_pace *p, uint64_t new_tokens, uint64_t index)
{
    if (p->decisions == 0)
        return new_tokens >= AT_PACE_FIRST;
    return new_tokens >= AT_PACE_NEXT && index - p->last_index >= p->interval;
}

/* The waiting tokens from the i-th on that can be pushed with those before it. */
static size_t rest_of_push(const struct at_mark *marks, size_t cap, uint64_t tail, size_t i,
                           size_t n)
{
    while (i < n && i < AT_PACE_NEXT && !marks[(tail + i) % cap].new_run)
        i++;
    return i;
}

struct at_chunk at_pace_plan(const struct at_pace *p, const struct at_mark *marks, size_t cap,
                             uint64_t tail, size_t n, bool ended, int64_t late_ns)
{
    struct at_chunk chunk = {0};
    if (n == 0) {
        chunk.decide = ended && p->new_tokens > 0;
        chunk.done = ended && !chunk.decide;
        return chunk;
    }
    if (marks[tail % cap].new_run && p->run_tokens > 0) {
        /* What the ending run has told is said before it is forgotten. */
        if (p->new_tokens >= AT_PACE_FIRST) {
            chunk.decide = true;
            return chunk;
        }
        chunk.reset = true;
    }
    size_t i = 0;
    while (i < n && i < AT_PACE_NEXT) {
        const struct at_mark *m = &marks[(tail + i) % cap];
        if (i > 0 && m->new_run) {
            chunk.n = i;
            return chunk;
        }
        i++;
        if (due(p, p->new_tokens + i, m->index)) {
            chunk.n = m->delivered_ns < late_ns ? rest_of_push(marks, cap, tail, i, n) : i;
            chunk.decide = chunk.n == i || chunk.n == n || marks[(tail + chunk.n) % cap].new_run;
            return chunk;
        }
    }
    if (i == AT_PACE_NEXT || ended) {
        chunk.n = i;
        chunk.decide = ended && i == n;
        return chunk;
    }
    return (struct at_chunk){0};
}

size_t at_pace_stale(const struct at_mark *marks, size_t cap, uint64_t tail, size_t n,
                     int64_t late_ns)
{
    if (n < AT_RUN_MIN || marks[(tail + AT_PACE_NEXT - 1) % cap].queued_ns >= late_ns)
        return 0;
    for (size_t i = n; i-- > 1;)
        if (marks[(tail + i) % cap].new_run)
            return i;
    return n;
}

size_t at_supply_room(struct at_supply *s, uint64_t now, double rate, double burst, size_t resume,
                      size_t space)
{
    if (now > s->index) {
        s->tokens += (double)(now - s->index) * rate;
        s->index = now;
        if (s->tokens > burst)
            s->tokens = burst;
    }
    size_t room = s->tokens >= 1 ? (size_t)s->tokens : 0;
    if (room > space)
        room = space;
    if (!s->open && room < resume)
        room = 0;
    if (room == 0)
        s->open = false;
    s->offered = room;
    return room;
}

void at_supply_take(struct at_supply *s, size_t n)
{
    s->tokens -= (double)n;
    s->open = n > 0 && n < s->offered;
}

static bool before(const struct at_task *a, const struct at_task *b)
{
    if (a->watched != b->watched)
        return a->watched;
    if (a->fresh != b->fresh)
        return a->fresh;
    if (!a->fresh && a->served != b->served)
        return a->served < b->served;
    return a->serial < b->serial;
}

size_t at_sched_pick(const struct at_task *tasks, size_t n)
{
    size_t best = AT_NO_TASK;
    for (size_t i = 0; i < n; i++)
        if (tasks[i].runnable && (best == AT_NO_TASK || before(&tasks[i], &tasks[best])))
            best = i;
    return best;
}

static bool rather_cut(const struct at_task *a, const struct at_task *b)
{
    return a->watched != b->watched ? b->watched : a->served > b->served;
}

size_t at_sched_victim(const struct at_task *tasks, size_t n, bool for_watched)
{
    size_t best = AT_NO_TASK;
    for (size_t i = 0; i < n; i++) {
        const struct at_task *t = &tasks[i];
        if (!t->has_session || t->busy || t->fresh || (t->run_tokens < AT_RUN_MIN && t->queued > 0))
            continue;
        if (t->watched && !for_watched)
            continue;
        if (best == AT_NO_TASK || rather_cut(t, &tasks[best]))
            best = i;
    }
    return best;
}

#define TOGETHER_SHARE 20 /* of the budget */

size_t at_sched_together(size_t waiting, unsigned n_threads, double each_ms, double budget_ms)
{
    size_t n = (waiting + n_threads - 1) / n_threads;
    double most = budget_ms / TOGETHER_SHARE / each_ms;
    if (each_ms > 0 && budget_ms > 0 && (double)n > most)
        n = (size_t)most;
    return n > 0 ? n : 1;
}
