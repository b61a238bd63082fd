/* attune tail: what attuned finds, as it finds it. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/cli/text.h"
#include "tools/client.h"
#include "tools/columns.h"
#include "tools/receive.h"
#include "tools/show.h"
#include "tools/tools.h"

extern const struct at_command at_command_tail;
#define SELF (&at_command_tail)

#define RETRY_MAX_S 8

struct values {
    struct at_client_options client;
    const char *types, *band, *class_name;
    double min_snr_db, seconds;
    uint32_t count;
    bool json;
};

struct job {
    struct values o;
    uint32_t shown;
    int64_t end_ns;   /* 0: none */
    int64_t alive_ns; /* when the newest event came, so that the wait begins anew */
    bool broken_output, headed;
};

static bool is_wanted(const struct values *v, const char *type, const json_t *o)
{
    if (strcmp(type, "emission") != 0 && strcmp(type, "decision") != 0)
        return true;
    return (!v->band || strcmp(at_show_text(o, "band"), v->band) == 0) &&
           (!v->class_name || strcmp(at_show_text(o, "class"), v->class_name) == 0) &&
           (!isfinite(v->min_snr_db) || at_show_number(o, "snr_db") >= v->min_snr_db);
}

static void print_line(struct job *j, const char *type, const json_t *o)
{
    bool emission = strcmp(type, "emission") == 0;
    if (emission || strcmp(type, "decision") == 0) {
        bool ended = strcmp(at_show_text(o, "state"), "ended") == 0;
        if (!j->headed && isatty(STDOUT_FILENO)) {
            at_show_head(stdout, at_columns_wanted());
            putchar('\n');
        }
        j->headed = true;
        at_show_emission(stdout, o, ended ? '-' : emission ? '+' : ' ', at_columns_wanted());
        putchar('\n');
        return;
    }
    char line[1024];
    if (strcmp(type, "radio") == 0)
        snprintf(line, sizeof line, "radio %s: %s%s%s", at_show_text(o, "name"),
                 at_show_text(o, "state"), *at_show_text(o, "error") ? ": " : "",
                 at_show_text(o, "error"));
    else if (strcmp(type, "selector") == 0)
        snprintf(line, sizeof line, "backend %s -> %s: %s", at_show_text(o, "from"),
                 at_show_text(o, "to"), at_show_text(o, "reason"));
    else
        snprintf(line, sizeof line, "%s", type);
    at_text_clean(line);
    printf("* %s\n", line);
}

static bool is_over(const struct job *j)
{
    return at_interrupted || j->broken_output || (j->o.count && j->shown >= j->o.count) ||
           (j->end_ns && at_clock_mono_ns() >= j->end_ns);
}

static int on_event(void *ctx, const char *type, const char *id, const char *data)
{
    struct job *j = ctx;
    json_t *o = json_loads(data, 0, NULL);
    j->alive_ns = at_clock_mono_ns();
    if (o && is_wanted(&j->o, type, o)) {
        if (!j->o.json) {
            print_line(j, type, o);
        } else {
            json_object_set_new(o, "event", json_string(type));
            if (*id)
                json_object_set_new(o, "event_id", json_string(id));
            if (at_json_line(stdout, json_incref(o)) < 0)
                j->broken_output = true;
        }
        j->broken_output |= fflush(stdout) != 0;
        j->shown++;
    }
    json_decref(o);
    return is_over(j);
}

/* Comes back after 1, 2, 4, 8 s; what was missed meanwhile comes from the daemon's ring. */
static int follow(struct job *j, struct at_client *c, const char *path)
{
    struct at_error err;
    unsigned wait_s = 1;
    bool told = false, ever = false;
    for (;;) {
        int64_t begun_ns = at_clock_mono_ns();
        j->alive_ns = 0;
        double left_s = j->end_ns ? (double)(j->end_ns - begun_ns) / 1e9 : 0;
        int r = at_client_follow(c, path, left_s, on_event, j, &err);
        ever |= r == 0 || j->alive_ns > 0;
        if (is_over(j))
            return j->broken_output
                       ? at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written")
                       : AT_EXIT_OK;
        if (r == -EACCES || r == -EPROTO || (r < 0 && !ever))
            return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
        if (j->alive_ns > begun_ns) {
            wait_s = 1;
            told = false;
        }
        if (!told)
            fprintf(stderr, "attune tail: connection to %s lost; trying again\n", at_client_url(c));
        told = true;
        struct timespec t = {.tv_sec = wait_s};
        nanosleep(&t, NULL);
        wait_s = wait_s * 2 > RETRY_MAX_S ? RETRY_MAX_S : wait_s * 2;
        if (is_over(j))
            return AT_EXIT_OK;
    }
}

static bool has_text(const json_t *list, const char *text)
{
    const json_t *o;
    size_t i;
    json_array_foreach(list, i, o) if (json_is_string(o) &&
                                       strcmp(json_string_value(o), text) == 0) return true;
    return false;
}

/* A class that no model of the daemon has would be waited for in vain. What can't be asked is left
 * to the stream, which says why. */
static int check_class(const char *name, struct at_client *c)
{
    struct at_error err;
    json_t *model = NULL;
    if (at_client_get(c, "/api/v1/model", &err, &model) < 0)
        return AT_EXIT_OK;
    const json_t *classes = json_object_get(model, "classes"), *o;
    bool known = !json_array_size(classes) || has_text(classes, name) ||
                 strcmp(name, "unknown") == 0 || strcmp(name, "weak") == 0;
    size_t i;
    json_array_foreach(json_object_get(model, "of_bands"), i, o) known |=
        has_text(json_object_get(o, "classes"), name);
    char list[1024] = "";
    size_t at = 0;
    json_array_foreach(classes, i, o) if (at < sizeof list && json_is_string(o)) at +=
        (size_t)snprintf(list + at, sizeof list - at, "%s, ", json_string_value(o));
    json_decref(model);
    if (known)
        return AT_EXIT_OK;
    return at_fail(SELF, AT_EXIT_USAGE, "--class: %.40s is none of %sunknown, weak", name, list);
}

/* The same of a band. */
static int check_band(const char *name, struct at_client *c)
{
    struct at_error err;
    json_t *bands = NULL;
    if (at_client_get(c, "/api/v1/bands", &err, &bands) < 0)
        return AT_EXIT_OK;
    const json_t *o;
    size_t i, at = 0;
    char list[1024] = "";
    bool known = !json_array_size(json_object_get(bands, "items"));
    json_array_foreach(json_object_get(bands, "items"), i, o)
    {
        const char *there = at_show_text(o, "name");
        known |= strcmp(there, name) == 0;
        if (*there && at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", there);
    }
    json_decref(bands);
    return known ? AT_EXIT_OK
                 : at_fail(SELF, AT_EXIT_USAGE, "--band: %.40s is none of %s", name, list);
}

#define OF(m) offsetof(struct values, m)
static const struct at_option options[] = {
    {"types", 't', AT_OPTION_TEXT, OF(types), "LIST",
     "of emission, decision, selector, radio, spectrum", 0, 0, "emission,selector,radio",
     "emission,decision,selector,radio,spectrum"},
    {"band", 'b', AT_OPTION_TEXT, OF(band), "NAME", "of this band only"},
    {"class", 'c', AT_OPTION_TEXT, OF(class_name), "NAME", "of this class only"},
    {"min-snr", 0, AT_OPTION_NUMBER, OF(min_snr_db), "DB", "at least this strong", -200, 200},
    {"count", 'n', AT_OPTION_COUNT, OF(count), "N",
     "leave after so many; else follow until Ctrl-C"},
    {"time", 'T', AT_OPTION_DURATION, OF(seconds), "TIME", "leave after this long, such as 10s"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL,
     "one JSON object per event, with its type as `event` and its number as `event_id`"},
    AT_CLIENT_OPTIONS(struct values, client),
    {0},
};

static int run(int argc, char **argv)
{
    struct job j = {.o = {.min_snr_db = NAN}};
    struct at_client *c = NULL;
    struct at_error err;
    char path[1024] = "/api/v1/events";
    int code, n = at_options_parse(SELF, &j.o, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no argument expected, got %.40s", argv[1]);
    if (at_client_query(path, sizeof path, "types", j.o.types) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "--types is too long");
    if (at_client_create(&j.o.client, &err, &c) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "%s", err.text);
    at_catch_signals();
    if (j.o.seconds > 0)
        j.end_ns = at_clock_mono_ns() + (int64_t)(j.o.seconds * 1e9);
    code = j.o.class_name ? check_class(j.o.class_name, c) : AT_EXIT_OK;
    if (code == AT_EXIT_OK && j.o.band)
        code = check_band(j.o.band, c);
    if (code == AT_EXIT_OK)
        code = follow(&j, c, path);
    at_client_destroy(c);
    return code;
}

const struct at_command at_command_tail = {
    .name = "tail",
    .summary = "Follow what a running attuned finds",
    .usage = "[OPTION]...",
    .details =
        "A line (+) comes when an emission begins or is named anew, another (-) when it ends. "
        "After a broken connection it goes on where it was.",
    .examples = "attune tail\n"
                "attune tail --class css --min-snr 10 --json\n"
                "attune tail -u http://roof:8650 --token-file token   # another host\n",
    .options = options,
    .run = run,
};
