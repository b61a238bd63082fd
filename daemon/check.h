/* attuned --check. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_CHECK_H
#define AT_DAEMON_CHECK_H

#include "lib/config/config.h"

/* Prints one line per finding to stdout ("ok ..." or "BAD ..."): token, files, model, what fits the
 * budget on this host. Returns an exit code. */
int at_check_run(const struct at_config *config);
/* Reads the token file, first line, into out (n). 0 (empty out where there is no file configured)
 * or negative errno. */
int at_check_read_token(const struct at_config *config, char *out, size_t n, struct at_error *err);

#endif
