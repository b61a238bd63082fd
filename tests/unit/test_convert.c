/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/source/convert.h"

static void expect(float got, double want, const char *what, int at)
{
    if (!(got == (float)want))
        fail_msg("%s at %d: %.9g, expected %.9g", what, at, (double)got, want);
}

static void every_byte_value_is_exact(void **state)
{
    uint8_t raw[256];
    float out[256];
    for (int i = 0; i < 256; i++)
        raw[i] = (uint8_t)i;
    assert_int_equal(at_iq_convert(AT_IQ_CU8, 128, raw, 128, out), 0);
    for (int i = 0; i < 256; i++)
        expect(out[i], (i - 127.5) / 128, "cu8", i);
    assert_int_equal(at_iq_convert(AT_IQ_CS8, 128, raw, 128, out), 0);
    for (int i = 0; i < 256; i++)
        expect(out[i], (int8_t)i / 128.0, "cs8", i);
}

static void every_16_bit_value_is_exact_unaligned(void **state)
{
    unsigned char *raw = malloc(65536 * 2 + 1);
    float *out = malloc(65536 * sizeof *out);
    for (int i = 0; i < 65536; i++) {
        raw[1 + 2 * i] = (unsigned char)(i & 255);
        raw[2 + 2 * i] = (unsigned char)(i >> 8);
    }
    assert_int_equal(at_iq_convert(AT_IQ_CS16, 32768, raw + 1, 32768, out), 0);
    for (int i = 0; i < 65536; i++)
        expect(out[i], (int16_t)i / 32768.0, "cs16", i);
    assert_int_equal(at_iq_convert(AT_IQ_CS16, 2048, raw + 1, 32768, out), 0);
    expect(out[2047], 2047 / 2048.0, "cs16 of a 12-bit converter", 2047);
    free(raw);
    free(out);
}

/* The ends, both signs of one step, and a byte that differs in each place. */
static void wide_integers_are_exact_unaligned(void **state)
{
    static const int32_t x24[] = {0, 1, -1, 8388607, -8388608, 0x123456, -0x123456, -0x10000};
    static const int32_t x32[] = {0, 256, -256, INT32_MAX, INT32_MIN, 0x12345600, -0x12345600, 1};
    unsigned char raw24[1 + 24], raw32[1 + 32];
    float out[8];
    for (size_t i = 0; i < 8; i++) {
        uint32_t x = (uint32_t)x24[i];
        for (int k = 0; k < 3; k++)
            raw24[1 + 3 * i + (size_t)k] = (unsigned char)(x >> 8 * k);
    }
    memcpy(raw32 + 1, x32, sizeof x32);
    assert_int_equal(at_iq_convert(AT_IQ_CS24, 8388608, raw24 + 1, 4, out), 0);
    for (int i = 0; i < 8; i++)
        expect(out[i], x24[i] / 8388608.0, "cs24", i);
    assert_int_equal(at_iq_convert(AT_IQ_CS32, 2147483648.0, raw32 + 1, 4, out), 0);
    for (int i = 0; i < 8; i++)
        expect(out[i], x32[i] / 2147483648.0, "cs32", i);
    assert_int_equal(at_iq_convert(AT_IQ_CS32, 8388608, raw32 + 1, 4, out), 0);
    expect(out[1], 256 / 8388608.0, "24 bits in 32", 1);
}

static void what_is_not_finite_is_masked_and_counted(void **state)
{
    const float raw[] = {0.5f, -0.25f, NAN, 1, 1, INFINITY, -INFINITY, NAN, 1e38f, 0, 1e-42f, 1e9f};
    float out[12];
    assert_int_equal(at_iq_convert(AT_IQ_CF32, 1, raw, 6, out), 4);
    const float want[] = {0.5f, -0.25f, 0, 0, 0, 0, 0, 0, 0, 0, 1e-42f, 1e9f};
    for (int i = 0; i < 12; i++)
        expect(out[i], (double)want[i], "cf32", i);
}

static void names_and_sizes(void **state)
{
    assert_int_equal(at_iq_format_from_name("CS16"), AT_IQ_CS16);
    assert_int_equal(at_iq_format_from_name("cf64"), -1);
    assert_int_equal(at_iq_format_from_name(NULL), -1);
    for (int f = 0; f < AT_IQ_FORMATS; f++)
        assert_int_equal(at_iq_format_from_name(at_iq_format_name((enum at_iq_format)f)), f);
    assert_int_equal(at_iq_format_from_sigmf("ci16_le"), AT_IQ_CS16);
    assert_int_equal(at_iq_format_from_sigmf("ci16_be"), -1);
    assert_int_equal(at_iq_format_from_sigmf(NULL), -1);
    assert_int_equal(at_iq_format_size(AT_IQ_CF32), 8);
    assert_int_equal(at_iq_format_size(AT_IQ_CS24), 6);
    assert_int_equal(at_iq_format_size(AT_IQ_CS32), 8);
}

/* Each word of a list "a, b or c" is a format of its own, and all but without are there. */
static void expect_list(const char *list, int (*from)(const char *), unsigned without)
{
    char copy[128], *next = copy;
    unsigned seen = 0;
    assert_true(strlen(list) < sizeof copy);
    strcpy(copy, list);
    for (char *word; (word = strtok_r(next, ", ", &next));) {
        if (!strcmp(word, "or"))
            continue;
        int format = from(word);
        if (format < 0 || seen >> format & 1)
            fail_msg("%s of \"%s\": format %d", word, list, format);
        seen |= 1u << format;
    }
    if (seen != (((1u << AT_IQ_FORMATS) - 1) & ~without))
        fail_msg("\"%s\" names the formats %x", list, seen);
}

static void messages_name_every_format(void **state)
{
    expect_list(AT_IQ_FORMAT_NAMES, at_iq_format_from_name, 0);
    expect_list(AT_IQ_SIGMF_NAMES, at_iq_format_from_sigmf, 1u << AT_IQ_CS24);
}

/* A rounded-off signal's error has the power that the floor says: 8 bits at 1 MS/s. */
static void floor_is_the_quantisers_noise(void **state)
{
    double power = 0;
    int n = 200000;
    uint32_t rng = 1;
    for (int i = 0; i < n; i++) {
        rng = rng * 1664525 + 1013904223;
        double x = (double)(rng >> 8) / (1 << 24) - 0.5, e = x - round(x * 128) / 128;
        power += 2 * e * e; /* both rails */
    }
    double measured = 10 * log10(power / n / 1e6), said = at_iq_format_floor(AT_IQ_CS8, 128, 1e6);
    print_message("quantisation noise: measured %.2f, said %.2f dBFS/Hz\n", measured, said);
    assert_true(fabs(measured - said) < 0.1);
    double of_16 = at_iq_format_floor(AT_IQ_CS16, 32768, 1e6);
    for (int f = AT_IQ_CF32; f < AT_IQ_FORMATS; f++) /* no converter is finer */
        if (at_iq_format_floor(f, at_iq_format_full_scale(f), 1e6) != of_16)
            fail_msg("%s: %.2f, cs16: %.2f dBFS/Hz", at_iq_format_name(f),
                     at_iq_format_floor(f, at_iq_format_full_scale(f), 1e6), of_16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_value_is_exact),
        cmocka_unit_test(every_16_bit_value_is_exact_unaligned),
        cmocka_unit_test(wide_integers_are_exact_unaligned),
        cmocka_unit_test(what_is_not_finite_is_masked_and_counted),
        cmocka_unit_test(names_and_sizes),
        cmocka_unit_test(messages_name_every_format),
        cmocka_unit_test(floor_is_the_quantisers_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
