/* WAV files. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fuzz/fuzz_file.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_file *file;
    if (!file)
        file = fuzz_file_make("wav");
    fuzz_file_put(file, data, n);
    fuzz_read_all(file->path, NULL);
    return 0;
}
