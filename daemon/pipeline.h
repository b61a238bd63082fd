/* From the configuration to results: one thread per radio pulls its source through a receiver;
 * results, rows and changes of state go to the store, the rings and the counters.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_PIPELINE_H
#define AT_DAEMON_PIPELINE_H

#include "daemon/events.h"
#include "daemon/history/history.h"
#include "daemon/iqring.h"
#include "daemon/metrics.h"
#include "daemon/rows.h"
#include "daemon/store.h"
#include "daemon/view.h"
#include "daemon/watch.h"
#include "lib/config/config.h"

/* Where results go; borrowed, outlives the pipeline. */
struct at_outlets {
    struct at_store *store;
    struct at_events *events;
    struct at_metrics *metrics;
    struct at_rows *rows;
    struct at_history *history; /* NULL: none */
};

struct at_pipeline;

/* config, outlets: borrowed. once: files that cannot be read are given up instead of tried again.
 */
int at_pipeline_create(const struct at_config *config, const struct at_outlets *outlets, int once,
                       struct at_error *err, struct at_pipeline **ret_pipeline);
/* Stops the radios, waits for their threads, frees. NULL is fine. */
void at_pipeline_destroy(struct at_pipeline *p);

/* Loads the model, calibrates, then starts the radios, in a thread of its own: returns at once. */
int at_pipeline_start(struct at_pipeline *p, struct at_error *err);

enum at_pipeline_phase { AT_PIPELINE_LOADING, AT_PIPELINE_RUNNING, AT_PIPELINE_FAILED };
/* FAILED: the model could not be used; err says why. Any thread. */
enum at_pipeline_phase at_pipeline_get_phase(struct at_pipeline *p, struct at_error *err);
/* 1: every radio is a file that has ended; 2: likewise, but one could not be read; 0: not yet. */
int at_pipeline_done(struct at_pipeline *p);

/* Looks for changes (radio states, losses, the selector's choice), logs, counts and publishes them;
 * marks the stages of the watchdog. Called by the supervisor, a few times a second. */
void at_pipeline_poll(struct at_pipeline *p, struct at_watch *w);
/* ctx: the pipeline. Any thread. */
void at_pipeline_get_view(void *ctx, struct at_view *ret);

/* Puts next in the place of now: radios of now without keep are stopped and waited for, those of
 * next with start are started; site and budget follow. -EAGAIN: the model is not loaded yet,
 * -ENOMEM: then nothing has changed. One at a time, any thread. */
int at_pipeline_apply(struct at_pipeline *p, const struct at_config *now,
                      const struct at_config *next, const bool *keep, const bool *start,
                      struct at_error *err);

/* See at_api.get_iq; ctx: the pipeline. Any thread. */
int at_pipeline_get_iq(void *ctx, const struct at_result *e, double margin_s,
                       struct at_iq_piece *ret);
/* The classifier; NULL while it loads. It lives as long as the pipeline. ctx: the pipeline. */
struct at_classifier *at_pipeline_get_classifier(void *ctx);
/* A budget until the next start or reload; 0: as it is. -EAGAIN: the model is not loaded yet. */
int at_pipeline_set_budget(void *ctx, double latency_ms, double kv_mb, struct at_error *err);

/* The classifier's settings out of the configuration; threads: workers. */
struct at_classifier_config at_pipeline_classifier_config(const struct at_config *config,
                                                          unsigned threads);

#endif
