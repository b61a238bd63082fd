#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the shipped model knows signals that its own generator did not make (textbook.py).

    tests/independent/independent.py [--count 20] [--snr 10 30] [--attune build/tools/attune] [--json]

Each signal goes through `attune classify` like a recording. Prints right / all per class, and what was answered instead.
"""
import argparse
import collections
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import textbook

ROOT = Path(__file__).resolve().parents[2]


def classify(attune, iq, rate):
    run = subprocess.run([attune, "classify", "-", "--format", "cf32", "--rate", str(int(rate)), "--json"], input=iq.tobytes(),
                         capture_output=True, timeout=120)
    if run.returncode != 0:
        raise SystemExit(f"attune classify left with {run.returncode}: {run.stderr.decode().strip()}")
    return json.loads(run.stdout.decode().strip().splitlines()[-1])["summary"]["class"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=20)
    p.add_argument("--snr", type=float, nargs=2, default=(10.0, 30.0))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--attune", default=str(ROOT / "build/tools/attune"))
    p.add_argument("--classes", nargs="*", default=sorted(textbook.SIGNALS))
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    total, rows = [0, 0], {}
    for name in a.classes:
        answers = collections.Counter()
        for i in range(a.count):
            snr = float(np.random.default_rng(a.seed * 1000 + i).uniform(*a.snr))
            iq, rate = textbook.capture(name, a.seed * 1000 + i, snr)
            answers[classify(a.attune, iq, rate)] += 1
        accept = ("noise", "none", "weak") if name == "noise" else (name,)
        right = sum(answers[k] for k in accept)
        rows[name] = {"right": right, "of": a.count, "answers": dict(answers)}
        total = [total[0] + right, total[1] + a.count]
        if not a.json:
            wrong = {k: v for k, v in answers.most_common() if k not in accept}
            print(f"{name:8s} {right:3d} / {a.count}  {wrong if wrong else ''}", flush=True)
    if a.json:
        print(json.dumps({"right": total[0], "of": total[1], "classes": rows}))
    else:
        print(f"all      {total[0]} / {total[1]} = {total[0] / total[1]:.1%}")


if __name__ == "__main__":
    sys.exit(main())
