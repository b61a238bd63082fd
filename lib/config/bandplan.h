/* Service hints: from class, centre and bandwidth to what it probably is ("gfsk" at 161.975 MHz:
 * AIS). A hint only; the class never follows from it. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CONFIG_BANDPLAN_H
#define AT_CONFIG_BANDPLAN_H

#include <stddef.h>

#include "lib/base/err.h"

struct at_bandplan;

/* Reads a YAML file as conf/bandplan.yaml shows it. 0; negative errno with err as "FILE:LINE:COL:
 * key: what; remedy". Owner: the caller. Any thread. */
int at_bandplan_load(const char *path, struct at_error *err, struct at_bandplan **ret_plan);
void at_bandplan_destroy(struct at_bandplan *plan); /* NULL is fine */

/* The service of the first line that fits: this class, center_hz (RF) within its frequencies,
 * bandwidth_hz within its bandwidths. NULL: none, or plan is NULL, or center_hz is 0. Borrowed from
 * plan; at most 47 bytes. Any thread. */
const char *at_bandplan_find(const struct at_bandplan *plan, const char *class_name,
                             double center_hz, double bandwidth_hz);
size_t at_bandplan_count(const struct at_bandplan *plan);

#endif
