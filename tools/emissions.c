/* attune emissions: what attuned has found, live and past. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/config/value.h"
#include "tools/client.h"
#include "tools/columns.h"
#include "tools/receive.h"
#include "tools/show.h"
#include "tools/tools.h"

extern const struct at_command at_command_emissions;
#define SELF (&at_command_emissions)

#define PAGE 200u

struct values {
    struct at_client_options client;
    const char *since, *until, *band, *radio, *class_name, *state, *min_snr;
    uint32_t limit;
    bool json;
};

/* "2h" ago (from 1970 on) or RFC 3339, as RFC 3339. 0 or -EINVAL. */
static int read_time(const char *text, char out[AT_RFC3339_SIZE])
{
    double seconds;
    int64_t ns;
    if (at_value_duration(text, &seconds) == 0)
        ns = (int64_t)fmax((double)at_clock_utc_ns() - seconds * 1e9, 0);
    else if (at_clock_parse_utc(text, &ns) < 0)
        return -EINVAL;
    at_clock_format_utc(ns, out);
    return 0;
}

static int make_path(const struct values *v, char *path, size_t size)
{
    char since[AT_RFC3339_SIZE], until[AT_RFC3339_SIZE];
    double snr;
    const char *digits = v->min_snr && *v->min_snr == '-' ? v->min_snr + 1 : v->min_snr;
    snprintf(path, size, "/api/v1/emissions");
    if (v->since && read_time(v->since, since) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "--since: write 2h (ago) or 2026-11-23T19:05:11Z");
    if (v->until && read_time(v->until, until) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "--until: write 2h (ago) or 2026-11-23T19:05:11Z");
    if (digits && at_value_number(digits, false, &snr) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "--min-snr: %.20s is no number of decibels",
                       v->min_snr);
    if (at_client_query(path, size, "since", v->since ? since : NULL) < 0 ||
        at_client_query(path, size, "until", v->until ? until : NULL) < 0 ||
        at_client_query(path, size, "band", v->band) < 0 ||
        at_client_query(path, size, "radio", v->radio) < 0 ||
        at_client_query(path, size, "class", v->class_name) < 0 ||
        at_client_query(path, size, "state", v->state) < 0 ||
        at_client_query(path, size, "min_snr", v->min_snr) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "filters are too long");
    return 0;
}

static int print(const struct values *v, const json_t *o, uint32_t shown)
{
    if (v->json)
        return at_json_line(stdout, json_incref((json_t *)o));
    if (shown == 0 && isatty(STDOUT_FILENO)) {
        at_show_head(stdout, at_columns_wanted());
        putchar('\n');
    }
    at_show_emission(stdout, o, strcmp(at_show_text(o, "state"), "ended") == 0 ? '-' : '+',
                     at_columns_wanted());
    return putchar('\n') == EOF ? -1 : 0;
}

/* Follows the cursors until the limit. */
static int list(const struct values *v, struct at_client *c, const char *path)
{
    struct at_error err;
    char page[1200], number[24], cursor[64] = "";
    uint32_t shown = 0;
    for (bool more = true; more && shown < v->limit;) {
        json_t *answer = NULL;
        const json_t *o;
        size_t i;
        snprintf(page, sizeof page, "%s", path);
        snprintf(number, sizeof number, "%u", v->limit - shown < PAGE ? v->limit - shown : PAGE);
        if (at_client_query(page, sizeof page, "limit", number) < 0 ||
            at_client_query(page, sizeof page, "cursor", *cursor ? cursor : NULL) < 0)
            return at_fail(SELF, AT_EXIT_USAGE, "filters are too long");
        if (at_client_get(c, page, &err, &answer) < 0)
            return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
        json_t *items = json_object_get(answer, "items"), *next = json_object_get(answer, "next");
        json_array_foreach(items, i, o)
        {
            if (print(v, o, shown++) < 0) {
                json_decref(answer);
                return at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written");
            }
        }
        more = json_array_size(items) > 0 && next && !json_is_null(next);
        if (json_is_string(next))
            snprintf(cursor, sizeof cursor, "%s", json_string_value(next));
        else if (json_is_integer(next))
            snprintf(cursor, sizeof cursor, "%lld", (long long)json_integer_value(next));
        json_decref(answer);
    }
    return AT_EXIT_OK;
}

#define OF(m) offsetof(struct values, m)
static const struct at_option options[] = {
    {"since", 0, AT_OPTION_TEXT, OF(since), "TIME",
     "alive after this: 2h (ago) or 2026-11-23T19:05:11Z"},
    {"until", 0, AT_OPTION_TEXT, OF(until), "TIME", "begun before this"},
    {"band", 'b', AT_OPTION_TEXT, OF(band), "NAME", "of this band only"},
    {"radio", 'r', AT_OPTION_TEXT, OF(radio), "NAME", "of this radio only"},
    {"class", 'c', AT_OPTION_TEXT, OF(class_name), "NAME", "of this class only"},
    {"state", 0, AT_OPTION_CHOICE, OF(state), "STATE", "active or ended; else both",
     .choices = "active,ended"},
    {"min-snr", 0, AT_OPTION_TEXT, OF(min_snr), "DB", "at least this strong"},
    {"limit", 'n', AT_OPTION_COUNT, OF(limit), "N", "newest so many", 1, 10000000, "100"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object per emission"},
    AT_CLIENT_OPTIONS(struct values, client),
    {0},
};

static int run(int argc, char **argv)
{
    struct values v = {0};
    struct at_client *c = NULL;
    struct at_error err;
    char path[1024];
    int code, n = at_options_parse(SELF, &v, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no argument expected, got %.40s", argv[1]);
    if ((code = make_path(&v, path, sizeof path)))
        return code;
    if (at_client_create(&v.client, &err, &c) < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "%s", err.text);
    at_catch_signals();
    code = list(&v, c, path);
    at_client_destroy(c);
    return code;
}

const struct at_command at_command_emissions = {
    .name = "emissions",
    .summary = "List what a running attuned has found, newest first",
    .usage = "[OPTION]...",
    .details = "+ is on the air now, - has ended.",
    .examples = "attune emissions --state active\n"
                "attune emissions --since 1h --class ook --min-snr 10 --limit 1000 --json\n",
    .options = options,
    .run = run,
};
