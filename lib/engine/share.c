/* What classifiers that count their memory together owe each other: what one frees may be what
 * another's streams wait for, and sessions that one keeps spare are not to starve another.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/engine/internal.h"

#define MEMBERS_MAX 16

/* Its lock is taken before those of classifiers, one of them at a time. */
struct at_share {
    pthread_mutex_t lock;
    struct at_classifier *members[MEMBERS_MAX];
    size_t n;
};

int at_share_create(struct at_error *err, struct at_share **ret_share)
{
    struct at_share *s = calloc(1, sizeof(*s));
    if (!s)
        return at_error_set(err, -ENOMEM, "out of memory");
    pthread_mutex_init(&s->lock, NULL);
    *ret_share = s;
    return 0;
}

void at_share_destroy(struct at_share *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int at_share_join(struct at_share *s, struct at_classifier *c, struct at_error *err)
{
    int ret = 0;
    if (!s)
        return 0;
    pthread_mutex_lock(&s->lock);
    if (s->n == MEMBERS_MAX)
        ret = at_error_set(err, -E2BIG, "more than %d models at once", MEMBERS_MAX);
    else
        s->members[s->n++] = c;
    pthread_mutex_unlock(&s->lock);
    c->share = ret == 0 ? s : NULL;
    return ret;
}

/* Streams that found no room ask again. */
static void wake(struct at_classifier *c)
{
    c->generation++;
    pthread_cond_broadcast(&c->work);
}

/* For one that freed something, or lacks something; the share's lock held. Whether the others gave
 * anything up. */
static bool tell_others(const struct at_share *s, const struct at_classifier *c, bool freed,
                        bool lacks)
{
    bool got = false;
    for (size_t i = 0; i < s->n; i++) {
        struct at_classifier *other = s->members[i];
        if (other == c)
            continue;
        pthread_mutex_lock(&other->lock);
        if (lacks && other->n_spare > 0) {
            at_sessions_drop_spares(other);
            other->freed = false; /* it is told of here */
            got = true;
        }
        if (freed)
            wake(other);
        pthread_mutex_unlock(&other->lock);
    }
    return got;
}

void at_share_leave(struct at_classifier *c)
{
    struct at_share *s = c->share;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->members[i] != c)
            s->members[n++] = s->members[i];
    s->n = n;
    tell_others(s, c, true, false);
    pthread_mutex_unlock(&s->lock);
    c->share = NULL;
}

bool at_share_settle(struct at_classifier *c)
{
    bool freed = c->freed, lacks = c->lacks;
    c->freed = c->lacks = false;
    if (!c->share || (!freed && !lacks))
        return false;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_lock(&c->share->lock);
    bool got = tell_others(c->share, c, freed, lacks);
    pthread_mutex_unlock(&c->share->lock);
    pthread_mutex_lock(&c->lock);
    if (got)
        wake(c);
    return true;
}
