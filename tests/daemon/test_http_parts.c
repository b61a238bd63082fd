/* Framing guard, Host rule, constant-time compare, route table.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/http/api.h"
#include "daemon/http/guard.h"
#include "daemon/http/http.h"
#include "daemon/http/listen.h"

static void feed(struct at_guard *g, const char *name, const char *value)
{
    at_guard_header(g, name, strlen(name), value, strlen(value));
}

static void framing(void **state)
{
    static const struct {
        const char *headers[8]; /* name, value, ... */
        const char *version;
        bool good, body;
    } cases[] = {
        {{"Host", "a"}, "HTTP/1.1", true, false},
        {{NULL}, "HTTP/1.0", true, false},
        {{NULL}, "HTTP/1.1", false, false},
        {{"Host", "a", "Content-Length", "0"}, "HTTP/1.1", true, false},
        {{"Host", "a", "Content-Length", "00"}, "HTTP/1.1", true, false},
        {{"Host", "a", "Content-Length", "12"}, "HTTP/1.1", true, true},
        {{"Host", "a", "Content-Length", "0", "content-length", "0"}, "HTTP/1.1", false, false},
        {{"Host", "a", "Content-Length", "4", "Transfer-Encoding", "chunked"},
         "HTTP/1.1",
         false,
         true},
        {{"Host", "a", "Transfer-Encoding", "Chunked"}, "HTTP/1.1", true, true},
        {{"Host", "a", "Transfer-Encoding", "gzip, chunked"}, "HTTP/1.1", false, true},
        {{"Host", "a", "Transfer-Encoding", "chunked"}, "HTTP/1.0", false, true},
        {{"Host", "a", "Content-Length5", ""}, "HTTP/1.1", false, false},
        {{"Host", "a", "Transfer-Encodingchunked", ""}, "HTTP/1.1", false, false},
        {{"Host", "a", "Host", "a"}, "HTTP/1.1", false, false},
        {{"Host", "a", "X Y", "1"}, "HTTP/1.1", false, false},
        {{"Host", "a", "X", "\x01"}, "HTTP/1.1", false, false},
        {{"Host", "a", "X", "\t\xe9"}, "HTTP/1.1", true, false},
        {{"Host", "a", "Authorization", "x", "Authorization", "y"}, "HTTP/1.1", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_guard g = {0};
        for (size_t k = 0; k + 1 < 8 && cases[i].headers[k]; k += 2)
            feed(&g, cases[i].headers[k], cases[i].headers[k + 1]);
        const char *why = at_guard_framing(&g, cases[i].version);
        if (!why != cases[i].good || g.body != cases[i].body)
            fail_msg("case %zu: good %d, want %d (%s); body %d, want %d", i, !why, cases[i].good,
                     why ? why : "", g.body, cases[i].body);
    }
    struct at_guard g = {0};
    at_guard_header(&g, "X\0Y", 3, "1", 1);
    assert_non_null(at_guard_framing(&g, "HTTP/1.0"));
}

static void hosts(void **state)
{
    static const char *const good[] = {"localhost",   "LOCALHOST:8650", "127.0.0.1", "127.0.0.1:1",
                                       "[::1]",       "[::1]:8650",     "",          "127.0.0.2",
                                       "127.9.9.9:80"};
    static const char *const bad[] = {
        "evil.example",  "localhost.evil", "127.0.0.1.evil", "localhost@evil", "[::1]x",
        "localhost:80x", "[::1",           ":8650",          "128.0.0.1",      "[::2]:80",
        "localhost:",    "localhost :80",  "127.0.0.2.",     "127.1",          "127.0.0.2x"};
    static const char *const list[] = {"roof.lan", NULL}, *const any[] = {"*", NULL};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!at_guard_host_allowed(good[i], NULL))
            fail_msg("'%s' should be allowed", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (at_guard_host_allowed(bad[i], list))
            fail_msg("'%s' should be refused", bad[i]);
    assert_true(at_guard_host_allowed("Roof.LAN:8650", list));
    assert_true(at_guard_host_allowed("evil.example", any));
}

static void equal(void **state)
{
    static const struct {
        const char *auth, *password;
    } logins[] = {
        {"Basic dXNlcjpwYXNzd29yZA==", "password"},
        {"basic OnB3", "pw"},
        {"Basic YTpiOmM=", "b:c"},
        {"Basic dXNlcg==", ""},
        {"Basic dXNlcjo=", ""},
        {"Basic dXNlcjpwYXNzd29yZA", ""}, /* no colon, nothing, cut */
        {"Basic dXN$cjpwYXNz", ""},
        {"Basic ====", ""},
        {"Basic YToAYg==", ""},
        {"Basic ", ""},
        {"Bearer OnB3", ""},
        {"Basic OmFiY2RlZmdo", ""}, /* longer than the room */
    };
    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
        char out[9] = "";
        size_t n = at_guard_password(logins[i].auth, out,
                                     i + 1 < sizeof logins / sizeof *logins ? sizeof out : 8);
        assert_int_equal(n, strlen(logins[i].password));
        assert_memory_equal(out, logins[i].password, n);
    }
    assert_true(at_guard_equal("abc", 3, "abc", 3));
    assert_false(at_guard_equal("abd", 3, "abc", 3));
    assert_false(at_guard_equal("ab", 2, "abc", 3));
    assert_false(at_guard_equal("abca", 4, "abc", 3));
    assert_false(at_guard_equal("", 0, "abc", 3));
    assert_false(at_guard_equal("", 0, "", 0));
}

static void loopback(void **state)
{
    assert_true(at_listen_is_loopback("127.0.0.1"));
    assert_true(at_listen_is_loopback("127.9.9.9"));
    assert_true(at_listen_is_loopback("::1"));
    assert_true(at_listen_is_loopback("localhost"));
    assert_false(at_listen_is_loopback("0.0.0.0"));
    assert_false(at_listen_is_loopback("::"));
    assert_false(at_listen_is_loopback("192.168.1.1"));
    assert_false(at_listen_is_loopback("1270.0.1"));
}

static int find(const char *path, char *id, size_t n)
{
    struct at_request q = {.method = "GET", .path = path};
    struct at_reply r;
    at_reply_init(&r);
    const struct at_route *route = at_route_find(&q, "", false, &r);
    snprintf(id, n, "%s", q.id);
    at_reply_finish(&r);
    return route ? (int)(route - at_routes) : -1;
}

static void routes(void **state)
{
    char id[96];
    assert_true(find("/healthz", id, sizeof id) >= 0);
    assert_int_equal(find("/healthz/", id, sizeof id), -1);
    assert_int_equal(find("/health", id, sizeof id), -1);
    assert_int_equal(find("", id, sizeof id), -1);
    assert_true(find("/api/v1/emissions/1a-roof-7", id, sizeof id) >= 0);
    assert_string_equal(id, "1a-roof-7");
    assert_int_equal(find("/api/v1/emissions/", id, sizeof id), -1);
    assert_int_equal(find("/api/v1/emissions/a/b", id, sizeof id), -1);
    /* Each path stands once, and each handler has its schema or says that it is not JSON. */
    for (size_t i = 0; i < at_routes_n; i++)
        assert_int_equal(find(at_routes[i].path, id, sizeof id), (int)i);
}

static int listen_on(const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    inet_pton(AF_INET, address, &a.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* A passed socket that other machines reach needs a token, whatever http.listen says. */
static void passed_listeners(void **state)
{
    struct at_error err = {""};
    char url[96];
    int fd = listen_on("127.0.0.1");
    assert_true(at_listen_is_local(fd));
    assert_int_equal(at_listen_adopt(fd, url, sizeof url, &err), fd);
    assert_int_equal(strncmp(url, "http://127.0.0.1:", 17), 0);
    close(fd);
    fd = listen_on("0.0.0.0");
    assert_false(at_listen_is_local(fd));
    struct at_http_config config = {.host = "127.0.0.1", .listener = fd};
    struct at_api api = {0};
    struct at_http *http = NULL;
    assert_int_equal(at_http_start(&config, &api, &err, &http), -EACCES);
    assert_non_null(strstr(err.text, "attuned.socket is reachable from other machines"));
    close(fd);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "/tmp/attune-listen-%d", (int)getpid());
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    unlink(a.sun_path);
    assert_true(at_listen_is_local(fd));
    assert_int_equal(at_listen_adopt(fd, url, sizeof url, &err), fd);
    assert_int_equal(strncmp(url, "unix:/tmp/attune-listen-", 24), 0);
    close(fd);
    assert_true(at_listen_adopt(fd, url, sizeof url, &err) < 0); /* closed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing),  cmocka_unit_test(hosts),  cmocka_unit_test(equal),
        cmocka_unit_test(loopback), cmocka_unit_test(routes), cmocka_unit_test(passed_listeners),
    };
    return cmocka_run_group_tests_name("http parts", tests, NULL, NULL);
}
