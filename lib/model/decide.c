/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/model/decide.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CLASS_ENOUGH 0.6 /* a class above it stands for itself */
#define GROUP_ENOUGH 0.9 /* else a group above it is answered */
#define LEAST_SNR_DB (-10.0)
#define MOST_MARGIN                                                                                \
    8.0 /* between the logits of noise and of the best class: further out nothing was fitted */

/* `flash` computes what `mha` does: a card that names only one of them means both. -1: none. */
static int find_backend(const char *backend, const char *names, size_t stride, size_t n)
{
    const char *other = strcmp(backend, "flash") == 0 ? "mha"
                        : strcmp(backend, "mha") == 0 ? "flash"
                                                      : backend;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++)
            if (strcmp(names + i * stride, pass ? other : backend) == 0)
                return (int)i;
    return -1;
}

/* -1: the model has no such class. */
static int noise_of(const struct at_model *m)
{
    return at_model_label_index(m, "noise");
}

/* log2, at most the window's: more tokens than that are never heard at once. */
static double log2_tokens(const struct at_model *m, double tokens)
{
    if (m->config.window > 0)
        tokens = fmin(tokens, m->config.window);
    return tokens > 1 ? log2(tokens) : 0;
}

static double held_snr(float snr_db, double most)
{
    return isfinite(snr_db) ? fmin(fmax(snr_db, LEAST_SNR_DB), most) : LEAST_SNR_DB;
}

/* The largest logit but that of class `but`. */
static double largest_other(const float *logits, uint32_t n, int but)
{
    double top = -INFINITY;
    for (uint32_t i = 0; i < n; i++)
        if ((int)i != but)
            top = fmax(top, logits[i]);
    return top;
}

double at_decide_temperature(const struct at_model *m, const char *backend, const float *logits,
                             float snr_db, double tokens)
{
    int i = find_backend(backend, m->calibration[0].backend, sizeof m->calibration[0],
                         m->n_calibration);
    if (i < 0)
        return 1;
    int noise = noise_of(m);
    double t = m->calibration[i].a + m->calibration[i].b * held_snr(snr_db, 40) +
               m->calibration[i].c * log2_tokens(m, tokens);
    if (noise >= 0 && m->config.n_classes > 1) {
        double margin = logits[noise] - largest_other(logits, m->config.n_classes, noise);
        t += m->calibration[i].d * fmin(fmax(margin, -MOST_MARGIN), MOST_MARGIN);
    }
    return fmin(fmax(t, m->calibration[i].min), m->calibration[i].max);
}

double at_decide_evidence(const struct at_model *m, const char *backend, const float *logits,
                          float snr_db, double tokens, double share)
{
    int i = find_backend(backend, m->evidence[0].backend, sizeof m->evidence[0], m->n_evidence);
    int noise = noise_of(m);
    if (i < 0 || noise < 0 || m->config.n_classes < 2)
        return INFINITY;
    const struct at_evidence *e = &m->evidence[i];
    double top = largest_other(logits, m->config.n_classes, noise), none = logits[noise];
    double snr = held_snr(snr_db, 30), part = isfinite(share) ? fmin(fmax(share, 0), 1) : 1;
    return e->top * top + e->noise * none + e->margin_db * (top - none) * snr + e->snr_db * snr +
           e->log2_tokens * log2_tokens(m, tokens) + e->share * part - e->least;
}

/* log(sum exp(x / t)) over n values. */
static double log_sum_exp(const float *x, uint32_t n, double t)
{
    double top = x[0], sum = 0;
    for (uint32_t i = 1; i < n; i++)
        top = fmax(top, x[i]);
    for (uint32_t i = 0; i < n; i++)
        sum += exp((x[i] - top) / t);
    /* n >= 1: sum is at least 1 */
    /* cppcheck-suppress invalidFunctionArg */
    return top / t + log(sum);
}

void at_decide_probs(const struct at_model *m, const char *backend, const float *logits,
                     float snr_db, double tokens, float *probs)
{
    double t = at_decide_temperature(m, backend, logits, snr_db, tokens);
    double norm = log_sum_exp(logits, m->config.n_classes, t);
    for (uint32_t i = 0; i < m->config.n_classes; i++)
        probs[i] = (float)exp(logits[i] / t - norm);
}

void at_verdict_add(struct at_verdict *v, const struct at_model *m, const char *backend,
                    const float *logits, float snr_db, double tokens, double new_tokens)
{
    uint32_t n = m->config.n_classes;
    if (!(new_tokens > 0))
        return;
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return; /* one broken decision must not spoil all that came before */
    double t = at_decide_temperature(m, backend, logits, snr_db, tokens);
    double norm = log_sum_exp(logits, n, t);
    for (uint32_t i = 0; i < n; i++) {
        v->log_prob_sum[i] += new_tokens * (logits[i] / t - norm);
        v->logit_sum[i] += new_tokens * logits[i];
    }
    v->energy_sum -= new_tokens * log_sum_exp(logits, n, 1);
    v->tokens += new_tokens;
}

/* Probabilities of the mean log-probability, renormalised; even before the first decision. Returns
 * the top class. */
static int mean_probs(const struct at_verdict *v, uint32_t n, float *probs)
{
    double weight = v->tokens > 0 ? 1 / v->tokens : 0, top = v->log_prob_sum[0], sum = 0;
    int best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (v->log_prob_sum[i] > top) {
            top = v->log_prob_sum[i];
            best = (int)i;
        }
    for (uint32_t i = 0; i < n; i++)
        sum += exp((v->log_prob_sum[i] - top) * weight);
    for (uint32_t i = 0; i < n; i++)
        probs[i] = (float)(exp((v->log_prob_sum[i] - top) * weight) / sum);
    return best;
}

static bool is_unknown(const struct at_verdict *v, const struct at_model *m, const char *backend)
{
    int i = find_backend(backend, m->unknown[0].backend, sizeof m->unknown[0], m->n_unknown);
    return i >= 0 && v->energy_sum / v->tokens > m->unknown[i].energy;
}

/* Too little speaks against noise. */
static bool is_doubtful(const struct at_verdict *v, const struct at_model *m, const char *backend,
                        float snr_db, double share)
{
    float mean[AT_MAX_CLASSES];
    if (snr_db >= m->sure_snr_db)
        return false;
    for (uint32_t i = 0; i < m->config.n_classes; i++)
        mean[i] = (float)(v->logit_sum[i] / v->tokens);
    return at_decide_evidence(m, backend, mean, snr_db, v->tokens, share) < 0;
}

static void answer_group(const struct at_model *m, struct at_answer *ret)
{
    double best = GROUP_ENOUGH;
    for (size_t g = 0; g < m->n_groups; g++) {
        double sum = 0;
        for (uint32_t i = 0; i < m->config.n_classes; i++)
            if (m->groups[g].members >> i & 1)
                sum += ret->probs[i];
        if (sum > best && (m->groups[g].members >> ret->top & 1)) {
            best = sum;
            memcpy(ret->group, m->groups[g].name, sizeof ret->group);
        }
    }
}

void at_verdict_answer(const struct at_verdict *v, const struct at_model *m, const char *backend,
                       float snr_db, double share, struct at_answer *ret)
{
    *ret = (struct at_answer){0};
    ret->top = mean_probs(v, m->config.n_classes, ret->probs);
    ret->confidence = ret->probs[ret->top];
    const char *label = m->labels[ret->top];
    bool weak = v->tokens < m->weak_tokens || v->tokens <= 0 || snr_db < m->weak_snr_db;
    /* "nothing there" is no class of an emission; what is like nothing known is not weak by that */
    weak = weak || strcmp(label, "noise") == 0;
    bool unknown = !weak && is_unknown(v, m, backend);
    if (unknown)
        label = "unknown";
    else if (weak || is_doubtful(v, m, backend, snr_db, share))
        label = "weak";
    else if (ret->confidence <= CLASS_ENOUGH)
        answer_group(m, ret);
    snprintf(ret->label, sizeof ret->label, "%s", label);
}
