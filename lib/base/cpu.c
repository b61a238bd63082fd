/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/cpu.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define TURN_NS 100000 /* the shortest that Linux gives */

static _Atomic uint32_t forced_mask;

static const struct {
    enum at_cpu_level level;
    const char *name;
} names[] = {
    {AT_CPU_GENERIC, "generic"},
#if defined(__x86_64__)
    {AT_CPU_X86_V3, "v3"},       {AT_CPU_X86_V4, "v4"},
    {AT_CPU_X86_BF16, "bf16"},   {AT_CPU_X86_AMX, "amx"},
#elif defined(__aarch64__)
    {AT_CPU_NEON, "neon"},
#endif
};

#if defined(__x86_64__)
/* Tiles are 8 KiB more of state for each thread: Linux (5.16) wants to be asked, once for the
 * process. Intel SDM vol. 2 (CPUID leaf 7), Linux Documentation/arch/x86/xstate.rst. */
static bool tiles_are_there(void)
{
    const unsigned bf16 = 1u << 22, tile = 1u << 24;
    const long request_permission = 0x1023 /* ARCH_REQ_XCOMP_PERM */, tile_data = 18;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (bf16 | tile)) != (bf16 | tile))
        return false;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

static uint32_t detect(void)
{
    uint32_t levels = AT_CPU_GENERIC;
#if defined(__x86_64__)
    __builtin_cpu_init(); /* asks the operating system too (XGETBV) */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        levels |= AT_CPU_X86_V3;
    if ((levels & AT_CPU_X86_V3) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        levels |= AT_CPU_X86_V4;
    if ((levels & AT_CPU_X86_V4) && __builtin_cpu_supports("avx512bf16"))
        levels |= AT_CPU_X86_BF16;
    if ((levels & AT_CPU_X86_BF16) && tiles_are_there())
        levels |= AT_CPU_X86_AMX;
#elif defined(__aarch64__)
    levels |= AT_CPU_NEON;
#endif
    return levels;
}

static uint32_t mask_from_environment(void)
{
    const char *text = getenv("ATTUNE_CPU_MASK");
    if (!text || !*text)
        return UINT32_MAX;
    uint32_t mask = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n = strlen(names[i].name);
        for (const char *p = text; (p = strstr(p, names[i].name)); p += n) {
            int starts = p == text || p[-1] == ',';
            if (starts && (p[n] == ',' || p[n] == 0))
                mask |= names[i].level;
        }
    }
    return mask;
}

uint32_t at_cpu_found(void)
{
    return detect();
}

void at_cpu_names(uint32_t levels, char *out, size_t n)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && at < n; i++)
        if (names[i].level & levels)
            at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "", names[i].name);
}

uint32_t at_cpu_levels(void)
{
    static _Atomic uint32_t found; /* benign race: each thread computes the same */
    uint32_t levels = atomic_load(&found);
    if (!levels) {
        levels = (detect() & mask_from_environment()) | (1u << 31);
        atomic_store(&found, levels);
    }
    uint32_t forced = atomic_load(&forced_mask);
    return (levels & ~(1u << 31)) & (forced ? forced : UINT32_MAX);
}

void at_cpu_set_mask(uint32_t mask)
{
    atomic_store(&forced_mask, mask);
}

const char *at_cpu_level_name(enum at_cpu_level level)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].level == level)
            return names[i].name;
    return "none";
}

void at_cpu_model(char *out, size_t n)
{
    snprintf(out, n, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            line[strcspn(line, "\n")] = 0;
            snprintf(out, n, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

void at_cpu_flush_denormals(void)
{
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr | (1u << 24)));
#endif
}

/* sched_setattr(2): for a thread of the usual policy runtime is what it asks to run in a turn. */
int at_cpu_short_turns(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attr = {.size = sizeof attr};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) < 0)
        return -errno;
    if (attr.policy != 0 /* SCHED_OTHER */)
        return 0;
    attr.runtime_ns = TURN_NS;
    return syscall(SYS_sched_setattr, 0, &attr, 0) < 0 ? -errno : 0;
}

void at_cpu_relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
