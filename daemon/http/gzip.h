/* Compression of answers. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_GZIP_H
#define AT_DAEMON_HTTP_GZIP_H

#include <stdbool.h>
#include <stddef.h>

/* Whether an Accept-Encoding header takes gzip ("gzip", "br, gzip;q=0.5", "*"; not "gzip;q=0"). */
bool at_gzip_accepted(const char *accept_encoding);
/* data (n) as a gzip stream; *ret is malloc's, the caller's. 0, -ENOMEM, or -ENOSPC: it would not
 * be smaller. Any thread. */
int at_gzip(const void *data, size_t n, void **ret, size_t *ret_n);

#endif
