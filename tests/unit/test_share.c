/* Several classifiers in one budget of memory. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/engine/internal.h"
#include "tests/support/random_model.h"
#include "tests/support/signals.h"

#define RATE 250000.0
#define N    500000

static char dir[] = "/tmp/attune-share-XXXXXX", model_path[64];

static int set_up(void **state)
{
    struct at_error err = {0};
    struct at_model_config shape = random_model_shape(3);
    unsetenv("ATTUNE_BACKEND");
    if (!mkdtemp(dir))
        return -1;
    snprintf(model_path, sizeof(model_path), "%s/model.safetensors", dir);
    return random_model_write(model_path, &shape, 7, "gfsk,ook,carrier,nfm", &err);
}

static int tear_down(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

/* Two classifiers that count their memory together. */
struct pair {
    struct at_mem mem;
    struct at_share *share;
    struct at_classifier *a, *b;
    struct at_receiver on_a, on_b; /* what sessions.c wants to know of one */
};

static struct pair *begin(unsigned threads)
{
    struct pair *p = calloc(1, sizeof(*p));
    struct at_error err = {0};
    assert_int_equal(at_share_create(&err, &p->share), 0);
    struct at_classifier_config config = {.model_path = model_path,
                                          .backend = "mha",
                                          .mode = "fp32",
                                          .share = p->share,
                                          .threads = threads};
    if (at_classifier_create(&p->mem, &config, &err, &p->a) < 0 ||
        at_classifier_create(&p->mem, &config, &err, &p->b) < 0)
        fail_msg("%s", err.text);
    p->on_a = (struct at_receiver){.c = p->a, .inline_ = true};
    p->on_b = (struct at_receiver){.c = p->b, .inline_ = true};
    return p;
}

static void end(struct pair *p)
{
    at_classifier_destroy(p->a);
    at_classifier_destroy(p->b);
    at_share_destroy(p->share);
    for (int tag = 0; tag < AT_MEM_TAGS; tag++)
        assert_int_equal(p->mem.bytes[tag], 0);
    free(p);
}

static int acquire(struct at_classifier *c, struct stream *s)
{
    pthread_mutex_lock(&c->lock);
    int ret = at_sessions_acquire(c, s);
    at_share_settle(c);
    pthread_mutex_unlock(&c->lock);
    return ret;
}

static void release(struct at_classifier *c, struct stream *s)
{
    pthread_mutex_lock(&c->lock);
    at_sessions_release(c, s);
    at_share_settle(c);
    pthread_mutex_unlock(&c->lock);
}

static uint64_t generation(struct at_classifier *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t n = c->generation;
    pthread_mutex_unlock(&c->lock);
    return n;
}

/* As a worker whose streams all wait for a session. */
static void *wait_for_memory(void *ctx)
{
    struct at_classifier *c = ctx;
    pthread_mutex_lock(&c->lock);
    uint64_t starved = c->generation;
    c->stats.sessions = 1; /* here it waits */
    while (c->generation == starved)
        pthread_cond_wait(&c->work, &c->lock);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static bool waits(struct at_classifier *c)
{
    pthread_mutex_lock(&c->lock);
    bool there = c->stats.sessions == 1;
    pthread_mutex_unlock(&c->lock);
    return there;
}

static void what_one_frees_the_other_gets(void **state)
{
    struct pair *p = begin(0);
    struct stream of_a[2] = {{.r = &p->on_a}, {.r = &p->on_a}};
    struct stream of_b[3] = {{.r = &p->on_b}, {.r = &p->on_b}, {.r = &p->on_b}};
    double one = p->a->state.candidates[p->a->file_choice].kv_bytes;
    pthread_t waiter;
    at_classifier_set_budget(p->a, 0, 3.5e-6 * one);
    at_classifier_set_budget(p->b, 0, 3.5e-6 * one);
    for (int i = 0; i < 3; i++)
        assert_int_equal(acquire(p->b, &of_b[i]), 0);
    assert_int_equal(acquire(p->a, &of_a[0]), 0); /* each has one, whatever the budget */
    assert_int_equal(acquire(p->a, &of_a[1]), -EAGAIN);
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_memory, p->a), 0);
    while (!waits(p->a))
        usleep(1000);
    release(p->b, &of_b[0]);
    release(p->b, &of_b[1]);
    pthread_join(waiter, NULL);
    assert_int_equal(p->b->n_spare, 2); /* nobody lacked one yet */
    uint64_t before = generation(p->a);
    assert_int_equal(acquire(p->a, &of_a[1]), -EAGAIN);
    assert_int_equal(p->b->n_spare, 0);
    assert_true(generation(p->a) > before); /* so it asks again at once */
    assert_int_equal(acquire(p->a, &of_a[1]), 0);
    for (int i = 0; i < 2; i++)
        release(p->a, &of_a[i]);
    release(p->b, &of_b[2]);
    end(p);
}

static void one_that_goes_or_a_larger_budget_wakes(void **state)
{
    struct pair *p = begin(0);
    uint64_t before = generation(p->a);
    at_classifier_set_budget(p->a, 0, 1000);
    assert_true(generation(p->a) > before);
    before = generation(p->a);
    at_classifier_destroy(p->b);
    p->b = NULL;
    assert_true(generation(p->a) > before);
    end(p);
}

static size_t sessions(struct at_classifier *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->n_sessions;
    pthread_mutex_unlock(&c->lock);
    return n;
}

static void on_result(void *ctx, const struct at_result *r)
{
    ++*(unsigned *)ctx;
}

/* Whoever's thread gives a session back, the other one hears of it. */
static void each_way_to_give_back_is_told(void **state)
{
    static float iq[2 * N];
    sig_add_noise(iq, N, -70, 1);
    sig_add_tone(iq, 50000, 150000, 0.33, -30);
    sig_add_tone(iq, 60000, N, -0.2, -25);
    for (int live = 0; live < 2; live++) {
        struct pair *p = begin((unsigned)live);
        struct at_receiver *r = NULL;
        struct at_error err = {0};
        unsigned results = 0;
        struct at_receiver_config rc = {
            .radio = "roof", .boot = "b", .live = live, .band_config = {.rate_hz = RATE}};
        struct at_receiver_sink sink = {.ctx = &results, .result = on_result};
        assert_int_equal(at_receiver_create(p->b, &rc, &sink, &err, &r), 0);
        uint64_t before = generation(p->a);
        for (size_t i = 0; i < N; i += 5000)
            assert_int_equal(at_receiver_push(r, iq + 2 * i, 5000, i, at_clock_mono_ns(), 0), 0);
        for (int wait = 0; wait < 60000 && generation(p->a) == before; wait++)
            usleep(1000); /* for the emission that has ended */
        assert_true(generation(p->a) > before);
        for (int wait = 0; wait < 60000 && sessions(p->b) == 0; wait++)
            usleep(1000); /* for the other one's, where a worker has not come to it yet */
        uint64_t ended = generation(p->a);
        assert_int_equal(at_receiver_pause(r), 0);
        at_receiver_destroy(r); /* the other one is alive, or rests */
        for (int wait = 0; wait < 60000 && generation(p->a) == ended; wait++)
            usleep(1000); /* a worker that let it rest may still be about to tell */
        assert_true(generation(p->a) > ended);
        assert_true(results > 0);
        end(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_frees_the_other_gets),
        cmocka_unit_test(one_that_goes_or_a_larger_budget_wakes),
        cmocka_unit_test(each_way_to_give_back_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
