/* Logits -> an answer: calibrated probabilities, the class, its group, `unknown` and `weak`.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_MODEL_DECIDE_H
#define AT_MODEL_DECIDE_H

#include "lib/model/weights.h"

/* Token-weighted mean log-probability over the decisions of one emission (DESIGN.md section 2,
 * Pacing). */
struct at_verdict {
    double log_prob_sum[AT_MAX_CLASSES]; /* sum of tokens x log p */
    double logit_sum[AT_MAX_CLASSES];    /* sum of tokens x logit */
    double energy_sum;                   /* sum of tokens x -logsumexp(logits) */
    double tokens;
};

struct at_answer {
    char label[AT_LABEL_SIZE];   /* a class, `unknown` or `weak` */
    char group[AT_LABEL_SIZE];   /* empty: none above 0.9 */
    int top;                     /* index of the most probable class, before weak and unknown */
    float confidence;            /* its probability */
    float probs[AT_MAX_CLASSES]; /* (n_classes), sum 1 */
};

/* What the card's numbers make of one emission; SNR is held within -10 to 40 dB (not known: -10),
 * tokens at the window. Temperature: a + b SNR + c log2(tokens) + d M within min to max, 1 without
 * numbers for the backend; M: the logit of `noise` less the largest other, within -8 to 8. */
double at_decide_temperature(const struct at_model *m, const char *backend, const float *logits,
                             float snr_db, double tokens);
/* How much speaks against noise: top T + noise N + margin_db (T - N) SNR + snr_db SNR + log2_tokens
 * log2(tokens) + share S, less `least`; negative: `weak`. N: the logit of `noise`, T: the largest
 * other; S: the emission's part of the band (not known: 1); SNR here at most 30 dB. Infinite where
 * the card has no such numbers or no `noise`. RT-safe. */
double at_decide_evidence(const struct at_model *m, const char *backend, const float *logits,
                          float snr_db, double tokens, double share);
/* Temperature-scaled softmax of logits (n_classes) into probs. tokens: seen by the session.
 * RT-safe. */
void at_decide_probs(const struct at_model *m, const char *backend, const float *logits,
                     float snr_db, double tokens, float *probs);
/* Adds one decision made over new_tokens. RT-safe. */
void at_verdict_add(struct at_verdict *v, const struct at_model *m, const char *backend,
                    const float *logits, float snr_db, double tokens, double new_tokens);
/* The answer so far. share: the emission's bandwidth over the band's rate, 0 to 1. `weak`: SNR or
 * tokens below the card's limits, or the model says `noise` (no emission's class); else `unknown`:
 * mean energy above the card's threshold; else `weak` again where too little speaks against noise
 * (at_decide_evidence of the mean logits) below the card's sure SNR; else the top class. Where that
 * is at most 0.6 and a group that holds it is above 0.9, group names the group: label still is the
 * top class, and who shows one word shows the group. RT-safe. */
void at_verdict_answer(const struct at_verdict *v, const struct at_model *m, const char *backend,
                       float snr_db, double share, struct at_answer *ret);

#endif
