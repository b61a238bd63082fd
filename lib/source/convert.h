/* Native sample formats and their one conversion to float pairs.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_CONVERT_H
#define AT_SOURCE_CONVERT_H

#include <stddef.h>

/* Interleaved I, Q, little-endian, as SoapySDR and SigMF name them; cs24 is three bytes a value, as
 * in WAV. The last two are of files alone. */
enum at_iq_format {
    AT_IQ_CU8,
    AT_IQ_CS8,
    AT_IQ_CS16,
    AT_IQ_CF32,
    AT_IQ_CS24,
    AT_IQ_CS32,
    AT_IQ_FORMATS
};

/* "cu8", "cs8", "cs16", "cs24", "cs32", "cf32"; any case, and SoapySDR's capitals. -1: none of
 * them. Any thread. */
int at_iq_format_from_name(const char *name);
#define AT_IQ_FORMAT_NAMES "cu8, cs8, cs16, cs24, cs32 or cf32" /* for messages */
/* SigMF's core:datatype, which has none for cs24. -1: none of them. Any thread. */
int at_iq_format_from_sigmf(const char *datatype);
#define AT_IQ_SIGMF_NAMES "cu8, ci8, ci16_le, ci32_le or cf32_le"
const char *at_iq_format_name(enum at_iq_format format);
/* Bytes of one complex sample: 2, 2, 4, 8, 6, 8. */
size_t at_iq_format_size(enum at_iq_format format);
/* Raw value that means 1.0: 128, 128, 32768, 1, 2^23, 2^31. */
double at_iq_format_full_scale(enum at_iq_format format);
/* Quantisation noise density in dBFS/Hz at rate_hz: two uniform quantisers of step 1 / full_scale
 * (power 2 step^2 / 12) spread over rate_hz. Floats and what is finer than 16 bits count as 16: a
 * converter of fewer made them. */
double at_iq_format_floor(enum at_iq_format format, double full_scale, double rate_hz);

/* in: n samples of the format, any alignment; out: (n, 2) floats, raw / full_scale, cu8 with its
 * zero at 127.5. A sample with NaN, Inf or a magnitude above 1e10 (its power would overflow an FFT)
 * becomes 0 and is counted. Returns that count. RT-safe, any thread. */
size_t at_iq_convert(enum at_iq_format format, double full_scale, const void *in, size_t n,
                     float *out);

/* Samples as somebody has them, borrowed; as at_iq_convert() takes them. */
struct at_raw {
    const void *samples;
    enum at_iq_format format;
    double full_scale;
};

/* Samples [from, from + n) of a struct at_raw to iq (n, 2); what is not finite becomes 0. An
 * at_input's (lib/dsp/band.h). RT-safe, any thread. */
void at_raw_write(const void *raw, size_t from, size_t n, float *iq);

#endif
