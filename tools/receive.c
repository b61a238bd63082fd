/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/receive.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/config/bandplan.h"
#include "lib/config/value.h"

#define MODEL_NAME "attune-base.safetensors"

volatile int at_interrupted;

static void on_signal(int number)
{
    at_interrupted = number;
}

void at_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

int at_refuse_bare(const struct at_command *c, double center_hz)
{
    if (!at_value_lacks_unit(center_hz))
        return AT_EXIT_OK;
    return at_fail(c, AT_EXIT_USAGE, "--freq: %.10g Hz is no centre; with its unit it is %.10gM",
                   center_hz, center_hz);
}

/* The folder two above the program, where it stands in a build tree (build/tools/attune). */
static bool tree_path(const char *name, char *out, size_t n)
{
    char exe[2048];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (len <= 0)
        return false;
    exe[len] = '\0';
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(exe, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    int made = snprintf(out, n, "%s/%s", exe, name);
    return made > 0 && (size_t)made < n && access(out, R_OK) == 0;
}

int at_model_path(const char *path, char *out, size_t n, struct at_error *err)
{
    if (!path)
        path = getenv("ATTUNE_MODEL");
    if (path && path[0]) {
        if (strlen(path) >= n)
            return at_error_set(err, -ENAMETOOLONG, "the model's path is too long");
        memcpy(out, path, strlen(path) + 1);
        return 0;
    }
    if (tree_path("models/" MODEL_NAME, out, n))
        return 0;
    snprintf(out, n, "/usr/share/attune/models/" MODEL_NAME);
    if (access(out, R_OK) == 0)
        return 0;
    return at_error_set(err, -ENOENT,
                        "no model: neither models/" MODEL_NAME " beside the build nor %s is there; "
                        "say --model FILE or set ATTUNE_MODEL",
                        out);
}

bool at_cache_path(char *out, size_t n)
{
    char parent[2048];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/')
        snprintf(parent, sizeof(parent), "%s", cache);
    else if (home && home[0] == '/')
        snprintf(parent, sizeof(parent), "%s/.cache", home);
    else
        return false;
    mkdir(parent, 0700);
    int made = snprintf(out, n, "%s/attune", parent);
    if (made < 0 || (size_t)made >= n)
        return false;
    mkdir(out, 0700);
    return access(out, W_OK) == 0;
}

static unsigned count_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 1 ? 2 : 1;
}

/* FFT plans measured in earlier runs: half a second saved, and the same plans again. */
static bool wisdom_path(char *out, size_t n)
{
    char cache[2048];
    if (!at_cache_path(cache, sizeof(cache)))
        return false;
    int made = snprintf(out, n, "%s/fftw-wisdom", cache);
    return made > 0 && (size_t)made < n;
}

int at_reception_open(struct at_reception *r, struct at_error *err)
{
    char path[2048], cache[2048], wisdom[2100];
    int ret = at_model_path(r->model, path, sizeof(path), err);
    if (ret < 0)
        return ret;
    if (wisdom_path(wisdom, sizeof(wisdom)))
        at_dsp_wisdom_load(wisdom);
    struct at_classifier_config config = {
        .model_path = path, .backend = r->backend, .window = r->window};
    if (r->live) {
        config.threads = count_threads();
        config.cache_dir = at_cache_path(cache, sizeof(cache)) ? cache : NULL;
    }
    return at_classifier_create(&r->mem, &config, err, &r->classifier);
}

/* That of the build tree, else the installed one; without either there are no hints. */
static int load_bandplan(struct at_reception *r, struct at_error *err)
{
    char path[2048];
    if (!tree_path("conf/bandplan.yaml", path, sizeof(path)))
        snprintf(path, sizeof(path), "/etc/attune/bandplan.yaml");
    return access(path, R_OK) ? 0 : at_bandplan_load(path, err, &r->bandplan);
}

int at_reception_start(struct at_reception *r, const struct at_source_info *info, const char *boot,
                       const char *radio, const struct at_receiver_sink *sink, struct at_error *err)
{
    int ret = r->bandplan ? 0 : load_bandplan(r, err);
    if (ret < 0)
        return ret;
    struct at_receiver_config config = {
        .radio = radio,
        .boot = boot,
        .center_hz = info->center_hz,
        .live = r->live,
        .bandplan = r->bandplan,
        .band_config = {.rate_hz = info->rate_hz,
                        .blanker_db = r->blanker_db,
                        .assumed_floor_dbfs_hz = info->assumed_floor_dbfs_hz},
    };
    return at_receiver_create(r->classifier, &config, sink, err, &r->receiver);
}

void at_reception_close(struct at_reception *r)
{
    char wisdom[2100];
    if (r->receiver && wisdom_path(wisdom, sizeof(wisdom)))
        at_dsp_wisdom_save(wisdom);
    at_receiver_destroy(r->receiver);
    at_classifier_destroy(r->classifier);
    at_bandplan_destroy(r->bandplan);
    r->bandplan = NULL;
    r->receiver = NULL;
    r->classifier = NULL;
}
