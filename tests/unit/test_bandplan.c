/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/config/bandplan.h"

static struct at_bandplan *load_shipped(void)
{
    char path[1024];
    struct at_error err = {""};
    struct at_bandplan *plan = NULL;
    snprintf(path, sizeof path, "%s/conf/bandplan.yaml", getenv("ATTUNE_SRC"));
    if (at_bandplan_load(path, &err, &plan) < 0)
        fail_msg("%s", err.text);
    return plan;
}

static void test_class_frequency_and_bandwidth_all_count(void **state)
{
    static const struct {
        const char *class_name;
        double center_hz, bandwidth_hz;
        const char *service;
    } cases[] = {
        {"gfsk", 161.975e6, 12e3, "AIS"},
        {"gfsk", 162.05e6, 30e3, "AIS"}, /* bounds are within */
        {"gfsk", 162.0500001e6, 12e3, NULL},
        {"gfsk", 161.975e6, 300e3, NULL},
        {"nfm", 161.975e6, 12e3, "marine VHF"},
        {"wfm", 98.5e6, 180e3, "FM broadcast"},
        {"am", 120.5e6, 6e3, "airband voice"},
        {"ppm", 1090e6, 2e6, "Mode S / ADS-B"},
        {"ofdm", 227.36e6, 1.536e6, "DAB"},
        {"ook", 433.92e6, 20e3, "remote or sensor, 433 MHz"},
        {"css", 868.1e6, 125e3, "LoRaWAN"},
        {"fsk4", 446.1e6, 7e3, "dPMR446 / DMR446"},
        {"afsk", 144.8e6, 10e3, "APRS"},
        {"psk_qam", 393e6, 22e3, "TETRA (public safety)"},
        {"gfsk", 0, 12e3, NULL}, /* centre not known */
        {"gf", 161.975e6, 12e3, NULL},
        {"", 161.975e6, 12e3, NULL},
        {"noise", 161.975e6, 12e3, NULL},
    };
    struct at_bandplan *plan = load_shipped();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *s =
            at_bandplan_find(plan, cases[i].class_name, cases[i].center_hz, cases[i].bandwidth_hz);
        if ((s == NULL) != (cases[i].service == NULL) || (s && strcmp(s, cases[i].service) != 0))
            fail_msg("%s at %.0f Hz, %.0f Hz wide: %s, expected %s", cases[i].class_name,
                     cases[i].center_hz, cases[i].bandwidth_hz, s ? s : "none",
                     cases[i].service ? cases[i].service : "none");
    }
    assert_null(at_bandplan_find(NULL, "gfsk", 161.975e6, 12e3));
    assert_true(at_bandplan_count(plan) >= 100);
    at_bandplan_destroy(plan);
}

static void refuse(const char *text, const char *message)
{
    char path[] = "/tmp/attune-plan-XXXXXX", want[600];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct at_error err = {""};
    struct at_bandplan *plan = NULL;
    int r = at_bandplan_load(path, &err, &plan);
    unlink(path);
    snprintf(want, sizeof want, "%s%s", path, message);
    assert_string_equal(err.text, want);
    assert_int_equal(r, -EINVAL);
    assert_null(plan);
}

static void test_bad_lines_name_their_place(void **state)
{
    refuse("service: []\n", ":1:1: service: unknown key; nearest is `services`");
    refuse("services: x\n", ":1:11: services: takes a list of lines, not a value");
    refuse("services: [x]\n", ":1:12: services: takes a list of lines, not a value");
    refuse("services:\n  - {clas: a}\n",
           ":2:6: services[].clas: unknown key; known here: class, f, bandwidth, service");
    refuse("services:\n  - {class: a, f: 2M-1M}\n",
           ":2:19: services[].f: no range of frequencies; write for example 161.95M-162.05M");
    refuse("services:\n  - {class: a, service: b}\n", ":2:26: services[].f: missing; add it");
    refuse("services:\n  - {f: 1M-2M, service: b}\n", ":2:26: services[].class: missing; add it");
    refuse("services:\n  - {f: 1M-2M, class: b}\n", ":2:24: services[].service: missing; add it");
    refuse("services:\n  - {service: \"a\\eb\"}\n",
           ":2:15: services[].service: holds a control character; remove it");
    refuse("services:\n  - {class: [a]}\n",
           ":2:13: services: not a list of lines; write - {class: gfsk, f: 1M-2M, "
           "bandwidth: 1k-2k, service: NAME}");
}

static void test_lines_have_a_ceiling(void **state)
{
    struct at_error err = {""};
    struct at_bandplan *plan = NULL;
    for (int n = 480; n <= 481; n++) {
        char path[] = "/tmp/attune-plan-XXXXXX";
        FILE *f = fdopen(mkstemp(path), "w");
        fputs("services:\n", f);
        for (int i = 0; i < n; i++)
            fputs("  - {class: a, f: 1M-2M, service: b}\n", f);
        fclose(f);
        assert_int_equal(at_bandplan_load(path, &err, &plan), n == 480 ? 0 : -E2BIG);
        unlink(path);
        if (n == 480)
            assert_int_equal(at_bandplan_count(plan), 480);
        at_bandplan_destroy(plan);
        plan = NULL;
    }
    assert_non_null(strstr(err.text, "services: more than 480 lines; remove some"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_class_frequency_and_bandwidth_all_count),
        cmocka_unit_test(test_bad_lines_name_their_place),
        cmocka_unit_test(test_lines_have_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
