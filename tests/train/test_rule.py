#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""train/evaluate.py judges by the arithmetic of lib/model/decide.c: temperature, evidence, confidence, and which answers are no
class, of the shipped model's numbers on random logits. $RULE names the program of tests/train/rule.c.

Exit 77 (skipped) where PyTorch is not installed.
"""
import json
import os
import subprocess
import sys

from with_torch import ROOT
import numpy as np
import data
import evaluate
import reference

MODEL, COUNT = ROOT / "models/attune-base.safetensors", 3000


def drawn(rng, n_classes):
    """Logits of which many stand near the limits, and what comes with them; some SNRs and shares are not known."""
    logits = np.float32(rng.normal(0, 2, (COUNT, n_classes)) * rng.uniform(0, 1, (COUNT, 1)))  # flat ones are unknown
    logits[np.arange(COUNT), rng.integers(0, n_classes, COUNT)] += np.float32(rng.uniform(0, 9, COUNT))
    snr, share = np.float32(rng.uniform(-15, 50, COUNT)), rng.uniform(0, 1.1, COUNT)
    snr[rng.random(COUNT) < .05] = np.nan
    share[rng.random(COUNT) < .05] = np.nan
    return logits, snr, share, np.floor(np.exp(rng.uniform(0, np.log(20000), COUNT)))


def by_program(backend, logits, snr, share, tokens):
    lines = "".join(f"{backend} {s:.9g} {t:.0f} {p:.17g} {' '.join(f'{v:.9g}' for v in row)}\n"
                    for row, s, p, t in zip(logits, snr, share, tokens))
    done = subprocess.run([os.environ["RULE"], MODEL], input=lines, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


def main():
    if "RULE" not in os.environ:
        sys.exit("RULE is not set: name the program, such as RULE=build/tests/train/rule")
    meta = reference.read_safetensors(MODEL)[1]
    labels = json.loads(meta["labels"])
    fixed = {k: json.loads(meta[k]) for k in ("calibration", "unknown", "weak")}
    noise, rng, failed = labels.index("noise"), np.random.default_rng(4), 0
    assert json.loads(meta["config"])["window"] == evaluate.WINDOW
    for backend, name in (("flash", "mha"), ("mha", "mha"), ("gqa", "gqa"), ("latent", "latent")):
        logits, snr, share, tokens = drawn(rng, len(labels))
        rows = by_program(backend, logits, snr, share, tokens)
        info = np.zeros(COUNT, data.INFO)
        info["measured_snr_db"], info["n_tokens"], info["share"] = snr, tokens, share
        exact = logits.astype(np.float64)
        t = evaluate.temperature(fixed["calibration"][name], exact, snr.astype(np.float64), tokens, noise)
        e = evaluate.evidence(fixed["weak"]["evidence"][name], exact, snr.astype(np.float64), tokens, info["share"].astype(np.float64), noise)
        top = evaluate.softmax(exact / t[:, None]).max(1)
        got = evaluate.named(fixed, name, exact, info, noise)
        theirs = np.array([[float(v) for v in r[:3]] for r in rows])
        far = max(float(np.abs(theirs[:, i] - v).max()) for i, v in enumerate((t, e, top)))
        clear = np.abs(e) > 1e-4  # the limit itself may fall either way in single precision
        other = int(sum(clear[i] and got[i] != (r[3] not in ("weak", "unknown")) for i, r in enumerate(rows)))
        odd = [int(sum(r[3] == w for r in rows)) for w in ("weak", "unknown")]
        bad = not far < 1e-4 or other or len(rows) != COUNT or min(*odd, int(got.sum())) < COUNT // 100
        failed += bool(bad)
        print(f"{'FAILED' if bad else 'ok'} {backend}: {len(rows)} decisions, {odd[0]} weak, {odd[1]} unknown, {got.sum()} named, "
              f"furthest {far:.1e} (bound 1e-4), {other} otherwise")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
