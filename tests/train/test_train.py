#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training step is made of: Muon's steps, and what `augment` does to a spectrum and its columns.

Exit 77 (skipped) where PyTorch is not installed.
"""
import sys
import time
from types import SimpleNamespace

from with_torch import torch
import data
import model
import train
from muon import Muon, orthogonal

failed = 0


def check(name, good, *detail):
    global failed
    failed += not good
    print("ok" if good else "FAIL", name, *([] if good else detail))


def singular_values():
    for shape in ((3, 32, 32), (2, 64, 32), (2, 32, 64)):
        s = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        # the iteration trades exactness for speed: what was not nearly zero lies between
        middle = s.flatten().sort().values[s.numel() // 4:]
        check(f"singular values of {shape}", bool(s.max() < 1.3 and middle.min() > .6), s.min(), s.max())


def learns(make):
    """Loss before and after 60 steps of a linear map from a badly scaled input."""
    torch.manual_seed(3)
    x = torch.randn(256, 16) * torch.logspace(0, -2, 16)
    y, w = x @ torch.randn(16, 8), torch.nn.Parameter(torch.zeros(8, 16))
    opt, losses = make(w), []
    for _ in range(60):
        loss = (x @ w.T - y).square().mean()
        w.grad = None
        loss.backward()
        opt.step()
        losses.append(float(loss))
    return losses


def steps():
    losses = learns(lambda w: Muon([w], .2, 0))
    check("muon learns", losses[-1] < .1 * losses[0], losses[0], losses[-1])
    w = torch.nn.Parameter(torch.ones(8, 16))
    opt = Muon([w], .1, 0)
    w.grad = torch.randn(8, 16)
    before = w.detach().clone()
    opt.step(.5)
    move = float((w.detach() - before).square().mean().sqrt())
    check("a step's size is 0.2 of the rate", .6 < move / (.2 * .05) < 1.3, move)
    other = Muon([w], .1, 0)
    other.load(opt.state())
    check("its state comes back", bool(torch.equal(other.moving[0], opt.moving[0])))


def augmented():
    bins, columns = 128, 21
    net = train.new_net(dict(model.REFERENCE_POINT, n_bins=bins, n_aux=columns, n_classes=3), "cpu")
    train.set_statistics(net, [.5] * columns, [2.0] * columns)
    size = 400
    floor = int(4 * data.LEVELS)  # codes of 0 dB
    spectra = torch.full((size, 2, bins), floor, dtype=torch.uint8)
    spectra[..., 48:81] = floor + int(3 * data.LEVELS)  # 33 bins in the middle at 30 dB
    aux = torch.full((size, 2, columns), .25)
    gen = torch.Generator().manual_seed(1)
    x, dropped = train.augment(net, spectra, aux.half(), gen, 1.0)
    check("shape", tuple(x.shape) == (size, 2, bins + columns))
    check("finite", bool(torch.isfinite(x).all()))
    wide = (x[:, 0, :bins] > .5 * x[:, 0, :bins].amax(1, keepdim=True)).sum(1)  # half way up, whatever the floor
    check("stretched both ways", bool(wide.min() < 28 and wide.max() > 40), int(wide.min()), int(wide.max()))
    keep = (dropped == 0) & (x[:, 0, bins + 1] != 0)
    share = x[keep, 0, bins + 1] / 2 + .5
    check("the share follows", bool(((share / .25 - wide[keep] / 33).abs() < .08).all()), (share / .25 - wide[keep] / 33).abs().max())
    same = (x[keep, 0, bins] != 0)
    khz = (x[keep, 0, bins] / 2 + .5)[same]
    check("and the bins' width", bool(((khz - .25 + torch.log2(share[same] / .25)).abs() < .02).all()))
    plain, _ = train.augment(net, spectra, aux.half(), torch.Generator().manual_seed(1), 0.0)
    check("as it came without", bool(((plain[:, 0, :bins] > .5 * plain[:, 0, :bins].amax(1, keepdim=True)).sum(1) == 33).all()))


def compiled_by_turns():
    """The faster way is taken whatever else the machine does meanwhile: here a load that goes away slows the plain one,
    one that comes slows the compiled one; a compiler that fails leaves what was there."""
    was = getattr(torch, "compile", None)
    for name, plain_ms, compiled_ms, load in (("busy first", 2, 4, lambda n: 6 if n < 9 else 0), ("busy later", 4, 2, lambda n: 6 if n > 9 else 0),
                                              ("busy in between", 4, 2, lambda n: 6 if n % 7 == 0 else 0)):
        net, said, steps = SimpleNamespace(before=model.before_attention, after=model.after_attention), [], [0]
        torch.compile = lambda f, dynamic: "compiled"

        def step(i):
            steps[0] += 1
            time.sleep(1e-3 * ((compiled_ms if net.before == "compiled" else plain_ms) + load(steps[0])))
        train.choose_compiled(net, step, said.append)
        check(name, (net.before == "compiled") == (compiled_ms < plain_ms) == said[-1]["compiled"], said)

    def broken(f, dynamic):
        raise RuntimeError("no compiler")
    torch.compile = broken
    train.choose_compiled(net, step, said.append)
    check("no compiler", net.before is not None and not said[-1]["compiled"] and said[-1]["compiled_ms"] is None, said[-2:])
    del torch.compile
    if was:
        torch.compile = was


singular_values()
steps()
compiled_by_turns()
augmented()
sys.exit(1 if failed else 0)
