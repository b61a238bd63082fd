/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/config/config.h"
#include "lib/config/table.h"

static char dir[] = "/tmp/attune-config-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.yaml", dir);
    return 0;
}

static int remove_dir(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void write_bytes(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static struct at_config *load_ok(const char *text)
{
    struct at_error err = {""};
    struct at_config *c = NULL;
    write_bytes(path, text, strlen(text));
    int r = at_config_load(path, &err, &c);
    if (r < 0)
        fail_msg("%d: %s\nin:\n%s", r, err.text, text);
    return c;
}

/* The file must be refused with exactly this message behind its path. */
static void refuse_bytes(const void *data, size_t n, int code, const char *message)
{
    struct at_error err = {""};
    struct at_config *c = NULL;
    char want[600];
    snprintf(want, sizeof want, "%s%s", path, message);
    write_bytes(path, data, n);
    int r = at_config_load(path, &err, &c);
    assert_null(c);
    assert_string_equal(err.text, want);
    assert_int_equal(r, code);
}

static void refuse(const char *text, const char *message)
{
    refuse_bytes(text, strlen(text), -EINVAL, message);
}

#define RADIO "radios:\n  - device: driver=x\n    bands:\n      - center: 100M\n        rate: 2M\n"

static void test_every_preset_is_one_that_its_own_key_takes(void **state)
{
    struct at_config *c = load_ok(RADIO);
    struct at_error err = {""};
    for (size_t i = 0; i < at_config_table_n; i++) {
        const struct at_config_key *key = &at_config_table[i];
        void *member = at_config_member(key, c, &c->radios[0], &c->radios[0].bands[0]);
        assert_non_null(key->doc);
        if (key->preset && at_config_set(key, member, key->preset, "/", &err) < 0)
            fail_msg("%s: %s: %s", key->path, key->preset, err.text);
        bool list = key->type == AT_CONFIG_RANGES;
        if (key->example && !list && at_config_set(key, member, key->example, "/", &err) < 0)
            fail_msg("%s: %s: %s", key->path, key->example, err.text);
    }
    at_config_destroy(c);
}

static void test_every_key_stands_in_the_struct_that_its_path_names(void **state)
{
    for (size_t i = 0; i < at_config_table_n; i++) {
        const struct at_config_key *key = &at_config_table[i];
        int level = 0;
        for (const char *p = key->path; (p = strstr(p, "[].")); p++)
            level++;
        if (key->level != level)
            fail_msg("%s: level %d", key->path, key->level);
    }
}

static void test_an_empty_file_is_the_defaults(void **state)
{
    const char *texts[] = {"", "# nothing\n", "log:\nradios:\nsoapy: {modules: }\n", "{}",
                           "\xef\xbb\xbf# BOM\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct at_config *c = load_ok(texts[i]);
        assert_int_equal(c->n_radios, 0);
        assert_string_equal(c->log.level, "info");
        assert_string_equal(c->http.host, "127.0.0.1");
        assert_int_equal(c->http.port, 8650);
        assert_true(c->budget.latency_ms == 30 && c->budget.kv_mb == 480 &&
                    c->http.timeout_s == 10);
        assert_true(isnan(c->site.latitude));
        assert_string_equal(c->model.backend, "auto");
        at_config_destroy(c);
    }
}

static void test_the_words_of_the_design_come_out_as_numbers(void **state)
{
    struct at_config *c = load_ok(
        "site: {name: roof, latitude: 48.1, longitude: -11.6}\n"
        "budget: {latency_ms: 15.5, kv_mb: 64, cores: 3}\n"
        "http: {listen: \"[::1]:0\", timeout: 1500ms}\n"
        "radios:\n"
        "  - name: roof\n"
        "    device: driver=rtlsdr,serial=00000002\n"
        "    ppm: -1.5\n"
        "    bias_tee: true\n"
        "    bands:\n"
        "      - {name: ism433, center: 433.92M, rate: 1.024M, gain: auto, lo_offset: 200k,\n"
        "         ignore: [433.1M-433.2M, 434e6-434_500_000], watch: [433.9M-434M]}\n"
        "  - {device: 'file=sub/x.cu8', pace: fast, loop: true}\n"
        "  - {device: driver=x, bands: [{center: 162MHz, rate: 2_88_000, gain: 32.8}]}\n");
    assert_int_equal(c->n_radios, 3);
    const struct at_config_radio *r = &c->radios[0];
    assert_string_equal(r->name, "roof");
    assert_true(r->ppm == -1.5 && r->bias_tee && r->n_bands == 1);
    const struct at_config_band *b = &r->bands[0];
    assert_true(b->center_hz == 433920000 && b->rate_hz == 1024000 && b->lo_offset_hz == 200000);
    assert_true(isnan(b->gain.db) && b->n_ignore == 2);
    assert_true(b->ignore[0].lo_hz == 433.1e6 && b->ignore[1].hi_hz == 434.5e6);
    assert_true(b->n_watch == 1 && b->watch[0].lo_hz == 433.9e6 && b->watch[0].hi_hz == 434e6);
    b = &c->radios[2].bands[0];
    assert_string_equal(b->name, "band1");
    assert_true(b->center_hz == 162e6 && b->rate_hz == 288000 && b->gain.db == 32.8);
    assert_true(c->budget.latency_ms == 15.5 && c->budget.kv_mb == 64);
    char want[80];
    snprintf(want, sizeof want, "%s/sub/x.cu8", dir);
    assert_string_equal(c->radios[1].file, want);
    assert_string_equal(c->radios[1].name, "radio2");
    assert_true(c->radios[1].n_bands == 1 && isnan(c->radios[1].bands[0].center_hz));
    assert_true(c->radios[1].bands[0].rate_hz == 0);
    assert_string_equal(c->http.host, "::1");
    assert_true(c->http.port == 0 && c->http.timeout_s == 1.5);
    assert_int_equal(c->cores, 3);
    at_config_destroy(c);
}

static void test_unknown_keys_name_their_place_and_the_nearest(void **state)
{
    refuse("log:\n  levle: info\n", ":2:3: log.levle: unknown key; nearest is `level`");
    refuse("sites: {}\n", ":1:1: sites: unknown key; nearest is `site`");
    refuse("log: {level: info, fromat: json}\n",
           ":1:20: log.fromat: unknown key; nearest is `format`");
    refuse("radios:\n  - device: driver=x\n    bands:\n      - {centre: 1M}\n",
           ":4:10: radios[].bands[].centre: unknown key; nearest is `center`");
    refuse("http: {xyzzy: 1}\n",
           ":1:8: http.xyzzy: unknown key; known here: listen, token_file, read_token_file, "
           "metrics_listen, base_path, cors, tls, max_body_mb, allowed_hosts, max_connections, "
           "timeout");
    refuse("log.level: info\n",
           ":1:1: log.level: unknown key; known here: log, site, soapy, model, budget, http, "
           "history, lookback, publish, bandplan, cache_dir, radios");
    refuse("log: {\"\": 1}\n", ":1:7: log.: unknown key; known here: level, format");
    refuse("log: {\"a\\e[31m\": 1}\n", ":1:7: log.a?[31m: unknown key; known here: level, format");
}

static void test_bad_values_name_their_place_and_the_remedy(void **state)
{
    refuse("log:\n  level: loud\n",
           ":2:10: log.level: `loud` is not known; one of error|warning|info|debug");
    refuse("budget: {latency_ms: soon}\n",
           ":1:22: budget.latency_ms: `soon` is no number; write for example 30 or 1.5");
    refuse("budget: {latency_ms: 0}\n", ":1:22: budget.latency_ms: out of bounds; 0.1 to 60000");
    refuse("budget: {cores: 1.5}\n", ":1:17: budget.cores: `1.5` is no whole number");
    refuse("budget: {kv_mb: }\n",
           ":1:17: budget.kv_mb: `` is no number; write for example 30 or 1.5");
    refuse("http: {timeout: 5}\n",
           ":1:17: http.timeout: `5` is no duration; write for example 5s or 100ms");
    static const char *const no_base[] = {"sdr", "'//'", "/a//b", "'/s dr'", "'/sdr?'", "/sd%72"};
    for (size_t i = 0; i < sizeof no_base / sizeof *no_base; i++) {
        char text[96];
        snprintf(text, sizeof text, "http: {base_path: %s}\n", no_base[i]);
        refuse(text, ":1:19: http.base_path: no path of a URL; write for example /sdr");
    }
    static const char *const no_origin[][2] = {{"*", "*"},
                                               {"a.example", "a.example"},
                                               {"https://a.example/", "https://a.example/"},
                                               {"https://a.example, b", "b"},
                                               {"https://", "https://"},
                                               {"ftp://a", "ftp://a"}};
    for (size_t i = 0; i < sizeof no_origin / sizeof *no_origin; i++) {
        char text[96], said[160];
        snprintf(text, sizeof text, "http: {cors: '%s'}\n", no_origin[i][0]);
        snprintf(said, sizeof said,
                 ":1:14: http.cors: `%s` is no origin; write for example https://a.example",
                 no_origin[i][1]);
        refuse(text, said);
    }
    at_config_destroy(load_ok(
        "http: {base_path: /sdr/, cors: 'https://a.example:8443, http://[::1]:80 ,https://b'}\n"));
    at_config_destroy(load_ok("http: {base_path: '', cors: ''}\n"));
    refuse("http: {listen: localhost}\n",
           ":1:16: http.listen: no address and port; write for example 127.0.0.1:8650");
    refuse("log: info\n", ":1:6: log: takes `key: value` lines below it, not a value");
    refuse("log: [info]\n", ":1:6: log: takes no list; write `key: value` lines below it");
    refuse("log: {level: [info]}\n", ":1:14: log.level: takes no list; write one value");
    refuse("log: {level: {a: 1}}\n", ":1:14: log.level: takes no mapping; write one value");
    refuse("soapy: {modules: x}\n", ":1:18: soapy.modules: takes a list; write [a, b]");
    refuse("soapy: {modules: [[x]]}\n",
           ":1:19: soapy.modules: takes no list or mapping here; write plain values");
    refuse("soapy: {modules: ['']}\n", ":1:19: soapy.modules: empty path; remove it");
    refuse("radios: {device: x}\n", ":1:9: radios: takes no mapping; write a list: [a, b]");
    refuse("radios: [roof]\n", ":1:10: radios[]: takes `key: value` lines below it, not a value");
    refuse("radios: [{bias_tee: yes}]\n", ":1:21: radios[].bias_tee: neither true nor false");
    refuse("radios: [{name: 'a b'}]\n",
           ":1:17: radios[].name: not a name; use letters, digits, `_`, `-` and `.`");
    refuse("radios: [{device: rtlsdr}]\n",
           ":1:19: radios[].device: names no driver; write driver=NAME[,key=value] or file=PATH");
    refuse("radios: [{antenna: \"a\\nb\"}]\n",
           ":1:20: radios[].antenna: holds a control character; remove it");
    refuse("radios: [{antenna: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]\n",
           ":1:20: radios[].antenna: longer than 31 bytes; shorten it");
    refuse(
        "radios: [{bands: [{gain: loud}]}]\n",
        ":1:26: radios[].bands[].gain: `loud` is no gain; write auto, dB (32.8) or LNA=20,VGA=12");
    refuse("radios: [{bands: [{rate: 61.45M}]}]\n",
           ":1:26: radios[].bands[].rate: out of bounds; 8000 to 61440000");
    refuse(
        "radios: [{bands: [{ignore: [2M-1M]}]}]\n",
        ":1:29: radios[].bands[].ignore: no range of frequencies; write for example 433.1M-433.2M");
}

static void test_what_only_the_whole_shows_is_found(void **state)
{
    refuse("radios:\n  - name: a\n",
           ":2:5: radios[].device: missing; write for example device: driver=rtlsdr");
    refuse("radios:\n  - device: driver=x\n",
           ":2:5: radios[].bands: missing; write for example [{center: 433.92M, rate: 1.024M}]");
    refuse("radios:\n  - device: driver=x\n    bands: [{rate: 1M}]\n",
           ":3:13: radios[].bands[].center: missing; write for example center: 433.92M");
    refuse("radios:\n  - device: driver=x\n    bands: [{center: 433.92, rate: 1M}]\n",
           ":3:13: radios[].bands[].center: 433.92 Hz is no centre; with its unit it is 433.92M");
    refuse("radios:\n  - device: driver=x\n    bands: [{center: 1M}]\n",
           ":3:13: radios[].bands[].rate: missing; write for example rate: 1.024M");
    refuse("radios:\n  - device: driver=x\n    bands: [{center: 1M, rate: 1M, lo_offset: 501k}]\n",
           ":3:13: radios[].bands[].lo_offset: more than half the rate; choose a smaller one");
    refuse("radios:\n  - device: driver=x\n    bands: [{center: 1M, rate: 1M, blanker: 6}]\n",
           ":3:13: radios[].bands[].blanker: 6 dB would take noise itself for pulses; choose 9 to "
           "40, or 0 for none");
    refuse(RADIO "    name: a\n  - {name: a, device: file=x.cu8}\n",
           ":7:5: radios[].name: `a` is taken; choose another");
    refuse("radios: [{device: file=x, bands: [{}, {}]}]\n",
           ":1:39: radios[].bands: a recording has one band; remove this one");
    refuse("radios: [{device: driver=x, bands: [{center: 1M, rate: 1M, model: {path: /a}}, "
           "{center: 2M, rate: 1M, model: {path: /b}}, {center: 3M, rate: 1M, model: {path: /c}}, "
           "{center: 4M, rate: 1M, model: {path: /d}}]}]\n",
           ":1:10: radios[].bands[].model.path: more than 4 models in all; use fewer");
    refuse("radios: [{device: driver=x, bands: [{center: 1M, rate: 1M, bias_tee: 2}]}]\n",
           ":1:70: radios[].bands[].bias_tee: neither true nor false");
    refuse(
        "radios:\n  - device: driver=x\n    bands:\n      - {center: 1M, rate: 1M}\n"
        "      - {center: 2M, rate: 1M, antenna: RX}\n",
        ":4:9: radios[].bands[].antenna: missing in `band1`, another band of this radio names one; "
        "write it here or at the radio");
    refuse("radios:\n  - device: driver=x\n    bands:\n      - {name: a, center: 1M, rate: 1M}\n"
           "      - {name: a, center: 2M, rate: 1M}\n",
           ":5:9: radios[].bands[].name: `a` is taken; choose another");
    refuse("radios: [{device: driver=x, bands: [{center: 1M, rate: 1M, dwell: 100ms}]}]\n",
           ":1:67: radios[].bands[].dwell: out of bounds; 0.2 to 86400");
    struct at_config *c = load_ok(
        "radios:\n  - device: driver=x\n    antenna: A\n    bands:\n"
        "      - {center: 1M, rate: 1M, dwell: 500ms, ppm: 2}\n"
        "      - {center: 2M, rate: 2M, antenna: RX, gain: 3, settings: 'a=b', bias_tee: true}\n"
        "      - {center: 3M, rate: 1M, bias_tee: false, model: {path: /m}}\n"
        "      - {center: 4M, rate: 1M, model: {path: /m}}\n"); /* the same file: one model */
    const struct at_config_radio *r = &c->radios[0];
    assert_int_equal(r->n_bands, 4);
    const char *models[AT_CONFIG_MAX_MODELS];
    assert_int_equal(at_config_models(c, models), 2);
    assert_string_equal(models[0], c->model.path);
    assert_string_equal(models[1], "/m");
    assert_true(r->bands[0].rate_hz == 1e6 && r->bands[1].rate_hz == 2e6);
    assert_true(r->bands[0].bias_tee == 0 && r->bands[1].bias_tee == 1 &&
                r->bands[2].bias_tee == -1);
    assert_true(r->settle_s == 0.01 && r->bands[0].dwell_s == 0.5 && r->bands[1].dwell_s == 5);
    assert_true(r->bands[0].ppm == 2 && isnan(r->bands[1].ppm));
    assert_string_equal(r->bands[1].antenna, "RX");
    assert_string_equal(r->bands[1].settings, "a=b");
    at_config_destroy(c);
}

static void test_yaml_is_kept_within_limits(void **state)
{
    refuse("log: {level: info}\nlog: {format: json}\n", ":2:1: log: given twice; remove one");
    refuse("log: {level: info, level: info}\n", ":1:20: level: given twice; remove one");
    refuse("log: &x {level: info}\n",
           ":1:6: anchors and tags are not taken; write the value plainly");
    refuse("log: {level: &x info}\n",
           ":1:14: anchors and tags are not taken; write the value plainly");
    refuse("log: {level: *x}\n", ":1:14: aliases are not taken; write the value out");
    refuse("log: {level: !!str info}\n",
           ":1:14: anchors and tags are not taken; write the value plainly");
    refuse("log: !x {}\n", ":1:6: anchors and tags are not taken; write the value plainly");
    refuse("log: {}\n---\nlog: {}\n", ":2:1: a second document; keep one per file");
    refuse("[a]\n", ":1:1: a list; write `key: value` lines");
    refuse("hello\n", ":1:1: a lone value; write `key: value` lines");
    refuse("? [a]\n: b\n", ":1:3: a key must be a plain word");
    refuse_bytes("log:\n  a\0b: 1\n", 13, -EINVAL, ":2:4: NUL byte; save the file as UTF-8 text");
    refuse_bytes("\xff\xfel\0", 4, -EINVAL, ":1:1: UTF-16; save the file as UTF-8");
    refuse("log:\n\tlevel: info\n", ":2:1: not YAML: found character that cannot start any token; "
                                    "check indentation, colons and quotes");
    refuse("log: \"open\n",
           ":2:1: not YAML: found unexpected end of stream; check indentation, colons and quotes");
    refuse("log: \xff\n",
           ":1:1: not YAML: invalid leading UTF-8 octet; check indentation, colons and quotes");
    struct at_config *c = load_ok("log:\r\n  level: debug\r\n");
    assert_string_equal(c->log.level, "debug");
    at_config_destroy(c);
}

static void test_size_depth_and_number_have_ceilings(void **state)
{
    static char big[1024 * 1024 + 1];
    const size_t n = sizeof big;
    memset(big, '#', n);
    refuse_bytes(big, n, -E2BIG, ": larger than 1 MiB; this is no configuration");
    write_bytes(path, big, n - 1);
    struct at_config *c = NULL;
    struct at_error err;
    assert_int_equal(at_config_load(path, &err, &c), 0); /* one comment of exactly 1 MiB */
    at_config_destroy(c);
    /* deep nesting in an unknown place is refused at its first key, so it is tried below a known
     * list */
    strcpy(big, "soapy: {modules: ");
    memset(big + 17, '[', 100000);
    refuse_bytes(big, 100017, -EINVAL,
                 ":1:19: soapy.modules: takes no list or mapping here; write plain values");
    size_t at = (size_t)sprintf(big, "soapy:\n  modules:\n");
    for (int i = 0; i < 9; i++)
        at += (size_t)sprintf(big + at, "  - /m%d\n", i);
    refuse_bytes(big, at, -EINVAL, ":11:5: soapy.modules: more than 8 items; remove some");
    at = (size_t)sprintf(big, "radios:\n");
    for (int i = 0; i < 17; i++)
        at += (size_t)sprintf(big + at, "- {}\n");
    refuse_bytes(big, at, -EINVAL, ":18:3: radios: more than 16; remove some");
}

static void test_only_a_regular_file_is_read(void **state)
{
    struct at_error err;
    struct at_config *c = NULL;
    char name[96], want[200];
    assert_int_equal(at_config_load("/nonexistent/a.yaml", &err, &c), -ENOENT);
    assert_string_equal(err.text,
                        "/nonexistent/a.yaml: No such file or directory; name an existing file");
    const char *others[] = {dir, "/dev/zero", "/dev/null"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(at_config_load(others[i], &err, &c), -EINVAL);
        snprintf(want, sizeof want, "%s: not a regular file; name a YAML file", others[i]);
        assert_string_equal(err.text, want);
    }
    snprintf(name, sizeof name, "%s/fifo", dir);
    assert_int_equal(mkfifo(name, 0600), 0); /* nobody writes: a plain open would wait for ever */
    assert_int_equal(at_config_load(name, &err, &c), -EINVAL);
    assert_null(c);
}

static void test_conf_d_overrides_values_and_adds_lists(void **state)
{
    char name[96];
    snprintf(name, sizeof name, "%s/conf.d", dir);
    assert_int_equal(mkdir(name, 0700), 0);
    snprintf(name, sizeof name, "%s/conf.d/20-b.yaml", dir);
    write_bytes(name, "log: {level: error}\n", 20);
    snprintf(name, sizeof name, "%s/conf.d/10-a.yaml", dir);
    const char text[] =
        "log: {level: debug}\nsoapy: {modules: [m]}\nradios: [{device: file=y.cu8}]\n";
    write_bytes(name, text, strlen(text));
    struct at_config *c =
        load_ok("log: {level: warning, format: json}\nsoapy: {modules: [/x]}\n" RADIO);
    assert_string_equal(c->log.level, "error");
    assert_string_equal(c->log.format, "json");
    assert_int_equal(c->n_radios, 2);
    assert_int_equal(c->soapy.n_modules, 2);
    char want[200];
    snprintf(want, sizeof want, "%s/conf.d/y.cu8", dir);
    assert_string_equal(c->radios[1].file, want); /* counted from its own file */
    snprintf(want, sizeof want, "%s/conf.d/m", dir);
    assert_string_equal(c->soapy.modules[1], want);
    at_config_destroy(c);
    write_bytes(name, "log: {x: 1}\n", 12);
    struct at_error err;
    c = NULL;
    assert_int_equal(at_config_load(path, &err, &c), -EINVAL);
    snprintf(want, sizeof want, "%s:1:7: log.x: unknown key; known here: level, format", name);
    assert_string_equal(err.text, want);
    snprintf(name, sizeof name, "rm -r %s/conf.d", dir);
    assert_int_equal(system(name), 0);
}

/* A link to itself can't be opened by anybody, root included. */
static void test_a_conf_d_that_cannot_be_read_is_refused(void **state)
{
    char name[96], want[200];
    struct at_error err = {""};
    struct at_config *c = NULL;
    at_config_destroy(load_ok(RADIO));
    snprintf(name, sizeof name, "%s/conf.d", dir);
    assert_int_equal(symlink("conf.d", name), 0);
    assert_int_equal(at_config_load(path, &err, &c), -ELOOP);
    snprintf(want, sizeof want,
             "%s: Too many levels of symbolic links; let attuned read it, or remove it", name);
    assert_string_equal(err.text, want);
    assert_int_equal(unlink(name), 0);
    write_bytes(name, "", 0); /* no folder */
    at_config_destroy(load_ok(RADIO));
    assert_int_equal(unlink(name), 0);
}

static void test_bands_have_a_ceiling(void **state)
{
    char text[4096] = "radios:\n  - {device: file=x.cu8, name: a, bands: [";
    for (int i = 0; i <= AT_CONFIG_MAX_BANDS; i++)
        strcat(text, i ? ", {name: b}" : "{name: b}");
    strcat(text, "]}\n");
    struct at_error err = {""};
    struct at_config *c = NULL;
    write_bytes(path, text, strlen(text));
    assert_int_equal(at_config_load(path, &err, &c), -EINVAL);
    assert_non_null(strstr(err.text, "radios[].bands: more than"));
}

static void test_conf_d_is_found_by_its_name_alone(void **state)
{
    char name[160], old[64];
    snprintf(name, sizeof name, "%s/[a*b?]", dir); /* a folder's name is no pattern */
    assert_int_equal(mkdir(name, 0700), 0);
    memcpy(old, path, sizeof old);
    snprintf(path, sizeof path, "%s/[a*b?]/a.yaml", dir);
    snprintf(name, sizeof name, "%s/[a*b?]/conf.d", dir);
    assert_int_equal(mkdir(name, 0700), 0);
    for (int i = 0; i < 65; i++) {
        snprintf(name, sizeof name, "%s/[a*b?]/conf.d/%02d.yaml", dir, i);
        write_bytes(name, "log: {level: error}\n", 20);
        if (i == 63) {
            struct at_config *c =
                load_ok("log: {level: debug}\nhttp: {metrics_listen: \"127.0.0.1:9100\"}\n");
            assert_string_equal(c->log.level, "error");
            assert_string_equal(c->http.metrics_host, "127.0.0.1");
            at_config_destroy(c);
        }
    }
    struct at_error err;
    struct at_config *c = NULL;
    assert_int_equal(at_config_load(path, &err, &c), -E2BIG);
    assert_non_null(strstr(err.text, "more than 64 files in conf.d beside it; remove some"));
    snprintf(name, sizeof name, "rm -r '%s/[a*b?]'", dir);
    assert_int_equal(system(name), 0);
    memcpy(path, old, sizeof path);
}

static void test_what_is_printed_loads_to_the_same(void **state)
{
    struct at_config *a = load_ok(
        "site: {name: \"a \\\"b\\\" \\\\ \xc3\xa9\", latitude: 48.123456789012}\nsoapy: {modules: "
        "[m, ../n]}\n"
        "http: {timeout: 1234.5ms, token_file: t, allowed_hosts: [a.b, c]}\nmodel: {window: 2048, "
        "backend: latent, path: "
        "m.st}\n"
        "radios:\n  - {device: 'driver=a,label=\"b\"', settings: 'x=1,y=2', channel: 1, bands: [\n"
        "    {center: 433.920001M, rate: 1.023999M, gain: 'LNA=20,VGA=12', ignore: [1.5-2.25, "
        "3G-3.1G], watch: [4-5.5]}]}\n"
        "  - {device: driver=b, bands: [{center: 0, rate: 8k, gain: -3.3}]}\n"
        "  - {device: file=/x/y.wav}\n  - {device: file=r.cu8, format: cu8, bands: [{rate: "
        "250k}]}\n");
    FILE *f = fopen(path, "w");
    assert_int_equal(at_config_print(a, f), 0);
    fclose(f);
    struct at_config *b = NULL;
    struct at_error err = {""};
    if (at_config_load(path, &err, &b) < 0)
        fail_msg("%s", err.text);
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    for (size_t i = 0; i < sizeof *a; i++)
        if (x[i] != y[i])
            fail_msg("byte %zu: %02x, and %02x after the round trip", i, x[i], y[i]);
    at_config_destroy(a);
    at_config_destroy(b);
}

static void test_the_shipped_file_is_the_table(void **state)
{
    if (strncmp(at_config_table_find("model.path")->preset, "/usr/share/", 11) != 0)
        skip(); /* the committed file has Debian's paths */
    char name[1024], *want = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&want, &n);
    assert_int_equal(at_config_print_shipped(f), 0);
    fclose(f);
    snprintf(name, sizeof name, "%s/conf/attuned.yaml", getenv("ATTUNE_SRC"));
    f = fopen(name, "r");
    assert_non_null(f);
    char *have = calloc(1, n + 2);
    assert_int_equal(fread(have, 1, n + 1, f), n);
    fclose(f);
    assert_string_equal(have, want); /* else: build/conf/print-conf > conf/attuned.yaml */
    struct at_config *c = load_ok(want);
    assert_int_equal(c->n_radios, 1);
    at_config_destroy(c);
    free(have);
    free(want);
}

static void test_presets_follow_the_folders_of_the_service(void **state)
{
    setenv("CACHE_DIRECTORY", "/var/cache/attune-roof", 1);
    struct at_config *c = load_ok("site: {name: a}\n");
    assert_string_equal(c->cache_dir, "/var/cache/attune-roof");
    at_config_destroy(c);
    c = load_ok("cache_dir: /elsewhere\n"); /* what is written counts */
    assert_string_equal(c->cache_dir, "/elsewhere");
    at_config_destroy(c);
    setenv("CACHE_DIRECTORY", "/a:/b", 1); /* several: none is the one */
    c = load_ok("site: {name: a}\n");
    assert_string_equal(c->cache_dir, "/var/cache/attune");
    at_config_destroy(c);
    unsetenv("CACHE_DIRECTORY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_preset_is_one_that_its_own_key_takes),
        cmocka_unit_test(test_every_key_stands_in_the_struct_that_its_path_names),
        cmocka_unit_test(test_an_empty_file_is_the_defaults),
        cmocka_unit_test(test_the_words_of_the_design_come_out_as_numbers),
        cmocka_unit_test(test_unknown_keys_name_their_place_and_the_nearest),
        cmocka_unit_test(test_bad_values_name_their_place_and_the_remedy),
        cmocka_unit_test(test_what_only_the_whole_shows_is_found),
        cmocka_unit_test(test_yaml_is_kept_within_limits),
        cmocka_unit_test(test_size_depth_and_number_have_ceilings),
        cmocka_unit_test(test_only_a_regular_file_is_read),
        cmocka_unit_test(test_conf_d_overrides_values_and_adds_lists),
        cmocka_unit_test(test_a_conf_d_that_cannot_be_read_is_refused),
        cmocka_unit_test(test_bands_have_a_ceiling),
        cmocka_unit_test(test_conf_d_is_found_by_its_name_alone),
        cmocka_unit_test(test_what_is_printed_loads_to_the_same),
        cmocka_unit_test(test_the_shipped_file_is_the_table),
        cmocka_unit_test(test_presets_follow_the_folders_of_the_service),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
