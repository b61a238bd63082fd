/* A helper process from outside: made, spoken to, ended. Not a thread's or a radio's business:
 * keeper.c and enumerate.c know what it is for. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_PROCESS_H
#define AT_SOURCE_PROCESS_H

#include <sys/types.h>

#include "lib/source/radio.h"

#define AT_HELPER_SOCKET                                                                           \
    3 /* the descriptors it is born with, beside 0 (null), 1 and 2 (our log)                       \
       */
#define AT_HELPER_MEMORY 4
#define AT_PAGE_SIZE                                                                               \
    ((sizeof(struct at_radio_page) + 4095) / 4096 * 4096) /* the ring begins there */

struct at_process {
    pid_t pid;  /* 0: none, or reaped */
    int status; /* of waitpid, once reaped */
    int socket, log,
        memory; /* -1: none; close-on-exec, never block; memory: until it is handed over */
    struct at_radio_page *page;
    size_t size;
    char line[400]; /* what it has printed of a line */
    size_t n_line;
};

/* Shared memory with a page and a ring of ring_bytes (0: none): a memfd that can neither grow nor
 * shrink, so that nothing the helper does makes our reads fault. Fill page->orders, then
 * at_process_start(). 0 or a negative errno. */
int at_process_init(struct at_process *p, size_t ring_bytes, struct at_error *err);
/* Writes a NULL-terminated list (or NULL) into the orders. -E2BIG. */
int at_process_put_folders(struct at_radio_orders *o, const char *const *folders);
void *at_process_ring(const struct at_process *p);

/* Starts this program anew as `--radio-helper NAME` (readlink /proc/self/exe). The helper dies with
 * the thread that called this. */
int at_process_start(struct at_process *p, const char *name, struct at_error *err);

/* 1: a message; 0: none now; -EPIPE: the helper's end is closed. Texts in it end with NUL and hold
 * no control characters. */
int at_process_receive(struct at_process *p, struct at_helper_message *ret);
int at_process_send(struct at_process *p, const struct at_helper_message *m);

/* Passes each whole line that the helper has printed; at most 64 KiB a call. False: its end is
 * closed. */
bool at_process_read_log(struct at_process *p, void (*line)(void *ctx, const char *text),
                         void *ctx);

/* True once it has ended; reaps it. */
bool at_process_ended(struct at_process *p);
void at_process_kill(struct at_process *p); /* SIGKILL, and reaps */
/* What became of it, for people: "ended", "was killed", "crashed (SIGSEGV)". */
const char *at_process_fate(const struct at_process *p, char *out, size_t n);

/* Closes descriptors; at_process_unmap() gives the memory back, when nobody reads the ring any
 * more. */
void at_process_close(struct at_process *p);
void at_process_unmap(struct at_process *p);

#endif
