#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accuracy of a checkpoint on synthetic signals, paired across backends; and what the model file needs from validation:
temperatures, the unknown thresholds, the limit below which an answer is `weak`.

    train/evaluate.py --checkpoint run/checkpoint.pt --pool pool --out run/eval.json
    train/evaluate.py --engine calibration.jsonl test.jsonl outliers.jsonl --out eval.json     # of a model file, below

The second reads what the shipped encoder answered (build/tests/bench/synthetic MODEL N 1024 --ends 4,16,64,256,1024
--backends flash,gqa,latent --split calibration|test|outliers --each FILE), so that it needs no GPU and no trainer. --noise
CALIBRATION TEST adds files of --class noise: what seldom happens to noise is seen among thousands only.
Validation and test have their own seeds (data.py). Temperatures and thresholds come from validation only.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import data
from pool import Pool
from train import frames_of, new_net, read_checkpoint, set_statistics

BACKENDS = ("mha", "gqa", "latent")
PREFIXES = (4, 16, 64, 256, 1024)
WINDOW = 1024  # of the model: tokens beyond it are not heard at once
LEAST_SNR_DB = -10.0
EVIDENCE = ("top", "noise", "margin_db", "snr_db", "log2_tokens", "share")  # weights of lib/model/decide.c
NOISE_NAMED = 1 / 2000  # of noise may get a class on validation: half of what is aimed at, which leaves room for chance
KNOWN_LOST = .0005  # of known signals at 10 dB and more are `unknown`, few, as real ones lie further out than ours
SNR_BINS = ((-10, -5), (-5, 0), (0, 5), (5, 10), (10, 20), (20, 30), (30, 50))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=data.existing)
    p.add_argument("--pool", type=Path, help="folder with calibration and test examples (train/examples.py)")
    p.add_argument("--engine", type=data.existing, nargs="+", help="answers of the shipped encoder: calibration, test[, outliers]")
    p.add_argument("--noise", type=data.existing, nargs=2, help="with --engine: more places without a signal (--class noise), of calibration and test")
    p.add_argument("--model", type=data.existing, help="with --engine: whose calibration is judged instead of a new one")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--count", type=int, default=0, help="test signals to wait for")
    p.add_argument("--wait", type=float, default=0, help="seconds to wait for them")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--segment", type=int, default=32)
    p.add_argument("--monte-carlo", type=int, default=0, help="with --checkpoint: passes with dropout under mha, and what they add")
    p.add_argument("--drop", type=float, default=0.05, help="dropout of these passes: that of the training")
    args = p.parse_args()
    if not args.engine and not (args.checkpoint and args.pool):
        p.error("--checkpoint and --pool, or --engine")
    return args


def load(path, device):
    c = read_checkpoint(path, device)
    net = new_net(c["config"], device).eval()
    net.load_state_dict(c["net"])
    set_statistics(net, *c["statistics"])
    return net, c


def ends_of(n):
    """(N, K) prefix lengths: PREFIXES and the whole, cut at what there is."""
    return np.minimum(np.asarray(PREFIXES + (1 << 20,))[None], n[:, None])


def batches(net, chunk, device, batch_tokens=131072):
    """Examples of like length, as (indices, padded length, frames (B, L, n_bins + n_aux) as the network takes them)."""
    pool = Pool(len(chunk.spectra), chunk.spectra.shape[1], chunk.aux.shape[1], device)
    pool.add(chunk)
    n, lo = chunk.info["n_tokens"], 0
    for length in data.BUCKETS:
        have = np.flatnonzero((n > lo) & (n <= length))
        lo = length
        size = max(1, batch_tokens // length)
        for i in range(0, len(have), size):
            which = have[i:i + size]
            at = np.minimum(np.arange(length)[None], n[which][:, None] - 1) + chunk.starts[which][:, None]
            at = torch.from_numpy(at.reshape(-1)).to(device)
            shape = (len(which), length, -1)
            yield which, length, frames_of(net, pool.spectra.index_select(0, at).view(shape), pool.aux.index_select(0, at).view(shape))


@torch.no_grad()
def all_logits(net, chunk, device, segment):
    """{backend: (N, K, n_classes)} at ends_of(n_tokens), and mha's pooled states (N, d)."""
    ends = ends_of(chunk.info["n_tokens"])
    out = {b: np.zeros(ends.shape + (net.config["n_classes"],), np.float32) for b in BACKENDS}
    pooled = np.zeros((len(ends), net.config["d_model"]), np.float16)
    for which, length, x in batches(net, chunk, device):
        e = torch.from_numpy(ends[which].astype(np.int64)).to(device)
        for b in BACKENDS:
            means = net.pooled(net(x, b, min(segment, length)), e)
            out[b][which] = net.logits(means).float().cpu().numpy()
            if b == "mha":
                pooled[which] = means[:, -1].float().cpu().numpy()
    return out, pooled


@torch.no_grad()
def monte_carlo(net, chunk, device, drop, passes):
    """What Monte-Carlo dropout under mha adds to one plain pass, of whole signals: accuracy, and how well each doubt tells
    misses from hits (AUROC): one less the top probability of the plain pass and of the passes' mean, the entropy of
    that mean, and the mutual information (Gal and Ghahramani 2016; Depeweg et al. 2018)."""
    n, y = chunk.info["n_tokens"], chunk.info["class_id"]
    mean, plain, entropy = np.zeros((len(n), net.config["n_classes"])), np.zeros((len(n), net.config["n_classes"])), np.zeros(len(n))
    for which, _, x in batches(net, chunk, device):
        e = torch.from_numpy(n[which].astype(np.int64)).to(device)[:, None]
        probabilities = lambda drop: net.prefix_logits(net(x, "mha", drop=drop), e)[:, 0].double().softmax(-1).cpu().numpy()
        plain[which] = probabilities(0.0)
        net.train()  # where dropout works
        for _ in range(passes):
            p = probabilities(drop)
            mean[which] += p / passes
            entropy[which] -= (p * np.log(p + 1e-12)).sum(1) / passes
        net.eval()
    of_mean = -(mean * np.log(mean + 1e-12)).sum(1)
    wrong, wrong_mean = plain.argmax(1) != y, mean.argmax(1) != y
    detects = lambda doubt, miss: round(auroc(doubt[~miss], doubt[miss]), 4)
    return {"passes": passes, "drop": drop, "signals": len(n), "accuracy": {"plain": round(float(1 - wrong.mean()), 4), "mean": round(float(1 - wrong_mean.mean()), 4)},
            "misses_auroc": {"plain_probability": detects(1 - plain.max(1), wrong), "mean_probability": detects(1 - mean.max(1), wrong_mean),
                             "entropy": detects(of_mean, wrong_mean), "mutual_information": detects(of_mean - entropy, wrong_mean)}}


def held(snr, most=40):
    """SNR as lib/model/decide.c takes it."""
    return np.clip(np.where(np.isfinite(snr), snr, LEAST_SNR_DB), LEAST_SNR_DB, most)


def log2_tokens(tokens):
    return np.log2(np.clip(tokens, 1, WINDOW))


def largest_other(logits, but):
    return np.delete(logits, but, -1).max(-1) if but >= 0 else logits.max(-1)


def margin_of_noise(logits, noise):
    """The logit of `noise` less the largest other."""
    return np.clip(logits[..., noise] - largest_other(logits, noise), -8, 8) if noise >= 0 else np.zeros(logits.shape[:-1])


def fit_temperature(logits, y, snr, tokens, weight, noise):
    """T = clamp(a + b snr + c log2 tokens + d margin of noise): a, b, c, d of least cross-entropy of "the top class is right"
    (what calibration is about; of all classes' probabilities, T would suit the rest), held near T = 1 where examples are few."""
    lg, y = torch.from_numpy(logits).double(), torch.from_numpy(y.astype(np.int64))
    x = torch.from_numpy(np.stack([np.ones(len(y)), held(snr) * .1, log2_tokens(tokens) * .1, margin_of_noise(logits, noise) * .1], -1)).double()
    weight = torch.from_numpy(weight).double()
    start = torch.tensor([1.0, 0.0, 0.0, 0.0]).double()
    p = start.clone().requires_grad_(True)
    right = (lg.argmax(1) == y).double()
    opt = torch.optim.LBFGS([p], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        t = .3 + F.softplus((x @ p - .3) * 8) / 8  # a clamp that the search does not stick to
        top = (lg / t[:, None]).log_softmax(1).max(1).values.clamp(max=-1e-6)
        loss = -(weight * (right * top + (1 - right) * torch.log(-torch.expm1(top)))).sum() / weight.sum() + ((p - start) ** 2).sum() / len(y)
        loss.backward()
        return loss

    opt.step(closure)
    a, b, c, d = (float(v) for v in p.detach())
    return {"a": round(a, 5), "b": round(b * .1, 6), "c": round(c * .1, 6), "d": round(d * .1, 6), "min": .3, "max": 5.0}


def temperature(c, logits, snr, tokens, noise):
    t = c["a"] + c["b"] * held(snr) + c["c"] * log2_tokens(tokens) + c.get("d", 0) * margin_of_noise(logits, noise)
    return np.clip(t, c["min"], c["max"])


def speaking(logits, snr, tokens, share, noise):
    """What may speak against noise, (N, 6) in the order of EVIDENCE."""
    top, none, s = largest_other(logits, noise), logits[..., noise], held(snr, 30)
    return np.stack([top, none, (top - none) * s, s, log2_tokens(tokens), np.clip(np.where(np.isfinite(share), share, 1), 0, 1)], -1)


def evidence(e, logits, snr, tokens, share, noise):
    """Below 0 the answer is `weak` (lib/model/decide.c)."""
    return speaking(logits, snr, tokens, share, noise) @ np.array([e[k] for k in EVIDENCE]) - e["least"]


def logistic(x, y, weight):
    """Weights and constant of a logistic regression, by Newton's method, pulled a little towards 0."""
    mean, spread = x.mean(0), x.std(0) + 1e-9
    z, w = np.c_[np.ones(len(x)), (x - mean) / spread], np.zeros(x.shape[1] + 1)
    pull = np.diag([1e-6] + [1.0] * x.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -30, 30)))
        step = np.linalg.solve((z * (weight * p * (1 - p) + 1e-9)[:, None]).T @ z + pull, z.T @ (weight * (y - p)) - pull @ w)
        w += step
        if np.abs(step).max() < 1e-6:
            break
    return w[1:] / spread, w[0] - (w[1:] / spread) @ mean


def sure_snr(logits, info, noise):
    """Whole dB above every place without a signal that a class was given to, under any backend."""
    given = (info["class_id"] == noise) & np.any([v[:, -1].argmax(1) != noise for v in logits.values()], 0)
    return float(np.floor(info["measured_snr_db"][given].max()) + 1) if given.any() else LEAST_SNR_DB


def fit_evidence(logits, info, noise, sure):
    """Weights, for SNRs below `sure`, that tell signals named rightly from noise that a class was given to, drawn to the noise that most resembles
    a signal; and the least that lets NOISE_NAMED of all noise get a class. From validation."""
    lg = {k: v[:, -1] for k, v in logits.items()}
    y, out = info["class_id"], {}
    for b, v in lg.items():
        x = speaking(v, info["measured_snr_db"], info["n_tokens"], info["share"], noise)
        lost, signal = y == noise, (y != noise) & (v.argmax(1) == y) & ~(info["measured_snr_db"] >= sure)
        of_noise = np.ones(int(lost.sum()))
        x2, y2 = np.concatenate([x[lost], x[signal]]), np.r_[np.zeros(len(of_noise)), np.ones(int(signal.sum()))]
        for _ in range(7):
            weight = np.r_[of_noise / of_noise.sum(), np.full(int(signal.sum()), 1 / signal.sum())] * 1500
            w, constant = logistic(x2, y2, weight)
            like = np.exp(.5 * np.clip(x[lost] @ w + constant, -8, 8))
            of_noise = .5 * like + .5 * of_noise / of_noise.mean()
        named = v[lost].argmax(1) != noise
        score = np.sort(np.where(named, x[lost] @ np.round(w, 5), -1e9))[::-1]
        out[b] = {**{k: round(float(c), 5) for k, c in zip(EVIDENCE, w)}, "least": round(float(score[int(NOISE_NAMED * len(score))]) + 1e-4, 4)}
    out["flash"] = out["mha"]
    return out


def ece(prob, right, bins=15):
    """Expected calibration error over equal-mass bins."""
    order = np.argsort(prob)
    parts = np.array_split(order, bins)
    return float(sum(len(p) * abs(prob[p].mean() - right[p].mean()) for p in parts if len(p)) / max(1, len(prob)))


def reliability(prob, right, bins=15):
    """[confidence, share right] of equal-mass bins."""
    return [[round(float(prob[p].mean()), 4), round(float(right[p].mean()), 4)] for p in np.array_split(np.argsort(prob), bins) if len(p)]


def wilson(k, n):
    if n == 0:
        return [0.0, 1.0]
    z, p = 1.96, k / n
    mid, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round(float((mid - half) / (1 + z * z / n)), 4), round(float((mid + half) / (1 + z * z / n)), 4)]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def even_weights(info):
    """The three SNR ranges count alike."""
    snr, weight = info["snr_db"], np.zeros(len(info))
    for m in (snr < 0, (snr >= 0) & (snr < 10), snr >= 10):
        weight[m] = 1 / max(1, m.sum())
    return weight


def heard(logits, info, which):
    """Logits, class, SNR, tokens and weight of decisions: a quarter of the weight is on beginnings of 16, 64 and 256 tokens, on which a
    live radio decides first."""
    y, n, snr, parts = info["class_id"], info["n_tokens"], info["measured_snr_db"], []
    for k, (tokens, share) in enumerate(zip((*PREFIXES, 1 << 20), (0, .25 / 3, .25 / 3, .25 / 3, 0, .75))):
        m = which & ((n > tokens) | (tokens > WINDOW))
        if share and m.any():
            parts.append((logits[m, k], y[m], snr[m], np.minimum(n[m], tokens), share * even_weights(info[m])))
    return (np.concatenate(p) for p in zip(*parts))


def calibrate(logits, info, noise, more_noise=None):
    """What the model file takes from validation. noise: the index of that class; more_noise: logits and INFO of further places
    without a signal, for the evidence."""
    y, n = info["class_id"], info["n_tokens"]
    snr, signal = np.nan_to_num(info["measured_snr_db"]), (info["class_id"] != noise) & (info["n_tokens"] > 0)
    out = {"calibration": {}, "unknown": {}}
    for b, lg in logits.items():
        out["calibration"][b] = fit_temperature(*heard(lg, info, signal), noise)
    out["calibration"]["flash"] = out["calibration"]["mha"]
    known = (y != noise) & (info["snr_db"] >= 10) & (n >= 16)
    # the highest energies of one backend are a few signals' whim: the same weights have one limit under all
    limit = np.mean([np.quantile(energy_of(lg[known, -1]), 1 - KNOWN_LOST) for lg in logits.values()])
    out["unknown"] = {b: round(float(limit), 4) for b in (*logits, "flash")}
    right = logits["mha"][:, -1].argmax(1) == y
    weak = -10.0
    for edge in np.arange(-10, 6, 1.0):
        near = (snr >= edge) & (snr < edge + 2) & (y != noise)
        if near.sum() > 50 and right[near].mean() < .5:
            weak = edge + 1
    out["weak"] = {"snr_db": float(weak), "tokens": 3}
    if (y == noise).sum() + (len(more_noise[1]) if more_noise else 0) >= 1000:
        lg, i = (logits, info) if not more_noise else joined((logits, info), more_noise)
        out["weak"]["sure_snr_db"] = sure_snr(lg, i, noise)
        out["weak"]["evidence"] = fit_evidence(lg, i, noise, out["weak"]["sure_snr_db"])
    return out


def noise_of(labels):
    return labels.index("noise") if "noise" in labels else -1


def joined(a, b):
    """Two pairs of logits and INFO as one."""
    return {k: np.concatenate([a[0][k], b[0][k]]) for k in a[0]}, np.concatenate([a[1], b[1]])


def named(fixed, b, logits, info, noise):
    """(N,) bool: gets a class, neither `weak` nor `unknown`, as at_verdict_answer decides after one decision over all tokens."""
    snr, n, weak = info["measured_snr_db"], info["n_tokens"], fixed["weak"]
    out = (logits.argmax(1) != noise) & (n >= weak["tokens"]) & ~(snr < weak["snr_db"]) & (energy_of(logits) <= fixed["unknown"][b])
    if noise >= 0 and b in weak.get("evidence", {}):
        out &= (evidence(weak["evidence"][b], logits, snr, n, info["share"], noise) >= 0) | (snr >= weak.get("sure_snr_db", np.inf))
    return out


def report_noise(logits, info, fixed, noise):
    """How often a place without a signal gets a class, with the 95 % interval: by backend and kind."""
    r, kinds = {}, {"all": np.ones(len(info), bool), **{v.decode() or "by_hand": info["variant"] == v for v in np.unique(info["variant"])}}
    for b, lg in logits.items():
        got = named(fixed, b, lg[:, -1], info, noise)
        r[b] = {k: {"named": int(got[m].sum()), "n": int(m.sum()), "ci95": wilson(got[m].sum(), m.sum())} for k, m in kinds.items()}
    return r


def report(logits, info, labels, fixed):
    y, n, snr, noise = info["class_id"], info["n_tokens"], info["snr_db"], noise_of(labels)
    ends, r, signal = ends_of(n), {}, info["class_id"] != noise_of(labels)
    for b, lg in logits.items():
        top = lg.argmax(-1)
        right = top == y[:, None]
        last = right[:, -1]
        t = temperature(fixed["calibration"][b], lg[:, -1], info["measured_snr_db"], n, noise)
        got = named(fixed, b, lg[:, -1], info, noise)
        prob = softmax(lg[:, -1] / t[:, None]).max(1)
        bins = {f"{lo}..{hi}": (snr >= lo) & (snr < hi) for lo, hi in SNR_BINS}
        ranges = {"-10..0": signal & (snr < 0), "0..10": signal & (snr >= 0) & (snr < 10), "10..": signal & (snr >= 10)}  # noise has no SNR
        r[b] = {
            "overall": round(float(last.mean()), 4), "overall_ci95": wilson(last.sum(), len(last)), "n": len(last),
            "snr": {k: {"accuracy": round(float(last[m].mean()), 4), "ci95": wilson(last[m].sum(), m.sum()), "n": int(m.sum())} for k, m in bins.items() if m.any()},
            "range": {k: {"accuracy": round(float(last[m].mean()), 4), "n": int(m.sum()), "ece": round(ece(prob[m], last[m]), 4),
                          "coverage": round(float(got[m].mean()), 4), "covered_accuracy": round(float(last[m & got].mean()), 4) if (m & got).any() else None}
                      for k, m in ranges.items() if m.any()},
            "tokens_at_10db": {str(p): round(float(right[m, i].mean()), 4) for i, p in enumerate(PREFIXES)
                               for m in [(snr >= 10) & (n >= p)] if m.any()},
            "class_at_10db": {labels[c]: round(float(last[m].mean()), 4) for c in range(len(labels)) for m in [(y == c) & (snr >= 10)] if m.any()},
            "class_snr": {labels[c]: {k: round(float(last[m & (y == c)].mean()), 4) for k, m in bins.items() if (m & (y == c)).any()} for c in range(len(labels))},
        }
        r[b]["reliability"] = {k: reliability(prob[m], last[m]) for k, m in ranges.items() if m.any()}
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


def auroc(inside, outside):
    """Chance that a score of `outside` is above one of `inside`."""
    rank = np.argsort(np.argsort(np.concatenate([inside, outside]), kind="stable"), kind="stable")[len(inside):]
    return float((rank.sum() - len(outside) * (len(outside) - 1) / 2) / max(1, len(inside) * len(outside)))


def only(chunk, which):
    """The examples `which` (indices) of a chunk."""
    at = np.concatenate([np.arange(chunk.starts[i], chunk.starts[i] + chunk.info["n_tokens"][i]) for i in which])
    return data.Chunk(chunk.spectra[at], chunk.aux[at], chunk.info[which])


def energy_of(logits):
    top = logits.max(-1)
    return -np.log(np.exp(logits - top[..., None]).sum(-1)) - top


def read_engine(path, labels):
    """Logits {backend: (N, K, n_classes)} and INFO of a file of build/tests/bench/synthetic."""
    rows, fields = [json.loads(line) for line in path.open()], data.INFO.names[2:-1]
    if len(rows) == 0 or len(rows[0]["logits"]["flash"]) != len(PREFIXES) + 1:
        raise SystemExit(f"{path}: logits at --ends {','.join(map(str, PREFIXES))} expected")
    info = np.array([(labels.index(r["class"]) if r["class"] in labels else -1, r["tokens"]) + tuple(r[f] for f in fields)
                     + (r["variant"].encode(),) for r in rows], data.INFO)
    stack = lambda b: np.array([r["logits"][b] for r in rows], np.float32)
    return {"mha": stack("flash"), "gqa": stack("gqa"), "latent": stack("latent")}, info


def of_engine(args):
    """Labels, logits, infos by split, a calibration that stands, further results: from --engine."""
    import export  # noqa: E402  the reference, which reads model files
    labels = data.Generator().labels()
    if args.model:
        meta = export.read_model(args.model)[1]
        labels = json.loads(meta["labels"])
    logits, infos = {}, {}
    for split, path in zip(("calibration", "test"), args.engine):
        logits[split], infos[split] = read_engine(path, labels)
    if len(args.engine) > 2:
        more, info = read_engine(args.engine[2], labels)
        logits["test"] = {b: np.concatenate([v, more[b]]) for b, v in logits["test"].items()}
        infos["test"] = np.concatenate([infos["test"], info])
    return labels, logits, infos, {k: json.loads(meta[k]) for k in ("calibration", "unknown", "weak")} if args.model else None, {}


def of_checkpoint(args):
    """The same from --checkpoint and --pool, by the trainer's encoder."""
    net, checkpoint = load(args.checkpoint, args.device)
    labels, logits, infos, more = checkpoint["labels"], {}, {}, {}
    for split in ("calibration", "test"):
        chunk = data.read_split(args.pool, split, args.count if split == "test" else 0, args.wait)
        lg, _ = all_logits(net, chunk, args.device, args.segment)
        logits[split], infos[split] = lg, chunk.info
        if args.monte_carlo and split == "test":
            fair = np.flatnonzero(~data.outliers(chunk.info) & (chunk.info["class_id"] > 0))
            more["monte_carlo"] = monte_carlo(net, only(chunk, fair), args.device, args.drop, args.monte_carlo)
    return labels, logits, infos, None, more


def main():
    args = arguments()
    labels, logits, infos, fixed, more = of_engine(args) if args.engine else of_checkpoint(args)
    known = {s: ~data.outliers(i) for s, i in infos.items()}
    pick = lambda s: ({b: v[known[s]] for b, v in logits[s].items()}, infos[s][known[s]])
    noise = noise_of(labels)
    of_noise = lambda lg, i: ({b: v[i["class_id"] == noise] for b, v in lg.items()}, i[i["class_id"] == noise])
    more_noise = {s: of_noise(*read_engine(p, labels)) for s, p in zip(("calibration", "test"), args.noise or ())}
    fixed = fixed or calibrate(*pick("calibration"), noise, more_noise.get("calibration"))
    lg, info = pick("test")
    result = {"labels": labels, "segment": args.segment, "test": report(lg, info, labels, fixed), "detected": float(info["detected"].mean()), **fixed, **more}
    if noise >= 0:
        result["noise"] = report_noise(*(more_noise.get("test") or of_noise(lg, info)), fixed, noise)
    odd = ~known["test"] & (infos["test"]["snr_db"] >= 10) & (infos["test"]["n_tokens"] >= 16)
    fair = (info["snr_db"] >= 10) & (info["n_tokens"] >= 16) & (info["class_id"] > 0)
    if odd.any():
        result["outliers"] = {b: {"named": int(named(fixed, b, v[odd, -1], infos["test"][odd], noise).sum()), "n": int(odd.sum()),
                                  "unknown": int((energy_of(v[odd, -1]) > fixed["unknown"][b]).sum())} for b, v in logits["test"].items()}
        result["outliers_auroc_at_10db"] = {b: round(auroc(energy_of(v[:, -1])[fair], energy_of(logits["test"][b][:, -1])[odd]), 4) for b, v in lg.items()}
    args.out.write_text(json.dumps(result, indent=1))
    for b in BACKENDS:
        t = result["test"][b]
        print(b, t["overall"], {k: v["accuracy"] for k, v in t["snr"].items()}, "ece", {k: v["ece"] for k, v in t["range"].items()})
    print("at 10 dB:", result["test"]["mha"]["class_at_10db"])
    print("coverage:", {b: {k: (v["coverage"], v["covered_accuracy"]) for k, v in result["test"][b]["range"].items()} for b in BACKENDS})
    print("noise that gets a class:", result.get("noise"))
    print("unknown, AUROC:", result.get("outliers_auroc_at_10db"), result.get("outliers"))
    if "monte_carlo" in result:
        print("Monte-Carlo dropout:", result["monte_carlo"])
    print("worst variants:", sorted(result["test"]["variants_at_10db"].items(), key=lambda kv: kv[1][0])[:30])


if __name__ == "__main__":
    main()
