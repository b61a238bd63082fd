/* Which variants run here, and the layouts they share. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/kernels.h"

#include <string.h>

#include "lib/base/cpu.h"

#if defined(__x86_64__)
extern const struct at_kernels at_kernels_bf16, at_kernels_v4, at_kernels_v3;
#elif defined(__aarch64__)
extern const struct at_kernels at_kernels_neon;
#endif
extern const struct at_kernels at_kernels_generic;

static const struct at_kernels *const variants[] = {
#if defined(__x86_64__)
    &at_kernels_bf16,
    &at_kernels_v4,
    &at_kernels_v3,
#elif defined(__aarch64__)
    &at_kernels_neon,
#endif
    &at_kernels_generic,
};

const struct at_kernels *at_kernels_at(size_t i)
{
    uint32_t levels = at_cpu_levels();
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        if ((variants[v]->level & levels) && i-- == 0)
            return variants[v];
    return NULL;
}

const struct at_kernels *at_kernels_best(void)
{
    return at_kernels_at(0);
}

size_t at_kernels_panel_floats(size_t rows, size_t depth)
{
    return at_round_up(rows, AT_PANEL) * depth;
}

void at_kernels_pack(const float *w, size_t rows, size_t depth, float *panels)
{
    memset(panels, 0, at_kernels_panel_floats(rows, depth) * sizeof *panels);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < depth; i++)
            panels[r / AT_PANEL * AT_PANEL * depth + i * AT_PANEL + r % AT_PANEL] =
                w[r * depth + i];
}

void at_kernels_pack_bf16(const float *w, size_t rows, size_t depth, uint16_t *panels)
{
    memset(panels, 0, at_kernels_panel_floats(rows, depth) * sizeof *panels);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < depth; i++)
            panels[r / AT_PANEL * AT_PANEL * depth + (i / 2 * AT_PANEL + r % AT_PANEL) * 2 +
                   i % 2] = at_bf16(w[r * depth + i]);
}
