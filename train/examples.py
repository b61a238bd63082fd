#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes examples with all cores and writes them as chunk files that training and evaluation read.

    train/examples.py --out pool --plan validation:2048 train:1000s test:34816     # in this order, side by side with train.py
    train/examples.py --out pool --plan train:20000 validation:1000 --processes 2  # so many examples, on any machine

A plan item is SPLIT:COUNT or SPLIT:SECONDSs (until that many seconds after the start). train and validation: SNR -10 to
40 dB and all lengths (of train one in seven is stronger); test and calibration: up to 1024 tokens, test to 30 dB; long:
4096 tokens. Training chunks beyond --keep-gb are removed, oldest first; by then the trainer has read them.
"""
import argparse
import json
import multiprocessing as mp
import os
import sys
import time
from pathlib import Path

import data

# SNR range, lengths; of the training's signals one in seven is strong
KINDS = {"train": ((-10.0, 40.0), data.BUCKETS), "validation": ((-10.0, 40.0), data.BUCKETS),
         "calibration": ((-10.0, 40.0), (1024,)), "test": ((-10.0, 30.0), (1024,)), "long": ((-10.0, 30.0), (4096,))}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--plan", nargs="+", required=True)
    p.add_argument("--chunk", type=int, default=128, help="examples of a file")
    p.add_argument("--processes", type=int, default=os.cpu_count())
    p.add_argument("--scene", type=int, default=6, help="examples of a scene at most, for timed items")
    p.add_argument("--outliers", type=int, default=12, help="every n-th example is of no class; 0: none")
    p.add_argument("--keep-gb", type=float, default=20)
    p.add_argument("--first-chunk", type=int, default=0, help="number of the first file of timed items: after a lost pool, new examples")
    p.add_argument("--until", type=Path, help="timed items also end when this file is there")
    p.add_argument("--library", help="path of libattune-dataset.so")
    return p.parse_args()


def parse_plan(words):
    out = []
    for word in words:
        split, _, amount = word.partition(":")
        if split not in KINDS or not amount.rstrip("s").isdigit():
            raise SystemExit(f"--plan {word}: SPLIT:COUNT or SPLIT:SECONDSs expected, SPLIT one of {', '.join(KINDS)}")
        out.append((split, int(amount.rstrip("s")), amount.endswith("s")))
    return out


def work(plan, counters, args, began):
    os.nice(5)
    generator = data.Generator(args.library)
    for (split, amount, timed), counter in zip(plan, counters):
        snr, lengths = KINDS[split]
        while True:
            with counter.get_lock():
                k = counter.value
                counter.value += 1
            first = k * args.chunk
            count = args.chunk if timed else min(args.chunk, amount - first)
            if count <= 0 or (timed and (time.time() - began >= amount or (args.until and args.until.exists()))):
                break
            path = args.out / data.chunk_name(split, k)
            if not path.exists():
                data.make_chunk(generator, split, first, count, snr, lengths,
                                args.scene if timed else 1, args.outliers).write(path)


def trim(folder, keep_bytes):
    files = sorted(folder.glob("train-*.npz"))
    sizes = [f.stat().st_size for f in files]
    over = sum(sizes) - keep_bytes
    for f, size in zip(files, sizes):
        if over <= 0:
            break
        f.unlink()
        over -= size


def main():
    args, began = arguments(), time.time()
    plan = parse_plan(args.plan)
    args.out.mkdir(parents=True, exist_ok=True)
    generator = data.Generator(args.library)
    (args.out / "labels.json").write_text(json.dumps({"labels": generator.labels(), "n_bins": generator.n_bins, "columns": generator.columns}))
    counters = [mp.Value("l", 0) for _ in plan]
    for (split, _, timed), counter in zip(plan, counters):
        if timed:  # goes on after what is there
            counter.value = max([int(f.stem.split("-")[1]) + 1 for f in args.out.glob(split + "-*.npz")], default=args.first_chunk)
    start = lambda: mp.Process(target=work, args=(plan, counters, args, began))
    workers, restarts = [start() for _ in range(args.processes)], 0
    for w in workers:
        w.start()
    while any(w.is_alive() for w in workers):
        time.sleep(.2 if time.time() - began < 5 else 2)
        trim(args.out, args.keep_gb * 1e9)
        for i, w in enumerate(workers):
            if not w.is_alive() and w.exitcode not in (0, None) and restarts < 50:
                restarts += 1  # it costs the chunk that it was at, not the run
                print(f"a process ended with {w.exitcode}; starting another", file=sys.stderr, flush=True)
                workers[i] = start()
                workers[i].start()
    failed = sum(w.exitcode != 0 for w in workers)
    print(f"{time.time() - began:.1f} s, {sum(1 for _ in args.out.glob('*.npz'))} files, {failed} processes failed", flush=True)
    return failed == len(workers)


if __name__ == "__main__":
    sys.exit(main())
