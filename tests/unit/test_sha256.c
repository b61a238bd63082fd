/* SHA-256 against the vectors of FIPS 180-4 / NIST CAVP.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/sha256.h"

static void check(const char *text, size_t n, const char *want)
{
    struct at_sha256 s;
    char hex[AT_SHA256_HEX_SIZE];
    at_sha256_init(&s);
    at_sha256_push(&s, text, n);
    at_sha256_finish_hex(&s, hex);
    assert_string_equal(hex, want);
}

static void test_nist_vectors(void **state)
{
    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check("\xd3", 1, "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
}

static void test_a_million_a_in_odd_pieces(void **state)
{
    static char a[1000000];
    memset(a, 'a', sizeof a);
    struct at_sha256 s;
    char hex[AT_SHA256_HEX_SIZE];
    at_sha256_init(&s);
    for (size_t at = 0, n = 1; at < sizeof a; at += n, n = n % 199 + 1) {
        if (n > sizeof a - at)
            n = sizeof a - at;
        at_sha256_push(&s, a + at, n);
    }
    at_sha256_finish_hex(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nist_vectors),
        cmocka_unit_test(test_a_million_a_in_odd_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
