/* Where the build has no libcairo. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/picture.h"

int at_picture_write(struct at_picture *p, const char *path, struct at_error *err)
{
    (void)p;
    return at_error_set(err, -ENOTSUP, "%s: this attune was built without libcairo", path);
}
