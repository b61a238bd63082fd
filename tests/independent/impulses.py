#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Narrow stations under impulse noise (mains, electric fences, ignition), by numpy alone: how many are found and named.

    tests/independent/impulses.py [--rates 12e3 48e3 250e3 2.4e6] [--levels 10 20 30] [--seeds 1] [--blanker DB] [--jobs 2] [--at-least SHARE]

Each rate has a band of stations of its own, 12 to 25 dB in their bandwidth; onto the same samples come no pulses, and trains
of so many dB (mean power of a pulse over the noise of all the band). A station is found where exactly one emission has its
place and at most three times its width (of lines: 300 Hz); `others` are emissions that lie at no station.
"""
import argparse
import concurrent.futures
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import signal

import textbook
from textbook import TAU, from_frequency, gaussian, hold

ROOT = Path(__file__).resolve().parents[2]
SECONDS = {12e3: 6.0, 48e3: 4.0, 250e3: 2.5, 2.4e6: 1.2}


def rtty(rng, rate, n):
    s = rng.integers(0, 2, int(n * 45.45 / rate) + 2) * 2.0 - 1
    return from_frequency(85 * hold(s, rate, 45.45, n), rate), 250.0


def ft8(rng, rate, n):
    s = rng.integers(0, 8, int(n * 6.25 / rate) + 2) - 3.5
    return from_frequency(6.25 * gaussian(hold(s, rate, 6.25, n), rate, 6.25, 2.0), rate), 50.0


def nfm(rng, rate, n):
    return from_frequency(2500 * np.clip(2 * textbook.speech(rng, rate, n), -1, 1), rate), 9000.0


def sensor(rng, rate, n):
    s = rng.integers(0, 2, int(n * 9600 / rate) + 2) * 2.0 - 1
    return from_frequency(20e3 * hold(s, rate, 9600, n), rate) * textbook.gate(n, rate, .05, .1, rng), 50e3


# kind: (function, rate it is made at, class; None: it has none)
KINDS = {"ssb": (textbook.ssb, 12e3, "ssb"), "cw": (textbook.cw, 12e3, "cw"), "am": (textbook.am, 24e3, "am"), "nfm": (nfm, 48e3, "nfm"),
         "rtty": (rtty, 6e3, "fsk2"), "ft8": (ft8, 6e3, None), "sensor": (sensor, 200e3, "fsk2")}
# rate: stations, (kind, place in Hz)
BANDS = {
    12e3: [("cw", -5200), ("rtty", -4000), ("ssb", 300), ("cw", 4800)],
    48e3: [("ssb", -19e3), ("cw", -14e3), ("am", -9e3), ("rtty", -3.1e3), ("ft8", 600), ("ssb", 7e3), ("cw", 13e3), ("am", 18e3)],
    250e3: [("nfm", -105e3), ("am", -80e3), ("ssb", -60e3), ("cw", -45e3), ("rtty", -30e3), ("ssb", -15e3), ("nfm", 12e3), ("ft8", 30e3),
            ("cw", 42e3), ("am", 60e3), ("nfm", 85e3), ("ssb", 108e3)],
    2.4e6: [("nfm", -1.0e6), ("nfm", -850e3), ("am", -700e3), ("sensor", -500e3), ("nfm", -350e3), ("am", -200e3), ("nfm", 90e3), ("cw", 200e3),
            ("am", 350e3), ("sensor", 550e3), ("nfm", 800e3), ("ssb", 950e3)],
}


def stations(rng, rate, n, noise):
    """Sum (n,) of the band's stations and (low edge, high edge, class) of each; noise: power of the band."""
    x, truth = np.zeros(n, complex), []
    for kind, place in BANDS[rate]:
        make, made_at, name = KINDS[kind]
        made_at = min(made_at, rate)
        m = int(np.ceil(n * made_at / rate)) + 8
        y, bw = make(rng, made_at, m)
        g = np.gcd(int(rate), int(made_at))
        y = np.roll(y, rng.integers(m)) if kind in ("cw", "ssb", "am", "nfm") else y  # they begin alike
        y = signal.resample_poly(y, int(rate) // g, int(made_at) // g)[:n] if rate != made_at else y[:n]
        on = np.abs(y) > .1 * np.abs(y).max()
        snr = 10 ** (rng.uniform(12, 25) / 10)
        y *= np.sqrt(snr * noise * max(bw, 100) / rate / (np.abs(y[on]) ** 2).mean())
        f = np.fft.fftfreq(1 << 14, 1 / rate)
        lo, hi = place - bw / 2, place + bw / 2
        if kind == "ssb":
            mean = (f * np.abs(np.fft.fft(y[:1 << 14])) ** 2).sum() if n >= 1 << 14 else 0
            lo, hi = (place, place + bw) if mean > 0 else (place - bw, place)
        x += y * np.exp(1j * TAU * (place / rate * np.arange(n) + rng.random()))
        truth.append((lo, hi, name))
    return x, truth


def pulses(rng, rate, n, train, shape, db, noise):
    """A train of broadband pulses (n,): train in Hz, or -Hz of random times."""
    if train > 0:
        at = np.arange(rng.random(), n * train / rate) * rate / train
    else:
        at = np.sort(rng.uniform(0, n, rng.poisson(n * -train / rate)))
    at = at.astype(int)
    length = {"1us": 1e-6, "10us": 10e-6, "100us": 100e-6, "rung": 1e-6}[shape]
    m = max(1, int(round(length * rate)))
    x = np.zeros(n + 64 + m, complex)
    for i in at:
        x[i:i + m] += rng.standard_normal(m) + 1j * rng.standard_normal(m) if m > 1 else np.exp(1j * TAU * rng.random()) * np.sqrt(2)
    x *= np.sqrt(10 ** (db / 10) * noise / 2)
    if shape == "rung":
        b = signal.cheby1(8, .5, .8)
        x = signal.lfilter(*b, x)
    return x[:n]


def scene(rate, seed, train, shape, db):
    rng = np.random.default_rng([seed, int(rate)])
    n = int(SECONDS[rate] * rate)
    x, truth = stations(rng, rate, n, 1.0)
    x = x + (rng.standard_normal(n) + 1j * rng.standard_normal(n)) / np.sqrt(2)
    if train:
        x = x + pulses(rng, rate, n, train, shape, db, 1.0)
    return (x / max(200, 1.1 * np.abs(x.view(float)).max())).astype(np.complex64), truth


def judge(truth, emissions):
    found = right = 0
    used = set()
    for lo, hi, name in truth:
        slack = max(.3 * (hi - lo), 100)
        here = [i for i, e in enumerate(emissions) if lo - slack < e["center_hz"] < hi + slack and e["bandwidth_hz"] < max(3 * (hi - lo), 300)]
        used |= set(here)
        if len(here) == 1:
            found += 1
            right += name is None or emissions[here[0]]["class"] == name
    return found, right, len(emissions) - len(used)


def one(task):
    attune, blanker, rate, seed, train, shape, db = task
    iq, truth = scene(rate, seed, train, shape, db)
    run = subprocess.run([attune, "classify", "-", "--format", "cf32", "--rate", str(int(rate)), "--json", *(["--blanker", str(blanker)] if blanker else [])], input=iq.tobytes(), capture_output=True, timeout=300)
    if run.returncode != 0:
        raise SystemExit(f"attune classify left with {run.returncode}: {run.stderr.decode().strip()}")
    lines = [json.loads(s) for s in run.stdout.decode().splitlines()]
    return (len(truth), *judge(truth, [e for e in lines if "summary" not in e]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rates", type=float, nargs="*", default=sorted(BANDS))
    p.add_argument("--trains", type=float, nargs="*", default=[50, 100, -100], help="pulses a second; negative: at random times")
    p.add_argument("--shapes", nargs="*", default=["1us", "100us", "rung"])
    p.add_argument("--levels", type=float, nargs="*", default=[10, 20, 30])
    p.add_argument("--seeds", type=int, default=1)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--attune", default=str(ROOT / "build/tools/attune"))
    p.add_argument("--blanker", type=float, default=0, help="noise blanker's threshold in dB")
    p.add_argument("--at-least", type=float, default=0.0, help="exit 1 where a smaller share of what is found without pulses is found with them")
    a = p.parse_args()
    worst = 1.0
    with concurrent.futures.ProcessPoolExecutor(a.jobs) as pool:
        for rate in a.rates:
            cases = [(0, "none", 0.0)] + [(t, s, d) for d in a.levels for s in a.shapes for t in a.trains]
            jobs = {c: [pool.submit(one, (a.attune, a.blanker, rate, seed, *c)) for seed in range(a.seeds)] for c in cases}
            sums = {c: np.sum([j.result() for j in jobs[c]], axis=0) for c in cases}
            of, found, right, others = sums[cases[0]]
            print(f"{rate:9.0f} without pulses          found {found:3d} right {right:3d} of {of:3d}, others {others}", flush=True)
            for db in a.levels:
                for shape in a.shapes:
                    line = [sums[(t, shape, db)] for t in a.trains]
                    worst = min([worst] + [s[1] / max(found, 1) for s in line])
                    print(f"{'':9s} {db:3.0f} dB {shape:5s}" + "".join(f"  | {'at ' if t > 0 else 'random '}{abs(t):.0f}: {s[1]:3d} {s[2]:3d} +{s[3]}" for t, s in zip(a.trains, line)), flush=True)
                total = np.sum([sums[(t, s, db)] for s in a.shapes for t in a.trains], axis=0)
                print(f"{'':9s} {db:3.0f} dB all    found {total[1] / total[0]:.1%} right {total[2] / total[0]:.1%} others a scene {total[3] / (len(a.shapes) * len(a.trains) * a.seeds):.1f}", flush=True)
    return int(worst < a.at_least)


if __name__ == "__main__":
    sys.exit(main())
