#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of a training that went on from a model file, or the mean of several, drawn back towards that file.

    train/blend.py --checkpoint run/checkpoint.pt --begun-from models/attune-base.safetensors --share 0.5 --out run/blend.pt
    train/blend.py --checkpoint run1/checkpoint.pt run2/checkpoint.pt --begun-from models/attune-base.safetensors --out run/blend.pt
    train/export.py --checkpoint run/blend.pt ... --out blend.safetensors

The mean of both ends of a fine-tune keeps more of what holds beyond its training data than its end alone (Wortsman et
al., Robust fine-tuning of zero-shot models, 2022); so does the mean of several that began from the same weights (Wortsman
et al., Model soups, 2022), each with the scaling of its aux columns folded in. Rows that widen the file's feed-forward part
begin at random in each training, and their mean says little. Test signals and recordings have no part in it.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

import data
import train as T
from export import folded, read_model


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=data.existing, nargs="+", required=True, help="of several the mean is taken first")
    p.add_argument("--begun-from", type=data.existing, help="model file that each training went on from")
    p.add_argument("--share", type=float, default=0.5, help="of the checkpoints' weights; the rest is the file's")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    if not args.begun_from and args.share != 1:
        p.error("--begun-from FILE, or --share 1: the weights as they are")
    return args


def read(path):
    """A checkpoint without what only a training that goes on needs."""
    return {k: v for k, v in T.read_checkpoint(path, "cpu").items() if k not in ("live", "opt", "muon")}


def fold(c):
    """The checkpoint c for aux columns as they come: their scaling goes into its weights."""
    c["net"].update({k: torch.from_numpy(v) for k, v in folded(c["net"], c["config"], c["statistics"]).items()})
    n = c["config"]["n_aux"]
    c["statistics"] = ([0.0] * n, [1.0] * n)


def must_agree(first, c, path, first_path):
    if list(c["labels"]) != list(first["labels"]):
        raise SystemExit(f"{path} has other labels than {first_path}")
    a, b = first["config"], c["config"]
    differs = ", ".join(f"{k} {b.get(k)}, not {a.get(k)}" for k in sorted({*a, *b}) if a.get(k) != b.get(k))
    if differs:
        raise SystemExit(f"{path} has another config than {first_path}: {differs}")


def mean(paths):
    """The first checkpoint with the mean of the weights of all."""
    first = read(paths[0])
    if len(paths) == 1:
        return first
    fold(first)
    total, seeds = {k: v.double() for k, v in first["net"].items()}, [first["args"]["seed"]]
    for path in paths[1:]:
        c = read(path)
        must_agree(first, c, path, paths[0])
        fold(c)
        total = {k: v + c["net"][k] for k, v in total.items()}
        seeds.append(c["args"]["seed"])
    first["net"] = {k: (v / len(paths)).float() for k, v in total.items()}
    first["args"]["seed"] = ", ".join(map(str, seeds))
    first["note"] = f"mean of {len(paths)} trainings"
    return first


def blend(c, path, share):
    """The checkpoint c with its weights between those of the model file at path (0) and its own (1)."""
    old, meta = read_model(path)
    if json.loads(meta["labels"]) != list(c["labels"]):
        raise SystemExit(f"{path} has other labels than the checkpoint")
    fold(c)
    rows, mine = json.loads(meta["config"])["d_ff"], {k: v for k, v in c["net"].items() if k != "aux_dropped"}
    old = T.widened({k: torch.from_numpy(np.array(old[k])) for k in mine if k in old}, c["config"]["d_ff"])
    for k, new in mine.items():
        if k not in old or old[k].shape != new.shape:
            raise SystemExit(f"{path}: {k}: {tuple(new.shape)} expected")
        if k.endswith("mlp.up.weight"):  # rows that the file does not have stay as they are: nothing leads out of them there
            old[k][rows:] = new[rows:]
        c["net"][k] = torch.lerp(old[k], new, share)
    c["args"]["start_from"] = path.name
    if share < 1:
        c["note"] = "; ".join(filter(None, (c.get("note"), f"{share:g} of these weights, the rest of the file")))


def main():
    args = arguments()
    c = mean(args.checkpoint)
    if args.begun_from:
        blend(c, args.begun_from, args.share)
    torch.save(c, args.out.with_suffix(".tmp"))
    args.out.with_suffix(".tmp").replace(args.out)


if __name__ == "__main__":
    main()
