/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/bessel.h"

double at_bessel_i0(double x)
{
    double s = 1, t = 1;
    for (int k = 1; k < 60 && t > 1e-17 * s; k++) {
        t *= x / (2 * k) * (x / (2 * k));
        s += t;
    }
    return s;
}
