/* Inside the room: a radio is a driver (every call on the device), a loop that applies our rules to it, and a ring. The
 * loop touches the reader through struct at_radio alone, so that it can move into a process of its own.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_RADIO_H
#define AT_SOURCE_RADIO_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/source/anchors.h"
#include "lib/source/convert.h"
#include "lib/source/gain.h"
#include "lib/source/ring.h"
#include "lib/source/source.h"

/* ---- the driver: one table, called by one thread only ---- */
struct at_driver;

struct at_driver_info {
    enum at_iq_format format;
    double full_scale, rate_hz, center_hz; /* as the device says it is */
    double gain_db, gain_min_db, gain_max_db; /* min == max: none to set */
    size_t mtu;
    char label[128], hardware[64];
    char message[256]; /* "asked 2400000 S/s, device gives 2399999.9"; may be empty */
};

struct at_driver_read {
    size_t n; /* samples in buf, never more than asked for */
    bool has_time, overlong; /* overlong: it claimed more than it was asked for; nothing in buf is to be trusted */
    int64_t time_ns; /* device time of the first sample, or of the end of what an overflow lost */
};

struct at_driver_ops {
    uint32_t version;
    /* Opens, sets up, activates. -EINVAL: refused for good, the error says which setting; else worth a retry. */
    int (*open)(const struct at_soapy_options *o, struct at_error *err, struct at_driver_info *ret_info,
                struct at_driver **ret_driver);
    /* 0; -ETIMEDOUT; -EOVERFLOW and -EBADMSG (corrupt): samples were lost, go on; -EIO: anything else. */
    int (*read)(struct at_driver *d, void *buf, size_t max, int timeout_ms, struct at_driver_read *ret);
    int (*tune)(struct at_driver *d, double center_hz, double gain_db, struct at_error *err); /* NAN: leave */
    void (*close)(struct at_driver *d);
};
/* NULL: built without SoapySDR. */
const struct at_driver_ops *at_soapy_driver(void);

/* ---- times of the rules ---- */
struct at_radio_times {
    int64_t stalled_ns, reopen_ns; /* without samples: 1 s, 5 s */
    int64_t retry_ns[5];           /* 1, 2, 5, 10, 30 s, plus up to a quarter of jitter */
    int64_t hang_ns; /* how long destroy waits for the owner thread: 1.5 s */
    int64_t busy_ns; /* pause behind a driver that returns nothing at once: 10 ms */
};
void at_radio_times_default(struct at_radio_times *t, double scale);

/* What lies between the owner of the device and the reader. */
struct at_radio {
    /* fixed before the owner starts */
    const struct at_driver_ops *driver_ops;
    struct at_soapy_options options; /* strings owned by the source */
    struct at_radio_times times;
    struct at_iq_ring *ring;
    size_t ring_bytes;
    /* owner -> any */
    _Atomic int state;
    _Atomic int fatal; /* negative errno: given up for good */
    _Atomic uint64_t end_index, lost[AT_LOST_REASONS], events[AT_LOST_REASONS], reconnects, pushed;
    /* reader -> any */
    _Atomic uint64_t popped, masked, masked_events;
    _Atomic bool stopping;
    pthread_mutex_t lock; /* info, mailbox */
    pthread_cond_t changed;
    struct at_source_info info;
    struct at_error error; /* why it is not running */
    struct {
        uint64_t asked, answered;
        double center_hz, gain_db;
        int result;
        struct at_error err;
    } tune;
};

/* The owner's life: opens, reads, recovers, until stopping is set or the device refuses a setting for good. */
void at_radio_run(struct at_radio *r);
/* Wakes the owner from its pauses and the reader from its wait. Any thread. */
void at_radio_wake(struct at_radio *r);

/* A source over any driver; at_source_open_soapy() is this with at_soapy_driver(). */
int at_radio_source_open(const struct at_driver_ops *ops, const struct at_soapy_options *options, struct at_error *err,
                         struct at_source **ret_source);

#endif
