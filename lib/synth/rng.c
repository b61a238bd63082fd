/* Random numbers: xoshiro256** seeded by splitmix64 (Blackman and Vigna, prng.di.unimi.it).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>

#include "lib/synth/synth.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void at_rng_seed(struct at_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
    r->spare = 0;
    r->has_spare = 0;
}

static inline uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static inline uint64_t next(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t at_rng_next(struct at_rng *r)
{
    return next(r->s);
}

void at_rng_some(struct at_rng *r, uint64_t *ret, size_t n)
{
    uint64_t s[4] = {r->s[0], r->s[1], r->s[2], r->s[3]}; /* in registers meanwhile */
    for (size_t i = 0; i < n; i++)
        ret[i] = next(s);
    for (int i = 0; i < 4; i++)
        r->s[i] = s[i];
}

double at_rng_uniform(struct at_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * ((double)(at_rng_next(r) >> 11) * 0x1p-53);
}

double at_rng_log_uniform(struct at_rng *r, double lo, double hi)
{
    return lo * pow(hi / lo, at_rng_uniform(r, 0, 1));
}

/* Marsaglia's polar method. */
double at_rng_normal(struct at_rng *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    double u, v, q;
    do {
        u = at_rng_uniform(r, -1, 1);
        v = at_rng_uniform(r, -1, 1);
        q = u * u + v * v;
    } while (q >= 1 || q == 0);
    double m = sqrt(-2 * log(q) / q);
    r->spare = v * m;
    r->has_spare = 1;
    return u * m;
}

int at_rng_int(struct at_rng *r, int lo, int hi)
{
    uint64_t span = (uint64_t)((int64_t)hi - lo) + 1;
    return (int)(lo + (int64_t)(((at_rng_next(r) >> 32) * span) >> 32));
}
