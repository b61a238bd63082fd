#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of attune synth hold what the truth beside them says."""
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from full_disk import room_for  # noqa: E402
from usage import arguments  # noqa: E402

(ATTUNE,) = arguments("ATTUNE")


def synth(*args, preexec_fn=None):
    return subprocess.run([ATTUNE, "synth", *map(str, args)], capture_output=True, text=True, timeout=600, preexec_fn=preexec_fn)


def read(path):
    kind = path.suffix[1:]
    if kind == "cu8":
        a = (np.fromfile(path, np.uint8).astype(np.float32) - 127.5) / 127.5
    elif kind in ("cs8", "cs16"):
        a = np.fromfile(path, np.int8 if kind == "cs8" else "<i2") / (127 if kind == "cs8" else 32767)
    else:
        a = np.fromfile(path, "<f4")
    return a.reshape(-1, 2) @ np.array([1, 1j])


class Synth(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.at = Path(self.dir.name)

    def test_formats_hold_the_same_signal(self):
        want = None
        for kind, size, tolerance in [("cf32", 8, 0), ("cs16", 4, 1e-4), ("cs8", 2, 0.01), ("cu8", 2, 0.01), ("sigmf-data", 8, 0)]:
            path = self.at / f"x.{kind}"
            r = synth("-c", "gfsk", "-v", "ais", "-s", "100k", "-t", "0.5", "--seed", 3, path)
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            self.assertEqual(path.stat().st_size, 50000 * size)
            got = read(path)
            want = got if want is None else want
            self.assertLessEqual(abs(got - want).max(), tolerance * 1.5, kind)
            self.assertAlmostEqual(max(abs(want.real).max(), abs(want.imag).max()), 0.8, places=3)

    def test_truth_is_where_the_power_is(self):
        path = self.at / "x.sigmf-data"
        r = synth("-c", "psk_qam", "-v", "qpsk", "-b", "100k", "-o", "200k", "-s", "1M", "-f", "433.92M", "-t", "0.1", "--snr", 30, path)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        meta = json.loads((self.at / "x.sigmf-meta").read_text())
        self.assertEqual(meta["global"]["core:datatype"], "cf32_le")
        note, = meta["annotations"]
        lo, hi = note["core:freq_lower_edge"] - 433.92e6, note["core:freq_upper_edge"] - 433.92e6
        self.assertEqual(note["core:label"], "psk_qam")
        psd = np.fft.fftshift(abs(np.fft.fft(read(path))) ** 2)
        f = np.fft.fftshift(np.fft.fftfreq(len(psd), 1e-6))
        inside = psd[(f >= lo) & (f <= hi)].sum() / psd.sum()
        print(f"between {lo:.0f} and {hi:.0f} Hz: {inside:.4f} of the power (0.97 to 1)")
        self.assertGreater(inside, 0.97)

    def test_same_seed_same_bytes(self):
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
            synth("-c", "ook", "-s", "250k", "-t", "0.1", "--seed", seed, self.at / f"{name}.cu8")
        a, b, c = ((self.at / f"{n}.cu8").read_bytes() for n in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_the_list_names_what_can_be_made(self):
        r = synth("--list")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        for line in r.stdout.splitlines():
            self.assertRegex(line, r"^[a-z_0-9]+ +[a-z_0-9]+ +\d+\.\.\d+ Hz(, bursts)?$")
        self.assertLessEqual({"ook", "ofdm", "css", "chirp"}, {s.split()[0] for s in r.stdout.splitlines()})
        self.assertIn(", bursts", r.stdout)

    def test_scenes_and_noise(self):
        for args, n, emitters, center in [(("--scene", "quiet", "-s", "250k", "-t", "0.1", "-f", "100M"), 25000, 0, 100e6), (("-c", "noise", "-s", "250k"), 500000, 0, 0),
                                          (("--scene", "fm30", "-s", "1M", "-t", "0.02", "--loop"), 20000, 1, None)]:
            path = self.at / "scene.cs8"
            r = synth(*args, path)
            self.assertEqual((r.returncode, r.stderr), (0, ""), args)
            self.assertEqual(path.stat().st_size, 2 * n)
            meta = json.loads((self.at / "scene.sigmf-meta").read_text())
            self.assertEqual((meta["global"]["core:dataset"], meta["global"]["core:datatype"]), ("scene.cs8", "ci8"))
            self.assertGreaterEqual(len(meta["annotations"]), emitters)
            if center is not None:
                self.assertEqual((meta["captures"][0]["core:frequency"], len(meta["annotations"])), (center, 0))

    def test_a_full_disk_leaves_no_half_of_a_file(self):
        r = synth("-c", "ook", "-s", "250k", "-t", "1", self.at / "x.cf32", preexec_fn=room_for(1000000))
        self.assertEqual((r.returncode, r.stderr), (1, f"attune synth: {self.at}/x.cf32: File too large\n"))
        self.assertEqual(list(self.at.iterdir()), [])
        (self.at / "x.sigmf-meta").mkdir()  # samples whose truth has no room are whole
        r = synth("-c", "ook", "-s", "250k", "-t", "1", self.at / "x.cf32")
        self.assertEqual((r.returncode, r.stderr), (1, f"attune synth: {self.at}/x.cf32: Is a directory\n"))
        self.assertEqual(sorted(p.name for p in self.at.iterdir()), ["x.cf32", "x.sigmf-meta"])
        self.assertEqual((self.at / "x.cf32").stat().st_size, 2000000)
        (self.at / "x.sigmf-meta").rmdir()
        (self.at / "x.cf32").unlink()
        (self.at / "x.cf32").mkdir()  # nor where the name is taken
        r = synth("-c", "ook", "-s", "250k", "-t", "0.1", self.at / "x.cf32")
        self.assertEqual((r.returncode, [p.name for p in self.at.iterdir()]), (1, ["x.cf32"]), r.stderr)

    def test_wrong_use_says_why_and_leaves_nothing(self):
        for args, code, word in [(("-c", "gfsk", "-v", "nope", "x.cu8"), 2, "no variant"), (("-c", "nope", "x.cu8"), 2, "no class"),
                                 (("--scene", "nope", "x.cu8"), 2, "no scene"), (("-c", "ook", "x.wav"), 2, "end it in"),
                                 (("-c", "ook"), 2, "one output"), (("x.cu8",), 2, "--class or --scene"),
                                 (("-c", "ofdm", "-v", "lte_20m", "-s", "1M", "x.cu8"), 1, "doesn't fit"),
                                 (("-c", "ook", "-t", "0.1", "no/such/folder/x.cu8"), 1, "No such file"), (("-c", "ook", "-s", "1G", "-t", "10", "x.cu8"), 2, "at most"),
                                 (("-c", "ook", "-s", "1", "-t", "0.1", "x.cu8"), 2, "samples"),
                                 (("-c", "ook", "-s", "250k", "-o", "200k", "x.cu8"), 2, "beyond"), (("-c", "ook", "-o", "-500k", "x.cu8"), 2, "beyond"), (("-c", "ook", "--scene", "demo", "x.cu8"), 2, "--class or --scene"),
                                 (("-c", "ook", "-t", "0.1", "x" * 300 + ".cu8"), 1, "too long"), (("-c", "ook", "x" * 4100 + ".cu8"), 1, "too long")]:
            full = [self.at / a if str(a).startswith(("x.", "no/")) else a for a in args]
            r = synth(*full)
            self.assertEqual(r.returncode, code, args)
            self.assertIn(word, r.stderr, args)
        self.assertEqual(list(self.at.iterdir()), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
