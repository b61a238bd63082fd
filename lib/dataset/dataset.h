/* Training examples: synthetic signals through the channel, the real detector and the real
 * channelizer, as frames. Built as a shared library of plain C calls for train/ (ctypes).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DATASET_DATASET_H
#define AT_DATASET_DATASET_H

#include <stddef.h>
#include <stdint.h>

#define AT_EXPORT __attribute__((visibility("default")))

/* class_id of a signal that belongs to none of the classes (MFSK, hopping, pulses, several
 * carriers, two sidebands): for outlier exposure and for testing `unknown`, never a label. */
#define AT_EXAMPLE_OUTLIER (-1)

/* Plain, so that ctypes can hold it. */
struct at_example_spec {
    uint64_t seed;       /* an example is a function of the spec alone */
    int32_t class_id;    /* enum at_class, or AT_EXAMPLE_OUTLIER */
    uint32_t max_tokens; /* frames wanted at most */
    float snr_lo_db, snr_hi_db;
};

struct at_example_info {
    int32_t class_id; /* as asked, or carrier where that is all that can be seen (see below) */
    int32_t n_tokens; /* 0: nothing came of it (too short); the caller draws again */
    int32_t detected; /* 1: through the detector; 0: opened by hand at the true, jittered edges */
    float snr_db;     /* true, in the occupied bandwidth */
    float measured_snr_db;
    float share, rate_hz, bandwidth_hz; /* of the emission's edges */
    float truth_bandwidth_hz, overlap;  /* what was sent, and how much of both edges agree, 0..1 */
    char variant[24];
};

/* Columns of a frame: n_bins + AT_AUX_COUNT. */
AT_EXPORT int32_t at_example_columns(void);
AT_EXPORT int32_t at_example_bins(void);
AT_EXPORT const char *at_example_label(int32_t class_id);
/* frames (max_tokens, columns), untouched past n_tokens. am and acars whose sidebands lie in the
 * noise or are silent, and cw of one key, are not shown as such: a single example is drawn again
 * (n_tokens 0), one of several comes as carrier ("am_unseen", "afsk_unseen", "cw_unseen"). Where
 * that is in doubt (sidebands of half to twice what can just be seen, two or three keys)
 * no example comes of it. 0 or negative errno. Any thread. */
AT_EXPORT int32_t at_example_make(const struct at_example_spec *spec, float *frames,
                                  struct at_example_info *ret);
/* Up to max_examples of one scene, which costs little more than one of them: its free spectrum is
 * filled with emitters of classes drawn evenly, and whatever the detector reports where nothing is
 * sent comes as class noise. The first is the one asked for, unless nothing came of it; only those
 * with tokens are counted. frames (max_examples, max_tokens, columns), each untouched past its
 * n_tokens; ret (max_examples). Number of examples (0: draw again), or negative errno. Any thread.
 */
AT_EXPORT int32_t at_examples_make(const struct at_example_spec *spec, int32_t max_examples,
                                   float *frames, struct at_example_info *ret);

/* A recording's annotated signal, for a fine-tune. */
struct at_cut_spec {
    uint64_t seed;                    /* of the jitter */
    uint64_t n, first, last;          /* samples in all; the signal is on within [first, last) */
    double rate_hz, f_lo_hz, f_hi_hz; /* edges against the recording's centre */
    uint32_t max_tokens;
    int32_t by_hand; /* 1: at the annotation's edges with jitter, whatever the detector says */
};
/* The tokens of one annotation of iq (n, 2): what the detector makes of it, else opened by hand.
 * frames (max_tokens, columns), untouched past ret->n_tokens (0: too short, or hidden); ret's class
 * is 0, its SNR as measured. 0, -EINVAL (edges or samples outside the recording, rate outside 8 kHz
 * to 61.44 MHz) or -ENOMEM. Any thread. */
AT_EXPORT int32_t at_example_cut(const struct at_cut_spec *cut, const float *iq, float *frames,
                                 struct at_example_info *ret);

#endif
