/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/show.h"

#include <math.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/cli/text.h"
#include "tools/columns.h"

const char *at_show_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

double at_show_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

void at_show_center(double hz, char out[32])
{
    if (!isfinite(hz))
        snprintf(out, 32, "-");
    else if (fabs(hz) >= 1e6)
        snprintf(out, 32, "%.4f MHz", hz / 1e6);
    else
        snprintf(out, 32, "%.2f kHz", hz / 1e3);
}

void at_show_width(double hz, char out[32])
{
    if (!isfinite(hz))
        snprintf(out, 32, "-");
    else if (hz >= 1e6)
        snprintf(out, 32, "%.2f MHz", hz / 1e6);
    else if (hz >= 1e3)
        snprintf(out, 32, "%.1f kHz", hz / 1e3);
    else
        snprintf(out, 32, "%.0f Hz", hz);
}

/* "14:05:11.25" of an RFC 3339 time of today, "2026-11-23 14:05:11" of another day's; of a file
 * without one, seconds from its beginning. */
static void clock_of(const json_t *o, char out[32])
{
    char now[AT_RFC3339_SIZE];
    const char *time = at_show_text(o, "end");
    if (!*time)
        time = at_show_text(o, "start");
    const char *t = strchr(time, 'T');
    double seconds = at_show_number(o, "end_s");
    at_clock_format_utc(at_clock_utc_ns(), now);
    if (t && strncmp(time, now, 11) == 0)
        snprintf(out, 32, "%.*s", (int)(strcspn(t + 1, "Z") < 11 ? strcspn(t + 1, "Z") : 11),
                 t + 1);
    else if (t)
        snprintf(out, 32, "%.10s %.*s", time,
                 (int)(strcspn(t + 1, "Z.") < 8 ? strcspn(t + 1, "Z.") : 8), t + 1);
    else if (isfinite(seconds) || isfinite(seconds = at_show_number(o, "start_s")))
        snprintf(out, 32, "%.2f s", seconds);
    else
        snprintf(out, 32, "-");
}

static const struct at_column columns_of_emission[] = {
    {"", 1, true, 1},       {"time (UTC)", 11, false, 1}, {"centre", 13, false, 0},
    {"width", 9, false, 0}, {"SNR dB", 6, false, 0},      {"class", 8, true, 0},
    {"conf", 5, false, 0},  {"latency", 9, false, 4},     {"backend", 7, true, 5},
    {"band", 10, true, 3},  {"service", 10, true, 2},
};
#define N_COLUMNS (sizeof columns_of_emission / sizeof *columns_of_emission)

void at_show_head(FILE *out, unsigned columns)
{
    char line[AT_COLUMNS_ALL];
    at_columns_row(columns_of_emission, N_COLUMNS, columns, NULL, line, sizeof line);
    fprintf(out, "%s%s%s", at_sgr(stdout, "1"), line, at_sgr(stdout, "0"));
}

void at_show_emission(FILE *out, const json_t *o, char mark, unsigned columns)
{
    char line[AT_COLUMNS_ALL], clock[32], center[32], width[32], snr[16],
        confidence[16] = "", latency[24] = "", hint[128];
    const char *class = at_show_text(o, "class"), *group = at_show_text(o, "group"),
               *service = at_show_text(o, "service");
    double conf = at_show_number(o, "confidence"), ms = at_show_number(o, "latency_ms");
    clock_of(o, clock);
    at_show_center(at_show_number(o, "center_hz"), center);
    at_show_width(at_show_number(o, "bandwidth_hz"), width);
    snprintf(snr, sizeof snr, "%.1f", at_show_number(o, "snr_db"));
    if (isfinite(conf))
        snprintf(confidence, sizeof confidence, "%.0f %%", 100 * conf);
    if (isfinite(ms))
        snprintf(latency, sizeof latency, "%.1f ms", ms);
    snprintf(hint, sizeof hint, "%.40s%s%.80s", group, *group && *service ? ", " : "", service);
    const char *cells[N_COLUMNS] = {(char[]){mark, 0},
                                    clock,
                                    center,
                                    width,
                                    snr,
                                    *class ? class : "...",
                                    confidence,
                                    latency,
                                    at_show_text(o, "backend"),
                                    at_show_text(o, "band"),
                                    hint};
    at_columns_row(columns_of_emission, N_COLUMNS, columns, cells, line, sizeof line);
    fputs(line, out);
}
