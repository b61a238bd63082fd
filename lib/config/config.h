/* The daemon's configuration: YAML in, one plain struct out. The table in table.c is the only place
 * that names a key, its type, bounds, default and meaning; parser, defaults, shipped file and
 * --print-config all follow it.
 *
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CONFIG_CONFIG_H
#define AT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

#define AT_CONFIG_MAX_RADIOS  16
#define AT_CONFIG_MAX_BANDS   16
#define AT_CONFIG_MAX_IGNORE  32
#define AT_CONFIG_MAX_WATCH   32
#define AT_CONFIG_MAX_MODULES 8
#define AT_CONFIG_MAX_MODELS  4 /* model.path and those of bands */
#define AT_CONFIG_MAX_HOSTS   8
#define AT_CONFIG_HOST_SIZE   128
#define AT_CONFIG_PATH_SIZE   1024
#define AT_CONFIG_NAME_SIZE   32

/* Numbers that were not given are NAN where the comment says so; a string that was not given is
 * empty. */

struct at_config_gain {
    double db;      /* NAN: auto, or by element */
    char gains[64]; /* "LNA=20,VGA=12", or empty */
};

struct at_config_range {
    double lo_hz, hi_hz; /* absolute RF, lo < hi */
};

struct at_config_budget {
    double latency_ms; /* p95 of one decision */
    double kv_mb;
};

struct at_config_band {
    char name[AT_CONFIG_NAME_SIZE]; /* unique within its radio; never empty */
    double center_hz;               /* RF; NAN: from the file */
    double rate_hz;                 /* 0: from the file */
    struct at_config_gain gain;
    double lo_offset_hz; /* the radio is tuned this far above centre, so that DC falls aside */
    double blanker_db;   /* noise blanker's threshold over the running median, 9 .. 40; 0: none */
    double dwell_s;      /* of each visit, where the radio has several bands */
    double ppm;          /* NAN: the radio's */
    char antenna[32];    /* empty: the radio's */
    char settings[256];  /* beside the radio's; "key=value,...", or empty */
    int bias_tee;        /* 1: on, -1: off, 0: the radio's */
    double latency_ms;   /* budget of this band; 0: budget.latency_ms */
    char model[AT_CONFIG_PATH_SIZE]; /* the classifier's weights in this band; empty: model.path */
    struct at_config_range ignore[AT_CONFIG_MAX_IGNORE];
    uint32_t n_ignore;
    struct at_config_range watch[AT_CONFIG_MAX_WATCH];
    uint32_t n_watch;
};

struct at_config_radio {
    char name[AT_CONFIG_NAME_SIZE];       /* unique; never empty */
    char device[AT_CONFIG_PATH_SIZE + 8]; /* "driver=..." or "file=/absolute/path" */
    char file[AT_CONFIG_PATH_SIZE];       /* the path of a file= device, else empty */
    double ppm;
    char antenna[32]; /* empty: the device's own */
    bool bias_tee;
    char settings[256]; /* "key=value,...", or empty */
    uint32_t channel;
    char pace[8];    /* of a file: "real" or "fast" */
    char format[8];  /* of a file: "auto", "cu8", "cs8", "cs16", "cs24", "cs32", "cf32" */
    bool loop;       /* of a file: begin again at its end */
    double settle_s; /* dropped behind each change of band */
    struct at_config_band bands[AT_CONFIG_MAX_BANDS];
    uint32_t n_bands; /* at least 1; several are visited in turn, none of a file */
};

struct at_config {
    struct {
        char level[8];  /* "error", "warning", "info", "debug" */
        char format[8]; /* "text", "json" */
    } log;
    struct {
        char name[64];
        double latitude, longitude; /* degrees; NAN: not given */
    } site;
    struct {
        char modules[AT_CONFIG_MAX_MODULES][AT_CONFIG_PATH_SIZE];
        uint32_t n_modules;
    } soapy;
    struct {
        char path[AT_CONFIG_PATH_SIZE];
        uint32_t window;  /* 0: the model's own */
        char mode[8];     /* "auto", "fp32", "bf16" */
        char backend[16]; /* "auto", or a backend's name */
    } model;
    struct at_config_budget budget;
    uint32_t cores; /* budget.cores */
    struct {
        char listen[64]; /* as written */
        char host[48];   /* of listen, without brackets */
        uint16_t port;   /* of listen; 0: any free one */
        char token_file[AT_CONFIG_PATH_SIZE], read_token_file[AT_CONFIG_PATH_SIZE];
        char metrics_listen[64], metrics_host[48]; /* empty: none */
        uint16_t metrics_port;
        char base_path[128], cors[512];
        char tls_cert[AT_CONFIG_PATH_SIZE], tls_key[AT_CONFIG_PATH_SIZE];
        double max_body_mb;
        uint32_t max_connections;
        char allowed_hosts[AT_CONFIG_MAX_HOSTS][AT_CONFIG_HOST_SIZE];
        uint32_t n_allowed_hosts;
        double timeout_s;
    } http;
    struct {
        char path[AT_CONFIG_PATH_SIZE]; /* empty: none */
        double keep_s, max_mb;
    } history;
    struct {
        double keep_s, max_mb;
    } lookback;
    struct {
        struct {
            char broker[256]; /* mqtt://host:port; empty: none */
            char topic[64], username[64], password_file[AT_CONFIG_PATH_SIZE];
            char client_id[64], ca_file[AT_CONFIG_PATH_SIZE], discovery_prefix[64];
            bool discovery;
            uint32_t queue;
            double rate; /* messages a second */
        } mqtt;
    } publish;
    char bandplan[AT_CONFIG_PATH_SIZE]; /* empty: no service hints */
    char cache_dir[AT_CONFIG_PATH_SIZE];
    struct at_config_radio radios[AT_CONFIG_MAX_RADIOS];
    uint32_t n_radios; /* 0: none */
};

/* Reads path and, beside it, conf.d/<name>.yaml in the order of their names: a later value wins, a
 * later list is added. Relative paths count from the file they stand in and come out absolute. 0,
 * or -ENOENT, -EACCES, -EINVAL, -E2BIG, -ENOMEM with err as "FILE:LINE:COL: key: what; remedy".
 * Owner of the struct: the caller. Any thread. */
int at_config_load(const char *path, struct at_error *err, struct at_config **ret_config);
void at_config_destroy(struct at_config *config); /* NULL is fine */

/* Every model's path once, model.path first. Returns how many there are. Any thread. */
size_t at_config_models(const struct at_config *config,
                        const char *ret_paths[AT_CONFIG_MAX_MODELS]);

/* Writes the configuration in force as YAML that loads to the same struct. 0 or -EIO. */
int at_config_print(const struct at_config *config, FILE *out);

/* Writes the commented file that is shipped: every key with its default and meaning. 0 or -EIO. */
int at_config_print_shipped(FILE *out);

#endif
