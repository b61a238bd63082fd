/* SigMF metadata over 1000 bytes of data. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fuzz/fuzz_file.h"
#include "tests/fuzz/fuzz_source.h"

static const struct fuzz_file *make_files(void)
{
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 251);
    fuzz_file_put(fuzz_file_make("x.sigmf-data"), bytes, sizeof bytes);
    return fuzz_file_make("x.sigmf-meta");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_file *meta;
    if (!meta)
        meta = make_files();
    fuzz_file_put(meta, data, n);
    fuzz_read_all(meta->path, NULL);
    const struct at_file_options flags = {.format = "cs16", .rate_hz = 1e6, .center_hz = 1e8};
    fuzz_read_all(meta->path, &flags);
    return 0;
}
