/* Which radios are there: each module asked in a helper process of its own, one after the other.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/source/process.h"

#define ASK_NS      (15 * AT_NS_PER_S)
#define MODULES_MAX 256

struct asking {
    const struct at_soapy_seen *seen;
    struct at_process process;
    char why[1024];   /* what it said when it gave up */
    char newest[400]; /* line that the driver has printed */
};

static void keep_line(void *ctx, const char *text)
{
    struct asking *a = ctx;
    snprintf(a->newest, sizeof a->newest, "%s", text);
}

/* False: nothing more will come. */
static bool hear(struct asking *a)
{
    struct at_helper_message m;
    int r;
    while ((r = at_process_receive(&a->process, &m)) > 0) {
        if (m.word == AT_WORD_FOUND)
            a->seen->found(a->seen->ctx, m.text, m.label);
        else if (m.word == AT_WORD_FAILED)
            snprintf(a->why, sizeof a->why, "%s", m.text);
    }
    return r == 0;
}

static void watch(struct asking *a)
{
    int64_t until = at_clock_mono_ns() + ASK_NS;
    bool lives = true;
    while (!at_process_ended(&a->process) && at_clock_mono_ns() < until) {
        struct pollfd fds[2] = {{.fd = lives ? a->process.socket : -1, .events = POLLIN},
                                {.fd = a->process.log, .events = POLLIN}};
        poll(fds, 2, 50);
        if (fds[1].revents && !at_process_read_log(&a->process, keep_line, a))
            lives = false;
        lives = lives && hear(a);
        if (!lives) /* it is on its way out: no need to spin */
            poll(NULL, 0, 5);
    }
    hear(a);
    at_process_read_log(&a->process, keep_line, a);
}

/* what: the path of a module, or the name of a driver. */
static int ask(const char *what, bool is_module, const char *const *folders,
               const struct at_soapy_seen *seen, struct at_error *err)
{
    struct asking a = {.seen = seen};
    const char *slash = strrchr(what, '/'), *name = slash ? slash + 1 : what;
    int r = at_process_init(&a.process, 0, err);
    if (r < 0)
        return r;
    struct at_radio_orders *o = &a.process.page->orders;
    o->mode = AT_HELPER_FIND;
    o->has_module = is_module;
    o->has_driver = !is_module;
    snprintf(o->module, sizeof o->module, "%s", is_module ? what : "");
    snprintf(o->driver, sizeof o->driver, "%s", is_module ? "" : what);
    if ((r = at_process_put_folders(o, folders)) < 0)
        at_error_set(err, r, "too many folders of modules");
    else
        r = at_process_start(&a.process, name, err);
    if (r == 0) {
        char fate[64];
        watch(&a);
        bool ended = at_process_ended(&a.process);
        at_process_kill(&a.process);
        if (!ended)
            snprintf(a.why, sizeof a.why, "hangs; it was ended after %d s",
                     (int)(ASK_NS / AT_NS_PER_S));
        else if (!a.why[0] && a.process.status)
            snprintf(a.why, sizeof a.why, "%s%s%.300s",
                     at_process_fate(&a.process, fate, sizeof fate), a.newest[0] ? ": " : "",
                     a.newest);
        if (a.why[0])
            seen->failed(seen->ctx, name, a.why);
    }
    at_process_close(&a.process);
    at_process_unmap(&a.process);
    return r;
}

struct paths {
    char *path[MODULES_MAX];
    size_t n;
};

static void add_path(void *ctx, const char *path)
{
    struct paths *p = ctx;
    if (p->n < MODULES_MAX && (p->path[p->n] = strdup(path)))
        p->n++;
}

int at_soapy_enumerate(const char *drivers, const char *const *modules,
                       const struct at_soapy_seen *seen, struct at_error *err)
{
    int r = 0;
    if (!at_soapy_driver())
        return at_error_set(err, -ENOTSUP,
                            "built without SoapySDR: radios need a build with -Dsoapy=enabled");
    if (!drivers) {
        struct paths all = {.n = 0};
        at_soapy_list_modules(modules, add_path, &all);
        for (size_t i = 0; i < all.n; i++) {
            r = r ? r : ask(all.path[i], true, NULL, seen, err);
            free(all.path[i]);
        }
        return r;
    }
    char list[256], *save = NULL;
    if (snprintf(list, sizeof list, "%s", drivers) >= (int)sizeof list)
        return at_error_set(err, -E2BIG, "too many drivers named");
    for (char *d = strtok_r(list, ", ", &save); d && r == 0; d = strtok_r(NULL, ", ", &save))
        r = ask(d, false, modules, seen, err);
    return r;
}
