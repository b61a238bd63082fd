/* The report of a host: the paper's table and figures, measured here.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_BENCH_REPORT_H
#define AT_TOOLS_BENCH_REPORT_H

#include "tools/bench.h"

#define BENCH_MAX_POINTS 512

/* One thing to measure, and what came of it. */
struct bench_point {
    enum bench_what what;
    const struct at_attn_backend *backend;
    enum at_mode mode;
    enum at_norm norm;
    uint32_t window;
    bool done; /* else left out: why says so */
    char why[120];
    struct bench_result result;
};

struct bench_report {
    const char *dir; /* made where it is missing */
    const char
        *model_path; /* whose card has the accuracies; NULL: the one shipped, if it is there */
    const struct at_attn_backend *const *backends; /* (n_backends) */
    size_t n_backends;
    const uint32_t *windows; /* (n_windows), ascending */
    size_t n_windows;
    uint32_t threads, sessions, new_tokens; /* of the batches, and of every stream */
    double seconds;                         /* for each point */
    double peaks[2];                        /* GFLOP/s of one thread, by mode; 0: none */
    struct bench_point points[BENCH_MAX_POINTS];
    size_t n;
};

/* Fills points with what the report needs, measures each (progress with the time left on a
 * terminal) and writes DIR/index.html, report.json and the figures. 0 or negative errno with err.
 * Main thread. */
int bench_report_run(struct bench_report *r, struct at_error *err);

/* The figures and pages of a measured report. model: NULL where none was found. */
int bench_report_write(const struct bench_report *r, const struct at_model *model,
                       struct at_error *err);

/* NULL where it was not measured. */
const struct bench_point *bench_report_find(const struct bench_report *r, enum bench_what what,
                                            const char *backend, enum at_mode mode,
                                            enum at_norm norm, uint32_t window);

#endif
