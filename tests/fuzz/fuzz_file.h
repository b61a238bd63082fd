/* Files that a target writes again for each input: in memory where the host has a folder for that,
 * since a disk would be most of the time, and under a plain path, since each look through
 * /proc/self/fd costs three of those. Removed at exit. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_FUZZ_FILE_H
#define AT_TESTS_FUZZ_FILE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FUZZ_FILES_MAX 4

struct fuzz_file {
    int fd;
    char path[96];
};

static char fuzz_folder[64];
static struct fuzz_file fuzz_files[FUZZ_FILES_MAX];
static int fuzz_files_n;

static void fuzz_files_remove(void)
{
    for (int i = 0; i < fuzz_files_n; i++)
        unlink(fuzz_files[i].path);
    rmdir(fuzz_folder);
}

/* A new, empty file of this name. */
static inline const struct fuzz_file *fuzz_file_make(const char *name)
{
    if (!fuzz_files_n) {
        snprintf(fuzz_folder, sizeof fuzz_folder, "%s/attune-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
        if (!mkdtemp(fuzz_folder) || atexit(fuzz_files_remove))
            abort();
    }
    if (fuzz_files_n == FUZZ_FILES_MAX)
        abort();
    struct fuzz_file *f = &fuzz_files[fuzz_files_n++];
    snprintf(f->path, sizeof f->path, "%s/%s", fuzz_folder, name);
    f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->fd < 0)
        abort();
    return f;
}

/* Cut after, not before: the file keeps its pages. */
static inline void fuzz_file_put(const struct fuzz_file *f, const void *data, size_t n)
{
    if (pwrite(f->fd, data, n, 0) != (ssize_t)n || ftruncate(f->fd, (off_t)n) < 0)
        abort();
}

#endif
