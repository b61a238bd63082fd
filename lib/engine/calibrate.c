/* What one decision costs on this host, per candidate: measured at start within CALIBRATE_MS,
 * extrapolated by flops for what is left, and kept in a file by CPU, kernel and model. What a busy
 * host left unmeasured is tried again at the next starts, CALIBRATE_STARTS in all.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "lib/base/newfile.h"
#include "lib/engine/internal.h"

#define CALIBRATE_MS     1500.0 /* in all */
#define CALIBRATE_RUNS   7      /* pushes timed per candidate; the slowest but one stands for p95 */
#define CALIBRATE_STARTS 3
#define GUESS            8 /* mha, the plain baseline, takes 7 times what flash takes for a flop */
#define CACHE_VERSION    2
#define CACHE_MAX        (256 * 1024)

/* The whole of what a figure depends on, so that another host's or model's is never believed. */
static void make_key(const struct at_classifier *c, char *out, size_t n)
{
    char cpu[128];
    const struct at_kernels *k = at_kernels_best();
    at_cpu_model(cpu, sizeof(cpu));
    snprintf(out, n, "%d|%s|%s|%s|%s", CACHE_VERSION, cpu, k ? k->name : "none", c->model->digest,
             AT_VERSION);
}

/* FNV-1a, for a file name only; the key itself is in the file. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return h;
}

static void make_path(const char *dir, const char *key, char *out, size_t n)
{
    snprintf(out, n, "%s/calibration-%016llx.json", dir, (unsigned long long)hash_of(key));
}

static struct at_candidate *find(struct at_classifier *c, const char *backend, const char *mode,
                                 json_int_t window)
{
    for (size_t i = 0; i < c->state.n_candidates; i++) {
        struct at_candidate *k = &c->state.candidates[i];
        if (strcmp(k->backend, backend) == 0 && strcmp(at_mode_name(k->mode), mode) == 0 &&
            k->window == window)
            return k;
    }
    return NULL;
}

static bool is_known(const struct at_candidate *k)
{
    return k->probe_error != 0 || isfinite(k->calibrated_ms);
}

static void load_item(struct at_classifier *c, const json_t *item)
{
    const char *backend = json_string_value(json_object_get(item, "backend"));
    const char *mode = json_string_value(json_object_get(item, "mode"));
    double ms = json_number_value(json_object_get(item, "p95_ms"));
    struct at_candidate *k =
        backend && mode
            ? find(c, backend, mode, json_integer_value(json_object_get(item, "window")))
            : NULL;
    if (k && ms > 0 && ms < 1e6)
        k->calibrated_ms = ms;
}

/* What earlier starts measured; returns how many those were. A file that is not ours, old or broken
 * is as good as none. */
static unsigned load(struct at_classifier *c, const char *path, const char *key)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > CACHE_MAX)
        return 0;
    json_t *root = json_load_file(path, 0, NULL), *item;
    const char *said = json_string_value(json_object_get(root, "key"));
    json_int_t starts = json_integer_value(json_object_get(root, "starts"));
    size_t i;
    if (!said || strcmp(said, key) != 0 || starts < 1)
        starts = 0;
    else
        json_array_foreach(json_object_get(root, "items"), i, item) load_item(c, item);
    json_decref(root);
    return starts < CALIBRATE_STARTS ? (unsigned)starts : CALIBRATE_STARTS;
}

/* What was measured, whole or not at all; a cache that cannot be written is no error, the next
 * start measures again. */
static void save(const struct at_classifier *c, const char *path, const char *key, unsigned starts)
{
    json_t *items = json_array();
    for (size_t i = 0; i < c->state.n_candidates; i++) {
        const struct at_candidate *k = &c->state.candidates[i];
        if (k->probe_error == 0 && isfinite(k->calibrated_ms))
            json_array_append_new(items, json_pack("{s:s,s:s,s:i,s:f}", "backend", k->backend,
                                                   "mode", at_mode_name(k->mode), "window",
                                                   (int)k->window, "p95_ms", k->calibrated_ms));
    }
    json_t *root = json_pack("{s:s,s:i,s:o}", "key", key, "starts", (int)starts, "items", items);
    char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(root);
    if (!text)
        return;
    at_newfile_write(path, text, strlen(text));
    free(text);
}

/* Noise at its own level, the commonest input: 0 dB exponential. A fixed sequence. */
static void fill_noise(float *frames, size_t n)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        frames[i] = log10f(-logf(((float)(x >> 8) + 1) / 16777217.0f) + 1e-4f);
    }
}

/* p95 of one push of AT_PACE_NEXT tokens with a full cache; NAN: not within the deadline. */
static double measure(struct at_classifier *c, size_t i, struct server *server, int64_t deadline_ns)
{
    struct at_session *session = NULL;
    double worst = 0, second = 0;
    if (at_session_create(c->encoder, &c->shapes[i], NULL, &session) < 0)
        return NAN;
    uint32_t window = c->shapes[i].window;
    bool late = false;
    for (uint32_t t = 0; t < window && !late; t += AT_PACE_NEXT) {
        at_session_push(session, server->worker, server->frames, AT_PACE_NEXT, c->columns);
        late = at_clock_mono_ns() > deadline_ns;
    }
    int runs = 0;
    for (; runs < CALIBRATE_RUNS && !late; runs++) {
        float logits[AT_MAX_CLASSES];
        int64_t start_ns = at_clock_mono_ns();
        at_session_push(session, server->worker, server->frames, AT_PACE_NEXT, c->columns);
        at_session_logits(session, logits);
        int64_t end_ns = at_clock_mono_ns();
        double ms = (double)(end_ns - start_ns) / 1e6;
        second = ms > worst ? worst : ms > second ? ms : second;
        worst = ms > worst ? ms : worst;
        late = runs >= 2 && end_ns > deadline_ns;
    }
    at_session_destroy(session);
    return runs > 2 ? second : (double)NAN;
}

/* By cost: from the same backend's rate where one was measured, else GUESS times the slowest rate
 * of all, so that a guess is not preferred to what was measured. */
static double extrapolate(const struct at_classifier *c, size_t i, const double *measured)
{
    double own = NAN, slowest = NAN; /* ms per flop; fmax() passes NAN over */
    for (size_t k = 0; k < c->state.n_candidates; k++) {
        if (!isfinite(measured[k]) || !(c->flops[k] > 0))
            continue;
        double rate = measured[k] / c->flops[k];
        slowest = fmax(slowest, rate);
        if (strcmp(c->state.candidates[k].backend, c->state.candidates[i].backend) == 0)
            own = fmax(own, rate);
    }
    return c->flops[i] * (isfinite(own) ? own : GUESS * slowest);
}

/* Every candidate that can run and is not known yet, while there is time. */
static void measure_missing(struct at_classifier *c, struct server *server)
{
    fill_noise(server->frames, AT_PACE_NEXT * c->columns);
    int64_t deadline_ns = at_clock_mono_ns() + (int64_t)(CALIBRATE_MS * 1e6);
    for (size_t i = 0; i < c->state.n_candidates; i++) {
        struct at_candidate *k = &c->state.candidates[i];
        if (!is_known(k) && k->kv_bytes <= c->budget_bytes && at_clock_mono_ns() < deadline_ns)
            k->calibrated_ms = measure(c, i, server, deadline_ns);
    }
}

void at_calibrate(struct at_classifier *c, const char *cache_dir)
{
    char key[512], path[4096];
    bool all = true, cached = cache_dir && strlen(cache_dir) < 3900;
    unsigned starts = 0;
    make_key(c, key, sizeof(key));
    if (cached) {
        make_path(cache_dir, key, path, sizeof(path));
        starts = load(c, path, key);
    }
    for (size_t i = 0; i < c->state.n_candidates; i++)
        all &= is_known(&c->state.candidates[i]);
    struct server server;
    if (!all && starts < CALIBRATE_STARTS) {
        if (at_server_init(c, &server, NULL) == 0) {
            measure_missing(c, &server);
            if (cached)
                save(c, path, key, starts + 1);
        }
        at_server_finish(&server);
    }
    double measured[AT_MAX_CANDIDATES];
    for (size_t i = 0; i < c->state.n_candidates; i++)
        measured[i] = c->state.candidates[i].calibrated_ms;
    for (size_t i = 0; i < c->state.n_candidates; i++)
        if (!is_known(&c->state.candidates[i]))
            c->state.candidates[i].calibrated_ms = extrapolate(c, i, measured);
}
