/* What a radio is set to: pure functions over a plain struct.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <string.h>

#include "lib/source/radio.h"

bool at_tuning_sets_gain(const struct at_tuning *t)
{
    return t->auto_gain || t->gains[0] || !isnan(t->gain_db);
}

static void take_text(char *into, const char *text, size_t n)
{
    if (text[0])
        memcpy(into, text, n);
}

void at_tuning_merge(struct at_tuning *into, const struct at_tuning *t)
{
    into->center_hz = isnan(t->center_hz) ? into->center_hz : t->center_hz;
    into->ppm = isnan(t->ppm) ? into->ppm : t->ppm;
    into->rate_hz = t->rate_hz > 0 ? t->rate_hz : into->rate_hz;
    into->bias_tee = t->bias_tee ? t->bias_tee : into->bias_tee;
    take_text(into->antenna, t->antenna, sizeof into->antenna);
    take_text(into->settings, t->settings, sizeof into->settings);
    if (!at_tuning_sets_gain(t))
        return;
    into->auto_gain = t->auto_gain;
    memcpy(into->gains, t->gains, sizeof into->gains);
    into->gain_db = t->gains[0] ? (double)NAN : t->gain_db;
}

void at_tuning_difference(const struct at_tuning *now, struct at_tuning *t)
{
    bool same_gain = !strcmp(now->gains, t->gains) && (t->gains[0] || now->gain_db == t->gain_db);
    if (t->rate_hz == now->rate_hz)
        t->rate_hz = 0;
    if (t->bias_tee == now->bias_tee)
        t->bias_tee = 0;
    if (t->rate_hz > 0 && isnan(t->center_hz))
        t->center_hz = now->center_hz;
    else if (!(t->rate_hz > 0) && now->center_hz == t->center_hz &&
             (isnan(t->ppm) || t->ppm == now->ppm))
        t->center_hz = NAN;
    if (now->ppm == t->ppm)
        t->ppm = NAN;
    if (!strcmp(now->antenna, t->antenna))
        t->antenna[0] = 0;
    if (!strcmp(now->settings, t->settings))
        t->settings[0] = 0;
    if (same_gain) {
        t->gain_db = NAN;
        t->gains[0] = 0;
    }
}
