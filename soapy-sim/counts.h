/* What attunesim has done, exactly, in a file that tests map (counts=PATH): it outlives the process
 * that plays, so that a script goes on where a crash ended it. All are unsigned 64-bit words in
 * this order; tests/support/attunesim.py reads them too. Plain C, and C++. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef ATTUNESIM_COUNTS_H
#define ATTUNESIM_COUNTS_H

#include <stdint.h>

#define ATTUNESIM_MAGIC UINT64_C(0x313030746e756f63) /* "count001" */

struct attunesim_counts {
    uint64_t magic;
    uint64_t lives;       /* devices made */
    uint64_t activations; /* streams started */
    uint64_t handed;      /* samples handed over, those that are not finite included */
    uint64_t not_finite;  /* of them */
    uint64_t overflow;    /* samples lost, and it said so (late ones included) */
    uint64_t late;    /* of them: the reader was away for longer than the device holds samples */
    uint64_t gap;     /* samples lost, and only the timestamps told */
    uint64_t corrupt; /* samples in buffers that it said were bad, or that claimed to be too long */
    uint64_t silent; /* samples that passed while it was silent (timeout) and came back by itself */
    uint64_t steps;  /* of the script that are done */
    uint64_t since_step; /* samples handed over since then */
    uint64_t gone_until; /* CLOCK_MONOTONIC in ns; 0: plugged in */
    uint64_t unplugged;  /* how often */
    uint64_t gain_mdb;   /* of the newest setting, thousandths of a dB */
    uint64_t mute;       /* silent for ever (timeout without an end), in later lives too */
    uint64_t play_ns;    /* processor time spent on making samples: the simulator's own share */
    uint64_t retunes;    /* frequencies set while it streamed */
};

#endif
