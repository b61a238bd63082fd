/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/config/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Mantissa and power of ten: up to 15 digits times 10^-22..10^22 is rounded once, so it is the
 * nearest double (Clinger 1990); beyond that no key of ours has a use. */
struct decimal {
    uint64_t mantissa;
    int exponent, digits;
};

/* Digits with `_` between two of them; after the point each lowers the exponent. NULL: malformed or
 * too long. */
static const char *read_digits(const char *p, bool fraction, struct decimal *d)
{
    if (!is_digit(*p))
        return NULL;
    for (; is_digit(*p) || *p == '_'; p++) {
        if (*p == '_') {
            if (!is_digit(p[1]))
                return NULL;
            continue;
        }
        if (d->mantissa || *p != '0')
            d->digits++;
        if (d->digits > 15)
            return NULL;
        d->mantissa = d->mantissa * 10 + (uint64_t)(*p - '0');
        d->exponent -= fraction;
    }
    return p;
}

static const char *read_exponent(const char *p, struct decimal *d)
{
    int sign = *p == '-' ? -1 : 1, e = 0;
    if (*p == '-' || *p == '+')
        p++;
    if (!is_digit(*p))
        return NULL;
    for (; is_digit(*p); p++) {
        e = e * 10 + (*p - '0');
        if (e > 99)
            return NULL;
    }
    d->exponent += sign * e;
    return p;
}

/* Reads a number at p and returns where it ends; NULL: none. */
static const char *read_number(const char *p, double *ret)
{
    struct decimal d = {0};
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    const char *first = p;
    if (!(p = read_digits(p, false, &d)))
        return NULL;
    if (*first == '0' &&
        p > first + 1) /* 0755 is octal to some readers: refuse rather than guess */
        return NULL;
    if (*p == '.' && !(p = read_digits(p + 1, true, &d)))
        return NULL;
    if ((*p == 'e' || *p == 'E') && !(p = read_exponent(p + 1, &d)))
        return NULL;
    static const struct {
        char letter;
        int exponent;
    } suffix[] = {{'k', 3}, {'K', 3}, {'M', 6}, {'G', 9}};
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        if (*p == suffix[i].letter) {
            d.exponent += suffix[i].exponent;
            p++;
            break;
        }
    }
    double value = (double)d.mantissa;
    if (value != 0) {
        if (d.exponent < -22 || d.exponent > 22)
            return NULL;
        double scale = 1;
        for (int i = 0; i < (d.exponent < 0 ? -d.exponent : d.exponent); i++)
            scale *= 10; /* exact up to 10^22 */
        value = d.exponent < 0 ? value / scale : value * scale;
    }
    *ret = negative ? -value : value;
    return p;
}

int at_value_number(const char *text, bool hz, double *ret)
{
    double value;
    const char *p = read_number(text, &value);
    if (!p)
        return -EINVAL;
    if (hz && strcmp(p, "Hz") == 0)
        p += 2;
    if (*p)
        return -EINVAL;
    *ret = value;
    return 0;
}

int at_value_duration(const char *text, double *ret_s)
{
    static const struct {
        const char *unit;
        double s, per_s;
    } units[] = {{"ms", 1, 1000}, {"s", 1, 1}, {"m", 60, 1}, {"h", 3600, 1}, {"d", 86400, 1}};
    double value;
    const char *p = read_number(text, &value);
    if (!p || value < 0)
        return -EINVAL;
    if (!*p && value == 0) {
        *ret_s = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(p, units[i].unit) == 0) {
            *ret_s = value * units[i].s / units[i].per_s;
            return 0;
        }
    }
    return -EINVAL;
}

int at_value_bool(const char *text, bool *ret)
{
    if (strcmp(text, "true") == 0)
        *ret = true;
    else if (strcmp(text, "false") == 0)
        *ret = false;
    else
        return -EINVAL;
    return 0;
}

/* What the letter behind the number that ends at p multiplies; 1: none. */
static double unit_of(const char *p)
{
    return p[-1] == 'G' ? 1e9 : p[-1] == 'M' ? 1e6 : p[-1] == 'k' || p[-1] == 'K' ? 1e3 : 1;
}

bool at_value_lacks_unit(double center_hz)
{
    return center_hz > 0 && center_hz < 1000;
}

int at_value_range(const char *text, double *ret_lo_hz, double *ret_hi_hz)
{
    double lo, hi;
    const char *p = read_number(text, &lo);
    bool bare = p && unit_of(p) == 1 && strncmp(p, "Hz", 2) != 0;
    if (p && strncmp(p, "Hz", 2) == 0)
        p += 2;
    while (p && *p == ' ')
        p++;
    if (!p || *p++ != '-')
        return -EINVAL;
    while (*p == ' ')
        p++;
    if (at_value_number(p, true, &hi) < 0 || !(lo >= 0) || !(lo < hi))
        return -EINVAL;
    /* 433.1-433.2M: people mean 433.1M. 500-3k is no such case, nor is 0-25k. */
    double number, unit = unit_of(read_number(p, &number));
    if (bare && lo > 0 && unit > 1 && lo * unit < hi)
        return -EINVAL;
    *ret_lo_hz = lo;
    *ret_hi_hz = hi;
    return 0;
}

int at_value_listen(const char *text, char *ret_host, size_t n, unsigned *ret_port)
{
    char host[48];
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return -EINVAL;
    bool v6 = text[0] == '[' && colon[-1] == ']';
    const char *from = text + v6;
    size_t len = (size_t)(colon - v6 - from);
    if (len == 0 || len >= sizeof host || len >= n)
        return -EINVAL;
    memcpy(host, from, len);
    host[len] = 0;
    unsigned char address[16];
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, address) != 1)
        return -EINVAL;
    unsigned port = 0;
    const char *p = colon + 1;
    if (!*p || strlen(p) > 5)
        return -EINVAL;
    for (; *p; p++) {
        if (!is_digit(*p))
            return -EINVAL;
        port = port * 10 + (unsigned)(*p - '0');
    }
    if (port > 65535)
        return -EINVAL;
    memcpy(ret_host, host, len + 1);
    *ret_port = port;
    return 0;
}

void at_value_format(double value, char out[32])
{
    if (fabs(value) < 1e15 && value == floor(value))
        snprintf(out, 32, "%.0f", value);
    else
        snprintf(out, 32, "%.15g", value);
    for (char *c = out; *c; c++) /* a locale may write a comma */
        if (*c == ',')
            *c = '.';
}

unsigned at_value_distance(const char *a, const char *b)
{
    enum { MAX = 63 };
    unsigned row[3][MAX + 1] = {{0}};
    size_t n_a = strnlen(a, MAX), n_b = strnlen(b, MAX);
    unsigned *before = row[0], *last = row[1], *now = row[2];
    for (size_t j = 0; j <= n_b; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= n_a; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= n_b; j++) {
            unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        unsigned *t = before;
        before = last;
        last = now;
        now = t;
    }
    return last[n_b];
}

void at_value_quote(const char *text, char out[48])
{
    size_t n = 0;
    for (; n < 40 && text[n]; n++)
        out[n] = text[n] >= 32 && text[n] < 127 ? text[n] : '?';
    memcpy(out + n, text[n] ? "..." : "", text[n] ? 4 : 1);
}
