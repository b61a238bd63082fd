/* Accuracy of a model file on synthetic signals of the test seeds, under each backend, by the
 * shipped encoder:
 *
 *     build/tests/bench/synthetic MODEL [SIGNALS [TOKENS]] [--backends flash,gqa,latent]
 *         [--split test|calibration|outliers] [--class noise] [--snr LO:HI] [--from 100000]
 *         [--ends 16,1024] [--each FILE] [--threads 2]
 *
 * The same signals for every backend (paired). Test seeds have 3 in their top byte, calibration's
 * 2; they meet no training seed (1). `outliers` are test signals of no class. Prints one JSON
 * object; --each writes one JSON line per signal with its logits at the ends (tokens) that are
 * asked for and at its own, which train/evaluate.py reads. --class: that one instead of all in
 * turn;
 * --from: the number of the first signal. SPDX-License-Identifier: GPL-3.0-or-later
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dataset/dataset.h"
#include "lib/model/encoder.h"
#include "lib/synth/synth.h"

#define MAX_BACKENDS 4
#define MAX_THREADS  256
#define MAX_TOKENS   16384
#define MAX_ENDS     8

static const float edges_db[] = {-10, 0, 10, 20, 30};
#define N_RANGES 4

struct request {
    const char *model, *each;
    const char *backends[MAX_BACKENDS];
    int n_backends, n_ends, n_threads;
    long signals, tokens;
    size_t ends[MAX_ENDS]; /* rising */
    uint64_t first_seed;
    bool outliers;
    long class_id; /* -1: all in turn */
    long from;
    double snr_lo_db, snr_hi_db;
};

struct tally {
    long right[MAX_BACKENDS][N_RANGES], of[N_RANGES];
    long class_right[AT_CLASS_COUNT], class_of[AT_CLASS_COUNT]; /* first backend, 10 dB and more */
    long noise_right[MAX_BACKENDS], noise_of;                   /* has no SNR */
    long detected;
};

struct job {
    const struct request *req;
    const struct at_encoder *encoder;
    _Atomic long *next;
    FILE *each;
    struct tally tally;
    int failed;
};

struct bench {
    struct at_session *s[MAX_BACKENDS];
    struct at_worker *w;
    float *frames, *in;                                       /* (tokens, columns) */
    float logits[MAX_BACKENDS][MAX_ENDS + 1][AT_MAX_CLASSES]; /* the last: of all tokens */
};

static int range_of(float snr_db)
{
    for (int r = N_RANGES - 1; r > 0; r--)
        if (snr_db >= edges_db[r])
            return r;
    return 0;
}

static int top_of(const float *logits, uint32_t n)
{
    uint32_t top = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[top])
            top = i;
    return (int)top;
}

/* frames (n, columns), gathered to the columns that the model was trained on. */
static void gather(const struct at_model *m, const float *frames, size_t n, size_t columns,
                   float *out)
{
    size_t width = m->config.n_bins + m->config.n_aux;
    for (size_t i = 0; i < n; i++) {
        memcpy(out + i * width, frames + i * columns, m->config.n_bins * sizeof *out);
        for (uint32_t k = 0; k < m->config.n_aux; k++)
            out[i * width + m->config.n_bins + k] =
                frames[i * columns + m->config.n_bins + (size_t)m->aux_columns[k]];
    }
}

/* Logits of each backend at each end that the signal reaches, then of all of it. */
static void answer(const struct job *j, struct bench *b, size_t n)
{
    const struct at_model *m = at_encoder_model(j->encoder);
    size_t width = m->config.n_bins + m->config.n_aux;
    for (int k = 0; k < j->req->n_backends; k++) {
        size_t at = 0;
        at_session_reset(b->s[k]);
        for (int i = 0; i <= j->req->n_ends; i++) {
            size_t end = i < j->req->n_ends && j->req->ends[i] < n ? j->req->ends[i] : n;
            if (end > at)
                at_session_push(b->s[k], b->w, b->in + at * width, end - at, width);
            at = end;
            at_session_logits(b->s[k], b->logits[k][i]);
        }
    }
}

static void score(struct job *j, const struct bench *b, const struct at_example_info *info)
{
    const struct at_model *m = at_encoder_model(j->encoder);
    bool noise = info->class_id == AT_CLASS_NOISE;
    int range = range_of(info->snr_db),
        label = at_model_label_index(m, at_class_name(info->class_id));
    j->tally.of[range] += !noise;
    j->tally.noise_of += noise;
    j->tally.detected += info->detected;
    for (int k = 0; k < j->req->n_backends; k++) {
        int right = top_of(b->logits[k][j->req->n_ends], m->config.n_classes) == label;
        j->tally.right[k][range] += !noise && right;
        j->tally.noise_right[k] += noise && right;
        if (k == 0 && !noise && info->snr_db >= 10) {
            j->tally.class_of[info->class_id]++;
            j->tally.class_right[info->class_id] += right;
        }
    }
}

static void write_each(const struct job *j, const struct bench *b, uint64_t seed,
                       const struct at_example_info *info)
{
    uint32_t n_classes = at_encoder_model(j->encoder)->config.n_classes;
    flockfile(j->each);
    fprintf(j->each,
            "{\"seed\": %llu, \"class\": \"%s\", \"variant\": \"%s\", \"tokens\": %d, "
            "\"detected\": %d, \"snr_db\": %.2f, \"measured_snr_db\": %.2f, \"share\": %.4f, "
            "\"rate_hz\": %.0f, \"bandwidth_hz\": %.0f, \"truth_bandwidth_hz\": %.0f, "
            "\"overlap\": %.3f, \"logits\": {",
            (unsigned long long)seed,
            info->class_id < 0 ? "outlier" : at_class_name(info->class_id), info->variant,
            info->n_tokens, info->detected, (double)info->snr_db, (double)info->measured_snr_db,
            (double)info->share, (double)info->rate_hz, (double)info->bandwidth_hz,
            (double)info->truth_bandwidth_hz, (double)info->overlap);
    for (int k = 0; k < j->req->n_backends; k++) {
        fprintf(j->each, "%s\"%s\": [", k ? ", " : "", j->req->backends[k]);
        for (int i = 0; i <= j->req->n_ends; i++) {
            fprintf(j->each, "%s[", i ? ", " : "");
            for (uint32_t c = 0; c < n_classes; c++)
                fprintf(j->each, "%s%.4f", c ? ", " : "", (double)b->logits[k][i][c]);
            fprintf(j->each, "]");
        }
        fprintf(j->each, "]");
    }
    fprintf(j->each, "}}\n");
    funlockfile(j->each);
}

/* The i-th signal; draws again where nothing came of it. Returns its seed. */
static uint64_t make(const struct request *req, long i, float *frames, struct at_example_info *ret)
{
    struct at_example_spec spec = {.class_id = req->outliers        ? AT_EXAMPLE_OUTLIER
                                               : req->class_id >= 0 ? (int32_t)req->class_id
                                                                    : (int32_t)(i % AT_CLASS_COUNT),
                                   .max_tokens = (uint32_t)req->tokens,
                                   .snr_lo_db = (float)req->snr_lo_db,
                                   .snr_hi_db = (float)req->snr_hi_db};
    ret->n_tokens = 0;
    for (uint64_t again = 0; again < 8 && ret->n_tokens == 0; again++) {
        spec.seed = req->first_seed + (uint64_t)i + (again << 44);
        if (at_example_make(&spec, frames, ret) < 0)
            ret->n_tokens = 0;
    }
    return spec.seed;
}

static int prepare(const struct job *j, struct bench *b)
{
    struct at_session_shape shapes[MAX_BACKENDS];
    struct at_error err = {""};
    size_t each = (size_t)j->req->tokens * (size_t)at_example_columns();
    b->frames = malloc(each * sizeof *b->frames);
    b->in = malloc(each * sizeof *b->in);
    int e = b->frames && b->in ? 0 : -ENOMEM;
    for (int k = 0; k < j->req->n_backends && e == 0; k++) {
        shapes[k] = (struct at_session_shape){.backend = at_attn_find(j->req->backends[k], &err),
                                              .max_new = 256};
        e = shapes[k].backend ? at_session_create(j->encoder, &shapes[k], &err, &b->s[k]) : -ENOENT;
    }
    if (e == 0)
        e = at_worker_create(j->encoder, shapes, (size_t)j->req->n_backends, &err, &b->w);
    if (e < 0)
        fprintf(stderr, "synthetic: %s\n", err.text[0] ? err.text : strerror(-e));
    return e;
}

static void *work(void *arg)
{
    struct job *j = arg;
    struct bench b = {0};
    j->failed = prepare(j, &b) < 0;
    for (long i; !j->failed && (i = atomic_fetch_add(j->next, 1)) < j->req->signals;) {
        struct at_example_info info = {0};
        uint64_t seed = make(j->req, j->req->from + i, b.frames, &info);
        if (info.n_tokens == 0)
            continue;
        gather(at_encoder_model(j->encoder), b.frames, (size_t)info.n_tokens,
               (size_t)at_example_columns(), b.in);
        answer(j, &b, (size_t)info.n_tokens);
        if (info.class_id >= 0)
            score(j, &b, &info);
        if (j->each)
            write_each(j, &b, seed, &info);
        if (i % 1000 == 0)
            fprintf(stderr, "%ld of %ld\n", i, j->req->signals);
    }
    for (int k = 0; k < j->req->n_backends; k++)
        at_session_destroy(b.s[k]);
    at_worker_destroy(b.w);
    free(b.frames);
    free(b.in);
    return NULL;
}

static void print(const struct request *req, const struct tally *t)
{
    long all = t->noise_of;
    for (int r = 0; r < N_RANGES; r++)
        all += t->of[r];
    printf("{\"signals\": %ld, \"tokens\": %ld, \"detected\": %.3f, \"backends\": {", all,
           req->tokens, (double)t->detected / (double)all);
    for (int k = 0; k < req->n_backends; k++) {
        long right = t->noise_right[k];
        for (int r = 0; r < N_RANGES; r++)
            right += t->right[k][r];
        double p = (double)right / (double)all;
        printf("%s\"%s\": {\"overall\": %.4f, \"ci95\": %.4f, \"noise\": %.4f", k ? ", " : "",
               req->backends[k], p, 1.96 * sqrt(p * (1 - p) / (double)all),
               (double)t->noise_right[k] / (double)(t->noise_of ? t->noise_of : 1));
        for (int r = 0; r < N_RANGES; r++)
            if (t->of[r])
                printf(", \"%g..%g\": %.4f", (double)edges_db[r], (double)edges_db[r + 1],
                       (double)t->right[k][r] / (double)t->of[r]);
        printf("}");
    }
    printf("}, \"class_at_10db\": {");
    const char *comma = "";
    for (int c = 0; c < AT_CLASS_COUNT; c++) {
        if (!t->class_of[c])
            continue;
        printf("%s\"%s\": %.3f", comma, at_class_name(c),
               (double)t->class_right[c] / (double)t->class_of[c]);
        comma = ", ";
    }
    printf("}}\n");
}

static void add(struct tally *sum, const struct tally *t)
{
    long *a = (long *)sum;
    const long *b = (const long *)t;
    for (size_t i = 0; i < sizeof *sum / sizeof *a; i++)
        a[i] += b[i];
}

/* "a,b,c" cut in place; how many. */
static int cut(char *list, const char **ret, int most)
{
    int n = 0;
    for (char *rest = list, *word; n < most && (word = strtok_r(rest, ",", &rest));)
        ret[n++] = word;
    return n;
}

static bool read_split(const char *name, struct request *r)
{
    r->outliers = !strcmp(name, "outliers");
    r->first_seed = UINT64_C(3) << 56;
    if (!strcmp(name, "calibration")) /* as train/data.py */
        r->first_seed = (UINT64_C(2) << 56) + (UINT64_C(1) << 32);
    else if (r->outliers)
        r->first_seed += UINT64_C(1) << 34;
    return r->outliers || !strcmp(name, "calibration") || !strcmp(name, "test");
}

static bool read_class(const char *name, struct request *r)
{
    for (r->class_id = 0; r->class_id < AT_CLASS_COUNT; r->class_id++)
        if (!strcmp(name, at_class_name((int)r->class_id)))
            return true;
    return false;
}

static bool read_arguments(int argc, char **argv, struct request *r)
{
    static const struct option options[] = {
        {"backends", 1, NULL, 'b'}, {"split", 1, NULL, 's'}, {"snr", 1, NULL, 'r'},
        {"ends", 1, NULL, 'e'},     {"each", 1, NULL, 'f'},  {"threads", 1, NULL, 't'},
        {"class", 1, NULL, 'c'},    {"from", 1, NULL, 'n'},  {0}};
    const char *ends[MAX_ENDS];
    bool ok = true;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'b')
            r->n_backends = cut(optarg, r->backends, MAX_BACKENDS);
        else if (o == 's')
            ok = ok && read_split(optarg, r);
        else if (o == 'r')
            ok = ok && sscanf(optarg, "%lf:%lf", &r->snr_lo_db, &r->snr_hi_db) == 2;
        else if (o == 'f')
            r->each = optarg;
        else if (o == 'c')
            ok = ok && read_class(optarg, r);
        else if (o == 'n')
            r->from = atol(optarg);
        else if (o == 't')
            r->n_threads = atoi(optarg);
        else if (o == 'e')
            for (r->n_ends = cut(optarg, ends, MAX_ENDS), o = 0; o < r->n_ends; o++)
                r->ends[o] = strtoul(ends[o], NULL, 10);
        else
            ok = false;
    }
    argc -= optind;
    r->model = argv[optind];
    r->signals = argc > 1 ? atol(argv[optind + 1]) : 17408;
    r->tokens = argc > 2 ? atol(argv[optind + 2]) : 256;
    return ok && argc >= 1 && r->from >= 0 && r->n_backends > 0 && r->signals > 0 &&
           r->tokens > 0 && r->tokens <= MAX_TOKENS && r->n_threads > 0 &&
           r->n_threads <= MAX_THREADS;
}

static int run(const struct request *req, const struct at_encoder *encoder)
{
    _Atomic long next = 0;
    struct job jobs[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    struct tally sum = {0};
    FILE *each = req->each ? fopen(req->each, "w") : NULL;
    int failed = req->each && !each, started = 0;
    if (failed)
        perror(req->each);
    for (; started < req->n_threads && !failed; started += !failed) {
        jobs[started] = (struct job){.req = req, .encoder = encoder, .next = &next, .each = each};
        failed = pthread_create(&threads[started], NULL, work, &jobs[started]) != 0;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        failed |= jobs[i].failed;
        add(&sum, &jobs[i].tally);
    }
    if (each && fclose(each) != 0) {
        perror(req->each);
        failed = 1;
    }
    if (!failed)
        print(req, &sum);
    return failed ? AT_EXIT_FAILED : AT_EXIT_OK;
}

int main(int argc, char **argv)
{
    struct at_error err = {""};
    struct at_model *model = NULL;
    struct at_encoder *encoder = NULL;
    struct request req = {.backends = {"mha", "flash", "gqa", "latent"},
                          .n_backends = 4,
                          .n_threads = 2,
                          .first_seed = UINT64_C(3) << 56,
                          .class_id = -1,
                          .snr_lo_db = -10,
                          .snr_hi_db = 30};
    if (!read_arguments(argc, argv, &req)) {
        fprintf(stderr,
                "usage: synthetic MODEL [SIGNALS [TOKENS up to %d]] [--backends B,..] [--split "
                "test|calibration|outliers] [--class NAME] [--snr LO:HI] [--from N] [--ends N,..] "
                "[--each FILE] [--threads N]\n",
                MAX_TOKENS);
        return AT_EXIT_USAGE;
    }
    int status = AT_EXIT_FAILED;
    if (at_model_read(NULL, req.model, &err, &model) < 0 ||
        at_encoder_create(NULL, model, NULL, &err, &encoder) < 0)
        fprintf(stderr, "synthetic: %s\n", err.text);
    else
        status = run(&req, encoder);
    at_encoder_destroy(encoder);
    at_model_destroy(model);
    return status;
}
