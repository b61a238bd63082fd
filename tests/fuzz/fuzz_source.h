/* Opens a recording that the fuzzer wrote and reads it to its end. What must hold: no crash, one
 * line of error, a ledger that balances. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_FUZZ_SOURCE_H
#define AT_TESTS_FUZZ_SOURCE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/source/source.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_READ      256
#define FUZZ_READS_MAX 4096

static inline void fuzz_read_ledger(struct at_source *s)
{
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    uint64_t sum = l.delivered;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        sum += l.lost[i];
    if (sum != l.requested)
        abort();
}

static inline void fuzz_read_all(const char *path, const struct at_file_options *o)
{
    struct at_error err = {{0}};
    struct at_source *s = NULL;
    if (at_source_open_file(path, o, &err, &s) < 0) {
        if (!err.text[0] || strpbrk(err.text, "\n\r"))
            abort();
        return;
    }
    struct at_source_info info;
    s->ops->get_info(s, &info);
    if (!(info.rate_hz > 0) || !isfinite(info.rate_hz) || !isfinite(info.center_hz))
        abort();
    float iq[2 * FUZZ_READ];
    struct at_read got;
    uint64_t end = 0;
    s->ops->start(s, &err);
    for (int i = 0; i < FUZZ_READS_MAX && s->ops->read(s, iq, FUZZ_READ, 10, &got, &err) == 0;
         i++) {
        if (got.index < end || got.n > FUZZ_READ)
            abort();
        for (size_t k = 0; k < 2 * got.n; k++)
            if (!isfinite(iq[k]))
                abort();
        end = got.index + got.n;
    }
    fuzz_read_ledger(s);
    s->ops->destroy(s);
}

#endif
