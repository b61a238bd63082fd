/* SigMF metadata over 1000 bytes of data. SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_source.h"

static char folder[] = "/tmp/attune-fuzz-XXXXXX", meta[64], blob[64];

static void remove_files(void)
{
    unlink(meta);
    unlink(blob);
    rmdir(folder);
}

static void put(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    close(fd);
}

static void make_files(void)
{
    static uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 251);
    if (!mkdtemp(folder))
        abort();
    snprintf(meta, sizeof meta, "%s/x.sigmf-meta", folder);
    snprintf(blob, sizeof blob, "%s/x.sigmf-data", folder);
    put(blob, bytes, sizeof bytes);
    atexit(remove_files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!meta[0])
        make_files();
    put(meta, data, n);
    fuzz_read_all(meta, NULL);
    const struct at_file_options flags = {.format = "cs16", .rate_hz = 1e6, .center_hz = 1e8};
    fuzz_read_all(meta, &flags);
    return 0;
}
