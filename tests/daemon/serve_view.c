/* The HTTP side over a view made by hand: for tests of the wire that need no radio and no model.
 * Prints its address, publishes an event each 50 ms, leaves on end of input.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/http/http.h"
#include "daemon/log.h"

static void get_view(void *ctx, struct at_view *v)
{
    *v = (struct at_view){
        .version = AT_VERSION, .budget_latency_ms = 30, .budget_kv_mb = 480, .budget_cores = 2};
    v->started_utc_ns = INT64_C(1700000000000000000);
    v->n_radios = 1;
    snprintf(v->radios[0].name, sizeof v->radios[0].name, "roof");
    snprintf(v->radios[0].band, sizeof v->radios[0].band, "ism433");
    v->radios[0].n_bands = 1;
    snprintf(v->radios[0].bands[0].name, sizeof v->radios[0].bands[0].name, "ism433");
    v->radios[0].state = AT_SOURCE_RUNNING;
    v->radios[0].sample_age_s = 0.1;
}

static void put_rows(struct at_rows *rows)
{
    float dbfs[512];
    for (int i = 0; i < 512; i++)
        dbfs[i] = -100.0f + 0.1f * (float)i;
    struct at_stored_row meta = {
        .radio = "roof", .band = "ism433", .utc_ns = 1, .rate_hz = 1e6, .span_s = 0.1};
    struct at_row row = {.n = 512, .dbfs = dbfs};
    for (int i = 0; i < 300; i++)
        at_rows_put(rows, 0, &meta, &row);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    struct at_api api = {
        .get_view = get_view,
        .store = at_store_create(16, 16),
        .events = at_events_create(256, 16),
        .metrics = at_metrics_create(),
        .rows = at_rows_create(1, 600),
    };
    put_rows(api.rows);
    struct at_http_config config = {
        .host = argc > 1 ? argv[1] : "127.0.0.1",
        .token_file = argc > 2 && argv[2][0] ? argv[2] : NULL,
        .timeout_s = argc > 3 ? atof(argv[3]) : 2,
    };
    struct at_http *http = NULL;
    struct at_error err;
    if (at_http_start(&config, &api, &err, &http)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%s\n", at_http_url(http));
    fflush(stdout);
    char big[4096];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    for (int i = 0;; i++) {
        struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&p, 1, 50) > 0) {
            char byte;
            ssize_t n = read(STDIN_FILENO, &byte, 1);
            if (n <= 0)
                break;
            /* "b": a burst that no reader who stands still can hold. */
            for (int k = 0; byte == 'b' && k < 3000; k++) {
                char text[5000];
                snprintf(text, sizeof text, "{\"k\":%d,\"fill\":\"%s\"}", k, big);
                at_events_publish(api.events, AT_EVENT_DECISION, text);
                if (k % 100 == 99)
                    usleep(20000);
            }
            printf("published\n");
            fflush(stdout);
        }
        char text[64];
        snprintf(text, sizeof text, "{\"i\":%d}", i);
        at_events_publish(api.events, AT_EVENT_RADIO, text);
    }
    at_http_stop(http);
    at_store_destroy(api.store);
    at_events_destroy(api.events);
    at_metrics_destroy(api.metrics);
    at_rows_destroy(api.rows);
    return 0;
}
