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
#include "lib/cli/text.h"
#include "tools/client.h"
#include "tools/columns.h"
#include "tools/receive.h"
#include "tools/show.h"
#include "tools/tools.h"

extern const struct at_command at_command_top;
#define SELF (&at_command_top)

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

/* ---- the screen: lines as wide as the terminal ---- */

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

/* A terminal of fewer rows has none to spare for blank lines and hints. */
#define LOW 20

static bool is_low(const struct screen *s)
{
    return s->rows && s->rows < LOW;
}

static void blank(struct screen *s)
{
    if (!is_low(s) && has_room(s, 1))
        end_line(s);
}

static void put(struct screen *s, const char *sgr, const char *text, size_t n)
{
    if (!has_room(s, 1))
        return;
    fprintf(s->out, "%s%.*s%s", sgr ? at_sgr(stdout, sgr) : "", (int)n, text,
            sgr ? at_sgr(stdout, "0") : "");
    end_line(s);
}

/* How much of text stands on a line: up to three blanks in a row, where some fit, else up to one.
 */
static size_t line_end(const char *text, unsigned columns)
{
    size_t most = at_columns_cut(text, columns), at = 0;
    if (!text[most])
        return most;
    for (size_t i = most; i > 0 && !at; i--)
        if (!strncmp(text + i, "   ", 3))
            at = i;
    for (size_t i = most; i > 0 && !at; i--)
        if (text[i] == ' ')
            at = i;
    return at ? at : most;
}

/* Text broken into lines; parts that belong together have single blanks, three stand between them.
 */
static void AT_PRINTF(3, 4) say(struct screen *s, const char *sgr, const char *format, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    at_text_clean(text);
    for (const char *at = text; *at; at += strspn(at, " ")) {
        size_t n = line_end(at, s->columns);
        put(s, sgr, at, n);
        at += n;
    }
}

static void row(struct screen *s, const char *sgr, const struct at_column *columns, size_t n,
                const char *const *cells)
{
    char text[AT_COLUMNS_ALL];
    put(s, sgr, text, at_columns_row(columns, n, s->columns, cells, text, sizeof text));
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

static const struct at_column radio_columns[] = {
    {"radio", 12, true, 0},  {"state", 9, true, 0},     {"centre", 13, false, 1},
    {"rate", 9, false, 6},   {"samples", 9, false, 7},  {"lost", 8, false, 0},
    {"busy", 5, false, 4},   {"floor", 6, false, 9},    {"occup", 5, false, 3},
    {"active", 6, false, 2}, {"why lost", 12, true, 8},
};
#define N_RADIO (sizeof radio_columns / sizeof *radio_columns)
#define WHY     (N_RADIO - 1)

/* "overflow,ring_full": the reasons of losses. Returns their sum. */
static double add_lost(const json_t *lost, char *why, size_t size)
{
    const char *reason;
    json_t *n;
    double sum = 0;
    why[0] = 0;
    json_object_foreach((json_t *)lost, reason, n)
    {
        size_t at = strlen(why);
        sum += json_number_value(n);
        if (json_number_value(n) > 0)
            snprintf(why + at, size - at, "%s%s", at ? "," : "", reason);
    }
    return sum;
}

static void percent(double ratio, char out[16])
{
    snprintf(out, 16, "%.0f %%", isfinite(ratio) ? 100 * ratio : 0);
}

/* What the band has heard: the cells of radio_columns behind those of the radio. */
struct heard {
    char floor[16], occupancy[16], active[16];
};

static void put_band(const json_t *band, struct heard *h)
{
    double dbfs = at_show_number(band, "noise_floor_dbfs_per_hz"),
           alive = at_show_number(band, "emissions_active");
    snprintf(h->floor, sizeof h->floor, "-");
    if (isfinite(dbfs))
        snprintf(h->floor, sizeof h->floor, "%.1f", dbfs);
    percent(at_show_number(band, "occupancy_ratio"), h->occupancy);
    snprintf(h->active, sizeof h->active, "%.0f", isfinite(alive) ? alive : 0);
}

static void show_radio(struct screen *s, const json_t *o, const json_t *band)
{
    const json_t *samples = json_object_get(o, "samples");
    char delivered[16], center[32], rate[32], total[16], busy[16], why[64];
    struct heard h;
    count(at_show_number(samples, "delivered"), delivered);
    count(add_lost(json_object_get(samples, "lost"), why, sizeof why), total);
    at_show_center(at_show_number(o, "center_hz"), center);
    at_show_width(at_show_number(o, "rate_hz"), rate);
    percent(at_show_number(o, "busy_ratio"), busy);
    put_band(band, &h);
    const char *cells[N_RADIO] = {at_show_text(o, "name"),
                                  at_show_text(o, "state"),
                                  center,
                                  rate,
                                  delivered,
                                  total,
                                  busy,
                                  h.floor,
                                  h.occupancy,
                                  h.active,
                                  why};
    bool well = strcmp(at_show_text(o, "state"), "running") == 0;
    row(s, well ? NULL : "33", radio_columns, N_RADIO, cells);
    if (*why && !(at_columns_fit(radio_columns, N_RADIO, s->columns) & 1u << WHY))
        say(s, "33", "  why lost: %s", why);
}

/* Each of several bands of one radio: which is visited, and since when the others wait. */
static void show_bands(struct screen *s, const struct look *l, const char *radio)
{
    const json_t *b;
    size_t i;
    json_array_foreach(json_object_get(l->bands, "items"), i, b)
    {
        char name[16], center[32], since[64] = "not visited yet";
        struct heard h;
        double seconds = at_show_number(b, "since_s");
        if (strcmp(at_show_text(b, "radio"), radio) != 0)
            continue;
        snprintf(name, sizeof name, "  %.*s", (int)at_columns_cut(at_show_text(b, "name"), 10),
                 at_show_text(b, "name"));
        at_show_center(at_show_number(b, "center_hz"), center);
        if (isfinite(seconds))
            snprintf(since, sizeof since, "for %.0f s, %.0f visits", seconds,
                     at_show_number(b, "visits"));
        put_band(b, &h);
        const char *cells[N_RADIO] = {
            name, at_show_text(b, "state"), center, "", "", "", "", h.floor, h.occupancy, h.active,
            since};
        row(s, *at_show_text(b, "error") ? "33" : NULL, radio_columns, N_RADIO, cells);
        if (*at_show_text(b, "error"))
            say(s, "33", "    %s", at_show_text(b, "error"));
    }
}

static void show_radios(struct screen *s, const struct look *l)
{
    const json_t *o;
    size_t i;
    row(s, "1", radio_columns, N_RADIO, NULL);
    json_array_foreach(json_object_get(l->radios, "items"), i, o)
    {
        size_t n_bands;
        const json_t *band = visited(l, at_show_text(o, "name"), &n_bands);
        show_radio(s, o, band);
        if (n_bands > 1)
            show_bands(s, l, at_show_text(o, "name"));
        if (*at_show_text(o, "error"))
            say(s, "33", "  %s", at_show_text(o, "error"));
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

static const struct at_column backend_columns[] = {
    {"", 1, true, 0},        {"backend", 8, true, 0},   {"mode", 5, true, 1},
    {"window", 6, false, 5}, {"accuracy", 8, false, 2}, {"p50 ms", 8, false, 0},
    {"p95 ms", 8, false, 0}, {"KV kB", 8, false, 3},    {"p95 of the budget", 21, true, 6},
    {"why", 16, true, 4},
};
#define N_BACKEND (sizeof backend_columns / sizeof *backend_columns)

static void show_candidate(struct screen *s, const json_t *o, double limit_ms)
{
    bool active = json_is_true(json_object_get(o, "active"));
    double p50_ms = at_show_number(o, "live_p50_ms"), p95_ms = at_show_number(o, "live_p95_ms"),
           ratio = at_show_number(o, "accuracy");
    char window[16], accuracy[16] = "-", p50[16], p95[16], kv[16], budget[24];
    if (!isfinite(p50_ms)) /* not run yet: as calibrated */
        p50_ms = at_show_number(o, "calibrated_ms");
    if (!isfinite(p95_ms))
        p95_ms = at_show_number(o, "calibrated_ms");
    if (isfinite(ratio))
        snprintf(accuracy, sizeof accuracy, "%.1f %%", 100 * ratio);
    snprintf(window, sizeof window, "%.0f", at_show_number(o, "window"));
    snprintf(p50, sizeof p50, "%.2f", p50_ms);
    snprintf(p95, sizeof p95, "%.2f", p95_ms);
    snprintf(kv, sizeof kv, "%.0f", at_show_number(o, "kv_bytes_per_session") / 1e3);
    bar(p95_ms, limit_ms, budget);
    const char *cells[N_BACKEND] = {active ? "*" : " ",
                                    at_show_text(o, "backend"),
                                    at_show_text(o, "mode"),
                                    window,
                                    accuracy,
                                    p50,
                                    p95,
                                    kv,
                                    budget,
                                    at_show_text(o, "reason")};
    row(s, active ? "1;32" : NULL, backend_columns, N_BACKEND, cells);
}

/* All of them, or where they have no room the one that runs. */
static void show_candidates(struct screen *s, const json_t *candidates, double limit_ms)
{
    const json_t *o;
    size_t i, n = json_array_size(candidates), shown = 0;
    bool all = has_room(s, (unsigned)n + 1);
    if (!has_room(s, 3))
        return;
    row(s, "1", backend_columns, N_BACKEND, NULL);
    json_array_foreach(candidates, i, o)
    {
        if (!all && !json_is_true(json_object_get(o, "active")))
            continue;
        show_candidate(s, o, limit_ms);
        shown++;
    }
    if (shown < n)
        say(s, NULL, "  and %zu more", n - shown);
}

static void show_backends(struct screen *s, const struct look *l)
{
    const json_t *budget = json_object_get(l->status, "budget"),
                 *d = json_object_get(l->status, "decisions");
    double limit_ms = at_show_number(budget, "latency_ms"),
           limit_mb = at_show_number(budget, "kv_mb"), ms = at_show_number(d, "latency_p95_ms");
    char p95[24], latency[24] = "-";
    bar(ms, limit_ms, p95);
    if (isfinite(ms))
        snprintf(latency, sizeof latency, "%.1f ms", ms);
    say(s, NULL,
        "latency p95 %10s  %s %.0f ms   KV %.1f of %.0f MB   decisions %.0f, over budget %.0f, "
        "%.0f tokens wait",
        latency, p95, limit_ms, at_show_number(l->status, "kv_bytes") / 1e6, limit_mb,
        at_show_number(d, "count"), at_show_number(d, "budget_exceeded"),
        at_show_number(d, "queue_depth"));
    if (!l->selector) {
        say(s, "33", "the model is not loaded yet");
        return;
    }
    say(s, NULL, "%s: %s", at_show_text(l->selector, "backend"),
        at_show_text(l->selector, "reason"));
    blank(s);
    show_candidates(s, json_object_get(l->selector, "candidates"), limit_ms);
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
            say(s, NULL, "  and %zu more", left);
            return;
        }
        at_show_emission(s->out, o, '+', s->columns);
        end_line(s);
        left--;
    }
    if (i == 0)
        say(s, NULL, "  nothing on the air at the moment");
}

static void show(struct screen *s, const struct look *l, const char *url)
{
    const json_t *e = json_object_get(l->status, "emissions");
    const char *why = at_show_text(l->status, "not_ready_reason");
    double up_s = at_show_number(l->status, "uptime_s");
    say(s, "1", "attuned %s at %s   up %.0f:%02.0f   %.0f emissions now, %.0f ended%s",
        at_show_text(l->status, "version"), url, floor(up_s / 60), fmod(floor(up_s), 60),
        at_show_number(e, "active"), at_show_number(e, "ended"),
        s->live && !is_low(s) ? "   (q quits)" : "");
    if (*why)
        say(s, "33", "not ready: %s", why);
    blank(s);
    show_radios(s, l);
    blank(s);
    unsigned rows = s->rows;
    s->rows -= rows / 3; /* for what is on the air, whatever stands above it */
    show_backends(s, l);
    s->rows = rows;
    blank(s);
    show_emissions(s, l);
}

/* ---- once, and live ---- */

static int print_json(const struct look *l)
{
    json_t *o =
        json_pack("{s:O, s:O?, s:O?, s:O?, s:O?}", "status", l->status, "radios",
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
    struct screen s = {.out = stdout, .columns = at_columns_wanted()};
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
        say(&s, "31", "%s", trouble);
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
        "until it has run), and what is on the air. In a small terminal the least important "
        "columns "
        "and the backends that do not run are left out. q quits; any other key looks again at "
        "once.",
    .examples = "attune top\n"
                "attune top --once | less -S\n"
                "attune top --json | jq .selector.reason\n",
    .options = options,
    .run = run,
};
