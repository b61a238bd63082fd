/* The channel of one emission: its bins of the shared block FFT, filtered, a small inverse FFT
 * (overlap-save), and for narrow channels a second decimation in time. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_DSP_CHANNELIZE_H
#define AT_DSP_CHANNELIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"

#define AT_CHANNEL_MIN_RATE 8000.0
#define AT_CHANNEL_PASS                                                                            \
    0.42 /* flat within 0.5 dB up to this share of the channel rate, either side */

/* How a channel is cut: pure numbers, so that the choice is tested as a table. */
struct at_channel_shape {
    unsigned n_block;    /* N of the block FFT */
    unsigned n_inverse;  /* points of the small inverse FFT; N: the whole band, turned round */
    unsigned decimation; /* second one, in time: 1, 2, 4, ... */
    int bin;             /* block bin that becomes 0 Hz */
    double fine_hz;      /* rest of the shift, in time; only where decimation > 1 */
    double center_hz;    /* baseband frequency that becomes 0 Hz */
    double rate_hz;      /* of the channel */
};

/* The shape for an emission f_lo .. f_hi (baseband Hz): the slowest rate at which it fills at most
 * 1/2, at least AT_CHANNEL_MIN_RATE. Its middle comes to 0 Hz (within half a block bin where
 * decimation is 1), in a channel of the whole band too: what leaves that at one end comes in at the
 * other. duration_s > 0: it is over and lasted so long; then the rate goes up until min_tokens hops
 * of hop samples fit, while it still fills 1/16. */
void at_channel_fit(struct at_channel_shape *ret, double band_rate_hz, unsigned n_block,
                    double f_lo_hz, double f_hi_hz, double duration_s, unsigned min_tokens,
                    unsigned hop);

struct at_channel;

/* 0 or -ENOMEM. */
int at_channel_create(struct at_mem *mem, const struct at_channel_shape *shape, double band_rate_hz,
                      struct at_channel **ret_channel);
void at_channel_destroy(struct at_channel *c);
/* Forgets the past (after a gap, or a jump in time): the next block begins anew. RT-safe. */
void at_channel_reset(struct at_channel *c);
/* Samples that one block makes, and that the second decimation lags behind the input. */
unsigned at_channel_block_samples(const struct at_channel *c);
unsigned at_channel_lag(const struct at_channel *c);
/* One block spec (N, 2), number seq of its stretch (NULL: silence after its end) -> out,
 * at_channel_block_samples() of them, (n, 2). dc: constant (re, im) to be taken off the band, or
 * NULL. Sample i of it stands at band sample seq V + (i - lag) step, step = band rate / channel
 * rate. RT-safe. */
void at_channel_run(struct at_channel *c, const float *spec, uint64_t seq, const float *dc,
                    float *out);
/* Power response at f_hz (n) in the channel: ret (n), which may be f_hz. */
void at_channel_responses(const struct at_channel *c, const double *f_hz, unsigned n, double *ret);

#endif
