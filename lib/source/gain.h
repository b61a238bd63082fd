/* attuned's own slow gain control: a pure function over a plain struct, never the driver's AGC.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_GAIN_H
#define AT_SOURCE_GAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct at_gain_control {
    double min_db, max_db, gain_db; /* range and present value; min == max: nothing to control */
    int64_t since_ns;               /* of this look at the levels; 0: begins with the next */
    int64_t quiet_ns;               /* how long the peak has been low */
    uint64_t samples, clipped;
    float peak;
};

/* Adds a look at (n, 2) floats delivered at now_ns. Each half second: down by 6 dB where more than
 * 1 sample in 1000 is within 2 % of full scale; up by 3 dB where the peak stayed below -12 dBFS for
 * 3 s. True: gain_db has changed and is to be set. Any thread, RT-safe. */
bool at_gain_control_push(struct at_gain_control *g, const float *iq, size_t n, int64_t now_ns);

#endif
