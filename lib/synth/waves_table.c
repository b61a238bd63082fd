/* Which variants of the waves run here. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/cpu.h"
#include "lib/synth/waves.h"

#if defined(__x86_64__)
extern const struct at_waves at_waves_v4, at_waves_v3;
#endif
extern const struct at_waves at_waves_generic;

static const struct at_waves *const variants[] = {
#if defined(__x86_64__)
    &at_waves_v4,
    &at_waves_v3,
#endif
    &at_waves_generic,
};

const struct at_waves *at_waves_at(size_t i)
{
    uint32_t levels = at_cpu_levels();
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        if ((variants[v]->level & levels) && i-- == 0)
            return variants[v];
    return NULL;
}

const struct at_waves *at_waves_best(void)
{
    return at_waves_at(0);
}
