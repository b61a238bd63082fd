/* Kernels over AMX tiles, the tiles emulated in C: what their loops, edges and layouts compute is
 * what vectors compute. The instructions themselves are checked where a processor has them, by the
 * same function. SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/cpu.h"
#include "lib/kernels/agree.h"

extern const struct at_kernels at_kernels_emulated;

static void test_tiles_agree_with_every_variant(void **state)
{
    const struct at_kernels *k;
    size_t n = 0;
    for (; (k = at_kernels_at(n)); n++) {
        /* amx has exponents of its own (vf_exp2_coarse): some weights round to a neighbour. */
        bool same =
            at_kernels_agree(&at_kernels_emulated, k, k->level == AT_CPU_X86_AMX ? 1e-3f : 1e-4f);
        print_message("tiles against %s: %s\n", k->name, same ? "agree" : "differ");
        assert_true(same);
    }
    assert_true(n > 0);
}

static void doubled(const struct at_linear *job)
{
    at_kernels_emulated.linear_bf16(job);
    job->y[job->n - 1] += 0.05f;
}

static void shifted(const struct at_linear *job)
{
    at_kernels_emulated.linear(job);
    if (job->y)
        job->y[job->n - 1] += 1e-3f;
}

static void torn(const struct at_attend *job)
{
    at_kernels_emulated.attend_bf16(job);
    job->acc[3] *= 1.1f;
}

static void rent(const struct at_attend *job)
{
    at_kernels_emulated.attend(job);
    job->acc[3] *= 1.01f;
}

/* The check must be able to fail: one value of a product, one of a weighted sum, in either mode. */
static void test_what_is_wrong_is_seen(void **state)
{
    struct at_kernels bad = at_kernels_emulated;
    bad.linear_bf16 = doubled;
    assert_false(at_kernels_agree(&bad, at_kernels_best(), 1e-3f));
    bad = at_kernels_emulated;
    bad.linear = shifted;
    assert_false(at_kernels_agree(&bad, at_kernels_best(), 1e-3f));
    bad = at_kernels_emulated;
    bad.attend = rent;
    assert_false(at_kernels_agree(&bad, at_kernels_best(), 1e-3f));
    bad = at_kernels_emulated;
    bad.attend_bf16 = torn;
    assert_false(at_kernels_agree(&bad, at_kernels_best(), 1e-3f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tiles_agree_with_every_variant),
                                       cmocka_unit_test(test_what_is_wrong_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
