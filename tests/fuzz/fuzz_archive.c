/* SigMF archives. The sums of headers are made right, or nothing behind the first would be seen.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fuzz/fuzz_file.h"
#include "tests/fuzz/fuzz_source.h"

#define BLOCK 512

/* Blocks that say "ustar" where headers do. */
static void mend(uint8_t *tar, size_t n)
{
    for (uint8_t *h = tar; n >= BLOCK; h += BLOCK, n -= BLOCK) {
        unsigned sum = 8 * ' ';
        char text[8];
        if (memcmp(h + 257, "ustar", 5) != 0)
            continue;
        for (size_t i = 0; i < BLOCK; i++)
            sum += i >= 148 && i < 156 ? 0 : h[i];
        snprintf(text, sizeof text, "%06o", sum);
        memcpy(h + 148, text, sizeof text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_file *file;
    if (!file)
        file = fuzz_file_make("x.sigmf");
    uint8_t *tar = malloc(n + 1);
    if (!tar)
        return 0;
    memcpy(tar, data, n);
    mend(tar, n);
    fuzz_file_put(file, tar, n);
    fuzz_read_all(file->path, NULL);
    free(tar);
    return 0;
}
