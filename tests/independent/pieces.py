#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard-keyed textbook signals by numpy alone, whose far and near lobes no filter rounds: how many emissions each becomes.

    tests/independent/pieces.py [--rates 48e3 250e3 1e6] [--levels 15 20 30 40] [--seeds 1] [--jobs 2] [--at-most SHARE]

Manchester FSK, FSK of index 2 and 6, MSK, BPSK and QPSK with rectangular pulses; a symbol rate of 0.5, 2 and 8 % of the band's; off the
middle; SNR in their own band; noise before and after. One emission each is right; `too many` are those beyond it.
"""
import argparse
import concurrent.futures
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from textbook import TAU, from_frequency, hold

ROOT = Path(__file__).resolve().parents[2]
SECONDS = {48e3: 3.0, 250e3: 1.5, 1e6: .8}
SHARES = (.005, .02, .08)


def fsk(index, manchester=False):
    def make(rng, rate, baud, n):
        s = rng.integers(0, 2, int(n * baud / rate) + 2) * 2.0 - 1
        if manchester:
            s = np.stack([s, -s], 1).ravel()
        chips = baud * (2 if manchester else 1)
        return from_frequency(index * baud / 2 * hold(s, rate, chips, n), rate), (index + (2 if manchester else 1)) * baud
    return make


def psk(order):
    def make(rng, rate, baud, n):
        s = np.exp(1j * TAU * (rng.integers(0, order, int(n * baud / rate) + 2) + .5) / order)
        return hold(s, rate, baud, n), 1.2 * baud
    return make


KINDS = {"manchester": fsk(.67, True), "fsk index 2": fsk(2), "fsk index 6": fsk(6), "msk": fsk(.5), "bpsk": psk(2), "qpsk": psk(4)}


def scene(kind, rate, share, snr_db, seed):
    """(iq complex64 (n,)): on for 60 % of the time, at a place of its own off the middle."""
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind), int(rate), int(share * 1e4), snr_db])
    n = int(SECONDS[rate] * rate)
    x, bw = KINDS[kind](rng, rate, share * rate, n)
    first, last = int(.2 * n), int(.8 * n)
    x[:first] = x[last:] = 0
    place = rng.choice([-1, 1]) * rng.uniform(.05, max(.06, .4 - bw / rate / 2)) * rate
    noise = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    x = x * np.exp(1j * TAU * place / rate * np.arange(n)) + np.sqrt(10 ** (-snr_db / 10) / bw * rate / 2) * noise
    return (x / (1.2 * np.abs(x.view(float)).max())).astype(np.complex64)


def emissions(task):
    attune, *what = task
    run = subprocess.run([attune, "classify", "-", "--format", "cf32", "--rate", str(int(what[1])), "--json"], input=scene(*what).tobytes(),
                         capture_output=True, timeout=300, check=False)
    if run.returncode != 0:
        raise SystemExit(f"attune classify left with {run.returncode}: {run.stderr.decode().strip()}")
    return sum("summary" not in json.loads(s) for s in run.stdout.decode().splitlines())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rates", type=float, nargs="+", choices=sorted(SECONDS), default=sorted(SECONDS))
    p.add_argument("--levels", type=int, nargs="+", default=[15, 20, 30, 40], help="SNR in dB")
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--attune", default=str(ROOT / "build/tools/attune"))
    p.add_argument("--at-most", type=float, default=1.0, help="exit 1 where a larger share is more than one")
    a = p.parse_args()
    counts = {}
    with concurrent.futures.ProcessPoolExecutor(a.jobs) as pool:
        for kind in KINDS:
            tasks = [(a.attune, kind, rate, share, snr, seed) for rate in a.rates for share in SHARES for snr in a.levels for seed in range(a.seeds)]
            counts[kind] = np.array(list(pool.map(emissions, tasks)))
            n = counts[kind]
            print(f"{kind:12s} of {len(n):3d}: none {np.sum(n == 0):2d}, more than one {np.sum(n > 1):2d}, too many {np.sum(np.maximum(n - 1, 0)):3d}, at most {n.max()}", flush=True)
    n = np.concatenate(list(counts.values()))
    print(f"all          of {len(n):3d}: none {np.sum(n == 0):2d}, more than one {np.sum(n > 1):2d}, too many {np.sum(np.maximum(n - 1, 0)):3d}, at most {n.max()}")
    return int(np.mean(n > 1) > a.at_most)


if __name__ == "__main__":
    sys.exit(main())
