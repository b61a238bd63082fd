/* Inside the room: where a SigMF archive holds its recording.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_ARCHIVE_H
#define AT_SOURCE_ARCHIVE_H

#include <stdint.h>

#include "lib/base/err.h"

/* Bytes of the file from its beginning. */
struct at_archive_part {
    uint64_t offset, size;
};

struct at_archive {
    struct at_archive_part meta, data;
    uint64_t missing; /* bytes that the data's header promises and the file does not hold */
};

/* fd: open on a tar (ustar, pax or GNU's) of size bytes, which path names in errors. Its one
 * .sigmf-meta and one .sigmf-data, in any order; what else is in it is passed over. -EINVAL: none,
 * several, compressed, sparse, cut short in its headers or metadata; the error says what to do. Any
 * thread. */
int at_archive_find(const char *path, int fd, uint64_t size, struct at_error *err,
                    struct at_archive *ret);

#endif
