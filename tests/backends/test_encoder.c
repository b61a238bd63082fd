/* The encoder and its sessions against the golden files, whole and in chunks, alone and in batches.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/model/encoder.h"
#include "tests/backends/parity.h"
#include "tests/support/variants.h"

/* One golden file: model, frames (n, width), and the streams to expect. */
struct golden {
    struct at_safetensors *file;
    struct at_model *model;
    const struct at_tensor *frames;
    size_t n, width, chunk;
};

static struct golden load(int i)
{
    struct at_error err;
    struct golden g = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/encoder-%d.safetensors", getenv("ATTUNE_SRC"), i);
    struct at_safetensors *owned = NULL;
    if (at_safetensors_read(NULL, path, &err, &g.file) < 0 ||
        at_safetensors_read(NULL, path, &err, &owned) < 0 ||
        at_model_from_file(NULL, owned, &err, &g.model) < 0)
        fail_msg("%s", err.text);
    g.frames = at_safetensors_find(g.file, "frames");
    g.n = g.frames->shape[0];
    g.width = g.frames->shape[1];
    g.chunk = (size_t)atoi(at_safetensors_meta(g.file, "chunk"));
    return g;
}

static void unload(struct golden *g)
{
    at_model_destroy(g->model);
    at_safetensors_destroy(g->file);
}

/* Logits of rows row of tensor kind.backend against `got`. */
static double distance(const struct golden *g, const char *kind, const char *backend, size_t row,
                       const float *got)
{
    char name[48];
    snprintf(name, sizeof name, "%s.%s", kind, strcmp(backend, "flash") == 0 ? "mha" : backend);
    const struct at_tensor *t = at_safetensors_find(g->file, name);
    double want[AT_MAX_CLASSES];
    size_t n = g->model->config.n_classes;
    for (size_t i = 0; i < n; i++)
        want[i] = t->data[row * n + i];
    return parity_nmse(got, want, n);
}

/* Logits in bf16, as attention alone in test_parity.c. */
#define BF16_LOGITS 1e-4
static enum at_mode mode_now;
static double worst_bf16;

static struct at_session_shape shape_of(const struct golden *g, const struct at_attn_backend *b,
                                        size_t max_new)
{
    return (struct at_session_shape){
        .backend = b, .mode = mode_now, .max_new = (uint32_t)max_new, .capacity = (uint32_t)g->n};
}

/* Pushes all frames in pieces of `chunk`, and checks the logits after each `chunk` that the file
 * knows. */
static void stream(const struct golden *g, const struct at_encoder *e,
                   const struct at_attn_backend *b, size_t chunk, const char *kernel)
{
    struct at_error err;
    struct at_session_shape shape = shape_of(g, b, chunk);
    struct at_worker *w = NULL;
    struct at_session *s = NULL;
    if (at_worker_create(e, &shape, 1, &err, &w) < 0 || at_session_create(e, &shape, &err, &s) < 0)
        fail_msg("%s", err.text);
    float logits[AT_MAX_CLASSES];
    for (size_t at = 0; at < g->n;) {
        size_t n = g->n - at < chunk ? g->n - at : chunk;
        at_session_push(s, w, g->frames->data + at * g->width, n, g->width);
        at += n;
        assert_int_equal(at_session_tokens(s), at);
        at_session_logits(s, logits);
        if (g->chunk && at % g->chunk == 0) {
            double nmse = distance(g, "stream", b->name, at / g->chunk - 1, logits);
            if (!(nmse <= (mode_now == AT_MODE_BF16 ? BF16_LOGITS : 1e-8)))
                fail_msg("%s/%s in chunks of %zu: after %zu tokens NMSE %.3g", b->name, kernel,
                         chunk, at, nmse);
        }
    }
    double nmse = distance(g, "logits", b->name, 0, logits);
    if (mode_now == AT_MODE_BF16)
        worst_bf16 = nmse > worst_bf16 ? nmse : worst_bf16;
    if (!(nmse <= (mode_now == AT_MODE_BF16 ? BF16_LOGITS : 1e-10)))
        fail_msg("%s/%s in chunks of %zu: NMSE %.3g at the end", b->name, kernel, chunk, nmse);
    at_session_destroy(s);
    at_worker_destroy(w);
}

static void all_golden(void)
{
    for (int i = 0; i < 5; i++) {
        struct golden g = load(i);
        const struct at_kernels *k;
        for (size_t v = 0; (k = variant_at(v)); v++) {
            struct at_error err;
            struct at_encoder *e = NULL;
            assert_int_equal(at_encoder_create(NULL, g.model, k, &err, &e), 0);
            const size_t chunks[] = {1, 7, 32, 64, g.n};
            for (size_t b = 0; at_attn_registry[b]; b++)
                for (size_t c = g.model->config.mask == AT_MASK_NONE ? 4 : 0; c < 5; c++)
                    stream(&g, e, at_attn_registry[b], chunks[c], k->name);
            at_encoder_destroy(e);
        }
        unload(&g);
    }
}

static void test_golden(void **state)
{
    mode_now = AT_MODE_FP32;
    all_golden();
}

static void test_golden_bf16(void **state)
{
    mode_now = AT_MODE_BF16;
    all_golden();
    mode_now = AT_MODE_FP32;
    print_message("worst NMSE of logits in bf16: %.3g\n", worst_bf16);
}

/* Three sessions with different numbers of tokens give in a batch what each gives alone; the batch
 * passes the worker's rows, and frames have a stride. */
static void test_batch(void **state)
{
    struct golden g = load(0);
    struct at_error err;
    struct at_encoder *e = NULL;
    assert_int_equal(at_encoder_create(NULL, g.model, NULL, &err, &e), 0);
    size_t stride = g.width + 3;
    float *frames = calloc(g.n * stride, sizeof *frames);
    for (size_t t = 0; t < g.n; t++)
        memcpy(frames + t * stride, g.frames->data + t * g.width, g.width * sizeof *frames);
    for (size_t b = 0; at_attn_registry[b]; b++) {
        struct at_session_shape shape = shape_of(&g, at_attn_registry[b], 64);
        struct at_worker *w = NULL;
        struct at_session *batch[3], *alone = NULL;
        const size_t n[3] = {g.n, 33, 100};
        const float *const from[3] = {frames, frames + 5 * stride, frames + 20 * stride};
        assert_int_equal(at_worker_create(e, &shape, 1, &err, &w), 0);
        assert_int_equal(at_session_create(e, &shape, &err, &alone), 0);
        for (int i = 0; i < 3; i++)
            assert_int_equal(at_session_create(e, &shape, &err, &batch[i]), 0);
        at_session_push_batch(batch, w, from, n, 3, stride);
        for (int i = 0; i < 3; i++) {
            float got[AT_MAX_CLASSES], logits[AT_MAX_CLASSES];
            double want[AT_MAX_CLASSES];
            at_session_reset(alone);
            at_session_push(alone, w, from[i], n[i], stride);
            at_session_logits(alone, logits);
            at_session_logits(batch[i], got);
            for (size_t c = 0; c < g.model->config.n_classes; c++)
                want[c] = logits[c];
            double nmse = parity_nmse(got, want, g.model->config.n_classes);
            if (!(nmse <= 1e-10))
                fail_msg("%s: session %d of a batch differs from alone by NMSE %.3g",
                         shape.backend->name, i, nmse);
            at_session_destroy(batch[i]);
        }
        at_session_destroy(alone);
        at_worker_destroy(w);
    }
    free(frames);
    at_encoder_destroy(e);
    unload(&g);
}

/* Logits of all of frames (n, width), pushed twice, by a team of n_threads. */
static void push_with_team(const struct at_encoder *e, const struct at_session_shape *shape,
                           unsigned n_threads, const float *frames, size_t n, size_t width,
                           float *ret_logits)
{
    struct at_error err;
    struct at_team *team = NULL;
    struct at_session *s = NULL;
    if (at_team_create(e, shape, 1, n_threads, &err, &team) < 0 ||
        at_session_create(e, shape, &err, &s) < 0)
        fail_msg("%s", err.text);
    at_team_push(team, s, frames, n, width);
    at_team_push(team, s, frames, n - 13, width);
    assert_int_equal(at_session_tokens(s), 2 * n - 13);
    at_session_logits(s, ret_logits);
    at_session_destroy(s);
    at_team_destroy(team);
}

/* One session over several threads, more of them than layers too, is what one thread makes of it.
 */
static void test_team(void **state)
{
    struct golden g = load(0);
    struct at_error err;
    struct at_encoder *e = NULL;
    const size_t n = 1500, classes = g.model->config.n_classes;
    float *frames = calloc(n * g.width, sizeof *frames), one[AT_MAX_CLASSES], many[AT_MAX_CLASSES];
    uint64_t seed = 5;
    parity_noise(&seed, 1, n * g.width, frames);
    assert_int_equal(at_encoder_create(NULL, g.model, NULL, &err, &e), 0);
    for (size_t b = 0; at_attn_registry[b]; b++)
        for (unsigned threads = 2; threads <= 7; threads += 5) {
            struct at_session_shape shape = shape_of(&g, at_attn_registry[b], 256);
            double want[AT_MAX_CLASSES];
            push_with_team(e, &shape, 1, frames, n, g.width, one);
            push_with_team(e, &shape, threads, frames, n, g.width, many);
            for (size_t c = 0; c < classes; c++)
                want[c] = one[c];
            double nmse = parity_nmse(many, want, classes);
            if (!(nmse <= 1e-10))
                fail_msg("%s on %u threads differs from one by NMSE %.3g", shape.backend->name,
                         threads, nmse);
        }
    struct at_session_shape shape = shape_of(&g, at_attn_registry[0], 256);
    struct at_team *team = NULL;
    assert_int_equal(at_team_create(e, &shape, 1, 0, &err, &team), -EINVAL);
    assert_int_equal(at_team_create(e, &shape, 1, 65, &err, &team), -EINVAL);
    for (long fail_at = 1; fail_at < 12; fail_at++) {
        struct at_mem mem = {0};
        struct at_encoder *own = NULL;
        assert_int_equal(at_encoder_create(&mem, g.model, NULL, &err, &own), 0);
        mem.fail_at = fail_at;
        assert_int_equal(at_team_create(own, &shape, 1, 2, &err, &team), -ENOMEM);
        at_encoder_destroy(own);
        for (int t = 0; t < AT_MEM_TAGS; t++)
            assert_int_equal(mem.bytes[t], 0);
    }
    free(frames);
    at_encoder_destroy(e);
    unload(&g);
}

/* What probe says is what is taken, to the byte; each allocation may fail, and nothing leaks. */
static void probe_is_exact(void)
{
    struct golden g = load(0);
    for (size_t b = 0; at_attn_registry[b]; b++) {
        int failures = 0;
        for (long fail_at = 1;; fail_at++) {
            struct at_mem mem = {.fail_at = fail_at};
            struct at_error err;
            struct at_encoder *e = NULL;
            struct at_worker *w = NULL;
            struct at_session *s = NULL;
            struct at_session_shape shape = shape_of(&g, at_attn_registry[b], 32);
            struct at_session_cost cost;
            int code = at_encoder_create(&mem, g.model, NULL, &err, &e);
            code = code < 0 ? code : at_worker_create(e, &shape, 1, &err, &w);
            code = code < 0 ? code : at_session_create(e, &shape, &err, &s);
            if (code == 0) {
                assert_int_equal(at_session_probe(e, &shape, &err, &cost), 0);
                assert_int_equal(mem.bytes[AT_MEM_KV], cost.kv_bytes);
                assert_int_equal(mem.bytes[AT_MEM_POOL], cost.pool_bytes);
                assert_int_equal(mem.bytes[AT_MEM_WORKSPACE], cost.workspace_bytes);
            } else {
                assert_int_equal(code, -ENOMEM);
                failures++;
            }
            at_session_destroy(s);
            at_worker_destroy(w);
            at_encoder_destroy(e);
            for (int t = 0; t < AT_MEM_TAGS; t++)
                assert_int_equal(mem.bytes[t], 0);
            if (code == 0)
                break;
        }
        assert_true(failures >= 14);
    }
    unload(&g);
}

static void test_memory(void **state)
{
    for (mode_now = AT_MODE_FP32; mode_now <= AT_MODE_BF16; mode_now++)
        probe_is_exact();
    mode_now = AT_MODE_FP32;
}

/* Before the first token logits are 0; shapes that cannot be are refused with the reason. */
static void test_edges(void **state)
{
    struct golden g = load(0);
    struct at_error err;
    struct at_encoder *e = NULL;
    assert_int_equal(at_encoder_create(NULL, g.model, NULL, &err, &e), 0);
    struct at_session_shape shape = shape_of(&g, at_attn_find("flash", &err), 0);
    struct at_session *s = NULL;
    assert_int_equal(at_session_create(e, &shape, &err, &s), 0);
    float logits[AT_MAX_CLASSES] = {1, 1, 1, 1, 1};
    at_session_logits(s, logits);
    for (int i = 0; i < 5; i++)
        assert_true(logits[i] == 0);
    at_session_destroy(s);
    s = NULL;
    shape.window = 100;
    assert_int_equal(at_session_create(e, &shape, &err, &s), -EINVAL);
    assert_non_null(strstr(err.text, "100"));
    assert_null(s);
    shape.window = 64;
    shape.dropout = 0.5f;
    assert_int_equal(at_session_create(e, &shape, &err, &s), -ENOTSUP);
    assert_non_null(strstr(err.text, "flash"));
    at_encoder_destroy(e);
    unload(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_golden_bf16),
        cmocka_unit_test(test_batch),  cmocka_unit_test(test_memory),
        cmocka_unit_test(test_team),   cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
