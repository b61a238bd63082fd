/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/store.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

struct slot {
    uint64_t seq; /* order of first sight, from 1; 0: empty */
    uint64_t touched;
    struct at_result result;
};

struct at_store {
    pthread_mutex_t lock;
    struct slot *active;       /* (n_active) */
    struct slot *ended;        /* (n_ended), a ring */
    const struct slot **order; /* (n_active + n_ended) scratch of find */
    size_t n_active, n_ended, next_ended;
    uint64_t seq, touches;
    struct at_store_stats stats;
};

struct at_store *at_store_create(size_t n_active, size_t n_ended)
{
    struct at_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->n_active = n_active;
    s->n_ended = n_ended;
    s->active = calloc(n_active, sizeof *s->active);
    s->ended = calloc(n_ended, sizeof *s->ended);
    s->order = calloc(n_active + n_ended, sizeof *s->order);
    if (!s->active || !s->ended || !s->order) {
        at_store_destroy(s);
        return NULL;
    }
    return s;
}

void at_store_destroy(struct at_store *s)
{
    if (!s)
        return;
    free(s->active);
    free(s->ended);
    free(s->order);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void at_store_set_last(struct at_store *s, uint64_t last)
{
    pthread_mutex_lock(&s->lock);
    s->seq = last;
    pthread_mutex_unlock(&s->lock);
}

/* The slot of this id, else an empty one, else the stalest. */
static struct slot *find_active(struct at_store *s, const char *id)
{
    struct slot *empty = NULL, *stalest = NULL;
    for (size_t i = 0; i < s->n_active; i++) {
        struct slot *slot = &s->active[i];
        if (!slot->seq) {
            if (!empty)
                empty = slot;
            continue;
        }
        if (!strcmp(slot->result.id, id))
            return slot;
        if (!stalest || slot->touched < stalest->touched)
            stalest = slot;
    }
    return empty ? empty : stalest;
}

uint32_t at_store_put(struct at_store *s, const struct at_result *r, uint64_t *ret_seq)
{
    pthread_mutex_lock(&s->lock);
    struct slot *slot = find_active(s, r->id);
    bool forgot = slot->seq && strcmp(slot->result.id, r->id);
    if (forgot) {
        s->stats.forgotten++;
        s->stats.active--;
        slot->seq = 0;
    }
    bool fresh = !slot->seq;
    if (fresh) {
        slot->seq = ++s->seq;
        s->stats.seen++;
        s->stats.active++;
    }
    *ret_seq = slot->seq;
    uint32_t known = fresh ? 0 : slot->result.decisions;
    slot->touched = ++s->touches;
    slot->result = *r;
    if (r->emission.ended) {
        s->ended[s->next_ended] = *slot;
        s->next_ended = (s->next_ended + 1) % s->n_ended;
        slot->seq = 0;
        s->stats.active--;
        s->stats.ended++;
    }
    pthread_mutex_unlock(&s->lock);
    if (forgot)
        at_log(AT_LOG_WARN, NULL,
               "more than %zu emissions are alive at once: the stalest is shown no more",
               s->n_active);
    return known;
}

int at_store_get(struct at_store *s, const char *id, struct at_result *ret, uint64_t *ret_seq)
{
    int rc = -ENOENT;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; rc && i < s->n_active + s->n_ended; i++) {
        const struct slot *slot = i < s->n_active ? &s->active[i] : &s->ended[i - s->n_active];
        if (slot->seq && !strcmp(slot->result.id, id)) {
            *ret = slot->result;
            *ret_seq = slot->seq;
            rc = 0;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static bool matches(const struct slot *slot, const struct at_store_query *q)
{
    const struct at_result *r = &slot->result;
    if (!slot->seq || (q->cursor && slot->seq >= q->cursor))
        return false;
    if (q->state != AT_STORE_ANY && (q->state == AT_STORE_ENDED) != r->emission.ended)
        return false;
    if (q->band && strcmp(q->band, r->band))
        return false;
    if (q->radio && strcmp(q->radio, r->radio))
        return false;
    if (q->class_name && (!r->has_answer || strcmp(q->class_name, r->answer.label)))
        return false;
    if (isfinite(q->min_snr_db) && !(r->emission.snr_db >= q->min_snr_db))
        return false;
    /* One that is alive reaches to now. */
    if (q->since_utc_ns &&
        (!r->start_utc_ns || (r->emission.ended && r->end_utc_ns < q->since_utc_ns)))
        return false;
    if (q->until_utc_ns && (!r->start_utc_ns || r->start_utc_ns >= q->until_utc_ns))
        return false;
    return true;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = (*(const struct slot *const *)a)->seq, y = (*(const struct slot *const *)b)->seq;
    return x < y ? 1 : x > y ? -1 : 0;
}

size_t at_store_find(struct at_store *s, const struct at_store_query *q, struct at_store_found *ret,
                     size_t max, uint64_t *ret_cursor)
{
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_active + s->n_ended; i++) {
        const struct slot *slot = i < s->n_active ? &s->active[i] : &s->ended[i - s->n_active];
        if (matches(slot, q))
            s->order[n++] = slot;
    }
    qsort(s->order, n, sizeof *s->order, newest_first);
    size_t taken = n < max ? n : max;
    for (size_t i = 0; i < taken; i++)
        ret[i] = (struct at_store_found){s->order[i]->seq, s->order[i]->result};
    *ret_cursor = taken && taken < n ? s->order[taken - 1]->seq : 0;
    pthread_mutex_unlock(&s->lock);
    return taken;
}

void at_store_get_stats(struct at_store *s, struct at_store_stats *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = s->stats;
    pthread_mutex_unlock(&s->lock);
}
