/* A model file is refused for each part that is missing, misshapen or contradicts another.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/dsp/frames.h"
#include "lib/model/weights.h"

#define FIVE     "\"top\":0.7,\"noise\":-1.5,\"margin_db\":0.02,\"snr_db\":-0.1,\"log2_tokens\":0"
#define EVIDENCE FIVE ",\"share\":-3,\"least\":3"
#define CONFIG                                                                                     \
    "\"n_bins\":32,\"n_aux\":2,\"d_model\":8,\"n_layers\":1,\"n_heads\":2,\"d_ff\":6,\"n_"         \
    "classes\":3,\"norm\":"                                                                        \
    "\"rmsnorm\",\"mask\":\"causal\",\"window\":64,\"rope_base\":1e4,\"kv_groups\":1,\"segment\":" \
    "16,\"pool_block\":32"
#define LABELS "[\"noise\",\"fsk2\",\"gfsk\"]"

/* The smallest model, whose parts a test may bend before it is written. */
struct draft {
    struct at_tensor tensors[32];
    size_t n;
    struct at_meta meta[16];
    size_t n_meta;
    float values[512];
};

static void add(struct draft *d, const char *name, size_t rows, size_t cols)
{
    struct at_tensor *t = &d->tensors[d->n++];
    *t = (struct at_tensor){.n_dims = cols ? 2 : 1,
                            .shape = {rows, cols},
                            .n = rows * (cols ? cols : 1),
                            .data = d->values};
    snprintf(t->name, sizeof t->name, "%s", name);
    assert_true(t->n <= 512);
}

static void set_meta(struct draft *d, const char *key, const char *value)
{
    size_t i = 0;
    while (i < d->n_meta && strcmp(d->meta[i].key, key) != 0)
        i++;
    d->meta[i] = (struct at_meta){key, value};
    d->n_meta += i == d->n_meta;
}

static struct at_tensor *tensor(struct draft *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->tensors[i].name, name) == 0)
            return &d->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void start(struct draft *d)
{
    memset(d, 0, sizeof *d);
    for (int i = 0; i < 512; i++)
        d->values[i] = (float)(i % 7) * 0.1f;
    add(d, "embed.weight", 8, 34);
    add(d, "embed.bias", 8, 0);
    add(d, "layers.0.norm1.weight", 8, 0);
    add(d, "layers.0.attn.q.weight", 8, 8);
    add(d, "layers.0.attn.k.weight", 8, 8);
    add(d, "layers.0.attn.v.weight", 8, 8);
    add(d, "layers.0.attn.o.weight", 8, 8);
    add(d, "layers.0.norm2.weight", 8, 0);
    add(d, "layers.0.mlp.up.weight", 6, 8);
    add(d, "layers.0.mlp.down.weight", 8, 6);
    add(d, "norm.weight", 8, 0);
    add(d, "head.weight", 3, 8);
    add(d, "head.bias", 3, 0);
    set_meta(d, "format", "attune-1");
    set_meta(d, "config", "{" CONFIG "}");
    set_meta(d, "labels", LABELS);
}

static char path[64];

static int make_path(void **state)
{
    strcpy(path, "/tmp/attune-test-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) < 0 ? -1 : 0;
}

static int remove_path(void **state)
{
    return unlink(path);
}

static int read_draft(const struct draft *d, struct at_mem *mem, struct at_error *err,
                      struct at_model **ret)
{
    assert_int_equal(at_safetensors_write(path, d->tensors, d->n, d->meta, d->n_meta, err), 0);
    return at_model_read(mem, path, err, ret);
}

static void refuse(const struct draft *d, const char *why)
{
    struct at_mem mem = {0};
    struct at_error err = {""};
    struct at_model *m = NULL;
    int r = read_draft(d, &mem, &err, &m);
    if (r >= 0 || !strstr(err.text, why) || !strstr(err.text, path))
        fail_msg("got %d \"%s\", expected a refusal with \"%s\"", r, err.text, why);
    assert_null(m);
    assert_int_equal(mem.bytes[AT_MEM_WEIGHTS] + mem.bytes[AT_MEM_OTHER], 0);
}

static void refuse_meta(const char *key, const char *value, const char *why)
{
    struct draft d;
    start(&d);
    set_meta(&d, key, value);
    refuse(&d, why);
}

static void test_reads_all_parts(void **state)
{
    struct draft d;
    struct at_model *m = NULL;
    struct at_error err = {""};
    start(&d);
    add(&d, "aux.scale", 2, 0);
    add(&d, "aux.shift", 2, 0);
    add(&d, "layers.0.norm1.bias", 8, 0);
    set_meta(&d, "config",
             "{" CONFIG ",\"segments\":[8,16,32],\"aux\":[\"kurtosis\",\"bin_khz\"]}");
    set_meta(&d, "groups", "{\"fsk\":[\"fsk2\",\"gfsk\"]}");
    set_meta(&d, "accuracy",
             "[{\"backend\":\"gqa\",\"window\":64,\"overall\":0.875,\"snr\":{\"0..5\":0.5}}]");
    set_meta(&d, "calibration",
             "{\"mha\":{\"a\":1.5,\"b\":-0.01,\"c\":0.1,\"min\":0.5,\"max\":4}}");
    set_meta(&d, "unknown", "{\"mha\":-3.5}");
    set_meta(&d, "weak",
             "{\"snr_db\":-8,\"tokens\":3,\"sure_snr_db\":19,\"evidence\":{\"mha\":{" EVIDENCE
             "},\"gqa\":{" EVIDENCE "}}}");
    set_meta(&d, "training", "{\"seed\":[[[[[[1]]]]]]}"); /* for people: never parsed */
    assert_int_equal(read_draft(&d, NULL, &err, &m), 0);
    assert_int_equal(m->config.d_ff, 6);
    assert_int_equal(m->n_segments, 3);
    assert_int_equal(m->segments[2], 32);
    assert_int_equal(m->aux_columns[0], AT_AUX_KURTOSIS);
    assert_int_equal(m->aux_columns[1], AT_AUX_BIN_KHZ);
    assert_false(at_model_aux_in_order(m));
    assert_non_null(m->aux_scale);
    assert_non_null(m->layers[0].norm1_b);
    assert_null(m->layers[0].norm2_b);
    assert_int_equal(m->groups[0].members, 6);
    assert_string_equal(m->accuracy[0].backend, "gqa");
    assert_true(m->accuracy[0].overall == 0.875f);
    assert_true(m->calibration[0].b == -0.01f && m->calibration[0].max == 4);
    assert_true(m->unknown[0].energy == -3.5f && m->weak_snr_db == -8 && m->weak_tokens == 3);
    assert_true(m->sure_snr_db == 19);
    assert_int_equal(m->n_evidence, 2);
    assert_true(m->evidence[1].noise == -1.5f && m->evidence[1].least == 3);
    assert_string_equal(m->evidence[1].backend, "gqa");
    assert_int_equal(at_model_label_index(m, "gfsk"), 2);
    assert_int_equal(at_model_label_index(m, "cw"), -1);
    assert_string_equal(m->digest, at_safetensors_digest(m->file));
    assert_string_equal(m->name, path + strlen("/tmp/"));
    at_model_destroy(m);
}

static void test_reads_golden_cases_without_a_card(void **state)
{
    for (int i = 0; i < 5; i++) {
        char golden[512];
        struct at_model *m = NULL;
        struct at_error err = {""};
        snprintf(golden, sizeof golden, "%s/tests/golden/encoder-%d.safetensors",
                 getenv("ATTUNE_SRC"), i);
        if (at_model_read(NULL, golden, &err, &m) != 0)
            fail_msg("%s", err.text);
        assert_string_equal(m->labels[4], "class4");
        assert_int_equal(m->n_unknown + m->n_calibration + m->n_accuracy + m->n_groups, 0);
        assert_true(at_model_aux_in_order(m));
        assert_int_equal(m->config.norm, i == 1 || i == 4 ? AT_NORM_LAYER : AT_NORM_RMS);
        at_model_destroy(m);
    }
}

static void test_refuses_missing_misshapen_and_extra_tensors(void **state)
{
    struct draft whole, d;
    start(&whole);
    for (size_t i = 0; i < whole.n; i++) { /* each one away, and each one in the wrong shape */
        d = whole;
        d.tensors[i] = d.tensors[--d.n];
        char why[160];
        snprintf(why, sizeof why, "tensor %s of shape (", whole.tensors[i].name);
        refuse(&d, why);
        d = whole;
        d.tensors[i].shape[0]++;
        d.tensors[i].n =
            d.tensors[i].shape[0] * (d.tensors[i].shape[1] ? d.tensors[i].shape[1] : 1);
        snprintf(why, sizeof why, "tensor %s has shape (", whole.tensors[i].name);
        refuse(&d, why);
    }
    d = whole;
    tensor(&d, "layers.0.mlp.up.weight")->shape[0] = 8; /* transposed: the same count */
    tensor(&d, "layers.0.mlp.up.weight")->shape[1] = 6;
    refuse(&d, "tensor layers.0.mlp.up.weight has shape (8, 6), (6, 8) expected");
    d = whole;
    add(&d, "layers.1.norm1.weight", 8, 0);
    refuse(&d, "tensor layers.1.norm1.weight has no place");
    d = whole;
    add(&d, "layers.0.attn.qkv.bias", 8, 0);
    refuse(&d, "tensor layers.0.attn.qkv.bias has no place");
}

static void test_refuses_values_that_are_not_finite(void **state)
{
    struct draft d;
    static float bad[64];
    start(&d);
    bad[63] = __builtin_nanf("");
    tensor(&d, "layers.0.attn.v.weight")->data = bad;
    refuse(&d, "tensor layers.0.attn.v.weight: value 63 is NaN");
}

static void test_refuses_configs(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } cases[] = {
        {"\"n_bins\":32", "\"n_bins\":48", "n_bins 48 is no power of two"},
        {"\"n_bins\":32", "\"n_bins\":4294967328", "n_bins must be an integer from 32 to 512"},
        {"\"n_bins\":32", "\"n_bins\":-32", "n_bins must be"},
        {"\"n_bins\":32", "\"n_bins\":32.0", "n_bins must be"},
        {"\"d_model\":8", "\"d_model\":0", "d_model must be"},
        {"\"d_model\":8", "\"d_model\":1000000000", "d_model must be"},
        {"\"d_model\":8", "\"x\":8", "d_model must be"},
        {"\"n_heads\":2", "\"n_heads\":3", "even head width"},
        {"\"n_heads\":2", "\"n_heads\":8", "even head width"},
        {"\"kv_groups\":1", "\"kv_groups\":3", "kv_groups 3 does not divide n_heads 2"},
        {"\"window\":64", "\"window\":40", "no multiple"},
        {"\"segment\":16", "\"segment\":0", "segment must be"},
        {"\"segment\":16", "\"segment\":48", "no multiple"},
        {"\"norm\":\"rmsnorm\"", "\"norm\":\"batchnorm\"", "norm must be"},
        {"\"mask\":\"causal\"", "\"mask\":\"none\"", "mask none has no window"},
        {"\"mask\":\"causal\"", "\"mask\":1", "mask must be"},
        {"\"rope_base\":1e4", "\"rope_base\":-1", "rope_base"},
        {"\"rope_base\":1e4", "\"rope_base\":\"x\"", "rope_base"},
        {"\"rope_base\":1e4", "\"rope_base\":1e4,\"aux\":[\"share\"]", "aux must list"},
        {"\"rope_base\":1e4", "\"rope_base\":1e4,\"aux\":[\"share\",\"colour\"]",
         "aux 1 is colour"},
        {"\"rope_base\":1e4", "\"rope_base\":1e4,\"aux\":[\"share\",\"share\"]", "share twice"},
        {"\"rope_base\":1e4", "\"rope_base\":1e4,\"segments\":[0]", "segments 0"},
        {"\"rope_base\":1e4", "\"rope_base\":1e4,\"segments\":{}", "segments must list"},
        {"\"n_layers\":1", "\"n_layers\":1,\"n_layers\":2", "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const char whole[] = "{" CONFIG "}";
        char config[600];
        const char *at = strstr(whole, cases[i].from);
        assert_non_null(at);
        snprintf(config, sizeof config, "%.*s%s%s", (int)(at - whole), whole, cases[i].to,
                 at + strlen(cases[i].from));
        refuse_meta("config", config, cases[i].why);
    }
    refuse_meta("config", "[]", "config is not a JSON object");
    refuse_meta("config", "{", "config: not valid JSON");
    refuse_meta("config", "[[[[[[]]]]]]", "nested deeper");
    refuse_meta("format", "attune-2", "format is attune-2, attune-1 expected");
    struct draft d;
    start(&d);
    d.meta[1].key = "other";
    refuse(&d, "no metadata \"config\"");
}

static void test_refuses_cards(void **state)
{
    refuse_meta("labels", "[\"a\",\"b\"]", "labels: 2 names for 3 classes");
    refuse_meta("labels", "{}", "labels: 0 names");
    refuse_meta("labels", "[\"a\",\"b\",\"a\"]", "a stands twice");
    refuse_meta("labels", "[\"a\",\"b\",\"weak\"]", "reserved");
    refuse_meta("labels", "[\"a\",\"b\",\"<script>\"]", "name 2 must be");
    refuse_meta("labels", "[\"a\",\"b\",\"aaaaaaaaaaaaaaaaaaaaaaaa\"]", "name 2 must be");
    refuse_meta("labels", "[\"a\",\"b\",3]", "name 2 must be");
    refuse_meta("groups", "{\"g\":[\"am\"]}", "am, which is no label");
    refuse_meta("groups", "{\"g\":3}", "naming a list");
    refuse_meta("accuracy", "[{\"backend\":\"mha\",\"window\":64,\"overall\":1.5}]",
                "overall from 0 to 1");
    refuse_meta("accuracy", "{}", "a list of at most");
    refuse_meta("calibration", "{\"mha\":{\"a\":1,\"min\":0,\"max\":2}}", "0 < min <= max");
    refuse_meta("calibration", "{\"mha\":{\"a\":\"1\"}}", "0 < min <= max");
    refuse_meta("calibration", "{\"mha\":3}", "mha needs numbers");
    refuse_meta("unknown", "{\"mha\":null}", "finite energy");
    refuse_meta("unknown", "[]", "an object by backend");
    refuse_meta("weak", "3", "weak:");
    refuse_meta("weak", "{\"snr_db\":1e300}", "weak:");
    refuse_meta("weak", "{\"sure_snr_db\":\"19\"}", "and sure_snr_db expected");
    refuse_meta("calibration", "{\"mha\":{\"d\":[]}}", "numbers a, b, c, d");
    refuse_meta("weak", "{\"evidence\":3}", "evidence must be an object by backend");
    refuse_meta("weak", "{\"evidence\":{\"mha\":3}}", "evidence of mha must be an object");
    refuse_meta("weak", "{\"evidence\":{\"m a\":{" EVIDENCE "}}}", "evidence of m a must");
    refuse_meta("weak", "{\"evidence\":{\"mha\":{\"top\":1}}}", "mha needs a finite number noise");
    refuse_meta("weak", "{\"evidence\":{\"mha\":{" FIVE ",\"share\":\"1\"}}}",
                "mha needs a finite number share");
    refuse_meta("weak", "{\"evidence\":{\"mha\":{" FIVE ",\"share\":-3,\"least\":1e300}}}",
                "mha needs a finite number least");
    refuse_meta("weak",
                "{\"evidence\":{\"a\":{" EVIDENCE "},\"b\":{" EVIDENCE "},\"c\":{" EVIDENCE
                "},\"d\":{" EVIDENCE "},\"e\":{" EVIDENCE "},\"f\":{" EVIDENCE "},\"g\":{" EVIDENCE
                "},\"h\":{" EVIDENCE "},\"i\":{" EVIDENCE "}}}",
                "evidence must be an object by backend");
}

static void test_every_allocation_may_fail(void **state)
{
    struct draft d;
    int refused = 0;
    start(&d);
    for (long k = 1; k < 20; k++) {
        struct at_mem mem = {.fail_at = k};
        struct at_model *m = NULL;
        struct at_error err;
        int r = read_draft(&d, &mem, &err, &m);
        assert_true(r == 0 || r == -ENOMEM);
        refused += r < 0;
        at_model_destroy(m);
        assert_int_equal(mem.bytes[AT_MEM_WEIGHTS] + mem.bytes[AT_MEM_OTHER], 0);
    }
    assert_int_equal(refused, 8); /* file, tensors, extents, values, bytes, model, layers, marks */
}

/* Damage anywhere in a small but whole model: an answer without a crash, and no leak. */
static void test_survives_random_damage(void **state)
{
    static unsigned char whole[16384];
    struct draft d;
    struct at_error err;
    start(&d);
    set_meta(&d, "groups", "{\"fsk\":[\"fsk2\",\"gfsk\"]}");
    set_meta(&d, "calibration",
             "{\"mha\":{\"a\":1.5,\"b\":-0.01,\"c\":0.1,\"min\":0.5,\"max\":4}}");
    set_meta(&d, "accuracy", "[{\"backend\":\"gqa\",\"window\":64,\"overall\":0.875}]");
    assert_int_equal(at_safetensors_write(path, d.tensors, d.n, d.meta, d.n_meta, &err), 0);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(whole, 1, sizeof whole, f), header = 8 + whole[0] + ((size_t)whole[1] << 8);
    fclose(f);
    assert_true(n > header && n < sizeof whole);
    uint64_t x = 2463534242u;
    int models = 0, files = 0;
    for (int round = 0; round < 5000; round++) {
        unsigned char *copy = malloc(n);
        memcpy(copy, whole, n);
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        for (unsigned k = 0; k < 1 + x % 3; k++) {
            uint64_t y = (x + k) * UINT64_C(0x9e3779b97f4a7c15);
            copy[8 + (y >> 24) % (header - 8)] =
                (unsigned char)"0123456789{}[],\":-eabfmnw"[(y >> 8) % 25];
        }
        struct at_mem mem = {0};
        struct at_safetensors *file = NULL;
        struct at_model *m = NULL;
        if (at_safetensors_parse(&mem, copy, n, &err, &file) == 0) {
            files++;
            if (at_model_from_file(&mem, file, &err, &m) == 0)
                models++;
            else
                at_safetensors_destroy(file);
        }
        at_model_destroy(m);
        free(copy);
        assert_int_equal(mem.bytes[AT_MEM_WEIGHTS] + mem.bytes[AT_MEM_OTHER], 0);
    }
    print_message("of 5000 damaged files %d parse and %d are models\n", files, models);
    assert_in_range(files, 1, 4999);
    assert_in_range(models, 1, files - 1);
}

static void test_random_weights_are_seeded(void **state)
{
    struct at_model *a = NULL, *b = NULL, *c = NULL;
    assert_int_equal(at_model_random(NULL, NULL, 1, NULL, &a), 0);
    assert_int_equal(at_model_random(NULL, NULL, 1, NULL, &b), 0);
    assert_int_equal(at_model_random(NULL, NULL, 2, NULL, &c), 0);
    assert_string_equal(a->digest, b->digest);
    assert_string_not_equal(a->digest, c->digest);
    assert_int_equal(a->config.n_classes, 17);
    double sum = 0, square = 0;
    size_t n = 128 * 128;
    for (size_t i = 0; i < n; i++) {
        sum += a->layers[3].q[i];
        square += a->layers[3].q[i] * a->layers[3].q[i];
    }
    print_message("q: mean %.4f, variance x inputs %.4f\n", sum / n, square / n * 128);
    assert_true(sum / n > -0.003 && sum / n < 0.003 && square / n * 128 > 0.95 &&
                square / n * 128 < 1.05);
    at_model_destroy(a);
    at_model_destroy(b);
    at_model_destroy(c);
    struct at_model_config config = at_model_reference_point(8192);
    assert_int_equal(config.segment, 64);
    config.d_model = 100;
    config.n_heads = 8;
    struct at_error err;
    assert_int_equal(at_model_random(NULL, &config, 1, &err, &a), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_all_parts),
        cmocka_unit_test(test_reads_golden_cases_without_a_card),
        cmocka_unit_test(test_refuses_missing_misshapen_and_extra_tensors),
        cmocka_unit_test(test_refuses_values_that_are_not_finite),
        cmocka_unit_test(test_refuses_configs),
        cmocka_unit_test(test_refuses_cards),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_survives_random_damage),
        cmocka_unit_test(test_random_weights_are_seeded),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
