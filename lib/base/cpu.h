/* What the processor can do, and which kernel variants may run.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_CPU_H
#define AT_BASE_CPU_H

#include <stddef.h>
#include <stdint.h>

/* The variants that kernels are compiled for; x86-64 psABI levels. */
enum at_cpu_level {
    AT_CPU_GENERIC = 1u << 0,  /* the baseline of the architecture (x86-64-v2, or plain C) */
    AT_CPU_X86_V3 = 1u << 1,   /* AVX2, FMA */
    AT_CPU_X86_V4 = 1u << 2,   /* AVX-512 F, BW, CD, DQ, VL */
    AT_CPU_X86_BF16 = 1u << 3, /* v4 with AVX512_BF16 */
    AT_CPU_NEON = 1u << 4,
    AT_CPU_X86_AMX = 1u << 5, /* that with AMX tiles of bf16, which the kernel lets us use */
};

/* Mask of levels that this processor and its operating system support, and'ed with the test hook
 * ATTUNE_CPU_MASK (names separated by commas: generic,v3,v4,bf16,amx,neon) read on the first call.
 * Any thread. */
uint32_t at_cpu_levels(void);
/* Replaces the mask, for tests and benchmarks; 0 restores what the processor has. */
void at_cpu_set_mask(uint32_t mask);
/* Mask of levels that the processor and its operating system support, whatever the masks say. */
uint32_t at_cpu_found(void);
/* The names of these levels, of those that this architecture knows: "generic, v3". out: n bytes. */
void at_cpu_names(uint32_t levels, char *out, size_t n);
/* "v3" for AT_CPU_X86_V3 and so on. */
const char *at_cpu_level_name(enum at_cpu_level level);
/* The processor's own name, for reports ("AMD EPYC"). out: n bytes. */
void at_cpu_model(char *out, size_t n);
/* Denormals off for the calling thread (FTZ and DAZ): a run of zeros must not slow the FFT. */
void at_cpu_flush_denormals(void);
/* Short turns of the processor for the calling thread, whose niceness stays: where it wakes it need
 * not wait until the longer turn of a less urgent one is over. 0, or a negative errno: Linux
 * before 6.12 knows of no turns and says 0. */
int at_cpu_short_turns(void);
/* Inside a loop that waits for another thread: leaves the core's units to its neighbour. RT-safe.
 */
void at_cpu_relax(void);

#endif
