/* The report's figures, its table and its data, from what was measured. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/base/newfile.h"
#include "lib/kernels/kernels.h"
#include "tools/bench_report.h"
#include "tools/chart.h"
#include "tools/tools.h"

#define MAX_PAGE     (1024 * 1024)
#define PAPER_P50_MS 22.0 /* its best point, `latent` */
#define BUDGET_MS    30.0

/* "Normalization & Attention Backends for RF": its best point (latent) and its norms. */
static const struct {
    const char *row;
    double accuracy, p50_ms, kv_mb, per_s;
} paper[] = {
    {"Latent, its best point", 90.6, PAPER_P50_MS, 480, 1900},
    {"RMSNorm", 91.1, 26.2, NAN, NAN},
    {"LayerNorm", 90.5, 28.0, NAN, NAN},
};

/* Whole or not at all; takes what is in b. */
static int write_file(const char *dir, const char *name, struct at_buf *b, struct at_error *err)
{
    char path[4096];
    int r = b->failed;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (r == 0)
        r = at_newfile_write(path, b->data, b->len);
    if (r < 0)
        at_error_set(err, r, "%s: %s", path, strerror(-r));
    at_buf_finish(b);
    return r;
}

static enum chart_colour colour_of(const char *backend)
{
    static const char *const names[] = {"mha", "flash", "gqa", "latent"};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], backend) == 0)
            return (enum chart_colour)i;
    return CHART_PURPLE;
}

static double p50_of(const struct bench_point *p)
{
    return p->result.p50_ms;
}
static double p95_of(const struct bench_point *p)
{
    return p->result.p95_ms;
}
static double rate_of(const struct bench_point *p)
{
    return p->result.decisions_per_s;
}
static double kv_of(const struct bench_point *p)
{
    return (double)p->result.cost.kv_bytes / 1e6;
}

/* One backend's line over the windows; not added where nothing was measured. */
static void add_line(struct chart *c, const struct bench_report *r, enum bench_what what,
                     const char *backend, enum at_mode mode, const char *name,
                     double (*value)(const struct bench_point *),
                     double (*high)(const struct bench_point *))
{
    struct chart_series s = {.colour = colour_of(backend), .dashed = mode == AT_MODE_BF16};
    snprintf(s.name, sizeof s.name, "%s", name);
    for (size_t w = 0; w < r->n_windows && s.n < CHART_MAX_POINTS; w++) {
        const struct bench_point *p =
            bench_report_find(r, what, backend, mode, AT_NORM_RMS, r->windows[w]);
        if (!p)
            continue;
        s.x[s.n] = r->windows[w];
        s.y[s.n] = value(p);
        s.high[s.n++] = high ? high(p) : 0;
    }
    if (s.n > 0 && c->n < CHART_MAX_SERIES)
        c->series[c->n++] = s;
}

static void add_backends(struct chart *c, const struct bench_report *r, enum bench_what what,
                         double (*value)(const struct bench_point *),
                         double (*high)(const struct bench_point *))
{
    for (size_t b = 0; b < r->n_backends; b++)
        for (unsigned mode = 0; mode < 2; mode++) {
            char name[40];
            snprintf(name, sizeof name, "%s %s", r->backends[b]->name,
                     at_mode_name((enum at_mode)mode));
            add_line(c, r, what, r->backends[b]->name, (enum at_mode)mode, name, value, high);
        }
}

static int lines(const struct bench_report *r, const char *name, const struct chart *c,
                 struct at_error *err)
{
    struct at_buf out;
    at_buf_init(&out, MAX_PAGE);
    chart_lines(c, &out);
    return write_file(r->dir, name, &out, err);
}

static int throughput(const struct bench_report *r, const char *host, struct at_error *err)
{
    struct chart c = {.title = "Figure 2: throughput",
                      .subtitle = host,
                      .x_label = "window W, tokens",
                      .log_y = true,
                      .y_label = "decisions a second, one thread",
                      .line = {1900, "the paper's best: 1900"}};
    add_backends(&c, r, BENCH_STREAM, rate_of, NULL);
    return lines(r, "figure2-throughput.svg", &c, err);
}

/* Of lines that lie on each other, in the same mode, one is left and named after all. */
static void merge_equal(struct chart *c)
{
    for (size_t a = 0; a < c->n; a++)
        for (size_t b = a + 1; b < c->n;) {
            struct chart_series *x = &c->series[a], *y = &c->series[b];
            if (x->dashed != y->dashed || x->n != y->n ||
                memcmp(x->y, y->y, x->n * sizeof *x->y) != 0) {
                b++;
                continue;
            }
            char name[sizeof x->name];
            snprintf(name, sizeof name, "%.*s, %.20s", (int)strcspn(x->name, " "), x->name,
                     y->name);
            memcpy(x->name, name, sizeof name);
            memmove(y, y + 1, (c->n - b - 1) * sizeof *y);
            c->n--;
        }
}

static int memory(const struct bench_report *r, const char *host, struct at_error *err)
{
    struct chart c = {.title = "Figure 3: peak KV cache of one session",
                      .subtitle = host,
                      .log_y = true,
                      .x_label = "window W, tokens",
                      .y_label = "MB"};
    add_backends(&c, r, BENCH_STREAM, kv_of, NULL);
    merge_equal(&c);
    return lines(r, "figure3-kv.svg", &c, err);
}

static int latency(const struct bench_report *r, const char *host, struct at_error *err)
{
    struct chart c = {.title = "Figure 5: latency of a decision, p50 and p95",
                      .subtitle = host,
                      .log_y = true,
                      .x_label =
                          "window W, tokens (batch 1, one thread, new tokens into a full cache)",
                      .y_label = "ms (whisker: p95)",
                      .line = {BUDGET_MS, "budget: 30 ms"}};
    add_backends(&c, r, BENCH_STREAM, p50_of, p95_of);
    return lines(r, "figure5-latency.svg", &c, err);
}

/* S of the reference point at this window. */
static double segment_of(double window)
{
    return at_model_reference_point((uint32_t)window).segment;
}

/* A law through the first point of a line, as a dashed guide: a power of W, or W / S. */
static void add_guide(struct chart *c, const char *name, size_t of, double power, bool segments)
{
    struct chart_series s = c->series[of];
    snprintf(s.name, sizeof s.name, "%s", name);
    s.colour = CHART_PURPLE;
    s.dashed = true;
    memset(s.high, 0, sizeof s.high);
    for (size_t i = 1; i < s.n; i++)
        s.y[i] = s.y[0] * pow(s.x[i] / s.x[0], power) /
                 (segments ? segment_of(s.x[i]) / segment_of(s.x[0]) : 1);
    if (s.n > 1 && c->n < CHART_MAX_SERIES)
        c->series[c->n++] = s;
}

/* m: NULL for the reference point, whose S rises with W. */
static int growth(const struct bench_report *r, const struct at_model *m, const char *host,
                  struct at_error *err)
{
    struct chart c = {.title = "Growth of a decision's cost with the window",
                      .subtitle = host,
                      .log_y = true,
                      .x_label = "window W, tokens",
                      .y_label = "p50, ms, fp32, one thread"};
    size_t n = c.n;
    add_line(&c, r, BENCH_WINDOW, "mha", AT_MODE_FP32, "mha, whole window", p50_of, NULL);
    if (c.n > n)
        add_guide(&c, "W squared", n, 2, false);
    n = c.n;
    add_line(&c, r, BENCH_STREAM, "flash", AT_MODE_FP32, "flash, new tokens", p50_of, NULL);
    if (c.n > n)
        add_guide(&c, "W", n, 1, false);
    n = c.n;
    add_line(&c, r, BENCH_STREAM, "latent", AT_MODE_FP32, "latent, new tokens", p50_of, NULL);
    if (c.n > n)
        add_guide(&c, "W / S", n, 1, !m);
    return lines(r, "growth.svg", &c, err);
}

/* The card's accuracy of a backend in percent at the window that is nearest to the one asked for;
 * NAN: none. */
static double accuracy_of(const struct at_model *m, const char *backend, uint32_t window)
{
    double best = NAN, distance = INFINITY;
    for (size_t i = 0; m && i < m->n_accuracy; i++) {
        double d = fabs(log2((double)m->accuracy[i].window) - log2((double)window));
        if (strcmp(m->accuracy[i].backend, backend) == 0 && d < distance) {
            best = 100.0 * (double)m->accuracy[i].overall;
            distance = d;
        }
    }
    return best;
}

static int accuracy(const struct bench_report *r, const struct at_model *m, struct at_error *err)
{
    char subtitle[160];
    struct at_buf out;
    struct chart c = {.title = "Figure 4: accuracy",
                      .subtitle = subtitle,
                      .plain_x = true,
                      .x_label = "",
                      .y_label = "top class right, %",
                      .line = {90.6, "the paper's best: 90.6 %"}};
    snprintf(subtitle, sizeof subtitle,
             m ? "synthetic signals of every SNR, from the card of %s" : "no model: %s",
             m ? m->name : "name one with --model");
    c.n = 1;
    snprintf(c.series[0].name, sizeof c.series[0].name, "the model's card");
    c.series[0].colour = CHART_BLUE;
    for (size_t b = 0; b < r->n_backends && b < CHART_MAX_POINTS - 1; b++) {
        c.x_names[b] = r->backends[b]->name;
        c.series[0].x[b] = (double)b;
        c.series[0].y[b] = accuracy_of(m, r->backends[b]->name, 1024);
        c.series[0].n = b + 1;
    }
    at_buf_init(&out, MAX_PAGE);
    chart_bars(&c, &out);
    return write_file(r->dir, "figure4-accuracy.svg", &out, err);
}

/* RMSNorm's p50 over LayerNorm's for a backend and mode; NAN where either is missing. */
static double norm_ratio(const struct bench_report *r, const char *backend, enum at_mode mode,
                         uint32_t window)
{
    const struct bench_point *rms =
        bench_report_find(r, BENCH_STREAM, backend, mode, AT_NORM_RMS, window);
    const struct bench_point *layer =
        bench_report_find(r, BENCH_STREAM, backend, mode, AT_NORM_LAYER, window);
    return rms && layer ? rms->result.p50_ms / layer->result.p50_ms : NAN;
}

static int norms(const struct bench_report *r, const char *host, struct at_error *err)
{
    struct chart c = {.title = "Figure 6: RMSNorm's p50 over LayerNorm's",
                      .subtitle = host,
                      .x_label = "window W, tokens",
                      .y_label = "ratio (below 1: RMSNorm is faster)",
                      .line = {0.936, "the paper: 0.936"}};
    for (size_t b = 0; b < r->n_backends; b++)
        for (unsigned mode = 0; mode < 2; mode++) {
            const char *name = r->backends[b]->name;
            struct chart_series s = {.colour = colour_of(name), .dashed = mode == AT_MODE_BF16};
            snprintf(s.name, sizeof s.name, "%s %s", name, at_mode_name((enum at_mode)mode));
            for (size_t w = 0; w < r->n_windows && s.n < CHART_MAX_POINTS; w++, s.n++) {
                s.x[s.n] = r->windows[w];
                s.y[s.n] = norm_ratio(r, name, (enum at_mode)mode, r->windows[w]);
            }
            if (c.n < CHART_MAX_SERIES)
                c.series[c.n++] = s;
        }
    return lines(r, "figure6-norms.svg", &c, err);
}

static json_t *point_json(const struct bench_point *p)
{
    static const char *const whats[] = {"window", "stream", "batch"}, *const norm_names[] = {
                                                                          "rmsnorm", "layernorm"};
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i}", "what", whats[p->what], "backend",
                          p->backend->name, "mode", at_mode_name(p->mode), "norm",
                          norm_names[p->norm], "window", (int)p->window);
    if (!o || !p->done) {
        if (o)
            json_object_set_new(o, "left_out", json_string(p->why));
        return o;
    }
    json_object_set_new(o, "kernel", json_string(p->result.report.kernel));
    json_object_set_new(o, "p50_ms", at_json_real(p->result.p50_ms));
    json_object_set_new(o, "p95_ms", at_json_real(p->result.p95_ms));
    json_object_set_new(o, "decisions_per_s", at_json_real(p->result.decisions_per_s));
    json_object_set_new(o, "kv_bytes", json_integer((json_int_t)p->result.cost.kv_bytes));
    json_object_set_new(o, "workspace_bytes",
                        json_integer((json_int_t)p->result.cost.workspace_bytes));
    json_object_set_new(o, "runs", json_integer((json_int_t)p->result.runs));
    return o;
}

static int data(const struct bench_report *r, const struct at_model *m, const char *cpu,
                struct at_error *err)
{
    json_t *points = json_array(), *known = json_array(), *theirs = json_array();
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(points, point_json(&r->points[i]));
    for (size_t i = 0; m && i < m->n_accuracy; i++)
        json_array_append_new(known, json_pack("{s:s, s:i, s:f}", "backend", m->accuracy[i].backend,
                                               "window", (int)m->accuracy[i].window, "overall",
                                               (double)m->accuracy[i].overall));
    for (size_t i = 0; i < sizeof paper / sizeof *paper; i++)
        json_array_append_new(theirs, json_pack("{s:s, s:o, s:o, s:o, s:o}", "row", paper[i].row,
                                                "accuracy", at_json_real(paper[i].accuracy / 100),
                                                "p50_ms", at_json_real(paper[i].p50_ms), "kv_mb",
                                                at_json_real(paper[i].kv_mb), "samples_per_s",
                                                at_json_real(paper[i].per_s)));
    json_t *root = json_pack("{s:s, s:s, s:i, s:i, s:i, s:{s:o, s:o}, s:o, s:o, s:o}", "attune",
                             AT_VERSION, "cpu", cpu, "threads", (int)r->threads, "batch_sessions",
                             (int)r->sessions, "new_tokens", (int)r->new_tokens, "peak_gflops",
                             "fp32", at_json_real(r->peaks[0]), "bf16", at_json_real(r->peaks[1]),
                             "accuracy", known, "paper", theirs, "points", points);
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    struct at_buf out;
    at_buf_init(&out, MAX_PAGE);
    at_buf_add(&out, text ? text : "", text ? strlen(text) : 0);
    free(text);
    json_decref(root);
    return write_file(r->dir, "report.json", &out, err);
}

/* A cell, or a dash where there is no figure. */
static void cell(struct at_buf *out, double value, int digits)
{
    if (isfinite(value))
        at_buf_printf(out, "<td>%.*f</td>", digits, value);
    else
        at_buf_printf(out, "<td>&ndash;</td>");
}

static void row(struct at_buf *out, const struct bench_report *r, const struct at_model *m,
                size_t b, enum at_mode mode, uint32_t window)
{
    const char *name = r->backends[b]->name;
    const struct bench_point *stream =
        bench_report_find(r, BENCH_STREAM, name, mode, AT_NORM_RMS, window);
    const struct bench_point *whole =
        bench_report_find(r, BENCH_WINDOW, name, mode, AT_NORM_RMS, window);
    const struct bench_point *batch =
        bench_report_find(r, BENCH_BATCH, name, mode, AT_NORM_RMS, window);
    if (!stream && !whole)
        return;
    at_buf_printf(out, "<tr><th>%s %s</th><td>%u</td>", name, at_mode_name(mode), window);
    cell(out, accuracy_of(m, name, window), 1);
    cell(out, stream ? stream->result.p50_ms : NAN, 3);
    cell(out, stream ? stream->result.p95_ms : NAN, 3);
    cell(out, whole ? whole->result.p50_ms : NAN, 2);
    cell(out, stream ? kv_of(stream) : NAN, 2);
    cell(out, stream ? stream->result.decisions_per_s : NAN, 0);
    cell(out, batch ? batch->result.decisions_per_s : NAN, 0);
    at_buf_printf(out, "</tr>\n");
}

static void table(struct at_buf *out, const struct bench_report *r, const struct at_model *m)
{
    at_buf_printf(
        out,
        "<h2>Table I</h2>\n<table>\n<tr><th></th><th>window</th><th>accuracy, %%</th><th>p50, "
        "ms</th>"
        "<th>p95, ms</th><th>whole window, ms</th><th>KV, MB</th><th>decisions/s, 1 thread</th>"
        "<th>decisions/s, %u threads</th></tr>\n",
        r->threads);
    for (size_t w = 0; w<r->n_windows; w += r->n_windows> 1 ? r->n_windows - 1 : 1)
        for (size_t b = 0; b < r->n_backends; b++)
            for (unsigned mode = 0; mode < 2; mode++)
                row(out, r, m, b, (enum at_mode)mode, r->windows[w]);
    for (size_t i = 0; i < sizeof paper / sizeof *paper; i++) {
        at_buf_printf(out, "<tr class=\"paper\"><th>the paper: %s</th><td></td>", paper[i].row);
        cell(out, paper[i].accuracy, 1);
        cell(out, paper[i].p50_ms, 1);
        at_buf_printf(out, "<td></td><td></td>");
        cell(out, paper[i].kv_mb, 0);
        cell(out, paper[i].per_s, 0);
        at_buf_printf(out, "<td></td></tr>\n");
    }
    at_buf_printf(out, "</table>\n");
}

static int page(const struct bench_report *r, const struct at_model *m, const char *host,
                struct at_error *err)
{
    static const char *const figures[] = {"figure2-throughput", "figure3-kv",    "figure4-accuracy",
                                          "figure5-latency",    "figure6-norms", "growth"};
    struct at_buf out;
    at_buf_init(&out, MAX_PAGE);
    at_buf_printf(
        &out,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>attune on this "
        "host</title>\n<style>\n"
        "body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; "
        "padding: 0 1rem;"
        " color: #1c252c; background: #fff }\n"
        "table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: "
        ".2rem .7rem;"
        " text-align: right; border-bottom: 1px solid #8884 } th:first-child { text-align: left }\n"
        ".paper { font-style: italic } img { max-width: 100%%; margin: 1rem 0 }\n"
        "@media (prefers-color-scheme: dark) { body { color: #e6ebef; background: #14191d } "
        "}\n</style>\n"
        "<h1>What a decision costs on this host</h1>\n<p>%s. One thread gives %.0f GFLOP/s of fp32 "
        "multiply-adds",
        host, r->peaks[0]);
    if (r->peaks[1] > 0)
        at_buf_printf(&out, " and %.0f of bf16", r->peaks[1]);
    at_buf_printf(&out,
                  ". Times are of the reference point (4 layers, 128 wide, 128 bins) with random "
                  "weights; a decision "
                  "takes %u new tokens into a full cache unless it says whole window.</p>\n",
                  r->new_tokens);
    table(&out, r, m);
    at_buf_printf(&out, "<p>What differs from the paper: its rows are of its own network, data and "
                        "machine. Here a session "
                        "keeps its cache, so a decision pays for new tokens only; the column "
                        "\"whole window\" pays for all. "
                        "KV is that of one session. Accuracy is what the model's card states for "
                        "synthetic signals of "
                        "17 classes.</p>\n");
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        at_buf_printf(&out, "<p><img src=\"%s.svg\" alt=\"%s\"></p>\n", figures[i], figures[i]);
    at_buf_printf(&out, "<p><a href=\"report.json\">Every figure as JSON</a></p>\n</html>\n");
    return write_file(r->dir, "index.html", &out, err);
}

int bench_report_write(const struct bench_report *r, const struct at_model *m, struct at_error *err)
{
    const struct at_kernels *k = at_kernels_best();
    char cpu[96], host[256];
    at_cpu_model(cpu, sizeof cpu);
    snprintf(host, sizeof host, "%s, kernels %s, attune %s, %u new tokens a decision", cpu,
             k ? k->name : "none", AT_VERSION, r->new_tokens);
    int code = data(r, m, cpu, err);
    code = code < 0 ? code : throughput(r, host, err);
    code = code < 0 ? code : memory(r, host, err);
    code = code < 0 ? code : accuracy(r, m, err);
    code = code < 0 ? code : latency(r, host, err);
    code = code < 0 ? code : norms(r, host, err);
    code = code < 0 ? code : growth(r, m, host, err);
    return code < 0 ? code : page(r, m, host, err); /* last: it names the others */
}
