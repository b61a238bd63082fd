/* Measuring: what a decision costs on this host. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_BENCH_H
#define AT_TOOLS_BENCH_H

#include "lib/model/encoder.h"

#define BENCH_MAX_THREADS 256

enum bench_what { BENCH_WINDOW, BENCH_STREAM, BENCH_BATCH, BENCH_WHATS };

struct bench_job {
    enum bench_what what;
    const struct at_encoder *encoder;
    struct at_session_shape shape; /* max_new: tokens of a push */
    uint32_t window;               /* the shape's, resolved */
    uint32_t new_tokens;           /* tokens of one decision */
    uint32_t sessions;             /* 1 but for batch */
    uint32_t threads;              /* that share the sessions, or the window; 1 for stream */
    double seconds;                /* how long to measure, about */
};

struct bench_result {
    double p50_ms, p95_ms;       /* of one decision; batch: of one round over a thread's sessions */
    double decisions_per_s;      /* of all threads */
    unsigned runs;               /* measured */
    struct at_session_cost cost; /* of one session, and of one worker */
    struct at_attn_report report;
};

/* Measures one job. 0 or negative errno with err. */
int bench_run(const struct bench_job *job, struct at_error *err, struct bench_result *ret);

/* Multiply-adds in registers on `threads` threads at once: GFLOP/s of all of them, with the widest
 * FMA (bf16: dot product of pairs) that at_cpu_levels() allows, whose name comes back in
 * ret_kernel. 0: the processor has none in this mode. */
double bench_peak(enum at_mode mode, unsigned threads, const char **ret_kernel);

#endif
