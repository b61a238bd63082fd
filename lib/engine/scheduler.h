/* Who is served next, with how much, and who is cut: pure functions over plain structs (DESIGN.md
 * section 2, Pacing).
 *
 * Nothing here knows a clock, a lock or a session; the engine fills the structs. All functions: any
 * thread, RT-safe. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ENGINE_SCHEDULER_H
#define AT_ENGINE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AT_PACE_FIRST      16   /* tokens of the first decision */
#define AT_PACE_NEXT       64   /* new tokens of each further one; also the most of one push */
#define AT_PACE_INTERVAL_S 0.25 /* of stream time between decisions */
#define AT_RUN_MIN         256  /* shortest run of a session that cannot be fed every token */

/* ---- pacing: where the next push of one emission ends, and whether a decision stands there ----
 */

/* What is known of a waiting token. */
struct at_mark {
    uint64_t index;       /* one past its last sample, band samples */
    int64_t delivered_ns; /* CLOCK_MONOTONIC of that sample */
    int64_t queued_ns;    /* CLOCK_MONOTONIC of when it began to wait: what came before is not the
                             workers' delay */
    float snr_db, share;  /* of the emission, then; of the band that it fills */
    bool new_run;         /* follows a gap: the session must be reset before it */
};

struct at_pace {
    uint64_t decisions, run_tokens; /* made so far; fed since the last reset */
    uint64_t new_tokens;            /* fed since the last decision */
    uint64_t last_index;            /* of the last decision's newest token */
    uint64_t interval;              /* AT_PACE_INTERVAL_S in band samples */
};

struct at_chunk {
    size_t n;    /* tokens to push now; with reset and decide false and n 0: wait for more */
    bool reset;  /* before the push */
    bool decide; /* after the push */
    bool done;   /* the emission has ended and nothing is left */
};

#define AT_NEVER_LATE INT64_MIN

/* marks: ring of cap marks, the oldest waiting at (tail % cap), n of them. late_ns: what was
 * delivered before it is late; a decision that is moves on to newer tokens of its run, as far as
 * there are any: nobody wants to know what was, and the push costs no more. With AT_NEVER_LATE the
 * answer depends on the tokens alone, never on when they came, so that a file gives the same
 * decisions with any number of threads. */
struct at_chunk at_pace_plan(const struct at_pace *p, const struct at_mark *marks, size_t cap,
                             uint64_t tail, size_t n, bool ended, int64_t late_ns);

/* How many of the waiting tokens are to be dropped, the oldest, because no worker came in time:
 * none while fewer than a shortest run wait or the next push has not waited since before late_ns;
 * else the runs before the newest, or where that is the only one, all (what comes next is a new run
 * then). What was late when it came is no reason: a radio's thread that lags would leave nothing to
 * decide on. */
size_t at_pace_stale(const struct at_mark *marks, size_t cap, uint64_t tail, size_t n,
                     int64_t late_ns);

/* ---- supply: how many tokens of one emission are taken, in stream time ---- */

/* A token bucket over sample indices: an emission is fed whole while it makes fewer than rate
 * tokens a second, else in runs of at least `resume` tokens. Zero-initialised with index and tokens
 * set is ready. */
struct at_supply {
    double tokens;  /* in the bucket */
    uint64_t index; /* when it was last filled */
    size_t offered; /* when last asked; who takes all of it has probably left more behind, and the
                       run is over */
    bool open;      /* a run is going on */
};

/* Tokens that may be taken now. rate: tokens per band sample; burst: the most the bucket holds;
 * resume: what it must hold before a new run begins; space: room in the queue. now: sample index,
 * never falling. */
size_t at_supply_room(struct at_supply *s, uint64_t now, double rate, double burst, size_t resume,
                      size_t space);
void at_supply_take(struct at_supply *s, size_t n);

/* ---- order: which emission a worker serves ---- */

struct at_task {
    bool runnable; /* has a chunk that can be pushed, is not being served, and has or can have a
                      session */
    bool fresh;    /* no decision yet */
    bool watched;  /* the configuration asks for it first */
    bool has_session;
    bool busy;
    uint64_t serial;     /* rises with each emission */
    int64_t served;      /* when its last decision was made, any rising clock */
    uint64_t run_tokens; /* of its session */
    size_t queued;
};
#define AT_NO_TASK SIZE_MAX

/* Watched emissions before all others; among each kind new ones first, the oldest of them before
 * the others, then the one whose last decision is oldest. AT_NO_TASK: nothing can run. */
size_t at_sched_pick(const struct at_task *tasks, size_t n);

/* Whose session is given to another when the KV budget is spent: not one being served, nor one that
 * has not decided, nor one amid a run shorter than AT_RUN_MIN; of the rest the one that decided
 * last, whose answer is freshest. A watched one is cut for another watched one (for_watched) only,
 * and only where no other may be. AT_NO_TASK: none may be cut. */
size_t at_sched_victim(const struct at_task *tasks, size_t n, bool for_watched);

/* How many of the waiting decisions one of n_threads makes together, each of which takes each_ms
 * (NAN: not known): its share, as long as the whole takes at most a twentieth of budget_ms (0: no
 * limit), because each of them waits for all, and a thread that shares its core needs a multiple of
 * that time; at least 1. */
size_t at_sched_together(size_t waiting, unsigned n_threads, double each_ms, double budget_ms);

#endif
