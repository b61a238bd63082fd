/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>

#include "tools/tools.h"

int at_json_line(FILE *out, json_t *object)
{
    int r = object ? json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) : -1;
    json_decref(object);
    if (r < 0 || fputc('\n', out) == EOF || fflush(out) != 0)
        return -1;
    return 0;
}

json_t *at_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}
