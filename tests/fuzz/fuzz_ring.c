/* What a helper process that has gone mad may write into the memory that it shares with us: any
 * bytes in the ring, at any time. What must hold: the reader believes nothing that lies outside of
 * the ring. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/source/convert.h"
#include "lib/source/ring.h"
#include "tests/fuzz/fuzz.h"

#define DATA  1024
#define TURNS 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char *memory;
    size_t size = at_iq_ring_size(DATA);
    if (!memory && !(memory = aligned_alloc(64, size)))
        abort();
    struct at_iq_reader in;
    memset(memory, 0, size);
    memcpy(memory, data, n < size ? n : size);
    at_iq_reader_init(&in, memory, DATA);
    volatile unsigned char sum = 0;
    for (int i = 0; i < TURNS; i++) {
        const void *samples = NULL;
        int bad = 0;
        const struct at_iq_record *rec = at_iq_ring_peek(&in, &samples, &bad);
        if (!rec)
            break;
        size_t bytes = rec->n * at_iq_format_size((enum at_iq_format)rec->format);
        const char *at = samples;
        if (bad || rec->format >= AT_IQ_FORMATS || !(rec->full_scale > 0) || at < memory ||
            bytes > DATA || at + bytes > memory + size)
            abort();
        sum = (unsigned char)(sum + at[0] + at[bytes - 1]);
        /* It writes on while we read: what was believed must not change. */
        struct at_iq_record before = *rec;
        memset(memory + 256, (int)sum, size / 4);
        if (at_iq_ring_peek(&in, &samples, &bad) != rec || memcmp(&before, rec, sizeof before))
            abort();
        memcpy(memory, data, n < size ? n : size);
        at_iq_ring_pop(&in);
    }
    return 0;
}
