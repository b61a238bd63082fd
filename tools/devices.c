/* attune devices: which radios are there, as lines ready for the config and for `attune listen`.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "lib/source/source.h"
#include "tools/tools.h"

extern const struct at_command at_command_devices;
#define SELF (&at_command_devices)

#define MAX_FOLDERS 16
#define MAX_STRINGS 64

struct job {
    const char *drivers, *modules;
    bool json, broken_output;
    unsigned found, failed, n_strings;
    char *strings[MAX_STRINGS];
};

/* The value of key in "driver=rtlsdr,serial=1", or NULL. New string. */
static char *value_of(const char *args, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = args; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, key, n) == 0 && p[n] == '=')
            return strndup(p + n + 1, strcspn(p + n + 1, ","));
    }
    return NULL;
}

static void print_json(struct job *j, const char *args, const char *label)
{
    char *driver = value_of(args, "driver"), *serial = value_of(args, "serial");
    json_t *o = json_pack("{s:s, s:s*, s:s*, s:s}", "device", args, "driver", driver, "serial",
                          serial, "label", label);
    if (!o || at_json_line(stdout, o) < 0)
        j->broken_output = true;
    free(driver);
    free(serial);
}

/* Whether a device before had the same string; remembers this one. */
static bool is_seen_again(struct job *j, const char *args)
{
    for (unsigned i = 0; i < j->n_strings; i++)
        if (strcmp(j->strings[i], args) == 0)
            return true;
    if (j->n_strings < MAX_STRINGS && (j->strings[j->n_strings] = strdup(args)))
        j->n_strings++;
    return false;
}

static void on_found(void *ctx, const char *args, const char *label)
{
    struct job *j = ctx;
    j->found++;
    if (j->json) {
        print_json(j, args, label);
        return;
    }
    const char *quote = strpbrk(args, " '\"$&;|<>()") ? "'" : "";
    char *driver = value_of(args, "driver");
    printf("%s%s%s\n", at_sgr(stdout, "1"), label, at_sgr(stdout, "0"));
    printf(
        "  - {name: %s%u, device: \"%s\", bands: [{center: 433.92M, rate: 1.024M, gain: auto}]}\n",
        driver ? driver : "radio", j->found, args);
    printf("  attune listen -d %s%s%s -f 433.92M -s 1.024M\n", quote, args, quote);
    if (is_seen_again(j, args))
        printf("  # like one above: give each a serial of its own (rtl_eeprom -s 00000002)\n");
    free(driver);
}

#define OF(m) offsetof(struct job, m)
static const struct at_option options[] = {
    {"driver", 'd', AT_OPTION_TEXT, OF(drivers), "NAME,..",
     "ask these drivers only, such as rtlsdr,hackrf"},
    {"modules", 0, AT_OPTION_TEXT, OF(modules), "DIR,..", "extra folders with SoapySDR modules"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object per device"},
    {0},
};

static void on_failed(void *ctx, const char *module, const char *why)
{
    struct job *j = ctx;
    j->failed++;
    fprintf(stderr, "attune devices: %s: %s\n", module, why);
}

static int run(int argc, char **argv)
{
    struct job j = {0};
    int code, n = at_options_parse(SELF, &j, argc, argv, &code);
    if (n < 0)
        return code;
    if (n > 0)
        return at_fail(SELF, AT_EXIT_USAGE, "unexpected argument '%s'", argv[1]);
    char list[4096] = "", *save = NULL;
    const char *folders[MAX_FOLDERS + 1] = {NULL};
    size_t n_folders = 0;
    if (j.modules && (size_t)snprintf(list, sizeof(list), "%s", j.modules) >= sizeof(list))
        return at_fail(SELF, AT_EXIT_USAGE, "--modules is too long");
    for (char *f = strtok_r(list, ",", &save); f; f = strtok_r(NULL, ",", &save)) {
        if (n_folders == MAX_FOLDERS)
            return at_fail(SELF, AT_EXIT_USAGE, "at most %d folders of modules", MAX_FOLDERS);
        folders[n_folders++] = f;
    }
    struct at_error err = {0};
    struct at_soapy_seen seen = {.found = on_found, .failed = on_failed, .ctx = &j};
    int ret = at_soapy_enumerate(j.drivers, folders, &seen, &err);
    while (j.n_strings > 0)
        free(j.strings[--j.n_strings]);
    if (ret < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    if (fflush(stdout) != 0 || j.broken_output)
        return at_fail(SELF, AT_EXIT_FAILED, "standard output can't be written");
    if (j.found == 0 && j.failed)
        return AT_EXIT_FAILED;
    if (j.found == 0)
        fprintf(stderr,
                "attune devices: no radio found; is it plugged in, its driver installed (apt "
                "install soapysdr-module-rtlsdr, ...), and no other program using it?\n");
    return AT_EXIT_OK;
}

const struct at_command at_command_devices = {
    .name = "devices",
    .summary = "List the radios that are there",
    .usage = "[OPTION]...",
    .details =
        "The lines with a dash go under radios: in the configuration.\nAsks each SoapySDR "
        "module in a process of its own, which may take seconds; a radio that another program "
        "uses may not be listed. Don't run it without --driver while attuned has a radio: "
        "some drivers disturb each other.",
    .examples = "attune devices              # all\n"
                "attune devices -d rtlsdr    # one driver, quickly\n",
    .options = options,
    .run = run,
};
