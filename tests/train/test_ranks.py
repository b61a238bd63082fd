#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that train together (train/ranks.py), over gloo on the CPU: gradients are averaged, the weights stay the same everywhere and are those of
one process with both halves of the batch, one that fails ends them all, and chunks are read by one each."""
import sys
import tempfile
import time
from pathlib import Path

from with_torch import torch

import numpy as np

import data
import pool
import ranks


def net_of(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))


def batch(which):
    gen = torch.Generator().manual_seed(which)
    return torch.randn(8, 6, generator=gen), torch.randint(0, 3, (8,), generator=gen)


def train(net, parts, average):
    opt = torch.optim.SGD(net.parameters(), lr=.5)
    for step in range(5):
        opt.zero_grad()
        for x, y in parts(step):
            (torch.nn.functional.cross_entropy(net(x), y) / len(parts(step))).backward()
        average(net.parameters())
        opt.step()
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def work(out, r):
    net = net_of(r.rank)  # not the same ones
    r.same(net)
    weights = train(net, lambda step: [batch(2 * step + r.rank)], r.average)
    told = r.told([r.rank + .25, 7.0])
    torch.save((weights, told, r.all_true(True), r.all_true(r.first)), out / f"{r.rank}.pt")


def fails(out, r):
    if not r.first:
        raise SystemExit("no more")
    r.told([1.0])


def share_of(which):
    with tempfile.TemporaryDirectory() as folder:
        for k in range(5):
            info = np.zeros(1, data.INFO)
            data.Chunk(np.zeros((4, 128), np.uint8), np.zeros((4, 21), np.float16), info).write(Path(folder) / data.chunk_name("train", k))
        feed, came, end = pool.Feed(folder, share=(which, 2)), [], time.time() + 30
        while len(came) < (3, 2)[which] and time.time() < end:
            came += [k for k, _ in feed.take()]
        time.sleep(.1)
        came += [k for k, _ in feed.take()]
        feed.close()
        return sorted(came)


def main():
    if not torch.distributed.is_available():
        print("no torch.distributed in this PyTorch: skipped")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        ranks.start(work, Path(folder), 2, "cpu")
        (a, told_a, yes_a, no_a), (b, told_b, yes_b, no_b) = (torch.load(Path(folder) / f"{r}.pt") for r in range(2))
    both = train(net_of(0), lambda step: [batch(2 * step), batch(2 * step + 1)], lambda _: None)
    results = [("the same weights in both", torch.equal(a, b)), ("as one process with both halves", torch.allclose(a, both, atol=1e-6)),
               ("the first one's numbers", told_a == told_b == [.25, 7.0]), ("all, or not all", (yes_a, yes_b, no_a, no_b) == (True, True, False, False))]
    try:
        ranks.start(fails, None, 2, "cpu")
        results.append(("one that fails ends all", False))
    except Exception:
        results.append(("one that fails ends all", True))
    try:
        ranks.start(work, None, -1, "cpu")
        results.append(("less than none is refused", False))
    except SystemExit as e:
        results.append(("less than none is refused", "--processes -1" in str(e)))
    results += [("even chunks for the first", share_of(0) == [0, 2, 4]), ("odd ones for the second", share_of(1) == [1, 3])]
    for name, right in results:
        print("ok" if right else "NOT OK", name)
    return 0 if all(right for _, right in results) else 1


if __name__ == "__main__":
    sys.exit(main())
