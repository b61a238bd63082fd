/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/watch.h"

#include <stdio.h>
#include <string.h>

#ifdef AT_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

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
}

const char *at_watch_stuck(const struct at_watch *w, int64_t now_ns)
{
    for (size_t i = 0; i < w->n; i++)
        if (now_ns - w->stages[i].moved_ns > w->limit_ns)
            return w->stages[i].name;
    return NULL;
}

#ifdef AT_HAVE_SYSTEMD

int64_t at_watch_interval_ns(void)
{
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)us * 500 : 0; /* half of what is asked */
}

void at_watch_ready(void)
{
    sd_notify(0, "READY=1");
}

void at_watch_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void at_watch_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

void at_watch_feed(void)
{
    sd_notify(0, "WATCHDOG=1");
}

#else

int64_t at_watch_interval_ns(void)
{
    return 0;
}

void at_watch_ready(void)
{
}

void at_watch_stopping(void)
{
}

void at_watch_status(const char *text)
{
}

void at_watch_feed(void)
{
}

#endif
