#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attune devices and listen on the simulated radio, through SoapySDR."""
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "support")]
from usage import arguments  # noqa: E402

MODULES = arguments("ATTUNE", "SOURCE_ROOT", "MODULES")[2]
from test_classify import ATTUNE, Case, reference  # noqa: E402


class Radio(Case):
    def attune(self, *args):
        return subprocess.run([ATTUNE, *args, "--modules", MODULES], capture_output=True, text=True, env=self.env,
                              timeout=600, check=False)

    def listen(self, device, *args, rate="1M"):
        r = self.attune("listen", "-d", device, "-f", "433.92M", "-s", rate, "--json", "-T", "3s", *args)
        count = re.search(r"(\d+) samples, (\d+) lost", r.stderr)
        return r, count and (int(count[1]), int(count[2]))

    def test_devices(self):
        r = self.attune("devices", "-d", "attunesim", "--json")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertEqual(json.loads(r.stdout)["device"], "driver=attunesim,serial=SIM0")
        r = self.attune("devices", "-d", "nosuchradio")
        self.assertEqual(r.returncode, 1)
        self.assertIn("install soapysdr-module-nosuchradio", r.stderr)

    def test_devices_are_lines_to_copy(self):
        r = self.attune("devices", "-d", "attunesim")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        lines = r.stdout.splitlines()
        self.assertIn("  attune listen -d driver=attunesim,serial=SIM0 -f 433.92M -s 1.024M", lines)
        entry = next(x for x in lines if x.startswith("  - "))
        self.assertIn('{name: attunesim1, device: "driver=attunesim,serial=SIM0", bands: [{', entry)
        # What it says to put under radios: is taken.
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "c.yaml")
            config.write_text("radios:\n" + entry + "\n")
            daemon = Path(ATTUNE).parent.parent / "daemon" / "attuned"
            if daemon.exists():
                p = subprocess.run([daemon, "-c", config, "--print-config"], capture_output=True, text=True, timeout=600, check=False)
                self.assertEqual(p.returncode, 0, p.stderr)
                self.assertIn("driver=attunesim,serial=SIM0", p.stdout)
        for wrong in (["extra"], ["--modules", "m" * 5000], ["--modules", ",".join("m" * 40)]):
            r = subprocess.run([ATTUNE, "devices", *wrong], capture_output=True, text=True, timeout=600, check=False)
            self.assertEqual((r.returncode, r.stdout, len(r.stderr.splitlines()) > 0), (2, "", True), wrong[-1][:40])

    def test_a_broken_module_is_a_line_and_no_end(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(Path(MODULES) / "libattunesimSupport.so", Path(folder) / "libattunesimSupport.so")
            Path(folder, "libbrokenSupport.so").write_text("no module")
            env = {**self.env, "SOAPY_SDR_PLUGIN_PATH": folder, "SOAPY_SDR_ROOT": "/nonexistent"}
            for crash in ("", "crash"):
                r = subprocess.run([ATTUNE, "devices", "--json"], capture_output=True, text=True, timeout=600, check=False,
                                   env={**env, "ATTUNESIM_BAD_FIND": crash})
                broken = [x for x in r.stderr.splitlines() if "libbrokenSupport.so: " in x]
                self.assertTrue(broken, r.stderr)
                if crash:
                    self.assertEqual((r.returncode, r.stdout), (1, ""))
                    self.assertIn("libattunesimSupport.so: ", r.stderr)
                else:
                    self.assertEqual(r.returncode, 0, r.stderr)
                    self.assertIn("driver=attunesim,serial=SIM0", r.stdout)

    def test_the_demo_is_heard(self):
        r, count = self.listen("driver=attunesim,scene=demo,duration=1")
        self.assertEqual(r.returncode, 0, r.stderr)
        print("listen:", count, "samples and lost,", len(r.stdout.splitlines()), "lines")
        # A loaded machine, or a sanitizer, loses some while it plans its transforms; what is exact stands in test_soapy.
        self.assertGreater(sum(count), 1_000_000)
        self.assertGreater(count[0], 200_000)
        for line in r.stdout.splitlines():
            self.assertIn("f_lo_hz", json.loads(line))

    def test_listen_as_csv_and_as_text(self):
        device = "driver=attunesim,scene=demo,duration=1"
        plan = Path(ATTUNE).parent.parent.parent / "conf" / "bandplan.yaml"
        for args, times in ((["--csv", "-g", "LNA=10,VGA=20"], "start end"), (["-g", "20"], "")):
            r = self.attune("listen", "-d", device, "-f", "433.92M", "-s", "1M", "-T", "4s", *args)
            self.assertEqual(r.returncode, 0, r.stderr)
            lines = r.stdout.splitlines()
            print("listen", args, len(lines), "lines, band plan", plan.exists())
            self.assertGreater(len(lines), 1)
            for row in csv.DictReader(lines) if times else ():
                self.assertNotIn(None, [*row, *row.values()], row)  # as many cells as titles
                self.assertRegex(row["start"] + row["end"], r"^20\d\d-.*Z20\d\d-.*Z$")
                self.assertLess(float(row["f_lo_hz"]), float(row["f_hi_hz"]))
                self.assertIn(row["state"], ("active", "ended"))
            for line in () if times else lines:
                self.assertRegex(line, r"^\d\d:\d\d:\d\d\.\d\d  [-+] +433\.\d+ MHz|^\d\d:\d\d:\d\d\.\d\d  [-+] +434\.\d+ MHz")

    def test_listen_ends_with_its_reader_and_with_a_signal(self):
        argv = [ATTUNE, "listen", "-d", "driver=attunesim,scene=demo,duration=1", "-f", "433.92M", "-s", "1M", "--modules", MODULES]
        for how in ("pipe", signal.SIGINT):
            p = subprocess.Popen(argv + ["-g", "-3"] * (how == "pipe"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)
            try:
                self.assertIn("MHz", p.stdout.readline())
                if how == "pipe":
                    p.stdout.close()
                else:
                    p.send_signal(how)
                self.assertEqual(p.wait(600), 1 if how == "pipe" else 0)
                self.assertRegex(p.stderr.read(), r"^attune listen: \d+ samples, \d+ lost\n$")
            finally:
                p.kill()
                p.stdout.close()
                p.stderr.close()
                p.wait()

    def doctor(self, device, *args):
        r = self.attune("doctor", "-d", device, "-s", "250k", "-T", "1s", "--bench-time", "10ms", "--json", *args)
        found = {}
        for line in r.stdout.splitlines():
            o = json.loads(line)
            found.setdefault(o["what"], []).append(o)
        return r, found

    def test_the_doctor_measures_host_and_radio(self):
        r, found = self.doctor("driver=attunesim,scene=tone")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertLessEqual({"host", "fft", "band", "backend", "choice", "radio", "retune", "change_of_rate", "limits", "config"}, set(found))
        radio, retune, band = found["radio"][0], found["retune"][0], found["band"][0]
        print("doctor:", radio, retune, band, found["limits"], found["config"])
        self.assertGreater(radio["rate_hz"], 0)
        self.assertEqual(radio["lost"], sum(radio["lost_by"].values()))
        self.assertAlmostEqual(radio["level_dbfs"], -6, delta=0.5)  # the scene's one tone
        self.assertLess(radio["dc_dbfs"], -40)
        for change in (retune, found["change_of_rate"][0]):
            self.assertEqual(change["runs"], 6, change)
            self.assertGreater(change["most_ms"], 0)
        self.assertGreater(band["rate_hz"], 100e3)
        self.assertTrue(all(o["rate_hz"] > 1e6 for o in found["fft"]))

    def test_the_doctor_speaks_to_people(self):
        r = self.attune("doctor", "-d", "driver=attunesim,scene=tone", "-s", "250k", "-T", "500ms", "--bench-time", "10ms", "--budget", "0.1")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        print(r.stdout)
        for word in ("config: (for attuned.yaml)", "    budget: {latency_ms: ", "      - device: \"driver=attunesim,scene=tone\"", "choice: "):
            self.assertIn(word, r.stdout)
        self.assertNotIn("{\"", r.stdout)

    def test_the_doctor_says_what_could_not_be_measured(self):
        # A window that takes longer to fill than what all the measurements may take.
        d, layers = 256, 8
        zeros = lambda *shape: np.zeros(shape, np.float32)
        t = {"embed.weight": zeros(d, 128), "embed.bias": zeros(d), "norm.weight": zeros(d), "head.weight": zeros(2, d), "head.bias": zeros(2)}
        for i in range(layers):
            t |= {f"layers.{i}.attn.{n}.weight": zeros(d, d) for n in "qkvo"} | {f"layers.{i}.norm{k}.weight": zeros(d) for k in (1, 2)}
            t |= {f"layers.{i}.mlp.{n}.weight": zeros(d, d) for n in ("up", "down")}
        config = dict(n_bins=128, n_aux=0, d_model=d, n_layers=layers, n_heads=2, d_ff=d, n_classes=2, window=16384, kv_groups=1, segment=64,
                      pool_block=32, mask="causal", norm="rmsnorm", rope_base=1e4)
        model = self.dir / "slow.safetensors"
        reference.write_safetensors(model, t, {"format": "attune-1", "config": json.dumps(config), "labels": json.dumps(["ook", "carrier"])})
        for args in ([], ["--json"]):
            r = subprocess.run([ATTUNE, "doctor", "--bench-time", "10ms", "-m", model, *args], capture_output=True, text=True, env=self.env,
                               timeout=600, check=False)
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            self.assertNotIn("nan", r.stdout)
            if args:
                choice = next(o for o in map(json.loads, r.stdout.splitlines()) if o["what"] == "choice")
                self.assertGreater(choice.get("p95_ms", 1), 0)  # a host may be that fast
            else:
                self.assertRegex(r.stdout, r"window 16384, (not measured in time|p95 [0-9.]+ ms): ")

    def test_the_doctor_without_a_model(self):
        env = {**self.env, "ATTUNE_MODEL": "/nonexistent"}
        for args, code in ((["--budget", "0.1"], 0), (["-m", "/nonexistent"], 1), (["extra"], 2)):
            r = subprocess.run([ATTUNE, "doctor", "--bench-time", "10ms", *args], capture_output=True, text=True, env=env, timeout=600, check=False)
            self.assertEqual(r.returncode, code, r.stderr)
            self.assertEqual("/nonexistent" in (r.stderr if code else r.stdout), code != 2, r.stdout + r.stderr)
            if code == 0:
                self.assertIn("not 0.1: the fastest backend needs", r.stdout)
        for args in ([], ["--json"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                r = subprocess.run([ATTUNE, "doctor", "--bench-time", "10ms", *args], stdout=full, stderr=subprocess.PIPE, text=True, env=env, timeout=600, check=False)
            self.assertEqual((r.returncode, r.stderr), (1, "attune doctor: standard output can't be written\n"))

    def test_the_doctors_configuration_is_one(self):
        attuned = Path(ATTUNE).parent.parent / "daemon" / "attuned"
        if not attuned.exists():
            self.skipTest("attuned is not built")
        r, found = self.doctor("driver=attunesim,scene=tone", "--budget", "60000")
        config = found["config"][0]
        print("doctor:", config)
        self.assertGreaterEqual(len(config["reasons"]), 4)
        for word in ("rate ", "latency_ms ", "kv_mb ", "cores "):
            self.assertTrue(any(x.startswith(word) for x in config["reasons"]), config["reasons"])
        with tempfile.TemporaryDirectory() as folder:
            whole = {"budget": config["budget"], "radios": config["radios"], "model": {"path": found["choice"][0]["model"]},
                     "bandplan": "", "history": {"path": ""}, "cache_dir": folder}
            Path(folder, "c.yaml").write_text(json.dumps(whole))
            r = subprocess.run([attuned, "--check", "-c", f"{folder}/c.yaml"], capture_output=True, text=True, timeout=600,
                               check=False, env=self.env)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_the_doctor_tells_the_host_without_the_radio(self):
        r, found = self.doctor("attunesim")
        self.assertEqual(r.returncode, 1)
        self.assertIn("attunesim", r.stderr)
        self.assertLessEqual({"host", "fft", "backend", "limits", "config"}, set(found))
        self.assertNotIn("radio", found)
        self.assertNotIn("radios", found["config"][0])

    def test_the_doctor_sees_losses(self):
        r, found = self.doctor("driver=attunesim,scene=tone,script=overflow@20000:1000,repeat=1")
        radio = found["radio"][0]
        print("doctor:", radio["lost"], radio["lost_by"], found["config"][0]["reasons"][0])
        self.assertGreaterEqual(radio["lost_by"]["overflow"], 1000)
        self.assertIn("samples were lost", found["config"][0]["reasons"][0])

    def test_what_is_lost_is_said(self):
        r, count = self.listen("driver=attunesim,scene=tone,script=overflow@200000:1000,repeat=1")
        self.assertEqual(r.returncode, 0, r.stderr)
        print("listen:", count, "samples and lost")
        self.assertGreaterEqual(count[1], max(1000, (count[0] - 1) // 200_000 * 1000))  # the newest loss shows with the next samples

    def test_refused_settings_end_it_in_one_line(self):
        for device, rate, word in [("driver=attunesim,scene=tone,wrong_rate=2e6", "1M", "the device gives 2000000"),
                                   ("attunesim", "1M", "must name its driver")]:
            r, _ = self.listen(device, rate=rate)
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn(word, r.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
