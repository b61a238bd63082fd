#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of an evaluation: train/pictures.py run/eval.json docs/pictures  (needs matplotlib)."""
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

COLOURS = {"mha": "#0072b2", "gqa": "#e69f00", "latent": "#009e73"}  # told apart by colour-blind people too


def accuracy_against_snr(evaluation, out):
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    for backend, colour in COLOURS.items():
        rows = evaluation["test"][backend]["snr"]
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


def main():
    evaluation, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    accuracy_against_snr(evaluation, out)
    confusion(evaluation, out)


if __name__ == "__main__":
    main()
