/* Training examples: a synthetic signal through the channel, the real detector and the real channelizer, as frames.
 * Built as a shared library of plain C calls for train/ (ctypes).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DATASET_DATASET_H
#define AT_DATASET_DATASET_H

#include <stddef.h>
#include <stdint.h>

#define AT_EXPORT __attribute__((visibility("default")))

/* Plain, so that ctypes can hold it. */
struct at_example_spec {
    uint64_t seed;       /* an example is a function of the spec alone */
    int32_t class_id;    /* enum at_class */
    uint32_t max_tokens; /* frames wanted at most */
    float snr_lo_db, snr_hi_db;
};

struct at_example_info {
    int32_t class_id;
    int32_t n_tokens;    /* 0: nothing came of it (too short); the caller draws again */
    int32_t detected;    /* 1: through the detector; 0: opened by hand at the true, jittered edges */
    float snr_db;        /* true, in the occupied bandwidth */
    float measured_snr_db;
    float share, rate_hz, bandwidth_hz;
    char variant[24];
};

/* Columns of a frame: n_bins + AT_AUX_COUNT. */
AT_EXPORT int32_t at_example_columns(void);
AT_EXPORT int32_t at_example_bins(void);
AT_EXPORT const char *at_example_label(int32_t class_id);
/* frames (max_tokens, columns), zeroed past n_tokens. 0 or negative errno. Any thread. */
AT_EXPORT int32_t at_example_make(const struct at_example_spec *spec, float *frames, struct at_example_info *ret);

#endif
