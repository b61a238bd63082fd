/* Which variants of the loops run here. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/cpu.h"
#include "lib/dsp/loops.h"

#if defined(__x86_64__)
extern const struct at_loops at_loops_v4, at_loops_v3;
#endif
extern const struct at_loops at_loops_generic;

static const struct at_loops *const variants[] = {
#if defined(__x86_64__)
    &at_loops_v4,
    &at_loops_v3,
#endif
    &at_loops_generic,
};

const struct at_loops *at_loops_at(size_t i)
{
    uint32_t levels = at_cpu_levels();
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        if ((variants[v]->level & levels) && i-- == 0)
            return variants[v];
    return NULL;
}

const struct at_loops *at_loops_best(void)
{
    return at_loops_at(0);
}
