/* SDRangel's recordings: a header of 32 bytes, then I and Q. Source: f4exb/sdrangel,
 * sdrbase/dsp/filerecord.h and .cpp. SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/source/recording.h"

#define HEADER_SIZE 32
#define CRC_AT      28
#define SECONDS_MAX                                                                                \
    UINT64_C(100000000000) /* above it are milliseconds, which newer versions write */
#define LAST_UTC_MS UINT64_C(7000000000000) /* 2191 */

static uint64_t take(const unsigned char *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

/* CRC-32 as in Ethernet and zlib: polynomial 0x04c11db7, bits reflected. */
static uint32_t crc32(const unsigned char *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

static int64_t utc_of(uint64_t stamp)
{
    uint64_t ms = stamp < SECONDS_MAX ? stamp * 1000 : stamp;
    return ms < LAST_UTC_MS ? (int64_t)(ms * 1000000) : 0;
}

int at_sdriq_parse(const char *path, uint64_t size, struct at_error *err, struct at_recording *r)
{
    unsigned char b[HEADER_SIZE];
    if (size < sizeof b || at_recording_pread(r->fd, b, sizeof b, 0) < 0)
        return at_error_set(err, -EINVAL,
                            "%s: its header of 32 bytes is cut short at byte %llu; record it again",
                            path, (unsigned long long)size);
    uint32_t said = (uint32_t)take(b + CRC_AT, 4), is = crc32(b, CRC_AT);
    if (said != is)
        return at_error_set(err, -EINVAL,
                            "%s: its header's CRC at byte 28 is %08x, not %08x: damaged, or not "
                            "SDRangel's; if the samples are whole: --format cs16 --rate 250k",
                            path, said, is);
    uint32_t bits = (uint32_t)take(b + 20, 4);
    if (bits != 16 && bits != 24)
        return at_error_set(
            err, -EINVAL, "%s: samples of %u bits (byte 20); SDRangel writes 16 or 24", path, bits);
    r->format = bits == 16 ? AT_IQ_CS16 : AT_IQ_CS32;
    r->full_scale = bits == 16 ? 32768 : 8388608;
    r->rate_hz = (double)take(b, 4);
    r->start_utc_ns = utc_of(take(b + 12, 8));
    int code = at_recording_add_rest(path, HEADER_SIZE, size, err, r);
    double center_hz = (double)take(b + 4, 8);
    if (center_hz < AT_CENTER_MAX_HZ)
        r->center_hz = center_hz;
    else if (!r->message[0])
        snprintf(r->message, sizeof r->message,
                 "its centre of %.3g Hz (byte 4) is absurd and left out; say --freq", center_hz);
    return code;
}
