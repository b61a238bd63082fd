/* RIFF and RF64 WAV as receivers write it: two channels are I and Q. Sources: Microsoft's
 * Multimedia Programming Interface 1.0 (RIFF), mmreg.h (WAVEFORMATEXTENSIBLE), EBU Tech 3306 (RF64,
 * ds64), the `auxi` chunk of SpectraVue and HDSDR, and the `rcvr` chunk of Perseus (Linrad's
 * z_WAV_FORMATS.txt has both). SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/source/recording.h"

#define TAG_PCM        1
#define TAG_FLOAT      3
#define TAG_EXTENSIBLE 0xfffe
#define UNKNOWN_SIZE   UINT32_MAX
#define AUXI_MAX       4096
#define CHUNKS_MAX     (1u << 21)
#define LAST_UTC_S     7e9 /* 2191 */

static uint32_t u16(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const unsigned char *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

struct parser {
    const char *path;
    struct at_recording *r;
    struct at_error *err;
    uint64_t size;
    uint64_t data_size_64; /* RF64: of the data chunk whose own size is unknown */
    bool rf64, have_format;
    uint64_t index;
};

static int find_format(uint32_t tag, uint32_t bits, uint32_t block)
{
    static const struct {
        uint32_t tag, bits;
        enum at_iq_format format;
    } known[] = {{TAG_PCM, 8, AT_IQ_CU8},
                 {TAG_PCM, 16, AT_IQ_CS16},
                 {TAG_PCM, 24, AT_IQ_CS24},
                 {TAG_PCM, 32, AT_IQ_CS32},
                 {TAG_FLOAT, 32, AT_IQ_CF32}};
    if (tag == TAG_PCM && bits == 24 && block == 8)
        bits = 32; /* in four bytes each, at their upper end */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].tag == tag && known[i].bits == bits)
            return (int)known[i].format;
    return -1;
}

static int parse_format(struct parser *p, uint64_t offset, uint64_t n)
{
    unsigned char b[40] = {0};
    if (n < 16 || at_recording_pread(p->r->fd, b, n < sizeof b ? (size_t)n : sizeof b, offset) < 0)
        return at_error_set(p->err, -EINVAL, "%s: its fmt chunk is cut short; record it again",
                            p->path);
    uint32_t tag = u16(b), channels = u16(b + 2), rate = u32(b + 4), bits = u16(b + 14);
    if (tag == TAG_EXTENSIBLE && n >= 40)
        tag = u16(b + 24); /* the sub-format GUID begins with the old tag */
    if (channels != 2)
        return at_error_set(p->err, -EINVAL, "%s: %u channel%s; IQ needs two (I left, Q right)",
                            p->path, channels, channels == 1 ? "" : "s");
    int format = find_format(tag, bits, u16(b + 12));
    if (format < 0)
        return at_error_set(
            p->err, -EINVAL,
            "%s: WAV format %u with %u bits is not read; convert it: sox IN -b 16 OUT.wav", p->path,
            tag, bits);
    bool differs = rate != p->r->rate_hz || (enum at_iq_format)format != p->r->format;
    if (p->have_format && differs)
        return at_error_set(p->err, -EINVAL, "%s: two fmt chunks disagree; record it again",
                            p->path);
    p->r->format = (enum at_iq_format)format;
    p->r->rate_hz = rate;
    p->have_format = true;
    return 0;
}

/* Windows SYSTEMTIME: year, month, weekday, day, hour, minute, second, millisecond; 0 where absurd.
 */
static int64_t parse_systemtime(const unsigned char *b)
{
    struct tm tm = {.tm_year = (int)u16(b) - 1900,
                    .tm_mon = (int)u16(b + 2) - 1,
                    .tm_mday = (int)u16(b + 6),
                    .tm_hour = (int)u16(b + 8),
                    .tm_min = (int)u16(b + 10),
                    .tm_sec = (int)u16(b + 12)};
    bool good = tm.tm_year >= 70 && tm.tm_year <= 250 && tm.tm_mon >= 0 && tm.tm_mon < 12 &&
                tm.tm_mday >= 1 && tm.tm_mday <= 31 && tm.tm_hour < 24 && tm.tm_min < 60 &&
                tm.tm_sec < 61 && u16(b + 14) < 1000;
    return good ? (int64_t)timegm(&tm) * AT_NS_PER_S + (int64_t)u16(b + 14) * 1000000 : 0;
}

/* 0 where the key is missing. */
static double xml_number(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

/* SDR Console writes XML in UTF-16 there; its zero bytes dropped, it reads as ASCII. */
static void parse_auxi_xml(struct at_recording *r, unsigned char *b, size_t n)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (b[i])
            b[m++] = b[i];
    b[m] = 0;
    double hz = xml_number((char *)b, "RadioCenterFreq=\"");
    double utc_s = xml_number((char *)b, "UTCSeconds=\"");
    if (hz > 0 && hz < AT_CENTER_MAX_HZ)
        r->center_hz = hz;
    if (utc_s > 0 && utc_s < LAST_UTC_S)
        r->start_utc_ns = (int64_t)(utc_s * 1e9);
}

/* Start, stop (SYSTEMTIME each), then the centre in Hz. What is absurd is left out: the chunk is no
 * standard. */
static void parse_auxi(struct parser *p, uint64_t offset, uint64_t n)
{
    unsigned char b[AUXI_MAX + 1] = {0};
    size_t take = n < AUXI_MAX ? (size_t)n : AUXI_MAX;
    if (at_recording_pread(p->r->fd, b, take, offset) < 0)
        return;
    if (take >= 36 && parse_systemtime(b) != 0) {
        p->r->start_utc_ns = parse_systemtime(b);
        p->r->center_hz = u32(b + 32);
    } else {
        parse_auxi_xml(p->r, b, take);
    }
}

/* Centre in Hz, index of the rate, start (time_t of 32 bits). */
static void parse_rcvr(struct parser *p, uint64_t offset, uint64_t n)
{
    unsigned char b[12];
    if (n < sizeof b || at_recording_pread(p->r->fd, b, sizeof b, offset) < 0)
        return;
    if (p->r->center_hz == 0)
        p->r->center_hz = u32(b);
    if (p->r->start_utc_ns == 0)
        p->r->start_utc_ns = (int64_t)u32(b + 8) * AT_NS_PER_S;
}

static int add_data(struct parser *p, uint64_t offset, uint64_t n)
{
    if (!p->have_format)
        return at_error_set(p->err, -EINVAL, "%s: samples before the fmt chunk; record it again",
                            p->path);
    uint64_t samples = n / at_iq_format_size(p->r->format);
    if (samples == 0)
        return 0;
    struct at_segment s = {.offset = offset, .n = samples, .index = p->index};
    p->index += samples;
    int r = at_recording_add(p->r, &s);
    return r < 0 ? at_error_set(p->err, r, "%s: more than %u data chunks", p->path,
                                AT_RECORDING_MAX_SEGMENTS)
                 : 0;
}

/* A writer that could not seek back. */
static bool is_unset(const struct parser *p, uint64_t offset, uint64_t n)
{
    return n == 0 && offset + 8 < p->size && p->index == 0;
}

/* Beyond 4 GiB a plain RIFF's length begins again at 0. */
static bool has_wrapped(const struct parser *p, uint64_t rest, uint64_t n)
{
    return !p->rf64 && rest > UINT32_MAX && n == (uint32_t)rest;
}

static int parse_chunk(struct parser *p, const unsigned char *head, uint64_t offset,
                       uint64_t *ret_size)
{
    uint64_t n = u32(head + 4), rest = p->size - offset;
    bool data = memcmp(head, "data", 4) == 0;
    if (data && n == UNKNOWN_SIZE)
        n = p->rf64 && p->data_size_64 ? p->data_size_64 : rest;
    else if (data && (is_unset(p, offset, n) || has_wrapped(p, rest, n)))
        n = rest;
    if (n > rest) {
        if (!data)
            return at_error_set(p->err, -EINVAL,
                                "%s: a chunk of %llu bytes at byte %llu goes beyond the file's end",
                                p->path, (unsigned long long)n, (unsigned long long)offset - 8);
        snprintf(p->r->message, sizeof p->r->message,
                 "the header promises %llu bytes, the file holds %llu: cut short",
                 (unsigned long long)n, (unsigned long long)rest);
        n = rest;
    }
    *ret_size = n;
    unsigned char b[16];
    if (memcmp(head, "fmt ", 4) == 0)
        return parse_format(p, offset, n);
    if (data)
        return add_data(p, offset, n);
    if (memcmp(head, "auxi", 4) == 0)
        parse_auxi(p, offset, n);
    if (memcmp(head, "rcvr", 4) == 0)
        parse_rcvr(p, offset, n);
    if (memcmp(head, "ds64", 4) == 0 && n >= 16 && at_recording_pread(p->r->fd, b, 16, offset) == 0)
        p->data_size_64 = u64(b + 8);
    return 0;
}

int at_wav_parse(const char *path, uint64_t size, struct at_error *err, struct at_recording *r)
{
    struct parser p = {.path = path, .r = r, .err = err, .size = size};
    unsigned char head[12];
    if (size < 12 || at_recording_pread(r->fd, head, 12, 0) < 0 || memcmp(head + 8, "WAVE", 4) != 0)
        return at_error_set(
            err, -EINVAL, "%s: no WAVE header; give --format and --rate if it holds raw IQ", path);
    p.rf64 = memcmp(head, "RF64", 4) == 0 || memcmp(head, "BW64", 4) == 0;
    uint32_t chunks = 0;
    for (uint64_t at = 12, n = 0; size - at >= 8; at += 8 + n + (n & 1)) {
        if (++chunks > CHUNKS_MAX)
            return at_error_set(err, -E2BIG, "%s: more than %u chunks", path, CHUNKS_MAX);
        if (at_recording_pread(r->fd, head, 8, at) < 0)
            return at_error_set(err, -EIO, "%s: cannot be read at byte %llu", path,
                                (unsigned long long)at);
        int code = parse_chunk(&p, head, at + 8, &n);
        if (code < 0)
            return code;
        if (n + (n & 1) > size - at - 8)
            break;
    }
    if (!p.have_format)
        return at_error_set(err, -EINVAL, "%s: no fmt chunk; record it again", path);
    if (r->n_segments == 0)
        return at_error_set(err, -EINVAL, "%s: no samples in it", path);
    return 0;
}
