#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elastic training: one set of weights for every attention backend.

    train/examples.py --out pool --plan validation:2048 train:1000s &         # makes examples with all cores
    train/train.py --pool pool --out run --seconds 1000                       # on a GPU
    train/train.py --pool pool --out run --steps 40 --batch-tokens 4096       # a try on a CPU

Each step: cross-entropy under mha plus latent, or each third time gqa (segments 8 to 128, drawn independently of the length)
with cross-entropy and distillation from mha, at the sequence's end and at random prefixes (a decision may be due after
16 tokens). The last fifth also has windows shorter than the session, and sequences of 4096 and 16384. What a step
draws follows from --seed and the step's number; OUT/journal.jsonl says which examples had come by then. Resumes from
OUT/checkpoint.pt. --seconds is training time over all resumes; the learning rate follows it. With several GPUs each takes
--batch-tokens a step, and their gradients are averaged (ranks.py).
"""
import argparse
import contextlib
import json
import math
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
import model as M
from muon import Muon
from pool import LENGTH_SHARE, LENGTHS, Feed, Pool
from ranks import Ranks, start

# columns that are dropped out together, after the spectrum (lib/dsp/frames.h), and how often
AUX_GROUPS = (((0, 1), .35), ((1, 2), .1), ((3, 21), .1))
FREQ_HIST = slice(13, 21)  # turns with the spectrum
ELASTIC = ("latent", "gqa", "latent")  # in turn: gqa answers as mha does sooner
LATE = .8                  # of the training: from here on long sequences and short windows
CALM, CALMEST = .7, .5     # from here on augmentation fades, to this share of its chances
END = .6                   # of the cross-entropy: at the end of what was heard; the rest at random prefixes
FAINT = .7                 # weight of signals below the noise, few of which a detector finds
ENERGY_KNOWN, ENERGY_UNKNOWN = -6.0, -2.5  # margins of -logsumexp(logits) for outlier exposure


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", type=Path, required=True, help="folder that train/examples.py fills")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--seconds", type=float, default=0, help="training time in all")
    p.add_argument("--steps", type=int, default=0, help="or steps in all")
    p.add_argument("--start-from", type=Path, help="checkpoint or model file whose weights begin this run")
    p.add_argument("--batch-tokens", type=int, default=131072)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--weight-decay", type=float, default=0.02)
    p.add_argument("--optimizer", choices=("adamw", "muon"), default="adamw", help="muon: the layers' matrices by muon.py, the rest by AdamW")
    p.add_argument("--muon-lr", type=float, default=4e-3, help="of the layers' matrices")
    p.add_argument("--elastic", type=float, default=0.5, help="share of each batch that goes through gqa or latent too")
    p.add_argument("--drop", type=float, default=0.0)
    p.add_argument("--smoothing", type=float, default=0.01)
    p.add_argument("--colour", type=float, default=0.0, help="chance of a stretched spectrum, and of a response that is not flat")
    p.add_argument("--exposure", type=float, default=0.02, help="weight of the outliers' energy margins")
    p.add_argument("--d-ff", type=int, default=M.REFERENCE_POINT["d_ff"])
    p.add_argument("--norm", choices=("rmsnorm", "layernorm"), default="rmsnorm")
    p.add_argument("--spectra-only", action="store_true", help="ablation: no aux columns")
    p.add_argument("--capacity", type=float, default=0, help="tokens kept on the device; 0: by its memory")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--processes", type=int, default=0, help="that train together; 0: one for each GPU")
    p.add_argument("--no-compile", action="store_true")
    p.add_argument("--checkpoint-every", type=float, default=45, help="seconds")
    p.add_argument("--wait", type=float, default=120, help="seconds to wait for the first examples")
    return p.parse_args(argv)


def capacity_of(args, bytes_per_token):
    """Tokens: 55 % of what is free on a GPU, at most 320 million; two million elsewhere."""
    if args.capacity:
        return int(args.capacity)
    if args.device != "cuda":
        return 2_000_000
    return int(min(320e6, .55 * torch.cuda.mem_get_info()[0] / bytes_per_token))


def new_net(config, device):
    net = M.Encoder(config).to(device)
    set_statistics(net, [0.0] * config["n_aux"], [1.0] * config["n_aux"])
    return net


def set_statistics(net, shift, scale):
    """Shift and scale of the aux columns, as lists of n_aux."""
    device, n = net.head.weight.device, net.config["n_aux"]
    net.aux_shift = torch.tensor(list(shift)[:n], device=device, dtype=torch.float32)
    net.aux_scale = torch.tensor(list(scale)[:n], device=device, dtype=torch.float32)


def aux_statistics(aux):
    """Shift and scale that bring each aux column (T, n_aux) to zero mean and unit spread."""
    rows = np.asarray(aux[::8], np.float64)
    shift, spread = rows.mean(0), rows.std(0)
    shift[2] = 0  # skipped: 0 is the common case
    return shift.tolist(), (1 / np.maximum(spread, 0.05)).tolist()


def frames_of(net, spectra, aux):
    """Codes and aux columns as the network's input (B, L, n_bins + n_aux)."""
    x = spectra.float() / data.LEVELS - 4
    if net.config["n_aux"] == 0:
        return x
    return torch.cat([x, (aux.float() - net.aux_shift) * net.aux_scale], -1)


def augment(net, spectra, aux, gen, colour=0.0, strength=1.0):
    """What the air and the receiver do to decibels: a shift by some bins, the spectrum mirrored (every class stays
    itself), a wrong floor, missing aux values; with the chance `colour` each: edges found too wide or too narrow (the
    spectrum stretched by up to a third), a response that is not flat; all but shift and mirror only with `strength` times
    their chances. Returns frames and the flag "aux dropped" (B,)."""
    b, _, n_bins = spectra.shape
    colour = colour * strength
    u = lambda: torch.rand(b, generator=gen, device=spectra.device)
    mirrored = u() < .5
    shift = torch.where(u() < .5, (u() * 13).floor() - 6, torch.zeros_like(u())).long()
    stretch = torch.where(u() < colour, torch.exp((u() * 2 - 1) * math.log(4 / 3)), torch.ones_like(u()))
    j = torch.arange(n_bins, device=spectra.device)
    j = torch.where(mirrored[:, None], (n_bins - j)[None] % n_bins, j[None])
    j = ((j - n_bins // 2) / stretch[:, None]).round().long() + n_bins // 2  # nearest bin; what lies outside comes round again
    j = (j - shift[:, None]) % n_bins
    spectra = spectra.gather(2, j[:, None].expand(spectra.shape))
    x = frames_of(net, spectra, aux)
    if colour > 0:
        x = coloured(net, x, n_bins, stretch, colour, u)
    offset = torch.where(u() < .3 * strength, u() * .6 - .3, torch.zeros_like(u())) + torch.where(u() < .06 * strength, u() * -2.5, torch.zeros_like(u()))
    spectrum, rest = (x[..., :n_bins] + offset[:, None, None]).clamp(-4, 8), x[..., n_bins:]
    dropped = torch.zeros(b, device=x.device)
    if rest.shape[2]:
        dropped = (u() < .1 * strength).float()
        keep = torch.ones(b, rest.shape[2], device=x.device)
        for (lo, hi), p in AUX_GROUPS:
            keep[:, lo:hi] *= (u() > p * strength).float()[:, None]
        if rest.shape[2] >= FREQ_HIST.stop:
            hist = rest[..., FREQ_HIST]
            # each column has a scaling of its own: turn the raw values
            turned = ((hist / net.aux_scale[FREQ_HIST] + net.aux_shift[FREQ_HIST]).flip(-1) - net.aux_shift[FREQ_HIST]) * net.aux_scale[FREQ_HIST]
            hist = torch.where(mirrored[:, None, None], turned, hist)
            rest = torch.cat([rest[..., :FREQ_HIST.start], hist, rest[..., FREQ_HIST.stop:]], -1)
        rest = rest * (keep * (1 - dropped)[:, None])[:, None]
    return torch.cat([spectrum, rest], -1), dropped


def coloured(net, x, n_bins, stretch, colour, u):
    """x with the aux columns that follow a stretched spectrum, and with a slope and a ripple of up to 4 dB over the channel on what
    stands over the noise."""
    wide, share = x.shape[2] > n_bins, n_bins + 1
    if wide:
        log2 = torch.log2(stretch)[:, None]
        raw = x[..., share] / net.aux_scale[1] + net.aux_shift[1]
        raw = ((raw * stretch[:, None]).clamp(0, 1) - net.aux_shift[1]) * net.aux_scale[1]
        x = torch.cat([x[..., :n_bins], (x[..., n_bins] - log2 * net.aux_scale[0])[..., None], raw[..., None], x[..., share + 1:]], -1)
    at = torch.linspace(-.5, .5, n_bins, device=x.device)[None]
    slope, ripple = ((u() * 2 - 1) * .4 * (u() < colour) for _ in range(2))
    response = slope[:, None] * at + ripple[:, None] * torch.sin(2 * math.pi * ((.5 + 3 * u())[:, None] * at + u()[:, None]))
    spectrum = x[..., :n_bins]
    return torch.cat([spectrum + response[:, None] * spectrum.clamp(0, 1), x[..., n_bins:]], -1)


def step_shape(rng, progress, batch_tokens):
    """Length, window (0: all), segment of a step."""
    length = int(rng.choice(LENGTHS, p=LENGTH_SHARE))
    window = 0
    if progress >= LATE and rng.random() < .35:
        length, window = ((1024, 256), (1024, 512), (4096, 1024), (4096, 1024), (4096, 0), (16384, 1024), (16384, 0))[int(rng.integers(7))]
        if length > batch_tokens:
            length, window = 1024, 512
    length = min(length, batch_tokens)
    low = 3 if length <= 1024 else 5  # segment 32 and more above 1024 tokens, 64 above 4096
    low = 6 if length > 4096 else low
    segment = int(2 ** rng.integers(low, 8))
    if window and backend_needs(window, segment):
        segment = window // 4
    return length, window, min(segment, length)


def backend_needs(window, segment):
    return window % segment or window // segment < 2


def losses(net, batch, backend, segment, window, args, gen, strength=1.0):
    """Cross-entropy under mha and one elastic backend at the end and at random prefixes, distillation, and the energy
    margins where outliers are among the examples. Returns the loss and logits (B, n_classes) of mha at the end."""
    spectra, aux, n, y, snr, outlier = batch
    x, dropped = augment(net, spectra, aux, gen, args.colour, strength)
    k = 3
    u = torch.rand(len(n), k, generator=gen, device=x.device)
    low = n.clamp(max=4)[:, None].float()
    ends = torch.exp(torch.log(low) + u * (torch.log(n[:, None].float()) - torch.log(low))).round().long()
    ends = torch.cat([n[:, None], ends.clamp(min=1)], 1).clamp(max=x.shape[1])
    weight = torch.tensor([END] + [(1 - END) / k] * k, device=x.device)
    known = (~outlier).float()
    loud = torch.where((snr < 0) & (y > 0), torch.full_like(snr, FAINT), torch.ones_like(snr))
    target = y.clamp(min=0)[:, None].expand(-1, k + 1)
    strong = (snr >= 8) & (n >= 16)

    def run(b, m):
        """Of the first m sequences."""
        lg = net.prefix_logits(net(x[:m], b, segment, window, args.drop, dropped[:m]), ends[:m], window).float()
        ce = F.cross_entropy(lg.transpose(1, 2), target[:m], label_smoothing=args.smoothing, reduction="none")
        flat = -lg.log_softmax(-1).mean(-1)  # an outlier is like no class more than another
        sure = known[:m]
        ce = (((ce * sure[:, None] + flat * .5 * (1 - sure)[:, None]) * weight).sum(1) * loud[:m]).mean()
        energy = -lg[:, 0].logsumexp(-1)
        out = (F.relu(energy - ENERGY_KNOWN).square() * sure * (y[:m] > 0).float() + F.relu(ENERGY_UNKNOWN - energy).square() * (1 - sure)) * strong[:m]
        return lg, ce + args.exposure * out.mean()

    m = max(1, round(len(n) * args.elastic))
    full, loss_full = run("mha", len(n))
    other, loss_other = run(backend, m)
    teacher = full[:m].detach().log_softmax(-1)
    kl = (teacher.exp() * (teacher - other.log_softmax(-1))).sum(-1)
    return loss_full + loss_other + ((kl * weight).sum(1) * loud[:m]).mean(), full[:, 0]


class Timeout(Exception):
    pass


@contextlib.contextmanager
def alarm(seconds):
    def ring(*_):
        raise Timeout(f"not ready after {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def milliseconds(step, n):
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    t = time.perf_counter()
    for i in range(n):
        step(i)
    wait()
    return (time.perf_counter() - t) / n * 1e3


def choose_compiled(net, step, report, ranks=Ranks(), rounds=4):
    """torch.compile for the layers' parts, kept only where it works here and is faster. step(i): one step, no update. Both ways go by
    turns and the best of each counts: examples are made beside it, and what they take at one time is no property of either. Several
    processes all do, or none."""
    ways, best = {"plain": (net.before, net.after)}, {"plain": float("inf"), "compiled": float("inf")}
    try:
        with alarm(150):
            ways["compiled"] = tuple(torch.compile(f, dynamic=False) for f in (M.before_attention, M.after_attention))
            for way in [w for _ in range(rounds + 1) for w in ways]:
                net.before, net.after = ways[way]
                best[way] = min(best[way], milliseconds(step, len(ELASTIC)))
    except Exception as e:  # any failure of a compiler that is only an extra
        report({"compile": "failed", "why": repr(e)[:300]})
        best["compiled"] = float("inf")
    plain, compiled = best["plain"], best["compiled"]
    faster = ranks.all_true(compiled < float("inf") and compiled <= .97 * plain)
    net.before, net.after = ways["compiled" if faster else "plain"]
    rounded = lambda ms: round(ms, 1) if ms < float("inf") else None
    report({"step_ms": rounded(plain), "compiled_ms": rounded(compiled), "compiled": faster})


class Trainer:
    """Optimiser, averaged weights and the step. net's weights are trained in place; ema holds their running mean."""

    def __init__(self, net, args, ranks=Ranks()):
        self.net, self.args, self.device, self.ranks = net, args, args.device, ranks
        inner = [p for n, p in net.named_parameters() if p.ndim > 1 and n.startswith("layers.")] if args.optimizer == "muon" else []
        ours = {id(p) for p in inner}
        decay = [p for p in net.parameters() if p.ndim > 1 and id(p) not in ours]
        plain = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": args.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.muon = Muon(inner, args.muon_lr, args.weight_decay) if inner else None
        try:
            self.opt = torch.optim.AdamW(groups, lr=args.lr, betas=(.9, .98), **({"fused": True} if self.device == "cuda" else {}))
        except (TypeError, RuntimeError):
            self.opt = torch.optim.AdamW(groups, lr=args.lr, betas=(.9, .98))
        self.ema = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.gen = torch.Generator(device=self.device)
        self.step_number = 0
        self.clear()

    def clear(self):
        self.total = torch.zeros((), device=self.device)
        self.right, self.seen, self.steps = torch.zeros((), device=self.device), 0, 0

    def optimizer_state(self):
        return {"opt": self.opt.state_dict(), "muon": self.muon.state() if self.muon else None}

    def load_optimizer(self, state):
        self.opt.load_state_dict(state["opt"])
        if self.muon:
            self.muon.load(state["muon"])

    def draw(self, pool, progress):
        seed = [self.args.seed, self.step_number]
        rng = np.random.default_rng(seed)
        length, window, segment = step_shape(rng, progress, self.args.batch_tokens)
        if not self.ranks.first:  # the same shape, other examples
            rng = np.random.default_rng(seed + [self.ranks.rank])
        return pool.batch(rng, length, max(1, self.args.batch_tokens // length)), length, window, segment

    def loss(self, batch, backend, window, segment, strength=1.0):
        self.gen.manual_seed(self.args.seed * 1000003 + self.step_number + self.ranks.rank * 500000003)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            return losses(self.net, batch, backend, segment, window, self.args, self.gen, strength)

    def step(self, pool, progress):
        """One step at `progress` (0 to 1) of the training."""
        batch, _, window, segment = self.draw(pool, progress)
        along = min(1.0, (self.step_number + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, progress))))
        for group in self.opt.param_groups:
            group["lr"] = self.args.lr * along
        strength = 1 - (1 - CALMEST) * max(0.0, min(1.0, (progress - CALM) / (1 - CALM)))
        loss, logits = self.loss(batch, ELASTIC[self.step_number % len(ELASTIC)], window, segment, strength)
        self.net.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average(self.net.parameters())
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.opt.step()
        if self.muon:
            self.muon.step(along)
        self.step_number += 1
        if self.step_number % 8 == 0:
            keep = min(.992, self.step_number / (self.step_number + 80))
            with torch.no_grad():
                for k, v in self.net.state_dict().items():
                    self.ema[k].lerp_(v, 1 - keep)
        with torch.no_grad():
            known = ~batch[5]
            self.right += ((logits.argmax(1) == batch[3]) & known).sum()
            self.total += loss.detach()
            self.seen += len(known)
            self.steps += 1

    def figures(self):
        out = {"loss": round(float(self.total) / max(1, self.steps), 4), "train_accuracy": round(float(self.right) / max(1, self.seen), 4)}
        self.clear()
        if not math.isfinite(out["loss"]):
            raise SystemExit("loss is not finite: lower --lr, or look at the examples")
        return out


@torch.no_grad()
def quick_check(net, weights, chunk, device, backends=("mha", "gqa", "latent"), most=1024):
    """Top-1 accuracy of `weights` on a chunk under each backend, all and at 10 dB and more; loss under mha."""
    mine = {k: v.detach().clone() for k, v in net.state_dict().items()}
    parts, net.before, net.after = (net.before, net.after), M.before_attention, M.after_attention
    net.load_state_dict(weights)
    net.eval()
    out, right, loss = {}, {b: [] for b in backends}, []
    n = chunk.info["n_tokens"]
    which = np.flatnonzero(~data.outliers(chunk.info))[:most]
    y, snr = chunk.info["class_id"], chunk.info["snr_db"]
    order = which[np.argsort(n[which], kind="stable")]
    for at in range(0, len(order), 128):
        part = order[at:at + 128]
        length = int(min(1024, max(32, 2 ** math.ceil(math.log2(n[part].max())))))
        x = torch.from_numpy(np.stack([chunk.frames(i, length) for i in part])).to(device)
        b = net.config["n_bins"]
        x = torch.cat([x[..., :b], (x[..., b:b + net.config["n_aux"]] - net.aux_shift) * net.aux_scale], -1)
        ends = torch.from_numpy(np.minimum(n[part], length).astype(np.int64)).to(device)[:, None]
        target = torch.from_numpy(y[part].astype(np.int64)).to(device)
        for name in backends:
            lg = net.prefix_logits(net(x, name, 32), ends)[:, 0]
            right[name].append((lg.argmax(1) == target).cpu().numpy())
            if name == "mha":
                loss.append(F.cross_entropy(lg, target, reduction="none").cpu().numpy())
    strong = snr[order] >= 10
    for name in backends:
        r = np.concatenate(right[name])
        out[name] = round(float(r.mean()), 4)
        out[name + "_10db"] = round(float(r[strong].mean()), 4) if strong.any() else None
    out["loss"] = round(float(np.concatenate(loss).mean()), 4)
    net.load_state_dict(mine)
    net.train()
    net.before, net.after = parts
    return out


def widened(state, d_ff):
    """Weights with a wider feed-forward part that answer the same: new rows up are small, new columns down zero."""
    out = dict(state)
    for k, v in state.items():
        more = d_ff - v.shape[0] if k.endswith("mlp.up.weight") else d_ff - v.shape[1] if k.endswith("mlp.down.weight") else 0
        if more > 0 and k.endswith("up.weight"):
            out[k] = torch.cat([v, torch.randn(more, v.shape[1], device=v.device) * float(v.std())])
        elif more > 0:
            out[k] = torch.cat([v, torch.zeros(v.shape[0], more, device=v.device)], 1)
    return out


def read_checkpoint(path, device):
    """A checkpoint of this file, whatever PyTorch wrote it."""
    try:
        try:
            return torch.load(path, map_location=device, weights_only=False)
        except TypeError:  # before 1.13 there was no such argument
            return torch.load(path, map_location=device)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as e:
        raise SystemExit(f"{path}: no checkpoint: {e}") from e


def from_model_file(net, path, labels):
    """The weights of a model file, widened where the net's feed-forward part is wider. The scaling of its aux columns is folded in; unfold() takes it out."""
    if not path.is_file():  # not when it is named: a run that resumes needs it no more
        raise SystemExit(f"{path}: no such file")
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:8 + size])
    if json.loads(head.pop("__metadata__")["labels"]) != list(labels):
        raise SystemExit(f"{path} has other labels than the examples")
    want, state = net.state_dict(), {}
    for name in want:
        if name == "aux_dropped":
            state[name] = want[name]
        elif name in head:
            lo, hi = head[name]["data_offsets"]
            state[name] = torch.from_numpy(np.frombuffer(raw[8 + size + lo:8 + size + hi], "<f4").reshape(head[name]["shape"]).copy())
    state = widened(state, net.config["d_ff"])
    for name in want:
        if name not in state or state[name].shape != want[name].shape:
            raise SystemExit(f"{path}: {name}: {tuple(want[name].shape)} of F32 expected")
    net.load_state_dict(state)


@torch.no_grad()
def unfold(net, trainer):
    """Weights for aux columns as they come -> for columns of the net's statistics; the answers stay."""
    aux = net.embed.weight[:, net.config["n_bins"]:]
    net.embed.bias += aux @ net.aux_shift
    aux /= net.aux_scale
    trainer.ema = {k: v.detach().clone() for k, v in net.state_dict().items()}


def save_checkpoint(path, trainer, progress, seconds, statistics, config, labels, args):
    state = {"net": trainer.ema, "live": trainer.net.state_dict(), **trainer.optimizer_state(), "step": trainer.step_number,
             "progress": progress, "seconds": seconds, "statistics": statistics, "config": config, "labels": labels,
             "args": {k: str(v) for k, v in vars(args).items()}}
    torch.save(state, str(path) + ".tmp")
    os.replace(str(path) + ".tmp", path)


class Silent:
    """The log of a process beside the first."""

    def __call__(self, line):
        pass

    def note(self, step, progress, chunks):
        pass


class Log:
    def __init__(self, folder):
        self.file, self.journal = (folder / "log.jsonl").open("a"), (folder / "journal.jsonl").open("a")

    def __call__(self, line):
        print(json.dumps(line), flush=True)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def note(self, step, progress, chunks):
        self.journal.write(json.dumps({"step": step, "progress": round(progress, 6), "chunks": chunks}) + "\n")
        self.journal.flush()


def fill(pool, feed, seconds, enough=256):
    """Waits for the first examples. Returns the numbers of the chunks that came."""
    came, began = [], time.time()
    while time.time() - began < seconds:
        for k, chunk in feed.take():
            pool.add(chunk)
            came.append(k)
        if pool.made >= enough:
            return came
        time.sleep(.2)
    if not pool.made:
        raise SystemExit("no training examples came: is train/examples.py running with the same folder?")
    return came


def prepare(args, log, n_bins, n_columns, labels, ranks):
    """Network, trainer, statistics and what was done before: from OUT/checkpoint.pt, else --start-from, else new."""
    config = dict(M.REFERENCE_POINT, n_bins=n_bins, n_aux=0 if args.spectra_only else n_columns - n_bins, n_classes=len(labels),
                  norm=args.norm, d_ff=args.d_ff)
    net, before, statistics = new_net(config, args.device), {"step": 0, "seconds": 0.0, "progress": 0.0}, None
    checkpoint = args.out / "checkpoint.pt"
    if not checkpoint.exists() and args.start_from and args.start_from.suffix == ".safetensors":
        from_model_file(net, args.start_from, labels)
        log({"start_from": str(args.start_from)})
    elif not checkpoint.exists() and args.start_from:
        c = read_checkpoint(args.start_from, args.device)
        if list(c["labels"]) != list(labels):
            raise SystemExit(f"{args.start_from} has other labels: {', '.join(c['labels'])}")
        net.load_state_dict(widened(c["net"], args.d_ff))
        statistics = c["statistics"]
        log({"start_from": str(args.start_from)})
    ranks.same(net)
    trainer = Trainer(net, args, ranks)
    if checkpoint.exists():
        c = read_checkpoint(checkpoint, args.device)
        net.load_state_dict(c["live"])
        trainer.load_optimizer(c)
        trainer.ema = {k: v.clone() for k, v in c["net"].items()}
        trainer.step_number, statistics, before = c["step"], c["statistics"], c
        log({"resumes_after_step": c["step"], "seconds": round(c["seconds"], 1)})
    return net, trainer, statistics, before, config


def run(args, ranks=Ranks(), validation=None):
    """Trains until --seconds or --steps are spent; returns (net, trainer, pool, feed) for who goes on with them."""
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    if args.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    log, labels = Log(args.out) if ranks.first else Silent(), data.labels_of(args.pool)
    n_bins, n_columns = data.shape_of(args.pool, args.wait)
    net, trainer, statistics, before, config = prepare(args, log, n_bins, n_columns, labels, ranks)
    pool = Pool(capacity_of(args, n_bins + 2 * (n_columns - n_bins)), n_bins, n_columns - n_bins, args.device)
    feed = Feed(args.pool, share=(ranks.rank, ranks.count))
    came = fill(pool, feed, args.wait, 256 // ranks.count)
    pool.refresh()
    fresh = statistics is None
    if fresh:
        shift, scale = aux_statistics(pool.aux[:pool.write].float().cpu().numpy())
        told = ranks.told(shift + scale)
        statistics = told[:len(shift)], told[len(shift):]
    set_statistics(net, *statistics)
    if fresh and args.start_from and args.start_from.suffix == ".safetensors":
        unfold(net, trainer)
    net.train()
    if args.device == "cuda" and not args.no_compile and hasattr(torch, "compile"):
        def trial(i):
            batch, _, window, segment = trainer.draw(pool, 0)
            net.zero_grad(set_to_none=True)
            trainer.loss(batch, ELASTIC[i % len(ELASTIC)], window, segment)[0].backward()
        choose_compiled(net, trial, log, ranks)
    loop(args, log, net, trainer, pool, feed, came, before, statistics, config, labels, ranks, validation)
    return net, trainer, pool, feed


def loop(args, log, net, trainer, pool, feed, came, before, statistics, config, labels, ranks, validation):
    began, done_s = time.time(), before["seconds"]
    spent = lambda: done_s + time.time() - began
    saved = said = time.time()
    looked = trainer.step_number
    # progress never goes back: a limit that was changed between slices bends the learning rate, it does not raise it
    along = lambda: max(before["progress"], min(1.0, spent() / args.seconds if args.seconds else trainer.step_number / max(1, args.steps)))
    finished = lambda: spent() >= args.seconds if args.seconds else trainer.step_number >= args.steps
    over, = ranks.told([float(finished())])
    while not over:
        slice_at, = ranks.told([along()])
        if came or pool.made < 20000 or trainer.step_number - looked >= 150:  # sorting a large pool takes a step's time
            looked = trainer.step_number
            for k, chunk in feed.take():
                pool.add(chunk)
                came.append(k)
            log.note(trainer.step_number, along(), came)
            if came:
                pool.refresh()
            came = []
        for _ in range(25 if args.seconds else min(25, args.steps - trainer.step_number)):
            trainer.step(pool, slice_at if args.seconds else along())
        if args.device == "cuda":
            torch.cuda.synchronize()
        over, = ranks.told([float(finished())])
        if ranks.first and (time.time() - said > 15 or over):
            p = max(along(), 1e-6)
            line = {"step": trainer.step_number, "progress": round(p, 4), **trainer.figures(), "examples": pool.made, "alive": pool.alive(),
                    "ms_per_step": round((time.time() - said) * 1e3 / max(1, trainer.step_number - getattr(log, "last", before["step"])), 1),
                    "seconds": round(spent(), 1), "eta_s": round(max(0.0, args.seconds - spent() if args.seconds else (time.time() - began) * (1 - p) / max(p - before["progress"], 1e-6)))}
            log.last, said = trainer.step_number, time.time()
            log(line)
        if ranks.first and (time.time() - saved > args.checkpoint_every or over):
            save_checkpoint(args.out / "checkpoint.pt", trainer, along(), spent(), statistics, config, labels, args)
            saved = time.time()
            if validation is None and any(Path(args.pool).glob("validation-*.npz")):
                validation = data.read_split(args.pool, "validation")
            if validation is not None:
                log({"step": trainer.step_number, "validation": quick_check(net, trainer.ema, validation, args.device)})


def train(args, ranks):
    args.processes = ranks.count  # as it was, for the card
    run(args, ranks)[3].close()


def main():
    args = arguments()
    if not args.seconds and not args.steps:
        raise SystemExit("--seconds or --steps: how long?")
    start(train, args, args.processes, args.device)


if __name__ == "__main__":
    main()
