/* What a recording's name says about it.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_IQNAME_H
#define AT_SOURCE_IQNAME_H

#include <stdint.h>

/* What was found; 0 and -1 where the name says nothing. */
struct at_iq_name {
    int format; /* enum at_iq_format, or -1 */
    double rate_hz, center_hz;
    int64_t start_utc_ns;
};

/* Reads the file's name (folders are ignored), split at '_':
 * - extension: .cu8 .cs8 .cs16 .cs24 .cs32 .cf32; .cfile .complex (cf32), .data .complex16u (cu8),
 * .complex16s (cs8), .complex32s (cs16), inspectrum's .fc32 .sc16 .c16 .sc8 .c8 .uc8, and gqrx's
 * "_fc.raw" (cf32);
 * - frequencies: "433.92M", "250k", "1M6" (1.6M), "1.2G", "2M", "437425000Hz", "7050kHz",
 * "100.1MHz". Of the last two with a k, M or G the larger is the centre and the smaller the rate
 * (g001_433.92M_250k); a single one is the rate below 25 MHz, else the centre; with "Hz" it is
 * always a centre, with "sps" always a rate (433.92MHz_250ksps);
 * - "f796_s1.92": centre and rate in MHz (LTE-Cell-Scanner); gqrx_DATE_TIME_HZ_RATE_fc (its time is
 * UTC); sigdigger_DATE_TIMEZ_RATE_HZ_float32_iq (cf32);
 * - UTC stamps 20171127T104156Z and 20171127_104156Z: start; bare digits right behind one are the
 * centre in Hz (KiwiSDR: 20171127T104156Z_77500_F1JEK_iq). Any thread. */
void at_iq_name_parse(const char *path, struct at_iq_name *ret);

#endif
