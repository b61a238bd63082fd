#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short trainings that differ in one thing, on the same examples and steps: norm, aux columns, groups left out.

    train/ablate.py --pool pool --out run/ablate.json --seconds 60
    CUDA_VISIBLE_DEVICES=1 train/ablate.py --pool pool --out run/left-out-1.json --only without_sweep --seconds 200

Leaving out a group of classes shows what `unknown` is worth: AUROC of the energy, of the top probability, of the
Mahalanobis distance of pooled states, and of energy and distance together, known signals against the left-out ones at
10 dB and more.

Goes on where it was ended: trainings in OUT are not done again, the one that was under way goes on from OUT's .pt. Beside
OUT lies its table for docs/accuracy.md (.md).
"""
import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

import data
import train as T
from evaluate import all_logits, auroc, energy_of, only, softmax
from pool import Pool

LEFT_OUT = {"sweep": ("css", "chirp"), "digital": ("ofdm", "psk_qam"), "fsk": ("fsk2", "gfsk", "fsk4")}
RUNS = [("rmsnorm", [], ())] + [("without_" + k, ["--optimizer", "muon"], v) for k, v in LEFT_OUT.items()] + [
    ("layernorm", ["--norm", "layernorm"], ()), ("spectra_only", ["--spectra-only"], ()), ("muon", ["--optimizer", "muon"], ())]


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--only", nargs="+", choices=[r[0] for r in RUNS], help="these trainings; default: all")
    p.add_argument("--seconds", type=float, default=60, help="of each training; the first one sets the steps of all")
    p.add_argument("--steps", type=int, default=0, help="or steps of each")
    p.add_argument("--limit", type=float, default=1.5, help="a training that takes so many times --seconds is cut, and its row says so")
    p.add_argument("--examples", type=int, default=60000, help="the first so many of the pool's")
    p.add_argument("--wait", type=float, default=60, help="seconds to wait for them")
    p.add_argument("--test", type=int, default=6000, help="signals of the test split, or of validation where there is none yet")
    p.add_argument("--states", type=Path, help="folder: NAME.npz of each training, for scores that are not here: pooled states (N, d), logits (N, classes), "
                   "class_id, snr_db, n_tokens (N,) of the test signals under mha, and the head")
    p.add_argument("--batch-tokens", type=int, default=65536)
    p.add_argument("--capacity", type=int, default=0)
    p.add_argument("--checkpoint-every", type=float, default=15, help="seconds")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return p.parse_args()


def read_examples(args, pool, first, chunks):
    """Fills the pool with the chunks `first` (-1: the oldest there is) and on as they come, until --examples are there or --wait is over;
    chunks: so many, whatever --examples says (those that began took as many). Returns the first one and how many they were."""
    k, began = 0, time.time()
    while k < chunks or (not chunks and pool.made < args.examples):
        if first < 0:
            first = min((int(p.stem.split("-")[1]) for p in args.pool.glob("train-*.npz")), default=-1)
        path = args.pool / data.chunk_name("train", first + k)
        if first >= 0 and path.exists():
            chunk = data.Chunk.read(path)
            if pool.write + len(chunk.spectra) > pool.capacity:
                break
            pool.add(chunk)
            k += 1
        elif time.time() - began > args.wait:
            break
        else:
            time.sleep(.05)
    if not k:
        raise SystemExit(f"no {args.pool / 'train-*.npz'}: make examples with train/examples.py")
    return first, k


def save(path, state):
    torch.save(state, str(path) + ".tmp")
    os.replace(str(path) + ".tmp", path)


def train_once(args, name, options, pool, labels, shape, statistics, steps):
    """A network after `steps` steps (0: as many as fit in --seconds), how many they were and how long they took."""
    o = T.arguments(["--pool", str(args.pool), "--out", str(args.out), "--steps", str(max(1, steps)), "--device", args.device,
                     "--batch-tokens", str(args.batch_tokens), "--drop", "0.05", *options])
    config = dict(T.M.REFERENCE_POINT, n_bins=shape[0], n_aux=0 if o.spectra_only else shape[1] - shape[0], n_classes=len(labels), norm=o.norm)
    torch.manual_seed(1)
    net = T.new_net(config, args.device)
    T.set_statistics(net, *statistics)
    net.train()
    trainer, begun, path = T.Trainer(net, o), 0.0, args.out.with_suffix(".pt")
    if path.exists():
        c = T.read_checkpoint(path, args.device)
        if c["name"] == name:
            net.load_state_dict(c["live"])
            trainer.load_optimizer(c)
            trainer.ema, trainer.step_number, begun = c["net"], c["step"], c["seconds"]
            print(f"{name} goes on after step {c['step']}", flush=True)
    start = saved = time.time()
    spent = lambda: begun + time.time() - start
    while (trainer.step_number < steps and not (args.seconds and spent() > args.limit * args.seconds)) or (not steps and spent() < args.seconds):
        trainer.step(pool, trainer.step_number / steps if steps else min(1.0, spent() / args.seconds))
        if args.device == "cuda" and trainer.step_number % 10 == 0:
            torch.cuda.synchronize()
        if time.time() - saved > args.checkpoint_every:
            save(path, {"name": name, "live": net.state_dict(), **trainer.optimizer_state(), "net": trainer.ema,
                        "step": trainer.step_number, "seconds": spent()})
            saved = time.time()
    figures = trainer.figures()  # stops where the loss is not finite
    net.load_state_dict(trainer.ema)
    return net.eval(), {"steps": trainer.step_number, "seconds": round(spent(), 1), "loss": figures["loss"]}


def distance(pooled, info, fit):
    """Mahalanobis distance to the nearest class mean: classes and the shared spread from the examples `fit`."""
    x, y = pooled.astype(np.float64), info["class_id"]
    classes = np.unique(y[fit])
    means = np.stack([x[fit & (y == c)].mean(0) for c in classes])
    rest = np.concatenate([x[fit & (y == c)] - m for c, m in zip(classes, means)])
    precision = np.linalg.inv(np.cov(rest.T) + 1e-3 * np.eye(x.shape[1]))
    d = x[:, None] - means[None]
    return np.einsum("nci,ij,ncj->nc", d, precision, d).min(1)


def together(energy, distance, fit):
    """Energy and the logarithm of the distance, each in standard deviations of the known examples `fit`, added."""
    far = np.log(distance)
    return (energy - energy[fit].mean()) / energy[fit].std() + (far - far[fit].mean()) / far[fit].std()


def score(net, test, held, device, states=None):
    """Accuracies on known classes; with held-out labels also what tells them apart. states: file for the pooled states, or none."""
    lg, pooled = all_logits(net, test, device, 32)
    y, snr, n = test.info["class_id"], test.info["snr_db"], test.info["n_tokens"]
    if states:
        np.savez_compressed(states, pooled=pooled.astype(np.float16), logits=lg["mha"][:, -1], class_id=y, snr_db=snr, n_tokens=n,
                            weight=net.head.weight.detach().cpu().numpy(), bias=net.head.bias.detach().cpu().numpy())
    known, out = (y >= 0) & ~np.isin(y, list(held)), {"signals": int(((y >= 0) & ~np.isin(y, list(held))).sum())}
    for b, v in lg.items():
        right = v[:, -1].argmax(1) == y
        out[b] = {"overall": round(float(right[known].mean()), 4), "at_10db": round(float(right[known & (snr >= 10)].mean()), 4)}
    strong = (snr >= 10) & (n >= 16) & (y != 0)
    inside, last = known & strong, lg["mha"][:, -1]
    half = np.arange(len(y)) % 2 == 0
    for name, outside in (("left_out", np.isin(y, list(held)) & strong), ("outliers", (y < 0) & strong)):
        if outside.any() and (inside & half).any() and (inside & ~half).any():
            scores = {"energy": energy_of(last), "probability": -softmax(last).max(1), "distance": distance(pooled, test.info, inside & half)}
            scores["together"] = together(scores["energy"], scores["distance"], inside & half)
            out[name + "_auroc"] = {k: round(auroc(s[inside & ~half], s[outside]), 4) for k, s in scores.items()}
            out[name + "_signals"] = [int((inside & ~half).sum()), int(outside.sum())]
    return out


@torch.no_grad()
def p50_ms(net, device, tokens=1024, runs=31):
    """Median time of one window under mha on this device, by PyTorch."""
    x, times = torch.randn(1, tokens, net.config["n_bins"] + net.config["n_aux"], device=device), []
    ends = torch.tensor([[tokens]], device=device)
    for _ in range(runs + 5):
        began = time.perf_counter()
        net.prefix_logits(net(x, "mha", 32), ends).cpu()
        times.append(time.perf_counter() - began)
    return round(1e3 * float(np.median(times[5:])), 2)


def table(result):
    """The rows that docs/accuracy.md shows."""
    lines = [f"{result['examples']} examples, the same for all; `{result['device']}`; `train/ablate.py`.", "",
             "| training | steps | mha, gqa, latent: all | at 10 dB and more | p50 of a window, PyTorch | left out: energy, probability, distance, energy and distance | outliers: the same |",
             "|--|--|--|--|--|--|--|"]
    three = lambda row, key: ", ".join(f"{100 * row[b][key]:.1f}" for b in ("mha", "gqa", "latent")) + " %"
    scores = lambda row, key: ", ".join(f"{v:.3f}" for v in row[key + "_auroc"].values()) if key + "_auroc" in row else ""
    for name, row in result["runs"].items():
        steps = f"{row['steps']}{' (cut)' if row['steps'] < result['steps'] else ''}"
        lines.append(f"| `{name}` | {steps} | {three(row, 'overall')} | {three(row, 'at_10db')} | {row['p50_ms']} ms | {scores(row, 'left_out')} | {scores(row, 'outliers')} |")
    return "\n".join(lines) + "\n"


def write(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def main():
    args = arguments()
    if args.states:
        args.states.mkdir(parents=True, exist_ok=True)
    labels, shape = data.labels_of(args.pool), data.shape_of(args.pool)
    result = json.loads(args.out.read_text()) if args.out.exists() else {"runs": {}}
    todo = [r for r in RUNS if r[0] not in result["runs"] and r[0] in (args.only or [r[0]])]
    if not todo:
        return
    capacity = args.capacity or (60_000_000 if args.device == "cuda" else 2_000_000)
    pool = Pool(capacity, shape[0], shape[1] - shape[0], args.device)
    first, chunks = read_examples(args, pool, result.get("first", -1), result.get("chunks", 0))
    result.update(first=first, chunks=chunks, examples=pool.made, device=args.device)
    statistics = T.aux_statistics(pool.aux[:pool.write].float().cpu().numpy())
    validation = data.read_split(args.pool, "test" if any(args.pool.glob("test-*.npz")) else "validation", args.test, args.wait)
    test, steps = only(validation, np.arange(min(args.test, len(validation.info)))), result.get("steps", args.steps)
    for name, options, held in todo:
        pool.held_out = [labels.index(x) for x in held]
        pool.refresh()
        net, how = train_once(args, name, options, pool, labels, shape, statistics, steps)
        steps = result["steps"] = steps or how["steps"]
        states = args.states / f"{name}.npz" if args.states else None
        result["runs"][name] = {**score(net, test, pool.held_out, args.device, states), **how, "p50_ms": p50_ms(net, args.device)}
        print(name, json.dumps(result["runs"][name]), flush=True)
        write(args.out, json.dumps(result, indent=1))
        write(args.out.with_suffix(".md"), table(result))
    args.out.with_suffix(".pt").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
