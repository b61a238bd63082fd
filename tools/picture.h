/* The waterfall of a recording as PNG, emissions boxed and labelled. cairo.h is seen by picture.c
 * alone. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_PICTURE_H
#define AT_TOOLS_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct at_picture_box {
    double start_s, end_s, f_lo_hz, f_hi_hz; /* absolute RF, or baseband where the centre is 0 */
    char label[48];
    int colour;    /* number of the class; -1: grey */
    double weight; /* labels of heavier boxes win where they would overlap */
};

struct at_picture {
    const char *title; /* borrowed */
    double rate_hz, center_hz;
    const float *dbfs_hz; /* (n_rows, n_bins), NAN: no data; borrowed */
    size_t n_rows, n_bins;
    double row_s;
    double seconds;               /* of the time axis */
    struct at_picture_box *boxes; /* (n_boxes); sorted by weight on return */
    size_t n_boxes;
};

/* Whole or not at all (a temporary file, renamed). 0; -ENOTSUP where built without cairo; -EIO and
 * others. */
int at_picture_write(struct at_picture *p, const char *path, struct at_error *err);

#endif
