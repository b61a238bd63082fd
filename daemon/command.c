/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/command.h"

#define OF(m) offsetof(struct at_daemon_options, m)

static const struct at_option options[] = {
    {"config", 'c', AT_OPTION_TEXT, OF(config), "FILE",
     "configuration (YAML); conf.d/*.yaml beside it is read after it"},
    {"check", 0, AT_OPTION_FLAG, OF(check), NULL,
     "check configuration, files and model, say what fits the budget, and leave"},
    {"print-config", 0, AT_OPTION_FLAG, OF(print_config), NULL,
     "print the configuration in force and leave"},
    {"exit-when-done", 0, AT_OPTION_FLAG, OF(exit_when_done), NULL,
     "leave when every radio is a file that has ended"},
    {"version", 'V', AT_OPTION_FLAG, OF(version), NULL, "print the version and leave"},
    {0},
};

const struct at_command at_daemon_command = {
    .name = "attuned",
    .program = true,
    .summary = "Classify what the radios of this host receive, and serve it over HTTP",
    .usage = "-c FILE [OPTION]...",
    .details =
        "Takes IQ from the radios of the configuration, finds the emissions in it, says what kind "
        "of signal each is, and answers on http://127.0.0.1:8650 (dashboard, API, metrics) until "
        "SIGTERM or SIGINT. A missing radio doesn't stop it.",
    .examples = "attuned --check -c /etc/attune/attuned.yaml   # is all well?\n"
                "attuned -c /etc/attune/attuned.yaml\n"
                "attuned -c capture.yaml --exit-when-done      # recordings, then leave\n",
    .options = options,
};
