/* Framing rules after RFC 9112, sections 3.2, 5.1, 6.1 and 6.3; cases measured against
 * libmicrohttpd 0.9.75. SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is(const char *name, size_t n, const char *want)
{
    return n == strlen(want) && !strncasecmp(name, want, n);
}

/* RFC 9110, 5.6.2: token characters. */
static bool is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return n > 0;
}

/* libmicrohttpd 0.9.75 joins a folded line to the name: "Content-Length:", " 5" comes as
 * "Content-Length5", while a proxy before us reads a length. No header of ours begins like one of
 * these. */
static bool is_torn(const char *name, size_t n)
{
    static const char *const framing[] = {"Content-Length", "Transfer-Encoding", "Host"};
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++) {
        size_t k = strlen(framing[i]);
        if (n > k && !strncasecmp(name, framing[i], k))
            return true;
    }
    return false;
}

static bool has_control(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static bool is_number(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > 0 && n <= 18;
}

static void keep_header(struct at_guard *g, const char *name, size_t name_n, const char *value,
                        size_t value_n)
{
    const struct {
        const char *name;
        char *out;
        size_t size;
    } kept[] = {
        {"Authorization", g->auth, sizeof g->auth},
        {"Origin", g->origin, sizeof g->origin},
        {"Content-Type", g->content_type, sizeof g->content_type},
        {"If-None-Match", g->none_match, sizeof g->none_match},
        {"Accept-Encoding", g->encoding, sizeof g->encoding},
        {"Last-Event-ID", g->last_id, sizeof g->last_id},
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (is(name, name_n, kept[i].name) && value_n < kept[i].size) {
            memcpy(kept[i].out, value, value_n);
            kept[i].out[value_n] = 0;
        } else if (is(name, name_n, kept[i].name) && kept[i].out == g->origin) {
            strcpy(g->origin, "too long"); /* one that is nobody's, not none */
        }
}

void at_guard_header(struct at_guard *g, const char *name, size_t name_n, const char *value,
                     size_t value_n)
{
    g->n_headers++;
    if (!is_token(name, name_n) || is_torn(name, name_n))
        g->bad_name = true;
    if (has_control(value, value_n))
        g->bad_value = true;
    if (is(name, name_n, "Content-Length")) {
        g->n_length++;
        if (!is_number(value, value_n))
            g->bad_length = true;
        for (size_t i = 0; i < value_n; i++)
            if (value[i] != '0')
                g->body = true;
    } else if (is(name, name_n, "Transfer-Encoding")) {
        g->n_coding++;
        g->body = true;
        if (!is(value, value_n, "chunked"))
            g->bad_coding = true;
    } else if (is(name, name_n, "Host")) {
        g->n_host++;
        snprintf(g->host, sizeof g->host, "%.*s", (int)value_n, value);
        if (value_n >= sizeof g->host)
            g->bad_value = true;
    } else if (is(name, name_n, "Authorization")) {
        g->n_auth++;
    } else if (is(name, name_n, "Content-Encoding")) {
        g->coded |= value_n && !is(value, value_n, "identity");
    }
    keep_header(g, name, name_n, value, value_n);
}

const char *at_guard_framing(const struct at_guard *g, const char *version)
{
    if (g->bad_name)
        return "header name with a character that no token has";
    if (g->bad_value)
        return "header value with a control character, or too long";
    if (g->n_length > 1)
        return "more than one Content-Length";
    if (g->n_coding > 1)
        return "more than one Transfer-Encoding";
    if (g->n_length && g->n_coding)
        return "Content-Length beside Transfer-Encoding";
    if (g->bad_length)
        return "Content-Length that is no number";
    if (g->bad_coding)
        return "Transfer-Encoding other than chunked";
    if (g->n_coding && strcmp(version, "HTTP/1.1"))
        return "Transfer-Encoding outside HTTP/1.1";
    if (g->n_host > 1)
        return "more than one Host";
    if (g->n_auth > 1)
        return "more than one Authorization";
    if (!g->n_host && strcmp(version, "HTTP/1.0"))
        return "no Host";
    return NULL;
}

/* Length of the name before the port: "[::1]:8650" gives 5. */
static size_t name_length(const char *host)
{
    if (*host == '[') {
        const char *end = strchr(host, ']');
        return end ? (size_t)(end - host) + 1 : 0;
    }
    return strcspn(host, ":");
}

/* A number resolves to nothing else, so 127.0.0.2 is as safe as 127.0.0.1. */
static bool is_loopback(const char *host, size_t n)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr a;
    if (is(host, n, "localhost") || is(host, n, "[::1]"))
        return true;
    snprintf(text, sizeof text, "%.*s", (int)n, host);
    return n < sizeof text && inet_pton(AF_INET, text, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

bool at_guard_host_allowed(const char *host, const char *const *allowed)
{
    size_t n = name_length(host);
    if (!*host)
        return true; /* HTTP/1.0 without Host: no browser sends that */
    if (n && host[n] == ':' && !is_number(host + n + 1, strlen(host + n + 1)))
        return false;
    if (n && host[n] && host[n] != ':')
        return false;
    if (is_loopback(host, n))
        return true;
    for (; allowed && *allowed; allowed++)
        if (!strcmp(*allowed, "*") || is(host, n, *allowed) || !strcasecmp(host, *allowed))
            return true;
    return false;
}

static int sextet(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

size_t at_guard_password(const char *auth, char *out, size_t n)
{
    const char *code = strncasecmp(auth, "Basic ", 6) ? "" : auth + 6;
    size_t length = strlen(code), at = 0;
    unsigned bits = 0, n_bits = 0;
    bool named = false;
    if (length % 4)
        return 0;
    for (size_t i = 0; i < 2 && length && code[length - 1] == '='; i++)
        length--;
    for (size_t i = 0; i < length; i++) {
        int v = sextet(code[i]);
        if (v < 0)
            return 0;
        bits = bits << 6 | (unsigned)v;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        char c = (char)(bits >> n_bits & 255);
        if (!named) {
            named = c == ':';
            continue;
        }
        if (c == 0 || at + 1 >= n)
            return 0;
        out[at++] = c;
    }
    if (n)
        out[at] = 0;
    return at;
}

bool at_guard_equal(const char *a, size_t a_n, const char *b, size_t b_n)
{
    volatile unsigned char differ = a_n != b_n;
    for (size_t i = 0; i < a_n; i++)
        differ |= (unsigned char)(a[i] ^ b[b_n ? i % b_n : 0]);
    return !differ && b_n;
}

bool at_guard_has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

size_t at_guard_unescape(char *s)
{
    char *out = s, *begin = s;
    for (; *s; s++) {
        char byte = *s;
        if (byte == '%') {
            unsigned value;
            char digits[3] = {s[1], s[1] ? s[2] : 0, 0};
            if (strspn(digits, "0123456789abcdefABCDEF") == 2 &&
                sscanf(digits, "%x", &value) == 1) {
                byte = value < 0x20 || value == 0x7f ? 1 : (char)value;
                s += 2;
            } else {
                byte = 1;
            }
        }
        *out++ = byte;
    }
    *out = 0;
    return (size_t)(out - begin);
}
