#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tail, emissions and top against a running attuned."""
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import terminal  # noqa: E402
from usage import arguments  # noqa: E402

ATTUNE, ATTUNED, ROOT = arguments("ATTUNE", "ATTUNED", "SOURCE_ROOT")
ROOT = Path(ROOT)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """attuned on a free port of loopback, with the demo scene."""

    def __init__(self, folder, port):
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "attuned.yaml"
        config.write_text(f"""model: {{path: "{ROOT}/models/attune-base.safetensors"}}
http: {{listen: "127.0.0.1:{port}"}}
bandplan: ""
history: {{path: ""}}
cache_dir: "{folder}/cache"
radios:
  - {{name: sim, device: "file=demo.sigmf-meta", loop: true, bands: [{{name: demo}}]}}
""")
        self.log = open(folder / "log", "a", encoding="utf-8")
        self.p = subprocess.Popen([ATTUNED, "-c", config], stderr=self.log)

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        self.p.wait(120)
        self.log.close()


def attune(*args, env=None, timeout=600):
    return subprocess.run([ATTUNE, *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False,
                          env={**os.environ, **(env or {})})


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.port = free_port()
        subprocess.run([ATTUNE, "synth", "--scene", "demo", "-t", "3", f"{cls.folder.name}/demo.sigmf-data"], check=True)
        cls.daemon = Daemon(Path(cls.folder.name), cls.port)
        cls.url = cls.daemon.url
        end = time.monotonic() + 300
        while time.monotonic() < end:  # until something has been named
            r = attune("emissions", "-u", cls.url, "--json")
            if r.returncode == 0 and sum("class" in json.loads(s) for s in r.stdout.splitlines()) >= 3:
                return
            time.sleep(0.5)
        raise RuntimeError(r.stderr + (Path(cls.folder.name) / "log").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.folder.cleanup()

    def ok(self, *args, **more):
        r = attune(*args, "-u", self.url, **more)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        return r.stdout

    def test_emissions_are_listed_and_filtered(self):
        text = self.ok("emissions")
        self.assertNotIn("\033", text)
        self.assertIn("MHz", text)
        items = [json.loads(s) for s in self.ok("emissions", "--json", "--limit", "1000").splitlines()]
        self.assertEqual(len({e["id"] for e in items}), len(items))
        name = next(e["class"] for e in items if "class" in e)
        some = [json.loads(s) for s in self.ok("emissions", "--json", "--class", name, "--min-snr", "5").splitlines()]
        print(f"{len(items)} emissions, {len(some)} of {name} at 5 dB and more")
        self.assertTrue(all(e["class"] == name and e["snr_db"] >= 5 for e in some))
        active = [json.loads(s) for s in self.ok("emissions", "--json", "--state", "active").splitlines()]
        self.assertTrue(all(e["state"] == "active" for e in active))
        r = attune("emissions", "-u", self.url, "--band", "no such & band")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("band: 'no such & band' is none of demo\n", r.stderr)
        self.assertEqual(self.ok("emissions", "--until", "1h", "--json"), "")
        self.ok("emissions", "--since", "1h")  # a recording without UTC has none to show
        self.assertEqual(len(self.ok("emissions", "-n", "2").splitlines()), 2)

    def test_the_model_says_its_groups_and_accuracy(self):
        with urllib.request.urlopen(self.url + "/api/v1/model", timeout=600) as r:
            model = json.load(r)
        self.assertEqual(model["groups"]["fsk"], ["fsk2", "gfsk", "fsk4"])
        self.assertTrue(all(set(members) <= set(model["classes"]) for members in model["groups"].values()))
        known = {(a["backend"], a["window"]): a["accuracy"] for a in model["accuracy"]}
        self.assertTrue(0.5 < known["flash", 1024] <= 1, known)
        with urllib.request.urlopen(self.url + "/api/v1/backends", timeout=600) as r:
            backends = {b["name"]: b for b in json.load(r)["items"]}
        candidate = next(c for c in backends["flash"]["candidates"] if c["window"] == 1024)
        self.assertAlmostEqual(candidate["accuracy"], known["flash", 1024], places=4)

    def test_tail_follows(self):
        events = [json.loads(s) for s in self.ok("tail", "--types", "emission,decision", "--json", "-n", "5").splitlines()]
        self.assertEqual(len(events), 5)
        self.assertTrue(all(e["event"] in ("emission", "decision") and "f_lo_hz" in e for e in events))
        ids = [int(e["event_id"]) for e in events]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertRegex(self.ok("tail", "--types", "emission,decision", "-n", "1"), r"^[-+ ] +\d.* MHz")
        began = time.monotonic()
        self.ok("tail", "--class", "wfm", "--min-snr", "199", "--types", "emission", "-T", "500ms")
        self.assertLess(time.monotonic() - began, 120)
        for command in ("tail", "emissions"):
            r = attune(command, "-u", self.url, "--class", "nosuchclass")
            self.assertEqual(r.stdout, "")
            self.assertRegex(r.stderr, r"nosuchclass.? is none of noise, carrier, .*chirp, unknown, weak\n")

    def test_tail_comes_back(self):
        p = subprocess.Popen([ATTUNE, "tail", "-u", self.url, "--types", "emission,decision", "--json"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        try:
            self.assertTrue(p.stdout.readline())
            self.daemon.stop()
            self.assertIn("trying again", p.stderr.readline())
            type(self).daemon = Daemon(Path(self.folder.name), self.port)
            told = False
            end = time.monotonic() + 300
            while not told and time.monotonic() < end:
                o = json.loads(p.stdout.readline())
                told = int(o["event_id"]) > 0 and o["event"] in ("emission", "decision") and attune("emissions", "-u", self.url).returncode == 0
            self.assertTrue(told)
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(120), 0)
        finally:
            p.kill()
            p.stdout.close()
            p.stderr.close()
            p.wait()

    def test_top_once(self):
        text = self.ok("top", "--once")
        for word in ("attuned ", "sim", "running", "latency p95", "flash", "latent", "budget"):
            self.assertIn(word, text)
        self.assertNotIn("\033", text)
        o = json.loads(self.ok("top", "--json"))
        self.assertEqual(o["radios"][0]["name"], "sim")
        self.assertIn("candidates", o["selector"])

    def test_top_fits_the_terminal_and_q_quits(self):
        pid, fd = terminal.begin([ATTUNE, "top", "-u", self.url, "-i", "100ms"], 20, 72)
        out = terminal.read(fd, r"(?s)(\033\[J.*){4}")
        os.write(fd, b"q")
        frames = [f for f in out.split("\033[H") if "\033[J" in f]
        lines = terminal.plain(frames[-1]).split("\n")
        print(f"top: {len(frames)} frames, {len(lines)} lines, {max(map(len, lines))} columns (20, 72)")
        self.assertGreaterEqual(len(frames), 4)
        self.assertLessEqual(len(lines), 20)
        self.assertLessEqual(max(map(len, lines)), 72)
        self.assertEqual(terminal.finish(pid, fd), 0)

    def on_terminal(self, columns, *args):
        """What a command prints on a terminal that wide, without colours."""
        read, write = pty.openpty()
        terminal.size(write, 40, columns)
        p = subprocess.Popen([ATTUNE, *args, "-u", self.url], stdin=write, stdout=write, env={**os.environ, "TERM": "xterm"})
        os.close(write)
        out = b""
        try:
            while part := os.read(read, 65536):
                out += part
        except OSError:
            pass
        os.close(read)
        self.assertEqual(p.wait(), 0)
        return terminal.plain(out.decode()).splitlines()

    def test_columns_give_way_on_narrow_terminals(self):
        titles = {}
        for columns in (60, 80, 100, 160):
            for args in (["top", "--once"], ["emissions", "--limit", "5"]):
                lines = self.on_terminal(columns, *args)
                self.assertLessEqual(max(map(len, lines)), columns, (columns, args, lines))
                if args[0] == "top":
                    titles[columns] = next(x for x in lines if x.startswith("radio ")).split()
        print("top:", {k: len(v) for k, v in titles.items()})
        for columns in titles:  # what matters most always stands
            self.assertEqual(titles[columns][:2], ["radio", "state"])
            self.assertIn("lost", titles[columns])
        self.assertLess(len(titles[60]), len(titles[100]))
        self.assertIn("why", titles[160])

    def test_words_of_failure(self):
        nobody = f"http://127.0.0.1:{free_port()}"
        for command in ("tail", "emissions", "top"):
            r = attune(command, env={"ATTUNE_URL": nobody})
            self.assertEqual(r.returncode, 1)
            self.assertIn("is attuned running?", r.stderr)
            self.assertEqual(len(r.stderr.splitlines()), 1)
            self.assertEqual(attune(command, "-u", "ftp://x").returncode, 2)
            self.assertEqual(attune(command, "--token-file", "/nonexistent").returncode, 2)
        for args in (["emissions", "--since", "yesterday"], ["emissions", "--state", "dead"], ["emissions", "--limit", "0"], ["top", "x"]):
            self.assertEqual(attune(*args, "-u", self.url).returncode, 2, args)
        r = attune("tail", "-u", self.url, "--types", "nonsense")
        self.assertEqual(r.returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
