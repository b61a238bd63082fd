/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/source_files.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"

static const struct at_file_options raw_cu8 = {.format = "cu8", .rate_hz = 250e3, .center_hz = NAN};

static void raw_comes_back_exact(void **state)
{
    uint8_t bytes[2000];
    float iq[2000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    struct at_source *s = open_good(put("g_433.92M_250k.cu8", bytes, sizeof bytes), NULL);
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_true(info.rate_hz == 250e3 && info.center_hz == 433.92e6);
    assert_int_equal(info.n_samples, 1000);
    assert_string_equal(info.format, "cu8");
    assert_string_equal(info.name, "g_433.92M_250k.cu8");
    assert_int_equal(read_all(s, iq, 1000, 77), 1000);
    for (size_t i = 0; i < 2000; i++)
        if (iq[i] != ((float)bytes[i] - 127.5f) / 128)
            fail_msg("%zu: %g from %d", i, (double)iq[i], bytes[i]);
    assert_int_equal(s->ops->get_state(s), AT_SOURCE_ENDED);
    s->ops->destroy(s);
}

static void flags_win_over_the_name(void **state)
{
    int16_t x[4] = {16384, -16384, 0, 32767};
    float iq[4];
    struct at_file_options o = {.format = "cs16", .rate_hz = 1e6, .center_hz = 100e6};
    struct at_source *s = open_good(put("g_433.92M_250k.cu8", x, sizeof x), &o);
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_true(info.rate_hz == 1e6 && info.center_hz == 100e6);
    assert_int_equal(read_all(s, iq, 4, 4), 2);
    assert_true(iq[0] == 0.5f && iq[1] == -0.5f);
    s->ops->destroy(s);
}

static void bad_files_say_what_to_do(void **state)
{
    char name[80];
    open_bad("/nonexistent/x_250k.cu8", NULL, -ENOENT, "check the path");
    open_bad(put("empty_250k.cu8", "", 0), NULL, -EINVAL, "empty");
    open_bad(put("half_250k.cs16", "abc", 3), NULL, -EINVAL, "empty");
    open_bad(put("norate.cu8", "abcd", 4), NULL, -EINVAL, "say --rate 250k");
    open_bad(put("what_250k.bin", "abcd", 4), NULL, -EINVAL, "say --format cu8");
    open_bad(put("archive.sigmf", "abcd", 4), NULL, -EINVAL, "tar -xf");
    snprintf(name, sizeof name, "%s", folder);
    open_bad(name, &raw_cu8, -EISDIR, "name a recording");
    struct at_file_options o = {.format = "cu9", .rate_hz = 1e6};
    open_bad(put("x_250k.cu8", "abcd", 4), &o, -EINVAL, "say cu8");
    o = (struct at_file_options){.rate_hz = NAN};
    open_bad(put("x_250k.cu8", "abcd", 4), &o, -EINVAL, "finite");
    o = (struct at_file_options){.rate_hz = 1e12};
    open_bad(put("x_250k.cu8", "abcd", 4), &o, -EINVAL, "absurd");
}

static void an_odd_tail_is_left_out_and_said(void **state)
{
    float iq[8];
    struct at_source *s = open_good(put("odd_250k.cu8", "abcde", 5), NULL);
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_non_null(strstr(info.message, "1 bytes at the end"));
    assert_int_equal(read_all(s, iq, 4, 4), 2);
    s->ops->destroy(s);
}

static void nan_is_masked_and_in_the_ledger(void **state)
{
    float x[20] = {[4] = NAN, [11] = INFINITY}, iq[20];
    struct at_source *s = open_good(put("nan_1M.cf32", x, sizeof x), NULL);
    struct at_ledger l;
    assert_int_equal(read_all(s, iq, 10, 10), 10);
    s->ops->get_ledger(s, &l);
    assert_int_equal(l.lost[AT_LOST_CORRUPT], 2);
    assert_int_equal(l.delivered, 8);
    for (size_t i = 0; i < 20; i++)
        assert_true(iq[i] == 0);
    s->ops->destroy(s);
}

/* Reads in its own thread while others look: what a source's user does. */
struct reader {
    struct at_source *source;
    _Atomic bool stop;
};

static void *read_on(void *ctx)
{
    struct reader *r = ctx;
    float iq[200];
    struct at_read got = {0};
    while (!atomic_load(&r->stop) && !r->source->ops->read(r->source, iq, 100, 100, &got, NULL))
        ;
    return NULL;
}

static void each_look_at_the_ledger_balances(void **state)
{
    float x[200];
    for (size_t i = 0; i < 200; i++)
        x[i] = i % 10 ? 0 : NAN;
    struct at_file_options o = {.center_hz = NAN, .loop = true};
    struct reader r = {.source = open_good(put("loop_1M.cf32", x, sizeof x), &o)};
    struct at_ledger l, before = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
    for (size_t looks = 0; before.delivered < 100000 || looks < 100000; looks++, before = l) {
        r.source->ops->get_ledger(r.source, &l);
        if (l.requested != l.delivered + l.lost[AT_LOST_CORRUPT] ||
            l.delivered < before.delivered || l.requested < before.requested)
            fail_msg("requested %llu, delivered %llu, lost %llu", (unsigned long long)l.requested,
                     (unsigned long long)l.delivered, (unsigned long long)l.lost[AT_LOST_CORRUPT]);
    }
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    r.source->ops->get_ledger(r.source, &l);
    assert_int_equal(l.lost[AT_LOST_CORRUPT] * 4, l.delivered);
    r.source->ops->destroy(r.source);
}

static void a_file_that_shrinks_ends_and_is_counted(void **state)
{
    static char bytes[200000];
    static float iq[200000];
    const char *path = put("shrink_250k.cu8", bytes, sizeof bytes);
    struct at_source *s = open_good(path, NULL);
    struct at_read got;
    assert_int_equal(s->ops->read(s, iq, 1000, 100, &got, NULL), 0);
    assert_int_equal(got.n, 1000);
    assert_int_equal(truncate(path, 50000), 0);
    size_t n = 1000;
    while (s->ops->read(s, iq, 1000, 100, &got, NULL) == 0)
        n += got.n;
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    assert_int_equal(n, 25000);
    assert_int_equal(l.requested, 100000);
    assert_int_equal(l.delivered + l.lost[AT_LOST_CORRUPT], 100000);
    assert_int_equal(l.lost[AT_LOST_CORRUPT], 75000);
    s->ops->destroy(s);
}

static void a_loop_goes_on_without_a_seam(void **state)
{
    uint8_t bytes[14] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    struct at_file_options o = {.loop = true, .center_hz = NAN};
    struct at_source *s = open_good(put("loop_250k.cu8", bytes, sizeof bytes), &o);
    uint64_t end = 0;
    for (int i = 0; i < 50; i++) {
        float iq[10];
        struct at_read got;
        assert_int_equal(s->ops->read(s, iq, 5, 100, &got, NULL), 0);
        assert_int_equal(got.index, end);
        for (size_t k = 0; k < got.n; k++)
            assert_true(iq[2 * k] == ((float)(2 * ((end + k) % 7)) - 127.5f) / 128);
        end += got.n;
    }
    assert_true(end > 150);
    s->ops->stop(s);
    struct at_read got;
    float iq[2];
    assert_int_equal(s->ops->read(s, iq, 1, 100, &got, NULL), -ENODATA);
    s->ops->destroy(s);
}

/* 0.3 s of samples take 0.3 s at least, and each read says when it was due: that is exact, however
 * late the machine lets it be read. */
static void pace_is_real_time(void **state)
{
    static char bytes[2 * 30000];
    struct at_file_options o = {.paced = true, .center_hz = NAN};
    struct at_source *s = open_good(put("pace_100k.cu8", bytes, sizeof bytes), &o);
    float iq[2 * 4096];
    struct at_read got;
    int64_t start = at_clock_mono_ns(), latest = 0, first = 0, due = 0;
    size_t n = 0;
    while (s->ops->read(s, iq, 4096, 500, &got, NULL) == 0) {
        int64_t late = at_clock_mono_ns() - got.delivered_ns;
        latest = late > latest ? late : latest;
        due = got.delivered_ns;
        first = first ? first : due - (int64_t)got.n * 10000;
        assert_true(late >= 0 && got.n <= 1001);
        n += got.n;
    }
    double took = (double)(at_clock_mono_ns() - start) * 1e-9;
    print_message("30000 samples at 100 kS/s took %.4f s, latest read %.2f ms after due\n", took,
                  (double)latest * 1e-6);
    assert_int_equal(n, 30000);
    assert_true(took > 0.299);
    assert_in_range(due - first, 300000000, 300310000); /* blocks of 1001 samples */
    s->ops->destroy(s);
}

static void a_paced_read_times_out(void **state)
{
    static char bytes[2 * 30000];
    struct at_file_options o = {.paced = true, .center_hz = NAN, .rate_hz = 1, .format = "cu8"};
    struct at_source *s = open_good(put("slow.cu8", bytes, sizeof bytes), &o);
    float iq[20];
    struct at_read got;
    assert_int_equal(s->ops->read(s, iq, 10, 5, &got, NULL), 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(s->ops->read(s, iq, 10, 60000, &got, NULL), 0);
    assert_int_equal(got.n, 1);
    s->ops->destroy(s);
}

/* A pipe that stalls in the middle of a sample: nothing within the timeout, then the whole sample,
 * then the end. */
static void a_pipe_may_stall(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    FILE *hold = fopen(path, "r+");
    int fd = fileno(hold);
    struct at_file_options o = {.format = "cs16", .rate_hz = 1e6, .center_hz = NAN};
    struct at_source *s = open_good(path, &o);
    float iq[8];
    struct at_read got;
    assert_int_equal(write(fd, "\0\100\0", 3), 3);
    assert_int_equal(s->ops->read(s, iq, 4, 20, &got, NULL), 0);
    assert_int_equal(got.n, 0);
    assert_int_equal(write(fd, "\300", 1), 1);
    assert_int_equal(s->ops->read(s, iq, 4, 60000, &got, NULL), 0);
    assert_int_equal(got.n, 1);
    assert_true(iq[0] == 0.5f && iq[1] == -0.5f);
    fclose(hold);
    assert_int_equal(s->ops->read(s, iq, 4, 1000, &got, NULL), -ENODATA);
    s->ops->destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_comes_back_exact),
        cmocka_unit_test(flags_win_over_the_name),
        cmocka_unit_test(bad_files_say_what_to_do),
        cmocka_unit_test(an_odd_tail_is_left_out_and_said),
        cmocka_unit_test(nan_is_masked_and_in_the_ledger),
        cmocka_unit_test(each_look_at_the_ledger_balances),
        cmocka_unit_test(a_file_that_shrinks_ends_and_is_counted),
        cmocka_unit_test(a_loop_goes_on_without_a_seam),
        cmocka_unit_test(pace_is_real_time),
        cmocka_unit_test(a_paced_read_times_out),
        cmocka_unit_test(a_pipe_may_stall),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
