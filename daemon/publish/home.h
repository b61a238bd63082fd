/* Topics and payloads of MQTT: what is said of emissions, radios and bands, and how Home Assistant
 * is told of them. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_PUBLISH_HOME_H
#define AT_DAEMON_PUBLISH_HOME_H

#include "daemon/publish/outbox.h"
#include "daemon/view.h"

#define AT_HOME_MAX_KNOWN 1024
#define AT_HOME_OBJECT    128 /* radio, band and class as a name for Home Assistant */

struct at_home {
    const char *topic, *prefix, *node; /* prefix NULL: no discovery; borrowed */
    const char *site;
    struct at_outbox *out;
    char (*known)[AT_HOME_OBJECT]; /* what Home Assistant was told of in this connection */
    size_t n_known;
    bool full; /* more than there is room for, which has been logged */
};

/* Whatever has been told is told again, as a broker that comes back may have forgotten it. */
void at_home_forget(struct at_home *h);
/* json: an emission of the API. One that is alive, or without radio or band, is passed over. */
void at_home_emission(struct at_home *h, const char *json);
/* json: a radio of the API. */
void at_home_radio(struct at_home *h, const char *json);
/* Whether the band is occupied, how much, and its floor. */
void at_home_band(struct at_home *h, const struct at_radio_view *r, const struct at_band_view *b);

#endif
