/* A configuration and a band plan of any bytes; what loads must print and load again.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "lib/config/bandplan.h"
#include "lib/config/config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"

#define PRINTED_MAX (1 << 20)

static void load_again(const struct at_config *config)
{
    static const struct fuzz_file *file;
    static char text[PRINTED_MAX];
    struct at_error err;
    struct at_config *again = NULL;
    FILE *f = fmemopen(text, sizeof text, "w");
    if (!file)
        file = fuzz_file_make("again");
    if (!f || at_config_print(config, f) < 0 || fflush(f) || ferror(f))
        abort();
    fuzz_file_put(file, text, (size_t)ftell(f));
    fclose(f);
    if (at_config_load(file->path, &err, &again) < 0)
        abort();
    at_config_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_file *file;
    struct at_error err;
    struct at_config *config = NULL;
    struct at_bandplan *plan = NULL;
    if (!file)
        file = fuzz_file_make("config");
    fuzz_file_put(file, data, n);
    if (at_config_load(file->path, &err, &config) == 0)
        load_again(config);
    at_config_destroy(config);
    if (at_bandplan_load(file->path, &err, &plan) == 0)
        at_bandplan_find(plan, "gfsk", 161.975e6, 12e3);
    at_bandplan_destroy(plan);
    return 0;
}
