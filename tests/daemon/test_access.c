/* Tokens and their files, roles, origins; where the listener stands; what may be compressed.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "daemon/http/access.h"
#include "daemon/http/exchange.h"
#include "daemon/http/gzip.h"
#include "daemon/http/listen.h"
#include "tests/daemon/log_file.h"

#define FULL  "0123456789abcdef-full"
#define READ  "0123456789abcdef-read"
#define OTHER "0123456789abcdef-other"

static char folder[64], full_path[96], read_path[96];

static void write_token(const char *path, const char *text, size_t n, mode_t mode)
{
    char part[128];
    snprintf(part, sizeof part, "%s.part", path);
    FILE *f = fopen(part, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
    assert_return_code(chmod(part, mode), errno);
    assert_return_code(rename(part, path), errno);
}

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/attune-access-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(full_path, sizeof full_path, "%s/full", folder);
    snprintf(read_path, sizeof read_path, "%s/read", folder);
    write_token(full_path, FULL "\n", sizeof FULL, 0600);
    write_token(read_path, READ, sizeof READ - 1, 0600);
    log_open("info");
    return 0;
}

static int remove_folder(void **state)
{
    unlink(full_path);
    unlink(read_path);
    log_close();
    return rmdir(folder);
}

/* What was logged since the last call. */
static const char *logged(void)
{
    static char text[4096];
    rewind(log_file);
    text[fread(text, 1, sizeof text - 1, log_file)] = 0;
    rewind(log_file);
    assert_return_code(ftruncate(fileno(log_file), 0), errno);
    return text;
}

static void token_files(void **state)
{
    char long_line[400], token[256];
    struct at_error err = {""};
    memset(long_line, 'x', sizeof long_line);
    const struct {
        const char *text;
        size_t n;
        bool good;
    } cases[] = {
        {"0123456789abcdef", 16, true},       {"0123456789abcdef\r\nmore", 22, true},
        {"0123456789abcde\n", 16, false},     {"", 0, false},
        {"\n0123456789abcdef", 17, false},    {"0123456789\0abcdef", 17, false},
        {long_line, sizeof long_line, false}, {long_line, 254, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_token(full_path, cases[i].text, cases[i].n, 0600);
        int rc = at_access_read_token("http.token_file", full_path, token, sizeof token, &err);
        if (!rc != cases[i].good || !!token[0] != cases[i].good)
            fail_msg("case %zu: %d, \"%s\"", i, rc, token);
    }
    assert_string_equal(logged(), "");
    write_token(full_path, FULL, sizeof FULL - 1, 0644);
    assert_int_equal(at_access_read_token("http.token_file", full_path, token, sizeof token, &err),
                     0);
    assert_non_null(strstr(logged(), "every user can read"));
    assert_int_equal(at_access_read_token("http.token_file", folder, token, sizeof token, &err),
                     -EINVAL);
    assert_int_equal(at_access_read_token("http.token_file", "/nowhere", token, sizeof token, &err),
                     -ENOENT);
    assert_string_equal(err.text,
                        "http.token_file: cannot read /nowhere: No such file or directory");
}

static struct at_access *make(struct at_access_config c, int want, const char *word)
{
    struct at_error err = {""};
    struct at_access *a = NULL;
    c.name = "http.listen: x";
    int rc = at_access_create(&c, &err, &a);
    if (rc != want || !strstr(err.text, word))
        fail_msg("%d \"%s\" instead of %d \"%s\"", rc, err.text, want, word);
    return a;
}

static int ask(struct at_access *a, const char *host, const char *origin, const char *token,
               bool changes, bool strict)
{
    struct at_guard g = {0};
    struct at_reply r;
    snprintf(g.host, sizeof g.host, "%s", host);
    snprintf(g.origin, sizeof g.origin, "%s", origin);
    if (token) /* one with its scheme is sent as it is */
        snprintf(g.auth, sizeof g.auth, "%s%s", strchr(token, ' ') ? "" : "bearer ", token);
    at_reply_init(&r);
    bool good = at_access_check(a, &g, changes, strict, &r);
    int status = good ? 200 : r.status;
    at_reply_finish(&r);
    return status;
}

static void encode(const char *text, char *out, size_t n)
{
    static const char code[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text), at = (size_t)snprintf(out, n, "Basic ");
    for (size_t i = 0; i < length && at + 5 < n; i += 3) {
        unsigned v = (unsigned char)text[i] << 16;
        v |= i + 1 < length ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
        v |= i + 2 < length ? (unsigned char)text[i + 2] : 0u;
        for (size_t k = 0; k < 4; k++)
            out[at++] = k > length - i ? '=' : code[v >> (18 - 6 * k) & 63];
    }
    out[at] = 0;
}

static void who_may_what(void **state)
{
    static const char *const hosts[] = {"roof.lan", NULL};
    at_access_destroy(NULL);
    at_access_destroy(make((struct at_access_config){.local = true}, 0, ""));
    make((struct at_access_config){0}, -EACCES,
         "reachable from other machines; set http.token_file");
    make((struct at_access_config){.token_file = "", .read_token_file = ""}, -EACCES, "reachable");
    make((struct at_access_config){.local = true, .token_file = "/nowhere"}, -ENOENT, "/nowhere");
    make((struct at_access_config){.local = true, .read_token_file = "/nowhere"}, -ENOENT, "/no");

    /* This machine alone, no token: all may read, nobody may change. */
    struct at_access *a =
        make((struct at_access_config){.local = true, .allowed_hosts = hosts}, 0, "");
    assert_int_equal(ask(a, "localhost", "", NULL, false, false), 200);
    assert_int_equal(ask(a, "roof.lan:80", "", NULL, false, false), 200);
    assert_int_equal(ask(a, "evil.example", "", NULL, false, false), 403);
    assert_int_equal(ask(a, "localhost", "", NULL, true, false), 403);
    assert_int_equal(ask(a, "localhost", "", "", true, false), 403);
    at_access_destroy(a);

    /* From elsewhere: one token reads, the other one does all. */
    a = make((struct at_access_config){.token_file = full_path,
                                       .read_token_file = read_path,
                                       .cors = "https://a.example, http://b.example:8080,"},
             0, "");
    for (int changes = 0; changes < 2; changes++) {
        assert_int_equal(ask(a, "any", "", NULL, changes, false), 401);
        assert_int_equal(ask(a, "any", "", OTHER, changes, false), 401);
        assert_int_equal(ask(a, "any", "", FULL, changes, false), 200);
        assert_int_equal(ask(a, "any", "", READ, changes, false), changes ? 403 : 200);
    }
    /* As a browser's password either reads and neither changes. */
    for (int i = 0; i < 3; i++) {
        static const char *const words[] = {FULL, READ, OTHER};
        char plain[128], basic[256];
        snprintf(plain, sizeof plain, "me:%s", words[i]);
        encode(plain, basic, sizeof basic);
        assert_int_equal(ask(a, "any", "", basic, false, false), i < 2 ? 200 : 401);
        assert_int_equal(ask(a, "any", "", basic, true, false), i < 2 ? 403 : 401);
    }
    /* Pages: of its own, of a listed origin, of any other one. */
    static const struct {
        const char *origin;
        bool own, listed;
    } pages[] = {
        {"http://roof:8650", true, false},
        {"HTTPS://ROOF:8650", true, false},
        {"https://a.example", false, true},
        {"HTTP://B.example:8080", false, true},
        {"http://a.example", false, false},
        {"https://a.example.evil", false, false},
        {"ftp://roof:8650", false, false},
        {"roof:8650", false, false},
        {"null", false, false},
        {"https://a.exampl", false, false},
        {"https://a.example,http", false, false},
    };
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        int want = pages[i].own || pages[i].listed ? 200 : 403;
        int got[] = {ask(a, "roof:8650", pages[i].origin, FULL, true, false),
                     ask(a, "roof:8650", pages[i].origin, FULL, false, true)};
        if (got[0] != want || got[1] != want)
            fail_msg("%s: %d, %d instead of %d", pages[i].origin, got[0], got[1], want);
        assert_int_equal(ask(a, "roof:8650", pages[i].origin, FULL, false, false), 200);
        assert_int_equal(at_access_is_cors(a, pages[i].origin), pages[i].listed);
    }
    assert_false(at_access_is_cors(a, ""));
    at_access_destroy(a);
}

/* Waits until the token gets that status: files are looked at once a second. */
static void until(struct at_access *a, const char *token, int want)
{
    for (int i = 0; i < 3000 && ask(a, "h", "", token, false, false) != want; i++)
        usleep(20000);
    assert_int_equal(ask(a, "h", "", token, false, false), want);
}

static void a_new_token_is_taken_a_bad_one_is_not(void **state)
{
    struct at_access *a = make((struct at_access_config){.token_file = full_path}, 0, "");
    struct at_access *fixed =
        make((struct at_access_config){.token_file = full_path, .fixed = true}, 0, "");
    write_token(full_path, OTHER "\n", sizeof OTHER, 0600);
    until(a, OTHER, 200);
    until(a, FULL, 401);
    assert_non_null(strstr(logged(), "was read anew"));
    write_token(full_path, "short", 5, 0600);
    char text[8192] = "";
    for (int i = 0; i < 3000 && !strstr(text, "the old token stays"); i++) {
        assert_int_equal(ask(a, "h", "", OTHER, false, false), 200);
        strncat(text, logged(), sizeof text - strlen(text) - 1);
        usleep(20000);
    }
    assert_non_null(strstr(text, "the old token stays"));
    unlink(full_path);
    for (int i = 0; i < 3000 && !strstr(text, "cannot read"); i++) {
        assert_int_equal(ask(a, "h", "", OTHER, false, false), 200);
        strncat(text, logged(), sizeof text - strlen(text) - 1);
        usleep(20000);
    }
    assert_non_null(strstr(text, "cannot read"));
    for (int i = 0; i < 150; i++) { /* three looks: it is said once */
        assert_int_equal(ask(a, "h", "", OTHER, false, false), 200);
        usleep(20000);
        assert_null(strstr(logged(), "cannot read"));
    }
    write_token(full_path, FULL, sizeof FULL - 1, 0600);
    until(a, FULL, 200);
    assert_int_equal(ask(fixed, "h", "", FULL, false, false), 200); /* read once */
    assert_int_equal(ask(fixed, "h", "", OTHER, false, false), 401);
    at_access_destroy(a);
    at_access_destroy(fixed);
}

static void addresses(void **state)
{
    struct at_error err = {""};
    char url[96], other[96];
    int fd = at_listen_open("127.0.0.1", 0, url, sizeof url, &err), code;
    assert_true(fd >= 0);
    unsigned port = (unsigned)strtoul(strrchr(url, ':') + 1, NULL, 10);
    assert_in_range(port, 1024, 65535);
    assert_int_equal(at_listen_open("127.0.0.1", (uint16_t)port, other, sizeof other, &err),
                     -EADDRINUSE);
    assert_non_null(strstr(err.text, "is taken by another program"));
    close(fd);
    fd = at_listen_open("localhost", 0, url, sizeof url, &err);
    assert_true(fd >= 0 && at_listen_is_local(fd));
    assert_int_equal(strncmp(url, "http://localhost:", 17), 0);
    close(fd);
    code = at_listen_open("192.0.2.1", 0, url, sizeof url, &err); /* TEST-NET-1: nobody's */
    assert_int_equal(code, -EADDRNOTAVAIL);
    assert_non_null(strstr(err.text, "192.0.2.1 is no address of this machine"));
    assert_int_equal(at_listen_open("roof.lan", 0, url, sizeof url, &err), -EINVAL);
    assert_non_null(strstr(err.text, "'roof.lan' is no address"));
    fd = at_listen_open("::1", 0, url, sizeof url, &err);
    if (fd < 0)
        return; /* a host without IPv6 */
    assert_int_equal(strncmp(url, "http://[::1]:", 13), 0);
    assert_true(at_listen_is_local(fd));
    assert_int_equal(at_listen_adopt(fd, other, sizeof other, &err), fd);
    assert_string_equal(url, other);
    close(fd);
    fd = at_listen_open("::", 0, url, sizeof url, &err);
    assert_true(fd >= 0);
    assert_false(at_listen_is_local(fd));
    close(fd);
}

static void compression(void **state)
{
    static const char *const yes[] =
        {"gzip", "GZIP", "br, gzip;q=0.5", "*", "deflate , *;q=0.1", "gzip; q=1"},
                             *const no[] = {"",      "br",       "gzip;q=0", "xgzip", "gzipx",
                                            "*;q=0", "identity", ",,",       "gzi",   "gzil"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!at_gzip_accepted(yes[i]))
            fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (at_gzip_accepted(no[i]))
            fail_msg("%s", no[i]);
    char text[2000], back[2000];
    memset(text, 'a', sizeof text);
    void *packed = NULL;
    size_t n = 0;
    assert_int_equal(at_gzip(text, sizeof text, &packed, &n), 0);
    assert_in_range(n, 10, 200);
    z_stream z = {.next_in = packed,
                  .avail_in = (uInt)n,
                  .next_out = (unsigned char *)back,
                  .avail_out = sizeof back};
    assert_int_equal(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, sizeof text);
    assert_memory_equal(text, back, sizeof text);
    inflateEnd(&z);
    free(packed);
    assert_int_equal(at_gzip("ab", 2, &packed, &n), -ENOSPC); /* it would grow */
}

static void parameters(void **state)
{
    struct at_exchange x;
    at_exchange_init(&x, "GET", "/api/v1/emissions");
    assert_true(at_exchange_param(&x, "a", 1, NULL, 0));
    assert_true(at_exchange_param(&x, "a", 1, "b", 1));
    assert_false(x.bad_query);
    assert_false(at_exchange_param(&x, NULL, 0, NULL, 0));
    assert_false(at_exchange_param(&x, "a\0b", 3, NULL, 0));
    assert_false(at_exchange_param(&x, "a", 1, "b\0c", 3));
    assert_false(at_exchange_param(&x, "a\x01", 2, "b", 1));
    assert_false(at_exchange_param(&x, "a", 1, "\x7f", 1));
    assert_true(x.bad_query);
    for (size_t i = x.request.n_params; i < AT_API_MAX_PARAMS; i++)
        assert_true(at_exchange_param(&x, "a", 1, "b", 1));
    assert_false(at_exchange_param(&x, "a", 1, "b", 1));
    at_exchange_finish(&x);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        CASE(token_files),
        CASE(who_may_what),
        CASE(a_new_token_is_taken_a_bad_one_is_not),
        cmocka_unit_test(addresses),
        cmocka_unit_test(compression),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
