#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of an evaluation (accuracy against SNR and length, confusion, reliability): train/pictures.py run/eval.json docs/pictures

Needs matplotlib.
"""
import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from data import existing  # noqa: E402

COLOURS = {"mha": "#0072b2", "gqa": "#e69f00", "latent": "#009e73"}  # told apart by colour-blind people too


def accuracy_against_snr(evaluation, out):
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    for backend, colour in COLOURS.items():
        rows = {k: r for k, r in evaluation["test"][backend]["snr"].items() if r["n"] >= 30}  # fewer say nothing
        middle = [sum(map(float, k.split(".."))) / 2 for k in rows]
        value = np.array([r["accuracy"] for r in rows.values()])
        low, high = np.array([r["ci95"] for r in rows.values()]).T
        axis.errorbar(middle, 100 * value, [100 * (value - low), 100 * (high - value)], label=backend + (" = flash" if backend == "mha" else ""),
                      color=colour, marker="o", capsize=3, lw=1.5)
    axis.set(xlabel="SNR in the occupied bandwidth / dB", ylabel="top class of 17 right / %", ylim=(0, 102))
    axis.grid(alpha=.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(out / "accuracy-snr.svg")


def confusion(evaluation, out):
    labels, m = evaluation["labels"], np.array(evaluation["test"]["confusion_at_0db"], float)
    m /= np.maximum(m.sum(1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(7, 6.4))
    axis.imshow(m, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(labels)):
        for j in range(len(labels)):
            if m[i, j] >= .005:
                axis.text(j, i, f"{100 * m[i, j]:.0f}", ha="center", va="center", fontsize=7, color="white" if m[i, j] > .5 else "black")
    axis.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="answer", ylabel="truth", title="at 0 dB and more, mha, % of the row")
    figure.tight_layout()
    figure.savefig(out / "confusion.svg")


def reliability(evaluation, out):
    figure, axis = plt.subplots(figsize=(4.4, 4.2))
    for (name, rows), colour in zip(evaluation["test"]["mha"]["reliability"].items(), COLOURS.values()):
        axis.plot(*np.array(rows).T, "o-", color=colour, label=f"{name} dB", lw=1.2, ms=4)
    axis.plot([0, 1], [0, 1], color="grey", lw=.8)
    axis.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02), title="mha, 15 bins of equal mass")
    axis.grid(alpha=.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(out / "reliability.svg")


def by_length(evaluation, out):
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    for backend, colour in COLOURS.items():
        rows = evaluation["test"][backend]["tokens_at_10db"]
        axis.semilogx([int(k) for k in rows], [100 * v for v in rows.values()], "o-", base=2, color=colour, label=backend)
    axis.set(xlabel="tokens (prefixes of the same signals)", ylabel="right at 10 dB and more / %")
    axis.grid(alpha=.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(out / "length.svg")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("evaluation", type=existing, help="output of train/evaluate.py")
    p.add_argument("out", type=Path, help="folder for the pictures")
    args = p.parse_args()
    evaluation, out = json.loads(args.evaluation.read_text()), args.out
    out.mkdir(parents=True, exist_ok=True)
    accuracy_against_snr(evaluation, out)
    confusion(evaluation, out)
    reliability(evaluation, out)
    by_length(evaluation, out)


if __name__ == "__main__":
    main()
