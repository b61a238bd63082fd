#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""train/blend.py: what the mean of several trainings answers, drawn towards the file they began from; and what it and the other
programs of train/ say of inputs that are missing or do not fit.

Exit 77 (skipped) where PyTorch is not installed.
"""
import contextlib
import copy
import importlib.util
import io
import json
import sys
import tempfile
from pathlib import Path

from with_torch import torch
import blend
import model
import reference
import train
from export import folded

CONFIG = dict(model.REFERENCE_POINT, n_bins=16, n_aux=3, n_classes=3, d_model=32, d_ff=64, n_layers=1)
LABELS = ["noise", "carrier", "am"]
failed = 0


def check(name, good, *detail):
    global failed
    failed += not good
    print("ok" if good else "FAIL", name, *([] if good else detail))


def training(seed, statistics=((1.0, -2.0, 0.5), (2.0, 0.5, 3.0)), config=CONFIG):
    torch.manual_seed(seed)
    net = train.new_net(config, "cpu")
    return {"net": net.state_dict(), "live": net.state_dict(), "opt": {}, "muon": None, "step": 10, "seconds": 1.0, "statistics": statistics,
            "config": config, "labels": LABELS, "args": {"seed": str(seed), "start_from": "None"}}


def same_answers(c):
    """The training c for aux columns that come as they are: with other statistics, but the same function."""
    c = copy.deepcopy(c)
    c["net"].update({k: torch.from_numpy(v) for k, v in folded(c["net"], c["config"], c["statistics"]).items()})
    c["statistics"] = ([0.0] * 3, [1.0] * 3)
    return c


def saved(folder, name, c):
    torch.save(c, folder / name)
    return str(folder / name)


def model_file(folder, c, labels=LABELS):
    reference.write_safetensors(folder / "file.safetensors", folded(c["net"], c["config"], c["statistics"]), {"config": c["config"], "labels": labels})
    return str(folder / "file.safetensors")


@torch.no_grad()
def logits(c):
    net = train.new_net(c["config"], "cpu").eval()
    net.load_state_dict(c["net"])
    train.set_statistics(net, *c["statistics"])
    gen = torch.Generator().manual_seed(1)
    spectra, aux = torch.randint(0, 256, (2, 32, 16), generator=gen), torch.randn(2, 32, 3, generator=gen)
    return net.prefix_logits(net(train.frames_of(net, spectra, aux), "mha", 8), torch.tensor([[32], [7]]))


def said(program, *words):
    """How a program of train/ ends, and what it says."""
    text, before = io.StringIO(), sys.argv
    sys.argv = [program, *map(str, words)]
    try:
        with contextlib.redirect_stderr(text), contextlib.redirect_stdout(io.StringIO()):
            end = importlib.import_module(program).main()
    except SystemExit as e:
        end = e.code
    except Exception as e:  # what a user would see as a traceback
        return "traceback", repr(e)
    finally:
        sys.argv = before
    return (end or 0, text.getvalue()) if not isinstance(end, str) else (1, end)


def blended(folder, *words):
    end, text = said("blend", *words, "--out", folder / "out.pt")
    assert end == 0, text
    return train.read_checkpoint(folder / "out.pt", "cpu")


def near(a, b):
    return float((a - b).abs().max()) < 1e-5


def means(folder):
    one, other = training(1), training(2, ((0.0, 3.0, 1.0), (1.0, 4.0, 0.2)))
    a, b = saved(folder, "a.pt", one), saved(folder, "b.pt", other)
    file = model_file(folder, training(3))
    alone = blended(folder, "--checkpoint", a, "--share", 1)
    check("one is as it was", all(torch.equal(v, one["net"][k]) for k, v in alone["net"].items()) and alone["statistics"] == one["statistics"])
    check("what only training needs is gone", not {"live", "opt", "muon"} & alone.keys())
    twice = blended(folder, "--checkpoint", a, saved(folder, "c.pt", same_answers(one)), a, "--share", 1)
    check("the mean of those that answer alike answers so", near(logits(twice), logits(one)), logits(twice), logits(one))
    both = blended(folder, "--checkpoint", a, b, "--share", 1)
    want = {k: (same_answers(one)["net"][k] + same_answers(other)["net"][k]) / 2 for k in one["net"]}
    check("the mean of two", all(near(both["net"][k], v) for k, v in want.items()))
    check("says so", (both["note"], both["args"]["seed"]) == ("mean of 2 trainings", "1, 2"), both["note"], both["args"])
    drawn = blended(folder, "--checkpoint", a, b, "--begun-from", file, "--share", .25)
    base = same_answers(training(3))["net"]
    check("then drawn to the file", all(near(drawn["net"][k], torch.lerp(base[k], v, .25)) for k, v in want.items() if k != "aux_dropped"))
    check("says both", drawn["note"] == "mean of 2 trainings; 0.25 of these weights, the rest of the file", drawn["note"])
    check("and from which", drawn["args"]["start_from"] == "file.safetensors")
    at_file = blended(folder, "--checkpoint", a, b, "--begun-from", file, "--share", 0)
    check("none of them: the file's answers", near(logits(at_file), logits(training(3))))
    wide = training(4, config=dict(CONFIG, d_ff=96))
    at_file = blended(folder, "--checkpoint", saved(folder, "wide.pt", wide), "--begun-from", file, "--share", 0)
    check("also where they are wider", near(logits(at_file), logits(training(3))))


def refusals(folder):
    a, out = saved(folder, "a.pt", training(1)), ("--out", folder / "none.pt")
    gone, text = folder / "gone.pt", folder / "text.pt"
    text.write_text("no weights")
    other = saved(folder, "other.pt", dict(training(2), labels=["noise", "am", "carrier"]))
    wide = saved(folder, "wide.pt", training(2, config=dict(CONFIG, d_ff=96)))
    file = model_file(folder, training(3), LABELS[::-1])
    evaluation = folder / "eval.json"
    evaluation.write_text("{}")
    for program, words, expected in (
            ("blend", ["--checkpoint", gone, "--share", 1, *out], [gone, "no such file"]),
            ("blend", ["--checkpoint", a, gone, "--share", 1, *out], [gone, "no such file"]),
            ("blend", ["--checkpoint", a, text, "--share", 1, *out], [text, "no checkpoint"]),
            ("blend", ["--checkpoint", a, "--begun-from", gone, *out], [gone, "no such file"]),
            ("blend", ["--checkpoint", a, "--begun-from", a, *out], [a, "no model file"]),
            ("blend", ["--checkpoint", a, "--begun-from", text, *out], [text, "no model file"]),
            ("blend", ["--checkpoint", a, "--begun-from", file, *out], [file, "other labels"]),
            ("blend", ["--checkpoint", a, a, other, "--share", 1, *out], [other, "other labels"]),
            ("blend", ["--checkpoint", a, wide, "--share", 1, *out], [wide, "another config", "d_ff 96, not 64"]),
            ("evaluate", ["--checkpoint", gone, "--pool", folder, *out], [gone, "no such file"]),
            ("evaluate", ["--checkpoint", text, "--pool", folder, *out], [text, "no checkpoint"]),
            ("evaluate", ["--checkpoint", a, "--pool", folder / "gone", *out], [folder / "gone", "no examples"]),
            ("evaluate", ["--engine", gone, gone, *out], [gone, "no such file"]),
            ("evaluate", ["--engine", text, text, "--noise", text, gone, *out], [gone, "no such file"]),
            ("export", ["--checkpoint", gone, "--eval", evaluation, *out], [gone, "no such file"]),
            ("export", ["--checkpoint", a, "--eval", gone, *out], [gone, "no such file"]),
            ("export", ["--model", gone, "--eval", evaluation, *out], [gone, "no such file"]),
            ("export", ["--model", file, "--eval", evaluation, "--measured", gone, *out], [gone, "no such file"]),
            ("finetune", ["--model", gone, *out, folder], [gone, "no such file"]),
            ("finetune", ["--model", text, *out, folder], [text, "no model file"]),
            ("finetune", ["--model", file, *out, folder / "gone.sigmf-meta"], [folder / "gone.sigmf-meta"]),
            ("pictures", [], ["evaluation", "required"]),
            ("pictures", [gone, folder], [gone, "no such file"])):
        if program == "pictures" and importlib.util.find_spec("matplotlib") is None:
            continue
        end, message = said(program, *words)
        check(" ".join([program, *(Path(w).name for w in map(str, words))]), end in (1, 2) and all(str(w) in message for w in expected), end, message)
    check("nothing was written", not (folder / "none.pt").exists())


def begins_from(folder):
    (folder / "labels.json").write_text(json.dumps({"labels": LABELS, "n_bins": 16, "columns": 19}))
    for name in ("gone.pt", "gone.safetensors"):
        end, message = said("train", "--pool", folder, "--out", folder / "run", "--steps", 1, "--start-from", folder / name, "--device", "cpu")
        check(f"train --start-from {name}", end == 1 and name in message, end, message)


with tempfile.TemporaryDirectory() as t:
    means(Path(t))
    refusals(Path(t))
    begins_from(Path(t))
sys.exit(1 if failed else 0)
