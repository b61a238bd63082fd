/* SHA-256 (FIPS 180-4), to tell one model file from another.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_SHA256_H
#define AT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct at_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    unsigned char block[64];
};

#define AT_SHA256_HEX_SIZE 65

/* init, push any number of times, finish once. Any thread. */
void at_sha256_init(struct at_sha256 *s);
void at_sha256_push(struct at_sha256 *s, const void *data, size_t n);
/* Writes 64 lower-case hex digits and a NUL. */
void at_sha256_finish_hex(struct at_sha256 *s, char out[AT_SHA256_HEX_SIZE]);

#endif
