/* The text beside a PortaPack's recording. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fuzz/fuzz_file.h"
#include "tests/fuzz/fuzz_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_file *text, *samples;
    if (!text) {
        text = fuzz_file_make("X.TXT");
        samples = fuzz_file_make("X.C16");
        fuzz_file_put(samples, "abcdefgh", 8);
    }
    fuzz_file_put(text, data, n);
    fuzz_read_all(samples->path, NULL);
    return 0;
}
