/* From a low rate to one that is a power of two higher: half-band filters, one for each doubling.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/bessel.h"
#include "lib/synth/gen.h"
#include "lib/synth/waves.h"

#define MOST_TAPS 9

/* Taps to each side of the new sample, and Kaiser's beta: what lies within 0.3 of the low rate is
 * right to -93 dB. Later doublings find it far from their edges. */
static const struct shape {
    unsigned taps;
    double beta;
} shapes[] = {{MOST_TAPS, 11.25}, {5, 11}, {4, 9.75}, {4, 11.5}};

static struct shape shape_of(unsigned step)
{
    return shapes[step < 3 ? step : 3];
}

/* Windowed sinc half a sample beside its middle, of sum 1/2. */
static void make_taps(struct shape shape, float *tap)
{
    double v[MOST_TAPS], sum = 0;
    unsigned n = shape.taps;
    for (unsigned k = 0; k < n; k++) {
        double t = k + 0.5, r = t / n;
        v[k] = (k % 2 ? -1 : 1) / t * at_bessel_i0(shape.beta * sqrt(1 - r * r));
        sum += v[k];
    }
    for (unsigned k = 0; k < n; k++)
        tap[k] = (float)(0.5 * v[k] / sum);
}

/* Samples before doubling number `first` that n after the last come of. */
static size_t needs(size_t n, unsigned first, unsigned steps)
{
    for (unsigned s = steps; s-- > first;)
        n = (n + 1) / 2 + 2 * shape_of(s).taps - 1;
    return n;
}

size_t at_raise_needs(size_t n, unsigned steps, size_t *ret_lead)
{
    size_t lead = 0;
    for (unsigned s = 0; s < steps; s++)
        lead += (size_t)(shape_of(s).taps - 1) << (steps - s);
    *ret_lead = lead;
    return needs(n, 0, steps);
}

float *at_raise_run(float *x, size_t n, unsigned steps, float *other)
{
    for (unsigned s = 0; s < steps; s++) {
        float tap[MOST_TAPS], *from = x;
        make_taps(shape_of(s), tap);
        at_waves_best()->twice(from, (needs(n, s + 1, steps) + 1) / 2, tap, shape_of(s).taps,
                               other);
        x = other;
        other = from;
    }
    return x;
}
