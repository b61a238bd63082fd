/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/source_files.h"

#include <math.h>

#include "lib/base/clock.h"

/* The headers' CRCs, by another's CRC-32 (Python's zlib). */
#define CRC_A       0x210e4c6e
#define CRC_B       0x6a6952e0
#define CRC_8_BITS  0x8e5066f0
#define CRC_NO_RATE 0x545a0133
#define CRC_ABSURD  0xb2e5d708

static size_t make(unsigned char *b, uint32_t rate_hz, uint64_t center_hz, uint64_t stamp,
                   uint32_t bits, uint32_t crc)
{
    memset(b, 0, 32);
    memcpy(b, &rate_hz, 4);
    memcpy(b + 4, &center_hz, 8);
    memcpy(b + 12, &stamp, 8);
    memcpy(b + 20, &bits, 4);
    memcpy(b + 28, &crc, 4);
    return 32;
}

static void see(const char *path, double rate_hz, double center_hz, const char *utc,
                const char *format, const float want[4])
{
    struct at_source *s = open_good(path, NULL);
    struct at_source_info info;
    char text[AT_RFC3339_SIZE];
    float iq[8];
    s->ops->get_info(s, &info);
    at_clock_format_utc(info.start_utc_ns, text);
    if (info.rate_hz != rate_hz || info.center_hz != center_hz || strcmp(text, utc) ||
        strcmp(info.format, format))
        fail_msg("%s: %.0f S/s, %.0f Hz, %s, %s; expected %.0f, %.0f, %s, %s", path, info.rate_hz,
                 info.center_hz, text, info.format, rate_hz, center_hz, utc, format);
    assert_int_equal(read_all(s, iq, 4, 4), 2);
    for (int i = 0; i < 4; i++)
        if (iq[i] != want[i])
            fail_msg("%s: value %d: %.9g, expected %.9g", path, i, (double)iq[i], (double)want[i]);
    s->ops->destroy(s);
}

/* Both widths; the older stamp in seconds and the newer in milliseconds. */
static void both_widths_are_read(void **state)
{
    unsigned char b[64];
    const int16_t x16[4] = {16384, -16384, 1, -32768};
    const int32_t x24[4] = {4194304, -4194304, 1, -8388608};
    const float want16[4] = {0.5f, -0.5f, 1 / 32768.0f, -1},
                want24[4] = {0.5f, -0.5f, 1 / 8388608.0f, -1};
    size_t n = make(b, 2400000, 433920000, 1600000000, 16, CRC_A);
    memcpy(b + n, x16, sizeof x16);
    see(put("a.sdriq", b, n + sizeof x16), 2400000, 433920000, "2020-09-13T12:26:40.000000Z",
        "cs16", want16);
    n = make(b, 48000, 5840000000, 1600000000123, 24, CRC_B);
    memcpy(b + n, x24, sizeof x24);
    see(put("B.SDRIQ", b, n + sizeof x24), 48000, 5840000000, "2020-09-13T12:26:40.123000Z", "cs32",
        want24);
}

static void bad_headers_say_what_is_wrong(void **state)
{
    unsigned char b[40] = {0};
    open_bad(put("short.sdriq", b, 31), NULL, -EINVAL, "cut short at byte 31");
    open_bad(put("zero.sdriq", b, 40), NULL, -EINVAL, "CRC at byte 28 is 00000000");
    make(b, 2400000, 433920000, 1600000000, 16, CRC_A ^ 1);
    open_bad(put("crc.sdriq", b, 40), NULL, -EINVAL, "--format cs16");
    make(b, 2400000, 433920000, 1600000000, 8, CRC_8_BITS);
    open_bad(put("bits.sdriq", b, 40), NULL, -EINVAL, "samples of 8 bits (byte 20)");
    make(b, 0, 433920000, 1600000000, 16, CRC_NO_RATE);
    open_bad(put("rate.sdriq", b, 40), NULL, -EINVAL, "say --rate");
    make(b, 2400000, 433920000, 1600000000, 16, CRC_A);
    open_bad(put("empty.sdriq", b, 32), NULL, -EINVAL, "no cs16 sample");
}

/* A damaged header leaves the samples: the remedy that the message names works. */
static void a_damaged_one_is_read_as_raw(void **state)
{
    static const unsigned char b[40];
    const struct at_file_options o = {.format = "cs16", .rate_hz = 1e6, .center_hz = NAN};
    float iq[32];
    struct at_source *s = open_good(put("raw.sdriq", b, sizeof b), &o);
    assert_int_equal(read_all(s, iq, 16, 16), 10);
    s->ops->destroy(s);
}

/* What stands in a good header and cannot be is left out, and said. */
static void absurd_values_are_left_out(void **state)
{
    unsigned char b[40] = {0};
    struct at_source_info info;
    make(b, 2400000, UINT64_MAX, UINT64_MAX, 16, CRC_ABSURD);
    struct at_source *s = open_good(put("absurd.sdriq", b, sizeof b), NULL);
    s->ops->get_info(s, &info);
    assert_true(info.center_hz == 0 && info.start_utc_ns == 0);
    assert_non_null(strstr(info.message, "--freq"));
    s->ops->destroy(s);
    s = open_good(put("tail.sdriq", b, sizeof b - 1), NULL);
    s->ops->get_info(s, &info);
    assert_int_equal(info.n_samples, 1);
    assert_non_null(strstr(info.message, "3 bytes at the end"));
    s->ops->destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_widths_are_read),
        cmocka_unit_test(bad_headers_say_what_is_wrong),
        cmocka_unit_test(a_damaged_one_is_read_as_raw),
        cmocka_unit_test(absurd_values_are_left_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
