/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/iqring.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/pages.h"
#include "lib/dsp/loops.h"

#define STEP 1024

struct at_iqring {
    pthread_mutex_t lock;
    int16_t *iq; /* (size, 2); sample i stands at i % size */
    size_t size, have;
    uint64_t end; /* one past the newest */
    char prefix[96];
    double rate_hz, center_hz;
    const struct at_loops *loops;
};

struct at_iqring *at_iqring_create(size_t n)
{
    struct at_iqring *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->size = n ? n : 1;
    r->loops = at_loops_best();
    r->iq = calloc(r->size, 2 * sizeof *r->iq);
    if (!r->iq) {
        at_iqring_destroy(r);
        return NULL;
    }
    at_pages_bring(r->iq, r->size * 2 * sizeof *r->iq);
    return r;
}

void at_iqring_destroy(struct at_iqring *r)
{
    if (!r)
        return;
    free(r->iq);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void at_iqring_begin(struct at_iqring *r, const char *prefix, double rate_hz, double center_hz)
{
    pthread_mutex_lock(&r->lock);
    r->have = 0;
    r->end = 0;
    r->rate_hz = rate_hz;
    r->center_hz = center_hz;
    snprintf(r->prefix, sizeof r->prefix, "%s", prefix);
    pthread_mutex_unlock(&r->lock);
}

/* Samples [from, from + n) of them. */
static void keep(const struct at_iqring *r, const struct at_raw *raw, size_t from, size_t n,
                 int16_t *to)
{
    float iq[2 * STEP];
    if (raw->format == AT_IQ_CS16 && raw->full_scale == 32768) {
        memcpy(to, (const char *)raw->samples + from * 4, n * 4);
        return;
    }
    for (size_t i = 0; i < n; i += STEP) {
        size_t some = n - i < STEP ? n - i : STEP;
        at_raw_write(raw, from + i, some, iq);
        r->loops->to_int16(iq, 2 * some, to + 2 * i);
    }
}

void at_iqring_push(struct at_iqring *r, const struct at_raw *raw, size_t n, uint64_t index)
{
    size_t from = n > r->size ? n - r->size : 0;
    index += from;
    n -= from;
    pthread_mutex_lock(&r->lock);
    if (index != r->end)
        r->have = 0;
    size_t at = (size_t)(index % r->size), head = r->size - at < n ? r->size - at : n;
    keep(r, raw, from, head, r->iq + 2 * at);
    keep(r, raw, from + head, n - head, r->iq);
    r->have = r->have + n < r->size ? r->have + n : r->size;
    r->end = index + n;
    pthread_mutex_unlock(&r->lock);
}

int at_iqring_get(struct at_iqring *r, const char *id, uint64_t from, uint64_t to,
                  struct at_iq_piece *ret)
{
    int rc = -ENOENT;
    pthread_mutex_lock(&r->lock);
    uint64_t first = r->end - r->have;
    from = from < first ? first : from;
    to = to > r->end ? r->end : to;
    if (r->prefix[0] && !strncmp(id, r->prefix, strlen(r->prefix)) && from < to) {
        struct at_iq_piece p = {.n = (size_t)(to - from),
                                .index = from,
                                .rate_hz = r->rate_hz,
                                .center_hz = r->center_hz};
        p.iq = malloc(p.n * 2 * sizeof *p.iq);
        rc = p.iq ? 0 : -ENOMEM;
        size_t at = (size_t)(from % r->size), head = r->size - at < p.n ? r->size - at : p.n;
        if (!rc) {
            memcpy(p.iq, r->iq + 2 * at, head * 2 * sizeof *p.iq);
            memcpy(p.iq + 2 * head, r->iq, (p.n - head) * 2 * sizeof *p.iq);
            *ret = p;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}
