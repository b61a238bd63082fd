/* A receiver's constant that is weaker than what the quiet parts of an epoch tell of (view.c): a
 * line at 0 Hz that keeps its level and phase from half epoch to half epoch, as no signal does. It
 * is left in the samples; a region that is nothing else is no emission. All of it: the thread that
 * pushes the band. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_CONSTANT_H
#define AT_DSP_CONSTANT_H

#include <stdbool.h>
#include <stddef.h>

struct at_constant {
    double re, im; /* mean of the newest half second's half epochs, full scale */
    double around; /* mean square of what they are off it */
    unsigned n;    /* half epochs seen */
};

/* One more epoch: sums (n_cells, 3) of re, im and |.|^2 over `per` samples each; density: the floor
 * at 0 Hz, full-scale^2 / Hz; 0: unknown. True: what stands at 0 Hz is such a constant. RT-safe. */
bool at_constant_see(struct at_constant *c, const float (*sums)[3], size_t n_cells, size_t per,
                     double rate_hz, double density);

#endif
