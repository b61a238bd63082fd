#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Teaches a model file your own signals: SigMF recordings with annotations in, a model file with its card out.

    train/finetune.py --model models/attune-base.safetensors --out mine.safetensors --new-label doorbell recordings/

An annotation needs core:sample_start, core:sample_count, core:freq_lower_edge, core:freq_upper_edge and core:label: one
of the model's labels, or one named by --new-label. Each is heard several times: through the real detector and opened at
its edges with jitter, as it is and under more noise. Synthetic signals of the old classes are rehearsed beside them.

--depth head (all that a CPU needs, minutes) refits the last layer; --depth all (a GPU) trains the whole network, elastic
as train.py does. A part of the recordings (of the annotations, where a label has one recording only) is held out and
tested; nothing is learned from it.
"""
import argparse
import copy
import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import annotations
import data
import export
import reference
import train as T
from evaluate import energy_of, evidence, fit_temperature, only
from pool import Pool

BACKENDS = ("mha", "gqa", "latent")
PREFIXES = (16, 64, 1 << 20)
HEARD = 6           # times each annotation is heard
SIDE_S = .25        # of the recording before and after an annotation
MOST_SAMPLES = 6e6  # of one cut


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recordings", nargs="+", type=Path, help=".sigmf-meta files, or folders of them")
    p.add_argument("--model", type=data.existing, required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--new-label", action="append", default=[], metavar="NAME")
    p.add_argument("--depth", choices=("head", "all"), default="all" if torch.cuda.is_available() else "head")
    p.add_argument("--steps", type=int, default=400, help="of --depth all")
    p.add_argument("--tokens", type=int, default=256, help="of an example, at most")
    p.add_argument("--rehearsal", type=int, default=20, help="synthetic signals of each old class")
    p.add_argument("--held-out", type=float, default=.25)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--library", help="path of libattune-dataset.so")
    return p.parse_args(argv)


class Cut(ctypes.Structure):
    _fields_ = [("seed", ctypes.c_uint64), ("n", ctypes.c_uint64), ("first", ctypes.c_uint64), ("last", ctypes.c_uint64),
                ("rate_hz", ctypes.c_double), ("f_lo_hz", ctypes.c_double), ("f_hi_hz", ctypes.c_double),
                ("max_tokens", ctypes.c_uint32), ("by_hand", ctypes.c_int32)]


def more_noise(iq, db, rng):
    """White noise on top, so that the floor (median of the spectrum) rises by db."""
    z = iq[:1 << 16].astype(np.float64)
    power = np.abs(np.fft.fft(z[:, 0] + 1j * z[:, 1])) ** 2 / len(z)
    sigma = np.sqrt(np.median(power) / np.log(2) * (10 ** (db / 10) - 1) / 2)
    return iq + (rng.standard_normal(iq.shape) * sigma).astype(np.float32)


def hear(generator, recording, a, tokens, seed):
    """Examples of one annotation: a list of (frames (n, columns), INFO record)."""
    rng, side, out = np.random.default_rng(seed), int(SIDE_S * recording.rate), []
    for k in range(HEARD):
        channel = min(recording.rate, max(8e3, 3 * (a["hi"] - a["lo"])))
        length = int(min(a["last"] - a["first"], 1.3 * tokens * generator.n_bins / 2 * recording.rate / channel, MOST_SAMPLES))
        first = a["first"] + int(rng.random() * (a["last"] - a["first"] - length)) if k else a["first"]
        lo, hi = max(0, first - side), min(recording.n, first + length + side)
        iq = recording.samples(lo, hi)
        if k >= 2:
            iq = more_noise(iq, rng.uniform(1, 12), rng)
        iq = np.ascontiguousarray(iq, np.float32)
        frames, info = np.zeros((tokens, generator.columns), np.float32), data.Info()
        cut = Cut(seed * 64 + k, len(iq), first - lo, first + length - lo, recording.rate, a["lo"], a["hi"], tokens, k % 2)
        r = generator.lib.at_example_cut(ctypes.byref(cut), iq.ctypes.data_as(ctypes.c_void_p), frames.ctypes.data_as(ctypes.c_void_p),
                                         ctypes.byref(info))
        if r < 0:
            raise annotations.Bad(f"{recording.path}, {a['where']}: the detector refuses it ({-r})")
        if info.n_tokens > 0:
            out.append((frames[:info.n_tokens].copy(), tuple(getattr(info, name) for name in data.INFO.names)))
    return out


def hold_out(recordings, share, rng):
    """Keys (recording, annotation) that only test: whole recordings where a label has several."""
    held = set()
    for label in sorted({a["label"] for r in recordings for a in r.annotations}):
        where = [(i, j) for i, r in enumerate(recordings) for j, a in enumerate(r.annotations) if a["label"] == label]
        files = sorted({i for i, _ in where})
        if len(files) > 1:
            test = set(rng.permutation(files)[:max(1, round(share * len(files)))])
            held |= {w for w in where if w[0] in test}
        elif len(where) > 1:
            held |= {where[i] for i in rng.permutation(len(where))[:max(1, round(share * len(where)))]}
    return held


def taught(args, generator, recordings, labels, report):
    """Chunk of all that was heard, with labels, and which of it (bool) is held out."""
    held, frames, records, test = hold_out(recordings, args.held_out, np.random.default_rng(args.seed)), [], [], []
    silent = []
    for i, r in enumerate(recordings):
        for j, a in enumerate(r.annotations):
            got = hear(generator, r, a, args.tokens, args.seed * 1000003 + 1009 * i + j)
            silent += [] if got else [(r, a)]
            for x, info in got:
                frames.append(x)
                records.append((labels.index(a["label"]),) + info[1:])
                test.append((i, j) in held)
    for r, a in silent:
        report(f"{r.path}, {a['where']}: no token comes of it (too short for its width?): left out")
    info = np.array(records, data.INFO)
    for label in {a["label"] for r in recordings for a in r.annotations}:
        if not np.any((info["class_id"] == labels.index(label)) & ~np.array(test, bool)):
            raise annotations.Bad(f"label {label}: no annotation of it is left to learn from")
    return data.Chunk.of(frames, info, generator.n_bins), np.array(test, bool)


def rehearsal(args, generator, labels):
    """Synthetic signals of the old classes: chunk, and which (bool) are held out."""
    theirs = generator.labels()
    use = [c for c, name in enumerate(theirs) if name in labels]
    frames, records = [], []
    for k in range(args.rehearsal * len(use)):
        c = use[k % len(use)]
        x, info = generator.make(data.seed_of("train", (1 << 40) + args.seed * (1 << 32) + k), c, args.tokens, (-5.0, 35.0))
        if info.n_tokens > 0:
            frames.append(x[:info.n_tokens].copy())
            records.append((labels.index(theirs[c]),) + tuple(getattr(info, n) for n in data.INFO.names[1:]))
    return data.Chunk.of(frames, np.array(records, data.INFO), generator.n_bins), np.arange(len(records)) // len(use) % 4 == 3


def load_model(path, device):
    """Network, statistics of the aux columns (none: they are folded in), metadata."""
    tensors, meta = export.read_model(path)
    config = {k: v for k, v in json.loads(meta["config"]).items() if k not in ("segments", "aux")}
    net = T.new_net(config, device).eval()
    state = net.state_dict()
    for name in state:
        if name != "aux_dropped":
            if name not in tensors or tensors[name].shape != tuple(state[name].shape):
                raise annotations.Bad(f"{path}: {name}: shape {tuple(state[name].shape)} expected")
            state[name] = torch.from_numpy(np.array(tensors[name], np.float32))
    net.load_state_dict(state)
    return net, {k: json.loads(v) if v[:1] in "[{\"" else v for k, v in meta.items()}


def widen_head(net, n):
    """n more labels, answered by none as yet."""
    w, b = net.head.weight.data, net.head.bias.data
    net.head = torch.nn.Linear(w.shape[1], w.shape[0] + n).to(w.device)
    net.head.weight.data = torch.cat([w, w.mean(0).repeat(n, 1)])
    net.head.bias.data = torch.cat([b, (b.mean() - 4).repeat(n)])
    net.config["n_classes"] = w.shape[0] + n


@torch.no_grad()
def pooled_states(net, chunk, device, batch_tokens=8192):
    """{backend: (N, K, d)} at PREFIXES."""
    n = chunk.info["n_tokens"]
    ends = np.minimum(np.asarray(PREFIXES)[None], n[:, None]).astype(np.int64)
    out = {b: torch.zeros(len(n), len(PREFIXES), net.config["d_model"], device=device) for b in BACKENDS}
    order, at = np.argsort(n, kind="stable"), 0
    while at < len(order):
        # lengths in thirty-twos, as segments and pool blocks want them
        size = max(1, batch_tokens // int(-(-n[order[at]] // 32) * 32))
        which = order[at:at + size]
        length = int(-(-n[which].max() // 32) * 32)
        x = T.frames_of(net, *(torch.from_numpy(v).to(device) for v in padded(chunk, which, length)))
        for b in BACKENDS:
            out[b][which] = net.pooled(net(x, b, 32), torch.from_numpy(ends[which]).to(device)).float()
        at += len(which)
    return out


def padded(chunk, which, length):
    rows = np.minimum(np.arange(length)[None], chunk.info["n_tokens"][which][:, None] - 1) + chunk.starts[which][:, None]
    return chunk.spectra[rows], chunk.aux[rows]


def fit_head(net, states, y, weight, steps=300):
    """Refits the last layer on pooled states (N, K, d) of each backend; what it knew holds it back."""
    head, before = net.head, [p.detach().clone() for p in net.head.parameters()]
    x = torch.cat([states[b] for b in BACKENDS])
    target = y.repeat(len(BACKENDS))[:, None].expand(-1, x.shape[1])
    w = weight.repeat(len(BACKENDS))[:, None] * torch.tensor([.15, .25, .6], device=x.device)
    opt = torch.optim.LBFGS(head.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = (F.cross_entropy(head(x).transpose(1, 2), target, reduction="none") * w).sum() / w.sum()
        loss = loss + 1e-3 * sum((p - q).square().sum() for p, q in zip(head.parameters(), before))
        loss.backward()
        return loss

    opt.step(closure)


def train_all(args, net, chunk, path):
    """The whole network, elastic, on the learned part."""
    options = T.arguments(["--pool", ".", "--out", str(path), "--steps", str(args.steps), "--device", args.device, "--lr", "3e-4",
                           "--batch-tokens", str(65536 if args.device == "cuda" else 2048), "--exposure", "0"])
    pool = Pool(len(chunk.spectra) + 1, chunk.spectra.shape[1], chunk.aux.shape[1], args.device)
    pool.add(chunk)
    pool.refresh()
    trainer, began = T.Trainer(net.train(), options), time.time()
    for k in range(args.steps):
        trainer.step(pool, k / args.steps)
        if k % 20 == 19:
            print(json.dumps({"step": k + 1, **trainer.figures(), "eta_s": round((time.time() - began) / (k + 1) * (args.steps - k - 1))}), flush=True)
    net.load_state_dict(trainer.ema)
    net.eval()


def share(right):
    return round(float(right.mean()), 4) if len(right) else None


def evaluate(net, states, chunk, mine, labels):
    """Accuracy of the held-out part per backend: yours by label, and the synthetic ones."""
    y, out = chunk.info["class_id"], {}
    with torch.no_grad():
        for b in BACKENDS:
            top = net.head(states[b][:, -1]).argmax(1).cpu().numpy()
            right = top == y
            out[b] = {"yours": share(right[mine]), "synthetic": share(right[~mine]), "all": share(right),
                      "labels": {labels[c]: [share(right[mine & (y == c)]), int((mine & (y == c)).sum())] for c in np.unique(y[mine])}}
            if b == "mha":
                out["confused"] = sorted({f"{labels[i]} as {labels[j]}" for i, j in zip(y[mine & ~right], top[mine & ~right])})
    return out


def thresholds(net, states, chunk, labels, weak):
    """Temperatures, the unknown energies and the limits of `weak` from the held-out part: the evidence against noise is the base's,
    asked for less where the new last layer would call more than 5 % of what it names rightly `weak`."""
    y, info, noise = chunk.info["class_id"], chunk.info, labels.index("noise") if "noise" in labels else -1
    out = {"calibration": {}, "unknown": {}, "weak": copy.deepcopy(weak)}
    for b in BACKENDS:
        with torch.no_grad():
            lg = net.head(states[b]).cpu().numpy()
        k, ends = lg.shape[1], np.minimum(np.asarray(PREFIXES)[None], info["n_tokens"][:, None])
        snr = np.nan_to_num(info["measured_snr_db"])
        out["calibration"][b] = fit_temperature(lg.reshape(-1, lg.shape[2]), np.repeat(y, k), np.repeat(snr, k), ends.reshape(-1),
                                                 np.ones(len(y) * k), noise)
        known = (snr >= 10) & (info["n_tokens"] >= 16)
        out["unknown"][b] = round(float(energy_of(lg[known, -1]).max()), 4) if known.any() else None
        e, right = out["weak"].get("evidence", {}).get(b), (lg[:, -1].argmax(1) == y) & (y != noise) & known
        if e and noise >= 0 and right.any():
            score = evidence(e, lg[right, -1], snr[right], info["n_tokens"][right], info["share"][right], noise)
            e["least"] = round(e["least"] + min(0.0, float(np.quantile(score, .05))), 4)
    for part in (out["calibration"], out["unknown"], out["weak"].get("evidence", {})):
        part.update({"flash": part["mha"]} if "mha" in part else {})
    return out


def card(args, meta, recordings, labels, result):
    count = {}
    for r in recordings:
        for a in r.annotations:
            count[a["label"]] = count.get(a["label"], 0) + 1
    row = lambda b: f"| `{b}` | {result['after'][b]['yours']} | {result['before'][b]['synthetic']} | {result['after'][b]['synthetic']} |"
    return "\n".join([
        f"# {args.out.stem}", "", f"`{args.model.name}` ({meta['training'].get('steps', '?')} steps on synthetic signals), fine-tuned ({args.depth}) on "
        f"{sum(count.values())} annotations of {len(recordings)} recordings by `train/finetune.py`.", "",
        "Annotations: " + ", ".join(f"{k} {v}" for k, v in sorted(count.items())) + ".",
        "New labels: " + (", ".join(args.new_label) or "none") + ".", "", "Held out (never learned from), share right:", "",
        "| backend | yours | synthetic, before | synthetic, after |", "|--|--|--|--|", *map(row, BACKENDS), "",
        "By label (`mha`; share, examples): " + ", ".join(f"{k} {v[0]} of {v[1]}" for k, v in result["after"]["mha"]["labels"].items()) + ".",
        "Confused: " + (", ".join(result["after"]["confused"]) or "nothing") + ".", "",
        "Annotations of one recording resemble each other: a figure from few recordings says little about others.", "",
        "Labels: " + ", ".join(labels) + ".", ""])


def write(args, net, meta, labels, fixed, result, chunk, recordings):
    w = export.folded(net.state_dict(), net.config, (net.aux_shift.cpu().numpy(), net.aux_scale.cpu().numpy()))
    x = chunk.frames(int(np.argmax(chunk.info["n_tokens"])), None)[:256, :net.config["n_bins"] + net.config["n_aux"]].astype(np.float32)
    tensors = dict(w, **{"golden.frames": x})
    for b in ("mha", "flash", "gqa", "latent"):
        tensors["golden.logits." + b] = reference.encoder(x.astype(np.float64), {k: v.astype(np.float64) for k, v in w.items()}, net.config, b)[1]
    window = net.config["window"]
    accuracy = [{"backend": b, "window": window, "overall": result["after"]["mha" if b == "flash" else b]["all"]} for b in ("mha", "flash", "gqa", "latent")]
    training = {"fine_tuned_from": args.model.name, "depth": args.depth, "seed": args.seed, "annotations": sum(len(r.annotations) for r in recordings),
                "new_labels": args.new_label, "base": meta["training"]}
    meta = dict(meta, config=dict(meta["config"], n_classes=len(labels)), labels=labels, accuracy=accuracy, training=training, **fixed)
    temporary = args.out.with_suffix(".tmp")
    reference.write_safetensors(temporary, tensors, meta)
    temporary.replace(args.out)
    args.out.with_suffix(".md").write_text(card(args, meta["training"]["base"] and dict(meta, training=meta["training"]["base"]), recordings, labels, result))
    args.out.with_suffix(".json").write_text(json.dumps(result, indent=1))


def run(args):
    torch.manual_seed(args.seed)
    net, meta = load_model(args.model, args.device)
    labels = meta["labels"] + args.new_label
    recordings = annotations.read_all(args.recordings, meta["labels"], args.new_label)
    generator, began = data.Generator(args.library), time.time()
    say = lambda text: print(f"{time.time() - began:5.0f} s  {text}", flush=True)
    mine, held = taught(args, generator, recordings, labels, say)
    say(f"{len(mine.info)} examples of {sum(len(r.annotations) for r in recordings)} annotations, {int(held.sum())} held out")
    theirs, theirs_held = rehearsal(args, generator, labels)
    say(f"{len(theirs.info)} synthetic ones of the old classes, {int(theirs_held.sum())} held out")
    both = data.Chunk.join([mine, theirs])
    is_mine = np.arange(len(both.info)) < len(mine.info)
    test = np.concatenate([held, theirs_held])
    if net.config["n_aux"] == 0:
        both.aux = both.aux[:, :0]
    widen_head(net, len(args.new_label))
    states = pooled_states(net, both, args.device)
    pick = lambda s, m: {b: v[torch.from_numpy(m).to(args.device)] for b, v in s.items()}
    tested = only(both, np.flatnonzero(test))
    result = {"before": evaluate(net, pick(states, test), tested, is_mine[test], labels)}
    if args.depth == "all":
        train_all(args, net, only(both, np.flatnonzero(~test)), args.out)
        states = pooled_states(net, both, args.device)
    else:
        weight = np.where(is_mine, max(1.0, .3 * (~is_mine).sum() / max(1, is_mine.sum())), 1.0)[~test]
        fit_head(net, pick(states, ~test), torch.from_numpy(both.info["class_id"][~test].astype(np.int64)).to(args.device),
                 torch.from_numpy(weight.astype(np.float32)).to(args.device))
    result["after"] = evaluate(net, pick(states, test), tested, is_mine[test], labels)
    write(args, net, meta, labels, thresholds(net, pick(states, test), tested, labels, meta.get("weak", {})), result, mine, recordings)
    for b in BACKENDS:
        say(f"{b}: yours {result['before'][b]['yours']} -> {result['after'][b]['yours']}, synthetic {result['before'][b]['synthetic']} -> "
            f"{result['after'][b]['synthetic']}")
    say(f"wrote {args.out} and its card {args.out.with_suffix('.md')}")


def main():
    try:
        run(arguments())
    except annotations.Bad as e:
        print(f"finetune: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
