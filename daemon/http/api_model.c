/* The model, the backends and the selector. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/api.h"

static json_t *config_json(const struct at_model_config *c)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s}", "n_bins",
                     (int)c->n_bins, "n_aux", (int)c->n_aux, "d_model", (int)c->d_model, "n_layers",
                     (int)c->n_layers, "n_heads", (int)c->n_heads, "d_ff", (int)c->d_ff, "window",
                     (int)c->window, "kv_groups", (int)c->kv_groups, "segment", (int)c->segment,
                     "pool_block", (int)c->pool_block, "norm",
                     c->norm == AT_NORM_RMS ? "rms" : "layer");
}

static json_t *groups_json(const struct at_model *m)
{
    json_t *groups = json_object();
    for (size_t i = 0; i < m->n_groups; i++) {
        json_t *members = json_array();
        for (uint32_t k = 0; k < m->config.n_classes; k++)
            if (m->groups[i].members >> k & 1)
                json_array_append_new(members, json_string(m->labels[k]));
        json_object_set_new(groups, m->groups[i].name, members);
    }
    return groups;
}

static json_t *model_json(const struct at_model *m)
{
    json_t *root = json_object(), *labels = json_array(), *accuracy = json_array();
    at_json_set_text(root, "name", m->name);
    at_json_set_text(root, "path", m->path);
    at_json_set_text(root, "digest", m->digest);
    for (uint32_t k = 0; k < m->config.n_classes; k++)
        json_array_append_new(labels, json_string(m->labels[k]));
    for (size_t i = 0; i < m->n_accuracy; i++) {
        json_t *o = json_pack("{s:s, s:i}", "backend", m->accuracy[i].backend, "window",
                              (int)m->accuracy[i].window);
        if (o)
            at_json_set_real(o, "accuracy", m->accuracy[i].overall);
        json_array_append_new(accuracy, o);
    }
    json_object_set_new(root, "classes", labels);
    json_object_set_new(root, "groups", groups_json(m));
    json_object_set_new(root, "accuracy", accuracy);
    json_object_set_new(root, "config", config_json(&m->config));
    return root;
}

/* The view, the caller's to free; NULL where there is none or no model in it yet: r says why. */
static struct at_view *view_with_model(const struct at_api *api, struct at_reply *r)
{
    struct at_view *v = at_api_view(api, r);
    if (!v || v->model)
        return v;
    at_reply_error(r, 503, "not_ready", "the model is not loaded yet");
    free(v);
    return NULL;
}

void at_api_model(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = view_with_model(api, r);
    if (!v)
        return;
    json_t *root = model_json(v->model), *more = json_array();
    for (size_t i = 0; i < v->n_more; i++)
        json_array_append_new(more, model_json(v->more[i].model));
    json_object_set_new(root, "of_bands", more);
    at_reply_json(r, 200, root);
    free(v);
}

/* A candidate: a backend in a mode with a window, what it costs here and whether it fits. */
static json_t *candidate_json(const struct at_view *v, size_t i)
{
    const struct at_candidate *c = &v->selector.candidates[i];
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:b, s:b}", "backend", c->backend, "mode", at_mode_name(c->mode),
                  "window", (int)c->window, "active", v->selector.choice.index == (int)i, "fits",
                  (int)v->selector.choice.each[i].fits);
    if (!o)
        return NULL;
    at_json_set_text(o, "reason", v->selector.choice.each[i].reason);
    at_json_set_real(o, "accuracy", c->accuracy);
    at_json_set_real(o, "calibrated_ms", c->calibrated_ms);
    at_json_set_real(o, "live_p50_ms", c->live_p50_ms);
    at_json_set_real(o, "live_p95_ms", c->live_p95_ms);
    if (!c->probe_error)
        json_object_set_new(o, "kv_bytes_per_session", json_integer((json_int_t)c->kv_bytes));
    else
        at_json_set_text(o, "cannot", strerror(-c->probe_error));
    return o;
}

static json_t *caps_json(uint32_t caps)
{
    static const char *const names[] = {"rope",    "causal",    "window", "bidirectional",
                                        "dropout", "streaming", "bf16"};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (caps >> i & 1)
            json_array_append_new(list, json_string(names[i]));
    return list;
}

void at_api_backends(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = at_api_view(api, r);
    if (!v)
        return;
    json_t *items = json_array();
    for (const struct at_attn_backend *const *b = at_attn_registry; *b; b++) {
        bool active = v->model && !strcmp(at_view_backend(v), (*b)->name);
        json_t *o = json_pack("{s:s, s:s, s:b, s:f, s:f, s:i}", "name", (*b)->name, "summary",
                              (*b)->summary, "active", active, "max_nmse_fp32", (*b)->max_nmse_fp32,
                              "max_nmse_bf16", (*b)->max_nmse_bf16, "version", (int)(*b)->version);
        if (!o)
            continue;
        json_object_set_new(o, "capabilities", caps_json((*b)->caps));
        if (active)
            at_json_set_text(o, "kernel", v->selector.kernel);
        json_object_set_new(o, "decisions",
                            json_integer((json_int_t)at_metrics_get(
                                api->metrics, AT_COUNT_DECISIONS, (*b)->name, NULL, NULL)));
        json_t *candidates = json_array();
        for (size_t i = 0; v->model && i < v->selector.n_candidates; i++)
            if (!strcmp(v->selector.candidates[i].backend, (*b)->name))
                json_array_append_new(candidates, candidate_json(v, i));
        json_object_set_new(o, "candidates", candidates);
        json_array_append_new(items, o);
    }
    at_reply_list(r, items, 0);
    free(v);
}

static json_t *change_json(const struct at_selector_change *c)
{
    json_t *o = json_object();
    at_json_set_utc(o, "time", c->utc_ns);
    at_json_set_text(o, "from", c->from);
    at_json_set_text(o, "to", c->to);
    at_json_set_text(o, "reason", c->reason);
    at_json_set_real(o, "budget_ms", c->budget_ms);
    if (c->model[0])
        at_json_set_text(o, "model", c->model);
    return o;
}

char *at_api_selector_event(const struct at_selector_change *c)
{
    json_t *o = change_json(c);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

/* What runs under each budget: the daemon's own first, then those of bands; for each model. */
static void add_budgets(json_t *all, const struct at_selector_state *s, const char *model)
{
    for (size_t i = 0; i < s->n_policies; i++) {
        const struct at_policy_state *p = &s->policies[i];
        if (p->choice < 0 || (i > 0 && p->receivers == 0))
            continue;
        const struct at_candidate *c = &s->candidates[p->choice];
        json_t *o = json_object();
        at_json_set_real(o, "latency_ms", p->budget_ms);
        json_object_set_new(o, "of_bands", json_boolean(i > 0));
        at_json_set_text(o, "backend", c->backend);
        at_json_set_text(o, "mode", at_mode_name(c->mode));
        json_object_set_new(o, "window", json_integer(c->window));
        json_object_set_new(o, "over_budget", json_boolean(p->over_budget));
        at_json_set_text(o, "reason", p->reason);
        at_json_set_text(o, "model", model);
        json_array_append_new(all, o);
    }
}

static json_t *budgets_json(const struct at_view *v)
{
    json_t *all = json_array();
    add_budgets(all, &v->selector, v->model->name);
    for (size_t i = 0; i < v->n_more; i++)
        add_budgets(all, &v->more[i].selector, v->more[i].model->name);
    return all;
}

void at_api_selector(const struct at_api *api, const struct at_request *q, struct at_reply *r)
{
    struct at_view *v = view_with_model(api, r);
    if (!v)
        return;
    const struct at_selector_state *s = &v->selector;
    json_t *root = json_object(), *candidates = json_array(), *changes = json_array(),
           *input = json_object();
    at_json_set_text(root, "backend", at_view_backend(v));
    if (s->choice.index >= 0) {
        at_json_set_text(root, "mode", at_mode_name(s->candidates[s->choice.index].mode));
        json_object_set_new(root, "window", json_integer(s->candidates[s->choice.index].window));
    }
    at_json_set_text(root, "kernel", s->kernel);
    at_json_set_text(root, "reason", s->choice.reason);
    json_object_set_new(root, "over_budget", json_boolean(s->choice.over_budget));
    at_json_set_text(root, "forced", s->input.forced);
    json_object_set_new(
        root, "budget",
        json_pack("{s:f, s:f}", "latency_ms", s->budget_ms, "kv_mb", s->budget_kv_mb));
    at_json_set_real(input, "sessions", s->input.sessions);
    at_json_set_real(input, "load_ratio", s->input.load);
    at_json_set_real(input, "queue", s->input.queue);
    json_object_set_new(root, "budgets", budgets_json(v));
    json_object_set_new(root, "load", input);
    for (size_t i = 0; i < s->n_candidates; i++)
        json_array_append_new(candidates, candidate_json(v, i));
    for (size_t i = v->n_changes; i-- > 0;)
        json_array_append_new(changes, change_json(&v->changes[i]));
    json_object_set_new(root, "candidates", candidates);
    json_object_set_new(root, "changes", changes);
    json_object_set_new(root, "n_changes", json_integer((json_int_t)s->changes));
    at_reply_json(r, 200, root);
    free(v);
}
