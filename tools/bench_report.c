/* What the report measures. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/bench_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tools/receive.h"
#include "tools/tools.h"

#define PIECE  1024               /* tokens of one push into a whole window */
#define SAY_NS (30 * AT_NS_PER_S) /* from one line about how far it is to the next */

static void add(struct bench_report *r, enum bench_what what, size_t backend, unsigned mode,
                enum at_norm norm, uint32_t window)
{
    if (r->n < BENCH_MAX_POINTS)
        r->points[r->n++] = (struct bench_point){.what = what,
                                                 .backend = r->backends[backend],
                                                 .mode = (enum at_mode)mode,
                                                 .norm = norm,
                                                 .window = window};
}

/* Norms one after the other, so that what disturbs the host disturbs both. */
static void plan(struct bench_report *r)
{
    for (size_t w = 0; w < r->n_windows; w++)
        for (size_t b = 0; b < r->n_backends; b++)
            for (unsigned mode = 0; mode < 2; mode++) {
                add(r, BENCH_STREAM, b, mode, AT_NORM_RMS, r->windows[w]);
                add(r, BENCH_STREAM, b, mode, AT_NORM_LAYER, r->windows[w]);
                add(r, BENCH_WINDOW, b, mode, AT_NORM_RMS, r->windows[w]);
                if (w == 0)
                    add(r, BENCH_BATCH, b, mode, AT_NORM_RMS, r->windows[w]);
            }
}

/* Seconds that a point will take on some host: what filling caches costs leads at long windows. */
static double weight(const struct bench_report *r, const struct bench_point *p)
{
    double w = p->window, width = 128, layers = 4; /* of the reference point */
    bool quadratic = strcmp(p->backend->name, "latent") != 0;
    double flops =
        w * 1.9e6 + (quadratic ? 2 * width * layers * w * w : w * 2 * width * layers * 600);
    double rate = strcmp(p->backend->name, "mha") == 0 ? 20e9 : 120e9;
    double passes = p->what == BENCH_WINDOW ? 2 : p->what == BENCH_BATCH ? r->sessions : 1;
    return r->seconds + passes * flops / rate;
}

/* How far it is: a bar on a terminal; elsewhere a line at the begin and each half minute. *said_ns:
 * the newest. */
static void show(const struct bench_report *r, size_t i, double done, double all, int64_t began_ns,
                 int64_t *said_ns)
{
    const struct bench_point *p = &r->points[i];
    int64_t now_ns = at_clock_mono_ns();
    bool terminal = isatty(STDERR_FILENO);
    double took = (double)(now_ns - began_ns) / 1e9;
    int left_s = done > 0 ? (int)(took * (all - done) / done) : 0;
    char bar[25] = "";
    if (!terminal && *said_ns && now_ns - *said_ns < SAY_NS)
        return;
    *said_ns = now_ns;
    for (int c = 0; c < 24; c++)
        bar[c] = c < (int)(24 * done / all) ? '#' : '.';
    if (terminal)
        fprintf(stderr, "\r[%s] ", bar);
    else
        fputs("attune bench: ", stderr);
    fprintf(stderr, "%zu of %zu, %s %s window %u", i + 1, r->n, p->backend->name,
            at_mode_name(p->mode), p->window);
    if (done > 0)
        fprintf(stderr, ", %d:%02d left", left_s / 60, left_s % 60);
    fputs(terminal ? "\033[K" : "\n", stderr);
}

/* A point that can't be is left out with its reason; what fails otherwise ends the report. */
static int measure(struct bench_report *r, struct bench_point *p, const struct at_encoder *e,
                   struct at_error *err)
{
    bool batch = p->what == BENCH_BATCH;
    struct bench_job job = {
        .what = p->what,
        .encoder = e,
        .window = p->window,
        .new_tokens = p->what == BENCH_WINDOW ? p->window : r->new_tokens,
        .sessions = batch ? r->sessions : 1,
        .threads = batch ? r->threads : 1,
        .seconds = r->seconds,
    };
    job.shape =
        (struct at_session_shape){.backend = p->backend, .mode = p->mode, .window = p->window};
    job.shape.max_new = job.new_tokens < PIECE ? job.new_tokens : PIECE;
    int code = bench_run(&job, err, &p->result);
    p->done = code == 0;
    if (code == -ENOTSUP || code == -ENOMEM) {
        snprintf(p->why, sizeof p->why, "%.100s", err->text);
        return 0;
    }
    return code;
}

static int measure_all(struct bench_report *r, struct at_error *err)
{
    double all = 0, done = 0;
    int64_t began_ns = at_clock_mono_ns(), said_ns = 0;
    int code = 0;
    for (size_t i = 0; i < r->n; i++)
        all += weight(r, &r->points[i]);
    for (size_t w = 0; w < r->n_windows && code == 0; w++) {
        struct at_model *models[2] = {NULL};
        struct at_encoder *encoders[2] = {NULL};
        for (unsigned norm = 0; norm < 2 && code == 0; norm++) {
            struct at_model_config config = at_model_reference_point(r->windows[w]);
            config.norm = (enum at_norm)norm;
            code = at_model_random(NULL, &config, 1, err, &models[norm]);
            if (code == 0)
                code = at_encoder_create(NULL, models[norm], NULL, err, &encoders[norm]);
        }
        for (size_t i = 0; i < r->n && code == 0; i++) {
            struct bench_point *p = &r->points[i];
            if (p->window != r->windows[w])
                continue;
            show(r, i, done, all, began_ns, &said_ns);
            code = measure(r, p, encoders[p->norm], err);
            done += weight(r, p);
        }
        for (unsigned norm = 0; norm < 2; norm++) {
            at_encoder_destroy(encoders[norm]);
            at_model_destroy(models[norm]);
        }
    }
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    return code;
}

const struct bench_point *bench_report_find(const struct bench_report *r, enum bench_what what,
                                            const char *backend, enum at_mode mode,
                                            enum at_norm norm, uint32_t window)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct bench_point *p = &r->points[i];
        if (p->done && p->what == what && p->mode == mode && p->norm == norm &&
            p->window == window && strcmp(p->backend->name, backend) == 0)
            return p;
    }
    return NULL;
}

int bench_report_run(struct bench_report *r, struct at_error *err)
{
    struct at_model *model = NULL;
    char path[4096];
    if (mkdir(r->dir, 0777) < 0 && errno != EEXIST)
        return at_error_set(err, -errno, "%s: %s; name a folder that can be made", r->dir,
                            strerror(errno));
    if (access(r->dir, W_OK) < 0)
        return at_error_set(err, -errno, "%s: %s", r->dir, strerror(errno));
    int code = at_model_path(r->model_path, path, sizeof path, err);
    if (code == 0)
        code = at_model_read(NULL, path, err, &model);
    if (code < 0 && r->model_path) /* named: it must be there */
        return code;
    const char *kernel;
    for (unsigned mode = 0; mode < 2; mode++)
        r->peaks[mode] = bench_peak((enum at_mode)mode, 1, &kernel);
    plan(r);
    code = measure_all(r, err);
    if (code == 0)
        code = bench_report_write(r, model, err);
    at_model_destroy(model);
    return code;
}
