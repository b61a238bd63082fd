/* The model file: safetensors "attune-1", checked in full before anything is used (DESIGN.md
 * section 3). SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_MODEL_WEIGHTS_H
#define AT_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/attn/attn_backend.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

/* ---- any safetensors file ---- */
struct at_tensor {
    char name[96];
    bool bf16; /* as stored; data is always float32 here */
    unsigned n_dims;
    size_t shape[4];
    size_t n;          /* product of the shape */
    const float *data; /* 64-aligned, owned by the file */
};

/* Read whole into memory (never mapped: a file replaced under us must not kill us). */
struct at_safetensors;
int at_safetensors_read(struct at_mem *mem, const char *path, struct at_error *err,
                        struct at_safetensors **ret_file);
/* The same from memory: bytes (n), borrowed during the call. For tests and fuzzing. */
int at_safetensors_parse(struct at_mem *mem, const void *bytes, size_t n, struct at_error *err,
                         struct at_safetensors **ret_file);
void at_safetensors_destroy(struct at_safetensors *f);
const struct at_tensor *at_safetensors_find(const struct at_safetensors *f,
                                            const char *name); /* NULL: none */
const struct at_tensor *at_safetensors_at(const struct at_safetensors *f,
                                          size_t i); /* NULL: past the end */
const char *at_safetensors_meta(const struct at_safetensors *f, const char *key); /* NULL: none */
/* The i-th metadata entry's key, and its value in ret_value; NULL past the end. */
const char *at_safetensors_meta_at(const struct at_safetensors *f, size_t i,
                                   const char **ret_value);
const char *
at_safetensors_digest(const struct at_safetensors *f); /* SHA-256 of all its bytes, hex */
const char *
at_safetensors_path(const struct at_safetensors *f); /* as read; empty when parsed from memory */

struct at_meta {
    const char *key, *value;
};
/* Writes tensors (n; bf16 says how each is stored, data is float32) and metadata (n_meta) to path:
 * complete or not at all (a temporary file beside it, fsync, rename). All borrowed. */
int at_safetensors_write(const char *path, const struct at_tensor *tensors, size_t n,
                         const struct at_meta *meta, size_t n_meta, struct at_error *err);

/* What a file may hold at most; more is refused. */
#define AT_SAFETENSORS_MAX_BYTES   ((size_t)256 << 20)
#define AT_SAFETENSORS_MAX_HEADER  ((size_t)4 << 20)
#define AT_SAFETENSORS_MAX_TENSORS 4096

/* ---- a model ---- */
enum at_norm { AT_NORM_RMS, AT_NORM_LAYER };

struct at_model_config {
    uint32_t n_bins, n_aux, d_model, n_layers, n_heads, d_ff, n_classes;
    uint32_t window, kv_groups, segment, pool_block;
    enum at_mask mask;
    enum at_norm norm;
    double rope_base;
};

struct at_layer_weights { /* (out, in) row-major as in the file; borrowed from the model */
    const float *norm1_w, *norm1_b; /* (d_model); _b NULL where absent */
    const float *q, *k, *v, *o;     /* (d_model, d_model) */
    const float *norm2_w, *norm2_b; /* (d_model) */
    const float *up;                /* (d_ff, d_model) */
    const float *down;              /* (d_model, d_ff) */
};

#define AT_MAX_CLASSES 64
#define AT_MAX_GROUPS  16
#define AT_LABEL_SIZE  24
#define AT_MAX_AUX     64

struct at_group {
    char name[AT_LABEL_SIZE];
    uint64_t members; /* bit i: class i */
};

/* Accuracy that the card states, for the selector: 0..1, NAN where unknown. */
struct at_accuracy {
    char backend[16];
    uint32_t window;
    float overall;
};

struct at_model {
    struct at_model_config config;
    const float *embed_w, *embed_b; /* (d_model, n_bins + n_aux), (d_model) */
    struct at_layer_weights *layers;
    const float *norm_w, *norm_b; /* (d_model) */
    const float *head_w, *head_b; /* (n_classes, d_model), (n_classes) */
    const float *aux_scale,
        *aux_shift; /* (n_aux): aux' = (aux - shift) * scale; NULL: as they are */
    char labels[AT_MAX_CLASSES][AT_LABEL_SIZE];
    struct at_group groups[AT_MAX_GROUPS];
    size_t n_groups;
    struct at_accuracy accuracy[32];
    size_t n_accuracy;
    /* calibration: temperature per backend, see at_decide_temperature */
    struct {
        char backend[16];
        float a, b, c, d, min, max;
    } calibration[8];
    size_t n_calibration;
    float weak_snr_db; /* below it, or below weak_tokens, the outcome is `weak` */
    uint32_t weak_tokens;
    float sure_snr_db; /* from it on an emission is no noise, whatever the evidence; infinite: never
                          sure */
    /* weights of what speaks against noise, per backend; below `least` the outcome is `weak`, see
     * at_decide_evidence */
    struct at_evidence {
        char backend[16];
        float top, noise, margin_db, snr_db, log2_tokens, share, least;
    } evidence[8];
    size_t n_evidence;
    struct {
        char backend[16];
        float energy;
    } unknown[8]; /* -logsumexp(logits) above it: `unknown` */
    size_t n_unknown;
    char digest[65]; /* SHA-256 of the file, hex; of the weights where they are random */
    char path[512], name[64];
    struct at_safetensors *file; /* owner of the tensors; NULL where they are random */
    int aux_columns[AT_MAX_AUX]; /* (n_aux): enum at_aux column that each aux input reads, see
                                    lib/dsp/frames.h */
    uint32_t segments[8];        /* segment lengths it was trained with */
    size_t n_segments;
    struct at_mem *mem;
    float *random; /* owner of random weights, or NULL */
};

/* Refuses what is missing, misshapen, NaN or Inf, naming the tensor and what was expected. */
int at_model_read(struct at_mem *mem, const char *path, struct at_error *err,
                  struct at_model **ret_model);
/* From a parsed file (taken on success); for golden cases, whose files hold weights, frames and
 * logits. */
int at_model_from_file(struct at_mem *mem, struct at_safetensors *file, struct at_error *err,
                       struct at_model **ret_model);
/* The reference point of DESIGN.md section 3 at this window: 4 layers, 128 wide, 17 classes, no aux
 * columns. */
struct at_model_config at_model_reference_point(uint32_t window);
/* The reference point at window 1024 (or c) with seeded random weights, for bench without a model.
 */
int at_model_random(struct at_mem *mem, const struct at_model_config *c, uint64_t seed,
                    struct at_error *err, struct at_model **ret_model);
void at_model_destroy(struct at_model *m);
/* Indices of the model's frame columns in a framer's frame (n_bins + AT_AUX_COUNT columns) are
 * 0..n_bins-1, then n_bins + aux_columns[i]. True where that is no more than the first n_bins +
 * n_aux as they stand. */
bool at_model_aux_in_order(const struct at_model *m);
/* -1: no such label. */
int at_model_label_index(const struct at_model *m, const char *label);

#endif
