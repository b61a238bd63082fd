#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fine-tune as a user does it: recordings by `attune synth`, one label of their own, a model file that knows it; and
what is said of annotations that cannot be right.

Exit 77 (skipped) where PyTorch is not installed. ATTUNE: the program; ATTUNE_DATASET: the library.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from with_torch import ROOT, torch
import annotations
import finetune

ATTUNE = os.environ.get("ATTUNE", str(ROOT / "build/tools/attune"))
MODEL = ROOT / "models/attune-base.safetensors"

torch.set_num_threads(1)


def synth(path, *more):
    subprocess.run([ATTUNE, "synth", *more, str(path)], check=True)
    return path.with_suffix(".sigmf-meta")


def edit(path, change):
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def attune(*words):
    return subprocess.run([ATTUNE, *map(str, words)], capture_output=True, text=True, check=False)


def teach(folder):
    """Four recordings of a remote as `oregon`, two of an old label; the model must name a fifth."""
    remote = ["--class", "ook", "--variant", "oregon_v2", "--rate", "250k", "--seconds", "1.5"]
    for k in range(1, 5):
        meta = synth(folder / f"remote{k}.sigmf-data", *remote, "--snr", str(12 + 3 * k), "--seed", str(k))
        edit(meta, lambda m: m["annotations"][0].update({"core:label": "oregon"}))
    for k in range(1, 3):
        synth(folder / f"sonde{k}.sigmf-data", "--class", "gfsk", "--variant", "sonde_gfsk", "--rate", "250k", "--seconds", "0.5", "--seed", str(k))
    out = folder / "mine.safetensors"
    finetune.run(finetune.arguments(["--model", str(MODEL), "--out", str(out), "--new-label", "oregon", "--tokens", "96", "--rehearsal", "4",
                                     "--depth", "head", "--device", "cpu", str(folder)]))
    verified = attune("verify", out)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    synth(folder / "fresh.sigmf-data", *remote, "--snr", "20", "--seed", "99")
    heard = attune("classify", "--model", out, "--json", folder / "fresh.sigmf-data")
    summary = json.loads(heard.stdout.splitlines()[-1])["summary"]
    print("a fifth recording is", summary["class"], summary["confidence"])
    assert summary["class"] == "oregon", heard.stdout
    assert "oregon 4" in out.with_suffix(".md").read_text()


# what is done to the annotations of a good recording, and words that the message must hold
BAD = [
    (lambda a: a[0].update({"core:label": "orgeon"}), ["annotation 1", "'orgeon'", "did you mean oregon"]),
    (lambda a: a[0].pop("core:freq_lower_edge"), ["annotation 1", "core:freq_lower_edge is missing"]),
    (lambda a: a[0].update({"core:freq_lower_edge": 9e9}), ["annotation 1", "not below"]),
    (lambda a: a[0].update({"core:freq_upper_edge": 9e9}), ["annotation 1", "outside the recording"]),
    (lambda a: a[0].update({"core:sample_count": 10**9}), ["annotation 1", "ends at sample"]),
    (lambda a: a[0].update({"core:sample_count": "many"}), ["annotation 1", "core:sample_count is 'many'"]),
    (lambda a: a[0].update({"core:label": "My Remote!"}), ["annotation 1", "'My Remote!'"]),
    (lambda a: a.append(dict(a[0], **{"core:label": "ook"})), ["annotation 2", "ook, but annotation 1 calls the same signal oregon"]),
    (lambda a: a.append("?"), ["annotation 2", "an object expected"]),
]


def refusals(folder):
    good = (folder / "remote1.sigmf-meta").read_text()
    data = (folder / "remote1.sigmf-data").read_bytes()
    path = folder / "bad" / "bad.sigmf-meta"
    path.parent.mkdir()
    path.with_suffix(".sigmf-data").write_bytes(data)

    def said(text, known=("ook", "gfsk"), fresh=("oregon",)):
        path.write_text(text)
        try:
            annotations.read_all([path], known, fresh)
        except annotations.Bad as e:
            print(" ", e)
            return str(e)
        raise AssertionError("taken as good: " + text[:200])

    for change, words in BAD:
        meta = json.loads(good)
        change(meta["annotations"])
        message = said(json.dumps(meta))
        assert all(w in message for w in ["bad.sigmf-meta", *words]), (words, message)
    assert "line 1, column 3" in said("{ ]")
    assert "core:datatype is 'cf64_be'" in said(good.replace("cf32_le", "cf64_be"))
    assert "no labelled annotations" in said(json.dumps(dict(json.loads(good), annotations=[])), fresh=())
    assert "has that label already" in said(good, known=("oregon",))
    path.with_suffix(".sigmf-data").unlink()
    assert "its samples are missing" in said(good)


def main():
    with tempfile.TemporaryDirectory() as t:
        teach(Path(t))
        refusals(Path(t))
    print("fine-tune and refusals as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
