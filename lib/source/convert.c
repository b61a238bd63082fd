/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/convert.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "lib/dsp/loops.h"

#define LARGEST 1e10f

static const struct {
    const char *name, *sigmf;
    size_t size;
    double full_scale;
} formats[AT_IQ_FORMATS] = {
    [AT_IQ_CU8] = {"cu8", "cu8", 2, 128},
    [AT_IQ_CS8] = {"cs8", "ci8", 2, 128},
    [AT_IQ_CS16] = {"cs16", "ci16_le", 4, 32768},
    [AT_IQ_CF32] = {"cf32", "cf32_le", 8, 1},
    [AT_IQ_CS24] = {"cs24", NULL, 6, 8388608},
    [AT_IQ_CS32] = {"cs32", "ci32_le", 8, 2147483648.0},
};

int at_iq_format_from_name(const char *name)
{
    for (int i = 0; name && i < AT_IQ_FORMATS; i++)
        if (strcasecmp(name, formats[i].name) == 0)
            return i;
    return -1;
}

int at_iq_format_from_sigmf(const char *datatype)
{
    for (int i = 0; datatype && i < AT_IQ_FORMATS; i++)
        if (formats[i].sigmf && strcmp(datatype, formats[i].sigmf) == 0)
            return i;
    return -1;
}

const char *at_iq_format_name(enum at_iq_format format)
{
    return formats[format].name;
}

size_t at_iq_format_size(enum at_iq_format format)
{
    return formats[format].size;
}

double at_iq_format_full_scale(enum at_iq_format format)
{
    return formats[format].full_scale;
}

double at_iq_format_floor(enum at_iq_format format, double full_scale, double rate_hz)
{
    double step = format == AT_IQ_CF32 || full_scale > 32768 ? 1.0 / 32768 : 1.0 / full_scale;
    return 10 * log10(2 * step * step / 12 / (rate_hz > 0 ? rate_hz : 1));
}

static void convert_cu8(const uint8_t *in, size_t n, float scale, float *out)
{
    for (size_t i = 0; i < 2 * n; i++)
        out[i] = ((float)in[i] - 127.5f) * scale;
}

static void convert_cs8(const int8_t *in, size_t n, float scale, float *out)
{
    for (size_t i = 0; i < 2 * n; i++)
        out[i] = (float)in[i] * scale;
}

static void convert_cs24(const uint8_t *in, size_t n, float scale, float *out)
{
    for (size_t i = 0; i < 2 * n; i++) {
        uint32_t x = in[3 * i] | (uint32_t)in[3 * i + 1] << 8 | (uint32_t)in[3 * i + 2] << 16;
        out[i] = (float)((int32_t)(x ^ 0x800000) - 0x800000) * scale;
    }
}

static void convert_cs32(const unsigned char *in, size_t n, float scale, float *out)
{
    for (size_t i = 0; i < 2 * n; i++) {
        int32_t x;
        memcpy(&x, in + 4 * i, sizeof x);
        out[i] = (float)x * scale;
    }
}

static size_t convert_cf32(const void *in, size_t n, float scale, float *out)
{
    size_t masked = 0;
    memcpy(out, in, n * 2 * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        float re = out[2 * i] * scale, im = out[2 * i + 1] * scale;
        int good = (fabsf(re) <= LARGEST) & (fabsf(im) <= LARGEST); /* false for NaN */
        out[2 * i] = good ? re : 0;
        out[2 * i + 1] = good ? im : 0;
        masked += (size_t)!good;
    }
    return masked;
}

size_t at_iq_convert(enum at_iq_format format, double full_scale, const void *in, size_t n,
                     float *out)
{
    float scale = (float)(1 / full_scale);
    switch (format) {
    case AT_IQ_CU8:
        convert_cu8(in, n, scale, out);
        return 0;
    case AT_IQ_CS8:
        convert_cs8(in, n, scale, out);
        return 0;
    case AT_IQ_CS16:
        at_loops_best()->from_int16(in, 2 * n, scale, out);
        return 0;
    case AT_IQ_CS24:
        convert_cs24(in, n, scale, out);
        return 0;
    case AT_IQ_CS32:
        convert_cs32(in, n, scale, out);
        return 0;
    default:
        return convert_cf32(in, n, scale, out);
    }
}

void at_raw_write(const void *raw, size_t from, size_t n, float *iq)
{
    const struct at_raw *r = raw;
    at_iq_convert(r->format, r->full_scale,
                  (const char *)r->samples + from * at_iq_format_size(r->format), n, iq);
}
