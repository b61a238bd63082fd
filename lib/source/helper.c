/* The helper's main(): takes its orders from shared memory, owns one device for one life of it, and
 * dies with its parent. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/helper.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/pages.h"
#include "lib/source/process.h"
#include "lib/source/recording.h"

#define MODULES_MAX 64

/* Nothing of the parent's is kept open by a driver that outlives it. */
static void close_others(void)
{
    if (syscall(SYS_close_range, AT_HELPER_MEMORY + 1, UINT_MAX, 0) == 0)
        return;
    for (int fd = AT_HELPER_MEMORY + 1; fd < 4096; fd++)
        close(fd);
}

static struct at_radio_page *map_page(size_t *ret_size)
{
    struct stat st;
    if (fstat(AT_HELPER_MEMORY, &st) < 0 || st.st_size < (off_t)AT_PAGE_SIZE)
        return NULL;
    struct at_radio_page *page = at_pages_map(AT_HELPER_MEMORY, (size_t)st.st_size);
    close(AT_HELPER_MEMORY);
    if (!page || page->magic != AT_PAGE_MAGIC)
        return NULL;
    at_pages_bring(page, (size_t)st.st_size);
    *ret_size = (size_t)st.st_size;
    return page;
}

static void list_folders(struct at_radio_orders *o, const char *folders[MODULES_MAX + 1])
{
    size_t n = 0;
    for (char *p = o->modules; *p && n < MODULES_MAX; p += strlen(p) + 1)
        folders[n++] = p;
    folders[n] = NULL;
}

static int run_radio(struct at_radio_page *page)
{
    const char *folders[MODULES_MAX + 1];
    struct at_radio_orders *o = &page->orders;
    char settings[sizeof o->settings + sizeof o->tuning.settings +
                  1]; /* the radio's, then the band's */
    list_folders(o, folders);
    snprintf(settings, sizeof settings, "%s%s%s", o->has_settings ? o->settings : "",
             o->has_settings && o->settings[0] && o->tuning.settings[0] ? "," : "",
             o->tuning.settings);
    struct at_radio r = {
        .driver_ops = at_soapy_driver(),
        .options = {.device = o->device,
                    .rate_hz = o->tuning.rate_hz,
                    .center_hz = o->tuning.center_hz,
                    .gain_db = o->tuning.gain_db,
                    .gains = o->tuning.gains[0] ? o->tuning.gains : NULL,
                    .antenna = o->tuning.antenna[0] ? o->tuning.antenna : NULL,
                    .ppm = o->tuning.ppm,
                    .bias_tee = o->tuning.bias_tee,
                    .settings = settings[0] ? settings : NULL,
                    .modules = folders,
                    .channel = o->channel},
        .tuning = o->tuning,
        .number = o->number,
        .stalled_ns = o->stalled_ns,
        .busy_ns = o->busy_ns,
        .settle_ns = o->settle_ns,
        .ring_bytes = o->ring_bytes,
        .page = page,
        .socket = AT_HELPER_SOCKET,
    };
    if (!r.driver_ops)
        return AT_EXIT_FAILED;
    at_iq_writer_init(&r.ring, (char *)page + AT_PAGE_SIZE, o->ring_bytes);
    return at_radio_run(&r) == 0 ? AT_EXIT_OK : AT_EXIT_FAILED;
}

static void say_found(void *ctx, const char *args, const char *label)
{
    struct at_helper_message m = {.word = AT_WORD_FOUND};
    at_recording_copy_text(m.text, sizeof m.text, args);
    at_recording_copy_text(m.label, sizeof m.label, label);
    send(AT_HELPER_SOCKET, &m, sizeof m, MSG_NOSIGNAL);
}

static int find(struct at_radio_page *page)
{
    const char *folders[MODULES_MAX + 1];
    struct at_radio_orders *o = &page->orders;
    struct at_error err = {{0}};
    list_folders(o, folders);
    int r = at_soapy_find(o->has_module ? o->module : NULL, o->has_driver ? o->driver : NULL,
                          folders, say_found, NULL, &err);
    if (r == 0)
        return AT_EXIT_OK;
    struct at_helper_message m = {.word = AT_WORD_FAILED, .code = r};
    at_recording_copy_text(m.text, sizeof m.text, err.text);
    send(AT_HELPER_SOCKET, &m, sizeof m, MSG_NOSIGNAL);
    return AT_EXIT_FAILED;
}

int at_helper_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--radio-helper") != 0)
        return -1;
    size_t size = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct at_radio_page *page = map_page(&size);
    if (!page) {
        fprintf(stderr, "%s: --radio-helper is for the program itself\n", argv[0]);
        return AT_EXIT_USAGE;
    }
    if (getppid() != page->orders.parent) /* it went before we asked to follow it */
        return AT_EXIT_FAILED;
    close_others();
    fcntl(AT_HELPER_SOCKET, F_SETFD, FD_CLOEXEC);
    /* A signal to the whole group (Ctrl-C, a service's end) is the parent's to act upon. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    page->orders.modules[AT_PAGE_MODULES - 1] = page->orders.modules[AT_PAGE_MODULES - 2] = 0;
    if (page->orders.mode == AT_HELPER_FIND)
        return find(page);
    if (AT_PAGE_SIZE + at_iq_ring_size(page->orders.ring_bytes) > size)
        return AT_EXIT_FAILED;
    return run_radio(page);
}
