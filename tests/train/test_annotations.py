#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""train/annotations.py reads the samples of each SigMF type to the same floats as lib/source/convert.c, which reads them for
everything else: random ones, the ends of the scale, and floats that are not finite or too large. $SAMPLES names the program
of tests/train/samples.c.

Exit 77 (skipped) where numpy is not installed.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(os.environ.get("ATTUNE_SRC", Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(ROOT / "train"))
try:
    import numpy as np
except ImportError:
    print("no numpy for this python: skipped")
    sys.exit(77)
import annotations

COUNT, FIRST = 4000, 7


def drawn(rng, kind):
    """Stored values (2 COUNT)."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        x = rng.normal(0, 1, 2 * COUNT).astype(dtype)
        x[::50] = rng.choice([np.nan, np.inf, -np.inf, 1.1e10, -3e38, 9e9, 0], x[::50].size)
        return x
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max, 2 * COUNT, endpoint=True, dtype=dtype)
    x[::50] = rng.choice([limits.min, limits.max, 0], x[::50].size)
    return x


def by_program(kind, raw):
    done = subprocess.run([os.environ["SAMPLES"], kind], input=raw, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, 2)


def main():
    if "SAMPLES" not in os.environ:
        sys.exit("SAMPLES is not set: name the program, such as SAMPLES=build/tests/train/samples")
    named = re.search(r'AT_IQ_SIGMF_NAMES "(.*)"', (ROOT / "lib/source/convert.h").read_text())[1]
    assert set(re.split(", | or ", named)) == set(annotations.TYPES), (named, *annotations.TYPES)
    rng, failed = np.random.default_rng(5), 0
    with tempfile.TemporaryDirectory() as folder:
        for kind, (dtype, _, _) in annotations.TYPES.items():
            path = Path(folder, kind + ".sigmf-meta")
            path.write_text(json.dumps({"global": {"core:datatype": kind, "core:sample_rate": 1e6}}))
            raw = drawn(rng, dtype).tobytes()
            path.with_suffix(".sigmf-data").write_bytes(raw)
            ours, theirs = annotations.Recording(path).samples(FIRST, COUNT), by_program(kind, raw)[FIRST:]
            same = ours.dtype == np.float32 and ours.shape == theirs.shape and bool((ours == theirs).all())
            print(f"{kind}: {len(ours)} samples, {float(ours.min()):.6g} to {float(ours.max()):.6g}: {'the same' if same else 'OTHERS'}")
            failed += not same
    print(f"{len(annotations.TYPES) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
