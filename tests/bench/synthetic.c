/* Accuracy of a model file on synthetic signals of the test seeds, under each backend, by the
 * shipped encoder:
 *
 *     build/tests/bench/synthetic models/attune-base.safetensors [SIGNALS [TOKENS]]
 *
 * The same signals for every backend (paired). Test seeds have 3 in their top byte and meet no
 * training seed (1). Prints one JSON object. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/dataset/dataset.h"
#include "lib/model/encoder.h"
#include "lib/synth/synth.h"

#define N_BACKENDS 4
#define N_THREADS  2
#define MAX_TOKENS 1024

static const char *const backends[N_BACKENDS] = {"mha", "flash", "gqa", "latent"};
static const float edges_db[] = {-10, 0, 10, 20, 30};
#define N_RANGES 4

struct tally {
    long right[N_BACKENDS][N_RANGES], of[N_RANGES];
    long class_right[AT_CLASS_COUNT], class_of[AT_CLASS_COUNT]; /* flash, 10 dB and more */
    long detected;
};

struct job {
    const struct at_encoder *encoder;
    long signals;
    uint32_t tokens;
    _Atomic long *next;
    struct tally tally;
    int failed;
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
static void gather(const struct at_model *m, float *frames, size_t n, size_t columns, float *out)
{
    size_t width = m->config.n_bins + m->config.n_aux;
    for (size_t i = 0; i < n; i++) {
        memcpy(out + i * width, frames + i * columns, m->config.n_bins * sizeof *out);
        for (uint32_t k = 0; k < m->config.n_aux; k++)
            out[i * width + m->config.n_bins + k] =
                frames[i * columns + m->config.n_bins + (size_t)m->aux_columns[k]];
    }
}

static void score(struct job *j, struct at_session **s, struct at_worker *w, const float *in,
                  const struct at_example_info *info)
{
    const struct at_model *m = at_encoder_model(j->encoder);
    int range = range_of(info->snr_db),
        label = at_model_label_index(m, at_class_name(info->class_id));
    j->tally.of[range]++;
    j->tally.detected += info->detected;
    for (int b = 0; b < N_BACKENDS; b++) {
        float logits[AT_MAX_CLASSES];
        at_session_reset(s[b]);
        at_session_push(s[b], w, in, (size_t)info->n_tokens, m->config.n_bins + m->config.n_aux);
        at_session_logits(s[b], logits);
        int right = top_of(logits, m->config.n_classes) == label;
        j->tally.right[b][range] += right;
        if (b == 1 && info->snr_db >= 10) {
            j->tally.class_of[info->class_id]++;
            j->tally.class_right[info->class_id] += right;
        }
    }
}

static void *work(void *arg)
{
    struct job *j = arg;
    struct at_session_shape shapes[N_BACKENDS];
    struct at_session *s[N_BACKENDS] = {0};
    struct at_worker *w = NULL;
    struct at_error err;
    size_t columns = (size_t)at_example_columns();
    float *frames = malloc(MAX_TOKENS * columns * sizeof *frames),
          *in = malloc(MAX_TOKENS * columns * sizeof *in);
    j->failed = !frames || !in;
    for (int b = 0; b < N_BACKENDS && !j->failed; b++) {
        shapes[b] =
            (struct at_session_shape){.backend = at_attn_find(backends[b], &err), .max_new = 256};
        j->failed =
            !shapes[b].backend || at_session_create(j->encoder, &shapes[b], &err, &s[b]) < 0;
    }
    if (!j->failed)
        j->failed = at_worker_create(j->encoder, shapes, N_BACKENDS, &err, &w) < 0;
    for (long i; !j->failed && (i = atomic_fetch_add(j->next, 1)) < j->signals;) {
        struct at_example_info info = {0};
        for (uint64_t again = 0; again < 8 && info.n_tokens == 0; again++) {
            struct at_example_spec spec = {.seed =
                                               (UINT64_C(3) << 56 | (uint64_t)i) + (again << 44),
                                           .class_id = (int32_t)(i % AT_CLASS_COUNT),
                                           .max_tokens = j->tokens,
                                           .snr_lo_db = -10,
                                           .snr_hi_db = 30};
            if (at_example_make(&spec, frames, &info) < 0)
                break;
        }
        if (info.n_tokens == 0)
            continue;
        gather(at_encoder_model(j->encoder), frames, (size_t)info.n_tokens, columns, in);
        score(j, s, w, in, &info);
        if (i % 1000 == 0)
            fprintf(stderr, "%ld of %ld\n", i, j->signals);
    }
    for (int b = 0; b < N_BACKENDS; b++)
        at_session_destroy(s[b]);
    at_worker_destroy(w);
    free(frames);
    free(in);
    return NULL;
}

static void print(const struct tally *t, uint32_t tokens)
{
    long all = 0;
    for (int r = 0; r < N_RANGES; r++)
        all += t->of[r];
    printf("{\"signals\": %ld, \"tokens\": %u, \"detected\": %.3f, \"backends\": {", all, tokens,
           (double)t->detected / (double)all);
    for (int b = 0; b < N_BACKENDS; b++) {
        long right = 0;
        for (int r = 0; r < N_RANGES; r++)
            right += t->right[b][r];
        double p = (double)right / (double)all;
        printf("%s\"%s\": {\"overall\": %.4f, \"ci95\": %.4f", b ? ", " : "", backends[b], p,
               1.96 * sqrt(p * (1 - p) / (double)all));
        for (int r = 0; r < N_RANGES; r++)
            printf(", \"%g..%g\": %.4f", (double)edges_db[r], (double)edges_db[r + 1],
                   (double)t->right[b][r] / (double)t->of[r]);
        printf("}");
    }
    printf("}, \"class_at_10db\": {");
    const char *comma = "";
    for (int c = 0; c < AT_CLASS_COUNT; c++) {
        if (!t->class_of[c]) /* noise has no SNR */
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

int main(int argc, char **argv)
{
    struct at_error err = {""};
    struct at_model *model = NULL;
    struct at_encoder *encoder = NULL;
    long signals = argc > 2 ? atol(argv[2]) : 17408, tokens = argc > 3 ? atol(argv[3]) : 256;
    if (argc < 2 || signals < 1 || tokens < 1 || tokens > MAX_TOKENS) {
        fprintf(stderr, "usage: synthetic MODEL [SIGNALS [TOKENS up to %d]]\n", MAX_TOKENS);
        return AT_EXIT_USAGE;
    }
    if (at_model_read(NULL, argv[1], &err, &model) < 0 ||
        at_encoder_create(NULL, model, NULL, &err, &encoder) < 0) {
        fprintf(stderr, "synthetic: %s\n", err.text);
        at_model_destroy(model);
        return AT_EXIT_FAILED;
    }
    _Atomic long next = 0;
    struct job jobs[N_THREADS];
    pthread_t threads[N_THREADS];
    struct tally sum = {0};
    int failed = 0;
    for (int i = 0; i < N_THREADS; i++) {
        jobs[i] = (struct job){
            .encoder = encoder, .signals = signals, .tokens = (uint32_t)tokens, .next = &next};
        failed |= pthread_create(&threads[i], NULL, work, &jobs[i]) != 0;
    }
    for (int i = 0; i < N_THREADS && !failed; i++) {
        pthread_join(threads[i], NULL);
        failed |= jobs[i].failed;
        add(&sum, &jobs[i].tally);
    }
    if (!failed)
        print(&sum, (uint32_t)tokens);
    at_encoder_destroy(encoder);
    at_model_destroy(model);
    return failed ? AT_EXIT_FAILED : AT_EXIT_OK;
}
