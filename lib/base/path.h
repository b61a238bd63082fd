/* Paths. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_PATH_H
#define AT_BASE_PATH_H

#include <stddef.h>

/* Writes the first n characters of path so that glob(3) takes each of them for itself: what a
 * person named a folder is no pattern. out: 2 n + 1 bytes. Any thread. */
void at_path_quote(const char *path, size_t n, char *out);

#endif
