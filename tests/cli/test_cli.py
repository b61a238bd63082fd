#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's words, exit codes and output."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from full_disk import room_for  # noqa: E402
from usage import arguments  # noqa: E402

ATTUNE, ROOT = arguments("ATTUNE", "SOURCE_ROOT")
ROOT = Path(ROOT)
GOLDEN = ROOT / "tests/golden"
sys.path.insert(0, str(ROOT / "tests/reference"))
import reference  # noqa: E402

PROGRESS = r"^attune bench: \d+ of \d+, \w+ (fp32|bf16) window \d+(, \d+:\d\d left)?$"

def attune(*args, env=None, preexec_fn=None):
    return subprocess.run([ATTUNE, *map(str, args)], capture_output=True, text=True, timeout=600, env=env, preexec_fn=preexec_fn)


def lines(run):
    return [json.loads(s) for s in run.stdout.splitlines()]


class Words(unittest.TestCase):
    def test_help_lists_every_command_and_each_has_examples(self):
        r = attune("--help")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        names = [s.split()[0] for s in r.stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
        self.assertEqual(names, sorted(names))
        self.assertIn("verify", names)
        for name in names:
            one = attune(name, "--help")
            self.assertEqual((one.returncode, one.stderr), (0, ""), name)
            self.assertTrue(one.stdout.startswith(f"Usage: attune {name}"), name)
            self.assertIn("Examples:", one.stdout, name)
            self.assertEqual(attune("help", name).stdout, one.stdout)
        self.assertNotIn("\033", r.stdout)

    def test_usage_errors_are_2_and_name_the_nearest(self):
        for args, word in [((), "Usage"), (("verfy",), "`attune verify`"), (("zzzzzz",), "unknown command zzzzzz"), (("--bogus",), "unknown option"),
                           (("verify",), "expected"), (("verify", "--jsn", "x"), "nearest is --json"), (("convert", "x"), "IN and OUT"),
                           (("verify", "--json=3", "x"), "takes no value"), (("verify", "-q", "x"), "unknown option -q")]:
            r = attune(*args)
            self.assertEqual(r.returncode, 2, args)
            self.assertIn(word, r.stderr, args)
            self.assertEqual(r.stdout, "", args)

    def test_options_in_each_form(self):
        long = attune("bench", "--help", env={"COLUMNS": "999"}).stdout
        self.assertEqual(attune("bench", "-h", env={"COLUMNS": "999"}).stdout, long)
        for columns, most in (("60", 60), ("1", 40), ("x", 80), ("0", 80), ("", 80)):
            out = attune("bench", "--help", env={"COLUMNS": columns}).stdout
            self.assertEqual(out.split(), long.split())
            widest = max(len(x) for x in out.split("Options:")[0].splitlines())
            self.assertLessEqual(widest, max(most, 60), columns)  # a word is not broken
        case = GOLDEN / "attention-0.safetensors"
        one = {"ATTUNE_CPU_MASK": "generic"}  # of several variants the faster comes first, which need not be the same twice
        self.assertEqual(attune("verify", "--json", "--", case, env=one).stdout, attune("verify", "-j", case, env=one).stdout)
        for args, word in [(("bench", "-s10x"), "-s"), (("bench", "--seconds=1e9"), "to"), (("bench", "-t"), "-t"), (("bench", "--" + "x" * 100), "unknown option"),
                           (("verify", "--", "--json"), "--json: No such file")]:
            r = attune(*args)
            self.assertEqual(r.returncode, 1 if "--" in args else 2, args)
            self.assertIn(word, r.stderr)

    def test_what_it_says_is_one_line_whatever_the_name(self):
        r = attune("verify", "a\nb\x1b[31m\x7f\u009bc")
        self.assertEqual((r.returncode, r.stderr.count("\n")), (1, 1), r.stderr)
        self.assertIn("a?b?[31m???c", r.stderr)

    def test_version(self):
        self.assertRegex(attune("--version").stdout, r"^attune \d+\.\d+\.\d+\n$")

    def test_a_closed_pipe_is_a_failure_not_a_signal(self):
        reader, writer = os.pipe()
        os.close(reader)  # before it starts: a quick run would else have written all
        p = subprocess.Popen([ATTUNE, "verify", "--json", GOLDEN / "attention-0.safetensors"], stdout=writer)
        os.close(writer)
        self.assertEqual(p.wait(60), 1)


class Verify(unittest.TestCase):
    def test_golden_folder(self):
        r = attune("verify", "--json", GOLDEN)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        out = lines(r)
        self.assertTrue(all(o["ok"] and o["nmse"] <= (1e-10 if o["mode"] == "fp32" else 1e-4) for o in out))
        self.assertEqual({o["case"] for o in out}, {p.stem for p in GOLDEN.glob("*.safetensors")})
        self.assertEqual({o["backend"] for o in out}, {"mha", "flash", "gqa", "latent"})
        chunks = {o.get("chunk") for o in out if o["case"] == "encoder-0"}
        self.assertEqual(chunks, {None, 1, 7, 32, 64})
        print(f"verify: {len(out)} comparisons, worst fp32 NMSE {max(o['nmse'] for o in out if o['mode'] == 'fp32'):.2e}, "
              f"kernels {sorted({o['kernel'] for o in out})}")

    def test_the_mask_leaves_one_kernel(self):
        r = attune("verify", "--json", GOLDEN / "attention-1.safetensors", env={"ATTUNE_CPU_MASK": "generic"})
        self.assertEqual({o["kernel"] for o in lines(r)}, {"generic"})

    def test_a_wrong_expectation_is_found(self):
        for case, tensor, backends in [("attention-3", "out.gqa", {"gqa"}), ("encoder-0", "logits.mha", {"mha", "flash"}),
                                       ("encoder-3", "stream.latent", {"latent"})]:
            tensors, meta = reference.read_safetensors(GOLDEN / f"{case}.safetensors")
            wrong = tensors[tensor].copy()
            wrong.flat[-1] += 1e-2 * np.abs(wrong).max()
            with tempfile.TemporaryDirectory() as d:
                path = Path(d) / "wrong.safetensors"
                reference.write_safetensors(path, dict(tensors, **{tensor: wrong}), meta)
                r = attune("verify", "--json", path)
            self.assertEqual(r.returncode, 1)
            self.assertEqual({o["backend"] for o in lines(r) if not o["ok"]}, backends, case)

    def test_bad_files_are_1_with_one_line(self):
        with tempfile.TemporaryDirectory() as d:
            empty, text, nothing = Path(d) / "empty.safetensors", Path(d) / "text.safetensors", Path(d) / "folder"
            empty.write_bytes(b"")
            text.write_text("no model at all")
            nothing.mkdir()
            q = np.zeros((2, 1, 4), np.float32)
            meta = dict(mask="causal", window=0, rope_base=1e4, start=0, kv_groups=1, segment=4)
            odd = {"no-v": ({"q": q, "k": q}, meta), "no-meta": ({"q": q, "k": q, "v": q, "out.mha": q}, {}),
                   "shapes": ({"q": q, "k": q[:1], "v": q, "out.mha": q}, meta), "none": ({"q": q, "k": q, "v": q}, meta),
                   "size": ({"q": q, "k": q, "v": q, "out.mha": q[:1]}, meta), "groups": ({"q": q, "k": q, "v": q, "out.gqa": q}, dict(meta, kv_groups=0))}
            paths = [empty, text, nothing, Path(d) / "missing", Path("/dev/null")]
            for name, (tensors, m) in odd.items():
                paths.append(Path(d) / f"{name}.safetensors")
                reference.write_safetensors(paths[-1], tensors, m)
            for path in paths:
                r = attune("verify", path)
                self.assertEqual(r.returncode, 1, path)
                self.assertEqual(len(r.stderr.splitlines()), 1, r.stderr)
                self.assertIn(str(path), r.stderr)


class Convert(unittest.TestCase):
    def test_logits_stay_and_weights_are_the_reference_s(self):
        for case in ("encoder-1", "encoder-4"):
            tensors, meta = reference.read_safetensors(GOLDEN / f"{case}.safetensors")
            config = json.loads(meta["config"])
            want, _ = reference.to_rmsnorm({k: v.astype(np.float64) for k, v in tensors.items()}, config)
            with tempfile.TemporaryDirectory() as d:
                out = Path(d) / "rms.safetensors"
                r = attune("convert", GOLDEN / f"{case}.safetensors", out)
                self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", ""))
                got, got_meta = reference.read_safetensors(out)
                self.assertEqual(list(Path(d).iterdir()), [out])
                self.assertEqual(set(got), set(tensors))
                for k in got:
                    np.testing.assert_allclose(got[k], want[k], rtol=0, atol=1e-6, err_msg=k)
                self.assertEqual(json.loads(got_meta["config"]), dict(config, norm="rmsnorm"))
                self.assertEqual({k: v for k, v in got_meta.items() if k != "config"}, {k: v for k, v in meta.items() if k != "config"})
                r = attune("verify", "--json", out)  # against the LayerNorm file's own logits and streams
                worst = max(o["nmse"] for o in lines(r) if o["mode"] == "fp32")
                self.assertEqual(r.returncode, 0)
                self.assertLessEqual(worst, 1e-8)
                print(f"convert {case}: worst NMSE to the LayerNorm logits {worst:.2e}")
                self.assertEqual(attune("convert", out, Path(d) / "again").returncode, 1)
                self.assertEqual(list(Path(d).iterdir()), [out])

    def test_failures_leave_nothing(self):
        with tempfile.TemporaryDirectory() as d:
            for source, target in [(GOLDEN / "attention-0.safetensors", Path(d) / "x"), (GOLDEN / "encoder-1.safetensors", Path(d) / "no/x"),
                                   (GOLDEN / "encoder-1.safetensors", Path(d)), (Path(d) / "none", Path(d) / "x")]:
                r = attune("convert", source, target)
                self.assertEqual(r.returncode, 1, (source, target))
                self.assertEqual(len(r.stderr.splitlines()), 1)
            self.assertEqual(list(Path(d).iterdir()), [])


class Bench(unittest.TestCase):
    KEYS = {"backend", "mode", "kernel", "norm", "what", "window", "segment", "new_tokens", "sessions", "threads", "p50_ms", "p95_ms",
            "decisions_per_s", "kv_bytes", "workspace_bytes"}

    def test_one_line_per_combination(self):
        r = attune("bench", "--json", "--seconds", "0.02", "--what", "stream,batch", "--backend", "flash,latent", "--norm", "rmsnorm,layernorm",
                   "--window", "256,512", "--new-tokens", "32", "--sessions", "3", "--threads", "2")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        peak = [o for o in lines(r) if o["what"] == "peak"]
        rest = [o for o in lines(r) if o["what"] != "peak"]
        self.assertTrue(all(o["gflops"] > 0.1 for o in peak))
        self.assertEqual({o["threads"] for o in peak}, {1, 2})
        self.assertEqual(len(rest), 2 * 2 * 2 * 2)
        self.assertEqual(len({(o["what"], o["backend"], o["norm"], o["window"]) for o in rest}), 16)
        for o in rest:
            self.assertLessEqual(self.KEYS, set(o))
            self.assertTrue(0 < o["p50_ms"] <= o["p95_ms"])
            self.assertEqual((o["sessions"], o["threads"]), (3, 2) if o["what"] == "batch" else (1, 1))
        kv = {(o["backend"], o["what"], o["window"]): o["kv_bytes"] for o in rest}
        self.assertEqual(kv["flash", "stream", 512], 4 * 512 * 2 * 128 * 4)  # layers x W x (K, V) x width x float
        self.assertEqual(kv["flash", "batch", 512], 3 * kv["flash", "stream", 512])
        self.assertLess(kv["latent", "stream", 512], kv["flash", "stream", 512] / 2)

    def test_bench_report(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report"
            r = attune("bench", "--report", str(out), "-s", "0.01", "-W", "128,64", "--sessions", "2")
            self.assertEqual(r.returncode, 0, r.stderr)
            first, *rest = r.stderr.splitlines()  # no terminal: a line at the begin and each half minute
            self.assertRegex(first, r"^attune bench: 1 of \d+, \w+ fp32 window (64|128)$")
            for line in rest:
                self.assertRegex(line, PROGRESS)
            data = json.loads((out / "report.json").read_text())
            points = {(p["what"], p["backend"], p["mode"], p["norm"], p["window"]): p for p in data["points"]}
            print(len(points), "points")
            for backend in ("mha", "flash", "gqa", "latent"):
                for mode in ("fp32", "bf16"):
                    for window in (64, 128):
                        for norm in ("rmsnorm", "layernorm"):
                            self.assertGreater(points["stream", backend, mode, norm, window]["p50_ms"], 0)
            kv = {b: points["stream", b, "fp32", "rmsnorm", 128]["kv_bytes"] for b in ("mha", "flash", "gqa")}
            self.assertEqual(kv["mha"], 2 * kv["gqa"])
            self.assertEqual(data["paper"][0]["p50_ms"], 22.0)
            page = (out / "index.html").read_text()
            names = {p.name for p in out.iterdir()}
            self.assertEqual(names, {"index.html", "report.json", "growth.svg", "figure2-throughput.svg", "figure3-kv.svg",
                                     "figure4-accuracy.svg", "figure5-latency.svg", "figure6-norms.svg"})
            for name in names - {"index.html"}:
                self.assertIn(name, page)
            for svg in out.glob("*.svg"):
                root = xml.etree.ElementTree.parse(svg).getroot()
                self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            bars = (out / "figure4-accuracy.svg").read_text()
            for a in data["accuracy"]:
                if a["window"] == 1024:
                    self.assertIn(f"{100 * a['overall']:.1f}</text>", bars)
            # Each bar's figure stands in it, where the paper's line does not cross it.
            tops = [float(y) for y in re.findall(r'<rect class="f\d" x="[^"]+" y="([^"]+)" width="(?!12")', bars)]
            said = [float(y) for y in re.findall(r'<text class="in mid" x="[^"]+" y="([^"]+)"', bars)]
            self.assertEqual(len(said), len(tops))
            for top, y in zip(tops, said):
                self.assertGreater(y - 12, top)
            r = attune("bench", "--report", "/proc/none/report", "-s", "0.01", "-W", "64")
            self.assertEqual(r.returncode, 1)
            self.assertIn("/proc/none/report", r.stderr)

    def test_a_model_file_and_its_window(self):
        r = attune("bench", "--json", "-s", "0.01", "-w", "window", "-b", "mha", "--model", GOLDEN / "encoder-0.safetensors")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual([o["window"] for o in lines(r)[1:]], [64])
        self.assertEqual(attune("bench", "--model", GOLDEN / "encoder-2.safetensors").returncode, 1)  # not causal

    def test_people_get_a_table(self):
        r = attune("bench", "-s", "0.01", "-W", "64", "-b", "flash,mha", "-t", "2", "--sessions", "2")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        peaks = [x for x in r.stdout.splitlines() if x.startswith("peak: ")]
        head, *rows = r.stdout.splitlines()[len(peaks):]
        self.assertEqual((len(peaks), head.split()[:5], len(rows)), (2, ["backend", "mode", "kernel", "norm", "what"], 6))
        self.assertEqual({tuple(x.split()[i] for i in (0, 4, 5)) for x in rows}, {(b, w, "64") for b in ("flash", "mha") for w in ("window", "stream", "batch")})

    def test_what_cannot_be_measured_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            file, model = Path(folder, "file"), GOLDEN / "encoder-0.safetensors"
            file.write_text("no model")
            for args, code, word in [(["--model", folder + "/none"], 1, "none"), (["--model", file], 1, str(file)), (["--report", file], 1, str(file)),
                                     (["--report", folder + "/r", "--model", file], 1, str(file)), (["--model", model, "--norm", "layernorm"], 2, "--norm"),
                                     (["-b", ",".join(["mha"] * 40)], 2, "more than"), (["-W", ",".join(["64"] * 40)], 2, "more than"), (["-W", "64.5"], 2, "not an integer"),
                                     (["-W", "x"], 2, "not an integer"), (["-W", "2M"], 2, "not an integer")]:
                r = attune("bench", "-s", "0.01", "-W", "64", *args)
                self.assertEqual(r.returncode, code, (args, r.stderr))
                self.assertNotIn("stream", r.stdout)
                self.assertIn(word, r.stderr)
            for args in ([], ["--json"]):
                with open("/dev/full", "w", encoding="ascii") as full:
                    r = subprocess.run([ATTUNE, "bench", "-s", "0.01", "-W", "64", "-b", "mha", "-w", "stream", *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=600)
                self.assertEqual((r.returncode, "standard output" in r.stderr), (1, True), r.stderr)

    def test_a_report_on_a_full_disk_leaves_no_half_of_a_file(self):
        report = ["--report", None, "-s", "0.01", "-W", "64", "--sessions", "1", "-b", "mha", "-m", "fp32", "--norm", "rmsnorm"]
        for taken in (None, "index.html", "figure3-kv.svg", "report.json"):  # no room at all, or the name is one of a folder
            with tempfile.TemporaryDirectory() as folder:
                report[1] = folder
                if taken:
                    Path(folder, taken).mkdir()
                r = attune("bench", *report, preexec_fn=None if taken else room_for(1000))
                said = [line for line in r.stderr.splitlines() if not re.match(PROGRESS, line)]
                self.assertEqual((r.returncode, len(said)), (1, 1), said)
                self.assertRegex(said[0], f"attune bench: {folder}/{taken}: Is a directory" if taken else f"attune bench: {folder}/[a-z0-9.-]+: File too large")
                left = [p.name for p in Path(folder).iterdir() if p.is_file()]
                self.assertEqual([p for p in left if p.endswith(".part") or p == taken or not taken], [])

    def test_wrong_lists_are_usage(self):
        for args in (["--what", "latency"], ["--backend", "linear"], ["--mode", "fp64"], ["--window", "0"], ["--window", "1024,,"], ["--norm", ""],
                     ["--threads", "0"], ["--sessions", "1.5"], ["extra"]):
            r = attune("bench", *args)
            self.assertEqual(r.returncode, 2, args)
            self.assertEqual(r.stdout, "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
