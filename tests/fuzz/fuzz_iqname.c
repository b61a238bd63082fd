/* Names of recordings. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/source/convert.h"
#include "lib/source/iqname.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *name = malloc(n + 1);
    if (!name)
        return 0;
    memcpy(name, data, n);
    name[n] = 0;
    struct at_iq_name got;
    at_iq_name_parse(name, &got);
    if (!(got.rate_hz >= 0) || !(got.center_hz >= 0) || !isfinite(got.rate_hz + got.center_hz) ||
        got.format < -1 || got.format >= AT_IQ_FORMATS)
        abort();
    free(name);
    return 0;
}
