#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the shipped model knows signals that its own generator did not make: textbook.py and liquid.py.

    tests/independent/independent.py [--count 20] [--snr 10 30] [--jobs 2] [--attune build/tools/attune] [--model FILE] [--json]
    tests/independent/independent.py --at-least 0.8     # exit 1 where the upper end of the interval lies below it

Each signal goes through `attune classify` like a recording. Prints right / all per source and class with 95 % intervals
(Wilson), what was answered instead, and the calibration error of the confidences. Without liquid-dsp its part is left out, and said so.
"""
import argparse
import collections
import concurrent.futures
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

import liquid
import textbook

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"textbook": textbook, "liquid": liquid}


def classify(attune, model, iq, rate):
    run = subprocess.run([attune, "classify", *(["--model", model] if model else []), "-", "--format", "cf32", "--rate", str(int(rate)), "--json"], input=iq.tobytes(),
                         capture_output=True, timeout=120)
    if run.returncode != 0:
        raise SystemExit(f"attune classify left with {run.returncode}: {run.stderr.decode().strip()}")
    summary = json.loads(run.stdout.decode().strip().splitlines()[-1])["summary"]
    return summary["class"], summary.get("confidence", 0.0)


def one(task):
    attune, model, source, name, seed, snr = task
    iq, rate = SOURCES[source].capture(name, seed, snr)
    return classify(attune, model, iq, rate)


def interval(right, of, z=1.96):
    """Wilson's 95 % interval of a share."""
    if of == 0:
        return 0.0, 1.0
    p, d = right / of, 1 + z * z / of
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / d
    return (p + z * z / (2 * of)) / d - half, (p + z * z / (2 * of)) / d + half


def calibration_error(confidence, right, bins=15):
    """Expected calibration error over equal-mass bins, and what exact numbers would show with so few (mean of 200 draws)."""
    order = np.argsort(confidence)
    c = np.asarray(confidence)[order]
    error = lambda hit: sum(len(i) * abs(c[i].mean() - hit[i].mean()) for i in np.array_split(np.arange(len(c)), bins) if len(i)) / len(c)
    rng = np.random.default_rng(1)
    return error(np.asarray(right, float)[order]), float(np.mean([error(rng.random(len(c)) < c) for _ in range(200)]))


def said(right, of):
    lo, hi = interval(right, of)
    return f"{right:4d} / {of} = {right / of:6.1%} ({lo:.1%} to {hi:.1%})"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=20, help="signals per class and source")
    p.add_argument("--snr", type=float, nargs=2, default=(10.0, 30.0))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--attune", default=str(ROOT / "build/tools/attune"))
    p.add_argument("--model", help="weights; default: the command's own")
    p.add_argument("--sources", nargs="*", default=sorted(SOURCES, reverse=True), choices=sorted(SOURCES))
    p.add_argument("--classes", nargs="*", default=sorted(textbook.SIGNALS))
    p.add_argument("--at-least", type=float, default=0.0)
    p.add_argument("--json", action="store_true")
    return p.parse_args()


def main():
    a = arguments()
    if liquid.LIB is None and "liquid" in a.sources:
        print("liquid-dsp is not installed (apt install libliquid1): textbook signals only", file=sys.stderr)
        a.sources.remove("liquid")
    total, rows, sure = collections.Counter(), [], []
    with concurrent.futures.ProcessPoolExecutor(a.jobs) as pool:
        for source in a.sources:
            for name in [c for c in a.classes if c in SOURCES[source].SIGNALS]:
                seeds = [a.seed * 100000 + i for i in range(a.count)]
                tasks = [(a.attune, a.model, source, name, s, float(np.random.default_rng(s).uniform(*a.snr))) for s in seeds]
                said_of = list(pool.map(one, tasks))
                answers = collections.Counter(c for c, _ in said_of)
                if name != "noise":
                    sure += [(p, c == name) for c, p in said_of if c not in ("none", "weak", "unknown", "noise")]
                accept = ("noise", "none", "weak") if name == "noise" else (name,)
                right = sum(answers[k] for k in accept)
                rows.append({"source": source, "class": name, "right": right, "of": a.count, "answers": dict(answers)})
                total.update({source + " right": right, source + " of": a.count, "right": right, "of": a.count})
                if not a.json:
                    wrong = {k: v for k, v in answers.most_common() if k not in accept}
                    print(f"{source:8s} {name:8s} {said(right, a.count)}  {wrong if wrong else ''}", flush=True)
    ece = calibration_error(*zip(*sure)) if len(sure) >= 100 else None
    if a.json:
        print(json.dumps({"ece": ece, "named": len(sure), "right": total["right"], "of": total["of"], "interval": interval(total["right"], total["of"]), "rows": rows}))
    else:
        for source in a.sources:
            print(f"{source:17s} {said(total[source + ' right'], total[source + ' of'])}")
        print(f"{'all':17s} {said(total['right'], total['of'])}")
        if ece:
            print(f"calibration error of the {len(sure)} that got a class: {ece[0]:.3f} ({ece[1]:.3f} if exact)")
    return interval(total["right"], total["of"])[1] < a.at_least


if __name__ == "__main__":
    sys.exit(main())
