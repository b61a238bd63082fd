/* What Kaiser's window is made of. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_BESSEL_H
#define AT_BASE_BESSEL_H

/* Modified Bessel function of the first kind and order 0, by its power series (Abramowitz and
 * Stegun, 9.6.12); |x| up to 30 to double precision. Any thread, RT-safe. */
double at_bessel_i0(double x);

#endif
