/* What the multiply-add units give when nothing else stands in their way. Twelve chains hide the
 * latency of two units. Intrinsics, because ISO C forbids the compiler to contract a * b + c.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/cpu.h"
#include "tools/bench.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define CHAINS 12
#define ROUNDS 20000

/* Returns the flops it did; sink keeps the result alive. */
typedef double peak_fn(float *sink);

#define PEAK(name, attribute, type, width, set1, fma)                                              \
    attribute static double name(float *sink)                                                      \
    {                                                                                              \
        type acc[CHAINS], a = set1(0.999f), b = set1(0.001f);                                      \
        for (int i = 0; i < CHAINS; i++)                                                           \
            acc[i] = set1((float)i);                                                               \
        for (int r = 0; r < ROUNDS; r++)                                                           \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) acc[i] = fma(acc[i], a, b);  \
        for (int i = 1; i < CHAINS; i++)                                                           \
            acc[0] = fma(acc[0], a, acc[i]);                                                       \
        memcpy(sink, &acc[0], sizeof acc[0]);                                                      \
        return 2.0 * width * CHAINS * ROUNDS;                                                      \
    }

#if defined(__x86_64__)
#define DOT(x, a, b)     _mm512_dpbf16_ps(x, (__m512bh)(a), (__m512bh)(b)) /* any small numbers */
#define MUL_ADD(x, a, b) _mm_add_ps(_mm_mul_ps(x, a), b)
PEAK(peak_v4, __attribute__((target("avx512f"))), __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
PEAK(peak_bf16, __attribute__((target("avx512f,avx512bf16"))), __m512, 32, _mm512_set1_ps, DOT)
PEAK(peak_v3, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
PEAK(peak_generic, , __m128, 4, _mm_set1_ps, MUL_ADD)

/* Four chains of whole tiles; 16 x 16 x 32 products each. */
__attribute__((target("amx-tile,amx-bf16"))) static double peak_amx(float *sink)
{
    static const uint8_t config[64] __attribute__((aligned(64))) = {
        [0] = 1,                                                          /* palette */
        [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, /* bytes of a row */
        [48] = 16, [49] = 16, [50] = 16, [51] = 16, [52] = 16, [53] = 16, /* rows */
    };
    float out[16 * 16];
    _tile_loadconfig(config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    for (int r = 0; r < ROUNDS / 16; r++) {
        _tile_dpbf16ps(0, 4, 5);
        _tile_dpbf16ps(1, 4, 5);
        _tile_dpbf16ps(2, 4, 5);
        _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, out, 64);
    _tile_release();
    memcpy(sink, out, sizeof *sink);
    return 2.0 * 16 * 16 * 32 * 4 * (ROUNDS / 16);
}
#elif defined(__aarch64__)
#define FMA_NEON(x, a, b) vfmaq_f32(b, x, a)
PEAK(peak_neon, , float32x4_t, 4, vdupq_n_f32, FMA_NEON)
#else
#define SAME(x)          (x)
#define MUL_ADD(x, a, b) ((x) * (a) + (b))
PEAK(peak_generic, , float, 1, SAME, MUL_ADD)
#endif

static peak_fn *choose(enum at_mode mode, const char **ret_kernel)
{
#if defined(__x86_64__)
    uint32_t levels = at_cpu_levels();
    if (mode == AT_MODE_BF16 && (levels & AT_CPU_X86_AMX))
        return *ret_kernel = "amx", peak_amx;
    if (mode == AT_MODE_BF16)
        return levels & AT_CPU_X86_BF16 ? *ret_kernel = "bf16", peak_bf16 : NULL;
#else
    if (mode == AT_MODE_BF16)
        return NULL;
#endif
#if defined(__x86_64__)
    if (levels & AT_CPU_X86_V4)
        return *ret_kernel = "v4", peak_v4;
    if (levels & AT_CPU_X86_V3)
        return *ret_kernel = "v3", peak_v3;
#elif defined(__aarch64__)
    return *ret_kernel = "neon", peak_neon;
#endif
#if !defined(__aarch64__)
    return *ret_kernel = "generic", peak_generic;
#endif
}

struct peak_thread {
    pthread_t id;
    atomic_bool *go;
    peak_fn *fn;
    double gflops;
};

/* The best of many short pieces: a piece that was interrupted says nothing of the machine. */
static void *run_thread(void *arg)
{
    struct peak_thread *t = arg;
    float sink[64];
    while (!atomic_load(t->go))
        sched_yield();
    int64_t end = at_clock_mono_ns() + 300 * 1000 * 1000;
    while (at_clock_mono_ns() < end) {
        int64_t before = at_clock_mono_ns();
        double flops = t->fn(sink);
        double gflops = flops / (double)(at_clock_mono_ns() - before);
        t->gflops = gflops > t->gflops ? gflops : t->gflops;
        __asm__ volatile("" : : "r"(sink) : "memory");
    }
    return NULL;
}

double bench_peak(enum at_mode mode, unsigned threads, const char **ret_kernel)
{
    if (!choose(mode, ret_kernel))
        return 0;
    struct peak_thread t[BENCH_MAX_THREADS] = {0};
    atomic_bool go = false;
    unsigned made = 1; /* this thread is the first */
    threads = threads > BENCH_MAX_THREADS ? BENCH_MAX_THREADS : threads;
    for (unsigned i = 0; i < threads; i++)
        t[i] = (struct peak_thread){.go = &go, .fn = choose(mode, ret_kernel)};
    while (made < threads && pthread_create(&t[made].id, NULL, run_thread, &t[made]) == 0)
        made++;
    atomic_store(&go, true);
    run_thread(&t[0]);
    double sum = t[0].gflops;
    for (unsigned i = 1; i < made; i++) {
        pthread_join(t[i].id, NULL);
        sum += t[i].gflops;
    }
    return sum;
}
