/* SigMF metadata over 1000 bytes of data. SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_source.h"

static char folder[64], meta[80], blob[80];
static int meta_fd;

static void remove_files(void)
{
    unlink(meta);
    unlink(blob);
    rmdir(folder);
}

static int make(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        abort();
    return fd;
}

static void put(int fd, const void *data, size_t n)
{
    if (pwrite(fd, data, n, 0) != (ssize_t)n || ftruncate(fd, (off_t)n) < 0)
        abort();
}

static void make_files(void)
{
    static uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 251);
    /* In memory where there is such a folder: a disk would be most of the time. */
    snprintf(folder, sizeof folder, "%s/attune-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder))
        abort();
    snprintf(meta, sizeof meta, "%s/x.sigmf-meta", folder);
    snprintf(blob, sizeof blob, "%s/x.sigmf-data", folder);
    int fd = make(blob);
    put(fd, bytes, sizeof bytes);
    close(fd);
    meta_fd = make(meta);
    atexit(remove_files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!meta[0])
        make_files();
    put(meta_fd, data, n);
    fuzz_read_all(meta, NULL);
    const struct at_file_options flags = {.format = "cs16", .rate_hz = 1e6, .center_hz = 1e8};
    fuzz_read_all(meta, &flags);
    return 0;
}
