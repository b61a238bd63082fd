/* All that is said to systemd and taken from it: readiness, watchdog, a passed listener, journald.
 * systemd.c is the only file that knows libsystemd; nothing happens where there is none.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_SYSTEMD_H
#define AT_DAEMON_SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/base/err.h"

/* ---- the service's state, sd_notify(3); main thread ---- */

/* Interval at which the watchdog wants to be fed, half of its limit, in ns; 0: not at all. */
int64_t at_systemd_watchdog_ns(void);
void at_systemd_ready(void);
/* A reload begins; at_systemd_ready() says that it is over. */
void at_systemd_reloading(void);
void at_systemd_stopping(void);
/* One line for systemctl status. */
void at_systemd_status(const char *text);
void at_systemd_feed(void);

/* ---- a passed listener, sd_listen_fds(3) ---- */

/* The listening socket that a socket unit passed: the descriptor, the caller's from now on, 0 where
 * none was passed, or negative errno with err where what was passed cannot be served (more than
 * one, or no listening stream socket). Clears the variables, so that no child takes it for its own.
 * Main thread, once, before others start. */
int at_systemd_take_listener(struct at_error *err);

/* ---- journald ---- */

/* Whether descriptor fd is journald's stream, as $JOURNAL_STREAM says (systemd.exec(5)). */
bool at_systemd_is_journal(int fd);
/* One entry of fields "KEY=value" (n of them; borrowed). 0 or negative errno. Any thread. */
int at_systemd_journal(const struct iovec *fields, size_t n);

#endif
