/* The generator's inner loops, compiled once per ISA (lib/dsp/loops.h has the same scheme). No
 * operation is contracted or reordered, so that a seed gives the same samples everywhere.
 *
 * All are RT-safe; iq is (n, 2). Arrays do not overlap. SPDX-License-Identifier: GPL-3.0-or-later
 */
#ifndef AT_SYNTH_WAVES_H
#define AT_SYNTH_WAVES_H

#include <stddef.h>
#include <stdint.h>

/* A pulse or window by sub-phase: tab (rows, span), whose first tap belongs to the `before`-th
 * value before the place. */
struct at_taps {
    const float *tab;
    double rows;
    int span, before;
};

struct at_waves {
    uint32_t level;
    const char *name;
    /* cos and sin of 2 pi phase / 2^32 times amp (n) or 1 where NULL. */
    void (*sincos)(const uint32_t *phase, const float *amp, size_t n, float *iq);
    /* f_hz (n) times unit, turns of 2^32 that wrap around. */
    void (*steps)(const float *f_hz, size_t n, double unit, uint32_t *out);
    /* iq times by (n, 2). */
    void (*turn)(float *iq, const float *by, size_t n);
    /* iq times an oscillator of phase p + k step, of 2^64 a turn; dst (n, 2) += gain times the
     * same of src. */
    void (*mix)(float *iq, size_t n, uint64_t p, uint64_t step);
    void (*mix_add)(float *dst, const float *src, size_t n, uint64_t p, uint64_t step, float gain);
    /* Two normal values of each draw: out (2 n). */
    void (*normals)(const uint64_t *draws, size_t n, float *out);
    /* out (n) = or, where add, += x (n) times by. */
    void (*scale)(const float *x, size_t n, float by, int add, float *out);
    /* out[i] = tap[0] x[i] + sum over k to m of tap[k] (x[i - 2 k] + x[i + 2 k]). */
    void (*symmetric)(const float *x, size_t n, const float *tap, unsigned m, float *out);
    /* out[i] = sum over k of sym[k] g((i + 1/2 - t0) step - k), g by its taps; sym (n_sym), outside
     * it 0. pulse2: of complex symbols (n_sym, 2); resample: of in (m, 2) at start + i step. */
    void (*pulse)(const struct at_taps *t, const float *sym, size_t n_sym, double t0, double step,
                  float *out, size_t n);
    void (*pulse2)(const struct at_taps *t, const float *sym, size_t n_sym, double t0, double step,
                   float *out, size_t n);
    void (*resample)(const struct at_taps *t, const float *in, size_t m, double start, double step,
                     float *out, size_t n);
    /* out (2 n, 2) at twice the rate of x (n + 2 k - 1, 2), from its sample k - 1 on: that, then
     * between it and the next the sum over j to k of tap[j] times those j before and after. */
    void (*twice)(const float *x, size_t n, const float *tap, unsigned k, float *out);
    /* I times gi; Q: gq (c Q + s I). */
    void (*unbalance)(float *iq, size_t n, float gi, float gq, float c, float s);
    float (*peak)(const float *x, size_t n);    /* highest |x| */
    double (*energy)(const float *x, size_t n); /* sum of squares */
    /* Clipped at full, then to one of `levels` each side of 0 (0: any value); half: between them.
     */
    void (*convert)(float *x, size_t n, float full, float levels, int half);
    /* A pass of stride s over an FFT of n, parts apart; cs, sn (n) twiddles. */
    void (*pass)(const float *xr, const float *xi, float *yr, float *yi, size_t n, size_t s,
                 const float *cs, const float *sn);
};

/* The i-th that runs here, best first; NULL past the end. Any thread. */
const struct at_waves *at_waves_at(size_t i);
/* The best. */
const struct at_waves *at_waves_best(void);

#endif
