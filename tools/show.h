/* Emissions of the API as lines for people. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_SHOW_H
#define AT_TOOLS_SHOW_H

#include <jansson.h>
#include <stdio.h>

/* The members of an API object, "" and NAN where it lacks them. */
const char *at_show_text(const json_t *o, const char *key);
double at_show_number(const json_t *o, const char *key);

/* "433.9200 MHz" and "12.5 kHz". */
void at_show_center(double hz, char out[32]);
void at_show_width(double hz, char out[32]);

/* The heading of the lines below, without a newline. columns: of the terminal; where they are not
 * enough, backend, latency, band, service and time leave, in this order. */
void at_show_head(FILE *out, unsigned columns);
/* One emission: start or end, centre, width, SNR, class, confidence, latency, backend, band, group
 * or service; no newline, at most columns characters. mark: before it, such as '+'. */
void at_show_emission(FILE *out, const json_t *o, char mark, unsigned columns);

#endif
