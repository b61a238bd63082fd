/* Built without libmosquitto. SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/publish/mqtt.h"

int at_mqtt_check(const struct at_config *c, struct at_error *err)
{
    if (!c->publish.mqtt.broker[0])
        return 0;
    return at_error_set(
        err, -ENOTSUP,
        "publish.mqtt.broker: this attuned is built without libmosquitto; remove it");
}

int at_mqtt_start(const struct at_config *c, struct at_events *events,
                  void (*get_view)(void *ctx, struct at_view *ret), void *ctx, struct at_error *err,
                  struct at_mqtt **ret_mqtt)
{
    int r = at_mqtt_check(c, err);
    if (r == 0)
        *ret_mqtt = NULL;
    return r;
}

void at_mqtt_stop(struct at_mqtt *m)
{
}

void at_mqtt_write_metrics(void *ctx, struct at_buf *out)
{
}
