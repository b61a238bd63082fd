/* Prometheus text 0.0.4: counters and histograms kept here, gauges read from a view.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_METRICS_H
#define AT_DAEMON_METRICS_H

#include "daemon/events.h"
#include "daemon/view.h"
#include "lib/base/buf.h"

enum at_counter {
    AT_COUNT_EMISSIONS, /* radio, band, class */
    AT_COUNT_DECISIONS, /* backend */
    AT_COUNT_SELECTOR,  /* from, to, reason */
    AT_COUNT_HTTP,      /* route, code */
    AT_COUNT_SSE_DROPPED,
    AT_COUNTERS,
};

enum at_hist {
    AT_HIST_INFERENCE, /* backend */
    AT_HIST_LATENCY,
    AT_HIST_FIRST,
    AT_HISTOGRAMS,
};

struct at_metrics;
struct at_metrics *at_metrics_create(void); /* NULL: no memory */
void at_metrics_destroy(struct at_metrics *m);

/* Adds one to the series with these label values (as many as the counter has; NULL: ""). Labels
 * never grow without a bound: past as many series as any configuration can bring they are counted
 * as "other". Any thread. */
void at_metrics_count(struct at_metrics *m, enum at_counter which, const char *a, const char *b,
                      const char *c);
uint64_t at_metrics_get(struct at_metrics *m, enum at_counter which, const char *a, const char *b,
                        const char *c);
/* Drops the emissions of bands that are in the configuration no more, so that reloads do not add
 * up. Any thread. */
void at_metrics_forget_bands(struct at_metrics *m, const struct at_config *now);
/* label: value of the histogram's only label, NULL where it has none. */
void at_metrics_observe(struct at_metrics *m, enum at_hist which, const char *label,
                        double seconds);

/* How the newest reload ended. */
void at_metrics_set_reload(struct at_metrics *m, bool ok);

/* Another part of the page: write is called with ctx for each page, in any thread, until it is set
 * to NULL. */
void at_metrics_set_more(struct at_metrics *m, void (*write)(void *ctx, struct at_buf *out),
                         void *ctx);

/* The whole page. 0 or out's failure. */
int at_metrics_write(struct at_metrics *m, const struct at_view *v, struct at_buf *out);

#endif
