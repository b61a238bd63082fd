/* Inside the room: a radio is a driver (every call on the device), a loop that applies our rules to
 * it, and a ring. Both live in a helper process (helper.c), one for each life of a device, because
 * drivers hang, crash and abort; keeper.c on our side starts, watches and ends it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_RADIO_H
#define AT_SOURCE_RADIO_H

#include <stdatomic.h>

#include "lib/source/convert.h"
#include "lib/source/ring.h"
#include "lib/source/source.h"

/* ---- the driver: one table, called by one thread only, in the helper ---- */
struct at_driver;

struct at_driver_info {
    enum at_iq_format format;
    double full_scale, rate_hz, center_hz;    /* as the device says it is */
    double gain_db, gain_min_db, gain_max_db; /* min == max: none to set */
    size_t mtu;
    char label[128], hardware[64];
    char message[256]; /* "asked 2400000 S/s, device gives 2399999.9"; may be empty */
};

struct at_driver_read {
    size_t n;                /* samples in buf, never more than asked for */
    bool has_time, overlong; /* overlong: it claimed more than it was asked for; nothing in buf is
                                to be trusted */
    int64_t time_ns; /* device time of the first sample, or of the end of what an overflow lost */
};

struct at_driver_ops {
    uint32_t version;
    /* Opens, sets up, activates; o is borrowed until it is closed. -EINVAL: refused for good, the
     * error says which setting; else worth a retry. */
    int (*open)(const struct at_soapy_options *o, struct at_error *err,
                struct at_driver_info *ret_info, struct at_driver **ret_driver);
    /* 0; -ETIMEDOUT; -EOVERFLOW and -EBADMSG (corrupt): samples were lost, go on; -EIO: anything
     * else. */
    int (*read)(struct at_driver *d, void *buf, size_t max, int timeout_ms,
                struct at_driver_read *ret);
    /* Another rate restarts the stream. info: gain_db and rate_hz become what they are now.
     * -EINVAL: refused; what comes before it is set. -EIO: the stream does not start again. */
    int (*tune)(struct at_driver *d, const struct at_tuning *t, struct at_driver_info *info,
                struct at_error *err);
    void (*close)(struct at_driver *d);
};
#define AT_START_GAIN_SHARE 0.6 /* of the range, where our own control begins */

/* Puts what t sets into the place of what stands in into. Any process. */
void at_tuning_merge(struct at_tuning *into, const struct at_tuning *t);
/* Takes out of t what is as now already; another rate takes the frequency along, which drivers may
 * move with it. */
void at_tuning_difference(const struct at_tuning *now, struct at_tuning *t);
bool at_tuning_sets_gain(const struct at_tuning *t);

/* NULL: built without SoapySDR. */
const struct at_driver_ops *at_soapy_driver(void);

/* What a helper asks of one module, or of one driver (of which the other is NULL); modules: extra
 * folders. found is called for each device. 0, or a negative errno with err. Helper only. */
int at_soapy_find(const char *module, const char *driver, const char *const *modules,
                  void (*found)(void *ctx, const char *args, const char *label), void *ctx,
                  struct at_error *err);
/* Calls visit with the path of each module file; loads none. Any process. */
void at_soapy_list_modules(const char *const *modules, void (*visit)(void *ctx, const char *path),
                           void *ctx);

/* ---- what the helper and we share: one page, then the ring ---- */

enum at_helper_mode { AT_HELPER_RADIO = 1, AT_HELPER_FIND };
/* Which call on the device the helper is in. */
enum at_radio_call {
    AT_CALL_NONE,
    AT_CALL_OPEN,
    AT_CALL_READ,
    AT_CALL_TUNE,
    AT_CALL_CLOSE,
    AT_CALLS
};

#define AT_PAGE_MAGIC   UINT64_C(0x617474756e650003) /* "attune", and the layout's number */
#define AT_PAGE_MODULES 16384

/* The helper's orders: written by us before it starts, so that no secret stands on a command line.
 */
struct at_radio_orders {
    uint32_t mode; /* enum at_helper_mode */
    int32_t parent;
    uint64_t ring_bytes;     /* of samples */
    struct at_tuning tuning; /* to begin with */
    uint64_t number;         /* of it */
    uint32_t channel;
    bool has_settings, has_module, has_driver;
    int64_t stalled_ns, busy_ns, settle_ns;
    char device[2048], settings[1024], module[2048], driver[128];
    char modules[AT_PAGE_MODULES]; /* folders, each ended by NUL, then an empty one */
};

struct at_radio_page {
    uint64_t magic;
    struct at_radio_orders orders;
    _Alignas(64) _Atomic uint32_t stop, mail; /* ours: leave; a message waits in the socket */
    _Alignas(64) _Atomic uint32_t call;       /* the helper's: enum at_radio_call */
    _Atomic uint64_t turns,
        reads;                /* the helper's: turns of its loop, and those that gave samples */
    _Atomic int32_t gain_mdb; /* the helper's: gain now, thousandths of a dB */
};

/* Rare words between the two, over a socket: one datagram each. */
enum at_helper_word {
    AT_WORD_OPENED = 1,
    AT_WORD_FAILED,
    AT_WORD_TUNED,
    AT_WORD_FOUND,
    AT_WORD_TUNE
};
struct at_helper_message {
    uint32_t word;
    int32_t code;      /* FAILED, TUNED */
    uint64_t number;   /* TUNE, TUNED: which */
    uint32_t format;   /* OPENED */
    double full_scale; /* OPENED */
    double rate_hz, center_hz, gain_db;
    struct at_tuning tuning; /* TUNE */
    char label[128], hardware[64];
    char text[1024]; /* OPENED: message; FAILED, TUNED: error; FOUND: device string */
};

/* ---- the helper's side ---- */
struct at_radio {
    const struct at_driver_ops *driver_ops;
    struct at_soapy_options options;
    struct at_tuning
        tuning; /* as options say; auto_gain: gain_db is where it begins, NAN: the driver chooses */
    uint64_t number; /* of it */
    int64_t stalled_ns, busy_ns, settle_ns;
    struct at_iq_writer ring;
    size_t ring_bytes;
    struct at_radio_page *page;
    int socket; /* -1: nobody listens */
};

/* One life of the device: opens, reads, until page->stop is set or the device is to be opened anew.
 * 0, or what open said; -EIO where the driver is broken. What went wrong is sent as FAILED. */
int at_radio_run(struct at_radio *r);

#endif
