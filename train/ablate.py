#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short trainings that differ in one thing, on the same examples and steps: norm, aux columns, groups left out.

    train/ablate.py --pool pool --out run/ablate.json --seconds 40

Leaving out a group of classes shows what `unknown` is worth: AUROC of the energy, of the top probability and of the
Mahalanobis distance of pooled states, known signals against the left-out ones at 10 dB and more.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

import data
import train as T
from evaluate import all_logits, auroc, energy_of, only, softmax
from pool import Feed, Pool

LEFT_OUT = {"sweep": ("css", "chirp"), "digital": ("ofdm", "psk_qam"), "fsk": ("fsk2", "gfsk", "fsk4")}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--seconds", type=float, default=40, help="of each training; the first one sets the steps of all")
    p.add_argument("--steps", type=int, default=0, help="or steps of each")
    p.add_argument("--examples", type=int, default=150000)
    p.add_argument("--test", type=int, default=6000)
    p.add_argument("--batch-tokens", type=int, default=65536)
    p.add_argument("--capacity", type=int, default=0)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return p.parse_args()


def train_once(args, options, pool, labels, shape, statistics, steps):
    """A network after `steps` steps (0: as many as fit in --seconds), and how many they were."""
    o = T.arguments(["--pool", str(args.pool), "--out", str(args.out), "--steps", str(max(1, steps)), "--device", args.device,
                     "--batch-tokens", str(args.batch_tokens), "--drop", "0.05", *options])
    config = dict(T.M.REFERENCE_POINT, n_bins=shape[0], n_aux=0 if o.spectra_only else shape[1] - shape[0], n_classes=len(labels), norm=o.norm)
    torch.manual_seed(1)
    net = T.new_net(config, args.device)
    T.set_statistics(net, *statistics)
    net.train()
    trainer, began = T.Trainer(net, o), time.time()
    while trainer.step_number < steps or (not steps and time.time() - began < args.seconds):
        trainer.step(pool, trainer.step_number / steps if steps else min(1.0, (time.time() - began) / args.seconds))
        if args.device == "cuda" and trainer.step_number % 10 == 0:
            torch.cuda.synchronize()
    net.load_state_dict(trainer.ema)
    return net.eval(), trainer.step_number


def distance(pooled, info, fit):
    """Mahalanobis distance to the nearest class mean: classes and the shared spread from the examples `fit`."""
    x, y = pooled.astype(np.float64), info["class_id"]
    classes = np.unique(y[fit])
    means = np.stack([x[fit & (y == c)].mean(0) for c in classes])
    rest = np.concatenate([x[fit & (y == c)] - m for c, m in zip(classes, means)])
    precision = np.linalg.inv(np.cov(rest.T) + 1e-3 * np.eye(x.shape[1]))
    d = x[:, None] - means[None]
    return np.einsum("nci,ij,ncj->nc", d, precision, d).min(1)


def score(net, test, held, device):
    """Accuracies on known classes; with held-out labels also what tells them apart."""
    lg, pooled = all_logits(net, test, device, 32)
    y, snr, n = test.info["class_id"], test.info["snr_db"], test.info["n_tokens"]
    known, out = (y >= 0) & ~np.isin(y, list(held)), {}
    for b, v in lg.items():
        last = v[:, -1]
        right = last.argmax(1) == y
        out[b] = {"overall": round(float(right[known].mean()), 4), "at_10db": round(float(right[known & (snr >= 10)].mean()), 4)}
    strong = (snr >= 10) & (n >= 16) & (y != 0)
    inside, last = known & strong, lg["mha"][:, -1]
    half = np.arange(len(y)) % 2 == 0
    for name, outside in (("left_out", np.isin(y, list(held)) & strong), ("outliers", (y < 0) & strong)):
        if outside.any() and inside.sum() > 200:
            scores = {"energy": energy_of(last), "probability": -softmax(last).max(1), "distance": distance(pooled, test.info, inside & half)}
            out[name + "_auroc"] = {k: round(auroc(s[inside & ~half], s[outside]), 4) for k, s in scores.items()}
    return out


def main():
    args = arguments()
    labels, shape = data.labels_of(args.pool), data.shape_of(args.pool)
    capacity = args.capacity or (120_000_000 if args.device == "cuda" else 2_000_000)
    pool, feed, began = Pool(capacity, shape[0], shape[1] - shape[0], args.device), Feed(args.pool), time.time()
    while pool.made < args.examples and time.time() - began < 25:
        for _, chunk in feed.take():
            pool.add(chunk)
        time.sleep(.05)
    feed.close()
    pool.refresh()
    statistics = T.aux_statistics(pool.aux[:max(pool.write, 1)].float().cpu().numpy())
    validation = data.read_split(args.pool, "test" if any(args.pool.glob("test-*.npz")) else "validation")
    test = only(validation, np.arange(min(args.test, len(validation.info))))
    result, steps = {"examples": pool.made}, args.steps
    runs = [("rmsnorm", [], ())] + [("without_" + k, [], v) for k, v in LEFT_OUT.items()] + [("layernorm", ["--norm", "layernorm"], ()), ("spectra_only", ["--spectra-only"], ())]
    for name, options, held in runs:
        pool.held_out = [labels.index(x) for x in held]
        pool.refresh()
        net, steps = train_once(args, options, pool, labels, shape, statistics, steps)
        result[name] = dict(score(net, test, pool.held_out, args.device), steps=steps)
        print(name, json.dumps(result[name]), flush=True)
        args.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
