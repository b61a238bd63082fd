/* What lib/source/convert.c makes of samples, for tests/train/test_annotations.py: `samples
 * DATATYPE` reads them as SigMF has them and writes floats. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "lib/source/convert.h"

#define MOST 65536

int main(int argc, char **argv)
{
    int format = argc == 2 ? at_iq_format_from_sigmf(argv[1]) : -1;
    if (format < 0) {
        fprintf(stderr, "usage: samples " AT_IQ_SIGMF_NAMES "\n");
        return EXIT_FAILURE;
    }
    static unsigned char raw[8 * MOST];
    static float iq[2 * MOST];
    size_t n = fread(raw, at_iq_format_size(format), MOST, stdin);
    at_iq_convert(format, at_iq_format_full_scale(format), raw, n, iq);
    return fwrite(iq, sizeof *iq, 2 * n, stdout) == 2 * n ? EXIT_SUCCESS : EXIT_FAILURE;
}
