/* The watchdog: a supervisor asks each stage whether it moves, and only then feeds systemd. A stage
 * with nothing to do counts as moving: a missing radio never starves it. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DAEMON_WATCH_H
#define AT_DAEMON_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/view.h"

#define AT_WATCH_STAGES (1 + AT_MAX_RADIOS + AT_MAX_MODELS) /* HTTP, radios, workers */

struct at_stage {
    char name[48];
    uint64_t turns;    /* as last marked */
    int64_t marked_ns; /* newest look */
    int64_t moved_ns;  /* when turns changed last, or there was no work */
};

/* Zero-initialised but for limit_ns is ready. Supervisor's thread only. */
struct at_watch {
    int64_t limit_ns; /* a stage with work that stands still longer is stuck */
    struct at_stage stages[AT_WATCH_STAGES];
    size_t n;
    int64_t fed_ns;
};

/* Marks a stage: whether it has work, and a count that rises while it does it. */
void at_watch_mark(struct at_watch *w, const char *name, bool has_work, uint64_t turns,
                   int64_t now_ns);
/* Marks the workers of each model as a stage of their own: some that stand still are seen though
 * those of another model move. */
void at_watch_mark_models(struct at_watch *w, const struct at_view *v, int64_t now_ns);
/* Forgets stages whose name begins so and that were not marked at now_ns: they are gone. */
void at_watch_drop(struct at_watch *w, const char *prefix, int64_t now_ns);
/* Name of a stage that is stuck, or NULL. */
const char *at_watch_stuck(const struct at_watch *w, int64_t now_ns);

#endif
