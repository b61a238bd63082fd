/* Radios through SoapySDR itself, in helper processes: the simulated receiver injects each fault
 * and counts what it did, and the ledger must say exactly that. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
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

#define BUFFER 10016 /* what the simulated receiver gives at once at RATE */
/* A sanitizer reports a crash itself and ends with a code. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRASH(signal) "the driver "
#else
#define CRASH(signal) "crashed (SIG" signal ")"
#endif

struct seen {
    struct at_ledger ledger;
    struct attunesim_counts sim;
    uint64_t jumped;      /* samples skipped by the index */
    uint64_t wrong;       /* samples that are not the ones their index says, in the first life */
    uint64_t reads, lent; /* calls; samples lent */
    bool stalled, failed;
    char text[512],
        why[512]; /* the newest said while it was stalled, and the first while it was failed */
};

/* scene=count: sample k holds the low 15 bits of its number in I. */
static uint64_t count_wrong(const float *iq, const struct at_read *got)
{
    uint64_t wrong = 0;
    for (size_t i = 0; i < got->n; i++) {
        uint64_t k = got->index + i;
        wrong += iq[2 * i] != (float)(k & 0x7fff) / 32768 ||
                 iq[2 * i + 1] != (float)((k >> 15) & 0x7fff) / 32768;
    }
    return wrong;
}

static void print_ledger(const char *device, const struct at_ledger *l)
{
    print_message("%s: requested %llu, delivered %llu, lost:", device,
                  (unsigned long long)l->requested, (unsigned long long)l->delivered);
    for (int i = 0; i < AT_LOST_REASONS; i++)
        print_message(" %s %llu in %llu", at_lost_reason_name((enum at_lost_reason)i),
                      (unsigned long long)l->lost[i], (unsigned long long)l->events[i]);
    print_message("; %llu re-opened\n", (unsigned long long)l->reconnects);
}

/* Requested is delivered + lost; what the simulated receiver handed over is what came, but for what
 * was lost behind it. */
static void check_sums(const struct seen *s)
{
    const struct at_ledger *l = &s->ledger;
    uint64_t sum = l->delivered;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        sum += l->lost[i];
    if (sum != l->requested)
        fail_msg("requested %llu is not delivered + lost %llu", (unsigned long long)l->requested,
                 (unsigned long long)sum);
    uint64_t came =
        l->delivered + s->sim.not_finite + l->lost[AT_LOST_RING_FULL] + l->lost[AT_LOST_RETUNE];
    if (came != s->sim.handed)
        fail_msg("handed over %llu, came %llu", (unsigned long long)s->sim.handed,
                 (unsigned long long)came);
    if (s->wrong)
        fail_msg("%llu samples are not what their index says", (unsigned long long)s->wrong);
}

/* Every second time samples are lent, where they can be. */
static int read_by_turns(struct at_source *s, struct seen *seen, float *iq, struct at_read *got,
                         struct at_error *err)
{
    int r = ++seen->reads % 2 ? -ENOTSUP : s->ops->lend(s, CHUNK, 20, got, err);
    if (r == -ENOTSUP)
        return s->ops->read(s, iq, CHUNK, 20, got, err);
    if (r == 0 && got->n) {
        assert_non_null(got->lent.samples);
        at_raw_write(&got->lent, 0, got->n, iq);
        seen->lent += got->n;
    }
    return r;
}

/* Reads until `steps` faults of the script are done (the last of them ends in silence) and the
 * stall is seen. */
static void watch(const char *device, struct at_soapy_options o, uint64_t steps, struct seen *ret)
{
    static float iq[2 * CHUNK];
    struct at_source *s = open_radio(device, &o);
    *ret = (struct seen){0};
    int64_t begin = at_clock_mono_ns();
    uint64_t end = 0;
    for (;;) {
        struct at_read got;
        struct at_error err = {{0}};
        uint64_t done = counts->steps;
        int r = read_by_turns(s, ret, iq, &got, &err);
        enum at_source_state state = s->ops->get_state(s);
        ret->stalled = ret->stalled || state == AT_SOURCE_STALLED;
        ret->failed = ret->failed || state == AT_SOURCE_FAILED;
        if (at_clock_mono_ns() - begin > WAIT_S * AT_NS_PER_S)
            fail_msg("%s: %llu steps done of %llu, state %s, %s", device, (unsigned long long)done,
                     (unsigned long long)steps, at_source_state_name(state), err.text);
        if (r == -EAGAIN && state == AT_SOURCE_STALLED)
            snprintf(ret->text, sizeof ret->text, "%s", err.text);
        if (r == -EAGAIN && state == AT_SOURCE_FAILED && !ret->why[0])
            snprintf(ret->why, sizeof ret->why, "%s", err.text);
        if (ret->why[0] &&
            counts->gone_until) /* what was unplugged is plugged in again once that is said */
            counts->gone_until = 1;
        if (r == -EAGAIN && done >= steps && state == AT_SOURCE_STALLED)
            break;
        if (r == -EAGAIN || (r == 0 && got.n == 0))
            continue;
        if (r != 0)
            fail_msg("%s: %d %s", device, r, err.text);
        assert_true(got.index >= end);
        ret->jumped += got.index - end;
        if (strstr(device, "scene=count") && counts->lives == 1)
            ret->wrong += count_wrong(iq, &got);
        end = got.index + got.n;
    }
    s->ops->stop(s);
    s->ops->get_ledger(s, &ret->ledger);
    memcpy(&ret->sim, (const void *)(uintptr_t)counts, sizeof ret->sim);
    close_radio(s);
    print_ledger(device, &ret->ledger);
    check_sums(ret);
}

/* A script of four equal faults, with 100,000 samples around them, then silence. amount: ":1234",
 * or empty. */
static void watch_four(const char *arguments, const char *fault, const char *amount,
                       struct seen *ret)
{
    char device[512];
    snprintf(device, sizeof device,
             "driver=attunesim,%s,script=%s@30001%s;%s@20000%s;%s@17%s;%s@29983%s;timeout@20000:0",
             arguments, fault, amount, fault, amount, fault, amount, fault, amount);
    watch(device, plain(), 5, ret);
    assert_true(ret->stalled);
}

/* The ledger against what was injected, to the last sample, and no loss of another reason. */
static void expect(const struct seen *s, uint64_t overflow, uint64_t gap, uint64_t corrupt)
{
    const uint64_t *lost = s->ledger.lost;
    assert_int_equal(s->sim.overflow - s->sim.late, overflow);
    assert_int_equal(s->sim.gap, gap);
    assert_int_equal(s->sim.corrupt + s->sim.not_finite, corrupt);
    assert_int_equal(lost[AT_LOST_OVERFLOW], s->sim.overflow);
    assert_int_equal(lost[AT_LOST_GAP], gap);
    assert_int_equal(lost[AT_LOST_CORRUPT], corrupt);
    assert_int_equal(lost[AT_LOST_STALL], 0);
    assert_int_equal(s->jumped + s->sim.not_finite,
                     lost[0] + lost[1] + lost[2] + lost[3] + lost[4]);
    assert_int_equal(s->ledger.reconnects, 0);
}

static void nothing_is_lost_without_a_fault(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,script=timeout@300000:0", plain(), 1, &s);
    expect(&s, 0, 0, 0);
    assert_int_equal(s.sim.handed, 300000);
    print_message("%llu of them lent\n", (unsigned long long)s.lent);
    assert_true(s.lent > 50000 && s.lent < 250000);
}

static void overflows_are_counted_to_the_sample(void **state)
{
    struct seen s;
    watch_four("scene=count", "overflow", ":1234", &s);
    expect(&s, 4 * 1234, 0, 0);
    assert_true(s.ledger.events[AT_LOST_OVERFLOW] >= 4);
}

static void gaps_of_the_timestamps_are_counted_to_the_sample(void **state)
{
    struct seen s;
    watch_four("scene=count", "gap", ":777", &s);
    expect(&s, 0, 4 * 777, 0);
    assert_int_equal(s.ledger.events[AT_LOST_GAP], 4);
}

static void corrupt_buffers_are_counted_to_the_sample(void **state)
{
    struct seen s;
    watch_four("scene=count", "corrupt", "", &s);
    expect(&s, 0, 0, 4 * BUFFER);
}

static void samples_that_are_not_finite_are_masked(void **state)
{
    struct seen s;
    watch_four("scene=tone,native=CF32", "nan", ":3", &s);
    expect(&s, 0, 0, 12);
    assert_int_equal(s.lent, 0);
}

static void a_driver_that_claims_too_much_is_not_believed(void **state)
{
    struct seen s;
    watch_four("scene=count", "overlong", "", &s);
    expect(&s, 0, 0, s.sim.corrupt);
    assert_true(s.sim.corrupt > 2 * BUFFER);
}

static void exceptions_and_odd_codes_are_survived(void **state)
{
    static const char *const faults[] = {"throw", "zero", "code"};
    for (int i = 0; i < 3; i++) {
        struct seen s;
        watch_four("scene=count", faults[i], i == 2 ? ":4711" : "", &s);
        expect(&s, 0, 0, 0);
    }
}

/* The device's clock jumps back: the break shows, with at least one sample. */
static void a_clock_that_jumps_back_is_a_break(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=tone,script=back@50000:40000;timeout@50000:0", plain(), 2, &s);
    assert_int_equal(s.ledger.events[AT_LOST_GAP], 1);
    assert_true(s.ledger.lost[AT_LOST_GAP] >= 1);
}

/* Several faults of all kinds, one behind the other, in one life. */
static void a_script_of_everything_is_counted_to_the_sample(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=tone,native=CF32,script=overflow@150000:5000;gap@1:1;nan@33333:7;"
          "corrupt@9:123;throw@5000;"
          "overflow@5000:1;gap@70000:99999;zero@3;overlong@20000;code@1000:88;timeout@50000:0",
          plain(), 11, &s);
    expect(&s, 5001, 100000, s.sim.corrupt + s.sim.not_finite);
    assert_int_equal(s.sim.not_finite, 7);
}

/* Silent for 1.6 s, where 1 s is a stall and 5 s would open it anew. */
static void a_stall_is_seen_and_ends(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,script=timeout@50000:1600;timeout@50000:0", plain(), 2, &s);
    assert_true(s.stalled);
    assert_non_null(strstr(s.text, "no samples"));
    assert_int_equal(s.ledger.reconnects, 0);
    assert_int_equal(s.ledger.events[AT_LOST_STALL], 1);
    assert_int_equal(s.ledger.lost[AT_LOST_STALL], s.sim.silent);
    assert_true(s.sim.silent >= 1.5 * RATE);
}

/* Whatever ends a helper, another is made, and the script goes on in it. away_s: at least so long
 * without samples. */
static void comes_back(const char *device, double scale, const char *says, double away_s)
{
    struct seen s;
    struct at_soapy_options o = plain();
    o.time_scale = scale;
    watch(device, o, 2, &s);
    assert_true(s.ledger.reconnects >= 1 && s.sim.lives >= 2);
    assert_true(s.ledger.events[AT_LOST_STALL] >= 1);
    double away = (double)s.ledger.lost[AT_LOST_STALL] / RATE;
    print_message("away for %.3f s\n", away);
    assert_true(away >= away_s);
    if (!strstr(s.why, says))
        fail_msg("%s: \"%s\" does not say \"%s\"", device, s.why, says);
}

/* Stalled at 0.1 s, ended at 0.5 s, not there, and there again once that was said. The clock says
 * how much was missed. */
static void unplugged_and_back(void **state)
{
    comes_back("driver=attunesim,scene=tone,script=unplug@20000:600000;timeout@20000:0", 0.1,
               "no device with serial SIM0", 0.4);
}

static void a_helper_that_dies_or_hangs_is_made_again(void **state)
{
    comes_back("driver=attunesim,scene=tone,script=abort@20000;timeout@20000:0", 0.1, CRASH("ABRT"),
               0.05);
    comes_back("driver=attunesim,scene=tone,script=crash@20000;timeout@20000:0", 0.1, CRASH("SEGV"),
               0.05);
    comes_back("driver=attunesim,scene=tone,script=hang@20000:0;timeout@20000:0", 0.1, "", 0.3);
}

/* Every call on the way to samples, in every way to fail, for two lives: the third gives samples.
 */
static void a_driver_may_fail_in_every_call(void **state)
{
    static const char *const calls[] = {"make:abort",     "rate:crash", "activate:throw",
                                        "activate:abort", "make:throw", "rate:hang:200"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char device[256];
        struct seen s;
        struct at_soapy_options o = plain();
        o.time_scale = 0.1;
        snprintf(device, sizeof device,
                 "driver=attunesim,scene=tone,bad_call=%s,bad_lives=2,script=timeout@20000:0",
                 calls[i]);
        watch(device, o, 1, &s);
        assert_int_equal(s.sim.handed, 20000);
        assert_true(s.sim.lives >= (strstr(calls[i], "hang") ? 1 : 3));
    }
}

/* No timestamps: what an overflow lost is by the clock, and at least something. */
static void without_timestamps_the_clock_decides(void **state)
{
    struct seen s;
    watch_four("scene=tone,time=0", "overflow", ":50000", &s);
    uint64_t events = s.ledger.events[AT_LOST_OVERFLOW];
    assert_true(events >= 3); /* two with 17 samples between them may be one */
    double each = (double)s.ledger.lost[AT_LOST_OVERFLOW] / 4;
    print_message("an overflow of 50000 samples reads %.0f\n", each);
    assert_true(each > 20000);
}

static void a_reader_that_sleeps_fills_the_ring(void **state)
{
    static float iq[2 * CHUNK];
    struct at_soapy_options o = plain();
    o.rate_hz = 2e6;
    struct at_source *s = open_radio("driver=attunesim,scene=count", &o);
    while (counts->handed < 2 * o.rate_hz)
        usleep(10000);
    struct at_read got = {0};
    uint64_t end = 0, jumped = 0;
    for (uint64_t until = counts->handed; end < until;) {
        if (s->ops->read(s, iq, CHUNK, 100, &got, NULL) != 0 || got.n == 0)
            continue;
        assert_int_equal(count_wrong(iq, &got), 0);
        jumped += got.index - end;
        end = got.index + got.n;
    }
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    print_message("ring full: %llu lost, index jumped %llu\n",
                  (unsigned long long)l.lost[AT_LOST_RING_FULL], (unsigned long long)jumped);
    assert_true(l.lost[AT_LOST_RING_FULL] > 300000 && jumped == l.requested - l.delivered);
    close_radio(s);
}

static void destroying_a_hung_radio_takes_under_two_seconds(void **state)
{
    static const char *const devices[] = {
        "driver=attunesim,scene=count,script=hang@20000:0",
        "driver=attunesim,scene=count,bad_call=deactivate:hang",
        "driver=attunesim,scene=count,bad_call=activate:hang",
        "driver=attunesim,scene=count,bad_call=make:hang",
    };
    for (size_t i = 0; i < 4; i++) {
        struct at_soapy_options o = plain();
        o.time_scale = 1;
        struct at_source *s = open_radio(devices[i], &o);
        for (int k = 0; k < 1000 && !(i < 2 ? counts->handed >= 20000 : counts->lives); k++)
            usleep(10000);
        int64_t begin = at_clock_mono_ns();
        close_radio(s);
        double took = (double)(at_clock_mono_ns() - begin) * 1e-9;
        print_message("%s: destroyed in %.2f s\n", devices[i], took);
        assert_true(took < 10); /* 1.1 s where the machine has time */
    }
}

/* Reads until the source says why it gives nothing. */
static int wait_for_reason(struct at_source *s, struct at_error *err)
{
    float iq[20];
    struct at_read got;
    int r = 0;
    for (int i = 0; i < 1000 && r == 0; i++)
        r = s->ops->read(s, iq, 10, 50, &got, err);
    return r;
}

static void what_is_missing_or_refused_is_said(void **state)
{
    static const struct {
        const char *device;
        double rate_hz;
        int code;
        enum at_source_state state;
        const char *says;
    } cases[] = {
        {"driver=nosuchradio", RATE, -EAGAIN, AT_SOURCE_FAILED,
         "install soapysdr-module-nosuchradio or"},
        {"driver=attunesim,scene=tone,wrong_rate=2000000", RATE, -EIO, AT_SOURCE_FAILED,
         "the device gives 2000000"},
        {"driver=attunesim,scene=tone", 1e3, -EIO, AT_SOURCE_FAILED, "refuses a rate of 1000"},
        {"driver=attunesim,file=/nonexistent.cu8", RATE, -EAGAIN, AT_SOURCE_FAILED,
         "does not start"},
        {"driver=attunesim,serial=A1,wrong_serial=B2", RATE, -EAGAIN, AT_SOURCE_FAILED,
         "says its serial is B2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct at_soapy_options o = plain();
        struct at_error err = {{0}};
        o.rate_hz = cases[i].rate_hz;
        struct at_source *s = open_radio(cases[i].device, &o);
        int r = wait_for_reason(s, &err);
        if (r != cases[i].code || !strstr(err.text, cases[i].says) ||
            s->ops->get_state(s) != cases[i].state)
            fail_msg("%s: %d \"%s\", state %s; expected %d \"%s\"", cases[i].device, r, err.text,
                     at_source_state_name(s->ops->get_state(s)), cases[i].code, cases[i].says);
        print_message("%s\n", err.text);
        close_radio(s);
    }
    struct at_soapy_options o = plain();
    struct at_error err;
    struct at_source *s = NULL;
    static const char *const nameless[] = {"", "serial=1", "mydriver=x",
                                           "driver=", "driver=,serial=1"};
    for (size_t i = 0; i < 5; i++) {
        o.device = nameless[i];
        assert_int_equal(at_source_open_soapy(&o, &err, &s), -EINVAL);
        assert_non_null(strstr(err.text, "driver=rtlsdr"));
    }
    o.device = "driver=attunesim";
    o.rate_hz = NAN;
    assert_int_equal(at_source_open_soapy(&o, &err, &s), -EINVAL);
    assert_null(s);
}

struct listing {
    int found, failed;
    char why[512];
};

static void count_device(void *ctx, const char *args, const char *label)
{
    print_message("%s (%s)\n", args, label);
    ((struct listing *)ctx)->found += strcmp(args, "driver=attunesim,serial=SIM0") == 0;
}

static void note_failure(void *ctx, const char *module, const char *why)
{
    struct listing *l = ctx;
    print_message("%s: %s\n", module, why);
    l->failed++;
    snprintf(l->why, sizeof l->why, "%s", why);
}

static void devices_are_found_by_driver(void **state)
{
    struct listing l = {0};
    struct at_error err;
    struct at_soapy_seen seen = {count_device, note_failure, &l};
    assert_int_equal(at_soapy_enumerate("attunesim,nosuchradio", modules, &seen, &err), 0);
    assert_int_equal(l.found, 1);
    assert_int_equal(l.failed, 1);
    assert_non_null(strstr(l.why, "install soapysdr-module-nosuchradio"));
}

static unsigned count_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void nothing_is_left_open(void **state)
{
    static unsigned before;
    if (!before)
        before = count_descriptors();
    print_message("%u descriptors, at first %u\n", count_descriptors(), before);
    assert_int_equal(count_descriptors(), before);
}

static void on_line(void *ctx, const char *line)
{
    unsigned *n = ctx;
    assert_null(strpbrk(line, "\r\n\033"));
    (*n)++;
}

/* The driver's own complaints come out, and no more than the limit of them. */
static void what_a_driver_prints_is_passed_on(void **state)
{
    struct at_soapy_options o = plain();
    unsigned lines = 0;
    struct seen s;
    o.log = on_line;
    o.log_ctx = &lines;
    watch("driver=attunesim,scene=tone,script=throw@5000;timeout@5000:0", o, 2, &s);
    print_message("%u lines\n", lines);
    assert_true(lines <= 21);
}

int main(int argc, char **argv)
{
    int code = begin_radios(argc, argv);
    if (code >= 0)
        return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left_open),
        cmocka_unit_test(devices_are_found_by_driver),
        cmocka_unit_test(what_a_driver_prints_is_passed_on),
        cmocka_unit_test(nothing_is_lost_without_a_fault),
        cmocka_unit_test(overflows_are_counted_to_the_sample),
        cmocka_unit_test(gaps_of_the_timestamps_are_counted_to_the_sample),
        cmocka_unit_test(corrupt_buffers_are_counted_to_the_sample),
        cmocka_unit_test(samples_that_are_not_finite_are_masked),
        cmocka_unit_test(a_driver_that_claims_too_much_is_not_believed),
        cmocka_unit_test(exceptions_and_odd_codes_are_survived),
        cmocka_unit_test(a_clock_that_jumps_back_is_a_break),
        cmocka_unit_test(a_script_of_everything_is_counted_to_the_sample),
        cmocka_unit_test(a_stall_is_seen_and_ends),
        cmocka_unit_test(unplugged_and_back),
        cmocka_unit_test(a_helper_that_dies_or_hangs_is_made_again),
        cmocka_unit_test(a_driver_may_fail_in_every_call),
        cmocka_unit_test(without_timestamps_the_clock_decides),
        cmocka_unit_test(a_reader_that_sleeps_fills_the_ring),
        cmocka_unit_test(what_is_missing_or_refused_is_said),
        cmocka_unit_test(destroying_a_hung_radio_takes_under_two_seconds),
        cmocka_unit_test(nothing_is_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
