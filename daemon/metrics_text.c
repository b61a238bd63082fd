/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/metrics_text.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void at_metrics_head(struct at_buf *out, const char *name, const char *type, const char *help)
{
    at_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_escaped(struct at_buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"')
            at_buf_add(out, "\\", 1);
        if (*s == '\n')
            at_buf_add(out, "\\n", 2);
        else
            at_buf_add(out, s, 1);
    }
}

void at_metrics_sample(struct at_buf *out, const char *name, const struct at_label *labels,
                       size_t n, double value)
{
    at_buf_printf(out, "%s", name);
    for (size_t i = 0; i < n; i++) {
        at_buf_printf(out, "%s%s=\"", i ? "," : "{", labels[i].key);
        add_escaped(out, labels[i].value);
        at_buf_add(out, "\"", 1);
    }
    if (isnan(value))
        at_buf_printf(out, "%s NaN\n", n ? "}" : "");
    else if (isinf(value))
        at_buf_printf(out, "%s %cInf\n", n ? "}" : "", value > 0 ? '+' : '-');
    else
        at_buf_printf(out, "%s %.15g\n", n ? "}" : "", value);
}

/* One number of a radio, as a column of the table below. */
static double samples_due(const struct at_radio_view *r)
{
    return (double)r->ledger.requested;
}
static double samples_processed(const struct at_radio_view *r)
{
    return (double)r->processed;
}
static double radio_up(const struct at_radio_view *r)
{
    return r->state == AT_SOURCE_RUNNING;
}
static double reconnects(const struct at_radio_view *r)
{
    return (double)(r->ledger.reconnects + r->retries);
}
static double busy(const struct at_radio_view *r)
{
    return r->busy_ratio;
}
static double frames(const struct at_band_view *b)
{
    return (double)b->stats.frames;
}
static double skipped(const struct at_band_view *b)
{
    return (double)b->stats.tokens_skipped;
}
static double blanked(const struct at_band_view *b)
{
    return (double)b->stats.samples_blanked;
}
static double noise_floor(const struct at_band_view *b)
{
    return b->stats.floor_dbfs_hz;
}
static double occupancy(const struct at_band_view *b)
{
    return b->stats.occupancy;
}
static double active(const struct at_band_view *b)
{
    return b->stats.active;
}
static double visits(const struct at_band_view *b)
{
    return (double)b->visits;
}
static double visited(const struct at_band_view *b)
{
    return !b->waiting;
}

static const struct {
    const char *name, *type, *help;
    double (*value)(const struct at_radio_view *r);
} radio_table[] = {
    {"attune_samples_total", "counter", "Samples due from the radio, delivered or lost",
     samples_due},
    {"attune_samples_processed_total", "counter",
     "Delivered samples that went through the receiver", samples_processed},
    {"attune_radio_up", "gauge", "1 while the radio delivers", radio_up},
    {"attune_radio_reconnects_total", "counter", "Attempts to open the radio again", reconnects},
    {"attune_radio_busy_ratio", "gauge", "Share of a core that the radio's thread takes", busy},
};

/* Only where the band has been visited. Radios may name their bands alike: `radio` stands beside
 * `band`. */
static const struct {
    const char *name, *type, *help;
    double (*value)(const struct at_band_view *b);
} band_table[] = {
    {"attune_frames_total", "counter", "Blocks of spectrum computed", frames},
    {"attune_tokens_skipped_total", "counter", "Tokens that no session could take", skipped},
    {"attune_samples_blanked_total", "counter",
     "Samples that the noise blanker took out, of those processed", blanked},
    {"attune_noise_floor_dbfs_per_hz", "gauge", "Median noise density", noise_floor},
    {"attune_occupancy_ratio", "gauge", "Share of the band above the detector's threshold",
     occupancy},
    {"attune_emissions_active", "gauge", "Emissions alive", active},
    {"attune_band_visits_total", "counter", "Times that the radio has come to the band", visits},
    {"attune_band_visited", "gauge", "1 while the radio is at the band, 0 while it is at another",
     visited},
};

static void write_radio_states(const struct at_view *v, struct at_buf *out)
{
    at_metrics_head(out, "attune_samples_lost_total", "counter",
                    "Samples that were due and did not come");
    for (size_t i = 0; i < v->n_radios; i++)
        for (int k = 0; k < AT_LOST_REASONS; k++) {
            struct at_label labels[] = {{"radio", v->radios[i].name},
                                        {"reason", at_lost_reason_name((enum at_lost_reason)k)}};
            at_metrics_sample(out, "attune_samples_lost_total", labels, 2,
                              (double)v->radios[i].ledger.lost[k]);
        }
    at_metrics_head(out, "attune_radio_state", "gauge", "1 for the state that the radio is in");
    for (size_t i = 0; i < v->n_radios; i++)
        for (int k = AT_SOURCE_STARTING; k <= AT_SOURCE_FAILED; k++) {
            struct at_label labels[] = {{"radio", v->radios[i].name},
                                        {"state", at_source_state_name((enum at_source_state)k)}};
            at_metrics_sample(out, "attune_radio_state", labels, 2,
                              v->radios[i].state == (enum at_source_state)k);
        }
}

/* What a model's selector runs; m: 0 for model.path's. NULL: nothing yet. */
static const struct at_candidate *running(const struct at_view *v, size_t m)
{
    const struct at_selector_state *s = m ? &v->more[m - 1].selector : &v->selector;
    return s->choice.index < 0 ? NULL : &s->candidates[s->choice.index];
}

/* Once where several models run the same one. */
static void write_backend(const struct at_view *v, size_t m, const char *name, struct at_buf *out)
{
    const struct at_candidate *c = running(v, m);
    for (size_t i = 0; c && i < m; i++) {
        const struct at_candidate *other = running(v, i);
        if (other && other->mode == c->mode && !strcmp(other->backend, c->backend))
            return;
    }
    if (!c)
        return;
    struct at_label labels[] = {
        {"backend", c->backend}, {"kernel", v->selector.kernel}, {"mode", at_mode_name(c->mode)}};
    at_metrics_sample(out, name, labels, 3, 1);
}

static void write_classifier(const struct at_view *v, struct at_buf *out)
{
    static const char over[] = "attune_budget_exceeded_total", kv[] = "attune_kv_cache_bytes",
                      peak[] = "attune_kv_cache_peak_bytes", queue[] = "attune_queue_depth",
                      info[] = "attune_backend_info", build[] = "attune_build_info";
    at_metrics_head(out, over, "counter", "Decisions that took longer than the budget");
    at_metrics_sample(out, over, NULL, 0, (double)v->stats.budget_exceeded);
    at_metrics_head(out, kv, "gauge", "Bytes of all sessions' caches");
    at_metrics_sample(out, kv, NULL, 0, (double)v->stats.kv_bytes);
    at_metrics_head(out, peak, "gauge", "Most bytes of caches at once while the backend ran");
    for (size_t i = 0; i < v->n_kv_peak; i++)
        at_metrics_sample(out, peak, &(struct at_label){"backend", v->kv_peak[i].backend}, 1,
                          (double)v->kv_peak[i].bytes);
    at_metrics_head(out, queue, "gauge", "Tokens waiting for a session");
    at_metrics_sample(out, queue, NULL, 0, v->stats.queue_depth);
    at_metrics_head(out, info, "gauge", "The backend that runs");
    for (size_t m = 0; v->model && m <= v->n_more; m++)
        write_backend(v, m, info, out);
    at_metrics_head(out, build, "gauge", "The program's version");
    at_metrics_sample(out, build, &(struct at_label){"version", v->version}, 1, 1);
}

void at_metrics_write_view(const struct at_view *v, struct at_buf *out)
{
    for (size_t k = 0; k < sizeof radio_table / sizeof *radio_table; k++) {
        at_metrics_head(out, radio_table[k].name, radio_table[k].type, radio_table[k].help);
        for (size_t i = 0; i < v->n_radios; i++) {
            const struct at_radio_view *r = &v->radios[i];
            at_metrics_sample(out, radio_table[k].name, &(struct at_label){"radio", r->name}, 1,
                              radio_table[k].value(r));
        }
    }
    for (size_t k = 0; k < sizeof band_table / sizeof *band_table; k++) {
        at_metrics_head(out, band_table[k].name, band_table[k].type, band_table[k].help);
        for (size_t i = 0; i < v->n_radios * AT_MAX_BANDS; i++) {
            const struct at_radio_view *r = &v->radios[i / AT_MAX_BANDS];
            const struct at_band_view *b = &r->bands[i % AT_MAX_BANDS];
            const struct at_label labels[] = {{"radio", r->name}, {"band", b->name}};
            if (i % AT_MAX_BANDS < r->n_bands && b->has_stats)
                at_metrics_sample(out, band_table[k].name, labels, 2, band_table[k].value(b));
        }
    }
    write_radio_states(v, out);
    write_classifier(v, out);
}

static double resident_bytes(void)
{
    double pages = NAN;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%*s %lf", &pages) != 1)
            pages = NAN;
        fclose(f);
    }
    return pages * (double)sysconf(_SC_PAGESIZE);
}

static double entries(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return NAN;
    double n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

void at_metrics_write_process(const struct at_view *v, struct at_buf *out)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                   1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    const struct {
        const char *name, *type, *help;
        double value;
    } table[] = {
        {"process_cpu_seconds_total", "counter", "Processor time, user and system", cpu_s},
        {"process_resident_memory_bytes", "gauge", "Resident memory", resident_bytes()},
        {"process_open_fds", "gauge", "Open file descriptors", entries("/proc/self/fd")},
        {"process_threads", "gauge", "Threads", entries("/proc/self/task")},
        {"process_start_time_seconds", "gauge", "Start, seconds since 1970",
         1e-9 * (double)v->started_utc_ns},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        at_metrics_head(out, table[i].name, table[i].type, table[i].help);
        at_metrics_sample(out, table[i].name, NULL, 0, table[i].value);
    }
}

void at_metrics_write_history(const struct at_history_stats *s, struct at_buf *out)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } table[] = {
        {"attune_history_up", "gauge", "1 while the history file can be written",
         s->open && !s->error[0]},
        {"attune_history_bytes", "gauge", "Bytes in use of the history file", (double)s->bytes},
        {"attune_history_written_total", "counter", "Emissions and decisions written",
         (double)s->written},
        {"attune_history_lost_total", "counter",
         "Emissions and decisions dropped: the disk was slow or full", (double)s->lost},
        {"attune_history_removed_total", "counter",
         "Emissions removed for their age or the file's size", (double)s->removed},
        {"attune_history_moved_aside_total", "counter", "Damaged files moved aside",
         (double)s->moved_aside},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        at_metrics_head(out, table[i].name, table[i].type, table[i].help);
        at_metrics_sample(out, table[i].name, NULL, 0, table[i].value);
    }
}
