/* One consistent look at the daemon, plain data: what the API, the metrics and the watchdog's
 * status line are written from. The pipeline fills it; tests fill it by hand.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_VIEW_H
#define AT_DAEMON_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/config/config.h"
#include "lib/engine/engine.h"
#include "lib/source/source.h"

#define AT_MAX_RADIOS     16
#define AT_MAX_CHANGES    32
#define AT_MAX_BANDS      16 /* of a radio */
#define AT_MAX_MODELS     AT_CONFIG_MAX_MODELS
#define AT_VIEW_NAME_SIZE 32

struct at_band_view {
    size_t slot; /* of its rows; kept while its radio lives */
    char name[AT_VIEW_NAME_SIZE];
    double center_hz, rate_hz;
    bool waiting;   /* its radio visits another band */
    double dwell_s; /* of a visit; 0: its radio has no other band */
    uint64_t visits;
    double since_s;               /* since it was come to or left; NAN: not visited yet */
    char error[160];              /* why the radio could not be tuned to it; empty: it could */
    const struct at_model *model; /* of its decisions; NULL: not loaded yet */
    struct at_band_stats stats;   /* valid where has_stats */
    bool has_stats;
};

struct at_radio_view {
    int64_t pushing_since_ns; /* its receiver has samples in hand since then; 0: none */
    size_t slot;              /* kept while it lives */
    unsigned generation;      /* tells it from the one that had the slot before */
    char name[AT_VIEW_NAME_SIZE];
    char band[AT_VIEW_NAME_SIZE]; /* visited now */
    char device[256];             /* as configured */
    bool live; /* a radio or a paced file; false: a file read as fast as it goes */
    enum at_source_state state;
    char error[512]; /* newest; empty: none */
    struct at_source_info info;
    struct at_ledger ledger; /* summed over re-opened sources */
    uint64_t processed;  /* delivered samples that the receiver took: at most ledger.delivered */
    uint64_t retries;    /* attempts to open it again */
    double sample_age_s; /* since the newest samples came; NAN: none yet */
    double busy_ratio;   /* share of a core its thread takes, newest 5 s or so */
    size_t n_bands;
    struct at_band_view bands[AT_MAX_BANDS];
};

/* Emissions alive in its bands, those that wait included. */
unsigned at_radio_view_active(const struct at_radio_view *r);

struct at_selector_change {
    int64_t utc_ns;
    double budget_ms;                  /* under which: the classifier's, or that of bands */
    char model[64];                    /* its name; empty: model.path's */
    char from[32], to[32], reason[96]; /* "flash/fp32/1024", empty from: the first choice */
};

struct at_view {
    const char *version;
    char boot[32], site[64];
    int64_t started_utc_ns;
    double uptime_s;
    double latitude, longitude; /* of the site; NAN: not given */
    double budget_latency_ms, budget_kv_mb;
    unsigned budget_cores;
    size_t n_radios;
    struct at_radio_view radios[AT_MAX_RADIOS];
    const struct at_model *model;      /* NULL: not loaded */
    struct at_selector_state selector; /* valid with model */
    struct {                           /* of the models that bands name for themselves */
        const struct at_model *model;
        struct at_selector_state selector;
    } more[AT_MAX_MODELS - 1];
    size_t n_more;
    struct at_classifier_stats stats;               /* of all of them; of times, the longest */
    struct at_classifier_stats each[AT_MAX_MODELS]; /* of model, then of those in more */
    struct {
        char backend[16];
        size_t bytes;
    } kv_peak[8];
    size_t n_kv_peak;
    struct at_selector_change changes[AT_MAX_CHANGES]; /* oldest first */
    size_t n_changes;
    char stuck[48]; /* a stage with work that does not move; empty: none */
};

/* "flash", or "none" before there is a choice. */
const char *at_view_backend(const struct at_view *v);
/* NULL: ready. Else why not, for /readyz and the status line; out holds the text. */
const char *at_view_not_ready(const struct at_view *v, char *out, size_t n);
/* Models that run: 0 while they are loaded. */
size_t at_view_models(const struct at_view *v);
/* Model m of them: model, then those in more. */
const struct at_model *at_view_model(const struct at_view *v, size_t m);
/* Whether the workers of model m have something to do: more tokens wait than its emissions alive
 * may leave for their next decision. A stalled radio leaves tokens behind that nobody is to take.
 */
bool at_view_has_work(const struct at_view *v, size_t m);
/* One line for systemd's STATUS= and the log: radios, backend, emissions. */
void at_view_summary(const struct at_view *v, char *out, size_t n);

#endif
