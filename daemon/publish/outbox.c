/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/publish/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int at_outbox_init(struct at_outbox *b, size_t max)
{
    *b = (struct at_outbox){.items = calloc(max, sizeof *b->items), .max = max};
    return b->items ? 0 : -ENOMEM;
}

void at_outbox_finish(struct at_outbox *b)
{
    while (b->n)
        at_outbox_pop(b);
    free(b->items);
    b->items = NULL;
}

static struct at_message *find(struct at_outbox *b, const char *topic)
{
    for (size_t i = 0; i < b->n; i++) {
        struct at_message *m = &b->items[(b->first + i) % b->max];
        if (m->replace && strcmp(m->topic, topic) == 0)
            return m;
    }
    return NULL;
}

void at_outbox_push(struct at_outbox *b, const char *topic, const char *payload, bool replace)
{
    struct at_message *m = replace ? find(b, topic) : NULL;
    char *text = strdup(payload), *name = m ? m->topic : strdup(topic);
    if (!text || !name) {
        free(text);
        if (!m)
            free(name);
        b->dropped++;
        return;
    }
    if (m) {
        free(m->payload);
        m->payload = text;
        return;
    }
    if (b->n == b->max) {
        at_outbox_pop(b);
        b->dropped++;
    }
    struct at_message *last = &b->items[(b->first + b->n++) % b->max];
    last->topic = name;
    last->payload = text;
    last->replace = replace;
}

const struct at_message *at_outbox_peek(const struct at_outbox *b)
{
    return b->n ? &b->items[b->first] : NULL;
}

void at_outbox_pop(struct at_outbox *b)
{
    struct at_message *m = &b->items[b->first];
    free(m->topic);
    free(m->payload);
    *m = (struct at_message){0};
    b->first = (b->first + 1) % b->max;
    b->n--;
}

bool at_pace_take(struct at_pace *p, int64_t now_ns)
{
    double full = p->rate * 2 > 1 ? p->rate * 2 : 1;
    if (p->last_ns)
        p->tokens += p->rate * (double)(now_ns - p->last_ns) / 1e9;
    else
        p->tokens = full;
    p->last_ns = now_ns;
    if (p->tokens > full)
        p->tokens = full;
    if (p->tokens < 1)
        return false;
    p->tokens -= 1;
    return true;
}
