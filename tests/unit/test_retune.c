/* A radio that changes its band: what reaches the driver, and that no sample of the old frequency
 * is taken for the new one's. SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/source/source.h"
#include "tests/unit/sim_radio.h"

static void print_ledger(const char *device, const struct at_ledger *l)
{
    print_message("%s: requested %llu, delivered %llu, lost:", device,
                  (unsigned long long)l->requested, (unsigned long long)l->delivered);
    for (int i = 0; i < AT_LOST_REASONS; i++)
        print_message(" %s %llu in %llu", at_lost_reason_name((enum at_lost_reason)i),
                      (unsigned long long)l->lost[i], (unsigned long long)l->events[i]);
    print_message("; %llu re-opened\n", (unsigned long long)l->reconnects);
}

/* Asks, and waits for what becomes of it. */
static int tune(struct at_source *s, const struct at_tuning *t, uint64_t *ret_number,
                struct at_error *err)
{
    int rc = s->ops->tune(s, t, ret_number, err);
    int64_t until = at_clock_mono_ns() + WAIT_S * AT_NS_PER_S;
    while (rc == 0 && (rc = s->ops->get_tuned(s, *ret_number, err)) == -EAGAIN &&
           at_clock_mono_ns() < until) {
        usleep(1000);
        rc = 0;
    }
    return rc;
}

static int tune_to(struct at_source *s, double center_hz, uint64_t *ret_number,
                   struct at_error *err)
{
    struct at_tuning t = {.center_hz = center_hz, .ppm = NAN, .gain_db = NAN};
    return tune(s, &t, ret_number, err);
}

static void retuning_changes_the_centre_of_later_reads(void **state)
{
    static float iq[2 * CHUNK];
    struct at_soapy_options o = plain();
    struct at_source *s = open_radio("driver=attunesim,scene=count", &o);
    struct at_read got = {0};
    struct at_error err = {{0}};
    while (got.n == 0)
        assert_int_equal(s->ops->read(s, iq, CHUNK, 500, &got, &err), 0);
    assert_true(got.center_hz == 433e6);
    uint64_t number;
    assert_int_equal(tune_to(s, 868e6, &number, &err), 0);
    uint64_t before = got.index;
    for (int i = 0; i < 1000 && got.center_hz != 868e6; i++)
        assert_int_equal(s->ops->read(s, iq, CHUNK, 500, &got, &err), 0);
    print_message("868 MHz from sample %llu on, asked for after %llu\n",
                  (unsigned long long)got.index, (unsigned long long)before);
    assert_true(got.center_hz == 868e6);
    assert_true(got.tuning == number);
    assert_int_equal(tune_to(s, 20e9, &number, &err), -EINVAL);
    assert_non_null(strstr(err.text, "refuses a frequency"));
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_true(info.center_hz == 868e6);
    int64_t late = at_clock_utc_ns() - got.utc_ns;
    assert_true(late >= 0 && late < WAIT_S * AT_NS_PER_S);
    close_radio(s);
}

/* Samples of the read that are not those of a tone at 1/8 of the rate, above the centre or below.
 */
static uint64_t count_others(const float *iq, size_t n, double side)
{
    uint64_t others = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const float *a = iq + 2 * i, *b = iq + 2 * i + 2;
        double re = a[0] * b[0] + a[1] * b[1], im = a[0] * b[1] - a[1] * b[0];
        others += !(fabs(atan2(im, re) - side * M_PI / 4) < 0.01) || !(re > 0.1);
    }
    return others;
}

/* The simulated receiver goes on hearing the old frequency for a while, and holds samples back:
 * none of these may be taken for the new one's, and all of them are in the ledger. */
static void samples_before_the_tuner_has_settled_are_lost_and_counted(void **state)
{
    enum { TURNS = 20 };
    static float iq[2 * CHUNK];
    struct at_soapy_options o = plain();
    o.center_hz = 100e6;
    o.settle_s = 0.05;
    struct at_source *s = open_radio("driver=attunesim,scene=tone@100e6,settle=5", &o);
    struct at_read got = {0};
    struct at_error err = {{0}};
    uint64_t number = 0, read = 0, others = 0, expected = 0;
    for (int turn = 0; turn <= TURNS; turn++) {
        double side = turn % 2 ? -1 : 1;
        uint64_t begin = 0;
        if (turn > 0)
            assert_int_equal(tune_to(s, 100e6 + (turn % 2 ? RATE / 4 : 0), &number, &err), 0);
        for (bool there = false; !there || got.index < begin + 100000;) {
            assert_int_equal(s->ops->read(s, iq, CHUNK, 500, &got, &err), 0);
            assert_true(got.n == 0 || got.tuning == number || got.tuning + 1 == number);
            if (got.n > 0 && got.index != expected && got.tuning == number)
                print_message("turn %d: %llu samples lost\n", turn,
                              (unsigned long long)(got.index - expected));
            expected = got.n > 0 ? got.index + got.n : expected;
            begin = !there && got.n > 0 && got.tuning == number ? got.index : begin;
            there = there || (got.n > 0 && got.tuning == number);
            others += count_others(iq, got.n, got.tuning == number ? side : -side);
            read += got.n;
        }
    }
    s->ops->stop(s);
    while (s->ops->read(s, iq, CHUNK, 500, &got, &err) == 0)
        read += got.n;
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    print_ledger("20 turns", &l);
    assert_int_equal(others, 0);
    assert_int_equal(counts->retunes, TURNS);
    assert_int_equal(l.events[AT_LOST_RETUNE], TURNS);
    assert_true(l.lost[AT_LOST_RETUNE] >= TURNS * 50000);
    assert_int_equal(l.delivered, read);
    uint64_t lost = 0;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        lost += l.lost[i];
    assert_int_equal(l.requested, l.delivered + lost);
    assert_int_equal(l.requested, expected);
    close_radio(s);
}

/* What a band says reaches the driver, and what it does not change is left alone. */
static void a_tuning_sets_what_differs(void **state)
{
    static float iq[2 * CHUNK];
    char device[256], text[2048] = "", log[] = "/tmp/attunesim-log-XXXXXX";
    close(mkstemp(log));
    struct at_soapy_options o = plain();
    o.antenna = "RX";
    snprintf(device, sizeof device, "driver=attunesim,scene=tone,gains=1,correction=1,log=%s", log);
    struct at_source *s = open_radio(device, &o);
    struct at_read got = {0};
    struct at_error err = {{0}};
    struct at_tuning t = {
        .center_hz = 500e6, .ppm = 2, .gain_db = 12, .antenna = "RX2", .settings = "direct_samp=1"};
    uint64_t number;
    while (got.n == 0)
        assert_int_equal(s->ops->read(s, iq, CHUNK, 500, &got, &err), 0);
    assert_int_equal(truncate(log, 0), 0);
    assert_int_equal(tune(s, &t, &number, &err), 0);
    assert_int_equal(counts->gain_mdb, 12000);
    assert_int_equal(tune(s, &t, &number, &err), 0); /* nothing differs */
    t.center_hz = 501e6;
    t.gain_db = NAN;
    strcpy(t.gains, "LNA=7,VGA=3");
    assert_int_equal(tune(s, &t, &number, &err), 0);
    strcpy(t.antenna, "none");
    t.center_hz = 502e6;
    assert_int_equal(tune(s, &t, &number, &err), -EINVAL); /* and is put back */
    FILE *f = fopen(log, "r");
    assert_true(f && fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    unlink(log);
    print_message("%s", text);
    static const char *const want[] = {"ppm 2.0",
                                       "frequency 500000000",
                                       "antenna RX2",
                                       "gain LNA",
                                       "gain VGA",
                                       "setting direct_samp",
                                       "frequency 501000000",
                                       "gain LNA 7",
                                       "gain VGA 3",
                                       "frequency 502000000",
                                       "ppm 2.0",
                                       "frequency 501000000"};
    const char *at = text;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const char *found = strstr(at, want[i]);
        if (!found)
            fail_msg("%s is not there, or not in order", want[i]);
        at = found + 1;
    }
    const char *once = strstr(text, "frequency 500000000");
    assert_null(strstr(once + 1, "frequency 500000000"));
    close_radio(s);
}

/* The number that each sample of scene=count holds. */
static uint64_t number_of(const float *iq)
{
    return (uint64_t)lrintf(iq[0] * 32768) | (uint64_t)lrintf(iq[1] * 32768) << 15;
}

/* Each band of a radio at a rate of its own: the stream stands still at each change. What the
 * driver gave and what was lost add up to the last sample, and no sample is told to be of another
 * rate. */
static void a_change_of_rate_is_accounted_for_to_the_sample(void **state)
{
    enum { TURNS = 9, READ = 30000 };
    static float iq[2 * CHUNK];
    struct at_soapy_options o = plain();
    o.most_rate_hz = 2 * RATE;
    o.settle_s = 0.005;
    struct at_source *s =
        open_radio("driver=attunesim,scene=count,script=timeout@1000000000:0", &o);
    struct at_tuning t = {.center_hz = NAN, .ppm = NAN, .gain_db = NAN};
    struct at_read got = {0};
    struct at_error err = {{0}};
    uint64_t number = 0, delivered = 0, dropped = 0, next = 0, mine = 0, index = 0;
    double rate = RATE, most_ms = 0;
    for (int turn = 0; counts->steps == 0 || got.n > 0;) {
        if (turn == TURNS && mine >= READ)
            counts->since_step =
                2000000000; /* enough: the script is at its end, which is silence */
        if (turn < TURNS && mine >= READ) {
            rate = turn % 2 ? RATE : 2 * RATE;
            t.rate_hz = rate;
            assert_int_equal(s->ops->tune(s, &t, &number, &err), 0);
            mine = 0;
            turn++;
        }
        int rc = s->ops->read(s, iq, CHUNK, 500, &got, &err);
        assert_true(rc == 0 || (rc == -EAGAIN && counts->steps > 0));
        if (rc < 0 || got.n == 0)
            continue;
        uint64_t first = number_of(iq);
        assert_true(got.tuning == number || got.tuning + 1 == number);
        assert_true(got.rate_hz == (got.tuning % 2 ? 2 * RATE : RATE));
        if (got.tuning == number && mine == 0 && number > 0) { /* it began to count anew */
            dropped += first;
            if (got.index - index > first) /* what passed between, but for the tuner's settling */
                most_ms = fmax(most_ms, ((double)(got.index - index)) / rate * 1e3 - 5);
        } else {
            /* A reader that the machine kept from reading finds a jump, of as many samples. */
            assert_true(got.index >= index);
            assert_int_equal((first - next) & 0x3fffffff, (got.index - index) & 0x3fffffff);
        }
        int64_t late = at_clock_utc_ns() - got.utc_ns;
        assert_true(late > -AT_NS_PER_S && late < WAIT_S * AT_NS_PER_S);
        mine += got.tuning == number ? got.n : 0;
        next = first + got.n;
        index = got.index + got.n;
        delivered += got.n;
    }
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    print_ledger("changes of rate", &l);
    print_message("handed over %llu, dropped of them %llu; a change costs at most %.1f ms beside "
                  "the settle time\n",
                  (unsigned long long)counts->handed, (unsigned long long)dropped, most_ms);
    assert_int_equal(counts->activations, TURNS + 1);
    assert_int_equal(l.delivered, delivered);
    uint64_t kept_away = l.lost[AT_LOST_RING_FULL] + l.lost[AT_LOST_OVERFLOW];
    assert_int_equal(counts->handed, delivered + dropped + l.lost[AT_LOST_RING_FULL]);
    assert_int_equal(counts->overflow, l.lost[AT_LOST_OVERFLOW]);
    assert_int_equal(l.requested, l.delivered + l.lost[AT_LOST_RETUNE] + kept_away);
    assert_int_equal(l.requested, index);
    assert_int_equal(l.events[AT_LOST_RETUNE], TURNS);
    assert_int_equal(l.reconnects, 0);
    assert_true(l.lost[AT_LOST_RETUNE] >= dropped + TURNS);
    close_radio(s);
}

static void read_until_tuned(struct at_source *s, uint64_t number, struct at_read *ret)
{
    static float iq[2 * CHUNK];
    struct at_error err = {{0}};
    int64_t until = at_clock_mono_ns() + WAIT_S * AT_NS_PER_S;
    do {
        int rc = s->ops->read(s, iq, CHUNK, 100, ret, &err);
        assert_true(rc == 0 || rc == -EAGAIN);
        if (rc == -EAGAIN)
            usleep(10000);
    } while ((ret->n == 0 || ret->tuning != number) && at_clock_mono_ns() < until);
    assert_true(ret->n > 0 && ret->tuning == number);
}

/* The driver does not come back from being tuned (what: "hang" or "crash"): whoever asked goes on,
 * hears what became of it, and the next life goes on from what stood before. */
static void check_a_driver_that_fails_in_tuning(const char *what, const char *word)
{
    static float iq[2 * CHUNK];
    char device[128];
    struct at_soapy_options o = plain();
    o.time_scale = 0.1;
    snprintf(device, sizeof device,
             "driver=attunesim,scene=count,bad_call=retune:%s,bad_freq=868e6", what);
    struct at_source *s = open_radio(device, &o);
    struct at_tuning t = {.center_hz = 868e6, .ppm = NAN, .gain_db = NAN};
    struct at_read got = {0};
    struct at_error err = {{0}};
    uint64_t number, good;
    read_until_tuned(s, 0, &got);
    assert_int_equal(s->ops->tune(s, &t, &number, &err),
                     0); /* it has not been done, and never is */
    int64_t until = at_clock_mono_ns() + WAIT_S * AT_NS_PER_S;
    if (!strcmp(what, "hang"))
        assert_int_equal(s->ops->get_tuned(s, number, &err), -EAGAIN);
    while (s->ops->get_tuned(s, number, &err) == -EAGAIN && at_clock_mono_ns() < until)
        if (s->ops->read(s, iq, CHUNK, 10, &got, &err) < 0)
            usleep(10000);
    assert_int_equal(s->ops->get_tuned(s, number, &err), -EIO);
    print_message("%s: %s\n", what, err.text);
    assert_non_null(strstr(err.text, word));
    while (counts->lives < 2 &&
           at_clock_mono_ns() < until) /* what the first one left comes first */
        if (s->ops->read(s, iq, CHUNK, 10, &got, &err) < 0)
            usleep(10000);
    assert_true(counts->lives >= 2);
    read_until_tuned(s, 0, &got);
    assert_true(got.center_hz == 433e6);
    assert_int_equal(tune_to(s, 869e6, &good, &err), 0);
    read_until_tuned(s, good, &got);
    assert_true(got.center_hz == 869e6);
    /* Whoever is to end it while it hangs ends it. */
    assert_int_equal(s->ops->tune(s, &t, &number, &err), 0);
    close_radio(s);
}

static void a_driver_that_hangs_in_tuning_holds_nobody_up(void **state)
{
    check_a_driver_that_fails_in_tuning("hang", "hung");
}

static void a_driver_that_crashes_in_tuning_returns_as_it_was(void **state)
{
    check_a_driver_that_fails_in_tuning("crash",
                                        "when it was asked for it"); /* sanitizers exit instead */
}

int main(int argc, char **argv)
{
    int code = begin_radios(argc, argv);
    if (code >= 0)
        return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retuning_changes_the_centre_of_later_reads),
        cmocka_unit_test(samples_before_the_tuner_has_settled_are_lost_and_counted),
        cmocka_unit_test(a_tuning_sets_what_differs),
        cmocka_unit_test(a_change_of_rate_is_accounted_for_to_the_sample),
        cmocka_unit_test(a_driver_that_hangs_in_tuning_holds_nobody_up),
        cmocka_unit_test(a_driver_that_crashes_in_tuning_returns_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
