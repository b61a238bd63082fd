/* Samples in, decisions out, through band, sessions, workers and results, with random weights.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/attn/attn.h"
#include "lib/base/clock.h"
#include "lib/engine/internal.h"
#include "tests/support/random_model.h"
#include "tests/support/signals.h"

#define RATE   250000.0
#define N      500000 /* two seconds */
#define MAX    64
#define LABELS "gfsk,ook,carrier,nfm"

static char dir[] = "/tmp/attune-engine-XXXXXX", model_path[64];
static float *scene;

/* Noise at -70 dBFS, a steady tone, three bursts of 60 ms, and 3 ms at the very end: too short for
 * 16 tokens of most channels, and over only with the file. */
static void make_scene(void)
{
    scene = calloc(2 * N, sizeof(*scene));
    sig_add_noise(scene, N, -70, 1);
    sig_add_tone(scene, 50000, 450000, 0.1, -30);
    for (size_t i = 0; i < 3; i++)
        sig_add_tone(scene, 100000 + i * 40000, 115000 + i * 40000, -0.2, -25);
    sig_add_tone(scene, N - 750, N, 0.35, -20);
}

static int set_up(void **state)
{
    struct at_error err = {0};
    struct at_model_config shape = random_model_shape(3);
    unsetenv("ATTUNE_BACKEND");
    if (!mkdtemp(dir))
        return -1;
    snprintf(model_path, sizeof(model_path), "%s/model.safetensors", dir);
    if (random_model_write(model_path, &shape, 7, LABELS, &err) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    make_scene();
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    free(scene);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

/* What came of one emission. */
struct seen {
    char id[48];
    struct at_result last;
    unsigned results, opened;
    uint64_t tokens_at[256];
    double end_s_at[256];
};
struct log {
    struct seen seen[MAX];
    size_t n;
    unsigned after_end; /* results of an emission that had ended */
};

static struct seen *find(struct log *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->seen[i].id, id) == 0)
            return &l->seen[i];
    assert_true(l->n < MAX);
    snprintf(l->seen[l->n].id, sizeof(l->seen[l->n].id), "%s", id);
    return &l->seen[l->n++];
}

static void on_opened(void *ctx, const struct at_result *r)
{
    assert_false(r->has_answer);
    find(ctx, r->id)->opened++;
}

static void on_result(void *ctx, const struct at_result *r)
{
    struct seen *s = find(ctx, r->id);
    if (s->last.emission.ended)
        ((struct log *)ctx)->after_end++;
    if (s->results < 256) {
        s->tokens_at[s->results] = r->tokens;
        s->end_s_at[s->results] = r->end_s;
    }
    s->results++;
    s->last = *r;
}

static const double *watch; /* one range, for the plays that follow; NULL: none */
static unsigned turn;       /* not 0: the choice is another every so many pushes */

/* As the selector would, at once: what runs is candidate i. */
static void put_choice(struct at_classifier *c, unsigned i)
{
    pthread_mutex_lock(&c->lock);
    c->chosen_ns = INT64_MAX / 2; /* it does not choose again by itself */
    c->policies[0].choice = c->state.choice.index = (int)(i % c->state.n_candidates);
    pthread_mutex_unlock(&c->lock);
}

/* Pushes the scene in pieces and returns what was said, in the order of ids. */
static struct log *play(const struct at_classifier_config *config, int live, size_t piece,
                        struct at_classifier_stats *ret)
{
    struct at_error err = {0};
    struct at_classifier *c = NULL;
    struct at_receiver *r = NULL;
    struct log *l = calloc(1, sizeof(*l));
    struct at_receiver_config rc = {.radio = "roof",
                                    .band = "test",
                                    .boot = "b00t",
                                    .center_hz = 433.92e6,
                                    .live = live,
                                    .file = 1,
                                    .watch = watch,
                                    .n_watch = watch != NULL,
                                    .band_config = {.rate_hz = RATE}};
    struct at_receiver_sink sink = {.ctx = l, .result = on_result, .opened = on_opened};
    if (at_classifier_create(NULL, config, &err, &c) < 0 ||
        at_receiver_create(c, &rc, &sink, &err, &r) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < N; i += piece) {
        size_t n = N - i < piece ? N - i : piece;
        if (turn && i / piece % turn == 0)
            put_choice(c, (unsigned)(i / piece / turn));
        assert_int_equal(at_receiver_push(r, scene + 2 * i, n, i, at_clock_mono_ns(), 0), 0);
        if (live) /* as slow as it takes for every token to be fed */
            for (int wait = 0; wait < 60000; wait++) {
                struct at_classifier_stats s;
                at_classifier_get_stats(c, &s);
                if (s.queue_depth < 128)
                    break;
                usleep(500);
            }
    }
    assert_int_equal(at_receiver_flush(r), 0);
    at_classifier_get_stats(c, ret);
    struct at_band_stats band;
    at_receiver_get_stats(r, &band);
    print_message("threads %u, pieces of %zu: %zu emissions, %d decisions, tokens: band %d, model "
                  "%d, skipped %d\n",
                  config->threads, piece, l->n, (int)ret->decisions, (int)band.tokens,
                  (int)ret->tokens, (int)band.tokens_skipped);
    /* None is lost between band and model but what is counted as skipped. */
    assert_int_equal(band.tokens + band.tokens_skipped, ret->tokens + ret->tokens_skipped);
    assert_int_equal(ret->queue_depth, 0);
    at_receiver_destroy(r);
    at_classifier_destroy(c);
    return l;
}

static void test_every_emission_is_decided_and_ends(void **state)
{
    struct at_classifier_config config = {.model_path = model_path};
    struct at_classifier_stats stats;
    struct log *l = play(&config, 0, 10000, &stats);
    unsigned short_ones = 0;
    assert_true(l->n >= 3);
    assert_int_equal(l->after_end, 0);
    for (size_t i = 0; i < l->n; i++) {
        const struct seen *s = &l->seen[i];
        print_message("%s: %.0f Hz, %d tokens, %u results, %s %.3f\n", s->id,
                      (s->last.emission.f_lo_hz + s->last.emission.f_hi_hz) / 2,
                      (int)s->last.tokens, s->results, s->last.answer.label,
                      (double)s->last.answer.confidence);
        assert_int_equal(s->opened, 1);
        assert_true(s->last.emission.ended);
        assert_true(s->last.has_answer);
        assert_true(s->last.tokens > 0);
        assert_true(s->last.share_seen > 0.95f);
        assert_memory_equal(s->id, "b00t-roof-", 10);
        short_ones += s->last.start_s > 1.9;
        double sum = 0;
        for (int k = 0; k < 4; k++)
            sum += (double)s->last.answer.probs[k];
        assert_true(fabs(sum - 1) < 1e-4);
    }
    assert_int_equal(short_ones, 1); /* the flush decides what the end cut off */
    free(l);
}

static void test_decisions_are_paced(void **state)
{
    struct at_classifier_config config = {.model_path = model_path};
    struct at_classifier_stats stats;
    struct log *l = play(&config, 0, 10000, &stats);
    unsigned looked_at = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct seen *s = &l->seen[i];
        if (s->last.tokens < 200)
            continue;
        looked_at++;
        assert_int_equal(s->tokens_at[0], 16);
        for (unsigned k = 1; k + 1 < s->results && k < 256;
             k++) /* the last stands at the end, wherever that is */
            assert_true(s->tokens_at[k] - s->tokens_at[k - 1] >= 64);
        double span_s = s->last.end_s - s->last.start_s;
        print_message("%s: %u results in %.2f s\n", s->id, s->results, span_s);
        /* First, end, a few where runs end (the tracker moves an edge, a new channel begins), and
         * four a second. */
        assert_true(s->results <= 6 + span_s / 0.25);
    }
    assert_true(looked_at > 0);
    free(l);
}

/* cut: how many emissions may have been fed in part, which then differ (a busy machine). */
static void compare(const struct log *a, const struct log *b, double tolerance, unsigned cut)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct at_result *x = &a->seen[i].last, *y = &b->seen[i].last;
        if (cut > 0 && y->share_seen < 1) {
            cut--;
            continue;
        }
        assert_string_equal(x->id, y->id);
        assert_int_equal(x->tokens, y->tokens);
        assert_int_equal(x->decisions, y->decisions);
        if (tolerance == 0) /* else near ties of the random model may fall either way */
            assert_string_equal(x->answer.label, y->answer.label);
        for (int k = 0; k < 4; k++)
            if (fabs((double)(x->answer.probs[k] - y->answer.probs[k])) > tolerance)
                fail_msg("%s: p[%d] %.7f and %.7f", x->id, k, (double)x->answer.probs[k],
                         (double)y->answer.probs[k]);
    }
}

/* A build may leave out all but the reference. */
static const char *fast_backend(void)
{
    return at_attn_find("flash", NULL) ? "flash" : "mha";
}

static void test_pieces_and_threads_change_nothing(void **state)
{
    struct at_classifier_config config = {.model_path = model_path, .backend = fast_backend()};
    struct at_classifier_stats stats;
    struct log *whole = play(&config, 0, N, &stats);
    struct log *small = play(&config, 0, 997, &stats);
    compare(whole, small, 0, 0);
    config.threads = 2;
    struct log *file = play(&config, 0, 16384, &stats);
    compare(whole, file, 0, 0);
    config.budget_ms =
        1e6; /* nothing is late, however slow the machine: live decides where a file does */
    struct log *live = play(&config, 1, 2048, &stats);
    compare(whole, live, 5e-3, 2); /* live may run in bf16, where that is faster */
    assert_true(stats.latency_p95_ms > 0);
    free(whole);
    free(small);
    free(file);
    free(live);
}

/* Caches are converted down, new ones grown up, in the middle of runs; nothing is lost by it. */
static void test_switching_amid_runs(void **state)
{
    struct at_classifier_config config = {.model_path = model_path, .threads = 2};
    struct at_classifier_stats stats;
    unsigned backends = 0;
    turn = 3;
    struct log *l = play(&config, 1, 4000, &stats);
    turn = 0;
    for (size_t i = 0; i < l->n; i++) {
        assert_true(l->seen[i].last.emission.ended);
        assert_true(l->seen[i].last.has_answer);
        backends += i > 0 && strcmp(l->seen[i].last.backend, l->seen[0].last.backend) != 0;
    }
    assert_true(backends > 0 || !strcmp(fast_backend(), "mha"));
    free(l);
}

static void test_a_small_budget_is_kept(void **state)
{
    struct at_classifier_config config = {
        .model_path = model_path, .backend = "mha", .budget_kv_mb = 0.9};
    struct at_classifier_stats stats;
    struct log *l = play(&config, 0, 10000, &stats);
    print_message("peak %zu bytes of KV\n", stats.kv_peak_bytes);
    assert_true(stats.kv_peak_bytes > 0);
    assert_true(stats.kv_peak_bytes <= 900000);
    for (size_t i = 0; i < l->n; i++)
        assert_true(l->seen[i].last.emission.ended);
    free(l);
}

static const struct at_policy_state *policy_of(const struct at_selector_state *s, double budget_ms)
{
    for (size_t i = 0; i < s->n_policies; i++)
        if (s->policies[i].receivers > 0 && s->policies[i].budget_ms == budget_ms)
            return &s->policies[i];
    return NULL;
}

/* Each band's budget has a choice and a reason of its own, and goes with its last receiver: any
 * number of different ones may follow each other, AT_MAX_POLICIES - 1 stand beside each other. */
/* Waits until no token waits and no session is held. */
static bool rests(struct at_classifier *c)
{
    struct at_classifier_stats s;
    for (int i = 0; i < 60000; i++) {
        at_classifier_get_stats(c, &s);
        pthread_mutex_lock(&c->lock);
        unsigned held = c->n_sessions;
        pthread_mutex_unlock(&c->lock);
        if (s.queue_depth == 0 && held == 0)
            return true;
        usleep(1000);
    }
    return false;
}

/* A receiver whose radio goes elsewhere says what it has heard, gives its sessions to others, and
 * goes on with the same emissions. */
static void test_a_pause_decides_and_gives_sessions_back(void **state)
{
    for (unsigned threads = 0; threads < 3; threads += 2) {
        struct at_classifier_config config = {
            .model_path = model_path, .threads = threads, .backend = fast_backend()};
        struct at_error err = {0};
        struct at_classifier *c = NULL;
        struct at_receiver *r = NULL;
        struct log *l = calloc(1, sizeof(*l));
        struct at_receiver_config rc = {.radio = "roof",
                                        .band = "test",
                                        .boot = "b00t",
                                        .live = 1,
                                        .band_config = {.rate_hz = RATE}};
        struct at_receiver_sink sink = {.ctx = l, .result = on_result, .opened = on_opened};
        if (at_classifier_create(NULL, &config, &err, &c) < 0 ||
            at_receiver_create(c, &rc, &sink, &err, &r) < 0)
            fail_msg("%s", err.text);
        unsigned results = 0;
        for (uint64_t visit = 0; visit < 4; visit++) {
            /* The tone alone, all through the visit. */
            for (size_t i = 200000; i < 400000; i += 10000)
                assert_int_equal(at_receiver_push(r, scene + 2 * i, 10000, visit * 5000000 + i,
                                                  at_clock_mono_ns(), 0),
                                 0);
            assert_int_equal(at_receiver_pause(r), 0);
            assert_true(rests(c));
            assert_true(l->n == 1 && !l->seen[0].last.emission.ended);
            assert_true(l->seen[0].results > results);
            results = l->seen[0].results;
        }
        struct at_band_stats band;
        struct at_classifier_stats stats;
        at_receiver_get_stats(r, &band);
        at_classifier_get_stats(c, &stats);
        assert_int_equal(band.tokens + band.tokens_skipped, stats.tokens + stats.tokens_skipped);
        assert_int_equal(at_receiver_flush(r), 0);
        print_message("threads %u: %u results, %d tokens, share %.2f\n", threads,
                      l->seen[0].results, (int)l->seen[0].last.tokens,
                      (double)l->seen[0].last.share_seen);
        assert_true(l->n == 1 && l->seen[0].last.emission.ended && l->seen[0].last.emission.gap);
        at_receiver_destroy(r);
        at_classifier_destroy(c);
        free(l);
    }
}

static void test_each_bands_budget_has_its_choice(void **state)
{
    enum { MOST = AT_MAX_POLICIES - 1, WIDE_MS = 40000 }; /* that any machine keeps */
    struct at_classifier_config config = {.model_path = model_path, .threads = 1};
    struct at_error err = {0};
    struct at_classifier *c = NULL;
    struct at_receiver *r[MOST], *one_more = NULL;
    struct at_selector_state s;
    struct log *l = calloc(1, sizeof(*l));
    struct at_receiver_sink sink = {.ctx = l, .result = on_result};
    struct at_receiver_config rc = {.radio = "roof", .live = 1, .band_config = {.rate_hz = RATE}};
    assert_int_equal(at_classifier_create(NULL, &config, &err, &c), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MOST; i++) {
            rc.budget_ms =
                i == 0 ? 1e-6 : WIDE_MS + 1000.0 * round + 100 * i; /* the first: nothing fits */
            assert_int_equal(at_receiver_create(c, &rc, &sink, &err, &r[i]), 0);
        }
        rc.budget_ms = 59999;
        assert_int_equal(at_receiver_create(c, &rc, &sink, &err, &one_more), -E2BIG);
        rc.budget_ms = 1e-6; /* an equal one is no further one */
        assert_int_equal(at_receiver_create(c, &rc, &sink, &err, &one_more), 0);
        at_classifier_get_state(c, &s);
        const struct at_policy_state *tight = policy_of(&s, 1e-6),
                                     *wide = policy_of(&s, WIDE_MS + 1000.0 * round + 100);
        assert_non_null(tight);
        assert_non_null(wide);
        print_message("tight: %s; wide: %s\n", tight->reason, wide->reason);
        assert_int_equal(tight->receivers, 2);
        assert_true(tight->over_budget && !wide->over_budget);
        assert_non_null(strstr(tight->reason, "nothing fits"));
        assert_non_null(strstr(tight->reason, "would fit: latency_ms"));
        assert_true(s.candidates[tight->choice].calibrated_ms <=
                    s.candidates[wide->choice].calibrated_ms);
        at_receiver_destroy(one_more);
        at_classifier_get_state(c, &s);
        assert_int_equal(policy_of(&s, 1e-6)->receivers, 1);
        for (int i = 0; i < MOST; i++)
            at_receiver_destroy(r[i]);
        at_classifier_get_state(c, &s);
        assert_null(policy_of(&s, 1e-6));
    }
    at_classifier_destroy(c);
    free(l);
}

/* Shares seen of two steady tones, at 25 and at -62.5 kHz, with room for one session. */
static void play_watched(const double *range, double ret_share[2])
{
    struct at_classifier_config config = {
        .model_path = model_path, .backend = "mha", .budget_kv_mb = 0.9};
    struct at_classifier_stats stats;
    watch = range;
    struct log *l = play(&config, 0, 10000, &stats);
    watch = NULL;
    assert_true(stats.kv_peak_bytes <= 900000);
    ret_share[0] = ret_share[1] = NAN;
    for (size_t i = 0; i < l->n; i++) {
        const struct at_result *r = &l->seen[i].last;
        double center_hz = (r->emission.f_lo_hz + r->emission.f_hi_hz) / 2;
        if (fabs(center_hz - 25000) < 2000)
            ret_share[0] = (double)r->share_seen;
        if (fabs(center_hz + 62500) < 2000)
            ret_share[1] = (double)r->share_seen;
    }
    print_message("shares seen: %.3f and %.3f\n", ret_share[0], ret_share[1]);
    free(l);
}

static void test_what_is_watched_keeps_its_session(void **state)
{
    static const double first[2] = {24000, 26000}, second[2] = {-63000, -62000};
    double a[2], b[2], none[2];
    float *before = scene;
    scene = calloc(2 * N, sizeof(*scene));
    sig_add_noise(scene, N, -70, 1);
    sig_add_tone(scene, 50000, 450000, 0.1, -30);
    sig_add_tone(scene, 100000, 450000, -0.25, -30);
    play_watched(NULL, none);
    play_watched(first, a);
    play_watched(second, b);
    free(scene);
    scene = before;
    assert_true(none[0] < 0.9); /* unwatched, it loses its session to the newer one */
    assert_true(a[0] > 0.99 && a[1] < none[1]);
    assert_true(b[1] >= none[1]);
}

static void test_wrong_names_say_what_there_is(void **state)
{
    struct at_error err = {0};
    struct at_classifier *c = NULL;
    struct at_classifier_config config = {.model_path = model_path, .backend = "flush"};
    assert_int_equal(at_classifier_create(NULL, &config, &err, &c), -EINVAL);
    print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, "mha"));
    setenv("ATTUNE_BACKEND", "nope", 1);
    config.backend = "mha";
    assert_int_equal(at_classifier_create(NULL, &config, &err, &c), -EINVAL);
    print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, "ATTUNE_BACKEND"));
    unsetenv("ATTUNE_BACKEND");
    config.model_path = "/nowhere.safetensors";
    assert_true(at_classifier_create(NULL, &config, &err, &c) < 0);
    assert_non_null(strstr(err.text, "/nowhere.safetensors"));
    assert_null(c);
}

/* The n-th allocation fails: an error or less service, never a crash; all memory comes back. */
static int play_with_failure(long n, int *ret_passed)
{
    struct at_mem mem = {.fail_at = n};
    struct at_error err = {0};
    struct at_classifier *c = NULL;
    struct at_receiver *r = NULL;
    struct log *l = calloc(1, sizeof(*l));
    struct at_classifier_config config = {.model_path = model_path};
    struct at_receiver_config rc = {.radio = "roof", .boot = "b", .band_config = {.rate_hz = RATE}};
    struct at_receiver_sink sink = {.ctx = l, .result = on_result};
    int ret = at_classifier_create(&mem, &config, &err, &c);
    if (ret == 0)
        ret = at_receiver_create(c, &rc, &sink, &err, &r);
    if (ret == 0)
        ret = at_receiver_push(r, scene + 2 * 80000, 50000, 0, 0, 0);
    if (ret == 0)
        ret = at_receiver_flush(r);
    *ret_passed = mem.fail_at > 0; /* never came to it */
    at_receiver_destroy(r);
    at_classifier_destroy(c);
    for (int tag = 0; tag < AT_MEM_TAGS; tag++)
        if (mem.bytes[tag] != 0)
            fail_msg("allocation %ld: %zu bytes of tag %d not returned", n, mem.bytes[tag], tag);
    for (size_t i = 0; ret == 0 && i < l->n; i++)
        assert_true(l->seen[i].last.emission.ended);
    free(l);
    return ret;
}

static void test_any_allocation_may_fail(void **state)
{
    int passed = 0, errors = 0;
    long n = 1;
    for (; !passed && n < 2000; n += n < 150 ? 1 : 7) {
        int ret = play_with_failure(n, &passed);
        if (ret != 0 && ret != -ENOMEM)
            fail_msg("allocation %ld: %d", n, ret);
        errors += ret != 0;
    }
    print_message("some %ld allocations, %d errors\n", n, errors);
    assert_true(passed);
    assert_true(errors > 10);
}

/* Of a live radio the n-th allocation fails once the first samples are in: what the emission that
 * is alone on the air loses is that moment, and it goes on being decided. */
static void test_a_live_emission_outlives_a_failed_allocation(void **state)
{
    const size_t piece = 2000;
    int met = 0;
    for (long n = 1; n <= 40; n++) {
        struct at_mem mem = {0};
        struct at_error err = {0};
        struct at_classifier *c = NULL;
        struct at_receiver *r = NULL;
        struct log *l = calloc(1, sizeof(*l));
        struct at_classifier_config config = {
            .model_path = model_path, .backend = "flash", .threads = 1, .budget_ms = 1e6};
        struct at_receiver_config rc = {
            .radio = "roof", .boot = "b", .live = 1, .band_config = {.rate_hz = RATE}};
        struct at_receiver_sink sink = {.ctx = l, .result = on_result};
        struct at_classifier_stats s = {0};
        if (at_classifier_create(&mem, &config, &err, &c) < 0 ||
            at_receiver_create(c, &rc, &sink, &err, &r) < 0)
            fail_msg("%s", err.text);
        mem.fail_at = n;
        unsigned told = 0;
        for (size_t i = 50000; i < 250000; i += piece) { /* as slow as it takes */
            int ret = at_receiver_push(r, scene + 2 * i, piece, i - 50000, at_clock_mono_ns(), 0);
            assert_true(ret == 0 || ret == -ENOMEM);
            told += ret != 0;
            for (int wait = 0; wait < 20000; wait++) {
                at_classifier_get_stats(c, &s);
                if (s.queue_depth < 4 * 64)
                    break;
                usleep(500);
            }
        }
        assert_true(told <= 1);
        if (mem.fail_at <= 0 && s.decisions < 3)
            fail_msg("allocation %ld failed, then %d decisions, %zu tokens wait", n,
                     (int)s.decisions, (size_t)s.queue_depth);
        met += mem.fail_at <= 0;
        at_receiver_flush(r);
        at_receiver_destroy(r);
        at_classifier_destroy(c);
        free(l);
    }
    print_message("%d allocations failed under way\n", met);
    assert_true(met > 5);
}

/* Measured, at the first starts on a busy host, then read back. */
static void test_calibration_is_kept(void **state)
{
    struct at_error err = {0};
    struct at_selector_state first, again;
    struct at_classifier_config config = {.model_path = model_path, .threads = 1, .cache_dir = dir};
    struct at_classifier *c = NULL;
    int64_t start_ns = at_clock_mono_ns();
    assert_int_equal(at_classifier_create(NULL, &config, &err, &c), 0);
    double took_s = (double)(at_clock_mono_ns() - start_ns) / 1e9;
    at_classifier_get_state(c, &first);
    at_classifier_destroy(c);
    for (int start = 2; start <= 4; start++) { /* what had no time is measured by the third */
        struct at_selector_state *ret = start == 4 ? &again : &first;
        assert_int_equal(at_classifier_create(NULL, &config, &err, &c), 0);
        at_classifier_get_state(c, ret);
        at_classifier_destroy(c);
    }
    print_message("%zu candidates in %.2f s; %s: %s\n", first.n_candidates, took_s,
                  first.candidates[first.choice.index].backend, first.choice.reason);
    assert_true(first.n_candidates >= 1);
    assert_true(took_s < 60); /* 1.5 s where the machine has time */
    for (size_t i = 0; i < first.n_candidates; i++) {
        const struct at_candidate *a = &first.candidates[i], *b = &again.candidates[i];
        if (a->probe_error != 0)
            continue;
        assert_true(a->calibrated_ms > 0);
        assert_true(fabs(a->calibrated_ms - b->calibrated_ms) < 1e-4 * a->calibrated_ms + 1e-9);
    }
}

/* Threads of this process at that niceness. */
static unsigned threads_at(int niceness)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/task");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' && getpriority(PRIO_PROCESS, (id_t)atoi(e->d_name)) == niceness;
    closedir(d);
    return n;
}

/* However nice the process is, its workers are ten steps nicer than the threads that take samples.
 */
static void test_workers_stand_back(void **state)
{
    struct at_classifier_config config = {
        .model_path = model_path, .threads = 2, .backend = "flash"};
    struct at_classifier *c = NULL;
    int before = getpriority(PRIO_PROCESS, 0);
    assert_int_equal(setpriority(PRIO_PROCESS, 0, before + 3), 0);
    assert_int_equal(at_classifier_create(NULL, &config, NULL, &c), 0);
    for (int i = 0; i < 6000 && threads_at(before + 13 < 19 ? before + 13 : 19) < 2; i++)
        usleep(10000);
    unsigned n = threads_at(before + 13 < 19 ? before + 13 : 19);
    print_message("niceness %d: %u of 2 workers ten steps above\n", before + 3, n);
    at_classifier_destroy(c);
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_emission_is_decided_and_ends),
        cmocka_unit_test(test_decisions_are_paced),
        cmocka_unit_test(test_pieces_and_threads_change_nothing),
        cmocka_unit_test(test_switching_amid_runs),
        cmocka_unit_test(test_a_small_budget_is_kept),
        cmocka_unit_test(test_a_pause_decides_and_gives_sessions_back),
        cmocka_unit_test(test_each_bands_budget_has_its_choice),
        cmocka_unit_test(test_what_is_watched_keeps_its_session),
        cmocka_unit_test(test_wrong_names_say_what_there_is),
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_a_live_emission_outlives_a_failed_allocation),
        cmocka_unit_test(test_calibration_is_kept),
        cmocka_unit_test(test_workers_stand_back), /* the last: niceness only grows */
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
