/* The listening socket. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_LISTEN_H
#define AT_DAEMON_HTTP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Whether host (numeric, or "localhost") stays on this machine. */
bool at_listen_is_loopback(const char *host);
/* A bound, listening, non-blocking TCP socket; url (n) gets "http://host:port" with the port that
 * it got. Returns the descriptor or negative errno with err as one line with the remedy. */
int at_listen_open(const char *host, uint16_t port, char *url, size_t n, struct at_error *err);
/* Makes a listening stream socket that was passed (TCP or Unix) fit for serving and says its url
 * ("http://host:port", or "unix:/path"). Returns fd or negative errno with err. */
int at_listen_adopt(int fd, char *url, size_t n, struct at_error *err);
/* Whether only this machine reaches a bound socket: loopback or Unix. */
bool at_listen_is_local(int fd);

#endif
