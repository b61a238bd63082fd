/* Golden cases of `attune verify`: what is compared, and one line per comparison.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_VERIFY_H
#define AT_TOOLS_VERIFY_H

#include <stdbool.h>

#include "lib/attn/attn.h"
#include "lib/model/weights.h"

struct verify_line {
    const char *name, *backend, *kernel; /* name: of the case */
    enum at_mode mode;
    size_t chunk; /* tokens of a push; 0: in one */
    double nmse;  /* NAN: not finite */
    bool ok;
};

struct verify_sink {
    void *ctx;
    void (*line)(void *ctx, const struct verify_line *line);
};

/* Sums of a normalised mean square error. */
struct verify_sum {
    double error, power;
};
void verify_add(struct verify_sum *sum, const float *got, const float *want, size_t n);
double verify_nmse(const struct verify_sum *sum);

/* An attention case (tensors q, k, v, out.<backend>) under every backend, kernel variant and mode,
 * in one run and in chunks. f: borrowed. Negative errno where the file is no such case. */
int verify_attention(const struct at_safetensors *f, const char *name,
                     const struct verify_sink *sink, struct at_error *err);
/* An encoder case (frames, logits.<backend>, stream.<backend>) or a model (golden.frames,
 * golden.logits.<backend>). f: taken in any case. */
int verify_model(struct at_safetensors *f, const char *name, const struct verify_sink *sink,
                 struct at_error *err);

/* <prefix><backend>; that of mha where flash has none. NULL: the file has neither. */
const struct at_tensor *verify_expected(const struct at_safetensors *f, const char *prefix,
                                        const char *backend);

#endif
