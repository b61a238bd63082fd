/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>

#include "lib/engine/internal.h"

void at_figures_add(struct figures *f, double value)
{
    f->value[f->n++ % FIGURES] = (float)value;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void at_figures_get(const struct figures *f, size_t newest, size_t least, double *ret_p50,
                    double *ret_p95)
{
    float sorted[FIGURES];
    size_t n = f->n < FIGURES ? (size_t)f->n : FIGURES;
    if (n > newest)
        n = newest;
    *ret_p50 = *ret_p95 = NAN;
    if (n == 0 || n < least)
        return;
    for (size_t i = 0; i < n; i++)
        sorted[i] = f->value[(f->n - 1 - i) % FIGURES];
    qsort(sorted, n, sizeof(*sorted), by_value);
    *ret_p50 = (double)sorted[(n - 1) / 2];
    *ret_p95 = (double)sorted[(n - 1) * 95 / 100];
}
