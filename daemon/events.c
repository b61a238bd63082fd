/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/events.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

struct entry {
    uint64_t seq; /* 0: empty */
    enum at_event_type type;
    char *json;
};

struct ring {
    struct entry *entries; /* (n) */
    size_t n;
    uint64_t next; /* sequence number of the next one, from 1 */
};

struct at_events {
    pthread_mutex_t lock;
    struct ring main, rows;
    _Atomic uint64_t version;
    _Atomic unsigned wanted[AT_EVENT_TYPES];
    _Atomic unsigned readers;
};

static const char *const names[AT_EVENT_TYPES] = {"emission", "decision", "selector", "radio",
                                                  "spectrum"};

unsigned at_event_mask(const char *list)
{
    if (!list)
        return (1u << AT_EVENT_TYPES) - 1;
    unsigned mask = 0;
    while (*list) {
        size_t n = strcspn(list, ",");
        int found = -1;
        for (int i = 0; i < AT_EVENT_TYPES; i++)
            if (strlen(names[i]) == n && !strncmp(names[i], list, n))
                found = i;
        if (found < 0)
            return 0;
        mask |= 1u << found;
        list += n + (list[n] == ',');
    }
    return mask;
}

struct at_events *at_events_create(size_t n, size_t n_rows)
{
    struct at_events *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    pthread_mutex_init(&e->lock, NULL);
    e->main = (struct ring){.entries = calloc(n, sizeof(struct entry)), .n = n, .next = 1};
    e->rows =
        (struct ring){.entries = calloc(n_rows, sizeof(struct entry)), .n = n_rows, .next = 1};
    if (!e->main.entries || !e->rows.entries) {
        at_events_destroy(e);
        return NULL;
    }
    return e;
}

static void ring_finish(struct ring *r)
{
    for (size_t i = 0; r->entries && i < r->n; i++)
        free(r->entries[i].json);
    free(r->entries);
}

void at_events_destroy(struct at_events *e)
{
    if (!e)
        return;
    ring_finish(&e->main);
    ring_finish(&e->rows);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void at_events_publish(struct at_events *e, enum at_event_type type, const char *json)
{
    char *copy = json && strlen(json) <= AT_EVENT_MAX_BYTES ? strdup(json) : NULL;
    if (!copy)
        at_log(AT_LOG_WARN, NULL, "an event (%s) is left out: %s", names[type],
               json && strlen(json) > AT_EVENT_MAX_BYTES ? "it is too long" : "no memory for it");
    pthread_mutex_lock(&e->lock);
    struct ring *r = type == AT_EVENT_SPECTRUM ? &e->rows : &e->main;
    struct entry *slot = &r->entries[r->next % r->n];
    free(slot->json);
    /* Without memory the entry stands empty: readers pass over it. */
    *slot = (struct entry){.seq = r->next++, .type = type, .json = copy};
    atomic_fetch_add(&e->version, 1);
    pthread_mutex_unlock(&e->lock);
}

bool at_events_wanted(const struct at_events *e, enum at_event_type type)
{
    return atomic_load(&e->wanted[type]) > 0;
}

void at_events_subscribe(struct at_events *e, unsigned mask, uint64_t last_id,
                         struct at_event_cursor *ret)
{
    pthread_mutex_lock(&e->lock);
    *ret = (struct at_event_cursor){.next = e->main.next, .next_row = e->rows.next, .mask = mask};
    uint64_t oldest = e->main.next > e->main.n ? e->main.next - e->main.n : 1;
    if (last_id && last_id < e->main.next)
        ret->next = last_id + 1 < oldest ? oldest : last_id + 1;
    for (int i = 0; i < AT_EVENT_TYPES; i++)
        if (mask & (1u << i))
            atomic_fetch_add(&e->wanted[i], 1);
    atomic_fetch_add(&e->readers, 1);
    pthread_mutex_unlock(&e->lock);
}

void at_events_unsubscribe(struct at_events *e, const struct at_event_cursor *c)
{
    for (int i = 0; i < AT_EVENT_TYPES; i++)
        if (c->mask & (1u << i))
            atomic_fetch_sub(&e->wanted[i], 1);
    atomic_fetch_sub(&e->readers, 1);
}

static int write_entry(struct at_buf *out, const struct entry *entry, bool with_id)
{
    if (with_id)
        at_buf_printf(out, "id: %llu\n", (unsigned long long)entry->seq);
    at_buf_printf(out, "event: %s\ndata: ", names[entry->type]);
    at_buf_add(out, entry->json, strlen(entry->json));
    at_buf_add(out, "\n\n", 2);
    return out->failed ? out->failed : 1;
}

/* The next wanted entry of the main ring, or 0. */
static int next_main(const struct ring *r, struct at_event_cursor *c, struct at_buf *out)
{
    while (c->next < r->next) {
        if (r->next - c->next > r->n)
            return -EPIPE;
        const struct entry *entry = &r->entries[c->next++ % r->n];
        if (entry->json && (c->mask & (1u << entry->type)))
            return write_entry(out, entry, true);
    }
    return 0;
}

/* Rows are skipped, not owed: a slow reader sees fewer of them. */
static int next_row(const struct ring *r, struct at_event_cursor *c, struct at_buf *out)
{
    if (!(c->mask & (1u << AT_EVENT_SPECTRUM)))
        return 0;
    if (r->next - c->next_row > r->n)
        c->next_row = r->next - r->n;
    while (c->next_row < r->next) {
        const struct entry *entry = &r->entries[c->next_row++ % r->n];
        if (entry->json)
            return write_entry(out, entry, false);
    }
    return 0;
}

int at_events_next(struct at_events *e, struct at_event_cursor *c, struct at_buf *out)
{
    pthread_mutex_lock(&e->lock);
    int rc = next_main(&e->main, c, out);
    if (!rc)
        rc = next_row(&e->rows, c, out);
    pthread_mutex_unlock(&e->lock);
    return rc;
}

uint64_t at_events_version(const struct at_events *e)
{
    return atomic_load(&e->version);
}

unsigned at_events_readers(const struct at_events *e)
{
    return atomic_load(&e->readers);
}
