/* attune bench: what a decision costs under each backend. SPDX-License-Identifier: GPL-3.0-or-later
 */
#include "tools/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cpu.h"
#include "lib/config/value.h"
#include "tools/bench_report.h"
#include "tools/tools.h"

extern const struct at_command at_command_bench;
#define SELF     (&at_command_bench)
#define MAX_LIST 16
#define PIECE                                                                                      \
    1024 /* a whole window is pushed in pieces of at most this: mha's score matrix is (piece,      \
            window) */

static const char *const what_names[BENCH_WHATS] = {"window", "stream", "batch"};
static const char *const mode_names[] = {"fp32", "bf16"};         /* enum at_mode */
static const char *const norm_names[] = {"rmsnorm", "layernorm"}; /* enum at_norm */

/* A list option over a few names: bit i is names[i]. */
struct choice {
    const char *option;
    const char *const *names;
    unsigned n, mask;
};

struct plan {
    struct {
        const char *whats, *backends, *modes, *norms, *windows;
    } lists; /* as given */
    const struct at_attn_backend *backends[MAX_LIST];
    uint32_t windows[MAX_LIST];
    size_t n_backends, n_windows;
    struct choice whats, modes, norms;
    uint32_t new_tokens, sessions, segment;
    uint32_t threads, window_threads; /* of a batch; of one window */
    double seconds;
    const char *model_path, *report_dir;
    bool json;
    unsigned n_lines;
};

static int visit_choice(void *ctx, const char *name)
{
    struct choice *c = ctx;
    for (unsigned i = 0; i < c->n; i++)
        if (strcmp(c->names[i], name) == 0) {
            c->mask |= 1u << i;
            return 0;
        }
    return at_fail(SELF, AT_EXIT_USAGE, "--%s: %s is none of %s, %s%s%s", c->option, name,
                   c->names[0], c->names[1], c->n > 2 ? ", " : "", c->n > 2 ? c->names[2] : "");
}

static int visit_backend(void *ctx, const char *name)
{
    struct plan *p = ctx;
    struct at_error err;
    const struct at_attn_backend *b = at_attn_find(name, &err);
    if (!b)
        return at_fail(SELF, AT_EXIT_USAGE, "--backend: %s", err.text);
    if (p->n_backends == MAX_LIST)
        return at_fail(SELF, AT_EXIT_USAGE, "--backend: more than %d names", MAX_LIST);
    p->backends[p->n_backends++] = b;
    return 0;
}

static int visit_window(void *ctx, const char *text)
{
    struct plan *p = ctx;
    double v;
    if (at_value_number(text, true, &v) < 0 || v < 32 || v > 1 << 20 || v != (uint32_t)v)
        return at_fail(SELF, AT_EXIT_USAGE, "--window: %s is not an integer from 32 to 1048576",
                       text);
    if (p->n_windows == MAX_LIST)
        return at_fail(SELF, AT_EXIT_USAGE, "--window: more than %d values", MAX_LIST);
    p->windows[p->n_windows++] = (uint32_t)v;
    return 0;
}

static int read_list(const char *option, const char *list, int (*visit)(void *, const char *),
                     void *ctx)
{
    int r = list ? at_list_each(list, visit, ctx) : 0;
    return r < 0 ? at_fail(SELF, AT_EXIT_USAGE, "--%s: names separated by commas expected", option)
                 : r;
}

static int print_peak(struct plan *p, enum at_mode mode, unsigned threads)
{
    const char *kernel = "";
    double gflops = bench_peak(mode, threads, &kernel);
    char cpu[96];
    if (!(gflops > 0))
        return 0; /* no instruction of its own */
    at_cpu_model(cpu, sizeof cpu);
    if (p->json)
        return at_json_line(stdout,
                            json_pack("{s:s, s:s, s:s, s:i, s:f, s:s}", "what", "peak", "mode",
                                      at_mode_name(mode), "kernel", kernel, "threads", (int)threads,
                                      "gflops", gflops, "cpu", cpu));
    printf("peak: %.1f GFLOP/s of %s multiply-adds, %u thread%s, %s, %s\n", gflops,
           at_mode_name(mode), threads, threads == 1 ? "" : "s", kernel, cpu);
    return 0;
}

/* What the modes asked for could give, on one thread and on those that a batch or window has. */
static int print_peaks(struct plan *p)
{
    bool batch = p->whats.mask >> BENCH_BATCH & 1, window = p->whats.mask >> BENCH_WINDOW & 1;
    uint32_t most = batch ? p->threads : 1;
    if (window && p->window_threads > most)
        most = p->window_threads;
    for (unsigned mode = 0; mode < 2; mode++)
        if ((p->modes.mask >> mode & 1) && (print_peak(p, (enum at_mode)mode, 1) < 0 ||
                                            (most > 1 && print_peak(p, (enum at_mode)mode, most))))
            return at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written");
    return 0;
}

static void print_head(void)
{
    printf("%s%-7s %-4s %-8s %-9s %-6s %6s %4s %5s %4s %3s %9s %9s %11s %9s %9s %8s%s\n",
           at_sgr(stdout, "1"), "backend", "mode", "kernel", "norm", "what", "window", "seg", "new",
           "sess", "thr", "p50 ms", "p95 ms", "decisions/s", "KV MB", "work MB", "GFLOP/s",
           at_sgr(stdout, "0"));
}

static int print_result(struct plan *p, const struct bench_job *j, const struct bench_result *r)
{
    const struct at_model_config *c = &at_encoder_model(j->encoder)->config;
    const char *norm = norm_names[c->norm];
    unsigned segment = j->shape.segment ? j->shape.segment : c->segment;
    double kv = (double)r->cost.kv_bytes * j->sessions;
    double work = (double)r->cost.workspace_bytes * j->threads;
    double gflops = r->cost.flops * r->decisions_per_s / 1e9; /* the cost is that of full caches */
    if (p->json) {
        json_t *o = json_pack(
            "{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:I, s:I, s:i}",
            "backend", j->shape.backend->name, "mode", at_mode_name(j->shape.mode), "kernel",
            r->report.kernel, "norm", norm, "what", what_names[j->what], "window", (int)j->window,
            "segment", (int)segment, "new_tokens", (int)j->new_tokens, "sessions", (int)j->sessions,
            "threads", (int)j->threads, "p50_ms", r->p50_ms, "p95_ms", r->p95_ms, "decisions_per_s",
            r->decisions_per_s, "kv_bytes", (json_int_t)kv, "workspace_bytes", (json_int_t)work,
            "runs", (int)r->runs);
        if (o && j->what != BENCH_WINDOW)
            json_object_set_new(o, "gflops", at_json_real(gflops));
        return at_json_line(stdout, o);
    }
    if (p->n_lines == 0)
        print_head();
    printf("%-7s %-4s %-8s %-9s %-6s %6u %4u %5u %4u %3u %9.3f %9.3f %11.1f %9.2f %9.2f ",
           j->shape.backend->name, at_mode_name(j->shape.mode), r->report.kernel, norm,
           what_names[j->what], j->window, segment, j->new_tokens, j->sessions, j->threads,
           r->p50_ms, r->p95_ms, r->decisions_per_s, kv / 1e6, work / 1e6);
    if (j->what == BENCH_WINDOW)
        printf("%8s\n", "");
    else
        printf("%8.1f\n", gflops);
    return fflush(stdout) == 0 ? 0 : -1;
}

/* One line. A combination that the backend doesn't know is said and passed over. */
static int run_job(struct plan *p, const struct bench_job *j)
{
    struct at_error err = {""};
    struct bench_result result;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s %s %s, window %u ...\033[K", j->shape.backend->name,
                at_mode_name(j->shape.mode), what_names[j->what], j->window);
    int r = bench_run(j, &err, &result);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    if (r == -ENOTSUP) {
        fprintf(stderr, "attune bench: left out: %s\n", err.text);
        return 0;
    }
    if (r < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s %s, window %u: %s", j->shape.backend->name,
                       what_names[j->what], j->window, err.text);
    if (print_result(p, j, &result) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written");
    p->n_lines++;
    return 0;
}

static int run_whats(struct plan *p, const struct at_encoder *e, const struct at_attn_backend *b,
                     enum at_mode mode, uint32_t window)
{
    int code = 0;
    for (unsigned what = 0; what < BENCH_WHATS && code == 0; what++) {
        if (!(p->whats.mask >> what & 1))
            continue;
        bool batch = what == BENCH_BATCH;
        struct bench_job job = {
            .what = (enum bench_what)what,
            .encoder = e,
            .window = window,
            .new_tokens = what == BENCH_WINDOW ? window : p->new_tokens,
            .sessions = batch ? p->sessions : 1,
            .threads = batch                  ? p->threads
                       : what == BENCH_WINDOW ? p->window_threads
                                              : 1,
            .seconds = p->seconds,
        };
        job.shape = (struct at_session_shape){
            .backend = b, .mode = mode, .window = window, .segment = p->segment};
        job.shape.max_new = job.new_tokens < PIECE ? job.new_tokens : PIECE;
        code = run_job(p, &job);
    }
    return code;
}

static int run_model(struct plan *p, const struct at_model *m, uint32_t window)
{
    struct at_encoder *e = NULL;
    struct at_error err;
    int code = 0;
    if (at_encoder_create(NULL, m, NULL, &err, &e) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    for (size_t b = 0; b < p->n_backends && code == 0; b++)
        for (unsigned mode = 0; mode < 2 && code == 0; mode++)
            if (p->modes.mask >> mode & 1)
                code = run_whats(p, e, p->backends[b], (enum at_mode)mode, window);
    at_encoder_destroy(e);
    return code;
}

/* The model of --model under each window, or its own. */
static int run_file(struct plan *p)
{
    struct at_model *m = NULL;
    struct at_error err;
    int code = 0;
    if (at_model_read(NULL, p->model_path, &err, &m) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    if (m->config.mask == AT_MASK_NONE || (m->config.window == 0 && p->n_windows == 0))
        code = at_fail(SELF, AT_EXIT_FAILED,
                       "%s: not causal with a window, so there is no stream to measure",
                       p->model_path);
    else if (p->norms.mask && !(p->norms.mask >> m->config.norm & 1))
        code = at_fail(SELF, AT_EXIT_USAGE, "--norm: %s has %s", p->model_path,
                       norm_names[m->config.norm]);
    if (p->n_windows == 0)
        p->windows[p->n_windows++] = m->config.window;
    for (size_t i = 0; i < p->n_windows && code == 0; i++)
        code = run_model(p, m, p->windows[i]);
    at_model_destroy(m);
    return code;
}

static int run_random(struct plan *p)
{
    int code = 0;
    if (p->n_windows == 0)
        p->windows[p->n_windows++] = 1024;
    if (!p->norms.mask)
        p->norms.mask = 1u << AT_NORM_RMS;
    for (unsigned norm = 0; norm < 2; norm++)
        for (size_t i = 0; i < p->n_windows && code == 0 && (p->norms.mask >> norm & 1); i++) {
            struct at_model_config config = at_model_reference_point(p->windows[i]);
            struct at_model *m = NULL;
            struct at_error err;
            config.norm = (enum at_norm)norm;
            if (at_model_random(NULL, &config, 1, &err, &m) < 0)
                return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
            code = run_model(p, m, p->windows[i]);
            at_model_destroy(m);
        }
    return code;
}

/* What was not asked for: every backend, fp32, all three measurements. */
static void set_defaults(struct plan *p)
{
    for (size_t i = 0; p->n_backends == 0 && at_attn_registry[i] && i < MAX_LIST; i++)
        p->backends[i] = at_attn_registry[i];
    while (p->n_backends < MAX_LIST && p->backends[p->n_backends])
        p->n_backends++;
    if (!p->modes.mask)
        p->modes.mask = 1u << AT_MODE_FP32;
    if (!p->whats.mask)
        p->whats.mask = (1u << BENCH_WHATS) - 1;
    p->window_threads = p->threads ? p->threads : 1;
    if (!p->threads) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        p->threads = n < 1 ? 1 : n > BENCH_MAX_THREADS ? BENCH_MAX_THREADS : (uint32_t)n;
    }
}

#define OF(m) offsetof(struct plan, m)
static const struct at_option options[] = {
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object per line"},
    {"what", 'w', AT_OPTION_TEXT, OF(lists.whats), "LIST", "of window, stream, batch; else all",
     .choices = "window,stream,batch"},
    {"backend", 'b', AT_OPTION_TEXT, OF(lists.backends), "LIST", "of backends; else all",
     .choices = "mha,flash,gqa,latent"},
    {"mode", 'm', AT_OPTION_TEXT, OF(lists.modes), "LIST", "of fp32, bf16; else fp32",
     .choices = "fp32,bf16"},
    {"norm", 0, AT_OPTION_TEXT, OF(lists.norms), "LIST", "of rmsnorm, layernorm; else rmsnorm",
     .choices = "rmsnorm,layernorm"},
    {"window", 'W', AT_OPTION_TEXT, OF(lists.windows), "LIST",
     "tokens looked back; else 1024 or the model's"},
    {"segment", 0, AT_OPTION_COUNT, OF(segment), "N", "latent segment; else the model's", 1, 4096},
    {"new-tokens", 'n', AT_OPTION_COUNT, OF(new_tokens), "N", "new tokens of a decision", 1, 16384,
     "64"},
    {"sessions", 0, AT_OPTION_COUNT, OF(sessions), "N", "sessions of a batch", 1, 4096, "16"},
    {"threads", 't', AT_OPTION_COUNT, OF(threads), "N",
     "threads of a batch (one per core) or a window (1)", 1, BENCH_MAX_THREADS},
    {"seconds", 's', AT_OPTION_NUMBER, OF(seconds), "S", "to measure for each line", 0.01, 600,
     "1"},
    {"model", 0, AT_OPTION_TEXT, OF(model_path), "FILE", "a model file; else random weights"},
    {"report", 0, AT_OPTION_TEXT, OF(report_dir), "DIR",
     "measure all of it and write the paper's table and figures as a page with SVG and JSON"},
    {0},
};

static int compare_windows(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Every backend, mode and norm that the lists leave; 1024 to 16384 tokens unless told otherwise. */
static int report(struct plan *p)
{
    static struct bench_report r; /* some 100 KB */
    struct at_error err;
    for (uint32_t w = 1024; p->lists.windows == NULL && w <= 16384; w *= 2)
        p->windows[p->n_windows++] = w;
    qsort(p->windows, p->n_windows, sizeof *p->windows, compare_windows);
    r = (struct bench_report){.dir = p->report_dir,
                              .model_path = p->model_path,
                              .backends = p->backends,
                              .n_backends = p->n_backends,
                              .windows = p->windows,
                              .n_windows = p->n_windows,
                              .threads = p->threads,
                              .sessions = p->sessions,
                              .new_tokens = p->new_tokens,
                              .seconds = p->seconds};
    if (bench_report_run(&r, &err) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    printf("%s/index.html\n", p->report_dir);
    return AT_EXIT_OK;
}

static int run(int argc, char **argv)
{
    struct plan p = {0};
    p.whats = (struct choice){.option = "what", .names = what_names, .n = BENCH_WHATS};
    p.modes = (struct choice){.option = "mode", .names = mode_names, .n = 2};
    p.norms = (struct choice){.option = "norm", .names = norm_names, .n = 2};
    int code = 0, n = at_options_parse(SELF, &p, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no argument expected, got %.40s", argv[1]);
    if ((code = read_list("what", p.lists.whats, visit_choice, &p.whats)) ||
        (code = read_list("mode", p.lists.modes, visit_choice, &p.modes)) ||
        (code = read_list("norm", p.lists.norms, visit_choice, &p.norms)) ||
        (code = read_list("backend", p.lists.backends, visit_backend, &p)) ||
        (code = read_list("window", p.lists.windows, visit_window, &p)))
        return code;
    set_defaults(&p);
    if (p.report_dir)
        return report(&p);
    code = print_peaks(&p);
    if (code == 0)
        code = p.model_path ? run_file(&p) : run_random(&p);
    if (code == 0 && p.n_lines == 0)
        return at_fail(SELF, AT_EXIT_FAILED, "nothing of this can run here");
    return code;
}

const struct at_command at_command_bench = {
    .name = "bench",
    .summary = "Measure what a decision costs under each backend",
    .usage = "[OPTION]...",
    .details =
        "window: one session, empty cache, W tokens. stream: one session, full cache, n new "
        "tokens. batch: n sessions with full caches over the threads; p50 and p95 are then those "
        "of a round over the sessions of a thread. KV and workspace are exact, for all sessions "
        "and threads. peak: multiply-adds in registers.\n"
        "Without --model: the reference point (4 layers, 128 wide, 128 bins, 17 classes), random "
        "weights.",
    .examples =
        "attune bench                                       # every backend at window 1024\n"
        "attune bench --what window -b flash -W 1024,4096   # one session, empty cache\n"
        "attune bench --what batch --sessions 64 -t 2 --json\n"
        "attune bench --report report -s 0.3                # some minutes; then open "
        "report/index.html\n",
    .options = options,
    .run = run,
};
