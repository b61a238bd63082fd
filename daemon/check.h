/* attuned --check. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_CHECK_H
#define AT_DAEMON_CHECK_H

#include "lib/config/bandplan.h"
#include "lib/config/config.h"

/* Prints one line per finding to stdout ("ok ..." or "BAD ..."): token, files, model, what fits the
 * budget on this host. Returns an exit code. */
int at_check_run(const struct at_config *config);
/* Where the token stands: http.token_file, else systemd's credential (fixed: not read again on
 * change), else "". */
const char *at_check_token_file(const struct at_config *config, bool *ret_fixed);
/* 0 where both cert and key of http.tls are set, or neither; else -EINVAL. */
int at_check_tls_pair(const struct at_config *config, struct at_error *err);
/* A small text file, malloc's, the caller's. key: of the configuration, for err. */
int at_check_read_file(const char *key, const char *path, char **ret_text, struct at_error *err);
/* The band plan, the caller's. *ret_plan NULL with 0: bandplan is "", or its default, which is not
 * there (ret_missing). Else one that can't be read is an error that names the key. */
int at_check_load_bandplan(const struct at_config *config, struct at_error *err,
                           struct at_bandplan **ret_plan, bool *ret_missing);

#endif
