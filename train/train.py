#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elastic training: one set of weights for every attention backend.

    train/train.py --out run --shards 60            # on a GPU
    train/train.py --out run --shards 2 --shard-size 512 --device cpu --processes 2   # a try on a CPU

Each batch: cross-entropy under mha plus, in turn, gqa or latent (segments 8 to 128, drawn independently of the
length) with cross-entropy and distillation from mha, at the sequence's end and at random prefixes (a decision may be
due after 16 tokens). Deterministic by --seed; resumes from OUT/checkpoint.pt.
"""
import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
import model as M

# columns that are dropped out together, after the spectrum (lib/dsp/frames.h)
AUX_GROUPS = ((0, 1), (1, 2), (2, 3), (3, 21))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--shards", type=int, default=60, help="shards of examples in all")
    p.add_argument("--seconds", type=float, default=0, help="choose --shards so that training takes about this long here")
    p.add_argument("--shard-size", type=int, default=24576)
    p.add_argument("--epochs", type=float, default=2.0, help="times each example is used")
    p.add_argument("--batch-tokens", type=int, default=131072)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--weight-decay", type=float, default=0.05)
    p.add_argument("--drop", type=float, default=0.05)
    p.add_argument("--norm", choices=("rmsnorm", "layernorm"), default="rmsnorm")
    p.add_argument("--spectra-only", action="store_true", help="ablation: no aux columns")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--processes", type=int, default=os.cpu_count())
    p.add_argument("--library", help="path of libattune-dataset.so")
    p.add_argument("--stop-after", type=float, default=0, help="seconds; a checkpoint is written, run again to go on")
    return p.parse_args()


def batches(info, buckets, batch_tokens, epochs, rng):
    """Index arrays of examples of like length; every example is used about `epochs` times, in a seeded order."""
    n = info["n_tokens"]
    out = []
    lo = 0
    for length in buckets:
        have = np.flatnonzero((n > lo) & (n <= length))
        lo = length
        if len(have) == 0:
            continue
        size = max(1, min(batch_tokens // length, 512))
        order = np.concatenate([rng.permutation(have) for _ in range(math.ceil(epochs))])[:int(len(have) * epochs)]
        out += [(length, order[i:i + size]) for i in range(0, len(order), size) if len(order[i:i + size]) >= size // 2]
    return [out[i] for i in rng.permutation(len(out))]


def augment(x, n_bins, gen):
    """Wrong floors and missing aux, as the air and the receiver make them. Returns frames and the dropped flag."""
    b = x.shape[0]
    u = lambda: torch.rand(b, generator=gen, device=x.device)
    x = x.clone()
    offset = torch.where(u() < .3, u() * .6 - .3, torch.zeros_like(u())) + torch.where(u() < .06, u() * -2.0, torch.zeros_like(u()))
    x[:, :, :n_bins] = (x[:, :, :n_bins] + offset[:, None, None].to(x.dtype)).clamp(-4, 8)
    if x.shape[2] > n_bins:
        for (lo, hi), p in zip(AUX_GROUPS, (.35, .1, .0, .1)):
            x[:, :, n_bins + lo:n_bins + hi] *= (u() > p).to(x.dtype)[:, None, None]
    dropped = (u() < .1).to(x.dtype)
    x[:, :, n_bins:] *= (1 - dropped)[:, None, None]
    return x, dropped


def losses(net, x, n, y, dropped, backend, segment, drop, gen):
    """Cross-entropy under mha and one elastic backend at the end and at random prefixes, and distillation."""
    length = x.shape[1]
    k = 3
    u = torch.rand(len(n), k, generator=gen, device=x.device)
    low = torch.minimum(torch.full_like(n, 8), n)[:, None].float()
    ends = torch.exp(torch.log(low) + u * (torch.log(n[:, None].float()) - torch.log(low))).round().long()
    ends = torch.cat([n[:, None], ends.clamp(min=1)], 1).clamp(max=length)
    weight = torch.tensor([1.0] + [1 / 3] * k, device=x.device)
    target = y[:, None].expand(-1, k + 1)

    def run(b):
        h = net(x, b, segment, 0, drop, dropped)
        lg = net.prefix_logits(h, ends)
        ce = F.cross_entropy(lg.transpose(1, 2), target, label_smoothing=0.02, reduction="none")
        return lg, (ce * weight).sum(1).mean() / weight.sum()

    full, ce_full = run("mha")
    other, ce_other = run(backend)
    teacher = full.detach().log_softmax(-1)
    kl = (teacher.exp() * (teacher - other.log_softmax(-1))).sum(-1)
    return ce_full + ce_other + (kl * weight).sum(1).mean() / weight.sum(), full[:, 0]


def train_shard(net, opt, shard, seed, args, schedule, gen, device):
    rng = np.random.default_rng(seed)
    todo = batches(shard.info, data.BUCKETS, args.batch_tokens, args.epochs, rng)
    frames = torch.from_numpy(shard.frames).to(device)  # one shard fits a GPU's memory; indexing there is free
    right = seen = 0
    total = 0.0
    for i, (length, which) in enumerate(todo):
        for group in opt.param_groups:
            group["lr"] = schedule((i + 1) / len(todo))
        x = frames[torch.from_numpy(which).to(device), :length].float()
        if args.spectra_only:
            x = x[:, :, :net.config["n_bins"]]
        n = torch.from_numpy(shard.info["n_tokens"][which].astype(np.int64)).to(device)
        y = torch.from_numpy(shard.info["class_id"][which].astype(np.int64)).to(device)
        x, dropped = augment((x - net.aux_shift) * net.aux_scale, net.config["n_bins"], gen)
        backend = ("gqa", "latent")[i % 2]
        segment = int(min(length // 2, 2 ** rng.integers(3, 8)))
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, logits = losses(net, x, n, y, dropped, backend, segment, args.drop, gen)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        total = total + loss.detach()
        right = right + (logits.argmax(1) == y).sum()
        seen += len(which)
    loss = float(total) / max(1, len(todo))
    if not math.isfinite(loss):
        raise SystemExit("loss is not finite: lower --lr, or look at the examples")
    return loss, float(right) / max(1, seen), len(todo)


def aux_statistics(shard, n_bins):
    """Shift and scale that bring each aux column to zero mean and unit spread; the spectrum stays as it is."""
    rows = np.concatenate([shard.frames[i, :n:8, n_bins:] for i, n in enumerate(shard.info["n_tokens"][:4096])]).astype(np.float64)
    shift, spread = rows.mean(0), rows.std(0)
    shift[2] = 0  # skipped: 0 is the common case
    return shift, 1 / np.maximum(spread, 0.05)


def set_statistics(net, shift, scale, columns, device):
    b = net.config["n_bins"]
    net.aux_shift = torch.zeros(columns, device=device)
    net.aux_scale = torch.ones(columns, device=device)
    net.aux_shift[b:] = torch.tensor(shift[:columns - b], device=device, dtype=torch.float32)
    net.aux_scale[b:] = torch.tensor(scale[:columns - b], device=device, dtype=torch.float32)


def main():
    args = arguments()
    began = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    if args.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    generator = data.Generator(args.library)
    labels = generator.labels()
    columns = generator.n_bins if args.spectra_only else generator.columns
    shards = [data.Shard(args.shard_size, data.BUCKETS[-1], generator.columns) for _ in range(2)]
    factory = data.Factory(shards, len(labels), args.processes, args.library)
    config = dict(M.REFERENCE_POINT, n_bins=generator.n_bins, n_aux=columns - generator.n_bins, n_classes=len(labels), norm=args.norm)
    net = M.Encoder(config).to(args.device)
    decay = [p for name, p in net.named_parameters() if p.ndim > 1]
    plain = [p for name, p in net.named_parameters() if p.ndim <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": args.weight_decay}, {"params": plain, "weight_decay": 0.0}],
                            lr=args.lr, betas=(.9, .98))
    checkpoint = args.out / "checkpoint.pt"
    done, statistics = 0, None
    if checkpoint.exists():
        c = torch.load(checkpoint, map_location=args.device)
        net.load_state_dict(c["net"])
        opt.load_state_dict(c["opt"])
        done, statistics = c["done"], c["statistics"]
        print(f"goes on from {checkpoint} after shard {done}", flush=True)
    log = (args.out / "log.jsonl").open("a")
    factory.request(done % 2, "train", done * args.shard_size)
    at = done - 1
    while at + 1 < args.shards:
        at += 1
        t0 = time.time()
        factory.wait(at % 2)
        t1 = time.time()
        shard = shards[at % 2]
        if statistics is None:
            statistics = [s.tolist() for s in aux_statistics(shard, generator.n_bins)]
        set_statistics(net, *statistics, columns, args.device)
        if at + 1 < args.shards:
            factory.request((at + 1) % 2, "train", (at + 1) * args.shard_size)

        def schedule(part, at=at):
            t = (at + part) / args.shards
            return args.lr * min(1.0, at + part) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t)))

        gen = torch.Generator(device=args.device)
        gen.manual_seed(args.seed * 1000003 + at)
        torch.manual_seed(args.seed * 1000003 + at)
        net.train()
        loss, accuracy, steps = train_shard(net, opt, shard, args.seed * 1000003 + at, args, schedule, gen, args.device)
        t2 = time.time()
        if args.seconds and at == done + 2:  # the first two are slow starters
            args.shards = max(at + 2, at + 1 + int((args.seconds - (t2 - began)) / (t2 - t0)))
            print(f"--seconds {args.seconds:g}: {args.shards} shards", flush=True)
        state = {"net": net.state_dict(), "opt": opt.state_dict(), "done": at + 1, "statistics": statistics, "config": config,
                 "labels": labels, "args": {k: str(v) for k, v in vars(args).items()}}
        torch.save(state, str(checkpoint) + ".tmp")
        os.replace(str(checkpoint) + ".tmp", checkpoint)
        line = {"shard": at + 1, "loss": round(loss, 4), "train_accuracy": round(accuracy, 4), "steps": steps,
                "wait_s": round(t1 - t0, 1), "train_s": round(t2 - t1, 1), "detected": round(float(shard.info["detected"].mean()), 3),
                "shards": args.shards, "eta_s": round((t2 - began) / (at + 1 - done) * (args.shards - at - 1))}
        print(json.dumps(line), flush=True)
        log.write(json.dumps(line) + "\n")
        log.flush()
        if args.stop_after and time.time() - began > args.stop_after and at + 1 < args.shards:
            print("stopped by --stop-after; run again to go on", flush=True)
            break
    factory.close()


if __name__ == "__main__":
    main()
