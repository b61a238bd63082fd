/* What attune doctor's parts share: findings, told one by one. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_TOOLS_DOCTOR_H
#define AT_TOOLS_DOCTOR_H

#include "lib/dsp/band.h"
#include "lib/source/source.h"
#include "tools/tools.h"

#define WAITED_BAD 0.05 /* share above which figures are not the host's own */

/* What was asked for, and what was found so far. */
struct doctor {
    /* asked */
    struct at_soapy_options radio;
    const char *modules[2]; /* NULL-terminated */
    const char *model;
    double center_hz, seconds, bench_s, budget_ms;
    bool json;
    /* found; NAN or 0: not measured */
    unsigned cores;
    double
        band_rate_hz; /* samples a second that one core takes through spectra, floor and detector */
    double best_p95_ms;   /* of the fastest backend, at random weights */
    double choice_p95_ms; /* of what the selector takes for the model; NAN: no model */
    double free_mb;
    double waited;    /* share of the time in which this program stood ready and had no processor */
    uint64_t lost;    /* of the radio, samples */
    char lost_by[32]; /* the reason that took the most of them */
    double delivered_hz;
};

/* One finding: text to people, or the object (taken) as a line. -1 where it can't be written. */
int doctor_say(const struct doctor *d, json_t *object, const char *text);

/* Passes over all that a band finds. */
extern const struct at_band_sink doctor_no_sink;

/* doctor_radio.c: rate, losses, DC, level, noise floor, retuning. 0 or an exit code; errors are
 * printed. */
int doctor_radio(struct doctor *d);

/* doctor_host.c */
struct doctor_clock { /* what the host did to us since; from doctor_clock_start() */
    double wall_s, waited_s, pressure_s, total_s, steal_s; /* NAN: not told */
};
void doctor_clock_start(struct doctor_clock *c);
int doctor_host(struct doctor *d);
/* FFTs, and a band of noise at the radio's rate. */
int doctor_dsp(struct doctor *d);
/* What limited the measurements since the clock started. */
int doctor_limits(struct doctor *d, const struct doctor_clock *start);

#endif
