/* Radios through SoapySDR itself: the simulated receiver injects each fault, and the ledger must
 * say exactly that. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
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
#include "lib/source/source.h"

#define RATE   1e6
#define BUFFER 10016 /* what the simulated receiver gives at once at RATE */
#define CHUNK  4096

static char module_folder[512];
static const char *modules[2] = {module_folder, NULL};

struct seen {
    struct at_ledger ledger;
    uint64_t jumped; /* samples skipped by the index */
    uint64_t wrong;  /* samples that are not the ones their index says */
    bool stalled, failed;
    double seconds;
    char text[512];
};

static struct at_source *open_radio(const char *device, struct at_soapy_options *o)
{
    struct at_error err = {{0}};
    struct at_source *s;
    o->device = device;
    o->modules = modules;
    if (at_source_open_soapy(o, &err, &s) != 0 || s->ops->start(s, &err) != 0)
        fail_msg("%s: %s", device, err.text);
    return s;
}

static struct at_soapy_options plain(void)
{
    return (struct at_soapy_options){
        .rate_hz = RATE, .center_hz = 433e6, .gain_db = NAN, .time_scale = 0.1};
}

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

/* Reads for so long, stops, and checks that every sample is accounted for. */
static void watch(const char *device, double for_s, struct seen *ret)
{
    static float iq[2 * CHUNK];
    struct at_soapy_options o = plain();
    struct at_source *s = open_radio(device, &o);
    *ret = (struct seen){0};
    int64_t begin = at_clock_mono_ns();
    uint64_t end = 0;
    while ((double)(at_clock_mono_ns() - begin) < for_s * 1e9) {
        struct at_read got;
        struct at_error err = {{0}};
        int r = s->ops->read(s, iq, CHUNK, 20, &got, &err);
        enum at_source_state state = s->ops->get_state(s);
        ret->stalled = ret->stalled || state == AT_SOURCE_STALLED;
        ret->failed = ret->failed || state == AT_SOURCE_FAILED;
        if (r == -EAGAIN)
            snprintf(ret->text, sizeof ret->text, "%s", err.text);
        if (r == -EAGAIN || (r == 0 && got.n == 0))
            continue;
        if (r != 0)
            fail_msg("%s: %d %s", device, r, err.text);
        assert_true(got.index >= end);
        ret->jumped += got.index - end;
        ret->wrong += strstr(device, "scene=count") ? count_wrong(iq, &got) : 0;
        end = got.index + got.n;
    }
    s->ops->stop(s);
    usleep(150000); /* the owner ends its last read */
    s->ops->get_ledger(s, &ret->ledger);
    s->ops->destroy(s);
    ret->seconds = (double)(at_clock_mono_ns() - begin) * 1e-9;
    const struct at_ledger *l = &ret->ledger;
    uint64_t sum = l->delivered;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        sum += l->lost[i];
    print_message("%s: requested %llu, delivered %llu, lost:", device,
                  (unsigned long long)l->requested, (unsigned long long)l->delivered);
    for (int i = 0; i < AT_LOST_REASONS; i++)
        print_message(" %s %llu in %llu", at_lost_reason_name((enum at_lost_reason)i),
                      (unsigned long long)l->lost[i], (unsigned long long)l->events[i]);
    print_message("; %llu re-opened\n", (unsigned long long)l->reconnects);
    if (sum != l->requested)
        fail_msg("requested %llu is not delivered + lost %llu", (unsigned long long)l->requested,
                 (unsigned long long)sum);
    if (ret->wrong)
        fail_msg("%llu samples are not what their index says", (unsigned long long)ret->wrong);
}

/* Losses of reason are each events a time, and there is no other. */
static void expect_only(const struct seen *s, enum at_lost_reason reason, uint64_t each,
                        uint64_t least_events)
{
    for (int i = 0; i < AT_LOST_REASONS; i++) {
        uint64_t lost = s->ledger.lost[i], events = s->ledger.events[i];
        if (i != (int)reason && lost)
            fail_msg("%s lost %llu, expected none", at_lost_reason_name((enum at_lost_reason)i),
                     (unsigned long long)lost);
        if (i == (int)reason && (events < least_events || lost != events * each))
            fail_msg("%s lost %llu in %llu, expected %llu each and at least %llu",
                     at_lost_reason_name(reason), (unsigned long long)lost,
                     (unsigned long long)events, (unsigned long long)each,
                     (unsigned long long)least_events);
    }
}

static void nothing_is_lost_without_a_fault(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count", 0.4, &s);
    expect_only(&s, AT_LOST_GAP, 0, 0);
    assert_true(s.ledger.delivered > 0.2 * RATE);
    assert_int_equal(s.jumped, 0);
}

static void overflows_are_counted_to_the_sample(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,fault=overflow,every=10,lose=1234", 0.45, &s);
    expect_only(&s, AT_LOST_OVERFLOW, 1234, 3);
}

static void gaps_of_the_timestamps_are_counted_to_the_sample(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,fault=gap,every=10,lose=777", 0.45, &s);
    expect_only(&s, AT_LOST_GAP, 777, 3);
}

static void corrupt_buffers_are_counted_to_the_sample(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,fault=corrupt,every=10", 0.45, &s);
    expect_only(&s, AT_LOST_CORRUPT, BUFFER, 3);
}

static void samples_that_are_not_finite_are_masked(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=tone,native=CF32,fault=nan,every=10", 0.45, &s);
    expect_only(&s, AT_LOST_CORRUPT, 3, 3);
    assert_int_equal(s.jumped, 0); /* masked in place */
}

static void a_driver_that_claims_too_much_is_not_believed(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,fault=overlong,every=10", 0.45, &s);
    expect_only(&s, AT_LOST_CORRUPT, BUFFER, 3);
}

static void exceptions_are_survived(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,fault=throw,every=10", 0.45, &s);
    expect_only(&s, AT_LOST_GAP, 0, 0);
    assert_true(s.ledger.delivered > 0.3 * RATE);
}

/* Silent for 0.3 s, where 0.1 s is a stall and 0.5 s would open it anew. */
static void a_stall_is_seen_and_ends(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=count,fault=timeout,after=20,back=0.3", 0.9, &s);
    assert_true(s.stalled);
    assert_int_equal(s.ledger.reconnects, 0);
    assert_int_equal(s.ledger.events[AT_LOST_STALL], 1);
    assert_true(s.ledger.lost[AT_LOST_STALL] > 0.25 * RATE &&
                s.ledger.lost[AT_LOST_STALL] < 0.5 * RATE);
    assert_non_null(strstr(s.text, "no samples"));
}

/* Gone for 0.8 s: stalled, closed at 0.5 s, not there, there again. The clock says how much was
 * missed. */
static void unplugged_and_back(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=tone,serial=U1,fault=unplug,after=20,times=1,back=0.8", 1.9, &s);
    assert_true(s.stalled && s.failed);
    assert_int_equal(s.ledger.reconnects, 1);
    assert_int_equal(s.ledger.events[AT_LOST_STALL], 1);
    double away = (double)s.ledger.lost[AT_LOST_STALL] / RATE;
    print_message("away for %.3f s\n", away);
    assert_true(away > 0.79 && away < 1.8);
    assert_int_equal(s.jumped, s.ledger.lost[AT_LOST_STALL]);
    double counted = (double)s.ledger.requested / RATE;
    assert_true(fabs(counted - s.seconds) < 0.4);
}

/* No timestamps: what an overflow lost is by the clock, and at least something. */
static void without_timestamps_the_clock_decides(void **state)
{
    struct seen s;
    watch("driver=attunesim,scene=tone,time=0,fault=overflow,every=10,lose=50000", 0.7, &s);
    uint64_t events = s.ledger.events[AT_LOST_OVERFLOW];
    assert_true(events >= 3);
    double each = (double)s.ledger.lost[AT_LOST_OVERFLOW] / (double)events;
    print_message("an overflow of 50000 samples reads %.0f\n", each);
    assert_true(fabs(each - 50000) < 10000);
}

static void a_reader_that_sleeps_fills_the_ring(void **state)
{
    static float iq[2 * CHUNK];
    struct at_soapy_options o = plain();
    o.rate_hz = 2e6;
    struct at_source *s = open_radio("driver=attunesim,scene=count", &o);
    usleep(1000000);
    struct at_read got;
    uint64_t end = 0, jumped = 0;
    for (int64_t begin = at_clock_mono_ns(); at_clock_mono_ns() - begin < 400000000;) {
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
    assert_true(l.lost[AT_LOST_RING_FULL] > 300000 && jumped == l.lost[AT_LOST_RING_FULL]);
    s->ops->destroy(s);
}

static void destroying_a_hung_radio_takes_under_two_seconds(void **state)
{
    static const char *const devices[] = {
        "driver=attunesim,scene=count,fault=hang,after=5,back=2",
        "driver=attunesim,scene=count,serial=H2,fault=hang-deactivate,back=2",
        "driver=attunesim,scene=count,serial=H3,fault=hang-activate,back=2",
    };
    for (size_t i = 0; i < 3; i++) {
        struct at_soapy_options o = plain();
        o.time_scale = i == 0 ? 1 : 0.1;
        struct at_source *s = open_radio(devices[i], &o);
        usleep(200000);
        int64_t begin = at_clock_mono_ns();
        s->ops->destroy(s);
        double took = (double)(at_clock_mono_ns() - begin) * 1e-9;
        print_message("%s: destroyed in %.2f s\n", devices[i], took);
        assert_true(took < 2);
    }
    usleep(2300000); /* the drivers come back, and free what they held (seen by the leak checker) */
}

/* Reads until the source says why it gives nothing. */
static int wait_for_reason(struct at_source *s, struct at_error *err)
{
    float iq[20];
    struct at_read got;
    int r = 0;
    for (int i = 0; i < 100 && r == 0; i++)
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
        {"driver=nosuchradio", RATE, -EAGAIN, AT_SOURCE_FAILED, "no SoapySDR module"},
        {"driver=attunesim,scene=tone,wrong_rate=2000000", RATE, -EIO, AT_SOURCE_FAILED,
         "the device gives 2000000"},
        {"driver=attunesim,scene=tone", 1e3, -EIO, AT_SOURCE_FAILED, "refuses a rate of 1000"},
        {"driver=attunesim,file=/nonexistent.cu8", RATE, -EAGAIN, AT_SOURCE_FAILED,
         "does not start"},
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
        s->ops->destroy(s);
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
    assert_int_equal(s->ops->tune(s, 868e6, NAN, &err), 0);
    uint64_t before = got.index;
    for (int i = 0; i < 1000 && got.center_hz != 868e6; i++)
        assert_int_equal(s->ops->read(s, iq, CHUNK, 500, &got, &err), 0);
    print_message("868 MHz from sample %llu on, asked for after %llu\n",
                  (unsigned long long)got.index, (unsigned long long)before);
    assert_true(got.center_hz == 868e6);
    assert_int_equal(s->ops->tune(s, 20e9, NAN, &err), -EINVAL);
    assert_non_null(strstr(err.text, "refuses a frequency"));
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_true(info.center_hz == 868e6);
    int64_t late = at_clock_utc_ns() - got.utc_ns;
    assert_true(late >= 0 && late < 2000000000);
    s->ops->destroy(s);
}

static void count_device(void *ctx, const char *args, const char *label)
{
    print_message("%s (%s)\n", args, label);
    *(int *)ctx += strcmp(args, "driver=attunesim,serial=SIM0") == 0;
}

static void devices_are_found_by_driver(void **state)
{
    int found = 0;
    struct at_error err;
    assert_int_equal(at_soapy_enumerate("attunesim", modules, count_device, &found, &err), 0);
    assert_int_equal(found, 1);
    assert_int_equal(at_soapy_enumerate("nosuchradio", modules, count_device, &found, &err),
                     -ENOENT);
    assert_non_null(strstr(err.text, "install soapysdr-module-nosuchradio"));
}

int main(void)
{
    snprintf(module_folder, sizeof module_folder, "%s/soapy-sim",
             getenv("ATTUNE_BUILD") ? getenv("ATTUNE_BUILD") : ".");
    struct at_error err;
    struct at_source *s;
    struct at_soapy_options o = plain();
    o.device = "driver=attunesim";
    if (at_source_open_soapy(&o, &err, &s) == -ENOTSUP) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return 77;
    }
    s->ops->destroy(s);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_found_by_driver),
        cmocka_unit_test(nothing_is_lost_without_a_fault),
        cmocka_unit_test(overflows_are_counted_to_the_sample),
        cmocka_unit_test(gaps_of_the_timestamps_are_counted_to_the_sample),
        cmocka_unit_test(corrupt_buffers_are_counted_to_the_sample),
        cmocka_unit_test(samples_that_are_not_finite_are_masked),
        cmocka_unit_test(a_driver_that_claims_too_much_is_not_believed),
        cmocka_unit_test(exceptions_are_survived),
        cmocka_unit_test(a_stall_is_seen_and_ends),
        cmocka_unit_test(unplugged_and_back),
        cmocka_unit_test(without_timestamps_the_clock_decides),
        cmocka_unit_test(a_reader_that_sleeps_fills_the_ring),
        cmocka_unit_test(retuning_changes_the_centre_of_later_reads),
        cmocka_unit_test(what_is_missing_or_refused_is_said),
        cmocka_unit_test(destroying_a_hung_radio_takes_under_two_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
