/* One radio's way from IQ to decisions: band -> sessions -> workers -> results. The command line,
 * the daemon and the training's evaluation all come through here, so that the same samples give the
 * same results.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ENGINE_ENGINE_H
#define AT_ENGINE_ENGINE_H

#include "lib/attn/selector.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/dsp/band.h"
#include "lib/engine/result.h"
#include "lib/model/encoder.h"

/* ---- the classifier: encoder, selector, workers; one per model, shared by all its bands ---- */
struct at_classifier;

/* Classifiers that count their memory together, and so wait for each other's: what one frees wakes
 * streams of another that found no room, and sessions that one keeps spare go where another lacks
 * them. Destroyed after the last of them; NULL is fine. Any thread. */
struct at_share;
int at_share_create(struct at_error *err, struct at_share **ret_share);
void at_share_destroy(struct at_share *s);

struct at_classifier_config {
    const char *model_path;
    const char *backend; /* NULL or "auto": selector; else forced (ATTUNE_BACKEND wins over it) */
    const char *mode;    /* NULL or "auto": selector; "fp32", "bf16": that alone */
    uint32_t window; /* 0: the model's and those its card vouches for, as the selector finds best */
    double budget_ms;    /* p95 of one decision; 0: 30 */
    double budget_kv_mb; /* 0: 480 */
    unsigned threads;    /* workers; 0: decisions run inside at_receiver_push, deterministic (files,
                            training) */
    const char *cache_dir;  /* calibration kept between starts; NULL: none */
    struct at_share *share; /* borrowed, with those of the same mem; NULL: it is alone */
};

int at_classifier_create(struct at_mem *mem, const struct at_classifier_config *config,
                         struct at_error *err, struct at_classifier **ret_classifier);
void at_classifier_destroy(struct at_classifier *c);
const struct at_model *at_classifier_model(const struct at_classifier *c);

/* What was chosen under one budget of latency: the classifier's own, or that of bands. */
#define AT_MAX_POLICIES 16
struct at_policy_state {
    unsigned receivers; /* that have this budget as their band's own; 0 and not the first: unused */
    double budget_ms;
    int choice; /* index of the candidate; -1: none yet */
    bool over_budget;
    char reason[96];
};

/* What the selector sees and chose, for the log and /api/v1/selector. Any thread. */
struct at_selector_state {
    struct at_candidate candidates[AT_MAX_CANDIDATES];
    size_t n_candidates;
    struct at_selector_input input;
    struct at_choice choice;
    struct at_policy_state
        policies[AT_MAX_POLICIES]; /* the first is the classifier's own: choice in short */
    size_t n_policies;
    uint64_t changes; /* of all of them */
    char kernel[16];
    double budget_ms, budget_kv_mb;
};
void at_classifier_get_state(const struct at_classifier *c, struct at_selector_state *ret);

/* From now on; 0: as it was. What runs is chosen anew at once, sessions follow at their next run.
 * Any thread. */
void at_classifier_set_budget(struct at_classifier *c, double budget_ms, double kv_mb);

struct at_classifier_stats {
    uint64_t decisions, budget_exceeded, tokens, tokens_skipped;
    unsigned sessions, queue_depth;
    size_t kv_bytes, kv_peak_bytes;
    double p50_ms, p95_ms; /* inference of the newest decisions, 512 to 1024 */
    /* decision latency, likewise: from delivery of the newest token's last sample, or of the
     * samples that made the decision due where those came later (the emission was seen, has ended,
     * begins a new run) */
    double latency_p50_ms, latency_p95_ms;
};
void at_classifier_get_stats(const struct at_classifier *c, struct at_classifier_stats *ret);

/* ---- a receiver: one band of one radio ---- */
struct at_receiver;

struct at_receiver_sink {
    void *ctx;
    /* A decision was made or the emission ended (r->emission.ended). From the pushing thread
     * (threads 0) or a worker; never two at once for one receiver. r: borrowed during the call.
     * Required. */
    void (*result)(void *ctx, const struct at_result *r);
    void (*opened)(void *ctx, const struct at_result *r); /* may be NULL */
    void (*row)(void *ctx, const struct at_row *row);     /* may be NULL */
};

struct at_bandplan;

struct at_receiver_config {
    const char *radio, *band, *boot; /* names for results, copied */
    double center_hz;                /* RF; 0: unknown */
    double budget_ms;                /* p95 of one decision for this band; 0: the classifier's */
    int live; /* 1: latency against delivered_ns is meant; 0: a file read at its own speed: then
               * decisions run inside at_receiver_push whatever the classifier's threads, by the
               * most accurate backend whatever its latency, so that they repeat */
    int file; /* 1: results carry start_s and end_s though live (a paced file) */
    /* (n_watch, 2) f_lo, f_hi in baseband Hz, copied: emissions that reach into one are served
     * before all others, and give their sessions up to each other only */
    const double *watch;
    size_t n_watch;
    struct at_band_config band_config;
    const struct at_bandplan
        *bandplan; /* for service hints, borrowed while the receiver lives; NULL: none */
};

int at_receiver_create(struct at_classifier *c, const struct at_receiver_config *config,
                       const struct at_receiver_sink *sink, struct at_error *err,
                       struct at_receiver **ret_receiver);
/* Waits for its decisions in flight. */
void at_receiver_destroy(struct at_receiver *r);

/* IQ (n, 2) at absolute index; delivered_ns (CLOCK_MONOTONIC) of its last sample; utc_ns of iq[0],
 * 0: unknown. */
int at_receiver_push(struct at_receiver *r, const float *iq, size_t n, uint64_t index,
                     int64_t delivered_ns, int64_t utc_ns);
/* The same of samples that are made where they are wanted. */
int at_receiver_take(struct at_receiver *r, const struct at_input *input, size_t n, uint64_t index,
                     int64_t delivered_ns, int64_t utc_ns);
/* The radio goes elsewhere (at_band_pause): what has been heard is decided soon, without waiting
 * for more, and sessions are given back; the next push begins new runs. Pushing thread. */
int at_receiver_pause(struct at_receiver *r);
/* at_band_set_assumed_floor and at_band_set_gain, between pushes. */
void at_receiver_set_assumed_floor(struct at_receiver *r, double dbfs_hz);
void at_receiver_set_gain(struct at_receiver *r, double gain_db);
/* End of the stream: every emission ends and its last decision is delivered before this returns. */
int at_receiver_flush(struct at_receiver *r);
void at_receiver_get_stats(const struct at_receiver *r, struct at_band_stats *ret);

#endif
