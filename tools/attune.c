/* attune: the command line for people. SPDX-License-Identifier: GPL-3.0-or-later */
#include <signal.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/config/value.h"
#include "lib/source/helper.h"
#include "tools/tools.h"

static void print_help(FILE *out)
{
    fprintf(out, "Usage: attune COMMAND [OPTION]... [ARGUMENT]...\n\n"
                 "Classifies what is on the air: FFT power spectra, a small transformer, a latency "
                 "budget.\n\n"
                 "Commands:\n");
    for (size_t i = 0; at_commands[i]; i++)
        fprintf(out, "  %s%-10s%s %s\n", at_sgr(out, "1"), at_commands[i]->name, at_sgr(out, "0"),
                at_commands[i]->summary);
    fprintf(out, "\n`attune COMMAND --help` tells more. --version prints the version.\n"
                 "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 bad configuration.\n");
}

static int unknown_command(const char *name)
{
    char shown[48];
    const struct at_command *near = NULL;
    size_t n = strlen(name);
    unsigned best = n < 4 ? 2 : (unsigned)(n / 2) + 1;
    at_value_quote(name, shown);
    for (size_t i = 0; n < 64 && at_commands[i]; i++) {
        unsigned d = at_value_distance(name, at_commands[i]->name);
        if (d < best) {
            best = d;
            near = at_commands[i];
        }
    }
    if (near)
        return at_fail(NULL, AT_EXIT_USAGE, "unknown command %s; did you mean `attune %s`?", shown,
                       near->name);
    return at_fail(NULL, AT_EXIT_USAGE, "unknown command %s", shown);
}

static const struct at_command *find(const char *name)
{
    for (size_t i = 0; at_commands[i]; i++)
        if (strcmp(at_commands[i]->name, name) == 0)
            return at_commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    int helped = at_helper_main(argc, argv);
    if (helped >= 0)
        return helped;
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write */
    if (argc < 2)
        return print_help(stderr), AT_EXIT_USAGE;
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0)
        return puts("attune " AT_VERSION) == EOF || fflush(stdout) != 0 ? AT_EXIT_FAILED
                                                                        : AT_EXIT_OK;
    const struct at_command *c = find(name);
    int help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
    if (help && argc == 2) {
        print_help(stdout);
        return fflush(stdout) == 0 ? AT_EXIT_OK : AT_EXIT_FAILED;
    }
    if (help) { /* attune help verify = attune verify --help */
        char *args[] = {argv[2], "--help", NULL};
        c = find(argv[2]);
        return c ? c->run(2, args) : unknown_command(argv[2]);
    }
    if (name[0] == '-')
        return at_fail(NULL, AT_EXIT_USAGE, "unknown option %.40s", name);
    if (!c)
        return unknown_command(name);
    int code = c->run(argc - 1, argv + 1);
    if (fflush(stdout) != 0 && code == AT_EXIT_OK)
        code = at_fail(NULL, AT_EXIT_FAILED, "standard output: %s", strerror(errno));
    return code;
}
