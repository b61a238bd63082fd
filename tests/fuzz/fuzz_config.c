/* A configuration and a band plan of any bytes; what loads must print and load again.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/config/bandplan.h"
#include "lib/config/config.h"
#include "tests/fuzz/fuzz.h"

#define PRINTED_MAX (1 << 20)

/* One file each for what is loaded and what was printed: a new one, and its first page, would be most of the time. */
struct memory_file {
    int fd;
    char path[64];
};

static void make(struct memory_file *f, const char *name)
{
    f->fd = memfd_create(name, MFD_CLOEXEC);
    if (f->fd < 0)
        abort();
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

static void put(const struct memory_file *f, const void *data, size_t n)
{
    if (pwrite(f->fd, data, n, 0) != (ssize_t)n || ftruncate(f->fd, (off_t)n) < 0)
        abort();
}

static void load_again(const struct at_config *config)
{
    static struct memory_file file = {.fd = -1};
    static char text[PRINTED_MAX];
    struct at_error err;
    struct at_config *again = NULL;
    FILE *f = fmemopen(text, sizeof text, "w");
    if (file.fd < 0)
        make(&file, "again");
    if (!f || at_config_print(config, f) < 0 || fflush(f) || ferror(f))
        abort();
    put(&file, text, (size_t)ftell(f));
    fclose(f);
    if (at_config_load(file.path, &err, &again) < 0)
        abort();
    at_config_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct memory_file file = {.fd = -1};
    struct at_error err;
    struct at_config *config = NULL;
    struct at_bandplan *plan = NULL;
    if (file.fd < 0)
        make(&file, "config");
    put(&file, data, n);
    if (at_config_load(file.path, &err, &config) == 0)
        load_again(config);
    at_config_destroy(config);
    if (at_bandplan_load(file.path, &err, &plan) == 0)
        at_bandplan_find(plan, "gfsk", 161.975e6, 12e3);
    at_bandplan_destroy(plan);
    return 0;
}
