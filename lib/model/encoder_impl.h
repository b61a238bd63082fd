/* Shared by encoder.c, session.c and team.c only. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_MODEL_ENCODER_IMPL_H
#define AT_MODEL_ENCODER_IMPL_H

#include <stdatomic.h>

#include "lib/kernels/kernels.h"
#include "lib/model/encoder.h"

/* One matrix (n, k) in both modes. */
struct at_packed {
    const float *fp32;     /* panels */
    const uint16_t *bf16;  /* bf16 panels */
    const uint16_t *split; /* pieces of fp32 or NULL, see at_kernels_pack_split */
    size_t n, k;
};

struct at_packed_layer {
    struct at_packed q, k, v, o, up, down;
};

struct at_encoder {
    struct at_mem *mem;
    const struct at_model *model;
    const struct at_kernels *kernels;
    struct at_packed_layer *layers;
    float *packed;          /* all panels and the embedding's bias, one block */
    uint16_t *packed_bf16;  /* all bf16 panels */
    uint16_t *split;        /* all pieces of fp32; NULL where the kernels want none */
    struct at_packed embed; /* with the scaling of aux folded in; no bf16 */
    const float *embed_b;   /* (d_model) */
};

/* One session's share of a pass. */
struct at_span {
    struct at_session *session;
    const float *frames; /* (n, stride) */
    size_t row, n;       /* its first row in the worker's buffers */
};

struct at_worker {
    struct at_mem *mem;
    const struct at_encoder *encoder;
    size_t rows;                  /* most tokens of a pass */
    struct at_span *spans;        /* (rows) */
    float *x, *y, *q, *k, *v, *a; /* (rows, d_model): stream, normed, attention's in and out */
    void *ff;                     /* (rows, d_ff) floats, or bf16 in that mode */
    uint16_t *rounded;            /* (rows, d_model) input of a product in bf16 */
    void *work;                   /* of the backends */
    _Atomic size_t
        *turns;  /* of a team, else NULL: pieces that are done with each layer's attention */
    size_t turn; /* the piece in this pass */
};

struct at_session {
    struct at_mem *mem;
    const struct at_encoder *encoder;
    struct at_session_shape shape; /* resolved: nothing is 0 but window and dropout */
    size_t chunk;                  /* most tokens of one span */
    struct at_attn **layers;
    float *pool; /* (blocks, d_model) sums of normed hidden states; block b in row b % blocks */
    float *mean; /* (d_model) scratch of logits */
    size_t blocks;
    uint64_t tokens;
};

/* All layers over the first n rows of a pass; the final norm is left in w->y. RT-safe. */
void at_encoder_pass(const struct at_encoder *e, struct at_worker *w, enum at_mode mode,
                     size_t n_spans, size_t n, size_t stride);

/* Normed hidden states y (n, d_model) of the session's next n tokens into its block sums. */
void at_session_pool(struct at_session *s, const float *y, size_t n);

/* The order of a team's pieces at layer i (n_layers: pooling). Alone, neither does anything. */
void at_turn_wait(const struct at_worker *w, size_t i);
void at_turn_pass(const struct at_worker *w, size_t i);

#endif
