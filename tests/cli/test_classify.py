#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attune classify and listen from outside, with a model of random weights."""
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from usage import arguments  # noqa: E402

ATTUNE, ROOT = arguments("ATTUNE", "SOURCE_ROOT")
ROOT = Path(ROOT)
sys.path.insert(0, str(ROOT / "tests/reference"))
import reference  # noqa: E402

RATE = 250_000
LABELS = ["gfsk", "ook", "carrier", "nfm"]


def write_model(path, seed=3, d=32, layers=2, mask="causal"):
    rng = np.random.default_rng(seed)

    def matrix(rows, cols):
        return (rng.standard_normal((rows, cols)) / np.sqrt(cols)).astype(np.float32)

    t = {"embed.weight": matrix(d, 128 + 2), "embed.bias": np.zeros(d, np.float32), "norm.weight": np.ones(d, np.float32),
         "head.weight": matrix(len(LABELS), d), "head.bias": np.zeros(len(LABELS), np.float32)}
    for i in range(layers):
        t |= {f"layers.{i}.attn.{n}.weight": matrix(d, d) for n in "qkvo"}
        t |= {f"layers.{i}.norm{k}.weight": np.ones(d, np.float32) for k in (1, 2)}
        t |= {f"layers.{i}.mlp.up.weight": matrix(2 * d, d), f"layers.{i}.mlp.down.weight": matrix(d, 2 * d)}
    config = dict(n_bins=128, n_aux=2, d_model=d, n_layers=layers, n_heads=2, d_ff=2 * d, n_classes=len(LABELS),
                  window=256 if mask == "causal" else 0, kv_groups=1,
                  segment=32, pool_block=32, mask=mask, norm="rmsnorm", rope_base=1e4, aux=["share", "bin_khz"])
    reference.write_safetensors(path, t, {"format": "attune-1", "config": json.dumps(config), "labels": json.dumps(LABELS)})


def write_iq(path, seconds=0.5, tone=True, seed=1):
    """Noise at -60 dBFS and a tone of -20 dBFS at +50 kHz from 0.1 s to the end, as cu8."""
    rng = np.random.default_rng(seed)
    n = int(RATE * seconds)
    iq = (rng.standard_normal(n) + 1j * rng.standard_normal(n)) * np.sqrt(1e-6 / 2)
    if tone:
        k = np.arange(n)
        iq += np.where(k > n // 5, 0.1 * np.exp(2j * np.pi * 0.2 * k), 0)
    raw = np.stack([iq.real, iq.imag], -1) * 127.5 + 127.5 + rng.uniform(-0.5, 0.5, (n, 2))
    np.clip(np.round(raw), 0, 255).astype(np.uint8).tofile(path)


def png_size(path):
    """Width and height of a PNG whose chunks all check out."""
    b = Path(path).read_bytes()
    assert b[:8] == b"\x89PNG\r\n\x1a\n"
    at, size, kinds = 8, None, []
    while at < len(b):
        n, kind = struct.unpack(">I4s", b[at:at + 8])
        assert zlib.crc32(b[at + 4:at + 8 + n]) == struct.unpack(">I", b[at + 8 + n:at + 12 + n])[0]
        if kind == b"IHDR":
            size = struct.unpack(">II", b[at + 8:at + 16])
        kinds.append(kind)
        at += 12 + n
    assert kinds[-1] == b"IEND"
    return size


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = Path(cls.folder.name)
        write_model(cls.dir / "model.safetensors")
        write_iq(cls.dir / "tone_433.92M_250k.cu8")
        cls.env = {k: v for k, v in os.environ.items() if not k.startswith("ATTUNE_")}
        (cls.dir / "lsan").write_text("leak:libfontconfig\n")  # its own, once per process
        cls.env |= {"LSAN_OPTIONS": f"suppressions={cls.dir / 'lsan'}:print_suppressions=0"}
        cls.env |= {"ATTUNE_MODEL": str(cls.dir / "model.safetensors"), "XDG_CACHE_HOME": str(cls.dir / "cache")}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def attune(self, *args, stdin=None, **env):
        return subprocess.run([ATTUNE, *map(str, args)], capture_output=True, stdin=stdin, timeout=600, env=self.env | env)

    def refused(self, code, words, *args, **env):
        r = self.attune(*args, **env)
        said = r.stderr.decode()
        self.assertEqual(r.returncode, code, said)
        self.assertEqual(r.stdout, b"", args)
        self.assertEqual(len(said.splitlines()), 2 if code == 2 else 1, said)  # usage adds the hint at --help
        for word in words:
            self.assertIn(word, said)


class Classify(Case):
    def test_one_line_per_emission_then_the_summary(self):
        r = self.attune("classify", "--json", self.dir / "tone_433.92M_250k.cu8")
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        *emissions, last = [json.loads(s) for s in r.stdout.splitlines()]
        self.assertEqual(set(last), {"summary"})
        s = last["summary"]
        self.assertEqual(set(s), {"class", "confidence", "emissions", "seconds", "wall_s"})
        self.assertEqual((s["emissions"], s["seconds"]), (len(emissions), 0.5))
        tone = max(emissions, key=lambda e: e["snr_db"] + 10 * np.log10(e["end_s"] - e["start_s"]))
        self.assertEqual(s["class"], tone["class"])
        self.assertAlmostEqual(tone["center_hz"], 433_970_000, delta=1000)
        self.assertAlmostEqual(tone["start_s"], 0.1, delta=0.02)
        self.assertAlmostEqual(tone["level_dbfs"], -20, delta=1)
        self.assertEqual(tone["state"], "ended")
        self.assertEqual(set(tone["probs"]), set(LABELS))
        self.assertAlmostEqual(sum(tone["probs"].values()), 1, delta=1e-3)
        self.assertNotIn("latency_ms", tone)  # a file is not live
        print(f"classify: {len(emissions)} emissions, {s['wall_s']:.3f} s of work")

    def test_the_same_file_gives_the_same_lines(self):
        runs = [self.attune("classify", "--json", self.dir / "tone_433.92M_250k.cu8").stdout.splitlines()[:-1] for _ in range(2)]
        self.assertEqual(runs[0], runs[1])

    def test_standard_input_and_forced_backends(self):
        classes = {}
        for backend in ("mha", "flash", "gqa", "latent"):
            with open(self.dir / "tone_433.92M_250k.cu8", "rb") as f:
                r = self.attune("classify", "--json", "-F", "cu8", "-s", "250k", "-f", "433.92M", "-", stdin=f, ATTUNE_BACKEND=backend)
            self.assertEqual(r.returncode, 0, r.stderr)
            first = json.loads(r.stdout.splitlines()[0])
            self.assertEqual(first["backend"], backend)
            classes[backend] = first["probs"]
        for label in LABELS:
            self.assertAlmostEqual(classes["mha"][label], classes["flash"][label], delta=1e-3)

    def test_a_cache_is_no_need(self):
        (self.dir / "home").mkdir()
        plain = {k: v for k, v in self.env.items() if k not in ("HOME", "XDG_CACHE_HOME")}
        want = None
        for where in ({}, {"HOME": "relative"}, {"HOME": "/proc/none"}, {"XDG_CACHE_HOME": "relative", "HOME": str(self.dir / "home")},
                      {"XDG_CACHE_HOME": "/" + "x" * 2000}, {"XDG_CACHE_HOME": "/" + "x" * 3000}):
            r = subprocess.run([ATTUNE, "classify", "--json", self.dir / "tone_433.92M_250k.cu8"], capture_output=True, timeout=600, env=plain | where)
            self.assertEqual((r.returncode, r.stderr), (0, b""), where)
            got = [json.loads(x)["class"] for x in r.stdout.splitlines()[:-1]]
            want = want or got
            self.assertEqual(got, want, where)
        self.assertEqual([p.name for p in (self.dir / "home/.cache/attune").iterdir()], ["fftw-wisdom"])

    def test_where_the_model_is_looked_for(self):
        good = self.dir / "tone_433.92M_250k.cu8"
        self.refused(1, ["path is too long"], "classify", good, ATTUNE_MODEL="x" * 3000)
        self.refused(1, ["path is too long"], "classify", "-m", "x" * 3000, good)
        self.refused(1, ["/none"], "classify", good, ATTUNE_MODEL="/none")
        if Path("/usr/share/attune/models").exists():
            return
        alone = self.dir / "alone" / "attune"  # neither in a build nor installed
        alone.parent.mkdir()
        shutil.copy(ATTUNE, alone)
        r = subprocess.run([alone, "classify", good], capture_output=True, timeout=600, env={k: v for k, v in self.env.items() if k != "ATTUNE_MODEL"})
        self.assertEqual((r.returncode, r.stdout), (1, b""))
        for word in (b"no model: ", b"/usr/share/attune/models/", b"say --model FILE or set ATTUNE_MODEL"):
            self.assertIn(word, r.stderr)

    def test_what_cannot_be_written_is_said(self):
        good = self.dir / "tone_433.92M_250k.cu8"
        for args in ([], ["--json"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                r = subprocess.run([ATTUNE, "classify", *args, good], stdout=full, stderr=subprocess.PIPE, timeout=600, env=self.env)
            self.assertEqual((r.returncode, r.stderr.count(b"\n")), (1, 1), r.stderr)
            self.assertIn(b"standard output", r.stderr)

    def test_noise_is_none_or_weak(self):
        write_iq(self.dir / "noise_250k.cu8", tone=False)
        r = self.attune("classify", "--json", self.dir / "noise_250k.cu8")
        self.assertEqual(r.returncode, 0)
        s = json.loads(r.stdout.splitlines()[-1])["summary"]
        self.assertEqual((s["class"], s["emissions"]), ("none", 0))
        self.assertNotIn("confidence", s)

    def test_picture(self):
        for n, name in ((0.5, "long"), (0.001, "short")):
            write_iq(self.dir / f"{name}_250k.cu8", seconds=n)
            png = self.dir / f"{name}.png"
            r = self.attune("classify", "-o", png, self.dir / f"{name}_250k.cu8")
            if b"built without libcairo" in r.stderr:
                self.assertEqual((r.returncode, png.exists()), (1, False))
                continue
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(png_size(png), (1280, 800))
        if b"built without libcairo" not in r.stderr:
            with open(self.dir / "tone_433.92M_250k.cu8", "rb") as f:  # of a length that nobody knows before
                r = self.attune("classify", "-F", "cu8", "-s", "250k", "-f", "433.92M", "-o", self.dir / "stdin.png", "-", stdin=f)
            self.assertEqual((r.returncode, png_size(self.dir / "stdin.png")), (0, (1280, 800)), r.stderr)
            self.refused_picture(self.dir / "no/x.png", "No such file or directory")
        self.assertEqual([p.name for p in self.dir.iterdir() if ".part" in p.name], [])

    def refused_picture(self, path, why):
        r = self.attune("classify", "-o", path, self.dir / "tone_433.92M_250k.cu8")
        self.assertEqual(r.returncode, 1)
        self.assertIn(f"{path}: cannot be written: {why}", r.stderr.decode())

    def test_a_picture_overwrites_no_recording(self):
        good, other = self.dir / "tone_433.92M_250k.cu8", self.dir / "other_250k.cu8"
        shutil.copy(good, other)
        for name in (other, self.dir / "x.jpg", ".png", ""):
            self.refused(2, ["--picture", "end its name in .png"], "classify", "--picture", name, good)
        self.assertEqual(other.read_bytes(), good.read_bytes())

    def test_a_pipe_without_samples_is_a_failure(self):
        for args in ([], ["--json"]):
            r = self.attune("classify", "-F", "cu8", "-s", "250k", *args, "-", stdin=subprocess.DEVNULL)
            self.assertEqual((r.returncode, r.stdout, r.stderr), (1, b"", b"attune classify: standard input: no samples came\n"))

    def test_people_get_a_table(self):
        r = self.attune("classify", self.dir / "tone_433.92M_250k.cu8")
        self.assertEqual(r.returncode, 0)
        text = r.stdout.decode()
        self.assertIn("bandwidth", text.splitlines()[0])
        self.assertIn("MHz", text.splitlines()[1])
        self.assertIn("in 0.5 s", text.splitlines()[-1])
        self.assertNotIn("\033", text)

    def test_bad_input_is_one_clear_line(self):
        (self.dir / "empty_250k.cu8").write_bytes(b"")
        (self.dir / "what.xyz").write_bytes(bytes(1000))
        (self.dir / "norate.cu8").write_bytes(bytes(1000))
        good = self.dir / "tone_433.92M_250k.cu8"
        self.refused(1, ["/nowhere.cu8"], "classify", "/nowhere.cu8")
        self.refused(1, ["empty"], "classify", self.dir / "empty_250k.cu8")
        self.refused(1, ["what.xyz", "--format"], "classify", self.dir / "what.xyz")
        self.refused(1, ["say --rate 250k\n"], "classify", self.dir / "norate.cu8")
        (self.dir / "norate.sigmf-meta").write_text("{}")
        self.refused(1, [f"--rate 250k, or read {self.dir}/norate.sigmf-meta\n"], "classify", self.dir / "norate.cu8")
        self.refused(1, [str(self.dir)], "classify", self.dir)
        self.refused(1, ["/none.safetensors"], "classify", "--model", "/none.safetensors", good)
        self.refused(1, ["mha"], "classify", "--backend", "flush", good)
        self.refused(1, ["ATTUNE_BACKEND", "mha"], "classify", good, ATTUNE_BACKEND="flush")
        self.refused(1, ["window"], "classify", "--window", "100", good)
        self.refused(2, ["which file"], "classify")
        self.refused(2, ["one file"], "classify", good, good)
        self.refused(2, ["cu8"], "classify", "--format", "mp3", good)
        self.refused(2, ["--rate"], "classify", "--rate", "fast", good)
        for args in (["classify", good], ["listen", "-d", "driver=none", "-s", "1M"], ["doctor", "-d", "driver=none"]):
            self.refused(2, ["--freq: 433.92 Hz is no centre; with its unit it is 433.92M"], *args, "--freq", "433.92")

    def test_what_is_cut_short_is_said(self):
        whole = (self.dir / "tone_433.92M_250k.cu8").read_bytes()
        size = len(whole)
        wav = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 2, RATE, 2 * RATE, 2, 8, b"data", size) + whole
        for name, data, said in (("cut.wav", wav[:-2000], f"the header promises {size} bytes, the file holds {size - 2000}: cut short"),
                                 ("odd_250k.cu8", whole + b"x", "1 bytes at the end make no whole cu8 sample and are left out"),
                                 ("whole.wav", wav, "")):
            (self.dir / name).write_bytes(data)
            for args in ([], ["--json"]):
                r = self.attune("classify", *args, self.dir / name)
                self.assertEqual((r.returncode, r.stderr.decode()), (0, f"attune classify: {self.dir / name}: {said}\n" if said else ""), name)

    def test_each_kind_of_file_gives_the_same(self):
        tone = np.frombuffer((self.dir / "tone_433.92M_250k.cu8").read_bytes(), np.uint8)
        x = ((tone.astype(np.int32) - 128) * 256).astype("<i2")
        wide = x.astype("<i4") << 16
        packed = wide.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
        center = int(433.92e6)

        def wav(bits, data):
            auxi = struct.pack("<16H5I", 2024, 1, 1, 1, 0, 0, 0, 0, *[0] * 8, center, 0, 0, 0, 0)
            head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 2, RATE, RATE * bits // 4, bits // 4, bits, b"auxi", len(auxi))
            body = b"WAVE" + head + auxi + struct.pack("<4sI", b"data", len(data)) + data
            return struct.pack("<4sI", b"RIFF", len(body)) + body

        def sdriq(bits, data):
            head = struct.pack("<IQQII", RATE, center, 1704067200, bits, 0)
            return head + struct.pack("<I", zlib.crc32(head)) + data

        head = {"core:datatype": "ci16_le", "core:sample_rate": RATE, "core:version": "1.0.0"}
        capture = {"core:sample_start": 0, "core:frequency": center, "core:datetime": "2024-01-01T00:00:00Z"}
        meta = json.dumps({"global": head, "captures": [capture], "annotations": []}).encode()
        for kind in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            with tarfile.open(self.dir / f"same{kind}.sigmf", "w", format=kind) as tar:
                for end, data in (("meta", meta), ("data", x.tobytes())):
                    member = tarfile.TarInfo(f"{'long' * 30}/same.sigmf-{end}")
                    member.size, member.mtime = len(data), 1704067200.5
                    tar.addfile(member, io.BytesIO(data))
        files = {"same16.wav": wav(16, x.tobytes()), "same24.wav": wav(24, packed), "same32.wav": wav(32, wide.tobytes()),
                 "same16.sdriq": sdriq(16, x.tobytes()), "same24.sdriq": sdriq(24, (wide >> 8).astype("<i4").tobytes()),
                 "gqrx_20240101_000000_433920000_250000_fc.raw": (x / 32768).astype("<f4").tobytes()}
        for name, data in files.items():
            (self.dir / name).write_bytes(data)
        said = {}
        for name in [*files, *(f"same{kind}.sigmf" for kind in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))]:
            r = self.attune("classify", "--json", self.dir / name)
            self.assertEqual((r.returncode, r.stderr), (0, b""), name)
            lines = [json.loads(line) for line in r.stdout.splitlines()[:-1]]
            self.assertGreater(len(lines), 0, name)
            said[name] = [{k: v for k, v in line.items() if k not in ("id", "recording", "file", "radio")} for line in lines]
        first = said["same16.wav"]
        for name, lines in said.items():
            self.assertEqual(lines, first, name)

        (self.dir / "BBD_0001.C16").write_bytes(x.tobytes())  # knows no time
        (self.dir / "BBD_0001.TXT").write_bytes(f"center_frequency={center}\r\nsample_rate={RATE}\r\n".encode())
        r = self.attune("classify", "--json", self.dir / "BBD_0001.C16")
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        lines = [json.loads(line) for line in r.stdout.splitlines()[:-1]]
        self.assertEqual([line["center_hz"] for line in lines], [line["center_hz"] for line in first])

    def test_captures_tuned_apart_are_no_one_band(self):
        data = self.dir / "two.sigmf-data"
        data.write_bytes((self.dir / "tone_433.92M_250k.cu8").read_bytes())
        tuned = [{"core:sample_start": 0, "core:frequency": 433.92e6}, {"core:sample_start": 100000, "core:frequency": 868.3e6}]
        meta = self.dir / "two.sigmf-meta"
        head = {"core:datatype": "cu8", "core:sample_rate": RATE, "core:version": "1.0.0"}
        meta.write_text(json.dumps({"global": head, "captures": tuned, "annotations": []}))
        self.refused(1, ["433.92 and 868.3 MHz", "--freq"], "classify", "--json", meta)
        self.assertEqual(self.attune("classify", "--json", "--freq", "433.92M", meta).returncode, 0)
        tuned[1]["core:frequency"] = 433.92e6
        meta.write_text(json.dumps({"global": head, "captures": tuned, "annotations": []}))
        self.assertEqual(self.attune("classify", "--json", meta).returncode, 0)

    def test_what_cannot_run_says_what_can(self):
        good = self.dir / "tone_433.92M_250k.cu8"
        write_model(self.dir / "none.safetensors", mask="none")
        for words, args, env in [
                (["ATTUNE_BACKEND", "'linear'", "flash, gqa, latent, mha"], [], {"ATTUNE_BACKEND": "linear"}),
                (["ATTUNE_CPU_MASK", "this build has", "generic", "this processor has"], [], {"ATTUNE_CPU_MASK": "none"}),
                (["mask none", "causal"], ["-m", self.dir / "none.safetensors", "-b", "latent"], {}),
                (["window 33", "multiple"], ["-w", "33", "-b", "flash"], {})]:
            r = self.attune("classify", *args, good, **env)
            self.assertEqual((r.returncode, r.stdout, r.stderr.count(b"\n")), (1, b"", 1), r.stderr)
            for word in words:
                self.assertIn(word, r.stderr.decode())

    def test_nan_inf_and_zeros_do_not_crash(self):
        zeros = self.dir / "zeros_1M.cf32"
        np.zeros(200_000, np.complex64).tofile(zeros)
        bad = np.random.default_rng(1).standard_normal(200_000).astype(np.float32) * 1e-3
        bad[1000:1010], bad[50_000] = np.nan, np.inf
        bad.tofile(self.dir / "bad_1M.cf32")
        for name in ("zeros_1M.cf32", "bad_1M.cf32"):
            r = self.attune("classify", "--json", self.dir / name)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertIn("summary", json.loads(r.stdout.splitlines()[-1]))


class Listen(Case):
    def test_usage(self):
        self.refused(2, ["driver=rtlsdr"], "listen")
        self.refused(2, ["-f", "-s"], "listen", "-d", "driver=rtlsdr")
        self.refused(2, ["not both"], "listen", "-d", "driver=x", "-f", "1M", "-s", "1M", "--json", "--csv")
        self.refused(2, ["--gain"], "listen", "-d", "driver=x", "-f", "1M", "-s", "1M", "-g", "loud")
        self.refused(2, ["--time"], "listen", "-d", "driver=x", "-f", "1M", "-s", "1M", "-T", "ten")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
