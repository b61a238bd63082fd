/* The text format and the gauges: what metrics.c does not keep itself.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_METRICS_TEXT_H
#define AT_DAEMON_METRICS_TEXT_H

#include "daemon/history/history.h"
#include "daemon/view.h"
#include "lib/base/buf.h"

struct at_label {
    const char *key, *value; /* value: any bytes, escaped here */
};

/* HELP and TYPE lines, once before the samples of a name. */
void at_metrics_head(struct at_buf *out, const char *name, const char *type, const char *help);
/* One sample; NAN and infinities as Prometheus writes them. */
void at_metrics_sample(struct at_buf *out, const char *name, const struct at_label *labels,
                       size_t n, double value);

void at_metrics_write_view(const struct at_view *v, struct at_buf *out);
void at_metrics_write_history(const struct at_history_stats *s, struct at_buf *out);
void at_metrics_write_process(const struct at_view *v, struct at_buf *out);

#endif
