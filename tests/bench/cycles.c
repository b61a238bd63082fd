/* A radio that is unplugged and comes back, N times with time compressed 50-fold: what does the
 * program hold at the end that it did not hold at the beginning? cycles MODULES [N]: exit 1 where
 * status was wrong or anything leaked. SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/source/helper.h"
#include "lib/source/source.h"
#include "soapy-sim/counts.h"

#define RATE    1e6
#define CHUNK   4096
#define SETTLE  10 /* cycles before the first look */
#define WAIT_NS (60 * AT_NS_PER_S)

struct held {
    unsigned descriptors, children, threads;
    long rss_kb, shared_kb;
};

static unsigned count_entries(const char *folder)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static long status_kb(const char *key)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kb = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

static struct held look(void)
{
    char path[64], text[4096] = "";
    struct held h = {.descriptors = count_entries("/proc/self/fd"),
                     .threads = count_entries("/proc/self/task") - 2,
                     .rss_kb = status_kb("RssAnon:"),
                     .shared_kb = status_kb("RssShmem:")};
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "/proc/self/task/%.16s/children", e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (f && fgets(text, sizeof text, f))
            for (char *c = text; *c; c++)
                h.children += *c == ' ';
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return h;
}

/* Reads until the state is one of two. False: it never was. */
static bool read_until(struct at_source *s, enum at_source_state a, enum at_source_state b,
                       uint64_t *ret_n)
{
    static float iq[2 * CHUNK];
    for (int64_t begin = at_clock_mono_ns(); at_clock_mono_ns() - begin < WAIT_NS;) {
        struct at_read got = {0};
        struct at_error err;
        if (s->ops->read(s, iq, CHUNK, 5, &got, &err) == -EAGAIN)
            usleep(500);
        *ret_n += got.n;
        enum at_source_state state = s->ops->get_state(s);
        if (state == a || state == b)
            return true;
    }
    return false;
}

/* Reads until it was unplugged so often, and that is seen: with time compressed, a machine that
 * lets us wait for a moment looks like a stall as well. */
static bool read_until_unplugged(struct at_source *s, uint64_t times,
                                 const volatile struct attunesim_counts *counts, uint64_t *ret_n)
{
    for (int64_t begin = at_clock_mono_ns(); at_clock_mono_ns() - begin < WAIT_NS;) {
        if (!read_until(s, AT_SOURCE_STALLED, AT_SOURCE_FAILED, ret_n))
            return false;
        if (counts->unplugged >= times)
            return true;
    }
    return false;
}

static volatile struct attunesim_counts *map_counts(char *path)
{
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, sizeof(struct attunesim_counts)) < 0)
        return NULL;
    void *memory = mmap(NULL, sizeof(struct attunesim_counts), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

static void print(const char *when, const struct held *h)
{
    printf("%s: %u descriptors, %u threads, %u children, %ld kB private, %ld kB shared\n", when,
           h->descriptors, h->threads, h->children, h->rss_kb, h->shared_kb);
}

static int run(struct at_source *s, unsigned cycles, const volatile struct attunesim_counts *counts)
{
    struct held before = {0}, after;
    uint64_t n = 0;
    int64_t begin = at_clock_mono_ns();
    for (unsigned i = 0; i < cycles + SETTLE; i++) {
        if (!read_until(s, AT_SOURCE_RUNNING, AT_SOURCE_RUNNING, &n)) {
            fprintf(stderr, "cycle %u: not running again\n", i);
            return 1;
        }
        if (i == SETTLE)
            before = look();
        if (!read_until_unplugged(s, i + 1, counts, &n)) {
            fprintf(stderr, "cycle %u: unplugged, and still said to run\n", i);
            return 1;
        }
    }
    read_until(s, AT_SOURCE_RUNNING, AT_SOURCE_RUNNING, &n);
    after = look();
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    uint64_t sum = l.delivered;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        sum += l.lost[i];
    print("at first", &before);
    print("at last ", &after);
    printf("%u cycles in %.1f s, unplugged %llu times, %llu helpers; requested %llu, delivered "
           "%llu, stall %llu\n",
           cycles, (double)(at_clock_mono_ns() - begin) * 1e-9,
           (unsigned long long)counts->unplugged, (unsigned long long)counts->lives,
           (unsigned long long)l.requested, (unsigned long long)l.delivered,
           (unsigned long long)l.lost[AT_LOST_STALL]);
    bool leaked = after.descriptors > before.descriptors || after.threads > before.threads ||
                  after.children > before.children || after.rss_kb > before.rss_kb + 1024;
    if (leaked || sum != l.requested || l.delivered != n || counts->unplugged < cycles) {
        fprintf(stderr, "FAILED\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int helped = at_helper_main(argc, argv);
    if (helped >= 0)
        return helped;
    char path[] = "/tmp/cycles-XXXXXX", device[256];
    const char *modules[2] = {argc > 1 ? argv[1] : ".", NULL};
    unsigned cycles = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000;
    volatile struct attunesim_counts *counts = map_counts(path);
    snprintf(device, sizeof device,
             "driver=attunesim,scene=tone,counts=%s,script=unplug@30000:60,repeat=1", path);
    struct at_soapy_options o = {.device = device,
                                 .rate_hz = RATE,
                                 .center_hz = 433e6,
                                 .gain_db = NAN,
                                 .modules = modules,
                                 .time_scale = 0.02};
    struct at_error err = {{0}};
    struct at_source *s = NULL;
    int rc = 1;
    if (!counts || at_source_open_soapy(&o, &err, &s) < 0 || s->ops->start(s, &err) < 0)
        fprintf(stderr, "cycles: %s\n", err.text);
    else
        rc = run(s, cycles, counts);
    if (s)
        s->ops->destroy(s);
    unlink(path);
    if (waitpid(-1, NULL, WNOHANG) != -1)
        rc = 1;
    return rc;
}
