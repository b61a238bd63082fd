/* attune top: radios, emissions and backends of a running attuned, live.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tools/client.h"
#include "tools/receive.h"
#include "tools/show.h"
#include "tools/tools.h"

extern const struct at_command at_command_top;
#define SELF (&at_command_top)

#define MAX_TEXT 65536

struct values {
    struct at_client_options client;
    double interval_s;
    bool once, json;
};

/* One look: answers of the API; NULL where there was none. */
struct look {
    json_t *status, *radios, *bands, *selector, *emissions;
};

static void look_finish(struct look *l)
{
    json_decref(l->status);
    json_decref(l->radios);
    json_decref(l->bands);
    json_decref(l->selector);
    json_decref(l->emissions);
    *l = (struct look){0};
}

static int look_take(struct at_client *c, struct look *l, struct at_error *err)
{
    const struct {
        const char *path;
        json_t **to;
        bool optional; /* 503 while the model loads */
    } parts[] = {{"/api/v1/status", &l->status, false},
                 {"/api/v1/radios", &l->radios, false},
                 {"/api/v1/bands", &l->bands, false},
                 {"/api/v1/selector", &l->selector, true},
                 {"/api/v1/emissions?state=active&limit=200", &l->emissions, false}};
    *l = (struct look){0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        int r = at_client_get(c, parts[i].path, err, parts[i].to);
        if (r < 0 && !(parts[i].optional && r == -EPROTO)) {
            look_finish(l);
            return r;
        }
    }
    return 0;
}

/* ---- the screen: lines cut to the terminal ---- */

struct screen {
    FILE *out;
    unsigned columns, rows, row; /* rows 0: no end */
    bool live;
};

static bool has_room(const struct screen *s, unsigned n)
{
    return !s->rows || s->row + n < s->rows;
}

static void end_line(struct screen *s)
{
    fputs(s->live ? "\033[K\n" : "\n", s->out);
    s->row++;
}

static void AT_PRINTF(3, 4) line(struct screen *s, const char *sgr, const char *format, ...)
{
    char text[600];
    va_list ap;
    if (!has_room(s, 1))
        return;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    while (n > 0 && n < (int)sizeof text && text[n - 1] == ' ')
        n--;
    fprintf(s->out, "%s%.*s%s", sgr ? at_sgr(stdout, sgr) : "",
            n < (int)s->columns ? n : (int)s->columns, text, sgr ? at_sgr(stdout, "0") : "");
    end_line(s);
}

static void count(double value, char out[16])
{
    if (!isfinite(value))
        snprintf(out, 16, "-");
    else if (value >= 1e9)
        snprintf(out, 16, "%.2f G", value / 1e9);
    else if (value >= 1e6)
        snprintf(out, 16, "%.1f M", value / 1e6);
    else
        snprintf(out, 16, "%.0f", value);
}

/* The band that the radio visits; NULL: none is known. */
static const json_t *visited(const struct look *l, const char *radio, size_t *ret_n)
{
    const json_t *b, *found = NULL;
    size_t i;
    *ret_n = 0;
    json_array_foreach(json_object_get(l->bands, "items"), i, b)
    {
        if (strcmp(at_show_text(b, "radio"), radio) != 0)
            continue;
        ++*ret_n;
        if (!found || strcmp(at_show_text(b, "state"), "visited") == 0)
            found = b;
    }
    return found;
}

static void put_band(const json_t *band, char floor[16], double *ret_occupancy, double *ret_active)
{
    double dbfs = at_show_number(band, "noise_floor_dbfs_per_hz"),
           occupancy = at_show_number(band, "occupancy_ratio"),
           active = at_show_number(band, "emissions_active");
    snprintf(floor, 16, "-");
    if (isfinite(dbfs))
        snprintf(floor, 16, "%.1f", dbfs);
    *ret_occupancy = isfinite(occupancy) ? 100 * occupancy : 0;
    *ret_active = isfinite(active) ? active : 0;
}

/* Each of several bands of one radio: which is visited, and since when the others wait. */
static void show_bands(struct screen *s, const struct look *l, const char *radio)
{
    const json_t *b;
    size_t i;
    json_array_foreach(json_object_get(l->bands, "items"), i, b)
    {
        char center[32], floor[16], since[64] = "not visited yet";
        double occupancy, active, seconds = at_show_number(b, "since_s");
        if (strcmp(at_show_text(b, "radio"), radio) != 0)
            continue;
        put_band(b, floor, &occupancy, &active);
        at_show_center(at_show_number(b, "center_hz"), center);
        if (isfinite(seconds))
            snprintf(since, sizeof since, "for %.0f s, %.0f visits", seconds,
                     at_show_number(b, "visits"));
        line(s, *at_show_text(b, "error") ? "33" : NULL,
             "  %-10.10s %-9.9s %14s %-57.57s %7s %4.0f %% %6.0f", at_show_text(b, "name"),
             at_show_text(b, "state"), center, since, floor, occupancy, active);
        if (*at_show_text(b, "error"))
            line(s, "33", "    %s", at_show_text(b, "error"));
    }
}

static void show_radios(struct screen *s, const struct look *l)
{
    const json_t *o;
    size_t i;
    line(s, "1", "%-12s %-9s %14s %9s %9s %10s %-20s %5s %7s %6s %6s", "radio", "state", "centre",
         "rate", "samples", "lost", "(why)", "busy", "floor", "occup", "active");
    json_array_foreach(json_object_get(l->radios, "items"), i, o)
    {
        const json_t *samples = json_object_get(o, "samples"),
                     *lost = json_object_get(samples, "lost");
        size_t n_bands;
        const json_t *band = visited(l, at_show_text(o, "name"), &n_bands);
        char delivered[16], center[32], rate[32], total[16], why[64] = "", floor[16];
        const char *reason;
        json_t *n;
        double sum = 0, busy = at_show_number(o, "busy_ratio");
        json_object_foreach((json_t *)lost, reason, n)
        {
            size_t at = strlen(why);
            sum += json_number_value(n);
            if (json_number_value(n) > 0)
                snprintf(why + at, sizeof why - at, "%s%s", at ? "," : "", reason);
        }
        count(at_show_number(samples, "delivered"), delivered);
        count(sum, total);
        at_show_center(at_show_number(o, "center_hz"), center);
        at_show_width(at_show_number(o, "rate_hz"), rate);
        double occupancy, active;
        put_band(band, floor, &occupancy, &active);
        bool well = strcmp(at_show_text(o, "state"), "running") == 0;
        line(s, well ? NULL : "33",
             "%-12.12s %-9.9s %14s %9s %9s %10s %-20.20s %3.0f %% %7s %4.0f %% %6.0f",
             at_show_text(o, "name"), at_show_text(o, "state"), center, rate, delivered, total, why,
             isfinite(busy) ? 100 * busy : 0, floor, occupancy, active);
        if (n_bands > 1)
            show_bands(s, l, at_show_text(o, "name"));
        if (*at_show_text(o, "error"))
            line(s, "33", "  %s", at_show_text(o, "error"));
    }
}

/* "p95 ######....|" against the budget. */
static void bar(double value, double budget, char out[24])
{
    const int n = 20;
    int filled = isfinite(value) && budget > 0 ? (int)lround(value / budget * n) : 0;
    for (int i = 0; i < n; i++)
        out[i] = i < filled ? '#' : '.';
    out[n] = filled > n ? '!' : '|';
    out[n + 1] = 0;
}

static void show_backends(struct screen *s, const struct look *l)
{
    const json_t *o, *budget = json_object_get(l->status, "budget"),
                     *d = json_object_get(l->status, "decisions");
    double limit_ms = at_show_number(budget, "latency_ms"),
           limit_mb = at_show_number(budget, "kv_mb");
    char p95[24];
    size_t i;
    bar(at_show_number(d, "latency_p95_ms"), limit_ms, p95);
    double ms = at_show_number(d, "latency_p95_ms");
    char latency[24] = "-";
    if (isfinite(ms))
        snprintf(latency, sizeof latency, "%.1f ms", ms);
    line(s, NULL,
         "latency p95 %10s  %s %.0f ms   KV %.1f of %.0f MB   decisions %.0f, over budget %.0f, "
         "%.0f tokens wait",
         latency, p95, limit_ms, at_show_number(l->status, "kv_bytes") / 1e6, limit_mb,
         at_show_number(d, "count"), at_show_number(d, "budget_exceeded"),
         at_show_number(d, "queue_depth"));
    if (!l->selector) {
        line(s, "33", "the model is not loaded yet");
        return;
    }
    line(s, NULL, "%s: %s", at_show_text(l->selector, "backend"),
         at_show_text(l->selector, "reason"));
    end_line(s);
    line(s, "1", "  %-8s %-5s %7s %9s %9s %9s %10s %-22s %s", "backend", "mode", "window",
         "accuracy", "p50 ms", "p95 ms", "KV kB", "p95 of the budget", "why");
    json_array_foreach(json_object_get(l->selector, "candidates"), i, o)
    {
        bool active = json_is_true(json_object_get(o, "active"));
        double p50 = at_show_number(o, "live_p50_ms"), ms95 = at_show_number(o, "live_p95_ms"),
               accuracy = at_show_number(o, "accuracy");
        char a[16] = "-";
        if (!isfinite(p50)) /* not run yet: as calibrated */
            p50 = at_show_number(o, "calibrated_ms");
        if (!isfinite(ms95))
            ms95 = at_show_number(o, "calibrated_ms");
        if (isfinite(accuracy))
            snprintf(a, sizeof a, "%.1f %%", 100 * accuracy);
        bar(ms95, limit_ms, p95);
        line(s, active ? "1;32" : NULL, "%c %-8.8s %-5.5s %7.0f %9s %9.2f %9.2f %10.0f %s %s",
             active ? '*' : ' ', at_show_text(o, "backend"), at_show_text(o, "mode"),
             at_show_number(o, "window"), a, p50, ms95,
             at_show_number(o, "kv_bytes_per_session") / 1e3, p95, at_show_text(o, "reason"));
    }
}

static void show_emissions(struct screen *s, const struct look *l)
{
    const json_t *o, *items = json_object_get(l->emissions, "items");
    size_t i, left = json_array_size(items);
    if (!has_room(s, 2))
        return;
    at_show_head(s->out, s->columns);
    end_line(s);
    json_array_foreach(items, i, o)
    {
        if (!has_room(s, left > 1 ? 2 : 1)) {
            line(s, NULL, "  and %zu more", left);
            return;
        }
        at_show_emission(s->out, o, '+', s->columns);
        end_line(s);
        left--;
    }
    if (i == 0)
        line(s, NULL, "  nothing on the air at the moment");
}

static void show(struct screen *s, const struct look *l, const char *url)
{
    const json_t *e = json_object_get(l->status, "emissions");
    const char *why = at_show_text(l->status, "not_ready_reason");
    double up_s = at_show_number(l->status, "uptime_s");
    line(s, "1", "attuned %s at %s   up %.0f:%02.0f   %.0f emissions now, %.0f ended%s",
         at_show_text(l->status, "version"), url, floor(up_s / 60), fmod(floor(up_s), 60),
         at_show_number(e, "active"), at_show_number(e, "ended"), s->live ? "   (q quits)" : "");
    if (*why)
        line(s, "33", "not ready: %s", why);
    end_line(s);
    show_radios(s, l);
    end_line(s);
    show_backends(s, l);
    end_line(s);
    show_emissions(s, l);
}

/* ---- once, and live ---- */

static int print_json(const struct look *l)
{
    json_t *o =
        json_pack("{s:O, s:O, s:O, s:O?, s:O}", "status", l->status, "radios",
                  json_object_get(l->radios, "items"), "bands", json_object_get(l->bands, "items"),
                  "selector", l->selector, "emissions", json_object_get(l->emissions, "items"));
    return at_json_line(stdout, o);
}

static int run_once(const struct values *v, struct at_client *c)
{
    struct look l;
    struct at_error err;
    if (look_take(c, &l, &err) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    int r = 0;
    struct screen s = {.out = stdout,
                       .columns = isatty(STDOUT_FILENO) ? at_text_width(stdout, NULL) : 500};
    if (v->json)
        r = print_json(&l);
    else
        show(&s, &l, at_client_url(c));
    look_finish(&l);
    return r < 0 || fflush(stdout) != 0
               ? at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written")
               : AT_EXIT_OK;
}

/* One frame is written at a go, so that it does not flicker. */
static void draw(const struct look *l, const char *url, const char *trouble)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return;
    struct screen s = {.out = out, .live = true};
    s.columns = at_text_width(stdout, &s.rows);
    fputs("\033[H", out);
    if (trouble)
        line(&s, "31", "%s", trouble);
    if (l)
        show(&s, l, url);
    fputs("\033[J", out);
    if (fclose(out) == 0) {
        fwrite(text, 1, n, stdout);
        fflush(stdout);
    }
    free(text);
}

/* True: q was pressed, or the input is over. */
static bool wait_key(double seconds)
{
    int64_t end = at_clock_mono_ns() + (int64_t)(seconds * 1e9);
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    for (int64_t left; !at_interrupted && (left = end - at_clock_mono_ns()) > 0;) {
        char key;
        if (poll(&p, 1, (int)(left / 1000000) + 1) > 0) {
            if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
                return true;
            return false; /* any other key: a fresh look */
        }
    }
    return false;
}

static int run_live(const struct values *v, struct at_client *c)
{
    struct termios before, raw;
    struct look l = {0};
    struct at_error err;
    if (look_take(c, &l, &err) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    bool keys = tcgetattr(STDIN_FILENO, &before) == 0;
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
    int trouble = 0;
    do {
        draw(l.status ? &l : NULL, at_client_url(c), trouble < 0 ? err.text : NULL);
        if (wait_key(v->interval_s) || at_interrupted)
            break;
        struct look next;
        trouble = look_take(c, &next, &err);
        if (trouble == 0) { /* else the old one stays, with the trouble above it */
            look_finish(&l);
            l = next;
        }
    } while (trouble != -EACCES);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    look_finish(&l);
    return trouble == -EACCES ? at_fail(SELF, AT_EXIT_FAILED, "%s", err.text) : AT_EXIT_OK;
}

#define OF(m) offsetof(struct values, m)
static const struct at_option options[] = {
    {"once", '1', AT_OPTION_FLAG, OF(once), NULL,
     "print once and leave; so also without a terminal"},
    {"interval", 'i', AT_OPTION_DURATION, OF(interval_s), "TIME", "between two looks", 0.1, 3600,
     "1s"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object with all of it, once"},
    AT_CLIENT_OPTIONS(struct values, client),
    {0},
};

static int run(int argc, char **argv)
{
    struct values v = {0};
    struct at_client *c = NULL;
    struct at_error err;
    int code, n = at_options_parse(SELF, &v, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no argument expected, got %.40s", argv[1]);
    if (at_client_create(&v.client, &err, &c) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "%s", err.text);
    at_catch_signals();
    bool live = !v.once && !v.json && isatty(STDOUT_FILENO);
    code = live ? run_live(&v, c) : run_once(&v, c);
    at_client_destroy(c);
    return code;
}

const struct at_command at_command_top = {
    .name = "top",
    .summary = "Watch radios, emissions and backends of a running attuned",
    .usage = "[OPTION]...",
    .details =
        "Radios with their losses, each backend's p50 and p95 against the budget (as calibrated "
        "until it has run), and what is on the air. q quits; any other key looks again at once.",
    .examples = "attune top\n"
                "attune top --once | less -S\n"
                "attune top --json | jq .selector.reason\n",
    .options = options,
    .run = run,
};
