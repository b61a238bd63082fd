/* One radio's thread: open, read, push, and again after trouble, for ever.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_PULLER_H
#define AT_DAEMON_PULLER_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/pipeline.h"

/* One of its bands; see bands.h. */
struct at_puller_band {
    struct at_puller *radio;
    const struct at_config_band *conf;
    struct at_classifier
        *classifier; /* set before the thread starts; under the lock, for the view */
    size_t slot;     /* among the radio's */
    /* The thread's own. */
    struct at_receiver *receiver;
    uint64_t tuning; /* number of the newest tuning to it */
    double gain_db;  /* that its own control had come to; NAN: not known */
    uint64_t begin;  /* index at which this visit began */
    /* Its own index, in which its receiver, rows and look-back count: the source's + shift, so that
     * time passes in it at its rate while the radio is at bands of other rates. ahead: what is to
     * be added to shift at the next visit. */
    int64_t shift;
    double ahead;
    int64_t anchor_utc_ns; /* of anchor_index, its own */
    uint64_t anchor_index;
    /* Under the puller's lock. */
    struct at_iqring *look_back; /* NULL: none */
    double rate_hz;              /* that its receiver is made for; written by the thread */
    struct at_band_stats stats;
    bool has_stats;
    uint64_t visits;
    int64_t changed_ns; /* when it was come to or left; 0: never */
    char error[160];    /* why the radio could not be tuned to it */
};

struct at_puller {
    size_t index;
    const struct at_config *config;
    const struct at_config_radio *conf;
    const struct at_outlets *outlets;
    const char *boot;
    int once;                           /* give a file up that cannot be read */
    const struct at_bandplan *bandplan; /* NULL: no service hints */
    bool live;                          /* not a file that is read as fast as it goes */

    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; /* what stands below */
    pthread_cond_t wake;
    bool stopping, last_words;  /* last_words: emissions end in order when it is told to leave */
    struct at_source *source;   /* NULL while closed */
    enum at_source_state state; /* while closed */
    struct at_source_info info; /* of the newest source */
    struct at_ledger past;      /* of closed sources */
    size_t band;                /* visited now */
    char error[512];
    uint64_t retries, processed;
    int64_t samples_ns; /* when the newest samples came; 0: none yet */
    double busy_ratio;
    bool done, failed; /* ended for good */

    _Atomic int64_t pushing_since_ns; /* 0: not in the receiver */
    unsigned lives;                   /* receivers made; thread's own, as are those below */
    const struct at_receiver_sink *sink;
    bool asked, rested; /* for another band, whose samples have not come yet; this one has been
                           paused meanwhile */
    size_t turn;        /* bands beyond the visited one that it is asked for */
    uint64_t next;      /* index behind the newest sample */
    uint64_t retuned;   /* samples of this source lost by changes of band, as last seen */
    size_t n_bands;
    struct at_puller_band bands[AT_CONFIG_MAX_BANDS];
};

/* r: zeroed but for the first group. */
void at_puller_init(struct at_puller *r);
int at_puller_start(struct at_puller *r);
/* Tells the thread to leave; does not wait. last_words: what is alive is ended and published first;
 * else the process ends and nobody asks. */
void at_puller_stop(struct at_puller *r, bool last_words);
/* Waits, frees. */
void at_puller_finish(struct at_puller *r);
/* See at_pipeline_get_iq. */
int at_puller_get_iq(struct at_puller *r, const struct at_result *e, double margin_s,
                     struct at_iq_piece *ret);
void at_puller_get_view(struct at_puller *r, struct at_radio_view *ret);

#endif
