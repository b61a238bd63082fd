/* The simulated receiver through SoapySDR, in a helper process, with its own counts beside it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_SIM_RADIO_H
#define AT_TESTS_SIM_RADIO_H

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/source/helper.h"
#include "lib/source/source.h"
#include "soapy-sim/counts.h"

#define RATE   1e6
#define CHUNK  4096
#define WAIT_S 60 /* a loaded machine is slow, not wrong */

static char module_folder[512], counts_path[64];
static const char *modules[2] = {module_folder, NULL};
static volatile struct attunesim_counts *counts;

/* A fresh file of counts for each radio; mapped here as well. */
static inline void new_counts(void)
{
    if (counts)
        munmap((void *)(uintptr_t)counts, sizeof *counts);
    strcpy(counts_path, "/tmp/attunesim-XXXXXX");
    int fd = mkstemp(counts_path);
    assert_true(fd >= 0 && ftruncate(fd, sizeof *counts) == 0);
    void *memory = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(memory != MAP_FAILED);
    counts = memory;
    close(fd);
}

static inline struct at_source *open_radio(const char *device, struct at_soapy_options *o)
{
    char text[512];
    struct at_error err = {{0}};
    struct at_source *s;
    new_counts();
    snprintf(text, sizeof text, "%s,counts=%s", device, counts_path);
    o->device = text;
    o->modules = modules;
    if (at_source_open_soapy(o, &err, &s) != 0 || s->ops->start(s, &err) != 0)
        fail_msg("%s: %s", device, err.text);
    return s;
}

static inline void close_radio(struct at_source *s)
{
    s->ops->destroy(s);
    unlink(counts_path);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no helper is left */
}

static inline struct at_soapy_options plain(void)
{
    return (struct at_soapy_options){
        .rate_hz = RATE, .center_hz = 433e6, .gain_db = NAN, .time_scale = 1};
}

/* What main() of such a test begins with: the exit code where this process is a helper, or where
 * the build has no SoapySDR (77: skipped); -1: go on. */
static inline int begin_radios(int argc, char **argv)
{
    int helper = at_helper_main(argc, argv);
    if (helper >= 0)
        return helper;
    snprintf(module_folder, sizeof module_folder, "%s/soapy-sim",
             getenv("ATTUNE_BUILD") ? getenv("ATTUNE_BUILD") : ".");
    struct at_error err;
    struct at_source *s;
    struct at_soapy_options o = plain();
    o.device = "driver=attunesim";
    if (at_source_open_soapy(&o, &err, &s) == -ENOTSUP) {
        fprintf(stderr, "skipped: %s\n", err.text);
        return 77;
    }
    s->ops->destroy(s);
    return -1;
}

#endif
