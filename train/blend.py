#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights of a training that went on from a model file, drawn back towards that file.

    train/blend.py --checkpoint run/checkpoint.pt --begun-from models/attune-base.safetensors --share 0.5 --out run/blend.pt
    train/export.py --checkpoint run/blend.pt ... --out blend.safetensors

The mean of both ends of a fine-tune keeps more of what holds beyond its training data than its end alone (Wortsman et
al., Robust fine-tuning of zero-shot models, 2022). Test signals and recordings have no part in it.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch

import train as T
from export import folded, reference


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=Path, required=True)
    p.add_argument("--begun-from", type=Path, help="model file that the training went on from")
    p.add_argument("--share", type=float, default=0.5, help="of the checkpoint's weights; the rest is the file's")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args()
    if not args.begun_from and args.share != 1:
        p.error("--begun-from FILE, or --share 1: the weights as they are")
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


def main():
    args = arguments()
    c = T.read_checkpoint(args.checkpoint, "cpu")
    if args.begun_from:
        blend(c, args.begun_from, args.share)
    for k in ("live", "opt", "muon"):  # what only a training that goes on needs
        c.pop(k, None)
    torch.save(c, args.out.with_suffix(".tmp"))
    args.out.with_suffix(".tmp").replace(args.out)


if __name__ == "__main__":
    main()
