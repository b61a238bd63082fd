/* The selector as a table: every reason it can give, and what must hold for any candidates.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/attn/selector.h"

#define MB 1e6

/* mha: best and slow; flash: nearly as good, faster; gqa; latent: fast and small. */
static const struct at_candidate base[] = {
    {.backend = "mha",
     .window = 1024,
     .accuracy = 0.950,
     .calibrated_ms = 40,
     .live_p50_ms = NAN,
     .live_p95_ms = NAN,
     .kv_bytes = 4 * MB},
    {.backend = "flash",
     .window = 1024,
     .accuracy = 0.9495,
     .calibrated_ms = 20,
     .live_p50_ms = NAN,
     .live_p95_ms = NAN,
     .kv_bytes = 4 * MB},
    {.backend = "gqa",
     .window = 1024,
     .accuracy = 0.930,
     .calibrated_ms = 12,
     .live_p50_ms = NAN,
     .live_p95_ms = NAN,
     .kv_bytes = 2 * MB},
    {.backend = "latent",
     .window = 1024,
     .accuracy = 0.910,
     .calibrated_ms = 5,
     .live_p50_ms = NAN,
     .live_p95_ms = NAN,
     .kv_bytes = 0.5 * MB},
};
enum { MHA, FLASH, GQA, LATENT, N };

static const struct at_selector_input plain = {
    .budget_ms = 30, .budget_kv_bytes = 480 * MB, .sessions = 1, .current = -1};

struct row {
    const char *name;
    struct at_selector_input in;
    int live_of; /* candidate whose live p95 is set, when live_ms > 0 */
    double live_ms;
    int broken_of; /* candidate whose probe fails, when broken */
    int broken;
    int want;
    bool over;
    const char *reason; /* of the choice */
    int each_of;
    const char *each;
};

/* budget_ms, KV budget in MB, sessions, current, and what else is not 0. */
#define IN(ms, kv_mb, n, now, ...)                                                                 \
    {                                                                                              \
        .budget_ms = ms, .budget_kv_bytes = kv_mb * MB, .sessions = n, .current = now, __VA_ARGS__ \
    }

static const struct row rows[] = {
    {"best that fits", IN(30, 480, 1, -1, .load = 0), .want = FLASH,
     .reason = "highest accuracy that fits", .each_of = MHA, .each = "p95 40 ms above 30 ms"},
    {"no latency limit", IN(0, 480, 1, -1, .load = 0), .want = FLASH,
     .reason = "within 0.1 point of the best, and faster", .each_of = MHA, .each = "fits"},
    {"a tie stays", IN(60, 480, 1, FLASH, .load = 0), .want = FLASH,
     .reason = "none is clearly faster", .each_of = MHA, .each = "fits"},
    {"a tie goes to the faster", IN(60, 480, 1, MHA, .load = 0), .want = FLASH,
     .reason = "within 0.1 point of the best, and faster", .each_of = FLASH, .each = "fits"},
    {"change needs a margin", IN(24, 480, 1, GQA, .load = 0), .want = GQA, .reason = "highest",
     .each_of = FLASH, .each = "p95 20 ms above 19.2 ms, the limit for a change"},
    {"and then goes up", IN(26, 480, 1, GQA, .load = 0), .want = FLASH, .reason = "highest",
     .each_of = FLASH, .each = "fits"},
    {"live p95 counts", IN(30, 480, 1, FLASH, .load = 0), .live_of = FLASH, .live_ms = 31,
     .want = GQA, .reason = "highest", .each_of = FLASH, .each = "p95 31 ms above 30 ms"},
    {"a slow host slows all", IN(30, 480, 1, FLASH, .load = 0), .live_of = FLASH, .live_ms = 60,
     .want = LATENT, .reason = "highest", .each_of = GQA,
     .each = "p95 36 ms above 24 ms, the limit for a change; 12 ms as calibrated"},
    {"KV of all sessions", IN(30, 480, 200, -1, .load = 0), .want = GQA, .reason = "highest",
     .each_of = FLASH, .each = "KV 800 MB for 200 sessions above 480 MB"},
    {"load lets go", IN(30, 480, 1, FLASH, .load = 0.97), .want = GQA, .reason = "highest",
     .each_of = FLASH, .each = "keeps the workers 97 % busy, above 95 %"},
    {"load keeps from rising", IN(30, 480, 1, GQA, .load = 0.5), .want = GQA, .reason = "highest",
     .each_of = FLASH, .each = "would keep the workers 83 % busy, above 70 %"},
    {"far too much for this host", IN(30, 480, 1, LATENT, .load = 0.65), .want = LATENT,
     .reason = "highest", .each_of = FLASH, .each = "would need 2."},
    {"falling behind steps down", IN(30, 480, 1, FLASH, .load = 0.9, .queue = 1.5), .want = GQA,
     .reason = "highest", .each_of = FLASH, .each = "falling behind (queue 1.5)"},
    {"recovers", IN(30, 480, 1, GQA, .load = 0.3), .want = FLASH, .reason = "highest",
     .each_of = FLASH, .each = "fits"},
    {"forced wins over the budget", IN(30, 480, 1, -1, .forced = "mha"), .want = MHA, .over = true,
     .reason = "forced, over budget", .each_of = LATENT, .each = "mha is forced"},
    {"forced and fits", IN(30, 480, 1, FLASH, .forced = "latent"), .want = LATENT,
     .reason = "forced", .each_of = LATENT, .each = "fits (forced)"},
    {"forced but cannot", IN(30, 480, 1, -1, .forced = "flash"), .broken_of = FLASH,
     .broken = -ENOTSUP, .want = GQA, .reason = "flash cannot run; highest accuracy",
     .each_of = FLASH, .each = "cannot run: Operation not supported"},
    {"forced but unheard of", IN(30, 480, 1, -1, .forced = "linear"), .want = FLASH,
     .reason = "linear cannot run; highest", .each_of = GQA, .each = "fits"},
    {"nothing fits: fastest", IN(2, 480, 1, -1, .load = 0), .want = LATENT, .over = true,
     .reason = "nothing fits: the fastest; would fit: latency_ms 6.25", .each_of = LATENT,
     .each = "p95 5 ms above 2 ms"},
    {"nothing fits: smallest", IN(30, 480, 2000, -1, .load = 0), .want = LATENT, .over = true,
     .reason = "nothing fits: the smallest KV cache; would fit: kv_mb 1250", .each_of = LATENT,
     .each = "KV 1000 MB"},
    {"nothing fits: too few cores", IN(30, 480, 1, LATENT, .load = 1, .queue = 3), .want = LATENT,
     .over = true,
     .reason = "nothing fits: none is clearly faster than this; more cores would help (load 1.00, "
               "queue 3)",
     .each_of = LATENT, .each = "falling behind (queue 3)"},
    {"nothing fits, KV kept", IN(2, 1, 1, -1, .load = 0), .want = LATENT, .over = true,
     .reason = "nothing fits: the fastest", .each_of = GQA, .each = "p95 12 ms"},
    {"what runs now broke", IN(30, 480, 1, FLASH, .load = 0), .broken_of = FLASH, .broken = -EINVAL,
     .want = GQA, .reason = "highest", .each_of = FLASH, .each = "cannot run: Invalid argument"},
};

static void test_every_reason(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct at_candidate c[N];
        struct at_choice got;
        memcpy(c, base, sizeof c);
        if (r->live_ms > 0)
            c[r->live_of].live_p95_ms = r->live_ms;
        if (r->broken)
            c[r->broken_of].probe_error = r->broken;
        at_selector_choose(c, N, &r->in, &got);
        if (got.index != r->want || got.over_budget != r->over || !strstr(got.reason, r->reason) ||
            !strstr(got.each[r->each_of].reason, r->each))
            fail_msg("%s: got %d over %d \"%s\" (%s: \"%s\"), expected %d over %d \"%s\" (\"%s\")",
                     r->name, got.index, got.over_budget, got.reason, c[r->each_of].backend,
                     got.each[r->each_of].reason, r->want, r->over, r->reason, r->each);
        for (int k = 0; k < N; k++)
            assert_true(got.each[k].reason[0]);
    }
}

static void test_what_is_not_known(void **state)
{
    struct at_candidate c[N];
    struct at_choice got;
    memcpy(c, base, sizeof c);
    c[FLASH].accuracy = NAN; /* below all that are known */
    at_selector_choose(c, N, &plain, &got);
    assert_int_equal(got.index, GQA);
    c[GQA].calibrated_ms = NAN;
    at_selector_choose(c, N, &plain, &got);
    assert_int_equal(got.index, LATENT);
    assert_string_equal(got.each[GQA].reason, "p95 not measured");
    for (int i = 0; i < N; i++)
        c[i].accuracy = NAN;
    at_selector_choose(c, N, &plain, &got);
    assert_int_equal(got.index, LATENT);
    assert_string_equal(got.reason, "accuracy not known: the fastest that fits");
    for (int i = 0; i < N; i++)
        c[i].calibrated_ms = NAN;
    at_selector_choose(c, N, &plain,
                       &got); /* nothing measured: the first, as the registry orders them */
    assert_int_equal(got.index, MHA);
    assert_true(got.over_budget);
    for (int i = 0; i < N; i++)
        c[i].probe_error = -ENOTSUP;
    at_selector_choose(c, N, &plain, &got);
    assert_int_equal(got.index, -1);
    assert_string_equal(got.reason, "nothing can run");
    at_selector_choose(c, 0, &plain, &got);
    assert_int_equal(got.index, -1);
}

/* Of one backend's two modes, alike in accuracy, what was measured decides: a processor without
 * tiles whose products of pairs are slow is not given bf16 for its name, only where the other's
 * caches don't fit. */
static void test_a_slower_mode_is_not_taken(void **state)
{
    struct at_candidate c[2] = {base[FLASH], base[FLASH]};
    struct at_selector_input in = plain;
    struct at_choice got;
    c[1].mode = AT_MODE_BF16;
    c[1].kv_bytes = c[0].kv_bytes / 2;
    c[0].calibrated_ms = 1.9;
    c[1].calibrated_ms = 2.7;
    at_selector_choose(c, 2, &in, &got);
    assert_int_equal(got.index, 0);
    in.sessions = 200;
    at_selector_choose(c, 2, &in, &got);
    assert_int_equal(got.index, 1);
    in.sessions = 1;
    c[1].calibrated_ms = 0.7;
    at_selector_choose(c, 2, &in, &got);
    assert_int_equal(got.index, 1);
}

static uint64_t seed = 1;

static double uniform(double lo, double hi)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return lo + (hi - lo) * (double)(seed >> 11) * 0x1p-53;
}

static void draw(struct at_candidate *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        c[i] = (struct at_candidate){.window = 1024,
                                     .accuracy = uniform(0, 1) < 0.1 ? NAN : uniform(0.9, 0.91),
                                     .calibrated_ms = uniform(1, 60),
                                     .live_p50_ms = NAN,
                                     .live_p95_ms = NAN,
                                     .kv_bytes = uniform(0.1, 8) * MB};
        snprintf(c[i].backend, sizeof c[i].backend, "b%zu", i);
    }
}

static void test_a_tighter_budget_never_picks_a_slower_one(void **state)
{
    for (int round = 0; round < 20000; round++) {
        struct at_candidate c[6];
        struct at_choice wide, tight;
        draw(c, 6);
        struct at_selector_input in = plain;
        in.budget_ms = uniform(1, 70);
        at_selector_choose(c, 6, &in, &wide);
        in.budget_ms *= uniform(0.3, 1);
        at_selector_choose(c, 6, &in, &tight);
        assert_true(wide.index >= 0 && tight.index >= 0);
        double slow = c[tight.index].calibrated_ms, fast = c[wide.index].calibrated_ms;
        if (slow > fast)
            fail_msg("round %d: %.3f ms under the tighter budget, %.3f ms under the wider", round,
                     slow, fast);
        if (!tight.over_budget)
            assert_true(slow <= in.budget_ms);
    }
}

/* The choice moves at most a few times while p95 wanders by +-10 % around fixed values, then never
 * again. */
static void test_noise_does_not_make_it_flap(void **state)
{
    int worst = 0, worst_late = 0;
    for (int round = 0; round < 2000; round++) {
        struct at_candidate c[4];
        double true_ms[4];
        draw(c, 4);
        for (int i = 0; i < 4; i++) {
            true_ms[i] = c[i].calibrated_ms;
            c[i].accuracy = 0.90 + 0.01 * (i ^ (round & 3)); /* no ties: those are the next test */
        }
        struct at_selector_input in = plain;
        in.budget_ms = uniform(5, 60);
        int changes = 0, late = 0;
        for (int step = 0; step < 400; step++) {
            struct at_choice got;
            for (int i = 0; i < 4; i++)
                c[i].live_p95_ms = true_ms[i] * uniform(0.9, 1.1);
            at_selector_choose(c, 4, &in, &got);
            changes += got.index != in.current;
            late += step >= 200 && got.index != in.current;
            in.current = got.index;
        }
        worst = changes > worst ? changes : worst;
        worst_late += late;
    }
    print_message(
        "at most %d changes in 400 steps; %d in all later than step 200 over 2000 rounds\n", worst,
        worst_late);
    assert_in_range(worst, 1, 5);
    assert_in_range(worst_late, 0, 20); /* without hysteresis: thousands */
}

static void test_ties_do_not_flap_either(void **state)
{
    int worst = 0;
    for (int round = 0; round < 1000; round++) {
        struct at_candidate c[2];
        draw(c, 2);
        c[0].accuracy = 0.9;
        c[1].accuracy = 0.9005;
        double ms[2] = {20, 20 * uniform(0.7, 1.4)};
        struct at_selector_input in = plain;
        in.budget_ms = uniform(15, 35);
        int changes = 0;
        for (int step = 0; step < 400; step++) {
            struct at_choice got;
            for (int i = 0; i < 2; i++)
                c[i].live_p95_ms = ms[i] * uniform(0.9, 1.1);
            at_selector_choose(c, 2, &in, &got);
            changes += got.index != in.current;
            in.current = got.index;
        }
        worst = changes > worst ? changes : worst;
    }
    print_message("at most %d changes in 400 steps\n", worst);
    assert_in_range(worst, 1, 4);
}

/* Overload: down once while the queue grows, up once when the load has gone, with nothing between.
 */
static void test_overload_steps_down_and_back_up(void **state)
{
    struct at_selector_input in = plain;
    struct at_choice got;
    int path[8], n = 0;
    for (int step = 0; step < 100; step++) {
        double supply = step < 50 ? 0.055 : 0.02; /* share of the cores per ms of p95 */
        in.load = in.current < 0 ? 0 : fmin(1, supply * base[in.current].calibrated_ms);
        in.queue = in.current >= 0 && supply * base[in.current].calibrated_ms > 1 ? 2 : 0;
        at_selector_choose(base, N, &in, &got);
        if (got.index != in.current) {
            assert_true(n < 8);
            path[n++] = got.index;
        }
        in.current = got.index;
    }
    assert_int_equal(n, 3);
    assert_int_equal(path[0], FLASH);
    assert_int_equal(path[1], GQA);
    assert_int_equal(path[2], FLASH);
}

/* A host that stalls for a while: down while it lasts, and back when it is over, as long as the
 * caller forgets the live figures of what it left. */
static void test_a_stall_passes(void **state)
{
    struct at_candidate c[N];
    struct at_selector_input in = plain;
    struct at_choice got;
    int path[8], n = 0;
    memcpy(c, base, sizeof c);
    for (int step = 0; step < 60; step++) {
        double slower = step >= 20 && step < 40 ? 2.5 : 1;
        if (in.current >= 0)
            c[in.current].live_p95_ms = base[in.current].calibrated_ms * slower;
        at_selector_choose(c, N, &in, &got);
        if (got.index != in.current) {
            assert_true(n < 8);
            path[n++] = got.index;
            if (in.current >= 0)
                c[in.current].live_p95_ms = NAN;
        }
        in.current = got.index;
    }
    assert_int_equal(n, 3);
    assert_int_equal(path[0], FLASH);
    assert_int_equal(path[1], LATENT);
    assert_int_equal(path[2], FLASH);
}

/* Candidate 1 is said to fit all the time, and does not 0.25 s after each change to it; 0 always
 * fits. */
static void test_what_fails_again_and_again_is_taken_ever_more_rarely(void **state)
{
    struct at_selector_hold h = {0};
    int now = 1;
    unsigned changes = 0;
    double left_s = 0, waits_s[8] = {0};
    for (double s = 100; s < 160; s += 0.25) {
        int wanted = now == 1 ? 0 : 1;
        if (!at_selector_may_change(&h, now, wanted, now == 0, s))
            continue;
        if (now == 1)
            left_s = s;
        else if (changes / 2 < 8)
            waits_s[changes / 2] = s - left_s;
        changes++;
        now = wanted;
    }
    print_message("%u changes in 60 s, back after %.2f, %.2f, %.2f, %.2f s\n", changes, waits_s[0],
                  waits_s[1], waits_s[2], waits_s[3]);
    assert_true(waits_s[0] == 2 && waits_s[1] == 4 && waits_s[2] == 8 && waits_s[3] == 8);
    assert_true(changes < 20);
    /* One that stayed long is taken back as soon as at first. */
    h = (struct at_selector_hold){0};
    assert_true(at_selector_may_change(&h, 1, 0, false, 100));
    assert_false(at_selector_may_change(&h, 0, 1, true, 101.9));
    assert_true(at_selector_may_change(&h, 0, 1, true, 102));
    assert_false(at_selector_may_change(&h, 1, 0, true, 103)); /* it fits: no change so soon */
    assert_true(at_selector_may_change(&h, 1, 0, false, 200));
    assert_false(at_selector_may_change(&h, 0, 1, true, 201));
    assert_true(at_selector_may_change(&h, 0, 1, true, 202));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reason),
        cmocka_unit_test(test_what_is_not_known),
        cmocka_unit_test(test_a_slower_mode_is_not_taken),
        cmocka_unit_test(test_a_tighter_budget_never_picks_a_slower_one),
        cmocka_unit_test(test_noise_does_not_make_it_flap),
        cmocka_unit_test(test_ties_do_not_flap_either),
        cmocka_unit_test(test_overload_steps_down_and_back_up),
        cmocka_unit_test(test_a_stall_passes),
        cmocka_unit_test(test_what_fails_again_and_again_is_taken_ever_more_rarely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
