#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of a checkpoint on synthetic signals, paired across backends; and what the model file needs from validation:
temperatures, the unknown thresholds, the limit below which an answer is `weak`.

    train/evaluate.py --checkpoint run/checkpoint.pt --out run/eval.json --count 17408

Validation and test have their own seeds (data.py). Temperatures and thresholds come from validation only.
"""
import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
import model as M
from train import set_statistics

BACKENDS = ("mha", "gqa", "latent")
PREFIXES = (4, 16, 64, 256, 1024)
SNR_BINS = ((-10, -5), (-5, 0), (0, 5), (5, 10), (10, 20), (20, 30), (30, 50))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--count", type=int, default=17408, help="signals of the test set")
    p.add_argument("--validation", type=int, default=8704)
    p.add_argument("--snr", type=float, nargs=2, default=(-10.0, 30.0))
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--processes", type=int, default=os.cpu_count())
    p.add_argument("--library")
    p.add_argument("--segment", type=int, default=32)
    return p.parse_args()


def load(path, device):
    c = torch.load(path, map_location=device)
    net = M.Encoder(c["config"]).to(device).eval()
    net.load_state_dict(c["net"])
    set_statistics(net, *c["statistics"], c["config"]["n_bins"] + c["config"]["n_aux"], device)
    return net, c


def ends_of(n):
    """(N, K) prefix lengths: PREFIXES and the whole, cut at what there is."""
    return np.minimum(np.asarray(PREFIXES + (1 << 20,))[None], n[:, None])


def all_logits(net, shard, device, segment, batch_tokens=131072):
    """{backend: (N, K, n_classes)} at ends_of(n_tokens)."""
    n = shard.info["n_tokens"]
    ends = ends_of(n)
    columns = net.config["n_bins"] + net.config["n_aux"]
    out = {b: np.zeros(ends.shape + (net.config["n_classes"],), np.float32) for b in BACKENDS}
    lo = 0
    for length in data.BUCKETS:
        have = np.flatnonzero((n > lo) & (n <= length))
        lo = length
        size = max(1, batch_tokens // length)
        for i in range(0, len(have), size):
            which = have[i:i + size]
            x = torch.from_numpy(shard.frames[which, :length, :columns]).to(device).float()
            x = (x - net.aux_shift) * net.aux_scale
            e = torch.from_numpy(ends[which].astype(np.int64)).to(device)
            with torch.no_grad():
                for b in BACKENDS:
                    out[b][which] = net.prefix_logits(net(x, b, min(segment, length)), e).float().cpu().numpy()
    return out


def fit_temperature(logits, y, snr, tokens):
    """T = clamp(a + b snr + c log2 tokens): a, b, c of least negative log-likelihood."""
    lg, y = torch.from_numpy(logits), torch.from_numpy(y.astype(np.int64))
    s = torch.from_numpy(np.clip(snr, -10, 40).astype(np.float32))
    t = torch.log2(torch.from_numpy(np.maximum(tokens, 1).astype(np.float32)))
    p = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    opt = torch.optim.LBFGS([p], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = F.cross_entropy(lg / (p[0] + p[1] * s * .1 + p[2] * t * .1).clamp(.3, 5)[:, None], y)
        loss.backward()
        return loss

    opt.step(closure)
    a, b, c = (float(v) for v in p.detach())
    return {"a": round(a, 5), "b": round(b * .1, 6), "c": round(c * .1, 6), "min": .3, "max": 5.0}


def temperature(c, snr, tokens):
    t = c["a"] + c["b"] * np.clip(snr, -10, 40) + c["c"] * np.log2(np.maximum(tokens, 1))
    return np.clip(t, c["min"], c["max"])


def ece(prob, right, bins=15):
    """Expected calibration error over equal-mass bins."""
    order = np.argsort(prob)
    parts = np.array_split(order, bins)
    return float(sum(len(p) * abs(prob[p].mean() - right[p].mean()) for p in parts if len(p)) / max(1, len(prob)))


def wilson(k, n):
    if n == 0:
        return [0.0, 1.0]
    z, p = 1.96, k / n
    mid, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round(float((mid - half) / (1 + z * z / n)), 4), round(float((mid + half) / (1 + z * z / n)), 4)]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def calibrate(logits, info):
    """What the model file takes from validation."""
    y, n = info["class_id"], info["n_tokens"]
    ends, snr = ends_of(n), np.nan_to_num(info["measured_snr_db"])
    out = {"calibration": {}, "unknown": {}}
    for b, lg in logits.items():
        k = lg.shape[1]
        seen = info["detected"] > 0  # at run time there is always a detector's SNR
        out["calibration"][b] = fit_temperature(lg[seen].reshape(-1, lg.shape[2]), np.repeat(y[seen], k), np.repeat(snr[seen], k),
                                                ends[seen].reshape(-1))
        last = lg[:, -1]
        energy = -np.log(np.exp(last - last.max(1, keepdims=True)).sum(1)) - last.max(1)
        known = (y != 0) & (info["snr_db"] >= 10) & (n >= 16)
        out["unknown"][b] = round(float(np.quantile(energy[known], .97)), 4)
    out["calibration"]["flash"], out["unknown"]["flash"] = out["calibration"]["mha"], out["unknown"]["mha"]
    right = logits["mha"][:, -1].argmax(1) == y
    weak = -10.0
    for edge in np.arange(-10, 6, 1.0):
        near = (snr >= edge) & (snr < edge + 2) & (y != 0)
        if near.sum() > 50 and right[near].mean() < .5:
            weak = edge + 1
    out["weak"] = {"snr_db": float(weak), "tokens": 3}
    return out


def report(logits, info, labels, fixed):
    y, n, snr = info["class_id"], info["n_tokens"], info["snr_db"]
    ends, r = ends_of(n), {}
    for b, lg in logits.items():
        top = lg.argmax(-1)
        right = top == y[:, None]
        last = right[:, -1]
        t = temperature(fixed["calibration"][b], np.nan_to_num(info["measured_snr_db"]), n)
        prob = softmax(lg[:, -1] / t[:, None]).max(1)
        bins = {f"{lo}..{hi}": (snr >= lo) & (snr < hi) for lo, hi in SNR_BINS}
        ranges = {"-10..0": snr < 0, "0..10": (snr >= 0) & (snr < 10), "10..": snr >= 10}
        r[b] = {
            "overall": round(float(last.mean()), 4), "overall_ci95": wilson(last.sum(), len(last)), "n": len(last),
            "snr": {k: {"accuracy": round(float(last[m].mean()), 4), "ci95": wilson(last[m].sum(), m.sum()), "n": int(m.sum())} for k, m in bins.items() if m.any()},
            "range": {k: {"accuracy": round(float(last[m].mean()), 4), "n": int(m.sum()), "ece": round(ece(prob[m], last[m]), 4)} for k, m in ranges.items() if m.any()},
            "tokens_at_10db": {str(p): round(float(right[m, i].mean()), 4) for i, p in enumerate(PREFIXES)
                               for m in [(snr >= 10) & (n >= p)] if m.any()},
            "class_at_10db": {labels[c]: round(float(last[m].mean()), 4) for c in range(len(labels)) for m in [(y == c) & (snr >= 10)] if m.any()},
            "class_snr": {labels[c]: {k: round(float(last[m & (y == c)].mean()), 4) for k, m in bins.items() if (m & (y == c)).any()} for c in range(len(labels))},
        }
        if b == "mha":
            confusion = np.zeros((len(labels), len(labels)), int)
            np.add.at(confusion, (y[snr >= 0], top[snr >= 0, -1]), 1)
            r["confusion_at_0db"] = confusion.tolist()
            variants = {}
            for v in np.unique(info["variant"]):
                m = (info["variant"] == v) & (snr >= 10)
                if m.any():
                    wrong = top[m & ~last, -1]
                    variants[f"{labels[int(y[m][0])]}/{v.decode()}"] = [round(float(last[m].mean()), 3), int(m.sum()),
                                                                       labels[int(np.bincount(wrong).argmax())] if len(wrong) else ""]
            r["variants_at_10db"] = variants
    return r


def main():
    args = arguments()
    net, checkpoint = load(args.checkpoint, args.device)
    labels = checkpoint["labels"]
    shards = [data.Shard(args.validation, 1024, data.Generator(args.library).columns), data.Shard(args.count, 1024, data.Generator(args.library).columns)]
    factory = data.Factory(shards, len(labels), args.processes, args.library)
    factory.request(0, "validation", 0, (-10.0, 40.0))
    factory.wait(0)
    factory.request(1, "test", 0, tuple(args.snr), (1024,))
    fixed = calibrate(all_logits(net, shards[0], args.device, args.segment), shards[0].info)
    factory.wait(1)
    factory.close()
    result = {"labels": labels, "segment": args.segment, "test": report(all_logits(net, shards[1], args.device, args.segment), shards[1].info, labels, fixed),
              "detected": float(shards[1].info["detected"].mean()), **fixed}
    args.out.write_text(json.dumps(result, indent=1))
    for b in BACKENDS:
        t = result["test"][b]
        print(b, t["overall"], {k: v["accuracy"] for k, v in t["snr"].items()}, "ece", {k: v["ece"] for k, v in t["range"].items()})
    print("at 10 dB:", result["test"]["mha"]["class_at_10db"])
    print("worst variants:", sorted(result["test"]["variants_at_10db"].items(), key=lambda kv: kv[1][0])[:30])


if __name__ == "__main__":
    main()
