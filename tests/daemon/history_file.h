/* A history file in a folder of its own, for the tests of it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_HISTORY_FILE_H
#define AT_TESTS_HISTORY_FILE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/history/history.h"

static char folder[64], path[96];

static inline int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/attune-history-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/h.db", folder);
    return 0;
}

static inline int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static inline struct at_history *open_it(double keep_s, double max_mb)
{
    struct at_history_config c = {.path = path, .keep_s = keep_s, .max_mb = max_mb};
    struct at_error err;
    struct at_history *h = NULL;
    if (at_history_open(&c, &err, &h))
        fail_msg("%s", err.text);
    return h;
}

static inline struct at_store_query all(void)
{
    return (struct at_store_query){.min_snr_db = -INFINITY};
}

#endif
