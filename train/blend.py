#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of a training that went on from a model file, drawn back towards that file, and evened out over the classes.

    train/blend.py --checkpoint run/checkpoint.pt --begun-from models/attune-base.safetensors --share 0.5 --out run/blend.pt
    train/export.py --checkpoint run/blend.pt ... --out blend.safetensors
    build/tests/bench/synthetic blend.safetensors 4352 1024 --split calibration --ends 4,16,64,256,1024 --backends flash,gqa,latent --each cal.jsonl
    train/blend.py --checkpoint run/blend.pt --even cal.jsonl --out run/even.pt

The mean of both ends of a fine-tune keeps more of what holds beyond its training data than its end alone (Wortsman et
al., Robust fine-tuning of zero-shot models, 2022). --even: in a scene narrow signals come up less often than wide ones,
and the head learns it; a bias for each class but noise, of least cross-entropy on calibration signals, which are drawn
evenly, takes that out again; instead of the engine's answers it takes what evaluate.py --logits kept (.npz). Test
signals and recordings have no part in either.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import train as T
from evaluate import BACKENDS, read_engine
from export import folded, reference


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=Path, required=True)
    p.add_argument("--begun-from", type=Path, help="model file that the training went on from")
    p.add_argument("--share", type=float, default=0.5, help="of the checkpoint's weights; the rest is the file's")
    p.add_argument("--even", type=Path, help="answers to calibration signals of these weights (.jsonl or .npz): a bias for each class")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    if not args.begun_from and not args.even and args.share != 1:
        p.error("--begun-from, --even, or both (or --share 1: the weights as they are)")
    return args


def blend(c, path, share):
    """The checkpoint c with its weights between those of the model file at path (0) and its own (1)."""
    old, meta = reference.read_safetensors(path)
    if json.loads(meta["labels"]) != list(c["labels"]):
        raise SystemExit(f"{path} has other labels than the checkpoint")
    rows, mine = json.loads(meta["config"])["d_ff"], folded(c["net"], c["config"], c["statistics"])
    old = T.widened({k: torch.from_numpy(np.array(old[k])) for k in mine if k in old}, c["config"]["d_ff"])
    for k, v in mine.items():
        if k not in old or tuple(old[k].shape) != v.shape:
            raise SystemExit(f"{path}: {k}: {v.shape} expected")
        new = torch.from_numpy(v)
        if k.endswith("mlp.up.weight"):  # rows that the file does not have stay as they are: nothing leads out of them there
            old[k][rows:] = new[rows:]
        c["net"][k] = torch.lerp(old[k], new, share)
    n = c["config"]["n_aux"]
    c["statistics"] = ([0.0] * n, [1.0] * n)  # the scaling is folded into the weights
    c["args"]["start_from"] = path.name
    c["note"] = f"{share:g} of these weights, the rest of the file" if share < 1 else ""


def read_logits(path):
    """The calibration part of what evaluate.py --logits kept: {backend: (N, K, n_classes)} and INFO."""
    with np.load(path) as f:
        return {b: f["calibration_" + b].astype(np.float32) for b in BACKENDS}, f["calibration_info"]


def even(c, path):
    """Adds the bias of each class but noise to the checkpoint's head. Returns it by label."""
    logits, info = read_logits(path) if path.suffix == ".npz" else read_engine(path, list(c["labels"]))
    known = info["class_id"] > 0
    x = torch.from_numpy(np.concatenate([v[known, -1, 1:] for v in logits.values()]))
    y = torch.from_numpy(np.tile(info["class_id"][known].astype(np.int64) - 1, len(logits)))
    bias, scale = torch.zeros(x.shape[1], requires_grad=True), torch.ones(1, requires_grad=True)
    opt = torch.optim.LBFGS([bias, scale], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = F.cross_entropy(x / scale + bias, y) + 3e-3 * bias.square().mean()
        loss.backward()
        return loss

    opt.step(closure)
    found = (bias * scale).detach()
    found = torch.cat([torch.zeros(1), found - found.mean()])
    c["net"]["head.bias"] = c["net"]["head.bias"] + found
    return {label: round(float(b), 2) for label, b in zip(c["labels"], found)}


def main():
    args = arguments()
    c = T.read_checkpoint(args.checkpoint, "cpu")
    if args.begun_from:
        blend(c, args.begun_from, args.share)
    if args.even:
        print("bias:", even(c, args.even))
    for k in ("live", "opt", "muon"):  # what only a training that goes on needs
        c.pop(k, None)
    torch.save(c, args.out.with_suffix(".tmp"))
    args.out.with_suffix(".tmp").replace(args.out)


if __name__ == "__main__":
    main()
