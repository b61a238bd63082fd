/* What the files of the engine share; nobody else includes this.
 *
 * Threads. One mutex, classifier.lock, guards the list of streams, their queues' ends, the spare
 * sessions, the choice and the figures. A stream's session and verdict belong to whoever has set
 * `busy` under the lock. A receiver's `publish` mutex keeps its results one at a time; it is never
 * taken under the lock, and the lock never under it. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ENGINE_INTERNAL_H
#define AT_ENGINE_INTERNAL_H

#include <pthread.h>

#include "lib/base/clock.h"
#include "lib/base/histogram.h"
#include "lib/engine/engine.h"
#include "lib/engine/scheduler.h"
#include "lib/kernels/kernels.h"

#define QUEUE_TOKENS                                                                               \
    1024 /* of one emission: the look-back of a new one, and runs of AT_RUN_MIN                    \
          */
#define MAX_THREADS 16
#define SERVE_MAX   4    /* streams that a worker serves at once: 256 rows fill an encoder's pass */
#define FIGURES     1024 /* newest decisions that p50 and p95 speak of, half of them at least */
/* The live p50 and p95 of a candidate come from its newest decisions of a few seconds. */
#define LIVE_NEWEST   256
#define LIVE_AGE_NS   (4 * AT_NS_PER_S)
#define SWITCH_TOKENS 256 /* or the window, where that is less */
#define SPARE_MAX     16
#define BUCKETS       64
#define PUSH_MARKS    64

/* A budget of latency of its own and what the selector chose under it. */
struct policy {
    double budget_ms;
    int choice;
    struct at_selector_hold hold;
    unsigned receivers; /* that are held to it; of none but the first: free for another budget */
};

/* One thread's means to serve streams. */
struct server {
    struct at_classifier *c;
    struct at_worker *worker;
    float *frames; /* (SERVE_MAX, AT_PACE_NEXT, columns): chunks that wrap around their rings */
    pthread_t thread;
    bool started;
};

struct stream {
    struct stream *next, **link; /* the classifier's list of live streams */
    struct stream *next_bucket;  /* the receiver's table */
    struct at_receiver *r;
    struct at_emission emission; /* newest known */
    uint64_t serial;
    /* queue: the pushing thread puts, a server takes */
    float *frames; /* (QUEUE_TOKENS, columns); NULL: the budget is spent */
    struct at_mark marks[QUEUE_TOKENS];
    uint64_t head, tail; /* tokens put, taken */
    bool ended, busy;
    bool watched;     /* reaches into a range of the receiver's watch */
    uint64_t starved; /* generation at which no session was to be had; 0: not so */
    /* supply */
    struct at_supply supply;
    bool throttled; /* tokens were refused since the newest one */
    bool cut;       /* what waited was dropped amid a run: the next token begins a new one */
    double hop;     /* band samples per token; 0: no token yet */
    uint64_t newest_index;
    uint64_t opened_push; /* the receiver's push that showed it: what comes with it is look-back */
    double missed;        /* tokens that were there and not taken */
    /* the answer: whoever is busy */
    struct at_session *session;
    int candidate; /* of the session */
    /* A session of another kind that hears the same tokens and answers once it has SWITCH_TOKENS,
     * or NULL. */
    struct at_session *heir;
    int heir_candidate;
    struct at_pace pace;
    struct at_verdict verdict;
    struct at_answer answer;
    uint64_t seen, seen_index; /* tokens; index of the newest */
    float snr_db, share;       /* at the newest token seen */
    int64_t delivered_ns;      /* of it */
    int64_t closed_ns;         /* delivery of the samples that showed that it has ended */
    int64_t served_ns;
    float inference_ms, latency_ms, first_decision_s;
    char backend[16], mode[8];
    uint32_t window;
};

struct at_classifier {
    struct at_mem own_mem, *mem, *owner; /* mem: counted, never NULL; owner: of this struct */
    struct at_model *model;
    struct at_encoder *encoder;
    size_t columns; /* n_bins + n_aux of the model */
    unsigned n_threads;
    double budget_bytes;
    double supply; /* share of a live emission's tokens a second that the workers can keep up with,
                      0..1 */
    struct at_session_shape shapes[AT_MAX_CANDIDATES];
    double flops[AT_MAX_CANDIDATES]; /* of one push of AT_PACE_NEXT tokens with full caches */
    int file_choice; /* of receivers that are not live: by accuracy alone, so that files repeat */
    char forced[16];

    pthread_mutex_t lock;
    pthread_cond_t work; /* something to serve, or stop */
    pthread_cond_t idle; /* a stream was finished */
    struct at_selector_state state;
    struct stream *streams;
    size_t n_streams;
    struct at_task *tasks; /* (max_tasks), scratch of the pick */
    struct stream **task_streams;
    size_t max_tasks;
    struct {
        struct at_session *session;
        int candidate;
    } spare[SPARE_MAX];
    unsigned n_spare, n_sessions; /* spare ones not counted */
    uint64_t serial,
        generation; /* generation: rises whenever a session may have come free; from 1 */
    struct at_classifier_stats stats;
    struct at_recent inference, latency;
    struct at_recent live[AT_MAX_CANDIDATES]; /* of live receivers' decisions, by candidate */
    struct policy policies[AT_MAX_POLICIES];  /* the first is the state's own budget and choice */
    size_t n_policies;
    int64_t busy_ns, chosen_ns; /* worker time since the last choice */
    bool stop;
    struct at_share *share; /* NULL: alone */
    bool freed, lacks; /* memory or a spare session came free, or was not to be had, which others of
                        * the share are still to be told */

    struct server servers[MAX_THREADS];
};

struct at_receiver {
    struct at_classifier *c;
    struct at_band *band;
    struct at_receiver_sink sink;
    const struct at_bandplan *bandplan;
    char radio[32], band_name[32], boot[32];
    double center_hz, rate_hz;
    double (*watch)[2]; /* (n_watch) baseband Hz, owned */
    size_t n_watch;
    size_t policy;                     /* of the classifier's */
    bool live, file, inline_, closing; /* closing: under the lock */
    bool away;                         /* its radio is elsewhere; under the lock */
    uint32_t n_bins;                   /* of a frame; the model's */
    uint64_t slice;                    /* samples of one push into the band */
    uint64_t now; /* first sample of the slice being pushed, rounded down to slices */
    struct {
        uint64_t end;
        int64_t delivered_ns;
    } pushes[PUSH_MARKS];
    uint64_t n_pushes;
    uint64_t utc_index; /* anchor: sample index and its UTC; utc_ns 0: none */
    int64_t utc_ns;
    pthread_mutex_t publish;
    struct stream *bucket[BUCKETS];
    size_t n_streams;
    uint64_t skipped;     /* of the band, as last counted */
    int failed;           /* -ENOMEM inside a callback, until it is told */
    struct server server; /* of a receiver that serves itself */
};

/* stream.c: one emission's queue and decisions */
struct stream *at_stream_create(struct at_receiver *r, const struct at_emission *e);
void at_stream_destroy(struct stream *s);
size_t at_stream_room(struct stream *s);
/* What the emission fills of its band, 0..1; pushing thread, or lock held. */
float at_stream_share(const struct stream *s);
void at_stream_put(struct stream *s, const float *frames, size_t n, bool new_run, uint64_t index);
void at_stream_end(struct stream *s, const struct at_emission *e); /* no more tokens; lock held */
/* now_ns: what a live stream's tokens are judged late by; files have none. */
struct at_chunk at_stream_plan(const struct stream *s, int64_t now_ns);
void at_stream_shed(struct stream *s,
                    int64_t now_ns); /* drops what is stale; lock held, not busy */
void at_stream_result(const struct stream *s, struct at_result *ret);

/* serve.c: what a thread does with a stream, and the threads */
/* Serves one chunk. Called with the lock held and the stream not busy; returns with the lock held.
 * False: nothing was to be done now. A finished stream is published as ended, taken out and
 * destroyed. */
bool at_stream_serve(struct stream *s, struct server *server);
/* Gives its session back where its radio is elsewhere and nothing is left to be heard or said; lock
 * held, not busy or by whoever is. */
void at_stream_rest(struct stream *s);
void at_stream_drop(
    struct stream *s); /* takes it out and destroys it; lock held, not busy or by whoever is */
int at_server_init(struct at_classifier *c, struct server *s, struct at_error *err);
int at_server_start(struct server *s);
void at_server_finish(struct server *s); /* joins its thread */

/* receiver.c */
void at_receiver_forget(struct at_receiver *r, struct stream *s); /* lock held */
void at_receiver_publish(struct at_receiver *r,
                         struct at_result *result); /* adds the service; no lock held */

/* share.c */
int at_share_join(struct at_share *s, struct at_classifier *c,
                  struct at_error *err);      /* s NULL: nothing */
void at_share_leave(struct at_classifier *c); /* no lock held */
/* Tells the others what c->freed and c->lacks say; lock held, let go of meanwhile where it returns
 * true. */
bool at_share_settle(struct at_classifier *c);

/* sessions.c: sessions under the KV budget; lock held (acquire lets go of it while it allocates) */
int at_sessions_acquire(struct at_classifier *c, struct stream *s);
void at_sessions_release(struct at_classifier *c, struct stream *s); /* its heir too */
/* A session that is to follow s->session, where the budget has room; else none. */
void at_sessions_add_heir(struct at_classifier *c, struct stream *s, int candidate);
void at_sessions_drop_spares(struct at_classifier *c);
void at_sessions_drop_heir(struct at_classifier *c, struct stream *s);
/* The heir takes over. */
void at_sessions_switch(struct at_classifier *c, struct stream *s);
bool at_sessions_affords(const struct at_classifier *c,
                         double bytes); /* within the KV budget still */
void at_sessions_finish(struct at_classifier *c);

/* choose.c: candidates and the selector */
int at_choose_init(struct at_classifier *c, const struct at_classifier_config *config,
                   struct at_error *err);
/* p50 of one decision: live where known, else calibrated; NAN: neither. */
double at_candidate_ms(const struct at_candidate *k);
/* The candidate that a receiver's sessions should run under; lock held. */
int at_choose_of(const struct at_receiver *r);
/* A policy for one more receiver's budget_ms, an equal one where there is. -E2BIG. */
int at_choose_add_budget(struct at_classifier *c, double budget_ms, struct at_error *err,
                         size_t *ret_policy);
/* Whether it is chosen under any budget; lock held. */
bool at_choose_wants(const struct at_classifier *c, int candidate);
void at_choose_drop_budget(struct at_classifier *c,
                           size_t policy); /* 0, the classifier's: nothing */
void at_choose_again(struct at_classifier *c,
                     int64_t now_ns); /* lock held; at most four times a second */

/* calibrate.c: calibrated_ms of each candidate, measured or from the cache */
void at_calibrate(struct at_classifier *c, const char *cache_dir);

#endif
