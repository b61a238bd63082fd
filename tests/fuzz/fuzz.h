/* What the fuzz targets share. Each defines LLVMFuzzerTestOneInput; with -Dfuzz=true libFuzzer
 * calls it, else replay.c does with each file of the corpus. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_TESTS_FUZZ_H
#define AT_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
