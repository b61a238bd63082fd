/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http/access.h"
#include "daemon/http/http.h"
#include "daemon/http/listen.h"
#include "daemon/log.h"
#include "daemon/pipeline.h"
#include "daemon/publish/mqtt.h"
#include "lib/config/table.h"
#include "lib/engine/engine.h"

const char *at_check_token_file(const struct at_config *config, bool *ret_fixed)
{
    static char credential[AT_CONFIG_PATH_SIZE];
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    *ret_fixed = false;
    if (config->http.token_file[0] || !folder)
        return config->http.token_file;
    snprintf(credential, sizeof credential, "%s/http-token", folder);
    *ret_fixed = true;
    return access(credential, F_OK) ? "" : credential;
}

int at_check_read_file(const char *key, const char *path, char **ret_text, struct at_error *err)
{
    enum { MAX = 1 << 20 };
    FILE *f = fopen(path, "re");
    char *text = f ? calloc(1, MAX) : NULL;
    size_t n = text ? fread(text, 1, MAX - 1, f) : 0;
    int rc = !f ? at_error_set(err, -errno, "%s: cannot read %s: %s", key, path, strerror(errno))
             : !text ? at_error_set(err, -ENOMEM, "out of memory")
             : !n || ferror(f) || n == MAX - 1
                 ? at_error_set(err, -EINVAL, "%s: %s is no PEM file", key, path)
                 : 0;
    if (f)
        fclose(f);
    if (rc)
        free(text);
    else
        *ret_text = text;
    return rc;
}

/* Whether one of the listeners may be asked as configured. */
static int check_access(const struct at_config *config, const char *key, const char *name,
                        const char *host, struct at_error *err)
{
    struct at_access *access = NULL;
    struct at_access_config a = {.name = name,
                                 .local = at_listen_is_loopback(host),
                                 .read_token_file = config->http.read_token_file};
    a.token_file = at_check_token_file(config, &a.fixed);
    int rc = at_access_create(&a, err, &access);
    at_access_destroy(access);
    return rc && key ? at_error_prefix(err, rc, "%s", key) : rc;
}

static int check_tls(const struct at_config *config, struct at_error *err)
{
    const char *const pems[][2] = {{"http.tls.cert", config->http.tls_cert},
                                   {"http.tls.key", config->http.tls_key}};
    char *pem[2] = {NULL};
    int rc = at_check_tls_pair(config, err);
    for (int i = 0; !rc && config->http.tls_cert[0] && i < 2; i++)
        rc = at_check_read_file(pems[i][0], pems[i][1], &pem[i], err);
    if (!rc && config->http.tls_cert[0])
        rc = at_http_check_tls(pem[0], pem[1], err);
    free(pem[0]);
    free(pem[1]);
    return rc;
}

int at_check_tls_pair(const struct at_config *config, struct at_error *err)
{
    return !config->http.tls_cert[0] == !config->http.tls_key[0]
               ? 0
               : at_error_set(err, -EINVAL, "http.tls: set both cert and key");
}

/* As at the start: what is BAD here would end it. */
static int check_http(const struct at_config *config)
{
    struct at_error err;
    bool fixed;
    int rc = check_access(config, NULL, config->http.listen, config->http.host, &err);
    if (!rc && config->http.metrics_listen[0])
        rc = check_access(config, "http.metrics_listen", config->http.metrics_listen,
                          config->http.metrics_host, &err);
    if (!rc)
        rc = check_tls(config, &err);
    if (rc) {
        printf("BAD http: %s\n", err.text);
        return AT_EXIT_FAILED;
    }
    bool token = at_check_token_file(config, &fixed)[0] || config->http.read_token_file[0];
    printf("ok  http: %s%s\n", config->http.listen,
           token ? ", with a token" : ", this machine only");
    return AT_EXIT_OK;
}

/* A range that its band does not reach is copied from another one, or lacks its unit. */
static void note_ranges(const struct at_config_radio *c, const struct at_config_band *b,
                        const char *key, const struct at_config_range *ranges, uint32_t n)
{
    double lo = b->center_hz - b->rate_hz / 2, hi = b->center_hz + b->rate_hz / 2;
    for (uint32_t i = 0; i < n; i++)
        if (ranges[i].hi_hz <= lo || ranges[i].lo_hz >= hi)
            printf("note radio %s, band %s: %s: %.10g to %.10g MHz lies outside the band and does "
                   "nothing\n",
                   c->name, b->name, key, 1e-6 * ranges[i].lo_hz, 1e-6 * ranges[i].hi_hz);
}

static int check_radio(const struct at_config_radio *c)
{
    if (!c->file[0]) {
        printf("ok  radio %s: %s (not opened)\n", c->name, c->device);
        for (const struct at_config_band *b = c->bands; b < c->bands + c->n_bands; b++) {
            note_ranges(c, b, "ignore", b->ignore, b->n_ignore);
            note_ranges(c, b, "watch", b->watch, b->n_watch);
        }
        return AT_EXIT_OK;
    }
    struct at_error err = {{0}};
    struct at_source *s = NULL;
    struct at_file_options o = {
        .format = c->format[0] && strcmp(c->format, "auto") ? c->format : NULL,
        .rate_hz = c->bands[0].rate_hz,
        .center_hz = c->bands[0].center_hz,
    };
    if (at_source_open_file(c->file, &o, &err, &s)) {
        printf("BAD radio %s: %s\n", c->name, err.text);
        return AT_EXIT_FAILED;
    }
    struct at_source_info info;
    s->ops->get_info(s, &info);
    printf("ok  radio %s: %s, %s, %.0f S/s, %.3f MHz, %.1f s\n", c->name, c->file, info.format,
           info.rate_hz, 1e-6 * info.center_hz, (double)info.n_samples / info.rate_hz);
    s->ops->destroy(s);
    return AT_EXIT_OK;
}

static void print_candidate(const struct at_selector_state *s, size_t i)
{
    const struct at_candidate *c = &s->candidates[i];
    char cost[48] = "", accuracy[32] = "";
    if (isfinite(c->calibrated_ms))
        snprintf(cost, sizeof cost, ", p95 %.2f ms", c->calibrated_ms);
    if (isfinite(c->accuracy))
        snprintf(accuracy, sizeof accuracy, ", accuracy %.1f %%", 100 * c->accuracy);
    printf("%s  backend %s %s, window %u%s, %.2f MB a session%s: %s%s\n",
           s->choice.each[i].fits ? "ok" : "no", c->backend, at_mode_name(c->mode), c->window, cost,
           1e-6 * c->kv_bytes, accuracy, s->choice.each[i].reason,
           s->choice.index == (int)i ? " (chosen)" : "");
}

static int check_model(const struct at_config *config, const char *path)
{
    struct at_error err = {{0}};
    struct at_mem mem = {0};
    struct at_classifier *c = NULL;
    struct at_classifier_config cc =
        at_pipeline_classifier_config(config, 1); /* workers: measured */
    cc.model_path = path;
    if (at_classifier_create(&mem, &cc, &err, &c)) {
        printf("BAD model: %s\n", err.text);
        return AT_EXIT_FAILED;
    }
    const struct at_model *m = at_classifier_model(c);
    printf("ok  model: %s, %u classes, %.12s\n", m->path, m->config.n_classes, m->digest);
    struct at_selector_state *s = calloc(1, sizeof *s);
    int rc = s ? AT_EXIT_OK : AT_EXIT_FAILED;
    if (s) {
        at_classifier_get_state(c, s);
        for (size_t i = 0; i < s->n_candidates; i++)
            print_candidate(s, i);
        if (s->choice.index < 0 || s->choice.over_budget) {
            printf("BAD budget: nothing fits %g ms and %g MB on this host: %s\n", s->budget_ms,
                   s->budget_kv_mb, s->choice.reason);
            rc = AT_EXIT_FAILED;
        } else {
            printf("ok  budget: %g ms, %g MB: %s, %s\n", s->budget_ms, s->budget_kv_mb,
                   s->candidates[s->choice.index].backend, s->choice.reason);
        }
    }
    free(s);
    at_classifier_destroy(c);
    return rc;
}

int at_check_load_bandplan(const struct at_config *config, struct at_error *err,
                           struct at_bandplan **ret_plan, bool *ret_missing)
{
    const char *path = config->bandplan, *preset = at_config_table_find("bandplan")->preset;
    struct at_bandplan *plan = NULL;
    bool missing = !strcmp(path, preset) && access(path, F_OK) < 0 && errno == ENOENT;
    struct at_error why;
    int rc = path[0] && !missing ? at_bandplan_load(path, &why, &plan) : 0;
    if (rc < 0)
        return at_error_set(err, rc, "bandplan: %.400s; \"\" for none", why.text);
    *ret_plan = plan;
    *ret_missing = missing;
    return 0;
}

static int check_bandplan(const struct at_config *config)
{
    struct at_error err;
    struct at_bandplan *plan;
    bool missing;
    if (at_check_load_bandplan(config, &err, &plan, &missing) < 0) {
        printf("BAD %s\n", err.text);
        return AT_EXIT_FAILED;
    }
    if (config->bandplan[0])
        printf("ok  bandplan: %s%s\n", config->bandplan,
               missing ? " is not there: no service hints" : "");
    at_bandplan_destroy(plan);
    return AT_EXIT_OK;
}

/* The folder of a file: "/" where it stands at the top. */
static void folder_of(const char *path, char out[AT_CONFIG_PATH_SIZE])
{
    const char *slash = strrchr(path, '/');
    int n = slash && slash > path ? (int)(slash - path) : 1;
    snprintf(out, AT_CONFIG_PATH_SIZE, "%.*s", n, path);
}

/* What a start does without, with a word in the log: most often a slip of the pen. The folders
 * of the defaults are the unit's to make. */
static void note_folders(const struct at_config *c)
{
    char folder[AT_CONFIG_PATH_SIZE];
    folder_of(c->history.path, folder);
    if (c->history.path[0] &&
        strcmp(c->history.path, at_config_table_find("history.path")->preset) &&
        access(folder, W_OK) < 0)
        printf("note history.path: %s: %s: emissions would be kept in memory only\n", folder,
               strerror(errno));
    folder_of(c->cache_dir, folder);
    if (c->cache_dir[0] && strcmp(c->cache_dir, at_config_table_find("cache_dir")->preset) &&
        access(c->cache_dir, W_OK) < 0 && (errno != ENOENT || access(folder, W_OK) < 0))
        printf("note cache_dir: %s: %s: each start would measure again\n", c->cache_dir,
               strerror(errno));
    for (uint32_t i = 0; i < c->soapy.n_modules; i++)
        if (access(c->soapy.modules[i], R_OK | X_OK) < 0)
            printf("note soapy.modules: %s: %s\n", c->soapy.modules[i], strerror(errno));
}

/* Of two radios with one device the second finds it taken. */
static void note_same_device(const struct at_config *c, uint32_t i)
{
    for (uint32_t k = 0; k < i && !c->radios[i].file[0]; k++)
        if (!strcmp(c->radios[i].device, c->radios[k].device) &&
            c->radios[i].channel == c->radios[k].channel)
            printf("note radio %s: the device is that of radio %s too; give each its serial\n",
                   c->radios[i].name, c->radios[k].name);
}

int at_check_run(const struct at_config *config)
{
    int rc = check_http(config);
    note_folders(config);
    struct at_error err;
    if (check_bandplan(config))
        rc = AT_EXIT_FAILED;
    if (at_mqtt_check(config, &err)) {
        printf("BAD %s\n", err.text);
        rc = AT_EXIT_FAILED;
    }
    for (uint32_t i = 0; i < config->n_radios; i++) {
        if (check_radio(&config->radios[i]))
            rc = AT_EXIT_FAILED;
        note_same_device(config, i);
    }
    const char *models[AT_CONFIG_MAX_MODELS];
    size_t n_models = at_config_models(config, models);
    for (size_t i = 0; i < n_models; i++)
        if (check_model(config, models[i]))
            rc = AT_EXIT_FAILED;
    return rc;
}
