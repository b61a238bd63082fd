/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/path.h"

#include <string.h>

void at_path_quote(const char *path, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr("*?[\\", path[i]))
            *out++ = '\\';
        *out++ = path[i];
    }
    *out = 0;
}
