/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/source_files.h"

#include <math.h>

#include "lib/base/clock.h"

#define GLOBAL                                                                                     \
    "\"global\": {\"core:datatype\": \"cu8\", \"core:sample_rate\": 250000, \"core:version\": "    \
    "\"1.0.0\""

static const char *put_meta(const char *meta)
{
    return put("x.sigmf-meta", meta, strlen(meta));
}

static void put_data(size_t n_samples)
{
    uint8_t *bytes = malloc(2 * n_samples);
    for (size_t i = 0; i < 2 * n_samples; i++)
        bytes[i] = (uint8_t)i;
    put("x.sigmf-data", bytes, 2 * n_samples);
    free(bytes);
}

/* 100 samples in three captures, 50 and 7 samples lost between them. */
static void gaps_of_global_index_are_jumps_and_losses(void **state)
{
    float iq[200];
    struct at_read got;
    put_data(100);
    put_meta("{" GLOBAL ", \"core:hw\": \"a\\nb\"}, \"captures\": ["
             "{\"core:sample_start\": 0, \"core:global_index\": 1000, \"core:frequency\": 433.92e6,"
             " \"core:datetime\": \"2024-05-01T00:00:00Z\"},"
             "{\"core:sample_start\": 30, \"core:global_index\": 1080, \"core:frequency\": 434e6},"
             "{\"core:sample_start\": 60, \"core:global_index\": 1117}]}");
    char stem[100];
    snprintf(stem, sizeof stem, "%s/x", folder);
    static const char *const suffixes[] = {"", ".sigmf-meta", ".sigmf-data"};
    for (int k = 0; k < 3; k++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", stem, suffixes[k]);
        struct at_source *s = open_good(path, NULL);
        struct at_source_info info;
        s->ops->get_info(s, &info);
        assert_true(info.rate_hz == 250e3 && info.center_hz == 433.92e6);
        assert_true(info.other_center_hz == 434e6);
        assert_int_equal(info.n_samples, 157);
        assert_string_equal(info.hardware, "a b");
        static const struct {
            size_t n;
            uint64_t index;
            double center_hz;
        } want[] = {{30, 0, 433.92e6}, {30, 80, 434e6}, {40, 117, 433.92e6}};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(s->ops->read(s, iq, 100, 100, &got, NULL), 0);
            assert_int_equal(got.n, want[i].n);
            assert_int_equal(got.index, want[i].index);
            assert_true(got.center_hz == want[i].center_hz);
            int64_t start = 0;
            at_clock_parse_utc("2024-05-01T00:00:00Z", &start);
            assert_int_equal(got.utc_ns - start, (int64_t)want[i].index * 4000);
        }
        assert_int_equal(s->ops->read(s, iq, 100, 100, &got, NULL), -ENODATA);
        struct at_ledger l;
        s->ops->get_ledger(s, &l);
        assert_int_equal(l.lost[AT_LOST_GAP], 57);
        assert_int_equal(l.events[AT_LOST_GAP], 2);
        assert_int_equal(l.requested, 157);
        assert_int_equal(l.delivered, 100);
        s->ops->destroy(s);
    }
}

static void dataset_headers_and_trailers(void **state)
{
    float iq[40];
    put("blob.bin", "HHHHabcdefghTT", 14);
    struct at_source *s = open_good(
        put_meta("{" GLOBAL ", \"core:dataset\": \"blob.bin\", \"core:trailing_bytes\": 2},"
                 "\"captures\": [{\"core:sample_start\": 0, \"core:header_bytes\": 4}]}"),
        NULL);
    assert_int_equal(read_all(s, iq, 20, 20), 4);
    assert_true(iq[0] == ((float)'a' - 127.5f) / 128 && iq[7] == ((float)'h' - 127.5f) / 128);
    s->ops->destroy(s);
    put_data(10);
    s = open_good(put_meta("{" GLOBAL "}}"), NULL); /* no captures: one */
    assert_int_equal(read_all(s, iq, 20, 20), 10);
    s->ops->destroy(s);
}

static void bad_metadata_is_refused(void **state)
{
#define G(extra)   "{\"global\": {\"core:datatype\": \"cu8\"" extra "}, \"captures\": []}"
#define CAPS(list) "{" GLOBAL "}, \"captures\": [" list "]}"
    static const struct {
        const char *meta, *remedy;
    } cases[] = {
        {"{", "no valid JSON"},
        {"[]", "\"global\""},
        {"{\"global\": 1}", "\"global\""},
        {"{" GLOBAL "}, " GLOBAL "}}", "no valid JSON"},
        {"{\"global\": {\"core:hw\": \"\xff\"}}", "no valid JSON"},
        {"{\"global\": {\"core:hw\": \"\\ud800\"}}", "no valid JSON"},
        {"{\"global\": {\"core:datatype\": \"ci16_be\", \"core:sample_rate\": 1}}",
         "ci16_le, ci32_le"},
        {"{\"global\": {\"core:datatype\": \"rf32_le\", \"core:sample_rate\": 1}}", "ci16_le"},
        {"{\"global\": {\"core:datatype\": 8, \"core:sample_rate\": 1}}", "core:datatype"},
        {G(""), "say --rate"},
        {G(", \"core:sample_rate\": 0"), "core:sample_rate"},
        {G(", \"core:sample_rate\": -5"), "core:sample_rate"},
        {G(", \"core:sample_rate\": NaN"), "no valid JSON"},
        {G(", \"core:sample_rate\": 1e300"), "core:sample_rate"},
        {G(", \"core:sample_rate\": 1e400"), "no valid JSON"},
        {G(", \"core:sample_rate\": \"1M\""), "core:sample_rate"},
        {G(", \"core:sample_rate\": 1, \"core:num_channels\": 0"), "one channel"},
        {G(", \"core:sample_rate\": 1, \"core:num_channels\": 1000000000"), "one channel"},
        {G(", \"core:sample_rate\": 1, \"core:metadata_only\": true"), "metadata_only"},
        {G(", \"core:sample_rate\": 1, \"core:dataset\": \"../../etc/passwd\""), "same folder"},
        {G(", \"core:sample_rate\": 1, \"core:dataset\": \"/etc/passwd\""), "same folder"},
        {G(", \"core:sample_rate\": 1, \"core:dataset\": \"..\""), "same folder"},
        {G(", \"core:sample_rate\": 1, \"core:dataset\": 5"), "same folder"},
        {G(", \"core:sample_rate\": 1, \"core:trailing_bytes\": 99999"), "trailing_bytes"},
        {"{" GLOBAL "}, \"captures\": {}}", "must be a list"},
        {CAPS("5"), "must be objects"},
        {CAPS("{\"core:sample_start\": -1}"), "whole number"},
        {CAPS("{\"core:sample_start\": 1.5}"), "whole number"},
        {CAPS("{\"core:sample_start\": 9223372036854775807}"), "beyond"},
        {CAPS("{\"core:sample_start\": 0}, {\"core:sample_start\": 101}"),
         "captures[1] lies beyond"},
        {CAPS("{\"core:sample_start\": 50}, {\"core:sample_start\": 20}"), "out of order"},
        {CAPS("{\"core:sample_start\": 0, \"core:global_index\": 100},"
              "{\"core:sample_start\": 50, \"core:global_index\": 120}"),
         "runs back"},
        {CAPS("{\"core:sample_start\": 0, \"core:frequency\": \"x\"}"), "core:frequency"},
        {CAPS("{\"core:sample_start\": 0, \"core:datetime\": \"yesterday\"}"), "RFC 3339"},
        {CAPS("{\"core:sample_start\": 0, \"core:header_bytes\": 100000}"), "header_bytes"},
        {"", "empty"},
    };
    put_data(100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        open_bad(put_meta(cases[i].meta), NULL, -EINVAL, cases[i].remedy);
}

static void depth_size_and_missing_data(void **state)
{
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    put_data(100);
    open_bad(put("x.sigmf-meta", deep, sizeof deep), NULL, -EINVAL, "no valid JSON");
    char path[128];
    snprintf(path, sizeof path, "%s/x.sigmf-meta", folder);
    assert_int_equal(truncate(path, 100 << 20), 0);
    open_bad(path, NULL, -E2BIG, "16 MiB");
    snprintf(path, sizeof path, "%s/x.sigmf-data", folder);
    assert_int_equal(unlink(path), 0);
    open_bad(put_meta("{" GLOBAL "}}"), NULL, -ENOENT, "x.sigmf-data");
    put("x.sigmf-data", "", 0);
    open_bad(put_meta("{" GLOBAL "}}"), NULL, -EINVAL, "no samples");
    snprintf(path, sizeof path, "%s/none.sigmf-meta", folder);
    open_bad(path, NULL, -ENOENT, "none.sigmf-meta");
    static char text[6000];
    int n = snprintf(text, sizeof text, "{" GLOBAL ", \"core:dataset\": \"");
    memset(text + n, 'x', 5000);
    strcpy(text + n + 5000, "\"}}");
    open_bad(put_meta(text), NULL, -ENAMETOOLONG, "too long");
    put_data(100);
    open_bad(put_meta("{" GLOBAL "}, \"captures\": [{}, {\"core:sample_start\": -1}]}"), NULL,
             -EINVAL, "core:sample_start");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_of_global_index_are_jumps_and_losses),
        cmocka_unit_test(dataset_headers_and_trailers),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(depth_size_and_missing_data),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
