/* A new configuration for a running daemon: what may differ, what it means for each radio, and how
 * it is put in force. All of it happens, or nothing.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_RELOAD_H
#define AT_DAEMON_RELOAD_H

#include "daemon/pipeline.h"
#include "lib/config/config.h"

struct at_reload_plan {
    bool keep[AT_CONFIG_MAX_RADIOS];  /* by the old one's radios: they go on without a gap */
    bool start[AT_CONFIG_MAX_RADIOS]; /* by the new one's */
    unsigned n_kept, n_stopped, n_started;
};

/* Compares; pure. -EBUSY with err: a key differs that only a restart changes (err names it and says
 * so). A radio is kept where all its keys are as they were, under the same name. */
int at_reload_plan(const struct at_config *now, const struct at_config *next, struct at_error *err,
                   struct at_reload_plan *ret_plan);

struct at_reloader;
/* now: the configuration in force, borrowed, as is path. NULL: no memory. */
struct at_reloader *at_reloader_create(const char *path, const struct at_config *now,
                                       struct at_pipeline *p, struct at_metrics *m);
void at_reloader_destroy(struct at_reloader *r);
/* Reads the file, checks, applies, logs, counts. 0, or negative errno with err: all is as it was.
 * ctx: the reloader. Waits for radios that are to stop. Any thread, one at a time (others wait). */
int at_reloader_run(void *ctx, struct at_error *err, struct at_reload_plan *ret_plan);

#endif
