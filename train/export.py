#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint and its evaluation -> a model file and its card.

    train/export.py --checkpoint run/checkpoint.pt --eval run/eval.json --measured run/synthetic.json --out models/attune-base.safetensors
    train/export.py --model models/attune-base.safetensors --eval eval.json --measured synthetic.json --out models/attune-base.safetensors

The second takes a model file: every tensor stays byte for byte; temperatures and limits are those of the evaluation, and with --measured
accuracies and card are made anew.
The scaling of the aux columns is folded into embed.weight and embed.bias. The golden logits are computed by the
numpy reference from the very weights in the file, so that `attune verify FILE` proves the build on the user's host.
"""
import argparse
import json
import struct
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/reference"))
import data  # noqa: E402
import reference  # noqa: E402
from train import read_checkpoint  # noqa: E402

GROUPS = {"fsk": ["fsk2", "gfsk", "fsk4"], "keyed": ["ook", "cw", "ppm"], "carrier": ["carrier", "am"], "fm": ["nfm", "wfm", "afsk"],
          "sweep": ["css", "chirp"], "digital": ["psk_qam", "ofdm"]}
LIMITS = ("calibration", "unknown", "weak")
AUX = ["bin_khz", "share", "skipped", "kurtosis", "freq_std"] + [f"env{i}" for i in range(8)] + [f"freq{i}" for i in range(8)]


def read_model(path):
    """Tensors and metadata of a model file."""
    try:
        tensors, meta = reference.read_safetensors(path)
        json.loads(meta["config"]), json.loads(meta["labels"])
    except (OSError, ValueError, KeyError, OverflowError, MemoryError, struct.error) as e:
        raise SystemExit(f"{path}: no model file: {e!r}") from e
    return tensors, meta


def folded(state, config, statistics):
    """Weights as float32 arrays, (x - shift) * scale folded into the embedding."""
    w = {k: v.float().cpu().numpy() for k, v in state.items() if k != "aux_dropped"}
    b, n = config["n_bins"], config["n_aux"]
    shift, scale = (np.asarray(s[:n], np.float64) for s in statistics)
    e = w["embed.weight"].astype(np.float64)
    aux = e[:, b:] * scale
    w["embed.bias"] = (w["embed.bias"] - aux @ shift).astype(np.float32)
    w["embed.weight"] = np.concatenate([e[:, :b], aux], 1).astype(np.float32)
    return w


def golden(w, config, generator, columns, seed=7):
    """256 frames of a validation signal and what the reference makes of them under each backend."""
    frames, info = generator.make(data.seed_of("validation", 1 << 40 | seed), 9, 256, (10.0, 20.0))
    frames = frames[:max(info.n_tokens, 1), :columns]
    w64 = {k: v.astype(np.float64) for k, v in w.items()}
    out = {"golden.frames": frames}
    for backend in ("mha", "flash", "gqa", "latent"):
        out["golden.logits." + backend] = reference.encoder(frames.astype(np.float64), w64, config, backend)[1].astype(np.float32)
    return out


def accuracy_list(measured, window):
    """What the selector reads: one row per backend, from build/tests/bench/synthetic."""
    return [{"backend": b, "window": window, "overall": t["overall"], "snr": {k: v for k, v in t.items() if ".." in k}}
            for b, t in measured["backends"].items()]


def of_evaluation(evaluation):
    """What build/tests/bench/synthetic would say, from train/evaluate.py's own figures."""
    test = evaluation["test"]
    row = lambda t: {"overall": t["overall"], "ci95": round((t["overall_ci95"][1] - t["overall_ci95"][0]) / 2, 4),
                     **{k: v["accuracy"] for k, v in t["snr"].items()}}
    rows = {b: row(test[b]) for b in ("mha", "gqa", "latent")}
    return {"by": "train/evaluate.py", "signals": test["mha"]["n"], "tokens": 1024, "backends": dict(rows, flash=rows["mha"]),
            "class_at_10db": test["mha"]["class_at_10db"]}


def of_noise(evaluation):
    """What the card says of noise and of what it costs to be asked for evidence against it."""
    if "noise" not in evaluation:
        return []
    named = ", ".join(f"{v['all']['named']} (`{b}`)" for b, v in evaluation["noise"].items())
    silent = {b: [round(100 * (1 - t["coverage"])) for t in evaluation["test"][b]["range"].values()] for b in ("mha", "latent")}
    cost = "; ".join(f"`{b}` " + ", ".join(f"{x} %" for x in v) for b, v in silent.items())
    return [f"A class is told only where enough speaks against noise: of {evaluation['noise']['mha']['all']['n']:,} places with noise {named} get one. So some",
            f"signals are `weak` or `unknown`, at -10 to 0, 0 to 10, 10 dB and more: {cost}.", ""]


def card(measured, evaluation, labels, training, name):
    """models/NAME.md: what it knows, from what, and what it does not."""
    ranges = [k for k in measured["backends"]["mha"] if ".." in k]
    lines = [f"# {name}", "", "One set of weights for the four attention backends, trained on synthetic signals only (`lib/synth`, through the",
             "detector and channelizer of `lib/dsp`). Made by `train/train.py`, `train/evaluate.py` and `train/export.py`.", "",
             "Intended use: naming the modulation of emissions that `attuned` or `attune` found. Not for: identification of persons,",
             "safety of life, or evidence without a look at the signal.", "", "## Training", "", "```json", json.dumps(training, indent=1), "```", "",
             "## Accuracy on synthetic signals", "",
             f"`{measured.get('by', 'build/tests/bench/synthetic')}`: {measured['signals']} signals of the test seeds, up to {measured['tokens']} tokens each, SNR -10 to 30 dB, all",
             "impairments, paired across backends; the top class of all, before `weak` and `unknown`.", "",
             "| backend | all (95 %) | " + " | ".join(f"{k} dB" for k in ranges) + " |", "|--" * (2 + len(ranges)) + "|"]
    for b, t in measured["backends"].items():
        lines.append(f"| `{b}` | {t['overall']:.1%} +- {t['ci95']:.1%} | " + " | ".join(f"{t[k]:.1%}" for k in ranges) + " |")
    lines += ["", "At 10 dB and more, by class (`flash`): " + ", ".join(f"{c} {a:.0%}" for c, a in measured["class_at_10db"].items()) + ".", "",
              f"Classes: {', '.join(labels)}.", "", *of_noise(evaluation), "Real recordings, and what it gets wrong: docs/accuracy.md.", ""]
    return "\n".join(lines)


def change(path, evaluation, measured, out, generator_version):
    """The file at path with the temperatures and limits of an evaluation, its tensors byte for byte; with what was measured,
    also accuracies and card."""
    raw = path.read_bytes()
    n = 8 + int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:n])
    meta = head["__metadata__"]
    meta.update({k: json.dumps(evaluation[k]) for k in LIMITS})
    if measured:
        training = {**json.loads(meta["training"]), "generator": generator_version}
        meta.update(accuracy=json.dumps(accuracy_list(measured, json.loads(meta["config"])["window"])), training=json.dumps(training))
        out.with_suffix(".md").write_text(card(measured, evaluation, json.loads(meta["labels"]), training, out.stem))
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    temporary = out.with_suffix(".tmp")
    temporary.write_bytes(len(text).to_bytes(8, "little") + text + raw[n:])
    temporary.replace(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", type=data.existing)
    p.add_argument("--model", type=data.existing, help="a model file instead, whose tensors stay")
    p.add_argument("--eval", type=data.existing, required=True)
    p.add_argument("--measured", type=data.existing, help="output of build/tests/bench/synthetic; else the accuracies are those of --eval")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--generator-version", default="3", help="of lib/synth, counted in the card")
    p.add_argument("--library")
    args = p.parse_args()
    if bool(args.model) == bool(args.checkpoint):
        p.error("--checkpoint or --model")
    evaluation = json.loads(args.eval.read_text())
    measured = json.loads(args.measured.read_text()) if args.measured else None
    if measured:  # the same arithmetic: the bench need not run both
        measured["backends"] = {"mha": measured["backends"]["flash"], **measured["backends"]}
    if args.model:
        change(args.model, evaluation, measured, args.out, args.generator_version)
        print(f"wrote {args.out}: {', '.join(LIMITS)} of {args.eval}")
        return
    c = read_checkpoint(args.checkpoint, "cpu")
    measured = measured or of_evaluation(evaluation)
    config = dict(c["config"], segments=[8, 16, 32, 64, 128], aux=AUX[:c["config"]["n_aux"]])
    w = folded(c["net"], c["config"], c["statistics"])
    training = {"seed": c["args"]["seed"], "steps": c["step"], "seconds": round(c["seconds"]), "batch_tokens": c["args"]["batch_tokens"],
                "lr": c["args"]["lr"], "optimizer": c["args"].get("optimizer", "adamw"), "processes": c["args"].get("processes", "1"), "began_from": Path(c["args"]["start_from"] or "").name, "note": c.get("note", ""), "generator": args.generator_version}
    generator = data.Generator(args.library)
    tensors = dict(w, **golden(w, c["config"], generator, c["config"]["n_bins"] + c["config"]["n_aux"]))
    meta = {"format": "attune-1", "config": config, "labels": c["labels"], "groups": GROUPS, "accuracy": accuracy_list(measured, config["window"]),
            **{k: evaluation[k] for k in LIMITS}, "training": training}
    temporary = args.out.with_suffix(".tmp")
    reference.write_safetensors(temporary, tensors, meta)
    temporary.replace(args.out)
    args.out.with_suffix(".md").write_text(card(measured, evaluation, c["labels"], training, args.out.stem))
    print(f"wrote {args.out} ({args.out.stat().st_size} bytes) and its card")


if __name__ == "__main__":
    main()
