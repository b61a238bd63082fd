/* Which variants run here, and the layouts they share. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/kernels.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cpu.h"
#include "lib/kernels/agree.h"
#include "lib/kernels/timed.h"

#if defined(__x86_64__)
extern const struct at_kernels at_kernels_bf16, at_kernels_v4, at_kernels_v3;
#if defined(AT_BUILT_AMX)
extern const struct at_kernels at_kernels_amx;
extern const struct at_kernels at_kernels_fma_amx; /* that whose fp32 goes by multiply-adds */
#endif
#elif defined(__aarch64__)
extern const struct at_kernels at_kernels_neon;
#endif
extern const struct at_kernels at_kernels_generic;

static const struct at_kernels *const variants[] = {
#if defined(AT_BUILT_AMX)
    &at_kernels_amx,
#endif
#if defined(__x86_64__)
    &at_kernels_bf16,    &at_kernels_v4, &at_kernels_v3,
#elif defined(__aarch64__)
    &at_kernels_neon,
#endif
    &at_kernels_generic,
};

/* Tiles are state that the kernel, a hypervisor and the C library hand on, and few hosts have them:
 * they are believed once they agree with vectors. Any thread; each finds the same. */
static bool is_sound(const struct at_kernels *k)
{
    static _Atomic int known; /* 0: not yet, 1: sound, -1: not */
    if (k->level != AT_CPU_X86_AMX)
        return true;
    if (atomic_load(&known) == 0)
        atomic_store(&known, at_kernels_agree(k, &at_kernels_generic, 1e-3f) ? 1 : -1);
    return atomic_load(&known) > 0;
}

#if defined(__x86_64__)
/* Dot products of pairs (VDPBF16PS) do twice what multiply-adds do on some processors, half of it
 * on others: there v4, which differs in nothing else, comes before bf16. Measured once. */
static const struct at_kernels *variant_at(size_t v)
{
    static _Atomic int known; /* 0: not yet, 1: bf16 first, -1: v4 */
    const struct at_kernels *k = variants[v];
    const uint32_t both = AT_CPU_X86_BF16 | AT_CPU_X86_V4;
    if (!(k->level & both) || (at_cpu_levels() & both) != both)
        return k;
    if (atomic_load(&known) == 0)
        atomic_store(&known, at_kernels_slower_bf16(&at_kernels_bf16, &at_kernels_v4) ? -1 : 1);
    if (atomic_load(&known) > 0)
        return k;
    return k == &at_kernels_bf16 ? &at_kernels_v4 : &at_kernels_bf16;
}
#else
static const struct at_kernels *variant_at(size_t v)
{
    return variants[v];
}
#endif

#if defined(AT_BUILT_AMX)
/* fp32 in pieces over tiles takes 0.7 of what multiply-adds take on some processors, more than they
 * on others: there tiles are for bf16 alone. Measured once, when tiles are known to be sound. */
static const struct at_kernels *for_fp32(const struct at_kernels *k)
{
    static _Atomic int known; /* 0: not yet, 1: tiles, -1: multiply-adds */
    if (k != &at_kernels_amx)
        return k;
    if (atomic_load(&known) == 0)
        atomic_store(&known, at_kernels_slower_fp32(&at_kernels_amx, &at_kernels_fma_amx) ? -1 : 1);
    return atomic_load(&known) > 0 ? k : &at_kernels_fma_amx;
}
#else
static const struct at_kernels *for_fp32(const struct at_kernels *k)
{
    return k;
}
#endif

const struct at_kernels *at_kernels_at(size_t i)
{
    uint32_t levels = at_cpu_levels();
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        const struct at_kernels *k = variant_at(v);
        if ((k->level & levels) && is_sound(k) && i-- == 0)
            return for_fp32(k);
    }
    return NULL;
}

const struct at_kernels *at_kernels_best(void)
{
    return at_kernels_at(0);
}

void at_kernels_list(char *out, size_t n)
{
    size_t at = 0;
    for (size_t v = 0; v < sizeof variants / sizeof *variants && at < n; v++) {
        int more = snprintf(out + at, n - at, v ? ", %s" : "%s", variants[v]->name);
        at += more > 0 ? (size_t)more : 0;
    }
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

size_t at_kernels_split_values(size_t rows, size_t depth)
{
    return 3 * at_round_up(rows, AT_PANEL) * at_round_up(depth, AT_PANEL);
}

void at_kernels_pack_split(const float *w, size_t rows, size_t depth, uint16_t *pieces)
{
    const size_t tile = 16 * AT_PANEL, piece = 2 * tile, steps = at_round_up(depth, AT_PANEL) / 32;
    memset(pieces, 0, at_kernels_split_values(rows, depth) * sizeof *pieces);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < depth; i++) {
            uint16_t *to = pieces + (r / AT_PANEL * steps + i / AT_PANEL) * 3 * piece +
                           r % AT_PANEL / 16 * tile + (i % AT_PANEL / 2 * 16 + r % 16) * 2 + i % 2;
            float left = w[r * depth + i];
            for (int p = 0; p < 3; p++) {
                to[p * piece] = at_bf16_low(left);
                left -= at_from_bf16(to[p * piece]);
            }
        }
}
