/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/attn/selector.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the rules read: candidates with their p95 made comparable. */
struct view {
    const struct at_candidate *c;
    size_t n;
    const struct at_selector_input *in;
    int current;                        /* -1: none */
    double p95_ms[AT_MAX_CANDIDATES];   /* NAN: not known */
    double kv_bytes[AT_MAX_CANDIDATES]; /* of all sessions */
    bool can_run[AT_MAX_CANDIDATES];    /* probe agrees and nothing else is forced */
    bool fits[AT_MAX_CANDIDATES];
};

/* How much slower this host is now than when it was calibrated. The bounds are wide: what has not
 * run would else look fast beside what does, on a host that is slower than that. */
static double live_over_calibrated(const struct view *v)
{
    if (v->current < 0)
        return 1;
    double live = v->c[v->current].live_p95_ms, calibrated = v->c[v->current].calibrated_ms;
    return live > 0 && calibrated > 0 ? fmin(fmax(live / calibrated, 0.5), 1000) : 1;
}

static bool can_run_any(const struct at_candidate *c, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!c[i].probe_error && strcmp(c[i].backend, name) == 0)
            return true;
    return false;
}

/* Returns whether the forced backend is in force. */
static bool set_view(struct view *v, const struct at_candidate *c, size_t n,
                     const struct at_selector_input *in)
{
    *v = (struct view){.c = c, .n = n, .in = in, .current = in->current};
    if (in->current < 0 || (size_t)in->current >= n || c[in->current].probe_error)
        v->current = -1;
    double factor = live_over_calibrated(v);
    bool forced = in->forced && can_run_any(c, n, in->forced);
    for (size_t i = 0; i < n; i++) {
        v->p95_ms[i] = isnan(c[i].live_p95_ms) ? c[i].calibrated_ms * factor : c[i].live_p95_ms;
        v->kv_bytes[i] = c[i].kv_bytes * fmax(in->sessions, 1);
        v->can_run[i] = !c[i].probe_error && (!forced || strcmp(c[i].backend, in->forced) == 0);
    }
    if (v->current >= 0 && !v->can_run[v->current])
        v->current = -1; /* no hysteresis for what may not stay */
    return forced;
}

/* a is faster than b by enough to leave b for it. What is not known is slow. */
static bool clearly_faster(double a_ms, double b_ms)
{
    return !isnan(a_ms) && (isnan(b_ms) || a_ms < AT_SELECTOR_ENTER * b_ms);
}

/* Writes why it doesn't fit; false where there is nothing to say. */
static bool latency_refuses(const struct view *v, size_t i, char *out, size_t size)
{
    double limit = v->in->budget_ms;
    bool entering = v->current >= 0 && (int)i != v->current;
    if (!(limit > 0))
        return false;
    if (isnan(v->p95_ms[i])) {
        snprintf(out, size, "p95 not measured");
        return true;
    }
    if (entering)
        limit *= AT_SELECTOR_ENTER;
    if (v->p95_ms[i] <= limit)
        return false;
    int n = snprintf(out, size, "p95 %.4g ms above %.4g ms%s", v->p95_ms[i], limit,
                     entering ? ", the limit for a change" : "");
    if (isnan(v->c[i].live_p95_ms) && v->p95_ms[i] != v->c[i].calibrated_ms && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, "; %.4g ms as calibrated", v->c[i].calibrated_ms);
    return true;
}

static bool kv_refuses(const struct view *v, size_t i, char *out, size_t size)
{
    double limit = v->in->budget_kv_bytes;
    if (!(limit > 0))
        return false;
    if (v->current >= 0 && (int)i != v->current)
        limit *= AT_SELECTOR_ENTER;
    if (v->kv_bytes[i] <= limit)
        return false;
    snprintf(out, size, "KV %.4g MB for %.0f sessions above %.4g MB", v->kv_bytes[i] / 1e6,
             fmax(v->in->sessions, 1), limit / 1e6);
    return true;
}

static bool load_refuses(const struct view *v, size_t i, char *out, size_t size)
{
    if (v->current < 0)
        return false;
    double mine = v->p95_ms[i], now = v->p95_ms[v->current];
    bool same = (int)i == v->current;
    if (v->in->queue > 1 && (same || !clearly_faster(mine, now))) {
        snprintf(out, size, "falling behind (queue %.3g): only something faster helps",
                 v->in->queue);
        return true;
    }
    double expected = same ? v->in->load : v->in->load * mine / now;
    double limit = same ? AT_SELECTOR_LOAD_STAY : AT_SELECTOR_LOAD_ENTER;
    if (!(same || mine > now) || !(expected > limit))
        return false;
    if (!same && expected > 2)
        snprintf(out, size, "would need %.3g times the workers that there are", expected);
    else
        snprintf(out, size, "%s the workers %.0f %% busy, above %.0f %%",
                 same ? "keeps" : "would keep", 100 * expected, 100 * limit);
    return true;
}

static void judge(struct view *v, size_t i, bool forced, struct at_choice *ret)
{
    char *out = ret->each[i].reason;
    size_t size = sizeof ret->each[i].reason;
    if (v->c[i].probe_error)
        snprintf(out, size, "cannot run: %s", strerror(-v->c[i].probe_error));
    else if (!v->can_run[i])
        snprintf(out, size, "%.15s is forced", v->in->forced);
    else if (!latency_refuses(v, i, out, size) && !kv_refuses(v, i, out, size) &&
             !load_refuses(v, i, out, size))
        v->fits[i] = true;
    if (v->fits[i])
        snprintf(out, size, "fits%s", forced ? " (forced)" : "");
    ret->each[i].fits = v->fits[i];
}

static double accuracy_of(const struct at_candidate *c)
{
    return isnan(c->accuracy) ? -1 : c->accuracy;
}

static double speed_of(const struct view *v, int i)
{
    return isnan(v->p95_ms[i]) ? HUGE_VAL : v->p95_ms[i];
}

/* Fastest of the marked ones, the first among equals; -1: none. What runs now stays unless clearly
 * beaten. */
static int fastest(const struct view *v, const bool *marked)
{
    int best = -1;
    for (size_t i = 0; i < v->n; i++)
        if (marked[i] && (best < 0 || speed_of(v, (int)i) < speed_of(v, best)))
            best = (int)i;
    if (v->current >= 0 && marked[v->current] &&
        !clearly_faster(v->p95_ms[best], v->p95_ms[v->current]))
        return v->current;
    return best;
}

static void choose_fitting(const struct view *v, struct at_choice *ret)
{
    double top = -2;
    int n_tied = 0;
    bool tied[AT_MAX_CANDIDATES] = {false};
    for (size_t i = 0; i < v->n; i++)
        if (v->fits[i])
            top = fmax(top, accuracy_of(&v->c[i]));
    for (size_t i = 0; i < v->n; i++) {
        tied[i] = v->fits[i] && accuracy_of(&v->c[i]) >= top - AT_SELECTOR_TIE;
        n_tied += tied[i];
    }
    ret->index = fastest(v, tied);
    const char *why = top < 0       ? "accuracy not known: the fastest that fits"
                      : n_tied == 1 ? "highest accuracy that fits"
                      : ret->index == v->current
                          ? "within 0.1 point of the best; none is clearly faster"
                          : "within 0.1 point of the best, and faster";
    snprintf(ret->reason, sizeof ret->reason, "%s", why);
}

/* The budgets that what was taken asks for, where it passes them. */
static void say_what_would_fit(const struct view *v, struct at_choice *ret)
{
    size_t at = strlen(ret->reason), size = sizeof ret->reason;
    double ms = v->p95_ms[ret->index], bytes = v->kv_bytes[ret->index];
    const char *sep = "; would fit: ";
    if (v->in->budget_ms > 0 && ms > v->in->budget_ms) {
        at += (size_t)snprintf(ret->reason + at, size - at, "%slatency_ms %.3g", sep,
                               ms / AT_SELECTOR_ENTER);
        sep = ", ";
    }
    if (at < size && v->in->budget_kv_bytes > 0 && bytes > v->in->budget_kv_bytes) {
        snprintf(ret->reason + at, size - at, "%skv_mb %.4g", sep,
                 ceil(bytes / 1e6 / AT_SELECTOR_ENTER));
        sep = ", ";
    }
    if (at < size && sep[0] == ';' && (v->in->queue > 1 || v->in->load > AT_SELECTOR_LOAD_STAY))
        snprintf(ret->reason + at, size - at, "; more cores would help (load %.2f, queue %.3g)",
                 v->in->load, v->in->queue);
}

/* Nothing fits: the memory budget is kept as far as it goes, then speed decides. */
static void choose_least_bad(const struct view *v, struct at_choice *ret)
{
    bool marked[AT_MAX_CANDIDATES] = {false};
    double least = HUGE_VAL;
    bool any_kv = false, any = false;
    for (size_t i = 0; i < v->n; i++) {
        if (!v->can_run[i])
            continue;
        any = true;
        marked[i] = !(v->in->budget_kv_bytes > 0) || v->kv_bytes[i] <= v->in->budget_kv_bytes;
        any_kv |= marked[i];
        least = fmin(least, v->kv_bytes[i]);
    }
    if (!any) {
        snprintf(ret->reason, sizeof ret->reason, "nothing can run");
        return;
    }
    for (size_t i = 0; !any_kv && i < v->n; i++)
        marked[i] = v->can_run[i] && v->kv_bytes[i] <= least;
    ret->index = fastest(v, marked);
    ret->over_budget = true;
    snprintf(ret->reason, sizeof ret->reason, "nothing fits: %s",
             !any_kv                    ? "the smallest KV cache"
             : ret->index == v->current ? "none is clearly faster than this"
                                        : "the fastest");
    say_what_would_fit(v, ret);
}

void at_selector_choose(const struct at_candidate *candidates, size_t n,
                        const struct at_selector_input *in, struct at_choice *ret)
{
    struct view v;
    if (n > AT_MAX_CANDIDATES)
        n = AT_MAX_CANDIDATES;
    bool forced = set_view(&v, candidates, n, in), any = false;
    *ret = (struct at_choice){.index = -1};
    for (size_t i = 0; i < n; i++) {
        judge(&v, i, forced, ret);
        any |= v.fits[i];
    }
    if (any)
        choose_fitting(&v, ret);
    else
        choose_least_bad(&v, ret);
    char why[sizeof ret->reason];
    memcpy(why, ret->reason, sizeof why);
    if (forced)
        snprintf(ret->reason, sizeof ret->reason, "forced%s",
                 ret->over_budget ? ", over budget" : "");
    else if (in->forced)
        snprintf(ret->reason, sizeof ret->reason, "%.15s cannot run; %.60s", in->forced, why);
}

bool at_selector_may_change(struct at_selector_hold *h, int now, int wanted, bool fits,
                            double now_s)
{
    if (fits && h->begun &&
        (now_s - h->changed_s < AT_SELECTOR_HOLD_S || now_s < h->of[wanted].until_s))
        return false;
    if (!fits) {
        double stayed_s = now_s - h->of[now].entered_s, hold_s = h->of[now].hold_s;
        bool again = hold_s > 0 && stayed_s < 4 * AT_SELECTOR_HOLD_MOST_S;
        h->of[now].hold_s = again ? fmin(2 * hold_s, AT_SELECTOR_HOLD_MOST_S) : AT_SELECTOR_HOLD_S;
        h->of[now].until_s = now_s + h->of[now].hold_s;
    }
    h->begun = true;
    h->changed_s = h->of[wanted].entered_s = now_s;
    return true;
}
