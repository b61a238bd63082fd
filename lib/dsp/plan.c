/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/plan.h"

#include <errno.h>
#include <fftw3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/newfile.h"
#include "lib/dsp/band.h"

#define PATIENCE_S 8.0 /* 16384 points take six */

struct at_plan {
    fftwf_plan fftw;
};

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;
static struct at_plan plans[AT_PLAN_MAX_LOG2 + 1][2];

static fftwf_plan make(unsigned n, enum at_plan_sign sign, unsigned effort, double seconds)
{
    fftwf_complex *in = fftwf_alloc_complex(n), *out = fftwf_alloc_complex(n);
    fftwf_plan p = NULL;
    if (in && out) {
        fftwf_set_timelimit(seconds);
        p = fftwf_plan_dft_1d((int)n, in, out,
                              sign == AT_PLAN_FORWARD ? FFTW_FORWARD : FFTW_BACKWARD, effort);
    }
    fftwf_free(in);
    fftwf_free(out);
    return p;
}

static const struct at_plan *get(unsigned n, enum at_plan_sign sign, unsigned effort,
                                 double seconds)
{
    if (n < 2 || n > 1u << AT_PLAN_MAX_LOG2 || (n & (n - 1)))
        return NULL;
    struct at_plan *p = &plans[__builtin_ctz(n)][sign];
    pthread_mutex_lock(&planner);
    if (!p->fftw)
        p->fftw = make(n, sign, effort, seconds);
    pthread_mutex_unlock(&planner);
    return p->fftw ? p : NULL;
}

const struct at_plan *at_plan_get(unsigned n, enum at_plan_sign sign)
{
    return get(n, sign, FFTW_MEASURE, 1);
}

const struct at_plan *at_plan_get_patient(unsigned n, enum at_plan_sign sign)
{
    return get(n, sign, FFTW_PATIENT, PATIENCE_S);
}

void at_plan_run(const struct at_plan *p, const float *in, float *out)
{
    /* FFTW's type has no const; an out-of-place complex transform keeps its input. */
    fftwf_execute_dft(p->fftw, (fftwf_complex *)(void *)(size_t)in, (fftwf_complex *)(void *)out);
}

void at_dsp_wisdom_load(const char *path)
{
    if (!path)
        return;
    pthread_mutex_lock(&planner);
    fftwf_import_wisdom_from_filename(path);
    pthread_mutex_unlock(&planner);
}

int at_dsp_wisdom_save(const char *path)
{
    if (!path)
        return 0;
    struct at_newfile file;
    int error = at_newfile_open(&file, path);
    if (error < 0)
        return error;
    pthread_mutex_lock(&planner);
    fftwf_export_wisdom_to_file(file.f);
    pthread_mutex_unlock(&planner);
    return at_newfile_close(&file, 0);
}
