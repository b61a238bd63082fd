/* The safetensors reader trusts nothing: one test per way to lie, and a few thousand random
 * damages. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/model/weights.h"

struct image {
    unsigned char bytes[8192];
    size_t n;
};

static void put_length(struct image *im, uint64_t len)
{
    for (int i = 0; i < 8; i++)
        im->bytes[i] = (unsigned char)(len >> 8 * i);
}

/* A file of this header and n_floats values 1.0f. */
static void make(struct image *im, const char *header, size_t n_floats)
{
    size_t len = strlen(header);
    float one = 1.0f;
    put_length(im, len);
    memcpy(im->bytes + 8, header, len);
    for (size_t i = 0; i < n_floats; i++)
        memcpy(im->bytes + 8 + len + 4 * i, &one, 4);
    im->n = 8 + len + 4 * n_floats;
}

static int parse(const struct image *im, struct at_error *err)
{
    struct at_mem mem = {0};
    struct at_safetensors *f = NULL;
    /* exactly as long as the file, so that the sanitizer sees a read past its end */
    unsigned char *copy = malloc(im->n ? im->n : 1);
    memcpy(copy, im->bytes, im->n);
    int r = at_safetensors_parse(&mem, copy, im->n, err, &f);
    free(copy);
    if (r == 0)
        assert_non_null(f);
    else
        assert_null(f);
    at_safetensors_destroy(f);
    for (int i = 0; i < AT_MEM_TAGS; i++)
        assert_int_equal(mem.bytes[i], 0);
    return r;
}

/* Refused, and the message says why. */
static void refuse(const struct image *im, const char *why)
{
    struct at_error err = {""};
    int r = parse(im, &err);
    if (r >= 0 || !strstr(err.text, why))
        fail_msg("got %d \"%s\", expected a refusal with \"%s\"", r, err.text, why);
}

static void refuse_header(const char *header, size_t n_floats, const char *why)
{
    struct image im;
    make(&im, header, n_floats);
    refuse(&im, why);
}

#define T(dtype, shape, offsets)                                                                   \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_reads_what_is_there(void **state)
{
    struct image im;
    make(&im,
         "{\"__metadata__\":{\"k\":\"v\"},\"b\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_"
         "offsets\":[8,12]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         3);
    memcpy(im.bytes + im.n - 4, "\x80\x3f\x49\xc0", 4); /* bf16 1.0, -3.140625 */
    struct at_safetensors *f = NULL;
    struct at_error err;
    assert_int_equal(at_safetensors_parse(NULL, im.bytes, im.n, &err, &f), 0);
    const struct at_tensor *a = at_safetensors_find(f, "a"), *b = at_safetensors_find(f, "b");
    assert_ptr_equal(at_safetensors_at(f, 0), a);
    assert_null(at_safetensors_at(f, 2));
    assert_null(at_safetensors_find(f, "c"));
    struct at_error large;
    struct at_safetensors *none = NULL;
    assert_int_equal(at_safetensors_parse(NULL, "", AT_SAFETENSORS_MAX_BYTES + 1, &large, &none),
                     -EFBIG);
    char long_name[300];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_null(at_safetensors_find(f, long_name));
    assert_true(a->data[0] == 1.0f && a->data[1] == 1.0f && a->n_dims == 1 && !a->bf16);
    assert_true(b->data[0] == 1.0f && b->data[1] == -3.140625f && b->n_dims == 2 && b->bf16);
    assert_int_equal((uintptr_t)b->data % 64, 0);
    assert_string_equal(at_safetensors_meta(f, "k"), "v");
    assert_null(at_safetensors_meta(f, "x"));
    assert_int_equal(strlen(at_safetensors_digest(f)), 64);
    at_safetensors_destroy(f);
}

static void test_refuses_header_lengths(void **state)
{
    struct image im;
    make(&im, T("F32", "[1]", "[0,4]"), 1);
    for (im.n = 0; im.n < 8; im.n++)
        refuse(&im, "no safetensors file");
    static const uint64_t lengths[] = {0,         1, 5000, 100u << 20, INT64_MAX, UINT64_MAX - 7,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        make(&im, T("F32", "[1]", "[0,4]"), 1);
        put_length(&im, lengths[i]);
        refuse(&im, "header length");
    }
}

static void test_refuses_headers_that_are_no_json_object(void **state)
{
    refuse_header("[]", 0, "not a JSON object");
    refuse_header("{\"a\xff\":{}}", 0, "not valid JSON");
    refuse_header("{} x", 0, "not valid JSON");
    refuse_header("{}{}", 0, "not valid JSON");
    refuse_header("\"ab\"", 0, "JSON");
    refuse_header("{\"a\":[[[[[[1]]]]]]}", 0, "nested deeper");
    refuse_header("{}", 0, "0 tensors");
    struct image im;
    make(&im, T("F32", "[1]", "[0,4]"), 1);
    im.bytes[20] = 0;
    refuse(&im, "not valid JSON");
    memset(im.bytes + 8, '[', 4000);
    put_length(&im, 4000);
    im.n = 4008;
    refuse(&im, "nested deeper");
}

static void test_refuses_duplicate_and_odd_names(void **state)
{
#define ENTRY "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
    refuse_header("{\"a\":" ENTRY ",\"a\":" ENTRY "}", 1, "not valid JSON: duplicate");
    refuse_header("{\"\":" ENTRY "}", 1, "tensor name of 0 bytes");
    refuse_header("{\"a\\u001b[31m\":" ENTRY "}", 1, "byte 0x1b");
    char header[400] = "{\"";
    memset(header + 2, 'n', 96);
    strcpy(header + 98, "\":" ENTRY "}");
    refuse_header(header, 1, "tensor name of 96 bytes");
}

static void test_refuses_metadata_that_is_no_string_map(void **state)
{
    refuse_header("{\"__metadata__\":[],\"a\":" ENTRY "}", 1, "__metadata__ is not an object");
    refuse_header("{\"__metadata__\":{\"k\":1},\"a\":" ENTRY "}", 1, "\"k\" is not a string");
    refuse_header("{\"__metadata__\":{\"k\":{\"x\":\"y\"}},\"a\":" ENTRY "}", 1,
                  "\"k\" is not a string");
    refuse_header("{\"__metadata__\":null,\"a\":" ENTRY "}", 1, "__metadata__ is not an object");
}

static void test_refuses_dtypes(void **state)
{
    refuse_header(T("F64", "[1]", "[0,8]"), 2, "dtype F64");
    refuse_header(T("f32", "[1]", "[0,4]"), 1, "dtype f32");
    refuse_header("{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 1, "no dtype");
    refuse_header("{\"a\":7}", 1, "no dtype");
    refuse_header("{\"a\":{}}", 1, "no dtype");
}

static void test_refuses_shapes(void **state)
{
    refuse_header(T("F32", "[0]", "[0,0]"), 0, "dimension 0 is not a positive integer");
    refuse_header(T("F32", "[1,-1]", "[0,4]"), 1, "dimension 1 is not a positive integer");
    refuse_header(T("F32", "[1.0]", "[0,4]"), 1, "not a positive integer");
    refuse_header(T("F32", "[\"1\"]", "[0,4]"), 1, "not a positive integer");
    refuse_header(T("F32", "1", "[0,4]"), 1, "shape must be a list");
    refuse_header(T("F32", "[1,1,1,1,1]", "[0,4]"), 1, "at most 4");
    refuse_header(T("F32", "[9223372036854775807]", "[0,4]"), 1, "shape holds more");
    refuse_header(T("F32", "[18446744073709551617]", "[0,4]"), 1, "not valid JSON");
    refuse_header(T("F32", "[65536,65536,65536,65536]", "[0,4]"), 1, "shape holds more");
    refuse_header(T("F32", "[4294967296,4294967296]", "[0,4]"), 1, "shape holds more");
    refuse_header(T("F32", "[2]", "[0,4]"), 1, "shape and dtype need 8");
    refuse_header(T("BF16", "[1]", "[0,4]"), 1, "shape and dtype need 2");
}

static void test_refuses_offsets(void **state)
{
    refuse_header(T("F32", "[1]", "[4,0]"), 1, "outside");
    refuse_header(T("F32", "[1]", "[-4,0]"), 1, "outside");
    refuse_header(T("F32", "[1]", "[4,8]"), 1, "outside");
    refuse_header(T("F32", "[1]", "[0,9223372036854775807]"), 1, "outside");
    refuse_header(T("F32", "[1]", "[0]"), 1, "two integers");
    refuse_header(T("F32", "[1]", "[0,4,8]"), 1, "two integers");
    refuse_header(T("F32", "[1]", "[0,4.0]"), 1, "two integers");
    refuse_header(T("F32", "[1]", "null"), 1, "two integers");
    refuse_header(T("F32", "[1]", "[4,8]"), 2, "leaves a hole");
    refuse_header(T("F32", "[1]", "[0,4]"), 2, "belong to no tensor");
#define PAIR(a, b)                                                                                 \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" a "},"                             \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" b "}}"
    refuse_header(PAIR("[0,8]", "[4,12]"), 3, "overlaps");
    refuse_header(PAIR("[0,8]", "[0,8]"), 2, "overlaps");
    refuse_header(PAIR("[0,8]", "[12,20]"), 5, "leaves a hole");
}

static void test_refuses_values_that_are_not_finite(void **state)
{
    static const unsigned char bad[][4] = {
        {0, 0, 0xc0, 0x7f}, {0, 0, 0x80, 0x7f}, {0, 0, 0x80, 0xff}};
    struct image im;
    for (int i = 0; i < 3; i++) {
        make(&im, T("F32", "[3]", "[0,12]"), 3);
        memcpy(im.bytes + im.n - 4, bad[i], 4);
        refuse(&im, i == 0 ? "tensor a: value 2 is NaN" : "tensor a: value 2 is infinite");
        make(&im, T("BF16", "[2]", "[0,4]"), 1);
        memcpy(im.bytes + im.n - 2, bad[i] + 2, 2);
        refuse(&im, i == 0 ? "value 1 is NaN" : "value 1 is infinite");
    }
}

static unsigned char *load_golden(const char *name, size_t *ret_n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/%s", getenv("ATTUNE_SRC"), name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *ret_n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*ret_n);
    assert_int_equal(fread(bytes, 1, *ret_n, f), *ret_n);
    fclose(f);
    return bytes;
}

static void test_refuses_every_truncation(void **state)
{
    size_t n;
    unsigned char *bytes = load_golden("attention-1.safetensors", &n);
    for (size_t cut = 0; cut < n; cut += cut < 1200 ? 1 : 101) {
        struct at_safetensors *f = NULL;
        unsigned char *part = malloc(cut ? cut : 1);
        memcpy(part, bytes, cut);
        assert_true(at_safetensors_parse(NULL, part, cut, NULL, &f) < 0);
        free(part);
    }
    free(bytes);
}

/* Damage of one to eight bytes, mostly in the header: an answer without a crash, and no leak. */
static void test_survives_random_damage(void **state)
{
    size_t n, accepted = 0, header = 8;
    unsigned char *bytes = load_golden("attention-1.safetensors", &n);
    for (int i = 0; i < 8; i++)
        header += (size_t)bytes[i] << 8 * i;
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 6000; round++) {
        unsigned char *copy = malloc(n);
        memcpy(copy, bytes, n);
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        for (unsigned k = 0; k < 1 + x % 8; k++) {
            uint64_t y = (x + k) * UINT64_C(0x9e3779b97f4a7c15);
            copy[y >> 20 & 7 ? (y >> 24) % header : (y >> 24) % n] =
                y & 1 ? (unsigned char)(y >> 8)
                      : (unsigned char)"0123456789{}[],\":-e"[(y >> 8) % 19];
        }
        struct at_mem mem = {0};
        struct at_safetensors *f = NULL;
        struct at_error err;
        if (at_safetensors_parse(&mem, copy, n, &err, &f) == 0)
            accepted++;
        at_safetensors_destroy(f);
        free(copy);
        assert_int_equal(mem.bytes[AT_MEM_WEIGHTS] + mem.bytes[AT_MEM_OTHER], 0);
    }
    print_message("%zu of 6000 damaged files were still well formed\n", accepted);
    assert_in_range(accepted, 1, 5999);
    free(bytes);
}

static void test_every_allocation_may_fail(void **state)
{
    size_t n;
    unsigned char *bytes = load_golden("attention-1.safetensors", &n);
    int refused = 0;
    for (long k = 1; k < 20; k++) {
        struct at_mem mem = {.fail_at = k};
        struct at_safetensors *f = NULL;
        int r = at_safetensors_parse(&mem, bytes, n, NULL, &f);
        assert_true(r == 0 || r == -ENOMEM);
        refused += r < 0;
        at_safetensors_destroy(f);
        assert_int_equal(mem.bytes[AT_MEM_WEIGHTS] + mem.bytes[AT_MEM_OTHER], 0);
    }
    assert_int_equal(refused, 4);
    free(bytes);
}

static void test_paths_that_are_no_file(void **state)
{
    struct at_safetensors *f = NULL;
    struct at_error err;
    assert_int_equal(at_safetensors_read(NULL, "/nonexistent/x", &err, &f), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
    assert_int_equal(at_safetensors_read(NULL, "/", &err, &f), -EINVAL);
    assert_int_equal(at_safetensors_read(NULL, "/dev/zero", &err, &f), -EINVAL);
    char dir[] = "/tmp/attune-test-XXXXXX", fifo[64], sparse[64];
    assert_non_null(mkdtemp(dir));
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(sparse, sizeof sparse, "%s/sparse", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(at_safetensors_read(NULL, fifo, &err, &f),
                     -EINVAL); /* and does not wait for a writer */
    fclose(fopen(sparse, "wb"));
    assert_int_equal(at_safetensors_read(NULL, sparse, &err, &f), -EINVAL);
    assert_int_equal(truncate(sparse, INT64_C(1) << 40), 0);
    assert_int_equal(at_safetensors_read(NULL, sparse, &err, &f), -EFBIG);
    unlink(fifo);
    unlink(sparse);
    rmdir(dir);
}

static void test_write_then_read_is_the_same(void **state)
{
    static const float values[] = {1.5f, -2.25f, 1e-40f, 3.14159274f, 0.0f, 65504.0f};
    struct at_tensor t[2] = {
        {.name = "x.weight", .n_dims = 2, .shape = {2, 3}, .n = 6, .data = values},
        {.name = "y", .bf16 = true, .n_dims = 1, .shape = {4}, .n = 4, .data = values}};
    struct at_meta meta[] = {{"format", "attune-1"}, {"labels", "[\"a\\\"b\"]"}};
    char dir[] = "/tmp/attune-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/m.safetensors", dir);
    struct at_error err;
    struct at_safetensors *f = NULL;
    assert_int_equal(at_safetensors_write(path, t, 2, meta, 2, &err), 0);
    assert_int_equal(at_safetensors_read(NULL, path, &err, &f), 0);
    const struct at_tensor *x = at_safetensors_find(f, "x.weight"),
                           *y = at_safetensors_find(f, "y");
    assert_memory_equal(x->data, values, sizeof values);
    assert_int_equal(x->shape[1], 3);
    assert_true(y->bf16 && y->data[0] == 1.5f && y->data[1] == -2.25f && y->data[3] == 3.140625f);
    assert_string_equal(at_safetensors_meta(f, "labels"), "[\"a\\\"b\"]");
    const char *value = NULL;
    assert_non_null(at_safetensors_meta_at(f, 1, &value));
    assert_non_null(value);
    assert_null(at_safetensors_meta_at(f, 2, &value));
    at_safetensors_destroy(f);
    /* nothing is left of a write that fails */
    assert_true(at_safetensors_write("/nonexistent/m", t, 2, meta, 2, &err) == -ENOENT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_is_there),
        cmocka_unit_test(test_refuses_header_lengths),
        cmocka_unit_test(test_refuses_headers_that_are_no_json_object),
        cmocka_unit_test(test_refuses_duplicate_and_odd_names),
        cmocka_unit_test(test_refuses_metadata_that_is_no_string_map),
        cmocka_unit_test(test_refuses_dtypes),
        cmocka_unit_test(test_refuses_shapes),
        cmocka_unit_test(test_refuses_offsets),
        cmocka_unit_test(test_refuses_values_that_are_not_finite),
        cmocka_unit_test(test_refuses_every_truncation),
        cmocka_unit_test(test_survives_random_damage),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_paths_that_are_no_file),
        cmocka_unit_test(test_write_then_read_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
