/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/config/yaml.h"

struct counts {
    int opened, closed, keys, scalars, deepest;
};

static int on_open(void *ctx, bool mapping, struct at_yaml_pos pos, struct at_error *err)
{
    struct counts *c = ctx;
    c->opened++;
    if (c->opened - c->closed > c->deepest)
        c->deepest = c->opened - c->closed;
    return 0;
}

static int on_close(void *ctx, struct at_error *err)
{
    ((struct counts *)ctx)->closed++;
    return 0;
}

static int on_key(void *ctx, const char *key, struct at_yaml_pos pos, struct at_error *err)
{
    ((struct counts *)ctx)->keys++;
    return strcmp(key, "stop") == 0 ? at_error_set(err, -EPERM, "stop: as told") : 0;
}

static int on_scalar(void *ctx, const char *text, bool null, struct at_yaml_pos pos,
                     struct at_error *err)
{
    ((struct counts *)ctx)->scalars++;
    return 0;
}

static int read_text(const char *text, size_t n, struct counts *c, char message[512])
{
    char path[] = "/tmp/attune-yaml-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    struct at_error err = {""};
    *c = (struct counts){0};
    const struct at_yaml_sink sink = {
        .ctx = c, .open = on_open, .close = on_close, .key = on_key, .scalar = on_scalar};
    int r = at_yaml_read(path, &sink, &err);
    unlink(path);
    snprintf(message, 512, "%s", r < 0 ? err.text + strlen(path) : "");
    return r;
}

static void test_depth_has_a_ceiling(void **state)
{
    struct counts c;
    char text[200], message[512];
    for (int depth = 31; depth <= 32; depth++) { /* the root's mapping is the first */
        strcpy(text, "a: ");
        memset(text + 3, '[', (size_t)depth);
        memset(text + 3 + depth, ']', (size_t)depth);
        int r = read_text(text, 3 + 2 * (size_t)depth, &c, message);
        assert_int_equal(r, depth == 31 ? 0 : -E2BIG);
        assert_int_equal(c.deepest, 32);
        assert_string_equal(
            message,
            depth == 31 ? "" : ":1:35: nested more than 32 deep; this is no configuration");
    }
}

static void test_values_are_counted(void **state)
{
    struct counts c;
    static char text[100000];
    char message[512];
    for (int n = 4093; n <= 4094;
         n++) { /* with the two mappings' worth of root, key and list: 4096 and 4097 */
        size_t at = (size_t)sprintf(text, "a: [");
        for (int i = 0; i < n; i++)
            at += (size_t)sprintf(text + at, "1,");
        at += (size_t)sprintf(text + at, "]\n");
        int r = read_text(text, at, &c, message);
        assert_int_equal(r, n == 4093 ? 0 : -E2BIG);
        assert_int_equal(c.scalars, 4093);
    }
    /* a billion laughs is over at the first alias, or before it, at the anchor */
    const char laughs[] = "a: &a [x]\nb: [*a, *a]\n";
    assert_int_equal(read_text(laughs, strlen(laughs), &c, message), -EINVAL);
    assert_int_equal(c.scalars, 0);
}

static void test_the_sink_can_end_it(void **state)
{
    struct counts c;
    char message[512];
    const char text[] = "a: 1\nb:\n  stop: 1\n  c: 2\n";
    assert_int_equal(read_text(text, strlen(text), &c, message), -EPERM);
    assert_string_equal(message, ":3:3: stop: as told");
    assert_int_equal(c.keys, 3);
    assert_int_equal(c.scalars, 1);
}

static void test_what_cannot_be_a_value_or_be_read(void **state)
{
    static const char text[] = "a: \"x\\0y\"\n";
    struct counts c = {0};
    char message[512];
    assert_int_equal(read_text(text, sizeof text - 1, &c, message), -EINVAL);
    assert_string_equal(message, ":1:4: NUL in a value; remove it");
    /* A regular file by its type, and every read of its first byte fails. */
    const struct at_yaml_sink sink = {
        .ctx = &c, .open = on_open, .close = on_close, .key = on_key, .scalar = on_scalar};
    struct at_error err = {""};
    assert_int_equal(at_yaml_read("/proc/self/mem", &sink, &err), -EIO);
    assert_string_equal(err.text, "/proc/self/mem: Input/output error; check the disk");
}

static void test_no_bytes_crash_it(void **state)
{
    static const char seed_text[] =
        "log: {level: info, format: text}\nradios:\n  - name: \"a\"\n    bands: [{x: 'y'}]\n"
        "# c\nk: |\n  text\nz: >-\n  more\n";
    struct counts c;
    char text[sizeof seed_text], message[512];
    uint64_t seed = 7;
    int refused = 0;
    for (int i = 0; i < 3000; i++) {
        memcpy(text, seed_text, sizeof text);
        for (int k = 0; k < 4; k++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            text[(seed >> 33) % (sizeof text - 1)] =
                "[]{}:,-?&*!|>'\"%@`#\t\n \xff\x80\0ab"[(seed >> 20) % 28];
        }
        int r = read_text(text, sizeof text - 1, &c, message);
        refused += r < 0;
        if (r == 0)
            assert_int_equal(c.opened, c.closed);
    }
    assert_in_range(refused, 1000,
                    2999); /* the mutations do reach the refusals, and not all are refused */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_a_value_or_be_read),
        cmocka_unit_test(test_depth_has_a_ceiling),
        cmocka_unit_test(test_values_are_counted),
        cmocka_unit_test(test_the_sink_can_end_it),
        cmocka_unit_test(test_no_bytes_crash_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
