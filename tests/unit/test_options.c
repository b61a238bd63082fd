/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cli/options.h"

struct values {
    bool loud;
    const char *name, *mode;
    double rate_hz, wait_s;
    uint32_t count;
};

static const struct at_option options[] = {
    {"loud", 'l', AT_OPTION_FLAG, offsetof(struct values, loud), NULL, "print more"},
    {"name", 'n', AT_OPTION_TEXT, offsetof(struct values, name), "NAME", "its name"},
    {"mode", 0, AT_OPTION_CHOICE, offsetof(struct values, mode), "MODE", "how",
     .choices = "fast,exact"},
    {"rate", 's', AT_OPTION_NUMBER, offsetof(struct values, rate_hz), "HZ", "samples a second", 1,
     1e9, "250k"},
    {"wait", 0, AT_OPTION_DURATION, offsetof(struct values, wait_s), "TIME", "how long"},
    {"count", 0, AT_OPTION_COUNT, offsetof(struct values, count), "N", "how many", 1, 9},
    {0},
};

static struct at_command command(const char *examples)
{
    return (struct at_command){.name = "try",
                               .summary = "Try it",
                               .usage = "[OPTION]...",
                               .examples = examples,
                               .options = options};
}

/* The examples are on the heap, as long as they are: one byte behind them is seen by a sanitizer.
 */
static void expect_help(const char *examples, const char *want)
{
    char *heap = strdup(examples), *said = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&said, &n);
    struct at_command c = command(heap);
    at_command_help(&c, out);
    fclose(out);
    const char *after = strstr(said, "\nExamples:\n");
    if (!after || strcmp(after + strlen("\nExamples:\n"), want))
        fail_msg("examples \"%s\": printed \"%s\", expected \"%s\"", examples, after ? after : said,
                 want);
    free(said);
    free(heap);
}

static void test_examples_are_printed_line_by_line(void **state)
{
    expect_help("attune try\nattune try -l # more\n", "  attune try\n  attune try -l # more\n");
    expect_help("attune try\nattune try -l", "  attune try\n  attune try -l\n");
    expect_help("", "");
}

/* Parses words; what is no option stands in argv[1...]. */
static int parse(struct values *v, char **argv, int *ret_exit)
{
    static const char *const examples = "attune try\n";
    struct at_command c = command(examples);
    int argc = 0;
    while (argv[argc])
        argc++;
    *v = (struct values){0};
    *ret_exit = -1;
    return at_options_parse(&c, v, argc, argv, ret_exit);
}

static void test_every_way_to_write_an_option(void **state)
{
    struct values v;
    int code;
    char *argv[] = {"try",     "one", "-l",     "--name=x", "-s1.5M", "--wait", "500ms", "-",
                    "--count", "9",   "--mode", "exact",    "--",     "--loud", NULL};
    assert_int_equal(parse(&v, argv, &code), 3);
    assert_string_equal(argv[1], "one");
    assert_string_equal(argv[2], "-");
    assert_string_equal(argv[3], "--loud");
    assert_true(v.loud);
    assert_string_equal(v.name, "x");
    assert_string_equal(v.mode, "exact");
    assert_true(v.rate_hz == 1.5e6 && v.wait_s == 0.5);
    assert_int_equal(v.count, 9);
    char *none[] = {"try", NULL};
    assert_int_equal(parse(&v, none, &code), 0);
    assert_true(v.rate_hz == 250e3); /* the preset */
}

static void test_what_is_wrong_ends_the_run(void **state)
{
    static char *const bad[][2] = {
        {"--rat", "1M"},    {"-x", NULL},       {"--rate", "0"},     {"--rate", "2G"},
        {"--rate", NULL},   {"--loud=1", NULL}, {"--mode", "quick"}, {"--mode", "fas"},
        {"--wait", "5"},    {"--count", "1.5"}, {"--count", "1e10"}, {"--rate=", NULL},
        {"--rate", "fast"}, {"--count", "-1"},  {"--wait", "1e6d"}, /* its nanoseconds fit no
                                                                       int64_t */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct values v;
        char *argv[] = {"try", bad[i][0], bad[i][1], NULL};
        int code, n = parse(&v, argv, &code);
        if (n != -1 || code != AT_EXIT_USAGE)
            fail_msg("%s %s: %d words, exit %d, expected -1 and %d", bad[i][0],
                     bad[i][1] ? bad[i][1] : "", n, code, AT_EXIT_USAGE);
    }
}

static int add_length(void *ctx, const char *name)
{
    *(size_t *)ctx += strlen(name);
    return strcmp(name, "stop") == 0 ? 7 : 0;
}

static void test_lists_are_cut_at_commas(void **state)
{
    static const struct {
        const char *list;
        int code;
        size_t length;
    } cases[] = {{"a,bc", 0, 3},        {"a", 0, 1},        {"", -EINVAL, 0},
                 {"a,,b", -EINVAL, 1},  {"a,", -EINVAL, 1}, {",a", -EINVAL, 0},
                 {"a,stop,never", 7, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length = 0;
        int code = at_list_each(cases[i].list, add_length, &length);
        if (code != cases[i].code || length != cases[i].length)
            fail_msg("\"%s\": %d after %zu letters, expected %d after %zu", cases[i].list, code,
                     length, cases[i].code, cases[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_are_printed_line_by_line),
        cmocka_unit_test(test_every_way_to_write_an_option),
        cmocka_unit_test(test_what_is_wrong_ends_the_run),
        cmocka_unit_test(test_lists_are_cut_at_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
