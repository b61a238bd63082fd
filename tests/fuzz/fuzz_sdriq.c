/* SDRangel's recordings. A wrong CRC is looked at once; then it is made right, or nothing else
 * would be seen. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/fuzz/fuzz_file.h"
#include "tests/fuzz/fuzz_source.h"

#define CRC_AT 28

static void mend(uint8_t *b)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < CRC_AT; i++)
        for (unsigned k = 0, bit; k < 8; k++) {
            bit = (crc ^ (uint32_t)b[i] >> k) & 1;
            crc = crc >> 1 ^ (bit ? 0xedb88320 : 0);
        }
    crc = ~crc;
    memcpy(b + CRC_AT, &crc, sizeof crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_file *file;
    if (!file)
        file = fuzz_file_make("x.sdriq");
    fuzz_file_put(file, data, n);
    fuzz_read_all(file->path, NULL);
    if (n < CRC_AT + 4)
        return 0;
    uint8_t head[CRC_AT + 4];
    memcpy(head, data, sizeof head);
    mend(head);
    if (pwrite(file->fd, head, sizeof head, 0) != sizeof head)
        abort();
    fuzz_read_all(file->path, NULL);
    return 0;
}
