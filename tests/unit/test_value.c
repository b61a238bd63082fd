/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

#include "lib/config/value.h"

static void test_numbers_are_the_nearest_double(void **state)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"2400000", 2400000},
        {"2_400_000", 2400000},
        {"2.4e6", 2400000},
        {"2.4M", 2400000},
        {"2400k", 2400000},
        {"2.4E+6", 2400000},
        {"0.0024G", 2400000},
        {"433.92M", 433920000},
        {"0", 0},
        {"-0.5", -0.5},
        {"+3", 3},
        {"0.1", 0.1},
        {"1e22", 1e22},
        {"1e-22", 1e-22},
        {"162.025M", 162025000},
        {"123456789012345", 123456789012345.0},
        {"0.3", 0.3},
        {"1.0e0k", 1000},
        {"00.5", -1},
    };
    static const char *const bad[] = {
        "",
        ".5",
        "5.",
        "1e",
        "e5",
        "1_",
        "_1",
        "1__0",
        "0x10",
        "0755",
        "nan",
        "inf",
        "1e400",
        "1e99",
        "1 ",
        " 1",
        "1,5",
        "1.5.2",
        "--1",
        "1mm",
        "2.4MM",
        "10m",
        "1234567890123456",
        "1e-400",
        "1e+",
        "٣",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double v = -1; /* what a refused text leaves there */
        at_value_number(good[i].text, false, &v);
        if (v != good[i].value)
            fail_msg("%s: %.17g, expected %.17g", good[i].text, v, good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double v = 77;
        if (at_value_number(bad[i], true, &v) != -22 || v != 77)
            fail_msg("%s: was taken as %g", bad[i], v);
    }
    double v = 0;
    assert_int_equal(at_value_number("162MHz", true, &v), 0);
    assert_true(v == 162e6);
    assert_int_equal(at_value_number("162MHz", false, &v), -22);
}

static void test_what_is_formatted_reads_back(void **state)
{
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double mantissa = (double)(int64_t)(seed >> 14) - 5e14, value = mantissa;
        for (uint64_t k = seed % 18; k; k--)
            value /= 10;
        char text[32], again[32];
        at_value_format(value, text); /* 15 digits: what a file can hold */
        double a = 0, b = 0;
        if (at_value_number(text, false, &a) < 0)
            fail_msg("%s is refused", text);
        at_value_format(a, again);
        at_value_number(again, false, &b);
        if (strcmp(text, again) != 0 || a != b || a != strtod(text, NULL))
            fail_msg("%s: %.17g, %s: %.17g", text, a, again, b);
    }
}

static void test_durations_need_a_unit(void **state)
{
    double s = 0;
    assert_int_equal(at_value_duration("100ms", &s), 0);
    assert_true(s == 0.1);
    assert_int_equal(at_value_duration("5s", &s), 0);
    assert_true(s == 5);
    assert_int_equal(at_value_duration("1.5m", &s), 0);
    assert_true(s == 90);
    assert_int_equal(at_value_duration("2h", &s), 0);
    assert_true(s == 7200);
    assert_int_equal(at_value_duration("30d", &s), 0);
    assert_true(s == 2592000);
    assert_int_equal(at_value_duration("0", &s), 0);
    assert_true(s == 0);
    const char *bad[] = {"5", "s", "-5s", "5 s", "5S", "5sec", "5M", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (at_value_duration(bad[i], &s) == 0)
            fail_msg("%s: was taken as %g s", bad[i], s);
}

static void test_ranges_and_addresses(void **state)
{
    double lo = 0, hi = 0;
    assert_int_equal(at_value_range("433.1M-433.2M", &lo, &hi), 0);
    assert_true(lo == 433.1e6 && hi == 433.2e6);
    assert_int_equal(at_value_range("1e3 - 2e3Hz", &lo, &hi), 0);
    assert_int_equal(at_value_range("1e3Hz - 2e3Hz", &lo, &hi), 0);
    assert_true(lo == 1e3 && hi == 2e3);
    assert_true(lo == 1000 && hi == 2000);
    assert_int_equal(at_value_range("500-3k", &lo, &hi), 0);
    assert_true(lo == 500 && hi == 3000);
    assert_int_equal(at_value_range("0-25k", &lo, &hi), 0);
    assert_int_equal(at_value_range("433.1e6-433.2M", &lo, &hi), 0);
    assert_true(lo == 433.1e6 && hi == 433.2e6);
    assert_int_equal(at_value_range("433.1Hz-433.2M", &lo, &hi), 0); /* who writes it means it */
    const char *bad[] = {"",
                         "1M",
                         "2M-1M",
                         "1M-1M",
                         "-1-2",
                         "1M-",
                         "-",
                         "1M-2M-3M",
                         "1M..2M",
                         "433.1-433.2M",
                         "433.1 - 433.2MHz",
                         "12-25k",
                         "2.4-2.5G"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (at_value_range(bad[i], &lo, &hi) == 0)
            fail_msg("%s: was taken as %g to %g", bad[i], lo, hi);
    char host[48];
    unsigned port = 1;
    assert_int_equal(at_value_listen("0.0.0.0:65535", host, sizeof host, &port), 0);
    assert_string_equal(host, "0.0.0.0");
    assert_int_equal(port, 65535);
    assert_int_equal(at_value_listen("[fe80::1]:80", host, sizeof host, &port), 0);
    assert_string_equal(host, "fe80::1");
    const char *no[] = {"",
                        ":",
                        ":80",
                        "localhost:80",
                        "127.0.0.1",
                        "127.0.0.1:",
                        "127.0.0.1:65536",
                        "::1:80",
                        "[::1]80",
                        "[127.0.0.1]:80",
                        "127.0.0.1:+8",
                        "127.0.0.1:8 ",
                        "[]:1",
                        "1.2.3:80"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (at_value_listen(no[i], host, sizeof host, &port) == 0)
            fail_msg("%s: was taken as %s, %u", no[i], host, port);
}

static void test_words_have_a_distance(void **state)
{
    assert_int_equal(at_value_distance("level", "level"), 0);
    assert_int_equal(at_value_distance("levle", "level"), 1); /* neighbours swapped */
    assert_int_equal(at_value_distance("lvel", "level"), 1);
    assert_int_equal(at_value_distance("", "abc"), 3);
    assert_int_equal(at_value_distance("kitten", "sitting"), 3);
    char shown[48];
    at_value_quote("a\x1b[31m\n\xc3", shown);
    assert_string_equal(shown, "a?[31m??");
    at_value_quote("0123456789012345678901234567890123456789", shown);
    assert_string_equal(shown, "0123456789012345678901234567890123456789");
    at_value_quote("0123456789012345678901234567890123456789x", shown);
    assert_string_equal(shown, "0123456789012345678901234567890123456789...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_the_nearest_double),
        cmocka_unit_test(test_what_is_formatted_reads_back),
        cmocka_unit_test(test_durations_need_a_unit),
        cmocka_unit_test(test_ranges_and_addresses),
        cmocka_unit_test(test_words_have_a_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
