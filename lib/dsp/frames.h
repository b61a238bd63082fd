/* Channel IQ -> frames (tokens): spectra at noise = 0 dB and the aux values beside them.
 *
 * A frame is n_bins spectrum values, then the aux columns below in this order. It is the one place
 * where features are made: the daemon, the command line and the training (through lib/dataset) all
 * come here. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_FRAMES_H
#define AT_DSP_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define AT_FRAME_BINS                                                                              \
    128               /* reference point; a model file may say another power of two, 32..512       \
                       */
#define AT_AUX_HIST 8 /* columns of each histogram */

/* Columns behind the spectrum. The statistics are those of the frame's IQ after bins outside the
 * emission's edges are taken out (FFT, zero, inverse), weighted by the squared window; they tell
 * apart what power spectra cannot (envelope: GMSK, PSK, OFDM, OOK; frequency: two levels, four
 * levels, speech, chirp). All are dimensionless and clipped. */
enum at_aux {
    AT_AUX_BIN_KHZ,  /* log2 of the bin width in kHz */
    AT_AUX_SHARE,    /* occupied share of the channel, 0..1 */
    AT_AUX_SKIPPED,  /* log2(1 + silent tokens skipped before this one) */
    AT_AUX_KURTOSIS, /* log2 of E|x|^4 / (E|x|^2)^2; 0 is a constant envelope, 1 Gaussian */
    AT_AUX_FREQ_STD, /* standard deviation of the instantaneous frequency over the emission's
                        bandwidth */
    AT_AUX_ENV, /* AT_AUX_HIST columns: share of time with |x| / rms in bins of 0.25, the last open
                 */
    AT_AUX_FREQ =
        AT_AUX_ENV +
        AT_AUX_HIST, /* share of energy: instantaneous frequency from edge to edge in equal bins; a
                        line near the border of two counts in that in which it began */
    AT_AUX_COUNT = AT_AUX_FREQ + AT_AUX_HIST,
};
/* "bin_khz", "share", "skipped", "kurtosis", "freq_std", "env0".., "freq0".. as the model file's
 * config names them. */
const char *at_aux_name(unsigned column);

struct at_framer; /* one channel's state: overlap, plans, scratch */

struct at_framer_config {
    unsigned n_bins;         /* power of two, 32..512; hop is n_bins / 2 */
    double rate_hz;          /* channel rate */
    double f_lo_hz, f_hi_hz; /* the emission's edges in the channel */
    double noise_density;    /* noise power per Hz at the channel's input, full-scale^2 / Hz */
    const float *response; /* (n_bins) power response of the channel filter per bin, borrowed during
                              create; NULL: flat 1 */
};

int at_framer_create(struct at_mem *mem, const struct at_framer_config *config,
                     struct at_error *err, struct at_framer **ret_framer);
void at_framer_destroy(struct at_framer *f);
/* Follows the emission: new edges, noise density. RT-safe. */
void at_framer_set(struct at_framer *f, double f_lo_hz, double f_hi_hz, double noise_density);
/* Forgets the overlap (after a gap). RT-safe. */
void at_framer_reset(struct at_framer *f);
/* Takes n samples iq (n, 2); writes up to max_frames frames (max_frames, n_bins + AT_AUX_COUNT) and
 * returns how many; *ret_used says how many samples were taken (all, unless max_frames stopped it).
 * A frame is due each hop, the first after n_bins samples. Spectrum: clip(dB / 10, -4, 8), 0 dB the
 * mean noise power of that bin (window and filter included), bins in rising frequency, DC at n_bins
 * / 2. AT_AUX_SKIPPED is left 0 for the caller. RT-safe. */
size_t at_framer_push(struct at_framer *f, const float *iq, size_t n, float *frames,
                      size_t max_frames, size_t *ret_used);

/* Of the newest frame: mean over the occupied bins of power over noise, linear. RT-safe. */
float at_framer_ratio(const struct at_framer *f);

#endif
