/* Every backend under every kernel variant against a float64 reference and the golden files: random
 * shapes, masks, windows, rotations, positions; one-shot and streaming. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/cpu.h"
#include "lib/model/weights.h"
#include "tests/backends/parity.h"
#include "tests/support/variants.h"

/* What every backend promises against the reference, per mode. */
static const double promise[] = {[AT_MODE_FP32] = 1e-10, [AT_MODE_BF16] = 1e-4};
static double worst[2][8];

/* All variants and chunks of one case, in its mode, against `want`. */
static void compare_mode(const struct parity_case *c, const char *label,
                         const struct at_attn_backend *b, const double *want, const size_t *chunks)
{
    size_t size = c->n * c->shape.n_heads * c->shape.head_dim;
    float *out = malloc(size * sizeof *out);
    const struct at_kernels *k;
    for (size_t v = 0; (k = variant_at(v)); v++) {
        for (size_t i = 0; chunks[i]; i++) {
            parity_run(c, b, k, chunks[i], out);
            double nmse = parity_nmse(out, want, size);
            double *w = &worst[c->shape.mode][v];
            *w = nmse > *w ? nmse : *w;
            if (!(nmse <= promise[c->shape.mode]))
                fail_msg(
                    "%s: %s/%s in chunks of %zu: NMSE %.3g, promised %.0e (%s, L %zu H %u D %u G "
                    "%u S %u W %u mask %d "
                    "rope %g start %lld)",
                    label, b->name, k->name, chunks[i], nmse, promise[c->shape.mode],
                    at_mode_name(c->shape.mode), c->n, c->shape.n_heads, c->shape.head_dim,
                    c->shape.kv_groups, c->shape.segment, c->shape.window, c->shape.mask,
                    c->shape.rope_base, (long long)c->start);
        }
    }
    free(out);
}

static void compare(const struct parity_case *c, const char *label, const struct at_attn_backend *b,
                    const double *want, const size_t *chunks)
{
    struct parity_case other = *c;
    compare_mode(c, label, b, want, chunks);
    other.shape.mode = AT_MODE_BF16;
    compare_mode(&other, label, b, want, chunks);
}

static void compare_all(const struct parity_case *c, const char *label, const size_t *chunks)
{
    size_t size = c->n * c->shape.n_heads * c->shape.head_dim;
    double *want = malloc(size * sizeof *want);
    for (size_t i = 0; at_attn_registry[i]; i++) {
        parity_reference(c, at_attn_registry[i]->name, want);
        compare(c, label, at_attn_registry[i], want, chunks);
    }
    free(want);
}

static struct parity_case random_case(uint64_t *seed)
{
    static const uint32_t dims[] = {2, 8, 16, 32, 34, 48, 64, 100}, groups[] = {1, 1, 2, 4},
                          segments[] = {1, 3, 8, 16, 32};
    struct parity_case c = {.n = 1 + parity_random(seed, 150)};
    struct at_attn_shape *s = &c.shape;
    s->kv_groups = groups[parity_random(seed, 4)];
    s->n_heads = s->kv_groups * (1 + (uint32_t)parity_random(seed, 3));
    s->head_dim = dims[parity_random(seed, 8)];
    s->segment = segments[parity_random(seed, 5)];
    s->mask = parity_random(seed, 4) == 0 ? AT_MASK_NONE : AT_MASK_CAUSAL;
    s->window = parity_random(seed, 3)
                    ? s->segment * (1 + (uint32_t)parity_random(seed, 1 + 100 / s->segment))
                    : 0;
    s->rope_base = parity_random(seed, 4) ? 10000 : 0;
    s->capacity = s->window && s->mask == AT_MASK_CAUSAL ? s->window : (uint32_t)c.n;
    c.start = parity_random(seed, 3)
                  ? 0
                  : (int64_t)(parity_random(seed, UINT64_C(20000000000)) / s->segment * s->segment);
    return c;
}

static void test_random(void **state)
{
    uint64_t seed = 20261123;
    for (int i = 0; i < 60; i++) {
        struct parity_case c = random_case(&seed);
        parity_fill(&c, seed);
        const size_t streaming[] = {c.n, 1, 1 + parity_random(&seed, 40), 0}, one_shot[] = {c.n, 0};
        char label[32];
        snprintf(label, sizeof label, "random case %d", i);
        compare_all(&c, label, c.shape.mask == AT_MASK_NONE ? one_shot : streaming);
        parity_free(&c);
    }
}

/* The reference point, in the pieces that the daemon uses, far from the start. */
static void test_reference_point(void **state)
{
    struct parity_case c = {.start = 100000000, .n = 700};
    c.shape = (struct at_attn_shape){.n_heads = 4,
                                     .head_dim = 32,
                                     .kv_groups = 2,
                                     .segment = 32,
                                     .window = 256,
                                     .capacity = 256,
                                     .rope_base = 10000};
    parity_fill(&c, 7);
    compare_all(&c, "reference point", (const size_t[]){700, 256, 64, 17, 0});
    parity_free(&c);
}

static struct at_safetensors *golden(const char *kind, int i)
{
    struct at_error err;
    struct at_safetensors *f = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/%s-%d.safetensors", getenv("ATTUNE_SRC"), kind, i);
    if (at_safetensors_read(NULL, path, &err, &f) < 0)
        fail_msg("%s", err.text);
    return f;
}

static struct parity_case golden_case(const struct at_safetensors *f)
{
    const struct at_tensor *q = at_safetensors_find(f, "q");
    struct parity_case c = {.n = q->shape[0],
                            .start = strtoll(at_safetensors_meta(f, "start"), NULL, 10)};
    c.shape = (struct at_attn_shape){
        .n_heads = (uint32_t)q->shape[1],
        .head_dim = (uint32_t)q->shape[2],
        .kv_groups = (uint32_t)atoi(at_safetensors_meta(f, "kv_groups")),
        .segment = (uint32_t)atoi(at_safetensors_meta(f, "segment")),
        .window = (uint32_t)atoi(at_safetensors_meta(f, "window")),
        .mask = strcmp(at_safetensors_meta(f, "mask"), "none") == 0 ? AT_MASK_NONE : AT_MASK_CAUSAL,
        .rope_base = atof(at_safetensors_meta(f, "rope_base")),
    };
    c.shape.capacity = c.shape.window ? c.shape.window : (uint32_t)c.n;
    c.q = malloc(3 * q->n * sizeof *c.q);
    c.k = c.q + q->n;
    c.v = c.k + q->n;
    memcpy(c.q, q->data, q->n * sizeof *c.q);
    memcpy(c.k, at_safetensors_find(f, "k")->data, q->n * sizeof *c.q);
    memcpy(c.v, at_safetensors_find(f, "v")->data, q->n * sizeof *c.q);
    return c;
}

static void test_golden(void **state)
{
    for (int i = 0; i < 9; i++) {
        struct at_safetensors *f = golden("attention", i);
        struct parity_case c = golden_case(f);
        const size_t streaming[] = {c.n, 64, 32, 7, 1, 0}, one_shot[] = {c.n, 0};
        for (size_t b = 0; at_attn_registry[b]; b++) {
            char name[32];
            bool exact = strcmp(at_attn_registry[b]->name, "flash") == 0;
            snprintf(name, sizeof name, "out.%s", exact ? "mha" : at_attn_registry[b]->name);
            const struct at_tensor *t = at_safetensors_find(f, name);
            double *want = malloc(t->n * sizeof *want);
            for (size_t e = 0; e < t->n; e++)
                want[e] = t->data[e];
            compare(&c, name, at_attn_registry[b], want,
                    c.shape.mask == AT_MASK_NONE ? one_shot : streaming);
            free(want);
        }
        free(c.q);
        at_safetensors_destroy(f);
    }
}

/* What the table in DESIGN.md promises per layer: W x H, W x G, (2 S + W / S) x H rows of keys and
 * values. */
static void test_cache_sizes(void **state)
{
    struct at_attn_shape s = {.n_heads = 4,
                              .head_dim = 32,
                              .kv_groups = 2,
                              .segment = 64,
                              .window = 16384,
                              .capacity = 16384,
                              .max_new = 64,
                              .rope_base = 10000};
    struct at_error err;
    struct at_attn_cost mha, flash, gqa, latent;
    assert_int_equal(at_attn_find("mha", &err)->probe(&s, &mha), 0);
    assert_int_equal(at_attn_find("flash", &err)->probe(&s, &flash), 0);
    assert_int_equal(at_attn_find("gqa", &err)->probe(&s, &gqa), 0);
    assert_int_equal(at_attn_find("latent", &err)->probe(&s, &latent), 0);
    assert_int_equal(mha.cache_bytes, 16384 * 4 * 32 * 2 * sizeof(float));
    assert_int_equal(flash.cache_bytes, mha.cache_bytes);
    assert_int_equal(2 * gqa.cache_bytes, mha.cache_bytes);
    size_t row = 4 * 32 * 2 * sizeof(float); /* and one row of sums for the open segment */
    assert_int_equal(latent.cache_bytes, (2 * 64 + 16384 / 64 + 1) * row);
    assert_true(40 * latent.cache_bytes <= mha.cache_bytes);
    struct at_attn_cost rounded; /* bf16 halves all but the sums, which stay fp32 */
    for (size_t b = 0; at_attn_registry[b]; b++) {
        struct at_attn_cost full;
        s.mode = AT_MODE_FP32;
        assert_int_equal(at_attn_registry[b]->probe(&s, &full), 0);
        s.mode = AT_MODE_BF16;
        assert_int_equal(at_attn_registry[b]->probe(&s, &rounded), 0);
        size_t sums = strcmp(at_attn_registry[b]->name, "latent") == 0 ? row : 0;
        assert_int_equal(2 * (rounded.cache_bytes - sums), full.cache_bytes - sums);
    }
}

/* An old NaN must not outlive a reset, nor leak from the future. */
static void nan_stays_put(enum at_mode mode)
{
    struct at_attn_shape s = {.n_heads = 2,
                              .head_dim = 32,
                              .kv_groups = 1,
                              .segment = 16,
                              .window = 64,
                              .capacity = 64,
                              .max_new = 64,
                              .mode = mode,
                              .rope_base = 10000};
    static float q[64 * 64], bad[64 * 64], out[64 * 64];
    uint64_t seed = 3;
    parity_noise(&seed, 1, 64 * 64, q);
    for (size_t i = 0; i < 64 * 64; i++)
        bad[i] = NAN;
    for (size_t b = 0; at_attn_registry[b]; b++) {
        const struct at_attn_host host = {.kernels = at_kernels_best()};
        struct at_attn_cost cost;
        struct at_attn *a = NULL;
        assert_int_equal(at_attn_registry[b]->probe(&s, &cost), 0);
        assert_int_equal(at_attn_create(&host, at_attn_registry[b], &s, NULL, &a), 0);
        void *work = at_mem_alloc(NULL, AT_MEM_WORKSPACE, cost.workspace_bytes);
        at_attn_run(a, work, bad, bad, bad, 64, out);
        at_attn_reset(a, 0);
        at_attn_run(a, work, q, q, q, 50, out);
        for (size_t i = 0; i < 50 * 64; i++)
            if (!isfinite(out[i]))
                fail_msg("%s: output %zu is %g after a reset", at_attn_registry[b]->name, i,
                         (double)out[i]);
        at_mem_free(NULL, work);
        at_attn_destroy(a);
    }
}

static void test_nan_stays_put(void **state)
{
    nan_stays_put(AT_MODE_FP32);
    nan_stays_put(AT_MODE_BF16);
}

/* Dropout: right on average, wrong in the single draw, the same for a seed; refused by those who do
 * not offer it. */
static void test_dropout(void **state)
{
    struct parity_case c = {.n = 16};
    c.shape = (struct at_attn_shape){.n_heads = 1,
                                     .head_dim = 8,
                                     .kv_groups = 1,
                                     .segment = 8,
                                     .capacity = 16,
                                     .max_new = 16,
                                     .rope_base = 10000,
                                     .dropout = 0.2f};
    parity_fill(&c, 5);
    double want[128], mean[128] = {0};
    float out[128], again[128];
    parity_reference(&c, "mha", want);
    struct at_error err;
    struct at_attn_cost cost;
    const struct at_attn_backend *mha = at_attn_find("mha", &err);
    assert_int_equal(at_attn_find("flash", &err)->probe(&c.shape, &cost), -ENOTSUP);
    assert_int_equal(mha->probe(&c.shape, &cost), 0);
    const struct at_attn_host host = {.kernels = at_kernels_best()};
    struct at_attn *a = NULL;
    assert_int_equal(at_attn_create(&host, mha, &c.shape, &err, &a), 0);
    void *work = at_mem_alloc(NULL, AT_MEM_WORKSPACE, cost.workspace_bytes);
    for (uint64_t i = 0; i <= 4000; i++) {
        at_attn_seed(a, 2 * (i % 4000) + 1);
        at_attn_reset(a, 0);
        at_attn_run(a, work, c.q, c.k, c.v, 16, i == 4000 ? again : out);
        for (size_t e = 0; i < 4000 && e < 128; e++)
            mean[e] += out[e] / 4000;
        if (i == 0)
            memcpy(again, out, sizeof out);
        if (i == 0)
            assert_true(parity_nmse(out, want, 128) > 1e-3);
        if (i == 4000)
            at_attn_seed(a, 1);
    }
    float average[128];
    for (size_t e = 0; e < 128; e++)
        average[e] = (float)mean[e];
    double nmse = parity_nmse(average, want, 128);
    if (!(nmse < 1e-3))
        fail_msg("mean over 4000 draws: NMSE %g, want below 1e-3", nmse);
    at_attn_reset(a, 0);
    at_attn_run(a, work, c.q, c.k, c.v, 16, out);
    assert_memory_equal(out, again, sizeof out);
    at_mem_free(NULL, work);
    at_attn_destroy(a);
    parity_free(&c);
}

/* One layer under `from` for the first n tokens, then turned into `to`: what comes after is what
 * `to` says having seen the same keys and values from the start. */
static void convert(const struct parity_case *c, const struct at_attn_backend *from,
                    const struct at_attn_backend *to, enum at_mode mode, size_t n)
{
    const struct at_attn_host host = {.kernels = at_kernels_best()};
    struct at_attn_shape a = c->shape, b = c->shape;
    struct at_attn *before = NULL, *after = NULL;
    struct at_error err;
    size_t width = a.n_heads * a.head_dim, rows = 50, size = c->n * width;
    a.max_new = b.max_new = 64;
    a.mode = b.mode = mode;
    struct at_attn_cost one, two;
    assert_int_equal(from->probe(&a, &one), 0);
    assert_int_equal(to->probe(&b, &two), 0);
    assert_int_equal(at_attn_create(&host, from, &a, &err, &before), 0);
    assert_int_equal(at_attn_create(&host, to, &b, &err, &after), 0);
    size_t most =
        one.workspace_bytes > two.workspace_bytes ? one.workspace_bytes : two.workspace_bytes;
    void *work = at_mem_alloc(NULL, AT_MEM_WORKSPACE, most);
    float *k = malloc(2 * rows * width * sizeof *k), *out = calloc(size, sizeof *out);
    at_attn_reset(before, c->start);
    for (size_t at = 0, m; at < n; at += m) {
        m = n - at < 64 ? n - at : 64;
        at_attn_run(before, work, c->q + at * width, c->k + at * width, c->v + at * width, m, out);
    }
    assert_int_equal(at_attn_convert(before, after, work, k, k + rows * width, rows), 0);
    at_attn_destroy(before);
    for (size_t at = n, m; at < c->n; at += m) {
        m = c->n - at < 64 ? c->n - at : 64;
        at_attn_run(after, work, c->q + at * width, c->k + at * width, c->v + at * width, m,
                    out + at * width);
    }
    /* gqa on the way to latent has left the heads' own keys behind: then the reference's heads are
     * means too. */
    double *want = malloc(size * sizeof *want);
    struct parity_case seen = *c;
    if (strcmp(from->name, "gqa") == 0) {
        seen.k = malloc(2 * size * sizeof *k);
        seen.v = seen.k + size;
        parity_group_means(c, n, seen.k, seen.v);
    }
    parity_reference(&seen, to->name, want);
    double nmse = parity_nmse(out + n * width, want + n * width, size - n * width);
    double bound = mode == AT_MODE_FP32 ? to->max_nmse_fp32 : to->max_nmse_bf16;
    if (!(nmse <= bound))
        fail_msg("%s to %s, %s, after %zu tokens: NMSE %.3g, bound %.3g", from->name, to->name,
                 at_mode_name(mode), n, nmse, bound);
    if (seen.k != c->k)
        free(seen.k);
    free(want);
    free(out);
    free(k);
    at_mem_free(NULL, work);
    at_attn_destroy(after);
}

static void test_convert(void **state)
{
    const size_t after[] = {1, 31, 32, 100, 127, 128, 200, 333, 400};
    const char *const pairs[][2] = {{"flash", "gqa"},  {"flash", "latent"}, {"gqa", "latent"},
                                    {"mha", "flash"},  {"flash", "mha"},    {"mha", "latent"},
                                    {"flash", "flash"}};
    struct at_error err;
    struct parity_case c = {.start = 1 << 20, .n = 500};
    c.shape = (struct at_attn_shape){.n_heads = 4,
                                     .head_dim = 32,
                                     .kv_groups = 2,
                                     .segment = 32,
                                     .window = 128,
                                     .capacity = 128,
                                     .rope_base = 10000};
    parity_fill(&c, 21);
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++)
        for (size_t i = 0; i < sizeof after / sizeof *after; i++)
            for (int mode = AT_MODE_FP32; mode <= AT_MODE_BF16; mode++)
                convert(&c, at_attn_find(pairs[p][0], &err), at_attn_find(pairs[p][1], &err),
                        (enum at_mode)mode, after[i]);
    struct at_attn_shape wider = c.shape;
    wider.window = wider.capacity = 256;
    const struct at_attn_backend *flash = at_attn_find("flash", &err);
    const struct at_attn_backend *latent = at_attn_find("latent", &err);
    assert_false(at_attn_can_convert(latent, &c.shape, flash, &c.shape)); /* up: a new cache */
    assert_false(at_attn_can_convert(flash, &c.shape, flash, &wider));
    assert_true(at_attn_can_convert(flash, &c.shape, latent, &c.shape));
    parity_free(&c);
}

static void test_refused(void **state)
{
    const struct at_attn_shape good = {.n_heads = 4,
                                       .head_dim = 32,
                                       .kv_groups = 2,
                                       .segment = 16,
                                       .window = 64,
                                       .capacity = 64,
                                       .max_new = 8,
                                       .rope_base = 10000};
    struct at_attn_shape bad[10];
    for (size_t i = 0; i < 10; i++)
        bad[i] = good;
    bad[0].n_heads = 0;
    bad[1].head_dim = 33;
    bad[2].kv_groups = 3;
    bad[3].segment = 48;
    bad[4].capacity = 0;
    bad[5].max_new = 0;
    bad[6].rope_base = NAN;
    bad[7].dropout = 1;
    bad[8].head_dim = 512;
    bad[9].segment = 0;
    for (size_t b = 0; at_attn_registry[b]; b++) {
        struct at_attn_cost cost;
        assert_int_equal(at_attn_registry[b]->probe(&good, &cost), 0);
        for (size_t i = 0; i < 10; i++)
            if (at_attn_registry[b]->probe(&bad[i], &cost) != -EINVAL)
                fail_msg("%s took bad shape %zu", at_attn_registry[b]->name, i);
    }
    struct at_error err = {""};
    assert_null(at_attn_find("nothing", &err));
    assert_non_null(strstr(err.text, "mha"));
}

static int print_worst(void **state)
{
    for (size_t v = 0; variant_at(v); v++)
        print_message("worst NMSE %s: fp32 %.3g, bf16 %.3g\n", variant_at(v)->name,
                      worst[AT_MODE_FP32][v], worst[AT_MODE_BF16][v]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),        cmocka_unit_test(test_reference_point),
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_cache_sizes),
        cmocka_unit_test(test_nan_stays_put), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_convert),
    };
    return cmocka_run_group_tests(tests, NULL, print_worst);
}
