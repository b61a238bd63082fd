/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/config/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/config/value.h"

#define IN(level, s, m) level, offsetof(struct s, m), sizeof(((struct s *)0)->m)
#define ROOT(m)         IN(0, at_config, m)
#define RADIO(m)        IN(1, at_config_radio, m)
#define BAND(m)         IN(2, at_config_band, m)
#define INF             INFINITY
#define FREE            -INF, INF
#define MODELS          AT_DATADIR "/attune/models/"

_Static_assert(offsetof(struct at_config, soapy.n_modules) ==
                   offsetof(struct at_config, soapy.modules) +
                       sizeof(((struct at_config *)0)->soapy.modules),
               "a list's count stands behind it");
_Static_assert(offsetof(struct at_config, http.n_allowed_hosts) ==
                   offsetof(struct at_config, http.allowed_hosts) +
                       sizeof(((struct at_config *)0)->http.allowed_hosts),
               "a list's count stands behind it");
_Static_assert(offsetof(struct at_config_band, n_ignore) ==
                   offsetof(struct at_config_band, ignore) +
                       sizeof(((struct at_config_band *)0)->ignore),
               "a list's count stands behind it");
_Static_assert(offsetof(struct at_config_band, n_watch) ==
                   offsetof(struct at_config_band, watch) +
                       sizeof(((struct at_config_band *)0)->watch),
               "a list's count stands behind it");

/* clang-format off */
const struct at_config_key at_config_table[] = {
    {"log.level", AT_CONFIG_CHOICE, ROOT(log.level), FREE, "error|warning|info|debug", "info", NULL,
     "how much is logged"},
    {"log.format", AT_CONFIG_CHOICE, ROOT(log.format), FREE, "text|json", "text", NULL,
     "one line of text, or one JSON object, per message"},
    {"site.name", AT_CONFIG_TEXT, ROOT(site.name), FREE, NULL, "", "roof",
     "what this receiver is called"},
    {"site.latitude", AT_CONFIG_NUMBER, ROOT(site.latitude), -90, 90, NULL, NULL, "48.1", "degrees north"},
    {"site.longitude", AT_CONFIG_NUMBER, ROOT(site.longitude), -180, 180, NULL, NULL, "11.6", "degrees east"},
    {"soapy.modules", AT_CONFIG_PATHS, ROOT(soapy.modules), 0, AT_CONFIG_MAX_MODULES, NULL, NULL, NULL,
     "extra folders with SoapySDR modules"},
    {"model.path", AT_CONFIG_PATH, ROOT(model.path), FREE, NULL, MODELS "attune-base.safetensors", NULL,
     "the classifier's weights"},
    {"model.window", AT_CONFIG_COUNT, ROOT(model.window), 0, 16384, NULL, "0", NULL,
     "tokens that each layer looks back; 0: the model's own"},
    {"model.mode", AT_CONFIG_CHOICE, ROOT(model.mode), FREE, "auto|fp32|bf16", "auto", NULL,
     "numbers of caches and products; auto: the faster that fits the budget"},
    {"model.backend", AT_CONFIG_CHOICE, ROOT(model.backend), FREE, "auto|mha|flash|gqa|latent", "auto", NULL,
     "attention backend; auto: the most accurate that fits the budget"},
    {"budget.latency_ms", AT_CONFIG_NUMBER, ROOT(budget.latency_ms), 0.1, 60000, NULL, "30", NULL,
     "what one decision may take (p95)"},
    {"budget.kv_mb", AT_CONFIG_NUMBER, ROOT(budget.kv_mb), 1, 1e6, NULL, "480", NULL,
     "megabytes for the caches of all emissions"},
    {"budget.cores", AT_CONFIG_COUNT, ROOT(cores), 1, 1024, NULL, "2", NULL,
     "processor cores that decisions may use"},
    {"http.listen", AT_CONFIG_LISTEN, ROOT(http.listen), FREE, NULL, "127.0.0.1:8650", NULL,
     "address and port; anything but loopback needs a token"},
    {"http.token_file", AT_CONFIG_PATH, ROOT(http.token_file), FREE, NULL, "", NULL,
     "bearer token; empty: $CREDENTIALS_DIRECTORY/http-token"},
    {"http.read_token_file", AT_CONFIG_PATH, ROOT(http.read_token_file), FREE, NULL, "", NULL,
     "bearer token that may read but change nothing"},
    {"http.metrics_listen", AT_CONFIG_LISTEN, ROOT(http.metrics_listen), FREE, NULL, "", "127.0.0.1:9650",
     "a second, small server for /metrics and health alone; empty: none"},
    {"http.base_path", AT_CONFIG_BASE, ROOT(http.base_path), FREE, NULL, "/", NULL,
     "what a proxy puts before our paths (\"/sdr\")"},
    {"http.cors", AT_CONFIG_ORIGINS, ROOT(http.cors), FREE, NULL, "", NULL,
     "origins whose pages may read answers (\"https://a.example,https://b.example\"); empty: none"},
    {"http.tls.cert", AT_CONFIG_PATH, ROOT(http.tls_cert), FREE, NULL, "", NULL,
     "certificate chain (PEM); empty: no TLS"},
    {"http.tls.key", AT_CONFIG_PATH, ROOT(http.tls_key), FREE, NULL, "", NULL, "its key (PEM)"},
    {"http.max_body_mb", AT_CONFIG_NUMBER, ROOT(http.max_body_mb), 0, 1024, NULL, "32", NULL,
     "megabytes of IQ that POST classify takes; 0: it refuses"},
    {"http.allowed_hosts", AT_CONFIG_HOSTS, ROOT(http.allowed_hosts), 0, AT_CONFIG_MAX_HOSTS, NULL, NULL, NULL,
     "names in Host: that are answered beside those of loopback (a proxy's name)"},
    {"http.max_connections", AT_CONFIG_COUNT, ROOT(http.max_connections), 4, 4096, NULL, "128", NULL,
     "connections at once"},
    {"http.timeout", AT_CONFIG_DURATION, ROOT(http.timeout_s), 1, 300, NULL, "10s", NULL,
     "a connection that says nothing for so long is closed"},
    {"history.path", AT_CONFIG_PATH, ROOT(history.path), FREE, NULL, AT_STATEDIR "/lib/attune/history.db", NULL,
     "SQLite file of emissions that have ended; empty: only what memory holds"},
    {"history.keep", AT_CONFIG_DURATION, ROOT(history.keep_s), 60, 3.2e8, NULL, "30d", NULL,
     "how long an emission is kept after its end"},
    {"history.max_mb", AT_CONFIG_NUMBER, ROOT(history.max_mb), 1, 1e6, NULL, "2048", NULL,
     "megabytes of the file; the oldest emissions give way"},
    {"lookback.keep", AT_CONFIG_DURATION, ROOT(lookback.keep_s), 0, 3600, NULL, "2s", NULL,
     "samples of each radio kept for emissions/{id}/iq; 0s: none"},
    {"lookback.max_mb", AT_CONFIG_NUMBER, ROOT(lookback.max_mb), 0.1, 65536, NULL, "64", NULL,
     "megabytes of each radio that they may take"},
    {"publish.mqtt.broker", AT_CONFIG_TEXT, ROOT(publish.mqtt.broker), FREE, NULL, "", "mqtt://127.0.0.1:1883",
     "MQTT broker for home automation, mqtt:// or mqtts://; empty: none"},
    {"publish.mqtt.topic", AT_CONFIG_TEXT, ROOT(publish.mqtt.topic), FREE, NULL, "attune", NULL,
     "what every topic begins with"},
    {"publish.mqtt.username", AT_CONFIG_TEXT, ROOT(publish.mqtt.username), FREE, NULL, "", NULL,
     "name for the broker; empty: none"},
    {"publish.mqtt.password_file", AT_CONFIG_PATH, ROOT(publish.mqtt.password_file), FREE, NULL, "", NULL,
     "file with the password for the broker in its first line"},
    {"publish.mqtt.client_id", AT_CONFIG_TEXT, ROOT(publish.mqtt.client_id), FREE, NULL, "", NULL,
     "name at the broker, unique there; empty: attune-HOSTNAME"},
    {"publish.mqtt.ca_file", AT_CONFIG_PATH, ROOT(publish.mqtt.ca_file), FREE, NULL, "", NULL,
     "authority that signed the broker's certificate (mqtts); empty: the system's"},
    {"publish.mqtt.discovery", AT_CONFIG_BOOL, ROOT(publish.mqtt.discovery), FREE, NULL, "true", NULL,
     "tell Home Assistant of bands, radios and classes"},
    {"publish.mqtt.discovery_prefix", AT_CONFIG_TEXT, ROOT(publish.mqtt.discovery_prefix), FREE, NULL,
     "homeassistant", NULL, "where Home Assistant looks for that"},
    {"publish.mqtt.queue", AT_CONFIG_COUNT, ROOT(publish.mqtt.queue), 16, 100000, NULL, "1000", NULL,
     "messages that wait for the broker at most; the oldest are dropped and counted"},
    {"publish.mqtt.rate", AT_CONFIG_NUMBER, ROOT(publish.mqtt.rate), 0.1, 1000, NULL, "20", NULL,
     "messages a second at most"},
    {"bandplan", AT_CONFIG_PATH, ROOT(bandplan), FREE, NULL, AT_SYSCONFDIR "/attune/bandplan.yaml", NULL,
     "service hints by class, frequency and bandwidth; empty: none"},
    {"cache_dir", AT_CONFIG_PATH, ROOT(cache_dir), FREE, NULL, AT_STATEDIR "/cache/attune", NULL,
     "measurements that can be made again (FFT plans, calibration)"},
    {"radios[].name", AT_CONFIG_NAME, RADIO(name), FREE, NULL, "", "dongle",
     "name in results and metrics; radio1, radio2, ... where not given", true},
    {"radios[].device", AT_CONFIG_DEVICE, RADIO(device), FREE, NULL, NULL, "driver=rtlsdr",
     "SoapySDR device (\"driver=rtlsdr,serial=00000002\") or recording (\"file=capture.sigmf-meta\")", true},
    {"radios[].ppm", AT_CONFIG_NUMBER, RADIO(ppm), -1000, 1000, NULL, "0", NULL,
     "error of the radio's crystal, parts per million"},
    {"radios[].antenna", AT_CONFIG_TEXT, RADIO(antenna), FREE, NULL, "", NULL,
     "antenna input; empty: the device's own choice"},
    {"radios[].bias_tee", AT_CONFIG_BOOL, RADIO(bias_tee), FREE, NULL, "false", NULL,
     "feed an amplifier through the antenna socket"},
    {"radios[].settings", AT_CONFIG_TEXT, RADIO(settings), FREE, NULL, "", NULL,
     "device settings, \"key=value,key=value\""},
    {"radios[].channel", AT_CONFIG_COUNT, RADIO(channel), 0, 15, NULL, "0", NULL,
     "receive channel of a device that has several"},
    {"radios[].pace", AT_CONFIG_CHOICE, RADIO(pace), FREE, "real|fast", "real", NULL,
     "of a recording: in real time, or as fast as it is read"},
    {"radios[].format", AT_CONFIG_CHOICE, RADIO(format), FREE, "auto|cu8|cs8|cs16|cs24|cs32|cf32", "auto", NULL,
     "of a recording: sample format; auto: from SigMF, WAV header or name"},
    {"radios[].loop", AT_CONFIG_BOOL, RADIO(loop), FREE, NULL, "false", NULL,
     "of a recording: begin again at its end"},
    {"radios[].settle", AT_CONFIG_DURATION, RADIO(settle_s), 0, 1, NULL, "10ms", NULL,
     "how long the tuner takes to settle after a change of band; what comes meanwhile is dropped and counted"},
    {"radios[].bands[].name", AT_CONFIG_NAME, BAND(name), FREE, NULL, "", "ism433",
     "name in results and metrics; band1, band2, ... where not given", true},
    {"radios[].bands[].center", AT_CONFIG_HZ, BAND(center_hz), 0, AT_CENTER_MAX_HZ, NULL, NULL, "433.92M",
     "centre frequency", true},
    {"radios[].bands[].rate", AT_CONFIG_HZ, BAND(rate_hz), AT_RATE_MIN_HZ, AT_RATE_MAX_HZ, NULL, NULL,
     "1.024M", "samples a second", true},
    {"radios[].bands[].gain", AT_CONFIG_GAIN, BAND(gain), -100, 200, NULL, "auto", NULL,
     "auto, dB in all, or by element (\"LNA=20,VGA=12\")"},
    {"radios[].bands[].lo_offset", AT_CONFIG_HZ, BAND(lo_offset_hz), -30e6, 30e6, NULL, "0", NULL,
     "tune the radio this far above the centre, so that its DC spike falls aside"},
    {"radios[].bands[].blanker", AT_CONFIG_NUMBER, BAND(blanker_db), 0, AT_BLANKER_MAX_DB, NULL, "0", NULL,
     "noise blanker: take out pulses of up to 0.5 ms that stand so many dB over the band's running median, 9 or more, 12 is a good start; 0: off"},
    {"radios[].bands[].dwell", AT_CONFIG_DURATION, BAND(dwell_s), 0.2, 86400, NULL, "5s", NULL,
     "how long the radio stays at this band before it goes on to its next one"},
    {"radios[].bands[].ppm", AT_CONFIG_NUMBER, BAND(ppm), -1000, 1000, NULL, NULL, "0",
     "error of the crystal in this band; not given: the radio's"},
    {"radios[].bands[].antenna", AT_CONFIG_TEXT, BAND(antenna), FREE, NULL, "", NULL,
     "antenna input of this band; empty: the radio's"},
    {"radios[].bands[].bias_tee", AT_CONFIG_SWITCH, BAND(bias_tee), FREE, NULL, NULL, "true",
     "feed an amplifier through the antenna socket in this band; not given: the radio's"},
    {"radios[].bands[].settings", AT_CONFIG_TEXT, BAND(settings), FREE, NULL, "", NULL,
     "device settings of this band, set at each visit beside the radio's, \"key=value,key=value\""},
    {"radios[].bands[].budget.latency_ms", AT_CONFIG_NUMBER, BAND(latency_ms), 0, 60000, NULL, "0", NULL,
     "what one decision may take in this band, p95 in ms; 0: budget.latency_ms"},
    {"radios[].bands[].model.path", AT_CONFIG_PATH, BAND(model), FREE, NULL, "", NULL,
     "the classifier's weights in this band; empty: model.path"},
    {"radios[].bands[].ignore", AT_CONFIG_RANGES, BAND(ignore), 0, AT_CONFIG_MAX_IGNORE, NULL, NULL,
     "[433.1M-433.2M]", "frequencies that are not looked at"},
    {"radios[].bands[].watch", AT_CONFIG_RANGES, BAND(watch), 0, AT_CONFIG_MAX_WATCH, NULL, NULL,
     "[433.9M-434.0M]", "frequencies whose emissions are decided first and keep their sessions under overload"},
};
/* clang-format on */
const size_t at_config_table_n = sizeof at_config_table / sizeof *at_config_table;

bool at_config_is_list(const struct at_config_key *key)
{
    return key->type == AT_CONFIG_PATHS || key->type == AT_CONFIG_HOSTS ||
           key->type == AT_CONFIG_RANGES;
}

const struct at_config_key *at_config_table_find(const char *path)
{
    for (size_t i = 0; i < at_config_table_n; i++)
        if (strcmp(at_config_table[i].path, path) == 0)
            return &at_config_table[i];
    return NULL;
}

bool at_config_table_is_section(const char *path, bool list)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < at_config_table_n; i++) {
        const char *rest = at_config_table[i].path + n;
        if (strncmp(at_config_table[i].path, path, n) == 0 &&
            (list ? strncmp(rest, "[].", 3) == 0 : n == 0 || *rest == '.'))
            return true;
    }
    return false;
}

void at_config_table_children(const char *section,
                              void (*visit)(void *ctx, const char *name, size_t first), void *ctx)
{
    size_t n = strlen(section);
    char before[64] = "";
    for (size_t i = 0; i < at_config_table_n; i++) {
        const char *p = at_config_table[i].path;
        if (strncmp(p, section, n) != 0 || (n && p[n] != '.'))
            continue;
        p += n + (n > 0);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ".["), p);
        if (strcmp(name, before) != 0) /* keys of one section stand together in the table */
            visit(ctx, name, i);
        memcpy(before, name, sizeof before);
    }
}

struct nearest {
    const char *name;
    char *out;
    unsigned best;
    bool found;
};

static void visit_nearest(void *ctx, const char *name, size_t first)
{
    struct nearest *n = ctx;
    unsigned distance = at_value_distance(n->name, name);
    if (distance >= n->best)
        return;
    n->best = distance;
    n->found = true;
    snprintf(n->out, 64, "%s", name);
}

bool at_config_table_nearest(const char *section, const char *name, char out[64])
{
    size_t n_name = strnlen(name, 63);
    struct nearest n = {
        .name = name, .out = out, .best = n_name < 4 ? 2 : (unsigned)(n_name / 2) + 1};
    at_config_table_children(section, visit_nearest, &n);
    return n.found;
}

void *at_config_member(const struct at_config_key *key, struct at_config *config,
                       struct at_config_radio *radio, struct at_config_band *band)
{
    char *owners[] = {(char *)config, (char *)radio, (char *)band};
    return owners[key->level] + key->offset;
}

static int set_text(const struct at_config_key *key, char *out, const char *text,
                    struct at_error *err)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            return at_error_set(err, -EINVAL, "holds a control character; remove it");
    if (strlen(text) >= key->size)
        return at_error_set(err, -EINVAL, "longer than %zu bytes; shorten it", key->size - 1);
    memset(out, 0, key->size);
    memcpy(out, text, strlen(text));
    return 0;
}

static int set_name(const struct at_config_key *key, char *out, const char *text,
                    struct at_error *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    if (text[strspn(text, letters)] || text[0] == '.')
        return at_error_set(err, -EINVAL, "not a name; use letters, digits, `_`, `-` and `.`");
    return set_text(key, out, text, err);
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Any other one is the beginning of no request's path: each would be 404. */
static int set_base(const struct at_config_key *key, char *out, const char *text,
                    struct at_error *err)
{
    if (*text && (*text != '/' || text[strspn(text, LETTERS "/._~-")] || strstr(text, "//")))
        return at_error_set(err, -EINVAL, "no path of a URL; write for example /sdr");
    return set_text(key, out, text, err);
}

/* As browsers send them, to the letter: with a scheme, without a path, and no "*". */
static int set_origins(const struct at_config_key *key, char *out, const char *text,
                       struct at_error *err)
{
    for (const char *p = text; *p; p += *p == ',') {
        p += strspn(p, " ");
        size_t scheme = strncmp(p, "https://", 8) == 0 ? 8 : strncmp(p, "http://", 7) == 0 ? 7 : 0;
        size_t host = strspn(p + scheme, LETTERS ".-:[]_");
        char shown[48];
        at_value_quote(p, shown);
        shown[strcspn(shown, ", ")] = 0;
        if (!scheme || !host || (p[scheme + host] && !strchr(", ", p[scheme + host])))
            return at_error_set(err, -EINVAL,
                                "`%s` is no origin; write for example https://a.example", shown);
        p += scheme + host;
        p += strspn(p, " ");
    }
    return set_text(key, out, text, err);
}

static int set_choice(const struct at_config_key *key, char *out, const char *text,
                      struct at_error *err)
{
    size_t n = strlen(text);
    for (const char *c = key->choices; n; c += strcspn(c, "|") + 1) {
        size_t n_choice = strcspn(c, "|");
        if (n == n_choice && memcmp(c, text, n) == 0)
            return set_text(key, out, text, err);
        if (!c[n_choice])
            break;
    }
    char shown[48];
    at_value_quote(text, shown);
    return at_error_set(err, -EINVAL, "`%s` is not known; one of %s", shown, key->choices);
}

/* Empty stays empty; a relative path is counted from dir. */
static int set_path(const struct at_config_key *key, char *out, size_t size, const char *text,
                    const char *dir, struct at_error *err)
{
    char whole[2 * AT_CONFIG_PATH_SIZE];
    int n = snprintf(whole, sizeof whole, "%s%s%s", *text && *text != '/' ? dir : "",
                     *text && *text != '/' ? "/" : "", text);
    if (n < 0 || (size_t)n >= sizeof whole)
        return at_error_set(err, -EINVAL, "path longer than %zu bytes; shorten it", size - 1);
    struct at_config_key sized = *key;
    sized.size = size;
    return set_text(&sized, out, whole, err);
}

static int set_device(const struct at_config_key *key, char *out, const char *text, const char *dir,
                      struct at_error *err)
{
    if (strncmp(text, "file=", 5) == 0 && text[5]) {
        int r = set_path(key, out + 5, AT_CONFIG_PATH_SIZE, text + 5, dir, err);
        if (r == 0)
            memcpy(out, "file=", 5);
        return r;
    }
    const char *driver = strstr(text, "driver=");
    if (!driver || (driver != text && driver[-1] != ',' && driver[-1] != ' ') || !driver[7] ||
        driver[7] == ',')
        return at_error_set(err, -EINVAL,
                            "names no driver; write driver=NAME[,key=value] or file=PATH");
    return set_text(key, out, text, err);
}

static int check_bounds(const struct at_config_key *key, double value, struct at_error *err)
{
    if (value >= key->min && value <= key->max)
        return 0;
    char lo[32], hi[32];
    at_value_format(key->min, lo);
    at_value_format(key->max, hi);
    return at_error_set(err, -EINVAL, "out of bounds; %s to %s", lo, hi);
}

static int set_number(const struct at_config_key *key, void *member, const char *text,
                      struct at_error *err)
{
    double value = 0;
    int r = key->type == AT_CONFIG_DURATION
                ? at_value_duration(text, &value)
                : at_value_number(text, key->type == AT_CONFIG_HZ, &value);
    char shown[48];
    at_value_quote(text, shown);
    if (r < 0)
        return at_error_set(err, r, "`%s` is no %s; write for example %s", shown,
                            key->type == AT_CONFIG_DURATION ? "duration"
                            : key->type == AT_CONFIG_HZ     ? "frequency"
                                                            : "number",
                            key->type == AT_CONFIG_DURATION ? "5s or 100ms"
                            : key->type == AT_CONFIG_HZ     ? "2.4M, 2_400_000 or 2.4e6"
                                                            : "30 or 1.5");
    r = check_bounds(key, value, err);
    if (r < 0)
        return r;
    if (key->type == AT_CONFIG_COUNT) {
        if (value != floor(value))
            return at_error_set(err, -EINVAL, "`%s` is no whole number", shown);
        *(uint32_t *)member = (uint32_t)value;
    } else {
        *(double *)member = value;
    }
    return 0;
}

static int set_switch(int *out, const char *text, struct at_error *err)
{
    bool on;
    if (at_value_bool(text, &on) < 0)
        return at_error_set(err, -EINVAL, "neither true nor false");
    *out = on ? 1 : -1;
    return 0;
}

static int set_gain(const struct at_config_key *key, struct at_config_gain *gain, const char *text,
                    struct at_error *err)
{
    struct at_config_gain g = {.db = NAN};
    if (strcmp(text, "auto") == 0) {
        *gain = g;
        return 0;
    }
    if (strchr(text, '=')) {
        struct at_config_key sized = *key;
        sized.size = sizeof g.gains;
        int r = set_text(&sized, g.gains, text, err);
        if (r == 0)
            *gain = g;
        return r;
    }
    if (at_value_number(text, false, &g.db) < 0) {
        char shown[48];
        at_value_quote(text, shown);
        return at_error_set(err, -EINVAL, "`%s` is no gain; write auto, dB (32.8) or LNA=20,VGA=12",
                            shown);
    }
    int r = check_bounds(key, g.db, err);
    if (r == 0)
        *gain = g;
    return r;
}

/* The count of a list stands right behind its array. */
static int add_item(const struct at_config_key *key, void *member, const char *text,
                    const char *dir, struct at_error *err)
{
    uint32_t *n = (uint32_t *)((char *)member + key->size);
    if (*n >= key->max)
        return at_error_set(err, -EINVAL, "more than %.0f items; remove some", key->max);
    int r;
    if (key->type == AT_CONFIG_PATHS) {
        char(*paths)[AT_CONFIG_PATH_SIZE] = member;
        r = !*text ? at_error_set(err, -EINVAL, "empty path; remove it")
                   : set_path(key, paths[*n], AT_CONFIG_PATH_SIZE, text, dir, err);
    } else if (key->type == AT_CONFIG_HOSTS) {
        char(*hosts)[AT_CONFIG_HOST_SIZE] = member;
        struct at_config_key sized = *key;
        sized.size = AT_CONFIG_HOST_SIZE;
        r = set_name(&sized, hosts[*n], text, err);
        if (r == 0 && !*text)
            r = at_error_set(err, -EINVAL, "empty name; remove it");
    } else {
        struct at_config_range *range = (struct at_config_range *)member + *n;
        r = at_value_range(text, &range->lo_hz, &range->hi_hz);
        if (r < 0)
            at_error_set(err, r, "no range of frequencies; write for example 433.1M-433.2M");
    }
    *n += r == 0;
    return r;
}

int at_config_set(const struct at_config_key *key, void *member, const char *text, const char *dir,
                  struct at_error *err)
{
    char host[48];
    unsigned port;
    switch (key->type) {
    case AT_CONFIG_TEXT:
        return set_text(key, member, text, err);
    case AT_CONFIG_NAME:
        return set_name(key, member, text, err);
    case AT_CONFIG_CHOICE:
        return set_choice(key, member, text, err);
    case AT_CONFIG_PATH:
        return set_path(key, member, key->size, text, dir, err);
    case AT_CONFIG_DEVICE:
        return set_device(key, member, text, dir, err);
    case AT_CONFIG_LISTEN:
        /* Empty is none, where that is what stands there by itself. */
        if ((*text || *key->preset) && at_value_listen(text, host, sizeof host, &port) < 0)
            return at_error_set(err, -EINVAL,
                                "no address and port; write for example 127.0.0.1:8650");
        return set_text(key, member, text, err);
    case AT_CONFIG_BASE:
        return set_base(key, member, text, err);
    case AT_CONFIG_ORIGINS:
        return set_origins(key, member, text, err);
    case AT_CONFIG_BOOL:
        if (at_value_bool(text, member) < 0)
            return at_error_set(err, -EINVAL, "neither true nor false");
        return 0;
    case AT_CONFIG_SWITCH:
        return set_switch(member, text, err);
    case AT_CONFIG_COUNT:
    case AT_CONFIG_NUMBER:
    case AT_CONFIG_HZ:
    case AT_CONFIG_DURATION:
        return set_number(key, member, text, err);
    case AT_CONFIG_GAIN:
        return set_gain(key, member, text, err);
    case AT_CONFIG_PATHS:
    case AT_CONFIG_HOSTS:
    case AT_CONFIG_RANGES:
        return add_item(key, member, text, dir, err);
    }
    return -EINVAL;
}
