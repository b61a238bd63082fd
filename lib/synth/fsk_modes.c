/* The members of fsk2, gfsk and fsk4; sources in docs/signals.md. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include "lib/synth/fsk.h"

#define COUNT(a)  (sizeof(a) / sizeof *(a))
#define RECT      AT_SHAPE_RECT, 0.02, 0.3
#define GAUSS(bt) AT_SHAPE_GAUSS, bt, bt

/* clang-format off */
/* name, bandwidth, burst | levels | rate | index | deviation | shape | content | preamble | length
 * | gap | period | repeats */
static const struct at_fsk_mode fsk2[] = {
    {{"pocsag512", 8900, 1e4, 0, 0}, 2, 512, 512, 0, 0, 4000, 4600, RECT, AT_FSK_POCSAG, 576, 576, 544, 5440, 0.5, 5, 0},
    {{"pocsag1200", 9800, 1.2e4, 0.5, 8}, 2, 1200, 1200, 0, 0, 4000, 4600, RECT, AT_FSK_POCSAG, 576, 576, 544, 9000, 0.3, 5, 0},
    {{"pocsag2400", 1.1e4, 1.3e4, 0.3, 6}, 2, 2400, 2400, 0, 0, 4000, 4600, RECT, AT_FSK_POCSAG, 576, 576, 544, 9000, 0.3, 5, 0},
    {{"flex1600", 1.1e4, 1.3e4, 1.8, 1.9}, 2, 1600, 1600, 0, 0, 4600, 5000, AT_SHAPE_RECT, 0.1, 0.5, AT_FSK_DATA, 96, 128, 2700, 2900, 0.02, 2, 0},
    {{"rtty45", 220, 240, 0, 0}, 2, 45.45, 45.45, 0, 0, 84, 86, RECT, AT_FSK_ASYNC5},
    {{"rtty50", 160, 830, 0, 0}, 2, 50, 50, 0, 0, 42, 430, RECT, AT_FSK_ASYNC5},
    {{"rtty75", 300, 910, 0, 0}, 2, 75, 75, 0, 0, 84, 430, RECT, AT_FSK_ASYNC5},
    {{"navtex100", 280, 310, 0, 0}, 2, 100, 100, 0, 0, 84, 86, RECT, AT_FSK_DATA},
    {{"balloon_rtty", 580, 1100, 3, 15}, 2, 50, 300, 0, 0, 150, 350, RECT, AT_FSK_ASYNC8, 0, 0, 400, 1500, 0.5, 4, 0},
    {{"sensor_slow", 2.9e4, 1.2e5, 0.02, 0.3}, 2, 1200, 5000, 0, 0, 10e3, 60e3, RECT, AT_FSK_DATA, 16, 64, 60, 400, 0.02, 3, 0, 1, 4, 0.02},
    {{"sensor_mid", 5.1e4, 1.4e5, 0.005, 0.1}, 2, 8000, 20000, 0, 0, 15e3, 65e3, RECT, AT_FSK_DATA, 24, 128, 64, 400, 0.02, 3, 0, 1, 3, 0.03},
    {{"sensor_fast", 1.1e5, 2.8e5, 0.002, 0.05}, 2, 30000, 100000, 0, 0, 20e3, 100e3, RECT, AT_FSK_DATA, 16, 200, 80, 1000, 0.01, 1, 0},
    {{"sensor_manch", 4.5e4, 1.3e5, 0.01, 0.2}, 2, 2000, 20000, 0, 0, 15e3, 60e3, RECT, AT_FSK_MANCHESTER, 16, 100, 80, 500, 0.02, 2, 0, 1, 4, 0.02},
    {{"weather_it", 7.1e4, 1.5e5, 0.004, 0.02}, 2, 8000, 17300, 0, 0, 25e3, 65e3, RECT, AT_FSK_DATA, 16, 48, 40, 200, 0.05, 4, 0},
    {{"weather_5in1", 5.8e4, 1.3e5, 0.02, 0.05}, 2, 8000, 8400, 0, 0, 20e3, 60e3, RECT, AT_FSK_DATA, 32, 64, 150, 300, 0.05, 4, 0, 1, 3, 0.05},
    {{"tpms_fsk", 9e4, 1.5e5, 0.005, 0.012}, 2, 18000, 40500, 0, 0, 25e3, 50e3, RECT, AT_FSK_MANCHESTER, 8, 40, 120, 180, 0.04, 0.5, 0, 1, 5, 0.05},
    {{"key_fob_fsk", 3.1e4, 1.1e5, 0.03, 0.4}, 2, 1000, 10000, 0, 0, 10e3, 55e3, RECT, AT_FSK_MANCHESTER, 20, 200, 100, 300, 0.02, 1, 0, 1, 5, 0.02},
    {{"thermostat_fsk", 7.5e4, 1.4e5, 0.02, 0.2}, 2, 1000, 40000, 0, 0, 20e3, 50e3, RECT, AT_FSK_DATA, 30, 300, 100, 600, 0.05, 2, 0, 1, 3, 0.05},
    {{"zwave_r1", 6e4, 7.7e4, 0.01, 0.05}, 2, 19200, 19200, 0, 0, 18e3, 22e3, RECT, AT_FSK_MANCHESTER, 160, 400, 160, 1000, 0.005, 0.3, 0},
    {{"zwave_r2", 8.1e4, 8.4e4, 0.005, 0.03}, 2, 40000, 40000, 0, 0, 19e3, 22e3, RECT, AT_FSK_DATA, 80, 200, 80, 512, 0.005, 0.3, 0},
    {{"wmbus_s1", 1.3e5, 1.8e5, 0.01, 0.1}, 2, 32768, 32768, 0, 0, 40e3, 60e3, RECT, AT_FSK_MANCHESTER, 30, 580, 600, 3000, 0.02, 3, 0},
    {{"wmbus_t1", 1.9e5, 2.8e5, 0.004, 0.03}, 2, 90000, 110000, 0, 0, 40e3, 80e3, RECT, AT_FSK_DATA, 38, 60, 400, 3000, 0.02, 3, 0},
    {{"wmbus_c1", 1.9e5, 2.1e5, 0.003, 0.02}, 2, 100000, 100000, 0, 0, 44e3, 51e3, RECT, AT_FSK_DATA, 32, 64, 300, 2000, 0.02, 3, 0},
    {{"toy_24g", 4e5, 1.4e6, 0.0003, 0.002}, 2, 250e3, 1e6, 1.02, 1.8, 0, 0, RECT, AT_FSK_DATA, 8, 40, 80, 300, 0.002, 0.02, 0},
    {{"toy_24g_slow", 3e5, 8e5, 0.0005, 0.004}, 2, 60e3, 250e3, 1.5, 6, 0, 0, RECT, AT_FSK_DATA, 8, 40, 80, 300, 0.002, 0.02, 0},
    {{"telemetry_1to3", 5e3, 3e5, 0.01, 0.5}, 2, 1200, 76800, 1.05, 3, 0, 0, RECT, AT_FSK_DATA, 16, 100, 100, 3000, 0.01, 1, 0},
    {{"telemetry_gauss", 5e3, 3e5, 0.01, 0.5}, 2, 2400, 50000, 1.2, 5, 0, 0, AT_SHAPE_GAUSS, 0.5, 1, AT_FSK_DATA, 16, 100, 100, 3000, 0.01, 1, 0},
    {{"fsk_stream", 3e3, 2e5, 0, 0}, 2, 300, 50000, 1.05, 8, 0, 0, RECT, AT_FSK_DATA},
    {{"v23_direct", 3900, 6400, 0.2, 5}, 2, 1200, 1200, 0, 0, 1200, 2500, RECT, AT_FSK_ASYNC8, 30, 60, 200, 3000, 0.1, 2, 0},
    {{"wide_index", 3e4, 3e5, 0.01, 0.3}, 2, 1000, 9600, 10, 30, 0, 0, RECT, AT_FSK_DATA, 8, 60, 50, 400, 0.02, 2, 0, 1, 5, 0.03},
};
/* clang-format on */

/* clang-format off */
static const struct at_fsk_mode gfsk[] = {
    {{"ble_1m", 1e6, 1.1e6, 80e-6, 2.1e-3}, 2, 1e6, 1e6, 0.45, 0.55, 0, 0, GAUSS(0.5), AT_FSK_DATA, 8, 8, 110, 400, 150e-6, 0.02, 0},
    {{"ble_2m", 2e6, 2.1e6, 60e-6, 1.1e-3}, 2, 2e6, 2e6, 0.45, 0.55, 0, 0, GAUSS(0.5), AT_FSK_DATA, 16, 16, 110, 2100, 150e-6, 0.02, 0},
    {{"bt_classic", 8.1e5, 8.9e5, 366e-6, 2.9e-3}, 2, 1e6, 1e6, 0.28, 0.35, 0, 0, GAUSS(0.5), AT_FSK_DATA, 4, 4, 120, 2870, 250e-6, 0.01, 0},
    {{"dect", 1.2e6, 1.2e6, 368e-6, 368e-6}, 2, 1.152e6, 1.152e6, 0.45, 0.6, 0, 0, GAUSS(0.5), AT_FSK_DATA, 16, 16, 392, 392, 0, 0, 10e-3 / 24 * 12},
    {{"dect_base", 1.2e6, 1.2e6, 368e-6, 368e-6}, 2, 1.152e6, 1.152e6, 0.45, 0.6, 0, 0, GAUSS(0.5), AT_FSK_DATA, 16, 16, 80, 392, 0, 0, 10e-3 / 24},
    {{"gsm_bcch", 2.3e5, 2.5e5, 0, 0}, 2, 270833.33, 270833.33, 0.5, 0.5, 0, 0, GAUSS(0.3), AT_FSK_DUMMY},
    {{"gsm_burst", 2.4e5, 2.5e5, 546e-6, 577e-6}, 2, 270833.33, 270833.33, 0.5, 0.5, 0, 0, GAUSS(0.3), AT_FSK_DUMMY, 0, 0, 148, 148, 0, 0, 4.615e-3},
    {{"ais", 9600, 9900, 0.0267, 0.11}, 2, 9600, 9600, 0.5, 0.5, 0, 0, AT_SHAPE_GAUSS, 0.4, 0.5, AT_FSK_DATA, 24, 24, 200, 900, 0.01, 0.6, 0},
    {{"gmsk_sat", 1.2e3, 12e3, 0.2, 3}, 2, 1200, 9600, 0.48, 0.52, 0, 0, AT_SHAPE_GAUSS, 0.3, 0.5, AT_FSK_DATA, 40, 400, 800, 9000, 0.05, 2, 0},
    {{"gmsk_stream", 1.2e3, 5e5, 0, 0}, 2, 1200, 400e3, 0.48, 0.52, 0, 0, AT_SHAPE_GAUSS, 0.25, 0.5, AT_FSK_DATA},
    {{"g3ruh_9k6", 1.1e4, 1.5e4, 0.1, 2}, 2, 9600, 9600, 0.5, 0.75, 0, 0, AT_SHAPE_RC, 0.35, 0.6, AT_FSK_DATA, 80, 400, 800, 9000, 0.05, 2, 0},
    {{"oqpsk154", 2.3e6, 2.4e6, 0.4e-3, 4.3e-3}, 2, 2e6, 2e6, 0.5, 0.5, 0, 0, AT_SHAPE_RECT, 0, 0.05, AT_FSK_CHIPS, 0, 0, 700, 8500, 0.2e-3, 0.01, 0},
    {{"oqpsk154_sub", 5e5, 1.5e6, 1e-3, 1e-2}, 2, 300e3, 1e6, 0.5, 0.5, 0, 0, AT_SHAPE_RECT, 0, 0.05, AT_FSK_CHIPS, 0, 0, 700, 8500, 1e-3, 0.05, 0},
    {{"msk", 1e3, 1e6, 0.005, 0.5}, 2, 1200, 500e3, 0.5, 0.5, 0, 0, AT_SHAPE_RECT, 0, 0.05, AT_FSK_DATA, 8, 64, 200, 4000, 0.005, 0.3, 0},
    {{"msk_stream", 100, 1e6, 0, 0}, 2, 100, 500e3, 0.5, 0.5, 0, 0, AT_SHAPE_RECT, 0, 0.05, AT_FSK_DATA},
    {{"sonde_gfsk", 7200, 8000, 0.4, 0.6}, 2, 4800, 4800, 0.9, 1, 0, 0, GAUSS(0.5), AT_FSK_DATA, 40, 320, 2500, 4100, 0.3, 0.6, 0},
    {{"sonde_stream", 3100, 1.4e4, 0, 0}, 2, 2500, 9600, 0.6, 1, 0, 0, GAUSS(0.5), AT_FSK_MANCHESTER},
    {{"nrf24_250k", 2.8e5, 4e5, 0.3e-3, 1.4e-3}, 2, 250e3, 250e3, 0.64, 1, 0, 0, GAUSS(0.5), AT_FSK_DATA, 8, 8, 80, 320, 0.3e-3, 0.02, 0},
    {{"nrf24_1m", 8.4e5, 9.2e5, 0.08e-3, 0.35e-3}, 2, 1e6, 1e6, 0.3, 0.36, 0, 0, GAUSS(0.5), AT_FSK_DATA, 8, 8, 80, 320, 0.2e-3, 0.01, 0},
    {{"nrf24_2m", 1.7e6, 1.9e6, 0.05e-3, 0.2e-3}, 2, 2e6, 2e6, 0.3, 0.36, 0, 0, GAUSS(0.5), AT_FSK_DATA, 8, 16, 80, 320, 0.2e-3, 0.01, 0},
    {{"zwave_r3", 1e5, 1.1e5, 0.003, 0.02}, 2, 100e3, 100e3, 0.56, 0.6, 0, 0, GAUSS(0.5), AT_FSK_DATA, 192, 320, 100, 1400, 0.003, 0.2, 0},
    {{"subghz_gfsk", 5e3, 4e5, 0.005, 0.2}, 2, 4800, 250e3, 0.5, 1, 0, 0, GAUSS(0.5), AT_FSK_DATA, 24, 128, 100, 2000, 0.005, 0.5, 0},
    {{"wisun", 6e4, 3e5, 0.005, 0.3}, 2, 50e3, 150e3, 0.5, 1, 0, 0, GAUSS(0.5), AT_FSK_DATA, 64, 128, 300, 12000, 0.005, 0.3, 0},
    {{"lora_fsk", 7.9e4, 8.4e4, 0.005, 0.05}, 2, 50e3, 50e3, 0.95, 1, 0, 0, GAUSS(0.5), AT_FSK_DATA, 40, 40, 150, 2000, 0.02, 0.5, 0},
    {{"flarm", 1.7e5, 1.8e5, 0.004, 0.007}, 2, 100e3, 100e3, 0.9, 1, 0, 0, GAUSS(0.5), AT_FSK_MANCHESTER, 16, 20, 520, 560, 0.1, 0.6, 0},
    {{"mobitex", 6e3, 20e3, 0.05, 1}, 2, 8000, 19200, 0.45, 0.55, 0, 0, AT_SHAPE_GAUSS, 0.3, 0.5, AT_FSK_DATA, 16, 32, 400, 6000, 0.02, 0.5, 0},
};
/* clang-format on */

/* clang-format off */
static const struct at_fsk_mode fsk4[] = {
    {{"dmr", 7e3, 9.5e3, 0, 0}, 4, 4800, 4800, 0, 0, 1900, 2000, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES},
    {{"dmr_tdma", 7e3, 9.5e3, 0.0275, 0.0275}, 4, 4800, 4800, 0, 0, 1900, 2000, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES, 0, 0, 132, 132, 0, 0, 0.06},
    {{"dmr_talk", 7e3, 9.5e3, 0.5, 6}, 4, 4800, 4800, 0, 0, 1900, 2000, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES, 0, 0, 4000, 24000, 0.2, 2, 0},
    {{"p25_c4fm", 7e3, 10e3, 0, 0}, 4, 4800, 4800, 0, 0, 1750, 1850, AT_SHAPE_RC, 0.2, 0.2, AT_FSK_FRAMES},
    {{"p25_talk", 7e3, 10e3, 0.5, 5}, 4, 4800, 4800, 0, 0, 1750, 1850, AT_SHAPE_RC, 0.2, 0.2, AT_FSK_FRAMES, 0, 0, 3000, 20000, 0.3, 3, 0},
    {{"nxdn48", 3e3, 5e3, 0, 0}, 4, 2400, 2400, 0, 0, 1000, 1100, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES},
    {{"nxdn96", 7e3, 11e3, 0, 0}, 4, 4800, 4800, 0, 0, 2300, 2500, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES},
    {{"nxdn_talk", 3e3, 5e3, 0.5, 6}, 4, 2400, 2400, 0, 0, 1000, 1100, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES, 12, 24, 1500, 14000, 0.2, 2, 0},
    {{"dpmr", 3e3, 5e3, 0.5, 5}, 4, 2400, 2400, 0, 0, 1000, 1100, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES, 36, 36, 1500, 12000, 0.2, 2, 0},
    {{"m17", 8e3, 11e3, 0.3, 5}, 4, 4800, 4800, 0, 0, 2300, 2500, AT_SHAPE_RRC, 0.5, 0.5, AT_FSK_FRAMES, 192, 192, 2000, 20000, 0.2, 2, 0},
    {{"ysf", 8e3, 12e3, 0.3, 5}, 4, 4800, 4800, 0, 0, 2600, 2800, AT_SHAPE_RRC, 0.2, 0.2, AT_FSK_FRAMES, 0, 0, 2000, 20000, 0.2, 2, 0},
    {{"flex_4level", 9e3, 15e3, 1.8, 1.9}, 4, 1600, 3200, 0, 0, 4600, 5000, AT_SHAPE_RECT, 0.2, 0.6, AT_FSK_FRAMES, 96, 128, 2700, 5600, 0.02, 1, 0},
    {{"ermes", 9e3, 14e3, 0, 0}, 4, 3125, 3125, 0, 0, 4600, 4750, AT_SHAPE_RECT, 0.3, 0.8, AT_FSK_FRAMES},
    {{"gfsk4_burst", 5e3, 4e5, 0.003, 0.1}, 4, 2400, 150e3, 0.25, 1.1, 0, 0, GAUSS(0.5), AT_FSK_DATA, 16, 64, 80, 1500, 0.005, 0.4, 0},
    {{"gfsk4_stream", 5e3, 4e5, 0, 0}, 4, 2400, 150e3, 0.25, 1.1, 0, 0, GAUSS(0.5), AT_FSK_DATA},
};
/* clang-format on */

#define FAMILY(name, class_id)                                                                     \
    static const struct at_variant *name##_at(size_t i)                                            \
    {                                                                                              \
        return &name[i].v;                                                                         \
    }                                                                                              \
    static int name##_render(struct at_gen *g, size_t i)                                           \
    {                                                                                              \
        return at_fsk_render(g, &name[i]);                                                         \
    }                                                                                              \
    const struct at_family at_family_##name = {class_id, COUNT(name), name##_at, name##_render}

FAMILY(fsk2, AT_CLASS_FSK2);
FAMILY(gfsk, AT_CLASS_GFSK);
FAMILY(fsk4, AT_CLASS_FSK4);
