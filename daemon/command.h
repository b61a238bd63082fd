/* The options of attuned. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_COMMAND_H
#define AT_DAEMON_COMMAND_H

#include "lib/cli/options.h"

struct at_daemon_options {
    const char *config;
    bool check, print_config, exit_when_done, version;
};

/* Its run is NULL: main.c reads the options itself. */
extern const struct at_command at_daemon_command;

#endif
