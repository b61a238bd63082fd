/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/source_files.h"

#include <math.h>
#include <sys/stat.h>

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void see(const char *name, const struct at_file_options *o, double rate_hz, double center_hz,
                const char *format)
{
    struct at_source_info info;
    struct at_source *s = open_good(put(name, "abcdefgh", 8), o);
    s->ops->get_info(s, &info);
    if (info.rate_hz != rate_hz || info.center_hz != center_hz || strcmp(info.format, format))
        fail_msg("%s: %g S/s at %g Hz, %s; expected %g, %g, %s", name, info.rate_hz, info.center_hz,
                 info.format, rate_hz, center_hz, format);
    s->ops->destroy(s);
}

/* Both widths, both cases of letters, both ends of lines, keys of no use to us. */
static void the_text_says_rate_and_centre(void **state)
{
    put_text("BBD_0001.TXT", "center_frequency=433920000\nsample_rate=500000\n");
    see("BBD_0001.C16", NULL, 500e3, 433.92e6, "cs16");
    see("BBD_0001.C8", NULL, 500e3, 433.92e6, "cs8");
    put_text("low.txt", "\r\nlatitude=48.1\r\nsample_rate=12500000\r\ncenter_frequency=1090000000");
    see("low.c8", NULL, 12.5e6, 1090e6, "cs8");
}

static void the_name_says_less_and_flags_more(void **state)
{
    put_text("X_868M_1M.TXT", "center_frequency=433920000\nsample_rate=500000\n");
    see("X_868M_1M.C16", NULL, 500e3, 433.92e6, "cs16");
    put_text("Y_868M.TXT", "sample_rate=500000\n");
    see("Y_868M.C16", NULL, 500e3, 868e6, "cs16");
    const struct at_file_options o = {.rate_hz = 2e6, .center_hz = 100e6};
    put_text("BAD.TXT", "center_frequency=0\nsample_rate=x\n");
    see("BAD.C16", &o, 2e6, 100e6, "cs16");
}

/* Any other kind of recording may have notes beside it, and a PortaPack's text may be something
 * else. */
static void other_texts_are_left_alone(void **state)
{
    put_text("n_250k.txt", "sample_rate=500000\n");
    see("n_250k.cu8", NULL, 250e3, 0, "cu8");
    put_text("m_250k.TXT", "the neighbour's weather station\nsample_rate 500000\n");
    see("m_250k.C16", NULL, 250e3, 0, "cs16");
    char path[128];
    snprintf(path, sizeof path, "%s/p_250k.TXT", folder);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: it must not be waited for */
    see("p_250k.C16", NULL, 250e3, 0, "cs16");
}

static void bad_values_say_where(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"center_frequency=1\nsample_rate=0\n", "B.TXT:2: sample_rate=0 is no whole number"},
        {"sample_rate=\n", "B.TXT:1: sample_rate= is"},
        {"sample_rate=-5\n", "say --rate 500k"},
        {"sample_rate=99999999999\n", "from 1 to 1e+10"},
        {"sample_rate=500k\n", "say --rate 500k"},
        {"\n\ncenter_frequency=433.92\n", "B.TXT:3: center_frequency=433.92"},
        {"center_frequency=99999999999999999999999\n", "say --freq 433.92M"},
        {"sample_rate=1\33[31m\n", "sample_rate=1 [31m is"},
        {"center_frequency=433920000\n", "unknown sample rate; say --rate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("B.TXT", cases[i].text);
        open_bad(put("B.C16", "abcdefgh", 8), NULL, -EINVAL, cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_says_rate_and_centre),
        cmocka_unit_test(the_name_says_less_and_flags_more),
        cmocka_unit_test(other_texts_are_left_alone),
        cmocka_unit_test(bad_values_say_where),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
