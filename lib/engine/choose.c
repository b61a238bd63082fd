/* Candidates (backend x mode x window), and the selector run over them again and again.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/engine/internal.h"

/* Often enough to step down before a queue has grown. The load is that of the last second or so. */
#define CHOOSE_EVERY_NS   (AT_NS_PER_S / 4)
#define LIVE_LEAST        32
#define SUPPLY_LEAST      0.125 /* of the whole supply */
#define SUPPLY_LOAD_MOST  0.85  /* share of the workers' time */
#define SUPPLY_LOAD_SPARE 0.6

static double accuracy_of(const struct at_model *m, const char *backend, uint32_t window)
{
    double any = NAN;
    for (size_t i = 0; i < m->n_accuracy; i++) {
        if (strcmp(m->accuracy[i].backend, backend) != 0)
            continue;
        if (m->accuracy[i].window == window)
            return (double)m->accuracy[i].overall;
        if (m->accuracy[i].window == 0)
            any = (double)m->accuracy[i].overall;
    }
    return any;
}

/* The windows to offer: the one asked for, else the model's own and those its card vouches for. */
static size_t list_windows(const struct at_model *m, uint32_t asked, uint32_t *windows, size_t max)
{
    size_t n = 0;
    windows[n++] = asked ? asked : m->config.window;
    for (size_t i = 0; !asked && i < m->n_accuracy && n < max; i++) {
        uint32_t w = m->accuracy[i].window;
        bool known = w == 0;
        for (size_t k = 0; k < n; k++)
            known |= windows[k] == w;
        if (!known)
            windows[n++] = w;
    }
    return n;
}

/* 0, or what probe says; fills shape, cost and card. */
static int add_candidate(struct at_classifier *c, const struct at_attn_backend *backend,
                         enum at_mode mode, uint32_t window, struct at_error *err)
{
    size_t i = c->state.n_candidates;
    if (i == AT_MAX_CANDIDATES)
        return 0;
    struct at_candidate *k = &c->state.candidates[i];
    *k = (struct at_candidate){.mode = mode,
                               .window = window,
                               .accuracy = accuracy_of(c->model, backend->name, window),
                               .calibrated_ms = NAN,
                               .live_p50_ms = NAN,
                               .live_p95_ms = NAN};
    snprintf(k->backend, sizeof(k->backend), "%s", backend->name);
    c->shapes[i] = (struct at_session_shape){
        .backend = backend, .mode = mode, .window = window, .max_new = AT_PACE_NEXT};
    struct at_session_cost cost = {0};
    k->probe_error = at_session_probe(c->encoder, &c->shapes[i], err, &cost);
    k->kv_bytes = (double)(cost.kv_bytes + cost.pool_bytes);
    c->flops[i] = cost.flops;
    c->state.n_candidates++;
    return k->probe_error;
}

/* A file is classified as well as the model can, however long it takes, and alike on every host:
 * accuracy alone, the dearer in flops standing in for the slower. */
static int choose_for_files(const struct at_classifier *c)
{
    struct at_candidate by_cost[AT_MAX_CANDIDATES];
    memcpy(by_cost, c->state.candidates, sizeof(by_cost));
    for (size_t i = 0; i < c->state.n_candidates; i++)
        by_cost[i].calibrated_ms = c->flops[i] / 1e7;
    struct at_selector_input in = {.budget_kv_bytes = c->budget_bytes,
                                   .sessions = 1,
                                   .forced = c->forced[0] ? c->forced : NULL,
                                   .current = -1};
    struct at_choice choice;
    at_selector_choose(by_cost, c->state.n_candidates, &in, &choice);
    return choice.index;
}

static int read_forced(struct at_classifier *c, const char *configured, struct at_error *err)
{
    const char *from = "backend", *name = getenv("ATTUNE_BACKEND");
    if (name && name[0])
        from = "ATTUNE_BACKEND";
    else
        name = configured;
    if (!name || !name[0] || strcmp(name, "auto") == 0)
        return 0;
    if (!at_attn_find(name, err))
        return at_error_prefix(err, -EINVAL, "%s", from);
    snprintf(c->forced, sizeof(c->forced), "%s", name);
    return 0;
}

/* Any candidate that can run, of the forced backend where one is forced. */
static bool can_run(const struct at_classifier *c)
{
    for (size_t i = 0; i < c->state.n_candidates; i++) {
        const struct at_candidate *k = &c->state.candidates[i];
        if (k->probe_error == 0 && (!c->forced[0] || strcmp(k->backend, c->forced) == 0))
            return true;
    }
    return false;
}

int at_choose_init(struct at_classifier *c, const struct at_classifier_config *config,
                   struct at_error *err)
{
    uint32_t windows[4];
    struct at_error why = {0};
    const char *forced_mode = config->mode && strcmp(config->mode, "auto") ? config->mode : NULL;
    if (forced_mode && strcmp(forced_mode, "fp32") != 0 && strcmp(forced_mode, "bf16") != 0)
        return at_error_set(err, -EINVAL, "no mode '%.16s'; there are: auto, fp32, bf16",
                            forced_mode);
    int ret = read_forced(c, config->backend, err);
    if (ret < 0)
        return ret;
    if (c->model->config.mask == AT_MASK_NONE)
        return at_error_set(err, -ENOTSUP,
                            "the model sees its whole sequence at once (mask none): it can't "
                            "follow a signal; one with mask causal can");
    size_t n_windows =
        list_windows(c->model, config->window, windows, sizeof(windows) / sizeof(windows[0]));
    for (size_t w = 0; w < n_windows; w++)
        for (size_t b = 0; at_attn_registry[b]; b++)
            for (int mode = AT_MODE_FP32; mode <= AT_MODE_BF16; mode++) {
                if (mode == AT_MODE_BF16 && !(at_attn_registry[b]->caps & AT_CAP_BF16))
                    continue;
                if (forced_mode && strcmp(forced_mode, at_mode_name((enum at_mode)mode)) != 0)
                    continue;
                /* of the forced one, where one is: that is what was asked for */
                bool asked = !c->forced[0] || strcmp(c->forced, at_attn_registry[b]->name) == 0;
                struct at_error *first = why.text[0] || !asked ? NULL : &why;
                add_candidate(c, at_attn_registry[b], (enum at_mode)mode, windows[w], first);
            }
    if (!can_run(c))
        return at_error_set(err, -ENOTSUP, "no backend can run this model with window %u%s%s: %s",
                            windows[0], forced_mode ? " in mode " : "",
                            forced_mode ? forced_mode : "",
                            why.text[0] ? why.text : "none offers this mode");
    c->file_choice = choose_for_files(c);
    if (c->file_choice < 0)
        return at_error_set(err, -ENOTSUP, "no backend fits this model and budget");
    return 0;
}

double at_candidate_ms(const struct at_candidate *k)
{
    return isfinite(k->live_p50_ms) ? k->live_p50_ms : k->calibrated_ms;
}

static void fill_input(struct at_classifier *c, double elapsed_ns)
{
    struct at_selector_input *in = &c->state.input;
    size_t waiting = 0, live = 0;
    for (const struct stream *s = c->streams; s; s = s->next) {
        if (s->r->inline_)
            continue;
        live++;
        waiting += (size_t)(s->head - s->tail);
    }
    unsigned threads = c->n_threads ? c->n_threads : 1;
    in->budget_ms = c->state.budget_ms;
    in->budget_kv_bytes = c->budget_bytes;
    in->sessions = live ? (double)live : 1;
    if (elapsed_ns > 0) {
        double load = fmin((double)c->busy_ns / (elapsed_ns * threads), 1);
        double share = fmin(elapsed_ns / (double)AT_NS_PER_S, 1);
        in->load += (load - in->load) * share;
    }
    double queue = 0;
    in->forced = c->forced[0] ? c->forced : NULL;
    int now = c->state.choice.index;
    if (now < 0)
        return;
    double push_ms = at_candidate_ms(&c->state.candidates[now]);
    if (isfinite(push_ms) && push_ms > 0 && in->budget_ms > 0)
        queue = (double)waiting / (threads * AT_PACE_NEXT * in->budget_ms / push_ms);
    in->queue +=
        (queue - in->queue) / 2; /* a burst of tokens that came this moment is not yet a queue */
}

/* Where the workers are nearly always busy although the selector has done what it can, each
 * emission is given fewer tokens, in runs as long as before; and more again once they have time to
 * spare. */
static void set_supply(struct at_classifier *c)
{
    double load = c->state.input.load;
    if (load > SUPPLY_LOAD_MOST)
        c->supply = fmax(c->supply * 0.8, SUPPLY_LEAST);
    else if (load < SUPPLY_LOAD_SPARE)
        c->supply = fmin(c->supply * 1.1, 1);
}

static void read_kernel(struct at_classifier *c)
{
    const struct at_kernels *k = at_kernels_best();
    snprintf(c->state.kernel, sizeof(c->state.kernel), "%s", k ? k->name : "none");
}

/* Live figures of every candidate that has enough; of what has not run for a while none are left,
 * and it is judged by its calibration. */
static void read_live(struct at_classifier *c, int64_t now_ns)
{
    for (size_t i = 0; i < c->state.n_candidates; i++) {
        struct at_candidate *k = &c->state.candidates[i];
        bool old = now_ns - c->live[i].began_ns > 2 * LIVE_AGE_NS;
        k->live_p50_ms = old ? (double)NAN : at_recent_quantile(&c->live[i], 0.5, LIVE_LEAST);
        k->live_p95_ms = old ? (double)NAN : at_recent_quantile(&c->live[i], 0.95, LIVE_LEAST);
    }
}

/* One policy's choice; whether it is another than before. */
static bool choose_for(struct at_classifier *c, struct policy *p, int64_t now_ns,
                       struct at_choice *ret)
{
    struct at_selector_input in = c->state.input;
    in.budget_ms = p->budget_ms;
    in.current = p->choice;
    at_selector_choose(c->state.candidates, c->state.n_candidates, &in, ret);
    if (ret->index < 0) /* what could run at start can run now */
        ret->index = p->choice >= 0 ? p->choice : c->file_choice;
    int before = p->choice;
    if (before < 0 || before == ret->index) {
        p->choice = ret->index;
        return false;
    }
    if (!at_selector_may_change(&p->hold, before, ret->index, ret->each[before].fits,
                                (double)now_ns / 1e9)) {
        ret->index = before;
        snprintf(ret->reason, sizeof(ret->reason), "changed a moment ago, and fits");
        return false;
    }
    p->choice = ret->index;
    return true;
}

static void tell_policy(struct at_classifier *c, size_t i, const struct at_choice *choice)
{
    struct at_policy_state *p = &c->state.policies[i];
    *p = (struct at_policy_state){c->policies[i].receivers,
                                  c->policies[i].budget_ms,
                                  c->policies[i].choice,
                                  choice->over_budget,
                                  {0}};
    snprintf(p->reason, sizeof(p->reason), "%s", choice->reason);
}

bool at_choose_wants(const struct at_classifier *c, int candidate)
{
    for (size_t i = 0; i < c->n_policies; i++)
        if ((i == 0 || c->policies[i].receivers > 0) && c->policies[i].choice == candidate)
            return true;
    return false;
}

void at_choose_again(struct at_classifier *c, int64_t now_ns)
{
    if (now_ns - c->chosen_ns < CHOOSE_EVERY_NS && c->chosen_ns != 0)
        return;
    int before[AT_MAX_POLICIES];
    if (c->chosen_ns == 0)
        read_kernel(c);
    else
        read_live(c, now_ns);
    fill_input(c, c->chosen_ns == 0 ? 0 : (double)(now_ns - c->chosen_ns));
    set_supply(c);
    c->state.input.current = c->policies[0].choice;
    for (size_t i = c->n_policies; i-- > 0;) { /* the first last, whose words are kept */
        before[i] = c->policies[i].choice;
        if (i > 0 && c->policies[i].receivers == 0)
            continue;
        c->state.changes += choose_for(c, &c->policies[i], now_ns, &c->state.choice);
        tell_policy(c, i, &c->state.choice);
    }
    c->state.n_policies = c->n_policies;
    for (size_t i = 0; i < c->n_policies; i++) /* so that it can come back by its calibration */
        if (before[i] >= 0 && !at_choose_wants(c, before[i]))
            at_recent_reset(&c->live[before[i]]);
    c->chosen_ns = now_ns;
    c->busy_ns = 0;
}

int at_choose_of(const struct at_receiver *r)
{
    const struct at_classifier *c = r->c;
    return r->inline_ ? c->file_choice : c->policies[r->policy].choice;
}

/* The one with this budget, else one that nobody uses, else the next. */
static size_t find_policy(const struct at_classifier *c, double budget_ms)
{
    size_t unused = c->n_policies;
    for (size_t i = 1; i < c->n_policies; i++) { /* the first follows at_classifier_set_budget() */
        if (c->policies[i].receivers > 0 && c->policies[i].budget_ms == budget_ms)
            return i;
        if (c->policies[i].receivers == 0)
            unused = i;
    }
    return unused;
}

int at_choose_add_budget(struct at_classifier *c, double budget_ms, struct at_error *err,
                         size_t *ret_policy)
{
    int ret = 0;
    pthread_mutex_lock(&c->lock);
    size_t i = find_policy(c, budget_ms);
    if (i == AT_MAX_POLICIES) {
        ret = at_error_set(err, -E2BIG, "more than %d different budgets of bands; let some agree",
                           AT_MAX_POLICIES - 1);
    } else if (i == c->n_policies || c->policies[i].receivers == 0) {
        struct at_choice *choice = at_mem_alloc(c->mem, AT_MEM_OTHER, sizeof(*choice));
        if (choice) {
            c->policies[i] = (struct policy){.budget_ms = budget_ms, .choice = -1};
            choose_for(c, &c->policies[i], at_clock_mono_ns(), choice);
            c->n_policies = i == c->n_policies ? i + 1 : c->n_policies;
            tell_policy(c, i, choice);
            c->state.n_policies = c->n_policies;
        } else {
            ret = at_error_set(err, -ENOMEM, "no memory for the budget of a band");
        }
        at_mem_free(c->mem, choice);
    }
    if (ret == 0) {
        c->state.policies[i].receivers = ++c->policies[i].receivers;
        *ret_policy = i;
    }
    pthread_mutex_unlock(&c->lock);
    return ret;
}

void at_choose_drop_budget(struct at_classifier *c, size_t policy)
{
    pthread_mutex_lock(&c->lock);
    if (policy > 0) /* what at_choose_add_budget() gave: below AT_MAX_POLICIES */
        /* cppcheck-suppress arrayIndexOutOfBoundsCond */
        c->state.policies[policy].receivers = --c->policies[policy].receivers;
    pthread_mutex_unlock(&c->lock);
}
