/* An emission as the detector and tracker know it; the engine adds class and service.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_EMISSION_H
#define AT_DSP_EMISSION_H

#include <stdbool.h>
#include <stdint.h>

enum at_floor_source { AT_FLOOR_MEASURED, AT_FLOOR_LEARNED, AT_FLOOR_ASSUMED };
const char *at_floor_source_name(enum at_floor_source source); /* "measured", ... */

struct at_emission {
    uint64_t id; /* unique in its band, rising from 1; kept while it lives */
    bool ended;
    uint64_t start,
        end; /* absolute sample index: first on-sample, and one past the newest on-sample so far */
    double f_lo_hz,
        f_hi_hz;      /* edges (DESIGN.md section 1) against the band's centre: baseband, Hz */
    float snr_db;     /* power while on over the noise power between the edges */
    float level_dbfs; /* power while on; of a line all of it, also where the edges hold one bin */
    uint32_t bursts;  /* 1 for a steady one */
    float duty;       /* on-time over (end - start), 0..1 */
    float drift_hz_per_s;
    bool gap;       /* samples were lost within it */
    bool band_edge; /* the band cuts it */
    bool keyed;     /* bursts, on/off keying or hopping lines: max-hold edges were used */
    enum at_floor_source floor_source;
    double energy; /* sum of power over time, linear full-scale^2 x seconds: ranks emissions of a
                      file */
};

#endif
