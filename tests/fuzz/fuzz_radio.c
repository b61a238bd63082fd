/* The radio's loop over a driver that returns whatever the input says: codes, lengths, timestamps,
 * refusals, formats. What must hold: no crash, and an index that is what came and what was lost
 * before. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/source/radio.h"
#include "tests/fuzz/fuzz.h"

#define RING_BYTES 16384

/* One owner, one input: the driver has no other way to know them. */
static struct at_radio_page *page;
static const uint8_t *input;
static size_t left;
static int64_t device_time;

struct at_driver {
    size_t max_bytes;
};

static uint64_t take(size_t n)
{
    uint64_t x = 0;
    for (; n > 0; n--, left--) {
        if (left == 0) {
            atomic_store(&page->stop, 1);
            return x;
        }
        x = x << 8 | *input++;
    }
    return x;
}

static int open_driver(const struct at_soapy_options *o, struct at_error *err,
                       struct at_driver_info *ret_info, struct at_driver **ret_driver)
{
    uint64_t what = take(1);
    if (what < 16)
        return at_error_set(err, what < 2 ? -EINVAL : -ENODEV, "not now");
    struct at_driver *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    *ret_info = (struct at_driver_info){.format = (enum at_iq_format)(what & 3),
                                        .full_scale = 128,
                                        .rate_hz = what & 4 ? 8e3 : 61.44e6,
                                        .gain_max_db = what & 8 ? 40 : 0,
                                        .mtu = (size_t)take(2)};
    *ret_driver = d;
    return 0;
}

/* A byte says what comes; most of them samples, so that inputs get somewhere. */
static int read_driver(struct at_driver *d, void *buf, size_t max, int timeout_ms,
                       struct at_driver_read *ret)
{
    static const int codes[8] = {-ETIMEDOUT, -EOVERFLOW, -EBADMSG, -EIO, -12345, 0, 0, 0};
    uint64_t what = take(1);
    if (what < 64)
        return codes[what & 7];
    size_t n = (size_t)(take(1) * max / 255);
    memset(buf, (int)what, n * 2); /* the smallest format's bytes; others see what was there */
    *ret = (struct at_driver_read){.n = n, .has_time = what & 1, .overlong = (what & 0x1e) == 2};
    if ((what & 0x1e) == 4)
        device_time = (int64_t)take(8);
    else
        device_time = (int64_t)((uint64_t)device_time + n * 16);
    ret->time_ns = device_time;
    return 0;
}

static int tune_driver(struct at_driver *d, const struct at_tuning *t, struct at_driver_info *info,
                       struct at_error *err)
{
    return take(1) & 1 ? -EINVAL : 0;
}

static void close_driver(struct at_driver *d)
{
    free(d);
}

/* In libc's place: the loop spares the core after a read that did not wait, a fuzzer does not. */
int nanosleep(const struct timespec *time, struct timespec *rest)
{
    return 0;
}

static void drain(struct at_iq_reader *in)
{
    uint64_t next = 0;
    const void *samples;
    int bad = 0;
    for (const struct at_iq_record *rec; (rec = at_iq_ring_peek(in, &samples, &bad));) {
        for (int i = 0; i < AT_LOST_REASONS; i++)
            next += rec->lost[i];
        if (rec->index != next)
            abort();
        next += rec->n;
        at_iq_ring_pop(in);
    }
    if (bad)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct at_driver_ops ops = {.version = 2,
                                             .open = open_driver,
                                             .read = read_driver,
                                             .tune = tune_driver,
                                             .close = close_driver};
    struct at_iq_reader in;
    struct at_radio r = {.driver_ops = &ops,
                         .options = {.device = "driver=fuzz", .rate_hz = 1e6, .gain_db = NAN},
                         .tuning = {.center_hz = 1e8, .auto_gain = true},
                         .stalled_ns = 1000,
                         .busy_ns = 10,
                         .ring_bytes = RING_BYTES,
                         .socket = -1};
    static void *memory;
    size_t size = at_iq_ring_size(RING_BYTES);
    if (!memory) {
        memory = at_mem_alloc(NULL, AT_MEM_IQ, size);
        page = at_mem_alloc(NULL, AT_MEM_OTHER, sizeof *page);
    }
    if (!page || !memory)
        abort();
    memset(memory, 0, size - RING_BYTES); /* what stands in the samples does not matter */
    atomic_store(&page->stop, 0);
    input = data;
    left = n;
    device_time = 0;
    r.page = page;
    at_iq_writer_init(&r.ring, memory, RING_BYTES);
    at_iq_reader_init(&in, memory, RING_BYTES);
    at_radio_run(&r);
    drain(&in);
    return 0;
}
