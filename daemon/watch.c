/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/watch.h"

#include <stdio.h>
#include <string.h>

void at_watch_mark(struct at_watch *w, const char *name, bool has_work, uint64_t turns,
                   int64_t now_ns)
{
    struct at_stage *s = NULL;
    for (size_t i = 0; i < w->n; i++)
        if (!strcmp(w->stages[i].name, name))
            s = &w->stages[i];
    if (!s) {
        if (w->n == AT_WATCH_STAGES)
            return;
        s = &w->stages[w->n++];
        snprintf(s->name, sizeof s->name, "%s", name);
        s->moved_ns = now_ns;
        s->turns = turns;
    }
    if (!has_work || turns != s->turns)
        s->moved_ns = now_ns;
    s->turns = turns;
    s->marked_ns = now_ns;
}

void at_watch_mark_models(struct at_watch *w, const struct at_view *v, int64_t now_ns)
{
    for (size_t m = 0; m < at_view_models(v); m++) {
        char stage[sizeof w->stages[0].name] = "classifier";
        if (m > 0) /* names of models may be alike */
            snprintf(stage, sizeof stage, "classifier %u (%.20s)", (unsigned)m + 1,
                     at_view_model(v, m)->name);
        at_watch_mark(w, stage, at_view_has_work(v, m), v->each[m].decisions + v->each[m].tokens,
                      now_ns);
    }
}

void at_watch_drop(struct at_watch *w, const char *prefix, int64_t now_ns)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        if (strncmp(w->stages[i].name, prefix, strlen(prefix)) || w->stages[i].marked_ns == now_ns)
            w->stages[n++] = w->stages[i];
    w->n = n;
}

const char *at_watch_stuck(const struct at_watch *w, int64_t now_ns)
{
    for (size_t i = 0; i < w->n; i++)
        if (now_ns - w->stages[i].moved_ns > w->limit_ns)
            return w->stages[i].name;
    return NULL;
}
