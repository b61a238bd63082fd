/* What is kept: emissions, events, rows. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/events.h"
#include "daemon/iqring.h"
#include "daemon/rows.h"
#include "daemon/store.h"
#include "tests/daemon/log_file.h"

static struct at_result make(int i, bool ended, double snr_db, const char *class_name)
{
    struct at_result r = {0};
    snprintf(r.id, sizeof r.id, "b-roof-%d", i);
    snprintf(r.radio, sizeof r.radio, "roof");
    snprintf(r.band, sizeof r.band, i % 2 ? "odd" : "even");
    r.emission.ended = ended;
    r.emission.snr_db = (float)snr_db;
    r.start_utc_ns = 1000 + 100 * i;
    r.end_utc_ns = r.start_utc_ns + 50;
    r.has_answer = class_name != NULL;
    if (class_name)
        snprintf(r.answer.label, sizeof r.answer.label, "%s", class_name);
    return r;
}

static struct at_store_query all(void)
{
    return (struct at_store_query){.min_snr_db = -INFINITY};
}

static void store_lives(void **state)
{
    struct at_store *s = at_store_create(4, 4);
    struct at_result r = make(1, false, 10, "am");
    struct at_store_found found[8];
    uint64_t seq, cursor;
    r.decisions = 2;
    assert_int_equal(at_store_put(s, &r, &seq), 0);
    r.decisions = 3;
    assert_int_equal(at_store_put(s, &r, &seq), 2);
    assert_int_equal(at_store_get(s, "b-roof-1", &found[0].result, &seq), 0);
    assert_int_equal(found[0].result.decisions, 3);
    assert_int_equal(at_store_get(s, "b-roof-2", &found[0].result, &seq), -ENOENT);
    r.emission.ended = true;
    assert_int_equal(at_store_put(s, &r, &seq), 3);
    struct at_store_query q = all();
    q.state = AT_STORE_ACTIVE;
    assert_int_equal(at_store_find(s, &q, found, 8, &cursor), 0);
    q.state = AT_STORE_ENDED;
    assert_int_equal(at_store_find(s, &q, found, 8, &cursor), 1);
    /* The ring keeps the newest four. */
    for (int i = 2; i < 12; i++) {
        r = make(i, true, i, "ook");
        at_store_put(s, &r, &seq);
    }
    assert_int_equal(at_store_find(s, &q, found, 8, &cursor), 4);
    assert_string_equal(found[0].result.id, "b-roof-11");
    assert_string_equal(found[3].result.id, "b-roof-8");
    /* More alive than there is room: the stalest is forgotten, and that is counted and said. */
    log_open("warning");
    for (int i = 20; i < 26; i++) {
        r = make(i, false, i, NULL);
        at_store_put(s, &r, &seq);
    }
    assert_true(log_says("more than 4 emissions are alive at once"));
    log_close();
    struct at_store_stats stats;
    at_store_get_stats(s, &stats);
    assert_int_equal(stats.active, 4);
    assert_int_equal(stats.forgotten, 2);
    assert_int_equal(at_store_get(s, "b-roof-20", &found[0].result, &seq), -ENOENT);
    at_store_destroy(s);
}

static void store_filters(void **state)
{
    struct at_store *s = at_store_create(8, 32);
    struct at_store_found found[32];
    uint64_t seq, cursor;
    for (int i = 0; i < 20; i++) {
        struct at_result r = make(i, i < 16, i, i % 3 ? "am" : "ook");
        at_store_put(s, &r, &seq);
    }
    struct at_store_query q = all();
    q.class_name = "ook";
    assert_int_equal(at_store_find(s, &q, found, 32, &cursor), 7);
    q = all();
    q.min_snr_db = 15;
    assert_int_equal(at_store_find(s, &q, found, 32, &cursor), 5);
    q = all();
    q.band = "odd";
    assert_int_equal(at_store_find(s, &q, found, 32, &cursor), 10);
    /* Ended ones reach from 1000 + 100 i for 50 ns; the four alive reach to now. */
    q = all();
    q.since_utc_ns = 2000;
    assert_int_equal(at_store_find(s, &q, found, 32, &cursor), 10);
    q = all();
    q.until_utc_ns = 1200;
    assert_int_equal(at_store_find(s, &q, found, 32, &cursor), 2);
    /* Pages join to the whole, newest first, each once. */
    q = all();
    int next = 19;
    do {
        size_t n = at_store_find(s, &q, found, 6, &cursor);
        for (size_t i = 0; i < n; i++, next--) {
            char id[48];
            snprintf(id, sizeof id, "b-roof-%d", next);
            assert_string_equal(found[i].result.id, id);
        }
        q.cursor = cursor;
    } while (cursor);
    assert_int_equal(next, -1);
    at_store_destroy(s);
}

static void events(void **state)
{
    struct at_events *e = at_events_create(4, 2);
    struct at_event_cursor c, late;
    struct at_buf out;
    at_buf_init(&out, 4096);
    assert_int_equal(at_event_mask("radio,nonsense"), 0);
    assert_int_equal(at_event_mask("spectrum"), 1u << AT_EVENT_SPECTRUM);
    at_events_publish(e, AT_EVENT_RADIO, "{\"a\":1}");
    at_events_subscribe(e, at_event_mask("decision"), 0, &c);
    assert_int_equal(at_events_next(e, &c, &out), 0);
    at_events_publish(e, AT_EVENT_RADIO, "{\"a\":2}");
    at_events_publish(e, AT_EVENT_DECISION, "{\"a\":3}");
    assert_int_equal(at_events_next(e, &c, &out), 1);
    assert_string_equal(out.data, "id: 3\nevent: decision\ndata: {\"a\":3}\n\n");
    assert_int_equal(at_events_next(e, &c, &out), 0);
    /* Whoever comes back with the id it saw last misses nothing. */
    at_events_subscribe(e, at_event_mask(NULL), 1, &late);
    at_buf_reset(&out);
    assert_int_equal(at_events_next(e, &late, &out), 1);
    assert_non_null(strstr(out.data, "id: 2\n"));
    /* Five more than are kept: too slow. */
    for (int i = 0; i < 5; i++)
        at_events_publish(e, AT_EVENT_DECISION, "{}");
    assert_int_equal(at_events_next(e, &late, &out), -EPIPE);
    /* Rows are skipped instead. */
    assert_true(at_events_wanted(e, AT_EVENT_SPECTRUM));
    at_events_unsubscribe(e, &late);
    assert_false(at_events_wanted(e, AT_EVENT_SPECTRUM));
    at_events_subscribe(e, at_event_mask("spectrum"), 0, &late);
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "{\"r\":%d}", i);
        at_events_publish(e, AT_EVENT_SPECTRUM, text);
    }
    at_buf_reset(&out);
    while (at_events_next(e, &late, &out) > 0)
        ;
    assert_string_equal(out.data,
                        "event: spectrum\ndata: {\"r\":3}\n\nevent: spectrum\ndata: {\"r\":4}\n\n");
    at_buf_finish(&out);
    at_events_destroy(e);
}

static void rows(void **state)
{
    struct at_rows *s = at_rows_create(2, 8);
    struct at_stored_row got[8], meta = {.radio = "roof", .band = "b", .utc_ns = 1, .rate_hz = 1e6};
    float dbfs[4] = {-80.5f, -INFINITY, NAN, 0.0f};
    struct at_row row = {.n = 4, .dbfs = dbfs};
    assert_int_equal(at_rows_get(s, 0, 0, got, 8), 0);
    for (int i = 0; i < 20; i++) {
        at_rows_put(s, 0, &meta, &row);
        at_rows_put(s, 1, &meta, &row);
    }
    assert_int_equal(at_rows_get(s, 0, 0, got, 8), 8);
    assert_int_equal(got[7].seq, 39);
    assert_int_equal(got[0].seq, 25);
    assert_int_equal(at_rows_get(s, 0, 0, got, 2), 2);
    assert_int_equal(got[1].seq, 39);
    assert_int_equal(at_rows_get(s, 0, 35, got, 8), 2);
    assert_int_equal(got[0].centi_db[0], -8050);
    assert_int_equal(got[0].centi_db[1], -32000);
    char *text = at_rows_to_json(&got[0]);
    assert_non_null(strstr(text, "\"dbfs\":[-80.5,-320.0,-320.0,0.0]"));
    free(text);
    at_rows_destroy(s);
}

/* Samples of 16 bits come back as they went in, those of 8 as what they mean; over the ring's end,
 * and of more than it holds the newest. */
static void look_back(void **state)
{
    enum { SIZE = 5000, N = 3100, PUSHES = 4, BIG = 7000 };
    static int16_t wide[2 * BIG];
    static int8_t narrow[2 * N];
    struct at_iq_piece p;
    for (int i = 0; i < 2 * BIG; i++)
        wide[i] = (int16_t)(i * 9973);
    for (int i = 0; i < 2 * N; i++)
        narrow[i] = (int8_t)(i * 37);
    struct at_raw of16 = {wide, AT_IQ_CS16, 32768}, of8 = {narrow, AT_IQ_CS8, 128};
    struct at_iqring *r = at_iqring_create(SIZE);
    at_iqring_begin(r, "b-", 1e6, 1e8);
    for (unsigned i = 0; i < PUSHES; i++)
        at_iqring_push(r, i % 2 ? &of8 : &of16, N, 1000 + i * N);
    assert_int_equal(at_iqring_get(r, "b-1", 0, UINT64_MAX, &p), 0);
    assert_int_equal(p.n, SIZE);
    assert_int_equal(p.index, 1000 + PUSHES * N - SIZE);
    for (size_t i = 0; i < 2 * SIZE; i++) {
        size_t at = 2 * (PUSHES * (size_t)N - SIZE) + i, k = at % (2 * N);
        int want = at / (2 * N) % 2 ? narrow[k] * 256 : wide[k];
        if (p.iq[i] != want)
            fail_msg("value %zu: %d, wanted %d", i, p.iq[i], want);
    }
    free(p.iq);
    at_iqring_push(r, &of16, BIG, 1000 + PUSHES * N);
    assert_int_equal(at_iqring_get(r, "b-1", 0, UINT64_MAX, &p), 0);
    assert_int_equal(p.index, 1000 + PUSHES * N + BIG - SIZE);
    assert_memory_equal(p.iq, wide + 2 * (BIG - SIZE), sizeof(int16_t) * 2 * SIZE);
    free(p.iq);
    at_iqring_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_lives), cmocka_unit_test(store_filters), cmocka_unit_test(events),
        cmocka_unit_test(rows),        cmocka_unit_test(look_back),
    };
    return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}
