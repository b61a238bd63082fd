/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/http/gzip.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define LEVEL                                                                                      \
    1 /* JSON shrinks to a fifth or so at once; higher levels cost four times for little */
#define GZIP (MAX_WBITS + 16)

bool at_gzip_accepted(const char *accept_encoding)
{
    for (const char *p = accept_encoding; *p;) {
        p += strspn(p, " ,\t");
        size_t n = strcspn(p, ",");
        size_t name = strcspn(p, ",; \t");
        if ((name == 4 && !strncasecmp(p, "gzip", 4)) || (name == 1 && *p == '*')) {
            const char *q = memchr(p, '=', n);
            return !q || strtod(q + 1, NULL) > 0;
        }
        p += n;
    }
    return false;
}

int at_gzip(const void *data, size_t n, void **ret, size_t *ret_n)
{
    z_stream z = {0};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    unsigned char *out = malloc(n);
    z.next_in = (unsigned char *)(uintptr_t)data;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)n;
    int rc = out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
    size_t got = z.total_out;
    deflateEnd(&z);
    if (rc != Z_STREAM_END) {
        free(out);
        return rc == Z_MEM_ERROR ? -ENOMEM : -ENOSPC;
    }
    *ret = out;
    *ret_n = got;
    return 0;
}
