# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated receiver has done: soapy-sim/counts.h, read from the file of its counts= argument."""
import struct

WORDS = ("magic lives activations handed not_finite overflow late gap corrupt silent steps since_step gone_until unplugged "
         "gain_mdb mute play_ns retunes").split()
MAGIC = 0x313030746e756f63


def counts(path):
    """The counts as a dictionary; {} before the receiver has begun."""
    try:
        with open(path, "rb") as f:
            raw = f.read(8 * len(WORDS))
    except FileNotFoundError:
        return {}
    if len(raw) < 8 * len(WORDS):
        return {}
    out = dict(zip(WORDS, struct.unpack(f"<{len(WORDS)}Q", raw)))
    return out if out["magic"] == MAGIC else {}
