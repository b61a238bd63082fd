/* A file that is there whole or not at all: written beside its place, brought to the disk, then
 * named. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_NEWFILE_H
#define AT_BASE_NEWFILE_H

#include <stdio.h>

struct at_newfile {
    FILE *f;                          /* to write to */
    char path[4096], part[4096 + 48]; /* path.PID-NUMBER.part, beside it */
};

/* 0 or -errno (-ENAMETOOLONG). Then at_newfile_close() must follow. Any thread. */
int at_newfile_open(struct at_newfile *n, const char *path);
/* error 0: all was written; it takes its place, over a file that is there. Else it is given up.
 * Returns 0, or the first error, that of buffered writes included; then nothing is left and what
 * stood at the path stands. */
int at_newfile_close(struct at_newfile *n, int error);
/* Both, with len bytes of data between. 0 or -errno. */
int at_newfile_write(const char *path, const void *data, size_t len);

#endif
