/* The scene of an example: which emitters, in what rate, time and receiver. Inside lib/dataset.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DATASET_DRAFT_H
#define AT_DATASET_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/synth/synth.h"

#define AT_DRAFT_MAX 9 /* emitters, and places without one, of a scene */

/* A place of the band that an example may come from; until the scene is rendered its edges are
 * those that were asked for. */
struct at_place {
    double f_lo_hz, f_hi_hz; /* baseband */
    double snr_db;
    size_t first, last;           /* samples in which it is on */
    size_t hand_first, hand_last; /* and that it is opened for by hand: its longest burst */
    int class_id;
    bool line;                        /* a carrier with sidebands: */
    double line_lo_hz, line_hi_hz;    /* where it drifts, */
    double sidebands[AT_TRUTH_PARTS]; /* their power, as in at_signal_truth, in parts of */
    double sent_from, sent_to;        /* the emitter's samples; */
    uint16_t keys_in[AT_TRUTH_PARTS]; /* times that it went on in these parts */
    bool plain;                       /* a strong line, the receiver plain */
    bool by_hand;                     /* opened at its true edges, whatever the detector says */
    char variant[24];
};

struct at_draft {
    struct at_scene scene;
    struct at_place
        places[AT_DRAFT_MAX]; /* emitters first, in the scene's order; then empty ones */
    size_t n_places, n_emitters;
    double false_per_hour;
    bool clips; /* what is found beside the emitters may be a product of theirs */
};

struct at_draft_spec {
    int class_id;        /* of place 0: enum at_class or AT_CLASS_OUTLIER */
    uint32_t max_tokens; /* of one example */
    double snr_lo_db, snr_hi_db;
    unsigned max_examples; /* more than 1: free spectrum is filled with others worth an example */
};

/* 0, or -EINVAL: no such class. */
int at_draft_draw(struct at_rng *r, const struct at_draft_spec *spec, struct at_draft *ret);
/* After rendering: places of emitters become what was really sent. truth (n_emitters). */
void at_draft_settle(struct at_draft *d, const struct at_signal_truth *truth);

#endif
