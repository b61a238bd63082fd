/* The emission object that everything prints: command line, API, events, history, brokers
 * (DESIGN.md section 6). SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ENGINE_RESULT_H
#define AT_ENGINE_RESULT_H

#include <jansson.h>
#include <stdint.h>

#include "lib/dsp/emission.h"
#include "lib/model/decide.h"

struct at_result {
    struct at_emission emission; /* edges in baseband Hz */
    char id[48];                 /* "<boot>-<radio>-<n>": unique over restarts */
    char radio[32], band[32];
    double center_rf_hz; /* of the band; 0: unknown, then frequencies are baseband */
    double rate_hz;
    int64_t start_utc_ns, end_utc_ns; /* 0: unknown */
    double start_s, end_s;            /* from the file's beginning; NAN for radios */
    int has_answer;                   /* at least one decision was made */
    struct at_answer answer;          /* over all decisions so far */
    char service[48];                 /* hint of the band plan; empty: none */
    const struct at_model *model;     /* labels; borrowed */
    char backend[16], mode[8];
    uint32_t window;
    uint64_t tokens;  /* seen by the model */
    float share_seen; /* tokens seen over tokens that were there */
    uint32_t decisions;
    float latency_ms;       /* of the newest decision; NAN: none or not live */
    float inference_ms;     /* cost of the newest decision */
    float first_decision_s; /* emission start to first decision; NAN: none */
};

/* A new object, keys as DESIGN.md names them, unknown ones left out. NULL: no memory. Caller owns
 * it. */
json_t *at_result_to_json(const struct at_result *r);
/* One line for a terminal: centre, bandwidth, SNR, class, confidence, backend, latency. Returns
 * length as snprintf. */
int at_result_format_line(const struct at_result *r, char *out, size_t n);

/* What a recording came to: zero-initialised, then fed with its results. One thread at a time. */
struct at_summary {
    unsigned emissions;
    double best_energy;
    struct at_answer
        best; /* of the ended emission with the most energy that has one; label empty: none */
    uint64_t corrupt; /* samples left out since they were not finite; the caller's to set */
};
/* Counts an emission that has ended, passes over others. */
void at_summary_add(struct at_summary *s, const struct at_result *r);
/* "none" without emissions, "weak" where no emission got an answer, else the best one's class. */
const char *at_summary_class(const struct at_summary *s);
/* A new object; seconds: of samples, wall_s: of work. NULL: no memory. Caller owns it. */
json_t *at_summary_to_json(const struct at_summary *s, double seconds, double wall_s);

#endif
