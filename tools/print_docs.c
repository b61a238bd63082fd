/* print-docs WHAT: one document on standard output: attune.1, attuned.8, attuned.yaml.5, or the
 * completion of a shell as bash:attune, zsh:attuned, ... SPDX-License-Identifier: GPL-3.0-or-later
 */
#include <string.h>

#include "tools/print_docs.h"
#include "tools/tools.h"

#ifdef AT_HAVE_DAEMON
#include "daemon/command.h"
static const struct at_command *const daemon_command = &at_daemon_command;
#else
static const struct at_command *const daemon_command;
#endif

static int print_completion(const char *shell, const struct at_program *p)
{
    static const struct {
        const char *name;
        void (*print)(const struct at_program *p, FILE *out);
    } shells[] = {{"bash", at_complete_bash}, {"zsh", at_complete_zsh}, {"fish", at_complete_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
        if (strncmp(shell, shells[i].name, strlen(shells[i].name)) == 0) {
            shells[i].print(p, stdout);
            return fflush(stdout) == 0 ? AT_EXIT_OK : AT_EXIT_FAILED;
        }
    return AT_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const struct at_command *const only[] = {daemon_command, NULL};
    const struct at_program attune = {"attune", "classify what is on the air", at_commands};
    const struct at_program attuned = {"attuned", "live radio classifier", only};
    const char *what = argc == 2 ? argv[1] : "", *colon = strchr(what, ':');
    if (colon)
        return print_completion(what, strcmp(colon + 1, "attuned") == 0 ? &attuned : &attune);
    if (strcmp(what, "attune.1") == 0)
        at_manual_attune(&attune, stdout);
    else if (strcmp(what, "attuned.8") == 0 && daemon_command)
        at_manual_attuned(daemon_command, stdout);
    else if (strcmp(what, "attuned.yaml.5") == 0)
        at_manual_config(stdout);
    else
        return AT_EXIT_USAGE;
    return fflush(stdout) == 0 ? AT_EXIT_OK : AT_EXIT_FAILED;
}
