/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/source.h"

const char *at_lost_reason_name(enum at_lost_reason reason)
{
    static const char *const names[AT_LOST_REASONS] = {
        [AT_LOST_OVERFLOW] = "overflow",   [AT_LOST_GAP] = "gap",
        [AT_LOST_RING_FULL] = "ring_full", [AT_LOST_STALL] = "stall",
        [AT_LOST_CORRUPT] = "corrupt",     [AT_LOST_RETUNE] = "retune",
    };
    return (unsigned)reason < AT_LOST_REASONS ? names[reason] : "unknown";
}

const char *at_source_state_name(enum at_source_state state)
{
    static const char *const names[] = {"starting", "running", "stalled", "ended", "failed"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}
