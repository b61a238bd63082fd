/* A configuration and a band plan of any bytes; what loads must print and load again.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/config/bandplan.h"
#include "lib/config/config.h"
#include "tests/fuzz/fuzz.h"

static void load_again(const struct at_config *config)
{
    char path[64];
    struct at_error err;
    struct at_config *again = NULL;
    int fd = memfd_create("again", MFD_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (at_config_print(config, f) < 0 || at_config_load(path, &err, &again) < 0)
        abort();
    at_config_destroy(again);
    fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    struct at_error err;
    struct at_config *config = NULL;
    struct at_bandplan *plan = NULL;
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (at_config_load(path, &err, &config) == 0)
        load_again(config);
    at_config_destroy(config);
    if (at_bandplan_load(path, &err, &plan) == 0)
        at_bandplan_find(plan, "gfsk", 161.975e6, 12e3);
    at_bandplan_destroy(plan);
    close(fd);
    return 0;
}
