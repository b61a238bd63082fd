/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/kernels/timed.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define WARM   (500 * 1000) /* ns until wide registers run at their own clock */
#define MARGIN 1.05         /* what is no faster than this stays in its place */
#define WIDTH  128          /* of a layer */
#define FEW    32           /* rows of bf16 */
#define ROWS   128          /* of fp32, and queries */
#define SLOTS  512
#define DIM    32

/* One run of k on what ctx holds. */
typedef void work_fn(const struct at_kernels *k, void *ctx);

static int64_t ns_of(work_fn *work, const struct at_kernels *k, void *ctx)
{
    int64_t begin = at_clock_mono_ns();
    work(k, ctx);
    return at_clock_mono_ns() - begin;
}

static bool is_slower(const struct at_kernels *a, const struct at_kernels *b, work_fn *work,
                      void *ctx, int rounds)
{
    int64_t best[2] = {INT64_MAX, INT64_MAX};
    for (int64_t begin = at_clock_mono_ns(); at_clock_mono_ns() - begin < WARM;) {
        work(a, ctx);
        work(b, ctx);
    }
    for (int i = 0; i < 2 * rounds; i++) {
        int64_t took = ns_of(work, i % 2 ? b : a, ctx);
        best[i % 2] = took < best[i % 2] ? took : best[i % 2];
    }
    return (double)best[0] > MARGIN * (double)best[1];
}

static void product(const struct at_kernels *k, void *ctx)
{
    static const uint16_t x[FEW * WIDTH], w[WIDTH * WIDTH];
    float y[FEW * WIDTH];
    k->linear_bf16(&(struct at_linear){.x = x,
                                       .w = w,
                                       .y = y,
                                       .m = FEW,
                                       .n = WIDTH,
                                       .k = WIDTH,
                                       .x_stride = WIDTH,
                                       .y_stride = WIDTH});
}

bool at_kernels_slower_bf16(const struct at_kernels *a, const struct at_kernels *b)
{
    return is_slower(a, b, product, NULL, 32);
}

/* A layer and the attention behind it; zeros would be multiplied at a higher clock. */
struct window {
    float x[ROWS * WIDTH], w[WIDTH * WIDTH], y[ROWS * WIDTH];
    uint16_t pieces[3 * WIDTH * WIDTH];
    float q[ROWS * DIM], k[SLOTS * DIM], v[SLOTS * DIM];
    float max[ROWS], sum[ROWS], acc[ROWS * DIM];
    int32_t lo[ROWS], hi[ROWS];
};

static void fill(float *x, size_t n)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

static void window(const struct at_kernels *k, void *ctx)
{
    struct window *w = ctx;
    const struct at_attend heads = {.q = w->q,
                                    .k = w->k,
                                    .v = w->v,
                                    .lo = w->lo,
                                    .hi = w->hi,
                                    .n = ROWS,
                                    .dim = DIM,
                                    .v_stride = DIM,
                                    .max = w->max,
                                    .sum = w->sum,
                                    .acc = w->acc};
    k->linear(&(struct at_linear){.x = w->x,
                                  .w = w->w,
                                  .split = w->pieces,
                                  .y = w->y,
                                  .m = ROWS,
                                  .n = WIDTH,
                                  .k = WIDTH,
                                  .x_stride = WIDTH,
                                  .y_stride = WIDTH});
    k->attend_begin(&heads);
    k->attend(&heads);
}

bool at_kernels_slower_fp32(const struct at_kernels *a, const struct at_kernels *b)
{
    _Static_assert(WIDTH % AT_PANEL == 0 && DIM % AT_LANE == 0, "whole panels and lanes");
    struct window *w = at_mem_alloc(NULL, AT_MEM_OTHER, sizeof *w);
    if (!w)
        return false;
    fill(w->x, ROWS * WIDTH);
    fill(w->y, WIDTH * WIDTH); /* the weights as they come: y is written later */
    fill(w->q, ROWS * DIM);
    fill(w->k, SLOTS * DIM);
    fill(w->v, SLOTS * DIM);
    at_kernels_pack(w->y, WIDTH, WIDTH, w->w);
    at_kernels_pack_split(w->y, WIDTH, WIDTH, w->pieces);
    for (int i = 0; i < ROWS; i++)
        w->hi[i] = SLOTS;
    bool slower = is_slower(a, b, window, w, 8);
    at_mem_free(NULL, w);
    return slower;
}
