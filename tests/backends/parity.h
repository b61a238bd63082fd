/* What the backends' tests share: a slow float64 reference, NMSE, seeded noise, one layer run in
 * chunks. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_PARITY_H
#define AT_TESTS_PARITY_H

#include "lib/attn/attn.h"
#include "lib/kernels/kernels.h"

/* One case: q, k, v (n, H, D) from position start on. */
struct parity_case {
    struct at_attn_shape shape;
    int64_t start;
    size_t n;
    float *q, *k, *v;
};

/* sum (a - b)^2 / sum b^2; NAN where a is not finite. */
double parity_nmse(const float *a, const double *b, size_t n);
/* Normal noise, the same for a seed everywhere. */
void parity_noise(uint64_t *seed, float sigma, size_t n, float *out);
uint64_t parity_random(uint64_t *seed, uint64_t below);
/* Fills q, k, v with noise (owned; parity_free). */
void parity_fill(struct parity_case *c, uint64_t seed);
void parity_free(struct parity_case *c);
/* The case's keys and values (n, H, D), those of the first `until` tokens replaced by the means of
 * their heads' group. */
void parity_group_means(const struct parity_case *c, size_t until, float *k, float *v);
/* out (n, H, D): reference.py's mha, gqa or latent, in float64, from the definitions, nothing
 * shared with the backends. */
void parity_reference(const struct parity_case *c, const char *backend, double *out);
/* Runs backend over the case with runs of at most `chunk` tokens and variant `kernels` -> out.
 * Checks that cache bytes are what probe said, and that nothing leaks. */
void parity_run(const struct parity_case *c, const struct at_attn_backend *b,
                const struct at_kernels *kernels, size_t chunk, float *out);

#endif
