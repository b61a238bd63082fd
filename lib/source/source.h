/* Where IQ comes from: one table of operations for radios, files and simulations.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_SOURCE_H
#define AT_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/source/convert.h"

/* Why samples that were due did not come. One counter each; `attune_samples_lost_total{reason}`. */
enum at_lost_reason {
    AT_LOST_OVERFLOW,  /* the driver said so */
    AT_LOST_GAP,       /* its timestamps jumped */
    AT_LOST_RING_FULL, /* we were too slow */
    AT_LOST_STALL,     /* nothing came: unplugged, hung, re-opened */
    AT_LOST_CORRUPT,   /* NaN, Inf, over-long or otherwise unusable, masked */
    AT_LOST_RETUNE,    /* while the tuner settled: of no known frequency, dropped */
    AT_LOST_REASONS,
};
const char *at_lost_reason_name(enum at_lost_reason reason); /* "overflow", "gap", ... */

enum at_source_state {
    AT_SOURCE_STARTING,
    AT_SOURCE_RUNNING,
    AT_SOURCE_STALLED,
    AT_SOURCE_ENDED,
    AT_SOURCE_FAILED
};
const char *at_source_state_name(enum at_source_state state);

/* What a source is and delivers, filled by open and refined by start (the rate a device gives). */
struct at_source_info {
    double rate_hz;         /* complex samples a second */
    double center_hz;       /* RF at baseband 0; 0: unknown, then frequencies are baseband */
    double other_center_hz; /* of a file: the first that differs, where its captures were tuned
                               apart; else 0 */
    uint64_t n_samples;     /* of a file; 0: endless */
    int64_t start_utc_ns;   /* UTC of sample 0; 0: unknown */
    double assumed_floor_dbfs_hz; /* quantisation noise density of the converter, for a band without
                                     noise to see */
    char format[16];   /* as the device or file holds it: cu8, cs8, cs16, cs24, cs32, cf32 */
    char name[128];    /* for people: file name or device label */
    char hardware[64]; /* for SigMF core:hw; empty where unknown */
    char message[256]; /* newest thing a person should know: "cut short", "device gives 1024001
                          S/s"; may be empty */
};

/* One read. Samples [index, index + n) are contiguous; a jump of index against the previous read's
 * end is a gap, already counted in the ledger. */
struct at_read {
    size_t n;             /* samples written to iq; 0 with return 0: nothing within the timeout */
    uint64_t index;       /* absolute sample index of iq[0], from 0 at start */
    int64_t delivered_ns; /* CLOCK_MONOTONIC when the driver delivered the last of them; paced
                             files: when due */
    int64_t utc_ns;       /* UTC of iq[0]; 0 where unknown */
    double center_hz; /* these samples were taken at; changes with tune and between SigMF captures,
                         never inside a read */
    double gain_db;   /* likewise; 0 for files. A step resets the noise floor */
    uint64_t tuning;  /* likewise: number that tune() gave; 0: as it was opened */
    double rate_hz;   /* likewise: as the device gives it. Behind a change of rate the index goes on
                         in the new one's samples */
    size_t masked; /* of the n, those that were not finite: 0 in iq, lost as corrupt in the ledger
                      and not delivered */
    struct at_raw
        lent; /* of lend(): all of them finite; its samples are NULL where they are in iq */
};

/* requested = delivered + sum(lost) to the sample, at each look; none of them ever falls. */
struct at_ledger {
    uint64_t requested, delivered, lost[AT_LOST_REASONS];
    uint64_t events[AT_LOST_REASONS]; /* how often, beside how many */
    uint64_t reconnects;
};

/* What a radio is set to for a band. */
struct at_tuning {
    double center_hz, ppm; /* NAN: as it is */
    double gain_db; /* NAN: as it is; with auto_gain: where our own control begins, NAN: where it
                       did at opening */
    double rate_hz; /* 0: as it is; another one restarts the stream */
    int bias_tee;   /* 0: as it is, 1: on, -1: off */
    bool auto_gain; /* our own slow control from here on */
    char gains[256], antenna[128],
        settings[1024]; /* gains: "LNA=20,VGA=12" instead of gain_db; empty: as they are */
};

struct at_source;

struct at_source_ops {
    uint32_t version; /* AT_SOURCE_VERSION; the struct grows at its end */
    const char *name; /* "soapy", "file" */
    /* Begins delivery. 0 or negative errno (then err says what to do). */
    int (*start)(struct at_source *s, struct at_error *err);
    /* Up to max samples into iq (max, 2) as floats at full scale 1, converted once from the native
     * format; waits at most timeout_ms. 0; -ENODATA: ended, all delivered; -EIO: failed for good
     * (err says why); after -EAGAIN the source is re-opening itself and may be read again. */
    int (*read)(struct at_source *s, float *iq, size_t max, int timeout_ms, struct at_read *ret,
                struct at_error *err);
    /* Ends delivery; a blocked read returns soon. */
    void (*stop)(struct at_source *s);
    /* Asks a radio for another tuning while it streams, and returns at once: a driver may take its
     * time, or hang. What was asked for last is done, by a later life where this one is not open.
     * *ret_number: what at_read.tuning of its samples says. 0; -ENOTSUP for files; -EINVAL: it
     * can't be. Any thread, one at a time. */
    int (*tune)(struct at_source *s, const struct at_tuning *tuning, uint64_t *ret_number,
                struct at_error *err);
    void (*get_info)(const struct at_source *s, struct at_source_info *ret); /* any thread */
    void (*get_ledger)(const struct at_source *s, struct at_ledger *ret);    /* any thread */
    enum at_source_state (*get_state)(const struct at_source *s);            /* any thread */
    void (*destroy)(struct at_source *s);                                    /* NULL is fine */
    /* What became of the newest tune(): 0: set, its samples follow; -EAGAIN: not yet known;
     * -EINVAL: refused, and what stood before is set again; -EIO: the driver hung in it or went
     * down, the next life begins with what stood before. err says why. -ENOTSUP for files. Any
     * thread. */
    int (*get_tuned)(struct at_source *s, uint64_t number, struct at_error *err);
    /* As read(), but the samples stay where they are, for others to convert: ret->lent, until the
     * next read() or lend(). -ENOTSUP, and nothing was taken: read() gives what comes next. The
     * reader's thread. */
    int (*lend)(struct at_source *s, size_t max, int timeout_ms, struct at_read *ret,
                struct at_error *err);
};
#define AT_SOURCE_VERSION 4

/* First member of every source. */
struct at_source {
    const struct at_source_ops *ops;
};

/* How a file is read; zero-initialised means: all from the file itself, as fast as it is read. A
 * center_hz of 0 counts as not given. NULL instead of it is the same. */
struct at_file_options {
    const char
        *format;    /* cu8 cs8 cs16 cs24 cs32 cf32, or NULL: from SigMF, WAV header, or the name */
    double rate_hz; /* 0: likewise */
    double center_hz; /* NAN: likewise */
    bool paced;       /* deliver in real time, as a radio would */
    bool loop;        /* begin again at the end (seamless index) */
};

/* Opens raw .cu8 .cs8 .cs16 .cs24 .cs32 .cf32 (.cfile .complex .data .complex16s .complex16u),
 * SigMF (-meta, -data, the stem or an archive), two-channel WAV, SDRangel's .sdriq, a PortaPack's
 * .C16 or .C8 with its .TXT, or "-" (standard input, raw, needs format and rate). Owner: the
 * caller, who calls ops->destroy. -ENOENT, -EINVAL (names what is missing: "say --rate 250k"),
 * -E2BIG. Thread: any, one at a time. */
int at_source_open_file(const char *path, const struct at_file_options *options,
                        struct at_error *err, struct at_source **ret_source);

#define AT_SETTLE_S 0.01 /* what tuners take at most, with a margin: PLLs lock within 1 to 5 ms */

struct at_soapy_options {
    const char *device;        /* "driver=rtlsdr,serial=00000002"; must name its driver */
    double rate_hz, center_hz; /* RF at baseband 0 */
    double most_rate_hz;       /* that tune() will ask for; 0: rate_hz */
    double gain_db;            /* NAN: auto, our own slow control */
    const char *gains;         /* "LNA=20,VGA=12" or NULL */
    const char *antenna;       /* NULL: the device's default */
    double ppm;
    int bias_tee;               /* 0: as it is, 1: on, -1: off */
    const char *settings;       /* "key=value,..." passed to writeSetting, or NULL */
    const char *const *modules; /* extra module folders, NULL-terminated, or NULL */
    size_t channel;
    double
        settle_s; /* so much is dropped behind each tuning, while the tuner settles; 0: nothing */
    double time_scale; /* of the stall and retry rules; 0: 1. Tests compress time with it */
    const char *name;  /* of the radio, for the process list; NULL: the driver's */
    /* What the driver prints, a line at a time, at most 20 in 10 s; NULL: thrown away. Thread: the
     * source's own. */
    void (*log)(void *ctx, const char *line);
    void *log_ctx;
};

/* Opens a SoapySDR radio; a helper process, made anew for each life of the device, owns every call
 * on it, so that a driver that hangs, crashes or aborts takes nothing with it (the program's main()
 * begins with at_helper_main(), see helper.h). A device that is missing is no error here: the
 * source is STARTING or FAILED, retries with back-off (1, 2, 5, 10, 30 s and jitter), and read says
 * -EAGAIN. No samples for 1 s: STALLED; for 5 s: the helper is ended and made again. -EINVAL: the
 * options can't be; -EIO from read: the device refuses a setting for good. */
int at_source_open_soapy(const struct at_soapy_options *options, struct at_error *err,
                         struct at_source **ret_source);

/* What at_soapy_enumerate() calls, on the caller's thread. */
struct at_soapy_seen {
    void (*found)(void *ctx, const char *args,
                  const char *label); /* "driver=...,serial=...", for people */
    void (*failed)(void *ctx, const char *module,
                   const char *why); /* a module that is broken, crashed or hung */
    void *ctx;
};
/* Asks the named drivers ("rtlsdr,hackrf"; NULL: every module there is) for their devices, each in
 * a helper of its own that has 15 s. 0 whatever single modules do; -ENOTSUP, -E2BIG, or no helper
 * could be made. */
int at_soapy_enumerate(const char *drivers, const char *const *modules,
                       const struct at_soapy_seen *seen, struct at_error *err);

#endif
