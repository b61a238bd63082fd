/* FFTs of the process: one shared plan per size and direction, made once and kept (FFTW's planner
 * is not thread-safe, its execution is). SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_PLAN_H
#define AT_DSP_PLAN_H

#define AT_PLAN_MAX_LOG2 20

enum at_plan_sign { AT_PLAN_FORWARD, AT_PLAN_INVERSE };

struct at_plan;

/* The plan for n points (a power of two, 2 .. 2^AT_PLAN_MAX_LOG2), out of place, unscaled. Owned by
 * the process, never freed. NULL: n unfit or no memory. Any thread; measures on first use, so not
 * RT-safe. */
const struct at_plan *at_plan_get(unsigned n, enum at_plan_sign sign);
/* The same, where it is not planned yet by trying far more: seconds for 16384 points, which then
 * take two thirds of the time. */
const struct at_plan *at_plan_get_patient(unsigned n, enum at_plan_sign sign);
/* in (n, 2) -> out (n, 2), both aligned to 64 bytes (at_mem_alloc), in != out; in is kept. Any
 * thread, RT-safe. */
void at_plan_run(const struct at_plan *p, const float *in, float *out);

#endif
