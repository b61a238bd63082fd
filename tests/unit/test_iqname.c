/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/source/convert.h"
#include "lib/source/iqname.h"

static void names_say_format_rate_and_centre(void **state)
{
    static const struct {
        const char *name;
        int format;
        double rate_hz, center_hz;
    } cases[] = {
        {"a/g001_433.92M_250k.cu8", AT_IQ_CU8, 250e3, 433.92e6},
        {"danfoss_CFR_dfile001_250k.cu8", AT_IQ_CU8, 250e3, 0},
        {"rtlsdr_868.950M_1M6_samples2_T1.cu8", AT_IQ_CU8, 1.6e6, 868.95e6},
        {"x_868M_1.6M.cs8", AT_IQ_CS8, 1.6e6, 868e6},
        {"modes1_1090M_2M.cu8", AT_IQ_CU8, 2e6, 1090e6},
        {"nrf_new_tone_8dBm_0MHz_BLE_2425M_10M.cf32", AT_IQ_CF32, 10e6, 2425e6},
        {"srsran_sidelink_huawei_11.52M.cf32", AT_IQ_CF32, 11.52e6, 0},
        {"only_433.92M.cs16", AT_IQ_CS16, 0, 433.92e6},
        {"wind_0.2S_0.6G_315DEG_433.92M_250k.cu8", AT_IQ_CU8, 250e3, 433.92e6},
        {"2M_433.92M.cu8", AT_IQ_CU8, 2e6, 433.92e6},
        {"link_1.2G_20M.cfile", AT_IQ_CF32, 20e6, 1.2e9},
        {"f796_s19.2_bw20_0.08s_hackrf.cs8", AT_IQ_CS8, 19.2e6, 796e6},
        {"gqrx_20200101_120000_433920000_1800000_fc.raw", AT_IQ_CF32, 1.8e6, 433.92e6},
        {"gqrx_20240101_120000_145000000_1800000_fc.raw", AT_IQ_CF32, 1.8e6, 145e6},
        {"sigdigger_20220308_165547Z_2560000_433500000_float32_iq.raw", AT_IQ_CF32, 2.56e6,
         433.5e6},
        {"baseband_100000000Hz_12-30-45_01-02-2021.wav", -1, 0, 100e6},
        {"SDRuno_20200907_184033Z_88110kHz.wav", -1, 0, 88.11e6},
        {"2024-01-01_12-00-00_2400000SPS_137500000Hz.cf32", AT_IQ_CF32, 2.4e6, 137.5e6},
        {"BBD_0001.C16", AT_IQ_CS16, 0, 0},
        {"BBD_0002.C8", AT_IQ_CS8, 0, 0},
        {"x_250k.cs24", AT_IQ_CS24, 250e3, 0},
        {"x_250k.cs32", AT_IQ_CS32, 250e3, 0},
        {"kiwi_20171127T104156Z_77500_F1JEK_iq.wav", -1, 0, 77500},
        {"SDRSharp_20160101_231914Z_437425000Hz_IQ.wav", -1, 0, 437425000},
        {"HDSDR_20130101_120000Z_7050kHz_RF.wav", -1, 0, 7.05e6},
        {"x_100.1MHz.complex16s", AT_IQ_CS8, 0, 100.1e6},
        {"x_433.92MHz_250kSps.sc8", AT_IQ_CS8, 250e3, 433.92e6},
        {"ais_162MHz_96kHz.cs16", AT_IQ_CS16, 96e3, 162e6},
        {"48kHz_144.8MHz.cf32", AT_IQ_CF32, 48e3, 144.8e6},
        {"HackRF-20190723_215514-433_92MHz-1MSps-1MHz.complex16s", AT_IQ_CS8, 1e6, 433.92e6},
        {"RTL-SDR-20190723_215514-868MHz-1_024MSps-1_024MHz.complex16u", AT_IQ_CU8, 1.024e6, 868e6},
        {"14.1M_192000sps.fc32", AT_IQ_CF32, 192e3, 14.1e6},
        {"a.c16", AT_IQ_CS16, 0, 0},
        {"1.5M6_250k.cu8", AT_IQ_CU8, 250e3, 0}, /* two points */
        {"433.92M_250k", -1, 250e3, 433.92e6},
        {"plain.bin", -1, 0, 0},
        {"", -1, 0, 0},
        {"___._.", -1, 0, 0},
        {"1M6M_99999999999999999999M_.5M_5.M.cu8", AT_IQ_CU8, 5e6, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_iq_name n;
        at_iq_name_parse(cases[i].name, &n);
        double dr = n.rate_hz - cases[i].rate_hz, dc = n.center_hz - cases[i].center_hz;
        if (n.format != cases[i].format || dr * dr > 1e-6 || dc * dc > 1e-6)
            fail_msg("%s: format %d rate %.3f centre %.3f, expected %d %.3f %.3f", cases[i].name,
                     n.format, n.rate_hz, n.center_hz, cases[i].format, cases[i].rate_hz,
                     cases[i].center_hz);
    }
}

static void stamps_say_the_start(void **state)
{
    struct at_iq_name n;
    char text[AT_RFC3339_SIZE];
    at_iq_name_parse("20171127T104156Z_77500_F1JEK_iq.wav", &n);
    at_clock_format_utc(n.start_utc_ns, text);
    assert_string_equal(text, "2017-11-27T10:41:56.000000Z");
    at_iq_name_parse("SDRSharp_20160101_231914Z_97000000Hz_IQ.wav", &n);
    at_clock_format_utc(n.start_utc_ns, text);
    assert_string_equal(text, "2016-01-01T23:19:14.000000Z");
    at_iq_name_parse("gqrx_20240101_123456_145000000_1800000_fc.raw", &n);
    at_clock_format_utc(n.start_utc_ns, text);
    assert_string_equal(text, "2024-01-01T12:34:56.000000Z");
    at_iq_name_parse("sigdigger_20220308_165547Z_2560000_433500000_float32_iq.raw", &n);
    at_clock_format_utc(n.start_utc_ns, text);
    assert_string_equal(text, "2022-03-08T16:55:47.000000Z");
    at_iq_name_parse("x_20169901_231914Z_1M.cu8", &n);
    assert_int_equal(n.start_utc_ns, 0);
}

static void an_endless_name_is_cut(void **state)
{
    char name[5000];
    struct at_iq_name n;
    memset(name, '_', sizeof name);
    for (size_t i = 0; i + 3 < sizeof name; i += 3)
        memcpy(name + i, "1M_", 3);
    name[sizeof name - 1] = 0;
    at_iq_name_parse(name, &n);
    assert_true(n.center_hz >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_say_format_rate_and_centre),
        cmocka_unit_test(stamps_say_the_start),
        cmocka_unit_test(an_endless_name_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
