/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/iqname.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "lib/source/convert.h"

#define MAX_TOKENS    32
#define LAST_YEAR     2199 /* 64 bits of nanoseconds end in 2262 */
#define RATE_BELOW_HZ 25e6

static int format_of_extension(const char *ext)
{
    static const struct {
        const char *ext;
        int format;
    } known[] = {
        {"cfile", AT_IQ_CF32},     {"complex", AT_IQ_CF32},   {"data", AT_IQ_CU8},
        {"complex16u", AT_IQ_CU8}, {"complex16s", AT_IQ_CS8}, {"complex32s", AT_IQ_CS16},
        {"fc32", AT_IQ_CF32},      {"sc16", AT_IQ_CS16},      {"c16", AT_IQ_CS16},
        {"sc8", AT_IQ_CS8},        {"c8", AT_IQ_CS8},         {"uc8", AT_IQ_CU8},
    };
    int format = at_iq_format_from_name(ext);
    for (size_t i = 0; format < 0 && i < sizeof known / sizeof *known; i++)
        if (strcasecmp(ext, known[i].ext) == 0)
            format = known[i].format;
    return format;
}

/* Digits with at most one point; locale-free, bounded. Returns what follows, NULL where no digit
 * stands. */
static const char *parse_number(const char *p, double *ret)
{
    double value = 0, unit = 1;
    int digits = 0;
    bool point = false;
    for (;; p++) {
        if (*p == '.' && !point && digits) {
            point = true;
        } else if (isdigit((unsigned char)*p) && digits < 15) {
            digits++;
            value = value * 10 + (*p - '0');
            unit *= point ? 10 : 1;
        } else {
            break;
        }
    }
    *ret = value / unit;
    return digits ? p : NULL;
}

static double multiplier(char c)
{
    return c == 'k' || c == 'K' ? 1e3 : c == 'M' ? 1e6 : c == 'G' ? 1e9 : 0;
}

enum suffix { NO_SUFFIX, HZ, SPS };

/* "433.92M", "1M6", "250k", "7050kHz", "250ksps" -> Hz or samples a second. 0: neither. */
static double parse_frequency(const char *token, enum suffix *ret_suffix)
{
    double value, fraction;
    const char *p = parse_number(token, &value);
    if (!p)
        return 0;
    double unit = multiplier(*p);
    if (unit != 0)
        p++;
    if (unit != 0 && isdigit((unsigned char)*p)) { /* 1M6 */
        const char *end = parse_number(p, &fraction);
        if (!end || strchr(token, '.'))
            return 0;
        for (const char *q = p; q < end; q++)
            fraction /= 10;
        value += fraction;
        p = end;
    }
    enum suffix suffix = strcasecmp(p, "Hz") == 0    ? HZ
                         : strcasecmp(p, "sps") == 0 ? SPS
                                                     : NO_SUFFIX;
    if (!suffix && (*p || unit == 0))
        return 0;
    *ret_suffix = suffix;
    value *= unit != 0 ? unit : 1;
    return value < AT_CENTER_MAX_HZ ? value : 0;
}

static bool all_digits(const char *s, size_t least, size_t most)
{
    size_t n = strspn(s, "0123456789");
    return s[n] == 0 && n >= least && n <= most;
}

/* One token "20171127T104156Z", or two: "20171127", "104156Z". Returns how many tokens it took. */
static int parse_stamp(const char *a, const char *b, int64_t *ret_utc_ns)
{
    char text[40];
    int used = 1;
    if (strlen(a) == 16 && a[8] == 'T' && a[15] == 'Z') {
        snprintf(text, sizeof text, "%.8s%.6s", a, a + 9);
    } else if (b && all_digits(a, 8, 8) && strlen(b) == 7 && b[6] == 'Z') {
        snprintf(text, sizeof text, "%.8s%.6s", a, b);
        used = 2;
    } else {
        return 0;
    }
    struct tm tm = {0};
    const char *end = all_digits(text, 14, 14) ? strptime(text, "%Y%m%d%H%M%S", &tm) : NULL;
    if (!end || *end || tm.tm_year < 70 || tm.tm_year > LAST_YEAR - 1900)
        return 0;
    *ret_utc_ns = (int64_t)timegm(&tm) * AT_NS_PER_S;
    return used;
}

static size_t split(char *name, char *tokens[MAX_TOKENS])
{
    size_t n = 0;
    char *save = NULL;
    for (char *t = strtok_r(name, "_", &save); t && n < MAX_TOKENS; t = strtok_r(NULL, "_", &save))
        tokens[n++] = t;
    return n;
}

/* "f796" beside "s1.92", in MHz; "gqrx_20200101_120000_433920000_1800000_fc";
 * "sigdigger_20220308_165547Z_2560000_433500000_float32_iq", the rate first. */
static void parse_known_programs(char *const *t, size_t n, struct at_iq_name *ret)
{
    double f, s;
    const char *p;
    for (size_t i = 0; i + 1 < n; i++) {
        if (t[i][0] != 'f' || t[i + 1][0] != 's')
            continue;
        if (!(p = parse_number(t[i] + 1, &f)) || *p || !(p = parse_number(t[i + 1] + 1, &s)) || *p)
            continue;
        ret->center_hz = f * 1e6;
        ret->rate_hz = s * 1e6;
    }
    if (n >= 6 && strcmp(t[0], "gqrx") == 0 && all_digits(t[3], 1, 12) && all_digits(t[4], 1, 12)) {
        ret->center_hz = atof(t[3]);
        ret->rate_hz = atof(t[4]);
        if (strcmp(t[5], "fc") == 0 && ret->format < 0)
            ret->format = AT_IQ_CF32;
        char utc[16];
        snprintf(utc, sizeof utc, "%.6sZ", t[2]);
        parse_stamp(t[1], utc, &ret->start_utc_ns);
    }
    if (n >= 6 && strcmp(t[0], "sigdigger") == 0 && all_digits(t[3], 1, 12) &&
        all_digits(t[4], 1, 12)) {
        ret->rate_hz = atof(t[3]);
        ret->center_hz = atof(t[4]);
        if (strcmp(t[5], "float32") == 0 && ret->format < 0)
            ret->format = AT_IQ_CF32;
    }
}

/* Universal Radio Hacker: "HackRF-20190723_215514-433_92MHz-1MSps-1MHz", the underscore its point;
 * the last is a filter. */
static bool parse_urh(const char *name, struct at_iq_name *ret)
{
    char text[256], *save = NULL;
    double center = 0, rate = 0;
    snprintf(text, sizeof text, "%s", name);
    for (char *t = strtok_r(text, "-", &save); t; t = strtok_r(NULL, "-", &save)) {
        enum suffix suffix = NO_SUFFIX;
        char *point = strchr(t, '_');
        if (point)
            *point = '.';
        double f = parse_frequency(t, &suffix);
        if (f > 0 && suffix == HZ && rate == 0)
            center = f;
        else if (f > 0 && suffix == SPS && center > 0)
            rate = f;
    }
    if (!(center > 0 && rate > 0))
        return false;
    ret->center_hz = center;
    ret->rate_hz = rate;
    return true;
}

/* "162MHz_96kHz": the smaller of two is the rate, where nothing else says so. */
static void take_hz(struct at_iq_name *ret, double f)
{
    double before = ret->center_hz;
    if (before > 0 && f != before && ret->rate_hz == 0)
        ret->rate_hz = before < f ? before : f;
    ret->center_hz = before > 0 && f <= ret->rate_hz ? before : f;
}

static void parse_tokens(char *const *t, size_t n, struct at_iq_name *ret)
{
    double last = 0, before = 0; /* the two newest without a suffix */
    for (size_t i = 0; i < n; i++) {
        int used = parse_stamp(t[i], i + 1 < n ? t[i + 1] : NULL, &ret->start_utc_ns);
        if (used) {
            i += (size_t)used - 1;
            if (i + 1 < n && all_digits(t[i + 1], 4, 12))
                ret->center_hz = atof(t[++i]);
            continue;
        }
        enum suffix suffix = NO_SUFFIX;
        double f = parse_frequency(t[i], &suffix);
        if (f > 0 && suffix) {
            if (suffix == HZ)
                take_hz(ret, f);
            else
                ret->rate_hz = f;
        } else if (f > 0) {
            before = last;
            last = f;
        }
    }
    if (before > 0 && before != last) {
        ret->center_hz = before > last ? before : last;
        ret->rate_hz = before > last ? last : before;
    } else if (last > 0) {
        *(last < RATE_BELOW_HZ && ret->rate_hz == 0 ? &ret->rate_hz : &ret->center_hz) = last;
    }
    parse_known_programs(t, n, ret);
}

void at_iq_name_parse(const char *path, struct at_iq_name *ret)
{
    *ret = (struct at_iq_name){.format = -1};
    const char *slash = strrchr(path, '/');
    char name[256];
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && !isdigit((unsigned char)dot[1])) {
        ret->format = format_of_extension(dot + 1);
        *dot = 0;
    }
    char *tokens[MAX_TOKENS];
    if (parse_urh(name, ret))
        return;
    parse_tokens(tokens, split(name, tokens), ret);
}
