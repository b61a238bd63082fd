/* Keeps a radio alive: one thread that makes the helper process, watches it, ends it and makes it
 * again, for ever. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_KEEPER_H
#define AT_SOURCE_KEEPER_H

#include <pthread.h>

#include "lib/source/process.h"

/* ---- times of the rules ---- */
struct at_radio_times {
    int64_t stalled_ns, reopen_ns; /* without samples: 1 s, 5 s */
    int64_t open_ns;               /* how long opening may take (firmware, calibration): 30 s */
    int64_t retry_ns[5];           /* 1, 2, 5, 10, 30 s, plus up to a quarter of jitter */
    int64_t hang_ns;               /* how long one that was told to leave may take: 1 s */
    int64_t busy_ns;               /* pause behind a driver that returns nothing at once: 10 ms */
};
/* scale: 1, or less in tests; open_ns and hang_ns are not scaled below what a process needs. */
void at_radio_times_default(struct at_radio_times *t, double scale);

/* One life of the device, in one helper. */
struct at_life {
    struct at_process process;
    _Atomic bool opened, over,
        damaged;              /* over: the process is gone; damaged: the reader found nonsense */
    struct at_iq_reader ring; /* the reader's, as is what follows */
    uint64_t next;            /* index behind the newest sample that was taken */
    bool begun;
};

struct at_keeper {
    struct at_soapy_options options; /* strings owned by the source */
    struct at_tuning
        set;         /* what the next life begins with; under the lock once there is a thread */
    uint64_t number; /* of it; likewise */
    struct at_radio_times times;
    int wake; /* eventfd: something was asked */
    pthread_t thread;
    bool runs;
    _Atomic int state; /* enum at_source_state */
    _Atomic int fatal; /* negative errno: given up for good */
    _Atomic bool stopping;
    _Atomic uint64_t reconnects;
    struct at_life life;
    pthread_mutex_t lock; /* what stands below */
    pthread_cond_t changed;
    bool readable; /* life holds a ring; the reader clears it once the life is over and the ring
                      empty */
    struct at_source_info info;
    double asked_rate_hz; /* for which the device gave info.rate_hz; 0: none yet */
    double full_scale;    /* of the samples; valid once opened, as is format */
    uint32_t format;
    struct at_error error; /* why it is not running */
    struct {
        uint64_t asked, sent, answered;
        struct at_tuning wanted;
        int result;
        struct at_error err;
    } tune;
    /* the thread's own */
    uint64_t reads, turns;
    int64_t moved_ns, turned_ns; /* when they last changed */
    int failed;                  /* what the helper said when it gave up; 0: nothing */
    bool opened_before;
    unsigned seed;
    int64_t lines_since_ns; /* of the log's limit */
    unsigned lines, lines_left_out;
};

/* k: zeroed but for options and set. 0 or a negative errno. */
int at_keeper_init(struct at_keeper *k, struct at_error *err);
int at_keeper_start(struct at_keeper *k, struct at_error *err);
/* Ends the helper (politely, then not) and the thread, frees. */
void at_keeper_finish(struct at_keeper *k);
/* Wakes the thread from its wait, and the reader from its own. Any thread. */
void at_keeper_wake(struct at_keeper *k);

#endif
