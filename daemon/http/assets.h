/* Files that the build put into the binary. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DAEMON_HTTP_ASSETS_H
#define AT_DAEMON_HTTP_ASSETS_H

#include <stddef.h>

struct at_asset {
    const char *name;          /* path on the server, or "schemas.json" */
    const unsigned char *data; /* n bytes and a NUL */
    size_t n;
};
extern const struct at_asset at_assets[]; /* ends with a NULL name */

/* NULL where there is none. */
const struct at_asset *at_asset_find(const char *name);

#endif
