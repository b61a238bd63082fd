/* attuned --check. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_CHECK_H
#define AT_DAEMON_CHECK_H

#include "lib/config/config.h"

/* Prints one line per finding to stdout ("ok ..." or "BAD ..."): token, files, model, what fits the
 * budget on this host. Returns an exit code. */
int at_check_run(const struct at_config *config);
/* Where the token stands: http.token_file, else systemd's credential (fixed: not read again on
 * change), else "". */
const char *at_check_token_file(const struct at_config *config, bool *ret_fixed);
/* A small text file, malloc's, the caller's. key: of the configuration, for err. */
int at_check_read_file(const char *key, const char *path, char **ret_text, struct at_error *err);

#endif
