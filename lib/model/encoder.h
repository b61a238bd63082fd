/* The encoder and its sessions: frames in, logits out, through the attention adapter.
 *
 * An encoder is read-only after create and shared by all threads. A worker holds the scratch of one
 * thread. A session is the state of one emission under one backend: KV caches and pooled block
 * sums. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_MODEL_ENCODER_H
#define AT_MODEL_ENCODER_H

#include "lib/attn/attn.h"
#include "lib/model/weights.h"

struct at_encoder;
struct at_worker;
struct at_session;

/* model: borrowed, outlives the encoder. kernels: NULL picks the best for this CPU. */
int at_encoder_create(struct at_mem *mem, const struct at_model *model,
                      const struct at_kernels *kernels, struct at_error *err,
                      struct at_encoder **ret_encoder);
void at_encoder_destroy(struct at_encoder *e);
const struct at_model *at_encoder_model(const struct at_encoder *e);

/* How a session runs. window, segment 0: as the model says. max_new: most tokens of one push (more
 * are cut into pieces), 0: 64. capacity: most tokens in all where the window is 0 (one-shot). */
struct at_session_shape {
    const struct at_attn_backend *backend;
    enum at_mode mode;
    uint32_t window, segment, max_new, capacity;
    float dropout;
};

/* Exact cost of a session of this shape: caches of all layers and pools, and a worker's scratch. */
struct at_session_cost {
    double flops; /* of one push of max_new tokens with full caches */
    size_t kv_bytes, pool_bytes, workspace_bytes;
};
int at_session_probe(const struct at_encoder *e, const struct at_session_shape *shape,
                     struct at_error *err, struct at_session_cost *ret_cost);

/* Scratch for pushes of up to max_new tokens of any backend with up to window tokens; one thread
 * uses it at a time. */
int at_worker_create(const struct at_encoder *e, const struct at_session_shape *shapes,
                     size_t n_shapes, struct at_error *err, struct at_worker **ret_worker);
void at_worker_destroy(struct at_worker *w);

/* Threads that share one push: n_threads (1 to 64) with a worker each, the caller being the first.
 * More than n_layers gain nothing. The result is bit for bit that of a push of the same pieces by
 * one thread. Not RT-safe; one push at a time. -EINVAL, -ENOMEM, -EAGAIN. */
struct at_team;
int at_team_create(const struct at_encoder *e, const struct at_session_shape *shapes,
                   size_t n_shapes, unsigned n_threads, struct at_error *err,
                   struct at_team **ret_team);
void at_team_destroy(struct at_team *t);
/* As at_session_push(). */
void at_team_push(struct at_team *t, struct at_session *s, const float *frames, size_t n,
                  size_t stride);

int at_session_create(const struct at_encoder *e, const struct at_session_shape *shape,
                      struct at_error *err, struct at_session **ret_session);
/* True where at_session_convert() can make a session of one shape into the other: down in what its
 * cache knows. */
bool at_session_can_convert(const struct at_encoder *e, const struct at_session_shape *from,
                            const struct at_session_shape *to);
/* Turns the session into one of shape `to`, which goes on where this one is. w: a worker for both
 * shapes. -ENOTSUP, -ENOMEM: the session is as it was. */
int at_session_convert(struct at_session *s, struct at_worker *w, const struct at_session_shape *to,
                       struct at_error *err);
void at_session_destroy(struct at_session *s);
/* Feeds n consecutive tokens: frames (n, stride), the first n_bins + n_aux of each row are used.
 * RT-safe. */
void at_session_push(struct at_session *s, struct at_worker *w, const float *frames, size_t n,
                     size_t stride);
/* The same for several sessions of one shape at once, n[i] tokens each: the linear layers run as
 * one product. */
void at_session_push_batch(struct at_session *const *s, struct at_worker *w,
                           const float *const *frames, const size_t *n, size_t n_sessions,
                           size_t stride);
/* logits (n_classes) of all that was pushed since reset; all 0 before the first token. RT-safe. */
void at_session_logits(const struct at_session *s, float *logits);
/* Starts a new run at position 0. RT-safe. */
void at_session_reset(struct at_session *s);
uint64_t at_session_tokens(const struct at_session *s); /* since reset */
void at_session_get_report(const struct at_session *s, struct at_attn_report *ret);

#endif
