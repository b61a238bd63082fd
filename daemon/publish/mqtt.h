/* Results for home automation: ended emissions, radios and bands as JSON on an MQTT broker, with
 * Home Assistant's discovery. Best effort: bounded, paced, and no audit trail (docs/mqtt.md).
 *
 * One thread of its own reads the event ring and speaks to the broker; nothing else ever waits for
 * it. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_PUBLISH_MQTT_H
#define AT_DAEMON_PUBLISH_MQTT_H

#include "daemon/events.h"
#include "daemon/view.h"
#include "lib/config/config.h"

struct at_mqtt;

/* Reads and checks what the configuration says of the broker, without a connection. 0 (also where
 * none is configured), or -EINVAL, -ENOENT, -ENOTSUP (built without libmosquitto) with err. Any
 * thread. */
int at_mqtt_check(const struct at_config *c, struct at_error *err);

/* config, events: borrowed, as is the view's ctx; get_view is called from the thread. Where no
 * broker is configured *ret_mqtt is NULL. A broker that does not answer is no failure: it is tried
 * again. 0 or negative errno with err. */
int at_mqtt_start(const struct at_config *c, struct at_events *events,
                  void (*get_view)(void *ctx, struct at_view *ret), void *ctx, struct at_error *err,
                  struct at_mqtt **ret_mqtt);
/* Says offline, leaves, waits for the thread (at most a second or so). NULL is fine. */
void at_mqtt_stop(struct at_mqtt *m);

/* The counters as Prometheus text; ctx: the at_mqtt. Any thread. */
void at_mqtt_write_metrics(void *ctx, struct at_buf *out);

#endif
